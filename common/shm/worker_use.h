/*
 * worker_use: which of the places for workers are in use. The acceptor writes it (`ringcast workers`); everybody may read, and finds another
 * number the next time.
 */
#ifndef RC_COMMON_SHM_WORKER_USE_H
#define RC_COMMON_SHM_WORKER_USE_H

#include "common/shm/layout.h"

static inline enum rc_worker_use rc_worker_use(const struct rc_core *core, uint32_t worker)
{
    /* Relaxed: who reads it concludes nothing about another word. */
    return (enum rc_worker_use)atomic_load_explicit(&core->workers[worker].use, memory_order_relaxed);
}

/* How many of `places` are in use, those included that are leaving. */
static inline uint32_t rc_workers_used(const struct rc_core *core, uint32_t places)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < places; i++) {
        used += rc_worker_use(core, i) != RC_WORKER_UNUSED;
    }
    return used;
}

/* How many client connections there may be now: `configured` (server.max_connections; 0 = no bound of its own), and no more than the workers in use
 * have room for. Each has room for all of them where its descriptors allow that, or for what they allow: fewer workers may be fewer connections. */
static inline uint64_t rc_workers_connections_max(const struct rc_core *core, uint32_t places, uint64_t configured)
{
    const uint64_t room = (uint64_t)core->slots_per_worker * rc_workers_used(core, places);
    return configured == 0 || room < configured ? room : configured;
}

/* Was there ever a worker in the place? What it counted stays. */
static inline bool rc_worker_was_used(const struct rc_core *core, uint32_t worker)
{
    return rc_worker_use(core, worker) != RC_WORKER_UNUSED ||
           atomic_load_explicit(&core->workers[worker].generation, memory_order_relaxed) > 1;
}

#endif
