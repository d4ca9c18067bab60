/* run: see run.h. */
#include "bench/run.h"

#include "bench/client.h"
#include "bench/procstat.h"
#include "bench/scenario.h"

#include "common/base/check.h"
#include "common/base/clock.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 20000000u
#define PROGRESS_NS 500000000u
#define RSS_NS 500000000u
#define CONNECT_QUIET_NS 20000000000u /* connecting without progress for so long has failed */
#define WARMUP_NS_MAX 30000000000u
#define DRAIN_QUIET_NS 1000000000u /* nothing came for so long: nothing more will */
#define STOP_NS_MAX 20000000000u
#define SETTLE_NS 300000000u
#define IDLE_SETTLE_NS 1000000000u
#define ECHO_BYTES_MAX 131072u
#define WINDOW_COUNTS_MAX (UINT64_C(1) << 26)

/* The coordinator's view of one run. */
struct run {
    const struct rc_bench_options *options;
    struct rc_bench_plan plan;
    struct rc_bench_shared *shared;
    struct rc_bench_result *result;
    pid_t *pids;
    int *wakes;
    uint64_t progress_ns;
    uint64_t rss_ns; /* when the server's memory was looked at */
    pid_t tree[RC_BENCH_TREE_MAX];
    uint32_t tree_count;
    pid_t part[RC_BENCH_TREE_MAX];
    uint32_t part_count;
    cpu_set_t server_cpus; /* where the processes of `tree` may run */
    char server_net[40];   /* /proc/PID/net of the server's namespace */
    bool same_namespace;   /* as the clients': its counters hold their sends too */
    bool tty;
    struct rc_bench_latency latency; /* at the last moment that was kept */
};

struct sample {
    uint64_t at_ns;
    uint64_t published;
    uint64_t deliveries;
    uint64_t receives;
    uint64_t bytes;
    uint64_t inflated;
    uint64_t deltas;
    uint64_t ready;
    struct rc_bench_tcp tcp;
    uint64_t sent_segments;
    uint64_t server_cpu_ns;
    uint64_t part_cpu_ns;
    int64_t ksoftirqd_ns;
    uint64_t client_cpu_ns;
};

struct memory_sample {
    struct rc_bench_memory server;
    uint64_t client_pss_bytes;
    struct rc_bench_kernel_memory kernel;
};

/* --- planning --------------------------------------------------------------------------------------------------------- */

/* What a protocol that polls cannot be asked for. */
static int check_polling(const struct rc_bench_plan *plan, struct rc_err *err)
{
    const bool polls = plan->protocol->framing[RC_BENCH_SUBSCRIBER] == RC_BENCH_FRAMING_POLLING;
    const bool paths = plan->publish_at.path[0] != '\0' || plan->subscribe_at.path[0] != '\0';
    if ((polls || plan->protocol->upgrades) && paths) {
        return rc_err_set(err, -EINVAL, "--protocol %s makes its own paths; give --url without one",
                          plan->protocol->name);
    }
    if (polls && (plan->scenario->members || (plan->scenario->payload != NULL && !plan->scenario->publishes))) {
        return rc_err_set(err, -EINVAL, "in %s all connections send, with --protocol %s only publishers do",
                          plan->scenario->name, plan->protocol->name);
    }
    return 0;
}

/* Connections that a client process may have, besides their openers; the limit of its descriptors is raised as far as it goes. */
static uint32_t slots_of_process(const struct rc_bench_plan *plan)
{
    struct rlimit limit;
    uint32_t slots = RC_BENCH_SLOTS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max});
        slots = limit.rlim_max > 100000 ? 32000 : limit.rlim_max > 200 ? (uint32_t)limit.rlim_max - 100 : 100;
    }
    return plan->protocol->upgrades ? slots / 2 : slots;
}

