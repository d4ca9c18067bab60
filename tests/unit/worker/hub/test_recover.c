/* Recovery: each message once, in order, out of the history or the log, or a gap; whatever happens meanwhile. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/history_rig.h"
#include "tests/support/hub_rig.h"

static struct hub_rig rig;
static struct history_rig kept;

static void open_with(const struct hub_rig_options *options, uint64_t history_bytes)
{
    hub_rig_open(&rig, options);
    history_rig_open(&kept, history_bytes);
    rig.config->namespaces[0].history = 100;
    rig.control->history = kept.view;
}

static void open_rigs(void)
{
    open_with(&(struct hub_rig_options){.slots = 8, .slow_consumer = RC_SLOW_SKIP}, 1 << 20);
}

static void close_rigs(void)
{
    hub_rig_close(&rig);
    history_rig_close(&kept);
}

TestSuite(recover, .init = open_rigs, .fini = close_rigs);

/* As the relay's: how the channel stands now. */
static void acknowledge(const char *channel)
{
    const uint64_t hash = rc_channel_hash(channel, strlen(channel));
    const uint32_t slot = rc_history_begin(&kept.store, hash, rc_span_text(channel), kept.now_ms);
    const struct rc_history_state state = rc_history_state(&kept.view, slot);
    rc_hub_acknowledged(
        &rig.hub, rc_hub_channel(&rig.hub, rc_span_text(channel)),
        &(struct rc_hub_acknowledgement){.placed = true, .slot = slot, .epoch = state.epoch, .position = state.last});
}

/* The relay takes a message in: the record that it sends down. */
static struct rc_envelope_view route(const char *channel, const char *data, const struct rc_client_ref *origin,
                                     const struct rc_client_ref *excluded)
{
    struct rc_envelope_view view = history_rig_record(&kept, channel, "", data, (uint32_t)strlen(data));
    if (origin != NULL) {
        view.head.origin = *origin;
        view.head.flags = RC_ENVELOPE_NO_ECHO;
    }
    if (excluded != NULL) {
        view.head.exclude_count = 1;
        view.excludes = (const uint8_t *)excluded;
    }
    const struct rc_history_place place =
        rc_history_append(&kept.store, &view, rc_history_policy(&kept.store, rc_span_text(channel)), kept.now_ms);
    view.head.epoch = place.epoch;
    view.head.position = place.offset;
    view.head.target.slot = place.slot;
    return view;
}

static int publish(const char *channel, const char *data)
{
    const struct rc_envelope_view view = route(channel, data, NULL, NULL);
    int rc;
    while ((rc = rc_hub_message(&rig.hub, &view)) == -ENOSPC) {
        hub_rig_run(&rig);
    }
    return rc;
}

static void publish_many(const char *channel, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(publish(channel, text), 0);
    }
}

static enum rc_subscribed subscribe(uint32_t client, const char *channel, const struct rc_hub_from *from)
{
    return rc_hub_subscribe_from(&rig.hub, client, rc_span_text(channel), RC_SUBSCRIBER_CLIENT, RC_SPAN("1"), 0, from);
}

static uint64_t epoch_of(const char *channel)
{
    return rc_history_state(&kept.view, history_rig_slot(&kept, channel)).epoch;
}

/* What the client got, in short: "S" for subscribed ("+" recovered, "-" not) with its offset, "G" for a gap, offset=data for messages. */
static const char *heard(uint32_t client)
{
    static char text[65536];
    size_t used = 0;
    uint8_t opcode;
    struct rc_span frame;
    hub_rig_drain(&rig);
    text[0] = '\0';
    while (hub_rig_frame(&rig, client, &opcode, &frame)) {
        char json[512] = "";
        memcpy(json, frame.bytes, frame.count < sizeof(json) - 1 ? frame.count : sizeof(json) - 1);
        const char *offset = strstr(json, "\"offset\":");
        const char *data = strstr(json, "\"data\":");
        const char *of = offset == NULL ? "?" : offset + 9;
        if (strstr(json, "\"subscribed\"") != NULL) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " S%s%.*s",
                                     strstr(json, "\"recovered\":true") != NULL    ? "+"
                                     : strstr(json, "\"recovered\":false") != NULL ? "-"
                                                                                   : "",
                                     (int)strspn(of, "0123456789?"), of);
        } else if (strstr(json, "\"gap\"") != NULL) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " G");
        } else if (data != NULL) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, " %s%.*s=%.*s",
                                     strstr(json, "\"epoch\"") != NULL ? "E" : "", (int)strspn(of, "0123456789?"), of,
                                     (int)strcspn(data + 7, ",}"), data + 7);
        }
    }
    return used > 0 ? text + 1 : text;
}

