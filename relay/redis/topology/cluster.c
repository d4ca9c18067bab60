/* cluster: see cluster.h. */
#include "relay/redis/topology/cluster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "relay/redis/error_reply.h"
#include "relay/redis/node.h"

#define TICK_MS 100u
#define REFRESH_MS 15000u
#define SEED_MS 1000u
/* After slots came to a node: the other instances have to find out and subscribe there before it is published to. */
#define SETTLE_MS 500u
#define HOME_FIRST_MS 500u /* the one that is agreed on is waited for at the start */
/* Before it goes back to the one that is agreed on. A connection that breaks all the time moves it seldom, since each time subscribers may miss something: when
 * it breaks within HOME_STEADY_MS again, that is twice as long as the last time. */
#define HOME_STAYS_MS 1000u
#define HOME_STAYS_MAX_MS 64000u
#define HOME_STEADY_MS 60000u

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

static struct rc_redis_node *cluster_find(const struct rc_redis_link *link, const struct rc_redis_address *address)
{
    for (uint16_t i = 0; i < link->node_count; i++) {
        struct rc_redis_node *node = link->nodes[i];
        if (node != NULL && node->address.port == address->port && strcmp(node->address.host, address->host) == 0) {
            return node;
        }
    }
    return NULL;
}

static struct rc_redis_node *find_or_add(struct rc_redis_link *link, const struct rc_redis_address *address)
{
    struct rc_redis_node *node = cluster_find(link, address);
    if (node == NULL) {
        node = rc_redis_node_add(link, address);
        if (node == NULL) {
            rc_log_limited(RC_LOG_ERROR, 1, "redis_cluster_node_refused", "address!=\"%s:%u\" nodes_max=%u",
                           address->host, address->port, RC_REDIS_NODES_MAX);
        }
    }
    return node;
}

static bool is_ready(const struct rc_redis_node *node)
{
    return node != NULL && node->command.state == RC_REDIS_CONN_READY;
}

static struct rc_redis_node *cluster_owner(const struct rc_redis_link *link, struct rc_span name)
{
    const uint16_t owner = rc_redis_cluster_of(link)->owners[rc_redis_slot(name)];
    return owner != RC_REDIS_NODE_NONE ? link->nodes[owner] : NULL;
}

static bool may_be_home(const struct rc_redis_node *node)
{
    return is_ready(node) && node->known && !node->command.late;
}

/* The one that is to be home, now that none is, or another one. NULL: it stays where it is, or there is none yet. */
static struct rc_redis_node *home_of(const struct rc_redis_link *link, uint64_t now_ms)
{
    const struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    struct rc_redis_node *agreed =
        link->agreed_bytes > 0 ? cluster_owner(link, rc_span_of(link->agreed, link->agreed_bytes)) : NULL;
    const bool there =
        link->home != RC_REDIS_NODE_NONE && is_ready(link->nodes[link->home]) && link->nodes[link->home]->known;
    if (there &&
        (!may_be_home(agreed) || agreed->index == link->home || now_ms < cluster->home_ms + cluster->home_stays_ms)) {
        return NULL;
    }
    if (may_be_home(agreed)) {
        return agreed;
    }
    if (agreed != NULL && link->home == RC_REDIS_NODE_NONE && now_ms < cluster->read_ms + HOME_FIRST_MS) {
        return NULL; /* nothing is heard yet, and it is perhaps there soon */
    }
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (may_be_home(link->nodes[i])) {
            return link->nodes[i];
        }
    }
    return NULL;
}

static bool is_agreed(const struct rc_redis_link *link, const struct rc_redis_node *node)
{
    return link->agreed_bytes > 0 && cluster_owner(link, rc_span_of(link->agreed, link->agreed_bytes)) == node;
}

/* Home goes there: for how long it would stay, if that is not the one that is agreed on. */
static void home_moves(struct rc_redis_link *link, const struct rc_redis_node *to, uint64_t now_ms)
{
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    if (is_agreed(link, to)) {
        cluster->home_back = link->home != RC_REDIS_NODE_NONE;
    } else if (cluster->home_back) {
        const uint64_t more_ms = (uint64_t)cluster->home_stays_ms * 2;
        const bool steady = now_ms >= cluster->home_ms + HOME_STEADY_MS;
        cluster->home_stays_ms = (uint32_t)(steady                        ? HOME_STAYS_MS
                                            : more_ms < HOME_STAYS_MAX_MS ? more_ms
                                                                          : HOME_STAYS_MAX_MS);
        cluster->home_back = false;
    }
    cluster->home_ms = now_ms;
}

