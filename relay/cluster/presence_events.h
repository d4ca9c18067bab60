/*
 * presence_events: subscribers that ask for it get who is in their channel when they come, and from then on who comes and goes
 * (namespace.presence_events). What they get travels on a channel of its own (rc_channel_is_presence), in order with everything else that goes down
 * to a worker: the list as it was told last, then the differences.
 *
 *   roster ── changed ────────────────▶ ┐                      ┌──▶ router: a difference, to the workers that want it
 *   presence ── counted, cleaned ─────▶ ├ dirty ── interval ──▶ ┤
 *   other instances ── heard ─────────▶ ┘    (Redis is read)   └──▶ the list, with the acknowledgement of who wants it (router/kept)
 *
 * With Redis the truth is the hash of the channel's members there, which every instance keeps right (presence.h); who changes it says so on the
 * Redis channel of the presence channel, and those who have subscribers read it, once an interval. So what was lost in between, of
 * messages or of whole instances, is found by the next reading, and at the latest after RC_PRESENCE_AGAIN_MS. After the connection to Redis was lost
 * nobody of another instance is said to have left until these had the time to write theirs again. Of this host the roster is believed at once.
 *
 * A new relay does not know what its predecessor told: it tells everything anew, once all workers have said whom they have.
 *
 * Owned by main; one thread. Only channels that somebody here looks at are known, and with Redis those that have just changed. Bounded by
 * the channels that workers want, and presence_members of each.
 */
#ifndef RC_RELAY_CLUSTER_PRESENCE_EVENTS_H
#define RC_RELAY_CLUSTER_PRESENCE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/config/config.h"
#include "common/shm/control.h"
#include "relay/cluster/presence_view.h"
#include "relay/cluster/registry.h"
#include "relay/cluster/roster.h"
#include "relay/redis/link.h"
#include "relay/route/router.h"
#include "relay/timer.h"

#define RC_PRESENCE_AGAIN_MS 30000u /* a channel that somebody looks at is looked at again after so long */
#define RC_PRESENCE_KNOWN_MS 50u    /* how often a new relay looks whether it knows all members */

struct rc_presence_channel;
struct rc_presence_place;
TAILQ_HEAD(rc_presence_channels, rc_presence_channel);

struct rc_presence_events {
    const struct rc_control *control;   /* borrowed */
    struct rc_router *router;           /* borrowed */
    struct rc_roster *roster;           /* borrowed */
    struct rc_timers *timers;           /* borrowed: the loop's */
    struct rc_metrics *metrics;         /* borrowed: the relay's */
    struct rc_redis_link *link;         /* borrowed; NULL = no Redis */
    const struct rc_registry *registry; /* borrowed; NULL = no Redis */
    struct rc_hashmap names;            /* owner: hash of a channel's name to its place */
    struct rc_presence_place *places;   /* owner */
    uint32_t used;
    uint32_t max;
    uint32_t free;                      /* first free place, UINT32_MAX = none */
    struct rc_presence_channels active; /* something is to be done when their time comes */
    struct rc_presence_channels looked; /* those that somebody looks at, looked at longest ago first */
    struct rc_timer timer;
    struct rc_redis_observer observer;
    bool lost;           /* the connection to Redis was lost since it was there last */
    bool doubts;         /* and all are to be looked at once more when it is trusted again */
    uint64_t trusted_ms; /* from then on who is not in Redis has gone */
    struct rc_presence_text text;
};

/* `link` and `registry` NULL: this host is all there is. 0 or -ENOMEM. */
int rc_presence_events_open(struct rc_presence_events *events, const struct rc_control *control,
                            struct rc_router *router, struct rc_roster *roster, struct rc_timers *timers,
                            struct rc_metrics *metrics, struct rc_redis_link *link, const struct rc_registry *registry);
/* After the link was closed. */
void rc_presence_events_close(struct rc_presence_events *events);

/* Somebody of this host came or went (the roster's change of the channel). */
void rc_presence_events_changed(struct rc_presence_events *events, struct rc_span channel);
/* It is in Redis: others are told to look. */
void rc_presence_events_counted(struct rc_presence_events *events, struct rc_span channel);
/* Another instance says that it has changed. `name` is that of the presence channel. */
void rc_presence_events_heard(struct rc_presence_events *events, struct rc_span name);
/* A worker wants this presence channel, and Redis has the subscription (`everywhere`) or has not. True: rc_router_interest_done comes later, since Redis has to be
 * read first. */
bool rc_presence_events_wait(struct rc_presence_events *events, const struct rc_interest_request *request,
                             bool everywhere);

/* For the router: rc_router_setup.presence. */
uint32_t rc_presence_events_list(void *context, struct rc_span name, uint8_t *out, uint64_t room);

#endif
