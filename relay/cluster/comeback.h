/*
 * comeback: Socket.IO sockets that come back on another host than they left (docs/socketio.md). A host whose worker asks for a session that it does
 * not have asks all instances; the one that has it keeps it until the other one hears all of its rooms:
 *
 *   asker                                                                                   owner
 *   ── ASK: ws:instances:session ─────────────────────────────────────────────────────────▶ is it lost, its user's, not too long ago?
 *   ◀───────────────────────────────────────────── HAVE: ws:instance:{asker}:session ────── who it was, its rooms, how far a stream was read
 *   expects it (relay/recovery/abroad.h): its rooms are subscribed to, and kept
 *   ── TAKE, when Redis has confirmed all of them: ws:instance:{owner}:session ───────────▶ gives it away: what it has missed up to here
 *      in a Cluster through each server: ws:instance:{owner}:session:mark ───────────────▶ (when all of them have come)
 *   ◀───────────────────────────────────────────── MISSED ──────────────────────────────────
 *                                                  (GIVEN through each other server)
 *   it arrived: the worker, which asks again every few milliseconds, finds it
 *
 * What is published before TAKE comes to the owner before TAKE, since one connection brings both, and is in its answer; what is published after it comes
 * to the asker, since its subscriptions were confirmed before it was sent. What comes both ways is known by its identity. While a room's shared history
 * is being read from Redis on either side, what came is not delivered yet, so that it waits.
 *
 * That is true of one server, which puts all that it carries into one order. A Redis Cluster has an order for each node. It holds there when both instances
 * hear each room at the same node (relay/redis/places.h): then it does not matter through which node, master or replica, something was published, and
 * when it gets to the one at which both hear it. So
 *
 *   - both have the same home, where classic channels are heard: instances agree on it (rc_redis_agree), and sharded channels have the slot's owner;
 *   - TAKE names where the asker hears: home, all nodes, and for sharded channels the map of slots; the owner, whose own are others, or not known now, answers BUSY, and is asked again;
 *   - TAKE goes through each node at which something may be heard, behind what the asker itself had waiting for it, and counts when the owner has heard
 *     each of them at its node, and at home (behind what a script published there, of which the asker may have read in a stream already);
 *   - the same way back: GIVEN goes through each of them, behind what the owner had heard or published there itself, before MISSED counts; else what came
 *     with it would come once more through a server that is slower than home;
 *   - each question has a token of its own, and is answered once (comeback_marks.h): one that Redis is given twice, or late, gives nothing away;
 *   - the answer counts under the map under which it was asked for;
 *   - HAVE comes when what the owner's clients said before the socket was lost is with Redis: its client had it, and the asker, which hears for it from
 *     there on, must not take it for new.
 *
 * A stream (socketio.adapter "streams") is in no such order: each instance reads it at its own pace. HAVE says how far the owner has read it: what its
 * client had of it before it was lost is among that, and the asker takes the session when it has come there, too, else it would hear it as new. TAKE
 * says how far the asker has read it; an owner that has not come there yet answers BUSY, and is asked again. An entry's id is the identity of its message.
 *
 * What the asker heard of a room before it sent TAKE the owner has heard, too, and gives, or its client had it: it is left out. What was said on the
 * asker itself, or heard later, is known by its identity.
 *
 * A node that dies, a slot that moves, a mark that is lost: not all of them come, or under another map, and when the time is up who comes back is somebody
 * new. What a subscription lost is a hole in the log of whoever lost it, and who missed what is there is somebody new, too (relay/recovery). What the
 * Cluster's bus loses nobody notices, here as everywhere.
 *
 * Its id stays, and names the instance where it was first: that one, and each that it left since, passes on what is for it by its id, as long as the next one
 * lives, and RC_DIRECT_PASSED_MAX times at most.
 *
 * A session goes once. When an answer is lost on the way, it is lost, and who comes back is somebody new. Bounded: RC_COMEBACKS_MAX at a time, of as
 * much as socketio.recovery_max each. Owned by the relay's main; one thread, the link's.
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_H
#define RC_RELAY_CLUSTER_COMEBACK_H

#include "relay/cluster/comeback_state.h"

/* Subscribes for the life of the link, if there is recovery. 0 or -ENOMEM. */
int rc_comeback_open(struct rc_comeback *comeback, const struct rc_comeback_setup *setup);
/* After the link was closed. */
void rc_comeback_close(struct rc_comeback *comeback);

/* rc_recovery_setup.elsewhere. */
uint16_t rc_comeback_ask(struct rc_comeback *comeback, struct rc_span channel, struct rc_span claim);
/* Where the socket with the token went from here; NULL: nowhere. */
const struct rc_comeback_move *rc_comeback_moved(const struct rc_comeback *comeback, uint64_t token);
/* The instance that has the socket with the token, which is expected here and was not asked for yet: what is for it has to be there, too, since it
 * may stay. What is sent there now comes before TAKE does. NULL: it is not expected, or on its way. */
const char *rc_comeback_owner(const struct rc_comeback *comeback, uint64_t token);

#endif
