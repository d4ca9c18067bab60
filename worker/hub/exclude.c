/* exclude: who is left out of a message. See hub.h. */
#include "worker/hub/hub_internal.h"

#include "common/records/channel_name.h"

/* Whom a ref leaves out: the client of that name, or the one whose socket in the channel's namespace has it; NULL: nobody here. */
static struct rc_client *exclude_whom(const struct rc_hub *hub, const struct rc_envelope_view *view,
                                      const struct rc_client_ref *ref)
{
    struct rc_span nsp;
    struct rc_span room;
    const uint32_t here = rc_hub_here(hub, ref);
    struct rc_client *client = here == 0 ? NULL : rc_truth_client(hub->truth, here);
    if (client == NULL && rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &nsp, &room)) {
        const uint32_t socket = rc_hub_socket(hub, ref, nsp);
        client = socket == 0 ? NULL : rc_truth_client(hub->truth, socket);
    }
    return client;
}

/* Where some get deltas a client may be in another group of its encoding. Who is left out of this one, and gets deltas, lacks the message. */
static bool exclude_member(struct rc_hub *hub, uint32_t client, uint32_t group_index)
{
    const struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const uint32_t subscription = rc_hub_subscription(hub, client, group->channel);
    if (subscription == 0 || rc_truth_subscription(hub->truth, subscription)->group != group_index) {
        return false;
    }
    if (rc_encoding_is_delta(group->encoding)) {
        rc_delta_lacks(hub, subscription, true);
    }
    return true;
}

uint32_t rc_hub_exclude(struct rc_hub *hub, uint32_t group_index, struct rc_channel_log *log,
                        const struct rc_envelope_view *view)
{
    const struct rc_group *group = rc_truth_group(hub->truth, group_index);
    const bool deltas = (rc_truth_channel(hub->truth, group->channel)->flags & RC_CHANNEL_DELTA) != 0;
    uint32_t excluded = 0;
    const uint64_t before = rc_channel_log_bytes(log, &hub->truth->heap);
    const bool origin = (view->head.flags & RC_ENVELOPE_NO_ECHO) != 0;
    for (uint32_t i = 0; i < view->head.exclude_count + (origin ? 1u : 0u); i++) {
        const struct rc_client_ref ref =
            i < view->head.exclude_count ? rc_envelope_exclude(view, i) : view->head.origin;
        struct rc_client *client = exclude_whom(hub, view, &ref);
        if (client == NULL || client->encoding != rc_encoding_of_client(group->encoding)) {
            continue;
        }
        if (RC_UNLIKELY(deltas) && !exclude_member(hub, rc_hub_client_index(hub, client), group_index)) {
            continue;
        }
        if (rc_channel_log_exclude(log, &hub->truth->heap, log->head, client->random) == 0) {
            client->flags |= RC_CLIENT_EXCLUDED;
            client->excluded_turn = hub->turn;
            excluded++;
        } else {
            rc_hub_break(hub, rc_hub_client_index(
                                  hub, client)); /* no memory to leave it out: it must not get what is not for it */
        }
    }
    hub->log_bytes += rc_channel_log_bytes(log, &hub->truth->heap) - before;
    rc_metric_add(hub->metrics, RC_METRIC_EXCLUDED, excluded);
    return excluded;
}
