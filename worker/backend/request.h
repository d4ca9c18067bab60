/*
 * request: the bytes of a call: an HTTP/1.1 head (RFC 9112) with its signature, for a body of JSON.
 *
 *   ringcast-signature: v1=hex(HMAC-SHA256(secret, ringcast-time "." body))
 *
 * Owned by a backend; one thread. Nothing fails but for memory.
 */
#ifndef RC_WORKER_BACKEND_REQUEST_H
#define RC_WORKER_BACKEND_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/backend.h"

#define RC_BACKEND_SIGNATURE_BYTES 64u /* hexadecimal */
/* Of a head without what is forwarded: names, numbers, target and host, each as long as it may be. */
#define RC_BACKEND_HEAD_MAX 1536u

struct rc_backend_signer; /* a secret, ready to sign */

/* NULL: no memory. */
struct rc_backend_signer *rc_backend_signer_open(const char *secret);
void rc_backend_signer_close(struct rc_backend_signer *signer);
/* -ENOMEM. `out` gets RC_BACKEND_SIGNATURE_BYTES hexadecimal digits and a NUL. */
int rc_backend_sign(struct rc_backend_signer *signer, const char *time, struct rc_span body,
                    char out[RC_BACKEND_SIGNATURE_BYTES + 1]);

struct rc_backend_head {
    const struct rc_backend_url *url;
    enum rc_backend_call_kind kind;
    const char *id;
    uint32_t attempt; /* 0 and 1: the first */
    struct rc_span body;
    uint64_t time_s;                  /* Unix time */
    const uint8_t *trace;             /* 24 random bytes: trace and span (W3C Trace Context) */
    struct rc_backend_signer *signer; /* NULL: it is not signed */
    struct rc_span forwarded;         /* the lines that follow: what one of them says the head does not say as well */
};

/* Writes the head up to, and without, the lines that are forwarded and the empty one; at most RC_BACKEND_HEAD_MAX bytes. The bytes, or -ENOMEM. */
int rc_backend_head_write(char *out, const struct rc_backend_head *head);

#endif
