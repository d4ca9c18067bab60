/* does: see does.h. */
#include "worker/engine/does.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/select.h"
#include "common/text/json_path.h"
#include "worker/engine/asking.h"
#include "worker/engine/post.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/together.h"
#include "worker/gate/permission.h"

static struct rc_span does_channel(char out[RC_CHANNEL_NAME_MAX], struct rc_span nsp, struct rc_span room)
{
    return rc_span_of(out, rc_channel_of_room(out, RC_CHANNEL_NAME_MAX, nsp, room));
}

static void does_reply(const struct rc_does *does, const struct rc_event *event)
{
    if (rc_truth_client(does->engines->clients->truth, does->client)->state == RC_CLIENT_OPEN &&
        rc_hub_reply_event(does->engines->clients->hub, does->client, event) < 0) {
        rc_client_failed_memory(does->engines->clients, does->client);
    }
}

static bool does_speaks_socketio(const struct rc_does *does)
{
    return rc_codec_says(rc_truth_client(does->engines->clients->truth, does->client)->encoding, RC_EVENT_ACK);
}

/* Something could not be done: who asked for it hears of it, else the client. */
static void does_failed(const struct rc_does *does, uint32_t code, struct rc_span message)
{
    if (does->failed != NULL) {
        *does->failed = true;
    } else {
        rc_does_error(does, code, message);
    }
}

