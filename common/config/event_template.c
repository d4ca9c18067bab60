/* event_template: see event_template.h. */
#include "common/config/event_template.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/span.h"
#include "common/config/event_rules.h"
#include "common/config/socketio.h"
#include "common/config/text.h"
#include "common/records/channel_name.h"

#define SHOWN_MAX 60 /* bytes of a placeholder that a message shows */

/* What stands between braces. */
struct placeholder {
    enum rc_event_source source;
    uint16_t index;
    struct rc_span path;
    bool text; /* ANSWER: it may stand in a text */
};

/* --- the arena --------------------------------------------------------------------------------------------------- */

int rc_event_arena_put(struct rc_event_build *build, const void *bytes, size_t count, uint32_t *at, struct rc_err *err)
{
    struct rc_event_rules *const rules = &build->config->event_rules;
    const size_t rounded = (count + 3) & ~(size_t)3;
    if (rounded > sizeof(rules->arena) - rules->arena_bytes) {
        return rc_err_set(err, -EINVAL, "the [[event]] tables are too large together (%u bytes compiled)",
                          RC_EVENT_ARENA_BYTES);
    }
    *at = rules->arena_bytes;
    if (count > 0) {
        memcpy(rules->arena + *at, bytes, count);
    }
    rules->arena_bytes += (uint32_t)rounded;
    return 0;
}

void rc_event_template_begin(struct rc_event_build *build)
{
    build->sources &= ~RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ANSWER);
    build->piece_count = 0;
    build->text_bytes = 0;
    build->source_bytes = 0;
    build->depth = 0;
}

int rc_event_template_end(struct rc_event_build *build, struct rc_event_template *out, struct rc_err *err)
{
    uint32_t text_at = 0;
    *out = (struct rc_event_template){.piece_count = (uint16_t)build->piece_count, .source_bytes = build->source_bytes};
    int rc = rc_event_arena_put(build, build->text, build->text_bytes, &text_at, err);
    for (uint32_t i = 0; i < build->piece_count; i++) {
        build->pieces[i].at += text_at;
    }
    if (rc == 0) {
        rc = rc_event_arena_put(build, build->pieces, build->piece_count * sizeof(build->pieces[0]), &out->pieces, err);
    }
    return rc == 0 ? rc_event_arena_put(build, build->source, build->source_bytes, &out->source, err) : rc;
}

/* --- pieces ------------------------------------------------------------------------------------------------------ */

static int bytes_add(uint8_t *to, uint32_t *used, const void *bytes, size_t count, struct rc_err *err)
{
    if (count > RC_EVENT_TEMPLATE_MAX - *used) {
        return rc_err_set(err, -EINVAL, "a template has at most %d bytes", RC_EVENT_TEMPLATE_MAX);
    }
    memcpy(to + *used, bytes, count);
    *used += (uint32_t)count;
    return 0;
}

static int source_add(struct rc_event_build *build, const char *text, struct rc_err *err)
{
    return bytes_add(build->source, &build->source_bytes, text, strlen(text), err);
}

static int piece_add(struct rc_event_build *build, enum rc_event_piece_type type, const struct placeholder *value,
                     struct rc_err *err)
{
    if (build->piece_count == RC_EVENT_PIECES_MAX) {
        return rc_err_set(err, -EINVAL, "a template has at most %d values and texts between them", RC_EVENT_PIECES_MAX);
    }
    struct rc_event_piece *const piece = &build->pieces[build->piece_count++];
    *piece = (struct rc_event_piece){.type = (uint8_t)type, .at = build->text_bytes};
    if (value == NULL) {
        return 0;
    }
    piece->source = (uint8_t)value->source;
    piece->index = value->index;
    piece->bytes = (uint32_t)value->path.count;
    if (build->row != NULL) {
        build->row->uses |= RC_EVENT_SOURCE_BIT(value->source);
    }
    return value->path.count > 0 ? bytes_add(build->text, &build->text_bytes, value->path.bytes, value->path.count, err)
                                 : 0;
}

