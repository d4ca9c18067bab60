/*
 * json_schema_place: what json_schema_build.c (the walk) and json_schema_keywords.c (what each keyword says) share while a schema is
 * compiled: the block, and where in the schema they are. Owned by rc_json_schema_compile for the time of its call.
 */
#ifndef RC_COMMON_TEXT_JSON_SCHEMA_PLACE_H
#define RC_COMMON_TEXT_JSON_SCHEMA_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text/json_scan.h"
#include "common/text/json_schema.h"
#include "common/text/json_schema_layout.h"

#define RC_SCHEMA_WAYS_MAX 4096u /* from a schema to those that look at the same value */

/* A schema in the schema, in the order in which they are compiled. */
struct rc_schema_place {
    struct rc_json_value value; /* borrowed from the text */
    uint32_t node;
    uint32_t parent;      /* index of the one it stands in, UINT32_MAX: none, or not known */
    struct rc_span where; /* borrowed: its keyword there; without a parent its JSON pointer, but for the first "/" */
    struct rc_span name;  /* borrowed: within its keyword, as written; .bytes NULL: none */
    uint32_t index;       /* within its keyword, UINT32_MAX: none */
};

struct rc_schema_way {
    uint16_t from;
    uint16_t to;
};

struct rc_schema_build {
    struct rc_json_value root;
    uint8_t *out; /* borrowed */
    size_t capacity;
    size_t used;
    struct rc_json_schema_error *error; /* borrowed */
    uint32_t place_count;
    uint32_t current; /* place that is compiled */
    struct rc_schema_place places[RC_JSON_SCHEMA_NODES_MAX];
    uint32_t way_count;
    struct rc_schema_way ways[RC_SCHEMA_WAYS_MAX];
    /* of the schema that is compiled, until its names are in their order */
    uint32_t name_count;
    struct rc_schema_name names[RC_SCHEMA_NAMES_MAX];
    uint32_t required_count;
    uint32_t required[RC_SCHEMA_NAMES_MAX];
    uint32_t dependent_required_count;
    struct rc_schema_pair dependent_required[RC_SCHEMA_NAMES_MAX];
    uint32_t dependent_schemas_count;
    struct rc_schema_pair dependent_schemas[RC_SCHEMA_NAMES_MAX];
};

/* What one keyword does: 0 or a negative errno, with the error said. */
struct rc_schema_keyword {
    const char *name;
    int (*compile)(struct rc_schema_build *build, const struct rc_schema_keyword *keyword, struct rc_schema_node *node,
                   const struct rc_json_value *value);
    enum rc_schema_part part; /* of the node */
    uint32_t member;          /* offset in its struct */
    bool in_place;            /* its schemas look at the same value */
    const char *words;        /* UNSUPPORTED: what to do instead */
};

/* NULL: there is none of that name. */
const struct rc_schema_keyword *rc_schema_keyword_find(const struct rc_json_value *name);

/* Says what is wrong with the current schema's keyword (empty: with the schema) and returns -EINVAL. */
int rc_schema_refuse(struct rc_schema_build *build, struct rc_span keyword, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Room in the block, aligned to 4, zeroed. */
int rc_schema_room(struct rc_schema_build *build, size_t bytes, uint32_t *at);
/* The node's part, made when it is first asked for; NULL: no room is left. */
void *rc_schema_part(struct rc_schema_build *build, struct rc_schema_node *node, enum rc_schema_part part);
/* A copy of the text in the block. */
int rc_schema_text(struct rc_schema_build *build, struct rc_span text, struct rc_schema_list *list);
/* A string, decoded; at most `bytes_max` bytes of it. */
int rc_schema_string(struct rc_schema_build *build, struct rc_span keyword, const struct rc_json_value *value,
                     size_t bytes_max, struct rc_schema_list *list);

/* The node of a schema that stands in a keyword of the current one. */
int rc_schema_child(struct rc_schema_build *build, const struct rc_schema_place *place, bool in_place, uint32_t *node);
/* Of the one that `reference`, decoded ("#/$defs/name"), names. */
int rc_schema_reference(struct rc_schema_build *build, struct rc_span keyword, struct rc_span reference,
                        uint32_t *node);

#endif
