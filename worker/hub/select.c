/*
 * select: whom a message for several rooms is for: everybody in one of them and in none of those that do not get it, once each
 * (common/records/select.h). See hub.h.
 */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/records/select.h"
#include "common/records/sid.h"

/* Takes the client in, or, `out`, out. */
static void select_client(struct rc_hub *hub, uint32_t index, uint32_t channel, bool out)
{
    struct rc_client *client = rc_truth_client(hub->truth, index);
    struct rc_selected_list *list = &hub->selected;
    if (out) {
        client->flags &= (uint16_t)~RC_CLIENT_SELECTED;
        return;
    }
    if (client->flags & RC_CLIENT_SELECTED) {
        return;
    }
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct rc_selected *larger = realloc(list->items, capacity * sizeof(*larger));
        RC_ASSERT(larger != NULL); /* eight bytes for each client of the worker at most */
        list->items = larger;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct rc_selected){.client = index, .channel = channel};
    client->flags |= RC_CLIENT_SELECTED;
}

/* Everybody in a room. A session id is the socket that has it. */
static void select_room(struct rc_hub *hub, struct rc_span name, struct rc_span nsp, bool out)
{
    const struct rc_truth *truth = hub->truth;
    struct rc_span its;
    struct rc_span room;
    struct rc_sid sid;
    (void)rc_channel_split(name, &its, &room);
    if (rc_sid_read(&sid, room) && (hub->aliases.count > 0 || rc_sid_is_of(&sid, hub->instance))) {
        const uint32_t socket = rc_hub_socket(hub, &sid.client, nsp);
        if (socket != 0) {
            select_client(hub, socket, 0, out);
        }
        if (socket != 0 || rc_sid_is_of(&sid, hub->instance)) {
            return;
        }
    }
    const uint32_t channel = rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    for (uint32_t group = channel == 0 ? 0 : rc_truth_channel(truth, channel)->groups; group != 0;
         group = rc_truth_group(truth, group)->next) {
        struct rc_members *members = &hub->members[group];
        for (uint32_t i = 0; i < members->count; i++) {
            select_client(hub, rc_truth_subscription(truth, rc_members_items(members)[i])->client, channel, out);
        }
    }
}

/* Whom it is for, into hub->selected; how many. */
static uint32_t select_clients(struct rc_hub *hub, const struct rc_envelope_view *view)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_span everybody = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct rc_selected_list *list = &hub->selected;
    struct rc_span nsp;
    struct rc_span name;
    bool any = false;
    list->count = 0;
    (void)rc_channel_split(everybody, &nsp, &name);
    while (rc_select_next(&names, &name)) {
        any = true;
        select_room(hub, name, nsp, false);
    }
    if (!any) {
        select_room(hub, everybody, nsp, false);
    }
    while (rc_select_next(&names, &name)) {
        select_room(hub, name, nsp, true);
    }
    for (uint32_t i = 0; i < view->head.exclude_count; i++) {
        const struct rc_client_ref ref = rc_envelope_exclude(view, i);
        const uint32_t socket = rc_hub_socket(hub, &ref, nsp);
        const uint32_t excluded = socket != 0 ? socket : rc_hub_here(hub, &ref);
        if (excluded != 0) {
            select_client(hub, excluded, 0, true);
        }
    }
    const uint32_t origin = (view->head.flags & RC_ENVELOPE_NO_ECHO) != 0 ? rc_hub_here(hub, &view->head.origin) : 0;
    if (origin != 0) {
        select_client(hub, origin, 0, true);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct rc_client *client = rc_truth_client(truth, list->items[i].client);
        if (client->flags & RC_CLIENT_SELECTED) {
            client->flags &= (uint16_t)~RC_CLIENT_SELECTED;
            list->items[count++] = list->items[i];
        }
    }
    return count;
}

/* The channel by which it is for a client, as those are told that hear channels. */
static struct rc_span select_channel(const struct rc_hub *hub, const struct rc_selected *selected,
                                     struct rc_span everybody)
{
    return selected->channel == 0 ? everybody : rc_hub_name(hub, rc_truth_channel(hub->truth, selected->channel));
}

