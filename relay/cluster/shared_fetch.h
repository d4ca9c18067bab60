/*
 * shared_fetch: reads a channel's stream to where its subscription goes on: the middle layer of shared, which alone uses it.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_FETCH_H
#define RC_RELAY_CLUSTER_SHARED_FETCH_H

#include "relay/cluster/shared_state.h"

/* The channel is FETCHING from now on. `fans`: subscribers get what is read (they missed it); `all`: the copy begins anew. */
void rc_shared_fetch_begin(struct rc_shared *shared, struct rc_shared_channel *channel, bool fans, bool all);
/* Ends it, whatever is on its way; the channel is in another state. */
void rc_shared_fetch_end(struct rc_shared *shared, struct rc_shared_channel *channel);
/* It is not subscribed to, and nothing is fetched: APART. */
void rc_shared_go_apart(struct rc_shared *shared, struct rc_shared_channel *channel);
/* Of a channel that is APART: what the script has answered is delivered. Where somebody listens all the same, as a dead relay's subscribers before their
 * subscriptions are there again, it is read from the stream, with what others published before it: it would be out of order, and in no copy. */
void rc_shared_settle(struct rc_shared *shared, struct rc_shared_channel *channel);
/* The answer to rc_shared_renew; context: shared. */
void rc_shared_fetch_renewed(void *context, const redisReply *reply);
/* Sends as many as may be on their way, of those in the line. */
void rc_shared_fetch_next(struct rc_shared *shared, uint64_t now_ms);
/* The same; before it, those whose fetch failed and is to be tried again by now go into the line. Once a tick. */
void rc_shared_fetch_due(struct rc_shared *shared, uint64_t now_ms);
/* Redis answers again, perhaps over another connection: what it refused, or did not answer, it is asked at once. */
void rc_shared_fetch_now(struct rc_shared *shared);
/* Of channels whose stream cannot be read, or which Redis does not answer, and whose messages were held for redis.history_wait: on with these, and subscribers are told. Once a tick. */
void rc_shared_fetch_give_up(struct rc_shared *shared, uint64_t now_ms);
/* A message of the subscription is the next one, or is held and what is between is fetched. */
void rc_shared_arrived(struct rc_shared *shared, struct rc_shared_channel *channel, const struct rc_placed *placed,
                       struct rc_span text);

#endif
