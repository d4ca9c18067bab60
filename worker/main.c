/*
 * ringcast-worker: clients' connections on one CPU. Started by the acceptor only; main() wires the modules and runs the loop.
 *
 *   wait (io) -> what came from clients (client) -> what came down (uplink, hub) -> turn (hub) -> tell the relay (uplink)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/inherited.h"
#include "common/base/log.h"
#include "common/config/log_settings.h"
#include "common/shm/spawn_args.h"
#include "worker/api/api.h"
#include "worker/backend/backend_io.h"
#include "worker/carrier/crossing.h"
#include "worker/carrier/handover.h"
#include "worker/carrier/polling.h"
#include "worker/carrier/stream.h"
#include "worker/carrier/websocket.h"
#include "worker/client/client.h"
#include "worker/client/overload.h"
#include "worker/engine/asked.h"
#include "worker/engine/doing.h"
#include "worker/engine/requests.h"
#include "worker/engine/rule_retained.h"
#include "worker/http/client_files.h"
#include "worker/limits/limits.h"
#include "worker/store/truth_check.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/interests.h"
#include "worker/uplink/memberships.h"

#define EXIT_SETUP 78     /* EX_CONFIG: starting again would not help */
#define WAIT_MS_MAX 1000u /* heartbeat */
#define TRIM_AFTER_MS 5000u

struct worker {
    struct rc_spawn_args args;
    struct rc_control control;
    struct rc_process *process;
    uint32_t state; /* enum rc_process_state */
    struct rc_port_view port;
    const struct rc_config *config;
    uint32_t config_generation;
    struct rc_truth truth;
    struct rc_io io;
    struct rc_hub hub;
    struct rc_uplink uplink;
    struct rc_interests interests;
    struct rc_asks asks;
    struct rc_memberships memberships;
    struct rc_limits limits;
    struct rc_backends *backends;
    struct rc_batches *batches;
    struct rc_identities identities;
    struct rc_clients clients;
    struct rc_handovers handovers;
    struct rc_engines engines;
    struct rc_polling polling;
    struct rc_streams streams;
    struct rc_websockets websockets;
    struct rc_api api;
    struct rc_client_files client_files;
    struct rc_overload overload;
    struct rc_metrics *metrics;
#ifdef RC_DEBUG
    struct rc_truth_watch watch;
#endif
    bool parent_gone;
    bool more; /* the down ring had more than one batch, or a step of the API is to be continued */
    uint64_t trim_ms;
};

static struct worker worker; /* the one file-level state: this is main.c */

/* --- handlers that main wires between the layers --- */

static void on_doorbell(void *context)
{
    (void)context; /* being awake is all it asks for */
}

static void on_parent_gone(void *context)
{
    struct worker *w = context;
    w->parent_gone = true;
}

static void on_writable(void *context, uint32_t socket)
{
    rc_hub_writable(context, socket);
}

static void on_short_send(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                          int error)
{
    rc_hub_short_send(context, packet, pieces, sent, error);
}

static void worker_beat(struct worker *w)
{
    /* Again and again: a stray write must not make the worker look as if it did not run. */
    atomic_store_explicit(&w->process->state, w->state, memory_order_relaxed);
    atomic_store_explicit(&w->process->heartbeat_ms, rc_clock_ms(), memory_order_relaxed);
    atomic_store_explicit(&w->process->connections, w->io.open_count, memory_order_relaxed);
}

/* A word was stored that the acceptor waits for. It looks every second anyway: an error would be one of this program's. */
static void tell_acceptor(const struct worker *w)
{
    const int rc = rc_doorbell_wake(w->args.acceptor_bell_fd);
    RC_ASSERT(rc == 0);
}

static void tell_relay(struct worker *w)
{
    rc_interests_flush(&w->interests);
    rc_uplink_flush(&w->uplink);
}

static void on_round(void *context)
{
    struct worker *w = context;
    worker_beat(w);
    if (w->hub.has_critical) {
        w->more |= rc_uplink_drain(&w->uplink); /* what is critical in it goes before the rest of the turn */
    }
    tell_relay(w);
}

