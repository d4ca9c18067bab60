/* interest: a hash map over a pool of one-line entries. */
#include "relay/route/interest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define CHUNK_ENTRIES 4096u
#define NAME_INLINE_MAX 32u
#define NO_ENTRY UINT32_MAX

struct rc_interest_entry {
    struct rc_worker_set workers; /* empty = a free entry */
    uint64_t hash;
    uint32_t name_bytes;
    uint32_t next_free; /* of a free entry */
    union {
        char here[NAME_INLINE_MAX];
        char *outside; /* owner, when name_bytes > NAME_INLINE_MAX */
    } name;
};
_Static_assert(sizeof(struct rc_interest_entry) == 64, "an entry is one cache line");

struct key {
    const struct rc_interest *table;
    uint64_t hash;
    const char *name;
    uint32_t name_bytes;
};

static struct rc_interest_entry *entry_at(const struct rc_interest *table, uint32_t index)
{
    return &table->chunks[index / CHUNK_ENTRIES][index % CHUNK_ENTRIES];
}

static const char *interest_entry_name(const struct rc_interest_entry *entry)
{
    return entry->name_bytes > NAME_INLINE_MAX ? entry->name.outside : entry->name.here;
}

static bool interest_key_equal(const void *context, uint32_t index)
{
    const struct key *key = context;
    const struct rc_interest_entry *entry = entry_at(key->table, index);
    return entry->hash == key->hash && entry->name_bytes == key->name_bytes &&
           memcmp(interest_entry_name(entry), key->name, key->name_bytes) == 0;
}

static uint32_t find_index(const struct rc_interest *table, uint64_t hash, const char *name, uint32_t name_bytes)
{
    const struct key key = {.table = table, .hash = hash, .name = name, .name_bytes = name_bytes};
    return rc_hashmap_find(&table->map, hash, interest_key_equal, &key);
}

int rc_interest_open(struct rc_interest *table, uint64_t pair_count_max)
{
    *table = (struct rc_interest){.free_index = NO_ENTRY, .pair_count_max = pair_count_max};
    return rc_hashmap_init(&table->map, 1024, RC_HASHMAP_COUNT_MAX);
}

static void free_name(struct rc_interest_entry *entry)
{
    if (entry->name_bytes > NAME_INLINE_MAX) {
        free(entry->name.outside);
    }
    entry->name_bytes = 0;
}

void rc_interest_close(struct rc_interest *table)
{
    for (uint32_t i = 0; i < table->chunk_count * CHUNK_ENTRIES; i++) {
        free_name(entry_at(table, i));
    }
    for (uint32_t i = 0; i < table->chunk_count; i++) {
        free(table->chunks[i]);
    }
    free(table->chunks);
    rc_hashmap_free(&table->map);
    *table = (struct rc_interest){.free_index = NO_ENTRY};
}

static int add_chunk(struct rc_interest *table)
{
    if (table->chunk_count == table->chunk_max) {
        const uint32_t chunk_max = table->chunk_max == 0 ? 16 : table->chunk_max * 2;
        struct rc_interest_entry **chunks = realloc(table->chunks, chunk_max * sizeof(struct rc_interest_entry *));
        if (chunks == NULL) {
            return -ENOMEM;
        }
        table->chunks = chunks;
        table->chunk_max = chunk_max;
    }
    struct rc_interest_entry *chunk = aligned_alloc(64, CHUNK_ENTRIES * sizeof(struct rc_interest_entry));
    if (chunk == NULL) {
        return -ENOMEM;
    }
    memset(chunk, 0, CHUNK_ENTRIES * sizeof(struct rc_interest_entry));
    const uint32_t first = table->chunk_count * CHUNK_ENTRIES;
    for (uint32_t i = 0; i < CHUNK_ENTRIES; i++) {
        chunk[i].next_free = i + 1 < CHUNK_ENTRIES ? first + i + 1 : NO_ENTRY;
    }
    table->chunks[table->chunk_count++] = chunk;
    table->free_index = first;
    return 0;
}

static int set_name(struct rc_interest_entry *entry, const char *name, uint32_t name_bytes)
{
    char *place = entry->name.here;
    if (name_bytes > NAME_INLINE_MAX) {
        place = malloc(name_bytes);
        if (place == NULL) {
            return -ENOMEM;
        }
        entry->name.outside = place;
    }
    memcpy(place, name, name_bytes);
    entry->name_bytes = name_bytes;
    return 0;
}

