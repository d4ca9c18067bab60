/* socketio: namespaces, events and acknowledgements of Socket.IO sessions (socket.io-protocol v5). See socketio.h. */
#include "worker/engine/socketio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/placeholders.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked.h"
#include "worker/engine/auth.h"
#include "worker/engine/moving.h"
#include "worker/engine/namespaces.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/returning.h"
#include "worker/engine/rules.h"
#include "worker/engine/unjoined.h"
#include "worker/proto/socketio.h"
#include "worker/store/receiving.h"

/* An event whose attachments are still to come, as it stands in engine->packet: this, its text, then bytes and size of each. */
struct incomplete {
    uint32_t text_bytes;
    uint32_t bytes;  /* used of the block, this head included */
    uint16_t wanted; /* attachments */
    uint16_t got;
    uint32_t pad;
};

/* --- namespaces ------------------------------------------------------------------------------------------------------ */

/* Name of the channel in which everybody in a namespace is; valid until the next call. */
static struct rc_span everybody_in(struct rc_span nsp)
{
    static char name[RC_CHANNEL_NAME_MAX];
    const size_t bytes = rc_channel_of_room(name, sizeof(name), nsp, (struct rc_span){0});
    RC_ASSERT(bytes > 0); /* RC_NSP_MAX leaves room */
    return rc_span_of(name, bytes);
}

static void socketio_reply(struct rc_engines *engines, uint32_t client, const struct rc_event *event)
{
    if (rc_hub_reply_event(engines->clients->hub, client, event) < 0) {
        rc_client_failed_memory(engines->clients, client);
    }
}

static void refuse_connect(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span message)
{
    socketio_reply(
        engines, client,
        &(struct rc_event){.type = RC_EVENT_CONNECT_ERROR, .channel = everybody_in(nsp), .message = message});
}

/* What a socket hears from the start: everybody in its namespace; in "/" also "*" and its user. */
static void join_namespace(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_clients *clients = engines->clients;
    rc_client_join(clients, client, everybody_in(nsp));
    if (rc_namespace_is_root(nsp)) {
        rc_client_join(clients, client, RC_SPAN("*"));
        rc_engine_join_user(engines, client);
    }
}

/* Who is it? False: it was told that it is refused, or (RC_CLIENT_WAITS_ANSWER is set) somebody is asked. *reply: what the backend wants
 * done once it is connected, until the next judgement. */
static bool connect_as(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                       struct rc_span *reply, uint32_t *backend)
{
    struct rc_clients *clients = engines->clients;
    struct rc_judgement judgement;
    *reply = rc_span_of(NULL, 0);
    if (!rc_identities_any(clients->config)) {
        return true;
    }
    const struct rc_client_claim claim = {
        .moment = RC_IDENTITY_CONNECT, .connects = true, .nsp = operation->nsp, .auth = operation->data};
    rc_client_judge(clients, client, &claim, &judgement);
    *reply = judgement.reply;
    *backend = judgement.backend;
    switch (judgement.verdict) {
    case RC_IDENTITY_IS_WAITS:
        return false;
    case RC_IDENTITY_IS_NOBODY:
    case RC_IDENTITY_IS_MISSING:
        return true;
    case RC_IDENTITY_IS_REFUSED:
        socketio_reply(engines, client,
                       &(struct rc_event){.type = RC_EVENT_CONNECT_ERROR,
                                          .channel = everybody_in(operation->nsp),
                                          .message = judgement.refused,
                                          .data = judgement.data});
        return false;
    case RC_IDENTITY_IS_KNOWN:
        break;
    }
    const int rc = rc_client_become(clients, client, &judgement);
    if (rc == 0) {
        rc_engine_join_user(engines, client); /* it may be in "/" as nobody, or a killed worker had come only so far */
    }
    if (rc == -EEXIST) {
        refuse_connect(engines, client, operation->nsp, RC_SPAN("another user on this connection"));
    } else if (rc == -EDQUOT) {
        refuse_connect(engines, client, operation->nsp, RC_SPAN("you have too many connections: close one"));
    } else if (rc < 0) {
        rc_client_failed_memory(clients, client);
    }
    return rc == 0;
}

