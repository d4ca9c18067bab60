/* life: the life of a connection above its bytes. See client.h. */
#include "worker/client/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/closed.h"
#include "common/shm/worker_use.h"
#include "worker/store/named.h"
#include "worker/ws/frame.h"

#define PING_BURST 600u        /* pings of a worker that may fall due together: some 3 ms of sends */
#define PING_STEP_DS 10u       /* they are bundled for at most this long */
#define PING_FEW 1000u         /* or, with fewer connections than this, */
#define PING_FEW_STEP_DS 50u   /* for as long as this, where it is a small part of the interval */
#define PING_BUNDLED_MS 10000u /* intervals from which on a second more does not matter */

static uint32_t socket_now_ms(const struct rc_clients *clients)
{
    return (uint32_t)(clients->io->now_ns / 1000000u);
}

bool rc_clients_admit(struct rc_clients *clients, const struct rc_address *address, bool *counted)
{
    *counted = false;
    switch (rc_address_limit_add(&clients->addresses, address)) {
    case RC_ADDRESS_COUNTED:
        *counted = true;
        return true;
    case RC_ADDRESS_ADMITTED:
        return true;
    case RC_ADDRESS_REFUSED_ADDRESS:
    case RC_ADDRESS_REFUSED_NETWORK:
    case RC_ADDRESS_REFUSED_MEMORY:
        break;
    }
    char text[RC_ADDRESS_TEXT_MAX];
    rc_address_format(text, address);
    rc_metric_add(clients->metrics, RC_METRIC_REFUSED_ADDRESS, 1);
    rc_log_limited(RC_LOG_INFO, 1, "address_refused", "address=%s connections=%u", text,
                   rc_address_limit_of_address(&clients->addresses, address));
    return false;
}

bool rc_socket_admit(struct rc_clients *clients, uint32_t index)
{
    const struct rc_address address = clients->truth->peers[index];
    bool counted;
    const bool admitted = rc_clients_admit(clients, &address, &counted);
    clients->truth->sockets[index].flags |= counted ? RC_SOCKET_COUNTED : 0u;
    return admitted;
}

uint32_t rc_client_rate(struct rc_clients *clients, uint32_t client, uint64_t bytes, bool *closed)
{
    const struct rc_rate_limits *limits = &clients->rate_limits;
    *closed = false;
    if (clients->rates == NULL || (limits->count_per_s == 0 && limits->bytes_per_s == 0)) {
        return 0;
    }
    const uint32_t wait_ms = rc_rate_take(&clients->rates[client], limits, socket_now_ms(clients), 1, bytes);
    if (wait_ms == 0) {
        return 0;
    }
    if (clients->config->limits.rate_policy == RC_RATE_CLOSE) {
        rc_metric_add(clients->metrics, RC_METRIC_RATE_CLOSES, 1);
        rc_named_log_client("rate_closed", clients->truth, client, "too many messages", " bytes=%llu",
                            (unsigned long long)bytes);
        rc_client_close(clients, client, RC_CLOSE_POLICY_VIOLATION, "too many messages", true);
        *closed = true;
        return 0;
    }
    rc_metric_add(clients->metrics, RC_METRIC_RATE_DELAYS, 1);
    return wait_ms;
}

bool rc_socket_within_rate(struct rc_clients *clients, uint32_t index, uint64_t bytes)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    bool closed;
    const uint32_t wait_ms = rc_client_rate(clients, socket->client, bytes, &closed);
    if (wait_ms > 0) { /* the message itself is still carried out; what follows waits */
        socket->flags |= RC_SOCKET_WAITS_RATE;
        socket->resume_ds = rc_io_deadline(clients->io, wait_ms);
        rc_socket_schedule(clients, index);
        rc_io_pause(clients->io, index);
    }
    return !closed;
}

/* Never 0, which means "no client". Ids must not be guessable: they are the address for directs. As many bits as a sid has. */
uint64_t rc_clients_random(struct rc_clients *clients)
{
    for (;;) {
        if (clients->random_count == 0) {
            const ssize_t got = getrandom(clients->randoms, sizeof(clients->randoms), 0);
            RC_ASSERT(got == (ssize_t)sizeof(clients->randoms)); /* up to 256 bytes are never short or interrupted */
            clients->random_count = RC_ARRAY_COUNT(clients->randoms);
        }
        const uint64_t random = clients->randoms[--clients->random_count] >> (64 - RC_SID_TOKEN_BITS);
        if (random != 0) {
            return random;
        }
    }
}

