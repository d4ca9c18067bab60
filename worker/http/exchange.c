/* exchange: see exchange.h. */
#include "worker/http/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"

#define BODY_FIRST 1024u /* bytes of the first block of a body */

/* --- the table ------------------------------------------------------------------------------------------------------- */

static void set_gauges(struct rc_exchanges *exchanges)
{
    rc_metric_set(exchanges->metrics, RC_METRIC_HTTP_WAITING, exchanges->kept);
    rc_metric_set(exchanges->metrics, RC_METRIC_API_BYTES, exchanges->bytes);
}

int rc_exchanges_open(struct rc_exchanges *exchanges, const struct rc_exchange_ops *ops, const struct rc_config *config,
                      struct rc_metrics *metrics, uint32_t kept_max)
{
    *exchanges = (struct rc_exchanges){.ops = *ops, .config = config, .metrics = metrics, .kept_max = kept_max};
    exchanges->items = calloc((size_t)kept_max + 1, sizeof(struct rc_exchange *));
    exchanges->later = calloc((size_t)kept_max + 1, sizeof(*exchanges->later));
    if (exchanges->items == NULL || exchanges->later == NULL) {
        rc_exchanges_close(exchanges);
        return -ENOMEM;
    }
    return 0;
}

static uint32_t *place_of(const struct rc_exchanges *exchanges, uint32_t connection)
{
    return exchanges->ops.place(exchanges->ops.context, connection);
}

struct rc_exchange *rc_exchange_of(const struct rc_exchanges *exchanges, uint32_t connection)
{
    const uint32_t number = *place_of(exchanges, connection);
    return number == 0 ? NULL : exchanges->items[number - 1];
}

/* NULL: no memory. There is always a free entry, since only one at a time is not kept. */
static struct rc_exchange *open_exchange(struct rc_exchanges *exchanges, uint32_t connection)
{
    struct rc_exchange *exchange = exchanges->spare;
    exchanges->spare = NULL;
    if (exchange == NULL) {
        exchange = malloc(sizeof(*exchange));
        if (exchange == NULL) {
            return NULL;
        }
    }
    *exchange = (struct rc_exchange){0};
    for (uint32_t tries = 0; exchanges->items[exchanges->next] != NULL; tries++) {
        RC_ASSERT(tries <= exchanges->kept_max);
        exchanges->next = (exchanges->next + 1) % (exchanges->kept_max + 1);
    }
    exchange->exchanges = exchanges;
    exchange->connection = connection;
    exchange->index = exchanges->next;
    exchanges->items[exchange->index] = exchange;
    *place_of(exchanges, connection) = exchange->index + 1;
    return exchange;
}

static void set_state(struct rc_exchange *exchange, enum rc_exchange_state state)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    exchanges->waiting -= exchange->state == RC_EXCHANGE_WAITING;
    exchanges->waiting += state == RC_EXCHANGE_WAITING;
    exchange->state = state;
}

void rc_exchange_begun(const struct rc_exchange *exchange)
{
    const struct rc_exchange_ops *ops = &exchange->exchanges->ops;
    if (ops->begun != NULL) {
        ops->begun(ops->context, exchange->connection);
    }
}

/* Takes it out of the table and tells its user. The connection may have another one afterwards. */
static void end_exchange(struct rc_exchange *exchange, uint16_t status)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    rc_exchange_begun(exchange);
    set_state(exchange, RC_EXCHANGE_RUNNING);
    if (exchange->user != NULL && exchange->user->ended != NULL) {
        exchange->user->ended(exchange, status);
    }
    rc_exchange_release_body(exchange);
    if (exchange->kept) {
        free((char *)(uintptr_t)exchange->cors);
    }
    exchange->cors = NULL;
    *place_of(exchanges, exchange->connection) = 0;
    exchanges->items[exchange->index] = NULL;
    exchanges->kept -= exchange->kept;
    free(exchanges->spare);
    exchanges->spare = exchange;
    set_gauges(exchanges);
}

