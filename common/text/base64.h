/*
 * base64: the text of bytes in RFC 4648's first alphabet (section 4) is read and written. Pure; any process may call.
 */
#ifndef RC_COMMON_TEXT_BASE64_H
#define RC_COMMON_TEXT_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* With or without padding. `out` has room for three quarters of `count`, and may be `text`. The bytes; -EBADMSG: it is none. */
int64_t rc_base64_decode(uint8_t *out, const uint8_t *text, size_t count);
/* With padding; `to` is elsewhere, or where they are. The bytes written: RC_BASE64_BYTES(count). */
size_t rc_base64_write(uint8_t *to, const uint8_t *from, size_t count);
#define RC_BASE64_BYTES(count) (((count) + 2) / 3 * 4)

#endif
