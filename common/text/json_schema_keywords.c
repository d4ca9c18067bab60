/* json_schema_keywords: what each keyword of a schema says, written down in the schema's node; see json_schema.h. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_format.h"
#include "common/text/json_number.h"
#include "common/text/json_schema_place.h"
#include "common/text/regex.h"

#define ENUM_MAX 1024u

typedef const struct rc_schema_keyword keyword;

static struct rc_span keyword_name(keyword *its)
{
    return rc_span_text(its->name);
}

/* The keyword's member in its part; NULL: no room is left. */
static void *node_member(struct rc_schema_build *build, struct rc_schema_node *node, keyword *its)
{
    uint8_t *const part = rc_schema_part(build, node, its->part);
    return part != NULL ? part + its->member : NULL;
}

/* A place in the current schema's keyword. */
static struct rc_schema_place place_of(const struct rc_schema_build *build, keyword *its,
                                       const struct rc_json_value *value)
{
    return (struct rc_schema_place){
        .value = *value, .parent = build->current, .where = keyword_name(its), .index = UINT32_MAX};
}

/* --- remarks, and what there is not ---------------------------------------------------------------------------------- */

static int remark_pass(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                       const struct rc_json_value *value)
{
    (void)build;
    (void)its;
    (void)node;
    (void)value;
    return 0;
}

/* Those of json-schema.org are about keywords that mean the same in all drafts, or are refused; others may mean anything. */
static int dialect_pass(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                        const struct rc_json_value *value)
{
    (void)node;
    const struct rc_span text = value->raw;
    return rc_span_starts_with(text, RC_SPAN("\"https://json-schema.org/")) ||
                   rc_span_starts_with(text, RC_SPAN("\"http://json-schema.org/"))
               ? 0
               : rc_schema_refuse(build, keyword_name(its),
                                  "expected \"https://json-schema.org/draft/2020-12/schema\"");
}

static int id_pass(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                   const struct rc_json_value *value)
{
    (void)node;
    (void)value;
    return build->current == 0 ? 0
                               : rc_schema_refuse(build, keyword_name(its),
                                                  "only the whole schema has one: references count from its top");
}

static int unsupported_refuse(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                              const struct rc_json_value *value)
{
    (void)node;
    (void)value;
    return rc_schema_refuse(build, keyword_name(its), "not supported: %s", its->words);
}

/* --- any value ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t bits;
} types[] = {
    {"null", 1u << RC_JSON_NULL},     {"boolean", 1u << RC_JSON_TRUE | 1u << RC_JSON_FALSE},
    {"object", 1u << RC_JSON_OBJECT}, {"array", 1u << RC_JSON_ARRAY},
    {"number", 1u << RC_JSON_NUMBER}, {"string", 1u << RC_JSON_STRING},
    {"integer", RC_SCHEMA_INTEGER},
};

static int type_add(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                    const struct rc_json_value *value)
{
    for (size_t i = 0; value->type == RC_JSON_STRING && i < RC_ARRAY_COUNT(types); i++) {
        if (rc_json_string_is(value, rc_span_text(types[i].name))) {
            node->types |= types[i].bits;
            return 0;
        }
    }
    return rc_schema_refuse(build, keyword_name(its),
                            "expected null, boolean, object, array, number, string or integer, or a list of these");
}

static int type_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                        const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value part;
    int rc = 0;
    node->flags |= RC_SCHEMA_TYPED;
    if (value->type != RC_JSON_ARRAY || rc_json_array_begin(&cursor, value->raw, 0) < 0) {
        return type_add(build, its, node, value);
    }
    while (rc == 0 && rc_json_array_next(&cursor, &part) == 1) {
        rc = type_add(build, its, node, &part);
    }
    return rc == 0 && node->types == 0 ? rc_schema_refuse(build, keyword_name(its), "an empty list") : rc;
}

/* How many elements or members. */
static uint32_t parts_count(const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value part;
    uint32_t count = 0;
    if (value->type == RC_JSON_ARRAY && rc_json_array_begin(&cursor, value->raw, 0) == 0) {
        while (rc_json_array_next(&cursor, &part) == 1) {
            count++;
        }
    } else if (value->type == RC_JSON_OBJECT && rc_json_object_begin(&cursor, value->raw, 0) == 0) {
        while (rc_json_object_next(&cursor, &name, &part) == 1) {
            count++;
        }
    }
    return count;
}

