/* address_limit: see address_limit.h. */
#include "worker/gate/address_limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"

#define V4_NETWORK_BITS (96u + 24u)
#define V6_NETWORK_BITS 64u
#define ADDRESS_BITS 128u
#define ENTRIES_FIRST 64u

/* What is looked for: an address or network, as it stands in an entry. */
struct key {
    const struct rc_address_limit *limit;
    uint8_t prefix[16];
    uint32_t bits;
    uint64_t hash;
};

static struct key key_of(const struct rc_address_limit *limit, const struct rc_address *address, uint32_t bits)
{
    struct key key = {.limit = limit, .bits = bits};
    memcpy(key.prefix, address->bytes, bits / 8);
    /* Under a secret: who has many addresses must not be able to choose those that collide. */
    uint8_t bytes[sizeof(key.prefix) + 1];
    memcpy(bytes, key.prefix, sizeof(key.prefix));
    bytes[sizeof(key.prefix)] = (uint8_t)bits;
    key.hash = rc_hash(bytes, sizeof(bytes));
    return key;
}

static uint32_t network_bits(const struct rc_address *address)
{
    return rc_address_is_v4(address) ? V4_NETWORK_BITS : V6_NETWORK_BITS;
}

static bool key_equal(const void *context, uint32_t index)
{
    const struct key *const key = context;
    const struct rc_address_entry *const entry = &key->limit->entries[index];
    return entry->next_free == key->bits && memcmp(entry->prefix, key->prefix, sizeof(key->prefix)) == 0;
}

static uint32_t address_find(const struct rc_address_limit *limit, const struct key *key)
{
    return rc_hashmap_find(&limit->map, key->hash, key_equal, key);
}

int rc_address_limit_open(struct rc_address_limit *limit, const struct rc_address_limits *limits,
                          uint32_t connections_max)
{
    *limit = (struct rc_address_limit){.limits = *limits};
    if (connections_max == 0 || connections_max > UINT32_C(1) << 30) {
        return -EINVAL;
    }
    limit->entries_max = 2 * connections_max;
    if (limit->entries_max > RC_HASHMAP_COUNT_MAX) {
        limit->entries_max = RC_HASHMAP_COUNT_MAX;
    }
    return rc_hashmap_init(&limit->map, 0, limit->entries_max);
}

void rc_address_limit_close(struct rc_address_limit *limit)
{
    rc_hashmap_free(&limit->map);
    free(limit->entries);
    limit->entries = NULL;
    limit->entries_used = limit->entries_capacity = limit->free = 0;
}

void rc_address_limit_reconfigure(struct rc_address_limit *limit, const struct rc_address_limits *limits)
{
    limit->limits = *limits;
}

bool rc_address_limit_accept(struct rc_address_limit *limit, uint32_t now_ms)
{
    return rc_rate_admit(&limit->accept, &limit->limits.accept, now_ms);
}

/* A free entry's index, or RC_HASHMAP_NONE. */
static uint32_t entry_alloc(struct rc_address_limit *limit)
{
    if (limit->free != 0) {
        const uint32_t index = limit->free - 1;
        limit->free = limit->entries[index].next_free;
        return index;
    }
    if (limit->entries_used == limit->entries_capacity) {
        uint64_t capacity = limit->entries_capacity == 0 ? ENTRIES_FIRST : 2 * (uint64_t)limit->entries_capacity;
        capacity = capacity < limit->entries_max ? capacity : limit->entries_max;
        if (capacity == limit->entries_capacity) {
            return RC_HASHMAP_NONE;
        }
        struct rc_address_entry *const more = realloc(limit->entries, (size_t)capacity * sizeof(*more));
        if (more == NULL) {
            return RC_HASHMAP_NONE;
        }
        limit->entries = more;
        limit->entries_capacity = (uint32_t)capacity;
    }
    return limit->entries_used++;
}

static void entry_free(struct rc_address_limit *limit, uint32_t index)
{
    limit->entries[index].count = 0;
    limit->entries[index].next_free = limit->free;
    limit->free = index + 1;
}

