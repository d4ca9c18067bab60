/* refusals: see refusals.h. */
#include "relay/redis/refusals.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/envelope.h"
#include "relay/redis/outbox.h"

#define BUCKETS 1024u /* a power of two */

struct refused {
    struct rc_redis_entry *entry; /* owner; NULL = overtaken */
    uint32_t hash;
    uint16_t next; /* of the bucket, its place + 1; 0 = none */
};

struct rc_redis_refused_table {
    uint16_t first[BUCKETS]; /* oldest of the bucket, its place + 1; 0 = none */
    uint16_t last[BUCKETS];
    struct refused items[RC_REDIS_IN_FLIGHT_MAX]; /* in the order of refusal, which is that of sending */
};

static struct rc_span name_of(const struct rc_redis_entry *entry)
{
    return rc_span_of(entry->command + entry->name_at, entry->name_bytes);
}

static uint32_t hash_of(const struct rc_redis_entry *entry)
{
    return (uint32_t)rc_channel_hash(entry->command + entry->name_at, entry->name_bytes);
}

static void refusals_clear(struct rc_redis_refusals *refusals)
{
    free(refusals->table);
    *refusals = (struct rc_redis_refusals){0};
}

bool rc_redis_refusals_add(struct rc_redis_refusals *refusals, struct rc_redis_entry *entry)
{
    if (refusals->table == NULL) {
        refusals->table = malloc(sizeof(*refusals->table));
        if (refusals->table == NULL) {
            return false;
        }
        memset(refusals->table->first, 0,
               sizeof(refusals->table->first)); /* `last` says something where `first` does */
    }
    struct rc_redis_refused_table *table = refusals->table;
    RC_ASSERT(refusals->count < RC_REDIS_IN_FLIGHT_MAX); /* nothing more is sent while there are any */
    struct refused *one = &table->items[refusals->count];
    *one = (struct refused){.entry = entry};
    entry->next = NULL;
    refusals->count++;
    refusals->left++;
    if (!entry->announcement) {
        const uint16_t place = (uint16_t)refusals->count;
        one->hash = hash_of(entry);
        const uint32_t bucket = one->hash & (BUCKETS - 1);
        if (table->first[bucket] == 0) {
            table->first[bucket] = place;
        } else {
            table->items[table->last[bucket] - 1].next = place;
        }
        table->last[bucket] = place;
    }
    return true;
}

struct rc_redis_entry *rc_redis_refusals_overtaken(struct rc_redis_refusals *refusals, const struct rc_redis_entry *by)
{
    struct rc_redis_refused_table *table = refusals->table;
    if (table == NULL || by->announcement) {
        return NULL;
    }
    const uint32_t hash = hash_of(by);
    uint16_t *at = &table->first[hash & (BUCKETS - 1)];
    uint16_t before = 0;
    while (*at != 0) {
        struct refused *one = &table->items[*at - 1];
        struct rc_redis_entry *entry = one->entry;
        if (one->hash == hash && rc_span_equal(name_of(entry), name_of(by))) {
            if (one->next == 0) {
                table->last[hash & (BUCKETS - 1)] = before;
            }
            *at = one->next;
            one->entry = NULL;
            if (--refusals->left == 0) {
                refusals_clear(refusals);
            }
            return entry;
        }
        before = *at;
        at = &one->next;
    }
    return NULL;
}

struct rc_redis_entry *rc_redis_refusals_take(struct rc_redis_refusals *refusals, struct rc_redis_entry **last)
{
    struct rc_redis_entry *first = NULL;
    *last = NULL;
    for (uint32_t i = 0; i < refusals->count; i++) {
        struct rc_redis_entry *entry = refusals->table->items[i].entry;
        if (entry == NULL) {
            continue;
        }
        if (*last == NULL) {
            first = entry;
        } else {
            (*last)->next = entry;
        }
        *last = entry;
    }
    refusals_clear(refusals);
    return first;
}
