/*
 * sse: server-sent events (HTML Living Standard, 9.2 "Server-sent events"): what clients that only listen are told, and what they ask for.
 *
 * A client's one message is what its request says, line by line: "retained" or nothing; its Last-Event-ID; how many of the newest messages it wants,
 * or nothing; then its channels. It becomes a subscribe operation for each channel. Events are text/event-stream, in one of two forms: `data` is the JSON message of the native protocol (rc_codec_sse), or the payload
 * alone (rc_codec_sse_data). Pure code; only a worker calls it. docs/sse.md.
 */
#ifndef RC_WORKER_PROTO_SSE_H
#define RC_WORKER_PROTO_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_SSE_RETAINED "retained"

/* The place in a channel's history, as `id` tells it, at which the `index`th channel is to go on: that of a list with commas between, or its only one,
 * since an epoch is that of one channel. False: there is none for it. `epoch` is in the list. */
bool rc_sse_position_of(struct rc_span list, uint32_t index, struct rc_span *epoch, uint64_t *offset);

#endif
