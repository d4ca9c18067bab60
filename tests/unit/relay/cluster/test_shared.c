/* Fetches of shared histories that Redis refuses: who waits costs nothing, and is not given up early. The rest: tests/e2e/history_cluster.test.mjs. */
#include "tests/support/fake_redis.h"

#include "common/base/check.h"
#include "relay/bridge/channel.h"
#include "relay/cluster/shared.h"
#include "relay/redis/error_reply.h"
#include "tests/support/history_rig.h"

#define CHANNELS 1000u
#define REFUSED "NOPERM this user has no permissions to run the 'xrange' command"

static struct rc_shared shared;
static struct history_rig rig;
static struct rc_router router;
static struct rc_wire wire;
static uint32_t gaps;
static uint32_t placed_count;
static uint64_t placed_last;
static uint64_t fanned; /* a bit for the offset of each that subscribers got */
static struct rc_redis_script_ops script_ops;

static uint64_t prints; /* of snprintf */

/* In place of libc's: names are built with it. */
#undef snprintf
int snprintf(char *restrict out, size_t room, const char *restrict format, ...)
{
    va_list list;
    prints++;
    va_start(list, format);
    const int bytes = vsnprintf(out, room, format, list);
    va_end(list);
    return bytes;
}

/* --- who is told ----------------------------------------------------------------------------------------------------- */

void rc_router_place(struct rc_router *its, const struct rc_router_placed *placed)
{
    cr_assert_eq(its, &router);
    placed_count++;
    placed_last = placed->offset;
    fanned |= placed->fans && placed->epoch != 0 ? UINT64_C(1) << placed->offset : 0;
}

void rc_router_gap_behind(struct rc_router *its, struct rc_span name, struct rc_gap_behind behind)
{
    (void)name;
    (void)behind;
    cr_assert_eq(its, &router);
    gaps++;
}

bool rc_router_wanted(const struct rc_router *its, struct rc_span channel)
{
    (void)channel;
    return its == &router;
}

void rc_router_interest_done(struct rc_router *its, const struct rc_interest_request *request, uint16_t flags,
                             uint16_t code)
{
    (void)its;
    (void)request;
    (void)flags;
    (void)code;
}

void rc_router_asked(struct rc_router *its, uint32_t worker, uint32_t generation, const struct rc_envelope_view *asked)
{
    (void)its;
    (void)worker;
    (void)generation;
    (void)asked;
}

int rc_redis_scripts_open(struct rc_redis_link *link, struct rc_redis_script *script,
                          const struct rc_redis_script_ops *ops)
{
    (void)link;
    (void)script;
    script_ops = *ops;
    return 0;
}

int rc_redis_run(struct rc_redis_link *link, const struct rc_redis_run *run)
{
    (void)link;
    (void)run;
    return 0;
}

void rc_redis_run_lost(struct rc_redis_link *link, struct rc_span channel)
{
    (void)link;
    (void)channel;
    cr_assert(false, "each is one that can be run");
}

/* --- the rig --------------------------------------------------------------------------------------------------------- */

static void open_all(void)
{
    static int link;
    fake.up = true;
    history_rig_open(&rig, 8u << 20);
    rig.config.namespaces[0].history_scope = RC_HISTORY_SCOPE_CLUSTER;
    rig.config.redis.history_wait_ms = 60000; /* however long this process stands still */
    cr_assert_eq(rc_wire_open(&wire, "here", 77, 1000, &rig.metrics), 0);
    const struct rc_shared_setup setup = {.link = (struct rc_redis_link *)&link,
                                          .timers = &fake.timers,
                                          .router = &router,
                                          .history = &rig.store,
                                          .wire = &wire,
                                          .config = &rig.config,
                                          .instance_id = "here",
                                          .boot = 77};
    cr_assert_eq(rc_shared_open(&shared, &setup), 0);
    cr_assert(shared.open);
}

static void close_all(void)
{
    rc_shared_close(&shared);
    rc_wire_close(&wire);
    history_rig_close(&rig);
}

TestSuite(shared, .init = open_all, .fini = close_all);

