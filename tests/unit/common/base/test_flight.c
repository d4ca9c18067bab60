/* The ring of the last records: numbers, wrapping, cut records, and a writer that dies in the middle of one. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/flight.h"

#define COUNT 8u

RC_FLIGHT_RING(ring, COUNT);
static struct ring ring;
static uint8_t out[RC_FLIGHT_BYTES];

static void put(const char *text)
{
    rc_flight_put(&ring.head, ring.entries, COUNT, text, strlen(text));
}

static void clear(void)
{
    memset(&ring, 0, sizeof(ring));
}

TestSuite(flight, .init = clear);

Test(flight, nothing_is_there_before_the_first_record)
{
    cr_assert_eq(rc_flight_last(&ring.head), 0);
    for (uint64_t number = 0; number < 2 * COUNT; number++) {
        cr_assert_not(rc_flight_get(ring.entries, COUNT, number, out));
    }
}

Test(flight, the_last_ones_are_there_in_their_order_and_older_ones_are_not)
{
    char text[32];
    for (int i = 1; i <= 20; i++) {
        (void)snprintf(text, sizeof(text), "record %d", i);
        put(text);
    }
    cr_assert_eq(rc_flight_last(&ring.head), 20);
    for (uint64_t number = 1; number <= 21; number++) {
        const bool there = rc_flight_get(ring.entries, COUNT, number, out);
        cr_assert_eq(there, number > 20 - COUNT && number <= 20);
        (void)snprintf(text, sizeof(text), "record %d", (int)number);
        cr_assert(!there || strcmp((const char *)out, text) == 0);
    }
}

Test(flight, a_long_record_is_cut_and_a_short_one_leaves_nothing_of_the_former)
{
    char text[RC_FLIGHT_BYTES + 50];
    memset(text, 'x', sizeof(text));
    rc_flight_put(&ring.head, ring.entries, 1, text, sizeof(text));
    cr_assert(rc_flight_get(ring.entries, 1, 1, out));
    cr_assert_eq(memcmp(out, text, RC_FLIGHT_BYTES), 0);
    rc_flight_put(&ring.head, ring.entries, 1, "ab", 2);
    cr_assert(rc_flight_get(ring.entries, 1, 2, out));
    cr_assert(out[0] == 'a' && out[1] == 'b' && out[2] == 0 && out[RC_FLIGHT_BYTES - 1] == 0);
}

Test(flight, a_record_whose_writer_died_in_the_middle_is_not_there)
{
    put("whole");
    put("begun");
    atomic_store(&ring.entries[2].number, 0); /* as it is while its words are written */
    atomic_store(&ring.head.written, 1);
    cr_assert(rc_flight_get(ring.entries, COUNT, 1, out));
    cr_assert_not(rc_flight_get(ring.entries, COUNT, 2, out));
    put("the successor's");
    cr_assert(rc_flight_get(ring.entries, COUNT, 2, out));
    cr_assert_str_eq((const char *)out, "the successor's");
}

Test(flight, a_number_that_no_process_comes_to_is_none, .timeout = 10)
{
    put("one");
    const uint64_t wild[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2, RC_FLIGHT_NUMBER_MAX + 1};
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        atomic_store(&ring.head.written, wild[i]);
        cr_assert_eq(rc_flight_last(&ring.head), 0);
    }
    atomic_store(&ring.head.written, RC_FLIGHT_NUMBER_MAX);
    cr_assert_eq(rc_flight_last(&ring.head), RC_FLIGHT_NUMBER_MAX);
}

Test(flight, after_a_wild_number_the_next_records_are_there_again)
{
    atomic_store(&ring.head.written, UINT64_MAX);
    put("one");
    put("two");
    const uint64_t last = rc_flight_last(&ring.head);
    cr_assert(last != 0 && rc_flight_get(ring.entries, COUNT, last, out));
    cr_assert_str_eq((const char *)out, "two");
}
