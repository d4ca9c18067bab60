/*
 * delta: messages that say what they are more than the one before them (docs/protocol.md, "Deltas").
 *
 * One per client process; the text that each connection has last is kept for it. Nothing is trusted: what cannot be applied is told.
 */
#ifndef RC_BENCH_DELTA_H
#define RC_BENCH_DELTA_H

#include "common/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct rc_bench_delta_base {
    uint8_t *bytes; /* owned */
    uint32_t count;
};

struct rc_bench_delta {
    struct rc_bench_delta_base *bases; /* owned: [slots]; NULL until the first message */
    uint8_t *scratch;                  /* owned: a string without its escapes */
    uint32_t scratch_room;
};

/* Takes the string (with its quotes) of "full" or, as `whole` says, "delta" of connection `slot` of `slots`; `*text` is its message's JSON
 * text, good until the connection's next. 0, -EBADMSG: it is none, or of another base. */
int rc_bench_delta_take(struct rc_bench_delta *own, uint32_t slot, uint32_t slots, struct rc_span string, bool whole,
                        struct rc_span *text);

/* The connection begins anew. */
void rc_bench_delta_forget(struct rc_bench_delta *own, uint32_t slot);

void rc_bench_delta_free(struct rc_bench_delta *own, uint32_t slots);

#endif
