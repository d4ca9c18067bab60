/* Payloads of the load generator: what is written is read back, and whatever is changed is noticed. */
#include "bench/payload.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct rc_bench_payload samples[] = {
    {.stream = 0, .sequence = 0, .scheduled_ns = 0},
    {.stream = 1, .sequence = 2, .scheduled_ns = 3},
    {.stream = 0xabcdef, .sequence = 0x12345678, .scheduled_ns = UINT64_C(0xfedcba987654)},
    {.stream = RC_BENCH_STREAM_MAX, .sequence = UINT32_MAX, .scheduled_ns = RC_BENCH_TIME_NS_MAX},
};

Test(bench_payload, is_read_back_at_every_size)
{
    static char text[5000];
    for (size_t bytes = RC_BENCH_PAYLOAD_BYTES_MIN; bytes < sizeof(text); bytes += bytes < 2200 ? 1 : 97) {
        for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
            struct rc_bench_payload got;
            rc_bench_payload_write(text, bytes, &samples[i]);
            cr_assert(rc_bench_payload_read(text, bytes, bytes, &got));
            cr_assert_eq(got.stream, samples[i].stream);
            cr_assert_eq(got.sequence, samples[i].sequence);
            cr_assert_eq(got.scheduled_ns, samples[i].scheduled_ns);
        }
    }
}

Test(bench_payload, header_is_hexadecimal_in_the_order_documented)
{
    char text[33] = "";
    rc_bench_payload_write(text, 32, &samples[2]);
    cr_assert_eq(strncmp(text, "abcdef12345678fedcba987654", 26), 0, "%s", text);
}

Test(bench_payload, needs_no_escaping_in_json)
{
    char text[3000];
    rc_bench_payload_write(text, sizeof(text), &samples[2]);
    for (size_t i = 0; i < sizeof(text); i++) {
        cr_assert(text[i] > ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\');
    }
}

Test(bench_payload, any_changed_byte_is_noticed)
{
    char text[1200];
    for (size_t at = 0; at < sizeof(text); at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct rc_bench_payload got;
            rc_bench_payload_write(text, sizeof(text), &samples[2]);
            text[at] = (char)(text[at] ^ (1 << bit));
            /* A digit that only changes its case is the same digit. */
            const bool same = rc_bench_payload_read(text, sizeof(text), sizeof(text), &got) &&
                              got.sequence == samples[2].sequence && got.stream == samples[2].stream &&
                              got.scheduled_ns == samples[2].scheduled_ns;
            cr_assert(!rc_bench_payload_read(text, sizeof(text), sizeof(text), &got) || (same && at < 32),
                      "byte %zu bit %u", at, bit);
        }
    }
}

Test(bench_payload, wrong_length_is_noticed)
{
    char text[200];
    struct rc_bench_payload got;
    rc_bench_payload_write(text, 128, &samples[1]);
    cr_assert_not(rc_bench_payload_read(text, 127, 128, &got));
    cr_assert_not(rc_bench_payload_read(text, 0, 128, &got));
    cr_assert_not(rc_bench_payload_read(text, 31, 31, &got));
}

Test(bench_payload, padding_of_another_sequence_is_noticed)
{
    char text[128], other[128];
    struct rc_bench_payload got, next = samples[1];
    next.sequence++;
    rc_bench_payload_write(text, sizeof(text), &samples[1]);
    rc_bench_payload_write(other, sizeof(other), &next);
    memcpy(text + 32, other + 32, sizeof(text) - 32);
    cr_assert_not(rc_bench_payload_read(text, sizeof(text), sizeof(text), &got));
}

/* A book whose levels change four at a time: what is the same in two that follow each other is nearly all. */
Test(bench_payload, books_change_a_few_levels_with_each_number)
{
    char text[2080], next[2080];
    struct rc_bench_payload got;
    for (uint32_t sequence = 0; sequence < 40; sequence++) {
        rc_bench_payload_write(text, sizeof(text), &(struct rc_bench_payload){.sequence = sequence, .book = true});
        cr_assert(rc_bench_payload_read(text, sizeof(text), sizeof(text), &got) && got.book);
        rc_bench_payload_write(next, sizeof(next), &(struct rc_bench_payload){.sequence = sequence + 1, .book = true});
        uint32_t levels = 0;
        for (size_t at = 32; at < sizeof(text); at += 32) {
            levels += memcmp(text + at, next + at, 32) != 0;
        }
        cr_assert(levels >= 3 && levels <= 4, "%u levels changed behind %u", levels, sequence);
        memcpy(next, text, 32);
        cr_assert_not(rc_bench_payload_read(next, sizeof(next), sizeof(next), &got), "the book of another number");
    }
}
