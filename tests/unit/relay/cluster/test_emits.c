/* Events that clients of other instances are to answer: who is told, what this host's workers get of another's, and what is counted. The router's
 * side is the test's own, and Redis the fake one. */
#include "tests/support/fake_redis.h"

#include <stdlib.h>

#include "common/records/emit.h"
#include "relay/bridge/emit_wire.h"
#include "relay/cluster/emits.h"

static struct rc_metrics metrics;
static struct rc_emits emits;
static struct rc_registry registry;
static struct rc_wire wire;
static struct rc_bridge bridge;
static struct rc_envelope_view call;
static uint8_t called[4096];
static uint32_t call_count;

static bool host_call(void *context, const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    (void)context;
    call = *view;
    memcpy(called, view->data, view->head.data_bytes);
    call_count++;
    asked->bits[0] = 1;
    return true;
}

static void open_all(void)
{
    registry = (struct rc_registry){.state = RC_REGISTRY_OWNED, .instance_count = 1};
    cr_assert_eq(rc_wire_open(&wire, "a", 7, 2000, &metrics), 0);
    bridge = (struct rc_bridge){.wire = &wire, .host = {.call = host_call}};
    fake.up = true;
    rc_emits_open(&emits, &bridge, &registry);
}

static void close_all(void)
{
    rc_emits_close(&emits);
    rc_wire_close(&wire);
}

TestSuite(emits, .init = open_all, .fini = close_all);

/* As a worker asks (worker/engine/asking.c). */
static int ask(uint16_t flags)
{
    static const char names[] = "red\0"; /* and the end of the rooms */
    static uint8_t buffer[RC_EMIT_BEFORE_MAX + 64];
    const struct rc_span json = RC_SPAN("[1,\"x\"]");
    const struct rc_emit_head head = {.timeout_ms = 70, .asker_bytes = 3, .flags = flags};
    uint8_t *args = buffer + RC_EMIT_BEFORE_MAX;
    rc_args_write(args, json, NULL, 0);
    const uint8_t *data = rc_emit_put(args, &head, RC_SPAN("who"));
    const struct rc_envelope_view view = {
        .head = {.data_bytes = (uint32_t)(args + rc_args_bytes(json.count, 0, NULL) - data),
                 .channel_bytes = 2,
                 .event_bytes = 3,
                 .exclude_text_bytes = sizeof(names)},
        .channel = "/#",
        .event = "ask",
        .exclude_text = names,
        .data = data};
    cr_assert(rc_emits_is(&view));
    return rc_emits_send(&emits, &view);
}

Test(emits, others_are_told_where_there_are_some)
{
    static const char head[] = "ws:instances:emit \1";
    cr_assert_eq(ask(RC_EMIT_HOOK), 0);
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_eq(memcmp(fake.published[0], head, sizeof(head) - 1), 0);
    registry.instance_count = 0;
    cr_assert_eq(ask(RC_EMIT_HOOK), -ENOSYS);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_EMITS_LOCAL), 0);
    fake.up = false;
    cr_assert_eq(ask(RC_EMIT_HOOK), -ENOTCONN, "there may be some");
    fake.up = true;
    registry.instance_count = 1;
    cr_assert_eq(ask(0), -ENOTCONN, "the answers would have to come back");
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_EMITS_SENT), 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_EMITS_LOCAL), 2);
}

static void comes(const struct rc_emit_message *message)
{
    const size_t bytes = rc_emit_message_bytes(message);
    uint8_t *text = malloc(bytes);
    cr_assert_not_null(text);
    rc_emit_message_write(message, text);
    emits.subscription.message(emits.subscription.context, rc_span_text(emits.subscription.name),
                               rc_span_of(text, bytes));
    free(text);
}

Test(emits, what_others_say_is_a_call_for_all_workers)
{
    struct rc_emit_message message = {.timeout_ms = 70,
                                      .from = RC_SPAN("b"),
                                      .nsp = RC_SPAN("/x"),
                                      .event = RC_SPAN("ask"),
                                      .asker = RC_SPAN("who"),
                                      .names = rc_span_of("/x#red\0", 8),
                                      .args = {.json = RC_SPAN("[1]")}};
    struct rc_emit_head head;
    struct rc_span asker;
    struct rc_span args;
    comes(&message);
    cr_assert_eq(call_count, 1);
    cr_assert(call.head.target.random == 0 && call.head.channel_bytes == 3 && call.head.exclude_text_bytes == 8);
    cr_assert_eq(called[0], RC_CALL_SOCKETS_EMIT);
    cr_assert_eq(rc_emit_read(rc_span_of(called + sizeof(struct rc_call_head),
                                         call.head.data_bytes - sizeof(struct rc_call_head)),
                              &head, &asker, &args),
                 0);
    cr_assert(head.timeout_ms == 70 && head.flags == RC_EMIT_HOOK && rc_span_equal(asker, RC_SPAN("who")));
    message.from = RC_SPAN("a");
    comes(&message);
    cr_assert_eq(call_count, 1, "its own");
    message.from = RC_SPAN("b");
    char large[2100];
    memset(large, '1', sizeof(large));
    large[0] = '[';
    large[sizeof(large) - 1] = ']';
    message.args.json = rc_span_of(large, sizeof(large));
    comes(&message);
    message.args.json = RC_SPAN("1");
    comes(&message);
    cr_assert_eq(call_count, 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_TOO_LARGE), 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_EMITS_SERVED), 1);
}
