/* control: see control.h. */
#include "common/shm/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/shm/segment.h"

#define RING_BYTES_MIN 4096u /* the smallest ring that common/shm/ring attaches to */

/* `ready` and the two numbers that must be ours, read once. */
static bool head_right(const _Atomic uint32_t *ready, uint32_t wanted, uint32_t abi, uint32_t abi_wanted)
{
    /* C4 pairs with S1 in rc_segments_publish, the acceptor's last store: all else is written before it. */
    return atomic_load_explicit(ready, memory_order_acquire) == wanted && abi == abi_wanted;
}

static int segment_refuse(struct rc_err *err, const char *what)
{
    return rc_err_set(err, -EBADMSG,
                      "the %s segment is not of this version of ringcast: install acceptor, worker and relay together",
                      what);
}

int rc_control_copy(struct rc_control *control, const struct rc_core *core, uint64_t bytes, struct rc_err *err)
{
    if (bytes < sizeof(*core) || !head_right(&core->ready, RC_CORE_READY, core->abi, RC_CORE_ABI) ||
        core->records_abi != RC_RECORDS_ABI) {
        return segment_refuse(err, "core");
    }
    control->core = core;
    control->worker_count = core->worker_count;
    control->boot_nonce = core->boot_nonce;
    control->boot_wall_ms = core->boot_wall_ms;
    control->boot_ms = core->boot_ms;
    memcpy(control->instance_id, core->instance_id, sizeof(control->instance_id));
    control->instance_id[RC_INSTANCE_ID_MAX] = '\0';
    control->listener_count = core->listener_count;
    control->slots_per_worker = core->slots_per_worker;
    control->direct_descriptors = core->direct_descriptors;
    memcpy(control->tls_ticket_keys, core->tls_ticket_keys, sizeof(control->tls_ticket_keys));
    memcpy(control->vault_params, core->vault_params, sizeof(control->vault_params));
    memcpy(control->listeners, core->listeners, sizeof(core->listeners));
    control->listeners[RC_LISTENER_CONSOLE] =
        (struct rc_listener){.kind = RC_LISTENER_ADMIN, .loopback = 1, .unix_socket = 1, .address = "control socket"};
    for (uint32_t i = 0; i < RC_LISTENERS_MAX; i++) {
        control->listeners[i].address[sizeof(control->listeners[i].address) - 1] = '\0';
    }
    if (control->worker_count == 0 || control->worker_count > RC_WORKERS_MAX ||
        control->listener_count > RC_LISTENERS_MAX || control->boot_nonce == 0 ||
        control->direct_descriptors < control->slots_per_worker) {
        return rc_err_set(err, -EBADMSG, "the core segment is damaged: %u workers, %u listeners, %u of %u slots",
                          control->worker_count, control->listener_count, control->slots_per_worker,
                          control->direct_descriptors);
    }
    return 0;
}

int rc_port_map(struct rc_port **port, int fd, uint64_t *bytes, struct rc_err *err)
{
    *port = rc_segment_map(fd, bytes, err);
    if (*port == NULL) {
        return -errno;
    }
    if (*bytes > RC_PORT_DATA_OFFSET) {
        rc_segment_dump((uint8_t *)*port + RC_PORT_DATA_OFFSET, *bytes - RC_PORT_DATA_OFFSET, false);
    }
    return 0;
}

