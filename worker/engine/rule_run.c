/* rule_run: see rule_run.h. */
#include "worker/engine/rule_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/event_rules.h"
#include "worker/engine/auth.h"
#include "worker/engine/rule_room.h"
#include "worker/engine/rule_wait.h"
#include "worker/gate/rule_find.h"
#include "worker/gate/rule_guard.h"
#include "worker/ws/frame.h"

/* --- what is worked out ---------------------------------------------------------------------------------------------- */

/* The template's buffer: arguments have room before them for what rc_args puts there. NULL: no memory. */
static uint8_t *run_buffer(struct rc_rule_run *run, size_t *room)
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
static int run_args(struct rc_rule_run *run, const struct rc_event_template *template, struct rc_span *out)
{
    size_t room;
    struct rc_rule_args args;
    uint8_t *json = run_buffer(run, &room);
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

/* A room's channel, and whether it is one socket's. */
struct room {
    char name[RC_CHANNEL_NAME_MAX];
    size_t bytes;
    char channel[RC_CHANNEL_NAME_MAX];
    size_t channel_bytes;
};

static struct rc_span room_channel(const struct room *room)
{
    return rc_span_of(room->channel, room->channel_bytes);
}

/* May the client that names the room's channel namespace itself have this done in it? 0 or a code. */
static int run_permits(struct rc_rule_run *run, const struct room *room, enum rc_event_operation_type type)
{
    struct rc_rule_room_asked asked = {.room = rc_span_of(room->name, room->bytes),
                                       .channel = room_channel(room),
                                       .user = rc_client_user(run->clients, run->client),
                                       .instance = run->engines->instance};
    /* What the row itself joins it is in once that is done. */
    asked.member = rc_rule_room_who(run->clients->config, asked.room, type) == RC_WHO_MEMBER &&
                   ((run->dry && !run->ends) || rc_client_is_in(run->clients, run->client, asked.channel));
    const int code = rc_rule_permits(&run->values, &asked, type);
    return code != 0 ? rc_rule_state_fail(run, code, run->values.err.text) : 0;
}

static int run_room(struct rc_rule_run *run, const struct rc_event_template *template,
                    enum rc_event_operation_type type, struct room *room)
{
    int code = rc_rule_room(&run->values, template, room->name, &room->bytes);
    if (code != 0) {
        return rc_rule_state_fail(run, code, run->values.err.text);
    }
    struct rc_span channel;
    code = rc_rule_room_channel(&run->values, rc_span_of(room->name, room->bytes), room->channel, &channel);
    if (code != 0) {
        return rc_rule_state_fail(run, code, run->values.err.text);
    }
    room->channel_bytes = channel.count;
    return (template->flags & RC_EVENT_CLIENT_CHOOSES) != 0 && run->client != 0 ? run_permits(run, room, type) : 0;
}

/* --- what is done ---------------------------------------------------------------------------------------------------- */

static struct rc_client *run_client(const struct rc_rule_run *run)
{
    return rc_truth_client(run->clients->truth, run->client);
}

/* Name of the channel of everybody in the namespace. */
static struct rc_span run_everybody(const struct rc_rule_run *run, char out[RC_CHANNEL_NAME_MAX])
{
    const size_t bytes = rc_channel_of_room(out, RC_CHANNEL_NAME_MAX, run->nsp, (struct rc_span){0});
    RC_ASSERT(bytes > 0);
    return rc_span_of(out, bytes);
}

/* Is there still somebody for whom the row is carried out? */
static bool run_lives(const struct rc_rule_run *run)
{
    return run->client == 0 || run->ends || rc_engine_lives(run->engines, run->client, run->random);
}

static void run_reply(struct rc_rule_run *run, const struct rc_event *event)
{
    if (rc_hub_reply_event(run->clients->hub, run->client, event) < 0) {
        rc_client_failed_memory(run->clients, run->client);
    }
}

/* Is the next step to be done now? */
static bool run_step(struct rc_rule_run *run)
{
    return run->step++ >= *run->done && !run->dry;
}

/* A server's message: it has no origin, and nobody is to wait for room in the up ring. */
static enum rc_carried run_post(const struct rc_rule_run *run, const struct rc_operation *operation)
{
    struct rc_clients *clients = run->clients;
    const bool direct = operation->type == RC_OPERATION_DIRECT;
    char everybody[RC_CHANNEL_NAME_MAX];
    struct rc_sid sid;
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .origin = {.worker = (uint16_t)clients->worker},
                 .data_bytes = (uint32_t)operation->data.count,
                 .event_bytes = (uint8_t)operation->event.count,
                 .flags = (uint16_t)(RC_ENVELOPE_ARGS | (operation->is_volatile ? RC_ENVELOPE_VOLATILE : 0u))},
        .event = (const char *)operation->event.bytes,
        .data = operation->data.bytes};
    const struct rc_span channel = direct ? run_everybody(run, everybody) : operation->channel;
    view.channel = (const char *)channel.bytes;
    view.head.channel_bytes = (uint8_t)channel.count;
    view.head.channel_hash = rc_channel_hash(view.channel, channel.count);
    if (direct && rc_sid_read(&sid, operation->to)) {
        view.head.target = sid.client;
    }
    const int rc = rc_uplink_queued(clients->uplink)
                       ? -EAGAIN
                       : rc_uplink_write(clients->uplink, direct ? RC_UP_DIRECT : RC_UP_PUBLISH, &view);
    rc_metric_add(clients->metrics,
                  rc != 0  ? RC_METRIC_FAILED_DELIVERIES
                  : direct ? RC_METRIC_DIRECTS
                           : RC_METRIC_PUBLISHES,
                  1);
    return rc == 0 ? RC_CARRIED_OUT : rc == -EAGAIN ? RC_CARRIED_LATER : RC_CARRIED_REFUSED;
}

