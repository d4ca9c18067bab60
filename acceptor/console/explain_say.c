/* explain_say: see explain_say.h. */
#include "acceptor/console/explain_say.h"

#include <stdlib.h>
#include <string.h>

#include "common/config/event_guards.h"
#include "common/config/event_rules.h"
#include "common/text/json_scan.h"

static void span_put(FILE *out, struct rc_span text)
{
    (void)fwrite(text.bytes, 1, text.count, out);
}

void rc_say_string(FILE *out, struct rc_span text)
{
    const size_t bytes = rc_json_string_encoded_bytes(text);
    uint8_t *json = malloc(bytes);
    if (json == NULL) {
        (void)fputs("\"\"", out);
        return;
    }
    span_put(out, rc_span_of(json, rc_json_string_encode(json, bytes, text)));
    free(json);
}

/* ,"name": or {"name": */
static void member_begin(FILE *out, const char *name, bool first)
{
    (void)fprintf(out, "%s\"%s\":", first ? "{" : ",", name);
}

static void member_text(FILE *out, const char *name, struct rc_span text, bool first)
{
    member_begin(out, name, first);
    rc_say_string(out, text);
}

/* --- the frame --------------------------------------------------------------------------------------------------------- */

void rc_say_begin(struct rc_say *say, struct rc_span event, struct rc_span nsp, const char *user_json, bool server)
{
    if (say->json) {
        member_text(say->out, "event", event, true);
        member_text(say->out, "nsp", nsp, false);
        (void)fprintf(say->out, ",\"user\":%s,\"rows\":[", user_json == NULL ? "null" : user_json);
        return;
    }
    rc_say_string(say->out, event);
    (void)fputs(" in ", say->out);
    rc_say_string(say->out, nsp);
    (void)fprintf(say->out, ", said by %s\n",
                  server              ? "a server"
                  : user_json == NULL ? "somebody anonymous"
                                      : user_json);
}

void rc_say_end(struct rc_say *say, const char *outcome, const char *why)
{
    if (say->json) {
        (void)fprintf(say->out, "],\"outcome\":\"%s\"", outcome);
        if (why != NULL) {
            member_text(say->out, "why", rc_span_text(why), false);
        }
        (void)fputs("}\n", say->out);
    } else {
        (void)fprintf(say->out, "%s%s%s\n", outcome, why != NULL ? ": " : "", why != NULL ? why : "");
    }
}

void rc_say_row(struct rc_say *say, const struct rc_config_event *row, struct rc_span room, const char *result)
{
    const uint32_t line = say->config->event_lines[row - say->config->events];
    if (!say->json) {
        (void)fprintf(say->out, "%s:%u: [[event]] on = ", say->file, line);
        rc_say_string(say->out, rc_span_text(row->on.text));
        if (room.count > 0) {
            (void)fputs(", for the room ", say->out);
            rc_say_string(say->out, room);
        }
        (void)fprintf(say->out, ": %s\n", result);
        return;
    }
    (void)fputs(say->in_rows ? "," : "", say->out);
    say->in_rows = true;
    member_text(say->out, "file", rc_span_text(say->file), true);
    (void)fprintf(say->out, ",\"line\":%u", line);
    member_text(say->out, "on", rc_span_text(row->on.text), false);
    member_text(say->out, "result", rc_span_text(result), false);
    if (room.count > 0) {
        member_text(say->out, "room", room, false);
    }
}

/* The next element of one of the row's lists. */
static void list_next(struct rc_say *say, const char *list)
{
    if (say->list != NULL && strcmp(say->list, list) == 0) {
        (void)fputc(',', say->out);
        return;
    }
    (void)fprintf(say->out, "%s,\"%s\":[", say->list != NULL ? "]" : "", list);
    say->list = list;
}

void rc_say_row_end(struct rc_say *say)
{
    if (say->json) {
        (void)fputs(say->list != NULL ? "]}" : "}", say->out);
        say->list = NULL;
    }
}

void rc_say_hold(struct rc_say *say)
{
    FILE *memory = open_memstream(&say->text, &say->bytes);
    say->held = memory == NULL ? NULL : say->out;
    say->out = memory == NULL ? say->out : memory;
}

void rc_say_release(struct rc_say *say, bool taken_back)
{
    if (say->held == NULL) {
        return;
    }
    (void)fclose(say->out);
    say->out = say->held;
    if (!taken_back) {
        span_put(say->out, rc_span_of(say->text, say->bytes));
    }
    free(say->text);
    say->text = NULL;
}

