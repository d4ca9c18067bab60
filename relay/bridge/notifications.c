/* notifications: see notifications.h. */
#include "relay/bridge/notifications.h"

#include <errno.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/text/json_scan.h"
#include "relay/bridge/foreign.h"

#define CHANNEL "websocket:notifications"

#define USER_BYTES_MAX (RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES)

/* A whole number as its digits: what a backend's `String(id)` would say. */
static int user_number(struct rc_span raw, char *out)
{
    for (size_t i = raw.bytes[0] == '-' ? 1 : 0; i < raw.count; i++) {
        if (raw.bytes[i] < '0' || raw.bytes[i] > '9') {
            return -EINVAL;
        }
    }
    if (rc_span_equal(raw, RC_SPAN("-0"))) {
        raw = RC_SPAN("0");
    }
    if (raw.count > USER_BYTES_MAX) {
        return -EINVAL;
    }
    memcpy(out, raw.bytes, raw.count);
    return (int)raw.count;
}

/* The user's id; its bytes, or -EINVAL. */
static int notifications_user_of(const struct rc_json_value *value, char *out)
{
    struct rc_span text;
    if (value->type == RC_JSON_NUMBER) {
        return user_number(value->raw, out);
    }
    if (rc_json_string_decode(value, (uint8_t *)out, USER_BYTES_MAX, &text) < 0 ||
        rc_channel_name_check((const char *)text.bytes, text.count, USER_BYTES_MAX) < 0) {
        return -EINVAL;
    }
    memmove(out, text.bytes, text.count);
    return (int)text.count;
}

static int notifications_finish(struct rc_notification *out, const struct rc_json_value *user, bool has_data,
                                const char **why)
{
    if (!has_data) {
        *why = "no data";
        return -EINVAL;
    }
    if (out->broadcast) {
        out->channel[0] = '*';
        out->channel_bytes = 1;
        return 0;
    }
    memcpy(out->channel, RC_USER_CHANNEL_HEAD, RC_USER_CHANNEL_HEAD_BYTES);
    const int bytes =
        user->type == RC_JSON_NONE ? -EINVAL : notifications_user_of(user, out->channel + RC_USER_CHANNEL_HEAD_BYTES);
    if (bytes < 0) {
        *why = user->type == RC_JSON_NONE ? "neither userId nor type \"broadcast\"" : "userId is no user's id";
        return -EINVAL;
    }
    out->channel_bytes = (uint32_t)(RC_USER_CHANNEL_HEAD_BYTES + (size_t)bytes);
    return 0;
}

int rc_notification_read(struct rc_notification *out, struct rc_span message, const char **why)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    struct rc_json_value user = {.type = RC_JSON_NONE};
    bool has_data = false;
    out->broadcast = false;
    *why = "not a JSON object";
    int got = rc_json_object_begin(&cursor, message, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("data"))) {
            out->data = value.raw;
            has_data = true;
        } else if (rc_json_string_is(&name, RC_SPAN("userId"))) {
            user = value;
        } else if (rc_json_string_is(&name, RC_SPAN("type"))) {
            out->broadcast = value.type == RC_JSON_STRING && rc_json_string_is(&value, RC_SPAN("broadcast"));
        }
    }
    return got < 0 ? got : notifications_finish(out, &user, has_data, why);
}

static void notifications_received(void *context, struct rc_span channel, struct rc_span message)
{
    const struct rc_notifications *notifications = context;
    const struct rc_bridge *bridge = notifications->bridge;
    struct rc_notification notification;
    const char *why;
    (void)channel;
    if (!rc_foreign_received(bridge, CHANNEL, message)) {
        return;
    }
    int rc = rc_notification_read(&notification, message, &why);
    if (rc == 0) {
        const struct rc_foreign_message out = {.channel = rc_span_of(notification.channel, notification.channel_bytes),
                                               .event = rc_span_text(notifications->event.text),
                                               .data = notification.data,
                                               .flags = notification.broadcast ? RC_ENVELOPE_BROADCAST : 0};
        rc = rc_foreign_deliver(bridge, &out);
    }
    if (rc == -ENOENT && !notification.broadcast) { /* nobody here: the user may be on another instance */
        bridge->host.undelivered(bridge->host.context,
                                 rc_span_of(notification.channel + RC_USER_CHANNEL_HEAD_BYTES,
                                            notification.channel_bytes - RC_USER_CHANNEL_HEAD_BYTES));
    } else if (rc < 0 && rc != -ENOENT) {
        rc_foreign_refused(bridge, CHANNEL, message, rc, why);
    }
}

void rc_notifications_open(struct rc_notifications *notifications, const struct rc_bridge *bridge,
                           const struct rc_config_text *event)
{
    *notifications = (struct rc_notifications){
        .bridge = bridge,
        .event = *event,
        .subscription = {.name = CHANNEL, .message = notifications_received, .context = notifications}};
    rc_redis_subscribe(bridge->link, &notifications->subscription);
}
