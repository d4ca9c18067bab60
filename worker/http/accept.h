/*
 * accept: which of the types that a resource has is the answer to a request (RFC 9110 12.5.1).
 *
 * Pure; any header that parses.
 */
#ifndef RC_WORKER_HTTP_ACCEPT_H
#define RC_WORKER_HTTP_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

#include "worker/http/parse.h"

#define RC_ACCEPT_QUALITY_MAX 1000u

/*
 * What the client thinks of `type` ("application/json"), in thousandths: the weight of the most specific range that matches it. 1000
 * without an Accept header, 0: not acceptable. `*specific` tells by what: 0 nothing matched, 1 any type, 2 any of its kind, 3 the type itself.
 * Ranges with parameters of their own (before `q`) match like the range without them: the types here have one form each, and a scraper
 * that asks for `text/plain;version=0.0.4` means it. A weight that is none (RFC 9110 12.4.2) makes its range ignored.
 */
uint32_t rc_accept_quality(const struct rc_http_request *request, const char *type, uint32_t *specific);

/* Which of `count` types, the server's favourite first, the client likes best; of those that it likes alike the one that it names most
 * specifically, then the first. The first, too, when it accepts none: an answer of another type is better than 406 (RFC 9110 12.5.1
 * leaves it to the server). */
size_t rc_accept_choose(const struct rc_http_request *request, const char *const *types, size_t count);

#endif
