/* What a worker that gives clients away hears of the other one, and when: a refusal before or behind its barrier, and words of others. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/support/client_rig.h"
#include "worker/move/move.h"

#define PEER 1u
#define TOKEN 77u

static struct client_rig rig;
static struct rc_moves moves;

static void open_rig(void)
{
    client_rig_open(&rig, 8);
    rc_moves_open(&moves, &rig.clients, NULL, NULL);
    moves.give.peer = PEER;
    moves.give.token = TOKEN;
}

static void close_rig(void)
{
    rc_moves_close(&moves);
    client_rig_close(&rig);
}

TestSuite(give, .init = open_rig, .fini = close_rig);

static void hears(enum rc_move_word_kind kind, uint32_t worker, uint64_t token)
{
    const struct rc_move_word word = {.token = token, .kind = (uint32_t)kind};
    const struct rc_handover from = {.worker = (uint8_t)worker, .time_ms = 5, .bytes = sizeof(word)};
    uint8_t bytes[sizeof(word)];
    memcpy(bytes, &word, sizeof(word));
    rc_moves_word(&moves, &from, bytes);
}

static void barrier(uint16_t code, uint64_t token)
{
    const struct rc_envelope_view view = {.head = {.code = code, .token = token}};
    rc_moves_barrier(&moves, &view);
}

Test(give, a_refusal_that_comes_before_its_own_barrier_counts_there)
{
    moves.give.phase = RC_GIVE_ORDERED;
    hears(RC_MOVE_REFUSES, PEER, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_ORDERED, "the barrier is still to come");
    barrier(0, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_ENDING, "nobody is given");
    cr_assert_not(rig.uplink.held, "and what comes down is handled");
}

Test(give, a_refusal_behind_its_barrier_ends_the_batch)
{
    moves.give.phase = RC_GIVE_ORDERED;
    barrier(0, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_GIVING);
    cr_assert(rig.uplink.held);
    hears(RC_MOVE_REFUSES, PEER, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_ENDING);
    cr_assert_not(rig.uplink.held);
}

Test(give, who_stands_at_the_barrier_cannot_refuse_any_more)
{
    moves.give.phase = RC_GIVE_ORDERED;
    hears(RC_MOVE_HOLDS, PEER, TOKEN);
    barrier(0, TOKEN);
    cr_assert(moves.give.held, "it said so before the barrier was here");
    hears(RC_MOVE_REFUSES, PEER, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_GIVING);
    rig.uplink.held = false;
}

Test(give, a_refusal_while_it_is_asked_is_no_batch)
{
    moves.give.phase = RC_GIVE_ASKED;
    moves.give.count = 3;
    hears(RC_MOVE_REFUSES, PEER, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_IDLE);
    cr_assert_eq(moves.give.count, 0);
}

Test(give, words_of_others_and_of_former_batches_mean_nothing)
{
    for (int phase = RC_GIVE_ASKED; phase <= RC_GIVE_GIVING; phase++) {
        moves.give.phase = (enum rc_give_phase)phase;
        hears(RC_MOVE_REFUSES, PEER + 1, TOKEN);
        hears(RC_MOVE_REFUSES, PEER, TOKEN + 1);
        hears(RC_MOVE_HOLDS, PEER, TOKEN + 1);
        cr_assert_eq((int)moves.give.phase, phase);
        cr_assert_not(moves.give.refused || moves.give.held);
    }
    moves.give.phase = RC_GIVE_ORDERED;
    barrier(0, TOKEN + 1);
    cr_assert_eq(moves.give.phase, RC_GIVE_ORDERED);
    barrier(7, TOKEN);
    cr_assert_eq(moves.give.phase, RC_GIVE_ENDING, "the relay says that it is in none");
}

Test(give, half_a_word_is_counted)
{
    const struct rc_handover from = {.worker = PEER, .bytes = 3};
    rc_moves_word(&moves, &from, (const uint8_t *)"abc");
    cr_assert_eq(rc_metric_get(rig.rig.metrics, RC_METRIC_HANDOVERS_LOST), 1);
}

/* --- what comes for who is not here ---------------------------------------------------------------------------------- */

