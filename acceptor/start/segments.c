/*
 * segments: see segments.h.
 */
#include "acceptor/start/segments.h"

#include "acceptor/start/history_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/shm/segment.h"

static const struct rc_segment no_segment = {.fd = -1, .reader_fd = -1};

static uint32_t random_nonce(void)
{
    uint32_t nonce = 0;
    while (nonce == 0) {
        if (getrandom(&nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce)) {
            nonce = 0;
        }
    }
    return nonce;
}

static void segment_close(struct rc_segment *segment)
{
    if (segment->memory != NULL) {
        munmap(segment->memory, segment->bytes);
    }
    if (segment->fd >= 0) {
        close(segment->fd);
    }
    if (segment->reader_fd >= 0) {
        close(segment->reader_fd);
    }
    *segment = no_segment;
}

/* `read`: others are to map it for reading. On failure rc_segments_close tidies up. */
static int segment_open(struct rc_segment *segment, const char *name, uint64_t bytes, bool read, struct rc_err *err)
{
    segment->fd = rc_segment_create(name, bytes, err);
    if (segment->fd < 0) {
        return segment->fd;
    }
    segment->memory = rc_segment_map(segment->fd, &segment->bytes, err);
    if (segment->memory == NULL) {
        return -ENOMEM;
    }
    segment->reader_fd = read ? rc_segment_reader(segment->fd, err) : -1;
    return read && segment->reader_fd < 0 ? segment->reader_fd : 0;
}

static int open_shared(struct rc_segments *segments, const struct rc_config *config, struct rc_err *err)
{
    int rc = segment_open(&segments->core_segment, "ringcast-core", sizeof(struct rc_core), true, err);
    if (rc == 0) {
        rc = segment_open(&segments->config_segment, "ringcast-config", sizeof(struct rc_config_segment), true, err);
    }
    if (rc == 0) {
        rc = segment_open(&segments->keys_segment, "ringcast-keys", sizeof(struct rc_key_board), true, err);
    }
    if (rc == 0) {
        rc = segment_open(&segments->acceptor_segment, "ringcast-report-acceptor", sizeof(struct rc_report), true, err);
    }
    if (rc == 0) {
        rc = segment_open(&segments->relay_segment, "ringcast-report-relay", sizeof(struct rc_relay_report), true, err);
    }
    if (rc == 0) {
        rc = segment_open(&segments->keep_segment, "ringcast-keep", RC_RELAY_KEEP_BYTES + segments->recovery_bytes,
                          false, err);
    }
    if (rc == 0) {
        rc = segment_open(&segments->limits_segment, "ringcast-limits", sizeof(struct rc_limits_segment), false, err);
    }
    if (rc == 0) {
        rc = config->limits.history_file.text[0] == '\0'
                 ? segment_open(&segments->history_segment, "ringcast-history",
                                rc_history_bytes(segments->history_bytes), true, err)
                 : rc_history_file_open(config->limits.history_file.text, rc_history_bytes(segments->history_bytes),
                                        &segments->history_segment, err);
    }
    return rc;
}

/* Messages, keys and passwords are not in core dumps of ours. */
static void segments_hide(const struct rc_segments *segments)
{
    const struct rc_segment *secret[] = {&segments->config_segment, &segments->keys_segment, &segments->limits_segment,
                                         &segments->history_segment};
    for (size_t i = 0; i < RC_ARRAY_COUNT(secret); i++) {
        rc_segment_dump(secret[i]->memory, secret[i]->bytes, false);
    }
    rc_segment_dump((uint8_t *)segments->keep + RC_RELAY_KEEP_BYTES, segments->recovery_bytes, false);
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        rc_segment_dump((uint8_t *)segments->ports[i] + RC_PORT_DATA_OFFSET,
                        segments->port_segments[i].bytes - RC_PORT_DATA_OFFSET, false);
    }
}

static int open_pair(struct rc_segments *segments, uint32_t index, struct rc_err *err)
{
    char name[48];
    snprintf(name, sizeof(name), "ringcast-report-worker-%u", index);
    int rc = segment_open(&segments->worker_segments[index], name, sizeof(struct rc_report), true, err);
    if (rc == 0) {
        snprintf(name, sizeof(name), "ringcast-port-%u", index);
        rc = segment_open(&segments->port_segments[index], name,
                          rc_port_bytes(segments->ring_bytes, segments->overflow_bytes), false, err);
    }
    return rc;
}

