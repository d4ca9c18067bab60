/* msgpack_json: see msgpack_json.h. */
#include "common/text/msgpack_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/decimal.h"
#include "common/text/js_number.h"
#include "common/text/json_scan.h"

/* An object that stands for an attachment is at most so long; longer ones are not looked into. */
#define PLACEHOLDER_BYTES_MAX 256u
#define STRING_HEAD_BYTES_MAX 5u
/* Digits of a number that ends the text: there is nothing behind it at which strtod would stop. */
#define LAST_NUMBER_BYTES_MAX 1024u

/* --- msgpack to JSON ------------------------------------------------------------------------------------------------- */

struct json_level {
    uint64_t left; /* elements or pairs */
    bool map;
    bool first; /* true exactly until something was written inside */
};

static int json_put(struct rc_msgpack_json *json, const void *text, size_t count)
{
    if (count > json->room - json->count) {
        return -EMSGSIZE;
    }
    memcpy(json->text + json->count, text, count);
    json->count += count;
    return 0;
}

static int json_put_text(struct rc_msgpack_json *json, const char *text)
{
    return json_put(json, text, strlen(text));
}

static int json_put_string(struct rc_msgpack_json *json, struct rc_span text)
{
    if (!rc_json_utf8_valid(text)) {
        return -EILSEQ;
    }
    const size_t bytes = rc_json_string_encode(json->text + json->count, json->room - json->count, text);
    json->count += bytes;
    return bytes > 0 ? 0 : -EMSGSIZE;
}

static int json_put_decimal(struct rc_msgpack_json *json, bool negative, uint64_t magnitude)
{
    char digits[RC_DECIMAL_BYTES_MAX + 1] = "-";
    const char *end = rc_decimal_write(digits + (negative ? 1 : 0), magnitude);
    return json_put(json, digits, (size_t)(end - digits));
}

static int json_put_float(struct rc_msgpack_json *json, double number)
{
    char text[RC_JS_NUMBER_BYTES_MAX];
    if (!isfinite(number)) {
        return json_put_text(json, "null");
    }
    return json_put(json, text, rc_js_number_write(text, number));
}

static int json_put_attachment(struct rc_msgpack_json *json, struct rc_span bytes)
{
    if (json->attachment_count == json->attachment_max) {
        return -E2BIG;
    }
    json->attachments[json->attachment_count] = bytes;
    int rc = json_put_text(json, "{\"_placeholder\":true,\"num\":");
    if (rc == 0) {
        rc = json_put_decimal(json, false, json->attachment_count++);
    }
    return rc == 0 ? json_put_text(json, "}") : rc;
}

static int json_put_date(struct rc_msgpack_json *json, double milliseconds)
{
    char text[RC_JS_NUMBER_BYTES_MAX + 2] = "\"";
    if (isnan(milliseconds)) {
        return json_put_text(json, "null");
    }
    const size_t bytes = rc_js_date_write(text + 1, milliseconds);
    text[1 + bytes] = '"';
    return json_put(json, text, bytes + 2);
}

static int json_put_extension(struct rc_msgpack_json *json, const struct rc_msgpack_value *value)
{
    double milliseconds;
    if (rc_msgpack_timestamp(value, &milliseconds)) {
        return json_put_date(json, milliseconds);
    }
    if (rc_msgpack_undefined(value)) {
        return json_put_text(json, "null");
    }
    if (value->extension == 0) {
        return json_put_attachment(json, value->bytes);
    }
    int rc = json_put_text(json, "[");
    if (rc == 0) {
        rc = json_put_decimal(json, value->extension < 0, (uint64_t)abs(value->extension));
    }
    if (rc == 0) {
        rc = json_put_text(json, ",");
    }
    if (rc == 0) {
        rc = json_put_attachment(json, value->bytes);
    }
    return rc == 0 ? json_put_text(json, "]") : rc;
}

