/* event_build: see event_build.h. */
#include "common/config/event_build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/span.h"
#include "common/config/event_rules.h"
#include "common/config/schemas.h"
#include "common/config/socketio.h"
#include "common/records/channel_name.h"

/* What every event has; what a client says and is. */
#define SOURCES_OF_EVENT                                                                         \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ARGUMENT) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_REST) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NSP) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_EVENT) |     \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_INSTANCE) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NOW) |  \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_UUID) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_NOW_MS))
#define SOURCES_OF_CLIENT                                                                        \
    (RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_AUTH) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_QUERY) |    \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_HEADER) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_COOKIE) | \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ADDRESS) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_SID) |   \
     RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_USER) | RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_CLIENT))

/* --- rooms ------------------------------------------------------------------------------------------------------- */

void rc_event_build_begin(struct rc_event_build *build, struct rc_config *config, struct rc_config_event *row)
{
    memset(build, 0, sizeof(*build));
    build->config = config;
    build->row = row;
    build->sources = row->from == RC_EVENT_FROM_SERVER ? SOURCES_OF_EVENT : SOURCES_OF_EVENT | SOURCES_OF_CLIENT;
}

void rc_event_build_begin_values(struct rc_event_build *build, struct rc_config *config, uint32_t sources)
{
    memset(build, 0, sizeof(*build));
    build->config = config;
    build->sources = sources;
}

int rc_event_build_shown(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    return rc_event_template_shown(build, text, bytes, err);
}

