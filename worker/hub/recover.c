/*
 * recover: what clients, or this worker, missed of channels with history, read from the history.
 *
 * A client reads for itself (rc_hub_replay): what it missed goes into its own output, a piece at a time, until it has all up to where its
 * log's head is; from there on the log has it. The log's head is one place in the history for all (struct rc_place), so that each message
 * comes by one of the two ways. What the worker missed goes into the logs before what came behind it; what comes down of that all the same
 * is known by its offset.
 *
 * A history may have begun another epoch of which nothing has come down yet. Who asks for the past then is told that epoch, and reads it to its end;
 * it waits there for the first message of it, behind which the log is in that epoch, too.
 *
 * Nothing that is read is believed to be there: the relay may take it away at any time, and then a gap is told.
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"

#define RECOVER_TURN_BYTES (UINT64_C(1) << 20) /* into the outputs of all clients between two turns */
#define RECOVER_UNSENT_MAX 65536u              /* unsent output of a client beyond which it gets no more of a history */
#define RECOVER_PIECE_MAX 256u                 /* messages of one client between two turns */
#define RECOVER_SNAPSHOT_MAX 16384u            /* messages that a snapshot looks through, the newest */
#define RECOVER_HEAL_MAX 1024u                 /* messages that go into logs before a turn has to send them */
#define RECOVER_ENTRY_MIN 16384u               /* first room for a message */
#define RECOVER_ENTRY_MAX (UINT64_C(1) << 30)

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* rc_history_read into the hub's own room, which grows with the messages. 1, 0, -ENODATA, -EBADMSG, or -ENOMEM. */
static int recover_read(struct rc_hub *hub, struct rc_history_cursor *cursor, struct rc_history_message *message)
{
    for (;;) {
        const int rc = hub->entry_room == 0
                           ? -EMSGSIZE
                           : rc_history_read(hub->history, cursor, hub->entry, hub->entry_room, message);
        if (rc != -EMSGSIZE) {
            return rc;
        }
        const uint64_t room = hub->entry_room == 0 ? RECOVER_ENTRY_MIN : hub->entry_room * 2;
        uint8_t *larger = room > RECOVER_ENTRY_MAX ? NULL : realloc(hub->entry, room);
        if (larger == NULL) {
            return -ENOMEM;
        }
        hub->entry = larger;
        hub->entry_room = room;
    }
}

/* The record that the message was. */
static struct rc_envelope_view recover_view(const struct rc_hub *hub, const struct rc_channel *channel,
                                            const struct rc_history_message *message, uint64_t epoch, uint64_t offset)
{
    const struct rc_history_entry *entry = &message->entry;
    const struct rc_span name = rc_hub_name(hub, channel);
    return (struct rc_envelope_view){
        .head = {.epoch = epoch,
                 .position = offset,
                 .channel_hash = channel->hash,
                 .origin = {.random = entry->origin_random, .slot = entry->origin_slot, .worker = entry->origin_worker},
                 .data_bytes = (uint32_t)message->data.count,
                 .flags = (uint16_t)(((entry->flags & RC_HISTORY_BINARY) ? RC_ENVELOPE_BINARY : 0u) |
                                     ((entry->flags & RC_HISTORY_ARGS) ? RC_ENVELOPE_ARGS : 0u) |
                                     ((entry->flags & RC_HISTORY_NO_ECHO) ? RC_ENVELOPE_NO_ECHO : 0u) |
                                     ((entry->flags & RC_HISTORY_REMOTE) ? RC_ENVELOPE_REMOTE : 0u)),
                 .exclude_count = (uint16_t)(message->excludes.count / sizeof(struct rc_client_ref)),
                 .channel_bytes = (uint8_t)name.count,
                 .key_bytes = (uint8_t)message->key.count,
                 .event_bytes = (uint8_t)message->event.count},
        .channel = (const char *)name.bytes,
        .key = message->key.bytes,
        .event = (const char *)message->event.bytes,
        .excludes = message->excludes.bytes,
        .data = message->data.bytes,
    };
}

