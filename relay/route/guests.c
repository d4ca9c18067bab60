/* guests: see guests.h. */
#include "relay/route/guests.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/hash.h"

#define GUESTS_MAX (UINT32_C(1) << 24)
#define GUESTS_FIRST 64u

struct rc_guest {
    uint64_t random; /* 0 = free */
    uint32_t worker;
    uint32_t next; /* free: the next one + 1 */
};

static uint64_t guest_hash(uint64_t random)
{
    return rc_hash(&random, sizeof(random));
}

struct guest_sought {
    const struct rc_guests *guests;
    uint64_t random;
};

static bool guest_equal(const void *context, uint32_t index)
{
    const struct guest_sought *sought = context;
    return sought->guests->items[index].random == sought->random;
}

static uint32_t guest_find(const struct rc_guests *guests, uint64_t random)
{
    const struct guest_sought sought = {.guests = guests, .random = random};
    return guests->map.count == 0 ? RC_HASHMAP_NONE
                                  : rc_hashmap_find(&guests->map, guest_hash(random), guest_equal, &sought);
}

int rc_guests_open(struct rc_guests *guests)
{
    *guests = (struct rc_guests){0};
    return rc_hashmap_init(&guests->map, 1, GUESTS_MAX);
}

void rc_guests_close(struct rc_guests *guests)
{
    rc_hashmap_free(&guests->map);
    free(guests->items);
    *guests = (struct rc_guests){0};
}

/* RC_HASHMAP_NONE: no memory. */
static uint32_t guest_make(struct rc_guests *guests)
{
    if (guests->free != 0) {
        const uint32_t index = guests->free - 1;
        guests->free = guests->items[index].next;
        return index;
    }
    if (guests->used == guests->capacity) {
        const uint32_t capacity = guests->capacity == 0 ? GUESTS_FIRST : guests->capacity * 2;
        struct rc_guest *more =
            capacity > GUESTS_MAX ? NULL : realloc(guests->items, capacity * sizeof(*guests->items));
        if (more == NULL) {
            return RC_HASHMAP_NONE;
        }
        guests->items = more;
        guests->capacity = capacity;
    }
    return guests->used++;
}

static void guest_free(struct rc_guests *guests, uint32_t index)
{
    guests->items[index] = (struct rc_guest){.next = guests->free};
    guests->free = index + 1;
}

static void guest_drop(struct rc_guests *guests, uint32_t index)
{
    (void)rc_hashmap_remove(&guests->map, guest_hash(guests->items[index].random), index);
    guest_free(guests, index);
}

int rc_guests_put(struct rc_guests *guests, const struct rc_client_ref *client, uint32_t worker)
{
    uint32_t index = guest_find(guests, client->random);
    if (worker == client->worker) {
        if (index != RC_HASHMAP_NONE) {
            guest_drop(guests, index);
        }
        return 0;
    }
    if (index != RC_HASHMAP_NONE) {
        guests->items[index].worker = worker;
        return 0;
    }
    index = guest_make(guests);
    if (index == RC_HASHMAP_NONE) {
        return -ENOMEM;
    }
    guests->items[index] = (struct rc_guest){.random = client->random, .worker = worker};
    const int rc = rc_hashmap_insert(&guests->map, guest_hash(client->random), index);
    if (rc < 0) {
        guest_free(guests, index);
    }
    return rc;
}

void rc_guests_remove(struct rc_guests *guests, const struct rc_client_ref *client, uint32_t worker)
{
    const uint32_t index = guest_find(guests, client->random);
    if (index != RC_HASHMAP_NONE && guests->items[index].worker == worker) {
        guest_drop(guests, index);
    }
}

void rc_guests_forget(struct rc_guests *guests, uint32_t worker)
{
    for (uint32_t i = 0; guests->map.count > 0 && i < guests->used; i++) {
        if (guests->items[i].random != 0 && guests->items[i].worker == worker) {
            guest_drop(guests, i);
        }
    }
}

uint32_t rc_guests_place(const struct rc_guests *guests, const struct rc_client_ref *client)
{
    const uint32_t index = guest_find(guests, client->random);
    return index == RC_HASHMAP_NONE ? client->worker : guests->items[index].worker;
}
