/* spawn_args: see spawn_args.h. */
#include "common/shm/spawn_args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FD_MAX (1 << 24)
#define UNSET (-2) /* a descriptor that was not given; -1 is a value of those that may be missing */

/* A decimal number of at least `min`, nothing around it. */
static int number_parse(const char *text, long min, long max, int *value)
{
    char *end;
    if (text[0] == '\0' || strspn(text, "-0123456789") != strlen(text)) {
        return -EINVAL;
    }
    errno = 0;
    const long parsed = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || parsed < min || parsed > max) {
        return -EINVAL;
    }
    *value = (int)parsed;
    return 0;
}

static int list_add(int *items, int *count, int max, int value)
{
    if (*count >= max) {
        return -EINVAL;
    }
    items[(*count)++] = value;
    return 0;
}

/* Descriptors that are given once, and to whom. */
enum { FOR_WORKER = 1, FOR_RELAY = 2, FOR_BOTH = FOR_WORKER | FOR_RELAY };
static const struct {
    const char *name;
    size_t offset;
    int whose;
} singles[] = {
    {"--core-fd", offsetof(struct rc_spawn_args, core_fd), FOR_BOTH},
    {"--config-fd", offsetof(struct rc_spawn_args, config_fd), FOR_BOTH},
    {"--own-fd", offsetof(struct rc_spawn_args, own_fd), FOR_BOTH},
    {"--acceptor-fd", offsetof(struct rc_spawn_args, acceptor_fd), FOR_BOTH},
    {"--life-fd", offsetof(struct rc_spawn_args, life_fd), FOR_BOTH},
    {"--bell-fd", offsetof(struct rc_spawn_args, bell_fd), FOR_BOTH},
    {"--acceptor-bell-fd", offsetof(struct rc_spawn_args, acceptor_bell_fd), FOR_BOTH},
    {"--keep-fd", offsetof(struct rc_spawn_args, keep_fd), FOR_RELAY},
    {"--relay-fd", offsetof(struct rc_spawn_args, relay_fd), FOR_WORKER},
    {"--truth-fd", offsetof(struct rc_spawn_args, truth_fd), FOR_WORKER},
    {"--relay-bell-fd", offsetof(struct rc_spawn_args, relay_bell_fd), FOR_WORKER},
    {"--steer-fd", offsetof(struct rc_spawn_args, steer_fd), FOR_WORKER},
    {"--vault-fd", offsetof(struct rc_spawn_args, vault_fd), FOR_WORKER},
    {"--io-fd", offsetof(struct rc_spawn_args, io_fd), FOR_WORKER},
    {"--old-io-fd", offsetof(struct rc_spawn_args, old_io_fd), FOR_WORKER},
    {"--order-fd", offsetof(struct rc_spawn_args, order_fd), FOR_WORKER},
    {"--keys-fd", offsetof(struct rc_spawn_args, keys_fd), FOR_WORKER},
    {"--inbox-fd", offsetof(struct rc_spawn_args, inbox_fd), FOR_WORKER},
    {"--history-fd", offsetof(struct rc_spawn_args, history_fd), FOR_BOTH},
    {"--limits-fd", offsetof(struct rc_spawn_args, limits_fd), FOR_WORKER},
};
#define SINGLES (sizeof(singles) / sizeof(singles[0]))

static int *single_at(struct rc_spawn_args *args, size_t i)
{
    return (int *)((char *)args + singles[i].offset);
}

/* May there be none? Then it is -1, or not given at all. */
static bool single_optional(const struct rc_spawn_args *args, const int *single)
{
    return single == &args->steer_fd || single == &args->vault_fd || single == &args->old_io_fd;
}

/* Where a descriptor given once is kept; NULL when `name` is none of them. */
static int *single_of(struct rc_spawn_args *args, const char *name)
{
    for (size_t i = 0; i < SINGLES; i++) {
        if (strcmp(singles[i].name, name) == 0) {
            return single_at(args, i);
        }
    }
    return NULL;
}

static int argument_parse(struct rc_spawn_args *args, const char *name, const char *text)
{
    int value;
    if (strcmp(name, "--adopt") == 0) {
        return args->adopt != 0 ? -EINVAL : number_parse(text, 1, RC_ADOPT_CRASHED, &args->adopt);
    }
    if (strcmp(name, "--index") == 0) {
        return args->index != -1 ? -EINVAL : number_parse(text, 0, RC_WORKERS_MAX - 1, &args->index);
    }
    int *single = single_of(args, name);
    if (number_parse(text, single_optional(args, single) ? -1 : 0, FD_MAX, &value) != 0) {
        return -EINVAL;
    }
    if (single != NULL) {
        if (*single != UNSET) {
            return -EINVAL;
        }
        *single = value;
        return 0;
    }
    if (strcmp(name, "--listen-fd") == 0) {
        return list_add(args->listen_fds, &args->listen_count, RC_LISTENERS_MAX, value);
    }
    if (strcmp(name, "--worker-fd") == 0) {
        return list_add(args->worker_fds, &args->worker_count, RC_WORKERS_MAX, value);
    }
    if (strcmp(name, "--port-fd") == 0) {
        return list_add(args->port_fds, &args->port_count, RC_WORKERS_MAX, value);
    }
    if (strcmp(name, "--worker-bell-fd") == 0) {
        return list_add(args->worker_bell_fds, &args->worker_bell_count, RC_WORKERS_MAX, value);
    }
    if (strcmp(name, "--outbox-fd") == 0) {
        return list_add(args->outbox_fds, &args->outbox_count, RC_WORKERS_MAX, value);
    }
    return -EINVAL;
}