/* Where the channel's history has begun another epoch than that of its logs, the place is where that one stands. False: it has not. */
static bool recover_anew(const struct rc_hub *hub, const struct rc_channel *channel, struct rc_place *place)
{
    if (place->slot >= hub->history->slot_count) {
        return false;
    }
    const struct rc_history_slot *slot = &hub->history->slots[place->slot];
    const struct rc_history_state state = rc_history_state(hub->history, place->slot);
    const struct rc_span name = rc_hub_name(hub, channel);
    const bool its = state.epoch != 0 && state.epoch != place->epoch && slot->name_bytes == name.count &&
                     memcmp(slot->name, name.bytes, name.count) == 0; /* else it has gone to another channel */
    if (!its) {
        return false;
    }
    /* HY12 pairs with HY3 in relay/history/store.c: a slot that is given to another channel has another epoch before it has another name. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&slot->epoch, memory_order_relaxed) != state.epoch) {
        return false;
    }
    place->epoch = state.epoch;
    place->position = state.last;
    return true;
}

/* Where a reader of the cursor's epoch finds the end of what there is; *behind: the logs are not there yet. False: nothing is of that epoch. */
static bool recover_end(const struct rc_hub *hub, const struct rc_replay *replay, struct rc_place *end, bool *behind)
{
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, replay->subscription);
    const struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
    const struct rc_channel *channel = rc_truth_channel(hub->truth, group->channel);
    if (channel->place == 0) {
        return false;
    }
    *end = *rc_truth_place(hub->truth, channel->place);
    end->position = rc_place_position(hub, end, group->encoding);
    *behind = end->epoch != replay->cursor.epoch && recover_anew(hub, channel, end);
    return end->epoch == replay->cursor.epoch;
}

/* --- one client ------------------------------------------------------------------------------------------------------ */

static bool recover_is(const struct rc_client_ref *one, const struct rc_client_ref *other)
{
    return one->random == other->random && one->slot == other->slot && one->worker == other->worker;
}

static bool recover_names(const struct rc_hub *hub, const struct rc_envelope_view *view,
                          const struct rc_client_ref *ref, uint32_t client_index, const struct rc_client_ref *former)
{
    struct rc_span nsp;
    struct rc_span room;
    const struct rc_client_ref own = rc_truth_ref(hub->truth, hub->worker, client_index);
    if ((former->random != 0 && recover_is(former, ref)) || recover_is(&own, ref)) {
        return true;
    }
    return ref->worker == hub->worker && ref->slot == client_index &&
           rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &nsp, &room) &&
           rc_hub_socket(hub, ref, nsp) == client_index;
}

/* Was the client, or is what it was before, left out of the message? */
static bool recover_excludes(const struct rc_hub *hub, const struct rc_envelope_view *view, uint32_t client,
                             const struct rc_client_ref *former)
{
    if ((view->head.flags & RC_ENVELOPE_NO_ECHO) != 0 && view->head.origin.random != 0 &&
        recover_names(hub, view, &view->head.origin, client, former)) {
        return true;
    }
    for (uint32_t i = 0; i < view->head.exclude_count; i++) {
        const struct rc_client_ref ref = rc_envelope_exclude(view, i);
        if (recover_names(hub, view, &ref, client, former)) {
            return true;
        }
    }
    return false;
}

/* What comes next is not what came before: messages are missing. -ENOMEM. */
static int recover_tell_gap(struct rc_hub *hub, uint32_t client, const struct rc_channel *channel)
{
    const struct rc_event event = {
        .type = RC_EVENT_GAP, .channel = rc_hub_name(hub, channel), .channel_json = rc_hub_name_json(hub, channel)};
    rc_metric_add(hub->metrics, RC_METRIC_GAPS, 1);
    return rc_hub_reply_event(hub, client, &event);
}

/* Into the client's output. -ENOMEM. */
static int recover_tell(struct rc_hub *hub, struct rc_replay *replay, uint32_t channel_index,
                        const struct rc_history_message *message, uint64_t offset)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const uint32_t client = rc_truth_subscription(hub->truth, replay->subscription)->client;
    const struct rc_envelope_view view = recover_view(hub, channel, message, replay->cursor.epoch, offset);
    struct rc_hub_texts texts;
    if (recover_excludes(hub, &view, client, &replay->former)) {
        rc_metric_add(hub->metrics, RC_METRIC_EXCLUDED, 1);
        return 0;
    }
    struct rc_event event = rc_hub_message_event(hub, channel_index, &view, &texts);
    event.begins = (replay->flags & RC_REPLAY_BEGINS) != 0;
    const uint32_t before = rc_hub_unsent(hub, client);
    const int rc = rc_hub_reply_event(hub, client, &event);
    if (rc == 0) {
        replay->flags &= ~(uint32_t)(RC_REPLAY_BEGINS | RC_REPLAY_REWINDS);
        rc_metric_add(hub->metrics, RC_METRIC_DELIVERIES, 1);
        rc_metric_add(hub->metrics, RC_METRIC_REPLAYED, 1);
        rc_metric_add(hub->metrics, RC_METRIC_REPLAYED_BYTES, rc_hub_unsent(hub, client) - before);
    }
    return rc;
}

