/* explain: see explain.h. */
#include "acceptor/console/explain.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/console/explain_say.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/event_rules.h"
#include "common/config/socketio.h"
#include "common/records/channel_name.h"
#include "common/records/sid.h"
#include "common/text/json_path.h"
#include "common/text/json_scan.h"
#include "worker/gate/permission.h"
#include "worker/gate/rule_policy.h"
#include "worker/gate/rule_set.h"
#include "worker/gate/rule_values.h"

#define ROOMS_MAX 64u /* that it is in while a row is looked at */

/* One event that is looked at. */
struct case_at {
    const struct rc_explain *asked;
    const struct rc_config *config;
    struct rc_say say;
    struct rc_span user; /* its id; empty: anonymous */
    char *user_json;     /* owned: {"id":…,…}; NULL: anonymous */
    uint8_t *buffer;     /* owned: of limits.max_message_size_bytes */
    char instance[RC_SID_INSTANCE_BYTES];
    char sid[RC_SID_BYTES];
    struct rc_rule_input input;
    struct rc_rule_values values;
    uint8_t set[RC_RULE_SET_MAX];
    uint8_t merged[RC_RULE_SET_MAX];
    struct rc_span rooms[ROOMS_MAX]; /* borrowed, or of `names` */
    uint32_t room_count;
    char names[ROOMS_MAX][RC_CHANNEL_NAME_MAX];
    uint32_t name_count;
    int code; /* why it is not carried out; 0: it is */
    enum rc_event_guard guard;
};

/* --- what was asked ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum rc_event_source source;
} documents[] = {{"--auth", RC_EVENT_SOURCE_AUTH},
                 {"--client", RC_EVENT_SOURCE_CLIENT},
                 {"--query", RC_EVENT_SOURCE_QUERY},
                 {"--header", RC_EVENT_SOURCE_HEADER},
                 {"--cookie", RC_EVENT_SOURCE_COOKIE}};

const char **rc_explain_option(struct rc_explain *explain, const char *name, bool *full)
{
    const struct {
        const char *name;
        const char **place;
    } texts[] = {{"--explain-event", &explain->event},
                 {"--nsp", &explain->nsp},
                 {"--as", &explain->as},
                 {"--args", &explain->args}};
    *full = false;
    for (size_t i = 0; i < RC_ARRAY_COUNT(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            return texts[i].place;
        }
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(documents); i++) {
        if (strcmp(name, documents[i].name) == 0) {
            return &explain->documents[rc_rule_document(documents[i].source)];
        }
    }
    if (strcmp(name, "--in") != 0) {
        return NULL;
    }
    *full = explain->room_count == RC_EXPLAIN_ROOMS_MAX;
    return *full ? NULL : &explain->rooms[explain->room_count++];
}

static enum rc_explained option_wrong(const char *option, const char *why)
{
    fprintf(stderr, "ringcast: %s %s; `ringcast check --help` lists what there is\n", option, why);
    return RC_EXPLAINED_WRONG;
}

/* Is the text JSON of this type? */
static bool is_json(const char *text, enum rc_json_type type)
{
    struct rc_json_value value;
    return rc_json_scan(rc_span_text(text), RC_JSON_CHECK_UTF8, &value, NULL) == 0 && value.type == type;
}

/* "user:42 {…}": {"id":"42",…}. False: it is none of that. */
static bool user_read(struct case_at *at, const char *as)
{
    const char *attributes = strstr(as, " {");
    const size_t head = sizeof("user:") - 1;
    if (strncmp(as, "user:", head) != 0 || (attributes != NULL && !is_json(attributes + 1, RC_JSON_OBJECT)) ||
        (attributes != NULL && rc_json_member(rc_span_text(attributes + 1), RC_SPAN("id")).type != RC_JSON_NONE)) {
        return false; /* the id is the user's, as with `attributes` of [[identity]] */
    }
    at->user = rc_span_of(as + head, attributes == NULL ? strlen(as + head) : (size_t)(attributes - as) - head);
    if (at->user.count == 0 || !rc_json_utf8_valid(at->user)) {
        return false;
    }
    size_t bytes;
    FILE *json = open_memstream(&at->user_json, &bytes);
    if (json == NULL) {
        return false;
    }
    (void)fputs("{\"id\":", json);
    rc_say_string(json, at->user);
    const char *members = attributes == NULL ? "}" : attributes + 2;
    (void)fprintf(json, "%s%s", members[strspn(members, " \t\r\n")] == '}' ? "" : ",", members);
    return fclose(json) == 0;
}

