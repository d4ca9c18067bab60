/* Users online and clients in channels: what is written to Redis when, and what waits for the delay. */
#include "tests/support/fake_redis.h"

#include "common/base/clock.h"
#include "relay/cluster/presence.h"

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_entries entries;
static struct rc_presence presence;
static struct rc_wire wire;
static struct rc_bridge bridge;
static char delivered[256];
static const struct rc_client_ref client = {.random = 7, .slot = 3, .worker = 1};

static bool deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    (void)context;
    (void)type;
    (void)snprintf(delivered, sizeof(delivered), "%.*s %.*s", view->head.channel_bytes, view->channel,
                   (int)view->head.data_bytes, view->data);
    return true;
}

static int write_entry(void *context, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                       void *replied_context)
{
    (void)context;
    return rc_presence_write(&presence, entry, add, replied, replied_context);
}

static void open_all(void)
{
    const struct rc_entries_ops ops = {.write = write_entry};
    rc_config_defaults(&config);
    config.namespaces[0].presence = true;
    config.presence.offline_delay_ms = 5000;
    wire = (struct rc_wire){.message_bytes_max = 1000, .metrics = &metrics};
    bridge = (struct rc_bridge){.timers = &fake.timers, .wire = &wire, .host = {.deliver = deliver}};
    fake.up = true;
    cr_assert_eq(rc_entries_open(&entries, NULL, &fake.timers, &metrics, "a", &ops), 0);
    cr_assert_eq(rc_presence_open(&presence, &bridge, &entries, &config, "a", 1), 0);
    rc_entries_registered(&entries, true);
}

static void close_all(void)
{
    rc_presence_close(&presence);
    rc_entries_close(&entries);
}

TestSuite(presence, .init = open_all, .fini = close_all);

static void interest(const char *channel, bool wanted)
{
    rc_presence_interest(&presence, rc_span_text(channel), wanted);
    fake_pass(0);
}

static void join(const char *channel)
{
    char text[128];
    interest(channel, true);
    (void)snprintf(text, sizeof(text), "SADD ws:instance:a:index u%s", channel + 5);
    fake_integer(text, 1);
    (void)snprintf(
        text, sizeof(text),
        "EVAL script 1 ws:presence:users %s a ws:presence {\"event\":\"player:online\",\"userId\":\"%s\",\"timestamp\":",
        channel + 5, channel + 5);
    fake_integer(text, 1);
}

Test(presence, user_comes_and_goes_after_the_delay)
{
    join("user:u1");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_PRESENCE_USERS), 1);
    interest("user:u1", false);
    fake_pass(4000);
    cr_assert_eq(fake.count, 0);
    fake_pass(5010);
    fake_integer("EVAL script 1 ws:presence:users u1 a ws:presence {\"event\":\"player:offline\",\"userId\":\"u1\"", 1);
    fake_integer("SREM ws:instance:a:index uu1", 1);
    cr_assert_eq(entries.count, 0);
}

Test(presence, back_in_time_is_no_event)
{
    join("user:u1");
    interest("user:u1", false);
    interest("user:u1", true);
    fake_pass(10000);
    cr_assert_eq(fake.count, 0);
    cr_assert(rc_entries_settled(&entries));
}

Test(presence, many_leave_in_their_order)
{
    join("user:u1");
    join("user:u2");
    join("user:u3");
    interest("user:u1", false);
    interest("user:u2", false);
    interest("user:u3", false);
    interest("user:u2", true); /* out of the middle of the queue */
    fake_pass(5010);
    fake_integer("EVAL script 1 ws:presence:users u1 ", 1);
    fake_integer("EVAL script 1 ws:presence:users u3 ", 1);
    while (fake.count > 0) {
        fake_integer("SREM ws:instance:a:index", 1);
    }
    cr_assert_eq(entries.count, 1);
}

Test(presence, other_channels_are_nobodys)
{
    interest("user:", true);
    interest("users:1", true);
    interest("*", true);
    cr_assert_eq(fake.count, 0);
}

Test(presence, adopted_user_has_time_to_come_back)
{
    config.presence.offline_delay_ms = 0;
    cr_assert_eq(rc_presence_clean_user(&presence, RC_SPAN("u1"), "a", NULL, NULL), 0);
    cr_assert_eq(rc_presence_clean_user(&presence, RC_SPAN("u2"), "a", NULL, NULL), 0);
    fake_pass(0);
    cr_assert_eq(fake.count, 0, "Redis has them");
    interest("user:u1", true);
    fake_pass(2100);
    fake_integer("EVAL script 1 ws:presence:users u2 a ws:presence {\"event\":\"player:offline\"", 1);
    fake_integer("SREM ws:instance:a:index uu2", 1);
    cr_assert_eq(fake.count, 0);
    cr_assert_eq(entries.count, 1);
}

