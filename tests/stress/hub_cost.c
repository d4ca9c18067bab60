/*
 * hub_cost: what a message costs in the worker's hub, from the record of the down ring to the send of every subscriber, over a
 * ring and sockets of its own: plain, with keys, throttled, in a critical namespace and in a channel with history.
 *
 *   hub_cost [messages] [subscribers] [plain|keys|throttled|critical|history]
 *
 * The kernel's share is in the time. Instructions, which do not depend on what else the machine does, are counted by
 * `valgrind --tool=callgrind --toggle-collect=rc_hub_message --toggle-collect=rc_hub_turn`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/support/hub_rig.h"

#define DATA_BYTES 128u
#define KEYS 16u

static const char *const modes[] = {"plain", "keys", "throttled", "critical", "history"};

static void configure(struct hub_rig *rig, const char *mode)
{
    struct rc_config_namespace *namespace = &rig->config->namespaces[0];
    namespace->min_interval_ms = strcmp(mode, "throttled") == 0 ? 1000 : 0;
    namespace->priority = strcmp(mode, "critical") == 0 ? RC_PRIORITY_CRITICAL : RC_PRIORITY_NORMAL;
    namespace->slow_consumer = strcmp(mode, "keys") == 0 ? RC_SLOW_LATEST : RC_SLOW_DISCONNECT;
    rc_hub_reconfigure(&rig->hub, rig->config);
}

static void measure(const char *mode, uint32_t messages, uint32_t subscribers)
{
    struct hub_rig rig;
    uint8_t data[DATA_BYTES];
    memset(data, '1', sizeof(data));
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = subscribers});
    configure(&rig, mode);
    rig.offset = strcmp(mode, "history") == 0 ? 1000000 : 0;
    for (uint32_t i = 0; i < subscribers; i++) {
        const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 1 << 20);
        RC_ASSERT(client == i + 1);
        hub_rig_subscribe(&rig, client, "c");
    }
    hub_rig_run(&rig);
    const bool keys = strcmp(mode, "keys") == 0 || strcmp(mode, "throttled") == 0;
    uint64_t spent_ns = 0;
    for (uint32_t n = 0; n < messages; n++) {
        const char key[2] = {(char)('a' + n % KEYS), '\0'};
        const uint64_t began_ns = rc_clock_ns();
        const int rc = hub_rig_publish_key(&rig, "c", keys ? key : NULL, rc_span_of(data, sizeof(data)), NULL, 0);
        RC_ASSERT(rc == 0);
        if (rc_hub_pending(&rig.hub)) {
            rc_hub_turn(&rig.hub);
        }
        spent_ns += rc_clock_ns() - began_ns;
        for (uint32_t client = 1; client <= subscribers; client++) {
            (void)hub_rig_read(&rig, client, 0);
            rig.peers[client].count = 0;
        }
    }
    RC_ASSERT(keys || rc_metric_get(rig.metrics, RC_METRIC_DELIVERIES) == (uint64_t)messages * subscribers);
    printf("%-10s %u messages to %u subscribers: %.0f ns a message, %llu deliveries, %llu throttled\n", mode, messages,
           subscribers, (double)spent_ns / messages,
           (unsigned long long)rc_metric_get(rig.metrics, RC_METRIC_DELIVERIES),
           (unsigned long long)rc_metric_get(rig.metrics, RC_METRIC_THROTTLED));
    hub_rig_close(&rig);
}

int main(int argc, char **argv)
{
    const uint32_t messages = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000;
    const uint32_t subscribers = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 32;
    if (messages == 0 || subscribers == 0) {
        fprintf(stderr, "hub_cost [messages] [subscribers] [plain|keys|throttled|critical|history]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (argc < 4 || strcmp(argv[3], modes[i]) == 0) {
            measure(modes[i], messages, subscribers);
        }
    }
    return 0;
}
