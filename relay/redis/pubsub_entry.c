/* pubsub_entry: see pubsub_entry.h. */
#include "relay/redis/pubsub_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/envelope.h"

#define POOL_FIRST 64u

/* --- entries --------------------------------------------------------------------------------------------------------- */

struct search {
    const struct rc_redis_pubsub *pubsub;
    const struct rc_redis_pubsub_key *key;
};

static bool pubsub_entry_key_equal(const void *context, uint32_t index)
{
    const struct search *search = context;
    const struct rc_redis_pubsub_key *key = search->key;
    const struct rc_redis_pubsub_entry *entry = &search->pubsub->entries[index];
    return entry->hash == key->hash && entry->foreign == key->foreign && entry->name_bytes == key->name.count &&
           memcmp(rc_redis_pubsub_entry_name(entry), key->name.bytes, key->name.count) == 0;
}

struct rc_redis_pubsub_key rc_redis_pubsub_foreign_key(struct rc_span name)
{
    return (struct rc_redis_pubsub_key){
        .hash = rc_channel_hash((const char *)name.bytes, name.count), .name = name, .foreign = true};
}

uint32_t rc_redis_pubsub_entry_find(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key)
{
    const struct search search = {.pubsub = pubsub, .key = key};
    const uint32_t index = rc_hashmap_find(&pubsub->map, key->hash, pubsub_entry_key_equal, &search);
    return index == RC_HASHMAP_NONE ? 0 : index;
}

/* Doubles a pool whose free list is empty; item 0 stays unused. NULL: no memory, nothing changed. */
static void *pubsub_entry_grow(void *items, uint32_t *max, size_t item_bytes)
{
    const uint32_t more = *max == 0 ? POOL_FIRST : *max * 2;
    char *grown = realloc(items, (size_t)more * item_bytes);
    if (grown != NULL) {
        memset(grown + (size_t)*max * item_bytes, 0, (size_t)(more - *max) * item_bytes);
        *max = more;
    }
    return grown;
}

uint32_t rc_redis_pubsub_entry_add(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key)
{
    const struct rc_span name = key->name;
    const uint64_t hash = key->hash;
    if (pubsub->entry_free == 0) {
        const uint32_t from = pubsub->entry_max == 0 ? 1 : pubsub->entry_max;
        struct rc_redis_pubsub_entry *grown = pubsub_entry_grow(pubsub->entries, &pubsub->entry_max, sizeof(*grown));
        if (grown == NULL) {
            return 0;
        }
        pubsub->entries = grown;
        for (uint32_t i = pubsub->entry_max; i > from; i--) {
            pubsub->entries[i - 1].next = pubsub->entry_free;
            pubsub->entry_free = i - 1;
        }
    }
    const uint32_t index = pubsub->entry_free;
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    char *place = entry->name.here;
    if (name.count > RC_REDIS_ENTRY_NAME_MAX) {
        place = malloc(name.count);
        if (place == NULL) {
            return 0;
        }
    }
    if (rc_hashmap_insert(&pubsub->map, hash, index) != 0) {
        if (place != entry->name.here) {
            free(place);
        }
        return 0;
    }
    pubsub->entry_free = entry->next;
    memcpy(place, name.bytes, name.count);
    const bool outside = place != entry->name.here;
    entry->hash = hash;
    entry->next = entry->next_damped = entry->waiters = 0;
    entry->node = RC_REDIS_NODE_NONE;
    entry->state = RC_REDIS_ENTRY_IDLE;
    entry->name_bytes = (uint16_t)name.count;
    entry->foreign = key->foreign;
    entry->wanted = entry->damped = entry->missed = false;
    if (outside) {
        entry->name.outside = place;
    }
    pubsub->entry_count++;
    return index;
}

void rc_redis_pubsub_entry_free(struct rc_redis_pubsub *pubsub, uint32_t index)
{
    struct rc_redis_pubsub_entry *entry = &pubsub->entries[index];
    RC_ASSERT(entry->waiters == 0 && !entry->damped);
    (void)rc_hashmap_remove(&pubsub->map, entry->hash, index);
    if (entry->name_bytes > RC_REDIS_ENTRY_NAME_MAX) {
        free(entry->name.outside);
    }
    *entry = (struct rc_redis_pubsub_entry){.next = pubsub->entry_free};
    pubsub->entry_free = index;
    pubsub->entry_count--;
}

void rc_redis_pubsub_changed(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key,
                             enum rc_redis_change change)
{
    if (!key->foreign && pubsub->ops.channel.changed != NULL) {
        pubsub->ops.channel.changed(pubsub->ops.channel.context, key->hash, key->name, change);
    }
}

/* --- waiters --------------------------------------------------------------------------------------------------------- */

