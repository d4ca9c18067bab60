/* What one command has, whom it goes to, and what waits for it. */
#include "relay/redis/pubsub_ask.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/records/envelope.h"
#include "relay/redis/pubsub.h"
#include "tests/support/pubsub_rig.h"

static uint16_t place;

static uint16_t node_of(void *context, struct rc_span redis_name, bool sharded)
{
    (void)context;
    (void)sharded;
    cr_assert(rc_span_starts_with(redis_name, RC_SPAN("p:c:")));
    return place;
}

static void open_with(bool sharded)
{
    const struct rc_redis_pubsub_ops ops = {.channel = {.head = "c:"}, .node_of = node_of};
    cr_assert_eq(rc_redis_pubsub_init(&pubsub, &wire, "p:", sharded), 0);
    rc_redis_pubsub_set_ops(&pubsub, &ops);
    pubsub.nodes[0].conn = &conn;
    place = 0;
}

static void open_ask(void)
{
    open_conn();
    open_with(false);
}

static void close_ask(void)
{
    rc_redis_pubsub_free(&pubsub);
    redisFree(conn.redis);
}

TestSuite(pubsub_ask, .init = open_ask, .fini = close_ask);

static uint32_t queued(const char *name)
{
    const struct rc_redis_pubsub_key key = {.hash = rc_channel_hash(name, strlen(name)), .name = rc_span_text(name)};
    const uint32_t index = rc_redis_pubsub_entry_add(&pubsub, &key);
    cr_assert_neq(index, 0);
    pubsub.entries[index].wanted = true;
    rc_redis_pubsub_enqueue(&pubsub, index);
    return index;
}

Test(pubsub_ask, many_are_few_commands)
{
    char name[16];
    for (uint32_t i = 0; i < RC_REDIS_BATCH_MAX + 2; i++) {
        (void)snprintf(name, sizeof(name), "%u", 1000 + i);
        (void)queued(name);
    }
    rc_redis_pubsub_send_queue(&pubsub, &pubsub.nodes[0]);
    const char *second = strchr(written(), ';');
    cr_assert_str_eq(second, ";SUBSCRIBE p:c:1256 p:c:1257;");
    cr_assert_eq(pubsub.nodes[0].asked, RC_REDIS_BATCH_MAX + 2);
    rc_redis_pubsub_send_queue(&pubsub, &pubsub.nodes[0]);
    cr_assert_str_eq(written(), "", "each once");
}

Test(pubsub_ask, sharded_ones_are_a_command_each)
{
    rc_redis_pubsub_free(&pubsub);
    open_with(true);
    (void)queued("a");
    (void)queued("b");
    rc_redis_pubsub_send_queue(&pubsub, &pubsub.nodes[0]);
    cr_assert_str_eq(written(), "SSUBSCRIBE p:c:a;SSUBSCRIBE p:c:b;");
}

Test(pubsub_ask, only_so_many_are_unconfirmed)
{
    pubsub.nodes[0].asked = RC_REDIS_ASKED_MAX;
    const uint32_t index = queued("a");
    rc_redis_pubsub_send_queue(&pubsub, &pubsub.nodes[0]);
    cr_assert_str_eq(written(), "");
    cr_assert_eq(pubsub.entries[index].state, RC_REDIS_ENTRY_QUEUED);
    pubsub.nodes[0].asked--;
    rc_redis_pubsub_send_queue(&pubsub, &pubsub.nodes[0]);
    cr_assert_str_eq(written(), "SUBSCRIBE p:c:a;");
    cr_assert_eq(pubsub.entries[index].state, RC_REDIS_ENTRY_ASKED);
}

Test(pubsub_ask, where_no_node_is_nothing_is_queued)
{
    place = 1;
    const uint32_t none_there = queued("a");
    place = RC_REDIS_NODE_NONE;
    const uint32_t nowhere = queued("b");
    cr_assert_eq(pubsub.entries[none_there].state, RC_REDIS_ENTRY_IDLE);
    cr_assert_eq(pubsub.entries[nowhere].state, RC_REDIS_ENTRY_IDLE);
}

Test(pubsub_ask, missed_ones_under_way_are_counted)
{
    const uint32_t index = queued("a");
    struct rc_redis_pubsub_entry *entry = &pubsub.entries[index];
    rc_redis_pubsub_change(&pubsub, entry, RC_REDIS_ENTRY_QUEUED, true);
    rc_redis_pubsub_change(&pubsub, entry, RC_REDIS_ENTRY_ASKED, true);
    cr_assert_eq(pubsub.missed_pending, 1);
    rc_redis_pubsub_change(&pubsub, entry, RC_REDIS_ENTRY_CONFIRMED, false);
    cr_assert_eq(pubsub.missed_pending, 0);
    rc_redis_pubsub_change(&pubsub, entry, RC_REDIS_ENTRY_IDLE, true);
    cr_assert_eq(pubsub.missed_pending, 0, "nobody has asked for it");
}
