/* Sessions in Redis as a worker knows them: read once for all who want one, checked while somebody uses it. The test is the relay. */
#include "worker/identity/sessions.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/query.h"
#include "tests/support/client_rig.h"

static struct client_rig c;
static struct rc_sessions sessions;
static uint64_t now_ns = 1000000000;
static uint64_t others_heard_ms;

static struct {
    uint32_t ready;
    uint64_t token; /* of the last one */
    uint32_t gone;
    uint32_t id; /* of the last one */
    uint32_t good;
    uint32_t bad;
} heard;

static void on_ready(void *context, const struct rc_identity_asker *asker)
{
    (void)context;
    heard.ready++;
    heard.token = asker->token;
}

static void on_gone(void *context, uint32_t id)
{
    (void)context;
    heard.gone++;
    heard.id = id;
    rc_session_set_first(&sessions, id, 0);
}

static void on_heard(void *context, bool answered)
{
    (void)context;
    *(answered ? &heard.good : &heard.bad) += 1;
}

static uint64_t heard_ms(void *context)
{
    (void)context;
    return others_heard_ms;
}

static void open_all(void)
{
    const struct rc_sessions_ops ops = {.ready = on_ready, .gone = on_gone, .heard = on_heard, .heard_ms = heard_ms};
    client_rig_open(&c, 8);
    c.asks.now_ns = &now_ns;
    rc_sessions_open(&sessions, &c.asks, &c.uplink, c.rig.metrics, 0, &now_ns, &ops);
}

static void close_all(void)
{
    rc_asks_close(&c.asks);
    rc_sessions_close(&sessions);
    client_rig_close(&c);
}

TestSuite(sessions, .init = open_all, .fini = close_all);

static void pass_ms(uint64_t ms)
{
    now_ns += ms * 1000000;
    rc_asks_expire(&c.asks);
    rc_sessions_work(&sessions);
}

static struct rc_session_view find(const char *key, uint64_t token)
{
    struct rc_session_view view;
    rc_sessions_find(&sessions, rc_span_text(key), &(struct rc_identity_asker){.index = 1, .token = token}, &view);
    return view;
}

/* The next question: its kind, and what it asks about; 0: there is none. */
static uint8_t question(struct rc_envelope_view *view, char *keys, size_t room)
{
    uint32_t type;
    struct rc_query_head head;
    keys[0] = '\0';
    if (!client_rig_up(&c, &type, view)) {
        return 0;
    }
    cr_assert_eq(type, RC_UP_QUERY);
    cr_assert_neq(view->head.origin.random, 0);
    memcpy(&head, view->data, sizeof(head));
    struct rc_span rest = rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head));
    struct rc_span key;
    if (head.kind == RC_QUERY_VALUE) {
        (void)snprintf(keys, room, "%.*s", (int)rest.count, (const char *)rest.bytes);
    }
    while (head.kind == RC_QUERY_KEYS && rc_query_key_next(&rest, &key)) {
        const size_t used = strlen(keys);
        (void)snprintf(keys + used, room - used, "%.*s;", (int)key.count, (const char *)key.bytes);
    }
    return head.kind;
}

static void answer(const struct rc_envelope_view *asked, uint16_t code, const void *data, uint32_t bytes)
{
    const struct rc_envelope_view view = {.head = {.token = asked->head.token, .code = code, .data_bytes = bytes},
                                          .data = data};
    rc_asks_answered(&c.asks, RC_DOWN_QUERY, &view);
}

static void answer_value(const struct rc_envelope_view *asked, const char *text, uint64_t lives_ms)
{
    uint8_t data[1024];
    struct rc_query_value value = {.lives_ms = lives_ms, .state = RC_QUERY_VALUE_MISSING};
    if (text != NULL) {
        value.state = RC_QUERY_VALUE_THERE;
        value.bytes = (uint32_t)strlen(text);
        memcpy(data + sizeof(value), text, value.bytes);
    }
    memcpy(data, &value, sizeof(value));
    answer(asked, 0, data, (uint32_t)sizeof(value) + value.bytes);
}

