/*
 * comeback_owner: the other half of comeback.h: the instance that has a lost session says so when it is asked, gives it away with what its socket missed,
 * and tells through all servers when that is behind all that was heard here.
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_OWNER_H
#define RC_RELAY_CLUSTER_COMEBACK_OWNER_H

#include "relay/cluster/comeback_state.h"
#include "relay/cluster/comeback_wire.h"
#include "relay/redis/places.h"

/* ASK and TAKE are answered: with HAVE, with the session, or with NONE. True: rc_comeback_owner_tick has something to tell later. */
bool rc_comeback_owner_asked(struct rc_comeback *comeback, const struct rc_comeback_message *message);
/* A TAKE by one of the servers, `heard`. Answered when all of it has come. Who hears rooms elsewhere than this instance is told so at once.
 * True: as rc_comeback_owner_asked. */
bool rc_comeback_owner_took(struct rc_comeback *comeback, const struct rc_comeback_message *message, uint64_t heard);
/* Tells who got a session through all servers that this is behind what was heard here, once what this instance published itself is with Redis. True: some
 * wait. */
bool rc_comeback_owner_tick(struct rc_comeback *comeback, uint64_t now_ms);

/* All of a Cluster's servers take something now, and what this instance published up to there is with Redis: with one that is away others would be told in
 * vain, as often as it is tried. */
bool rc_comeback_taken_by_all(struct rc_comeback *comeback, uint64_t published, struct rc_redis_places *places);

#endif
