/* kept: what workers are told of what is kept: with an acknowledgement, and when they ask. Part of the router: see router.h. */
#include "relay/route/router.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/query.h"

static bool values_room(struct rc_router *router)
{
    if (router->values == NULL && router->setup.history != NULL) {
        router->values = malloc(router->setup.history->values_bytes_max);
    }
    return router->values != NULL;
}

/* The channel's retained values are the record's data. */
static void values_put(struct rc_router *router, uint64_t hash, struct rc_span name, struct rc_envelope_view *view)
{
    const struct rc_history *history = router->setup.history;
    const uint32_t slot = rc_history_find(history, hash, name);
    view->data = router->values;
    view->head.data_bytes = 0;
    if (slot != RC_HISTORY_NO_SLOT) {
        view->head.data_bytes = (uint32_t)rc_history_values(history, slot, router->values, history->values_bytes_max);
    }
}

/* Where the channel stands in its history. One of which nothing is there yet gets its epoch here, so that who was in it before its first
 * message recovers that, too. */
static void place_put(struct rc_router *router, uint64_t hash, struct rc_span name,
                      const struct rc_config_namespace *policy, struct rc_envelope_view *view)
{
    struct rc_history *history = router->setup.history;
    const uint32_t slot = rc_history_begin(history, hash, name, rc_history_now(&history->view));
    if (slot != RC_HISTORY_NO_SLOT) {
        const struct rc_history_state state = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
        view->head.epoch = state.epoch;
        view->head.position = state.last;
        view->head.target.slot = slot;
    }
}

void rc_router_tell_state(struct rc_router *router, const struct rc_interest_request *request,
                          struct rc_envelope_view *view)
{
    const struct rc_span name = rc_span_of(request->name, request->name_bytes);
    const bool values = (request->token & RC_INTEREST_RETAINED) != 0;
    const struct rc_config_namespace *policy =
        router->setup.history == NULL ? NULL : rc_history_policy(router->setup.history, name);
    if (values ? !values_room(router) : policy == NULL) {
        return; /* values are asked for again */
    }
    view->head.flags = (uint16_t)(view->head.flags | RC_ENVELOPE_STATE);
    if (values) {
        values_put(router, request->hash, name, view);
    }
    if (policy != NULL) {
        place_put(router, request->hash, name, policy, view);
    }
}

/* Messages of a channel as a record's data. */
static void history_put(struct rc_router *router, const struct rc_envelope_view *asked, uint32_t limit,
                        struct rc_envelope_view *view)
{
    struct rc_history *history = router->setup.history;
    const struct rc_span name = rc_span_of(asked->channel, asked->head.channel_bytes);
    const struct rc_config_namespace *policy = rc_history_policy(history, name);
    const uint32_t slot =
        policy == NULL ? RC_HISTORY_NO_SLOT : rc_history_find(history, asked->head.channel_hash, name);
    struct rc_query_history question;
    struct rc_query_kept kept = {.first = 1, .from = 1};
    uint64_t used = sizeof(kept);
    memcpy(&question, asked->data + sizeof(struct rc_query_head), sizeof(question));
    if (slot != RC_HISTORY_NO_SLOT) {
        const struct rc_history_state state = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
        struct rc_history_cursor cursor = {.slot = slot, .epoch = state.epoch};
        struct rc_history_message message;
        const uint64_t newest = state.last >= limit ? state.last - limit + 1 : 1;
        kept.epoch = state.epoch;
        kept.first = state.first;
        kept.last = state.last;
        kept.from = (question.flags & RC_QUERY_SINCE) ? question.since + 1 : newest;
        kept.from = kept.from > state.first ? kept.from : state.first;
        cursor.offset = kept.from;
        while (kept.count < limit && rc_history_read(&history->view, &cursor, router->values + used,
                                                     history->values_bytes_max - used, &message) == 1) {
            used += rc_history_entry_bytes(&message.entry);
            kept.count++;
        }
        kept.flags = cursor.offset <= state.last ? RC_QUERY_MORE : 0;
        kept.since_1970_ms = rc_clock_wall_ms() - rc_history_now(&history->view);
    }
    memcpy(router->values, &kept, sizeof(kept));
    view->data = router->values;
    view->head.data_bytes = (uint32_t)used;
}

/* The channel's history is no more; what there was of it, and how the channel stands now, as a record's data. */
static void history_forget(struct rc_router *router, const struct rc_envelope_view *asked,
                           struct rc_envelope_view *view)
{
    struct rc_history *history = router->setup.history;
    const uint32_t slot =
        rc_history_find(history, asked->head.channel_hash, rc_span_of(asked->channel, asked->head.channel_bytes));
    struct rc_query_kept kept = {.first = 1};
    if (slot != RC_HISTORY_NO_SLOT) {
        const struct rc_config_namespace *policy =
            rc_history_policy(history, rc_span_of(asked->channel, asked->head.channel_bytes));
        const struct rc_history_state before = rc_history_stand(history, slot, policy, rc_history_now(&history->view));
        rc_history_renew(history, slot);
        const struct rc_history_state state = rc_history_state(&history->view, slot);
        kept.epoch = state.epoch;
        kept.first = state.first;
        kept.last = state.last;
        kept.count = (uint32_t)(before.last + 1 - before.first);
        rc_metric_add(router->setup.metrics, RC_METRIC_HISTORY_DELETED, kept.count);
    }
    memcpy(router->values, &kept, sizeof(kept));
    view->data = router->values;
    view->head.data_bytes = sizeof(kept);
}

bool rc_router_answer_kept(struct rc_router *router, struct rc_relay_port *port, const struct rc_envelope_view *asked)
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
    view.head.flags = (uint16_t)(asked->head.flags & RC_ENVELOPE_API);
    view.head.code = values_room(router) ? 0 : RC_ROUTE_UNAVAILABLE;
    view.head.key_bytes = view.head.event_bytes = 0;
    view.head.exclude_count = 0;
    view.head.exclude_text_bytes = view.head.data_bytes = 0;
    if (view.head.code == 0 && messages) {
        history_put(router, asked, head.limit > 0 ? head.limit : RC_QUERY_LIMIT_DEFAULT, &view);
    } else if (view.head.code == 0 && head.kind == RC_QUERY_FORGET) {
        history_forget(router, asked, &view);
    } else if (view.head.code == 0) {
        values_put(router, asked->head.channel_hash, rc_span_of(asked->channel, asked->head.channel_bytes), &view);
    }
    (void)rc_fanout_send(&router->fanout, port, RC_DOWN_QUERY, &view); /* who gets none asks again */
    return true;
}