void rc_does_error(const struct rc_does *does, uint32_t code, struct rc_span message)
{
    char text[RC_JSON_STRING_BYTES_MAX(RC_REPLY_MESSAGE_MAX) + 64];
    uint8_t escaped[RC_JSON_STRING_BYTES_MAX(RC_REPLY_MESSAGE_MAX)];
    char everybody[RC_CHANNEL_NAME_MAX];
    const size_t bytes = rc_json_string_encode(escaped, sizeof(escaped), message);
    const bool ack = does->id.count > 0;
    if (!does_speaks_socketio(does)) {
        does_reply(does, &(struct rc_event){.type = RC_EVENT_ERROR, .code = (enum rc_code)code, .message = message});
        return;
    }
    const int count = snprintf(text, sizeof(text),
                               ack ? "{\"error\":{\"code\":%u,\"message\":%.*s}}" : "{\"code\":%u,\"message\":%.*s}",
                               code, (int)bytes, (const char *)escaped);
    RC_ASSERT(bytes > 0 && count > 0 && (size_t)count < sizeof(text));
    rc_metric_add(does->engines->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    does_reply(does,
               &(struct rc_event){.type = ack ? RC_EVENT_ACK : RC_EVENT_DIRECT,
                                  .channel = does_channel(everybody, does->nsp, (struct rc_span){0}),
                                  .id = does->id,
                                  .event = rc_span_text(does->engines->clients->config->socketio.error_event.text),
                                  .data = rc_span_of(text, (size_t)count)});
}

/* --- what is sent --- */

/* Arguments with their attachments as rc_args has them; count 0: no memory. Valid until the next are made. */
static struct rc_span does_args(const struct rc_does *does, const struct rc_reply_operation *operation)
{
    struct rc_engines *engines = does->engines;
    const struct rc_span json = operation->value.count > 0 ? operation->value : RC_SPAN("[]");
    const size_t decoded = operation->attachments.count; /* base64 only shrinks */
    const size_t need = RC_ARGS_BEFORE_MAX + json.count + 2 * decoded;
    struct rc_span attachments[RC_CONFIG_ATTACHMENTS_MAX];
    if (engines->result_capacity < need) {
        uint8_t *larger = realloc(engines->result, need);
        if (larger == NULL) {
            return (struct rc_span){0};
        }
        engines->result = larger;
        engines->result_capacity = need;
    }
    uint8_t *at = engines->result + RC_ARGS_BEFORE_MAX;
    memcpy(at, json.bytes, json.count);
    const uint32_t count =
        rc_reply_attachments(operation->attachments, at + json.count + decoded, attachments, RC_CONFIG_ATTACHMENTS_MAX);
    return rc_args_wrap(at, json.count, decoded, attachments, count);
}

static enum rc_carried does_carry(const struct rc_does *does, const struct rc_operation *operation)
{
    return does->client == 0
               ? rc_engine_post(does->engines, operation->nsp.count > 0 ? operation->nsp : does->nsp, operation)
               : rc_client_carry_out(does->engines->clients, does->client, RC_AUTHOR_BACKEND, operation);
}

/* Whom it is not for, as of struct rc_operation: clients and sockets of this instance by their ids, in `ids`; with rooms, or sockets of others, among
 * them all but clients by their names, in `names`. */
static void does_except(const struct rc_does *does, const struct rc_json_value *except, struct rc_span nsp,
                        struct rc_operation *to, char ids[RC_EXCLUDE_MAX][RC_CLIENT_ID_BYTES_MAX],
                        char names[RC_SELECT_NAMES_BYTES])
{
    const struct rc_control *control = does->engines->clients->control;
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_reply_rooms rooms;
    struct rc_span name;
    struct rc_client_ref ref;
    struct rc_sid sid;
    uint32_t bytes = 0;
    bool others = false;
    rc_reply_rooms_begin(&rooms, except);
    while (rc_reply_rooms_next(&rooms, scratch, &name)) {
        const bool socket = rc_sid_read(&sid, name) && rc_sid_is_of(&sid, does->engines->instance);
        if (socket) {
            ref = sid.client;
        }
        if (to->exclude_count < RC_EXCLUDE_MAX &&
            (socket || rc_client_id_read((const char *)name.bytes, name.count, control->instance_id,
                                         control->boot_nonce, &ref) == RC_CLIENT_ID_LOCAL)) {
            char *id = ids[to->exclude_count];
            const size_t count = rc_client_id_write(id, control->instance_id, control->boot_nonce, &ref);
            to->exclude[to->exclude_count++] = rc_span_of(id, count);
        } else {
            others = true;
        }
        (void)rc_select_room_put(names, &bytes, nsp, name); /* longer than a channel's name: nobody is in it */
    }
    if (others) {
        to->except = rc_span_of(names, bytes);
    }
}

/* To one room, one socket ("*": everybody), or to `rooms` as of struct rc_operation, if there are any. */
static enum rc_carried does_emit_to(const struct rc_does *does, const struct rc_reply_operation *wanted,
                                    struct rc_span nsp, struct rc_span to, struct rc_span rooms, struct rc_span event,
                                    struct rc_span args)
{
    char channel[RC_CHANNEL_NAME_MAX];
    char ids[RC_EXCLUDE_MAX][RC_CLIENT_ID_BYTES_MAX];
    char names[RC_SELECT_NAMES_BYTES];
    char one[RC_CHANNEL_NAME_MAX + 1];
    uint32_t bytes = 0;
    struct rc_operation operation;
    struct rc_sid sid;
    const bool everybody = rooms.count > 0 || rc_span_equal(to, RC_SPAN("*"));
    rc_operation_reset(&operation);
    operation.type = RC_OPERATION_PUBLISH;
    operation.event = event;
    operation.data = args;
    operation.data_kind = RC_DATA_ARGS;
    operation.echo = !wanted->others;
    operation.is_volatile = wanted->is_volatile;
    operation.channel = does_channel(channel, nsp, everybody ? rc_span_of(NULL, 0) : to);
    operation.rooms = rooms;
    if (operation.channel.count == 0) {
        return RC_CARRIED_REFUSED; /* with its namespace the name is too long */
    }
    does_except(does, &wanted->except, nsp, &operation, ids, names);
    if (!everybody && rc_sid_read(&sid, to)) {
        if (operation.exclude_count == 0 && operation.except.count == 0) {
            if (rc_sid_is_of(&sid, does->engines->instance)) {
                operation.type = RC_OPERATION_DIRECT;
                operation.to = to;
                operation.nsp = nsp;
            }
        } else if (rc_select_name_put(one, sizeof(one), &bytes,
                                      operation.channel)) { /* its worker looks whether it is one of them */
            operation.rooms = rc_span_of(one, bytes);
        }
    }
    return does_carry(does, &operation);
}

/* Of one that clients are to answer: to all of its rooms together, once each. False: it has to wait. */
static bool does_emit_asking(const struct rc_does *does, const struct rc_reply_operation *wanted, struct rc_span nsp,
                             struct rc_span event, struct rc_span args)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    uint8_t token_scratch[RC_REPLY_TOKEN_MAX];
    struct rc_select select = {.text = does->engines->names};
    struct rc_reply_rooms rooms;
    struct rc_span name = {0};
    rc_reply_rooms_begin(&rooms, &wanted->to);
    while (rc_reply_rooms_next(&rooms, scratch, &name) && !rc_span_equal(name, RC_SPAN("*"))) {
        rc_select_put(&select, nsp, name);
    }
    select.bytes = rc_span_equal(name, RC_SPAN("*")) ? 0 : select.bytes; /* everybody: no rooms */
    rc_select_except(&select);
    rc_reply_rooms_begin(&rooms, &wanted->except);
    while (rc_reply_rooms_next(&rooms, scratch, &name)) {
        rc_select_put(&select, nsp, name);
    }
    if (select.full) {
        return true; /* a name is longer than a channel's can be: nobody is there */
    }
    const struct rc_asking asking = {.client = does->client,
                                     .to_client = wanted->to.type == RC_JSON_NONE,
                                     .others = wanted->others,
                                     .is_volatile = wanted->is_volatile,
                                     .timeout_ms = wanted->timeout_ms,
                                     .nsp = nsp,
                                     .names = rc_span_of(select.text, select.bytes),
                                     .event = event,
                                     .args = args,
                                     .token = rc_reply_text(&wanted->ack, token_scratch, sizeof(token_scratch)),
                                     .backend = does->backend};
    return rc_asking_emit(does->engines, &asking);
}