static void fill_core(struct rc_core *core, const struct rc_config *config, uint32_t workers)
{
    core->abi = RC_CORE_ABI;
    core->records_abi = RC_RECORDS_ABI;
    core->bytes = sizeof(*core);
    core->worker_count = workers;
    core->boot_nonce = random_nonce();
    /* Up to 256 bytes are never short once the pool is filled, which random_nonce has seen. */
    RC_ASSERT(getrandom(core->tls_ticket_keys, sizeof(core->tls_ticket_keys), 0) ==
              (ssize_t)sizeof(core->tls_ticket_keys));
    memcpy(core->hash_secret, rc_hash_secret(), sizeof(core->hash_secret));
    core->boot_wall_ms = rc_clock_wall_ms();
    core->boot_ms = rc_clock_ms();
    snprintf(core->instance_id, sizeof(core->instance_id), "%.*s", RC_INSTANCE_ID_MAX, config->server.instance_id.text);
    atomic_store_explicit(&core->state, RC_BROKER_STARTING, memory_order_relaxed);
    atomic_store_explicit(&core->acceptor.pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&core->acceptor.generation, 1, memory_order_relaxed);
    atomic_store_explicit(&core->acceptor.running, 1, memory_order_relaxed);
    atomic_store_explicit(&core->acceptor.cpu, UINT32_MAX, memory_order_relaxed);
}

void rc_segments_clear(struct rc_segments *segments)
{
    memset(segments, 0, sizeof(*segments));
    segments->former_config_segment = segments->former_keys_segment = no_segment;
    for (uint32_t i = 0; i < RC_SEGMENTS_MAX; i++) {
        *rc_segments_at(segments, i) = no_segment;
    }
}

struct rc_segment *rc_segments_at(struct rc_segments *segments, uint32_t index)
{
    struct rc_segment *const shared[RC_SEGMENTS_SHARED] = {
        &segments->core_segment,  &segments->config_segment, &segments->keys_segment,   &segments->acceptor_segment,
        &segments->relay_segment, &segments->keep_segment,   &segments->limits_segment, &segments->history_segment};
    RC_ASSERT(index < RC_SEGMENTS_MAX);
    if (index < RC_SEGMENTS_SHARED) {
        return shared[index];
    }
    const uint32_t worker = (index - RC_SEGMENTS_SHARED) / 2;
    return (index - RC_SEGMENTS_SHARED) % 2 == 0 ? &segments->worker_segments[worker]
                                                 : &segments->port_segments[worker];
}

/* The same memory, by its types. */
static void segments_point(struct rc_segments *segments)
{
    segments->core = segments->core_segment.memory;
    segments->configs = segments->config_segment.memory;
    segments->keys = segments->keys_segment.memory;
    segments->acceptor = segments->acceptor_segment.memory;
    segments->relay = segments->relay_segment.memory;
    segments->keep = segments->keep_segment.memory;
    segments->limits = segments->limits_segment.memory;
    segments->history = segments->history_segment.memory;
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        segments->workers[i] = segments->worker_segments[i].memory;
        segments->ports[i] = segments->port_segments[i].memory;
    }
}

int rc_segments_create(struct rc_segments *segments, const struct rc_config *config, uint32_t workers,
                       struct rc_err *err)
{
    RC_ASSERT(workers >= 1 && workers <= RC_WORKERS_MAX);
    rc_segments_clear(segments);
    segments->worker_count = workers;
    segments->ring_bytes = config->server.ring_bytes;
    segments->overflow_bytes = config->server.overflow_bytes;
    segments->history_bytes = config->limits.history_memory_bytes;
    const bool recovers = config->socketio.recovery_ms > 0 || config->socketio.link.text[0] != '\0';
    segments->recovery_bytes = recovers ? config->socketio.recovery_memory_bytes : 0;
    int rc = open_shared(segments, config, err);
    for (uint32_t i = 0; rc == 0 && i < workers; i++) {
        rc = open_pair(segments, i, err);
    }
    segments_point(segments);
    if (rc == 0) {
        segments_hide(segments);
        rc = rc_limits_segment_open(segments->limits, err);
    }
    if (rc != 0) {
        rc_segments_close(segments);
        return rc;
    }
    segments->metrics = rc_banks_own(&segments->acceptor->banks);
    fill_core(segments->core, config, workers);
    segments->configs->build = RC_BUILD_ID;
    segments->configs->copies[0] = *config;
    atomic_store_explicit(&segments->keep->truth.next_sequence, 1, memory_order_relaxed);
    atomic_store_explicit(&segments->acceptor->process.state, RC_PROCESS_READY, memory_order_relaxed);
    return 0;
}

static bool report_of_ours(const struct rc_report *report)
{
    /* S3 pairs with S1 of the program that made it: what it begins with is there. */
    return atomic_load_explicit(&report->ready, memory_order_acquire) == RC_REPORT_READY &&
           report->abi == RC_CORE_ABI && report->layout == RC_REPORT_ABI;
}

