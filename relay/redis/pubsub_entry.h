/*
 * pubsub_entry: the table behind pubsub: channels that are wanted, and who waits for their confirmation.
 *
 * Two pools that only grow, addressed by index (0 = none), because they move when they grow. Used by the pubsub files
 * alone.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_ENTRY_H
#define RC_RELAY_REDIS_PUBSUB_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/pubsub_state.h"

#define RC_REDIS_ENTRY_NAME_MAX 40u /* longer names are outside of the entry */

enum rc_redis_entry_state {
    RC_REDIS_ENTRY_FREE,
    RC_REDIS_ENTRY_IDLE,
    RC_REDIS_ENTRY_QUEUED,
    RC_REDIS_ENTRY_ASKED,
    RC_REDIS_ENTRY_CONFIRMED
};

struct rc_redis_pubsub_entry {
    uint64_t hash;
    uint64_t unwanted_ms; /* since when nobody wants it */
    uint32_t next;        /* in the queue of its node, or of the free list */
    uint32_t next_damped;
    uint32_t waiters; /* first, 0 = none */
    uint16_t node;    /* where it is QUEUED, ASKED or CONFIRMED */
    uint16_t name_bytes;
    uint8_t state; /* enum rc_redis_entry_state */
    bool foreign;  /* its name in Redis has no head of ours */
    bool wanted;
    bool damped; /* true exactly while it is in the list of those that nobody wants */
    bool missed; /* true exactly while it is wanted, was confirmed once and is not now: its messages are being missed */
    union {
        char here[RC_REDIS_ENTRY_NAME_MAX];
        char *outside; /* owner */
    } name;
};

struct rc_redis_pubsub_waiter {
    uint64_t due_ms;
    uint64_t token;
    uint32_t worker;
    uint32_t entry;
    uint32_t next_of_entry; /* also of the free list */
    uint32_t previous;      /* in order of time */
    uint32_t next;
};

static inline const char *rc_redis_pubsub_entry_name(const struct rc_redis_pubsub_entry *entry)
{
    return entry->name_bytes > RC_REDIS_ENTRY_NAME_MAX ? entry->name.outside : entry->name.here;
}

/* What an entry is found by. */
struct rc_redis_pubsub_key {
    uint64_t hash; /* rc_channel_hash of the name */
    struct rc_span name;
    bool foreign;
};

/* Of a channel of another format. */
struct rc_redis_pubsub_key rc_redis_pubsub_foreign_key(struct rc_span name);

/* The entry of a name, 0 = none. */
uint32_t rc_redis_pubsub_entry_find(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key);
/* A new one, IDLE and not wanted; 0 = no memory. */
uint32_t rc_redis_pubsub_entry_add(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key);
/* Nobody waits for it, and it is not in the list of those that nobody wants. */
void rc_redis_pubsub_entry_free(struct rc_redis_pubsub *pubsub, uint32_t index);
/* What became of the channel at Redis is told; nobody is told of channels of another format. */
void rc_redis_pubsub_changed(const struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_key *key,
                             enum rc_redis_change change);
/* Frees both pools. */
void rc_redis_pubsub_entries_free(struct rc_redis_pubsub *pubsub);

/* A registration waits for this entry's confirmation. False: too many wait, or no memory. */
bool rc_redis_pubsub_waiter_add(struct rc_redis_pubsub *pubsub, uint32_t entry_index, uint32_t worker, uint64_t token);
/* Answers everybody who waits for this entry. */
void rc_redis_pubsub_waiter_answer(struct rc_redis_pubsub *pubsub, uint32_t entry_index, bool confirmed);

#endif
