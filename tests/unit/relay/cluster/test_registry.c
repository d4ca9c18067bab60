/* Ownership of the instance id, other instances, and cleaning up after the dead, with Redis' answers given by hand. */
#include "tests/support/fake_redis.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "relay/cluster/registry.h"

static struct rc_registry registry;
static struct rc_metrics metrics;
static struct rc_config_cluster config = {.heartbeat_interval_ms = 30000, .dead_instance_threshold_ms = 90000};
static uint32_t registered_count;
static uint32_t unregistered_count;
static uint32_t reachable_count;
static char cleaned_users[8][32];
static uint32_t cleaned_user_count;

static void registered(void *context)
{
    (void)context;
    registered_count++;
}

static void unregistered(void *context)
{
    (void)context;
    unregistered_count++;
}

static int clean_user(void *context, struct rc_span user, const char *instance, rc_redis_replied *replied,
                      void *replied_context)
{
    (void)context;
    (void)snprintf(cleaned_users[cleaned_user_count++], sizeof(cleaned_users[0]), "%.*s on %s%s", (int)user.count,
                   user.bytes, instance, replied == NULL ? " adopted" : "");
    if (replied != NULL) {
        const struct rc_span argv[] = {RC_SPAN("LEAVE"), user};
        return rc_redis_command(NULL, replied, replied_context, 1, 2, argv);
    }
    return 0;
}

static char gone_member[64];

static void member_gone(void *context, struct rc_span channel, struct rc_span user, bool gone, bool vacated,
                        uint32_t left)
{
    (void)context;
    (void)snprintf(gone_member, sizeof(gone_member), "%.*s: %.*s, %u left%s%s", (int)channel.count, channel.bytes,
                   (int)user.count, user.bytes, left, gone ? ", gone" : "", vacated ? ", vacated" : "");
}

/* What is told of a page of members: one of the dead instance's users, and how many clients it has elsewhere. */
struct gone {
    const char *user;
    long long left;
    long long vacated;
};

static void fake_gone(const char *text, const char *cursor, const struct gone *gone)
{
    redisReply at = {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)cursor, .len = strlen(cursor)};
    redisReply user = {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)gone->user, .len = strlen(gone->user)};
    redisReply vacated = {.type = REDIS_REPLY_INTEGER, .integer = gone->vacated};
    redisReply left = {.type = REDIS_REPLY_INTEGER, .integer = gone->left};
    redisReply *all[] = {&at, &vacated, &user, &left};
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 4, .element = all};
    fake_answer(text, &reply);
}

static void reachable(void *context)
{
    (void)context;
    reachable_count++;
}

static void open_all(void)
{
    const struct rc_registry_ops ops = {.registered = registered,
                                        .unregistered = unregistered,
                                        .reachable = reachable,
                                        .cleanup = {.user = clean_user, .member = member_gone}};
    rc_registry_open(&registry, NULL, &fake.timers, &metrics, "a", 0x10, 0xabc, &config, &ops);
    cr_assert_eq(registry.state, RC_REGISTRY_AWAY);
    fake_return();
}

static void close_all(void)
{
    fake_lose();
    rc_registry_close(&registry);
}

TestSuite(registry, .init = open_all, .fini = close_all);

/* The predecessor of this id has left nothing. */
static void inherit_nothing(void)
{
    fake_ok("SET ws:instance:a:cleanup 00000abc10 NX PX 10000");
    fake_integer("EVAL script 1 ws:instance:a:cleanup", 1);
    fake_scan("SSCAN ws:instance:a:index 0", "0", 0, NULL);
    fake_integer("EVAL script 1 ws:instance:a:cleanup", 1);
    fake_pass(10);
    fake_integer("EXISTS ws:instance:a:cleanup", 0);
    fake_integer("SADD ws:instances a", 1);
}

static void own(void)
{
    fake_string("EVAL script 1 ws:instance:a:owner 00000abc10 90000", "new");
    inherit_nothing();
    cr_assert(rc_registry_owned(&registry));
    cr_assert_eq(registered_count, 1);
}

/* `b` is listed and has been silent for the threshold. */
static void find_dead(void)
{
    own();
    rc_registry_heard(&registry, RC_SPAN("b"), 5);
    registry.instances[0].listed = true;
    const uint64_t now_ms = rc_clock_ms();
    registry.instances[0].heard_ms = now_ms - 90000;
    registry.list_ms = now_ms + RC_REGISTRY_CHECK_MS;
    fake_pass(RC_REGISTRY_CHECK_MS + 10);
    fake_ok("SET ws:instance:b:cleanup 00000abc10 NX PX 10000");
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1);
}

