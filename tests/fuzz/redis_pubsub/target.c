/*
 * Everything that a subscription connection may be told (relay/redis/pubsub): bytes become RESP replies by hiredis' reader, as on
 * a connection, and each goes to the table as a push or an error, between wishes of workers. Nothing crashes, the count of
 * confirmed subscriptions stays what the table says, and every waiting registration is answered exactly once.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/envelope.h"
#include "common/base/log.h"
#include "relay/redis/pubsub.h"
#include "relay/redis/pubsub_fixed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

struct world {
    struct rc_timers timers;
    struct rc_redis_wire wire;
    struct rc_redis_pubsub pubsub;
    struct rc_redis_conn conn;
    uint32_t asked;
    uint32_t answered;
    uint64_t messages;
};

static void channel_message(void *context, struct rc_span name, struct rc_span message)
{
    struct world *world = context;
    RC_ASSERT(name.count > 0);
    world->messages += message.count + 1;
}

static void fixed_message(void *context, struct rc_span channel, struct rc_span message)
{
    struct world *world = context;
    world->messages += channel.count + message.count;
}

static void wanted(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token, bool confirmed)
{
    struct world *world = context;
    (void)worker;
    (void)token;
    (void)confirmed;
    RC_ASSERT(hash == rc_channel_hash((const char *)name.bytes, name.count));
    world->answered++;
}

static uint16_t node_of(void *context, struct rc_span redis_name, bool sharded)
{
    (void)context;
    (void)sharded;
    RC_ASSERT(redis_name.count > 0);
    return 0;
}

static void wish(struct world *world, uint8_t what)
{
    char name[64];
    memset(name, 'n', sizeof(name));
    const struct rc_span span = rc_span_of(name, 1 + (what & 3) * 16u);
    const uint64_t hash = rc_channel_hash(name, span.count);
    if ((what & 4) != 0) {
        world->asked += rc_redis_pubsub_want(&world->pubsub, hash, span, 0, what) == RC_REDIS_WANT_LATER;
    } else {
        rc_redis_pubsub_unwant(&world->pubsub, hash, span);
    }
    if ((what & 8) != 0) {
        rc_redis_pubsub_flush(&world->pubsub);
    }
    if ((what & 16) != 0) {
        rc_timers_run(world->wire.timers, rc_clock_ms() + (what & 32 ? 10000 : 150));
    }
    if ((what & 192) == 192) {
        rc_redis_pubsub_lost(&world->pubsub, 0);
        rc_redis_pubsub_ready(&world->pubsub, 0, &world->conn);
    }
}

static void tell(struct world *world, const uint8_t *bytes, size_t count)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    RC_ASSERT(reader != NULL);
    reader->maxelements = RC_REDIS_ELEMENTS_MAX;
    size_t at = 0;
    while (at < count) {
        const size_t part = count - at < 64 ? count - at : 64;
        wish(world, bytes[at]);
        if (redisReaderFeed(reader, (const char *)bytes + at, part) != REDIS_OK) {
            break;
        }
        at += part;
        int result;
        while ((result = redisReaderGetReply(reader, &reply)) == REDIS_OK && reply != NULL) {
            const redisReply *one = reply;
            if (one->type == REDIS_REPLY_PUSH || (one->type == REDIS_REPLY_ARRAY && one->elements > 0)) {
                (void)rc_redis_pubsub_push(&world->pubsub, 0, one);
            } else if (one->type == REDIS_REPLY_ERROR) {
                rc_redis_pubsub_refused(&world->pubsub, 0);
            }
            freeReplyObject(reply);
            reply = NULL;
            (void)rc_redis_pubsub_settled(&world->pubsub);
        }
        if (result != REDIS_OK) {
            break;
        }
    }
    redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct rc_metrics metrics;
    static struct world world;
    rc_log_open("fuzz", -1, RC_LOG_OFF, RC_LOG_TEXT);
    memset(&world, 0, sizeof(world));
    world.wire.metrics = &metrics;
    world.wire.timers = &world.timers;
    /* A connection that takes everything: a context without a socket, whose output is thrown away. */
    const redisOptions options = {.type = REDIS_CONN_USERFD, .options = REDIS_OPT_NONBLOCK, .endpoint = {.fd = -1}};
    world.conn = (struct rc_redis_conn){.wire = &world.wire, .fd = -1, .handle = -1, .state = RC_REDIS_CONN_READY};
    world.conn.redis = redisConnectWithOptions(&options);
    RC_ASSERT(world.conn.redis != NULL);
    RC_ASSERT(rc_redis_pubsub_init(&world.pubsub, &world.wire, count > 0 && (bytes[0] & 1) != 0 ? "p*" : "", false) ==
              0);
    const struct rc_redis_pubsub_ops ops = {
        .channel = {.message = channel_message, .wanted = wanted, .context = &world, .head = "c:"},
        .node_of = node_of,
        .context = &world};
    rc_redis_pubsub_set_ops(&world.pubsub, &ops);
    struct rc_redis_subscription plain = {.name = "b", .message = fixed_message, .context = &world};
    struct rc_redis_subscription pattern = {
        .name = "d:*", .pattern = true, .message = fixed_message, .context = &world};
    rc_redis_fixed_add(&world.pubsub, &plain);
    rc_redis_fixed_add(&world.pubsub, &pattern);
    rc_redis_pubsub_place(&world.pubsub, 0);
    rc_redis_pubsub_ready(&world.pubsub, 0, &world.conn);
    tell(&world, bytes, count);
    RC_ASSERT(world.pubsub.confirmed == world.pubsub.nodes[0].confirmed);
    rc_redis_pubsub_lost(&world.pubsub, 0);
    RC_ASSERT(world.pubsub.confirmed == 0);
    RC_ASSERT(world.pubsub.waiter_count == 0 && world.asked == world.answered);
    rc_redis_pubsub_free(&world.pubsub);
    redisFree(world.conn.redis);
    return 0;
}
