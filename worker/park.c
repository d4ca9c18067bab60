/*
 * park: a worker that is told to stand still (enum rc_order), and to go on.
 *
 *   RUNNING ─PARK─▶ ANSWERING: nothing is read from clients any more; calls and questions are answered
 *      ▲                │ late: it goes on, and says why
 *      │                ▼
 *      │            STILL: nothing is taken from the relay any more; what is in flight ends
 *      │                ▼
 *      └──── RUN ── PARKED: the process sleeps, and touches neither sockets nor shared memory
 *
 * Parked, all that is known of the connections is in the truth, what comes waits in the sockets, in the listeners' queues and in the down ring.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/backend/backend_io.h"
#include "worker/engine/asked.h"
#include "worker/io/tls_left.h"
#include "worker/worker.h"

#define PARK_ANSWERING_MS 2000u /* as for API calls of a worker that drains */
#define PARK_LEAVE_MS 100u      /* for answers of backends that can be asked again */
#define PARK_GOODBYE_MS 500u    /* for a close frame to those who cannot be kept */
#define PARK_STILL_MS 1000u
#define PARK_LOOK_MS 1000u /* at what else may end it, while it sleeps */

static enum rc_order park_order(const struct rc_worker *w)
{
    /* PK1 pairs with TK1 in acceptor/start/broker.c: with RUN, a successor that has looked at the truth is gone. */
    return (enum rc_order)atomic_load_explicit(&w->control.core->workers[w->args.index].order, memory_order_acquire);
}

/* ADOPT is for those who stand still already, and for who stood by until then and runs now. */
static bool park_wanted(const struct rc_worker *w)
{
    return park_order(w) == RC_ORDER_PARK;
}

bool rc_park_due(const struct rc_worker *w)
{
    return park_wanted(w) != (w->park.phase != RC_PARK_RUNNING || w->park.refused);
}

/* What others wait for, and only this process knows. */
static const char *park_hindrance(const struct rc_worker *w, uint64_t age_ms)
{
    const bool asks = age_ms < PARK_LEAVE_MS ? rc_backends_busy(w->backends) : rc_backends_hinder(w->backends);
    return rc_clients_answering_once(&w->clients)             ? "requests are being answered"
           : asks                                             ? "backends are being asked"
           : w->pushers.telling_bytes > 0                     ? "events of members wait for the relay"
           : w->asks.first != 0                               ? "the relay is being asked"
           : rc_moves_busy(&w->moves)                         ? "connections are being moved"
           : w->io.accepts_armed != 0                         ? "connections are being accepted"
           : w->io.connects_used > 0 || w->io.places_used > 0 ? "connections are being made"
           : rc_io_tls_hinders(&w->io, 0) != RC_SOCKET_NONE   ? "clients of TLS 1.2 are being sent away"
                                                              : NULL;
}

/* TLS of which OpenSSL has the state cannot be another process's: 1012, and after a while the end. */
static void park_end_tls(struct rc_worker *w, bool late)
{
    for (uint32_t i = rc_io_tls_hinders(&w->io, 0); i != RC_SOCKET_NONE; i = rc_io_tls_hinders(&w->io, i + 1)) {
        const struct rc_socket *socket = &w->truth.sockets[i];
        const bool carries = socket->state == RC_SOCKET_CARRYING && socket->client != 0;
        if (socket->state >= RC_SOCKET_TERMINATING) {
            continue;
        }
        if (late || !carries) {
            rc_io_terminate(&w->io, i);
        } else if (rc_truth_client(&w->truth, socket->client)->state == RC_CLIENT_OPEN &&
                   !(rc_truth_client(&w->truth, socket->client)->flags & RC_CLIENT_CLOSE_QUEUED)) {
            rc_client_goodbye(&w->clients, socket->client, w->config->server.drain_timeout_ms);
            w->park.sent_away++;
            w->more = true;
        }
    }
}

static void park_enter(struct rc_worker *w, enum rc_park_phase phase)
{
    w->park.phase = phase;
    w->park.since_ms = rc_clock_ms();
}

static void park_go_on(struct rc_worker *w, const char *hindrance)
{
    w->park.refused = hindrance != NULL;
    if (hindrance != NULL) {
        rc_log_warn("worker_not_parked", "reason=\"%s, and it takes too long\"", hindrance);
    }
    park_enter(w, RC_PARK_RUNNING);
    rc_io_go_on(&w->io);
}

