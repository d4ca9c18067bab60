/* interests: see interests.h. */
#include "worker/uplink/interests.h"

#include <errno.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/interest.h"

void rc_interests_open(struct rc_interests *interest, const struct rc_control *control, struct rc_truth *truth,
                       struct rc_uplink *uplink, struct rc_metrics *metrics, const uint64_t *now_ns,
                       const struct rc_interests_handlers *handlers)
{
    *interest = (struct rc_interests){.control = control,
                                      .kept = &truth->layout->interests,
                                      .truth = truth,
                                      .uplink = uplink,
                                      .metrics = metrics,
                                      .now_ns = now_ns,
                                      .handlers = *handlers};
}

void rc_interests_changed(struct rc_interests *interest, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    if (!(channel->flags & RC_CHANNEL_DIRTY)) {
        channel->flags |= RC_CHANNEL_DIRTY;
        channel->next_dirty = interest->kept->dirty;
        interest->kept->dirty = index;
    }
}

/* Takes the channel out of the list of those whose acknowledgement is awaited. */
static void asked_remove(struct rc_interests *interest, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    if (!(channel->flags & RC_CHANNEL_ASKED)) {
        return;
    }
    uint32_t *first = interest->kept->asked == index ? &interest->kept->asked : &interest->kept->asked_before;
    if (channel->previous_asked != 0) {
        rc_truth_channel(interest->truth, channel->previous_asked)->next_asked = channel->next_asked;
    } else {
        RC_ASSERT(*first == index);
        *first = channel->next_asked;
    }
    if (channel->next_asked != 0) {
        rc_truth_channel(interest->truth, channel->next_asked)->previous_asked = channel->previous_asked;
    }
    channel->next_asked = channel->previous_asked = 0;
    channel->flags &= (uint16_t)~RC_CHANNEL_ASKED;
}

static void asked_add(struct rc_interests *interest, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    asked_remove(interest, index);
    channel->next_asked = interest->kept->asked;
    if (interest->kept->asked != 0) {
        rc_truth_channel(interest->truth, interest->kept->asked)->previous_asked = index;
    }
    interest->kept->asked = index;
    channel->flags |= RC_CHANNEL_ASKED;
}

static int interest_write(struct rc_interests *interest, uint32_t index, enum rc_record_type type, uint64_t token)
{
    const struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    const struct rc_span name = rc_truth_channel_name(interest->truth, channel);
    if (type == RC_UP_INTEREST_ADD && (channel->flags & RC_CHANNEL_WANTS_RETAINED)) {
        token |= RC_INTEREST_RETAINED;
    }
    if (type == RC_UP_INTEREST_ADD && (channel->flags & RC_CHANNEL_WANTS_FULL)) {
        token |= RC_INTEREST_FULL;
    }
    struct rc_envelope_view view = {
        .head = {.channel_hash = channel->hash, .token = token, .channel_bytes = (uint8_t)name.count},
        .channel = (const char *)name.bytes};
    return rc_uplink_write(interest->uplink, type, &view);
}

/* A registration: acknowledgements of earlier ones say nothing any more. */
static int interest_register(struct rc_interests *interest, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    const int rc = interest_write(interest, index, RC_UP_INTEREST_ADD, interest->kept->token + 1);
    if (rc == 0) {
        channel->token = ++interest->kept->token;
        channel->flags |= RC_CHANNEL_TOLD;
        asked_add(interest, index);
    }
    return rc;
}

/* The relay has had the interest all along, so that every acknowledgement of the registration is as good as the next one. With a new
 * token those on their way would be void, and whoever waits might do so for as long as others keep asking. */
static int interest_ask(struct rc_interests *interest, uint32_t index)
{
    const int rc = interest_write(interest, index, RC_UP_INTEREST_ADD, rc_truth_channel(interest->truth, index)->token);
    if (rc == 0) {
        asked_add(interest, index);
    }
    return rc;
}

static int interest_withdraw(struct rc_interests *interest, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    const int rc = interest_write(interest, index, RC_UP_INTEREST_REMOVE, 0);
    if (rc == 0) {
        channel->token = 0;
        channel->flags &= (uint16_t)~RC_CHANNEL_TOLD;
    }
    return rc;
}

static int interest_mark_snapshot(struct rc_interests *interest, enum rc_record_type type)
{
    struct rc_envelope_view view = {.head = {.token = interest->kept->relay_generation}};
    return rc_uplink_write(interest->uplink, type, &view);
}

/* Tells a new relay everything, from where the ring was full the last time. */
static int interest_snapshot(struct rc_interests *interest)
{
    const uint32_t generation = rc_control_relay_generation(interest->control);
    if (generation != interest->kept->relay_generation) {
        const uint32_t before = interest->kept->relay_generation;
        interest->kept->relay_generation = generation;
        if (interest_mark_snapshot(interest, RC_UP_SNAPSHOT_BEGIN) < 0) {
            interest->kept->relay_generation = before;
            return -EAGAIN;
        }
        interest->kept->snapshot_next = 1;
    }
    if (interest->kept->snapshot_next == 0) {
        return 0;
    }
    for (uint32_t index = interest->kept->snapshot_next; index < interest->truth->channels.high; index++) {
        struct rc_channel *channel = rc_truth_channel(interest->truth, index);
        interest->kept->snapshot_next = index;
        if (channel->name == 0) {
            continue;
        }
        if (!(channel->flags & RC_CHANNEL_WANTED)) {
            channel->flags &= (uint16_t)~RC_CHANNEL_TOLD; /* this relay never heard of it */
        } else if (interest_register(interest, index) < 0) {
            return -EAGAIN;
        }
    }
    if ((interest->handlers.guests != NULL && interest->handlers.guests(interest->handlers.context) < 0) ||
        interest_mark_snapshot(interest, RC_UP_SNAPSHOT_END) < 0) {
        interest->kept->snapshot_next = interest->truth->channels.high;
        return -EAGAIN;
    }
    interest->kept->snapshot_next = 0;
    return 0;
}

