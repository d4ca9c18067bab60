/*
 * The link to Redis against a scripted server on loopback, on the relay's own loop: greetings, answers in order, losses at every
 * stage, answers that make no sense, lateness. Real servers are the end-to-end tests' business (tests/e2e/redis_*.test.mjs).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/check.h"
#include "relay/redis/losses.h"
#include "relay/redis/overlap.h"
#include "tests/support/scripted_redis.h"

TestSuite(relay_redis_link, .fini = scripted_close);

static void replied(void *context, const redisReply *reply)
{
    struct fixture *f = &fixture;
    f->replies++;
    if (reply == NULL) {
        f->nulls++;
    } else if (reply->str != NULL) {
        (void)strncat(f->order, reply->str, sizeof(f->order) - strlen(f->order) - 1);
    }
    (void)context;
}

static int echo(const char *text)
{
    const struct rc_span argv[] = {RC_SPAN("ECHO"), rc_span_text(text)};
    return rc_redis_command(fixture.link, replied, NULL, 0, 2, argv);
}

static bool three_replies(struct fixture *f)
{
    return f->replies >= 3;
}

Test(relay_redis_link, commands_are_answered_in_order)
{
    fixture.script = good;
    open_link("redis://127.0.0.1:", "");
    cr_assert_eq(echo("x"), -ENOTCONN, "not connected yet");
    run_until(is_connected, 5000);
    cr_assert(rc_redis_up(fixture.link));
    cr_assert_eq(fixture.ups, 1);
    cr_assert_eq(echo("1"), 0);
    cr_assert_eq(echo("2"), 0);
    cr_assert_eq(echo("3"), 0);
    cr_assert_eq(fixture.replies, 0, "never before it returns");
    run_until(three_replies, 5000);
    cr_assert_str_eq(fixture.order, "123");
}

/* The command connection's peer: the one that got an ECHO. */
static const char *hang_up_on_echo(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "ECHO")) {
        hang_up(f, peer);
        return NULL;
    }
    return good(f, peer, command);
}

static bool back_again(struct fixture *f)
{
    return f->ups == 2 && is_connected(f);
}

Test(relay_redis_link, who_waits_hears_of_the_loss_and_it_comes_back)
{
    fixture.script = hang_up_on_echo;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    cr_assert_eq(echo("1"), 0);
    cr_assert_eq(echo("2"), 0);
    run_until(is_away, 5000);
    cr_assert_eq(fixture.nulls, 2);
    cr_assert_eq(fixture.downs, 1);
    run_until(back_again, 5000);
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_RECONNECTS), 1);
}

static const char *answer_and_hang_up(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "ECHO")) {
        /* Answer and end in one segment, so that there is one event for both. */
        cr_assert_eq(send(f->peers[peer].fd, "$1\r\n1\r\n", 7, MSG_MORE | MSG_NOSIGNAL), 7);
        hang_up(f, peer);
        return NULL;
    }
    return good(f, peer, command);
}

static bool is_answered(struct fixture *f)
{
    return f->replies > 0;
}

/* One short read brings the answer; the end is there already and no edge comes after it. */
Test(relay_redis_link, an_end_behind_the_last_answer_is_seen)
{
    fixture.script = answer_and_hang_up;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    cr_assert_eq(echo("1"), 0);
    run_until(is_answered, 5000);
    cr_assert_str_eq(fixture.order, "1", "answered before it ended");
    cr_assert_eq(fixture.nulls, 0);
    cr_assert(is_away(&fixture), "both were there at once; missed, the end would be noticed by the next ping");
}

static int publishes;
static char published[4096];
static bool swallow; /* PUBLISH is taken but the connection ends before the answer */

static const char *note_publish(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "PUBLISH")) {
        publishes++;
        (void)strncat(published, command + strlen("PUBLISH ch "), sizeof(published) - strlen(published) - 1);
        if (swallow) {
            hang_up(f, peer);
            return NULL;
        }
    }
    return good(f, peer, command);
}

static void publish(const char *text)
{
    const struct rc_span parts[] = {rc_span_text(text)};
    cr_assert_eq(rc_redis_publish(fixture.link, RC_SPAN("ch"), parts, 1, 0), 0);
}