void rc_exchanges_close(struct rc_exchanges *exchanges)
{
    exchanges->feeding = UINT32_MAX; /* whatever is answered now, nobody goes on */
    for (uint32_t i = 0; exchanges->items != NULL && i <= exchanges->kept_max; i++) {
        if (exchanges->items[i] != NULL) {
            end_exchange(exchanges->items[i], 0);
        }
    }
    free(exchanges->items);
    free(exchanges->later);
    free(exchanges->spare);
    exchanges->items = NULL;
    exchanges->later = NULL;
    exchanges->later_count = 0;
    exchanges->spare = NULL;
}

/* One more that is not answered at once. -ENOBUFS, also without memory. */
static int exchange_keep(struct rc_exchange *exchange)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    if (exchange->kept) {
        return 0;
    }
    if (exchanges->kept == exchanges->kept_max) {
        rc_metric_add(exchanges->metrics, RC_METRIC_HTTP_WAITING_FULL, 1);
        return -ENOBUFS;
    }
    if (exchange->cors != NULL) {
        exchange->cors = strdup(exchange->cors);
        if (exchange->cors == NULL) {
            rc_metric_add(exchanges->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return -ENOBUFS;
        }
    }
    exchange->kept = true;
    exchanges->kept++;
    set_gauges(exchanges);
    return 0;
}

/* --- what is kept for another process -------------------------------------------------------------------------------- */

static void tell_once(const struct rc_exchanges *exchanges, uint32_t connection)
{
    if (exchanges->ops.once != NULL) {
        exchanges->ops.once(exchanges->ops.context, connection);
    }
}

static void tell_answers(const struct rc_exchanges *exchanges, uint32_t connection)
{
    if (exchanges->ops.answers != NULL) {
        exchanges->ops.answers(exchanges->ops.context, connection);
    }
}

static void tell_answered(const struct rc_exchanges *exchanges, uint32_t connection)
{
    if (exchanges->ops.answered != NULL) {
        exchanges->ops.answered(exchanges->ops.context, connection);
    }
}

static void tell_works(const struct rc_exchanges *exchanges, uint32_t connection, bool works)
{
    if (exchanges->ops.works != NULL) {
        exchanges->ops.works(exchanges->ops.context, connection, works);
    }
}

