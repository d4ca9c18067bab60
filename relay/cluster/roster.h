/*
 * roster: who is in the channels of this host, as its workers tell it: where presence is on (namespace.presence).
 *
 *   worker ── RC_UP_MEMBER_ADD, _REMOVE ──▶ router ──▶ roster ── changed ──▶ presence ──▶ Redis
 *                                                         └── rc_roster_find, _next ──▶ queries
 *
 * Counts of clients and of users are kept, so that they cost nothing to ask for. Owned by main; one thread. Private memory, an
 * index: workers tell everything again to a new relay. Bounded by RC_ROSTER_MAX memberships; what is beyond is counted and left
 * out.
 */
#ifndef RC_RELAY_CLUSTER_ROSTER_H
#define RC_RELAY_CLUSTER_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/base/hashmap.h"
#include "common/metrics/metrics.h"
#include "common/base/span.h"

#define RC_ROSTER_MAX (UINT32_C(1) << 24)

/* What has become of a channel. Spans live during the call. */
struct rc_roster_change {
    struct rc_span channel;
    struct rc_span user;      /* empty = the anonymous together */
    struct rc_span info;      /* what else is known of the user there; empty = nothing */
    struct rc_client_ref ref; /* of the client with which the user came; random 0: it is not here any more */
    uint32_t clients;         /* of the user, in the channel now */
    uint32_t before;          /* and before */
    uint32_t channel_clients; /* in the channel now */
    uint32_t channel_before;
    bool quiet; /* a worker only tells again what it has told a relay before */
};

struct rc_roster_ops {
    /* May be NULL. */
    void (*changed)(void *context, const struct rc_roster_change *change);
    void *context; /* borrowed */
};

/* Entries that are found by an index, with a list of the free ones. */
struct rc_roster_table {
    void *items;   /* owner */
    uint32_t used; /* places used */
    uint32_t max;
    uint32_t free;         /* UINT32_MAX = none */
    struct rc_hashmap map; /* owner */
};

struct rc_roster {
    struct rc_metrics *metrics; /* borrowed: the relay's */
    struct rc_roster_ops ops;
    struct rc_roster_table channels;
    struct rc_roster_table people; /* pairs of channel and user */
    struct rc_roster_table members;
    uint64_t telling[(RC_WORKERS_MAX + 63) / 64]; /* workers that tell everything again */
    uint64_t told[(RC_WORKERS_MAX + 63) / 64];    /* those that have told everything */
};

struct rc_roster_counts {
    uint32_t channel; /* for rc_roster_next */
    uint32_t clients;
    uint32_t users; /* different ones, the anonymous not counted */
};

/* 0 or -ENOMEM. */
int rc_roster_open(struct rc_roster *roster, struct rc_metrics *metrics);
void rc_roster_close(struct rc_roster *roster);

/* The client subscribed or unsubscribed. Telling it again changes nothing. */
void rc_roster_add_member(struct rc_roster *roster, struct rc_span channel, const struct rc_client_ref *ref,
                          struct rc_span user, struct rc_span info);
static inline void rc_roster_add(struct rc_roster *roster, struct rc_span channel, const struct rc_client_ref *ref,
                                 struct rc_span user)
{
    rc_roster_add_member(roster, channel, ref, user, (struct rc_span){0});
}
void rc_roster_remove(struct rc_roster *roster, struct rc_span channel, const struct rc_client_ref *ref);
/* A worker tells all its clients' memberships between begin and end: what it does not tell again goes. */
void rc_roster_worker_begin(struct rc_roster *roster, uint32_t worker);
void rc_roster_worker_end(struct rc_roster *roster, uint32_t worker);
/* Has the worker told everything? */
bool rc_roster_told(const struct rc_roster *roster, uint32_t worker);
/* The worker died with its clients. */
void rc_roster_worker_gone(struct rc_roster *roster, uint32_t worker);

/* How many memberships there are, of clients of this host. */
static inline uint32_t rc_roster_count(const struct rc_roster *roster)
{
    return roster->members.map.count;
}

/* False: nobody is in the channel. */
bool rc_roster_find(const struct rc_roster *roster, struct rc_span channel, struct rc_roster_counts *counts);
/* The users of a channel one by one, those who came last first: begin with *cursor = UINT32_MAX. False at the end. */
bool rc_roster_next(const struct rc_roster *roster, const struct rc_roster_counts *counts, uint32_t *cursor,
                    struct rc_span *user, uint32_t *clients);
/* What else is known of the user at the cursor. */
struct rc_span rc_roster_info(const struct rc_roster *roster, uint32_t cursor);
/* Notes that the others were told of the user in the channel, or (user NULL) of the channel itself. True: they were already. *ref: with which
 * client it came. False also when nobody is there. */
bool rc_roster_announce(struct rc_roster *roster, struct rc_span channel, const struct rc_span *user,
                        struct rc_client_ref *ref, struct rc_span *info);

#endif
