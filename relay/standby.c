/* standby: see standby.h. */
#include "relay/standby.h"

#include "common/base/log.h"
#include "common/shm/doorbell.h"

static bool standby_step(void *context)
{
    struct rc_standby *standby = context;
    rc_log_catch_up();
    if (rc_control_relay_generation(standby->control) != standby->generation) {
        rc_relay_loop_stop(standby->loop);
    } else if (rc_control_state(standby->control) >= RC_BROKER_DRAINING) {
        rc_standby_end(standby);
    } else if (!standby->said) {
        standby->said = true;
        /* RS1 pairs with RC1 in acceptor/upgrade/relay_change.c. */
        atomic_store_explicit(&standby->control->own->process.successor_state, RC_PROCESS_STANDBY,
                              memory_order_release);
        (void)rc_doorbell_wake(standby->acceptor_bell_fd);
    }
    return false;
}

static bool standby_pending(void *context)
{
    const struct rc_standby *standby = context;
    return rc_control_relay_generation(standby->control) != standby->generation;
}

int rc_standby_open(struct rc_standby *standby, const struct rc_control *control, struct rc_relay_loop *loop,
                    int acceptor_bell_fd, struct rc_err *err)
{
    *standby = (struct rc_standby){.control = control,
                                   .loop = loop,
                                   .acceptor_bell_fd = acceptor_bell_fd,
                                   .generation = rc_control_relay_generation(control)};
    const struct rc_relay_loop_ops ops = {.turn = standby_step, .pending = standby_pending, .context = standby};
    return rc_relay_loop_open(loop, &standby->nobody, &ops, err);
}

void rc_standby_end(struct rc_standby *standby)
{
    standby->ended = true;
    rc_relay_loop_stop(standby->loop);
}

int rc_standby_run(struct rc_standby *standby, struct rc_err *err)
{
    const int rc = rc_relay_loop_run(standby->loop, err);
    return rc != 0 ? rc : standby->ended ? 0 : 1;
}
