/* When a channel that nobody wants is given back, and which are not. */
#include "relay/redis/pubsub_damping.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/envelope.h"
#include "relay/redis/pubsub.h"
#include "relay/redis/pubsub_ask.h"
#include "tests/support/pubsub_rig.h"

static char gone[64];

static void changed(void *context, uint64_t hash, struct rc_span name, enum rc_redis_change change)
{
    const size_t used = strlen(gone);
    (void)context;
    (void)hash;
    cr_assert_eq(change, RC_REDIS_CHANGE_GONE);
    (void)snprintf(gone + used, sizeof(gone) - used, "%.*s ", (int)name.count, (const char *)name.bytes);
}

static void open_damping(void)
{
    const struct rc_redis_pubsub_ops ops = {.channel = {.head = "c:", .changed = changed}};
    open_conn();
    cr_assert_eq(rc_redis_pubsub_init(&pubsub, &wire, "p:", false), 0);
    rc_redis_pubsub_set_ops(&pubsub, &ops);
    pubsub.nodes[0].conn = &conn;
}

static void close_damping(void)
{
    rc_redis_pubsub_free(&pubsub);
    redisFree(conn.redis);
}

TestSuite(pubsub_damping, .init = open_damping, .fini = close_damping);

static uint32_t unwanted(const char *name, enum rc_redis_entry_state state)
{
    const struct rc_redis_pubsub_key key = {.hash = rc_channel_hash(name, strlen(name)), .name = rc_span_text(name)};
    const uint32_t index = rc_redis_pubsub_entry_add(&pubsub, &key);
    cr_assert_neq(index, 0);
    rc_redis_pubsub_change(&pubsub, &pubsub.entries[index], state, false);
    pubsub.entries[index].node = 0;
    pubsub.nodes[0].confirmed += state == RC_REDIS_ENTRY_CONFIRMED;
    pubsub.confirmed += state == RC_REDIS_ENTRY_CONFIRMED;
    rc_redis_pubsub_damp(&pubsub, index);
    return index;
}

static void after(uint64_t ms)
{
    rc_timers_run(&timers, rc_clock_ms() + ms);
}

Test(pubsub_damping, what_is_confirmed_goes_together_when_its_time_is_over)
{
    (void)unwanted("a", RC_REDIS_ENTRY_CONFIRMED);
    (void)unwanted("b", RC_REDIS_ENTRY_CONFIRMED);
    after(RC_REDIS_DAMPING_MS / 2);
    cr_assert_str_eq(written(), "");
    after(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(written(), "UNSUBSCRIBE p:c:a p:c:b;");
    cr_assert_str_eq(gone, "a b ");
    cr_assert(pubsub.entry_count == 0 && pubsub.confirmed == 0 && pubsub.nodes[0].confirmed == 0);
}

Test(pubsub_damping, what_is_wanted_again_stays)
{
    const uint32_t index = unwanted("a", RC_REDIS_ENTRY_CONFIRMED);
    pubsub.entries[index].wanted = true;
    after(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(written(), "");
    cr_assert(pubsub.entry_count == 1 && pubsub.damped_count == 0 && !pubsub.entries[index].damped);
}

Test(pubsub_damping, what_is_asked_for_waits_for_its_confirmation_and_what_is_not_is_forgotten)
{
    (void)unwanted("asked", RC_REDIS_ENTRY_ASKED);
    (void)unwanted("idle", RC_REDIS_ENTRY_IDLE);
    after(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(written(), "");
    cr_assert(pubsub.entry_count == 1 && pubsub.damped_count == 1);
}

Test(pubsub_damping, of_too_many_the_oldest_go_at_once)
{
    char name[16];
    for (uint32_t i = 0; i < RC_REDIS_DAMPED_MAX + 2; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        (void)unwanted(name, i < 2 ? RC_REDIS_ENTRY_CONFIRMED : RC_REDIS_ENTRY_IDLE);
    }
    after(0);
    cr_assert_str_eq(written(), "UNSUBSCRIBE p:c:0 p:c:1;");
    cr_assert_eq(pubsub.damped_count, RC_REDIS_DAMPED_MAX);
}

Test(pubsub_damping, what_a_connection_does_not_take_goes_later)
{
    (void)unwanted("a", RC_REDIS_ENTRY_CONFIRMED);
    conn.state = RC_REDIS_CONN_CLOSED;
    after(RC_REDIS_DAMPING_MS + 1);
    cr_assert(pubsub.entry_count == 1 && pubsub.damped_count == 1);
    conn.state = RC_REDIS_CONN_READY;
    after(RC_REDIS_DAMPING_MS + 20);
    cr_assert_str_eq(written(), "UNSUBSCRIBE p:c:a;");
}
