/* rooms: the worker's rooms, opened and wired. See worker.h. */
#include "worker/worker.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/metrics/backend_health.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker/backend/backend_io.h"
#include "worker/carrier/crossing.h"
#include "worker/carrier/dialled.h"
#include "worker/carrier/stream.h"
#include "worker/engine/asked.h"
#include "worker/engine/doing.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/requests.h"
#include "worker/engine/rule_retained.h"
#include "worker/link/link_io.h"
#include "worker/store/taking.h"

/* --- what one room tells another --- */

static void on_doorbell(void *context)
{
    (void)context; /* being awake is all it asks for */
}

static void on_parent_gone(void *context)
{
    struct rc_worker *w = context;
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

void rc_worker_alive(struct rc_worker *w)
{
    /* Again and again: a stray write must not make the worker look as if it did not run. */
    atomic_store_explicit(&w->process->state, w->state, memory_order_relaxed);
    atomic_store_explicit(&w->process->heartbeat_ms, rc_clock_ms(), memory_order_relaxed);
}

void rc_worker_record(struct rc_worker *w)
{
    struct rc_report *own = w->control.own;
    rc_log_record(&own->lines.head, own->lines.entries, RC_FLIGHT_LINES);
    w->clients.closed = &own->closed;
    rc_tracer_open(&w->hub.traces.tracer, w->control.core, own);
}

void rc_worker_beat(struct rc_worker *w)
{
    rc_worker_alive(w);
    atomic_store_explicit(&w->process->connections, w->io.open_count, memory_order_relaxed);
}

void rc_worker_tell_acceptor(const struct rc_worker *w)
{
    /* It looks every second anyway: an error would be one of this program's. */
    const int rc = rc_doorbell_wake(w->args.acceptor_bell_fd);
    RC_ASSERT(rc == 0);
}

void rc_worker_tell_relay(struct rc_worker *w)
{
    rc_recoverables_tell(&w->engines);
    rc_interests_flush(&w->interests);
    rc_uplink_flush(&w->uplink);
}

static void on_round(void *context)
{
    struct rc_worker *w = context;
    rc_worker_beat(w);
    if (w->hub.has_critical && w->park.phase != RC_PARK_STILL) {
        w->more |= rc_uplink_drain(&w->uplink); /* what is critical in it goes before the rest of the turn */
    }
    rc_worker_tell_relay(w);
}

/* io speaks to clients, but for the two events that are the hub's; one context each. */
static struct rc_io_handlers io_handlers(struct rc_worker *w)
{
    return (struct rc_io_handlers){
        .context = w,
        .doorbell = on_doorbell,
        .parent_gone = on_parent_gone,
    };
}

static bool to_accepted(void *context, uint32_t socket, uint32_t listener)
{
    struct rc_worker *w = context;
    return rc_socket_accepted(&w->clients, socket, listener);
}

/* Made from here, to a backend: no client's. */
static bool made_here(const struct rc_worker *w, uint32_t socket)
{
    return w->truth.sockets[socket].listener == RC_SOCKET_MADE_HERE;
}

/* Of those, a link with a process of the application. */
static bool is_link(const struct rc_worker *w, uint32_t socket)
{
    return (w->truth.sockets[socket].exchange & RC_LINK_SOCKET) != 0;
}

static void to_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count)
{
    struct rc_worker *w = context;
    if (made_here(w, socket)) {
        rc_taking_over(&w->truth);
        if (is_link(w, socket)) {
            rc_link_received(w->links, socket, bytes, count);
        } else {
            rc_backend_received(w->backends, socket, bytes, count);
        }
        return;
    }
    rc_socket_received(&w->clients, socket, bytes, count);
}

static int to_preface(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count, bool *done)
{
    struct rc_worker *w = context;
    return rc_socket_preface(&w->clients, socket, bytes, count, done);
}

static void to_ended(void *context, uint32_t socket, int error)
{
    struct rc_worker *w = context;
    if (made_here(w, socket)) {
        if (is_link(w, socket)) {
            rc_link_ended(w->links, socket, error);
        } else {
            rc_backend_ended(w->backends, socket, error);
        }
        return;
    }
    rc_socket_ended(&w->clients, socket, error);
}

static void to_writable(void *context, uint32_t socket)
{
    struct rc_worker *w = context;
    on_writable(&w->hub, socket);
}