/* io speaks to clients, but for the two events that are the hub's; one context each. */
static struct rc_io_handlers io_handlers(void)
{
    return (struct rc_io_handlers){
        .context = &worker,
        .doorbell = on_doorbell,
        .parent_gone = on_parent_gone,
    };
}

static bool to_accepted(void *context, uint32_t socket, uint32_t listener)
{
    struct worker *w = context;
    return rc_socket_accepted(&w->clients, socket, listener);
}

/* Made from here, to a backend: no client's. */
static bool made_here(const struct worker *w, uint32_t socket)
{
    return w->truth.sockets[socket].listener == RC_SOCKET_MADE_HERE;
}

static void to_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count)
{
    struct worker *w = context;
    if (made_here(w, socket)) {
        rc_backend_received(w->backends, socket, bytes, count);
        return;
    }
    rc_socket_received(&w->clients, socket, bytes, count);
}

static int to_preface(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count, bool *done)
{
    struct worker *w = context;
    return rc_socket_preface(&w->clients, socket, bytes, count, done);
}

static void to_ended(void *context, uint32_t socket, int error)
{
    struct worker *w = context;
    if (made_here(w, socket)) {
        rc_backend_ended(w->backends, socket, error);
        return;
    }
    rc_socket_ended(&w->clients, socket, error);
}

static void to_writable(void *context, uint32_t socket)
{
    struct worker *w = context;
    on_writable(&w->hub, socket);
}

static void to_short_send(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                          int error)
{
    struct worker *w = context;
    on_short_send(&w->hub, packet, pieces, sent, error);
}

static void to_timer(void *context, uint32_t socket)
{
    struct worker *w = context;
    if (made_here(w, socket)) {
        rc_backend_timer(w->backends, socket);
        return;
    }
    rc_socket_timer(&w->clients, socket);
}

static void to_plain_on_tls(void *context, uint32_t socket)
{
    struct worker *w = context;
    rc_socket_plain_on_tls(&w->clients, socket);
}

static void to_terminated(void *context, uint32_t socket)
{
    struct worker *w = context;
    if (made_here(w, socket)) {
        rc_backend_terminated(w->backends, socket);
        return;
    }
    rc_socket_terminated(&w->clients, socket);
}

static void to_given(void *context, uint32_t socket, int fd)
{
    struct worker *w = context;
    rc_handover_given(&w->handovers, socket, fd);
}

static void to_connected(void *context, const struct rc_io_connect *connect, int fd, int error)
{
    struct worker *w = context;
    if (connect->token & RC_BACKEND_TOKEN) {
        rc_backend_connected(w->backends, connect, fd, error);
        return;
    }
    rc_crossing_connected(&w->handovers, connect, fd, error);
}

static void to_placed(void *context, const struct rc_io_place *place, uint32_t socket)
{
    struct worker *w = context;
    if (place->from.listener == RC_SOCKET_MADE_HERE) {
        rc_backend_placed(w->backends, place, socket);
        return;
    }
    rc_handover_placed(&w->handovers, place, socket);
}

static void to_interest_changed(void *context, uint32_t channel)
{
    struct worker *w = context;
    rc_interests_changed(&w->interests, channel);
}

static void to_member_changed(void *context, uint32_t client, uint32_t channel, bool joined)
{
    struct worker *w = context;
    rc_memberships_changed(&w->memberships, client, channel, joined);
}

/* What the hub says of one client. */
#define TO_CLIENTS(name, function)                   \
    static void name(void *context, uint32_t client) \
    {                                                \
        struct worker *w = context;                  \
        function(&w->clients, client);               \
    }
TO_CLIENTS(to_leaving, rc_client_leaving)
TO_CLIENTS(to_flushed, rc_client_flushed)
TO_CLIENTS(to_end, rc_client_end)
TO_CLIENTS(to_cut_off, rc_client_cut_off)
TO_CLIENTS(to_joined, rc_client_joined)
TO_CLIENTS(to_subscribed, rc_client_subscribed)

static void to_answered(void *context, uint32_t socket)
{
    struct worker *w = context;
    if (!made_here(w, socket)) { /* a request has left: its answer is waited for anyway */
        rc_socket_answered(&w->clients, socket);
    }
}

