/*
 * json_equal: are values of JSON the same, whatever way they are written?
 *
 * As JSON Schema has it: numbers by their value, strings by their characters, arrays in their order, objects whatever the order of their
 * members. All text is what a scanner (json_scan.h) has let through; nothing is allocated or copied. `*steps` is what may be done: it
 * goes down by one for about 16 bytes looked at, and at less than 0 the answer is -EOVERFLOW. Pure but for that; any process may call.
 */
#ifndef RC_COMMON_TEXT_JSON_EQUAL_H
#define RC_COMMON_TEXT_JSON_EQUAL_H

#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_scan.h"

/* 1, 0, or -EOVERFLOW. */
int rc_json_equal(const struct rc_json_value *a, const struct rc_json_value *b, int64_t *steps);

/* Does any object in the value, however deep, have two members of one name? 1 with the later one's name; 0; -EOVERFLOW. */
int rc_json_repeats(const struct rc_json_value *value, struct rc_json_value *name, int64_t *steps);

/* Does the array have an element twice? 1 with the later one's index; 0; -EOVERFLOW. Both find it by hashes of 64 bits, under a secret:
 * values that are not the same are taken for it as good as never. */
int rc_json_array_repeats(struct rc_span array, uint32_t *index, int64_t *steps);

#endif
