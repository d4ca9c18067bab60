/* placeholders: see placeholders.h. */
#include "common/records/placeholders.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"

void rc_placeholders_begin(struct rc_placeholders *walk, struct rc_span json)
{
    walk->at = json.bytes;
    walk->end = json.bytes + json.count;
    walk->depth = 0;
}

static void skip_space(struct rc_placeholders *walk)
{
    while (walk->at < walk->end && (*walk->at == ' ' || *walk->at == '\t' || *walk->at == '\n' || *walk->at == '\r')) {
        walk->at++;
    }
}

/* Takes the string that begins here; false: it does not end. */
static bool take_string(struct rc_placeholders *walk, struct rc_json_value *value)
{
    const uint8_t *begin = walk->at++;
    value->type = RC_JSON_STRING;
    value->escaped = false;
    while (walk->at < walk->end && *walk->at != '"') {
        value->escaped |= *walk->at == '\\';
        walk->at += *walk->at == '\\' && walk->end - walk->at > 1 ? 2 : 1;
    }
    if (walk->at == walk->end) {
        return false;
    }
    walk->at++;
    value->raw = rc_span_of(begin, (size_t)(walk->at - begin));
    return true;
}

/* Takes what begins here, a number or a literal, or the head of a container: all that a placeholder's members can be. */
static void take_token(struct rc_placeholders *walk, struct rc_json_value *value)
{
    static const char behind[] = ",]}[{: \t\n\r\"";
    const uint8_t *begin = walk->at;
    while (walk->at < walk->end && memchr(behind, *walk->at, sizeof(behind) - 1) == NULL) {
        walk->at++;
    }
    value->raw = rc_span_of(begin, (size_t)(walk->at - begin));
    value->escaped = false;
    value->type = value->raw.count == 0                               ? RC_JSON_NONE
                  : *begin == 't'                                     ? RC_JSON_TRUE
                  : (*begin >= '0' && *begin <= '9') || *begin == '-' ? RC_JSON_NUMBER
                                                                      : RC_JSON_NULL;
}

/* A member's name was taken: takes its ':', and of the two members that mean something the value, if it is a scalar. */
static void take_member(struct rc_placeholders *walk, struct rc_placeholders_level *level,
                        const struct rc_json_value *name)
{
    const bool is_mark = rc_json_string_is(name, RC_SPAN("_placeholder"));
    const bool is_number = rc_json_string_is(name, RC_SPAN("num"));
    struct rc_json_value value = {.type = RC_JSON_NONE};
    uint64_t number;
    walk->at++;
    if (!is_mark && !is_number) {
        return;
    }
    skip_space(walk);
    if (walk->at < walk->end && *walk->at != '"') {
        take_token(walk, &value);
    }
    if (is_mark) {
        level->placeholder = value.type == RC_JSON_TRUE;
    } else {
        level->number = value.type == RC_JSON_NUMBER && rc_json_uint64(&value, &number) == 0 && number < UINT32_MAX
                            ? (uint32_t)number
                            : UINT32_MAX;
    }
}

int rc_placeholders_next(struct rc_placeholders *walk, uint32_t *number)
{
    struct rc_json_value value;
    for (; skip_space(walk), walk->at < walk->end;) {
        struct rc_placeholders_level *level = walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
        switch (*walk->at) {
        case '{':
        case '[':
            if (walk->depth == RC_JSON_DEPTH_MAX) {
                return -EBADMSG;
            }
            walk->levels[walk->depth++] =
                (struct rc_placeholders_level){.object = *walk->at++ == '{', .number = UINT32_MAX};
            break;
        case '}':
        case ']':
            if (level == NULL) {
                return -EBADMSG;
            }
            walk->at++;
            walk->depth--;
            if (level->placeholder) {
                *number = level->number;
                return level->number == UINT32_MAX ? -EBADMSG : 1;
            }
            break;
        case '"':
            if (!take_string(walk, &value)) {
                return -EBADMSG;
            }
            skip_space(walk);
            /* In an object a name has a ':' behind it, and a value has none. */
            if (level != NULL && level->object && walk->at < walk->end && *walk->at == ':') {
                take_member(walk, level, &value);
            }
            break;
        case ',':
        case ':':
            walk->at++;
            break;
        default:
            take_token(walk, &value);
            break;
        }
    }
    return walk->depth == 0 ? 0 : -EBADMSG;
}

int rc_placeholders_check(struct rc_span json, uint32_t count)
{
    uint64_t named[RC_ARGS_ATTACHMENTS_MAX / 64] = {0};
    struct rc_placeholders walk;
    uint32_t number;
    int rc;
    RC_ASSERT(count <= RC_ARGS_ATTACHMENTS_MAX);
    rc_placeholders_begin(&walk, json);
    while ((rc = rc_placeholders_next(&walk, &number)) == 1) {
        if (number >= count || (named[number / 64] >> number % 64 & 1) != 0) {
            return -EBADMSG;
        }
        named[number / 64] |= (uint64_t)1 << number % 64;
    }
    return rc;
}
