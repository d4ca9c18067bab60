/*
 * schemas: [schemas] of a configuration: JSON Schemas by name, compiled when the file is read.
 *
 * The configuration holds their texts, to show them, and what they were compiled to (common/text/json_schema.h), by place in one store.
 * The acceptor adds to it, any process may read.
 */
#ifndef RC_COMMON_CONFIG_SCHEMAS_H
#define RC_COMMON_CONFIG_SCHEMAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/values.h"

/* Adds one. -EINVAL or -ENOMEM with what is wrong, and where in the schema, in `err`. */
int rc_config_schema_add(struct rc_config *config, const char *name, size_t name_bytes, const char *json,
                         size_t json_bytes, struct rc_err *err);

/* Where what it was compiled to is, 0: there is none of that name. */
uint32_t rc_config_schema_find(const struct rc_config *config, const char *name);
/* What is there. */
const void *rc_config_schema_at(const struct rc_config *config, uint32_t at);

/* Its JSON as the file had it, source_bytes of it. */
const char *rc_config_schema_source(const struct rc_config *config, const struct rc_config_schemas *schema);

bool rc_config_schemas_equal(const struct rc_config *a, const struct rc_config *b);

#endif
