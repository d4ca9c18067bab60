/* polling: see polling.h. */
#include "worker/carrier/polling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/unjoined.h"
#include "worker/http/upgrade.h"
#include "worker/link/opening.h"
#include "worker/store/receiving.h"

#define POLL_UPGRADING_MS 100u /* a GET beside a probe is answered after this, for the client to change over */

static struct rc_engines *polling_engines(const struct rc_exchange *exchange)
{
    const struct rc_clients *clients = exchange->exchanges->ops.context;
    return clients->engine.context;
}

/* --- a session's requests -------------------------------------------------------------------------------------------- */

/* The exchange of a socket that the session names; NULL: it is not its any more. */
static struct rc_exchange *exchange_at(const struct rc_engines *engines, uint32_t socket_and_one)
{
    return socket_and_one == 0 ? NULL : rc_exchange_of(&engines->clients->exchanges, socket_and_one - 1);
}

/* Which session a waiting request is of. */
static uint32_t session_of(const struct rc_exchange *exchange)
{
    return (uint32_t)(uintptr_t)exchange->context;
}

static void answer_text(struct rc_exchange *exchange, const char *type, const void *body, size_t count)
{
    rc_exchange_answer(
        exchange, &(struct rc_exchange_answer){.status = 200, .content_type = type, .body = body, .body_bytes = count});
}

/* One packet that is its type alone. */
static void answer_packet(const struct rc_engines *engines, uint32_t client, struct rc_exchange *exchange, char packet)
{
    const char text[] = {'1', ':', packet};
    const size_t head = rc_engine_is_3(engines, client) ? 0 : 2;
    answer_text(exchange, RC_POLLING_TEXT, text + head, sizeof(text) - head);
}

/* As its client takes it. The type, or NULL: no memory. */
static const char *payload_for(struct rc_polling *polling, uint32_t client, struct rc_span *payload)
{
    if (!rc_engine_is_3(polling->engines, client)) {
        return RC_POLLING_TEXT;
    }
    bool octets;
    const size_t room = rc_eio_payload_3_bytes_max(*payload);
    if (room > polling->written_room) {
        uint8_t *larger = realloc(polling->written, room);
        if (larger == NULL) {
            return NULL;
        }
        polling->written = larger;
        polling->written_room = room;
    }
    const bool base64 = (rc_engine_of(polling->engines, client)->flags & RC_ENGINE_BASE64) != 0;
    *payload = rc_span_of(polling->written, rc_eio_payload_3_write(polling->written, *payload, base64, &octets));
    return octets ? RC_POLLING_OCTETS : RC_POLLING_TEXT;
}

/* What was taken for it out of replies and logs is its client's. */
static void payload_written(void *context)
{
    struct rc_polling *polling = context;
    rc_hub_got(polling->engines->clients->hub);
}

/* The answer to a GET, compressed if its client and the size are such. */
static void answer_payload(struct rc_polling *polling, struct rc_exchange *exchange, const char *type,
                           struct rc_span payload)
{
    struct rc_metrics *metrics = polling->engines->clients->metrics;
    const enum rc_content_coding coding = exchange->coding;
    bool again;
    char headers[64] = "";
    const struct rc_span coded = rc_coder_code(&polling->coder, coding, payload, &again);
    if (coded.count > 0) {
        (void)snprintf(headers, sizeof(headers), "Content-Encoding: %s\r\n", rc_content_coding_name(coding));
        rc_metric_add(metrics, RC_METRIC_POLLS_CODED, 1);
        rc_metric_add(metrics, RC_METRIC_POLLS_CODED_AGAIN, again);
        rc_metric_add(metrics, RC_METRIC_POLLS_CODED_SAVED, payload.count - coded.count);
        payload = coded;
    }
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = 200,
                                                              .content_type = type,
                                                              .body = payload.bytes,
                                                              .body_bytes = payload.count,
                                                              .headers = headers,
                                                              .written = payload_written,
                                                              .context = polling});
}

/* The GET of a session is over, however. */
static void poll_over(struct rc_engines *engines, uint32_t client)
{
    rc_engine_of(engines, client)->poll = 0;
    rc_truth_client(engines->clients->truth, client)->flags &= (uint16_t)~RC_CLIENT_POLLED;
}

