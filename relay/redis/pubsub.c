/* pubsub: see pubsub.h. */
#include "relay/redis/pubsub.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/envelope.h"
#include "common/base/log.h"
#include "relay/redis/pubsub_ask.h"
#include "relay/redis/pubsub_damping.h"
#include "relay/redis/pubsub_entry.h"
#include "relay/redis/pubsub_fixed.h"

/* --- what was missed ------------------------------------------------------------------------------------------------- */

static void say_missed(struct rc_redis_pubsub *pubsub, struct rc_span name)
{
    rc_metric_add(pubsub->wire->metrics, RC_METRIC_REDIS_MISSED, 1);
    if (pubsub->ops.channel.missed != NULL) {
        pubsub->ops.channel.missed(pubsub->ops.channel.context, name);
    }
}

/* An entry is confirmed again of which messages were missed. */
static void entry_missed(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key)
{
    const struct rc_redis_foreign_ops *foreign = &pubsub->ops.foreign;
    if (!key->foreign) {
        say_missed(pubsub, key->name);
    } else if (foreign->sharded && foreign->missed != NULL) {
        rc_metric_add(pubsub->wire->metrics, RC_METRIC_REDIS_MISSED, 1);
        foreign->missed(foreign->context, key->name);
    }
}

/* Once for all, when all is complete again. What Redis refuses is not waited for: it is named when it is confirmed at last. */
static void say_missed_all(struct rc_redis_pubsub *pubsub)
{
    if (pubsub->missed_pending > 0 || !rc_redis_fixed_answered(pubsub) ||
        (pubsub->succeeding && !pubsub->ops.channel.known(pubsub->ops.channel.context))) {
        return;
    }
    pubsub->missed_all = pubsub->succeeding = false;
    rc_log_info("redis_missed", "channels=all reason=\"the subscription connection was lost\"");
    say_missed(pubsub, (struct rc_span){0});
}

void rc_redis_pubsub_succeed(struct rc_redis_pubsub *pubsub)
{
    pubsub->missed_all = pubsub->succeeding = true;
}

/* --- two relays that hear the same --------------------------------------------------------------------------------------- */

static void pubsub_hear(void *context, const struct rc_redis_heard *heard);

static bool overlap_runs(const struct rc_redis_pubsub *pubsub)
{
    return pubsub->overlap.role == RC_REDIS_OVERLAP_FOLLOWS || pubsub->overlap.role == RC_REDIS_OVERLAP_KEEPS;
}

void rc_redis_pubsub_follow(struct rc_redis_pubsub *pubsub, int fd)
{
    pubsub->holding = rc_redis_overlap_follow(&pubsub->overlap, fd);
}

const char *rc_redis_pubsub_mark(const struct rc_redis_pubsub *pubsub)
{
    return pubsub->missed_pending == 0 && rc_redis_fixed_all(pubsub) && overlap_runs(pubsub) &&
                   pubsub->ops.channel.known(pubsub->ops.channel.context)
               ? rc_redis_overlap_mark(&pubsub->overlap)
               : NULL;
}

/* From here on what comes of a channel that the other one does not hear is not dropped. */
static void overlap_release(struct rc_redis_pubsub *pubsub)
{
    if (!pubsub->holding || pubsub->overlap.role == RC_REDIS_OVERLAP_FOLLOWS) {
        return;
    }
    pubsub->holding = false;
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        if (pubsub->entries[i].state == RC_REDIS_ENTRY_CONFIRMED) {
            rc_redis_pubsub_waiter_answer(pubsub, i, true);
        }
    }
}

/* When it is known who is to get what was forwarded. A worker that stands still does not tell: after a while all that comes goes to it. */
static void overlap_step(struct rc_redis_pubsub *pubsub)
{
    if (!pubsub->ops.channel.known(pubsub->ops.channel.context) && !rc_redis_overlap_hopeless(&pubsub->overlap)) {
        return;
    }
    rc_redis_overlap_handle(&pubsub->overlap, pubsub_hear, pubsub);
    if (pubsub->overlap.role == RC_REDIS_OVERLAP_OVER) {
        pubsub->missed_all = pubsub->succeeding = false;
    }
    overlap_release(pubsub);
}

static bool overlap_take(struct rc_redis_pubsub *pubsub, const struct rc_redis_heard *heard)
{
    const bool taken = rc_redis_overlap_take(&pubsub->overlap, heard);
    overlap_release(pubsub);
    return taken;
}

