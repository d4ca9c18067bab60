/*
 * placed: messages of a history that all instances share, as Redis publishes them: with their place (relay/cluster/shared.h).
 *
 *   JSON     {"epoch":"123","offset":17,"sourceInstance":"a","payload":…}     the message of wire.h, and these two members first
 *   binary   0x02 | n | "123 17" (n bytes) | the message of wire.h (0x01 …)
 *
 * What has not this form is a message without a place, which anybody may publish. Pure; bytes from Redis are never asserted.
 */
#ifndef RC_RELAY_BRIDGE_PLACED_H
#define RC_RELAY_BRIDGE_PLACED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/bridge/wire.h"

#define RC_PLACED_BINARY 0x02u
#define RC_PLACED_OFFSET_MAX (UINT64_C(1) << 53) /* what a script's numbers hold */

struct rc_placed {
    uint64_t epoch; /* not 0 */
    uint64_t offset;
    struct rc_span message; /* for rc_wire_read_kept */
    struct rc_span inner;   /* what stands behind the place */
};

/* False: it has none. The spans are of `text`. */
bool rc_placed_read(struct rc_span text, struct rc_placed *placed);

/* Is it this broker's own, as its script published it? Then *sequence is that of the message. */
bool rc_placed_own(const struct rc_wire *wire, const struct rc_placed *placed, uint64_t *sequence);

/* Takes a decimal number of at most `most` off the front. False: there is none. */
bool rc_placed_number(struct rc_span *rest, uint64_t most, uint64_t *number);

#endif
