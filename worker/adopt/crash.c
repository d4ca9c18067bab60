/* crash: see crash.h. */
#include "worker/adopt/crash.h"

#include "common/base/log.h"
#include "worker/engine/asked.h"
#include "worker/io/tls_left.h"
#include "worker/io/tls_opening.h"
#include "worker/io/unread.h"
#include "worker/store/named.h"
#include "worker/store/receiving.h"
#include "worker/store/taking.h"

/* --- who cannot be gone on with -------------------------------------------------------------------------------------- */

static void crash_quarantine(struct rc_crash *crash, const struct rc_truth *truth, struct rc_metrics *metrics,
                             uint32_t socket, uint32_t client)
{
    const bool carries = socket < truth->socket_count && truth->sockets[socket].state != RC_SOCKET_FREE;
    if (client != 0) {
        rc_named_log_client("client_quarantined", truth, client, "its worker has crashed while handling it", "");
    } else if (carries) {
        rc_named_log_socket("client_quarantined", truth, socket, "its worker has crashed while handling it", "");
    } else {
        return;
    }
    rc_metric_add(metrics, RC_METRIC_QUARANTINED, 1);
    crash->poisoned++;
}

static uint32_t crash_client_of(const struct rc_truth *truth, uint32_t socket)
{
    const uint32_t client = socket < truth->socket_count ? truth->sockets[socket].client : 0;
    return client > 0 && client < truth->clients.high && rc_truth_client(truth, client)->random != 0 ? client : 0;
}

/* Before they are marked, and so only once. */
static void crash_poisoned(struct rc_crash *crash, const struct rc_truth *truth, struct rc_metrics *metrics)
{
    const struct rc_truth_layout *layout = truth->layout;
    const uint32_t handled = rc_io_unread_working(crash->memory);
    const uint32_t working = layout->working_socket == 0 ? RC_SOCKET_NONE : layout->working_socket - 1;
    const uint32_t client = layout->working_client;
    if (handled != RC_SOCKET_NONE) {
        crash_quarantine(crash, truth, metrics, handled, crash_client_of(truth, handled));
    }
    if (working != RC_SOCKET_NONE && working != handled) {
        crash_quarantine(crash, truth, metrics, working, crash_client_of(truth, working));
    }
    if (client > 0 && client < truth->clients.high && rc_truth_client(truth, client)->random != 0) {
        crash_quarantine(crash, truth, metrics, RC_SOCKET_NONE, client);
    }
}

/*
 * The message of the inbox that was being taken: it is thrown away, with what is half here of it, only if it is what was being handled. While it
 * waits for its place others are handled, and what they do is none of its business: it comes again.
 */
static void crash_coming(const struct rc_crash *crash, struct rc_truth *truth, struct rc_metrics *metrics,
                         struct rc_truth_repaired *repaired)
{
    struct rc_truth_coming *coming = &truth->layout->coming;
    const bool word = (coming->head.flags & RC_HANDOVER_WORD) != 0; /* it has no place to wait for */
    char address[RC_ADDRESS_TEXT_MAX];
    if (coming->phase != RC_COMING_BEGUN || !(word || rc_io_unread_takes_in(crash->memory))) {
        return;
    }
    coming->phase = RC_COMING_DONE;
    rc_metric_add(metrics, RC_METRIC_HANDOVERS_LOST, 1);
    (void)rc_address_format(address, &coming->head.peer);
    rc_log_warn("handover_lost", "reason=\"a worker has crashed while taking it\" address=%s worker=%u",
                word ? "none" : address, coming->head.worker);
    if (coming->socket != 0 && coming->socket <= truth->socket_count) {
        rc_truth_give_up_socket(truth, coming->socket - 1, repaired);
    }
    for (uint32_t i = 1; coming->random != 0 && i < truth->clients.high; i++) {
        if (rc_truth_client(truth, i)->random == coming->random) {
            rc_truth_give_up_client(truth, i, repaired);
        }
    }
}

/* A backend was just being asked, or was about to be. Of a client's acknowledgement it may be all that is left (rc_asked_taken). */
static void crash_unask(struct rc_truth *truth, uint32_t index)
{
    if (index > 0 && index < truth->hooks.high) {
        struct rc_hook *hook = rc_truth_hook(truth, index);
        if (hook->kind == RC_BACKEND_EVENT) {
            hook->attempt = 0;
        } else {
            hook->flags |= (uint8_t)RC_HOOK_UNASKED;
        }
        RC_STORE_ORDER();
    }
}