/* RC_EXPLAINED_DONE: it makes sense. */
static enum rc_explained case_open(struct case_at *at)
{
    const struct rc_explain *asked = at->asked;
    const char *as = asked->as == NULL ? "anonymous" : asked->as;
    if (asked->event[0] == '\0' || strlen(asked->event) > RC_EVENT_NAME_MAX) {
        return option_wrong("--explain-event", "needs an event's name");
    }
    if (asked->server && asked->as != NULL) {
        return option_wrong("--as", "says nothing of what a server says (--from server)");
    }
    if (!asked->server && strcmp(as, "anonymous") != 0 && !user_read(at, as)) {
        return option_wrong(
            "--as",
            "takes anonymous, user:ID, or 'user:ID {\"tier\":\"premium\"}': attributes, without `id`, as a JSON object");
    }
    if (asked->args != NULL && !is_json(asked->args, RC_JSON_ARRAY)) {
        return option_wrong("--args", "takes the event's arguments as a JSON array, as '[{\"symbol\":\"AAPL\"}]'");
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(documents); i++) {
        const char *json = asked->documents[rc_rule_document(documents[i].source)];
        if (json != NULL && !is_json(json, RC_JSON_OBJECT)) {
            return option_wrong(documents[i].name, "takes a JSON object");
        }
    }
    at->buffer = malloc((size_t)at->config->limits.max_message_size_bytes);
    return at->buffer == NULL ? option_wrong("--explain-event", "finds no memory") : RC_EXPLAINED_DONE;
}

/* What the client is known to be, as a worker has it for a row. */
static void case_input(struct case_at *at)
{
    const struct rc_explain *asked = at->asked;
    const char *instance = at->config->server.instance_id.text;
    const struct rc_client_ref client = {.worker = 0, .slot = 1, .random = 1};
    rc_sid_instance(at->instance, instance);
    rc_sid_write(at->sid, at->instance, &client);
    at->input = (struct rc_rule_input){.args = rc_span_text(asked->args),
                                       .nsp = rc_span_text(asked->nsp == NULL ? "/" : asked->nsp),
                                       .event = rc_span_text(asked->event),
                                       .sid = rc_span_of(at->sid, sizeof(at->sid)),
                                       .address = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1}},
                                       .instance = rc_span_text(instance),
                                       .now_ms = rc_clock_wall_ms(),
                                       .random = {1, 1}};
    for (uint32_t i = 0; i < RC_EVENT_DOCUMENTS; i++) {
        at->input.documents[i] = rc_span_text(asked->documents[i]);
    }
    if (!asked->server) {
        struct rc_span *auth = &at->input.documents[rc_rule_document(RC_EVENT_SOURCE_AUTH)];
        *auth = auth->count > 0 ? *auth : RC_SPAN("{}");
        at->input.documents[rc_rule_document(RC_EVENT_SOURCE_USER)] = rc_span_text(at->user_json);
    }
    at->room_count = 0;
    at->name_count = 0;
    for (uint32_t i = 0; i < asked->room_count; i++) {
        at->rooms[at->room_count++] = rc_span_text(asked->rooms[i]);
    }
    at->code = 0;
    at->guard = RC_GUARDS;
    rc_rule_values_begin(&at->values, at->config, &at->input);
}

static int case_fail(struct case_at *at, enum rc_event_guard guard, int code)
{
    at->code = code;
    at->guard = guard;
    return code;
}

static bool case_is_in(const struct case_at *at, struct rc_span room)
{
    for (uint32_t i = 0; i < at->room_count; i++) {
        if (rc_span_equal(at->rooms[i], room)) {
            return true;
        }
    }
    return false;
}

/* --- guards ------------------------------------------------------------------------------------------------------------ */

/* A room that cannot be named is no matter of the guard's own text: *guard is none then. */
static int inside_look(struct case_at *at, const struct rc_event_guards *guards, enum rc_event_guard *guard)
{
    char room[RC_CHANNEL_NAME_MAX];
    size_t bytes;
    const int code = rc_rule_room(&at->values, &guards->inside, room, &bytes);
    if (code != 0) {
        *guard = RC_GUARDS;
        return code;
    }
    return case_is_in(at, rc_span_of(room, bytes)) ? 0 : rc_rule_outside(&at->values);
}

