/*
 * acceptor/steer and acceptor/listen: real sockets, the real program. Without the right to load BPF the steering
 * tests are skipped.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "acceptor/steer/steer.h"

#define WORKERS 4u
#define CLIENTS_MAX 512

static struct rc_listen group;
static struct rc_steer steer;
static int clients[CLIENTS_MAX];
static unsigned client_count;

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int open_group(const char *host, uint16_t port, struct rc_err *err)
{
    char text[64];
    const struct rc_listen_options options = {.backlog = 4096, .notsent_lowat_bytes = 65536};
    snprintf(text, sizeof(text), "%s:%u", host, port);
    return rc_listen_open(&group, text, RC_LISTENER_CLIENT, WORKERS, &options, err);
}

static void set_up(void)
{
    struct rc_err err;
    cr_assert_eq(open_group("127.0.0.1", free_port(), &err), 0, "%s", err.text);
}

static void tear_down(void)
{
    for (unsigned i = 0; i < client_count; i++) {
        close(clients[i]);
    }
    rc_steer_close(&steer);
    rc_listen_close(&group);
}

static void steering(void)
{
    struct rc_err err;
    const int code = rc_steer_open(&steer, &group, 1, WORKERS, &err);
    if (code == -EPERM || code == -EACCES) {
        cr_skip_test("no right to load BPF");
    }
    cr_assert_eq(code, 0, "%s", err.text);
    cr_assert(steer.active);
    for (uint32_t i = 0; i < WORKERS; i++) {
        rc_steer_set_live(&steer, i, true);
    }
}

/* Clients that stay connected; the kernel completes the handshake, nobody accepts. */
static void connect_clients(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        cr_assert_lt(client_count, CLIENTS_MAX);
        cr_assert_eq(connect(fd, &group.address.socket.any, group.address.socket_bytes), 0, "%s", strerror(errno));
        clients[client_count++] = fd;
    }
}

/* Connections that wait at a worker's listener; accepts and closes them. */
static unsigned waiting(uint32_t worker)
{
    unsigned count = 0;
    int fd;
    while ((fd = accept4(group.fds[worker], NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        close(fd);
        count++;
    }
    return count;
}

TestSuite(steer, .init = set_up, .fini = tear_down);

Test(steer, equal_loads_are_kept_equal)
{
    steering();
    connect_clients(200);
    for (uint32_t i = 0; i < WORKERS; i++) {
        cr_assert_eq(rc_steer_load(&steer, i), 50);
        cr_assert_eq(waiting(i), 50);
    }
    cr_assert_eq(rc_steer_count(&steer, RC_STEER_SELECTED), 200);
}

Test(steer, the_least_loaded_worker_catches_up_first)
{
    steering();
    for (uint32_t i = 1; i < WORKERS; i++) {
        rc_steer_correct_load(&steer, i, -100);
    }
    connect_clients(100 + 40);
    cr_assert_eq(waiting(0), 110);
    for (uint32_t i = 1; i < WORKERS; i++) {
        cr_assert_eq(waiting(i), 10);
    }
}

Test(steer, a_worker_that_is_not_live_gets_nothing)
{
    steering();
    rc_steer_set_live(&steer, 2, false);
    connect_clients(90);
    cr_assert_eq(waiting(2), 0);
    for (uint32_t i = 0; i < WORKERS; i++) {
        cr_assert_eq(rc_steer_load(&steer, i), i == 2 ? 0 : 30);
    }
    rc_steer_set_live(&steer, 2, true);
    connect_clients(30);
    cr_assert_eq(waiting(2), 30);
}

Test(steer, an_overloaded_worker_gets_what_nobody_else_can_take)
{
    steering();
    steer.map[1].busy = 1;
    connect_clients(60);
    cr_assert_eq(waiting(1), 0);
    for (uint32_t i = 0; i < WORKERS; i++) {
        steer.map[i].busy = 1;
    }
    connect_clients(20);
    cr_assert_eq(waiting(1), 20);
}

Test(steer, equally_loaded_workers_are_chosen_at_random)
{
    steering();
    unsigned firsts[WORKERS] = {0};
    for (unsigned round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < WORKERS; i++) {
            rc_steer_reset_load(&steer, i);
        }
        connect_clients(1);
        for (uint32_t i = 0; i < WORKERS; i++) {
            firsts[i] += waiting(i);
        }
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        cr_assert_geq(firsts[i], 5, "worker %u was chosen %u times of 100", i, firsts[i]);
    }
}

Test(steer, without_a_live_worker_the_kernel_decides)
{
    steering();
    for (uint32_t i = 0; i < WORKERS; i++) {
        rc_steer_set_live(&steer, i, false);
    }
    connect_clients(20);
    cr_assert_eq(rc_steer_count(&steer, RC_STEER_NO_LIVE), 20);
    unsigned sum = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        sum += waiting(i);
        cr_assert_eq(rc_steer_load(&steer, i), 0);
    }
    cr_assert_eq(sum, 20);
}

