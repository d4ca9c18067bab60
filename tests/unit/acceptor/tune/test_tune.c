/* acceptor/tune: machines made of files, what is found short on them, and that the table holds what deploy/ sets. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/tune/tune.h"
#include "common/text/json_scan.h"

static char root[64];
static struct rc_tune_report report;

static void make_root(void)
{
    strcpy(root, "/tmp/ringcast-tune-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_root(void)
{
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(tune, .init = make_root, .fini = remove_root);

/* A file below root with its folders; NULL content: a folder. */
static void put(const char *path, const char *content)
{
    char full[512];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *c = full + strlen(root) + 1; *c != '\0'; c++) {
        if (*c == '/') {
            *c = '\0';
            cr_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
            *c = '/';
        }
    }
    if (content == NULL) {
        cr_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
        return;
    }
    FILE *file = fopen(full, "w");
    cr_assert_not_null(file, "%s", full);
    (void)fputs(content, file);
    (void)fclose(file);
}

static const struct rc_tune_host good_host = {.root = root,
                                              .release = "6.12.1-test",
                                              .nofile = 1048576,
                                              .memlock = UINT64_MAX,
                                              .memlock_bytes = 100 << 20,
                                              .cpus = 4};

static void put_good_machine(void)
{
    put("/proc/sys/kernel/io_uring_disabled", "0\n");
    put("/proc/sys/fs/nr_open", "1048576\n");
    put("/proc/sys/net/core/somaxconn", "65535\n");
    put("/proc/sys/net/ipv4/tcp_max_syn_backlog", "65535\n");
    put("/proc/sys/net/core/netdev_max_backlog", "65536\n");
    put("/proc/sys/net/ipv4/tcp_migrate_req", "1\n");
    put("/proc/sys/net/core/bpf_jit_enable", "1\n");
    put("/proc/sys/vm/overcommit_memory", "1\n");
    put("/proc/self/cgroup", "0::/system.slice/ringcast.service\n");
    put("/sys/fs/cgroup/system.slice/ringcast.service/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/ringcast.service/cpu.max", "max 100000\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/sys/class/net/lo", NULL);
    put("/sys/class/net/eth0/device/msi_irqs/30", "");
    put("/sys/class/net/eth0/device/msi_irqs/31", "");
    put("/proc/irq/30/smp_affinity_list", "0\n");
    put("/proc/irq/31/smp_affinity_list", "1\n");
    for (char path[] = "/sys/class/net/eth0/queues/rx-0"; path[30] < '4'; path[30]++) {
        put(path, NULL);
    }
}

static const struct rc_tune_result *found(const char *name)
{
    for (uint32_t i = 0; i < report.count; i++) {
        if (strcmp(report.results[i].name, name) == 0) {
            return &report.results[i];
        }
    }
    return NULL;
}

static void expect(const struct rc_tune_host *host, const char *name, enum rc_tune_state state, const char *what)
{
    rc_tune_check(host, &report);
    const struct rc_tune_result *result = found(name);
    cr_assert_not_null(result, "%s is not looked at", name);
    cr_expect_eq(result->state, state, "%s: %d", name, result->state);
    cr_expect_str_eq(result->found, what, "%s: %s", name, result->found);
    cr_expect(result->why[0] != '\0' && result->remedy[0] != '\0' && result->wanted[0] != '\0');
}

Test(tune, good_machine_is_fine)
{
    put_good_machine();
    rc_tune_check(&good_host, &report);
    cr_assert_eq(report.short_count, 0);
    cr_assert_eq(report.count, 15);
    for (uint32_t i = 0; i < report.count; i++) {
        cr_expect_eq(report.results[i].state, RC_TUNE_OK, "%s: %s", report.results[i].name, report.results[i].found);
    }
}

Test(tune, each_shortage_is_found)
{
    put_good_machine();
    struct rc_tune_host host = good_host;
    host.release = "6.0.19";
    expect(&host, "kernel", RC_TUNE_SHORT, "6.0.19");
    host = good_host;
    host.nofile = 20000;
    expect(&host, "RLIMIT_NOFILE", RC_TUNE_SHORT, "20000");
    host = good_host;
    host.memlock = 8 << 20;
    expect(&host, "RLIMIT_MEMLOCK", RC_TUNE_SHORT, "8388608");
    put("/proc/sys/net/core/somaxconn", "4096\n");
    expect(&good_host, "net.core.somaxconn", RC_TUNE_SHORT, "4096");
    put("/proc/sys/kernel/io_uring_disabled", "2\n");
    expect(&good_host, "kernel.io_uring_disabled", RC_TUNE_SHORT, "2");
    put("/proc/sys/net/ipv4/tcp_migrate_req", "0\n");
    expect(&good_host, "net.ipv4.tcp_migrate_req", RC_TUNE_SHORT, "0");
    cr_assert_eq(report.short_count, 3);
}

