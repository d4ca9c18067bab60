/* White-box tests of critical namespaces in worker/hub: they go between the rounds of a turn, and others pay for memory first. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/support/hub_rig.h"

#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */
#define CLIENTS (2 * RC_IO_BATCH_MAX + 40)

static struct hub_rig rig;

/* Namespaces `alarm` (critical) and default. */
static void critical_rig(const struct hub_rig_options *options)
{
    hub_rig_open(&rig, options);
    struct rc_config *config = rig.config;
    config->namespaces[1] = config->namespaces[0];
    (void)strcpy(config->namespaces[1].name, "alarm");
    config->namespaces[1].name_bytes = 5;
    config->namespaces[1].priority = RC_PRIORITY_CRITICAL;
    config->namespace_count = 2;
    rc_hub_reconfigure(&rig.hub, config);
}

static uint32_t client(const char *first, const char *second, int send_bytes)
{
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, send_bytes);
    hub_rig_subscribe(&rig, slot, first);
    if (second != NULL) {
        hub_rig_subscribe(&rig, slot, second);
    }
    return slot;
}

static void publish(const char *channel, const char *text)
{
    cr_assert_eq(hub_rig_publish(&rig, channel, rc_span_text(text), NULL, 0), 0);
}

static const char *got(uint32_t slot)
{
    static char text[4096];
    size_t used = 0;
    uint8_t opcode;
    struct rc_span payload;
    text[0] = '\0';
    while (hub_rig_frame(&rig, slot, &opcode, &payload)) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s", used > 0 ? " " : "",
                                 payload.count > 20 ? 20 : (int)payload.count, (const char *)payload.bytes);
    }
    return text;
}

/* After the first round of the turn. */
static void alarm_in_round(void *context)
{
    const char *channel = context;
    if (rig.rounds == 1) {
        publish(channel, "!");
    } else if (rig.rounds == 5) { /* that the first one took three, and the next of the others */
        publish(channel, "?");
    }
}

/* A turn with one message of `bulk`; `round` is called between its rounds and publishes to `critical`. */
static void turn_with(void (*round)(void *context), const char *critical, const char *bulk)
{
    rig.round = round;
    rig.context = (void *)(uintptr_t)critical;
    rig.rounds = 0;
    publish(bulk, "1");
    rc_hub_turn(&rig.hub);
}

Test(priority, critical_goes_before_the_rest_of_the_turn)
{
    critical_rig(&(struct hub_rig_options){.slots = CLIENTS});
    for (uint32_t i = 0; i < CLIENTS; i++) {
        cr_assert_eq(client("bulk", "alarm:1", 0), i + 1);
    }
    hub_rig_run(&rig);
    turn_with(alarm_in_round, "alarm:1", "bulk");
    hub_rig_drain(&rig);
    static const char *const expected[] = {"1 ! ?", "! 1 ?", "! ? 1"};
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const char *text = got(CLIENTS - i); /* the order of serving */
        cr_assert_str_eq(text, expected[i / RC_IO_BATCH_MAX], "client %u: %s", CLIENTS - i, text);
    }
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* The log stays while somebody is behind in it: what comes in a later round of the same turn is not taken for news of the turn. */
Test(priority, a_laggard_does_not_hold_critical_messages_back)
{
    critical_rig(&(struct hub_rig_options){.slots = CLIENTS + 1});
    for (uint32_t i = 0; i < CLIENTS; i++) {
        cr_assert_eq(client("bulk", "alarm:1", 0), i + 1);
    }
    const uint32_t slow = client("alarm:1", "other", SMALL);
    static char large[20000];
    memset(large, 'o', sizeof(large) - 1);
    publish("other", large);
    hub_rig_run(&rig);
    cr_assert(hub_rig_its_socket(&rig, slow)->flags & RC_SOCKET_BLOCKED);
    turn_with(alarm_in_round, "alarm:1", "bulk");
    rig.round = NULL;
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_BEHIND), 2, "in both channels");
    hub_rig_drain(&rig);
    static const char *const expected[] = {"1 ! ?", "! 1 ?", "! ? 1"};
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const char *text = got(CLIENTS - i);
        cr_assert_str_eq(text, expected[i / RC_IO_BATCH_MAX], "client %u: %s", CLIENTS - i, text);
    }
    cr_assert_str_eq(got(slow), "oooooooooooooooooooo ! ?");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

static uint32_t clients[CLIENTS];

static void leave_in_round(void *context)
{
    const char *channel = context;
    if (rig.rounds == 1) {
        hub_rig_unsubscribe(&rig, clients[3], channel);           /* not served yet */
        hub_rig_unsubscribe(&rig, clients[CLIENTS - 1], channel); /* the first that was */
    }
}

