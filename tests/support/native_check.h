/*
 * native_check: what must hold for any bytes that a client can send as one message of the native protocol. Used by
 * the fuzz targets of both forms.
 *
 * Aborts with the assertion that failed; needs nothing and leaves nothing behind.
 */
#ifndef RC_TESTS_SUPPORT_NATIVE_CHECK_H
#define RC_TESTS_SUPPORT_NATIVE_CHECK_H

#include "worker/proto/native.h"

/* Decodes the message and checks: it ends; every span lies inside the message or the scratch area; what is called
 * valid is valid; each operation, written again in either form by an independent encoder, reads as the same
 * operation; events made of its parts fit their bounds and can be read back. */
void rc_test_native_check(enum rc_native_form form, struct rc_span frame);

#endif
