/* heartbeat: see heartbeat.h. */
#include "relay/cluster/heartbeat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"

#define HEAD "ws:instance:"
#define TAIL ":heartbeat"

static void heartbeat_say(struct rc_heartbeat *heartbeat)
{
    char text[128];
    if (!rc_registry_owned(heartbeat->registry)) {
        return;
    }
    const int bytes = snprintf(text, sizeof(text), "{\"timestamp\":%llu,\"clientCount\":%llu}",
                               (unsigned long long)rc_clock_wall_ms(),
                               (unsigned long long)heartbeat->client_count(heartbeat->context));
    const struct rc_span part = rc_span_of(text, (size_t)bytes);
    (void)rc_redis_publish(heartbeat->link, rc_span_text(heartbeat->channel), &part, 1, RC_REDIS_PUBLISH_FLEETING);
}

static void heartbeat_due(void *context, uint64_t now_ms)
{
    struct rc_heartbeat *heartbeat = context;
    rc_timer_set(heartbeat->timers, &heartbeat->timer, now_ms + heartbeat->interval_ms, heartbeat_due, heartbeat);
    rc_registry_renew(heartbeat->registry);
    heartbeat_say(heartbeat);
}

static void heartbeat_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_heartbeat *heartbeat = context;
    const struct rc_span id = rc_heartbeat_instance(channel);
    uint64_t timestamp_ms;
    uint64_t client_count;
    rc_metric_add(heartbeat->metrics, RC_METRIC_REDIS_RECEIVED, 1);
    rc_metric_add(heartbeat->metrics, RC_METRIC_REDIS_RECEIVED_BYTES, message.count);
    if (id.count == 0 || rc_heartbeat_read(message, &timestamp_ms, &client_count) < 0) {
        rc_metric_add(heartbeat->metrics, RC_METRIC_REDIS_MALFORMED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "redis_message_dropped",
                       "channel=\"ws:instance:*:heartbeat\" bytes=%zu reason=\"no heartbeat\"", message.count);
        return;
    }
    rc_metric_add(heartbeat->metrics, RC_METRIC_HEARTBEATS, 1);
    const uint32_t known = heartbeat->registry->instance_count;
    rc_registry_heard(heartbeat->registry, id, client_count);
    if (heartbeat->registry->instance_count > known) {
        heartbeat_say(heartbeat); /* it does not know us either, and would not for an interval */
    }
}

int rc_heartbeat_read(struct rc_span message, uint64_t *timestamp_ms, uint64_t *client_count)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    bool has_timestamp = false;
    *client_count = 0;
    int got = rc_json_object_begin(&cursor, message, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("timestamp"))) {
            has_timestamp = value.type == RC_JSON_NUMBER && rc_json_uint64(&value, timestamp_ms) == 0;
        } else if (rc_json_string_is(&name, RC_SPAN("clientCount"))) {
            if (value.type != RC_JSON_NUMBER || rc_json_uint64(&value, client_count) < 0) {
                *client_count = 0;
            }
        }
    }
    return got < 0 ? got : has_timestamp ? 0 : -EINVAL;
}

struct rc_span rc_heartbeat_instance(struct rc_span channel)
{
    const size_t around = strlen(HEAD) + strlen(TAIL);
    if (channel.count <= around || !rc_span_starts_with(channel, RC_SPAN(HEAD)) ||
        memcmp(channel.bytes + channel.count - strlen(TAIL), TAIL, strlen(TAIL)) != 0) {
        return (struct rc_span){0};
    }
    return rc_span_of(channel.bytes + strlen(HEAD), channel.count - around);
}

void rc_heartbeat_open(struct rc_heartbeat *heartbeat, struct rc_redis_link *link, struct rc_timers *timers,
                       struct rc_registry *registry, struct rc_metrics *metrics, uint64_t interval_ms,
                       uint64_t (*client_count)(void *context), void *context)
{
    *heartbeat = (struct rc_heartbeat){.link = link,
                                       .timers = timers,
                                       .registry = registry,
                                       .metrics = metrics,
                                       .interval_ms = interval_ms,
                                       .client_count = client_count,
                                       .context = context};
    (void)snprintf(heartbeat->channel, sizeof(heartbeat->channel), HEAD "%s" TAIL, registry->instance_id);
    heartbeat->subscription = (struct rc_redis_subscription){
        .name = HEAD "*" TAIL, .pattern = true, .message = heartbeat_received, .context = heartbeat};
    rc_redis_subscribe(link, &heartbeat->subscription);
    heartbeat_due(heartbeat, rc_clock_ms());
}

void rc_heartbeat_close(struct rc_heartbeat *heartbeat)
{
    rc_timer_cancel(heartbeat->timers, &heartbeat->timer);
}

void rc_heartbeat_configure(struct rc_heartbeat *heartbeat, uint64_t interval_ms)
{
    if (interval_ms != heartbeat->interval_ms) {
        heartbeat->interval_ms = interval_ms;
        heartbeat_due(heartbeat, rc_clock_ms());
    }
}

void rc_heartbeat_now(struct rc_heartbeat *heartbeat)
{
    rc_timer_set(heartbeat->timers, &heartbeat->timer, rc_clock_ms() + heartbeat->interval_ms, heartbeat_due,
                 heartbeat);
    heartbeat_say(heartbeat);
}
