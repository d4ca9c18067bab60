/*
 * What servers say about where to go: CLUSTER SLOTS, MOVED and ASK, a sentinel's master. The first byte chooses which; the rest
 * becomes RESP replies by hiredis' reader (or, for redirections, the text of an error). No socket is opened: connections begin by
 * their timers, which do not run here.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "relay/redis/link.h"
#include "relay/redis/node.h"
#include "relay/redis/topology/cluster.h"
#include "relay/redis/topology/sentinel.h"
#include "tests/support/idle_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_map(const struct rc_redis_link *link)
{
    for (uint32_t slot = 0; slot < RC_REDIS_SLOTS; slot++) {
        const uint16_t owner = rc_redis_cluster_of(link)->owners[slot];
        RC_ASSERT(owner == RC_REDIS_NODE_NONE || (owner < RC_REDIS_NODES_MAX && link->nodes[owner] != NULL));
    }
    for (uint32_t i = 0; i < link->node_count; i++) {
        RC_ASSERT(link->nodes[i] == NULL ||
                  memchr(link->nodes[i]->address.host, '\0', sizeof(link->nodes[i]->address.host)) != NULL);
    }
}

static void tell(struct rc_redis_link *link, struct rc_redis_node *node, const uint8_t *bytes, size_t count)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    RC_ASSERT(reader != NULL);
    if (redisReaderFeed(reader, (const char *)bytes, count) == REDIS_OK) {
        while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
            const redisReply *one = reply;
            if (link->topology == &rc_redis_topology_sentinel) {
                rc_redis_sentinel_follow(link, one);
            } else if (one->type == REDIS_REPLY_ARRAY && one->elements > 0) {
                rc_redis_cluster_take_map(link, node, one);
                check_map(link);
            }
            freeReplyObject(reply);
            reply = NULL;
        }
    }
    redisReaderFree(reader);
}

static void redirect(struct rc_redis_link *link, const struct rc_redis_node *node, const uint8_t *bytes, size_t count)
{
    char *text = malloc(count + 1);
    bool ask;
    RC_ASSERT(text != NULL);
    if (count > 0) {
        memcpy(text, bytes, count);
    }
    text[count] = '\0';
    const redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = count};
    const struct rc_redis_node *to = rc_redis_cluster_redirect(link, node, &reply, &ask);
    RC_ASSERT(to == NULL || (to->address.port != 0 && to->address.host[0] != '\0'));
    free(text);
    check_map(link);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct rc_metrics metrics;
    static struct rc_redis_health health;
    static struct rc_timers timers;
    struct rc_config_redis config = {.outbox_bytes = 1000};
    struct rc_redis_link *link;
    struct rc_err err;
    if (count == 0) {
        return 0;
    }
    rc_log_open("fuzz", -1, RC_LOG_OFF, RC_LOG_TEXT);
    const struct rc_redis_setup setup = {.config = &config,
                                         .instance_id = "fuzz",
                                         .metrics = &metrics,
                                         .health = &health,
                                         .timers = &timers,
                                         .host = idle_host};
    (void)strcpy(config.url.text, bytes[0] % 3 == 2 ? "redis+sentinel://h/m" : "redis+cluster://h");
    RC_ASSERT(rc_redis_link_open(&link, &setup, &err) == 0);
    const struct rc_redis_channel_ops ops = {.head = "c:"};
    rc_redis_channels(link, &ops);
    struct rc_redis_node *node = link->nodes[0];
    if (node == NULL) {
        const struct rc_redis_address address = {.host = "h", .port = 1};
        node = rc_redis_node_add(link, &address);
        RC_ASSERT(node != NULL);
    }
    if (bytes[0] % 3 == 1) {
        redirect(link, node, bytes + 1, count - 1);
    } else {
        tell(link, node, bytes + 1, count - 1);
    }
    rc_redis_link_close(link);
    return 0;
}
