/* values: retained values: of each channel and key the newest message that was to be kept. See store.h. */
#include "relay/history/store.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define SHARE_OF_UNITS 4u /* values have at most one unit in so many */

static uint32_t reference_unit(const struct rc_history *history, uint32_t reference)
{
    return atomic_load_explicit(&history->view.references[reference], memory_order_relaxed);
}

static const struct rc_history_value *value_of(const struct rc_history *history, uint32_t reference)
{
    const struct rc_history_value *value = (const struct rc_history_value *)rc_history_at(
        &history->view, reference_unit(history, reference), sizeof(struct rc_history_value));
    RC_ASSERT(value != NULL); /* our own index named it */
    return value;
}

/* Bytes of a block in use, from our own index. */
static uint64_t block_bytes(const struct rc_history *history, uint32_t unit_plus)
{
    return (uint64_t)RC_HISTORY_UNIT << ((history->blocks.marks[unit_plus - 1] & 0x7fu) - 1u);
}

static bool value_message(const struct rc_history *history, uint32_t reference, struct rc_history_message *message)
{
    const struct rc_history_value *value = value_of(history, reference);
    return rc_history_message_of((const uint8_t *)(value + 1),
                                 block_bytes(history, reference_unit(history, reference)) - sizeof(*value), message);
}

/* --- by channel and key ---------------------------------------------------------------------------------------------- */

static uint64_t key_hash(uint32_t slot, struct rc_span key)
{
    uint8_t bytes[sizeof(slot) + UINT8_MAX];
    memcpy(bytes, &slot, sizeof(slot));
    if (key.count > 0) {
        memcpy(bytes + sizeof(slot), key.bytes, key.count);
    }
    return rc_hash(bytes, sizeof(slot) + key.count);
}

struct key_sought {
    const struct rc_history *history;
    uint32_t slot;
    struct rc_span key;
};

static bool key_equal(const void *context, uint32_t reference)
{
    const struct key_sought *sought = context;
    struct rc_history_message message;
    return sought->history->values[reference].slot == sought->slot &&
           value_message(sought->history, reference, &message) && rc_span_equal(message.key, sought->key);
}

static uint32_t value_find(const struct rc_history *history, uint32_t slot, struct rc_span key)
{
    const struct key_sought sought = {.history = history, .slot = slot, .key = key};
    return rc_hashmap_find(&history->keys, key_hash(slot, key), key_equal, &sought);
}

/* --- the order of change --------------------------------------------------------------------------------------------- */

static void change_add(struct rc_history *history, uint32_t slot, uint32_t reference)
{
    struct rc_history_channel *channel = &history->channels[slot];
    history->values[reference] = (struct rc_history_value_index){.slot = slot, .older = channel->values_last};
    *(channel->values_last != 0 ? &history->values[channel->values_last - 1].newer : &channel->values) = reference + 1;
    channel->values_last = reference + 1;
}

static void change_remove(struct rc_history *history, uint32_t slot, uint32_t reference)
{
    struct rc_history_channel *channel = &history->channels[slot];
    const struct rc_history_value_index *value = &history->values[reference];
    *(value->older != 0 ? &history->values[value->older - 1].newer : &channel->values) = value->newer;
    *(value->newer != 0 ? &history->values[value->newer - 1].older : &channel->values_last) = value->older;
}

static void value_account(struct rc_history *history, uint32_t slot, uint32_t unit_plus, uint64_t entry_bytes,
                          bool added)
{
    struct rc_history_channel *channel = &history->channels[slot];
    const uint64_t units = block_bytes(history, unit_plus) / RC_HISTORY_UNIT;
    history->value_units += added ? units : 0 - units;
    channel->value_bytes += added ? (uint32_t)entry_bytes : 0u - (uint32_t)entry_bytes;
}

static void reference_free(struct rc_history *history, uint32_t reference)
{
    /* HV1 pairs with nothing that runs at the same time: a successor finds a value named only while its block is whole. */
    atomic_store_explicit(&history->view.references[reference], 0, memory_order_release);
    history->values[reference] =
        (struct rc_history_value_index){.slot = RC_HISTORY_NO_SLOT, .older = history->free_reference};
    history->free_reference = reference + 1;
}

