/* rule_policy: see rule_policy.h. */
#include "worker/gate/rule_policy.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/config/backend.h"
#include "common/config/policies.h"
#include "common/config/pusher.h"
#include "common/records/channel_name.h"
#include "worker/gate/event_schema.h"
#include "worker/gate/permission.h"
#include "worker/proto/operation.h"

int rc_rule_who(struct rc_rule_values *values, const struct rc_event_guards *guards)
{
    if (guards->who == RC_EVENT_WHO_ANYONE) {
        return 0;
    }
    if (values->input.documents[rc_rule_document(RC_EVENT_SOURCE_USER)].count == 0) {
        return rc_rule_refuse(values, RC_CODE_UNAUTHORIZED, "only users may do this, and you are anonymous");
    }
    return guards->who == RC_EVENT_WHO_USER || rc_rule_holds(values, guards->attributes, guards->attribute_count)
               ? 0
               : rc_rule_refuse(values, RC_CODE_FORBIDDEN, "you may not do this");
}

int rc_rule_schema(struct rc_rule_values *values, const struct rc_config_event *row, enum rc_json_schema_result *result)
{
    *result = rc_event_schema_check(values->config, row, values->input.args, &values->err);
    return *result == RC_JSON_SCHEMA_VALID ? 0 : RC_CODE_BAD_REQUEST;
}

int rc_rule_outside(struct rc_rule_values *values)
{
    return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "you are not in this room");
}

int rc_rule_room_channel(struct rc_rule_values *values, struct rc_span room, char out[RC_CHANNEL_NAME_MAX],
                         struct rc_span *channel)
{
    *channel = rc_span_of(out, rc_channel_of_room(out, RC_CHANNEL_NAME_MAX, values->input.nsp, room));
    return channel->count > 0 ? 0 : rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "the room's name is too long");
}

int rc_rule_set_full(struct rc_rule_values *values)
{
    return rc_rule_refuse(values, RC_CODE_TOO_LARGE, "more than is kept of a connection");
}

int rc_rule_set(struct rc_rule_values *values, struct rc_span members, uint8_t out[RC_RULE_SET_MAX], size_t *bytes)
{
    const struct rc_span before = values->input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)];
    const int rc = rc_rule_set_merged(before, members, out, bytes);
    return rc == 0        ? 0
           : rc == -E2BIG ? rc_rule_set_full(values)
                          : rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "what is kept of a connection is no JSON");
}

static const struct rc_config_namespace *namespace_of(const struct rc_config *config, struct rc_span room)
{
    return rc_config_namespace_of(config, (const char *)room.bytes, room.count);
}

/* What is kept is said, too. */
static bool room_said(enum rc_event_operation_type type)
{
    return type == RC_RULE_EMIT || type == RC_RULE_RETAIN;
}

/* Does a backend decide who does this? It is asked about what native clients do; a row whose room is the client's word leads round that. */
static bool room_decided(const struct rc_config *config, enum rc_event_operation_type type)
{
    return type != RC_RULE_LEAVE &&
           rc_backend_of_call(config, room_said(type) ? RC_BACKEND_PUBLISH : RC_BACKEND_SUBSCRIBE) >= 0;
}

static enum rc_who room_who(const struct rc_config_namespace *namespace, enum rc_event_operation_type type)
{
    return room_said(type) ? namespace->publish : namespace->subscribe;
}

bool rc_rule_asks_member(const struct rc_config *config, struct rc_span room, enum rc_event_operation_type type)
{
    const struct rc_config_namespace *const namespace = namespace_of(config, room);
    return room_who(namespace, type) == RC_WHO_MEMBER || (type == RC_RULE_RETAIN && namespace->retain == RC_WHO_MEMBER);
}

/* Is the room a channel that an app of the Pusher protocol has for itself? Rooms of other Socket.IO namespaces are no such channels. */
static bool room_of_app(const struct rc_rule_values *values, struct rc_span room)
{
    return rc_span_equal(values->input.nsp, RC_SPAN("/")) && rc_pusher_guards(values->config, room);
}