/* Attributes that were just being put in the place of others. */
static void crash_set(struct rc_truth *truth, const struct rc_truth_receiving *receiving)
{
    const uint32_t client = receiving->set_client;
    const uint32_t at = client > 0 && client < truth->clients.high ? rc_truth_client(truth, client)->user : 0;
    if (at > 0 && at < truth->users.high) {
        struct rc_user *user = rc_truth_user(truth, at);
        user->set_bytes = 0;
        RC_STORE_ORDER();
        user->set = receiving->set;
        RC_STORE_ORDER();
        user->set_bytes = (uint16_t)receiving->set_bytes;
        RC_STORE_ORDER();
    }
}

static bool crash_waits(const struct rc_truth *truth, uint32_t pending)
{
    if (pending == 0 || pending >= truth->pending.high) {
        return false;
    }
    const uint32_t channel = rc_truth_pending(truth, pending)->channel;
    uint32_t i = channel > 0 && channel < truth->channels.high && rc_truth_channel(truth, channel)->name != 0
                     ? rc_truth_channel(truth, channel)->pending
                     : 0;
    for (uint32_t left = truth->pending.high; i != pending && i > 0 && i < truth->pending.high && left > 0; left--) {
        i = rc_truth_pending(truth, i)->next;
    }
    return i == pending;
}

/* A step that may be done again is done if what it was to make is there. */
static void crash_know_again(struct rc_truth *truth, struct rc_truth_receiving *receiving)
{
    const bool sets = receiving->again != 0 && receiving->set != 0;
    crash_unask(truth, receiving->hook);
    if (sets) {
        crash_set(truth, receiving);
    }
    if (sets || (receiving->again != 0 && crash_waits(truth, receiving->pending))) {
        receiving->done = receiving->again;
        RC_STORE_ORDER();
    }
}

/* What was being carried out: its step is done if its record is there. */
static void crash_know_step(struct rc_truth *truth, uint64_t up_tail)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    const struct rc_input *input = truth->sockets[receiving->socket - 1].input == 0
                                       ? NULL
                                       : rc_truth_input(truth, truth->sockets[receiving->socket - 1].input);
    if (receiving->kind == RC_RECEIVING_MESSAGE && (input == NULL || input->waiting_opcode == 0)) {
        receiving->from = ~receiving->done; /* it was over */
        RC_STORE_ORDER();
    }
    if (rc_receiving_runs(truth) && receiving->from == receiving->done) {
        crash_know_again(truth, receiving);
    }
    if (rc_receiving_runs(truth) && receiving->from == receiving->done && receiving->step != 0 &&
        up_tail != receiving->up_position) {
        receiving->done = receiving->step;
        RC_STORE_ORDER();
    }
}

/* Is the answer to the request that was carried out whole, and stays? */
static bool crash_answered(const struct rc_truth *truth)
{
    const struct rc_truth_receiving *receiving = &truth->layout->receiving;
    return receiving->socket != 0 && receiving->socket <= truth->socket_count &&
           receiving->kind == RC_RECEIVING_REQUEST && receiving->done == RC_RECEIVING_ANSWERED;
}

/* Whose input was being handled, and is known: it goes on with the rest. */
static void crash_know(struct rc_crash *crash, struct rc_truth *truth, uint64_t up_tail)
{
    struct rc_truth_receiving *receiving = &truth->layout->receiving;
    const uint32_t index = receiving->socket - 1;
    const bool request = receiving->kind == RC_RECEIVING_REQUEST;
    const bool over =
        crash_answered(truth) && truth->sockets[index].state == RC_SOCKET_LINGER; /* it was the last one */
    if (receiving->socket == 0 || index >= truth->socket_count || receiving->count > sizeof(receiving->bytes) ||
        receiving->next > receiving->count || receiving->offset > receiving->next ||
        (truth->sockets[index].state != (request ? RC_SOCKET_HTTP : RC_SOCKET_CARRYING) && !over)) {
        return;
    }
    crash_know_step(truth, up_tail);
    crash->again = receiving->socket;
    crash->again_from = over ? receiving->count : receiving->offset;
    if (receiving->count > 0) {
        truth->sockets[index].input = 0; /* what was decoded of it is decoded again */
    }
    if (truth->layout->working_socket == receiving->socket) {
        truth->layout->working_socket = 0;
    }
}