/* How the connections are spread over client processes. */
static int plan_processes(struct rc_bench_plan *plan, struct rc_err *err)
{
    const struct rc_bench_options *const options = plan->options;
    const uint32_t slots = slots_of_process(plan);
    const uint32_t needed =
        (plan->subscribers + plan->publishers + slots - 1) / slots + (plan->publishers > slots / 2 ? 1 : 0);
    plan->processes = options->processes > 0 ? options->processes : needed;
    if (plan->scenario->returns) {
        const uint32_t others =
            options->processes > 1 ? options->processes - 1 : (options->connections + slots - 1) / slots;
        plan->processes = 1 + others;
    }
    if (plan->processes > plan->subscribers && !plan->scenario->returns) {
        plan->processes = plan->subscribers;
    }
    if (plan->members && plan->processes > 1) {
        return rc_err_set(err, -EINVAL, "the members of all rooms must fit into one process, of at most %u descriptors",
                          slots);
    }
    const uint32_t most = plan->scenario->returns ? options->connections / (plan->processes - 1) + 1
                                                  : plan->subscribers / plan->processes + plan->publishers;
    if (plan->processes > RC_BENCH_PROCESSES_MAX || most > slots || plan->calm + plan->publishers > slots) {
        return rc_err_set(
            err, -EINVAL,
            "%u connections do not fit into %u processes of at most %u descriptors; raise RLIMIT_NOFILE or --processes",
            plan->subscribers + plan->publishers, plan->processes, slots);
    }
    return 0;
}

static int make_plan(struct run *run, struct rc_err *err)
{
    const struct rc_bench_options *const options = run->options;
    struct rc_bench_plan *const plan = &run->plan;
    plan->options = options;
    plan->scenario = rc_bench_scenario_find(options->scenario);
    plan->protocol =
        rc_bench_protocol_find(options->protocol != NULL ? options->protocol : plan->scenario->default_protocol);
    RC_ASSERT(plan->protocol != NULL);
    int rc = rc_bench_net_target(&plan->publish_at, options->url, err);
    if (rc == 0) {
        rc = rc_bench_net_target(&plan->subscribe_at,
                                 options->subscribe_url != NULL ? options->subscribe_url : options->url, err);
    }
    if (rc == 0) {
        rc = check_polling(plan, err);
    }
    if (rc != 0) {
        return rc;
    }
    plan->subscribers = options->connections;
    if (plan->scenario->churns) {
        /* As many as are there at a time, and some that are on their way. */
        plan->restless = (uint32_t)(options->churn_rate * (options->churn_stay_s + 0.5)) + 16;
        plan->subscribers += plan->restless;
    }
    if (plan->scenario->returns) {
        plan->calm = options->calm;
        plan->subscribers += plan->calm;
    }
    plan->publishers = rc_bench_scenario_publishers(options);
    plan->members = plan->scenario->members;
    plan->returns = plan->scenario->returns;
    plan->channels = options->channels;
    if (plan->scenario->publishes && plan->scenario->role == RC_BENCH_SUBSCRIBER && !plan->protocol->channels &&
        plan->channels > 1) {
        return rc_err_set(err, -EINVAL, "--protocol %s has one channel only; leave --channels away",
                          plan->protocol->name);
    }
    if (plan->scenario->publishes && plan->scenario->role == RC_BENCH_TARGET && !plan->protocol->direct) {
        return rc_err_set(err, -EINVAL, "--protocol %s has no direct messages", plan->protocol->name);
    }
    const uint32_t publishers = plan->members ? plan->subscribers : plan->publishers;
    plan->streams = plan->channels > publishers ? plan->channels : publishers;
    if (plan->members && plan->channels > plan->subscribers) {
        return rc_err_set(err, -EINVAL, "%u rooms for %u members leave some empty; give fewer --channels",
                          plan->channels, plan->subscribers);
    }
    plan->streams_per_channel = (plan->streams + plan->channels - 1) / plan->channels;
    if (plan->scenario->publishes && options->window > 0) {
        plan->window_slots = rc_bench_plan_window_slots(options->window, plan->streams);
        if ((uint64_t)plan->streams * plan->window_slots > WINDOW_COUNTS_MAX) {
            return rc_err_set(err, -EINVAL, "--window %u on %u streams needs too much memory; give a smaller one",
                              options->window, plan->streams);
        }
    }
    if (!plan->scenario->publishes && plan->scenario->payload != NULL) {
        /* Echo: nothing parks or waits in the client, so all that is in flight must fit into the socket. */
        const uint64_t in_flight = (uint64_t)options->payload_bytes * (options->window > 0 ? options->window : 1);
        if (in_flight > ECHO_BYTES_MAX) {
            return rc_err_set(err, -EINVAL, "--payload times --window must not exceed %u bytes for echo",
                              ECHO_BYTES_MAX);
        }
        plan->send_bytes = in_flight > ECHO_BYTES_MAX / 16 ? ECHO_BYTES_MAX * 3 / 2 : 0;
    }
    return plan_processes(plan, err);
}