static int literal_add(struct rc_event_build *build, const void *bytes, size_t count, struct rc_err *err)
{
    const struct rc_event_piece *const last = build->piece_count > 0 ? &build->pieces[build->piece_count - 1] : NULL;
    if (last == NULL || last->type != RC_EVENT_PIECE_LITERAL) {
        const int rc = piece_add(build, RC_EVENT_PIECE_LITERAL, NULL, err);
        if (rc != 0) {
            return rc;
        }
    }
    build->pieces[build->piece_count - 1].bytes += (uint32_t)count;
    return bytes_add(build->text, &build->text_bytes, bytes, count, err);
}

/* One byte of a text as it stands in quotes, in JSON as in TOML (which wants U+007F escaped, too). Returns its bytes. */
static size_t byte_escape(char out[7], uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        out[0] = '\\';
        out[1] = (char)byte;
        return 2;
    }
    if (byte >= 0x20 && byte != 0x7f) {
        out[0] = (char)byte;
        return 1;
    }
    memcpy(out, "\\u00", 4);
    out[4] = digits[byte >> 4];
    out[5] = digits[byte & 15];
    return 6;
}

static int source_text_add(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    char escaped[7];
    int rc = source_add(build, "\"", err);
    for (size_t i = 0; rc == 0 && i < bytes; i++) {
        rc = bytes_add(build->source, &build->source_bytes, escaped, byte_escape(escaped, (uint8_t)text[i]), err);
    }
    return rc == 0 ? source_add(build, "\"", err) : rc;
}

/* --- placeholders ------------------------------------------------------------------------------------------------ */

/* Names with dots between, each short enough to be looked for. */
static bool path_valid(struct rc_span path)
{
    size_t step = 0;
    for (size_t i = 0; i < path.count; i++) {
        if (path.bytes[i] == '.') {
            if (step == 0) {
                return false;
            }
            step = 0;
        } else if (path.bytes[i] == '{' || ++step > RC_EVENT_STEP_MAX) {
            return false;
        }
    }
    return step > 0;
}

/* What stands behind "args.": a number; then nothing, "..", or "." and a path. */
static bool argument_read(struct rc_span name, struct placeholder *out)
{
    size_t digits = 0;
    uint32_t index = 0;
    while (digits < name.count && digits < 5 && name.bytes[digits] >= '0' && name.bytes[digits] <= '9') {
        index = index * 10 + (uint32_t)(name.bytes[digits++] - '0');
    }
    if (digits == 0 || index > RC_EVENT_ARGUMENT_MAX) {
        return false;
    }
    const struct rc_span rest = rc_span_of(name.bytes + digits, name.count - digits);
    *out = (struct placeholder){.source = RC_EVENT_SOURCE_ARGUMENT, .index = (uint16_t)index};
    if (rc_span_equal(rest, RC_SPAN(".."))) {
        out->source = RC_EVENT_SOURCE_REST;
        return true;
    }
    if (rest.count > 0) {
        out->path = rc_span_of(rest.bytes + 1, rest.count - 1);
        return rest.bytes[0] == '.' && path_valid(out->path);
    }
    return true;
}

/* {count:ROOM} and its like. */
static const struct {
    const char *head;
    enum rc_event_question_kind kind;
    bool number;
} asked[] = {{"count:", RC_QUESTION_COUNT, true},
             {"members:", RC_QUESTION_MEMBERS, false},
             {"users:", RC_QUESTION_USERS, false},
             {"retained:", RC_QUESTION_RETAINED, false}};