bool rc_client_is_here(const struct rc_clients *clients, const struct rc_client_ref *client)
{
    return rc_client_here(clients, client) != 0;
}

void rc_client_failed_memory(struct rc_clients *clients, uint32_t client)
{
    rc_metric_add(clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    rc_named_log_client("memory_disconnected", clients->truth, client, "no memory for what it sends or is answered",
                        "");
    if (rc_truth_client(clients->truth, client)->state == RC_CLIENT_OPEN) {
        rc_client_close(clients, client, RC_CLOSE_TRY_AGAIN_LATER, rc_close_reason(RC_CLOSE_TRY_AGAIN_LATER), true);
    } else {
        rc_client_end(clients, client);
    }
}

void rc_socket_failed_memory(struct rc_clients *clients, uint32_t socket)
{
    const uint32_t client = clients->truth->sockets[socket].client;
    if (client != 0) {
        rc_client_failed_memory(clients, client);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    rc_named_log_socket("memory_disconnected", clients->truth, socket, "no memory for what it sends or is answered",
                        "");
    rc_io_terminate(clients->io, socket);
}

/* --- deadlines --- */

uint32_t rc_socket_stalled_ds(const struct rc_clients *clients, const struct rc_socket *socket)
{
    const uint64_t write_ms = clients->config->limits.write_timeout_ms;
    if (write_ms == 0 || !(socket->flags & RC_SOCKET_BLOCKED) || socket->mode == RC_IO_ASKED ||
        !rc_socket_is_open(clients, socket)) {
        return 0; /* of who may have gone to another worker it is asked: it is blocked by us */
    }
    return socket->blocked_ds + (uint32_t)((write_ms + RC_WHEEL_TICK_MS - 1) / RC_WHEEL_TICK_MS);
}

/* The timers are the sockets'. A client that is to stay without one for a while needs its deadline in a place of its own. */
void rc_socket_schedule(struct rc_clients *clients, uint32_t index)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    uint32_t next = socket->deadline_ds;
    bool waits = (socket->flags & RC_SOCKET_WAITS_RATE) != 0;
    if (socket->client != 0) {
        const struct rc_client *client = rc_truth_client(clients->truth, socket->client);
        if (client->ping_ds != 0 && (next == 0 || client->ping_ds < next)) {
            next = client->ping_ds;
        }
        waits |= (client->flags & RC_CLIENT_WAITS_JOIN) != 0;
    }
    const uint32_t stalled_ds = rc_socket_stalled_ds(clients, socket);
    if (stalled_ds != 0 && (next == 0 || stalled_ds < next)) {
        next = stalled_ds;
    }
    if (waits && (next == 0 || socket->resume_ds < next)) {
        next = socket->resume_ds;
    }
    rc_io_set_timer(clients->io, index, next);
}

void rc_socket_deadline(struct rc_clients *clients, uint32_t socket, uint64_t in_ms)
{
    clients->truth->sockets[socket].deadline_ds = in_ms == 0 ? 0 : rc_io_deadline(clients->io, in_ms);
    rc_socket_schedule(clients, socket);
}

uint32_t rc_client_next_ping(const struct rc_clients *clients, uint64_t in_ms)
{
    if (in_ms == 0) {
        return 0;
    }
    const uint32_t due_ds = rc_io_deadline(clients->io, in_ms);
    const uint64_t interval_ms = clients->config->limits.ping_interval_ms;
    /* An idle worker shall wake seldom: pings go out on whole seconds together (measured: 4.3 % of a core for 100,000
     * connections, 5.1 % on every tick), unless that makes too many at once. To the nearest step, or each would be late.
     * The first ping, too, goes to the step of the interval: from other steps twice as many could meet on one. Each worker has
     * its own phase, or all of a host would send theirs in the same moment. */
    uint32_t step_ds = 1;
    if (interval_ms >= PING_BUNDLED_MS) {
        const uint32_t count = clients->io->open_count > 0 ? clients->io->open_count : 1;
        const uint64_t fit_ds = PING_BURST * (interval_ms / RC_WHEEL_TICK_MS) / count;
        step_ds = count < PING_FEW && interval_ms >= 2 * PING_BUNDLED_MS ? PING_FEW_STEP_DS
                  : fit_ds < PING_STEP_DS                                ? (uint32_t)fit_ds
                                                                         : PING_STEP_DS;
        step_ds = step_ds > 0 ? step_ds : 1;
    }
    const uint32_t phase_ds = clients->worker % step_ds;
    const uint32_t at_ds = (due_ds + step_ds / 2 - phase_ds) / step_ds * step_ds + phase_ds;
    return at_ds > clients->io->now_ds ? at_ds : clients->io->now_ds + 1;
}

const char *rc_client_transport(const struct rc_client *client)
{
    return rc_encoding_is_stream(client->encoding) ? "sse" : client->socket == RC_SOCKET_NONE ? "polling" : "websocket";
}

bool rc_socket_waits(const struct rc_clients *clients, const struct rc_socket *socket)
{
    return (socket->flags & RC_SOCKET_WAITS) != 0 ||
           (socket->client != 0 && (rc_truth_client(clients->truth, socket->client)->flags & RC_CLIENT_WAITS) != 0);
}

bool rc_socket_is_open(const struct rc_clients *clients, const struct rc_socket *socket)
{
    return socket->state == RC_SOCKET_CARRYING &&
           rc_truth_client(clients->truth, socket->client)->state == RC_CLIENT_OPEN;
}

/* --- beginning --- */

/* 503 in place of everything else; false when not even that is possible. */
static bool socket_refuse(struct rc_clients *clients, uint32_t index, const char *why)
{
    char text[1024];
    const struct rc_http_response response = {.status = 503, .retry_after_s = 1};
    const size_t bytes = rc_http_respond_error(text, sizeof(text), &response, why);
    if (rc_hub_answer(clients->hub, index, text, (uint32_t)bytes) < 0) {
        return false;
    }
    rc_socket_linger(clients, index);
    return true;
}

void rc_socket_refuse(struct rc_clients *clients, uint32_t index, const char *why)
{
    if (!socket_refuse(clients, index, why)) {
        rc_io_terminate(clients->io, index);
    }
}

void rc_socket_handshake_over(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->flags & RC_SOCKET_HANDSHAKE) {
        socket->flags &= (uint16_t)~RC_SOCKET_HANDSHAKE;
        RC_ASSERT(clients->handshakes > 0);
        clients->handshakes--;
        rc_metric_set(clients->metrics, RC_METRIC_HANDSHAKES, clients->handshakes);
    }
}

