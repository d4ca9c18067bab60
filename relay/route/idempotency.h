/*
 * idempotency: which keys of API callers were used in the last minutes, so that a message tried again is not sent again.
 *
 * The table is in the relay's keep segment (common/shm/layout.h) and outlives the relay. Written by the router alone. Bounded: a set
 * of eight ways per hash; when all of them are still in force the oldest is forgotten early. Nothing fails.
 */
#ifndef RC_RELAY_ROUTE_IDEMPOTENCY_H
#define RC_RELAY_ROUTE_IDEMPOTENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shm/layout.h"

#define RC_IDEMPOTENCY_MS 300000u /* how long a key counts */

/* The set that the key belongs to: by the boot's secret, so that nobody chooses keys that push others out. Known to tests only. */
uint32_t rc_idempotency_set(const uint64_t key[2]);

/* The sequence that the key was first used for, 0 = none in the last RC_IDEMPOTENCY_MS. `key` is not {0, 0}. */
uint64_t rc_idempotency_find(const struct rc_idempotency *table, const uint64_t key[2], uint64_t now_ms);

/* Remembers it from now on. True when another key had to go that was still in force. */
bool rc_idempotency_put(struct rc_idempotency *table, const uint64_t key[2], uint64_t sequence, uint64_t now_ms);

#endif
