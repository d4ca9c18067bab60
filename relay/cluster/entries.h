/*
 * entries: what this instance has in Redis sets and hashes that all instances share, and keeps right there whatever happens.
 *
 * An entry is one member of one collection ("c subs:BTC", see cleanup.h for the letters). Callers say what there should be; this
 * table writes the difference to Redis, pipelined, and everything again after a loss:
 *
 *             add                written                       answered
 *   (none) ─────────▶ WANTED ──────────────▶ WANTED, FLYING ──────────────▶ WANTED, HELD
 *                        ▲  └── error: again after a second ──┘                  │ remove
 *   (none) ◀── answered ── FLYING ◀── written ── HELD (not WANTED) ◀─────────────┘
 *
 * At most one command of an entry is out, so that answers never overtake each other, not even in a Cluster. A collection's name
 * stands in the index of this instance before its first member is written, and until its last one is gone: whoever cleans up
 * after this instance finds everything. Should Redis refuse the name and take the member behind it, the name is written again
 * after a second. Nothing is written unless the registry says that this instance owns its id.
 *
 * Owned by remote; one thread, the link's. Private memory, an index: restored from the workers' snapshots. Bounded by
 * RC_ENTRIES_MAX and by RC_ENTRIES_FLYING_MAX commands without an answer; only adding allocates, and is refused and counted.
 */
#ifndef RC_RELAY_CLUSTER_ENTRIES_H
#define RC_RELAY_CLUSTER_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/base/hashmap.h"
#include "common/metrics/metrics.h"
#include "common/base/span.h"
#include "relay/redis/link.h"
#include "relay/timer.h"

#define RC_ENTRIES_MAX (UINT32_C(1) << 24)
#define RC_ENTRIES_FLYING_MAX 4096u
#define RC_ENTRIES_RETRY_MS 1000u
#define RC_ENTRY_NAME_MAX (RC_CHANNEL_NAME_MAX + 64u) /* bytes of a collection's name with its letter */

#define RC_ENTRY_VALUE_MAX 4096u /* bytes of an entry's value */

struct rc_entry {
    struct rc_span name;      /* of the collection, with its letter; NUL-terminated */
    struct rc_client_ref ref; /* whose membership; zero: the instance's */
    struct rc_span value;     /* as given when it was added */
};

struct rc_entries_ops {
    /* Sends the one command that adds or removes the member. As rc_redis_command. */
    int (*write)(void *context, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                 void *replied_context);
    void *context; /* borrowed */
};

struct rc_entries_chunk;
struct rc_collection_chunk;

struct rc_entries {
    struct rc_redis_link *link; /* borrowed */
    struct rc_timers *timers;   /* borrowed: the loop's */
    struct rc_metrics *metrics; /* borrowed */
    const char *instance_id;    /* borrowed */
    struct rc_entries_ops ops;
    struct rc_hashmap map;            /* owner: of entries */
    struct rc_entries_chunk **chunks; /* owner */
    uint32_t chunk_count;
    uint32_t chunk_max;
    uint32_t free_index; /* first free entry, UINT32_MAX = none */
    uint32_t count;
    struct rc_hashmap names;                  /* owner: of collections */
    struct rc_collection_chunk **collections; /* owner */
    uint32_t collection_chunk_count;
    uint32_t collection_chunk_max;
    uint32_t free_collection;
    uint32_t asking;      /* commands of the index without an answer */
    uint32_t unindexed;   /* collections whose name has to be written to the index again */
    uint32_t dirty_first; /* queue of what is to be written */
    uint32_t dirty_last;
    uint32_t flying;
    bool registered; /* this instance owns its id: writing is allowed */
    struct rc_timer flush;
    struct rc_timer retry; /* of what Redis refused */
};

/* 0 or -ENOMEM. */
int rc_entries_open(struct rc_entries *entries, struct rc_redis_link *link, struct rc_timers *timers,
                    struct rc_metrics *metrics, const char *instance_id, const struct rc_entries_ops *ops);
/* After the link was closed: no answer comes any more. */
void rc_entries_close(struct rc_entries *entries);

/* `source` tells memberships apart that come down to the same member (two channels whose set is one): 0 where that cannot be.
 * Adding what is there with the same value changes nothing (and keeps it over rc_entries_worker_end); with another one it is written
 * again. 0, -ENOSPC, -ENOMEM. */
int rc_entries_add(struct rc_entries *entries, struct rc_span name, uint64_t source, const struct rc_client_ref *ref,
                   struct rc_span value);
void rc_entries_remove(struct rc_entries *entries, struct rc_span name, uint64_t source,
                       const struct rc_client_ref *ref);
/* Is the instance's own membership wanted? */
bool rc_entries_has(const struct rc_entries *entries, struct rc_span name);
/* Redis has it already: a predecessor wrote it. Otherwise as rc_entries_add. */
int rc_entries_adopt(struct rc_entries *entries, struct rc_span name);

/* A worker tells all its clients' memberships between begin and end: what it does not tell again goes. */
void rc_entries_worker_begin(struct rc_entries *entries, uint32_t worker);
void rc_entries_worker_end(struct rc_entries *entries, uint32_t worker);
/* The worker died with its clients. */
void rc_entries_worker_gone(struct rc_entries *entries, uint32_t worker);
/* The broker stops: everything goes. */
void rc_entries_drop_all(struct rc_entries *entries);

/* From the registry: everything is written again, or nothing any more. */
void rc_entries_registered(struct rc_entries *entries, bool registered);

/* True when Redis has exactly what it should have. */
static inline bool rc_entries_settled(const struct rc_entries *entries)
{
    return entries->dirty_first == UINT32_MAX && entries->flying == 0 && entries->asking == 0 &&
           entries->unindexed == 0;
}

#endif
