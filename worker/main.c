/*
 * ringcast-worker: clients' connections on one CPU. Started by the acceptor only; main() wires the modules and runs the loop.
 *
 *   wait (io) -> what came from clients (client) -> what came down (uplink, hub) -> turn (hub) -> tell the relay (uplink)
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/inherited.h"
#include "common/base/log.h"
#include "common/config/log_settings.h"
#include "common/shm/numbers.h"
#include "worker/backend/backend_io.h"
#include "worker/backend/look.h"
#include "worker/engine/asked.h"
#include "worker/engine/doing.h"
#include "worker/engine/returning.h"
#include "worker/link/link_io.h"
#include "worker/io/memory.h"
#include "worker/worker.h"

#define EXIT_SETUP 78     /* EX_CONFIG: starting again would not help */
#define EXIT_SHORT 75     /* EX_TEMPFAIL: starting again may help. acceptor/watch/supervisor.h */
#define WAIT_MS_MAX 1000u /* heartbeat */
#define TRIM_AFTER_MS 5000u
#define DRAINED_MS_MAX \
    5u /* until the relay has heard the last words: it rings for what it says, not for what it has heard */
#define CATCH_UP_LOOK_MS 1u /* while somebody is waited for: it is looked whether that one has taken something */
#define PARKING_MS_MAX 10u  /* what is waited for says nothing when it is there */

static struct rc_worker worker; /* the one file-level state: this is main.c */

/* --- start --- */

static int map_shared(struct rc_worker *w, struct rc_err *err)
{
    uint64_t bytes = 0;
    int rc = rc_control_attach(&w->control, &w->args, err);
    if (rc < 0) {
        return rc;
    }
    struct rc_port *port;
    rc = rc_port_map(&port, w->args.port_fds[0], &bytes, err);
    if (rc < 0) {
        return rc;
    }
    w->process = &w->control.own->process;
    w->metrics = w->control.metrics;
    rc_log_count_dropped(&w->metrics->values[RC_METRIC_LOG_DROPPED]);
    rc_log_count_suppressed(&w->metrics->values[RC_METRIC_LOG_SUPPRESSED]);
    return rc_port_view_open(&w->port, port, bytes, err);
}

static void adopt_config(struct rc_worker *w, bool first)
{
    const uint32_t generation = rc_control_config_generation(&w->control);
    if (!first && (generation == w->config_generation || rc_moves_fixed(&w->moves))) {
        return;
    }
    w->config_generation = generation;
    w->config = rc_control_config(&w->control, generation);
    if (!first) {
        rc_log_settings_apply(&w->config->log);
        rc_hub_reconfigure(&w->hub, w->config);
        rc_memberships_reconfigure(&w->memberships, w->config);
        rc_backends_reconfigure(w->backends, w->config);
        rc_batches_reconfigure(w->batches, w->config);
        rc_engines_reconfigure(&w->engines, w->config);
        rc_links_reconfigure(w->links, w->config);
        rc_identities_reconfigure(&w->identities, w->config, generation);
        rc_clients_reconfigure(&w->clients, w->config);
        rc_pushers_reconfigure(&w->pushers);
        rc_api_reconfigure(&w->api);
        rc_overload_reconfigure(&w->overload, w->config);
        rc_io_tls_reload(&w->io, &w->control, w->config);
        w->truth.layout->config_generation = generation; /* what is in the truth is by it, from here on */
    }
    if (w->owns) {
        /* W1 pairs with A2 in acceptor/watch/reload.c: this was the last look at the former configuration. */
        atomic_store_explicit(&w->process->config_generation, generation, memory_order_release);
        rc_worker_tell_acceptor(w);
    }
}

/* Gauges of a predecessor are not true any more; its counters go on. */
static void reset_gauges(struct rc_metrics *metrics)
{
#define RC_COUNTER(id, name, help)
#define RC_GAUGE(id, name, help) rc_metric_set(metrics, RC_METRIC_##id, 0);
#define RC_HISTOGRAM(id, name, scale, help)
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
    for (uint32_t i = 0; i < RC_METRIC_NAMESPACES_MAX; i++) {
        atomic_store_explicit(&metrics->subscriptions[i], 0, memory_order_relaxed);
    }
}

