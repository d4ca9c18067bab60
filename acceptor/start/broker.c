/*
 * broker: see broker.h.
 */
#include "acceptor/start/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceptor/start/spawn.h"
#include "acceptor/start/vaults.h"
#include "common/base/check.h"
#include "common/shm/doorbell.h"
#include "common/base/log.h"
#include "common/shm/segment.h"

#define RC_BROKER_INBOX_BYTES (1 << 20) /* more than a thousand connections with a request each */

struct rc_core *rc_broker_core(const struct rc_broker *broker)
{
    return broker->segments.core;
}

uint32_t rc_broker_child_count(const struct rc_broker *broker)
{
    return broker->worker_count + 1;
}

struct rc_child *rc_broker_child(struct rc_broker *broker, uint32_t number)
{
    RC_ASSERT(number <= broker->worker_count);
    return number < broker->worker_count ? &broker->workers[number] : &broker->relay;
}

uint32_t rc_broker_used(const struct rc_broker *broker)
{
    return rc_workers_used(rc_broker_core(broker), broker->worker_count);
}

enum rc_worker_use rc_broker_use(const struct rc_broker *broker, const struct rc_child *child)
{
    return child->index == RC_CHILD_RELAY ? RC_WORKER_USED
                                          : rc_worker_use(rc_broker_core(broker), (uint32_t)child->index);
}

void rc_broker_set_use(struct rc_broker *broker, struct rc_child *child, enum rc_worker_use use)
{
    RC_ASSERT(child->index != RC_CHILD_RELAY);
    atomic_store_explicit(&child->life->use, (uint32_t)use, memory_order_relaxed); /* read by rc_worker_use */
    rc_broker_ring_all(broker);
}

void rc_broker_close_listeners(struct rc_broker *broker, const struct rc_child *child)
{
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        rc_listen_close_one(&broker->listens[i], (uint32_t)child->index);
    }
}

static int open_listener(struct rc_broker *broker, const struct rc_config *config, const char *text,
                         enum rc_listener_kind kind, struct rc_err *err)
{
    if (broker->listen_count == RC_LISTENERS_MAX) {
        return rc_err_set(err, -E2BIG,
                          "more than %d listeners in server.listen, tls.listen, http.admin_listen and [link]",
                          RC_LISTENERS_MAX);
    }
    const struct rc_listen_options options = {
        .backlog = broker->limits.backlog,
        .notsent_lowat_bytes = config->limits.notsent_lowat_bytes,
        .send_buffer_bytes = config->limits.send_buffer_bytes,
    };
    const int rc =
        rc_listen_open(&broker->listens[broker->listen_count], text, kind, rc_broker_used(broker), &options, err);
    if (rc == 0) {
        broker->listen_count++;
    }
    return rc;
}

static uint32_t listeners_wanted(const struct rc_config *config)
{
    return config->server.listen.count + config->tls.listen.count + config->link.listen.count +
           config->link.tls_listen.count + (config->http.admin_listen.text[0] != '\0' ? 1u : 0u);
}

static int open_listeners(struct rc_broker *broker, const struct rc_config *config, struct rc_err *err)
{
    const struct {
        const struct rc_config_list *list;
        enum rc_listener_kind kind;
    } lists[] = {{&config->server.listen, RC_LISTENER_CLIENT},
                 {&config->tls.listen, RC_LISTENER_TLS},
                 {&config->link.listen, RC_LISTENER_LINK},
                 {&config->link.tls_listen, RC_LISTENER_LINK_TLS}};
    int rc = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(lists); i++) {
        for (uint32_t j = 0; j < lists[i].list->count && rc == 0; j++) {
            rc = open_listener(broker, config, lists[i].list->items[j].text, lists[i].kind, err);
        }
    }
    if (rc == 0 && config->http.admin_listen.text[0] != '\0') {
        rc = open_listener(broker, config, config->http.admin_listen.text, RC_LISTENER_ADMIN, err);
    }
    if (rc == 0 && broker->listen_count == 0) {
        rc = rc_err_set(err, -EINVAL, "there is no listener: set server.listen");
    }
    struct rc_core *core = rc_broker_core(broker);
    for (uint32_t i = 0; i < broker->listen_count && rc == 0; i++) {
        rc_listen_describe(&broker->listens[i], &core->listeners[i]);
    }
    core->listener_count = broker->listen_count;
    return rc;
}