static void to_short_send(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                          int error)
{
    struct rc_worker *w = context;
    on_short_send(&w->hub, packet, pieces, sent, error);
}

static void to_timer(void *context, uint32_t socket)
{
    struct rc_worker *w = context;
    if (made_here(w, socket)) {
        if (!is_link(w, socket)) { /* links have no timer: rc_links_work */
            rc_backend_timer(w->backends, socket);
        }
        return;
    }
    rc_socket_timer(&w->clients, socket);
}

static void to_plain_on_tls(void *context, uint32_t socket)
{
    struct rc_worker *w = context;
    rc_socket_plain_on_tls(&w->clients, socket);
}

static void to_terminated(void *context, uint32_t socket)
{
    struct rc_worker *w = context;
    if (made_here(w, socket)) {
        if (w->truth.sockets[socket].exchange == 0) { /* a former process's, which nobody here knows */
            rc_hub_answers_release(&w->hub, socket);
        } else if (is_link(w, socket)) {
            rc_link_terminated(w->links, socket);
        } else {
            rc_backend_terminated(w->backends, socket);
        }
        return;
    }
    rc_socket_terminated(&w->clients, socket);
}

static void to_given(void *context, uint32_t socket, int fd)
{
    struct rc_worker *w = context;
    if (w->truth.sockets[socket].state == RC_SOCKET_CARRYING) {
        rc_moves_given(&w->moves, socket, fd);
        return;
    }
    rc_handover_given(&w->handovers, socket, fd);
}

static void to_connected(void *context, const struct rc_io_connect *connect, int fd, int error)
{
    struct rc_worker *w = context;
    if (connect->token & RC_LINK_TOKEN) {
        rc_link_connected(w->links, connect, fd, error);
        return;
    }
    if (connect->token & RC_BACKEND_TOKEN) {
        rc_backend_connected(w->backends, connect, fd, error);
        return;
    }
    rc_crossing_connected(&w->handovers, connect, fd, error);
}

static void to_placed(void *context, const struct rc_io_place *place, uint32_t socket)
{
    struct rc_worker *w = context;
    if (place->from.listener == RC_SOCKET_MADE_HERE) {
        if (place->token & RC_LINK_TOKEN) {
            rc_link_placed(w->links, place, socket);
        } else {
            rc_backend_placed(w->backends, place, socket);
        }
        return;
    }
    if (place->from.flags & RC_HANDOVER_CLIENT) {
        rc_moves_placed(&w->moves, place, socket);
        return;
    }
    rc_handover_placed(&w->handovers, place, socket);
}

static void to_taken(void *context, const struct rc_io_place *place, uint32_t socket)
{
    struct rc_worker *w = context;
    if (!(place->from.flags & RC_HANDOVER_CLIENT)) {
        rc_handover_taken(&w->handovers, place, socket);
    }
}

static void to_word(void *context, const struct rc_handover *from, const uint8_t *bytes)
{
    struct rc_worker *w = context;
    rc_moves_word(&w->moves, from, bytes);
}

static int to_stray(void *context, const struct rc_envelope_view *view)
{
    struct rc_worker *w = context;
    return rc_moves_stray(&w->moves, view);
}

static void to_interest_changed(void *context, uint32_t channel)
{
    struct rc_worker *w = context;
    rc_interests_changed(&w->interests, channel);
}

static void to_here_gone(void *context, uint64_t token)
{
    struct rc_worker *w = context;
    rc_links_share_gave(w->links, token);
}

static uint32_t to_here_kept(void *context)
{
    const struct rc_worker *w = context;
    return rc_links_share_kept(w->links);
}

static void to_member_changed(void *context, uint32_t client, uint32_t channel, bool joined)
{
    struct rc_worker *w = context;
    rc_memberships_changed(&w->memberships, client, channel, joined);
    if (rc_encoding_is_pusher(rc_truth_client(&w->truth, client)->encoding)) {
        rc_pusher_member_changed(&w->pushers, client, channel, joined);
        return;
    }
    rc_recoverable_room(&w->engines, client, channel);
}

/* What the hub says of one client. */
#define TO_CLIENTS(name, function)                   \
    static void name(void *context, uint32_t client) \
    {                                                \
        struct rc_worker *w = context;               \
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
    struct rc_worker *w = context;
    if (!made_here(w, socket)) { /* a request has left: its answer is waited for anyway */
        rc_socket_answered(&w->clients, socket);
    }
}

