/* White-box tests of worker/io: connections that come in a burst, a full descriptor table, and every way to end. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/uring.h"
#include "tests/support/hub_rig.h"
#include "worker/io/io_internal.h"

static int listen_on(struct sockaddr_in *address)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t bytes = sizeof(*address);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    RC_ASSERT(bind(fd, (struct sockaddr *)address, bytes) == 0 && listen(fd, 4096) == 0 &&
              getsockname(fd, (struct sockaddr *)address, &bytes) == 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RC_ASSERT(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof(address);
    RC_ASSERT(getsockname(fd, (struct sockaddr *)&address, &bytes) == 0);
    return ntohs(address.sin_port);
}

/* As on a kernel before Linux 6.7, for the rest of this process's life. */
static void without_peername_command(void)
{
    RC_ASSERT(setenv(RC_URING_WITHOUT, "socket_getsockopt", 1) == 0);
}

/* As before Linux 6.10. */
static void with_standing_accepts(void)
{
    RC_ASSERT(setenv(RC_URING_WITHOUT, "accept_dontwait", 1) == 0);
}

static void check_burst(void)
{
    enum { COUNT = 800 };
    static int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT + 8, .listen_fd = listener});
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    /* A place is free again when its address has come: a few passes after the last was accepted. */
    for (int i = 0; i < 100 && (rig.io.open_count < COUNT || rig.io.peernames_free_count < RC_IO_PEERNAMES_MAX); i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, COUNT);
    static bool seen[65536];
    for (int i = 0; i < COUNT; i++) {
        const struct rc_socket *socket = &rig.truth.sockets[i];
        cr_assert(socket->port != 0 && !seen[socket->port], "port %u belongs to two connections", socket->port);
        cr_assert(rig.truth.peers[i].bytes[11] == 0xff && rig.truth.peers[i].bytes[12] == 127);
        seen[socket->port] = true;
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert(seen[port_of(fds[i])]);
        close(fds[i]);
    }
    hub_rig_close(&rig);
    close(listener);
}

/* More connections are accepted in one go than there were places for the kernel to write addresses to. */
Test(io, burst_of_connections_keeps_addresses_apart)
{
    check_burst();
}

Test(io, burst_of_connections_keeps_addresses_apart_before_linux_6_10)
{
    with_standing_accepts();
    check_burst();
}

Test(io, burst_of_connections_keeps_addresses_apart_before_linux_6_7)
{
    without_peername_command();
    check_burst();
}

static void check_full_table(void)
{
    enum { COUNT = 8 };
    int fds[COUNT * 2];
    struct sockaddr_in address;
    struct hub_rig rig;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT, .listen_fd = listener});
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < COUNT + 3; i++) {
            fds[i] = connect_to(&address);
        }
        for (int i = 0; i < 20; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, COUNT);
        cr_assert_eq(rig.io.accepts_armed, 0, "a full table ends the accept");
        for (int i = 0; i < COUNT + 3; i++) {
            close(fds[i]);
        }
        for (int i = 0; i < 100 && rig.io.open_count > 0; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, 0);
        cr_assert_eq(rig.io.accepts_armed, 1);
    }
    hub_rig_close(&rig);
    close(listener);
}

Test(io, full_descriptor_table_recovers_before_linux_6_10)
{
    with_standing_accepts();
    check_full_table();
}

Test(io, full_descriptor_table_recovers_before_linux_6_7)
{
    without_peername_command();
    check_full_table();
}

/* Who finds the table full waits in the listener's queue, where the worker takes nobody whom it has no slot for. */
Test(io, connections_beyond_the_table_wait)
{
    enum { SLOTS = 8, COUNT = 3 * SLOTS };
    int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = SLOTS, .listen_fd = listener});
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    for (int i = 0; i < COUNT; i++) { /* the oldest goes, one more comes */
        const uint64_t wanted = (uint64_t)(i + SLOTS < COUNT ? i + SLOTS : COUNT);
        for (int n = 0; n < 100 && rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED) < wanted; n++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED), wanted);
        cr_assert_leq(rig.io.open_count, SLOTS);
        close(fds[i]);
    }
    for (int n = 0; n < 100 && rig.io.open_count > 0; n++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, 0);
    cr_assert_eq(rig.io.arrivals_count, 0);
    cr_assert_eq(rig.io.slots_free_count, SLOTS);
    cr_assert_gt(rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_WAITS), 0, "that they wait is counted");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_ERRORS), 0, "and is no error");
    hub_rig_close(&rig);
    close(listener);
}