static char sent_epoch[] = "5";
static uint32_t sent_last; /* 0 = the last one that is sent */

static void subscribed(const char *name, enum rc_redis_change change)
{
    rc_shared_changed(&shared, rc_channel_hash(name, strlen(name)), rc_span_text(name), change);
}

static void received_as(const char *name, uint64_t offset, const char *message)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "{\"epoch\":\"%s\",\"offset\":%llu,%s}", sent_epoch, (unsigned long long)offset,
                   message);
    cr_assert(rc_shared_received(&shared, rc_span_text(name), rc_span_text(text)));
}

static void received(const char *name, uint64_t offset)
{
    received_as(name, offset, "\"payload\":1");
}

static struct rc_shared_channel *channel_of(const char *name)
{
    struct rc_shared_channel *channel =
        rc_shared_table_find(&shared.table, rc_channel_hash(name, strlen(name)), rc_span_text(name));
    cr_assert(channel != NULL);
    return channel;
}

static redisReply text_reply(char *text)
{
    return (redisReply){.type = REDIS_REPLY_STRING, .str = text, .len = strlen(text)};
}

/* Redis sends what it has of epoch 5: a message of each of those. */
static void sends(uint32_t count, char *const *proofs)
{
    char ids[8][8];
    char message[] = "{\"payload\":1}";
    char time[] = "1000";
    char none[] = "";
    char last[8];
    redisReply texts[8][7];
    redisReply *lists[8][6];
    redisReply pairs[8][2];
    redisReply *both[8][2];
    redisReply *entries[8];
    cr_assert_leq(count, 8);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "%u-0", i + 1);
        for (uint32_t j = 0; j < 6; j++) {
            texts[i][j] = text_reply(j == 1 ? proofs[i] : j == 3 ? time : j == 5 ? message : none);
            lists[i][j] = &texts[i][j];
        }
        pairs[i][0] = text_reply(ids[i]);
        pairs[i][1] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 6, .element = lists[i]};
        both[i][0] = &pairs[i][0];
        both[i][1] = &pairs[i][1];
        texts[i][6] = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = 2, .element = both[i]};
        entries[i] = &texts[i][6];
    }
    (void)snprintf(last, sizeof(last), "%u", sent_last != 0 ? sent_last : count);
    redisReply items[] = {text_reply(sent_epoch),
                          text_reply(last),
                          text_reply(none),
                          text_reply(time),
                          {.type = REDIS_REPLY_ARRAY, .elements = count, .element = entries},
                          text_reply(none)};
    redisReply *pointers[RC_ARRAY_COUNT(items)];
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(items); i++) {
        pointers[i] = &items[i];
    }
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = RC_ARRAY_COUNT(items), .element = pointers};
    fake_answer("EVAL script", &reply);
}

static void nothing_yet(void)
{
    sends(0, NULL);
}

/* Redis refuses all that it is asked until nothing more is: how often. */
static uint32_t refuse_all(void)
{
    uint32_t count = 0;
    for (; fake.count > 0; count++) {
        fake_error("EVAL script", REFUSED);
    }
    return count;
}

/* --- what is refused ------------------------------------------------------------------------------------------------- */

static void many_refused(void)
{
    for (uint32_t i = 0; i < CHANNELS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "c%u", i);
        subscribed(name, RC_REDIS_CHANGE_HERE);
    }
    cr_assert_eq(refuse_all(), CHANNELS);
}

Test(shared, those_that_are_refused_are_not_looked_at_for_each_other_one)
{
    many_refused();
    fake.up_asked = 0;
    subscribed("new", RC_REDIS_CHANGE_HERE);
    cr_assert_eq(refuse_all(), 1);
    cr_assert_lt(fake.up_asked, 20, "%llu steps", (unsigned long long)fake.up_asked);
}

Test(shared, those_that_are_due_again_are_a_few_steps_each)
{
    many_refused();
    fake.up_asked = 0;
    fake_pass(2 * RC_REDIS_AGAIN_MS);
    cr_assert_eq(refuse_all(), CHANNELS);
    cr_assert_lt(fake.up_asked, 5 * CHANNELS, "%llu steps", (unsigned long long)fake.up_asked);
}

