/* shared_fetch: see shared_fetch.h. */
#include "relay/cluster/shared_fetch.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "relay/cluster/shared_deliver.h"
#include "relay/redis/error_reply.h"

#define HELD_FETCHES_MAX 4u /* of which the first may have been answered before the message was published */

static void fetch_replied(void *context, const redisReply *reply);

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static void fetch_unqueue(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->queued) {
        channel->queued = false;
        TAILQ_REMOVE(channel->later ? &shared->later : &shared->fetch, channel, in_fetch);
    }
}

/* In the order of time. Who is refused now is due behind nearly all others: few are stepped over. */
static void later_insert(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    struct rc_shared_channel *before = TAILQ_LAST(&shared->later, rc_shared_channels);
    while (before != NULL && before->retry_ms > channel->retry_ms) {
        before = TAILQ_PREV(before, rc_shared_channels, in_fetch);
    }
    if (before != NULL) {
        TAILQ_INSERT_AFTER(&shared->later, before, channel, in_fetch);
    } else {
        TAILQ_INSERT_HEAD(&shared->later, channel, in_fetch);
    }
}

/* In the line, or, until retry_ms, among those for which nobody has to look: they may be all channels. */
static void fetch_queue(struct rc_shared *shared, struct rc_shared_channel *channel, uint64_t now_ms)
{
    const bool later = channel->retry_ms > now_ms;
    if (channel->fetching) {
        return;
    }
    if (later) {
        fetch_unqueue(shared, channel);
        later_insert(shared, channel);
    } else if (!channel->queued || channel->later) {
        fetch_unqueue(shared, channel);
        TAILQ_INSERT_TAIL(&shared->fetch, channel, in_fetch);
    }
    channel->queued = true;
    channel->later = later;
    rc_shared_tick_soon(shared);
}

void rc_shared_fetch_begin(struct rc_shared *shared, struct rc_shared_channel *channel, bool fans, bool all)
{
    const bool runs = channel->state == RC_SHARED_FETCHING;
    /* What is under way may be answered too early, also when it is of a fetch that was ended. */
    channel->again |= channel->fetching;
    channel->fans = fans || (runs && channel->fans);
    channel->all = all || (runs && channel->all);
    if (!runs) {
        channel->state = RC_SHARED_FETCHING;
        channel->since_ms = rc_clock_ms();
        channel->repaired = 0;
        channel->retry_ms = 0;
    }
    fetch_queue(shared, channel, rc_clock_ms());
    rc_shared_fetch_next(shared, rc_clock_ms());
}

void rc_shared_fetch_end(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    fetch_unqueue(shared, channel);
    channel->fans = channel->all = channel->again = false;
}

/* Or perhaps: not all workers have told a new relay whom they have, and a copy is there, which was made for somebody. */
static bool fetch_listens(const struct rc_shared *shared, const struct rc_shared_channel *channel)
{
    const struct rc_span name = rc_shared_name(channel);
    return rc_shared_listens(shared, name) ||
           (!rc_worker_set_empty(&shared->setup.router->fanout.unknown) &&
            rc_history_shared(shared->setup.history, channel->hash, name).epoch != 0);
}

void rc_shared_settle(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    const struct rc_shared_pending *pending = TAILQ_FIRST(&channel->pendings);
    if (pending != NULL && pending->answered && fetch_listens(shared, channel)) {
        rc_shared_copy(shared, channel, true);
        rc_shared_fetch_begin(shared, channel, true, false);
    } else {
        rc_shared_settle_apart(shared, channel);
    }
}

void rc_shared_go_apart(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    channel->state = RC_SHARED_APART;
    channel->empty = false;
    if (!channel->early) {
        channel->epoch = channel->last = channel->proof = 0;
    }
    rc_shared_settle(shared, channel);
}

static struct rc_shared_flight *flight_free(struct rc_shared *shared)
{
    for (uint32_t i = 0; shared->flying < RC_SHARED_FETCHES_MAX && i < RC_SHARED_FETCHES_MAX; i++) {
        if (!shared->flights[i].busy) {
            return &shared->flights[i];
        }
    }
    return NULL;
}

