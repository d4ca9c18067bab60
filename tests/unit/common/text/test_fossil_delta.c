/* Deltas in Fossil's format: vectors, every cut of them, random edits, characters that stay whole, and how small they are. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/fossil_delta.h"
#include "common/text/json_scan.h"

static struct rc_fossil_encoder encoder;

static void close_encoder(void)
{
    rc_fossil_encoder_close(&encoder);
}

TestSuite(fossil_delta, .fini = close_encoder);

static uint8_t delta_bytes[4u << 20];
static uint8_t made_bytes[2u << 20];

/* The delta, which was applied and made the target. */
static struct rc_span delta_of(struct rc_span source, struct rc_span target, bool utf8)
{
    const size_t used = rc_fossil_encode(&encoder, source, target, utf8, delta_bytes, sizeof(delta_bytes));
    const struct rc_span delta = rc_span_of(delta_bytes, used);
    cr_assert_gt(used, 0);
    cr_assert_eq(rc_fossil_target_bytes(delta), target.count);
    cr_assert_eq(rc_fossil_apply(source, delta, made_bytes, target.count), 0);
    cr_assert(rc_span_equal(rc_span_of(made_bytes, target.count), target));
    return delta;
}

/* As other programs write and read them (checked against the package fossil-delta). */
Test(fossil_delta, vectors)
{
    const struct {
        const char *source;
        const char *target;
        const char *delta;
    } vectors[] = {
        {"", "", "0\n0;"},
        {"", "abc", "3\n3:abc1XObC0;"},
        {"abc", "", "0\n0;"},
        {"the quick brown fox", "the quick brown fox", "J\nJ@0,buHSL;"},
        {"the quick brown fox jumps", "the quick brown cat jumps", NULL},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct rc_span delta = delta_of(rc_span_text(vectors[i].source), rc_span_text(vectors[i].target), false);
        if (vectors[i].delta != NULL) {
            cr_assert(rc_span_equal(delta, rc_span_text(vectors[i].delta)), "%.*s", (int)delta.count, delta.bytes);
        }
    }
}

Test(fossil_delta, what_is_no_delta_is_refused)
{
    const struct rc_span source = RC_SPAN("no two words of it are the same, 1");
    const struct rc_span target = RC_SPAN("no two words of it XX are the same, 1 and more");
    uint8_t copy[256];
    const struct rc_span delta = delta_of(source, target, false);
    cr_assert_leq(delta.count, sizeof(copy));
    for (size_t bytes = 0; bytes < delta.count; bytes++) {
        cr_assert_eq(rc_fossil_apply(source, rc_span_of(delta.bytes, bytes), made_bytes, target.count), -EBADMSG);
    }
    for (size_t at = 0; at < delta.count; at++) { /* a wrong byte is a wrong number, target or checksum */
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, delta.bytes, delta.count);
            copy[at] ^= (uint8_t)(1u << bit);
            const int rc = rc_fossil_apply(source, rc_span_of(copy, delta.count), made_bytes, target.count);
            cr_assert(rc == -EBADMSG || rc_span_equal(rc_span_of(made_bytes, target.count), target));
        }
    }
    cr_assert_eq(rc_fossil_apply(RC_SPAN("another source of as many bytes ..."), delta, made_bytes, target.count),
                 -EBADMSG);
    cr_assert_eq(rc_fossil_apply(source, delta, made_bytes, target.count - 1), -EBADMSG);
    cr_assert_eq(rc_fossil_target_bytes(RC_SPAN("")), SIZE_MAX);
    cr_assert_eq(rc_fossil_target_bytes(RC_SPAN("3")), SIZE_MAX);
    cr_assert_eq(rc_fossil_target_bytes(RC_SPAN("\n")), SIZE_MAX);
    cr_assert_eq(rc_fossil_target_bytes(RC_SPAN("~~~~~~~\n")), SIZE_MAX);
    cr_assert_eq(rc_fossil_apply(source, RC_SPAN("4\n4@U,0;"), made_bytes, 4), -EBADMSG, "beyond the source's end");
    cr_assert_eq(rc_fossil_apply(source, RC_SPAN("4\n5:abcde0;"), made_bytes, 4), -EBADMSG);
}

