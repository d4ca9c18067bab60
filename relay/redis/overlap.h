/*
 * overlap: two relays that hear Redis at the same time, so that nothing is missed when one follows the other (relay/leaving.h).
 *
 *   old   FORWARDS: what it hears it does not handle, but writes into a file in memory that both have ────────── the mark ─▶ DONE, it ends
 *   new   FOLLOWS: handles what the old one wrote, drops what it hears itself;                                      │
 *         once it hears everything: publishes the mark ─▶ KEEPS: what it hears behind the mark waits for its turn ──┘─▶ over
 *
 * A server sends what is published to all its subscribers in one order. So what is before the mark, and what is behind it, is the same for
 * both: the old one's part and the new one's are together all there was, each once, and in order. Where there are several servers that
 * could differ (a Cluster) it is not done, nor where the old one does not forward, or ends early: then something was missed, and is told as
 * after a crash.
 *
 * The file: a head, then records. Owned by the relay on either side; one thread each.
 */
#ifndef RC_RELAY_REDIS_OVERLAP_H
#define RC_RELAY_REDIS_OVERLAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "relay/redis/heard.h"

#define RC_REDIS_OVERLAP_BYTES_MAX (256u << 20) /* forwarded; more than that is lost, and told */
#define RC_REDIS_OVERLAP_KEPT_MAX (64u << 20)   /* kept */
#define RC_REDIS_OVERLAP_MS 10000u
#define RC_REDIS_OVERLAP_NONCE_BYTES 32u

enum rc_redis_overlap_role {
    RC_REDIS_OVERLAP_OVER,
    RC_REDIS_OVERLAP_FORWARDS,
    RC_REDIS_OVERLAP_FOLLOWS,
    RC_REDIS_OVERLAP_KEEPS,
    RC_REDIS_OVERLAP_LOST, /* something was missed, and nothing more is kept or forwarded */
};

struct rc_redis_overlap_head;

struct rc_redis_overlap {
    enum rc_redis_overlap_role role;
    int fd;                             /* borrowed */
    int bell_fd;                        /* borrowed: of who follows */
    struct rc_redis_overlap_head *head; /* owned mapping */
    uint64_t position;                  /* of records written, or handled */
    uint64_t since_ms;
    bool marked;   /* the mark was published */
    uint8_t *kept; /* owned: records as in the file */
    size_t kept_bytes;
    size_t kept_capacity;
    uint8_t *scratch; /* owned: one record */
    size_t scratch_bytes;
};

/* Old: from now on all that is heard goes into the file. Of one that is over, or all zero. Negative errno with `err`: it does not. */
int rc_redis_overlap_forward(struct rc_redis_overlap *overlap, int fd, int bell_fd, struct rc_err *err);
/* New, before the old one is told to leave: nobody forwards yet. Whoever was to, in an upgrade before, has died. */
void rc_redis_overlap_forget(int fd);
/* New, that follows nobody, as the one that was to has died: what was forwarded is nobody's. */
void rc_redis_overlap_drop(int fd);
/* New: does somebody forward? False: there is no overlap. */
bool rc_redis_overlap_follow(struct rc_redis_overlap *overlap, int fd);
void rc_redis_overlap_close(struct rc_redis_overlap *overlap);

/* Something was heard at the server that both hear. True: it is dealt with. */
bool rc_redis_overlap_take(struct rc_redis_overlap *overlap, const struct rc_redis_heard *heard);

/* New: is there nothing to wait for any more, whatever the interest is? */
bool rc_redis_overlap_hopeless(const struct rc_redis_overlap *overlap);
/* New, once a turn when all interest is known, or it is hopeless: handles what was forwarded, and at the end what was kept. */
void rc_redis_overlap_handle(struct rc_redis_overlap *overlap, rc_redis_hear *hear, void *context);
/* What is to be published as the mark; NULL: it was, or need not be. */
const char *rc_redis_overlap_mark(const struct rc_redis_overlap *overlap);
/* It was. */
void rc_redis_overlap_marked(struct rc_redis_overlap *overlap);
/* It takes too long, or the connection was lost. What was kept is handled. */
void rc_redis_overlap_give_up(struct rc_redis_overlap *overlap, rc_redis_hear *hear, void *context);

/* Old: has the mark come, or can it not come any more? */
bool rc_redis_overlap_ended(struct rc_redis_overlap *overlap);

#endif