static void poll_answer(void *context, uint32_t client, const uint8_t *payload, size_t count)
{
    struct rc_polling *polling = context;
    struct rc_exchange *exchange = exchange_at(polling->engines, rc_engine_of(polling->engines, client)->poll);
    RC_ASSERT(exchange != NULL);
    struct rc_clients *clients = polling->engines->clients;
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    const uint32_t socket = exchange->connection;
    struct rc_span body = rc_span_of(payload, count);
    const char *type = payload_for(polling, client, &body);
    if (type == NULL) {
        rc_client_failed_memory(clients, client);
        return;
    }
    if (clients->truth->layout->receiving.socket == 0) { /* else it is answered in the middle of another one's packet */
        rc_socket_request_known(clients, exchange);
        clients->truth->layout->took.socket = socket + 1;
        RC_STORE_ORDER();
    }
    if (!rc_receiving_is_known(clients->truth, socket)) { /* there was no room to keep it: killed in it, both end */
        rc_hub_begins(clients->hub);
    }
    poll_over(polling->engines, client);
    answer_payload(polling, exchange, type, body);
    if (clients->truth->sockets[socket].state >= RC_SOCKET_TERMINATING &&
        rc_engine_lives(polling->engines, client, random)) {
        rc_client_end(clients,
                      client); /* there was no memory for what it has just got: it would miss it without a word */
    }
}

/* A GET beside a probe has waited long enough. */
static void poll_expired(struct rc_exchange *exchange)
{
    const uint32_t client = session_of(exchange);
    poll_over(polling_engines(exchange), client);
    answer_packet(polling_engines(exchange), client, exchange, RC_EIO_NOOP);
}

void rc_polling_release(struct rc_polling *polling)
{
    struct rc_engines *engines = polling->engines;
    const struct rc_clients *clients = engines->clients;
    for (uint32_t client = 1; client <= clients->hub->clients_high; client++) {
        const struct rc_client *its = rc_truth_client(clients->truth, client);
        if (its->random == 0 || !rc_encoding_is_engine(its->encoding)) {
            continue;
        }
        struct rc_exchange *exchange = exchange_at(engines, rc_engine_of(engines, client)->poll);
        if (exchange != NULL && !rc_socket_request_kept(clients, exchange->connection)) {
            poll_over(engines, client);
            answer_packet(engines, client, exchange, RC_EIO_NOOP);
        }
    }
}

/* Who gives its GET or POST up gives up the session. */
static void poll_ended(struct rc_exchange *exchange, uint16_t status)
{
    struct rc_engines *engines = polling_engines(exchange);
    const uint32_t client = session_of(exchange);
    if (status == 0 && rc_engine_of(engines, client)->poll == exchange->connection + 1) {
        poll_over(engines, client);
        rc_client_end(engines->clients, client);
    }
}

static const struct rc_exchange_user poll_user = {
    .half_closed_is_gone = true, .expired = poll_expired, .ended = poll_ended};

static void polling_get(struct rc_engines *engines, struct rc_exchange *exchange, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (engine->poll != 0) {
        rc_exchange_begun(exchange);
        rc_engine_note_end(engines, client, RC_ENGINE_WHY_OVERLAP);
        rc_client_end(clients, client);
        rc_polling_refuse(exchange, RC_EIO_BAD_REQUEST, false);
        return;
    }
    rc_socket_request_known(clients, exchange); /* a killed worker's successor begins to wait anew */
    exchange->user = &poll_user;
    exchange->coding =
        (uint8_t)(rc_engine_settings(engines)->http_compression ? rc_content_coding_choose(exchange->request)
                                                                : RC_CODING_IDENTITY);
    exchange->context = (void *)(uintptr_t)client;
    const bool probed = engine->other != 0 && (rc_engine_of(engines, engine->other)->flags & RC_ENGINE_PROBED) != 0;
    if (rc_exchange_wait(exchange, probed ? POLL_UPGRADING_MS : 0) < 0) {
        exchange->user = NULL;
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 503, .retry_after_s = 1, .message = "too many requests wait"});
        return;
    }
    exchange->again = true;
    engine->poll = exchange->connection + 1;
    rc_truth_client(clients->truth, client)->flags |= RC_CLIENT_POLLED;
    rc_hub_touch(clients->hub, client);
}

/* --- POST ------------------------------------------------------------------------------------------------------------ */

/* A POST whose packets are carried out. Owned by its exchange. */
struct post {
    struct rc_engines *engines;    /* borrowed */
    uint32_t client;               /* the session; 0: it has ended */
    uint32_t packets;              /* that were carried out */
    uint32_t done;                 /* of the running one */
    uint32_t done_before;          /* the same of the next one, in another process */
    struct rc_eio_payload payload; /* what follows the running packet */
    struct rc_eio_packet packet;   /* the running one */
    bool running;                  /* there is one */
    bool inside;                   /* its packets are being carried out just now */
    bool left;                     /* its session has ended because the client said so */
    uint64_t not_before_ns;        /* the next packet is not looked at before: it sends too fast */
};

