/* shared: see shared.h. */
#include "relay/cluster/shared.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/interest.h"
#include "relay/bridge/channel.h"
#include "relay/cluster/shared_deliver.h"
#include "relay/cluster/shared_fetch.h"
#include "relay/cluster/shared_refill.h"

static_assert(RC_HISTORY_STAMP_MAX == RC_WIRE_RETAIN_MS_MAX, "a stamp that is given is one that others take");

/* A name that has no place in Redis has the host's history: nothing of it waits for others, is repaired, or comes by a script. */
bool rc_shared_covers(const struct rc_shared *shared, struct rc_span name)
{
    return rc_shared_policy(shared, name) != NULL && rc_shared_nameable(shared->setup.config->redis.prefix.text, name);
}

bool rc_shared_settled(const struct rc_shared *shared, uint64_t hash, struct rc_span name)
{
    if (!rc_shared_covers(shared, name)) {
        return true;
    }
    const struct rc_shared_channel *channel = rc_shared_table_find(&shared->table, hash, name);
    return channel != NULL && channel->state == RC_SHARED_LIVE && TAILQ_EMPTY(&channel->helds);
}

static struct rc_shared_channel *channel_make(struct rc_shared *shared, uint64_t hash, struct rc_span name)
{
    struct rc_shared_channel *channel = rc_shared_table_make(&shared->table, hash, name);
    rc_metric_set(shared->metrics, RC_METRIC_HISTORY_SHARED_CHANNELS, shared->table.map.count);
    return channel;
}

/* --- alone ----------------------------------------------------------------------------------------------------------- */

static void alone_unlist(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->alone_listed) {
        channel->alone_listed = false;
        TAILQ_REMOVE(&shared->alone, channel, in_alone);
    }
}

static void go_alone(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->state != RC_SHARED_ALONE) {
        rc_log_limited(RC_LOG_WARN, 1, "history_alone", "channel!=\"%.*s\" reason=\"Redis does not take its messages\"",
                       (int)channel->name_bytes, channel->name);
        rc_shared_fetch_end(shared, channel);
        rc_shared_held_drop_all(shared, channel);
        channel->state = RC_SHARED_ALONE;
        rc_shared_answer_waiters(shared, channel, false);
        rc_shared_refill_end(shared, channel);
        if (!channel->alone_listed) {
            channel->alone_listed = true;
            TAILQ_INSERT_TAIL(&shared->alone, channel, in_alone);
        }
    }
    rc_shared_settle_alone(shared, channel);
    rc_shared_tick_soon(shared);
}

/* Redis answers again: when it has what was delivered alone, the shared epoch holds. */
static void come_back(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (!rc_shared_is_alone(channel)) {
        return;
    }
    channel->state = RC_SHARED_RETURNING;
    if (channel->alone_left > 0) {
        return;
    }
    alone_unlist(shared, channel);
    if (channel->followed) {
        rc_shared_fetch_begin(shared, channel, !channel->local, channel->local);
    } else {
        if (channel->local && rc_shared_listens(shared, rc_shared_name(channel))) {
            rc_shared_gap(shared, channel, 0, 0); /* what others published meanwhile is in the stream, not with them */
        }
        channel->local = false;
        channel->alone_epoch = channel->alone_last = 0;
        rc_shared_go_apart(shared, channel);
    }
}

/* --- publishing ------------------------------------------------------------------------------------------------------ */

/* CLOCK_REALTIME, which is looked at once in RC_SHARED_TICK_MS. */
static uint64_t wall_about(struct rc_shared *shared, uint64_t now_ms)
{
    if (now_ms - shared->wall_at_ms >= RC_SHARED_TICK_MS) {
        shared->wall_at_ms = now_ms;
        shared->wall_ms = rc_clock_wall_ms();
    }
    return shared->wall_ms + (now_ms - shared->wall_at_ms);
}

