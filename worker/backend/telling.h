/*
 * telling: texts for servers of applications that nobody waits for: webhooks of Pusher apps, `disconnect` of backends (batch.h).
 *
 *   added ─▶ the last of its queue ─▶ told, with others ─▶ answered: removed
 *
 * They lie in the truth (worker/store/hook.h) until then: a successor goes on with them, so that each is told at least once. Bounded by the pool,
 * by half of limits.worker_log together with undecoded input, and by the callers. Queues are index: private memory, without anything that
 * is owned. One thread.
 */
#ifndef RC_WORKER_BACKEND_TELLING_H
#define RC_WORKER_BACKEND_TELLING_H

#include "worker/hub/hub.h"

/* Of one destination; all 0: empty. */
struct rc_telling_queue {
    uint32_t first; /* struct rc_telling, the oldest; 0 = none */
    uint32_t last;
    uint32_t count;
    uint64_t bytes; /* of their texts, and what each takes beside */
};

/* Of whom a text is for. */
struct rc_telling_to {
    uint8_t number; /* among the destinations of its kind */
    uint16_t mark;  /* of its name: finds it where a reload has given it another number; 0 = numbers stay */
};

/* Copies the text. `now_ms`: CLOCK_MONOTONIC. -ENOMEM: there is no room. */
int rc_telling_add(struct rc_hub *hub, struct rc_telling_queue *queue, enum rc_telling_kind kind,
                   struct rc_telling_to to, struct rc_span text, uint64_t now_ms);
void rc_telling_remove_first(struct rc_hub *hub, struct rc_telling_queue *queue);
/* The text, until it is removed. */
struct rc_span rc_telling_text(const struct rc_hub *hub, uint32_t telling);
uint32_t rc_telling_next(const struct rc_hub *hub, uint32_t telling);
/* Since when the first waits; not of an empty one. */
uint64_t rc_telling_since_ms(const struct rc_hub *hub, const struct rc_telling_queue *queue);

/* Those of a kind that a former process left, in their order: into the queues that `queue_of` gives for `to`; NULL: they are dropped. How many those
 * are. */
uint32_t rc_tellings_take(struct rc_hub *hub, enum rc_telling_kind kind, void *context,
                          struct rc_telling_queue *(*queue_of)(void *context, struct rc_telling_to to));

#endif