static bool outbox_empty(struct fixture *f)
{
    return rc_metric_get(&f->metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES) == 0 && is_connected(f);
}

Test(relay_redis_link, what_was_published_while_away_goes_out_in_order)
{
    fixture.script = note_publish;
    open_link("redis://127.0.0.1:", "");
    publish("a");
    publish("b");
    run_until(outbox_empty, 5000);
    publish("c");
    run_until(outbox_empty, 5000);
    cr_assert_str_eq(published, "abc");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_PUBLISHED), 3);
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_OUTBOX_BYTES), 0);
}

Test(relay_redis_link, what_was_not_answered_is_sent_again)
{
    fixture.script = note_publish;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    swallow = true;
    publish("x");
    publish("y");
    run_until(is_away, 5000);
    swallow = false;
    run_until(outbox_empty, 8000);
    cr_assert_str_eq(published, "xxy");
    cr_assert_geq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_RESENT), 1);
}

/* To the byte what the outbox has room for, with prefix, and sharded. */
Test(relay_redis_link, what_can_never_be_published_is_known_before)
{
    enum { BYTES = 1 << 20, AROUND = 300 }; /* open_link: redis.outbox */
    static uint8_t bytes[BYTES];
    uint32_t never = 0;
    fixture.script = note_publish;
    (void)snprintf(fixture.config.prefix.text, sizeof(fixture.config.prefix.text), "p:");
    open_link("redis://127.0.0.1:", "");
    for (uint32_t i = 0; i < 2 * AROUND; i++) {
        const uint32_t flags = i % 2 == 0 ? 0 : RC_REDIS_PUBLISH_SHARD;
        const struct rc_span parts[] = {rc_span_of(bytes, BYTES - AROUND), rc_span_of(bytes, i / 2)};
        const bool vain = rc_redis_publish_never(fixture.link, RC_SPAN("ch"), parts, 2, flags);
        cr_assert_eq(rc_redis_publish(fixture.link, RC_SPAN("ch"), parts, 2, flags), vain ? -ENOBUFS : 0, "%u", i);
        never += vain;
    }
    cr_assert(never > 0 && never < 2 * AROUND, "%u", never);
}

static char commands[512];
static const char *note_commands(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "XADD") || begins(command, "SPUBLISH")) {
        const size_t used = strlen(commands);
        (void)snprintf(commands + used, sizeof(commands) - used, "%s;", command);
        return begins(command, "XADD") ? "$3\r\n1-0\r\n" : ":1\r\n";
    }
    return note_publish(f, peer, command);
}

Test(relay_redis_link, entries_of_streams_and_sharded_messages_wait_in_the_outbox_too)
{
    const struct rc_span fields[] = {RC_SPAN("uid"), RC_SPAN("~"), RC_SPAN("data"), RC_SPAN("{}")};
    const struct rc_span message = RC_SPAN("hi");
    struct rc_span long_name = {.bytes = (const uint8_t *)commands, .count = RC_REDIS_NAME_MAX};
    fixture.script = note_commands;
    (void)snprintf(fixture.config.prefix.text, sizeof(fixture.config.prefix.text), "p:");
    open_link("redis://127.0.0.1:", "");
    cr_assert_eq(rc_redis_append(fixture.link, RC_SPAN("s"), 10000, fields, 4, 0), 0);
    cr_assert_eq(rc_redis_append(fixture.link, RC_SPAN("s"), 10000, fields, 4, RC_REDIS_PUBLISH_FLEETING), -ENOTCONN);
    cr_assert_eq(rc_redis_append(fixture.link, long_name, 10000, fields, 4, 0), -EMSGSIZE);
    cr_assert_eq(rc_redis_publish(fixture.link, RC_SPAN("ch"), &message, 1, RC_REDIS_PUBLISH_SHARD), 0);
    publish("a");
    run_until(outbox_empty, 5000);
    cr_assert_str_eq(commands, "XADD p:s MAXLEN ~ 10000 * uid ~ data {};SPUBLISH p:ch hi;");
}