void rc_redis_pubsub_flush(struct rc_redis_pubsub *pubsub)
{
    if (overlap_runs(pubsub)) {
        overlap_step(pubsub);
    }
    if (pubsub->missed_all && !overlap_runs(pubsub)) {
        say_missed_all(pubsub);
    }
    for (uint32_t i = 0; i < pubsub->node_end; i++) {
        if (pubsub->nodes[i].conn != NULL && pubsub->nodes[i].queue_first != 0) {
            rc_redis_pubsub_send_queue(pubsub, &pubsub->nodes[i]);
        }
    }
}

/* --- wanting --------------------------------------------------------------------------------------------------------- */

static enum rc_redis_want pubsub_local(struct rc_redis_pubsub *pubsub)
{
    rc_metric_add(pubsub->wire->metrics, RC_METRIC_REDIS_SCOPE_LOCAL, 1);
    return RC_REDIS_WANT_LOCAL;
}

/* The entry, asked for; 0: no memory. */
static uint32_t pubsub_want(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key)
{
    uint32_t index = rc_redis_pubsub_entry_find(pubsub, key);
    if (index == 0) {
        index = rc_redis_pubsub_entry_add(pubsub, key);
        if (index == 0) {
            rc_log_limited(RC_LOG_ERROR, 1, "redis_subscription_refused", "entries=%u reason=\"no memory\"",
                           pubsub->entry_count);
            return 0;
        }
    }
    pubsub->entries[index].wanted = true;
    if (pubsub->entries[index].state == RC_REDIS_ENTRY_IDLE) {
        pubsub->entries[index].missed |= pubsub->succeeding;
        rc_redis_pubsub_enqueue(pubsub, index);
    }
    return index;
}

enum rc_redis_want rc_redis_pubsub_want(struct rc_redis_pubsub *pubsub, uint64_t hash, struct rc_span name,
                                        uint32_t worker, uint64_t token)
{
    const struct rc_redis_pubsub_key key = {.hash = hash, .name = name};
    const uint32_t index = pubsub_want(pubsub, &key);
    if (index == 0) {
        return pubsub_local(pubsub);
    }
    const struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    if (entry->state == RC_REDIS_ENTRY_IDLE || !rc_redis_conn_up(pubsub->nodes[entry->node].conn)) {
        return pubsub_local(pubsub);
    }
    if (entry->state == RC_REDIS_ENTRY_CONFIRMED && !pubsub->holding) {
        return RC_REDIS_WANT_CONFIRMED;
    }
    return rc_redis_pubsub_waiter_add(pubsub, index, worker, token) ? RC_REDIS_WANT_LATER : pubsub_local(pubsub);
}

static void pubsub_unwant(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key)
{
    const uint32_t index = rc_redis_pubsub_entry_find(pubsub, key);
    if (index == 0) {
        return;
    }
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    entry->wanted = false;
    rc_redis_pubsub_change(pubsub, entry, (enum rc_redis_entry_state)entry->state, false);
    rc_redis_pubsub_damp(pubsub, index);
}

void rc_redis_pubsub_unwant(struct rc_redis_pubsub *pubsub, uint64_t hash, struct rc_span name)
{
    const struct rc_redis_pubsub_key key = {.hash = hash, .name = name};
    pubsub_unwant(pubsub, &key);
}

void rc_redis_pubsub_want_foreign(struct rc_redis_pubsub *pubsub, struct rc_span name)
{
    const struct rc_redis_pubsub_key key = rc_redis_pubsub_foreign_key(name);
    RC_ASSERT(name.count + pubsub->prefix_bytes <= RC_REDIS_NAME_MAX);
    (void)pubsub_want(pubsub, &key);
}

void rc_redis_pubsub_unwant_foreign(struct rc_redis_pubsub *pubsub, struct rc_span name)
{
    const struct rc_redis_pubsub_key key = rc_redis_pubsub_foreign_key(name);
    pubsub_unwant(pubsub, &key);
}

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

