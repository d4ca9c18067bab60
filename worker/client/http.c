/* http: a connection that speaks HTTP, as worker/http sees it: whose requests they are, where their bytes go. See client.h. */
#include "worker/client/client.h"

#include <stddef.h>

#include "common/base/check.h"
#include "worker/store/receiving.h"
#include "worker/store/taking.h"

/* --- what worker/http/exchange needs of a connection ----------------------------------------------------------------- */

static bool conn_speaks(void *context, uint32_t index)
{
    const struct rc_clients *clients = context;
    return clients->truth->sockets[index].state == RC_SOCKET_HTTP;
}

static uint32_t *conn_place(void *context, uint32_t index)
{
    const struct rc_clients *clients = context;
    return &clients->truth->sockets[index].exchange;
}

static int conn_write(void *context, uint32_t index, const void *bytes, uint32_t count)
{
    struct rc_clients *clients = context;
    return rc_hub_answer(clients->hub, index, bytes, count);
}

static uint32_t conn_unsent(void *context, uint32_t index)
{
    const struct rc_clients *clients = context;
    return rc_hub_unsent_on(clients->hub, index);
}

/* Goes on in rc_socket_replies_drained. */
static void conn_hold(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    clients->truth->sockets[index].flags |= RC_SOCKET_WAITS_REPLIES;
    rc_io_pause(clients->io, index);
}

static void conn_deadline(void *context, uint32_t index, uint64_t in_ms)
{
    rc_socket_deadline(context, index, in_ms);
}

static void conn_linger(void *context, uint32_t index)
{
    rc_socket_linger(context, index);
}

static void conn_fail(void *context, uint32_t index)
{
    rc_socket_failed_memory(context, index);
}

/* Listeners that only this machine reaches show everything, unless a trusted proxy says that it asks for somebody else. */
static bool conn_is_local(const struct rc_clients *clients, uint32_t index, const struct rc_address *client)
{
    const uint32_t flags = clients->truth->sockets[index].flags;
    return (flags & RC_SOCKET_ADMIN) != 0 ||
           ((flags & (RC_SOCKET_LOOPBACK | RC_SOCKET_UNIX)) != 0 && rc_address_is_loopback(client));
}

/* Is it an application, that dials a link? */
static bool conn_dials(const struct rc_clients *clients, uint32_t index)
{
    return rc_listener_is_link(clients->control->listeners[clients->truth->sockets[index].listener].kind);
}

/* --- requests that a successor may begin anew ------------------------------------------------------------------------ */

static struct rc_input *input_of(const struct rc_clients *clients, uint32_t index)
{
    const uint32_t input = clients->truth->sockets[index].input;
    return input == 0 ? NULL : rc_truth_input(clients->truth, input);
}

void rc_socket_request_once(struct rc_clients *clients, uint32_t index)
{
    struct rc_input *input = input_of(clients, index);
    if (input != NULL) {
        RC_STORE_ORDER();
        input->request = RC_REQUEST_ONCE;
        RC_STORE_ORDER();
    }
}

static void conn_once(void *context, uint32_t index)
{
    rc_socket_request_once(context, index);
}

/* It is taken out of the input when the connection goes on (rc_socket_resume). */
static void conn_over(void *context, uint32_t index)
{
    struct rc_input *input = input_of(context, index);
    if (input != NULL) {
        input->request_done = 0;
        RC_STORE_ORDER();
        input->request = RC_REQUEST_NONE;
    }
}

static bool conn_is_known(const struct rc_clients *clients, uint32_t index)
{
    return rc_receiving_is_request(clients->truth) && clients->truth->layout->receiving.socket == index + 1;
}

static void conn_answers(void *context, uint32_t index)
{
    const struct rc_clients *clients = context;
    if (conn_is_known(clients, index)) {
        rc_receiving_unit(clients->truth);
    }
}

static void conn_answered(void *context, uint32_t index)
{
    const struct rc_clients *clients = context;
    if (conn_is_known(clients, index)) {
        rc_receiving_done(clients->truth, RC_RECEIVING_ANSWERED);
    }
}

/* Whose request is not kept, for want of room, would have half an answer, or none, and nothing in progress: killed in it, the connection ends. */
static void conn_works(void *context, uint32_t index, bool works)
{
    struct rc_clients *clients = context;
    struct rc_truth_layout *layout = clients->truth->layout;
    if (!works && clients->answers == index + 1) {
        clients->answers = 0;
        RC_STORE_ORDER();
        layout->working_socket = 0;
    } else if (works && input_of(clients, index) == NULL && layout->working_socket == 0) {
        clients->answers = index + 1;
        rc_receiving_rests(clients->truth, false);
        layout->working_socket = index + 1;
        RC_STORE_ORDER();
    }
}

void rc_socket_request_known(struct rc_clients *clients, const struct rc_exchange *exchange)
{
    const struct rc_clients_fed *fed = &clients->fed;
    const uint32_t index = exchange->connection;
    const struct rc_input *input = input_of(clients, index);
    const bool here = fed->socket == index + 1;
    const bool begins =
        input != NULL && input->parked_bytes > 0 &&
        (here ? fed->parked && (fed->before ? fed->kept : !fed->kept && exchange->first) : input->request_bytes > 0);
    if (begins) {
        rc_receiving_request(clients->truth, index, NULL, 0, exchange->done);
    } else if (here && fed->fresh && !fed->before && exchange->first) {
        rc_receiving_request(clients->truth, index, fed->bytes, fed->count, exchange->done);
    }
    rc_receiving_rests(clients->truth, false);
    rc_taking_over(clients->truth);
    rc_socket_request_once(clients, index);
}

