/* idempotency: see idempotency.h. */
#include "relay/route/idempotency.h"

#include <stddef.h>

#include "common/base/hash.h"

uint32_t rc_idempotency_set(const uint64_t key[2])
{
    return (uint32_t)(rc_hash(key, 2 * sizeof(key[0])) % RC_IDEMPOTENCY_SETS);
}

static bool in_force(uint64_t time_ms, uint64_t now_ms)
{
    return time_ms != 0 && now_ms - time_ms < RC_IDEMPOTENCY_MS;
}

static bool has_key(const struct rc_idempotency_entry *entry, const uint64_t key[2])
{
    return atomic_load_explicit(&entry->key[0], memory_order_relaxed) == key[0] &&
           atomic_load_explicit(&entry->key[1], memory_order_relaxed) == key[1];
}

uint64_t rc_idempotency_find(const struct rc_idempotency *table, const uint64_t key[2], uint64_t now_ms)
{
    const struct rc_idempotency_entry *set = table->entries[rc_idempotency_set(key)];
    for (uint32_t way = 0; way < RC_IDEMPOTENCY_WAYS; way++) {
        /* K2 pairs with K1 in rc_idempotency_put, of a predecessor at the most: what has a time is complete. */
        const uint64_t time_ms = atomic_load_explicit(&set[way].time_ms, memory_order_acquire);
        if (in_force(time_ms, now_ms) && has_key(&set[way], key)) {
            return atomic_load_explicit(&set[way].sequence, memory_order_relaxed);
        }
    }
    return 0;
}

bool rc_idempotency_put(struct rc_idempotency *table, const uint64_t key[2], uint64_t sequence, uint64_t now_ms)
{
    struct rc_idempotency_entry *set = table->entries[rc_idempotency_set(key)];
    struct rc_idempotency_entry *oldest = &set[0];
    for (uint32_t way = 0; way < RC_IDEMPOTENCY_WAYS; way++) {
        if (has_key(&set[way], key)) {
            oldest = &set[way];
            break;
        }
        if (atomic_load_explicit(&set[way].time_ms, memory_order_relaxed) <
            atomic_load_explicit(&oldest->time_ms, memory_order_relaxed)) {
            oldest = &set[way];
        }
    }
    const bool evicts =
        !has_key(oldest, key) && in_force(atomic_load_explicit(&oldest->time_ms, memory_order_relaxed), now_ms);
    atomic_store_explicit(&oldest->time_ms, 0, memory_order_relaxed);
    /* K3 pairs with K2 of a successor: the emptying stays before the fields, dying in between leaves no entry, never a mixed one. */
    atomic_store_explicit(&oldest->key[0], key[0], memory_order_release);
    atomic_store_explicit(&oldest->key[1], key[1], memory_order_relaxed);
    atomic_store_explicit(&oldest->sequence, sequence, memory_order_relaxed);
    atomic_store_explicit(&oldest->time_ms, now_ms, memory_order_release); /* K1 pairs with K2 in rc_idempotency_find */
    return evicts;
}
