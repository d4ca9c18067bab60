/*
 * smaps: what core dumps of this process hold, as the kernel tells it (proc(5), VmFlags: dd = do not dump).
 *
 * For tests. A mapping that cannot be found fails the test (RC_ASSERT).
 */
#ifndef RC_TESTS_SUPPORT_SMAPS_H
#define RC_TESTS_SUPPORT_SMAPS_H

#include <stdbool.h>

/* Do core dumps hold the byte at `address`? */
bool smaps_dumped(const void *address);

#endif
