/* json_schema_build: a schema walked, breadth first, so that references and recursion need nothing of their own; see json_schema.h. */
#include "common/text/json_schema_build.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_equal.h"

#define IN_PLACE_MAX 32u /* schemas that look at one value by way of each other */

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

/* --- names ----------------------------------------------------------------------------------------------------------- */

/* qsort's order of indexes needs the names and where their bytes are. */
struct name_order {
    struct rc_span text;
    uint32_t index;
};

static int names_order(const void *a, const void *b)
{
    const struct name_order *const left = a;
    const struct name_order *const right = b;
    if (left->text.count != right->text.count) {
        return left->text.count < right->text.count ? -1 : 1;
    }
    return memcmp(left->text.bytes, right->text.bytes, left->text.count);
}

static int pairs_put(struct rc_schema_build *build, const struct rc_schema_pair *pairs, uint32_t count,
                     struct rc_schema_list *list)
{
    const int rc = rc_schema_room(build, count * sizeof(*pairs), &list->at);
    list->count = count;
    if (rc == 0 && count > 0) {
        memcpy(build->out + list->at, pairs, count * sizeof(*pairs));
    }
    return rc;
}

/* The names that the schema speaks of go to the block in their order, and what named them by index does so anew. */
static int names_end(struct rc_schema_build *build, struct rc_schema_objects *its)
{
    struct name_order order[RC_SCHEMA_NAMES_MAX];
    uint32_t to[RC_SCHEMA_NAMES_MAX];
    const uint32_t count = build->name_count;
    int rc = rc_schema_room(build, count * sizeof(struct rc_schema_name), &its->names.at);
    if (rc != 0) {
        return rc;
    }
    struct rc_schema_name *const names = (struct rc_schema_name *)(void *)(build->out + its->names.at);
    its->names.count = count;
    for (uint32_t i = 0; i < count; i++) {
        order[i].text = rc_span_of(build->out + build->names[i].text.at, build->names[i].text.count);
        order[i].index = i;
    }
    qsort(order, count, sizeof(order[0]), names_order);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = build->names[order[i].index];
        to[order[i].index] = i;
    }
    for (uint32_t i = 0; i < build->required_count; i++) {
        build->required[i] = to[build->required[i]];
    }
    for (uint32_t i = 0; i < build->dependent_required_count; i++) {
        build->dependent_required[i].key = to[build->dependent_required[i].key];
        build->dependent_required[i].to = to[build->dependent_required[i].to];
    }
    for (uint32_t i = 0; i < build->dependent_schemas_count; i++) {
        build->dependent_schemas[i].key = to[build->dependent_schemas[i].key];
    }
    rc = rc_schema_room(build, build->required_count * sizeof(uint32_t), &its->required.at);
    its->required.count = build->required_count;
    if (rc == 0) {
        memcpy(build->out + its->required.at, build->required, build->required_count * sizeof(uint32_t));
        rc = pairs_put(build, build->dependent_required, build->dependent_required_count, &its->dependent_required);
    }
    return rc == 0 ? pairs_put(build, build->dependent_schemas, build->dependent_schemas_count, &its->dependent_schemas)
                   : rc;
}

/* --- the walk -------------------------------------------------------------------------------------------------------- */

static int place_compile(struct rc_schema_build *build)
{
    const struct rc_schema_place place = build->places[build->current];
    struct rc_schema_node *const node = (struct rc_schema_node *)(void *)(build->out + place.node);
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int rc = 0;
    node->flags = place.value.type == RC_JSON_FALSE ? RC_SCHEMA_NOTHING : 0;
    if (place.value.type != RC_JSON_OBJECT || rc_json_object_begin(&cursor, place.value.raw, 0) < 0) {
        return 0;
    }
    build->name_count = build->required_count = 0;
    build->dependent_required_count = build->dependent_schemas_count = 0;
    while (rc == 0 && rc_json_object_next(&cursor, &name, &value) == 1) {
        const struct rc_schema_keyword *const keyword = rc_schema_keyword_find(&name);
        if (keyword == NULL) {
            return rc_schema_refuse(
                build, rc_span_of(name.raw.bytes + 1, name.raw.count - 2),
                "unknown keyword; those of JSON Schema 2020-12 that there are stand in docs/rules.md, "
                "remarks go to $comment");
        }
        rc = keyword->compile(build, keyword, node, &value);
    }
    if (rc != 0 || build->name_count == 0) {
        return rc;
    }
    struct rc_schema_objects *const objects = rc_schema_part(build, node, RC_SCHEMA_OBJECTS);
    return objects != NULL ? names_end(build, objects) : -ENOBUFS;
}

