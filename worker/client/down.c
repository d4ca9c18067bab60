/* down: what comes down from the relay, handed to whom it is for: the hub, a client, whoever asked. See client.h. */
#include "worker/client/client.h"

#include "common/records/interest.h"

static int down_message(void *context, const struct rc_envelope_view *view)
{
    const struct rc_clients *clients = context;
    return rc_hub_message(clients->hub, view);
}

static int down_direct(void *context, const struct rc_envelope_view *view)
{
    const struct rc_clients *clients = context;
    return rc_hub_direct(clients->hub, view);
}

static int down_select(void *context, const struct rc_envelope_view *view)
{
    const struct rc_clients *clients = context;
    return rc_hub_select(clients->hub, view);
}

static int down_gap(void *context, const struct rc_envelope_view *view)
{
    const struct rc_clients *clients = context;
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const int rc = rc_hub_lost(clients->hub, name, (view->head.flags & RC_ENVELOPE_REMOTE) != 0);
    if (rc == 0 && view->head.epoch != 0) {
        rc_hub_lost_behind(clients->hub, name, view->head.epoch, view->head.position);
    }
    return rc;
}

static void down_acknowledged(void *context, const struct rc_envelope_view *view)
{
    const struct rc_clients *clients = context;
    const struct rc_span name = rc_span_of(view->channel, view->head.channel_bytes);
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash(view->channel, name.count), name);
    if (channel != 0 && rc_interests_acknowledged(clients->interests, channel, view->head.token, view->head.code)) {
        const bool state = (view->head.flags & RC_ENVELOPE_STATE) != 0;
        const struct rc_hub_acknowledgement said = {
            .code = view->head.code,
            .local = (view->head.flags & RC_ENVELOPE_SCOPE_LOCAL) != 0,
            .retained = state && (view->head.token & RC_INTEREST_RETAINED) != 0,
            .values = rc_span_of(view->data, view->head.data_bytes),
            .placed = state,
            .full = (view->head.token & RC_INTEREST_FULL) != 0,
            .slot = view->head.target.slot,
            .epoch = view->head.epoch,
            .position = view->head.position,
        };
        rc_hub_acknowledged(clients->hub, channel, &said);
    }
}

/* Answers what a client has sent, if it still is who it was. */
static void answer_client(const struct rc_clients *clients, const struct rc_envelope_view *view)
{
    const struct rc_client_ref *origin = &view->head.origin;
    struct rc_event event = {.type = RC_EVENT_PUBLISHED,
                             .code = (enum rc_code)view->head.code,
                             .epoch = view->head.epoch,
                             .offset = view->head.position,
                             .id = rc_span_of(view->request_id, view->head.request_id_bytes)};
    const uint32_t client = rc_client_here(clients, origin);
    if (client == 0) {
        return;
    }
    if (view->head.code != 0) {
        event.type = RC_EVENT_ERROR;
        event.message = RC_SPAN("the message could not be routed");
    } else if (view->head.target.random != 0) {
        event.type = RC_EVENT_SENT;
    } else if (view->head.flags & RC_ENVELOPE_BROADCAST) {
        event.type = RC_EVENT_BROADCASTED;
    }
    if (rc_hub_reply_event(clients->hub, client, &event) < 0) {
        rc_hub_close_client(clients->hub, client, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

static void down_answered(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    const struct rc_clients *clients = context;
    if (type == RC_DOWN_QUERY || type == RC_DOWN_LIMIT || type == RC_DOWN_REPLY ||
        (view->head.flags & RC_ENVELOPE_API)) {
        rc_asks_answered(clients->asks, type, view);
    } else {
        answer_client(clients, view);
    }
}

struct rc_uplink_handlers rc_clients_uplink_handlers(struct rc_clients *clients)
{
    return (struct rc_uplink_handlers){.context = clients,
                                       .message = down_message,
                                       .direct = down_direct,
                                       .select = down_select,
                                       .gap = down_gap,
                                       .acknowledged = down_acknowledged,
                                       .answered = down_answered};
}

static void interest_told(void *context, uint32_t channel)
{
    const struct rc_clients *clients = context;
    rc_hub_release(clients->hub, channel);
}

static void interest_missed(void *context, uint32_t channel)
{
    const struct rc_clients *clients = context;
    rc_hub_owe_gap(clients->hub, channel);
}

struct rc_interests_handlers rc_clients_interests_handlers(struct rc_clients *clients)
{
    return (struct rc_interests_handlers){.context = clients, .told = interest_told, .missed = interest_missed};
}
