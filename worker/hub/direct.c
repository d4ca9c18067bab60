/* direct: a message for one client, by its id. See hub.h. */
#include "worker/hub/hub_internal.h"
#include "worker/hub/turn.h"

#include <errno.h>

#include "common/records/channel_name.h"

/* Whom a direct message is for: the client of that name, or the one whose socket in the namespace has it. */
static struct rc_client *direct_target(const struct rc_hub *hub, const struct rc_envelope_view *view)
{
    const struct rc_client_ref *target = &view->head.target;
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_span nsp;
    struct rc_span room;
    if (!rc_channel_split(channel, &nsp, &room)) {
        const uint32_t here = rc_hub_here(hub, target);
        return here == 0 ? NULL : rc_truth_client(hub->truth, here);
    }
    const uint32_t socket = rc_hub_socket(hub, target, nsp);
    struct rc_client *client = socket != 0 ? rc_truth_client(hub->truth, socket) : NULL;
    /* The relay puts it right for who has come back; a guest is named by where it was opened. */
    return client != NULL && (target->worker == hub->worker || client->guest) ? client : NULL;
}

int rc_hub_direct(struct rc_hub *hub, const struct rc_envelope_view *view)
{
    const struct rc_client *client = direct_target(hub, view);
    struct rc_hub_texts texts;
    if (client == NULL && hub->handlers.stray != NULL) {
        const int rc = hub->handlers.stray(hub->handlers.context, view);
        if (rc != 0) {
            return rc;
        }
    }
    const uint64_t around = view->head.channel_bytes + view->head.event_bytes + view->head.data_bytes;
    if (client != NULL && rc_catch_up_late(hub, view) &&
        rc_catch_up_waits_own(hub, rc_hub_client_index(hub, client), around)) {
        return -ENOSPC;
    }
    if (RC_UNLIKELY(hub->tracing)) {
        const bool gets = client != NULL && client->state == RC_CLIENT_OPEN && !rc_turn_mute(client);
        rc_hub_trace_direct(hub, gets ? rc_hub_client_index(hub, client) : 0, view);
    }
    if (client == NULL || client->state != RC_CLIENT_OPEN || rc_turn_mute(client)) {
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
        return 0;
    }
    const uint32_t index = rc_hub_client_index(hub, client);
    rc_record_begin(hub, view->head.sequence);
    if (rc_record_is_in(hub, view->head.sequence, client->direct_log)) {
        return 0;
    }
    struct rc_event event = rc_hub_event_of(hub, RC_EVENT_DIRECT, view, &texts);
    if (view->head.channel_bytes > 0 && !(view->head.flags & (RC_ENVELOPE_ANSWER | RC_ENVELOPE_API))) {
        event.id = rc_span_of(view->request_id, view->head.request_id_bytes); /* an acknowledgement is wanted */
    }
    if (!(view->head.flags & RC_ENVELOPE_VOLATILE) || rc_hub_takes_volatile(hub, index)) {
        rc_hub_append_own(hub, index, &event);
    }
    rc_hub_note_time(&hub->times, view->head.time_ns);
    return 0;
}