/* Operators come to a listener of their own, which is served at once whoever else comes. */
Test(io, operators_are_not_paced)
{
    enum { COUNT = 150 };
    int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT, .listen_fd = listener});
    rc_io_pace_accepts(&rig.io, true);
    rig.io.accepts_admin = 1;
    rig.io.pace_taken = UINT32_MAX; /* by others */
    rig.io.pace_from_ns = UINT64_MAX / 2;
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    for (int n = 0; n < 1000 && rig.io.open_count < COUNT; n++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, COUNT);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_PACED), 0);
    for (int i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    hub_rig_close(&rig);
    close(listener);
}

/* While others are served newcomers are taken a few at a time, and nobody is forgotten. */
Test(io, newcomers_are_paced)
{
    enum { COUNT = 320, MOST = 64 };
    int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT, .listen_fd = listener});
    if (rig.io.slots_free == NULL) {
        cr_skip("accepts stand on this kernel, and are not paced\n");
    }
    rc_io_pace_accepts(&rig.io, true);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    uint64_t windows = 0, from_ns = 0;
    uint64_t before = 0; /* accepted in earlier windows */
    for (int n = 0; n < 100000 && rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED) < COUNT; n++) {
        hub_rig_run(&rig);
        const uint64_t accepted = rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED);
        if (rig.io.pace_from_ns != from_ns) {
            cr_assert(from_ns == 0 || rig.io.pace_from_ns - from_ns >= 10000000u, "a window is 10 ms at the least");
            from_ns = rig.io.pace_from_ns;
            before = accepted - rig.io.pace_taken;
            windows++;
        }
        cr_assert_leq(rig.io.pace_taken, MOST);
        cr_assert_leq(accepted - before, rig.io.pace_taken);
        cr_assert(accepted == COUNT || rc_io_sleep_ms(&rig.io, 1000) <= 10, "nobody waits for longer");
    }
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED), COUNT);
    cr_assert_geq(windows, COUNT / MOST);
    const uint64_t paced = rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_PACED);
    cr_assert_geq(paced, windows - 1);
    for (int i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    for (int n = 0; n < 1000 && rig.io.open_count > 0; n++) {
        hub_rig_run(&rig);
    }
    /* It has gone on for so long that it is what is to be served. */
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    rig.io.pace_wanted_ns = rig.io.now_ns;
    rig.io.pace_burst_ns = rig.io.now_ns - UINT64_C(5000000001);
    for (int n = 0; n < 1000 && rig.io.open_count < COUNT; n++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, COUNT);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_PACED), paced);
    for (int i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    hub_rig_close(&rig);
    close(listener);
}

/* Who comes while the table is full, or accepting is paused, waits in the listener's queue and is not lost. */
Test(io, connections_wait_for_room_before_linux_6_7)
{
    enum { SLOTS = 4, COUNT = 10 };
    int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    without_peername_command();
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = SLOTS, .listen_fd = listener});
    rc_io_pause_accept(&rig.io, true);
    for (int i = 0; i < 20 && rig.io.accepts_armed != 0; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.accepts_armed, 0);
    cr_assert_eq(rig.io.accepts_count, 0);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    for (int i = 0; i < 20; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, 0);
    rc_io_pause_accept(&rig.io, false);
    /* They take the places of those that end, first come, first served. */
    for (uint32_t served = 0; served < COUNT; served += SLOTS) {
        const uint32_t left = COUNT - served < SLOTS ? COUNT - served : SLOTS;
        for (int i = 0; i < 100 && (rc_metric_get(rig.metrics, RC_METRIC_CLOSED) < served ||
                                    rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED) < served + left);
             i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, left);
        cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPTED), served + left);
        for (uint32_t i = 0; i < left; i++) {
            bool found = false;
            for (uint32_t k = 0; k < SLOTS; k++) {
                found |= rig.truth.sockets[k].state != RC_SOCKET_FREE &&
                         rig.truth.sockets[k].port == port_of(fds[served + i]);
            }
            cr_assert(found, "connection %u is served", served + i);
        }
        for (uint32_t i = 0; i < left; i++) {
            close(fds[served + i]);
        }
    }
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_ERRORS), 0);
    hub_rig_close(&rig);
    close(listener);
}