void rc_redis_pubsub_ready(struct rc_redis_pubsub *pubsub, uint16_t node, struct rc_redis_conn *conn)
{
    pubsub->node_count = (uint16_t)(pubsub->node_count + (pubsub->nodes[node].conn == NULL));
    pubsub->nodes[node] = (struct rc_redis_pubsub_node){.conn = conn};
    rc_redis_fixed_lost(pubsub, node); /* where a connection takes another one's place */
    pubsub->node_end = pubsub->node_end > node ? pubsub->node_end : (uint16_t)(node + 1);
    if (node == pubsub->home) {
        rc_redis_fixed_ask_all(pubsub, true);
    } else {
        rc_redis_fixed_ask_everywhere(pubsub, node);
    }
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        if (pubsub->entries[i].state == RC_REDIS_ENTRY_IDLE && pubsub->entries[i].wanted) {
            rc_redis_pubsub_enqueue(pubsub, i);
        }
    }
}

void rc_redis_pubsub_lost(struct rc_redis_pubsub *pubsub, uint16_t node)
{
    pubsub->confirmed -= pubsub->nodes[node].confirmed;
    pubsub->missed_all |= pubsub->nodes[node].confirmed > RC_REDIS_MISSED_MAX;
    pubsub->node_count = (uint16_t)(pubsub->node_count - (pubsub->nodes[node].conn != NULL));
    pubsub->nodes[node] = (struct rc_redis_pubsub_node){.conn = NULL};
    rc_redis_fixed_lost(pubsub, node);
    if (node == pubsub->home) {
        rc_redis_fixed_forget(pubsub);
        if (overlap_runs(pubsub)) {
            rc_redis_overlap_give_up(&pubsub->overlap, pubsub_hear, pubsub);
            overlap_release(pubsub);
        }
    }
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        struct rc_redis_pubsub_entry *entry = &pubsub->entries[i];
        if (entry->state > RC_REDIS_ENTRY_IDLE && entry->node == node) {
            rc_redis_pubsub_change(pubsub, entry, RC_REDIS_ENTRY_IDLE,
                                   entry->missed || (entry->wanted && entry->state == RC_REDIS_ENTRY_CONFIRMED));
            entry->next = 0;
            rc_redis_pubsub_waiter_answer(pubsub, i, false);
        }
    }
    rc_redis_pubsub_count(pubsub);
}

void rc_redis_pubsub_place(struct rc_redis_pubsub *pubsub, uint16_t home)
{
    if (home != pubsub->home) {
        rc_redis_fixed_ask_all(pubsub, false); /* with sharding the old home's connection may live on */
        pubsub->home = home;
        rc_redis_fixed_forget(pubsub);
        rc_redis_fixed_ask_all(pubsub, true);
    }
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        struct rc_redis_pubsub_entry *entry = &pubsub->entries[i];
        if (entry->state == RC_REDIS_ENTRY_FREE || entry->state == RC_REDIS_ENTRY_QUEUED) {
            continue; /* queued ones go where they were queued for: that node refuses what is not its own */
        }
        const uint16_t place = rc_redis_pubsub_place_of(pubsub, entry);
        if (entry->state != RC_REDIS_ENTRY_IDLE) {
            if (entry->node == place) {
                continue;
            }
            struct rc_redis_pubsub_node *node = &pubsub->nodes[entry->node];
            if (entry->state == RC_REDIS_ENTRY_CONFIRMED) {
                node->confirmed--;
                pubsub->confirmed--;
                /* The old node may still have it (another home): one message must not come twice. */
                if (node->conn != NULL) {
                    (void)rc_redis_pubsub_send(pubsub, node->conn, false, &i, 1);
                }
            } else {
                node->asked -= node->asked > 0;
            }
            rc_redis_pubsub_change(pubsub, entry, RC_REDIS_ENTRY_IDLE,
                                   entry->missed || (entry->wanted && entry->state == RC_REDIS_ENTRY_CONFIRMED));
            entry->node = RC_REDIS_NODE_NONE; /* what the old one confirms yet is of no use */
        }
        if (entry->wanted) {
            rc_redis_pubsub_enqueue(pubsub, i);
        }
    }
    rc_redis_pubsub_count(pubsub);
}

/* --- what Redis says ------------------------------------------------------------------------------------------------- */

/* The name behind `head`; count 0 when it does not begin so. */
static struct rc_span pubsub_behind(struct rc_span text, const char *head, size_t head_bytes)
{
    if (text.count == 0 || !rc_span_starts_with(text, rc_span_of(head, head_bytes))) {
        return (struct rc_span){0}; /* the bytes of a zero count may be NULL */
    }
    return rc_span_of(text.bytes + head_bytes, text.count - head_bytes);
}

