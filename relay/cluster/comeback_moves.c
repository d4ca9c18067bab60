/* comeback_moves: see comeback_moves.h. */
#include "relay/cluster/comeback_moves.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/records/sid.h"

int rc_comeback_moves_open(struct rc_comeback_moves *moves)
{
    *moves = (struct rc_comeback_moves){.items = calloc(RC_COMEBACK_MOVES_MAX, sizeof(*moves->items))};
    if (moves->items == NULL || rc_hashmap_init(&moves->map, 0, RC_COMEBACK_MOVES_MAX) != 0) {
        free(moves->items);
        moves->items = NULL;
        return -ENOMEM;
    }
    return 0;
}

void rc_comeback_moves_close(struct rc_comeback_moves *moves)
{
    if (moves->items != NULL) {
        rc_hashmap_free(&moves->map);
        free(moves->items);
        moves->items = NULL;
    }
}

static uint64_t moved_hash(uint64_t token)
{
    return rc_hash(&token, sizeof(token));
}

struct moved_sought {
    const struct rc_comeback_moves *moves;
    uint64_t token;
};

static bool moved_equal(const void *context, uint32_t index)
{
    const struct moved_sought *sought = context;
    return sought->moves->items[index].token == sought->token;
}

static uint32_t moved_index(const struct rc_comeback_moves *moves, uint64_t token)
{
    const struct moved_sought sought = {.moves = moves, .token = token};
    return moves->items == NULL || token == 0 ? RC_HASHMAP_NONE
                                              : rc_hashmap_find(&moves->map, moved_hash(token), moved_equal, &sought);
}

const struct rc_comeback_move *rc_comeback_moves_find(const struct rc_comeback_moves *moves, uint64_t token)
{
    const uint32_t index = moved_index(moves, token);
    return index == RC_HASHMAP_NONE ? NULL : &moves->items[index];
}

void rc_comeback_moves_drop(struct rc_comeback_moves *moves, uint64_t token)
{
    const uint32_t index = moved_index(moves, token);
    if (index != RC_HASHMAP_NONE) {
        (void)rc_hashmap_remove(&moves->map, moved_hash(token), index);
        moves->items[index].token = 0;
    }
}

void rc_comeback_moves_add(struct rc_comeback_moves *moves, const char sid_text[RC_SID_BYTES], struct rc_span instance)
{
    const uint32_t index = moves->next;
    struct rc_comeback_move *moved = &moves->items[index];
    struct rc_sid sid;
    if (!rc_sid_read(&sid, rc_span_of(sid_text, RC_SID_BYTES)) || sid.client.random == 0) {
        return;
    }
    rc_comeback_moves_drop(moves, sid.client.random);
    rc_comeback_moves_drop(moves, moved->token); /* the one that went longest ago */
    moves->next = (index + 1) % RC_COMEBACK_MOVES_MAX;
    if (rc_hashmap_insert(&moves->map, moved_hash(sid.client.random), index) == 0) {
        moved->token = sid.client.random;
        memcpy(moved->sid, sid_text, RC_SID_BYTES);
        (void)snprintf(moved->instance, sizeof(moved->instance), "%.*s", (int)instance.count,
                       (const char *)instance.bytes);
    }
}