static void to_ready(void *context, uint32_t client)
{
    struct rc_worker *w = context;
    rc_engine_ready(&w->engines, client);
}

static void to_values(void *context, uint32_t client, uint32_t channel, struct rc_span values)
{
    struct rc_worker *w = context;
    if (rc_encoding_is_pusher(rc_truth_client(&w->truth, client)->encoding)) {
        rc_pusher_values(&w->pushers, client, channel, values);
        return;
    }
    rc_rule_retained_came(&w->engines, client, channel, values);
}

static void to_refused(void *context, uint32_t client, uint32_t code, struct rc_span message)
{
    struct rc_worker *w = context;
    rc_client_refused(&w->clients, client, code, message);
}

static void to_replies_drained(void *context, uint32_t socket)
{
    struct rc_worker *w = context;
    if (!made_here(w, socket)) {
        rc_socket_replies_drained(&w->clients, socket);
    }
}

static void to_limit_ready(void *context, const struct rc_client_ref *client)
{
    struct rc_worker *w = context;
    const uint32_t here = rc_client_here(&w->clients, client);
    if (here != 0) {
        rc_client_answered(&w->clients, here);
    }
}

/* The context of the uplink's handlers is the clients. */
static struct rc_worker *worker_of_clients(void *clients)
{
    return (struct rc_worker *)(void *)((uint8_t *)clients - offsetof(struct rc_worker, clients));
}

static void to_call(void *context, const struct rc_envelope_view *view)
{
    struct rc_worker *w = worker_of_clients(context);
    if (rc_doing_mine(view)) {
        rc_doing_serve(&w->engines, view);
        return;
    }
    if (rc_requests_mine(view)) {
        rc_requests_serve(&w->engines, view);
        return;
    }
    rc_api_serve(&w->api, view);
}

static void to_barrier(void *context, const struct rc_envelope_view *view)
{
    rc_moves_barrier(&worker_of_clients(context)->moves, view);
}

static int to_guests(void *context)
{
    return rc_moves_tell_guests(&worker_of_clients(context)->moves);
}

static void to_member_told(void *context, const struct rc_envelope_view *view)
{
    rc_pusher_member_told(&worker_of_clients(context)->pushers, view);
}

static void to_direct_called(void *context, const struct rc_envelope_view *view)
{
    rc_api_serve_direct(&worker_of_clients(context)->api, view);
}

/* --- who clients are -------------------------------------------------------------------------------------------------- */

static void to_identity_ready(void *context, const struct rc_identity_asker *asker)
{
    struct rc_worker *w = context;
    if (!asker->is_client) {
        rc_waiters_add(&w->uplink.waiters, asker->index);
    } else if (rc_truth_named(&w->truth, asker->index, asker->token) != NULL) {
        rc_client_answered(&w->clients, asker->index);
    }
}

static void to_session_gone(void *context, uint32_t session)
{
    struct rc_worker *w = context;
    rc_clients_logged_out(&w->clients, session);
}

static void to_session_heard(void *context, bool answered)
{
    struct rc_worker *w = context;
    rc_identities_heard(&w->identities, answered);
}

static uint64_t to_session_heard_ms(void *context)
{
    const struct rc_worker *w = context;
    return rc_backend_health_heard_ms(&w->control, RC_BACKEND_SESSIONS);
}

static uint32_t to_revocable_clients(void *context)
{
    const struct rc_worker *w = context;
    return w->hub.clients_high;
}

static uint64_t to_revocable_client(void *context, uint32_t client, struct rc_revocable *token)
{
    const struct rc_worker *w = context;
    return rc_client_token(&w->clients, client, token);
}

static void to_revoked(void *context, uint32_t client, uint64_t random)
{
    struct rc_worker *w = context;
    rc_clients_revoked(&w->clients, client, random);
}

/* --- what is opened --- */

/* How far the rings' producer, this worker's former process, came. UT1 pairs with B1 in acceptor/start/broker.c and with waitpid there: it has
 * written its last. */
static uint64_t up_tail(const struct rc_worker *w)
{
    const uint32_t pair =
        atomic_load_explicit(&w->control.core->workers[w->args.index].generation, memory_order_acquire) & 1; /* UT1 */
    return atomic_load_explicit(&w->port.shared->pairs[pair].up.tail, memory_order_acquire);                 /* UT1 */
}

