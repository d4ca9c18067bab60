/* arguments: see arguments.h. One table is parser, bounds and help. */
#include "bench/arguments.h"

#include "bench/floor.h"
#include "bench/payload.h"
#include "bench/protocol.h"
#include "bench/scenario.h"

#include "common/base/check.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define THINK_S 0.001 /* far above the time that two messages need to be taken together, far below that of a fan-out */

enum kind {
    KIND_TEXT,
    KIND_COUNT, /* uint32_t; "10k", "1M" */
    KIND_RATE,  /* double a second; the same suffixes */
    KIND_TIME,  /* double seconds; "5", "5s", "200ms", "2m" */
    KIND_SHARE, /* double 0..1; "0.1" or "10%" */
    KIND_CPU,   /* int; "none" is -1 */
    KIND_PIDS,
    KIND_PART_PIDS,
    KIND_SWEEP,
    KIND_VERSUS,
    KIND_ENGINE,
    KIND_FLAG, /* bool, no value */
};

struct option_row {
    const char *name;
    enum kind kind;
    size_t offset;
    double min;
    double max;
    const char *value;
    const char *help;
};

#define AT(member) offsetof(struct rc_bench_options, member)

static const struct option_row rows[] = {
    {"--url", KIND_TEXT, AT(url), 0, 0, "URL",
     "the server, as ws://host:port[/path]; without a path the protocol's own (default ws://127.0.0.1:8080)"},
    {"--subscribe-url", KIND_TEXT, AT(subscribe_url), 0, 0, "URL",
     "where subscribers connect, when that is another broker than publishers use"},
    {"--protocol", KIND_TEXT, AT(protocol), 0, 0, "NAME", "how to talk to it, see below (default: the scenario's)"},
    {"--label", KIND_TEXT, AT(label), 0, 0, "TEXT", "name of the server in the output"},
    {"--connections", KIND_COUNT, AT(connections), 1, 4000000, "N",
     "subscribers or plain connections (connect: at a time; churn: that stay)"},
    {"--channels", KIND_COUNT, AT(channels), 1, 4000000, "N", "subscriber i is on channel i mod N (default 1)"},
    {"--publishers", KIND_COUNT, AT(publishers), 1, 10000, "N",
     "connections that publish; messages go over them in turn (default: one for each of the --window, up to 256; else 1)"},
    {"--subscriptions", KIND_COUNT, AT(subscriptions), 0, 1000, "N", "channels per connection in idle (default 0)"},
    {"--payload", KIND_COUNT, AT(payload_bytes), RC_BENCH_PAYLOAD_BYTES_MIN, RC_BENCH_PAYLOAD_BYTES_MAX, "BYTES",
     "size of each payload (default 128)"},
    {"--rate", KIND_RATE, AT(rate), 0.001, 1e9, "R",
     "open loop: so many messages (connect: connections) a second over all, whatever the server does; latency counts from the scheduled time"},
    {"--window", KIND_COUNT, AT(window), 1, 1 << 20, "W",
     "closed loop: so many messages in flight over all, each followed by its next when the last subscriber has it (echo: on each connection)"},
    {"--think", KIND_TIME, AT(think_s), 0, 3600, "S",
     "closed loop: after a pause of 0 to 2 S, each its own, so that they do not move in step (default 1ms; 0 for --window 1)"},
    {"--duration", KIND_TIME, AT(duration_s), 0.1, 864000, "S", "measured time"},
    {"--warmup", KIND_TIME, AT(warmup_s), 0, 3600, "S", "at least so long before it (default 1s)"},
    {"--warmup-rounds", KIND_COUNT, AT(warmup_rounds), 0, 1000000, "N",
     "and at least so many messages at each subscriber, for up to 30 s (default 20)"},
    {"--drain", KIND_TIME, AT(drain_s), 0, 3600, "S", "longest wait at the end for what is under way (default 10s)"},
    {"--server-pid", KIND_PIDS, 0, 0, 0, "PID[,PID]",
     "the server's processes (with all their children): for CPU and memory"},
    {"--part-pid", KIND_PART_PIDS, 0, 0, 0, "PID[,PID]",
     "some of them, whose CPU is shown apart: the application behind a broker"},
    {"--processes", KIND_COUNT, AT(processes), 1, RC_BENCH_PROCESSES_MAX, "N",
     "client processes (default: as few as descriptors allow)"},
    {"--connect-window", KIND_COUNT, AT(connect_window), 1, 16384, "N",
     "connections being opened at a time by each process (default 128)"},
    {"--cpu", KIND_CPU, AT(cpu), 0, 1023, "N|none", "CPU of the client processes (default: 1 if there is one)"},
    {"--server-cpu", KIND_CPU, AT(server_cpu), 0, 1023, "N|none", "CPU of floor servers (default 0)"},
    {"--repeat", KIND_COUNT, AT(repeat), 1, 99, "N", "runs; the table gives medians (default 1; compare-floor 3)"},
    {"--missed", KIND_COUNT, AT(missed), 1, 1000000, "N", "recover: messages that each has missed (default 50)"},
    {"--calm", KIND_COUNT, AT(calm), 0, 19000, "N",
     "recover: others, who are there, and whose latency is told for before and meanwhile (default 1000)"},
    {"--surge", KIND_RATE, AT(surge), 1, 1e6, "FACTOR",
     "open loop: multiply the rate for a while, and say how long the recovery takes"},
    {"--surge-at", KIND_TIME, AT(surge_at_s), 0, 864000, "S", "when, in measured time (default 2s)"},
    {"--surge-for", KIND_TIME, AT(surge_for_s), 0, 864000, "S", "how long (default: half of the measured time)"},
    {"--churn-rate", KIND_RATE, AT(churn_rate), 0.1, 1e6, "R",
     "churn: connections a second that come and go (default 1000)"},
    {"--churn-stay", KIND_TIME, AT(churn_stay_s), 0, 3600, "S", "churn: how long each stays (default 100ms)"},
    {"--slow-share", KIND_SHARE, AT(slow_share), 0, 1, "SHARE",
     "slow: part of the subscribers that does not read (default 10%)"},
    {"--slow-interval", KIND_TIME, AT(slow_interval_s), 0, 3600, "S",
     "slow: they read one buffer (8 KiB) each so often (default 0: never)"},
    {"--engine", KIND_ENGINE, AT(engine), 0, 0, "uring|epoll|chain",
     "floor: what the bare server is made of; chain: of as many processes as a message passes (latency) (default uring)"},
    {"--coalesce", KIND_COUNT, AT(coalesce), 1, 1024, "K", "floor: frames put into one send (default 1)"},
    {"--stride", KIND_COUNT, AT(stride), 1, 1024, "N",
     "floor: serve every Nth subscriber, then those between: the order of N workers that took connections in turn (default 1)"},
    {"--versus", KIND_VERSUS, 0, 0, 0, "LABEL=PROTOCOL,URL[,PID+PID[,SUBSCRIBE-URL]]",
     "another server to measure in turn and compare with; several times for several"},
    {"--sweep", KIND_SWEEP, 0, 0, 0, "OPTION=V,V,...",
     "one run for each value of rate, window, connections, channels, publishers, payload, processes or coalesce"},
    {"--prefix", KIND_TEXT, AT(prefix), 0, 0, "TEXT", "of channel names (default bench:)"},
    {"--json", KIND_TEXT, AT(json), 0, 0, "FILE", "write all figures as JSON; - for standard output"},
    {"--plot", KIND_TEXT, AT(plot), 0, 0, "FOLDER", "write SVG charts"},
    {"--allow-loss", KIND_FLAG, AT(allow_loss), 0, 0, NULL,
     "lost messages and ended connections are reported but no failure (overload runs)"},
    {"--reconnect", KIND_FLAG, AT(reconnect), 0, 0, NULL,
     "open loop: subscribers whose connection the server ends come back"},
    {"--deflate", KIND_FLAG, AT(deflate), 0, 0, NULL,
     "have the server compress (permessage-deflate without context takeover); what is published is not compressed"},
    {"--book", KIND_FLAG, AT(book), 0, 0, NULL, "payloads are order books, of which each message changes four levels"},
    {"--mask-random", KIND_FLAG, AT(mask_random), 0, 0, NULL, "mask frames with random keys instead of zero"},
    {"--poll-idle", KIND_FLAG, AT(poll_idle), 0, 0, NULL,
     "wait with one-shot polls, which takes the client's kernel less memory (idle: always)"},
    {"--quiet", KIND_FLAG, AT(quiet), 0, 0, NULL, "no progress line"},
};