/* 0: it holds, or only a worker can tell. */
static int guard_look(struct case_at *at, const struct rc_config_event *row, enum rc_event_guard *guard)
{
    enum rc_json_schema_result result;
    switch (*guard) {
    case RC_GUARD_WHO:
        return rc_rule_who(&at->values, &row->guards);
    case RC_GUARD_SCHEMA:
        return rc_rule_schema(&at->values, row, &result);
    case RC_GUARD_INSIDE:
        return inside_look(at, &row->guards, guard);
    case RC_GUARD_RATE:
    case RC_GUARD_IDENTIFY:
    case RC_GUARDS:
        break;
    }
    return 0;
}

static void guards_look(struct case_at *at, const struct rc_config_event *row)
{
    for (uint32_t i = 0; i < RC_GUARDS; i++) {
        const enum rc_event_guard guard = (enum rc_event_guard)i;
        enum rc_event_guard refuses = guard;
        if (!rc_say_guard_is_there(row, guard)) {
            continue;
        }
        if (at->code != 0) {
            rc_say_guard(&at->say, row, guard, "not looked at");
            continue;
        }
        const int code = guard_look(at, row, &refuses);
        rc_say_guard(&at->say, row, guard,
                     code != 0                    ? "refused"
                     : guard == RC_GUARD_RATE     ? "counted when it is said"
                     : guard == RC_GUARD_IDENTIFY ? "judged when it is said"
                                                  : "holds");
        if (code != 0) {
            (void)case_fail(at, refuses, code);
        }
    }
}

/* --- what is done ------------------------------------------------------------------------------------------------------ */

/* As for a worker: in a cluster there may be other instances' sockets. */
static bool room_is_socket(const struct case_at *at, struct rc_span room)
{
    return rc_permission_socket(room, at->instance, at->config->redis.url.text[0] != '\0');
}

/* The room's name. 0 or a code. */
static int room_name(struct case_at *at, const struct rc_event_template *template, enum rc_event_operation_type type,
                     char out[RC_CHANNEL_NAME_MAX], struct rc_span *room)
{
    size_t bytes;
    char channel[RC_CHANNEL_NAME_MAX];
    int code = rc_rule_room(&at->values, template, out, &bytes);
    if (code != 0) {
        return case_fail(at, RC_GUARDS, code);
    }
    *room = rc_span_of(out, bytes);
    struct rc_rule_room_asked asked = {
        .room = *room, .user = at->user, .socket = room_is_socket(at, *room), .member = case_is_in(at, *room)};
    code = rc_rule_room_channel(&at->values, *room, channel, &asked.channel);
    if (code == 0 && (template->flags & RC_EVENT_CLIENT_CHOOSES) != 0 && !at->asked->server) {
        code = rc_rule_permits(&at->values, &asked, type);
    }
    return code != 0 ? case_fail(at, RC_GUARDS, code) : 0;
}

/* Arguments, or what is set, as JSON. 0 or a code. */
static int args_fill(struct case_at *at, const struct rc_event_template *template, struct rc_span *json)
{
    struct rc_rule_args args;
    const int code =
        rc_rule_args(&at->values, template, at->buffer, (size_t)at->config->limits.max_message_size_bytes, &args);
    *json = code == 0 ? args.json : (struct rc_span){0};
    return code != 0 ? case_fail(at, RC_GUARDS, code) : 0;
}

/* May it see who is in the rooms that the row asks about? */
static int questions_look(struct case_at *at, const struct rc_config_event *row)
{
    const struct rc_event_question *questions = rc_event_questions(at->config, row);
    for (uint32_t i = 0; i < row->question_count; i++) {
        char name[RC_CHANNEL_NAME_MAX];
        size_t bytes = 0;
        int code = questions[i].everybody != 0 ? 0 : rc_rule_room(&at->values, &questions[i].room, name, &bytes);
        if (code == 0 && (questions[i].room.flags & RC_EVENT_CLIENT_CHOOSES) != 0 && !at->asked->server) {
            const struct rc_span room = rc_span_of(name, bytes);
            const struct rc_rule_room_asked asked = {
                .room = room, .user = at->user, .socket = room_is_socket(at, room), .member = case_is_in(at, room)};
            code = rc_rule_sees(&at->values, &asked, (enum rc_event_question_kind)questions[i].kind);
        }
        if (code != 0) {
            return case_fail(at, RC_GUARDS, code);
        }
    }
    return 0;
}

