/* conn: see conn.h. */
#include "relay/redis/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/error_reply.h"
#include "relay/redis/greeting.h"
#include "relay/redis/hiredis_buffers.h"
#include "relay/redis/tls.h"

/* A read that brought less emptied the socket: whatever hiredis reads with (16 KiB in 1.x) is larger. */
#define READ_SHORT_BYTES 4096u

static void conn_start(struct rc_redis_conn *conn);
static void try_address(struct rc_redis_conn *conn);
static void on_ready(void *context, uint32_t events);

void rc_redis_conn_init(struct rc_redis_conn *conn, struct rc_redis_wire *wire, const struct rc_redis_conn_ops *ops,
                        void *context, const char *role)
{
    *conn = (struct rc_redis_conn){.wire = wire, .ops = ops, .context = context, .role = role, .fd = -1, .handle = -1};
}

/* --- the end of a connection ----------------------------------------------------------------------------------------- */

static void free_context(struct rc_redis_conn *conn)
{
    if (conn->redis == NULL) {
        return;
    }
    if (conn->reading) {
        conn->dying = conn->redis; /* hiredis's reader is on the stack */
    } else {
        redisFree(conn->redis);
    }
    conn->redis = NULL;
    conn->fd = -1; /* was the context's */
}

static void stop_resolving(struct rc_redis_conn *conn)
{
    if (conn->resolve != NULL) {
        rc_resolve_drop(conn->resolve);
        conn->resolve = NULL;
    }
}

/* Nothing of the connection is left, but who waits gets NULL only when the state is the new one. */
static void tear_down(struct rc_redis_conn *conn, enum rc_redis_conn_state state)
{
    if (conn->handle >= 0) {
        conn->wire->host.unwatch(conn->wire->host.context, conn->handle);
        conn->handle = -1;
    }
    stop_resolving(conn);
    rc_timer_cancel(conn->wire->timers, &conn->timer);
    rc_timer_cancel(conn->wire->timers, &conn->ping_timer);
    free_context(conn);
    if (conn->fd >= 0) {
        (void)close(conn->fd);
        conn->fd = -1;
    }
    struct rc_redis_waiting *waiting = conn->waiting;
    const uint32_t max = conn->waiting_max;
    const uint32_t first = conn->waiting_first;
    const uint32_t count = conn->waiting_count;
    conn->waiting = NULL;
    conn->waiting_max = conn->waiting_first = conn->waiting_count = 0;
    conn->state = state;
    conn->late = conn->unread = conn->ping_sent = conn->resp3 = false;
    conn->epoch++;
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_redis_waiting *one = &waiting[(first + i) & (max - 1)];
        if (one->replied != NULL) {
            one->replied(one->context, NULL);
        }
    }
    free(waiting);
}

static void conn_retry(void *context, uint64_t now_ms)
{
    (void)now_ms;
    conn_start(context);
}

static uint64_t next_random(struct rc_redis_wire *wire)
{
    /* xorshift64: jitter needs no more. */
    uint64_t x = wire->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    wire->random = x;
    return x;
}

static void conn_shorten(char *out, size_t room, const char *text)
{
    (void)snprintf(out, room, "%s", text);
}

void rc_redis_conn_fail(struct rc_redis_conn *conn, const char *why)
{
    struct rc_redis_wire *wire = conn->wire;
    const bool was_ready = conn->state == RC_REDIS_CONN_READY;
    if (conn->state == RC_REDIS_CONN_CLOSED || conn->state == RC_REDIS_CONN_WAITING) {
        return;
    }
    char text[sizeof(conn->error)];
    conn_shorten(text, sizeof(text), why); /* `why` may lie in the context that goes now */
    if (was_ready && rc_clock_ms() - conn->ready_ms >= 1000) {
        conn->failures = 0;
    }
    if (was_ready || strcmp(text, conn->logged) != 0) {
        rc_log_warn("redis_connection_lost", "role=\"%s\" address!=\"%s:%u\" ready=%d reason=\"%s\"", conn->role,
                    conn->path[0] != '\0' ? conn->path : conn->address.host, conn->address.port, was_ready, text);
        /* Why it does not come back is told once, also where that is what it was lost by. */
        conn_shorten(conn->logged, sizeof(conn->logged), was_ready ? "" : text);
    }
    memcpy(conn->error, text, sizeof(text));
    rc_metric_add(wire->metrics, RC_METRIC_REDIS_FAILURES, 1);
    conn->failures++;
    uint64_t delay_ms = (uint64_t)conn->failures * RC_REDIS_BACKOFF_STEP_MS;
    delay_ms = delay_ms < RC_REDIS_BACKOFF_MAX_MS ? delay_ms : RC_REDIS_BACKOFF_MAX_MS;
    delay_ms -= next_random(wire) % (delay_ms / 4 + 1); /* instances that lost it together do not come back together */
    tear_down(conn, RC_REDIS_CONN_WAITING);
    const uint32_t epoch = conn->epoch;
    rc_timer_set(wire->timers, &conn->timer, rc_clock_ms() + delay_ms, conn_retry, conn);
    if (conn->epoch == epoch) {
        conn->ops->lost(conn->context, conn, conn->error);
    }
}