/* One more for this key, whose entry is `index` if it has one. */
static int count_up(struct rc_address_limit *limit, const struct key *key, uint32_t index)
{
    if (index != RC_HASHMAP_NONE) {
        limit->entries[index].count++;
        return 0;
    }
    index = entry_alloc(limit);
    if (index == RC_HASHMAP_NONE) {
        return -ENOMEM;
    }
    struct rc_address_entry *const entry = &limit->entries[index];
    *entry = (struct rc_address_entry){.hash = key->hash, .count = 1, .next_free = key->bits};
    memcpy(entry->prefix, key->prefix, sizeof(entry->prefix));
    if (rc_hashmap_insert(&limit->map, key->hash, index) != 0) {
        entry_free(limit, index);
        return -ENOMEM;
    }
    return 0;
}

static void count_down(struct rc_address_limit *limit, const struct key *key)
{
    const uint32_t index = address_find(limit, key);
    RC_ASSERT(index != RC_HASHMAP_NONE && limit->entries[index].count > 0);
    if (--limit->entries[index].count == 0) {
        RC_ASSERT(rc_hashmap_remove(&limit->map, key->hash, index));
        entry_free(limit, index);
    }
}

/* One more of an address and of its network, whose entries are there or RC_HASHMAP_NONE. */
static int count_both(struct rc_address_limit *limit, const struct key *single, uint32_t single_at,
                      const struct key *network, uint32_t network_at)
{
    if (count_up(limit, single, single_at) != 0) {
        return -ENOMEM;
    }
    if (count_up(limit, network, network_at) != 0) {
        count_down(limit, single);
        return -ENOMEM;
    }
    return 0;
}

enum rc_address_verdict rc_address_limit_add(struct rc_address_limit *limit, const struct rc_address *address)
{
    const struct rc_address_limits *const limits = &limit->limits;
    if (limits->per_address == 0 && limits->per_network == 0) {
        return RC_ADDRESS_ADMITTED;
    }
    const struct key single = key_of(limit, address, ADDRESS_BITS);
    const struct key network = key_of(limit, address, network_bits(address));
    const uint32_t single_at = address_find(limit, &single);
    const uint32_t network_at = address_find(limit, &network);
    if (limits->per_address != 0 && single_at != RC_HASHMAP_NONE &&
        limit->entries[single_at].count >= limits->per_address) {
        return RC_ADDRESS_REFUSED_ADDRESS;
    }
    if (limits->per_network != 0 && network_at != RC_HASHMAP_NONE &&
        limit->entries[network_at].count >= limits->per_network) {
        return RC_ADDRESS_REFUSED_NETWORK;
    }
    return count_both(limit, &single, single_at, &network, network_at) == 0 ? RC_ADDRESS_COUNTED
                                                                            : RC_ADDRESS_REFUSED_MEMORY;
}

int rc_address_limit_count(struct rc_address_limit *limit, const struct rc_address *address)
{
    const struct key single = key_of(limit, address, ADDRESS_BITS);
    const struct key network = key_of(limit, address, network_bits(address));
    return count_both(limit, &single, address_find(limit, &single), &network, address_find(limit, &network));
}

void rc_address_limit_remove(struct rc_address_limit *limit, const struct rc_address *address)
{
    const struct key single = key_of(limit, address, ADDRESS_BITS);
    const struct key network = key_of(limit, address, network_bits(address));
    count_down(limit, &single);
    count_down(limit, &network);
}

static uint32_t count_of(const struct rc_address_limit *limit, const struct rc_address *address, uint32_t bits)
{
    const struct key key = key_of(limit, address, bits);
    const uint32_t index = address_find(limit, &key);
    return index == RC_HASHMAP_NONE ? 0 : limit->entries[index].count;
}

uint32_t rc_address_limit_of_address(const struct rc_address_limit *limit, const struct rc_address *address)
{
    return count_of(limit, address, ADDRESS_BITS);
}

uint32_t rc_address_limit_of_network(const struct rc_address_limit *limit, const struct rc_address *address)
{
    return count_of(limit, address, network_bits(address));
}
