/* flight: see flight.h. */
#include "common/base/flight.h"

#include <string.h>

void rc_flight_put(struct rc_flight *head, struct rc_flight_entry *entries, uint32_t count, const void *record,
                   size_t bytes)
{
    const uint64_t number = atomic_load_explicit(&head->written, memory_order_relaxed) + 1;
    struct rc_flight_entry *entry = &entries[number % count];
    uint64_t words[RC_FLIGHT_WORDS] = {0};
    memcpy(words, record, bytes < sizeof(words) ? bytes : sizeof(words));
    atomic_store_explicit(&entry->number, 0, memory_order_relaxed);
    /* FR3 pairs with FR4 in rc_flight_get: who reads one of the new words finds that the number is not what it was. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < RC_FLIGHT_WORDS; i++) {
        atomic_store_explicit(&entry->words[i], words[i], memory_order_relaxed);
    }
    /* FR5 pairs with FR6 in rc_flight_get: who sees the number sees the words. */
    atomic_store_explicit(&entry->number, number, memory_order_release);
    atomic_store_explicit(&head->written, number, memory_order_release); /* FR1 pairs with FR2 in rc_flight_last */
}

bool rc_flight_get(const struct rc_flight_entry *entries, uint32_t count, uint64_t number, uint8_t out[RC_FLIGHT_BYTES])
{
    const struct rc_flight_entry *entry = &entries[number % count];
    uint64_t words[RC_FLIGHT_WORDS];
    /* FR6 pairs with FR5 in rc_flight_put. */
    if (number == 0 || atomic_load_explicit(&entry->number, memory_order_acquire) != number) {
        return false;
    }
    for (size_t i = 0; i < RC_FLIGHT_WORDS; i++) {
        words[i] = atomic_load_explicit(&entry->words[i], memory_order_relaxed);
    }
    /* FR4 pairs with FR3 in rc_flight_put. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&entry->number, memory_order_relaxed) != number) {
        return false;
    }
    memcpy(out, words, sizeof(words));
    return true;
}
