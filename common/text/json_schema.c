/* json_schema: a value checked against a compiled schema; see json_schema.h. */
#include "common/text/json_schema.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/text/json_equal.h"
#include "common/text/json_format.h"
#include "common/text/json_number.h"
#include "common/text/json_schema_layout.h"
#include "common/text/regex.h"

#define FRAMES_MAX 512u /* schemas and values in each other that are being looked at */
#define STEP_BYTES 16u

/* Results of checks. */
#define HOLDS 1
#define FAILS 0
#define EXHAUSTED (-1)

/* The way to a value, on the stack of who looks at it. */
struct where {
    const struct where *around; /* NULL: the whole value */
    struct rc_span name;        /* of a member, without quotes; .bytes NULL: an element */
    uint32_t index;
};

struct run {
    const uint8_t *block; /* the compiled schema */
    int64_t steps;        /* left */
    unsigned frames;
    unsigned quiet; /* above 0: what fails here is not the fault */
    struct rc_json_schema_fault *fault;
};

static const void *block_at(const struct run *run, uint32_t at)
{
    return run->block + at;
}

static struct rc_span text_at(const struct run *run, struct rc_schema_list list)
{
    return rc_span_of(run->block + list.at, list.count);
}

static bool steps_left(struct run *run, size_t bytes)
{
    run->steps -= 1 + (int64_t)(bytes / STEP_BYTES);
    return run->steps >= 0;
}

/* --- faults ---------------------------------------------------------------------------------------------------------- */

static void path_add(char out[RC_JSON_SCHEMA_PATH_MAX], size_t *used, struct rc_span text)
{
    size_t count = text.count;
    if (count > RC_JSON_SCHEMA_PATH_MAX - 1 - *used) {
        count = RC_JSON_SCHEMA_PATH_MAX - 1 - *used;
        while (count > 0 && (text.bytes[count] & 0xc0) == 0x80) {
            count--; /* no half characters */
        }
    }
    memcpy(out + *used, text.bytes, count);
    *used += count;
    out[*used] = '\0';
}

/* Outermost first; as deep as JSON may be. */
static void path_write(const struct where *where, char out[RC_JSON_SCHEMA_PATH_MAX], size_t *used)
{
    char digits[16];
    if (where == NULL) {
        return;
    }
    path_write(where->around, out, used);
    path_add(out, used, RC_SPAN("."));
    (void)snprintf(digits, sizeof(digits), "%u", where->index);
    path_add(out, used, where->name.bytes != NULL ? where->name : rc_span_text(digits));
}

/* Says what does not hold, unless others may hold instead. Returns FAILS. */
__attribute__((format(printf, 4, 5))) static int fault_set(struct run *run, const struct where *where,
                                                           const char *keyword, const char *format, ...)
{
    va_list args;
    size_t used = 0;
    if (run->quiet > 0) {
        return FAILS;
    }
    run->fault->path[0] = '\0';
    run->fault->keyword = keyword;
    path_write(where, run->fault->path, &used);
    va_start(args, format);
    (void)vsnprintf(run->fault->words, sizeof(run->fault->words), format, args);
    va_end(args);
    return FAILS;
}

static const char *plural_end(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* --- any value ------------------------------------------------------------------------------------------------------- */

static int node_check(struct run *run, uint32_t at, const struct rc_json_value *value, const struct where *where);

static int type_check(struct run *run, const struct rc_schema_node *node, const struct rc_json_value *value,
                      const struct where *where)
{
    static const char *const names[] = {
        [RC_JSON_OBJECT] = "object", [RC_JSON_ARRAY] = "array",  [RC_JSON_STRING] = "string",
        [RC_JSON_NUMBER] = "number", [RC_JSON_TRUE] = "boolean", [RC_JSON_NULL] = "null",
    };
    char text[96] = "";
    size_t used = 0;
    if ((node->types >> value->type & 1) != 0) {
        return HOLDS;
    }
    if (value->type == RC_JSON_NUMBER && (node->types & RC_SCHEMA_INTEGER) != 0) {
        const struct rc_json_number number = rc_json_number_read(value->raw);
        if (rc_json_number_integer(&number)) {
            return HOLDS;
        }
    }
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i] != NULL && (node->types >> i & 1) != 0) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used > 0 ? " or " : "", names[i]);
        }
    }
    if ((node->types & RC_SCHEMA_INTEGER) != 0) {
        (void)snprintf(text + used, sizeof(text) - used, "%sinteger", used > 0 ? " or " : "");
    }
    return fault_set(run, where, "type", "must be %s", text);
}