/* --- guards ------------------------------------------------------------------------------------------------------------ */

bool rc_say_guard_is_there(const struct rc_config_event *row, enum rc_event_guard guard)
{
    switch (guard) {
    case RC_GUARD_RATE:
        return row->guards.rated > 0;
    case RC_GUARD_WHO:
        return row->guards.who != RC_EVENT_WHO_ANYONE;
    case RC_GUARD_SCHEMA:
        return row->schema_at != 0;
    case RC_GUARD_INSIDE:
        return row->guards.inside_count > 0;
    case RC_GUARD_IDENTIFY:
        return row->identify_at != 0;
    case RC_GUARDS:
        break;
    }
    return false;
}

static void put_source(FILE *out, const struct rc_config *config, const struct rc_event_template *template)
{
    span_put(out, rc_event_text(config, template->source, template->source_bytes));
}

static void put_who(FILE *out, const struct rc_config *config, const struct rc_event_guards *guards)
{
    const struct rc_event_condition *conditions = rc_event_conditions(config, guards->attributes);
    if (guards->who == RC_EVENT_WHO_USER) {
        (void)fputs("\"user\"", out);
        return;
    }
    for (uint32_t i = 0; i < guards->attribute_count; i++) {
        (void)fputs(i == 0 ? "{ " : ", ", out);
        span_put(out, rc_event_text(config, conditions[i].key.at, conditions[i].key.bytes));
        (void)fputs(" = ", out);
        put_source(out, config, &conditions[i].wanted);
    }
    (void)fputs(" }", out);
}

/* As the file has it. */
static void put_guard(FILE *out, const struct rc_config *config, const struct rc_config_event *row,
                      enum rc_event_guard guard)
{
    const struct rc_event_guards *guards = &row->guards;
    switch (guard) {
    case RC_GUARD_RATE:
        span_put(out, rc_event_text(config, guards->rate.text.at, guards->rate.text.bytes));
        (void)fputs(guards->rated > 1 ? ", " : "", out);
        span_put(out, rc_event_text(config, guards->rate_bytes.text.at, guards->rate_bytes.text.bytes));
        if (guards->rate_group != 0) {
            (void)fputs(" of the group ", out);
            span_put(out, rc_event_text(config, guards->rate_group_name.at, guards->rate_group_name.bytes));
        }
        break;
    case RC_GUARD_WHO:
        put_who(out, config, guards);
        break;
    case RC_GUARD_SCHEMA:
        (void)fputs(row->schema.text, out);
        break;
    case RC_GUARD_INSIDE:
        put_source(out, config, &guards->inside);
        break;
    case RC_GUARD_IDENTIFY:
        (void)fputs(row->identify.text, out);
        break;
    case RC_GUARDS:
        break;
    }
}

void rc_say_guard(struct rc_say *say, const struct rc_config_event *row, enum rc_event_guard guard, const char *result)
{
    const char *name = rc_event_guard_name(guard);
    if (!say->json) {
        (void)fprintf(say->out, "  %-9s ", name);
        put_guard(say->out, say->config, row, guard);
        (void)fprintf(say->out, ": %s\n", result);
        return;
    }
    char *text = NULL;
    size_t bytes = 0;
    FILE *what = open_memstream(&text, &bytes);
    if (what != NULL) {
        put_guard(what, say->config, row, guard);
        (void)fclose(what);
    }
    list_next(say, "guards");
    member_text(say->out, "guard", rc_span_text(name), true);
    member_text(say->out, "is", rc_span_of(text, bytes), false);
    member_text(say->out, "result", rc_span_text(result), false);
    (void)fputc('}', say->out);
    free(text);
}

/* --- what is done ------------------------------------------------------------------------------------------------------ */

void rc_say_json(struct rc_say *say, const char *key, struct rc_span json)
{
    if (say->json) {
        list_next(say, "does");
        member_begin(say->out, key, true);
        span_put(say->out, json);
        (void)fputc('}', say->out);
    } else {
        (void)fprintf(say->out, "  %-9s ", key);
        span_put(say->out, json);
        (void)fputc('\n', say->out);
    }
}

void rc_say_text(struct rc_say *say, const char *key, struct rc_span text)
{
    if (say->json) {
        list_next(say, "does");
        member_text(say->out, key, text, true);
        (void)fputc('}', say->out);
    } else {
        (void)fprintf(say->out, "  %-9s ", key);
        span_put(say->out, text);
        (void)fputc('\n', say->out);
    }
}