Test(steer, a_queue_moves_to_live_workers_when_its_listener_is_replaced)
{
    struct rc_err err;
    steering();
    for (uint32_t i = 1; i < WORKERS; i++) {
        rc_steer_set_live(&steer, i, false);
    }
    connect_clients(60);
    cr_assert_eq(rc_steer_load(&steer, 0), 60);
    for (uint32_t i = 0; i < WORKERS; i++) {
        rc_steer_set_live(&steer, i, i != 0);
    }
    rc_steer_reset_load(&steer, 0);
    cr_assert_eq(rc_listen_replace(&group, 0, &err), 0, "%s", err.text);
    cr_assert_eq(rc_steer_sockets(&steer, 0, &err), 0, "%s", err.text);
    cr_assert_eq(rc_steer_count(&steer, RC_STEER_MIGRATED), 60);
    unsigned sum = 0;
    for (uint32_t i = 1; i < WORKERS; i++) {
        cr_assert_eq(rc_steer_load(&steer, i), 20);
        sum += waiting(i);
    }
    cr_assert_eq(sum, 60);
    cr_assert_eq(waiting(0), 0);
    /* The new listener takes part again. */
    rc_steer_set_live(&steer, 0, true);
    connect_clients(5);
    cr_assert_eq(waiting(0), 5);
}

Test(steer, a_socket_that_is_gone_is_passed_over)
{
    steering();
    close(group.fds[1]);
    group.fds[1] = -1;
    connect_clients(40);
    cr_assert_gt(rc_steer_count(&steer, RC_STEER_MISSING), 0);
    cr_assert_eq(rc_steer_count(&steer, RC_STEER_FAILED), 0);
    unsigned sum = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        sum += i == 1 ? 0 : waiting(i);
    }
    cr_assert_eq(sum, 40);
}

Test(steer, a_load_below_zero_counts_as_none)
{
    steering();
    rc_steer_correct_load(&steer, 3, 5);
    cr_assert_eq(rc_steer_load(&steer, 3), (uint64_t)-5);
    connect_clients(1);
    unsigned sum = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        sum += waiting(i);
    }
    cr_assert_eq(sum, 1);
}

Test(steer, inactive_instance_does_nothing)
{
    struct rc_steer inactive;
    struct rc_err err;
    cr_assert_eq(rc_steer_open(&inactive, &group, 0, WORKERS, &err), 0);
    cr_assert_not(inactive.active);
    rc_steer_set_live(&inactive, 1, true);
    rc_steer_reset_load(&inactive, 1);
    cr_assert_not(rc_steer_is_live(&inactive, 1));
    cr_assert_eq(rc_steer_count(&inactive, RC_STEER_SELECTED), 0);
    cr_assert_eq(inactive.map_fd, -1);
    rc_steer_close(&inactive);
}

TestSuite(listen, .fini = tear_down);

Test(listen, accepted_sockets_inherit_options)
{
    struct rc_err err;
    cr_assert_eq(open_group("127.0.0.1", free_port(), &err), 0);
    connect_clients(1);
    for (uint32_t i = 0; i < WORKERS; i++) {
        const int fd = accept4(group.fds[i], NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0) {
            int nodelay = 0;
            int lowat = 0;
            socklen_t bytes = sizeof(int);
            getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &bytes);
            getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, &bytes);
            cr_assert_neq(nodelay, 0);
            cr_assert_eq(lowat, 65536);
            close(fd);
            return;
        }
    }
    cr_assert_fail("nobody got the connection");
}