/* Who has been served takes the place of one who leaves, and must not be served there once more. */
Test(priority, who_leaves_between_two_rounds_makes_nobody_get_it_twice)
{
    critical_rig(&(struct hub_rig_options){.slots = CLIENTS});
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i] = client("alarm:1", NULL, 0);
    }
    hub_rig_run(&rig);
    turn_with(leave_in_round, "alarm:1", "alarm:1");
    rig.round = NULL;
    hub_rig_drain(&rig);
    publish("alarm:1", "2");
    hub_rig_drain(&rig);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const char *text = got(clients[i]);
        cr_assert_str_eq(text, i == 3 ? "" : i == CLIENTS - 1 ? "1" : "1 2", "client %u: %s", i, text);
    }
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

static uint64_t observed(void)
{
    return rc_histogram_count_to(&rig.metrics->histograms[RC_HISTOGRAM_PUBLISH_TO_SEND], UINT64_MAX);
}

static uint64_t observed_in_round[16];

static void note_observed(void *context)
{
    alarm_in_round(context);
    if (rig.rounds < RC_ARRAY_COUNT(observed_in_round)) {
        observed_in_round[rig.rounds] = observed();
    }
}

/* How long it took is known when it was sent, not at the end of this turn, and not of the next. */
Test(priority, critical_messages_are_observed_when_they_are_sent)
{
    critical_rig(&(struct hub_rig_options){.slots = CLIENTS});
    for (uint32_t i = 0; i < CLIENTS; i++) {
        (void)client("bulk", "alarm:1", 0);
    }
    hub_rig_run(&rig);
    rig.time_ns = rc_clock_ns();
    turn_with(note_observed, "alarm:1", "bulk");
    rig.round = NULL;
    cr_assert_eq(rig.rounds, 9, "%u rounds", rig.rounds);
    cr_assert_eq(observed_in_round[4], 0, "the alarm is leaving");
    cr_assert_eq(observed_in_round[5], 1, "the alarm has left");
    cr_assert_eq(observed_in_round[9], 2, "the second, too");
    cr_assert_eq(observed(), 3, "and the bulk with the end of the turn");
    /* What nobody of this worker hears is not sent, and waits for nothing. */
    publish("*", "x");
    publish("nobody", "x");
    cr_assert(!rc_hub_pending(&rig.hub));
    publish("bulk", "2");
    publish("alarm:1", "!");
    rc_hub_turn(&rig.hub);
    cr_assert_eq(observed(), 5);
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}

Test(priority, critical_goes_first_when_both_are_there)
{
    critical_rig(&(struct hub_rig_options){.slots = 4});
    const uint32_t slot = client("bulk", "alarm:1", 0);
    publish("bulk", "1");
    publish("alarm:1", "!");
    publish("bulk", "2");
    publish("alarm:1", "?");
    hub_rig_drain(&rig);
    cr_assert_str_eq(got(slot), "! ? 1 2");
    hub_rig_close(&rig);
}

Test(priority, everybody_may_be_critical)
{
    critical_rig(&(struct hub_rig_options){.slots = CLIENTS});
    rig.config->namespaces[0].priority = RC_PRIORITY_CRITICAL;
    rig.config->namespaces[1].priority = RC_PRIORITY_NORMAL; /* "alarm" is bulk now */
    rc_hub_reconfigure(&rig.hub, rig.config);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, true, 0);
        hub_rig_subscribe(&rig, slot, "alarm:1");
    }
    hub_rig_run(&rig);
    turn_with(alarm_in_round, "*", "alarm:1");
    hub_rig_drain(&rig);
    uint32_t overtaken = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        overtaken += got(i + 1)[0] == '!';
    }
    cr_assert_eq(overtaken, CLIENTS - RC_IO_BATCH_MAX);
    hub_rig_close(&rig);
}

