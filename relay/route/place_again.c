/* place_again: the last message that a dead relay took into a shared history. Part of the router: see router.h. */
#include "relay/route/router.h"

#include <stdlib.h>

#include "common/base/clock.h"

/* A kept message as it went to workers. */
static struct rc_envelope_view kept_view(const struct rc_history_slot *slot, const struct rc_history_message *message)
{
    const uint8_t flags = message->entry.flags;
    return (struct rc_envelope_view){
        .head = {.origin = {.random = message->entry.origin_random,
                            .slot = message->entry.origin_slot,
                            .worker = message->entry.origin_worker},
                 .time_ns = rc_clock_ns(),
                 .channel_hash = rc_channel_hash(slot->name, slot->name_bytes),
                 .flags = (uint16_t)(((flags & RC_HISTORY_BINARY) ? RC_ENVELOPE_BINARY : 0u) |
                                     ((flags & RC_HISTORY_ARGS) ? RC_ENVELOPE_ARGS : 0u) |
                                     ((flags & RC_HISTORY_NO_ECHO) ? RC_ENVELOPE_NO_ECHO : 0u) |
                                     ((flags & RC_HISTORY_REMOTE) ? RC_ENVELOPE_REMOTE : 0u)),
                 .data_bytes = message->entry.data_bytes,
                 .exclude_count = message->entry.exclude_count,
                 .channel_bytes = slot->name_bytes,
                 .key_bytes = message->entry.key_bytes,
                 .event_bytes = message->entry.event_bytes},
        .channel = slot->name,
        .key = message->key.bytes,
        .event = (const char *)message->event.bytes,
        .excludes = message->excludes.bytes,
        .data = message->data.bytes,
    };
}

void rc_router_place_again(struct rc_router *router, uint64_t sequence)
{
    const struct rc_history *history = router->setup.history;
    const uint32_t slots = history == NULL || !history->wanted ? 0 : history->slots_high;
    uint8_t *buffer = slots == 0 ? NULL : malloc(history->values_bytes_max);
    for (uint32_t i = 0; buffer != NULL && i < slots; i++) {
        const struct rc_history_slot *slot = &history->view.slots[i];
        const struct rc_history_state state = rc_history_state(&history->view, i);
        struct rc_history_cursor cursor = {.slot = i, .epoch = state.epoch, .offset = state.last};
        struct rc_history_message message;
        if (state.epoch != 0 && slot->shared != 0 && state.last >= state.first &&
            atomic_load_explicit(&slot->promised_sequence, memory_order_relaxed) == sequence &&
            rc_history_read(&history->view, &cursor, buffer, history->values_bytes_max, &message) == 1) {
            const struct rc_envelope_view view = kept_view(slot, &message);
            struct rc_fanout_message copy;
            rc_fanout_prepare(&copy, RC_DOWN_MESSAGE, &view, sequence, RC_FANOUT_FLAGS | RC_ENVELOPE_REMOTE, NULL);
            copy.copy.head.epoch = state.epoch;
            copy.copy.head.position = state.last;
            copy.copy.head.target.slot = i;
            if (router->setup.recovery != NULL) {
                /* Once: one that was kept has a sequence that is there. Who publishes it was known by went with the dead relay: 0, and not what
                 * another host knows another message by. */
                rc_recovery_keep(router->setup.recovery, copy.type, &copy.copy, 0, rc_clock_ms());
            }
            (void)rc_fanout_to_all(&router->fanout, &copy);
            break;
        }
    }
    free(buffer);
}
