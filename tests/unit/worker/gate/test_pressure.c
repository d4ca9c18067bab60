/* When a worker stops accepting, when it refuses, and when that is over. */
#include <criterion/criterion.h>

#include <stdint.h>

#include "worker/gate/pressure.h"
#include "worker/client/overload.h"

static const struct rc_pressure_limits limits = {.turn_ms = 500, .memory_bytes = 1000, .available_bytes = 100};

static struct rc_pressure pressure;
static uint32_t now_ms;

static struct rc_pressure_sample calm(void)
{
    return (struct rc_pressure_sample){
        .turn_ms = 5, .backlog = 4096, .memory_bytes = 10, .available_bytes = UINT64_MAX};
}

/* The level after the sample, 100 ms later than the one before. */
static uint8_t take(struct rc_pressure_sample sample)
{
    const uint8_t before = pressure.level;
    sample.now_ms = now_ms += RC_PRESSURE_SAMPLE_MS;
    cr_expect_eq(rc_pressure_update(&pressure, &limits, &sample), pressure.level != before);
    return pressure.level;
}

static void begin(uint32_t at_ms)
{
    pressure = (struct rc_pressure){0};
    now_ms = at_ms;
    cr_assert_eq(take(calm()), RC_PRESSURE_NONE);
}

Test(pressure, one_long_turn_is_none)
{
    begin(0);
    struct rc_pressure_sample sample = calm();
    for (int i = 0; i < 10; i++) {
        sample.turn_ms = 5000;
        cr_expect_eq(take(sample), RC_PRESSURE_NONE);
        cr_expect_eq(take(calm()), RC_PRESSURE_NONE);
    }
}

/* Also when the clock wraps in the middle of it. */
Test(pressure, long_turns_pause_then_shed_then_end)
{
    static const uint32_t starts[] = {0, UINT32_MAX - 300, UINT32_MAX - 1500, UINT32_MAX};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        begin(starts[i]);
        struct rc_pressure_sample sample = calm();
        sample.turn_ms = 500;
        cr_expect_eq(take(sample), RC_PRESSURE_NONE);
        for (uint32_t ms = 0; ms < RC_PRESSURE_SHED_MS; ms += RC_PRESSURE_SAMPLE_MS) {
            cr_expect_eq(take(sample), RC_PRESSURE_PAUSED);
            sample.turn_ms = 250; /* not below half: it goes on */
        }
        cr_expect_eq(take(sample), RC_PRESSURE_SHEDDING);
        cr_expect_eq(pressure.why, RC_PRESSURE_TURN);
        for (uint32_t ms = RC_PRESSURE_SAMPLE_MS; ms < RC_PRESSURE_SHED_CALM_MS; ms += RC_PRESSURE_SAMPLE_MS) {
            cr_expect_eq(take(calm()), RC_PRESSURE_SHEDDING);
        }
        cr_expect_eq(take(calm()), RC_PRESSURE_NONE);
    }
}

Test(pressure, the_smallest_limit_ends_too)
{
    const struct rc_pressure_limits smallest = {.turn_ms = 1};
    pressure = (struct rc_pressure){0};
    for (uint32_t i = 0; i < 40; i++) {
        const struct rc_pressure_sample sample = {
            .now_ms = i * RC_PRESSURE_SAMPLE_MS, .turn_ms = i < 20 ? 1 : 0, .available_bytes = UINT64_MAX};
        rc_pressure_update(&pressure, &smallest, &sample);
        cr_assert(i != 19 || pressure.level == RC_PRESSURE_SHEDDING);
    }
    cr_expect_eq(pressure.level, RC_PRESSURE_NONE);
}

Test(pressure, a_short_peak_refuses_nobody)
{
    begin(0);
    struct rc_pressure_sample sample = calm();
    sample.memory_bytes = 1000;
    cr_expect_eq(take(sample), RC_PRESSURE_PAUSED);
    cr_expect_eq(take(calm()), RC_PRESSURE_PAUSED);
    cr_expect_eq(take(calm()), RC_PRESSURE_NONE);
}

Test(pressure, a_nearly_full_queue_sheds_at_once)
{
    begin(0);
    struct rc_pressure_sample sample = calm();
    sample.queued = 3071;
    cr_expect_eq(take(sample), RC_PRESSURE_NONE);
    sample.queued = 3072;
    cr_expect_eq(take(sample), RC_PRESSURE_SHEDDING);
    sample.queued = 1024; /* a quarter: still */
    for (int i = 0; i < 30; i++) {
        cr_expect_eq(take(sample), RC_PRESSURE_SHEDDING);
    }
    sample.queued = 1023;
    for (int i = 0; i < 9; i++) {
        cr_expect_eq(take(sample), RC_PRESSURE_SHEDDING);
    }
    cr_expect_eq(take(sample), RC_PRESSURE_NONE);
    /* While it is paused the queue fills. */
    sample = calm();
    sample.memory_bytes = 2000;
    cr_expect_eq(take(sample), RC_PRESSURE_PAUSED);
    sample.queued = 4000;
    cr_expect_eq(take(sample), RC_PRESSURE_SHEDDING);
    cr_expect_eq(pressure.why, RC_PRESSURE_QUEUE | RC_PRESSURE_MEMORY);
    /* Room for none is not a full queue: it is not known. */
    begin(0);
    sample = calm();
    sample.queued = 10;
    sample.backlog = 0;
    cr_expect_eq(take(sample), RC_PRESSURE_NONE);
}

Test(pressure, memory_has_its_hysteresis_both_ways)
{
    static const struct {
        uint64_t memory, available;
        bool held_from_none, held;
    } vectors[] = {
        {999, UINT64_MAX, false, true},
        {1000, UINT64_MAX, true, true},
        {900, UINT64_MAX, false, true},
        {899, UINT64_MAX, false, false},
        {0, 99, true, true},
        {0, 100, false, true},
        {0, 124, false, true},
        {0, 125, false, false},
        {0, UINT64_MAX, false, false},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct rc_pressure_sample sample = calm();
        sample.memory_bytes = vectors[i].memory;
        sample.available_bytes = vectors[i].available;
        begin(0);
        take(sample);
        cr_expect_eq(pressure.causes != 0, vectors[i].held_from_none, "vector %zu", i);
        begin(0);
        struct rc_pressure_sample over = calm();
        over.memory_bytes = 1000;
        take(over);
        take(sample);
        cr_expect_eq(pressure.causes != 0, vectors[i].held, "vector %zu", i);
    }
}

Test(pressure, without_limits_nothing_is_too_much)
{
    const struct rc_pressure_limits none = {0};
    pressure = (struct rc_pressure){0};
    for (uint32_t i = 0; i < 30; i++) {
        const struct rc_pressure_sample sample = {.now_ms = i * RC_PRESSURE_SAMPLE_MS,
                                                  .turn_ms = UINT32_MAX,
                                                  .memory_bytes = UINT64_MAX,
                                                  .available_bytes = 0};
        cr_expect(!rc_pressure_update(&pressure, &none, &sample));
    }
    /* Switched off in the middle of it: it ends. */
    begin(0);
    struct rc_pressure_sample sample = calm();
    sample.memory_bytes = 5000;
    for (int i = 0; i < 20; i++) {
        take(sample);
    }
    cr_assert_eq(pressure.level, RC_PRESSURE_SHEDDING);
    for (int i = 0; i < 10; i++) {
        sample.now_ms = now_ms += RC_PRESSURE_SAMPLE_MS;
        rc_pressure_update(&pressure, &none, &sample);
    }
    cr_expect_eq(pressure.level, RC_PRESSURE_NONE);
}
