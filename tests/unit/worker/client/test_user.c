/* Who a client is, and what is known of it: what rows set, an identity that comes later. A real hub, the relay's ring read back. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "tests/support/client_rig.h"

static struct client_rig c;
static uint32_t slot;

static void open_all(void)
{
    client_rig_open(&c, 8);
    slot = hub_rig_connect(&c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

static void close_all(void)
{
    client_rig_close(&c);
}

TestSuite(user, .init = open_all, .fini = close_all);

static void expect_set(const char *text)
{
    const struct rc_span set = rc_client_set(&c.clients, slot);
    cr_assert(rc_span_equal(set, rc_span_text(text)), "%.*s instead of %s", (int)set.count, (const char *)set.bytes,
              text);
}

static int merge(const char *text)
{
    return rc_client_set_merge(&c.clients, slot, rc_span_text(text));
}

Test(user, what_rows_set_is_merged_and_the_latter_of_a_name_stays)
{
    expect_set("");
    cr_assert_eq(merge("{}"), 0);
    expect_set("");
    cr_assert_eq(merge("{\"a\": 1, \"b\":\"x\"}"), 0);
    expect_set("{\"a\":1,\"b\":\"x\"}");
    cr_assert_eq(merge("{\"\\u0062\":[2,{}],\"c\":null,\"c\":true}"), 0);
    expect_set("{\"a\":1,\"\\u0062\":[2,{}],\"c\":true}");
    cr_assert_eq(merge("{\"a\":2,\"b\":3}"), 0);
    expect_set("{\"c\":true,\"a\":2,\"b\":3}");
    cr_assert_eq(rc_client_user(&c.clients, slot).count, 0);
    cr_assert_eq(c.clients.users, 0, "it is nobody all the same");
}

Test(user, what_is_too_much_or_no_object_changes_nothing)
{
    char text[RC_RULE_SET_MAX + 64];
    cr_assert_eq(merge("{\"kept\":1}"), 0);
    cr_assert_eq(merge("[1]"), -EBADMSG);
    cr_assert_eq(merge("{\"a\":1"), -EBADMSG);
    cr_assert_eq(merge("{\"a\":}"), -EBADMSG);
    (void)snprintf(text, sizeof(text), "{\"a\":\"%0*d\"}", (int)RC_RULE_SET_MAX - 12, 0);
    cr_assert_eq(merge(text), -E2BIG, "beside what is there");
    size_t used = 0;
    for (uint32_t i = 0; i < RC_RULE_SET_MEMBERS_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\"m%u\":%u", i == 0 ? "{" : ",", i, i);
    }
    (void)snprintf(text + used, sizeof(text) - used, "}");
    cr_assert_eq(merge(text), -E2BIG, "%u and one", RC_RULE_SET_MEMBERS_MAX);
    expect_set("{\"kept\":1}");
}

Test(user, an_identity_may_come_later_and_stays_who_it_is)
{
    uint8_t scratch[RC_CLIENT_USER_JSON_MAX];
    cr_assert_eq(rc_client_user_json(&c.clients, slot, scratch).count, 0);
    cr_assert_eq(merge("{\"name\":\"ann\"}"), 0);
    cr_assert_eq(rc_client_user_json(&c.clients, slot, scratch).count, 0, "what is set makes nobody a user");
    struct rc_identity identity = {.user = RC_SPAN("a\"b"), .expires_ms = 7, .row = 2};
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), 0);
    cr_assert(rc_span_equal(rc_client_user(&c.clients, slot), RC_SPAN("a\"b")));
    cr_assert(rc_span_equal(rc_client_user_json(&c.clients, slot, scratch), RC_SPAN("{\"id\":\"a\\\"b\"}")));
    cr_assert_eq(c.clients.users, 1);
    identity.attributes = RC_SPAN("{\"id\":\"a\\\"b\",\"tier\":\"premium\"}");
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), 0, "renewed");
    cr_assert(rc_span_equal(rc_client_user_json(&c.clients, slot, scratch), identity.attributes));
    cr_assert_eq(c.clients.users, 1);
    identity.user = RC_SPAN("somebody else");
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), -EEXIST);
    expect_set("{\"name\":\"ann\"}");
    rc_client_forget_user(&c.clients, slot);
    cr_assert_eq(c.clients.users, 0);
    expect_set("");
    cr_assert_eq(rc_client_user(&c.clients, slot).count, 0);
}

Test(user, an_end_that_a_backend_sets_holds_whoever_it_is)
{
    const struct rc_identity nobody = {.bound_ms = 9000};
    cr_assert_eq(rc_client_begin_as(&c.clients, slot, &nobody), 0);
    cr_assert_eq(rc_client_user(&c.clients, slot).count, 0, "it is nobody all the same");
    cr_assert_eq(c.clients.users, 0);
    const struct rc_user *user = rc_truth_user(&c.rig.truth, rc_truth_client(&c.rig.truth, slot)->user);
    cr_assert_eq(rc_client_end_ms(user), 9000);
    cr_assert_eq(c.clients.expiry.pending, 1);
    struct rc_identity identity = {.user = RC_SPAN("ann"), .expires_ms = 12000, .row = 1};
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), 0);
    cr_assert_eq(rc_client_end_ms(user), 9000, "of both the earlier");
    cr_assert_eq(rc_client_bound(&c.clients, slot, 10000, 0), 0);
    cr_assert_eq(rc_client_end_ms(user), 9000, "of several bounds the earliest");
    identity.expires_ms = 8000;
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), 0);
    cr_assert_eq(rc_client_end_ms(user), 8000);
    rc_client_forget_user(&c.clients, slot);
    cr_assert_eq(c.clients.expiry.pending, 0);
}

static uint64_t expired(void)
{
    return rc_metric_get(c.clients.metrics, RC_METRIC_IDENTITY_EXPIRED);
}

/* By hand, as if the clock had been another one when the time of the end was reckoned. */
static void clock_was_behind_by(int64_t ms)
{
    c.clients.wall_ahead_ms -= (uint64_t)ms;
}