static int fetch_send(struct rc_shared *shared, struct rc_shared_channel *channel, struct rc_shared_flight *flight)
{
    const struct rc_config_namespace *policy = rc_shared_policy(shared, rc_shared_name(channel));
    const struct rc_shared_question question = {
        .epoch = channel->epoch,
        .last = channel->last,
        .most = policy != NULL && policy->history < RC_SHARED_FILL_MAX ? policy->history : RC_SHARED_FILL_MAX,
        .all = channel->all,
        .unproved = channel->proof == 0 && channel->epoch != 0 && channel->last > 0,
        .begins = channel->followed};
    struct rc_shared_names names;
    if (!rc_shared_names(&names, shared->setup.config->redis.prefix.text, rc_shared_name(channel))) {
        return -1;
    }
    return rc_shared_fetch(shared->setup.link, &names, &question, fetch_replied, flight);
}

void rc_shared_fetch_next(struct rc_shared *shared, uint64_t now_ms)
{
    struct rc_shared_channel *channel = TAILQ_FIRST(&shared->fetch);
    struct rc_shared_flight *flight = flight_free(shared);
    while (channel != NULL && flight != NULL && rc_redis_up(shared->setup.link)) {
        *flight = (struct rc_shared_flight){.shared = shared,
                                            .channel = channel,
                                            .epoch = channel->epoch,
                                            .last = channel->last,
                                            .all = channel->all,
                                            .busy = true};
        if (fetch_send(shared, channel, flight) == 0) {
            fetch_unqueue(shared, channel);
            channel->fetching = true;
            shared->flying++;
        } else {
            flight->busy = false;
            channel->retry_ms = now_ms + RC_REDIS_AGAIN_MS;
            fetch_queue(shared, channel, now_ms);
        }
        channel = TAILQ_FIRST(&shared->fetch);
        flight = flight_free(shared);
    }
}

void rc_shared_fetch_due(struct rc_shared *shared, uint64_t now_ms)
{
    struct rc_shared_channel *channel = TAILQ_FIRST(&shared->later);
    for (; channel != NULL && channel->retry_ms <= now_ms; channel = TAILQ_FIRST(&shared->later)) {
        fetch_queue(shared, channel, now_ms);
    }
    rc_shared_fetch_next(shared, now_ms);
}

void rc_shared_fetch_now(struct rc_shared *shared)
{
    const uint64_t now_ms = rc_clock_ms();
    struct rc_shared_channel *channel = TAILQ_FIRST(&shared->later);
    for (; channel != NULL; channel = TAILQ_FIRST(&shared->later)) {
        channel->retry_ms = channel->refusals = channel->renewals = 0;
        fetch_queue(shared, channel, now_ms);
    }
    rc_shared_fetch_next(shared, now_ms);
}

/* --- what came over the subscription --------------------------------------------------------------------------------- */

/* Does it go on from there? */
static bool is_next(const struct rc_shared_channel *channel, const struct rc_placed *placed)
{
    return channel->epoch == 0 ? placed->offset == 1
                               : placed->epoch == channel->epoch && placed->offset == channel->last + 1;
}

/* As take_entry, where the stream is not waited for any more: not around what was delivered alone. */
static void take_placed(struct rc_shared *shared, struct rc_shared_channel *channel, const struct rc_placed *placed)
{
    struct rc_shared_arrival arrival = {.epoch = placed->epoch,
                                        .offset = placed->offset,
                                        .time_ms = rc_clock_ms(),
                                        .message = placed->message,
                                        .fans = !rc_shared_was_alone(channel, placed->epoch, placed->offset)};
    arrival.own = rc_placed_own(shared->setup.wire, placed, &arrival.sequence);
    rc_shared_take(shared, channel, &arrival);
}

/* Those that are held, as far as they go on. True: all of them. `fetched`: the stream was read since. What it should have brought nearer, and did
 * not, is no message of this channel: anybody may publish. */
