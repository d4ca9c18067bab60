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

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_scan.h"
#include "worker/proto/operation.h"

#define RC_SIO_ID_DIGITS_MAX 16u /* 2^53 - 1 */
#define RC_SIO_NSP_MAX \
    (RC_CHANNEL_BYTES_MAX - 1u) /* "{nsp}#" is a channel's name, also of a namespace that is refused */

/* --- for codecs: what is the same with every parser --- */

/* The namespace of an event, from its channel. */
struct rc_span rc_sio_nsp_of(const struct rc_event *event);
/* What an event is called. */
struct rc_span rc_sio_name_of(const struct rc_event *event);
/* A packet that is none. -EBADMSG. */
int rc_sio_broken(struct rc_operation_error *error, const char *why);

/* --- placeholders: the objects of a JSON text in whose place an attachment belongs --- */

/* A walk over a valid JSON text. What stands for an attachment is what socket.io-parser takes for it: an object whose "_placeholder" is
 * true, whatever else it has. */
struct rc_sio_placeholders {
    const uint8_t *at; /* borrowed */
    const uint8_t *end;
    uint32_t depth;
    struct rc_sio_level {
        bool object;
        bool placeholder;
        uint32_t number; /* of its attachment; UINT32_MAX = of none */
    } levels[RC_JSON_DEPTH_MAX];
};

void rc_sio_placeholders_begin(struct rc_sio_placeholders *walk, struct rc_span json);
/* The attachment's number of the next one. 1; 0: there is no more; -EBADMSG: it has no whole number, or the text is no valid JSON. */
int rc_sio_placeholder_next(struct rc_sio_placeholders *walk, uint32_t *number);

/* Does every placeholder of this JSON text name one of `count` attachments, and none of them one that another names? (Twice the same
 * one nobody writes, and it could be many times as long for receivers as it was.) `count`: at most RC_ARGS_ATTACHMENTS_MAX. 0 or
 * -EBADMSG. */
int rc_sio_placeholders_check(struct rc_span json, uint32_t count);

#endif
