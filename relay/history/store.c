/* store: see store.h. */
#include "relay/history/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"

#define SWEEP_SLOTS 1024u

static struct rc_history_slot *slot_of(const struct rc_history *history, uint32_t slot)
{
    return &history->view.slots[slot];
}

static struct rc_span slot_name(const struct rc_history *history, uint32_t slot)
{
    return rc_span_of(slot_of(history, slot)->name, slot_of(history, slot)->name_bytes);
}

void rc_history_gauges(struct rc_history *history)
{
    const uint64_t used = (uint64_t)history->blocks.used_units * RC_HISTORY_UNIT;
    rc_metric_set(history->metrics, RC_METRIC_HISTORY_BYTES, used - history->value_units * RC_HISTORY_UNIT);
    rc_metric_set(history->metrics, RC_METRIC_HISTORY_CHANNELS, history->channel_count);
    rc_metric_set(history->metrics, RC_METRIC_RETAINED_VALUES, history->value_count);
    rc_metric_set(history->metrics, RC_METRIC_RETAINED_BYTES, history->value_units * RC_HISTORY_UNIT);
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

struct name_sought {
    const struct rc_history *history;
    uint64_t hash;
    struct rc_span name;
};

static bool name_equal(const void *context, uint32_t slot)
{
    const struct name_sought *sought = context;
    return sought->history->channels[slot].hash == sought->hash &&
           rc_span_equal(slot_name(sought->history, slot), sought->name);
}

uint32_t rc_history_find(const struct rc_history *history, uint64_t hash, struct rc_span name)
{
    const struct name_sought sought = {.history = history, .hash = hash, .name = name};
    return history->view.slot_count == 0 ? RC_HISTORY_NO_SLOT
                                         : rc_hashmap_find(&history->names, hash, name_equal, &sought);
}

/* --- the order of use ------------------------------------------------------------------------------------------------ */

static void use_remove(struct rc_history *history, uint32_t slot)
{
    const struct rc_history_channel *channel = &history->channels[slot];
    *(channel->older != 0 ? &history->channels[channel->older - 1].newer : &history->oldest_slot) = channel->newer;
    *(channel->newer != 0 ? &history->channels[channel->newer - 1].older : &history->newest_slot) = channel->older;
}

static void use_add(struct rc_history *history, uint32_t slot)
{
    struct rc_history_channel *channel = &history->channels[slot];
    channel->older = history->newest_slot;
    channel->newer = 0;
    *(channel->older != 0 ? &history->channels[channel->older - 1].newer : &history->oldest_slot) = slot + 1;
    history->newest_slot = slot + 1;
}

static void use_touch(struct rc_history *history, uint32_t slot)
{
    if (history->newest_slot != slot + 1) {
        use_remove(history, slot);
        use_add(history, slot);
    }
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

/* Also an owner: what is to be nobody else's. */
static uint64_t random_epoch(void)
{
    uint64_t id = 0;
    while (id == 0) {
        const ssize_t got = getrandom(&id, sizeof(id), 0);
        RC_ASSERT(got == (ssize_t)sizeof(id)); /* up to 256 bytes are never short or interrupted */
        id &= (UINT64_C(1) << 63) - 1;         /* JSON readers with signed numbers read it, too */
    }
    return id;
}

static void slot_free(struct rc_history *history, uint32_t slot)
{
    history->channels[slot] = (struct rc_history_channel){.older = history->free_slot};
    history->free_slot = slot + 1;
}

void rc_history_forget(struct rc_history *history, uint32_t slot)
{
    rc_history_drop_values(history, slot);
    rc_history_clear(history, slot);
    /* HY3 pairs with HY4 in common/shm/history.c: readers of the old epoch find none. */
    atomic_store_explicit(&slot_of(history, slot)->epoch, 0, memory_order_release);
    (void)rc_hashmap_remove(&history->names, history->channels[slot].hash, slot);
    use_remove(history, slot);
    slot_free(history, slot);
    history->channel_count--;
}

void rc_history_renew(struct rc_history *history, uint32_t slot)
{
    rc_history_clear(history, slot);
    /* HY3. Dying before it leaves the old epoch without messages, which is as true: offsets go on in both. */
    atomic_store_explicit(&slot_of(history, slot)->epoch, random_epoch(), memory_order_release);
}

/* A slot for another channel: a free one, one that never was used, or that of the channel used longest ago. */
static uint32_t slot_take(struct rc_history *history)
{
    if (history->free_slot == 0 && history->slots_high == history->view.slot_count) {
        uint32_t slot = history->oldest_slot;
        for (uint32_t tries = 0; tries < SWEEP_SLOTS && slot != 0 && history->channels[slot - 1].values != 0; tries++) {
            slot = history->channels[slot - 1].newer;
        }
        if (slot == 0 || history->channels[slot - 1].values != 0) {
            return RC_HISTORY_NO_SLOT;
        }
        rc_history_forget(history, slot - 1);
        rc_metric_add(history->metrics, RC_METRIC_HISTORY_EVICTED_CHANNELS, 1);
    }
    if (history->free_slot != 0) {
        const uint32_t slot = history->free_slot - 1;
        history->free_slot = history->channels[slot].older;
        return slot;
    }
    const uint32_t slot = history->slots_high++;
    atomic_store_explicit(&history->view.segment->slots_high, history->slots_high, memory_order_relaxed);
    return slot;
}

uint32_t rc_history_make(struct rc_history *history, uint64_t hash, struct rc_span name, uint64_t now_ms)
{
    uint32_t slot = rc_history_find(history, hash, name);
    if (slot != RC_HISTORY_NO_SLOT) {
        use_touch(history, slot);
        return slot;
    }
    if (history->view.slot_count == 0 || name.count == 0 || name.count > RC_CHANNEL_NAME_MAX) {
        return RC_HISTORY_NO_SLOT;
    }
    slot = slot_take(history);
    if (slot == RC_HISTORY_NO_SLOT || rc_hashmap_insert(&history->names, hash, slot) != 0) {
        if (slot != RC_HISTORY_NO_SLOT) {
            slot_free(history, slot);
        }
        rc_metric_add(history->metrics, RC_METRIC_HISTORY_REFUSED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "history_full", "channels=%u remedy=\"raise limits.history_memory\"",
                       history->channel_count);
        return RC_HISTORY_NO_SLOT;
    }
    struct rc_history_slot *its = slot_of(history, slot);
    history->channels[slot] = (struct rc_history_channel){.hash = hash};
    use_add(history, slot);
    history->channel_count++;
    atomic_store_explicit(&its->first, 1, memory_order_relaxed);
    atomic_store_explicit(&its->last, 0, memory_order_relaxed);
    atomic_store_explicit(&its->promised_offset, 0, memory_order_relaxed);
    atomic_store_explicit(&its->promised_sequence, 0, memory_order_relaxed);
    atomic_store_explicit(&its->time_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&its->page, 0, memory_order_relaxed);
    its->shared = 0;
    its->name_bytes = (uint8_t)name.count;
    memcpy(its->name, name.bytes, name.count);
    its->owner = random_epoch();
    history->channels[slot].owner = rc_history_owner(its->owner, name);
    atomic_store_explicit(&its->epoch, random_epoch(), memory_order_release); /* HY3 */
    return slot;
}

/* Is nothing of the channel kept but its epoch? */
static bool slot_empty(const struct rc_history *history, uint32_t slot)
{
    return history->channels[slot].values == 0 && history->channels[slot].tail == 0;
}

uint32_t rc_history_begin(struct rc_history *history, uint64_t hash, struct rc_span name, uint64_t now_ms)
{
    const uint32_t slot = rc_history_find(history, hash, name);
    if (slot != RC_HISTORY_NO_SLOT) {
        return slot;
    }
    const bool full = history->free_slot == 0 && history->slots_high == history->view.slot_count;
    return full && (history->oldest_slot == 0 || !slot_empty(history, history->oldest_slot - 1))
               ? RC_HISTORY_NO_SLOT
               : rc_history_make(history, hash, name, now_ms);
}

const struct rc_config_namespace *rc_history_policy(const struct rc_history *history, struct rc_span name)
{
    const struct rc_config_namespace *policy =
        history->wanted ? rc_config_namespace_of(history->config, (const char *)name.bytes, name.count) : NULL;
    return policy != NULL && policy->history > 0 ? policy : NULL;
}

/* --- keeping --------------------------------------------------------------------------------------------------------- */

/* Its messages are gone, and it goes on behind `last` in this epoch. */
static void slot_begin(struct rc_history *history, uint32_t slot, uint64_t epoch, uint64_t last, bool shared)
{
    struct rc_history_slot *its = slot_of(history, slot);
    /* HY3: who reads the old epoch's offsets finds none, and a successor of a writer that dies here finds no channel. */
    atomic_store_explicit(&its->epoch, 0, memory_order_release);
    rc_history_clear(history, slot);
    atomic_store_explicit(&its->first, last + 1, memory_order_relaxed);
    atomic_store_explicit(&its->last, last, memory_order_relaxed);
    atomic_store_explicit(&its->promised_offset, 0, memory_order_relaxed);
    atomic_store_explicit(&its->promised_sequence, 0, memory_order_relaxed);
    its->shared = shared;
    atomic_store_explicit(&its->epoch, epoch, memory_order_release); /* HY3 */
}

struct rc_history_place rc_history_append(struct rc_history *history, const struct rc_envelope_view *view,
                                          const struct rc_config_namespace *policy, uint64_t now_ms)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const uint32_t slot = rc_history_make(history, view->head.channel_hash, name, now_ms);
    if (slot == RC_HISTORY_NO_SLOT) {
        return (struct rc_history_place){.slot = RC_HISTORY_NO_SLOT};
    }
    if (slot_of(history, slot)->shared != 0) {
        slot_begin(history, slot, random_epoch(), 0, false); /* from here on it is this host that counts */
    }
    return rc_history_pages_append(history, slot, view, policy, now_ms);
}

void rc_history_begin_at(struct rc_history *history, uint64_t hash, struct rc_span name, uint64_t epoch, uint64_t last,
                         uint64_t now_ms)
{
    const uint32_t slot = rc_history_make(history, hash, name, now_ms);
    if (slot != RC_HISTORY_NO_SLOT) {
        slot_begin(history, slot, epoch, last, true);
    }
}

uint32_t rc_history_append_at(struct rc_history *history, const struct rc_envelope_view *view,
                              const struct rc_config_namespace *policy, uint64_t epoch, uint64_t offset,
                              uint64_t time_ms)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const uint32_t slot = rc_history_make(history, view->head.channel_hash, name, time_ms);
    if (slot == RC_HISTORY_NO_SLOT) {
        return slot;
    }
    if (atomic_load_explicit(&slot_of(history, slot)->epoch, memory_order_relaxed) != epoch ||
        !rc_history_pages_append_at(history, slot, view, policy, time_ms, offset)) {
        slot_begin(history, slot, epoch, offset - 1, true);
        (void)rc_history_pages_append_at(history, slot, view, policy, time_ms, offset);
    }
    return slot;
}

