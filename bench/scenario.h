/*
 * scenario: what the connections of a run do.
 *
 * A constant table of callbacks, called from the client's loop in each process. All may be NULL. State hangs on
 * client->state, made by `start` and freed with the process.
 */
#ifndef RC_BENCH_SCENARIO_H
#define RC_BENCH_SCENARIO_H

#include "bench/client.h"

struct rc_bench_scenario {
    const char *name;
    const char *help;
    const char *default_protocol;
    enum rc_bench_role role; /* of the connections that are not publishers */
    bool publishes;          /* publishers, channels and streams are planned */
    bool members;            /* subscribers publish, on the channel that they are on */
    bool opens_itself;       /* the loop opens no subscribers by itself, and RUN starts at once */
    bool idle;               /* nothing is sent: no warm-up, the server's memory is what counts */
    bool churns;             /* more subscribers come and go than those that stay */
    bool returns;            /* all but --calm of the subscribers are opened when measuring begins, and recover */
    bool open_loop_only;     /* a closed loop would wait for subscribers that leave or do not read */
    bool holds_steady;       /* connections that the server ends are a failure */
    int (*start)(struct rc_bench_client *client); /* 0 or a negative errno */
    void (*ready)(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns);
    /* What is sent in place of the protocol's join, at most RC_BENCH_JOIN_BYTES_MAX; 0 for nothing. */
    size_t (*join)(struct rc_bench_client *client, uint32_t slot, char *out);
    /* What joining and publishing were answered with. */
    void (*answer)(struct rc_bench_client *client, uint32_t slot, struct rc_span text);
    void (*payload)(struct rc_bench_client *client, uint32_t slot, struct rc_span payload, uint64_t now_ns);
    void (*closed)(struct rc_bench_client *client, uint32_t slot);
    /* Called once per turn of the loop; returns when it wants to be called again (CLOCK_MONOTONIC ns). */
    uint64_t (*turn)(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase);
    void (*finish)(struct rc_bench_client *client);
};

const struct rc_bench_scenario *rc_bench_scenario_find(const char *name);
const struct rc_bench_scenario *rc_bench_scenario_at(unsigned index);

/* Connections that only publish: as many as messages may be in flight, up to a bound, unless it was said. */
uint32_t rc_bench_scenario_publishers(const struct rc_bench_options *options);

extern const struct rc_bench_scenario rc_bench_scenario_fanout;
extern const struct rc_bench_scenario rc_bench_scenario_rooms;
extern const struct rc_bench_scenario rc_bench_scenario_unicast;
extern const struct rc_bench_scenario rc_bench_scenario_cross;
extern const struct rc_bench_scenario rc_bench_scenario_latency;
extern const struct rc_bench_scenario rc_bench_scenario_slow;
extern const struct rc_bench_scenario rc_bench_scenario_churn;
extern const struct rc_bench_scenario rc_bench_scenario_storm;
extern const struct rc_bench_scenario rc_bench_scenario_recover;
extern const struct rc_bench_scenario rc_bench_scenario_echo;
extern const struct rc_bench_scenario rc_bench_scenario_connect;
extern const struct rc_bench_scenario rc_bench_scenario_idle;

#endif