static bool take_held(struct rc_shared *shared, struct rc_shared_channel *channel, bool fetched_since)
{
    for (struct rc_shared_held *held = TAILQ_FIRST(&channel->helds); held != NULL;
         held = TAILQ_FIRST(&channel->helds)) {
        struct rc_placed placed;
        const bool good = rc_placed_read(rc_span_of(held->text, held->bytes), &placed);
        RC_ASSERT(good); /* it was one when it came */
        const bool known = placed.epoch == channel->epoch && placed.offset <= channel->last;
        if (!known && !is_next(channel, &placed)) {
            held->fetches += fetched_since;
            if (held->fetches < HELD_FETCHES_MAX) {
                return false;
            }
            rc_metric_add(shared->metrics, RC_METRIC_REDIS_MALFORMED, 1);
        } else if (!known) {
            take_placed(shared, channel, &placed);
        }
        rc_shared_held_drop(shared, channel, held);
    }
    channel->heard = channel->heard_epoch = 0;
    return true;
}

void rc_shared_arrived(struct rc_shared *shared, struct rc_shared_channel *channel, const struct rc_placed *placed,
                       struct rc_span text)
{
    if (placed->epoch == channel->epoch && placed->offset <= channel->last) {
        rc_metric_add(shared->metrics, RC_METRIC_REDIS_DUPLICATES, 1);
        if (channel->state == RC_SHARED_LIVE && rc_shared_displaces(shared, channel, placed)) {
            rc_shared_fetch_begin(shared, channel, true, false); /* which sees that writes were lost */
        }
    } else if (channel->state == RC_SHARED_LIVE && is_next(channel, placed)) {
        take_placed(shared, channel, placed);
    } else {
        rc_shared_hold(shared, channel, placed, text);
        if (channel->state == RC_SHARED_LIVE) {
            rc_shared_fetch_begin(shared, channel, true, false);
        }
    }
}

/* --- channels without a message -------------------------------------------------------------------------------------- */

static void shared_keep(void *context, uint64_t now_ms);

/* Its epoch is held from now on, as long as it is followed and nobody says anything. */
static void quiet_add(struct rc_shared *shared, struct rc_shared_channel *channel, uint64_t now_ms)
{
    if (!channel->quiet_listed) {
        channel->quiet_listed = true;
        channel->keep_ms = now_ms + RC_SHARED_KEEP_MS;
        TAILQ_INSERT_TAIL(&shared->quiet, channel, in_quiet);
    }
    if (!shared->keep_timer.set) {
        rc_timer_set(shared->setup.timers, &shared->keep_timer, now_ms + RC_SHARED_KEEP_TICK_MS, shared_keep, shared);
    }
}

static void keep_replied(void *context, const redisReply *reply)
{
    const struct rc_shared *shared = context;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_SCRIPT_ERRORS, 1);
    } /* else it is said again before the epoch is forgotten */
}

static void shared_keep(void *context, uint64_t now_ms)
{
    struct rc_shared *shared = context;
    uint32_t count = 0;
    for (struct rc_shared_channel *channel = TAILQ_FIRST(&shared->quiet);
         channel != NULL && channel->keep_ms <= now_ms && count < RC_SHARED_KEEPS_MAX;
         channel = TAILQ_FIRST(&shared->quiet)) {
        struct rc_shared_names names;
        channel->quiet_listed = false;
        TAILQ_REMOVE(&shared->quiet, channel, in_quiet);
        if (rc_shared_is_quiet(channel) &&
            rc_shared_names(&names, shared->setup.config->redis.prefix.text, rc_shared_name(channel))) {
            (void)rc_shared_keep(shared->setup.link, &names, channel->epoch, keep_replied, shared);
            quiet_add(shared, channel, now_ms);
            count++;
        }
    }
    if (!TAILQ_EMPTY(&shared->quiet) && !shared->keep_timer.set) {
        rc_timer_set(shared->setup.timers, &shared->keep_timer, now_ms + RC_SHARED_KEEP_TICK_MS, shared_keep, shared);
    }
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* FETCHING is over. */
static void fetch_live(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    const bool repair = channel->fans;
    rc_shared_fetch_end(shared, channel);
    channel->alone_epoch = channel->alone_last = 0;
    if (repair) {
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_REPAIRS, 1);
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_REPAIRED, channel->repaired);
        rc_metric_observe(shared->metrics, RC_HISTOGRAM_HISTORY_REPAIR, (rc_clock_ms() - channel->since_ms) * 1000);
    }
    channel->renewals = 0;
    if (channel->followed) {
        channel->state = RC_SHARED_LIVE;
        channel->empty = channel->epoch == 0;
        rc_shared_settle_behind(shared, channel);
        if (rc_shared_is_quiet(channel)) {
            quiet_add(shared, channel, rc_clock_ms());
        }
    } else { /* it was read for who asked, or listens */
        rc_shared_settle_behind(shared, channel);
        rc_shared_go_apart(shared, channel);
    }
    rc_shared_answer_waiters(shared, channel, true);
    if (channel->state == RC_SHARED_LIVE) {
        rc_shared_refill_begin(shared, channel);
    } else {
        rc_shared_refill_end(shared, channel);
    }
}