/* --- the loop --- */

/* Until something is to be told that waits while this process is not to stand still (worker_run); then nobody wakes up for it. */
static uint32_t telling_sleep_ms(const struct rc_worker *w, uint32_t most_ms)
{
    return w->park.phase != RC_PARK_RUNNING ? most_ms
                                            : rc_batches_sleep_ms(w->batches, w->io.now_ns / 1000000u,
                                                                  rc_webhooks_sleep_ms(&w->pushers.webhooks, most_ms));
}

/* How long may the loop sleep? 0 when there is something to do. Announces the sleep and looks once more. */
static uint32_t sleep_ms(struct rc_worker *w)
{
    if (RC_UNLIKELY(rc_hub_waited(&w->hub))) {
        return CATCH_UP_LOOK_MS;
    }
    if (w->more || w->park.phase == RC_PARK_STILL || rc_hub_pending(&w->hub) || rc_uplink_due(&w->uplink) ||
        rc_interests_due(&w->interests)) {
        return 0;
    }
    const uint32_t io_ms = rc_overload_sleep_ms(&w->overload, rc_io_sleep_ms(&w->io, WAIT_MS_MAX));
    const uint32_t expiry_ms = rc_sessions_sleep_ms(&w->identities.sessions, rc_clients_sleep_ms(&w->clients, io_ms));
    const uint32_t clients_ms = rc_revocations_sleep_ms(&w->identities.revocations, expiry_ms);
    const uint32_t engines_ms =
        rc_doing_sleep_ms(&w->engines, rc_asked_sleep_ms(&w->engines, rc_engines_sleep_ms(&w->engines, clients_ms)));
    const uint32_t pushers_ms = rc_pushers_sleep_ms(&w->pushers, engines_ms);
    const uint32_t hub_ms = rc_hub_sleep_ms(&w->hub, pushers_ms);
    const uint32_t telling_ms = telling_sleep_ms(w, hub_ms);
    const uint32_t look_ms = rc_backends_look_in_ms(w->backends, w->io.now_ns / 1000000u, telling_ms);
    const uint32_t links_ms = rc_links_sleep_ms(w->links, look_ms);
    const uint32_t wait_ms = rc_backends_sleep_ms(w->backends, rc_asks_sleep_ms(&w->asks, links_ms));
    rc_doorbell_sleep(&w->process->bell);
    if (rc_uplink_due(&w->uplink) || rc_interests_due(&w->interests) ||
        rc_control_config_generation(&w->control) != w->config_generation ||
        (!w->clients.draining && rc_control_state(&w->control) >= RC_BROKER_DRAINING) || rc_park_due(w) ||
        rc_tracer_changed(&w->hub.traces.tracer)) {
        return 0;
    }
    const uint32_t most_ms = w->park.phase == RC_PARK_ANSWERING                   ? PARKING_MS_MAX
                             : w->clients.draining && w->clients.connections == 0 ? DRAINED_MS_MAX
                                                                                  : wait_ms;
    return rc_leave_sleep_ms(w, wait_ms < most_ms ? wait_ms : most_ms);
}

static void worker_trim(struct rc_worker *w)
{
    const uint64_t now = w->io.now_ns / 1000000u;
    if (now >= w->trim_ms) {
        w->trim_ms = now + TRIM_AFTER_MS;
        rc_heap_trim(&w->truth.heap);
    }
}

/* True when the worker is to end. */
static bool worker_ended(struct rc_worker *w)
{
    const uint32_t state = rc_control_state(&w->control);
    if (w->parent_gone || state == RC_BROKER_STOPPING || w->uplink.corrupt || w->leave.over) {
        return true;
    }
    if (state != RC_BROKER_DRAINING) {
        return false;
    }
    if (!rc_hub_drain(&w->hub)) {
        return false; /* what min_interval held back goes before the good-byes */
    }
    rc_clients_drain(&w->clients);
    /* Requests without a WebSocket are answered within a turn: but for API calls, nobody has to be waited for. The deadline is there:
     * C1 saw DRAINING, which is stored after it. */
    return (w->clients.connections == 0 && !rc_hub_pending(&w->hub) && !rc_clients_answering(&w->clients) &&
            !rc_pipes_wanted(&w->handovers.pipes) && !rc_batches_busy(w->batches) &&
            !rc_webhooks_busy(&w->pushers.webhooks) && !rc_backends_busy(w->backends) &&
            w->pushers.telling_bytes == 0 && rc_leave_told(w)) ||
           rc_clock_ms() >= atomic_load_explicit(&w->control.core->drain_deadline_ms, memory_order_relaxed);
}