Test(registry, free_id_is_owned)
{
    own();
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_INSTANCE_OWNED), 1);
}

Test(registry, live_rival_refuses_dead_one_is_replaced)
{
    fake_string("EVAL", "feed:7");
    cr_assert_eq(registry.state, RC_REGISTRY_CHALLENGED);
    cr_assert_str_eq(fake.published[0], "ws:instance:a:claim 00000abc10");
    fake_pass(RC_REGISTRY_CHALLENGE_MS + 10);
    fake_string("EVAL script 1 ws:instance:a:owner 00000abc10 90000 feed:7", "feed:8");
    cr_assert(rc_registry_refused(&registry));
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_INSTANCE_TAKEN), 1);
    cr_assert_eq(registered_count, 0);
    /* Asked again after a heartbeat interval; it stays refused while it asks. */
    fake_pass(config.heartbeat_interval_ms + 10);
    fake_string("EVAL", "feed:9");
    cr_assert(rc_registry_refused(&registry));
    fake_pass(RC_REGISTRY_CHALLENGE_MS + 10);
    fake_string("EVAL script 1 ws:instance:a:owner 00000abc10 90000 feed:9", "new");
    cr_assert(!rc_registry_refused(&registry));
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_INSTANCE_TAKEN), 0);
    inherit_nothing();
    cr_assert(rc_registry_owned(&registry));
}

/* BUSY while a script runs: nobody would clean up after who is not in the list. */
Test(registry, a_place_in_the_list_that_redis_refused_is_asked_for_with_every_heartbeat)
{
    fake_string("EVAL script 1 ws:instance:a:owner 00000abc10 90000", "new");
    fake_ok("SET ws:instance:a:cleanup 00000abc10 NX PX 10000");
    fake_integer("EVAL script 1 ws:instance:a:cleanup", 1);
    fake_scan("SSCAN ws:instance:a:index 0", "0", 0, NULL);
    fake_integer("EVAL script 1 ws:instance:a:cleanup", 1);
    fake_pass(10);
    fake_integer("EXISTS ws:instance:a:cleanup", 0);
    fake_error("SADD ws:instances a", "BUSY Redis is busy running a script");
    cr_assert(rc_registry_owned(&registry));
    rc_registry_renew(&registry);
    fake_string("EVAL script 1 ws:instance:a:owner", "own");
    fake_integer("SADD ws:instances a", 1);
    rc_registry_renew(&registry);
    fake_string("EVAL script 1 ws:instance:a:owner", "own");
    cr_assert_eq(fake.count, 0);
}

Test(registry, owner_answers_a_claim)
{
    own();
    registry.claims.message(&registry, RC_SPAN("ws:instance:a:claim"), RC_SPAN("feed"));
    fake_string("EVAL script 1 ws:instance:a:owner", "own");
    registry.claims.message(&registry, RC_SPAN("ws:instance:a:claim"), RC_SPAN("00000abc10"));
    cr_assert_eq(fake.count, 0, "its own question");
}

Test(registry, lapsed_owner_registers_everything_again)
{
    own();
    rc_registry_renew(&registry);
    fake_string("EVAL", "own");
    cr_assert_eq(registered_count, 1);
    rc_registry_renew(&registry);
    fake_string("EVAL", "new");
    cr_assert_eq(unregistered_count, 1);
    fake_integer("EXISTS ws:instance:a:cleanup", 1); /* somebody is at it: waits */
    cr_assert_eq(registered_count, 1);
    fake_pass(250);
    fake_integer("EXISTS ws:instance:a:cleanup", 0);
    fake_integer("SADD ws:instances a", 1);
    cr_assert_eq(registered_count, 2);
}

Test(registry, loss_and_return)
{
    own();
    fake_lose();
    cr_assert_eq(unregistered_count, 1);
    cr_assert_eq(registry.state, RC_REGISTRY_AWAY);
    fake_return();
    fake_string("EVAL", "own");
    fake_integer("EXISTS ws:instance:a:cleanup", 0);
    cr_assert_eq(registered_count, 2);
}

Test(registry, answers_of_an_earlier_round_are_nothing)
{
    const struct fake_command old = fake.commands[0];
    cr_assert_eq(fake.count, 1);
    fake.count = 0;
    fake_lose();
    fake_return();
    char text[] = "new";
    const redisReply reply = {.type = REDIS_REPLY_STRING, .str = text, .len = 3};
    old.replied(old.context, &reply);
    cr_assert_eq(registry.state, RC_REGISTRY_CLAIMING);
}

