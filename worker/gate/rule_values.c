/* rule_values: see rule_values.h. */
#include "worker/gate/rule_values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/channel_name.h"
#include "worker/gate/rule_find.h"
#include "worker/proto/operation.h"

_Static_assert(RC_CHANNEL_NAME_MAX == RC_EVENT_NAME_MAX, "one bound for both kinds of names");

/* Where a message is written. */
struct writer {
    uint8_t *out; /* borrowed */
    size_t room;
    size_t used;
};

/* The numbers that attachments get. */
struct numbering {
    struct rc_rule_args *args;
    uint16_t number_plus
        [RC_CONFIG_ATTACHMENTS_MAX]; /* new number + 1 of each of the input's, 0: not used so far; of as many as it has */
};

void rc_rule_values_begin(struct rc_rule_values *values, const struct rc_config *config,
                          const struct rc_rule_input *input)
{
    RC_ASSERT(input->attachment_count <= RC_CONFIG_ATTACHMENTS_MAX);
    values->config = config;
    values->input = *input;
    values->index = input->index;
    values->err.text[0] = '\0';
}

/* --- names ------------------------------------------------------------------------------------------------------- */

/* Fills in a template of texts, at most RC_CHANNEL_NAME_MAX bytes. */
static int name_fill(struct rc_rule_values *values, const struct rc_event_template *template, char *out, size_t *bytes)
{
    const struct rc_event_piece *const pieces = rc_event_pieces(values->config, template);
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    *bytes = 0;
    for (uint32_t i = 0; i < template->piece_count; i++) {
        const struct rc_event_piece *const piece = &pieces[i];
        struct rc_span text = rc_event_text(values->config, piece->at, piece->bytes);
        if (piece->type != RC_EVENT_PIECE_LITERAL && !rc_rule_piece_is_json(piece)) {
            text = rc_rule_name(values, piece);
        } else if (piece->type != RC_EVENT_PIECE_LITERAL) {
            struct rc_json_value value;
            int rc = rc_rule_find_scalar(values, piece, &value);
            if (rc != 0) {
                return rc;
            }
            text = value.raw;
            rc = value.type == RC_JSON_STRING ? rc_json_string_decode(&value, scratch, sizeof(scratch), &text) : 0;
            if (rc != 0) {
                return rc_rule_refuse_piece(values, piece, rc == -EMSGSIZE ? "is too long" : "is no text");
            }
        }
        if (text.count > RC_CHANNEL_NAME_MAX - *bytes) {
            return rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "a name of more than 255 bytes");
        }
        if (text.count > 0) {
            memcpy(out + *bytes, text.bytes, text.count);
        }
        *bytes += text.count;
    }
    return 0;
}

int rc_rule_room(struct rc_rule_values *values, const struct rc_event_template *template, char out[RC_CHANNEL_NAME_MAX],
                 size_t *bytes)
{
    const int rc = name_fill(values, template, out, bytes);
    if (rc != 0) {
        return rc;
    }
    const struct rc_span room = rc_span_of(out, *bytes);
    if (rc_channel_name_check(out, *bytes, RC_CHANNEL_NAME_MAX) != 0) {
        return rc_rule_refuse(values, RC_CODE_BAD_REQUEST,
                              "a room's name has 1 to 255 bytes and no control characters");
    }
    if (rc_span_equal(room, RC_SPAN("*")) || (out[0] == '/' && memchr(out, '#', *bytes) != NULL)) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "no room of this namespace");
    }
    if ((template->flags & RC_EVENT_CLIENT_CHOOSES) != 0 && rc_span_starts_with(room, RC_SPAN(RC_USER_CHANNEL_HEAD))) {
        return rc_rule_refuse(values, RC_CODE_FORBIDDEN, "a user's own room");
    }
    return 0;
}

int rc_rule_text(struct rc_rule_values *values, const struct rc_event_template *template,
                 char scratch[RC_EVENT_NAME_MAX], struct rc_span *text)
{
    size_t bytes = 0;
    const int rc = name_fill(values, template, scratch, &bytes);
    *text = rc_span_of(scratch, bytes);
    return rc;
}

