/*
 * tune: see tune.h.
 */
#include "acceptor/tune/tune.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "acceptor/start/cpus.h"
#include "acceptor/start/limits.h"
#include "common/base/check.h"

#define TUNE_PATH_MAX 512
#define TUNE_QUEUES_WANTED 8u /* of a network card: more CPUs than that are rarely needed for its interrupts */

enum tune_source { TUNE_SYSCTL, TUNE_CGROUP, TUNE_NOFILE, TUNE_MEMLOCK, TUNE_RELEASE, TUNE_GOVERNOR };
enum tune_relation { TUNE_LEAST, TUNE_IS, TUNE_NOT, TUNE_UNLIMITED };

struct tune_check {
    enum tune_source source;
    const char *name;
    enum tune_relation relation;
    uint64_t wanted;
    enum rc_tune_state level;
    const char *why;
    const char *remedy;
};

static const struct tune_check checks[] = {
#define RC_TUNE(source, name, relation, wanted, level, why, remedy) \
    {TUNE_##source, name, TUNE_##relation, wanted, RC_TUNE_##level, why, remedy},
#include "acceptor/tune/tune.def"
#undef RC_TUNE
};

/* --- reading --- */

static bool tune_path(char path[TUNE_PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool tune_path(char path[TUNE_PATH_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vsnprintf(path, TUNE_PATH_MAX, format, arguments);
    va_end(arguments);
    return bytes > 0 && bytes < TUNE_PATH_MAX;
}

/* Replaces characters that would break a line of ours or JSON. */
static void tune_clean(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e || *c == '"' || *c == '\\' ? '?' : *c;
    }
}

/* The first line of a file, cleaned and without its end. */
static bool tune_read(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    const bool read = fgets(line, (int)size, file) != NULL;
    (void)fclose(file);
    if (!read) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    tune_clean(line);
    return true;
}

static bool tune_read_sysctl(const struct rc_tune_host *host, const char *name, char *line, size_t size)
{
    char path[TUNE_PATH_MAX];
    if (!tune_path(path, "%s/proc/sys/%s", host->root, name)) {
        return false;
    }
    for (char *c = path + strlen(host->root) + strlen("/proc/sys/"); *c != '\0'; c++) {
        *c = *c == '.' ? '/' : *c;
    }
    return tune_read(path, line, size);
}

/* Of this process's group in the unified hierarchy. */
static bool tune_read_cgroup(const struct rc_tune_host *host, const char *name, char *line, size_t size)
{
    char path[TUNE_PATH_MAX];
    char group[256];
    return tune_path(path, "%s/proc/self/cgroup", host->root) && tune_read(path, group, sizeof(group)) &&
           strncmp(group, "0::/", 4) == 0 && tune_path(path, "%s/sys/fs/cgroup%s/%s", host->root, group + 3, name) &&
           tune_read(path, line, size);
}

/* The first governor that is not `performance`, or that. */
static bool tune_read_governor(const struct rc_tune_host *host, char *line, size_t size)
{
    char path[TUNE_PATH_MAX];
    bool found = false;
    for (uint32_t cpu = 0; cpu < RC_CPUS_MAX; cpu++) {
        if (!tune_path(path, "%s/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", host->root, cpu) ||
            !tune_read(path, line, size)) {
            return found;
        }
        found = true;
        if (strcmp(line, "performance") != 0) {
            return true;
        }
    }
    return found;
}

static void tune_limit_text(uint64_t value, char *text, size_t size)
{
    if (value == UINT64_MAX) {
        (void)snprintf(text, size, "unlimited");
    } else {
        (void)snprintf(text, size, "%" PRIu64, value);
    }
}

/* What there is, as text and number (0 for what is none). False: this machine does not have it. */
static bool tune_find(const struct rc_tune_host *host, const struct tune_check *check, char *found, size_t size,
                      uint64_t *value)
{
    unsigned major = 0;
    unsigned minor = 0;
    *value = 0;
    switch (check->source) {
    case TUNE_SYSCTL:
        if (!tune_read_sysctl(host, check->name, found, size)) {
            return false;
        }
        break;
    case TUNE_CGROUP:
        return tune_read_cgroup(host, check->name, found, size);
    case TUNE_GOVERNOR:
        if (!tune_read_governor(host, found, size)) {
            return false;
        }
        *value = strcmp(found, "performance") == 0;
        return true;
    case TUNE_NOFILE:
    case TUNE_MEMLOCK:
        *value = check->source == TUNE_NOFILE ? host->nofile : host->memlock;
        tune_limit_text(*value, found, size);
        return true;
    case TUNE_RELEASE:
        (void)snprintf(found, size, "%s", host->release);
        if (sscanf(host->release, "%u.%u", &major, &minor) != 2) {
            return false;
        }
        *value = major * UINT64_C(1000) + minor;
        return true;
    }
    *value = strtoull(found, NULL, 10);
    return isdigit((unsigned char)found[0]) != 0;
}

/* --- judging --- */

static bool tune_holds(const struct tune_check *check, uint64_t wanted, uint64_t value, const char *found)
{
    switch (check->relation) {
    case TUNE_LEAST:
        return value >= wanted;
    case TUNE_IS:
        return value == wanted;
    case TUNE_NOT:
        return value != wanted;
    case TUNE_UNLIMITED:
        return strncmp(found, "max", 3) == 0;
    }
    return false;
}

static void tune_wanted_text(const struct tune_check *check, uint64_t wanted, char *text, size_t size)
{
    switch (check->relation) {
    case TUNE_LEAST:
        if (check->source == TUNE_RELEASE) {
            (void)snprintf(text, size, "%" PRIu64 ".%" PRIu64 " or newer", wanted / 1000, wanted % 1000);
        } else {
            (void)snprintf(text, size, "at least %" PRIu64, wanted);
        }
        return;
    case TUNE_IS:
        (void)snprintf(text, size, "%" PRIu64, wanted);
        return;
    case TUNE_NOT:
        if (check->source == TUNE_GOVERNOR) {
            (void)snprintf(text, size, "performance");
        } else {
            (void)snprintf(text, size, "not %" PRIu64, wanted);
        }
        return;
    case TUNE_UNLIMITED:
        (void)snprintf(text, size, "max");
        return;
    }
}

static struct rc_tune_result *tune_add(struct rc_tune_report *report, const char *name, enum rc_tune_state state)
{
    if (report->count == RC_TUNE_RESULTS_MAX) {
        return NULL;
    }
    struct rc_tune_result *result = &report->results[report->count++];
    *result = (struct rc_tune_result){.state = state, .why = ""};
    (void)snprintf(result->name, sizeof(result->name), "%.63s", name);
    tune_clean(result->name);
    report->short_count += state == RC_TUNE_SHORT;
    return result;
}

static void tune_judge(const struct rc_tune_host *host, const struct tune_check *check, struct rc_tune_report *report)
{
    char found[sizeof(((struct rc_tune_result *)0)->found)];
    uint64_t value;
    const uint64_t wanted = check->source == TUNE_MEMLOCK ? host->memlock_bytes : check->wanted;
    if (!tune_find(host, check, found, sizeof(found), &value)) {
        return;
    }
    const bool holds = tune_holds(check, wanted, value, found);
    struct rc_tune_result *result = tune_add(report, check->name, holds ? RC_TUNE_OK : check->level);
    if (result == NULL) {
        return;
    }
    memcpy(result->found, found, sizeof(found));
    tune_wanted_text(check, wanted, result->wanted, sizeof(result->wanted));
    result->why = check->why;
    if (check->remedy != NULL) {
        (void)snprintf(result->remedy, sizeof(result->remedy), "%s", check->remedy);
    } else {
        const uint64_t set = check->relation == TUNE_NOT ? (check->wanted == 0 ? 1 : 0) : wanted;
        (void)snprintf(result->remedy, sizeof(result->remedy),
                       "`sysctl -w %s=%" PRIu64 "`; for good: a file in /etc/sysctl.d as deploy/sysctl/ringcast.conf",
                       check->name, set);
    }
}

/* --- network cards --- */

static uint32_t tune_count(const char *path, const char *prefix)
{
    uint32_t count = 0;
    DIR *folder = opendir(path);
    for (const struct dirent *entry = folder == NULL ? NULL : readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

/* How many interrupts a card has, and whether all go to the same CPUs (`same`, as text). */
static uint32_t tune_interrupts(const struct rc_tune_host *host, const char *card, char *same, size_t size)
{
    char path[TUNE_PATH_MAX];
    uint32_t count = 0;
    same[0] = '\0';
    if (!tune_path(path, "%s/sys/class/net/%s/device/msi_irqs", host->root, card)) {
        return 0;
    }
    DIR *folder = opendir(path);
    for (const struct dirent *entry = folder == NULL ? NULL : readdir(folder); entry != NULL; entry = readdir(folder)) {
        char line[64];
        if (isdigit((unsigned char)entry->d_name[0]) != 0 &&
            tune_path(path, "%s/proc/irq/%s/smp_affinity_list", host->root, entry->d_name) &&
            tune_read(path, line, sizeof(line))) {
            if (count++ == 0) {
                (void)snprintf(same, size, "%s", line);
            } else if (strcmp(same, line) != 0) {
                same[0] = '\0';
            }
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

static void tune_card(const struct rc_tune_host *host, const char *card, struct rc_tune_report *report)
{
    char path[TUNE_PATH_MAX];
    char same[64];
    if (!tune_path(path, "%s/sys/class/net/%s/device", host->root, card) || access(path, F_OK) != 0 ||
        !tune_path(path, "%s/sys/class/net/%s/queues", host->root, card)) {
        return; /* no hardware behind it */
    }
    const uint32_t queues = tune_count(path, "rx-");
    const uint32_t wanted = host->cpus < TUNE_QUEUES_WANTED ? host->cpus : TUNE_QUEUES_WANTED;
    const uint32_t interrupts = tune_interrupts(host, card, same, sizeof(same));
    const bool one_cpu = interrupts > 1 && same[0] != '\0' && strpbrk(same, ",-") == NULL;
    struct rc_tune_result *result = tune_add(report, card, queues < wanted || one_cpu ? RC_TUNE_NOTE : RC_TUNE_OK);
    if (result == NULL) {
        return;
    }
    (void)snprintf(result->found, sizeof(result->found), "%u receive queue%s, %u interrupt%s%s%.20s", queues,
                   queues == 1 ? "" : "s", interrupts, interrupts == 1 ? "" : "s", one_cpu ? " all on CPU " : "",
                   one_cpu ? same : "");
    (void)snprintf(result->wanted, sizeof(result->wanted), "at least %u queue%s, interrupts on several CPUs", wanted,
                   wanted == 1 ? "" : "s");
    result->why =
        "all packets of a queue are received on the CPU of its interrupt: with one of them the others wait for it";
    (void)snprintf(
        result->remedy, sizeof(result->remedy),
        "`ethtool -L %.32s combined %u`, irqbalance or /proc/irq/*/smp_affinity_list; see docs/operations.md", card,
        wanted);
}

static void tune_cards(const struct rc_tune_host *host, struct rc_tune_report *report)
{
    char path[TUNE_PATH_MAX];
    if (!tune_path(path, "%s/sys/class/net", host->root)) {
        return;
    }
    DIR *folder = opendir(path);
    for (const struct dirent *entry = folder == NULL ? NULL : readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            tune_card(host, entry->d_name, report);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
}

void rc_tune_check(const struct rc_tune_host *host, struct rc_tune_report *report)
{
    memset(report, 0, sizeof(*report));
    for (size_t i = 0; i < RC_ARRAY_COUNT(checks); i++) {
        tune_judge(host, &checks[i], report);
    }
    tune_cards(host, report);
}

/* --- printing --- */

static void tune_print_text(const struct rc_tune_report *report, FILE *out)
{
    static const char *const states[] = {[RC_TUNE_OK] = "ok", [RC_TUNE_NOTE] = "note", [RC_TUNE_SHORT] = "SHORT"};
    for (uint32_t i = 0; i < report->count; i++) {
        const struct rc_tune_result *result = &report->results[i];
        fprintf(out, "%-6s %-30s %s", states[result->state], result->name, result->found);
        if (result->state != RC_TUNE_OK) {
            fprintf(out, ", wanted: %s\n       why: %s\n       how: %s", result->wanted, result->why, result->remedy);
        }
        fputc('\n', out);
    }
    if (report->short_count == 0) {
        fprintf(out, "nothing is short\n");
    } else {
        fprintf(out, "%u short\n", report->short_count);
    }
}

/* Texts are of tune.def (no characters to escape) or went through tune_read. */
static void tune_print_json(const struct rc_tune_report *report, FILE *out)
{
    static const char *const states[] = {[RC_TUNE_OK] = "ok", [RC_TUNE_NOTE] = "note", [RC_TUNE_SHORT] = "short"};
    fprintf(out, "{\"short\":%u,\"checks\":[", report->short_count);
    for (uint32_t i = 0; i < report->count; i++) {
        const struct rc_tune_result *result = &report->results[i];
        fprintf(
            out,
            "%s{\"name\":\"%s\",\"state\":\"%s\",\"found\":\"%s\",\"wanted\":\"%s\",\"why\":\"%s\",\"remedy\":\"%s\"}",
            i == 0 ? "" : ",", result->name, states[result->state], result->found, result->wanted, result->why,
            result->remedy);
    }
    fprintf(out, "]}\n");
}

void rc_tune_print(const struct rc_tune_report *report, bool json, FILE *out)
{
    (json ? tune_print_json : tune_print_text)(report, out);
}

static uint64_t tune_hard_limit(__rlimit_resource_t resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    return limit.rlim_max;
}

bool rc_tune_run(const struct rc_config *config, bool json, FILE *out)
{
    struct rc_cpus cpus;
    struct rc_err err;
    struct utsname name;
    struct rc_tune_report report;
    cpus.count = 1;
    (void)rc_cpus_read(&cpus, &err);
    const uint32_t workers = config->server.workers > 0 ? config->server.workers : rc_cpus_workers_auto(&cpus);
    const struct rc_tune_host host = {.root = "",
                                      .release = uname(&name) == 0 ? name.release : "",
                                      .nofile = tune_hard_limit(RLIMIT_NOFILE),
                                      .memlock = tune_hard_limit(RLIMIT_MEMLOCK),
                                      .memlock_bytes = rc_limits_memlock_needed(config, workers),
                                      .cpus = cpus.count};
    rc_tune_check(&host, &report);
    rc_tune_print(&report, json, out);
    return report.short_count == 0;
}