static int loading;
static const char *first_loading(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "PUBLISH") && loading-- > 0) {
        return "-LOADING Redis is loading the dataset in memory\r\n";
    }
    return note_publish(f, peer, command);
}

Test(relay_redis_link, not_now_is_no_loss)
{
    fixture.script = first_loading;
    loading = 4;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    publish("a");
    publish("b");
    publish("c");
    publish("d");
    run_until(outbox_empty, 5000);
    cr_assert_str_eq(published, "abcd");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED), 0);
}

static char told[64];
static bool note_losses(void *context, const struct rc_redis_losses *losses)
{
    uint32_t at = 0;
    struct rc_span name;
    (void)context;
    while (rc_redis_losses_next(losses, &at, &name)) {
        (void)strncat(told, (const char *)name.bytes, name.count);
    }
    return true;
}

/* What was behind the refused ones was on its way already: late, they would break the channel's order. */
Test(relay_redis_link, what_was_refused_and_overtaken_is_told_and_never_late)
{
    static const struct rc_redis_loss_ops ops = {.announce = note_losses};
    const struct rc_span parts[] = {RC_SPAN("other")};
    fixture.script = first_loading;
    loading = 2;
    open_link("redis://127.0.0.1:", "");
    rc_redis_tell_losses(fixture.link, &ops);
    run_until(is_connected, 5000);
    for (const char *c = "abcd"; *c != '\0'; c++) {
        const struct rc_span part[] = {rc_span_of(c, 1)};
        const struct rc_span channel = *c == 'b' ? RC_SPAN("hc") : RC_SPAN("ch");
        cr_assert_eq(rc_redis_publish(fixture.link, channel, part, 1, RC_REDIS_PUBLISH_TOLD), 0);
    }
    run_until(outbox_empty, 5000);
    cr_assert_str_eq(published, "cdb", "another channel's waits its turn");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED), 1);
    cr_assert_eq(rc_redis_publish(fixture.link, RC_SPAN("ch"), parts, 1, 0), 0);
    run_until(outbox_empty, 5000);
    cr_assert_str_eq(told, "ch");
}

static const char *ending_error; /* the next PUBLISH gets it, on whichever connection */
static const char *useless_once(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "PUBLISH") && ending_error != NULL) {
        const char *answer = ending_error;
        ending_error = NULL;
        return answer;
    }
    return note_publish(f, peer, command);
}

/* A server that is no master any more, or does not know who speaks: the next connection gets what this one did not take. */
static void expect_another_connection(const char *error)
{
    fixture.script = useless_once;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    ending_error = error;
    publish("a");
    publish("b");
    run_until(is_away, 5000);
    run_until(outbox_empty, 8000);
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED), 0);
    cr_assert_neq(strstr(published, "ab"), NULL, "%s", published);
}

Test(relay_redis_link, a_server_that_is_no_master_any_more_is_dialed_again)
{
    expect_another_connection("-READONLY You can't write against a read only replica.\r\n");
}

Test(relay_redis_link, a_login_that_is_gone_is_made_again)
{
    expect_another_connection("-NOAUTH Authentication required.\r\n");
}

static bool is_replica;
static bool speaks_resp2;
static const char *with_role(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "HELLO")) {
        return speaks_resp2 ? "-ERR unknown command\r\n"
               : is_replica ? "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$4\r\nrole\r\n$7\r\nreplica\r\n"
                            : "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$4\r\nrole\r\n$6\r\nmaster\r\n";
    }
    if (begins(command, "ROLE")) {
        return is_replica ? "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"
                          : "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
    }
    return note_publish(f, peer, command);
}

static bool all_told;
static bool note_all(void *context, const struct rc_redis_losses *losses)
{
    (void)context;
    all_told |= losses->all;
    return true;
}

static bool losses_told(struct fixture *f)
{
    return all_told && outbox_empty(f);
}