int rc_rule_event(struct rc_rule_values *values, const struct rc_event_template *template,
                  char scratch[RC_EVENT_NAME_MAX], struct rc_span *event)
{
    const struct rc_event_piece *const pieces = rc_event_pieces(values->config, template);
    if (template->piece_count == 1 && pieces[0].type != RC_EVENT_PIECE_LITERAL &&
        pieces[0].source == RC_EVENT_SOURCE_EVENT) {
        *event = values->input.event;
    } else {
        const int rc = rc_rule_text(values, template, scratch, event);
        if (rc != 0) {
            return rc;
        }
    }
    if (event->count == 0) {
        return rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "an event has a name");
    }
    return rc_config_event_own(*event)
               ? rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "a name that a protocol reserves for itself")
               : 0;
}

/* --- attachments ------------------------------------------------------------------------------------------------- */

/* A list or a table that a walk is in. */
struct level {
    bool object;
    bool marked;   /* it has "_placeholder": true */
    bool numbered; /* it has a "num" that counts */
    bool awaits_key;
    enum { KEY_OTHER, KEY_PLACEHOLDER, KEY_NUM } key;
    uint64_t number;
    size_t number_at; /* in what is written */
    size_t number_bytes;
};

/* A value that has been written, while placeholders in it are looked for. */
struct walk {
    struct writer *writer;
    uint32_t attachment_count;
    uint32_t depth;
    size_t at;
    struct level levels[RC_JSON_DEPTH_MAX + 1];
};

static bool json_space_or_mark(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == ':';
}

/* The end of the string at `at`, or of the word or number. */
static size_t token_end(const struct writer *writer, size_t at)
{
    if (writer->out[at] == '"') {
        for (at++; at < writer->used && writer->out[at] != '"'; at++) {
            at += writer->out[at] == '\\' ? 1 : 0;
        }
        return at < writer->used ? at + 1 : writer->used;
    }
    while (at < writer->used && !json_space_or_mark(writer->out[at]) && memchr(",]}", writer->out[at], 3) == NULL) {
        at++;
    }
    return at;
}

/* A string, number or word: a key, or the value of one that matters. */
static void token_take(struct walk *walk)
{
    struct level *const level = &walk->levels[walk->depth];
    const uint8_t *const begin = walk->writer->out + walk->at;
    const size_t end = token_end(walk->writer, walk->at);
    struct rc_json_value value = {.raw = rc_span_of(begin, end - walk->at), .type = RC_JSON_STRING};
    if (level->object && level->awaits_key) {
        value.escaped = memchr(begin, '\\', value.raw.count) != NULL;
        level->awaits_key = false;
        level->key = rc_json_string_is(&value, RC_SPAN("_placeholder")) ? KEY_PLACEHOLDER
                     : rc_json_string_is(&value, RC_SPAN("num"))        ? KEY_NUM
                                                                        : KEY_OTHER;
    } else if (level->object && level->key == KEY_PLACEHOLDER) {
        level->marked = begin[0] == 't';
    } else if (level->object && level->key == KEY_NUM) {
        value.type = RC_JSON_NUMBER;
        level->numbered = begin[0] >= '0' && begin[0] <= '9' && rc_json_uint64(&value, &level->number) == 0;
        level->number_at = walk->at;
        level->number_bytes = value.raw.count;
    }
    walk->at = end;
}

/* Puts the new number in the place of the old one: at the end of its table, when it is known for what it is. */
static int placeholder_renumber(struct rc_rule_values *values, struct walk *walk, const struct level *level,
                                struct numbering *numbering)
{
    struct writer *const writer = walk->writer;
    if (!level->numbered || level->number >= walk->attachment_count) {
        return rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "a placeholder of no attachment");
    }
    uint16_t *const number_plus = &numbering->number_plus[level->number];
    if (*number_plus == 0) {
        numbering->args->attachments[numbering->args->attachment_count++] = (uint8_t)level->number;
        *number_plus = (uint16_t)numbering->args->attachment_count;
    }
    char digits[8];
    const size_t bytes = (size_t)snprintf(digits, sizeof(digits), "%u", (unsigned)(*number_plus - 1));
    if (bytes > level->number_bytes && bytes - level->number_bytes > writer->room - writer->used) {
        return rc_rule_refuse(values, RC_CODE_TOO_LARGE, "the arguments are too large");
    }
    uint8_t *const place = writer->out + level->number_at;
    const size_t behind = level->number_at + level->number_bytes;
    memmove(place + bytes, writer->out + behind, writer->used - behind);
    memcpy(place, digits, bytes);
    writer->used = writer->used + bytes - level->number_bytes;
    walk->at = walk->at + bytes - level->number_bytes;
    return 0;
}

