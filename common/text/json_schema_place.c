/* json_schema_place: the block that is written, where in the schema something stands, and schemas in it; see json_schema_place.h. */
#include "common/text/json_schema_place.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

/* --- errors ---------------------------------------------------------------------------------------------------------- */

/* Puts text before what is there. False: no room is left. */
static bool pointer_prepend(char *out, size_t *begin, struct rc_span text)
{
    for (size_t i = text.count; i > 0; i--) {
        const uint8_t byte = text.bytes[i - 1];
        const char *const escape = byte == '~' ? "~0" : byte == '/' ? "~1" : NULL;
        const size_t bytes = escape != NULL ? 2 : 1;
        if (*begin < bytes) {
            return false;
        }
        *begin -= bytes;
        memcpy(out + *begin, escape != NULL ? escape : (const char *)&byte, bytes);
    }
    if (*begin == 0) {
        return false;
    }
    out[--*begin] = '/';
    return true;
}

static void pointer_format(const struct rc_schema_build *build, struct rc_span keyword,
                           char out[RC_JSON_SCHEMA_PATH_MAX])
{
    size_t begin = RC_JSON_SCHEMA_PATH_MAX - 1;
    out[begin] = '\0';
    bool room = keyword.count == 0 || pointer_prepend(out, &begin, keyword);
    const struct rc_schema_place *place = build->place_count > 0 ? &build->places[build->current] : NULL;
    while (room && place != NULL) {
        char digits[16];
        if (place->name.bytes != NULL) {
            room = pointer_prepend(out, &begin, place->name);
        } else if (place->index != UINT32_MAX) {
            (void)snprintf(digits, sizeof(digits), "%u", place->index);
            room = pointer_prepend(out, &begin, rc_span_text(digits));
        }
        if (room && place->parent == UINT32_MAX && place->where.count > 0) { /* has its escapes */
            const size_t bytes = place->where.count < begin ? place->where.count : begin;
            begin -= bytes;
            memcpy(out + begin, place->where.bytes + place->where.count - bytes, bytes);
        } else if (room && place->where.count > 0) {
            room = pointer_prepend(out, &begin, place->where);
        }
        place = place->parent != UINT32_MAX ? &build->places[place->parent] : NULL;
    }
    while (((uint8_t)out[begin] & 0xc0) == 0x80) {
        begin++; /* cut within a character */
    }
    memmove(out, out + begin, RC_JSON_SCHEMA_PATH_MAX - begin);
}

int rc_schema_refuse(struct rc_schema_build *build, struct rc_span keyword, const char *format, ...)
{
    va_list args;
    pointer_format(build, keyword, build->error->pointer);
    va_start(args, format);
    (void)vsnprintf(build->error->what, sizeof(build->error->what), format, args);
    va_end(args);
    return -EINVAL;
}

/* --- the block ------------------------------------------------------------------------------------------------------- */

int rc_schema_room(struct rc_schema_build *build, size_t bytes, uint32_t *at)
{
    const size_t begin = (build->used + 3) & ~(size_t)3;
    if (begin > build->capacity || bytes > build->capacity - begin) {
        return -ENOBUFS;
    }
    memset(build->out + build->used, 0, begin - build->used + bytes);
    build->used = begin + bytes;
    *at = (uint32_t)begin;
    return 0;
}

void *rc_schema_part(struct rc_schema_build *build, struct rc_schema_node *node, enum rc_schema_part part)
{
    static const struct {
        size_t bytes;
        size_t ones; /* bytes that say "nothing" by being all ones */
    } parts[RC_SCHEMA_PART_COUNT] = {
        [RC_SCHEMA_NUMBERS] = {sizeof(struct rc_schema_numbers), 0},
        [RC_SCHEMA_STRINGS] = {sizeof(struct rc_schema_strings), offsetof(struct rc_schema_strings, min_length)},
        [RC_SCHEMA_ARRAYS] = {sizeof(struct rc_schema_arrays), offsetof(struct rc_schema_arrays, min_items)},
        [RC_SCHEMA_OBJECTS] = {sizeof(struct rc_schema_objects), offsetof(struct rc_schema_objects, min_properties)},
        [RC_SCHEMA_IN_PLACE] = {sizeof(struct rc_schema_in_place), 0},
    };
    if (node->parts[part] == 0) {
        if (rc_schema_room(build, parts[part].bytes, &node->parts[part]) != 0) {
            return NULL;
        }
        memset(build->out + node->parts[part], 0xff, parts[part].ones);
    }
    return build->out + node->parts[part];
}