Test(shared, one_that_is_refused_is_asked_for_again_ever_more_seldom)
{
    subscribed("news", RC_REDIS_CHANGE_HERE);
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t before_ms = rc_clock_ms();
        cr_assert_eq(refuse_all(), 1);
        cr_assert_geq(channel_of("news")->retry_ms, before_ms + (RC_REDIS_AGAIN_MS << i));
        fake_pass((RC_REDIS_AGAIN_MS << i) + RC_SHARED_TICK_MS);
    }
    nothing_yet();
    cr_assert_eq(channel_of("news")->state, RC_SHARED_LIVE);
    cr_assert(!channel_of("news")->queued);
}

Test(shared, a_subscription_that_is_back_is_fetched_at_once)
{
    subscribed("news", RC_REDIS_CHANGE_HERE);
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(refuse_all(), 1);
        fake_pass(RC_REDIS_AGAIN_MAX_MS);
    }
    cr_assert_eq(refuse_all(), 1);
    subscribed("news", RC_REDIS_CHANGE_BACK);
    cr_assert_eq(fake.count, 1, "whatever the former connection was refused");
    cr_assert_eq(refuse_all(), 1);
    fake_pass(RC_REDIS_AGAIN_MS + RC_SHARED_TICK_MS);
    cr_assert_eq(fake.count, 1, "it is the first refusal");
}

Test(shared, those_that_wait_to_be_asked_for_again_are_in_the_order_of_time)
{
    for (uint32_t i = 0; i < 8; i++) { /* the first ones are refused once more than those after them */
        char name[16];
        (void)snprintf(name, sizeof(name), "c%u", i);
        subscribed(name, RC_REDIS_CHANGE_HERE);
        (void)refuse_all();
        fake_pass((RC_REDIS_AGAIN_MS << i) + RC_SHARED_TICK_MS);
        (void)refuse_all();
    }
    uint64_t before_ms = 0;
    uint32_t count = 0;
    const struct rc_shared_channel *channel;
    TAILQ_FOREACH(channel, &shared.later, in_fetch)
    {
        cr_assert_leq(before_ms, channel->retry_ms);
        before_ms = channel->retry_ms;
        count++;
    }
    cr_assert_eq(count, 8);
}

Test(shared, all_that_were_refused_are_asked_for_at_once_over_a_new_connection)
{
    many_refused();
    for (uint32_t i = 0; i < 6; i++) {
        fake_pass(RC_REDIS_AGAIN_MAX_MS + RC_SHARED_TICK_MS);
        cr_assert_eq(refuse_all(), CHANNELS);
    }
    cr_assert_eq(fake.count, 0);
    fake.observer->changed(fake.observer->context, false);
    fake.observer->changed(fake.observer->context, true); /* the subscriptions stayed */
    cr_assert_eq(refuse_all(), CHANNELS);
    cr_assert_leq(channel_of("c7")->retry_ms, rc_clock_ms() + RC_REDIS_AGAIN_MS, "from the beginning");
}

/* --- which are shared ------------------------------------------------------------------------------------------------ */

/* All channels are asked for it when something was missed. */
Test(shared, what_is_shared_is_known_without_a_name_in_redis)
{
    uint32_t shared_count = 0;
    prints = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        shared_count += rc_shared_covers(&shared, RC_SPAN("orders:17"));
    }
    const uint64_t built = prints;
    cr_assert_eq(shared_count, 1000);
    cr_assert_eq(built, 0);
    cr_assert(rc_shared_covers(&shared, RC_SPAN("orders:{a}")));
    cr_assert_not(rc_shared_covers(&shared, RC_SPAN("orders:a}b")));
}

/* --- messages that wait for it --------------------------------------------------------------------------------------- */

