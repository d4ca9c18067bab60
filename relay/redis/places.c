/* places: see places.h. */
#include "relay/redis/places.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "relay/redis/link.h"
#include "relay/redis/link_state.h"
#include "relay/redis/topology/cluster.h"

#define DIFFER_MS 500u /* before the map is read again since others have another one */

/* Behind home's in order, so that it stands in the same place however nodes come and go. */
static void places_add(struct rc_redis_places *places, uint64_t id)
{
    uint32_t at = places->count++;
    for (; at > 1 && places->ids[at - 1] > id; at--) {
        places->ids[at] = places->ids[at - 1];
    }
    places->ids[at] = id;
}

bool rc_redis_places(const struct rc_redis_link *link, struct rc_redis_places *places)
{
    const struct rc_redis_node *home = rc_redis_link_home(link);
    *places = (struct rc_redis_places){.count = 1};
    if (home == NULL) {
        return false;
    }
    if (link->topology->one_master) {
        return true;
    }
    const struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    if (cluster->stale || !home->known || home->id == 0) {
        return false;
    }
    places->ids[0] = home->id;
    for (uint16_t i = 0; link->by_shard && i < link->node_count; i++) {
        const struct rc_redis_node *node = link->nodes[i];
        if (node == NULL || !node->known || node == home) {
            continue;
        }
        if (node->id == 0) {
            return false;
        }
        places_add(places, node->id);
    }
    /* Who has which slot matters where channels are heard at their slot's owner. */
    const bool sharded = link->sharded || link->pubsub.ops.foreign.sharded;
    const uint64_t parts[] = {rc_hash_public(places->ids, places->count * sizeof(places->ids[0])),
                              sharded ? cluster->digest : 0};
    places->map = rc_hash_public(parts, sizeof(parts)) | 1;
    return true;
}

/* The server, if it takes commands now; NULL: it is away, or none. */
static struct rc_redis_node *places_node(const struct rc_redis_link *link, uint64_t id)
{
    for (uint16_t i = 0; i < link->node_count; i++) {
        struct rc_redis_node *node = link->nodes[i];
        if (node != NULL && node->id == id) {
            return rc_redis_conn_up(&node->command) ? node : NULL;
        }
    }
    return NULL;
}

bool rc_redis_places_up(const struct rc_redis_link *link, const struct rc_redis_places *places)
{
    uint32_t up = 0;
    while (up < places->count && places_node(link, places->ids[up]) != NULL) {
        up++;
    }
    return up == places->count;
}

int rc_redis_publish_at(struct rc_redis_link *link, uint64_t id, struct rc_span channel, struct rc_span message)
{
    char name[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {
        RC_SPAN("PUBLISH"), rc_redis_key(link, name, "%.*s", (int)channel.count, (const char *)channel.bytes), message};
    struct rc_redis_node *node = places_node(link, id);
    return node != NULL ? rc_redis_conn_command(&node->command, NULL, NULL, RC_ARRAY_COUNT(argv), argv) : -ENOTCONN;
}

void rc_redis_places_differ(struct rc_redis_link *link)
{
    const uint64_t now_ms = rc_clock_ms();
    if (!link->topology->one_master && now_ms >= rc_redis_cluster_of(link)->differ_ms + DIFFER_MS) {
        rc_redis_cluster_of(link)->differ_ms = now_ms;
        link->topology->stale(link);
    }
}

uint64_t rc_redis_published(const struct rc_redis_link *link)
{
    return link->order;
}

/*
 * Of one outbox, what was published up to there or up to then. What is not in flight is in order, but what came from another node's outbox stands behind
 * what was in flight already, though it may be older. Announcements stand before what they are of, and have an order all the same.
 */
static bool outbox_taken(const struct rc_redis_outbox *outbox, uint64_t published, uint64_t time_ms)
{
    const struct rc_redis_entry *entry = outbox->head;
    bool in_flight = true;
    bool last = false;
    while (entry != NULL && !last) {
        in_flight &= entry != outbox->unsent;
        if (!entry->announcement && (entry->order <= published || entry->time_ms <= time_ms)) {
            return false;
        }
        last = !in_flight && !entry->announcement;
        entry = entry->next;
    }
    return outbox->refusals.left == 0;
}

static bool all_taken(const struct rc_redis_link *link, uint64_t published, uint64_t time_ms)
{
    bool taken = outbox_taken(&link->outbox, published, time_ms);
    for (uint16_t i = 0; taken && i < link->node_count; i++) {
        taken = link->nodes[i] == NULL || outbox_taken(&link->nodes[i]->outbox, published, time_ms);
    }
    return taken;
}

bool rc_redis_taken(const struct rc_redis_link *link, uint64_t published)
{
    return all_taken(link, published, 0);
}

bool rc_redis_taken_by(const struct rc_redis_link *link, uint64_t time_ms)
{
    return all_taken(link, 0, time_ms);
}

void rc_redis_agree(struct rc_redis_link *link, const char *name)
{
    (void)rc_redis_key(link, link->agreed, "%s", name);
    link->agreed_bytes = (uint16_t)(strlen(link->config.prefix.text) + strlen(name));
}
