/*
 * The opening handshake of a WebSocket, server's side (RFC 6455 4.2): judging the request and writing the 101.
 *
 * Stateless; everything is views into the request's bytes, valid as long as those are. Any process may call. What
 * fails is what a peer asked for; the result is then the status to answer.
 */
#ifndef RC_WORKER_HTTP_UPGRADE_H
#define RC_WORKER_HTTP_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/http/parse.h"

#define RC_HTTP_ACCEPT_BYTES 28u            /* base64 of a SHA-1 */
#define RC_HTTP_EXTENSIONS_MAX 8u           /* offers kept; further ones are declined by not being seen */
#define RC_HTTP_EXTENSION_PARAMETERS_MAX 8u /* an offer with more is declined */

/* One offer of Sec-WebSocket-Extensions: `permessage-deflate; client_max_window_bits; server_max_window_bits=10`. */
struct rc_http_extension {
    struct rc_http_view name;
    uint32_t parameter_count;
    struct rc_http_extension_parameter {
        struct rc_http_view name;
        struct rc_http_view value; /* without quotes; text is NULL when the parameter has none */
    } parameters[RC_HTTP_EXTENSION_PARAMETERS_MAX];
};

struct rc_http_upgrade_policy {
    const char *const *subprotocols; /* what this end point speaks; borrowed */
    size_t subprotocol_count;
};

struct rc_http_upgrade {
    char accept[RC_HTTP_ACCEPT_BYTES + 1]; /* Sec-WebSocket-Accept, terminated */
    const char *subprotocol;               /* chosen: one of the policy's strings, or NULL for none */
    bool subprotocols_offered;             /* the client named at least one */
    bool has_origin;
    struct rc_http_view origin;
    uint32_t extension_count; /* offers, in the client's order of preference */
    struct rc_http_extension extensions[RC_HTTP_EXTENSIONS_MAX];
    /* Set by the caller before the response: the value of Sec-WebSocket-Extensions, or NULL for none. */
    const char *extension_response;
    const char *why;             /* on failure: a short static sentence */
    const char *failure_headers; /* on failure: header lines (each with CRLF) that the answer must carry, or "" */
};

/*
 * Does the request ask for a WebSocket at all (Upgrade names "websocket")? What does not is ordinary HTTP.
 */
bool rc_http_upgrade_wanted(const struct rc_http_request *request);

/*
 * Judges an opening handshake. 0 with `*out` filled, or the negated status with why and failure_headers set: 405 (not
 * GET), 426 (no WebSocket wanted, or not version 13), 400 (anything else that is malformed), 500 (no SHA-1). The
 * first of the client's subprotocols that the policy has is chosen; none matching chooses none, which is for the
 * client to judge.
 */
int rc_http_upgrade_check(const struct rc_http_request *request, const struct rc_http_upgrade_policy *policy,
                          struct rc_http_upgrade *out);

/*
 * Reads every Sec-WebSocket-Extensions header into `out` (RFC 6455 9.1). Returns the number of offers, or -400 when
 * the grammar is broken. rc_http_upgrade_check calls this itself.
 */
int rc_http_upgrade_extensions(const struct rc_http_request *request, struct rc_http_extension *out, uint32_t capacity);

/*
 * Writes the 101 answer, with the chosen subprotocol and extension_response. Returns its bytes, or 0 when `capacity`
 * is too small (512 bytes are enough unless those two are long).
 */
size_t rc_http_upgrade_response(const struct rc_http_upgrade *upgrade, char *buffer, size_t capacity);

#endif
