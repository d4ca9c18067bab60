/* smaps: see smaps.h. */
#include "tests/support/smaps.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

bool smaps_dumped(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    uint64_t from = 0;
    uint64_t to = 0;
    bool found = false;
    bool dumped = true;
    RC_ASSERT(file != NULL);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        uint64_t begin;
        uint64_t end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &begin, &end) == 2) {
            from = begin;
            to = end;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && from <= (uintptr_t)address && (uintptr_t)address < to) {
            found = true;
            dumped = strstr(line, " dd") == NULL;
        }
    }
    (void)fclose(file);
    RC_ASSERT(found);
    return dumped;
}
