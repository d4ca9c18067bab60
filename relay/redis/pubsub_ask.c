/* pubsub_ask: see pubsub_ask.h. */
#include "relay/redis/pubsub_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/redis/conn.h"
#include "relay/redis/pubsub_fixed.h"

void rc_redis_pubsub_count(const struct rc_redis_pubsub *pubsub)
{
    rc_metric_set(pubsub->wire->metrics, RC_METRIC_REDIS_SUBSCRIPTIONS,
                  pubsub->confirmed + rc_redis_fixed_confirmed(pubsub));
}

static size_t ask_name(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_entry *entry,
                       char out[RC_REDIS_NAME_MAX])
{
    const uint32_t before = entry->foreign ? pubsub->prefix_bytes : pubsub->head_bytes;
    memcpy(out, pubsub->head, before);
    memcpy(out + before, rc_redis_pubsub_entry_name(entry), entry->name_bytes);
    return before + entry->name_bytes;
}

static bool ask_is_sharded(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_entry *entry)
{
    return entry->foreign ? pubsub->ops.foreign.sharded : pubsub->sharded;
}

uint16_t rc_redis_pubsub_place_of(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_entry *entry)
{
    char name[RC_REDIS_NAME_MAX];
    const bool sharded = ask_is_sharded(pubsub, entry);
    return entry->foreign && !sharded
               ? pubsub->home
               : pubsub->ops.node_of(pubsub->ops.context, rc_span_of(name, ask_name(pubsub, entry, name)), sharded);
}

void rc_redis_pubsub_change(struct rc_redis_pubsub *pubsub, struct rc_redis_pubsub_entry *entry,
                            enum rc_redis_entry_state state, bool missed)
{
    const bool was_pending =
        entry->missed && (entry->state == RC_REDIS_ENTRY_QUEUED || entry->state == RC_REDIS_ENTRY_ASKED);
    const bool pending = missed && (state == RC_REDIS_ENTRY_QUEUED || state == RC_REDIS_ENTRY_ASKED);
    pubsub->missed_pending = pubsub->missed_pending + pending - was_pending;
    entry->state = (uint8_t)state;
    entry->missed = missed;
}

void rc_redis_pubsub_enqueue(struct rc_redis_pubsub *pubsub, uint32_t index)
{
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    const uint16_t place = rc_redis_pubsub_place_of(pubsub, entry);
    if (place >= RC_REDIS_NODES_MAX || pubsub->nodes[place].conn == NULL) {
        return; /* asked for when it is there: rc_redis_pubsub_ready */
    }
    struct rc_redis_pubsub_node *node = &pubsub->nodes[place];
    entry->node = place;
    rc_redis_pubsub_change(pubsub, entry, RC_REDIS_ENTRY_QUEUED, entry->missed);
    entry->next = 0;
    if (node->queue_last != 0) {
        pubsub->entries[node->queue_last].next = index;
    } else {
        node->queue_first = index;
    }
    node->queue_last = index;
}

static const char *ask_verb(const struct rc_redis_pubsub *pubsub, uint32_t index, bool subscribe)
{
    return ask_is_sharded(pubsub, &pubsub->entries[index]) ? (subscribe ? "SSUBSCRIBE" : "SUNSUBSCRIBE")
                                                           : (subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE");
}

int rc_redis_pubsub_send(struct rc_redis_pubsub *pubsub, struct rc_redis_conn *conn, bool subscribe,
                         const uint32_t *indexes, uint32_t count)
{
    struct rc_span argv[RC_REDIS_BATCH_MAX + 1];
    argv[0] = rc_span_text(ask_verb(pubsub, indexes[0], subscribe));
    for (uint32_t i = 0; i < count; i++) {
        argv[i + 1] = rc_span_of(pubsub->names[i], ask_name(pubsub, &pubsub->entries[indexes[i]], pubsub->names[i]));
    }
    const size_t bytes = rc_redis_format_bytes(count + 1, argv);
    char *command = malloc(bytes);
    if (command == NULL) {
        return -ENOMEM;
    }
    rc_redis_format(command, count + 1, argv);
    const int rc = rc_redis_conn_send_quiet(conn, command, bytes);
    free(command);
    if (rc == 0) {
        rc_metric_add(pubsub->wire->metrics, subscribe ? RC_METRIC_REDIS_SUBSCRIBES : RC_METRIC_REDIS_UNSUBSCRIBES,
                      count);
    }
    return rc;
}

bool rc_redis_pubsub_fits(const struct rc_redis_pubsub *pubsub, const uint32_t *batch, uint32_t count, uint32_t index)
{
    return count == 0 || (count < RC_REDIS_BATCH_MAX && !ask_is_sharded(pubsub, &pubsub->entries[batch[0]]) &&
                          !ask_is_sharded(pubsub, &pubsub->entries[index]));
}

void rc_redis_pubsub_send_queue(struct rc_redis_pubsub *pubsub, struct rc_redis_pubsub_node *node)
{
    uint32_t batch[RC_REDIS_BATCH_MAX];
    while (node->queue_first != 0 && node->asked < RC_REDIS_ASKED_MAX) {
        uint32_t count = 0;
        uint32_t index = node->queue_first;
        for (; index != 0 && rc_redis_pubsub_fits(pubsub, batch, count, index); index = pubsub->entries[index].next) {
            batch[count++] = index;
        }
        if (rc_redis_pubsub_send(pubsub, node->conn, true, batch, count) != 0) {
            return;
        }
        node->queue_first = index;
        node->queue_last = index != 0 ? node->queue_last : 0;
        node->asked += count;
        for (uint32_t i = 0; i < count; i++) {
            struct rc_redis_pubsub_entry *entry = &pubsub->entries[batch[i]];
            rc_redis_pubsub_change(pubsub, entry, RC_REDIS_ENTRY_ASKED, entry->missed);
            entry->next = 0;
        }
    }
}
