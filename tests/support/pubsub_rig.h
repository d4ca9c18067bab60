/*
 * pubsub_rig: a pubsub whose connection is a context without a socket: what would be sent is read from its output buffer.
 *
 * Included once by a test file.
 */
#ifndef RC_TESTS_SUPPORT_PUBSUB_RIG_H
#define RC_TESTS_SUPPORT_PUBSUB_RIG_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/sds.h>

#include "relay/redis/conn.h"
#include "relay/redis/pubsub_state.h"

static struct rc_metrics metrics;
static struct rc_timers timers;
static struct rc_redis_wire wire = {.metrics = &metrics, .timers = &timers};
static struct rc_redis_conn conn;
static struct rc_redis_pubsub pubsub;

/* The test frees conn.redis. */
static void open_conn(void)
{
    const redisOptions options = {.type = REDIS_CONN_USERFD, .options = REDIS_OPT_NONBLOCK, .endpoint = {.fd = -1}};
    conn = (struct rc_redis_conn){.wire = &wire, .fd = -1, .handle = -1, .state = RC_REDIS_CONN_READY};
    conn.redis = redisConnectWithOptions(&options);
    cr_assert_not_null(conn.redis);
}

/* The commands that would have been sent, as "SUBSCRIBE a b;", and are not again. Static memory. */
__attribute__((unused)) static const char *written(void)
{
    static char text[65536];
    size_t used = 0;
    const char *at = conn.redis->obuf;
    text[0] = '\0';
    while (*at == '*') {
        unsigned count = (unsigned)strtoul(at + 1, NULL, 10);
        at = strchr(at, '\n') + 1;
        for (unsigned i = 0; i < count; i++) {
            const unsigned bytes = (unsigned)strtoul(at + 1, NULL, 10);
            at = strchr(at, '\n') + 1;
            if (used + bytes + 2 < sizeof(text)) {
                used += (size_t)sprintf(text + used, "%s%.*s", i > 0 ? " " : "", (int)bytes, at);
            }
            at += bytes + 2;
        }
        used += (size_t)sprintf(text + used, ";");
    }
    sdsclear(conn.redis->obuf);
    return text;
}

#endif
