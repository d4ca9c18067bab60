/* Sliding windows from several threads: exact, and what ThreadSanitizer can see of their locks. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/shm/windows.h"

#define THREADS 4u
#define KEYS 16u
#define COUNT 500u

static struct rc_windows *windows;

static void *take(void *argument)
{
    const struct rc_window_limit limit = {COUNT, 60000};
    uint32_t *taken = argument;
    uint32_t retry_ms;
    for (uint32_t i = 0; i < COUNT * KEYS; i++) {
        *taken += rc_windows_take(windows, 1 + i % KEYS, &limit, 1, 1000 + i % 3, &retry_ms) == RC_WINDOW_TAKEN;
    }
    return NULL;
}

Test(windows_threads, exact_over_threads)
{
    struct rc_err err;
    pthread_t threads[THREADS];
    uint32_t taken[THREADS] = {0};
    uint32_t sum = 0;
    windows = calloc(1, sizeof(*windows));
    cr_assert_not_null(windows);
    cr_assert_eq(rc_windows_open(windows, &err), 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, take, &taken[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        sum += taken[i];
    }
    cr_assert_eq(sum, COUNT * KEYS);
    free(windows);
}
