/*
 * count: how often a channel is told how many are subscribed: at once, and then the last of what came within RC_PUSHER_COUNT_MS. A crowd that
 * comes is so many messages to each of those who are there otherwise.
 *
 * One slot for a channel by its hash; of two busy ones in one slot the later is told each time, as is one whose last subscriber goes. What
 * waits is private: a worker that hands its clients over tells it before. Time comes from the caller. Owned by struct rc_pushers.
 */
#ifndef RC_WORKER_PUSHER_COUNT_H
#define RC_WORKER_PUSHER_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"

#define RC_PUSHER_COUNT_MS 1000u
#define RC_PUSHER_COUNT_SLOTS 1024u

struct rc_pusher_count {
    uint64_t told_ms;
    uint32_t clients;
    bool waits;    /* `clients` are to be told */
    uint8_t bytes; /* of the name; 0 = the slot is free */
    char name[RC_CHANNEL_NAME_MAX];
};

struct rc_pusher_counts {
    struct rc_pusher_count *slots; /* owned; NULL until there is something to remember */
    uint32_t waiting;
};

void rc_pusher_counts_close(struct rc_pusher_counts *counts);
/* So many are subscribed. True: that is to be told now; false: rc_pusher_counts_next has it when it is time. Without memory each is told. */
bool rc_pusher_counts_put(struct rc_pusher_counts *counts, uint64_t hash, struct rc_span channel, uint32_t clients,
                          uint64_t now_ms);
/* The next channel whose count is to be told now, or (`all`) that waits: true, with its name (borrowed until the next call) and count. `*at`
 * is 0 at first. */
bool rc_pusher_counts_next(struct rc_pusher_counts *counts, uint64_t now_ms, bool all, uint32_t *at,
                           struct rc_span *channel, uint32_t *clients);
/* Milliseconds until one is to be told, at most `most_ms`. */
uint32_t rc_pusher_counts_sleep_ms(const struct rc_pusher_counts *counts, uint64_t now_ms, uint32_t most_ms);

#endif
