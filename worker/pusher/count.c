/* count: see count.h. */
#include "worker/pusher/count.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

void rc_pusher_counts_close(struct rc_pusher_counts *counts)
{
    free(counts->slots);
    *counts = (struct rc_pusher_counts){.slots = NULL};
}

/* When its next count may be told. */
static uint64_t slot_due_ms(const struct rc_pusher_count *slot)
{
    return slot->told_ms + RC_PUSHER_COUNT_MS;
}

static void slot_wait(struct rc_pusher_counts *counts, struct rc_pusher_count *slot, bool waits)
{
    counts->waiting = counts->waiting - slot->waits + waits;
    slot->waits = waits;
}

bool rc_pusher_counts_put(struct rc_pusher_counts *counts, uint64_t hash, struct rc_span channel, uint32_t clients,
                          uint64_t now_ms)
{
    RC_ASSERT(channel.count > 0 && channel.count <= RC_CHANNEL_NAME_MAX);
    if (counts->slots == NULL) {
        counts->slots = calloc(RC_PUSHER_COUNT_SLOTS, sizeof(*counts->slots));
        if (counts->slots == NULL) {
            return true;
        }
    }
    struct rc_pusher_count *slot = &counts->slots[hash % RC_PUSHER_COUNT_SLOTS];
    const bool its = rc_span_equal(rc_span_of(slot->name, slot->bytes), channel);
    if (!its && slot->waits) {
        return true;
    }
    if (its && clients > 0 && slot_due_ms(slot) > now_ms) {
        slot->clients = clients;
        slot_wait(counts, slot, true);
        return false;
    }
    slot_wait(counts, slot, false);
    slot->told_ms = now_ms;
    slot->bytes = (uint8_t)channel.count;
    memcpy(slot->name, channel.bytes, channel.count);
    return true;
}

bool rc_pusher_counts_next(struct rc_pusher_counts *counts, uint64_t now_ms, bool all, uint32_t *at,
                           struct rc_span *channel, uint32_t *clients)
{
    while (counts->waiting > 0 && *at < RC_PUSHER_COUNT_SLOTS) {
        struct rc_pusher_count *slot = &counts->slots[(*at)++];
        if (slot->waits && (all || slot_due_ms(slot) <= now_ms)) {
            slot_wait(counts, slot, false);
            slot->told_ms = now_ms;
            *channel = rc_span_of(slot->name, slot->bytes);
            *clients = slot->clients;
            return true;
        }
    }
    return false;
}

uint32_t rc_pusher_counts_sleep_ms(const struct rc_pusher_counts *counts, uint64_t now_ms, uint32_t most_ms)
{
    for (uint32_t i = 0; counts->waiting > 0 && i < RC_PUSHER_COUNT_SLOTS; i++) {
        const struct rc_pusher_count *slot = &counts->slots[i];
        if (slot->waits) {
            const uint64_t left = slot_due_ms(slot) > now_ms ? slot_due_ms(slot) - now_ms : 0;
            most_ms = left < most_ms ? (uint32_t)left : most_ms;
        }
    }
    return most_ms;
}
