/*
 * socketio: the packets of Socket.IO (socket.io-protocol v5) as its default parser writes them: text, and binary attachments in
 * messages of their own. The codecs of worker/proto/codec.h over Engine.IO; what stands here is needed beside them.
 *
 *   <type>[<attachments>-][<namespace>,][<id>][JSON]
 *
 * Pure code: nothing allocates, only a worker calls it. JSON is validated and never changed.
 */
#ifndef RC_WORKER_PROTO_SOCKETIO_H
#define RC_WORKER_PROTO_SOCKETIO_H

#include <stdint.h>

#include "common/base/span.h"
#include "worker/proto/operation.h"

#define RC_SIO_ID_DIGITS_MAX 16u /* 2^53 - 1 */
#define RC_SIO_NSP_MAX \
    (RC_CHANNEL_BYTES_MAX - 1u) /* "{nsp}#" is a channel's name, also of a namespace that is refused */

/* --- for codecs: what is the same with every parser --- */

/* The namespace of an event, from its channel. */
struct rc_span rc_sio_nsp_of(const struct rc_event *event);
/* What an event is called. */
struct rc_span rc_sio_name_of(const struct rc_event *event);
/* What stands behind its arguments for clients that may come back; empty: nothing. Not where an acknowledgement is wanted, nor in one. */
static inline struct rc_span rc_sio_offset_of(const struct rc_event *event)
{
    return event->type == RC_EVENT_ACK || event->id.count > 0 ? rc_span_of(NULL, 0) : event->standing;
}
/* A packet that is none. -EBADMSG. */
int rc_sio_broken(struct rc_operation_error *error, const char *why);

#endif