static void *share_of(size_t bytes)
{
    void *const at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static size_t tallies_bytes(const struct run *run)
{
    return run->plan.processes * sizeof(struct rc_bench_tally);
}

static size_t left_count(const struct run *run)
{
    return (size_t)run->plan.streams * run->plan.window_slots + 1;
}

static size_t names_bytes(const struct rc_bench_plan *plan)
{
    return (size_t)(plan->subscribers + plan->channels) * RC_BENCH_NAME_MAX;
}

static int make_shared(struct run *run, struct rc_err *err)
{
    const struct rc_bench_plan *const plan = &run->plan;
    run->shared = share_of(sizeof(*run->shared));
    if (run->shared == NULL) {
        return rc_err_set(err, -ENOMEM, "no shared memory");
    }
    struct rc_bench_shared *const shared = run->shared;
    shared->tallies = share_of(tallies_bytes(run));
    shared->sequences = share_of(plan->streams * sizeof(*shared->sequences));
    shared->left = share_of(left_count(run) * sizeof(*shared->left));
    shared->finished_slots = 4;
    while (shared->finished_slots < 2 * run->options->window + 2) {
        shared->finished_slots *= 2;
    }
    shared->finished = share_of(shared->finished_slots * sizeof(*shared->finished));
    const bool names =
        plan->scenario->returns || (plan->scenario->publishes && plan->scenario->role == RC_BENCH_TARGET);
    shared->names = names ? share_of(names_bytes(plan)) : NULL;
    if (shared->tallies == NULL || shared->sequences == NULL || shared->left == NULL || shared->finished == NULL ||
        (names && shared->names == NULL)) {
        return rc_err_set(err, -ENOMEM, "no shared memory for %u connections", plan->subscribers);
    }
    atomic_init(&shared->measure_start_ns, UINT64_MAX);
    atomic_init(&shared->measure_end_ns, UINT64_MAX);
    run->plan.base_ns = rc_clock_ns();
    return 0;
}

static void free_shared(struct run *run)
{
    struct rc_bench_shared *const shared = run->shared;
    if (shared == NULL) {
        return;
    }
    if (shared->tallies != NULL) {
        munmap(shared->tallies, tallies_bytes(run));
    }
    if (shared->sequences != NULL) {
        munmap(shared->sequences, run->plan.streams * sizeof(*shared->sequences));
    }
    if (shared->left != NULL) {
        munmap(shared->left, left_count(run) * sizeof(*shared->left));
    }
    if (shared->finished != NULL) {
        munmap(shared->finished, shared->finished_slots * sizeof(*shared->finished));
    }
    if (shared->names != NULL) {
        munmap(shared->names, names_bytes(&run->plan));
    }
    munmap(shared, sizeof(*shared));
}

static int start_processes(struct run *run, struct rc_err *err)
{
    const uint32_t count = run->plan.processes;
    run->pids = calloc(count, sizeof(*run->pids));
    run->wakes = malloc(count * sizeof(*run->wakes));
    RC_ASSERT(run->pids != NULL && run->wakes != NULL);
    for (uint32_t i = 0; i < count; i++) {
        run->wakes[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (run->wakes[i] < 0) {
            return rc_err_set(err, -errno, "eventfd: %s", strerror(errno));
        }
    }
    run->shared->publisher_wake = run->wakes[0];
    const pid_t coordinator = getpid();
    for (uint32_t i = 0; i < count; i++) {
        const pid_t pid = fork();
        if (pid < 0) {
            return rc_err_set(err, -errno, "cannot make client process %u: %s", i, strerror(errno));
        }
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGINT, SIG_IGN);
            if (getppid() != coordinator) {
                _exit(1);
            }
            _exit(rc_bench_client_run(&run->plan, run->shared, i, run->wakes[i]));
        }
        run->pids[i] = pid;
    }
    return 0;
}

