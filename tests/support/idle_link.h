/*
 * idle_link: a link to Redis that opens no connection, and a Cluster's map as such a server would have told it, for tests of where things go.
 *
 * Included once by a test file.
 */
#ifndef RC_TESTS_SUPPORT_IDLE_LINK_H
#define RC_TESTS_SUPPORT_IDLE_LINK_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/metrics/redis_health.h"
#include "relay/redis/link.h"
#include "relay/redis/node.h"
#include "relay/redis/topology/cluster.h"
#include "tests/support/idle_host.h"

static struct rc_metrics metrics;
static struct rc_redis_health health;
static struct rc_timers timers;

/* The caller closes it. */
static struct rc_redis_link *idle_link(const char *url, bool sharded)
{
    struct rc_err err;
    struct rc_redis_link *link;
    struct rc_config_redis config = {.outbox_bytes = 1000000, .outbox_max_age_ms = 10000, .sharded = sharded};
    (void)snprintf(config.url.text, sizeof(config.url.text), "%s", url);
    const struct rc_redis_setup setup = {.config = &config,
                                         .instance_id = "test",
                                         .metrics = &metrics,
                                         .health = &health,
                                         .timers = &timers,
                                         .host = idle_host};
    const struct rc_redis_channel_ops ops = {.head = "c:"};
    rc_log_set_level(RC_LOG_OFF);
    cr_assert_eq(rc_redis_link_open(&link, &setup, &err), 0, "%s", err.text);
    rc_redis_channels(link, &ops);
    return link;
}

/* The node that was asked for it answers so, in the protocol's own bytes. */
static void idle_link_map(struct rc_redis_link *link, const struct rc_redis_node *asked, const char *text)
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    cr_assert_eq(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    rc_redis_cluster_take_map(link, asked, reply);
    freeReplyObject(reply);
    redisReaderFree(reader);
}

#endif
