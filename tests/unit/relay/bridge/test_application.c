/* [[bridge]]: templates over the JSON of backends, several bridges on one Redis channel, what is counted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/bridge.h"
#include "common/metrics/bridges.h"
#include "common/records/args.h"
#include "relay/bridge/application.h"

/* In place of the link: what was subscribed. */
static struct rc_redis_subscription *subscribed[RC_CONFIG_BRIDGES_MAX];
static uint32_t subscribed_count;
void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    (void)link;
    subscribed[subscribed_count++] = subscription;
}

static char delivered[16][128];
static uint32_t delivered_count;
static char delivered_event[256];
static uint16_t delivered_flags;
static struct rc_client_ref delivered_except; /* random 0: nobody */
static bool deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    (void)context;
    cr_assert_eq(type, RC_DOWN_MESSAGE);
    cr_assert((view->head.flags & RC_ENVELOPE_REMOTE) != 0);
    (void)snprintf(delivered_event, sizeof(delivered_event), "%.*s", view->head.event_bytes, view->event);
    struct rc_span data = rc_span_of(view->data, view->head.data_bytes);
    delivered_flags = view->head.flags;
    delivered_except = (struct rc_client_ref){0};
    if (view->head.exclude_count > 0) {
        memcpy(&delivered_except, view->excludes, sizeof(delivered_except));
    }
    if ((view->head.flags & RC_ENVELOPE_ARGS) != 0) {
        struct rc_args_view args;
        cr_assert_eq(rc_args_read(data, &args), 0);
        cr_assert_eq(args.attachment_count, 0);
        data = args.json;
    }
    (void)snprintf(delivered[delivered_count++ % 16], sizeof(delivered[0]), "%.*s %.*s", view->head.channel_bytes,
                   view->channel, (int)data.count, (const char *)data.bytes);
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
    (void)snprintf(one->nsp.text, sizeof(one->nsp.text), "/");
}

static void open_all(void)
{
    rc_config_defaults(&config);
    add("match:result", "leaderboard:global", "match:result");
    add("match:result", "match:{json.matchId}", "{json.kind}");
    add("portfolio", "user:{json.user.id}", "portfolio:update");
    wire = (struct rc_wire){.message_bytes_max = 100, .metrics = &metrics, .instance_id = "i"};
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

static void close_all(void)
{
    rc_application_close(&application);
}

TestSuite(application_bridge, .init = open_all, .fini = close_all);

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
    struct rc_exposition to = {.out = text, .capacity = sizeof(text), .instance = "i"};
    rc_bridge_metrics_render(&to, &config, counters);
    const size_t bytes = to.bytes;
    cr_assert_lt(bytes, sizeof(text));
    text[bytes] = '\0';
    cr_assert_not_null(strstr(text, "ringcast_bridge_messages_total{bridge=\"0\",redis=\"match:result\","
                                    "room=\"leaderboard:global\"} 1\n"));
    cr_assert_not_null(strstr(text, "ringcast_bridge_errors_total{bridge=\"1\",redis=\"match:result\","
                                    "room=\"match:{json.matchId}\"} 1\n"));
    to = (struct rc_exposition){.out = text, .capacity = 10};
    rc_bridge_metrics_render(&to, &config, counters);
    cr_assert_eq(to.bytes, bytes);
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
    const struct rc_application_message message = {.json = rc_span_text("{\"a\":1,\"b\":{\"c\":\"yz\"}}")};
    cr_assert_eq(rc_application_fill(&template, &message, out, sizeof(out)), 5);
    cr_assert_eq(memcmp(out, "1yzx}", 5), 0);
    cr_assert_eq(rc_application_fill(&template, &message, out, 4), -EMSGSIZE);
}

/* --- pattern, nsp, args, except --------------------------------------------------------------------------------------- */

/* One row, and nothing else. */
static struct rc_config_bridge *alone(const char *redis, const char *pattern, const char *room, const char *event)
{
    config.bridge_count = 0;
    subscribed_count = 0;
    delivered_count = 0;
    add(redis, room, event);
    (void)snprintf(config.bridges[0].pattern.text, sizeof(config.bridges[0].pattern.text), "%s", pattern);
    return &config.bridges[0];
}

static void argument(struct rc_config_bridge *one, const char *text)
{
    (void)snprintf(one->args[one->args_count].text, sizeof(one->args[0].text), "%s", text);
    one->args_count++;
}

static void open_one(void)
{
    struct rc_err err;
    cr_assert_eq(rc_config_bridge_check(&config.bridges[0], &err), 0, "%s", err.text);
    rc_application_close(&application);
    memset(counters, 0, sizeof(counters));
    rc_application_open(&application, &bridge, &config, counters);
    cr_assert_eq(subscribed_count, 1);
}

static void receive_on(const char *channel, const char *text)
{
    struct rc_redis_subscription *one = subscribed[0];
    one->message(one->context, rc_span_text(channel), rc_span_text(text));
}