Test(fossil_delta, random_edits)
{
    static uint8_t source[40000];
    static uint8_t target[60000];
    srand(3);
    for (unsigned round = 0; round < 3000; round++) {
        const unsigned letters = 1 + (unsigned)rand() % (round % 2 == 0 ? 3 : 250);
        const size_t bytes = (size_t)rand() % (round % 50 == 0 ? sizeof(source) : 600);
        for (size_t i = 0; i < bytes; i++) {
            source[i] = (uint8_t)((unsigned)rand() % letters);
        }
        size_t made = 0;
        while (made < bytes && rand() % 8 != 0) {
            if (rand() % 2 == 0) {
                const size_t from = (size_t)rand() % bytes;
                const size_t count = 1 + (size_t)rand() % (bytes - from);
                if (made + count > sizeof(target)) {
                    break;
                }
                memcpy(target + made, source + from, count);
                made += count;
            } else {
                target[made++] = (uint8_t)rand();
            }
        }
        (void)delta_of(rc_span_of(source, bytes), rc_span_of(target, made), false);
    }
}

Test(fossil_delta, characters_stay_whole)
{
    static const char *const words[] = {"größer", "日本語", "x", "пример", "🙂", "\"a\"", "12"};
    char source[2048];
    char target[2048];
    srand(4);
    for (unsigned round = 0; round < 2000; round++) {
        size_t s = 0;
        size_t t = 0;
        for (unsigned i = 0; i < 60; i++) {
            const char *word = words[rand() % 7];
            s += (size_t)snprintf(source + s, sizeof(source) - s, "%s", word);
            t += (size_t)snprintf(target + t, sizeof(target) - t, "%s", rand() % 10 == 0 ? words[rand() % 7] : word);
        }
        cr_assert(rc_json_utf8_valid(delta_of(rc_span_of(source, s), rc_span_of(target, t), true)));
    }
}

Test(fossil_delta, what_does_not_fit_is_not_written)
{
    const struct rc_span source = RC_SPAN("nothing of it is there");
    const struct rc_span target = RC_SPAN("ANOTHER TEXT ALTOGETHER, WHICH SHARES NO EIGHT BYTES");
    const size_t whole = delta_of(source, target, false).count;
    uint8_t out[128];
    memset(out, 0xaa, sizeof(out));
    for (size_t room = 0; room < whole; room++) {
        const size_t used = rc_fossil_encode(&encoder, source, target, false, out, room);
        cr_assert_leq(used, room);
        cr_assert_eq(out[room], 0xaa);
    }
    static uint8_t large[RC_FOSSIL_BYTES_MAX + 1];
    cr_assert_eq(rc_fossil_encode(&encoder, rc_span_of(large, sizeof(large)), target, false, delta_bytes, 1000), 0);
    cr_assert_eq(
        rc_fossil_encode(&encoder, source, rc_span_of(large, sizeof(large)), false, delta_bytes, sizeof(delta_bytes)),
        0);
}

/* A million equal bytes, and a million of a few patterns: what a chain of places is longest for. */
Test(fossil_delta, time_is_bounded, .timeout = 60)
{
    static uint8_t source[RC_FOSSIL_BYTES_MAX];
    static uint8_t target[RC_FOSSIL_BYTES_MAX];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(source); i++) {
            source[i] = (uint8_t)(round == 0 ? 'a' : i * i % (round == 1 ? 8 : 11));
            target[i] = (uint8_t)(i % 13 == 12 ? (unsigned)rand() : source[i]);
        }
        (void)rc_fossil_encode(&encoder, rc_span_of(source, sizeof(source)), rc_span_of(target, sizeof(target)), false,
                               delta_bytes, sizeof(delta_bytes));
    }
}
