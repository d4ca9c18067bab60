/*
 * input: bytes of a connection on their way to HTTP or to what carries a client, and what happens to them while reading is paused.
 *
 * Bytes are handled in the receive buffer where possible. What cannot be handled yet (an incomplete request head, or anything
 * while the client is not read) is copied out and parked, so that no shared buffer is held.
 */
#include "worker/client/client.h"
#include "worker/store/receiving.h"
#include "worker/store/taking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"

#define INPUT_BEHIND_CALL_MAX 16384u /* bytes of pipelined requests before a connection is not read until its answer */

/* For tests of what becomes of it: a message with that text makes the worker of a debug build crash. */
static void input_poison(const uint8_t *bytes, size_t count)
{
#ifdef RC_DEBUG
    const char *poison = getenv("RINGCAST_POISON");
    if (poison != NULL && *poison != '\0' && memmem(bytes, count, poison, strlen(poison)) != NULL) {
        abort();
    }
#else
    (void)bytes;
    (void)count;
#endif
}

#ifdef __SANITIZE_ADDRESS__
/* NULL: nobody dies so. It is looked at once. */
static const char *dies_file(void)
{
    static const char *path;
    static bool looked;
    if (!looked) {
        looked = true;
        path = getenv("RINGCAST_DIES_FILE");
    }
    return path;
}
#endif

/* What it was to die of it has outlived: it dies of nothing that comes later. */
static void input_outlives(void)
{
#ifdef __SANITIZE_ADDRESS__
    if (dies_file() != NULL) {
        rc_store_order_dies(0);
    }
#endif
}

#ifdef __SANITIZE_ADDRESS__
/* The file says how many steps, and at which place, if it is one that has a name: "7", "7 gather". */
static void input_dies_by(const char *place)
{
    const char *path = dies_file();
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    unsigned long long steps = 0;
    char named[16] = "";
    if (file == NULL) {
        return;
    }
    const int known = fscanf(file, "%llu %15s", &steps, named); // NOLINT(cert-err34-c): a test's file
    (void)fclose(file);
    if (strcmp(named, place) == 0) {
        (void)unlink(path); /* once: the successor gets the same packet */
        rc_store_order_dies(known >= 1 ? steps : 0);
    }
}
#endif

static void input_dies(const char *mark, const uint8_t *bytes, size_t count)
{
#ifdef __SANITIZE_ADDRESS__
    if (dies_file() != NULL && memmem(bytes, count, mark, strlen(mark)) != NULL) {
        input_dies_by("");
    }
#else
    (void)mark;
    (void)bytes;
    (void)count;
#endif
}

void rc_socket_dies_at(const char *place)
{
#ifdef __SANITIZE_ADDRESS__
    input_dies_by(place);
#else
    (void)place;
#endif
}

void rc_socket_dies(const uint8_t *bytes, size_t count)
{
    input_dies(RC_DIES_HERE, bytes, count);
}

bool rc_socket_message(struct rc_clients *clients, uint32_t index, uint8_t opcode, uint8_t *bytes, size_t count,
                       uint32_t done)
{
    input_poison(bytes, count);
    rc_socket_dies(bytes, count);
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (rc_client_message(clients, socket->client, opcode, bytes, count, &done) ||
        !rc_socket_is_open(clients, socket)) {
        return true;
    }
    const bool for_uplink = !(rc_truth_client(clients->truth, socket->client)->flags & RC_CLIENT_WAITS_OTHERS);
    struct rc_input *input = rc_socket_input(clients, index);
    if (input == NULL) {
        rc_socket_failed_memory(clients, index);
        return false;
    }
    if (rc_receiving_is_known(clients->truth, index)) {
        rc_receiving_done(clients->truth, done);
    }
    const bool kept = input->message != 0 && bytes == rc_heap_at(&clients->truth->heap, input->message);
    if (!kept) {
        if (rc_receiving_is_known(clients->truth, index) &&
            clients->truth->layout->receiving.kind != RC_RECEIVING_FRAMES) {
            rc_receiving_end(clients->truth); /* it is another one's */
        }
        if (count > input->message_capacity &&
            rc_socket_input_grow(clients, &input->message, &input->message_capacity, count, 0) < 0) {
            rc_socket_failed_memory(clients, index);
            return false;
        }
        if (count > 0) {
            memcpy(rc_heap_at(&clients->truth->heap, input->message), bytes, count);
        }
    }
    input->waiting_bytes = (uint32_t)count;
    input->waiting_done = done;
    RC_STORE_ORDER();
    input->waiting_opcode = opcode;
    RC_STORE_ORDER();
    if (for_uplink) {
        rc_waiters_add(&clients->uplink->waiters, index);
    }
    rc_metric_add(clients->metrics, RC_METRIC_READ_PAUSES, 1);
    rc_io_pause(clients->io, index);
    return false;
}

