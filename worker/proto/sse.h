/*
 * sse: server-sent events (HTML Living Standard, 9.2 "Server-sent events"): what clients that only listen are told, and what they ask for.
 *
 * A client's one message is what its request says, line by line: "retained" or nothing; its Last-Event-ID; then its channels. It becomes a subscribe
 * operation for each channel. Events are text/event-stream, in one of two forms: `data` is the JSON message of the native protocol (rc_codec_sse), or the payload
 * alone (rc_codec_sse_data). Pure code; only a worker calls it. docs/sse.md.
 */
#ifndef RC_WORKER_PROTO_SSE_H
#define RC_WORKER_PROTO_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_SSE_RETAINED "retained"

/* A place in a channel's history: what stands in `id`. */
struct rc_sse_position {
    uint64_t epoch; /* not 0 */
    uint64_t offset;
};

/* Takes the next one off a list of them, with commas between; what is none is passed over. False: there are no more. */
bool rc_sse_position_next(struct rc_span *list, struct rc_sse_position *position);

#endif