bool rc_socket_sheds(struct rc_clients *clients, uint32_t index)
{
    const struct rc_pressure *overload = &clients->overload;
    if (overload->level != RC_PRESSURE_SHEDDING || (clients->truth->sockets[index].flags & RC_SOCKET_ADMIN)) {
        return false;
    }
    rc_metric_add(clients->metrics,
                  (overload->why & RC_PRESSURE_MEMORY)  ? RC_METRIC_REFUSED_MEMORY
                  : (overload->why & RC_PRESSURE_QUEUE) ? RC_METRIC_REFUSED_QUEUE
                                                        : RC_METRIC_REFUSED_TURN,
                  1);
    return true;
}

void rc_socket_came_in(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_listener *from = &clients->control->listeners[socket->listener];
    socket->flags |= (uint16_t)((from->loopback ? RC_SOCKET_LOOPBACK : 0u) | (from->unix_socket ? RC_SOCKET_UNIX : 0u) |
                                (from->kind == RC_LISTENER_ADMIN ? RC_SOCKET_ADMIN : 0u));
}

/* There may be fewer workers tomorrow, or more: it is one bound for all of them, as they say in their last pass how many they have. */
uint32_t rc_clients_slots(const struct rc_clients *clients)
{
    const struct rc_control *control = clients->control;
    const uint64_t most = clients->config->server.max_connections;
    uint64_t others = 0;
    for (uint32_t i = 0; most > 0 && i < control->worker_count; i++) {
        if (i != clients->worker && rc_worker_use(control->core, i) != RC_WORKER_UNUSED &&
            control->workers[i] != NULL) {
            others += atomic_load_explicit(&control->workers[i]->process.connections, memory_order_relaxed);
        }
    }
    const uint64_t left = others < most ? most - others : 0;
    return most > 0 && left < clients->io->slots_max ? (uint32_t)left : clients->io->slots_max;
}

