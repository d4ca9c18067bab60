/* history: see history.h. */
#include "common/shm/history.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"

#define READ_TRIES_MAX \
    16u /* the channel moved on while it was read: that often in a row means that its history is short */

/* Room for slots, references and units in what is there besides the head. */
static void history_counts(uint64_t bytes, uint32_t *slots, uint32_t *references, uint32_t *units)
{
    const uint64_t head = sizeof(struct rc_history_segment);
    /* One unit's share of all three, in eighths: its bytes, of a slot, of a reference. */
    const uint64_t share = RC_HISTORY_UNIT * 8u + sizeof(struct rc_history_slot) * 8u / RC_HISTORY_UNITS_A_SLOT +
                           sizeof(uint32_t) * 8u / RC_HISTORY_UNITS_A_REFERENCE;
    uint64_t count = bytes <= head + 2 * RC_HISTORY_UNIT ? 0 : (bytes - head - RC_HISTORY_UNIT) * 8u / share;
    count = count > UINT32_MAX / 2 ? UINT32_MAX / 2 : count & ~(uint64_t)(RC_HISTORY_UNITS_A_SLOT - 1);
    *units = (uint32_t)count;
    *slots = *units / RC_HISTORY_UNITS_A_SLOT;
    *references = *units / RC_HISTORY_UNITS_A_REFERENCE;
}

/* Where the units begin. */
static uint64_t units_offset(uint32_t slots, uint32_t references)
{
    const uint64_t bytes = sizeof(struct rc_history_segment) + (uint64_t)slots * sizeof(struct rc_history_slot) +
                           (uint64_t)references * sizeof(uint32_t);
    return (bytes + RC_HISTORY_UNIT - 1) & ~(uint64_t)(RC_HISTORY_UNIT - 1);
}

uint64_t rc_history_bytes(uint64_t bound)
{
    return bound < sizeof(struct rc_history_segment) ? sizeof(struct rc_history_segment) : bound;
}

void rc_history_format(struct rc_history_segment *segment, uint64_t bytes)
{
    RC_ASSERT(bytes >= sizeof(*segment));
    segment->abi = RC_HISTORY_ABI;
    history_counts(bytes, &segment->slot_count, &segment->reference_count, &segment->unit_count);
    /* HY1 pairs with HY2 in rc_history_view_open: the acceptor's last store. */
    atomic_store_explicit(&segment->ready, RC_HISTORY_READY, memory_order_release);
}

int rc_history_view_open(struct rc_history_view *view, void *memory, uint64_t bytes, struct rc_err *err)
{
    struct rc_history_segment *segment = memory;
    /* HY2 pairs with HY1 in rc_history_format: the counts are there. */
    if (bytes < sizeof(*segment) || atomic_load_explicit(&segment->ready, memory_order_acquire) != RC_HISTORY_READY ||
        segment->abi != RC_HISTORY_ABI) {
        return rc_err_set(err, -EBADMSG,
                          "the history segment is not of this version of ringcast: install acceptor, worker and relay "
                          "together");
    }
    *view = (struct rc_history_view){.segment = segment,
                                     .slots = (struct rc_history_slot *)(segment + 1),
                                     .slot_count = segment->slot_count,
                                     .reference_count = segment->reference_count,
                                     .unit_count = segment->unit_count,
                                     .file = segment->file == 1,
                                     .clock_ahead = segment->clock_ahead};
    const uint64_t offset = units_offset(view->slot_count, view->reference_count);
    if ((view->slot_count == 0) != (view->unit_count == 0) ||
        (view->unit_count > 0 && (offset > bytes || view->unit_count > (bytes - offset) / RC_HISTORY_UNIT))) {
        return rc_err_set(err, -EBADMSG, "the history segment is damaged: %u channels, %u units in %llu bytes",
                          view->slot_count, view->unit_count, (unsigned long long)bytes);
    }
    view->references = (_Atomic uint32_t *)(view->slots + view->slot_count);
    view->units = (uint8_t *)memory + offset;
    return 0;
}

struct rc_history_state rc_history_state(const struct rc_history_view *view, uint32_t slot)
{
    struct rc_history_state state = {0};
    if (slot < view->slot_count) {
        const struct rc_history_slot *its = &view->slots[slot];
        /* HY4 pairs with HY3 in relay/history/store.c: what is of an epoch is read behind it. */
        state.epoch = atomic_load_explicit(&its->epoch, memory_order_acquire);
        state.first = atomic_load_explicit(&its->first, memory_order_relaxed);
        /* HY6 pairs with HY5 in relay/history/store.c: the message is whole, and so are the pages up to it. */
        state.last = atomic_load_explicit(&its->last, memory_order_acquire);
    }
    return state;
}

