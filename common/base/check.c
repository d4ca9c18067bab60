/* check: the end of a process whose own logic is broken. */
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"

void rc_assert_failed(const char *expression, const char *file, int line)
{
    /* No log line: its making may be what is broken, and a core dump follows anyhow. Nor a plain write, which could keep a
     * process from dying for as long as nobody reads. */
    char text[1024];
    const int bytes = snprintf(text, sizeof(text), "%s:%d: assertion failed: %s\n", file, line, expression);
    rc_log_raw(text, (size_t)bytes < sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
    abort();
}
