/* pending: requests that wait for the relay, and the one way in by a channel's name. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/shm/history.h"
#include "worker/store/receiving.h"

static int pending_add(struct rc_hub *hub, uint32_t client, uint32_t channel_index, struct rc_span id, bool joins,
                       uint8_t wants, uint32_t replay)
{
    struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    const uint32_t index = rc_pool_alloc(&truth->pending);
    if (index == 0) {
        rc_hub_release(hub, channel_index);
        return -ENOMEM;
    }
    struct rc_pending *pending = rc_truth_pending(truth, index);
    *pending = (struct rc_pending){.previous = channel->pending_last,
                                   .next_of_client = hub->waiting[client],
                                   .channel = channel_index,
                                   .client = client,
                                   .id_bytes = (uint8_t)id.count,
                                   .joins = joins ? 1 : 0,
                                   .wants = wants,
                                   .replay = replay};
    channel->flags |= (wants & RC_PENDING_WANTS_VALUES) != 0 ? RC_CHANNEL_WANTS_RETAINED : 0u;
    channel->flags |= (wants & RC_PENDING_FULL) != 0 ? RC_CHANNEL_WANTS_FULL : 0u;
    if (id.count > 0) {
        memcpy(pending->id, id.bytes, id.count);
    }
    rc_receiving_waits(truth, index);
    RC_STORE_ORDER(); /* it is whole before it is linked */
    if (channel->pending == 0) {
        channel->pending = index;
    } else {
        rc_truth_pending(truth, channel->pending_last)->next = index;
    }
    channel->pending_last = index;
    if (hub->waiting[client] != 0) {
        rc_truth_pending(truth, hub->waiting[client])->previous_of_client = index;
    }
    hub->waiting[client] = index;
    rc_truth_client(truth, client)->pending_count++;
    rc_hub_update_interest(hub, channel_index);
    if (channel->flags & (RC_CHANNEL_ACTIVE | RC_CHANNEL_REFUSED)) {
        hub->handlers.interest_changed(hub->handlers.context,
                                       channel_index); /* the relay is asked again how far it goes */
    }
    return 0;
}

int rc_hub_wait(struct rc_hub *hub, uint32_t client, uint32_t channel_index, struct rc_span id)
{
    return pending_add(hub, client, channel_index, id, false, 0, 0);
}

static int pending_join(struct rc_hub *hub, uint32_t client, uint32_t channel_index, uint8_t wants, uint32_t replay)
{
    const int rc = pending_add(hub, client, channel_index, (struct rc_span){0}, true, wants, replay);
    if (rc == 0) {
        rc_truth_client(hub->truth, client)->flags |= RC_CLIENT_WAITS_JOIN;
    }
    return rc;
}

int rc_hub_join(struct rc_hub *hub, uint32_t client, uint32_t channel_index)
{
    return pending_join(hub, client, channel_index, 0, 0);
}

static struct rc_event pending_answer(const struct rc_hub *hub, uint32_t channel_index, struct rc_span id)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    return (struct rc_event){.type = RC_EVENT_SUBSCRIBED,
                             .id = id,
                             .channel = rc_hub_name(hub, channel),
                             .channel_json = rc_hub_name_json(hub, channel)};
}

