/*
 * json_path: a part of a JSON value by its name, its number, or the way to it.
 *
 * Pure; nothing is built, what is found lies in what is searched. What is not there, also because the text is no JSON of that kind, has
 * the type RC_JSON_NONE.
 */
#ifndef RC_COMMON_TEXT_JSON_PATH_H
#define RC_COMMON_TEXT_JSON_PATH_H

#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_scan.h"

/* The member of that name; of several the last, as in JavaScript. */
struct rc_json_value rc_json_member(struct rc_span object, struct rc_span name);
/* The same, whatever the case of ASCII letters; names with escapes are not found. */
struct rc_json_value rc_json_member_nocase(struct rc_span object, struct rc_span name);
/* The `index`th element. */
struct rc_json_value rc_json_element(struct rc_span array, uint64_t index);
/* "a.0.b": names of members and numbers of elements with dots between; empty: the value itself. */
struct rc_json_value rc_json_path(struct rc_json_value value, struct rc_span path);

#endif
