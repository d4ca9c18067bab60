/* entries: see entries.h. */
#include "relay/cluster/entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#define NONE UINT32_MAX
#define CHUNK_ENTRIES 1024u
#define CHUNK_COLLECTIONS 256u

enum flags {
    WANTED = 1u << 0, /* it should be in Redis */
    HELD = 1u << 1,   /* Redis has it, or may have it */
    FLYING = 1u << 2, /* a command is out */
    DIRTY = 1u << 3,  /* in the queue */
    STALE = 1u << 4,  /* its worker has not told it again */
    ADDING = 1u << 5, /* the command that is out adds */
    RENEW = 1u << 6,  /* to be written again although it is held: Redis may have forgotten it */
    RETRY = 1u << 7,  /* Redis refused it: waits for the retry timer */
};

struct slot {
    uint64_t source;
    struct rc_client_ref ref;
    char *value; /* owner; NULL = none */
    uint32_t collection;
    uint32_t index;
    uint32_t next; /* of the queue, or of the free list */
    uint16_t value_bytes;
    uint8_t flags; /* 0 = free */
};

struct rc_entries_chunk {
    struct rc_entries *owner;
    struct slot slots[CHUNK_ENTRIES];
};

struct collection {
    char *name; /* owner; NULL = free */
    uint64_t hash;
    uint32_t bytes;
    uint32_t index;
    uint32_t count; /* entries, those that are being removed included */
    uint32_t next;  /* free list */
    uint32_t
        asking;   /* commands that write its name to the index and are not answered; it is not given back meanwhile */
    bool indexed; /* such a command was sent since the registration, and none failed since then */
    bool listed;  /* its name stands in the index, or may */
    bool due;     /* such a command failed, and the retry timer writes it again */
};

struct rc_collection_chunk {
    struct rc_entries *owner;
    struct collection collections[CHUNK_COLLECTIONS];
};

static void entries_schedule(struct rc_entries *entries, uint64_t in_ms);
static void retry_later(struct rc_entries *entries);

static struct slot *slot_at(const struct rc_entries *entries, uint32_t index)
{
    return &entries->chunks[index / CHUNK_ENTRIES]->slots[index % CHUNK_ENTRIES];
}

static struct rc_entries *owner_of(struct slot *slot)
{
    struct slot *first = slot - slot->index % CHUNK_ENTRIES;
    return ((struct rc_entries_chunk *)((char *)first - offsetof(struct rc_entries_chunk, slots)))->owner;
}

static struct collection *collection_at(const struct rc_entries *entries, uint32_t index)
{
    return &entries->collections[index / CHUNK_COLLECTIONS]->collections[index % CHUNK_COLLECTIONS];
}

static struct rc_entries *collection_owner(struct collection *one)
{
    struct collection *first = one - one->index % CHUNK_COLLECTIONS;
    return ((struct rc_collection_chunk *)((char *)first - offsetof(struct rc_collection_chunk, collections)))->owner;
}

/* --- collections ----------------------------------------------------------------------------------------------------- */

struct name_key {
    const struct rc_entries *entries;
    struct rc_span name;
};

static bool name_equal(const void *context, uint32_t index)
{
    const struct name_key *key = context;
    const struct collection *one = collection_at(key->entries, index);
    return rc_span_equal(rc_span_of(one->name, one->bytes), key->name);
}

static uint32_t collection_find(const struct rc_entries *entries, struct rc_span name)
{
    const struct name_key key = {.entries = entries, .name = name};
    return rc_hashmap_find(&entries->names, rc_channel_hash((const char *)name.bytes, name.count), name_equal, &key);
}

static uint32_t collection_place(struct rc_entries *entries)
{
    if (entries->free_collection == NONE) {
        if (entries->collection_chunk_count == entries->collection_chunk_max) {
            const uint32_t max = entries->collection_chunk_max == 0 ? 16 : entries->collection_chunk_max * 2;
            struct rc_collection_chunk **more =
                realloc(entries->collections, max * sizeof(struct rc_collection_chunk *));
            if (more == NULL) {
                return NONE;
            }
            entries->collections = more;
            entries->collection_chunk_max = max;
        }
        struct rc_collection_chunk *chunk = calloc(1, sizeof(*chunk));
        if (chunk == NULL) {
            return NONE;
        }
        chunk->owner = entries;
        const uint32_t first = entries->collection_chunk_count * CHUNK_COLLECTIONS;
        entries->collections[entries->collection_chunk_count++] = chunk;
        for (uint32_t i = CHUNK_COLLECTIONS; i > 0; i--) {
            chunk->collections[i - 1] = (struct collection){.index = first + i - 1, .next = entries->free_collection};
            entries->free_collection = first + i - 1;
        }
    }
    const uint32_t index = entries->free_collection;
    entries->free_collection = collection_at(entries, index)->next;
    return index;
}