/* Is it the constant, which is JSON in the block? */
static int constant_is(struct run *run, struct rc_schema_list constant, const struct rc_json_value *value)
{
    struct rc_json_value other = {.raw = text_at(run, constant)};
    other.type = rc_json_peek(other.raw);
    other.escaped = other.type == RC_JSON_STRING && memchr(other.raw.bytes, '\\', other.raw.count) != NULL;
    const int rc = rc_json_equal(value, &other, &run->steps);
    return rc < 0 ? EXHAUSTED : rc;
}

static int constants_check(struct run *run, const struct rc_schema_node *node, const struct rc_json_value *value,
                           const struct where *where)
{
    const struct rc_schema_list *const enums = block_at(run, node->enums.at);
    int rc = HOLDS;
    if (node->constant.count > 0) {
        rc = constant_is(run, node->constant, value);
        if (rc == FAILS) {
            return fault_set(run, where, "const", "must be %.*s",
                             (int)(node->constant.count < 60 ? node->constant.count : 0),
                             (const char *)text_at(run, node->constant).bytes);
        }
    }
    if (rc != HOLDS || (node->flags & RC_SCHEMA_ENUM) == 0) {
        return rc;
    }
    for (uint32_t i = 0; i < node->enums.count; i++) {
        rc = steps_left(run, 0) ? constant_is(run, enums[i], value) : EXHAUSTED;
        if (rc != FAILS) {
            return rc;
        }
    }
    return fault_set(run, where, "enum", "must be one of the %u values that are allowed", node->enums.count);
}

/* --- numbers and strings --------------------------------------------------------------------------------------------- */

static int number_check(struct run *run, const struct rc_schema_numbers *its, const struct rc_json_value *value,
                        const struct where *where)
{
    const struct {
        const struct rc_schema_list *limit;
        const char *keyword;
        const char *words;
        int sign; /* of the comparison that must not be */
        bool equal;
    } bounds[] = {
        {&its->minimum, "minimum", "at least", -1, true},
        {&its->maximum, "maximum", "at most", 1, true},
        {&its->exclusive_minimum, "exclusiveMinimum", "more than", -1, false},
        {&its->exclusive_maximum, "exclusiveMaximum", "less than", 1, false},
    };
    const struct rc_json_number number = rc_json_number_read(value->raw);
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        const struct rc_span text = text_at(run, *bounds[i].limit);
        if (text.count == 0) {
            continue;
        }
        const struct rc_json_number limit = rc_json_number_read(text);
        const int order = rc_json_number_compare(&number, &limit) * bounds[i].sign;
        if (order > 0 || (order == 0 && !bounds[i].equal)) {
            return fault_set(run, where, bounds[i].keyword, "must be %s %.*s", bounds[i].words, (int)text.count,
                             (const char *)text.bytes);
        }
    }
    if (its->multiple_of.count > 0) {
        const struct rc_span text = text_at(run, its->multiple_of);
        const struct rc_json_number divisor = rc_json_number_read(text);
        if (!rc_json_number_multiple(&number, &divisor)) {
            return fault_set(run, where, "multipleOf", "must be a multiple of %.*s", (int)text.count,
                             (const char *)text.bytes);
        }
    }
    return HOLDS;
}

static int length_check(struct run *run, const struct rc_schema_strings *its, const struct rc_json_value *value,
                        const struct where *where)
{
    struct rc_json_chars chars = rc_json_chars_of(value);
    uint32_t count = 0;
    uint32_t point;
    if (!steps_left(run, value->raw.count)) {
        return EXHAUSTED;
    }
    while (rc_json_chars_next(&chars, &point)) {
        count++;
    }
    if (count < its->min_length) {
        return fault_set(run, where, "minLength", "must be at least %u character%s", its->min_length,
                         plural_end(its->min_length));
    }
    return count <= its->max_length ? HOLDS
                                    : fault_set(run, where, "maxLength", "must be at most %u character%s",
                                                its->max_length, plural_end(its->max_length));
}