/* It has all up to the head of its log. */
static void recover_join(struct rc_hub *hub, uint32_t subscription_index)
{
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, subscription_index);
    const struct rc_group *group = rc_truth_group(hub->truth, subscription->group);
    const struct rc_channel_log *log = group->log == 0 ? NULL : rc_truth_log(hub->truth, group->log);
    rc_replay_recovered(hub, subscription->replay);
    rc_replay_end(hub, subscription_index);
    if (rc_encoding_is_delta(group->encoding)) {
        rc_delta_lacks(hub, subscription_index, false); /* what it has read has no versions */
    }
    if (log != NULL && log->head != log->served) {
        rc_hub_set_cursor(hub, subscription_index, log->head);
        rc_hub_touch(hub, subscription->client);
    } else {
        rc_hub_clear_cursor(hub, subscription_index);
    }
}

/* Where a history is as long as it may be the oldest message goes with each that comes. Is what has gone of a rewind, of which nothing was told yet, from
 * before it was answered? Then there is no more, and nothing is missing. */
static bool recover_rewinds(const struct rc_hub *hub, struct rc_replay *replay)
{
    struct rc_place end;
    bool behind = false;
    if ((replay->flags & RC_REPLAY_REWINDS) == 0 || !recover_end(hub, replay, &end, &behind)) {
        return false;
    }
    const struct rc_history_state state = rc_history_state(hub->history, end.slot);
    const bool rewinds = state.epoch == end.epoch && state.first > replay->cursor.offset &&
                         state.first - replay->cursor.offset <= replay->last;
    replay->last -= rewinds ? (uint32_t)(state.first - replay->cursor.offset) : 0;
    return rewinds;
}

/* What the cursor wants is not there any more: on to the oldest message that is, or to the log. Of an epoch that the logs have not heard of it goes on
 * in that: in the logs' it would get again, later, what it had of it. */
static int recover_lost(struct rc_hub *hub, struct rc_replay *replay, uint32_t channel_index)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, replay->subscription);
    const int rc = recover_rewinds(hub, replay) ? 0 : recover_tell_gap(hub, subscription->client, channel);
    replay->flags &= ~(uint32_t)RC_REPLAY_TIMED;
    if (channel->place == 0) {
        return rc;
    }
    struct rc_place place = *rc_truth_place(hub->truth, channel->place);
    place.position = rc_place_position(hub, &place, rc_truth_group(hub->truth, subscription->group)->encoding);
    if (place.epoch != replay->cursor.epoch) {
        (void)recover_anew(hub, channel, &place);
    }
    if (place.epoch != replay->cursor.epoch) {
        replay->flags |= RC_REPLAY_BEGINS;
    }
    const struct rc_history_state state = rc_history_state(hub->history, place.slot);
    const uint64_t wanted = replay->cursor.epoch == place.epoch ? replay->cursor.offset : 0;
    const bool there = state.epoch == place.epoch && state.first > wanted && state.first <= place.position;
    const uint64_t next = there ? state.first : place.position + 1;
    replay->cursor = (struct rc_history_cursor){.slot = place.slot, .epoch = place.epoch, .offset = next};
    return rc;
}

enum recovered_step { STEP_MORE, STEP_WAITS, STEP_DONE };

