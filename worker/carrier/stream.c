/* stream: see stream.h. */
#include "worker/carrier/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "worker/http/respond.h"
#include "worker/proto/sse.h"

#define OPENING_MS 15000u /* for the relay and backends to say what they have to; the last of them answers sooner */
#define WHY_MAX 160u
#define HEAD_BYTES_MAX (1024u + RC_CORS_HEADERS_BYTES_MAX)
#define FORMAT_MAX 16u
#define MESSAGE_HEAD_LINES 3u /* before the channels: worker/proto/sse.h */

/* A request whose client is not carried yet. Owned by its exchange, or by whoever judges it. */
struct rc_opening {
    struct rc_clients *clients; /* borrowed */
    uint32_t client;            /* 0: none yet, or it is gone; else its active_ds is the connection of the exchange */
    uint32_t done;              /* of its operations */
    bool asked;                 /* all of them */
    bool console;               /* over the control socket */
    bool inside;                /* its client is being dealt with just now */
    uint32_t code;              /* HTTP status of the first refusal; 0 = none */
    char why[WHY_MAX];
    uint32_t message_bytes;
    char message[]; /* worker/proto/sse.h */
};

static struct rc_clients *stream_clients(const struct rc_exchange *exchange)
{
    return exchange->exchanges->ops.context;
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

/* The exchange ends, and with it (opening_ended) what it was for. */
static void opening_refuse(struct rc_exchange *exchange)
{
    const struct rc_opening *opening = exchange->context;
    const uint32_t code = opening->code != 0 ? opening->code : 503;
    char why[WHY_MAX];
    (void)snprintf(why, sizeof(why), "%s", opening->code != 0 ? opening->why : "this server cannot go on: try again");
    rc_exchange_error(exchange, (struct rc_exchange_answer){.status = (uint16_t)code,
                                                            .retry_after_s = code == 503 || code == 429 ? 1 : 0,
                                                            .message = why});
}

/* The client is not to be answered for any more. */
static uint32_t opening_forget(struct rc_opening *opening)
{
    const uint32_t client = opening->client;
    opening->client = 0;
    return client;
}

/* The head of the answer, and the first lines of its body. */
static uint32_t head_write(struct rc_exchange *exchange, char *out, size_t capacity)
{
    const struct rc_clients *clients = stream_clients(exchange);
    const uint64_t retry_ms = clients->config->sse.retry_ms;
    char headers[RC_CORS_HEADERS_BYTES_MAX + 64];
    (void)snprintf(headers, sizeof(headers), "X-Accel-Buffering: no\r\n%s",
                   exchange->cors == NULL ? "" : exchange->cors);
    const struct rc_http_response response = {
        .status = 200,
        .content_type = "text/event-stream",
        .stream = true,
        .date = rc_http_date_at(&exchange->exchanges->date, (int64_t)time(NULL)),
        .headers = headers,
    };
    const size_t bytes = rc_http_respond(out, capacity, &response);
    /* Spread: who loses its connection together is not to come back together. */
    const int more = snprintf(out + bytes, capacity - bytes, ": ringcast\nretry: %llu\n\n",
                              (unsigned long long)(retry_ms / 2 + rc_hub_random(clients->hub) % retry_ms));
    RC_ASSERT(bytes > 0 && more > 0 && (size_t)more < capacity - bytes);
    return (uint32_t)bytes + (uint32_t)more;
}

/* From here on the connection is the client's. */
static void opening_finish(struct rc_exchange *exchange)
{
    struct rc_clients *clients = stream_clients(exchange);
    struct rc_opening *opening = exchange->context;
    const uint32_t socket = exchange->connection;
    const uint32_t client = opening_forget(opening);
    char head[HEAD_BYTES_MAX];
    const uint32_t bytes = head_write(exchange, head, sizeof(head));
    exchange->user = NULL;
    exchange->context = NULL;
    free(opening);
    (void)rc_exchange_upgraded(exchange); /* who called goes on with what is parked: rc_socket_resume */
    if (rc_hub_answer(clients->hub, socket, head, bytes) < 0 || rc_client_attach(clients, client, socket) < 0) {
        rc_client_end(clients, client);
        rc_socket_failed_memory(clients, socket);
        return;
    }
    rc_metric_add(clients->metrics, RC_METRIC_STREAMS_OPENED, 1);
}

/* --- what it asks for ------------------------------------------------------------------------------------------------ */

/* A channel of who runs the broker, whom no rule keeps from it. */
static bool console_hears(const struct rc_opening *opening, struct rc_span channel, bool retained)
{
    if (rc_span_equal(channel, RC_SPAN("*"))) {
        return true; /* it is in that */
    }
    if (rc_channel_name_check((const char *)channel.bytes, channel.count, RC_CHANNEL_NAME_MAX) < 0) {
        return false;
    }
    const enum rc_subscribed rc =
        rc_hub_subscribe_name(opening->clients->hub, opening->client, channel, RC_SUBSCRIBER_BACKEND,
                              (struct rc_span){0}, retained ? RC_PENDING_RETAINED : 0);
    return rc == RC_SUBSCRIBED || rc == RC_SUBSCRIBE_WAITS;
}

static bool console_asks(const struct rc_opening *opening)
{
    const char *line = opening->message;
    const char *end = opening->message + opening->message_bytes;
    const bool retained = rc_span_equal(rc_span_of(line, strcspn(line, "\n")), RC_SPAN(RC_SSE_RETAINED));
    bool heard = true;
    for (uint32_t i = 0; heard && line < end; i++) {
        const char *behind = memchr(line, '\n', (size_t)(end - line));
        heard = i < MESSAGE_HEAD_LINES || console_hears(opening, rc_span_of(line, (size_t)(behind - line)), retained);
        line = behind + 1;
    }
    return heard;
}

/* Carries its operations out. False: something has to come first, which tells of it. */
static bool opening_ask(struct rc_opening *opening, uint32_t connection)
{
    struct rc_clients *clients = opening->clients;
    const uint32_t client = opening->client;
    opening->inside = true;
    if (opening->console) {
        opening->asked = true;
        if (!console_asks(opening) && opening->code == 0) {
            opening->code = 400;
            (void)snprintf(opening->why, sizeof(opening->why), "these channels cannot be heard");
        }
        opening->inside = false;
        return true;
    }
    opening->asked = rc_client_operations(clients, client, RC_PART_TEXT, (const uint8_t *)opening->message,
                                          opening->message_bytes, &opening->done);
    opening->inside = false;
    if (opening->client == 0 || opening->code != 0 || opening->asked) {
        return true;
    }
    if (!(rc_truth_client(clients->truth, client)->flags & RC_CLIENT_WAITS)) {
        rc_waiters_add(&clients->uplink->waiters, connection); /* room in the up ring */
    }
    return false;
}

/* Is the client in all of its channels? Else it is told when it is. */
static bool opening_registered(const struct rc_opening *opening)
{
    struct rc_client *client = rc_truth_client(opening->clients->truth, opening->client);
    if (client->pending_count > 0) {
        client->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
        return false;
    }
    return !(client->flags & (RC_CLIENT_WAITS | RC_CLIENT_BROKEN | RC_CLIENT_CUT_OFF)); /* it ends with the next turn */
}

static void opening_go_on(struct rc_exchange *exchange)
{
    struct rc_opening *opening = exchange->context;
    const struct rc_clients *clients = stream_clients(exchange);
    if (opening->client != 0 && opening->code == 0 &&
        (rc_truth_client(clients->truth, opening->client)->flags & RC_CLIENT_WAITS_OTHERS)) {
        return; /* called for something else that it waited for */
    }
    const bool goes_on = opening->client == 0 || opening->asked || opening_ask(opening, exchange->connection);
    if (opening->client == 0 || opening->code != 0) {
        opening_refuse(exchange);
    } else if (goes_on && opening_registered(opening)) {
        opening_finish(exchange);
    } else if (exchange->state != RC_EXCHANGE_WAITING && rc_exchange_wait(exchange, OPENING_MS) < 0) {
        opening_refuse(exchange);
    }
}

static void opening_ended(struct rc_exchange *exchange, uint16_t status)
{
    struct rc_opening *opening = exchange->context;
    const uint32_t client = opening_forget(opening);
    (void)status;
    exchange->user = NULL; /* its client, which ends now, has none any more */
    exchange->context = NULL;
    free(opening);
    if (client != 0) {
        rc_client_end(stream_clients(exchange), client);
    }
}

static const struct rc_exchange_user opening_user = {
    .half_closed_is_gone = true, .room = opening_go_on, .ended = opening_ended};

/* --- what becomes of its client -------------------------------------------------------------------------------------- */

/* NULL: the client is not, or not any more, one whose request waits. */
static struct rc_opening *opening_of(const struct rc_clients *clients, uint32_t client)
{
    const uint32_t connection = rc_truth_client(clients->truth, client)->active_ds;
    const struct rc_exchange *exchange =
        connection < clients->truth->socket_count ? rc_exchange_of(&clients->exchanges, connection) : NULL;
    if (exchange == NULL || exchange->user != &opening_user) {
        return NULL;
    }
    struct rc_opening *opening = exchange->context;
    return opening->client == client ? opening : NULL;
}

/* Whoever tells is in the middle of something: it goes on in this pass of the loop. */
static void opening_later(struct rc_clients *clients, const struct rc_opening *opening)
{
    if (!opening->inside) {
        rc_waiters_add(&clients->uplink->waiters, rc_truth_client(clients->truth, opening->client)->active_ds);
    }
}

static void stream_resumed(void *context, uint32_t client)
{
    struct rc_clients *clients = context;
    const struct rc_opening *opening = opening_of(clients, client);
    if (opening != NULL) {
        opening_later(clients, opening);
    }
}

static void stream_refused(void *context, uint32_t client, uint32_t code, struct rc_span message)
{
    struct rc_clients *clients = context;
    struct rc_opening *opening = opening_of(clients, client);
    if (opening == NULL || opening->code != 0) {
        return;
    }
    opening->code = code;
    (void)snprintf(opening->why, sizeof(opening->why), "%.*s", (int)message.count, (const char *)message.bytes);
    opening_later(clients, opening);
}

static void stream_ended(void *context, uint32_t client)
{
    struct rc_clients *clients = context;
    struct rc_opening *opening = opening_of(clients, client);
    if (opening != NULL) {
        opening_later(clients, opening);
        (void)opening_forget(opening);
    }
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

static void stream_no_room(struct rc_exchange *exchange)
{
    rc_exchange_error(exchange, (struct rc_exchange_answer){
                                    .status = 503, .retry_after_s = 1, .message = "no room for more streams"});
}

/* It is known who it is. */
static void stream_begin(struct rc_exchange *exchange, const struct rc_arrival *arrival, struct rc_opening *opening)
{
    struct rc_clients *clients = opening->clients;
    struct rc_identity identity;
    const uint32_t client =
        rc_client_open(clients, (uint8_t)arrival->endpoint, rc_encoding_of(arrival->codec, RC_FRAMING_STREAM, 0),
                       rc_arrival_identity(arrival, &identity));
    if (client == 0) {
        free(opening);
        stream_no_room(exchange);
        return;
    }
    rc_truth_client(clients->truth, client)->active_ds = exchange->connection;
    opening->client = client;
    opening->inside = true;
    exchange->user = &opening_user;
    exchange->context = opening;
    exchange->again = true; /* what it asks for changes nothing but its client, which goes with this process */
    rc_arrival_greet(clients, client, arrival);
    opening->inside = false;
    opening_go_on(exchange);
}

static void stream_arrived(struct rc_exchange *exchange, const struct rc_arrival *arrival, const void *own)
{
    struct rc_opening *const *opening = own;
    stream_begin(exchange, arrival, *opening);
}

static void stream_gone(struct rc_exchange *exchange, const void *own)
{
    struct rc_opening *const *opening = own;
    (void)exchange;
    free(*opening);
}

static bool is_named(struct rc_http_view view, const char *text)
{
    return rc_http_view_equals(view, text);
}

/* The first value of that name in the query; empty: there is none. */
static struct rc_http_view value_named(struct rc_http_view query, const char *name)
{
    struct rc_http_view found;
    struct rc_http_view value;
    while (rc_http_query_next(&query, &found, &value)) {
        if (is_named(found, name)) {
            return value;
        }
    }
    return (struct rc_http_view){"", 0};
}

/* A line of the message, which has room for it; false: its escapes are broken, or it has control characters. */
static bool message_line(struct rc_opening *opening, struct rc_http_view value)
{
    char *line = opening->message + opening->message_bytes;
    const int bytes = rc_http_query_decode(value, line, value.bytes);
    if (bytes < 0 || memchr(line, '\n', (size_t)bytes) != NULL) {
        return false;
    }
    line[bytes] = '\n';
    opening->message_bytes += (uint32_t)bytes + 1;
    return true;
}

/* The header as it came: what is not ours, from whatever server, is passed over by the codec. */
static void message_header(struct rc_opening *opening, const struct rc_http_view *header)
{
    if (header->bytes > 0) {
        memcpy(opening->message + opening->message_bytes, header->text, header->bytes);
    }
    opening->message_bytes += (uint32_t)header->bytes;
    opening->message[opening->message_bytes++] = '\n';
}

/* What the request says, as its codec reads it. False: it says it wrongly. */
static bool message_write(struct rc_opening *opening, const struct rc_http_request *request,
                          const struct rc_http_view *header)
{
    struct rc_http_view query = request->query;
    struct rc_http_view name;
    struct rc_http_view value;
    const bool retained = is_named(value_named(query, "retained"), "true");
    if (!message_line(opening, retained ? (struct rc_http_view){RC_SSE_RETAINED, strlen(RC_SSE_RETAINED)}
                                        : (struct rc_http_view){"", 0})) {
        return false;
    }
    if (header != NULL) {
        message_header(opening, header);
    } else if (!message_line(opening, value_named(query, "lastEventId"))) {
        return false;
    }
    if (!message_line(opening, value_named(query, "last"))) {
        return false;
    }
    while (rc_http_query_next(&query, &name, &value)) {
        if (is_named(name, "channel") && !message_line(opening, value)) {
            return false;
        }
    }
    return true;
}

/* NULL: answered. */
static struct rc_opening *opening_make(struct rc_exchange *exchange)
{
    const struct rc_http_request *request = exchange->request;
    const struct rc_http_view *header = rc_http_header(request, "last-event-id");
    /* A line is no longer than what it is made of; "channel" pays for its end. */
    const size_t bytes_max = sizeof(RC_SSE_RETAINED) + 3 + request->query.bytes + (header == NULL ? 0 : header->bytes);
    struct rc_opening *opening = malloc(sizeof(*opening) + bytes_max);
    if (opening == NULL) {
        stream_no_room(exchange);
        return NULL;
    }
    *opening = (struct rc_opening){.clients = stream_clients(exchange), .console = exchange->console};
    if (!message_write(opening, request, header)) {
        free(opening);
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 400, .message = "the query is not correctly percent-encoded"});
        return NULL;
    }
    return opening;
}