/* Without the program everything works, less evenly: one line says what is lost. */
static void open_steering(struct rc_broker *broker)
{
    struct rc_err err;
    if (broker->worker_count == 1) {
        return; /* nothing to choose */
    }
    const int rc = rc_steer_open(&broker->steer, broker->listens, broker->listen_count, broker->worker_count, &err);
    if (rc == 0) {
        if (broker->steer.active) {
            rc_log_info("steering", "mode=bpf listeners=%u", broker->steer.group_count);
        }
        return;
    }
    rc_log_warn(
        "steering",
        "mode=kernel reason=\"%s\" lost=\"connections are spread by hash, not by load, and a stopped worker gets new "
        "ones too%s\" remedy=\"%s\"",
        err.text,
        rc_steer_kernel_migrates() ? "" : "; those queued at a worker that crashes again and again wait for it",
        rc_steer_kernel_migrates() ? "start with CAP_BPF"
                                   : "start with CAP_BPF, or sysctl -w net.ipv4.tcp_migrate_req=1 for the last");
}

void rc_broker_describe_vaults(struct rc_broker *broker)
{
    struct rc_core *core = rc_broker_core(broker);
    if (broker->keeps) {
        /* The same for all: it is of the same kernel, and how many slots there are does not show in it. */
        memcpy(core->vault_params, &broker->limits.vault_params, sizeof(core->vault_params));
    }
}

static void decide_keeping(struct rc_broker *broker, const struct rc_config *config)
{
    broker->keeps = config->server.keep != RC_KEEP_NONE && broker->limits.vault;
    if (config->server.keep != RC_KEEP_NONE && !broker->keeps) {
        rc_log_warn("connections_not_kept",
                    "reason=\"this kernel cannot hold sockets in a second io_uring\" lost=\"connections cannot outlive "
                    "their worker\"");
    }
    broker->adopts = broker->keeps && broker->limits.ring_memory;
    rc_broker_describe_vaults(broker);
    rc_broker_say_adopting(broker, false, config->server.adopt_crashed);
}

void rc_broker_say_adopting(const struct rc_broker *broker, bool before, bool now)
{
    if (now && !before && broker->keeps && !broker->adopts) {
        rc_log_warn(
            "crashes_not_outlived",
            "reason=\"this kernel keeps the memory of rings to itself\" lost=\"clients of a worker that dies are "
            "disconnected\"");
    }
}

void rc_broker_wire(struct rc_broker *broker)
{
    struct rc_segments *segments = &broker->segments;
    broker->relay.life = &segments->core->relay;
    broker->relay.process = &segments->relay->report.process;
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        broker->workers[i].life = &segments->core->workers[i];
        broker->workers[i].process = &segments->workers[i]->process;
        broker->workers[i].verdict = &segments->relay->verdicts[i];
    }
}

static int open_bells(struct rc_broker *broker, struct rc_err *err)
{
    for (uint32_t i = 0; i < rc_broker_child_count(broker); i++) {
        rc_child_init(rc_broker_child(broker, i), i < broker->worker_count ? (int)i : RC_CHILD_RELAY, NULL, NULL);
    }
    rc_broker_wire(broker);
    for (uint32_t i = 0; i < rc_broker_child_count(broker); i++) {
        struct rc_child *child = rc_broker_child(broker, i);
        child->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (child->bell_fd < 0) {
            return rc_err_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
        }
        atomic_store_explicit(&child->life->generation, 1, memory_order_relaxed);
    }
    broker->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (broker->bell_fd < 0) {
        return rc_err_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
    }
    broker->pass_fd = rc_segment_create("ringcast-pass", 0, err);
    if (broker->pass_fd < 0) {
        return broker->pass_fd;
    }
    int life[2];
    if (pipe2(life, O_CLOEXEC) != 0) {
        return rc_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    }
    broker->life_read_fd = life[0];
    broker->life_write_fd = life[1];
    return 0;
}