/* A message for a client of the last barrier: is it sent back, and with the mark that it was? */
static bool goes_back(uint64_t random, uint16_t flags)
{
    const struct rc_envelope_view view = {.head = {.target = {.random = random}, .flags = flags, .data_bytes = 1},
                                          .data = (const uint8_t *)"x"};
    struct rc_envelope_view up;
    uint32_t type;
    cr_assert_eq(rc_moves_stray(&moves, &view), 0);
    const bool went = client_rig_up(&rig, &type, &up);
    cr_assert(!went || (type == RC_UP_DIRECT && up.head.target.random == random &&
                        up.head.flags == (RC_ENVELOPE_STRAY | RC_ENVELOPE_BINARY)));
    return went;
}

static void over(bool settled)
{
    struct rc_truth_move *kept = &rig.rig.truth.layout->move;
    kept->refs[0] = (struct rc_client_ref){.random = 8, .slot = 1, .worker = 1};
    kept->count = 1;
    moves.take.ended_ms = rc_clock_ms();
    moves.take.settled = settled;
}

Test(give, what_is_for_who_did_not_come_goes_back_once)
{
    cr_assert_not(goes_back(8, RC_ENVELOPE_BINARY), "nobody was to come");
    over(true);
    cr_assert_not(goes_back(9, RC_ENVELOPE_BINARY), "that one was not to come");
    cr_assert(goes_back(8, RC_ENVELOPE_BINARY | RC_ENVELOPE_REMOTE));
    cr_assert_not(goes_back(8, RC_ENVELOPE_BINARY | RC_ENVELOPE_STRAY), "it has ended");
}

Test(give, until_the_relay_was_told_where_it_is_it_goes_back_again)
{
    over(false);
    cr_assert(goes_back(8, RC_ENVELOPE_BINARY | RC_ENVELOPE_STRAY));
    moves.take.settled = true;
    moves.told_count = 1;
    cr_assert(goes_back(8, RC_ENVELOPE_BINARY | RC_ENVELOPE_STRAY));
    moves.told_count = 0;
    cr_assert_not(goes_back(8, RC_ENVELOPE_BINARY | RC_ENVELOPE_STRAY));
}

Test(give, who_is_more_than_a_message_has_room_for_stays)
{
    static char attributes[RC_IDENTITY_ATTRIBUTES_MAX];
    static char request[UINT16_MAX];
    const uint32_t client = hub_rig_connect(&rig.rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    struct rc_client_user_state state = {.id = RC_SPAN("ada"),
                                         .attributes = rc_span_of(attributes, sizeof(attributes)),
                                         .request = rc_span_of(request, sizeof(request)),
                                         .there = true};
    cr_assert_eq(rc_client_user_came(&rig.clients, client, &state), 0);
    hub_rig_run(&rig.rig);
    rc_truth_client(&rig.rig.truth, client)->flags &= (uint16_t) ~(RC_CLIENT_DIRTY | RC_CLIENT_READY);
    cr_assert_str_eq(rc_move_hindrance(&moves, client), "it is too large");
    rc_client_forget_user(&rig.clients, client);
}

/* It goes on in the history where it goes. What it reads just now leaves first. */
Test(give, who_waits_for_more_of_a_history_goes)
{
    const uint32_t client = hub_rig_connect(&rig.rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    hub_rig_subscribe(&rig.rig, client, "a");
    hub_rig_run(&rig.rig);
    struct rc_client *its = rc_truth_client(&rig.rig.truth, client);
    its->flags &= (uint16_t) ~(RC_CLIENT_DIRTY | RC_CLIENT_READY);
    const char *before = rc_move_hindrance(&moves, client);
    const struct rc_replay stood = {.cursor = {.epoch = 1, .offset = 1}};
    cr_assert_eq(rc_hub_replay_on(&rig.rig.hub, its->subscriptions, &stood), 0);
    cr_assert_str_eq(rc_move_hindrance(&moves, client), "it is behind");
    its->replay_due = false;
    const char *after = rc_move_hindrance(&moves, client);
    cr_assert_eq(after, before, "%s", after == NULL ? "" : after);
}
