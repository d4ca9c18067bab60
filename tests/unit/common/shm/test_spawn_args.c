/* spawn_args: what one side writes the other reads; everything else is refused with the argument named. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/shm/spawn_args.h"

#define ARGV_MAX 1024
#define TEXT_MAX 32768

static struct rc_spawn_args worker_args(void)
{
    return (struct rc_spawn_args){.index = 3,
                                  .control_fd = 10,
                                  .life_fd = 11,
                                  .bell_fd = 12,
                                  .truth_fd = 13,
                                  .relay_bell_fd = 14,
                                  .steer_fd = -1,
                                  .listen_count = 2,
                                  .listen_fds = {20, 21},
                                  .port_count = 1,
                                  .port_fds = {30}};
}

static struct rc_spawn_args relay_args(int workers)
{
    struct rc_spawn_args args = {.index = -1, .control_fd = 5, .life_fd = 6, .bell_fd = 7};
    args.truth_fd = args.relay_bell_fd = args.steer_fd = -1;
    args.port_count = args.worker_bell_count = workers;
    for (int i = 0; i < workers; i++) {
        args.port_fds[i] = 100 + i;
        args.worker_bell_fds[i] = 300 + i;
    }
    return args;
}

static void expect_round_trip(const struct rc_spawn_args *args)
{
    static char *argv[ARGV_MAX];
    static char text[TEXT_MAX];
    struct rc_spawn_args back;
    struct rc_err err = {""};
    argv[0] = (char *)"program";
    const int argc = rc_spawn_args_format(args, argv, ARGV_MAX, text, TEXT_MAX);
    cr_assert_gt(argc, 0);
    cr_assert_null(argv[argc]);
    cr_assert_eq(rc_spawn_args_parse(&back, argc, argv, &err), 0, "%s", err.text);
    cr_assert_eq(memcmp(&back, args, sizeof(back)), 0);
}

Test(spawn_args, worker_gets_what_the_acceptor_wrote)
{
    struct rc_spawn_args args = worker_args();
    expect_round_trip(&args);
    args.steer_fd = 44;
    args.index = 0;
    expect_round_trip(&args);
    args.listen_count = RC_LISTENERS_MAX;
    for (int i = 0; i < RC_LISTENERS_MAX; i++) {
        args.listen_fds[i] = i;
    }
    expect_round_trip(&args);
}

Test(spawn_args, relay_gets_what_the_acceptor_wrote)
{
    struct rc_spawn_args args = relay_args(1);
    expect_round_trip(&args);
    args = relay_args(RC_WORKERS_MAX);
    expect_round_trip(&args);
}

Test(spawn_args, arrays_that_are_too_small_are_refused_at_every_size)
{
    char *argv[64];
    char text[512];
    const struct rc_spawn_args args = worker_args();
    const int argc = rc_spawn_args_format(&args, argv, 64, text, sizeof(text));
    cr_assert_gt(argc, 0);
    const int used = (int)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - text);
    for (int max = 0; max <= argc; max++) {
        cr_assert_eq(rc_spawn_args_format(&args, argv, max, text, sizeof(text)), -E2BIG, "%d pointers", max);
    }
    cr_assert_eq(rc_spawn_args_format(&args, argv, argc + 1, text, sizeof(text)), argc);
    for (int max = 0; max < used; max++) {
        cr_assert_eq(rc_spawn_args_format(&args, argv, 64, text, max), -E2BIG, "%d bytes", max);
    }
    cr_assert_eq(rc_spawn_args_format(&args, argv, 64, text, used), argc);
}

/* Parses `line`, split at spaces, as a child started with it. */
static int parse(const char *line, struct rc_err *err)
{
    char copy[4096];
    char *argv[ARGV_MAX] = {(char *)"program"};
    int argc = 1;
    struct rc_spawn_args args;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return rc_spawn_args_parse(&args, argc, argv, err);
}

#define WORKER                                                                                                   \
    "--index 0 --control-fd 3 --port-fd 4 --truth-fd 5 --life-fd 6 --bell-fd 7 --relay-bell-fd 8 --steer-fd -1 " \
    "--listen-fd 9"
#define RELAY "--control-fd 3 --life-fd 4 --bell-fd 5 --port-fd 6 --worker-bell-fd 7"

Test(spawn_args, bad_arguments_are_named)
{
    static const struct {
        const char *line;
        const char *says;
    } cases[] = {
        {WORKER " --listen-fd", "--listen-fd has no value"},
        {WORKER " --verbose 1", "--verbose 1"},
        {WORKER " --listen-fd x", "--listen-fd x"},
        {WORKER " --listen-fd 1x", "--listen-fd 1x"},
        {WORKER " --listen-fd -1", "--listen-fd -1"},
        {WORKER " --listen-fd 99999999999999999999", "--listen-fd 9999"},
        {WORKER " --listen-fd 4294967297", "--listen-fd 4294967297"},
        {WORKER " --listen-fd --", "--listen-fd --"},
        {WORKER " --control-fd 3", "--control-fd 3"},
        {WORKER " --index 1", "--index 1"},
        {WORKER " --port-fd 4", "one --port-fd"},
        {WORKER " --worker-bell-fd 4", "no --worker-bell-fd"},
        {"--index 128", "--index 128"},
        {"--index -1", "--index -1"},
        {"--steer-fd -2", "--steer-fd -2"},
        {"--index 0 --control-fd 3 --port-fd 4 --life-fd 6 --bell-fd 7 --relay-bell-fd 8 --listen-fd 9", "--truth-fd"},
        {"--index 0 --control-fd 3 --port-fd 4 --truth-fd 5 --life-fd 6 --bell-fd 7 --relay-bell-fd 8", "--listen-fd"},
        {"", "--control-fd is missing"},
        {RELAY " --port-fd 8", "one of each per worker"},
        {RELAY " --truth-fd 8", "takes no --truth-fd"},
        {RELAY " --listen-fd 8", "takes no"},
        {RELAY " --steer-fd -1", "takes no"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rc_err err = {""};
        cr_expect_eq(parse(cases[i].line, &err), -EINVAL, "%s", cases[i].line);
        cr_expect_not_null(strstr(err.text, cases[i].says), "%s: says %s", cases[i].line, err.text);
    }
    struct rc_err err = {""};
    cr_expect_eq(parse(WORKER, &err), 0, "%s", err.text);
    cr_expect_eq(parse(RELAY, &err), 0, "%s", err.text);
}

Test(spawn_args, lists_longer_than_their_bound_are_refused)
{
    char line[4096] = RELAY;
    struct rc_err err = {""};
    for (int i = 1; i < RC_WORKERS_MAX; i++) {
        strcat(line, " --port-fd 8");
    }
    cr_assert_eq(parse(line, &err), -EINVAL);
    cr_assert_not_null(strstr(err.text, "one of each"), "%s", err.text);
    strcat(line, " --port-fd 8");
    cr_assert_eq(parse(line, &err), -EINVAL);
    cr_assert_not_null(strstr(err.text, "too often"), "%s", err.text);
}
