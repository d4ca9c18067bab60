/* worker/adopt/crash: which clients of a worker that died are gone on with, by what it was doing. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "tests/support/hub_rig.h"
#include "worker/adopt/crash.h"
#include "worker/adopt/rebuild.h"
#include "worker/io/io_internal.h"
#include "worker/store/receiving.h"

static struct hub_rig first;
static struct hub_rig second;
static const struct hub_rig_options options = {.slots = 8};
static struct rc_crash crash;
static uint32_t clients[3];
static uint32_t socket_index;

static void open_first(void)
{
    hub_rig_open(&first, &options);
    for (int i = 0; i < 3; i++) {
        clients[i] = hub_rig_connect(&first, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    }
    hub_rig_run(&first);
    socket_index = hub_rig_socket_of(&first, clients[1]);
}

/* It was handling what the second client had sent: "0123456789", the message that ends behind six bytes. */
static void handling(void)
{
    rc_receiving_begin(&first.truth, socket_index, (const uint8_t *)"0123456789", 10, 0);
    rc_receiving_message(&first.truth, 3);
    rc_receiving_step(&first.truth, 1, 1000);
    rc_receiving_done(&first.truth, 1);
    rc_receiving_handled(&first.truth);
    rc_receiving_message(&first.truth, 6);
    first.io.memory->current.user_data = rc_io_socket_data(&first.io, RC_OP_RECEIVE, socket_index);
    first.io.memory->current_head = *first.io.ring.cq.khead - 1;
    first.io.memory->current_valid = 1;
}

static void begin(uint64_t up_tail, bool by_itself)
{
    struct rc_err err = {0};
    hub_rig_succeed(&second, &first, &options);
    cr_assert_eq(rc_crash_begin(&crash, &second.truth, second.metrics, first.io_fd, up_tail, by_itself, &err), 0, "%s",
                 err.text);
}

/* The rig of the successor goes on, and both end. */
static void end_second(void)
{
    struct rc_err err = {0};
    const struct rc_adopt adopt = {.truth = &second.truth, .hub = &second.hub};
    rc_crash_close(&crash);
    cr_assert_eq(rc_adopt_rebuild(&adopt, &err), 0, "%s", err.text);
    for (uint32_t i = 0; i < second.slots; i++) {
        const struct rc_socket *socket = &second.truth.sockets[i];
        if (socket->state != RC_SOCKET_FREE) {
            second.peers[socket->client].fd = hub_rig_take_socket(&second, i, 0);
        }
    }
    hub_rig_close(&second);
}

static void end(void)
{
    end_second();
    rc_receiving_end(&first.truth);
    first.io.memory->current_valid = first.io.memory->overflowing = 0;
    hub_rig_close(&first);
}

static bool ends(int i)
{
    return (rc_truth_client(&second.truth, clients[i])->flags & RC_CLIENT_BROKEN) != 0;
}

static const struct rc_truth_receiving *known(void)
{
    return &second.truth.layout->receiving;
}

Test(crash, a_step_whose_record_is_in_the_ring_was_carried_out)
{
    open_first();
    handling();
    begin(1064, false);
    cr_assert(crash.again == socket_index + 1 && crash.again_from == 3);
    cr_assert_eq(known()->done, 0, "of the message before it");
    cr_assert_not(ends(0) || ends(1) || ends(2));
    end_second();
    rc_receiving_step(&first.truth, 1, 1064);
    begin(1064, false);
    cr_assert_eq(known()->done, 0);
    end_second();
    begin(1128, false);
    cr_assert(crash.again == socket_index + 1 && crash.again_from == 3);
    cr_assert_eq(known()->done, 1);
    end_second();
    rc_receiving_done(&first.truth, 1);
    rc_receiving_repeats(&first.truth, 2); /* the next one, whose records are another's business */
    begin(1192, false);
    cr_assert_eq(known()->done, 1);
    cr_assert_not(ends(1));
    cr_assert_eq(rc_metric_get(second.metrics, RC_METRIC_QUARANTINED), 0);
    end();
}

Test(crash, answers_are_taken_back_unless_their_step_is_done)
{
    open_first();
    handling();
    cr_assert(rc_receiving_takes_back(&first.truth));
    rc_receiving_step(&first.truth, 1, 1064);
    rc_receiving_done(&first.truth, 1);
    cr_assert_not(rc_receiving_takes_back(&first.truth));
    const uint32_t unit = first.truth.layout->hub.unit;
    rc_receiving_repeats(&first.truth, 0);
    cr_assert(rc_receiving_takes_back(&first.truth) && first.truth.layout->hub.unit == unit + 1);
    rc_receiving_handled(&first.truth);
    cr_assert_not(rc_receiving_takes_back(&first.truth));
    begin(1064, false);
    cr_assert_eq(crash.again_from, 6);
    end();
}

