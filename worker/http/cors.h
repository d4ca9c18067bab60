/*
 * CORS for the HTTP end points (Fetch standard, "CORS protocol"): may the page that asks read the answer?
 *
 * Pure; the policy borrows the configuration in force; only a worker calls it. CORS protects a browser's user, not the
 * server: who sends no Origin is not judged. "*" together with credentials is refused with the configuration; what fails
 * here is room.
 */
#ifndef RC_WORKER_HTTP_CORS_H
#define RC_WORKER_HTTP_CORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "worker/http/parse.h"

#define RC_CORS_HEADERS_BYTES_MAX \
    2048u /* room that is always enough when the policy's texts are below 512 bytes each */

struct rc_cors_policy {
    const struct rc_config_list *origins; /* http.allowed_origins, see worker/http/origin.h; borrowed */
    const char *methods;                  /* "GET, HEAD, POST": of the resource asked for; borrowed */
    const char *headers; /* request headers that pages may set: "authorization, content-type"; "" = none; borrowed */
    bool credentials;    /* cookies and HTTP authentication may be sent along */
    uint32_t max_age_s;  /* how long a browser may keep a preflight's answer; 0 = its default */
};

enum rc_cors_verdict {
    RC_CORS_NONE,    /* no Origin: nothing to judge */
    RC_CORS_ALLOWED, /* the page may read the answer, and a preflight's request may follow */
    RC_CORS_REFUSED, /* it may not: answer what changes anything with 403, a preflight too */
};

/* Is it a preflight: OPTIONS with Origin and Access-Control-Request-Method? It is answered 204 (or 403 when refused), whatever
 * the resource says to OPTIONS otherwise. */
bool rc_cors_is_preflight(const struct rc_http_request *request);

/*
 * Judges a request. `out` gets the header lines that its answer must carry, each ending in CRLF (also with NONE and
 * REFUSED: caches must know that the answer depends on the Origin), terminated; "" and REFUSED when `capacity` is too
 * small. Two Origins are REFUSED. A preflight is ALLOWED only if its method and all its headers are.
 */
enum rc_cors_verdict rc_cors_judge(const struct rc_cors_policy *policy, const struct rc_http_request *request,
                                   char *out, size_t capacity);

/* The same as the configuration says, for a resource with these methods ("GET, HEAD"). */
enum rc_cors_verdict rc_cors_judge_configured(const struct rc_config_http *config,
                                              const struct rc_http_request *request, const char *methods, char *out,
                                              size_t capacity);

#endif
