/* pool: see pool.h. */
#include "worker/backend/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/backend/count.h"
#include "worker/backend/pool_io.h"

#define POOL_CONNECT_MS 1000u /* at most: there may be another address */
#define POOL_DOWN_MS 1000u    /* an address that could not be connected to is left alone for so long */
/* A kept connection is closed before the backend does: its Keep-Alive header says when, or else some well-known server's default
 * (uvicorn 5 s, Node 5 s). */
#define POOL_IDLE_MS 4000u
#define POOL_MARGIN_S 1u
#define POOL_TRACE_BYTES 24u

static uint64_t now_ms(const struct rc_backends *backends)
{
    return backends->io->now_ns / 1000000u;
}

static struct rc_backend_counters *counters_of(const struct rc_backends *backends, const struct rc_backend *backend)
{
    return backend->retired ? NULL : &backends->counters[backend->index];
}

static void gauge_connections(const struct rc_backends *backends, const struct rc_backend *backend)
{
    struct rc_backend_counters *counters = counters_of(backends, backend);
    if (counters != NULL) {
        rc_backend_count_set(&counters->connections, backend->conns);
    }
}

void rc_calling_end(struct rc_backends *backends, struct rc_calling *call, enum rc_calling_state state,
                    enum rc_backend_outcome outcome, const char *why)
{
    RC_ASSERT(call->state == RC_CALLING_WAITS || call->state == RC_CALLING_TAKEN);
    if (call->state == RC_CALLING_TAKEN) {
        call->backend->taken--;
    }
    call->state = (uint8_t)state;
    call->outcome = (uint8_t)outcome;
    call->why = why;
    call->next = NULL;
    if (backends->ended == NULL) {
        backends->ended = call;
    } else {
        backends->ended_last->next = call;
    }
    backends->ended_last = call;
}

/* --- connections --- */

/* A free entry, or UINT32_MAX. */
static uint32_t conn_alloc(struct rc_backends *backends)
{
    if (backends->conn_free == 0) {
        const uint32_t count = backends->conn_count == 0 ? 16 : backends->conn_count * 2;
        struct rc_backend_conn *larger =
            count > RC_BACKEND_CONNS_MAX ? NULL : realloc(backends->conns, count * sizeof(*larger));
        if (larger == NULL) {
            return UINT32_MAX;
        }
        memset(larger + backends->conn_count, 0, (count - backends->conn_count) * sizeof(*larger));
        for (uint32_t i = count; i > backends->conn_count; i--) {
            larger[i - 1].next = backends->conn_free;
            backends->conn_free = i;
        }
        backends->conns = larger;
        backends->conn_count = count;
    }
    const uint32_t index = backends->conn_free - 1;
    backends->conn_free = backends->conns[index].next;
    return index;
}

static void conn_free(struct rc_backends *backends, uint32_t index)
{
    struct rc_backend_conn *conn = &backends->conns[index];
    struct rc_backend_address *address = &conn->backend->addresses[conn->address];
    RC_ASSERT(address->conns > 0 && conn->backend->conns > 0 && conn->call == NULL);
    address->conns--;
    conn->backend->conns--;
    gauge_connections(backends, conn->backend);
    rc_http_answer_free(&conn->answer);
    conn->socket = RC_SOCKET_NONE;
    conn->backend = NULL;
    conn->generation++;
    conn->next = backends->conn_free;
    backends->conn_free = index + 1;
    backends->room = true;
}

/* Takes it out of the idle ones of its address, if it is there. */
static void idle_remove(struct rc_backends *backends, uint32_t index)
{
    const struct rc_backend_conn *conn = &backends->conns[index];
    uint32_t *link = &conn->backend->addresses[conn->address].idle;
    while (*link != 0 && *link != index + 1) {
        link = &backends->conns[*link - 1].next;
    }
    if (*link != 0) {
        *link = conn->next;
    }
}

