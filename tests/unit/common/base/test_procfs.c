/* What the kernel tells: this process as it is, memory from files as they might be. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/procfs.h"

Test(procfs, memory_is_read_by_name)
{
    static const char text[] =
        "MemTotal:       24643456 kB\nMemFree:        20000000 kB\nMemAvailable:       123 kB\nX: y\n";
    cr_expect_eq(rc_procfs_memory(text, "MemAvailable"), 123u * 1024);
    cr_expect_eq(rc_procfs_memory(text, "MemTotal"), 24643456ull * 1024);
    cr_expect_eq(rc_procfs_memory(text, "Mem"), UINT64_MAX);
    cr_expect_eq(rc_procfs_memory(text, "X"), UINT64_MAX);
    cr_expect_eq(rc_procfs_memory(text, "Y"), UINT64_MAX);
    cr_expect_eq(rc_procfs_memory("", "MemAvailable"), UINT64_MAX);
    cr_expect_eq(rc_procfs_memory("MemAvailable:", "MemAvailable"), UINT64_MAX);
    cr_expect_eq(rc_procfs_memory("MemAvailable: 99999999999999999999 kB", "MemAvailable"), UINT64_MAX);
}

Test(procfs, this_process_is_seen_and_one_that_is_gone_is_not)
{
    const struct rc_procfs_sizes sizes = rc_procfs_sizes((uint32_t)getpid());
    cr_expect_gt(sizes.resident_bytes, 100000u);
    cr_expect_gt(sizes.anonymous_bytes, 0u);
    cr_expect_leq(sizes.anonymous_bytes, sizes.resident_bytes);
    cr_expect_gt(sizes.data_bytes, 0u);
    const uint64_t before_ms = rc_procfs_cpu_ms((uint32_t)getpid());
    uint64_t now_ms = before_ms;
    while (now_ms < before_ms + 20) {
        now_ms = rc_procfs_cpu_ms((uint32_t)getpid());
    }
    cr_expect_lt(now_ms, before_ms + 10000);
    cr_expect_eq(rc_procfs_cpu_ms(0), 0u);
    cr_expect_eq(rc_procfs_sizes(0).resident_bytes, 0u);
}

static char root[64];

static void put_file(const char *path, const char *text)
{
    char whole[256];
    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "we");
    cr_assert_not_null(file, "%s", whole);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static void expect_room(uint64_t limit_bytes, uint64_t used_bytes)
{
    const struct rc_procfs_room room = rc_procfs_room(root);
    cr_expect_eq(room.limit_bytes, limit_bytes, "limit %llu", (unsigned long long)room.limit_bytes);
    cr_expect_eq(room.used_bytes, used_bytes, "used %llu", (unsigned long long)room.used_bytes);
}

Test(procfs, the_tightest_limit_around_the_process_counts)
{
    char command[128];
    strcpy(root, "/tmp/ringcast-procfs-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    expect_room(0, 0);
    put_file("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
    expect_room(1000 * 1024, 600 * 1024);
    put_file("/proc/self/cgroup", "1:name=systemd:/x\n");
    expect_room(1000 * 1024, 600 * 1024);
    put_file("/proc/self/cgroup", "0::/outer/inner\n");
    expect_room(1000 * 1024, 600 * 1024);
    put_file("/sys/fs/cgroup/outer/inner/memory.max", "max\n");
    put_file("/sys/fs/cgroup/outer/inner/memory.current", "1000\n");
    expect_room(1000 * 1024, 600 * 1024);
    put_file("/sys/fs/cgroup/outer/memory.max", "500000\n");
    put_file("/sys/fs/cgroup/outer/memory.current", "400000\n");
    expect_room(500000, 400000);
    put_file("/sys/fs/cgroup/outer/memory.stat", "anon 5\ninactive_file 100000\nactive_file 3\n");
    expect_room(500000, 300000);
    put_file("/sys/fs/cgroup/outer/inner/memory.max", "250000\n");
    expect_room(250000, 1000);
    put_file("/proc/self/cgroup", "0::/\n");
    put_file("/sys/fs/cgroup/memory.max", "123456\n");
    put_file("/sys/fs/cgroup/memory.current", "23456\n");
    expect_room(123456, 23456);
    (void)snprintf(command, sizeof(command), "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

Test(procfs, start_and_limit_of_this_process)
{
    struct rlimit limit;
    const uint64_t now_ms = rc_clock_wall_ms();
    const uint64_t start_ms = rc_procfs_start_ms((uint32_t)getpid());
    cr_expect(start_ms <= now_ms + 1000 && start_ms + 3600000 > now_ms, "%llu of %llu", (unsigned long long)start_ms,
              (unsigned long long)now_ms);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect_eq(rc_procfs_max_fds((uint32_t)getpid()), (uint64_t)limit.rlim_cur);
    cr_expect_eq(rc_procfs_start_ms(0), 0u);
    cr_expect_eq(rc_procfs_max_fds(0), 0u);
    cr_expect_gt(rc_procfs_sizes((uint32_t)getpid()).virtual_bytes, 100000u);
}