static int json_put_scalar(struct rc_msgpack_json *json, const struct rc_msgpack_value *value)
{
    switch (value->type) {
    case RC_MSGPACK_NIL:
        return json_put_text(json, "null");
    case RC_MSGPACK_BOOLEAN:
        return json_put_text(json, value->boolean ? "true" : "false");
    case RC_MSGPACK_UNSIGNED:
        return json_put_decimal(json, false, value->whole);
    case RC_MSGPACK_NEGATIVE:
        return json_put_decimal(json, true, 0 - (uint64_t)value->negative);
    case RC_MSGPACK_FLOAT:
        return json_put_float(json, value->number);
    case RC_MSGPACK_STRING:
        return json_put_string(json, value->bytes);
    case RC_MSGPACK_BINARY:
        return json_put_attachment(json, value->bytes);
    case RC_MSGPACK_EXTENSION:
        return json_put_extension(json, value);
    case RC_MSGPACK_ARRAY:
    case RC_MSGPACK_MAP:
        break;
    }
    return -EBADMSG;
}

static int json_put_comma(struct rc_msgpack_json *json, struct json_level *level)
{
    if (level->first) {
        level->first = false;
        return 0;
    }
    return json_put_text(json, ",");
}

static int json_put_key(struct rc_msgpack_json *json, const struct rc_msgpack_value *key)
{
    int rc;
    switch (key->type) {
    case RC_MSGPACK_STRING:
        rc = json_put_string(json, key->bytes);
        break;
    case RC_MSGPACK_NIL:
    case RC_MSGPACK_BOOLEAN:
    case RC_MSGPACK_UNSIGNED:
    case RC_MSGPACK_NEGATIVE:
    case RC_MSGPACK_FLOAT:
        rc = json_put_text(json, "\"");
        if (rc == 0) {
            rc = json_put_scalar(json, key);
        }
        if (rc == 0) {
            rc = json_put_text(json, "\"");
        }
        break;
    default: /* begin_pair lets none through */
        return -EBADMSG;
    }
    return rc == 0 ? json_put_text(json, ":") : rc;
}

/* Comma and key of a pair. 1: its value is undefined, the pair was taken and nothing written. */
static int begin_pair(struct rc_msgpack_reader *reader, struct rc_msgpack_json *json, struct json_level *level)
{
    struct rc_msgpack_value key;
    struct rc_msgpack_value value;
    int rc = rc_msgpack_next(reader, &key);
    if (rc == 0) {
        rc = rc_msgpack_peek(reader, &value);
    }
    if (rc < 0) {
        return rc;
    }
    if (key.type > RC_MSGPACK_STRING) {
        return -EBADMSG; /* of a container the head alone was taken */
    }
    if (rc_msgpack_undefined(&value)) {
        rc = rc_msgpack_next(reader, &value);
        return rc == 0 ? 1 : rc;
    }
    rc = json_put_comma(json, level);
    return rc == 0 ? json_put_key(json, &key) : rc;
}

static int open_level(struct rc_msgpack_json *json, struct json_level *levels, uint32_t *depth, uint32_t count,
                      bool map)
{
    if (*depth == RC_MSGPACK_DEPTH_MAX) {
        return -EOVERFLOW;
    }
    levels[(*depth)++] = (struct json_level){.left = count, .map = map, .first = true};
    return json_put_text(json, map ? "{" : "[");
}

/* Containers that a scalar becomes: a placeholder, or an extension's array with one. */
static uint32_t json_levels_inside(const struct rc_msgpack_value *value)
{
    double milliseconds;
    if (value->type == RC_MSGPACK_BINARY) {
        return 1;
    }
    if (value->type != RC_MSGPACK_EXTENSION || rc_msgpack_undefined(value) ||
        rc_msgpack_timestamp(value, &milliseconds)) {
        return 0;
    }
    return value->extension == 0 ? 1 : 2;
}

static int json_put_value(struct rc_msgpack_reader *reader, struct rc_msgpack_json *json, struct json_level *levels,
                          uint32_t *depth)
{
    struct rc_msgpack_value value;
    const int rc = rc_msgpack_next(reader, &value);
    if (rc < 0) {
        return rc;
    }
    if (value.type == RC_MSGPACK_ARRAY || value.type == RC_MSGPACK_MAP) {
        return open_level(json, levels, depth, value.count, value.type == RC_MSGPACK_MAP);
    }
    return *depth + json_levels_inside(&value) > RC_MSGPACK_DEPTH_MAX ? -EOVERFLOW : json_put_scalar(json, &value);
}