static void conn_begun(void *context, uint32_t index)
{
    const struct rc_clients *clients = context;
    (void)index;
    rc_taking_over(clients->truth);
}

static uint64_t conn_done(void *context, uint32_t index)
{
    struct rc_input *input = input_of(context, index);
    const uint64_t done = input == NULL ? 0 : input->request_done;
    if (input != NULL) {
        input->request_done =
            0; /* of the first that begins, not of those behind it; until it is kept again the request is ONCE */
    }
    return done;
}

void rc_socket_keep_request(struct rc_clients *clients, uint32_t index, uint32_t held)
{
    struct rc_input *input = input_of(clients, index);
    const struct rc_exchange *exchange = rc_exchange_of(&clients->exchanges, index);
    if (input == NULL) {
        return;
    }
    input->request_bytes = exchange == NULL ? 0 : held;
    input->request_done = input->request_bytes == 0 ? 0 : exchange->done;
    RC_STORE_ORDER();
    input->request = input->request_bytes == 0       ? RC_REQUEST_NONE
                     : rc_exchange_repeats(exchange) ? RC_REQUEST_AGAIN
                                                     : RC_REQUEST_ONCE;
}

bool rc_socket_request_kept(const struct rc_clients *clients, uint32_t index)
{
    const struct rc_input *input = input_of(clients, index);
    return input != NULL && input->request == RC_REQUEST_AGAIN;
}

static void conn_begin(void *context, struct rc_exchange *exchange)
{
    struct rc_clients *clients = context;
    const uint32_t index = exchange->connection;
    const struct rc_address peer = rc_socket_peer(clients, index);
    if (clients->fed.socket == index + 1) {
        clients->fed.before = false;
    }
    if (conn_is_known(clients, index)) {
        rc_receiving_end(clients->truth); /* of the one before */
    }
    rc_socket_handshake_over(clients, index);
    exchange->client = rc_socket_client_address(clients, index, exchange->request);
    exchange->proxied = rc_cidr_list_contains(&clients->trusted, &peer);
    exchange->console = clients->truth->sockets[index].listener == RC_LISTENER_CONSOLE;
    exchange->local = conn_is_local(clients, index, &exchange->client);
    if (clients->truth->sockets[index].flags & RC_SOCKET_HERE) {
        exchange->keep_alive = false; /* what comes next may be for anybody: whoever piped this one looks again */
    }
    if (conn_dials(clients, index)) {
        rc_exchange_begun(exchange);
        clients->dialled(clients->dialled_context, exchange);
        return;
    }
    rc_routes_begin(&clients->routes, exchange);
}

/* --- end points ------------------------------------------------------------------------------------------------------ */

static void endpoint_asked(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    (void)context;
    (void)route;
    rc_exchange_error(exchange,
                      (struct rc_exchange_answer){.status = 426,
                                                  .headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                                                  .message = "this is a WebSocket end point"});
}

static const struct rc_route *endpoint_route(void *context, const char *path)
{
    static const struct rc_route route = {.path = "", .methods = "GET", .run = endpoint_asked};
    const struct rc_clients *clients = context;
    enum rc_codec_id codec;
    if (rc_socket_endpoint(clients->config, path, &codec) < 0) {
        return NULL;
    }
    if (rc_encoding_is_stream(rc_encoding_of(codec, RC_FRAMING_STREAM, 0))) {
        return clients->stream.route;
    }
    return rc_encoding_is_engine(rc_encoding_of(codec, RC_FRAMING_WEBSOCKET, 0)) ? clients->polling : &route;
}

int rc_clients_http_open(struct rc_clients *clients, void (*resume)(void *context, uint32_t socket))
{
    const struct rc_exchange_ops ops = {.context = clients,
                                        .speaks = conn_speaks,
                                        .place = conn_place,
                                        .begin = conn_begin,
                                        .write = conn_write,
                                        .unsent = conn_unsent,
                                        .hold = conn_hold,
                                        .deadline = conn_deadline,
                                        .linger = conn_linger,
                                        .fail = conn_fail,
                                        .once = conn_once,
                                        .over = conn_over,
                                        .answers = conn_answers,
                                        .answered = conn_answered,
                                        .works = conn_works,
                                        .begun = conn_begun,
                                        .done = conn_done,
                                        .resume = resume};
    clients->routes = (struct rc_routes){.context = clients, .other = endpoint_route};
    return rc_exchanges_open(&clients->exchanges, &ops, clients->config, clients->metrics,
                             clients->truth->socket_count);
}

uint32_t rc_socket_requests(struct rc_clients *clients, uint32_t index, const uint8_t *bytes, uint32_t count,
                            uint32_t *held, bool *before)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    const struct rc_input *input = input_of(clients, index);
    uint32_t scanned = input == NULL || input->request_bytes > 0 ? 0 : input->parked_scanned;
    uint32_t began;
    const uint32_t used = rc_exchanges_feed(&clients->exchanges, index, bytes, count, &scanned, &began);
    const bool goes_on = rc_exchange_of(&clients->exchanges, index) != NULL;
    *before = goes_on && began == RC_EXCHANGE_BEGAN_BEFORE;
    *held = !goes_on ? 0 : *before ? used : used - began;
    if (socket->state == RC_SOCKET_HTTP && used == 0 && socket->input != 0 && !goes_on) {
        rc_truth_input(clients->truth, socket->input)->parked_scanned = scanned;
    }
    return used;
}
