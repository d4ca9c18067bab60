/*
 * coding: content codings of answers (RFC 9110 8.4.1): which one a request accepts, and coding a body by it.
 *
 * The choice is pure. A coder belongs to a worker, one thread; it borrows the deflater of the worker's WebSocket messages, whose one
 * state with a window of 15 bits serves all: a client costs nothing. It remembers what it coded last, so that bodies that are the same
 * one after the other (polls of clients in one room) are compressed once. Nothing fails: what cannot be coded, or would not become
 * smaller, leaves as it is.
 */
#ifndef RC_WORKER_HTTP_CODING_H
#define RC_WORKER_HTTP_CODING_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/http/parse.h"
#include "worker/ws/deflate.h"

#define RC_CODING_BYTES_MIN 1024u /* smaller bodies leave as they are, as engine.io's httpCompression.threshold says */
#define RC_CODING_BYTES_MAX (1u << 20) /* and so do larger ones: the memory of a coder is twice that at most */

enum rc_content_coding {
    RC_CODING_IDENTITY, /* as it is */
    RC_CODING_GZIP,     /* RFC 9110 8.4.1.3 */
    RC_CODING_DEFLATE,  /* RFC 9110 8.4.1.2: zlib's format, not the bare stream */
};

/* The coding that the request's Accept-Encoding (RFC 9110 12.5.3) weighs highest, gzip before deflate, and either before none at all
 * unless identity weighs more. Weight 0 is "not acceptable"; elements that are malformed count as not there. */
enum rc_content_coding rc_content_coding_choose(const struct rc_http_request *request);
/* As Content-Encoding names it. Static. */
const char *rc_content_coding_name(enum rc_content_coding coding);

struct rc_coder {
    struct rc_deflater *deflater; /* borrowed */
    uint8_t *plain;               /* owned: what was coded last; `coded` is behind it */
    size_t capacity;              /* of each of the two */
    size_t plain_bytes;
    size_t coded_bytes; /* 0: it did not become smaller */
    enum rc_content_coding coding;
};

void rc_coder_open(struct rc_coder *coder, struct rc_deflater *deflater);
void rc_coder_close(struct rc_coder *coder);
/* The body coded, valid until the next call; empty: it is to leave as it is. `*again` tells that it was coded before. */
struct rc_span rc_coder_code(struct rc_coder *coder, enum rc_content_coding coding, struct rc_span body, bool *again);

#endif
