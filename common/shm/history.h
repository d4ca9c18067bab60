/*
 * history: what the relay keeps of channels beyond the moment: their last messages, and retained values. Layout, and the workers' way
 * of reading it.
 *
 *   head | slots: a channel each | references: a retained value each | units of RC_HISTORY_UNIT bytes, in blocks of a power of two
 *
 *   slot ──first page──▶ page ─▶ page ─▶ page        a page: head, then entries, oldest first; offsets count up without a gap
 *   reference ──▶ block: head, channel's slot, entry
 *
 * Truth is the slots with their chains and the references; which blocks are free, which page is the oldest, where a channel is found by
 * its name, is index: the relay's own, made anew by a successor (relay/history/store.h). A dying relay leaves at worst an entry that
 * nobody sees: an entry counts when `last` does, a page when something names it.
 *
 * The relay writes, everybody else has it mapped read-only. Readers take no lock: they copy, then look whether `moves` still is what it
 * was, which the relay raises before it uses again what a reader may have been looking at. What comes out is copied once, bounded and
 * checked, never asserted: a stray write of the relay is a wrong message at worst.
 *
 * A segment of zero slots is none: nothing is kept.
 */
#ifndef RC_COMMON_SHM_HISTORY_H
#define RC_COMMON_SHM_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"

#define RC_HISTORY_READY 0x52434859u /* "RCHY" */
#define RC_HISTORY_ABI 2u
#define RC_HISTORY_UNIT 512u
#define RC_HISTORY_ALIGN 8u
/* Of the memory, a slot is there for each such many units, and a reference. */
#define RC_HISTORY_UNITS_A_SLOT 8u
#define RC_HISTORY_UNITS_A_REFERENCE 4u

/* W: acceptor, all but the last two: relay. */
struct rc_history_segment {
    _Atomic uint32_t ready; /* RC_HISTORY_READY */
    uint32_t abi;           /* RC_HISTORY_ABI */
    uint32_t slot_count;
    uint32_t reference_count;
    uint32_t unit_count;
    uint32_t reserved0;
    uint8_t pad0[104];
    _Atomic uint32_t slots_high;      /* slots from here on were never used */
    _Atomic uint32_t references_high; /* likewise */
    uint8_t pad1[120];
};
_Static_assert(sizeof(struct rc_history_segment) == 256, "history head layout");

/* A channel. W: relay. */
struct rc_history_slot {
    _Atomic uint64_t epoch; /* of its offsets, random; 0 = the slot is free. Stored last */
    uint64_t owner;         /* what its retained values name it by: random, and the same in all its epochs */
    _Atomic uint64_t first; /* offset of the oldest message that is there; last + 1 = none is */
    _Atomic uint64_t last;  /* offset of the newest message that there ever was; 0 = there was none */
    _Atomic uint64_t moves; /* counts how often memory was taken from the channel */
    /* The offset that the message of `sequence` is to get, before it is `last`: a successor that routes the record again finds out
     * whether it is there. */
    _Atomic uint64_t promised_offset;
    _Atomic uint64_t promised_sequence;
    _Atomic uint64_t time_ms; /* CLOCK_MONOTONIC of the newest message */
    _Atomic uint32_t page;    /* unit + 1 of the oldest page; 0 = none */
    uint8_t name_bytes;
    char name[RC_CHANNEL_NAME_MAX];
    uint8_t shared; /* 1: epoch and offsets are those that Redis gives all instances; 0: this host counts */
    uint8_t pad[3];
};
_Static_assert(sizeof(struct rc_history_slot) == 328, "history slot layout");

/* A page begins with it. */
struct rc_history_page {
    uint64_t first;         /* offset of its first entry */
    _Atomic uint32_t next;  /* unit + 1 of the page behind it; 0 = it is the newest */
    _Atomic uint32_t bytes; /* of the page: whole units; less once the next one is there */
};
_Static_assert(sizeof(struct rc_history_page) == 16, "history page layout");

enum rc_history_entry_flags {
    RC_HISTORY_BINARY = 1u << 0, /* data is binary, else JSON text */
    RC_HISTORY_ARGS = 1u << 1,   /* data is that of common/records/args.h */
    RC_HISTORY_NO_ECHO = 1u << 2,
    RC_HISTORY_REMOTE = 1u << 3, /* came from another instance or a backend */
};

/* A message: this, then key | event | excludes (16 bytes each) | data, then up to RC_HISTORY_ALIGN. */
struct rc_history_entry {
    uint64_t time_ms;       /* CLOCK_MONOTONIC when the relay took it */
    uint64_t origin_random; /* the publisher (struct rc_client_ref); 0 = none */
    uint32_t origin_slot;
    uint16_t origin_worker;
    uint8_t flags; /* enum rc_history_entry_flags */
    uint8_t key_bytes;
    uint32_t data_bytes;
    uint16_t exclude_count;
    uint8_t event_bytes;
    uint8_t reserved;
};
_Static_assert(sizeof(struct rc_history_entry) == 32, "history entry layout");

