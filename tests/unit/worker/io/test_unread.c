/* worker/io/unread: what became of a batch that was not settled, and what was received and not handled, as the next process reads it. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/hub_rig.h"
#include "worker/io/io_internal.h"
#include "worker/io/unread.h"

#define LARGE 200000u

static struct hub_rig rig;

struct told {
    uint32_t socket, sent;
};
static struct told told[8];
static uint32_t told_count;

static void tell(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent)
{
    (void)context;
    cr_assert_eq(pieces->kind, RC_PIECE_ANSWER);
    told[told_count++] = (struct told){.socket = packet->socket, .sent = sent};
}

static void read_sends(void)
{
    told_count = 0;
    rc_io_unread_sends(rig.io.memory, tell, NULL);
}

/* A packet with an answer of so many bytes, as a turn makes it. */
static struct rc_packet *begin(uint32_t socket, uint32_t count)
{
    static uint8_t bytes[LARGE];
    cr_assert_eq(rc_hub_answer(&rig.hub, socket, bytes, count), 0);
    struct rc_output *output = rc_truth_output(&rig.truth, rig.truth.sockets[socket].output);
    struct rc_packet *packet = rc_io_packet_begin(&rig.io, socket);
    rc_io_packet_add(&rig.io, packet, RC_PIECE_ANSWER, rc_heap_at(&rig.truth.heap, output->replies), count, 0, 0);
    output->replies_sent = count;
    return packet;
}

Test(io_unread, what_left_of_a_batch)
{
    int ends[4];
    uint32_t sockets[4];
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    for (int i = 0; i < 4; i++) {
        sockets[i] = hub_rig_socket(&rig, HUB_RIG_UNIX, i == 1 ? 4096 : 0, &ends[i]);
    }
    hub_rig_run(&rig);
    rc_io_packet_commit(&rig.io, begin(sockets[0], 100));
    rc_io_packet_commit(&rig.io, begin(sockets[1], LARGE));
    cr_assert_eq(io_uring_submit_and_get_events(&rig.io.ring), 2);
    rc_io_packet_commit(&rig.io, begin(sockets[2], 100));
    struct rc_packet *open = begin(sockets[3], 100);
    read_sends();
    cr_assert_eq(told_count, 3, "the first has left wholly");
    cr_assert(told[0].socket == sockets[1] && told[0].sent < LARGE);
    cr_assert(told[1].socket == sockets[2] && told[1].sent == 0, "it is in the queue");
    cr_assert(told[2].socket == sockets[3] && told[2].sent == 0, "it is not even there");
    rc_io_packet_commit(&rig.io, open);
    read_sends();
    cr_assert_eq(told_count, 3);
    rc_io_flush(&rig.io);
    read_sends();
    cr_assert_eq(told_count, 0, "what was settled is nobody's");
    for (int i = 0; i < 4; i++) {
        (void)close(ends[i]);
    }
    hub_rig_close(&rig);
}

/* A packet that nothing came into is none, whatever batch ends before it. */
Test(io_unread, an_empty_packet_of_an_earlier_batch_says_nothing)
{
    int ends[2];
    uint32_t sockets[2];
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    for (int i = 0; i < 2; i++) {
        sockets[i] = hub_rig_socket(&rig, HUB_RIG_UNIX, 0, &ends[i]);
    }
    hub_rig_run(&rig);
    rc_io_packet_commit(&rig.io, begin(sockets[0], 100));
    rc_io_packet_commit(&rig.io, rc_io_packet_begin(&rig.io, sockets[1]));
    rc_io_flush(&rig.io);
    rc_io_packet_commit(&rig.io, begin(sockets[1], 100));
    cr_assert_eq(io_uring_submit_and_get_events(&rig.io.ring), 1);
    rc_io_unread_counts(rig.io.memory, &rig.truth);
    cr_assert_eq(rig.truth.sockets[sockets[0]].sent_bytes, 100);
    cr_assert_eq(rig.truth.sockets[sockets[1]].sent_bytes, 100);
    rc_io_flush(&rig.io);
    for (int i = 0; i < 2; i++) {
        (void)close(ends[i]);
    }
    hub_rig_close(&rig);
}

Test(io_unread, what_was_received)
{
    int end;
    struct rc_io_unread unread;
    uint32_t at = 0;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_UNIX, 0, &end);
    rc_io_read(&rig.io, socket);
    hub_rig_run(&rig);
    cr_assert_not(rc_io_unread_next(rig.io.memory, &at, &unread));
    cr_assert_eq(write(end, "hello", 5), 5);
    cr_assert_geq(io_uring_submit_and_get_events(&rig.io.ring), 0);
    at = 0;
    cr_assert(rc_io_unread_next(rig.io.memory, &at, &unread));
    cr_assert(unread.socket == socket && unread.count == 5 && memcmp(unread.bytes, "hello", 5) == 0);
    cr_assert(rc_io_unread_is(&rig.truth, &unread));
    unread.generation++;
    cr_assert_not(rc_io_unread_is(&rig.truth, &unread));
    at++;
    cr_assert_not(rc_io_unread_next(rig.io.memory, &at, &unread));
    cr_assert_not(rc_io_unread_overflowed(rig.io.memory));
    /* Taken out of the queue, it is being handled; while it stands there it was not begun with. */
    struct rc_io_memory *memory = rig.io.memory;
    memory->current.user_data = rc_io_socket_data(&rig.io, RC_OP_RECEIVE, socket);
    memory->current_head = *rig.io.ring.cq.khead;
    memory->current_valid = 1;
    cr_assert_eq(rc_io_unread_working(memory), RC_SOCKET_NONE);
    memory->current_head--;
    cr_assert_eq(rc_io_unread_working(memory), socket);
    static const int nothing[] = {-ECANCELED, -ENOBUFS, -EINTR, -EAGAIN}; /* reading was ended, or has to begin anew */
    for (size_t i = 0; i < RC_ARRAY_COUNT(nothing); i++) {
        memory->current.res = nothing[i];
        cr_assert_eq(rc_io_unread_working(memory), RC_SOCKET_NONE);
    }
    memory->current.res = 5;
    /* The same of one that had been put aside: while it is the next of those it was not begun with. */
    memory->current_valid = 2;
    memory->current_head = memory->held_next;
    cr_assert_eq(rc_io_unread_working(memory), RC_SOCKET_NONE);
    memory->current_head--;
    cr_assert_eq(rc_io_unread_working(memory), socket);
    cr_assert_not(rc_io_unread_current(memory, &unread), "it has no buffer");
    memory->current.flags = IORING_CQE_F_BUFFER;
    cr_assert(rc_io_unread_current(memory, &unread) && unread.socket == socket && unread.count == 5);
    memory->read_current = 1;
    cr_assert_not(rc_io_unread_current(memory, &unread), "a successor has put it away");
    cr_assert_eq(rc_io_unread_working(memory), RC_SOCKET_NONE);
    memory->read_current = 0;
    /* Of who has just come the address is noted, and nothing else is done. */
    cr_assert_eq(rc_io_unread_peername(memory), RC_SOCKET_NONE);
    memory->current.user_data = rc_io_socket_data(&rig.io, RC_OP_PEERNAME, socket);
    cr_assert_eq(rc_io_unread_peername(memory), socket);
    cr_assert_eq(rc_io_unread_working(memory), RC_SOCKET_NONE);
    memory->current_valid = 0;
    cr_assert_eq(rc_io_unread_working(memory), RC_SOCKET_NONE);
    (void)close(end);
    hub_rig_close(&rig);
}
