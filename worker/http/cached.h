/*
 * cached: files that caches may keep (RFC 9111), with a version by which they ask again (RFC 9110 13.1.2): assets of the program, and
 * socket.io-client's scripts.
 *
 * A file is read-only and owned by who declared it. One thread; nothing fails.
 */
#ifndef RC_WORKER_HTTP_CACHED_H
#define RC_WORKER_HTTP_CACHED_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/http/exchange.h"

struct rc_cached {
    struct rc_span bytes;      /* borrowed */
    struct rc_span gzip;       /* borrowed: the same, compressed (RFC 1952); empty = it is sent as it is */
    const char *content_type;  /* static */
    const char *cache_control; /* static */
    const char *headers;       /* static: further lines, each ending in CRLF; NULL = none */
    char etag[20]; /* of `bytes`, quoted; `gzip` has the same with "-gzip" (RFC 9110 8.8.3: each has its own) */
};

/* `file` but for its version, which is made of its bytes. */
void rc_cached_open(struct rc_cached *file);
/* Answers with the file, compressed where the request takes that; 304 when the client has it already. */
void rc_cached_answer(struct rc_exchange *exchange, const struct rc_cached *file);

#endif