/* May the client be sent a message, and has its protocol words for it? Not who hears its rooms, but has not come back to the namespace
 * yet: it will be told. */
static bool select_takes(const struct rc_hub *hub, uint32_t index, struct rc_span everybody)
{
    const struct rc_client *client = rc_truth_client(hub->truth, index);
    struct rc_span nsp;
    struct rc_span room;
    if (RC_UNLIKELY(hub->returning > 0) && rc_encoding_is_engine(client->encoding) &&
        rc_channel_split(everybody, &nsp, &room) && rc_truth_sid_token(hub->truth, index, nsp) == 0) {
        return false;
    }
    return client->state == RC_CLIENT_OPEN && !rc_turn_mute(client) &&
           rc_codec_says(client->encoding, RC_EVENT_MESSAGE);
}

/* Of what came while nobody served: is one of the first `count` waited for? */
static bool select_waits(struct rc_hub *hub, const struct rc_envelope_view *view, uint32_t count)
{
    const uint64_t bytes = view->head.channel_bytes + view->head.event_bytes + view->head.data_bytes;
    bool waits = false;
    for (uint32_t i = 0; i < count && !waits; i++) {
        waits = rc_catch_up_waits_own(hub, hub->selected.items[i].client, bytes);
    }
    return waits;
}

int rc_hub_select(struct rc_hub *hub, const struct rc_envelope_view *view)
{
    struct rc_hub_texts texts;
    struct rc_event event = rc_hub_event_of(hub, RC_EVENT_MESSAGE, view, &texts);
    const uint32_t count = select_clients(hub, view);
    const bool is_volatile = (view->head.flags & RC_ENVELOPE_VOLATILE) != 0;
    if (rc_catch_up_late(hub, view) && !is_volatile && select_waits(hub, view, count)) {
        return -ENOSPC;
    }
    rc_record_begin(hub, view->head.sequence);
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_selected *selected = &hub->selected.items[i];
        const uint32_t log = rc_truth_client(hub->truth, selected->client)->direct_log;
        if (!rc_record_is_in(hub, view->head.sequence, log) &&
            select_takes(hub, selected->client, rc_span_of(view->channel, view->head.channel_bytes)) &&
            (!is_volatile || rc_hub_takes_volatile(hub, selected->client))) {
            event.channel = select_channel(hub, selected, rc_span_of(view->channel, view->head.channel_bytes));
            rc_hub_append_own(hub, selected->client, &event);
        }
    }
    if (count == 0) {
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    }
    rc_hub_note_time(&hub->times, view->head.time_ns);
    return 0;
}

uint32_t rc_hub_ask(struct rc_hub *hub, const struct rc_envelope_view *view, struct rc_span args,
                    const struct rc_hub_asking *asking)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_span everybody = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_event event = {
        .type = RC_EVENT_MESSAGE,
        .data_kind = RC_DATA_ARGS,
        .unnamed = hub->unnamed,
        .event = rc_span_of(view->event, view->head.event_bytes),
        .data = args,
    };
    const uint32_t count = select_clients(hub, view);
    struct rc_span nsp;
    struct rc_span room;
    uint32_t sent = 0;
    (void)rc_channel_split(everybody, &nsp, &room);
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_selected *selected = &hub->selected.items[i];
        const uint64_t token = rc_truth_sid_token(truth, selected->client, nsp);
        if (!select_takes(hub, selected->client, everybody)) {
            continue;
        }
        sent += token != 0;
        if (asking->is_volatile && !rc_hub_takes_volatile(hub, selected->client)) {
            continue;
        }
        event.id = token != 0 ? asking->asked(asking->context, selected->client, token) : (struct rc_span){0};
        event.channel = select_channel(hub, selected, everybody);
        rc_hub_append_own(hub, selected->client, &event);
    }
    rc_hub_note_time(&hub->times, view->head.time_ns);
    return sent;
}