struct rc_history_state rc_history_shared(const struct rc_history *history, uint64_t hash, struct rc_span name)
{
    const uint32_t slot = rc_history_find(history, hash, name);
    return slot != RC_HISTORY_NO_SLOT && slot_of(history, slot)->shared != 0 ? rc_history_state(&history->view, slot)
                                                                             : (struct rc_history_state){0};
}

enum rc_history_kept rc_history_keep(struct rc_history *history, const struct rc_envelope_view *view,
                                     struct rc_history_stamp *stamp, bool grave, uint64_t now_ms)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    uint32_t slot = rc_history_find(history, view->head.channel_hash, name);
    if (!stamp->own && stamp->ms > rc_clock_wall_ms() + RC_HISTORY_AHEAD_MS) {
        rc_metric_add(history->metrics, RC_METRIC_REDIS_MALFORMED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "retained_ahead", "channel!=\"%.*s\" instance=\"%.*s\" stamp_ms=%llu",
                       (int)name.count, (const char *)name.bytes, (int)stamp->instance.count,
                       (const char *)stamp->instance.bytes, (unsigned long long)stamp->ms);
        return RC_HISTORY_OLDER;
    }
    if (slot == RC_HISTORY_NO_SLOT && view->head.data_bytes == 0 && !grave) {
        return RC_HISTORY_KEPT; /* there was none to delete */
    }
    slot = rc_history_make(history, view->head.channel_hash, name, now_ms);
    if (slot == RC_HISTORY_NO_SLOT) {
        rc_metric_add(history->metrics, RC_METRIC_RETAINED_REFUSED, 1);
        return RC_HISTORY_REFUSED;
    }
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(history->config, (const char *)name.bytes, name.count);
    return rc_history_values_keep(history, slot, view, stamp, policy->retained_keys, grave, now_ms);
}

