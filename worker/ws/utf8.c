/*
 * UTF-8 validation. ASCII goes 64 bytes at a time; with SSSE3 everything else goes 16 at a time by the three table
 * look-ups of J. Keiser and D. Lemire, "Validating UTF-8 In Less Than One Instruction Per Byte" (2020); the ends of a
 * piece, and machines without SSSE3, go code point by code point.
 */
#include "worker/ws/utf8.h"

#include <errno.h>
#include <string.h>

#ifdef __x86_64__
#include <tmmintrin.h>
/* Compiled always and asked for at run time, unless the whole build may assume it (-march=x86-64-v2). */
#define SSSE3 __attribute__((target("ssse3")))
#ifdef __SSSE3__
#define HAVE_SSSE3() true
#else
#define HAVE_SSSE3() __builtin_cpu_supports("ssse3")
#endif
#endif

/*
 * The state says which byte may come next. After the first continuation byte every code point goes on in MORE_n.
 */
enum {
    BOUNDARY = 0,
    MORE_1 = 1, /* one more continuation byte, 80-BF */
    MORE_2 = 2,
    MORE_3 = 3,   /* after F1-F3 */
    AFTER_E0 = 4, /* A0-BF, then one more: below is overlong */
    AFTER_ED = 5, /* 80-9F, then one more: above are surrogates */
    AFTER_F0 = 6, /* 90-BF, then two more: below is overlong */
    AFTER_F4 = 7, /* 80-8F, then two more: above is beyond U+10FFFF */
    STATES = 8,
    INVALID = 255,
};

static const struct {
    uint8_t low, high, next;
} continuation[STATES] = {
    [MORE_1] = {0x80, 0xBF, BOUNDARY}, [MORE_2] = {0x80, 0xBF, MORE_1},   [MORE_3] = {0x80, 0xBF, MORE_2},
    [AFTER_E0] = {0xA0, 0xBF, MORE_1}, [AFTER_ED] = {0x80, 0x9F, MORE_1}, [AFTER_F0] = {0x90, 0xBF, MORE_2},
    [AFTER_F4] = {0x80, 0x8F, MORE_2},
};

/* The state after a byte that starts a code point. */
static inline uint8_t after_lead(uint8_t byte)
{
    if (byte < 0x80) {
        return BOUNDARY;
    }
    if (byte < 0xC2) {
        return INVALID; /* a continuation byte, or C0 and C1, which only overlong forms need */
    }
    if (byte < 0xE0) {
        return MORE_1;
    }
    if (byte < 0xF0) {
        return byte == 0xE0 ? AFTER_E0 : byte == 0xED ? AFTER_ED : MORE_2;
    }
    if (byte > 0xF4) {
        return INVALID;
    }
    return byte == 0xF0 ? AFTER_F0 : byte == 0xF4 ? AFTER_F4 : MORE_3;
}

static int feed_bytewise(uint8_t *state, const uint8_t *bytes, size_t n)
{
    uint8_t now = *state;
    for (size_t i = 0; i < n; i++) {
        if (now == BOUNDARY) {
            now = after_lead(bytes[i]);
            if (now == INVALID) {
                return -EILSEQ;
            }
        } else {
            if (bytes[i] < continuation[now].low || bytes[i] > continuation[now].high) {
                return -EILSEQ;
            }
            now = continuation[now].next;
        }
    }
    *state = now;
    return 0;
}

#ifdef __x86_64__

/*
 * What can be wrong with two neighbouring bytes, one bit each. A pair is wrong when all three of its tables (the first
 * byte's high and low half, the second's high half) agree on a bit.
 */
enum {
    TOO_SHORT = 1 << 0,      /* lead byte, then no continuation */
    TOO_LONG = 1 << 1,       /* ASCII, then a continuation */
    OVERLONG_3 = 1 << 2,     /* E0, then below A0 */
    TOO_LARGE = 1 << 3,      /* F4, then above 8F; F5 and more, then 90-BF */
    SURROGATE = 1 << 4,      /* ED, then above 9F */
    OVERLONG_2 = 1 << 5,     /* C0 or C1 */
    TOO_LARGE_1000 = 1 << 6, /* F5 and more, then 80-8F; shared with the next, whose first byte differs */
    OVERLONG_4 = 1 << 6,     /* F0, then below 90 */
    TWO_CONTINUATIONS = 1 << 7,
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS, /* decided by the high halves alone */
};

SSSE3 static inline __m128i utf8_table(const uint8_t values[16])
{
    return _mm_loadu_si128((const __m128i *)(const void *)values);
}

