/* event_schema: see event_schema.h. */
#include "worker/gate/event_schema.h"

#include <errno.h>
#include <stdbool.h>

#include "common/config/schemas.h"
#include "common/text/json_scan.h"

/* The first argument; false: there is none. */
static bool argument_first(struct rc_span args, struct rc_span *out)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    if (rc_json_array_begin(&cursor, args, 0) < 0 || rc_json_array_next(&cursor, &value) != 1) {
        return false;
    }
    *out = value.raw;
    return true;
}

enum rc_json_schema_result rc_event_schema_check(const struct rc_config *config, const struct rc_config_event *row,
                                                 struct rc_span args, struct rc_err *err)
{
    if (row->schema_at == 0) {
        return RC_JSON_SCHEMA_VALID;
    }
    const void *const schema = rc_config_schema_at(config, row->schema_at);
    const bool all = rc_json_schema_wants_array(schema);
    struct rc_span json = args.count > 0 ? args : RC_SPAN("[]");
    struct rc_json_schema_fault fault;
    if (!all && !argument_first(json, &json)) {
        (void)rc_err_set(err, -EINVAL, "args.0: must be there");
        return RC_JSON_SCHEMA_INVALID;
    }
    const enum rc_json_schema_result result = rc_json_schema_validate(schema, json, &fault);
    if (result != RC_JSON_SCHEMA_VALID) {
        (void)rc_err_set(err, -EINVAL, "args%s%s: %s", all ? "" : ".0", fault.path, fault.words);
    }
    return result;
}
