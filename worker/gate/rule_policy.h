/*
 * rule_policy: what a client may do by a row of [[event]], as far as it follows from who it is, and how it is told that it may not.
 *
 * Whether it is in a room, and how many events it has sent, its worker knows (worker/engine/rule_eval.c); `ringcast check` knows it from
 * whoever asks (acceptor/console/explain.c). Pure; nothing allocates. What returns an int: 0, or an RC_CODE_* with `values->err`
 * saying why.
 */
#ifndef RC_WORKER_GATE_RULE_POLICY_H
#define RC_WORKER_GATE_RULE_POLICY_H

#include <stdbool.h>

#include "common/text/json_schema.h"
#include "worker/gate/rule_find.h"
#include "worker/gate/rule_set.h"

#define RC_RULE_ERROR_MAX 5120u /* bytes of {"code":…,"message":…}: texts of RC_EVENT_WANTED_MAX bytes, escaped */

/* A room whose channel namespace the client names (RC_EVENT_CLIENT_CHOOSES). */
struct rc_rule_room_asked {
    struct rc_span room;    /* its name */
    struct rc_span channel; /* of it, with its Socket.IO namespace */
    struct rc_span user;    /* who names it; empty: anonymous */
    bool socket;            /* it is a socket's own (rc_permission_socket) */
    bool member;            /* it is in the room; looked at where rc_rule_asks_member, rc_rule_sees_who ask */
};

/* The row's `who`. `values->input` has the user's document, empty: anonymous. */
int rc_rule_who(struct rc_rule_values *values, const struct rc_event_guards *guards);
/* Its `schema`: BAD_REQUEST; `*result` tells whether it was looked at to the end. */
int rc_rule_schema(struct rc_rule_values *values, const struct rc_config_event *row,
                   enum rc_json_schema_result *result);
/* Its `inside`, of a client that is not there: FORBIDDEN. */
int rc_rule_outside(struct rc_rule_values *values);

/* The channel of a room in the event's Socket.IO namespace. BAD_REQUEST: its name is too long for one. */
int rc_rule_room_channel(struct rc_rule_values *values, struct rc_span room, char out[RC_CHANNEL_NAME_MAX],
                         struct rc_span *channel);
/* What rows have set, with these members taken over (rule_set.h). BAD_REQUEST, TOO_LARGE; the latter for what did not even fit into RC_RULE_SET_MAX
 * bytes. */
int rc_rule_set_full(struct rc_rule_values *values);
int rc_rule_set(struct rc_rule_values *values, struct rc_span members, uint8_t out[RC_RULE_SET_MAX], size_t *bytes);

/* Does it matter whether the client is in the room that it would JOIN, LEAVE, EMIT to or RETAIN a value of? */
bool rc_rule_asks_member(const struct rc_config *config, struct rc_span room, enum rc_event_operation_type type);
/* May the client have this done in it? To a socket's own room by permissions.direct, and nobody joins that or keeps a value for it; nothing that
 * a backend decides on (its `calls` subscribe, publish); else as its namespace says. */
int rc_rule_permits(struct rc_rule_values *values, const struct rc_rule_room_asked *asked,
                    enum rc_event_operation_type type);
/* May it see who is there, or the room's retained value? Nobody sees a socket's own room. */
enum rc_who rc_rule_sees_who(const struct rc_config *config, struct rc_span room, enum rc_event_question_kind kind);
int rc_rule_sees(struct rc_rule_values *values, const struct rc_rule_room_asked *asked,
                 enum rc_event_question_kind kind);

/* {"code":…,"message":…}, as the row's `refuse` has it told. `guards`: the row's, NULL: there is none; `guard`: the one that refused, RC_GUARDS:
 * none did. */
struct rc_span rc_rule_error(const struct rc_config *config, const struct rc_event_guards *guards,
                             enum rc_event_guard guard, int code, const char *why, char out[RC_RULE_ERROR_MAX]);
/* The event by which it is told; in `scratch`, or of the configuration. */
struct rc_span rc_rule_error_event(const struct rc_config *config, const struct rc_event_guards *guards,
                                   uint8_t scratch[RC_EVENT_NAME_MAX]);

#endif