Test(shared, a_message_waits_for_those_before_it_however_long_they_are_fetched)
{
    subscribed("news", RC_REDIS_CHANGE_HERE);
    nothing_yet();
    subscribed("news", RC_REDIS_CHANGE_BACK);
    cr_assert_eq(refuse_all(), 1);
    channel_of("news")->since_ms = 0; /* for hours */
    received("news", 2);
    fake_pass(100);
    cr_assert_eq(gaps, 0, "it came just now");
    cr_assert_eq(placed_count, 0);
    (void)refuse_all(); /* where this process stood still */
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(gaps, 1);
    cr_assert_eq(placed_count, 1);
    cr_assert_eq(placed_last, 2);
    received("news", 3);
    cr_assert_eq(placed_last, 3);
}

Test(shared, who_waits_is_given_up_while_its_fetch_is_to_be_tried_again)
{
    subscribed("news", RC_REDIS_CHANGE_HERE);
    nothing_yet();
    received("news", 2);
    cr_assert_eq(refuse_all(), 1);
    cr_assert(channel_of("news")->queued);
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(gaps, 1);
    cr_assert_eq(placed_last, 2);
    cr_assert(!channel_of("news")->queued);
}

/* --- alone ----------------------------------------------------------------------------------------------------------- */

/* A message was delivered alone, and Redis answers this; the stream is being read. */
static void alone_before(const redisReply *answer)
{
    struct rc_envelope_view view = history_rig_record(&rig, "news", "", "1", 1);
    view.head.sequence = 7;
    subscribed("news", RC_REDIS_CHANGE_HERE);
    nothing_yet();
    cr_assert(rc_shared_publish(&shared, &view, 0, 0, false));
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_ALONE);
    cr_assert_eq(placed_count, 1, "alone");
    cr_assert_eq(gaps, 1);
    script_ops.ended(script_ops.context, RC_SPAN(RC_CHANNEL_BRIDGE_HEAD "news"), 7, answer);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_FETCHING);
}

/* The same where it is found to be the second one in Redis. */
static void alone_and_back(void)
{
    const redisReply second = {.type = REDIS_REPLY_INTEGER, .integer = 2};
    alone_before(&second);
}

/* A worker that has a message of an epoch reads from the copy what does not come down before the next: what its clients were told alone, too. */
Test(shared, what_was_delivered_alone_does_not_come_between_what_is_heard_meanwhile)
{
    char there[] = "there:1:1";
    char here[] = "here:77:7";
    char *const proofs[] = {there, here, there, there};
    alone_and_back();
    received("news", 1); /* of another host, whose message was before it */
    received("news", 3);
    sends(4, proofs);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_LIVE);
    cr_assert_eq(gaps, 2);
    cr_assert_eq(placed_count, 5, "all are kept");
    cr_assert_eq(fanned, 1u << 3 | 1u << 4, "and those behind it come down: %llu", (unsigned long long)fanned);
    received("news", 5);
    cr_assert_eq(fanned, 1u << 3 | 1u << 4 | 1u << 5);
}

/* The stream cannot be read: what was held goes out when it has waited for long enough. */
Test(shared, what_was_delivered_alone_does_not_come_between_what_is_given_up)
{
    alone_and_back();
    received("news", 1);
    received("news", 3);
    fake_pass(rig.config.redis.history_wait_ms + 100);
    fake_pass(2 * rig.config.redis.history_wait_ms + 200); /* and what is behind the hole */
    cr_assert_eq(placed_last, 3);
    cr_assert_eq(fanned, 1u << 3, "%llu", (unsigned long long)fanned);
}

/* Its offset is not told when it was sent twice, and is not among the newest any more: it is not behind the newest one. */
Test(shared, what_was_delivered_alone_and_is_somewhere_is_looked_for_before_the_newest)
{
    char there[] = "there:1:1";
    char *const proofs[] = {there, there, there, there};
    redisReply items[] = {
        text_reply(sent_epoch), {.type = REDIS_REPLY_STRING, .str = "3", .len = 1}, {.type = REDIS_REPLY_INTEGER}};
    redisReply *pointers[] = {&items[0], &items[1], &items[2]};
    const redisReply somewhere = {.type = REDIS_REPLY_ARRAY, .elements = 3, .element = pointers};
    alone_before(&somewhere);
    received("news", 1);
    sends(4, proofs);
    cr_assert_eq(fanned, 1u << 4, "%llu", (unsigned long long)fanned);
}