static enum rc_carried run_carry_out(struct rc_rule_run *run, const struct rc_operation *operation)
{
    return run->client == 0 ? run_post(run, operation)
                            : rc_client_carry_out(run->clients, run->client, RC_AUTHOR_BACKEND, operation);
}

/* A message for a room, a socket or everybody. */
static enum rc_carried run_send(struct rc_rule_run *run, struct rc_span channel, struct rc_span name,
                                struct rc_span event, struct rc_span args, uint32_t flags)
{
    const bool others = (flags & RC_EVENT_OTHERS) != 0;
    struct rc_operation operation;
    struct rc_sid sid;
    rc_operation_reset(&operation);
    operation.event = event;
    operation.data = args;
    operation.data_kind = RC_DATA_ARGS;
    operation.echo = !others;
    operation.is_volatile = (flags & RC_EVENT_VOLATILE) != 0;
    operation.channel = channel;
    operation.type = RC_OPERATION_PUBLISH;
    if (rc_sid_read(&sid, name) && rc_sid_is_of(&sid, run->engines->instance)) {
        operation.type = RC_OPERATION_DIRECT;
        operation.to = name;
        operation.nsp = run->nsp;
        if (others && sid.client.worker == run->clients->worker && sid.client.slot == run->client) {
            return RC_CARRIED_OUT; /* to nobody */
        }
    }
    const enum rc_carried carried = run_carry_out(run, &operation);
    if (carried == RC_CARRIED_REFUSED && operation.type == RC_OPERATION_PUBLISH) {
        rc_rule_state_fail(run, RC_CODE_TOO_LARGE, "the message does not fit the server's rings");
    }
    return carried; /* a socket that is not there any more is an empty room */
}

/* To one of an emit's rooms. False: it has to wait. */
static bool run_emit_room(struct rc_rule_run *run, const struct rc_event_operation *operation,
                          const struct rc_event_template *template, struct rc_span event, struct rc_span args)
{
    struct room room;
    if (run_room(run, template, RC_RULE_EMIT, &room) != 0 || !run_step(run)) {
        return true;
    }
    if (run_send(run, room_channel(&room), rc_span_of(room.name, room.bytes), event, args, operation->flags) ==
        RC_CARRIED_LATER) {
        return false;
    }
    *run->done = run->step;
    return true;
}