int rc_port_view_open(struct rc_port_view *view, struct rc_port *shared, uint64_t bytes, struct rc_err *err)
{
    if (bytes < RC_PORT_DATA_OFFSET || !head_right(&shared->ready, RC_PORT_READY, shared->abi, RC_PORT_ABI)) {
        return segment_refuse(err, "port");
    }
    const uint64_t sizes[] = {shared->ring_bytes, shared->overflow_bytes};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i] < RING_BYTES_MIN || sizes[i] > UINT64_C(1) << 40 || (sizes[i] & (sizes[i] - 1)) != 0) {
            return rc_err_set(err, -EBADMSG, "the port segment is damaged: a ring of %llu bytes",
                              (unsigned long long)sizes[i]);
        }
    }
    if (rc_port_bytes(sizes[0], sizes[1]) > bytes) {
        return rc_err_set(err, -EBADMSG, "the port segment is damaged: rings of %llu and %llu bytes in %llu",
                          (unsigned long long)sizes[0], (unsigned long long)sizes[1], (unsigned long long)bytes);
    }
    *view = (struct rc_port_view){.shared = shared, .ring_bytes = sizes[0], .overflow_bytes = sizes[1]};
    return 0;
}

/* Maps a segment of at least `least` bytes and closes its descriptor. NULL with errno, as rc_segment_map. */
static void *fd_take(int *fd, bool writable, uint64_t least, const char *what, struct rc_err *err)
{
    uint64_t bytes = 0;
    void *memory = writable ? rc_segment_map(*fd, &bytes, err) : (void *)rc_segment_map_read(*fd, &bytes, err);
    int code = errno;
    if (memory != NULL && bytes < least) {
        code = -segment_refuse(err, what);
        memory = NULL;
    }
    (void)close(*fd);
    *fd = -1;
    errno = code;
    return memory;
}

static bool report_right(const struct rc_report *report)
{
    return head_right(&report->ready, RC_REPORT_READY, report->abi, RC_CORE_ABI) && report->layout == RC_REPORT_ABI;
}

static const struct rc_report *take_report(int *fd, uint64_t bytes, struct rc_err *err)
{
    const struct rc_report *report = fd_take(fd, false, bytes, "report", err);
    if (report != NULL && !report_right(report)) {
        errno = -segment_refuse(err, "report");
        return NULL;
    }
    return report;
}

/* What a predecessor has left, and behind it what is kept for Socket.IO clients. */
static int attach_keep(struct rc_control *control, struct rc_spawn_args *args, struct rc_err *err)
{
    uint64_t bytes = 0;
    uint8_t *memory = rc_segment_map(args->keep_fd, &bytes, err);
    const int rc = memory == NULL ? -errno : 0;
    (void)close(args->keep_fd);
    args->keep_fd = -1;
    if (rc < 0) {
        return rc;
    }
    control->keep = (struct rc_relay_keep *)(void *)memory;
    if (bytes < RC_RELAY_KEEP_BYTES ||
        !head_right(&control->keep->ready, RC_KEEP_READY, control->keep->abi, RC_CORE_ABI)) {
        return segment_refuse(err, "keep");
    }
    const uint64_t rest = bytes - RC_RELAY_KEEP_BYTES;
    rc_segment_dump(memory + RC_RELAY_KEEP_BYTES, rest, false); /* messages */
    control->recovery = memory + RC_RELAY_KEEP_BYTES;
    control->recovery_bytes = rest;
    return 0;
}

static int attach_own(struct rc_control *control, struct rc_spawn_args *args, struct rc_err *err)
{
    const bool relay = args->index < 0;
    void *own =
        fd_take(&args->own_fd, true, relay ? sizeof(struct rc_relay_report) : sizeof(struct rc_report), "report", err);
    if (own == NULL) {
        return -errno;
    }
    control->own = own;
    if (!report_right(control->own)) {
        return segment_refuse(err, "report");
    }
    control->metrics =
        args->adopt == RC_ADOPT_RUNNING ? rc_banks_open(&control->own->banks) : rc_banks_own(&control->own->banks);
    if (!relay) {
        control->relay = (const void *)take_report(&args->relay_fd, sizeof(struct rc_relay_report), err);
        return control->relay == NULL ? -errno : 0;
    }
    control->own_relay = own;
    control->relay = own;
    return attach_keep(control, args, err);
}