int rc_rule_permits(struct rc_rule_values *values, const struct rc_rule_room_asked *asked,
                    enum rc_event_operation_type type)
{
    if (room_of_app(values, asked->room)) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "a channel of a [[pusher_app]]");
    }
    if (asked->socket && (type == RC_RULE_JOIN || type == RC_RULE_RETAIN)) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "a socket's own room");
    }
    if (asked->socket) {
        return rc_permission_allows(values->config->permissions.direct, asked->user, asked->channel, false)
                   ? 0
                   : rc_rule_refuse(values, RC_CODE_FORBIDDEN, "you may not send direct messages");
    }
    if (room_decided(values->config, type)) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "a backend decides who may, and this row does not ask it");
    }
    const struct rc_config_namespace *const namespace = namespace_of(values->config, asked->room);
    const enum rc_who who = room_who(namespace, type);
    if (type != RC_RULE_LEAVE && !rc_permission_allows(who, asked->user, asked->room, asked->member)) {
        return rc_rule_refuse(values, rc_permission_refusal(who, asked->user), "you may not use this room");
    }
    return type != RC_RULE_RETAIN || rc_permission_allows(namespace->retain, asked->user, asked->room, asked->member)
               ? 0
               : rc_rule_refuse(values, rc_permission_refusal(namespace->retain, asked->user),
                                "you may not set the retained value of this room");
}

enum rc_who rc_rule_sees_who(const struct rc_config *config, struct rc_span room, enum rc_event_question_kind kind)
{
    const struct rc_config_namespace *const namespace = namespace_of(config, room);
    if (kind == RC_QUESTION_RETAINED && rc_backend_of_call(config, RC_BACKEND_SUBSCRIBE) >= 0) {
        return RC_WHO_MEMBER; /* whom it has let in */
    }
    return kind == RC_QUESTION_RETAINED ? namespace->subscribe : namespace->presence_who;
}

int rc_rule_sees(struct rc_rule_values *values, const struct rc_rule_room_asked *asked,
                 enum rc_event_question_kind kind)
{
    const enum rc_who who = rc_rule_sees_who(values->config, asked->room, kind);
    if (room_of_app(values, asked->room)) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "a channel of a [[pusher_app]]");
    }
    if (asked->socket) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "a socket's own room");
    }
    return rc_permission_allows(who, asked->user, asked->room, asked->member)
               ? 0
               : rc_rule_refuse(values, rc_permission_refusal(who, asked->user),
                                kind == RC_QUESTION_RETAINED ? "you may not see the value of this room"
                                                             : "you may not see who is in this room");
}

struct rc_span rc_rule_error(const struct rc_config *config, const struct rc_event_guards *guards,
                             enum rc_event_guard guard, int code, const char *why, char out[RC_RULE_ERROR_MAX])
{
    char number[16];
    uint8_t escaped[RC_JSON_STRING_BYTES_MAX(RC_ERR_TEXT_MAX)];
    struct rc_span code_json = rc_span_of(number, (size_t)snprintf(number, sizeof(number), "%d", code));
    struct rc_span why_json = rc_span_of(escaped, rc_json_string_encode(escaped, sizeof(escaped), rc_span_text(why)));
    if (guards != NULL && guards->code.bytes > 0) {
        code_json = rc_event_text(config, guards->code.at, guards->code.bytes);
    }
    if (guards != NULL && guard < RC_GUARDS && guards->texts[guard].bytes > 0) {
        why_json = rc_event_text(config, guards->texts[guard].at, guards->texts[guard].bytes);
    }
    const int count = snprintf(out, RC_RULE_ERROR_MAX, "{\"code\":%.*s,\"message\":%.*s}", (int)code_json.count,
                               (const char *)code_json.bytes, (int)why_json.count, (const char *)why_json.bytes);
    RC_ASSERT(count > 0 && (size_t)count < RC_RULE_ERROR_MAX);
    return rc_span_of(out, (size_t)count);
}

struct rc_span rc_rule_error_event(const struct rc_config *config, const struct rc_event_guards *guards,
                                   uint8_t scratch[RC_EVENT_NAME_MAX])
{
    struct rc_span event = rc_span_text(config->socketio.error_event.text);
    if (guards != NULL && guards->event.bytes > 0) {
        const struct rc_json_value value = {.raw = rc_event_text(config, guards->event.at, guards->event.bytes),
                                            .type = RC_JSON_STRING,
                                            .escaped = true};
        const int rc = rc_json_string_decode(&value, scratch, RC_EVENT_NAME_MAX, &event);
        RC_ASSERT(rc == 0); /* it was looked at when the file was read */
    }
    return event;
}