static void collection_free(struct rc_entries *entries, struct collection *one)
{
    free(one->name);
    *one = (struct collection){.index = one->index, .next = entries->free_collection};
    entries->free_collection = one->index;
}

static uint32_t collection_get(struct rc_entries *entries, struct rc_span name)
{
    uint32_t index = collection_find(entries, name);
    if (index != RC_HASHMAP_NONE) {
        return index;
    }
    index = collection_place(entries);
    if (index == NONE) {
        return NONE;
    }
    struct collection *one = collection_at(entries, index);
    one->hash = rc_channel_hash((const char *)name.bytes, name.count);
    one->bytes = (uint32_t)name.count;
    one->name = strndup((const char *)name.bytes, name.count);
    if (one->name == NULL || rc_hashmap_insert(&entries->names, one->hash, index) < 0) {
        collection_free(entries, one);
        return NONE;
    }
    return index;
}

static int write_index(struct rc_entries *entries, const struct collection *one, const char *verb,
                       rc_redis_replied *entries_replied, void *context)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {rc_span_text(verb),
                                   rc_redis_key(entries->link, key, "ws:instance:%s:index", entries->instance_id),
                                   rc_span_of(one->name, one->bytes)};
    return rc_redis_command(entries->link, entries_replied, context, 1, RC_ARRAY_COUNT(argv), argv);
}

/* Nothing of it is in Redis any more. */
static void collection_release(struct rc_entries *entries, struct collection *one)
{
    if (one->count > 0 || one->asking > 0) {
        return;
    }
    if (entries->registered && one->listed) {
        (void)write_index(entries, one, "SREM", NULL, NULL); /* else a name too many: cleaning up finds nothing there */
    }
    entries->unindexed -= one->due;
    const bool removed = rc_hashmap_remove(&entries->names, one->hash, one->index);
    RC_ASSERT(removed);
    collection_free(entries, one);
}

/* Its name could not be written, and its members may stand in Redis all the same. */
static void index_later(struct rc_entries *entries, struct collection *one)
{
    one->indexed = false;
    entries->unindexed += !one->due;
    one->due = true;
    retry_later(entries);
}

static void index_replied(void *context, const redisReply *reply)
{
    struct collection *one = context;
    struct rc_entries *entries = collection_owner(one);
    one->asking--;
    entries->asking--;
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        if (reply != NULL) {
            rc_log_limited(RC_LOG_WARN, 1, "redis_entry_refused", "set=\"%s\" of=index reason=\"%s\"", one->name,
                           reply->str);
        }
        index_later(entries, one);
    }
    collection_release(entries, one);
}

/* False: there is no room for more commands now. */
static bool index_add(struct rc_entries *entries, struct collection *one)
{
    if (write_index(entries, one, "SADD", index_replied, one) < 0) {
        return false;
    }
    entries->unindexed -= one->due;
    entries->asking++;
    one->asking++;
    one->indexed = one->listed = true;
    one->due = false;
    return true;
}

/* Of the retry timer. */
static void index_again(struct rc_entries *entries)
{
    for (uint32_t i = 0; i < entries->collection_chunk_count * CHUNK_COLLECTIONS && entries->unindexed > 0; i++) {
        struct collection *one = collection_at(entries, i);
        if (one->due && !index_add(entries, one)) {
            retry_later(entries);
            return;
        }
    }
}

/* --- entries --------------------------------------------------------------------------------------------------------- */

struct slot_key {
    const struct rc_entries *entries;
    uint64_t source;
    const struct rc_client_ref *ref;
    uint32_t collection;
    uint32_t other_than; /* any source but this entry, and wanted; NONE = this very source */
};

static bool same_ref(const struct rc_client_ref *a, const struct rc_client_ref *b)
{
    return a->random == b->random && a->slot == b->slot && a->worker == b->worker;
}