static void pause_it(void *context, uint32_t client, const uint8_t *bytes, uint32_t count)
{
    struct hub_rig *rig = context;
    (void)bytes;
    rig->flushed += count;
    rc_io_pause(&rig->io, hub_rig_socket_of(rig, client));
}

/* Pausing and resuming at any moment loses no byte, and a paused connection is not read. */
Test(io, pause_and_resume_lose_nothing)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2, .receive_buffers = 2});
    for (int mode = RC_IO_HANDSHAKE; mode <= RC_IO_TALKING; mode++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        const uint32_t socket = hub_rig_socket_of(&rig, slot);
        rig.truth.sockets[socket].mode = (uint8_t)mode & 0x7fu;
        rig.received = pause_it;
        rig.context = &rig;
        rig.flushed = 0;
        uint32_t written = 0;
        for (int i = 0; i < 400; i++) {
            static const uint8_t bytes[3000];
            const uint32_t count = 1 + (uint32_t)(i * 37) % sizeof(bytes);
            cr_assert_eq(write(rig.peers[slot].fd, bytes, count), count);
            written += count;
            hub_rig_run(&rig);
            if (i % 3 == 0) {
                rc_io_resume(&rig.io, socket);
            }
            if (i % 7 == 0) {
                rc_io_pause(&rig.io, socket);
                rc_io_resume(&rig.io, socket);
            }
            for (int n = 0; rig.flushed < written && i % 20 == 19; n++) {
                cr_assert(n < 1000, "mode %d: %u of %u bytes came", mode, rig.flushed, written);
                rc_io_resume(&rig.io, socket);
                hub_rig_run(&rig);
            }
        }
        cr_assert_eq(rig.flushed, written);
        rig.received = NULL;
        hub_rig_hang_up(&rig, slot);
        for (int i = 0; i < 5; i++) {
            rc_io_resume(&rig.io, socket);
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, 0);
    }
    hub_rig_close(&rig);
}

/* Terminating with every combination of requests in flight ends in a free socket, and no completion is taken for another use. */
Test(io, terminate_with_everything_in_flight)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 3, .receive_buffers = 4});
    for (uint32_t how = 0; how < 64; how++) {
        const uint32_t slot = hub_rig_connect(&rig, (how & 1) ? HUB_RIG_TCP : HUB_RIG_UNIX, RC_CODEC_JSON, true, 4608);
        const uint32_t socket = hub_rig_socket_of(&rig, slot);
        if (how & 2) {
            rig.truth.sockets[socket].mode = RC_IO_TALKING;
            cr_assert_eq(write(rig.peers[slot].fd, "x", 1), 1);
        }
        if (how & 4) {
            hub_rig_run(&rig);
        }
        if (how & 8) {
            static uint8_t bytes[200000];
            cr_assert_eq(rc_hub_reply_frame(&rig.hub, slot, 2, bytes, sizeof(bytes)), 0);
            rc_hub_turn(&rig.hub);
        }
        if (how & 16) {
            rc_io_pause(&rig.io, socket);
        }
        if (how & 32) {
            hub_rig_hang_up(&rig, slot);
        }
        if (rig.truth.sockets[socket].state == RC_SOCKET_CARRYING) {
            rc_io_terminate(&rig.io, socket);
        }
        for (int i = 0; i < 20 && rig.io.open_count > 0; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, 0, "how %u: in flight %x", how, rig.truth.sockets[socket].inflight);
        hub_rig_hang_up(&rig, slot);
        hub_rig_check(&rig);
    }
    hub_rig_close(&rig);
}

