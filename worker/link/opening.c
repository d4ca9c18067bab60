/* opening: see opening.h. */
#include "worker/link/opening.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/text/json_scan.h"
#include "worker/link/links.h"

#define OPENING_HELD_MS 10000u /* for the application's verdict */
#define OPENING_BODY_MAX 65536u
#define OPENING_FAILED_MAX 100u /* a second: refused requests that the application is told of */
#define OPENING_ABSENT "the application is not there: try again"

/* --- what the application is told ------------------------------------------------------------------------------------ */

/* Bytes of a request as Node reads them: each a character. */
static void put_latin1(struct rc_text *text, struct rc_http_view view)
{
    const struct rc_span bytes = rc_span_of(view.text, view.bytes);
    uint8_t *out = NULL;
    size_t high = 0;
    for (size_t i = 0; i < bytes.count; i++) {
        high += bytes.bytes[i] >= 0x80;
    }
    if (high == 0) {
        rc_text_put_json(text, bytes);
        return;
    }
    out = malloc(bytes.count + high);
    if (out == NULL) {
        text->failed = true;
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < bytes.count; i++) {
        const uint8_t byte = bytes.bytes[i];
        if (byte < 0x80) {
            out[at++] = byte;
        } else {
            out[at++] = (uint8_t)(0xc0 | byte >> 6);
            out[at++] = (uint8_t)(0x80 | (byte & 0x3f));
        }
    }
    rc_text_put_json(text, rc_span_of(out, at));
    free(out);
}

static void opening_refuse(struct rc_links *links, struct rc_exchange *exchange)
{
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_REFUSED, 1);
    rc_exchange_error(exchange,
                      (struct rc_exchange_answer){.status = 503, .retry_after_s = 1, .message = OPENING_ABSENT});
}

/* The target as servers know it, whichever form it was sent in (RFC 9112, 3.2): path and query. */
static void put_url(struct rc_text *text, const struct rc_http_request *request)
{
    if (request->target.bytes > 0 && request->target.text[0] == '/') {
        put_latin1(text, request->target);
        return;
    }
    struct rc_text url = {0};
    rc_text_put_bytes(&url, request->path.text, request->path.bytes);
    if (request->query.bytes > 0) {
        rc_text_put(&url, "?");
        rc_text_put_bytes(&url, request->query.text, request->query.bytes);
    }
    put_latin1(text, (struct rc_http_view){(const char *)url.bytes, (uint32_t)url.count});
    text->failed |= url.failed;
    rc_text_free(&url);
}

/* Members of OPEN and FAILED that are the request itself. */
static void request_put(struct rc_text *text, const struct rc_clients *clients, const struct rc_exchange *exchange)
{
    const struct rc_http_request *request = exchange->request;
    char address[RC_ADDRESS_TEXT_MAX];
    (void)rc_address_format(address, &exchange->client);
    rc_text_put(text, "\"method\":");
    put_latin1(text, request->method_text);
    rc_text_put(text, ",\"url\":");
    put_url(text, request);
    rc_text_put(text, ",\"headers\":[");
    for (uint32_t i = 0; i < request->header_count; i++) {
        rc_text_put(text, i == 0 ? "" : ",");
        put_latin1(text, request->headers[i].name);
        rc_text_put(text, ",");
        put_latin1(text, request->headers[i].value);
    }
    rc_text_put(text, "],\"address\":\"%s\",\"port\":%u,\"secure\":%s", address,
                clients->truth->sockets[exchange->connection].port,
                rc_socket_is_secure(clients, exchange->connection) ? "true" : "false");
}

bool rc_link_opening_of(struct rc_links *links, struct rc_exchange *exchange, bool websocket, enum rc_codec_id codec,
                        struct rc_text *text)
{
    *text = (struct rc_text){0};
    if (rc_links_choose(links) == NULL) {
        opening_refuse(links, exchange);
        return false;
    }
    /* Its first member is what becomes another one. */
    rc_text_put(text, "\"transport\":\"%s\",\"protocol\":%d,", websocket ? "websocket" : "polling",
                codec == RC_CODEC_LINK_3 ? 3 : 4);
    request_put(text, links->clients, exchange);
    if (text->failed) {
        rc_text_free(text);
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 503, .retry_after_s = 1, .message = "no memory"});
        return false;
    }
    return true;
}

