/*
 * redis_health: how it stands with Redis, as the relay tells the other processes through its report.
 *
 * One writer (the relay), any number of readers; nothing blocks and nothing fails.
 */
#ifndef RC_COMMON_METRICS_REDIS_HEALTH_H
#define RC_COMMON_METRICS_REDIS_HEALTH_H

#include "common/shm/layout.h"

/* Texts as they are read: NUL-terminated UTF-8 without control characters, whatever was set. */
struct rc_redis_errors {
    char lost[RC_REDIS_ERROR_MAX];   /* why Redis was lost, or the first attempt failed; "" when nothing failed yet */
    char latest[RC_REDIS_ERROR_MAX]; /* what failed last since then; "" when nothing did */
};

/* Relay only. `lost` and `latest`, of any bytes, may be NULL: the text stays. */
void rc_redis_health_set(struct rc_redis_health *health, enum rc_redis_state state, const char *lost,
                         const char *latest);

/* The state; the texts of an earlier loss stay when it is connected again. */
enum rc_redis_state rc_redis_health_get(const struct rc_redis_health *health, struct rc_redis_errors *errors);

/* The same of the relay, and whether being connected is of any use: RC_REDIS_REFUSED, with the reason as `lost`. */
enum rc_redis_state rc_redis_health_of(const struct rc_relay_report *relay, struct rc_redis_errors *errors);

#endif