static bool slot_equal(const void *context, uint32_t index)
{
    const struct slot_key *key = context;
    const struct slot *slot = slot_at(key->entries, index);
    if (slot->collection != key->collection || !same_ref(&slot->ref, key->ref)) {
        return false;
    }
    return key->other_than == NONE ? slot->source == key->source
                                   : index != key->other_than && (slot->flags & WANTED) != 0;
}

/* Sources of the same member have one hash: they are found by each other. */
static uint64_t slot_hash(uint32_t collection, const struct rc_client_ref *ref)
{
    const struct {
        uint64_t random;
        uint32_t slot;
        uint32_t worker;
        uint64_t collection;
    } parts = {ref->random, ref->slot, ref->worker, collection};
    return rc_channel_hash((const char *)&parts, sizeof(parts));
}

static void push_dirty(struct rc_entries *entries, struct slot *slot)
{
    if ((slot->flags & (DIRTY | FLYING)) != 0) {
        return; /* one in flight is looked at when it is answered */
    }
    slot->flags |= DIRTY;
    slot->next = NONE;
    if (entries->dirty_first == NONE) {
        entries->dirty_first = slot->index;
    } else {
        slot_at(entries, entries->dirty_last)->next = slot->index;
    }
    entries->dirty_last = slot->index;
    entries_schedule(entries, 0);
}

static struct slot *slot_place(struct rc_entries *entries)
{
    if (entries->free_index == NONE) {
        if (entries->chunk_count == entries->chunk_max) {
            const uint32_t max = entries->chunk_max == 0 ? 16 : entries->chunk_max * 2;
            struct rc_entries_chunk **more = realloc(entries->chunks, max * sizeof(struct rc_entries_chunk *));
            if (more == NULL) {
                return NULL;
            }
            entries->chunks = more;
            entries->chunk_max = max;
        }
        struct rc_entries_chunk *chunk = calloc(1, sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
        chunk->owner = entries;
        const uint32_t first = entries->chunk_count * CHUNK_ENTRIES;
        entries->chunks[entries->chunk_count++] = chunk;
        for (uint32_t i = CHUNK_ENTRIES; i > 0; i--) {
            chunk->slots[i - 1] = (struct slot){.index = first + i - 1, .next = entries->free_index};
            entries->free_index = first + i - 1;
        }
    }
    struct slot *slot = slot_at(entries, entries->free_index);
    entries->free_index = slot->next;
    return slot;
}

static void slot_give_back(struct rc_entries *entries, struct slot *slot)
{
    free(slot->value);
    *slot = (struct slot){.index = slot->index, .next = entries->free_index};
    entries->free_index = slot->index;
}

/* Neither wanted nor in Redis. */
static void slot_free(struct rc_entries *entries, struct slot *slot)
{
    struct collection *collection = collection_at(entries, slot->collection);
    const bool removed = rc_hashmap_remove(&entries->map, slot_hash(slot->collection, &slot->ref), slot->index);
    RC_ASSERT(removed && (slot->flags & (FLYING | DIRTY)) == 0); /* RETRY: it is found free */
    slot_give_back(entries, slot);
    entries->count--;
    rc_metric_set(entries->metrics, RC_METRIC_REDIS_ENTRIES, entries->count);
    collection->count--;
    collection_release(entries, collection);
}

static struct slot *slot_find(const struct rc_entries *entries, struct rc_span name, uint64_t source,
                              const struct rc_client_ref *ref)
{
    const uint32_t collection = collection_find(entries, name);
    if (collection == RC_HASHMAP_NONE) {
        return NULL;
    }
    const struct slot_key key = {
        .entries = entries, .source = source, .ref = ref, .collection = collection, .other_than = NONE};
    const uint32_t index = rc_hashmap_find(&entries->map, slot_hash(collection, ref), slot_equal, &key);
    return index != RC_HASHMAP_NONE ? slot_at(entries, index) : NULL;
}

static struct slot *slot_make(struct rc_entries *entries, struct rc_span name, uint64_t source,
                              const struct rc_client_ref *ref, struct rc_span value)
{
    const uint32_t collection = collection_get(entries, name);
    struct slot *slot = collection != NONE ? slot_place(entries) : NULL;
    if (slot == NULL) {
        if (collection != NONE) {
            collection_release(entries, collection_at(entries, collection));
        }
        return NULL;
    }
    slot->source = source;
    slot->ref = *ref;
    slot->collection = collection;
    slot->value_bytes = (uint16_t)value.count;
    slot->value = value.count > 0 ? malloc(value.count) : NULL;
    if ((value.count > 0 && slot->value == NULL) ||
        rc_hashmap_insert(&entries->map, slot_hash(collection, ref), slot->index) < 0) {
        slot_give_back(entries, slot);
        collection_release(entries, collection_at(entries, collection));
        return NULL;
    }
    if (value.count > 0) {
        memcpy(slot->value, value.bytes, value.count);
    }
    collection_at(entries, collection)->count++;
    entries->count++;
    rc_metric_set(entries->metrics, RC_METRIC_REDIS_ENTRIES, entries->count);
    return slot;
}

/* Another value than before is to be written again. False without memory: the old one stays. */
static bool set_value(struct slot *slot, struct rc_span value)
{
    if (rc_span_equal(rc_span_of(slot->value, slot->value_bytes), value)) {
        return true;
    }
    char *copy = value.count > 0 ? malloc(value.count) : NULL;
    if (value.count > 0) {
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, value.bytes, value.count);
    }
    free(slot->value);
    slot->value = copy;
    slot->value_bytes = (uint16_t)value.count;
    slot->flags |= RENEW;
    return true;
}

