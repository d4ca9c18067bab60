/*
 * hello: how the two ends of a link find out who the other one is (docs/link.md, "How a link begins"): the HTTP request and answer that it
 * begins with, nonces, signatures, HELLO and READY.
 *
 * Owned by nobody: it reads and writes memory of the caller's. What is read comes from a peer that has not proved anything yet.
 */
#ifndef RC_WORKER_LINK_HELLO_H
#define RC_WORKER_LINK_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/values.h"
#include "worker/http/parse.h"
#include "worker/http/text.h"
#include "worker/link/frame.h"
#include "worker/store/linked.h"

#define RC_LINK_NONCE_BYTES 32u /* hex digits */
#define RC_LINK_ANSWER_MAX 8192u
#define RC_LINK_PATH "/.ringcast"

/* What both ends have said by HTTP. */
struct rc_link_nonces {
    char broker[RC_LINK_NONCE_BYTES];
    char application[RC_LINK_NONCE_BYTES];
};

/* Random hex digits. */
void rc_link_nonce(char out[RC_LINK_NONCE_BYTES]);

enum rc_link_signed { RC_LINK_SIGNED_HELLO, RC_LINK_SIGNED_READY };
/* HMAC-SHA256 in hex. */
void rc_link_sign(char out[RC_LINK_SIGNATURE_BYTES], enum rc_link_signed what, const char *secret,
                  const struct rc_link_nonces *nonces, struct rc_span json);
/* Is it by one of the backend's secrets? */
bool rc_link_signature_right(struct rc_span signature, enum rc_link_signed what,
                             const struct rc_config_backend *backend, const struct rc_link_nonces *nonces,
                             struct rc_span json);

/* The request of who dials; `host` as it stands in the Host header. */
void rc_link_request_write(struct rc_text *out, struct rc_span target, struct rc_span host, const char *instance,
                           uint32_t worker, const char nonce[RC_LINK_NONCE_BYTES]);
/* Is it such a request? Its bytes, and the nonce of who dials; 0: it is not whole; -EBADMSG likewise. */
int rc_link_request_read(struct rc_span bytes, char nonce[RC_LINK_NONCE_BYTES], const char **why);
/* Says whether it is one: NULL, or what is wrong, a static sentence. */
const char *rc_link_request_judge(const struct rc_http_request *request, struct rc_http_view *nonce);
/* The answer to it. */
void rc_link_answer_write(struct rc_text *out, const char nonce[RC_LINK_NONCE_BYTES]);
/*
 * The answer to it at the beginning of `bytes`. Its bytes, and the application's nonce; 0: it is not whole; -EBADMSG: it refuses, or is none:
 * `*why`, a static sentence, and `*status` (0: no HTTP).
 */
int rc_link_answer_read(struct rc_span bytes, char nonce[RC_LINK_NONCE_BYTES], uint32_t *status, const char **why);

/* What READY says. */
struct rc_link_ready {
    char process[RC_LINK_PROCESS_MAX + 1];
    bool asks;
    bool resume;
    bool paced;             /* it says CLUSTER at the pace of TAKEN */
    uint64_t recovery_ms;   /* so long a client may be away; 0: who comes back is somebody new */
    bool continues;         /* it has said how many frames of ours it has handed on over former links */
    uint64_t frames;        /* so many */
    struct rc_span options; /* of the text; empty: none */
};
/* -EBADMSG: the text is none: `*why`. */
int rc_link_ready_read(struct rc_span json, struct rc_link_ready *ready, const char **why);

#endif
