/*
 * comeback_marks: what has come of the questions for a session that go through several servers of a Redis Cluster (comeback.h), and which were answered.
 *
 *   TAKE of one token: through server 0 ── heard there ──┐
 *                                       └─ at home ──────┤
 *                      through server 1 ── heard there ──┼─▶ WHOLE, once ─▶ answered: what comes of it twice or late is SPENT
 *                                       └─ at home ──────┘
 *
 * Behind the last of them nothing is on its way that was published before the first. Bounded: RC_COMEBACK_MARKS_MAX questions; the oldest goes, and its
 * asker hears nothing. Owned by comeback, one thread.
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_MARKS_H
#define RC_RELAY_CLUSTER_COMEBACK_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/places.h"

#define RC_COMEBACK_MARKS_MAX 512u

enum rc_comeback_marked {
    RC_COMEBACK_PARTLY, /* others are to come */
    RC_COMEBACK_WHOLE,  /* to be answered now */
    RC_COMEBACK_SPENT,  /* it was answered */
    RC_COMEBACK_STRAY,  /* it was not heard where it counts, or is of a server that is none here */
};

/* A question as it came. */
struct rc_comeback_mark {
    uint64_t token; /* of the question: another one each time it is asked */
    uint64_t place; /* the server through which the asker sent it */
    uint64_t heard; /* the server at which it was heard */
    uint32_t count; /* servers through which it was sent */
};

struct rc_comeback_marked_one;

struct rc_comeback_marks {
    struct rc_comeback_marked_one *ones; /* owner: RC_COMEBACK_MARKS_MAX */
    uint64_t clock;                      /* of what came: who is the oldest */
};

/* 0 or -ENOMEM. */
int rc_comeback_marks_open(struct rc_comeback_marks *marks);
void rc_comeback_marks_close(struct rc_comeback_marks *marks);

/* One came; `places` are those of this instance now, of the same map as the asker's. */
enum rc_comeback_marked rc_comeback_marks_came(struct rc_comeback_marks *marks, const struct rc_comeback_mark *mark,
                                               const struct rc_redis_places *places);
/* It is answered without waiting for the others. False: it was before. */
bool rc_comeback_marks_spend(struct rc_comeback_marks *marks, uint64_t token);

#endif