/* A retained value's block begins with it; its entry follows. */
struct rc_history_value {
    uint64_t stamp_ms; /* CLOCK_REALTIME: of two the newer wins, then the greater instance */
    uint64_t sequence; /* of the record that brought it */
    uint64_t owner;    /* of its channel's slot: of another one it is nobody's any more */
    uint32_t slot;
    uint32_t bytes; /* of the block: a power of two */
    uint8_t instance_bytes;
    char instance[RC_INSTANCE_ID_MAX];
    uint8_t pad[7];
};
_Static_assert(sizeof(struct rc_history_value) == 104, "history value layout");

static inline uint64_t rc_history_entry_bytes(const struct rc_history_entry *entry)
{
    const uint64_t bytes = sizeof(*entry) + (uint64_t)entry->key_bytes + entry->event_bytes +
                           (uint64_t)entry->exclude_count * 16u + entry->data_bytes;
    return (bytes + RC_HISTORY_ALIGN - 1) & ~(uint64_t)(RC_HISTORY_ALIGN - 1);
}

/* A process's own view: the counts were copied and checked when it was mapped. Borrowed memory. */
struct rc_history_view {
    struct rc_history_segment *segment; /* workers have it mapped read-only */
    struct rc_history_slot *slots;
    _Atomic uint32_t *references; /* unit + 1 of a value's block; 0 = free */
    uint8_t *units;
    uint32_t slot_count; /* 0: nothing is kept */
    uint32_t reference_count;
    uint32_t unit_count;
};

/* Acceptor: what a segment of so many bytes begins with; again before each relay. `bytes` is that of the mapping. */
void rc_history_format(struct rc_history_segment *segment, uint64_t bytes);
/* Bytes of a segment whose configured bound is `bound`: at least its head. */
uint64_t rc_history_bytes(uint64_t bound);
/* -EBADMSG: it is none, or says what cannot be. */
int rc_history_view_open(struct rc_history_view *view, void *memory, uint64_t bytes, struct rc_err *err);

/* The block at `unit_plus` - 1, of `bytes`; NULL: it is not one. */
static inline uint8_t *rc_history_at(const struct rc_history_view *view, uint32_t unit_plus, uint64_t bytes)
{
    const uint64_t unit = (uint64_t)unit_plus - 1;
    return unit_plus == 0 || unit >= view->unit_count || bytes > (view->unit_count - unit) * RC_HISTORY_UNIT
               ? NULL
               : view->units + unit * RC_HISTORY_UNIT;
}

/* How a channel stands. */
struct rc_history_state {
    uint64_t epoch;
    uint64_t first;
    uint64_t last;
};

/* Where a reader is. Zero but for slot, epoch and offset, which is that of the message it wants next. */
struct rc_history_cursor {
    uint32_t slot;
    uint32_t page; /* unit + 1; 0 = to be looked for */
    uint64_t epoch;
    uint64_t offset;
    uint64_t moves; /* of `page` */
    uint32_t at;    /* byte in the page */
    uint32_t reserved;
};

/* A message as it was copied: the spans are of the reader's buffer. */
struct rc_history_message {
    struct rc_history_entry entry;
    struct rc_span key;
    struct rc_span event;
    struct rc_span excludes;
    struct rc_span data;
};

/* The channel of a slot; its epoch 0: nobody's. */
struct rc_history_state rc_history_state(const struct rc_history_view *view, uint32_t slot);

/*
 * Copies the message at the cursor's offset into `buffer` and moves on. 1; 0: there is none yet; -ENODATA: it is not there any more, and the
 * cursor may be given another offset;
 * -EMSGSIZE: it is larger than `room` (the cursor stays); -EBADMSG: the segment is damaged there.
 */
int rc_history_read(const struct rc_history_view *view, struct rc_history_cursor *cursor, uint8_t *buffer,
                    uint64_t room, struct rc_history_message *message);

/* The same of the message's key alone; *place: the cursor that reads the message. Never -EMSGSIZE. */
int rc_history_read_key(const struct rc_history_view *view, struct rc_history_cursor *cursor, uint8_t buffer[UINT8_MAX],
                        struct rc_span *key, struct rc_history_cursor *place);

/* The parts of an entry of at most `bytes` that lies in `entry`, which nobody else writes. False: it does not fit them. */
bool rc_history_message_of(const uint8_t *entry, uint64_t bytes, struct rc_history_message *message);

#endif
