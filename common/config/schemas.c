/* schemas: see schemas.h. */
#include "common/config/schemas.h"

#include <errno.h>
#include <string.h>

#include "common/base/span.h"
#include "common/text/json_schema.h"

_Static_assert(RC_CONFIG_SCHEMA_BYTES_MAX == RC_JSON_SCHEMA_TEXT_MAX, "a file is read as far as a schema goes");

/* So that no place is 0. */
#define FIRST_PLACE 8u

/* Letters, digits, "_" and "-": what TOML takes for a key without quotes. */
static bool name_valid(struct rc_span name)
{
    for (size_t i = 0; i < name.count; i++) {
        const uint8_t byte = name.bytes[i];
        if (!((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') && !(byte >= '0' && byte <= '9') && byte != '_' &&
            byte != '-') {
            return false;
        }
    }
    return name.count >= 1 && name.count <= RC_CONFIG_SCHEMA_NAME_MAX;
}

int rc_config_schema_add(struct rc_config *config, const char *name_text, size_t name_bytes, const char *json_text,
                         size_t json_bytes, struct rc_err *err)
{
    const struct rc_span name = rc_span_of(name_text, name_bytes);
    const struct rc_span json = rc_span_of(json_text, json_bytes);
    struct rc_schema_store *const store = &config->schema_store;
    struct rc_json_schema_error error;
    if (!name_valid(name)) {
        return rc_err_set(err, -EINVAL, "a schema's name has 1 to %d letters, digits, _ and -",
                          RC_CONFIG_SCHEMA_NAME_MAX);
    }
    if (config->schemas_count == RC_CONFIG_SCHEMAS_MAX) {
        return rc_err_set(err, -EINVAL, "more than %d schemas", RC_CONFIG_SCHEMAS_MAX);
    }
    struct rc_config_schemas *const schema = &config->schemas[config->schemas_count];
    size_t used = store->bytes == 0 ? FIRST_PLACE : store->bytes;
    size_t bytes = 0;
    memset(schema, 0, sizeof(*schema));
    memcpy(schema->name, name.bytes, name.count);
    schema->at = (uint32_t)used;
    int rc = rc_json_schema_compile(json, store->memory + used, sizeof(store->memory) - used, &bytes, &error);
    used += bytes;
    if (rc == -ENOBUFS || (rc == 0 && json.count > sizeof(store->memory) - used)) {
        return rc_err_set(err, -EINVAL, "the schemas are too large together (%u bytes with what they are compiled to)",
                          RC_SCHEMA_STORE_BYTES);
    }
    if (rc == -ENOMEM) {
        return rc_err_set(err, rc, "not enough memory");
    }
    if (rc != 0) {
        return rc_err_set(err, -EINVAL, "at \"%s\" of the schema: %s", error.pointer, error.what);
    }
    schema->source = (uint32_t)used;
    schema->source_bytes = (uint32_t)json.count;
    memcpy(store->memory + used, json.bytes, json.count);
    used = (used + json.count + 7) & ~(size_t)7;
    store->bytes = (uint32_t)(used < sizeof(store->memory) ? used : sizeof(store->memory));
    config->schemas_count++;
    return 0;
}

uint32_t rc_config_schema_find(const struct rc_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->schemas_count; i++) {
        if (strcmp(name, config->schemas[i].name) == 0) {
            return config->schemas[i].at;
        }
    }
    return 0;
}

const void *rc_config_schema_at(const struct rc_config *config, uint32_t at)
{
    return config->schema_store.memory + at;
}

const char *rc_config_schema_source(const struct rc_config *config, const struct rc_config_schemas *schema)
{
    return (const char *)config->schema_store.memory + schema->source;
}

bool rc_config_schemas_equal(const struct rc_config *a, const struct rc_config *b)
{
    /* The same texts compile to the same bytes. */
    return a->schemas_count == b->schemas_count && a->schema_store.bytes == b->schema_store.bytes &&
           memcmp(a->schemas, b->schemas, a->schemas_count * sizeof(a->schemas[0])) == 0 &&
           memcmp(a->schema_store.memory, b->schema_store.memory, a->schema_store.bytes) == 0;
}