/* What is in the truth is by the configuration that its writer had in force; the next one is taken over as always. */
static int open_config(struct rc_worker *w, struct rc_err *err)
{
    const uint32_t generation = w->truth.layout->config_generation;
    if (generation != w->config_generation && w->config_generation - generation != 1) {
        return rc_err_set(err, -ESTALE, "the configuration was read again meanwhile");
    }
    w->config_generation = generation;
    w->config = rc_control_config(&w->control, generation);
    return 0;
}

static int open_truth(struct rc_worker *w, struct rc_err *err)
{
    if (w->args.adopt != 0) {
        int rc = rc_truth_attach(&w->truth, w->args.truth_fd, err);
        if (rc == 0 && w->args.adopt != RC_ADOPT_RUNNING) {
            rc = rc_crash_begin(&w->crash, &w->truth, w->metrics, w->args.old_io_fd, up_tail(w),
                                w->args.adopt == RC_ADOPT_CRASHED, err);
        }
        return rc == 0 ? open_config(w, err) : rc;
    }
    const int rc = rc_truth_create(&w->truth, w->args.truth_fd, w->control.direct_descriptors, w->config, 0,
                                   w->control.boot_ms, err);
    if (rc == 0) {
        w->truth.layout->config_generation = w->config_generation;
    }
    return rc;
}

static int open_hub(struct rc_worker *w, struct rc_err *err)
{
    const struct rc_hub_handlers handlers = {.context = w,
                                             .interest_changed = to_interest_changed,
                                             .here_gone = to_here_gone,
                                             .here_kept = to_here_kept,
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
                                             .stray = to_stray,
                                             .round = on_round};
    return rc_hub_open(&w->hub, &w->truth, &w->io, w->metrics, &handlers, &w->control, w->config,
                       (uint32_t)w->args.index, err);
}

/* Rings, and what is told and asked through them. Who hears of it is opened later, before the first record is read. */
static int open_uplink(struct rc_worker *w, struct rc_err *err)
{
    struct rc_uplink_handlers handlers = rc_clients_uplink_handlers(&w->clients);
    struct rc_interests_handlers interest_handlers = rc_clients_interests_handlers(&w->clients);
    interest_handlers.guests = to_guests;
    handlers.barrier = to_barrier;
    handlers.call = to_call;
    handlers.direct_called = to_direct_called;
    w->truth.instance_id = w->control.instance_id;
    w->truth.boot_nonce = w->control.boot_nonce;
    w->truth.worker = (uint32_t)w->args.index;
    handlers.member = to_member_told;
    const int rc = rc_uplink_open(&w->uplink, &w->control, &w->port, &w->truth, w->metrics, w->args.index,
                                  w->args.relay_bell_fd, &handlers, err);
    rc_interests_open(&w->interests, &w->control, &w->truth, &w->uplink, w->metrics, &w->io.now_ns, &interest_handlers);
    rc_asks_open(&w->asks, &w->control, w->metrics, &w->io.now_ns);
    rc_memberships_open(&w->memberships, &w->uplink, &w->truth, &w->hub.clients_high, (uint32_t)w->args.index,
                        w->config);
    return rc;
}

static int open_clients(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    return rc_clients_open(&w->clients, &w->control, w->config, &w->truth, &w->io, &w->hub, &w->uplink, &w->interests,
                           &w->asks, w->metrics, (uint32_t)w->args.index);
}