/* --- values ----------------------------------------------------------------------------------------------------------- */

static int number_scaled(const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(*value)) {
        return -EINVAL;
    }
    if (strcmp(end, "k") == 0 || strcmp(end, "K") == 0) {
        *value *= 1e3;
    } else if (strcmp(end, "M") == 0) {
        *value *= 1e6;
    } else if (strcmp(end, "KiB") == 0) {
        *value *= 1024;
    } else if (strcmp(end, "MiB") == 0) {
        *value *= 1024 * 1024;
    } else if (*end != '\0') {
        return -EINVAL;
    }
    return 0;
}

static int seconds_parse(const char *text, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(*value)) {
        return -EINVAL;
    }
    if (strcmp(end, "ms") == 0) {
        *value /= 1e3;
    } else if (strcmp(end, "m") == 0) {
        *value *= 60;
    } else if (strcmp(end, "h") == 0) {
        *value *= 3600;
    } else if (*end != '\0' && strcmp(end, "s") != 0) {
        return -EINVAL;
    }
    return 0;
}

static int pids_parse(pid_t pids[RC_BENCH_PIDS_MAX], uint32_t *count, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        char *end;
        const long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || *count == RC_BENCH_PIDS_MAX || (*end != '\0' && *end != ',')) {
            return -EINVAL;
        }
        pids[(*count)++] = (pid_t)pid;
        at = *end == ',' ? end + 1 : end;
    }
    return 0;
}

