/* relay_host: see relay_host.h. */
#include "tests/support/relay_host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/shm/doorbell.h"
#include "common/base/log.h"
#include "common/shm/segment.h"
#include "common/shm/spawn_args.h"

#define HISTORY_BYTES (4u << 20)
#define HISTORY_VALUES_MAX 16384u

static void *make_segment(const char *name, uint64_t bytes, int *fd)
{
    struct rc_err err;
    uint64_t mapped;
    *fd = rc_segment_create(name, bytes, &err);
    RC_ASSERT(*fd >= 0);
    void *memory = rc_segment_map(*fd, &mapped, &err);
    RC_ASSERT(memory != NULL && mapped == bytes);
    return memory;
}

static void open_report(struct rc_report *report)
{
    report->abi = RC_CORE_ABI;
    report->layout = RC_REPORT_ABI;
    (void)rc_banks_own(&report->banks);
    atomic_store(&report->ready, RC_REPORT_READY);
}

static void open_shared(struct relay_host *host, uint32_t workers)
{
    struct rc_err err;
    struct rc_history_view view;
    host->core = make_segment("test-core", sizeof(struct rc_core), &host->core_fd);
    host->configs = make_segment("test-config", sizeof(struct rc_config_segment), &host->configs_fd);
    host->acceptor = make_segment("test-acceptor", sizeof(struct rc_report), &host->acceptor_fd);
    host->relay = make_segment("test-relay", sizeof(struct rc_relay_report), &host->relay_fd);
    host->keep = make_segment("test-keep", RC_RELAY_KEEP_BYTES, &host->keep_fd);
    host->history = make_segment("test-history", HISTORY_BYTES, &host->history_fd);
    rc_history_format(host->history, HISTORY_BYTES);
    RC_ASSERT(rc_history_view_open(&view, host->history, HISTORY_BYTES, &err) == 0);
    open_report(host->acceptor);
    open_report(&host->relay->report);
    host->keep->abi = RC_CORE_ABI;
    atomic_store(&host->keep->ready, RC_KEEP_READY);
    host->configs->build = RC_BUILD_ID;
    rc_config_defaults(&host->configs->copies[0]);
    host->configs->copies[0].log.level = RC_LOG_WARN;
    host->configs->copies[1] = host->configs->copies[0];
    atomic_store(&host->configs->ready, RC_CONFIG_READY);
    host->core->abi = RC_CORE_ABI;
    host->core->records_abi = RC_RECORDS_ABI;
    host->core->bytes = sizeof(struct rc_core);
    host->core->worker_count = workers;
    host->core->boot_nonce = 7;
    memcpy(host->core->hash_secret, rc_hash_secret(), sizeof(host->core->hash_secret));
    atomic_store(&host->core->state, RC_BROKER_RUNNING);
    atomic_store(&host->core->ready, RC_CORE_READY);
    RC_ASSERT(rc_control_copy(&host->control, host->core, sizeof(struct rc_core), &err) == 0);
    host->control.configs = host->configs;
    host->control.acceptor = host->acceptor;
    host->control.relay = host->control.own_relay = host->relay;
    host->control.own = &host->relay->report;
    host->control.metrics = rc_banks_own(&host->relay->report.banks);
    host->control.keep = host->keep;
    host->control.history = view;
}

