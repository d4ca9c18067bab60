/* event_build: see event_build.h. */
#include "common/config/event_build.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/span.h"
#include "common/config/event_rules.h"
#include "common/config/schemas.h"
#include "common/config/socketio.h"
#include "common/config/text.h"
#include "common/records/channel_name.h"

/* What every event has; what a client says and is. */
#define SOURCES_OF_EVENT                                                                         \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ARGUMENT) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_REST) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NSP) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_EVENT))
#define SOURCES_OF_CLIENT                                                                        \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_AUTH) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_QUERY) |    \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_HEADER) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_COOKIE) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ADDRESS))

#define SHOWN_MAX 60 /* bytes of a placeholder that a message shows */

/* What stands between braces. */
struct placeholder {
    enum rc_event_source source;
    uint16_t index;
    struct rc_span path;
};

/* --- the arena --------------------------------------------------------------------------------------------------- */

/* Everything in it is aligned to 4, as its structs are. */
static int arena_put(struct rc_event_build *build, const void *bytes, size_t count, uint32_t *at, struct rc_err *err)
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

static void template_begin(struct rc_event_build *build)
{
    build->piece_count = 0;
    build->text_bytes = 0;
    build->source_bytes = 0;
    build->depth = 0;
}

/* Moves the template that was read to the arena. */
static int template_end(struct rc_event_build *build, struct rc_event_template *out, struct rc_err *err)
{
    uint32_t text_at = 0;
    *out = (struct rc_event_template){.piece_count = (uint16_t)build->piece_count, .source_bytes = build->source_bytes};
    int rc = arena_put(build, build->text, build->text_bytes, &text_at, err);
    for (uint32_t i = 0; i < build->piece_count; i++) {
        build->pieces[i].at += text_at;
    }
    if (rc == 0) {
        rc = arena_put(build, build->pieces, build->piece_count * sizeof(build->pieces[0]), &out->pieces, err);
    }
    return rc == 0 ? arena_put(build, build->source, build->source_bytes, &out->source, err) : rc;
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

/* What a placeholder begins with. */
static const struct {
    const char *name;
    enum rc_event_source source;
    bool whole; /* it may stand alone, without a path */
} named[] = {
    {"args", RC_EVENT_SOURCE_REST, true},       {"auth", RC_EVENT_SOURCE_AUTH, true},
    {"user", RC_EVENT_SOURCE_USER, true},       {"client", RC_EVENT_SOURCE_CLIENT, true},
    {"query", RC_EVENT_SOURCE_QUERY, false},    {"header", RC_EVENT_SOURCE_HEADER, false},
    {"cookie", RC_EVENT_SOURCE_COOKIE, false},  {"claims", RC_EVENT_SOURCE_CLAIMS, true},
    {"session", RC_EVENT_SOURCE_SESSION, true}, {"sid", RC_EVENT_SOURCE_SID, true},
    {"nsp", RC_EVENT_SOURCE_NSP, true},         {"event", RC_EVENT_SOURCE_EVENT, true},
    {"address", RC_EVENT_SOURCE_ADDRESS, true},
};

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
        return rc_event_source_is_document((uint8_t)out->source) && path_valid(path);
    }
    return false;
}

/* Is it text, whatever its value? */
static bool placeholder_is_text(const struct placeholder *value)
{
    return value->source != RC_EVENT_SOURCE_REST &&
           !(rc_event_source_is_document((uint8_t)value->source) && value->path.count == 0);
}

/* `name` without braces. */
static int placeholder_read(const struct rc_event_build *build, struct rc_span name, struct placeholder *out,
                            struct rc_err *err)
{
    const int shown = (int)(name.count < SHOWN_MAX ? name.count : SHOWN_MAX);
    if (!placeholder_known(name, out)) {
        return rc_err_set(err, -EINVAL,
                          "no such value: {%.*s}; there are {args.N}, {args.N.name}, {args.N..}, {args}, {auth.name}, "
                          "{user.id}, {client.name}, {sid}, {nsp}, {event} and {address}, and \"{{\" is a brace",
                          shown, (const char *)name.bytes);
    }
    if ((build->sources & RC_EVENT_SOURCE_BIT(out->source)) == 0) {
        return build->row != NULL && build->row->from == RC_EVENT_FROM_SERVER
                   ? rc_err_set(err, -EINVAL, "a server's event comes from no client: it has no {%.*s}", shown,
                                (const char *)name.bytes)
                   : rc_err_set(err, -EINVAL, "there is no {%.*s} here", shown, (const char *)name.bytes);
    }
    return 0;
}