Test(registry, dead_instance_is_cleaned_up_after)
{
    static const char *const index[] = {
        "csubs:BTC", "isubs-instances:BTC", "pws:presence:channel:r", "uu1", "cevil", "x", "mws:presence:members:r",
        "mevil"};
    static const char *const members[] = {"b:b~1", "b:b~2"};
    static const char *const fields[] = {"b~1", "u1"};
    find_dead();
    fake_integer("EXISTS ws:instance:b:owner", 0);
    fake_scan("SSCAN ws:instance:b:index 0", "0", 8, index);
    fake_scan("SSCAN subs:BTC 0 MATCH b:* COUNT", "0", 2, members);
    fake_integer("SREM subs-instances:BTC b", 1);
    fake_scan("HSCAN ws:presence:channel:r 0 MATCH b~* COUNT", "0", 2, fields);
    fake_integer("LEAVE u1", 1);
    const struct gone first = {"u1", 3, 0};
    const struct gone last = {"u2", 0, 1};
    fake_gone("EVAL script 1 ws:presence:members:r b 0 256", "17", &first);
    fake_integer("SREM subs:BTC b:b~1 b:b~2", 2);
    fake_integer("SREM ws:instance:b:index isubs-instances:BTC", 1);
    fake_integer("HDEL ws:presence:channel:r b~1", 1);
    fake_integer("SREM ws:instance:b:index uu1", 1);
    cr_assert_str_eq(gone_member, "r: u1, 3 left");
    fake_gone("EVAL script 1 ws:presence:members:r b 17 256", "0", &last);
    cr_assert_str_eq(gone_member, "r: u2, 0 left, gone, vacated");
    fake_integer("SREM ws:instance:b:index csubs:BTC", 1);
    fake_integer("SREM ws:instance:b:index pws:presence:channel:r", 1);
    fake_integer("SREM ws:instance:b:index mws:presence:members:r", 1);
    cr_assert_str_eq(cleaned_users[0], "u1 on b");
    /* A second scan finds nothing: done. */
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1);
    fake_integer("EXISTS ws:instance:b:owner", 0);
    fake_scan("SSCAN ws:instance:b:index 0", "0", 0, NULL);
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1);
    fake_integer("EXISTS ws:instance:b:owner", 0);
    fake_scan("SSCAN ws:instance:b:index 0", "0", 0, NULL);
    fake_integer("DEL ws:instance:b:index", 0);
    fake_integer("SREM ws:instances b", 1);
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1);
    cr_assert_eq(registry.instance_count, 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_INSTANCE_CLEANUPS), 1);
}

Test(registry, one_that_is_back_is_left_alone)
{
    find_dead();
    fake_integer("EXISTS ws:instance:b:owner", 1);
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1); /* unlocks */
    cr_assert_eq(fake.count, 0);
    cr_assert(!registry.cleanup.running);
    cr_assert_eq(registry.instance_count, 1);
}

/* Whose heartbeats do not come, or whose key holds longer than this instance's threshold, is looked at time and again: the dead get their turn all the
 * same. */
Test(registry, one_that_lives_and_is_silent_holds_no_dead_one_up)
{
    own();
    rc_registry_heard(&registry, RC_SPAN("b"), 5);
    rc_registry_heard(&registry, RC_SPAN("c"), 5);
    registry.list_ms = rc_clock_ms() + RC_REGISTRY_CHECK_MS;
    for (uint32_t i = 0; i < 2; i++) {
        registry.instances[i].listed = true;
        registry.instances[i].heard_ms = rc_clock_ms() - 90000 + i;
    }
    fake_pass(RC_REGISTRY_CHECK_MS + 10);
    fake_ok("SET ws:instance:b:cleanup 00000abc10 NX PX 10000");
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1);
    registry.config.heartbeat_interval_ms = 100;
    fake_integer("EXISTS ws:instance:b:owner", 1);
    registry.config.heartbeat_interval_ms = 30000;          /* the list is not read again */
    fake_integer("EVAL script 1 ws:instance:b:cleanup", 1); /* unlocks */
    fake_pass(2 * RC_REGISTRY_CHECK_MS + 20);
    fake_ok("SET ws:instance:c:cleanup 00000abc10 NX PX 10000");
}

Test(registry, lost_lock_and_loss_of_redis_stop_a_cleanup)
{
    static const char *const index[] = {"csubs:BTC", "csubs:ETH"};
    find_dead();
    fake_integer("EXISTS ws:instance:b:owner", 0);
    fake_scan("SSCAN ws:instance:b:index 0", "0", 2, index);
    fake_lose();
    cr_assert(!registry.cleanup.running);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_INSTANCE_CLEANUPS), 0);
}