/* The bound of an inbox is the sending end's buffer, which the kernel charges with each message until it is received. */
static int open_inboxes(struct rc_broker *broker, struct rc_err *err)
{
    const int bytes = RC_BROKER_INBOX_BYTES;
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
            return rc_err_set(err, -errno, "cannot make a socket pair: %s", strerror(errno));
        }
        broker->inbox_fds[i] = pair[0];
        broker->outbox_fds[i] = pair[1];
        /* Beyond net.core.wmem_max only with CAP_NET_ADMIN; with less, fewer connections can be under way at once. */
        if (setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0 &&
            setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) != 0) {
            return rc_err_set(err, -errno, "cannot size a socket pair: %s", strerror(errno));
        }
    }
    return 0;
}

static void assign_cpus(struct rc_broker *broker, bool pin)
{
    for (uint32_t i = 0; i < rc_broker_child_count(broker); i++) {
        struct rc_child *child = rc_broker_child(broker, i);
        const uint32_t who = child->index == RC_CHILD_RELAY ? RC_CPU_RELAY : i;
        const uint32_t cpu = pin ? rc_cpus_of(&broker->cpus, who) : RC_CPU_NONE;
        atomic_store_explicit(&child->life->cpu, cpu, memory_order_relaxed);
    }
}

/* As many as there are CPUs for, but no more than whose rings may be locked in memory: a default must start. */
static uint32_t workers_auto(const struct rc_broker *broker, const struct rc_config *config)
{
    const uint32_t wanted = rc_cpus_workers_auto(&broker->cpus);
    const uint32_t fitting = rc_limits_workers_fitting(&broker->limits, config, wanted);
    if (fitting < wanted) {
        rc_log_warn("workers_limited",
                    "workers=%u instead_of=%u reason=\"RLIMIT_MEMLOCK is %" PRIu64
                    " bytes\" remedy=\"LimitMEMLOCK=infinity in the unit, or ulimit -l %" PRIu64 "\"",
                    fitting, wanted, broker->limits.memlock_bytes,
                    rc_limits_memlock_needed(config, wanted) / 1024u + 1);
    }
    return fitting;
}

/* Limits and programs: what can fail before anything was made. *used: of the places for workers, so many begin. */
static int broker_prepare(struct rc_broker *broker, const struct rc_config *config, uint32_t *used, struct rc_err *err)
{
    int rc = rc_program_open(&broker->worker_program, "ringcast-worker", err);
    if (rc == 0) {
        rc = rc_program_open(&broker->relay_program, "ringcast-relay", err);
    }
    if (rc == 0) {
        rc = rc_identity_resolve(&broker->identity, config->server.user.text, err);
    }
    if (rc == 0) {
        rc = rc_cpus_read(&broker->cpus, err);
    }
    if (rc == 0) {
        rc = rc_limits_read(&broker->limits, &broker->identity, err);
    }
    if (rc == 0) {
        *used = config->server.workers != 0 ? config->server.workers : workers_auto(broker, config);
        broker->worker_count = config->server.max_workers > *used ? config->server.max_workers : *used;
        RC_ASSERT(*used >= 1 && broker->worker_count <= RC_WORKERS_MAX);
        const struct rc_limits_counts counts = {
            .workers = *used, .places = broker->worker_count, .listeners = listeners_wanted(config)};
        rc = rc_limits_plan(&broker->plan, &broker->limits, config, &counts, err);
    }
    if (rc == 0) {
        rc = rc_limits_check_memlock(&broker->limits, config, *used, err);
    }
    return rc;
}

