/*
 * shared_table: what is known of channels whose history all instances share, for shared (the state machine) alone.
 *
 *            subscribed                        all is here                     an offset is missing, Redis is back
 *   APART ──────────────▶ FETCHING ──────────────────────────────▶ LIVE ──────────────────────────────────────────▶ FETCHING
 *     ▲                      │ ▲                                     │
 *     │ no more subscribed   │ └──── what went out alone has ────────┤ a message has waited for Redis too long, or Redis
 *     └──────────────────────┘       come to Redis                   ▼ refuses it
 *                                 RETURNING ◀──── it answers ──── ALONE
 *
 * Owned by shared; one thread.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_TABLE_H
#define RC_RELAY_CLUSTER_SHARED_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/hashmap.h"
#include "common/records/envelope.h"
#include "relay/bridge/placed.h"

#define RC_SHARED_CHANNELS_MAX (1u << 22)

enum rc_shared_state {
    RC_SHARED_APART, /* not subscribed: own messages are delivered with the script's answer, or, where somebody listens, read from the stream */
    RC_SHARED_FETCHING,  /* the stream is read to where messages of the subscription go on */
    RC_SHARED_LIVE,      /* messages are delivered as they come over the subscription */
    RC_SHARED_ALONE,     /* this host counts itself */
    RC_SHARED_RETURNING, /* the same, but new messages wait again */
};

struct rc_shared_channel;

/* A message of this host that has no place yet. */
struct rc_shared_pending {
    TAILQ_ENTRY(rc_shared_pending) of_channel; /* in the order of sequences */
    TAILQ_ENTRY(rc_shared_pending) of_all;     /* in the order of time */
    struct rc_shared_channel *channel;
    uint64_t time_ms;
    uint64_t sequence;
    uint64_t known; /* the epoch of which the script's answer is a number alone */
    uint64_t epoch; /* of the answer */
    uint64_t offset;
    uint64_t bound; /* the same, or, where it is not known, one that it is not behind */
    uint32_t worker;
    uint32_t generation;
    bool entry;    /* of an application's stream, from which it comes again unless Redis takes it */
    bool answers;  /* the worker wants to know */
    bool answered; /* true exactly when the script has answered: the place may be unknown all the same (0) */
    bool flying;   /* true exactly while the link has it */
    struct rc_envelope_view view; /* its parts are `record` */
    uint8_t record[];
};

/* A message of the subscription that has to wait for those before it. */
struct rc_shared_held {
    TAILQ_ENTRY(rc_shared_held) next;
    uint64_t time_ms;
    uint32_t bytes;
    uint32_t fetches; /* that did not bring what is before it */
    uint8_t text[];
};

/* A worker's registration, or question, that is answered when all is here. */
struct rc_shared_waiter {
    TAILQ_ENTRY(rc_shared_waiter) of_channel;
    TAILQ_ENTRY(rc_shared_waiter) of_all; /* in the order of time */
    uint64_t since_ms;
    uint64_t token;
    struct rc_shared_channel *channel;
    uint32_t worker;
    bool confirmed;
    bool fills; /* it waits for what the copy lacks (shared_refill.h): of `fillers` */
    uint32_t generation;
    uint32_t bytes;   /* of the question; 0 = it is a registration */
    uint8_t record[]; /* the question */
};

TAILQ_HEAD(rc_shared_pendings, rc_shared_pending);
TAILQ_HEAD(rc_shared_helds, rc_shared_held);
TAILQ_HEAD(rc_shared_waiters, rc_shared_waiter);
TAILQ_HEAD(rc_shared_channels, rc_shared_channel);