/* Goes on until no level is open. */
static int json_put_levels(struct rc_msgpack_reader *reader, struct rc_msgpack_json *json, struct json_level *levels,
                           uint32_t depth)
{
    int rc = 0;
    while (rc >= 0 && depth > 0) {
        struct json_level *level = &levels[depth - 1];
        if (level->left == 0) {
            depth--;
            rc = json_put_text(json, level->map ? "}" : "]");
            continue;
        }
        level->left--;
        rc = level->map ? begin_pair(reader, json, level) : json_put_comma(json, level);
        if (rc == 0) {
            rc = json_put_value(reader, json, levels, &depth);
        }
    }
    return rc < 0 ? rc : 0;
}

int rc_msgpack_to_json(struct rc_msgpack_reader *reader, struct rc_msgpack_json *json)
{
    struct json_level levels[RC_MSGPACK_DEPTH_MAX];
    uint32_t depth = 0;
    const int rc = json_put_value(reader, json, levels, &depth);
    return rc == 0 ? json_put_levels(reader, json, levels, depth) : rc;
}

int rc_msgpack_to_json_array(struct rc_msgpack_reader *reader, uint32_t count, struct rc_msgpack_json *json)
{
    struct json_level levels[RC_MSGPACK_DEPTH_MAX];
    uint32_t depth = 0;
    const int rc = open_level(json, levels, &depth, count, false);
    return rc == 0 ? json_put_levels(reader, json, levels, depth) : rc;
}

/* --- JSON to msgpack ------------------------------------------------------------------------------------------------- */

struct msgpack_level {
    size_t opened;
    uint32_t count;
    bool map;
};

struct json_reader {
    const uint8_t *at;
    const uint8_t *end;
    const struct rc_span *attachments;
    uint32_t attachment_count;
    uint32_t depth;
    struct msgpack_level levels[RC_MSGPACK_DEPTH_MAX];
    struct rc_span last; /* a string behind the outermost array's elements; empty = none */
};

/* The next byte that is no white space, not taken; 0 at the end. */
static uint8_t next_byte(struct json_reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r')) {
        reader->at++;
    }
    return reader->at < reader->end ? *reader->at : 0;
}

/* Behind the string that begins at `at`; `end` when it does not end. */
static const uint8_t *string_end(const uint8_t *at, const uint8_t *end)
{
    for (at++; at < end && *at != '"'; at++) {
        at += *at == '\\' && end - at > 1;
    }
    return at < end ? at + 1 : end;
}

/* Takes a scalar whose text ends at `token_end`. */
static int take_scalar(struct json_reader *reader, const uint8_t *token_end, struct rc_json_value *value)
{
    const int rc = rc_json_scan(rc_span_of(reader->at, (size_t)(token_end - reader->at)), 0, value, NULL);
    reader->at = token_end;
    return rc;
}

static void write_string(struct rc_msgpack_writer *writer, const struct rc_json_value *value)
{
    struct rc_span text = rc_span_of(value->raw.bytes + 1, value->raw.count - 2);
    if (value->escaped) {
        /* Decoded behind where the largest head would be, then moved to where its head ends. */
        const size_t before = writer->count + STRING_HEAD_BYTES_MAX;
        if (writer->full || before > writer->room ||
            rc_json_string_repair(value, writer->bytes + before, writer->room - before, &text) < 0) {
            writer->full = true;
            return;
        }
    }
    rc_msgpack_put_string(writer, text);
}

