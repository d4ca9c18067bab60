/* rules: see rules.h. */
#include "worker/engine/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/event_rules.h"
#include "common/metrics/event_rows.h"
#include "common/records/args.h"
#include "worker/engine/asked.h"
#include "worker/engine/auth.h"
#include "worker/engine/rule_guard.h"
#include "worker/engine/rule_run.h"
#include "worker/engine/rule_tell.h"
#include "worker/engine/rule_trace.h"
#include "worker/engine/rule_wait.h"
#include "worker/gate/permission.h"
#include "worker/gate/rule_find.h"
#include "worker/gate/rule_values.h"
#include "worker/store/receiving.h"

/* `*done` of a row that waits, never 0: DONE_WAITS, the reloads that there were, of an event its row and DONE_PASSED, and the
 * steps. */
#define DONE_WAITS (1u << 31)
#define DONE_RULES_AT 24u
#define DONE_RULES_MAX 0x7fu
#define DONE_STEPS ((1u << DONE_RULES_AT) - 1)
#define DONE_ROW_AT 16u
#define DONE_PASSED (1u << 15)           /* its guards have let it through */
#define DONE_ROW_STEPS (DONE_PASSED - 1) /* of one row */
_Static_assert(RC_CONFIG_EVENTS_MAX <= 1u << (DONE_RULES_AT - DONE_ROW_AT), "a row's index has room in *done");

/* --- rows ------------------------------------------------------------------------------------------------------------ */

/* Were the rows changed by a reload since it began to wait? Then a row is not what it was, and steps do not count alike. */
static bool rows_changed(const struct rc_engines *engines, uint32_t done)
{
    return ((done >> DONE_RULES_AT) & DONE_RULES_MAX) != (engines->rules & DONE_RULES_MAX);
}

uint32_t rc_rules_done(const struct rc_engines *engines, uint32_t steps)
{
    RC_ASSERT(steps <= DONE_STEPS);
    return DONE_WAITS | (engines->rules & DONE_RULES_MAX) << DONE_RULES_AT | steps;
}

bool rc_rules_use_auth(const struct rc_config *config)
{
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_config_event *row = &config->events[i];
        const bool connect = rc_event_life_cycle(row) && strcmp(row->on.text, "connect") == 0;
        if (row->from == RC_EVENT_FROM_CLIENT && !connect && rc_event_uses(row, RC_EVENT_SOURCE_AUTH)) {
            return true;
        }
    }
    return false;
}

/* An event without a row. */
static void run_unknown(struct rc_rule_run *run, const struct rc_operation *operation)
{
    const char *unknown = run->clients->config->socketio.unknown_event.text;
    const size_t head = strlen(RC_UNKNOWN_EVENT_BACKEND);
    if (strncmp(unknown, RC_UNKNOWN_EVENT_BACKEND, head) == 0) {
        rc_asked_event(run->engines, run->client, rc_span_text(unknown + head), operation, run->args, false, NULL);
        return;
    }
    rc_metric_add(run->clients->metrics, RC_METRIC_EVENTS_UNKNOWN, 1);
    if (strcmp(unknown, RC_UNKNOWN_EVENT_ERROR) == 0) {
        rc_rule_state_fail(run, RC_CODE_NOT_FOUND, "no such event");
        rc_rule_tell(run);
    }
}

/* The row is the one that is carried out: its values are worked out from now on. If it has waited, as they were then. */
static void run_take(struct rc_rule_run *run, const struct rc_config_event *row)
{
    if (run->taken == row) {
        return; /* its `match` has been looked at */
    }
    run->taken = row;
    const struct rc_rule_wait *wait = rc_rule_wait_of(run->engines, run->client);
    rc_rule_run_ask(run, row);
    if (wait != NULL && wait->row == (uint32_t)(row - run->clients->config->events)) {
        rc_rule_wait_apply(wait, run);
    }
    rc_rule_values_begin(&run->values, run->clients->config, &run->input);
}

/* Is it for this event, by what is in it? */
static bool run_matches(struct rc_rule_run *run, const struct rc_config_event *row)
{
    if (row->guards.match_count == 0) {
        return true;
    }
    run_take(run, row);
    return rc_rule_holds(&run->values, row->guards.match, row->guards.match_count);
}

/* The first row in the file's order that is for the event; NULL: none. */
static const struct rc_config_event *run_select(struct rc_rule_run *run, enum rc_event_from from)
{
    const struct rc_config *config = run->clients->config;
    const struct rc_config_event *row = rc_event_first(config, from, run->nsp, run->event);
    if (row != NULL && rc_event_life_cycle(row)) {
        return NULL;
    }
    while (row != NULL && !run_matches(run, row)) {
        row = rc_event_next(config, row, run->nsp, run->event);
    }
    return row;
}