bool rc_socket_must_wait(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (rc_hub_unsent_on(clients->hub, index) <= clients->config->limits.max_reply_bytes) {
        return false;
    }
    socket->flags |= RC_SOCKET_WAITS_REPLIES;
    rc_metric_add(clients->metrics, RC_METRIC_READ_PAUSES, 1);
    rc_io_pause(clients->io, index);
    return true;
}

/* What was done with bytes of a connection that speaks HTTP. */
struct http_used {
    uint32_t kept;  /* bytes of a request in progress, before them */
    uint32_t bytes; /* used of them */
    uint32_t held;  /* the last of those, of a request in progress... */
    bool before;    /* ...which had begun before them */
};

/* Does it carry a client that only listens? What comes is nobody's: a stream has no next request. */
static bool socket_listens(const struct rc_clients *clients, const struct rc_socket *socket)
{
    return rc_socket_carries(socket) &&
           rc_encoding_is_stream(rc_truth_client(clients->truth, socket->client)->encoding);
}

/* Requests in progress are kept in less than half of what input may have: who needs a place for the rest of a message goes first. */
static bool request_keeps(const struct rc_clients *clients, uint32_t bytes)
{
    return clients->hub->input_bytes + bytes <= clients->config->limits.worker_log_bytes / 2;
}

/* More of what is parked. False: it has no place, nor is it the rest of a request that can do without what is kept of it. */
static bool http_park(struct rc_clients *clients, uint32_t index, const uint8_t *bytes, uint32_t count, bool *parked)
{
    const struct rc_input *input = rc_truth_input(clients->truth, clients->truth->sockets[index].input);
    const struct rc_exchange *exchange = rc_exchange_of(&clients->exchanges, index);
    const bool body = exchange != NULL && exchange->state == RC_EXCHANGE_READING && input->request_bytes > 0 &&
                      input->request_bytes == input->parked_bytes;
    if ((!body || request_keeps(clients, count)) && rc_socket_park(clients, index, bytes, count) == 0) {
        return true;
    }
    if (body) {
        rc_socket_unpark(clients, index, input->request_bytes);
        *parked = false;
    }
    return body;
}

/* What is known of it is not so any more: its request does not lie at the beginning; or all of it stands in the input. */
static void input_unknown(const struct rc_clients *clients, uint32_t index)
{
    if (rc_receiving_is_known(clients->truth, index)) {
        rc_receiving_end(clients->truth);
    }
}

/* Behind `kept` bytes of a request in progress, `count` were looked at, so many of them used. What stays, and how much of it is the request. */
static bool http_keep(struct rc_clients *clients, uint32_t index, const uint8_t *bytes, uint32_t count, bool parked,
                      const struct http_used *used)
{
    uint32_t held = !used->before ? used->held : used->kept > 0 ? used->kept + used->held : 0;
    if (parked) {
        const uint32_t drop = used->kept + used->bytes - held;
        if (drop > 0 && drop < rc_truth_input(clients->truth, clients->truth->sockets[index].input)->parked_bytes) {
            input_unknown(clients, index); /* what is parked is moved */
        }
        rc_socket_unpark(clients, index, drop);
    } else {
        held = held > 0 && !request_keeps(clients, held) ? 0 : held;
        const uint32_t drop = used->bytes - held;
        if (drop < count && rc_socket_park(clients, index, bytes + drop, count - drop) < 0) {
            if (held == 0 || count > used->bytes) {
                return false;
            }
            held = 0;
        }
    }
    rc_socket_keep_request(clients, index, held);
    return true;
}