static void tell_over(const struct rc_exchanges *exchanges, uint32_t connection)
{
    if (exchanges->ops.over != NULL) {
        exchanges->ops.over(exchanges->ops.context, connection);
    }
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* The answer's head, or an error whole. -ENOMEM: it does not fit, or the connection may have no more. */
static int write_answer(struct rc_exchanges *exchanges, uint32_t connection, const struct rc_http_response *response,
                        const struct rc_exchange_answer *answer)
{
    const struct rc_exchange_ops *ops = &exchanges->ops;
    char text[8192];
    const size_t bytes = answer->message != NULL ? rc_http_respond_error(text, sizeof(text), response, answer->message)
                                                 : rc_http_respond(text, sizeof(text), response);
    int rc = bytes == 0 ? -ENOMEM : ops->write(ops->context, connection, text, (uint32_t)bytes);
    if (rc == 0 && answer->message == NULL && !response->head && answer->body_bytes > 0) {
        rc = ops->write(ops->context, connection, answer->body, (uint32_t)answer->body_bytes);
    }
    return rc;
}

/* In the middle of what another connection asked for nobody else goes on: a chain of requests that answer each other would be one of calls,
 * and who answers would find what it holds changed under it. */
static void resume_later(struct rc_exchanges *exchanges, uint32_t connection)
{
    if (exchanges->later_count <= exchanges->kept_max) { /* each connection has one exchange: it is in there once */
        exchanges->later[exchanges->later_count++] = connection;
    }
}

/* Somebody is fed; what was before comes back with feed_end, and behind the outermost those go on who were answered meanwhile. */
static uint32_t feed_begin(struct rc_exchanges *exchanges, uint32_t connection)
{
    const uint32_t before = exchanges->feeding;
    exchanges->feeding = connection + 1;
    return before;
}

static void feed_end(struct rc_exchanges *exchanges, uint32_t before)
{
    while (before == 0 && exchanges->later_count > 0) {
        exchanges->feeding = UINT32_MAX; /* nor may these go on within each other */
        exchanges->ops.resume(exchanges->ops.context, exchanges->later[--exchanges->later_count]);
    }
    exchanges->feeding = before;
}

void rc_exchange_answer(struct rc_exchange *exchange, const struct rc_exchange_answer *answer)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    const struct rc_exchange_ops *ops = &exchanges->ops;
    const uint32_t connection = exchange->connection;
    const bool keep_alive = exchange->keep_alive && !exchange->unread && !exchanges->draining;
    char headers[RC_EXCHANGE_HEADERS_BYTES_MAX + RC_CORS_HEADERS_BYTES_MAX];
    (void)snprintf(headers, sizeof(headers), "%s%s", answer->headers == NULL ? "" : answer->headers,
                   exchange->cors == NULL ? "" : exchange->cors);
    const struct rc_http_response response = {
        .status = answer->status,
        .content_type = answer->content_type,
        .body_bytes = answer->body_bytes,
        .keep_alive = keep_alive,
        .head = exchange->head,
        .allow = answer->allow,
        .retry_after_s = answer->retry_after_s,
        .cacheable = answer->cacheable,
        .date = rc_http_date_at(&exchanges->date, (int64_t)time(NULL)),
        .headers = headers,
    };
    const bool kept = exchange->kept;
    if (kept) {
        tell_once(exchanges, connection);
        tell_works(exchanges, connection, true);
    }
    end_exchange(exchange, answer->status); /* before writing: that may end the connection */
    rc_metric_add(exchanges->metrics, RC_METRIC_HTTP_REQUESTS, 1);
    if (answer->status >= 400) {
        rc_metric_add(exchanges->metrics, RC_METRIC_HTTP_ERRORS, 1);
    }
    tell_answers(exchanges, connection);
    if (write_answer(exchanges, connection, &response, answer) < 0) {
        ops->fail(ops->context, connection);
        tell_works(exchanges, connection, false);
        return;
    }
    tell_answered(exchanges, connection);
    if (answer->written != NULL) {
        answer->written(answer->context);
    }
    if (kept) {
        tell_over(exchanges, connection);
        tell_works(exchanges, connection, false);
    }
    if (keep_alive) { /* the next request has its time from now on */
        ops->deadline(ops->context, connection, exchanges->config->limits.handshake_timeout_ms);
    } else {
        ops->linger(ops->context, connection);
    }
    if (exchanges->feeding == 0) {
        ops->resume(ops->context, connection);
    } else if (exchanges->feeding != connection + 1) {
        resume_later(exchanges, connection);
    }
}

void rc_exchange_error(struct rc_exchange *exchange, struct rc_exchange_answer answer)
{
    if (answer.status == 400 || answer.status == 413 || answer.status == 414 || answer.status == 431 ||
        answer.status >= 500) {
        exchange->keep_alive = false; /* where the next request would begin is not known, or not wanted */
    }
    rc_exchange_answer(exchange, &answer);
}

bool rc_exchange_upgraded(struct rc_exchange *exchange)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    const bool later = exchanges->feeding != exchange->connection + 1;
    if (exchange->kept) {
        tell_once(exchanges, exchange->connection);
    }
    end_exchange(exchange, 101);
    return later;
}

void rc_exchange_put_back(struct rc_exchange *exchange)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    RC_ASSERT(exchange->state == RC_EXCHANGE_RUNNING && exchange->request != NULL);
    exchanges->put_back = true;
    end_exchange(exchange, 0);
}

/* --- bodies ---------------------------------------------------------------------------------------------------------- */

