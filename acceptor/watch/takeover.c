/*
 * takeover: see takeover.h.
 */
#include "acceptor/watch/takeover.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

#define TAKEOVER_PARK_MS 4000u /* more than a worker tries (worker/park.c): it says by itself why it does not */
#define TAKEOVER_GO_ON_MS 2000u

static struct rc_child *its_worker(struct rc_supervisor *supervisor)
{
    return &supervisor->broker.workers[supervisor->takeover.worker];
}

/* Whether it sleeps in its loop or outside of it: it looks. */
static void give_order(struct rc_supervisor *supervisor, struct rc_child *child, enum rc_order order)
{
    /* TK1 pairs with PK1 in worker/park.c: the word alone counts. */
    atomic_store_explicit(&child->life->order, (uint32_t)order, memory_order_relaxed);
    rc_broker_ring(&supervisor->broker, child);
    if (child->order_fd >= 0) {
        (void)rc_doorbell_wake(child->order_fd); /* of an eventfd of our own nothing can be wrong */
    }
}

static void takeover_enter(struct rc_supervisor *supervisor, enum rc_takeover_phase phase, uint64_t in_ms)
{
    supervisor->takeover.phase = phase;
    supervisor->takeover.due_ms = supervisor->now_ms + in_ms;
}

__attribute__((format(printf, 2, 3))) static void takeover_end(struct rc_supervisor *supervisor, const char *format,
                                                               ...)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    char text[256];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    takeover->phase = RC_TAKEOVER_NONE;
    rc_console_write(&supervisor->console, takeover->handle, text, strlen(text));
    rc_console_finish(&supervisor->console, takeover->handle, supervisor->now_ms);
}

static void takeover_refuse(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    rc_console_write(&supervisor->console, handle, text, strlen(text));
    rc_console_finish(&supervisor->console, handle, supervisor->now_ms);
}

void rc_takeover_ask(struct rc_supervisor *supervisor, uint32_t handle, const char *text)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    char *end;
    const unsigned long worker = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || worker >= supervisor->broker.worker_count) {
        takeover_refuse(supervisor, handle, "error\nthere is no such worker\n");
        return;
    }
    if (takeover->phase != RC_TAKEOVER_NONE) {
        takeover_refuse(supervisor, handle, "error\nanother worker is standing still: try again\n");
        return;
    }
    takeover->worker = (uint32_t)worker;
    struct rc_child *child = its_worker(supervisor);
    if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING || child->pid == 0 ||
        rc_child_state(child) != RC_PROCESS_READY) {
        takeover_refuse(supervisor, handle, "error\nthe worker does not run\n");
        return;
    }
    takeover->handle = handle;
    takeover->pid = child->pid;
    takeover->began_ns = rc_clock_ns();
    takeover_enter(supervisor, RC_TAKEOVER_PARKING, TAKEOVER_PARK_MS);
    give_order(supervisor, child, RC_ORDER_PARK);
}

static void takeover_step(struct rc_supervisor *supervisor)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    struct rc_child *child = its_worker(supervisor);
    const bool parked = rc_child_state(child) == RC_PROCESS_PARKED;
    const bool late = supervisor->now_ms >= takeover->due_ms;
    if (takeover->phase == RC_TAKEOVER_PARKING && parked) {
        takeover->parked_ns = rc_clock_ns();
        takeover_enter(supervisor, RC_TAKEOVER_GOING_ON, TAKEOVER_GO_ON_MS);
        give_order(supervisor, child, RC_ORDER_RUN);
    } else if (takeover->phase == RC_TAKEOVER_PARKING && late) {
        give_order(supervisor, child, RC_ORDER_RUN);
        takeover_end(supervisor, "error\n%s cannot stand still now: its log line worker_not_parked says why\n",
                     rc_child_name(child));
    } else if (takeover->phase == RC_TAKEOVER_GOING_ON && !parked) {
        takeover_end(supervisor, "ok\n%s stood still, after %" PRIu64 " us, and went on %" PRIu64 " us later\n",
                     rc_child_name(child), (takeover->parked_ns - takeover->began_ns) / 1000u,
                     (rc_clock_ns() - takeover->parked_ns) / 1000u);
    } else if (takeover->phase == RC_TAKEOVER_GOING_ON && late) {
        takeover_end(supervisor, "error\n%s does not go on\n", rc_child_name(child));
    }
}

void rc_takeover_progress(struct rc_supervisor *supervisor)
{
    struct rc_takeover *takeover = &supervisor->takeover;
    if (takeover->phase == RC_TAKEOVER_NONE) {
        return;
    }
    struct rc_child *child = its_worker(supervisor);
    if (child->pid != takeover->pid) {
        takeover_end(supervisor, "error\n%s has died\n", rc_child_name(child));
    } else if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING) {
        give_order(supervisor, child, RC_ORDER_RUN);
        takeover_end(supervisor, "error\nthe broker is stopping\n");
    } else {
        takeover_step(supervisor);
    }
}

uint64_t rc_takeover_due_ms(const struct rc_supervisor *supervisor)
{
    return supervisor->takeover.phase == RC_TAKEOVER_NONE ? UINT64_MAX : supervisor->takeover.due_ms;
}
