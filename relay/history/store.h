/*
 * store: the writing side of the history segment (common/shm/history.h): channels' last messages and their retained values.
 *
 *   store.c   the whole: channels by name, taking over from a predecessor        pages.c   messages: append, evict, expire
 *   blocks.c  which units are free                                               values.c  retained values
 *
 * Everything that a successor needs is in the segment; what is here is found out anew by rc_history_open, which believes nothing: of a
 * channel that is not as it should be only a fresh epoch is left, counted (HISTORY_DAMAGED).
 *
 * Bounds: a namespace says how many messages, bytes and keys a channel has and how long it has them; all together have the segment.
 * When it is full the oldest page of all goes, whoever's it is (HISTORY_EVICTED_MEMORY), and when there is no slot for another channel,
 * the channel goes that was used longest ago and has no retained value. Retained values have a quarter of it to themselves and are never
 * evicted for messages: what does not fit there is refused.
 *
 * Owned by the relay's main; one thread. Nothing blocks. Memory is taken at the opening, but for the two maps.
 */
#ifndef RC_RELAY_HISTORY_STORE_H
#define RC_RELAY_HISTORY_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/hashmap.h"
#include "common/config/config.h"
#include "common/metrics/metrics.h"
#include "common/records/envelope.h"
#include "common/shm/history.h"
#include "relay/history/blocks.h"

#define RC_HISTORY_NO_SLOT UINT32_MAX
#define RC_HISTORY_GRAVE_MS 86400000u            /* a deletion is remembered for so long */
#define RC_HISTORY_KNOWN 4096u                   /* policies that are remembered: a power of two */
#define RC_HISTORY_STAMP_MAX (UINT64_C(1) << 53) /* of a retained value: what a script's numbers hold */
#define RC_HISTORY_AHEAD_MS \
    86400000u /* a stamp that is farther ahead of this host's clock is none: nobody could replace its value */
#define RC_HISTORY_GIVEN 4096u       /* keys of which is remembered which stamp they were given last: a power of two */
#define RC_HISTORY_EMPTY_MS 3600000u /* a channel that had nothing for so long is forgotten with its epoch */

/* What is known of a channel beside its slot. */
struct rc_history_channel {
    uint64_t hash;
    uint64_t owner;   /* rc_history_owner: what checksums of its entries are for */
    uint64_t bytes;   /* of its pages */
    uint64_t head;    /* a message of its oldest page, not behind the first one that is shown; 0 = not known */
    uint32_t head_at; /* where it is in the page */
    uint32_t tail;    /* unit + 1 of its newest page; 0 = none */
    uint32_t tail_at; /* where its next entry goes */
    uint32_t older;   /* in the order of use: slot + 1; 0 = end. Free: the next free one */
    uint32_t newer;
    uint32_t values; /* the value that was changed longest ago: reference + 1; 0 = none */
    uint32_t values_last;
    uint32_t value_count;
    uint32_t value_bytes; /* of their entries */
};

/* Of a page, by its first unit. */
struct rc_history_page_index {
    uint32_t owner; /* slot + 1; 0 = no page begins here */
    uint32_t units; /* of it */
    uint32_t older; /* unit + 1; 0 = end */
    uint32_t newer;
};

/* Of a retained value, by its reference. */
struct rc_history_value_index {
    uint32_t slot;  /* RC_HISTORY_NO_SLOT = free */
    uint32_t mark;  /* rc_history_mark */
    bool dirty;     /* rc_history_dirty */
    uint32_t older; /* of its channel, in the order of change: reference + 1; 0 = end. Free: the next free one */
    uint32_t newer;
};

/* A channel's policy, looked up lately. */
struct rc_history_known {
    uint64_t hash;                            /* of the channel's name; 0 = none */
    const struct rc_config_namespace *policy; /* borrowed: as rc_history_policy says */
};

/* The last stamp that was given for a key. */
struct rc_history_given {
    uint64_t key;   /* hash of channel and key; 0 = none */
    uint64_t above; /* stamp of the value that was there; 0 = none */
    uint64_t ms;
};