/* "connections=1000,10000" */
static int sweep_parse(struct rc_bench_options *options, const char *text)
{
    static const char *const names[] = {"rate",       "window",  "connections", "channels",
                                        "publishers", "payload", "processes",   "coalesce"};
    const size_t name_bytes = strcspn(text, "=");
    options->sweep_count = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(names) && text[name_bytes] == '='; i++) {
        if (strlen(names[i]) == name_bytes && strncmp(names[i], text, name_bytes) == 0) {
            snprintf(options->sweep_name, sizeof(options->sweep_name), "%s", names[i]);
            for (const char *at = text + name_bytes; *at != '\0';) {
                char value[32];
                const size_t bytes = strcspn(++at, ",");
                snprintf(value, sizeof(value), "%.*s", (int)bytes, at);
                if (options->sweep_count == RC_BENCH_SWEEP_MAX ||
                    number_scaled(value, &options->sweep_values[options->sweep_count++]) != 0) {
                    return -EINVAL;
                }
                at += bytes;
            }
        }
    }
    return options->sweep_count > 0 ? 0 : -EINVAL;
}

/* "Socket.IO=socketio,ws://127.0.0.1:3000,12+34,ws://127.0.0.1:3001" */
static int versus_parse(struct rc_bench_options *options, const char *text)
{
    if (options->versus_count == RC_BENCH_VERSUS_MAX) {
        return -EINVAL;
    }
    struct rc_bench_versus *const other = &options->versus[options->versus_count++];
    char pid_list[64] = "";
    const int got = sscanf(text, "%47[^=]=%31[^,],%255[^,],%63[^,],%255[^,]", other->label, other->protocol, other->url,
                           pid_list, other->subscribe_url);
    for (const char *at = pid_list; *at != '\0' && other->pid_count < RC_BENCH_VERSUS_PIDS_MAX;) {
        char *end;
        const long pid = strtol(at, &end, 10);
        if (*at < '0' || *at > '9' || pid <= 0 || (*end != '\0' && *end != '+')) {
            return -EINVAL;
        }
        other->pids[other->pid_count++] = (pid_t)pid;
        at = *end == '+' ? end + 1 : end;
    }
    return got >= 3 && rc_bench_protocol_find(other->protocol) != NULL ? 0 : -EINVAL;
}

static int set_number(void *at, const struct option_row *row, const char *text)
{
    double value = 0;
    int rc = row->kind == KIND_TIME ? seconds_parse(text, &value) : 0;
    if (row->kind == KIND_COUNT || row->kind == KIND_RATE) {
        rc = number_scaled(text, &value);
    } else if (row->kind == KIND_SHARE) {
        char *end;
        value = strtod(text, &end);
        rc = end == text || (*end != '\0' && strcmp(end, "%") != 0) ? -EINVAL : 0;
        value = *end == '%' ? value / 100 : value;
    }
    if (rc != 0 || value < row->min || value > row->max || (row->kind == KIND_COUNT && value != floor(value))) {
        return -EINVAL;
    }
    if (row->kind == KIND_COUNT) {
        *(uint32_t *)at = (uint32_t)value;
    } else {
        *(double *)at = value;
    }
    return 0;
}