/* An error sends everything that is asked back to IDLE, though it was of one command and the others are confirmed yet. */
static bool pubsub_awaited(const struct rc_redis_pubsub_entry *entry, uint16_t node)
{
    return entry->node == node &&
           (entry->state == RC_REDIS_ENTRY_ASKED || (entry->state == RC_REDIS_ENTRY_IDLE && entry->wanted));
}

static bool pubsub_is_foreign(const struct rc_redis_pubsub *pubsub, struct rc_span channel)
{
    const struct rc_span name = pubsub_behind(channel, pubsub->prefix, pubsub->prefix_bytes);
    for (uint32_t i = 0; pubsub->ops.foreign.message != NULL && i < RC_REDIS_FOREIGN_HEADS; i++) {
        const char *head = pubsub->ops.foreign.heads[i];
        if (head != NULL && rc_span_starts_with(name, rc_span_text(head))) {
            return true;
        }
    }
    return false;
}

/* What an entry for this channel would be found by; an empty name: it can be none. */
static struct rc_redis_pubsub_key pubsub_key_of(const struct rc_redis_pubsub *pubsub, struct rc_span channel)
{
    if (pubsub_is_foreign(pubsub, channel)) {
        return rc_redis_pubsub_foreign_key(pubsub_behind(channel, pubsub->prefix, pubsub->prefix_bytes));
    }
    const struct rc_span name = pubsub_behind(channel, pubsub->head, pubsub->head_bytes);
    return (struct rc_redis_pubsub_key){
        .hash = name.count > 0 ? rc_channel_hash((const char *)name.bytes, name.count) : 0, .name = name};
}

/* A node has confirmed what it was not asked for last: it is given back. */
static void pubsub_give_back(struct rc_redis_pubsub *pubsub, uint16_t node, struct rc_span channel, bool sharded)
{
    const struct rc_span argv[] = {sharded ? RC_SPAN("SUNSUBSCRIBE") : RC_SPAN("UNSUBSCRIBE"), channel};
    char command[RC_REDIS_NAME_MAX + 64];
    const size_t bytes = rc_redis_format_bytes(2, argv);
    if (pubsub->nodes[node].conn == NULL || bytes > sizeof(command)) {
        return;
    }
    rc_redis_format(command, 2, argv);
    if (rc_redis_conn_send_quiet(pubsub->nodes[node].conn, command, bytes) == 0) {
        rc_metric_add(pubsub->wire->metrics, RC_METRIC_REDIS_UNSUBSCRIBES, 1);
    }
}

static void entry_confirmed(struct rc_redis_pubsub *pubsub, uint16_t node_index, uint32_t index,
                            const struct rc_redis_pubsub_key *key)
{
    struct rc_redis_pubsub_node *node = &pubsub->nodes[node_index];
    const bool missed = pubsub->entries[index].missed;
    node->asked -= pubsub->entries[index].state == RC_REDIS_ENTRY_ASKED && node->asked > 0;
    rc_redis_pubsub_change(pubsub, &pubsub->entries[index], RC_REDIS_ENTRY_CONFIRMED, false);
    node->confirmed++;
    pubsub->confirmed++;
    rc_redis_pubsub_changed(pubsub, key, missed ? RC_REDIS_CHANGE_BACK : RC_REDIS_CHANGE_HERE);
    if (!pubsub->holding) {
        rc_redis_pubsub_waiter_answer(pubsub, index, true);
    }
    if (missed && !pubsub->missed_all) {
        entry_missed(pubsub, key);
    }
}

static void pubsub_confirmed(struct rc_redis_pubsub *pubsub, uint16_t node, struct rc_span channel, bool pattern,
                             bool sharded)
{
    const struct rc_redis_pubsub_key key = pubsub_key_of(pubsub, channel);
    const bool ours = !pattern && key.name.count > 0;
    const uint32_t index = ours ? rc_redis_pubsub_entry_find(pubsub, &key) : 0;
    if (index != 0 && pubsub_awaited(&pubsub->entries[index], node)) {
        entry_confirmed(pubsub, node, index, &key);
        rc_redis_pubsub_count(pubsub);
        return;
    }
    struct rc_redis_subscription *one = rc_redis_fixed_find(pubsub, pattern, channel);
    if (one != NULL) {
        if (!rc_redis_fixed_confirm(pubsub, one, node)) {
            rc_redis_pubsub_refused(pubsub, node);
        }
        rc_redis_pubsub_count(pubsub);
    } else if (ours && (index == 0 || pubsub->entries[index].node != node ||
                        pubsub->entries[index].state == RC_REDIS_ENTRY_IDLE)) {
        pubsub_give_back(pubsub, node, channel, sharded);
    }
}