/* What run->args are. */
static void args_given(struct rc_rule_run *run, const struct rc_args_view *its)
{
    run->its = *its;
    run->input.args = its->json;
    run->input.attachment_count = its->attachment_count;
}

static void args_take(struct rc_rule_run *run)
{
    struct rc_args_view its;
    const int rc = rc_args_read(run->args, &its);
    RC_ASSERT(rc == 0); /* we wrote it */
    args_given(run, &its);
}

/* The decoder has looked through them where they came, behind their '[': the same in what they were copied to. */
static void args_found(struct rc_rule_run *run, const struct rc_operation *operation)
{
    const struct rc_args_index *found = operation->index;
    const uint8_t *const here = run->its.json.bytes + 1;
    const uint8_t *const there = operation->data.bytes;
    if (found == NULL) {
        return;
    }
    run->index.count = found->count;
    if (found->count > 0) {
        run->index.last = rc_span_of(here + (found->last.bytes - there), found->last.count);
    }
    for (uint32_t i = 0; i < found->count && i < RC_ARGS_INDEXED_MAX; i++) {
        run->index.first[i] = found->first[i];
        run->index.first[i].raw.bytes = here + (found->first[i].raw.bytes - there);
    }
    run->input.index = &run->index;
}

static uint32_t event_done(const struct rc_engines *engines, const struct rc_config_event *row, uint32_t steps)
{
    const uint32_t index = (uint32_t)(row - engines->clients->config->events);
    return rc_rules_done(engines, index << DONE_ROW_AT | steps);
}

/* As rc_rules_event has it in *done, of a row whose guards have let it through. */
static uint32_t event_stepped(const struct rc_rule_run *run, uint32_t steps)
{
    return event_done(run->engines, run->row, steps | DONE_PASSED);
}

/* It waits: what may change meanwhile is kept. False: there is no memory for it, and the client ends. */
static bool run_keep(struct rc_rule_run *run)
{
    if (!rc_rule_wait_needed(run->row) || rc_rule_wait_keep(run) != NULL) {
        return true;
    }
    rc_client_failed_memory(run->clients, run->client);
    return false;
}

void rc_rules_forget(struct rc_engines *engines, uint32_t client)
{
    rc_rule_wait_end(rc_rule_wait_of(engines, client));
}

/* `guard`: as rc_event_row_count has it. */
static void row_count(const struct rc_rule_run *run, int guard)
{
    const struct rc_clients *clients = run->clients;
    rc_event_row_count(&clients->control->own->rows[run->row - clients->config->events], guard);
}

/* It is over: was all of it done? Not where there was an error, the up ring was full (not `whole`), or its client has ended in the
 * middle. */
static void row_over(const struct rc_rule_run *run, bool whole)
{
    const bool done = whole && run->code == 0 && run->step >= rc_rule_steps(run->row, run->clients->config);
    row_count(run, done ? -1 : RC_GUARDS);
}

/* Its guards and, once they let it through, whether all of it could be done. RC_RULE_REFUSED: it was told why not. */
static enum rc_rule_guarded event_begin(struct rc_rule_run *run)
{
    enum rc_rule_guarded guarded = rc_rule_guards(run);
    if (guarded == RC_RULE_PASSES && !rc_rule_run_could(run)) {
        guarded = RC_RULE_REFUSED;
    }
    if (guarded == RC_RULE_PASSES) {
        rc_metric_add(run->clients->metrics, RC_METRIC_EVENTS, 1);
    } else if (guarded == RC_RULE_REFUSED) {
        row_count(run, (int)run->guard);
        rc_metric_add(run->clients->metrics, RC_METRIC_EVENTS_REFUSED, run->guard < RC_GUARDS);
        rc_rule_tell(run);
    }
    return guarded;
}

void rc_rules_refuse(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation, int code,
                     const char *why)
{
    struct rc_rule_run run;
    rc_rule_run_open(&run, engines, client, operation->nsp, operation->event);
    run.id = operation->id;
    rc_rule_state_fail(&run, code, why);
    rc_rule_tell(&run);
}

/*
 * Can it be gone on with where a killed worker was in it? Each of its steps is a record in the up ring, or an answer, or may be done again. What it
 * knows is the same in each step, but for the time and the like, and what it asks about rooms: that is kept by the process alone (rule_wait.h).
 */