static void confirm_due(void *context, uint64_t now_ms);

bool rc_redis_pubsub_waiter_add(struct rc_redis_pubsub *pubsub, uint32_t entry_index, uint32_t worker, uint64_t token)
{
    if (pubsub->waiter_count >= RC_REDIS_WAITERS_MAX) {
        return false;
    }
    if (pubsub->waiter_free == 0) {
        const uint32_t from = pubsub->waiter_max == 0 ? 1 : pubsub->waiter_max;
        struct rc_redis_pubsub_waiter *grown = pubsub_entry_grow(pubsub->waiters, &pubsub->waiter_max, sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        pubsub->waiters = grown;
        for (uint32_t i = pubsub->waiter_max; i > from; i--) {
            pubsub->waiters[i - 1].next_of_entry = pubsub->waiter_free;
            pubsub->waiter_free = i - 1;
        }
    }
    const uint32_t index = pubsub->waiter_free;
    struct rc_redis_pubsub_waiter *waiter = &pubsub->waiters[index];
    pubsub->waiter_free = waiter->next_of_entry;
    *waiter = (struct rc_redis_pubsub_waiter){.due_ms = rc_clock_ms() + RC_REDIS_CONFIRM_MS,
                                              .token = token,
                                              .worker = worker,
                                              .entry = entry_index,
                                              .next_of_entry = pubsub->entries[entry_index].waiters,
                                              .previous = pubsub->waiter_last};
    pubsub->entries[entry_index].waiters = index;
    if (pubsub->waiter_last != 0) {
        pubsub->waiters[pubsub->waiter_last].next = index;
    } else {
        pubsub->waiter_first = index;
        rc_timer_set(pubsub->wire->timers, &pubsub->confirming, waiter->due_ms, confirm_due, pubsub);
    }
    pubsub->waiter_last = index;
    pubsub->waiter_count++;
    return true;
}

/* Answers everybody who waits for this entry. */
void rc_redis_pubsub_waiter_answer(struct rc_redis_pubsub *pubsub, uint32_t entry_index, bool confirmed)
{
    uint32_t index = pubsub->entries[entry_index].waiters;
    pubsub->entries[entry_index].waiters = 0;
    while (index != 0) {
        const struct rc_redis_pubsub_waiter waiter = pubsub->waiters[index];
        if (waiter.previous != 0) {
            pubsub->waiters[waiter.previous].next = waiter.next;
        } else {
            pubsub->waiter_first = waiter.next;
        }
        if (waiter.next != 0) {
            pubsub->waiters[waiter.next].previous = waiter.previous;
        } else {
            pubsub->waiter_last = waiter.previous;
        }
        pubsub->waiters[index].next_of_entry = pubsub->waiter_free;
        pubsub->waiter_free = index;
        pubsub->waiter_count--;
        const struct rc_redis_pubsub_entry *entry = &pubsub->entries[entry_index];
        if (!confirmed) {
            rc_metric_add(pubsub->wire->metrics, RC_METRIC_REDIS_SCOPE_LOCAL, 1);
        }
        pubsub->ops.channel.wanted(pubsub->ops.channel.context, entry->hash,
                                   rc_span_of(rc_redis_pubsub_entry_name(entry), entry->name_bytes), waiter.worker,
                                   waiter.token, confirmed);
        index = waiter.next_of_entry;
    }
}

static void confirm_due(void *context, uint64_t now_ms)
{
    struct rc_redis_pubsub *pubsub = context;
    while (pubsub->waiter_first != 0 && pubsub->waiters[pubsub->waiter_first].due_ms <= now_ms) {
        /* Others of the same channel that came later hear it too: they would only wait longer for the same. */
        rc_redis_pubsub_waiter_answer(pubsub, pubsub->waiters[pubsub->waiter_first].entry, false);
    }
    if (pubsub->waiter_first != 0) {
        rc_timer_set(pubsub->wire->timers, &pubsub->confirming, pubsub->waiters[pubsub->waiter_first].due_ms,
                     confirm_due, pubsub);
    }
}

void rc_redis_pubsub_entries_free(struct rc_redis_pubsub *pubsub)
{
    for (uint32_t i = 1; i < pubsub->entry_max; i++) {
        if (pubsub->entries[i].state != RC_REDIS_ENTRY_FREE &&
            pubsub->entries[i].name_bytes > RC_REDIS_ENTRY_NAME_MAX) {
            free(pubsub->entries[i].name.outside);
        }
    }
    rc_timer_cancel(pubsub->wire->timers, &pubsub->confirming);
    free(pubsub->entries);
    free(pubsub->waiters);
    rc_hashmap_free(&pubsub->map);
}
