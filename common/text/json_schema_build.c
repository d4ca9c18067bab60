/* json_schema_build: a schema walked, breadth first, so that references and recursion need nothing of their own; see json_schema.h. */
#include "common/text/json_schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/json_equal.h"
#include "common/text/json_schema_place.h"

#define IN_PLACE_MAX 32u /* schemas that look at one value by way of each other */

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