/* --- looking at it ---------------------------------------------------------------------------------------------------- */

static uint64_t sum_at(const struct run *run, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        sum += rc_bench_counted((const _Atomic uint64_t *)((const char *)&run->shared->tallies[i] + offset));
    }
    return sum;
}

#define SUM(run, member) sum_at((run), offsetof(struct rc_bench_tally, member))

static void take_sample(struct run *run, struct sample *sample)
{
    *sample = (struct sample){0};
    for (uint32_t i = 0; i < run->tree_count; i++) {
        sample->server_cpu_ns += rc_bench_procstat_cpu_ns(run->tree[i]);
    }
    for (uint32_t i = 0; i < run->part_count; i++) {
        sample->part_cpu_ns += rc_bench_procstat_cpu_ns(run->part[i]);
    }
    sample->at_ns = rc_clock_ns();
    sample->published = SUM(run, published);
    sample->deliveries = SUM(run, deliveries);
    sample->receives = SUM(run, receives);
    sample->bytes = SUM(run, bytes);
    sample->inflated = SUM(run, inflated);
    sample->deltas = SUM(run, deltas);
    sample->ready = SUM(run, ready);
    sample->sent_segments = SUM(run, sent_segments);
    rc_bench_procstat_tcp(run->server_net, &sample->tcp);
    sample->ksoftirqd_ns = rc_bench_procstat_ksoftirqd_ns("/proc", &run->server_cpus);
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        sample->client_cpu_ns += rc_bench_procstat_cpu_ns(run->pids[i]);
    }
}

static void find_tree(struct run *run)
{
    run->tree_count =
        rc_bench_procstat_tree(run->options->server_pids, run->options->server_pid_count, run->tree, RC_BENCH_TREE_MAX);
    run->part_count =
        rc_bench_procstat_tree(run->options->part_pids, run->options->part_pid_count, run->part, RC_BENCH_TREE_MAX);
    run->result->server_processes = run->tree_count;
    rc_bench_procstat_cpus(run->tree, run->tree_count, &run->server_cpus);
    run->same_namespace = run->tree_count == 0 || rc_bench_procstat_same_namespace(run->tree[0]);
    snprintf(run->server_net, sizeof(run->server_net), "/proc/%d/net",
             run->tree_count > 0 ? (int)run->tree[0] : (int)getpid());
}

static void take_memory(struct run *run, struct memory_sample *sample, bool with_clients)
{
    *sample = (struct memory_sample){0};
    for (uint32_t i = 0; i < run->tree_count; i++) {
        struct rc_bench_memory one;
        rc_bench_procstat_memory(run->tree[i], &one);
        sample->server.rss_bytes += one.rss_bytes;
        sample->server.pss_bytes += one.pss_bytes;
    }
    for (uint32_t i = 0; with_clients && i < run->plan.processes; i++) {
        struct rc_bench_memory one;
        rc_bench_procstat_memory(run->pids[i], &one);
        sample->client_pss_bytes += one.pss_bytes;
    }
    rc_bench_procstat_kernel_memory(&sample->kernel);
}

/* Keeps the largest memory that the server was seen with. */
static void note_rss(struct run *run, uint64_t now_ns)
{
    uint64_t bytes = 0;
    if (now_ns - run->rss_ns < RSS_NS) {
        return;
    }
    run->rss_ns = now_ns;
    for (uint32_t i = 0; i < run->tree_count; i++) {
        bytes += rc_bench_procstat_rss(run->tree[i]);
    }
    if (bytes > run->result->server_rss_now_bytes) {
        run->result->server_rss_now_bytes = bytes;
    }
}

