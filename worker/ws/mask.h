/*
 * Masking of client payloads (RFC 6455 5.3). Pure function, any process, can not fail.
 */
#ifndef RC_WORKER_WS_MASK_H
#define RC_WORKER_WS_MASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * XORs `bytes` in place with the masking key. `key` is the four key bytes as they stood in the frame, loaded with
 * memcpy (so in host order, whatever that is); `phase` is the position of bytes[0] in the frame's payload, of which
 * only the last two bits matter. Masking twice gives the original.
 */
void rc_ws_mask(uint8_t *bytes, size_t n, uint32_t key, size_t phase);

#endif