static void pending_reply(struct rc_hub *hub, uint32_t client, const struct rc_event *answer)
{
    if (rc_hub_reply_event(hub, client, answer) < 0) {
        rc_hub_close_client(hub, client, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

/* Subscribes a client that has not to wait. */
static enum rc_subscribed subscribe_now(struct rc_hub *hub, uint32_t client, uint32_t channel, struct rc_span id,
                                        const struct rc_hub_from *from)
{
    uint32_t subscription = rc_hub_subscription(hub, client, channel);
    const bool was_in = subscription != 0;
    const uint32_t request = from == NULL ? 0 : rc_replay_ask(hub, from);
    if (!was_in && (from == NULL || request != 0)) {
        subscription = rc_hub_subscribe(hub, client, channel);
    }
    if (subscription == 0 || (from != NULL && request == 0)) {
        rc_replay_forget(hub, request);
        return RC_SUBSCRIBE_NO_ROOM;
    }
    struct rc_event answer = pending_answer(hub, channel, id);
    rc_recover_begin(hub, subscription, request, was_in, &answer);
    if (id.count > 0) {
        pending_reply(hub, client, &answer);
    }
    if (from != NULL && from->snapshot && answer.recovery != RC_RECOVERED) {
        rc_recover_snapshot(hub, subscription, was_in);
    }
    return RC_SUBSCRIBED;
}

/* The channel has a history, of whose place nothing is known yet. */
static bool subscribe_wants_place(const struct rc_hub *hub, uint32_t channel_index)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    return channel->place == 0 && rc_place_wanted(hub, channel);
}

/* Does the slot of the channel's place, which is of another epoch, belong to another channel? */
static bool pending_slot_lost(const struct rc_hub *hub, const struct rc_channel *channel, uint32_t slot)
{
    const struct rc_span name = rc_hub_name(hub, channel);
    const struct rc_history_slot *its = slot < hub->history->slot_count ? &hub->history->slots[slot] : NULL;
    return its == NULL || rc_history_state(hub->history, slot).epoch == 0 || its->name_bytes != name.count ||
           memcmp(its->name, name.bytes, name.count) != 0;
}

/* Is what comes behind that offset not in the copy of a history that all instances share, though it is not too long ago to be in the stream? */
static bool pending_lacks(const struct rc_hub *hub, uint32_t channel_index, uint64_t epoch, uint64_t offset)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const struct rc_config_namespace *policy = &hub->config->namespaces[channel->namespace];
    const struct rc_place *place = channel->place == 0 ? NULL : rc_truth_place(hub->truth, channel->place);
    if (place == NULL || policy->history_scope != RC_HISTORY_SCOPE_CLUSTER || epoch != place->epoch ||
        offset >= place->position || place->position - offset > policy->history) {
        return false;
    }
    const struct rc_history_state state = rc_history_state(hub->history, place->slot);
    return state.epoch == place->epoch
               ? hub->history->slots[place->slot].shared != 0 && state.first > offset + 1
               : pending_slot_lost(hub, channel, place->slot); /* of one that ended there is nothing to be had */
}

enum rc_subscribed rc_hub_subscribe_from(struct rc_hub *hub, uint32_t client_index, struct rc_span name,
                                         enum rc_subscriber by, struct rc_span id, uint8_t wants,
                                         const struct rc_hub_from *from)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_client *client = rc_truth_client(truth, client_index);
    const uint32_t existing = rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const bool subscribed = existing != 0 && rc_hub_subscription(hub, client_index, existing) != 0;
    if (existing != 0 && from != NULL && from->recovers && pending_lacks(hub, existing, from->epoch, from->offset)) {
        wants |= RC_PENDING_FULL;
    }
    /* What others were told where Redis had not confirmed is not known to hold now. */
    const uint32_t doubts = by == RC_SUBSCRIBER_CLIENT ? RC_CHANNEL_LOCAL | RC_CHANNEL_REFUSED : 0;
    if (subscribed && wants == 0 && !(rc_truth_channel(truth, existing)->flags & doubts) &&
        (from == NULL || !subscribe_wants_place(hub, existing))) {
        return subscribe_now(hub, client_index, existing, id, from);
    }
    if (!subscribed && by != RC_SUBSCRIBER_SERVER &&
        (uint32_t)client->subscription_count + client->pending_count >= hub->config->limits.max_channels) {
        return RC_SUBSCRIBE_LIMITED;
    }
    const uint32_t channel = rc_hub_channel(hub, name);
    if (channel == 0) {
        return RC_SUBSCRIBE_NO_ROOM;
    }
    const uint32_t state = rc_truth_channel(truth, channel)->flags & (RC_CHANNEL_ACTIVE | (doubts & RC_CHANNEL_LOCAL));
    if ((by == RC_SUBSCRIBER_CLIENT || from != NULL) && subscribe_wants_place(hub, channel)) {
        wants |= RC_PENDING_PLACE;
    }
    if (state == RC_CHANNEL_ACTIVE && wants == 0) {
        return subscribe_now(hub, client_index, channel, id, from);
    }
    if (by == RC_SUBSCRIBER_SERVER && from == NULL) {
        return rc_hub_join(hub, client_index, channel) == 0 ? RC_SUBSCRIBE_WAITS : RC_SUBSCRIBE_NO_ROOM;
    }
    const uint32_t request = from == NULL ? 0 : rc_replay_ask(hub, from);
    if (from != NULL && request == 0) {
        rc_hub_release(hub, channel);
        return RC_SUBSCRIBE_NO_ROOM;
    }
    wants |= from != NULL && from->snapshot ? RC_PENDING_SNAPSHOT : 0;
    const int rc = by == RC_SUBSCRIBER_SERVER ? pending_join(hub, client_index, channel, wants, request)
                                              : pending_add(hub, client_index, channel, id, false, wants, request);
    if (rc < 0) {
        rc_replay_forget(hub, request);
        return RC_SUBSCRIBE_NO_ROOM;
    }
    return RC_SUBSCRIBE_WAITS;
}

