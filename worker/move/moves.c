/* moves: both sides, and their words. See move.h. */
#include "worker/move/move.h"

#include <stdlib.h>
#include <string.h>

void rc_moves_word(struct rc_moves *moves, const struct rc_handover *from, const uint8_t *bytes)
{
    struct rc_move_word word;
    if (from->bytes < sizeof(word)) {
        rc_metric_add(moves->clients->metrics, RC_METRIC_HANDOVERS_LOST, 1);
        return;
    }
    memcpy(&word, bytes, sizeof(word));
    if (word.kind == RC_MOVE_READY || word.kind == RC_MOVE_REFUSES || word.kind == RC_MOVE_HOLDS ||
        word.kind == RC_MOVE_CAME || word.kind == RC_MOVE_CAME_NOT) {
        rc_give_heard(moves, from, &word);
    } else if (word.kind == RC_MOVE_CLIENT) {
        rc_take_polling(moves, from, rc_span_of(bytes + sizeof(word), from->bytes - sizeof(word)));
    } else {
        rc_take_heard(moves, from, &word, rc_span_of(bytes + sizeof(word), from->bytes - sizeof(word)));
    }
}

void rc_moves_barrier(struct rc_moves *moves, const struct rc_envelope_view *view)
{
    if (view->head.data_bytes > RC_MOVE_CLIENTS_MAX * sizeof(struct rc_client_ref)) {
        rc_metric_add(moves->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
    } else if (view->head.origin.worker == moves->clients->worker) {
        rc_give_barrier(moves, view);
    } else {
        rc_take_barrier(moves, view);
    }
}

static void guest_told(void *context, const struct rc_client_ref *client, bool gone)
{
    rc_move_tell(context, client, gone);
}

static bool client_held(void *context, uint32_t client)
{
    const struct rc_moves *moves = context;
    const struct rc_give *give = &moves->give;
    if (client == 0) {
        return moves->take.phase == RC_TAKE_TAKING;
    }
    if (RC_LIKELY(give->phase < RC_GIVE_STOPPING)) {
        return false;
    }
    for (uint32_t i = 0; i < give->count; i++) {
        if (give->items[i].client == client) {
            return true;
        }
    }
    return false;
}

bool rc_moves_pass(struct rc_moves *moves)
{
    if (RC_LIKELY(!rc_moves_busy(moves))) {
        return false;
    }
    rc_move_tell_waiting(moves);
    const bool more = rc_give_pass(moves);
    return rc_take_pass(moves) || more;
}

void rc_moves_open(struct rc_moves *moves, struct rc_clients *clients, struct rc_memberships *memberships,
                   const int *outbox_fds)
{
    *moves = (struct rc_moves){.clients = clients, .memberships = memberships, .outbox_fds = outbox_fds};
    clients->move = (struct rc_move_ops){.context = moves, .guest = guest_told, .holds = client_held};
}

void rc_moves_rebuild(struct rc_moves *moves)
{
    rc_take_back(moves);
    rc_take_rebuild(moves);
    rc_give_rebuild(moves);
}

void rc_moves_close(struct rc_moves *moves)
{
    free(moves->told);
    free(moves->give.names);
    free(moves->give.own);
    free(moves->take.held.items);
}