/* What is no packet of Socket.IO: a Node server closes the connection itself then, and says so to its handlers. */
static void socketio_broken(struct rc_engines *engines, uint32_t client, const char *why)
{
    rc_engine_note_end(engines, client, RC_ENGINE_WHY_SERVER);
    rc_engine_broken(engines, client, why);
}

static bool channel_is_of(const struct rc_engines *engines, uint32_t channel, struct rc_span nsp)
{
    const struct rc_hub *hub = engines->clients->hub;
    struct rc_span its;
    struct rc_span room;
    (void)rc_channel_split(rc_hub_name(hub, rc_truth_channel(hub->truth, channel)), &its, &room);
    return rc_span_equal(its, nsp);
}

/* What of its rooms still waits for the relay would come after it has left. */
static void cancel_waiting(struct rc_engines *engines, uint32_t index, struct rc_span nsp)
{
    struct rc_clients *clients = engines->clients;
    struct rc_client *client = rc_truth_client(clients->truth, index);
    uint8_t id[RC_REQUEST_ID_MAX];
    uint8_t id_bytes;
    uint32_t next;
    for (uint32_t i = clients->hub->waiting[index]; i != 0; i = next) {
        const struct rc_pending *pending = rc_truth_pending(clients->truth, i);
        next = pending->next_of_client;
        if (channel_is_of(engines, pending->channel, nsp) &&
            rc_hub_wait_cancel(clients->hub, index, pending->channel, id, &id_bytes)) {
            next = clients->hub->waiting[index]; /* it takes the oldest of the channel's */
        }
    }
    if (client->pending_count == 0 && (client->flags & RC_CLIENT_WAITS_JOIN) &&
        !rc_engine_of(engines, index)->returning) {
        client->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN;
        rc_hub_touch(clients->hub, index);
        rc_client_joined(clients, index);
    }
}

/* Rows of "disconnect" run, and backends are told. */
static void tell_gone(struct rc_engines *engines, uint32_t client, struct rc_span nsp, const char *reason)
{
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(engines, client, nsp, sid);
    rc_rules_disconnect(engines, client, nsp, reason);
    rc_client_tell_gone(engines->clients, client, nsp, rc_span_of(sid, sizeof(sid)), reason);
}

static void unsubscribe_rooms(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const struct rc_truth *truth = engines->clients->truth;
    uint32_t next;
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0; i = next) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, i);
        next = subscription->next;
        if (channel_is_of(engines, rc_truth_group(truth, subscription->group)->channel, nsp)) {
            rc_hub_unsubscribe(engines->clients->hub, client, i);
        }
    }
}

static void quit_namespace(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_truth *truth = clients->truth;
    unsubscribe_rooms(engines, client, nsp);
    if (rc_namespace_is_root(nsp)) {
        rc_hub_everybody_leave(clients->hub, client);
    }
    rc_engine_auth_forget(engines, client, nsp);
    rc_acks_forget(engines, client, rc_truth_sid_token(truth, client, nsp));
    rc_engine_token_ends(engines, client, nsp);
    rc_recoverable_end(engines, client, nsp);
    rc_namespaces_remove(engines, client, nsp);
    cancel_waiting(engines, client, nsp); /* last: its client may go on by it */
}

/* The socket of a namespace is no more; the session stays. */
static void leave_namespace(struct rc_engines *engines, uint32_t client, struct rc_span nsp, const char *reason)
{
    tell_gone(engines, client, nsp, reason);
    quit_namespace(engines, client, nsp);
}

/* --- connecting ------------------------------------------------------------------------------------------------------ */

/* It is in a namespace: it need not hurry any more. */
static void is_joined(struct rc_engines *engines, uint32_t client)
{
    rc_engine_of(engines, client)->deadline_ds = 0;
    rc_unjoined_remove(engines, client);
    rc_engine_schedule(engines, client);
}