static void post_free(struct rc_exchange *exchange)
{
    struct post *post = exchange->context;
    exchange->context = NULL;
    free(post);
}

/* The session may have another one; an upgrade may have waited for this. */
static void post_over(const struct rc_engines *engines, uint32_t client)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    engine->post = 0;
    if (engine->flags & RC_ENGINE_PROBED) {
        rc_hub_touch(engines->clients->hub, client);
    }
}

/* The POST is over: "ok", or 400 if its session has ended by it. */
static void post_answer(struct rc_exchange *exchange)
{
    struct post *post = exchange->context;
    const uint32_t client = post->client;
    if (client == 0 && !post->left) {
        rc_polling_refuse(exchange, RC_EIO_BAD_REQUEST, false);
        return;
    }
    if (client != 0) {
        post_over(post->engines, client);
    }
    post->client = 0;
    answer_text(exchange, "text/html", "ok", 2);
}

/* What its next packet has to wait for: what the client waits for, replies that it does not take, its rate. Behind the last one it is
 * not put off for its replies: it may take them with its next request. */
static bool post_must_wait(const struct post *post)
{
    const struct rc_clients *clients = post->engines->clients;
    return (rc_truth_client(clients->truth, post->client)->flags & RC_CLIENT_WAITS) != 0 ||
           (!post->payload.ended &&
            rc_hub_unsent(clients->hub, post->client) > clients->config->limits.max_reply_bytes) ||
           post->not_before_ns > clients->io->now_ns;
}

/* The next packet of the payload is to be carried out. False: there is none, or it may not be. */
static bool post_next(struct post *post)
{
    struct rc_clients *clients = post->engines->clients;
    const int rc = rc_eio_payload_next(&post->payload, &post->packet);
    if (rc < 0) {
        rc_engine_broken(post->engines, post->client, "a payload that is none");
    }
    if (rc <= 0) {
        return false;
    }
    bool closed;
    const uint32_t wait_ms = rc_client_rate(clients, post->client, post->packet.count, &closed);
    rc_metric_add(clients->metrics, RC_METRIC_FRAMES_IN, 1);
    if (closed) {
        return false;
    }
    post->not_before_ns = wait_ms == 0 ? 0 : clients->io->now_ns + (uint64_t)wait_ms * 1000000u;
    post->running = true;
    post->done = post->done_before;
    post->done_before = 0;
    rc_truth_client(clients->truth, post->client)->active_ds = clients->io->now_ds;
    return true;
}

/* Carries packets out. True: all, or the session has ended by one; false: the next one has to wait. */
static bool post_packets(struct post *post, uint32_t connection)
{
    struct rc_engines *engines = post->engines;
    while (post->client != 0) {
        if (!post->running && post_must_wait(post)) {
            return false;
        }
        if (!post->running && !post_next(post)) {
            return true;
        }
        const uint32_t client = post->client;
        rc_receiving_unit(engines->clients->truth);
        rc_socket_dies(post->packet.bytes, post->packet.count);
        if (rc_engine_packet(engines, client, post->packet.kind, post->packet.bytes, post->packet.count, &post->done) ==
            RC_ENGINE_LATER) {
            if (post->client != 0 && !(rc_truth_client(engines->clients->truth, client)->flags & RC_CLIENT_WAITS)) {
                rc_waiters_add(&engines->clients->uplink->waiters, connection);
            }
            return post->client == 0;
        }
        post->running = false;
        post->packets++;
        rc_receiving_done(engines->clients->truth, (uint64_t)post->packets << 32);
    }
    return true;
}

static void post_go_on(struct rc_exchange *exchange)
{
    struct post *post = exchange->context;
    struct rc_clients *clients = post->engines->clients;
    if (post->running && post->client != 0 &&
        (rc_truth_client(clients->truth, post->client)->flags & RC_CLIENT_WAITS) != 0) {
        return; /* called for something else that it waited for */
    }
    rc_socket_request_known(clients, exchange);
    post->inside = true;
    const bool over = post_packets(post, exchange->connection);
    post->inside = false;
    /* `done` is of the packet that runs: one that has to wait has got no further than a process before this one. */
    exchange->done = (uint64_t)post->packets << 32 | (post->running ? post->done : post->done_before);
    if (over) {
        post_answer(exchange);
        return;
    }
    const uint64_t now_ns = clients->io->now_ns;
    const uint64_t in_ms = post->not_before_ns > now_ns ? (post->not_before_ns - now_ns) / 1000000u + 1 : 0;
    if ((exchange->state != RC_EXCHANGE_WAITING || in_ms > 0) && rc_exchange_wait(exchange, in_ms) < 0) {
        rc_client_end(clients, post->client); /* polls_ended answers: it does not wait */
        post_answer(exchange);
    }
}

