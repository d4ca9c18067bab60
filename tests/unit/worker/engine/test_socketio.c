/* Namespaces and events of Socket.IO sessions: what they hold, what ends them, and that it is given back. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/socketio.h"

static struct engine_rig r;
static struct engine_rig_wire *post;

static void open_all(void)
{
    engine_rig_open(&r);
    r.c.rig.config->socketio.namespace_count = 2;
    strcpy(r.c.rig.config->socketio.namespaces[0].text, "/");
    strcpy(r.c.rig.config->socketio.namespaces[1].text, "/n*");
    engine_rig_rows(
        &r, "[[event]]\non = \"say\"\nemit = [{to = \"*\"}]\n[[event]]\non = \"join\"\njoin = [\"{args.0}\"]\n");
    engine_rig_begin(&r, true);
    post = engine_rig_wire(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(socketio, .init = open_all, .fini = close_all, .timeout = 20);

static int posted(const char *body)
{
    engine_rig_request(&r, post, r.sid, body);
    engine_rig_settle(&r);
    return engine_rig_answer(&r, post);
}

static const struct rc_client *its(void)
{
    return rc_truth_client(&r.c.rig.truth, r.session);
}

static struct rc_span parked(uint32_t *count)
{
    uint32_t type;
    static struct rc_envelope_view view;
    struct rc_args_view args = {0};
    while (client_rig_up(&r.c, &type, &view)) {
        if (type == RC_UP_PUBLISH && rc_args_read(rc_span_of(view.data, view.head.data_bytes), &args) == 0) {
            break;
        }
    }
    *count = args.attachment_count;
    return args.json;
}

Test(socketio, each_namespace_counts_among_the_channels_of_a_client)
{
    char packet[32];
    r.c.rig.config->limits.max_channels = 5;
    for (uint32_t i = 0; i < 8; i++) {
        (void)snprintf(packet, sizeof(packet), "40/n%u,", i);
        cr_assert_eq(posted(packet), 200);
    }
    cr_assert_eq(its()->subscription_count, 5);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_not_null(strstr(get->text, "44/n7,{\"message\":\"too many namespaces and rooms\"}"), "%s", get->text);
    cr_assert_eq(posted("42/n7,[\"say\"]"), 400, "it has not joined it");
}

/* A room whose registration comes after the client has left its namespace is nobody's. */
Test(socketio, rooms_that_wait_are_left_with_their_namespace)
{
    engine_rig_request(&r, post, r.sid, "42[\"join\",\"a\"]");
    cr_assert_eq(its()->pending_count, 1);
    engine_rig_request(&r, post, r.sid, "41");
    cr_assert_eq(its()->pending_count, 0);
    engine_rig_settle(&r);
    cr_assert_eq(its()->subscription_count, 0);
    cr_assert(engine_rig_lives(&r, r.session));
}

Test(socketio, a_dismissed_socket_that_waited_for_its_namespace_does_not_wait_any_more)
{
    engine_rig_request(&r, post, r.sid, "40/n1,");
    cr_assert(its()->flags & RC_CLIENT_WAITS_JOIN);
    rc_socketio_dismiss(&r.engines, r.session, RC_SPAN("/n1"));
    cr_assert(!(its()->flags & RC_CLIENT_WAITS_JOIN));
    engine_rig_pass(&r);
    cr_assert_eq(engine_rig_answer(&r, post), 200);
    cr_assert_eq(posted("42[\"say\"]"), 200, "the others go on");
}

Test(socketio, attachments_are_put_to_their_event)
{
    uint32_t count;
    cr_assert_eq(posted("452-[\"say\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]"), 200);
    cr_assert_neq(rc_engine_of(&r.engines, r.session)->packet, 0);
    cr_assert_eq(posted("bAAEC\x1e"
                        "bAwQ="),
                 200);
    const struct rc_span json = parked(&count);
    cr_assert_eq(count, 2);
    cr_assert_eq(json.bytes[0], '[');
    cr_assert_eq(rc_engine_of(&r.engines, r.session)->packet, 0);
    cr_assert_eq(r.c.rig.hub.input_bytes, 0);
}

Test(socketio, text_in_the_place_of_an_attachment_ends_it_and_all_is_given_back)
{
    cr_assert_eq(posted("40/n1,"), 200);
    cr_assert_eq(posted("452-[\"say\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]\x1e"
                        "bAAEC"),
                 200);
    cr_assert_gt(r.c.rig.hub.input_bytes, 0);
    cr_assert_eq(posted("42[\"say\"]"), 400);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(r.c.rig.hub.input_bytes, 0);
}

Test(socketio, an_event_may_not_be_larger_with_its_attachments_than_a_message)
{
    char body[9000] = "";
    static const char head[] = "451-[\"say\",{\"_placeholder\":true,\"num\":0}]\x1e"
                               "b";
    r.c.rig.config->limits.max_message_size_bytes = 4096;
    memcpy(body, head, sizeof(head) - 1);
    memset(body + sizeof(head) - 1, 'A', 8000);
    cr_assert_eq(posted(body), 400);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(r.c.rig.hub.input_bytes, 0);
}

Test(socketio, leaving_and_coming_back_is_another_socket)
{
    char first[RC_SID_BYTES];
    char second[RC_SID_BYTES];
    rc_engine_nsp_sid(&r.engines, r.session, RC_SPAN("/"), first);
    cr_assert_eq(posted("41\x1e"
                        "40"),
                 200);
    rc_engine_nsp_sid(&r.engines, r.session, RC_SPAN("/"), second);
    cr_assert_neq(memcmp(first, second, RC_SID_BYTES), 0);
    cr_assert_eq(posted("41\x1e"
                        "41"),
                 400);
}
