/* White-box tests of worker/io/place.c and conn.c: sockets that leave the ring with whatever is in flight, and such that come out of the inbox. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/uring.h"
#include "tests/support/hub_rig.h"
#include "worker/io/io_internal.h"
#include "worker/io/unread.h"
#include "worker/store/truth_repair.h"

#define SLOTS 8u

static struct hub_rig rig;
static int boxes[2]; /* inbox, outbox */
static int listener;
static struct {
    uint32_t given;
    int fd; /* a copy of the last one, -1 = none */
    enum { LEAVES, STAYS, ASKS_AGAIN } does;
    uint32_t placed;
    uint32_t homeless;
    int error;     /* of the last one of them */
    uint32_t last; /* socket that was placed last */
    uint8_t in[1 << 20];
    size_t in_bytes;
} seen;

static void on_given(void *context, uint32_t socket, int fd)
{
    (void)context;
    seen.given++;
    cr_assert_eq(rig.truth.sockets[socket].inflight, 0);
    if (seen.does == LEAVES) {
        cr_assert_geq(fd, 0);
        seen.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        rc_io_left(&rig.io, socket);
    } else if (seen.does == STAYS) {
        rc_io_keep(&rig.io, socket);
    } else {
        seen.does = LEAVES;
        rc_io_give(&rig.io, socket);
    }
}

static void on_placed(void *context, const struct rc_io_place *place, uint32_t socket)
{
    (void)context;
    cr_assert_eq(socket == RC_SOCKET_NONE, place->error < 0);
    if (socket == RC_SOCKET_NONE) {
        seen.homeless++;
        seen.error = place->error;
        return;
    }
    seen.placed++;
    seen.last = socket;
    if (place->token == RC_IO_PLACE_ARRIVED) { /* killed here, its successor has it whole */
        const struct rc_truth_coming *coming = &rig.truth.layout->coming;
        cr_assert(rc_handover_waits(boxes[0], &place->from));
        cr_assert(coming->phase == RC_COMING_BEGUN && coming->socket == socket + 1);
        cr_assert(rc_io_arriving(&rig.io, socket));
    }
    cr_assert_eq(rc_io_unread_takes_in(rig.io.memory), place->token == RC_IO_PLACE_ARRIVED);
    memcpy(seen.in + seen.in_bytes, place->bytes == NULL ? (const uint8_t *)"" : place->bytes, place->from.bytes);
    seen.in_bytes += place->from.bytes;
}

static void on_received(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    (void)socket;
    cr_assert_leq(seen.in_bytes + count, sizeof(seen.in));
    memcpy(seen.in + seen.in_bytes, bytes, count);
    seen.in_bytes += count;
}

static void open_all(void)
{
    RC_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, boxes) == 0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* what comes has come in through it */
    RC_ASSERT(listener >= 0 && listen(listener, 1) == 0);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = SLOTS, .inbox_fd = boxes[0], .listen_fd = listener});
    rig.io.worker_count = 2;
    rig.given = on_given;
    rig.placed = on_placed;
    rig.received = on_received;
    memset(&seen, 0, sizeof(seen));
    seen.fd = -1;
}

static void close_all(void)
{
    hub_rig_close(&rig);
    close(listener);
    close(boxes[0]);
    close(boxes[1]);
}

static void run(int passes)
{
    for (int i = 0; i < passes; i++) {
        hub_rig_run(&rig);
    }
}