static void rooms_do(struct case_at *at, const struct rc_event_operation *operation)
{
    const struct rc_event_template *rooms = rc_event_rooms(at->config, operation);
    const bool join = operation->type == RC_RULE_JOIN;
    for (uint32_t i = 0; i < operation->room_count; i++) {
        struct rc_span room;
        char *name = at->names[at->name_count < ROOMS_MAX ? at->name_count : ROOMS_MAX - 1];
        if (room_name(at, &rooms[i], (enum rc_event_operation_type)operation->type, name, &room) != 0) {
            return;
        }
        rc_say_text(&at->say, join ? "join" : "leave", room);
        for (uint32_t j = at->room_count; !join && j > 0; j--) { /* it may have been said twice */
            if (rc_span_equal(at->rooms[j - 1], room)) {
                at->rooms[j - 1] = at->rooms[--at->room_count];
            }
        }
        if (join && at->room_count < ROOMS_MAX && at->name_count < ROOMS_MAX) {
            at->rooms[at->room_count++] = room;
            at->name_count++;
        }
    }
}

static void set_do(struct case_at *at, const struct rc_event_operation *operation)
{
    struct rc_span *client = &at->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_CLIENT)];
    struct rc_span json;
    size_t bytes = 0;
    if (args_fill(at, &operation->args, &json) != 0) {
        return;
    }
    const int code = rc_rule_set(&at->values, json, at->merged, &bytes);
    if (code != 0) {
        (void)case_fail(at, RC_GUARDS, code);
        return;
    }
    rc_say_json(&at->say, "set", json);
    memcpy(at->set, at->merged, bytes);
    *client = rc_span_of(at->set, bytes);
}

/* The rooms whose members do not get an emit. 0 or a code. */
static int excepts_fill(struct case_at *at, const struct rc_event_operation *operation,
                        char names[RC_EVENT_ROOMS_MAX][RC_CHANNEL_NAME_MAX], struct rc_span rooms[RC_EVENT_ROOMS_MAX])
{
    const struct rc_event_template *templates = rc_event_excepts(at->config, operation);
    for (uint32_t i = 0; i < operation->except_count; i++) {
        size_t bytes;
        const int code = rc_rule_room(&at->values, &templates[i], names[i], &bytes);
        if (code != 0) {
            return case_fail(at, RC_GUARDS, code);
        }
        rooms[i] = rc_span_of(names[i], bytes);
    }
    return 0;
}

/* The room of `when`. 0 or a code. */
static int when_fill(struct case_at *at, const struct rc_config_event *row, const struct rc_event_operation *operation,
                     char name[RC_CHANNEL_NAME_MAX], struct rc_span *room)
{
    size_t bytes = 0;
    if (operation->when == RC_EVENT_ALWAYS) {
        return 0;
    }
    const struct rc_event_question *question = &rc_event_questions(at->config, row)[operation->when_question];
    if (question->everybody != 0) {
        *room = RC_SPAN("*");
        return 0;
    }
    const int code = rc_rule_room(&at->values, &question->room, name, &bytes);
    *room = rc_span_of(name, bytes);
    return code != 0 ? case_fail(at, RC_GUARDS, code) : 0;
}

static void emit_do(struct case_at *at, const struct rc_config_event *row, const struct rc_event_operation *operation)
{
    const struct rc_event_template *rooms = rc_event_rooms(at->config, operation);
    char names[2][RC_EVENT_ROOMS_MAX][RC_CHANNEL_NAME_MAX];
    struct rc_span to[RC_EVENT_ROOMS_MAX];
    struct rc_span except[RC_EVENT_ROOMS_MAX];
    char event[RC_EVENT_NAME_MAX];
    char when[RC_CHANNEL_NAME_MAX];
    struct rc_say_emit emit = {.to = to,
                               .to_count = operation->room_count,
                               .except = except,
                               .except_count = operation->except_count,
                               .flags = operation->flags,
                               .when = (enum rc_event_when)operation->when};
    const int code = rc_rule_event(&at->values, &operation->event, event, &emit.event);
    if (code != 0) {
        (void)case_fail(at, RC_GUARDS, code);
        return;
    }
    for (uint32_t i = 0; i < operation->room_count; i++) {
        if (room_name(at, &rooms[i], RC_RULE_EMIT, names[0][i], &to[i]) != 0) {
            return;
        }
    }
    if (excepts_fill(at, operation, names[1], except) == 0 &&
        when_fill(at, row, operation, when, &emit.when_room) == 0 && args_fill(at, &operation->args, &emit.args) == 0) {
        rc_say_emit(&at->say, &emit);
    }
}

