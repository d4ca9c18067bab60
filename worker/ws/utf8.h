/*
 * Incremental UTF-8 validation (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF).
 *
 * The state is one byte that the caller owns; 0 means "between two code points" and is where a text starts. A byte
 * that can not go on from what came before fails at once, also in the middle of a text: RFC 6455 8.1 wants a broken
 * text failed, and failing early saves receiving the rest. Pure functions, any process, any thread; only bad bytes
 * can fail.
 */
#ifndef RC_WORKER_WS_UTF8_H
#define RC_WORKER_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Goes on with `n` bytes from `*state`. 0, or -EILSEQ when some byte makes the text invalid whatever would follow;
 * `*state` is then meaningless and the text must not be fed further.
 */
int rc_utf8_feed(uint8_t *state, const uint8_t *bytes, size_t n);

/* True when a text may end here: not inside a code point. */
static inline bool rc_utf8_complete(uint8_t state)
{
    return state == 0;
}

/* A whole text at once: true when it is valid and complete. */
static inline bool rc_utf8_valid(const uint8_t *bytes, size_t n)
{
    uint8_t state = 0;
    return rc_utf8_feed(&state, bytes, n) == 0 && rc_utf8_complete(state);
}

#endif
