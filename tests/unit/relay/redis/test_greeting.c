/*
 * The greeting against a scripted server on loopback: old servers, servers that want a password, that speak something else, or that are not
 * what they should be.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/scripted_redis.h"

TestSuite(relay_redis_greeting, .fini = scripted_close);

static const char *answer_to_hello;
static const char *odd_hello(struct fixture *f, int peer, const char *command)
{
    return begins(command, "HELLO") ? answer_to_hello : good(f, peer, command);
}

static bool four_failures(struct fixture *f)
{
    return rc_metric_get(&f->metrics, RC_METRIC_REDIS_FAILURES) >= 4;
}

static void expect_refusal(const char *answer, const char *reason)
{
    struct rc_redis_errors errors;
    answer_to_hello = answer;
    fixture.script = odd_hello;
    open_link("redis://:secret@127.0.0.1:", "");
    run_until(four_failures, 8000);
    cr_assert_eq(rc_redis_health_get(&fixture.health, &errors), RC_REDIS_AWAY);
    cr_assert_neq(strstr(errors.lost, reason), NULL, "%s", errors.lost);
    cr_assert_eq(strstr(errors.lost, "secret"), NULL);
}

Test(relay_redis_greeting, refused_password)
{
    expect_refusal("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "WRONGPASS");
}

Test(relay_redis_greeting, not_resp_at_all)
{
    expect_refusal("HTTP/1.1 400 Bad Request\r\n\r\n", "rotocol error");
}

/* Room for them would be made before the first one comes. */
Test(relay_redis_greeting, more_elements_than_there_can_be)
{
    expect_refusal("*777777777\r\n:1\r\n", "length out of range");
}

Test(relay_redis_greeting, too_many_answers)
{
    expect_refusal("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n", "nobody asked");
}

Test(relay_redis_greeting, ends_at_once)
{
    expect_refusal("-ERR max number of clients reached\r\n-ERR again\r\n-ERR again\r\n-ERR again\r\n", "");
}

static const char *resp2(struct fixture *f, int peer, const char *command)
{
    static bool subscribed[PEERS_MAX];
    if (begins(command, "HELLO")) {
        return "-ERR unknown command `HELLO`\r\n";
    }
    if (begins(command, "AUTH secret") || begins(command, "CLIENT SETNAME ringcast:test") ||
        begins(command, "SELECT 2")) {
        return "+OK\r\n";
    }
    if (begins(command, "SUBSCRIBE")) {
        subscribed[peer] = true;
        return "*3\r\n$9\r\nsubscribe\r\n$3\r\nc:a\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$3\r\nc:a\r\n$2\r\nhi\r\n";
    }
    if (begins(command, "PING")) {
        return subscribed[peer] ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n";
    }
    return good(f, peer, command);
}

Test(relay_redis_greeting, old_servers_speak_resp2)
{
    fixture.script = resp2;
    open_link("redis://:secret@127.0.0.1:", "/2");
    run_until(is_connected, 5000);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    run_until(wanted_once, 5000);
    cr_assert_eq(fixture.wanted_confirmed, 1);
    cr_assert_str_eq(fixture.messages, "a=hi ");
    cr_assert_eq(want("a"), RC_REDIS_WANT_CONFIRMED);
    wait_end_ms = rc_clock_ms() + 1200; /* three pings */
    run_until(time_is_over, 5000);
    cr_assert(is_connected(&fixture));
}

static const char *cannot_save(struct fixture *f, int peer, const char *command)
{
    return begins(command, "PING") ? "-MISCONF cannot save\r\n" : good(f, peer, command);
}

Test(relay_redis_greeting, a_server_that_cannot_save_is_good_enough)
{
    fixture.script = cannot_save;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_FAILURES), 0);
}

static const char *hello_error;
static const char *no_hello(struct fixture *f, int peer, const char *command)
{
    return begins(command, "HELLO") && hello_error != NULL ? hello_error : resp2(f, peer, command);
}

/* Proxies have words of their own. */
static void expect_resp2(const char *answer)
{
    hello_error = answer;
    fixture.script = no_hello;
    open_link("redis://:secret@127.0.0.1:", "/2");
    run_until(is_connected, 5000);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    run_until(wanted_once, 5000);
    cr_assert_str_eq(fixture.messages, "a=hi ");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_FAILURES), 0);
}

Test(relay_redis_greeting, an_error_of_any_words_means_no_hello)
{
    expect_resp2("-unknown command 'HELLO'\r\n");
}

Test(relay_redis_greeting, a_proxy_that_wants_auth_first_gets_it)
{
    expect_resp2("-NOAUTH Authentication required.\r\n");
}

Test(relay_redis_greeting, a_user_without_the_right_to_hello)
{
    expect_resp2("-NOPERM this user has no permissions to run the 'hello' command\r\n");
}

static int hellos;
static const char *closes_on_hello(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "HELLO")) {
        hellos++;
        hang_up(f, peer);
        return NULL;
    }
    return resp2(f, peer, command);
}

Test(relay_redis_greeting, a_server_that_closes_on_hello_is_spoken_to_without)
{
    fixture.script = closes_on_hello;
    open_link("redis://:secret@127.0.0.1:", "/2");
    run_until(is_connected, 5000);
    cr_assert_eq(hellos, 4, "each connection twice: that it may have gone down is no proof");
    for (int i = 0; i < fixture.peer_count; i++) {
        hang_up(&fixture, i);
    }
    run_until(is_away, 5000);
    run_until(is_connected, 5000);
    cr_assert_eq(hellos, 4, "known by now");
}

static bool down;
static const char *goes_down(struct fixture *f, int peer, const char *command)
{
    if (down) {
        hang_up(f, peer);
        return NULL;
    }
    if (begins(command, "HELLO")) {
        hellos++;
    }
    return good(f, peer, command);
}

static bool nine_failures(struct fixture *f)
{
    return rc_metric_get(&f->metrics, RC_METRIC_REDIS_FAILURES) >= 9;
}

/* A proxy whose server is away closes every connection: that says nothing about HELLO. */
Test(relay_redis_greeting, a_server_that_was_down_is_spoken_to_in_resp3)
{
    fixture.script = goes_down;
    down = true;
    open_link("redis://127.0.0.1:", "");
    run_until(nine_failures, 8000);
    down = false;
    run_until(is_connected, 8000);
    cr_assert_eq(hellos, 2, "both answered it");
}

static const char *says_why_and_closes(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "HELLO")) {
        return "-ERR max number of clients reached\r\n";
    }
    hang_up(f, peer);
    return NULL;
}

Test(relay_redis_greeting, what_was_said_before_it_closed_is_the_reason)
{
    struct rc_redis_errors errors;
    fixture.script = says_why_and_closes;
    open_link("redis://127.0.0.1:", "");
    run_until(four_failures, 8000);
    (void)rc_redis_health_get(&fixture.health, &errors);
    cr_assert_neq(strstr(errors.lost, "max number of clients"), NULL, "%s", errors.lost);
}
