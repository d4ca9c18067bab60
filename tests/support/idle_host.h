/*
 * idle_host: a host of connections to Redis that watches none, for tests in which none is opened: they begin by timers that do not run.
 */
#ifndef RC_TESTS_SUPPORT_IDLE_HOST_H
#define RC_TESTS_SUPPORT_IDLE_HOST_H

#include "relay/redis/handlers.h"

static int idle_watch(void *context, int fd, uint32_t events, rc_redis_ready *ready, void *ready_context)
{
    (void)context;
    (void)fd;
    (void)events;
    (void)ready;
    (void)ready_context;
    return 0;
}

static void idle_unwatch(void *context, int handle)
{
    (void)context;
    (void)handle;
}

static const struct rc_redis_host idle_host = {.watch = idle_watch, .unwatch = idle_unwatch};

#endif
