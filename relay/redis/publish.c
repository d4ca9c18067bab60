/* publish: see publish.h. */
#include "relay/redis/publish.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/link_state.h"
#include "relay/redis/script.h"
#include "relay/redis/topology/slot.h"
#include "relay/redis/topology/topology.h"

/* --- publishing ------------------------------------------------------------------------------------------------------ */

static char *publish_put(char *out, const void *bytes, size_t count)
{
    if (count > 0) {
        memcpy(out, bytes, count);
    }
    return out + count;
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
    (void)publish_put(publish_put(name, link->config.prefix.text, prefix), channel.bytes, channel.count);
    const struct rc_span full = rc_span_of(name, prefix + channel.count);
    /* Once for each message: by hand, not by snprintf. */
    char *end = rc_redis_format_head(head, '*', 3);
    end = sharded ? publish_put(end, "$8\r\nSPUBLISH\r\n", 14) : publish_put(end, "$7\r\nPUBLISH\r\n", 13);
    char *at = rc_redis_format_head(end, '$', full.count);
    end = rc_redis_format_head(publish_put(publish_put(at, full.bytes, full.count), "\r\n", 2), '$', bytes);
    const size_t head_bytes = (size_t)(end - head);
    struct rc_redis_entry *entry =
        rc_redis_entry_new(head_bytes + bytes + 2, sharded ? rc_redis_slot(full) : 0, rc_clock_ms());
    if (entry == NULL) {
        return -ENOMEM;
    }
    entry->order = ++link->order;
    entry->name_at = (uint16_t)((size_t)(at - head) + prefix);
    entry->name_bytes = (uint16_t)channel.count;
    char *out = publish_put(entry->command, head, head_bytes);
    for (uint32_t i = 0; i < part_count; i++) {
        out = publish_put(out, parts[i].bytes, parts[i].count);
    }
    (void)publish_put(out, "\r\n", 2);
    *made = entry;
    return 0;
}

/* XADD of an entry. The same results. */
static int make_append(struct rc_redis_link *link, struct rc_span stream, uint32_t entries_max,
                       const struct rc_span *fields, uint32_t field_count, struct rc_redis_entry **made)
{
    char name[RC_REDIS_NAME_MAX];
    char most[16];
    const size_t prefix = strlen(link->config.prefix.text);
    if (prefix + stream.count >= RC_REDIS_NAME_MAX) {
        return -EMSGSIZE;
    }
    (void)publish_put(publish_put(name, link->config.prefix.text, prefix), stream.bytes, stream.count);
    (void)snprintf(most, sizeof(most), "%u", entries_max);
    struct rc_span argv[6 + RC_REDIS_FIELDS_MAX] = {RC_SPAN("XADD"),    rc_span_of(name, prefix + stream.count),
                                                    RC_SPAN("MAXLEN"),  RC_SPAN("~"),
                                                    rc_span_text(most), RC_SPAN("*")};
    RC_ASSERT(field_count <= RC_REDIS_FIELDS_MAX);
    memcpy(argv + 6, fields, field_count * sizeof(*fields));
    const size_t bytes = rc_redis_format_bytes(6 + field_count, argv);
    if (bytes > UINT32_MAX / 2) {
        return -EMSGSIZE;
    }
    struct rc_redis_entry *entry = rc_redis_entry_new(bytes, rc_redis_slot(argv[1]), rc_clock_ms());
    if (entry == NULL) {
        return -ENOMEM;
    }
    char head[96];
    char *end = rc_redis_format_head(head, '*', 6 + field_count);
    end = rc_redis_format_head(publish_put(end, "$4\r\nXADD\r\n", 10), '$', argv[1].count);
    rc_redis_format(entry->command, 6 + field_count, argv);
    entry->order = ++link->order;
    entry->name_at = (uint16_t)((size_t)(end - head) + prefix);
    entry->name_bytes = (uint16_t)stream.count;
    *made = entry;
    return 0;
}

/* Is it dropped at once? */
static bool publish_in_vain(struct rc_redis_link *link, uint32_t flags)
{
    if ((flags & RC_REDIS_PUBLISH_FLEETING) == 0 || rc_redis_link_up(link)) {
        return false;
    }
    rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, 1);
    return true;
}

int rc_redis_append(struct rc_redis_link *link, struct rc_span stream, uint32_t entries_max,
                    const struct rc_span *fields, uint32_t field_count, uint32_t flags)
{
    struct rc_redis_entry *entry;
    if (publish_in_vain(link, flags)) {
        return -ENOTCONN;
    }
    const int rc = make_append(link, stream, entries_max, fields, field_count, &entry);
    if (rc != 0) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, 1);
        return rc;
    }
    struct rc_redis_outbox *outbox = link->by_shard ? link->topology->outbox(link, entry->slot) : &link->outbox;
    return rc_redis_outbox_put(outbox, entry) ? 0 : -ENOBUFS;
}

