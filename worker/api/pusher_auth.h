/*
 * pusher_auth: is a request of a server SDK signed by who has the app's secret (pusher.com/docs/channels, "HTTP API", "Authentication")?
 *
 *   auth_signature = HMAC-SHA256(secret, METHOD "\n" path "\n" "name=value&name=value…"), names in lower case and in order, values decoded;
 *   the path as it was sent, or as it was before its SDK's HTTP client escaped it
 *
 * Pure; only a worker calls it. Times that differ by more than RC_PUSHER_CLOCK_S are refused, so that a request that somebody has seen
 * cannot be sent again for ever.
 */
#ifndef RC_WORKER_API_PUSHER_AUTH_H
#define RC_WORKER_API_PUSHER_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"
#include "worker/http/parse.h"

#define RC_PUSHER_CLOCK_S 600u
#define RC_PUSHER_PAIRS_MAX 32u
#define RC_PUSHER_QUERY_MAX 4096u
#define RC_PUSHER_MD5_DIGITS 32u

struct rc_pusher_signed_request {
    struct rc_http_view method;
    struct rc_http_view path; /* as sent */
    struct rc_http_view query;
};

/* NULL: it is signed, and `md5` holds the digits of body_md5 (*has_md5: there is one). Else why not, for who calls. */
const char *rc_pusher_request_refusal(const struct rc_pusher_signed_request *request,
                                      const struct rc_config_pusher_app *app, uint64_t now_s,
                                      char md5[RC_PUSHER_MD5_DIGITS], bool *has_md5);
/* Is that the MD5 of the body, in lower case hexadecimal digits? */
bool rc_pusher_body_is(struct rc_span body, const char md5[RC_PUSHER_MD5_DIGITS]);

#endif