Test(listen, port_in_use_is_refused_also_when_the_other_shares_it)
{
    struct rc_err err;
    const uint16_t port = free_port();
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int other = socket(AF_INET, SOCK_STREAM, 0);
    const int one = 1;
    setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    cr_assert_eq(bind(other, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(other, 1), 0);
    cr_assert_eq(open_group("127.0.0.1", port, &err), -EADDRINUSE);
    cr_assert(strstr(err.text, "server.listen") != NULL, "%s", err.text);
    close(other);
    cr_assert_eq(open_group("127.0.0.1", port, &err), 0, "%s", err.text);
}

Test(listen, ipv6_and_ipv4_of_one_port_are_two_listeners)
{
    struct rc_err err;
    static struct rc_listen v6;
    const uint16_t port = free_port();
    const struct rc_listen_options options = {.backlog = 16};
    char text[64];
    cr_assert_eq(open_group("0.0.0.0", port, &err), 0, "%s", err.text);
    snprintf(text, sizeof(text), "[::]:%u", port);
    const int code = rc_listen_open(&v6, text, RC_LISTENER_CLIENT, 2, &options, &err);
    if (code == -EAFNOSUPPORT) {
        cr_skip_test("no IPv6");
    }
    cr_assert_eq(code, 0, "%s", err.text);
    rc_listen_close(&v6);
}

/* Which has no unix_bound of its own to set: what stood there before must not make rc_listen_unlink remove a file. */
Test(listen, what_stood_in_the_memory_before_is_forgotten)
{
    struct rc_err err;
    memset(&group, 0xff, sizeof(group));
    cr_assert_eq(open_group("127.0.0.1", free_port(), &err), 0, "%s", err.text);
    cr_assert_not(group.unix_bound);
    cr_assert_not(group.dual_stack);
    cr_assert_eq(group.count, WORKERS);
    rc_listen_close(&group);
}

Test(listen, star_takes_ipv4_too)
{
    struct rc_err err;
    const uint16_t port = free_port();
    cr_assert_eq(open_group("*", port, &err), 0, "%s", err.text);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

Test(listen, unix_socket_is_shared_replaces_a_stale_file_and_is_removed)
{
    struct rc_err err;
    struct rc_listener described;
    char text[64];
    const struct rc_listen_options options = {.backlog = 16};
    snprintf(text, sizeof(text), "unix:/tmp/ringcast-test-%d.sock", (int)getpid());
    const char *path = text + 5;
    cr_assert_eq(rc_listen_open(&group, text, RC_LISTENER_CLIENT, WORKERS, &options, &err), 0, "%s", err.text);
    cr_assert_eq(rc_listen_fd(&group, 0), rc_listen_fd(&group, 3));
    rc_listen_describe(&group, &described);
    cr_assert_str_eq(described.address, text);
    cr_assert_eq(described.loopback, 1);

    static struct rc_listen second;
    cr_assert_eq(rc_listen_open(&second, text, RC_LISTENER_CLIENT, 1, &options, &err), -EADDRINUSE);
    rc_listen_close(&group); /* the file stays, as after a kill */
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_eq(rc_listen_open(&second, text, RC_LISTENER_CLIENT, 1, &options, &err), 0, "%s", err.text);
    rc_listen_unlink(&group); /* not its file any more */
    cr_assert_eq(access(path, F_OK), 0);
    rc_listen_close(&second);
    rc_listen_unlink(&second);
    cr_assert_neq(access(path, F_OK), 0);
}

Test(listen, a_file_that_is_no_socket_is_left_alone)
{
    struct rc_err err;
    char text[64];
    const struct rc_listen_options options = {.backlog = 16};
    snprintf(text, sizeof(text), "unix:/tmp/ringcast-test-%d.txt", (int)getpid());
    FILE *file = fopen(text + 5, "w");
    cr_assert(file != NULL);
    fclose(file);
    cr_assert_eq(rc_listen_open(&group, text, RC_LISTENER_CLIENT, 1, &options, &err), -EEXIST);
    cr_assert_eq(access(text + 5, F_OK), 0);
    unlink(text + 5);
}