int rc_exchanges_charge(struct rc_exchanges *exchanges, uint64_t bytes)
{
    if (exchanges->bytes + bytes > exchanges->config->limits.worker_log_bytes) {
        rc_metric_add(exchanges->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return -ENOMEM;
    }
    exchanges->bytes += bytes;
    set_gauges(exchanges);
    return 0;
}

void rc_exchanges_discharge(struct rc_exchanges *exchanges, uint64_t bytes)
{
    RC_ASSERT(bytes <= exchanges->bytes);
    exchanges->bytes -= bytes;
    set_gauges(exchanges);
}

void rc_exchange_release_body(struct rc_exchange *exchange)
{
    if (exchange->byte_capacity > 0) {
        rc_exchanges_discharge(exchange->exchanges, exchange->byte_capacity);
    }
    free(exchange->bytes);
    exchange->bytes = NULL;
    exchange->byte_count = exchange->byte_capacity = 0;
}

static int append_body(struct rc_exchange *exchange, struct rc_http_view span)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    const size_t need = exchange->byte_count + span.bytes;
    if (need > exchange->byte_capacity) {
        size_t capacity = exchange->byte_capacity == 0 ? BODY_FIRST : exchange->byte_capacity;
        while (capacity < need) {
            capacity *= 2;
        }
        if (rc_exchanges_charge(exchanges, capacity - exchange->byte_capacity) < 0) {
            return -ENOMEM;
        }
        uint8_t *larger = realloc(exchange->bytes, capacity);
        if (larger == NULL) {
            rc_exchanges_discharge(exchanges, capacity - exchange->byte_capacity);
            rc_metric_add(exchanges->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return -ENOMEM;
        }
        exchange->bytes = larger;
        exchange->byte_capacity = capacity;
    }
    memcpy(exchange->bytes + exchange->byte_count, span.text, span.bytes);
    exchange->byte_count = need;
    return 0;
}

static void refuse_body(struct rc_exchange *exchange, uint16_t status)
{
    const char *message = status == 413   ? "the body is larger than it may be (limits.max_body, socketio.max_payload)"
                          : status == 400 ? "the body's chunks are broken"
                                          : "no memory for the body: try again";
    exchange->keep_alive = false; /* where the next request would begin is not known, or far away */
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){
                                     .status = status, .message = message, .retry_after_s = status == 503 ? 1 : 0});
}

static void run_exchange(struct rc_exchange *exchange)
{
    exchange->unread = false;
    set_state(exchange, RC_EXCHANGE_RUNNING);
    if (!exchange->user->says_begun) {
        rc_exchange_begun(exchange);
    }
    exchange->user->run(exchange);
}

int rc_exchange_read(struct rc_exchange *exchange, const struct rc_exchange_user *user, void *context)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct rc_exchanges *exchanges = exchange->exchanges;
    const struct rc_exchange_ops *ops = &exchanges->ops;
    const uint32_t connection = exchange->connection;
    RC_ASSERT(exchange->state == RC_EXCHANGE_RUNNING && exchange->request != NULL);
    exchange->user = user;
    exchange->context = context;
    const uint64_t bytes_max =
        exchange->body_bytes_max > 0 ? exchange->body_bytes_max : exchanges->config->limits.max_body_bytes;
    if (rc_http_body_begin(&exchange->body, exchange->request, bytes_max) < 0) {
        refuse_body(exchange, 413);
        return 0;
    }
    if (rc_http_body_complete(&exchange->body)) {
        run_exchange(exchange);
        return 0;
    }
    if (exchange_keep(exchange) < 0) {
        return -ENOBUFS;
    }
    set_state(exchange, RC_EXCHANGE_READING);
    ops->deadline(ops->context, connection, exchanges->config->limits.handshake_timeout_ms);
    if (exchange->request->expect_100 && exchange->done != RC_EXCHANGE_ANSWERED &&
        ops->write(ops->context, connection, go_on, (uint32_t)(sizeof(go_on) - 1)) < 0) {
        ops->fail(ops->context, connection);
    }
    return 0;
}