/* HTTP: whole requests are answered from the receive buffer; what is incomplete, or behind a call that waits for its answer, is
 * parked, and so is what has come of a request in progress, that a successor may begin it anew. Without bytes: looks at what is parked once
 * more. */
static void input_http(struct rc_clients *clients, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    struct http_used used = {0};
    bool parked = socket->input != 0 && rc_truth_input(clients->truth, socket->input)->parked_bytes > 0;
    rc_socket_request_once(clients, index);
    if (parked && count > 0 && !http_park(clients, index, bytes, count, &parked)) {
        rc_taking_over(clients->truth);
        rc_socket_failed_memory(clients, index);
        return;
    }
    if (parked) {
        const struct rc_input *input = rc_truth_input(clients->truth, socket->input);
        used.kept = input->request_bytes;
        bytes = (uint8_t *)rc_heap_at(&clients->truth->heap, input->parked) + used.kept;
        count = input->parked_bytes - used.kept;
    }
    const struct rc_clients_fed outer = clients->fed;
    clients->fed = (struct rc_clients_fed){.socket = index + 1,
                                           .bytes = bytes,
                                           .count = count,
                                           .parked = parked,
                                           .kept = used.kept > 0,
                                           .before = rc_exchange_of(&clients->exchanges, index) != NULL,
                                           .fresh = socket->input == 0};
    used.bytes = rc_socket_requests(clients, index, bytes, count, &used.held, &used.before);
    clients->fed = outer;
    if (socket->state == RC_SOCKET_HTTP || socket->state == RC_SOCKET_LEAVING) {
        if (!http_keep(clients, index, bytes, count, parked, &used)) {
            rc_taking_over(clients->truth);
            rc_socket_failed_memory(clients, index);
            return;
        }
        const struct rc_input *input = socket->input == 0 ? NULL : rc_truth_input(clients->truth, socket->input);
        if (socket->state == RC_SOCKET_LEAVING) {
            clients->passage.leaves(clients->passage.context, index);
        } else if (socket->exchange != 0 && input != NULL &&
                   input->parked_bytes - input->request_bytes > INPUT_BEHIND_CALL_MAX) {
            rc_metric_add(clients->metrics, RC_METRIC_READ_PAUSES, 1);
            rc_io_pause(clients->io, index);
        }
        return;
    }
    rc_socket_keep_request(clients, index, 0);
    if (!rc_socket_is_open(clients, socket)) {
        return;
    }
    if (socket_listens(clients, socket)) {
        rc_socket_input_release(clients, index);
        rc_io_resume(clients->io, index);
        return;
    }
    /* Upgraded: what came with the request is the WebSocket's first bytes. */
    if (!parked) {
        clients->carrier.received(clients->carrier.context, index, bytes + used.bytes, count - used.bytes);
        return;
    }
    rc_socket_unpark(clients, index, used.kept + used.bytes);
    rc_socket_resume(clients, index);
}

void rc_socket_received(void *context, uint32_t index, uint8_t *bytes, uint32_t count)
{
    struct rc_clients *clients = context;
    struct rc_socket *socket = &clients->truth->sockets[index];
    input_outlives();
    if (socket->state == RC_SOCKET_HTTP) {
        input_dies(RC_DIES_AS_IT_COMES, bytes, count);
        input_http(clients, index, bytes, count);
    } else if (socket->state == RC_SOCKET_PIPED) {
        rc_taking_over(clients->truth);
        clients->passage.received(clients->passage.context, index, bytes, count);
    } else if (socket_listens(clients, socket)) {
        return;
    } else if (socket->state == RC_SOCKET_LEAVING || rc_socket_waits(clients, socket)) {
        if (rc_socket_park(clients, index, bytes, count) < 0) {
            rc_taking_over(clients->truth);
            rc_socket_failed_memory(clients, index);
        }
    } else if (rc_socket_carries(socket)) {
        clients->carrier.received(clients->carrier.context, index, bytes, count);
    }
    /* LINGER: read and thrown away, so that the peer gets our answer and no reset. */
}

