/* [[bridge]]: templates over the JSON of backends, several bridges on one Redis channel, what is counted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/metrics/bridges.h"
#include "relay/bridge/application.h"

/* In place of the link: what was subscribed. */
static struct rc_redis_subscription *subscribed[RC_CONFIG_BRIDGES_MAX];
static uint32_t subscribed_count;
void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    (void)link;
    subscribed[subscribed_count++] = subscription;
}

static char delivered[16][64];
static uint32_t delivered_count;
static char delivered_event[256];
static bool deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    (void)context;
    cr_assert_eq(type, RC_DOWN_MESSAGE);
    cr_assert((view->head.flags & RC_ENVELOPE_REMOTE) != 0);
    (void)snprintf(delivered_event, sizeof(delivered_event), "%.*s", view->head.event_bytes, view->event);
    (void)snprintf(delivered[delivered_count++ % 16], sizeof(delivered[0]), "%.*s %.*s", view->head.channel_bytes,
                   view->channel, (int)view->head.data_bytes, view->data);
    return true;
}

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_wire wire;
static struct rc_bridge bridge;
static struct rc_bridge_counters counters[RC_CONFIG_BRIDGES_MAX];
static struct rc_application application;

static void add(const char *redis, const char *room, const char *event)
{
    struct rc_config_bridge *one = &config.bridges[config.bridge_count++];
    (void)snprintf(one->redis.text, sizeof(one->redis.text), "%s", redis);
    (void)snprintf(one->room.text, sizeof(one->room.text), "%s", room);
    (void)snprintf(one->event.text, sizeof(one->event.text), "%s", event);
}

static void open_all(void)
{
    rc_config_defaults(&config);
    add("match:result", "leaderboard:global", "match:result");
    add("match:result", "match:{json.matchId}", "{json.kind}");
    add("portfolio", "user:{json.user.id}", "portfolio:update");
    wire = (struct rc_wire){.message_bytes_max = 100, .metrics = &metrics};
    bridge = (struct rc_bridge){.wire = &wire, .host = {.deliver = deliver}};
    rc_application_open(&application, &bridge, &config, counters);
}

static void receive(uint32_t subscription, const char *text)
{
    struct rc_redis_subscription *one = subscribed[subscription];
    one->message(one->context, rc_span_text(one->name), rc_span_text(text));
}

static uint64_t messages(uint32_t i)
{
    return atomic_load(&counters[i].messages);
}

static uint64_t errors(uint32_t i)
{
    return atomic_load(&counters[i].errors);
}

TestSuite(application_bridge, .init = open_all);

Test(application_bridge, one_subscription_per_redis_channel)
{
    cr_assert_eq(subscribed_count, 2);
    cr_assert_str_eq(subscribed[0]->name, "match:result");
    cr_assert_str_eq(subscribed[1]->name, "portfolio");
}

Test(application_bridge, every_bridge_of_a_channel_gets_it_once_with_the_bare_json)
{
    receive(0, " {\"matchId\": 7, \"kind\":\"k\"} ");
    cr_assert_eq(delivered_count, 2);
    cr_assert_str_eq(delivered[0], "leaderboard:global {\"matchId\": 7, \"kind\":\"k\"}");
    cr_assert_str_eq(delivered[1], "match:7 {\"matchId\": 7, \"kind\":\"k\"}");
    cr_assert_str_eq(delivered_event, "k", "the template of the second bridge");
    cr_assert_eq(messages(0), 1);
    cr_assert_eq(messages(1), 1);
    cr_assert_eq(errors(0) + errors(1), 0);
}

Test(application_bridge, nested_field_text_number_boolean)
{
    receive(1, "{\"user\":{\"id\":\"\\u0061b\"}}");
    cr_assert_str_eq(delivered[0], "user:ab {\"user\":{\"id\":\"\\u0061b\"}}");
    receive(1, "{\"user\":{\"id\":-1.5}}");
    cr_assert_str_eq(delivered[1], "user:-1.5 {\"user\":{\"id\":-1.5}}");
    receive(1, "{\"user\":{\"id\":true}}");
    cr_assert_str_eq(delivered[2], "user:true {\"user\":{\"id\":true}}");
    receive(1, "{\"user\":{\"id\":1},\"user\":{\"id\":2}}");
    cr_assert_str_eq(delivered[3], "user:2 {\"user\":{\"id\":1},\"user\":{\"id\":2}}");
}