/* Are they, and are they as large as this program takes them to be? */
static bool segments_right(struct rc_segments *segments)
{
    const uint64_t least[RC_SEGMENTS_SHARED] = {sizeof(struct rc_core),
                                                offsetof(struct rc_config_segment, copies),
                                                0,
                                                /* of the build */ sizeof(struct rc_report),
                                                sizeof(struct rc_relay_report),
                                                RC_RELAY_KEEP_BYTES,
                                                sizeof(*segments->limits),
                                                sizeof(struct rc_history_segment)};
    bool right = true;
    for (uint32_t i = 0; i < RC_SEGMENTS_SHARED; i++) {
        right &= rc_segments_at(segments, i)->bytes >= least[i];
    }
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        right &= segments->worker_segments[i].bytes >= sizeof(struct rc_report) &&
                 segments->port_segments[i].bytes >= rc_port_bytes(segments->ring_bytes, segments->overflow_bytes);
    }
    if (!right) {
        return false;
    }
    right = atomic_load_explicit(&segments->core->ready, memory_order_acquire) == RC_CORE_READY && /* S3 */
            segments->core->abi == RC_CORE_ABI && segments->core->records_abi == RC_RECORDS_ABI &&
            segments->core->worker_count == segments->worker_count && report_of_ours(segments->acceptor) &&
            report_of_ours(&segments->relay->report) && segments->keep->abi == RC_CORE_ABI &&
            rc_windows_right(&segments->limits->windows);
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        right &= report_of_ours(segments->workers[i]) && segments->ports[i]->abi == RC_PORT_ABI;
    }
    return right;
}

/* Another build's configuration is not read, but for its head. New segments for both that are laid out by the build. */
static int segments_anew(struct rc_segments *segments, struct rc_err *err)
{
    const struct rc_config_segment *former = segments->config_segment.memory;
    /* S3 */
    if (atomic_load_explicit(&former->ready, memory_order_acquire) != RC_CONFIG_READY) {
        return rc_err_set(err, -EBADMSG, "the configuration in shared memory is damaged");
    }
    segments->former_config_segment = segments->config_segment;
    segments->former_keys_segment = segments->keys_segment;
    segments->config_segment = segments->keys_segment = no_segment;
    int rc = segment_open(&segments->config_segment, "ringcast-config", sizeof(struct rc_config_segment), true, err);
    if (rc == 0) {
        rc = segment_open(&segments->keys_segment, "ringcast-keys", sizeof(struct rc_key_board), true, err);
    }
    return rc == 0 ? 1 : rc;
}

static bool config_of_ours(const struct rc_segments *segments)
{
    const struct rc_config_segment *configs = segments->config_segment.memory;
    return configs->build == RC_BUILD_ID && segments->config_segment.bytes >= sizeof(*configs) &&
           segments->keys_segment.bytes >= sizeof(struct rc_key_board);
}

int rc_segments_adopt(struct rc_segments *segments, struct rc_err *err)
{
    RC_ASSERT(segments->worker_count >= 1 && segments->worker_count <= RC_WORKERS_MAX);
    for (uint32_t i = 0; i < RC_SEGMENTS_SHARED + 2 * segments->worker_count; i++) {
        struct rc_segment *segment = rc_segments_at(segments, i);
        segment->memory = segment == &segments->history_segment
                              ? rc_segment_map_file(segment->fd, true, &segment->bytes, err)
                              : rc_segment_map(segment->fd, &segment->bytes, err);
        if (segment->memory == NULL) {
            return -EBADMSG;
        }
    }
    segments_point(segments);
    if (!segments_right(segments)) {
        return rc_err_set(err, -EBADMSG, "shared memory is of another kind, or damaged");
    }
    const int rc = config_of_ours(segments) ? 0 : segments_anew(segments, err);
    if (rc >= 0) {
        segments_point(segments);
        segments_hide(segments);
    }
    return rc;
}