static void sleep_ns(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}

static void set_phase(struct run *run, enum rc_bench_phase phase)
{
    /* BM3 pairs with BM4 in client_loop() of client.c: what the phase needs is written before it. */
    atomic_store_explicit(&run->shared->phase, phase, memory_order_release);
    const uint64_t one = 1;
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        if (write(run->wakes[i], &one, sizeof(one)) < 0) {
            continue; /* a full counter wakes as well */
        }
    }
}

static void run_note(struct run *run, const char *text)
{
    if (run->result->error[0] == '\0') {
        snprintf(run->result->error, sizeof(run->result->error), "%s", text);
    }
}

/* False when a client process has died or given up: then there is no use in going on. */
static bool all_alive(struct run *run)
{
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        int status;
        if (run->pids[i] > 0 && waitpid(run->pids[i], &status, WNOHANG) == run->pids[i]) {
            run->pids[i] = 0;
            run_note(run, run->shared->tallies[i].error[0] != '\0' ? run->shared->tallies[i].error
                          : WIFSIGNALED(status)                    ? "a client process died"
                                                                   : "a client process ended");
            return false;
        }
    }
    return true;
}

static void run_progress(struct run *run, const char *what, uint64_t now)
{
    if (!run->tty || now - run->progress_ns < PROGRESS_NS) {
        return;
    }
    run->progress_ns = now;
    fprintf(stderr, "\r\033[K%s %s: %llu open, %llu published, %llu delivered, %llu missing, %llu failed",
            run->result->label, what, (unsigned long long)SUM(run, open), (unsigned long long)SUM(run, published),
            (unsigned long long)SUM(run, deliveries), (unsigned long long)SUM(run, skipped),
            (unsigned long long)SUM(run, failed));
}

/* --- the phases ------------------------------------------------------------------------------------------------------- */

static bool prepare_all(struct run *run)
{
    while (SUM(run, prepared) < run->plan.processes) {
        if (!all_alive(run)) {
            return false;
        }
        sleep_ns(TICK_NS / 20);
    }
    return true;
}

static bool connect_all(struct run *run)
{
    const uint64_t began = rc_clock_ns();
    uint64_t moved = began, before = 0;
    const uint64_t wanted = SUM(run, wanted);
    for (;;) {
        const uint64_t now = rc_clock_ns();
        const uint64_t ready = SUM(run, ready);
        if (ready >= wanted) {
            run->result->connect_s = (double)(now - began) / 1e9;
            return true;
        }
        if (!all_alive(run)) {
            return false;
        }
        if (SUM(run, failed) > 0 && (!run->options->allow_loss || SUM(run, failed) + ready >= wanted)) {
            return run->options->allow_loss && ready > 0;
        }
        if (ready != before) {
            before = ready;
            moved = now;
        } else if (now - moved > CONNECT_QUIET_NS) {
            run_note(run, "connections were accepted but never joined: is this the right --protocol?");
            return false;
        }
        run_progress(run, "connecting", now);
        sleep_ns(TICK_NS / 4);
    }
}

/* Messages each subscriber is to have before measuring, times subscribers. */
static uint64_t warmup_deliveries(const struct run *run)
{
    const struct rc_bench_plan *const plan = &run->plan;
    const uint64_t rounds = run->options->warmup_rounds;
    if (plan->scenario->publishes) {
        /* What is coalesced into one send counts once: only then do the acknowledgements of a connection settle. */
        const uint64_t in_a_send = run->options->window > plan->streams ? run->options->window / plan->streams : 1;
        return rounds * in_a_send * plan->subscribers * (plan->window_slots > 0 ? 1 : 0);
    }
    return run->options->rate > 0 ? 0 : rounds * plan->subscribers;
}

