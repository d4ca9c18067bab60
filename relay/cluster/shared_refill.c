/* shared_refill: see shared_refill.h. */
#include "relay/cluster/shared_refill.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "relay/cluster/shared_deliver.h"
#include "relay/cluster/shared_fetch.h"

#define RC_SHARED_REFILL_SPAN_MS 10000u
#define RC_SHARED_REFILL_AGAIN_MS 1000u /* not before a channel is looked for again for which it was in vain */
#define REFILL_MESSAGES_MAX RC_SHARED_FETCH_COUNT
#define REFILL_NOT_NOW (-2)
#define REFILL_TRIES_MAX 4u /* answers that came too late: the copy had lost more meanwhile */

static void refill_replied(void *context, const redisReply *reply);

struct rc_shared_channel *rc_shared_refill_of(struct rc_shared *shared, uint64_t hash, struct rc_span name)
{
    struct rc_shared_channel *channel = rc_shared_table_find(&shared->table, hash, name);
    const bool there = channel != NULL && channel->followed && rc_redis_up(shared->setup.link) &&
                       (channel->state == RC_SHARED_LIVE || channel->state == RC_SHARED_FETCHING);
    return there && (channel->vain_ms == 0 || rc_clock_ms() >= channel->vain_ms + RC_SHARED_REFILL_AGAIN_MS) ? channel
                                                                                                             : NULL;
}

