/* Where a Cluster's messages are heard: the same for two instances that have the same map, however they came to know its nodes. */
#include "relay/redis/places.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/redis/outbox.h"
#include "tests/support/idle_link.h"

#define SLOTS 16384u

static struct rc_redis_link *one;
static struct rc_redis_link *other;

static void open_links(void)
{
    one = idle_link("redis+cluster://127.0.0.1:7000", true);
    other = idle_link("redis+cluster://127.0.0.1:7002", true);
}

static void close_links(void)
{
    rc_redis_link_close(one);
    rc_redis_link_close(other);
}

TestSuite(places, .init = open_links, .fini = close_links);

static struct rc_redis_node *node_at(struct rc_redis_link *link, uint16_t port)
{
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL && link->nodes[i]->address.port == port) {
            return link->nodes[i];
        }
    }
    const struct rc_redis_address address = {.host = "127.0.0.1", .port = port};
    return rc_redis_node_add(link, &address);
}

/* Slots below `bound` are of node 7000, the others of 7001; `named`: the map says what they are called. */
static void map_of(struct rc_redis_link *link, uint16_t asked, uint32_t bound, bool named)
{
    char text[512];
    const char *elements = named ? "*3" : "*2";
    (void)snprintf(
        text, sizeof(text),
        "*2\r\n*3\r\n:0\r\n:%u\r\n%s\r\n$9\r\n127.0.0.1\r\n:7000\r\n%s*3\r\n:%u\r\n:16383\r\n%s\r\n$9\r\n127.0.0.1\r\n:7001\r\n%s",
        bound - 1, elements, named ? "$3\r\nida\r\n" : "", bound, elements, named ? "$3\r\nidb\r\n" : "");
    idle_link_map(link, node_at(link, asked), text);
}

static struct rc_redis_places places_of(struct rc_redis_link *link)
{
    struct rc_redis_places places;
    cr_assert(rc_redis_places(link, &places));
    return places;
}

Test(places, of_one_server_there_is_one)
{
    struct rc_redis_places places;
    struct rc_redis_link *single = idle_link("redis://127.0.0.1", false);
    cr_assert(rc_redis_places(single, &places));
    cr_assert(places.count == 1 && places.map == 0 && places.ids[0] == 0);
    rc_redis_link_close(single);
}

Test(places, two_instances_with_the_same_map_and_home_hear_all_at_the_same_ones)
{
    map_of(one, 7000, 5000, true);
    map_of(other, 7002, 5000, true); /* another seed: its nodes stand elsewhere in its table */
    struct rc_redis_places places;
    cr_assert(!rc_redis_places(one, &places), "home is nowhere");
    one->home = node_at(one, 7000)->index;
    other->home = node_at(other, 7000)->index;
    cr_assert_neq(node_at(one, 7001)->index, node_at(other, 7001)->index);
    const struct rc_redis_places ours = places_of(one);
    const struct rc_redis_places theirs = places_of(other);
    cr_assert(ours.count == 2 && theirs.count == 2 && ours.map == theirs.map && ours.map != 0);
    cr_assert(ours.ids[0] == theirs.ids[0] && ours.ids[1] == theirs.ids[1] && ours.ids[0] != ours.ids[1]);
    other->home = node_at(other, 7001)->index;
    cr_assert_neq(places_of(other).map, ours.map, "another home");
    other->home = node_at(other, 7000)->index;
    map_of(other, 7002, 5001, true);
    cr_assert_neq(places_of(other).map, ours.map, "a slot moved");
    map_of(other, 7002, 5000, true);
    cr_assert_eq(places_of(other).map, ours.map);
}

Test(places, what_is_not_known_is_none)
{
    struct rc_redis_places places;
    map_of(one, 7000, 5000, true);
    one->home = node_at(one, 7000)->index;
    rc_redis_cluster_of(one)->stale = true;
    cr_assert(!rc_redis_places(one, &places), "the map was contradicted");
    map_of(one, 7000, 5000, false);
    cr_assert(!rc_redis_places(one, &places), "a Redis that does not say what its nodes are called");
}

Test(places, without_sharded_channels_home_alone_is_heard)
{
    struct rc_redis_link *classic = idle_link("redis+cluster://127.0.0.1:7000", false);
    map_of(classic, 7000, 5000, true);
    classic->home = node_at(classic, 7001)->index;
    const struct rc_redis_places places = places_of(classic);
    cr_assert(places.count == 1 && places.ids[0] == node_at(classic, 7001)->id);
    const uint64_t map = places.map;
    map_of(classic, 7000, 6000, true);
    cr_assert_eq(places_of(classic).map, map, "it does not matter who has which slot");
    rc_redis_link_close(classic);
}