static void worker_run(struct rc_worker *w)
{
    while (!worker_ended(w)) {
        rc_io_run(&w->io, sleep_ms(w));
        rc_overload_pass_begins(&w->overload);
        rc_doorbell_awake(&w->process->bell);
        rc_worker_beat(w);
        rc_log_catch_up();
        adopt_config(w, false);
        rc_clients_trace(&w->clients);
        rc_io_timers(&w->io);
        rc_engines_timers(&w->engines);
        if (w->park.phase !=
            RC_PARK_STILL) { /* a backend would be asked of them: the successor's wheel has them, too */
            rc_clients_expire(&w->clients);
        }
        const bool settled = rc_hub_timers(&w->hub);
        /* Who stands still leaves the relay's messages where they are, but for one that is half appended. */
        w->more = ((w->park.phase != RC_PARK_STILL || w->hub.kept->partial_mask != 0) && rc_uplink_drain(&w->uplink)) ||
                  !settled;
        rc_asks_expire(&w->asks);
        rc_sessions_work(&w->identities.sessions);
        rc_revocations_work(&w->identities.revocations);
        /* What would be asked now is a successor's; what is only told waits for it as soon as this process is to stand still, or there
         * would always be a call that it has to wait for. */
        const bool still = w->park.phase == RC_PARK_STILL;
        const bool runs = w->park.phase == RC_PARK_RUNNING;
        if (runs) {
            rc_batches_work(w->batches, w->io.now_ns / 1000000u);
        }
        rc_backends_look(w->backends, w->io.now_ns / 1000000u, runs && !w->clients.draining);
        rc_backends_work(w->backends);
        rc_links_work(w->links);
        rc_returnings_work(&w->engines);
        if (!still) { /* also those that wait for what the relay says */
            rc_asked_work(&w->engines);
        }
        if (runs) {
            rc_webhooks_work(&w->pushers.webhooks);
        }
        rc_doing_work(&w->engines);
        rc_pushers_work(&w->pushers, !runs);
        rc_interests_ask_again(&w->interests);
        rc_clients_uplink_room(&w->clients);
        w->more |= rc_api_work(&w->api);
        rc_memberships_flush(&w->memberships);
        rc_worker_tell_relay(w);
        rc_hub_tell_gaps(&w->hub);
        /* What comes down between the turn's rounds is the next turn's, or was critical. */
        const uint64_t position = w->uplink.down.position;
        if (rc_hub_pending(&w->hub)) {
            rc_hub_turn(&w->hub);
            rc_hub_tell_ready(&w->hub);
        } else {
            worker_trim(w);
        }
        rc_uplink_release(&w->uplink, position);
        w->more |= w->uplink.down.position != position; /* the rest is released in the next one */
        w->more |= rc_moves_pass(&w->moves);
        if (!rc_moves_held(&w->moves)) {
            rc_handovers_go_on(&w->handovers);
        }
        rc_memberships_flush(&w->memberships);
        rc_worker_tell_relay(w);
        rc_truth_watch(&w->watch, &w->truth);
        rc_overload_pass_ends(&w->overload);
        rc_park_pass(w);
        rc_leave_pass(w);
    }
}

/* Opens everything; clients may come. */
static int worker_begin(struct rc_worker *w, struct rc_err *err)
{
    reset_gauges(w->metrics);
    w->state = RC_PROCESS_STARTING;
    rc_worker_beat(w);
    const int rc = rc_worker_open(w, err);
    if (rc < 0) {
        return rc;
    }
    rc_worker_record(w); /* of clients, too, that are opened now */
    w->state = RC_PROCESS_READY;
    /* W2 pairs with A1 in acceptor/watch/child.h: everything that is opened is there. */
    atomic_store_explicit(&w->process->state, RC_PROCESS_READY, memory_order_release);
    rc_worker_tell_acceptor(w);
    rc_log_info("worker_ready", "slots=%u listeners=%d", w->control.slots_per_worker, w->args.listen_count);
    return 0;
}