void rc_link_failed(struct rc_links *links, const struct rc_exchange *exchange, unsigned code, const char *message)
{
    const uint64_t second = rc_links_now_ms(links) / 1000u;
    struct rc_link *link = rc_links_choose(links);
    struct rc_text text = {0};
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_FAILED, 1);
    if (second != links->failed_second) {
        links->failed_second = second;
        links->failed = 0;
    }
    if (link == NULL || links->failed >= OPENING_FAILED_MAX) {
        return;
    }
    links->failed++;
    rc_text_put(&text, "{\"code\":%u,\"message\":\"%s\",", code, message);
    request_put(&text, links->clients, exchange);
    rc_text_put(&text, "}");
    if (!text.failed) { /* else one less: nobody waits for it */
        (void)rc_link_send(links, link, RC_LINK_FAILED, 0, 0, rc_span_of(text.bytes, text.count), (struct rc_span){0});
    }
    rc_text_free(&text);
}

/* --- while it decides ------------------------------------------------------------------------------------------------ */

/* A handshake that waits for ACCEPT; `context` of its exchange. */
struct held {
    struct rc_links *links;
    uint32_t client;
    uint32_t request_bytes;
    uint8_t *request; /* owned: for its bond, once it is accepted */
    rc_link_opened *opened;
    _Alignas(max_align_t) uint8_t own[];
};

/* The heartbeat begins with the open packet. */
static void session_stops(struct rc_links *links, uint32_t client)
{
    rc_engine_of(links->engines, client)->ping_ds = 0;
    rc_engine_schedule(links->engines, client);
}

static void session_goes_on(struct rc_links *links, uint32_t client)
{
    rc_engine_beat(links->engines, client);
}

/* Its handshake waits no longer. */
static struct rc_exchange *held_exchange(struct rc_links *links, uint32_t client)
{
    struct rc_link_conn *conn = rc_link_conn_of(links, client);
    RC_ASSERT(conn->exchange != 0);
    struct rc_exchange *exchange = rc_exchange_of(&links->clients->exchanges, conn->exchange - 1);
    conn->exchange = 0;
    RC_ASSERT(exchange != NULL && ((struct held *)exchange->context)->client == client);
    return exchange;
}

static void held_free(struct held *held)
{
    if (held != NULL) {
        free(held->request);
        free(held);
    }
}

static void held_ended(struct rc_exchange *exchange, uint16_t status)
{
    struct held *held = exchange->context;
    struct rc_links *links = held->links;
    const uint32_t client = held->client;
    exchange->context = NULL;
    held_free(held);
    if (status == 0 && rc_link_conn_of(links, client)->exchange == exchange->connection + 1) { /* who asked is gone */
        rc_link_conn_of(links, client)->exchange = 0;
        rc_client_end(links->clients, client);
    }
}

static void held_expired(struct rc_exchange *exchange)
{
    const struct held *held = exchange->context;
    struct rc_links *links = held->links;
    const uint32_t client = held->client;
    (void)held_exchange(links, client);
    rc_client_end(links->clients, client);
    opening_refuse(links, exchange);
}

static const struct rc_exchange_user held_user = {
    .half_closed_is_gone = true, .expired = held_expired, .ended = held_ended};

void rc_link_opening_gone(void *context, uint32_t client, enum rc_engine_why why)
{
    struct rc_links *links = context;
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_exchange *exchange = conn->id != 0 && conn->exchange != 0 ? held_exchange(links, client) : NULL;
    rc_link_conn_gone(links, client, why);
    if (exchange != NULL) {
        opening_refuse(links, exchange); /* its client was ended otherwise: by its credential's end, say */
    }
}

void rc_link_opening_lost(struct rc_links *links, uint32_t client)
{
    struct rc_exchange *exchange = held_exchange(links, client);
    rc_client_end(links->clients, client);
    opening_refuse(links, exchange);
}

/* What of the request another process is told, too: all but its transport. */
static struct rc_span request_rest(struct rc_span request)
{
    const uint8_t *comma = memchr(request.bytes, ',', request.count);
    RC_ASSERT(comma != NULL);
    return rc_span_of(comma + 1, request.count - (size_t)(comma + 1 - request.bytes));
}

static struct held *held_new(struct rc_span request, size_t own_bytes)
{
    struct held *held = malloc(sizeof(*held) + own_bytes);
    uint8_t *copy = malloc(request.count);
    if (held == NULL || copy == NULL) {
        free(held);
        free(copy);
        return NULL;
    }
    memcpy(copy, request.bytes, request.count);
    *held = (struct held){.request = copy, .request_bytes = (uint32_t)request.count};
    return held;
}