bool rc_socket_too_many(struct rc_clients *clients, uint32_t index)
{
    if (clients->io->open_count <= rc_clients_slots(clients) ||
        (clients->truth->sockets[index].flags & RC_SOCKET_ADMIN)) {
        return false;
    }
    rc_metric_add(clients->metrics, RC_METRIC_REFUSED_FULL, 1);
    rc_log_limited(RC_LOG_WARN, 1, "worker_full",
                   "connections=%u remedy=\"raise server.max_connections or the descriptor limit, or add workers\"",
                   clients->io->open_count);
    return true;
}

bool rc_socket_accepted(void *context, uint32_t index, uint32_t listener)
{
    struct rc_clients *clients = context;
    struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_listener *from = &clients->control->listeners[listener];
    rc_socket_came_in(clients, index);
    if (rc_socket_too_many(clients, index)) {
        return socket_refuse(clients, index, "this server is full: try again");
    }
    const bool client = from->kind != RC_LISTENER_ADMIN && !rc_listener_is_link(from->kind);
    if (client && !rc_address_limit_accept(&clients->addresses, socket_now_ms(clients))) {
        rc_metric_add(clients->metrics, RC_METRIC_REFUSED_RATE, 1);
        rc_log_limited(RC_LOG_WARN, 1, "accept_rate_reached", "limit=%u", clients->config->limits.accept_rate);
        return socket_refuse(clients, index, "too many connections at once: try again");
    }
    /* Where the answer would need a TLS handshake the connection is closed: that is what is to be saved. */
    const bool tls = rc_listener_is_tls(from->kind);
    const uint32_t handshakes_max = clients->config->overload.max_handshakes;
    if (handshakes_max > 0 && clients->handshakes >= handshakes_max && client) {
        rc_metric_add(clients->metrics, RC_METRIC_REFUSED_HANDSHAKES, 1);
        rc_log_limited(RC_LOG_WARN, 1, "too_many_handshakes", "limit=%u", handshakes_max);
        return !tls && socket_refuse(clients, index, "too many connections at once: try again");
    }
    if (tls && rc_socket_sheds(clients, index)) {
        return false;
    }
    socket->flags |= RC_SOCKET_HANDSHAKE;
    clients->handshakes++;
    rc_metric_set(clients->metrics, RC_METRIC_HANDSHAKES, clients->handshakes);
    rc_socket_deadline(clients, index, clients->config->limits.handshake_timeout_ms);
    return true;
}

void rc_socket_plain_on_tls(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    char text[1024];
    const struct rc_http_response response = {.status = 400};
    const size_t bytes = rc_http_respond_error(text, sizeof(text), &response, "this port speaks TLS: use https or wss");
    rc_metric_add(clients->metrics, RC_METRIC_HTTP_ERRORS, 1);
    if (rc_hub_answer(clients->hub, index, text, (uint32_t)bytes) < 0) {
        rc_io_terminate(clients->io, index);
        return;
    }
    rc_socket_linger(clients, index);
}

/* --- a client's life --- */

uint32_t rc_client_open(struct rc_clients *clients, uint8_t endpoint, uint8_t encoding,
                        const struct rc_identity *identity)
{
    const struct rc_config_limits *limits = &clients->config->limits;
    const uint32_t index = rc_pool_alloc(&clients->truth->clients);
    if (index == 0) {
        if (identity != NULL) {
            rc_clients_user_remove(clients, identity->user, identity->counted);
        }
        return 0;
    }
    struct rc_client *client = rc_truth_client(clients->truth, index);
    client->socket = RC_SOCKET_NONE;
    if (identity != NULL && rc_client_begin_as(clients, index, identity) < 0) {
        rc_client_forget_user(clients, index);
        rc_clients_user_remove(clients, identity->user, identity->counted);
        rc_pool_free(&clients->truth->clients, index);
        return 0;
    }
    client->state = RC_CLIENT_OPEN;
    client->endpoint = endpoint;
    client->encoding = encoding;
    client->active_ds = clients->io->now_ds;
    clients->truth->opened_ds[index] = clients->io->now_ds;
    if (limits->ping_interval_ms > 0) {
        /* The first ping anywhere in an interval: connections that came together are not pinged together. Not at once: who has
         * just come needs no ping. */
        client->ping_ds = rc_client_next_ping(clients, 1 + limits->ping_interval_ms / 4 +
                                                           rc_hub_random(clients->hub) % limits->ping_interval_ms);
    }
    RC_STORE_ORDER();
    client->random = rc_clients_random(clients); /* it is there from here on */
    clients->connections++;
    rc_metric_set(clients->metrics, RC_METRIC_CONNECTIONS, clients->connections);
    return index;
}

