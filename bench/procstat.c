/* procstat: see procstat.h. */
#include "bench/procstat.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARENTS_MAX 65536

struct parent {
    pid_t pid;
    pid_t of;
};

/* The parent and name of a process from its stat line; the name may hold spaces and parentheses. */
static bool read_stat(const char *proc, const char *pid, pid_t *parent, char *name, size_t name_room)
{
    char path[320], line[512];
    snprintf(path, sizeof(path), "%.256s/%.20s/stat", proc, pid);
    FILE *const file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    const size_t bytes = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    line[bytes] = '\0';
    const char *const open = strchr(line, '(');
    const char *const close = strrchr(line, ')');
    if (open == NULL || close == NULL || close < open) {
        return false;
    }
    snprintf(name, name_room, "%.*s", (int)(close - open - 1), open + 1);
    int of;
    if (sscanf(close + 1, " %*c %d", &of) != 1) {
        return false;
    }
    *parent = of;
    return true;
}

static bool text_contains(const pid_t *pids, uint32_t count, pid_t pid)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pids[i] == pid) {
            return true;
        }
    }
    return false;
}

uint32_t rc_bench_procstat_tree(const pid_t *roots, uint32_t root_count, pid_t *pids, uint32_t max)
{
    struct parent *const parents = calloc(PARENTS_MAX, sizeof(*parents));
    DIR *const proc = opendir("/proc");
    uint32_t parent_count = 0;
    uint32_t count = 0;
    if (proc != NULL && parents != NULL) {
        const struct dirent *entry;
        while ((entry = readdir(proc)) != NULL && parent_count < PARENTS_MAX) {
            char name[32];
            if (isdigit((unsigned char)entry->d_name[0]) == 0) {
                continue;
            }
            struct parent *const next = &parents[parent_count];
            next->pid = (pid_t)strtol(entry->d_name, NULL, 10);
            if (!read_stat("/proc", entry->d_name, &next->of, name, sizeof(name))) {
                continue;
            }
            if (text_contains(roots, root_count, next->pid) && count < max) {
                pids[count++] = next->pid;
            }
            parent_count++;
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    /* Breadth first: pids[] is the queue. */
    for (uint32_t at = 0; at < count; at++) {
        for (uint32_t i = 0; i < parent_count && count < max; i++) {
            if (parents[i].of == pids[at] && !text_contains(pids, count, parents[i].pid)) {
                pids[count++] = parents[i].pid;
            }
        }
    }
    free(parents);
    return count;
}

static uint64_t first_number(const char *path)
{
    FILE *const file = fopen(path, "re");
    unsigned long long value = 0;
    if (file != NULL) {
        if (fscanf(file, "%llu", &value) != 1) {
            value = 0;
        }
        fclose(file);
    }
    return value;
}

uint64_t rc_bench_procstat_cpu_ns(pid_t pid)
{
    char path[320];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *const tasks = opendir(path);
    uint64_t sum = 0;
    if (tasks == NULL) {
        return 0;
    }
    const struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) != 0) {
            snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
            sum += first_number(path);
        }
    }
    closedir(tasks);
    return sum;
}

void rc_bench_procstat_cpus(const pid_t *pids, uint32_t count, cpu_set_t *cpus)
{
    CPU_ZERO(cpus);
    for (uint32_t i = 0; i < count; i++) {
        cpu_set_t own;
        if (sched_getaffinity(pids[i], sizeof(own), &own) == 0) {
            CPU_OR(cpus, cpus, &own);
        }
    }
}