uint64_t rc_history_owner(uint64_t owner, struct rc_span name)
{
    return owner ^ rc_hash_public(name.bytes, name.count);
}

uint32_t rc_history_checksum(const uint8_t *bytes, uint64_t owner, uint64_t place)
{
    struct {
        uint64_t owner;
        uint64_t place;
        uint64_t parts;
        struct rc_history_entry entry;
    } all = {.owner = owner, .place = place};
    memcpy(&all.entry, bytes, sizeof(all.entry));
    all.entry.checksum = 0;
    all.parts = rc_hash_public(bytes + sizeof(all.entry), rc_history_entry_bytes(&all.entry) - sizeof(all.entry));
    const uint64_t sum = rc_hash_public(&all, sizeof(all));
    return (uint32_t)sum == 0 ? 1 : (uint32_t)sum;
}

bool rc_history_message_of(const uint8_t *entry, uint64_t bytes, struct rc_history_message *message)
{
    if (bytes < sizeof(message->entry)) {
        return false;
    }
    memcpy(&message->entry, entry, sizeof(message->entry));
    if (rc_history_entry_bytes(&message->entry) > bytes) {
        return false;
    }
    const uint8_t *part = entry + sizeof(message->entry);
    message->key = rc_span_of(part, message->entry.key_bytes);
    part += message->key.count;
    message->event = rc_span_of(part, message->entry.event_bytes);
    part += message->event.count;
    message->excludes = rc_span_of(part, (size_t)message->entry.exclude_count * 16u);
    part += message->excludes.count;
    message->data = rc_span_of(part, message->entry.data_bytes);
    return true;
}

/* What a page says of itself, copied. False: there is none. */
static bool page_read(const struct rc_history_view *view, uint32_t unit_plus, uint64_t *first, uint32_t *next,
                      uint32_t *bytes)
{
    struct rc_history_page *page = (struct rc_history_page *)rc_history_at(view, unit_plus, sizeof(*page));
    if (page == NULL) {
        return false;
    }
    *first = page->first;
    /* HY8 pairs with HY7 in relay/history/store.c: the page behind it says what it is. */
    *next = atomic_load_explicit(&page->next, memory_order_acquire);
    *bytes = atomic_load_explicit(&page->bytes, memory_order_relaxed);
    return *bytes >= RC_HISTORY_UNIT && rc_history_at(view, unit_plus, *bytes) != NULL;
}

/* The size of the entry at `at` in a page. 0: there is none. */
static uint64_t entry_size(const uint8_t *page, uint32_t page_bytes, uint32_t at)
{
    struct rc_history_entry entry;
    if (at > page_bytes || page_bytes - at < sizeof(entry)) {
        return 0;
    }
    memcpy(&entry, page + at, sizeof(entry));
    const uint64_t bytes = rc_history_entry_bytes(&entry);
    return bytes <= page_bytes - at ? bytes : 0;
}

/* Finds the cursor's offset in the channel's chain. False: it is not where it should be: the chain moved on, or is damaged. */
static bool cursor_seek(const struct rc_history_view *view, struct rc_history_cursor *cursor, uint32_t page)
{
    uint64_t first = 0;
    uint32_t next = 0;
    uint32_t bytes = 0;
    for (uint32_t steps = 0; steps < view->unit_count && page_read(view, page, &first, &next, &bytes); steps++) {
        uint64_t next_first = 0;
        uint32_t behind;
        uint32_t next_bytes;
        if (first > cursor->offset) {
            return false;
        }
        if (next != 0 && page_read(view, next, &next_first, &behind, &next_bytes) && next_first <= cursor->offset) {
            page = next;
            continue;
        }
        const uint8_t *memory = rc_history_at(view, page, bytes);
        uint32_t at = sizeof(struct rc_history_page);
        for (uint64_t offset = first; offset < cursor->offset; offset++) {
            const uint64_t size = entry_size(memory, bytes, at);
            if (size == 0) {
                return false;
            }
            at += (uint32_t)size;
        }
        cursor->page = page;
        cursor->at = at;
        return true;
    }
    return false;
}

