/* Sliding windows of a host: never more than the count in any window, all of it at once, from several processes, and over a lock whose
 * owner died. */
#include "common/shm/windows.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 4u
#define START_MS 5000000000u /* beyond 32 bits */

static struct rc_windows *windows;

static void setup(void)
{
    struct rc_err err;
    windows = mmap(NULL, sizeof(*windows), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(windows, MAP_FAILED);
    cr_assert_not(rc_windows_right(windows));
    cr_assert_eq(rc_windows_open(windows, &err), 0);
    cr_assert(rc_windows_right(windows));
}

static void teardown(void)
{
    munmap(windows, sizeof(*windows));
}

TestSuite(windows, .init = setup, .fini = teardown);

static uint32_t take_many(uint64_t key, const struct rc_window_limit *limit, uint32_t tries, uint64_t now_ms)
{
    uint32_t taken = 0;
    uint32_t retry_ms;
    for (uint32_t i = 0; i < tries; i++) {
        taken += rc_windows_take(windows, key, limit, 1, now_ms, &retry_ms) == RC_WINDOW_TAKEN;
    }
    return taken;
}

Test(windows, all_of_it_at_once_and_again_when_the_window_is_over)
{
    static const uint32_t counts[] = {1, 2, 27, 28, 29, 100, 1000, 12345};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const struct rc_window_limit limit = {counts[i], 60000};
        uint32_t retry_ms;
        cr_assert_eq(take_many(i + 1, &limit, counts[i] + 50, START_MS), counts[i]);
        cr_assert_eq(rc_windows_take(windows, i + 1, &limit, 1, START_MS + 1000, &retry_ms), RC_WINDOW_FULL);
        cr_assert_eq(retry_ms, 59000);
        cr_assert_eq(take_many(i + 1, &limit, 1, START_MS + 59999), 0);
        cr_assert_eq(take_many(i + 1, &limit, counts[i] + 50, START_MS + 60000), counts[i]);
    }
}

/* Random arrivals over many windows: the log of what passed is looked at in every window that ends with something that passed. */
Test(windows, no_window_ever_holds_more)
{
    static uint64_t passed[200000];
    static const uint32_t counts[] = {3, 28, 100, 333};
    srand(7);
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        const struct rc_window_limit limit = {counts[c], 1000};
        uint32_t count = 0;
        uint32_t first = 0;
        uint64_t now_ms = UINT32_MAX - UINT64_C(20000); /* 32 bits come round in between */
        uint32_t retry_ms;
        for (uint32_t i = 0; i < 40000; i++) {
            /* about twice as many as may be, with pauses */
            now_ms += (uint32_t)rand() % (2000 / counts[c] + 1) > 1000 / counts[c] ? 1 + 500 / counts[c] : 0;
            now_ms += rand() % 5000 == 0 ? 700 : 0;
            const enum rc_window_answer looked = rc_windows_look(windows, 77 + c, &limit, 1, now_ms, &retry_ms);
            const enum rc_window_answer answer = rc_windows_take(windows, 77 + c, &limit, 1, now_ms, &retry_ms);
            cr_assert_eq(looked, answer);
            if (answer == RC_WINDOW_FULL) {
                cr_assert(retry_ms > 0 && retry_ms <= 1000);
                continue;
            }
            passed[count++] = now_ms;
            while (passed[first] + 1000 <= now_ms) {
                first++;
            }
            cr_assert_leq(count - first, counts[c], "%u in one window", count - first);
        }
        cr_assert_gt(count, 10 * counts[c]);
    }
}

/* An even stream at the limit gets nearly all of it: the share of one entry less. */
Test(windows, even_use_gets_nearly_all)
{
    const struct rc_window_limit limit = {1000, 60000};
    uint32_t taken = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        taken += take_many(5, &limit, 1, START_MS + i * 60);
    }
    cr_assert_geq(taken, 9600);
}

Test(windows, a_cost_is_taken_whole_or_not_at_all)
{
    const struct rc_window_limit limit = {1000, 1000};
    uint32_t retry_ms;
    cr_assert_eq(rc_windows_take(windows, 9, &limit, 600, START_MS, &retry_ms), RC_WINDOW_TAKEN);
    cr_assert_eq(rc_windows_take(windows, 9, &limit, 401, START_MS + 1, &retry_ms), RC_WINDOW_FULL);
    cr_assert_eq(rc_windows_take(windows, 9, &limit, 400, START_MS + 2, &retry_ms), RC_WINDOW_TAKEN);
    cr_assert_eq(rc_windows_take(windows, 9, &limit, 1, START_MS + 999, &retry_ms), RC_WINDOW_FULL);
    cr_assert_eq(rc_windows_take(windows, 9, &limit, 1000, START_MS + 1002, &retry_ms), RC_WINDOW_TAKEN);
}

