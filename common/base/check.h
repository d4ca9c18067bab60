/*
 * check: assertions for programmer errors.
 *
 * RC_ASSERT stays on in release builds; RC_ASSERT_HOT only in debug and stress builds (RC_DEBUG).
 * Bytes from a peer, Redis or another process's memory are never asserted: they are validated and answered.
 */
#ifndef RC_COMMON_BASE_CHECK_H
#define RC_COMMON_BASE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

/* Prints file, line and expression to stderr and aborts; never returns. */
__attribute__((noreturn)) void rc_assert_failed(const char *expression, const char *file, int line);

#define RC_LIKELY(x) __builtin_expect(!!(x), 1)
#define RC_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define RC_ASSERT(expression) (RC_LIKELY(expression) ? (void)0 : rc_assert_failed(#expression, __FILE__, __LINE__))

#ifdef RC_DEBUG
#define RC_ASSERT_HOT(expression) RC_ASSERT(expression)
#else
#define RC_ASSERT_HOT(expression) ((void)sizeof(expression))
#endif

#define RC_ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