Test(tune, notes_are_no_shortage)
{
    put_good_machine();
    put("/sys/fs/cgroup/system.slice/ringcast.service/memory.max", "536870912\n");
    put("/sys/fs/cgroup/system.slice/ringcast.service/cpu.max", "50000 100000\n");
    put("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n");
    put("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n");
    put("/proc/sys/vm/overcommit_memory", "2\n");
    put("/proc/irq/31/smp_affinity_list", "0\n");
    expect(&good_host, "memory.max", RC_TUNE_NOTE, "536870912");
    expect(&good_host, "cpu.max", RC_TUNE_NOTE, "50000 100000");
    expect(&good_host, "CPU governor", RC_TUNE_NOTE, "powersave");
    expect(&good_host, "net.netfilter.nf_conntrack_max", RC_TUNE_NOTE, "262144");
    expect(&good_host, "vm.overcommit_memory", RC_TUNE_NOTE, "2");
    expect(&good_host, "eth0", RC_TUNE_NOTE, "4 receive queues, 2 interrupts all on CPU 0");
    cr_assert_eq(report.short_count, 0);
    struct rc_tune_host host = good_host;
    host.cpus = 16;
    put("/proc/irq/31/smp_affinity_list", "1\n");
    expect(&host, "eth0", RC_TUNE_NOTE, "4 receive queues, 2 interrupts");
}

/* A container has little of all this; an old kernel lacks some. */
Test(tune, what_is_not_there_is_not_missed)
{
    rc_tune_check(&good_host, &report);
    cr_assert_eq(report.short_count, 0);
    cr_assert_eq(report.count, 3, "kernel and two limits");
    put("/proc/sys/net/core/somaxconn", "");
    put("/proc/sys/fs/nr_open", "many\n");
    put("/proc/self/cgroup", "12:memory:/old\n");
    rc_tune_check(&good_host, &report);
    cr_assert_eq(report.count, 3);
}

Test(tune, json_stays_json_whatever_files_hold)
{
    put_good_machine();
    put("/sys/fs/cgroup/system.slice/ringcast.service/memory.max", "12\"\\\x01\xff{\n");
    rc_tune_check(&good_host, &report);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    rc_tune_print(&report, true, out);
    (void)fclose(out);
    struct rc_json_value value;
    cr_assert_eq(rc_json_scan(rc_span_of(text, bytes), RC_JSON_CHECK_UTF8, &value, NULL), 0, "%s", text);
    cr_assert_not_null(strstr(text, "\"found\":\"12????{\""));
    free(text);
}

Test(tune, more_cards_than_the_report_holds)
{
    put_good_machine();
    for (uint32_t i = 0; i < RC_TUNE_RESULTS_MAX; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/sys/class/net/card%u/device", i);
        put(path, NULL);
    }
    rc_tune_check(&good_host, &report);
    cr_assert_eq(report.count, RC_TUNE_RESULTS_MAX);
}

/* Programs of the Makefile's tests begin in the top folder. */
Test(tune, table_holds_what_deploy_sets)
{
    char line[256];
    char name[128];
    unsigned long long value;
    uint32_t count = 0;
    FILE *file = fopen("deploy/sysctl/ringcast.conf", "r");
    cr_assert_not_null(file);
    put_good_machine();
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] != '#' && sscanf(line, "%127s = %llu", name, &value) == 2) {
            char path[192];
            char text[32];
            (void)snprintf(path, sizeof(path), "/proc/sys/%s", name);
            for (char *c = path; *c != '\0'; c++) {
                *c = *c == '.' ? '/' : *c;
            }
            (void)snprintf(text, sizeof(text), "%llu", value);
            put(path, text);
            expect(&good_host, name, RC_TUNE_OK, text);
            (void)snprintf(text, sizeof(text), "%llu", value > 1 ? value - 1 : 1 - value);
            put(path, text);
            expect(&good_host, name, RC_TUNE_SHORT, text);
            count++;
        }
    }
    (void)fclose(file);
    cr_assert_geq(count, 5);
    file = fopen("deploy/systemd/ringcast.service", "r");
    cr_assert_not_null(file);
    struct rc_tune_host host = good_host;
    host.nofile = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "LimitNOFILE=%llu", &value) == 1) {
            host.nofile = value;
        }
    }
    (void)fclose(file);
    char text[32];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)host.nofile);
    expect(&host, "RLIMIT_NOFILE", RC_TUNE_OK, text);
}
