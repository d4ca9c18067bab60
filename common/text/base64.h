/*
 * base64: the text of bytes in the alphabets of RFC 4648 (sections 4 and 5) is read and written. Pure; any process may call.
 */
#ifndef RC_COMMON_TEXT_BASE64_H
#define RC_COMMON_TEXT_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* With or without padding. `out` has room for three quarters of `count`, and may be `text`. The bytes; -EBADMSG: it is none. */
int64_t rc_base64_decode(uint8_t *out, const uint8_t *text, size_t count);

/* base64url as RFC 7515 has it: no padding, nothing else in between, and no bits behind the last byte, so that bytes have one text only.
 * `out` has room for three quarters of `count`, and may be `text`. The bytes; -EBADMSG: it is none. */
int64_t rc_base64url_decode(uint8_t *out, const uint8_t *text, size_t count);

/* Writes four thirds of `count`, rounded up; no padding, no NUL. The characters. */
size_t rc_base64url_encode(char *out, const uint8_t *bytes, size_t count);

#endif