/* Of the host's clock, above the value that is there, and above what was given for the key since: that may wait for its place still. */
static uint64_t stamp_give(struct rc_history *history, const struct rc_envelope_view *view, uint64_t there,
                           uint64_t most_ms)
{
    uint8_t bytes[sizeof(uint64_t) + UINT8_MAX];
    memcpy(bytes, &view->head.channel_hash, sizeof(uint64_t));
    if (view->head.key_bytes > 0) {
        memcpy(bytes + sizeof(uint64_t), view->key, view->head.key_bytes);
    }
    const uint64_t key = rc_hash(bytes, sizeof(uint64_t) + view->head.key_bytes);
    struct rc_history_given *given = &history->given[key & (RC_HISTORY_GIVEN - 1)];
    /* What was raised above a value says nothing any more when that is gone, nor does what a clock gave that was wrong. */
    const bool of_clock = given->above < history->stamp_ms;
    const bool holds = given->ms <= most_ms && (of_clock || (given->key == key && there >= given->above));
    uint64_t before = there;
    if (holds && given->key == key) {
        before = given->ms > there ? given->ms : there;
    } else if (holds && given->ms >= history->stamp_ms) {
        history->stamp_ms = given->ms + 1; /* that one is forgotten here: its key's next is later all the same */
    }
    const uint64_t raised = before < RC_HISTORY_STAMP_MAX ? before + 1 : RC_HISTORY_STAMP_MAX;
    const uint64_t ms = before < history->stamp_ms ? history->stamp_ms : raised;
    *given = (struct rc_history_given){.key = key, .above = there, .ms = ms};
    return ms;
}