/* Room for an array of `bytes` for each part of the value, and a cursor on it. */
static int parts_begin(struct rc_schema_build *build, keyword *its, const struct rc_json_value *value,
                       enum rc_json_type type, size_t bytes, struct rc_schema_list *list, struct rc_json_cursor *cursor)
{
    if (value->type != type) {
        return rc_schema_refuse(build, keyword_name(its),
                                type == RC_JSON_ARRAY ? "expected an array" : "expected an object");
    }
    list->count = parts_count(value);
    const int rc = rc_schema_room(build, list->count * bytes, &list->at);
    if (rc == 0) {
        (void)(type == RC_JSON_ARRAY ? rc_json_array_begin(cursor, value->raw, 0)
                                     : rc_json_object_begin(cursor, value->raw, 0));
    }
    return rc;
}

static int enum_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                        const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value part;
    int rc = parts_begin(build, its, value, RC_JSON_ARRAY, sizeof(struct rc_schema_list), &node->enums, &cursor);
    if (rc == 0 && node->enums.count > ENUM_MAX) {
        rc = rc_schema_refuse(build, keyword_name(its), "more than %u values", ENUM_MAX);
    }
    node->flags |= RC_SCHEMA_ENUM;
    for (uint32_t i = 0; rc == 0 && rc_json_array_next(&cursor, &part) == 1; i++) {
        struct rc_schema_list text = {0};
        rc = rc_schema_text(build, part.raw, &text);
        memcpy(build->out + node->enums.at + i * sizeof(text), &text, sizeof(text));
    }
    return rc;
}

static int const_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                         const struct rc_json_value *value)
{
    (void)its;
    return rc_schema_text(build, value->raw, &node->constant);
}

/* --- numbers --------------------------------------------------------------------------------------------------------- */

static int number_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                          const struct rc_json_value *value)
{
    uint64_t digits;
    if (value->type != RC_JSON_NUMBER) {
        return rc_schema_refuse(build, keyword_name(its), "expected a number");
    }
    const struct rc_json_number number = rc_json_number_read(value->raw);
    if (its->member == offsetof(struct rc_schema_numbers, multiple_of) && !rc_json_number_divisor(&number, &digits)) {
        return rc_schema_refuse(build, keyword_name(its), "expected a number above 0 of at most 18 digits");
    }
    struct rc_schema_list *const member = node_member(build, node, its);
    return member != NULL ? rc_schema_text(build, value->raw, member) : -ENOBUFS;
}

static int number_put(struct rc_schema_build *build, struct rc_schema_node *node, keyword *its, uint32_t number)
{
    uint32_t *const member = node_member(build, node, its);
    if (member == NULL) {
        return -ENOBUFS;
    }
    *member = number;
    return 0;
}

static int count_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                         const struct rc_json_value *value)
{
    const struct rc_json_number most = rc_json_number_read(RC_SPAN("4294967294"));
    const struct rc_json_number number =
        value->type == RC_JSON_NUMBER ? rc_json_number_read(value->raw) : (struct rc_json_number){.negative = true};
    if (number.negative || !rc_json_number_integer(&number)) {
        return rc_schema_refuse(build, keyword_name(its), "expected a number of 0, 1, 2, …");
    }
    uint32_t count = RC_SCHEMA_NONE - 1; /* no value has so many */
    if (rc_json_number_compare(&number, &most) < 0) {
        const uint8_t *at = number.digits;
        count = 0;
        for (int64_t i = 0; i < number.exponent; i++) {
            at += (uint64_t)i < number.digit_count && *at == '.';
            count = count * 10 + ((uint64_t)i < number.digit_count ? (uint32_t)(*at++ - '0') : 0);
        }
    }
    return number_put(build, node, its, count);
}

/* --- strings --------------------------------------------------------------------------------------------------------- */

