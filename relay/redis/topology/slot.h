/*
 * slot: which of a Redis Cluster's 16,384 slots a key is in.
 */
#ifndef RC_RELAY_REDIS_TOPOLOGY_SLOT_H
#define RC_RELAY_REDIS_TOPOLOGY_SLOT_H

#include <stdint.h>

#include "common/base/span.h"

#define RC_REDIS_SLOTS 16384u

/* CRC16 of the key, or of what stands in its first {…} (Redis Cluster specification, "Hash tags"). */
uint16_t rc_redis_slot(struct rc_span key);

#endif