void rc_redis_conn_close(struct rc_redis_conn *conn)
{
    if (conn->state != RC_REDIS_CONN_CLOSED) {
        tear_down(conn, RC_REDIS_CONN_CLOSED);
    }
    conn->failures = 0;
    conn->hello = RC_REDIS_HELLO_FIRST;
    conn->logged[0] = '\0';
}

void rc_redis_conn_free(struct rc_redis_conn *conn)
{
    rc_redis_conn_close(conn);
    RC_ASSERT(!conn->reading);
}

/* --- greeting and pings ---------------------------------------------------------------------------------------------- */

static void ping_replied(void *context, const redisReply *reply)
{
    struct rc_redis_conn *conn = context;
    if (reply != NULL) {
        conn->ping_sent = false;
    }
}

static void role_replied(void *context, const redisReply *reply)
{
    struct rc_redis_conn *conn = context;
    const enum rc_redis_role role = reply != NULL ? rc_redis_greeting_role(reply) : RC_REDIS_ROLE_NONE;
    if (role == RC_REDIS_ROLE_REPLICA) {
        conn->demoted = true;
        rc_redis_conn_fail(conn, "the server has become a replica");
    } else if (role == RC_REDIS_ROLE_MASTER && conn->ops->confirmed != NULL) {
        conn->ops->confirmed(conn->context, conn);
    }
}

/* With the ping, so that it is watched over. A subscriber with RESP2 can ask nothing; its node's other connection does. */
static void ask_role(struct rc_redis_conn *conn)
{
    static const struct rc_span hello[] = {{(const uint8_t *)"HELLO", 5}, {(const uint8_t *)"3", 1}};
    static const struct rc_span role[] = {{(const uint8_t *)"ROLE", 4}};
    if (conn->role_by == RC_REDIS_ROLE_BY_HELLO) {
        (void)rc_redis_queue_command(conn, role_replied, conn, 2, hello); /* else with the next ping */
    } else if (conn->role_by == RC_REDIS_ROLE_BY_ROLE && (conn->resp3 || !conn->subscriber)) {
        (void)rc_redis_queue_command(conn, role_replied, conn, 1, role);
    }
}

static void ping_due(void *context, uint64_t now_ms)
{
    struct rc_redis_conn *conn = context;
    static const struct rc_span ping[] = {{(const uint8_t *)"PING", 4}};
    if (conn->ping_sent) {
        /* Anything that came shows that the server works: the ping may stand behind many commands. */
        const uint64_t since_ms = conn->heard_ms > conn->ping_ms ? conn->heard_ms : conn->ping_ms;
        const uint64_t silent_ms = now_ms > since_ms ? now_ms - since_ms : 0;
        if (silent_ms >= RC_REDIS_DEAD_MS) {
            rc_redis_conn_fail(conn, "no answer to a ping for 5 s");
            return;
        }
        if (silent_ms >= RC_REDIS_LATE_MS && !conn->late) {
            conn->late = true;
            conn_shorten(conn->error, sizeof(conn->error), "no answer to a ping for 1 s");
            conn->ops->late(conn->context, conn, true);
            if (conn->state != RC_REDIS_CONN_READY) {
                return;
            }
        }
    } else if (rc_redis_queue_command(conn, ping_replied, conn, 1, ping) == 0) {
        conn->ping_sent = true;
        conn->ping_ms = now_ms;
        ask_role(conn);
    }
    /* Looked at more often while one is out, so that lateness is seen in time. */
    rc_timer_set(conn->wire->timers, &conn->ping_timer,
                 now_ms + (conn->ping_sent && now_ms != conn->ping_ms ? RC_REDIS_PING_MS / 4 : RC_REDIS_PING_MS),
                 ping_due, conn);
}

