/* Which channels are asked of Redis: batches, damping, confirmations that belong to the last SUBSCRIBE, losses. The connection is a
 * context without a socket: what would be sent is read from its output buffer. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/envelope.h"
#include "common/base/log.h"
#include "relay/redis/pubsub.h"
#include "relay/redis/pubsub_fixed.h"
#include "tests/support/pubsub_rig.h"

static int wanted_confirmed;
static int wanted_local;
static char messages[1024];
static char missed_names[1024];
static uint16_t place;
static bool all_known = true;

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

static void missed(void *context, struct rc_span name)
{
    const size_t used = strlen(missed_names);
    (void)context;
    (void)snprintf(missed_names + used, sizeof(missed_names) - used, "%.*s ", (int)(name.count > 0 ? name.count : 3),
                   name.count > 0 ? (const char *)name.bytes : "all");
}

static bool known(void *context)
{
    (void)context;
    return all_known;
}

static uint16_t node_of(void *context, struct rc_span redis_name, bool sharded)
{
    (void)context;
    (void)sharded;
    (void)redis_name;
    return place;
}

static struct rc_redis_subscription fixed = {.name = "fixed", .message = message};
static struct rc_redis_subscription pattern = {.name = "direct:me~*", .pattern = true, .message = message};

static void open_pubsub(void)
{
    open_conn();
    cr_assert_eq(rc_redis_pubsub_init(&pubsub, &wire, "p*:", false), 0);
    const struct rc_redis_pubsub_ops ops = {
        .channel = {.message = message, .wanted = wanted, .missed = missed, .known = known, .head = "ws:channel:"},
        .node_of = node_of};
    rc_redis_pubsub_set_ops(&pubsub, &ops);
    rc_redis_fixed_add(&pubsub, &fixed);
    rc_redis_fixed_add(&pubsub, &pattern);
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

/* The commands that would have been sent, as written() has them. */
static const char *sent(void)
{
    rc_redis_pubsub_flush(&pubsub);
    return written();
}

/* For commands that nobody looks at. */
static void discard(void)
{
    rc_redis_pubsub_flush(&pubsub);
    sdsclear(conn.redis->obuf);
}

/* As Redis says it. */
static void push_from(uint16_t node, const char *kind, const char *first, const char *second)
{
    char text[2048];
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    const int bytes = snprintf(text, sizeof(text), ">3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(kind),
                               kind, strlen(first), first, strlen(second), second);
    cr_assert_eq(redisReaderFeed(reader, text, (size_t)bytes), REDIS_OK);
    cr_assert_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    (void)rc_redis_pubsub_push(&pubsub, node, reply);
    freeReplyObject(reply);
    redisReaderFree(reader);
}

static void push(const char *kind, const char *first, const char *second)
{
    push_from(0, kind, first, second);
}

static void push_fixed(void)
{
    push("subscribe", "p*:fixed", "1");
    push("psubscribe", "p\\*:direct:me~*", "1");
}

/* What was said to be missed since the last call. */
static const char *said(void)
{
    static char text[sizeof(missed_names)];
    rc_redis_pubsub_flush(&pubsub);
    memcpy(text, missed_names, sizeof(text));
    missed_names[0] = '\0';
    return text;
}