/* To who sent the event: it does not go round by the relay. */
static void run_emit_sender(struct rc_rule_run *run, const struct rc_event_operation *operation, struct rc_span event,
                            struct rc_span args)
{
    char everybody[RC_CHANNEL_NAME_MAX];
    if (!run_step(run) || run_client(run)->state != RC_CLIENT_OPEN) {
        return;
    }
    if ((operation->flags & RC_EVENT_VOLATILE) == 0 || rc_hub_takes_volatile(run->clients->hub, run->client)) {
        run_reply(run, &(struct rc_event){.type = RC_EVENT_DIRECT,
                                          .channel = run_everybody(run, everybody),
                                          .event = event,
                                          .data = args,
                                          .data_kind = RC_DATA_ARGS});
    }
    *run->done = run->step;
}

/* False: it has to wait. */
static bool run_emit(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    const struct rc_config *config = run->clients->config;
    char scratch[RC_EVENT_NAME_MAX];
    char everybody[RC_CHANNEL_NAME_MAX];
    struct rc_span event;
    struct rc_span args;
    const int code = rc_rule_event(&run->values, &operation->event, scratch, &event);
    if (code != 0) {
        rc_rule_state_fail(run, code, run->values.err.text);
        return true;
    }
    if (run_args(run, &operation->args, &args) != 0) {
        return true;
    }
    if (operation->flags & RC_EVENT_TO_SENDER) {
        run_emit_sender(run, operation, event, args);
        return true;
    }
    if (operation->flags & RC_EVENT_TO_EVERYBODY) {
        if (run_step(run)) {
            if (run_send(run, run_everybody(run, everybody), (struct rc_span){0}, event, args, operation->flags) ==
                RC_CARRIED_LATER) {
                return false;
            }
            *run->done = run->step;
        }
        return true;
    }
    const struct rc_event_template *rooms = rc_event_rooms(config, operation);
    for (uint32_t i = 0; i < operation->room_count && run->code == 0; i++) {
        if (!run_emit_room(run, operation, &rooms[i], event, args)) {
            return false;
        }
    }
    return true;
}

/* What the row sets on the connection: from here on its templates have it. */
static void run_set(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    struct rc_clients *clients = run->clients;
    struct rc_span *client = &run->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)];
    uint8_t json[RC_RULE_SET_MAX];
    struct rc_rule_args args;
    size_t bytes = 0;
    int code = rc_rule_args(&run->values, &operation->args, json, sizeof(json), &args);
    if (code == RC_CODE_BAD_REQUEST) {
        rc_rule_state_fail(run, code, run->values.err.text);
        return;
    }
    if (code == 0 && args.attachment_count > 0) {
        rc_rule_state_fail(run, RC_CODE_BAD_REQUEST, "what is kept of a connection is no binary");
        return;
    }
    code = code != 0 ? rc_rule_set_full(&run->values) : rc_rule_set(&run->values, args.json, run->set, &bytes);
    if (code != 0) {
        rc_rule_state_fail(run, code, run->values.err.text);
        return;
    }
    if (run_step(run)) {
        const int rc = rc_client_set_merge(clients, run->client, args.json);
        *run->done = run->step;
        if (rc != 0) {
            code = rc == -E2BIG ? rc_rule_set_full(&run->values) : RC_CODE_UNAVAILABLE;
            rc_rule_state_fail(run, code, rc == -E2BIG ? run->values.err.text : "no memory");
            return;
        }
    }
    *client = rc_span_of(run->set, bytes);
}

