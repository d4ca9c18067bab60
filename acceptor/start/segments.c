/*
 * segments: see segments.h.
 */
#include "acceptor/start/segments.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/shm/segment.h"

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

static int create_port(struct rc_segments *segments, const struct rc_config *config, uint32_t index, struct rc_err *err)
{
    char name[32];
    snprintf(name, sizeof(name), "ringcast-port-%u", index);
    const int fd = rc_segment_create(name, segments->port_bytes, err);
    if (fd < 0) {
        return fd;
    }
    segments->port_fds[index] = fd;
    uint64_t mapped;
    struct rc_port *port = rc_segment_map(fd, &mapped, err);
    if (port == NULL) {
        return -ENOMEM;
    }
    segments->ports[index] = port;
    port->version = RC_SHM_VERSION;
    port->ring_bytes = config->server.ring_bytes;
    port->overflow_bytes = config->server.overflow_bytes;
    /* R1 pairs with the acquire of a child that attaches the port: whoever sees ready sees the sizes. */
    atomic_store_explicit(&port->ready, RC_PORT_READY, memory_order_release);
    return 0;
}

static void fill_control(struct rc_control *control, uint64_t bytes, const struct rc_config *config, uint32_t workers)
{
    control->version = RC_SHM_VERSION;
    control->bytes = bytes;
    control->worker_count = workers;
    control->boot_nonce = random_nonce();
    /* Up to 256 bytes are never short once the pool is filled, which random_nonce has seen. */
    RC_ASSERT(getrandom(control->tls_ticket_keys, sizeof(control->tls_ticket_keys), 0) ==
              (ssize_t)sizeof(control->tls_ticket_keys));
    memcpy(control->hash_secret, rc_hash_secret(), sizeof(control->hash_secret));
    control->boot_wall_ms = rc_clock_wall_ms();
    control->boot_ms = rc_clock_ms();
    snprintf(control->instance_id, sizeof(control->instance_id), "%.*s", RC_INSTANCE_ID_MAX,
             config->server.instance_id.text);
    control->config[0] = *config;
    atomic_store_explicit(&control->relay_truth.next_sequence, 1, memory_order_relaxed);
    atomic_store_explicit(&control->state, RC_BROKER_STARTING, memory_order_relaxed);
    atomic_store_explicit(&control->acceptor.state, RC_PROCESS_READY, memory_order_relaxed);
    atomic_store_explicit(&control->acceptor.pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&control->acceptor.generation, 1, memory_order_relaxed);
    atomic_store_explicit(&control->acceptor.cpu, UINT32_MAX, memory_order_relaxed);
}

int rc_segments_create(struct rc_segments *segments, const struct rc_config *config, uint32_t workers,
                       struct rc_err *err)
{
    RC_ASSERT(workers >= 1 && workers <= RC_WORKERS_MAX);
    memset(segments, 0, sizeof(*segments));
    segments->control_fd = -1;
    segments->worker_count = workers;
    segments->port_bytes = rc_port_bytes(config->server.ring_bytes, config->server.overflow_bytes);
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        segments->port_fds[i] = -1;
    }
    int code = rc_segment_create("ringcast-control", sizeof(struct rc_control), err);
    if (code < 0) {
        return code;
    }
    segments->control_fd = code;
    uint64_t bytes;
    segments->control = rc_segment_map(segments->control_fd, &bytes, err);
    code = segments->control == NULL ? -ENOMEM : 0;
    if (code == 0) {
        fill_control(segments->control, bytes, config, workers);
    }
    for (uint32_t i = 0; code == 0 && i < workers; i++) {
        code = create_port(segments, config, i, err);
    }
    if (code != 0) {
        rc_segments_close(segments);
    }
    return code;
}

void rc_segments_publish(struct rc_segments *segments)
{
    /* R2 pairs with the acquire of a child that attaches the control segment: whoever sees ready sees all above. */
    atomic_store_explicit(&segments->control->ready, RC_CONTROL_READY, memory_order_release);
}

uint32_t rc_segments_configure(struct rc_segments *segments, const struct rc_config *config)
{
    struct rc_control *control = segments->control;
    const uint32_t next = atomic_load_explicit(&control->config_generation, memory_order_relaxed) + 1;
    control->config[next & 1] = *config;
    /* R3 pairs with the acquire load of config_generation in a child's loop: whoever sees it sees the copy. */
    atomic_store_explicit(&control->config_generation, next, memory_order_release);
    return next;
}

const struct rc_config *rc_segments_config(const struct rc_segments *segments)
{
    const struct rc_control *control = segments->control;
    return &control->config[atomic_load_explicit(&control->config_generation, memory_order_relaxed) & 1];
}

void rc_segments_close(struct rc_segments *segments)
{
    for (uint32_t i = 0; i < segments->worker_count; i++) {
        if (segments->ports[i] != NULL) {
            munmap(segments->ports[i], segments->port_bytes);
            segments->ports[i] = NULL;
        }
        if (segments->port_fds[i] >= 0) {
            close(segments->port_fds[i]);
            segments->port_fds[i] = -1;
        }
    }
    if (segments->control != NULL) {
        munmap(segments->control, sizeof(struct rc_control));
        segments->control = NULL;
    }
    if (segments->control_fd >= 0) {
        close(segments->control_fd);
        segments->control_fd = -1;
    }
}