static int format_check(struct run *run, const struct rc_schema_strings *its, const struct rc_json_value *value,
                        const struct where *where)
{
    uint8_t scratch[RC_JSON_FORMAT_BYTES_MAX];
    struct rc_span text;
    if (!steps_left(run, value->raw.count < 6 * sizeof(scratch) ? value->raw.count : 0)) {
        return EXHAUSTED;
    }
    if (rc_json_string_decode(value, scratch, sizeof(scratch), &text) == 0 && rc_json_format_valid(its->format, text)) {
        return HOLDS;
    }
    return fault_set(run, where, "format", "must be a valid %s", rc_json_format_name(its->format));
}

static int string_check(struct run *run, const struct rc_schema_strings *its, const struct rc_json_value *value,
                        const struct where *where)
{
    int rc = HOLDS;
    if (its->min_length > 0 || its->max_length != RC_SCHEMA_NONE) {
        rc = length_check(run, its, value, where);
    }
    if (rc == HOLDS && its->pattern != 0) {
        rc = rc_regex_match(block_at(run, its->pattern), rc_json_chars_of(value), &run->steps);
        if (rc == 0) {
            const struct rc_span text = text_at(run, its->pattern_text);
            return fault_set(run, where, "pattern", "must match the pattern%s%.*s", text.count < 100 ? " " : "",
                             (int)(text.count < 100 ? text.count : 0), (const char *)text.bytes);
        }
        rc = rc < 0 ? EXHAUSTED : HOLDS;
    }
    return rc == HOLDS && its->format != 0 ? format_check(run, its, value, where) : rc;
}

/* --- arrays ---------------------------------------------------------------------------------------------------------- */

static int element_check(struct run *run, const struct rc_schema_arrays *its, const struct rc_json_value *value,
                         const struct where *where, uint32_t *contained)
{
    const uint32_t *const prefix = block_at(run, its->prefix_items.at);
    int rc = HOLDS;
    if (where->index < its->prefix_items.count) {
        rc = node_check(run, prefix[where->index], value, where);
    } else if (its->items != 0) {
        rc = node_check(run, its->items, value, where);
    }
    if (rc == HOLDS && its->contains != 0) {
        run->quiet++;
        rc = node_check(run, its->contains, value, where);
        run->quiet--;
        *contained += rc == HOLDS;
        rc = rc == EXHAUSTED ? EXHAUSTED : HOLDS;
    }
    return rc;
}

static int array_counts_check(struct run *run, const struct rc_schema_arrays *its, const struct rc_json_value *value,
                              const struct where *where, uint32_t count, uint32_t contained)
{
    const uint32_t least = its->min_contains == RC_SCHEMA_NONE ? 1 : its->min_contains;
    uint32_t twice = 0;
    if (count < its->min_items) {
        return fault_set(run, where, "minItems", "must have at least %u element%s", its->min_items,
                         plural_end(its->min_items));
    }
    if (its->contains != 0 && contained < least) {
        return fault_set(run, where, "contains", "must have at least %u element%s of a kind", least, plural_end(least));
    }
    if (its->contains != 0 && contained > its->max_contains) {
        return fault_set(run, where, "maxContains", "must have at most %u element%s of a kind", its->max_contains,
                         plural_end(its->max_contains));
    }
    if (its->unique == 0) {
        return HOLDS;
    }
    const int rc = rc_json_array_repeats(value->raw, &twice, &run->steps);
    if (rc == 1) {
        return fault_set(run, where, "uniqueItems", "must have no element twice, as the one at %u is", twice);
    }
    return rc < 0 ? EXHAUSTED : HOLDS;
}

static int array_check(struct run *run, const struct rc_schema_arrays *its, const struct rc_json_value *value,
                       const struct where *where)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    struct where here = {.around = where};
    uint32_t contained = 0;
    int rc = HOLDS;
    if (rc_json_array_begin(&cursor, value->raw, 0) < 0) {
        return EXHAUSTED;
    }
    while (rc == HOLDS && rc_json_array_next(&cursor, &element) == 1) {
        if (here.index == its->max_items) {
            return fault_set(run, where, "maxItems", "must have at most %u element%s", its->max_items,
                             plural_end(its->max_items));
        }
        rc = steps_left(run, element.raw.count) ? element_check(run, its, &element, &here, &contained) : EXHAUSTED;
        here.index++;
    }
    return rc == HOLDS ? array_counts_check(run, its, value, where, here.index, contained) : rc;
}

/* --- objects --------------------------------------------------------------------------------------------------------- */

