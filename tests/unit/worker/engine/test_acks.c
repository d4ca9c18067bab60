/* Events that clients are to answer: what is asked, what goes up, and that nothing is waited for longer, or more, than it may be. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/emit.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/acks.h"

static struct engine_rig r;
static struct engine_rig_wire *post;
static struct engine_rig_wire *get;

static void open_all(void)
{
    engine_rig_open(&r);
    r.c.rig.config->socketio.ack_timeout_ms = 60000;
    r.c.rig.config->socketio.max_attachments = 10;
    r.c.rig.config->socketio.namespace_count = 2;
    strcpy(r.c.rig.config->socketio.namespaces[0].text, "/");
    strcpy(r.c.rig.config->socketio.namespaces[1].text, "/n*");
    engine_rig_rows(&r, "");
    engine_rig_begin(&r, true);
    post = engine_rig_wire(&r);
    get = engine_rig_wire(&r);
}

static void close_all(void)
{
    const struct rc_truth *truth = &r.c.rig.truth;
    engine_rig_close(&r);
    cr_assert_eq(truth->acks.used, 0);
}

TestSuite(acks, .init = open_all, .fini = close_all, .timeout = 20);

static uint64_t counted(enum rc_metric_id id)
{
    return rc_metric_get(r.c.clients.metrics, id);
}

/* Asks everybody in the namespace, [1]; what the first reply says. -1: none went up. */
static int64_t ask_in(const char *nsp, uint32_t timeout_ms, uint32_t flags)
{
    struct rc_envelope_view up;
    struct rc_reply_head reply;
    uint32_t type;
    engine_rig_ask(&r, nsp, timeout_ms, flags);
    if (!client_rig_up(&r.c, &type, &up)) {
        return -1;
    }
    cr_assert_eq(type, RC_UP_REPLY);
    cr_assert_eq(up.head.target.worker, 9);
    cr_assert_eq(up.head.data_bytes, sizeof(reply));
    memcpy(&reply, up.data, sizeof(reply));
    cr_assert_eq(reply.flags, 0);
    return reply.count;
}

static int64_t ask(uint32_t timeout_ms, uint32_t flags)
{
    return ask_in("/", timeout_ms, flags);
}

/* What the client has been sent, and the id in it; "" when there is none. */
static const char *asked_with(void)
{
    static char id[32];
    id[0] = '\0';
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    const char *packet = strchr(get->text, '4');
    cr_assert(packet != NULL && packet[1] == '2', "%s", get->text);
    (void)sscanf(packet + 2, "%31[0-9]", id);
    cr_assert_not_null(strstr(packet, "[\"q\",1]"), "%s", get->text);
    return id;
}

/* The next record that is an answer, as text; "" when there is none. */
static const char *went_up(void)
{
    static char text[256];
    struct rc_envelope_view up;
    struct rc_reply_head reply;
    struct rc_answer_head head;
    struct rc_span asker;
    struct rc_args_view args;
    struct rc_call_tag tag;
    uint32_t type;
    text[0] = '\0';
    do {
        if (!client_rig_up(&r.c, &type, &up)) {
            return text;
        }
    } while (type != RC_UP_REPLY);
    cr_assert(rc_call_tag_read(&up, &tag) && tag.nonce == 5 && tag.index == 6 && tag.serial == 7);
    cr_assert_eq(up.head.target.worker, 9);
    memcpy(&reply, up.data, sizeof(reply));
    size_t used = (size_t)snprintf(text, sizeof(text), "%s%s%s", reply.flags & RC_REPLY_CLIENT ? "ack" : "?",
                                   reply.flags & RC_REPLY_LAST ? " last" : "",
                                   reply.flags & RC_REPLY_INCOMPLETE ? " incomplete" : "");
    if (reply.count == 0) {
        return text;
    }
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(&r.engines, r.session, RC_SPAN("/"), sid);
    cr_assert_eq(rc_answer_read(rc_span_of(up.data, up.head.data_bytes), &head, &asker, &args), 0);
    cr_assert(rc_span_equal(asker, RC_SPAN("who")));
    (void)snprintf(text + used, sizeof(text) - used, " %s %.*s+%u",
                   memcmp(sid, head.sid, sizeof(sid)) == 0 ? "it" : "other", (int)args.json.count, args.json.bytes,
                   args.attachment_count);
    return text;
}

