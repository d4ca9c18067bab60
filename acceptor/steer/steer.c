/*
 * steer: see steer.h.
 */
#include "acceptor/steer/steer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "steer.skel.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

_Static_assert(sizeof(struct rc_steer_entry) == sizeof(struct rc_steer_worker) &&
                   offsetof(struct rc_steer_entry, load) == offsetof(struct rc_steer_worker, load) &&
                   offsetof(struct rc_steer_entry, live) == offsetof(struct rc_steer_worker, live) &&
                   offsetof(struct rc_steer_entry, busy) == offsetof(struct rc_steer_worker, busy),
               "both sides of the steering map agree");
_Static_assert(RC_STEER_WORKERS_MAX == RC_WORKERS_MAX, "the steering map has an entry for every worker");

static const char *const reason_names[RC_STEER_REASONS] = {
    [RC_STEER_SELECTED] = "selected", [RC_STEER_MIGRATED] = "migrated", [RC_STEER_STRAY] = "stray",
    [RC_STEER_MISSING] = "missing",   [RC_STEER_NO_LIVE] = "no_live",   [RC_STEER_FAILED] = "failed",
};

static size_t whole_pages(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static size_t map_bytes(void)
{
    return whole_pages(RC_WORKERS_MAX * sizeof(struct rc_steer_worker));
}

static size_t reasons_bytes(void)
{
    return whole_pages(RC_STEER_REASONS * sizeof(uint64_t));
}

/* libbpf's own words, the verifier's among them, are for developers: one log line each. */
__attribute__((format(printf, 2, 0))) static int print_debug(enum libbpf_print_level level, const char *format,
                                                             va_list arguments)
{
    char *text = NULL;
    if (level == LIBBPF_DEBUG || !rc_log_enabled(RC_LOG_DEBUG) || vasprintf(&text, format, arguments) < 0) {
        return 0;
    }
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            rc_log_debug("libbpf", "text=\"%s\"", line);
        }
    }
    free(text);
    return 0;
}

static int load_error(struct rc_err *err, int code)
{
    if (code == -EPERM || code == -EACCES) {
        return rc_err_set(err, code, "no permission to load BPF: CAP_BPF is needed");
    }
    return rc_err_set(err, code, "the BPF program cannot be loaded: %s (log.level = \"debug\" shows why)",
                      strerror(-code));
}

/* A copy of the descriptor that outlives the object which libbpf made for it. */
static int keep_fd(int fd)
{
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return copy >= 0 ? copy : -errno;
}

static int keep_map(int *kept, const struct bpf_map *map)
{
    if (*kept >= 0) {
        return 0; /* it is that one */
    }
    *kept = keep_fd(bpf_map__fd(map));
    return *kept >= 0 ? 0 : *kept;
}

/* Loaded for a group of listeners, with the maps that there are already. The caller destroys *program. */
static int open_program(struct rc_steer *steer, uint32_t group, struct steer_bpf **opened, struct rc_err *err)
{
    struct steer_bpf *program = steer_bpf__open();
    if (program == NULL) {
        return load_error(err, -errno);
    }
    *opened = program;
    int rc = 0;
    if (steer->map_fd >= 0) {
        rc = bpf_map__reuse_fd(program->maps.steer_workers, steer->map_fd);
    }
    if (rc == 0 && steer->reasons_fd >= 0) {
        rc = bpf_map__reuse_fd(program->maps.steer_reasons, steer->reasons_fd);
    }
    if (rc == 0 && steer->sockets_fds[group] >= 0) {
        rc = bpf_map__reuse_fd(program->maps.steer_sockets, steer->sockets_fds[group]);
    }
    if (rc == 0) {
        rc = steer_bpf__load(program);
    }
    if (rc != 0) {
        return load_error(err, rc);
    }
    program->bss->steer_worker_count = steer->workers;
    rc = keep_map(&steer->map_fd, program->maps.steer_workers);
    rc = rc == 0 ? keep_map(&steer->reasons_fd, program->maps.steer_reasons) : rc;
    rc = rc == 0 ? keep_map(&steer->sockets_fds[group], program->maps.steer_sockets) : rc;
    return rc == 0 ? 0 : rc_err_set(err, rc, "cannot keep a BPF map: %s", strerror(-rc));
}

