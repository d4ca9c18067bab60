/*
 * guests: clients that are with another worker than the one that their ids name, because they were moved (worker/move).
 *
 * Random of the client -> worker that has it now. Owned by the fan-out, one thread; private memory: an index that workers' snapshots make anew
 * after a restart, as that of interests. Bounded; who finds no room is looked for where its id says. Empty as long as nobody was moved, which is
 * all that a direct message asks then.
 */
#ifndef RC_RELAY_ROUTE_GUESTS_H
#define RC_RELAY_ROUTE_GUESTS_H

#include <stdint.h>

#include "common/base/hashmap.h"
#include "common/records/envelope.h"

struct rc_guest;

struct rc_guests {
    struct rc_hashmap map;
    struct rc_guest *items; /* owned */
    uint32_t used;          /* of `items`, those ever used */
    uint32_t capacity;
    uint32_t free; /* first free one + 1; 0 = none */
};

/* 0 or -ENOMEM. */
int rc_guests_open(struct rc_guests *guests);
void rc_guests_close(struct rc_guests *guests);

/* The client is with `worker` from here on; at home again it is no guest. 0, -ENOSPC or -ENOMEM: it is looked for where it was before. */
int rc_guests_put(struct rc_guests *guests, const struct rc_client_ref *client, uint32_t worker);
/* It is not with `worker` any more, if it was. */
void rc_guests_remove(struct rc_guests *guests, const struct rc_client_ref *client, uint32_t worker);
/* None is with the worker any more: its process knows nothing of a former one's. */
void rc_guests_forget(struct rc_guests *guests, uint32_t worker);
/* The worker that has the client. */
uint32_t rc_guests_place(const struct rc_guests *guests, const struct rc_client_ref *client);

#endif
