/* leaving: see leaving.h. */
#include "relay/leaving.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/doorbell.h"

#define LEAVING_ENDING_MS 2000u
#define LEAVING_LOOK_MS 2u

static enum rc_order leaving_order(const struct rc_leaving *leaving)
{
    /* RS2 pairs with TK1 in rc_broker_order: what the acceptor saw before the order is there. */
    return (enum rc_order)atomic_load_explicit(&leaving->life->order, memory_order_acquire);
}

static void leaving_enter(struct rc_leaving *leaving, enum rc_leaving_phase phase)
{
    leaving->phase = phase;
    leaving->since_ms = rc_clock_ms();
    rc_relay_loop_say(leaving->loop, phase == RC_LEAVING_PARKED ? RC_PROCESS_PARKED : RC_PROCESS_READY);
    (void)rc_doorbell_wake(leaving->acceptor_bell_fd);
}

void rc_leaving_open(struct rc_leaving *leaving, const struct rc_life *life, struct rc_relay_loop *loop,
                     int acceptor_bell_fd, const struct rc_leaving_ops *ops)
{
    *leaving = (struct rc_leaving){.life = life, .loop = loop, .acceptor_bell_fd = acceptor_bell_fd, .ops = *ops};
}

/* The loop is awake, which is all that is asked for. */
static void leaving_look(void *context, uint64_t now_ms)
{
    (void)context;
    (void)now_ms;
}

bool rc_leaving_turn(struct rc_leaving *leaving, bool draining)
{
    const enum rc_order order = draining ? RC_ORDER_RUN : leaving_order(leaving);
    const uint64_t now_ms = rc_clock_ms();
    if (leaving->phase == RC_LEAVING_RUNS && order == RC_ORDER_RUN) {
        return false;
    }
    if (order == RC_ORDER_RUN) {
        rc_log_info("relay_stays", "stood_still_ms=%llu", (unsigned long long)(now_ms - leaving->since_ms));
        leaving_enter(leaving, RC_LEAVING_RUNS);
        return false;
    }
    if (leaving->phase == RC_LEAVING_RUNS) {
        leaving_enter(leaving, RC_LEAVING_ENDING);
    }
    if (leaving->phase == RC_LEAVING_ENDING &&
        (leaving->ops.quiet(leaving->ops.context) || now_ms - leaving->since_ms >= LEAVING_ENDING_MS)) {
        leaving_enter(leaving, RC_LEAVING_PARKED);
    }
    if (leaving->phase == RC_LEAVING_PARKED && order == RC_ORDER_ADOPT) {
        return leaving->ops.passed(leaving->ops.context);
    }
    rc_timer_set(&leaving->loop->timers, &leaving->timer, now_ms + LEAVING_LOOK_MS, leaving_look, leaving);
    return false;
}