struct rc_history {
    struct rc_history_view view;
    struct rc_metrics *metrics;     /* borrowed: the relay's */
    const struct rc_config *config; /* borrowed: in force */
    struct rc_blocks blocks;
    struct rc_hashmap names;               /* channel hash to slot */
    struct rc_hashmap keys;                /* slot and key to reference */
    struct rc_history_channel *channels;   /* owner: one a slot */
    struct rc_history_page_index *pages;   /* owner: one a unit */
    struct rc_history_value_index *values; /* owner: one a reference */
    uint64_t stamp_ms;                     /* CLOCK_REALTIME as rc_history_stamp_next has it: it does not go back */
    uint32_t free_slot;                    /* slot + 1; 0 = none below slots_high */
    uint32_t free_reference;               /* reference + 1, likewise */
    uint32_t slots_high;                   /* as in the segment */
    uint32_t references_high;
    uint32_t oldest_slot; /* used longest ago: slot + 1; 0 = none */
    uint32_t newest_slot;
    uint32_t oldest_page; /* made longest ago: unit + 1; 0 = none */
    uint32_t newest_page;
    uint32_t sweep; /* slot at which the next sweep begins */
    uint32_t channel_count;
    uint32_t value_count;
    uint64_t value_units;      /* of their blocks */
    uint64_t values_bytes_max; /* of one channel's: they have to fit one record */
    /* A value went for want of room, or was deleted long ago; the views live during the call. May be NULL. */
    void (*dropped)(void *context, uint32_t slot, const struct rc_history_value *value,
                    const struct rc_history_message *message);
    void *dropped_context;                           /* borrowed */
    enum rc_history_doubt doubt;                     /* while taking over */
    bool wanted;                                     /* some namespace keeps something */
    struct rc_history_given given[RC_HISTORY_GIVEN]; /* by the hash's lowest bits; of two keys the later one stays */
    struct rc_history_known known[RC_HISTORY_KNOWN]; /* by the hash's lowest bits */
};

/* Where a message stands. Epoch 0: nothing is kept of the channel. */
struct rc_history_place {
    uint64_t epoch;
    uint64_t offset;
    uint32_t slot;
};

/* Takes over what is there. `values_bytes_max`: what a channel's retained values may have together. 0 or -ENOMEM. */
int rc_history_open(struct rc_history *history, const struct rc_history_view *view, const struct rc_config *config,
                    struct rc_metrics *metrics, uint64_t values_bytes_max);
void rc_history_close(struct rc_history *history);
/* After a reload. */
void rc_history_configure(struct rc_history *history, const struct rc_config *config);
/* Some channels, in turn: what is too old goes, and channels that have been empty for long. Once a second. */
void rc_history_sweep(struct rc_history *history, uint64_t now_ms);

/* The channel's slot, or RC_HISTORY_NO_SLOT. */
uint32_t rc_history_find(const struct rc_history *history, uint64_t hash, struct rc_span name);
/* The same, made if it is not there; RC_HISTORY_NO_SLOT: there is no room. */
uint32_t rc_history_make(struct rc_history *history, uint64_t hash, struct rc_span name, uint64_t now_ms);
/* Its messages are gone, and a new epoch begins, in which offsets go on; its retained values stay. */
void rc_history_renew(struct rc_history *history, uint32_t slot);
/* As rc_history_make, but no channel of which something is kept goes for it. */
uint32_t rc_history_begin(struct rc_history *history, uint64_t hash, struct rc_span name, uint64_t now_ms);
/* The channel with its values is gone. */
void rc_history_forget(struct rc_history *history, uint32_t slot);

/* The policy of a channel's namespace; NULL: it keeps no messages, or there is no memory for any. */
const struct rc_config_namespace *rc_history_policy(const struct rc_history *history, struct rc_span name);

/* The same for the name whose hash this is, where it was asked for lately; the names of one hash, which nobody can find on purpose
 * (common/base/hash.h), have one policy. Here, since each message asks. */
static inline const struct rc_config_namespace *rc_history_policy_of(struct rc_history *history, uint64_t hash,
                                                                     struct rc_span name)
{
    struct rc_history_known *known = &history->known[hash & (RC_HISTORY_KNOWN - 1)];
    if (RC_UNLIKELY(known->hash != hash)) {
        known->hash = hash;
        known->policy = rc_history_policy(history, name);
    }
    return known->policy;
}

/* A sequenced message is kept, once, and this host counts it: in an epoch of its own, where the channel's was shared by all. `view` is as
 * it goes down, view->head.channel_hash is right. */
struct rc_history_place rc_history_append(struct rc_history *history, const struct rc_envelope_view *view,
                                          const struct rc_config_namespace *policy, uint64_t now_ms);