/* How many schemas look at one value by way of each other, at most; those that come back to themselves would never end. */
static int ways_check(struct rc_schema_build *build)
{
    uint16_t depth[RC_JSON_SCHEMA_NODES_MAX] = {0};
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < build->way_count; i++) {
            const struct rc_schema_way way = build->ways[i];
            if (depth[way.to] > depth[way.from]) {
                continue;
            }
            depth[way.to] = (uint16_t)(depth[way.from] + 1);
            changed = true;
            if (depth[way.to] > IN_PLACE_MAX) {
                build->current = way.to;
                return rc_schema_refuse(
                    build, (struct rc_span){0},
                    "references and alternatives come back here without going into the value, or are "
                    "more than %u in each other",
                    IN_PLACE_MAX);
            }
        }
    }
    return 0;
}

static int schema_walk(struct rc_schema_build *build)
{
    uint32_t at = 0;
    int rc = rc_schema_room(build, sizeof(struct rc_schema_head), &at);
    if (rc == 0) {
        rc = rc_schema_child(build,
                             &(struct rc_schema_place){.value = build->root, .parent = UINT32_MAX, .index = UINT32_MAX},
                             false, &at);
    }
    for (build->current = 0; rc == 0 && build->current < build->place_count; build->current++) {
        rc = place_compile(build);
        if (rc != 0) {
            return rc;
        }
    }
    return rc == 0 ? ways_check(build) : rc;
}

static int root_read(struct rc_schema_build *build, struct rc_span text)
{
    struct rc_json_value name;
    size_t offset = 0;
    int64_t steps = INT64_C(100000000);
    if (text.count > RC_JSON_SCHEMA_TEXT_MAX) {
        return rc_schema_refuse(build, (struct rc_span){0}, "a schema of more than %u bytes", RC_JSON_SCHEMA_TEXT_MAX);
    }
    const int rc = rc_json_scan(text, RC_JSON_CHECK_UTF8, &build->root, &offset);
    if (rc != 0) {
        return rc_schema_refuse(build, (struct rc_span){0},
                                rc == -EOVERFLOW ? "more than %2$d arrays and objects in each other, at byte %1$zu"
                                                 : "not JSON, at byte %1$zu",
                                offset, RC_JSON_DEPTH_MAX);
    }
    const int twice = rc_json_repeats(&build->root, &name, &steps);
    if (twice != 0) {
        return rc_schema_refuse(build, (struct rc_span){0}, "the name %.*s stands twice in one object",
                                (int)(twice == 1 && name.raw.count < 80 ? name.raw.count : 0),
                                (const char *)name.raw.bytes);
    }
    return 0;
}

int rc_json_schema_compile(struct rc_span text, void *out, size_t capacity, size_t *bytes,
                           struct rc_json_schema_error *error)
{
    struct rc_schema_build *const build = calloc(1, sizeof(*build));
    if (build == NULL) {
        return -ENOMEM;
    }
    *error = (struct rc_json_schema_error){0};
    build->out = out;
    build->capacity = capacity < UINT32_MAX ? capacity : UINT32_MAX;
    build->error = error;
    int rc = root_read(build, text);
    if (rc == 0) {
        rc = schema_walk(build);
    }
    if (rc == 0) {
        struct rc_schema_head *const head = out;
        head->bytes = (uint32_t)((build->used + 3) & ~(size_t)3);
        head->root = build->places[0].node;
        uint32_t end;
        rc = rc_schema_room(build, 0, &end); /* zeroes up to there */
        *bytes = head->bytes;
    }
    free(build);
    return rc;
}