static void choose_home(struct rc_redis_link *link)
{
    const uint64_t now_ms = rc_clock_ms();
    struct rc_redis_node *node = rc_redis_cluster_of(link)->read ? home_of(link, now_ms) : NULL;
    if (node != NULL) {
        rc_log_info("redis_cluster_home", "address!=\"%s:%u\"", node->address.host, node->address.port);
        home_moves(link, node, now_ms);
        rc_redis_node_set_home(link, node->index);
        rc_redis_node_open(node, true);
    }
}

/* --- the map --------------------------------------------------------------------------------------------------------- */

static bool is_range(const redisReply *range)
{
    return range->type == REDIS_REPLY_ARRAY && range->elements >= 3 && range->element[0]->type == REDIS_REPLY_INTEGER &&
           range->element[1]->type == REDIS_REPLY_INTEGER && range->element[2]->type == REDIS_REPLY_ARRAY &&
           range->element[2]->elements >= 2 && range->element[2]->element[1]->type == REDIS_REPLY_INTEGER &&
           range->element[0]->integer >= 0 && range->element[0]->integer <= range->element[1]->integer &&
           range->element[1]->integer < (long long)RC_REDIS_SLOTS && range->element[2]->element[1]->integer > 0 &&
           range->element[2]->element[1]->integer <= 65535;
}

/* The master of a range. A node that does not know its own address says "" or null: then it is the one that was asked. */
static void address_of(struct rc_redis_address *address, const redisReply *master, const struct rc_redis_node *asked)
{
    const redisReply *host = master->element[0];
    *address = asked->address;
    address->port = (uint16_t)master->element[1]->integer;
    if (host->type == REDIS_REPLY_STRING && host->len > 0 && host->len < sizeof(address->host) &&
        strcmp(host->str, "?") != 0) {
        memset(address->host, 0, sizeof(address->host));
        memcpy(address->host, host->str, host->len);
    }
}

/* By the id that it has in the Cluster, if the map says it (Redis 4 and later). */
static uint64_t id_of(const redisReply *master)
{
    const redisReply *id = master->elements >= 3 ? master->element[2] : NULL;
    return id != NULL && id->type == REDIS_REPLY_STRING && id->len > 0 ? rc_hash_public(id->str, id->len) | 1 : 0;
}

/* The same on all instances that have the same map, wherever their nodes stand in the table. */
static uint64_t map_digest(const struct rc_redis_link *link)
{
    uint64_t digest = 0;
    uint64_t run[3] = {0}; /* first slot, and the id of its owner; the digest so far */
    for (uint32_t slot = 0; slot < RC_REDIS_SLOTS; slot++) {
        const uint16_t owner = rc_redis_cluster_of(link)->owners[slot];
        const uint64_t id = owner == RC_REDIS_NODE_NONE ? 0 : link->nodes[owner]->id;
        if (slot == 0 || id != run[1]) {
            run[0] = slot;
            run[1] = id;
            run[2] = digest;
            digest = rc_hash_public(run, sizeof(run));
        }
    }
    return digest;
}

void rc_redis_cluster_take_map(struct rc_redis_link *link, const struct rc_redis_node *asked, const redisReply *reply)
{
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            link->nodes[i]->known = false;
        }
    }
    memcpy(cluster->before, cluster->owners, sizeof(cluster->before));
    for (uint32_t slot = 0; slot < RC_REDIS_SLOTS; slot++) {
        cluster->owners[slot] = RC_REDIS_NODE_NONE;
    }
    uint32_t slots = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        struct rc_redis_address address;
        if (!is_range(range)) {
            continue;
        }
        address_of(&address, range->element[2], asked);
        struct rc_redis_node *node = find_or_add(link, &address);
        if (node == NULL) {
            continue;
        }
        node->known = true;
        node->id = id_of(range->element[2]);
        for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; slot++) {
            cluster->owners[slot] = node->index;
            slots++;
        }
    }
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL && link->nodes[i]->known) {
            rc_redis_node_open(link->nodes[i], link->by_shard);
        }
    }
    for (uint32_t slot = 0; link->by_shard && cluster->read && slot < RC_REDIS_SLOTS; slot++) {
        const uint16_t owner = cluster->owners[slot];
        if (owner != RC_REDIS_NODE_NONE && owner != cluster->before[slot]) {
            link->nodes[owner]->outbox.hold_until_ms = rc_clock_ms() + SETTLE_MS;
        }
    }
    if (!cluster->read || slots < RC_REDIS_SLOTS) {
        rc_log_limited(RC_LOG_INFO, 1, "redis_cluster_map", "slots=%u nodes=%u", slots, link->node_count);
    }
    cluster->read_ms = cluster->read ? cluster->read_ms : rc_clock_ms();
    cluster->read = true;
    cluster->stale = false;
    cluster->digest = map_digest(link);
}