/* In which form? False: answered. */
static bool stream_format(struct rc_exchange *exchange, struct rc_arrival *arrival)
{
    char format[FORMAT_MAX + 1];
    const int bytes = rc_http_query_find(exchange->request->query, "format", format, FORMAT_MAX);
    format[bytes > 0 ? bytes : 0] = '\0';
    if (bytes >= 0 && strcmp(format, "data") == 0) {
        arrival->codec = RC_CODEC_SSE_DATA;
    } else if (bytes != -ENOENT && strcmp(format, "message") != 0) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 400, .message = "format is \"message\" or \"data\""});
        return false;
    }
    return true;
}

/* False: answered. */
static bool stream_judge(struct rc_exchange *exchange, struct rc_arrival *arrival)
{
    char path[RC_ROUTE_PATH_BYTES_MAX];
    const int bytes = rc_http_path_decode(exchange->request->path, path, sizeof(path) - 1);
    RC_ASSERT(bytes > 0); /* it led here */
    path[bytes] = '\0';
    const struct rc_http_view *origin = rc_http_header(exchange->request, "origin");
    return rc_arrival_begin(exchange, path, arrival) &&
           (origin == NULL || rc_arrival_from(exchange, rc_span_of(origin->text, origin->bytes))) &&
           stream_format(exchange, arrival) && rc_arrival_admit(exchange, false) &&
           rc_arrival_take_request(exchange, arrival);
}

static void stream_asked(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    static const struct rc_arrival_waiter waiter = {.arrived = stream_arrived, .gone = stream_gone};
    struct rc_arrival arrival;
    (void)context;
    (void)route;
    if (!stream_judge(exchange, &arrival)) {
        return;
    }
    struct rc_opening *opening = opening_make(exchange);
    if (opening == NULL) {
        return;
    }
    switch (rc_arrival_identify(exchange, &arrival)) {
    case RC_ARRIVED:
        stream_begin(exchange, &arrival, opening);
        return;
    case RC_ARRIVED_LATER:
        rc_arrival_wait(exchange, &arrival, &waiter, &opening, sizeof(opening));
        return;
    case RC_ARRIVED_NOT:
        free(opening);
        return;
    }
}

void rc_streams_open(struct rc_clients *clients)
{
    static const struct rc_route route = {.path = "",
                                          .methods = "GET",
                                          .allow = "GET, OPTIONS",
                                          .wrong = "events are asked for with GET",
                                          .run = stream_asked};
    clients->stream = (struct rc_stream_ops){.context = clients,
                                             .route = &route,
                                             .resumed = stream_resumed,
                                             .refused = stream_refused,
                                             .ended = stream_ended};
}