void rc_history_drop_value(struct rc_history *history, uint32_t reference)
{
    const uint32_t slot = history->values[reference].slot;
    const uint32_t unit_plus = reference_unit(history, reference);
    struct rc_history_message message;
    const bool whole = value_message(history, reference, &message);
    RC_ASSERT(whole); /* the relay's own; looked at when it was taken over */
    (void)rc_hashmap_remove(&history->keys, key_hash(slot, message.key), reference);
    change_remove(history, slot, reference);
    value_account(history, slot, unit_plus, rc_history_entry_bytes(&message.entry), false);
    history->channels[slot].value_count--;
    history->value_count--;
    reference_free(history, reference);
    rc_blocks_free(&history->blocks, unit_plus - 1);
}

void rc_history_drop_values(struct rc_history *history, uint32_t slot)
{
    while (history->channels[slot].values != 0) {
        rc_history_drop_value(history, history->channels[slot].values - 1);
    }
}

/* --- keeping --------------------------------------------------------------------------------------------------------- */

static int stamp_compare(uint64_t a_ms, struct rc_span a, uint64_t b_ms, struct rc_span b)
{
    if (a_ms != b_ms) {
        return a_ms < b_ms ? -1 : 1;
    }
    const size_t both = a.count < b.count ? a.count : b.count;
    const int order = both == 0 ? 0 : memcmp(a.bytes, b.bytes, both);
    return order != 0 ? order : a.count < b.count ? -1 : a.count > b.count;
}

/* A reference that names nothing yet; RC_HASHMAP_NONE: there is none. */
static uint32_t reference_take(struct rc_history *history)
{
    if (history->free_reference != 0) {
        const uint32_t reference = history->free_reference - 1;
        history->free_reference = history->values[reference].older;
        return reference;
    }
    if (history->references_high == history->view.reference_count) {
        return RC_HASHMAP_NONE;
    }
    atomic_store_explicit(&history->view.segment->references_high, ++history->references_high, memory_order_relaxed);
    return history->references_high - 1;
}

/* What a value's checksum is for, beside its channel. */
static uint64_t value_place(const struct rc_history_value *value)
{
    return rc_hash_public(value, sizeof(*value));
}

/* The block of a value, whole, named by nothing yet. 0: there is no room. */
static uint32_t value_write(struct rc_history *history, uint32_t slot, const struct rc_envelope_view *view,
                            const struct rc_history_stamp *stamp, uint64_t now_ms)
{
    const uint64_t bytes = sizeof(struct rc_history_value) + rc_history_entry_need(view);
    const uint32_t order = rc_blocks_order(bytes, RC_HISTORY_UNIT);
    if (order >= RC_BLOCK_ORDERS - 9 ||
        history->value_units + (UINT64_C(1) << order) > history->view.unit_count / SHARE_OF_UNITS) {
        return 0;
    }
    const uint32_t unit = rc_history_block(history, order);
    if (unit == RC_BLOCK_NONE) {
        return 0;
    }
    struct rc_history_value *value =
        (struct rc_history_value *)rc_history_at(&history->view, unit + 1, sizeof(struct rc_history_value));
    *value = (struct rc_history_value){
        .stamp_ms = stamp->ms,
        .sequence = view->head.sequence,
        .owner = history->view.slots[slot].owner,
        .slot = slot,
        .bytes = RC_HISTORY_UNIT << order,
        .instance_bytes = (uint8_t)stamp->instance.count,
    };
    memcpy(value->instance, stamp->instance.bytes, stamp->instance.count);
    rc_history_entry_write((uint8_t *)(value + 1), view, now_ms);
    rc_history_seal(history, (uint8_t *)(value + 1), history->channels[slot].owner, value_place(value));
    return unit + 1;
}

/* A value goes that nobody took away. */
static void value_evict(struct rc_history *history, uint32_t reference)
{
    struct rc_history_message message;
    if (history->dropped != NULL && value_message(history, reference, &message)) {
        history->dropped(history->dropped_context, history->values[reference].slot, value_of(history, reference),
                         &message);
    }
    rc_history_drop_value(history, reference);
}

void rc_history_close_graves(struct rc_history *history, uint32_t slot, uint64_t before_ms)
{
    const struct rc_history_channel *channel = &history->channels[slot];
    struct rc_history_message message;
    while (channel->values != 0 && value_message(history, channel->values - 1, &message) &&
           message.entry.data_bytes == 0 && message.entry.time_ms < before_ms) {
        value_evict(history, channel->values - 1);
    }
}

uint64_t rc_history_value_stamp(const struct rc_history *history, uint32_t slot, struct rc_span key)
{
    const uint32_t reference = value_find(history, slot, key);
    return reference == RC_HASHMAP_NONE ? 0 : value_of(history, reference)->stamp_ms;
}