/* As far as it goes. */
static void refill_vain(struct rc_shared *shared, struct rc_shared_channel *channel)
{
    channel->vain_ms = rc_clock_ms();
    rc_shared_refill_end(shared, channel);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* The copy's slot, also where it was given to another channel; RC_HISTORY_NO_SLOT: there is no room. */
static uint32_t refill_slot(struct rc_shared *shared, const struct rc_shared_channel *channel)
{
    struct rc_history *history = shared->setup.history;
    const struct rc_span name = rc_shared_name(channel);
    if (rc_history_shared(history, channel->hash, name).epoch != channel->epoch) {
        rc_history_begin_at(history, channel->hash, name, channel->epoch, channel->last,
                            rc_history_now(&history->view));
    }
    return rc_history_shared(history, channel->hash, name).epoch == channel->epoch
               ? rc_history_find(history, channel->hash, name)
               : RC_HISTORY_NO_SLOT;
}

/* Bytes of one piece. Where not all of the last one found room no more than twice of what did is asked for. */
static uint64_t refill_piece(const struct rc_shared *shared, const struct rc_shared_channel *channel, uint32_t slot,
                             const struct rc_config_namespace *policy)
{
    const uint64_t piece = rc_history_prepend_piece(shared->setup.history, slot, policy);
    const uint64_t most = channel->refill_bytes == 0 ? piece : 2 * (uint64_t)channel->refill_bytes;
    return piece < most ? piece : most;
}

/* May more be read now? */
static bool refill_allowed(struct rc_shared *shared, uint64_t now_ms)
{
    const uint64_t most = (uint64_t)shared->setup.history->view.unit_count * RC_HISTORY_UNIT / 4;
    if (now_ms - shared->refill_since_ms >= RC_SHARED_REFILL_SPAN_MS) {
        shared->refill_since_ms = now_ms;
        shared->refill_bytes = 0;
    }
    return shared->refill_bytes < most;
}

/* The messages that the copy is to have before its oldest one: from *least on. False: none. */
static bool refill_wanted(struct rc_shared *shared, uint32_t slot, const struct rc_config_namespace *policy,
                          uint64_t *least, uint64_t *before)
{
    struct rc_history *history = shared->setup.history;
    const struct rc_history_state state = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
    const uint64_t most = policy->history < RC_SHARED_FILL_MAX ? policy->history : RC_SHARED_FILL_MAX;
    *least = state.last >= most ? state.last - most + 1 : 1;
    *before = state.first;
    return state.first > *least && rc_history_prepends(history, slot);
}

static struct rc_shared_refill *refill_free(struct rc_shared *shared)
{
    for (uint32_t i = 0; i < RC_SHARED_REFILLS_MAX; i++) {
        if (!shared->refills[i].busy) {
            return &shared->refills[i];
        }
    }
    return NULL;
}

/* 1; 0: the copy has all that it may have; -1: no more can be asked; REFILL_NOT_NOW: where it was asked before is not there yet. */
static int refill_send(struct rc_shared *shared, struct rc_shared_channel *channel, struct rc_shared_refill *refill)
{
    const struct rc_config_namespace *policy = rc_shared_policy(shared, rc_shared_name(channel));
    struct rc_shared_names names;
    if (policy == NULL || channel->epoch == 0 || channel->last == 0 || channel->local ||
        !refill_allowed(shared, rc_clock_ms()) ||
        !rc_shared_names(&names, shared->setup.config->redis.prefix.text, rc_shared_name(channel))) {
        return -1;
    }
    const uint32_t slot = refill_slot(shared, channel);
    if (slot == RC_HISTORY_NO_SLOT) {
        return -1;
    }
    uint64_t least;
    uint64_t before;
    const uint64_t piece = refill_piece(shared, channel, slot, policy);
    if (!refill_wanted(shared, slot, policy, &least, &before) || piece == 0) {
        return 0;
    }
    *refill = (struct rc_shared_refill){.shared = shared,
                                        .channel = channel,
                                        .epoch = channel->epoch,
                                        .last = channel->last,
                                        .proof = channel->proof,
                                        .before = before,
                                        .busy = true};
    const struct rc_shared_range range = {.last = channel->last, .from = before - 1, .to = least, .bytes = piece};
    if (rc_shared_refetch(shared->setup.link, &names, &range, refill_replied, refill) != 0) {
        refill->busy = false;
        return channel->refill_lost ? REFILL_NOT_NOW : -1;
    }
    channel->refill_lost = false;
    channel->refilling = true;
    return 1;
}

static void refill_next(struct rc_shared *shared)
{
    struct rc_shared_refill *refill = refill_free(shared);
    struct rc_shared_channel *channel = TAILQ_FIRST(&shared->refill);
    struct rc_shared_channel *behind = NULL; /* that was in the line when it began: each is looked at once */
    const struct rc_shared_channel *last = TAILQ_LAST(&shared->refill, rc_shared_channels);
    bool over = !rc_redis_up(shared->setup.link); /* they wait, as long as rc_shared_refill_tick lets them */
    for (; channel != NULL && refill != NULL && !over; channel = behind) {
        over = channel == last;
        behind = TAILQ_NEXT(channel, in_refill);
        rc_shared_refill_unqueue(shared, channel);
        const int sent = refill_send(shared, channel, refill);
        if (sent == REFILL_NOT_NOW) {
            rc_shared_refill_begin(shared, channel);
        } else if (sent <= 0) {
            channel->vain_ms = sent < 0 ? rc_clock_ms() : 0;
            rc_shared_refill_end(shared, channel);
            rc_shared_release(shared, channel);
        }
        refill = refill_free(shared);
    }
}

void rc_shared_refill_tick(struct rc_shared *shared, uint64_t now_ms)
{
    const uint64_t wait_ms = shared->setup.config->redis.history_wait_ms;
    for (struct rc_shared_waiter *waiter = TAILQ_FIRST(&shared->fillers);
         waiter != NULL && waiter->since_ms + wait_ms <= now_ms; waiter = TAILQ_FIRST(&shared->fillers)) {
        struct rc_shared_channel *channel = waiter->channel;
        refill_vain(shared, channel);
        rc_shared_release(shared, channel);
    }
    refill_next(shared);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* A message of the answer, if it is the one of that offset and is not too old: *time_ms is when it was new. */
static bool refill_entry(struct rc_shared *shared, const struct rc_shared_channel *channel,
                         const struct rc_config_namespace *policy, const struct rc_shared_fetched *answer, size_t at,
                         uint64_t offset, struct rc_envelope_view *view, uint64_t *time_ms)
{
    const uint64_t now_ms = rc_history_now(&shared->setup.history->view);
    struct rc_shared_entry entry;
    if (at >= answer->entries->elements || !rc_shared_entry_read(answer->entries->element[at], &entry) ||
        entry.offset != offset || !rc_shared_message_read_again(shared, channel, entry.message, view)) {
        return false;
    }
    const uint64_t age_ms = answer->now_ms > entry.time_ms ? answer->now_ms - entry.time_ms : 0;
    *time_ms = now_ms > age_ms ? now_ms - age_ms : 0;
    view->head.flags |= RC_ENVELOPE_REMOTE;
    return policy->history_ttl_ms == 0 || age_ms < policy->history_ttl_ms;
}

/* Of the answer, which begins with the message of offset `from` and goes back. */
struct refill_part {
    size_t count;                        /* messages that are good */
    uint32_t needs[REFILL_MESSAGES_MAX]; /* bytes of their entries */
};

/* As many as a piece has; the first one also where it is larger. */
static void refill_part_read(struct rc_shared *shared, const struct rc_shared_channel *channel,
                             const struct rc_config_namespace *policy, const struct rc_shared_fetched *answer,
                             uint64_t from, uint64_t piece, struct refill_part *part)
{
    struct rc_envelope_view view;
    uint64_t time_ms;
    uint64_t bytes = 0;
    for (part->count = 0; part->count < from && part->count < REFILL_MESSAGES_MAX; part->count++) {
        if (!refill_entry(shared, channel, policy, answer, part->count, from - part->count, &view, &time_ms)) {
            return;
        }
        const uint64_t need = rc_history_entry_need(&view);
        if (part->count > 0 && bytes + need > piece) {
            return;
        }
        part->needs[part->count] = (uint32_t)need;
        bytes += need;
    }
}

static uint64_t refill_part_bytes(const struct refill_part *part, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += part->needs[i];
    }
    return bytes;
}

/* Bytes that the answer has brought, whatever becomes of them. */
static uint64_t refill_read_bytes(const struct rc_shared_fetched *answer)
{
    struct rc_shared_entry entry;
    uint64_t bytes = RC_HISTORY_UNIT;
    for (size_t i = 0; i < answer->entries->elements; i++) {
        bytes += rc_shared_entry_read(answer->entries->element[i], &entry) ? entry.message.count : 0;
    }
    return bytes;
}

/* Puts what the answer has before the copy's oldest message: where there is no room for all of it, those that are next to that one. True: it has
 * got nearer. */
static bool refill_put(struct rc_shared *shared, struct rc_shared_channel *channel,
                       const struct rc_shared_fetched *answer, uint32_t slot, uint64_t before, uint64_t *evicted)
{
    struct rc_history *history = shared->setup.history;
    const struct rc_config_namespace *policy = rc_shared_policy(shared, rc_shared_name(channel));
    struct rc_history_prepend prepend;
    struct refill_part part = {.count = 0};
    uint64_t time_ms = 0;
    if (policy != NULL) {
        refill_part_read(shared, channel, policy, answer, before - 1, refill_piece(shared, channel, slot, policy),
                         &part);
    }
    size_t count = part.count;
    uint64_t bytes = refill_part_bytes(&part, count);
    while (count > 0 && !rc_history_prepend_begin(history, slot, policy, before - count, bytes, &prepend, evicted)) {
        count /= 2;
        bytes = refill_part_bytes(&part, count);
    }
    if (count == 0) {
        return false;
    }
    for (size_t i = count; i > 0; i--) {
        struct rc_envelope_view view;
        const bool good = refill_entry(shared, channel, policy, answer, i - 1, before - i, &view, &time_ms);
        (void)good; /* it was read a moment ago; that it may have become too old since is no matter */
        rc_history_prepend_put(history, &prepend, &view, time_ms);
    }
    rc_history_prepend_end(history, &prepend);
    if (count < part.count) {
        channel->refill_bytes = (uint32_t)bytes;
    } else { /* a whole piece again, once that is no more than this */
        channel->refill_bytes = channel->refill_bytes < RC_SHARED_FETCH_BYTES ? 2 * channel->refill_bytes : 0;
    }
    rc_metric_add(shared->metrics, RC_METRIC_HISTORY_REPAIRED, count);
    return true;
}

/* Redis has not what this host has: that is for the fetch to find out. */
static bool refill_doubts(const struct rc_shared_refill *refill, const struct rc_shared_fetched *answer)
{
    return answer->epoch != refill->epoch || answer->last < refill->last ||
           (answer->proof.count > 0 && refill->proof != 0 &&
            rc_hash(answer->proof.bytes, answer->proof.count) != refill->proof);
}

static void refill_take(struct rc_shared *shared, struct rc_shared_channel *channel,
                        const struct rc_shared_refill *refill, const redisReply *reply)
{
    struct rc_shared_fetched answer;
    if (channel->state != RC_SHARED_LIVE) {
        if (channel->state != RC_SHARED_FETCHING) { /* else it goes on when that is over */
            rc_shared_refill_end(shared, channel);
        }
        return;
    }
    if (reply ==
        NULL) { /* Redis is away, perhaps for a moment: who waits does so as long as rc_shared_refill_tick lets it */
        channel->refill_lost = true;
        rc_shared_refill_begin(shared, channel);
        return;
    }
    if (channel->epoch != refill->epoch || !rc_shared_fetched_read(reply, &answer)) {
        refill_vain(shared, channel);
        return;
    }
    if (refill_doubts(refill, &answer)) {
        channel->vain_ms = rc_clock_ms();
        rc_shared_refill_end(shared, channel);
        rc_shared_fetch_begin(shared, channel, true, false);
        return;
    }
    const uint32_t slot = refill_slot(shared, channel);
    const uint64_t before = slot == RC_HISTORY_NO_SLOT ? 0 : rc_history_state(&shared->setup.history->view, slot).first;
    const uint64_t read = refill_read_bytes(&answer);
    const bool late = before != refill->before; /* more went meanwhile */
    uint64_t evicted = 0;
    channel->refill_tries += late;
    const bool nearer = slot != RC_HISTORY_NO_SLOT && channel->refill_tries <= REFILL_TRIES_MAX &&
                        (late || refill_put(shared, channel, &answer, slot, before, &evicted));
    shared->refill_bytes += read > evicted ? read : evicted;
    if (!nearer) {
        refill_vain(shared, channel);
        return;
    }
    rc_shared_refill_begin(shared, channel);
}

static void refill_replied(void *context, const redisReply *reply)
{
    struct rc_shared_refill *refill = context;
    struct rc_shared *shared = refill->shared;
    struct rc_shared_channel *channel = refill->channel;
    refill->busy = false;
    channel->refilling = false;
    refill_take(shared, channel, refill, reply);
    refill_next(shared);
    rc_shared_release(shared, channel);
}
