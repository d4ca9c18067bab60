/* rules: see rules.h. */
#include "worker/engine/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/event_rules.h"
#include "common/records/args.h"
#include "worker/engine/asked.h"
#include "worker/engine/auth.h"
#include "worker/gate/event_schema.h"
#include "worker/gate/permission.h"
#include "worker/gate/rule_values.h"

/* `*done` of a row that waits, never 0: DONE_WAITS, the reloads that there were, the steps. */
#define DONE_WAITS (1u << 31)
#define DONE_RULES_AT 24u
#define DONE_RULES_MAX 0x7fu
#define DONE_STEPS ((1u << DONE_RULES_AT) - 1)

/*
 * One row being carried out for one event. What it does is counted in steps: each room that is left, joined or emitted to, and the
 * acknowledgement. A row that has to wait is gone through again from its first step, and those before `*done` are passed over: all
 * that it works out comes from the event alone.
 */
struct run {
    struct rc_engines *engines;
    struct rc_clients *clients;
    uint32_t client; /* 0: a server said it */
    uint64_t random; /* the client's: it may end by what is done */
    struct rc_span nsp;
    struct rc_span event;
    struct rc_span id;       /* of the acknowledgement that is asked for; empty = none */
    struct rc_span args;     /* as rc_args has them; empty = none */
    struct rc_args_view its; /* of them */
    const struct rc_config_event *row;
    struct rc_rule_values values;
    uint32_t step; /* the next one */
    uint32_t *done;
    bool ends; /* it is the client's end that is being told of */
    bool dry;  /* only looks whether everything could be worked out */
    int code;  /* why not: 0 = it could */
    const char *why;
    const struct rc_rules_answer *answer; /* of a server that wants one; NULL = none */
};

static int run_fail(struct run *run, int code, const char *why)
{
    run->code = code;
    run->why = why;
    return code;
}

/* --- what is worked out ---------------------------------------------------------------------------------------------- */

/* The template's buffer: arguments have room before them for what rc_args puts there. NULL: no memory. */
static uint8_t *run_buffer(struct run *run, size_t *room)
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
static int run_args(struct run *run, const struct rc_event_template *template, struct rc_span *out)
{
    size_t room;
    struct rc_rule_args args;
    uint8_t *json = run_buffer(run, &room);
    if (json == NULL) {
        return run_fail(run, RC_CODE_UNAVAILABLE, "no memory");
    }
    const int code = rc_rule_args(&run->values, template, json, room, &args);
    if (code != 0) {
        return run_fail(run, code, run->values.err.text);
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
    return out->count == 0 ? run_fail(run, RC_CODE_TOO_LARGE, "the message is too large") : 0;
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
static int run_permits(struct run *run, const struct room *room, enum rc_event_operation_type type)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_config_namespace *namespace = rc_config_namespace_of(config, room->name, room->bytes);
    const struct rc_span user = rc_client_user(run->clients, run->client);
    struct rc_sid sid;
    if (rc_sid_read(&sid, rc_span_of(room->name, room->bytes))) {
        if (type == RC_RULE_JOIN || !rc_permission_allows(config->permissions.direct, user, room_channel(room))) {
            return run_fail(run, RC_CODE_FORBIDDEN, "you may not send direct messages");
        }
        return 0;
    }
    const enum rc_who who = type == RC_RULE_EMIT ? namespace->publish : namespace->subscribe;
    if (type != RC_RULE_LEAVE && !rc_permission_allows(who, user, room_channel(room))) {
        return run_fail(run, rc_permission_refusal(who, user), "you may not use this room");
    }
    return 0;
}

static int run_room(struct run *run, const struct rc_event_template *template, enum rc_event_operation_type type,
                    struct room *room)
{
    const int code = rc_rule_room(&run->values, template, room->name, &room->bytes);
    if (code != 0) {
        return run_fail(run, code, run->values.err.text);
    }
    room->channel_bytes =
        rc_channel_of_room(room->channel, sizeof(room->channel), run->nsp, rc_span_of(room->name, room->bytes));
    if (room->channel_bytes == 0) {
        return run_fail(run, RC_CODE_BAD_REQUEST, "the room's name is too long");
    }
    return (template->flags & RC_EVENT_CLIENT_CHOOSES) != 0 && run->client != 0 ? run_permits(run, room, type) : 0;
}

/* --- what is done ---------------------------------------------------------------------------------------------------- */

static struct rc_client *run_client(const struct run *run)
{
    return rc_truth_client(run->clients->truth, run->client);
}

/* Name of the channel of everybody in the namespace. */
static struct rc_span run_everybody(const struct run *run, char out[RC_CHANNEL_NAME_MAX])
{
    const size_t bytes = rc_channel_of_room(out, RC_CHANNEL_NAME_MAX, run->nsp, (struct rc_span){0});
    RC_ASSERT(bytes > 0);
    return rc_span_of(out, bytes);
}

/* Is there still somebody for whom the row is carried out? */
static bool run_lives(const struct run *run)
{
    return run->client == 0 || run->ends || rc_engine_lives(run->engines, run->client, run->random);
}

static void run_reply(struct run *run, const struct rc_event *event)
{
    if (rc_hub_reply_event(run->clients->hub, run->client, event) < 0) {
        rc_client_failed_memory(run->clients, run->client);
    }
}

/* Is the next step to be done now? */
static bool run_step(struct run *run)
{
    return run->step++ >= *run->done && !run->dry;
}

/* A server's message: it has no origin, and nobody is to wait for room in the up ring. */
static enum rc_carried run_post(const struct run *run, const struct rc_operation *operation)
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

static enum rc_carried run_carry_out(struct run *run, const struct rc_operation *operation)
{
    return run->client == 0 ? run_post(run, operation)
                            : rc_client_carry_out(run->clients, run->client, RC_AUTHOR_BACKEND, operation);
}

/* A message for a room, a socket or everybody. */
static enum rc_carried run_send(struct run *run, struct rc_span channel, struct rc_span name, struct rc_span event,
                                struct rc_span args, uint32_t flags)
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
        run_fail(run, RC_CODE_TOO_LARGE, "the message does not fit the server's rings");
    }
    return carried; /* a socket that is not there any more is an empty room */
}

