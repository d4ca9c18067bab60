/*
 * supervisor: see supervisor.h.
 */
#include "acceptor/watch/supervisor.h"

#include <inttypes.h>

#include "common/base/log.h"

enum rc_broker_state rc_supervisor_state(const struct rc_supervisor *supervisor)
{
    return (enum rc_broker_state)atomic_load_explicit(&rc_broker_core(&supervisor->broker)->state,
                                                      memory_order_relaxed);
}

struct rc_metrics *rc_supervisor_metrics(const struct rc_supervisor *supervisor)
{
    return supervisor->broker.segments.metrics;
}

void rc_supervisor_enter(struct rc_supervisor *supervisor, enum rc_broker_state state)
{
    /* V1 pairs with C1 in rc_control_state: whoever sees the state sees the drain's deadline. */
    atomic_store_explicit(&rc_broker_core(&supervisor->broker)->state, (uint32_t)state, memory_order_release);
    rc_broker_ring_all(&supervisor->broker);
}

static void leave_service(struct rc_supervisor *supervisor, int exit_code)
{
    if (exit_code > supervisor->exit_code) {
        supervisor->exit_code = exit_code;
    }
    supervisor->stop_ms = supervisor->now_ms;
    for (uint32_t i = 0; i < supervisor->broker.worker_count; i++) {
        rc_steer_set_live(&supervisor->broker.steer, i, false);
    }
}

void rc_supervisor_drain(struct rc_supervisor *supervisor, int exit_code, const char *reason)
{
    if (rc_supervisor_state(supervisor) == RC_BROKER_STARTING) {
        rc_supervisor_stop(supervisor, exit_code, reason);
        return;
    }
    if (rc_supervisor_state(supervisor) != RC_BROKER_RUNNING) {
        supervisor->exit_code = exit_code > supervisor->exit_code ? exit_code : supervisor->exit_code;
        return;
    }
    const uint64_t timeout_ms = rc_segments_config(&supervisor->broker.segments)->server.drain_timeout_ms;
    leave_service(supervisor, exit_code);
    atomic_store_explicit(&rc_broker_core(&supervisor->broker)->drain_deadline_ms, supervisor->now_ms + timeout_ms,
                          memory_order_relaxed);
    rc_log_info("draining", "reason=\"%s\" timeout_ms=%" PRIu64, reason, timeout_ms);
    rc_sdnotify_send(&supervisor->notify, "STOPPING=1\nSTATUS=draining");
    rc_supervisor_enter(supervisor, RC_BROKER_DRAINING);
    /* From here on a listening socket lives exactly as long as its worker wants to answer on it. */
    for (uint32_t i = 0; i < supervisor->broker.listen_count; i++) {
        rc_listen_close(&supervisor->broker.listens[i]);
    }
}

void rc_supervisor_stop(struct rc_supervisor *supervisor, int exit_code, const char *reason)
{
    if (rc_supervisor_state(supervisor) == RC_BROKER_STOPPING) {
        supervisor->exit_code = exit_code > supervisor->exit_code ? exit_code : supervisor->exit_code;
        return;
    }
    leave_service(supervisor, exit_code);
    rc_log_info("stopping", "reason=\"%s\"", reason);
    rc_sdnotify_send(&supervisor->notify, "STOPPING=1\nSTATUS=stopping");
    rc_supervisor_enter(supervisor, RC_BROKER_STOPPING);
}

void rc_supervisor_tell_permissions(const struct rc_config *config)
{
    const char *outsiders = rc_config_outsiders(config);
    rc_log_info("permissions", "auto=%s because=\"%s\" publish=%s broadcast=%s direct=%s",
                outsiders == NULL ? "anyone" : "none",
                outsiders == NULL ? "only this machine's clients come" : outsiders,
                rc_config_who_name(config->namespaces[0].publish), rc_config_who_name(config->permissions.broadcast),
                rc_config_who_name(config->permissions.direct));
}
