/*
 * json_number: numbers of JSON compared as they are written, however long they are: no digit is lost to a float.
 *
 * A number is what the grammar of RFC 8259 section 6 lets through (json_scan.h), borrowed. Pure; any process may call. The time is that
 * of reading the digits once. Exponents beyond ±10^18 count as that.
 */
#ifndef RC_COMMON_TEXT_JSON_NUMBER_H
#define RC_COMMON_TEXT_JSON_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"

/* 0.d1d2d3… × 10^exponent, the first and the last digit not 0. */
struct rc_json_number {
    const uint8_t *digits; /* borrowed: the first one; among them there may be a "." */
    uint64_t digit_count;  /* 0: the number is 0 */
    int64_t exponent;
    bool negative;
};

struct rc_json_number rc_json_number_read(struct rc_span text);

/* Below 0, 0, above 0, as a is below, equal to, above b. */
int rc_json_number_compare(const struct rc_json_number *a, const struct rc_json_number *b);

/* 1.0 and 1e2 are integers. */
bool rc_json_number_integer(const struct rc_json_number *number);

/* A divisor's digits as a number: false when it is not above 0 or has more than 18 of them. */
bool rc_json_number_divisor(const struct rc_json_number *number, uint64_t *digits);

/* Is it `divisor` (rc_json_number_divisor) times an integer? */
bool rc_json_number_multiple(const struct rc_json_number *number, const struct rc_json_number *divisor);

/* The same for equal numbers. */
uint64_t rc_json_number_hash(const struct rc_json_number *number);

#endif