static int engine_parse(enum rc_bench_engine *out, const char *text)
{
    static const char *const names[] = {"uring", "epoll", "chain"}; /* in the order of the enum */
    for (size_t i = 0; i < RC_ARRAY_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum rc_bench_engine)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int option_set(struct rc_bench_options *options, const struct option_row *row, const char *text)
{
    void *const at = (char *)options + row->offset;
    switch (row->kind) {
    case KIND_TEXT:
        *(const char **)at = text;
        return 0;
    case KIND_PIDS:
        return pids_parse(options->server_pids, &options->server_pid_count, text);
    case KIND_PART_PIDS:
        return pids_parse(options->part_pids, &options->part_pid_count, text);
    case KIND_SWEEP:
        return sweep_parse(options, text);
    case KIND_VERSUS:
        return versus_parse(options, text);
    case KIND_ENGINE:
        return engine_parse(at, text);
    case KIND_CPU: {
        char *end;
        const long cpu = strcmp(text, "none") == 0 ? -1 : strtol(text, &end, 10);
        if (cpu != -1 && (end == text || *end != '\0' || cpu < 0 || cpu > 1023)) {
            return -EINVAL;
        }
        *(int *)at = (int)cpu;
        return 0;
    }
    case KIND_COUNT:
    case KIND_RATE:
    case KIND_TIME:
    case KIND_SHARE:
        return set_number(at, row, text);
    case KIND_FLAG:
        break;
    }
    *(bool *)at = true;
    return 0;
}

/* --- defaults --------------------------------------------------------------------------------------------------------- */

static int available_cpu(int wanted)
{
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_ISSET((size_t)wanted, &cpus) ? wanted : -1;
}

/* What each scenario starts from; the command line goes over it. */
static void set_defaults(struct rc_bench_options *options)
{
    *options = (struct rc_bench_options){
        .command = options->command,
        .scenario = options->scenario,
        .url = "ws://127.0.0.1:8080",
        .prefix = "bench:",
        .connections = 1000,
        .channels = 1,
        .think_s = -1,
        .subscriptions = 1,
        .payload_bytes = 128,
        .connect_window = 128,
        .repeat = strcmp(options->command, "compare-floor") == 0 ? 3 : 1,
        .churn_rate = 1000,
        .churn_stay_s = 0.1,
        .slow_share = 0.1,
        .missed = 50,
        .calm = 1000,
        .duration_s = 5,
        .surge = 1,
        .surge_at_s = 2,
        .surge_for_s = -1,
        .warmup_s = 1,
        .drain_s = 10,
        .warmup_rounds = 20,
        .cpu = available_cpu(1),
        .server_cpu = available_cpu(0),
        .coalesce = 1,
        .stride = 1,
    };
    if (strcmp(options->scenario, "connect") == 0) {
        options->connections = 64;
    } else if (strcmp(options->scenario, "idle") == 0) {
        options->connections = 10000;
        options->subscriptions = 0;
        options->duration_s = 10;
        options->poll_idle = true;
    } else if (strcmp(options->scenario, "echo") == 0) {
        options->connections = 100;
    } else if (strcmp(options->scenario, "latency") == 0) {
        options->connections = 1;
    } else if (strcmp(options->scenario, "storm") == 0) {
        options->duration_s = 10;
    } else if (strcmp(options->scenario, "recover") == 0) {
        options->connections = 20000;
        options->channels = 400;
        options->connect_window = 1024;
        options->warmup_s = 3;
        options->drain_s = 60;
    } else if (strcmp(options->scenario, "rooms") == 0) {
        options->connections = 5000;
        options->channels = 500;
    }
}

/* A pause that was not given: none where nothing is there to fall into step with. */
static void set_think(struct rc_bench_options *options)
{
    if (!options->think_given) {
        options->think_s = options->window > 1 ? THINK_S : 0;
    }
}

/* Rate or window where neither was given. */
static void set_loop(struct rc_bench_options *options)
{
    const struct rc_bench_scenario *const scenario = rc_bench_scenario_find(options->scenario);
    const bool swept = strcmp(options->sweep_name, "rate") == 0 || strcmp(options->sweep_name, "window") == 0;
    if (options->rate > 0 || options->window > 0 || swept || scenario == NULL || scenario->idle) {
        return;
    }
    if (strcmp(options->scenario, "latency") == 0) {
        options->rate = 200;
    } else if (strcmp(options->scenario, "echo") == 0) {
        options->window = 1;
    } else if (strcmp(options->scenario, "unicast") == 0) {
        options->window = 64;
    } else if (scenario->members) {
        options->window = options->channels; /* one in each room */
    } else if (scenario->open_loop_only) {
        options->rate = strcmp(options->scenario, "storm") == 0 || scenario->returns ? 10 : 100;
    } else if (scenario->publishes) {
        options->window = 2;
    }
}

static int options_check(struct rc_bench_options *options, struct rc_err *err)
{
    const struct rc_bench_scenario *const scenario = rc_bench_scenario_find(options->scenario);
    if (options->protocol != NULL && rc_bench_protocol_find(options->protocol) == NULL) {
        return rc_err_set(err, -EINVAL, "--protocol %s is unknown; --help lists those there are", options->protocol);
    }
    if (options->rate > 0 && options->window > 0) {
        return rc_err_set(err, -EINVAL, "--rate (open loop) and --window (closed loop) exclude each other; give one");
    }
    if (scenario == NULL) {
        return 0;
    }
    if (scenario->open_loop_only && options->window > 0) {
        return rc_err_set(err, -EINVAL,
                          "%s needs an open loop, since a closed one waits for every subscriber; give --rate",
                          scenario->name);
    }
    if ((options->surge > 1 || options->reconnect) && (options->window > 0 || !scenario->publishes)) {
        return rc_err_set(err, -EINVAL, "--surge and --reconnect need an open loop; give --rate");
    }
    if (options->surge_for_s < 0) {
        options->surge_for_s = options->duration_s / 2;
    }
    if (strcmp(scenario->name, "cross") == 0 && options->subscribe_url == NULL) {
        return rc_err_set(err, -EINVAL, "cross needs the other broker; give --subscribe-url");
    }
    if (scenario->members && options->publishers > 0) {
        return rc_err_set(err, -EINVAL, "in %s every connection publishes; leave --publishers away", scenario->name);
    }
    if (strlen(options->prefix) > RC_BENCH_NAME_MAX - 12 || strpbrk(options->prefix, "\"\\ \r\n") != NULL) {
        return rc_err_set(err, -EINVAL,
                          "--prefix must be shorter than %d bytes, without quotes, backslashes and spaces",
                          RC_BENCH_NAME_MAX - 12);
    }
    return 0;
}

/* --- the command line ------------------------------------------------------------------------------------------------- */

static const struct option_row *row_of(const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(rows); i++) {
        if (strlen(rows[i].name) == name_bytes && strncmp(rows[i].name, name, name_bytes) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static int parse_flags(struct rc_bench_options *options, int argc, char **argv, struct rc_err *err)
{
    for (int i = 0; i < argc; i++) {
        const char *const equals = strchr(argv[i], '=');
        const size_t name_bytes = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const struct option_row *const row = row_of(argv[i], name_bytes);
        if (row == NULL) {
            return rc_err_set(err, -EINVAL, "%s is unknown; ringcast-bench --help lists what there is", argv[i]);
        }
        const char *text = equals != NULL ? equals + 1 : NULL;
        if (row->kind != KIND_FLAG && text == NULL) {
            if (i + 1 == argc) {
                return rc_err_set(err, -EINVAL, "%s needs a value: %s", row->name, row->value);
            }
            text = argv[++i];
        }
        if (option_set(options, row, text) != 0) {
            return row->max > 0
                       ? rc_err_set(err, -EINVAL, "%s %s is not possible; expected %s, %g to %g", row->name, text,
                                    row->value, row->min, row->max)
                       : rc_err_set(err, -EINVAL, "%s %s is not possible; expected %s", row->name, text, row->value);
        }
    }
    return 0;
}

/* Every value of a sweep must be possible before the first is measured. */
static int check_sweep(const struct rc_bench_options *options, struct rc_err *err)
{
    char name[40];
    snprintf(name, sizeof(name), "--%s", options->sweep_name);
    const struct option_row *const row = options->sweep_count > 0 ? row_of(name, strlen(name)) : NULL;
    for (uint32_t i = 0; row != NULL && i < options->sweep_count; i++) {
        if (options->sweep_values[i] < row->min || options->sweep_values[i] > row->max) {
            return rc_err_set(err, -EINVAL, "--sweep: %s %g is not possible; expected %g to %g", row->name,
                              options->sweep_values[i], row->min, row->max);
        }
    }
    return 0;
}

void rc_bench_arguments_at(struct rc_bench_options *options, uint32_t index)
{
    char name[40];
    snprintf(name, sizeof(name), "--%s", options->sweep_name);
    const struct option_row *const row = row_of(name, strlen(name));
    RC_ASSERT(row != NULL && index < options->sweep_count);
    options->sweep_value = options->sweep_values[index];
    void *const at = (char *)options + row->offset;
    if (row->kind == KIND_COUNT) {
        *(uint32_t *)at = (uint32_t)options->sweep_value;
    } else {
        *(double *)at = options->sweep_value;
    }
    if (strcmp(options->sweep_name, "rate") == 0) {
        options->window = 0;
    } else if (strcmp(options->sweep_name, "window") == 0) {
        options->rate = 0;
    } else if (strcmp(options->sweep_name, "connections") == 0 && strcmp(options->scenario, "unicast") == 0) {
        options->channels = options->connections;
    }
    set_think(options);
}

int rc_bench_arguments_parse(struct rc_bench_options *options, int argc, char **argv, struct rc_err *err)
{
    *options = (struct rc_bench_options){0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "help") == 0) {
            rc_bench_arguments_help(stdout);
            return 1;
        }
    }
    if (argc < 2) {
        return rc_err_set(err, -EINVAL, "what shall be measured? ringcast-bench --help says what there is");
    }
    int at = 1;
    options->command = argv[at++];
    options->scenario = options->command;
    const bool floor = strcmp(options->command, "floor") == 0;
    if (floor || strcmp(options->command, "compare-floor") == 0) {
        options->scenario = at < argc && argv[at][0] != '-' ? argv[at++] : floor ? "all" : "fanout";
    }
    if (rc_bench_scenario_find(options->scenario) == NULL && !(floor && strcmp(options->scenario, "all") == 0)) {
        return rc_err_set(err, -EINVAL, "%s is no scenario; ringcast-bench --help lists them", options->scenario);
    }
    if (options->scenario != options->command && !rc_bench_floor_has(options->scenario)) {
        return rc_err_set(err, -EINVAL,
                          "there is no floor for %s; there is for connect, idle, echo, fanout, latency and cross",
                          options->scenario);
    }
    set_defaults(options);
    const int rc = parse_flags(options, argc - at, argv + at, err);
    if (rc != 0) {
        return rc;
    }
    options->think_given = options->think_s >= 0;
    set_loop(options);
    set_think(options);
    if (strcmp(options->scenario, "unicast") == 0) {
        options->channels = options->connections; /* each is a stream of its own */
    }
    const int wrong = check_sweep(options, err);
    return wrong != 0 ? wrong : options_check(options, err);
}

void rc_bench_arguments_help(FILE *out)
{
    fputs("ringcast-bench: load for WebSocket servers, every delivery checked\n\n"
          "  ringcast-bench <scenario> [options]                 measure the server at --url\n"
          "  ringcast-bench floor [scenario|all] [options]       measure this program's own bare server loops\n"
          "  ringcast-bench compare-floor <scenario> [options]   both in turn, medians and the ratio\n\n"
          "bench/run runs the presets of bench/scenarios.toml, beside other servers.\n\n"
          "Scenarios\n",
          out);
    for (unsigned i = 0; rc_bench_scenario_at(i) != NULL; i++) {
        fprintf(out, "  %-16s %s\n", rc_bench_scenario_at(i)->name, rc_bench_scenario_at(i)->help);
    }
    fputs("\nProtocols\n", out);
    for (unsigned i = 0; rc_bench_protocol_at(i) != NULL; i++) {
        fprintf(out, "  %-16s %s\n", rc_bench_protocol_at(i)->name, rc_bench_protocol_at(i)->help);
    }
    fputs("\nOptions\n", out);
    for (size_t i = 0; i < RC_ARRAY_COUNT(rows); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s %s", rows[i].name, rows[i].value != NULL ? rows[i].value : "");
        fprintf(out, "  %-24s %s\n", name, rows[i].help);
    }
    fputs(
        "\nExit code: 0; 1 when something was lost, duplicated, reordered, corrupted or refused, or a connection failed\n"
        "(--allow-loss forgives loss and ended connections); 2 when the command line or the server cannot be used.\n",
        out);
}