static void run_close(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    struct rc_operation does;
    char reason[RC_EVENT_NAME_MAX];
    rc_operation_reset(&does);
    does.type = RC_OPERATION_DISCONNECT;
    does.close_code = RC_WS_CLOSE_NORMAL;
    const int code = rc_rule_text(&run->values, &operation->event, reason, &does.reason);
    if (code != 0) {
        rc_rule_state_fail(run, code, run->values.err.text);
    } else if (run_step(run)) {
        *run->done = run->step;
        (void)run_carry_out(run, &does);
    }
}

static void run_rooms(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    const struct rc_event_template *rooms = rc_event_rooms(run->clients->config, operation);
    for (uint32_t i = 0; i < operation->room_count; i++) {
        struct room room;
        if (run_room(run, &rooms[i], (enum rc_event_operation_type)operation->type, &room) != 0) {
            return;
        }
        if (run_step(run)) {
            struct rc_operation does;
            rc_operation_reset(&does);
            does.type = operation->type == RC_RULE_JOIN ? RC_OPERATION_SUBSCRIBE : RC_OPERATION_UNSUBSCRIBE;
            does.channel = room_channel(&room);
            const bool refused = run_carry_out(run, &does) == RC_CARRIED_REFUSED && does.type == RC_OPERATION_SUBSCRIBE;
            *run->done = run->step;
            if (refused) {
                rc_rule_state_fail(run, RC_CODE_LIMITED, "too many rooms, or no room for more on this server");
                return;
            }
        }
    }
}

static void run_ack(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    struct rc_span args;
    char everybody[RC_CHANNEL_NAME_MAX];
    if (run_args(run, &operation->args, &args) != 0 || !run_step(run)) {
        return;
    }
    if (run->answer != NULL) {
        struct rc_args_view its;
        const int rc = rc_args_read(args, &its);
        RC_ASSERT(rc == 0); /* we wrote it */
        run->answer->put(run->answer->context, its.json);
    } else if (run->id.count > 0) {
        run_reply(run, &(struct rc_event){.type = RC_EVENT_ACK,
                                          .channel = run_everybody(run, everybody),
                                          .id = run->id,
                                          .data = args,
                                          .data_kind = RC_DATA_ARGS});
        *run->done = run->step;
    }
}

/* What follows a join is a promise: the relay must know of it before. */
static bool run_must_wait(const struct rc_rule_run *run)
{
    if (run->dry || run->ends || run->client == 0 || run_client(run)->pending_count == 0) {
        return false;
    }
    run_client(run)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    return true;
}

/* In place of the acknowledgement that was asked for. */
static void tell_ack(struct rc_rule_run *run, struct rc_span error)
{
    const struct rc_event_template *template = run->row == NULL ? NULL : &run->row->guards.ack;
    char everybody[RC_CHANNEL_NAME_MAX];
    char text[RC_RULE_ERROR_MAX + sizeof("{\"error\":}")];
    struct rc_span args;
    struct rc_event event = {.type = RC_EVENT_ACK, .channel = run_everybody(run, everybody), .id = run->id};
    if (template != NULL && template->piece_count > 0) {
        run->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_ERROR)] = error;
        if (run_args(run, template, &args) == 0) {
            event.data = args;
            event.data_kind = RC_DATA_ARGS;
            run_reply(run, &event);
            return;
        }
    }
    const int count = snprintf(text, sizeof(text), "{\"error\":%.*s}", (int)error.count, (const char *)error.bytes);
    event.data = rc_span_of(text, (size_t)count);
    run_reply(run, &event);
}