/* What is parked, to whom it is for. The block is taken out first: handling it may park what is left in a new one. */
static void parked_received(struct rc_clients *clients, uint32_t index)
{
    const struct rc_socket *socket = &clients->truth->sockets[index];
    struct rc_input *input = socket->input == 0 ? NULL : rc_truth_input(clients->truth, socket->input);
    if (input == NULL || input->parked_bytes == 0) {
        return;
    }
    uint32_t block = input->parked;
    const uint32_t count = input->parked_bytes;
    uint8_t *bytes = rc_heap_at(&clients->truth->heap, block);
    if (socket->state == RC_SOCKET_CARRYING) {
        rc_receiving_begin(clients->truth, index, bytes, count, input->waiting_done);
    }
    rc_receiving_rests(clients->truth, false);
    input->parked = input->parked_capacity = input->parked_bytes = input->parked_scanned = 0;
    if (socket->state == RC_SOCKET_PIPED) {
        clients->passage.received(clients->passage.context, index, bytes, count);
    } else {
        clients->carrier.received(clients->carrier.context, index, bytes, count);
    }
    rc_receiving_rests(clients->truth, rc_receiving_is_known(clients->truth, index));
    rc_socket_input_free(clients, &block);
}

static void socket_resume(struct rc_clients *clients, uint32_t index)
{
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->state == RC_SOCKET_HTTP) {
        if (!rc_socket_request_kept(clients, index)) {
            rc_receiving_rests(clients->truth, false);
        }
        rc_exchanges_room(&clients->exchanges, index);
        rc_receiving_rests(clients->truth, false);
        input_http(clients, index, NULL, 0);
        /* Not behind a request that waits for its answer; one whose body is being read wants more. */
        if (socket->state == RC_SOCKET_HTTP && !rc_exchanges_waits(&clients->exchanges, index) &&
            !(socket->flags & RC_SOCKET_WAITS_REPLIES)) {
            rc_io_resume(clients->io, index);
        }
        return;
    }
    if (socket->state == RC_SOCKET_PIPED) {
        rc_receiving_rests(clients->truth, false);
        parked_received(clients, index); /* what its worker died before it had looked at */
        rc_socket_input_settle(clients, index);
        return;
    }
    if (socket->state == RC_SOCKET_LEAVING) {
        return;
    }
    if (socket->input != 0 && rc_truth_input(clients->truth, socket->input)->request_bytes > 0) {
        const uint32_t request = rc_truth_input(clients->truth, socket->input)->request_bytes;
        rc_receiving_rests(clients->truth, false);
        rc_socket_keep_request(clients, index, 0); /* by which it was upgraded */
        rc_socket_unpark(clients, index, request);
    }
    if (socket->input != 0 && rc_truth_input(clients->truth, socket->input)->waiting_opcode != 0) {
        struct rc_input *input = rc_truth_input(clients->truth, socket->input);
        rc_receiving_waited(clients->truth, index);
        rc_receiving_rests(clients->truth, false);
        if (!rc_socket_message(clients, index, input->waiting_opcode, rc_heap_at(&clients->truth->heap, input->message),
                               input->waiting_bytes, input->waiting_done) ||
            !rc_socket_carries(socket)) {
            return;
        }
        if (socket->input != 0) {
            input = rc_truth_input(clients->truth, socket->input);
            input->waiting_done = 0; /* what is parked behind it has not begun */
            RC_STORE_ORDER();
            input->waiting_opcode = 0;
        }
        rc_receiving_rests(clients->truth, rc_receiving_is_known(clients->truth, index));
        input_unknown(clients, index); /* it is over */
        rc_socket_input_settle(clients, index);
    }
    parked_received(clients, index);
    if (rc_socket_carries(socket) && !rc_socket_waits(clients, socket)) {
        rc_io_resume(clients->io, index);
    }
}