static bool row_repeats(const struct rc_rule_run *run)
{
    const uint32_t changes = RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NOW) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NOW_MS) |
                             RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_UUID);
    return ((run->row->question_count == 0 && (run->row->uses & changes) == 0) ||
            rc_rule_steps(run->row, run->clients->config) <= 1);
}

enum rc_engine_result rc_rules_event(struct rc_engines *engines, uint32_t client, const struct rc_operation *operation,
                                     struct rc_span args, const struct rc_args_view *its, uint32_t *done)
{
    struct rc_clients *clients = engines->clients;
    uint32_t steps = *done & DONE_ROW_STEPS;
    struct rc_rule_run run;
    rc_rule_run_open(&run, engines, client, operation->nsp, operation->event);
    run.id = operation->id;
    run.args = args;
    run.done = &steps;
    if (*done != 0 && rows_changed(engines, *done)) {
        rc_rules_forget(engines, client);
        rc_rule_state_fail(&run, RC_CODE_UNAVAILABLE, "the server was reconfigured while this waited");
        rc_rule_tell(&run);
        return RC_ENGINE_DONE;
    }
    run.stepped = event_stepped;
    args_given(&run, its);
    args_found(&run, operation);
    run.row = *done == 0 ? run_select(&run, RC_EVENT_FROM_CLIENT)
                         : &clients->config->events[(*done & DONE_STEPS) >> DONE_ROW_AT];
    if (rc_rule_traces(clients) && *done == 0) {
        rc_rule_trace_row(&run);
    }
    if (run.row == NULL) {
        run_unknown(&run, operation);
        return RC_ENGINE_DONE;
    }
    rc_receiving_operation(clients->truth, row_repeats(&run));
    run_take(&run, run.row);
    const enum rc_rule_guarded guarded = (*done & DONE_PASSED) == 0 ? event_begin(&run) : RC_RULE_PASSES;
    if (guarded == RC_RULE_PASSES && (*done & DONE_PASSED) == 0) {
        rc_client_stepped(clients, event_stepped(&run, steps)); /* its guards have counted it */
    }
    if (guarded == RC_RULE_WAITS || (guarded == RC_RULE_PASSES && !rc_rule_run_row(&run))) {
        *done = event_done(engines, run.row, steps | (guarded == RC_RULE_PASSES ? DONE_PASSED : 0));
        return run_keep(&run) ? RC_ENGINE_LATER : RC_ENGINE_DONE;
    }
    const bool lives = rc_engine_lives(engines, client, run.random);
    const bool asks = lives && run.code == 0 && run.row->ask.text[0] != '\0';
    if (guarded == RC_RULE_PASSES &&
        !asks) { /* else it was counted when it was refused, or is when the backend has answered */
        row_over(&run, true);
    }
    if (!lives) {
        return RC_ENGINE_DONE;
    }
    rc_rules_forget(engines, client);
    if (guarded == RC_RULE_REFUSED) {
        return RC_ENGINE_DONE; /* it was told */
    }
    if (run.code != 0) { /* what no template could tell */
        rc_rule_tell(&run);
    } else if (asks) {
        rc_asked_event(engines, client, rc_span_text(run.row->ask.text), operation, args, run.row->ack_count > 0,
                       run.row);
    }
    return RC_ENGINE_DONE;
}

/* Does the row run for a socket's beginning or end: is it for it, and do its guards hold? */
static enum rc_rule_guarded life_begin(struct rc_rule_run *run, const struct rc_config_event *row)
{
    run->row = row;
    run->code = 0;
    if (!run_matches(run, row)) {
        return RC_RULE_REFUSED;
    }
    run_take(run, row);
    const enum rc_rule_guarded guarded = rc_rule_guards(run);
    if (guarded == RC_RULE_REFUSED) {
        row_count(run, (int)run->guard);
    }
    return guarded;
}

/* As rc_rules_connect has it in *done. */
static uint32_t connect_stepped(const struct rc_rule_run *run, uint32_t steps)
{
    return rc_rules_done(run->engines, run->before + steps);
}

/* One row of a socket's beginning, unless its guards do not hold. False: it has to wait. */
static bool connect_row(struct rc_rule_run *run, const struct rc_config_event *row)
{
    enum rc_rule_guarded guarded = RC_RULE_PASSES;
    if (*run->done == 0) {
        guarded = life_begin(run, row);
    } else {
        run->row = row;
        run->code = 0;
        run_take(run, row);
    }
    if (guarded != RC_RULE_PASSES) {
        return guarded == RC_RULE_REFUSED;
    }
    rc_receiving_operation(run->clients->truth, row_repeats(run));
    const bool whole = rc_rule_run_row(run);
    if (whole) {
        row_over(run, true);
        rc_metric_add(run->clients->metrics, RC_METRIC_REQUEST_ERRORS, run->code != 0);
    }
    return whole;
}