uint32_t rc_client_open_on(struct rc_clients *clients, uint32_t socket, uint8_t endpoint, uint8_t encoding,
                           const struct rc_identity *identity)
{
    const uint32_t client = rc_client_open(clients, endpoint, encoding, identity);
    if (client != 0) {
        const int rc = rc_client_attach(clients, client, socket);
        RC_ASSERT(rc == 0); /* it has no output of its own yet */
        rc_metric_add(clients->metrics, RC_METRIC_UPGRADED, 1);
    }
    return client;
}

int rc_client_attach(struct rc_clients *clients, uint32_t client, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_config_limits *limits = &clients->config->limits;
    RC_ASSERT(socket->state == RC_SOCKET_HTTP && socket->exchange == 0);
    const int rc = rc_hub_attach(clients->hub, client, index);
    if (rc < 0) {
        return rc;
    }
    struct rc_client *its = rc_truth_client(clients->truth, client);
    const bool listens = rc_encoding_is_stream(its->encoding);
    socket->state = RC_SOCKET_CARRYING;
    if (listens) {
        its->flags |= RC_CLIENT_CLOSE_RECEIVED; /* our word is the last one */
        clients->streams++;
        rc_metric_set(clients->metrics, RC_METRIC_STREAMS, clients->streams);
    }
    socket->deadline_ds =
        listens || limits->idle_timeout_ms == 0 ? 0 : rc_io_deadline(clients->io, limits->idle_timeout_ms);
    rc_socket_schedule(clients, index);
    rc_io_opened(clients->io, index);
    return 0;
}

void rc_client_move(struct rc_clients *clients, uint32_t from, uint32_t to)
{
    rc_hub_move(clients->hub, from, to);
    rc_socket_schedule(clients, rc_truth_client(clients->truth, to)->socket);
}

void rc_client_detach(struct rc_clients *clients, uint32_t client)
{
    const uint32_t socket = rc_truth_client(clients->truth, client)->socket;
    rc_hub_detach(clients->hub, client);
    rc_socket_input_release(clients, socket);
    rc_socket_history_release(clients, socket);
    rc_socket_linger(clients, socket);
}

void rc_client_leaving(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    struct rc_client *client = rc_truth_client(clients->truth, index);
    if (client->told_gone) {
        return;
    }
    client->told_gone = true;
    if (rc_encoding_is_engine(client->encoding)) {
        clients->engine.gone(clients->engine.context, index);
    } else {
        rc_client_tell_gone(clients, index, (struct rc_span){0}, (struct rc_span){0},
                            clients->draining ? "server shutting down" : "transport close");
    }
}

/* One that only listens: something carried it, or its request waits still. */
static void stream_ended(struct rc_clients *clients, uint32_t index)
{
    if (rc_truth_client(clients->truth, index)->flags & RC_CLIENT_CLOSE_RECEIVED) {
        RC_ASSERT(clients->streams > 0);
        clients->streams--;
        rc_metric_set(clients->metrics, RC_METRIC_STREAMS, clients->streams);
    } else if (clients->stream.ended != NULL) {
        clients->stream.ended(clients->stream.context, index);
    }
}

/* Into the ring of those who have ended. `socket` is what carried it last; RC_SOCKET_NONE. */
static void client_record(const struct rc_clients *clients, uint32_t index, uint32_t socket)
{
    const struct rc_truth *truth = clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const uint16_t closing = clients->hub->closings[index];
    const char *protocol = rc_encoding_codec_of(client->encoding)->name;
    struct rc_named who;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct rc_closed closed = {
        .wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
        .age_ms = (uint64_t)(clients->io->now_ds - truth->opened_ds[index]) * 100u,
        .client = rc_client_ref(clients, index),
        .code = closing == 0 ? RC_CLOSED_LOST : (uint16_t)(closing & ~RC_HUB_CLOSE_THEIRS),
        .by = closing == 0                           ? RC_CLOSED_BY_NOBODY
              : (closing & RC_HUB_CLOSE_THEIRS) != 0 ? RC_CLOSED_BY_CLIENT
                                                     : RC_CLOSED_BY_SERVER,
        .channels = client->subscription_count,
    };
    (void)snprintf(closed.user, sizeof(closed.user), "%s", rc_named_user(truth, index, &who));
    (void)snprintf(closed.protocol, sizeof(closed.protocol), "%s", protocol);
    if (socket != RC_SOCKET_NONE) {
        closed.sent_bytes = truth->sockets[socket].sent_bytes;
        closed.received_bytes = truth->sockets[socket].received_bytes;
        (void)snprintf(closed.address, sizeof(closed.address), "%s", rc_named_address(truth, socket, &who));
    } else {
        (void)rc_address_format(closed.address, &rc_truth_engine(truth, index)->address);
    }
    rc_flight_put(&clients->closed->head, clients->closed->entries, RC_FLIGHT_CLOSED, &closed, sizeof(closed));
}

