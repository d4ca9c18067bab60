/*
 * redis_health: how it stands with Redis, as the relay tells the other processes through its report.
 *
 * One writer (the relay), any number of readers; nothing blocks and nothing fails.
 */
#ifndef RC_COMMON_METRICS_REDIS_HEALTH_H
#define RC_COMMON_METRICS_REDIS_HEALTH_H

#include "common/shm/layout.h"

/* Relay only. `error` may be NULL: the text stays. */
void rc_redis_health_set(struct rc_redis_health *health, enum rc_redis_state state, const char *error);

/* The state, and the text of the last loss in `error` (NUL-terminated, "" when there was none). */
enum rc_redis_state rc_redis_health_get(const struct rc_redis_health *health, char error[RC_REDIS_ERROR_MAX]);

#endif
