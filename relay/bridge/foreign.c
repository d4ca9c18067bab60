/* foreign: see foreign.h. */
#include "relay/bridge/foreign.h"

#include <errno.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/args.h"

/* What a message may have around its data before it is not even looked at. */
#define AROUND_BYTES_MAX (1u << 20)

/* `data_bytes_max`: of the data as it stands in the message. */
static bool foreign_received(const struct rc_bridge *bridge, const char *what, struct rc_span message,
                             size_t data_bytes_max)
{
    struct rc_metrics *metrics = bridge->wire->metrics;
    rc_metric_add(metrics, RC_METRIC_REDIS_RECEIVED, 1);
    rc_metric_add(metrics, RC_METRIC_REDIS_RECEIVED_BYTES, message.count);
    if (message.count > data_bytes_max + AROUND_BYTES_MAX) {
        rc_foreign_refused(bridge, what, message, -EMSGSIZE, NULL);
        return false;
    }
    return true;
}

bool rc_foreign_received(const struct rc_bridge *bridge, const char *what, struct rc_span message)
{
    return foreign_received(bridge, what, message, bridge->wire->message_bytes_max);
}

bool rc_foreign_received_base64(const struct rc_bridge *bridge, const char *what, struct rc_span message)
{
    return foreign_received(bridge, what, message, (bridge->wire->message_bytes_max + 2) / 3 * 4);
}

void rc_foreign_refused(const struct rc_bridge *bridge, const char *what, struct rc_span message, int rc,
                        const char *why)
{
    const enum rc_metric_id metric = rc == -EMSGSIZE ? RC_METRIC_REDIS_TOO_LARGE : RC_METRIC_REDIS_MALFORMED;
    rc_metric_add(bridge->wire->metrics, metric, 1);
    if (rc == -EMSGSIZE) {
        why = "larger than limits.max_message_size";
    } else if (rc == -EILSEQ) {
        why = "not UTF-8";
    } else if (rc == -EOVERFLOW) {
        why = "nested too deeply";
    }
    rc_log_limited(RC_LOG_WARN, 1, "redis_message_dropped", "channel=\"%s\" bytes=%zu reason=\"%s\"", what,
                   message.count, why);
}

int rc_foreign_deliver(const struct rc_bridge *bridge, const struct rc_foreign_message *message)
{
    struct rc_metrics *metrics = bridge->wire->metrics;
    const size_t around = (message->flags & RC_ENVELOPE_ARGS) != 0 ? sizeof(struct rc_args_head) : 0;
    RC_ASSERT(message->channel.count > 0 && message->channel.count <= RC_CHANNEL_NAME_MAX &&
              message->event.count <= UINT8_MAX);
    if (message->data.count > bridge->wire->message_bytes_max + around) {
        return -EMSGSIZE;
    }
    const struct rc_envelope_view view = {
        .head = {.time_ns = rc_clock_ns(),
                 .data_bytes = (uint32_t)message->data.count,
                 .flags = (uint16_t)(RC_ENVELOPE_REMOTE | message->flags),
                 .channel_bytes = (uint8_t)message->channel.count,
                 .event_bytes = (uint8_t)message->event.count,
                 .exclude_count = message->except != NULL ? 1 : 0},
        .channel = (const char *)message->channel.bytes,
        .event = (const char *)message->event.bytes,
        .excludes = (const uint8_t *)message->except,
        .data = message->data.bytes,
    };
    rc_metric_add(metrics, RC_METRIC_CROSS_INSTANCE, 1);
    rc_metric_add(metrics, RC_METRIC_CROSS_INSTANCE_BYTES, message->data.count);
    if (bridge->host.share != NULL && bridge->host.share(bridge->host.context, &view)) {
        return 0;
    }
    return bridge->host.deliver(bridge->host.context, RC_DOWN_MESSAGE, &view) ? 0 : -ENOENT;
}

bool rc_foreign_is_instance(struct rc_span id)
{
    for (size_t i = 0; i < id.count; i++) {
        const uint8_t c = id.bytes[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
              c == '-')) {
            return false;
        }
    }
    return id.count > 0 && id.count <= RC_INSTANCE_ID_MAX;
}