/* What it waited for by its rate is over. */
static void post_expired(struct rc_exchange *exchange)
{
    const struct post *post = exchange->context;
    if (exchange->state == RC_EXCHANGE_READING) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 408, .message = "the body did not arrive in time"});
        return;
    }
    if (post->not_before_ns > post->engines->clients->io->now_ns) {
        (void)rc_exchange_wait(exchange, (post->not_before_ns - post->engines->clients->io->now_ns) / 1000000u + 1);
        return; /* it is kept: there is room */
    }
    (void)rc_exchange_wait(exchange, 0);
    rc_waiters_add(&post->engines->clients->uplink->waiters, exchange->connection);
}

static void post_ended(struct rc_exchange *exchange, uint16_t status)
{
    struct post *post = exchange->context;
    if (post->client != 0) {
        post_over(post->engines, post->client);
        if (status == 0) { /* given up in the middle */
            const uint32_t client = post->client;
            post->client = 0;
            rc_client_end(post->engines->clients, client);
        }
    }
    post_free(exchange);
}

/* Another process had begun it: what it had carried out is not carried out again. */
static void post_pass_done(struct post *post, uint64_t done)
{
    const uint32_t packets = (uint32_t)(done >> 32);
    while (post->packets < packets && rc_eio_payload_next(&post->payload, &post->packet) > 0) {
        post->packets++;
    }
    post->done_before = (uint32_t)done;
}

static void post_run(struct rc_exchange *exchange)
{
    struct post *post = exchange->context;
    if (exchange->byte_count == 0) {
        rc_exchange_begun(exchange);
        if (post->client != 0) {
            rc_engine_broken(post->engines, post->client, "an empty payload");
        }
        post_answer(exchange);
        return;
    }
    post->payload = rc_eio_payload_of(exchange->bytes, exchange->byte_count);
    post->payload.revision_3 = post->client != 0 && rc_engine_is_3(post->engines, post->client);
    post_pass_done(post, exchange->done);
    exchange->again = true;
    post_go_on(exchange);
}

static const struct rc_exchange_user post_user = {.half_closed_is_gone = true,
                                                  .says_begun = true,
                                                  .run = post_run,
                                                  .room = post_go_on,
                                                  .expired = post_expired,
                                                  .ended = post_ended};

static void polling_post(struct rc_engines *engines, struct rc_exchange *exchange, uint32_t client)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (engine->post != 0 || (rc_polling_is_octets(exchange->request) && !rc_engine_is_3(engines, client))) {
        rc_exchange_begun(exchange);
        rc_engine_note_end(engines, client, RC_ENGINE_WHY_OVERLAP);
        rc_client_end(engines->clients, client);
        rc_polling_refuse(exchange, RC_EIO_BAD_REQUEST, false);
        return;
    }
    struct post *post = calloc(1, sizeof(*post));
    if (post == NULL) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 503, .retry_after_s = 1});
        return;
    }
    *post = (struct post){.engines = engines, .client = client};
    engine->post = exchange->connection + 1;
    exchange->body_bytes_max = engines->clients->config->socketio.max_payload_bytes;
    if (rc_exchange_read(exchange, &post_user, post) < 0) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 503, .retry_after_s = 1, .message = "too many requests wait"});
    }
}

/* --- the session's end ----------------------------------------------------------------------------------------------- */

static void polls_ended(void *context, uint32_t client, char last)
{
    const struct rc_polling *polling = context;
    struct rc_engine *engine = rc_engine_of(polling->engines, client);
    struct rc_exchange *poll = exchange_at(polling->engines, engine->poll);
    struct rc_exchange *post = exchange_at(polling->engines, engine->post);
    engine->post = 0;
    poll_over(polling->engines, client);
    if (post != NULL) {
        struct post *its = post->context;
        its->client = 0;
        its->left = last == RC_EIO_NOOP;
        if (post->state == RC_EXCHANGE_WAITING && !its->inside) {
            post_answer(post);
        }
    }
    if (poll != NULL) {
        answer_packet(polling->engines, client, poll, last);
    }
}