/* The answer to a GET: until it is whole, its client has got nothing. */
static void crash_took(struct rc_truth *truth)
{
    struct rc_truth_layout *layout = truth->layout;
    const struct rc_truth_receiving *receiving = &layout->receiving;
    if (layout->took.socket == 0 || receiving->socket != layout->took.socket || !crash_answered(truth)) {
        layout->took.client = 0;
    }
}

/* The client that was worked for: what is half done for it is known. */
static bool crash_client_rests(const struct rc_crash *crash, const struct rc_truth *truth)
{
    return truth->layout->client_rests != 0 &&
           (truth->layout->receiving.socket == 0 || crash->again != 0 || crash_answered(truth));
}

/* What came by TLS: of what the record says it is known what was made of it (crash_know), or nothing was, or it is over. */
static void crash_opening(struct rc_crash *crash, struct rc_truth *truth, uint64_t up_tail)
{
    struct rc_truth_layout *layout = truth->layout;
    const uint32_t index = rc_io_tls_opening_of(truth);
    const bool handed = rc_io_tls_opening_was_handed(truth);
    if (index != RC_SOCKET_NONE && !handed && layout->receiving.socket == index + 1) {
        rc_receiving_end(truth); /* all of that stands in its input */
    }
    crash_know(crash, truth, up_tail);
    crash->opening_behind = handed && index != RC_SOCKET_NONE && crash->again == index + 1;
    if (index != RC_SOCKET_NONE && (!handed || crash->opening_behind || rc_taking_undo(truth, index))) {
        crash->opening = index + 1;
        rc_io_tls_opening_back(truth, crash->opening_behind);
        layout->working_socket = layout->working_socket == index + 1 ? 0 : layout->working_socket;
    } else {
        rc_io_tls_opening_end(truth);
    }
}

int rc_crash_begin(struct rc_crash *crash, struct rc_truth *truth, struct rc_metrics *metrics, int io_fd,
                   uint64_t up_tail, bool by_itself, struct rc_err *err)
{
    struct rc_truth_repaired before = {0};
    *crash = (struct rc_crash){.memory = rc_io_memory_attach(io_fd, err)};
    if (crash->memory == NULL) {
        return -errno;
    }
    truth->cut = true;
    crash_took(truth);
    if (by_itself) {
        crash_poisoned(crash, truth, metrics);
        truth->layout->receiving.socket = 0;
        rc_io_tls_opening_end(truth);
        crash_coming(crash, truth, metrics, &before);
    } else {
        crash_opening(crash, truth, up_tail);
        if (truth->layout->working_rests != 0) {
            truth->layout->working_socket = 0;
        }
        if (crash_client_rests(crash, truth)) {
            truth->layout->working_client = 0;
        }
        if (truth->layout->hub.settling != 0) {
            truth->layout->working_client = 0; /* it is known how far that was */
        }
    }
    const uint32_t handled =
        !by_itself && rc_io_unread_sending(crash->memory) ? RC_SOCKET_NONE : rc_io_unread_working(crash->memory);
    const bool unknown = handled < truth->socket_count && handled + 1 != crash->again && handled + 1 != crash->opening;
    struct rc_io_unread current;
    crash->untaken =
        !by_itself && unknown && rc_io_unread_current(crash->memory, &current) && rc_taking_undo(truth, handled);
    if (unknown && !crash->untaken) {
        rc_truth_give_up_socket(truth, handled, &before);
    }
    const uint32_t peer = rc_io_unread_peername(crash->memory);
    if (peer < truth->socket_count && truth->sockets[peer].state == RC_SOCKET_HTTP) {
        truth->peers[peer] = (struct rc_address){{0}}; /* it is asked for again */
    }
    const bool overflowed = rc_io_unread_overflowed(crash->memory);
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        struct rc_socket *socket = &truth->sockets[i];
        if (overflowed && (socket->inflight & (RC_INFLIGHT_RECEIVE | RC_INFLIGHT_TLS))) {
            rc_truth_give_up_socket(truth, i, &before);
        }
    }
    const int rc = rc_truth_repair(truth, &crash->repaired, err);
    crash->repaired.clients += before.clients;
    crash->repaired.sockets += before.sockets;
    return rc;
}