/* One request of the client waits no more. */
static void pending_over(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    client->pending_count--;
    if (client->pending_count == 0 && (client->flags & RC_CLIENT_WAITS_SUBSCRIBE)) {
        hub->handlers.subscribed(hub->handlers.context, client_index);
    }
}

/* Takes a request out of both of its lists. What the channel is to the relay is not looked at. */
static struct rc_pending pending_remove(struct rc_hub *hub, uint32_t index)
{
    struct rc_truth *truth = hub->truth;
    const struct rc_pending pending = *rc_truth_pending(truth, index);
    struct rc_channel *channel = rc_truth_channel(truth, pending.channel);
    if (pending.previous != 0) {
        rc_truth_pending(truth, pending.previous)->next = pending.next;
    } else {
        channel->pending = pending.next;
    }
    if (pending.next != 0) {
        rc_truth_pending(truth, pending.next)->previous = pending.previous;
    } else {
        channel->pending_last = pending.previous;
    }
    if (pending.previous_of_client != 0) {
        rc_truth_pending(truth, pending.previous_of_client)->next_of_client = pending.next_of_client;
    } else {
        hub->waiting[pending.client] = pending.next_of_client;
    }
    if (pending.next_of_client != 0) {
        rc_truth_pending(truth, pending.next_of_client)->previous_of_client = pending.previous_of_client;
    }
    rc_pool_free(&truth->pending, index);
    pending_over(hub, pending.client);
    return pending;
}

/* The same, and nobody may want the channel any more. */
static struct rc_pending pending_drop(struct rc_hub *hub, uint32_t index)
{
    const struct rc_pending pending = pending_remove(hub, index);
    rc_replay_forget(hub, pending.replay);
    rc_hub_update_interest(hub, pending.channel);
    rc_hub_release(hub, pending.channel);
    return pending;
}

void rc_hub_wait_end(struct rc_hub *hub, uint32_t client)
{
    while (hub->waiting[client] != 0) {
        (void)pending_drop(hub, hub->waiting[client]);
    }
}

bool rc_hub_wait_cancel(struct rc_hub *hub, uint32_t client, uint32_t channel_index, uint8_t id[RC_REQUEST_ID_MAX],
                        uint8_t *id_bytes)
{
    uint32_t oldest = 0; /* the list begins with the newest */
    for (uint32_t index = hub->waiting[client]; index != 0;
         index = rc_truth_pending(hub->truth, index)->next_of_client) {
        oldest = rc_truth_pending(hub->truth, index)->channel == channel_index ? index : oldest;
    }
    if (oldest == 0) {
        return false;
    }
    const struct rc_pending pending = pending_drop(hub, oldest);
    *id_bytes = pending.id_bytes;
    memcpy(id, pending.id, pending.id_bytes);
    return true;
}

