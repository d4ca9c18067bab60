/* shared_table: see shared_table.h. */
#include "relay/cluster/shared_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sought {
    const struct rc_shared_table *table;
    uint64_t hash;
    struct rc_span name;
};

static bool shared_channel_equal(const void *context, uint32_t index)
{
    const struct sought *sought = context;
    const struct rc_shared_channel *channel = sought->table->channels[index];
    return channel->hash == sought->hash && rc_span_equal(rc_span_of(channel->name, channel->name_bytes), sought->name);
}

int rc_shared_table_open(struct rc_shared_table *table)
{
    *table = (struct rc_shared_table){0};
    return rc_hashmap_init(&table->map, 16, RC_SHARED_CHANNELS_MAX);
}

void rc_shared_table_close(struct rc_shared_table *table)
{
    for (uint32_t i = 0; i < table->high; i++) {
        free(table->channels[i]);
    }
    free(table->channels);
    free(table->free);
    rc_hashmap_free(&table->map);
    *table = (struct rc_shared_table){0};
}

struct rc_shared_channel *rc_shared_table_find(const struct rc_shared_table *table, uint64_t hash, struct rc_span name)
{
    const struct sought sought = {.table = table, .hash = hash, .name = name};
    const uint32_t index = rc_hashmap_find(&table->map, hash, shared_channel_equal, &sought);
    return index == RC_HASHMAP_NONE ? NULL : table->channels[index];
}

/* Room for one more. */
static bool table_grow(struct rc_shared_table *table)
{
    if (table->free_count > 0 || table->high < table->room) {
        return true;
    }
    const uint32_t room = table->room == 0 ? 64 : table->room * 2;
    struct rc_shared_channel **channels = realloc(table->channels, room * sizeof(struct rc_shared_channel *));
    if (channels == NULL) {
        return false;
    }
    table->channels = channels;
    uint32_t *stack = realloc(table->free, room * sizeof(*stack));
    if (stack == NULL) {
        return false;
    }
    table->free = stack;
    table->room = room;
    return true;
}

struct rc_shared_channel *rc_shared_table_make(struct rc_shared_table *table, uint64_t hash, struct rc_span name)
{
    struct rc_shared_channel *channel = rc_shared_table_find(table, hash, name);
    if (channel != NULL) {
        return channel;
    }
    channel = name.count > 0 && name.count <= RC_CHANNEL_NAME_MAX && table_grow(table)
                  ? calloc(1, sizeof(*channel) + name.count)
                  : NULL;
    if (channel == NULL) {
        return NULL;
    }
    const uint32_t index = table->free_count > 0 ? table->free[table->free_count - 1] : table->high;
    if (rc_hashmap_insert(&table->map, hash, index) != 0) {
        free(channel);
        return NULL;
    }
    if (table->free_count > 0) {
        table->free_count--;
    } else {
        table->high++;
    }
    table->channels[index] = channel;
    channel->index = index;
    channel->hash = hash;
    channel->name_bytes = (uint8_t)name.count;
    memcpy(channel->name, name.bytes, name.count);
    TAILQ_INIT(&channel->pendings);
    TAILQ_INIT(&channel->helds);
    TAILQ_INIT(&channel->waiters);
    TAILQ_INIT(&channel->fillers);
    return channel;
}

void rc_shared_table_drop(struct rc_shared_table *table, struct rc_shared_channel *channel)
{
    (void)rc_hashmap_remove(&table->map, channel->hash, channel->index);
    table->channels[channel->index] = NULL;
    table->free[table->free_count++] = channel->index;
    free(channel);
}
