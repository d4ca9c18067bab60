/*
 * limits: see limits.h.
 */
#include "acceptor/start/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/uring.h"
#include "common/base/vault.h"

#define RC_LIMITS_BACKLOG_DEFAULT 4096u
#define RC_LIMITS_BACKLOG_SMALL 1024u
#define RC_LIMITS_BACKLOG_REMEDY 65535u
#define RC_LIMITS_OWN_DESCRIPTORS 64u /* log, signals, console and its sessions */
#define RC_LIMITS_PROBE_SLOTS 2u
#define RC_LIMITS_DESCRIPTORS_MAX (1u << 21) /* above any table: an "infinite" limit is not worth asking for more */

/* Raises the soft limit to `want` or to the hard limit, and the hard limit too where privileges allow it. */
static uint64_t raise_limit(__rlimit_resource_t resource, uint64_t want)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur < want) {
        const struct rlimit higher = {.rlim_cur = want, .rlim_max = limit.rlim_max > want ? limit.rlim_max : want};
        const struct rlimit allowed = {.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want,
                                       .rlim_max = limit.rlim_max};
        if (setrlimit(resource, &higher) != 0) {
            (void)setrlimit(resource, &allowed);
        }
        (void)getrlimit(resource, &limit);
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

static uint64_t read_number(const char *path, uint64_t otherwise)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return otherwise;
    }
    uint64_t value = otherwise;
    if (fscanf(file, "%" SCNu64, &value) != 1) {
        value = otherwise;
    }
    fclose(file);
    return value;
}

/* What the probing child found out. */
struct probe_report {
    int32_t code; /* 0 or negative errno */
    uint32_t memlock_counts;
    uint32_t vault;
    uint32_t ring_memory;
    struct rc_err err;
};

static bool ring_memory_counts(void)
{
    struct io_uring_params params;
    const struct rlimit none = {0, 0};
    memset(&params, 0, sizeof(params));
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) {
        return false;
    }
    const long fd = syscall(SYS_io_uring_setup, 1u, &params);
    if (fd >= 0) {
        close((int)fd);
    }
    return fd < 0 && errno == ENOMEM;
}

/*
 * Whether ring memory is counted is asked, not guessed from the version: kernels before 5.12 counted it, later ones
 * did not, and newer ones (seen on 6.18) do again; CAP_IPC_LOCK is always spared. A child takes on the identity that
 * workers will have, tries a ring as they will make it, and then the smallest one with no locked memory allowed.
 */
__attribute__((noreturn)) static void probe_child(const struct rc_identity *identity, int vault_fd,
                                                  const struct io_uring_params *params, int report_fd)
{
    struct probe_report report;
    struct rc_uring_features features = {0};
    memset(&report, 0, sizeof(report));
    report.code = rc_identity_assume(identity);
    if (report.code != 0) {
        rc_err_set(&report.err, report.code, "cannot take on server.user: %s", strerror(-report.code));
    } else {
        report.code = rc_uring_probe(&features, &report.err);
    }
    report.vault = report.code == 0 && vault_fd >= 0 && rc_vault_probe(vault_fd, params) ? 1 : 0;
    report.ring_memory = report.code == 0 && features.no_mmap ? 1 : 0;
    report.memlock_counts = report.code == 0 && ring_memory_counts() ? 1 : 0;
    (void)!write(report_fd, &report, sizeof(report));
    _exit(0);
}

/* A vault is tried as it will be used: made by this process, used by one of the children's user. */
static int probe_ring(struct rc_limits *limits, const struct rc_identity *identity, struct rc_err *err)
{
    int fds[2];
    struct probe_report report;
    struct io_uring_params params;
    struct rc_err ignored;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return rc_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    }
    const int vault_fd = rc_vault_make(RC_LIMITS_PROBE_SLOTS, &params, &ignored);
    const pid_t pid = fork();
    if (pid == 0) {
        probe_child(identity, vault_fd, &params, fds[1]);
    }
    if (vault_fd >= 0) {
        close(vault_fd);
    }
    close(fds[1]);
    ssize_t bytes = 0;
    if (pid > 0) {
        do {
            bytes = read(fds[0], &report, sizeof(report));
        } while (bytes < 0 && errno == EINTR);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    close(fds[0]);
    if (bytes != (ssize_t)sizeof(report)) {
        return rc_err_set(
            err, -ENOSYS,
            "io_uring cannot be tried: the process that did was killed, by a seccomp filter perhaps: allow "
            "io_uring_setup, io_uring_enter and io_uring_register in the container's profile");
    }
    if (report.code != 0) {
        return rc_err_set(err, report.code, "%s", report.err.text);
    }
    limits->memlock_counts = report.memlock_counts != 0;
    limits->vault = report.vault != 0;
    limits->vault_params = params;
    limits->ring_memory = report.ring_memory != 0;
    return 0;
}

