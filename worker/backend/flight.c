/* flight: see flight.h. */
#include "worker/backend/flight.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/hashmap.h"
#include "common/text/json_scan.h"

struct flight_key {
    uint32_t kind;
    uint32_t backend;
    uint8_t bytes[RC_BACKEND_KEY_BYTES];
};

struct flight {
    struct flight_key key;
    struct rc_flight_waiter *first;
    struct rc_flight_waiter *last;
    uint8_t *body; /* owned; KEPT */
    uint32_t body_bytes;
    uint32_t next;  /* free: the next one + 1; KEPT: newer; + 1 */
    uint32_t older; /* KEPT; + 1 */
    uint64_t until_ms;
    bool flying;
    bool forgotten; /* FLYING when all was to be forgotten: its answer is not kept */
};

struct rc_flights {
    struct rc_hashmap map;
    struct flight *table; /* owned */
    uint32_t count;       /* of `table` that were used once */
    uint32_t capacity;
    uint32_t free;   /* first + 1 */
    uint32_t oldest; /* kept longest; + 1 */
    uint32_t newest;
    uint64_t bytes; /* of all bodies */
};

struct rc_flights *rc_flights_open(void)
{
    struct rc_flights *flights = calloc(1, sizeof(*flights));
    if (flights != NULL && rc_hashmap_init(&flights->map, 0, RC_FLIGHTS_MAX) < 0) {
        free(flights);
        return NULL;
    }
    return flights;
}

void rc_flights_close(struct rc_flights *flights)
{
    for (uint32_t i = 0; flights != NULL && i < flights->count; i++) {
        free(flights->table[i].body);
        while (flights->table[i].first != NULL) {
            struct rc_flight_waiter *waiter = flights->table[i].first;
            flights->table[i].first = waiter->next;
            free(waiter);
        }
    }
    if (flights != NULL) {
        rc_hashmap_free(&flights->map);
        free(flights->table);
        free(flights);
    }
}

struct looked_for {
    const struct rc_flights *flights;
    const struct flight_key *key;
};

static bool key_equal(const void *context, uint32_t index)
{
    const struct looked_for *looked_for = context;
    return memcmp(&looked_for->flights->table[index].key, looked_for->key, sizeof(*looked_for->key)) == 0;
}

/* A free entry under that key, or RC_FLIGHT_NONE. */
static uint32_t flight_alloc(struct rc_flights *flights, const struct flight_key *key)
{
    uint32_t index = flights->free != 0 ? flights->free - 1 : flights->count;
    if (index == flights->capacity) {
        const uint32_t capacity = flights->capacity == 0 ? 64 : flights->capacity * 2;
        struct flight *larger = capacity > RC_FLIGHTS_MAX ? NULL : realloc(flights->table, capacity * sizeof(*larger));
        if (larger == NULL) {
            return RC_FLIGHT_NONE;
        }
        flights->table = larger;
        flights->capacity = capacity;
    }
    if (rc_hashmap_insert(&flights->map, rc_hash(key, sizeof(*key)), index) < 0) {
        return RC_FLIGHT_NONE;
    }
    if (index == flights->count) {
        flights->count++;
    } else {
        flights->free = flights->table[index].next;
    }
    flights->table[index] = (struct flight){.key = *key, .flying = true};
    return index;
}

static void flight_free(struct rc_flights *flights, uint32_t index)
{
    struct flight *flight = &flights->table[index];
    const bool removed = rc_hashmap_remove(&flights->map, rc_hash(&flight->key, sizeof(flight->key)), index);
    RC_ASSERT(removed && flight->first == NULL);
    flights->bytes -= flight->body_bytes;
    free(flight->body);
    *flight = (struct flight){.next = flights->free};
    flights->free = index + 1;
}

static void kept_remove(struct rc_flights *flights, uint32_t index)
{
    const struct flight *flight = &flights->table[index];
    *(flight->older != 0 ? &flights->table[flight->older - 1].next : &flights->oldest) = flight->next;
    *(flight->next != 0 ? &flights->table[flight->next - 1].older : &flights->newest) = flight->older;
    flight_free(flights, index);
}

static bool flight_join(struct flight *flight, struct rc_backend_waiter waiter)
{
    struct rc_flight_waiter *joining = malloc(sizeof(*joining));
    if (joining == NULL) {
        return false;
    }
    *joining = (struct rc_flight_waiter){.waiter = waiter};
    *(flight->first == NULL ? &flight->first : &flight->last->next) = joining;
    flight->last = joining;
    return true;
}

