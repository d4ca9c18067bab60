/* What rows ask about rooms: the test is the relay, and the other workers. What waits goes on with what it knew. */
#include "worker/engine/rule_room.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/sockets.h"
#include "tests/support/rule_rig.h"

static struct rule_rig r;
static struct rc_call_tag tag; /* of the question that went up last */
static char asked[RC_CHANNEL_NAME_MAX + 1];

static void open_all(void)
{
    rule_rig_open(&r);
    r.engine.c.rig.control->worker_count = 4;
}

static void close_all(void)
{
    rule_rig_close(&r);
}

TestSuite(rule_room, .init = open_all, .fini = close_all, .timeout = 20);

static void asks(const char *packet)
{
    rule_rig_posts(&r, packet);
    cr_assert_eq(rule_rig_answer(&r), 0, "it waits");
}

static void expect(const char *packets)
{
    cr_assert_eq(rule_rig_answer(&r), 200);
    rule_rig_expect(&r, packets);
}

/* The next question that went up; its operation, 0: none has. */
static uint32_t went_up(void)
{
    uint32_t type;
    struct rc_envelope_view view;
    while (client_rig_up(&r.engine.c, &type, &view)) {
        if (type == RC_UP_CALL) {
            cr_assert(rc_sockets_of_room(&view));
            cr_assert(rc_call_tag_read(&view, &tag));
            (void)snprintf(asked, sizeof(asked), "%.*s", view.head.channel_bytes, view.channel);
            return view.data[0];
        }
    }
    return 0;
}

static void comes_down(enum rc_record_type type, uint32_t worker, uint16_t code, const void *data, size_t bytes)
{
    const struct rc_envelope_view view = {.head = {.origin = {.worker = (uint16_t)worker},
                                                   .flags = RC_ENVELOPE_API,
                                                   .code = code,
                                                   .data_bytes = (uint32_t)bytes,
                                                   .request_id_bytes = sizeof(tag)},
                                          .request_id = (const uint8_t *)&tag,
                                          .data = data};
    rc_asks_answered(&r.engine.c.asks, type, &view);
    engine_rig_pass(&r.engine);
}

/* The relay says whom it asked: a bit for each worker. */
static void were_asked_in(uint64_t workers, enum rc_call_scope scope)
{
    const struct rc_call_asked given = {.bits = {workers}, .scope = scope};
    comes_down(RC_DOWN_ANSWER, 0, 0, &given, sizeof(given));
}

static void were_asked(uint64_t workers)
{
    were_asked_in(workers, RC_CALL_SCOPE_HOST);
}

/* A worker's answer, with JSON strings separated by blanks. */
static void replies(uint32_t worker, uint32_t count, const char *entries, uint32_t flags)
{
    uint8_t data[512];
    const struct rc_reply_head head = {.flags = flags, .count = count};
    uint32_t used = sizeof(head);
    memcpy(data, &head, sizeof(head));
    while (*entries != '\0') {
        const size_t bytes = strcspn(entries, " ");
        used = rc_sockets_entry_put(data, used, sizeof(data), rc_span_of(entries, bytes));
        entries += bytes + (entries[bytes] == ' ' ? 1 : 0);
    }
    comes_down(RC_DOWN_REPLY, worker, 0, data, used);
}

#define COUNTS "[[event]]\non = \"how many\"\nack = [\"{count:{args.0}}\"]\n"

