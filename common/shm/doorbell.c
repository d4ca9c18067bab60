/* doorbell: see doorbell.h. */
#include "common/shm/doorbell.h"

#include <errno.h>
#include <unistd.h>

int rc_doorbell_wake(int event_fd)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(event_fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    return written < 0 && errno != EAGAIN ? -errno : 0;
}

int rc_doorbell_ring(const struct rc_doorbell_shared *bell, int event_fd, uint64_t *rung)
{
    /* D2 pairs with D4 in rc_doorbell_sleep: our commit is before this fence, the consumer's flag before its own. */
    atomic_thread_fence(memory_order_seq_cst);
    /* D3 reads what D1 stored. */
    const uint64_t asleep = atomic_load_explicit(&bell->sleeping, memory_order_relaxed);
    if (asleep == 0 || asleep == *rung) {
        return 0;
    }
    const int rc = rc_doorbell_wake(event_fd);
    if (rc < 0) {
        return rc;
    }
    *rung = asleep; /* after the wake: one that failed is tried again */
    return 1;
}