static bool publish_sharded(const struct rc_redis_link *link, uint32_t flags)
{
    return ((flags & RC_REDIS_PUBLISH_SHARDED) != 0 && link->sharded) || (flags & RC_REDIS_PUBLISH_SHARD) != 0;
}

bool rc_redis_publish_never(const struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                            uint32_t part_count, uint32_t flags)
{
    struct rc_span argv[] = {publish_sharded(link, flags) ? RC_SPAN("SPUBLISH") : RC_SPAN("PUBLISH"),
                             {.count = strlen(link->config.prefix.text) + channel.count},
                             {.count = 0}}; /* only how long they are matters */
    for (uint32_t i = 0; i < part_count; i++) {
        argv[2].count += parts[i].count;
    }
    return rc_redis_outbox_never(&link->outbox, rc_redis_format_bytes(RC_ARRAY_COUNT(argv), argv));
}

int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags)
{
    const bool sharded = publish_sharded(link, flags);
    const bool told = (flags & RC_REDIS_PUBLISH_TOLD) != 0;
    struct rc_redis_entry *entry;
    if (publish_in_vain(link, flags)) {
        return -ENOTCONN;
    }
    const int rc = make_entry(link, channel, parts, part_count, sharded, &entry);
    if (rc != 0) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, 1);
        if (told) {
            rc_redis_losses_add(&link->losses, channel, false);
        }
        return rc;
    }
    /* A Cluster's node knows only of its own subscribers. */
    entry->to_one = (flags & RC_REDIS_PUBLISH_TO_ONE) != 0 && link->topology->one_master;
    entry->told = told;
    struct rc_redis_outbox *outbox =
        sharded && link->by_shard ? link->topology->outbox(link, entry->slot) : &link->outbox;
    return rc_redis_outbox_put(outbox, entry) ? 0 : -ENOBUFS;
}

/* --- what was given up ----------------------------------------------------------------------------------------------- */

void rc_redis_tell_losses(struct rc_redis_link *link, const struct rc_redis_loss_ops *ops)
{
    link->loss_ops = *ops;
}

int rc_redis_announce(struct rc_redis_link *link, struct rc_span channel, struct rc_span message)
{
    struct rc_redis_entry *entry;
    const int rc = make_entry(link, channel, &message, 1, false, &entry);
    if (rc == 0) {
        rc_redis_outbox_announce(&link->outbox, entry);
    }
    return rc;
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
    if (link->topology->stale != NULL) {
        link->topology->stale(link);
    }
}

static void outbox_lost(void *context, struct rc_span channel, bool placed)
{
    struct rc_redis_link *link = context;
    if (channel.count > 0) {
        rc_redis_losses_add(&link->losses, channel, placed);
    } else {
        rc_redis_losses_add_all(&link->losses, placed);
    }
}

static void outbox_unscripted(void *context, struct rc_redis_outbox *outbox)
{
    const struct rc_redis_link *link = context;
    for (uint16_t i = 0; i < link->node_count; i++) {
        struct rc_redis_node *node = link->nodes[i];
        if (node != NULL && (outbox == &node->outbox || (outbox == &link->outbox && i == link->home))) {
            rc_redis_scripts_load(link, &node->command);
        }
    }
}

static void outbox_run_ended(void *context, struct rc_span channel, uint64_t token, const redisReply *reply)
{
    const struct rc_redis_link *link = context;
    if (link->script_ops.ended != NULL) {
        link->script_ops.ended(link->script_ops.context, channel, token, reply);
    }
}

struct rc_redis_outbox_ops rc_redis_outbox_ops_of(struct rc_redis_link *link)
{
    return (struct rc_redis_outbox_ops){.moved = outbox_moved,
                                        .unscripted = outbox_unscripted,
                                        .ended = outbox_run_ended,
                                        .lost = outbox_lost,
                                        .context = link};
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
        /* Of a shared history only what the dead relay had delivered, alone, is missing elsewhere. */
        rc_redis_losses_add_all(&link->losses, rc_metric_get(metrics, RC_METRIC_HISTORY_ALONE_WAITING) > 0);
    }
}

void rc_redis_outboxes_pump(struct rc_redis_link *link, uint64_t now_ms)
{
    struct rc_redis_node *home = rc_redis_link_home(link);
    tell_losses(link, now_ms);
    if (home != NULL) {
        rc_redis_outbox_pump(&link->outbox, &home->command, now_ms);
    }
    for (uint16_t i = 0; link->by_shard && i < link->node_count; i++) {
        struct rc_redis_node *node = link->nodes[i];
        if (node == NULL) {
            continue;
        }
        link->topology->settle(link, node);
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