static void cluster_answered(void *context, const redisReply *reply)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    rc_redis_cluster_of(link)->asking = false;
    if (reply == NULL) {
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        rc_redis_cluster_of(link)->stale = true; /* no slots yet, or no Cluster: the log has the error */
        return;
    }
    rc_redis_cluster_take_map(link, node, reply);
    choose_home(link);
    rc_redis_pubsub_place(&link->pubsub, link->home);
}

static void ask_from(struct rc_redis_link *link, struct rc_redis_node *node)
{
    const struct rc_span argv[] = {RC_SPAN("CLUSTER"), RC_SPAN("SLOTS")};
    if (!rc_redis_cluster_of(link)->asking &&
        rc_redis_conn_command(&node->command, cluster_answered, node, 2, argv) == 0) {
        rc_redis_cluster_of(link)->asking = true;
    }
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

/* Nobody answers, or nobody was asked yet: the next host of the URL. */
static void try_seed(struct rc_redis_link *link)
{
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    struct rc_redis_node *node = find_or_add(link, &link->url.hosts[cluster->seed]);
    cluster->seed = (cluster->seed + 1) % link->url.host_count;
    if (node != NULL) {
        rc_redis_node_open(node, false);
    }
}

void rc_redis_cluster_drop_unknown(struct rc_redis_link *link)
{
    for (uint16_t i = 0; i < link->node_count; i++) {
        struct rc_redis_node *node = link->nodes[i];
        if (node != NULL && !node->known && i != link->home && node->outbox.count == 0) {
            rc_redis_node_close(node);
            rc_redis_node_free(node);
        }
    }
}

static void cluster_tick(void *context, uint64_t now_ms)
{
    struct rc_redis_link *link = context;
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    struct rc_redis_node *asked = NULL;
    for (uint16_t i = 0; i < link->node_count; i++) {
        /* Round the nodes, so that one with an old view does not decide for good. */
        struct rc_redis_node *node = link->nodes[(i + cluster->turn) % link->node_count];
        if (is_ready(node) && !node->command.late) {
            asked = node;
            break;
        }
    }
    cluster->turn++;
    if (asked == NULL) {
        if (now_ms >= cluster->seed_ms) {
            cluster->seed_ms = now_ms + SEED_MS;
            try_seed(link);
        }
    } else if (!cluster->read || cluster->stale || now_ms >= cluster->refresh_ms) {
        cluster->refresh_ms = now_ms + REFRESH_MS;
        ask_from(link, asked);
    } else {
        choose_home(link);
        rc_redis_cluster_drop_unknown(link);
    }
    rc_timer_set(link->wire.timers, &cluster->timer, now_ms + TICK_MS, cluster_tick, link);
}

static void cluster_stale(struct rc_redis_link *link)
{
    rc_redis_cluster_of(link)->stale = true;
}

static void cluster_ready(struct rc_redis_link *link, struct rc_redis_node *node)
{
    if (!rc_redis_cluster_of(link)->read || rc_redis_cluster_of(link)->stale) {
        ask_from(link, node);
    } else {
        choose_home(link);
    }
}

static void cluster_lost(struct rc_redis_link *link, struct rc_redis_node *node)
{
    (void)node;
    rc_redis_cluster_of(link)->stale = true;
    choose_home(link);
}

struct rc_redis_node *rc_redis_cluster_redirect(struct rc_redis_link *link, const struct rc_redis_node *from,
                                                const redisReply *reply, bool *ask)
{
    struct rc_redis_address address;
    const enum rc_redis_error error = rc_redis_error_of(reply);
    *ask = error == RC_REDIS_ERROR_ASK;
    if (error != RC_REDIS_ERROR_ASK && error != RC_REDIS_ERROR_MOVED) {
        return NULL;
    }
    const char *slot = strchr(reply->str, ' ');
    const char *place = slot != NULL ? strchr(slot + 1, ' ') : NULL;
    const char *colon = place != NULL ? strrchr(place, ':') : NULL;
    if (colon == NULL) {
        return NULL;
    }
    place++;
    const long port = strtol(colon + 1, NULL, 10);
    const size_t bytes = (size_t)(colon - place);
    if (port <= 0 || port > 65535 || bytes >= sizeof(address.host)) {
        return NULL;
    }
    address = from->address;
    address.port = (uint16_t)port;
    if (bytes > 0) {
        memset(address.host, 0, sizeof(address.host));
        memcpy(address.host, place, bytes);
    }
    struct rc_redis_node *node = find_or_add(link, &address);
    if (node != NULL) {
        rc_redis_node_open(node, link->by_shard);
    }
    return node;
}

/* --- what is published to a slot ------------------------------------------------------------------------------------- */

/* Which outbox: that of the node which owns the slot (before the map is known: any, it is moved later). While messages
 * of the slot wait in another one's, because it was the owner before, it goes behind them: cluster_settle moves them together. */
static struct rc_redis_outbox *cluster_outbox(struct rc_redis_link *link, uint16_t slot)
{
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    const uint16_t place = cluster->waiting[slot] > 0 ? cluster->place[slot] : cluster->owners[slot];
    struct rc_redis_node *node = place != RC_REDIS_NODE_NONE ? link->nodes[place] : NULL;
    for (uint16_t i = 0; node == NULL && i < link->node_count; i++) {
        node = link->nodes[i];
    }
    if (node == NULL) {
        return &link->outbox;
    }
    cluster->place[slot] = node->index;
    return &node->outbox;
}

/* What waits for a slot that is another node's by now goes there, in order, once nothing of it is in flight. */
static void cluster_settle(struct rc_redis_link *link, struct rc_redis_node *node)
{
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    struct rc_redis_outbox *outbox = &node->outbox;
    if (outbox->unsent == NULL || outbox->in_flight > 0 || outbox->refusals.left > 0 || cluster->stale) {
        return;
    }
    const uint16_t first_owner = cluster->owners[outbox->unsent->slot];
    if (first_owner == node->index || first_owner == RC_REDIS_NODE_NONE) {
        return;
    }
    struct rc_redis_entry *hints[RC_REDIS_NODES_MAX] = {NULL};
    struct rc_redis_entry *stay = NULL;
    for (uint32_t left = outbox->count; left > 0; left--) {
        struct rc_redis_entry *entry = rc_redis_outbox_take(outbox);
        const uint16_t owner = cluster->owners[entry->slot];
        struct rc_redis_outbox *to =
            owner != RC_REDIS_NODE_NONE && owner != node->index ? &link->nodes[owner]->outbox : NULL;
        if (to != NULL) {
            cluster->place[entry->slot] = owner;
            (void)rc_redis_outbox_insert(to, entry, &hints[owner]);
        } else {
            entry->next = stay; /* newest first: put back below in the other direction */
            stay = entry;
        }
    }
    struct rc_redis_entry *hint = NULL;
    while (stay != NULL) {
        struct rc_redis_entry *entry = stay;
        stay = entry->next;
        entry->next = NULL;
        hint = NULL;
        (void)rc_redis_outbox_insert(outbox, entry, &hint);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static int cluster_open(struct rc_redis_link *link)
{
    struct rc_redis_cluster *cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL) {
        return -ENOMEM;
    }
    cluster->home_stays_ms = HOME_STAYS_MS;
    link->topology_state = cluster;
    link->slot_waiting = cluster->waiting;
    for (uint32_t slot = 0; slot < RC_REDIS_SLOTS; slot++) {
        cluster->owners[slot] = RC_REDIS_NODE_NONE;
    }
    rc_timer_set(link->wire.timers, &cluster->timer, rc_clock_ms(), cluster_tick, link);
    return 0;
}

static void cluster_close(struct rc_redis_link *link)
{
    struct rc_redis_cluster *cluster = rc_redis_cluster_of(link);
    if (cluster != NULL) {
        rc_timer_cancel(link->wire.timers, &cluster->timer);
        free(cluster);
        link->topology_state = NULL;
    }
}

const struct rc_redis_topology rc_redis_topology_cluster = {.open = cluster_open,
                                                            .close = cluster_close,
                                                            .ready = cluster_ready,
                                                            .lost = cluster_lost,
                                                            .stale = cluster_stale,
                                                            .owner = cluster_owner,
                                                            .redirect = rc_redis_cluster_redirect,
                                                            .outbox = cluster_outbox,
                                                            .settle = cluster_settle};