static int map_memory(struct rc_steer *steer, struct rc_err *err)
{
    void *map = mmap(NULL, map_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, steer->map_fd, 0);
    if (map != MAP_FAILED) {
        steer->map = map;
        map = mmap(NULL, reasons_bytes(), PROT_READ, MAP_SHARED, steer->reasons_fd, 0);
    }
    if (map == MAP_FAILED) {
        return rc_err_set(err, -errno, "the steering map cannot be mapped: %s", strerror(errno));
    }
    steer->reasons = map;
    return 0;
}

static int set_socket(struct rc_steer *steer, uint32_t group, uint32_t worker)
{
    const int fd = rc_listen_fd(steer->listens[group], worker);
    const uint64_t value = (uint64_t)fd;
    return fd < 0 || bpf_map_update_elem(steer->sockets_fds[group], &worker, &value, BPF_ANY) == 0 ? 0 : -errno;
}

/* Only after the sockets are in the map: an attached program without sockets leaves everything to the hash. */
static int program_attach(struct rc_steer *steer, uint32_t group, const struct steer_bpf *program)
{
    const int program_fd = bpf_program__fd(program->progs.steer_select);
    const int fd = rc_listen_fd(steer->listens[group], 0);
    /* One member is enough, the program belongs to the group; sockets that join later are under it too. In place of another one it is at
     * once. */
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program_fd, sizeof(program_fd)) == 0 ? 0 : -errno;
}

static void groups_find(struct rc_steer *steer, const struct rc_listen *listens, uint32_t count)
{
    steer->group_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!listens[i].address.unix_socket) {
            steer->listens[steer->group_count++] = &listens[i];
        }
    }
}

/* Loads all, and, if it is wanted, attaches them. The kernel keeps what is attached: nothing of libbpf's is needed afterwards. */
static int programs_run(struct rc_steer *steer, bool attach, struct rc_err *err)
{
    struct steer_bpf *programs[RC_LISTENERS_MAX] = {NULL};
    int rc = 0;
    for (uint32_t i = 0; i < steer->group_count && rc == 0; i++) {
        rc = open_program(steer, i, &programs[i], err);
    }
    if (rc == 0 && steer->group_count > 0 && steer->map == NULL) {
        rc = map_memory(steer, err);
    }
    /* A map that is gone on with has them already, and the kernel takes none twice. */
    for (uint32_t worker = 0; !steer->active && worker < steer->workers && rc == 0; worker++) {
        rc = rc_steer_sockets(steer, worker, err);
    }
    for (uint32_t i = 0; attach && i < steer->group_count && rc == 0; i++) {
        rc = program_attach(steer, i, programs[i]);
        if (rc != 0) {
            rc_err_set(err, rc, "the BPF program cannot be attached: %s", strerror(-rc));
        }
    }
    for (uint32_t i = 0; i < steer->group_count; i++) {
        if (programs[i] != NULL) {
            steer_bpf__destroy(programs[i]);
        }
    }
    return rc;
}

void rc_steer_clear(struct rc_steer *steer)
{
    memset(steer, 0, sizeof(*steer));
    steer->map_fd = -1;
    steer->reasons_fd = -1;
    for (uint32_t i = 0; i < RC_LISTENERS_MAX; i++) {
        steer->sockets_fds[i] = -1;
    }
}

int rc_steer_open(struct rc_steer *steer, const struct rc_listen *listens, uint32_t count, uint32_t workers,
                  struct rc_err *err)
{
    rc_steer_clear(steer);
    steer->workers = workers;
    groups_find(steer, listens, count);
    libbpf_set_print(print_debug);
    const int rc = programs_run(steer, true, err);
    if (rc != 0) {
        rc_steer_close(steer);
        return rc;
    }
    steer->active = steer->group_count > 0;
    return 0;
}