/* A look that finds nothing takes no place; a changed limit begins anew. */
Test(windows, looking_counts_nothing_and_another_limit_begins_anew)
{
    const struct rc_window_limit two = {2, 1000};
    const struct rc_window_limit three = {3, 1000};
    uint32_t retry_ms;
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert_eq(rc_windows_look(windows, 3, &two, 1, START_MS, &retry_ms), RC_WINDOW_TAKEN);
    }
    cr_assert_eq(windows->sets[3].keys[0], 0);
    cr_assert_eq(take_many(3, &two, 5, START_MS), 2);
    cr_assert_eq(rc_windows_look(windows, 3, &two, 1, START_MS, &retry_ms), RC_WINDOW_FULL);
    cr_assert_eq(take_many(3, &three, 5, START_MS), 3);
}

/* Keys of one set: those that are over make room, the oldest first; while none is, there is no answer. */
Test(windows, only_what_is_over_makes_room)
{
    const struct rc_window_limit limit = {2, 1000};
    uint32_t retry_ms;
    for (uint64_t i = 1; i <= RC_WINDOW_WAYS; i++) {
        cr_assert_eq(take_many(i * RC_WINDOW_SETS, &limit, 5, START_MS + i), 2);
    }
    const uint64_t more = 100u * RC_WINDOW_SETS;
    cr_assert_eq(rc_windows_take(windows, more, &limit, 1, START_MS + 500, &retry_ms), RC_WINDOW_UNKNOWN);
    cr_assert_eq(rc_windows_take(windows, more, &limit, 1, START_MS + 1001, &retry_ms), RC_WINDOW_TAKEN);
    for (uint64_t i = 2; i <= RC_WINDOW_WAYS; i++) {
        cr_assert_eq(rc_windows_take(windows, i * RC_WINDOW_SETS, &limit, 1, START_MS + 900, &retry_ms),
                     RC_WINDOW_FULL);
    }
}

/* A worker's loop may be a few milliseconds behind another's. */
Test(windows, clocks_that_differ_a_little_lose_nothing)
{
    const struct rc_window_limit limit = {10, 1000};
    uint32_t taken = 0;
    for (uint32_t i = 0; i < 40; i++) {
        taken += take_many(8, &limit, 1, START_MS + (i % 2 == 0 ? 7u : 0u));
    }
    cr_assert_eq(taken, 10);
}

Test(windows, exact_over_processes)
{
    const struct rc_window_limit limit = {1000, 60000};
    uint32_t *taken = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)taken, MAP_FAILED);
    pid_t pids[PROCESSES];
    for (uint32_t p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        cr_assert_geq(pids[p], 0);
        if (pids[p] == 0) {
            for (uint64_t key = 1; key <= 8; key++) {
                taken[p] += take_many(key, &limit, 1000, START_MS);
            }
            _exit(0);
        }
    }
    uint32_t sum = 0;
    for (uint32_t p = 0; p < PROCESSES; p++) {
        int status;
        cr_assert_eq(waitpid(pids[p], &status, 0), pids[p]);
        cr_assert_eq(status, 0);
        sum += taken[p];
    }
    cr_assert_eq(sum, 8000);
    munmap(taken, 4096);
}

/* kill -9 with the lock: the next one has it, and what was counted. */
Test(windows, the_lock_of_one_that_died_is_taken_over)
{
    const struct rc_window_limit limit = {10, 60000};
    cr_assert_eq(take_many(4, &limit, 4, START_MS), 4);
    const pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        pthread_mutex_lock(&windows->locks[4].mutex);
        raise(SIGKILL);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(take_many(4, &limit, 20, START_MS), 6);
}

/* One that was stopped with the lock holds nobody up. */
Test(windows, a_lock_that_is_not_given_back_is_no_answer)
{
    const struct rc_window_limit limit = {10, 60000};
    int ready[2];
    char byte;
    uint32_t retry_ms;
    cr_assert_eq(pipe(ready), 0);
    const pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        pthread_mutex_lock(&windows->locks[4].mutex);
        (void)!write(ready[1], "", 1);
        for (;;) {
            pause();
        }
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(rc_windows_take(windows, 4, &limit, 1, START_MS, &retry_ms), RC_WINDOW_UNKNOWN);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    cr_assert_eq(rc_windows_take(windows, 4, &limit, 1, START_MS, &retry_ms), RC_WINDOW_TAKEN);
    close(ready[0]);
    close(ready[1]);
}

/* A stray write: whatever stands there, the answer is one, and soon a right one again. */
Test(windows, damage_is_survived)
{
    const struct rc_window_limit limit = {100, 1000};
    uint32_t retry_ms;
    srand(11);
    for (uint32_t i = 0; i < 20000; i++) {
        (void)rc_windows_take(windows, 6, &limit, 1 + (uint32_t)rand() % 100, START_MS + i, &retry_ms);
        uint8_t *bytes = (uint8_t *)&windows->sets[6].windows[0];
        bytes[(size_t)rand() % sizeof(struct rc_window)] = (uint8_t)rand();
    }
    windows->sets[6].keys[0] = 0;
    cr_assert_eq(take_many(6, &limit, 200, START_MS + 20000), 100);
}
