/* log: see log.h. */
#include "relay/recovery/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define CHAINS_MIN 256u
#define LARGEST_PART 4u /* an entry is at most this part of the circle */

static uint64_t entry_aligned(uint64_t bytes)
{
    return (bytes + RC_RECOVERY_ALIGN - 1) & ~(uint64_t)(RC_RECOVERY_ALIGN - 1);
}

static uint8_t *entry_at(const struct rc_recovery_log *log, uint64_t position)
{
    return log->view.log + position % log->view.log_bytes;
}

/* --- chains ---------------------------------------------------------------------------------------------------------- */

static bool chain_equal(const void *context, uint32_t index)
{
    const struct rc_recovery_log *log = ((const void *const *)context)[0];
    const uint64_t *hash = ((const void *const *)context)[1];
    return log->chains[index].hash == *hash;
}

static struct rc_recovery_chain *chain_of(const struct rc_recovery_log *log, uint64_t hash)
{
    const void *const sought[] = {log, &hash};
    const uint32_t index = rc_hashmap_find(&log->names, hash, chain_equal, sought);
    return index == RC_HASHMAP_NONE ? NULL : &log->chains[index];
}

static int chains_grow(struct rc_recovery_log *log)
{
    const uint32_t capacity = log->chain_capacity == 0 ? CHAINS_MIN : log->chain_capacity * 2;
    struct rc_recovery_chain *larger = realloc(log->chains, (size_t)capacity * sizeof(*larger));
    if (larger == NULL) {
        return -ENOMEM;
    }
    log->chains = larger;
    log->chain_capacity = capacity;
    return 0;
}

int rc_recovery_log_want(struct rc_recovery_log *log, uint64_t hash)
{
    struct rc_recovery_chain *chain = chain_of(log, hash);
    if (chain != NULL) {
        chain->wanted++;
        return 0;
    }
    if (log->free == 0 && log->chain_count == log->chain_capacity && chains_grow(log) < 0) {
        return -ENOMEM;
    }
    const uint32_t index = log->free != 0 ? log->free - 1 : log->chain_count;
    const uint32_t next = log->free != 0 ? log->chains[index].next : 0;
    if (rc_hashmap_insert(&log->names, hash, index) != 0) {
        return -ENOMEM;
    }
    log->chain_count += log->free == 0;
    log->free = next;
    log->chains[index] = (struct rc_recovery_chain){.hash = hash, .wanted = 1};
    return 1;
}

bool rc_recovery_log_unwant(struct rc_recovery_log *log, uint64_t hash)
{
    struct rc_recovery_chain *chain = chain_of(log, hash);
    if (chain == NULL || --chain->wanted > 0) {
        return false;
    }
    const uint32_t index = (uint32_t)(chain - log->chains);
    (void)rc_hashmap_remove(&log->names, hash, index);
    *chain = (struct rc_recovery_chain){.next = log->free};
    log->free = index + 1;
    return true;
}

bool rc_recovery_log_wanted(const struct rc_recovery_log *log, uint64_t hash)
{
    return chain_of(log, hash) != NULL;
}

/* --- keeping --------------------------------------------------------------------------------------------------------- */

/* Bytes of an entry at a position with so many in it: the circle never ends with less than a head, which could be no entry. */
static uint64_t entry_bytes(const struct rc_recovery_log *log, uint64_t position, uint64_t bytes)
{
    const uint64_t left = log->view.log_bytes - position % log->view.log_bytes;
    return left > bytes && left - bytes < sizeof(struct rc_recovery_entry) ? left : bytes;
}

/* The oldest entry goes. */
static void log_evict(struct rc_recovery_log *log)
{
    struct rc_recovery_entry entry;
    memcpy(&entry, entry_at(log, log->tail), sizeof(entry));
    if (!(entry.flags & (RC_RECOVERY_PAD | RC_RECOVERY_LINKED)) && entry.sequence > log->floor) {
        log->floor = entry.sequence;
        atomic_store_explicit(&log->view.segment->floor, log->floor, memory_order_release); /* RV3 */
    }
    log->tail += entry.bytes;
    /* RV3 pairs with nothing that runs at the same time: before its memory is written, so that a successor does not read it. */
    atomic_store_explicit(&log->view.segment->tail, log->tail, memory_order_release); /* RV3 */
}

static void head_store(struct rc_recovery_log *log, uint64_t bytes)
{
    log->head += bytes;
    /* RV4 pairs with nothing that runs at the same time: behind the entry, so that a successor finds it whole. */
    atomic_store_explicit(&log->view.segment->head, log->head, memory_order_release); /* RV4 */
}