/* --- a history that all instances share: Redis counts (relay/cluster/shared.h) --- */

/* The channel begins anew behind `last`, without messages. Nothing happens where there is no room for it. */
void rc_history_begin_at(struct rc_history *history, uint64_t hash, struct rc_span name, uint64_t epoch, uint64_t last,
                         uint64_t now_ms);
/* As rc_history_append, of a message whose place is known. Where the copy that is here ends elsewhere, or is of another epoch, it begins anew
 * with this message. `time_ms`: when it was new (CLOCK_MONOTONIC). The channel's slot; RC_HISTORY_NO_SLOT: there is no room. */
uint32_t rc_history_append_at(struct rc_history *history, const struct rc_envelope_view *view,
                              const struct rc_config_namespace *policy, uint64_t epoch, uint64_t offset,
                              uint64_t time_ms);
/* How far the copy of a shared history goes; its epoch is 0 where there is none, or this host counts itself. */
struct rc_history_state rc_history_shared(const struct rc_history *history, uint64_t hash, struct rc_span name);

/* Messages that the copy of a shared history has no more, or never had, before its oldest one: read again from where they are. */
struct rc_history_prepend {
    uint32_t slot;
    uint32_t unit; /* of their page, which is nobody's until the end */
    uint32_t units;
    uint32_t at;    /* byte of the page where the next one goes */
    uint64_t first; /* offset of the first one */
    uint64_t next;  /* and of the next one */
};

enum rc_history_kept {
    RC_HISTORY_KEPT,
    RC_HISTORY_OLDER,   /* a newer one is there, or its stamp is too far ahead */
    RC_HISTORY_REFUSED, /* there is no room; what was there before is gone: it is not what holds now */
};

/* Of two values the one with the greater stamp holds, of the same stamp that of the greater instance. A stamp more than RC_HISTORY_AHEAD_MS ahead of
 * CLOCK_REALTIME is older than any other, and nobody else's value is kept with it. */
struct rc_history_stamp {
    uint64_t
        ms; /* CLOCK_REALTIME; `own`: raised above that of the value that is there, should clocks differ or go back */
    struct rc_span instance;
    bool own; /* said here and now: it is the newest that this host knows of */
};

/* The message is the value of its channel and key from now on. Without data there is none any more; `grave`: what is deleted is remembered,
 * so that an older value that comes late is known to be older. */
enum rc_history_kept rc_history_keep(struct rc_history *history, const struct rc_envelope_view *view,
                                     struct rc_history_stamp *stamp, bool grave, uint64_t now_ms);

/* The stamp of a value that is said here and kept later, when its message has its place in a shared history: CLOCK_REALTIME, raised above what was given
 * for its key before, and above a value of the future, by RC_HISTORY_AHEAD_MS at most; no other key's is raised by that. Should the clock go back it stands
 * still, unless it was farther ahead than that. */
uint64_t rc_history_stamp_next(struct rc_history *history, const struct rc_envelope_view *view, uint64_t wall_ms);

/* --- pages.c --- */

/* As rc_history_append, of the channel's slot. */
struct rc_history_place rc_history_pages_append(struct rc_history *history, uint32_t slot,
                                                const struct rc_envelope_view *view,
                                                const struct rc_config_namespace *policy, uint64_t now_ms);
/* The same of a message whose offset is given. False: it is not the one behind the newest. */
bool rc_history_pages_append_at(struct rc_history *history, uint32_t slot, const struct rc_envelope_view *view,
                                const struct rc_config_namespace *policy, uint64_t time_ms, uint64_t offset);
/* How the channel stands now, without what is too old. */
struct rc_history_state rc_history_stand(struct rc_history *history, uint32_t slot,
                                         const struct rc_config_namespace *policy, uint64_t now_ms);
/* May messages go before the oldest one? Not where the page has more than is shown: its namespace hides those, and what was before them. */
bool rc_history_prepends(const struct rc_history *history, uint32_t slot);
/* Bytes of the entries that fill a page before the oldest one, which is not to be larger: the next message would drop all of it for want of
 * history_bytes, and a larger block is hard to find. 0: the namespace leaves no room. A message that is larger has a page of its own. */
uint64_t rc_history_prepend_piece(const struct rc_history *history, uint32_t slot,
                                  const struct rc_config_namespace *policy);