static int args_missing(struct rc_err *err, const char *name)
{
    return rc_err_set(err, -EINVAL, "%s is missing: this program is started by ringcast, not by hand", name);
}

/* What each kind of child must have been given, and what it must not. */
static int arguments_check(struct rc_spawn_args *args, struct rc_err *err)
{
    const bool worker = args->index >= 0;
    for (size_t i = 0; i < SINGLES; i++) {
        int *value = single_at(args, i);
        if ((singles[i].whose & (worker ? FOR_WORKER : FOR_RELAY)) == 0) {
            if (*value != UNSET) {
                return rc_err_set(err, -EINVAL, "%s is not for a %s", singles[i].name, worker ? "worker" : "relay");
            }
            *value = -1;
        } else if (single_optional(args, value) && *value == UNSET) {
            *value = -1;
        } else if (*value == UNSET) {
            return args_missing(err, singles[i].name);
        }
    }
    if (args->port_count == 0) {
        return args_missing(err, "--port-fd");
    }
    if (args->worker_count == 0) {
        return args_missing(err, "--worker-fd");
    }
    if (worker && args->listen_count == 0) {
        return args_missing(err, "--listen-fd");
    }
    if (worker && (args->port_count != 1 || args->worker_bell_count != 0)) {
        return rc_err_set(err, -EINVAL, "a worker has one --port-fd and no --worker-bell-fd");
    }
    if (!worker && args->port_count != args->worker_bell_count) {
        return rc_err_set(err, -EINVAL, "%d times --port-fd, %d times --worker-bell-fd: one of each per worker",
                          args->port_count, args->worker_bell_count);
    }
    if (args->outbox_count != (worker ? args->worker_count : 0)) {
        return rc_err_set(err, -EINVAL, "%d times --outbox-fd: a worker has one for each worker, a relay none",
                          args->outbox_count);
    }
    if (!worker && args->adopt != 0) {
        return rc_err_set(err, -EINVAL, "--adopt is not for a relay");
    }
    if (worker && (args->adopt >= RC_ADOPT_KILLED) != (args->old_io_fd >= 0)) {
        return rc_err_set(err, -EINVAL, "--old-io-fd is for a worker that adopts from a dead one");
    }
    if (!worker && args->listen_count != 0) {
        return rc_err_set(err, -EINVAL, "--listen-fd is not for a relay");
    }
    return 0;
}

static void args_clear(struct rc_spawn_args *args, int index, int none)
{
    memset(args, 0, sizeof(*args));
    args->index = index;
    for (size_t i = 0; i < SINGLES; i++) {
        *single_at(args, i) = none;
    }
}

void rc_spawn_args_clear(struct rc_spawn_args *args, int index)
{
    args_clear(args, index, -1);
}

int rc_spawn_args_parse(struct rc_spawn_args *args, int argc, char **argv, struct rc_err *err)
{
    args_clear(args, -1, UNSET);
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc) {
            return rc_err_set(err, -EINVAL, "%s has no value", argv[i]);
        }
        if (argument_parse(args, argv[i], argv[i + 1]) != 0) {
            return rc_err_set(err, -EINVAL, "%s %s: unknown, given twice, too often, or not a number in range", argv[i],
                              argv[i + 1]);
        }
    }
    return arguments_check(args, err);
}

/* The two arrays that rc_spawn_args_format fills. */
struct writer {
    char **argv;
    int argv_max;
    int argc;
    char *text;
    int text_max;
    int used;
    bool full;
};

static void word_put(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void word_put(struct writer *w, const char *format, ...)
{
    if (w->full || w->argc + 1 >= w->argv_max) { /* one pointer stays for the final NULL */
        w->full = true;
        return;
    }
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(w->text + w->used, (size_t)(w->text_max - w->used), format, list);
    va_end(list);
    if (bytes < 0 || bytes >= w->text_max - w->used) {
        w->full = true;
        return;
    }
    w->argv[w->argc++] = w->text + w->used;
    w->used += bytes + 1;
}

static void pair_put(struct writer *w, const char *name, int value)
{
    word_put(w, "%s", name);
    word_put(w, "%d", value);
}

static void list_put(struct writer *w, const char *name, const int *values, int count)
{
    for (int i = 0; i < count; i++) {
        pair_put(w, name, values[i]);
    }
}

int rc_spawn_args_format(const struct rc_spawn_args *args, char **argv, int argv_max, char *text, int text_max)
{
    struct writer w = {.argv = argv, .argv_max = argv_max, .argc = 1, .text = text, .text_max = text_max};
    if (args->index >= 0) {
        pair_put(&w, "--index", args->index);
    }
    if (args->adopt != 0) {
        pair_put(&w, "--adopt", args->adopt);
    }
    for (size_t i = 0; i < SINGLES; i++) {
        if ((singles[i].whose & (args->index >= 0 ? FOR_WORKER : FOR_RELAY)) != 0) {
            pair_put(&w, singles[i].name, *(const int *)((const char *)args + singles[i].offset));
        }
    }
    list_put(&w, "--worker-fd", args->worker_fds, args->worker_count);
    list_put(&w, "--port-fd", args->port_fds, args->port_count);
    list_put(&w, "--worker-bell-fd", args->worker_bell_fds, args->worker_bell_count);
    list_put(&w, "--listen-fd", args->listen_fds, args->listen_count);
    list_put(&w, "--outbox-fd", args->outbox_fds, args->outbox_count);
    if (w.full || w.argc >= argv_max) {
        return -E2BIG;
    }
    argv[w.argc] = NULL;
    return w.argc;
}