static uint32_t connect_json(void)
{
    return hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

static uint32_t join(const char *channel)
{
    const uint32_t client = connect_json();
    if (subscribe(client, channel, NULL) == RC_SUBSCRIBE_WAITS) {
        acknowledge(channel);
    }
    return client;
}

Test(recover, what_was_missed_comes_before_what_is_new)
{
    const uint32_t other = join("a");
    publish_many("a", 1, 5);
    cr_assert_str_eq(heard(other), "S0 1=1 2=2 3=3 4=4 5=5");
    const uint32_t client = connect_json();
    const struct rc_hub_from from = {.recovers = true, .epoch = epoch_of("a"), .offset = 2};
    cr_assert_eq(subscribe(client, "a", &from), RC_SUBSCRIBED);
    publish_many("a", 6, 7);
    cr_assert_str_eq(heard(client), "S+5 3=3 4=4 5=5 6=6 7=7");
    publish_many("a", 8, 8);
    cr_assert_str_eq(heard(client), "8=8");
    cr_assert_str_eq(heard(other), "6=6 7=7 8=8");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_RECOVERIES), 1);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_REPLAYED), 5, "the log has it from then on");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_REPLAYS), 0);
    hub_rig_check(&rig);
}

Test(recover, the_relay_says_where_the_channel_stands)
{
    for (int i = 1; i <= 4; i++) {
        (void)history_rig_append(&kept, "a", "0", 1); /* nobody here listens */
    }
    const uint32_t client = connect_json();
    const struct rc_hub_from from = {.recovers = true, .epoch = epoch_of("a"), .offset = 3};
    cr_assert_eq(subscribe(client, "a", &from), RC_SUBSCRIBE_WAITS);
    acknowledge("a");
    publish_many("a", 5, 5);
    cr_assert_str_eq(heard(client), "S+4 4=0 5=5");
}

Test(recover, what_cannot_be_had_is_said)
{
    const uint32_t other = join("a");
    publish_many("a", 1, 120); /* 21 to 120 are there */
    (void)heard(other);
    const uint64_t epoch = epoch_of("a");
    const struct {
        struct rc_hub_from from;
        const char *heard;
        uint32_t metric;
    } cases[] = {
        {{.recovers = true, .epoch = epoch, .offset = 19}, "S-120", RC_METRIC_RECOVERIES_GONE},
        {{.recovers = true, .epoch = epoch + 1, .offset = 119}, "S-120", RC_METRIC_RECOVERIES_EPOCH},
        {{.recovers = true, .epoch = epoch, .offset = 121}, "S-120", RC_METRIC_RECOVERIES_EPOCH},
        {{.recovers = true, .epoch = epoch, .offset = 120}, "S+120", RC_METRIC_RECOVERIES},
        {{.recovers = true, .epoch = epoch, .offset = 119}, "S+120 120=120", RC_METRIC_RECOVERIES},
        {{.recovers = true, .epoch = 0, .offset = 119, .last = 2}, "S-120 119=119 120=120", RC_METRIC_RECOVERIES_EPOCH},
        {{.last = 1}, "S120 120=120", RC_METRIC_RECOVERIES},
        {{.last = 0}, "S120", RC_METRIC_RECOVERIES},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        const uint32_t client = connect_json();
        const uint64_t before = rc_metric_get(rig.metrics, cases[i].metric);
        cr_assert_eq(subscribe(client, "a", &cases[i].from), RC_SUBSCRIBED);
        cr_assert_str_eq(heard(client), cases[i].heard);
        cr_assert_eq(rc_metric_get(rig.metrics, cases[i].metric) - before, cases[i].from.recovers ? 1 : 0);
        hub_rig_hang_up(&rig, client);
        hub_rig_run(&rig);
    }
    rig.config->namespaces[0].history = 0;
    rc_hub_reconfigure(&rig.hub, rig.config);
    const uint32_t client = connect_json();
    cr_assert_eq(subscribe(client, "a", &cases[4].from), RC_SUBSCRIBED);
    cr_assert_str_eq(heard(client), "S-?");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_RECOVERIES_NO_HISTORY), 1);
}
