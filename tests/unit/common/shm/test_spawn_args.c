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
    struct rc_spawn_args args;
    rc_spawn_args_clear(&args, 3);
    args.core_fd = 3;
    args.config_fd = 4;
    args.own_fd = 5;
    args.acceptor_fd = 6;
    args.relay_fd = 7;
    args.life_fd = 11;
    args.bell_fd = 12;
    args.acceptor_bell_fd = 31;
    args.truth_fd = 13;
    args.relay_bell_fd = 14;
    args.worker_count = 4;
    args.keys_fd = 17;
    args.order_fd = 33;
    args.io_fd = 34;
    args.adopt = 1;
    args.inbox_fd = 15;
    args.limits_fd = 18;
    args.history_fd = 19;
    args.outbox_count = 4;
    args.listen_count = 2;
    args.port_count = 1;
    args.port_fds[0] = 30;
    for (int i = 0; i < 4; i++) {
        args.worker_fds[i] = 40 + i;
        args.outbox_fds[i] = 60 + i;
        args.listen_fds[i % 2] = 20 + i;
    }
    return args;
}

static struct rc_spawn_args relay_args(int workers)
{
    struct rc_spawn_args args;
    rc_spawn_args_clear(&args, -1);
    args.core_fd = 3;
    args.config_fd = 4;
    args.own_fd = 5;
    args.acceptor_fd = 6;
    args.keep_fd = 7;
    args.history_fd = 19;
    args.life_fd = 8;
    args.bell_fd = 9;
    args.acceptor_bell_fd = 32;
    args.port_count = args.worker_bell_count = args.worker_count = workers;
    for (int i = 0; i < workers; i++) {
        args.port_fds[i] = 100 + i;
        args.worker_bell_fds[i] = 300 + i;
        args.worker_fds[i] = 500 + i;
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
    char *argv[80];
    char text[1280];
    const struct rc_spawn_args args = worker_args();
    const int argc = rc_spawn_args_format(&args, argv, 80, text, sizeof(text));
    cr_assert_gt(argc, 0);
    const int used = (int)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - text);
    for (int max = 0; max <= argc; max++) {
        cr_assert_eq(rc_spawn_args_format(&args, argv, max, text, sizeof(text)), -E2BIG, "%d pointers", max);
    }
    cr_assert_eq(rc_spawn_args_format(&args, argv, argc + 1, text, sizeof(text)), argc);
    for (int max = 0; max < used; max++) {
        cr_assert_eq(rc_spawn_args_format(&args, argv, 80, text, max), -E2BIG, "%d bytes", max);
    }
    cr_assert_eq(rc_spawn_args_format(&args, argv, 80, text, used), argc);
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

#define BOTH \
    "--core-fd 3 --config-fd 4 --own-fd 5 --acceptor-fd 6 --life-fd 7 --bell-fd 8 --acceptor-bell-fd 20 --history-fd 19 --worker-fd 9 --port-fd 10 "
#define WORKER \
    BOTH       \
        "--index 0 --truth-fd 11 --relay-fd 12 --relay-bell-fd 13 --steer-fd -1 --listen-fd 14 --keys-fd 17 --io-fd 22 --order-fd 21 --inbox-fd 15 --limits-fd 18 --outbox-fd 16"
#define RELAY BOTH "--keep-fd 11 --worker-bell-fd 12"

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
        {WORKER " --core-fd 3", "--core-fd 3"},
        {WORKER " --keep-fd 3", "--keep-fd is not for a worker"},
        {WORKER " --index 1", "--index 1"},
        {WORKER " --port-fd 4", "one --port-fd"},
        {WORKER " --worker-bell-fd 4", "no --worker-bell-fd"},
        {"--index 128", "--index 128"},
        {"--index -1", "--index -1"},
        {"--steer-fd -2", "--steer-fd -2"},
        {BOTH "--index 0 --relay-fd 12 --relay-bell-fd 13 --listen-fd 14", "--truth-fd is missing"},
        {BOTH "--index 0 --truth-fd 11 --relay-fd 12 --relay-bell-fd 13", "--io-fd is missing"},
        {BOTH "--index 0 --truth-fd 11 --relay-fd 12 --relay-bell-fd 13 --keys-fd 17 --io-fd 22 --order-fd 21",
         "--inbox-fd is missing"},
        {BOTH
         "--index 0 --truth-fd 11 --relay-fd 12 --relay-bell-fd 13 --keys-fd 17 --io-fd 22 --order-fd 21 --inbox-fd 15",
         "--limits-fd is missing"},
        {BOTH
         "--index 0 --truth-fd 11 --relay-fd 12 --relay-bell-fd 13 --keys-fd 17 --io-fd 22 --order-fd 21 --inbox-fd 15 --limits-fd 18",
         "--listen-fd is missing"},
        {WORKER " --outbox-fd 17", "one for each worker"},
        {WORKER " --worker-fd 17", "one for each worker"},
        {RELAY " --outbox-fd 17", "a relay none"},
        {RELAY " --inbox-fd 17", "--inbox-fd is not for a relay"},
        {RELAY " --limits-fd 17", "--limits-fd is not for a relay"},
        {BOTH "--worker-bell-fd 12", "--keep-fd is missing"},
        {"", "--core-fd is missing"},
        {RELAY " --port-fd 8", "one of each per worker"},
        {RELAY " --truth-fd 8", "--truth-fd is not for a relay"},
        {RELAY " --adopt 1", "--adopt is not for a relay"},
        {WORKER " --adopt 4", "--adopt 4"},
        {WORKER " --adopt 2", "--old-io-fd is for a worker that adopts from a dead one"},
        {WORKER " --old-io-fd 30", "--old-io-fd is for a worker that adopts from a dead one"},
        {RELAY " --relay-fd 8", "--relay-fd is not for a relay"},
        {RELAY " --listen-fd 8", "--listen-fd is not for a relay"},
        {RELAY " --steer-fd -1", "--steer-fd is not for a relay"},
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
