/* Guards of [[event]] rows: who may, from where, and whose turn it is to wait. */
#include "worker/engine/rule_guard.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"
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

TestSuite(rule_guard, .init = open_all, .fini = close_all, .timeout = 20);

#define TELLS "emit = [{to = \"*\"}]\n"

#define ROOM "[[event]]\non = \"join\"\njoin = [\"r:{args.0}\"]\n"

Test(rule_guard, who_keeps_the_anonymous_out_and_users_without_the_attribute)
{
    rule_rig_begin(&r,
                   "[[event]]\non = \"a\"\nwho = \"user\"\n" TELLS
                   "[[event]]\non = \"b\"\nwho = { tier = \"gold\" }\n" TELLS
                   "[[event]]\non = \"c\"\nwho = { id = \"42\" }\n" TELLS,
                   true);
    rule_rig_says(&r, "421[\"a\",1]");
    rule_rig_expect(&r,
                    "431[{\"error\":{\"code\":401,\"message\":\"only users may do this, and you are anonymous\"}}]");
    rule_rig_says(&r, "42[\"b\",1]");
    rule_rig_expect(&r, "42[\"error\",{\"code\":401,\"message\":\"only users may do this, and you are anonymous\"}]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "");
    client_rig_user(&r.engine.c, r.engine.session, "42");
    rule_rig_says(&r, "42[\"a\",2]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[2]");
    rule_rig_says(&r, "42[\"b\",3]");
    rule_rig_expect(&r, "42[\"error\",{\"code\":403,\"message\":\"you may not do this\"}]");
    rule_rig_says(&r, "42[\"c\",4]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[4]");
}

Test(rule_guard, inside_asks_for_the_room)
{
    rule_rig_begin(&r, ROOM "[[event]]\non = \"say\"\ninside = \"r:{args.0}\"\n" TELLS, true);
    rule_rig_says(&r, "42[\"say\",\"a\"]");
    rule_rig_expect(&r, "42[\"error\",{\"code\":403,\"message\":\"you are not in this room\"}]");
    rule_rig_says(&r, "421[\"say\"]");
    rule_rig_expect(&r, "431[{\"error\":{\"code\":400,\"message\":\"args.0 is missing\"}}]");
    rule_rig_says(&r, "42[\"join\",\"a\"]");
    engine_rig_settle(&r.engine);
    rule_rig_says(&r, "42[\"say\",\"a\"]");
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"a\"]");
    rule_rig_says(&r, "42[\"say\",\"b\"]");
    rule_rig_expect(&r, "42[\"error\",{\"code\":403,\"message\":\"you are not in this room\"}]");
}

/* Who joins and says at once is in the room as soon as the relay knows. */
Test(rule_guard, inside_waits_for_a_join_before_it)
{
    rule_rig_begin(&r, ROOM "[[event]]\non = \"say\"\ninside = \"r:{args.0}\"\n" TELLS, true);
    rule_rig_says(&r, "42[\"join\",\"a\"]");
    rule_rig_posts(&r, "42[\"say\",\"a\"]");
    cr_assert_eq(rule_rig_answer(&r), 0, "it waits");
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    cr_assert_str_eq(rule_rig_went_up(&r, NULL), "[\"a\"]");
}

/* The rows of a life cycle are passed over when their guards do not hold; the others run. */
Test(rule_guard, guards_of_a_life_cycle_pass_over)
{
    rule_rig_begin(&r,
                   "[[event]]\non = \"connect\"\nwho = \"user\"\nemit = [{event = \"user\"}]\n"
                   "[[event]]\non = \"connect\"\nmatch = { \"auth.v\" = 2 }\nemit = [{event = \"second\"}]\n"
                   "[[event]]\non = \"connect\"\nemit = [{event = \"all\"}]\n",
                   false);
    rule_rig_posts(&r, "40{\"v\":2}");
    engine_rig_settle(&r.engine);
    cr_assert_eq(rule_rig_answer(&r), 200);
    engine_rig_request(&r.engine, r.get, r.engine.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r.engine, r.get), 200);
    cr_assert_not_null(strstr(r.get->text, "42[\"second\"]\x1e"
                                           "42[\"all\"]"),
                       "%s", r.get->text);
    cr_assert_null(strstr(r.get->text, "user"));
}
