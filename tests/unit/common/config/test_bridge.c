/* What a [[bridge]] may say: one place to listen, and stars for all that is said of them. */
#include "common/config/bridge.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/base/span.h"

static struct rc_err err;

static int check(const char *redis, const char *pattern, const char *room, const char *arg)
{
    static struct rc_config_bridge bridge;
    bridge = (struct rc_config_bridge){.args_count = arg[0] != '\0'};
    (void)snprintf(bridge.redis.text, sizeof(bridge.redis.text), "%s", redis);
    (void)snprintf(bridge.pattern.text, sizeof(bridge.pattern.text), "%s", pattern);
    (void)snprintf(bridge.room.text, sizeof(bridge.room.text), "%s", room);
    (void)snprintf(bridge.args[0].text, sizeof(bridge.args[0].text), "%s", arg);
    return rc_config_bridge_check(&bridge, &err);
}

Test(config_bridge, one_place_to_listen)
{
    cr_assert_eq(check("a", "", "r", ""), 0);
    cr_assert_eq(check("", "a*", "r", ""), 0);
    cr_assert_lt(check("", "", "r", ""), 0);
    cr_assert_str_eq(err.text, "this [[bridge]] needs a redis or a pattern");
    cr_assert_lt(check("a", "a*", "r", ""), 0);
    cr_assert_str_eq(err.text, "this [[bridge]] has redis and pattern: make two of it");
}

Test(config_bridge, stars_for_all_that_is_said_of_them)
{
    cr_assert_eq(check("", "*.*", "{match.1}", "{match.2}"), 0);
    cr_assert_lt(check("", "*.*", "{match.1}", "x{match.3}"), 0);
    cr_assert_str_eq(err.text, "{match.3} of this [[bridge]]: its pattern has 2 stars");
    cr_assert_lt(check("", "\\*[*]*", "{match.2}", ""), 0, "those that stand for themselves are none");
    cr_assert_str_eq(err.text, "{match.2} of this [[bridge]]: its pattern has 1 star");
    cr_assert_lt(check("a", "", "{match.1}", ""), 0);
}

Test(config_bridge, fields)
{
    cr_assert(rc_config_bridge_field(RC_SPAN("json")) && rc_config_bridge_field(RC_SPAN("json.a.b")));
    cr_assert(rc_config_bridge_field(RC_SPAN("match.1")) && rc_config_bridge_field(RC_SPAN("match.16")));
    cr_assert_not(rc_config_bridge_field(RC_SPAN("match.0")));
    cr_assert_not(rc_config_bridge_field(RC_SPAN("match.17")));
    cr_assert_not(rc_config_bridge_field(RC_SPAN("match.")));
    cr_assert_not(rc_config_bridge_field(RC_SPAN("match.1x")));
    cr_assert_not(rc_config_bridge_field(RC_SPAN("match.001")));
    cr_assert_not(rc_config_bridge_field(RC_SPAN("jso")));
    cr_assert_eq(rc_config_bridge_star(RC_SPAN("match.12")), 12);
    cr_assert_eq(rc_config_bridge_star(RC_SPAN("json.match.1")), 0);
}
