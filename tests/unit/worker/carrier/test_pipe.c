/* Two sockets whose bytes go from each to the other: in order, bounded, and to the end of either. A real ring; both far ends are the test's. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/client_rig.h"
#include "worker/carrier/handover.h"

#define SLOTS 4u
#define HELD_MAX (65536u + RC_IO_BUFFER_BYTES) /* what waits one way at most */

static struct client_rig c;
static struct rc_handovers handovers;
static uint32_t a; /* the client's connection */
static int client; /* its far end */
static int other;  /* what stands for it elsewhere */
static int fd;     /* the near end's, until the pipe has it */

/* --- handlers: the worker's, in place of the rig's --- */

static void to_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count)
{
    (void)context;
    rc_socket_received(&c.clients, socket, bytes, count);
}

static void to_ended(void *context, uint32_t socket, int error)
{
    (void)context;
    rc_socket_ended(&c.clients, socket, error);
}

static void to_terminated(void *context, uint32_t socket)
{
    (void)context;
    rc_socket_terminated(&c.clients, socket);
}

static void to_answered(void *context, uint32_t socket)
{
    (void)context;
    rc_socket_answered(&c.clients, socket);
}

static void to_drained(void *context, uint32_t socket)
{
    (void)context;
    rc_socket_replies_drained(&c.clients, socket);
}

static void to_placed(void *context, const struct rc_io_place *place, uint32_t socket)
{
    (void)context;
    rc_handover_placed(&handovers, place, socket);
}

static void open_all(void)
{
    static const int none[RC_WORKERS_MAX];
    client_rig_open(&c, SLOTS);
    rc_handovers_open(&handovers, &c.clients, none);
    c.rig.io.handlers.received = to_received;
    c.rig.io.handlers.ended = to_ended;
    c.rig.io.handlers.terminated = to_terminated;
    c.rig.io.handlers.placed = to_placed;
    c.rig.hub.handlers.answered = to_answered;
    c.rig.hub.handlers.replies_drained = to_drained;
    a = hub_rig_socket(&c.rig, HUB_RIG_TCP, 0, &client);
    int pair[2];
    RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    fd = pair[0];
    other = pair[1];
}

/* Nothing is left. Not cr_assert: what that finds here fails no test. */
static void close_all(void)
{
    close(client);
    close(other);
    for (int i = 0; i < 500 && c.rig.io.open_count > 0; i++) {
        hub_rig_run(&c.rig);
        rc_io_run(&c.rig.io, 10); /* a writing end is shut by a kernel thread */
    }
    RC_ASSERT(c.rig.io.open_count == 0 && handovers.pipes.count == 0);
    RC_ASSERT(c.rig.hub.output_bytes == 0 && c.rig.hub.input_bytes == 0);
    client_rig_close(&c);
}

TestSuite(pipe, .init = open_all, .fini = close_all);

static struct rc_socket *socket_of_client(void)
{
    return &c.rig.truth.sockets[a];
}

static void run(int passes)
{
    for (int i = 0; i < passes; i++) {
        hub_rig_run(&c.rig);
    }
}

/* The connection is piped, with `parked` before whatever comes. */
static void open_pipe(const char *first, const char *parked)
{
    socket_of_client()->state = RC_SOCKET_LEAVING;
    rc_io_read(&c.rig.io, a);
    if (parked[0] != '\0') {
        cr_assert_eq(rc_socket_park(&c.clients, a, (const uint8_t *)parked, (uint32_t)strlen(parked)), 0);
    }
    cr_assert_eq(rc_pipe_open(&handovers.pipes, a, fd, first, (uint32_t)strlen(first)), 0);
}

static void opened(void)
{
    open_pipe("", "");
    run(3);
    cr_assert_eq(socket_of_client()->state, RC_SOCKET_PIPED);
    cr_assert_eq(handovers.pipes.count, 1);
}

static void expect(int from, const char *text)
{
    char got[64] = "";
    const ssize_t bytes = recv(from, got, sizeof(got) - 1, MSG_DONTWAIT);
    cr_assert(bytes == (ssize_t)strlen(text) && memcmp(got, text, strlen(text)) == 0, "%s instead of %s (%zd)", got,
              text, bytes);
}

static void say(int to, const char *text)
{
    cr_assert_eq(write(to, text, strlen(text)), (ssize_t)strlen(text));
    run(4);
}

Test(pipe, what_was_received_before_goes_first)
{
    open_pipe("PROXY ", "GET");
    say(client, " /");
    run(4);
    expect(other, "PROXY GET /");
    say(other, "200");
    expect(client, "200");
    say(client, "x");
    expect(other, "x");
    cr_assert_eq(rc_metric_get(c.rig.metrics, RC_METRIC_PIPES), 1);
}

/* Of a worker that was killed: it had come, and nobody had looked at it. */
Test(pipe, what_a_successor_finds_parked_goes_before_what_comes_later)
{
    opened();
    const uint32_t near = socket_of_client()->pipe;
    cr_assert_eq(rc_socket_park(&c.clients, a, (const uint8_t *)"ping", 4), 0);
    cr_assert_eq(rc_socket_park(&c.clients, near, (const uint8_t *)"pong", 4), 0);
    cr_assert_eq(write(client, " and", 4), 4);
    cr_assert_eq(write(other, " and", 4), 4);
    rc_socket_resume(&c.clients, a);
    rc_socket_resume(&c.clients, near);
    run(4);
    expect(other, "ping and");
    expect(client, "pong and");
    cr_assert_eq(c.rig.hub.input_bytes, 0);
}