Test(presence, user_of_a_dead_instance_leaves_there)
{
    static const struct rc_client_ref nobody;
    (void)nobody;
    cr_assert_eq(rc_presence_clean_user(&presence, RC_SPAN("q\"x"), "dead", (rc_redis_replied *)(uintptr_t)1, NULL), 0);
    cr_assert_eq(
        strncmp(
            fake.commands[0].text,
            "EVAL script 1 ws:presence:users q\"x dead ws:presence {\"event\":\"player:offline\",\"userId\":\"q\\\"x\"",
            90),
        0, "%s", fake.commands[0].text);
    fake.count = 0;
    char huge[300];
    memset(huge, 'x', sizeof(huge));
    cr_assert_eq(rc_presence_clean_user(&presence, rc_span_of(huge, 256), "dead", NULL, NULL), -EINVAL);
}

Test(presence, clients_of_a_channel_with_their_users)
{
    rc_presence_member(&presence, RC_SPAN("room"), &client, RC_SPAN("u1"), true);
    fake_pass(0);
    fake_integer("SADD ws:instance:a:index pws:presence:channel:room", 1);
    cr_assert_eq(strcmp(strrchr(fake.commands[0].text, ' '), " u1"), 0);
    fake_integer("HSET ws:presence:channel:room a~", 1);
    config.namespaces[0].presence = false; /* a reload */
    rc_presence_member(&presence, RC_SPAN("room"), &client, (struct rc_span){0}, false);
    rc_presence_member(&presence, RC_SPAN("off"), &client, RC_SPAN("u1"), true);
    fake_pass(0);
    fake_integer("HDEL ws:presence:channel:room a~", 1);
    fake_integer("SREM ws:instance:a:index", 1);
    cr_assert_eq(entries.count, 0);
}

Test(presence, users_of_a_channel_with_how_many_clients_they_have)
{
    rc_presence_count(&presence, RC_SPAN("room"), RC_SPAN("u1"), (struct rc_span){0}, 1);
    rc_presence_count(&presence, RC_SPAN("room"), (struct rc_span){0}, (struct rc_span){0}, 3);
    fake_pass(0);
    fake_integer("SADD ws:instance:a:index mws:presence:members:room", 1);
    rc_presence_count(&presence, RC_SPAN("room"), RC_SPAN("u1"), (struct rc_span){0},
                      2); /* while the first is on its way */
    fake_integer("EVAL script 1 ws:presence:members:room u1 a 1", 1);
    fake_integer("EVAL script 1 ws:presence:members:room  a 3", 1);
    fake_pass(0);
    fake_integer("EVAL script 1 ws:presence:members:room u1 a 2", 0);
    rc_presence_count(&presence, RC_SPAN("room"), RC_SPAN("u1"), (struct rc_span){0}, 2);
    fake_pass(0);
    cr_assert_eq(fake.count, 0, "nothing new");
    rc_presence_count(&presence, RC_SPAN("room"), RC_SPAN("u1"), (struct rc_span){0}, 0);
    rc_presence_count(&presence, RC_SPAN("room"), (struct rc_span){0}, (struct rc_span){0}, 0);
    fake_pass(0);
    fake_integer("EVAL script 1 ws:presence:members:room u1 a 0", 1);
    fake_integer("EVAL script 1 ws:presence:members:room  a 0", 1);
    fake_integer("SREM ws:instance:a:index mws:presence:members:room", 1);
    cr_assert_eq(entries.count, 0);
    rc_presence_count(&presence, RC_SPAN("room"), RC_SPAN("u1"), (struct rc_span){0}, 1);
    rc_entries_worker_gone(&entries, 1); /* a count is of no worker */
    rc_entries_worker_gone(&entries, 0);
    cr_assert_eq(entries.count, 1);
}

Test(presence, events_reach_the_configured_channel)
{
    presence.events.message(&presence, RC_SPAN("ws:presence"), RC_SPAN("{\"event\":1}"));
    cr_assert_str_eq(delivered, "");
    (void)snprintf(config.presence.events_channel.text, sizeof(config.presence.events_channel.text), "players");
    presence.events.message(&presence, RC_SPAN("ws:presence"), RC_SPAN("{\"event\":1}"));
    cr_assert_str_eq(delivered, "players {\"event\":1}");
    presence.events.message(&presence, RC_SPAN("ws:presence"), RC_SPAN("no JSON"));
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 1);
}
