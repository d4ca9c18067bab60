/* redis_health: see redis_health.h. */
#include "common/metrics/redis_health.h"

#include <string.h>

#include "common/base/clock.h"

#define WORDS (RC_REDIS_ERROR_MAX / 8)

void rc_redis_health_set(struct rc_redis_health *health, enum rc_redis_state state, const char *error)
{
    if (error != NULL) {
        uint64_t words[WORDS] = {0};
        const size_t bytes = strnlen(error, RC_REDIS_ERROR_MAX - 1);
        memcpy(words, error, bytes);
        const uint32_t revision = atomic_load_explicit(&health->revision, memory_order_relaxed);
        atomic_store_explicit(&health->revision, revision + 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release); /* H1 pairs with H2: who reads a new word sees the odd revision */
        for (size_t i = 0; i < WORDS; i++) {
            atomic_store_explicit(&health->error[i], words[i], memory_order_relaxed);
        }
        atomic_store_explicit(&health->revision, revision + 2, memory_order_release); /* H3 pairs with H4 */
    }
    if (atomic_load_explicit(&health->state, memory_order_relaxed) != (uint32_t)state) {
        atomic_store_explicit(&health->since_ms, rc_clock_ms(), memory_order_relaxed);
        atomic_store_explicit(&health->state, (uint32_t)state, memory_order_release);
    }
}

enum rc_redis_state rc_redis_health_get(const struct rc_redis_health *health, char error[RC_REDIS_ERROR_MAX])
{
    uint64_t words[WORDS];
    /* Bounded: a relay that died in the middle of a text leaves the revision odd; a torn text is still a text. */
    for (int tries = 0; tries < 100; tries++) {
        const uint32_t before = atomic_load_explicit(&health->revision, memory_order_acquire); /* H4 pairs with H3 */
        for (size_t i = 0; i < WORDS; i++) {
            words[i] = atomic_load_explicit(&health->error[i], memory_order_relaxed);
        }
        atomic_thread_fence(memory_order_acquire); /* H2 pairs with H1 */
        if ((before & 1) == 0 && atomic_load_explicit(&health->revision, memory_order_relaxed) == before) {
            break;
        }
    }
    memcpy(error, words, RC_REDIS_ERROR_MAX);
    error[RC_REDIS_ERROR_MAX - 1] = '\0';
    for (char *c = error; *c != '\0'; c++) { /* another process's bytes: for logs, terminals and JSON */
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    }
    const uint32_t state = atomic_load_explicit(&health->state, memory_order_acquire);
    return state <= RC_REDIS_AWAY ? (enum rc_redis_state)state : RC_REDIS_AWAY;
}