static void tell_connected(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(engines, client, nsp, sid);
    socketio_reply(engines, client,
                   &(struct rc_event){.type = RC_EVENT_CONNECTED,
                                      .channel = everybody_in(nsp),
                                      .data = rc_span_of(sid, sizeof(sid)),
                                      .standing = rc_recoverable_pid(engines, client, nsp)});
}

static void auth_refuse(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    refuse_connect(engines, client, nsp, RC_SPAN("the auth payload is too large"));
}

/* May it, and as whom? False: it was told why not, or *result says that it waits. `begun`: by a killed worker, which had let it in. */
static bool connect_may(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation, bool begun,
                        struct rc_span *reply, uint32_t *backend, enum rc_engine_result *result)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    const struct rc_span nsp = operation->nsp;
    *result = RC_ENGINE_DONE;
    if (!rc_config_nsp_allowed(&clients->config->socketio, nsp)) {
        refuse_connect(engines, client, nsp, RC_SPAN("Invalid namespace"));
        return false;
    }
    if (!begun && rc_engine_has_joined(engines, client, nsp)) {
        socketio_broken(engines, client, "a second CONNECT for a namespace");
        return false;
    }
    if (!begun && (uint32_t)its->subscription_count + its->pending_count >= clients->config->limits.max_channels) {
        refuse_connect(engines, client, nsp, RC_SPAN("too many namespaces and rooms"));
        return false; /* each is a channel that it hears */
    }
    if (!begun && !rc_engine_auth_fits(engines, client, nsp, operation->data)) {
        auth_refuse(engines, client, nsp);
        return false;
    }
    if (!connect_as(engines, client, operation, reply, backend)) {
        *result = rc_engine_lives(engines, client, its->random) && (its->flags & RC_CLIENT_WAITS_ANSWER)
                      ? RC_ENGINE_LATER
                      : RC_ENGINE_DONE;
        return false;
    }
    if (!begun && rc_returning_begin(engines, client, nsp, operation->data, *reply, *backend)) {
        *result = RC_ENGINE_LATER;
        return false;
    }
    return true;
}

/* What it came back for cannot be had: it is somebody new. */
static void forget_returning(struct rc_engines *engines, uint32_t client, struct rc_span nsp, bool takes, bool joined)
{
    if (takes) {
        rc_recoverable_end(engines, client, nsp);
    }
    if (joined) {
        unsubscribe_rooms(engines, client, nsp);
    }
}

/* The socket is a new one. False: its client ended. What a killed worker has done of this is found. */
static bool connect_new(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const struct rc_truth *truth = engines->clients->truth;
    const uint64_t random = rc_truth_client(truth, client)->random;
    rc_receiving_operation(engines->clients->truth, !rc_truth_client(truth, client)->guest); /* whose token is told */
    if ((!rc_engine_has_joined(engines, client, nsp) && rc_namespaces_add(engines, client, nsp) < 0) ||
        rc_engine_token_begins(engines, client, nsp) < 0) {
        rc_client_failed_memory(engines->clients, client);
        return false;
    }
    is_joined(engines, client);
    if (rc_truth_recoverable_of(truth, client, nsp) == 0) {
        rc_recoverable_begin(engines, client, nsp, NULL);
    }
    join_namespace(engines, client, nsp);
    tell_connected(engines, client, nsp);
    return rc_engine_lives(engines, client, random);
}

