/* losses: see losses.h. */
#include "relay/redis/losses.h"

#include <stdlib.h>
#include <string.h>

#include "common/records/envelope.h"

#define NAMES_FIRST 4096u
#define HEAD_BYTES 2u

void rc_redis_losses_free(struct rc_redis_losses *losses)
{
    if (losses->capacity > 0) {
        rc_hashmap_free(&losses->map);
    }
    free(losses->names);
    *losses = (struct rc_redis_losses){0};
}

void rc_redis_losses_clear(struct rc_redis_losses *losses)
{
    if (losses->capacity > 0) {
        rc_hashmap_clear(&losses->map);
    }
    losses->all = losses->placed = false;
    losses->count = losses->bytes = 0;
}

void rc_redis_losses_add_all(struct rc_redis_losses *losses, bool placed)
{
    const bool before = losses->placed;
    rc_redis_losses_clear(losses);
    losses->all = true;
    losses->placed = before || placed;
}

static struct rc_span name_at(const struct rc_redis_losses *losses, uint32_t at)
{
    const uint8_t *head = losses->names + at;
    return rc_span_of(head + HEAD_BYTES, (size_t)(head[0] | head[1] << 8));
}

struct key {
    const struct rc_redis_losses *losses;
    struct rc_span name;
};

static bool losses_key_equal(const void *context, uint32_t at)
{
    const struct key *key = context;
    return rc_span_equal(name_at(key->losses, at), key->name);
}

/* Room for this many bytes of names. */
static bool losses_reserve(struct rc_redis_losses *losses, uint32_t bytes)
{
    uint32_t capacity = losses->capacity > 0 ? losses->capacity : NAMES_FIRST;
    if (losses->capacity == 0 && rc_hashmap_init(&losses->map, 64, RC_REDIS_LOSSES_MAX) != 0) {
        return false;
    }
    while (capacity < bytes) {
        capacity *= 2;
    }
    if (capacity > losses->capacity) {
        uint8_t *names = realloc(losses->names, capacity);
        if (names == NULL) {
            if (losses->capacity == 0) {
                rc_hashmap_free(&losses->map);
            }
            return false;
        }
        losses->names = names;
        losses->capacity = capacity;
    }
    return true;
}

void rc_redis_losses_add(struct rc_redis_losses *losses, struct rc_span name, bool placed)
{
    const struct key key = {.losses = losses, .name = name};
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    losses->placed |= placed;
    if (losses->all ||
        (losses->count > 0 && rc_hashmap_find(&losses->map, hash, losses_key_equal, &key) != RC_HASHMAP_NONE)) {
        return;
    }
    const uint32_t at = losses->bytes;
    const uint32_t end = at + HEAD_BYTES + (uint32_t)name.count;
    if (name.count > UINT16_MAX || losses->count == RC_REDIS_LOSSES_MAX || !losses_reserve(losses, end) ||
        rc_hashmap_insert(&losses->map, hash, at) != 0) {
        rc_redis_losses_add_all(losses, placed);
        return;
    }
    losses->names[at] = (uint8_t)name.count;
    losses->names[at + 1] = (uint8_t)(name.count >> 8);
    memcpy(losses->names + at + HEAD_BYTES, name.bytes, name.count);
    losses->bytes = end;
    losses->count++;
}

bool rc_redis_losses_next(const struct rc_redis_losses *losses, uint32_t *at, struct rc_span *name)
{
    if (*at >= losses->bytes) {
        return false;
    }
    *name = name_at(losses, *at);
    *at += HEAD_BYTES + (uint32_t)name->count;
    return true;
}