static int posted(const char *format, const char *id)
{
    char body[128];
    const char *mark = strchr(format, '$');
    cr_assert_not_null(mark);
    (void)snprintf(body, sizeof(body), "%.*s%s%s", (int)(mark - format), format, id, mark + 1);
    engine_rig_request(&r, post, r.sid, body);
    engine_rig_settle(&r);
    return engine_rig_answer(&r, post);
}

Test(acks, an_answer_goes_up_once)
{
    cr_assert_eq(ask(0, 0), 1);
    const char *id = asked_with();
    cr_assert_str_eq(id, "1073741824");
    cr_assert_eq(counted(RC_METRIC_ACKS), 1);
    cr_assert_eq(posted("43$[\"yes\",2]", id), 200);
    cr_assert_str_eq(went_up(), "ack it [\"yes\",2]+0");
    cr_assert_eq(counted(RC_METRIC_ACKS), 0);
    cr_assert_eq(r.c.rig.truth.emits.used, 0);
    cr_assert_eq(posted("43$[\"again\"]", id), 200);
    cr_assert_str_eq(went_up(), "");
    cr_assert_eq(counted(RC_METRIC_ACKS_LATE), 1);
    cr_assert_eq(ask(0, 0), 1);
    cr_assert_str_eq(asked_with(), "1073741825", "each is another");
}

Test(acks, with_attachments)
{
    cr_assert_eq(ask(0, 0), 1);
    const char *id = asked_with();
    cr_assert_eq(posted("461-$[{\"_placeholder\":true,\"num\":0}]\x1e"
                        "bAQI=",
                        id),
                 200);
    cr_assert_str_eq(went_up(), "ack it [{\"_placeholder\":true,\"num\":0}]+1");
}

Test(acks, what_nobody_was_asked_is_counted_and_harmless)
{
    cr_assert_eq(ask(0, 0), 1);
    const char *id = asked_with();
    char next[32];
    (void)snprintf(next, sizeof(next), "%lu", strtoul(id, NULL, 10) + 1);
    static const char *const ids[] = {"", "0", "1073741823", "2147483648", "4294967296", "9007199254740991"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        cr_assert_eq(posted("43$[]", ids[i]), 200);
    }
    cr_assert_eq(posted("43$[]", next), 200);
    cr_assert_eq(counted(RC_METRIC_ACKS_UNKNOWN), 7);
    cr_assert_eq(counted(RC_METRIC_ACKS_LATE), 0);
    cr_assert_eq(posted("40/n1,\x1e"
                        "43/n1,$[]",
                        id),
                 200);
    cr_assert_eq(counted(RC_METRIC_ACKS_LATE), 1, "another of its sockets was asked");
    cr_assert_str_eq(went_up(), "");
    cr_assert_eq(posted("43$[]", id), 200);
    cr_assert_str_eq(went_up(), "ack it []+0");
}

Test(acks, the_time_is_up)
{
    cr_assert_eq(ask(500, 0), 1);
    cr_assert_eq(ask(0, RC_EMIT_TELL_END), 1);
    engine_rig_wait(&r, 490);
    cr_assert_eq(counted(RC_METRIC_ACKS_EXPIRED), 0);
    engine_rig_wait(&r, 40);
    cr_assert_eq(counted(RC_METRIC_ACKS_EXPIRED), 1);
    cr_assert_str_eq(went_up(), "", "who asks has a clock");
    r.c.rig.config->socketio.ack_timeout_ms = 100;
    cr_assert_eq(ask(UINT32_MAX, RC_EMIT_TELL_END), 1);
    engine_rig_wait(&r, 130);
    cr_assert_eq(counted(RC_METRIC_ACKS_EXPIRED), 2, "the configuration says at most how long");
    cr_assert_str_eq(went_up(), "ack last incomplete");
    cr_assert_eq(counted(RC_METRIC_ACKS), 1);
}

