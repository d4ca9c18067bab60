/*
 * shared: a history that all instances share: Redis gives each message its offset, and each instance keeps a copy (relay/history).
 *
 *   worker's publish ─▶ pending ─▶ script in the outbox: offset, XADD, PUBLISH ─┬─▶ every subscribed instance ─▶ next offset? copy, deliver
 *                          ▲                                                    │                                  │ no: held
 *                          └── echo over the subscription, or the answer ◀──────┘         XRANGE ◀─────────────────┘
 *
 * Where the channel is subscribed, own messages are delivered when they come back over the subscription, as all others: it is the one order of
 * all instances. The script's answer, which comes another way, says how far the channel is: what has not come RC_SHARED_ECHO_MS after it was
 * lost with a subscription, and is read from the stream. Where nobody here is subscribed the answer is all that is needed.
 *
 * What is lost on the way shows in the offsets, and is read from the stream before anything newer is delivered (at most RC_SHARED_HELD_BYTES of newer
 * messages wait meanwhile, all channels together; what has to be dropped is read, too). When a subscription is confirmed, the first time or again, the
 * stream is read from where the copy ends: once a channel, whoever subscribes. Where the stream does not have it any more, subscribers are told (gap).
 *
 * A message that waited redis.history_wait for Redis, or that Redis refuses, is delivered by this host alone, which counts in an epoch of its own from
 * then on; subscribers are told (gap). When Redis answers and has what was delivered so, the shared epoch holds again, with another gap: what
 * others published meanwhile is in the copy, not with the subscribers.
 *
 * An offset that goes back, or a message that another one has taken the place of (a failover or a crash of Redis that lost writes), ends the epoch: a
 * new one is given for all. Who publishes says how far it has seen the epoch, so that Redis itself begins the new one before it gives an offset twice; what
 * somebody publishes before who has not seen as far ends it when it comes to one who has, over whichever connection.
 *
 * Owned by remote; one thread. Bounded: what waits for Redis by redis.outbox; what is held by RC_SHARED_HELD_BYTES; fetches by
 * RC_SHARED_FETCHES_MAX. Bytes from Redis are checked.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_H
#define RC_RELAY_CLUSTER_SHARED_H

#include "relay/cluster/shared_state.h"
#include "relay/route/remote_ops.h"

/* Right behind rc_redis_link_open. 0 or -ENOMEM. */
int rc_shared_open(struct rc_shared *shared, const struct rc_shared_setup *setup);
/* After the link was closed. */
void rc_shared_close(struct rc_shared *shared);
void rc_shared_configure(struct rc_shared *shared, const struct rc_config *config);

/* Is the history of this channel shared? */
bool rc_shared_covers(const struct rc_shared *shared, struct rc_span name);
/* Is all that came of the channel, which is subscribed to, delivered? True also where its history is not shared. */
bool rc_shared_settled(const struct rc_shared *shared, uint64_t hash, struct rc_span name);

/* rc_remote_ops.share. */
bool rc_shared_publish(struct rc_shared *shared, const struct rc_envelope_view *view, uint32_t worker,
                       uint32_t generation, bool answers);
/* The same of an entry of an application's stream, which Redis takes once; view->head.sequence tells setup.ended which. 0; -EAGAIN: it is to be
 * tried again; -EFBIG: it is larger than redis.outbox. */
int rc_shared_publish_entry(struct rc_shared *shared, const struct rc_envelope_view *view,
                            const struct rc_shared_source *source);
/* rc_redis_channel_ops.changed. */
void rc_shared_changed(struct rc_shared *shared, uint64_t hash, struct rc_span name, enum rc_redis_change change);
/* A message of the subscription. False: it has no place, or its history is not shared: it is delivered as it is. */
bool rc_shared_received(struct rc_shared *shared, struct rc_span name, struct rc_span text);
/* Messages may be missing that nothing tells of: every channel's stream is looked at. */
void rc_shared_look(struct rc_shared *shared);
/* rc_remote_ops.complete. */
bool rc_shared_complete(struct rc_shared *shared, const struct rc_envelope_view *asked, uint32_t worker,
                        uint32_t generation, bool forget);
/* A worker's registration is to be answered: true when that is done later (rc_router_interest_done), because the copy is being filled. */
bool rc_shared_wait(struct rc_shared *shared, const struct rc_interest_request *request, bool confirmed);
/* The same is answered now, before Redis has confirmed the channel: what comes behind the copy meanwhile is missed. */
void rc_shared_early(struct rc_shared *shared, const struct rc_interest_request *request);

#endif