int rc_limits_read(struct rc_limits *limits, const struct rc_identity *identity, struct rc_err *err)
{
    memset(limits, 0, sizeof(*limits));
    limits->descriptors = raise_limit(RLIMIT_NOFILE, RC_LIMITS_TABLE_MAX);
    if (limits->descriptors > RC_LIMITS_DESCRIPTORS_MAX) {
        limits->descriptors = RC_LIMITS_DESCRIPTORS_MAX;
    }
    limits->memlock_bytes = raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
    const uint64_t backlog = read_number("/proc/sys/net/core/somaxconn", RC_LIMITS_BACKLOG_DEFAULT);
    limits->backlog = backlog > INT32_MAX ? INT32_MAX : (uint32_t)backlog;
    if (limits->backlog < RC_LIMITS_BACKLOG_SMALL) {
        rc_log_warn("backlog_small", "somaxconn=%u remedy=\"sysctl -w net.core.somaxconn=%u\"", limits->backlog,
                    RC_LIMITS_BACKLOG_REMEDY);
    }
    return probe_ring(limits, identity, err);
}

/* Descriptors of the acceptor itself: a report (to write, to read), a port, a bell, a process, an inbox with both its ends, a vault, a
 * bell for orders, a truth, two ring memories and the listeners of every worker; programs and maps. A child inherits fewer. */
static uint64_t own_descriptors(uint32_t workers, uint32_t listeners)
{
    return RC_LIMITS_OWN_DESCRIPTORS + (uint64_t)workers * (12 + listeners) + (uint64_t)listeners * 8;
}

/* ", or server.workers = N" where that is a way out. */
static void other_way(char text[48], uint64_t workers)
{
    text[0] = '\0';
    if (workers <= RC_WORKERS_MAX) {
        snprintf(text, 48, ", or server.workers = %" PRIu64, workers);
    }
}

int rc_limits_plan(struct rc_limits_plan *plan, const struct rc_limits *limits, const struct rc_config *config,
                   const struct rc_limits_counts *counts, struct rc_err *err)
{
    const uint32_t workers = counts->workers;
    const uint64_t overhead = RC_LIMITS_SPARE_SLOTS + counts->listeners;
    const uint64_t own = own_descriptors(counts->places, counts->listeners);
    const uint64_t least = own > overhead + 1 ? own : overhead + 1;
    const uint64_t table = limits->descriptors < RC_LIMITS_TABLE_MAX ? limits->descriptors : RC_LIMITS_TABLE_MAX;
    const uint64_t wanted = config->server.max_connections;
    if (table < least) {
        return rc_err_set(err, -EMFILE,
                          "RLIMIT_NOFILE is %" PRIu64 ", at least %" PRIu64
                          " is needed: set LimitNOFILE=1048576 in the unit or `ulimit -n 1048576`",
                          limits->descriptors, least);
    }
    const uint64_t room = table - overhead;
    uint64_t slots = room;
    if (wanted != 0) {
        slots = (wanted + workers - 1) / workers;
        if (slots > room) {
            char more_workers[48];
            other_way(more_workers, (wanted + room - 1) / room);
            return rc_err_set(err, -EMFILE,
                              "server.max_connections = %" PRIu64 " on %u worker%s needs RLIMIT_NOFILE %" PRIu64
                              ", it is %" PRIu64 ": set LimitNOFILE=%" PRIu64 " in the unit (or `ulimit -n`)%s",
                              wanted, workers, workers == 1 ? "" : "s", slots + overhead, limits->descriptors,
                              slots + overhead, more_workers);
        }
    }
    /* The tables have room for all of them on one worker: how many there are may change (rc_clients_slots). */
    plan->slots_per_worker = (uint32_t)(wanted != 0 && wanted < room ? wanted : room);
    plan->direct_descriptors = plan->slots_per_worker + (uint32_t)overhead;
    plan->connections_max = wanted != 0 ? wanted : slots * workers;
    return 0;
}

static uint64_t memlock_of_worker(const struct rc_config *config)
{
    const uint64_t buffers = config->server.receive_buffers_bytes / RC_LIMITS_WORKER_BUFFER_BYTES;
    return rc_uring_memory_bytes(RC_LIMITS_WORKER_SQ_ENTRIES, RC_LIMITS_WORKER_CQ_ENTRIES) +
           2 * buffers * sizeof(struct io_uring_buf) + /* their number is rounded up to a power of two */
           (config->server.keep == RC_KEEP_NONE ? 0 : rc_vault_memory_bytes());
}

uint64_t rc_limits_memlock_needed(const struct rc_config *config, uint32_t workers)
{
    /* + 1: a killed worker's ring, whose memory is given back only some time after its successor has started. */
    return ((uint64_t)workers + 1) * memlock_of_worker(config) + RC_LIMITS_RELAY_BYTES;
}

uint32_t rc_limits_workers_fitting(const struct rc_limits *limits, const struct rc_config *config, uint32_t wanted)
{
    while (limits->memlock_counts && wanted > 1 && rc_limits_memlock_needed(config, wanted) > limits->memlock_bytes) {
        wanted--;
    }
    return wanted;
}

int rc_limits_check_memlock(const struct rc_limits *limits, const struct rc_config *config, uint32_t workers,
                            struct rc_err *err)
{
    const uint64_t needed = rc_limits_memlock_needed(config, workers);
    if (!limits->memlock_counts || limits->memlock_bytes >= needed) {
        return 0;
    }
    return rc_err_set(err, -ENOMEM,
                      "RLIMIT_MEMLOCK is %" PRIu64 " bytes, the rings of %u worker%s and the relay need %" PRIu64
                      " on this kernel: set LimitMEMLOCK=infinity in the unit, or `ulimit -l %" PRIu64 "`",
                      limits->memlock_bytes, workers, workers == 1 ? "" : "s", needed, (needed + 1023u) / 1024u);
}