/* The program of a pattern, and its text. */
static int regex_compile(struct rc_schema_build *build, keyword *its, const struct rc_json_value *value, uint32_t *at,
                         struct rc_schema_list *text)
{
    struct rc_regex_error error;
    size_t bytes = 0;
    int rc = rc_schema_string(build, keyword_name(its), value, RC_REGEX_PATTERN_MAX, text);
    if (rc != 0) {
        return rc;
    }
    rc = rc_schema_room(build, 0, at);
    if (rc == 0) {
        rc = rc_regex_compile(rc_span_of(build->out + text->at, text->count), build->out + *at, build->capacity - *at,
                              &bytes, &error);
    }
    if (rc == -EINVAL) {
        return rc_schema_refuse(build, keyword_name(its), "%s (at byte %zu of the pattern)", error.what, error.at);
    }
    build->used += bytes;
    return rc;
}

static int pattern_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                           const struct rc_json_value *value)
{
    if (value->type != RC_JSON_STRING) {
        return rc_schema_refuse(build, keyword_name(its), "expected a string");
    }
    struct rc_schema_strings *const strings = rc_schema_part(build, node, its->part);
    return strings != NULL ? regex_compile(build, its, value, &strings->pattern, &strings->pattern_text) : -ENOBUFS;
}

static int format_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                          const struct rc_json_value *value)
{
    uint8_t scratch[64];
    struct rc_span name = {0};
    uint32_t format = 0;
    if (rc_json_string_decode(value, scratch, sizeof(scratch), &name) == 0) {
        format = rc_json_format_find(name);
    }
    return format != 0
               ? number_put(build, node, its, format)
               : rc_schema_refuse(build, keyword_name(its), "unknown format; there are %s", rc_json_format_names());
}

/* --- schemas in schemas ---------------------------------------------------------------------------------------------- */

static int schema_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                          const struct rc_json_value *value)
{
    if (value->type == RC_JSON_ARRAY && strcmp(its->name, "items") == 0) {
        return rc_schema_refuse(build, keyword_name(its),
                                "expected one schema for all elements; a list of schemas is called prefixItems");
    }
    const struct rc_schema_place place = place_of(build, its, value);
    uint32_t *const member = node_member(build, node, its);
    return member != NULL ? rc_schema_child(build, &place, its->in_place, member) : -ENOBUFS;
}

static int schemas_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                           const struct rc_json_value *value)
{
    struct rc_schema_list *const list = node_member(build, node, its);
    struct rc_json_cursor cursor;
    struct rc_json_value part;
    if (list == NULL) {
        return -ENOBUFS;
    }
    int rc = parts_begin(build, its, value, RC_JSON_ARRAY, sizeof(uint32_t), list, &cursor);
    if (rc == 0 && list->count == 0) {
        rc = rc_schema_refuse(build, keyword_name(its), "an empty list");
    }
    for (uint32_t i = 0; rc == 0 && rc_json_array_next(&cursor, &part) == 1; i++) {
        struct rc_schema_place place = place_of(build, its, &part);
        uint32_t at = 0;
        place.index = i;
        rc = rc_schema_child(build, &place, its->in_place, &at);
        memcpy(build->out + list->at + i * sizeof(at), &at, sizeof(at));
    }
    return rc;
}

/* A schema under a name in the keyword. */
static int member_child(struct rc_schema_build *build, keyword *its, const struct rc_json_value *name,
                        const struct rc_json_value *value, uint32_t *node)
{
    struct rc_schema_place place = place_of(build, its, value);
    place.name = rc_span_of(name->raw.bytes + 1, name->raw.count - 2);
    return rc_schema_child(build, &place, its->in_place, node);
}

/* What a keyword makes of each member of its object. */
typedef int member_take(struct rc_schema_build *build, keyword *its, const struct rc_json_value *name,
                        const struct rc_json_value *part);

