/* rule_run: see rule_run.h. */
#include "worker/engine/rule_run.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/event_rules.h"
#include "common/records/select.h"
#include "worker/engine/auth.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/rule_eval.h"
#include "worker/engine/rule_retained.h"
#include "worker/engine/rule_room.h"
#include "worker/engine/rule_send.h"
#include "worker/engine/rule_wait.h"
#include "worker/engine/together.h"
#include "worker/gate/rule_policy.h"
#include "worker/store/receiving.h"
#include "worker/ws/frame.h"

/* --- what is done ---------------------------------------------------------------------------------------------------- */

/* Is there still somebody for whom the row is carried out? */
static bool run_lives(const struct rc_rule_run *run)
{
    return run->client == 0 || run->ends || rc_engine_lives(run->engines, run->client, run->random);
}

/* Is the next step to be done now? It is a record in the up ring, or an answer. */
static bool run_step(struct rc_rule_run *run)
{
    if (run->step++ < *run->done || run->dry) {
        return false;
    }
    if (run->stepped != NULL) {
        rc_client_step(run->clients, run->stepped(run, run->step));
    }
    return true;
}

/* The same, of one that comes to the same when it is done again. */
static bool run_step_repeats(struct rc_rule_run *run)
{
    if (run->step++ < *run->done || run->dry) {
        return false;
    }
    if (run->stepped != NULL) {
        rc_client_repeats(run->clients, run->stepped(run, run->step));
    }
    return true;
}

/* It is done. */
static void run_stepped(const struct rc_rule_run *run)
{
    *run->done = run->step;
    if (run->stepped != NULL) {
        rc_client_stepped(run->clients, run->stepped(run, run->step));
    }
}

/* To one of an emit's rooms. False: it has to wait. */
static bool run_emit_room(struct rc_rule_run *run, const struct rc_event_operation *operation,
                          const struct rc_event_template *template, struct rc_span event, struct rc_span args)
{
    struct rc_rule_target room;
    if (rc_rule_eval_target(run, template, RC_RULE_EMIT, &room) != 0 || !run_step(run)) {
        return true;
    }
    if (rc_rule_send_message(run, rc_rule_target_channel(&room), rc_span_of(room.name, room.bytes), event, args,
                             operation->flags) == RC_CARRIED_LATER) {
        return false;
    }
    run_stepped(run);
    return true;
}

/* To who sent the event: it does not go round by the relay, but where it may come back for it. False: it has to wait. */
static bool run_emit_sender(struct rc_rule_run *run, const struct rc_event_operation *operation, struct rc_span event,
                            struct rc_span args)
{
    char everybody[RC_CHANNEL_NAME_MAX];
    if (!run_step(run) || rc_rule_state_client(run)->state != RC_CLIENT_OPEN) {
        return true;
    }
    if (rc_recoverable_emits(run->engines, run->client, run->nsp, (operation->flags & RC_EVENT_VOLATILE) != 0)) {
        char sid[RC_SID_BYTES];
        rc_engine_place_sid(run->engines, run->client, run->nsp, sid);
        if (rc_rule_send_message(run, (struct rc_span){0}, rc_span_of(sid, sizeof(sid)), event, args,
                                 operation->flags) == RC_CARRIED_LATER) {
            return false;
        }
        run_stepped(run);
        return true;
    }
    if ((operation->flags & RC_EVENT_VOLATILE) == 0 || rc_hub_takes_volatile(run->clients->hub, run->client)) {
        rc_rule_send_reply(run, &(struct rc_event){.type = RC_EVENT_DIRECT,
                                                   .channel = rc_rule_everybody(run, everybody),
                                                   .event = event,
                                                   .data = args,
                                                   .data_kind = RC_DATA_ARGS});
    }
    run_stepped(run);
    return true;
}

/* Which of an emit's rooms are one message. False: one cannot be worked out, or may not be sent to. */
static bool run_together(struct rc_rule_run *run, const struct rc_event_operation *operation,
                         struct rc_together *together)
{
    const struct rc_event_template *rooms = rc_event_rooms(run->clients->config, operation);
    rc_together_begin(together);
    for (uint32_t i = 0; i < operation->room_count; i++) {
        struct rc_rule_target room;
        if (rc_rule_eval_target(run, &rooms[i], RC_RULE_EMIT, &room) != 0) {
            return false;
        }
        rc_together_put(together, run->clients->config, rc_rule_target_channel(&room));
    }
    return true;
}