static char keys[4096];

Test(sessions, one_question_serves_all_who_want_the_same)
{
    struct rc_envelope_view asked;
    struct rc_envelope_view other;
    for (uint64_t token = 1; token <= 100; token++) {
        cr_assert_eq(find("sess:a", token).state, RC_SESSION_WAITS);
    }
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_VALUE);
    cr_assert_str_eq(keys, "sess:a");
    cr_assert_eq(question(&other, keys, sizeof(keys)), 0);
    rc_sessions_forget(&sessions, 7);
    rc_sessions_forget(&sessions, 7);
    rc_sessions_forget(&sessions, 100);
    rc_sessions_forget(&sessions, 4711);
    answer_value(&asked, "{\"userId\":1}", 60000);
    cr_assert_eq(heard.ready, 98);
    cr_assert_eq(heard.good, 1);
    const struct rc_session_view view = find("sess:a", 200);
    cr_assert_eq(view.state, RC_SESSION_THERE);
    cr_assert(rc_span_equal(view.value, RC_SPAN("{\"userId\":1}")));
    cr_assert(view.expires_ms > rc_clock_wall_ms() + 50000 && view.expires_ms <= rc_clock_wall_ms() + 60000);
    answer_value(&asked, NULL, 0); /* doubled */
    cr_assert_eq(find("sess:a", 200).state, RC_SESSION_THERE);
    pass_ms(RC_SESSIONS_FRESH_MS);
    cr_assert_eq(find("sess:a", 201).state, RC_SESSION_WAITS, "it is read again");
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_VALUE);
}

Test(sessions, what_is_not_there_or_not_answered)
{
    struct rc_envelope_view asked;
    (void)find("sess:a", 1);
    (void)question(&asked, keys, sizeof(keys));
    answer_value(&asked, NULL, 0);
    cr_assert_eq(find("sess:a", 2).state, RC_SESSION_MISSING);
    (void)find("sess:b", 3);
    (void)question(&asked, keys, sizeof(keys));
    answer(&asked, 503, NULL, 0);
    cr_assert_eq(find("sess:b", 4).state, RC_SESSION_UNAVAILABLE);
    (void)find("sess:c", 5);
    (void)question(&asked, keys, sizeof(keys));
    answer(&asked, 0, "short", 5);
    cr_assert_eq(find("sess:c", 6).state, RC_SESSION_UNAVAILABLE);
    (void)find("sess:d", 7);
    (void)question(&asked, keys, sizeof(keys));
    heard.ready = 0;
    pass_ms(2000);
    cr_assert_eq(heard.ready, 1, "nobody answers");
    cr_assert_eq(find("sess:d", 8).state, RC_SESSION_UNAVAILABLE);
    answer_value(&asked, "{}", UINT64_MAX); /* late */
    cr_assert_eq(find("sess:d", 8).state, RC_SESSION_UNAVAILABLE);
    (void)find("sess:e", 9);
    while (question(&asked, keys, sizeof(keys)) != RC_QUERY_VALUE) {}
    answer_value(&asked, "{\"cookie\":{\"expires\":\"2020-01-01T00:00:00.000Z\"}}", UINT64_MAX);
    cr_assert_eq(find("sess:e", 10).state, RC_SESSION_MISSING, "it says that it has ended");
}

Test(sessions, a_relay_that_was_replaced_is_asked_once_more)
{
    struct rc_envelope_view asked;
    (void)find("sess:a", 1);
    (void)question(&asked, keys, sizeof(keys));
    atomic_store(&c.rig.shared->core.relay.generation, 2);
    pass_ms(1);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_VALUE);
    atomic_store(&c.rig.shared->core.relay.generation, 3);
    pass_ms(1);
    cr_assert_eq(find("sess:a", 2).state, RC_SESSION_UNAVAILABLE);
    cr_assert_eq(heard.ready, 1);
}

/* A session that somebody is connected with. */
static uint32_t used(const char *key, uint64_t lives_ms)
{
    struct rc_envelope_view asked;
    (void)find(key, 1);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_VALUE);
    answer_value(&asked, "{}", lives_ms);
    const struct rc_session_view view = find(key, 1);
    cr_assert_neq(view.id, 0);
    rc_session_set_first(&sessions, view.id, 42);
    return view.id;
}