/* Is the channel heard at another node by now? The one that had it before has perhaps not given it back, or is a replica of that one, to
 * which it passes everything on. */
static bool pubsub_elsewhere(const struct rc_redis_pubsub *pubsub, uint16_t node, struct rc_span channel)
{
    if (pubsub->node_count <= 1) {
        return false;
    }
    const struct rc_redis_pubsub_key key = pubsub_key_of(pubsub, channel);
    const uint32_t index = key.name.count == 0 ? 0 : rc_redis_pubsub_entry_find(pubsub, &key);
    const struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    return index != 0 && entry->state == RC_REDIS_ENTRY_CONFIRMED && entry->node != node;
}

/* Of fixed ones what comes from home counts: another node may have been home a moment ago. But for those that are everywhere. */
static void pubsub_message(struct rc_redis_pubsub *pubsub, uint16_t node, const struct rc_redis_heard *heard)
{
    const struct rc_span name = pubsub_behind(heard->channel, pubsub->head, pubsub->head_bytes);
    const struct rc_span short_name = pubsub_behind(heard->channel, pubsub->prefix, pubsub->prefix_bytes);
    if (!heard->pattern && name.count > 0) {
        pubsub->ops.channel.message(pubsub->ops.channel.context, name, heard->body);
        return;
    }
    if (!heard->pattern && pubsub_is_foreign(pubsub, heard->channel)) {
        pubsub->ops.foreign.message(pubsub->ops.foreign.context, short_name, heard->body);
        return;
    }
    const struct rc_span by = heard->pattern ? heard->by : heard->channel;
    struct rc_redis_subscription *one = rc_redis_fixed_find(pubsub, heard->pattern, by);
    if (one != NULL && (node == pubsub->home || one->everywhere)) {
        one->place = pubsub->ops.place_of != NULL ? pubsub->ops.place_of(pubsub->ops.context, node) : 0;
        one->message(one->context, short_name, heard->body);
    }
}

/* Of the one server that both relays hear. */
static void pubsub_hear(void *context, const struct rc_redis_heard *heard)
{
    struct rc_redis_pubsub *pubsub = context;
    pubsub_message(pubsub, pubsub->home, heard);
}

/* The server took a sharded channel away: its slot went elsewhere. */
static bool taken_away(struct rc_redis_pubsub *pubsub, uint16_t node_index, struct rc_span channel)
{
    const struct rc_redis_pubsub_key key = pubsub_key_of(pubsub, channel);
    if (key.name.count == 0) {
        return false;
    }
    const uint32_t index = rc_redis_pubsub_entry_find(pubsub, &key);
    if (index == 0 || pubsub->entries[index].state != RC_REDIS_ENTRY_CONFIRMED ||
        pubsub->entries[index].node != node_index) {
        return false; /* the answer to our own UNSUBSCRIBE */
    }
    rc_redis_pubsub_change(pubsub, &pubsub->entries[index], RC_REDIS_ENTRY_IDLE, pubsub->entries[index].wanted);
    pubsub->nodes[node_index].confirmed--;
    pubsub->confirmed--;
    rc_redis_pubsub_count(pubsub);
    return true;
}

