/* standby: see standby.h. */
#include "relay/standby.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/doorbell.h"

#define STANDBY_PREPARED_MS 4000u /* a Redis that does not answer is not waited for longer */
#define STANDBY_HEARD_MS 5000u
#define STANDBY_LOOK_MS 2u
#define STANDBY_IDLE_MS 100u /* while there is nothing to wait for but orders, which ring */

static void standby_say(struct rc_standby *standby, enum rc_process_state state)
{
    standby->state = state;
    standby->since_ms = rc_clock_ms();
    /* RS1 pairs with RC1 in acceptor/upgrade/relay_change.c, and with RS3 in relay/main.c. */
    atomic_store_explicit(&standby->control->own->process.successor_state, (uint32_t)state, memory_order_release);
    (void)rc_doorbell_wake(standby->acceptor_bell_fd);
}

static void standby_look(void *context, uint64_t now_ms)
{
    (void)context;
    (void)now_ms;
}

static bool standby_step(void *context)
{
    struct rc_standby *standby = context;
    const struct rc_life *life = &standby->control->core->relay;
    const uint64_t now_ms = rc_clock_ms();
    rc_log_catch_up();
    standby->ops.turn(standby->ops.context);
    if (rc_control_relay_generation(standby->control) != standby->generation) {
        rc_relay_loop_stop(standby->loop);
        return false;
    }
    if (rc_control_state(standby->control) >= RC_BROKER_DRAINING) {
        rc_standby_end(standby);
        return false;
    }
    if (standby->state == RC_PROCESS_STARTING &&
        (standby->ops.prepared(standby->ops.context) || now_ms - standby->since_ms >= STANDBY_PREPARED_MS)) {
        standby_say(standby, RC_PROCESS_STANDBY);
    }
    /* RS4 pairs with TK1 in rc_broker_order, which saw PARKED: what the other one has passed on is there. */
    if (standby->state == RC_PROCESS_STANDBY &&
        atomic_load_explicit(&life->order, memory_order_acquire) == RC_ORDER_ADOPT) {
        standby_say(standby, RC_PROCESS_ADOPTING);
        standby->ops.begin(standby->ops.context);
    }
    if (standby->state == RC_PROCESS_ADOPTING &&
        (standby->ops.heard(standby->ops.context) || now_ms - standby->since_ms >= STANDBY_HEARD_MS)) {
        standby_say(standby, RC_PROCESS_READY);
    }
    rc_timer_set(&standby->loop->timers, &standby->timer,
                 now_ms + (standby->state == RC_PROCESS_STANDBY ? STANDBY_IDLE_MS : STANDBY_LOOK_MS), standby_look,
                 standby);
    return false;
}

static bool standby_pending(void *context)
{
    (void)context;
    return false;
}

int rc_standby_open(struct rc_standby *standby, const struct rc_control *control, struct rc_relay_loop *loop,
                    int acceptor_bell_fd, const struct rc_standby_ops *ops, struct rc_err *err)
{
    *standby = (struct rc_standby){.control = control,
                                   .loop = loop,
                                   .acceptor_bell_fd = acceptor_bell_fd,
                                   .ops = *ops,
                                   .generation = rc_control_relay_generation(control),
                                   .state = RC_PROCESS_STARTING,
                                   .since_ms = rc_clock_ms()};
    const struct rc_relay_loop_ops loop_ops = {.turn = standby_step, .pending = standby_pending, .context = standby};
    return rc_relay_loop_open(loop, &standby->nobody, &loop_ops, err);
}

void rc_standby_end(struct rc_standby *standby)
{
    standby->ended = true;
    rc_relay_loop_stop(standby->loop);
}

int rc_standby_run(struct rc_standby *standby, struct rc_err *err)
{
    const int rc = rc_relay_loop_run(standby->loop, err);
    rc_timer_cancel(&standby->loop->timers, &standby->timer);
    return rc != 0 ? rc : standby->ended ? 0 : 1;
}