/* Which of an emit's rooms are one message. True: it is for everybody, whatever rooms it names. */
static bool does_together(const struct rc_does *does, const struct rc_reply_operation *wanted, struct rc_span nsp,
                          struct rc_together *together)
{
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_reply_rooms rooms;
    struct rc_span room;
    rc_together_begin(together);
    rc_reply_rooms_begin(&rooms, &wanted->to);
    while (rc_reply_rooms_next(&rooms, scratch, &room)) {
        if (rc_span_equal(room, RC_SPAN("*"))) {
            return true;
        }
        rc_together_put(together, does->engines->clients->config, does_channel(channel, nsp, room));
    }
    return false;
}

/* The rooms of one emit from the `*done`th on: those that are one message in place of the first of them. False: it has to wait. */
static bool does_emit_rooms(const struct rc_does *does, const struct rc_reply_operation *wanted, struct rc_span nsp,
                            struct rc_span event, struct rc_span args, uint32_t *done)
{
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_together together;
    struct rc_reply_rooms rooms;
    struct rc_span to;
    uint32_t seen = 0;
    bool sent = false;
    if (does_together(does, wanted, nsp, &together)) {
        return does_emit_to(does, wanted, nsp, RC_SPAN("*"), rc_span_of(NULL, 0), event, args) != RC_CARRIED_LATER;
    }
    const struct rc_span names = rc_together_names(&together);
    rc_reply_rooms_begin(&rooms, &wanted->to);
    while (rc_reply_rooms_next(&rooms, scratch, &to)) {
        const bool is_one =
            names.count > 0 && rc_together_may(does->engines->clients->config, does_channel(channel, nsp, to));
        if (seen++ >= *done && !(is_one && sent)) {
            if (does_emit_to(does, wanted, nsp, to, is_one ? names : rc_span_of(NULL, 0), event, args) ==
                RC_CARRIED_LATER) {
                return false;
            }
            *done = seen;
        }
        sent = sent || is_one;
    }
    return true;
}

