/* numbers: see numbers.h. */
#include "common/shm/numbers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/shm/history.h"
#include "common/shm/layout.h"
#include "common/shm/windows.h"

const struct rc_number rc_numbers[] = {
    {"core", RC_CORE_ABI},     {"port", RC_PORT_ABI},     {"records", RC_RECORDS_ABI}, {"history", RC_HISTORY_ABI},
    {"report", RC_REPORT_ABI}, {"limits", RC_LIMITS_ABI}, {"build", RC_BUILD_ID},
};
const size_t rc_numbers_count = RC_ARRAY_COUNT(rc_numbers);

static void write_all(FILE *out, const struct rc_number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "%s %" PRIu32 "\n", numbers[i].name, numbers[i].value);
    }
}

void rc_numbers_write(FILE *out, const struct rc_number *more, size_t more_count)
{
    write_all(out, rc_numbers, rc_numbers_count);
    write_all(out, more, more_count);
}

bool rc_numbers_wanted(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], "--numbers") == 0;
}

bool rc_numbers_find(const char *text, const char *name, uint32_t *value)
{
    const size_t bytes = strlen(name);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n' ? 1 : 0) {
        if (strncmp(line, name, bytes) != 0 || line[bytes] != ' ') {
            continue;
        }
        char *end;
        errno = 0;
        const char *digits = line + bytes + 1;
        const unsigned long long number = strtoull(digits, &end, 10);
        if (*digits < '0' || *digits > '9' || errno != 0 || number > UINT32_MAX || (*end != '\n' && *end != '\0')) {
            return false;
        }
        *value = (uint32_t)number;
        return true;
    }
    return false;
}
