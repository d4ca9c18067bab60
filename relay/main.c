/*
 * ringcast-relay: sequences every message of the host and routes it between the workers (design: processes, relay).
 *
 * Started by the acceptor with descriptors only (common/shm/spawn_args.h). Ends with 0 after it drained the workers' up rings when
 * it is told to (SIGTERM) or when the acceptor is gone; with one log line and 1 when it cannot work, 75 when memory or descriptors are short.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fail.h"
#include "common/base/inherited.h"
#include "common/base/log.h"
#include "common/config/log_settings.h"
#include "common/shm/control.h"
#include "common/shm/numbers.h"
#include "common/shm/spawn_args.h"
#include "relay/leaving.h"
#include "relay/loop.h"
#include "relay/history/store.h"
#include "relay/recovery/recovery.h"
#include "relay/route/port.h"
#include "relay/cluster/comeback.h"
#include "relay/cluster/limits.h"
#include "relay/cluster/queries.h"
#include "relay/remote.h"
#include "relay/cluster/newcomer.h"
#include "relay/cluster/presence_events.h"
#include "relay/cluster/roster.h"
#include "relay/route/router.h"
#include "relay/redis/overlap.h"
#include "relay/standby.h"

/* How long the last records may take: a stopped worker does not hold up the end. What stays is in its ring for a successor. */
#define DRAIN_MS_MAX 2000u
#define EXIT_SHORT 75  /* EX_TEMPFAIL: starting again may help. acceptor/watch/supervisor.h */
#define SWEEP_MS 1000u /* how often it is looked for what is kept too long */

struct relay {
    struct rc_spawn_args args;
    struct rc_control control;
    struct rc_relay_port *ports; /* owner */
    struct rc_router router;
    struct rc_relay_loop loop;
    struct rc_remote remote; /* other hosts; not opened without redis.url */
    struct rc_roster roster;
    struct rc_presence_events presence_events;
    struct rc_newcomers newcomers;
    struct rc_queries queries;
    struct rc_history history;
    struct rc_timer sweep; /* of the history, and of lost sockets */
    struct rc_recovery recovery;
    struct rc_comeback comeback; /* sockets that come back from other hosts */
    struct rc_cluster_limits limits;
    struct rc_leaving leaving;
    struct rc_standby standby;
    bool forwards; /* another one is the relay, and hears what this one hears */
    int signal_fd; /* owner */
    uint32_t config_generation;
    bool draining;
    uint64_t drain_end_ms;
};

static const struct rc_config *config_of(const struct relay *relay)
{
    return rc_control_config(&relay->control, relay->config_generation);
}

static uint64_t interest_max(const struct relay *relay)
{
    return (uint64_t)config_of(relay)->limits.max_channels_per_worker * relay->control.worker_count;
}

/* The copy that the generation names is complete (C2). */
static void take_config(struct relay *relay)
{
    relay->config_generation = rc_control_config_generation(&relay->control);
    rc_log_settings_apply(&config_of(relay)->log);
}

/* RM1 pairs with the acquire in acceptor/watch/reload.c: the acknowledgement lets the other copy be written again. */
static void acknowledge_config(struct relay *relay)
{
    atomic_store_explicit(&relay->control.own->process.config_generation, relay->config_generation,
                          memory_order_release); /* RM1 */
    (void)rc_doorbell_wake(relay->args.acceptor_bell_fd);
}

static void relay_drain(struct relay *relay, const char *why)
{
    if (relay->draining || relay->forwards) {
        rc_relay_loop_stop(&relay->loop); /* told twice, or nothing is left to drain: now */
        return;
    }
    rc_log_info("relay_draining", "why=\"%s\"", why);
    relay->draining = true;
    relay->drain_end_ms = rc_clock_ms() + DRAIN_MS_MAX;
}

