/*
 * procstat: what /proc says about the server's processes and the kernel.
 *
 * Stateless readers. A process that ends between two samples takes its time along: servers under test should not.
 * Everything is best effort: what cannot be read counts as 0.
 */
#ifndef RC_BENCH_PROCSTAT_H
#define RC_BENCH_PROCSTAT_H

#include <stdint.h>
#include <sys/types.h>

#define RC_BENCH_TREE_MAX 512

/* `roots` and all their descendants; returns how many were found (at most `max`), 0 when none of the roots is alive. */
uint32_t rc_bench_procstat_tree(const pid_t *roots, uint32_t root_count, pid_t *pids, uint32_t max);

/* CPU time of all threads of a process, ns (sum_exec_runtime of /proc/PID/task/TID/schedstat). */
uint64_t rc_bench_procstat_cpu_ns(pid_t pid);

/* CPU time of all ksoftirqd threads, ns: softirq work that is charged to nobody else. */
uint64_t rc_bench_procstat_ksoftirqd_ns(void);

struct rc_bench_memory {
    uint64_t rss_bytes;
    uint64_t pss_bytes; /* shared pages divided among those that map them */
};
void rc_bench_procstat_memory(pid_t pid, struct rc_bench_memory *memory);
/* The same rss_bytes, from a counter: for use while something is measured. rc_bench_procstat_memory walks all pages, under the
 * process's own lock. */
uint64_t rc_bench_procstat_rss(pid_t pid);

/* Kernel memory of the whole machine, bytes. */
struct rc_bench_kernel_memory {
    uint64_t slab_bytes;
    uint64_t page_table_bytes;
    uint64_t free_bytes;
    uint64_t socket_pages; /* TCP "mem" of /proc/net/sockstat, in pages */
};
void rc_bench_procstat_kernel_memory(struct rc_bench_kernel_memory *memory);

/* TCP segments that this network namespace has sent (OutSegs of /proc/net/snmp). */
uint64_t rc_bench_procstat_segments(void);

#endif