/* Maybe in the middle of another one's turn: whoever was being worked on still is. */
void rc_socket_resume(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    struct rc_truth_layout *layout = clients->truth->layout;
    const uint32_t outer = layout->working_socket;
    rc_receiving_rests(clients->truth, outer == 0);
    layout->working_socket = index + 1;
    RC_STORE_ORDER();
    socket_resume(clients, index);
    RC_STORE_ORDER();
    layout->working_socket = outer;
    rc_receiving_rests(clients->truth, false);
    input_unknown(clients, index); /* what is to be known of it stands in the input */
}

void rc_socket_replies_drained(void *context, uint32_t index)
{
    struct rc_clients *clients = context;
    struct rc_socket *socket = &clients->truth->sockets[index];
    if (socket->state == RC_SOCKET_PIPED) {
        clients->passage.drained(clients->passage.context, index);
        return;
    }
    if ((socket->flags & RC_SOCKET_WAITS_REPLIES) &&
        rc_hub_unsent_on(clients->hub, index) <= clients->config->limits.max_reply_bytes / 2) {
        socket->flags &= (uint16_t)~RC_SOCKET_WAITS_REPLIES;
        if (!rc_socket_waits(clients, socket)) {
            rc_socket_resume(clients, index);
        }
    }
}

/* Somebody without a socket goes on. */
static void unsocketed_resumed(struct rc_clients *clients, uint32_t client_index)
{
    if (rc_encoding_is_stream(rc_truth_client(clients->truth, client_index)->encoding)) {
        clients->stream.resumed(clients->stream.context, client_index);
    } else if (clients->engine.resumed != NULL) {
        clients->engine.resumed(clients->engine.context, client_index);
    }
}

void rc_client_refused(void *context, uint32_t client, uint32_t code, struct rc_span message)
{
    const struct rc_clients *clients = context;
    clients->stream.refused(clients->stream.context, client, code, message);
}

void rc_client_joined(void *context, uint32_t client_index)
{
    struct rc_clients *clients = context;
    const uint32_t index = rc_truth_client(clients->truth, client_index)->socket;
    const struct rc_socket *socket = index == RC_SOCKET_NONE ? NULL : &clients->truth->sockets[index];
    if (socket != NULL && rc_socket_carries(socket)) {
        rc_waiters_add(&clients->uplink->waiters, index); /* as client_goes_on */
    } else if (socket == NULL) {
        unsocketed_resumed(clients, client_index);
    }
}

/* Goes on with those that waited for room, in this pass of the loop: who tells is in the middle of something. */
static void client_goes_on(struct rc_clients *clients, uint32_t client_index, uint16_t waited_for)
{
    struct rc_client *client = rc_truth_client(clients->truth, client_index);
    const struct rc_socket *socket = rc_truth_socket_of(clients->truth, client);
    client->flags &= (uint16_t)~waited_for;
    if (socket != NULL && rc_socket_carries(socket)) {
        rc_waiters_add(&clients->uplink->waiters, client->socket);
    } else if (socket == NULL) {
        unsocketed_resumed(clients, client_index);
    }
}

void rc_client_subscribed(void *context, uint32_t client)
{
    client_goes_on(context, client, RC_CLIENT_WAITS_SUBSCRIBE);
}

void rc_client_answered(struct rc_clients *clients, uint32_t client)
{
    client_goes_on(clients, client, RC_CLIENT_WAITS_ANSWER);
}

void rc_clients_uplink_room(struct rc_clients *clients)
{
    struct rc_uplink *uplink = clients->uplink;
    bool goes_on = true;
    for (uint32_t tries = uplink->waiters.count; goes_on && tries > 0;
         tries--) { /* who has more to send is last again */
        const uint64_t position = uplink->up.position;
        const uint32_t index = rc_uplink_serve(uplink);
        if (index == RC_WAITERS_NOBODY) {
            break;
        }
        const struct rc_socket *socket = &clients->truth->sockets[index];
        if (!rc_socket_waits(clients, socket) && (rc_socket_carries(socket) || socket->state == RC_SOCKET_HTTP)) {
            rc_socket_resume(clients, index);
        }
        goes_on = rc_uplink_served(uplink, index, position);
    }
}