/* What all subscribers should have by the end; 0 when that cannot be said. */
static uint64_t expected_deliveries(const struct run *run)
{
    const struct rc_bench_plan *const plan = &run->plan;
    if (!plan->scenario->publishes) {
        return plan->scenario->payload != NULL ? SUM(run, published) : 0;
    }
    uint64_t sum = 0;
    for (uint32_t stream = 0; stream < plan->streams && !plan->scenario->open_loop_only; stream++) {
        sum += (uint64_t)rc_bench_sequence(run->shared, stream) *
               rc_bench_plan_on_channel(plan, 0, plan->subscribers, stream % plan->channels);
    }
    return sum;
}

/* The clients write on meanwhile: what one misses is of the next moment. */
static void latency_of_moment(struct run *run, struct rc_bench_moment *moment)
{
    struct rc_bench_latency now = {0};
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        rc_bench_latency_merge(&now, &run->shared->tallies[i].latency);
    }
    rc_bench_latency_since(&run->latency, &now);
    moment->p50_ns = rc_bench_latency_quantile(&run->latency, 0.5);
    moment->p99_ns = rc_bench_latency_quantile(&run->latency, 0.99);
    run->latency = now;
}

/* Keeps a moment if the last one is long enough ago, and notices the end of a surge's consequences. */
static void note_moment(struct run *run, uint64_t now_ns)
{
    struct rc_bench_result *const result = run->result;
    const struct rc_bench_options *const options = run->options;
    const uint64_t measured = rc_bench_counted(&run->shared->measure_start_ns);
    if (measured == UINT64_MAX) {
        return;
    }
    struct rc_bench_moment moment = {
        .at_s = (double)(now_ns - run->plan.base_ns - measured) / 1e9,
        .published = SUM(run, published),
        .deliveries = SUM(run, deliveries),
        .missing = SUM(run, skipped) + SUM(run, excused),
        .open = SUM(run, open),
    };
    const double step_s = options->duration_s / (RC_BENCH_MOMENTS_MAX - 2);
    const uint32_t count = result->moment_count;
    if (count < RC_BENCH_MOMENTS_MAX && (count == 0 || moment.at_s - result->moments[count - 1].at_s >= step_s)) {
        latency_of_moment(run, &moment);
        result->moments[result->moment_count++] = moment;
    }
    if (options->surge > 1 && moment.at_s >= options->surge_at_s + options->surge_for_s && result->recovery_s < 0) {
        /* Behind: published, neither delivered nor known to be missing. A tenth of a second's worth is under way anyway. */
        const double expected = (double)expected_deliveries(run) - (double)moment.deliveries - (double)moment.missing;
        const double usual = (options->rate * 0.1 + 2) * run->plan.subscribers / run->plan.channels;
        if (expected <= usual) {
            result->recovery_s = moment.at_s - options->surge_at_s - options->surge_for_s;
        }
    }
}

static bool wait_until(struct run *run, uint64_t end_ns, const char *what)
{
    for (uint64_t now = rc_clock_ns(); now < end_ns; now = rc_clock_ns()) {
        sleep_ns(end_ns - now < TICK_NS ? end_ns - now : TICK_NS);
        note_moment(run, now);
        if (!all_alive(run)) {
            return false;
        }
        if (SUM(run, failed) > 0 && SUM(run, ready) == 0) {
            return false; /* the first error says why */
        }
        if (run->plan.window_slots > 0 && SUM(run, closed) > 0) {
            run_note(run, "the server ended a subscriber's connection");
            return false;
        }
        if (SUM(run, stalls) >= 3) {
            run_note(run, "nothing is delivered any more");
            return false;
        }
        note_rss(run, now);
        run_progress(run, what, now);
    }
    return true;
}

static bool warm_up(struct run *run)
{
    const uint64_t began = rc_clock_ns();
    const uint64_t wanted = warmup_deliveries(run);
    bool going = wait_until(run, began + (uint64_t)(run->options->warmup_s * 1e9), "warm-up");
    while (going && SUM(run, deliveries) < wanted && rc_clock_ns() - began < WARMUP_NS_MAX) {
        going = wait_until(run, rc_clock_ns() + TICK_NS, "warm-up");
    }
    run->result->warmup_s = (double)(rc_clock_ns() - began) / 1e9;
    return going;
}