static void to_ready(void *context, uint32_t client)
{
    struct worker *w = context;
    rc_engine_ready(&w->engines, client);
}

static void to_values(void *context, uint32_t client, uint32_t channel, struct rc_span values)
{
    struct worker *w = context;
    rc_rule_retained_came(&w->engines, client, channel, values);
}

static void to_refused(void *context, uint32_t client, uint32_t code, struct rc_span message)
{
    struct worker *w = context;
    rc_client_refused(&w->clients, client, code, message);
}

static void to_replies_drained(void *context, uint32_t socket)
{
    struct worker *w = context;
    if (!made_here(w, socket)) {
        rc_socket_replies_drained(&w->clients, socket);
    }
}

static void to_limit_ready(void *context, const struct rc_client_ref *client)
{
    struct worker *w = context;
    if (rc_client_is_here(&w->clients, client)) {
        rc_client_answered(&w->clients, client->slot);
    }
}

static void to_call(void *context, const struct rc_envelope_view *view)
{
    (void)context; /* the clients' */
    if (rc_doing_mine(view)) {
        rc_doing_serve(&worker.engines, view);
        return;
    }
    if (rc_requests_mine(view)) {
        rc_requests_serve(&worker.engines, view);
        return;
    }
    rc_api_serve(&worker.api, view);
}

static void to_direct_called(void *context, const struct rc_envelope_view *view)
{
    (void)context;
    rc_api_serve_direct(&worker.api, view);
}

/* --- start --- */

static int map_shared(struct worker *w, struct rc_err *err)
{
    uint64_t bytes = 0;
    int rc = rc_control_attach(&w->control, &w->args, err);
    if (rc < 0) {
        return rc;
    }
    struct rc_port *port = rc_port_map(w->args.port_fds[0], &bytes, err);
    if (port == NULL) {
        return -EINVAL;
    }
    w->process = &w->control.own->process;
    w->metrics = &w->control.own->metrics;
    rc_log_count_dropped(&w->metrics->values[RC_METRIC_LOG_DROPPED]);
    rc_log_count_suppressed(&w->metrics->values[RC_METRIC_LOG_SUPPRESSED]);
    return rc_port_view_open(&w->port, port, bytes, err);
}

/* --- who clients are -------------------------------------------------------------------------------------------------- */

static void to_identity_ready(void *context, const struct rc_identity_asker *asker)
{
    struct worker *w = context;
    if (!asker->is_client) {
        rc_waiters_add(&w->uplink.waiters, asker->index);
    } else if (rc_truth_named(&w->truth, asker->index, asker->token) != NULL) {
        rc_client_answered(&w->clients, asker->index);
    }
}

static void to_session_gone(void *context, uint32_t session)
{
    struct worker *w = context;
    rc_clients_logged_out(&w->clients, session);
}

static void to_session_heard(void *context, bool answered)
{
    struct worker *w = context;
    rc_identities_heard(&w->identities, answered);
}

static uint32_t to_revocable_clients(void *context)
{
    const struct worker *w = context;
    return w->hub.clients_high;
}

static uint64_t to_revocable_client(void *context, uint32_t client, struct rc_revocable *token)
{
    const struct worker *w = context;
    return rc_client_token(&w->clients, client, token);
}

static void to_revoked(void *context, uint32_t client, uint64_t random)
{
    struct worker *w = context;
    rc_clients_revoked(&w->clients, client, random);
}

