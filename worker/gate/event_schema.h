/*
 * event_schema: does an event say what its row's schema asks for?
 *
 * Pure; nothing allocates. The schema, if its type is "array" and nothing else, is about the list of arguments, else about the first one.
 * A binary attachment is {"_placeholder":true,"num":n} to it.
 */
#ifndef RC_WORKER_GATE_EVENT_SCHEMA_H
#define RC_WORKER_GATE_EVENT_SCHEMA_H

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"
#include "common/text/json_schema.h"

/* `args`: the JSON array of the arguments, empty: there are none. VALID where the row has no schema; else `err` says what is wrong, for
 * the client: "args.0.symbol: must be at least 1 character". */
enum rc_json_schema_result rc_event_schema_check(const struct rc_config *config, const struct rc_config_event *row,
                                                 struct rc_span args, struct rc_err *err);

#endif
