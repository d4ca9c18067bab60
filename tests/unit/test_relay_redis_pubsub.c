/* Which channels are asked of Redis: batches, damping, confirmations that belong to the last SUBSCRIBE, losses. The connection is a
 * context without a socket: what would be sent is read from its output buffer. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/sds.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/envelope.h"
#include "common/log.h"
#include "relay/redis/pubsub.h"

static struct rc_metrics metrics;
static struct rc_redis_wire wire;
static struct rc_redis_pubsub pubsub;
static struct rc_redis_conn conn;
static int wanted_confirmed;
static int wanted_local;
static char messages[1024];

static void message(void *context, struct rc_span name, struct rc_span body)
{
    const size_t used = strlen(messages);
    (void)context;
    (void)snprintf(messages + used, sizeof(messages) - used, "%.*s=%.*s ", (int)name.count, (const char *)name.bytes,
                   (int)body.count, (const char *)body.bytes);
}

static void wanted(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token, bool confirmed)
{
    (void)context;
    (void)worker;
    (void)token;
    cr_assert_eq(hash, rc_channel_hash((const char *)name.bytes, name.count));
    wanted_confirmed += confirmed;
    wanted_local += !confirmed;
}

static uint16_t node_of(void *context, struct rc_span redis_name)
{
    (void)context;
    (void)redis_name;
    return 0;
}

static struct rc_redis_subscription fixed = {.name = "fixed", .message = message};
static struct rc_redis_subscription pattern = {.name = "direct:me~*", .pattern = true, .message = message};

static void open_pubsub(void)
{
    const redisOptions options = {.type = REDIS_CONN_USERFD, .options = REDIS_OPT_NONBLOCK, .endpoint = {.fd = -1}};
    wire.metrics = &metrics;
    conn = (struct rc_redis_conn){.wire = &wire, .fd = -1, .handle = -1, .state = RC_REDIS_CONN_READY};
    conn.redis = redisConnectWithOptions(&options);
    cr_assert_not_null(conn.redis);
    cr_assert_eq(rc_redis_pubsub_init(&pubsub, &wire, "p*:", false), 0);
    const struct rc_redis_pubsub_ops ops = {.channel = {.message = message, .wanted = wanted, .head = "ws:channel:"},
                                            .node_of = node_of};
    rc_redis_pubsub_set_ops(&pubsub, &ops);
    rc_redis_pubsub_add_fixed(&pubsub, &fixed);
    rc_redis_pubsub_add_fixed(&pubsub, &pattern);
    rc_redis_pubsub_place(&pubsub, 0);
}

static void close_pubsub(void)
{
    rc_redis_pubsub_free(&pubsub);
    redisFree(conn.redis);
}

TestSuite(relay_redis_pubsub, .init = open_pubsub, .fini = close_pubsub);

static enum rc_redis_want want(const char *name)
{
    return rc_redis_pubsub_want(&pubsub, rc_channel_hash(name, strlen(name)), rc_span_text(name), 0, 1);
}

static void unwant(const char *name)
{
    rc_redis_pubsub_unwant(&pubsub, rc_channel_hash(name, strlen(name)), rc_span_text(name));
}

/* The commands that would have been sent, as "SUBSCRIBE a b;". Static memory. */
static const char *sent(void)
{
    static char text[65536];
    size_t used = 0;
    rc_redis_pubsub_flush(&pubsub);
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
    sdsfree(conn.redis->obuf);
    conn.redis->obuf = sdsempty();
    return text;
}

/* As Redis says it. */
static void push(const char *kind, const char *first, const char *second)
{
    char text[2048];
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    const int bytes = snprintf(text, sizeof(text), ">3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(kind),
                               kind, strlen(first), first, strlen(second), second);
    cr_assert_eq(redisReaderFeed(reader, text, (size_t)bytes), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    (void)rc_redis_pubsub_push(&pubsub, 0, reply);
    freeReplyObject(reply);
    redisReaderFree(reader);
}

static void later(uint64_t ms)
{
    rc_timers_run(&wire.timers, rc_clock_ms() + ms);
}

Test(relay_redis_pubsub, a_burst_is_one_command_and_confirmations_answer)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:fixed;PSUBSCRIBE p\\*:direct:me~*;");
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    cr_assert_eq(want("b"), RC_REDIS_WANT_LATER);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER, "another worker");
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:ws:channel:a p*:ws:channel:b;");
    cr_assert_str_eq(sent(), "");
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_eq(wanted_confirmed, 2);
    cr_assert_eq(want("a"), RC_REDIS_WANT_CONFIRMED);
    later(RC_REDIS_CONFIRM_MS + 1);
    cr_assert_eq(wanted_local, 1, "b is late");
    push("subscribe", "p*:ws:channel:b", "2");
    cr_assert_eq(want("b"), RC_REDIS_WANT_CONFIRMED);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_SUBSCRIPTIONS), 2);
    push("subscribe", "p*:fixed", "1");
    push("psubscribe", "p\\*:direct:me~*", "1");
    cr_assert(fixed.confirmed && pattern.confirmed && rc_redis_pubsub_settled(&pubsub));
}

