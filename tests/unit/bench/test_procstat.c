/* What /proc says about processes, kernel threads and the network. */
#include "bench/procstat.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/rc_bench_procstat_XXXXXX";

static void put(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    char *const slash = strrchr(whole, '/');
    *slash = '\0';
    mkdir(whole, 0700);
    *slash = '/';
    FILE *const out = fopen(whole, "w");
    cr_assert_not_null(out);
    fputs(text, out);
    fclose(out);
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

Test(bench_procstat, ksoftirqd_counts_on_the_servers_cpus_only)
{
    cpu_set_t cpus;
    cr_assert_not_null(mkdtemp(folder));
    put("15/stat", "15 (ksoftirqd/0) S 2 0 0 0 -1 69238848 0 0\n");
    put("15/schedstat", "1000 77 5\n");
    put("22/stat", "22 (ksoftirqd/1) S 2 0 0 0 -1 69238848 0 0\n");
    put("22/schedstat", "20000 77 5\n");
    put("130/stat", "130 (ksoftirqd/12) R 2 0 0 0 -1 69238848 0 0\n");
    put("130/schedstat", "300000 77 5\n");
    put("900/stat", "900 (ksoftirqd/0) S 1 0 0 0 -1 0 0 0\n"); /* a program that calls itself so */
    put("900/schedstat", "4000000 77 5\n");
    put("901/stat", "901 (a) b (c) S 2 0\n");
    put("cmdline", "no process\n");
    CPU_ZERO(&cpus);
    cr_assert_eq(rc_bench_procstat_ksoftirqd_ns(folder, &cpus), -1, "of no CPU there is none");
    CPU_SET(0, &cpus);
    cr_assert_eq(rc_bench_procstat_ksoftirqd_ns(folder, &cpus), 1000);
    CPU_SET(12, &cpus);
    cr_assert_eq(rc_bench_procstat_ksoftirqd_ns(folder, &cpus), 301000);
    CPU_ZERO(&cpus);
    CPU_SET(1, &cpus);
    cr_assert_eq(rc_bench_procstat_ksoftirqd_ns(folder, &cpus), 20000, "and not that of 12");
    clean();
    cr_assert_eq(rc_bench_procstat_ksoftirqd_ns(folder, &cpus), -1, "where kernel threads are not shown");
}

Test(bench_procstat, server_cpus_are_those_it_may_run_on)
{
    cpu_set_t cpus, own;
    const pid_t self = getpid();
    cr_assert_eq(sched_getaffinity(0, sizeof(own), &own), 0);
    rc_bench_procstat_cpus(&self, 1, &cpus);
    cr_assert(CPU_EQUAL(&cpus, &own));
    rc_bench_procstat_cpus(&self, 0, &cpus);
    cr_assert_eq(CPU_COUNT(&cpus), 0);
}

Test(bench_procstat, tcp_counters_are_found_by_name)
{
    struct rc_bench_tcp tcp;
    cr_assert_not_null(mkdtemp(folder));
    put("snmp", "Ip: Forwarding OutSegs\nIp: 1 9\nTcp: RtoAlgorithm OutSegs RetransSegs\nTcp: 1 4711 3\n");
    put("netstat", "TcpExt: SyncookiesSent TCPOrigDataSent TCPHystartTrainDetect\nTcpExt: 0 123456789012 7\n"
                   "IpExt: InNoRoutes\nIpExt: 0\n");
    rc_bench_procstat_tcp(folder, &tcp);
    cr_assert_eq(tcp.segments, 4711);
    cr_assert_eq(tcp.data_segments, 123456789012u);
    put("netstat", "TcpExt: SyncookiesSent\nTcpExt: 5\n");
    rc_bench_procstat_tcp(folder, &tcp);
    cr_assert_eq(tcp.data_segments, 0, "a kernel that does not count them");
    clean();
    rc_bench_procstat_tcp(folder, &tcp);
    cr_assert_eq(tcp.segments, 0);
}

/* The real counter: a write is one segment with data, whatever acknowledgements it causes. */
Test(bench_procstat, data_segments_are_sends)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    struct rc_bench_tcp before, after;
    char got;
    const int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
    const int server = accept(listener, NULL, NULL);
    cr_assert(server >= 0);
    rc_bench_procstat_tcp("/proc/self/net", &before);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(write(server, "x", 1), 1);
        cr_assert_eq(read(client, &got, 1), 1);
    }
    rc_bench_procstat_tcp("/proc/self/net", &after);
    cr_assert_geq(after.data_segments - before.data_segments, 200);
    cr_assert_geq(after.segments - before.segments, after.data_segments - before.data_segments);
    cr_assert(rc_bench_procstat_same_namespace(getpid()));
    close(server);
    close(client);
    close(listener);
}

Test(bench_procstat, sees_itself)
{
    pid_t pids[16];
    const pid_t self = getpid();
    cr_assert(rc_bench_procstat_tree(&self, 1, pids, 16) >= 1);
    cr_assert_eq(pids[0], self);
    cr_assert(rc_bench_procstat_cpu_ns(self) > 0);
    struct rc_bench_memory memory;
    rc_bench_procstat_memory(self, &memory);
    cr_assert(memory.rss_bytes > 0 && memory.pss_bytes > 0 && memory.pss_bytes <= memory.rss_bytes);
    struct rc_bench_kernel_memory kernel;
    rc_bench_procstat_kernel_memory(&kernel);
    cr_assert(kernel.slab_bytes > 0);
}