/* Numbers the attachments anew in what was written from `from` on: JSON, in which there are placeholders of so many. */
static int attachments_renumber(struct rc_rule_values *values, struct writer *writer, size_t from,
                                uint32_t attachment_count, struct numbering *numbering)
{
    struct walk walk = {.writer = writer, .attachment_count = attachment_count, .at = from};
    while (walk.at < writer->used) {
        const uint8_t byte = writer->out[walk.at];
        struct level *const level = &walk.levels[walk.depth];
        if (byte == '{' || byte == '[') {
            level->marked = level->marked && level->key != KEY_PLACEHOLDER;
            level->numbered = level->numbered && level->key != KEY_NUM;
            if (++walk.depth > RC_JSON_DEPTH_MAX) {
                return rc_rule_refuse(values, RC_CODE_BAD_REQUEST,
                                      "more lists and objects in each other than are taken");
            }
            walk.levels[walk.depth] = (struct level){.object = byte == '{', .awaits_key = true};
            walk.at++;
        } else if (byte == '}' || byte == ']') {
            if (walk.depth-- == 0) {
                return rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "the arguments are no JSON array");
            }
            walk.at++;
            const int rc = level->object && level->marked ? placeholder_renumber(values, &walk, level, numbering) : 0;
            if (rc != 0) {
                return rc;
            }
        } else if (byte == ',') {
            level->awaits_key = true;
            walk.at++;
        } else if (json_space_or_mark(byte)) {
            walk.at++;
        } else {
            token_take(&walk);
        }
    }
    return 0;
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static int bytes_write(struct rc_rule_values *values, struct writer *writer, struct rc_span bytes)
{
    if (bytes.count > writer->room - writer->used) {
        return rc_rule_refuse(values, RC_CODE_TOO_LARGE, "the arguments are too large");
    }
    if (bytes.count > 0) {
        memcpy(writer->out + writer->used, bytes.bytes, bytes.count);
        writer->used += bytes.count;
    }
    return 0;
}

/* Where something stands before in this list: no value ends with "[". */
static int comma_write(struct rc_rule_values *values, struct writer *writer)
{
    return writer->used > 0 && writer->out[writer->used - 1] == '[' ? 0 : bytes_write(values, writer, RC_SPAN(","));
}

/* What a client wrote, which has placeholders of so many attachments. Beside attachments of the arguments it may not feign others. */
static int json_write(struct rc_rule_values *values, struct writer *writer, struct rc_span json,
                      uint32_t attachment_count, struct numbering *numbering)
{
    const size_t from = writer->used;
    const int rc = bytes_write(values, writer, json);
    return rc == 0 && values->input.attachment_count > 0
               ? attachments_renumber(values, writer, from, attachment_count, numbering)
               : rc;
}

/* A name as a JSON string; `quotes`: with them. */
static int name_write(struct rc_rule_values *values, struct writer *writer, struct rc_span name, bool quotes)
{
    uint8_t encoded[RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX)];
    const size_t bytes = rc_json_string_encode(encoded, sizeof(encoded), name);
    if (bytes == 0) {
        return rc_rule_refuse(values, RC_CODE_TOO_LARGE, "a name of more than 255 bytes");
    }
    return bytes_write(values, writer, quotes ? rc_span_of(encoded, bytes) : rc_span_of(encoded + 1, bytes - 2));
}

static int value_write(struct rc_rule_values *values, struct writer *writer, const struct rc_event_piece *piece,
                       struct numbering *numbering)
{
    if (!rc_rule_piece_is_json(piece)) {
        return name_write(values, writer, rc_rule_name(values, piece), true);
    }
    if (piece->source == RC_EVENT_SOURCE_REST) {
        struct rc_span rest;
        int rc = rc_rule_find_rest(values, piece->index, &rest);
        if (rc == 0) {
            rc = bytes_write(values, writer, RC_SPAN("["));
        }
        if (rc == 0) {
            rc = json_write(values, writer, rest, values->input.attachment_count, numbering);
        }
        return rc == 0 ? bytes_write(values, writer, RC_SPAN("]")) : rc;
    }
    struct rc_json_value value;
    const int rc = rc_rule_find(values, piece, &value);
    if (rc != 0) {
        return rc;
    }
    if (value.type == RC_JSON_NONE) {
        return bytes_write(values, writer, RC_SPAN("null"));
    }
    return json_write(values, writer, value.raw,
                      piece->source == RC_EVENT_SOURCE_ARGUMENT ? values->input.attachment_count : 0, numbering);
}