/* What is checked within a second, and the answers: all but `gone` are there. */
static void check_all(const char *gone, char *checked, size_t room)
{
    struct rc_envelope_view asked;
    checked[0] = '\0';
    for (int i = 0; i < 4; i++) {
        pass_ms(250);
        while (question(&asked, keys, sizeof(keys)) == RC_QUERY_KEYS) {
            uint8_t there[RC_QUERY_KEYS_MAX];
            uint32_t count = 0;
            (void)snprintf(checked + strlen(checked), room - strlen(checked), "%s", keys);
            for (char *key = strtok(keys, ";"); key != NULL; key = strtok(NULL, ";")) {
                there[count++] = strcmp(key, gone) != 0;
            }
            answer(&asked, 0, there, count);
        }
    }
}

Test(sessions, those_in_use_are_looked_for_every_second)
{
    char checked[4096];
    const uint32_t a = used("sess:a", 60000);
    const uint32_t b = used("sess:b", UINT64_MAX);
    (void)find("sess:idle", 9);
    struct rc_envelope_view asked;
    (void)question(&asked, keys, sizeof(keys));
    answer_value(&asked, "{}", 1000);
    check_all("", checked, sizeof(checked));
    cr_assert(strstr(checked, "sess:a;") != NULL && strstr(checked, "sess:b;") != NULL &&
                  strstr(checked, "idle") == NULL,
              "%s", checked);
    cr_assert_eq(heard.gone, 0);
    check_all("sess:a", checked, sizeof(checked));
    cr_assert_eq(heard.gone, 1);
    cr_assert_eq(heard.id, a);
    cr_assert_eq(rc_session_first(&sessions, b), 42);
    check_all("", checked, sizeof(checked));
    check_all("", checked, sizeof(checked));
    cr_assert_eq(sessions.count, 1, "what nobody uses is forgotten");
    cr_assert_eq(sessions.value_bytes, 0);
    rc_session_set_first(&sessions, b, 0);
    check_all("", checked, sizeof(checked));
    cr_assert_str_eq(checked, "");
    cr_assert_eq(sessions.count, 0);
    cr_assert_eq(rc_sessions_sleep_ms(&sessions, 5000), 5000, "nothing is to be done");
}

Test(sessions, checks_that_are_not_answered_end_nobody)
{
    struct rc_envelope_view asked;
    (void)used("sess:a", UINT64_MAX);
    pass_ms(250);
    for (int i = 0; i < 20; i++) {
        pass_ms(250);
    }
    cr_assert_gt(heard.bad, 0);
    while (question(&asked, keys, sizeof(keys)) != 0) {
        answer(&asked, 503, NULL, 0);
        answer(&asked, 0, "\0\0\0", 3); /* of another length */
    }
    cr_assert_eq(heard.gone, 0);
}

Test(sessions, a_session_that_was_made_longer_goes_on)
{
    struct rc_envelope_view asked;
    const uint32_t a = used("sess:a", 5000);
    const uint32_t ever = used("sess:ever", UINT64_MAX);
    cr_assert_eq(rc_session_renewed_until(&sessions, ever), UINT64_MAX);
    const uint64_t until_ms = rc_session_renewed_until(&sessions, a);
    cr_assert(until_ms > rc_clock_wall_ms());
    const uint32_t b = used("sess:b", 20);
    while (rc_clock_wall_ms() <= find("sess:b", 1).expires_ms) {}
    cr_assert(rc_session_renewed_until(&sessions, b) > rc_clock_wall_ms() + 1000, "it is asked, and stays so long");
    while (question(&asked, keys, sizeof(keys)) != RC_QUERY_VALUE) {}
    cr_assert_str_eq(keys, "sess:b");
    answer_value(&asked, "{}", 60000);
    cr_assert(rc_session_renewed_until(&sessions, b) > rc_clock_wall_ms() + 50000);
}

