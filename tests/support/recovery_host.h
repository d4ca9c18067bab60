/* What recovery asks its relay, of a host whose one worker lives on and was sent nothing: struct rc_recovery_setup's generation and sent. How a recovery of
 * such a host begins, and one with a socket that may come back. */
#ifndef RC_TESTS_SUPPORT_RECOVERY_HOST_H
#define RC_TESTS_SUPPORT_RECOVERY_HOST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "relay/recovery/recovery.h"

#define HOST_RECOVERY_BYTES (256u * 1024) /* zeroed, before the first opening */

__attribute__((unused)) static uint32_t host_generation(void *context, uint32_t worker)
{
    (void)context;
    (void)worker;
    return 1;
}

__attribute__((unused)) static uint64_t host_sent(void *context, uint32_t worker)
{
    (void)context;
    (void)worker;
    return 0;
}

/* What such a relay says; a test has the rest of its own. All is borrowed. */
__attribute__((unused)) static struct rc_recovery_setup host_setup(struct rc_recovery_view *view,
                                                                   struct rc_config *config, struct rc_metrics *metrics)
{
    return (struct rc_recovery_setup){.view = view,
                                      .config = config,
                                      .metrics = metrics,
                                      .instance_id = "here",
                                      .boot_nonce = 1,
                                      .record_bytes_max = 4096,
                                      .generation = host_generation,
                                      .sent = host_sent};
}

/* Of a socket it keeps 20,000 bytes for so long, in zeroed memory, which is the view. */
__attribute__((unused)) static void host_view(struct rc_recovery_view *view, void *memory, uint64_t bytes,
                                              struct rc_config *config, uint64_t recovery_ms)
{
    struct rc_err err;
    config->socketio.recovery_ms = recovery_ms;
    config->socketio.recovery_max_bytes = 20000;
    RC_ASSERT(rc_recovery_view_open(view, memory, bytes, &err) == 0);
}

/* Now, and each time that the relay has died and another one begins in the same memory. */
__attribute__((unused)) static void host_begins(struct rc_recovery *recovery, const struct rc_recovery_setup *setup)
{
    RC_ASSERT(rc_recovery_open(recovery, setup) == 0);
    rc_recovery_tell_rooms(recovery);
}

/* Of a relay that keeps what is for the socket, which is at a worker, in "/" and these rooms (each ended by a NUL). */
__attribute__((unused)) static void host_recovers(struct rc_recovery *recovery, void *memory,
                                                  const struct rc_client_ref *socket, uint32_t worker,
                                                  struct rc_span rooms)
{
    static struct rc_config config;
    static struct rc_metrics metrics;
    struct rc_recovery_view view;
    uint8_t data[sizeof(struct rc_sio_session_head) + 64];
    host_view(&view, memory, HOST_RECOVERY_BYTES, &config, 1000);
    const struct rc_recovery_setup setup = host_setup(&view, &config, &metrics);
    host_begins(recovery, &setup);
    struct rc_sio_session_head head = {.state = RC_SIO_SESSION_LIVE, .rooms_bytes = (uint32_t)rooms.count};
    RC_ASSERT(rooms.count <= sizeof(data) - sizeof(head));
    memset(head.pid, 'p', sizeof(head.pid));
    rc_sid_write(head.sid, "abcde", socket);
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), rooms.bytes, rooms.count);
    const struct rc_envelope_view up = {
        .head = {.origin = *socket, .channel_bytes = 2, .data_bytes = (uint32_t)(sizeof(head) + rooms.count)},
        .channel = "/#",
        .data = data};
    rc_recovery_take(recovery, worker, 1, true, &up, 1);
    RC_ASSERT(rc_recovery_has(recovery, socket->random));
}

#endif