void relay_host_open(struct relay_host *host, uint32_t workers, uint64_t ring_bytes, uint64_t overflow_bytes)
{
    struct rc_err err;
    memset(host, 0, sizeof(*host));
    open_shared(host, workers);
    RC_ASSERT(pipe2(host->life_fds, O_CLOEXEC) == 0);
    host->relay_bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    host->acceptor_bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    host->order_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    host->pass_fd = memfd_create("pass", MFD_CLOEXEC);
    RC_ASSERT(host->relay_bell_fd >= 0 && host->acceptor_bell_fd >= 0 && host->order_fd >= 0 && host->pass_fd >= 0);
    host->worker_count = workers;
    for (uint32_t i = 0; i < workers; i++) {
        struct relay_host_worker *worker = &host->workers[i];
        worker->port_bytes = rc_port_bytes(ring_bytes, overflow_bytes);
        worker->port = make_segment("test-port", worker->port_bytes, &worker->port_fd);
        worker->port->abi = RC_PORT_ABI;
        worker->port->ring_bytes = ring_bytes;
        worker->port->overflow_bytes = overflow_bytes;
        atomic_store(&worker->port->ready, RC_PORT_READY);
        RC_ASSERT(rc_port_view_open(&worker->view, worker->port, worker->port_bytes, &err) == 0);
        worker->report = make_segment("test-worker", sizeof(struct rc_report), &worker->report_fd);
        open_report(worker->report);
        host->control.workers[i] = worker->report;
        worker->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        RC_ASSERT(worker->bell_fd >= 0);
    }
}