/* Of one emit, from the `*done`th of its rooms on. False: it has to wait. */
static bool does_emit(const struct rc_does *does, const struct rc_reply_operation *wanted, uint32_t *done)
{
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t event_scratch[RC_EVENT_NAME_MAX];
    uint8_t nsp_scratch[RC_NSP_MAX];
    const struct rc_span event = rc_reply_text(&wanted->name, event_scratch, sizeof(event_scratch));
    const struct rc_span nsp =
        wanted->nsp.type == RC_JSON_STRING ? rc_reply_text(&wanted->nsp, nsp_scratch, sizeof(nsp_scratch)) : does->nsp;
    const struct rc_span args = does_args(does, wanted);
    if (args.count == 0) {
        rc_metric_add(does->engines->clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return true;
    }
    if (!rc_config_nsp_valid(nsp)) {
        return true; /* nobody is there */
    }
    if (wanted->ack.type != RC_JSON_NONE && does->backend.count > 0) {
        return does_emit_asking(does, wanted, nsp, event, args);
    }
    if (wanted->to.type == RC_JSON_NONE && rc_engine_is(does->engines, does->client) &&
        rc_recoverable_emits(does->engines, does->client, nsp, wanted->is_volatile)) {
        char sid[RC_SID_BYTES];
        rc_engine_place_sid(does->engines, does->client, nsp, sid);
        return does_emit_to(does, wanted, nsp, rc_span_of(sid, sizeof(sid)), rc_span_of(NULL, 0), event, args) !=
               RC_CARRIED_LATER;
    }
    if (wanted->to.type == RC_JSON_NONE) {
        does_reply(does, &(struct rc_event){.type = RC_EVENT_DIRECT,
                                            .channel = does_channel(channel, nsp, (struct rc_span){0}),
                                            .event = event,
                                            .data = args,
                                            .data_kind = RC_DATA_ARGS});
        return true;
    }
    return does_emit_rooms(does, wanted, nsp, event, args, done);
}

/* --- what is done --- */

static void does_room(const struct rc_does *does, const struct rc_reply_operation *wanted)
{
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.type = wanted->type == RC_REPLY_JOIN ? RC_OPERATION_SUBSCRIBE : RC_OPERATION_UNSUBSCRIBE;
    operation.channel = does_channel(channel, does->nsp, rc_reply_text(&wanted->name, scratch, sizeof(scratch)));
    if (operation.channel.count == 0 ||
        (does_carry(does, &operation) == RC_CARRIED_REFUSED && wanted->type == RC_REPLY_JOIN)) {
        does_failed(does, RC_CODE_LIMITED, RC_SPAN("too many rooms, or no room for more on this server"));
    }
}

/* Its user's channel, as who came as that user does. */
static void does_hears_user(const struct rc_does *does)
{
    if (rc_engine_is(does->engines, does->client)) {
        rc_engine_join_user(does->engines, does->client);
    } else {
        rc_client_hears_user(does->engines->clients, does->client);
    }
}

/* False: it has to wait. */
static bool does_retain(const struct rc_does *does, const struct rc_reply_operation *wanted)
{
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    uint8_t key_scratch[RC_KEY_BYTES_MAX];
    struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.type = RC_OPERATION_RETAIN;
    operation.channel = does_channel(channel, does->nsp, rc_reply_text(&wanted->name, scratch, sizeof(scratch)));
    operation.data = wanted->value;
    if (wanted->key.type == RC_JSON_STRING) {
        operation.key = rc_reply_text(&wanted->key, key_scratch, sizeof(key_scratch));
    }
    if (operation.channel.count == 0) {
        return true; /* with its namespace the name is too long */
    }
    return does_carry(does, &operation) != RC_CARRIED_LATER;
}

static void does_user(const struct rc_does *does, struct rc_span user)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_identity identity = {.attributes = user};
    const struct rc_json_value id = rc_json_member(user, RC_SPAN("id")); /* as rows read it */
    if (id.type == RC_JSON_STRING) {
        identity.user = rc_reply_text(&id, scratch, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES);
    }
    if (rc_permission_user(does->engines->clients->config, identity.user) != NULL ||
        user.count > RC_IDENTITY_ATTRIBUTES_MAX) {
        does_failed(does, RC_CODE_UNAVAILABLE, RC_SPAN("the server's answer names no user"));
        return;
    }
    const bool anonymous = rc_client_user(does->engines->clients, does->client).count == 0;
    const int rc = rc_client_identify(does->engines->clients, does->client, &identity);
    if (rc == 0 && anonymous) {
        does_hears_user(does);
    }
    if (rc < 0) {
        rc_log_limited(RC_LOG_WARN, 1, "backend_user_refused", "reason=\"%s\"",
                       rc == -EEXIST ? "the client is another user already" : "no memory");
        does_failed(does, RC_CODE_CONFLICT, RC_SPAN("this connection is another user's already"));
    }
}