static void adopt_config(struct worker *w, bool first)
{
    const uint32_t generation = rc_control_config_generation(&w->control);
    if (!first && generation == w->config_generation) {
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
        rc_identities_reconfigure(&w->identities, w->config, generation);
        rc_clients_reconfigure(&w->clients, w->config);
        rc_api_reconfigure(&w->api);
        rc_overload_reconfigure(&w->overload, w->config);
        rc_io_tls_reload(&w->io, &w->control, w->config);
        w->truth.layout->config_generation = generation; /* what is in the truth is by it, from here on */
    }
    /* W1 pairs with A2 in acceptor/watch/reload.c: this was the last look at the former configuration. */
    atomic_store_explicit(&w->process->config_generation, generation, memory_order_release);
    tell_acceptor(w);
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

/* --- what is opened --- */

static int open_truth(struct worker *w, struct rc_err *err)
{
    const int rc = rc_truth_create(&w->truth, w->args.truth_fd, w->control.direct_descriptors, w->config,
                                   rc_io_truth_bytes(w->config->server.receive_buffers_bytes), w->control.boot_ms, err);
    if (rc == 0) {
        w->truth.layout->config_generation = w->config_generation;
    }
    return rc;
}

static int open_hub(struct worker *w, struct rc_err *err)
{
    const struct rc_hub_handlers handlers = {.context = w,
                                             .interest_changed = to_interest_changed,
                                             .member_changed = to_member_changed,
                                             .leaving = to_leaving,
                                             .joined = to_joined,
                                             .subscribed = to_subscribed,
                                             .values = to_values,
                                             .replies_drained = to_replies_drained,
                                             .flushed = to_flushed,
                                             .answered = to_answered,
                                             .ready = to_ready,
                                             .refused = to_refused,
                                             .end = to_end,
                                             .cut_off = to_cut_off,
                                             .round = on_round};
    return rc_hub_open(&w->hub, &w->truth, &w->io, w->metrics, &handlers, &w->control, w->config,
                       (uint32_t)w->args.index, err);
}

/* Rings, and what is told and asked through them. Who hears of it is opened later, before the first record is read. */
static int open_uplink(struct worker *w, struct rc_err *err)
{
    struct rc_uplink_handlers handlers = rc_clients_uplink_handlers(&w->clients);
    const struct rc_interests_handlers interest_handlers = rc_clients_interests_handlers(&w->clients);
    handlers.call = to_call;
    handlers.direct_called = to_direct_called;
    const int rc = rc_uplink_open(&w->uplink, &w->control, &w->port, &w->truth, w->metrics, w->args.index,
                                  w->args.relay_bell_fd, &handlers, err);
    rc_interests_open(&w->interests, &w->control, &w->truth, &w->uplink, w->metrics, &w->io.now_ns, &interest_handlers);
    rc_asks_open(&w->asks, &w->control, w->metrics, &w->io.now_ns);
    rc_memberships_open(&w->memberships, &w->uplink, &w->truth, &w->hub.clients_high, (uint32_t)w->args.index,
                        w->config);
    return rc;
}

static int open_clients(struct worker *w, struct rc_err *err)
{
    (void)err;
    return rc_clients_open(&w->clients, &w->control, w->config, &w->truth, &w->io, &w->hub, &w->uplink, &w->interests,
                           &w->asks, w->metrics, (uint32_t)w->args.index);
}

static int open_identities(struct worker *w, struct rc_err *err)
{
    const struct rc_sessions_ops ops = {
        .context = w, .ready = to_identity_ready, .gone = to_session_gone, .heard = to_session_heard};
    (void)err;
    rc_sessions_open(&w->identities.sessions, &w->asks, &w->uplink, w->metrics, (uint32_t)w->args.index, &w->io.now_ns,
                     &ops);
    const struct rc_revocations_ops revocations = {.context = w,
                                                   .ready = to_identity_ready,
                                                   .clients = to_revocable_clients,
                                                   .client = to_revocable_client,
                                                   .revoked = to_revoked};
    rc_revocations_open(&w->identities.revocations, &w->asks, &w->uplink, w->metrics, (uint32_t)w->args.index,
                        &w->io.now_ns, &revocations);
    rc_identities_open(&w->identities, w->config, w->config_generation, &w->control, w->control.keys, w->metrics);
    w->clients.identities = &w->identities;
    return 0;
}

static int open_limits(struct worker *w, struct rc_err *err)
{
    (void)err;
    rc_limits_open(&w->limits, &w->control, &w->asks, &w->uplink, w->metrics, &w->io.now_ns, (uint32_t)w->args.index,
                   w->config->redis.url.text[0] != '\0', to_limit_ready, w);
    w->clients.limits = &w->limits;
    return 0;
}

static int open_backends(struct worker *w, struct rc_err *err)
{
    w->backends = rc_backends_open(&w->control, &w->truth, &w->io, &w->hub, w->config, (uint32_t)w->args.index);
    w->batches = rc_batches_open(w->backends, w->control.own->backends);
    if (w->backends == NULL || w->batches == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for backends");
    }
    rc_batches_reconfigure(w->batches, w->config);
    w->clients.backends = w->backends;
    w->identities.callers.backends = w->backends;
    w->clients.batches = w->batches;
    w->clients.answered = rc_client_answered;
    return 0;
}

static int open_carriers(struct worker *w, struct rc_err *err)
{
    (void)err;
    rc_handovers_open(&w->handovers, &w->clients, w->args.outbox_fds);
    rc_streams_open(&w->streams, &w->clients);
    return rc_websockets_open(&w->websockets, &w->clients);
}

static int open_engines(struct worker *w, struct rc_err *err)
{
    (void)err;
    rc_engines_open(&w->engines, &w->clients);
    rc_polling_open(&w->polling, &w->engines, &w->handovers);
    return 0;
}

static int open_api(struct worker *w, struct rc_err *err)
{
    (void)err;
    rc_api_open(&w->api, &w->clients);
    rc_resources_add_routes(&w->api, &w->clients.routes);
    rc_client_files_open(&w->client_files, w->config, &w->clients.routes);
    return 0;
}

/* Connections come from here on: whoever is told of them is there. */
static int open_io(struct worker *w, struct rc_err *err)
{
    struct rc_io_handlers handlers = io_handlers();
    handlers.accepted = to_accepted;
    handlers.received = to_received;
    handlers.preface = to_preface;
    handlers.ended = to_ended;
    handlers.writable = to_writable;
    handlers.short_send = to_short_send;
    handlers.timer = to_timer;
    handlers.plain_on_tls = to_plain_on_tls;
    handlers.given = to_given;
    handlers.placed = to_placed;
    handlers.connected = to_connected;
    handlers.terminated = to_terminated;
    const struct rc_io_options options = {.args = &w->args,
                                          .control = &w->control,
                                          .slots_max = w->control.slots_per_worker,
                                          .direct_descriptors = w->control.direct_descriptors,
                                          .receive_buffers_bytes = w->config->server.receive_buffers_bytes,
                                          .config = w->config};
    return rc_io_open(&w->io, &w->truth, w->metrics, &handlers, &options, err);
}

static int open_clock(struct worker *w, struct rc_err *err)
{
    (void)err;
    return rc_engines_start(&w->engines);
}

static int open_steering(struct worker *w, struct rc_err *err)
{
    (void)err;
    if (w->args.steer_fd >= 0) {
        void *steer = mmap(NULL, sizeof(struct rc_steer_worker) * RC_WORKERS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED,
                           w->args.steer_fd, 0);
        w->io.steer = steer == MAP_FAILED ? NULL : (struct rc_steer_worker *)steer + w->args.index;
    }
    return 0;
}

static int open_overload(struct worker *w, struct rc_err *err)
{
    (void)err;
    rc_overload_open(&w->overload, &w->io, &w->clients, w->metrics, w->config);
    return 0;
}

/* In this order. Behind each: those whose state it reads or changes when it is opened, not only keeps a pointer to; that they stand before it is
 * checked below. */
#define ROOMS(ROOM)                                                                                            \
    ROOM(truth, 0)                                                                                             \
    ROOM(hub, BEHIND(truth))                                                                                   \
    ROOM(uplink, BEHIND(truth))                                                                                \
    ROOM(clients, BEHIND(truth) | BEHIND(hub))                                                                 \
    ROOM(identities, BEHIND(uplink) | BEHIND(clients))                                                         \
    ROOM(limits, BEHIND(uplink) | BEHIND(clients))                                                             \
    ROOM(backends, BEHIND(clients) | BEHIND(identities))                                                       \
    ROOM(carriers, BEHIND(clients))                                                                            \
    ROOM(engines, BEHIND(clients) | BEHIND(carriers))                                                          \
    ROOM(api, BEHIND(clients))                                                                                 \
    ROOM(io, BEHIND(truth) | BEHIND(hub) | BEHIND(clients) | BEHIND(carriers) | BEHIND(engines) | BEHIND(api)) \
    ROOM(clock, BEHIND(engines) | BEHIND(io))                                                                  \
    ROOM(steering, BEHIND(io))                                                                                 \
    ROOM(overload, BEHIND(io) | BEHIND(clients))

#define BEHIND(name) (1u << ROOM_##name)
#define ROOM(name, behind) ROOM_##name,
enum { ROOMS(ROOM) };
#undef ROOM
#define ROOM(name, behind) _Static_assert((behind) < BEHIND(name), #name " is opened behind what it looks at");
ROOMS(ROOM)
#undef ROOM

static int worker_start(struct worker *w, struct rc_err *err)
{
#define ROOM(name, behind) open_##name,
    static int (*const rooms[])(struct worker * w, struct rc_err * err) = {ROOMS(ROOM)};
#undef ROOM
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < RC_ARRAY_COUNT(rooms); i++) {
        rc = rooms[i](w, err);
    }
    return rc;
}