Test(crash, what_comes_behind_a_message_that_was_not_known_is)
{
    open_first();
    rc_receiving_begin(&first.truth, socket_index, (const uint8_t *)"0123456789", 10, 0);
    const uint32_t serial = first.truth.layout->receiving.serial;
    rc_receiving_message(&first.truth, 3);
    rc_receiving_operation(&first.truth, false);
    rc_receiving_handled(&first.truth);
    rc_receiving_known_again(&first.truth, socket_index, serial - 1, 3);
    cr_assert_not(rc_receiving_is_known(&first.truth, socket_index), "it was another one's");
    rc_receiving_known_again(&first.truth, socket_index, serial, 3);
    begin(1064, false);
    cr_assert(crash.again == socket_index + 1 && crash.again_from == 3);
    cr_assert_eq(known()->done, 0);
    cr_assert_not(ends(1));
    end_second();
    rc_receiving_message(&first.truth, 6);
    rc_receiving_handled(&first.truth);
    begin(1064, false);
    cr_assert(crash.again == socket_index + 1 && crash.again_from == 6);
    end();
}

/* The successor has put away what was known, and is killed before it says so: the next one reads the same ring memory. */
Test(crash, who_was_known_is_not_unknown_to_the_successor_after_next)
{
    static struct hub_rig third;
    struct rc_err err = {0};
    open_first();
    handling();
    begin(1064, false);
    cr_assert_eq(crash.again, socket_index + 1);
    struct rc_clients its = {.truth = &second.truth,
                             .hub = &second.hub,
                             .io = &second.io,
                             .config = second.config,
                             .metrics = second.metrics};
    const struct rc_adopt adopt = {.truth = &second.truth, .hub = &second.hub};
    cr_assert_eq(rc_adopt_rebuild(&adopt, &err), 0);
    rc_crash_settle(&crash, &its);
    rc_crash_close(&crash);
    const uint32_t input = second.truth.sockets[socket_index].input;
    cr_assert_neq(input, 0);
    cr_assert_eq(rc_truth_input(&second.truth, input)->parked_bytes, 7);
    hub_rig_succeed(&third, &second, &options);
    cr_assert_eq(rc_crash_begin(&crash, &third.truth, third.metrics, first.io_fd, 1064, false, &err), 0);
    cr_assert_not(rc_truth_client(&third.truth, clients[1])->flags & RC_CLIENT_BROKEN);
    rc_crash_close(&crash);
}

Test(crash, what_cannot_be_known_ends_its_client_alone)
{
    open_first();
    handling();
    rc_receiving_operation(&first.truth, false);
    begin(1064, false);
    cr_assert_eq(crash.again, 0);
    cr_assert(ends(1) && !ends(0) && !ends(2));
    cr_assert_eq(crash.repaired.clients, 1);
    end();
}

/* What the second client had sent was taken out of the queue, and counted. */
static void taking(void)
{
    first.io.memory->current = (struct io_uring_cqe){
        .user_data = rc_io_socket_data(&first.io, RC_OP_RECEIVE, socket_index), .res = 5, .flags = IORING_CQE_F_BUFFER};
    first.io.memory->current_head = *first.io.ring.cq.khead - 1;
    rc_taking_begin(&first.truth, socket_index);
    first.io.memory->current_valid = 1;
    first.truth.sockets[socket_index].received_bytes += 5;
}

Test(crash, what_was_received_and_nothing_was_made_of_is_as_if_it_stood_in_the_queue)
{
    open_first();
    struct rc_socket *socket = &first.truth.sockets[socket_index];
    const uint64_t received = socket->received_bytes;
    taking();
    begin(1064, false);
    cr_assert(crash.untaken && crash.again == 0);
    cr_assert_not(ends(0) || ends(1) || ends(2));
    cr_assert_eq(second.truth.sockets[socket_index].received_bytes, received);
    end();
}

Test(crash, of_what_something_was_made_it_is_not_known)
{
    open_first();
    taking();
    rc_taking_over(&first.truth);
    begin(1064, false);
    cr_assert_not(crash.untaken);
    cr_assert(ends(1) && !ends(0) && !ends(2));
    end();
}

Test(crash, packets_that_are_known_are_no_receive_that_was_not_taken)
{
    open_first();
    taking();
    rc_receiving_begin(&first.truth, socket_index, (const uint8_t *)"01234", 5, 0);
    cr_assert_eq(first.truth.layout->taking.socket, 0);
    begin(1064, false);
    cr_assert(crash.again == socket_index + 1 && !crash.untaken);
    cr_assert_not(ends(1));
    end();
}