/* To one of an emit's rooms. False: it has to wait. */
static bool run_emit_room(struct run *run, const struct rc_event_operation *operation,
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
static void run_emit_sender(struct run *run, const struct rc_event_operation *operation, struct rc_span event,
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
static bool run_emit(struct run *run, const struct rc_event_operation *operation)
{
    const struct rc_config *config = run->clients->config;
    char scratch[RC_EVENT_NAME_MAX];
    char everybody[RC_CHANNEL_NAME_MAX];
    struct rc_span event;
    struct rc_span args;
    const int code = rc_rule_event(&run->values, &operation->event, scratch, &event);
    if (code != 0) {
        run_fail(run, code, run->values.err.text);
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

static void run_rooms(struct run *run, const struct rc_event_operation *operation)
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
                run_fail(run, RC_CODE_LIMITED, "too many rooms, or no room for more on this server");
                return;
            }
        }
    }
}

static void run_ack(struct run *run, const struct rc_event_operation *operation)
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
static bool run_must_wait(const struct run *run)
{
    if (run->dry || run->ends || run->client == 0 || run_client(run)->pending_count == 0) {
        return false;
    }
    run_client(run)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    return true;
}

/* All operations of the row, those before `*done` left out. False: it has to wait. */
static bool run_row(struct run *run)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_operation *operations = rc_event_operations(config, run->row);
    run->step = 0;
    for (uint32_t i = 0; i < run->row->operation_count && run->code == 0 && run_lives(run); i++) {
        const struct rc_event_operation *operation = &operations[i];
        switch ((enum rc_event_operation_type)operation->type) {
        case RC_RULE_LEAVE:
        case RC_RULE_JOIN:
            run_rooms(run, operation);
            break;
        case RC_RULE_ACK:
            if (run_must_wait(run)) {
                return false;
            }
            run_ack(run, operation);
            break;
        case RC_RULE_EMIT:
            if (run_must_wait(run) || !run_emit(run, operation)) {
                return false;
            }
            break;
        }
    }
    return true;
}

/* --- rows ------------------------------------------------------------------------------------------------------------ */

/* Were the rows changed by a reload since more than `first` steps of them were done? Then a row is not what it was, and steps do not
 * count alike. */
static bool rows_changed(const struct rc_engines *engines, uint32_t done, uint32_t first)
{
    return (done & DONE_STEPS) > first &&
           ((done >> DONE_RULES_AT) & DONE_RULES_MAX) != (engines->rules & DONE_RULES_MAX);
}

uint32_t rc_rules_done(const struct rc_engines *engines, uint32_t steps)
{
    RC_ASSERT(steps <= DONE_STEPS);
    return DONE_WAITS | (engines->rules & DONE_RULES_MAX) << DONE_RULES_AT | steps;
}

