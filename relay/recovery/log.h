/*
 * log: the messages that Socket.IO clients which come back may have missed: of all namespaces, in the order of their sequence, in a
 * circle of shared memory (segment.h). The oldest go when there is no room.
 *
 * Each entry stands in one chain: that of the room it is for, of the one socket, or of everything else in its namespace; a chain names its newest
 * entry, each entry the one before. So a session finds what it missed by walking its own chains back, whatever else was said. Only
 * chains that some session wants are written: of what nobody could ask for nothing is kept.
 *
 * Owned by recovery.h; one thread. Memory is taken at the opening, but for the table of chains.
 */
#ifndef RC_RELAY_RECOVERY_LOG_H
#define RC_RELAY_RECOVERY_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/base/span.h"
#include "relay/recovery/segment.h"

/* A chain somebody wants. */
struct rc_recovery_chain {
    uint64_t hash;
    uint64_t last;   /* position + 1 of its newest entry; 0 = none */
    uint32_t wanted; /* how many want it; 0 = free */
    uint32_t next;   /* free ones: index + 1; 0 = end */
};

struct rc_recovery_log {
    struct rc_recovery_view view;
    struct rc_hashmap names;          /* hash to chain */
    struct rc_recovery_chain *chains; /* owner; grows */
    uint32_t chain_count;             /* ever used */
    uint32_t chain_capacity;
    uint32_t free; /* index + 1; 0 = none */
    uint64_t tail; /* as in the segment */
    uint64_t head;
    uint64_t floor;
    uint64_t sequence; /* of the message that was kept last */
};

/* The parts of an entry, in their order; of the head only what tells them apart is read: sequence, chain, time, origin, target, flags. */
struct rc_recovery_parts {
    struct rc_span channel;
    struct rc_span event;
    struct rc_span excludes;
    struct rc_span names;
    struct rc_span data;
};

struct rc_recovery_found {
    uint64_t position;
    uint64_t sequence;
};

/* Takes over what is there; what makes no sense is forgotten, all of it (*damaged). 0 or -ENOMEM. */
int rc_recovery_log_open(struct rc_recovery_log *log, const struct rc_recovery_view *view, bool *damaged);
/* Chains that are wanted by now find their entries again: once, behind the opening. */
void rc_recovery_log_link(struct rc_recovery_log *log);
void rc_recovery_log_close(struct rc_recovery_log *log);

/* One more wants the chain; 1: it is the first. 0; -ENOMEM. One less; true: it was the last. */
int rc_recovery_log_want(struct rc_recovery_log *log, uint64_t chain);
bool rc_recovery_log_unwant(struct rc_recovery_log *log, uint64_t chain);
bool rc_recovery_log_wanted(const struct rc_recovery_log *log, uint64_t chain);

/* Keeps an entry if its chain is wanted. False: it is too large to be kept. */
bool rc_recovery_log_append(struct rc_recovery_log *log, const struct rc_recovery_entry *head,
                            const struct rc_recovery_parts *parts);

/* The same of an entry whose chain is its caller's: *last is position + 1 of the newest there, and then this one's. */
bool rc_recovery_log_put(struct rc_recovery_log *log, const struct rc_recovery_entry *head,
                         const struct rc_recovery_parts *parts, uint64_t *last);
/* Each entry that is there, oldest first; *at begins as 0. False: there is no more. */
bool rc_recovery_log_each(const struct rc_recovery_log *log, uint64_t *at, uint64_t *position,
                          struct rc_recovery_entry *entry);

/* The sequence of the newest entry of a chain; 0: there is none, or not any more. */
uint64_t rc_recovery_log_last(const struct rc_recovery_log *log, uint64_t hash);
/* What is looked for in chains, and was found. */
struct rc_recovery_search {
    struct rc_recovery_found *found; /* borrowed: room for `most` */
    uint32_t count;
    uint32_t most;
    uint32_t walk; /* how many entries may be looked at yet: of others' there may be many */
    bool (*wants)(const void *context, const struct rc_recovery_entry *entry, const struct rc_recovery_parts *parts);
    const void *context; /* borrowed */
};

/* Adds those of the chain's entries behind `since` that are wanted, in no order. 0; -ENODATA: some are gone; -E2BIG: there are more than may be found,
 * or looked at. */
int rc_recovery_log_collect(const struct rc_recovery_log *log, uint64_t chain, uint64_t since,
                            struct rc_recovery_search *search);
/* Brings them into their order, each once; how many. */
uint32_t rc_recovery_log_order(struct rc_recovery_found *found, uint32_t count);
/* The entry at a position that was found, until the next one is kept. */
void rc_recovery_log_read(const struct rc_recovery_log *log, uint64_t position, struct rc_recovery_entry *entry,
                          struct rc_recovery_parts *parts);

#endif