/* Index of a member's name among those that the schema speaks of, UINT32_MAX: it does not. */
static uint32_t name_find(const struct run *run, const struct rc_schema_objects *its, const struct rc_json_value *name)
{
    const struct rc_schema_name *const names = block_at(run, its->names.at);
    uint8_t scratch[RC_SCHEMA_NAME_BYTES_MAX];
    struct rc_span text;
    uint32_t low = 0;
    uint32_t high = its->names.count;
    if (high == 0 || rc_json_string_decode(name, scratch, sizeof(scratch), &text) != 0) {
        return UINT32_MAX;
    }
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const struct rc_span other = text_at(run, names[middle].text);
        const int order = text.count != other.count ? (text.count < other.count ? -1 : 1)
                                                    : memcmp(text.bytes, other.bytes, text.count);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return UINT32_MAX;
}

/* Schemas for members whose names match; *known: one did. */
static int patterns_check(struct run *run, const struct rc_schema_objects *its, const struct rc_json_value *name,
                          const struct rc_json_value *value, const struct where *where, bool *known)
{
    const struct rc_schema_pair *const pairs = block_at(run, its->pattern_properties.at);
    for (uint32_t i = 0; i < its->pattern_properties.count; i++) {
        const int found = rc_regex_match(block_at(run, pairs[i].key), rc_json_chars_of(name), &run->steps);
        *known |= found == 1;
        const int rc = found < 0 ? EXHAUSTED : found == 0 ? HOLDS : node_check(run, pairs[i].to, value, where);
        if (rc != HOLDS) {
            return rc;
        }
    }
    return HOLDS;
}

static int member_check(struct run *run, const struct rc_schema_objects *its, const struct rc_json_value *name,
                        uint32_t index, const struct rc_json_value *value, const struct where *where)
{
    const struct rc_schema_name *const names = block_at(run, its->names.at);
    bool known = index != UINT32_MAX && names[index].node != 0;
    int rc = known ? node_check(run, names[index].node, value, where) : HOLDS;
    if (rc == HOLDS) {
        rc = patterns_check(run, its, name, value, where, &known);
    }
    if (rc == HOLDS && !known && its->additional != 0) {
        rc = node_check(run, its->additional, value, where);
    }
    return rc == HOLDS && its->property_names != 0 ? node_check(run, its->property_names, name, where) : rc;
}

static bool is_present(const uint64_t *present, uint32_t index)
{
    return (present[index / 64] >> (index % 64) & 1) != 0;
}

static int missing_fault(struct run *run, const struct where *where, const char *keyword,
                         const struct rc_schema_name *name)
{
    const struct rc_span text = text_at(run, name->text);
    return fault_set(run, where, keyword, "must have a member \"%.*s\"", (int)(text.count < 100 ? text.count : 0),
                     (const char *)text.bytes);
}

/* What the presence of members asks for. */
static int presence_check(struct run *run, const struct rc_schema_objects *its, const struct rc_json_value *value,
                          const struct where *where, const uint64_t *present)
{
    const struct rc_schema_name *const names = block_at(run, its->names.at);
    const uint32_t *const required = block_at(run, its->required.at);
    const struct rc_schema_pair *pairs = block_at(run, its->dependent_required.at);
    for (uint32_t i = 0; i < its->required.count; i++) {
        if (!is_present(present, required[i])) {
            return missing_fault(run, where, "required", &names[required[i]]);
        }
    }
    for (uint32_t i = 0; i < its->dependent_required.count; i++) {
        if (is_present(present, pairs[i].key) && !is_present(present, pairs[i].to)) {
            return missing_fault(run, where, "dependentRequired", &names[pairs[i].to]);
        }
    }
    pairs = block_at(run, its->dependent_schemas.at);
    for (uint32_t i = 0; i < its->dependent_schemas.count; i++) {
        const int rc = is_present(present, pairs[i].key) ? node_check(run, pairs[i].to, value, where) : HOLDS;
        if (rc != HOLDS) {
            return rc;
        }
    }
    return HOLDS;
}