static void later(uint64_t ms)
{
    rc_timers_run(wire.timers, rc_clock_ms() + ms);
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

static char foreign_got[64];
static void foreign_message(void *context, struct rc_span name, struct rc_span body)
{
    (void)context;
    (void)snprintf(foreign_got, sizeof(foreign_got), "%.*s=%.*s", (int)name.count, (const char *)name.bytes,
                   (int)body.count, (const char *)body.bytes);
}

/* Their names have the prefix, but no head; the same name with the head is another channel. */
Test(relay_redis_pubsub, foreign_channels_come_and_go_beside_the_others)
{
    const struct rc_redis_foreign_ops ops = {.message = foreign_message, .heads = {"socket.io-request#", "socket.io#"}};
    rc_redis_pubsub_set_foreign(&pubsub, &ops);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)sent();
    rc_redis_pubsub_want_foreign(&pubsub, RC_SPAN("socket.io#/#r#"));
    cr_assert_eq(want("socket.io#/#r#"), RC_REDIS_WANT_LATER);
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:socket.io#/#r# p*:ws:channel:socket.io#/#r#;");
    push("subscribe", "p*:socket.io#/#r#", "1");
    cr_assert_eq(pubsub.confirmed, 1);
    push("message", "p*:socket.io#/#r#", "hi");
    cr_assert_str_eq(foreign_got, "socket.io#/#r#=hi");
    rc_redis_pubsub_lost(&pubsub, 0);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)sent();
    push("subscribe", "p*:socket.io#/#r#", "1");
    cr_assert_eq(pubsub.confirmed, 1);
    rc_redis_pubsub_unwant_foreign(&pubsub, RC_SPAN("socket.io#/#r#"));
    cr_assert_eq(pubsub.damped_count, 1);
}

static void foreign_missed(void *context, struct rc_span name)
{
    (void)context;
    (void)snprintf(foreign_got, sizeof(foreign_got), "missed %.*s", (int)name.count, (const char *)name.bytes);
}

/* Sharded ones beside classic ones of ours: each in its own command, where the slot is, and told when its shard alone was away. */
Test(relay_redis_pubsub, foreign_channels_may_be_sharded)
{
    const struct rc_redis_foreign_ops ops = {
        .message = foreign_message, .missed = foreign_missed, .sharded = true, .heads = {"socket.io#"}};
    rc_redis_pubsub_set_foreign(&pubsub, &ops);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)sent();
    place = 0;
    (void)want("a");
    rc_redis_pubsub_want_foreign(&pubsub, RC_SPAN("socket.io#/#a#"));
    rc_redis_pubsub_want_foreign(&pubsub, RC_SPAN("socket.io#/#b#"));
    (void)want("b");
    cr_assert_str_eq(sent(),
                     "SUBSCRIBE p*:ws:channel:a;SSUBSCRIBE p*:socket.io#/#a#;SSUBSCRIBE p*:socket.io#/#b#;SUBSCRIBE "
                     "p*:ws:channel:b;");
    push("subscribe", "p*:ws:channel:a", "1");
    push("ssubscribe", "p*:socket.io#/#a#", "1");
    push("smessage", "p*:socket.io#/#a#", "hi");
    cr_assert_str_eq(foreign_got, "socket.io#/#a#=hi");
    push("sunsubscribe", "p*:socket.io#/#a#", "0"); /* its slot went elsewhere */
    rc_redis_pubsub_place(&pubsub, 0);
    cr_assert_str_eq(sent(), "SSUBSCRIBE p*:socket.io#/#a#;");
    cr_assert_str_eq(foreign_got, "socket.io#/#a#=hi", "not before it is heard again");
    push("ssubscribe", "p*:socket.io#/#a#", "1");
    cr_assert_str_eq(foreign_got, "missed socket.io#/#a#");
    rc_redis_pubsub_unwant_foreign(&pubsub, RC_SPAN("socket.io#/#a#"));
    unwant("a");
    later(RC_REDIS_DAMPING_MS + 1);
    cr_assert_str_eq(sent(), "SUNSUBSCRIBE p*:socket.io#/#a#;UNSUBSCRIBE p*:ws:channel:a;");
}

