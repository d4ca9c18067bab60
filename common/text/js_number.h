/*
 * js_number: numbers and dates as JavaScript writes them (ECMA-262, Number::toString and Date.prototype.toISOString).
 *
 * Pure; any process may call; nothing fails. The locale is C's.
 */
#ifndef RC_COMMON_TEXT_JS_NUMBER_H
#define RC_COMMON_TEXT_JS_NUMBER_H

#include <stddef.h>

#define RC_JS_NUMBER_BYTES_MAX 32u /* of either */

/* Writes a finite number as JSON.stringify does: the fewest digits that read back as the same number; -0 is 0. The bytes written; no
 * NUL. */
size_t rc_js_number_write(char *out, double value);

/* Writes a time as toISOString does. `milliseconds` since 1970: whole, at most 8.64e15 either way. The bytes written; no NUL. */
size_t rc_js_date_write(char *out, double milliseconds);

#endif