static void put_when(FILE *out, const struct rc_say_emit *emit)
{
    (void)fputs(emit->when == RC_EVENT_WHEN_ALONE ? "alone:" : "company:", out);
    span_put(out, emit->when_room);
}

static void emit_as_json(struct rc_say *say, const struct rc_say_emit *emit)
{
    FILE *out = say->out;
    list_next(say, "does");
    member_text(out, "emit", emit->event, true);
    member_begin(out, "args", false);
    span_put(out, emit->args);
    member_begin(out, "to", false);
    if (emit->to_count == 0) {
        rc_say_string(out, (emit->flags & RC_EVENT_TO_EVERYBODY) != 0 ? RC_SPAN("*") : RC_SPAN("{sid}"));
    }
    for (uint32_t i = 0; i < emit->to_count; i++) {
        (void)fputc(i == 0 ? '[' : ',', out);
        rc_say_string(out, emit->to[i]);
    }
    (void)fputs(emit->to_count > 0 ? "]" : "", out);
    for (uint32_t i = 0; i < emit->except_count; i++) {
        (void)fputs(i == 0 ? ",\"except\":[" : ",", out);
        rc_say_string(out, emit->except[i]);
    }
    (void)fputs(emit->except_count > 0 ? "]" : "", out);
    (void)fprintf(out, ",\"others\":%s,\"volatile\":%s", (emit->flags & RC_EVENT_OTHERS) != 0 ? "true" : "false",
                  (emit->flags & RC_EVENT_VOLATILE) != 0 ? "true" : "false");
    if (emit->when != RC_EVENT_ALWAYS) {
        (void)fprintf(out, ",\"when\":\"%s:", emit->when == RC_EVENT_WHEN_ALONE ? "alone" : "company");
        const size_t bytes = rc_json_string_encoded_bytes(emit->when_room);
        uint8_t quoted[RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX)];
        (void)rc_json_string_encode(quoted, sizeof(quoted), emit->when_room);
        span_put(out, rc_span_of(quoted + 1, bytes - 1));
    }
    (void)fputc('}', out);
}

void rc_say_emit(struct rc_say *say, const struct rc_say_emit *emit)
{
    FILE *out = say->out;
    if (say->json) {
        emit_as_json(say, emit);
        return;
    }
    (void)fprintf(out, "  %-9s ", "emit");
    rc_say_string(out, emit->event);
    (void)fputc(' ', out);
    span_put(out, emit->args);
    (void)fputs(" to ", out);
    for (uint32_t i = 0; i < emit->to_count; i++) {
        (void)fputs(i == 0 ? "" : ", ", out);
        rc_say_string(out, emit->to[i]);
    }
    if (emit->to_count == 0) {
        (void)fputs((emit->flags & RC_EVENT_TO_EVERYBODY) != 0 ? "everybody" : "who said it", out);
    }
    (void)fprintf(out, "%s%s", (emit->flags & RC_EVENT_OTHERS) != 0 ? ", but not to who said it" : "",
                  (emit->flags & RC_EVENT_VOLATILE) != 0 ? ", volatile" : "");
    for (uint32_t i = 0; i < emit->except_count; i++) {
        (void)fputs(i == 0 ? ", except who is in " : ", ", out);
        rc_say_string(out, emit->except[i]);
    }
    if (emit->when != RC_EVENT_ALWAYS) {
        (void)fputs(", when ", out);
        put_when(out, emit);
    }
    (void)fputc('\n', out);
}

void rc_say_told(struct rc_say *say, struct rc_span event, struct rc_span error, struct rc_span ack)
{
    FILE *out = say->out;
    if (say->json) {
        (void)fputs(say->list != NULL ? "]" : "", out);
        say->list = NULL;
        (void)fputs(",\"told\":", out);
        member_text(out, "event", event, true);
        member_begin(out, "args", false);
        (void)fputc('[', out);
        span_put(out, error);
        (void)fputs("],\"ack\":", out);
        span_put(out, ack);
        (void)fputc('}', out);
        return;
    }
    (void)fprintf(out, "  %-9s event ", "told");
    rc_say_string(out, event);
    (void)fputs(" [", out);
    span_put(out, error);
    (void)fputs("], or the acknowledgement ", out);
    span_put(out, ack);
    (void)fputc('\n', out);
}