static int fds_open(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void hand_over(int fd, const char *bytes)
{
    const struct rc_handover head = {.bytes = (uint32_t)strlen(bytes), .worker = 1, .port = 7, .received_bytes = 100};
    cr_assert_eq(rc_handover_send(boxes[1], &head, bytes, fd), 0);
}

/* A socket out of the inbox; its far end. */
static uint32_t come(int *far)
{
    int pair[2];
    RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    hand_over(pair[0], "");
    close(pair[0]);
    *far = pair[1];
    const uint32_t placed = seen.placed;
    run(3);
    cr_assert_eq(seen.placed, placed + 1);
    return seen.last;
}

/* Gives a socket away with each combination of what can be in flight; what came before it left has come up, the rest is the new owner's. */
static void check_give(void)
{
    open_all();
    const int before = fds_open();
    for (uint32_t how = 0; how < 32; how++) {
        int far;
        const uint32_t gives = rig.io.kept_fds == NULL
                                   ? hub_rig_socket(&rig, (how & 1) ? HUB_RIG_TCP : HUB_RIG_UNIX, 0, &far)
                                   : come(&far);
        cr_assert(rc_io_can_give(&rig.io, gives));
        struct rc_socket *its = &rig.truth.sockets[gives];
        its->mode = (how & 2) ? RC_IO_TALKING : (how & 4) ? RC_IO_QUIET : RC_IO_HANDSHAKE;
        rc_io_read(&rig.io, gives);
        if (how & 8) {
            run(2);
        }
        seen.in_bytes = 0;
        cr_assert_eq(write(far, "abc", 3), 3);
        if (how & 16) {
            rc_io_want_writable(&rig.io, gives);
        }
        seen.given = 0;
        rc_io_give(&rig.io, gives);
        run(6);
        cr_assert_eq(seen.given, 1, "how %u", how);
        cr_assert_eq(rig.io.open_count, 0, "how %u", how);
        cr_assert_geq(seen.fd, 0);
        cr_assert_eq(write(far, "def", 3), 3);
        uint8_t rest[16];
        const ssize_t got = read(seen.fd, rest, sizeof(rest));
        cr_assert_gt(got, 0);
        memcpy(seen.in + seen.in_bytes, rest, (size_t)got);
        cr_assert_eq(seen.in_bytes + (size_t)got, 6);
        cr_assert_eq(memcmp(seen.in, "abcdef", 6), 0, "how %u", how);
        close(seen.fd);
        seen.fd = -1;
        close(far);
        cr_assert_eq(fds_open(), before, "how %u", how);
        hub_rig_check(&rig);
    }
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_HANDED_OUT), 32);
    close_all();
}

Test(place, a_socket_leaves_with_anything_in_flight)
{
    check_give();
}

Test(place, a_socket_that_came_leaves_before_linux_6_8)
{
    int far;
    RC_ASSERT(setenv(RC_URING_WITHOUT, "fd_install", 1) == 0);
    open_all();
    cr_assert_not(rc_io_can_give(&rig.io, hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far)), "one that was accepted stays");
    close(far);
    close_all();
    check_give();
}

/* The new owner cannot take it: it is given once more, or it stays and is read on. */
Test(place, it_is_given_again_or_stays)
{
    int far;
    open_all();
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far);
    rc_io_read(&rig.io, socket);
    run(2);
    seen.does = STAYS;
    rc_io_give(&rig.io, socket);
    run(4);
    cr_assert_eq(seen.given, 1);
    cr_assert_eq(write(far, "on", 2), 2);
    run(4);
    cr_assert_eq(seen.in_bytes, 2);
    seen.does = ASKS_AGAIN;
    rc_io_give(&rig.io, socket);
    run(6);
    cr_assert_eq(seen.given, 3);
    cr_assert_eq(rig.io.open_count, 0);
    close(seen.fd);
    close(far);
    close_all();
}

static void no_end(void *context, uint32_t socket, int error)
{
    (void)context;
    (void)socket;
    (void)error;
}

/* Its peer has said everything, and reads nothing: what waits for room in it is cancelled, and it leaves. */
Test(place, a_half_closed_socket_leaves)
{
    static const uint8_t much[1 << 20];
    int far;
    open_all();
    rig.io.handlers.ended = no_end;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, 4608, &far);
    rc_io_read(&rig.io, socket);
    cr_assert_eq(rc_hub_answer(&rig.hub, socket, much, sizeof(much)), 0);
    cr_assert_eq(shutdown(far, SHUT_WR), 0);
    const struct rc_socket *its = &rig.truth.sockets[socket];
    for (int idle = 0; idle < 20; idle = its->inflight == RC_INFLIGHT_POLLOUT ? idle + 1 : 0) {
        hub_rig_run(&rig); /* until nothing more fits */
    }
    cr_assert((its->flags & RC_SOCKET_PEER_ENDED) && its->inflight == RC_INFLIGHT_POLLOUT, "flags %x, in flight %x",
              its->flags, its->inflight);
    rc_io_give(&rig.io, socket);
    run(5);
    cr_assert_eq(seen.given, 1);
    cr_assert_eq(rig.io.open_count, 0);
    close(seen.fd);
    close(far);
    close_all();
}

/* It ends while its descriptor is being made: nothing of it is left, and nobody is told. */
Test(place, it_ends_in_the_middle)
{
    open_all();
    const int before = fds_open();
    for (int passes = 0; passes < 4; passes++) {
        int far;
        const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_TCP, 0, &far);
        rc_io_read(&rig.io, socket);
        run(passes);
        seen.given = 0;
        rc_io_give(&rig.io, socket);
        rc_io_terminate(&rig.io, socket);
        run(5);
        cr_assert_eq(seen.given, 0);
        cr_assert_eq(rig.io.open_count, 0);
        close(far);
        cr_assert_eq(fds_open(), before);
    }
    close_all();
}

