/* A Cluster's nodes as its map names them, without any connection: these begin by their timers, which do not run here. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/idle_link.h"

static struct rc_redis_link *link_open;

static void open_link(void)
{
    link_open = idle_link("redis+cluster://127.0.0.1:7000", true);
    const struct rc_redis_address seed = {.host = "127.0.0.1", .port = 7000};
    cr_assert_not_null(rc_redis_node_add(link_open, &seed));
}

static void close_link(void)
{
    rc_redis_link_close(link_open);
}

TestSuite(relay_redis_cluster, .init = open_link, .fini = close_link);

/* All slots are of one master with this port. */
static void map_to(const struct rc_redis_node *asked, unsigned port)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n", port);
    idle_link_map(link_open, asked, text);
}

static struct rc_redis_node *owner(void)
{
    const uint16_t index = rc_redis_cluster_of(link_open)->owners[0];
    return index != RC_REDIS_NODE_NONE ? link_open->nodes[index] : NULL;
}

Test(relay_redis_cluster, addresses_may_change_for_ever)
{
    map_to(link_open->nodes[0], 10000);
    for (unsigned i = 1; i < 3 * RC_REDIS_NODES_MAX; i++) {
        map_to(owner(), 10000 + i);
        rc_redis_cluster_drop_unknown(link_open);
        cr_assert_not_null(owner(), "node %u has a place", i);
        cr_assert_eq(owner()->address.port, 10000 + i);
    }
    cr_assert_leq(link_open->node_count, 4);
}

Test(relay_redis_cluster, a_node_with_messages_waiting_stays_until_they_are_moved)
{
    const struct rc_span part = RC_SPAN("m");
    map_to(link_open->nodes[0], 10000);
    rc_redis_cluster_drop_unknown(link_open);
    struct rc_redis_node *before = owner();
    cr_assert_eq(rc_redis_publish(link_open, RC_SPAN("c:a"), &part, 1, RC_REDIS_PUBLISH_SHARDED), 0);
    cr_assert_eq(before->outbox.count, 1);
    map_to(before, 10001);
    rc_redis_cluster_drop_unknown(link_open);
    cr_assert_eq(before->outbox.count, 1, "it is there yet");
    rc_redis_outboxes_pump(link_open, 0);
    cr_assert_eq(before->outbox.count, 0);
    cr_assert_eq(owner()->outbox.count, 1);
    rc_redis_cluster_drop_unknown(link_open);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES), 1);
}

static void publish(const char *channel)
{
    const struct rc_span part = RC_SPAN("m");
    cr_assert_eq(rc_redis_publish(link_open, rc_span_text(channel), &part, 1, RC_REDIS_PUBLISH_SHARDED), 0);
}

/* Whatever it waits for, an answer that does not come or a map that is out of date: a pause of its new owner is no order. */
Test(relay_redis_cluster, what_is_published_goes_behind_what_waits_at_the_old_owner)
{
    map_to(link_open->nodes[0], 10000);
    rc_redis_cluster_drop_unknown(link_open);
    struct rc_redis_node *before = owner();
    publish("c:a");
    before->outbox.in_flight = 1; /* of another slot, say */
    map_to(before, 10001);
    publish("c:a");
    publish("c:b"); /* nothing of it waits elsewhere */
    rc_redis_outboxes_pump(link_open, 0);
    cr_assert_eq(before->outbox.count, 2, "%u wait at the old one", before->outbox.count);
    cr_assert_eq(owner()->outbox.count, 1);
    before->outbox.in_flight = 0;
    rc_redis_outboxes_pump(link_open, 0);
    cr_assert_eq(before->outbox.count, 0);
    cr_assert_eq(owner()->outbox.count, 3);
    uint64_t last = 0;
    for (const struct rc_redis_entry *entry = owner()->outbox.head; entry != NULL; entry = entry->next) {
        cr_assert_gt(entry->order, last);
        last = entry->order;
    }
    publish("c:a");
    cr_assert_eq(owner()->outbox.count, 4, "and then to its owner");
    /* Also when what went before was given up, or moved on once more. */
    rc_redis_outboxes_expire(link_open, UINT64_MAX / 2);
    cr_assert_eq(owner()->outbox.count, 0);
    map_to(owner(), 10002);
    publish("c:a");
    cr_assert_eq(owner()->outbox.count, 1);
    for (uint32_t slot = 0; slot < RC_REDIS_SLOTS; slot++) {
        cr_expect_eq(rc_redis_cluster_of(link_open)->waiting[slot], slot == rc_redis_slot(RC_SPAN("c:a")), "slot %u",
                     slot);
    }
}

/* --- home ------------------------------------------------------------------------------------------------------------ */

/* Two masters, the first of which has the slot of what is agreed on. */
static struct rc_redis_node *halves[2];

static void map_of_two(void)
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    static const char text[] = "*2\r\n*3\r\n:0\r\n:8191\r\n*2\r\n$9\r\n127.0.0.1\r\n:10000\r\n"
                               "*3\r\n:8192\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:10001\r\n";
    cr_assert_eq(redisReaderFeed(reader, text, sizeof(text) - 1), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    rc_redis_cluster_take_map(link_open, link_open->nodes[0], reply);
    freeReplyObject(reply);
    redisReaderFree(reader);
    link_open->agreed_bytes = 1;
    link_open->agreed[0] = 'a'; /* slot 15495 */
    const struct rc_redis_cluster *cluster = rc_redis_cluster_of(link_open);
    halves[0] = link_open->nodes[cluster->owners[15495]];
    halves[1] = link_open->nodes[cluster->owners[0]];
}

static void is_up(struct rc_redis_node *node, bool up)
{
    const enum rc_redis_conn_state before = node->command.state;
    node->command.state = up ? RC_REDIS_CONN_READY : RC_REDIS_CONN_WAITING;
    if (up) {
        link_open->topology->ready(link_open, node);
    } else if (before == RC_REDIS_CONN_READY) {
        link_open->topology->lost(link_open, node);
        rc_redis_cluster_of(link_open)->stale = false; /* it was read again, and says the same */
    }
}

/* So much time goes by for home. */
static void home_waits(uint64_t ms)
{
    rc_redis_cluster_of(link_open)->home_ms -= ms;
    is_up(halves[0], true);
}

/* One whose connection breaks all the time would tell subscribers of a gap every second. */
Test(relay_redis_cluster, home_goes_back_to_one_that_breaks_less_and_less_often)
{
    uint64_t stays_ms = 1000;
    map_of_two();
    is_up(halves[1], true);
    is_up(halves[0], true);
    for (uint32_t i = 0; i < 10; i++) {
        is_up(halves[0], true);
        cr_assert_eq(rc_redis_link_home(link_open), halves[0], "%u", i);
        is_up(halves[0], false);
        is_up(halves[1], true);
        cr_assert_eq(rc_redis_link_home(link_open), halves[1], "%u", i);
        home_waits(stays_ms - 500);
        cr_assert_eq(rc_redis_link_home(link_open), halves[1], "%u: it goes back within %llu ms", i,
                     (unsigned long long)stays_ms);
        home_waits(500);
        cr_assert_eq(rc_redis_link_home(link_open), halves[0], "%u: not after %llu ms", i,
                     (unsigned long long)stays_ms);
        stays_ms = stays_ms < 32000 ? stays_ms * 2 : 64000;
    }
    rc_redis_cluster_of(link_open)->home_ms -= 60000; /* it is steady again */
    is_up(halves[0], false);
    is_up(halves[1], true);
    home_waits(1000);
    cr_assert_eq(rc_redis_link_home(link_open), halves[0]);
}
