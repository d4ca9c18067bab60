/* How it stands with Redis, in shared memory: state, reason, and a reader that never sees half a reason. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/metrics/redis_health.h"

static struct rc_redis_health health;

Test(redis_health, state_and_reason)
{
    struct rc_redis_errors errors;
    cr_assert_eq(rc_redis_health_get(&health, &errors), RC_REDIS_DISABLED);
    cr_assert_str_eq(errors.lost, "");
    rc_redis_health_set(&health, RC_REDIS_AWAY, "Connection refused", NULL);
    cr_assert_eq(rc_redis_health_get(&health, &errors), RC_REDIS_AWAY);
    cr_assert_str_eq(errors.lost, "Connection refused");
    const uint64_t since = atomic_load(&health.since_ms);
    cr_assert_gt(since, 0);
    rc_redis_health_set(&health, RC_REDIS_AWAY, NULL, "WRONGPASS");
    (void)rc_redis_health_get(&health, &errors);
    cr_assert_str_eq(errors.lost, "Connection refused");
    cr_assert_str_eq(errors.latest, "WRONGPASS");
    rc_redis_health_set(&health, RC_REDIS_CONNECTED, NULL, NULL);
    cr_assert_eq(rc_redis_health_get(&health, &errors), RC_REDIS_CONNECTED);
    cr_assert_str_eq(errors.lost, "Connection refused", "the last one stays");
    char long_text[400];
    memset(long_text, 'x', sizeof(long_text));
    long_text[399] = '\0';
    rc_redis_health_set(&health, RC_REDIS_AWAY, long_text, NULL);
    (void)rc_redis_health_get(&health, &errors);
    cr_assert_eq(strlen(errors.lost), RC_REDIS_ERROR_MAX - 1);
}

Test(redis_health, connected_under_the_id_of_another_broker)
{
    static struct rc_relay_report relay;
    struct rc_redis_errors errors;
    rc_redis_health_set(&relay.redis_health, RC_REDIS_CONNECTED, NULL, NULL);
    cr_assert_eq(rc_redis_health_of(&relay, &errors), RC_REDIS_CONNECTED);
    rc_metric_set(rc_banks_own(&relay.report.banks), RC_METRIC_INSTANCE_TAKEN, 1);
    cr_assert_eq(rc_redis_health_of(&relay, &errors), RC_REDIS_REFUSED);
    cr_assert_not_null(strstr(errors.lost, "server.instance_id"));
    rc_redis_health_set(&relay.redis_health, RC_REDIS_AWAY, "Connection refused", NULL);
    cr_assert_eq(rc_redis_health_of(&relay, &errors), RC_REDIS_AWAY, "what is away is said first");
    cr_assert_str_eq(errors.lost, "Connection refused");
}

static const char *shown(const char *text)
{
    static struct rc_redis_errors errors;
    rc_redis_health_set(&health, RC_REDIS_AWAY, text, NULL);
    (void)rc_redis_health_get(&health, &errors);
    return errors.lost;
}

Test(redis_health, what_redis_says_goes_out_as_text)
{
    cr_assert_str_eq(shown("ERR user \xc3\xa9 \"x\" \\"), "ERR user \xc3\xa9 \"x\" \\");
    cr_assert_str_eq(shown("ERR \xff\xfe."), "ERR \xef\xbf\xbd\xef\xbf\xbd.");
    cr_assert_str_eq(shown("ERR \xc3(\xed\xa0\x80"), "ERR \xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
                     "half a character, a surrogate");
    cr_assert_str_eq(shown("a\tb\x1b[31m\x7f\xc2\x9b"), "a?b?[31m??", "nothing that a terminal obeys");
    char text[RC_REDIS_ERROR_MAX];
    memset(text, 'x', sizeof(text));
    memcpy(text + RC_REDIS_ERROR_MAX - 2, "\xc3", 2);
    cr_assert_eq(shown(text)[RC_REDIS_ERROR_MAX - 2], '\0', "a mark that has no room is left out");
    char long_text[300];
    for (size_t i = 0; i < sizeof(long_text) - 2; i += 2) {
        memcpy(long_text + i, "\xc3\xa9", 2);
    }
    long_text[298] = '\0';
    cr_assert_eq(strlen(shown(long_text)), RC_REDIS_ERROR_MAX - 2, "cut between characters");
}

/* Of a relay that died while it wrote: no half characters in what is left. */
Test(redis_health, a_torn_text_is_text)
{
    struct rc_redis_errors errors;
    const uint64_t word = UINT64_C(0xc3c3c3c3c3c3c3c3);
    atomic_store(&health.error[3], word);
    atomic_store(&health.revision, 1);
    rc_redis_health_set(&health, RC_REDIS_AWAY, NULL, NULL);
    atomic_store(&health.error[0], word);
    (void)rc_redis_health_get(&health, &errors);
    cr_assert_eq(strncmp(errors.lost, "\xef\xbf\xbd", 3), 0);
    cr_assert_eq(strlen(errors.lost), 8 * 3);
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
        rc_redis_health_set(&health, RC_REDIS_AWAY, text[i % 2], NULL);
        (void)sched_yield(); /* as long as a try to read takes, or a hundred in a row are spoiled */
    }
    return NULL;
}

Test(redis_health, a_reader_sees_one_reason_or_the_other)
{
    pthread_t writer;
    rc_redis_health_set(&health, RC_REDIS_AWAY, "b", NULL);
    cr_assert_eq(pthread_create(&writer, NULL, write_all, NULL), 0);
    int torn = 0;
    for (int i = 0; i < 20000; i++) {
        struct rc_redis_errors errors;
        (void)rc_redis_health_get(&health, &errors);
        bool mixed = false;
        for (size_t at = 1; errors.lost[at] != '\0'; at++) {
            mixed |= errors.lost[at] != errors.lost[0];
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