void rc_link_open(struct rc_links *links, struct rc_exchange *exchange, uint32_t client, struct rc_span request,
                  rc_link_opened *opened, const void *own, size_t own_bytes)
{
    struct rc_link *link = rc_links_choose_for(links, client);
    struct rc_text text = {0};
    char sid[RC_SID_BYTES];
    const struct rc_span rest = request_rest(request);
    struct held *held = NULL;
    if (link != NULL && link->ready.asks) {
        held = held_new(rest, own_bytes);
        if (held == NULL || rc_exchange_wait(exchange, OPENING_HELD_MS) < 0) {
            held_free(held);
            link = NULL;
        }
    }
    if (link == NULL) {
        rc_client_end(links->clients, client);
        opening_refuse(links, exchange);
        return;
    }
    rc_engine_sid(links->engines, client, sid);
    rc_text_put(&text, "{\"sid\":\"%.*s\",%.*s}", (int)sizeof(sid), sid, (int)request.count,
                (const char *)request.bytes);
    rc_link_conn_begin(links, link, client);
    const bool sent = !text.failed && rc_link_send(links, link, RC_LINK_OPEN, link->ready.asks ? RC_LINK_HELD : 0,
                                                   rc_link_conn_of(links, client)->id,
                                                   rc_span_of(text.bytes, text.count), (struct rc_span){0});
    rc_text_free(&text);
    rc_link_count(links, link, RC_LINK_NUMBER_OPENED, sent);
    if (!sent) {
        held_free(held);
        rc_link_conn_forget(links, client);
        rc_client_end(links->clients, client);
        opening_refuse(links, exchange);
        return;
    }
    if (held == NULL) {
        rc_bond_make(links, client, rest);
        opened(exchange, client, "", own);
        return;
    }
    held->links = links;
    held->client = client;
    held->opened = opened;
    if (own_bytes > 0) {
        memcpy(held->own, own, own_bytes);
    }
    rc_link_conn_of(links, client)->exchange = exchange->connection + 1;
    exchange->user = &held_user;
    exchange->context = held;
    session_stops(links, client);
}

/* --- its verdict ----------------------------------------------------------------------------------------------------- */

