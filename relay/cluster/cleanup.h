/*
 * cleanup: removes everything that one instance has in Redis.
 *
 * What an instance owns is named by its index, the set `ws:instance:{id}:index`; each member is a letter and a name:
 *
 *   c subs:…            a set with members `{id}:{client}`           p ws:presence:channel:…  a hash with fields `{id}~…`
 *   i subs-instances:…  a set with the member `{id}`                 m ws:presence:members:…  a hash with values `…,{id}:{clients},…`
 *   u {user}            a user that is online there
 *
 *   lock ─▶ owner gone? ─▶ page of the index ─▶ remove, in parallel ─▶ take the page out of the index ─┐
 *             ▲ └─back again: stop                                                                     │
 *             └────────────────────────────────── next page ◀──────────────────────────────────────────┘
 *                                                 last page ─▶ forget index and instance ─▶ unlock
 *
 * One at a time, owned by registry. Steps are idempotent, so that whoever gets the lock after one that died goes on. The lock is
 * renewed with every page and given up when it was lost. Bounded: RC_CLEANUP_PAGE_MAX names in flight.
 */
#ifndef RC_RELAY_CLUSTER_CLEANUP_H
#define RC_RELAY_CLUSTER_CLEANUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/base/span.h"
#include "relay/redis/link.h"

#define RC_CLEANUP_LOCK_MS 10000u
#define RC_CLEANUP_PAGE_MAX 256u
#define RC_CLEANUP_CURSOR_MAX 24u

enum rc_cleanup_result {
    RC_CLEANUP_DONE,
    RC_CLEANUP_BUSY,   /* another instance has the lock */
    RC_CLEANUP_ALIVE,  /* the instance is back */
    RC_CLEANUP_FAILED, /* Redis was lost, refused, or the lock was */
};

struct rc_cleanup_ops {
    /* The user is not online on that instance any more. 0 when `replied` will be called with `context`, as rc_redis_command.
     * `replied` NULL: a predecessor of this instance had the user, who is taken over and may still be there. */
    int (*user)(void *ops_context, struct rc_span user, const char *instance, rc_redis_replied *replied, void *context);
    /* The user (empty: the anonymous) has so many clients in the channel, none on that instance any more. `gone`: none at all; `vacated`: nobody is in
     * it. May be NULL. */
    void (*member)(void *ops_context, struct rc_span channel, struct rc_span user, bool gone, bool vacated,
                   uint32_t clients);
    /* Tells how it ended. */
    void (*done)(void *ops_context, const char *instance, enum rc_cleanup_result result);
    void *context; /* borrowed */
};

struct rc_cleanup;

/* One name of the page whose removal is in flight. */
struct rc_cleanup_item {
    struct rc_cleanup *cleanup; /* borrowed */
    char *text;                 /* owner: letter and name, NUL-terminated */
    uint32_t bytes;
    bool again; /* the scan found more than one command removes */
    char cursor[RC_CLEANUP_CURSOR_MAX];
};

struct rc_cleanup {
    struct rc_redis_link *link; /* borrowed */
    const char *nonce;          /* borrowed: who holds the lock */
    struct rc_cleanup_ops ops;
    char victim[RC_INSTANCE_ID_MAX + 1];
    bool running;
    bool own;    /* of this instance's predecessor: the owner key is ours */
    bool failed; /* something of the page was not removed */
    bool last;   /* the page is the last one of the scan */
    bool empty;  /* every page of the scan was empty: the index is empty */
    char cursor[RC_CLEANUP_CURSOR_MAX];
    uint32_t outstanding; /* of the page */
    uint32_t item_count;
    struct rc_cleanup_item items[RC_CLEANUP_PAGE_MAX];
    uint64_t removed; /* members and fields */
};

void rc_cleanup_init(struct rc_cleanup *cleanup, struct rc_redis_link *link, const char *nonce,
                     const struct rc_cleanup_ops *ops);
/* Begins; one at a time (`running`). `done` is called later, or never when this is not 0 (negative errno). */
int rc_cleanup_start(struct rc_cleanup *cleanup, const char *victim, bool own);
void rc_cleanup_close(struct rc_cleanup *cleanup);

/* Whether a name in an index is one that ringcast writes: what else somebody put there is never touched. */
bool rc_cleanup_known(struct rc_span name);

#endif