void rc_segments_fill(struct rc_segments *segments, const struct rc_config *config)
{
    const struct rc_config_segment *former = segments->former_config_segment.memory;
    struct rc_config_segment *configs = segments->configs;
    configs->build = RC_BUILD_ID;
    configs->copies[0] = configs->copies[1] = *config;
    /* Indices in the truths of workers are of this generation. */
    atomic_store_explicit(&configs->generation, atomic_load_explicit(&former->generation, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&configs->ready, RC_CONFIG_READY, memory_order_release); /* S1d */
}

void rc_segments_count(struct rc_segments *segments)
{
    segments->metrics = rc_banks_open(&segments->acceptor->banks);
    rc_banks_inherit(&segments->acceptor->banks);
}

void rc_segments_settle(struct rc_segments *segments)
{
    rc_banks_take(&segments->acceptor->banks);
    segment_close(&segments->former_config_segment);
    segment_close(&segments->former_keys_segment);
}

bool rc_segments_foreign(const struct rc_segments *segments, int index)
{
    const struct rc_report *report = index < 0 ? &segments->relay->report : segments->workers[index];
    const struct rc_bank *bank = rc_banks_current(&report->banks);
    return atomic_load_explicit(&bank->build, memory_order_relaxed) != 0 && !rc_bank_ours(bank);
}

static void renew_report(struct rc_report *report)
{
    report->abi = RC_CORE_ABI;
    report->layout = RC_REPORT_ABI;
    atomic_store_explicit(&report->ready, RC_REPORT_READY, memory_order_release); /* S1a */
}

void rc_segments_renew(struct rc_segments *segments, int index)
{
    if (index < 0) {
        rc_history_format(segments->history, segments->history_segment.bytes);
        segments->keep->abi = RC_CORE_ABI;
        atomic_store_explicit(&segments->keep->ready, RC_KEEP_READY, memory_order_release); /* S1b */
        renew_report(&segments->relay->report);
        for (uint32_t i = 0; i < segments->worker_count; i++) {
            rc_segments_renew(segments, (int)i);
        }
        return;
    }
    struct rc_port *port = segments->ports[index];
    port->abi = RC_PORT_ABI;
    port->ring_bytes = segments->ring_bytes;
    port->overflow_bytes = segments->overflow_bytes;
    atomic_store_explicit(&port->ready, RC_PORT_READY, memory_order_release); /* S1c */
    renew_report(segments->workers[index]);
    rc_windows_renew(&segments->limits->windows);
}

void rc_segments_publish(struct rc_segments *segments)
{
    rc_segments_renew(segments, -1);
    renew_report(segments->acceptor);
    atomic_store_explicit(&segments->configs->ready, RC_CONFIG_READY, memory_order_release); /* S1d */
    /* S1 pairs with C4 in rc_control_attach: whoever sees a segment ready sees what it must begin with. */
    atomic_store_explicit(&segments->core->ready, RC_CORE_READY, memory_order_release);
}

void rc_segments_args(const struct rc_segments *segments, struct rc_spawn_args *args)
{
    args->core_fd = segments->core_segment.reader_fd;
    args->config_fd = segments->config_segment.reader_fd;
    args->acceptor_fd = segments->acceptor_segment.reader_fd;
    args->history_fd = args->index >= 0 ? segments->history_segment.reader_fd : segments->history_segment.fd;
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        args->worker_fds[args->worker_count++] = segments->worker_segments[i].reader_fd;
    }
    if (args->index >= 0) {
        args->own_fd = segments->worker_segments[args->index].fd;
        args->relay_fd = segments->relay_segment.reader_fd;
        args->keys_fd = segments->keys_segment.reader_fd;
        args->limits_fd = segments->limits_segment.fd;
        args->port_fds[args->port_count++] = segments->port_segments[args->index].fd;
        return;
    }
    args->own_fd = segments->relay_segment.fd;
    args->keep_fd = segments->keep_segment.fd;
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        args->port_fds[args->port_count++] = segments->port_segments[i].fd;
    }
}

uint32_t rc_segments_configure(struct rc_segments *segments, const struct rc_config *config)
{
    struct rc_config_segment *configs = segments->configs;
    const uint32_t next = atomic_load_explicit(&configs->generation, memory_order_relaxed) + 1;
    configs->copies[next & 1] = *config;
    /* S2 pairs with C2 in rc_control_config_generation: whoever sees it sees the copy. */
    atomic_store_explicit(&configs->generation, next, memory_order_release);
    return next;
}

const struct rc_config *rc_segments_config(const struct rc_segments *segments)
{
    const struct rc_config_segment *configs = segments->configs;
    return &configs->copies[atomic_load_explicit(&configs->generation, memory_order_relaxed) & 1];
}

void rc_segments_close(struct rc_segments *segments)
{
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        segment_close(&segments->worker_segments[i]);
        segment_close(&segments->port_segments[i]);
        segments->workers[i] = NULL;
        segments->ports[i] = NULL;
    }
    if (segments->worker_count > 0) { /* else nothing was ever made */
        segment_close(&segments->core_segment);
        segment_close(&segments->config_segment);
        segment_close(&segments->former_config_segment);
        segment_close(&segments->former_keys_segment);
        segment_close(&segments->keys_segment);
        segment_close(&segments->acceptor_segment);
        segment_close(&segments->relay_segment);
        segment_close(&segments->keep_segment);
        segment_close(&segments->limits_segment);
        rc_history_file_closing(&segments->history_segment);
        segment_close(&segments->history_segment);
    }
    segments->worker_count = 0;
    segments->core = NULL;
    segments->configs = NULL;
    segments->keys = NULL;
    segments->acceptor = NULL;
    segments->metrics = NULL;
    segments->relay = NULL;
    segments->keep = NULL;
    segments->limits = NULL;
    segments->history = NULL;
}