/* Room for so many bytes in one piece. */
static void log_room(struct rc_recovery_log *log, uint64_t need)
{
    const uint64_t left = log->view.log_bytes - log->head % log->view.log_bytes;
    const uint64_t all = left < need ? left + need : entry_bytes(log, log->head, need);
    while (log->head + all - log->tail > log->view.log_bytes) {
        log_evict(log);
    }
    if (left < need) {
        const struct rc_recovery_entry pad = {.bytes = (uint32_t)left, .flags = RC_RECOVERY_PAD};
        memcpy(entry_at(log, log->head), &pad, sizeof(pad));
        head_store(log, left);
    }
}

static uint8_t *part_put(uint8_t *out, struct rc_span part)
{
    if (part.count > 0) {
        memcpy(out, part.bytes, part.count);
    }
    return out + part.count;
}

/* Is it one that the router has sequenced? */
static bool is_message(const struct rc_recovery_entry *entry)
{
    return (entry->flags & (RC_RECOVERY_HOLE | RC_RECOVERY_LINKED)) == 0;
}

bool rc_recovery_log_append(struct rc_recovery_log *log, const struct rc_recovery_entry *head,
                            const struct rc_recovery_parts *parts)
{
    struct rc_recovery_chain *chain = chain_of(log, head->chain);
    const bool message = is_message(head);
    if (chain == NULL || (message && head->sequence <= log->sequence)) {
        return true; /* nobody could ask for it, or a predecessor has kept it */
    }
    if (!rc_recovery_log_put(log, head, parts, &chain->last)) {
        return false;
    }
    log->sequence = message ? head->sequence : log->sequence;
    return true;
}

bool rc_recovery_log_put(struct rc_recovery_log *log, const struct rc_recovery_entry *head,
                         const struct rc_recovery_parts *parts, uint64_t *last)
{
    struct rc_recovery_entry entry = *head;
    const uint64_t bytes = entry_aligned(sizeof(entry) + parts->channel.count + parts->event.count +
                                         parts->excludes.count + parts->names.count + parts->data.count);
    if (bytes > log->view.log_bytes / LARGEST_PART) {
        return false;
    }
    log_room(log, bytes);
    entry.bytes = (uint32_t)entry_bytes(log, log->head, bytes);
    entry.previous = *last;
    entry.channel_bytes = (uint8_t)parts->channel.count;
    entry.event_bytes = (uint8_t)parts->event.count;
    entry.exclude_count = (uint16_t)(parts->excludes.count / sizeof(struct rc_client_ref));
    entry.names_bytes = (uint32_t)parts->names.count;
    entry.data_bytes = (uint32_t)parts->data.count;
    uint8_t *out = entry_at(log, log->head);
    memcpy(out, &entry, sizeof(entry));
    out = part_put(out + sizeof(entry), parts->channel);
    out = part_put(out, parts->event);
    out = part_put(out, parts->excludes);
    out = part_put(out, parts->names);
    (void)part_put(out, parts->data);
    *last = log->head + 1;
    head_store(log, entry.bytes);
    return true;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

uint64_t rc_recovery_log_last(const struct rc_recovery_log *log, uint64_t hash)
{
    const struct rc_recovery_chain *chain = chain_of(log, hash);
    struct rc_recovery_entry entry = {.sequence = 0};
    if (chain != NULL && chain->last != 0 && chain->last - 1 >= log->tail) {
        memcpy(&entry, entry_at(log, chain->last - 1), sizeof(entry));
    }
    return entry.sequence;
}

int rc_recovery_log_collect(const struct rc_recovery_log *log, uint64_t hash, uint64_t since,
                            struct rc_recovery_search *search)
{
    const struct rc_recovery_chain *chain = chain_of(log, hash);
    struct rc_recovery_entry entry;
    struct rc_recovery_parts parts;
    for (uint64_t at = chain == NULL ? 0 : chain->last; at != 0; at = entry.previous) {
        if (at - 1 < log->tail) {
            return log->floor > since ? -ENODATA : 0; /* what is gone had at most that sequence */
        }
        rc_recovery_log_read(log, at - 1, &entry, &parts);
        if (entry.sequence <= since) {
            return 0;
        }
        if (search->walk == 0) {
            return -E2BIG;
        }
        search->walk--;
        if (!search->wants(search->context, &entry, &parts)) {
            continue;
        }
        if (search->count == search->most) {
            return -E2BIG;
        }
        search->found[search->count++] = (struct rc_recovery_found){.position = at - 1, .sequence = entry.sequence};
    }
    return 0;
}

static int found_compare(const void *a, const void *b)
{
    const struct rc_recovery_found *first = a;
    const struct rc_recovery_found *second = b;
    return first->position < second->position ? -1 : first->position > second->position;
}

uint32_t rc_recovery_log_order(struct rc_recovery_found *found, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 0) {
        qsort(found, count, sizeof(*found), found_compare);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || found[i].position != found[kept - 1].position) {
            found[kept++] = found[i];
        }
    }
    return kept;
}