Test(relay_redis_pubsub, messages_find_their_handler)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    push("message", "p*:ws:channel:a:b", "1");
    push("message", "p*:fixed", "2");
    push("message", "fixed", "not ours");
    push("message", "p*:ws:channel:", "no name");
    cr_assert_str_eq(messages, "a:b=1 fixed=2 ");
}

Test(relay_redis_pubsub, unsubscribing_is_damped_and_subscribing_is_not)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)sent();
    push("subscribe", "p*:ws:channel:a", "1");
    for (int i = 0; i < 1000; i++) {
        unwant("a");
        cr_assert_eq(want("a"), RC_REDIS_WANT_CONFIRMED);
    }
    cr_assert_str_eq(sent(), "");
    later(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(sent(), "", "it is wanted");
    unwant("a");
    later(RC_REDIS_DAMPING_MS - 100);
    cr_assert_str_eq(sent(), "");
    later(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(sent(), "UNSUBSCRIBE p*:ws:channel:a;");
    cr_assert_eq(pubsub.entry_count, 0);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER, "anew");
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:ws:channel:a;");
}

Test(relay_redis_pubsub, what_is_not_confirmed_is_not_unsubscribed)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)sent();
    unwant("a");
    later(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(sent(), "", "its confirmation would be taken for that of a later SUBSCRIBE");
    push("subscribe", "p*:ws:channel:a", "1");
    later(2 * RC_REDIS_DAMPING_MS + 10);
    cr_assert_str_eq(sent(), "UNSUBSCRIBE p*:ws:channel:a;");
}

Test(relay_redis_pubsub, a_loss_answers_who_waits_and_everything_is_asked_again)
{
    cr_assert_eq(want("early"), RC_REDIS_WANT_LOCAL);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)want("gone");
    (void)sent();
    push("subscribe", "p*:ws:channel:early", "1");
    push("subscribe", "p*:ws:channel:gone", "1");
    wanted_confirmed = wanted_local = 0;
    unwant("gone");
    rc_redis_pubsub_lost(&pubsub, 0);
    cr_assert_eq(wanted_local, 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_SUBSCRIPTIONS), 0);
    cr_assert_eq(want("b"), RC_REDIS_WANT_LOCAL);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    const char *text = sent();
    cr_assert_str_eq(text,
                     "SUBSCRIBE p*:fixed;PSUBSCRIBE p\\*:direct:me~*;"
                     "SUBSCRIBE p*:ws:channel:early p*:ws:channel:a p*:ws:channel:b;",
                     "%s", text);
}

Test(relay_redis_pubsub, a_hundred_thousand_changes_are_few_commands)
{
    char name[128];
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)sent();
    const uint64_t start = rc_clock_ms();
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 10000; i++) {
            (void)snprintf(name, sizeof(name), "a-rather-long-name-of-a-channel-so-that-it-is-outside:%d", i);
            if (round % 2 == 0) {
                (void)want(name);
            } else {
                unwant(name);
            }
        }
        if (round == 0) {
            int commands = 0;
            rc_redis_pubsub_flush(&pubsub);
            for (const char *at = conn.redis->obuf; (at = strstr(at, "SUBSCRIBE\r\n")) != NULL; at++) {
                commands++;
            }
            cr_assert_eq(commands, (10000 + RC_REDIS_BATCH_MAX - 1) / RC_REDIS_BATCH_MAX);
            for (int i = 0; i < 10000; i++) {
                (void)snprintf(name, sizeof(name),
                               "p*:ws:channel:a-rather-long-name-of-a-channel-so-that-it-is-outside:%d", i);
                push("subscribe", name, "1");
            }
            sdsfree(conn.redis->obuf);
            conn.redis->obuf = sdsempty();
        }
    }
    cr_log_info("100,000 changes: %llu ms", (unsigned long long)(rc_clock_ms() - start));
    cr_assert_str_eq(sent(), "", "none of it is Redis' business");
    cr_assert_eq(pubsub.confirmed, 10000);
    later(RC_REDIS_DAMPING_MS + 5000);
    cr_assert_eq(pubsub.entry_count, 0);
    cr_assert_eq(pubsub.confirmed, 0);
}

Test(relay_redis_pubsub, refused_ones_are_asked_again_later)
{
    redisReader *reader = redisReaderCreate();
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)sent();
    rc_redis_pubsub_refused(&pubsub, 0);
    cr_assert_eq(wanted_local, 1);
    cr_assert_not(rc_redis_pubsub_settled(&pubsub));
    later(RC_REDIS_REFUSED_MS + 1);
    cr_assert_neq(strstr(sent(), "SUBSCRIBE p*:ws:channel:a"), NULL);
    redisReaderFree(reader);
}