/* The call of a connection that is ending, or could not be made: what becomes of it. */
static void conn_lose(struct rc_backends *backends, struct rc_backend_conn *conn, bool unsent, const char *why)
{
    struct rc_calling *call = conn->call;
    conn->call = NULL;
    if (call == NULL) {
        return;
    }
    const bool repeatable = call->kind == RC_BACKEND_CONNECT || call->kind == RC_BACKEND_SUBSCRIBE ||
                            call->kind == RC_BACKEND_REFRESH || call->kind == RC_BACKEND_HEALTH;
    if (unsent) {
        call->tried |= UINT64_C(1) << conn->address;
        conn->backend->addresses[conn->address].down_ms = now_ms(backends) + POOL_DOWN_MS;
        rc_calling_end(backends, call, RC_CALLING_UNSENT, RC_BACKEND_UNREACHABLE, why);
    } else if (conn->kept && !conn->answer.begun && repeatable && !call->again) {
        call->again =
            true; /* it was about to close it when we wrote: on a new one the answer is sure to be this call's */
        struct rc_backend_counters *counters = counters_of(backends, conn->backend);
        if (counters != NULL) {
            rc_backend_count_add(&counters->again, 1);
        }
        rc_calling_end(backends, call, RC_CALLING_UNSENT, RC_BACKEND_LOST, why);
    } else {
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_LOST, why);
    }
}

static void conn_failed(struct rc_backends *backends, uint32_t index, const char *why)
{
    struct rc_backend_conn *conn = &backends->conns[index];
    const struct rc_backend *backend = conn->backend;
    rc_log_limited(RC_LOG_WARN, 1, "backend_unreachable", "backend=\"%s\" url=\"%s\" reason=\"%s\"",
                   backend->config.name.text, backend->config.urls[backend->addresses[conn->address].url].text, why);
    conn->backend->addresses[conn->address].down_ms = now_ms(backends) + POOL_DOWN_MS;
    conn_lose(backends, conn, true, why);
    conn_free(backends, index);
}

/* --- asking --- */

static const uint8_t *pool_trace(struct rc_backends *backends)
{
    if (backends->trace_used + POOL_TRACE_BYTES > sizeof(backends->trace)) {
        backends->trace_used = 0;
    }
    if (backends->trace_used == 0) {
        const ssize_t got = getrandom(backends->trace, sizeof(backends->trace), 0);
        RC_ASSERT(got == (ssize_t)sizeof(backends->trace)); /* up to 256 bytes are never short or interrupted */
    }
    const uint8_t *trace = backends->trace + backends->trace_used;
    backends->trace_used += POOL_TRACE_BYTES;
    return trace;
}

/* Writes the request into the socket's output. -ENOMEM. */
static int conn_write(struct rc_backends *backends, const struct rc_backend_conn *conn)
{
    char head[RC_BACKEND_HEAD_MAX];
    const struct rc_calling *call = conn->call;
    const struct rc_backend *backend = conn->backend;
    const struct rc_backend_head what = {.url = &backend->urls[backend->addresses[conn->address].url],
                                         .kind = (enum rc_backend_call_kind)call->kind,
                                         .id = call->id,
                                         .attempt = call->attempt,
                                         .body = rc_span_of(call->bytes + call->headers_bytes, call->body_bytes),
                                         .time_s = rc_clock_wall_ms() / 1000,
                                         .trace = pool_trace(backends),
                                         .signer = backend->signer,
                                         .forwarded = rc_span_of(call->bytes, call->headers_bytes)};
    int rc = rc_backend_head_write(head, &what);
    if (rc >= 0) {
        rc = rc_hub_answer(backends->hub, conn->socket, head, (uint32_t)rc);
    }
    if (rc >= 0 && call->headers_bytes > 0) {
        rc = rc_hub_answer(backends->hub, conn->socket, call->bytes, call->headers_bytes);
    }
    if (rc >= 0) {
        rc = rc_hub_answer(backends->hub, conn->socket, "\r\n", 2);
    }
    return rc < 0 ? rc : rc_hub_answer(backends->hub, conn->socket, what.body.bytes, call->body_bytes);
}