/* The next message of a subscription. */
static enum recovered_step recover_step(struct rc_hub *hub, struct rc_replay *replay)
{
    const uint32_t subscription_index = replay->subscription;
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, subscription_index);
    const uint32_t client = subscription->client;
    const uint32_t channel_index = rc_truth_group(hub->truth, subscription->group)->channel;
    const bool placed = rc_truth_channel(hub->truth, channel_index)->place != 0;
    struct rc_place end;
    bool behind = false;
    struct rc_history_message message;
    int rc = -ENODATA;
    if (recover_end(hub, replay, &end, &behind)) {
        if (replay->cursor.offset > end.position && behind) {
            return STEP_WAITS;
        }
        if (replay->cursor.offset > end.position) {
            RC_ASSERT(replay->cursor.offset == end.position + 1); /* recover_next */
            recover_join(hub, subscription_index);
            return STEP_DONE;
        }
        struct rc_history_cursor next = replay->cursor;
        rc = recover_read(hub, &next, &message);
        if (rc == 1) {
            rc = recover_tell(hub, replay, channel_index, &message, replay->cursor.offset);
            replay->cursor = next;
        } else {
            rc = -ENODATA;
        }
    }
    if (rc == -ENODATA) {
        rc = recover_lost(hub, replay, channel_index);
        if (rc == 0 && !placed) {
            recover_join(hub, subscription_index);
            return STEP_DONE;
        }
    }
    if (rc < 0) {
        rc_hub_break(hub, client); /* a message that it does not get would be silence */
        return STEP_WAITS;
    }
    return STEP_MORE;
}

/* Has the subscription messages that are not here yet? It got them of another instance; of a history that is all instances' they come. Or all that
 * there is of an epoch in which the logs are not yet? */
static bool recover_ahead(const struct rc_hub *hub, const struct rc_replay *replay)
{
    struct rc_place end;
    bool behind = false;
    return recover_end(hub, replay, &end, &behind) && replay->cursor.offset > end.position + (behind ? 0 : 1);
}

void rc_recover_waits(struct rc_hub *hub, uint32_t client)
{
    const struct rc_truth *truth = hub->truth;
    for (uint32_t i = hub->replays[client]; i != 0; i = rc_truth_replay(truth, i)->next_of_client) {
        const struct rc_subscription *its = rc_truth_subscription(truth, rc_truth_replay(truth, i)->subscription);
        rc_truth_channel(truth, rc_truth_group(truth, its->group)->channel)->flags |= RC_CHANNEL_AWAITED;
    }
}

void rc_recover_wake(struct rc_hub *hub, uint32_t channel_index)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_channel *channel = rc_truth_channel(truth, channel_index);
    if (RC_LIKELY((channel->flags & RC_CHANNEL_AWAITED) == 0)) {
        return;
    }
    for (uint32_t group = channel->groups; group != 0; group = rc_truth_group(truth, group)->next) {
        struct rc_members *members = &hub->members[group];
        for (uint32_t i = 0; i < members->count; i++) {
            const struct rc_subscription *its = rc_truth_subscription(truth, rc_members_items(members)[i]);
            if (its->replay != 0) {
                rc_replay_due(hub, its->client);
            }
        }
    }
    RC_STORE_ORDER(); /* a successor has those who wait marked again, and finds those who are due */
    channel->flags &= (uint16_t)~RC_CHANNEL_AWAITED;
}

/* The first of the client's that is not; NULL: none, and it waits until something comes. */
static struct rc_replay *recover_next(struct rc_hub *hub, uint32_t client)
{
    for (uint32_t i = hub->replays[client]; i != 0; i = rc_truth_replay(hub->truth, i)->next_of_client) {
        if (!recover_ahead(hub, rc_truth_replay(hub->truth, i))) {
            return rc_truth_replay(hub->truth, i);
        }
    }
    rc_recover_waits(hub, client);
    return NULL;
}

/* A piece of each history that the client reads. True: it may have more at once. */
static bool recover_client(struct rc_hub *hub, uint32_t client_index, uint64_t *bytes)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    uint32_t count = 0;
    while (client->in_history) {
        const uint32_t before = rc_hub_unsent(hub, client_index);
        if (client->state != RC_CLIENT_OPEN || rc_turn_mute(client) || (client->flags & RC_CLIENT_CLOSE_QUEUED) ||
            before >= RECOVER_UNSENT_MAX) {
            return false; /* it is due again when its output has left */
        }
        if (count++ == RECOVER_PIECE_MAX || *bytes >= RECOVER_TURN_BYTES ||
            hub->output_bytes > hub->config->limits.worker_log_bytes / 2) {
            return true;
        }
        struct rc_replay *replay = recover_next(hub, client_index);
        *bytes += sizeof(struct rc_history_entry); /* also of one in vain: who comes for nothing takes time, too */
        if (replay == NULL) {
            return false;
        }
        (void)recover_step(hub, replay);
        const uint32_t after = rc_hub_unsent(hub, client_index);
        *bytes += after > before ? after - before : 0;
    }
    return false;
}