static int publish_run(struct rc_shared *shared, struct rc_shared_pending *pending,
                       const struct rc_config_namespace *policy, const struct rc_shared_names *names,
                       const struct rc_shared_source *source)
{
    /* What a stream's entry was published for and Redis refused is tried again, and is no loss that others are told. */
    const uint32_t fleeting = policy->outbox ? 0 : RC_REDIS_PUBLISH_FLEETING;
    struct rc_redis_run run = {.script = &shared->script,
                               .token = pending->sequence,
                               .part_count = RC_WIRE_PARTS,
                               .flags = source != NULL   ? RC_REDIS_PUBLISH_YIELDING | fleeting
                                        : policy->outbox ? RC_REDIS_PUBLISH_TOLD
                                                         : RC_REDIS_PUBLISH_FLEETING};
    struct rc_shared_texts texts;
    const struct rc_shared_epochs epochs = {.known = pending->known, /* both are the channel's, now */
                                            .seen = pending->channel->last,
                                            .wall_ms = wall_about(shared, pending->time_ms)};
    rc_shared_place(&run, &texts, names, &shared->sender, policy, pending->sequence, epochs, source);
    if (rc_wire_write(shared->setup.wire, RC_WIRE_CHANNEL, &pending->view, run.parts)) {
        return rc_redis_run(shared->setup.link, &run);
    }
    if ((run.flags & RC_REDIS_PUBLISH_TOLD) != 0) {
        rc_redis_run_lost(shared->setup.link, run.args[run.channel]);
    }
    return -EBADMSG;
}

/* Whose message it is. */
struct publisher {
    uint32_t worker;
    uint32_t generation;
    bool answers;
    const struct rc_shared_source *source; /* of an entry of an application's stream */
};

/*
 * A message waits for its place from here on. -EAGAIN: it cannot have one, or, of an entry, not now; -EFBIG: of an entry, never.
 *
 * A full outbox gives up what waits in it, or this one, while it is told of it (run_ended): nothing that waited needs to be there afterwards.
 */
static int publish_by(struct rc_shared *shared, const struct rc_envelope_view *view, const struct publisher *by)
{
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const struct rc_config_namespace *policy = rc_shared_policy(shared, name);
    struct rc_shared_names names;
    if (policy == NULL || !rc_shared_names(&names, shared->setup.config->redis.prefix.text, name)) {
        return -EAGAIN;
    }
    struct rc_shared_channel *channel = channel_make(shared, view->head.channel_hash, name);
    struct rc_envelope_view own = *view;
    if ((own.head.flags & RC_ENVELOPE_RETAIN) != 0) {
        own.head.token = rc_history_stamp_next(shared->setup.history, view, rc_clock_wall_ms());
    }
    struct rc_shared_pending *pending = channel == NULL ? NULL : rc_shared_pending_add(shared, channel, &own);
    if (pending == NULL) {
        return -EAGAIN;
    }
    pending->worker = by->worker;
    pending->generation = by->generation;
    pending->answers = by->answers;
    pending->entry = by->source != NULL;
    pending->flying = true;
    channel->flying++;
    const int rc = publish_run(shared, pending, policy, &names, by->source);
    const bool untold = rc != 0 && rc != -ENOBUFS;
    if (untold) {
        channel->flying--;
        pending->flying = false;
    }
    if (untold && by->source != NULL) { /* it comes again, from its stream */
        rc_shared_pending_drop(shared, pending);
        rc_shared_release(shared, channel);
    } else if (untold) {
        go_alone(shared, channel);
    } else if (rc == 0 && by->source == NULL && channel->state == RC_SHARED_ALONE) {
        rc_shared_settle_alone(shared, channel);
    }
    rc_shared_tick_soon(shared);
    return rc == 0 || by->source == NULL ? 0 : rc == -EFBIG ? rc : -EAGAIN;
}

bool rc_shared_publish(struct rc_shared *shared, const struct rc_envelope_view *view, uint32_t worker,
                       uint32_t generation, bool answers)
{
    return publish_by(shared, view,
                      &(struct publisher){.worker = worker, .generation = generation, .answers = answers}) == 0;
}

int rc_shared_publish_entry(struct rc_shared *shared, const struct rc_envelope_view *view,
                            const struct rc_shared_source *source)
{
    return publish_by(shared, view, &(struct publisher){.source = source});
}

/* Its place has come, but not yet over the subscription: it is waited for, and then looked for. */
static void echo_wait(struct rc_shared *shared, struct rc_shared_channel *channel,
                      const struct rc_shared_answer *answer)
{
    if (answer->epoch != channel->told_epoch || answer->offset > channel->told) {
        channel->told_epoch = answer->epoch;
        channel->told = answer->offset;
    }
    if (!channel->echo_due) {
        channel->echo_due = true;
        channel->since_ms = rc_clock_ms() + RC_SHARED_ECHO_MS;
        TAILQ_INSERT_TAIL(&shared->echo, channel, in_echo);
        rc_shared_tick_soon(shared);
    }
}