/* The end of a request may be the end of a session, and that of an event: clients go before what they are told by and ask. */
static void worker_stop(struct worker *w)
{
    rc_overload_close(&w->overload);
    rc_clients_close(&w->clients);
    rc_engines_close(&w->engines);
    rc_limits_close(&w->limits);
    rc_polling_close(&w->polling);
    rc_streams_close(&w->streams);
    rc_websockets_close(&w->websockets);
    rc_api_close(&w->api);
    rc_client_files_close(&w->client_files);
    rc_asks_close(&w->asks);
    rc_identities_close(&w->identities);
    rc_io_close(&w->io);
    rc_batches_close(w->batches);
    rc_backends_close(w->backends);
    rc_memberships_close(&w->memberships);
    rc_uplink_close(&w->uplink);
    rc_hub_close(&w->hub);
    rc_heap_close(&w->truth.heap);
}

/* --- the loop --- */

/* How long may the loop sleep? 0 when there is something to do. Announces the sleep and looks once more. */
static uint32_t sleep_ms(struct worker *w)
{
    if (w->more || rc_hub_pending(&w->hub) || rc_uplink_due(&w->uplink) || rc_interests_due(&w->interests)) {
        return 0;
    }
    const uint32_t io_ms = rc_overload_sleep_ms(&w->overload, rc_io_sleep_ms(&w->io, WAIT_MS_MAX));
    const uint32_t expiry_ms = rc_sessions_sleep_ms(&w->identities.sessions, rc_clients_sleep_ms(&w->clients, io_ms));
    const uint32_t clients_ms = rc_revocations_sleep_ms(&w->identities.revocations, expiry_ms);
    const uint32_t engines_ms =
        rc_doing_sleep_ms(&w->engines, rc_asked_sleep_ms(&w->engines, rc_engines_sleep_ms(&w->engines, clients_ms)));
    const uint32_t hub_ms = rc_hub_sleep_ms(&w->hub, engines_ms);
    const uint32_t batches_ms = rc_batches_sleep_ms(w->batches, w->io.now_ns / 1000000u, hub_ms);
    const uint32_t wait_ms = rc_backends_sleep_ms(w->backends, rc_asks_sleep_ms(&w->asks, batches_ms));
    rc_doorbell_sleep(&w->process->bell);
    if (rc_uplink_due(&w->uplink) || rc_interests_due(&w->interests) ||
        rc_control_config_generation(&w->control) != w->config_generation ||
        (!w->clients.draining && rc_control_state(&w->control) >= RC_BROKER_DRAINING)) {
        return 0;
    }
    return wait_ms;
}