/* One side sends a megabyte that the other does not read: little is kept, nothing is lost, and the other way goes on. */
static void check_bound(int from, int to, uint32_t out)
{
    enum { BYTES = 1 << 20 };
    static uint8_t sent[BYTES];
    static uint8_t got[BYTES];
    size_t at = 0;
    size_t come = 0;
    for (size_t i = 0; i < BYTES; i++) {
        sent[i] = (uint8_t)(i * 7 + i / 1000);
    }
    const int small = 8192;
    RC_ASSERT(setsockopt(to, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
    for (int idle = 0; come < BYTES && idle < 1000; idle++) {
        const ssize_t put = at < BYTES ? send(from, sent + at, BYTES - at, MSG_DONTWAIT) : 0;
        if (put > 0) {
            at += (size_t)put;
            idle = 0;
        }
        hub_rig_run(&c.rig);
        cr_assert_leq(rc_hub_unsent_on(&c.rig.hub, out), HELD_MAX);
        if (put < 0 || at == BYTES) { /* not before everything is full */
            const ssize_t took = recv(to, got + come, 30000, MSG_DONTWAIT);
            come += took > 0 ? (size_t)took : 0;
            idle = took > 0 ? 0 : idle;
        }
    }
    cr_assert_eq(come, BYTES);
    cr_assert_eq(memcmp(sent, got, BYTES), 0);
    say(to, "still here");
    expect(from, "still here");
}

Test(pipe, what_waits_for_the_other_worker_is_bounded)
{
    opened();
    check_bound(client, other, socket_of_client()->pipe);
    cr_assert_gt(rc_metric_get(c.rig.metrics, RC_METRIC_READ_PAUSES), 0);
}

Test(pipe, what_waits_for_the_client_is_bounded)
{
    opened();
    check_bound(other, client, a);
}

/* The client has said everything: that is passed on behind it, and the answer comes. */
Test(pipe, a_client_that_shuts_its_writing_end_gets_its_answer)
{
    opened();
    cr_assert_eq(write(client, "last", 4), 4);
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    run(4);
    expect(other, "last");
    for (int i = 0; i < 200 && recv(other, &(char){0}, 1, MSG_DONTWAIT) != 0; i++) {
        rc_io_run(&c.rig.io, 10);
    }
    expect(other, "");
    say(other, "answer");
    expect(client, "answer");
    cr_assert_eq(socket_of_client()->state, RC_SOCKET_PIPED);
    close(other);
    other = -1;
    run(5);
    cr_assert_eq(handovers.pipes.count, 0);
    expect(client, "");
}

/* The same before there was a near end. */
static void check_early_end(const char *parked)
{
    socket_of_client()->state = RC_SOCKET_LEAVING;
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    rc_io_read(&c.rig.io, a);
    run(3);
    cr_assert(socket_of_client()->flags & RC_SOCKET_PEER_ENDED);
    open_pipe("", parked);
    for (int i = 0; i < 200; i++) {
        hub_rig_run(&c.rig);
        rc_io_run(&c.rig.io, 1);
    }
    if (parked[0] != '\0') {
        expect(other, parked);
    }
    expect(other, "");
}

Test(pipe, an_end_that_came_early_is_passed_on)
{
    check_early_end("early");
}

Test(pipe, an_end_alone_is_passed_on)
{
    check_early_end("");
}

/* Whoever answers has ended: the client gets what was for it, and its end; what it still says is nobody's. */
Test(pipe, the_far_end_ends_behind_its_last_word)
{
    opened();
    cr_assert_eq(write(other, "bye", 3), 3);
    close(other);
    other = -1;
    run(5);
    cr_assert_eq(handovers.pipes.count, 0);
    cr_assert_eq(socket_of_client()->state, RC_SOCKET_LINGER);
    say(client, "too late");
    expect(client, "bye");
    cr_assert_eq(c.rig.io.open_count, 1);
}

Test(pipe, a_client_that_breaks_off_ends_both)
{
    opened();
    const struct linger reset = {.l_onoff = 1};
    cr_assert_eq(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(client);
    client = -1;
    run(6);
    cr_assert_eq(c.rig.io.open_count, 0);
    expect(other, "");
}

/* It ends while its near end is on its way: that one finds nobody, and ends as well. */
Test(pipe, a_client_that_is_gone_before_it_opens)
{
    open_pipe("", "request");
    rc_io_terminate(&c.rig.io, a);
    run(6);
    cr_assert_eq(c.rig.io.open_count, 0);
    cr_assert_eq(rc_metric_get(c.rig.metrics, RC_METRIC_PIPES_OPENED), 0);
    expect(other, "");
}

Test(pipe, no_room_for_its_near_end)
{
    int fars[SLOTS];
    for (uint32_t i = 1; i < SLOTS; i++) {
        (void)hub_rig_socket(&c.rig, HUB_RIG_UNIX, 0, &fars[i]);
    }
    open_pipe("", "request");
    run(6);
    cr_assert_eq(c.rig.io.open_count, SLOTS - 1);
    expect(client, "");
    expect(other, "");
    for (uint32_t i = 1; i < SLOTS; i++) {
        close(fars[i]);
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (c.rig.truth.sockets[i].state == RC_SOCKET_HTTP) {
            rc_io_terminate(&c.rig.io, i);
        }
    }
}
