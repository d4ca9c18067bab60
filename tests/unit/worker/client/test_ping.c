/* When the next ping falls due: bundled by how many fit together, and never far from when it should be. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "worker/client/client.h"

#define TOGETHER_MAX 600u /* pings of one worker in one tick, as session.c has it */

static struct rc_io io;
static struct rc_config config;
static struct rc_clients clients = {.io = &io, .config = &config};

/* The step that pings are on: the distance of two different answers. */
static uint32_t step_of(uint32_t count, uint64_t in_ms)
{
    io.open_count = count;
    io.now_ds = 100000;
    config.limits.ping_interval_ms = in_ms;
    const uint32_t first = rc_client_next_ping(&clients, in_ms);
    for (io.now_ds++; rc_client_next_ping(&clients, in_ms) == first; io.now_ds++) {
        cr_assert(io.now_ds < 101000);
    }
    const uint32_t second = rc_client_next_ping(&clients, in_ms);
    uint32_t step = second - first;
    cr_assert_eq(second % step, clients.worker % step, "%u connections: %u is not on a step of %u", count, second,
                 step);
    return step;
}

Test(session, pings_are_bundled_by_how_many_fit_together)
{
    static const struct {
        uint32_t count;
        uint64_t in_ms;
        uint32_t step_ds;
    } cases[] = {
        /* Few: every five seconds, where that is a small part of the interval; else every second. */
        {0, 25000, 50},
        {1, 25000, 50},
        {999, 20000, 50},
        {999, 19999, 10},
        {1, 10000, 10},
        /* Many: every second, as long as not too many meet. */
        {1000, 25000, 10},
        {15000, 25000, 10},
        {15001, 25000, 9},
        {25000, 25000, 6},
        {75000, 25000, 2},
        {6001, 10000, 9},
        {100000, 300000, 10},
        /* Very many: on every tick. */
        {75001, 25000, 1},
        {150001, 25000, 1},
        {1000000, 25000, 1},
        {UINT32_MAX, 25000, 1},
        /* Short intervals are not bundled at all. */
        {1, 9999, 1},
        {10000, 1000, 1},
        {1000000, 100, 1},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        const uint32_t step = step_of(cases[i].count, cases[i].in_ms);
        cr_expect_eq(step, cases[i].step_ds, "%u connections, %llu ms: a step of %u, expected %u", cases[i].count,
                     (unsigned long long)cases[i].in_ms, step, cases[i].step_ds);
    }
    cr_expect_eq(rc_client_next_ping(&clients, 0), 0, "pings are off");
}

static void check_ping(uint64_t in_ms, uint32_t step)
{
    const uint32_t due = rc_io_deadline(&io, in_ms);
    const uint32_t ping = rc_client_next_ping(&clients, in_ms);
    const uint32_t off = ping > due ? ping - due : due - ping;
    cr_assert(2 * off <= step, "in %llu of %llu ms, %u connections: %u off, a step is %u", (unsigned long long)in_ms,
              (unsigned long long)config.limits.ping_interval_ms, io.open_count, off, step);
    cr_assert_gt(ping, io.now_ds);
    cr_assert(ping % step == clients.worker % step || ping == io.now_ds + 1);
}

/* What one worker bundles is bounded, and the others of a host do not send theirs in the same tick. */
Test(session, workers_ping_in_different_ticks)
{
    static const uint32_t counts[] = {100, 15000, 17500};
    for (size_t c = 0; c < RC_ARRAY_COUNT(counts); c++) {
        uint32_t in_tick[50] = {0};
        uint32_t step = 0;
        enum { WORKERS = 57 };
        for (clients.worker = 0; clients.worker < WORKERS; clients.worker++) {
            step = step_of(counts[c], 25000);
            in_tick[rc_client_next_ping(&clients, 25000) % step]++;
        }
        for (uint32_t i = 0; i < step; i++) {
            cr_expect(in_tick[i] <= WORKERS / step + 1, "%u of %u workers in one tick of %u", in_tick[i], WORKERS,
                      step);
        }
    }
    clients.worker = 0;
}

/* To the nearest step, whichever interval: at most half of one off. The first ping may be due before the next step: it goes
 * at once. Always in the future. */
Test(session, no_ping_is_further_off_than_the_step)
{
    static const uint64_t intervals_ms[] = {1, 99, 100, 101, 5000, 9999, 10000, 12345, 19999, 20000, 25000, 60000};
    static const uint32_t counts[] = {0, 1, 999, 1000, 14999, 15001, 40000, 75000, 100000, 1000000};
    for (size_t i = 0; i < RC_ARRAY_COUNT(intervals_ms); i++) {
        for (size_t c = 0; c < RC_ARRAY_COUNT(counts); c++) {
            clients.worker = (uint32_t)c * 7;
            const uint32_t step = step_of(counts[c], intervals_ms[i]);
            for (io.now_ds = 5000; io.now_ds < 5200; io.now_ds++) {
                for (uint64_t in_ms = 1; in_ms <= intervals_ms[i]; in_ms += intervals_ms[i] / 3 + 1) {
                    check_ping(in_ms, step);
                }
                check_ping(intervals_ms[i], step);
            }
        }
    }
}

/* Of connections that came evenly spread no tick has more than fit together, in the first interval and in the fiftieth. */
Test(session, bundled_pings_are_no_burst)
{
    static const uint32_t counts[] = {100, 999, 1000, 8000, 15000, 30000, 70000, 200000};
    enum { INTERVAL_MS = 25000, TICKS = 60 * INTERVAL_MS / 1000 * 10 };
    for (size_t c = 0; c < RC_ARRAY_COUNT(counts); c++) {
        uint32_t *due = calloc(counts[c], sizeof(*due));
        uint32_t *in_tick = calloc(TICKS, sizeof(*in_tick));
        cr_assert(due != NULL && in_tick != NULL);
        io.open_count = counts[c];
        config.limits.ping_interval_ms = INTERVAL_MS;
        for (uint32_t i = 0; i < counts[c]; i++) {
            io.now_ds = 1000;
            due[i] = rc_client_next_ping(&clients, 1 + (uint64_t)i * INTERVAL_MS / counts[c]);
        }
        uint32_t most = 0;
        for (uint32_t round = 0; round < 50; round++) {
            memset(in_tick, 0, TICKS * sizeof(*in_tick));
            for (uint32_t i = 0; i < counts[c]; i++) {
                in_tick[due[i] % TICKS]++;
                most = in_tick[due[i] % TICKS] > most ? in_tick[due[i] % TICKS] : most;
                io.now_ds = due[i];
                due[i] = rc_client_next_ping(&clients, INTERVAL_MS);
            }
        }
        /* Where not even one tick's share fits, it is that share: nothing is bundled. */
        const uint32_t share = counts[c] / (INTERVAL_MS / RC_WHEEL_TICK_MS) + 1;
        const uint32_t bound = share > TOGETHER_MAX ? share : TOGETHER_MAX;
        cr_expect(most <= bound + bound / 20, "%u connections: %u pings in one tick, %u fit", counts[c], most, bound);
        free(due);
        free(in_tick);
    }
}
