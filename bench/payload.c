/* payload: see payload.h. Runs once per delivery, next to the server under test: digits are converted 8 at a time. */
#include "bench/payload.h"

#include "common/base/check.h"

#include <stdio.h>
#include <string.h>

#define PATTERN_PERIOD 64u
#define PATTERN_CHUNK 1024u

#define PATTERN_1 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define PATTERN_4 PATTERN_1 PATTERN_1 PATTERN_1 PATTERN_1
#define PATTERN_16 PATTERN_4 PATTERN_4 PATTERN_4 PATTERN_4

/* One period more than a chunk, so that a chunk can start anywhere in the period. */
static const char pattern[] = PATTERN_16 PATTERN_1;
_Static_assert(sizeof(pattern) == PATTERN_CHUNK + PATTERN_PERIOD + 1, "a chunk and one period");

/* 8 hex digits, the most significant first, as the little-endian word that a store writes. */
static uint64_t hex_of(uint32_t value)
{
    uint64_t nibbles = __builtin_bswap32(value);
    /* Spread the bytes, then the nibbles, to one byte each; within a byte the high nibble comes first. */
    nibbles = (nibbles | nibbles << 16) & UINT64_C(0x0000ffff0000ffff);
    nibbles = (nibbles | nibbles << 8) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (nibbles >> 4 & UINT64_C(0x000f000f000f000f)) | (nibbles & UINT64_C(0x000f000f000f000f)) << 8;
    const uint64_t above_nine = (nibbles + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    return nibbles + UINT64_C(0x3030303030303030) + above_nine * 39; /* 'a' - '0' - 10 */
}

/* The inverse for 0-9 and a-f; anything else gives some value that the check then refuses. */
static uint32_t hex_to(uint64_t text)
{
    const uint64_t letter = text >> 6 & UINT64_C(0x0101010101010101);
    uint64_t nibbles = (text & UINT64_C(0x0f0f0f0f0f0f0f0f)) + letter * 9;
    nibbles &= UINT64_C(0x0f0f0f0f0f0f0f0f);
    nibbles = (nibbles << 4 | nibbles >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    nibbles = (nibbles | nibbles >> 8) & UINT64_C(0x0000ffff0000ffff);
    nibbles = nibbles | nibbles >> 16;
    return __builtin_bswap32((uint32_t)nibbles);
}

static uint32_t check_of(const struct rc_bench_payload *payload)
{
    uint64_t mixed = payload->scheduled_ns ^ ((uint64_t)payload->sequence << 32 | payload->stream);
    mixed = (mixed ^ mixed >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 29 ^ payload->scheduled_ns) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(mixed >> 40);
}

/* --- books ------------------------------------------------------------------------------------------------------------ */

#define BOOK_MARK '#'      /* not in the pattern */
#define LEVEL_BYTES 32u    /* "price quantity;" with what others say of a level */
#define LEVELS_IN_STEP 16u /* every so manieth level changes with a number */

/* Level `level` as it is behind number `sequence`: its price stays, its quantity is of the last number that changed it. */
static void level_write(char out[LEVEL_BYTES], uint32_t level, uint32_t sequence)
{
    const uint32_t since = (sequence - level) % LEVELS_IN_STEP;
    const uint32_t changed = sequence >= since ? sequence - since + 1 : 0;
    uint64_t mixed = ((uint64_t)level << 32 | changed) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 31;
    char text[64]; /* numbers are within their digits */
    snprintf(text, sizeof(text), "%c%06u.%02u %08u n%05u sd=%u;", BOOK_MARK, 64000 + level * 7, level % 100,
             (uint32_t)(mixed % 100000000), (uint32_t)(mixed >> 40) % 100000, level % 2);
    memcpy(out, text, LEVEL_BYTES);
}

static void book_write(char *out, size_t bytes, uint32_t sequence)
{
    char level[LEVEL_BYTES];
    for (size_t at = 0; at < bytes; at += LEVEL_BYTES) {
        level_write(level, (uint32_t)(at / LEVEL_BYTES), sequence);
        memcpy(out + at, level, bytes - at < LEVEL_BYTES ? bytes - at : LEVEL_BYTES);
    }
}

static bool book_is(const char *text, size_t bytes, uint32_t sequence)
{
    char level[LEVEL_BYTES];
    for (size_t at = 0; at < bytes; at += LEVEL_BYTES) {
        level_write(level, (uint32_t)(at / LEVEL_BYTES), sequence);
        if (memcmp(text + at, level, bytes - at < LEVEL_BYTES ? bytes - at : LEVEL_BYTES) != 0) {
            return false;
        }
    }
    return true;
}

/* --- payloads --------------------------------------------------------------------------------------------------------- */

void rc_bench_payload_write(char *out, size_t bytes, const struct rc_bench_payload *payload)
{
    RC_ASSERT(bytes >= RC_BENCH_PAYLOAD_BYTES_MIN && payload->stream <= RC_BENCH_STREAM_MAX &&
              payload->scheduled_ns <= RC_BENCH_TIME_NS_MAX);
    const uint32_t words[4] = {
        payload->stream << 8 | payload->sequence >> 24,
        payload->sequence << 8 | (uint32_t)(payload->scheduled_ns >> 40),
        (uint32_t)(payload->scheduled_ns >> 8),
        (uint32_t)(payload->scheduled_ns & 0xff) << 24 | check_of(payload),
    };
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t text = hex_of(words[i]);
        memcpy(out + i * 8, &text, 8);
    }
    if (payload->book) {
        book_write(out + RC_BENCH_PAYLOAD_BYTES_MIN, bytes - RC_BENCH_PAYLOAD_BYTES_MIN, payload->sequence);
        return;
    }
    const char *const start = pattern + payload->sequence % PATTERN_PERIOD;
    for (size_t at = RC_BENCH_PAYLOAD_BYTES_MIN; at < bytes; at += PATTERN_CHUNK) {
        memcpy(out + at, start, bytes - at < PATTERN_CHUNK ? bytes - at : PATTERN_CHUNK);
    }
}

bool rc_bench_payload_read(const char *text, size_t text_bytes, size_t bytes, struct rc_bench_payload *payload)
{
    if (text_bytes != bytes || bytes < RC_BENCH_PAYLOAD_BYTES_MIN) {
        return false;
    }
    uint32_t words[4];
    for (unsigned i = 0; i < 4; i++) {
        uint64_t digits;
        memcpy(&digits, text + i * 8, 8);
        words[i] = hex_to(digits);
    }
    payload->stream = words[0] >> 8;
    payload->sequence = words[0] << 24 | words[1] >> 8;
    payload->scheduled_ns = (uint64_t)(words[1] & 0xff) << 40 | (uint64_t)words[2] << 8 | words[3] >> 24;
    if ((words[3] & 0xffffff) != check_of(payload)) {
        return false;
    }
    payload->book = bytes > RC_BENCH_PAYLOAD_BYTES_MIN && text[RC_BENCH_PAYLOAD_BYTES_MIN] == BOOK_MARK;
    if (payload->book) {
        return book_is(text + RC_BENCH_PAYLOAD_BYTES_MIN, bytes - RC_BENCH_PAYLOAD_BYTES_MIN, payload->sequence);
    }
    const char *const start = pattern + payload->sequence % PATTERN_PERIOD;
    for (size_t at = RC_BENCH_PAYLOAD_BYTES_MIN; at < bytes; at += PATTERN_CHUNK) {
        if (memcmp(text + at, start, bytes - at < PATTERN_CHUNK ? bytes - at : PATTERN_CHUNK) != 0) {
            return false;
        }
    }
    return true;
}
