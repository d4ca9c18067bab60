/* tell: what is said to another worker, by the inbox, and to the relay. Part of moves: see move.h. */
#include "worker/move/move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"

int rc_move_say(const struct rc_moves *moves, uint32_t peer, enum rc_move_word_kind kind, uint64_t token,
                const uint8_t *bytes, uint32_t count)
{
    const struct rc_control *control = moves->clients->control;
    const struct rc_move_word word = {
        .token = token, .kind = (uint32_t)kind, .config_generation = moves->clients->truth->layout->config_generation};
    const struct rc_handover head = {
        .bytes = (uint32_t)sizeof(word) + count,
        .time_ms = rc_clock_ms(),
        .worker = moves->clients->worker,
        .generation =
            atomic_load_explicit(&control->core->workers[moves->clients->worker].generation, memory_order_relaxed),
        .flags = RC_HANDOVER_WORD,
    };
    uint8_t *all = malloc(head.bytes);
    if (all == NULL) {
        return -EAGAIN;
    }
    memcpy(all, &word, sizeof(word));
    if (count > 0) {
        memcpy(all + sizeof(word), bytes, count);
    }
    const int rc = rc_handover_send(moves->outbox_fds[peer], &head, all, -1);
    free(all);
    return rc;
}

static int tell_one(const struct rc_moves *moves, const struct rc_client_ref *client, bool gone)
{
    struct rc_envelope_view view = {.head = {.origin = *client, .code = gone ? 1 : 0}};
    return rc_uplink_write(moves->clients->uplink, RC_UP_GUEST, &view);
}

void rc_move_tell(struct rc_moves *moves, const struct rc_client_ref *client, bool gone)
{
    if (moves->told_count == 0 && tell_one(moves, client, gone) == 0) {
        return;
    }
    if (moves->told_count == moves->told_capacity) {
        const uint32_t capacity = moves->told_capacity == 0 ? 64 : moves->told_capacity * 2;
        struct rc_move_told *more = realloc(moves->told, capacity * sizeof(*more));
        if (more == NULL) { /* it is found where the relay believes it, or not */
            rc_metric_add(moves->clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return;
        }
        moves->told = more;
        moves->told_capacity = capacity;
    }
    moves->told[moves->told_count++] = (struct rc_move_told){.client = *client, .gone = gone};
}

uint32_t rc_move_refs(const struct rc_moves *moves, uint32_t client, struct rc_client_ref *refs)
{
    const struct rc_client_ref ref = rc_client_ref(moves->clients, client);
    uint32_t count = 1;
    uint32_t at = 0;
    uint64_t token;
    if (refs != NULL) {
        refs[0] = ref;
    }
    for (; rc_truth_token_next(moves->clients->truth, client, &at, &token); count++) {
        if (refs != NULL) {
            refs[count] = ref;
            refs[count].random = token;
        }
    }
    return count;
}

void rc_move_tell_here(struct rc_moves *moves, uint32_t client)
{
    struct rc_client_ref ref = rc_client_ref(moves->clients, client);
    uint32_t at = 0;
    do {
        rc_move_tell(moves, &ref, false);
    } while (rc_truth_token_next(moves->clients->truth, client, &at, &ref.random));
}

void rc_move_tell_waiting(struct rc_moves *moves)
{
    uint32_t done = 0;
    while (done < moves->told_count && tell_one(moves, &moves->told[done].client, moves->told[done].gone) == 0) {
        done++;
    }
    if (done > 0) {
        moves->told_count -= done;
        memmove(moves->told, moves->told + done, moves->told_count * sizeof(*moves->told));
    }
}

int rc_moves_tell_guests(struct rc_moves *moves)
{
    const struct rc_clients *clients = moves->clients;
    const struct rc_truth *truth = clients->truth;
    const struct rc_truth_move *kept = &truth->layout->move;
    const uint32_t generation = rc_control_relay_generation(clients->control);
    if (moves->snapshot_generation != generation) {
        moves->snapshot_generation = generation;
        moves->snapshot_next = 1;
    }
    for (; moves->snapshot_next <= clients->hub->clients_high; moves->snapshot_next++) {
        const struct rc_client *client = rc_truth_client(truth, moves->snapshot_next);
        if (client->random != 0 && client->guest) {
            struct rc_client_ref ref = rc_client_ref(clients, moves->snapshot_next);
            uint32_t at = 0;
            do {
                if (tell_one(moves, &ref, false) < 0) {
                    return -EAGAIN;
                }
            } while (rc_truth_token_next(truth, moves->snapshot_next, &at, &ref.random));
        }
    }
    /* Those who are just coming: all of them again, if there is no room for all. */
    for (uint32_t i = 0; kept->role == RC_MOVE_TAKES && i < kept->count; i++) {
        if (kept->refs[i].random != 0 && tell_one(moves, &kept->refs[i], false) < 0) {
            return -EAGAIN;
        }
    }
    return 0;
}
