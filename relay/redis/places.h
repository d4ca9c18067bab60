/*
 * places: through which servers messages come, and whether two instances hear them through the same ones (relay/cluster/comeback.h).
 *
 * A server hands what it carries to all who are subscribed there in one order. So two instances that hear a channel at the same server hear it in the
 * same order, and what is published at that server behind a message comes to both behind it, whoever published the message, and wherever: in a Cluster
 * it came to that server by the bus. Classic channels are heard at home, sharded ones at their slots' owners. What else is known of a message before it
 * is heard (an entry of a stream) was written by the slot's owner, which published it in the same moment: what is published there behind it comes to
 * home behind it, too.
 *
 * Part of the link, one thread.
 */
#ifndef RC_RELAY_REDIS_PLACES_H
#define RC_RELAY_REDIS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/pubsub_state.h"

struct rc_redis_link;

struct rc_redis_places {
    uint64_t
        map; /* equal on two instances exactly when they hear every channel at the same server; 0: there is one server only */
    uint32_t count;
    uint64_t ids[RC_REDIS_NODES_MAX]; /* of the servers, the same on all instances; [0] is home's */
};

/* False: it is not known now, as the Cluster's map has been contradicted, or home is nowhere. */
bool rc_redis_places(const struct rc_redis_link *link, struct rc_redis_places *places);

/* Has each of them a connection now over which it takes what is published at it? */
bool rc_redis_places_up(const struct rc_redis_link *link, const struct rc_redis_places *places);

/* Another instance has another map: this one is read again, twice a second at most. */
void rc_redis_places_differ(struct rc_redis_link *link);

/* Publishes at that server of rc_redis_places, past all outboxes: what waits there comes later. 0; -ENOTCONN: it is away; else as rc_redis_command. */
int rc_redis_publish_at(struct rc_redis_link *link, uint64_t id, struct rc_span channel, struct rc_span message);

/* What was published last, of all outboxes. */
uint64_t rc_redis_published(const struct rc_redis_link *link);
/* Has Redis taken all that was published up to there, or was it given up? */
bool rc_redis_taken(const struct rc_redis_link *link, uint64_t published);
/* The same of all that was published up to then (rc_clock_ms). */
bool rc_redis_taken_by(const struct rc_redis_link *link, uint64_t time_ms);

/* In a Cluster home is the master of this name's slot (borrowed, with prefix to come), as long as it is there: the same one on all instances that agree. Right
 * behind rc_redis_link_open. */
void rc_redis_agree(struct rc_redis_link *link, const char *name);

#endif