void rc_socketio_came_back(struct rc_engines *engines, uint32_t client, struct rc_returning *returning)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_truth *truth = clients->truth;
    const struct rc_span nsp = rc_span_of(returning->nsp, returning->nsp_bytes);
    const uint64_t random = returning->random;
    struct rc_sio_session_head head;
    struct rc_sio_session_parts parts;
    rc_returning_session(returning, &head, &parts);
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        if (channel_is_of(engines, rc_truth_group(truth, rc_truth_subscription(truth, i)->group)->channel, nsp)) {
            rc_hub_skip(clients->hub, i);
        }
    }
    if (rc_namespaces_add(engines, client, nsp) < 0 ||
        (parts.set.count > 0 && rc_client_set_merge(clients, client, parts.set) == -ENOMEM)) {
        rc_client_failed_memory(clients, client);
        return;
    }
    is_joined(engines, client);
    rc_recoverable_came(engines, client, nsp);
    if (rc_engine_token_begins(engines, client, nsp) < 0) {
        rc_client_failed_memory(clients, client);
        return;
    }
    join_namespace(engines, client, nsp);
    if (rc_engine_lives(engines, client, random)) {
        rc_returning_write(returning);
    }
    if (rc_engine_lives(engines, client, random)) {
        tell_connected(engines, client, nsp);
    }
}

/* Its auth cannot be kept: for want of memory (it ends), or because the rows that want it came while it waited (it may not be here any more). */
static void connect_not_kept(struct rc_engines *engines, uint32_t client, struct rc_span nsp, int error, bool recovered)
{
    rc_returning_end(engines, client);
    if (error != -EMSGSIZE) {
        rc_client_failed_memory(engines->clients, client);
    } else if (recovered) {
        rc_socketio_dismiss(engines, client, nsp); /* it was told that it is */
    } else {
        auth_refuse(engines, client, nsp);
    }
}

/* A killed worker had let it in, and now it may not be. */
static void connect_take_back(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    if (rc_engine_has_joined(engines, client, nsp)) {
        quit_namespace(engines, client, nsp);
    } else {
        rc_engine_auth_forget(engines, client, nsp);
    }
}

/* It is connected, or waits for it, or was told why not. True: it is, and its rows of "connect" are next. */
static bool connect_run(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                        uint32_t *done, bool *recovered, enum rc_engine_result *result)
{
    const bool begun = *done == RC_RULES_BEGUN;
    struct rc_returning *returning = rc_returning_of(engines, client);
    const uint64_t random = rc_truth_client(engines->clients->truth, client)->random;
    const struct rc_span nsp = operation->nsp;
    struct rc_span reply = {0};
    uint32_t backend = 0;
    *result = RC_ENGINE_LATER;
    if (returning == NULL && !connect_may(engines, client, operation, begun, &reply, &backend, result)) {
        if (begun && *result == RC_ENGINE_DONE && rc_engine_lives(engines, client, random)) {
            connect_take_back(engines, client, nsp);
        }
        return false;
    }
    if (returning != NULL && returning->state < RC_RETURNING_CAME) {
        rc_truth_client(engines->clients->truth, client)->flags |= RC_CLIENT_WAITS_ANSWER;
        return false;
    }
    if (returning != NULL && (rc_truth_client(engines->clients->truth, client)->flags & RC_CLIENT_WAITS_JOIN)) {
        return false; /* its rooms are still being registered */
    }
    *result = RC_ENGINE_DONE;
    *recovered = returning != NULL && returning->state == RC_RETURNING_CAME;
    if (returning != NULL && !*recovered) {
        forget_returning(engines, client, nsp, returning->takes, returning->session != NULL);
    }
    if (returning != NULL) {
        reply = rc_span_of(returning->reply, returning->reply_bytes);
        backend = rc_backend_marked(engines->clients->config, returning->backend);
    }
    /* Neither what a socket that comes back was given, nor what a backend wants done, is there for a successor. */
    rc_receiving_operation(engines->clients->truth, !*recovered && reply.count == 0);
    *done = RC_RULES_BEGUN;
    rc_client_stepped(engines->clients, *done);
    rc_client_repeats(engines->clients, 0);
    const int kept = rc_engine_auth_keep(engines, client, nsp, operation->data);
    if (kept < 0) {
        connect_not_kept(engines, client, nsp, kept, *recovered);
        return false;
    }
    if (!*recovered && !connect_new(engines, client, nsp)) {
        return false;
    }
    *done = rc_rules_done(engines, 1);
    rc_client_stepped(engines->clients, *done);
    rc_asked_joined(engines, client, nsp);
    if (reply.count > 0) {
        rc_asked_connected(engines, client, backend, nsp, reply);
    }
    if (!rc_engine_lives(engines, client, random)) {
        return false;
    }
    rc_returning_end(engines, client);
    rc_client_await_join(engines->clients, client);
    return true;
}