/* An integer that fits; false: it is a number of another kind. */
static bool write_integer(struct rc_msgpack_writer *writer, struct rc_span raw)
{
    const bool negative = raw.bytes[0] == '-';
    uint64_t magnitude = 0;
    for (size_t i = negative ? 1 : 0; i < raw.count; i++) {
        const uint8_t digit = (uint8_t)(raw.bytes[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, digit, &magnitude)) {
            return false;
        }
    }
    if (!negative) {
        rc_msgpack_put_unsigned(writer, magnitude);
        return true;
    }
    if (magnitude > (uint64_t)INT64_MAX + 1) {
        return false;
    }
    rc_msgpack_put_integer(writer, (int64_t)(0 - magnitude));
    return true;
}

static int write_number(struct rc_msgpack_writer *writer, const struct json_reader *reader, struct rc_span raw)
{
    char last[LAST_NUMBER_BYTES_MAX];
    const char *text = (const char *)raw.bytes;
    if (write_integer(writer, raw)) {
        return 0;
    }
    if (raw.bytes + raw.count == reader->end) {
        if (raw.count >= sizeof(last)) {
            return -EBADMSG;
        }
        memcpy(last, raw.bytes, raw.count);
        last[raw.count] = '\0';
        text = last;
    }
    rc_msgpack_put_number(writer, strtod(text, NULL));
    return 0;
}

/* Takes a string, number or literal. */
static int write_scalar(struct rc_msgpack_writer *writer, struct json_reader *reader, uint8_t first)
{
    struct rc_json_value value;
    const uint8_t *token_end = reader->at;
    if (first == '"') {
        token_end = string_end(reader->at, reader->end);
    } else {
        while (token_end < reader->end && strchr(",]}: \t\r\n", *token_end) == NULL) {
            token_end++;
        }
    }
    const int rc = take_scalar(reader, token_end, &value);
    if (rc < 0) {
        return rc;
    }
    switch (value.type) {
    case RC_JSON_STRING:
        write_string(writer, &value);
        return 0;
    case RC_JSON_NUMBER:
        return write_number(writer, reader, value.raw);
    case RC_JSON_TRUE:
    case RC_JSON_FALSE:
        rc_msgpack_put_boolean(writer, value.type == RC_JSON_TRUE);
        return 0;
    case RC_JSON_NULL:
        rc_msgpack_put_nil(writer);
        return 0;
    case RC_JSON_NONE:
    case RC_JSON_OBJECT:
    case RC_JSON_ARRAY:
        break;
    }
    return -EBADMSG;
}

/* Where a short object without containers inside ends; NULL: it is another. */
static const uint8_t *flat_object_end(const struct json_reader *reader)
{
    const uint8_t *end = reader->end;
    if ((size_t)(end - reader->at) > PLACEHOLDER_BYTES_MAX) {
        end = reader->at + PLACEHOLDER_BYTES_MAX;
    }
    for (const uint8_t *at = reader->at + 1; at < end;) {
        if (*at == '}') {
            return at + 1;
        }
        if (*at == '{' || *at == '[') {
            return NULL;
        }
        at = *at == '"' ? string_end(at, end) : at + 1;
    }
    return NULL;
}

/* Takes an object that stands for an attachment. 1: it was one; 0: it is another object; -EBADMSG. */
static int write_attachment(struct rc_msgpack_writer *writer, struct json_reader *reader)
{
    const uint8_t *object_end = reader->attachment_count > 0 ? flat_object_end(reader) : NULL;
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    uint64_t index = UINT64_MAX;
    bool stands = false;
    if (object_end == NULL) {
        return 0;
    }
    int got = rc_json_object_begin(&cursor, rc_span_of(reader->at, (size_t)(object_end - reader->at)), 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("_placeholder"))) {
            stands = value.type == RC_JSON_TRUE;
        } else if (rc_json_string_is(&name, RC_SPAN("num")) && rc_json_uint64(&value, &index) < 0) {
            index = UINT64_MAX;
        }
    }
    if (got < 0 || !stands) {
        return got < 0 ? got : 0;
    }
    if (index >= reader->attachment_count) {
        return -EBADMSG;
    }
    rc_msgpack_put_binary(writer, reader->attachments[index]);
    reader->at = object_end;
    return 1;
}