static bool template_uses_auth(const struct rc_config *config, const struct rc_event_template *template)
{
    const struct rc_event_piece *pieces = rc_event_pieces(config, template);
    for (uint32_t i = 0; i < template->piece_count; i++) {
        if (pieces[i].source == RC_EVENT_SOURCE_AUTH && pieces[i].type != RC_EVENT_PIECE_LITERAL &&
            pieces[i].type != RC_EVENT_PIECE_COMMA) {
            return true;
        }
    }
    return false;
}

static bool row_uses_auth(const struct rc_config *config, const struct rc_config_event *row)
{
    const struct rc_event_operation *operations = rc_event_operations(config, row);
    for (uint32_t i = 0; i < row->operation_count; i++) {
        const struct rc_event_template *rooms = rc_event_rooms(config, &operations[i]);
        bool uses = template_uses_auth(config, &operations[i].event) || template_uses_auth(config, &operations[i].args);
        for (uint32_t room = 0; room < operations[i].room_count; room++) {
            uses |= template_uses_auth(config, &rooms[room]);
        }
        if (uses) {
            return true;
        }
    }
    return false;
}

bool rc_rules_use_auth(const struct rc_config *config)
{
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_config_event *row = &config->events[i];
        const bool connect = rc_event_life_cycle(row) && strcmp(row->on.text, "connect") == 0;
        if (row->from == RC_EVENT_FROM_CLIENT && !connect && row_uses_auth(config, row)) {
            return true;
        }
    }
    return false;
}

/* Where what a row asks of its client lies, where that is nowhere else. */
struct scratch {
    char sid[RC_SID_BYTES];
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
};

/* What a row may ask of a client, of a namespace's socket. */
static struct rc_rule_input client_input(const struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                                         struct rc_span auth, struct scratch *scratch)
{
    const struct rc_clients *clients = engines->clients;
    struct rc_rule_input input = {.nsp = nsp};
    rc_engine_nsp_sid(engines, client, nsp, scratch->sid);
    input.sid = rc_span_of(scratch->sid, sizeof(scratch->sid));
    /* JSON in any case: who said nothing said an object without members. */
    input.documents[rc_rule_document(RC_EVENT_SOURCE_AUTH)] = auth.count > 0 ? auth : RC_SPAN("{}");
    input.documents[rc_rule_document(RC_EVENT_SOURCE_USER)] = rc_client_user_json(clients, client, scratch->user);
    input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)] = rc_client_set(clients, client);
    for (enum rc_event_source source = RC_EVENT_SOURCE_QUERY; source <= RC_EVENT_SOURCE_COOKIE; source++) {
        input.documents[rc_rule_document(source)] = rc_client_request(clients, client, source);
    }
    input.address = rc_engine_address(engines, client);
    return input;
}