/* The numbers of things that were handed over must be those of the core segment: loops go by either. */
static int check_counts(const struct rc_control *control, const struct rc_spawn_args *args, struct rc_err *err)
{
    const uint32_t workers = control->worker_count;
    if (args->worker_count != (int)workers || args->index >= (int)workers ||
        (args->index < 0 && (args->port_count != (int)workers || args->worker_bell_count != (int)workers)) ||
        (args->index >= 0 && args->listen_count != (int)control->listener_count)) {
        return rc_err_set(err, -EINVAL,
                          "%d reports, %d ports, %d bells and %d listeners were given for %u workers, %u listeners",
                          args->worker_count, args->port_count, args->worker_bell_count, args->listen_count, workers,
                          control->listener_count);
    }
    return 0;
}

static int attach_limits(struct rc_control *control, struct rc_spawn_args *args, struct rc_err *err)
{
    control->limits = fd_take(&args->limits_fd, true, sizeof(*control->limits), "limits", err);
    if (control->limits == NULL) {
        return -errno;
    }
    rc_segment_dump(control->limits, sizeof(*control->limits), false);
    return rc_windows_right(&control->limits->windows) ? 0 : segment_refuse(err, "limits");
}

static int attach_history(struct rc_control *control, struct rc_spawn_args *args, struct rc_err *err)
{
    uint64_t bytes = 0;
    void *memory = rc_segment_map_file(args->history_fd, args->index < 0, &bytes, err);
    const int rc = memory == NULL ? -errno : 0;
    /* Of a file the relay's stays open: its lock is with it. Files have no seals. */
    if (args->index >= 0 || fcntl(args->history_fd, F_GET_SEALS) >= 0) {
        close(args->history_fd);
        args->history_fd = -1;
    }
    if (rc < 0) {
        return rc;
    }
    rc_segment_dump(memory, bytes, false); /* messages */
    return rc_history_view_open(&control->history, memory, bytes, err);
}

int rc_control_attach(struct rc_control *control, struct rc_spawn_args *args, struct rc_err *err)
{
    memset(control, 0, sizeof(*control));
    const struct rc_core *core = fd_take(&args->core_fd, false, sizeof(*core), "core", err);
    control->configs = core == NULL ? NULL : fd_take(&args->config_fd, false, sizeof(*control->configs), "config", err);
    if (control->configs == NULL) {
        return -errno;
    }
    rc_segment_dump((void *)(uintptr_t)control->configs, sizeof(*control->configs), false); /* keys and passwords */
    int rc = rc_control_copy(control, core, sizeof(*core), err);
    if (rc == 0) {
        rc_hash_adopt(core->hash_secret); /* before the first name is hashed */
        rc = check_counts(control, args, err);
    }
    if (rc == 0 && !head_right(&control->configs->ready, RC_CONFIG_READY, control->configs->build, RC_BUILD_ID)) {
        rc = segment_refuse(err, "config");
    }
    if (rc == 0) {
        rc = attach_own(control, args, err);
    }
    if (rc == 0) {
        control->acceptor = take_report(&args->acceptor_fd, sizeof(struct rc_report), err);
        rc = control->acceptor == NULL ? -errno : 0;
    }
    if (rc == 0 && args->index >= 0) {
        /* Of the configuration's build, which was looked at. */
        control->keys = fd_take(&args->keys_fd, false, sizeof(*control->keys), "keys", err);
        rc = control->keys == NULL ? -errno : 0;
    }
    if (rc == 0 && control->keys != NULL) {
        rc_segment_dump((void *)(uintptr_t)control->keys, sizeof(*control->keys), false); /* secrets */
    }
    if (rc == 0 && args->index >= 0) {
        rc = attach_limits(control, args, err);
    }
    if (rc == 0) {
        rc = attach_history(control, args, err);
    }
    for (uint32_t i = 0; i < control->worker_count && rc == 0; i++) {
        control->workers[i] = take_report(&args->worker_fds[i], sizeof(struct rc_report), err);
        rc = control->workers[i] == NULL ? -errno : 0;
    }
    return rc;
}