static void worker_trim(struct worker *w)
{
    const uint64_t now = w->io.now_ns / 1000000u;
    if (now >= w->trim_ms) {
        w->trim_ms = now + TRIM_AFTER_MS;
        rc_heap_trim(&w->truth.heap);
    }
}

/* True when the worker is to end. */
static bool worker_ended(struct worker *w)
{
    const uint32_t state = rc_control_state(&w->control);
    if (w->parent_gone || state == RC_BROKER_STOPPING || w->uplink.corrupt) {
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
            !rc_pipes_wanted(&w->handovers.pipes) && !rc_batches_busy(w->batches) && !rc_backends_busy(w->backends)) ||
           rc_clock_ms() >= atomic_load_explicit(&w->control.core->drain_deadline_ms, memory_order_relaxed);
}

static void worker_run(struct worker *w)
{
    while (!worker_ended(w)) {
        rc_io_run(&w->io, sleep_ms(w));
        rc_overload_pass_begins(&w->overload);
        rc_doorbell_awake(&w->process->bell);
        worker_beat(w);
        rc_log_catch_up();
        adopt_config(w, false);
        rc_io_timers(&w->io);
        rc_engines_timers(&w->engines);
        rc_clients_expire(&w->clients);
        const bool settled = rc_hub_timers(&w->hub);
        w->more = rc_uplink_drain(&w->uplink) || !settled;
        rc_asks_expire(&w->asks);
        rc_sessions_work(&w->identities.sessions);
        rc_revocations_work(&w->identities.revocations);
        rc_batches_work(w->batches, w->io.now_ns / 1000000u);
        rc_backends_work(w->backends);
        rc_asked_work(&w->engines);
        rc_doing_work(&w->engines);
        rc_interests_ask_again(&w->interests);
        rc_clients_uplink_room(&w->clients);
        w->more |= rc_api_work(&w->api);
        rc_memberships_flush(&w->memberships);
        tell_relay(w);
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
        rc_memberships_flush(&w->memberships);
        tell_relay(w);
#ifdef RC_DEBUG
        rc_truth_watch(&w->watch, &w->truth);
#endif
        rc_overload_pass_ends(&w->overload);
    }
}

