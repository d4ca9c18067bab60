/* worker/io/park: who stands still takes nothing from sockets and listeners, and has all of it when it goes on. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/hub_rig_listen.h"
#include "worker/io/io_internal.h"

enum { CLIENTS = 40 };

static struct hub_rig rig;
static struct sockaddr_in address;
static int listener;
static size_t received[CLIENTS + 1];

static void count_received(void *context, uint32_t client, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    (void)bytes;
    received[client] += count;
}

static void open_rig(void)
{
    listener = hub_rig_listen_open(&rig, CLIENTS + 8, &address);
    rig.received = count_received;
}

static void close_rig(void)
{
    hub_rig_listen_close(&rig, listener);
}

TestSuite(park, .init = open_rig, .fini = close_rig);

static void stand_still(void)
{
    rc_io_park(&rig.io);
    for (int i = 0; !rc_io_parked(&rig.io); i++) {
        cr_assert_lt(i, 100);
        hub_rig_run(&rig);
    }
}

Test(park, what_arrives_stays_in_the_sockets_and_comes_when_it_goes_on)
{
    uint32_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = hub_rig_connect(&rig, i % 2 == 0 ? HUB_RIG_TCP : HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
        if (i % 4 < 2) { /* one standing receive, as of those who talk */
            rig.truth.sockets[hub_rig_socket_of(&rig, clients[i])].mode = RC_IO_TALKING;
        }
        hub_rig_say(&rig, clients[i], "first");
    }
    for (int i = 0; i < 10; i++) {
        hub_rig_run(&rig);
    }
    for (int round = 0; round < 3; round++) {
        size_t before[CLIENTS];
        stand_still();
        for (int i = 0; i < CLIENTS; i++) {
            before[i] = received[clients[i]];
            hub_rig_say(&rig, clients[i], "and more");
        }
        for (int i = 0; i < 10; i++) {
            hub_rig_run(&rig); /* nothing is armed: not even what enters the kernel takes anything */
        }
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert_eq(received[clients[i]], before[i], "round %d, client %d", round, i);
            cr_assert_eq(rig.truth.sockets[hub_rig_socket_of(&rig, clients[i])].inflight & RC_INFLIGHT_RECEIVE, 0);
        }
        rc_io_go_on(&rig.io);
        for (int i = 0; i < 20; i++) {
            hub_rig_run(&rig);
        }
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert_eq(received[clients[i]], before[i] + strlen("and more"), "round %d, client %d", round, i);
        }
    }
}

Test(park, newcomers_wait_in_the_queue)
{
    stand_still();
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    rig.io.now_ds += RC_IO_ACCEPT_AGAIN_MAX_DS;
    rc_io_timers(&rig.io);
    for (int i = 0; i < 10; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, 0);
    cr_assert(rc_io_parked(&rig.io));
    rc_io_go_on(&rig.io);
    for (int i = 0; i < 10 && rig.io.open_count == 0; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, 1);
    close(fd);
}

Test(park, who_waits_for_room_waits_for_it_again)
{
    static uint8_t large[262144];
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 4096);
    (void)hub_rig_subscribe(&rig, client, "news");
    cr_assert_eq(hub_rig_publish(&rig, "news", (struct rc_span){.bytes = large, .count = sizeof(large)}, NULL, 0), 0);
    hub_rig_run(&rig);
    cr_assert(hub_rig_its_socket(&rig, client)->flags & RC_SOCKET_BLOCKED);
    stand_still();
    /* Its poll says so while it stands still, and is not armed again. */
    (void)hub_rig_read(&rig, client, 0);
    for (int i = 0; i < 10; i++) {
        hub_rig_run(&rig);
    }
    rc_io_go_on(&rig.io);
    hub_rig_drain(&rig);
    cr_assert_geq(rig.peers[client].total, sizeof(large));
}

Test(park, those_who_end_meanwhile_end)
{
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
    const uint32_t socket = hub_rig_socket_of(&rig, client);
    hub_rig_run(&rig);
    rc_io_park(&rig.io);
    rc_io_terminate(&rig.io, socket);
    for (int i = 0; !rc_io_parked(&rig.io); i++) {
        cr_assert_lt(i, 100);
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.truth.sockets[socket].state, RC_SOCKET_FREE);
    rc_io_go_on(&rig.io);
}