static int open_identities(struct rc_worker *w, struct rc_err *err)
{
    const struct rc_sessions_ops ops = {.context = w,
                                        .ready = to_identity_ready,
                                        .gone = to_session_gone,
                                        .heard = to_session_heard,
                                        .heard_ms = to_session_heard_ms};
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

static int open_limits(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    rc_limits_open(&w->limits, &w->control, &w->asks, &w->uplink, w->metrics, &w->io.now_ns, (uint32_t)w->args.index,
                   w->config->redis.url.text[0] != '\0', w->truth.adopted, to_limit_ready, w);
    w->clients.limits = &w->limits;
    return 0;
}

static int open_backends(struct rc_worker *w, struct rc_err *err)
{
    w->backends = rc_backends_open(&w->control, &w->truth, &w->io, &w->hub, w->config, (uint32_t)w->args.index);
    w->batches = rc_batches_open(w->backends, &w->hub, w->control.own->backends);
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

static int open_carriers(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    rc_handovers_open(&w->handovers, &w->clients, w->args.outbox_fds);
    rc_moves_open(&w->moves, &w->clients, &w->memberships, w->args.outbox_fds);
    rc_streams_open(&w->clients);
    return rc_websockets_open(&w->websockets, &w->clients);
}

static int open_engines(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    rc_engines_open(&w->engines, &w->clients);
    rc_polling_open(&w->polling, &w->engines, &w->handovers);
    return 0;
}

static int open_links(struct rc_worker *w, struct rc_err *err)
{
    w->links = rc_links_open(&w->clients, &w->engines, w->config);
    if (w->links == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for links");
    }
    rc_dialled_open(&w->handovers, w->links);
    return 0;
}

static int open_pushers(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    rc_pushers_open(&w->pushers, &w->clients);
    return 0;
}

static int open_api(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    rc_api_open(&w->api, &w->clients);
    rc_resources_add_routes(&w->api, &w->clients.routes);
    rc_api_pusher_open(&w->api);
    rc_client_files_open(&w->client_files, w->config, &w->clients.routes);
    return 0;
}

/* Connections come from here on: whoever is told of them is there. */
static int open_io(struct rc_worker *w, struct rc_err *err)
{
    struct rc_io_handlers handlers = io_handlers(w);
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
    handlers.taken = to_taken;
    handlers.word = to_word;
    handlers.connected = to_connected;
    handlers.terminated = to_terminated;
    const struct rc_io_options options = {.args = &w->args,
                                          .control = &w->control,
                                          .slots_max = w->control.slots_per_worker,
                                          .direct_descriptors = w->control.direct_descriptors,
                                          .receive_buffers_bytes = w->config->server.receive_buffers_bytes,
                                          .config = w->config,
                                          .adopting = w->args.adopt != 0,
                                          .process = w->process,
                                          .life = &w->control.core->workers[w->args.index]};
    const int rc = rc_io_open(&w->io, &w->truth, w->metrics, &handlers, &options, err);
    (void)close(w->args.io_fd); /* it is mapped, or of no use */
    w->args.io_fd = -1;
    return rc;
}

static int open_clock(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    return rc_engines_start(&w->engines);
}

static int open_steering(struct rc_worker *w, struct rc_err *err)
{
    (void)err;
    if (w->args.steer_fd >= 0) {
        void *steer = mmap(NULL, sizeof(struct rc_steer_worker) * RC_WORKERS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED,
                           w->args.steer_fd, 0);
        w->io.steer = steer == MAP_FAILED ? NULL : (struct rc_steer_worker *)steer + w->args.index;
    }
    return 0;
}

static int open_overload(struct rc_worker *w, struct rc_err *err)
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
    ROOM(links, BEHIND(clients) | BEHIND(carriers) | BEHIND(engines))                                          \
    ROOM(pushers, BEHIND(clients) | BEHIND(backends))                                                          \
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

int rc_worker_open(struct rc_worker *w, struct rc_err *err)
{
#define ROOM(name, behind) open_##name,
    static int (*const rooms[])(struct rc_worker * w, struct rc_err * err) = {ROOMS(ROOM)};
#undef ROOM
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < RC_ARRAY_COUNT(rooms); i++) {
        rc = rooms[i](w, err);
    }
    return rc;
}

/* The end of a request may be the end of a session, and that of an event: clients go before what they are told by and ask. */
void rc_worker_close(struct rc_worker *w)
{
    rc_overload_close(&w->overload);
    rc_moves_close(&w->moves);
    rc_clients_close(&w->clients);
    rc_engines_close(&w->engines);
    rc_pushers_close(&w->pushers);
    rc_limits_close(&w->limits);
    rc_polling_close(&w->polling);
    rc_websockets_close(&w->websockets);
    rc_api_close(&w->api);
    rc_client_files_close(&w->client_files);
    rc_asks_close(&w->asks);
    rc_identities_close(&w->identities);
    rc_io_close(&w->io);
    rc_links_close(w->links);
    w->links = NULL; /* the hub may still give channels back */
    rc_batches_close(w->batches);
    rc_backends_close(w->backends);
    rc_memberships_close(&w->memberships);
    rc_uplink_close(&w->uplink);
    rc_hub_close(&w->hub);
    rc_heap_close(&w->truth.heap);
}
