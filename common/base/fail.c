/* fail: see fail.h. */
#include "common/base/fail.h"

#ifdef RC_DEBUG
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool rc_fail_here(const char *place)
{
    char path[PATH_MAX];
    char text[64] = "";
    const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash = bytes > 0 ? memrchr(path, '/', (size_t)bytes) : NULL;
    if (slash == NULL || slash + sizeof("/fails") > path + sizeof(path)) {
        return false;
    }
    memcpy(slash, "/fails", sizeof("/fails"));
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    const bool read = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return read && strcmp(text, place) == 0;
}
#endif