static bool relay_turn(void *context)
{
    struct relay *relay = context;
    if (rc_control_config_generation(&relay->control) != relay->config_generation) {
        take_config(relay);
        rc_router_set_interest_max(&relay->router, interest_max(relay));
        rc_remote_configure(&relay->remote, config_of(relay));
        rc_queries_configure(&relay->queries, config_of(relay));
        rc_history_configure(&relay->history, config_of(relay));
        rc_recovery_configure(&relay->recovery, config_of(relay));
        acknowledge_config(relay);
    }
    rc_log_catch_up();
    rc_fanout_trace(&relay->router.fanout);
    if (rc_leaving_turn(&relay->leaving, relay->draining)) {
        rc_relay_loop_stop(&relay->loop);
    }
    if (relay->forwards) {
        return false;
    }
    const bool more = !rc_leaving_still(&relay->leaving) && rc_router_turn(&relay->router);
    if (relay->remote.link != NULL) {
        rc_redis_link_turn(relay->remote.link);
        rc_cluster_retained_turn(&relay->remote.retained);
        rc_router_ring(&relay->router); /* what the link tells workers need not wait */
    }
    if (relay->draining) {
        const bool drained = rc_router_drained(&relay->router) &&
                             (relay->remote.link == NULL ||
                              (rc_remote_leave(&relay->remote) && rc_redis_link_drained(relay->remote.link)));
        if (drained || rc_clock_ms() >= relay->drain_end_ms) {
            rc_log_info("relay_drained", "complete=%d", drained);
            rc_relay_loop_stop(&relay->loop);
        }
    }
    return more;
}

static bool relay_pending(void *context)
{
    struct relay *relay = context;
    return (!rc_leaving_still(&relay->leaving) && rc_router_pending(&relay->router)) ||
           (relay->remote.link != NULL && rc_redis_link_pending(relay->remote.link)) ||
           (relay->draining && relay->remote.link == NULL && rc_router_drained(&relay->router)) ||
           rc_control_config_generation(&relay->control) != relay->config_generation ||
           rc_tracer_changed(&relay->router.fanout.tracer);
}

/* What came from Redis is in the rings: the workers can go on while the relay ends its turn. */
static void relay_reaped(void *context)
{
    struct relay *relay = context;
    rc_router_ring(&relay->router);
}

static int relay_watch(void *context, int fd, uint32_t events, rc_redis_ready *ready, void *ready_context)
{
    struct relay *relay = context;
    return rc_relay_loop_poll(&relay->loop, fd, events, ready, ready_context);
}

static void relay_unwatch(void *context, int handle)
{
    struct relay *relay = context;
    rc_relay_loop_unpoll(&relay->loop, handle);
}

static void life_ended(void *context, uint32_t events)
{
    if ((events & (POLLHUP | POLLERR)) != 0) {
        relay_drain(context, "the acceptor is gone");
    }
}

static void life_ended_meanwhile(void *context, uint32_t events)
{
    struct relay *relay = context;
    if ((events & (POLLHUP | POLLERR)) != 0) {
        rc_standby_end(&relay->standby);
    }
}

/* --- one relay follows another ---------------------------------------------------------------------------------------- */

static bool leaving_quiet(void *context)
{
    const struct relay *relay = context;
    return relay->remote.link == NULL || rc_redis_link_quiet(relay->remote.link);
}

/* Nothing of this process is the relay's any more, but what it hears. */
static bool forward_turn(void *context)
{
    struct relay *relay = context;
    rc_log_catch_up();
    if (rc_redis_link_forward_turn(relay->remote.link)) {
        rc_relay_loop_stop(&relay->loop);
    }
    return false;
}