static void operation_do(struct case_at *at, const struct rc_config_event *row,
                         const struct rc_event_operation *operation)
{
    struct rc_span text;
    char reason[RC_EVENT_NAME_MAX];
    int code;
    switch ((enum rc_event_operation_type)operation->type) {
    case RC_RULE_LEAVE:
    case RC_RULE_JOIN:
        rooms_do(at, operation);
        return;
    case RC_RULE_SET:
        set_do(at, operation);
        return;
    case RC_RULE_RETAIN:
        if (room_name(at, rc_event_rooms(at->config, operation), RC_RULE_RETAIN, reason, &text) == 0) {
            rc_say_text(&at->say, "retain", text);
        }
        return;
    case RC_RULE_ACK:
        if (args_fill(at, &operation->args, &text) == 0) {
            rc_say_json(&at->say, "ack", text);
        }
        return;
    case RC_RULE_EMIT:
        emit_do(at, row, operation);
        return;
    case RC_RULE_CLOSE:
        code = rc_rule_text(&at->values, &operation->event, reason, &text);
        if (code == 0) {
            rc_say_text(&at->say, "close", text);
        } else {
            (void)case_fail(at, RC_GUARDS, code);
        }
        return;
    }
}

/* In the row's order; nothing of it when something cannot be worked out. */
static void operations_do(struct case_at *at, const struct rc_config_event *row)
{
    const struct rc_event_operation *operations = rc_event_operations(at->config, row);
    const char *list = at->say.list;
    rc_say_hold(&at->say);
    for (uint32_t i = 0; i < row->operation_count && at->code == 0; i++) {
        operation_do(at, row, &operations[i]);
    }
    if (at->code == 0 && questions_look(at, row) == 0 && row->ask.text[0] != '\0') {
        rc_say_text(&at->say, "ask", rc_span_text(row->ask.text));
    }
    at->say.list = at->code == 0 ? at->say.list : list;
    rc_say_release(&at->say, at->code != 0);
}

/* --- rows -------------------------------------------------------------------------------------------------------------- */

/* How the sender is told. */
static void refusal_tell(struct case_at *at, const struct rc_config_event *row)
{
    char error[RC_RULE_ERROR_MAX];
    char ack[RC_RULE_ERROR_MAX + sizeof("[{\"error\":}]")];
    uint8_t name[RC_EVENT_NAME_MAX];
    const struct rc_event_guards *guards = row == NULL ? NULL : &row->guards;
    const struct rc_span json = rc_rule_error(at->config, guards, at->guard, at->code, at->values.err.text, error);
    struct rc_span list = rc_span_of(
        ack, (size_t)snprintf(ack, sizeof(ack), "[{\"error\":%.*s}]", (int)json.count, (const char *)json.bytes));
    if (guards != NULL && guards->ack.piece_count > 0) {
        struct rc_rule_args args;
        at->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_ERROR)] = json;
        if (rc_rule_args(&at->values, &guards->ack, at->buffer, (size_t)at->config->limits.max_message_size_bytes,
                         &args) == 0) {
            list = args.json;
        }
    }
    rc_say_told(&at->say, rc_rule_error_event(at->config, guards, name), json, list);
}

/* All of a row that is for the event. */
static void row_explain(struct case_at *at, const struct rc_config_event *row, struct rc_span room, struct rc_span part)
{
    at->input.room = room;
    at->input.room_part = part;
    rc_rule_values_begin(&at->values, at->config, &at->input);
    rc_say_row(&at->say, row, room, "takes it");
    guards_look(at, row);
    if (at->code == 0) {
        operations_do(at, row);
    }
    if (at->code != 0 && !rc_event_life_cycle(row) && !at->asked->server) {
        refusal_tell(at, row);
    }
    rc_say_row_end(&at->say);
}

static bool row_matches(struct case_at *at, const struct rc_config_event *row)
{
    if (rc_rule_holds(&at->values, row->guards.match, row->guards.match_count)) {
        return true;
    }
    rc_say_row(&at->say, row, (struct rc_span){0}, "passed over, as `match` does not hold");
    rc_say_row_end(&at->say);
    return false;
}