Test(acks, who_leaves_is_not_waited_for)
{
    cr_assert_eq(posted("40/n1,$", ""), 200);
    cr_assert_eq(ask_in("/n1", 0, 0), 1);
    cr_assert_eq(ask(0, RC_EMIT_TELL_END), 1);
    cr_assert_eq(posted("41/n1$", ","), 200);
    cr_assert_eq(counted(RC_METRIC_ACKS_GONE), 1);
    cr_assert_eq(counted(RC_METRIC_ACKS), 1, "the other socket stays");
    cr_assert_eq(posted("40/n1,$", ""), 200);
    cr_assert_eq(posted("43/n1,$[]", "1073741824"), 200);
    cr_assert_eq(counted(RC_METRIC_ACKS_LATE), 1, "it came back as another");
    rc_client_end(&r.c.clients, r.session);
    cr_assert_eq(counted(RC_METRIC_ACKS_GONE), 2);
    cr_assert_eq(counted(RC_METRIC_ACKS), 0);
    engine_rig_wait(&r, 20);
    cr_assert_str_eq(went_up(), "ack last incomplete");
    cr_assert_eq(r.c.rig.truth.emits.used, 0);
}

Test(acks, the_last_answer_is_the_end)
{
    cr_assert_eq(ask(0, RC_EMIT_TELL_END), 1);
    cr_assert_eq(posted("43$[]", "1073741824"), 200);
    cr_assert_str_eq(went_up(), "ack last it []+0");
    engine_rig_wait(&r, 61000);
    cr_assert_str_eq(went_up(), "");
    cr_assert_eq(ask_in("/n2", 0, RC_EMIT_TELL_END), 0, "nobody: that is the end");
    cr_assert_eq(r.c.rig.truth.emits.used, 0);
}

Test(acks, a_client_owes_so_many_and_gets_the_others_without_an_id)
{
    for (uint32_t i = 0; i < RC_ACKS_OF_CLIENT_MAX; i++) {
        cr_assert_eq(ask(0, 0), 1);
    }
    cr_assert_eq(ask(0, RC_EMIT_TELL_END), 1, "it counts: who asks is not told that nobody is there");
    cr_assert_eq(counted(RC_METRIC_ACKS_REFUSED), 1);
    cr_assert_eq(counted(RC_METRIC_ACKS), RC_ACKS_OF_CLIENT_MAX);
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_not_null(strstr(get->text, "42[\"q\",1]"));
    engine_rig_wait(&r, 20);
    cr_assert_str_eq(went_up(), "ack last incomplete");
    cr_assert_eq(posted("43$[]", "1073741824"), 200);
    cr_assert_str_eq(went_up(), "ack it []+0");
    cr_assert_eq(ask(0, 0), 1);
    cr_assert_eq(counted(RC_METRIC_ACKS_REFUSED), 1, "there is a place again");
}

/* Between two polls it takes nothing that is volatile. */
Test(acks, a_volatile_question_counts_who_cannot_take_it_and_does_not_wait_for_them)
{
    cr_assert_eq(ask(0, 0), 1);
    cr_assert_eq(ask(0, RC_EMIT_VOLATILE | RC_EMIT_TELL_END), 1);
    cr_assert_eq(counted(RC_METRIC_ACKS), 1);
    engine_rig_wait(&r, 20);
    cr_assert_str_eq(went_up(), "ack last incomplete");
    cr_assert_str_eq(asked_with(), "1073741824", "the first");
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_pass(&r);
    cr_assert_eq(ask(0, RC_EMIT_VOLATILE), 1);
    cr_assert_eq(counted(RC_METRIC_ACKS), 2);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_not_null(strstr(get->text, "1073741826[\"q\",1]"));
}