/* The script has taken the message. */
static void run_taken(struct rc_shared *shared, struct rc_shared_channel *channel, struct rc_shared_pending *pending,
                      const struct rc_shared_answer *answer)
{
    pending->answered = true;
    pending->epoch = answer->epoch;
    pending->offset = answer->placed ? answer->offset : 0;
    pending->bound = answer->offset;
    switch ((enum rc_shared_state)channel->state) {
    case RC_SHARED_APART:
        rc_shared_settle(shared, channel);
        break;
    case RC_SHARED_LIVE:
        if (answer->fresh && answer->epoch == channel->epoch && answer->offset <= channel->last) {
            rc_shared_fetch_begin(shared, channel, true, false); /* it is another message's here */
        } else {
            echo_wait(shared, channel, answer);
        }
        break;
    case RC_SHARED_FETCHING:
    case RC_SHARED_ALONE:
    case RC_SHARED_RETURNING:
        break; /* it is among what is fetched */
    }
}

/* Redis answers, but does not want it: the channel, and no other one, need not look soon whether it still is alone. */
static void run_refused(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    rc_metric_add(shared->metrics, RC_METRIC_HISTORY_SCRIPT_ERRORS, 1);
    if (rc_shared_is_alone(channel)) { /* else its retry_ms is that of its fetch, and of its place in a list */
        channel->retry_ms = rc_clock_ms() + RC_SHARED_REFUSED_MS;
    }
}

static void run_ended(void *context, struct rc_span name, uint64_t token, const redisReply *reply)
{
    struct rc_shared *shared = context;
    const struct rc_span head = RC_SPAN(RC_CHANNEL_BRIDGE_HEAD);
    struct rc_shared_answer its;
    if (shared->setup.ended != NULL) {
        shared->setup.ended(shared->setup.ended_context, token,
                            reply != NULL && rc_shared_answer_read(reply, 1, &its) && !its.early);
    }
    RC_ASSERT(rc_span_starts_with(name, head)); /* as rc_shared_names made it */
    name = rc_span_of(name.bytes + head.count, name.count - head.count);
    struct rc_shared_channel *channel =
        rc_shared_table_find(&shared->table, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel == NULL) {
        return;
    }
    struct rc_shared_pending *pending = rc_shared_pending_of(channel, token);
    struct rc_shared_answer answer;
    /* Of one that was delivered alone it is the channel's, which has been no other since. */
    const uint64_t known = pending != NULL ? pending->known : channel->epoch != 0 ? channel->epoch : 1;
    const bool taken = reply != NULL && rc_shared_answer_read(reply, known, &answer);
    channel->flying -= channel->flying > 0;
    const bool alone = token >= channel->alone_first && token <= channel->alone_sequence;
    if (alone && channel->alone_left > 0) {
        channel->alone_left--;
        rc_metric_sub(shared->metrics, RC_METRIC_HISTORY_ALONE_WAITING, 1);
    }
    if (taken && !answer.early && alone && rc_shared_is_alone(channel)) {
        rc_shared_alone_until(channel, answer.epoch, answer.offset);
    }
    if (pending != NULL) {
        pending->flying = false;
    }
    if (pending != NULL && pending->entry && (!taken || !answer.fresh)) {
        rc_shared_pending_drop(shared, pending); /* it comes again, or somebody has published it */
    } else if (taken && pending != NULL) {
        run_taken(shared, channel, pending, &answer);
    } else if (pending != NULL) {
        go_alone(shared, channel);
    }
    if (reply != NULL && !taken) {
        run_refused(shared, channel);
    }
    if (taken || channel->state == RC_SHARED_RETURNING) {
        come_back(shared, channel);
    }
    rc_shared_release(shared, channel);
}

/* --- the subscription ------------------------------------------------------------------------------------------------ */

static void channel_unfollow(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    channel->followed = false;
    if (!rc_shared_is_alone(channel)) {
        rc_shared_fetch_end(shared, channel);
        rc_shared_held_drop_all(shared, channel);
        rc_shared_answer_waiters(shared, channel, false);
        rc_shared_refill_end(shared, channel);
        channel->early = false; /* also of who was answered now: nobody wants it */
        rc_shared_go_apart(shared, channel);
    }
    channel->early = false;
    rc_shared_release(shared, channel);
}