/* The bytes that were the body's. */
static uint32_t feed_body(struct rc_exchange *exchange, const uint8_t *bytes, uint32_t count)
{
    uint32_t used = 0;
    while (used < count) {
        struct rc_http_view span;
        size_t consumed;
        const int rc = rc_http_body_feed(&exchange->body, bytes + used, count - used, &consumed, &span);
        used += (uint32_t)consumed;
        if (rc < 0) {
            refuse_body(exchange, (uint16_t)-rc);
            return count;
        }
        if (span.bytes > 0 && append_body(exchange, span) < 0) {
            refuse_body(exchange, 503);
            return count;
        }
        if (rc == 1) {
            run_exchange(exchange);
            return used;
        }
    }
    return used;
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

/* A former process has answered it, and was killed before it had thrown it away. */
static void answered_run(struct rc_exchange *exchange)
{
    struct rc_exchanges *exchanges = exchange->exchanges;
    const uint32_t connection = exchange->connection;
    end_exchange(exchange, 200);
    tell_over(exchanges, connection);
    exchanges->ops.deadline(exchanges->ops.context, connection, exchanges->config->limits.handshake_timeout_ms);
}

static void answered_begin(struct rc_exchange *exchange)
{
    static const struct rc_exchange_user user = {.half_closed_is_gone = true, .run = answered_run};
    exchange->body_bytes_max = UINT32_MAX; /* it was within its bounds */
    if (rc_exchange_read(exchange, &user, NULL) < 0) {
        exchange->exchanges->ops.fail(exchange->exchanges->ops.context, exchange->connection);
    }
}

/* A request whose head is in `request`; NULL: what came is none, for the reason `why`. */
static void exchange_begin(struct rc_exchanges *exchanges, uint32_t connection, const struct rc_http_request *request,
                           bool first, uint16_t status, const char *why)
{
    const struct rc_exchange_ops *ops = &exchanges->ops;
    struct rc_exchange *exchange = open_exchange(exchanges, connection);
    if (exchange == NULL) {
        ops->fail(ops->context, connection);
        return;
    }
    if (request == NULL) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = status, .message = why});
        return;
    }
    const uint32_t number = exchange->index + 1;
    exchange->request = request;
    exchange->first = first;
    exchange->done = ops->done == NULL ? 0 : ops->done(ops->context, connection);
    exchange->keep_alive = request->keep_alive && !exchanges->draining;
    exchange->head = request->method == RC_HTTP_HEAD;
    exchange->unread = request->chunked || (request->has_content_length && request->content_length > 0);
    if (exchange->done == RC_EXCHANGE_ANSWERED) {
        answered_begin(exchange);
    } else {
        ops->begin(ops->context, exchange);
    }
    /* Is it still there? (It is the only one that could have been made meanwhile.) */
    if (*place_of(exchanges, connection) == number) {
        RC_ASSERT(exchange->state != RC_EXCHANGE_RUNNING);
        exchange->request = NULL;
    }
}

