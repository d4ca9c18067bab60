/* rule_eval: see rule_eval.h. */
#include "worker/engine/rule_eval.h"

#include <stdlib.h>
#include <string.h>

#include "worker/gate/rule_policy.h"

/* The template's buffer: arguments have room before them for what rc_args puts there. NULL: no memory. */
static uint8_t *eval_buffer(struct rc_rule_run *run, size_t *room)
{
    struct rc_engines *engines = run->engines;
    *room = (size_t)run->clients->config->limits.max_message_size_bytes;
    const size_t bytes = RC_ARGS_BEFORE_MAX + *room;
    if (engines->result_capacity < bytes) {
        uint8_t *larger = realloc(engines->result, bytes);
        if (larger == NULL) {
            return NULL;
        }
        engines->result = larger;
        engines->result_capacity = bytes;
    }
    return engines->result + RC_ARGS_BEFORE_MAX;
}

/* Arguments of an acknowledgement or emit, with the attachments that they have. 0 or a code. */
int rc_rule_eval_args(struct rc_rule_run *run, const struct rc_event_template *template, struct rc_span *out)
{
    size_t room;
    struct rc_rule_args args;
    uint8_t *json = eval_buffer(run, &room);
    if (json == NULL) {
        return rc_rule_state_fail(run, RC_CODE_UNAVAILABLE, "no memory");
    }
    const int code = rc_rule_args(&run->values, template, json, room, &args);
    if (code != 0) {
        return rc_rule_state_fail(run, code, run->values.err.text);
    }
    if (args.json.bytes == run->its.json.bytes && args.attachment_count == run->its.attachment_count) {
        *out = run->args; /* just what came */
        return 0;
    }
    struct rc_span attachments[RC_CONFIG_ATTACHMENTS_MAX];
    for (uint32_t i = 0; i < args.attachment_count; i++) {
        attachments[i] = rc_args_attachment(&run->its, args.attachments[i]);
    }
    if (args.json.bytes != json) { /* the client's, with fewer attachments */
        memcpy(json, args.json.bytes, args.json.count);
    }
    *out = rc_args_wrap(json, args.json.count, room - args.json.count, attachments, args.attachment_count);
    return out->count == 0 ? rc_rule_state_fail(run, RC_CODE_TOO_LARGE, "the message is too large") : 0;
}

/* Is it one of the rooms that the row lets it join? */
static bool eval_joins(struct rc_rule_run *run, struct rc_span name)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_operation *operations = rc_event_operations(config, run->row);
    char other[RC_CHANNEL_NAME_MAX];
    size_t bytes;
    for (uint32_t i = 0; i < run->row->operation_count; i++) {
        const struct rc_event_template *rooms = rc_event_rooms(config, &operations[i]);
        for (uint32_t j = 0; operations[i].type == RC_RULE_JOIN && j < operations[i].room_count; j++) {
            if (rc_rule_room(&run->values, &rooms[j], other, &bytes) == 0 &&
                rc_span_equal(rc_span_of(other, bytes), name)) {
                return true;
            }
        }
    }
    return false;
}

/* May the client that names the room's channel namespace itself have this done in it? 0 or a code. */
static int eval_permits(struct rc_rule_run *run, const struct rc_rule_target *room, enum rc_event_operation_type type)
{
    struct rc_rule_room_asked asked = {.room = rc_span_of(room->name, room->bytes),
                                       .channel = rc_rule_target_channel(room),
                                       .user = rc_client_user(run->clients, run->client)};
    asked.socket = rc_client_room_is_socket(run->clients, asked.room);
    /* What the row itself joins it is in once that is done. */
    asked.member =
        rc_rule_asks_member(run->clients->config, asked.room, type) &&
        (rc_client_is_in(run->clients, run->client, asked.channel) || (run->dry && eval_joins(run, asked.room)));
    const int code = rc_rule_permits(&run->values, &asked, type);
    return code != 0 ? rc_rule_state_fail(run, code, run->values.err.text) : 0;
}

int rc_rule_eval_target(struct rc_rule_run *run, const struct rc_event_template *template,
                        enum rc_event_operation_type type, struct rc_rule_target *room)
{
    struct rc_span channel = {0};
    int code = rc_rule_room(&run->values, template, room->name, &room->bytes);
    if (code == 0) {
        code = rc_rule_room_channel(&run->values, rc_span_of(room->name, room->bytes), room->channel, &channel);
    }
    if (code != 0) {
        return rc_rule_state_fail(run, code, run->values.err.text);
    }
    room->channel_bytes = channel.count;
    return (template->flags & RC_EVENT_CLIENT_CHOOSES) != 0 && run->client != 0 ? eval_permits(run, room, type) : 0;
}
