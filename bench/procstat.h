/*
 * procstat: what /proc says about the server's processes and the kernel.
 *
 * Stateless readers. A process that ends between two samples takes its time along: servers under test should not.
 * Everything is best effort: what cannot be read counts as 0.
 */
#ifndef RC_BENCH_PROCSTAT_H
#define RC_BENCH_PROCSTAT_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RC_BENCH_TREE_MAX 512

/* `roots` and all their descendants; returns how many were found (at most `max`), 0 when none of the roots is alive. */
uint32_t rc_bench_procstat_tree(const pid_t *roots, uint32_t root_count, pid_t *pids, uint32_t max);

/* CPU time of all threads of a process, ns (sum_exec_runtime of /proc/PID/task/TID/schedstat). */
uint64_t rc_bench_procstat_cpu_ns(pid_t pid);

/* The CPUs on which any of these processes may run. */
void rc_bench_procstat_cpus(const pid_t *pids, uint32_t count, cpu_set_t *cpus);

/* CPU time of the ksoftirqd threads of `cpus`, ns: softirq work that is charged to nobody else. `proc` is the folder of processes
 * ("/proc"). -1 when none of them is there: a container does not show kernel threads. */
int64_t rc_bench_procstat_ksoftirqd_ns(const char *proc, const cpu_set_t *cpus);

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

/* What a network namespace has sent over TCP, both ends of its loopback. */
struct rc_bench_tcp {
    uint64_t segments;      /* of any kind, acknowledgements included (OutSegs of snmp) */
    uint64_t data_segments; /* with data, each counted once (TCPOrigDataSent of netstat) */
};

/* `net` is the namespace's folder: "/proc/PID/net" of a process in it. */
void rc_bench_procstat_tcp(const char *net, struct rc_bench_tcp *tcp);

/* True when `pid` is in our own network namespace, or cannot be looked at. */
bool rc_bench_procstat_same_namespace(pid_t pid);

#endif