static int members_take(struct rc_schema_build *build, keyword *its, const struct rc_json_value *value,
                        member_take *take)
{
    struct rc_schema_list list;
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value part;
    int rc = parts_begin(build, its, value, RC_JSON_OBJECT, 0, &list, &cursor);
    while (rc == 0 && rc_json_object_next(&cursor, &name, &part) == 1) {
        rc = take(build, its, &name, &part);
    }
    return rc;
}

static int definition_take(struct rc_schema_build *build, keyword *its, const struct rc_json_value *name,
                           const struct rc_json_value *part)
{
    uint32_t at;
    return member_child(build, its, name, part, &at);
}

static int definitions_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                               const struct rc_json_value *value)
{
    (void)node;
    return members_take(build, its, value, definition_take);
}

static int ref_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                       const struct rc_json_value *value)
{
    if (value->type != RC_JSON_STRING || value->escaped) {
        return rc_schema_refuse(build, keyword_name(its), "expected a string without backslashes, as \"#/$defs/name\"");
    }
    const struct rc_span reference = rc_span_of(value->raw.bytes + 1, value->raw.count - 2);
    uint32_t *const member = node_member(build, node, its);
    return member != NULL ? rc_schema_reference(build, keyword_name(its), reference, member) : -ENOBUFS;
}

/* --- arrays and objects ---------------------------------------------------------------------------------------------- */

static int unique_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                          const struct rc_json_value *value)
{
    if (value->type != RC_JSON_TRUE && value->type != RC_JSON_FALSE) {
        return rc_schema_refuse(build, keyword_name(its), "expected true or false");
    }
    return number_put(build, node, its, value->type == RC_JSON_TRUE);
}

/* Index of a name that the schema speaks of. */
static int name_index(struct rc_schema_build *build, keyword *its, const struct rc_json_value *name, uint32_t *index)
{
    struct rc_schema_list text = {0};
    const size_t before = build->used;
    const int rc = rc_schema_string(build, keyword_name(its), name, RC_SCHEMA_NAME_BYTES_MAX, &text);
    if (rc != 0) {
        return rc;
    }
    for (*index = 0; *index < build->name_count; (*index)++) {
        const struct rc_schema_list *const other = &build->names[*index].text;
        if (other->count == text.count && memcmp(build->out + other->at, build->out + text.at, text.count) == 0) {
            build->used = before;
            return 0;
        }
    }
    if (build->name_count == RC_SCHEMA_NAMES_MAX) {
        return rc_schema_refuse(build, keyword_name(its), "more than %u names in one schema", RC_SCHEMA_NAMES_MAX);
    }
    build->names[build->name_count++] = (struct rc_schema_name){.text = text};
    return 0;
}

static int property_take(struct rc_schema_build *build, keyword *its, const struct rc_json_value *name,
                         const struct rc_json_value *part)
{
    uint32_t index = 0;
    const int rc = name_index(build, its, name, &index);
    return rc == 0 ? member_child(build, its, name, part, &build->names[index].node) : rc;
}

static int properties_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                              const struct rc_json_value *value)
{
    (void)node;
    return members_take(build, its, value, property_take);
}

static int pattern_properties_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                                      const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value part;
    struct rc_schema_list text;
    struct rc_schema_list *const list = node_member(build, node, its);
    if (list == NULL) {
        return -ENOBUFS;
    }
    int rc = parts_begin(build, its, value, RC_JSON_OBJECT, sizeof(struct rc_schema_pair), list, &cursor);
    for (uint32_t i = 0; rc == 0 && rc_json_object_next(&cursor, &name, &part) == 1; i++) {
        struct rc_schema_pair pair = {0};
        rc = regex_compile(build, its, &name, &pair.key, &text);
        if (rc == 0) {
            rc = member_child(build, its, &name, &part, &pair.to);
        }
        memcpy(build->out + list->at + i * sizeof(pair), &pair, sizeof(pair));
    }
    return rc;
}

static int required_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                            const struct rc_json_value *value)
{
    struct rc_schema_list list;
    struct rc_json_cursor cursor;
    struct rc_json_value part;
    (void)node;
    int rc = parts_begin(build, its, value, RC_JSON_ARRAY, 0, &list, &cursor);
    if (rc == 0 && list.count > RC_SCHEMA_NAMES_MAX) {
        rc = rc_schema_refuse(build, keyword_name(its), "more than %u names", RC_SCHEMA_NAMES_MAX);
    }
    while (rc == 0 && rc_json_array_next(&cursor, &part) == 1) {
        rc = name_index(build, its, &part, &build->required[build->required_count++]);
    }
    return rc;
}