static int open_all(struct rc_broker *broker, const struct rc_config *config, struct rc_err *err)
{
    uint32_t used = 0;
    int rc = broker_prepare(broker, config, &used, err);
    if (rc == 0) {
        rc = rc_segments_create(&broker->segments, config, broker->worker_count, err);
    }
    for (uint32_t i = used; rc == 0 && i < broker->worker_count; i++) {
        atomic_store_explicit(&rc_broker_core(broker)->workers[i].use, RC_WORKER_UNUSED, memory_order_relaxed);
    }
    if (rc == 0) {
        rc = open_bells(broker, err);
    }
    if (rc == 0) {
        rc = open_inboxes(broker, err);
    }
    if (rc == 0) {
        rc = open_listeners(broker, config, err);
    }
    if (rc == 0) {
        struct rc_core *core = rc_broker_core(broker);
        core->slots_per_worker = broker->plan.slots_per_worker;
        core->direct_descriptors = broker->plan.direct_descriptors;
        open_steering(broker);
        decide_keeping(broker, config);
        assign_cpus(broker, config->server.pin_cpus);
        rc_segments_publish(&broker->segments);
    }
    return rc;
}

void rc_broker_clear(struct rc_broker *broker)
{
    memset(broker, 0, sizeof(*broker));
    rc_segments_clear(&broker->segments);
    broker->bell_fd = broker->life_read_fd = -1;
    broker->life_write_fd = broker->pass_fd = -1;
    rc_steer_clear(&broker->steer);
    broker->worker_program.fd = broker->relay_program.fd = -1;
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        broker->inbox_fds[i] = broker->outbox_fds[i] = broker->vault_fds[i] = broker->truth_fds[i] = -1;
        broker->io_fds[i] = broker->adopter_io_fds[i] = -1;
    }
}

int rc_broker_open(struct rc_broker *broker, const struct rc_config *config, struct rc_err *err)
{
    rc_broker_clear(broker);
    const int rc = open_all(broker, config, err);
    if (rc != 0) {
        rc_broker_close(broker);
    }
    return rc;
}

int rc_broker_foresee(const struct rc_config *config, struct rc_err *err)
{
    struct rc_broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory");
    }
    broker->worker_program.fd = broker->relay_program.fd = -1;
    uint32_t used = 0;
    const int rc = broker_prepare(broker, config, &used, err);
    rc_program_close(&broker->worker_program);
    rc_program_close(&broker->relay_program);
    free(broker);
    return rc;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void rc_broker_close(struct rc_broker *broker)
{
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        rc_listen_close(&broker->listens[i]);
        rc_listen_unlink(&broker->listens[i]);
    }
    rc_steer_close(&broker->steer);
    if (broker->segments.core != NULL) {
        for (uint32_t i = 0; i < rc_broker_child_count(broker); i++) {
            struct rc_child *child = rc_broker_child(broker, i);
            if (child->process != NULL) {
                close_fd(&child->bell_fd);
                close_fd(&child->pidfd);
                close_fd(&child->order_fd);
            }
        }
    }
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        close_fd(&broker->inbox_fds[i]);
        close_fd(&broker->outbox_fds[i]);
        close_fd(&broker->vault_fds[i]);
        close_fd(&broker->truth_fds[i]);
        close_fd(&broker->io_fds[i]);
        close_fd(&broker->adopter_io_fds[i]);
    }
    close_fd(&broker->bell_fd);
    close_fd(&broker->life_read_fd);
    close_fd(&broker->life_write_fd);
    close_fd(&broker->pass_fd);
    rc_program_close(&broker->worker_program);
    rc_program_close(&broker->relay_program);
    rc_segments_close(&broker->segments);
}