/* For tests of what becomes of it, in builds that can (worker/store/order.h): by chance, within so many steps. */
static void die_sometime(void)
{
    const char *within = getenv("RINGCAST_DIES_WITHIN");
    uint64_t random = 0;
    if (within != NULL && getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random)) {
        rc_store_order_dies(1 + random % (strtoull(within, NULL, 10) + 1));
    }
}

/* The same, with the clients of a dead one. */
static int worker_adopt(struct rc_worker *w, struct rc_err *err)
{
    reset_gauges(w->metrics);
    w->state = RC_PROCESS_STARTING;
    rc_worker_alive(w);
    return rc_worker_adopt(w, err);
}

int main(int argc, char **argv)
{
    /* Not even SIGTERM: the acceptor says when a worker ends (ended), and one that goes at once would cut its clients off. */
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, 0};
    struct rc_err err = {0};
    if (rc_inherited_descriptors() != 0) {
        return EXIT_SETUP;
    }
    if (rc_numbers_wanted(argc, argv)) {
        static const struct rc_number own[] = {{"truth", RC_TRUTH_ABI}, {"io", RC_IO_MEMORY_ABI}};
        rc_numbers_write(stdout, own, RC_ARRAY_COUNT(own));
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    rc_inherited_name("ringcast-worker");
    rc_inherited_signals(ignored, NULL);
    rc_log_never_wait();
    rc_log_open("worker", -1, RC_LOG_INFO, RC_LOG_TEXT);
    int rc = rc_spawn_args_parse(&worker.args, argc, argv, &err);
    rc = rc < 0 ? rc : map_shared(&worker, &err);
    if (rc < 0) {
        const bool is_short = rc_err_is_short(rc);
        rc_log_error("worker_not_started", "reason=\"%s\" remedy=\"%s\"", err.text,
                     is_short ? "it is tried again" : "workers are started by ringcast run");
        return is_short ? EXIT_SHORT : EXIT_SETUP;
    }
    worker.owns = worker.args.adopt != RC_ADOPT_RUNNING;
    if (worker.owns) { /* else when it has taken over: a ring has one writer */
        rc_worker_record(&worker);
    }
    adopt_config(&worker, true);
    rc_log_open("worker", worker.args.index, (enum rc_log_level)worker.config->log.level,
                (enum rc_log_format)worker.config->log.format);
    rc_log_settings_apply(&worker.config->log);
    rc = worker.args.adopt == RC_ADOPT_NOBODY    ? worker_begin(&worker, &err)
         : worker.args.adopt == RC_ADOPT_RUNNING ? rc_worker_succeed(&worker, &err)
                                                 : worker_adopt(&worker, &err);
    if (rc < 0) {
        rc_log_error("worker_not_started", "reason=\"%s\"", err.text);
        if (rc_err_is_short(rc)) {
            return EXIT_SHORT;
        }
        /* Rings that a predecessor damaged: the next generation has others, while the relay mends these. Clients that cannot be gone on with by the
         * configuration in force (ESTALE): it begins without any. */
        return rc == -EBADMSG || rc == -ECANCELED || rc == -ESTALE ? EXIT_FAILURE : EXIT_SETUP;
    }
    die_sometime();
    worker_run(&worker);
    const bool corrupt = worker.uplink.corrupt;
    worker.state = RC_PROCESS_DRAINED;
    atomic_store_explicit(&worker.process->state, RC_PROCESS_DRAINED, memory_order_release); /* W2a */
    rc_log_info("worker_ended", "connections=%u", worker.io.open_count);
    rc_worker_close(&worker);
    reset_gauges(worker.metrics); /* nobody else may come in this place who would */
    return corrupt ? EXIT_FAILURE : EXIT_SUCCESS;
}