enum rc_engine_result rc_rules_connect(struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                                       struct rc_span auth, uint32_t *done)
{
    const struct rc_config *config = engines->clients->config;
    const uint32_t all = *done & DONE_STEPS;
    uint32_t its_done;
    struct rc_rule_run run;
    if (all > 1 && rows_changed(engines, *done)) {
        rc_rules_forget(engines, client);
        rc_metric_add(engines->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
        rc_log_limited(RC_LOG_WARN, 1, "connect_row_cut", "nsp=\"%.*s\" reason=\"the rows have changed\"",
                       (int)nsp.count, (const char *)nsp.bytes);
        return RC_ENGINE_DONE;
    }
    const struct rc_config_event *row = rc_event_first(config, RC_EVENT_FROM_CLIENT, nsp, RC_SPAN("connect"));
    if (row == NULL) {
        return RC_ENGINE_DONE;
    }
    rc_rule_run_open(&run, engines, client, nsp, RC_SPAN("connect"));
    run.auth = &auth;
    run.done = &its_done;
    run.before = 1;
    run.stepped = connect_stepped;
    for (; row != NULL && rc_engine_lives(engines, client, run.random);
         row = rc_event_next(config, row, nsp, run.event)) {
        const uint32_t steps = rc_rule_steps(row, config);
        its_done = all > run.before ? all - run.before : 0;
        if (its_done < steps) {
            if (!connect_row(&run, row)) {
                *done = rc_rules_done(engines, run.before + its_done);
                return run_keep(&run) ? RC_ENGINE_LATER : RC_ENGINE_DONE;
            }
            if (rc_engine_lives(engines, client, run.random)) {
                rc_rules_forget(engines, client);
            }
        }
        run.before += steps;
    }
    return RC_ENGINE_DONE;
}

/* --- the end --------------------------------------------------------------------------------------------------------- */

static void departure_cut(const struct rc_clients *clients, struct rc_span nsp, const char *why)
{
    rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    rc_log_limited(RC_LOG_WARN, 1, "disconnect_row_cut", "nsp=\"%.*s\" reason=\"%s\"", (int)nsp.count,
                   (const char *)nsp.bytes, why);
}

/* It is over: all of the row was done, or there was an error, or (not `whole`) the up ring was full. */
static void departure_end(const struct rc_rule_run *run, bool whole)
{
    row_over(run, whole);
    if (run->code != 0) {
        rc_metric_add(run->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    } else if (!whole) {
        departure_cut(run->clients, run->nsp, "the up ring is full");
    }
}

/* What the row of a client that is no more has asked is answered, or never will be. It is over then. */
static void departed_goes_on(struct rc_rule_wait *wait)
{
    struct rc_engines *engines = wait->engines;
    const bool changed = wait->rules != engines->rules; /* then its row is another one, or none */
    uint32_t done = 0;
    struct rc_rule_run run;
    if (wait->failed || changed) {
        departure_cut(engines->clients, wait->input.nsp,
                      wait->failed ? "a room could not be asked about" : "the rows have changed");
        if (!changed) {
            rc_event_row_count(&engines->clients->control->own->rows[wait->row], RC_GUARDS);
        }
        rc_rule_wait_end(wait);
        return;
    }
    rc_rule_run_open(&run, engines, 0, wait->input.nsp, RC_SPAN("disconnect"));
    run.ends = true;
    run.done = &done;
    run.row = &engines->clients->config->events[wait->row];
    run.args = wait->args;
    run.input = wait->input;
    args_take(&run);
    run.input.answers = wait->answers;
    rc_rule_values_begin(&run.values, engines->clients->config, &run.input);
    departure_end(&run, rc_rule_run_row(&run));
    rc_rule_wait_end(wait);
}

/* One row of a client's end, for one of its rooms or once. */
static void end_row(struct rc_rule_run *run, const struct rc_config_event *row)
{
    *run->done = 0;
    run->departs = NULL;
    run->taken = NULL; /* another room of the same row */
    if (life_begin(run, row) != RC_RULE_PASSES) {
        return;
    }
    /* What asks about rooms goes on when its client is no more: whether it may is looked at now. */
    if (row->question_count > 0 && rc_rule_run_could(run)) {
        run->departs = rc_rule_wait_depart(run, departed_goes_on);
    }
    const bool whole = run->code != 0 || rc_rule_run_row(run);
    if (run->departs != NULL && run->departs->open == 0) {
        rc_rule_wait_end(run->departs);
        run->departs = NULL;
    }
    if (run->departs == NULL) { /* else when it is answered */
        departure_end(run, whole);
    }
}

/* Does a row before this one go through the room? */
static bool room_is_taken(const struct rc_rule_run *run, const struct rc_config_event *row, struct rc_span room)
{
    const struct rc_config *config = run->clients->config;
    struct rc_span part;
    for (const struct rc_config_event *before = rc_event_first(config, RC_EVENT_FROM_CLIENT, run->nsp, run->event);
         before != row; before = rc_event_next(config, before, run->nsp, run->event)) {
        if (before->each_count > 0 && rc_event_each_fits(config, before, room, &part)) {
            return true;
        }
    }
    return false;
}

/* Once for each room of the client that fits. */
static void end_rooms(struct rc_rule_run *run, const struct rc_config_event *row)
{
    const struct rc_clients *clients = run->clients;
    const struct rc_truth *truth = clients->truth;
    for (uint32_t i = rc_truth_client(truth, run->client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, i)->group);
        struct rc_span nsp;
        struct rc_span room;
        (void)rc_channel_split(rc_hub_name(clients->hub, rc_truth_channel(truth, group->channel)), &nsp, &room);
        if (!rc_span_equal(nsp, run->nsp) || room.count == 0 || rc_permission_reserved(room) ||
            !rc_event_each_fits(clients->config, row, room, &run->input.room_part) || room_is_taken(run, row, room)) {
            continue;
        }
        run->input.room = room;
        end_row(run, row);
    }
    run->input.room = run->input.room_part = (struct rc_span){0};
}

void rc_rules_disconnect(struct rc_engines *engines, uint32_t client, struct rc_span nsp, const char *reason)
{
    const struct rc_clients *clients = engines->clients;
    const struct rc_config_event *row =
        rc_event_first(clients->config, RC_EVENT_FROM_CLIENT, nsp, RC_SPAN("disconnect"));
    uint8_t text[RC_ARGS_BEFORE_MAX + 64];
    struct rc_rule_run run;
    uint32_t done = 0; /* of the row that runs */
    rc_rules_forget(engines, client);
    if (row == NULL) {
        return;
    }
    const int bytes =
        snprintf((char *)text + RC_ARGS_BEFORE_MAX, sizeof(text) - RC_ARGS_BEFORE_MAX, "[\"%s\"]", reason);
    RC_ASSERT(bytes > 0 && (size_t)bytes < sizeof(text) - RC_ARGS_BEFORE_MAX);
    rc_rule_run_open(&run, engines, client, nsp, RC_SPAN("disconnect"));
    run.done = &done;
    run.ends = true;
    run.args = rc_args_wrap(text + RC_ARGS_BEFORE_MAX, (size_t)bytes, 0, NULL, 0);
    args_take(&run);
    for (; row != NULL; row = rc_event_next(clients->config, row, nsp, run.event)) {
        if (row->each_count > 0) {
            end_rooms(&run, row);
        } else {
            end_row(&run, row);
        }
    }
}

void rc_rules_server_event(struct rc_engines *engines, struct rc_span nsp, struct rc_span event, struct rc_span json,
                           const struct rc_rules_answer *answer)
{
    const struct rc_clients *clients = engines->clients;
    uint32_t done = 0;
    struct rc_rule_run run;
    rc_rule_run_open(&run, engines, 0, nsp, event);
    run.answer = answer;
    run.done = &done;
    if (rc_event_first(clients->config, RC_EVENT_FROM_SERVER, nsp, event) == NULL) {
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
    args_take(&run);
    run.row = run_select(&run, RC_EVENT_FROM_SERVER);
    if (run.row == NULL) {
        rc_metric_add(clients->metrics, RC_METRIC_EVENTS_UNKNOWN, 1);
        free(copy);
        return;
    }
    run_take(&run, run.row);
    if (rc_rule_run_could(&run)) {
        rc_metric_add(clients->metrics, RC_METRIC_EVENTS, 1);
        if (!rc_rule_run_row(&run)) {
            rc_rule_state_fail(&run, RC_CODE_UNAVAILABLE, "the up ring is full");
            rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
        }
    }
    row_over(&run, true);
    if (run.code != 0) {
        rc_metric_add(clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
        rc_log_limited(RC_LOG_WARN, 1, "server_event_cut", "nsp=\"%.*s\" reason=\"%s\"", (int)nsp.count,
                       (const char *)nsp.bytes, run.why);
    }
    free(copy);
}