/* A request is settled: who waited for what the server itself asked for goes on after the last one, whoever asked for that. */
static void pending_joined(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (client->pending_count == 0 && (client->flags & RC_CLIENT_WAITS_JOIN) &&
        !(hub->returning > 0 && rc_truth_engine(hub->truth, client_index)->returning)) {
        client->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN;
        rc_hub_touch(hub, client_index);
        if (client->in_history) {
            rc_replay_due(hub, client_index); /* nothing left towards it until now */
        }
        hub->handlers.joined(hub->handlers.context, client_index);
    }
}

/* --- what those who arrive are told first ---------------------------------------------------------------------------- */

/* Values one by one. What a client is in already comes in the order of its channels' messages; else nothing of the channel is before them,
 * and what is to come leaves behind replies. */
static void tell_values(struct rc_hub *hub, uint32_t client, uint32_t channel_index, struct rc_span values, bool was_in)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const bool in_order = was_in && !rc_hub_critical(hub, channel_index);
    struct rc_history_message message;
    uint64_t at = 0;
    while (at < values.count && rc_history_message_of(values.bytes + at, values.count - at, &message)) {
        const struct rc_event event = {
            .type = RC_EVENT_MESSAGE,
            .data_kind = (message.entry.flags & RC_HISTORY_ARGS)     ? RC_DATA_ARGS
                         : (message.entry.flags & RC_HISTORY_BINARY) ? RC_DATA_BINARY
                                                                     : RC_DATA_JSON,
            .retained = true,
            .unnamed = hub->unnamed,
            .channel = rc_hub_name(hub, channel),
            .channel_json = rc_hub_name_json(hub, channel),
            .data = message.data,
            .event = message.event,
        };
        at += rc_history_entry_bytes(&message.entry);
        if (in_order) {
            rc_hub_append_own(hub, client, &event);
        } else if (rc_hub_reply_event(hub, client, &event) < 0) {
            rc_hub_break(hub, client); /* it would take what comes next for what is first */
            return;
        }
        rc_metric_add(hub->metrics, RC_METRIC_RETAINED_DELIVERED, 1);
    }
}

/* Does the client, which has subscribed, get deltas? Who came without that wish goes on without them. */
static bool pending_deltas(struct rc_hub *hub, uint32_t channel, const struct rc_pending *pending, bool was_in)
{
    const uint8_t encoding = rc_truth_client(hub->truth, pending->client)->encoding;
    const uint32_t subscription =
        (pending->wants & RC_PENDING_DELTA) == 0 ? 0 : rc_hub_subscription(hub, pending->client, channel);
    if (subscription == 0 || !rc_delta_wanted(hub, channel) || rc_encoding_delta(encoding) == encoding) {
        return false;
    }
    const struct rc_group *group = rc_truth_group(hub->truth, rc_truth_subscription(hub->truth, subscription)->group);
    if (!rc_encoding_is_delta(group->encoding) &&
        (was_in || rc_hub_regroup(hub, subscription, rc_encoding_delta(encoding)) < 0)) {
        return false;
    }
    rc_delta_join(hub, subscription);
    return true;
}

