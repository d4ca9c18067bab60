/*
 * options: what a run of ringcast-bench is asked for.
 *
 * Filled once from the command line (bench/arguments.h), then only read. Strings are borrowed from argv.
 */
#ifndef RC_BENCH_OPTIONS_H
#define RC_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RC_BENCH_PIDS_MAX 16
#define RC_BENCH_PROCESSES_MAX 256
#define RC_BENCH_SWEEP_MAX 32
#define RC_BENCH_VERSUS_MAX 8
#define RC_BENCH_VERSUS_PIDS_MAX 4

enum rc_bench_engine {
    RC_BENCH_ENGINE_URING,
    RC_BENCH_ENGINE_EPOLL,
    RC_BENCH_ENGINE_CHAIN,
};

/* Another server, measured in turn with the one at --url. */
struct rc_bench_versus {
    char label[48];
    char protocol[32];
    char url[256];
    char subscribe_url[256]; /* empty: url */
    pid_t pids[RC_BENCH_VERSUS_PIDS_MAX];
    uint32_t pid_count;
};

struct rc_bench_options {
    const char *command;       /* the scenario, or floor, compare-floor */
    const char *scenario;      /* the scenario measured by compare-floor or floor, else the command */
    const char *url;           /* where publishers (and, without subscribe_url, all) connect */
    const char *subscribe_url; /* NULL: url */
    const char *protocol;      /* NULL: the scenario's own */
    const char *prefix;        /* of channel names */
    const char *json;          /* file or NULL */
    const char *plot;          /* folder or NULL */
    const char *label;         /* names the server in the output; NULL: protocol */
    uint32_t connections;
    uint32_t channels;
    uint32_t publishers;    /* 0: one for each message in flight, see rc_bench_scenario_publishers() */
    uint32_t subscriptions; /* per connection */
    uint32_t payload_bytes;
    uint32_t window;         /* closed loop: messages in flight; 0: open loop */
    uint32_t processes;      /* 0: as many as descriptors ask for */
    uint32_t connect_window; /* connections being opened at a time and process */
    uint32_t repeat;
    double rate;       /* open loop: a second */
    double think_s;    /* closed loop: mean of the pause before a message's successor */
    double churn_rate; /* connections a second that come and go */
    double churn_stay_s;
    uint32_t missed;        /* recover: messages of each */
    uint32_t calm;          /* recover: others, who are there already */
    double slow_share;      /* 0..1 of the subscribers */
    double slow_interval_s; /* between two reads of a slow one; 0: never reads */
    double surge;           /* factor on the rate for a while; 1: none */
    double surge_at_s;      /* of measured time */
    double surge_for_s;
    double duration_s;
    double warmup_s;
    double drain_s;         /* longest wait for what is under way */
    uint32_t warmup_rounds; /* messages per stream, at least */
    pid_t server_pids[RC_BENCH_PIDS_MAX];
    uint32_t server_pid_count;
    pid_t part_pids[RC_BENCH_PIDS_MAX]; /* of the server's processes: whose CPU is shown apart */
    uint32_t part_pid_count;
    int cpu;        /* of the client processes; -1: not pinned */
    int server_cpu; /* of floor servers; -1: not pinned */
    enum rc_bench_engine engine;
    uint32_t coalesce; /* floor: frames per send */
    uint32_t stride;   /* floor: every so manieth subscriber is served, then those between */
    struct rc_bench_versus versus[RC_BENCH_VERSUS_MAX];
    uint32_t versus_count;
    char sweep_name[32]; /* the option without dashes that takes several values */
    double sweep_values[RC_BENCH_SWEEP_MAX];
    uint32_t sweep_count;
    double sweep_value; /* of this point */
    bool think_given;   /* else it follows the window */
    bool allow_loss;
    bool reconnect; /* subscribers that the server ends come back */
    bool deflate;   /* permessage-deflate towards the client */
    bool mask_random;
    bool book;
    bool poll_idle; /* one-shot polls instead of armed receives */
    bool quiet;
};

#endif