/* It takes every PUBLISH, for its own subscribers alone. */
static void expect_demotion(void)
{
    static const struct rc_redis_loss_ops ops = {.announce = note_all};
    const struct rc_span part[] = {RC_SPAN("a")};
    struct rc_redis_errors errors;
    fixture.script = with_role;
    open_link("redis://127.0.0.1:", "");
    rc_redis_tell_losses(fixture.link, &ops);
    run_until(is_connected, 5000);
    wait_end_ms = rc_clock_ms() + 1000; /* two pings */
    run_until(time_is_over, 5000);
    cr_assert(is_connected(&fixture));
    is_replica = true;
    cr_assert_eq(rc_redis_publish(fixture.link, RC_SPAN("ch"), part, 1, RC_REDIS_PUBLISH_TOLD), 0);
    run_until(is_away, 2000);
    (void)rc_redis_health_get(&fixture.health, &errors);
    cr_assert_neq(strstr(errors.lost, "replica"), NULL, "%s", errors.lost);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LOCAL);
    publish("b");
    is_replica = false;
    run_until(losses_told, 5000);
    cr_assert_str_eq(published, "ab");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_RECONNECTS), 2, "both connections");
}

Test(relay_redis_link, a_master_that_becomes_a_replica_is_away)
{
    expect_demotion();
}

Test(relay_redis_link, a_master_that_becomes_a_replica_is_away_in_resp2_too)
{
    speaks_resp2 = true;
    expect_demotion();
}

static const char *deaf(struct fixture *f, int peer, const char *command)
{
    return begins(command, "SUBSCRIBE") ? NULL : good(f, peer, command);
}

Test(relay_redis_link, who_waits_for_a_confirmation_waits_100_ms)
{
    fixture.script = deaf;
    open_link("redis://127.0.0.1:", "");
    cr_assert_eq(want("a"), RC_REDIS_WANT_LOCAL, "not connected");
    run_until(is_connected, 5000);
    /* On a machine that stands still for a moment it is told later; not each time. */
    uint64_t took_ms = UINT64_MAX;
    for (int tries = 0; tries < 10 && took_ms >= 400; tries++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "b%d", tries);
        fixture.wanted_local = 0;
        const uint64_t start = rc_clock_ms();
        cr_assert_eq(want(name), RC_REDIS_WANT_LATER);
        run_until(wanted_once, 5000);
        took_ms = rc_clock_ms() - start;
        cr_assert_eq(fixture.wanted_local, 1);
        cr_assert_geq(took_ms, 99);
    }
    cr_assert_lt(took_ms, 400);
}

/* Pushes that no correct server sends. */
static const char *mad(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "SUBSCRIBE")) {
        return ">0\r\n>1\r\n+x\r\n>3\r\n:1\r\n:2\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n_\r\n:1\r\n>3\r\n$7\r\nmessage\r\n*0\r\n$1\r\nx\r\n"
               ">3\r\n$9\r\nsubscribe\r\n$7\r\nunasked\r\n:1\r\n>3\r\n$11\r\nunsubscribe\r\n$3\r\nc:a\r\n:0\r\n"
               ">3\r\n$9\r\nsubscribe\r\n$3\r\nc:a\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$3\r\nc:a\r\n:1\r\n"
               ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$3\r\nc:a\r\n$1\r\nx\r\n>3\r\n$7\r\nmessage\r\n$3\r\nc:a\r\n$4\r\ngood\r\n";
    }
    return good(f, peer, command);
}

Test(relay_redis_link, pushes_that_make_no_sense_are_ignored)
{
    fixture.script = mad;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    run_until(wanted_once, 5000);
    cr_assert_str_eq(fixture.messages, "a=good ");
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_SUBSCRIPTIONS), 1);
    cr_assert(is_connected(&fixture));
}

static const char *ping_error;
static const char *grumbler(struct fixture *f, int peer, const char *command)
{
    return begins(command, "PING") && ping_error != NULL ? ping_error : good(f, peer, command);
}