static void fetch_again(struct rc_shared *shared, struct rc_shared_channel *channel, uint64_t in_ms)
{
    const uint64_t now_ms = rc_clock_ms();
    channel->retry_ms = now_ms + in_ms;
    fetch_queue(shared, channel, now_ms);
}

void rc_shared_fetch_renewed(void *context, const redisReply *reply)
{
    const struct rc_shared *shared = context;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_SCRIPT_ERRORS, 1);
    } /* else the next fetch sees what it did */
}

/* Redis has lost messages that were delivered: what their offsets stand for is no more what clients have; or it has lost that an epoch ended, and has
 * the one before it. Of a copy that a predecessor, or an earlier subscription, left it is not known who sent its last message, but what it is. */
static bool writes_lost(struct rc_shared *shared, struct rc_shared_channel *channel,
                        const struct rc_shared_fetched *answer)
{
    if (answer->epoch != channel->epoch || channel->epoch == 0) {
        return answer->epoch != 0 && answer->epoch < channel->epoch;
    }
    if (answer->last < channel->last) {
        return true;
    }
    if (answer->proof.count == 0) {
        return false;
    }
    const uint64_t proof = rc_hash(answer->proof.bytes, answer->proof.count);
    if (channel->proof == 0 && answer->held.count > 0 && rc_shared_differs(shared, channel, answer->held)) {
        return true;
    }
    const bool lost = channel->proof != 0 && proof != channel->proof;
    channel->proof = lost ? channel->proof : proof;
    return lost;
}

static void end_epoch(struct rc_shared *shared, struct rc_shared_channel *channel, uint64_t epoch)
{
    struct rc_shared_names names;
    rc_log_limited(RC_LOG_WARN, 1, "history_epoch_ended",
                   "channel!=\"%.*s\" reason=\"Redis lost messages that it had\"", (int)channel->name_bytes,
                   channel->name);
    if (rc_shared_names(&names, shared->setup.config->redis.prefix.text, rc_shared_name(channel))) {
        (void)rc_shared_renew(shared->setup.link, &names, epoch, channel->epoch, false, shared->sender.sharded,
                              rc_shared_fetch_renewed, shared);
    }
    /* What it did is seen then, or that it is to be said again: ever more seldom to a Redis that refuses it. */
    const uint64_t wait_ms = (uint64_t)RC_SHARED_TICK_MS << (channel->renewals < 16 ? channel->renewals : 16u);
    fetch_again(shared, channel, wait_ms < RC_SHARED_REFUSED_MS ? wait_ms : RC_SHARED_REFUSED_MS);
    channel->renewals++;
}

/* The copy begins anew behind `last`; its subscribers, if they have anything from before, are told. */
static void fetch_anew(struct rc_shared *shared, struct rc_shared_channel *channel, uint64_t epoch, uint64_t last)
{
    /* There was nothing, and all that there is now came since: nothing is missing before it. */
    const bool first = channel->epoch == 0 && channel->empty && !channel->local && last == 0;
    if (channel->epoch != 0 || channel->local || (channel->empty && !first)) {
        rc_shared_gap(shared, channel, epoch, last);
        rc_metric_add(shared->metrics, RC_METRIC_HISTORY_REPAIRS_FAILED, channel->fans);
    }
    channel->fans =
        channel->fans && (first || epoch == channel->epoch) && !channel->all; /* what is there yet they have missed */
    channel->all = channel->local = channel->empty = false;
    channel->epoch = epoch;
    channel->last = last;
    channel->proof = 0;
    rc_history_begin_at(shared->setup.history, channel->hash, rc_shared_name(channel), epoch, last,
                        rc_history_now(&shared->setup.history->view));
}