/* More than there are places and slots for: those that find none are closed, the others come with what was received. */
Test(place, the_inbox_is_emptied_in_portions)
{
    enum { COUNT = 200 };
    int fars[COUNT];
    open_all();
    for (int i = 0; i < COUNT; i++) {
        int pair[2];
        RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        hand_over(pair[0], "12345");
        close(pair[0]);
        fars[i] = pair[1];
    }
    for (int i = 0; i < 100 && seen.placed + seen.homeless < COUNT; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(seen.placed, SLOTS);
    cr_assert_eq(seen.homeless, COUNT - SLOTS);
    cr_assert_eq(rig.io.open_count, SLOTS);
    cr_assert_eq(rig.io.places_used, 0);
    const struct rc_socket *socket = &rig.truth.sockets[seen.last];
    cr_assert(socket->state == RC_SOCKET_HTTP && socket->port == 7 && socket->received_bytes == 100);
    uint32_t ended = 0;
    for (int i = 0; i < COUNT; i++) {
        char letter;
        ended += recv(fars[i], &letter, 1, MSG_DONTWAIT) == 0;
        close(fars[i]);
    }
    cr_assert_eq(ended, COUNT - SLOTS);
    run(10);
    cr_assert_eq(rig.io.open_count, 0, "the others were read, and ended");
    cr_assert_eq(write(boxes[1], "rubbish", 7), 7);
    run(3);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_HANDOVERS_LOST), 1);
    close_all();
}

/* --- for which there is no descriptor ---------------------------------------------------------------------------------- */

/* A message comes, and no descriptor can be had in three passes. The far end of its connection. */
static int come_without_descriptors(struct rlimit *limit)
{
    int pair[2];
    open_all();
    RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    hand_over(pair[0], "12345");
    close(pair[0]);
    RC_ASSERT(getrlimit(RLIMIT_NOFILE, limit) == 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit->rlim_max};
    RC_ASSERT(setrlimit(RLIMIT_NOFILE, &none) == 0);
    run(3);
    cr_assert_eq(seen.placed + seen.homeless, 0);
    cr_assert(rig.io.inbox_left);
    const uint32_t sleep_ms = rc_io_sleep_ms(&rig.io, 60000);
    cr_assert_leq(sleep_ms, RC_WHEEL_TICK_MS, "it is tried again soon");
    return pair[1];
}

static void end_without_descriptors(const struct rlimit *limit, int far)
{
    RC_ASSERT(setrlimit(RLIMIT_NOFILE, limit) == 0);
    cr_assert_eq(rig.truth.layout->coming.phase, RC_COMING_NONE);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_HANDOVERS_LOST), 0, "none is damaged");
    close(far);
    close_all();
}

Test(place, a_message_waits_for_its_descriptor)
{
    struct rlimit limit;
    const int far = come_without_descriptors(&limit);
    RC_ASSERT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    rig.io.inbox_again_ds = 0;
    run(3);
    cr_assert_eq(seen.placed, 1);
    cr_assert_eq(rig.io.inbox_give_up_ds, 0);
    end_without_descriptors(&limit, far);
}

Test(place, a_message_without_a_descriptor_is_given_up_in_the_end)
{
    struct rlimit limit;
    char letter;
    const int far = come_without_descriptors(&limit);
    rig.io.inbox_again_ds = 0;
    rig.io.inbox_give_up_ds = rig.io.now_ds;
    run(3);
    cr_assert_eq(seen.homeless, 1, "who it brings is told of as of one that has no place");
    cr_assert_eq(seen.error, -EMFILE, "and why");
    cr_assert_eq(recv(far, &letter, 1, MSG_DONTWAIT), 0, "it has ended");
    cr_assert_not(rig.io.inbox_left);
    cr_assert_eq(rig.io.inbox_give_up_ds, 0, "the next one waits again");
    end_without_descriptors(&limit, far);
}

/* --- whose worker is killed while it takes them ---------------------------------------------------------------------- */

static int far_ends[2];
static uint32_t first; /* the socket that came */

/* A connection that has come, and a message with it that lies in the inbox again, as one does that was not taken out of it. */
static struct rc_truth_coming *come_and_wait(void)
{
    struct rc_truth_coming *coming;
    int fd;
    open_all();
    RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, far_ends) == 0);
    hand_over(far_ends[0], "abc");
    run(3);
    cr_assert_eq(seen.placed, 1);
    first = seen.last;
    coming = &rig.truth.layout->coming;
    cr_assert_eq(coming->phase, RC_COMING_NONE);
    cr_assert(rc_kept_has(&rig.io, first));
    hand_over(far_ends[0], "abc");
    close(far_ends[0]);
    cr_assert_eq(rc_handover_peek(boxes[0], rig.io.inbox_message, 1, 2, &fd), 0);
    close(fd);
    memcpy(&coming->head, rig.io.inbox_message, sizeof(coming->head));
    coming->socket = first + 1;
    rig.io.inbox_placing = true; /* it takes nothing more */
    return coming;
}