static void became_ready(struct rc_redis_conn *conn)
{
    const uint64_t now_ms = rc_clock_ms();
    conn->state = RC_REDIS_CONN_READY;
    conn->ready_ms = conn->heard_ms = now_ms;
    conn->logged[0] = '\0';
    rc_timer_cancel(conn->wire->timers, &conn->timer);
    rc_timer_set(conn->wire->timers, &conn->ping_timer, now_ms + RC_REDIS_PING_MS, ping_due, conn);
    rc_log_info("redis_connected", "role=\"%s\" address!=\"%s:%u\" resp=%d tls=%d", conn->role,
                conn->path[0] != '\0' ? conn->path : conn->address.host, conn->address.port, conn->resp3 ? 3 : 2,
                conn->wire->tls != NULL);
    if (conn->connected++ > 0) {
        rc_metric_add(conn->wire->metrics, RC_METRIC_REDIS_RECONNECTS, 1);
    }
    conn->ops->ready(conn->context, conn);
}

static void conn_greeted(void *context, const redisReply *reply);

static void conn_greet(struct rc_redis_conn *conn)
{
    struct rc_span argv[RC_REDIS_GREETING_ARGS_MAX];
    const uint32_t argc = rc_redis_greeting_next(conn, argv);
    if (argc == 0 && rc_redis_greeting_proves(conn)) {
        became_ready(conn);
    } else if (argc == 0) {
        rc_redis_conn_fail(conn, "it answers without HELLO: asked once more with it");
    } else if (rc_redis_queue_command(conn, conn_greeted, conn, argc, argv) != 0) {
        rc_redis_conn_fail(conn, "no memory");
    }
}

static void conn_greeted(void *context, const redisReply *reply)
{
    struct rc_redis_conn *conn = context;
    char why[sizeof(conn->error)];
    if (reply == NULL) {
        return;
    }
    if (!rc_redis_greeting_replied(conn, reply, why, sizeof(why))) {
        rc_redis_conn_fail(conn, why);
        return;
    }
    conn_greet(conn);
}

/* --- receiving ------------------------------------------------------------------------------------------------------- */

/* RESP2 says everything of pub/sub in arrays, its answer to PING included. */
static bool is_push(const struct rc_redis_conn *conn, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_PUSH) {
        return true;
    }
    return conn->subscriber && !conn->resp3 && conn->state == RC_REDIS_CONN_READY && reply->type == REDIS_REPLY_ARRAY &&
           reply->elements > 0 && !rc_redis_reply_is(reply->element[0], "pong");
}

/* Of those that PING may get and SUBSCRIBE may not: not now, or no more saving to a full disk, which a subscriber does not mind. */
static bool is_of_ping(const redisReply *reply)
{
    const enum rc_redis_error error = rc_redis_error_of(reply);
    return error == RC_REDIS_ERROR_UNSAVED || error == RC_REDIS_ERROR_DATASET;
}

/*
 * An error on a ready subscription connection: of SUBSCRIBE, which is answered by pushes, or of PING, all else that is sent here. Nothing
 * says which; either shows that the server answers, so a ping that is out counts as answered, and its PONG, should it come yet, is
 * not asked for any more.
 */
static void subscriber_error(struct rc_redis_conn *conn, const redisReply *reply)
{
    if (conn->waiting_count > 0) {
        (void)rc_redis_queue_take(conn);
        conn->ping_sent = false;
    }
    if (!is_of_ping(reply)) {
        conn->ops->error(conn->context, conn, reply);
    }
}