bool rc_redis_pubsub_push(struct rc_redis_pubsub *pubsub, uint16_t node, const redisReply *reply)
{
    struct rc_redis_heard heard;
    if (reply->elements < 3) {
        return true; /* "invalidate" and what servers to come may push */
    }
    const struct rc_span kind = rc_redis_text_of(reply->element[0]);
    const struct rc_span first = rc_redis_text_of(reply->element[1]);
    if (rc_redis_heard_of(&heard, reply)) {
        const bool elsewhere = !heard.pattern && pubsub_elsewhere(pubsub, node, heard.channel);
        if (!elsewhere && !overlap_take(pubsub, &heard)) {
            pubsub_message(pubsub, node, &heard);
        }
    } else if (rc_span_equal(kind, RC_SPAN("subscribe"))) {
        pubsub_confirmed(pubsub, node, first, false, false);
    } else if (rc_span_equal(kind, RC_SPAN("ssubscribe"))) {
        pubsub_confirmed(pubsub, node, first, false, true);
    } else if (rc_span_equal(kind, RC_SPAN("psubscribe"))) {
        pubsub_confirmed(pubsub, node, first, true, false);
    } else if (rc_span_equal(kind, RC_SPAN("sunsubscribe"))) {
        return !taken_away(pubsub, node, first);
    }
    return true;
}

static void refusing_due(void *context, uint64_t now_ms)
{
    struct rc_redis_pubsub *pubsub = context;
    (void)now_ms;
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        if (pubsub->entries[i].state == RC_REDIS_ENTRY_IDLE && pubsub->entries[i].wanted) {
            rc_redis_pubsub_enqueue(pubsub, i);
        }
    }
    rc_redis_fixed_ask_missing(pubsub);
}

bool rc_redis_pubsub_asking(const struct rc_redis_pubsub *pubsub, uint16_t node)
{
    return pubsub->nodes[node].asked > 0 || (node == pubsub->home && !rc_redis_fixed_all(pubsub));
}

void rc_redis_pubsub_refused(struct rc_redis_pubsub *pubsub, uint16_t node)
{
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        struct rc_redis_pubsub_entry *entry = &pubsub->entries[i];
        if (entry->state == RC_REDIS_ENTRY_ASKED && entry->node == node) {
            rc_redis_pubsub_change(pubsub, entry, RC_REDIS_ENTRY_IDLE, entry->missed);
            rc_redis_pubsub_waiter_answer(pubsub, i, false);
        }
    }
    pubsub->nodes[node].asked = 0;
    if (node == pubsub->home) {
        rc_redis_fixed_refuse(pubsub);
    }
    if (!pubsub->refusing.set) {
        rc_timer_set(pubsub->wire->timers, &pubsub->refusing, rc_clock_ms() + RC_REDIS_REFUSED_MS, refusing_due,
                     pubsub);
    }
}

bool rc_redis_pubsub_settled(const struct rc_redis_pubsub *pubsub)
{
    return rc_redis_fixed_all(pubsub) && !pubsub->refusing.set;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_redis_pubsub_init(struct rc_redis_pubsub *pubsub, struct rc_redis_wire *wire, const char *prefix, bool sharded)
{
    *pubsub = (struct rc_redis_pubsub){.wire = wire,
                                       .prefix = prefix,
                                       .prefix_bytes = (uint32_t)strlen(prefix),
                                       .sharded = sharded,
                                       .home = RC_REDIS_NODE_NONE};
    rc_redis_overlap_close(&pubsub->overlap); /* there is none */
    return rc_hashmap_init(&pubsub->map, 64, RC_HASHMAP_COUNT_MAX);
}

void rc_redis_pubsub_set_ops(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_ops *ops)
{
    pubsub->ops.channel = ops->channel;
    pubsub->ops.node_of = ops->node_of;
    pubsub->ops.place_of = ops->place_of;
    pubsub->ops.context = ops->context;
    const int bytes = snprintf(pubsub->head, sizeof(pubsub->head), "%s%s", pubsub->prefix,
                               ops->channel.head != NULL ? ops->channel.head : "");
    RC_ASSERT(bytes >= 0 && (size_t)bytes + RC_CHANNEL_NAME_MAX < sizeof(pubsub->head)); /* prefix: 64 bytes */
    pubsub->head_bytes = (uint32_t)bytes;
}

void rc_redis_pubsub_set_foreign(struct rc_redis_pubsub *pubsub, const struct rc_redis_foreign_ops *ops)
{
    pubsub->ops.foreign = *ops;
}

void rc_redis_pubsub_free(struct rc_redis_pubsub *pubsub)
{
    rc_timer_cancel(pubsub->wire->timers, &pubsub->damping);
    rc_timer_cancel(pubsub->wire->timers, &pubsub->refusing);
    rc_timer_cancel(pubsub->wire->timers, &pubsub->again);
    rc_redis_pubsub_entries_free(pubsub);
    rc_redis_overlap_close(&pubsub->overlap);
}