Test(relay_redis_link, an_error_is_an_answer_to_a_ping)
{
    fixture.script = grumbler;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    static const char *const errors[] = {"-MISCONF cannot save\r\n", "-LOADING the dataset\r\n", "-BUSY a script\r\n"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(errors); i++) {
        ping_error = errors[i];
        wait_end_ms = rc_clock_ms() + 1800; /* it would be late */
        run_until(time_is_over, 5000);
        cr_assert(is_connected(&fixture), "%s", errors[i]);
    }
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    run_until(wanted_once_at_all, 5000);
    cr_assert_eq(fixture.wanted_confirmed, 1);
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_FAILURES), 0);
    ping_error = NULL;
    wait_end_ms = rc_clock_ms() + 1000;
    run_until(time_is_over, 5000);
    cr_assert(is_connected(&fixture));
}

static bool asleep;
static const char *sleeper(struct fixture *f, int peer, const char *command)
{
    return asleep ? NULL : good(f, peer, command);
}

/* How long this thread has waited for a processor in all: proc(5), schedstat. 0 where nobody counts that. */
static uint64_t waited_ms(void)
{
    unsigned long long waited_ns = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (file != NULL) {
        if (fscanf(file, "%*u %llu", &waited_ns) != 1) {
            waited_ns = 0;
        }
        (void)fclose(file);
    }
    return waited_ns / 1000000;
}

Test(relay_redis_link, a_stuck_server_is_noticed_within_two_seconds)
{
    struct rc_redis_errors errors;
    fixture.script = sleeper;
    open_link("redis://127.0.0.1:", "");
    run_until(is_connected, 5000);
    asleep = true;
    const uint64_t start = rc_clock_ms();
    const uint64_t waited = waited_ms();
    run_until(is_away, 10000);
    /* Twice that: how long this process was stopped, or waited for a page, nobody says. */
    cr_assert_lt(rc_clock_ms() - start, 4000 + waited_ms() - waited);
    (void)rc_redis_health_get(&fixture.health, &errors);
    cr_assert_neq(strstr(errors.lost, "ping"), NULL, "%s", errors.lost);
    cr_assert_eq(echo("x"), -ENOTCONN);
    cr_assert_eq(rc_metric_get(&fixture.metrics, RC_METRIC_REDIS_FAILURES), 0, "not given up yet");
}

static bool nobody_there(struct fixture *f)
{
    return rc_metric_get(&f->metrics, RC_METRIC_REDIS_FAILURES) >= 6;
}

Test(relay_redis_link, names_are_looked_up_and_failures_back_off)
{
    struct rc_redis_errors errors;
    fixture.script = good;
    open_link("redis://localhost:", "");
    run_until(is_connected, 10000);
    close(fixture.listen_fd);
    fixture.listen_fd = -1;
    for (int i = 0; i < fixture.peer_count; i++) {
        hang_up(&fixture, i);
    }
    const uint64_t start = rc_clock_ms();
    run_until(nobody_there, 5000);
    cr_assert_geq(rc_clock_ms() - start, 2 * 50 * 3 / 4, "50 ms, 100 ms, less a quarter of jitter");
    (void)rc_redis_health_get(&fixture.health, &errors);
    cr_assert_neq(strstr(errors.lost, "closed"), NULL, "why it was lost, not what the attempts since say: %s",
                  errors.lost);
    cr_assert_neq(strstr(errors.latest, "refused"), NULL, "%s", errors.latest);
}

/* --- one relay follows another ---------------------------------------------------------------------------------------------- */

static int subscriber = -1; /* the connection that asked for c:late, which is not confirmed */
static const char *late_one(struct fixture *f, int peer, const char *command)
{
    if (begins(command, "SUBSCRIBE c:late")) {
        subscriber = peer;
        return NULL;
    }
    return good(f, peer, command);
}

static bool late_is_asked(struct fixture *f)
{
    (void)f;
    return subscriber >= 0;
}

static struct rc_redis_overlap follower;
static char forwarded[256];
static bool forward_ended;

static void note_forwarded(void *context, const struct rc_redis_heard *heard)
{
    (void)context;
    (void)strncat(forwarded, (const char *)heard->body.bytes, heard->body.count);
}