/* What a placeholder begins with. */
static const struct {
    const char *name;
    enum rc_event_source source;
    bool whole; /* it may stand alone, without a path; else what follows is one name, which may have dots */
} named[] = {
    {"args", RC_EVENT_SOURCE_REST, true},       {"auth", RC_EVENT_SOURCE_AUTH, true},
    {"user", RC_EVENT_SOURCE_USER, true},       {"client", RC_EVENT_SOURCE_CLIENT, true},
    {"query", RC_EVENT_SOURCE_QUERY, false},    {"header", RC_EVENT_SOURCE_HEADER, false},
    {"cookie", RC_EVENT_SOURCE_COOKIE, false},  {"claims", RC_EVENT_SOURCE_CLAIMS, true},
    {"session", RC_EVENT_SOURCE_SESSION, true}, {"sid", RC_EVENT_SOURCE_SID, true},
    {"nsp", RC_EVENT_SOURCE_NSP, true},         {"event", RC_EVENT_SOURCE_EVENT, true},
    {"address", RC_EVENT_SOURCE_ADDRESS, true}, {"instance", RC_EVENT_SOURCE_INSTANCE, true},
    {"now", RC_EVENT_SOURCE_NOW, true},         {"now_ms", RC_EVENT_SOURCE_NOW_MS, true},
    {"uuid", RC_EVENT_SOURCE_UUID, true},       {"error", RC_EVENT_SOURCE_ERROR, true},
};

/* {room}, {room.NAME} with the name that `each` has. */
static bool room_part_read(const struct rc_event_build *build, struct rc_span name, struct placeholder *out)
{
    const struct rc_config_event *const row = build->row;
    *out = (struct placeholder){.source = RC_EVENT_SOURCE_ROOM};
    if (row == NULL || row->each_count == 0) {
        return false;
    }
    if (rc_span_equal(name, RC_SPAN("room"))) {
        return true;
    }
    out->source = RC_EVENT_SOURCE_ROOM_PART;
    return row->each_name.bytes > 0 && name.count > 5 &&
           rc_span_equal(rc_span_of(name.bytes + 5, name.count - 5),
                         rc_event_text(build->config, row->each_name.at, row->each_name.bytes));
}

static bool placeholder_known(struct rc_span name, struct placeholder *out)
{
    const uint8_t *const dot = memchr(name.bytes, '.', name.count);
    const struct rc_span head = rc_span_of(name.bytes, dot != NULL ? (size_t)(dot - name.bytes) : name.count);
    *out = (struct placeholder){.source = RC_EVENT_SOURCE_AUTH};
    for (size_t i = 0; i < RC_ARRAY_COUNT(named); i++) {
        if (!rc_span_equal(head, rc_span_text(named[i].name))) {
            continue;
        }
        out->source = named[i].source;
        if (dot == NULL) {
            return named[i].whole;
        }
        const struct rc_span path = rc_span_of(dot + 1, name.count - head.count - 1);
        if (out->source == RC_EVENT_SOURCE_REST) {
            return argument_read(path, out);
        }
        out->path = path;
        return rc_event_source_is_document((uint8_t)out->source) && path_valid(path) &&
               (named[i].whole || path.count <= RC_EVENT_STEP_MAX);
    }
    return false;
}

/* Is it text, whatever its value? */
static bool placeholder_is_text(const struct placeholder *value)
{
    return value->source != RC_EVENT_SOURCE_REST && (value->source != RC_EVENT_SOURCE_ANSWER || value->text) &&
           !(rc_event_source_is_document((uint8_t)value->source) && value->path.count == 0);
}

/* `name` asks about a room: *question is what, and behind its head the room. */
static bool name_asks(struct rc_span name, size_t *question)
{
    for (*question = 0; *question < RC_ARRAY_COUNT(asked); (*question)++) {
        if (rc_span_starts_with(name, rc_span_text(asked[*question].head))) {
            return true;
        }
    }
    return false;
}

/* Is there such a value here? */
static int source_check(const struct rc_event_build *build, struct rc_span name, enum rc_event_source source,
                        struct rc_err *err)
{
    const int shown = (int)(name.count < SHOWN_MAX ? name.count : SHOWN_MAX);
    if ((build->sources & RC_EVENT_SOURCE_BIT(source)) != 0) {
        return 0;
    }
    return build->row != NULL && build->row->from == RC_EVENT_FROM_SERVER
               ? rc_err_set(err, -EINVAL, "a server's event comes from no client: it has no {%.*s}", shown,
                            (const char *)name.bytes)
               : rc_err_set(err, -EINVAL, "there is no {%.*s} here", shown, (const char *)name.bytes);
}