void rc_history_mark(struct rc_history *history, uint32_t slot, struct rc_span key, uint32_t mark)
{
    const uint32_t reference = value_find(history, slot, key);
    if (reference != RC_HASHMAP_NONE) {
        history->values[reference].mark = mark;
    }
}

uint32_t rc_history_dirty(struct rc_history *history, uint32_t slot, struct rc_span key)
{
    const uint32_t reference = value_find(history, slot, key);
    if (reference == RC_HASHMAP_NONE || history->values[reference].dirty) {
        return RC_HASHMAP_NONE;
    }
    history->values[reference].dirty = true;
    return reference;
}

bool rc_history_clean(struct rc_history *history, uint32_t reference, const struct rc_history_value **value,
                      struct rc_history_message *message)
{
    if (history->values[reference].slot == RC_HISTORY_NO_SLOT || !history->values[reference].dirty ||
        !value_message(history, reference, message)) {
        return false;
    }
    history->values[reference].dirty = false;
    *value = value_of(history, reference);
    return true;
}

bool rc_history_value_at(const struct rc_history *history, uint32_t *reference, uint32_t mark,
                         const struct rc_history_value **value, struct rc_history_message *message)
{
    while (*reference < history->references_high) {
        const uint32_t at = (*reference)++;
        if (history->values[at].slot != RC_HISTORY_NO_SLOT && history->values[at].mark != mark &&
            reference_unit(history, at) != 0 && value_message(history, at, message)) {
            *value = value_of(history, at);
            return true;
        }
    }
    return false;
}

/* What is over the channel's bounds goes, changed longest ago first; never the newest. */
static void values_trim(struct rc_history *history, uint32_t slot, uint32_t keys_max)
{
    const struct rc_history_channel *channel = &history->channels[slot];
    while (channel->value_count > 1 &&
           (channel->value_count > keys_max || channel->value_bytes > history->values_bytes_max)) {
        value_evict(history, channel->values - 1);
        rc_metric_add(history->metrics, RC_METRIC_RETAINED_EVICTED, 1);
    }
}

static enum rc_history_kept value_refuse(struct rc_history *history, uint32_t before)
{
    if (before != RC_HASHMAP_NONE) {
        rc_history_drop_value(history, before); /* in Redis the newer one stands in its place */
    }
    rc_metric_add(history->metrics, RC_METRIC_RETAINED_REFUSED, 1);
    rc_log_limited(RC_LOG_WARN, 1, "retained_full", "values=%u remedy=\"raise limits.history_memory\"",
                   history->value_count);
    return RC_HISTORY_REFUSED;
}

/* In the place of the value before it, or as a new one. */
static bool value_link(struct rc_history *history, uint32_t slot, uint32_t before, uint32_t unit_plus,
                       struct rc_span key)
{
    const uint32_t reference = before != RC_HASHMAP_NONE ? before : reference_take(history);
    if (reference == RC_HASHMAP_NONE) {
        return false;
    }
    if (before == RC_HASHMAP_NONE) {
        if (rc_hashmap_insert(&history->keys, key_hash(slot, key), reference) != 0) {
            reference_free(history, reference);
            return false;
        }
        history->channels[slot].value_count++;
        history->value_count++;
    } else {
        const uint32_t old = reference_unit(history, reference);
        struct rc_history_message message;
        const bool whole = value_message(history, reference, &message);
        RC_ASSERT(whole);
        value_account(history, slot, old, rc_history_entry_bytes(&message.entry), false);
        change_remove(history, slot, reference);
        rc_blocks_free(&history->blocks, old - 1);
    }
    const bool dirty = before != RC_HASHMAP_NONE && history->values[reference].dirty;
    /* HV2, as HV1: dying before it leaves the value before, behind it this one. */
    atomic_store_explicit(&history->view.references[reference], unit_plus, memory_order_release);
    change_add(history, slot, reference);
    history->values[reference].dirty = dirty;
    return true;
}