void rc_crash_close(struct rc_crash *crash)
{
    if (crash->memory != NULL) {
        rc_io_memory_unmap(crash->memory);
        crash->memory = NULL;
    }
}

/* --- what was under way ---------------------------------------------------------------------------------------------- */

struct crash_sends {
    struct rc_crash *crash;
    struct rc_hub *hub;
};

static void crash_send(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent)
{
    const struct crash_sends *sends = context;
    sends->crash->unsent++;
    rc_hub_put_back(sends->hub, packet, pieces, sent);
}

/* What the socket sent is input that waits. Done again, it is parked once. */
static void crash_park(struct rc_crash *crash, struct rc_clients *clients, const struct rc_io_unread *unread,
                       uint32_t before)
{
    struct rc_truth *truth = clients->truth;
    struct rc_socket *socket = &truth->sockets[unread->socket];
    const bool tls =
        rc_io_unread_is(truth, unread) && truth->tls[unread->socket] != 0; /* none of its records is nobody's */
    if (!rc_io_unread_is(truth, unread) || (socket->state == RC_SOCKET_LINGER && !tls) ||
        socket->state == RC_SOCKET_FREE || socket->state >= RC_SOCKET_TERMINATING ||
        socket->listener == RC_SOCKET_MADE_HERE) {
        return; /* nobody wants it */
    }
    crash->unread++;
    if (tls) {
        if (rc_io_tls_left_unread(truth, unread->socket, before, unread->bytes, unread->count) < 0) {
            rc_truth_give_up_socket(truth, unread->socket, &crash->repaired);
        } else {
            socket->received_bytes = crash->memory->read_received + unread->count;
        }
        return;
    }
    if ((socket->flags & RC_SOCKET_PREFACE) ||
        rc_socket_park(clients, unread->socket, unread->bytes, unread->count) < 0) {
        rc_truth_give_up_socket(truth, unread->socket, &crash->repaired);
    } else {
        socket->received_bytes = crash->memory->read_received + unread->count;
    }
}

/* So much of the message was done that comes next: it is parked, or waited in the input. */
static void crash_keep_done(const struct rc_crash *crash, struct rc_truth *truth)
{
    const struct rc_truth_receiving *receiving = &truth->layout->receiving;
    const uint32_t at = truth->sockets[crash->again - 1].input;
    struct rc_input *input = at == 0 ? NULL : rc_truth_input(truth, at);
    const bool waited = receiving->kind == RC_RECEIVING_MESSAGE;
    if (input != NULL && waited == (input->waiting_opcode != 0)) {
        input->waiting_done = waited || receiving->done_at == receiving->offset ? (uint32_t)receiving->done : 0;
    }
}

/* It stands at the beginning of what is parked: it is begun anew, with what was done of it. */
static void crash_keep_request(struct rc_crash *crash, struct rc_truth *truth, uint32_t index)
{
    const uint32_t at = truth->sockets[index].input;
    struct rc_input *input = at == 0 ? NULL : rc_truth_input(truth, at);
    if (input != NULL && input->parked_bytes > 0) {
        input->request = RC_REQUEST_ONCE;
        RC_STORE_ORDER();
        input->request_bytes = 0;
        input->request_done = truth->layout->receiving.done;
        RC_STORE_ORDER();
        input->request = RC_REQUEST_AGAIN;
    } else if (truth->layout->receiving.done != RC_RECEIVING_ANSWERED) {
        rc_truth_give_up_socket(truth, index, &crash->repaired);
    } else if (input != NULL) {
        input->request_bytes = 0; /* it was just being thrown away */
        RC_STORE_ORDER();
        input->request = RC_REQUEST_NONE;
    }
}

/* Before what it sent later. Done again, the former try is forgotten with the socket's input (crash_know). */
static void crash_park_rest(struct rc_crash *crash, struct rc_clients *clients)
{
    struct rc_truth_receiving *receiving = &clients->truth->layout->receiving;
    const uint32_t count = receiving->count - crash->again_from;
    if (crash->again != 0 && count > 0 &&
        rc_socket_park(clients, crash->again - 1, receiving->bytes + crash->again_from, count) < 0) {
        rc_truth_give_up_socket(clients->truth, crash->again - 1, &crash->repaired);
    } else if (crash->again != 0 && receiving->kind == RC_RECEIVING_REQUEST) {
        crash_keep_request(crash, clients->truth, crash->again - 1);
    } else if (crash->again != 0) {
        crash_keep_done(crash, clients->truth);
    }
    if (crash->again != 0) {
        RC_STORE_ORDER(); /* should this process be killed, the next one knows nothing of it, and has not to */
        crash->memory->read_current = 1;
    }
    rc_receiving_end(clients->truth);
}