uint64_t rc_history_stamp_next(struct rc_history *history, const struct rc_envelope_view *view, uint64_t wall_ms)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const uint32_t slot = rc_history_find(history, view->head.channel_hash, name);
    const uint64_t there = slot == RC_HISTORY_NO_SLOT
                               ? 0
                               : rc_history_value_stamp(history, slot, rc_span_of(view->key, view->head.key_bytes));
    const uint64_t most_ms = wall_ms + RC_HISTORY_AHEAD_MS; /* beyond it nobody keeps it, this host neither */
    if (history->stamp_ms < wall_ms || history->stamp_ms > most_ms) {
        history->stamp_ms = wall_ms;
    }
    return stamp_give(history, view, there > most_ms ? 0 : there, most_ms);
}

/* --- what is too old ------------------------------------------------------------------------------------------------- */

void rc_history_sweep(struct rc_history *history, uint64_t now_ms)
{
    for (uint32_t i = 0; i < SWEEP_SLOTS && i < history->slots_high; i++) {
        history->sweep = history->sweep + 1 < history->slots_high ? history->sweep + 1 : 0;
        const struct rc_history_slot *its = slot_of(history, history->sweep);
        if (atomic_load_explicit(&its->epoch, memory_order_relaxed) == 0) {
            continue;
        }
        const struct rc_config_namespace *policy = rc_history_policy(history, slot_name(history, history->sweep));
        const struct rc_history_state state = rc_history_stand(history, history->sweep, policy, now_ms);
        if (now_ms > RC_HISTORY_GRAVE_MS) {
            rc_history_close_graves(history, history->sweep, now_ms - RC_HISTORY_GRAVE_MS);
        }
        if (policy == NULL) {
            rc_history_clear(history, history->sweep); /* a reload took its history away */
        }
        if (state.first > state.last && history->channels[history->sweep].values == 0 &&
            now_ms >= atomic_load_explicit(&its->time_ms, memory_order_relaxed) + RC_HISTORY_EMPTY_MS) {
            rc_history_forget(history, history->sweep);
        }
    }
    rc_history_gauges(history);
}

/* --- taking over ----------------------------------------------------------------------------------------------------- */

/* A slot as a predecessor left it. False: it is damaged. */
static bool adopt_slot(struct rc_history *history, uint32_t slot)
{
    const struct rc_history_slot *its = slot_of(history, slot);
    const struct rc_span name = rc_span_of(its->name, its->name_bytes);
    const uint64_t hash = name.count == 0 ? 0 : rc_channel_hash(its->name, name.count);
    history->channels[slot] = (struct rc_history_channel){.hash = hash, .owner = rc_history_owner(its->owner, name)};
    if (name.count == 0 || rc_history_find(history, hash, name) != RC_HISTORY_NO_SLOT ||
        rc_hashmap_insert(&history->names, hash, slot) != 0) {
        return false;
    }
    use_add(history, slot);
    history->channel_count++;
    if (!rc_history_adopt_pages(history, slot)) {
        return false;
    }
    if (history->doubt == RC_HISTORY_UNCLOSED) {
        slot_of(history, slot)->shared =
            0; /* the epoch is this host's: that of all goes on, and is read from Redis anew */
        atomic_store_explicit(&slot_of(history, slot)->epoch, random_epoch(), memory_order_release); /* HY3 */
    }
    return true;
}

