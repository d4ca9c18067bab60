/* Questions about the cluster: answered by this host or by Redis, in time, each once, and never too many at a time. */
#include "tests/support/fake_redis.h"

#include "common/base/clock.h"
#include "relay/cluster/queries.h"
#include "tests/support/relay_host.h"

static struct relay_host host;
static struct rc_roster roster;
static struct rc_registry registry;
static struct rc_config config;
static struct rc_queries queries;
static struct rc_redis_link *const link_there =
    (struct rc_redis_link *)(uintptr_t)8; /* only its address is looked at */

static void open_all(void)
{
    relay_host_open(&host, 1, 65536, 65536);
    relay_host_start_worker(&host, 0);
    relay_host_start_relay(&host);
    (void)snprintf(host.control.instance_id, sizeof(host.control.instance_id), "a");
    rc_config_defaults(&config);
    cr_assert_eq(rc_roster_open(&roster, host.control.metrics), 0);
    registry.state = RC_REGISTRY_OWNED;
    fake.up = true;
    cr_assert_eq(
        rc_queries_open(&queries, &host.control, &config, &host.router, &roster, &fake.timers, link_there, &registry),
        0);
    const struct rc_client_ref one = {.random = 1, .slot = 1};
    const struct rc_client_ref two = {.random = 2, .slot = 2};
    rc_roster_add(&roster, RC_SPAN("room"), &one, RC_SPAN("u1"));
    rc_roster_add(&roster, RC_SPAN("room"), &two, (struct rc_span){0});
}

static void close_all(void)
{
    while (fake.count > 0) {
        fake_answer("", NULL);
    }
    rc_queries_close(&queries);
    rc_roster_close(&roster);
    relay_host_close(&host);
}

TestSuite(queries, .init = open_all, .fini = close_all);

static void ask_for(enum rc_query_kind kind, const char *channel, uint16_t limit)
{
    const struct rc_query_head head = {.kind = (uint8_t)kind, .limit = limit};
    const struct rc_envelope_view view = {.head = {.origin = {.random = 9, .slot = 4},
                                                   .data_bytes = sizeof(head),
                                                   .channel_bytes = (uint8_t)strlen(channel),
                                                   .request_id_bytes = 2},
                                          .channel = channel,
                                          .request_id = (const uint8_t *)"17",
                                          .data = (const uint8_t *)&head};
    rc_queries_take(&queries, 0, &view);
}

/* "code clients/users flags user=clients@instances …" of the next answer; "" when there is none. */
static const char *answer(void)
{
    static char text[512];
    struct rc_envelope_view view;
    struct rc_query_answer its = {0};
    struct rc_query_entry entry;
    uint32_t type;
    uint32_t count = 0;
    text[0] = '\0';
    if (!relay_host_down(&host, 0, &type, &view)) {
        return text;
    }
    cr_assert_eq(type, RC_DOWN_QUERY);
    cr_assert(view.head.origin.random == 9 && view.head.origin.slot == 4);
    cr_assert(view.head.request_id_bytes == 2 && memcmp(view.request_id, "17", 2) == 0);
    if (view.head.code == 0) {
        memcpy(&its, view.data, sizeof(its));
    }
    int at = snprintf(text, sizeof(text), "%u %llu/%llu %u", view.head.code, (unsigned long long)its.clients,
                      (unsigned long long)its.users, its.flags);
    struct rc_span rest = view.head.code == 0 ? rc_span_of(view.data + sizeof(its), view.head.data_bytes - sizeof(its))
                                              : (struct rc_span){0};
    for (; rc_query_entry_next(&rest, &entry); count++) {
        at += snprintf(text + at, sizeof(text) - (size_t)at, " %.*s=%u@%.*s", (int)entry.user.count, entry.user.bytes,
                       entry.clients, (int)entry.instances.count, entry.instances.bytes);
    }
    cr_assert(rest.count == 0 && count == its.count);
    return text;
}

static void pass(uint64_t in_ms)
{
    fake_pass(in_ms);
}