void rc_hub_replay(struct rc_hub *hub)
{
    struct rc_index_list *due = &hub->replays_due;
    const uint32_t count = due->count;
    uint32_t i = 0;
    uint64_t bytes = 0;
    RC_ASSERT(!hub->in_turn && hub->io->packet_count == 0);
    for (; i < count && bytes < RECOVER_TURN_BYTES && rc_hub_replays(hub); i++) {
        const uint32_t client_index = due->items[i];
        struct rc_client *client = rc_truth_client(hub->truth, client_index);
        if (client->replay_due) { /* else it has ended */
            client->replay_due = false;
            const uint32_t outer = rc_hub_works(
                hub, client_index); /* a message that was told, and not counted as told, would come twice */
            if (recover_client(hub, client_index, &bytes)) {
                rc_replay_due(hub, client_index);
            }
            rc_hub_worked(hub, outer);
        }
    }
    due->count -= i;
    memmove(due->items, due->items + i, due->count * sizeof(*due->items));
    rc_hub_end_marked(hub);
}

/* --- the beginning --------------------------------------------------------------------------------------------------- */

/* Is all there that comes behind what the request has? */
static uint32_t recover_outcome(const struct rc_hub *hub, const struct rc_place *place, const struct rc_replay *request)
{
    const struct rc_history_cursor *asked = &request->cursor;
    if (place == NULL) {
        return RC_METRIC_RECOVERIES_NO_HISTORY;
    }
    const struct rc_history_state state = rc_history_state(hub->history, place->slot);
    const bool kept = place->slot < hub->history->slot_count;
    if (asked->epoch != place->epoch || (kept && state.epoch != place->epoch)) {
        /* One that is over tells nothing of what came since, before a gap that only those who were there were told. */
        return RC_METRIC_RECOVERIES_EPOCH;
    }
    if (asked->offset > place->position) { /* another instance was faster, or there is no such offset */
        return kept && hub->history->slots[place->slot].shared != 0 ? RC_METRIC_RECOVERIES : RC_METRIC_RECOVERIES_EPOCH;
    }
    const bool there = asked->offset == place->position || (kept && state.first <= asked->offset + 1);
    return there ? RC_METRIC_RECOVERIES : RC_METRIC_RECOVERIES_GONE;
}

/* Sets where the request begins; `anew`: the logs are in another epoch. False: with what is published from now on. */
static bool recover_place(const struct rc_hub *hub, const struct rc_place *place, struct rc_replay *request,
                          bool recovers, bool anew)
{
    if (place == NULL || (!recovers && request->last == 0 && !anew)) {
        return false;
    }
    const uint64_t position = place->position;
    uint64_t next = request->cursor.offset + 1;
    if (!recovers) {
        const struct rc_history_state state = rc_history_state(hub->history, place->slot);
        const uint64_t first = state.epoch == place->epoch ? state.first : position + 1;
        next = position >= request->last ? position - request->last + 1 : 1;
        next = next > first ? next : first;
        next = next <= position ? next : position + 1; /* what is behind it comes by the log */
        request->flags |= request->last > 0 ? (uint32_t)RC_REPLAY_REWINDS : 0;
        request->last = (uint32_t)(position + 1 - next);
    }
    request->cursor = (struct rc_history_cursor){.slot = place->slot, .epoch = place->epoch, .offset = next};
    return true;
}

void rc_recover_begin(struct rc_hub *hub, uint32_t subscription_index, uint32_t request_index, bool was_in,
                      struct rc_event *answer)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_subscription *subscription = rc_truth_subscription(truth, subscription_index);
    const struct rc_channel *channel = rc_truth_channel(truth, rc_truth_group(truth, subscription->group)->channel);
    struct rc_place stands = {.channel = 0};
    const struct rc_place *place = NULL;
    bool anew = false;
    if (channel->place != 0) {
        stands = *rc_truth_place(truth, channel->place);
        stands.position = rc_place_position(hub, &stands, rc_truth_group(truth, subscription->group)->encoding);
        anew = request_index != 0 && recover_anew(hub, channel, &stands);
        answer->epoch = stands.epoch;
        answer->offset = stands.position;
        place = &stands;
    }
    if (request_index == 0) {
        return;
    }
    struct rc_replay *request = rc_truth_replay(truth, request_index);
    bool recovers = false;
    if (request->flags & RC_REPLAY_RECOVERS) {
        const uint32_t outcome = recover_outcome(hub, place, request);
        rc_metric_add(hub->metrics, outcome, 1);
        recovers = outcome == RC_METRIC_RECOVERIES;
        request->flags |= recovers ? (uint32_t)RC_REPLAY_TIMED : 0;
        answer->recovery = recovers ? RC_RECOVERED : RC_NOT_RECOVERED;
        if (recovers && request->cursor.offset > stands.position) {
            answer->offset = request->cursor.offset; /* what is to come has the offsets behind it */
        }
    }
    if (!recover_place(hub, place, request, recovers, anew) ||
        (!was_in && !anew && request->cursor.offset == stands.position + 1)) {
        rc_replay_recovered(hub, request_index);
        rc_replay_forget(hub, request_index);
        return;
    }
    rc_hub_keep_cut_or_break(hub, subscription_index);
    rc_replay_begin(hub, subscription_index, request_index);
}