void relay_host_close(struct relay_host *host)
{
    if (host->relay_pid != 0) {
        relay_host_kill_relay(host);
    }
    relay_host_crash_relay(host);
    for (uint32_t i = 0; i < host->worker_count; i++) {
        munmap(host->workers[i].port, host->workers[i].port_bytes);
        munmap(host->workers[i].report, sizeof(struct rc_report));
        close(host->workers[i].port_fd);
        close(host->workers[i].report_fd);
        close(host->workers[i].bell_fd);
    }
    munmap(host->core, sizeof(struct rc_core));
    munmap(host->configs, sizeof(struct rc_config_segment));
    munmap(host->acceptor, sizeof(struct rc_report));
    munmap(host->relay, sizeof(struct rc_relay_report));
    munmap(host->keep, RC_RELAY_KEEP_BYTES);
    munmap(host->history, HISTORY_BYTES);
    const int fds[] = {host->core_fd,  host->configs_fd, host->acceptor_fd,
                       host->relay_fd, host->keep_fd,    host->history_fd};
    for (size_t i = 0; i < RC_ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
    close(host->relay_bell_fd);
    close(host->acceptor_bell_fd);
    close(host->order_fd);
    close(host->pass_fd);
    close(host->life_fds[0]);
    close(host->life_fds[1]);
}

void relay_host_bump_worker(struct relay_host *host, uint32_t index)
{
    struct relay_host_worker *worker = &host->workers[index];
    struct rc_life *life = &host->core->workers[index];
    worker->generation = atomic_load(&life->generation) + 1;
    atomic_store(&life->generation, worker->generation);
    atomic_store(&life->running, 1);
}

void relay_host_attach_worker(struct relay_host *host, uint32_t index)
{
    struct relay_host_worker *worker = &host->workers[index];
    struct rc_port *port = worker->port;
    const uint32_t pair = worker->generation & 1;
    RC_ASSERT(rc_ring_attach_producer(&worker->up, &port->pairs[pair].up, rc_port_data(&worker->view, pair, RC_PORT_UP),
                                      port->ring_bytes) == 0);
    RC_ASSERT(rc_ring_attach_consumer(&worker->down, &port->pairs[pair].down,
                                      rc_port_data(&worker->view, pair, RC_PORT_DOWN), port->ring_bytes) == 0);
    worker->last_sequence = 0;
}

void relay_host_start_worker(struct relay_host *host, uint32_t index)
{
    relay_host_bump_worker(host, index);
    relay_host_attach_worker(host, index);
}

void relay_host_kill_worker(struct relay_host *host, uint32_t index)
{
    atomic_store(&host->core->workers[index].running, 0);
}

struct rc_relay_port_setup relay_host_port_setup(struct relay_host *host, uint32_t worker)
{
    return (struct rc_relay_port_setup){.life = &host->core->workers[worker],
                                        .bell = &host->workers[worker].report->process.bell,
                                        .verdict = &host->relay->verdicts[worker],
                                        .gap_pending = &host->keep->gap_pending[worker],
                                        .metrics = host->control.metrics,
                                        .index = worker,
                                        .bell_fd = host->workers[worker].bell_fd};
}

void relay_host_open_relay(struct relay_host *host)
{
    struct rc_err err;
    const uint32_t generation = atomic_load(&host->core->relay.generation);
    host->ports = calloc(host->worker_count, sizeof(*host->ports));
    RC_ASSERT(host->ports != NULL);
    for (uint32_t i = 0; i < host->worker_count; i++) {
        struct relay_host_worker *worker = &host->workers[i];
        const struct rc_relay_port_setup port = relay_host_port_setup(host, i);
        RC_ASSERT(rc_port_open(&host->ports[i], worker->port, worker->port_bytes, &port, &err) == 0);
    }
    const struct rc_router_setup setup = {
        .ports = host->ports,
        .port_count = host->worker_count,
        .truth = &host->keep->truth,
        .metrics = host->control.metrics,
        .relay_generation = generation,
        .interest_count_max = 1000000,
        .idempotency = &host->keep->idempotency,
        .history = &host->store,
        .recovery = host->recovery,
        .instance_id = "host",
    };
    RC_ASSERT(rc_history_open(&host->store, &host->control.history, &host->configs->copies[0], host->control.metrics,
                              HISTORY_VALUES_MAX) == 0);
    RC_ASSERT(rc_router_open(&host->router, &setup) == 0);
}

void relay_host_start_relay(struct relay_host *host)
{
    relay_host_crash_relay(host);
    atomic_fetch_add(&host->core->relay.generation, 1);
    relay_host_open_relay(host);
}

void relay_host_crash_relay(struct relay_host *host)
{
    if (host->ports != NULL) {
        rc_router_close(&host->router);
        rc_history_close(&host->store);
        for (uint32_t i = 0; i < host->worker_count; i++) {
            rc_port_close(&host->ports[i]);
        }
        free(host->ports);
        host->ports = NULL;
    }
}

void relay_host_run(struct relay_host *host)
{
    while (rc_router_turn(&host->router) || rc_router_pending(&host->router)) {}
}

/* Next to the test that runs: build/FLAVOUR/tests/x, build/FLAVOUR/tests/stress/x; the release programs are in build itself. */
static void relay_path(char *path, size_t path_max)
{
    const char *folder = getenv("RINGCAST_BIN_DIR");
    char own[4096];
    if (folder == NULL) {
        const ssize_t bytes = readlink("/proc/self/exe", own, sizeof(own) - 1);
        own[bytes > 0 ? bytes : 0] = '\0';
        char *tests = strstr(own, "/tests/");
        if (tests != NULL) {
            *tests = '\0';
            char *release = strstr(own, "/release");
            if (release != NULL) {
                *release = '\0';
            }
        }
        folder = tests != NULL ? own : "build";
    }
    RC_ASSERT(snprintf(path, path_max, "%s/ringcast-relay", folder) < (int)path_max);
}

bool relay_host_has_relay(void)
{
    char path[4200];
    relay_path(path, sizeof(path));
    return access(path, X_OK) == 0;
}

void relay_host_spawn_relay(struct relay_host *host)
{
    static char text[65536];
    static char *argv[2 * (3 * RC_WORKERS_MAX + 16)];
    char path[4200];
    relay_path(path, sizeof(path));
    struct rc_spawn_args args;
    rc_spawn_args_clear(&args, -1);
    args.core_fd = host->core_fd;
    args.config_fd = host->configs_fd;
    args.acceptor_fd = host->acceptor_fd;
    args.own_fd = host->relay_fd;
    args.keep_fd = host->keep_fd;
    args.history_fd = host->history_fd;
    args.life_fd = host->life_fds[0];
    args.bell_fd = host->relay_bell_fd;
    args.acceptor_bell_fd = host->acceptor_bell_fd;
    args.order_fd = host->order_fd;
    args.pass_fd = host->pass_fd;
    args.port_count = args.worker_count = args.worker_bell_count = (int)host->worker_count;
    for (uint32_t i = 0; i < host->worker_count; i++) {
        args.port_fds[i] = host->workers[i].port_fd;
        args.worker_fds[i] = host->workers[i].report_fd;
        args.worker_bell_fds[i] = host->workers[i].bell_fd;
    }
    argv[0] = (char *)(uintptr_t) "ringcast-relay";
    RC_ASSERT(rc_spawn_args_format(&args, argv, (int)RC_ARRAY_COUNT(argv), text, sizeof(text)) >= 0);
    atomic_fetch_add(&host->core->relay.generation, 1);
    atomic_store(&host->relay->report.process.state, RC_PROCESS_STARTING);
    host->relay_pid = fork();
    RC_ASSERT(host->relay_pid >= 0);
    if (host->relay_pid == 0) {
        const int fds[] = {host->core_fd,          host->configs_fd,  host->acceptor_fd,   host->relay_fd,
                           host->keep_fd,          host->life_fds[0], host->relay_bell_fd, host->history_fd,
                           host->acceptor_bell_fd, host->order_fd,    host->pass_fd};
        for (size_t i = 0; i < RC_ARRAY_COUNT(fds); i++) {
            (void)fcntl(fds[i], F_SETFD, 0);
        }
        for (uint32_t i = 0; i < host->worker_count; i++) {
            (void)fcntl(host->workers[i].port_fd, F_SETFD, 0);
            (void)fcntl(host->workers[i].report_fd, F_SETFD, 0);
            (void)fcntl(host->workers[i].bell_fd, F_SETFD, 0);
        }
        execv(path, argv);
        perror(path);
        _exit(127);
    }
}

void relay_host_kill_relay(struct relay_host *host)
{
    int status;
    (void)kill(host->relay_pid, SIGKILL);
    RC_ASSERT(waitpid(host->relay_pid, &status, 0) == host->relay_pid);
    host->relay_pid = 0;
    atomic_store(&host->relay->report.process.state, RC_PROCESS_DOWN);
}

int relay_host_stop_relay(struct relay_host *host)
{
    int status;
    (void)kill(host->relay_pid, SIGTERM);
    RC_ASSERT(waitpid(host->relay_pid, &status, 0) == host->relay_pid);
    host->relay_pid = 0;
    atomic_store(&host->relay->report.process.state, RC_PROCESS_DOWN);
    return status;
}

void relay_host_ring(struct relay_host *host)
{
    RC_ASSERT(rc_doorbell_ring(&host->relay->report.process.bell, host->relay_bell_fd, &host->relay_rung) >= 0);
}

bool relay_host_rung(struct relay_host *host, uint32_t worker)
{
    uint64_t count = 0;
    return read(host->workers[worker].bell_fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

bool relay_host_up(struct relay_host *host, uint32_t index, uint32_t type, struct rc_envelope_view *view)
{
    struct relay_host_worker *worker = &host->workers[index];
    view->head.generation = worker->generation;
    const uint32_t bytes = (uint32_t)rc_envelope_bytes(&view->head);
    void *record = rc_ring_claim(&worker->up, type, bytes);
    if (record == NULL) {
        return false;
    }
    rc_envelope_write(record, view);
    rc_ring_commit(&worker->up, bytes);
    return true;
}

static void set_parts(struct rc_envelope_view *view, const char *channel, const char *data, const char *id)
{
    view->channel = channel;
    view->head.channel_bytes = (uint8_t)strlen(channel);
    view->data = (const uint8_t *)data;
    view->head.data_bytes = (uint32_t)strlen(data);
    if (id != NULL) {
        view->request_id = (const uint8_t *)id;
        view->head.request_id_bytes = (uint8_t)strlen(id);
        view->head.flags |= RC_ENVELOPE_WANT_ANSWER;
    }
}

bool relay_host_publish(struct relay_host *host, uint32_t worker, const char *channel, const char *data, const char *id)
{
    struct rc_envelope_view view = {.head = {.origin = {.random = 9, .slot = 1, .worker = (uint16_t)worker}}};
    set_parts(&view, channel, data, id);
    return relay_host_up(host, worker, RC_UP_PUBLISH, &view);
}

bool relay_host_direct(struct relay_host *host, uint32_t worker, struct rc_client_ref target, const char *data,
                       const char *id)
{
    struct rc_envelope_view view = {
        .head = {.origin = {.random = 9, .slot = 1, .worker = (uint16_t)worker}, .target = target}};
    set_parts(&view, "", data, id);
    return relay_host_up(host, worker, RC_UP_DIRECT, &view);
}

bool relay_host_interest(struct relay_host *host, uint32_t worker, bool add, const char *channel)
{
    struct rc_envelope_view view = {.head = {.channel_bytes = (uint8_t)strlen(channel)}, .channel = channel};
    return relay_host_up(host, worker, add ? RC_UP_INTEREST_ADD : RC_UP_INTEREST_REMOVE, &view);
}

bool relay_host_snapshot(struct relay_host *host, uint32_t worker, const char *const *channels, size_t count)
{
    struct rc_envelope_view view = {.head = {.token = atomic_load(&host->core->relay.generation)}};
    bool written = relay_host_up(host, worker, RC_UP_SNAPSHOT_BEGIN, &view);
    for (size_t i = 0; i < count; i++) {
        written = relay_host_interest(host, worker, true, channels[i]) && written;
    }
    return relay_host_up(host, worker, RC_UP_SNAPSHOT_END, &view) && written;
}

bool relay_host_down(struct relay_host *host, uint32_t index, uint32_t *type, struct rc_envelope_view *view)
{
    struct relay_host_worker *worker = &host->workers[index];
    const void *payload;
    uint32_t bytes;
    relay_host_done(host, index);
    const int result = rc_ring_next(&worker->down, type, &payload, &bytes);
    RC_ASSERT(result >= 0);
    RC_ASSERT(result == 0 || rc_envelope_read(view, payload, bytes) == 0);
    return result > 0;
}

void relay_host_done(struct relay_host *host, uint32_t index)
{
    struct relay_host_worker *worker = &host->workers[index];
    rc_ring_release(&worker->down);
    if (rc_ring_room_due(&worker->down)) {
        relay_host_ring(host);
    }
}

bool relay_host_down_fresh(struct relay_host *host, uint32_t index, uint32_t *type, struct rc_envelope_view *view)
{
    struct relay_host_worker *worker = &host->workers[index];
    while (relay_host_down(host, index, type, view)) {
        if (view->head.generation != worker->generation ||
            (view->head.sequence != 0 && view->head.sequence <= worker->last_sequence)) {
            continue;
        }
        if (view->head.sequence != 0) {
            worker->last_sequence = view->head.sequence;
        }
        return true;
    }
    return false;
}

const char *relay_host_read(struct relay_host *host, uint32_t worker)
{
    static char text[65536];
    static const char *const names[] = {"message", "direct", "answer", "interest", "gap"};
    size_t used = 0;
    uint32_t type;
    struct rc_envelope_view view;
    text[0] = '\0';
    while (relay_host_down_fresh(host, worker, &type, &view) && used < sizeof(text) - 1024) {
        const struct rc_envelope *head = &view.head;
        RC_ASSERT(type >= RC_DOWN_MESSAGE && type <= RC_DOWN_GAP);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s(%.*s", used > 0 ? " " : "",
                                 names[type - RC_DOWN_MESSAGE], (int)head->channel_bytes, view.channel);
        if (head->sequence != 0) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, ",#%" PRIu64, head->sequence);
        }
        if ((head->flags & RC_ENVELOPE_ANSWER) != 0 || head->request_id_bytes > 0) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, ",%s=%.*s",
                                     (head->flags & RC_ENVELOPE_ANSWER) != 0 ? "answer" : "id",
                                     (int)head->request_id_bytes, (const char *)view.request_id);
        }
        if (head->code != 0) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, ",code=%u", head->code);
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, ")");
        if (head->data_bytes > 0) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, ":%.*s",
                                     head->data_bytes < 256 ? (int)head->data_bytes : 16, (const char *)view.data);
        }
    }
    relay_host_done(host, worker);
    return text;
}

uint64_t relay_host_metric(const struct relay_host *host, enum rc_metric_id id)
{
    return rc_metric_get(host->control.metrics, id);
}
