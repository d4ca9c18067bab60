/* floor: see floor.h. */
#include "bench/floor.h"

#include "bench/floor_chain.h"
#include "bench/floor_core.h"
#include "bench/net.h"
#include "bench/scenario.h"

#include "common/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *scenario;
    enum rc_bench_floor_kind kind;
    const char *name;
} kinds[] = {
    {"connect", RC_BENCH_FLOOR_ACCEPT, "accept+receive+send+close"},
    {"idle", RC_BENCH_FLOOR_ACCEPT, "accepted, poll armed"},
    {"echo", RC_BENCH_FLOOR_ECHO, "receive+send"},
    {"fanout", RC_BENCH_FLOOR_FANOUT, "send"},
    {"rooms", RC_BENCH_FLOOR_ROOMS, "receive+send"},
    {"latency", RC_BENCH_FLOOR_TCP, "TCP echo"},
    {"cross", RC_BENCH_FLOOR_HOSTS, "bare chain of five processes"},
};
static const char host_chain[] = "bare chain of two processes";

static int kind_of(const char *scenario)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].scenario, scenario) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool rc_bench_floor_has(const char *scenario)
{
    return strcmp(scenario, "all") == 0 || kind_of(scenario) >= 0;
}

static enum rc_bench_floor_kind kind_for(const struct rc_bench_options *options)
{
    const enum rc_bench_floor_kind kind = kinds[kind_of(options->scenario)].kind;
    return kind == RC_BENCH_FLOOR_TCP && options->engine == RC_BENCH_ENGINE_CHAIN ? RC_BENCH_FLOOR_HOST : kind;
}

static bool is_chain(enum rc_bench_floor_kind kind)
{
    return kind == RC_BENCH_FLOOR_HOST || kind == RC_BENCH_FLOOR_HOSTS;
}

__attribute__((noreturn)) static void floor_serve(const struct rc_bench_options *options, int listener, int ready,
                                                  pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    if (getppid() != parent) {
        _exit(1);
    }
    if (options->server_cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)options->server_cpu, &cpus);
        sched_setaffinity(0, sizeof(cpus), &cpus);
    }
    const enum rc_bench_floor_kind kind = kind_for(options);
    if (is_chain(kind)) {
        rc_bench_floor_chain(listener, ready, kind == RC_BENCH_FLOOR_HOSTS);
    }
    struct rc_bench_floor_core core = {
        .kind = kind,
        .coalesce = options->coalesce,
        .stride = options->stride,
        .payload_bytes = options->payload_bytes,
        .channel_count = options->channels,
    };
    if (options->engine == RC_BENCH_ENGINE_EPOLL) {
        fcntl(listener, F_SETFL, O_NONBLOCK);
        rc_bench_floor_epoll(&core, listener);
    }
    rc_bench_floor_uring(&core, listener, options->connections + rc_bench_scenario_publishers(options));
}

int rc_bench_floor_start(struct rc_bench_floor *floor, const struct rc_bench_options *options, struct rc_err *err)
{
    uint16_t port = 0;
    const int kind = kind_of(options->scenario);
    RC_ASSERT(kind >= 0);
    if (kinds[kind].kind == RC_BENCH_FLOOR_ECHO && options->connections > RC_BENCH_FLOOR_ECHO_MAX) {
        return rc_err_set(err, -EINVAL, "the echo floor has one ring, for up to %u connections",
                          RC_BENCH_FLOOR_ECHO_MAX);
    }
    if (options->engine == RC_BENCH_ENGINE_EPOLL && options->connections > RC_BENCH_FLOOR_EPOLL_MAX) {
        return rc_err_set(err, -EINVAL, "an epoll floor has one process, for up to %u connections",
                          RC_BENCH_FLOOR_EPOLL_MAX);
    }
    if (is_chain(kind_for(options)) && options->connections != 1) {
        return rc_err_set(err, -EINVAL, "the chain of bare processes has one connection: give --connections 1");
    }
    if (options->engine == RC_BENCH_ENGINE_CHAIN && !is_chain(kind_for(options))) {
        return rc_err_set(err, -EINVAL, "there is a chain of bare processes for latency and cross only");
    }
    const int listener = rc_bench_net_listen(&port);
    if (listener < 0) {
        return rc_err_set(err, listener, "cannot listen on 127.0.0.1: %s", strerror(-listener));
    }
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) {
        const int rc = -errno;
        close(listener);
        return rc_err_set(err, rc, "cannot make a pipe: %s", strerror(-rc));
    }
    fflush(NULL);
    const pid_t parent = getpid();
    floor->pid = fork();
    if (floor->pid == 0) {
        floor_serve(options, listener, ready[1], parent);
    }
    const int rc = floor->pid < 0 ? -errno : 0;
    close(listener);
    close(ready[1]);
    char byte;
    if (rc == 0 && is_chain(kind_for(options))) {
        (void)!read(ready[0], &byte, 1); /* its end, should it fail: then the connection says so */
    }
    close(ready[0]);
    if (rc != 0) {
        return rc_err_set(err, rc, "cannot make the floor's process: %s", strerror(-rc));
    }
    snprintf(floor->url, sizeof(floor->url), "ws://127.0.0.1:%u", port);
    char coalesced[24] = "";
    if (kinds[kind].kind == RC_BENCH_FLOOR_FANOUT && options->coalesce > 1) {
        snprintf(coalesced, sizeof(coalesced), " x%u", options->coalesce);
    }
    if (is_chain(kind_for(options))) {
        snprintf(floor->label, sizeof(floor->label), "floor: %s",
                 kind_for(options) == RC_BENCH_FLOOR_HOST ? host_chain : kinds[kind].name);
    } else {
        snprintf(floor->label, sizeof(floor->label), "floor: %s %s%s",
                 options->engine == RC_BENCH_ENGINE_EPOLL ? "epoll" : "io_uring", kinds[kind].name, coalesced);
    }
    return 0;
}

void rc_bench_floor_stop(struct rc_bench_floor *floor)
{
    kill(floor->pid, SIGKILL);
    waitpid(floor->pid, NULL, 0);
    floor->pid = 0;
}

struct rc_bench_options rc_bench_floor_options(const struct rc_bench_floor *floor,
                                               const struct rc_bench_options *options)
{
    struct rc_bench_options changed = *options;
    changed.url = floor->url;
    changed.subscribe_url = NULL;
    changed.label = floor->label;
    changed.protocol = "floor";
    changed.server_pids[0] = floor->pid;
    changed.server_pid_count = 1;
    const enum rc_bench_floor_kind kind = kind_for(options);
    if (kind == RC_BENCH_FLOOR_TCP || is_chain(kind)) {
        changed.scenario = "echo";
        changed.protocol = "tcp";
        changed.publishers = 0;
    }
    return changed;
}
