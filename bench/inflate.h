/*
 * inflate: messages that a server has compressed (permessage-deflate, RFC 7692).
 *
 * The load generator asks for server_no_context_takeover: each message stands for itself, so one decompressor serves all
 * connections of a process, and a server may compress a message once for all its receivers.
 */
#ifndef RC_BENCH_INFLATE_H
#define RC_BENCH_INFLATE_H

#include "common/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_BENCH_INFLATE_OFFER \
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"

struct rc_bench_inflate {
    struct z_stream_s *stream; /* owned; NULL until the first message */
    uint8_t *bytes;            /* owned: the last message */
    uint32_t room;
};

/* True when an answer's head agrees to what was offered. */
bool rc_bench_inflate_agreed(struct rc_span head);

/* One message; `text` is good until the next. 0, -EPROTO: it is not deflate, -EMSGSIZE: it is longer than `bytes_max`. */
int rc_bench_inflate(struct rc_bench_inflate *own, struct rc_span compressed, uint32_t bytes_max, struct rc_span *text);

void rc_bench_inflate_free(struct rc_bench_inflate *own);

#endif