/* As if its completion still stood in the queue: before those that do. */
static void crash_park_current(struct rc_crash *crash, struct rc_clients *clients)
{
    struct rc_io_unread unread;
    if (crash->untaken && rc_io_unread_current(crash->memory, &unread)) {
        crash->memory->read_received = clients->truth->sockets[unread.socket].received_bytes;
        crash_park(crash, clients, &unread, 0);
        RC_STORE_ORDER();
        crash->memory->read_current = 1;
    }
}

/* Behind that, what is not read of its records. */
static void crash_park_opening(struct rc_crash *crash, struct rc_truth *truth)
{
    struct rc_io_unread unread = {0};
    if (crash->opening == 0) {
        return;
    }
    (void)rc_io_unread_current(crash->memory, &unread);
    if (rc_io_tls_opening_keep(truth, crash->opening_behind, unread.bytes, unread.count) < 0) {
        rc_truth_give_up_socket(truth, crash->opening - 1, &crash->repaired);
    }
    crash->unread++;
    RC_STORE_ORDER();
    crash->memory->read_current = 1;
    rc_io_tls_opening_end(truth);
}

static void crash_park_all(struct rc_crash *crash, struct rc_clients *clients)
{
    struct rc_io_memory *memory = crash->memory;
    struct rc_truth *truth = clients->truth;
    struct rc_io_unread unread;
    uint32_t at = 0;
    while (rc_io_unread_next(memory, &at, &unread)) {
        if (at >= memory->read_next) {
            struct rc_input *input = unread.socket < truth->socket_count && truth->sockets[unread.socket].input != 0
                                         ? rc_truth_input(truth, truth->sockets[unread.socket].input)
                                         : NULL;
            if (memory->read_began == at + 1 && input != NULL && input->parked_bytes > memory->read_parked) {
                input->parked_bytes = memory->read_parked; /* a successor was killed just here */
            }
            const bool tls = unread.socket < truth->socket_count && truth->tls[unread.socket] != 0;
            if (memory->read_began != at + 1) {
                memory->read_received =
                    unread.socket < truth->socket_count ? truth->sockets[unread.socket].received_bytes : 0;
            }
            if (!tls || memory->read_began != at + 1) { /* of TLS it says what there was before the first try */
                memory->read_parked = tls             ? rc_io_tls_left_unread_bytes(truth, unread.socket)
                                      : input == NULL ? 0
                                                      : input->parked_bytes;
            }
            RC_STORE_ORDER();
            memory->read_began = at + 1;
            RC_STORE_ORDER();
            crash_park(crash, clients, &unread, memory->read_parked);
            RC_STORE_ORDER();
            memory->read_next = at + 1;
        }
        at++;
    }
}

void rc_crash_settle(struct rc_crash *crash, struct rc_clients *clients)
{
    struct crash_sends sends = {.crash = crash, .hub = clients->hub};
    for (uint32_t i = 0; i < clients->truth->socket_count; i++) {
        clients->truth->sockets[i].inflight = 0; /* it was the dead one's */
    }
    rc_io_unread_counts(crash->memory, clients->truth);
    rc_io_unread_sends(crash->memory, crash_send, &sends);
    rc_io_unread_tls(crash->memory, clients->truth);
    rc_hub_resume(clients->hub);
    crash_park_current(crash, clients);
    crash_park_opening(crash, clients->truth);
    crash_park_rest(crash, clients);
    crash_park_all(crash, clients);
    RC_STORE_ORDER();
    clients->truth->layout->down.begun = 0; /* replies from here on are of nothing that was cut */
    clients->truth->layout->hub.unit++;
}

/* --- who would have been next ---------------------------------------------------------------------------------------- */

static bool crash_has_parked(const struct rc_truth *truth, const struct rc_socket *socket)
{
    return socket->input != 0 && rc_truth_input(truth, socket->input)->parked_bytes > 0;
}

