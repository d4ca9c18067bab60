/* history_keys: see history_keys.h. */
#include "common/shm/history_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"

struct rc_history_key {
    uint64_t hash;
    struct rc_history_cursor place; /* of its newest message */
    uint32_t older;                 /* in the order of change: key + 1; 0 = end */
    uint32_t newer;
};

int rc_history_keys_open(struct rc_history_keys *keys, uint32_t keys_max)
{
    RC_ASSERT(keys_max > 0 && keys_max <= RC_HISTORY_KEYS_MAX);
    uint32_t slots = 2;
    while (slots < 2 * keys_max) {
        slots *= 2;
    }
    *keys = (struct rc_history_keys){.keys_max = keys_max, .table_mask = slots - 1};
    keys->keys = calloc(keys_max, sizeof(*keys->keys));
    keys->table = calloc(slots, sizeof(*keys->table));
    if (keys->keys == NULL || keys->table == NULL) {
        rc_history_keys_close(keys);
        return -ENOMEM;
    }
    return 0;
}

void rc_history_keys_close(struct rc_history_keys *keys)
{
    free(keys->keys);
    free(keys->table);
    *keys = (struct rc_history_keys){0};
}

/* Where the key of that hash is in the table, or would be. */
static uint32_t key_slot(const struct rc_history_keys *keys, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & keys->table_mask;
    while (keys->table[at] != 0 && keys->keys[keys->table[at] - 1].hash != hash) {
        at = (at + 1) & keys->table_mask;
    }
    return at;
}

/* Takes an entry of the table out; those behind it that would not be found any more move up. */
static void table_remove(struct rc_history_keys *keys, uint32_t at)
{
    keys->table[at] = 0;
    for (uint32_t next = (at + 1) & keys->table_mask; keys->table[next] != 0; next = (next + 1) & keys->table_mask) {
        const uint32_t home = (uint32_t)keys->keys[keys->table[next] - 1].hash & keys->table_mask;
        if (((next - home) & keys->table_mask) >= ((next - at) & keys->table_mask)) {
            keys->table[at] = keys->table[next];
            keys->table[next] = 0;
            at = next;
        }
    }
}

static void order_add(struct rc_history_keys *keys, uint32_t key)
{
    keys->keys[key].older = keys->newest;
    keys->keys[key].newer = 0;
    *(keys->newest != 0 ? &keys->keys[keys->newest - 1].newer : &keys->oldest) = key + 1;
    keys->newest = key + 1;
}

static void order_remove(struct rc_history_keys *keys, uint32_t key)
{
    const struct rc_history_key *its = &keys->keys[key];
    *(its->older != 0 ? &keys->keys[its->older - 1].newer : &keys->oldest) = its->newer;
    *(its->newer != 0 ? &keys->keys[its->newer - 1].older : &keys->newest) = its->older;
}

/* The message at `place` is the newest of its key. Of too many keys the one that changed longest ago is forgotten. */
static void key_note(struct rc_history_keys *keys, uint64_t hash, const struct rc_history_cursor *place)
{
    uint32_t at = key_slot(keys, hash);
    uint32_t key;
    if (keys->table[at] != 0) {
        key = keys->table[at] - 1;
        order_remove(keys, key);
    } else if (keys->count < keys->keys_max) {
        key = keys->count++;
        keys->table[at] = key + 1;
    } else {
        key = keys->oldest - 1;
        order_remove(keys, key);
        table_remove(keys, key_slot(keys, keys->keys[key].hash));
        at = key_slot(keys, hash);
        keys->table[at] = key + 1;
    }
    keys->keys[key].hash = hash;
    keys->keys[key].place = *place;
    order_add(keys, key);
}

/* Messages go all the time where a history is as long as it may be: on with the oldest one that is there. False: it is not that. */
static bool cursor_catch_up(const struct rc_history_view *view, struct rc_history_cursor *cursor)
{
    const struct rc_history_state state = rc_history_state(view, cursor->slot);
    const bool behind = state.epoch == cursor->epoch && state.first > cursor->offset;
    if (behind) {
        *cursor = (struct rc_history_cursor){.slot = cursor->slot, .epoch = cursor->epoch, .offset = state.first};
    }
    return behind;
}

int rc_history_keys_find(struct rc_history_keys *keys, const struct rc_history_view *view, uint32_t slot,
                         uint64_t epoch, uint64_t first, uint64_t last, uint32_t messages_max)
{
    uint8_t key[UINT8_MAX];
    struct rc_span its;
    memset(keys->table, 0, ((size_t)keys->table_mask + 1) * sizeof(*keys->table));
    keys->count = keys->oldest = keys->newest = 0;
    if (last >= messages_max && first < last - messages_max + 1) {
        first = last - messages_max + 1;
    }
    struct rc_history_cursor cursor = {.slot = slot, .epoch = epoch, .offset = first};
    while (cursor.offset <= last) {
        struct rc_history_cursor place = cursor;
        const int rc = rc_history_read_key(view, &cursor, key, &its, &place);
        if (rc == -ENODATA && cursor_catch_up(view, &cursor)) {
            continue;
        }
        if (rc != 1) {
            return rc < 0 ? rc : -ENODATA;
        }
        key_note(keys, its.count == 0 ? 0 : rc_hash(its.bytes, its.count), &place);
    }
    return (int)keys->count;
}

struct rc_history_cursor rc_history_keys_next(const struct rc_history_keys *keys, uint32_t *next)
{
    const uint32_t key = *next == 0 ? keys->oldest : keys->keys[*next - 1].newer;
    if (key == 0) {
        return (struct rc_history_cursor){0};
    }
    *next = key;
    return keys->keys[key - 1].place;
}