static void conn_handle(struct rc_redis_conn *conn, const redisReply *reply)
{
    if (is_push(conn, reply)) {
        if (conn->state == RC_REDIS_CONN_READY && conn->ops->push != NULL) {
            conn->ops->push(conn->context, conn, reply);
        }
        return;
    }
    const bool ready = conn->state == RC_REDIS_CONN_READY;
    if (reply->type == REDIS_REPLY_ERROR && ready) {
        rc_metric_add(conn->wire->metrics, RC_METRIC_REDIS_ERRORS, 1);
        rc_log_limited(RC_LOG_WARN, 2, "redis_error", "role=\"%s\" error=\"%s\"", conn->role, reply->str);
    }
    const enum rc_redis_error error = rc_redis_error_of(reply);
    if (ready && rc_redis_error_ends(error)) {
        conn->demoted = error == RC_REDIS_ERROR_ROLE;
        rc_redis_conn_fail(conn, reply->str); /* who waits, this one too, asks the next connection */
        return;
    }
    if (conn->subscriber && ready && reply->type == REDIS_REPLY_ERROR) {
        subscriber_error(conn, reply);
        return;
    }
    if (conn->waiting_count == 0 && conn->subscriber && ready) {
        return; /* the PONG behind an error */
    }
    if (conn->waiting_count == 0) {
        rc_redis_conn_fail(conn, reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer that nobody asked for");
        return;
    }
    const struct rc_redis_waiting one = rc_redis_queue_take(conn);
    rc_metric_observe(conn->wire->metrics, RC_HISTOGRAM_REDIS_LATENCY, (rc_clock_ns() - one.sent_ns) / 1000);
    if (one.replied != NULL) {
        one.replied(one.context, reply);
    }
}

/* False when the connection is no more what it was. */
static bool conn_handle_one(struct rc_redis_conn *conn, const redisReply *reply)
{
    const uint32_t epoch = conn->epoch;
    conn->reading = true;
    conn_handle(conn, reply);
    conn->reading = false;
    if (conn->epoch == epoch) {
        return true;
    }
    if (conn->dying != NULL) {
        redisFree(conn->dying);
        conn->dying = NULL;
    }
    return false;
}

/* Takes the replies that are read where they lie, as long as hiredis is not in the middle of one. What is next is hiredis's to read when
 * the result is RC_RESP_OTHER; RC_RESP_TAKEN means that the connection is no more what it was. */
static enum rc_resp_result handle_in_place(struct rc_redis_conn *conn)
{
    redisReader *reader = conn->redis->reader;
    struct rc_resp resp;
    size_t used = 0;
    while (reader->ridx < 0) {
        const struct rc_span rest = rc_span_of(reader->buf + reader->pos, reader->len - reader->pos);
        const enum rc_resp_result result = rc_resp_take(&resp, rest, conn->subscriber && !conn->resp3, &used);
        if (result != RC_RESP_TAKEN) {
            rc_redis_discard_taken(reader);
            return result;
        }
        reader->pos += used;
        if (!conn_handle_one(conn, &resp.whole)) {
            return RC_RESP_TAKEN;
        }
    }
    return RC_RESP_OTHER;
}

/* Everything that is complete. False when the connection is no more what it was. */
static bool conn_handle_all(struct rc_redis_conn *conn)
{
    for (;;) {
        void *reply = NULL;
        const enum rc_resp_result result = handle_in_place(conn);
        if (result != RC_RESP_OTHER) {
            return result == RC_RESP_SHORT;
        }
        if (redisReaderGetReply(conn->redis->reader, &reply) != REDIS_OK) {
            rc_redis_conn_fail(conn, conn->redis->reader->errstr);
            return false;
        }
        if (reply == NULL) {
            return true;
        }
        rc_redis_error_shorten(reply);
        const bool same = conn_handle_one(conn, reply);
        freeReplyObject(reply);
        if (!same) {
            return false;
        }
    }
}

static const char *context_error(const struct rc_redis_conn *conn)
{
    if (conn->wire->tls != NULL && conn->redis->err != REDIS_ERR_EOF) {
        const unsigned long code = ERR_peek_last_error();
        const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
        if (reason != NULL) {
            return reason;
        }
    }
    return conn->redis->errstr[0] != '\0' ? conn->redis->errstr : "the connection was closed";
}

/* What context_error looks at must be of the call to come; it costs more than the rest of a read. */
static void clear_tls_error(const struct rc_redis_conn *conn)
{
    if (conn->wire->tls != NULL) {
        ERR_clear_error();
    }
}

static void conn_heard(struct rc_redis_conn *conn)
{
    conn->heard_ms = rc_clock_ms();
    if (conn->late) {
        conn->late = false;
        conn->ops->late(conn->context, conn, false);
    }
}

/* `all`: until there is nothing. Else a short read is the end, which spares a system call for each message: what comes later is a new
 * edge. Not so with TLS, where a read is one record. */
static void read_some(struct rc_redis_conn *conn, bool all)
{
    size_t taken = 0;
    all |= conn->wire->tls != NULL;
    conn->unread = false;
    while (taken < RC_REDIS_READ_BYTES_MAX) {
        redisContext *redis = conn->redis;
        const uint32_t epoch = conn->epoch;
        const size_t before = redis->reader->len;
        clear_tls_error(conn);
        if (redisBufferRead(redis) != REDIS_OK) {
            rc_redis_conn_fail(conn, rc_redis_greeting_cut(conn, context_error(conn)));
            return;
        }
        if (redis->reader->len == before) {
            return; /* nothing there */
        }
        const size_t got = redis->reader->len - before;
        taken += got;
        conn_heard(conn);
        if (conn->epoch != epoch || !conn_handle_all(conn) || (!all && got < READ_SHORT_BYTES)) {
            return;
        }
    }
    conn->unread = true;
}

void rc_redis_conn_flush(struct rc_redis_conn *conn)
{
    if (conn->state < RC_REDIS_CONN_GREETING) {
        return;
    }
    if (conn->unread) {
        read_some(conn, true);
    }
    if (conn->state < RC_REDIS_CONN_GREETING || rc_redis_queue_unsent(conn) == 0) {
        return;
    }
    clear_tls_error(conn);
    while (rc_redis_queue_unsent(conn) > 0) {
        const ssize_t sent = conn->redis->funcs->write(conn->redis);
        if (sent < 0) {
            rc_redis_conn_fail(conn, rc_redis_greeting_cut(conn, context_error(conn)));
            return;
        }
        if (sent == 0) {
            return; /* the socket is full: readiness goes on */
        }
        rc_redis_discard_sent(conn->redis, (size_t)sent);
    }
}

bool rc_redis_conn_pending(const struct rc_redis_conn *conn)
{
    return conn->unread;
}

/* --- connecting ------------------------------------------------------------------------------------------------------ */

static void too_slow(void *context, uint64_t now_ms)
{
    struct rc_redis_conn *conn = context;
    (void)now_ms;
    rc_redis_conn_fail(conn, conn->state == RC_REDIS_CONN_RESOLVING    ? "the name was not resolved within 2 s"
                             : conn->state == RC_REDIS_CONN_CONNECTING ? "no connection within 2 s"
                                                                       : "no answer to the greeting within 2 s");
}

/* Whose certificate the server must have. */
static const char *tls_name(const struct rc_redis_conn *conn)
{
    return conn->wire->tls_name[0] != '\0' ? conn->wire->tls_name : conn->address.host;
}

/* The socket is connected: hiredis takes it over. */
static void conn_connected(struct rc_redis_conn *conn)
{
    const int one = 1;
    const redisOptions options = {.type = REDIS_CONN_USERFD,
                                  .options = REDIS_OPT_NONBLOCK | REDIS_OPT_NO_PUSH_AUTOFREE,
                                  .endpoint = {.fd = conn->fd}};
    if (conn->path[0] == '\0') {
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    conn->redis = redisConnectWithOptions(&options);
    if (conn->redis == NULL || conn->redis->err != 0) {
        rc_redis_conn_fail(conn, "no memory");
        return;
    }
    conn->redis->reader->maxelements = RC_REDIS_ELEMENTS_MAX;
    ERR_clear_error();
    if (conn->wire->tls != NULL && rc_redis_tls_begin(conn->redis, conn->wire->tls, tls_name(conn)) != 0) {
        rc_redis_conn_fail(conn, context_error(conn));
        return;
    }
    conn->state = RC_REDIS_CONN_GREETING;
    rc_redis_greeting_begin(conn);
    conn->demoted = false;
    conn->role_by = RC_REDIS_ROLE_UNKNOWN;
    conn_greet(conn);
    rc_redis_conn_flush(conn);
}

static void on_ready(void *context, uint32_t events)
{
    struct rc_redis_conn *conn = context;
    if (conn->state == RC_REDIS_CONN_CONNECTING) {
        int error = 0;
        socklen_t bytes = sizeof(error);
        if ((events & (POLLOUT | POLLERR | POLLHUP)) == 0) {
            return;
        }
        (void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
        if (error == 0) {
            conn_connected(conn);
        } else if (conn->address_next < conn->addresses.count) {
            try_address(conn); /* a name may have several addresses, the first of another family than the server's */
        } else {
            rc_redis_conn_fail(conn, strerror(error));
        }
        return;
    }
    if ((events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0 && conn->state >= RC_REDIS_CONN_GREETING) {
        read_some(conn, (events & (POLLRDHUP | POLLHUP | POLLERR)) != 0); /* the end stands behind what is there */
    }
    rc_redis_conn_flush(conn);
}

static int connect_to(struct rc_redis_conn *conn, const struct sockaddr *address, socklen_t bytes)
{
    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        return -errno;
    }
    if (connect(conn->fd, address, bytes) != 0 && errno != EINPROGRESS) {
        return -errno;
    }
    conn->state = RC_REDIS_CONN_CONNECTING;
    /* Edge: writable is said once when it is connected, and again when a full socket has room. */
    conn->handle = conn->wire->host.watch(conn->wire->host.context, conn->fd,
                                          POLLIN | POLLOUT | POLLRDHUP | (uint32_t)EPOLLET, on_ready, conn);
    return conn->handle < 0 ? conn->handle : 0;
}

static void leave_socket(struct rc_redis_conn *conn)
{
    if (conn->handle >= 0) {
        conn->wire->host.unwatch(conn->wire->host.context, conn->handle);
        conn->handle = -1;
    }
    if (conn->fd >= 0) {
        (void)close(conn->fd);
        conn->fd = -1;
    }
}

static void try_address(struct rc_redis_conn *conn)
{
    int rc = -EADDRNOTAVAIL;
    conn->state = RC_REDIS_CONN_CONNECTING;
    while (rc != 0 && conn->address_next < conn->addresses.count) {
        const uint32_t i = conn->address_next++;
        leave_socket(conn);
        rc = connect_to(conn, (const struct sockaddr *)&conn->addresses.items[i].address,
                        conn->addresses.items[i].bytes);
    }
    if (rc != 0) {
        rc_redis_conn_fail(conn, strerror(-rc));
    }
}

static void conn_resolved(void *context, uint32_t events)
{
    struct rc_redis_conn *conn = context;
    const char *why = "";
    (void)events;
    if (conn->state != RC_REDIS_CONN_RESOLVING || !rc_resolve_take(conn->resolve, &conn->addresses, &why)) {
        return;
    }
    conn->wire->host.unwatch(conn->wire->host.context, conn->handle);
    conn->handle = -1;
    stop_resolving(conn);
    if (conn->addresses.count == 0) {
        rc_redis_conn_fail(conn, why);
    } else {
        try_address(conn);
    }
}

static void start_name(struct rc_redis_conn *conn)
{
    if (rc_resolve_numeric(conn->address.host, conn->address.port, &conn->addresses)) {
        try_address(conn);
        return;
    }
    conn->resolve = rc_resolve_start(conn->address.host, conn->address.port);
    if (conn->resolve == NULL) {
        rc_redis_conn_fail(conn, "no memory to look up the name");
        return;
    }
    conn->handle =
        conn->wire->host.watch(conn->wire->host.context, rc_resolve_fd(conn->resolve), POLLIN, conn_resolved, conn);
    if (conn->handle < 0) {
        rc_redis_conn_fail(conn, "too many watched descriptors");
    }
}

static void start_unix(struct rc_redis_conn *conn)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&conn->addresses.items[0].address;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, conn->path, strlen(conn->path));
    conn->addresses.count = 1;
    conn->addresses.items[0].bytes = sizeof(*address);
    try_address(conn);
}

static void conn_start(struct rc_redis_conn *conn)
{
    conn->state = RC_REDIS_CONN_RESOLVING;
    conn->address_next = 0;
    rc_timer_set(conn->wire->timers, &conn->timer, rc_clock_ms() + RC_REDIS_CONNECT_MS, too_slow, conn);
    if (conn->path[0] != '\0') {
        start_unix(conn);
    } else {
        start_name(conn);
    }
}

void rc_redis_conn_open(struct rc_redis_conn *conn, const struct rc_redis_address *address, const char *path)
{
    rc_redis_conn_close(conn);
    if (address != NULL) {
        conn->address = *address;
    }
    (void)snprintf(conn->path, sizeof(conn->path), "%s", path != NULL ? path : "");
    /* By the timer, so that nothing is called back from in here. */
    conn->state = RC_REDIS_CONN_WAITING;
    rc_timer_set(conn->wire->timers, &conn->timer, rc_clock_ms(), conn_retry, conn);
}