/* The sender is told why nothing was done: in place of the acknowledgement, or as an event. */
static void run_tell_error(struct run *run)
{
    char text[768];
    char escaped[704]; /* more than twice what a schema's fault may be */
    char everybody[RC_CHANNEL_NAME_MAX];
    const size_t bytes = rc_json_string_encode((uint8_t *)escaped, sizeof(escaped) - 1, rc_span_text(run->why));
    escaped[bytes] = '\0';
    const bool ack = run->id.count > 0;
    const int count =
        snprintf(text, sizeof(text), ack ? "{\"error\":{\"code\":%d,\"message\":%s}}" : "{\"code\":%d,\"message\":%s}",
                 run->code, bytes > 0 ? escaped : "\"\"");
    RC_ASSERT(count > 0 && (size_t)count < sizeof(text));
    rc_metric_add(run->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    run_reply(run, &(struct rc_event){
                       .type = ack ? RC_EVENT_ACK : RC_EVENT_DIRECT,
                       .channel = run_everybody(run, everybody),
                       .id = run->id,
                       .event = rc_span_text(run->clients->config->socketio.error_event.text),
                       .data = rc_span_of(text, (size_t)count),
                   });
}

/* An event without a row. */
static void run_unknown(struct run *run, const struct rc_operation *operation)
{
    const char *unknown = run->clients->config->socketio.unknown_event.text;
    const size_t head = strlen(RC_UNKNOWN_EVENT_BACKEND);
    if (strncmp(unknown, RC_UNKNOWN_EVENT_BACKEND, head) == 0) {
        rc_asked_event(run->engines, run->client, rc_span_text(unknown + head), operation, run->args, false);
        return;
    }
    rc_metric_add(run->clients->metrics, RC_METRIC_EVENTS_UNKNOWN, 1);
    if (strcmp(unknown, RC_UNKNOWN_EVENT_ERROR) == 0) {
        run_fail(run, RC_CODE_NOT_FOUND, "no such event");
        run_tell_error(run);
    }
}

/* Looks whether everything could be worked out: all or nothing, what cannot stops a row before its first step. */
static bool run_could(struct run *run)
{
    const enum rc_json_schema_result result =
        rc_event_schema_check(run->clients->config, run->row, run->its.json, &run->values.err);
    if (result != RC_JSON_SCHEMA_VALID) {
        rc_metric_add(run->clients->metrics,
                      result == RC_JSON_SCHEMA_LIMIT ? RC_METRIC_EVENTS_UNCHECKED : RC_METRIC_EVENTS_INVALID, 1);
        run_fail(run, RC_CODE_BAD_REQUEST, run->values.err.text);
        return false;
    }
    run->dry = true;
    (void)run_row(run);
    run->dry = false;
    return run->code == 0;
}

enum rc_engine_result rc_rules_event(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                                     struct rc_span args, uint32_t *done)
{
    struct rc_clients *clients = engines->clients;
    struct scratch scratch;
    uint32_t steps = *done & DONE_STEPS;
    struct run run = {.engines = engines,
                      .clients = clients,
                      .client = client,
                      .random = rc_truth_client(clients->truth, client)->random,
                      .nsp = operation->nsp,
                      .event = operation->event,
                      .id = operation->id,
                      .args = args,
                      .done = &steps};
    if (rows_changed(engines, *done, 0)) {
        run_fail(&run, RC_CODE_UNAVAILABLE, "the server was reconfigured while this waited");
        run_tell_error(&run);
        return RC_ENGINE_DONE;
    }
    const int rc = rc_args_read(args, &run.its);
    RC_ASSERT(rc == 0); /* we wrote it */
    run.row = rc_event_first(clients->config, RC_EVENT_FROM_CLIENT, operation->nsp, operation->event);
    if (run.row == NULL || rc_event_life_cycle(run.row)) {
        run_unknown(&run, operation);
        return RC_ENGINE_DONE;
    }
    struct rc_rule_input input =
        client_input(engines, client, operation->nsp, rc_engine_auth(engines, client, operation->nsp), &scratch);
    input.args = run.its.json;
    input.attachment_count = run.its.attachment_count;
    input.event = operation->event;
    rc_rule_values_begin(&run.values, clients->config, &input);
    if (steps == 0) {
        if (!run_could(&run)) {
            run_tell_error(&run);
            return RC_ENGINE_DONE;
        }
        rc_metric_add(clients->metrics, RC_METRIC_EVENTS, *done == 0);
    }
    if (!run_row(&run)) {
        *done = rc_rules_done(engines, steps);
        return RC_ENGINE_LATER;
    }
    if (!rc_engine_lives(engines, client, run.random)) {
        return RC_ENGINE_DONE;
    }
    if (run.code != 0) { /* what no template could tell */
        run_tell_error(&run);
    } else if (run.row->ask.text[0] != '\0') {
        rc_asked_event(engines, client, rc_span_text(run.row->ask.text), operation, args, run.row->ack_count > 0);
    }
    return RC_ENGINE_DONE;
}

/* One row of a socket's beginning or end. False: it has to wait. */
static bool life_row(struct rc_engines *engines, uint32_t client, const struct rc_config_event *row,
                     const struct rc_rule_input *input, struct rc_span args, uint32_t *done, uint32_t *steps)
{
    struct run run = {.engines = engines,
                      .clients = engines->clients,
                      .client = client,
                      .random = rc_truth_client(engines->clients->truth, client)->random,
                      .nsp = input->nsp,
                      .event = input->event,
                      .args = args,
                      .row = row,
                      .ends = args.count > 0,
                      .done = done};
    if (args.count > 0) {
        const int rc = rc_args_read(args, &run.its);
        RC_ASSERT(rc == 0); /* we wrote it */
    }
    rc_rule_values_begin(&run.values, engines->clients->config, input);
    const bool whole = run_row(&run);
    if (whole && run.code != 0) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    }
    *steps = run.step;
    return whole;
}