/* A successor that failed has linked the free objects of the truth as it wanted them. */
static void park_account(struct rc_worker *w)
{
    struct rc_truth_found found;
    struct rc_err err = {0};
    const int rc = rc_truth_check(&w->truth, &found, &err);
    if (rc < 0) {
        rc_log_error("truth_damaged", "reason=\"%s\"", err.text);
        abort(); /* what would be made of it is worse than a crash, which the acceptor answers */
    }
    rc_truth_account(&w->truth, &found);
    rc_truth_found_close(&found);
}

/* The ring is not entered here. What wakes it up in vain is the order's bell, which a former order rang. */
static void park_sleep(struct rc_worker *w)
{
    struct pollfd fds[] = {{.fd = w->args.order_fd, .events = POLLIN}, {.fd = w->args.life_fd, .events = POLLIN}};
    const uint64_t since_ns = rc_clock_ns();
    w->state = RC_PROCESS_PARKED;
    /* PK2 pairs with A1 in acceptor/watch/child.h: whoever sees it sees the truth as it stands. */
    atomic_store_explicit(&w->process->state, RC_PROCESS_PARKED, memory_order_release);
    rc_worker_tell_acceptor(w);
    for (;;) {
        /* Before the order: whoever sees DRAINING (C1) sees an ADOPT that was given before it, and does not run beside a successor. */
        const bool draining = rc_control_state(&w->control) >= RC_BROKER_DRAINING;
        const enum rc_order order = park_order(w);
        uint64_t rings;
        const bool orphan = (fds[1].revents & POLLHUP) != 0;
        if (order == RC_ORDER_RUN || (order == RC_ORDER_PARK && (orphan || draining))) {
            break;
        }
        if (orphan) {
            _exit(EXIT_SUCCESS); /* a successor may have taken over: never two of them */
        }
        if (poll(fds, 2, PARK_LOOK_MS) > 0 && (fds[0].revents & POLLIN) != 0) {
            (void)!read(w->args.order_fd, &rings, sizeof(rings));
        }
    }
    if (atomic_load_explicit(&w->process->successor_state, memory_order_relaxed) == RC_PROCESS_ADOPTING) {
        park_account(w);
    }
    w->state = RC_PROCESS_READY;
    rc_worker_beat(w);
    rc_worker_tell_acceptor(w);
    rc_log_info("worker_was_parked", "for_us=%llu", (unsigned long long)((rc_clock_ns() - since_ns) / 1000u));
}

void rc_park_pass(struct rc_worker *w)
{
    const bool wanted = park_wanted(w);
    const uint64_t age_ms = rc_clock_ms() - w->park.since_ms;
    if (RC_LIKELY(w->park.phase == RC_PARK_RUNNING)) {
        w->park.refused = w->park.refused && wanted;
        if (wanted && !w->park.refused && !w->clients.draining) {
            park_enter(w, RC_PARK_ANSWERING);
            w->park.sent_away = 0;
            rc_io_park(&w->io);
        }
        return;
    }
    if (!wanted || w->clients.draining) {
        park_go_on(w, NULL);
        return;
    }
    if (w->park.phase == RC_PARK_ANSWERING) {
        rc_polling_release(&w->polling); /* they may wait for as long as nothing comes */
        park_end_tls(w, age_ms >= PARK_GOODBYE_MS);
        const char *hindrance = park_hindrance(w, age_ms);
        if (hindrance == NULL) {
            if (w->park.sent_away > 0) {
                rc_log_info("tls_clients_sent_away", "count=%u reason=\"their TLS 1.2 ends with this process\"",
                            w->park.sent_away);
            }
            park_enter(w, RC_PARK_STILL);
            rc_asked_leave(&w->engines);
            rc_batches_leave(w->batches);
            rc_webhooks_leave(&w->pushers.webhooks);
            rc_io_park_own(&w->io);
        } else if (age_ms >= PARK_ANSWERING_MS) {
            park_go_on(w, hindrance);
        }
        return;
    }
    if (!w->more && rc_io_parked(&w->io) && !rc_hub_pending(&w->hub) && w->pushers.telling_bytes == 0) {
        park_sleep(w);
        park_go_on(w, NULL);
    } else if (age_ms >= PARK_STILL_MS) {
        park_go_on(w, "something stays in flight");
    }
}