static void expire_in(uint32_t ticks)
{
    c.rig.io.now_ds += ticks;
    rc_clients_expire(&c.clients);
}

Test(user, whose_credential_has_ended_since_the_clock_was_set_is_closed)
{
    const int64_t day_ms = 86400000;
    const struct rc_identity identity = {
        .user = RC_SPAN("ann"), .expires_ms = rc_clock_wall_ms() + (uint64_t)day_ms, .row = 1};
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), 0);
    expire_in(1);
    cr_assert_eq(expired(), 0);
    rc_truth_user(&c.rig.truth, rc_truth_client(&c.rig.truth, slot)->user)->expires_ms -= (uint64_t)day_ms + 1000u;
    expire_in(1);
    cr_assert_eq(expired(), 0, "its timer goes by the other clock");
    clock_was_behind_by(day_ms + 1000);
    expire_in(2);
    cr_assert_eq(expired(), 1);
}

Test(user, a_clock_that_was_set_back_closes_nobody)
{
    const int64_t day_ms = 86400000;
    struct rc_identity identity = {.user = RC_SPAN("ann"), .expires_ms = rc_clock_wall_ms() + 50, .row = 1};
    cr_assert_eq(rc_client_identify(&c.clients, slot, &identity), 0);
    rc_truth_user(&c.rig.truth, rc_truth_client(&c.rig.truth, slot)->user)->expires_ms += (uint64_t)day_ms;
    clock_was_behind_by(-day_ms);
    expire_in(100);
    cr_assert_eq(expired(), 0);
    cr_assert_eq(c.clients.expiry.pending, 1, "it has its end still");
}

Test(user, who_has_to_say_who_it_is_has_its_time_whatever_the_clock_is_set_to)
{
    const uint32_t before = c.rig.io.now_ds;
    cr_assert_eq(rc_client_must_say(&c.clients, slot), 0);
    clock_was_behind_by(86400000);
    expire_in(1);
    clock_was_behind_by(-86400000);
    expire_in(1);
    cr_assert_eq(expired(), 0);
    expire_in((uint32_t)(c.clients.config->limits.handshake_timeout_ms / 100u) - (c.rig.io.now_ds - before) + 2u);
    cr_assert_eq(expired(), 1);
}