Test(application_bridge, missing_field_is_that_bridges_error_only)
{
    receive(0, "{\"kind\":\"k\"}");
    receive(0, "[1]");
    receive(0, "{\"matchId\":\"a\",\"kind\":null}");
    cr_assert_eq(delivered_count, 3);
    cr_assert_eq(messages(0), 3);
    cr_assert_eq(errors(1), 3);
    static const char *const bad[] = {
        "{\"user\":1}",        "{\"user\":{\"id\":{}}}",          "{\"user\":{\"id\":[1]}}",       "{\"user\":{}}",
        "{\"user\":[\"id\"]}", "{\"user\":{\"id\":\"\\ud800\"}}", "{\"user\":{\"id\":\"a\\nb\"}}", "7"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        receive(1, bad[i]);
        cr_assert_eq(errors(2), i + 1, "%s", bad[i]);
    }
    cr_assert_eq(delivered_count, 3);
}

Test(application_bridge, not_json_is_counted_once_for_redis_and_for_each_bridge)
{
    receive(0, "match 7 was won");
    receive(0, "");
    receive(0, "{\"matchId\":\"\xff\"}");
    cr_assert_eq(delivered_count, 0);
    cr_assert_eq(errors(0), 3);
    cr_assert_eq(errors(1), 3);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 3);
}

Test(application_bridge, too_large)
{
    char text[200] = "\"";
    memset(text + 1, 'x', 150);
    strcpy(text + 151, "\"");
    receive(0, text);
    cr_assert_eq(errors(0), 1);
    cr_assert_eq(delivered_count, 0);
    static char huge[(1u << 20) + 200];
    memset(huge, ' ', sizeof(huge) - 1);
    receive(1, huge);
    cr_assert_eq(errors(2), 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_TOO_LARGE), 1);
}

Test(application_bridge, room_longer_than_a_name_is_an_error)
{
    char text[600];
    char id[300];
    wire.message_bytes_max = 1000;
    memset(id, 'u', sizeof(id));
    (void)snprintf(text, sizeof(text), "{\"user\":{\"id\":\"%.251s\"}}", id);
    receive(1, text);
    cr_assert_eq(errors(2), 1);
    (void)snprintf(text, sizeof(text), "{\"user\":{\"id\":\"%.250s\"}}", id);
    receive(1, text);
    cr_assert_eq(messages(2), 1);
}

Test(application_bridge, metrics_name_each_bridge)
{
    char text[4096];
    receive(0, "{}");
    const size_t bytes = rc_bridge_metrics_render(&config, counters, "i", text, sizeof(text));
    cr_assert_lt(bytes, sizeof(text));
    text[bytes] = '\0';
    cr_assert_not_null(strstr(text, "ringcast_bridge_messages_total{instance=\"i\",bridge=\"0\",redis=\"match:result\","
                                    "room=\"leaderboard:global\"} 1\n"));
    cr_assert_not_null(strstr(text, "ringcast_bridge_errors_total{instance=\"i\",bridge=\"1\",redis=\"match:result\","
                                    "room=\"match:{json.matchId}\"} 1\n"));
    cr_assert_eq(rc_bridge_metrics_render(&config, counters, "i", text, 10), bytes);
}

Test(application_bridge, templates_that_nothing_fills_are_refused)
{
    struct rc_template template;
    struct rc_err err;
    static const char *const bad[] = {"{",         "a{b}",    "{json}",   "{json.}",   "{json.a.}",
                                      "{json..a}", "{json.a", "{Json.a}", "{{json.a}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(rc_template_compile(&template, bad[i], rc_template_known_json, &err), -EINVAL, "%s", bad[i]);
    }
    cr_assert_eq(rc_template_compile(&template, "{json.a}{json.b.c}x}", rc_template_known_json, &err), 0);
    cr_assert_eq(template.part_count, 3);
    char out[8];
    cr_assert_eq(rc_application_fill(&template, rc_span_text("{\"a\":1,\"b\":{\"c\":\"yz\"}}"), out, sizeof(out)), 5);
    cr_assert_eq(memcmp(out, "1yzx}", 5), 0);
    cr_assert_eq(rc_application_fill(&template, rc_span_text("{\"a\":1,\"b\":{\"c\":\"yz\"}}"), out, 4), -EMSGSIZE);
}