/* Subscribes (code 0) or refuses one connection that waited, and answers if it asked for an answer. */
static void pending_settle(struct rc_hub *hub, uint32_t channel_index, const struct rc_pending *pending,
                           const struct rc_hub_acknowledgement *said)
{
    const struct rc_client *client = rc_truth_client(hub->truth, pending->client);
    const bool goes_on = client->state == RC_CLIENT_OPEN && !(client->flags & RC_CLIENT_CLOSE_QUEUED);
    const bool was_in = rc_hub_subscription(hub, pending->client, channel_index) != 0;
    uint32_t code = said->code;
    if (goes_on && code == 0 && !was_in && rc_hub_subscribe(hub, pending->client, channel_index) == 0) {
        code = RC_CODE_UNAVAILABLE;
    }
    if (pending->joins != 0 && code != 0) {
        rc_hub_break(hub, pending->client); /* it must not believe that it hears what it relies on */
        return;
    }
    struct rc_event event = pending_answer(hub, channel_index, rc_span_of(pending->id, pending->id_bytes));
    if (pending->joins != 0 && goes_on) {
        rc_recover_begin(hub, rc_hub_subscription(hub, pending->client, channel_index), pending->replay, was_in,
                         &event); /* nobody is answered */
    } else if (!goes_on) {
        rc_replay_forget(hub, pending->replay);
    }
    pending_joined(hub, pending->client);
    if (pending->joins != 0 || !goes_on) {
        return;
    }
    event.local = said->local;
    if (code == 0) {
        event.deltas = pending_deltas(hub, channel_index, pending, was_in);
        rc_recover_begin(hub, rc_hub_subscription(hub, pending->client, channel_index), pending->replay, was_in,
                         &event);
    } else {
        rc_replay_forget(hub, pending->replay);
        event.type = RC_EVENT_ERROR;
        event.code = (enum rc_code)code;
        event.message = RC_SPAN("the subscription could not be registered: try again later");
    }
    if (code != 0 || pending->id_bytes > 0) {
        pending_reply(hub, pending->client, &event);
        if (client->state != RC_CLIENT_OPEN || (client->flags & RC_CLIENT_CLOSE_QUEUED)) {
            return;
        }
    }
    if (code == 0 && (pending->wants & RC_PENDING_RETAINED) && event.recovery != RC_RECOVERED) {
        tell_values(hub, pending->client, channel_index, said->values, was_in);
    }
    if (code == 0 && (pending->wants & RC_PENDING_SNAPSHOT) && event.recovery != RC_RECOVERED) {
        rc_recover_snapshot(hub, rc_hub_subscription(hub, pending->client, channel_index), was_in);
    }
    if (code == 0 && (pending->wants & RC_PENDING_VALUES) && hub->handlers.values != NULL) {
        hub->handlers.values(hub->handlers.context, pending->client, channel_index, said->values);
    }
}

/* The first of those who wait goes behind the others. */
static void pending_last(struct rc_hub *hub, struct rc_channel *channel)
{
    const uint32_t index = channel->pending;
    struct rc_pending *pending = rc_truth_pending(hub->truth, index);
    if (pending->next == 0) {
        return;
    }
    channel->pending = pending->next;
    rc_truth_pending(hub->truth, pending->next)->previous = 0;
    pending->next = 0;
    pending->previous = channel->pending_last;
    rc_truth_pending(hub->truth, channel->pending_last)->next = index;
    channel->pending_last = index;
}

/*
 * The first of those who wait. Of a killed worker it waits still, unless its unit is over: it is in the channel already, perhaps, and what it was
 * answered is taken back. Not so what it is told besides: who wants that ends.
 */
static void pending_settle_one(struct rc_hub *hub, uint32_t channel_index, const struct rc_hub_acknowledgement *said)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const uint32_t index = channel->pending;
    const struct rc_pending pending = *rc_truth_pending(hub->truth, index);
    if ((pending.wants & ~RC_PENDING_PLACE) != 0 || pending.replay != 0 ||
        rc_encoding_is_pusher(rc_truth_client(hub->truth, pending.client)->encoding)) {
        const uint32_t outer = rc_hub_works(hub, pending.client);
        (void)pending_remove(hub, index);
        pending_settle(hub, channel_index, &pending, said);
        rc_hub_worked(hub, outer);
        return;
    }
    hub->kept->settling_unit = hub->kept->unit;
    RC_STORE_ORDER();
    hub->kept->settling = index;
    RC_STORE_ORDER();
    const uint32_t outer = rc_hub_works(hub, pending.client); /* should it crash of it */
    pending_settle(hub, channel_index, &pending, said);
    RC_STORE_ORDER();
    hub->kept->unit++;
    RC_STORE_ORDER();
    if (channel->pending == index) { /* else its client has ended */
        (void)pending_remove(hub, index);
        pending_joined(hub, pending.client);
    }
    rc_hub_worked(hub, outer);
    RC_STORE_ORDER();
    hub->kept->settling = 0;
}

