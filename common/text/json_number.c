/* json_number: see json_number.h. */
#include "common/text/json_number.h"

#define EXPONENT_MAX INT64_C(1000000000000000000)
#define DIVISOR_DIGITS_MAX 18u
#define HASH_FACTOR UINT64_C(0x9e3779b97f4a7c15) /* odd, its bits spread: 2^64 by the golden ratio */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The next digit, the point passed over. */
static uint8_t digit_take(const uint8_t **at)
{
    *at += **at == '.';
    return (uint8_t)(*(*at)++ - '0');
}

/* Behind "e". */
static int64_t exponent_read(const uint8_t *at, const uint8_t *end)
{
    const bool negative = at < end && *at == '-';
    int64_t exponent = 0;
    at += at < end && (*at == '-' || *at == '+');
    for (; at < end && is_digit(*at); at++) {
        exponent = exponent >= EXPONENT_MAX / 10 ? EXPONENT_MAX : exponent * 10 + (*at - '0');
    }
    return negative ? -exponent : exponent;
}

struct rc_json_number rc_json_number_read(struct rc_span text)
{
    struct rc_json_number number = {.digits = text.bytes};
    const uint8_t *at = text.bytes;
    const uint8_t *const end = text.bytes + text.count;
    bool fraction = false;
    uint64_t zeros = 0; /* behind the last digit that is none */
    number.negative = at < end && *at == '-';
    for (at += number.negative; at < end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        if (number.digit_count == 0 && *at == '0') {
            number.exponent -= fraction; /* zeros that lead say nothing but where the point is */
            continue;
        }
        if (number.digit_count == 0) {
            number.digits = at;
        }
        number.exponent += !fraction;
        if (*at == '0') {
            zeros++;
        } else {
            number.digit_count += zeros + 1;
            zeros = 0;
        }
    }
    if (number.digit_count == 0) {
        return (struct rc_json_number){.digits = text.bytes};
    }
    if (at < end) {
        number.exponent += exponent_read(at + 1, end);
    }
    return number;
}

static int magnitude_compare(const struct rc_json_number *a, const struct rc_json_number *b)
{
    const uint8_t *left = a->digits;
    const uint8_t *right = b->digits;
    const uint64_t both = a->digit_count < b->digit_count ? a->digit_count : b->digit_count;
    if (a->digit_count == 0 || b->digit_count == 0) {
        return (a->digit_count > 0) - (b->digit_count > 0);
    }
    if (a->exponent != b->exponent) {
        return a->exponent < b->exponent ? -1 : 1;
    }
    for (uint64_t i = 0; i < both; i++) {
        const int order = digit_take(&left) - digit_take(&right);
        if (order != 0) {
            return order;
        }
    }
    return (a->digit_count > both) - (b->digit_count > both);
}

int rc_json_number_compare(const struct rc_json_number *a, const struct rc_json_number *b)
{
    if (a->negative != b->negative) {
        return a->negative ? -1 : 1;
    }
    return a->negative ? -magnitude_compare(a, b) : magnitude_compare(a, b);
}

bool rc_json_number_integer(const struct rc_json_number *number)
{
    return number->digit_count == 0 || (number->exponent > 0 && number->digit_count <= (uint64_t)number->exponent);
}

bool rc_json_number_divisor(const struct rc_json_number *number, uint64_t *digits)
{
    const uint8_t *at = number->digits;
    *digits = 0;
    if (number->negative || number->digit_count == 0 || number->digit_count > DIVISOR_DIGITS_MAX) {
        return false;
    }
    for (uint64_t i = 0; i < number->digit_count; i++) {
        *digits = *digits * 10 + digit_take(&at);
    }
    return true;
}

static uint64_t product_modulo(uint64_t a, uint64_t b, uint64_t modulus)
{
    return (uint64_t)((unsigned __int128)a * b % modulus);
}

bool rc_json_number_multiple(const struct rc_json_number *number, const struct rc_json_number *divisor)
{
    uint64_t modulus;
    uint64_t rest = 0;
    const uint8_t *at = number->digits;
    if (number->digit_count == 0) {
        return true;
    }
    if (!rc_json_number_divisor(divisor, &modulus)) {
        return false;
    }
    /* Both are whole digits × 10^n. Where the number's n is the smaller one, its last digit, which is not 0, is in the way. */
    const int64_t more =
        (number->exponent - (int64_t)number->digit_count) - (divisor->exponent - (int64_t)divisor->digit_count);
    if (more < 0) {
        return false;
    }
    for (uint64_t i = 0; i < number->digit_count; i++) {
        rest = (uint64_t)(((unsigned __int128)rest * 10 + digit_take(&at)) % modulus);
    }
    uint64_t power = 10 % modulus;
    for (uint64_t left = (uint64_t)more; left > 0; left >>= 1) {
        if ((left & 1) != 0) {
            rest = product_modulo(rest, power, modulus);
        }
        power = product_modulo(power, power, modulus);
    }
    return rest == 0;
}

uint64_t rc_json_number_hash(const struct rc_json_number *number)
{
    uint64_t hash = ((uint64_t)number->exponent * 2 + number->negative) * HASH_FACTOR;
    const uint8_t *at = number->digits;
    for (uint64_t i = 0; i < number->digit_count; i++) {
        hash = (hash ^ hash >> 29 ^ digit_take(&at)) * HASH_FACTOR;
    }
    return hash;
}