static void crash_wake_socket(struct rc_clients *clients, uint32_t index)
{
    struct rc_truth *truth = clients->truth;
    struct rc_socket *socket = &truth->sockets[index];
    if (socket->mode == RC_IO_ASKED) {
        return; /* when it is known whose it is (worker/move/give.c) */
    }
    if (socket->output != 0 || (socket->flags & RC_SOCKET_BLOCKED) ||
        (socket->client != 0 && rc_truth_client(truth, socket->client)->output != 0)) {
        rc_hub_writable(clients->hub, index); /* what has left already is noticed by that */
    }
    if (socket->state < RC_SOCKET_TERMINATING && (socket->flags & RC_SOCKET_WAITS_REPLIES)) {
        rc_socket_replies_drained(clients, index);
    }
    if ((socket->state == RC_SOCKET_CARRYING || socket->state == RC_SOCKET_HTTP) && !rc_socket_waits(clients, socket) &&
        (crash_has_parked(truth, socket) || (socket->flags & RC_SOCKET_PAUSED))) {
        rc_waiters_add(&clients->uplink->waiters, index);
    } else if (socket->state == RC_SOCKET_PIPED && crash_has_parked(truth, socket)) {
        rc_socket_resume(clients, index); /* before anything that comes now */
    }
}

/* What it waited for has come, and it was just to be told so. */
static void crash_wake_client(struct rc_clients *clients, const struct rc_engines *engines, uint32_t index)
{
    struct rc_client *client = rc_truth_client(clients->truth, index);
    const bool returns = rc_encoding_is_engine(client->encoding) && rc_truth_engine(clients->truth, index)->returning;
    if ((client->flags & RC_CLIENT_WAITS_JOIN) && client->pending_count == 0 && !returns) {
        client->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN;
        rc_hub_touch(clients->hub, index);
        rc_client_joined(clients, index);
    }
    if ((client->flags & RC_CLIENT_WAITS_SUBSCRIBE) && client->pending_count == 0) {
        rc_client_subscribed(clients, index);
    }
    /* Questions died with who asked: the operation stands whole in the input, and is begun anew; but for events that a backend was asked. */
    if ((client->flags & RC_CLIENT_WAITS_ANSWER) && !rc_asked_stops(engines, index)) {
        rc_client_answered(clients, index);
    }
}

/* Who was marked ends before anybody is served. */
static void crash_end(struct rc_clients *clients)
{
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        struct rc_client *client = rc_truth_client(clients->truth, i);
        if (client->random != 0 && (client->flags & RC_CLIENT_BROKEN)) {
            client->flags &= (uint16_t)~RC_CLIENT_BROKEN;
            rc_named_log_client("client_not_adopted", clients->truth, i,
                                "its worker died while it did something for it", "");
            rc_client_end(clients, i);
        }
    }
}

/* Records that had come and were not looked at. */
static void crash_read_left(struct rc_clients *clients)
{
    struct rc_truth *truth = clients->truth;
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        const struct rc_socket *socket = &truth->sockets[i];
        if (rc_io_tls_left_unread_bytes(truth, i) == 0 || socket->state >= RC_SOCKET_TERMINATING) {
            continue;
        }
        if (socket->state != RC_SOCKET_HTTP && crash_has_parked(truth, socket) && !rc_socket_waits(clients, socket)) {
            rc_socket_resume(clients, i); /* what it had sent before */
        }
        if (socket->state < RC_SOCKET_TERMINATING) {
            truth->layout->working_socket = i + 1;
            RC_STORE_ORDER();
            rc_io_tls_read_left(clients->io, i);
            RC_STORE_ORDER();
            truth->layout->working_socket = 0;
        }
    }
}

void rc_crash_wake(struct rc_clients *clients, const struct rc_engines *engines)
{
    const struct rc_truth *truth = clients->truth;
    crash_end(clients);
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        if (rc_truth_client(truth, i)->random != 0) {
            crash_wake_client(clients, engines, i);
        }
    }
    crash_read_left(clients);
    for (uint32_t i = 0; i < truth->socket_count; i++) {
        const struct rc_socket *socket = &truth->sockets[i];
        if (socket->state != RC_SOCKET_FREE && socket->state < RC_SOCKET_TERMINATING &&
            socket->listener != RC_SOCKET_MADE_HERE) {
            crash_wake_socket(clients, i);
        }
    }
}