/* `name` without braces. */
static int placeholder_read(struct rc_event_build *build, struct rc_span name, struct placeholder *out,
                            struct rc_err *err)
{
    const int shown = (int)(name.count < SHOWN_MAX ? name.count : SHOWN_MAX);
    size_t question;
    if (name_asks(name, &question)) {
        const size_t head = strlen(asked[question].head);
        const int rc = source_check(build, name, RC_EVENT_SOURCE_ANSWER, err);
        *out = (struct placeholder){.source = RC_EVENT_SOURCE_ANSWER, .text = asked[question].number};
        return rc == 0 ? rc_event_question_add(build, asked[question].kind,
                                               rc_span_of(name.bytes + head, name.count - head), &out->index, err)
                       : rc;
    }
    if (rc_span_equal(name, RC_SPAN("room")) || rc_span_starts_with(name, RC_SPAN("room."))) {
        return room_part_read(build, name, out)
                   ? 0
                   : rc_err_set(err, -EINVAL, "there is no {%.*s} here: each = \"doc-{id}\" gives {room} and {room.id}",
                                shown, (const char *)name.bytes);
    }
    if (!placeholder_known(name, out)) {
        return rc_err_set(
            err, -EINVAL,
            "no such value: {%.*s}; there are {args.N}, {args.N.name}, {args.N..}, {args}, {auth.name}, "
            "{user.id}, {client.name}, {sid}, {nsp}, {event}, {address}, {instance}, {now}, {now_ms}, "
            "{uuid}, {count:ROOM}, {members:ROOM}, {users:ROOM} and {retained:ROOM}, and \"{{\" is a brace",
            shown, (const char *)name.bytes);
    }
    return source_check(build, name, out->source, err);
}

int rc_event_piece_named(struct rc_event_build *build, struct rc_span name, struct rc_event_piece *out,
                         struct rc_err *err)
{
    struct placeholder value;
    const int shown = (int)(name.count < SHOWN_MAX ? name.count : SHOWN_MAX);
    const int rc = placeholder_read(build, name, &value, err);
    if (rc != 0) {
        return rc;
    }
    if (value.source != RC_EVENT_SOURCE_ARGUMENT && !rc_event_source_is_document((uint8_t)value.source)) {
        return rc_err_set(err, -EINVAL, "expected a part of the arguments or of what is known of the client, not %.*s",
                          shown, (const char *)name.bytes);
    }
    build->row->uses |= RC_EVENT_SOURCE_BIT(value.source);
    *out = (struct rc_event_piece){.type = RC_EVENT_PIECE_VALUE,
                                   .source = (uint8_t)value.source,
                                   .index = value.index,
                                   .bytes = (uint32_t)value.path.count};
    return rc_event_arena_put(build, value.path.bytes, value.path.count, &out->at, err);
}

/* The "}" of the "{" at `at`, one level of others between; NULL: there is none. */
static const char *placeholder_end(const char *text, size_t bytes, size_t at)
{
    uint32_t depth = 0;
    for (size_t i = at; i < bytes; i++) {
        depth += text[i] == '{' ? 1 : 0;
        if (text[i] == '}' && --depth == 0) {
            return text + i;
        }
    }
    return NULL;
}

/* Is the whole text one placeholder? Then its name is *name. */
static bool text_is_placeholder(const char *text, size_t bytes, struct rc_span *name)
{
    if (bytes < 2 || text[0] != '{' || text[1] == '{' || placeholder_end(text, bytes, 0) != text + bytes - 1) {
        return false;
    }
    *name = rc_span_of(text + 1, bytes - 2);
    return true;
}

