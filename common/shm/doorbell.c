/* doorbell: see doorbell.h. */
#include "common/shm/doorbell.h"

#include <errno.h>
#include <unistd.h>

int rc_doorbell_ring(struct rc_doorbell_shared *bell, int event_fd)
{
    /* D2 pairs with D1 in rc_doorbell_sleep: our commit is before this fence, the consumer's flag before its own. */
    atomic_thread_fence(memory_order_seq_cst);
    /* D3 reads what D1 stored. */
    uint32_t asleep = atomic_load_explicit(&bell->sleeping, memory_order_relaxed);
    if (asleep == 0) {
        return 0;
    }
    /* First the wake, then the flag: a producer killed in between costs one wake too many, the other order would
     * leave a consumer asleep that everybody believes awake. */
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(event_fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
    if (written < 0 && errno != EAGAIN) {
        return -errno;
    }
    /* D4 takes down exactly the sleep that was rung: a consumer that woke and sleeps again has another number, which
     * stays. Relaxed: whoever misses it only wakes once too often. */
    atomic_compare_exchange_strong_explicit(&bell->sleeping, &asleep, 0, memory_order_relaxed, memory_order_relaxed);
    atomic_fetch_add_explicit(&bell->wakes, 1, memory_order_relaxed);
    return 1;
}