/* After a failover the former master is a replica of its heir, which passes everything on to it. */
Test(relay_redis_pubsub, a_sharded_channel_is_heard_at_one_node)
{
    const struct rc_redis_foreign_ops ops = {
        .message = foreign_message, .missed = foreign_missed, .sharded = true, .heads = {"socket.io#"}};
    rc_redis_pubsub_set_foreign(&pubsub, &ops);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    place = 0;
    rc_redis_pubsub_want_foreign(&pubsub, RC_SPAN("socket.io#/#a#"));
    (void)sent();
    push("ssubscribe", "p*:socket.io#/#a#", "1");
    place = 1;
    rc_redis_pubsub_place(&pubsub, 0);
    cr_assert_str_eq(sent(), "SUNSUBSCRIBE p*:socket.io#/#a#;SSUBSCRIBE p*:socket.io#/#a#;");
    push("smessage", "p*:socket.io#/#a#", "old");
    cr_assert_str_eq(foreign_got, "socket.io#/#a#=old", "as long as the new one has not confirmed");
    push_from(1, "ssubscribe", "p*:socket.io#/#a#", "1");
    push_from(1, "smessage", "p*:socket.io#/#a#", "once");
    push("smessage", "p*:socket.io#/#a#", "twice");
    cr_assert_str_eq(foreign_got, "socket.io#/#a#=once");
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

/* Rights are each node's own. */
Test(relay_redis_pubsub, what_is_everywhere_is_asked_again_where_it_was_refused)
{
    struct rc_redis_subscription mark = {.name = "mark", .everywhere = true, .message = message};
    rc_redis_fixed_add(&pubsub, &mark);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    rc_redis_pubsub_ready(&pubsub, 2, &conn);
    push_fixed();
    push("subscribe", "p*:mark", "3");
    discard();
    push_from(2, "subscribe", "p*:mark", "1");
    cr_assert(rc_redis_fixed_refused_at(&pubsub, 1) && !rc_redis_fixed_refused_at(&pubsub, 2));
    later(RC_REDIS_REFUSED_MS + 1);
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:mark;");
    cr_assert(rc_redis_fixed_refused_at(&pubsub, 1));
    later(2 * RC_REDIS_REFUSED_MS + 2);
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:mark;", "as long as it is");
    push_from(1, "subscribe", "p*:mark", "1");
    cr_assert(!rc_redis_fixed_refused_at(&pubsub, 1), "of another one");
    rc_redis_pubsub_refused(&pubsub, 1);
    later(3 * RC_REDIS_REFUSED_MS + 3);
    cr_assert_str_eq(sent(), "");
    rc_redis_pubsub_lost(&pubsub, 2);
    rc_redis_pubsub_ready(&pubsub, 2, &conn);
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:mark;", "its connection is another one");
    cr_assert(rc_redis_pubsub_settled(&pubsub));
}

Test(relay_redis_pubsub, a_confirmation_behind_anothers_refusal_counts)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)want("b");
    (void)sent();
    rc_redis_pubsub_refused(&pubsub, 0);
    push("subscribe", "p*:ws:channel:b", "1");
    cr_assert_eq(want("b"), RC_REDIS_WANT_CONFIRMED);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER, "whoever comes asks again");
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:ws:channel:a;");
    push("subscribe", "p*:ws:channel:a", "2");
    later(RC_REDIS_REFUSED_MS + 1);
    cr_assert_null(strstr(sent(), "p*:ws:channel:"), "nothing is left to ask for");
    unwant("b");
    later(2 * RC_REDIS_DAMPING_MS);
    cr_assert_str_eq(sent(), "UNSUBSCRIBE p*:ws:channel:b;", "what Redis has is given back");
}

Test(relay_redis_pubsub, one_that_nobody_wants_any_more_may_go_while_somebody_waits)
{
    char name[32];
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    discard();
    unwant("a");
    place = RC_REDIS_NODE_NONE; /* its slot is nobody's now */
    rc_redis_pubsub_place(&pubsub, 0);
    for (uint32_t i = 0; i <= RC_REDIS_DAMPED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%u", i);
        (void)want(name);
        unwant(name);
    }
    wanted_local = 0;
    pubsub.damping.expired(&pubsub, rc_clock_ms()); /* before the 100 ms of who waits are over */
    cr_assert_eq(wanted_local, 1, "there were too many, and it was the oldest");
    place = 0;
}

