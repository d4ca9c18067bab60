/*
 * Request bodies, by length or chunked (RFC 9112 6, 7.1): raw bytes in, spans of decoded bytes out.
 *
 * A body belongs to its connection and holds no pointers; spans are views into the bytes given. Trailers and chunk
 * extensions are ignored, and bounded. Any process may call; what fails is what a peer sent, and the result is the
 * status to answer before closing.
 */
#ifndef RC_WORKER_HTTP_BODY_H
#define RC_WORKER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/http/parse.h"

#define RC_HTTP_CHUNK_LINE_BYTES_MAX 256u       /* size and extensions of one chunk */
#define RC_HTTP_CHUNK_EXTENSION_BYTES_MAX 4096u /* extensions of a whole body */
#define RC_HTTP_TRAILER_BYTES_MAX 8192u

/* Progress through one request's body; no pointers. Owned by the connection. */
struct rc_http_body {
    uint64_t bytes_max;   /* decoded bytes allowed */
    uint64_t bytes_total; /* decoded bytes so far, announced chunks included */
    uint64_t left;        /* of the chunk, or of the whole body when not chunked */
    uint32_t overhead;    /* extension bytes, then trailer bytes, so far */
    uint16_t line;        /* bytes of the current chunk-size or trailer line */
    uint8_t state;
    bool chunked;
};

/* Starts on the body of `request`. 0, or -413 when the announced length is above `bytes_max`. */
int rc_http_body_begin(struct rc_http_body *body, const struct rc_http_request *request, uint64_t bytes_max);

/*
 * Consumes raw bytes. `*consumed` says how many; `*span` is the decoded bytes among them (possibly none). Returns 1
 * when the body is complete (what follows belongs to the next request), 0 when it goes on (call again with what is
 * left, or with more), or the negated status: 400, 413. At most one span per call: call until it returns 1 or
 * everything is consumed.
 */
int rc_http_body_feed(struct rc_http_body *body, const uint8_t *bytes, size_t n, size_t *consumed,
                      struct rc_http_view *span);

/* True when no byte of the body is outstanding. */
bool rc_http_body_complete(const struct rc_http_body *body);

#endif