static void args_of_worker(const struct rc_broker *broker, const struct rc_child *child, struct rc_spawn_args *args)
{
    const uint32_t index = (uint32_t)child->index;
    args->truth_fd = broker->truth_fds[index];
    args->relay_bell_fd = broker->relay.bell_fd;
    args->steer_fd = broker->steer.map_fd;
    args->inbox_fd = broker->inbox_fds[index];
    args->vault_fd = broker->vault_fds[index];
    args->order_fd = child->order_fd;
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        args->outbox_fds[args->outbox_count++] = broker->outbox_fds[i];
    }
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        args->listen_fds[args->listen_count++] = rc_listen_fd(&broker->listens[i], index);
    }
}

static void args_of_relay(const struct rc_broker *broker, struct rc_spawn_args *args)
{
    args->pass_fd = broker->pass_fd;
    args->order_fd = broker->relay.order_fd;
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        args->worker_bell_fds[args->worker_bell_count++] = broker->workers[i].bell_fd;
    }
}

static void args_of_kind(const struct rc_broker *broker, const struct rc_child *child, struct rc_spawn_args *args)
{
    if (child->index == RC_CHILD_RELAY) {
        args_of_relay(broker, args);
    } else {
        args_of_worker(broker, child, args);
    }
}

/* What a worker's process leaves behind: sockets that nobody else has end here. */
static void close_kept(struct rc_broker *broker, struct rc_child *child)
{
    if (child->index != RC_CHILD_RELAY) {
        child->had_vault = child->had_vault || broker->vault_fds[child->index] >= 0;
        close_fd(&broker->vault_fds[child->index]);
        close_fd(&broker->truth_fds[child->index]);
        close_fd(&broker->io_fds[child->index]);
        close_fd(&broker->adopter_io_fds[child->index]);
        child->orphan = RC_ADOPT_NOBODY;
        child->unadoptable = false;
    }
    close_fd(&child->order_fd);
}

/* What each process has for itself: *order_fd, and a worker's *io_fd. */
static int open_own(int index, int *io_fd, int *order_fd, struct rc_err *err)
{
    char name[32];
    if (index != RC_CHILD_RELAY) {
        snprintf(name, sizeof(name), "ringcast-io-%d", index);
        *io_fd = rc_segment_create(name, 0, err);
        if (*io_fd < 0) {
            return *io_fd;
        }
    }
    *order_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (*order_fd < 0) {
        const int rc = rc_err_set(err, -errno, "cannot make an eventfd: %s", strerror(errno));
        close_fd(io_fd);
        return rc;
    }
    return 0;
}

/* A new truth and a new vault for each generation: the worker sizes the one, and finds both empty. */
static int open_generation(struct rc_broker *broker, struct rc_child *child, struct rc_err *err)
{
    char name[32];
    snprintf(name, sizeof(name), "ringcast-truth-%d", child->index);
    broker->truth_fds[child->index] = rc_segment_create(name, 0, err);
    if (broker->truth_fds[child->index] < 0) {
        return broker->truth_fds[child->index];
    }
    int rc = open_own(child->index, &broker->io_fds[child->index], &child->order_fd, err);
    /* What was said to a process, or of it, is nothing of another one's that has its number. */
    atomic_store_explicit(&child->life->vault_pid, 0, memory_order_relaxed);
    child->vault_refused = 0;
    if (rc >= 0 && broker->keeps) {
        rc = rc_vaults_open(&broker->vault_fds[child->index], broker->plan.direct_descriptors, child, err);
    }
    if (rc < 0) {
        close_kept(broker, child);
        return rc;
    }
    atomic_store_explicit(&child->life->order, RC_ORDER_RUN, memory_order_relaxed);
    return 0;
}

static void args_open(const struct rc_broker *broker, const struct rc_child *child, struct rc_spawn_args *args)
{
    rc_spawn_args_clear(args, child->index);
    args->life_fd = broker->life_read_fd;
    args->bell_fd = child->bell_fd;
    args->acceptor_bell_fd = broker->bell_fd;
    rc_segments_args(&broker->segments, args);
}

