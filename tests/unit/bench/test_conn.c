/* The load generator's sends: whatever fills up first, arena or submission queue, each connection gets its own bytes. */
#include "bench/conn.h"

#include "common/base/check.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS 5
#define ENTRIES 8u

static struct rc_bench_options options = {.prefix = "c"};
static struct rc_bench_plan plan = {.options = &options};
static struct rc_bench_tally tally;
static struct rc_bench_conn conns[CONNS];
static uint8_t arena[4096];
static struct rc_bench_client client = {
    .plan = &plan, .tally = &tally, .conns = conns, .slots = CONNS, .subscribers = CONNS, .arena = arena};
static int peers[CONNS];

static void open_all(uint32_t arena_bytes)
{
    int fds[CONNS];
    client.protocol = rc_bench_protocol_find("tcp");
    client.arena_bytes = arena_bytes;
    cr_assert_eq(io_uring_queue_init(ENTRIES, &client.ring, 0), 0);
    for (int i = 0; i < CONNS; i++) {
        int pair[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        fds[i] = pair[0];
        peers[i] = pair[1];
        conns[i].state = RC_BENCH_CONN_READY;
    }
    cr_assert_eq(io_uring_register_files(&client.ring, fds, CONNS), 0);
    for (int i = 0; i < CONNS; i++) {
        close(fds[i]);
    }
}

static void close_all(void)
{
    io_uring_queue_exit(&client.ring);
    for (int i = 0; i < CONNS; i++) {
        close(peers[i]);
    }
}

static void take_entry(void)
{
    io_uring_prep_nop(rc_bench_conn_sqe(&client, RC_BENCH_OP_WAKE, 0, 0));
}

/* Messages to all in turn, `row` in a row to each; between them `nops` other requests. All that arrives is compared. */
static void check_sends(uint32_t arena_bytes, uint32_t row, uint32_t nops)
{
    static char sent[CONNS][65536], got[65536];
    size_t sent_bytes[CONNS] = {0};
    open_all(arena_bytes);
    for (uint32_t n = 0; n < 200; n++) {
        const uint32_t slot = n / row % CONNS;
        char text[32];
        const int bytes = snprintf(text, sizeof(text), "<%u to %u>", n, slot);
        rc_bench_client_send(&client, slot, rc_span_of(text, (size_t)bytes));
        memcpy(sent[slot] + sent_bytes[slot], text, (size_t)bytes);
        sent_bytes[slot] += (size_t)bytes;
        for (uint32_t i = 0; i < nops; i++) {
            take_entry();
        }
        io_uring_cq_advance(&client.ring, io_uring_cq_ready(&client.ring));
    }
    rc_bench_conn_submit(&client);
    for (int i = 0; i < CONNS; i++) {
        const ssize_t bytes = recv(peers[i], got, sizeof(got), MSG_DONTWAIT);
        cr_assert_eq((size_t)bytes, sent_bytes[i], "connection %d got %zd bytes", i, bytes);
        cr_assert_eq(memcmp(got, sent[i], sent_bytes[i]), 0,
                     "arena %u, %u in a row, %u between: connection %d got %.*s", arena_bytes, row, nops, i, (int)bytes,
                     got);
    }
    close_all();
}

/* Found by 5,000 echoes: the submit for want of an entry came between the bytes and the entry that sends them, and the next
 * bytes were written over them. */
Test(bench_conn, a_full_submission_queue_does_not_mix_messages_up)
{
    for (uint32_t row = 1; row <= 4; row++) {
        for (uint32_t nops = 0; nops <= ENTRIES; nops++) {
            check_sends(sizeof(arena), row, nops);
        }
    }
}

Test(bench_conn, a_full_arena_does_not_mix_messages_up)
{
    for (uint32_t bytes = 16; bytes < 120; bytes += 7) {
        check_sends(bytes, 1, 0);
        check_sends(bytes, 3, 1);
    }
}