/* "connect" and "disconnect": every row that matches, those with `each` once for each room that no row before took. A row whose guards do not
 * hold is passed over. */
static void life_cycle_explain(struct case_at *at, const struct rc_config_event *row)
{
    bool taken[RC_EXPLAIN_ROOMS_MAX] = {false};
    for (; row != NULL; row = rc_event_next(at->config, row, at->input.nsp, at->input.event)) {
        case_input(at);
        if (!row_matches(at, row)) {
            continue;
        }
        if (row->each_count == 0) {
            row_explain(at, row, (struct rc_span){0}, (struct rc_span){0});
        }
        for (uint32_t i = 0; row->each_count > 0 && i < at->asked->room_count; i++) {
            const struct rc_span room = rc_span_text(at->asked->rooms[i]);
            struct rc_span part;
            if (!taken[i] && rc_event_each_fits(at->config, row, room, &part)) {
                taken[i] = true;
                case_input(at);
                row_explain(at, row, room, part);
            }
        }
    }
}

/* What becomes of an event that no row takes. */
static const char *unknown_fate(const struct rc_config *config)
{
    const char *unknown = config->socketio.unknown_event.text;
    return strcmp(unknown, "ignore") == 0  ? "no row takes it: it is counted and ignored (socketio.unknown_event)"
           : strcmp(unknown, "error") == 0 ? "no row takes it: the client is told 404 (socketio.unknown_event)"
                                           : "no row takes it: a backend is asked (socketio.unknown_event)";
}

/* The end of it. Where no Socket.IO is served rows are for nobody, whatever they say. */
static enum rc_explained case_end(struct case_at *at, enum rc_explained explained, const char *why)
{
    if (!rc_config_engineio_on(at->config)) {
        explained = RC_EXPLAINED_REFUSED;
        why = "nobody can say it: the file has neither [socketio] nor an [[endpoint]] with protocol = \"socketio\"";
    }
    rc_say_end(&at->say, explained == RC_EXPLAINED_DONE ? "done" : "refused", why);
    return explained;
}

static enum rc_explained event_explain(struct case_at *at)
{
    const enum rc_event_from from = at->asked->server ? RC_EVENT_FROM_SERVER : RC_EVENT_FROM_CLIENT;
    const struct rc_config_event *row = rc_event_first(at->config, from, at->input.nsp, at->input.event);
    if (!rc_config_nsp_allowed(&at->config->socketio, at->input.nsp)) {
        return case_end(at, RC_EXPLAINED_REFUSED, "\"Invalid namespace\": it is not in socketio.namespaces");
    }
    if (row != NULL && rc_event_life_cycle(row)) {
        life_cycle_explain(at, row);
        return case_end(at, RC_EXPLAINED_DONE, NULL);
    }
    while (row != NULL && !row_matches(at, row)) {
        row = rc_event_next(at->config, row, at->input.nsp, at->input.event);
    }
    if (row == NULL) {
        const bool asks = strncmp(at->config->socketio.unknown_event.text, RC_UNKNOWN_EVENT_BACKEND,
                                  sizeof(RC_UNKNOWN_EVENT_BACKEND) - 1) == 0;
        return case_end(at, asks ? RC_EXPLAINED_DONE : RC_EXPLAINED_REFUSED, unknown_fate(at->config));
    }
    row_explain(at, row, (struct rc_span){0}, (struct rc_span){0});
    return case_end(at, at->code == 0 ? RC_EXPLAINED_DONE : RC_EXPLAINED_REFUSED,
                    at->code == 0 ? NULL : at->values.err.text);
}

enum rc_explained rc_explain_run(const struct rc_explain *explain, const char *file, const struct rc_config *config,
                                 FILE *out)
{
    struct case_at *at = calloc(1, sizeof(*at));
    if (at == NULL) {
        return option_wrong("--explain-event", "finds no memory");
    }
    at->asked = explain;
    at->config = config;
    at->say = (struct rc_say){.out = out, .config = config, .file = file, .json = explain->json};
    enum rc_explained explained = case_open(at);
    if (explained == RC_EXPLAINED_DONE) {
        case_input(at);
        rc_say_begin(&at->say, at->input.event, at->input.nsp, at->user_json, explain->server);
        explained = event_explain(at);
    }
    free(at->buffer);
    free(at->user_json);
    free(at);
    return explained;
}