Test(relay_redis_pubsub, a_lost_home_is_said_once_for_all_when_everything_is_back)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)want("b");
    (void)sent();
    push_fixed();
    push("subscribe", "p*:ws:channel:a", "1");
    push("subscribe", "p*:ws:channel:b", "1");
    cr_assert_str_eq(said(), "", "nothing was lost by connecting for the first time");
    for (int outage = 0; outage < 2; outage++) {
        rc_redis_pubsub_lost(&pubsub, 0);
        (void)want("meanwhile");
        cr_assert_str_eq(said(), "");
        rc_redis_pubsub_ready(&pubsub, 0, &conn);
        (void)sent();
        push_fixed();
        push("subscribe", "p*:ws:channel:b", "1");
        push("subscribe", "p*:ws:channel:meanwhile", "1");
        cr_assert_str_eq(said(), "", "who read the state of a now would miss what comes before it is subscribed");
        push("subscribe", "p*:ws:channel:a", "1");
        cr_assert_str_eq(said(), "all ");
        cr_assert_str_eq(said(), "");
    }
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MISSED), 2);
    cr_assert_eq(pubsub.missed_pending, 0);
}

Test(relay_redis_pubsub, losses_while_coming_back_are_said_once)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)sent();
    push_fixed();
    push("subscribe", "p*:ws:channel:a", "1");
    for (int i = 0; i < 3; i++) {
        rc_redis_pubsub_lost(&pubsub, 0);
        rc_redis_pubsub_ready(&pubsub, 0, &conn);
        (void)sent();
    }
    push_fixed();
    cr_assert_str_eq(said(), "");
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "all ");
    cr_assert_eq(pubsub.missed_pending, 0);
}

Test(relay_redis_pubsub, another_nodes_channels_are_named_one_by_one)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    push_fixed();
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    place = 1;
    (void)want("a");
    (void)want("unwanted");
    (void)sent();
    push_from(1, "subscribe", "p*:ws:channel:a", "1");
    push_from(1, "subscribe", "p*:ws:channel:unwanted", "1");
    (void)want("asked");
    (void)sent();
    unwant("unwanted");
    rc_redis_pubsub_lost(&pubsub, 1);
    (void)want("unwanted");
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    (void)sent();
    push_from(1, "subscribe", "p*:ws:channel:unwanted", "1");
    push_from(1, "subscribe", "p*:ws:channel:asked", "1");
    cr_assert_str_eq(said(), "", "nobody was in them when the connection was lost");
    push_from(1, "subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "a ");
    push_from(1, "sunsubscribe", "p*:ws:channel:a", "0");
    place = 2;
    rc_redis_pubsub_ready(&pubsub, 2, &conn);
    rc_redis_pubsub_place(&pubsub, 0);
    (void)sent();
    push_from(2, "subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "a ", "its slot moved");
    push_from(2, "subscribe", "p*:ws:channel:asked", "1");
    push_from(2, "subscribe", "p*:ws:channel:unwanted", "1");
    cr_assert_str_eq(said(), "asked unwanted ");
    cr_assert_eq(pubsub.missed_pending, 0);
}

Test(relay_redis_pubsub, a_hundred_thousand_lost_channels_are_one_notice)
{
    char name[64];
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    push_fixed();
    place = 1;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100000; i++) {
            (void)snprintf(name, sizeof(name), "p*:ws:channel:c%d", i);
            if (round == 0) {
                (void)want(name + strlen("p*:ws:channel:"));
            }
        }
        for (int i = 0; i < 100000; i++) {
            (void)snprintf(name, sizeof(name), "p*:ws:channel:c%d", i);
            if (i % 10000 == 0) {
                discard();
            }
            push_from(1, "subscribe", name, "1");
        }
        cr_assert_eq(pubsub.confirmed, 100000);
        cr_assert_str_eq(said(), round == 0 ? "" : "all ");
        rc_redis_pubsub_lost(&pubsub, 1);
        rc_redis_pubsub_ready(&pubsub, 1, &conn);
    }
}