/* Room for the messages from `first` up to the oldest one, whose entries have so many bytes together; for it messages of other channels go: of
 * them *evicted becomes more by their bytes, also where it was in vain. For a single message more of them go than for several, of which fewer
 * may do. The channel's are the newest of all from then on. False: there is no room, or the namespace leaves none. */
bool rc_history_prepend_begin(struct rc_history *history, uint32_t slot, const struct rc_config_namespace *policy,
                              uint64_t first, uint64_t bytes, struct rc_history_prepend *prepend, uint64_t *evicted);
/* The next one of them, in the order of offsets; `time_ms`: when it was new (rc_history_now). */
void rc_history_prepend_put(struct rc_history *history, struct rc_history_prepend *prepend,
                            const struct rc_envelope_view *view, uint64_t time_ms);
/* All are there: readers find them. Nothing else may have been done with the channel since rc_history_prepend_begin. */
void rc_history_prepend_end(struct rc_history *history, const struct rc_history_prepend *prepend);
/* Its messages are gone; offsets go on. */
void rc_history_clear(struct rc_history *history, uint32_t slot);
/* A block of that order, for which messages go if need be; RC_BLOCK_NONE. */
uint32_t rc_history_block(struct rc_history *history, uint32_t order);
/* Takes the channel's chain over. False: it is damaged, and must be forgotten. */
bool rc_history_adopt_pages(struct rc_history *history, uint32_t slot);
/* Brings the pages of all channels, which were taken over, into the order of their age. -ENOMEM. */
int rc_history_order_pages(struct rc_history *history);

/* --- values.c --- */

/* As rc_history_keep, of the channel's slot. */
enum rc_history_kept rc_history_values_keep(struct rc_history *history, uint32_t slot,
                                            const struct rc_envelope_view *view, struct rc_history_stamp *stamp,
                                            uint32_t keys_max, bool grave, uint64_t now_ms);
/* The channel's values, those changed longest ago first, as entries one behind the other: bytes written, at most `room`. */
uint64_t rc_history_values(const struct rc_history *history, uint32_t slot, uint8_t *out, uint64_t room);
/* The stamp of the key's value; 0: there is none. */
uint64_t rc_history_value_stamp(const struct rc_history *history, uint32_t slot, struct rc_span key);
/* The value of the key has this mark until it is changed. */
void rc_history_mark(struct rc_history *history, uint32_t slot, struct rc_span key, uint32_t mark);
/* The value of the key is dirty, also when it changes, until whoever is told of it makes it clean. Its reference; RC_HASHMAP_NONE: there is
 * none, or it was dirty already. */
uint32_t rc_history_dirty(struct rc_history *history, uint32_t slot, struct rc_span key);
/* The value of a reference, clean from now on. False: it was, or is gone. */
bool rc_history_clean(struct rc_history *history, uint32_t reference, const struct rc_history_value **value,
                      struct rc_history_message *message);
/* The first value from *reference on that has not this mark; *reference is behind it then. False: there is none. */
bool rc_history_value_at(const struct rc_history *history, uint32_t *reference, uint32_t mark,
                         const struct rc_history_value **value, struct rc_history_message *message);
/* The channel's values that were deleted before `before_ms` are forgotten. */
void rc_history_close_graves(struct rc_history *history, uint32_t slot, uint64_t before_ms);
void rc_history_drop_values(struct rc_history *history, uint32_t slot);
void rc_history_drop_value(struct rc_history *history, uint32_t reference);
/* Takes a reference over; what makes no sense is freed. */
void rc_history_adopt_value(struct rc_history *history, uint32_t reference);

/* --- shared --- */

/* Writes an entry with the parts of a message. */
void rc_history_entry_write(uint8_t *out, const struct rc_envelope_view *view, uint64_t now_ms);
/* In a file the entry, which is whole, has its checksum from then on. */
void rc_history_seal(const struct rc_history *history, uint8_t *entry, uint64_t owner, uint64_t place);
/* Is the entry of at most `room` bytes whole, where that is in doubt? */
bool rc_history_sealed(const struct rc_history *history, const uint8_t *bytes, uint64_t room, uint64_t owner,
                       uint64_t place);
/* Bytes of it. */
uint64_t rc_history_entry_need(const struct rc_envelope_view *view);
/* The gauges of what is used. */
void rc_history_gauges(struct rc_history *history);

#endif