static struct rc_span part_take(const uint8_t **at, size_t count)
{
    const struct rc_span part = rc_span_of(*at, count);
    *at += count;
    return part;
}

void rc_recovery_log_read(const struct rc_recovery_log *log, uint64_t position, struct rc_recovery_entry *entry,
                          struct rc_recovery_parts *parts)
{
    const uint8_t *at = entry_at(log, position);
    memcpy(entry, at, sizeof(*entry));
    at += sizeof(*entry);
    parts->channel = part_take(&at, entry->channel_bytes);
    parts->event = part_take(&at, entry->event_bytes);
    parts->excludes = part_take(&at, (size_t)entry->exclude_count * sizeof(struct rc_client_ref));
    parts->names = part_take(&at, entry->names_bytes);
    parts->data = part_take(&at, entry->data_bytes);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* Bytes from a position to the next entry; 0: it makes no sense. */
static uint64_t entry_step(const struct rc_recovery_log *log, uint64_t position, uint64_t sequence)
{
    const uint64_t left = log->view.log_bytes - position % log->view.log_bytes;
    struct rc_recovery_entry entry;
    memcpy(&entry, entry_at(log, position), sizeof(entry));
    if (entry.flags & RC_RECOVERY_PAD) {
        return entry.bytes == left ? left : 0;
    }
    const uint64_t parts = (uint64_t)entry.channel_bytes + entry.event_bytes +
                           (uint64_t)entry.exclude_count * sizeof(struct rc_client_ref) + entry.names_bytes +
                           entry.data_bytes;
    return entry.bytes == entry_bytes(log, position, entry_aligned(sizeof(entry) + parts)) && entry.bytes <= left &&
                   entry.sequence >= sequence && entry.previous <= position
               ? entry.bytes
               : 0;
}

int rc_recovery_log_open(struct rc_recovery_log *log, const struct rc_recovery_view *view, bool *damaged)
{
    struct rc_recovery_segment *segment = view->segment;
    *log = (struct rc_recovery_log){.view = *view};
    const int rc = rc_hashmap_init(&log->names, CHAINS_MIN, RC_HASHMAP_COUNT_MAX);
    if (rc != 0) {
        return rc;
    }
    log->tail = atomic_load_explicit(&segment->tail, memory_order_relaxed);
    log->head = atomic_load_explicit(&segment->head, memory_order_relaxed);
    log->floor = atomic_load_explicit(&segment->floor, memory_order_relaxed);
    bool whole = log->head % RC_RECOVERY_ALIGN == 0 && log->tail % RC_RECOVERY_ALIGN == 0 && log->tail <= log->head &&
                 log->head - log->tail <= view->log_bytes;
    for (uint64_t at = log->tail; whole && at < log->head;) {
        const uint64_t step = view->log_bytes - at % view->log_bytes < sizeof(struct rc_recovery_entry)
                                  ? 0
                                  : entry_step(log, at, log->sequence);
        struct rc_recovery_entry entry;
        whole = step > 0 && step <= log->head - at;
        if (whole) {
            memcpy(&entry, entry_at(log, at), sizeof(entry));
            log->sequence = (entry.flags & (RC_RECOVERY_PAD | RC_RECOVERY_HOLE)) ? log->sequence : entry.sequence;
            at += step;
        }
    }
    *damaged = !whole;
    if (!whole) { /* who missed something of it must not come back: our caller's */
        log->tail = log->head = (log->head / view->log_bytes + 1) * view->log_bytes;
        log->floor = log->sequence = 0;
        atomic_store_explicit(&segment->tail, log->tail, memory_order_relaxed);
        atomic_store_explicit(&segment->head, log->head, memory_order_relaxed);
    }
    return 0;
}

bool rc_recovery_log_each(const struct rc_recovery_log *log, uint64_t *at, uint64_t *position,
                          struct rc_recovery_entry *entry)
{
    *position = *at > log->tail ? *at : log->tail;
    while (*position < log->head) {
        memcpy(entry, entry_at(log, *position), sizeof(*entry));
        *at = *position + entry->bytes;
        if (!(entry->flags & RC_RECOVERY_PAD)) {
            return true;
        }
        *position = *at;
    }
    return false;
}

void rc_recovery_log_link(struct rc_recovery_log *log)
{
    struct rc_recovery_entry entry;
    uint64_t position;
    for (uint64_t at = 0; rc_recovery_log_each(log, &at, &position, &entry);) {
        struct rc_recovery_chain *chain = (entry.flags & RC_RECOVERY_LINKED) ? NULL : chain_of(log, entry.chain);
        if (chain != NULL) {
            chain->last = position + 1;
        }
    }
}

void rc_recovery_log_close(struct rc_recovery_log *log)
{
    rc_hashmap_free(&log->names);
    free(log->chains);
    *log = (struct rc_recovery_log){0};
}
