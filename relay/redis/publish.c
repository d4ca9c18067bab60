/* publish: see publish.h. */
#include "relay/redis/publish.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/link_state.h"

/* --- publishing ------------------------------------------------------------------------------------------------------ */

static char *put(char *out, const void *bytes, size_t count)
{
    if (count > 0) {
        memcpy(out, bytes, count);
    }
    return out + count;
}

/* Which outbox: the link's, or that of the node which owns the slot (before the map is known: any, it is moved later). While messages
 * of the slot wait in another one's, because it was the owner before, it goes behind them: settle() moves them together. */
static struct rc_redis_outbox *outbox_of(struct rc_redis_link *link, uint16_t slot, bool sharded)
{
    if (!sharded) {
        return &link->outbox;
    }
    struct rc_redis_cluster *cluster = link->cluster;
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

/* PUBLISH or SPUBLISH of parts as an entry that is in no outbox yet. 0, -EMSGSIZE or -ENOMEM. */
static int make_entry(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                      uint32_t part_count, bool sharded, struct rc_redis_entry **made)
{
    char name[RC_REDIS_NAME_MAX];
    char head[96 + RC_REDIS_NAME_MAX];
    size_t bytes = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        bytes += parts[i].count;
    }
    const size_t prefix = strlen(link->config.prefix.text);
    if (prefix + channel.count >= RC_REDIS_NAME_MAX || bytes > UINT32_MAX / 2) {
        return -EMSGSIZE;
    }
    (void)put(put(name, link->config.prefix.text, prefix), channel.bytes, channel.count);
    const struct rc_span full = rc_span_of(name, prefix + channel.count);
    /* Once for each message: by hand, not by snprintf. */
    char *end = rc_redis_format_head(head, '*', 3);
    end = sharded ? put(end, "$8\r\nSPUBLISH\r\n", 14) : put(end, "$7\r\nPUBLISH\r\n", 13);
    char *at = rc_redis_format_head(end, '$', full.count);
    end = rc_redis_format_head(put(put(at, full.bytes, full.count), "\r\n", 2), '$', bytes);
    const size_t head_bytes = (size_t)(end - head);
    struct rc_redis_entry *entry =
        rc_redis_entry_new(head_bytes + bytes + 2, sharded ? rc_redis_cluster_slot(full) : 0, rc_clock_ms());
    if (entry == NULL) {
        return -ENOMEM;
    }
    entry->order = ++link->order;
    entry->name_at = (uint16_t)((size_t)(at - head) + prefix);
    entry->name_bytes = (uint16_t)channel.count;
    char *out = put(entry->command, head, head_bytes);
    for (uint32_t i = 0; i < part_count; i++) {
        out = put(out, parts[i].bytes, parts[i].count);
    }
    (void)put(out, "\r\n", 2);
    *made = entry;
    return 0;
}

int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags)
{
    const bool sharded = (flags & RC_REDIS_PUBLISH_SHARDED) != 0 && link->sharded;
    const bool told = (flags & RC_REDIS_PUBLISH_TOLD) != 0;
    struct rc_redis_entry *entry;
    if ((flags & RC_REDIS_PUBLISH_FLEETING) != 0 && !rc_redis_link_up(link)) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, 1);
        return -ENOTCONN;
    }
    const int result = make_entry(link, channel, parts, part_count, sharded, &entry);
    if (result != 0) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, 1);
        if (told) {
            rc_redis_losses_add(&link->losses, channel);
        }
        return result;
    }
    /* A Cluster's node knows only of its own subscribers. */
    entry->to_one = (flags & RC_REDIS_PUBLISH_TO_ONE) != 0 && link->cluster == NULL;
    entry->told = told;
    return rc_redis_outbox_put(outbox_of(link, entry->slot, sharded), entry) ? 0 : -ENOBUFS;
}

/* --- what was given up ----------------------------------------------------------------------------------------------- */

void rc_redis_tell_losses(struct rc_redis_link *link, const struct rc_redis_loss_ops *ops)
{
    link->loss_ops = *ops;
}

int rc_redis_announce(struct rc_redis_link *link, struct rc_span channel, struct rc_span message)
{
    struct rc_redis_entry *entry;
    const int result = make_entry(link, channel, &message, 1, false, &entry);
    if (result == 0) {
        rc_redis_outbox_announce(&link->outbox, entry);
    }
    return result;
}

void rc_redis_outboxes_expire(struct rc_redis_link *link, uint64_t now_ms)
{
    rc_redis_outbox_expire(&link->outbox, now_ms);
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            rc_redis_outbox_expire(&link->nodes[i]->outbox, now_ms);
        }
    }
}

