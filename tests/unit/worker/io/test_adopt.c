/* worker/io/adopt: another ring goes on with every connection where the former one stood. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/hub_rig_listen.h"
#include "worker/io/io_internal.h"

enum { CLIENTS = 60 };

static struct hub_rig rig;
static struct sockaddr_in address;
static int listener;
static size_t received[2 * CLIENTS];

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

TestSuite(adopt, .init = open_rig, .fini = close_rig);

Test(adopt, nothing_is_lost_in_either_direction_however_often)
{
    uint32_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = hub_rig_connect(&rig, i % 2 == 0 ? HUB_RIG_TCP : HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
        (void)hub_rig_subscribe(&rig, clients[i], "news");
        if (i % 3 == 0) {
            rig.truth.sockets[hub_rig_socket_of(&rig, clients[i])].mode = RC_IO_TALKING;
        }
    }
    hub_rig_run(&rig);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            received[clients[i]] = 0;
            hub_rig_say(&rig, clients[i], "before ");
        }
        cr_assert_eq(hub_rig_hand_over(&rig), CLIENTS);
        cr_assert_eq(rig.io.open_count, CLIENTS);
        cr_assert_eq(rig.io.kept.count, CLIENTS);
        for (int i = 0; i < CLIENTS; i++) {
            hub_rig_say(&rig, clients[i], "behind");
        }
        cr_assert_eq(hub_rig_publish(&rig, "news", RC_SPAN("\"to all\""), NULL, 0), 0);
        hub_rig_drain(&rig);
        for (int i = 0; i < CLIENTS; i++) {
            uint8_t opcode;
            struct rc_span payload;
            cr_assert_eq(received[clients[i]], strlen("before behind"), "round %d, client %d", round, i);
            cr_assert(hub_rig_frame(&rig, clients[i], &opcode, &payload), "round %d, client %d", round, i);
            cr_assert_not(hub_rig_frame(&rig, clients[i], &opcode, &payload), "once");
        }
        hub_rig_check(&rig);
    }
}

Test(adopt, completions_that_a_predecessor_has_not_looked_at_mean_nothing)
{
    uint32_t clients[4];
    for (int i = 0; i < 4; i++) {
        clients[i] = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
        received[clients[i]] = 0;
    }
    hub_rig_run(&rig);
    /* As one leaves them that was killed while it swept the vault, or while it adopted: for slots beyond, and as if for its own. */
    for (uint64_t i = 0; i < 40; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&rig.io.kept.vault);
        cr_assert_not_null(sqe);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, i % 2 == 0 ? i : UINT32_MAX - i);
    }
    cr_assert_eq(io_uring_submit(&rig.io.kept.vault), 40);
    cr_assert_eq(hub_rig_hand_over(&rig), 4);
    cr_assert_eq(rig.io.kept.count, 4);
    for (int i = 0; i < 4; i++) {
        hub_rig_say(&rig, clients[i], "here");
    }
    hub_rig_run(&rig);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(received[clients[i]], 4);
    }
}

Test(adopt, what_was_cut_goes_on_where_it_was_cut)
{
    static uint8_t large[300000];
    memset(large, 'x', sizeof(large));
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 4096);
    (void)hub_rig_subscribe(&rig, client, "news");
    cr_assert_eq(hub_rig_publish(&rig, "news", (struct rc_span){.bytes = large, .count = sizeof(large)}, NULL, 0), 0);
    hub_rig_run(&rig);
    cr_assert(hub_rig_its_socket(&rig, client)->flags & RC_SOCKET_BLOCKED);
    for (int round = 0; round < 8; round++) {
        cr_assert_eq(hub_rig_hand_over(&rig), 1);
        (void)hub_rig_read(&rig, client, 20000);
        hub_rig_run(&rig);
    }
    hub_rig_drain(&rig);
    uint8_t opcode;
    struct rc_span payload;
    cr_assert(hub_rig_frame(&rig, client, &opcode, &payload));
    cr_assert(payload.count >= sizeof(large) &&
              memcmp(payload.bytes + payload.count - sizeof(large), large, sizeof(large)) == 0);
}

Test(adopt, ends_are_heard_and_newcomers_come)
{
    const uint32_t stays = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
    const uint32_t goes = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
    hub_rig_run(&rig);
    cr_assert_eq(hub_rig_hand_over(&rig), 2);
    hub_rig_hang_up(&rig, goes);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (int i = 0; i < 100 && rig.io.accepts_armed == 0; i++) {
        hub_rig_run(&rig);
    }
    for (int i = 0; i < 20; i++) {
        hub_rig_run(&rig);
    }
    cr_assert_eq(rig.io.open_count, 2, "one has gone, one has come");
    cr_assert_eq(rig.truth.sockets[hub_rig_socket_of(&rig, stays)].state, RC_SOCKET_CARRYING);
    close(fd);
}

Test(adopt, what_is_not_in_the_vault_ends_here_and_the_rest_goes_on)
{
    const uint32_t kept = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
    rig.io.kept.from = RC_KEEP_NONE;
    const uint32_t other = hub_rig_connect(&rig, HUB_RIG_TCP, RC_CODEC_RAW, false, 0);
    hub_rig_run(&rig);
    cr_assert_eq(hub_rig_hand_over(&rig), 1);
    cr_assert_eq(rig.io.open_count, 1);
    cr_assert_eq(rig.truth.sockets[hub_rig_socket_of(&rig, kept)].state, RC_SOCKET_CARRYING);
    hub_rig_run(&rig);
    (void)hub_rig_read(&rig, other, 0);
    cr_assert_neq(rig.truth.clients.used, 2, "its client ended with it");
}

/* A worker that was to stand still and does not has accepts of its own under way: their completions come, and nobody is forgotten. */
Test(adopt, accepts_of_ones_own_are_under_way_when_it_goes_on)
{
    struct rc_truth_arrivals *arrivals = &rig.truth.layout->arrivals;
    if (rig.io.slots_free == NULL) {
        return; /* an older kernel: accepts stand */
    }
    const uint32_t slot = rc_io_slot_take(&rig.io);
    arrivals->listener[0] = 0;
    arrivals->socket[0] = slot + 1;
    rig.io.arrivals_count = 1;
    rc_io_arrivals_adopt(&rig.io);
    cr_expect_eq(arrivals->socket[0], slot + 1, "its own");
    rig.io.arrivals_count = 0;
    const uint32_t before = rig.io.slots_free_count;
    rc_io_arrivals_adopt(&rig.io);
    cr_expect_eq(arrivals->socket[0], 0, "a predecessor's, and nobody has come");
    cr_expect_eq(rig.io.slots_free_count, before + 1);
}
