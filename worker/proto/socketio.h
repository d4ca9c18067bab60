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

/* Do the placeholders of this JSON text, {"_placeholder":true,"num":n}, all name one of `count` attachments? 0 or -EBADMSG. */
int rc_sio_placeholders_check(struct rc_span json, uint32_t count);

#endif
