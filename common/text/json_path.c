/* json_path: see json_path.h. */
#include "common/text/json_path.h"

#include <string.h>
#include <strings.h>

struct rc_json_value rc_json_element(struct rc_span array, uint64_t index)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value = {.type = RC_JSON_NONE};
    uint64_t at = 0;
    if (rc_json_array_begin(&cursor, array, 0) == 0) {
        while (rc_json_array_next(&cursor, &value) == 1) {
            if (at++ == index) {
                return value;
            }
        }
    }
    return (struct rc_json_value){.type = RC_JSON_NONE};
}

/* The member whose name `is` says to be that one. */
static struct rc_json_value member_pick(struct rc_span object, struct rc_span name,
                                        bool (*is)(const struct rc_json_value *key, struct rc_span name))
{
    struct rc_json_cursor cursor;
    struct rc_json_value found = {.type = RC_JSON_NONE};
    struct rc_json_value key;
    struct rc_json_value value;
    if (object.count > 0 && rc_json_object_begin(&cursor, object, 0) == 0) {
        while (rc_json_object_next(&cursor, &key, &value) == 1) {
            if (is(&key, name)) {
                found = value;
            }
        }
    }
    return found;
}

struct rc_json_value rc_json_member(struct rc_span object, struct rc_span name)
{
    return member_pick(object, name, rc_json_string_is);
}

static bool is_nocase(const struct rc_json_value *key, struct rc_span name)
{
    return key->raw.count == name.count + 2 &&
           strncasecmp((const char *)key->raw.bytes + 1, (const char *)name.bytes, name.count) == 0;
}

struct rc_json_value rc_json_member_nocase(struct rc_span object, struct rc_span name)
{
    return member_pick(object, name, is_nocase);
}

/* A step of a path as an element's number: digits alone, without a leading 0 that JavaScript would not take either. */
static bool step_is_index(struct rc_span step, uint64_t *index)
{
    const struct rc_json_value number = {.raw = step, .type = RC_JSON_NUMBER};
    for (size_t i = 0; i < step.count; i++) {
        if (step.bytes[i] < '0' || step.bytes[i] > '9') {
            return false;
        }
    }
    return (step.count == 1 || step.bytes[0] != '0') && rc_json_uint64(&number, index) == 0;
}

struct rc_json_value rc_json_path(struct rc_json_value value, struct rc_span path)
{
    while (path.count > 0 && value.type != RC_JSON_NONE) {
        const uint8_t *const dot = memchr(path.bytes, '.', path.count);
        const struct rc_span step = rc_span_of(path.bytes, dot != NULL ? (size_t)(dot - path.bytes) : path.count);
        const size_t passed = dot != NULL ? step.count + 1 : step.count;
        path = rc_span_of(path.bytes + passed, path.count - passed);
        uint64_t index = 0;
        if (value.type == RC_JSON_OBJECT) {
            value = rc_json_member(value.raw, step);
        } else if (value.type == RC_JSON_ARRAY && step_is_index(step, &index)) {
            value = rc_json_element(value.raw, index);
        } else {
            value.type = RC_JSON_NONE;
        }
    }
    return value;
}
