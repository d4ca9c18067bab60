/*
 * scratch: bytes that are used for one message at a time and grow to the largest. All zeros is an empty one; its owner frees `bytes`.
 */
#ifndef RC_RELAY_BRIDGE_SCRATCH_H
#define RC_RELAY_BRIDGE_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct rc_scratch {
    uint8_t *bytes; /* owner */
    size_t room;
};

/* It has so many bytes; it may have moved. False: no memory. */
static inline bool rc_scratch_room(struct rc_scratch *scratch, size_t bytes)
{
    if (bytes > scratch->room) {
        uint8_t *more = realloc(scratch->bytes, bytes);
        if (more == NULL) {
            return false;
        }
        scratch->bytes = more;
        scratch->room = bytes;
    }
    return true;
}

#endif