/* The keys of the channel as of the offset: looked through once for all who arrive there. 1; 0: there are none; -ENOMEM, -ENODATA, -EBADMSG. */
static int recover_keys(struct rc_hub *hub, const struct rc_place *place, uint32_t keys_max, uint64_t position)
{
    const struct rc_history_cursor of = {.slot = place->slot, .epoch = place->epoch, .offset = position};
    const struct rc_history_state state = rc_history_state(hub->history, place->slot);
    if (state.epoch != place->epoch) {
        return 0;
    }
    if (hub->keys.keys_max != keys_max) {
        rc_history_keys_close(&hub->keys);
        hub->keys_of = (struct rc_history_cursor){0};
        if (rc_history_keys_open(&hub->keys, keys_max) < 0) {
            rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return -ENOMEM;
        }
    }
    if (hub->keys_of.slot != of.slot || hub->keys_of.epoch != of.epoch || hub->keys_of.offset != of.offset) {
        hub->keys_of = of;
        const int rc = rc_history_keys_find(&hub->keys, hub->history, of.slot, of.epoch, state.first, position,
                                            RECOVER_SNAPSHOT_MAX);
        if (rc < 0) {
            hub->keys_of = (struct rc_history_cursor){0};
            return rc;
        }
    }
    return 1;
}

void rc_recover_snapshot(struct rc_hub *hub, uint32_t subscription_index, bool was_in)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_subscription *subscription = rc_truth_subscription(truth, subscription_index);
    const struct rc_group *group = rc_truth_group(truth, subscription->group);
    const struct rc_channel *channel = rc_truth_channel(truth, group->channel);
    const uint32_t client = subscription->client;
    const struct rc_client_ref nobody = {0};
    uint32_t next = 0;
    if (channel->place == 0) {
        return;
    }
    struct rc_place place = *rc_truth_place(truth, channel->place);
    bool behind = false;
    place.position = rc_place_position(hub, &place, group->encoding);
    if (subscription->replay != 0) { /* where the logs are not yet it stands behind what there is: rc_recover_begin */
        const struct rc_replay *replay = rc_truth_replay(truth, subscription->replay);
        struct rc_place end;
        if (recover_end(hub, replay, &end, &behind) && behind) {
            place = end;
            place.position = replay->cursor.offset - 1;
        }
    }
    if (was_in && !behind) {
        rc_hub_keep_cut_or_break(hub, subscription_index);
        if (subscription->replay != 0) {
            rc_replay_end(hub, subscription_index);
        }
        rc_hub_skip(hub, subscription_index);
    }
    const int found = recover_keys(hub, &place, hub->config->namespaces[channel->namespace].max_keys, place.position);
    if (found == 0) {
        return;
    }
    bool lacks = found < 0;
    const struct rc_history_cursor none = {0};
    for (struct rc_history_cursor at = lacks ? none : rc_history_keys_next(&hub->keys, &next); at.epoch != 0;
         at = rc_history_keys_next(&hub->keys, &next)) {
        struct rc_history_message message;
        const uint64_t offset = at.offset;
        if (rc_hub_unsent(hub, client) >= RECOVER_TURN_BYTES || recover_read(hub, &at, &message) != 1) {
            lacks = true;
            continue;
        }
        const struct rc_envelope_view view = recover_view(hub, channel, &message, place.epoch, offset);
        struct rc_hub_texts texts;
        if (recover_excludes(hub, &view, client, &nobody)) {
            continue;
        }
        struct rc_event event = rc_hub_message_event(hub, group->channel, &view, &texts);
        event.begins = false; /* it was answered */
        if (rc_hub_reply_event(hub, client, &event) < 0) {
            rc_hub_break(hub, client);
            return;
        }
        rc_metric_add(hub->metrics, RC_METRIC_REPLAYED, 1);
    }
    if (lacks && recover_tell_gap(hub, client, channel) < 0) {
        rc_hub_break(hub, client);
    }
}