struct rc_shared_channel {
    TAILQ_ENTRY(rc_shared_channel) in_echo;
    TAILQ_ENTRY(rc_shared_channel) in_fetch;
    TAILQ_ENTRY(rc_shared_channel) in_alone;
    TAILQ_ENTRY(rc_shared_channel) in_quiet;
    TAILQ_ENTRY(rc_shared_channel) in_holding;
    TAILQ_ENTRY(rc_shared_channel) in_refill;
    struct rc_shared_pendings pendings;
    struct rc_shared_helds helds;
    struct rc_shared_waiters waiters;
    struct rc_shared_waiters fillers;
    uint64_t hash;
    uint64_t epoch;      /* in which its subscribers are; 0 = of none yet */
    uint64_t last;       /* offset of the last message that was taken */
    uint64_t proof;      /* hash of who sent it; 0 = not known */
    uint64_t told_epoch; /* the script's answer said that the channel is so far */
    uint64_t told;
    uint64_t heard_epoch; /* the first message that is held, or had to be dropped: from there on subscribers get all */
    uint64_t heard;
    uint64_t alone_first;    /* own messages from this one on */
    uint64_t alone_sequence; /* up to this one were delivered alone: those that the link had then are alone_left */
    uint64_t alone_epoch;    /* with alone_last: as Redis answers, until it was fetched; else 0 */
    uint64_t alone_last;     /* none of them is behind this offset */
    uint64_t since_ms;       /* of FETCHING, or since it was given up last; or until when it waits (echo) */
    uint64_t retry_ms; /* of the next fetch; of one that is alone: until when it need not look whether it still is */
    uint64_t held_ms;  /* since when its first message waits that is held, or a little longer (holding) */
    uint64_t keep_ms;  /* when Redis is told again that its epoch holds (quiet) */
    uint64_t vain_ms;  /* when it was last in vain to look for what the copy lacks; 0 = it was not */
    uint32_t index;
    uint32_t refill_bytes; /* what found room at last, where that was less than what had been read; 0 = all of it */
    uint32_t refill_tries; /* answers that came too late, in a row */
    uint32_t flying;       /* own messages that the link has */
    uint32_t alone_left;   /* of them, those that were delivered alone */
    uint32_t repaired;     /* messages of the fetch that runs */
    uint32_t renewals;     /* of the fetch that runs: how often its epoch was to be ended */
    uint32_t refusals;     /* of its fetches, in a row */
    uint8_t state;         /* enum rc_shared_state */
    uint8_t name_bytes;
    bool followed; /* true exactly while Redis has the subscription, as far as it is known */
    bool fetching; /* true exactly while a fetch has not been answered */
    bool fans;     /* of the fetch: subscribers get what it brings */
    bool all;      /* of the fetch: the copy begins anew */
    bool again;    /* another fetch behind this one */
    bool empty;    /* true exactly when Redis had nothing of it when it became LIVE, and no message came since */
    bool local;    /* true exactly while its subscribers are in an epoch of this host */
    bool
        early; /* true exactly while somebody here was told that he is subscribed, and the place, and Redis has not confirmed it since */
    bool echo_due; /* true exactly while it is in the list of that name */
    bool queued;   /* true exactly while it is in fetch or, if `later`, in later */
    bool later;
    bool alone_listed;
    bool quiet_listed;
    bool refill_lost;   /* its question was not answered, for Redis went: it is asked again when that is back */
    bool refilling;     /* true exactly while a question for what the copy lacks has not been answered */
    bool refill_queued; /* true exactly while it is in the list of those that are to be asked */
    char name[];
};

struct rc_shared_table {
    struct rc_hashmap map;
    struct rc_shared_channel **channels; /* owner */
    uint32_t room;
    uint32_t high;
    uint32_t *free; /* owner: a stack */
    uint32_t free_count;
};

int rc_shared_table_open(struct rc_shared_table *table);
/* Frees all channels; they have no pendings, helds or waiters any more. */
void rc_shared_table_close(struct rc_shared_table *table);
struct rc_shared_channel *rc_shared_table_find(const struct rc_shared_table *table, uint64_t hash, struct rc_span name);
/* The same, made if it is not there: APART. NULL: no memory. */
struct rc_shared_channel *rc_shared_table_make(struct rc_shared_table *table, uint64_t hash, struct rc_span name);
void rc_shared_table_drop(struct rc_shared_table *table, struct rc_shared_channel *channel);

#endif