static int object_check(struct run *run, const struct rc_schema_objects *its, const struct rc_json_value *value,
                        const struct where *where)
{
    uint64_t present[RC_SCHEMA_NAMES_MAX / 64] = {0};
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value member;
    struct where here = {.around = where};
    uint32_t count = 0;
    int rc = HOLDS;
    if (rc_json_object_begin(&cursor, value->raw, 0) < 0) {
        return EXHAUSTED;
    }
    while (rc == HOLDS && rc_json_object_next(&cursor, &name, &member) == 1) {
        if (count++ == its->max_properties) {
            return fault_set(run, where, "maxProperties", "must have at most %u member%s", its->max_properties,
                             plural_end(its->max_properties));
        }
        if (!steps_left(run, name.raw.count + member.raw.count)) {
            return EXHAUSTED;
        }
        const uint32_t index = name_find(run, its, &name);
        if (index != UINT32_MAX) {
            present[index / 64] |= UINT64_C(1) << (index % 64);
        }
        here.name = rc_span_of(name.raw.bytes + 1, name.raw.count - 2);
        rc = member_check(run, its, &name, index, &member, &here);
    }
    if (rc == HOLDS && count < its->min_properties) {
        return fault_set(run, where, "minProperties", "must have at least %u member%s", its->min_properties,
                         plural_end(its->min_properties));
    }
    return rc == HOLDS ? presence_check(run, its, value, where, present) : rc;
}

/* --- schemas that look at the same value ----------------------------------------------------------------------------- */

static int quiet_check(struct run *run, uint32_t at, const struct rc_json_value *value, const struct where *where)
{
    run->quiet++;
    const int rc = node_check(run, at, value, where);
    run->quiet--;
    return rc;
}

/* How many of them hold, up to `enough`; EXHAUSTED. */
static int holding_count(struct run *run, struct rc_schema_list list, int enough, const struct rc_json_value *value,
                         const struct where *where)
{
    const uint32_t *const nodes = block_at(run, list.at);
    int count = 0;
    for (uint32_t i = 0; i < list.count && count < enough; i++) {
        const int rc = quiet_check(run, nodes[i], value, where);
        if (rc == EXHAUSTED) {
            return EXHAUSTED;
        }
        count += rc == HOLDS;
    }
    return count;
}

static int alternatives_check(struct run *run, const struct rc_schema_in_place *its, const struct rc_json_value *value,
                              const struct where *where)
{
    int count = HOLDS;
    if (its->any_of.count > 0) {
        count = holding_count(run, its->any_of, 1, value, where);
        if (count == 0) {
            return fault_set(run, where, "anyOf", "must be one of %u things, and is none", its->any_of.count);
        }
    }
    if (count != EXHAUSTED && its->one_of.count > 0) {
        count = holding_count(run, its->one_of, 2, value, where);
        if (count == 0 || count == 2) {
            return fault_set(run, where, "oneOf", "must be exactly one of %u things, and is %s", its->one_of.count,
                             count == 0 ? "none" : "several");
        }
    }
    return count == EXHAUSTED ? EXHAUSTED : HOLDS;
}

static int condition_check(struct run *run, const struct rc_schema_in_place *its, const struct rc_json_value *value,
                           const struct where *where)
{
    int rc = HOLDS;
    if (its->negated != 0) {
        rc = quiet_check(run, its->negated, value, where);
        if (rc == HOLDS) {
            return fault_set(run, where, "not", "must be something else");
        }
        rc = rc == FAILS ? HOLDS : rc;
    }
    if (rc != HOLDS || its->condition == 0) {
        return rc;
    }
    rc = quiet_check(run, its->condition, value, where);
    if (rc == EXHAUSTED) {
        return rc;
    }
    const uint32_t branch = rc == HOLDS ? its->then : its->otherwise;
    return branch != 0 ? node_check(run, branch, value, where) : HOLDS;
}

static int in_place_check(struct run *run, const struct rc_schema_in_place *its, const struct rc_json_value *value,
                          const struct where *where)
{
    const uint32_t *const all = block_at(run, its->all_of.at);
    int rc = its->ref != 0 ? node_check(run, its->ref, value, where) : HOLDS;
    for (uint32_t i = 0; rc == HOLDS && i < its->all_of.count; i++) {
        rc = node_check(run, all[i], value, where);
    }
    if (rc == HOLDS) {
        rc = alternatives_check(run, its, value, where);
    }
    return rc == HOLDS ? condition_check(run, its, value, where) : rc;
}

/* --- the node -------------------------------------------------------------------------------------------------------- */