/* Within a JSON string. */
static int text_write(struct rc_rule_values *values, struct writer *writer, const struct rc_event_piece *piece)
{
    if (!rc_rule_piece_is_json(piece)) {
        return name_write(values, writer, rc_rule_name(values, piece), false);
    }
    struct rc_json_value value;
    const int rc = rc_rule_find_scalar(values, piece, &value);
    if (rc != 0) {
        return rc;
    }
    return bytes_write(values, writer,
                       value.type == RC_JSON_STRING ? rc_span_of(value.raw.bytes + 1, value.raw.count - 2) : value.raw);
}

static int splice_write(struct rc_rule_values *values, struct writer *writer, const struct rc_event_piece *piece,
                        struct numbering *numbering)
{
    struct rc_span rest;
    int rc = rc_rule_find_rest(values, piece->index, &rest);
    if (rc != 0 || rest.count == 0) {
        return rc;
    }
    rc = comma_write(values, writer);
    return rc == 0 ? json_write(values, writer, rest, values->input.attachment_count, numbering) : rc;
}

static int piece_write(struct rc_rule_values *values, struct writer *writer, const struct rc_event_piece *piece,
                       struct numbering *numbering)
{
    switch ((enum rc_event_piece_type)piece->type) {
    case RC_EVENT_PIECE_LITERAL:
        return bytes_write(values, writer, rc_event_text(values->config, piece->at, piece->bytes));
    case RC_EVENT_PIECE_VALUE:
        return value_write(values, writer, piece, numbering);
    case RC_EVENT_PIECE_TEXT:
        return text_write(values, writer, piece);
    case RC_EVENT_PIECE_SPLICE:
        return splice_write(values, writer, piece, numbering);
    case RC_EVENT_PIECE_COMMA:
        return comma_write(values, writer);
    }
    return RC_CODE_BAD_REQUEST;
}

/* "[{args}]", written or meant: the arguments as they are. */
static bool template_is_all(const struct rc_event_template *template, const struct rc_event_piece *pieces)
{
    const struct rc_event_piece *const piece =
        &pieces[template->piece_count == 3 && pieces[1].type == RC_EVENT_PIECE_SPLICE ? 1 : 0];
    if (template->piece_count == 3 && (pieces[0].bytes != 1 || pieces[2].bytes != 1)) {
        return false;
    }
    return (template->piece_count == 1 || (template->piece_count == 3 && piece == &pieces[1])) &&
           (piece->type == RC_EVENT_PIECE_VALUE || piece->type == RC_EVENT_PIECE_SPLICE) &&
           piece->source == RC_EVENT_SOURCE_REST && piece->index == 0;
}

int rc_rule_args(struct rc_rule_values *values, const struct rc_event_template *template, uint8_t *out, size_t room,
                 struct rc_rule_args *args)
{
    const struct rc_event_piece *const pieces = rc_event_pieces(values->config, template);
    struct numbering numbering;
    numbering.args = args;
    if (values->input.attachment_count > 0) {
        memset(numbering.number_plus, 0, values->input.attachment_count * sizeof(numbering.number_plus[0]));
    }
    args->attachment_count = 0;
    if (template_is_all(template, pieces)) {
        args->json = values->input.args.count > 0 ? values->input.args : RC_SPAN("[]");
        if (args->json.count > room) {
            return rc_rule_refuse(values, RC_CODE_TOO_LARGE, "the arguments are too large");
        }
        for (uint32_t i = 0; i < values->input.attachment_count; i++) {
            args->attachments[args->attachment_count++] = (uint8_t)i;
        }
        return 0;
    }
    struct writer writer = {.out = out, .room = room};
    for (uint32_t i = 0; i < template->piece_count; i++) {
        const int rc = piece_write(values, &writer, &pieces[i], &numbering);
        if (rc != 0) {
            return rc;
        }
    }
    args->json = rc_span_of(out, writer.used);
    return 0;
}