Test(shared, where_what_was_delivered_alone_stood_says_nothing_of_another_epoch)
{
    char there[] = "there:1:1";
    char *const proofs[] = {there, there, there};
    alone_and_back();
    sent_epoch[0] = '6';
    received("news", 1);
    sends(3, proofs);
    cr_assert_eq(fanned, 1u << 1 | 1u << 2 | 1u << 3, "%llu", (unsigned long long)fanned);
}

/* What came by its echo was not delivered alone, however late it is answered. */
Test(shared, late_answers_of_what_was_delivered_before_are_not_those_of_what_is_alone)
{
    const redisReply first = {.type = REDIS_REPLY_INTEGER, .integer = 1};
    const redisReply second = {.type = REDIS_REPLY_INTEGER, .integer = 2};
    struct rc_envelope_view view = history_rig_record(&rig, "news", "", "1", 1);
    subscribed("news", RC_REDIS_CHANGE_HERE);
    nothing_yet();
    view.head.sequence = 7;
    cr_assert(rc_shared_publish(&shared, &view, 0, 0, false));
    received_as("news", 1, "\"sourceInstance\":\"here\",\"payload\":1,\"boot\":77,\"seq\":7");
    cr_assert_eq(placed_last, 1);
    view.head.sequence = 8;
    cr_assert(rc_shared_publish(&shared, &view, 0, 0, false));
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_ALONE);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_ALONE_WAITING), 1);
    script_ops.ended(script_ops.context, RC_SPAN(RC_CHANNEL_BRIDGE_HEAD "news"), 7, &first);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_RETURNING, "Redis answers, and has not what was delivered alone");
    script_ops.ended(script_ops.context, RC_SPAN(RC_CHANNEL_BRIDGE_HEAD "news"), 8, &second);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_FETCHING);
    cr_assert_eq(rc_metric_get(&rig.metrics, RC_METRIC_HISTORY_ALONE_WAITING), 0);
}

/* A first piece of the stream brought more than what was held, and then Redis says nothing. */
Test(shared, what_a_piece_of_the_stream_has_brought_is_not_gone_back_from)
{
    char there[] = "there:1:1";
    char *const proofs[] = {there, there, there, there};
    subscribed("news", RC_REDIS_CHANGE_HERE);
    nothing_yet();
    received("news", 3);
    sent_last = 8;
    sends(4, proofs);
    cr_assert_eq(placed_last, 4);
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(gaps, 0);
    cr_assert_eq(placed_count, 4);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_FETCHING, "the rest is still to come");
}

Test(shared, who_waits_is_given_up_while_redis_does_not_answer)
{
    subscribed("news", RC_REDIS_CHANGE_HERE);
    nothing_yet();
    received("news", 2);
    cr_assert_eq(fake.count, 1);
    cr_assert(channel_of("news")->fetching);
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(gaps, 1);
    cr_assert_eq(placed_last, 2);
    cr_assert_eq(channel_of("news")->state, RC_SHARED_LIVE);
    received("news", 3);
    cr_assert_eq(placed_last, 3);
    /* What is answered at last is of a place where nobody is any more: it is asked for anew. */
    received("news", 5);
    cr_assert_eq(placed_last, 3);
    nothing_yet();
    cr_assert_eq(placed_last, 3);
    cr_assert_eq(gaps, 1, "no epoch has ended");
    cr_assert_eq(fake.count, 1, "it is asked for from where it is");
    cr_assert(channel_of("news")->fetching);
}

/* However many are refused: none of them is looked at for those that wait. */
Test(shared, only_those_with_messages_that_wait_are_looked_at)
{
    many_refused();
    received("c3", 2);
    received("c5", 2);
    received("c3", 3);
    uint32_t count = 0;
    const struct rc_shared_channel *channel;
    TAILQ_FOREACH(channel, &shared.holding, in_holding)
    {
        count++;
    }
    cr_assert_eq(count, 2);
    fake_pass(rig.config.redis.history_wait_ms + 100);
    cr_assert_eq(placed_count, 3);
    cr_assert(TAILQ_EMPTY(&shared.holding));
    cr_assert_eq(shared.held_bytes, 0);
}