/* --- the worker itself ----------------------------------------------------------------------------------------------- */

/* Messages up to `until` go into the channel's logs. 0; -ENOSPC: once more, after a turn; -ENODATA: they are not there. */
static int recover_heal(struct rc_hub *hub, uint32_t channel_index, uint64_t until)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    struct rc_place *place = rc_truth_place(hub->truth, channel->place);
    struct rc_history_cursor cursor = {.slot = place->slot, .epoch = place->epoch, .offset = place->position + 1};
    struct rc_history_message message;
    for (uint32_t count = 0; place->position < until; count++) {
        if (count == RECOVER_HEAL_MAX) {
            return -ENOSPC;
        }
        if (recover_read(hub, &cursor, &message) != 1) {
            hub->kept->partial_mask = 0;
            return -ENODATA;
        }
        const struct rc_envelope_view view = recover_view(hub, channel, &message, place->epoch, place->position + 1);
        const int rc = rc_hub_append(hub, channel_index, &view);
        if (rc < 0) {
            return rc;
        }
        place->position++;
        rc_metric_add(hub->metrics, RC_METRIC_HEALED, 1);
    }
    return 0;
}

/* What is in no history, to those who read that: by itself, as it is in the logs. Not to whom `view` leaves out; NULL: to all. */
static void recover_tell_readers(struct rc_hub *hub, uint32_t channel_index, const struct rc_event *event,
                                 const struct rc_envelope_view *view)
{
    const struct rc_truth *truth = hub->truth;
    uint32_t group = truth->replays.used == 0 ? 0 : rc_truth_channel(truth, channel_index)->groups;
    for (; group != 0; group = rc_truth_group(truth, group)->next) {
        struct rc_members *members = &hub->members[group];
        for (uint32_t i = 0; i < members->count; i++) {
            const struct rc_subscription *its = rc_truth_subscription(truth, rc_members_items(members)[i]);
            if (its->replay != 0 && (view == NULL || !recover_excludes(hub, view, its->client,
                                                                       &rc_truth_replay(truth, its->replay)->former))) {
                rc_hub_append_own(hub, its->client, event);
            }
        }
    }
}

/* A message that is not in the history, though others of the channel are. */
static int recover_unplaced(struct rc_hub *hub, uint32_t channel_index, const struct rc_envelope_view *view)
{
    const struct rc_truth *truth = hub->truth;
    const int rc = rc_hub_append(hub, channel_index, view);
    const uint32_t place = rc_truth_channel(truth, channel_index)->place;
    if (place != 0) {
        rc_truth_place(truth, place)->order = hub->order; /* who falls off behind it is told a gap: rc_replay_behind */
    }
    if (rc < 0 || truth->replays.used == 0) {
        return rc;
    }
    struct rc_hub_texts texts;
    const struct rc_event event = rc_hub_message_event(hub, channel_index, view, &texts);
    recover_tell_readers(hub, channel_index, &event, view);
    return 0;
}

int rc_recover_message(struct rc_hub *hub, uint32_t channel_index, const struct rc_envelope_view *view)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const struct rc_envelope *head = &view->head;
    if (head->epoch == 0) {
        return recover_unplaced(hub, channel_index, view);
    }
    struct rc_place *place = channel->place == 0 ? NULL : rc_truth_place(hub->truth, channel->place);
    if (place != NULL && place->epoch == head->epoch) {
        if (head->position <= place->position) {
            hub->kept->partial_mask = 0;
            rc_recover_wake(hub, channel_index); /* a killed worker may not have come to it */
            return 0;                            /* it was read from the history */
        }
        if (RC_UNLIKELY(head->position != place->position + 1)) {
            const int rc = recover_heal(hub, channel_index, head->position - 1);
            if (rc == -ENOSPC) {
                return rc;
            }
            if (rc < 0) {
                rc_hub_owe_gap(hub, channel_index);
                place->position = head->position - 1;
            }
        }
    }
    const uint64_t order = hub->order;
    const int rc = rc_hub_append(hub, channel_index, view);
    if (rc < 0) {
        return rc;
    }
    if (place != NULL && place->epoch == head->epoch) {
        place->position = head->position;
        if (RC_UNLIKELY(head->target.slot != place->slot) &&
            rc_history_state(hub->history, head->target.slot).epoch == head->epoch) {
            place->slot = head->target.slot; /* it was kept nowhere until now */
        }
    } else if (place != NULL || ((channel->flags & RC_CHANNEL_ACTIVE) && rc_place_wanted(hub, channel))) {
        rc_place_set(hub, channel_index, head->epoch, head->position, head->target.slot);
        if (channel->place != 0) {
            rc_truth_place(hub->truth, channel->place)->order = order;
        }
    }
    rc_recover_wake(hub, channel_index);
    return 0;
}

