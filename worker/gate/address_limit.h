/*
 * address_limit: how many connections an address and its network have, and how many may come in a second.
 *
 * Counts single addresses, and networks: an IPv4 /24 or an IPv6 /64, which is what one person can have many addresses
 * of. One worker owns it; it is an index (private memory), rebuilt from the slots' addresses by whoever takes them
 * over. Adding and removing are O(1): at most two entries of 32 bytes and 8 to 16 bytes of hash for a connection, and no memory at all
 * while both limits are off. Limits are per worker: connections of an address spread over all of them.
 *
 * What was admitted as COUNTED must be removed once, with the same address. Connections that came while counting was off are not
 * in the table and must not be removed: the caller keeps one bit.
 */
#ifndef RC_WORKER_GATE_ADDRESS_LIMIT_H
#define RC_WORKER_GATE_ADDRESS_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text/address.h"
#include "common/base/hashmap.h"
#include "worker/gate/rate.h"

struct rc_address_limits {
    uint32_t per_address;         /* 0 = no limit */
    uint32_t per_network;         /* 0 = no limit */
    struct rc_rate_limits accept; /* only its count; count_per_s 0 = no limit */
};

enum rc_address_verdict {
    RC_ADDRESS_ADMITTED, /* no address limit is set: not counted */
    RC_ADDRESS_COUNTED,
    RC_ADDRESS_REFUSED_ADDRESS, /* 429 */
    RC_ADDRESS_REFUSED_NETWORK, /* 429 */
    RC_ADDRESS_REFUSED_MEMORY,  /* 503: out of memory, or the table's bound */
};

struct rc_address_entry {
    uint8_t prefix[16]; /* the network's with zeros behind */
    uint64_t hash;
    uint32_t count;     /* 0 = free */
    uint32_t next_free; /* free: index + 1 of the next, 0 = none; used: bits of the prefix */
};
_Static_assert(sizeof(struct rc_address_entry) == 32, "two entries in a cache line");

struct rc_address_limit {
    struct rc_address_limits limits;
    struct rc_address_entry *entries; /* owner */
    uint32_t entries_used;            /* first that was never used */
    uint32_t entries_capacity;
    uint32_t entries_max;
    uint32_t free; /* index + 1 of the first free one, 0 = none */
    struct rc_hashmap map;
    struct rc_rate accept;
};

/* Empty, for at most `connections_max` counted connections. 0, -EINVAL (none, or more than 2^30), -ENOMEM. */
int rc_address_limit_open(struct rc_address_limit *limit, const struct rc_address_limits *limits,
                          uint32_t connections_max);
void rc_address_limit_close(struct rc_address_limit *limit);

/* New limits, after a reload. Connections that are there stay, also beyond them. */
void rc_address_limit_reconfigure(struct rc_address_limit *limit, const struct rc_address_limits *limits);

/*
 * Whether a connection may be accepted at all now, its address not yet being asked for; every call that says yes counts
 * for the rate; no means 503 with Retry-After. Behind a proxy this comes long before rc_address_limit_add.
 */
bool rc_address_limit_accept(struct rc_address_limit *limit, uint32_t now_ms);

/* Whether one more connection of this address may be there; counts it if so. */
enum rc_address_verdict rc_address_limit_add(struct rc_address_limit *limit, const struct rc_address *address);

/* Counts a connection that is there already, whatever the limits: one that came while there were none. 0 or -ENOMEM. */
int rc_address_limit_count(struct rc_address_limit *limit, const struct rc_address *address);

/* A COUNTED connection ended. */
void rc_address_limit_remove(struct rc_address_limit *limit, const struct rc_address *address);

/* Connections counted for this address, and for its network: for status and tests. */
uint32_t rc_address_limit_of_address(const struct rc_address_limit *limit, const struct rc_address *address);
uint32_t rc_address_limit_of_network(const struct rc_address_limit *limit, const struct rc_address *address);

#endif
