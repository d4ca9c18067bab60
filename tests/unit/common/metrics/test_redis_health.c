/* How it stands with Redis, in shared memory: state, reason, and a reader that never sees half a reason. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/metrics/redis_health.h"

static struct rc_redis_health health;

Test(redis_health, state_and_reason)
{
    char error[RC_REDIS_ERROR_MAX];
    cr_assert_eq(rc_redis_health_get(&health, error), RC_REDIS_DISABLED);
    cr_assert_str_eq(error, "");
    rc_redis_health_set(&health, RC_REDIS_AWAY, "Connection refused");
    cr_assert_eq(rc_redis_health_get(&health, error), RC_REDIS_AWAY);
    cr_assert_str_eq(error, "Connection refused");
    const uint64_t since = atomic_load(&health.since_ms);
    cr_assert_gt(since, 0);
    rc_redis_health_set(&health, RC_REDIS_CONNECTED, NULL);
    cr_assert_eq(rc_redis_health_get(&health, error), RC_REDIS_CONNECTED);
    cr_assert_str_eq(error, "Connection refused", "the last one stays");
    char long_text[400];
    memset(long_text, 'x', sizeof(long_text));
    long_text[399] = '\0';
    rc_redis_health_set(&health, RC_REDIS_AWAY, long_text);
    (void)rc_redis_health_get(&health, error);
    cr_assert_eq(strlen(error), RC_REDIS_ERROR_MAX - 1);
}

static _Atomic bool stop;

static void *write_all(void *context)
{
    char text[2][100];
    (void)context;
    memset(text[0], 'a', 99);
    memset(text[1], 'b', 99);
    text[0][99] = text[1][99] = '\0';
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        rc_redis_health_set(&health, RC_REDIS_AWAY, text[i % 2]);
        (void)sched_yield(); /* as long as a try to read takes, or a hundred in a row are spoiled */
    }
    return NULL;
}

Test(redis_health, a_reader_sees_one_reason_or_the_other)
{
    pthread_t writer;
    rc_redis_health_set(&health, RC_REDIS_AWAY, "b");
    cr_assert_eq(pthread_create(&writer, NULL, write_all, NULL), 0);
    int torn = 0;
    for (int i = 0; i < 20000; i++) {
        char error[RC_REDIS_ERROR_MAX];
        (void)rc_redis_health_get(&health, error);
        bool mixed = false;
        for (size_t at = 1; error[at] != '\0'; at++) {
            mixed |= error[at] != error[0];
        }
        torn += mixed;
        /* A writer that was put aside in the middle of a text spoils one reading, not all until it goes on. */
        while (mixed && (atomic_load(&health.revision) & 1) != 0) {
            (void)sched_yield();
        }
    }
    atomic_store(&stop, true);
    pthread_join(writer, NULL);
    cr_assert_leq(torn, 20);
}