Test(crash, a_receive_that_a_worker_crashed_of_is_not_tried_again)
{
    open_first();
    taking();
    begin(1064, true);
    cr_assert_not(crash.untaken);
    cr_assert(ends(1) && !ends(0) && !ends(2));
    end();
}

Test(crash, of_a_worker_that_crashed_it_is_not_tried_again)
{
    open_first();
    handling();
    begin(1064, true);
    cr_assert_eq(crash.again, 0);
    cr_assert(ends(1) && !ends(0) && !ends(2));
    cr_assert_eq(crash.poisoned, 1);
    cr_assert_eq(rc_metric_get(second.metrics, RC_METRIC_QUARANTINED), 1);
    end();
}

Test(crash, completions_that_overflowed_end_who_was_received_from)
{
    open_first();
    first.io.memory->overflowing = 1;
    const uint8_t inflight = first.truth.sockets[socket_index].inflight;
    first.truth.sockets[socket_index].inflight |= RC_INFLIGHT_RECEIVE;
    begin(0, false);
    first.truth.sockets[socket_index].inflight = inflight;
    cr_assert(ends(1) && !ends(0) && !ends(2));
    end();
}

/* A message of the inbox was being taken into the second client's slot, and that client is half here, while the worker did `user_data`. */
static void crashes_while_coming(uint64_t user_data, uint8_t flags)
{
    open_first();
    struct rc_truth_coming *coming = &first.truth.layout->coming;
    coming->head.flags = flags;
    if (!(flags & RC_HANDOVER_WORD)) { /* which brings nobody */
        coming->socket = socket_index + 1;
        coming->random = rc_truth_client(&first.truth, clients[1])->random;
    }
    coming->phase = RC_COMING_BEGUN;
    first.io.memory->current.user_data = user_data;
    first.io.memory->current_head = *first.io.ring.cq.khead - 1;
    first.io.memory->current_valid = 1;
    begin(0, true);
}

static void end_coming(void)
{
    first.truth.layout->coming = (struct rc_truth_coming){0};
    end();
}

static void comes_again(void)
{
    cr_assert_eq(second.truth.layout->coming.phase, RC_COMING_BEGUN);
    cr_assert_eq(rc_metric_get(second.metrics, RC_METRIC_HANDOVERS_LOST), 0);
    cr_assert_not(ends(1));
    end_coming();
}

static void is_thrown_away(bool with_client)
{
    cr_assert_eq(second.truth.layout->coming.phase, RC_COMING_DONE);
    cr_assert_eq(rc_metric_get(second.metrics, RC_METRIC_HANDOVERS_LOST), 1);
    cr_assert_eq(ends(1), with_client);
    cr_assert_not(ends(0) || ends(2));
    end_coming();
}

Test(crash, of_another_one_costs_nobody_who_is_just_coming)
{
    crashes_while_coming(rc_io_user_data(RC_OP_ACCEPT, 0, 0), 0);
    comes_again();
    crashes_while_coming(rc_io_user_data(RC_OP_PLACE, 0, 0), RC_HANDOVER_CLIENT); /* of one that is made here */
    comes_again();
}

Test(crash, in_what_has_just_come_ends_that_alone)
{
    crashes_while_coming(rc_io_user_data(RC_OP_PLACE, 1, 0), RC_HANDOVER_CLIENT);
    is_thrown_away(true);
}

Test(crash, in_a_word_throws_it_away)
{
    crashes_while_coming(rc_io_user_data(RC_OP_INBOX, 0, 0), RC_HANDOVER_WORD);
    is_thrown_away(false);
}

Test(crash, ring_memory_that_cannot_be_read_is_refused)
{
    struct rc_err err = {0};
    open_first();
    hub_rig_succeed(&second, &first, &options);
    const uint64_t cq_head = first.io.memory->cq_head;
    first.io.memory->cq_head = 0;
    cr_assert_eq(rc_crash_begin(&crash, &second.truth, second.metrics, first.io_fd, 0, false, &err), -EBADMSG);
    cr_assert_not_null(strstr(err.text, "keeps them to itself"));
    first.io.memory->cq_head = cq_head;
    first.io.memory->held_count = UINT32_MAX;
    cr_assert_eq(rc_crash_begin(&crash, &second.truth, second.metrics, first.io_fd, 0, false, &err), -EBADMSG);
    cr_assert_not_null(strstr(err.text, "impossible"));
    first.io.memory->held_count = 0;
    end();
}
