/*
 * json_schema_layout: what rc_json_schema_compile makes and rc_json_schema_validate reads.
 *
 *   struct rc_schema_head │ nodes, one for each schema in the schema, and what they name: lists, texts, regular expressions
 *
 * Places are offsets from the head, all aligned to 4 but texts; 0 is none. Nothing in it depends on where it lies. What was compiled is
 * trusted: only this program's compiler writes it, and the segment it lies in is sealed.
 */
#ifndef RC_COMMON_TEXT_JSON_SCHEMA_LAYOUT_H
#define RC_COMMON_TEXT_JSON_SCHEMA_LAYOUT_H

#include <stdint.h>

#define RC_SCHEMA_NAMES_MAX 512u /* names that one schema says something about */
#define RC_SCHEMA_NAME_BYTES_MAX 255u
#define RC_SCHEMA_NONE UINT32_MAX /* a number that was not given */

/* Bits of rc_schema_node.types, by enum rc_json_type, and for whole numbers alone. */
#define RC_SCHEMA_INTEGER (1u << 16)

/* Bits of rc_schema_node.flags. */
#define RC_SCHEMA_NOTHING 1u /* the schema `false` */
#define RC_SCHEMA_TYPED 2u
#define RC_SCHEMA_ENUM 4u

struct rc_schema_head {
    uint32_t bytes;
    uint32_t root; /* struct rc_schema_node */
};

struct rc_schema_list {
    uint32_t at;
    uint32_t count;
};

/* A node for a name, a regular expression or another name. */
struct rc_schema_pair {
    uint32_t key; /* names: index in `names`; patterns: where the program is */
    uint32_t to;  /* where a node is; dependentRequired: index in `names` */
};

struct rc_schema_name {
    struct rc_schema_list text; /* decoded */
    uint32_t node;              /* of `properties` */
};

/* What a node says about values of one type, and by other schemas; members that are all ones where nothing is said stand first. */
struct rc_schema_numbers {
    /* as they were written; count 0: none */
    struct rc_schema_list minimum;
    struct rc_schema_list maximum;
    struct rc_schema_list exclusive_minimum;
    struct rc_schema_list exclusive_maximum;
    struct rc_schema_list multiple_of;
};

struct rc_schema_strings {
    uint32_t max_length;
    uint32_t min_length;
    uint32_t pattern; /* struct rc_regex_program */
    struct rc_schema_list pattern_text;
    uint32_t format; /* rc_json_format_find */
};

struct rc_schema_arrays {
    uint32_t max_items;
    uint32_t min_contains;
    uint32_t max_contains;
    uint32_t min_items;
    uint32_t unique;
    uint32_t items;                     /* node */
    uint32_t contains;                  /* node */
    struct rc_schema_list prefix_items; /* of nodes */
};

struct rc_schema_objects {
    uint32_t max_properties;
    uint32_t min_properties;
    uint32_t additional;                      /* node */
    uint32_t property_names;                  /* node */
    struct rc_schema_list names;              /* struct rc_schema_name[], by size, then by bytes */
    struct rc_schema_list required;           /* uint32_t[]: indexes in `names` */
    struct rc_schema_list dependent_required; /* struct rc_schema_pair[] */
    struct rc_schema_list dependent_schemas;  /* struct rc_schema_pair[] */
    struct rc_schema_list pattern_properties; /* struct rc_schema_pair[] */
};

/* Schemas that look at the same value. */
struct rc_schema_in_place {
    uint32_t ref; /* nodes, as the next four: if, then, else */
    uint32_t negated;
    uint32_t condition;
    uint32_t then;
    uint32_t otherwise;
    struct rc_schema_list all_of; /* lists of nodes */
    struct rc_schema_list any_of;
    struct rc_schema_list one_of;
};

enum rc_schema_part {
    RC_SCHEMA_NUMBERS,
    RC_SCHEMA_STRINGS,
    RC_SCHEMA_ARRAYS,
    RC_SCHEMA_OBJECTS,
    RC_SCHEMA_IN_PLACE,
    RC_SCHEMA_PART_COUNT,
};

struct rc_schema_node {
    uint32_t flags;
    uint32_t types;                       /* of RC_SCHEMA_TYPED */
    struct rc_schema_list enums;          /* of RC_SCHEMA_ENUM: struct rc_schema_list[], JSON texts */
    struct rc_schema_list constant;       /* JSON text; count 0: none */
    uint32_t parts[RC_SCHEMA_PART_COUNT]; /* where the structs above are, 0: it says nothing there */
};

#endif
