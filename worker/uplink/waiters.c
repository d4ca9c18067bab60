/* waiters: a list whose links are in an array. */
#include "worker/uplink/waiters.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"

struct rc_waiter {
    uint32_t next;
    uint32_t previous;
};

int rc_waiters_open(struct rc_waiters *waiters, struct rc_truth *truth)
{
    *waiters = (struct rc_waiters){.truth = truth,
                                   .links = calloc(truth->socket_count, sizeof(*waiters->links)),
                                   .first = RC_WAITERS_NOBODY,
                                   .last = RC_WAITERS_NOBODY};
    return waiters->links != NULL ? 0 : -ENOMEM;
}

void rc_waiters_close(struct rc_waiters *waiters)
{
    free(waiters->links);
    *waiters = (struct rc_waiters){.first = RC_WAITERS_NOBODY, .last = RC_WAITERS_NOBODY};
}

/* Between two that stand next to each other, or at an end. */
static void waiter_insert(struct rc_waiters *waiters, uint32_t index, uint32_t previous, uint32_t next)
{
    waiters->truth->sockets[index].flags |= RC_SOCKET_WAITS_UPLINK;
    waiters->links[index] = (struct rc_waiter){.next = next, .previous = previous};
    *(previous == RC_WAITERS_NOBODY ? &waiters->first : &waiters->links[previous].next) = index;
    *(next == RC_WAITERS_NOBODY ? &waiters->last : &waiters->links[next].previous) = index;
    waiters->count++;
}

void rc_waiters_add(struct rc_waiters *waiters, uint32_t index)
{
    if (!(waiters->truth->sockets[index].flags & RC_SOCKET_WAITS_UPLINK)) {
        waiter_insert(waiters, index, waiters->last, RC_WAITERS_NOBODY);
    }
}

void rc_waiters_rebuild(struct rc_waiters *waiters)
{
    RC_ASSERT(waiters->count == 0);
    for (uint32_t i = 0; i < waiters->truth->socket_count; i++) {
        if (waiters->truth->sockets[i].flags & RC_SOCKET_WAITS_UPLINK) {
            waiter_insert(waiters, i, waiters->last, RC_WAITERS_NOBODY);
        }
    }
}

void rc_waiters_add_first(struct rc_waiters *waiters, uint32_t index)
{
    rc_waiters_remove(waiters, index);
    waiter_insert(waiters, index, RC_WAITERS_NOBODY, waiters->first);
}

void rc_waiters_remove(struct rc_waiters *waiters, uint32_t index)
{
    struct rc_socket *socket = &waiters->truth->sockets[index];
    if (!(socket->flags & RC_SOCKET_WAITS_UPLINK)) {
        return;
    }
    const struct rc_waiter its = waiters->links[index];
    *(its.previous == RC_WAITERS_NOBODY ? &waiters->first : &waiters->links[its.previous].next) = its.next;
    *(its.next == RC_WAITERS_NOBODY ? &waiters->last : &waiters->links[its.next].previous) = its.previous;
    socket->flags &= (uint16_t)~RC_SOCKET_WAITS_UPLINK;
    waiters->count--;
}
