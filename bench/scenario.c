/* scenario: the table of scenarios, and those that need nothing but traffic. */
#include "bench/scenario.h"

#include "bench/traffic.h"

#define PUBLISHERS_MAX 256u

#include "common/base/check.h"

#include <string.h>

const struct rc_bench_scenario rc_bench_scenario_fanout = {
    .name = "fanout",
    .help = "publishers to subscribers over channels, open loop (--rate) or closed loop (--window)",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .holds_steady = true,
    .start = rc_bench_traffic_start,
    .ready = rc_bench_traffic_ready,
    .payload = rc_bench_traffic_payload,
    .closed = rc_bench_traffic_closed,
    .turn = rc_bench_traffic_turn,
    .finish = rc_bench_traffic_finish,
};

const struct rc_bench_scenario rc_bench_scenario_rooms = {
    .name = "rooms",
    .help = "every connection is a member of one of the channels and talks there: each message goes to all members",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .members = true,
    .holds_steady = true,
    .start = rc_bench_traffic_start,
    .ready = rc_bench_traffic_ready,
    .payload = rc_bench_traffic_payload,
    .closed = rc_bench_traffic_closed,
    .turn = rc_bench_traffic_turn,
    .finish = rc_bench_traffic_finish,
};

const struct rc_bench_scenario rc_bench_scenario_unicast = {
    .name = "unicast",
    .help = "direct messages, to each connection in turn by its client id",
    .default_protocol = "ringcast",
    .role = RC_BENCH_TARGET,
    .publishes = true,
    .holds_steady = true,
    .start = rc_bench_traffic_start,
    .ready = rc_bench_traffic_ready,
    .payload = rc_bench_traffic_payload,
    .closed = rc_bench_traffic_closed,
    .turn = rc_bench_traffic_turn,
    .finish = rc_bench_traffic_finish,
};

const struct rc_bench_scenario rc_bench_scenario_cross = {
    .name = "cross",
    .help = "fanout whose publishers are at --url and whose subscribers at --subscribe-url, another broker",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .holds_steady = true,
    .start = rc_bench_traffic_start,
    .ready = rc_bench_traffic_ready,
    .payload = rc_bench_traffic_payload,
    .closed = rc_bench_traffic_closed,
    .turn = rc_bench_traffic_turn,
    .finish = rc_bench_traffic_finish,
};

const struct rc_bench_scenario rc_bench_scenario_latency = {
    .name = "latency",
    .help = "fanout at a low rate to one subscriber: publish to delivery inside one host",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .holds_steady = true,
    .start = rc_bench_traffic_start,
    .ready = rc_bench_traffic_ready,
    .payload = rc_bench_traffic_payload,
    .closed = rc_bench_traffic_closed,
    .turn = rc_bench_traffic_turn,
    .finish = rc_bench_traffic_finish,
};

static const struct rc_bench_scenario *const scenarios[] = {
    &rc_bench_scenario_connect, &rc_bench_scenario_idle,    &rc_bench_scenario_echo,  &rc_bench_scenario_fanout,
    &rc_bench_scenario_rooms,   &rc_bench_scenario_unicast, &rc_bench_scenario_churn, &rc_bench_scenario_storm,
    &rc_bench_scenario_recover, &rc_bench_scenario_slow,    &rc_bench_scenario_cross, &rc_bench_scenario_latency,
};

const struct rc_bench_scenario *rc_bench_scenario_find(const char *name)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(scenarios); i++) {
        if (strcmp(scenarios[i]->name, name) == 0) {
            return scenarios[i];
        }
    }
    return NULL;
}

const struct rc_bench_scenario *rc_bench_scenario_at(unsigned index)
{
    return index < RC_ARRAY_COUNT(scenarios) ? scenarios[index] : NULL;
}

uint32_t rc_bench_scenario_publishers(const struct rc_bench_options *options)
{
    const struct rc_bench_scenario *const scenario = rc_bench_scenario_find(options->scenario);
    if (scenario == NULL || !scenario->publishes || scenario->members) {
        return 0;
    }
    if (options->publishers > 0 || options->window == 0) {
        return options->publishers > 0 ? options->publishers : 1;
    }
    return options->window < PUBLISHERS_MAX ? options->window : PUBLISHERS_MAX;
}
