/* rule_find: see rule_find.h. */
#include "worker/gate/rule_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/text/json_path.h"

#define NUMBER_MAX 64u /* bytes of a number that is compared */

int rc_rule_refuse(struct rc_rule_values *values, int code, const char *why)
{
    (void)snprintf(values->err.text, sizeof(values->err.text), "%s", why);
    return code;
}

int rc_rule_refuse_piece(struct rc_rule_values *values, const struct rc_event_piece *piece, const char *why)
{
    static const char *const names[] = {
        [RC_EVENT_SOURCE_ARGUMENT] = "args",   [RC_EVENT_SOURCE_REST] = "args",     [RC_EVENT_SOURCE_AUTH] = "auth",
        [RC_EVENT_SOURCE_USER] = "user",       [RC_EVENT_SOURCE_CLIENT] = "client", [RC_EVENT_SOURCE_QUERY] = "query",
        [RC_EVENT_SOURCE_HEADER] = "header",   [RC_EVENT_SOURCE_COOKIE] = "cookie", [RC_EVENT_SOURCE_CLAIMS] = "claims",
        [RC_EVENT_SOURCE_SESSION] = "session", [RC_EVENT_SOURCE_ERROR] = "error",
    };
    const struct rc_span path = rc_event_text(values->config, piece->at, piece->bytes);
    char index[16] = "";
    if (piece->source == RC_EVENT_SOURCE_ARGUMENT) {
        (void)snprintf(index, sizeof(index), ".%u", piece->index);
    }
    (void)snprintf(values->err.text, sizeof(values->err.text), "%s%s%s%.*s %s", names[piece->source], index,
                   path.count > 0 ? "." : "", (int)(path.count < 200 ? path.count : 200), (const char *)path.bytes,
                   why);
    return RC_CODE_BAD_REQUEST;
}

/* Where the arguments are. */
static int args_index(struct rc_rule_values *values)
{
    if (values->index != NULL) {
        return 0;
    }
    struct rc_args_index *const index = &values->found;
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    int got = values->input.args.count == 0 ? 0 : rc_json_array_begin(&cursor, values->input.args, 0);
    index->count = 0;
    while (got >= 0 && values->input.args.count > 0 && (got = rc_json_array_next(&cursor, &value)) == 1) {
        if (index->count < RC_ARGS_INDEXED_MAX) {
            index->first[index->count] = value;
        }
        index->count++;
        index->last = value.raw;
    }
    if (got < 0) {
        return rc_rule_refuse(values, RC_CODE_BAD_REQUEST, "the arguments are no JSON array");
    }
    values->index = index;
    return 0;
}

/* The argument, which is there. */
static struct rc_json_value argument_at(const struct rc_rule_values *values, uint32_t number)
{
    return number < RC_ARGS_INDEXED_MAX ? values->index->first[number] : rc_json_element(values->input.args, number);
}

int rc_rule_find(struct rc_rule_values *values, const struct rc_event_piece *piece, struct rc_json_value *value)
{
    *value = (struct rc_json_value){.type = RC_JSON_NONE};
    if (rc_event_source_is_document(piece->source)) {
        const struct rc_span document = values->input.documents[rc_rule_document((enum rc_event_source)piece->source)];
        if (piece->bytes > 0) { /* the path looks through it */
            *value = (struct rc_json_value){.raw = document, .type = rc_json_peek(document)};
        } else if (document.count > 0 && rc_json_scan(document, 0, value, NULL) != 0) {
            value->type = RC_JSON_NONE;
        }
    } else if (piece->source == RC_EVENT_SOURCE_ANSWER) {
        const struct rc_span answer =
            values->input.answers != NULL ? values->input.answers[piece->index] : RC_SPAN("0");
        *value = (struct rc_json_value){.raw = answer, .type = rc_json_peek(answer)};
        return 0;
    } else if (piece->source == RC_EVENT_SOURCE_NOW_MS) {
        const int bytes =
            snprintf(values->text, sizeof(values->text), "%llu", (unsigned long long)values->input.now_ms);
        *value = (struct rc_json_value){.raw = rc_span_of(values->text, (size_t)bytes), .type = RC_JSON_NUMBER};
        return 0;
    } else {
        const int rc = args_index(values);
        if (rc != 0) {
            return rc;
        }
        if (piece->index < values->index->count) {
            *value = argument_at(values, piece->index);
        }
    }
    if (piece->bytes == 0) {
        return 0; /* all of it */
    }
    const struct rc_span path = rc_event_text(values->config, piece->at, piece->bytes);
    *value = piece->source == RC_EVENT_SOURCE_HEADER ? rc_json_member_nocase(value->raw, path)
             : piece->source == RC_EVENT_SOURCE_QUERY || piece->source == RC_EVENT_SOURCE_COOKIE
                 ? rc_json_member(value->raw, path) /* names may have dots */
                 : rc_json_path(*value, path);
    return 0;
}

int rc_rule_find_rest(struct rc_rule_values *values, uint32_t first, struct rc_span *rest)
{
    const int rc = args_index(values);
    *rest = rc_span_of(NULL, 0);
    if (rc != 0 || first >= values->index->count) {
        return rc;
    }
    const struct rc_span last = values->index->last;
    const struct rc_json_value from = argument_at(values, first);
    *rest = rc_span_of(from.raw.bytes, (size_t)(last.bytes + last.count - from.raw.bytes));
    return 0;
}

