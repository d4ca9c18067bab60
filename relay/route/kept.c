/* kept: see kept.h. */
#include "relay/route/kept.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/channel_name.h"
#include "common/records/query.h"

void rc_kept_close(struct rc_kept *kept)
{
    free(kept->values);
    kept->values = NULL;
}

static bool values_room(struct rc_kept *kept)
{
    if (kept->values == NULL && kept->history != NULL) {
        kept->values = malloc(kept->history->values_bytes_max);
    }
    return kept->values != NULL;
}

/* The channel's retained values are the record's data. */
static void values_put(struct rc_kept *kept, uint64_t hash, struct rc_span name, struct rc_envelope_view *view)
{
    const struct rc_history *history = kept->history;
    const uint32_t slot = rc_history_find(history, hash, name);
    view->data = kept->values;
    view->head.data_bytes = 0;
    if (slot != RC_HISTORY_NO_SLOT) {
        view->head.data_bytes = (uint32_t)rc_history_values(history, slot, kept->values, history->values_bytes_max);
    }
}

/* Where the channel stands in its history. One of which nothing is there yet gets its epoch here, so that who was in it before its first
 * message recovers that, too. */
static void place_put(struct rc_kept *kept, uint64_t hash, struct rc_span name,
                      const struct rc_config_namespace *policy, struct rc_envelope_view *view)
{
    struct rc_history *history = kept->history;
    const uint32_t slot = rc_history_begin(history, hash, name, rc_history_now(&history->view));
    if (slot != RC_HISTORY_NO_SLOT) {
        const struct rc_history_state state = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
        view->head.epoch = state.epoch;
        view->head.position = state.last;
        view->head.target.slot = slot;
    }
}

/* Who is in a channel, as whoever wants its presence events was told last. */
static void presence_put(struct rc_kept *kept, struct rc_span name, bool values, struct rc_envelope_view *view)
{
    const bool room = values && values_room(kept);
    const uint32_t bytes = kept->presence(kept->presence_context, name, room ? kept->values : NULL,
                                          room ? kept->history->values_bytes_max : 0);
    if (room) { /* else it is asked for again */
        view->head.flags = (uint16_t)(view->head.flags | RC_ENVELOPE_STATE);
        view->data = kept->values;
        view->head.data_bytes = bytes;
    }
}

void rc_kept_state(struct rc_kept *kept, const struct rc_interest_request *request, struct rc_envelope_view *view)
{
    const struct rc_span name = rc_span_of(request->name, request->name_bytes);
    const bool values = (request->token & RC_INTEREST_RETAINED) != 0;
    const struct rc_config_namespace *policy = kept->history == NULL ? NULL : rc_history_policy(kept->history, name);
    if (kept->presence != NULL && rc_channel_is_presence(name)) {
        presence_put(kept, name, values, view);
        return;
    }
    if (values ? !values_room(kept) : policy == NULL) {
        return; /* values are asked for again */
    }
    view->head.flags = (uint16_t)(view->head.flags | RC_ENVELOPE_STATE);
    if (values) {
        values_put(kept, request->hash, name, view);
    }
    if (policy != NULL) {
        place_put(kept, request->hash, name, policy, view);
    }
}

/* Messages of a channel as a record's data. */
static void history_put(struct rc_kept *kept, const struct rc_envelope_view *asked, uint32_t limit,
                        struct rc_envelope_view *view)
{
    struct rc_history *history = kept->history;
    const struct rc_span name = rc_span_of(asked->channel, asked->head.channel_bytes);
    const struct rc_config_namespace *policy = rc_history_policy(history, name);
    const uint32_t slot =
        policy == NULL ? RC_HISTORY_NO_SLOT : rc_history_find(history, asked->head.channel_hash, name);
    struct rc_query_history question;
    struct rc_query_kept answer = {.first = 1, .from = 1};
    uint64_t used = sizeof(answer);
    memcpy(&question, asked->data + sizeof(struct rc_query_head), sizeof(question));
    if (slot != RC_HISTORY_NO_SLOT) {
        const struct rc_history_state state = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
        struct rc_history_cursor cursor = {.slot = slot, .epoch = state.epoch};
        struct rc_history_message message;
        const uint64_t newest = state.last >= limit ? state.last - limit + 1 : 1;
        answer.epoch = state.epoch;
        answer.since_1970_ms = rc_clock_wall_ms() - rc_history_now(&history->view);
        answer.first = state.first;
        answer.last = state.last;
        answer.from = (question.flags & RC_QUERY_SINCE) ? question.since + 1 : newest;
        answer.from = answer.from > state.first ? answer.from : state.first;
        cursor.offset = answer.from;
        while (answer.count < limit && rc_history_read(&history->view, &cursor, kept->values + used,
                                                       history->values_bytes_max - used, &message) == 1) {
            used += rc_history_entry_bytes(&message.entry);
            answer.count++;
        }
        answer.flags = cursor.offset <= state.last ? RC_QUERY_MORE : 0;
    }
    memcpy(kept->values, &answer, sizeof(answer));
    view->data = kept->values;
    view->head.data_bytes = (uint32_t)used;
}