static pid_t broker_spawn(const struct rc_broker *broker, const struct rc_child *child,
                          const struct rc_spawn_args *args, int *pidfd, struct rc_err *err)
{
    const struct rc_spawn spawn = {
        .program = child->index == RC_CHILD_RELAY ? &broker->relay_program : &broker->worker_program,
        .identity = &broker->identity,
        .cpu = atomic_load_explicit(&child->life->cpu, memory_order_relaxed),
    };
    return rc_spawn_child(&spawn, args, pidfd, err);
}

/* What the worker's process is given: all of its own, or what a dead one has left. */
static int open_worker_process(struct rc_broker *broker, struct rc_child *child, struct rc_spawn_args *args,
                               struct rc_err *err)
{
    const int index = child->index;
    if (child->orphan == RC_ADOPT_NOBODY) {
        const int rc = open_generation(broker, child, err);
        if (rc < 0) {
            return rc;
        }
        args_of_worker(broker, child, args);
        args->io_fd = broker->io_fds[index];
        return 0;
    }
    close_fd(&broker->adopter_io_fds[index]);
    close_fd(&child->order_fd);
    const int rc = open_own(index, &broker->adopter_io_fds[index], &child->order_fd, err);
    if (rc < 0) {
        return rc;
    }
    atomic_store_explicit(&child->life->order, RC_ORDER_RUN, memory_order_relaxed);
    args_of_worker(broker, child, args);
    args->io_fd = broker->adopter_io_fds[index];
    args->old_io_fd = broker->io_fds[index];
    args->adopt = (int)child->orphan;
    return 0;
}

static int broker_make_args(struct rc_broker *broker, struct rc_child *child, struct rc_spawn_args *args,
                            struct rc_err *err)
{
    args_open(broker, child, args);
    if (child->index == RC_CHILD_RELAY) {
        int none = -1;
        const int rc = open_own(child->index, &none, &child->order_fd, err);
        atomic_store_explicit(&child->life->order, RC_ORDER_RUN, memory_order_relaxed);
        args_of_relay(broker, args);
        return rc;
    }
    return open_worker_process(broker, child, args, err);
}

/* An orphan stays one, with all that its clients need: who was to adopt it may be had a moment later. It may even have begun to, where it was ended
 * since it could not be watched: that is answered as the death of any adopter. */
static void broker_not_started(struct rc_broker *broker, struct rc_child *child)
{
    if (child->orphan != RC_ADOPT_NOBODY) {
        rc_broker_orphan(broker, child, child->orphan == RC_ADOPT_CRASHED);
        return;
    }
    atomic_store_explicit(&child->life->running, 0, memory_order_relaxed);
    atomic_store_explicit(&child->process->state, RC_PROCESS_DOWN, memory_order_relaxed);
    close_kept(broker, child);
}

int rc_broker_start(struct rc_broker *broker, struct rc_child *child, uint64_t now_ms, struct rc_err *err)
{
    RC_ASSERT(child->pid == 0 && child->pidfd < 0);
    struct rc_spawn_args args;
    const bool adopts = child->orphan != RC_ADOPT_NOBODY;
    if (!adopts) {
        rc_segments_renew(&broker->segments, child->index);
    }
    atomic_store_explicit(&child->process->successor_state, RC_PROCESS_DOWN, memory_order_relaxed);
    child->started_ms = now_ms; /* a try counts as well: the next one comes the later the more there were */
    const int rc = broker_make_args(broker, child, &args, err);
    if (rc < 0) {
        broker_not_started(broker, child);
        return rc;
    }
    child->ready = child->stuck = child->behind = child->killed = false;
    child->restart_due_ms = 0;
    atomic_store_explicit(&child->process->heartbeat_ms, now_ms, memory_order_relaxed);
    if (!adopts) {
        atomic_store_explicit(&child->process->connections, 0, memory_order_relaxed);
    }
    /* Relaxed, as DOWN in broker_not_started: who reads it concludes nothing about another word. */
    atomic_store_explicit(&child->process->state, RC_PROCESS_STARTING, memory_order_relaxed);
    /* B2 pairs with P3 in relay/route/port.c, rc_port_follow: who sees 1 sees the generation that starts, and writes to it. */
    atomic_store_explicit(&child->life->running, 1, memory_order_release);
    const pid_t pid = broker_spawn(broker, child, &args, &child->pidfd, err);
    if (pid < 0) {
        broker_not_started(broker, child);
        return (int)pid;
    }
    child->pid = pid;
    atomic_store_explicit(&child->life->pid, (uint32_t)pid, memory_order_relaxed);
    return 0;
}