/* Texts and what stands between them, as text; `escape`: within a JSON string. */
static int text_pieces_add(struct rc_event_build *build, const char *text, size_t bytes, bool escape,
                           struct rc_err *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < bytes; at++) {
        if (text[at] != '{' || (at + 1 < bytes && text[at + 1] == '{')) {
            char escaped[7] = {text[at]};
            rc = literal_add(build, escaped, escape ? byte_escape(escaped, (uint8_t)text[at]) : 1, err);
            at += text[at] == '{' ? 1 : 0;
            continue;
        }
        const char *const end = placeholder_end(text, bytes, at);
        if (end == NULL) {
            return rc_err_set(err, -EINVAL, "\"{\" without \"}\"; \"{{\" is a brace");
        }
        const struct rc_span name = rc_span_of(text + at + 1, (size_t)(end - text) - at - 1);
        struct placeholder value;
        rc = placeholder_read(build, name, &value, err);
        if (rc == 0 && !placeholder_is_text(&value)) {
            return rc_err_set(err, -EINVAL, "{%.*s} is no text: name a part of it",
                              (int)(name.count < SHOWN_MAX ? name.count : SHOWN_MAX), (const char *)name.bytes);
        }
        if (rc == 0) {
            rc = piece_add(build, RC_EVENT_PIECE_TEXT, &value, err);
        }
        at = (size_t)(end - text);
    }
    return rc;
}

/* --- values ------------------------------------------------------------------------------------------------------ */

void rc_event_value_begin(struct rc_event_build *build)
{
    rc_event_template_begin(build);
}

void rc_event_args_begin(struct rc_event_build *build)
{
    rc_event_template_begin(build);
    if (build->row->from == RC_EVENT_FROM_CLIENT) {
        build->sources |= RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ANSWER);
    }
}

/* What stands before an element or a member; `spliced`: a splice, which writes its commas itself. */
static int separator_add(struct rc_event_build *build, bool splice, struct rc_err *err)
{
    if (build->depth == 0 || build->levels[build->depth - 1].empty) {
        if (build->depth > 0) {
            build->levels[build->depth - 1].empty = false;
        }
        return 0;
    }
    const int rc = source_add(build, ", ", err);
    if (rc != 0 || splice) {
        return rc;
    }
    return build->levels[build->depth - 1].spliced ? piece_add(build, RC_EVENT_PIECE_COMMA, NULL, err)
                                                   : literal_add(build, ",", 1, err);
}

/* Before a value: in a list a separator, in a table its key has it. */
static int element_begin(struct rc_event_build *build, bool splice, struct rc_err *err)
{
    return build->depth > 0 && build->levels[build->depth - 1].closer == ']' ? separator_add(build, splice, err) : 0;
}

int rc_event_value_open(struct rc_event_build *build, char opener, struct rc_err *err)
{
    RC_ASSERT(opener == '[' || opener == '{');
    if (build->depth == RC_EVENT_DEPTH_MAX) {
        return rc_err_set(err, -EINVAL, "more than %d lists and tables in each other", RC_EVENT_DEPTH_MAX);
    }
    int rc = element_begin(build, false, err);
    if (rc == 0) {
        rc = literal_add(build, &opener, 1, err);
    }
    if (rc == 0) {
        rc = source_add(build, opener == '[' ? "[" : "{ ", err);
    }
    if (rc == 0) {
        build->levels[build->depth].closer = opener == '[' ? ']' : '}';
        build->levels[build->depth].spliced = false;
        build->levels[build->depth].empty = true;
        build->depth++;
    }
    return rc;
}

static int escaped_literal_add(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    char escaped[7];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < bytes; i++) {
        rc = literal_add(build, escaped, byte_escape(escaped, (uint8_t)text[i]), err);
    }
    return rc;
}

int rc_event_value_key(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    int rc = separator_add(build, false, err);
    if (rc == 0) {
        rc = literal_add(build, "\"", 1, err);
    }
    if (rc == 0) {
        rc = escaped_literal_add(build, text, bytes, err);
    }
    if (rc == 0) {
        rc = literal_add(build, "\":", 2, err);
    }
    if (rc == 0) {
        rc = source_text_add(build, text, bytes, err);
    }
    return rc == 0 ? source_add(build, " = ", err) : rc;
}