/* This broker's own, as "instance:boot:sequence" says. */
static bool is_own(const struct rc_shared *shared, struct rc_span proof, uint64_t *sequence)
{
    char head[RC_SHARED_PROOF_MAX];
    const size_t bytes = rc_shared_proof(head, rc_span_text(shared->sender.instance), shared->sender.boot, 0) - 1;
    if (!rc_span_starts_with(proof, rc_span_of(head, bytes))) {
        return false;
    }
    struct rc_span rest = rc_span_of(proof.bytes + bytes, proof.count - bytes);
    return rc_placed_number(&rest, UINT64_MAX, sequence) && rest.count == 0;
}

/*
 * What was heard meanwhile goes out, but of who was alone only what is behind all that he had delivered: workers that have one message of an epoch read
 * those that do not come down from the copy, and his own would be there twice. Of what is before it the gap says that it is missing.
 */
static void take_entry(struct rc_shared *shared, struct rc_shared_channel *channel,
                       const struct rc_shared_fetched *answer, const struct rc_shared_entry *entry)
{
    const uint64_t now_ms = rc_clock_ms();
    const uint64_t age_ms = answer->now_ms > entry->time_ms ? answer->now_ms - entry->time_ms : 0;
    const bool heard = channel->heard != 0 && channel->heard_epoch == answer->epoch && entry->offset >= channel->heard;
    struct rc_shared_arrival arrival = {.epoch = answer->epoch,
                                        .offset = entry->offset,
                                        .time_ms = now_ms > age_ms ? now_ms - age_ms : 0,
                                        .message = entry->message,
                                        .fans = (channel->fans || heard) &&
                                                !rc_shared_was_alone(channel, answer->epoch, entry->offset)};
    arrival.own = is_own(shared, entry->proof, &arrival.sequence);
    rc_shared_take(shared, channel, &arrival);
    channel->repaired++;
}

static void take_entries(struct rc_shared *shared, struct rc_shared_channel *channel,
                         const struct rc_shared_fetched *answer)
{
    const uint64_t before = channel->last;
    bool anew = answer->epoch != channel->epoch || channel->all;
    for (size_t i = 0; i < answer->entries->elements; i++) {
        struct rc_shared_entry entry;
        if (!rc_shared_entry_read(answer->entries->element[i], &entry)) {
            rc_metric_add(shared->metrics, RC_METRIC_REDIS_MALFORMED, 1);
            continue; /* of somebody who writes what is not his */
        }
        if (!anew && entry.offset <= channel->last) {
            continue;
        }
        if (anew || entry.offset != channel->last + 1) { /* it was cut since */
            fetch_anew(shared, channel, answer->epoch, entry.offset - 1);
            anew = false;
        }
        take_entry(shared, channel, answer, &entry);
    }
    if (anew || (channel->last == before && channel->last < answer->last)) {
        fetch_anew(shared, channel, answer->epoch, answer->last); /* nothing of it is there any more */
    }
}

/* Redis has nothing of the channel: there was nothing, or it lost it; then the next message begins a new epoch, of which subscribers are told. */
static void fetch_nothing(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (channel->local) {
        rc_shared_gap(shared, channel, 0, 0);
        channel->local = false;
        channel->epoch = channel->last = channel->proof = 0;
    }
    channel->fans = channel->all = false;
}

/* A fetch failed: who was alone is alone again, others try again, ever more seldom while Redis refuses it. */
static void fetch_failed(struct rc_shared *shared, struct rc_shared_channel *channel, const redisReply *reply)
{
    rc_metric_add(shared->metrics, RC_METRIC_HISTORY_SCRIPT_ERRORS, 1);
    const uint64_t in_ms = rc_redis_error_again_ms(reply, &channel->refusals);
    rc_log_limited(RC_LOG_WARN, 1, "history_not_read", "channel!=\"%.*s\" reason=\"%s\" again_in_ms=%llu remedy=\"%s\"",
                   (int)channel->name_bytes, channel->name,
                   reply->type == REDIS_REPLY_ERROR ? reply->str : "not an answer", (unsigned long long)in_ms,
                   rc_redis_error_remedy(reply));
    fetch_again(shared, channel, in_ms);
}