/* Paused, connections wait in the queue, whose length can be asked; afterwards all of them come. */
Test(io, pausing_accepts_leaves_newcomers_in_the_queue)
{
    enum { COUNT = 20 };
    int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    uint32_t queued, backlog;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT + 8, .listen_fd = listener});
    hub_rig_run(&rig);
    for (int round = 0; round < 3; round++) {
        rc_io_pause_accept(&rig.io, true);
        rc_io_pause_accept(&rig.io, true);
        for (int i = 0; i < 3; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.accepts_armed, 0);
        for (int i = 0; i < COUNT; i++) {
            fds[i] = connect_to(&address);
        }
        for (int i = 0; i < 10; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, 0);
        rc_io_accept_queue(&rig.io, &queued, &backlog);
        cr_assert_eq(queued, COUNT);
        cr_assert(backlog >= 128, "backlog %u", backlog);
        rc_io_pause_accept(&rig.io, false);
        if (round == 1) {
            /* To and fro before anything is submitted: what counts is how it ends. */
            rc_io_pause_accept(&rig.io, true);
            rc_io_pause_accept(&rig.io, false);
        }
        for (int i = 0; i < 100 && rig.io.open_count < COUNT; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, COUNT);
        hub_rig_run(&rig);
        rc_io_accept_queue(&rig.io, &queued, &backlog);
        cr_assert_eq(queued, 0);
        for (int i = 0; i < COUNT; i++) {
            close(fds[i]);
        }
        for (int i = 0; i < 100 && rig.io.open_count > 0; i++) {
            hub_rig_run(&rig);
        }
        cr_assert_eq(rig.io.open_count, 0);
        cr_assert_eq(rig.io.accepts_armed, 1);
    }
    hub_rig_close(&rig);
    close(listener);
}

/* The kernel empties the queue into the ring before anybody can look at it: who came meanwhile is counted all the same, once. */
Test(io, who_came_while_the_worker_was_elsewhere_was_in_the_queue)
{
    enum { COUNT = 2 * RC_IO_COLLECT_MAX };
    static int fds[COUNT];
    struct sockaddr_in address;
    struct hub_rig rig;
    uint32_t queued, backlog;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT + 8, .listen_fd = listener});
    hub_rig_run(&rig);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = connect_to(&address);
    }
    rc_io_run(&rig.io, 0); /* one pass */
    cr_assert(rig.io.open_count > 0 && rig.io.open_count < COUNT);
    rc_io_accept_queue(&rig.io, &queued, &backlog);
    cr_assert_eq(queued, COUNT, "%u: those of this pass, in the ring, and in the kernel's queue", queued);
    for (int i = 0; i < 100 && rig.io.open_count < COUNT; i++) {
        hub_rig_run(&rig);
    }
    hub_rig_run(&rig);
    rc_io_accept_queue(&rig.io, &queued, &backlog);
    cr_assert_eq(queued, 0);
    for (int i = 0; i < COUNT; i++) {
        close(fds[i]);
    }
    hub_rig_close(&rig);
    close(listener);
}