void rc_rule_run_tell(struct rc_rule_run *run)
{
    char error[RC_RULE_ERROR_MAX];
    char everybody[RC_CHANNEL_NAME_MAX];
    uint8_t name[RC_EVENT_NAME_MAX];
    const struct rc_config *config = run->clients->config;
    const struct rc_event_guards *guards = run->row == NULL ? NULL : &run->row->guards;
    const struct rc_span json = rc_rule_error(config, guards, run->guard, run->code, run->why, error);
    rc_metric_add(run->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    if (run->id.count > 0) {
        tell_ack(run, json);
        return;
    }
    run_reply(run, &(struct rc_event){.type = RC_EVENT_DIRECT,
                                      .channel = run_everybody(run, everybody),
                                      .event = rc_rule_error_event(config, guards, name),
                                      .data = json});
}

/* Steps of one operation. */
static uint32_t operation_steps(const struct rc_event_operation *operation)
{
    return operation->room_count > 0 ? operation->room_count : 1;
}

uint32_t rc_rule_steps(const struct rc_config_event *row, const struct rc_config *config)
{
    const struct rc_event_operation *operations = rc_event_operations(config, row);
    uint32_t steps = 0;
    for (uint32_t i = 0; i < row->operation_count; i++) {
        steps += operation_steps(&operations[i]);
    }
    return steps;
}

/* What it asks about rooms is known from here on. False: it has to wait. */
static bool run_answers(struct rc_rule_run *run)
{
    if (run->row->question_count == 0 || run->dry || run->values.input.answers != NULL) {
        return true;
    }
    struct rc_rule_wait *wait = run->ends ? run->departs : rc_rule_wait_keep(run);
    if (wait == NULL || wait->failed) {
        rc_rule_state_fail(run, RC_CODE_UNAVAILABLE, "the room cannot be asked about now: try again");
        return true;
    }
    const enum rc_rule_asked asked = wait->asked ? RC_RULE_ASKS : rc_rule_room_ask(run, wait);
    if (asked == RC_RULE_ASKS && !run->ends) {
        run_client(run)->flags |= RC_CLIENT_WAITS_ANSWER;
    }
    return asked == RC_RULE_KNOWN || asked == RC_RULE_FAILED;
}

/* May an emit leave, by who is in a room? */
static bool run_when(const struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    if (operation->when == RC_EVENT_ALWAYS || run->dry || run->values.input.answers == NULL) {
        return true;
    }
    const bool alone = rc_span_equal(run->values.input.answers[operation->when_question], RC_SPAN("0"));
    return alone == (operation->when == RC_EVENT_WHEN_ALONE);
}

/* False: it has to wait. */
static bool run_operation(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    switch ((enum rc_event_operation_type)operation->type) {
    case RC_RULE_LEAVE:
    case RC_RULE_JOIN:
        run_rooms(run, operation);
        return true;
    case RC_RULE_SET:
        run_set(run, operation);
        return true;
    case RC_RULE_ACK:
        if (run_must_wait(run) || !run_answers(run)) {
            return false;
        }
        if (run->code == 0) {
            run_ack(run, operation);
        }
        return true;
    case RC_RULE_EMIT:
        if (run_must_wait(run) || !run_answers(run)) {
            return false;
        }
        return run->code != 0 || !run_when(run, operation) || run_emit(run, operation);
    case RC_RULE_CLOSE:
        run_close(run, operation);
        return true;
    }
    return true;
}

bool rc_rule_run_row(struct rc_rule_run *run)
{
    const struct rc_event_operation *operations = rc_event_operations(run->clients->config, run->row);
    run->step = 0;
    run->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)] =
        run->input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)];
    for (uint32_t i = 0; i < run->row->operation_count && run->code == 0 && run_lives(run); i++) {
        const uint32_t behind = run->step + operation_steps(&operations[i]);
        if (behind > *run->done && !run_operation(run, &operations[i])) {
            return false;
        }
        run->step = behind;
    }
    return true;
}

bool rc_rule_run_could(struct rc_rule_run *run)
{
    const struct rc_event_operation *operations = rc_event_operations(run->clients->config, run->row);
    if (run->row->operation_count == 1 && operation_steps(&operations[0]) == 1 && run->row->question_count == 0) {
        return true; /* it is done or not: nothing is done before */
    }
    run->dry = true;
    (void)rc_rule_run_row(run);
    run->dry = false;
    return run->code == 0;
}

/* --- guards ---------------------------------------------------------------------------------------------------------- */