/* Where the cursor's entry is, whose page it knows, and its bytes; the cursor may be in the next page then. NULL: it is not there. */
static const uint8_t *cursor_entry(const struct rc_history_view *view, struct rc_history_cursor *cursor, uint64_t *size)
{
    uint64_t first;
    uint32_t next;
    uint32_t bytes;
    uint64_t next_first = 0;
    if (!page_read(view, cursor->page, &first, &next, &bytes)) {
        return NULL;
    }
    /* The last entry of a page is behind us: on to the next one. */
    if (next != 0) {
        uint32_t behind;
        uint32_t next_bytes;
        if (!page_read(view, next, &next_first, &behind, &next_bytes)) {
            return NULL;
        }
        if (next_first <= cursor->offset) {
            cursor->page = next;
            cursor->at = sizeof(struct rc_history_page);
            bytes = next_bytes;
            if (next_first != cursor->offset) {
                return NULL;
            }
        }
    }
    const uint8_t *memory = rc_history_at(view, cursor->page, bytes);
    *size = memory == NULL ? 0 : entry_size(memory, bytes, cursor->at);
    return *size == 0 ? NULL : memory + cursor->at;
}

/* What is read of an entry: all of it, or its key alone. */
struct reading {
    uint8_t *buffer;
    uint64_t room;
    struct rc_history_message *message; /* NULL = the key alone */
    struct rc_span *key;
    struct rc_history_cursor *place; /* of the entry */
};

/* 1, -EMSGSIZE, or -EBADMSG: it is not there. */
static int cursor_copy(const struct rc_history_view *view, struct rc_history_cursor *cursor,
                       const struct reading *reading)
{
    uint64_t size;
    const uint8_t *from = cursor_entry(view, cursor, &size);
    if (from == NULL) {
        return -EBADMSG;
    }
    if (reading->message == NULL) {
        struct rc_history_entry entry;
        memcpy(&entry, from, sizeof(entry));
        if (rc_history_entry_bytes(&entry) != size) {
            return -EBADMSG; /* it changed while it was looked at */
        }
        memcpy(reading->buffer, from + sizeof(entry), entry.key_bytes);
        *reading->key = rc_span_of(reading->buffer, entry.key_bytes);
        *reading->place = *cursor;
    } else if (size > reading->room) {
        return -EMSGSIZE;
    } else {
        memcpy(reading->buffer, from, size);
        if (!rc_history_message_of(reading->buffer, size, reading->message)) {
            return -EBADMSG; /* it changed while it was copied */
        }
    }
    cursor->at += (uint32_t)size;
    return 1;
}

static int read_with(const struct rc_history_view *view, struct rc_history_cursor *cursor,
                     const struct reading *reading)
{
    if (cursor->slot >= view->slot_count || cursor->epoch == 0) {
        return -ENODATA;
    }
    struct rc_history_slot *slot = &view->slots[cursor->slot];
    for (uint32_t tries = 0; tries < READ_TRIES_MAX; tries++) {
        /* HY10 pairs with HY9 in relay/history/store.c: what was taken from the channel is not in its chain any more. */
        const uint64_t moves = atomic_load_explicit(&slot->moves, memory_order_acquire);
        const struct rc_history_state state = rc_history_state(view, cursor->slot);
        if (state.epoch != cursor->epoch || cursor->offset < state.first) {
            break;
        }
        if (cursor->offset > state.last) {
            return 0;
        }
        struct rc_history_cursor next = *cursor;
        int rc = -EBADMSG;
        if (next.page == 0 || next.moves != moves) {
            next.page = 0;
            next.moves = moves;
        }
        if (next.page != 0 || cursor_seek(view, &next, atomic_load_explicit(&slot->page, memory_order_relaxed))) {
            rc = cursor_copy(view, &next, reading);
        }
        /* HY11 pairs with HY9 in relay/history/store.c: who sees memory that was used again sees that it moved. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&slot->moves, memory_order_relaxed) != moves) {
            continue;
        }
        if (rc == 1) {
            next.offset++;
            *cursor = next;
        }
        return rc;
    }
    cursor->page = 0; /* it goes on elsewhere, if at all */
    return -ENODATA;
}

int rc_history_read(const struct rc_history_view *view, struct rc_history_cursor *cursor, uint8_t *buffer,
                    uint64_t room, struct rc_history_message *message)
{
    return read_with(view, cursor, &(struct reading){.buffer = buffer, .room = room, .message = message});
}

int rc_history_read_key(const struct rc_history_view *view, struct rc_history_cursor *cursor, uint8_t buffer[UINT8_MAX],
                        struct rc_span *key, struct rc_history_cursor *place)
{
    return read_with(view, cursor, &(struct reading){.buffer = buffer, .key = key, .place = place});
}