int rc_steer_adopt(struct rc_steer *steer, const struct rc_listen *listens, uint32_t count, uint32_t workers,
                   struct rc_err *err)
{
    steer->workers = workers;
    groups_find(steer, listens, count);
    if (steer->map_fd < 0 || steer->reasons_fd < 0) {
        return 0; /* nothing is attached */
    }
    for (uint32_t i = 0; i < steer->group_count; i++) {
        if (steer->sockets_fds[i] < 0) {
            return rc_err_set(err, -EBADMSG, "the map of sockets of listener %s is missing", steer->listens[i]->text);
        }
    }
    const int rc = map_memory(steer, err);
    steer->active = rc == 0;
    return rc;
}

int rc_steer_renew(struct rc_steer *steer, bool attach, struct rc_err *err)
{
    libbpf_set_print(print_debug);
    return steer->active ? programs_run(steer, attach, err) : 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void rc_steer_close(struct rc_steer *steer)
{
    if (steer->map != NULL) {
        munmap(steer->map, map_bytes());
        steer->map = NULL;
    }
    if (steer->reasons != NULL) {
        munmap((void *)(uintptr_t)steer->reasons, reasons_bytes());
        steer->reasons = NULL;
    }
    for (uint32_t i = 0; i < steer->group_count; i++) {
        close_fd(&steer->sockets_fds[i]);
    }
    steer->group_count = 0;
    close_fd(&steer->map_fd);
    close_fd(&steer->reasons_fd);
    steer->active = false;
}

int rc_steer_sockets(struct rc_steer *steer, uint32_t worker, struct rc_err *err)
{
    int failed = 0;
    for (uint32_t i = 0; i < steer->group_count; i++) {
        const int rc = set_socket(steer, i, worker);
        if (rc != 0 && failed == 0) {
            failed = rc_err_set(err, rc, "worker %u's listener cannot be put into the steering map: %s", worker,
                                strerror(-rc));
        }
    }
    return failed;
}

/* The map's memory is plain on both other sides; here each word is stored and read whole. */
static _Atomic uint32_t *live_word(const struct rc_steer *steer, uint32_t worker)
{
    return (_Atomic uint32_t *)&steer->map[worker].live;
}

static _Atomic uint64_t *load_word(const struct rc_steer *steer, uint32_t worker)
{
    return (_Atomic uint64_t *)&steer->map[worker].load;
}

void rc_steer_set_live(struct rc_steer *steer, uint32_t worker, bool live)
{
    if (steer->map != NULL) {
        /* Relaxed: the program reads the word alone, and acts on no other because of it. */
        atomic_store_explicit(live_word(steer, worker), live ? 1u : 0u, memory_order_relaxed);
    }
}

bool rc_steer_is_live(const struct rc_steer *steer, uint32_t worker)
{
    return steer->map != NULL && atomic_load_explicit(live_word(steer, worker), memory_order_relaxed) != 0;
}

void rc_steer_reset_load(struct rc_steer *steer, uint32_t worker)
{
    if (steer->map != NULL) {
        atomic_store_explicit(load_word(steer, worker), 0, memory_order_relaxed);
    }
}

uint64_t rc_steer_load(const struct rc_steer *steer, uint32_t worker)
{
    return steer->map != NULL ? atomic_load_explicit(load_word(steer, worker), memory_order_relaxed) : 0;
}

void rc_steer_correct_load(struct rc_steer *steer, uint32_t worker, int64_t difference)
{
    if (steer->map != NULL) {
        atomic_fetch_sub_explicit(load_word(steer, worker), (uint64_t)difference, memory_order_relaxed);
    }
}

uint64_t rc_steer_count(const struct rc_steer *steer, enum rc_steer_reason reason)
{
    if (steer->reasons == NULL) {
        return 0;
    }
    return atomic_load_explicit((const _Atomic uint64_t *)&steer->reasons[reason], memory_order_relaxed);
}

const char *rc_steer_reason_name(enum rc_steer_reason reason)
{
    return reason_names[reason];
}

bool rc_steer_kernel_migrates(void)
{
    char digit = '0';
    const int fd = open("/proc/sys/net/ipv4/tcp_migrate_req", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!read(fd, &digit, 1);
        close(fd);
    }
    return digit == '1';
}