static bool forward_turn(void *context)
{
    struct fixture *f = context;
    serve(f);
    forward_ended = rc_redis_link_forward_turn(f->link);
    rc_redis_overlap_handle(&follower, note_forwarded, NULL);
    if (f->done(f)) {
        rc_relay_loop_stop(&f->loop);
    }
    cr_assert_lt(rc_clock_ms(), f->end_ms, "in time");
    return false;
}

static void note_change(void *context, uint64_t hash, struct rc_span name, enum rc_redis_change change)
{
    (void)context;
    (void)hash;
    (void)name;
    (void)change;
    cr_assert_fail("the rings, and the state beside them, are another process's");
}

/* As main does it: a registration waits for its confirmation, and the other relay has the rings. */
static void begin_to_forward(void)
{
    static const struct rc_relay_loop_ops ops = {.turn = forward_turn, .pending = pending, .context = &fixture};
    const struct rc_redis_channel_ops channel = {.message = channel_message,
                                                 .wanted = channel_wanted,
                                                 .changed = note_change,
                                                 .context = &fixture,
                                                 .head = "c:"};
    const int fd = memfd_create("pass", MFD_CLOEXEC);
    const int bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fixture.script = late_one;
    open_link("redis://127.0.0.1:", "");
    rc_redis_channels(fixture.link, &channel);
    run_until(is_connected, 5000);
    cr_assert_eq(want("late"), RC_REDIS_WANT_LATER);
    run_until(late_is_asked, 5000);
    cr_assert(rc_redis_link_forward(fixture.link, fd, bell_fd));
    rc_timers_clear(&fixture.loop.timers);
    serve_due(&fixture, rc_clock_ms());
    rc_relay_loop_become(&fixture.loop, &fixture.process, &ops);
    cr_assert(rc_redis_overlap_follow(&follower, fd));
}

static bool is_forwarded(struct fixture *f)
{
    (void)f;
    return forwarded[0] != '\0';
}

static bool has_ended(struct fixture *f)
{
    (void)f;
    return forward_ended;
}

Test(relay_redis_link, who_forwards_tells_workers_nothing)
{
    begin_to_forward();
    say(&fixture, subscriber,
        ">3\r\n$9\r\nsubscribe\r\n$6\r\nc:late\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$6\r\nc:late\r\n:1\r\n"
        "-NOPERM no\r\n>3\r\n$7\r\nmessage\r\n$6\r\nc:late\r\n$2\r\nhi\r\n");
    run_until(is_forwarded, 5000);
    cr_assert_str_eq(forwarded, "hi");
    wait_end_ms = rc_clock_ms() + 200; /* who waits would hear "local" */
    run_until(time_is_over, 5000);
    cr_assert_eq(fixture.wanted_confirmed + fixture.wanted_local, 0, "the new one has the interest, and answers");
    cr_assert_str_eq(fixture.messages, "");
}

Test(relay_redis_link, who_forwards_and_loses_its_connection_says_so_at_once)
{
    begin_to_forward();
    hang_up(&fixture, subscriber);
    run_until(has_ended, 1000);
    rc_redis_overlap_handle(&follower, note_forwarded, NULL);
    cr_assert_eq(follower.role, RC_REDIS_OVERLAP_LOST, "nobody waits for it");
    cr_assert_eq(fixture.wanted_confirmed + fixture.wanted_local + fixture.downs, 0);
}

Test(relay_redis_link, urls_and_files_that_cannot_work_are_errors)
{
    struct rc_config_redis config = {.outbox_bytes = 1};
    struct rc_redis_link *link;
    struct rc_err err;
    const struct rc_redis_setup setup = {
        .config = &config, .instance_id = "x", .metrics = &fixture.metrics, .health = &fixture.health};
    (void)strcpy(config.url.text, "http://x");
    cr_assert_eq(rc_redis_link_open(&link, &setup, &err), -EINVAL);
    (void)strcpy(config.url.text, "rediss://x");
    (void)strcpy(config.tls_ca.text, "/nonexistent");
    cr_assert_eq(rc_redis_link_open(&link, &setup, &err), -EINVAL);
    cr_assert_neq(strstr(err.text, "tls_ca"), NULL, "%s", err.text);
    cr_assert_null(link);
}