static void does_set(const struct rc_does *does, struct rc_span members)
{
    if (rc_client_set_merge(does->engines->clients, does->client, members) < 0) {
        if (does->failed != NULL) {
            *does->failed = true;
        }
        rc_log_limited(RC_LOG_WARN, 1, "backend_set_refused", "reason=\"more than %u members, or %u bytes\"",
                       RC_RULE_SET_MEMBERS_MAX, RC_RULE_SET_MAX);
    }
}

static void does_disconnect(const struct rc_does *does, bool closes)
{
    if (!closes && does_speaks_socketio(does)) {
        rc_engine_note_end(does->engines, does->client, RC_ENGINE_WHY_SENT_OFF);
        does->engines->dismiss(does->engines, does->client, does->nsp);
        return;
    }
    struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.type = RC_OPERATION_DISCONNECT;
    operation.close_code = RC_CLOSE_NORMAL;
    operation.reason = RC_SPAN("");
    if (rc_engine_is(does->engines, does->client)) {
        rc_engine_note_end(does->engines, does->client, RC_ENGINE_WHY_SENT_OFF);
    }
    (void)does_carry(does, &operation);
}

static void does_ack(const struct rc_does *does, const struct rc_reply_operation *wanted)
{
    char everybody[RC_CHANNEL_NAME_MAX];
    const struct rc_span args = does->id.count == 0 ? rc_span_of(NULL, 0) : does_args(does, wanted);
    if (args.count > 0) {
        does_reply(does, &(struct rc_event){.type = RC_EVENT_ACK,
                                            .channel = does_channel(everybody, does->nsp, (struct rc_span){0}),
                                            .id = does->id,
                                            .data = args,
                                            .data_kind = RC_DATA_ARGS});
    }
}

/* What follows a join is a promise: the relay must know of it before. */
static bool does_must_wait(const struct rc_does *does)
{
    return rc_truth_client(does->engines->clients->truth, does->client)->pending_count > 0;
}

/* Steps: the operation in the upper half, rooms of an emit in the lower. */
#define STEP_ROOMS 0xffffu

static bool does_one(const struct rc_does *does, const struct rc_reply_operation *wanted, uint32_t *rooms)
{
    switch ((enum rc_reply_type)wanted->type) {
    case RC_REPLY_USER:
        does_user(does, wanted->value);
        return true;
    case RC_REPLY_SET:
        does_set(does, wanted->value);
        return true;
    case RC_REPLY_LEAVE:
    case RC_REPLY_JOIN:
        does_room(does, wanted);
        return true;
    case RC_REPLY_RETAIN:
        return does_retain(does, wanted);
    case RC_REPLY_ACK:
        if (does_must_wait(does)) {
            return false;
        }
        does_ack(does, wanted);
        return true;
    case RC_REPLY_EMIT:
        return !does_must_wait(does) && does_emit(does, wanted, rooms);
    case RC_REPLY_ERROR: {
        uint8_t scratch[RC_REPLY_MESSAGE_MAX];
        rc_does_error(does, wanted->code, rc_reply_text(&wanted->name, scratch, sizeof(scratch)));
        return true;
    }
    case RC_REPLY_DISCONNECT:
        does_disconnect(does, wanted->closes);
        return true;
    }
    return true;
}

bool rc_does_post(const struct rc_does *does, const struct rc_reply_operation *wanted, uint32_t *rooms)
{
    RC_ASSERT(does->client == 0 && (wanted->type == RC_REPLY_RETAIN || wanted->to.type != RC_JSON_NONE));
    return wanted->type == RC_REPLY_RETAIN ? does_retain(does, wanted) : does_emit(does, wanted, rooms);
}

bool rc_does(const struct rc_does *does, const struct rc_reply *reply, uint32_t *step)
{
    while (*step >> 16 < reply->count && rc_engine_lives(does->engines, does->client, does->random)) {
        uint32_t rooms = *step & STEP_ROOMS;
        if (!does_one(does, &reply->operations[*step >> 16], &rooms)) {
            *step = (*step & ~STEP_ROOMS) | rooms;
            return false;
        }
        *step = ((*step >> 16) + 1) << 16;
    }
    return true;
}