static int begin_level(struct rc_msgpack_writer *writer, struct json_reader *reader, bool map)
{
    if (reader->depth == RC_MSGPACK_DEPTH_MAX) {
        return -EOVERFLOW;
    }
    reader->levels[reader->depth++] = (struct msgpack_level){.opened = rc_msgpack_open(writer), .map = map};
    reader->at++;
    return 0;
}

static int write_value(struct rc_msgpack_writer *writer, struct json_reader *reader)
{
    const uint8_t first = next_byte(reader);
    if (first == '[') {
        return begin_level(writer, reader, false);
    }
    if (first == '{') {
        const int rc = write_attachment(writer, reader);
        return rc != 0 ? (rc < 0 ? rc : 0) : begin_level(writer, reader, true);
    }
    return write_scalar(writer, reader, first);
}

static int write_key(struct rc_msgpack_writer *writer, struct json_reader *reader)
{
    if (next_byte(reader) != '"') {
        return -EBADMSG;
    }
    const int rc = write_scalar(writer, reader, '"');
    if (rc < 0 || next_byte(reader) != ':') {
        return rc < 0 ? rc : -EBADMSG;
    }
    reader->at++;
    return 0;
}

/* What comes before the next element or member of the innermost level. 1: one comes; 0: the level ended, and was closed. `fresh`:
 * nothing was taken inside yet. */
static int next_element(struct rc_msgpack_writer *writer, struct json_reader *reader, bool fresh)
{
    struct msgpack_level *level = &reader->levels[reader->depth - 1];
    const uint8_t byte = next_byte(reader);
    if (byte == (level->map ? '}' : ']')) {
        reader->at++;
        reader->depth--;
        if (reader->depth == 0 && reader->last.count > 0) {
            rc_msgpack_put_string(writer, reader->last);
            level->count++;
        }
        if (level->map) {
            rc_msgpack_close_map(writer, level->opened, level->count);
        } else {
            rc_msgpack_close_array(writer, level->opened, level->count);
        }
        return 0;
    }
    if (!fresh) {
        if (byte != ',') {
            return -EBADMSG;
        }
        reader->at++;
    }
    level->count++;
    return 1;
}

/* Goes on until the level is closed that is open at the beginning, then nothing may follow. */
static int write_levels(struct rc_msgpack_writer *writer, struct json_reader *reader, bool fresh)
{
    while (reader->depth > 0) {
        const uint32_t depth = reader->depth;
        int rc = next_element(writer, reader, fresh);
        if (rc == 1) {
            rc = reader->levels[depth - 1].map ? write_key(writer, reader) : 0;
            if (rc == 0) {
                rc = write_value(writer, reader);
            }
        }
        if (rc < 0) {
            return rc;
        }
        fresh = reader->depth > depth;
    }
    return next_byte(reader) == 0 && reader->at == reader->end ? 0 : -EBADMSG;
}

static struct json_reader reader_of(struct rc_span json, const struct rc_span *attachments, uint32_t attachment_count)
{
    return (struct json_reader){.at = json.bytes,
                                .end = json.count > 0 ? json.bytes + json.count : json.bytes,
                                .attachments = attachments,
                                .attachment_count = attachment_count};
}

int rc_json_to_msgpack(struct rc_msgpack_writer *writer, struct rc_span json, const struct rc_span *attachments,
                       uint32_t attachment_count)
{
    struct json_reader reader = reader_of(json, attachments, attachment_count);
    const int rc = write_value(writer, &reader);
    return rc == 0 ? write_levels(writer, &reader, true) : rc;
}

int rc_json_to_msgpack_event(struct rc_msgpack_writer *writer, struct rc_span event, struct rc_span array,
                             const struct rc_span *attachments, uint32_t attachment_count, struct rc_span last)
{
    struct json_reader reader = reader_of(array, attachments, attachment_count);
    reader.last = last;
    if (next_byte(&reader) != '[') {
        return -EBADMSG;
    }
    const int rc = begin_level(writer, &reader, false);
    reader.levels[0].count = 1;
    rc_msgpack_put_string(writer, event);
    return rc == 0 ? write_levels(writer, &reader, true) : rc;
}