static void run_measure(struct run *run)
{
    struct sample from, to;
    struct rc_bench_result *const result = run->result;
    result->recovery_s = -1;
    result->surged = run->options->surge > 1;
    take_sample(run, &from);
    run->result->measured_at_s = (double)rc_clock_wall_ms() / 1e3;
    atomic_store_explicit(&run->shared->measure_start_ns, rc_clock_ns() - run->plan.base_ns, memory_order_relaxed);
    if (!wait_until(run, from.at_ns + (uint64_t)(run->options->duration_s * 1e9), "measuring")) {
        result->broken_off = true;
    }
    atomic_store_explicit(&run->shared->measure_end_ns, rc_clock_ns() - run->plan.base_ns, memory_order_relaxed);
    take_sample(run, &to);
    result->seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    result->published = to.published - from.published;
    result->deliveries = to.deliveries - from.deliveries;
    result->receives = to.receives - from.receives;
    result->bytes = to.bytes - from.bytes;
    result->inflated = to.inflated - from.inflated;
    result->deltas = to.deltas - from.deltas;
    result->joined = to.ready - from.ready;
    result->segments = to.tcp.segments - from.tcp.segments;
    result->sends = rc_bench_result_sends(to.tcp.data_segments - from.tcp.data_segments,
                                          run->same_namespace ? to.sent_segments - from.sent_segments : 0);
    result->server_cpu_ns = (double)(to.server_cpu_ns - from.server_cpu_ns);
    result->part_cpu_ns = (double)(to.part_cpu_ns - from.part_cpu_ns);
    result->ksoftirqd_ns = to.ksoftirqd_ns < 0 ? -1 : (double)(to.ksoftirqd_ns - from.ksoftirqd_ns);
    result->client_cpu_ns = (double)(to.client_cpu_ns - from.client_cpu_ns);
}

static void run_drain(struct run *run)
{
    const uint64_t began = rc_clock_ns();
    set_phase(run, RC_BENCH_DRAIN);
    uint64_t moved = began, before = 0;
    for (;;) {
        sleep_ns(TICK_NS / 2);
        const uint64_t now = rc_clock_ns();
        const uint64_t deliveries = SUM(run, deliveries);
        const uint64_t expected = expected_deliveries(run);
        if (deliveries != before) {
            before = deliveries;
            moved = now;
        }
        run_progress(run, "draining", now);
        if ((expected > 0 && deliveries >= expected) || now - moved > DRAIN_QUIET_NS || !all_alive(run) ||
            (double)(now - began) > run->options->drain_s * 1e9) {
            run->result->drain_s = (double)(moved - began) / 1e9;
            return;
        }
    }
}

static void run_stop(struct run *run)
{
    set_phase(run, RC_BENCH_STOP);
    const uint64_t until = rc_clock_ns() + STOP_NS_MAX;
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        int status;
        while (run->pids[i] > 0 && waitpid(run->pids[i], &status, WNOHANG) == 0) {
            if (rc_clock_ns() > until) {
                kill(run->pids[i], SIGKILL);
                run_note(run, "a client process did not stop");
            }
            sleep_ns(TICK_NS / 8);
        }
    }
    if (run->tty) {
        fputs("\r\033[K", stderr);
    }
}

static void run_collect(struct run *run)
{
    struct rc_bench_result *const result = run->result;
    result->total_published = SUM(run, published);
    result->total_deliveries = SUM(run, deliveries);
    result->opened = SUM(run, opened);
    result->failed = SUM(run, failed);
    result->closed = SUM(run, closed);
    result->lost = SUM(run, lost);
    result->duplicated = SUM(run, duplicated);
    result->late = SUM(run, late);
    result->corrupted = SUM(run, corrupted);
    result->gaps = SUM(run, gaps);
    result->refused = SUM(run, refused);
    result->excused = SUM(run, excused);
    result->stalls = SUM(run, stalls);
    result->pings = SUM(run, pings);
    result->returned = SUM(run, returned);
    result->unsent = SUM(run, unsent);
    result->slow = SUM(run, slow);
    result->caught_up = SUM(run, caught_up);
    result->blocked_s = (double)SUM(run, blocked_ns) / 1e9;
    for (uint32_t i = 0; i < run->plan.processes; i++) {
        const struct rc_bench_tally *const tally = &run->shared->tallies[i];
        const double storm_s = (double)rc_bench_counted(&tally->storm_ns) / 1e9;
        result->storm_s = storm_s > result->storm_s ? storm_s : result->storm_s;
        rc_bench_latency_merge(&result->latency, &tally->latency);
        rc_bench_latency_merge(&result->before, &tally->before);
        rc_bench_latency_merge(&result->handshake, &tally->handshake);
        if (tally->error[0] != '\0') {
            run_note(run, tally->error);
        }
    }
}