int rc_schema_text(struct rc_schema_build *build, struct rc_span text, struct rc_schema_list *list)
{
    const int rc = rc_schema_room(build, text.count, &list->at);
    if (rc == 0 && text.count > 0) {
        memcpy(build->out + list->at, text.bytes, text.count);
    }
    list->count = (uint32_t)text.count;
    return rc;
}

int rc_schema_string(struct rc_schema_build *build, struct rc_span keyword, const struct rc_json_value *value,
                     size_t bytes_max, struct rc_schema_list *list)
{
    struct rc_span text;
    uint8_t scratch[RC_JSON_SCHEMA_PATH_MAX * 16];
    RC_ASSERT(bytes_max <= sizeof(scratch));
    const int rc = rc_json_string_decode(value, scratch, bytes_max, &text);
    if (rc == -EINVAL) {
        return rc_schema_refuse(build, keyword, "expected a string");
    }
    if (rc != 0) {
        return rc_schema_refuse(build, keyword, rc == -EMSGSIZE ? "a text of more than %zu bytes" : "half a character",
                                bytes_max);
    }
    return rc_schema_text(build, text, list);
}

/* --- schemas --------------------------------------------------------------------------------------------------------- */

/* Index of the place that stands at this value; UINT32_MAX: none. */
static uint32_t place_find(const struct rc_schema_build *build, const struct rc_json_value *value)
{
    for (uint32_t i = 0; i < build->place_count; i++) {
        if (build->places[i].value.raw.bytes == value->raw.bytes) {
            return i;
        }
    }
    return UINT32_MAX;
}

static int place_add(struct rc_schema_build *build, const struct rc_schema_place *place)
{
    if (build->place_count == RC_JSON_SCHEMA_NODES_MAX) {
        return rc_schema_refuse(build, place->where, "more than %u schemas in one", RC_JSON_SCHEMA_NODES_MAX);
    }
    struct rc_schema_place *const added = &build->places[build->place_count];
    *added = *place;
    const int rc = rc_schema_room(build, sizeof(struct rc_schema_node), &added->node);
    build->place_count += rc == 0;
    return rc;
}

/* Nothing is compiled any more, so that the message may be about this place. */
static int child_refuse(struct rc_schema_build *build, const struct rc_schema_place *place)
{
    if (build->place_count < RC_JSON_SCHEMA_NODES_MAX) {
        build->current = build->place_count++;
        build->places[build->current] = *place;
    }
    return rc_schema_refuse(build, (struct rc_span){0}, "expected a schema: an object, true or false");
}

int rc_schema_child(struct rc_schema_build *build, const struct rc_schema_place *place, bool in_place, uint32_t *node)
{
    const enum rc_json_type type = place->value.type;
    if (type != RC_JSON_OBJECT && type != RC_JSON_TRUE && type != RC_JSON_FALSE) {
        return child_refuse(build, place);
    }
    uint32_t index = place_find(build, &place->value);
    if (index == UINT32_MAX) {
        index = build->place_count;
        const int rc = place_add(build, place);
        if (rc != 0) {
            return rc;
        }
    }
    if (in_place) {
        if (build->way_count == RC_SCHEMA_WAYS_MAX) {
            return rc_schema_refuse(build, place->where, "too many references and alternatives");
        }
        build->ways[build->way_count++] = (struct rc_schema_way){(uint16_t)build->current, (uint16_t)index};
    }
    *node = build->places[index].node;
    return 0;
}