/* A namespace's CONNECT. `*done`: RC_RULES_BEGUN when it is let in; 1 when it is connected and its rows of "connect" run. */
static enum rc_engine_result run_connect(struct rc_engines *engines, uint32_t client,
                                         const struct rc_operation *operation, uint32_t *done)
{
    if (*done == 0 || *done == RC_RULES_BEGUN) {
        enum rc_engine_result result;
        bool recovered = false;
        if (!connect_run(engines, client, operation, done, &recovered, &result)) {
            return result;
        }
        if (recovered && !rc_engine_settings(engines)->recovery_rules) {
            return RC_ENGINE_DONE;
        }
    } else { /* a killed worker may not have come so far */
        rc_asked_joined(engines, client, operation->nsp);
        rc_client_await_join(engines->clients, client);
    }
    return rc_rules_connect(engines, client, operation->nsp, operation->data, done);
}

static void tell_disconnected(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    if (rc_truth_client(engines->clients->truth, client)->state == RC_CLIENT_OPEN) {
        socketio_reply(engines, client,
                       &(struct rc_event){.type = RC_EVENT_DISCONNECTED, .channel = everybody_in(nsp)});
    }
}

void rc_socketio_dismiss(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const uint64_t random = rc_truth_client(engines->clients->truth, client)->random;
    tell_disconnected(engines, client, nsp);
    if (rc_engine_lives(engines, client, random)) { /* else it ended for want of memory, and told its rows */
        leave_namespace(engines, client, nsp, "server namespace disconnect");
    }
}

void rc_socketio_farewell(struct rc_engines *engines, uint32_t client)
{
    rc_namespaces_each(engines, client, tell_disconnected);
}

static void run_disconnect(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    /* As a Node server tells its handlers. */
    static const char *const reasons[] = {
        [RC_ENGINE_WHY_CLOSED] = "transport close",
        [RC_ENGINE_WHY_SILENT] = "ping timeout",
        [RC_ENGINE_WHY_BROKEN] = "parse error",
        [RC_ENGINE_WHY_OVERLAP] = "transport error",
        [RC_ENGINE_WHY_SENT_OFF] = "server namespace disconnect",
        [RC_ENGINE_WHY_SERVER] = "forced close",
    };
    const uint8_t why = rc_engine_of(engines, client)->why;
    if (why != RC_ENGINE_WHY_BROKEN && why != RC_ENGINE_WHY_SENT_OFF) {
        rc_recoverable_lost(engines, client, nsp, (struct rc_span){0});
    }
    tell_gone(engines, client, nsp,
              why == RC_ENGINE_WHY_SERVER && engines->clients->draining ? "server shutting down" : reasons[why]);
    rc_engine_token_ends(engines, client, nsp);
    rc_recoverable_end(engines, client, nsp);
}

/* It was coming back. What the relay has given for it is lost again. */
static void leave_returning(struct rc_engines *engines, uint32_t client)
{
    const struct rc_returning *returning = rc_returning_of(engines, client);
    if (returning == NULL) {
        return;
    }
    const struct rc_span nsp = rc_span_of(returning->nsp, returning->nsp_bytes);
    if (returning->takes && !rc_engine_has_joined(engines, client, nsp)) {
        rc_recoverable_lost(engines, client, nsp, rc_span_of(returning->session, returning->session_bytes));
        rc_recoverable_end(engines, client, nsp);
    }
    rc_returning_end(engines, client);
}

