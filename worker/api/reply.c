/* api_reply: what this worker answers to a call of another one. See api.h. */
#include "worker/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

void rc_api_reply(struct rc_api *api, uint32_t asker, const uint8_t *request_id, uint64_t position,
                  const struct rc_reply_head *head, const void *entries, uint32_t bytes, struct rc_span channel)
{
    struct rc_clients *clients = api->clients;
    uint8_t small[sizeof(*head)];
    uint8_t *data = bytes == 0 ? small : malloc(sizeof(*head) + bytes);
    if (data == NULL) {
        rc_metric_add(clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
        return;
    }
    memcpy(data, head, sizeof(*head));
    if (bytes > 0) {
        memcpy(data + sizeof(*head), entries, bytes);
    }
    struct rc_envelope_view view = {.head = {.position = position,
                                             .target = {.worker = (uint16_t)asker},
                                             .flags = RC_ENVELOPE_API,
                                             .data_bytes = (uint32_t)sizeof(*head) + bytes,
                                             .channel_bytes = (uint8_t)channel.count,
                                             .request_id_bytes = sizeof(struct rc_call_tag)},
                                    .channel = (const char *)channel.bytes,
                                    .request_id = request_id,
                                    .data = data};
    if (rc_uplink_write(clients->uplink, RC_UP_REPLY, &view) < 0) {
        rc_metric_add(clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
    }
    if (data != small) {
        free(data);
    }
}

bool rc_api_may_reply(struct rc_api *api)
{
    const uint64_t bytes = sizeof(struct rc_envelope) + sizeof(struct rc_call_tag) + sizeof(struct rc_reply_head) +
                           2 * RC_CHANNEL_NAME_MAX;
    if (rc_uplink_room_bytes(api->clients->uplink) >= bytes) {
        return true;
    }
    rc_metric_add(api->clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
    rc_log_limited(RC_LOG_WARN, 1, "api_call_left", "reason=\"the up ring is full\"");
    return false;
}