/* The names that the presence of one asks for. */
static int dependents_add(struct rc_schema_build *build, keyword *its, uint32_t key, const struct rc_json_value *value)
{
    struct rc_schema_list list;
    struct rc_json_cursor cursor;
    struct rc_json_value part;
    int rc = parts_begin(build, its, value, RC_JSON_ARRAY, 0, &list, &cursor);
    while (rc == 0 && rc_json_array_next(&cursor, &part) == 1) {
        if (build->dependent_required_count == RC_SCHEMA_NAMES_MAX) {
            return rc_schema_refuse(build, keyword_name(its), "more than %u names", RC_SCHEMA_NAMES_MAX);
        }
        struct rc_schema_pair *const pair = &build->dependent_required[build->dependent_required_count++];
        pair->key = key;
        rc = name_index(build, its, &part, &pair->to);
    }
    return rc;
}

static int dependent_take(struct rc_schema_build *build, keyword *its, const struct rc_json_value *name,
                          const struct rc_json_value *part)
{
    uint32_t key = 0;
    const int rc = name_index(build, its, name, &key);
    if (rc != 0 || !its->in_place) {
        return rc == 0 ? dependents_add(build, its, key, part) : rc;
    }
    if (build->dependent_schemas_count == RC_SCHEMA_NAMES_MAX) {
        return rc_schema_refuse(build, keyword_name(its), "more than %u names", RC_SCHEMA_NAMES_MAX);
    }
    struct rc_schema_pair *const pair = &build->dependent_schemas[build->dependent_schemas_count++];
    pair->key = key;
    return member_child(build, its, name, part, &pair->to);
}

