/*
 * fetch: gets a JWK Set from its URL, in a child process that lives for this alone.
 *
 * A child, because looking a name up and a TLS handshake wait, which the acceptor must not; and because what comes is written by others: the
 * child reads it as the user of the workers, with no descriptor but its pipe, and hands back keys in our own form, which are checked again.
 * Over OpenSSL and http_parser, which are there already: what libcurl would add (redirects, proxies, other protocols) is what must not
 * happen here.
 */
#ifndef RC_ACCEPTOR_KEYS_FETCH_H
#define RC_ACCEPTOR_KEYS_FETCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "acceptor/start/identity.h"
#include "common/base/err.h"
#include "common/config/values.h"
#include "common/identity/material.h"

#define RC_FETCH_TIMEOUT_MS 15000u /* from the look-up to the last byte */
#define RC_FETCH_NO_AGE UINT32_MAX

struct rc_fetch_answer {
    int32_t rc; /* 0, or negative errno with `err` */
    uint32_t
        max_age_s; /* Cache-Control (RFC 9111 section 5.2.2.1): 0: not to be kept; RC_FETCH_NO_AGE: it says nothing */
    struct rc_err err; /* NUL-terminated */
    struct rc_jwt_material material;
};

/* One that runs. Owned by its caller. */
struct rc_fetch {
    pid_t pid; /* 0 = none */
    int fd;    /* owned: the pipe's end */
    size_t got;
    uint64_t deadline_ms;
    struct rc_fetch_answer answer;
};

/* Starts one for jwks_url, jwks_ca and jwks_insecure of a row. `identity` NULL: as this user. 0 or negative errno. */
int rc_fetch_start(struct rc_fetch *fetch, const struct rc_identity_jwt *jwt, const struct rc_identity *identity,
                   uint64_t now_ms, struct rc_err *err);

/* Has it ended? Then fetch->answer holds, and no process is left. Does not wait. */
bool rc_fetch_done(struct rc_fetch *fetch, uint64_t now_ms);

/* Ends one that runs; nothing when none does. */
void rc_fetch_cancel(struct rc_fetch *fetch);

#endif