/* An accept that fails at once each time must not keep the loop busy; one connection's own failure holds nobody up. */
Test(io, accepts_that_fail_are_tried_again_later)
{
    static const int persistent[] = {-EMFILE, -ENFILE, -ENOMEM, -ENOBUFS, -EPERM};
    static const int passing[] = {-ECONNABORTED, -EPROTO, -ENETDOWN, -EHOSTUNREACH, -ECANCELED};
    struct sockaddr_in address;
    struct hub_rig rig;
    const int listener = listen_on(&address);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8, .listen_fd = listener});
    rig.io.accept_again_ds = 0; /* other reasons to look at them are not meant here */
    hub_rig_run(&rig);
    struct rc_io *io = &rig.io;
    for (size_t i = 0; i < RC_ARRAY_COUNT(passing); i++) {
        const struct io_uring_cqe cqe = {.res = passing[i]};
        rc_io_pause_accept(io, true);
        for (int n = 0; n < 3; n++) {
            hub_rig_run(&rig);
        }
        io->accepts_paused = false;
        io->accepts_armed = 1;
        rc_io_on_accept(io, 0, 0, &cqe);
        cr_expect_eq(io->accepts_armed, 1, "%s", strerror(-passing[i]));
        cr_expect_eq(io->accept_retry_ds, 0);
    }
    rc_io_pause_accept(io, true);
    for (int n = 0; n < 3; n++) {
        hub_rig_run(&rig);
    }
    io->accepts_paused = false;
    const uint64_t errors = rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_ERRORS);
    uint32_t waited = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(persistent); i++) {
        const struct io_uring_cqe cqe = {.res = persistent[i]};
        io->accepts_armed = 1;
        rc_io_on_accept(io, 0, 0, &cqe);
        cr_expect_eq(io->accepts_armed, 0, "%s", strerror(-persistent[i]));
        const uint32_t wait = io->accept_retry_ds - io->now_ds;
        cr_expect(wait > waited || wait == 10, "waits longer and longer, up to a second: %u, %u", waited, wait);
        cr_expect_eq(rc_io_sleep_ms(io, 5000), wait * RC_WHEEL_TICK_MS);
        waited = wait;
        io->now_ds = io->accept_retry_ds - 1;
        rc_io_timers(io);
        cr_expect_eq(io->accepts_armed, 0);
    }
    cr_expect_eq(waited, 10);
    cr_expect_eq(rc_metric_get(rig.metrics, RC_METRIC_ACCEPT_ERRORS) - errors, RC_ARRAY_COUNT(persistent));
    io->now_ds++;
    rc_io_timers(io);
    cr_expect_eq(io->accepts_armed, 1);
    cr_expect_eq(io->accept_retry_ds, 0);
    /* And it does accept again, from which on a failure waits as short as the first. */
    const int fd = connect_to(&address);
    for (int i = 0; i < 100 && io->open_count < 1; i++) {
        hub_rig_run(&rig);
    }
    cr_expect_eq(io->open_count, 1);
    cr_expect_eq(io->accept_backoff_ds, 0);
    close(fd);
    for (int i = 0; i < 100 && io->open_count > 0; i++) {
        hub_rig_run(&rig);
    }
    hub_rig_close(&rig);
    close(listener);
}

static void take_a_millisecond(void *context, uint32_t slot, const uint8_t *bytes, uint32_t count)
{
    struct hub_rig *rig = context;
    (void)slot;
    (void)bytes;
    rig->flushed += count;
    for (const uint64_t until_ns = rc_clock_ns() + 1000000; rc_clock_ns() < until_ns;) {}
}

/* What takes long (TLS handshakes) is done a few at a time, and the rest of the loop has its turn in between. */
Test(io, a_pass_does_not_take_longer_for_all_that_is_there)
{
    enum { COUNT = 64 };
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = COUNT, .receive_buffers = 2 * COUNT});
    rig.received = take_a_millisecond;
    rig.context = &rig;
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        const uint32_t socket = hub_rig_socket_of(&rig, slot);
        rig.truth.sockets[socket].mode = RC_IO_HANDSHAKE;
        cr_assert_eq(write(rig.peers[slot].fd, "x", 1), 1);
        rc_io_read(&rig.io, socket);
    }
    uint32_t passes = 0;
    for (uint32_t before = 0; rig.flushed < COUNT; passes++) {
        cr_assert(passes < 1000);
        before = rig.flushed;
        rc_io_run(&rig.io, 0);
        cr_assert(rig.flushed - before <= 16, "%u of %d in one pass", rig.flushed - before, COUNT);
    }
    cr_expect(passes >= 4, "%u passes", passes);
    rig.received = NULL;
    hub_rig_close(&rig);
}