/* The promise goes before what it promises, and the cut frame before both. */
Test(priority, replies_and_a_cut_frame_stay_first)
{
    critical_rig(&(struct hub_rig_options){.slots = 4});
    const uint32_t slot = client("bulk", "alarm:1", SMALL);
    static char large[20000];
    memset(large, 'b', sizeof(large) - 1);
    publish("bulk", large);
    hub_rig_run(&rig);
    cr_assert(rc_truth_client(&rig.truth, slot)->cut != 0);
    publish("alarm:1", "!");
    hub_rig_run(&rig); /* blocked: its place is remembered */
    cr_assert_eq(rc_hub_reply_frame(&rig.hub, slot, RC_WS_BINARY, (const uint8_t *)"r", 1), 0);
    publish("alarm:1", "?");
    publish("bulk", "2");
    hub_rig_drain(&rig);
    cr_assert_str_eq(got(slot), "bbbbbbbbbbbbbbbbbbbb r ! ? 2");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* What a reload makes critical while its turn is under way waits for the next one. */
Test(priority, reload_between_append_and_turn)
{
    critical_rig(&(struct hub_rig_options){.slots = 4});
    const uint32_t slot = client("bulk", "alarm:1", 0);
    publish("alarm:1", "1");
    rig.config->namespaces[1].priority = RC_PRIORITY_NORMAL;
    rc_hub_reconfigure(&rig.hub, rig.config);
    publish("alarm:1", "2");
    hub_rig_drain(&rig);
    publish("alarm:1", "3");
    rig.config->namespaces[1].priority = RC_PRIORITY_CRITICAL;
    rc_hub_reconfigure(&rig.hub, rig.config);
    publish("alarm:1", "4");
    publish("bulk", "5");
    rig.round = alarm_in_round;
    rig.context = (void *)(uintptr_t) "alarm:1";
    rig.rounds = 0;
    hub_rig_drain(&rig);
    rig.round = NULL;
    cr_assert_str_eq(got(slot), "1 2 3 4 5 !");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* A worker out of log memory: the laggards of other channels are cut off before those of a critical one. */
Test(priority, others_pay_for_memory_first)
{
    for (int policy = RC_SLOW_DISCONNECT; policy <= RC_SLOW_LATEST; policy++) {
        critical_rig(&(struct hub_rig_options){
            .slots = 8, .worker_log_bytes = 1 << 20, .slow_consumer = (enum rc_slow_policy)policy});
        rig.config->namespaces[1].slow_consumer = RC_SLOW_DISCONNECT;
        static char text[4000];
        memset(text, 'x', sizeof(text) - 1);
        uint32_t bulk[4];
        for (uint32_t i = 0; i < 4; i++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "bulk%u", i);
            bulk[i] = client(name, NULL, SMALL);
        }
        const uint32_t slow = client("alarm:1", NULL, SMALL);
        rig.config->limits.worker_log_bytes = 300000;
        for (uint32_t n = 0; n < 15; n++) {
            for (uint32_t i = 0; i < 4; i++) {
                char name[16];
                (void)snprintf(name, sizeof(name), "bulk%u", i);
                publish(name, text);
            }
            hub_rig_run(&rig);
        }
        cr_assert(rig.hub.log_bytes > 200000, "%llu", (unsigned long long)rig.hub.log_bytes);
        for (uint32_t n = 0; n < 50; n++) {
            cr_assert_eq(hub_rig_publish(&rig, "alarm:1", rc_span_text(text), NULL, 0), 0);
            hub_rig_run(&rig);
            hub_rig_check(&rig);
        }
        cr_assert_eq(rc_truth_client(&rig.truth, slow)->subscription_count, 1, "policy %d", policy);
        hub_rig_drain(&rig);
        uint32_t alarms = 0;
        uint8_t opcode;
        struct rc_span payload;
        while (hub_rig_frame(&rig, slow, &opcode, &payload)) {
            alarms++;
        }
        cr_assert_eq(alarms, 50, "policy %d: %u of 50", policy, alarms);
        const uint64_t paid = rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED) +
                              rc_metric_get(rig.metrics, RC_METRIC_SLOW_SKIPPED) +
                              rc_metric_get(rig.metrics, RC_METRIC_SLOW_CONFLATED);
        cr_assert(paid > 0, "policy %d", policy);
        for (uint32_t i = 0; i < 4; i++) {
            (void)got(bulk[i]);
        }
        hub_rig_close(&rig);
    }
}

/* A connection whose handshake waits for its user's channel gets nothing, whatever is critical: the answer that lets it go on promises
 * that channel. What came meanwhile comes behind the answer. */
Test(priority, a_handshake_that_waits_is_not_served)
{
    for (uint32_t blocked = 0; blocked < 2; blocked++) { /* its place remembered by an earlier turn, or not */
        critical_rig(&(struct hub_rig_options){.slots = 4});
        rig.config->namespaces[0].priority = RC_PRIORITY_CRITICAL; /* of "*" */
        rc_hub_reconfigure(&rig.hub, rig.config);
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, true, 0);
        hub_rig_subscribe(&rig, slot, "alarm:1");
        const uint32_t channel = rc_hub_channel(&rig.hub, RC_SPAN("user:1"));
        cr_assert_eq(rc_hub_join(&rig.hub, slot, channel), 0);
        cr_assert_eq(rc_hub_reply_frame(&rig.hub, slot, RC_WS_BINARY, (const uint8_t *)"101", 3), 0);
        for (uint32_t i = 0; i <= blocked; i++) {
            publish("*", "e");
            publish("alarm:1", "!");
            rc_hub_turn(&rig.hub);
            cr_assert_eq(hub_rig_read(&rig, slot, 0), 0, "nothing before it is registered");
        }
        rc_hub_acknowledged(&rig.hub, channel, &(struct rc_hub_acknowledgement){0});
        cr_assert_eq(rig.joined, 1);
        publish("user:1", "u");
        hub_rig_drain(&rig);
        cr_assert_str_eq(got(slot), blocked ? "101 u e ! e !" : "101 u e !", "each critical channel in order");
        hub_rig_check(&rig);
        hub_rig_close(&rig);
    }
}