int rc_broker_start_successor(struct rc_broker *broker, struct rc_child *child, struct rc_successor *successor,
                              struct rc_err *err)
{
    RC_ASSERT(child->pid != 0 && successor->pid == 0);
    struct rc_spawn_args args;
    int io_fd = -1;
    int rc = open_own(child->index, &io_fd, &successor->order_fd, err);
    if (rc < 0) {
        return rc;
    }
    args_open(broker, child, &args);
    args_of_kind(broker, child, &args);
    args.order_fd = successor->order_fd;
    args.io_fd = io_fd;
    args.adopt = RC_ADOPT_RUNNING;
    atomic_store_explicit(&child->process->successor_state, RC_PROCESS_STARTING, memory_order_relaxed);
    const pid_t pid = broker_spawn(broker, child, &args, &successor->pidfd, err);
    if (pid < 0) {
        close_fd(&io_fd);
        close_fd(&successor->order_fd);
        return (int)pid;
    }
    successor->io_fd = io_fd;
    successor->pid = pid;
    return 0;
}

void rc_broker_enthrone(struct rc_broker *broker, struct rc_child *child, const struct rc_successor *successor,
                        uint64_t now_ms)
{
    RC_ASSERT(child->pid == 0 && successor->pid != 0);
    rc_segments_renew(&broker->segments, child->index);
    child->pid = successor->pid;
    child->pidfd = successor->pidfd;
    child->order_fd = successor->order_fd;
    child->killed = false;
    child->restart_due_ms = 0;
    child->started_ms = now_ms;
    atomic_store_explicit(&child->process->heartbeat_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&child->process->state, RC_PROCESS_STARTING, memory_order_relaxed);
    atomic_store_explicit(&child->life->pid, (uint32_t)child->pid, memory_order_relaxed);
    atomic_store_explicit(&child->life->running, 1, memory_order_release); /* B2 */
    rc_broker_order(broker, child, RC_ORDER_RUN);
}

void rc_broker_order(struct rc_broker *broker, struct rc_child *child, enum rc_order order)
{
    /* TK1 pairs with PK1 and PK3 in worker/park.c and succeed.c, and with RS2 in relay/standby.c: what was seen before the order is seen by
     * who follows it. */
    atomic_store_explicit(&child->life->order, (uint32_t)order, memory_order_release);
    rc_broker_ring(broker, child);
    if (child->order_fd >= 0) {
        (void)rc_doorbell_wake(child->order_fd); /* of eventfds of our own nothing can be wrong */
    }
}

bool rc_broker_adopts(const struct rc_broker *broker, const struct rc_child *child)
{
    return broker->adopts && child->index != RC_CHILD_RELAY &&
           rc_segments_config(&broker->segments)->server.adopt_crashed;
}

bool rc_broker_can_orphan(const struct rc_broker *broker, const struct rc_child *child)
{
    return rc_broker_adopts(broker, child) && broker->vault_fds[child->index] >= 0 &&
           broker->truth_fds[child->index] >= 0 && broker->io_fds[child->index] >= 0;
}