static void run_phases(struct run *run)
{
    struct memory_sample empty, full;
    struct rc_bench_result *const result = run->result;
    find_tree(run);
    if (!prepare_all(run)) {
        result->broken_off = true;
        run_stop(run);
        return;
    }
    const bool settle = run->plan.scenario->idle || run->plan.subscribers >= 10000;
    if (settle) {
        sleep_ns(IDLE_SETTLE_NS); /* sockets of an earlier run are freed after a grace period */
    }
    take_memory(run, &empty, true);
    set_phase(run, RC_BENCH_CONNECT);
    if (!connect_all(run)) {
        result->broken_off = true;
        run_stop(run);
        return;
    }
    set_phase(run, RC_BENCH_HOLD);
    find_tree(run); /* again: a server may have made processes since */
    sleep_ns(settle ? IDLE_SETTLE_NS : SETTLE_NS);
    take_memory(run, &full, true);
    result->connections = SUM(run, open);
    result->server_rss_bytes = (int64_t)(full.server.rss_bytes - empty.server.rss_bytes);
    result->server_pss_bytes = (int64_t)(full.server.pss_bytes - empty.server.pss_bytes);
    result->client_pss_bytes = (int64_t)(full.client_pss_bytes - empty.client_pss_bytes);
    result->slab_bytes = (int64_t)(full.kernel.slab_bytes - empty.kernel.slab_bytes);
    result->page_table_bytes = (int64_t)(full.kernel.page_table_bytes - empty.kernel.page_table_bytes);
    atomic_store_explicit(&run->shared->run_start_ns, rc_clock_ns(), memory_order_relaxed);
    if (!run->plan.scenario->idle) {
        set_phase(run, RC_BENCH_RUN);
        if (!warm_up(run)) {
            result->broken_off = true;
        }
    }
    if (!result->broken_off) {
        run_measure(run);
    }
    run_drain(run);
    run_stop(run);
}

int rc_bench_run(const struct rc_bench_options *options, struct rc_bench_result *result, struct rc_err *err)
{
    *result = (struct rc_bench_result){0};
    struct run *const run = calloc(1, sizeof(*run));
    RC_ASSERT(run != NULL);
    run->options = options;
    run->result = result;
    run->tty = !options->quiet && isatty(STDERR_FILENO) != 0;
    int rc = make_plan(run, err);
    if (rc == 0) {
        rc = make_shared(run, err);
    }
    if (rc == 0) {
        snprintf(result->label, sizeof(result->label), "%s",
                 options->label != NULL ? options->label : run->plan.protocol->name);
        snprintf(result->scenario, sizeof(result->scenario), "%s", options->scenario);
        result->processes = run->plan.processes;
        fflush(NULL);
        rc = start_processes(run, err);
    }
    if (rc == 0) {
        run_phases(run);
        run_collect(run);
    } else if (run->pids != NULL) {
        for (uint32_t i = 0; i < run->plan.processes; i++) {
            if (run->pids[i] > 0) {
                kill(run->pids[i], SIGKILL);
                waitpid(run->pids[i], NULL, 0);
            }
        }
    }
    for (uint32_t i = 0; run->wakes != NULL && i < run->plan.processes; i++) {
        close(run->wakes[i]);
    }
    free(run->pids);
    free(run->wakes);
    free_shared(run);
    free(run);
    return rc;
}