int rc_event_value_text(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    struct rc_span name;
    struct placeholder value = {.source = RC_EVENT_SOURCE_SID};
    const bool alone = text_is_placeholder(text, bytes, &name);
    int rc = alone ? placeholder_read(build, name, &value, err) : 0;
    const bool in_list = build->depth > 0 && build->levels[build->depth - 1].closer == ']';
    const bool splice = alone && in_list && value.source == RC_EVENT_SOURCE_REST;
    if (rc == 0) {
        rc = element_begin(build, splice, err);
    }
    if (rc == 0) {
        rc = source_text_add(build, text, bytes, err);
    }
    if (rc == 0 && alone) {
        rc = piece_add(build, splice ? RC_EVENT_PIECE_SPLICE : RC_EVENT_PIECE_VALUE, &value, err);
        if (splice) {
            build->levels[build->depth - 1].spliced = true;
        }
        return rc;
    }
    if (rc == 0) {
        rc = literal_add(build, "\"", 1, err);
    }
    if (rc == 0) {
        rc = text_pieces_add(build, text, bytes, true, err);
    }
    return rc == 0 ? literal_add(build, "\"", 1, err) : rc;
}

int rc_event_value_constant(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    int rc = element_begin(build, false, err);
    if (rc == 0) {
        rc = literal_add(build, text, bytes, err);
    }
    return rc == 0 ? bytes_add(build->source, &build->source_bytes, text, bytes, err) : rc;
}

int rc_event_value_close(struct rc_event_build *build, struct rc_err *err)
{
    RC_ASSERT(build->depth > 0);
    const char closer = build->levels[--build->depth].closer;
    const int rc = literal_add(build, &closer, 1, err);
    return rc == 0 ? source_add(build, closer == ']' ? "]" : " }", err) : rc;
}

/* --- questions --------------------------------------------------------------------------------------------------- */

int rc_event_question_add(struct rc_event_build *build, enum rc_event_question_kind kind, struct rc_span room,
                          uint16_t *index, struct rc_err *err)
{
    for (*index = 0; *index < build->question_count; (*index)++) {
        const struct rc_event_text *const other = &build->questions[*index].room;
        if (build->questions[*index].kind == kind &&
            rc_span_equal(rc_event_text(build->config, other->at, other->bytes), room)) {
            return 0;
        }
    }
    if (build->question_count == RC_EVENT_QUESTIONS_MAX) {
        return rc_err_set(err, -EINVAL, "more than %d questions about rooms", RC_EVENT_QUESTIONS_MAX);
    }
    if (room.count == 0) {
        return rc_err_set(err, -EINVAL, "a question needs a room, as in {count:lobby}, or \"*\"");
    }
    struct rc_event_text *const text = &build->questions[*index].room;
    build->questions[*index].kind = kind;
    text->bytes = (uint32_t)room.count;
    build->question_count++;
    return rc_event_arena_put(build, room.bytes, room.count, &text->at, err);
}

/* --- templates --------------------------------------------------------------------------------------------------- */

int rc_event_template_text(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    rc_event_template_begin(build);
    const int rc = source_text_add(build, text, bytes, err);
    return rc == 0 ? text_pieces_add(build, text, bytes, false, err) : rc;
}

int rc_event_template_value(struct rc_event_build *build, struct rc_event_template *out, enum rc_event_piece_type type,
                            enum rc_event_source source, struct rc_err *err)
{
    const struct placeholder value = {.source = source};
    rc_event_template_begin(build);
    const int rc = piece_add(build, type, &value, err);
    return rc == 0 ? rc_event_template_end(build, out, err) : rc;
}

int rc_event_template_shown(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    build->source_bytes = 0;
    return bytes_add(build->source, &build->source_bytes, text, bytes, err);
}