/* What the members' script returns. */
static void members(long long users, long long more, uint32_t count, const char *const *texts)
{
    redisReply items[10] = {{.type = REDIS_REPLY_INTEGER, .integer = users},
                            {.type = REDIS_REPLY_INTEGER, .integer = more}};
    redisReply *pointers[10];
    for (uint32_t i = 0; i < count; i++) {
        items[2 + i] =
            (redisReply){.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)texts[i], .len = strlen(texts[i])};
    }
    for (uint32_t i = 0; i < count + 2; i++) {
        pointers[i] = &items[i];
    }
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = count + 2, .element = pointers};
    fake_answer("EVAL script 1 ws:presence:members:room 2", &reply);
}

Test(queries, of_this_host_without_redis)
{
    rc_queries_close(&queries);
    cr_assert_eq(rc_queries_open(&queries, &host.control, &config, &host.router, &roster, &fake.timers, NULL, NULL), 0);
    ask_for(RC_QUERY_CHANNEL, "room", 0);
    cr_assert_str_eq(answer(), "0 2/1 0 =1@a u1=1@a");
    ask_for(RC_QUERY_CHANNEL, "room", 1);
    cr_assert_str_eq(answer(), "0 2/1 2 =1@a");
    ask_for(RC_QUERY_CHANNEL, "nobody", 0);
    cr_assert_str_eq(answer(), "0 0/0 0");
    ask_for(RC_QUERY_USER, "user:u1", 0);
    cr_assert_str_eq(answer(), "0 0/0 0");
    relay_host_interest(&host, 0, true, "user:u1");
    relay_host_run(&host);
    relay_host_read(&host, 0);
    ask_for(RC_QUERY_USER, "user:u1", 0);
    cr_assert_str_eq(answer(), "0 0/0 0 u1=0@a");
    ask_for(RC_QUERY_USERS, "", 0);
    cr_assert_str_eq(answer(), "0 0/1 0");
    cr_assert_str_eq(answer(), "", "each was answered once");
}

Test(queries, of_the_cluster_when_redis_has_answered)
{
    static const char *const texts[] = {"u1", "a:1,b:2", "", "b:4", "bad", "nothing", "late", "b:1"};
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    cr_assert_eq(fake.count, 0, "what the client has just done goes first");
    pass(0);
    fake_integer("HLEN ws:presence:channel:room", 7);
    cr_assert_str_eq(answer(), "");
    members(3, 1, 8, texts);
    cr_assert_str_eq(answer(), "0 7/3 2 u1=3@a,b =4@b late=1@b");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_REDIS_MALFORMED), 1);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_QUERIES), 0);
}

Test(queries, of_users)
{
    ask_for(RC_QUERY_USER, "user:u1", 0);
    ask_for(RC_QUERY_USER, "user:u2", 0);
    ask_for(RC_QUERY_USERS, "", 0);
    pass(0);
    fake_string("HGET ws:presence:users u1", "a,b");
    cr_assert_str_eq(answer(), "0 0/0 0 u1=0@a,b");
    const redisReply nil = {.type = REDIS_REPLY_NIL};
    fake_answer("HGET ws:presence:users u2", &nil);
    cr_assert_str_eq(answer(), "0 0/0 0");
    fake_integer("HLEN ws:presence:users", 12);
    cr_assert_str_eq(answer(), "0 0/12 0");
    config.presence.users = false; /* nobody writes them */
    ask_for(RC_QUERY_USERS, "", 0);
    cr_assert_str_eq(answer(), "0 0/0 1");
}

Test(queries, redis_takes_too_long)
{
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    pass(0);
    pass(RC_QUERY_MS - 100);
    cr_assert_str_eq(answer(), "");
    pass(RC_QUERY_MS + 10);
    cr_assert_str_eq(answer(), "0 2/1 1 =1@a u1=1@a");
    fake_integer("HLEN ws:presence:channel:room", 7);
    members(0, 0, 0, NULL);
    cr_assert_str_eq(answer(), "", "only once");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_QUERIES), 0);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_QUERIES_LOCAL), 1);
}

