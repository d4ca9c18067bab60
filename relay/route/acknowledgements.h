/*
 * acknowledgements: what one worker is still to be told of its interests (RC_DOWN_INTEREST), in order.
 *
 * Redis confirms when it likes, also while the worker is so far behind that nothing more may be written for it. A confirmation that
 * was dropped then would leave everybody on that worker who waits for the channel waiting for ever, so it is kept here until there
 * is room.
 *
 * Owned by a port, private to the relay. Bounded (RC_ACKNOWLEDGEMENTS_BYTES): what comes on top is refused, and the worker asks again
 * after a while (worker/uplink). Memory is taken with the first one. The relay's successor needs none of it: workers register anew.
 */
#ifndef RC_RELAY_ROUTE_ACKNOWLEDGEMENTS_H
#define RC_RELAY_ROUTE_ACKNOWLEDGEMENTS_H

#include <stdbool.h>

#include "common/records/envelope.h"
#include "common/shm/ring.h"

#define RC_ACKNOWLEDGEMENTS_BYTES (1u << 20) /* some 8,000 */

/* All zero is the empty queue. */
struct rc_acknowledgements {
    struct rc_ring_shared *memory; /* owner: cursors, then the records; NULL until the first one */
    struct rc_ring in;
    struct rc_ring out;
};

void rc_acknowledgements_close(struct rc_acknowledgements *queue);

static inline bool rc_acknowledgements_empty(const struct rc_acknowledgements *queue)
{
    return queue->in.position == queue->out.position;
}

/* Keeps a copy. -ENOBUFS, -ENOMEM. */
int rc_acknowledgements_put(struct rc_acknowledgements *queue, const struct rc_envelope_view *view);
/* The oldest, which stays; false when there is none. */
bool rc_acknowledgements_first(struct rc_acknowledgements *queue, struct rc_envelope_view *view);
/* Forgets the one that rc_acknowledgements_first returned. */
void rc_acknowledgements_pop(struct rc_acknowledgements *queue);
/* Forgets all: the worker died. */
void rc_acknowledgements_clear(struct rc_acknowledgements *queue);

#endif