static uint32_t followed(void)
{
    const uint32_t adopted = hub_rig_hand_over(&rig);
    rig.io.worker_count = 2;
    return adopted;
}

/* Its peer is heard, and has heard no end. */
static void goes_on(uint32_t times)
{
    char letter;
    run(6);
    cr_assert_eq(seen.placed, times);
    cr_assert_eq(rig.truth.layout->coming.phase, RC_COMING_NONE);
    cr_assert_eq(rig.io.open_count, 1);
    cr_assert_eq(rig.io.kept.count, 1);
    seen.in_bytes = 0;
    cr_assert_eq(recv(far_ends[1], &letter, 1, MSG_DONTWAIT), -1, "it has not ended");
    cr_assert_eq(write(far_ends[1], "on", 2), 2);
    run(4);
    cr_assert_eq(seen.in_bytes, 2);
    rig.io.kept.sweep_ns = 0;
    rc_kept_sweep(&rig.io);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_KEPT_LEAKED), 0);
    hub_rig_check(&rig);
    close(far_ends[1]);
    close_all();
}

Test(place, of_one_that_the_vault_has_alone_the_message_is_taken_again)
{
    struct rc_truth_coming *coming = come_and_wait();
    rig.truth.sockets[first].state = RC_SOCKET_FREE;
    coming->phase = RC_COMING_BEGUN;
    cr_assert_eq(followed(), 0);
    goes_on(2);
}

Test(place, of_one_that_is_half_here_the_message_is_taken_again)
{
    struct rc_truth_coming *coming = come_and_wait();
    rig.truth.sockets[first].mode = RC_IO_LEFT; /* as rc_take_back leaves it */
    coming->phase = RC_COMING_BEGUN;
    (void)followed();
    goes_on(2);
}

Test(place, of_one_that_is_here_the_message_is_not_taken_twice)
{
    come_and_wait()->phase = RC_COMING_DONE;
    cr_assert_eq(followed(), 1);
    goes_on(1);
}

Test(place, of_one_that_is_here_and_whose_message_is_gone_the_next_one_is_taken)
{
    struct rc_truth_coming *coming = come_and_wait();
    coming->phase = RC_COMING_DONE;
    coming->head.number++;
    cr_assert_eq(followed(), 1);
    run(6);
    cr_assert_eq(seen.placed, 2);
    close(far_ends[1]);
    close_all();
}

/* Nobody is counted as lost who comes again. */
Test(place, who_comes_again_is_not_given_up)
{
    struct rc_truth_repaired repaired = {0};
    struct rc_truth_coming *coming = come_and_wait();
    coming->phase = RC_COMING_BEGUN;
    rc_truth_give_up_socket(&rig.truth, first, &repaired);
    cr_assert_eq(repaired.sockets, 0);
    coming->phase = RC_COMING_DONE;
    rc_truth_give_up_socket(&rig.truth, first, &repaired);
    cr_assert_eq(repaired.sockets, 1);
    coming->phase = RC_COMING_NONE;
    rig.truth.sockets[first].exchange = 0;
    close(far_ends[1]);
    close_all();
}

/* A socket made here comes by its own token; what is shut is read to its end by the peer, and goes on the other way. */
Test(place, a_place_of_ones_own_and_its_writing_end)
{
    open_all();
    const int before = fds_open();
    int pair[2];
    RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const struct rc_handover like = {.port = 9};
    cr_assert_eq(rc_io_place(&rig.io, pair[0], &like, 42), 0);
    run(3);
    cr_assert_eq(seen.placed, 1);
    rc_io_shut(&rig.io, seen.last);
    for (int i = 0; i < 1000 && rig.truth.sockets[seen.last].inflight & RC_INFLIGHT_COMMAND; i++) {
        rc_io_run(&rig.io, 10);
    }
    char letter;
    cr_assert_eq(recv(pair[1], &letter, 1, 0), 0);
    cr_assert_eq(write(pair[1], "x", 1), 1);
    run(3);
    cr_assert_eq(seen.in_bytes, 1);
    rc_io_shut(&rig.io, seen.last);
    rc_io_terminate(&rig.io, seen.last); /* joined */
    for (int i = 0; i < 1000 && rig.io.open_count > 0; i++) {
        rc_io_run(&rig.io, 10);
    }
    close(pair[1]);
    cr_assert_eq(fds_open(), before);
    close_all();
}