/* To several rooms: those that are one message in the step of the first of them. False: it has to wait. */
static bool run_emit_rooms(struct rc_rule_run *run, const struct rc_event_operation *operation, struct rc_span event,
                           struct rc_span args)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_event_template *rooms = rc_event_rooms(config, operation);
    struct rc_together together;
    char everybody[RC_CHANNEL_NAME_MAX];
    bool sent = false;
    if (!run_together(run, operation, &together)) {
        return true;
    }
    const struct rc_span names = rc_together_names(&together);
    for (uint32_t i = 0; i < operation->room_count && run->code == 0; i++) {
        struct rc_rule_target room;
        if (rc_rule_eval_target(run, &rooms[i], RC_RULE_EMIT, &room) != 0) {
            return true;
        }
        if (names.count == 0 || !rc_together_may(config, rc_rule_target_channel(&room))) {
            if (!run_emit_room(run, operation, &rooms[i], event, args)) {
                return false;
            }
            continue;
        }
        if (sent) {
            run->step++;
        } else if (run_step(run)) {
            run->rooms = names;
            const enum rc_carried carried = rc_rule_send_message(run, rc_rule_everybody(run, everybody),
                                                                 (struct rc_span){0}, event, args, operation->flags);
            run->rooms = (struct rc_span){0};
            if (carried == RC_CARRIED_LATER) {
                return false;
            }
            run_stepped(run);
        }
        sent = true;
    }
    return true;
}

/* The rooms whose members do not get an emit, in `names`. A name that is worked out to nothing is an error, as of any room. */
static int run_excepts(struct rc_rule_run *run, const struct rc_event_operation *operation, char *names)
{
    const struct rc_event_template *rooms = rc_event_excepts(run->clients->config, operation);
    char name[RC_CHANNEL_NAME_MAX];
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < operation->except_count; i++) {
        size_t count;
        const int code = rc_rule_room(&run->values, &rooms[i], name, &count);
        if (code != 0) {
            return rc_rule_state_fail(run, code, run->values.err.text);
        }
        (void)rc_select_room_put(names, &bytes, run->nsp, rc_span_of(name, count)); /* too long: nobody is in it */
    }
    run->except = rc_span_of(names, bytes);
    return 0;
}

/* False: it has to wait. */
static bool run_emit(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    const struct rc_config *config = run->clients->config;
    char scratch[RC_EVENT_NAME_MAX];
    char everybody[RC_CHANNEL_NAME_MAX];
    char except[RC_SELECT_NAMES_BYTES];
    struct rc_span event;
    struct rc_span args;
    if (run_excepts(run, operation, except) != 0) {
        return true;
    }
    const int code = rc_rule_event(&run->values, &operation->event, scratch, &event);
    if (code != 0) {
        rc_rule_state_fail(run, code, run->values.err.text);
        return true;
    }
    if (rc_rule_eval_args(run, &operation->args, &args) != 0) {
        return true;
    }
    if (operation->flags & RC_EVENT_TO_SENDER) {
        return run_emit_sender(run, operation, event, args);
    }
    if (operation->flags & RC_EVENT_TO_EVERYBODY) {
        if (run_step(run)) {
            if (rc_rule_send_message(run, rc_rule_everybody(run, everybody), (struct rc_span){0}, event, args,
                                     operation->flags) == RC_CARRIED_LATER) {
                return false;
            }
            run_stepped(run);
        }
        return true;
    }
    const struct rc_event_template *rooms = rc_event_rooms(config, operation);
    return operation->room_count > 1 ? run_emit_rooms(run, operation, event, args)
                                     : run_emit_room(run, operation, &rooms[0], event, args);
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
    if (run_step_repeats(run)) {
        const int rc = rc_client_set_merge(clients, run->client, args.json);
        run_stepped(run);
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
    } else if (run_step_repeats(run)) {
        rc_receiving_operation(run->clients->truth, false);
        run_stepped(run);
        (void)rc_rule_send_operation(run, &does);
    }
}

static void run_rooms(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    const struct rc_event_template *rooms = rc_event_rooms(run->clients->config, operation);
    for (uint32_t i = 0; i < operation->room_count; i++) {
        struct rc_rule_target room;
        if (rc_rule_eval_target(run, &rooms[i], (enum rc_event_operation_type)operation->type, &room) != 0) {
            return;
        }
        if (run_step_repeats(run)) {
            struct rc_operation does;
            rc_operation_reset(&does);
            does.type = operation->type == RC_RULE_JOIN ? RC_OPERATION_SUBSCRIBE : RC_OPERATION_UNSUBSCRIBE;
            does.channel = rc_rule_target_channel(&room);
            does.retained = operation->type == RC_RULE_JOIN && rc_rule_retained_joins(run, does.channel);
            if (run->code != 0) {
                return;
            }
            const bool refused =
                rc_rule_send_operation(run, &does) == RC_CARRIED_REFUSED && does.type == RC_OPERATION_SUBSCRIBE;
            run_stepped(run);
            if (refused) {
                rc_rule_state_fail(run, RC_CODE_LIMITED, "too many rooms, or no room for more on this server");
                return;
            }
        }
    }
}