enum rc_history_kept rc_history_values_keep(struct rc_history *history, uint32_t slot,
                                            const struct rc_envelope_view *view, struct rc_history_stamp *stamp,
                                            uint32_t keys_max, bool grave, uint64_t now_ms)
{
    const struct rc_span key = rc_span_of(view->key, view->head.key_bytes);
    const uint32_t before = value_find(history, slot, key);
    if (before != RC_HASHMAP_NONE) {
        const struct rc_history_value *its = value_of(history, before);
        const struct rc_span its_instance = rc_span_of(its->instance, its->instance_bytes);
        /* One that is so far ahead was kept with a clock that has been set right since. */
        const uint64_t its_ms = its->stamp_ms > rc_clock_wall_ms() + RC_HISTORY_AHEAD_MS ? 0 : its->stamp_ms;
        const int order = stamp_compare(stamp->ms, stamp->instance, its_ms, its_instance);
        if (order <= 0 && stamp->own) {
            /* Each has its own: a copy of an older one that comes back is known to be older. */
            stamp->ms = its->stamp_ms < RC_HISTORY_STAMP_MAX ? its->stamp_ms + 1 : RC_HISTORY_STAMP_MAX;
        } else if (order < 0) {
            return RC_HISTORY_OLDER;
        } else if (order == 0) {
            return RC_HISTORY_KEPT; /* it is there */
        }
    }
    if (view->head.data_bytes == 0 && !grave) {
        if (before != RC_HASHMAP_NONE) {
            rc_history_drop_value(history, before);
        }
        return RC_HISTORY_KEPT;
    }
    const uint32_t unit_plus =
        rc_history_entry_need(view) > history->values_bytes_max ? 0 : value_write(history, slot, view, stamp, now_ms);
    if (unit_plus == 0) {
        return value_refuse(history, before);
    }
    if (!value_link(history, slot, before, unit_plus, key)) {
        rc_blocks_free(&history->blocks, unit_plus - 1);
        return value_refuse(history, RC_HASHMAP_NONE);
    }
    value_account(history, slot, unit_plus, rc_history_entry_need(view), true);
    atomic_store_explicit(&history->view.slots[slot].time_ms, now_ms, memory_order_relaxed);
    values_trim(history, slot, keys_max);
    return RC_HISTORY_KEPT;
}

/* --- what there is --------------------------------------------------------------------------------------------------- */

uint64_t rc_history_values(const struct rc_history *history, uint32_t slot, uint8_t *out, uint64_t room)
{
    uint64_t used = 0;
    for (uint32_t next = history->channels[slot].values; next != 0; next = history->values[next - 1].newer) {
        struct rc_history_message message;
        if (!value_message(history, next - 1, &message) || message.entry.data_bytes == 0) {
            continue; /* what was deleted */
        }
        const uint64_t bytes = rc_history_entry_bytes(&message.entry);
        if (bytes > room - used) {
            break; /* it was kept under another bound: values_bytes_max is below it now */
        }
        memcpy(out + used, value_of(history, next - 1) + 1, bytes);
        used += bytes;
    }
    return used;
}

/* --- taking over ----------------------------------------------------------------------------------------------------- */

/* Is there a whole value, of a channel that is there, whose key no other one has? */
static bool adopt_block(struct rc_history *history, uint32_t reference, uint32_t unit_plus)
{
    const struct rc_history_value *value =
        (const struct rc_history_value *)rc_history_at(&history->view, unit_plus, sizeof(*value));
    struct rc_history_message message;
    if (value == NULL) {
        return false;
    }
    const struct rc_history_value head = *value;
    const uint32_t order = rc_blocks_order(head.bytes, RC_HISTORY_UNIT);
    if (order >= RC_BLOCK_ORDERS - 9 || head.bytes != RC_HISTORY_UNIT << order || head.slot >= history->slots_high ||
        history->channels[head.slot].hash == 0 || head.instance_bytes > RC_INSTANCE_ID_MAX || head.owner == 0 ||
        head.owner != history->view.slots[head.slot].owner ||
        !rc_history_message_of((const uint8_t *)(value + 1), head.bytes - sizeof(head), &message) ||
        !rc_history_sealed(history, (const uint8_t *)(value + 1), head.bytes - sizeof(head),
                           history->channels[head.slot].owner, value_place(value)) ||
        value_find(history, head.slot, message.key) != RC_HASHMAP_NONE ||
        !rc_blocks_take(&history->blocks, unit_plus - 1, order)) {
        return false;
    }
    if (rc_hashmap_insert(&history->keys, key_hash(head.slot, message.key), reference) != 0) {
        rc_blocks_free(&history->blocks, unit_plus - 1);
        return false;
    }
    change_add(history, head.slot, reference);
    value_account(history, head.slot, unit_plus, rc_history_entry_bytes(&message.entry), true);
    history->channels[head.slot].value_count++;
    history->value_count++;
    return true;
}

void rc_history_adopt_value(struct rc_history *history, uint32_t reference)
{
    const uint32_t unit_plus = reference_unit(history, reference);
    if (unit_plus != 0 && adopt_block(history, reference, unit_plus)) {
        return;
    }
    if (unit_plus != 0) {
        rc_metric_add(history->metrics, RC_METRIC_HISTORY_DAMAGED, 1);
    }
    reference_free(history, reference);
}