Test(relay_redis_pubsub, what_is_refused_does_not_hold_the_notice_up)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)want("b");
    (void)sent();
    push_fixed();
    push("subscribe", "p*:ws:channel:a", "1");
    push("subscribe", "p*:ws:channel:b", "1");
    rc_redis_pubsub_lost(&pubsub, 0);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)sent();
    push_fixed();
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "");
    rc_redis_pubsub_refused(&pubsub, 0);
    cr_assert_str_eq(said(), "all ");
    later(RC_REDIS_REFUSED_MS + 1);
    (void)sent();
    push("subscribe", "p*:ws:channel:b", "1");
    cr_assert_str_eq(said(), "b ");
}

/* An ACL lacks one of them: all else works, and what is lost of it is told. */
Test(relay_redis_pubsub, a_fixed_one_that_is_refused_does_not_hold_the_notice_up)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    (void)want("a");
    (void)sent();
    rc_redis_pubsub_refused(&pubsub, 0);
    push("psubscribe", "p\\*:direct:me~*", "1");
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "");
    for (int outage = 0; outage < 2; outage++) {
        rc_redis_pubsub_lost(&pubsub, 0);
        rc_redis_pubsub_ready(&pubsub, 0, &conn);
        (void)sent();
        push("psubscribe", "p\\*:direct:me~*", "1");
        push("subscribe", "p*:ws:channel:a", "1");
        cr_assert_str_eq(said(), "", "it may be confirmed yet");
        rc_redis_pubsub_refused(&pubsub, 0);
        cr_assert_str_eq(said(), "all ");
    }
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MISSED), 2);
    cr_assert_not(rc_redis_pubsub_settled(&pubsub));
    push("subscribe", "p*:fixed", "1");
    cr_assert_str_eq(said(), "", "nobody was ever told that it is heard");
    rc_redis_pubsub_lost(&pubsub, 0);
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    rc_redis_pubsub_refused(&pubsub, 0);
    push("psubscribe", "p\\*:direct:me~*", "1");
    (void)sent();
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "all ");
    push("subscribe", "p*:fixed", "1");
    cr_assert_str_eq(said(), "all ", "it was heard before, and is again");
}

Test(relay_redis_pubsub, a_successor_says_it_when_it_knows_what_its_predecessor_had)
{
    rc_redis_pubsub_succeed(&pubsub);
    all_known = false;
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    push_fixed();
    cr_assert_str_eq(said(), "", "the workers have yet to tell");
    (void)want("a");
    all_known = true;
    cr_assert_str_eq(said(), "");
    (void)sent();
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(said(), "all ");
    (void)want("b");
    (void)sent();
    push("subscribe", "p*:ws:channel:b", "1");
    cr_assert_str_eq(said(), "");
}

Test(relay_redis_pubsub, a_former_home_is_left_and_not_listened_to)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    push_fixed();
    (void)sent();
    rc_redis_pubsub_place(&pubsub, 1);
    const char *text = sent();
    cr_assert_str_eq(text,
                     "UNSUBSCRIBE p*:fixed;PUNSUBSCRIBE p\\*:direct:me~*;"
                     "SUBSCRIBE p*:fixed;PSUBSCRIBE p\\*:direct:me~*;",
                     "%s", text);
    push_from(0, "message", "p*:fixed", "twice");
    push_from(1, "message", "p*:fixed", "once");
    cr_assert_str_eq(messages, "fixed=once ");
    push_from(1, "subscribe", "p*:fixed", "1");
    push_from(1, "psubscribe", "p\\*:direct:me~*", "1");
    cr_assert_str_eq(said(), "all ", "between the two homes messages were missed");
}