/* The connection, which has its place, asks for its call. */
static void conn_ask(struct rc_backends *backends, uint32_t index)
{
    struct rc_backend_conn *conn = &backends->conns[index];
    rc_io_set_timer(backends->io, conn->socket, 0);
    rc_http_answer_begin(&conn->answer, conn->backend->config.max_body_bytes);
    conn->sent = true;
    if (conn_write(backends, conn) < 0) {
        struct rc_calling *call = conn->call;
        conn->call = NULL;
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_REFUSED, "no memory for the request");
        rc_io_terminate(backends->io, conn->socket);
    }
}

static void conn_idle(struct rc_backends *backends, uint32_t index)
{
    struct rc_backend_conn *conn = &backends->conns[index];
    struct rc_backend_address *address = &conn->backend->addresses[conn->address];
    uint64_t keep_ms = POOL_IDLE_MS;
    if (conn->kept && conn->answer.keep_alive_s > 0) {
        keep_ms = (conn->answer.keep_alive_s - POOL_MARGIN_S) * UINT64_C(1000);
    }
    rc_http_answer_free(&conn->answer);
    conn->sent = false;
    if (keep_ms == 0 || address->gone || (conn->backend->retired && conn->backend->first_waiting == NULL)) {
        rc_io_terminate(backends->io, conn->socket);
        return;
    }
    conn->next = address->idle;
    address->idle = index + 1;
    rc_io_set_timer(backends->io, conn->socket, rc_io_deadline(backends->io, keep_ms));
    backends->room = true;
}

static bool pool_connect(struct rc_backends *backends, struct rc_calling *call, uint32_t at)
{
    struct rc_backend *backend = call->backend;
    struct rc_backend_address *address = &backend->addresses[at];
    const uint32_t index = conn_alloc(backends);
    if (index == UINT32_MAX) {
        return false;
    }
    struct rc_backend_conn *conn = &backends->conns[index];
    const uint32_t generation = conn->generation;
    *conn = (struct rc_backend_conn){
        .backend = backend, .call = call, .generation = generation, .address = at, .socket = RC_SOCKET_NONE};
    address->conns++;
    backend->conns++;
    gauge_connections(backends, backend);
    const uint64_t now = now_ms(backends);
    const uint64_t left = call->deadline_ms > now ? call->deadline_ms - now : 1;
    const int rc = rc_io_connect(backends->io, (const struct sockaddr *)&address->name, address->name_bytes,
                                 left < POOL_CONNECT_MS ? (uint32_t)left : POOL_CONNECT_MS,
                                 (uint64_t)generation << 32 | RC_BACKEND_TOKEN | index, (const uint8_t *)"", 0);
    if (rc < 0) {
        conn->call = NULL;
        conn_free(backends, index);
        return false;
    }
    call->conn = index;
    return true;
}

/* The next address by turns that may be tried: *full: there are some, but all their connections are in use. UINT32_MAX: none. */
static uint32_t pool_choose(const struct rc_backends *backends, const struct rc_calling *call, bool down, bool *full)
{
    const struct rc_backend *backend = call->backend;
    for (uint32_t i = 0; i < backend->address_count; i++) {
        const uint32_t at = (backend->address_next + i) % backend->address_count;
        const struct rc_backend_address *address = &backend->addresses[at];
        if ((call->tried >> at & 1) != 0 || address->gone || (address->down_ms > now_ms(backends)) != down) {
            continue;
        }
        if (address->idle != 0 || address->conns < backend->config.connections) {
            return at;
        }
        *full = true;
    }
    return UINT32_MAX;
}

enum rc_pool_taken rc_pool_take(struct rc_backends *backends, struct rc_calling *call)
{
    struct rc_backend *backend = call->backend;
    bool full = false;
    uint32_t at = pool_choose(backends, call, false, &full);
    if (at == UINT32_MAX && !full) {
        at = pool_choose(backends, call, true, &full);
    }
    if (at == UINT32_MAX) {
        return full ? RC_POOL_FULL : RC_POOL_NONE;
    }
    struct rc_backend_address *address = &backend->addresses[at];
    backend->address_next = (at + 1) % backend->address_count;
    /* On a kept one that was closed meanwhile it would be lost a second time. */
    if (address->idle != 0 && !call->again) {
        const uint32_t index = address->idle - 1;
        struct rc_backend_conn *conn = &backends->conns[index];
        address->idle = conn->next;
        conn->call = call;
        call->conn = index;
        call->state = RC_CALLING_TAKEN;
        backend->taken++;
        conn_ask(backends, index);
        return RC_POOL_TAKEN;
    }
    if (address->conns >= backend->config.connections) { /* one that is idle has to make room */
        rc_io_terminate(backends->io, backends->conns[address->idle - 1].socket);
        return RC_POOL_FULL;
    }
    if (!pool_connect(backends, call, at)) {
        call->tried |= UINT64_C(1) << at;
        return rc_pool_take(backends, call);
    }
    call->state = RC_CALLING_TAKEN;
    backend->taken++;
    return RC_POOL_TAKEN;
}

