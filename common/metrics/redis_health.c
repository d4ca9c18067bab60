/* redis_health: see redis_health.h. */
#include "common/metrics/redis_health.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "common/text/utf8_char.h"

#define WORDS (RC_REDIS_ERROR_MAX / 8)

/* The text as JSON and terminals may have it: whole characters of UTF-8, for each byte that is none U+FFFD, for each control
 * character a question mark. What does not fit is cut off. Redis sends whatever it likes, and names from elsewhere within. */
static void text_clean(char out[RC_REDIS_ERROR_MAX], const char *text, size_t bytes)
{
    size_t used = 0;
    size_t at = 0;
    while (at < bytes) {
        uint32_t code = 0;
        const size_t count = rc_utf8_char((const uint8_t *)text + at, bytes - at, &code);
        const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
        const char *put = count == 0 ? "\xef\xbf\xbd" : control ? "?" : text + at;
        const size_t put_bytes = count == 0 ? 3 : control ? 1 : count;
        if (used + put_bytes >= RC_REDIS_ERROR_MAX) {
            break;
        }
        memcpy(out + used, put, put_bytes);
        used += put_bytes;
        at += count == 0 ? 1 : count;
    }
    memset(out + used, 0, RC_REDIS_ERROR_MAX - used);
}

static void health_put(_Atomic uint64_t *to, const char *error)
{
    uint64_t words[WORDS];
    char text[RC_REDIS_ERROR_MAX];
    if (error == NULL) {
        return;
    }
    text_clean(text, error, strnlen(error, RC_REDIS_ERROR_MAX));
    memcpy(words, text, sizeof(text));
    for (size_t i = 0; i < WORDS; i++) {
        atomic_store_explicit(&to[i], words[i], memory_order_relaxed);
    }
}

void rc_redis_health_set(struct rc_redis_health *health, enum rc_redis_state state, const char *lost,
                         const char *latest)
{
    if (lost != NULL || latest != NULL) {
        const uint32_t revision = atomic_load_explicit(&health->revision, memory_order_relaxed);
        atomic_store_explicit(&health->revision, revision + 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release); /* H1 pairs with H2: who reads a new word sees the odd revision */
        health_put(health->error, lost);
        health_put(health->latest, latest);
        atomic_store_explicit(&health->revision, revision + 2, memory_order_release); /* H3 pairs with H4 */
    }
    if (atomic_load_explicit(&health->state, memory_order_relaxed) != (uint32_t)state) {
        atomic_store_explicit(&health->since_ms, rc_clock_ms(), memory_order_relaxed);
        /* H5 pairs with H6: who sees the state sees no time from before it. */
        atomic_store_explicit(&health->state, (uint32_t)state, memory_order_release);
    }
}

static void words_take(uint64_t words[WORDS], const _Atomic uint64_t *from)
{
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    }
}

static void words_show(char out[RC_REDIS_ERROR_MAX], const uint64_t words[WORDS])
{
    char text[RC_REDIS_ERROR_MAX];
    memcpy(text, words, sizeof(text));
    text_clean(out, text, strnlen(text, sizeof(text)));
}

enum rc_redis_state rc_redis_health_get(const struct rc_redis_health *health, struct rc_redis_errors *errors)
{
    uint64_t lost[WORDS];
    uint64_t latest[WORDS];
    /* Bounded: a relay that died in the middle of a text leaves the revision odd; a torn text, cleaned, is still a text. */
    for (int tries = 0; tries < 100; tries++) {
        const uint32_t before = atomic_load_explicit(&health->revision, memory_order_acquire); /* H4 pairs with H3 */
        words_take(lost, health->error);
        words_take(latest, health->latest);
        atomic_thread_fence(memory_order_acquire); /* H2 pairs with H1 */
        if ((before & 1) == 0 && atomic_load_explicit(&health->revision, memory_order_relaxed) == before) {
            break;
        }
    }
    words_show(errors->lost, lost);
    words_show(errors->latest, latest);
    const uint32_t state = atomic_load_explicit(&health->state, memory_order_acquire); /* H6 pairs with H5 */
    return state <= RC_REDIS_AWAY ? (enum rc_redis_state)state : RC_REDIS_AWAY;
}

enum rc_redis_state rc_redis_health_of(const struct rc_relay_report *relay, struct rc_redis_errors *errors)
{
    const enum rc_redis_state state = rc_redis_health_get(&relay->redis_health, errors);
    if (state != RC_REDIS_CONNECTED || rc_report_value(&relay->report, RC_METRIC_INSTANCE_TAKEN) == 0) {
        return state;
    }
    *errors =
        (struct rc_redis_errors){.lost = "another live broker has this instance id: give each one an id of its own "
                                         "(server.instance_id)"};
    return RC_REDIS_REFUSED;
}