Test(application_bridge, the_row_of_frappe)
{
    struct rc_config_bridge *one = alone("events", "", "{json.room}", "{json.event}");
    (void)snprintf(one->nsp.text, sizeof(one->nsp.text), "/{json.namespace}");
    argument(one, "{json.message}");
    open_one();
    receive_on("events",
               "{\"event\":\"msg\",\"message\":{\"a\": [1]},\"room\":\"doc:ToDo/1\",\"namespace\":\"site1.local\"}");
    cr_assert_str_eq(delivered[0], "/site1.local#doc:ToDo/1 [{\"a\": [1]}]");
    cr_assert_str_eq(delivered_event, "msg");
    cr_assert((delivered_flags & RC_ENVELOPE_ARGS) != 0);
    receive_on("events", "{\"event\":\"msg\",\"room\":\"r\",\"namespace\":\"s\"}");
    cr_assert_str_eq(delivered[1], "/s#r [null]", "an argument that is not there");
    receive_on("events", "{\"event\":\"msg\",\"message\":\"t\",\"room\":\"*\",\"namespace\":\"s\"}");
    cr_assert_str_eq(delivered[2], "/s# [\"t\"]", "everybody there");
    static const char *const bad[] = {
        "{\"event\":\"e\",\"room\":\"r\"}", "{\"event\":\"e\",\"room\":null,\"namespace\":\"s\"}",
        "{\"event\":\"e\",\"room\":\"r\",\"namespace\":\"a#b\"}", "{\"event\":\"e\",\"room\":\"r\",\"namespace\":{}}"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        receive_on("events", bad[i]);
        cr_assert_eq(errors(0), i + 1, "%s", bad[i]);
    }
    cr_assert_eq(delivered_count, 3);
}

Test(application_bridge, the_row_of_laravel)
{
    struct rc_config_bridge *one = alone("", "*", "{match.1}", "{json.event}");
    const struct rc_client_ref client = {.random = 12345, .slot = 3, .worker = 1};
    char instance[RC_SID_INSTANCE_BYTES];
    char text[256];
    char id[RC_SID_BYTES + 1] = "";
    (void)snprintf(one->except.text, sizeof(one->except.text), "{json.socket}");
    argument(one, "{match.1}");
    argument(one, "{json.data}");
    open_one();
    cr_assert(subscribed[0]->pattern);
    cr_assert_str_eq(subscribed[0]->name, "*");
    receive_on("orders.1", "{\"event\":\"Shipped\",\"data\":{\"id\":1.0},\"socket\":null}");
    cr_assert_str_eq(delivered[0], "orders.1 [\"orders.1\",{\"id\":1.0}]");
    cr_assert_eq(delivered_except.random, 0);
    memcpy(instance, application.instance, sizeof(instance));
    rc_sid_write(id, instance, &client);
    (void)snprintf(text, sizeof(text), "{\"event\":\"Shipped\",\"data\":1,\"socket\":\"%.*s\"}", (int)RC_SID_BYTES, id);
    receive_on("orders.1", text);
    cr_assert(delivered_except.random == 12345 && delivered_except.slot == 3 && delivered_except.worker == 1);
    instance[0] = (char)(instance[0] == 'a' ? 'b' : 'a');
    rc_sid_write(id, instance, &client);
    (void)snprintf(text, sizeof(text), "{\"event\":\"Shipped\",\"data\":1,\"socket\":\"%.*s\"}", (int)RC_SID_BYTES, id);
    receive_on("orders.1", text);
    cr_assert_eq(delivered_except.random, 0, "another instance's");
    cr_assert_eq(delivered_count, 3);
    receive_on("a\xff", "{\"event\":\"e\",\"data\":1}");
    cr_assert_eq(errors(0), 1);
}

Test(application_bridge, a_pattern_passes_over_what_is_not_the_applications)
{
    (void)alone("", "*", "all", "");
    config.socketio.adapter = RC_ADAPTER_CLASSIC;
    (void)snprintf(config.socketio.adapter_key.text, sizeof(config.socketio.adapter_key.text), "socket.io");
    (void)snprintf(config.socketio.python_channel.text, sizeof(config.socketio.python_channel.text), "socketio");
    open_one();
    static const char *const own[] = {"ws:channel:a",   "ws:instances:call",    "websocket:notifications", "socketio",
                                      "socket.io#/#r#", "socket.io-request#/#", "socket.io-response#/#"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(own); i++) {
        receive_on(own[i], "no JSON");
    }
    cr_assert_eq(errors(0) + messages(0), 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 0);
    receive_on("socket.iox", "1");
    receive_on("wsx", "2");
    cr_assert_eq(messages(0), 2);
}

Test(application_bridge, arguments_of_every_kind)
{
    struct rc_config_bridge *one = alone("", "*:*", "r", "e");
    argument(one, "{json.a}");
    argument(one, "constant");
    argument(one, "{match.2}/{json.n}");
    argument(one, "{json}");
    open_one();
    receive_on("x:\"y", "{\"a\":\"\\u0061\", \"n\":1.50}");
    cr_assert_str_eq(delivered[0], "r [\"\\u0061\",\"constant\",\"\\\"y/1.50\",{\"a\":\"\\u0061\", \"n\":1.50}]");
    receive_on("x:y", "{\"a\":1}");
    cr_assert_eq(errors(0), 1, "a part of a text is missing");
    char text[128];
    (void)snprintf(text, sizeof(text), "{\"n\":1,\"a\":\"%070d\"}", 1);
    receive_on("x:y", text);
    cr_assert_eq(errors(0), 2, "larger than a message may be");
}
