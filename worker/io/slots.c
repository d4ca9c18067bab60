/* slots: which direct descriptors nobody has, where they are chosen here and not by the kernel (arrive.c). An index. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "worker/io/io_internal.h"

bool rc_io_arriving(const struct rc_io *io, uint32_t socket)
{
    const struct rc_truth_arrivals *arrivals = &io->truth->layout->arrivals;
    const struct rc_truth_coming *coming = &io->truth->layout->coming;
    if (coming->phase != RC_COMING_NONE && coming->socket == socket + 1) {
        return true;
    }
    for (uint32_t i = 0; i < RC_ARRIVALS_MAX; i++) {
        if (arrivals->socket[i] == socket + 1) {
            return true;
        }
    }
    return false;
}

int rc_io_slots_open(struct rc_io *io)
{
    io->slots_free = malloc(io->truth->socket_count * sizeof(*io->slots_free));
    if (io->slots_free == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = io->truth->socket_count; i-- > 0;) { /* the lowest first */
        if (io->truth->sockets[i].state == RC_SOCKET_FREE && !rc_io_arriving(io, i)) {
            io->slots_free[io->slots_free_count++] = i;
        }
    }
    return 0;
}

uint32_t rc_io_slot_take(struct rc_io *io)
{
    return io->slots_free_count == 0 ? RC_SOCKET_NONE : io->slots_free[--io->slots_free_count];
}

void rc_io_slot_free(struct rc_io *io, uint32_t socket)
{
    if (io->slots_free != NULL) {
        RC_ASSERT_HOT(io->slots_free_count < io->truth->socket_count);
        io->slots_free[io->slots_free_count++] = socket;
    }
}
