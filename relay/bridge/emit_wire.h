/*
 * emit_wire: an event of a backend that Socket.IO clients of other instances are to answer, as the bytes that stand in Redis
 * (ws:instances:emit, relay/cluster/emits.h). Integers are big endian:
 *
 *   0x01 | flags (1) | timeout in ms (4) | n, instance that says it (n bytes) | n, namespace | n, event |
 *   count (2), who asks (common/records/emit.h: whatever the workers make of it) | count (4), names: whom it is for (select.h) |
 *   count (4), JSON array of the arguments | count (2), count × size (4), attachments
 *
 *   flags: bit 0 = volatile; others are 0
 *
 * Pure. Anybody who can publish to Redis may have written it: everything is checked before anything is believed, but for what only workers
 * understand. Errors: those of json_scan; -EBADMSG: it is none.
 */
#ifndef RC_RELAY_BRIDGE_EMIT_WIRE_H
#define RC_RELAY_BRIDGE_EMIT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/args.h"

/* Views. */
struct rc_emit_message {
    bool is_volatile;
    uint32_t timeout_ms; /* struct rc_emit_head */
    struct rc_span from;
    struct rc_span nsp;
    struct rc_span event;
    struct rc_span asker;
    struct rc_span names;
    struct rc_args_view
        args; /* of which `sizes` are the host's own when it is written, and big endian when it was read */
};

/* Views of `bytes`; they live as long. */
int rc_emit_message_read(struct rc_emit_message *message, struct rc_span bytes);
/* Bytes of the arguments as records have them, and those: rc_args_bytes of them. Of one that was read. */
size_t rc_emit_message_args_bytes(const struct rc_emit_message *message);
void rc_emit_message_args(const struct rc_emit_message *message, uint8_t *out);

/* Bytes that it has when it is written, and writes it. Of one whose sizes are the host's. */
size_t rc_emit_message_bytes(const struct rc_emit_message *message);
void rc_emit_message_write(const struct rc_emit_message *message, uint8_t *out);

#endif
