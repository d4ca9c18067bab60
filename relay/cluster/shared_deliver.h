/*
 * shared_deliver: messages of a shared history get their place: the lowest layer of shared, which alone uses it.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_DELIVER_H
#define RC_RELAY_CLUSTER_SHARED_DELIVER_H

#include "relay/cluster/shared_state.h"

/* A message as it came from Redis. */
struct rc_shared_arrival {
    uint64_t epoch;
    uint64_t offset;
    uint64_t time_ms;       /* CLOCK_MONOTONIC when it was new */
    struct rc_span message; /* for rc_wire_read_kept */
    bool own;               /* of this broker, with this sequence */
    uint64_t sequence;
    bool fans; /* subscribers get it; own pending ones are delivered whatever stands here */
};

static inline struct rc_span rc_shared_name(const struct rc_shared_channel *channel)
{
    return rc_span_of(channel->name, channel->name_bytes);
}

static inline bool rc_shared_is_alone(const struct rc_shared_channel *channel)
{
    return channel->state == RC_SHARED_ALONE || channel->state == RC_SHARED_RETURNING;
}

/* Redis answers: of what was delivered alone one has that place, or one before it. Later epochs have greater numbers, and what is in an earlier one is not read
 * any more. */
static inline void rc_shared_alone_until(struct rc_shared_channel *channel, uint64_t epoch, uint64_t offset)
{
    if (epoch > channel->alone_epoch || (epoch == channel->alone_epoch && offset > channel->alone_last)) {
        channel->alone_epoch = epoch;
        channel->alone_last = offset;
    }
}

/* May what was delivered alone be in that place, or behind it? */
static inline bool rc_shared_was_alone(const struct rc_shared_channel *channel, uint64_t epoch, uint64_t offset)
{
    return epoch == channel->alone_epoch && offset <= channel->alone_last;
}

/* Its subscribers were told an epoch in which there is no message: it is theirs to hold. */
static inline bool rc_shared_is_quiet(const struct rc_shared_channel *channel)
{
    return channel->state == RC_SHARED_LIVE && channel->followed && channel->epoch != 0 && channel->last == 0 &&
           !channel->local;
}

/* The namespace's policy when the channel's history is shared, else NULL. */
const struct rc_config_namespace *rc_shared_policy(const struct rc_shared *shared, struct rc_span name);

/* It is looked at in RC_SHARED_TICK_MS what waits. */
void rc_shared_tick_soon(struct rc_shared *shared);

/* Does somebody of this host listen, whatever Redis has of it? */
bool rc_shared_listens(const struct rc_shared *shared, struct rc_span name);

/* Its subscribers are told that messages were missed, up to `last` of the epoch; epoch 0: nobody knows which. */
void rc_shared_gap(struct rc_shared *shared, const struct rc_shared_channel *channel, uint64_t epoch, uint64_t last);

/* Is the last message that the copy has another one than this? False also where the copy does not have it. */
bool rc_shared_differs(struct rc_shared *shared, const struct rc_shared_channel *channel, struct rc_span message);
/* A message came in a place of the channel's epoch up to the last one: was another one delivered there? False also where nobody knows any more. */
bool rc_shared_displaces(struct rc_shared *shared, const struct rc_shared_channel *channel,
                         const struct rc_placed *placed);

/* The pending message of that sequence, or NULL. */
struct rc_shared_pending *rc_shared_pending_of(const struct rc_shared_channel *channel, uint64_t sequence);
/* A new one, behind all that wait; NULL: no memory. */
struct rc_shared_pending *rc_shared_pending_add(struct rc_shared *shared, struct rc_shared_channel *channel,
                                                const struct rc_envelope_view *view);
void rc_shared_pending_drop(struct rc_shared *shared, struct rc_shared_pending *pending);

/* A message of the channel's stream as a record has it; its parts live until the next one is read. False: it is none. */
bool rc_shared_message_read(struct rc_shared *shared, const struct rc_shared_channel *channel, struct rc_span message,
                            struct rc_envelope_view *view);
/* The same of one that is for the copy alone (rc_wire_read_again). */
bool rc_shared_message_read_again(struct rc_shared *shared, const struct rc_shared_channel *channel,
                                  struct rc_span message, struct rc_envelope_view *view);
/* Takes the arrival as the newest message of the channel, whatever was before it. */
void rc_shared_take(struct rc_shared *shared, struct rc_shared_channel *channel,
                    const struct rc_shared_arrival *arrival);
/* Delivers one of others as this host's own counting has it. */
void rc_shared_take_here(struct rc_shared *shared, const struct rc_shared_channel *channel,
                         const struct rc_shared_arrival *arrival);
/* How far the copy goes that a predecessor, or an earlier subscription, left. An epoch without a message may have been forgotten since: only who
 * `followed` it misses it. */
void rc_shared_copy(const struct rc_shared *shared, struct rc_shared_channel *channel, bool followed);
/* Delivers and answers what the script has answered, in order, as far as it has: nobody is subscribed here. */
void rc_shared_settle_apart(struct rc_shared *shared, struct rc_shared_channel *channel);
/* Answers what can have its message no more: it is behind the channel, and did not come. */
void rc_shared_settle_behind(struct rc_shared *shared, struct rc_shared_channel *channel);
/* Delivers all that wait as this host's own. */
void rc_shared_settle_alone(struct rc_shared *shared, struct rc_shared_channel *channel);

/* Keeps a message of the subscription until those before it are here; what there is no room for is read again. */
void rc_shared_hold(struct rc_shared *shared, struct rc_shared_channel *channel, const struct rc_placed *placed,
                    struct rc_span text);
/* The channel, which holds messages, takes the place in `holding` that its held_ms says. */
void rc_shared_holding_move(struct rc_shared *shared, struct rc_shared_channel *channel);
void rc_shared_held_drop(struct rc_shared *shared, struct rc_shared_channel *channel, struct rc_shared_held *held);
void rc_shared_held_drop_all(struct rc_shared *shared, struct rc_shared_channel *channel);

/* The list of all that a waiter is in. */
struct rc_shared_waiters *rc_shared_waiters_of(struct rc_shared *shared, const struct rc_shared_waiter *waiter);
/* Who subscribes is told the place that the copy has. Not `everywhere`: what others publish before Redis has confirmed the channel is missed, and read then. */
void rc_shared_tell_early(struct rc_shared *shared, struct rc_shared_channel *channel, bool everywhere);
/* Answers one who waits. */
void rc_shared_waiter_answer(struct rc_shared *shared, struct rc_shared_waiter *waiter, bool confirmed);
/* Answers who waits for this channel. `confirmed`: it is complete. */
void rc_shared_answer_waiters(struct rc_shared *shared, struct rc_shared_channel *channel, bool confirmed);
/* Somebody waits for what the copy lacks (shared_refill.h): it is looked for as soon as the channel is LIVE. */
void rc_shared_refill_begin(struct rc_shared *shared, struct rc_shared_channel *channel);
/* It is looked for now, or not any more. */
void rc_shared_refill_unqueue(struct rc_shared *shared, struct rc_shared_channel *channel);
/* It is over, whatever became of it: those who wait are answered. */
void rc_shared_refill_end(struct rc_shared *shared, struct rc_shared_channel *channel);
/* Frees the channel when nothing needs it. */
void rc_shared_release(struct rc_shared *shared, struct rc_shared_channel *channel);

#endif