Test(sessions, a_redis_that_does_not_answer_is_looked_for)
{
    struct rc_envelope_view asked;
    rc_sessions_probe_with(&sessions, RC_SPAN("sess:probe"));
    (void)find("sess:a", 1);
    (void)question(&asked, keys, sizeof(keys));
    answer(&asked, 503, NULL, 0);
    pass_ms(1500);
    pass_ms(600);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_KEYS);
    cr_assert_str_eq(keys, "sess:probe;");
    cr_assert_leq(rc_sessions_sleep_ms(&sessions, 5000), 2000);
    answer(&asked, 0, "\0", 1);
    cr_assert_eq(heard.good, 1);
    pass_ms(4900);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), 0, "it answers");
}

/* Nobody asks for sessions: how Redis stands is known all the same, and no more is asked than for that. */
Test(sessions, a_redis_that_nobody_asks_is_looked_for)
{
    struct rc_envelope_view asked;
    pass_ms(60000);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), 0, "nobody wants to know");
    rc_sessions_probe_with(&sessions, RC_SPAN("sess:probe"));
    pass_ms(1900);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), 0);
    pass_ms(200);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_KEYS);
    answer(&asked, 0, "\0", 1);
    cr_assert_eq(heard.good, 1);
    const uint32_t a = used("sess:a", 60000);
    for (uint32_t i = 0; i < 100; i++) { /* who is asked every second is not looked for */
        pass_ms(100);
        while (question(&asked, keys, sizeof(keys)) != 0) {
            cr_assert_str_eq(keys, "sess:a;");
            answer(&asked, 0, "\1", 1);
        }
    }
    rc_session_set_first(&sessions, a, 0);
    pass_ms(5100);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_KEYS);
    cr_assert_str_eq(keys, "sess:probe;");
    pass_ms(3000);
    cr_assert_eq(heard.bad, 1, "the relay says nothing");
    rc_sessions_probe_with(&sessions, RC_SPAN(""));
    while (question(&asked, keys, sizeof(keys)) != 0) {}
    pass_ms(60000);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), 0, "there is no such table any more");
}

/* One worker of all looks for it, and the next one if that one does not. */
Test(sessions, a_redis_that_another_worker_has_heard_of_is_not_looked_for)
{
    struct rc_envelope_view asked;
    sessions.worker = 3;
    rc_sessions_probe_with(&sessions, RC_SPAN("sess:probe"));
    pass_ms(2100);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_KEYS, "the first time each finds out for itself");
    answer(&asked, 0, "\0", 1);
    for (uint32_t i = 0; i < 10; i++) { /* another one asks in its turn */
        pass_ms(5000);
        others_heard_ms = now_ns / 1000000u;
        pass_ms(100);
        cr_assert_eq(question(&asked, keys, sizeof(keys)), 0);
    }
    pass_ms(5000 + 3 * RC_SESSIONS_PROBE_TURN_MS - 200);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), 0, "those before it have their turn first");
    pass_ms(200);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_KEYS, "nobody did");
    cr_assert_str_eq(keys, "sess:probe;");
    answer(&asked, 503, NULL, 0);
    others_heard_ms = now_ns / 1000000u;
    pass_ms(2100);
    cr_assert_eq(question(&asked, keys, sizeof(keys)), RC_QUERY_KEYS, "who has found that out looks itself");
}

Test(sessions, what_is_too_much_is_unavailable)
{
    char key[32];
    struct rc_envelope_view asked;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < RC_ASKS_OF_KIND_MAX + 10; i++) {
        (void)snprintf(key, sizeof(key), "sess:%u", i);
        waiting += find(key, i + 1).state == RC_SESSION_WAITS;
        if (i % 64 == 0) {
            while (question(&asked, keys, sizeof(keys)) != 0) {}
        }
    }
    cr_assert_leq(waiting, RC_ASKS_OF_KIND_MAX);
    cr_assert_eq(sessions.waiting, waiting);
    pass_ms(2000);
    cr_assert_eq(sessions.waiting, 0);
    cr_assert_eq(heard.ready, waiting);
}