/* Was something of the channel missing, and is it in the logs now? 1, 0, or -ENOSPC. */
static int recover_missing(struct rc_hub *hub, uint32_t channel_index)
{
    const struct rc_channel *channel = rc_truth_channel(hub->truth, channel_index);
    const struct rc_place *place = channel->place == 0 ? NULL : rc_truth_place(hub->truth, channel->place);
    struct rc_history_state state = {0};
    if (place != NULL) {
        state = rc_history_state(hub->history, place->slot);
    }
    if (place == NULL || state.epoch != place->epoch || state.last <= place->position) {
        hub->kept->partial_mask = 0;         /* a message of it that some groups got will not be had for the others */
        rc_recover_wake(hub, channel_index); /* the epoch in which somebody waits may be over */
        return 0;
    }
    const int rc = recover_heal(hub, channel_index, state.last);
    if (rc != -ENOSPC) {
        rc_recover_wake(hub, channel_index);
    }
    return rc == 0 ? 1 : rc == -ENOSPC ? rc : 0;
}

/* The same for all channels. -ENOSPC or 0. */
static int recover_all(struct rc_hub *hub)
{
    /* First the one in which that was interrupted: the groups that have its next message are not those of another channel. */
    if (hub->kept->partial_mask != 0 && recover_missing(hub, hub->kept->partial_place) == -ENOSPC) {
        return -ENOSPC;
    }
    for (uint32_t i = 1; i < hub->truth->places.high; i++) {
        const uint32_t channel = rc_truth_place(hub->truth, i)->channel;
        if (channel != 0 && recover_missing(hub, channel) == -ENOSPC) {
            return -ENOSPC;
        }
    }
    return 0;
}

/* The notice of a gap. That of what was kept nowhere stands in no history either; of the rest a reader finds out by itself what it cannot have. */
static int recover_gap(struct rc_hub *hub, struct rc_span name, bool unkept)
{
    const int rc = rc_hub_gap(hub, name);
    const uint32_t channel = name.count == 0 || !unkept || rc < 0
                                 ? 0
                                 : rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel != 0) {
        const struct rc_channel *its = rc_truth_channel(hub->truth, channel);
        const struct rc_event event = {
            .type = RC_EVENT_GAP, .channel = rc_hub_name(hub, its), .channel_json = rc_hub_name_json(hub, its)};
        recover_tell_readers(hub, channel, &event, NULL);
    }
    return rc;
}

int rc_hub_lost(struct rc_hub *hub, struct rc_span name, bool unkept)
{
    struct rc_truth_hub *kept = hub->kept;
    if (kept->partial_mask != 0 && kept->partial_place == 0) {
        return recover_gap(hub, name,
                           unkept); /* it was begun before, and some have the notice: nothing comes in between */
    }
    if (name.count == 0) {
        return recover_all(hub) == -ENOSPC ? -ENOSPC : rc_hub_gap(hub, name); /* "*" has no history */
    }
    const uint32_t channel = rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel != kept->partial_place) {
        kept->partial_mask = 0; /* of a channel that has gone */
    }
    const int rc = channel == 0 ? 0 : recover_missing(hub, channel);
    return rc < 0 ? rc : rc == 1 && !unkept ? 0 : recover_gap(hub, name, unkept);
}

void rc_hub_lost_behind(struct rc_hub *hub, struct rc_span name, uint64_t epoch, uint64_t position)
{
    const uint32_t channel = rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const uint32_t index = channel == 0 ? 0 : rc_truth_channel(hub->truth, channel)->place;
    struct rc_place *place = index == 0 ? NULL : rc_truth_place(hub->truth, index);
    if (place != NULL && place->epoch == epoch && place->position < position) {
        place->position = position;
    }
}