int64_t rc_bench_procstat_ksoftirqd_ns(const char *proc, const cpu_set_t *cpus)
{
    DIR *const folder = opendir(proc);
    int64_t sum = -1;
    if (folder == NULL) {
        return -1;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char name[32], path[320];
        pid_t parent;
        unsigned cpu;
        /* A child of kthreadd (2): a program may call itself so too. */
        if (isdigit((unsigned char)entry->d_name[0]) != 0 &&
            read_stat(proc, entry->d_name, &parent, name, sizeof(name)) && parent == 2 &&
            sscanf(name, "ksoftirqd/%u", &cpu) == 1 && cpu < CPU_SETSIZE && CPU_ISSET(cpu, cpus)) {
            snprintf(path, sizeof(path), "%.256s/%.20s/schedstat", proc, entry->d_name);
            sum = (sum < 0 ? 0 : sum) + (int64_t)first_number(path);
        }
    }
    closedir(folder);
    return sum;
}

/* The number behind a line's `key`, 0 when there is no such line. */
static uint64_t value_of(const char *path, const char *key)
{
    FILE *const file = fopen(path, "re");
    char line[1024];
    unsigned long long value = 0;
    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), " %llu", &value) == 1) {
            break;
        }
    }
    fclose(file);
    return value;
}

void rc_bench_procstat_memory(pid_t pid, struct rc_bench_memory *memory)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    memory->rss_bytes = value_of(path, "Rss:") * 1024;
    memory->pss_bytes = value_of(path, "Pss:") * 1024;
}

uint64_t rc_bench_procstat_rss(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *const file = fopen(path, "re");
    unsigned long long pages = 0;
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %llu", &pages) != 1) {
        pages = 0; /* it ended just now */
    }
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void rc_bench_procstat_kernel_memory(struct rc_bench_kernel_memory *memory)
{
    static const char path[] = "/proc/meminfo";
    memory->slab_bytes = value_of(path, "Slab:") * 1024;
    memory->page_table_bytes = value_of(path, "PageTables:") * 1024;
    memory->free_bytes = value_of(path, "MemFree:") * 1024;
    FILE *const file = fopen("/proc/net/sockstat", "re");
    unsigned long long pages = 0;
    memory->socket_pages = 0;
    if (file == NULL) {
        return;
    }
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *const mem = strncmp(line, "TCP:", 4) == 0 ? strstr(line, " mem ") : NULL;
        if (mem != NULL && sscanf(mem, " mem %llu", &pages) == 1) {
            memory->socket_pages = pages;
        }
    }
    fclose(file);
}

/* A counter of /proc/net/snmp or netstat, where a line of names comes before a line of values in the same order. */
static uint64_t counter_of(const char *net, const char *file_name, const char *kind, const char *counter)
{
    char path[320], names[8192] = "", values[8192];
    snprintf(path, sizeof(path), "%.256s/%s", net, file_name);
    FILE *const file = fopen(path, "re");
    uint64_t found = 0;
    if (file == NULL) {
        return 0;
    }
    while (fgets(values, sizeof(values), file) != NULL) {
        if (strncmp(values, kind, strlen(kind)) == 0 && strncmp(names, kind, strlen(kind)) == 0) {
            char *names_left = NULL, *values_left = NULL;
            const char *name = strtok_r(names, " \n", &names_left);
            const char *value = strtok_r(values, " \n", &values_left);
            while (name != NULL && value != NULL && strcmp(name, counter) != 0) {
                name = strtok_r(NULL, " \n", &names_left);
                value = strtok_r(NULL, " \n", &values_left);
            }
            found = name != NULL && value != NULL ? strtoull(value, NULL, 10) : 0;
            break;
        }
        memcpy(names, values, sizeof(names));
    }
    fclose(file);
    return found;
}

void rc_bench_procstat_tcp(const char *net, struct rc_bench_tcp *tcp)
{
    tcp->segments = counter_of(net, "snmp", "Tcp:", "OutSegs");
    tcp->data_segments = counter_of(net, "netstat", "TcpExt:", "TCPOrigDataSent");
}

bool rc_bench_procstat_same_namespace(pid_t pid)
{
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    return stat("/proc/self/ns/net", &own) != 0 || stat(path, &other) != 0 || own.st_ino == other.st_ino;
}