int rc_entries_add(struct rc_entries *entries, struct rc_span name, uint64_t source, const struct rc_client_ref *ref,
                   struct rc_span value)
{
    RC_ASSERT(name.count > 1 && name.count <= RC_ENTRY_NAME_MAX && value.count <= RC_ENTRY_VALUE_MAX);
    struct slot *slot = slot_find(entries, name, source, ref);
    if (slot == NULL) {
        const bool full = entries->count >= RC_ENTRIES_MAX;
        slot = full ? NULL : slot_make(entries, name, source, ref, value);
        if (slot == NULL) {
            rc_metric_add(entries->metrics, RC_METRIC_REDIS_ENTRIES_REFUSED, 1);
            return full ? -ENOSPC : -ENOMEM;
        }
    }
    slot->flags &= (uint8_t)~STALE;
    slot->ref.keeper = ref->keeper; /* it may have moved */
    if (!set_value(slot, value)) {
        rc_metric_add(entries->metrics, RC_METRIC_REDIS_ENTRIES_REFUSED, 1);
        return -ENOMEM;
    }
    if ((slot->flags & (WANTED | RENEW)) != WANTED) {
        slot->flags |= WANTED;
        push_dirty(entries, slot);
    }
    return 0;
}

bool rc_entries_has(const struct rc_entries *entries, struct rc_span name)
{
    static const struct rc_client_ref nobody = {0};
    const struct slot *slot = slot_find(entries, name, 0, &nobody);
    return slot != NULL && (slot->flags & WANTED) != 0;
}

int rc_entries_adopt(struct rc_entries *entries, struct rc_span name)
{
    static const struct rc_client_ref nobody = {0};
    const bool known = slot_find(entries, name, 0, &nobody) != NULL;
    const int rc = rc_entries_add(entries, name, 0, &nobody, (struct rc_span){0});
    if (rc == 0 && !known) {
        struct slot *slot = slot_find(entries, name, 0, &nobody);
        slot->flags |= HELD;
        collection_at(entries, slot->collection)->indexed = true;
        collection_at(entries, slot->collection)->listed = true;
    }
    return rc;
}

static void entries_unwant(struct rc_entries *entries, struct slot *slot)
{
    if ((slot->flags & WANTED) != 0) {
        slot->flags &= (uint8_t) ~(WANTED | STALE);
        push_dirty(entries, slot);
    }
}

void rc_entries_remove(struct rc_entries *entries, struct rc_span name, uint64_t source,
                       const struct rc_client_ref *ref)
{
    struct slot *slot = slot_find(entries, name, source, ref);
    if (slot != NULL) {
        entries_unwant(entries, slot);
    }
}

typedef void each(struct rc_entries *entries, struct slot *slot);

