/* spawn_args: see spawn_args.h. */
#include "common/shm/spawn_args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FD_MAX (1 << 24)
#define UNSET (-2) /* a descriptor that was not given; -1 is a value of --steer-fd */

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

/* Where a descriptor given once is kept; NULL when `name` is none of them. */
static int *single_of(struct rc_spawn_args *args, const char *name)
{
    const struct {
        const char *name;
        int *slot;
    } singles[] = {
        {"--control-fd", &args->control_fd}, {"--life-fd", &args->life_fd},   {"--bell-fd", &args->bell_fd},
        {"--truth-fd", &args->truth_fd},     {"--steer-fd", &args->steer_fd}, {"--relay-bell-fd", &args->relay_bell_fd},
    };
    for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++) {
        if (strcmp(singles[i].name, name) == 0) {
            return singles[i].slot;
        }
    }
    return NULL;
}

static int argument_parse(struct rc_spawn_args *args, const char *name, const char *text)
{
    int value;
    if (strcmp(name, "--index") == 0) {
        return args->index != -1 ? -EINVAL : number_parse(text, 0, RC_WORKERS_MAX - 1, &args->index);
    }
    int *single = single_of(args, name);
    if (number_parse(text, single == &args->steer_fd ? -1 : 0, FD_MAX, &value) != 0) {
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
    if (strcmp(name, "--port-fd") == 0) {
        return list_add(args->port_fds, &args->port_count, RC_WORKERS_MAX, value);
    }
    if (strcmp(name, "--worker-bell-fd") == 0) {
        return list_add(args->worker_bell_fds, &args->worker_bell_count, RC_WORKERS_MAX, value);
    }
    return -EINVAL;
}

/* What each kind of child must have been given, and what it must not. */
static int arguments_check(struct rc_spawn_args *args, struct rc_err *err)
{
    const char *missing = args->control_fd == UNSET ? "--control-fd"
                          : args->life_fd == UNSET  ? "--life-fd"
                          : args->bell_fd == UNSET  ? "--bell-fd"
                          : args->port_count == 0   ? "--port-fd"
                                                    : NULL;
    if (args->index >= 0) {
        missing = missing != NULL                ? missing
                  : args->truth_fd == UNSET      ? "--truth-fd"
                  : args->relay_bell_fd == UNSET ? "--relay-bell-fd"
                  : args->listen_count == 0      ? "--listen-fd"
                                                 : NULL;
        if (missing == NULL && (args->port_count != 1 || args->worker_bell_count != 0)) {
            return rc_err_set(err, -EINVAL, "a worker has one --port-fd and no --worker-bell-fd");
        }
        args->steer_fd = args->steer_fd == UNSET ? -1 : args->steer_fd;
    } else if (missing == NULL) {
        if (args->port_count != args->worker_bell_count) {
            return rc_err_set(err, -EINVAL, "%d times --port-fd, %d times --worker-bell-fd: one of each per worker",
                              args->port_count, args->worker_bell_count);
        }
        if (args->truth_fd != UNSET || args->relay_bell_fd != UNSET || args->steer_fd != UNSET ||
            args->listen_count != 0) {
            return rc_err_set(err, -EINVAL,
                              "the relay takes no --truth-fd, --relay-bell-fd, --steer-fd or --listen-fd");
        }
        args->truth_fd = args->relay_bell_fd = args->steer_fd = -1;
    }
    if (missing != NULL) {
        return rc_err_set(err, -EINVAL, "%s is missing: this program is started by ringcast, not by hand", missing);
    }
    return 0;
}

int rc_spawn_args_parse(struct rc_spawn_args *args, int argc, char **argv, struct rc_err *err)
{
    memset(args, 0, sizeof(*args));
    args->index = -1;
    args->control_fd = args->life_fd = args->bell_fd = UNSET;
    args->truth_fd = args->relay_bell_fd = args->steer_fd = UNSET;
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

int rc_spawn_args_format(const struct rc_spawn_args *args, char **argv, int argv_max, char *text, int text_max)
{
    struct writer w = {.argv = argv, .argv_max = argv_max, .argc = 1, .text = text, .text_max = text_max};
    if (args->index >= 0) {
        pair_put(&w, "--index", args->index);
    }
    pair_put(&w, "--control-fd", args->control_fd);
    if (args->index >= 0) {
        pair_put(&w, "--port-fd", args->port_fds[0]);
        pair_put(&w, "--truth-fd", args->truth_fd);
    }
    pair_put(&w, "--life-fd", args->life_fd);
    pair_put(&w, "--bell-fd", args->bell_fd);
    if (args->index >= 0) {
        pair_put(&w, "--relay-bell-fd", args->relay_bell_fd);
        pair_put(&w, "--steer-fd", args->steer_fd);
        for (int i = 0; i < args->listen_count; i++) {
            pair_put(&w, "--listen-fd", args->listen_fds[i]);
        }
    } else {
        for (int i = 0; i < args->port_count; i++) {
            pair_put(&w, "--port-fd", args->port_fds[i]);
            pair_put(&w, "--worker-bell-fd", args->worker_bell_fds[i]);
        }
    }
    if (w.full || w.argc >= argv_max) {
        return -E2BIG;
    }
    argv[w.argc] = NULL;
    return w.argc;
}