static uint32_t exchange_feed(struct rc_exchanges *exchanges, uint32_t connection, const uint8_t *bytes, uint32_t count,
                              uint32_t *scanned, uint32_t *began)
{
    const struct rc_exchange_ops *ops = &exchanges->ops;
    const struct rc_config_limits *config = &exchanges->config->limits;
    const struct rc_http_limits limits = {.head_bytes_max = (uint32_t)config->max_request_bytes,
                                          .headers_max = config->max_request_headers};
    uint32_t used = 0;
    while (used < count && ops->speaks(ops->context, connection)) {
        if (ops->unsent(ops->context, connection) > config->max_reply_bytes) {
            ops->hold(ops->context, connection);
            return used;
        }
        struct rc_exchange *exchange = rc_exchange_of(exchanges, connection);
        if (exchange != NULL && exchange->state != RC_EXCHANGE_READING) {
            return used; /* pipelined behind one that waits for its answer */
        }
        if (exchange != NULL) {
            used += feed_body(exchange, bytes + used, count - used);
            continue;
        }
        struct rc_http_request request;
        const char *why = "";
        size_t searched = used == 0 ? *scanned : 0;
        const int rc = rc_http_request_parse(bytes + used, count - used, &searched, &limits, &request, &why);
        if (rc == 0) {
            *scanned = used == 0 ? (uint32_t)searched : 0;
            return used;
        }
        *began = used;
        if (rc < 0) {
            exchange_begin(exchanges, connection, NULL, false, (uint16_t)-rc, why);
            return count;
        }
        exchange_begin(exchanges, connection, &request, used == 0, 0, NULL);
        if (exchanges->put_back) {
            exchanges->put_back = false;
            return used;
        }
        used += (uint32_t)rc;
    }
    return used;
}

uint32_t rc_exchanges_feed(struct rc_exchanges *exchanges, uint32_t connection, const uint8_t *bytes, uint32_t count,
                           uint32_t *scanned, uint32_t *began)
{
    const uint32_t before = feed_begin(exchanges, connection);
    *began = RC_EXCHANGE_BEGAN_BEFORE;
    const uint32_t used = exchange_feed(exchanges, connection, bytes, count, scanned, began);
    feed_end(exchanges, before);
    return used;
}

/* --- waiting --------------------------------------------------------------------------------------------------------- */

int rc_exchange_wait(struct rc_exchange *exchange, uint64_t in_ms)
{
    const struct rc_exchange_ops *ops = &exchange->exchanges->ops;
    if (exchange_keep(exchange) < 0) {
        return -ENOBUFS;
    }
    set_state(exchange, RC_EXCHANGE_WAITING);
    ops->deadline(ops->context, exchange->connection, in_ms);
    return 0;
}

bool rc_exchanges_expired(struct rc_exchanges *exchanges, uint32_t connection)
{
    struct rc_exchange *exchange = rc_exchange_of(exchanges, connection);
    if (exchange == NULL) {
        return false;
    }
    if (exchange->user != NULL && exchange->user->expired != NULL) {
        exchange->user->expired(exchange);
    } else if (exchange->state == RC_EXCHANGE_READING) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 408, .message = "the body did not arrive in time"});
    } else {
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 504, .message = "no answer in time: try again", .retry_after_s = 1});
    }
    return true;
}

void rc_exchanges_room(struct rc_exchanges *exchanges, uint32_t connection)
{
    struct rc_exchange *exchange = rc_exchange_of(exchanges, connection);
    if (exchange != NULL && exchange->state == RC_EXCHANGE_WAITING && exchange->user != NULL &&
        exchange->user->room != NULL) {
        const uint32_t before = feed_begin(exchanges, connection);
        if (!exchange->again) { /* else who goes on says so when he begins to (rc_socket_request_known) */
            tell_once(exchanges, connection);
        }
        exchange->user->room(exchange);
        feed_end(exchanges, before);
    }
}

void rc_exchanges_gone(struct rc_exchanges *exchanges, uint32_t connection)
{
    struct rc_exchange *exchange = rc_exchange_of(exchanges, connection);
    if (exchange != NULL) {
        end_exchange(exchange, 0);
    }
}

bool rc_exchange_repeats(const struct rc_exchange *exchange)
{
    return exchange->state == RC_EXCHANGE_READING || (exchange->state == RC_EXCHANGE_WAITING && exchange->again);
}

bool rc_exchanges_waits(const struct rc_exchanges *exchanges, uint32_t connection)
{
    const struct rc_exchange *exchange = rc_exchange_of(exchanges, connection);
    return exchange != NULL && exchange->state == RC_EXCHANGE_WAITING &&
           !(exchange->user != NULL && exchange->user->half_closed_is_gone);
}