void rc_socketio_gone(struct rc_engines *engines, uint32_t client)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    leave_returning(engines, client);
    rc_rules_forget(engines, client);
    rc_namespaces_each(engines, client, run_disconnect);
    engine->flags &= (uint16_t)~RC_ENGINE_ROOT;
    engine->namespaces_bytes = 0;
}

void rc_socketio_ended(struct rc_engines *engines, uint32_t client)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    rc_acks_forget(engines, client, RC_ACKS_ALL);
    rc_socket_input_free(engines->clients, &engine->namespaces);
    rc_socket_input_free(engines->clients, &engine->packet);
    rc_socket_input_free(engines->clients, &engine->auth);
}

/* --- events ---------------------------------------------------------------------------------------------------------- */

/* The text parser's arguments, which begin behind their '[', and the attachments beside them as rc_args keeps them, and what these are;
 * count 0: no memory. */
static struct rc_span whole_args(struct rc_engines *engines, struct rc_span data, const struct incomplete *with,
                                 struct rc_args_view *its)
{
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    const uint32_t count = with == NULL ? 0 : with->wanted;
    const uint8_t *at = with == NULL ? NULL : (const uint8_t *)(with + 1) + with->text_bytes;
    size_t room = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size;
        memcpy(&size, at, sizeof(size));
        attachments[i] = rc_span_of(at + sizeof(size), size);
        at += sizeof(size) + size;
        room += size;
    }
    uint8_t *buffer = rc_client_room(engines->clients, RC_ARGS_BEFORE_MAX + 1 + data.count + room);
    if (buffer == NULL) {
        return (struct rc_span){0};
    }
    uint8_t *json = buffer + RC_ARGS_BEFORE_MAX;
    json[0] = '[';
    memcpy(json + 1, data.bytes, data.count);
    const struct rc_span args = rc_args_wrap(json, 1 + data.count, room, attachments, count);
    *its = (struct rc_args_view){.json = rc_span_of(json, 1 + data.count)};
    if (count > 0) {
        const int rc = rc_args_read(args, its);
        RC_ASSERT(rc == 0); /* we wrote it */
    }
    return args;
}

/* Is it within socketio.event_rate? Else it was told, or (RC_CLIENT_WAITS_ANSWER is set) waits for the answer. */
static enum rc_limit_answer event_within_rate(struct rc_engines *engines, uint32_t client,
                                              const struct rc_operation *operation)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_config_rate *rate = &clients->config->socketio.event_rate;
    char text[RC_LIMIT_TEXT_MAX];
    uint32_t retry_ms;
    if (rate->count == 0 || clients->limits == NULL) {
        return RC_LIMIT_ALLOWED;
    }
    const struct rc_limit_question question = {.kind = RC_LIMIT_EVENTS,
                                               .user = rc_client_user(clients, client),
                                               .client = rc_client_ref(clients, client),
                                               .limit = {.count = rate->count, .window_ms = rate->window_ms},
                                               .cost = 1};
    const enum rc_limit_answer answer = rc_limits_ask(clients->limits, &question, &retry_ms);
    if (answer == RC_LIMIT_WAITS) {
        rc_truth_client(clients->truth, client)->flags |= RC_CLIENT_WAITS_ANSWER;
    } else if (answer == RC_LIMIT_EXCEEDED) {
        const struct rc_span why = rc_limit_text(text, "events", retry_ms);
        rc_rules_refuse(engines, client, operation, RC_CODE_LIMITED, (const char *)why.bytes);
    }
    return answer;
}