/* The channel's history is no more; what there was of it, and how the channel stands now, as a record's data. */
static void history_forget(struct rc_kept *kept, const struct rc_envelope_view *asked, struct rc_envelope_view *view)
{
    struct rc_history *history = kept->history;
    const uint32_t slot =
        rc_history_find(history, asked->head.channel_hash, rc_span_of(asked->channel, asked->head.channel_bytes));
    struct rc_query_kept answer = {.first = 1};
    if (slot != RC_HISTORY_NO_SLOT &&
        history->view.slots[slot].shared != 0) { /* it was done for all, and this is what came of it */
        const struct rc_history_state state = rc_history_state(&history->view, slot);
        answer.epoch = state.epoch;
        answer.first = state.first;
        answer.last = state.last;
        answer.count = (uint32_t)asked->head.position;
    } else if (slot != RC_HISTORY_NO_SLOT) {
        const struct rc_config_namespace *policy =
            rc_history_policy(history, rc_span_of(asked->channel, asked->head.channel_bytes));
        const struct rc_history_state before = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
        rc_history_renew(history, slot);
        const struct rc_history_state state = rc_history_state(&history->view, slot);
        answer.epoch = state.epoch;
        answer.first = state.first;
        answer.last = state.last;
        answer.count = (uint32_t)(before.last + 1 - before.first);
        rc_metric_add(kept->metrics, RC_METRIC_HISTORY_DELETED, answer.count);
    }
    memcpy(kept->values, &answer, sizeof(answer));
    view->data = kept->values;
    view->head.data_bytes = sizeof(answer);
}

/* Is the question for the history of all instances, which are asked first? */
static bool kept_elsewhere(struct rc_kept *kept, const struct rc_relay_port *port, const struct rc_envelope_view *asked,
                           bool forget)
{
    const struct rc_remote_ops *remote = kept->remote->ops;
    return remote != NULL && remote->complete != NULL && kept->history != NULL && kept->history->wanted &&
           remote->complete(kept->remote->context, asked, port->index, port->generation, forget);
}

bool rc_kept_answer(struct rc_kept *kept, struct rc_relay_port *port, const struct rc_envelope_view *asked, bool first)
{
    struct rc_query_head head;
    struct rc_envelope_view view = *asked;
    if (asked->head.data_bytes < sizeof(head)) {
        return false;
    }
    memcpy(&head, asked->data, sizeof(head));
    const bool messages =
        head.kind == RC_QUERY_HISTORY && asked->head.data_bytes == sizeof(head) + sizeof(struct rc_query_history);
    if (head.kind != RC_QUERY_RETAINED && head.kind != RC_QUERY_FORGET && !messages) {
        return false;
    }
    if (first && head.kind != RC_QUERY_RETAINED && kept_elsewhere(kept, port, asked, head.kind == RC_QUERY_FORGET)) {
        return true;
    }
    view.head.flags = (uint16_t)(asked->head.flags & RC_ENVELOPE_API);
    view.head.code = values_room(kept) ? 0 : RC_ROUTE_UNAVAILABLE;
    view.head.key_bytes = view.head.event_bytes = 0;
    view.head.exclude_count = 0;
    view.head.exclude_text_bytes = view.head.data_bytes = 0;
    if (view.head.code == 0 && messages) {
        history_put(kept, asked, head.limit > 0 ? head.limit : RC_QUERY_LIMIT_DEFAULT, &view);
    } else if (view.head.code == 0 && head.kind == RC_QUERY_FORGET) {
        history_forget(kept, asked, &view);
    } else if (view.head.code == 0) {
        values_put(kept, asked->head.channel_hash, rc_span_of(asked->channel, asked->head.channel_bytes), &view);
    }
    (void)rc_fanout_send(kept->fanout, port, RC_DOWN_QUERY, &view); /* who gets none asks again */
    return true;
}
