/* pubsub_damping: see pubsub_damping.h. */
#include "relay/redis/pubsub_damping.h"

#include "common/base/clock.h"
#include "relay/redis/pubsub_ask.h"

static void damping_due(void *context, uint64_t now_ms);

static void damping_add(struct rc_redis_pubsub *pubsub, uint32_t index)
{
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    entry->damped = true;
    entry->next_damped = 0;
    if (pubsub->damped_last != 0) {
        pubsub->entries[pubsub->damped_last].next_damped = index;
    } else {
        pubsub->damped_first = index;
        rc_timer_set(pubsub->wire->timers, &pubsub->damping, entry->unwanted_ms + RC_REDIS_DAMPING_MS, damping_due,
                     pubsub);
    }
    pubsub->damped_last = index;
    pubsub->damped_count++;
}

static uint32_t pop_damped(struct rc_redis_pubsub *pubsub)
{
    const uint32_t index = pubsub->damped_first;
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    pubsub->damped_first = entry->next_damped;
    pubsub->damped_last = pubsub->damped_first != 0 ? pubsub->damped_last : 0;
    pubsub->damped_count--;
    entry->damped = false;
    entry->next_damped = 0;
    return index;
}

struct removal {
    uint32_t batch[RC_REDIS_BATCH_MAX];
    uint32_t count;
    uint16_t node;
};

static void entry_gone(struct rc_redis_pubsub *pubsub, uint32_t index)
{
    const struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    const struct rc_redis_pubsub_key key = {.hash = entry->hash,
                                            .name = rc_span_of(rc_redis_pubsub_entry_name(entry), entry->name_bytes),
                                            .foreign = entry->foreign};
    rc_redis_pubsub_changed(pubsub, &key, RC_REDIS_CHANGE_GONE);
    rc_redis_pubsub_entry_free(pubsub, index);
}

static void remove_batch(struct rc_redis_pubsub *pubsub, struct removal *removal)
{
    if (removal->count == 0) {
        return;
    }
    struct rc_redis_pubsub_node *node = &pubsub->nodes[removal->node];
    const int rc =
        node->conn != NULL ? rc_redis_pubsub_send(pubsub, node->conn, false, removal->batch, removal->count) : 0;
    for (uint32_t i = 0; i < removal->count; i++) {
        if (rc == 0) {
            node->confirmed--;
            pubsub->confirmed--;
            entry_gone(pubsub, removal->batch[i]);
        } else {
            damping_add(pubsub, removal->batch[i]); /* the connection takes no more now: later */
        }
    }
    removal->count = 0;
}

/* Its time is over. */
static void remove_one(struct rc_redis_pubsub *pubsub, uint32_t index, struct removal *removal, uint64_t now_ms)
{
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    switch ((enum rc_redis_entry_state)entry->state) {
    case RC_REDIS_ENTRY_IDLE: /* nor does Redis have it any more, if it had */
        rc_redis_pubsub_waiter_answer(pubsub, index, false);
        entry_gone(pubsub, index);
        return;
    case RC_REDIS_ENTRY_CONFIRMED:
        if (!rc_redis_pubsub_fits(pubsub, removal->batch, removal->count, index) || removal->node != entry->node) {
            remove_batch(pubsub, removal);
        }
        removal->node = entry->node;
        removal->batch[removal->count++] = index;
        return;
    case RC_REDIS_ENTRY_FREE:
    case RC_REDIS_ENTRY_QUEUED:
    case RC_REDIS_ENTRY_ASKED:
        break; /* its confirmation is on the way and must not be taken for that of a later SUBSCRIBE */
    }
    entry->unwanted_ms = now_ms;
    damping_add(pubsub, index);
}

static void damping_due(void *context, uint64_t now_ms)
{
    struct rc_redis_pubsub *pubsub = context;
    struct removal removal = {.count = 0};
    /* Bounded by those that were there: some are put back. */
    for (uint32_t left = pubsub->damped_count; left > 0 && pubsub->damped_first != 0; left--) {
        const struct rc_redis_pubsub_entry *first = &pubsub->entries[pubsub->damped_first];
        if (first->wanted) {
            (void)pop_damped(pubsub);
            continue;
        }
        if (first->unwanted_ms + RC_REDIS_DAMPING_MS > now_ms && pubsub->damped_count <= RC_REDIS_DAMPED_MAX) {
            break;
        }
        remove_one(pubsub, pop_damped(pubsub), &removal, now_ms);
    }
    remove_batch(pubsub, &removal);
    rc_redis_pubsub_count(pubsub);
    if (pubsub->damped_first != 0) {
        const uint64_t due_ms = pubsub->entries[pubsub->damped_first].unwanted_ms + RC_REDIS_DAMPING_MS;
        rc_timer_set(pubsub->wire->timers, &pubsub->damping, due_ms > now_ms ? due_ms : now_ms + 10, damping_due,
                     pubsub);
    }
}

void rc_redis_pubsub_damp(struct rc_redis_pubsub *pubsub, uint32_t index)
{
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    entry->unwanted_ms = rc_clock_ms();
    if (!entry->damped) {
        damping_add(pubsub, index);
        if (pubsub->damped_count > RC_REDIS_DAMPED_MAX) {
            rc_timer_set(pubsub->wire->timers, &pubsub->damping, entry->unwanted_ms, damping_due, pubsub);
        }
    }
}