enum rc_engine_result rc_rules_connect(struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                                       struct rc_span auth, uint32_t *done)
{
    const struct rc_clients *clients = engines->clients;
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    const uint32_t all = *done & DONE_STEPS;
    uint32_t before = 1; /* steps of what came before: its CONNECT, rows before this one */
    struct scratch scratch;
    if (rows_changed(engines, *done, 1)) {
        rc_metric_add(clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
        rc_log_limited(RC_LOG_WARN, 1, "connect_row_cut", "nsp=\"%.*s\" reason=\"the rows have changed\"",
                       (int)nsp.count, (const char *)nsp.bytes);
        return RC_ENGINE_DONE;
    }
    struct rc_rule_input input = client_input(engines, client, nsp, auth, &scratch);
    input.event = RC_SPAN("connect");
    for (const struct rc_config_event *row = rc_event_first(clients->config, RC_EVENT_FROM_CLIENT, nsp, input.event);
         row != NULL && rc_engine_lives(engines, client, random); row = rc_event_next(clients->config, row, nsp)) {
        uint32_t its_done = all > before ? all - before : 0;
        uint32_t steps;
        if (!life_row(engines, client, row, &input, (struct rc_span){0}, &its_done, &steps)) {
            *done = rc_rules_done(engines, before + its_done);
            return RC_ENGINE_LATER;
        }
        before += steps;
    }
    return RC_ENGINE_DONE;
}

void rc_rules_disconnect(struct rc_engines *engines, uint32_t client, struct rc_span nsp, const char *reason)
{
    const struct rc_clients *clients = engines->clients;
    const struct rc_config_event *row =
        rc_event_first(clients->config, RC_EVENT_FROM_CLIENT, nsp, RC_SPAN("disconnect"));
    uint8_t text[RC_ARGS_BEFORE_MAX + 64];
    struct scratch scratch;
    if (row == NULL) {
        return;
    }
    const int bytes =
        snprintf((char *)text + RC_ARGS_BEFORE_MAX, sizeof(text) - RC_ARGS_BEFORE_MAX, "[\"%s\"]", reason);
    RC_ASSERT(bytes > 0 && (size_t)bytes < sizeof(text) - RC_ARGS_BEFORE_MAX);
    const struct rc_span args = rc_args_wrap(text + RC_ARGS_BEFORE_MAX, (size_t)bytes, 0, NULL, 0);
    struct rc_rule_input input = client_input(engines, client, nsp, rc_engine_auth(engines, client, nsp), &scratch);
    input.args = rc_span_of(text + RC_ARGS_BEFORE_MAX, (size_t)bytes);
    input.event = RC_SPAN("disconnect");
    for (; row != NULL; row = rc_event_next(clients->config, row, nsp)) {
        uint32_t done = 0;
        uint32_t steps;
        if (!life_row(engines, client, row, &input, args, &done, &steps)) {
            rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
            rc_log_limited(RC_LOG_WARN, 1, "disconnect_row_cut", "nsp=\"%.*s\" reason=\"the up ring is full\"",
                           (int)nsp.count, (const char *)nsp.bytes);
        }
    }
}

void rc_rules_server_event(struct rc_engines *engines, struct rc_span nsp, struct rc_span event, struct rc_span json,
                           const struct rc_rules_answer *answer)
{
    const struct rc_clients *clients = engines->clients;
    uint32_t done = 0;
    struct run run = {.engines = engines,
                      .clients = engines->clients,
                      .nsp = nsp,
                      .event = event,
                      .row = rc_event_first(clients->config, RC_EVENT_FROM_SERVER, nsp, event),
                      .answer = answer,
                      .done = &done};
    if (run.row == NULL) {
        rc_metric_add(clients->metrics, RC_METRIC_EVENTS_UNKNOWN, 1);
        return;
    }
    uint8_t *copy = malloc(RC_ARGS_BEFORE_MAX + json.count + 1);
    if (copy == NULL) {
        rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
        return;
    }
    memcpy(copy + RC_ARGS_BEFORE_MAX, json.bytes, json.count);
    run.args = rc_args_wrap(copy + RC_ARGS_BEFORE_MAX, json.count, 0, NULL, 0);
    const int rc = rc_args_read(run.args, &run.its);
    RC_ASSERT(rc == 0); /* we wrote it */
    const struct rc_rule_input input = {.args = run.its.json, .nsp = nsp, .event = event};
    rc_rule_values_begin(&run.values, clients->config, &input);
    if (run_could(&run)) {
        rc_metric_add(clients->metrics, RC_METRIC_EVENTS, 1);
        if (!run_row(&run)) {
            run_fail(&run, RC_CODE_UNAVAILABLE, "the up ring is full");
        }
    }
    if (run.code != 0) {
        rc_metric_add(clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
        rc_log_limited(RC_LOG_WARN, 1, "server_event_cut", "nsp=\"%.*s\" reason=\"%s\"", (int)nsp.count,
                       (const char *)nsp.bytes, run.why);
    }
    free(copy);
}