/* Is the whole text one placeholder? Then its name is *name. */
static bool text_is_placeholder(const char *text, size_t bytes, struct rc_span *name)
{
    if (bytes < 2 || text[0] != '{' || text[1] == '{' || memchr(text, '}', bytes) != text + bytes - 1) {
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
        const char *const end = memchr(text + at, '}', bytes - at);
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
    template_begin(build);
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

/* --- rooms ------------------------------------------------------------------------------------------------------- */

void rc_event_build_begin(struct rc_event_build *build, struct rc_config *config, struct rc_config_event *row)
{
    memset(build, 0, sizeof(*build));
    build->config = config;
    build->row = row;
    build->sources = row->from == RC_EVENT_FROM_SERVER
                         ? SOURCES_OF_EVENT
                         : SOURCES_OF_EVENT | SOURCES_OF_CLIENT | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_SID) |
                               RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_USER) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_CLIENT);
}

void rc_event_build_begin_values(struct rc_event_build *build, struct rc_config *config, uint32_t sources)
{
    memset(build, 0, sizeof(*build));
    build->config = config;
    build->sources = sources;
}

int rc_event_build_shown(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    build->source_bytes = 0;
    return bytes_add(build->source, &build->source_bytes, text, bytes, err);
}

int rc_event_build_value(struct rc_event_build *build, struct rc_event_template *out, struct rc_err *err)
{
    return template_end(build, out, err);
}

static bool on_is(const struct rc_event_build *build, const char *name)
{
    return rc_event_life_cycle(build->row) && strcmp(build->row->on.text, name) == 0;
}

static int operations_weigh(struct rc_event_build *build, uint32_t more, struct rc_err *err)
{
    build->weight += more;
    return build->weight <= RC_EVENT_OPERATIONS_MAX
               ? 0
               : rc_err_set(err, -EINVAL, "more than %d operations: rooms to leave and to join, the ack, emits",
                            RC_EVENT_OPERATIONS_MAX);
}

int rc_event_build_schema(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_config_event *const row = build->row;
    if (row->schema.text[0] == '\0') {
        return 0;
    }
    row->schema_at = rc_config_schema_find(build->config, row->schema.text);
    if (row->schema_at == 0) {
        return rc_err_set(err, -EINVAL, "there is no \"%s\" in [schemas]", row->schema.text);
    }
    return rc_event_life_cycle(row)
               ? rc_err_set(err, -EINVAL, "with \"%s\" a client says nothing that could be checked", row->on.text)
               : 0;
}

/* The texts of a room's name that do not depend on anything. */
static int room_texts_check(const struct rc_event_build *build, struct rc_err *err)
{
    if (build->piece_count == 0) {
        return rc_err_set(err, -EINVAL, "a room has a name");
    }
    for (uint32_t i = 0; i < build->piece_count; i++) {
        const struct rc_event_piece *const piece = &build->pieces[i];
        const char *const text = (const char *)build->text + piece->at;
        if (piece->type != RC_EVENT_PIECE_LITERAL) {
            continue;
        }
        if (rc_channel_name_check(text, piece->bytes, RC_CHANNEL_NAME_MAX) != 0) {
            return rc_err_set(err, -EINVAL, "a room's name has at most %d bytes and no control characters",
                              RC_CHANNEL_NAME_MAX);
        }
        if (i == 0 && text[0] == '/' && memchr(text, '#', piece->bytes) != NULL) {
            return rc_err_set(
                err, -EINVAL,
                "a room's name that begins with \"/\" holds no \"#\": it would be one of another namespace");
        }
    }
    return 0;
}

/* A document in which the client has written what it wanted. What rows set may come from it. */
static bool source_is_said(uint8_t source)
{
    return source == RC_EVENT_SOURCE_AUTH || source == RC_EVENT_SOURCE_CLIENT || source == RC_EVENT_SOURCE_QUERY ||
           source == RC_EVENT_SOURCE_HEADER || source == RC_EVENT_SOURCE_COOKIE;
}

/* Does the client say what stands before the first ":"? */
static bool client_chooses(const struct rc_event_build *build)
{
    for (uint32_t i = 0; i < build->piece_count; i++) {
        const struct rc_event_piece *const piece = &build->pieces[i];
        if (piece->type == RC_EVENT_PIECE_LITERAL) {
            if (memchr(build->text + piece->at, ':', piece->bytes) != NULL) {
                return false;
            }
        } else if (piece->source == RC_EVENT_SOURCE_ARGUMENT || source_is_said(piece->source)) {
            return true;
        }
    }
    return false;
}