/* The event's arguments are a room's retained value. False: it has to wait. */
static bool run_retain(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    struct rc_rule_target room;
    if (rc_rule_eval_target(run, rc_event_rooms(run->clients->config, operation), RC_RULE_RETAIN, &room) != 0 ||
        !run_step(run)) {
        return true;
    }
    if (rc_rule_send_kept(run, rc_rule_target_channel(&room)) == RC_CARRIED_LATER) {
        return false;
    }
    run_stepped(run);
    return true;
}

static void run_ack(struct rc_rule_run *run, const struct rc_event_operation *operation)
{
    struct rc_span args;
    char everybody[RC_CHANNEL_NAME_MAX];
    if (rc_rule_eval_args(run, &operation->args, &args) != 0 || !run_step(run)) {
        return;
    }
    if (run->answer != NULL) {
        struct rc_args_view its;
        const int rc = rc_args_read(args, &its);
        RC_ASSERT(rc == 0); /* we wrote it */
        run->answer->put(run->answer->context, its.json);
    } else if (run->id.count > 0) {
        rc_rule_send_reply(run, &(struct rc_event){.type = RC_EVENT_ACK,
                                                   .channel = rc_rule_everybody(run, everybody),
                                                   .id = run->id,
                                                   .data = args,
                                                   .data_kind = RC_DATA_ARGS});
        run_stepped(run);
    }
}

/* What follows a join is a promise: the relay must know of it before. */
static bool run_must_wait(const struct rc_rule_run *run)
{
    if (run->dry || run->ends || run->client == 0 || rc_rule_state_client(run)->pending_count == 0) {
        return false;
    }
    rc_rule_state_client(run)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    return true;
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
        rc_rule_state_client(run)->flags |= RC_CLIENT_WAITS_ANSWER;
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
    case RC_RULE_RETAIN:
        return run_retain(run, operation);
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
    run->id = run->args = run->rooms = run->except = (struct rc_span){0};
    run->its = (struct rc_args_view){0};
    run->auth = NULL;
    run->asked = false;
    run->taken = NULL;
    run->row = NULL;
    run->input = (struct rc_rule_input){.nsp = nsp, .event = event};
    run->ends = run->dry = false;
    run->stepped = NULL;
    run->code = 0;
    run->why = "";
    run->answer = NULL;
    run->departs = NULL;
    run->guard = RC_GUARDS;
}

/* Of its client alone. */
static void run_ask_client(struct rc_rule_run *run, const struct rc_config_event *row)
{
    struct rc_clients *clients = run->clients;
    struct rc_rule_input *input = &run->input;
    struct rc_span *documents = input->documents;
    if (rc_event_uses(row, RC_EVENT_SOURCE_SID)) {
        rc_engine_nsp_sid(run->engines, run->client, run->nsp, run->sid);
        input->sid = rc_span_of(run->sid, sizeof(run->sid));
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_AUTH)) {
        const struct rc_span auth =
            run->auth != NULL ? *run->auth : rc_engine_auth(run->engines, run->client, run->nsp);
        /* JSON in any case: who said nothing said an object without members. */
        documents[rc_rule_document(RC_EVENT_SOURCE_AUTH)] = auth.count > 0 ? auth : RC_SPAN("{}");
    }
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

#define SOURCES_OF_ALL                                                                            \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ARGUMENT) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_REST) |  \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NSP) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_EVENT) |      \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ROOM) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ROOM_PART) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ANSWER) |                                                \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ERROR)) /* whose values are there, or come */

void rc_rule_run_ask(struct rc_rule_run *run, const struct rc_config_event *row)
{
    struct rc_clients *clients = run->clients;
    struct rc_rule_input *input = &run->input;
    if (run->asked) { /* what a row before it has found may be gone */
        memset(input->documents, 0, sizeof(input->documents));
        input->answers = NULL;
    }
    run->asked = true;
    if ((row->uses & ~SOURCES_OF_ALL) == 0 && row->guards.who == RC_EVENT_WHO_ANYONE && row->set_count == 0) {
        return;
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_INSTANCE)) {
        input->instance = rc_span_text(clients->control->instance_id);
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_NOW) || rc_event_uses(row, RC_EVENT_SOURCE_NOW_MS)) {
        input->now_ms = input->now_ms == 0 ? rc_clock_wall_ms() : input->now_ms;
    }
    if (rc_event_uses(row, RC_EVENT_SOURCE_UUID) && input->random[0] == 0) {
        input->random[0] = rc_clients_random(clients);
        input->random[1] = rc_clients_random(clients);
    }
    if (run->client != 0) {
        run_ask_client(run, row);
    }
}