Test(registry, predecessors_users_are_taken_over)
{
    static const char *const index[] = {"csubs:BTC", "uu1"};
    fake_string("EVAL", "new");
    fake_ok("SET ws:instance:a:cleanup");
    fake_integer("EVAL", 1);
    fake_scan("SSCAN ws:instance:a:index 0", "0", 2, index);
    cr_assert_str_eq(cleaned_users[0], "u1 on a adopted");
    fake_scan("SSCAN subs:BTC 0 MATCH a:*", "0", 0, NULL);
    fake_integer("SREM ws:instance:a:index csubs:BTC", 1);
    fake_integer("EVAL", 1);
    fake_scan("SSCAN ws:instance:a:index 0", "0", 1, index + 1);
    fake_integer("EVAL", 1);
    fake_scan("SSCAN ws:instance:a:index 0", "0", 1, index + 1);
    fake_integer("EVAL", 1);
    fake_pass(10);
    fake_integer("EXISTS ws:instance:a:cleanup", 0);
    cr_assert(rc_registry_owned(&registry));
}

Test(registry, ids_that_are_none_are_not_kept)
{
    own();
    rc_registry_heard(&registry, RC_SPAN(""), 1);
    rc_registry_heard(&registry, RC_SPAN("a"), 1);
    rc_registry_heard(&registry, RC_SPAN("x*"), 1);
    rc_registry_heard(&registry, RC_SPAN("x:y"), 1);
    cr_assert_eq(registry.instance_count, 0);
    char id[16];
    for (uint32_t i = 0; i < RC_REGISTRY_INSTANCES_MAX + 10; i++) {
        (void)snprintf(id, sizeof(id), "i%u", i);
        rc_registry_heard(&registry, rc_span_text(id), 1);
    }
    cr_assert_eq(registry.instance_count, RC_REGISTRY_INSTANCES_MAX);
}

/* As if the file had cluster.advertise. */
static void own_reachable(void)
{
    (void)snprintf(registry.address, sizeof(registry.address), "10.0.0.1:80");
    fake_string("EVAL script 1 ws:instance:a:owner 00000abc10 90000", "new");
    inherit_nothing();
    fake_ok("SET ws:instance:a:address 10.0.0.1:80 PX 90000");
}

Test(registry, its_address_stands_beside_the_owner_key_and_goes_with_it)
{
    own_reachable();
    rc_registry_renew(&registry);
    fake_string("EVAL script 1 ws:instance:a:owner", "own");
    fake_ok("SET ws:instance:a:address 10.0.0.1:80 PX 90000");
    rc_registry_leave(&registry);
    fake_integer("DEL ws:instance:a:address", 1);
    fake_integer("SREM ws:instances a", 1);
    fake_integer("EVAL script 1 ws:instance:a:owner", 1);
    cr_assert(registry.left);
    cr_assert_eq(fake.count, 0);
}

Test(registry, addresses_of_others_are_asked_for_and_checked)
{
    own_reachable();
    rc_registry_heard(&registry, RC_SPAN("b"), 5);
    fake_string("GET ws:instance:b:address", "10.0.0.2:80");
    cr_assert_str_eq(registry.instances[0].address, "10.0.0.2:80");
    cr_assert_eq(reachable_count, 1);
    rc_registry_heard(&registry, RC_SPAN("b"), 5);
    cr_assert_eq(fake.count, 0, "not with every heartbeat");
    static const char *const wrong[] = {"example.com:80", "*:80", "80", "", "unix:", "10.0.0.2:0"};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        registry.instances[0].asked_ms -= RC_REGISTRY_CHECK_MS;
        rc_registry_heard(&registry, RC_SPAN("b"), 5);
        fake_string("GET ws:instance:b:address", wrong[i]);
        cr_assert_str_eq(registry.instances[0].address, "", "%s", wrong[i]);
    }
    cr_assert_eq(reachable_count, 2, "told once that it is not reached any more");
    registry.instances[0].asked_ms -= RC_REGISTRY_CHECK_MS;
    rc_registry_heard(&registry, RC_SPAN("b"), 5);
    fake_string("GET ws:instance:b:address", "[2001:db8::1]:80");
    cr_assert_eq(reachable_count, 3);
}

Test(registry, who_is_not_reached_himself_asks_nobody)
{
    own();
    rc_registry_heard(&registry, RC_SPAN("b"), 5);
    cr_assert_eq(fake.count, 0);
}