int rc_event_build_value(struct rc_event_build *build, struct rc_event_template *out, struct rc_err *err)
{
    return rc_event_template_end(build, out, err);
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
               : rc_err_set(err, -EINVAL,
                            "more than %d operations: rooms to leave and to join, set, the ack, emits, close",
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

/* What a value tells of the channel namespace that a room's name begins with. */
enum said {
    SAID_NOTHING, /* what stands behind it decides */
    SAID_BY_CLIENT,
    SAID_BY_FILE, /* it has the ":" */
};

/* A name of which the file has `text`, and the client, where it is `open`, what follows. */
static enum said name_said(struct rc_span text, bool open)
{
    return text.count > 0 && memchr(text.bytes, ':', text.count) != NULL ? SAID_BY_FILE
           : open                                                        ? SAID_BY_CLIENT
                                                                         : SAID_NOTHING;
}

/* Of on and nsp, which may end with "*". */
static enum said pattern_said(const char *pattern)
{
    const struct rc_span text = rc_span_text(pattern);
    return name_said(text, text.count > 0 && text.bytes[text.count - 1] == '*');
}

static enum said value_said(const struct rc_event_build *build, const struct rc_event_piece *piece)
{
    const struct rc_config_event *const row = build->row;
    switch ((enum rc_event_source)piece->source) {
    case RC_EVENT_SOURCE_EVENT:
        return pattern_said(row->on.text);
    case RC_EVENT_SOURCE_NSP:
        return pattern_said(row->nsp.text);
    case RC_EVENT_SOURCE_ROOM: /* the very room it was let into; but what else its name begins, it was not */
        return name_said(rc_event_text(build->config, row->each_head.at, row->each_head.bytes), build->piece_count > 1);
    case RC_EVENT_SOURCE_ROOM_PART:
    case RC_EVENT_SOURCE_ARGUMENT:
        return SAID_BY_CLIENT;
    default:
        return source_is_said(piece->source) ? SAID_BY_CLIENT : SAID_NOTHING;
    }
}

/* Does the client say what stands before the first ":"? */
static bool client_chooses(const struct rc_event_build *build)
{
    enum said said = SAID_NOTHING;
    for (uint32_t i = 0; said == SAID_NOTHING && i < build->piece_count; i++) {
        const struct rc_event_piece *const piece = &build->pieces[i];
        said = piece->type == RC_EVENT_PIECE_LITERAL
                   ? name_said(rc_span_of(build->text + piece->at, piece->bytes), false)
                   : value_said(build, piece);
    }
    return said == SAID_BY_CLIENT;
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
        if (type == RC_RULE_RETAIN) {
            return rc_err_set(err, -EINVAL, "\"*\" is everybody in the namespace, and no room that keeps a value");
        }
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
    int rc = rc_event_template_text(build, text, bytes, err);
    if (rc == 0) {
        rc = room_texts_check(build, err);
    }
    const bool chooses = client_chooses(build);
    struct rc_event_template room;
    if (rc == 0) {
        rc = rc_event_template_end(build, &room, err);
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

int rc_event_build_each(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    struct rc_config_event *const row = build->row;
    const char *const open = memchr(text, '{', bytes);
    const char *const close = open == NULL ? NULL : memchr(open, '}', bytes - (size_t)(open - text));
    const char *const end = text + bytes;
    if (bytes == 0) {
        return 0;
    }
    if (!on_is(build, "disconnect")) {
        return rc_err_set(err, -EINVAL, "it is of on = \"disconnect\" alone");
    }
    if (bytes > RC_CHANNEL_NAME_MAX || (open != NULL && (close == NULL || close == open + 1)) ||
        (close != NULL && memchr(close + 1, '{', (size_t)(end - close) - 1) != NULL)) {
        return rc_err_set(err, -EINVAL, "expected a room, or one with a name in its place: \"doc-{id}\", \"{any}\"");
    }
    row->each_count = 1;
    row->each.bytes = (uint32_t)bytes;
    row->each_head.bytes = (uint32_t)(open == NULL ? bytes : (size_t)(open - text));
    int rc = rc_event_arena_put(build, text, bytes, &row->each.at, err);
    row->each_head.at = row->each.at;
    if (rc == 0 && open != NULL) {
        row->each_name.bytes = (uint32_t)(close - open - 1);
        row->each_name.at = row->each.at + row->each_head.bytes + 1;
        row->each_tail.bytes = (uint32_t)(end - close - 1);
        row->each_tail.at = row->each_name.at + row->each_name.bytes + 1;
    }
    return rc;
}

/* The rooms go to the arena, and the next operation has its own. */
static int rooms_end(struct rc_event_build *build, struct rc_event_operation *operation, struct rc_err *err)
{
    operation->room_count = build->room_count;
    build->room_count = 0;
    return operation->room_count == 0
               ? 0
               : rc_event_arena_put(build, build->rooms, operation->room_count * sizeof(build->rooms[0]),
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

int rc_event_build_retain(struct rc_event_build *build, const char *room, size_t bytes, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = RC_RULE_RETAIN};
    if (bytes == 0) {
        return 0;
    }
    build->room_count = 0;
    int rc = rc_event_build_room(build, RC_RULE_RETAIN, room, bytes, err);
    if (rc == 0) {
        rc = operations_weigh(build, 1, err);
    }
    if (rc == 0) {
        rc = rooms_end(build, &operation, err);
    }
    build->room_count = 0;
    if (rc == 0) {
        build->row->retain_count = 1;
        build->operations[build->operation_count++] = operation;
    }
    return rc;
}

/* --- set, ack and emit ------------------------------------------------------------------------------------------------ */

/* Of nobody, or of somebody who is going. */
static int client_stays(const struct rc_event_build *build, const char *what, struct rc_err *err)
{
    if (build->row->from == RC_EVENT_FROM_SERVER) {
        return rc_err_set(err, -EINVAL, "a server's event comes from no client %s", what);
    }
    return on_is(build, "disconnect") ? rc_err_set(err, -EINVAL, "there is no client any more %s", what) : 0;
}

int rc_event_build_set(struct rc_event_build *build, uint32_t count, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = RC_RULE_SET};
    int rc = client_stays(build, "of which something could be known", err);
    if (rc == 0 && count > RC_EVENT_SET_MAX) {
        rc = rc_err_set(err, -EINVAL, "expected at most %d attributes", RC_EVENT_SET_MAX);
    }
    if (rc == 0 && count > 0) {
        rc = operations_weigh(build, 1, err);
    }
    if (rc == 0 && count > 0) {
        rc = rc_event_template_end(build, &operation.args, err);
    }
    if (rc == 0 && count > 0) {
        build->row->set_count = count;
        build->operations[build->operation_count++] = operation;
    }
    return rc;
}

int rc_event_build_close(struct rc_event_build *build, const char *reason, size_t bytes, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = RC_RULE_CLOSE};
    int rc = client_stays(build, "whose connection could be closed", err);
    if (rc == 0 && bytes > RC_EVENT_CLOSE_REASON_MAX) {
        rc = rc_err_set(err, -EINVAL, "a reason has at most %d bytes", RC_EVENT_CLOSE_REASON_MAX);
    }
    if (rc == 0) {
        rc = rc_event_template_text(build, reason, bytes, err);
    }
    if (rc == 0 &&
        (build->piece_count > 1 || (build->piece_count == 1 && build->pieces[0].type != RC_EVENT_PIECE_LITERAL))) {
        rc = rc_err_set(err, -EINVAL, "expected true or a text without {values}; \"{{\" is a brace");
    }
    if (rc == 0) {
        rc = operations_weigh(build, 1, err);
    }
    if (rc == 0) {
        rc = rc_event_template_end(build, &operation.event, err);
    }
    if (rc == 0) {
        build->row->close_count = 1;
        build->operations[build->operation_count++] = operation;
    }
    return rc;
}

int rc_event_build_ack(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_event_operation operation = {.type = RC_RULE_ACK};
    int rc = rc_event_template_end(build, &operation.args, err);
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

int rc_event_emit_except(struct rc_event_build *build, struct rc_err *err)
{
    const uint32_t count = build->room_count;
    const bool everybody = build->everybody;
    build->room_count = 0;
    build->everybody = false;
    build->emit.except_count = count;
    if (everybody) {
        return rc_err_set(err, -EINVAL, "\"*\" is everybody in the namespace: nobody would be left");
    }
    return count == 0
               ? 0
               : rc_event_arena_put(build, build->rooms, count * sizeof(build->rooms[0]), &build->emit.excepts, err);
}

int rc_event_emit_event(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    int rc = rc_event_template_text(build, text, bytes, err);
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
    return rc_event_template_end(build, &build->emit.event, err);
}

int rc_event_emit_when(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    const struct rc_span when = rc_span_of(text, bytes);
    if (bytes == 0) {
        return 0;
    }
    const bool alone = rc_span_starts_with(when, RC_SPAN("alone:"));
    const size_t head = alone ? strlen("alone:") : strlen("company:");
    if (!alone && !rc_span_starts_with(when, RC_SPAN("company:"))) {
        return rc_err_set(err, -EINVAL, "expected \"alone:ROOM\" or \"company:ROOM\"");
    }
    if (build->row->from == RC_EVENT_FROM_SERVER) {
        return rc_err_set(err, -EINVAL, "a server's event comes from no client that could be alone");
    }
    build->emit.when = alone ? RC_EVENT_WHEN_ALONE : RC_EVENT_WHEN_COMPANY;
    return rc_event_question_add(build, RC_QUESTION_OTHERS, rc_span_of(text + head, bytes - head),
                                 &build->emit.when_question, err);
}

int rc_event_emit_args(struct rc_event_build *build, struct rc_err *err)
{
    return rc_event_template_end(build, &build->emit.args, err);
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
    if (to_sender && build->emit.except_count > 0) {
        return rc_err_set(err, -EINVAL, "except: an emit to who sent the event is for nobody else");
    }
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
    struct rc_event_operation operation = {.type = RC_RULE_EMIT,
                                           .excepts = build->emit.excepts,
                                           .except_count = build->emit.except_count,
                                           .when = build->emit.when,
                                           .when_question = build->emit.when_question,
                                           .event = build->emit.event,
                                           .args = build->emit.args};
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
        rc = rc_event_template_value(build, &operation.event, RC_EVENT_PIECE_TEXT, RC_EVENT_SOURCE_EVENT, err);
    }
    if (rc == 0 && operation.args.piece_count == 0) {
        rc = rc_event_template_value(build, &operation.args, RC_EVENT_PIECE_VALUE, RC_EVENT_SOURCE_REST, err);
    }
    if (rc == 0) {
        build->row->emit_count++;
        build->operations[build->operation_count++] = operation;
    }
    return rc;
}

/* --- the row ----------------------------------------------------------------------------------------------------- */

/* A row that takes whatever this one could take; NULL: none. Of patterns the beginnings are looked at as if they were names. */
static const struct rc_config_event *row_before(const struct rc_event_build *build)
{
    const struct rc_config_event *const row = build->row;
    const struct rc_span nsp = rc_span_text(row->nsp.text);
    const struct rc_span on = rc_span_text(row->on.text);
    const struct rc_config_event *before = rc_event_first(build->config, row->from, nsp, on);
    while (before != NULL && before->guards.match_count > 0) {
        before = rc_event_next(build->config, before, nsp, on);
    }
    return rc_event_life_cycle(row) ? NULL : before;
}

/* The rooms that the row asks about. */
static int questions_end(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_event_question questions[RC_EVENT_QUESTIONS_MAX];
    const uint32_t count = build->question_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_span text =
            rc_event_text(build->config, build->questions[i].room.at, build->questions[i].room.bytes);
        questions[i] = (struct rc_event_question){.kind = build->questions[i].kind,
                                                  .everybody = rc_span_equal(text, RC_SPAN("*"))};
        build->room_count = 0;
        if (questions[i].everybody != 0 && questions[i].kind == RC_QUESTION_RETAINED) {
            return rc_err_set(err, -EINVAL, "\"*\" is everybody in the namespace, and no room that keeps a value");
        }
        const int rc = questions[i].everybody != 0
                           ? 0
                           : rc_event_build_room(build, RC_RULE_JOIN, (const char *)text.bytes, text.count, err);
        if (rc != 0) {
            char why[RC_ERR_TEXT_MAX];
            (void)snprintf(why, sizeof(why), "%s", err->text);
            return rc_err_set(err, rc, "a question about the room \"%.*s\": %s", (int)text.count,
                              (const char *)text.bytes, why);
        }
        static const struct rc_event_template nowhere;
        questions[i].room = questions[i].everybody != 0 ? nowhere : build->rooms[0];
    }
    build->room_count = 0;
    build->row->question_count = count;
    return count == 0 ? 0
                      : rc_event_arena_put(build, questions, count * sizeof(questions[0]), &build->row->questions, err);
}

int rc_event_build_end(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_config *const config = build->config;
    struct rc_config_event *const row = build->row;
    RC_ASSERT(config->event_count < RC_CONFIG_EVENTS_MAX);
    if (row->from == RC_EVENT_FROM_SERVER && rc_config_event_reserved(rc_span_text(row->on.text))) {
        return rc_err_set(err, -EINVAL, "on = \"%s\" is about clients: it is nothing from a server", row->on.text);
    }
    const struct rc_config_event *const before = row_before(build);
    if (before != NULL) {
        return rc_err_set(err, -EINVAL,
                          "there is another [[event]] before it, on = \"%s\" in %s, which takes all of these: this one "
                          "would never count",
                          before->on.text, before->nsp.text);
    }
    int rc = questions_end(build, err);
    if (rc != 0) {
        return rc;
    }
    rc = rc_event_arena_put(build, build->operations, build->operation_count * sizeof(build->operations[0]),
                            &row->operations, err);
    if (rc != 0) {
        return rc;
    }
    row->operation_count = build->operation_count;
    config->events[config->event_count++] = *row;
    rc_event_index_last(config);
    return 0;
}