static void fetch_take(struct rc_shared *shared, struct rc_shared_channel *channel, const redisReply *reply)
{
    struct rc_shared_fetched answer;
    if (reply == NULL) {
        fetch_again(shared, channel, 0); /* when Redis is back */
        return;
    }
    if (!rc_shared_fetched_read(reply, &answer)) {
        fetch_failed(shared, channel, reply);
        return;
    }
    channel->refusals = 0;
    shared->moved_ms = rc_clock_ms();
    if (writes_lost(shared, channel, &answer)) {
        end_epoch(shared, channel, answer.epoch);
        return;
    }
    if (answer.epoch == 0) {
        fetch_nothing(shared, channel);
    } else {
        take_entries(shared, channel, &answer);
    }
    const bool more = answer.epoch != 0 && channel->last < answer.last;
    if (more || !take_held(shared, channel, true) || channel->again) {
        channel->again = false;
        fetch_again(shared, channel, 0);
        return;
    }
    fetch_live(shared, channel);
}

static void fetch_replied(void *context, const redisReply *reply)
{
    struct rc_shared_flight *flight = context;
    struct rc_shared *shared = flight->shared;
    struct rc_shared_channel *channel = flight->channel;
    const bool stale = flight->epoch != channel->epoch || flight->last != channel->last || flight->all != channel->all;
    flight->busy = false;
    shared->flying--;
    channel->fetching = false;
    if (channel->state == RC_SHARED_FETCHING) {
        if (stale) { /* that fetch was given up, or ended: what it brings is of where the channel was */
            channel->again = false;
            fetch_again(shared, channel, 0);
        } else {
            fetch_take(shared, channel, reply);
        }
        rc_shared_fetch_next(shared, rc_clock_ms());
    }
    rc_shared_release(shared, channel);
}

/* What came before Redis fell silent may reach it, or go beyond it: then nothing is given up, and what is still to come is waited for. */
static void fetch_give_up(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    if (take_held(shared, channel, false)) {
        return;
    }
    struct rc_placed placed;
    const struct rc_shared_held *held = TAILQ_FIRST(&channel->helds);
    const bool good = rc_placed_read(rc_span_of(held->text, held->bytes), &placed);
    RC_ASSERT(good); /* it was one when it came */
    rc_log_limited(RC_LOG_WARN, 1, "history_not_repaired", "channel!=\"%.*s\" after=%llu", (int)channel->name_bytes,
                   channel->name, (unsigned long long)channel->last);
    channel->fans = true;
    fetch_anew(shared, channel, placed.epoch, placed.offset - 1);
    if (take_held(shared, channel, false)) {
        fetch_live(shared, channel);
    }
}

/* Those whose first held message has waited for so long, and for as long since they were given up last: of a stream that Redis refuses for hours a message that
 * has just come waits as any other does. Whether their fetch is to be tried again, or has not been answered, is all one to who waits. Others are not looked at:
 * they may be all channels. */
void rc_shared_fetch_give_up(struct rc_shared *shared, uint64_t now_ms)
{
    const uint64_t wait_ms = shared->setup.config->redis.history_wait_ms;
    for (struct rc_shared_channel *channel = TAILQ_FIRST(&shared->holding);
         channel != NULL && channel->held_ms + wait_ms <= now_ms; channel = TAILQ_FIRST(&shared->holding)) {
        const bool fetches = channel->state == RC_SHARED_FETCHING;
        const uint64_t first_ms = TAILQ_FIRST(&channel->helds)->time_ms;
        channel->held_ms = fetches && channel->since_ms > first_ms ? channel->since_ms : first_ms;
        if (fetches && channel->held_ms + wait_ms <= now_ms) {
            fetch_give_up(shared, channel);
            channel->held_ms = now_ms + 1; /* of what still waits; with a history_wait of 0 there is no end else */
        }
        if (TAILQ_EMPTY(&channel->helds)) {
            rc_shared_release(shared, channel);
        } else {
            channel->held_ms = fetches ? channel->held_ms : now_ms + 1;
            rc_shared_holding_move(shared, channel);
        }
    }
}