void rc_pool_drop(struct rc_backends *backends, struct rc_calling *call)
{
    struct rc_backend_conn *conn = &backends->conns[call->conn];
    RC_ASSERT(call->state == RC_CALLING_TAKEN && conn->call == call);
    conn->call = NULL;
    if (conn->sent) { /* its answer may still come */
        rc_io_terminate(backends->io, conn->socket);
    } else { /* it is being made: the next call's */
        conn->backend->addresses[conn->address].down_ms = now_ms(backends) + POOL_DOWN_MS;
    }
}

void rc_pool_trim(struct rc_backends *backends, struct rc_backend *backend, bool all)
{
    for (uint32_t i = 0; i < backend->address_count; i++) {
        while ((all || backend->addresses[i].gone) && backend->addresses[i].idle != 0) {
            rc_io_terminate(backends->io, backends->conns[backend->addresses[i].idle - 1].socket);
        }
    }
}

void rc_pool_close(struct rc_backends *backends)
{
    for (uint32_t i = 0; i < backends->conn_count; i++) {
        rc_http_answer_free(&backends->conns[i].answer);
    }
    free(backends->conns);
}

/* --- what io tells --- */

void rc_backend_connected(struct rc_backends *backends, const struct rc_io_connect *connect, int fd, int error)
{
    const uint32_t index = (uint32_t)connect->token & ~RC_BACKEND_TOKEN;
    RC_ASSERT(index < backends->conn_count && backends->conns[index].backend != NULL &&
              backends->conns[index].generation == (uint32_t)(connect->token >> 32));
    if (fd >= 0) {
        const struct rc_handover from = {.listener = RC_SOCKET_MADE_HERE};
        error = rc_io_place(backends->io, fd, &from, connect->token);
        if (error < 0) {
            close(fd);
        }
    }
    if (error < 0) {
        conn_failed(backends, index, error == -ECANCELED ? "no connection in time" : strerror(-error));
    }
}

void rc_backend_placed(struct rc_backends *backends, const struct rc_io_place *place, uint32_t socket)
{
    char host[RC_CONFIG_TEXT_MAX];
    const uint32_t index = (uint32_t)place->token & ~RC_BACKEND_TOKEN;
    struct rc_backend_conn *conn = &backends->conns[index];
    RC_ASSERT(index < backends->conn_count && conn->backend != NULL &&
              conn->generation == (uint32_t)(place->token >> 32));
    if (socket == RC_SOCKET_NONE) {
        conn_failed(backends, index, "no room for its socket");
        return;
    }
    const struct rc_backend_url *url = &conn->backend->urls[conn->backend->addresses[conn->address].url];
    conn->socket = socket;
    backends->truth->sockets[socket].exchange = index + 1;
    if (url->scheme == RC_BACKEND_HTTPS) {
        (void)snprintf(host, sizeof(host), "%.*s", (int)url->host.count, (const char *)url->host.bytes);
        if (rc_io_tls_connect(backends->io, socket, conn->backend->tls, host) < 0) {
            rc_io_terminate(backends->io, socket); /* rc_backend_terminated tells the call */
        }
        conn = &backends->conns[index];
        if (conn->socket != socket) {
            return; /* it has ended already */
        }
    }
    if (conn->call != NULL) {
        conn_ask(backends, index);
    } else {
        conn_idle(backends, index);
    }
}

