/*
 * The client's address as trusted proxies tell it: X-Forwarded-For, Forwarded (RFC 7239), X-Real-IP.
 *
 * Each proxy appends whom it got the request from, so the list is walked from its right end, from the peer on, as long
 * as the address reached is a trusted one: what stands further left was written by whoever pleases. Pure; any process
 * may call; nothing fails: what can not be understood ends the walk where it is.
 */
#ifndef RC_WORKER_HTTP_FORWARDED_H
#define RC_WORKER_HTTP_FORWARDED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text/address.h"
#include "common/text/cidr.h"
#include "worker/http/parse.h"

#define RC_FORWARDED_HOPS_MAX 32u /* proxies in a row; the walk ends there */

/*
 * Headers that are looked at: the first of these that is there, in this order, is the one that counts. A proxy that sets
 * one of them passes the others on as the client wrote them, unless told to drop them: believe only what it sets.
 */
enum rc_forwarded_source {
    RC_FORWARDED_NONE = 0,
    RC_FORWARDED_X_FORWARDED_FOR = 1u << 0,
    RC_FORWARDED_FORWARDED = 1u << 1,
    RC_FORWARDED_X_REAL_IP = 1u << 2,
};

struct rc_forwarded {
    struct rc_address client;        /* the peer's own address unless a trusted proxy said otherwise */
    enum rc_forwarded_source source; /* where it comes from; NONE = the peer itself */
    uint32_t hops;                   /* entries that were believed */
};

/* `sources`: enum rc_forwarded_source, or-ed. */
void rc_forwarded_client(const struct rc_http_request *request, const struct rc_address *peer,
                         const struct rc_cidr_list *trusted, uint32_t sources, struct rc_forwarded *out);

#endif