int main(int argc, char **argv)
{
    /* Not even SIGTERM: the acceptor says when a worker ends (ended), and one that goes at once would cut its clients off. */
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, 0};
    struct rc_err err = {0};
    if (rc_inherited_descriptors() != 0) {
        return EXIT_SETUP;
    }
    rc_inherited_name("ringcast-worker");
    rc_inherited_signals(ignored, NULL);
    rc_log_never_wait();
    rc_log_open("worker", -1, RC_LOG_INFO, RC_LOG_TEXT);
    if (rc_spawn_args_parse(&worker.args, argc, argv, &err) < 0 || map_shared(&worker, &err) < 0) {
        rc_log_error("worker_not_started", "reason=\"%s\" remedy=\"workers are started by ringcast run\"", err.text);
        return EXIT_SETUP;
    }
    adopt_config(&worker, true);
    rc_log_open("worker", worker.args.index, (enum rc_log_level)worker.config->log.level,
                (enum rc_log_format)worker.config->log.format);
    rc_log_settings_apply(&worker.config->log);
    reset_gauges(worker.metrics);
    worker.state = RC_PROCESS_STARTING;
    worker_beat(&worker);
    const int rc = worker_start(&worker, &err);
    if (rc < 0) {
        rc_log_error("worker_not_started", "reason=\"%s\"", err.text);
        /* Rings that a predecessor damaged: the next generation has others, while the relay mends these. */
        return rc == -EBADMSG ? EXIT_FAILURE : EXIT_SETUP;
    }
    worker.state = RC_PROCESS_READY;
    /* W2 pairs with A1 in acceptor/watch/child.h: everything that is opened is there. */
    atomic_store_explicit(&worker.process->state, RC_PROCESS_READY, memory_order_release);
    tell_acceptor(&worker);
    rc_log_info("worker_ready", "slots=%u listeners=%d", worker.control.slots_per_worker, worker.args.listen_count);
    worker_run(&worker);
    const bool corrupt = worker.uplink.corrupt;
    worker.state = RC_PROCESS_DRAINED;
    atomic_store_explicit(&worker.process->state, RC_PROCESS_DRAINED, memory_order_release); /* W2a */
    rc_log_info("worker_ended", "connections=%u", worker.io.open_count);
    worker_stop(&worker);
    return corrupt ? EXIT_FAILURE : EXIT_SUCCESS;
}