/* What closing would tidy up is the other one's by now. */
static _Noreturn void forward_end(struct relay *relay, int rc, const struct rc_err *err)
{
    rc_redis_link_forward_end(relay->remote.link);
    if (rc == 0) {
        rc_log_info("relay_left", "pid=%d", (int)getpid());
    } else {
        rc_log_error("relay_failed", "reason=\"%s\"", err->text);
    }
    rc_log_catch_up();
    _exit(rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool forward_pending(void *context)
{
    const struct relay *relay = context;
    return rc_redis_link_pending(relay->remote.link);
}

/* The rings are the other one's from here on. What this one would still say of itself nobody reads. */
static bool leaving_passed(void *context)
{
    static struct rc_relay_report nobody;
    struct relay *relay = context;
    if (relay->remote.link == NULL ||
        !rc_redis_link_forward(relay->remote.link, relay->args.pass_fd, relay->args.bell_fd)) {
        return true;
    }
    const struct rc_relay_loop_ops ops = {.turn = forward_turn, .pending = forward_pending, .context = relay};
    relay->forwards = true;
    relay->control.own_relay = &nobody;
    rc_timers_clear(&relay->loop.timers);
    rc_log_info("relay_leaves", "forwards=yes");
    rc_relay_loop_say(&relay->loop, RC_PROCESS_DRAINED);
    (void)rc_doorbell_wake(relay->args.acceptor_bell_fd);
    rc_relay_loop_become(&relay->loop, &nobody.report.process, &ops);
    return false;
}

static void open_leaving(struct relay *relay)
{
    const struct rc_leaving_ops ops = {.quiet = leaving_quiet, .passed = leaving_passed, .context = relay};
    rc_leaving_open(&relay->leaving, &relay->control.core->relay, &relay->loop, relay->args.acceptor_bell_fd, &ops);
}

/* Whoever ends a whole host or control group at once (killall5, KillMode=control-group) sends SIGTERM to everybody: workers still
 * need the relay then, so it is the acceptor's that counts. */
static void relay_signalled(void *context, uint32_t events)
{
    struct relay *relay = context;
    struct signalfd_siginfo info;
    (void)events;
    while (read(relay->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_pid == (uint32_t)getppid()) {
            relay_drain(relay, "SIGTERM");
        } else {
            rc_log_info("signal_ignored", "signal=SIGTERM pid=%u reason=\"the acceptor says when the relay ends\"",
                        info.ssi_pid);
        }
    }
}

/* SIGTERM becomes a descriptor. What a terminal sends to its whole group is the acceptor's to act on. */
static int open_signals(struct relay *relay, struct rc_err *err)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    rc_inherited_signals(ignored, &set);
    relay->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (relay->signal_fd < 0) {
        return rc_err_set(err, -errno, "signalfd: %s", strerror(errno));
    }
    return 0;
}

static int open_ports(struct relay *relay, struct rc_err *err)
{
    const uint32_t count = relay->control.worker_count;
    relay->ports = calloc(count, sizeof(*relay->ports)); /* gap sets stay untouched pages until they are needed */
    if (relay->ports == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for %u ports", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes;
        struct rc_port *shared;
        int rc = rc_port_map(&shared, relay->args.port_fds[i], &bytes, err);
        if (rc < 0) {
            return rc;
        }
        const struct rc_relay_port_setup setup = {.life = &relay->control.core->workers[i],
                                                  .bell = &relay->control.workers[i]->process.bell,
                                                  .verdict = &relay->control.own_relay->verdicts[i],
                                                  .gap_pending = &relay->control.keep->gap_pending[i],
                                                  .metrics = relay->control.metrics,
                                                  .index = i,
                                                  .bell_fd = relay->args.worker_bell_fds[i]};
        rc = rc_port_open(&relay->ports[i], shared, bytes, &setup, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int open_router(struct relay *relay, struct rc_err *err)
{
    const struct rc_router_setup setup = {
        .ports = relay->ports,
        .port_count = relay->control.worker_count,
        .truth = &relay->control.keep->truth,
        .metrics = relay->control.metrics,
        .relay_generation = rc_control_relay_generation(&relay->control),
        .interest_count_max = interest_max(relay),
        .idempotency = &relay->control.keep->idempotency,
        .history = &relay->history,
        .recovery = relay->recovery.on || rc_recovery_is_linked(&relay->recovery) ? &relay->recovery : NULL,
        .instance_id = relay->control.instance_id,
        .roster = &relay->roster,
        .query = rc_queries_take,
        .query_context = &relay->queries,
        .limit = rc_cluster_limits_take,
        .limit_context = &relay->limits,
        .presence = rc_presence_events_list,
        .presence_context = &relay->presence_events,
        .remote = {.ops = relay->remote.link != NULL ? &rc_remote_ops : NULL, .context = &relay->remote},
    };
    const int rc = rc_router_open(&relay->router, &setup);
    rc_tracer_open(&relay->router.fanout.tracer, relay->control.core, relay->control.own);
    return rc == 0 ? 0 : rc_err_set(err, rc, "no memory for the interest table");
}

/* The way to other hosts: before the router, which may have to publish a predecessor's last message again. */
static int open_remote(struct relay *relay, struct rc_err *err)
{
    const struct rc_redis_host host = {.watch = relay_watch, .unwatch = relay_unwatch, .context = relay};
    if (config_of(relay)->redis.url.text[0] == '\0') {
        return 0;
    }
    return rc_remote_open(&relay->remote, &relay->control, config_of(relay), &relay->router, &relay->history,
                          &relay->loop.timers, &host, relay->args.adopt != 0 ? relay->args.pass_fd : -1, err);
}

static void relay_changed(void *context, const struct rc_roster_change *change)
{
    struct relay *relay = context;
    rc_presence_events_changed(&relay->presence_events, change->channel);
    if (relay->remote.link == NULL) {
        rc_newcomers_changed(&relay->newcomers, change);
        return;
    }
    rc_presence_count(&relay->remote.presence, change->channel, change->user, change->info, change->clients);
}

static void relay_counted(void *context, struct rc_span channel, struct rc_span user, uint32_t changes,
                          uint32_t clients)
{
    struct relay *relay = context;
    rc_presence_events_counted(&relay->presence_events, channel);
    rc_newcomers_counted(&relay->newcomers, channel, user, changes, clients);
}

/* Who is in which channel, and what is answered about it. */
static int open_queries(struct relay *relay, struct rc_err *err)
{
    const bool remote = relay->remote.link != NULL;
    int rc = rc_roster_open(&relay->roster, relay->control.metrics);
    if (rc == 0) {
        rc = rc_queries_open(&relay->queries, &relay->control, config_of(relay), &relay->router, &relay->roster,
                             &relay->loop.timers, relay->remote.link, remote ? &relay->remote.registry : NULL);
    }
    if (rc == 0) {
        rc = rc_presence_events_open(&relay->presence_events, &relay->control, &relay->router, &relay->roster,
                                     &relay->loop.timers, relay->control.metrics, relay->remote.link,
                                     remote ? &relay->remote.registry : NULL);
    }
    relay->roster.ops = (struct rc_roster_ops){.changed = relay_changed, .context = relay};
    rc_newcomers_open(&relay->newcomers, &relay->control, &relay->router, &relay->roster, relay->remote.link,
                      &relay->loop.timers);
    if (remote) {
        relay->remote.presence.ops = (struct rc_presence_ops){.counted = relay_counted, .context = relay};
        relay->remote.newcomers = &relay->newcomers;
        relay->remote.presence_events = &relay->presence_events;
    }
    return rc == 0 ? 0 : rc_err_set(err, rc, "no memory for presence");
}

static void sweep_due(void *context, uint64_t now_ms)
{
    struct relay *relay = context;
    rc_history_sweep(&relay->history, now_ms + relay->history.view.clock_ahead);
    rc_recovery_sweep(&relay->recovery, now_ms);
    rc_timer_set(&relay->loop.timers, &relay->sweep, now_ms + SWEEP_MS, sweep_due, relay);
}

/* What a predecessor has kept of channels goes on. */
static int open_history(struct relay *relay, struct rc_err *err)
{
    /* A channel's retained values go down in one record, with head and name. */
    const uint64_t record_max = relay->ports[0].record_bytes_max - sizeof(struct rc_envelope) - RC_CHANNEL_NAME_MAX;
    const int rc =
        rc_history_open(&relay->history, &relay->control.history, config_of(relay), relay->control.metrics, record_max);
    if (rc != 0) {
        return rc_err_set(err, rc, "no memory for what is kept of channels");
    }
    return 0;
}

static uint32_t recovery_generation(void *context, uint32_t worker)
{
    const struct relay *relay = context;
    return relay->ports[worker].generation;
}

static uint64_t recovery_sent(void *context, uint32_t worker)
{
    const struct relay *relay = context;
    return relay->ports[worker].sent;
}

static int recovery_send(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    struct relay *relay = context;
    return rc_router_send(&relay->router, worker, RC_DOWN_QUERY, view);
}

static void recovery_room(void *context, struct rc_span channel, bool wanted)
{
    struct relay *relay = context;
    rc_remote_hold(&relay->remote, channel, wanted);
}

static uint64_t recovery_sequence(void *context)
{
    struct relay *relay = context;
    return rc_router_sequence(&relay->router);
}

static uint16_t recovery_elsewhere(void *context, struct rc_span channel, struct rc_span claim)
{
    struct relay *relay = context;
    return rc_comeback_ask(&relay->comeback, channel, claim);
}

static bool recovery_moved(void *context, uint64_t token)
{
    const struct relay *relay = context;
    return rc_comeback_moved(&relay->comeback, token) != NULL;
}

static bool comeback_hears(void *context, struct rc_span channel)
{
    struct relay *relay = context;
    return rc_remote_hears(&relay->remote, channel);
}

static const char *comeback_place(void *context)
{
    const struct relay *relay = context;
    return rc_adapter_place(&relay->remote.adapter);
}

static bool comeback_has(void *context, struct rc_span id)
{
    const struct relay *relay = context;
    return rc_adapter_has(&relay->remote.adapter, id);
}

/* -ENOMEM. */
static int open_comeback(struct relay *relay, struct rc_err *err)
{
    const struct rc_comeback_setup setup = {.bridge = &relay->remote.bridge,
                                            .registry = &relay->remote.registry,
                                            .recovery = &relay->recovery,
                                            .direct = &relay->remote.direct,
                                            .hears = comeback_hears,
                                            .place = comeback_place,
                                            .has = comeback_has,
                                            .context = relay};
    relay->remote.comeback = &relay->comeback;
    const int rc = relay->remote.link == NULL ? 0 : rc_comeback_open(&relay->comeback, &setup);
    return rc == 0 ? 0 : rc_err_set(err, rc, "no memory for Socket.IO clients that come back from other hosts");
}

/* Greatest sequence that predecessors gave; 0 = there was none, or it gave none. */
static uint64_t given_before(const struct relay *relay)
{
    const struct rc_relay_truth *truth = &relay->control.keep->truth;
    const uint64_t intent = atomic_load_explicit(&truth->intent_sequence, memory_order_relaxed);
    const uint64_t next = atomic_load_explicit(&truth->next_sequence, memory_order_relaxed);
    const uint64_t given = next > 0 ? next - 1 : 0;
    return rc_control_relay_generation(&relay->control) <= 1 ? 0 : intent > given ? intent : given;
}

/* Lost sockets of Socket.IO, and what they missed. */
static int open_recovery(struct relay *relay, struct rc_err *err)
{
    struct rc_recovery_view view;
    if (rc_recovery_view_open(&view, relay->control.recovery, relay->control.recovery_bytes, err) < 0) {
        return -EBADMSG;
    }
    const struct rc_recovery_setup setup = {
        .view = &view,
        .config = config_of(relay),
        .metrics = relay->control.metrics,
        .instance_id = relay->control.instance_id,
        .boot_nonce = relay->control.boot_nonce,
        .record_bytes_max = relay->ports[0].record_bytes_max - sizeof(struct rc_envelope) - RC_CHANNEL_NAME_MAX,
        .began = given_before(relay),
        .generation = recovery_generation,
        .sent = recovery_sent,
        .room = relay->remote.link != NULL ? recovery_room : NULL,
        .sequence = recovery_sequence,
        .moved = relay->remote.link != NULL ? recovery_moved : NULL,
        .elsewhere = relay->remote.link != NULL ? recovery_elsewhere : NULL,
        .send = recovery_send,
        .context = relay,
    };
    const int rc = rc_recovery_open(&relay->recovery, &setup);
    for (uint32_t i = 0; rc == 0 && i < relay->control.worker_count; i++) {
        rc_recovery_worker_gone(&relay->recovery, i, relay->ports[i].generation, rc_clock_ms());
    }
    return rc == 0 ? 0 : rc_err_set(err, rc, "no memory for what Socket.IO clients may come back for");
}

/* Waits until this is the relay: 1. 0: it is not wanted any more. */
static int stand_by(struct relay *relay, struct rc_err *err)
{
    rc_redis_overlap_forget(relay->args.pass_fd);
    int rc = rc_standby_open(&relay->standby, &relay->control, &relay->loop, relay->args.acceptor_bell_fd, err);
    if (rc != 0) {
        return rc;
    }
    const int life = rc_relay_loop_poll(&relay->loop, relay->args.life_fd, POLLIN, life_ended_meanwhile, relay);
    rc = life < 0 ? life : rc_relay_loop_watch(&relay->loop, relay->args.order_fd, true, NULL, NULL);
    if (rc != 0) {
        return rc_err_set(err, rc, "watching descriptors: %s", strerror(-rc));
    }
    rc = rc_standby_run(&relay->standby, err);
    rc_relay_loop_unpoll(&relay->loop, life);
    if (rc == 1) {
        take_config(relay);
        rc_banks_inherit(&relay->control.own->banks); /* the other one counts no more, but for what it forwards */
        rc_banks_take(&relay->control.own->banks);
    }
    return rc;
}

static int open_loop(struct relay *relay, struct rc_err *err)
{
    const struct rc_relay_loop_ops ops = {
        .turn = relay_turn, .pending = relay_pending, .reaped = relay_reaped, .context = relay};
    struct rc_process *process = &relay->control.own->process;
    const bool stood_by = relay->args.adopt != 0;
    int rc = 0;
    if (stood_by) {
        rc_relay_loop_become(&relay->loop, process, &ops);
    } else {
        rc = rc_relay_loop_open(&relay->loop, process, &ops, err);
    }
    if (rc != 0) {
        return rc;
    }
    rc = rc_relay_loop_watch(&relay->loop, relay->args.bell_fd, true, NULL, NULL);
    if (rc == 0) {
        rc = rc_relay_loop_watch(&relay->loop, relay->args.life_fd, false, life_ended, relay);
    }
    if (rc == 0 && !stood_by) {
        rc = rc_relay_loop_watch(&relay->loop, relay->args.order_fd, true, NULL, NULL);
    }
    if (rc == 0) {
        rc = rc_relay_loop_watch(&relay->loop, relay->signal_fd, false, relay_signalled, relay);
    }
    rc_timer_set(&relay->loop.timers, &relay->sweep, rc_clock_ms() + SWEEP_MS, sweep_due, relay);
    return rc == 0 ? 0 : rc_err_set(err, rc, "watching descriptors: %s", strerror(-rc));
}

/* Workers that sleep notice the new relay, and send their snapshots, when they are woken. */
static void wake_workers(struct relay *relay)
{
    for (uint32_t i = 0; i < relay->control.worker_count; i++) {
        (void)rc_doorbell_ring(&relay->control.workers[i]->process.bell, relay->args.worker_bell_fds[i],
                               &relay->ports[i].rung);
    }
}

static int open_limits(struct relay *relay, struct rc_err *err)
{
    const int rc = rc_cluster_limits_open(&relay->limits, &relay->router, relay->remote.link);
    return rc == 0 ? 0 : rc_err_set(err, rc, "no memory for limits");
}

/* Each needs what those before it have opened. */
static int (*const opened_in_turn[])(struct relay *, struct rc_err *) = {
    open_ports,  open_history,  open_loop,     open_remote, open_queries,
    open_limits, open_recovery, open_comeback, open_router,
};

static int relay_run(struct relay *relay, int argc, char **argv, struct rc_err *err)
{
    int rc = rc_spawn_args_parse(&relay->args, argc, argv, err);
    if (rc == 0) {
        rc = rc_control_attach(&relay->control, &relay->args, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct rc_flight_lines *lines = &relay->control.own->lines;
    rc_log_record(&lines->head, lines->entries, RC_FLIGHT_LINES);
    rc_log_count_dropped(&relay->control.metrics->values[RC_METRIC_LOG_DROPPED]);
    rc_log_count_suppressed(&relay->control.metrics->values[RC_METRIC_LOG_SUPPRESSED]);
    take_config(relay);
    rc_log_open("relay", -1, (enum rc_log_level)config_of(relay)->log.level,
                (enum rc_log_format)config_of(relay)->log.format);
    rc = rc_fail_here("relay short") ? rc_err_set(err, -ENOMEM, "it is to fail here") : open_signals(relay, err);
    if (rc == 0 && relay->args.adopt != 0 && rc_fail_here("relay standby")) {
        rc = rc_err_set(err, -EINVAL, "it is to fail here");
    }
    if (rc == 0 && relay->args.adopt != 0) {
        rc = stand_by(relay, err);
        if (rc <= 0) {
            return rc;
        }
        rc = 0;
    }
    if (relay->args.adopt == 0) {
        rc_redis_overlap_drop(relay->args.pass_fd);
    }
    acknowledge_config(relay);
    for (size_t i = 0; rc == 0 && i < RC_ARRAY_COUNT(opened_in_turn); i++) {
        rc = opened_in_turn[i](relay, err);
    }
    if (rc != 0) {
        return rc;
    }
    open_leaving(relay);
    rc_recovery_tell_rooms(&relay->recovery);
    /* RM2 pairs with the acquire in rc_child_state (acceptor/watch/child.h): who sees it sees all that was opened. */
    atomic_store_explicit(&relay->control.own->process.state, RC_PROCESS_READY, memory_order_release);
    (void)rc_doorbell_wake(relay->args.acceptor_bell_fd);
    rc_log_info("relay_started", "generation=%u workers=%u", relay->router.setup.relay_generation,
                relay->control.worker_count);
    wake_workers(relay);
    rc = rc_relay_loop_run(&relay->loop, err);
    if (relay->forwards) {
        forward_end(relay, rc, err);
    }
    rc_remote_close(&relay->remote);
    rc_newcomers_close(&relay->newcomers);
    rc_comeback_close(&relay->comeback);
    rc_timer_cancel(&relay->loop.timers, &relay->sweep);
    rc_relay_loop_close(&relay->loop);
    rc_queries_close(&relay->queries);
    rc_presence_events_close(&relay->presence_events);
    rc_cluster_limits_close(&relay->limits);
    rc_router_close(&relay->router);
    rc_recovery_close(&relay->recovery);
    rc_history_close(&relay->history);
    rc_roster_close(&relay->roster);
    for (int i = 0; relay->ports != NULL && i < relay->args.port_count; i++) {
        rc_port_close(&relay->ports[i]);
    }
    free(relay->ports);
    return rc;
}

int main(int argc, char **argv)
{
    static struct relay relay;
    struct rc_err err = {.text = ""};
    if (rc_inherited_descriptors() != 0) {
        return EXIT_FAILURE;
    }
    if (rc_numbers_wanted(argc, argv)) {
        rc_numbers_write(stdout, NULL, 0);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    rc_inherited_name("ringcast-relay");
    rc_log_never_wait();
    rc_log_open("relay", -1, RC_LOG_INFO, RC_LOG_TEXT);
    const int rc = relay_run(&relay, argc, argv, &err);
    if (rc != 0) {
        rc_log_error("relay_failed", "reason=\"%s\"", err.text);
        return rc_err_is_short(rc) ? EXIT_SHORT : EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
