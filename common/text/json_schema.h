/*
 * json_schema: JSON Schema, draft 2020-12 (json-schema.org/draft/2020-12), compiled once and checked against JSON as it came.
 *
 * A schema becomes one block without pointers, which may lie in memory that processes share at different addresses. Checking builds no
 * tree of the value and allocates nothing. Keywords, bounds and what is refused when a schema is compiled: docs/rules.md.
 *
 * What a value can cost is bounded by steps, of which one is a value looked at by a schema, about 16 bytes scanned, or one instruction
 * of a regular expression: RC_JSON_SCHEMA_STEPS_LEAST and RC_JSON_SCHEMA_STEPS_BYTE for each byte of the value, at most
 * RC_JSON_SCHEMA_STEPS_MAX. So it is linear in the value's size whatever the schema does with it. A value that asks for more is refused
 * (RC_JSON_SCHEMA_LIMIT), never let through.
 *
 * Members that occur twice: the value is refused, as readers do not agree on which one counts. Any process may call.
 */
#ifndef RC_COMMON_TEXT_JSON_SCHEMA_H
#define RC_COMMON_TEXT_JSON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_JSON_SCHEMA_TEXT_MAX (64u * 1024u) /* bytes of a schema */
#define RC_JSON_SCHEMA_NODES_MAX 1024u        /* schemas in a schema */
#define RC_JSON_SCHEMA_STEPS_LEAST 100000
#define RC_JSON_SCHEMA_STEPS_BYTE 32
#define RC_JSON_SCHEMA_STEPS_MAX 4000000
#define RC_JSON_SCHEMA_PATH_MAX 128u /* bytes of a fault's path, NUL included */
#define RC_JSON_SCHEMA_WORDS_MAX 160u

struct rc_json_schema_error {
    char pointer
        [RC_JSON_SCHEMA_PATH_MAX]; /* JSON pointer (RFC 6901) into the schema, "" is all of it; its end where it is longer */
    char what[256];                /* what is wrong, and what to do */
};

/* Writes the compiled schema to `out`, which is aligned to 4, and its size to *bytes. 0; -EINVAL with `error` filled; -ENOBUFS more than
 * `capacity`; -ENOMEM. The same text compiles to the same bytes. */
int rc_json_schema_compile(struct rc_span text, void *out, size_t capacity, size_t *bytes,
                           struct rc_json_schema_error *error);

enum rc_json_schema_result {
    RC_JSON_SCHEMA_VALID,
    RC_JSON_SCHEMA_INVALID,
    RC_JSON_SCHEMA_LIMIT,   /* it would take more steps than there may be */
    RC_JSON_SCHEMA_NO_JSON, /* not JSON, not UTF-8, or too deep (json_scan.h) */
};

/* What is wrong with a value; NUL-terminated texts. */
struct rc_json_schema_fault {
    char path
        [RC_JSON_SCHEMA_PATH_MAX]; /* where in the value: ".0.symbol", "" is all of it; its beginning where it is longer */
    const char *keyword;           /* static: the keyword that does not hold, "" for what is none */
    char words[RC_JSON_SCHEMA_WORDS_MAX]; /* "must be at least 1 character" */
};

/* The compiled schema's type at its top is "array" alone? */
bool rc_json_schema_wants_array(const void *schema);

enum rc_json_schema_result rc_json_schema_validate(const void *schema, struct rc_span json,
                                                   struct rc_json_schema_fault *fault);

#endif
