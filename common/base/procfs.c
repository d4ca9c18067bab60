/* procfs: see procfs.h. */
#include "common/base/procfs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

#define TEXT_MAX_BYTES 8192u /* of a file; the longest here are memory.stat and meminfo */

/* The beginning of a file as text; false: there is none. */
static bool procfs_read(const char *path, char text[TEXT_MAX_BYTES])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t bytes = fd < 0 ? -1 : read(fd, text, TEXT_MAX_BYTES - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    text[bytes > 0 ? bytes : 0] = '\0';
    return bytes > 0;
}

uint64_t rc_procfs_memory(const char *text, const char *name)
{
    const size_t bytes = strlen(name);
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, bytes) == 0 && line[bytes] == ':') {
            char *end;
            const unsigned long long value = strtoull(line + bytes + 1, &end, 10);
            return end == line + bytes + 1 || value > UINT64_MAX / 1024 ? UINT64_MAX : (uint64_t)value * 1024;
        }
    }
    return UINT64_MAX;
}

static uint64_t memory_or_0(const char *text, const char *name)
{
    const uint64_t value = rc_procfs_memory(text, name);
    return value == UINT64_MAX ? 0 : value;
}

/* --- processes --- */

static bool process_read(uint32_t pid, const char *file, char text[TEXT_MAX_BYTES])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
    return pid != 0 && procfs_read(path, text);
}

uint64_t rc_procfs_cpu_ms(uint32_t pid)
{
    char text[TEXT_MAX_BYTES];
    unsigned long user = 0;
    unsigned long system = 0;
    if (!process_read(pid, "stat", text)) {
        return 0;
    }
    /* The name in parentheses may hold anything: the fields begin behind the last one. */
    const char *at = strrchr(text, ')');
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
        return 0;
    }
    return ((uint64_t)user + system) * 1000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

struct rc_procfs_sizes rc_procfs_sizes(uint32_t pid)
{
    char text[TEXT_MAX_BYTES];
    if (!process_read(pid, "status", text)) {
        return (struct rc_procfs_sizes){0};
    }
    return (struct rc_procfs_sizes){.resident_bytes = memory_or_0(text, "VmRSS"),
                                    .anonymous_bytes = memory_or_0(text, "RssAnon") + memory_or_0(text, "RssShmem"),
                                    .data_bytes = memory_or_0(text, "VmData"),
                                    .virtual_bytes = memory_or_0(text, "VmSize")};
}

uint64_t rc_procfs_start_ms(uint32_t pid)
{
    char text[TEXT_MAX_BYTES];
    char kernel[TEXT_MAX_BYTES];
    unsigned long long ticks = 0;
    const char *at = process_read(pid, "stat", text) ? strrchr(text, ')') : NULL;
    /* Field 22 of proc_pid_stat(5); the third is the first behind the name. */
    if (at == NULL ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) !=
            1) {
        return 0;
    }
    /* btime of /proc/stat stands behind lines that may be longer than what is read here. */
    double uptime_s = 0;
    if (!procfs_read("/proc/uptime", kernel) || sscanf(kernel, "%lf", &uptime_s) != 1) {
        return 0;
    }
    return rc_clock_wall_ms() - (uint64_t)(uptime_s * 1000.0) + ticks * 1000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

uint64_t rc_procfs_max_fds(uint32_t pid)
{
    static const char name[] = "Max open files";
    char text[TEXT_MAX_BYTES];
    const char *at = process_read(pid, "limits", text) ? strstr(text, name) : NULL;
    return at == NULL ? 0 : strtoull(at + sizeof(name) - 1, NULL, 10);
}

/* --- memory --- */

/* A file of a control group that holds one number, or "max"; UINT64_MAX when it does, or is not there. */
static uint64_t group_number(const char *root, const char *group, const char *file)
{
    char path[PATH_MAX];
    char text[TEXT_MAX_BYTES];
    const int bytes = snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/%s", root, group, file);
    if (bytes < 0 || (size_t)bytes >= sizeof(path) || !procfs_read(path, text) || text[0] < '0' || text[0] > '9') {
        return UINT64_MAX;
    }
    return (uint64_t)strtoull(text, NULL, 10);
}

/* Of memory.stat: what was read from files and not used lately, which the kernel drops first. */
static uint64_t group_droppable(const char *root, const char *group)
{
    static const char name[] = "\ninactive_file ";
    char path[PATH_MAX];
    char text[TEXT_MAX_BYTES];
    const int bytes = snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/memory.stat", root, group);
    const char *at = bytes < 0 || (size_t)bytes >= sizeof(path) || !procfs_read(path, text) ? NULL : strstr(text, name);
    return at == NULL ? 0 : (uint64_t)strtoull(at + sizeof(name) - 1, NULL, 10);
}

static void room_tighten(struct rc_procfs_room *room, const char *root, const char *group)
{
    const uint64_t limit = group_number(root, group, "memory.max");
    const uint64_t current = group_number(root, group, "memory.current");
    if (limit >= room->limit_bytes || current == UINT64_MAX) {
        return;
    }
    const uint64_t droppable = group_droppable(root, group);
    *room = (struct rc_procfs_room){.limit_bytes = limit, .used_bytes = current > droppable ? current - droppable : 0};
}

struct rc_procfs_room rc_procfs_room(const char *root)
{
    char path[PATH_MAX];
    char text[TEXT_MAX_BYTES];
    struct rc_procfs_room room = {.limit_bytes = 0};
    (void)snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    if (procfs_read(path, text)) {
        const uint64_t available = memory_or_0(text, "MemAvailable");
        room.limit_bytes = memory_or_0(text, "MemTotal");
        room.used_bytes = room.limit_bytes > available ? room.limit_bytes - available : 0;
    }
    (void)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (!procfs_read(path, text) || strncmp(text, "0::/", 4) != 0) {
        return room; /* no unified hierarchy */
    }
    char *group = text + 3;
    group[strcspn(group, "\n")] = '\0';
    /* From its own group up to the root; a container's own group is the root of what it sees. */
    for (;;) {
        char *slash = strrchr(group, '/');
        room_tighten(&room, root, strcmp(group, "/") == 0 ? "" : group);
        if (slash == NULL || slash == group) {
            break;
        }
        *slash = '\0';
    }
    room_tighten(&room, root, "");
    return room;
}