/* Nonzero bytes where `input`, whose predecessor in the text is `before`, is wrong. */
SSSE3 static inline __m128i block_errors(__m128i input, __m128i before)
{
    static const uint8_t first_high[16] = {
        TOO_LONG,
        TOO_LONG,
        TOO_LONG,
        TOO_LONG,
        TOO_LONG,
        TOO_LONG,
        TOO_LONG,
        TOO_LONG,
        TWO_CONTINUATIONS,
        TWO_CONTINUATIONS,
        TWO_CONTINUATIONS,
        TWO_CONTINUATIONS,
        TOO_SHORT | OVERLONG_2,
        TOO_SHORT,
        TOO_SHORT | OVERLONG_3 | SURROGATE,
        TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
    };
    static const uint8_t first_low[16] = {
        CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4,
        CARRY | OVERLONG_2,
        CARRY,
        CARRY,
        CARRY | TOO_LARGE,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
        CARRY | TOO_LARGE | TOO_LARGE_1000,
    };
    static const uint8_t second_high[16] = {
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
        TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | OVERLONG_3 | TOO_LARGE,
        TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | SURROGATE | TOO_LARGE,
        TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | SURROGATE | TOO_LARGE,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
    };
    const __m128i half = _mm_set1_epi8(0x0F);
    __m128i first = _mm_alignr_epi8(input, before, 15);
    __m128i wrong = _mm_shuffle_epi8(utf8_table(first_high), _mm_and_si128(_mm_srli_epi16(first, 4), half));
    wrong = _mm_and_si128(wrong, _mm_shuffle_epi8(utf8_table(first_low), _mm_and_si128(first, half)));
    wrong =
        _mm_and_si128(wrong, _mm_shuffle_epi8(utf8_table(second_high), _mm_and_si128(_mm_srli_epi16(input, 4), half)));

    /* Two continuations in a row are right exactly where a three- or four-byte lead stands two or three before. */
    __m128i third = _mm_subs_epu8(_mm_alignr_epi8(input, before, 14), _mm_set1_epi8((char)(0xE0 - 0x80)));
    __m128i fourth = _mm_subs_epu8(_mm_alignr_epi8(input, before, 13), _mm_set1_epi8((char)(0xF0 - 0x80)));
    __m128i must_continue = _mm_and_si128(_mm_or_si128(third, fourth), _mm_set1_epi8((char)TWO_CONTINUATIONS));
    return _mm_xor_si128(wrong, must_continue);
}

/* How many of the last bytes before `end` begin a code point that is not complete there: 0 to 3. At least 3 precede. */
static inline size_t incomplete_tail(const uint8_t *end)
{
    if (end[-1] >= 0xC0) {
        return 1;
    }
    if (end[-2] >= 0xE0) {
        return 2;
    }
    if (end[-3] >= 0xF0) {
        return 3;
    }
    return 0;
}

/* Checks whole blocks from a boundary on. Returns the bytes that are checked, up to a boundary, or -1 if invalid. */
SSSE3 static ptrdiff_t check_blocks(const uint8_t *bytes, size_t n)
{
    __m128i before = _mm_setzero_si128();
    __m128i wrong = _mm_setzero_si128();
    size_t at = 0;

    for (; n - at >= 16; at += 16) {
        __m128i input = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
        wrong = _mm_or_si128(wrong, block_errors(input, before));
        before = input;
        /* Looked at once per KiB: a broken text is found soon, a sound one pays next to nothing. */
        if ((at & 1023) == 1008 && _mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xFFFF) {
            return -1;
        }
    }
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xFFFF) {
        return -1;
    }
    return (ptrdiff_t)(at - incomplete_tail(bytes + at));
}

#endif

/* Bytes of plain ASCII at the start, in whole blocks. */
static inline size_t ascii_blocks(const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    for (; n - at >= 64; at += 64) {
        uint64_t words[8];
        memcpy(words, bytes + at, sizeof(words));
        uint64_t all = 0;
        for (int i = 0; i < 8; i++) {
            all |= words[i];
        }
        if (all & 0x8080808080808080u) {
            break;
        }
    }
    for (; n - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof(word));
        if (word & 0x8080808080808080u) {
            break;
        }
    }
    return at;
}

int rc_utf8_feed(uint8_t *state, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    /* Finish the code point that the piece before began. */
    while (*state != BOUNDARY && at < n) {
        if (feed_bytewise(state, bytes + at, 1) < 0) {
            return -EILSEQ;
        }
        at++;
    }
    at += ascii_blocks(bytes + at, n - at);
#ifdef __x86_64__
    if (n - at >= 16 && HAVE_SSSE3()) {
        ptrdiff_t checked = check_blocks(bytes + at, n - at);
        if (checked < 0) {
            return -EILSEQ;
        }
        at += (size_t)checked;
    }
#endif
    return feed_bytewise(state, bytes + at, n - at);
}