/* Its id names another place: who looks for it by that need not come here any more. */
static void client_guest_ends(struct rc_clients *clients, uint32_t index)
{
    const struct rc_client_ref ref = rc_client_ref(clients, index);
    rc_hub_alias_end(clients->hub, ref.random, index);
    if (clients->move.guest != NULL && !rc_truth_client(clients->truth, index)->moving) {
        clients->move.guest(clients->move.context, &ref, true);
    }
}

/* The client, which nothing carries (any more: `socket`), is no more. */
static void client_free(struct rc_clients *clients, uint32_t index, uint32_t socket)
{
    struct rc_client *client = rc_truth_client(clients->truth, index);
    RC_ASSERT(clients->connections > 0 && client->socket == RC_SOCKET_NONE);
    if (client->moving) { /* another worker has it: it has not ended */
        client->told_gone = true;
    } else if (clients->closed != NULL) {
        client_record(clients, index, socket);
    }
    clients->hub->closings[index] = 0;
    rc_client_leaving(clients, index);
    if (client->guest) {
        client_guest_ends(clients, index);
    }
    if (rc_encoding_is_engine(client->encoding)) {
        clients->engine.ended(clients->engine.context, index);
    } else if (rc_encoding_is_stream(client->encoding)) {
        stream_ended(clients, index);
    }
    rc_client_decision_forget(clients, index);
    clients->connections--;
    rc_metric_set(clients->metrics, RC_METRIC_CONNECTIONS, clients->connections);
    rc_hub_unsubscribe_all(clients->hub, index); /* told with the client's id */
    if (rc_encoding_is_pusher(client->encoding)) {
        clients->pusher.ended(clients->pusher.context, index);
    }
    if (clients->identities != NULL && (client->flags & RC_CLIENT_WAITS_ANSWER)) {
        rc_identities_forget(clients->identities, client->random);
    }
    client->random = 0;
    client->state = RC_CLIENT_FREE;
    rc_hub_ended(clients->hub, index);
    if (clients->rates != NULL) {
        clients->rates[index] = (struct rc_rate){0};
    }
    rc_client_forget_user(clients, index);
    client->must_say = client->told_gone = client->guest = client->moving = false;
    client->flags = 0; /* lists of the hub may still name it */
    rc_pool_free(&clients->truth->clients, index);
}

void rc_client_end(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    const uint32_t socket = rc_truth_client(clients->truth, index)->socket;
    if (socket == RC_SOCKET_NONE) {
        client_free(clients, index, RC_SOCKET_NONE);
    } else {
        rc_io_terminate(clients->io, socket); /* client_lost */
    }
}

/* The socket that carries the client ends. A WebSocket's client ends with it: here others may decide to stay for a while. */
static void client_lost(struct rc_clients *clients, uint32_t index)
{
    const uint32_t socket = rc_truth_client(clients->truth, index)->socket;
    rc_hub_detach(clients->hub, index);
    client_free(clients, index, socket);
}

/* --- from worker to worker --- */

void rc_client_went(struct rc_clients *clients, uint32_t index)
{
    struct rc_client *client = rc_truth_client(clients->truth, index);
    const uint32_t socket = client->socket;
    RC_ASSERT(client->moving);
    if (socket == RC_SOCKET_NONE) {
        client_free(clients, index, socket);
        return;
    }
    rc_socket_input_release(clients, socket);
    rc_socket_history_release(clients, socket);
    rc_uplink_leave(clients->uplink, socket);
    rc_hub_detach(clients->hub, index);
    client_free(clients, index, socket);
    rc_io_left(clients->io, socket);
}

