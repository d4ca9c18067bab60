/* close: how a client ends: what is told, in which order, and when everything has left. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/proto/codec.h"
#include "worker/store/named.h"

void rc_hub_close_client(struct rc_hub *hub, uint32_t client_index, uint16_t code, const char *reason,
                         size_t reason_bytes, bool now)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (rc_hub_silent(hub, client)) {
        return;
    }
    const struct rc_codec *codec = rc_encoding_codec_of(client->encoding);
    const bool theirs = (client->flags & RC_CLIENT_CLOSE_RECEIVED) != 0 &&
                        !rc_encoding_is_stream(client->encoding); /* of a stream the flag means something else */
    if (codec->close_code != NULL && !theirs) { /* its own code comes back as it was (RFC 6455 5.5.1) */
        code = codec->close_code(code);
    }
    if (hub->closings[client_index] == 0) {
        hub->closings[client_index] = (uint16_t)(code | (theirs ? RC_HUB_CLOSE_THEIRS : 0u));
    }
    if (client->socket == RC_SOCKET_NONE) { /* there is nobody to tell */
        rc_hub_cut_off(hub, client_index);
        return;
    }
    struct rc_output *output = rc_hub_output_of(hub, &client->output);
    if (output == NULL || (now && rc_hub_keep_cut(hub, client_index) < 0)) {
        rc_named_log_client("memory_disconnected", hub->truth, client_index, "no memory for the close frame",
                            " code=%u", code);
        hub->handlers.end(hub->handlers.context, client_index);
        return;
    }
    if (output->close_bytes == 0) {
        const struct rc_framing *framing = &rc_framings[rc_encoding_framing(client->encoding)];
        RC_ASSERT(framing->close_write != NULL); /* a socket carries it */
        output->close_bytes = (uint8_t)framing->close_write(output->close_frame, code, reason, reason_bytes);
        client->flags |= RC_CLIENT_CLOSE_QUEUED;
        rc_metric_closed(hub->metrics, code);
    }
    if (now) {
        rc_hub_leave(hub, client_index);
    }
    rc_hub_touch(hub, client_index);
}

void rc_hub_output_settle(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (RC_UNLIKELY(client->in_history)) {
        rc_replay_due(hub, client_index);
    }
    if (client->output != 0 && rc_hub_output_left(hub, client)) {
        if (client->flags & RC_CLIENT_CLOSE_SENT) {
            rc_hub_leave(hub, client_index);
        }
        hub->handlers.flushed(hub->handlers.context, client_index);
    }
}

static void close_marked(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    const uint32_t why = client->flags & (RC_CLIENT_BROKEN | RC_CLIENT_CUT_OFF);
    client->flags &= (uint16_t) ~(RC_CLIENT_BROKEN | RC_CLIENT_CUT_OFF);
    if (client->state == RC_CLIENT_FREE || why == 0) {
        return; /* it has ended meanwhile */
    }
    if (why & RC_CLIENT_BROKEN) {
        rc_named_log_client("memory_disconnected", hub->truth, client_index, "what it was to get next is lost", "");
        hub->handlers.end(hub->handlers.context, client_index);
    } else if (client->socket == RC_SOCKET_NONE) {
        client->cut = 0; /* what was begun is not finished: nothing more comes */
        rc_hub_leave(hub, client_index);
        rc_hub_output_release(hub, client_index);
        hub->handlers.cut_off(hub->handlers.context, client_index);
    } else {
        rc_hub_close_client(hub, client_index, RC_CLOSE_SLOW_CONSUMER, rc_close_reason(RC_CLOSE_SLOW_CONSUMER),
                            strlen(rc_close_reason(RC_CLOSE_SLOW_CONSUMER)), true);
        hub->handlers.flushed(hub->handlers.context, client_index);
    }
}

void rc_hub_end_them(struct rc_hub *hub)
{
    RC_ASSERT(hub->io->packet_count == 0);
    while (hub->ending.count > 0) {
        close_marked(hub, hub->ending.items[--hub->ending.count]);
    }
}
