/*
 * questions: what clients have asked the relay (RC_UP_QUERY) and not been answered yet, so that each is answered exactly once.
 *
 *   client ── rc_questions_ask ──▶ up ring ──▶ relay            waiting: oldest first, found by the token in the record
 *   client ◀── rc_questions_answered ── down ring ◀── relay
 *   client ◀── error 503 ── rc_questions_expire                 the relay was replaced, or RC_QUESTION_MS are over
 *
 * Private memory of the worker: a worker that dies takes its clients along. Owned by the uplink; one thread. Bounded:
 * RC_QUESTIONS_MAX wait at a time.
 */
#ifndef RC_WORKER_UPLINK_ASK_H
#define RC_WORKER_UPLINK_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"

#define RC_QUESTIONS_MAX 1024u /* a power of two */
#define RC_QUESTION_MS 3000u   /* clearly longer than the relay may take (common/records/query.h) */

struct rc_uplink;
struct rc_question;

struct rc_questions {
    struct rc_question *items; /* owned: place token % RC_QUESTIONS_MAX; NULL until the first one */
    uint64_t first;            /* token of the oldest that may wait */
    uint64_t next;             /* of the next one */
};

void rc_questions_close(struct rc_questions *questions);

/* Writes the record of a client, whose head is complete but for the token. -EAGAIN: no room in the up ring; -ENOBUFS, -ENOMEM: too many
 * wait. */
int rc_questions_ask(struct rc_uplink *uplink, struct rc_envelope_view *view);
/* An RC_DOWN_QUERY for a client: it is told, unless it was before. */
void rc_questions_answered(struct rc_uplink *uplink, const struct rc_envelope_view *view);
/* Tells those that will not be answered any more. Every loop. */
void rc_questions_expire(struct rc_uplink *uplink);

#endif