uint32_t rc_client_came(struct rc_clients *clients, uint32_t socket, const struct rc_client_coming *coming)
{
    struct rc_truth *truth = clients->truth;
    const uint32_t index = rc_pool_alloc(&truth->clients);
    if (index == 0) {
        return 0;
    }
    struct rc_client *client = rc_truth_client(truth, index);
    client->socket = RC_SOCKET_NONE;
    client->state = RC_CLIENT_OPEN;
    client->endpoint = coming->endpoint;
    client->encoding = coming->encoding;
    client->flags = coming->flags;
    client->active_ds = coming->active_ds;
    client->ping_ds = coming->ping_ds;
    truth->opened_ds[index] = coming->opened_ds;
    client->guest = coming->home.worker != clients->worker || coming->home.slot != index;
    truth->homes[index] = (struct rc_home){.slot = coming->home.slot, .worker = coming->home.worker};
    if (client->guest && rc_hub_alias(clients->hub, coming->home.random, index) < 0) {
        client->guest = false;
        rc_pool_free(&truth->clients, index);
        return 0;
    }
    (void)rc_hub_works(clients->hub, index); /* first: whom a killed worker leaves half here ends */
    client->random = coming->home.random;    /* it is there from here on */
    rc_hub_opened(clients->hub, index);
    clients->connections++;
    rc_metric_set(clients->metrics, RC_METRIC_CONNECTIONS, clients->connections);
    if (socket != RC_SOCKET_NONE) {
        const int rc = rc_client_attach(clients, index, socket);
        RC_ASSERT(rc == 0); /* neither has output of its own yet */
    }
    return index;
}

/* --- ending --- */

/* From here on the client only ends, within limits.close_timeout: its close frame is waited for. It may stand behind operations that
 * wait and are not carried out any more: those for room in the up ring are next; the others join them, since this may be in the
 * middle of a turn. */
static void client_closing(struct rc_clients *clients, struct rc_client *client)
{
    client->state = RC_CLIENT_CLOSING;
    client->ping_ds = 0;
    if (client->socket == RC_SOCKET_NONE) {
        return;
    }
    struct rc_socket *socket = &clients->truth->sockets[client->socket];
    rc_socket_deadline(clients, client->socket, clients->config->limits.close_timeout_ms);
    if ((client->flags & RC_CLIENT_WAITS_OTHERS) || (socket->flags & RC_SOCKET_WAITS_RATE)) {
        client->flags &= (uint16_t)~RC_CLIENT_WAITS_OTHERS;
        socket->flags &= (uint16_t)~RC_SOCKET_WAITS_RATE;
        rc_waiters_add(&clients->uplink->waiters, client->socket);
    }
}

void rc_client_close(struct rc_clients *clients, uint32_t index, uint16_t code, const char *reason, bool now)
{
    struct rc_client *client = rc_truth_client(clients->truth, index);
    if (client->state != RC_CLIENT_OPEN) {
        return;
    }
    if (client->socket == RC_SOCKET_NONE && rc_encoding_is_engine(client->encoding)) {
        clients->engine.close(clients->engine.context, index, code, reason, now);
        return;
    }
    rc_hub_close_client(clients->hub, index, code, reason, reason == NULL ? 0 : strlen(reason), now);
    if (client->state == RC_CLIENT_OPEN && now) { /* else it ended at once for want of memory */
        client_closing(clients, client);
    }
}

void rc_client_send_away(struct rc_clients *clients, uint32_t client, uint16_t code, const char *reason)
{
    if (rc_encoding_is_engine(rc_truth_client(clients->truth, client)->encoding)) {
        clients->engine.farewell(clients->engine.context, client);
    }
    /* After what was sent to it before: a last message with the why is usual. */
    rc_client_close(clients, client, code, reason, false);
}

void rc_socket_linger(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    socket->state = RC_SOCKET_LINGER;
    /* Its answer may leave in the next pass only, and a tick that has begun may be over by then. */
    const uint64_t least_ms = 2 * RC_WHEEL_TICK_MS;
    const uint64_t timeout_ms = clients->config->limits.close_timeout_ms;
    rc_socket_deadline(clients, index, timeout_ms == 0 || timeout_ms > least_ms ? timeout_ms : least_ms);
}