/* An event, whole: its operation, and its attachments as rc_args keeps them. */
static enum rc_engine_result run_event(struct rc_engines *engines, uint32_t client, struct rc_operation *operation,
                                       const struct incomplete *with, uint32_t *done)
{
    if (!rc_engine_has_joined(engines, client, operation->nsp)) {
        socketio_broken(engines, client, "a packet for a namespace that it has not joined");
        return RC_ENGINE_DONE;
    }
    struct rc_args_view its;
    struct rc_span args = operation->data;
    if (operation->data_kind == RC_DATA_ARGS) {
        const int rc = rc_args_read(args, &its);
        RC_ASSERT(rc == 0); /* the codec wrote it */
    } else {
        args = whole_args(engines, operation->data, with, &its);
    }
    if (args.count == 0) {
        rc_client_failed_memory(engines->clients, client);
        return RC_ENGINE_DONE;
    }
    if (its.attachment_count > engines->clients->config->socketio.max_attachments) {
        socketio_broken(engines, client, "more attachments than socketio.max_attachments");
        return RC_ENGINE_DONE;
    }
    if (its.attachment_count > 0 && rc_placeholders_check(its.json, its.attachment_count) < 0) {
        socketio_broken(engines, client, "a placeholder without its attachment");
        return RC_ENGINE_DONE;
    }
    if (operation->type == RC_OPERATION_ACK) {
        return rc_acks_answered(engines, client, operation, args);
    }
    if (*done == 0) { /* a row that waits has it not 0 */
        const enum rc_limit_answer answer = event_within_rate(engines, client, operation);
        if (answer != RC_LIMIT_ALLOWED) {
            return answer == RC_LIMIT_WAITS ? RC_ENGINE_LATER : RC_ENGINE_DONE;
        }
    }
    return rc_rules_event(engines, client, operation, args, &its, done);
}

/* --- packets --------------------------------------------------------------------------------------------------------- */

/* Keeps an event until its attachments have come. */
static void keep_incomplete(struct rc_engines *engines, uint32_t client, const uint8_t *text, size_t count,
                            uint32_t attachments)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    struct incomplete head = {
        .text_bytes = (uint32_t)count, .bytes = (uint32_t)(sizeof(head) + count), .wanted = (uint16_t)attachments};
    uint32_t capacity = 0;
    if (rc_socket_input_grow(engines->clients, &engine->packet, &capacity, head.bytes, 0) < 0) {
        rc_client_failed_memory(engines->clients, client);
        return;
    }
    uint8_t *block = rc_heap_at(&engines->clients->truth->heap, engine->packet);
    memcpy(block, &head, sizeof(head));
    memcpy(block + sizeof(head), text, count);
}

/* The next attachment. True: all have come. */
static bool add_attachment(struct rc_engines *engines, uint32_t client, const uint8_t *bytes, size_t count)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    struct rc_heap *heap = &clients->truth->heap;
    struct incomplete *head = rc_heap_at(heap, engine->packet);
    const uint32_t size = (uint32_t)count;
    const uint64_t need = (uint64_t)head->bytes + sizeof(size) + count;
    uint32_t capacity = (uint32_t)rc_heap_block_bytes(heap, engine->packet);
    if (need > clients->config->limits.max_message_size_bytes + sizeof(*head)) {
        socketio_broken(engines, client, "an event with its attachments is larger than limits.max_message_size");
        return false;
    }
    if (need > capacity && rc_socket_input_grow(clients, &engine->packet, &capacity, need, head->bytes) < 0) {
        rc_client_failed_memory(clients, client);
        return false;
    }
    head = rc_heap_at(heap, engine->packet);
    uint8_t *to = (uint8_t *)head + head->bytes;
    memcpy(to, &size, sizeof(size));
    memcpy(to + sizeof(size), bytes, count);
    head->bytes = (uint32_t)need;
    head->got++;
    return head->got == head->wanted;
}

static enum rc_engine_result packet_run(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                        uint8_t *bytes, size_t count, const struct incomplete *with, uint32_t *done);

/* All attachments of the kept event are there. */
static enum rc_engine_result run_complete(struct rc_engines *engines, uint32_t client, uint32_t *done)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    struct incomplete *head = rc_heap_at(&clients->truth->heap, engine->packet);
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    const enum rc_engine_result result =
        packet_run(engines, client, RC_PART_TEXT, (uint8_t *)(head + 1), head->text_bytes, head, done);
    if (result == RC_ENGINE_DONE && rc_truth_named(clients->truth, client, random) != NULL) {
        rc_socket_input_free(clients, &engine->packet);
    }
    return result;
}