/* Of those who come back and wait some lack what the copy has not, as is known now: the relay is asked for it. */
static void pending_look(struct rc_hub *hub, uint32_t channel_index)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    for (uint32_t index = channel->pending; index != 0; index = rc_truth_pending(hub->truth, index)->next) {
        struct rc_pending *pending = rc_truth_pending(hub->truth, index);
        const struct rc_replay *request = pending->replay == 0 ? NULL : rc_truth_replay(hub->truth, pending->replay);
        if (request != NULL && (request->flags & RC_REPLAY_RECOVERS) != 0 &&
            pending_lacks(hub, channel_index, request->cursor.epoch, request->cursor.offset)) {
            pending->wants |= RC_PENDING_FULL;
            channel->flags |= RC_CHANNEL_WANTS_FULL;
        }
    }
}

/* Settles those who wait. Who wants what was not told goes on waiting: the relay is asked again. */
static void pending_settle_all(struct rc_hub *hub, uint32_t channel_index, const struct rc_hub_acknowledgement *said)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const uint8_t lacks = said->code != 0
                              ? 0
                              : (uint8_t)((said->retained ? 0 : RC_PENDING_WANTS_VALUES) |
                                          (said->placed ? 0 : RC_PENDING_PLACE) | (said->full ? 0 : RC_PENDING_FULL));
    uint32_t count = 0;
    uint32_t waiting = 0;
    for (uint32_t index = channel->pending; index != 0; index = rc_truth_pending(hub->truth, index)->next) {
        count++;
    }
    for (; channel->pending != 0 && (lacks == 0 || count > 0);
         count -= count > 0 ? 1 : 0) { /* more may be added meanwhile */
        if ((rc_truth_pending(hub->truth, channel->pending)->wants & lacks) != 0) {
            pending_last(hub, channel);
            waiting++;
            continue;
        }
        hub->kept->unit++; /* what the ones before were told stays said */
        pending_settle_one(hub, channel_index, said);
    }
    if (channel->pending == 0) {
        channel->flags &= (uint16_t) ~(RC_CHANNEL_WANTS_RETAINED | RC_CHANNEL_WANTS_FULL);
    } else if (waiting > 0) {
        hub->handlers.interest_changed(hub->handlers.context, channel_index);
    }
}

/* Where the channel stands. With subscribers the worker knows better: what came down since, and what did not. */
static void pending_place(struct rc_hub *hub, uint32_t channel_index, const struct rc_hub_acknowledgement *said)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    if (said->code != 0 || !said->placed) {
        return;
    }
    if (channel->place != 0 && channel->subscriber_count > 0) {
        struct rc_place *place = rc_truth_place(hub->truth, channel->place);
        if (said->epoch == place->epoch && rc_history_state(hub->history, said->slot).epoch == place->epoch) {
            place->slot = said->slot; /* its copy may have begun anew, where another channel had taken its room */
        }
        return;
    }
    if (said->epoch != 0 && rc_place_wanted(hub, channel)) {
        rc_place_set(hub, channel_index, said->epoch, said->position, said->slot);
    } else {
        rc_place_drop(hub, channel);
    }
}

void rc_hub_acknowledged(struct rc_hub *hub, uint32_t channel_index, const struct rc_hub_acknowledgement *said)
{
    struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    pending_place(hub, channel_index, said);
    if (said->code == 0) {
        channel->flags =
            (uint16_t)((channel->flags & ~RC_CHANNEL_LOCAL) | RC_CHANNEL_ACTIVE | (said->local ? RC_CHANNEL_LOCAL : 0));
    }
    if (said->code == 0 && !said->full) {
        pending_look(hub, channel_index);
    } else {
        channel->flags &= (uint16_t)~RC_CHANNEL_WANTS_FULL;
    }
    channel->flags |= RC_CHANNEL_SETTLING;
    pending_settle_all(hub, channel_index, said);
    channel->flags &= (uint16_t)~RC_CHANNEL_SETTLING;
    rc_hub_update_interest(hub, channel_index);
    rc_hub_release(hub, channel_index);
}
