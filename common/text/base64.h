/*
 * base64: the text of bytes in the alphabets of RFC 4648 (sections 4 and 5) is read and written. Pure; any process may call.
 */
#ifndef RC_COMMON_TEXT_BASE64_H
#define RC_COMMON_TEXT_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* What stands for 6 bits in base64url (section 5), and the other way round; -1: it stands for none. */
char rc_base64url_character(uint32_t bits);
int rc_base64url_value(uint8_t character);

/* With or without padding, in one line or, as MIME has it (RFC 2045) and clients for Java write it, in several. `out` has room for three quarters of `count`, and may be `text`. The bytes; -EBADMSG: it is none. */
int64_t rc_base64_decode(uint8_t *out, const uint8_t *text, size_t count);

/* The one text of section 4: with padding, and no bits behind the last byte. As above; -EBADMSG also for what rc_base64_decode takes beside it. */
int64_t rc_base64_decode_strict(uint8_t *out, const uint8_t *text, size_t count);

/* Writes it, with padding and no NUL; `to` is elsewhere, or where the bytes are. The characters: RC_BASE64_BYTES(count). */
size_t rc_base64_encode(uint8_t *to, const uint8_t *bytes, size_t count);
#define RC_BASE64_BYTES(count) (((count) + 2) / 3 * 4)

/* base64url as RFC 7515 has it: no padding, nothing else in between, and no bits behind the last byte, so that bytes have one text only.
 * `out` has room for three quarters of `count`, and may be `text`. The bytes; -EBADMSG: it is none. */
int64_t rc_base64url_decode(uint8_t *out, const uint8_t *text, size_t count);

/* Writes four thirds of `count`, rounded up; no padding, no NUL. The characters. */
size_t rc_base64url_encode(char *out, const uint8_t *bytes, size_t count);

#endif