void rc_shared_changed(struct rc_shared *shared, uint64_t hash, struct rc_span name, enum rc_redis_change change)
{
    if (change == RC_REDIS_CHANGE_GONE) {
        struct rc_shared_channel *channel = rc_shared_table_find(&shared->table, hash, name);
        if (channel != NULL) {
            channel_unfollow(shared, channel);
        }
        return;
    }
    struct rc_shared_channel *channel = rc_shared_covers(shared, name) ? channel_make(shared, hash, name) : NULL;
    if (channel == NULL) {
        return;
    }
    const bool missed = change == RC_REDIS_CHANGE_BACK;
    const bool early = channel->early || channel->followed; /* a message was heard before its confirmation */
    channel->followed = true;
    channel->early = false;
    channel->retry_ms = channel->refusals = 0; /* what Redis refused over another connection it may give now */
    shared->moved_ms = rc_clock_ms();
    if (!rc_shared_is_alone(channel)) {
        rc_shared_copy(shared, channel, missed);
        channel->empty |= missed && channel->epoch == 0; /* a predecessor had heard nothing either */
        rc_shared_fetch_begin(shared, channel, missed || early, false);
        rc_shared_tick_soon(shared);
    }
}

bool rc_shared_received(struct rc_shared *shared, struct rc_span name, struct rc_span text)
{
    struct rc_placed placed;
    if (!shared->open || !rc_placed_read(text, &placed)) {
        return false;
    }
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    struct rc_shared_channel *channel = rc_shared_table_find(&shared->table, hash, name);
    const bool stray =
        (channel == NULL || !channel->followed) && !rc_shared_listens(shared, name); /* it was given back */
    if (!stray && (channel == NULL || !channel->followed)) {
        rc_shared_changed(shared, hash, name, RC_REDIS_CHANGE_HERE); /* a reload has said so since it was subscribed */
        channel = rc_shared_table_find(&shared->table, hash, name);
    }
    if (!stray && (channel == NULL || !channel->followed)) {
        return false;
    }
    rc_metric_add(shared->metrics, RC_METRIC_REDIS_RECEIVED, 1);
    rc_metric_add(shared->metrics, RC_METRIC_REDIS_RECEIVED_BYTES, text.count);
    if (stray) {
        return true;
    }
    if (rc_shared_is_alone(channel)) {
        struct rc_shared_arrival arrival = {.time_ms = rc_clock_ms(), .message = placed.message, .fans = true};
        if (!rc_placed_own(shared->setup.wire, &placed, &arrival.sequence)) {
            rc_shared_take_here(shared, channel, &arrival);
        }
    } else {
        rc_shared_arrived(shared, channel, &placed, text);
    }
    return true;
}

/* All of them are read anew, and what comes meanwhile waits: not more often than that, however often somebody says so. */
#define LOOK_MS 10000u

static void look_now(struct rc_shared *shared, uint64_t now_ms)
{
    shared->look_due = false;
    shared->looked_ms = now_ms;
    for (uint32_t i = 0; i < shared->table.high; i++) {
        struct rc_shared_channel *channel = shared->table.channels[i];
        if (channel != NULL && channel->state == RC_SHARED_LIVE) {
            rc_shared_fetch_begin(shared, channel, true, false);
        } else if (channel != NULL && channel->state == RC_SHARED_FETCHING && channel->fetching) {
            channel->again = true; /* what is on its way may be of before */
        }
    }
}

static void tick_look(struct rc_shared *shared, uint64_t now_ms)
{
    if (shared->look_due && (shared->looked_ms == 0 || now_ms >= shared->looked_ms + LOOK_MS)) {
        look_now(shared, now_ms);
    }
}

void rc_shared_look(struct rc_shared *shared)
{
    if (shared->open) {
        shared->look_due = true;
        tick_look(shared, rc_clock_ms());
        rc_shared_tick_soon(shared);
    }
}

