/*
 * err: the context message that goes with a negative errno.
 *
 * Functions that can fail for reasons a person must act on take a `struct rc_err *` (owned by the caller, often on its
 * stack) and say in it what failed, where, and what to do. It is logged once, where it is handled.
 */
#ifndef RC_COMMON_BASE_ERR_H
#define RC_COMMON_BASE_ERR_H

#include <stdbool.h>

#define RC_ERR_TEXT_MAX 512

struct rc_err {
    char text[RC_ERR_TEXT_MAX];
};

/* Formats the message (truncated when too long) and returns `code`, so that `return rc_err_set(e, -EINVAL, ...)` works.
 * `err` may be NULL. `code` is a negative errno. */
int rc_err_set(struct rc_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Is that for want of memory, descriptors or processes? They may be there a moment later. */
bool rc_err_is_short(int code);

#endif
