/*
 * flight: calls of one kind, backend and key, asked once: those that come while one is in flight wait for its answer, and an answer with a
 * top-level "ttl" is the answer to those that come within so many seconds. Private to worker/backend.
 *
 *   first ─▶ FLYING, others join ─▶ answered: all are told ─┬─ "ttl" ─▶ KEPT ─ time is up, or the table is full ─▶ gone
 *                                                            └─▶ gone
 *
 * Bounded: RC_FLIGHTS_MAX entries and RC_FLIGHT_BYTES_MAX of answers; beyond it the one that was kept longest goes. Pure: times are the
 * caller's, nothing is called.
 */
#ifndef RC_WORKER_BACKEND_FLIGHT_H
#define RC_WORKER_BACKEND_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/backend/question.h"

#define RC_FLIGHTS_MAX 65536u
#define RC_FLIGHT_BYTES_MAX (16u << 20)
#define RC_FLIGHT_TTL_MAX_S 86400u
#define RC_FLIGHT_NONE UINT32_MAX

struct rc_flight_waiter {
    struct rc_flight_waiter *next;
    struct rc_backend_waiter waiter;
};

enum rc_flight_found {
    RC_FLIGHT_FIRST,  /* nobody asks yet: the caller does, and tells rc_flight_end */
    RC_FLIGHT_JOINED, /* the waiter is told with the others */
    RC_FLIGHT_KEPT,   /* *body is the answer, until anything else is done here */
    RC_FLIGHT_ALONE,  /* no memory or room: the caller asks by itself */
};

struct rc_flights;

struct rc_flights *rc_flights_open(void); /* NULL: no memory */
void rc_flights_close(struct rc_flights *flights);

/* FIRST: *flight is what rc_flight_end is told; the waiter is among those that it gives back. */
enum rc_flight_found rc_flight_begin(struct rc_flights *flights, enum rc_backend_call_kind kind, uint32_t backend,
                                     const uint8_t key[RC_BACKEND_KEY_BYTES], uint64_t now_ms,
                                     struct rc_backend_waiter waiter, uint32_t *flight, struct rc_span *body);
/* It has landed: all who wait for it, in their order, to be freed by the caller; the answer is kept if it says so. */
struct rc_flight_waiter *rc_flight_end(struct rc_flights *flights, uint32_t flight,
                                       const struct rc_backend_answer *answer, uint64_t now_ms);
/* Nothing that was kept is believed any more: another configuration is in force. */
void rc_flights_forget(struct rc_flights *flights);

#endif
