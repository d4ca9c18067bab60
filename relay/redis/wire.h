/*
 * wire: what all connections of a link share.
 *
 * Owned by the link; one thread.
 */
#ifndef RC_RELAY_REDIS_WIRE_H
#define RC_RELAY_REDIS_WIRE_H

#include <stdint.h>

#include <openssl/ssl.h>

#include "common/metrics/metrics.h"
#include "relay/redis/handlers.h"
#include "relay/timer.h"

struct rc_redis_wire {
    struct rc_redis_host host;
    struct rc_timers *timers;   /* borrowed: the loop's */
    struct rc_metrics *metrics; /* borrowed */
    SSL_CTX *tls;               /* owner; NULL = plain */
    const char *tls_name;       /* borrowed; "" = the address's host */
    const char *client_name;    /* borrowed: CLIENT SETNAME */
    uint64_t random;            /* state of the jitter */
};

#endif