static uint32_t conn_of(const struct rc_backends *backends, uint32_t socket)
{
    const uint32_t index = backends->truth->sockets[socket].exchange - 1;
    RC_ASSERT(index < backends->conn_count && backends->conns[index].socket == socket);
    return index;
}

/* The answer is whole. */
static void conn_answered(struct rc_backends *backends, uint32_t index, bool rest)
{
    struct rc_backend_conn *conn = &backends->conns[index];
    struct rc_calling *call = conn->call;
    conn->call = NULL;
    call->status = conn->answer.status;
    call->answer = conn->answer.body;
    call->answer_bytes = conn->answer.body_bytes;
    conn->answer.body = NULL;
    rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_ANSWERED, "");
    conn->kept = true;
    /* What was answered before the request had left, or is longer than it says, leaves the two sides at different places. */
    if (conn->answer.keep_alive && !rest && rc_hub_unsent_on(backends->hub, conn->socket) == 0) {
        conn_idle(backends, index);
    } else {
        rc_io_terminate(backends->io, conn->socket);
    }
}

void rc_backend_received(struct rc_backends *backends, uint32_t socket, const uint8_t *bytes, uint32_t count)
{
    const uint32_t index = conn_of(backends, socket);
    struct rc_backend_conn *conn = &backends->conns[index];
    if (conn->call == NULL) {
        rc_io_terminate(backends->io, socket); /* nobody asked it */
        return;
    }
    const size_t used = rc_http_answer_feed(&conn->answer, bytes, count);
    struct rc_calling *call = conn->call;
    switch ((enum rc_http_answer_state)conn->answer.state) {
    case RC_HTTP_ANSWER_READING:
        return;
    case RC_HTTP_ANSWER_WHOLE:
        conn_answered(backends, index, used < count);
        return;
    case RC_HTTP_ANSWER_GARBAGE:
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_GARBAGE, "what it sent is no HTTP answer");
        break;
    case RC_HTTP_ANSWER_TOO_LARGE:
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_TOO_LARGE,
                       "its answer is larger than max_body, or its head than 16 KiB");
        break;
    case RC_HTTP_ANSWER_NO_MEMORY:
        rc_calling_end(backends, call, RC_CALLING_ENDED, RC_BACKEND_REFUSED, "no memory for its answer");
        break;
    }
    conn->call = NULL;
    rc_io_terminate(backends->io, socket);
}

void rc_backend_ended(struct rc_backends *backends, uint32_t socket, int error)
{
    const uint32_t index = conn_of(backends, socket);
    struct rc_backend_conn *conn = &backends->conns[index];
    if (conn->call != NULL && error == 0) {
        rc_http_answer_end(&conn->answer);
        if (conn->answer.state == RC_HTTP_ANSWER_WHOLE) {
            conn_answered(backends, index, true);
            return;
        }
    }
    if (backends->truth->sockets[socket].mode == RC_IO_TLS_HANDSHAKE) {
        rc_log_limited(RC_LOG_WARN, 1, "backend_unreachable", "backend=\"%s\" url=\"%s\" reason=\"%s\"",
                       conn->backend->config.name.text,
                       conn->backend->config.urls[conn->backend->addresses[conn->address].url].text,
                       "the TLS handshake failed: is its certificate for this name, and by tls_ca?");
        conn_lose(backends, conn, true, "the TLS handshake failed");
    }
    rc_io_terminate(backends->io, socket);
}

void rc_backend_terminated(struct rc_backends *backends, uint32_t socket)
{
    const uint32_t index = conn_of(backends, socket);
    struct rc_backend_conn *conn = &backends->conns[index];
    conn_lose(backends, conn, !conn->sent, "the connection ended before the answer was whole");
    if (!conn->sent) {
        idle_remove(backends, index);
    }
    backends->truth->sockets[socket].exchange = 0;
    rc_hub_answers_release(backends->hub, socket);
    conn_free(backends, index);
}

void rc_backend_timer(struct rc_backends *backends, uint32_t socket)
{
    if (backends->conns[conn_of(backends, socket)].call == NULL) {
        rc_io_terminate(backends->io, socket); /* before the backend does, while a call is on its way */
    }
}