void rc_broker_orphan(struct rc_broker *broker, struct rc_child *child, bool crashed)
{
    rc_steer_set_live(&broker->steer, (uint32_t)child->index, false); /* its load stays: the connections do */
    if (child->orphan != RC_ADOPT_NOBODY) {
        /* TK3 pairs with SC1 in worker/succeed.c: the one that has just died had all in the truth, or nothing was changed by it. */
        const bool alone =
            atomic_load_explicit(&child->process->successor_state, memory_order_acquire) == RC_PROCESS_READY;
        if (alone) {
            rc_broker_adopted(broker, child);
        }
        close_fd(&broker->adopter_io_fds[child->index]);
    }
    atomic_store_explicit(&child->life->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&child->process->state, RC_PROCESS_ORPHANED, memory_order_relaxed);
    child->ready = child->stuck = child->behind = false;
    child->orphan = crashed ? RC_ADOPT_CRASHED : RC_ADOPT_KILLED;
    child->pid = 0;
    close_fd(&child->pidfd);
}

void rc_broker_adopted(struct rc_broker *broker, struct rc_child *child)
{
    const int index = child->index;
    if (broker->adopter_io_fds[index] >= 0) {
        close_fd(&broker->io_fds[index]);
        broker->io_fds[index] = broker->adopter_io_fds[index];
        broker->adopter_io_fds[index] = -1;
    }
    child->orphan = RC_ADOPT_NOBODY;
}

void rc_broker_bury(struct rc_broker *broker, struct rc_child *child)
{
    if (child->index != RC_CHILD_RELAY) {
        /* First of all: the dead worker's listener still takes connections, its ring may live for some milliseconds. */
        rc_steer_set_live(&broker->steer, (uint32_t)child->index, false);
        rc_steer_reset_load(&broker->steer, (uint32_t)child->index);
    }
    atomic_store_explicit(&child->life->running, 0, memory_order_relaxed); /* only 1 promises something: B2 */
    atomic_store_explicit(&child->life->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&child->process->state, RC_PROCESS_DOWN, memory_order_relaxed);
    atomic_store_explicit(&child->process->connections, 0, memory_order_relaxed);
    child->ready = child->stuck = child->behind = false;
    const uint32_t generation = atomic_load_explicit(&child->life->generation, memory_order_relaxed) + 1;
    /* B1 pairs with P2 in relay/route/port.c and C3 in common/shm/control.h: the former process has written its last. */
    atomic_store_explicit(&child->life->generation, generation, memory_order_release);
    child->pid = 0;
    close_fd(&child->pidfd);
    close_kept(broker, child);
    rc_broker_ring_all(broker);
}

int rc_broker_move_queue(struct rc_broker *broker, struct rc_child *child, struct rc_err *err)
{
    const uint32_t worker = (uint32_t)child->index;
    struct rc_err other;
    int rc = 0;
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        const int failed = rc_listen_replace(&broker->listens[i], worker, rc == 0 ? err : &other);
        rc = rc == 0 ? failed : rc;
    }
    /* In any case: what was replaced is in the map no more, and nothing would be steered to the new one. */
    const int failed = rc_steer_sockets(&broker->steer, worker, rc == 0 ? err : &other);
    return rc == 0 ? failed : rc;
}

void rc_broker_ring(struct rc_broker *broker, struct rc_child *child)
{
    const int rc = rc_doorbell_ring(&child->process->bell, child->bell_fd, &child->rung);
    if (rc == 1) {
        rc_metric_add(broker->segments.metrics, RC_METRIC_WAKES_SENT, 1);
    }
}

void rc_broker_ring_all(struct rc_broker *broker)
{
    for (uint32_t i = 0; i < rc_broker_child_count(broker); i++) {
        struct rc_child *child = rc_broker_child(broker, i);
        if (child->pid != 0) {
            rc_broker_ring(broker, child);
        }
    }
}