static void adopt_slots(struct rc_history *history)
{
    for (uint32_t slot = history->slots_high; slot > 0; slot--) {
        struct rc_history_slot *its = slot_of(history, slot - 1);
        if (atomic_load_explicit(&its->epoch, memory_order_relaxed) == 0) {
            slot_free(history, slot - 1);
            continue;
        }
        const uint32_t before = history->channel_count;
        if (adopt_slot(history, slot - 1)) {
            continue;
        }
        rc_metric_add(history->metrics, RC_METRIC_HISTORY_DAMAGED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "history_damaged", "slot=%u", slot - 1);
        if (history->channel_count != before) {
            rc_history_forget(history, slot - 1);
        } else {
            atomic_store_explicit(&its->page, 0, memory_order_relaxed);
            atomic_store_explicit(&its->epoch, 0, memory_order_release); /* HY3 */
            slot_free(history, slot - 1);
        }
    }
}

static int open_memory(struct rc_history *history)
{
    const struct rc_history_view *view = &history->view;
    history->channels =
        calloc(view->slot_count, sizeof(*history->channels)); /* pages stay untouched until they are needed */
    history->pages = calloc(view->unit_count, sizeof(*history->pages));
    history->values = calloc(view->reference_count, sizeof(*history->values));
    if (history->channels == NULL || history->pages == NULL || history->values == NULL) {
        return -ENOMEM;
    }
    int rc = rc_blocks_open(&history->blocks, view->unit_count);
    if (rc == 0) {
        rc = rc_hashmap_init(&history->names, 1, view->slot_count);
    }
    return rc == 0 ? rc_hashmap_init(&history->keys, 1, view->reference_count) : rc;
}

int rc_history_open(struct rc_history *history, const struct rc_history_view *view, const struct rc_config *config,
                    struct rc_metrics *metrics, uint64_t values_bytes_max)
{
    *history = (struct rc_history){.view = *view, .metrics = metrics, .values_bytes_max = values_bytes_max};
    rc_history_configure(history, config);
    if (view->slot_count == 0) {
        return 0;
    }
    int rc = open_memory(history);
    if (rc != 0) {
        rc_history_close(history);
        return rc;
    }
    const uint32_t slots = atomic_load_explicit(&view->segment->slots_high, memory_order_relaxed);
    const uint32_t references = atomic_load_explicit(&view->segment->references_high, memory_order_relaxed);
    /* HD1 pairs with nothing that runs at the same time: who dies before the doubt is over leaves it to the next one. */
    const uint32_t doubt = atomic_load_explicit(&view->segment->doubt, memory_order_acquire); /* HD1 */
    history->doubt = doubt <= RC_HISTORY_UNCLOSED ? (enum rc_history_doubt)doubt : RC_HISTORY_UNCLOSED;
    history->slots_high = slots < view->slot_count ? slots : view->slot_count;
    history->references_high = references < view->reference_count ? references : view->reference_count;
    adopt_slots(history);
    for (uint32_t reference = history->references_high; reference > 0; reference--) {
        rc_history_adopt_value(history, reference - 1);
    }
    rc = rc_history_order_pages(history);
    if (rc != 0) {
        rc_history_close(history);
        return rc;
    }
    if (history->doubt != RC_HISTORY_SURE) {
        rc_log_info("history_taken_over", "channels=%u values=%u damaged=%llu unclosed=%d", history->channel_count,
                    history->value_count,
                    (unsigned long long)rc_metric_get(history->metrics, RC_METRIC_HISTORY_DAMAGED),
                    history->doubt == RC_HISTORY_UNCLOSED);
    }
    history->doubt = RC_HISTORY_SURE;
    atomic_store_explicit(&view->segment->doubt, RC_HISTORY_SURE, memory_order_release); /* HD1 */
    rc_history_gauges(history);
    return 0;
}

void rc_history_close(struct rc_history *history)
{
    rc_hashmap_free(&history->names);
    rc_hashmap_free(&history->keys);
    rc_blocks_close(&history->blocks);
    free(history->channels);
    free(history->pages);
    free(history->values);
    *history = (struct rc_history){0};
}

void rc_history_configure(struct rc_history *history, const struct rc_config *config)
{
    history->config = config;
    history->wanted = false;
    memset(history->known, 0, sizeof(history->known));
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        history->wanted |= config->namespaces[i].history > 0;
    }
    history->wanted &= history->view.slot_count > 0;
}
