/*
 * leave: a worker whose place is to be empty (common/shm/worker_use.h): it ends when nobody is here any more.
 *
 * Newcomers are steered to the others; who comes all the same (a kernel without steering) is let in. With SENDING_AWAY clients are told to come
 * again.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/worker_use.h"
#include "worker/backend/backend_io.h"
#include "worker/worker.h"

#define LEAVE_LOOK_MS 100u

static enum rc_worker_use leave_use(const struct rc_worker *w)
{
    return rc_worker_use(w->control.core, (uint32_t)w->args.index);
}

bool rc_leave_wanted(const struct rc_worker *w)
{
    return leave_use(w) >= RC_WORKER_LEAVING && !w->leave.over;
}

uint32_t rc_leave_sleep_ms(const struct rc_worker *w, uint32_t most_ms)
{
    return rc_leave_wanted(w) && most_ms > LEAVE_LOOK_MS ? LEAVE_LOOK_MS : most_ms;
}

/* Has no peer a connection here? Those to backends were made here. */
static bool leave_empty(const struct rc_worker *w)
{
    for (uint32_t i = 0; i < w->truth.socket_count; i++) {
        const struct rc_socket *socket = &w->truth.sockets[i];
        if (socket->state != RC_SOCKET_FREE && socket->listener != RC_SOCKET_MADE_HERE) {
            return false;
        }
    }
    return true;
}

/* Is there anything that others wait for? */
static bool leave_idle(const struct rc_worker *w)
{
    return w->clients.connections == 0 && !rc_hub_pending(&w->hub) && !rc_clients_answering(&w->clients) &&
           !rc_pipes_wanted(&w->handovers.pipes) && !rc_batches_busy(w->batches) &&
           !rc_webhooks_busy(&w->pushers.webhooks) && !rc_backends_busy(w->backends) && w->io.places_used == 0;
}

void rc_leave_pass(struct rc_worker *w)
{
    const uint64_t now_ms = rc_clock_ms();
    if (RC_LIKELY(!rc_leave_wanted(w)) || now_ms < w->leave.look_ms || w->park.phase != RC_PARK_RUNNING) {
        return;
    }
    w->leave.look_ms = now_ms + LEAVE_LOOK_MS;
    if (leave_use(w) == RC_WORKER_SENDING_AWAY) {
        rc_clients_drain(&w->clients);
    }
    w->leave.over = leave_idle(w) && leave_empty(w);
}
