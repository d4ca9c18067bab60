/*
 * fossil_delta: what turns one text into another, in the delta format of Fossil (fossil-scm.org, "Fossil Delta Format"):
 *
 *   size "\n" { count "@" offset "," | count ":" literal } checksum ";"
 *
 * Numbers are base 64 with the digits 0-9A-Z_a-z~, highest first. A copy takes `count` bytes from `offset` of the source, a literal is the
 * next `count` bytes of the target. The checksum is the sum of the target's 32-bit words, big endian, with zeros behind its end.
 *
 * Time is bounded whatever the texts are: so many places of the source are compared for one of the target. Memory is the encoder's own and
 * grows with the longest source. Pure but for that; nothing blocks.
 */
#ifndef RC_COMMON_TEXT_FOSSIL_DELTA_H
#define RC_COMMON_TEXT_FOSSIL_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_FOSSIL_BYTES_MAX (1u << 20) /* of a source or target that is encoded */

struct rc_fossil_encoder {
    uint32_t *heads; /* owner: by hash, the last place of the source with it, + 1; 0 = none */
    uint32_t *older; /* owner: of each place that is indexed the one before it with the same hash, likewise */
    uint32_t head_count;
    uint32_t place_count;
};

void rc_fossil_encoder_close(struct rc_fossil_encoder *encoder);

/*
 * Writes what makes `target` of `source` to `out`; the bytes written, or 0: it would take more than `room`, one of the texts is longer than
 * RC_FOSSIL_BYTES_MAX, or there is no memory. `utf8`: both texts are UTF-8, and so is the delta: no character is cut.
 */
size_t rc_fossil_encode(struct rc_fossil_encoder *encoder, struct rc_span source, struct rc_span target, bool utf8,
                        uint8_t *out, size_t room);

/* Bytes of the target that a delta says it makes; SIZE_MAX: it is none. */
size_t rc_fossil_target_bytes(struct rc_span delta);
/* Makes the target, of `out_bytes` as said above, of source and delta. 0; -EBADMSG: it is no delta, or none against this source. `out` holds
 * anything then. */
int rc_fossil_apply(struct rc_span source, struct rc_span delta, uint8_t *out, size_t out_bytes);

#endif