/* A new entry in the map, without workers yet. */
static int add_entry(struct rc_interest *table, uint64_t hash, const char *name, uint32_t name_bytes, uint32_t *index)
{
    if (table->free_index == NO_ENTRY) {
        const int rc = add_chunk(table);
        if (rc != 0) {
            return rc;
        }
    }
    struct rc_interest_entry *entry = entry_at(table, table->free_index);
    int rc = set_name(entry, name, name_bytes);
    if (rc != 0) {
        return rc;
    }
    rc = rc_hashmap_insert(&table->map, hash, table->free_index);
    if (rc != 0) {
        free_name(entry);
        return rc;
    }
    entry->hash = hash;
    *index = table->free_index;
    table->free_index = entry->next_free;
    return 0;
}

static void free_entry(struct rc_interest *table, uint32_t index)
{
    struct rc_interest_entry *entry = entry_at(table, index);
    const bool removed = rc_hashmap_remove(&table->map, entry->hash, index);
    RC_ASSERT(removed);
    free_name(entry);
    entry->next_free = table->free_index;
    table->free_index = index;
}

int rc_interest_add(struct rc_interest *table, uint64_t hash, const char *name, uint32_t name_bytes, uint32_t worker)
{
    RC_ASSERT(worker < RC_WORKERS_MAX && name_bytes > 0 && name_bytes <= RC_CHANNEL_NAME_MAX);
    uint32_t index = find_index(table, hash, name, name_bytes);
    if (index != RC_HASHMAP_NONE && rc_worker_set_has(&entry_at(table, index)->workers, worker)) {
        return RC_INTEREST_SAME;
    }
    if (table->pair_count >= table->pair_count_max) {
        return -ENOSPC;
    }
    const bool first = index == RC_HASHMAP_NONE;
    if (first) {
        const int rc = add_entry(table, hash, name, name_bytes, &index);
        if (rc != 0) {
            return rc;
        }
    }
    rc_worker_set_put(&entry_at(table, index)->workers, worker, true);
    table->pair_count++;
    table->worker_pairs[worker]++;
    return first ? RC_INTEREST_EDGE : RC_INTEREST_CHANGED;
}

static void drop_pair(struct rc_interest *table, struct rc_interest_entry *entry, uint32_t worker)
{
    rc_worker_set_put(&entry->workers, worker, false);
    table->pair_count--;
    table->worker_pairs[worker]--;
}

enum rc_interest_change rc_interest_remove(struct rc_interest *table, uint64_t hash, const char *name,
                                           uint32_t name_bytes, uint32_t worker)
{
    const uint32_t index = find_index(table, hash, name, name_bytes);
    if (index == RC_HASHMAP_NONE || !rc_worker_set_has(&entry_at(table, index)->workers, worker)) {
        return RC_INTEREST_SAME;
    }
    drop_pair(table, entry_at(table, index), worker);
    if (!rc_worker_set_empty(&entry_at(table, index)->workers)) {
        return RC_INTEREST_CHANGED;
    }
    free_entry(table, index);
    return RC_INTEREST_EDGE;
}

struct rc_worker_set rc_interest_find(const struct rc_interest *table, uint64_t hash, const char *name,
                                      uint32_t name_bytes)
{
    const uint32_t index = find_index(table, hash, name, name_bytes);
    return index != RC_HASHMAP_NONE ? entry_at(table, index)->workers : (struct rc_worker_set){{0}};
}

void rc_interest_walk(const struct rc_interest *table, void (*one)(void *context, struct rc_span name), void *context)
{
    for (uint32_t i = 0; i < table->chunk_count * CHUNK_ENTRIES; i++) {
        const struct rc_interest_entry *entry = entry_at(table, i);
        if (!rc_worker_set_empty(&entry->workers)) {
            one(context, rc_span_of(interest_entry_name(entry), entry->name_bytes));
        }
    }
}

void rc_interest_forget(struct rc_interest *table, uint32_t worker, rc_interest_emptied *emptied, void *context)
{
    /* Through the pool in memory order rather than through the map: a million entries are one sequential read. */
    for (uint32_t i = 0; table->worker_pairs[worker] > 0 && i < table->chunk_count * CHUNK_ENTRIES; i++) {
        struct rc_interest_entry *entry = entry_at(table, i);
        if (!rc_worker_set_has(&entry->workers, worker)) {
            continue;
        }
        drop_pair(table, entry, worker);
        if (rc_worker_set_empty(&entry->workers)) {
            if (emptied != NULL) {
                emptied(context, entry->hash, interest_entry_name(entry), entry->name_bytes);
            }
            free_entry(table, i);
        }
    }
}