static int interest_changes(struct rc_interests *interest)
{
    while (interest->kept->dirty != 0) {
        const uint32_t index = interest->kept->dirty;
        struct rc_channel *channel = rc_truth_channel(interest->truth, index);
        const bool wanted = (channel->flags & RC_CHANNEL_WANTED) != 0;
        const bool told = (channel->flags & RC_CHANNEL_TOLD) != 0;
        int rc = 0;
        if (told && wanted) {
            /* Unwanted and wanted again before the relay heard of it: nothing changed for the relay, but the request
             * that waits needs an acknowledgement. */
            rc = channel->pending != 0 ? interest_ask(interest, index) : 0;
        } else if (told != wanted) {
            rc = wanted ? interest_register(interest, index) : interest_withdraw(interest, index);
        }
        if (rc < 0) {
            return -EAGAIN;
        }
        if (!wanted) {
            asked_remove(interest, index);
            channel->flags &= (uint16_t)~RC_CHANNEL_REFUSED;
        }
        interest->kept->dirty = channel->next_dirty;
        channel->next_dirty = 0;
        channel->flags &= (uint16_t)~RC_CHANNEL_DIRTY;
        interest->handlers.told(interest->handlers.context, index);
    }
    return 0;
}

static int interest_ask_late(struct rc_interests *interest, uint32_t index)
{
    if (!(rc_truth_channel(interest->truth, index)->flags & RC_CHANNEL_REFUSED)) {
        return interest_ask(interest, index);
    }
    const int rc = interest_register(interest, index);
    if (rc == 0) {
        interest->handlers.missed(interest->handlers.context, index); /* nothing has come since the last one */
    }
    return rc;
}

void rc_interests_ask_again(struct rc_interests *interest)
{
    const uint64_t now_ms = *interest->now_ns / 1000000u;
    const uint32_t generation = rc_control_relay_generation(interest->control);
    if (now_ms < interest->kept->ask_again_ms || generation != interest->kept->relay_generation ||
        interest->kept->snapshot_next != 0) {
        return; /* a new relay is told everything anyhow */
    }
    interest->kept->ask_again_ms = now_ms + RC_INTERESTS_ASK_AGAIN_MS;
    /* What the relay has not even read needs no second record: it would only be slower still. */
    const bool read =
        interest->uplink->up.position - rc_ring_used(&interest->uplink->up) >= interest->kept->asked_position;
    for (uint32_t count = 0; read && interest->kept->asked_before != 0 && count < RC_INTERESTS_ASK_AGAIN_MAX; count++) {
        if (interest_ask_late(interest, interest->kept->asked_before) < 0) {
            return;
        }
        rc_metric_add(interest->metrics, RC_METRIC_INTERESTS_ASKED_AGAIN, 1);
    }
    if (interest->kept->asked_before == 0) {
        interest->kept->asked_before = interest->kept->asked;
        interest->kept->asked = 0;
        interest->kept->asked_position = interest->uplink->up.position;
    }
}

/* The relay has not registered the channel. With subscribers it is asked for again after a period: they must not be forgotten. */
static void interest_refused(struct rc_interests *interest, uint32_t index)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    channel->flags &= (uint16_t) ~(RC_CHANNEL_TOLD | RC_CHANNEL_ACTIVE | RC_CHANNEL_LOCAL);
    if (channel->subscriber_count == 0) {
        return;
    }
    asked_add(interest, index);
    if (!(channel->flags & RC_CHANNEL_REFUSED)) {
        const struct rc_span name = rc_truth_channel_name(interest->truth, channel);
        channel->flags |= RC_CHANNEL_REFUSED;
        interest->handlers.missed(interest->handlers.context, index);
        rc_metric_add(interest->metrics, RC_METRIC_INTERESTS_REFUSED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "interest_refused", "channel=\"%.*s\" subscribers=%u", (int)name.count,
                       (const char *)name.bytes, channel->subscriber_count);
    }
}

bool rc_interests_acknowledged(struct rc_interests *interest, uint32_t index, uint64_t token, uint32_t code)
{
    struct rc_channel *channel = rc_truth_channel(interest->truth, index);
    if (channel->token != (token & ~RC_INTEREST_BITS) || !(channel->flags & RC_CHANNEL_WANTED)) {
        return false;
    }
    asked_remove(interest, index);
    if (code != 0) {
        interest_refused(interest, index);
    } else if (channel->flags & RC_CHANNEL_REFUSED) {
        channel->flags &= (uint16_t)~RC_CHANNEL_REFUSED;
        interest->handlers.missed(interest->handlers.context, index); /* from now on everything comes */
    }
    return true;
}

void rc_interests_flush(struct rc_interests *interest)
{
    struct rc_uplink *uplink = interest->uplink;
    interest->blocked = false;
    if (interest_snapshot(interest) < 0 || interest_changes(interest) < 0) {
        /* The relay wakes us at half empty; until then there is nothing to try. */
        interest->blocked = !rc_ring_want_room(&uplink->up, sizeof(struct rc_envelope) + RC_CHANNEL_NAME_MAX);
        uplink->written = true;
    }
}

bool rc_interests_due(const struct rc_interests *interest)
{
    return !interest->blocked && (interest->kept->dirty != 0 || interest->kept->snapshot_next != 0 ||
                                  rc_control_relay_generation(interest->control) != interest->kept->relay_generation);
}