Test(acks, without_a_place_for_it_nobody_is_waited_for)
{
    struct rc_pool *emits = &r.c.rig.truth.emits;
    const uint32_t most = emits->count_max;
    emits->count_max = emits->high;
    cr_assert_eq(ask(0, 0), 1);
    cr_assert_str_eq(asked_with(), "");
    cr_assert_eq(counted(RC_METRIC_ACKS_REFUSED), 1);
    emits->count_max = most;
}

Test(acks, an_answer_waits_for_the_up_ring)
{
    cr_assert_eq(ask(0, 0), 1);
    (void)client_rig_fill(&r.c, 64);
    engine_rig_request(&r, post, r.sid, "431073741824[7]");
    engine_rig_pass(&r);
    cr_assert_eq(engine_rig_answer(&r, post), 0, "its POST is not answered");
    cr_assert_eq(counted(RC_METRIC_ACKS), 1);
    cr_assert_str_eq(went_up(), "");
    engine_rig_pass(&r);
    cr_assert_eq(engine_rig_answer(&r, post), 200);
    cr_assert_str_eq(went_up(), "ack it [7]+0");
}

Test(acks, the_end_waits_for_the_up_ring)
{
    cr_assert_eq(ask(100, RC_EMIT_TELL_END), 1);
    (void)client_rig_fill(&r.c, 64);
    engine_rig_wait(&r, 150);
    cr_assert_eq(counted(RC_METRIC_ACKS_EXPIRED), 1);
    cr_assert_str_eq(went_up(), "");
    engine_rig_wait(&r, 100);
    cr_assert_str_eq(went_up(), "ack last incomplete");
    cr_assert_eq(r.c.rig.truth.emits.used, 0);
}

Test(acks, ids_begin_again_and_are_known)
{
    r.c.rig.truth.layout->emit_count = 2 * RC_ACKS_ID_FIRST - 1;
    cr_assert_eq(ask(0, 0), 1);
    cr_assert_str_eq(asked_with(), "2147483647");
    cr_assert_eq(ask(0, 0), 1);
    cr_assert_str_eq(asked_with(), "1073741824");
    cr_assert_eq(posted("43$[]", "2147483647"), 200);
    cr_assert_str_eq(went_up(), "ack it []+0");
    cr_assert_eq(posted("43$[]", "1073741824"), 200);
    cr_assert_str_eq(went_up(), "ack it []+0");
}

/* Killed between its record and its end: it has gone up, and is neither waited for nor counted as missing. */
Test(acks, an_answer_that_a_predecessor_has_handed_on_is_not_waited_for)
{
    struct rc_truth *truth = &r.c.rig.truth;
    struct rc_truth_acking *acking = &truth->layout->acking;
    (void)ask(5000, 0);
    cr_assert_eq(truth->acks.used, 1);
    acking->ack = r.engines.acks[r.session];
    acking->up_position = r.c.uplink.up.position;
    rc_acks_taken(&r.engines);
    cr_expect_eq(truth->acks.used, 1, "it had not gone up: it comes again with what the client has said");
    cr_expect_eq(acking->ack, 0);
    acking->ack = r.engines.acks[r.session];
    acking->up_position = r.c.uplink.up.position - 8;
    rc_acks_taken(&r.engines);
    cr_expect_eq(truth->acks.used, 0);
    cr_expect_eq(truth->emits.used, 0);
    cr_expect_eq(acking->ack, 0);
    acking->ack = 1;
    rc_acks_taken(&r.engines);
    cr_expect_eq(acking->ack, 0, "it was dropped already");
}