static void for_each(struct rc_entries *entries, each *call)
{
    for (uint32_t index = 0; index < entries->chunk_count * CHUNK_ENTRIES; index++) {
        struct slot *slot = slot_at(entries, index);
        if (slot->flags != 0) {
            call(entries, slot);
        }
    }
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

/* Another channel of the same client keeps the member in the same set. */
static bool kept_by_another(const struct rc_entries *entries, const struct slot *slot)
{
    const struct slot_key key = {
        .entries = entries, .ref = &slot->ref, .collection = slot->collection, .other_than = slot->index};
    return rc_hashmap_find(&entries->map, slot_hash(slot->collection, &slot->ref), slot_equal, &key) != RC_HASHMAP_NONE;
}

static void entries_pardon(struct rc_entries *entries, struct slot *slot)
{
    if ((slot->flags & RETRY) != 0) {
        slot->flags &= (uint8_t)~RETRY;
        push_dirty(entries, slot);
    }
}

static void entries_retry(void *context, uint64_t now_ms)
{
    struct rc_entries *entries = context;
    (void)now_ms;
    if (entries->registered) {
        index_again(entries); /* else when it is registered again, as all the rest */
    }
    for_each(entries, entries_pardon);
}

static void retry_later(struct rc_entries *entries)
{
    if (!entries->retry.set) {
        rc_timer_set(entries->timers, &entries->retry, rc_clock_ms() + RC_ENTRIES_RETRY_MS, entries_retry, entries);
    }
}

/* Redis is full, read-only, or has something else under that name: others go on meanwhile. */
static void entries_refused(struct rc_entries *entries, struct slot *slot, const char *why)
{
    rc_log_limited(RC_LOG_WARN, 1, "redis_entry_refused", "set=\"%s\" reason=\"%s\"",
                   collection_at(entries, slot->collection)->name, why);
    slot->flags |= RETRY;
    retry_later(entries);
}

static void entries_answered(struct rc_entries *entries, struct slot *slot, bool added)
{
    if (added) {
        slot->flags |= HELD;
    } else {
        slot->flags &= (uint8_t)~HELD;
    }
    if (((slot->flags & WANTED) != 0) != added || (slot->flags & RENEW) != 0) {
        push_dirty(entries, slot);
    } else if (!added) {
        slot_free(entries, slot);
    }
}

static void entries_replied(void *context, const redisReply *reply)
{
    struct slot *slot = context;
    struct rc_entries *entries = owner_of(slot);
    const bool failed = reply == NULL || reply->type == REDIS_REPLY_ERROR;
    const bool added = (slot->flags & ADDING) != 0;
    slot->flags &= (uint8_t) ~(FLYING | ADDING);
    entries->flying--;
    if (failed) {
        /* An answer that never came says nothing: it is taken for held, and written again. */
        slot->flags |= HELD | RENEW;
        collection_at(entries, slot->collection)->indexed = false;
        if (reply != NULL) {
            entries_refused(entries, slot, reply->str);
        } else {
            push_dirty(entries, slot);
        }
    } else {
        entries_answered(entries, slot, added);
    }
    if (entries->dirty_first != NONE) {
        entries_schedule(entries, 0);
    }
}

/* False: there is no room for more commands now. */
static bool write_one(struct rc_entries *entries, struct slot *slot)
{
    struct collection *collection = collection_at(entries, slot->collection);
    const bool add = (slot->flags & WANTED) != 0;
    const struct rc_entry entry = {.name = rc_span_of(collection->name, collection->bytes),
                                   .ref = slot->ref,
                                   .value = rc_span_of(slot->value, slot->value_bytes)};
    if (add && !collection->indexed && !index_add(entries, collection)) {
        return false;
    }
    if (entries->ops.write(entries->ops.context, &entry, add, entries_replied, slot) < 0) {
        return false;
    }
    slot->flags = (uint8_t)((slot->flags & ~RENEW) | FLYING | (add ? ADDING : 0));
    entries->flying++;
    rc_metric_add(entries->metrics, RC_METRIC_REDIS_ENTRY_WRITES, 1);
    return true;
}

static void entries_flush(void *context, uint64_t now_ms)
{
    struct rc_entries *entries = context;
    (void)now_ms;
    while (entries->dirty_first != NONE) {
        struct slot *slot = slot_at(entries, entries->dirty_first);
        const bool wanted = (slot->flags & WANTED) != 0;
        const bool held = (slot->flags & HELD) != 0;
        const bool change = wanted ? !held || (slot->flags & RENEW) != 0 : held && !kept_by_another(entries, slot);
        if (change) {
            if (!entries->registered || entries->flying >= RC_ENTRIES_FLYING_MAX || !write_one(entries, slot)) {
                break;
            }
        }
        entries->dirty_first = slot->next;
        slot->flags &= (uint8_t)~DIRTY;
        if (!change && !wanted) {
            slot_free(entries, slot);
        }
    }
    if (entries->dirty_first != NONE && entries->registered && entries->flying == 0) {
        entries_schedule(entries, RC_ENTRIES_RETRY_MS); /* nothing is out whose answer would go on */
    }
}

static void entries_schedule(struct rc_entries *entries, uint64_t in_ms)
{
    if (in_ms == 0 && (!entries->registered || entries->flush.set)) {
        return;
    }
    rc_timer_set(entries->timers, &entries->flush, rc_clock_ms() + in_ms, entries_flush, entries);
}

/* --- many at once ---------------------------------------------------------------------------------------------------- */

/* Of a client, not of the instance. */
static bool is_of(const struct slot *slot, uint32_t worker)
{
    return slot->flags != 0 && slot->ref.random != 0 && rc_client_ref_keeper(&slot->ref) == worker;
}

void rc_entries_worker_begin(struct rc_entries *entries, uint32_t worker)
{
    for (uint32_t index = 0; index < entries->chunk_count * CHUNK_ENTRIES; index++) {
        struct slot *slot = slot_at(entries, index);
        if (is_of(slot, worker) && (slot->flags & WANTED) != 0) {
            slot->flags |= STALE;
        }
    }
}

void rc_entries_worker_end(struct rc_entries *entries, uint32_t worker)
{
    for (uint32_t index = 0; index < entries->chunk_count * CHUNK_ENTRIES; index++) {
        struct slot *slot = slot_at(entries, index);
        if (is_of(slot, worker) && (slot->flags & STALE) != 0) {
            entries_unwant(entries, slot);
        }
    }
}

void rc_entries_worker_gone(struct rc_entries *entries, uint32_t worker)
{
    rc_entries_worker_begin(entries, worker);
    rc_entries_worker_end(entries, worker);
}

void rc_entries_drop_all(struct rc_entries *entries)
{
    for_each(entries, entries_unwant);
}

static void entries_renew(struct rc_entries *entries, struct slot *slot)
{
    slot->flags |= RENEW;
    push_dirty(entries, slot);
}

void rc_entries_registered(struct rc_entries *entries, bool registered)
{
    entries->registered = registered;
    if (!registered) {
        return;
    }
    for (uint32_t i = 0; i < entries->collection_chunk_count * CHUNK_COLLECTIONS; i++) {
        struct collection *one = collection_at(entries, i);
        one->indexed = one->due = false; /* before its first member, which is written again below */
    }
    entries->unindexed = 0;
    for_each(entries, entries_renew);
    entries_schedule(entries, 0);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_entries_open(struct rc_entries *entries, struct rc_redis_link *link, struct rc_timers *timers,
                    struct rc_metrics *metrics, const char *instance_id, const struct rc_entries_ops *ops)
{
    *entries = (struct rc_entries){.link = link,
                                   .timers = timers,
                                   .metrics = metrics,
                                   .instance_id = instance_id,
                                   .ops = *ops,
                                   .free_index = NONE,
                                   .free_collection = NONE,
                                   .dirty_first = NONE,
                                   .dirty_last = NONE};
    if (rc_hashmap_init(&entries->map, 64, RC_ENTRIES_MAX) < 0) {
        return -ENOMEM;
    }
    if (rc_hashmap_init(&entries->names, 64, RC_ENTRIES_MAX) < 0) {
        rc_hashmap_free(&entries->map);
        return -ENOMEM;
    }
    return 0;
}

void rc_entries_close(struct rc_entries *entries)
{
    rc_timer_cancel(entries->timers, &entries->flush);
    rc_timer_cancel(entries->timers, &entries->retry);
    for (uint32_t i = 0; i < entries->chunk_count; i++) {
        for (uint32_t j = 0; j < CHUNK_ENTRIES; j++) {
            free(entries->chunks[i]->slots[j].value);
        }
        free(entries->chunks[i]);
    }
    for (uint32_t i = 0; i < entries->collection_chunk_count; i++) {
        for (uint32_t j = 0; j < CHUNK_COLLECTIONS; j++) {
            free(entries->collections[i]->collections[j].name);
        }
        free(entries->collections[i]);
    }
    free(entries->chunks);
    free(entries->collections);
    rc_hashmap_free(&entries->map);
    rc_hashmap_free(&entries->names);
}