static int dependents_compile(struct rc_schema_build *build, keyword *its, struct rc_schema_node *node,
                              const struct rc_json_value *value)
{
    (void)node;
    return members_take(build, its, value, dependent_take);
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

#define MEMBER(kind, PART, name) .part = RC_SCHEMA_##PART, .member = offsetof(struct rc_schema_##kind, name)

static keyword keywords[] = {
    {.name = "type", .compile = type_compile},
    {.name = "enum", .compile = enum_compile},
    {.name = "const", .compile = const_compile},
    {.name = "minimum", .compile = number_compile, MEMBER(numbers, NUMBERS, minimum)},
    {.name = "maximum", .compile = number_compile, MEMBER(numbers, NUMBERS, maximum)},
    {.name = "exclusiveMinimum", .compile = number_compile, MEMBER(numbers, NUMBERS, exclusive_minimum)},
    {.name = "exclusiveMaximum", .compile = number_compile, MEMBER(numbers, NUMBERS, exclusive_maximum)},
    {.name = "multipleOf", .compile = number_compile, MEMBER(numbers, NUMBERS, multiple_of)},
    {.name = "minLength", .compile = count_compile, MEMBER(strings, STRINGS, min_length)},
    {.name = "maxLength", .compile = count_compile, MEMBER(strings, STRINGS, max_length)},
    {.name = "pattern", .compile = pattern_compile, MEMBER(strings, STRINGS, pattern)},
    {.name = "format", .compile = format_compile, MEMBER(strings, STRINGS, format)},
    {.name = "items", .compile = schema_compile, MEMBER(arrays, ARRAYS, items)},
    {.name = "prefixItems", .compile = schemas_compile, MEMBER(arrays, ARRAYS, prefix_items)},
    {.name = "contains", .compile = schema_compile, MEMBER(arrays, ARRAYS, contains)},
    {.name = "minContains", .compile = count_compile, MEMBER(arrays, ARRAYS, min_contains)},
    {.name = "maxContains", .compile = count_compile, MEMBER(arrays, ARRAYS, max_contains)},
    {.name = "minItems", .compile = count_compile, MEMBER(arrays, ARRAYS, min_items)},
    {.name = "maxItems", .compile = count_compile, MEMBER(arrays, ARRAYS, max_items)},
    {.name = "uniqueItems", .compile = unique_compile, MEMBER(arrays, ARRAYS, unique)},
    {.name = "properties", .compile = properties_compile},
    {.name = "patternProperties", .compile = pattern_properties_compile, MEMBER(objects, OBJECTS, pattern_properties)},
    {.name = "additionalProperties", .compile = schema_compile, MEMBER(objects, OBJECTS, additional)},
    {.name = "propertyNames", .compile = schema_compile, MEMBER(objects, OBJECTS, property_names)},
    {.name = "minProperties", .compile = count_compile, MEMBER(objects, OBJECTS, min_properties)},
    {.name = "maxProperties", .compile = count_compile, MEMBER(objects, OBJECTS, max_properties)},
    {.name = "required", .compile = required_compile},
    {.name = "dependentRequired", .compile = dependents_compile},
    {.name = "dependentSchemas", .compile = dependents_compile, .in_place = true},
    {.name = "if", .compile = schema_compile, MEMBER(in_place, IN_PLACE, condition), .in_place = true},
    {.name = "then", .compile = schema_compile, MEMBER(in_place, IN_PLACE, then), .in_place = true},
    {.name = "else", .compile = schema_compile, MEMBER(in_place, IN_PLACE, otherwise), .in_place = true},
    {.name = "not", .compile = schema_compile, MEMBER(in_place, IN_PLACE, negated), .in_place = true},
    {.name = "allOf", .compile = schemas_compile, MEMBER(in_place, IN_PLACE, all_of), .in_place = true},
    {.name = "anyOf", .compile = schemas_compile, MEMBER(in_place, IN_PLACE, any_of), .in_place = true},
    {.name = "oneOf", .compile = schemas_compile, MEMBER(in_place, IN_PLACE, one_of), .in_place = true},
    {.name = "$ref", .compile = ref_compile, MEMBER(in_place, IN_PLACE, ref)},
    {.name = "$defs", .compile = definitions_compile},
    {.name = "definitions", .compile = definitions_compile},
    {.name = "$id", .compile = id_pass},
    {.name = "$schema", .compile = dialect_pass},
    {.name = "$comment", .compile = remark_pass},
    {.name = "title", .compile = remark_pass},
    {.name = "description", .compile = remark_pass},
    {.name = "default", .compile = remark_pass},
    {.name = "examples", .compile = remark_pass},
    {.name = "deprecated", .compile = remark_pass},
    {.name = "readOnly", .compile = remark_pass},
    {.name = "writeOnly", .compile = remark_pass},
    {.name = "unevaluatedItems", .compile = unsupported_refuse, .words = "say items = false beside prefixItems"},
    {.name = "unevaluatedProperties",
     .compile = unsupported_refuse,
     .words = "name all members in properties, with additionalProperties = false"},
    {.name = "dependencies", .compile = unsupported_refuse, .words = "write dependentRequired or dependentSchemas"},
    {.name = "additionalItems", .compile = unsupported_refuse, .words = "write items beside prefixItems"},
    {.name = "$anchor", .compile = unsupported_refuse, .words = "refer to \"#/$defs/name\""},
    {.name = "$dynamicRef", .compile = unsupported_refuse, .words = "write $ref"},
    {.name = "$dynamicAnchor", .compile = unsupported_refuse, .words = "refer to \"#/$defs/name\" with $ref"},
    {.name = "contentEncoding", .compile = unsupported_refuse, .words = "nothing would check it; a pattern can"},
    {.name = "contentMediaType", .compile = unsupported_refuse, .words = "nothing would check it"},
    {.name = "contentSchema", .compile = unsupported_refuse, .words = "nothing would check it"},
};

const struct rc_schema_keyword *rc_schema_keyword_find(const struct rc_json_value *name)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(keywords); i++) {
        if (rc_json_string_is(name, rc_span_text(keywords[i].name))) {
            return &keywords[i];
        }
    }
    return NULL;
}
