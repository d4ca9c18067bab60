/*
 * fail: programs of debug builds that fail where a test wants it: a file "fails" beside the program names the place.
 *
 * So one folder has programs that fail, and another one the same programs that do not: for tests of upgrades. In other builds nothing is
 * looked for.
 */
#ifndef RC_COMMON_BASE_FAIL_H
#define RC_COMMON_BASE_FAIL_H

#include <stdbool.h>

/* True when this program is to fail here. Reads a file: not for what is done often. */
#ifdef RC_DEBUG
bool rc_fail_here(const char *place);
#else
static inline bool rc_fail_here(const char *place)
{
    (void)place;
    return false;
}
#endif

#endif
