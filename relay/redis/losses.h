/*
 * losses: the channels of messages that were given up before Redis had them, until other instances are told.
 *
 * Names as Redis knows them, without prefix; each once. Bounded: beyond RC_REDIS_LOSSES_MAX, and when there is no memory, the set
 * becomes "all channels". Owned by the link, one thread. Only rc_redis_losses_add allocates; nothing can fail.
 */
#ifndef RC_RELAY_REDIS_LOSSES_H
#define RC_RELAY_REDIS_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/base/span.h"

#define RC_REDIS_LOSSES_MAX 4096u

/* All zero is the empty set. */
struct rc_redis_losses {
    bool all; /* too many to name */
    bool
        placed; /* some were to get a place in a shared history (script.h): they are in no stream from which others could read them */
    uint32_t count;
    uint32_t bytes; /* of names */
    uint32_t capacity;
    uint8_t *names;        /* owner: {length (2 bytes), name} one after the other */
    struct rc_hashmap map; /* hash of a name -> where it begins in names */
};

void rc_redis_losses_free(struct rc_redis_losses *losses);

static inline bool rc_redis_losses_empty(const struct rc_redis_losses *losses)
{
    return !losses->all && losses->count == 0;
}

void rc_redis_losses_add(struct rc_redis_losses *losses, struct rc_span name, bool placed);
void rc_redis_losses_add_all(struct rc_redis_losses *losses, bool placed);
void rc_redis_losses_clear(struct rc_redis_losses *losses);

/* Walks the names in the order of their first loss: start with *at = 0. False at the end. */
bool rc_redis_losses_next(const struct rc_redis_losses *losses, uint32_t *at, struct rc_span *name);

#endif
