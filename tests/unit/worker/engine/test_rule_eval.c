/* Templates of a row for the event it is carried out for: arguments with their attachments, rooms that a client names. */
#include "worker/engine/rule_eval.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "tests/support/rule_rig.h"

static struct rule_rig r;

static void open_all(void)
{
    rule_rig_open(&r);
}

static void close_all(void)
{
    rule_rig_close(&r);
}

TestSuite(rule_eval, .init = open_all, .fini = close_all, .timeout = 20);

Test(rule_eval, attachments_that_are_left_out_do_not_go_along)
{
    struct rc_envelope_view view;
    struct rc_args_view args;
    rule_rig_begin(&r,
                   "[[event]]\non = \"all\"\nemit = [{to = \"*\"}]\n"
                   "[[event]]\non = \"one\"\nemit = [{to = \"*\", args = [\"{args.1}\"]}]\n",
                   true);
    const char *const sent = "[\"%s\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]\x1e"
                             "bAQI=\x1e"
                             "bAwQF";
    char packet[256];
    (void)snprintf(packet, sizeof(packet), "452-[\"%s\"%s", "all", sent + strlen("[\"%s\""));
    rule_rig_says(&r, packet);
    cr_assert_str_eq(rule_rig_went_up(&r, &view),
                     "[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]");
    cr_assert_eq(rc_args_read(rc_span_of(view.data, view.head.data_bytes), &args), 0);
    cr_assert_eq(args.attachment_count, 2);
    (void)snprintf(packet, sizeof(packet), "452-[\"%s\"%s", "one", sent + strlen("[\"%s\""));
    rule_rig_says(&r, packet);
    cr_assert_str_eq(rule_rig_went_up(&r, &view), "[{\"_placeholder\":true,\"num\":0}]");
    cr_assert_eq(rc_args_read(rc_span_of(view.data, view.head.data_bytes), &args), 0);
    cr_assert_eq(args.attachment_count, 1);
    cr_assert(rc_span_equal(rc_args_attachment(&args, 0), RC_SPAN("\x03\x04\x05")));
}

Test(rule_eval, what_grows_too_large_is_refused)
{
    static char packet[1024];
    rule_rig_begin(&r, "[[event]]\non = \"a\"\nemit = [{to = \"*\", args = [\"{args.0}\", \"{args.0}\"]}]\n", true);
    r.engine.c.rig.config->limits.max_message_size_bytes = 1024;
    (void)snprintf(packet, sizeof(packet), "421[\"a\",\"%0800u\"]", 0u);
    rule_rig_says(&r, packet);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    rule_rig_expect(&r, "431[{\"error\":{\"code\":413,\"message\":\"the arguments are too large\"}}]");
}

Test(rule_eval, who_names_a_channel_namespace_needs_its_permission)
{
    struct rc_config *config = r.engine.c.rig.config;
    rule_rig_begin(&r,
                   "[[event]]\non = \"join\"\njoin = [\"{args.0}\"]\n"
                   "[[event]]\non = \"say\"\nemit = [{to = \"{args.0}\", args = []}]\n"
                   "[[event]]\non = \"leave\"\nleave = [\"{args.0}\"]\n",
                   true);
    config->namespaces[0].subscribe = RC_WHO_NONE;
    config->namespaces[0].publish = RC_WHO_USER;
    rule_rig_says(&r, "421[\"join\",\"a\"]");
    rule_rig_expect(&r, "431[{\"error\":{\"code\":403,\"message\":\"you may not use this room\"}}]");
    rule_rig_says(&r, "421[\"say\",\"a\"]");
    rule_rig_expect(&r, "431[{\"error\":{\"code\":401,\"message\":\"you may not use this room\"}}]");
    client_rig_user(&r.engine.c, r.engine.session, "42");
    rule_rig_says(&r, "42[\"say\",\"a\"]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[]");
    rule_rig_says(&r, "42[\"leave\",\"a\"]");
    rule_rig_says(&r, "42[\"say\",\"b\"]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[]", "who leaves needs none");
}

Test(rule_eval, a_room_whose_channel_has_no_name_is_told)
{
    static char packet[512];
    struct rc_config_socketio *settings = &r.engine.c.rig.config->socketio;
    (void)snprintf(settings->namespaces[settings->namespace_count++].text, RC_CONFIG_TEXT_MAX, "/admin");
    rule_rig_begin(&r, "[[event]]\nnsp = \"/admin\"\non = \"join\"\njoin = [\"{args.0}\"]\n", true);
    rule_rig_posts(&r, "40/admin,");
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    engine_rig_request(&r.engine, r.get, r.engine.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r.engine, r.get), 200);
    (void)snprintf(packet, sizeof(packet), "42/admin,1[\"join\",\"%0250u\"]", 0u);
    rule_rig_says(&r, packet);
    rule_rig_expect(&r, "43/admin,1[{\"error\":{\"code\":400,\"message\":\"the room's name is too long\"}}]");
}

/* The decoder has found the first arguments, those behind are looked for; white space is where the client put it. */
Test(rule_eval, arguments_are_found_wherever_they_stand)
{
    rule_rig_begin(&r,
                   "[[event]]\non = \"a\"\nemit = [{to = \"*\", args = [\"{args.0}\", \"{args.15}\", \"{args.16}\", "
                   "\"{args.18..}\", \"{args.20}\"]}]\n",
                   true);
    rule_rig_says(&r, "42[\"a\" , 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14, [15 ] ,16,17, 18 ,{\"x\": 19 } ] ");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[0,[15 ],16,18 ,{\"x\": 19 },null]");
    rule_rig_says(&r, "42[\"a\"]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[null,null,null,null]");
    rule_rig_says(&r, "42[\"a\",\"one\"]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"one\",null,null,null]");
}