/* One more who waits; `fills`: for what the copy lacks. NULL: too many do, or no memory. */
static struct rc_shared_waiter *waiter_add(struct rc_shared *shared, struct rc_shared_channel *channel, uint32_t worker,
                                           uint32_t bytes, bool fills)
{
    struct rc_shared_waiter *waiter =
        shared->waiter_count < RC_SHARED_WAITERS_MAX ? malloc(sizeof(*waiter) + bytes) : NULL;
    if (waiter != NULL) {
        *waiter = (struct rc_shared_waiter){
            .since_ms = rc_clock_ms(), .channel = channel, .worker = worker, .bytes = bytes, .fills = fills};
        TAILQ_INSERT_TAIL(fills ? &channel->fillers : &channel->waiters, waiter, of_channel);
        TAILQ_INSERT_TAIL(rc_shared_waiters_of(shared, waiter), waiter, of_all);
        shared->waiter_count++;
        rc_shared_tick_soon(shared);
    }
    return waiter;
}

/* A channel whose subscription Redis has not confirmed, though it is there: its copy is filled as soon as it has. NULL: there is no such thing. */
static struct rc_shared_channel *channel_to_come(struct rc_shared *shared, uint64_t hash, struct rc_span name)
{
    struct rc_shared_channel *channel =
        rc_redis_up(shared->setup.link) && rc_shared_covers(shared, name) ? channel_make(shared, hash, name) : NULL;
    return channel != NULL && channel->state == RC_SHARED_APART && !rc_shared_is_alone(channel) ? channel : NULL;
}

bool rc_shared_wait(struct rc_shared *shared, const struct rc_interest_request *request, bool confirmed)
{
    const struct rc_span name = rc_span_of(request->name, request->name_bytes);
    const bool lacks = confirmed && (request->token & RC_INTEREST_FULL) != 0;
    struct rc_shared_channel *channel = lacks ? rc_shared_refill_of(shared, request->hash, name) : NULL;
    const bool fills = channel != NULL;
    if (!fills) {
        channel = rc_shared_table_find(&shared->table, request->hash, name);
    }
    if (fills) {
        /* also while it is fetched: it goes on behind that */
    } else if (channel == NULL || channel->state != RC_SHARED_FETCHING) {
        channel = confirmed ? NULL : channel_to_come(shared, request->hash, name);
    }
    struct rc_shared_waiter *waiter = channel != NULL ? waiter_add(shared, channel, request->worker, 0, fills) : NULL;
    if (waiter != NULL) {
        waiter->token = request->token;
        waiter->confirmed = confirmed;
        rc_shared_refill_begin(shared, channel);
    } else if (channel != NULL) {
        rc_shared_release(shared, channel);
    }
    return waiter != NULL;
}

void rc_shared_early(struct rc_shared *shared, const struct rc_interest_request *request)
{
    const struct rc_span name = rc_span_of(request->name, request->name_bytes);
    struct rc_shared_channel *channel =
        rc_shared_covers(shared, name) && rc_history_shared(shared->setup.history, request->hash, name).last != 0
            ? channel_make(shared, request->hash, name)
            : NULL;
    if (channel != NULL) {
        rc_shared_tell_early(shared, channel, false);
        rc_shared_release(shared, channel);
    }
}

