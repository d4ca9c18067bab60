/* How a refusal is told: as the row says, in place of an acknowledgement or as an event. */
#include "worker/engine/rule_tell.h"

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

TestSuite(rule_tell, .init = open_all, .fini = close_all, .timeout = 20);

Test(rule_tell, a_refusal_is_told_as_the_row_says)
{
    rule_rig_begin(
        &r,
        "[[event]]\non = \"a\"\nwho = \"user\"\ninside = \"x\"\n"
        "refuse = { code = \"NO\", who = \"Premium \\\"only\\\"\", event = \"oh\" }\n"
        "[[event]]\non = \"b\"\nwho = \"user\"\nrefuse = { code = 7, ack = [false, \"{error.code}: {error.message}\", \"{args.0}\"] }\n"
        "[[event]]\non = \"c\"\nwho = \"user\"\nrefuse = { ack = [\"{args.0.x.y} is text\"] }\n",
        true);
    rule_rig_says(&r, "42[\"a\"]");
    rule_rig_expect(&r, "42[\"oh\",{\"code\":\"NO\",\"message\":\"Premium \\\"only\\\"\"}]");
    rule_rig_says(&r, "421[\"a\"]");
    rule_rig_expect(&r, "431[{\"error\":{\"code\":\"NO\",\"message\":\"Premium \\\"only\\\"\"}}]");
    rule_rig_says(&r, "421[\"b\",{\"k\":[]}]");
    rule_rig_expect(&r, "431[false,\"7: only users may do this, and you are anonymous\",{\"k\":[]}]");
    rule_rig_says(&r, "421[\"c\"]");
    rule_rig_expect(&r,
                    "431[{\"error\":{\"code\":401,\"message\":\"only users may do this, and you are anonymous\"}}]");
    client_rig_user(&r.engine.c, r.engine.session, "42");
    rule_rig_says(&r, "42[\"a\"]");
    rule_rig_expect(&r, "42[\"oh\",{\"code\":\"NO\",\"message\":\"you are not in this room\"}]");
}