static enum rc_rule_guarded run_refuse(struct rc_rule_run *run, enum rc_event_guard guard, int code, const char *why)
{
    run->guard = guard;
    rc_rule_state_fail(run, code, why);
    return RC_RULE_REFUSED;
}

/* Its rate, by the row's name: an event's own, where the row is for many, would be a way round it. */
static struct rc_limit_question rate_question(const struct rc_rule_run *run)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_guards *guards = &run->row->guards;
    const bool group = guards->rate.group != 0;
    return (struct rc_limit_question){
        .kind = group ? RC_LIMIT_GROUP : RC_LIMIT_EVENT,
        .nsp = group ? rc_span_of(NULL, 0) : rc_span_text(run->row->nsp.text),
        .name = group ? rc_event_text(config, guards->rate.group_name.at, guards->rate.group_name.bytes)
                      : rc_span_text(run->row->on.text),
        .user = rc_client_user(run->clients, run->client),
        .client = rc_client_ref(run->clients, run->client),
        .limit = {.count = guards->rate.count, .window_ms = (uint32_t)guards->rate.window_ms},
    };
}

static bool run_is_rated(const struct rc_rule_run *run)
{
    return run->row->guards.rate.count > 0 && run->client != 0 && run->clients->limits != NULL;
}

static enum rc_rule_guarded guard_rate(struct rc_rule_run *run)
{
    uint32_t retry_ms;
    if (!run_is_rated(run)) {
        return RC_RULE_PASSES;
    }
    const struct rc_limit_question question = rate_question(run);
    switch (rc_limits_ask(run->clients->limits, &question, &retry_ms)) {
    case RC_LIMIT_ALLOWED:
        return RC_RULE_PASSES;
    case RC_LIMIT_WAITS:
        run_client(run)->flags |= RC_CLIENT_WAITS_ANSWER;
        return RC_RULE_WAITS;
    case RC_LIMIT_EXCEEDED:
        break;
    }
    const struct rc_span text = rc_limit_text(run->rate_text, "events of this kind", retry_ms);
    run->rate_text[text.count] = '\0';
    return run_refuse(run, RC_GUARD_RATE, RC_CODE_LIMITED, run->rate_text);
}

static enum rc_rule_guarded guard_who(struct rc_rule_run *run)
{
    const int code = rc_rule_who(&run->values, &run->row->guards);
    return code == 0 ? RC_RULE_PASSES : run_refuse(run, RC_GUARD_WHO, code, run->values.err.text);
}

/* What an event says must be what its row's schema asks for. */
static enum rc_rule_guarded guard_schema(struct rc_rule_run *run)
{
    enum rc_json_schema_result result;
    const int code = rc_rule_schema(&run->values, run->row, &result);
    if (code == 0) {
        return RC_RULE_PASSES;
    }
    rc_metric_add(run->clients->metrics,
                  result == RC_JSON_SCHEMA_LIMIT ? RC_METRIC_EVENTS_UNCHECKED : RC_METRIC_EVENTS_INVALID, 1);
    return run_refuse(run, RC_GUARD_SCHEMA, code, run->values.err.text);
}

static enum rc_rule_guarded guard_inside(struct rc_rule_run *run)
{
    struct rc_hub *hub = run->clients->hub;
    struct room room;
    if (run->row->guards.inside_count == 0) {
        return RC_RULE_PASSES;
    }
    const int code = rc_rule_room(&run->values, &run->row->guards.inside, room.name, &room.bytes);
    if (code != 0) {
        return run_refuse(run, RC_GUARDS, code, run->values.err.text);
    }
    room.channel_bytes =
        rc_channel_of_room(room.channel, sizeof(room.channel), run->nsp, rc_span_of(room.name, room.bytes));
    const struct rc_span name = room_channel(&room);
    const uint32_t channel =
        name.count == 0 ? 0 : rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel != 0 && rc_hub_subscription(hub, run->client, channel) != 0) {
        return RC_RULE_PASSES;
    }
    if (channel != 0 && !run->ends && run_client(run)->pending_count > 0) { /* it may be about to be in it */
        run_client(run)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
        return RC_RULE_WAITS;
    }
    return run_refuse(run, RC_GUARD_INSIDE, rc_rule_outside(&run->values), run->values.err.text);
}