/* Right before the outbox goes on, so that who is told of a hole hears of it before what comes behind the hole. */
static void tell_losses(struct rc_redis_link *link, uint64_t now_ms)
{
    const struct rc_redis_outbox *outbox = &link->outbox;
    if (!rc_redis_link_up(link) || outbox->announcements > 0 || outbox->refusals.left > 0 ||
        now_ms < outbox->hold_until_ms || now_ms < link->losses_ms) {
        return;
    }
    rc_redis_outboxes_expire(link, now_ms);
    if (rc_redis_losses_empty(&link->losses)) {
        return;
    }
    if (link->loss_ops.announce == NULL || link->loss_ops.announce(link->loss_ops.context, &link->losses)) {
        rc_log_info("redis_losses_told", "channels=%u all=%d", link->losses.count, link->losses.all);
        rc_redis_losses_clear(&link->losses);
        link->losses_ms = now_ms + RC_REDIS_LOSSES_MS;
    }
}

/* --- outboxes -------------------------------------------------------------------------------------------------------- */

static void outbox_moved(void *context, struct rc_redis_outbox *outbox)
{
    struct rc_redis_link *link = context;
    (void)outbox;
    if (link->cluster != NULL) {
        rc_redis_cluster_stale(link);
    }
}

static void outbox_lost(void *context, struct rc_span channel)
{
    struct rc_redis_link *link = context;
    if (channel.count > 0) {
        rc_redis_losses_add(&link->losses, channel);
    } else {
        rc_redis_losses_add_all(&link->losses);
    }
}

struct rc_redis_outbox_ops rc_redis_outbox_ops_of(struct rc_redis_link *link)
{
    return (struct rc_redis_outbox_ops){.moved = outbox_moved, .lost = outbox_lost, .context = link};
}

void rc_redis_outboxes_inherit(struct rc_redis_link *link)
{
    struct rc_metrics *metrics = link->wire.metrics;
    const uint64_t count = rc_metric_get(metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES);
    rc_metric_set(metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES, 0);
    rc_metric_set(metrics, RC_METRIC_REDIS_OUTBOX_BYTES, 0);
    if (count > 0) {
        rc_metric_add(metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, count);
        rc_log_warn("redis_outbox_dropped", "messages=%llu reason=\"the relay that had them died\"",
                    (unsigned long long)count);
        rc_redis_losses_add_all(&link->losses);
    }
}

/* What waits for a slot that is another node's by now goes there, in order, once nothing of it is in flight. */
static void settle(struct rc_redis_link *link, struct rc_redis_node *node)
{
    struct rc_redis_outbox *outbox = &node->outbox;
    if (outbox->unsent == NULL || outbox->in_flight > 0 || outbox->refusals.left > 0 || link->cluster->stale) {
        return;
    }
    const uint16_t first_owner = link->cluster->owners[outbox->unsent->slot];
    if (first_owner == node->index || first_owner == RC_REDIS_NODE_NONE) {
        return;
    }
    struct rc_redis_entry *hints[RC_REDIS_NODES_MAX] = {NULL};
    struct rc_redis_entry *stay = NULL;
    for (uint32_t left = outbox->count; left > 0; left--) {
        struct rc_redis_entry *entry = rc_redis_outbox_take(outbox);
        const uint16_t owner = link->cluster->owners[entry->slot];
        struct rc_redis_outbox *to =
            owner != RC_REDIS_NODE_NONE && owner != node->index ? &link->nodes[owner]->outbox : NULL;
        if (to != NULL) {
            link->cluster->place[entry->slot] = owner;
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

void rc_redis_outboxes_pump(struct rc_redis_link *link, uint64_t now_ms)
{
    struct rc_redis_node *home = rc_redis_link_home(link);
    tell_losses(link, now_ms);
    if (home != NULL) {
        rc_redis_outbox_pump(&link->outbox, &home->command, now_ms);
    }
    for (uint16_t i = 0; link->sharded && i < link->node_count; i++) {
        struct rc_redis_node *node = link->nodes[i];
        if (node == NULL) {
            continue;
        }
        settle(link, node);
        /* An announcement goes another way: until Redis has it, what it is to precede waits. */
        if (link->outbox.announcements == 0 || !rc_redis_link_up(link)) {
            rc_redis_outbox_pump(&node->outbox, &node->command, now_ms);
        }
    }
}

bool rc_redis_outboxes_drained(const struct rc_redis_link *link)
{
    uint32_t count = link->outbox.count;
    for (uint16_t i = 0; i < link->node_count; i++) {
        count += link->nodes[i] != NULL ? link->nodes[i]->outbox.count : 0;
    }
    return (count == 0 && rc_redis_losses_empty(&link->losses)) || !rc_redis_link_up(link);
}
