/*
 * procfs: what the kernel tells of processes and of memory (proc(5), and the memory controller of control groups: the kernel's
 * Documentation/admin-guide/cgroup-v2.rst).
 *
 * Any process. Each file is made by the kernel when it is read: microseconds. What cannot be read is 0.
 */
#ifndef RC_COMMON_BASE_PROCFS_H
#define RC_COMMON_BASE_PROCFS_H

#include <stdint.h>

/* The value in kilobytes behind `name` and a colon, at the beginning of a line of /proc/meminfo or /proc/PID/status, as bytes; UINT64_MAX
 * when it is not there. */
uint64_t rc_procfs_memory(const char *text, const char *name);

/* User and system time of a process since its start, in milliseconds (to a tick of the kernel's, 10 ms). */
uint64_t rc_procfs_cpu_ms(uint32_t pid);

struct rc_procfs_sizes {
    uint64_t resident_bytes;
    uint64_t anonymous_bytes; /* of resident: private memory, and what it touched of shared segments */
    uint64_t data_bytes;      /* address space for data */
    uint64_t virtual_bytes;   /* address space */
};
struct rc_procfs_sizes rc_procfs_sizes(uint32_t pid);

/* When a process was started, in milliseconds since 1970 (to a tick of the kernel's). */
uint64_t rc_procfs_start_ms(uint32_t pid);
/* How many descriptors it may have: its soft RLIMIT_NOFILE. */
uint64_t rc_procfs_max_fds(uint32_t pid);

/* What this process and all that share its limit may have, and how much of it is in use and could not be had by dropping caches: of the
 * tightest control group around this process, or of the host when that has less. */
struct rc_procfs_room {
    uint64_t limit_bytes;
    uint64_t used_bytes;
};
/* `root` stands before /proc and /sys: "" but in tests. */
struct rc_procfs_room rc_procfs_room(const char *root);

#endif
