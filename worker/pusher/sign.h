/*
 * sign: signatures of the Pusher Channels protocol: HMAC-SHA256 in lower case hexadecimal digits, by an app's secret
 * (pusher.com/docs/channels, "Authentication and authorization signatures"). Pure; comparing takes the same time whatever differs.
 */
#ifndef RC_WORKER_PUSHER_SIGN_H
#define RC_WORKER_PUSHER_SIGN_H

#include <stdbool.h>

#include "common/base/span.h"

#define RC_PUSHER_SIGNATURE_BYTES 64u

/* Of the parts with a colon between them (`parts` up to 3). False: the library has no memory. */
bool rc_pusher_sign(struct rc_span secret, const struct rc_span *parts, uint32_t count,
                    char out[RC_PUSHER_SIGNATURE_BYTES]);
/* Is that the signature of the text? */
bool rc_pusher_signed(struct rc_span secret, const struct rc_span *parts, uint32_t count, struct rc_span signature);

#endif
