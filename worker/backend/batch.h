/*
 * batch: calls that nobody waits for, `disconnect`, told together: {"calls":[{…},{…}]}.
 *
 *   added ─▶ 100 of them, or 50 ms ─▶ sent, one batch of a backend at a time ─┬─ 2xx: over with
 *                                             ▲                               └─ else: again after a second, for a minute, then dropped
 *                                             └───────────────────────────────────┘
 *
 * Bounded: RC_BATCH_BYTES_MAX of frames for a backend; what comes beyond is dropped. All that is dropped is counted. Frames lie in
 * the truth (telling.h): who succeeds a worker goes on, and tells again what was not answered. Owned by struct rc_backends' owner; one thread.
 */
#ifndef RC_WORKER_BACKEND_BATCH_H
#define RC_WORKER_BACKEND_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shm/layout.h"
#include "worker/backend/call.h"
#include "worker/backend/telling.h"

#define RC_BATCH_CALLS_MAX 100u
#define RC_BATCH_WAIT_MS 50u
#define RC_BATCH_AGAIN_MS 1000u
#define RC_BATCH_KEEP_MS 60000u
#define RC_BATCH_BYTES_MAX (4u << 20)

struct rc_batches;

/* `counters`: of this worker, RC_CONFIG_BACKENDS_MAX of them. NULL: no memory. */
struct rc_batches *rc_batches_open(struct rc_backends *backends, struct rc_hub *hub,
                                   struct rc_backend_counters *counters);
void rc_batches_close(struct rc_batches *batches);
/* What a former process has left is this one's. Behind the first rc_batches_reconfigure. */
void rc_batches_taken(struct rc_batches *batches);
/* Adds a frame that was begun and written, and gives its memory back. */
void rc_batch_add(struct rc_batches *batches, uint32_t backend, struct rc_backend_frame *frame, uint64_t now_ms);
/* Backends have other numbers, or there are others: what waits goes along, and is dropped where its backend is there no more. */
void rc_batches_reconfigure(struct rc_batches *batches, const struct rc_config *config);
/* Sends what is due. */
void rc_batches_work(struct rc_batches *batches, uint64_t now_ms);
uint32_t rc_batches_sleep_ms(const struct rc_batches *batches, uint64_t now_ms, uint32_t most_ms);
/* Something waits for a backend that answered when it was told last: a draining worker stays for it. */
/* What is being told was left (rc_backends_leave): a successor tells it, or this process again if it goes on. */
void rc_batches_leave(struct rc_batches *batches);
bool rc_batches_busy(const struct rc_batches *batches);

#endif