/* The next step of a JSON pointer, `*rest` moved behind it. False: too long, or a bad escape. */
static bool pointer_step(struct rc_span *rest, uint8_t out[RC_SCHEMA_NAME_BYTES_MAX], struct rc_span *step)
{
    size_t count = 0;
    size_t at = 1; /* behind "/" */
    for (; at < rest->count && rest->bytes[at] != '/'; at++) {
        uint8_t byte = rest->bytes[at];
        if (byte == '~') {
            const uint8_t code = ++at < rest->count ? rest->bytes[at] : 0;
            if (code != '0' && code != '1') {
                return false;
            }
            byte = code == '0' ? '~' : '/';
        }
        if (count == RC_SCHEMA_NAME_BYTES_MAX) {
            return false;
        }
        out[count++] = byte;
    }
    *rest = rc_span_of(rest->bytes + at, rest->count - at);
    *step = rc_span_of(out, count);
    return true;
}

/* The member or element of that name, *value becomes it. */
static bool pointer_follow(struct rc_json_value *value, struct rc_span step)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value part;
    struct rc_span text;
    uint8_t scratch[RC_SCHEMA_NAME_BYTES_MAX];
    if (value->type == RC_JSON_OBJECT && rc_json_object_begin(&cursor, value->raw, 0) == 0) {
        while (rc_json_object_next(&cursor, &name, &part) == 1) {
            if (rc_json_string_decode(&name, scratch, sizeof(scratch), &text) == 0 && rc_span_equal(text, step)) {
                *value = part;
                return true;
            }
        }
    } else if (value->type == RC_JSON_ARRAY && rc_json_array_begin(&cursor, value->raw, 0) == 0) {
        char digits[16];
        for (uint32_t i = 0; rc_json_array_next(&cursor, &part) == 1; i++) {
            (void)snprintf(digits, sizeof(digits), "%u", i);
            if (rc_span_equal(rc_span_text(digits), step)) {
                *value = part;
                return true;
            }
        }
    }
    return false;
}

/* RFC 3986 section 2.1, in place. */
static bool percent_decode(uint8_t *text, size_t *count)
{
    size_t to = 0;
    for (size_t at = 0; at < *count; at++) {
        if (text[at] == '%') {
            const char digits[3] = {(char)(at + 1 < *count ? text[at + 1] : 0),
                                    (char)(at + 2 < *count ? text[at + 2] : 0)};
            char *end = NULL;
            const unsigned long byte = strtoul(digits, &end, 16);
            if (end != digits + 2 || digits[0] == '-' || digits[0] == '+' || digits[0] == ' ') {
                return false;
            }
            text[to++] = (uint8_t)byte;
            at += 2;
        } else {
            text[to++] = text[at];
        }
    }
    *count = to;
    return true;
}

int rc_schema_reference(struct rc_schema_build *build, struct rc_span keyword, struct rc_span reference, uint32_t *node)
{
    uint8_t fragment[RC_JSON_SCHEMA_PATH_MAX * 4];
    uint8_t step_bytes[RC_SCHEMA_NAME_BYTES_MAX];
    struct rc_span step;
    if (reference.count == 0 || reference.bytes[0] != '#' || reference.count - 1 > sizeof(fragment)) {
        return rc_schema_refuse(build, keyword, "only references within the schema are followed, as \"#/$defs/name\"");
    }
    size_t count = reference.count - 1;
    memcpy(fragment, reference.bytes + 1, count);
    if (!percent_decode(fragment, &count) || (count > 0 && fragment[0] != '/')) {
        return rc_schema_refuse(build, keyword, "expected \"#\" and a JSON pointer, as in \"#/$defs/name\"");
    }
    struct rc_json_value value = build->root;
    struct rc_span rest = rc_span_of(fragment, count);
    while (rest.count > 0) {
        if (!pointer_step(&rest, step_bytes, &step) || !pointer_follow(&value, step)) {
            return rc_schema_refuse(build, keyword, "the schema has nothing at \"%.*s\"", (int)count,
                                    (const char *)fragment);
        }
    }
    /* its pointer, for messages, as it stands in the text, which stays */
    const struct rc_span where = rc_span_of(reference.bytes + 1, reference.count - 1);
    return rc_schema_child(
        build, &(struct rc_schema_place){.value = value, .parent = UINT32_MAX, .where = where, .index = UINT32_MAX},
        true, node);
}
