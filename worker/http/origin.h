/*
 * The origin of a browser's request (RFC 6454), matched with http.allowed_origins: for the upgrade and for CORS.
 *
 * Pure; reads the configuration in force; only a worker calls it. Nothing fails.
 */
#ifndef RC_WORKER_HTTP_ORIGIN_H
#define RC_WORKER_HTTP_ORIGIN_H

#include <stdbool.h>

#include "common/config/config.h"
#include "common/base/span.h"

/*
 * Is `origin`, the Origin header's value, allowed? It is compared in the form that rc_origin_normalize gives it (case, the scheme's
 * usual port, ws for http), as entries are: an origin, which must be the same; "https://" and then "*.example.com", where the star stands for one or more
 * labels; or "*" for all. Without any entry the origin must be the page's own: its authority is `host`, the request's
 * Host. An empty `origin` (the request had none) is no browser's and is allowed.
 */
bool rc_origin_allowed(const struct rc_config_list *allowed, struct rc_span origin, struct rc_span host);

/* Is it the origin of a page of this server itself, whatever the entries are? */
bool rc_origin_own(struct rc_span origin, struct rc_span host);

/* Is "*" among the entries? */
bool rc_origin_any(const struct rc_config_list *allowed);

#endif