static void polls_resumed(void *context, uint32_t client)
{
    const struct rc_polling *polling = context;
    const uint32_t post = rc_engine_of(polling->engines, client)->post;
    if (post != 0) {
        rc_waiters_add(&polling->engines->clients->uplink->waiters, post - 1);
    }
}

/* --- handshake ------------------------------------------------------------------------------------------------------- */

/* A handshake on its way. */
struct handshake {
    bool counted;           /* in the limits of its address */
    bool base64;            /* of Engine.IO 3: it takes text alone */
    struct rc_text opening; /* what the application is told of the request; empty when none has its clients */
};

static void handshake_drop(struct rc_clients *clients, const struct rc_exchange *exchange, struct handshake *handshake)
{
    if (handshake->counted) {
        rc_address_limit_remove(&clients->addresses, &exchange->client);
    }
    rc_text_free(&handshake->opening);
}

/* The session's first answer, with these header lines beside its own. */
static void handshake_answer(struct rc_exchange *exchange, uint32_t client, const char *headers, const void *own)
{
    const struct rc_engines *engines = polling_engines(exchange);
    char packet[RC_ENGINE_OPEN_BYTES_MAX];
    char lines[400 + RC_EXCHANGE_HEADERS_BYTES_MAX];
    size_t bytes = rc_engine_open_packet(engines, client, packet);
    const char *name = engines->clients->config->socketio.cookie.text;
    size_t at = 0;
    (void)own;
    if (name[0] != '\0') {
        char sid[RC_SID_BYTES];
        rc_engine_sid(engines, client, sid);
        at = (size_t)snprintf(lines, sizeof(lines), "Set-Cookie: %s=%.*s; Path=/; HttpOnly; SameSite=Lax\r\n", name,
                              (int)sizeof(sid), sid);
    }
    (void)snprintf(lines + at, sizeof(lines) - at, "%s", headers);
    char payload[RC_ENGINE_OPEN_BYTES_MAX + 8];
    if (rc_engine_is_3(engines, client)) {
        bytes = (size_t)snprintf(payload, sizeof(payload), "%zu:%.*s", bytes, (int)bytes, packet);
    } else {
        memcpy(payload, packet, bytes);
    }
    rc_exchange_answer(
        exchange,
        &(struct rc_exchange_answer){
            .status = 200, .content_type = RC_POLLING_TEXT, .body = payload, .body_bytes = bytes, .headers = lines});
}

/* Answers with a new session, once the application has it, if it has them all. */
static void handshake_finish(struct rc_engines *engines, struct rc_exchange *exchange, const struct rc_arrival *arrival,
                             struct handshake *handshake)
{
    struct rc_clients *clients = engines->clients;
    struct rc_identity identity;
    const uint32_t client =
        rc_client_open(clients, (uint8_t)arrival->endpoint, rc_encoding_of(arrival->codec, RC_FRAMING_POLLING, 0),
                       rc_arrival_identity(arrival, &identity));
    if (client == 0 || !rc_engine_begin(engines, client, exchange->connection)) {
        if (client != 0) {
            rc_client_end(clients, client);
        }
        handshake_drop(clients, exchange, handshake);
        rc_exchange_error(exchange, (struct rc_exchange_answer){
                                        .status = 503, .retry_after_s = 1, .message = "no room for more sessions"});
        return;
    }
    struct rc_engine *engine = rc_engine_of(engines, client);
    engine->address = exchange->client;
    rc_unjoined_add(engines, client, &exchange->client);
    engine->flags |= (handshake->counted ? RC_ENGINE_COUNTED : 0u) | (handshake->base64 ? RC_ENGINE_BASE64 : 0u);
    rc_arrival_greet(clients, client, arrival);
    if (rc_codec_is_link(arrival->codec)) {
        rc_link_open(engines->link.context, exchange, client,
                     rc_span_of(handshake->opening.bytes, handshake->opening.count), handshake_answer, NULL, 0);
        rc_text_free(&handshake->opening);
    } else {
        handshake_answer(exchange, client, "", NULL);
    }
}

static void handshake_arrived(struct rc_exchange *exchange, const struct rc_arrival *arrival, const void *own)
{
    struct handshake handshake;
    memcpy(&handshake, own, sizeof(handshake));
    handshake_finish(polling_engines(exchange), exchange, arrival, &handshake);
}