static bool rooms_have(const struct rc_event_build *build, const struct rc_event_template *room)
{
    const struct rc_span source = rc_event_text(build->config, room->source, room->source_bytes);
    for (uint32_t i = 0; i < build->room_count; i++) {
        const struct rc_event_template *const other = &build->rooms[i];
        if (rc_span_equal(source, rc_event_text(build->config, other->source, other->source_bytes))) {
            return true;
        }
    }
    return false;
}

int rc_event_build_room(struct rc_event_build *build, enum rc_event_operation_type type, const char *text, size_t bytes,
                        struct rc_err *err)
{
    if (bytes == 1 && text[0] == '*') {
        if (type != RC_RULE_EMIT) {
            return rc_err_set(err, -EINVAL,
                              "\"*\" is everybody in the namespace, as whom every client is there already");
        }
        build->everybody = true;
        return 0;
    }
    if (build->room_count == RC_EVENT_ROOMS_MAX) {
        return rc_err_set(err, -EINVAL, "expected at most %d rooms", RC_EVENT_ROOMS_MAX);
    }
    template_begin(build);
    int rc = source_text_add(build, text, bytes, err);
    if (rc == 0) {
        rc = text_pieces_add(build, text, bytes, false, err);
    }
    if (rc == 0) {
        rc = room_texts_check(build, err);
    }
    const bool chooses = client_chooses(build);
    struct rc_event_template room;
    if (rc == 0) {
        rc = template_end(build, &room, err);
    }
    if (rc != 0) {
        return rc;
    }
    room.flags = chooses ? RC_EVENT_CLIENT_CHOOSES : 0;
    if (rooms_have(build, &room)) {
        return rc_err_set(err, -EINVAL, "the room stands there twice");
    }
    build->rooms[build->room_count++] = room;
    return 0;
}

/* The rooms go to the arena, and the next operation has its own. */
static int rooms_end(struct rc_event_build *build, struct rc_event_operation *operation, struct rc_err *err)
{
    operation->room_count = build->room_count;
    build->room_count = 0;
    return operation->room_count == 0 ? 0
                                      : arena_put(build, build->rooms, operation->room_count * sizeof(build->rooms[0]),
                                                  &operation->rooms, err);
}

int rc_event_build_rooms(struct rc_event_build *build, enum rc_event_operation_type type, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = type};
    const uint32_t count = build->room_count;
    if (count == 0) {
        return 0;
    }
    int rc = operations_weigh(build, count, err);
    if (rc == 0 && build->row->from == RC_EVENT_FROM_SERVER) {
        rc = rc_err_set(err, -EINVAL, "a server's event comes from no client that could join or leave rooms");
    } else if (rc == 0 && on_is(build, "disconnect")) {
        rc = rc_err_set(err, -EINVAL, "a client that disconnects has left its rooms and cannot join others");
    }
    if (rc == 0) {
        rc = rooms_end(build, &operation, err);
    }
    build->room_count = 0;
    if (rc != 0) {
        return rc;
    }
    *(type == RC_RULE_JOIN ? &build->row->join_count : &build->row->leave_count) = count;
    build->operations[build->operation_count++] = operation;
    return 0;
}

/* --- ack and emit ------------------------------------------------------------------------------------------------ */

int rc_event_build_ack(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = RC_RULE_ACK};
    int rc = template_end(build, &operation.args, err);
    if (rc == 0 && rc_event_life_cycle(build->row)) {
        rc = rc_err_set(err, -EINVAL, "\"%s\" is nothing that a client asks an acknowledgement for",
                        build->row->on.text);
    }
    if (rc == 0) {
        rc = operations_weigh(build, 1, err);
    }
    if (rc == 0) {
        build->row->ack_count = 1;
        build->operations[build->operation_count++] = operation;
    }
    return rc;
}

void rc_event_emit_begin(struct rc_event_build *build)
{
    build->emit = (struct rc_config_emit){0};
    build->everybody = false;
    build->room_count = 0;
}

int rc_event_emit_event(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    template_begin(build);
    int rc = source_text_add(build, text, bytes, err);
    if (rc == 0) {
        rc = text_pieces_add(build, text, bytes, false, err);
    }
    if (rc != 0) {
        return rc;
    }
    const bool constant = build->piece_count == 1 && build->pieces[0].type == RC_EVENT_PIECE_LITERAL;
    if (build->piece_count == 0 || build->text_bytes > RC_EVENT_NAME_MAX) {
        return rc_err_set(err, -EINVAL, "an event's name has 1 to %d bytes", RC_EVENT_NAME_MAX);
    }
    if (constant && rc_config_event_reserved(rc_span_of(build->text, build->text_bytes))) {
        return rc_err_set(err, -EINVAL, "expected a name that Socket.IO does not reserve");
    }
    return template_end(build, &build->emit.event, err);
}

