/* Blocks: never two in one place, all of it again when all are freed, and a successor that takes what is in use. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "relay/history/blocks.h"

#define UNITS 1000u

static struct rc_blocks blocks;
static uint8_t used[UNITS];

static void open_blocks(void)
{
    cr_assert_eq(rc_blocks_open(&blocks, UNITS), 0);
    memset(used, 0, sizeof(used));
}

static void close_blocks(void)
{
    rc_blocks_close(&blocks);
}

TestSuite(history_blocks, .init = open_blocks, .fini = close_blocks);

static void mark(uint32_t unit, uint32_t order, uint8_t value)
{
    for (uint32_t i = 0; i < 1u << order; i++) {
        cr_assert_lt(unit + i, UNITS);
        cr_assert_eq(used[unit + i], !value);
        used[unit + i] = value;
    }
}

static uint32_t capacity(void)
{
    uint32_t units = 0;
    while (rc_blocks_alloc(&blocks, 0) != RC_BLOCK_NONE) {
        units++;
    }
    return units;
}

Test(history_blocks, every_unit_is_had_once)
{
    cr_assert_eq(capacity(), UNITS);
    cr_assert_eq(blocks.used_units, UNITS);
}

Test(history_blocks, random_blocks_never_overlap_and_come_together_again)
{
    static uint32_t units[UNITS];
    static uint32_t orders[UNITS];
    uint32_t count = 0;
    srand(5);
    for (int i = 0; i < 200000; i++) {
        const uint32_t order = (uint32_t)rand() % 7;
        const uint32_t unit = rand() % 2 == 0 && count < UNITS ? rc_blocks_alloc(&blocks, order) : RC_BLOCK_NONE;
        if (unit != RC_BLOCK_NONE) {
            cr_assert_eq(unit % (1u << order), 0);
            mark(unit, order, 1);
            units[count] = unit;
            orders[count++] = order;
        } else if (count > 0) {
            const uint32_t one = (uint32_t)rand() % count;
            mark(units[one], orders[one], 0);
            rc_blocks_free(&blocks, units[one]);
            units[one] = units[--count];
            orders[one] = orders[count];
        }
    }
    while (count > 0) {
        rc_blocks_free(&blocks, units[--count]);
    }
    cr_assert_eq(blocks.used_units, 0);
    cr_assert_neq(rc_blocks_alloc(&blocks, 9), RC_BLOCK_NONE, "512 of 1,000 in one piece");
    cr_assert_eq(capacity(), UNITS - 512);
}

Test(history_blocks, a_successor_takes_what_is_in_use_and_nothing_twice)
{
    cr_assert(rc_blocks_take(&blocks, 8, 3));
    cr_assert(rc_blocks_take(&blocks, 3, 0));
    cr_assert_not(rc_blocks_take(&blocks, 3, 0));
    cr_assert_not(rc_blocks_take(&blocks, 9, 0), "inside of another");
    cr_assert_not(rc_blocks_take(&blocks, 0, 4), "holds others");
    cr_assert_not(rc_blocks_take(&blocks, 2, 2), "not aligned");
    cr_assert_not(rc_blocks_take(&blocks, UNITS - 1, 1), "not aligned, and beyond the end");
    cr_assert_not(rc_blocks_take(&blocks, UNITS, 0));
    cr_assert_not(rc_blocks_take(&blocks, 0, 31));
    cr_assert_eq(blocks.used_units, 9);
    cr_assert_eq(capacity(), UNITS - 9);
}

Test(history_blocks, any_number_of_units_is_taken_given_back_and_shortened)
{
    for (unsigned round = 0; round < 20000; round++) {
        const uint32_t unit = (uint32_t)rand() % UNITS;
        const uint32_t count = 1 + (uint32_t)rand() % (UNITS - unit);
        cr_assert(rc_blocks_take_units(&blocks, unit, count));
        cr_assert_eq(blocks.used_units, count);
        cr_assert_not(rc_blocks_take_units(&blocks, unit + count - 1, 1));
        cr_assert_not(rc_blocks_take_units(&blocks, unit == 0 ? 0 : unit - 1, unit == 0 ? 1 : 2),
                      "nothing is taken twice");
        cr_assert_eq(blocks.used_units, count);
        const uint32_t from = unit + (uint32_t)rand() % count;
        const uint32_t kept = 1 + (uint32_t)rand() % (unit + count - from);
        rc_blocks_keep_units(&blocks, unit, count, from, kept);
        cr_assert_eq(blocks.used_units, kept);
        rc_blocks_free_units(&blocks, from, kept);
        cr_assert_eq(blocks.used_units, 0);
    }
    cr_assert_not(rc_blocks_take_units(&blocks, UNITS - 1, 2));
    cr_assert_not(rc_blocks_take_units(&blocks, 0, 0));
    const uint32_t unit = rc_blocks_alloc(&blocks, 3);
    rc_blocks_keep_units(&blocks, unit, 8, unit, 5);
    rc_blocks_free_units(&blocks, unit, 5);
    cr_assert_eq(blocks.used_units, 0);
}

Test(history_blocks, orders_are_the_smallest_that_hold_it)
{
    cr_assert_eq(rc_blocks_order(1, 512), 0);
    cr_assert_eq(rc_blocks_order(512, 512), 0);
    cr_assert_eq(rc_blocks_order(513, 512), 1);
    cr_assert_eq(rc_blocks_order(UINT64_MAX, 512), RC_BLOCK_ORDERS);
}