Test(rule_room, a_count_is_that_of_all_workers)
{
    rule_rig_begin(&r, COUNTS, true);
    asks("421[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    cr_assert_str_eq(asked, "a");
    replies(2, 5, "", 0); /* may be faster than the relay's own answer */
    were_asked(1u << 1 | 1u << 2);
    cr_assert_eq(rule_rig_answer(&r), 0);
    replies(2, 100, "", 0); /* told twice */
    rule_rig_counted(&r, 0, 0, 0);
    replies(1, 7, "", 0);
    expect("431[12]");
    rule_rig_counted(&r, 0, 1, 0);
    replies(1, 7, "", 0); /* too late */
}

Test(rule_room, nobody_elsewhere_is_answered_at_once)
{
    rule_rig_begin(&r, COUNTS, true);
    asks("421[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    were_asked(0);
    expect("431[0]");
}

Test(rule_room, without_an_answer_it_is_503)
{
    rule_rig_begin(&r, COUNTS, true);
    asks("421[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    were_asked(1u << 1);
    engine_rig_wait(&r.engine, RC_RULE_ROOM_MS - 50);
    cr_assert_eq(rule_rig_answer(&r), 0);
    rule_rig_counted(&r, 0, 0, 0);
    engine_rig_wait(&r.engine, 100);
    rc_asks_expire(&r.engine.c.asks);
    engine_rig_pass(&r.engine);
    expect("431[{\"error\":{\"code\":503,\"message\":\"the room cannot be asked about now: try again\"}}]");
    rule_rig_counted(&r, 0, 0, 1);
    asks("421[\"how many\",\"a\"]"); /* nothing of it stays */
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    comes_down(RC_DOWN_ANSWER, 0, 1, NULL, 0); /* the relay could not */
    expect("431[{\"error\":{\"code\":503,\"message\":\"the room cannot be asked about now: try again\"}}]");
}

Test(rule_room, lists_are_put_together_and_users_told_once)
{
    rule_rig_begin(&r, "[[event]]\non = \"who\"\nack = [\"{members:a}\", \"{users:a}\"]\n", true);
    asks("421[\"who\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_MEMBERS);
    were_asked(1u << 1 | 1u << 3);
    replies(1, 2, "\"x\" \"y\"", RC_REPLY_PART);
    replies(3, 1, "\"w\"", 0);
    replies(1, 1, "\"z\"", 0);
    cr_assert_eq(rule_rig_answer(&r), 0, "the other question is not answered");
    cr_assert_eq(went_up(), RC_CALL_ROOM_USERS);
    were_asked(1u << 1 | 1u << 3);
    replies(1, 2, "\"u\" \"a\"", 0);
    replies(3, 2, "\"a\" \"u\"", 0);
    expect("431[[\"x\",\"y\",\"w\",\"z\"],[\"a\",\"u\"]]");
}

Test(rule_room, what_another_worker_sends_is_looked_at)
{
    rule_rig_begin(&r, "[[event]]\non = \"who\"\nack = [\"{members:a}\"]\n", true);
    asks("421[\"who\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_MEMBERS);
    were_asked(1u << 1);
    replies(1, 1, "\"x\",1", 0);
    expect("431[{\"error\":{\"code\":503,\"message\":\"the room cannot be asked about now: try again\"}}]");
}

/* What changes while it waits is not the event's any more. */
Test(rule_room, a_row_that_waits_goes_on_with_what_was_known)
{
    static char first[256];
    rule_rig_begin(
        &r,
        "[[event]]\non = \"start\"\nset = { n = \"{args.0}\" }\nack = [\"{client.n}\", \"{uuid}\", \"{now_ms}\", \"{count:a}\"]\n"
        "emit = [{ event = \"again\", args = [\"{client.n}\", \"{uuid}\", \"{now_ms}\"] }]\n",
        true);
    asks("421[\"start\",1]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    cr_assert_eq(rc_client_set_merge(&r.engine.c.clients, r.engine.session, RC_SPAN("{\"n\":2}")), 0);
    engine_rig_wait(&r.engine, 20);
    were_asked(0);
    cr_assert_eq(rule_rig_answer(&r), 200);
    engine_rig_request(&r.engine, r.get, r.engine.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r.engine, r.get), 200);
    char *const second = strchr(r.get->text, '\x1e');
    cr_assert_not_null(second, "%s", r.get->text);
    *second = '\0';
    cr_assert_eq(strncmp(r.get->text, "431[1,\"", 7), 0, "%s", r.get->text);
    const size_t bytes = strlen(r.get->text) - strlen("431[") - strlen(",0]");
    (void)snprintf(first, sizeof(first), "42[\"again\",%.*s]", (int)bytes, r.get->text + strlen("431["));
    cr_assert_str_eq(second + 1, first);
}

Test(rule_room, a_client_that_ends_waits_for_nothing)
{
    rule_rig_begin(&r, COUNTS, true);
    asks("421[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    rc_client_end(&r.engine.c.clients, r.engine.session);
    cr_assert_eq(rule_rig_answer(&r), 400);
    were_asked(0); /* nobody asks any more */
    cr_assert_null(rc_rule_wait_of(&r.engine.engines, r.engine.session));
}

Test(rule_room, rows_of_the_end_go_on_when_their_client_is_no_more)
{
    rule_rig_begin(&r,
                   "[[event]]\non = \"name\"\nset = { n = \"{args.0}\" }\njoin = [\"a\", \"doc-7\"]\n"
                   "[[event]]\non = \"disconnect\"\neach = \"doc-{id}\"\nemit = [{ to = \"{room}\", event = \"gone\", "
                   "args = [\"{client.n}\", \"{room.id}\", \"{count:{room}}\", \"{sid}\", \"{args.0}\"] }]\n",
                   true);
    rule_rig_posts(&r, "42[\"name\",\"J\"]");
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    char sid[RC_SID_BYTES];
    char expected[256];
    rc_engine_nsp_sid(&r.engine.engines, r.engine.session, RC_SPAN("/"), sid);
    rc_client_end(&r.engine.c.clients, r.engine.session);
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    cr_assert_str_eq(asked, "doc-7");
    were_asked(1u << 1);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    rule_rig_counted(&r, 1, 0, 0);
    replies(1, 3, "", 0);
    rule_rig_counted(&r, 1, 1, 0);
    (void)snprintf(expected, sizeof(expected), "[\"J\",\"7\",3,\"%.*s\",\"transport close\"]", RC_SID_BYTES, sid);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), expected);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "", "once, and for that room alone");
    cr_assert_null(r.engine.engines.departed);
}

Test(rule_room, a_row_of_the_end_that_is_cut_was_not_done)
{
    rule_rig_begin(
        &r, "[[event]]\non = \"disconnect\"\nemit = [{ to = \"*\", event = \"gone\", args = [\"{count:a}\"] }]\n",
        true);
    rc_client_end(&r.engine.c.clients, r.engine.session);
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    rule_rig_counted(&r, 0, 0, 0);
    comes_down(RC_DOWN_ANSWER, 0, 1, NULL, 0); /* the relay could not */
    rule_rig_counted(&r, 0, 0, 1);
    cr_assert_null(r.engine.engines.departed);
}

Test(rule_room, a_row_of_the_end_that_finds_no_room_was_not_done)
{
    rule_rig_begin(&r, "[[event]]\non = \"disconnect\"\nemit = [{ to = \"*\", event = \"gone\" }]\n", true);
    (void)client_rig_fill(&r.engine.c, 1);
    rc_client_end(&r.engine.c.clients, r.engine.session);
    rule_rig_counted(&r, 0, 0, 1);
}

static uint64_t metric(enum rc_metric_id id)
{
    return rc_metric_get(r.engine.c.rig.metrics, id);
}

/* Answered or not, and how, is known at the end. */
Test(rule_room, a_question_is_counted_once)
{
    rule_rig_begin(&r, COUNTS, true);
    asks("421[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    were_asked_in(1u << 1, RC_CALL_SCOPE_LOCAL);
    engine_rig_wait(&r.engine, RC_RULE_ROOM_MS + 50);
    rc_asks_expire(&r.engine.c.asks);
    engine_rig_pass(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert(metric(RC_METRIC_ROOMS_LOCAL) == 0 && metric(RC_METRIC_ROOMS_UNANSWERED) == 1, "it has no answer");
    asks("422[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    were_asked_in(1u << 1, RC_CALL_SCOPE_LOCAL);
    replies(1, 1, "", 0);
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert(metric(RC_METRIC_ROOMS_LOCAL) == 1 && metric(RC_METRIC_ROOMS_UNANSWERED) == 1);
    asks("423[\"how many\",\"a\"]");
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    were_asked_in(0, RC_CALL_SCOPE_ALL);
    replies(RC_WORKER_FOREIGN, 1, "", RC_REPLY_MORE);
    replies(RC_WORKER_FOREIGN, 1, "", RC_REPLY_MORE | RC_REPLY_LAST);
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_eq(metric(RC_METRIC_ROOMS_LOCAL), 2);
}

/* Of who is no more. */
Test(rule_room, a_row_of_the_end_that_goes_on_and_finds_no_room_is_one_loss)
{
    rule_rig_begin(
        &r, "[[event]]\non = \"disconnect\"\nemit = [{ to = \"*\", event = \"gone\", args = [\"{count:a}\"] }]\n",
        true);
    rc_client_end(&r.engine.c.clients, r.engine.session);
    cr_assert_eq(went_up(), RC_CALL_ROOM_COUNT);
    (void)client_rig_fill(&r.engine.c, 1);
    were_asked(0);
    rule_rig_counted(&r, 0, 0, 1);
    cr_assert_eq(metric(RC_METRIC_FAILED_DELIVERIES), 1);
}