int rc_event_emit_args(struct rc_event_build *build, struct rc_err *err)
{
    return template_end(build, &build->emit.args, err);
}

/* A template that is one value, as what is not given means. */
static int template_default(struct rc_event_build *build, struct rc_event_template *out, enum rc_event_piece_type type,
                            enum rc_event_source source, struct rc_err *err)
{
    const struct placeholder value = {.source = source};
    template_begin(build);
    const int rc = piece_add(build, type, &value, err);
    return rc == 0 ? template_end(build, out, err) : rc;
}

/* Who gets it, as flags. */
static int emit_receivers(struct rc_event_build *build, struct rc_event_operation *operation, struct rc_err *err)
{
    const struct rc_event_template *const room = &build->rooms[0];
    const struct rc_event_piece *const piece = rc_event_pieces(build->config, room);
    if (build->everybody && build->room_count > 0) {
        return rc_err_set(err, -EINVAL, "\"*\" is everybody in the namespace: other rooms beside it are too much");
    }
    if (build->everybody) {
        operation->flags = RC_EVENT_TO_EVERYBODY;
    } else if (build->room_count == 0 || (build->room_count == 1 && room->piece_count == 1 &&
                                          piece->type == RC_EVENT_PIECE_TEXT && piece->source == RC_EVENT_SOURCE_SID)) {
        operation->flags = RC_EVENT_TO_SENDER;
        build->room_count = 0;
    }
    const bool to_sender = operation->flags == RC_EVENT_TO_SENDER;
    if (to_sender && build->row->from == RC_EVENT_FROM_SERVER) {
        return rc_err_set(err, -EINVAL, "a server's event comes from no client: an emit needs to = \"*\" or rooms");
    }
    if (to_sender && on_is(build, "disconnect")) {
        return rc_err_set(err, -EINVAL, "a client that has left hears nothing: an emit needs to = \"*\" or rooms");
    }
    if (build->emit.others && (to_sender || build->row->from == RC_EVENT_FROM_SERVER)) {
        return rc_err_set(err, -EINVAL,
                          to_sender ? "others = true without a room: nobody would be left"
                                    : "others: a server's event comes from no client that could be left out");
    }
    operation->flags |= build->emit.others ? RC_EVENT_OTHERS : 0;
    operation->flags |= build->emit.is_volatile ? RC_EVENT_VOLATILE : 0;
    return 0;
}

int rc_event_emit_end(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = RC_RULE_EMIT, .event = build->emit.event, .args = build->emit.args};
    int rc = operations_weigh(build, 1, err);
    if (rc == 0) {
        rc = emit_receivers(build, &operation, err);
    }
    if (rc == 0) {
        rc = rooms_end(build, &operation, err);
    }
    if (rc == 0 && operation.event.piece_count == 0) {
        if (rc_config_event_reserved(rc_span_text(build->row->on.text))) {
            return rc_err_set(err, -EINVAL, "an emit needs an event: Socket.IO reserves the name \"%s\"",
                              build->row->on.text);
        }
        rc = template_default(build, &operation.event, RC_EVENT_PIECE_TEXT, RC_EVENT_SOURCE_EVENT, err);
    }
    if (rc == 0 && operation.args.piece_count == 0) {
        rc = template_default(build, &operation.args, RC_EVENT_PIECE_VALUE, RC_EVENT_SOURCE_REST, err);
    }
    if (rc == 0) {
        build->row->emit_count++;
        build->operations[build->operation_count++] = operation;
    }
    return rc;
}

/* --- the row ----------------------------------------------------------------------------------------------------- */

int rc_event_build_end(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_config *const config = build->config;
    struct rc_config_event *const row = build->row;
    RC_ASSERT(config->event_count < RC_CONFIG_EVENTS_MAX);
    if (row->from == RC_EVENT_FROM_SERVER && rc_config_event_reserved(rc_span_text(row->on.text))) {
        return rc_err_set(err, -EINVAL, "on = \"%s\" is about clients: it is nothing from a server", row->on.text);
    }
    if (!rc_event_life_cycle(row) &&
        rc_event_first(config, row->from, rc_span_text(row->nsp.text), rc_span_text(row->on.text)) != NULL) {
        return rc_err_set(err, -EINVAL, "there is another [[event]] for \"%s\" in %s: this one would never count",
                          row->on.text, row->nsp.text);
    }
    const int rc = arena_put(build, build->operations, build->operation_count * sizeof(build->operations[0]),
                             &row->operations, err);
    if (rc != 0) {
        return rc;
    }
    row->operation_count = build->operation_count;
    config->events[config->event_count++] = *row;
    rc_event_index_last(config);
    return 0;
}