/* A lingering socket has sent everything. */
static void socket_lingers(struct rc_clients *clients, uint32_t index)
{
    if (clients->truth->sockets[index].flags & RC_SOCKET_PEER_ENDED) {
        rc_io_terminate(clients->io, index);
    } else {
        rc_socket_deadline(clients, index, RC_SOCKET_LINGER_MS);
    }
}

/* Too slow, and nothing carries it: only sessions go on without a socket, and are told when they ask. */
void rc_client_cut_off(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    if (rc_encoding_is_engine(rc_truth_client(clients->truth, index)->encoding)) {
        clients->engine.cut_off(clients->engine.context, index);
    } else {
        rc_client_end(clients, index);
    }
}

/* All output of the client has left. */
void rc_client_flushed(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    struct rc_client *client = rc_truth_client(clients->truth, index);
    if (client->state == RC_CLIENT_FREE) {
        return; /* ended at once for want of memory */
    }
    const struct rc_socket *socket = rc_truth_socket_of(clients->truth, client);
    if (client->state == RC_CLIENT_OPEN && (client->flags & RC_CLIENT_CLOSE_QUEUED)) {
        client_closing(clients, client); /* by draining or by the hub (slow consumer) */
    }
    if (client->state == RC_CLIENT_OPEN || socket == NULL) {
        return;
    } else if (socket->state == RC_SOCKET_LINGER) {
        socket_lingers(clients, client->socket);
    } else if ((client->flags & RC_CLIENT_CLOSE_SENT) &&
               ((client->flags & RC_CLIENT_CLOSE_RECEIVED) || (socket->flags & RC_SOCKET_PEER_ENDED))) {
        rc_io_terminate(clients->io, client->socket); /* RFC 6455 7.1.1: the server ends the TCP connection first */
    }
}

/* All answers of the socket have left. */
void rc_socket_answered(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->state == RC_SOCKET_LINGER) {
        socket_lingers(clients, index);
    } else if (socket->state == RC_SOCKET_LEAVING) {
        clients->passage.leaves(clients->passage.context, index);
    } else if (socket->state == RC_SOCKET_PIPED) {
        clients->passage.answered(clients->passage.context, index);
    } else if (socket->state == RC_SOCKET_HTTP && (socket->flags & RC_SOCKET_PEER_ENDED) && socket->exchange == 0) {
        rc_io_terminate(clients->io, index);
    }
}

static bool socket_has_output(const struct rc_clients *clients, const struct rc_socket *socket)
{
    return (socket->client != 0 ? rc_truth_client(clients->truth, socket->client)->output : socket->output) != 0;
}

void rc_socket_ended(void *context, uint32_t index, int error)
{
    struct rc_clients *clients = context;
    const struct rc_socket *socket = &clients->truth->sockets[index];
    if (error < 0) {
        rc_metric_add(clients->metrics, RC_METRIC_RESETS, 1);
    } else if (socket->state == RC_SOCKET_LEAVING) {
        return; /* whoever gets it finds out, too */
    } else if ((socket->state == RC_SOCKET_HTTP || socket->state == RC_SOCKET_LINGER) &&
               (socket_has_output(clients, socket) ||
                (socket->client == 0 && rc_exchanges_waits(&clients->exchanges, index)))) {
        return; /* half closed by a client that still wants its answer: rc_client_flushed ends it */
    }
    if (socket->state == RC_SOCKET_PIPED) {
        clients->passage.ended(clients->passage.context, index, error);
        return;
    }
    rc_io_terminate(clients->io, index);
}

void rc_socket_terminated(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    struct rc_socket *socket = &clients->truth->sockets[index];
    rc_socket_handshake_over(clients, index);
    rc_uplink_leave(clients->uplink, index);
    rc_socket_input_release(clients, index);
    if (socket->flags & RC_SOCKET_PIPE) {
        clients->passage.terminated(clients->passage.context, index);
    }
    if (socket->client != 0) {
        rc_socket_history_release(clients, index);
        client_lost(clients, socket->client);
    } else {
        rc_exchanges_gone(&clients->exchanges, index);
    }
    if (socket->flags & RC_SOCKET_COUNTED) {
        rc_address_limit_remove(&clients->addresses, &clients->truth->peers[index]);
        socket->flags &= (uint16_t)~RC_SOCKET_COUNTED;
    }
    rc_hub_answers_release(clients->hub, index);
}