/* Is the header one that only HTTP, or ringcast itself, may write? */
static bool header_is_ours(struct rc_span name)
{
    static const char *const names[] = {"connection", "content-length",   "content-type", "transfer-encoding",
                                        "upgrade",    "content-encoding", "keep-alive",   "date",
                                        "trailer",    "proxy-connection"};
    static const char *const heads[] = {"sec-websocket-", "access-control-"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(names); i++) {
        if (strlen(names[i]) == name.count && strncasecmp(names[i], (const char *)name.bytes, name.count) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(heads); i++) {
        const size_t bytes = strlen(heads[i]);
        if (name.count >= bytes && strncasecmp(heads[i], (const char *)name.bytes, bytes) == 0) {
            return true;
        }
    }
    return false;
}

static bool header_valid(struct rc_span name, struct rc_span value)
{
    if (!rc_http_view_is_token(
            (struct rc_http_view){.text = (const char *)name.bytes, .bytes = (uint32_t)name.count})) {
        return false;
    }
    for (size_t i = 0; i < value.count; i++) {
        if ((value.bytes[i] < 0x20 && value.bytes[i] != '\t') || value.bytes[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Header lines of `headers`, an array of names and values in turn; those that cannot be written are passed over, and logged. */
static void headers_write(struct rc_span headers, char lines[RC_EXCHANGE_HEADERS_BYTES_MAX])
{
    uint8_t name_text[256];
    uint8_t value_text[RC_EXCHANGE_HEADERS_BYTES_MAX];
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    size_t at = 0;
    lines[0] = '\0';
    if (headers.count == 0 || rc_json_array_begin(&cursor, headers, 0) < 0) {
        return;
    }
    while (rc_json_array_next(&cursor, &name) == 1 && rc_json_array_next(&cursor, &value) == 1) {
        struct rc_span its_name;
        struct rc_span its_value;
        if (rc_json_string_decode(&name, name_text, sizeof(name_text), &its_name) < 0 ||
            rc_json_string_decode(&value, value_text, sizeof(value_text), &its_value) < 0 ||
            !header_valid(its_name, its_value) ||
            at + its_name.count + its_value.count + 5 > RC_EXCHANGE_HEADERS_BYTES_MAX) {
            rc_log_limited(RC_LOG_WARN, 1, "link_header_left_out",
                           "reason=\"no header of HTTP, or more than %u bytes of them\"",
                           RC_EXCHANGE_HEADERS_BYTES_MAX);
            continue;
        }
        if (!header_is_ours(its_name)) {
            at +=
                (size_t)snprintf(lines + at, RC_EXCHANGE_HEADERS_BYTES_MAX - at, "%.*s: %.*s\r\n", (int)its_name.count,
                                 (const char *)its_name.bytes, (int)its_value.count, (const char *)its_value.bytes);
        }
    }
}

/* A member of an object; RC_JSON_NONE: there is none. */
static struct rc_json_value member_of(struct rc_span json, const char *wanted)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct rc_json_value found = {0};
    if (rc_json_object_begin(&cursor, json, 0) == 0) {
        while (rc_json_object_next(&cursor, &name, &value) == 1) {
            if (rc_json_string_is(&name, rc_span_text(wanted))) {
                found = value;
            }
        }
    }
    return found;
}

/* Is the verdict an object, on a handshake that waits for one? */
static bool verdict_valid(struct rc_links *links, uint32_t client, struct rc_span json)
{
    const struct rc_link_conn *conn = rc_link_conn_of(links, client);
    struct rc_json_value value;
    if (conn->exchange != 0 && rc_json_scan(json, 0, &value, NULL) == 0 && value.type == RC_JSON_OBJECT) {
        return true;
    }
    rc_link_broken(links, rc_link_of(links, client),
                   conn->exchange == 0 ? "a verdict on a handshake that waits for none"
                                       : "a verdict that is no object");
    return false;
}

void rc_link_opening_accepted(struct rc_links *links, uint32_t client, struct rc_span json)
{
    char lines[RC_EXCHANGE_HEADERS_BYTES_MAX];
    if (!verdict_valid(links, client, json)) {
        return;
    }
    struct rc_exchange *exchange = held_exchange(links, client);
    struct held *held = exchange->context;
    headers_write(member_of(json, "headers").raw, lines);
    exchange->user = NULL; /* its end is the client's beginning */
    exchange->context = NULL;
    session_goes_on(links, client);
    rc_bond_make(links, client, rc_span_of(held->request, held->request_bytes));
    held->opened(exchange, client, lines, held->own);
    held_free(held);
}

void rc_link_opening_rejected(struct rc_links *links, uint32_t client, struct rc_span json)
{
    static const char forbidden[] = "{\"code\":4,\"message\":\"Forbidden\"}";
    char lines[RC_EXCHANGE_HEADERS_BYTES_MAX];
    uint8_t type_text[65];
    struct rc_span type = {0};
    struct rc_span body = rc_span_text(forbidden);
    uint64_t status = 403;
    if (!verdict_valid(links, client, json)) {
        return;
    }
    const struct rc_json_value its_body = member_of(json, "body");
    const struct rc_json_value its_status = member_of(json, "status");
    const struct rc_json_value its_type = member_of(json, "type");
    uint8_t *scratch = malloc(OPENING_BODY_MAX);
    if (its_status.type == RC_JSON_NUMBER &&
        (rc_json_uint64(&its_status, &status) < 0 || status < 400 || status > 599)) {
        status = 403;
    }
    if (scratch != NULL && its_body.type == RC_JSON_STRING) {
        (void)rc_json_string_repair(&its_body, scratch, OPENING_BODY_MAX, &body);
    }
    if (its_type.type != RC_JSON_STRING ||
        rc_json_string_decode(&its_type, type_text, sizeof(type_text) - 1, &type) < 0 || type.count == 0 ||
        !header_valid(RC_SPAN("content-type"), type)) {
        type = RC_SPAN("application/json");
    }
    memmove(type_text, type.bytes, type.count);
    type_text[type.count] = '\0';
    headers_write(member_of(json, "headers").raw, lines);
    struct rc_exchange *exchange = held_exchange(links, client);
    rc_link_conn_forget(links, client); /* it knows that there is none */
    rc_client_end(links->clients, client);
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = (uint16_t)status,
                                                              .content_type = (const char *)type_text,
                                                              .body = body.bytes,
                                                              .body_bytes = body.count,
                                                              .headers = lines});
    free(scratch);
}