Test(queries, redis_is_lost_away_or_answers_with_an_error)
{
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    pass(0);
    fake_error("HLEN", "LOADING");
    fake_error("EVAL", "LOADING");
    cr_assert_str_eq(answer(), "0 2/1 1 =1@a u1=1@a");
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    pass(0);
    fake_lose();
    cr_assert_str_eq(answer(), "0 2/1 1 =1@a u1=1@a");
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    cr_assert_str_eq(answer(), "0 2/1 1 =1@a u1=1@a");
    fake.up = true;
    fake.full = true;
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    pass(0);
    cr_assert_str_eq(answer(), "0 2/1 1 =1@a u1=1@a");
    fake.full = false;
    registry.state = RC_REGISTRY_REFUSED;
    ask_for(RC_QUERY_CHANNEL, "room", 2);
    cr_assert_str_eq(answer(), "0 2/1 1 =1@a u1=1@a");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_QUERIES), 0);
}

Test(queries, too_many_and_broken_ones_are_refused)
{
    for (uint32_t i = 0; i < RC_QUERIES_MAX; i++) {
        ask_for(RC_QUERY_CHANNEL, "room", 1);
    }
    cr_assert_str_eq(answer(), "");
    ask_for(RC_QUERY_CHANNEL, "room", 1);
    cr_assert_str_eq(answer(), "503 0/0 0");
    ask_for((enum rc_query_kind)9, "room", 1);
    cr_assert_str_eq(answer(), "400 0/0 0");
    ask_for(RC_QUERY_CHANNEL, "", 1);
    cr_assert_str_eq(answer(), "400 0/0 0");
    ask_for(RC_QUERY_USER, "room", 1);
    cr_assert_str_eq(answer(), "400 0/0 0");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_QUERIES_REFUSED), 4);
    fake.up = false;
    pass(0); /* all are answered here */
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_QUERIES), 0);
}

Test(queries, an_answer_fits_its_ring)
{
    for (uint32_t i = 0; i < 1000; i++) {
        char user[200];
        const struct rc_client_ref ref = {.random = 100 + i, .slot = 100 + i};
        memset(user, 'u', sizeof(user));
        (void)snprintf(user, 5, "%04u", i);
        user[4] = 'u';
        rc_roster_add(&roster, RC_SPAN("big"), &ref, rc_span_of(user, sizeof(user)));
    }
    fake.up = false;
    ask_for(RC_QUERY_CHANNEL, "big", 1000);
    struct rc_envelope_view view;
    struct rc_query_answer its;
    uint32_t type;
    cr_assert(relay_host_down(&host, 0, &type, &view));
    memcpy(&its, view.data, sizeof(its));
    cr_assert(its.clients == 1000 && its.users == 1000 && its.count > 50 && its.count < 100);
    cr_assert_eq(its.flags, RC_QUERY_MORE | RC_QUERY_LOCAL);
    cr_assert_leq(view.head.data_bytes, 65536 / 4);
}

Test(queries, instances_this_one_first)
{
    struct rc_query_instance one;
    struct rc_envelope_view view;
    uint32_t type;
    registry.instance_count = 1;
    registry.instances[0] = (struct rc_registry_instance){
        .id = "b", .client_count = 7, .started_ms = 1000, .heard_ms = rc_clock_ms() - 5000};
    ask_for(RC_QUERY_INSTANCES, "", 0);
    cr_assert(relay_host_down(&host, 0, &type, &view));
    struct rc_span rest =
        rc_span_of(view.data + sizeof(struct rc_query_answer), view.head.data_bytes - sizeof(struct rc_query_answer));
    cr_assert(rc_query_instance_next(&rest, &one));
    cr_assert(rc_span_equal(one.id, RC_SPAN("a")));
    cr_assert(rc_query_instance_next(&rest, &one));
    cr_assert(rc_span_equal(one.id, RC_SPAN("b")) && one.clients == 7 && one.started_ms == 1000);
    cr_assert(one.heard_ms >= 5000 && one.heard_ms < 60000);
    cr_assert(!rc_query_instance_next(&rest, &one));
}