/* What the node says about values of its type, if anything. */
static int kind_check(struct run *run, const struct rc_schema_node *node, const struct rc_json_value *value,
                      const struct where *where)
{
    const uint32_t *const parts = node->parts;
    switch (value->type) {
    case RC_JSON_OBJECT:
        return parts[RC_SCHEMA_OBJECTS] == 0 ? HOLDS
                                             : object_check(run, block_at(run, parts[RC_SCHEMA_OBJECTS]), value, where);
    case RC_JSON_ARRAY:
        return parts[RC_SCHEMA_ARRAYS] == 0 ? HOLDS
                                            : array_check(run, block_at(run, parts[RC_SCHEMA_ARRAYS]), value, where);
    case RC_JSON_STRING:
        return parts[RC_SCHEMA_STRINGS] == 0 ? HOLDS
                                             : string_check(run, block_at(run, parts[RC_SCHEMA_STRINGS]), value, where);
    case RC_JSON_NUMBER:
        return parts[RC_SCHEMA_NUMBERS] == 0 ? HOLDS
                                             : number_check(run, block_at(run, parts[RC_SCHEMA_NUMBERS]), value, where);
    default:
        return HOLDS;
    }
}

/* In each other as deep as the value is, times the schemas that look at one value; FRAMES_MAX ends it. */
static int node_check(struct run *run, uint32_t at, const struct rc_json_value *value, const struct where *where)
{
    const struct rc_schema_node *const node = block_at(run, at);
    if (!steps_left(run, value->type == RC_JSON_NUMBER ? value->raw.count * 4 : 0) || run->frames == FRAMES_MAX) {
        return EXHAUSTED;
    }
    if ((node->flags & RC_SCHEMA_NOTHING) != 0) {
        return fault_set(run, where, "false", "must not be there");
    }
    run->frames++;
    int rc = (node->flags & RC_SCHEMA_TYPED) != 0 ? type_check(run, node, value, where) : HOLDS;
    if (rc == HOLDS) {
        rc = constants_check(run, node, value, where);
    }
    if (rc == HOLDS) {
        rc = kind_check(run, node, value, where);
    }
    if (rc == HOLDS && node->parts[RC_SCHEMA_IN_PLACE] != 0) {
        rc = in_place_check(run, block_at(run, node->parts[RC_SCHEMA_IN_PLACE]), value, where);
    }
    run->frames--;
    return rc;
}

bool rc_json_schema_wants_array(const void *schema)
{
    const struct rc_schema_head *const head = schema;
    const struct rc_schema_node *const root = (const void *)((const uint8_t *)schema + head->root);
    return (root->flags & RC_SCHEMA_TYPED) != 0 && root->types == 1u << RC_JSON_ARRAY;
}

static int value_check(struct run *run, const struct rc_json_value *value)
{
    const struct rc_schema_head *const head = block_at(run, 0);
    struct rc_json_value name;
    const int twice = rc_json_repeats(value, &name, &run->steps);
    if (twice == 1) {
        return fault_set(run, NULL, "", "must not have the member %.*s twice",
                         (int)(name.raw.count < 100 ? name.raw.count : 0), (const char *)name.raw.bytes);
    }
    return twice < 0 ? EXHAUSTED : node_check(run, head->root, value, NULL);
}

enum rc_json_schema_result rc_json_schema_validate(const void *schema, struct rc_span json,
                                                   struct rc_json_schema_fault *fault)
{
    struct run run = {.block = schema, .fault = fault};
    struct rc_json_value value;
    const size_t most = (RC_JSON_SCHEMA_STEPS_MAX - RC_JSON_SCHEMA_STEPS_LEAST) / RC_JSON_SCHEMA_STEPS_BYTE;
    *fault = (struct rc_json_schema_fault){.keyword = ""};
    if (rc_json_scan(json, RC_JSON_CHECK_UTF8, &value, NULL) != 0) {
        (void)fault_set(&run, NULL, "", "must be JSON of at most %d arrays and objects in each other",
                        RC_JSON_DEPTH_MAX);
        return RC_JSON_SCHEMA_NO_JSON;
    }
    run.steps =
        RC_JSON_SCHEMA_STEPS_LEAST + RC_JSON_SCHEMA_STEPS_BYTE * (int64_t)(json.count < most ? json.count : most);
    const int rc = value_check(&run, &value);
    if (rc == EXHAUSTED) {
        run.quiet = 0;
        (void)fault_set(&run, NULL, "", "must be simpler: checking it takes too long");
        return RC_JSON_SCHEMA_LIMIT;
    }
    return rc == HOLDS ? RC_JSON_SCHEMA_VALID : RC_JSON_SCHEMA_INVALID;
}
