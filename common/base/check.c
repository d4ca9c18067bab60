/* check: the end of a process whose own logic is broken. */
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void rc_assert_failed(const char *expression, const char *file, int line)
{
    /* stderr, not the log: the log may be what is broken, and a core dump follows anyhow. */
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}