enum rc_rule_guarded rc_rule_run_guards(struct rc_rule_run *run)
{
    static enum rc_rule_guarded (*const guards[])(struct rc_rule_run * run) = {guard_rate, guard_who, guard_schema,
                                                                               guard_inside};
    run->guard = RC_GUARDS;
    for (size_t i = 0; i < RC_ARRAY_COUNT(guards); i++) {
        const enum rc_rule_guarded result = guards[i](run);
        if (result == RC_RULE_WAITS && i > 0 && run_is_rated(run)) {
            const struct rc_limit_question question = rate_question(run);
            rc_limits_unused(run->clients->limits, &question); /* it is asked again with the rest */
        }
        if (result != RC_RULE_PASSES) {
            return result;
        }
    }
    return RC_RULE_PASSES;
}

/* --- what is known --------------------------------------------------------------------------------------------------- */

void rc_rule_run_open(struct rc_rule_run *run, struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                      struct rc_span event)
{
    run->engines = engines;
    run->clients = engines->clients;
    run->client = client;
    run->random = client == 0 ? 0 : rc_truth_client(engines->clients->truth, client)->random;
    run->nsp = nsp;
    run->event = event;
    run->id = run->args = (struct rc_span){0};
    run->its = (struct rc_args_view){0};
    run->row = NULL;
    run->input = (struct rc_rule_input){.nsp = nsp, .event = event};
    run->ends = run->dry = false;
    run->code = 0;
    run->why = "";
    run->answer = NULL;
    run->departs = NULL;
    run->guard = RC_GUARDS;
}

void rc_rule_run_ask(struct rc_rule_run *run, const struct rc_config_event *row, struct rc_span auth)
{
    struct rc_clients *clients = run->clients;
    struct rc_rule_input *input = &run->input;
    struct rc_span *documents = input->documents;
    /* Those of a row before it may be gone. */
    memset(documents, 0, sizeof(input->documents));
    input->answers = NULL;
    input->instance = rc_span_text(clients->control->instance_id);
    if (rc_event_uses(row, RC_EVENT_SOURCE_NOW) || rc_event_uses(row, RC_EVENT_SOURCE_NOW_MS)) {
        input->now_ms = input->now_ms == 0 ? rc_clock_wall_ms() : input->now_ms;
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_UUID) && input->random[0] == 0) {
        input->random[0] = rc_clients_random(clients);
        input->random[1] = rc_clients_random(clients);
    }
    if (run->client == 0) {
        return;
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_SID)) {
        rc_engine_nsp_sid(run->engines, run->client, run->nsp, run->sid);
        input->sid = rc_span_of(run->sid, sizeof(run->sid));
    }
    /* JSON in any case: who said nothing said an object without members. */
    documents[rc_rule_document(RC_EVENT_SOURCE_AUTH)] = auth.count > 0 ? auth : RC_SPAN("{}");
    if (rc_event_uses(row, RC_EVENT_SOURCE_USER) || row->guards.who != RC_EVENT_WHO_ANYONE) {
        documents[rc_rule_document(RC_EVENT_SOURCE_USER)] = rc_client_user_json(clients, run->client, run->user);
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_CLIENT) || row->set_count > 0) {
        documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)] = rc_client_set(clients, run->client);
    }
    for (enum rc_event_source source = RC_EVENT_SOURCE_QUERY; source <= RC_EVENT_SOURCE_COOKIE; source++) {
        if (rc_event_uses(row, source)) {
            documents[rc_rule_document(source)] = rc_client_request(clients, run->client, source);
        }
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_ADDRESS)) {
        input->address = rc_engine_address(run->engines, run->client);
    }
}