bool rc_shared_complete(struct rc_shared *shared, const struct rc_envelope_view *asked, uint32_t worker,
                        uint32_t generation, bool forget)
{
    const struct rc_span name = rc_span_of(asked->channel, asked->head.channel_bytes);
    struct rc_envelope_view view = *asked;
    struct rc_shared_names names;
    if (rc_shared_policy(shared, name) == NULL || !rc_redis_up(shared->setup.link) ||
        !rc_shared_names(&names, shared->setup.config->redis.prefix.text, name)) {
        return false;
    }
    struct rc_shared_channel *channel = channel_make(shared, asked->head.channel_hash, name);
    if (channel == NULL || rc_shared_is_alone(channel) || (channel->state == RC_SHARED_LIVE && !forget)) {
        return false;
    }
    const struct rc_history_state state = rc_history_shared(shared->setup.history, channel->hash, name);
    view.head.position = state.epoch != 0 ? state.last + 1 - state.first : 0; /* what goes, if it does */
    const uint64_t bytes = rc_envelope_bytes(&view.head);
    struct rc_shared_waiter *waiter =
        forget && rc_shared_renew(shared->setup.link, &names, 0, channel->epoch, true, shared->sender.sharded,
                                  rc_shared_fetch_renewed, shared) != 0
            ? NULL
            : waiter_add(shared, channel, worker, (uint32_t)bytes, false);
    if (waiter == NULL) {
        rc_shared_release(shared, channel);
        return false;
    }
    waiter->generation = generation;
    rc_envelope_write(waiter->record, &view);
    if (channel->state != RC_SHARED_FETCHING || forget) {
        rc_shared_copy(shared, channel, false);
        rc_shared_fetch_begin(shared, channel, channel->state == RC_SHARED_LIVE || channel->early, false);
    }
    return true;
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

static void tick_pendings(struct rc_shared *shared, uint64_t now_ms)
{
    const uint64_t wait_ms = shared->setup.config->redis.history_wait_ms;
    for (struct rc_shared_pending *pending = TAILQ_FIRST(&shared->pendings);
         pending != NULL && now_ms - pending->time_ms >= wait_ms; pending = TAILQ_FIRST(&shared->pendings)) {
        go_alone(shared, pending->channel);
    }
}

static void tick_echoes(struct rc_shared *shared, uint64_t now_ms)
{
    for (struct rc_shared_channel *channel = TAILQ_FIRST(&shared->echo); channel != NULL && channel->since_ms <= now_ms;
         channel = TAILQ_FIRST(&shared->echo)) {
        channel->echo_due = false;
        TAILQ_REMOVE(&shared->echo, channel, in_echo);
        if (channel->state == RC_SHARED_LIVE &&
            (channel->told_epoch != channel->epoch || channel->told > channel->last)) {
            rc_shared_fetch_begin(shared, channel, true, false);
        } else if (channel->state == RC_SHARED_LIVE) {
            rc_shared_settle_behind(shared, channel);
        }
        rc_shared_release(shared, channel);
    }
}

static void tick_alone(struct rc_shared *shared, uint64_t now_ms)
{
    if (now_ms < shared->probe_ms || TAILQ_EMPTY(&shared->alone) || !rc_redis_up(shared->setup.link)) {
        return;
    }
    shared->probe_ms = now_ms + RC_SHARED_PROBE_MS;
    struct rc_shared_channel *channel = TAILQ_FIRST(&shared->alone);
    while (channel != NULL) {
        struct rc_shared_channel *next = TAILQ_NEXT(channel, in_alone);
        if (channel->alone_left == 0 && channel->retry_ms <= now_ms && TAILQ_EMPTY(&channel->pendings)) {
            come_back(shared, channel);
            rc_shared_release(shared, channel);
        }
        channel = next;
    }
}

/* Answers those of the list who have waited for `wait_ms`. */
static void waiters_end(struct rc_shared *shared, struct rc_shared_waiters *waiters, uint64_t now_ms, uint64_t wait_ms)
{
    for (struct rc_shared_waiter *waiter = TAILQ_FIRST(waiters); waiter != NULL && waiter->since_ms + wait_ms <= now_ms;
         waiter = TAILQ_FIRST(waiters)) {
        struct rc_shared_channel *channel = waiter->channel;
        rc_shared_waiter_answer(shared, waiter, false);
        rc_shared_release(shared, channel);
    }
}

static void tick_waiters(struct rc_shared *shared, uint64_t now_ms)
{
    const bool moves = now_ms - shared->moved_ms < RC_SHARED_WAIT_MS;
    waiters_end(shared, &shared->waiters, now_ms, moves ? RC_SHARED_TURN_MS : RC_SHARED_WAIT_MS);
    waiters_end(shared, &shared->askers, now_ms,
                RC_SHARED_WAIT_MS); /* their callers wait for no more than twice that */
}

static void shared_tick(void *context, uint64_t now_ms)
{
    struct rc_shared *shared = context;
    tick_pendings(shared, now_ms);
    tick_echoes(shared, now_ms);
    rc_shared_fetch_give_up(shared, now_ms);
    rc_shared_fetch_due(shared, now_ms);
    tick_alone(shared, now_ms);
    tick_waiters(shared, now_ms);
    rc_shared_refill_tick(shared, now_ms);
    tick_look(shared, now_ms);
    if (shared->look_due || !TAILQ_EMPTY(&shared->fillers) || !TAILQ_EMPTY(&shared->holding) ||
        !TAILQ_EMPTY(&shared->pendings) || !TAILQ_EMPTY(&shared->echo) || !TAILQ_EMPTY(&shared->fetch) ||
        !TAILQ_EMPTY(&shared->later) || !TAILQ_EMPTY(&shared->alone) || !TAILQ_EMPTY(&shared->waiters) ||
        !TAILQ_EMPTY(&shared->askers)) {
        rc_shared_tick_soon(shared);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static bool wanted_by(const struct rc_config *config)
{
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        if (config->namespaces[i].history > 0 && config->namespaces[i].history_scope == RC_HISTORY_SCOPE_CLUSTER) {
            return true;
        }
    }
    return false;
}

/* What was refused over a connection that is no more, by rights or for a failure that has passed, is asked for at once, and who is alone looks whether it
 * still is. */
static void shared_redis_changed(void *context, bool up)
{
    struct rc_shared *shared = context;
    if (up) {
        struct rc_shared_channel *channel;
        TAILQ_FOREACH(channel, &shared->alone, in_alone)
        {
            channel->retry_ms = 0;
        }
        shared->probe_ms = 0;
        rc_shared_fetch_now(shared);
    }
}

int rc_shared_open(struct rc_shared *shared, const struct rc_shared_setup *setup)
{
    *shared =
        (struct rc_shared){.setup = *setup,
                           .tick = shared_tick,
                           .metrics = setup->history->metrics,
                           .script = {.text = rc_shared_place_text},
                           .sender = {.instance = setup->instance_id,
                                      .boot = setup->boot,
                                      .sharded = setup->config->redis.sharded && rc_redis_clustered(setup->link)}};
    TAILQ_INIT(&shared->pendings);
    TAILQ_INIT(&shared->waiters);
    TAILQ_INIT(&shared->askers);
    TAILQ_INIT(&shared->fillers);
    TAILQ_INIT(&shared->refill);
    TAILQ_INIT(&shared->echo);
    TAILQ_INIT(&shared->fetch);
    TAILQ_INIT(&shared->later);
    TAILQ_INIT(&shared->holding);
    TAILQ_INIT(&shared->alone);
    TAILQ_INIT(&shared->quiet);
    rc_metric_set(shared->metrics, RC_METRIC_HISTORY_SHARED_WAITING, 0); /* a predecessor's went with it */
    rc_metric_set(shared->metrics, RC_METRIC_HISTORY_SHARED_CHANNELS, 0);
    rc_metric_set(shared->metrics, RC_METRIC_HISTORY_ALONE_WAITING, 0);
    const int rc = rc_shared_table_open(&shared->table);
    if (rc != 0) {
        return rc;
    }
    shared->observer = (struct rc_redis_observer){.changed = shared_redis_changed, .context = shared};
    rc_redis_observe(setup->link, &shared->observer);
    rc_shared_configure(shared, setup->config);
    return 0;
}

/* In a Cluster a script needs a connection to every master: they are there from the start or not at all. */
void rc_shared_configure(struct rc_shared *shared, const struct rc_config *config)
{
    const struct rc_redis_script_ops ops = {.ended = run_ended, .context = shared};
    const bool first = shared->setup.config == config;
    shared->setup.config = config;
    if (shared->open || shared->setup.history->view.slot_count == 0 || !wanted_by(config)) {
        return;
    }
    if (!first && rc_redis_clustered(shared->setup.link)) {
        rc_log_warn("history_not_shared", "remedy=\"restart: the first namespace with a history of all instances was "
                                          "added by a reload, and Redis is a Cluster\"");
        return;
    }
    shared->open = rc_redis_scripts_open(shared->setup.link, &shared->script, &ops) == 0;
}

void rc_shared_close(struct rc_shared *shared)
{
    if (shared->metrics == NULL) {
        return;
    }
    rc_timer_cancel(shared->setup.timers, &shared->timer);
    rc_timer_cancel(shared->setup.timers, &shared->keep_timer);
    while (!TAILQ_EMPTY(&shared->pendings)) {
        rc_shared_pending_drop(shared, TAILQ_FIRST(&shared->pendings));
    }
    TAILQ_CONCAT(&shared->waiters, &shared->askers, of_all);
    TAILQ_CONCAT(&shared->waiters, &shared->fillers, of_all);
    for (struct rc_shared_waiter *waiter = TAILQ_FIRST(&shared->waiters); waiter != NULL;
         waiter = TAILQ_FIRST(&shared->waiters)) {
        TAILQ_REMOVE(&shared->waiters, waiter, of_all);
        free(waiter);
    }
    for (uint32_t i = 0; i < shared->table.high; i++) {
        if (shared->table.channels[i] != NULL) {
            rc_shared_held_drop_all(shared, shared->table.channels[i]);
        }
    }
    rc_shared_table_close(&shared->table);
    shared->metrics = NULL;
}