/* "2026-11-28T23:20:53.123Z" */
static struct rc_span now_write(struct rc_rule_values *values)
{
    const time_t seconds = (time_t)(values->input.now_ms / 1000);
    struct tm parts;
    const size_t bytes = gmtime_r(&seconds, &parts) == NULL
                             ? 0
                             : strftime(values->text, sizeof(values->text), "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(values->text + bytes, sizeof(values->text) - bytes, ".%03uZ",
                   (unsigned)(values->input.now_ms % 1000));
    return rc_span_text(values->text);
}

/* Version 4 (RFC 9562 5.4). */
static struct rc_span uuid_write(struct rc_rule_values *values)
{
    const uint64_t *const random = values->input.random;
    (void)snprintf(values->text, sizeof(values->text), "%08x-%04x-4%03x-%04x-%012llx",
                   (unsigned)(random[0] >> 28 & 0xffffffffu), (unsigned)(random[0] >> 12 & 0xffffu),
                   (unsigned)(random[0] & 0xfffu), (unsigned)(0x8000u | (random[1] >> 48 & 0x3fffu)),
                   (unsigned long long)(random[1] & UINT64_C(0xffffffffffff)));
    return rc_span_text(values->text);
}

struct rc_span rc_rule_name(struct rc_rule_values *values, const struct rc_event_piece *piece)
{
    switch ((enum rc_event_source)piece->source) {
    case RC_EVENT_SOURCE_ADDRESS:
        return rc_span_of(values->text, rc_address_format(values->text, &values->input.address));
    case RC_EVENT_SOURCE_INSTANCE:
        return values->input.instance;
    case RC_EVENT_SOURCE_NOW:
        return now_write(values);
    case RC_EVENT_SOURCE_UUID:
        return uuid_write(values);
    case RC_EVENT_SOURCE_SID:
        return values->input.sid;
    case RC_EVENT_SOURCE_NSP:
        return values->input.nsp;
    case RC_EVENT_SOURCE_ROOM:
        return values->input.room;
    case RC_EVENT_SOURCE_ROOM_PART:
        return values->input.room_part;
    default:
        return values->input.event;
    }
}

bool rc_rule_piece_is_json(const struct rc_event_piece *piece)
{
    return piece->source == RC_EVENT_SOURCE_ARGUMENT || piece->source == RC_EVENT_SOURCE_REST ||
           piece->source >= RC_EVENT_SOURCE_NOW_MS || rc_event_source_is_document(piece->source);
}

int rc_rule_find_scalar(struct rc_rule_values *values, const struct rc_event_piece *piece, struct rc_json_value *value)
{
    const int rc = rc_rule_find(values, piece, value);
    if (rc != 0) {
        return rc;
    }
    if (value->type == RC_JSON_NONE) {
        return rc_rule_refuse_piece(values, piece, "is missing");
    }
    return value->type == RC_JSON_STRING || value->type == RC_JSON_NUMBER || value->type == RC_JSON_TRUE ||
                   value->type == RC_JSON_FALSE
               ? 0
               : rc_rule_refuse_piece(values, piece, "is no text");
}

/* --- conditions -------------------------------------------------------------------------------------------------- */

/* As numbers: 1 is 1.0. */
static bool numbers_equal(struct rc_span a, struct rc_span b)
{
    char text[2][NUMBER_MAX + 1];
    if (rc_span_equal(a, b)) {
        return true;
    }
    if (a.count > NUMBER_MAX || b.count > NUMBER_MAX) {
        return false;
    }
    memcpy(text[0], a.bytes, a.count);
    memcpy(text[1], b.bytes, b.count);
    text[0][a.count] = text[1][b.count] = '\0';
    const double first = strtod(text[0], NULL);
    const double second = strtod(text[1], NULL);
    return !(first < second) && !(first > second);
}

/* Do two strings, numbers or booleans say the same? */
static bool scalars_equal(const struct rc_json_value *value, const struct rc_json_value *wanted)
{
    uint8_t scratch[2][RC_EVENT_WANTED_MAX];
    struct rc_span text[2];
    if (value->type != wanted->type) {
        return false;
    }
    switch (value->type) {
    case RC_JSON_STRING:
        return rc_json_string_decode(value, scratch[0], sizeof(scratch[0]), &text[0]) == 0 &&
               rc_json_string_decode(wanted, scratch[1], sizeof(scratch[1]), &text[1]) == 0 &&
               rc_span_equal(text[0], text[1]);
    case RC_JSON_NUMBER:
        return numbers_equal(value->raw, wanted->raw);
    default:
        return value->type == RC_JSON_TRUE || value->type == RC_JSON_FALSE;
    }
}

static bool condition_holds(struct rc_rule_values *values, const struct rc_event_condition *condition)
{
    const struct rc_event_piece *const constant = rc_event_pieces(values->config, &condition->wanted);
    const struct rc_span json = rc_event_text(values->config, constant->at, constant->bytes);
    struct rc_json_value value;
    struct rc_json_value wanted;
    struct rc_json_cursor cursor;
    if (rc_rule_find(values, &condition->value, &value) != 0 || value.type == RC_JSON_NONE) {
        return false;
    }
    if (rc_json_array_begin(&cursor, json, 0) != 0) {
        return rc_json_scan(json, 0, &wanted, NULL) == 0 && scalars_equal(&value, &wanted);
    }
    while (rc_json_array_next(&cursor, &wanted) == 1) {
        if (scalars_equal(&value, &wanted)) {
            return true;
        }
    }
    return false;
}

bool rc_rule_holds(struct rc_rule_values *values, uint32_t conditions, uint32_t count)
{
    const struct rc_event_condition *const list = rc_event_conditions(values->config, conditions);
    for (uint32_t i = 0; i < count; i++) {
        if (!condition_holds(values, &list[i])) {
            return false;
        }
    }
    return true;
}