/* Another home while a SUBSCRIBE is under way: the former one has it, too, when it has answered. */
Test(relay_redis_pubsub, what_a_former_home_confirms_late_is_heard_once_and_given_back)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    rc_redis_pubsub_ready(&pubsub, 1, &conn);
    push_fixed();
    (void)want("a");
    (void)want("unwanted");
    (void)sent();
    place = 1;
    unwant("unwanted");
    rc_redis_pubsub_place(&pubsub, 1);
    (void)sent();
    push_from(1, "subscribe", "p*:ws:channel:a", "1");
    push_from(0, "subscribe", "p*:ws:channel:a", "1");
    push_from(0, "subscribe", "p*:ws:channel:unwanted", "1");
    push_from(0, "message", "p*:ws:channel:a", "twice");
    push_from(1, "message", "p*:ws:channel:a", "once");
    cr_assert_str_eq(messages, "a=once ");
    cr_assert_str_eq(sent(), "UNSUBSCRIBE p*:ws:channel:a;UNSUBSCRIBE p*:ws:channel:unwanted;");
    push_from(1, "subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(sent(), "", "it belongs there");
    later(RC_REDIS_DAMPING_MS + 1);
    push_from(0, "subscribe", "p*:ws:channel:unwanted", "1");
    cr_assert_str_eq(sent(), "UNSUBSCRIBE p*:ws:channel:unwanted;", "by whatever it was");
    cr_assert_eq(pubsub.confirmed, 1);
    place = 0;
}

Test(relay_redis_pubsub, what_was_refused_with_others_and_is_confirmed_unwanted_is_given_back)
{
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    push_fixed();
    (void)want("a");
    (void)sent();
    rc_redis_pubsub_refused(&pubsub, 0);
    unwant("a");
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_str_eq(sent(), "UNSUBSCRIBE p*:ws:channel:a;");
    (void)want("a");
    cr_assert_str_eq(sent(), "SUBSCRIBE p*:ws:channel:a;");
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert_eq(want("a"), RC_REDIS_WANT_CONFIRMED);
}

/* A worker that stands still never tells its interest. What is forwarded meanwhile comes when the other relay's time, or ours, is over. */
static void expect_no_wait_for_a_stuck_worker(bool others)
{
    struct rc_redis_overlap old = {0};
    struct rc_err err;
    const int fd = memfd_create("pass", MFD_CLOEXEC);
    const int bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const struct rc_redis_heard heard = {.channel = RC_SPAN("p*:ws:channel:a"), .body = RC_SPAN("forwarded")};
    cr_assert_eq(rc_redis_overlap_forward(&old, fd, bell_fd, &err), 0, "%s", err.text);
    rc_redis_pubsub_succeed(&pubsub);
    rc_redis_pubsub_follow(&pubsub, fd);
    all_known = false;
    rc_redis_pubsub_ready(&pubsub, 0, &conn);
    cr_assert_eq(want("a"), RC_REDIS_WANT_LATER);
    (void)sent();
    push_fixed();
    push("subscribe", "p*:ws:channel:a", "1");
    cr_assert(rc_redis_overlap_take(&old, &heard));
    rc_redis_pubsub_flush(&pubsub);
    cr_assert_str_eq(messages, "", "who is to get it is not known");
    if (others) {
        old.since_ms -= RC_REDIS_OVERLAP_MS;
        cr_assert(rc_redis_overlap_ended(&old));
    } else {
        pubsub.overlap.since_ms -= RC_REDIS_OVERLAP_MS;
    }
    rc_redis_pubsub_flush(&pubsub);
    cr_assert_str_eq(messages, "a=forwarded ");
    cr_assert_eq(wanted_confirmed, 1);
    push("message", "p*:ws:channel:a", "heard");
    cr_assert_str_eq(messages, "a=forwarded a=heard ");
    cr_assert_str_eq(said(), "");
    all_known = true;
    cr_assert_str_eq(said(), "all ");
    rc_redis_overlap_close(&old);
    close(fd);
    close(bell_fd);
}

Test(relay_redis_pubsub, a_successor_does_not_wait_for_a_stuck_worker_when_its_time_is_over)
{
    expect_no_wait_for_a_stuck_worker(false);
}

Test(relay_redis_pubsub, a_successor_does_not_wait_for_a_stuck_worker_when_nobody_forwards)
{
    expect_no_wait_for_a_stuck_worker(true);
}