static void handshake_gone(struct rc_exchange *exchange, const void *own)
{
    struct handshake handshake;
    memcpy(&handshake, own, sizeof(handshake));
    handshake_drop(polling_engines(exchange)->clients, exchange, &handshake);
}

static void polling_handshake(struct rc_engines *engines, struct rc_exchange *exchange, const char *path,
                              const struct rc_engine_query *query)
{
    static const struct rc_arrival_waiter waiter = {.arrived = handshake_arrived, .gone = handshake_gone};
    struct rc_clients *clients = engines->clients;
    struct rc_arrival arrival;
    struct handshake handshake = {.base64 = query->base64};
    uint32_t at = 0;
    const struct rc_http_view *origin = rc_http_header_next(exchange->request, "origin", &at);
    if (!rc_arrival_begin(exchange, path, &arrival) ||
        (origin != NULL && !rc_arrival_from(exchange, rc_span_of(origin->text, origin->bytes)))) {
        return;
    }
    arrival.codec = query->revision == 3 ? RC_CODEC_LINK_3 : arrival.codec;
    if (!rc_unjoined_admits(engines, &exchange->client)) {
        rc_exchange_error(exchange,
                          (struct rc_exchange_answer){.status = 429, .retry_after_s = 10, .message = RC_UNJOINED_TEXT});
        return;
    }
    /* Whatever connections its requests come on. */
    if (!rc_clients_admit(clients, &exchange->client, &handshake.counted)) {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 429,
                                                                .retry_after_s = 10,
                                                                .message = "too many connections from your address"});
        return;
    }
    if (!rc_arrival_take_request(exchange, &arrival) ||
        (rc_codec_is_link(arrival.codec) &&
         !rc_link_opening_of(engines->link.context, exchange, false, arrival.codec, &handshake.opening))) {
        handshake_drop(clients, exchange, &handshake);
        return;
    }
    switch (rc_arrival_identify(exchange, &arrival)) {
    case RC_ARRIVED:
        handshake_finish(engines, exchange, &arrival, &handshake);
        return;
    case RC_ARRIVED_LATER:
        rc_arrival_wait(exchange, &arrival, &waiter, &handshake, sizeof(handshake));
        return;
    case RC_ARRIVED_NOT:
        handshake_drop(clients, exchange, &handshake);
        return;
    }
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

/* Has the session a WebSocket, or will it have one as soon as it may: a probe has said "5"? Then it does not poll any more. */
static bool polling_is_over(const struct rc_engines *engines, uint32_t session)
{
    return rc_truth_client(engines->clients->truth, session)->socket != RC_SOCKET_NONE ||
           (rc_engine_of(engines, session)->flags & RC_ENGINE_PROBED) != 0;
}

static void polling_asked(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    struct rc_clients *clients = context;
    struct rc_polling *polling = clients->polling_context;
    struct rc_engines *engines = polling->engines;
    struct rc_engine_query query;
    char path[RC_ROUTE_PATH_BYTES_MAX];
    (void)route;
    if (!rc_polling_query(polling, exchange, false, &query)) {
        return;
    }
    if (!query.has_sid) {
        const int bytes = rc_http_path_decode(exchange->request->path, path, sizeof(path) - 1);
        RC_ASSERT(bytes > 0); /* it led here */
        path[bytes] = '\0';
        polling_handshake(engines, exchange, path, &query);
    } else if (polling_is_over(engines, query.session)) {
        rc_polling_refuse(exchange, RC_EIO_BAD_REQUEST, false);
    } else if (exchange->request->method == RC_HTTP_GET) {
        polling_get(engines, exchange, query.session);
    } else if (exchange->request->method == RC_HTTP_POST) {
        polling_post(engines, exchange, query.session);
    } else {
        rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 500, .message = "GET or POST"});
    }
}

void rc_polling_open(struct rc_polling *polling, struct rc_engines *engines, struct rc_handovers *handovers)
{
    static const struct rc_route route = {
        .path = "", .methods = "GET, POST", .takes_body = true, .says_begun = true, .run = polling_asked};
    *polling = (struct rc_polling){.engines = engines, .handovers = handovers};
    rc_coder_open(&polling->coder, &engines->clients->hub->compressor.deflater);
    engines->clients->polling = &route;
    engines->clients->polling_context = polling;
    rc_engines_set_polls(
        engines, &(struct rc_poll_ops){
                     .context = polling, .answer = poll_answer, .ended = polls_ended, .resumed = polls_resumed});
}

void rc_polling_close(struct rc_polling *polling)
{
    free(polling->written);
    rc_coder_close(&polling->coder);
}