/* A send's result that stands behind many other completions is looked at once: not again for whom the next batch serves. */
Test(io, a_failed_send_is_settled_once)
{
    enum { SLOW = 48 };
    static const uint8_t hello[] = {0x68, 0x65, 0x6c, 0x6c, 0x6f};
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = SLOW + 2, .receive_buffers = 2 * SLOW});
    const uint32_t gone = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    const uint32_t good = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    rig.received = take_a_millisecond;
    rig.context = &rig;
    for (uint32_t i = 0; i < SLOW; i++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        const uint32_t socket = hub_rig_socket_of(&rig, slot);
        rig.truth.sockets[socket].mode = RC_IO_HANDSHAKE;
        cr_assert_eq(write(rig.peers[slot].fd, "x", 1), 1);
        rc_io_read(&rig.io, socket);
    }
    rc_io_run(&rig.io, 0);
    cr_assert(rig.flushed > 0 && rig.flushed < SLOW);
    close(rig.peers[gone].fd);
    rig.peers[gone].fd = -1;
    cr_assert_eq(rc_hub_reply_frame(&rig.hub, gone, 1, hello, sizeof(hello)), 0);
    rc_hub_turn(&rig.hub);
    cr_assert_neq(rc_truth_client(&rig.truth, gone)->state, RC_CLIENT_OPEN, "its send has failed");
    cr_assert(rig.flushed < SLOW, "its completion still stands behind others");
    cr_assert_eq(rc_hub_reply_frame(&rig.hub, good, 1, hello, sizeof(hello)), 0);
    rc_hub_turn(&rig.hub);
    cr_assert_eq(rc_truth_client(&rig.truth, good)->state, RC_CLIENT_OPEN, "another's failure is not its own");
    for (int i = 0; i < 100; i++) {
        hub_rig_run(&rig);
    }
    cr_expect(rig.flushed >= SLOW); /* also counts the replies that have left */
    cr_expect_eq(rc_truth_client(&rig.truth, good)->state, RC_CLIENT_OPEN);
    rig.received = NULL;
    hub_rig_close(&rig);
}

/* The ring of a worker that was killed stands at its listener for a while yet, and the kernel wakes one of those who do. */
Test(io, connection_that_woke_a_dead_ring_is_accepted_all_the_same)
{
    struct sockaddr_in address;
    struct hub_rig rig;
    struct io_uring dead;
    struct rc_err err;
    const struct rc_uring_options options = {.sq_entries = 8, .cq_entries = 8, .direct_descriptors = 8};
    with_standing_accepts(); /* a poll is woken besides */
    const int listener = listen_on(&address);
    cr_assert_eq(rc_uring_open(&dead, &options, NULL, &err), 0, "%s", err.text);
    io_uring_prep_multishot_accept_direct(io_uring_get_sqe(&dead), listener, NULL, NULL, 0);
    cr_assert_eq(io_uring_submit(&dead), 1);
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8, .listen_fd = listener});
    const int first = connect_to(&address);
    hub_rig_run(&rig);
    hub_rig_run(&rig);
    cr_assert_eq(rig.io.open_count, 0, "nobody runs the ring that was woken");
    const uint64_t until_ms = rc_clock_ms() + 2000;
    while (rig.io.open_count == 0 && rc_clock_ms() < until_ms) {
        rc_io_run(&rig.io, rc_io_sleep_ms(&rig.io, 100));
        rc_io_timers(&rig.io);
    }
    cr_assert_eq(rig.io.open_count, 1);
    while (rig.io.accept_again_ds != 0) {
        rc_io_run(&rig.io, rc_io_sleep_ms(&rig.io, 1000));
        rc_io_timers(&rig.io);
    }
    hub_rig_run(&rig);
    cr_assert_eq(rig.io.accepts_armed, 1, "and it goes on accepting");
    close(first);
    io_uring_queue_exit(&dead);
    hub_rig_close(&rig);
    close(listener);
}