static enum rc_engine_result packet_run(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                        uint8_t *bytes, size_t count, const struct incomplete *with, uint32_t *done)
{
    struct rc_clients *clients = engines->clients;
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    const struct rc_codec *codec = rc_encoding_codec_of(rc_truth_client(clients->truth, client)->encoding);
    rc_reader_begin(&reader, codec, kind, rc_span_of(bytes, count), &clients->scratch, NULL);
    if (rc_client_lend_room(clients, &reader, count) < 0) {
        rc_client_failed_memory(clients, client);
        return RC_ENGINE_DONE;
    }
    if (rc_reader_next(&reader, &operation, &error) != 1) {
        socketio_broken(engines, client, error.message);
        return RC_ENGINE_DONE;
    }
    rc_receiving_operation(clients->truth, operation.type != RC_OPERATION_LEAVE && operation.attachment_count == 0);
    if (with == NULL && operation.attachment_count > 0) {
        if (operation.attachment_count > clients->config->socketio.max_attachments) {
            socketio_broken(engines, client, "more attachments than socketio.max_attachments");
        } else {
            keep_incomplete(engines, client, bytes, count, operation.attachment_count);
        }
        return RC_ENGINE_DONE;
    }
    switch (operation.type) {
    case RC_OPERATION_CONNECT:
        return run_connect(engines, client, &operation, done);
    case RC_OPERATION_LEAVE:
        if (rc_engine_has_joined(engines, client, operation.nsp)) {
            leave_namespace(engines, client, operation.nsp, "client namespace disconnect");
        } else {
            socketio_broken(engines, client, "it leaves a namespace that it has not joined");
        }
        return RC_ENGINE_DONE;
    case RC_OPERATION_EVENT:
    case RC_OPERATION_ACK:
        return run_event(engines, client, &operation, with, done);
    default:
        socketio_broken(engines, client, "no packet of a client");
        return RC_ENGINE_DONE;
    }
}

/* The parser of a session is the one of its first packet: JSON in text, or msgpack. */
static bool may_be_msgpack(const struct rc_engines *engines, uint32_t client)
{
    const struct rc_engine *engine = rc_engine_of(engines, client);
    return (engine->flags & RC_ENGINE_ROOT) == 0 && engine->namespaces_bytes == 0 && engine->packet == 0;
}

enum rc_engine_result rc_socketio_message(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                          uint8_t *bytes, size_t count, uint32_t *done)
{
    struct rc_client *its = rc_truth_client(engines->clients->truth, client);
    const struct rc_engine *engine = rc_engine_of(engines, client);
    rc_receiving_operation(engines->clients->truth, engine->packet == 0);
    if (engine->packet != 0) {
        const struct incomplete *head = rc_heap_at(&engines->clients->truth->heap, engine->packet);
        if (head->got < head->wanted) {
            if (kind != RC_PART_BINARY) {
                socketio_broken(engines, client, "text in the place of an attachment");
                return RC_ENGINE_DONE;
            }
            if (!add_attachment(engines, client, bytes, count)) {
                return RC_ENGINE_DONE;
            }
        }
        return run_complete(engines, client, done);
    }
    const bool msgpack = rc_encoding_codec(its->encoding) == RC_CODEC_SOCKETIO_MSGPACK;
    if (kind == RC_PART_BINARY && !msgpack && may_be_msgpack(engines, client)) {
        its->encoding = rc_encoding_of(RC_CODEC_SOCKETIO_MSGPACK, rc_encoding_framing(its->encoding),
                                       rc_encoding_window_bits(its->encoding));
    } else if ((kind == RC_PART_BINARY) != msgpack) {
        socketio_broken(engines, client, msgpack ? "text of a client that speaks msgpack" : "a stray binary message");
        return RC_ENGINE_DONE;
    }
    return packet_run(engines, client, kind, bytes, count, NULL, done);
}