enum rc_flight_found rc_flight_begin(struct rc_flights *flights, enum rc_backend_call_kind kind, uint32_t backend,
                                     const uint8_t key_bytes[RC_BACKEND_KEY_BYTES], uint64_t now_ms,
                                     struct rc_backend_waiter waiter, uint32_t *out, struct rc_span *body)
{
    struct flight_key key = {.kind = kind, .backend = backend};
    memcpy(key.bytes, key_bytes, sizeof(key.bytes));
    const struct looked_for looked_for = {.flights = flights, .key = &key};
    uint32_t index = rc_hashmap_find(&flights->map, rc_hash(&key, sizeof(key)), key_equal, &looked_for);
    if (index != RC_HASHMAP_NONE && !flights->table[index].flying) {
        if (flights->table[index].until_ms > now_ms) {
            *body = rc_span_of(flights->table[index].body, flights->table[index].body_bytes);
            return RC_FLIGHT_KEPT;
        }
        kept_remove(flights, index);
        index = RC_HASHMAP_NONE;
    }
    if (index != RC_HASHMAP_NONE) {
        return !flights->table[index].forgotten && flight_join(&flights->table[index], waiter) ? RC_FLIGHT_JOINED
                                                                                               : RC_FLIGHT_ALONE;
    }
    if (flights->map.count == RC_FLIGHTS_MAX && flights->oldest != 0) {
        kept_remove(flights, flights->oldest - 1);
    }
    *out = flight_alloc(flights, &key);
    if (*out == RC_FLIGHT_NONE) {
        return RC_FLIGHT_ALONE;
    }
    if (!flight_join(&flights->table[*out], waiter)) {
        flight_free(flights, *out);
        return RC_FLIGHT_ALONE;
    }
    return RC_FLIGHT_FIRST;
}

/* "ttl" of an answer, seconds; 0: none, or it is no reply of ours. */
static uint64_t ttl_of(const struct rc_backend_answer *answer)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    uint64_t ttl = 0;
    if (answer->outcome != RC_BACKEND_ANSWERED || answer->status != 200) {
        return 0;
    }
    int got = rc_json_object_begin(&cursor, answer->body, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("ttl")) && rc_json_uint64(&value, &ttl) < 0) {
            ttl = 0;
        }
    }
    return got < 0 ? 0 : ttl < RC_FLIGHT_TTL_MAX_S ? ttl : RC_FLIGHT_TTL_MAX_S;
}

struct rc_flight_waiter *rc_flight_end(struct rc_flights *flights, uint32_t index,
                                       const struct rc_backend_answer *answer, uint64_t now_ms)
{
    struct flight *flight = &flights->table[index];
    RC_ASSERT(flight->flying);
    struct rc_flight_waiter *waiters = flight->first;
    flight->first = flight->last = NULL;
    const uint64_t ttl = flight->forgotten ? 0 : ttl_of(answer);
    while (ttl > 0 && flights->bytes + answer->body.count > RC_FLIGHT_BYTES_MAX && flights->oldest != 0) {
        kept_remove(flights, flights->oldest - 1);
    }
    uint8_t *body =
        ttl == 0 || flights->bytes + answer->body.count > RC_FLIGHT_BYTES_MAX ? NULL : malloc(answer->body.count);
    if (body == NULL) {
        flight_free(flights, index);
        return waiters;
    }
    memcpy(body, answer->body.bytes, answer->body.count);
    flight->body = body;
    flight->body_bytes = (uint32_t)answer->body.count;
    flight->until_ms = now_ms + ttl * 1000;
    flight->flying = false;
    flight->older = flights->newest;
    flight->next = 0;
    *(flights->newest != 0 ? &flights->table[flights->newest - 1].next : &flights->oldest) = index + 1;
    flights->newest = index + 1;
    flights->bytes += flight->body_bytes;
    return waiters;
}

void rc_flights_forget(struct rc_flights *flights)
{
    while (flights->oldest != 0) {
        kept_remove(flights, flights->oldest - 1);
    }
    for (uint32_t i = 0; i < flights->count; i++) {
        flights->table[i].forgotten = flights->table[i].flying;
    }
}
