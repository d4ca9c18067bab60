/*
 * json_format: the texts that JSON Schema's keyword `format` names (draft 2020-12, Validation, section 7.3).
 *
 * Pure; any process may call. The text is decoded UTF-8 of at most RC_JSON_FORMAT_BYTES_MAX bytes.
 */
#ifndef RC_COMMON_TEXT_JSON_FORMAT_H
#define RC_COMMON_TEXT_JSON_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_JSON_FORMAT_BYTES_MAX 2048u

/* Index + 1 in the table of formats, 0: there is none of that name. */
uint32_t rc_json_format_find(struct rc_span name);
/* "date-time"; `format` is one that rc_json_format_find gave. */
const char *rc_json_format_name(uint32_t format);
/* All names, with ", " between them; static. */
const char *rc_json_format_names(void);

bool rc_json_format_valid(uint32_t format, struct rc_span text);

#endif