/* Histories are written, and published, by their slots' owners, and heard at home: which of them it is does not matter, as all of them are gone through. */
Test(places, classic_channels_with_histories_go_through_all_whoever_has_which_slot)
{
    struct rc_redis_link *classic = idle_link("redis+cluster://127.0.0.1:7000", false);
    classic->by_shard = true;
    map_of(classic, 7000, 5000, true);
    classic->home = node_at(classic, 7001)->index;
    const struct rc_redis_places places = places_of(classic);
    cr_assert(places.count == 2 && places.ids[0] == node_at(classic, 7001)->id);
    map_of(classic, 7000, 6000, true);
    cr_assert_eq(places_of(classic).map, places.map);
    classic->home = node_at(classic, 7000)->index;
    cr_assert_neq(places_of(classic).map, places.map);
    rc_redis_link_close(classic);
}

Test(places, whose_map_differs_reads_it_again_now_and_then)
{
    map_of(one, 7000, 5000, true);
    rc_redis_places_differ(one);
    cr_assert(rc_redis_cluster_of(one)->stale);
    map_of(one, 7000, 5000, true);
    rc_redis_places_differ(one);
    cr_assert(!rc_redis_cluster_of(one)->stale, "it was a moment ago");
}

Test(places, what_waits_in_any_outbox_is_not_taken)
{
    map_of(one, 7000, 5000, true);
    cr_assert(rc_redis_taken(one, rc_redis_published(one)));
    const struct rc_span body = RC_SPAN("1");
    cr_assert_eq(rc_redis_publish(one, RC_SPAN("c:first"), &body, 1, RC_REDIS_PUBLISH_SHARDED), 0);
    const uint64_t first = rc_redis_published(one);
    cr_assert(!rc_redis_taken(one, first));
    cr_assert(rc_redis_taken(one, first - 1));
    cr_assert_eq(rc_redis_publish(one, RC_SPAN("home"), &body, 1, 0), 0);
    for (uint16_t i = 0; i < one->node_count; i++) {
        if (one->nodes[i] != NULL) {
            free(rc_redis_outbox_take(&one->nodes[i]->outbox));
        }
    }
    cr_assert(rc_redis_taken(one, first));
    cr_assert(!rc_redis_taken(one, rc_redis_published(one)));
}

/* A slot that moves brings what waits for it to a server to which newer messages are under way. */
Test(places, what_came_from_another_outbox_is_found_behind_what_is_newer)
{
    map_of(one, 7000, 5000, true);
    const struct rc_span body = RC_SPAN("1");
    struct rc_redis_outbox *outbox = &one->outbox;
    struct rc_redis_entry *hint = NULL;
    cr_assert_eq(rc_redis_publish(one, RC_SPAN("older"), &body, 1, 0), 0);
    const uint64_t older = rc_redis_published(one);
    for (uint16_t i = 0; outbox->head == NULL && i < one->node_count; i++) {
        outbox = one->nodes[i] != NULL && one->nodes[i]->outbox.head != NULL ? &one->nodes[i]->outbox : outbox;
    }
    struct rc_redis_entry *entry = rc_redis_outbox_take(outbox);
    cr_assert_not_null(entry);
    const uint64_t time_ms = entry->time_ms;
    cr_assert_eq(rc_redis_publish(one, RC_SPAN("older"), &body, 1, 0), 0);
    outbox->head->time_ms = time_ms + 1;
    outbox->unsent = NULL; /* in flight */
    cr_assert(rc_redis_taken(one, older) && rc_redis_taken_by(one, time_ms));
    cr_assert(rc_redis_outbox_insert(outbox, entry, &hint));
    cr_assert(!rc_redis_taken(one, older) && !rc_redis_taken_by(one, time_ms));
    cr_assert(rc_redis_taken(one, older - 1) && rc_redis_taken_by(one, time_ms - 1));
}

Test(places, nothing_is_published_at_a_server_that_is_away_or_none)
{
    map_of(one, 7000, 5000, true);
    one->home = node_at(one, 7000)->index;
    cr_assert_eq(rc_redis_publish_at(one, places_of(one).ids[1], RC_SPAN("c"), RC_SPAN("1")), -ENOTCONN);
    cr_assert_eq(rc_redis_publish_at(one, 4711, RC_SPAN("c"), RC_SPAN("1")), -ENOTCONN);
}

Test(places, all_are_up_when_each_takes_commands)
{
    map_of(one, 7000, 5000, true);
    one->home = node_at(one, 7000)->index;
    const struct rc_redis_places places = places_of(one);
    struct rc_redis_conn *home = &node_at(one, 7000)->command;
    struct rc_redis_conn *second = &node_at(one, 7001)->command;
    const enum rc_redis_conn_state before[] = {home->state, second->state};
    cr_assert(!rc_redis_places_up(one, &places));
    home->state = RC_REDIS_CONN_READY;
    cr_assert(!rc_redis_places_up(one, &places));
    second->state = RC_REDIS_CONN_READY;
    cr_assert(rc_redis_places_up(one, &places));
    second->late = true;
    cr_assert(!rc_redis_places_up(one, &places), "it answers nothing");
    second->late = false;
    home->state = before[0];
    cr_assert(!rc_redis_places_up(one, &places));
    second->state = before[1];
}
