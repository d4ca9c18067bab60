/*
 * notifications: messages of backends to users, on Redis channel `websocket:notifications`.
 *
 *   {"userId":"42","data":…,"timestamp":…}          → every connection of that user, as a message on `user:42`
 *   {"type":"broadcast","data":…,"timestamp":…}     → everybody, as a message on `*`
 *
 * `type` "broadcast" wins over `userId`; a whole number as userId means its decimal digits; unknown members are ignored and the
 * last of two equal ones counts. Raw end points get the bare data. Every instance hears it from Redis itself.
 */
#ifndef RC_RELAY_BRIDGE_NOTIFICATIONS_H
#define RC_RELAY_BRIDGE_NOTIFICATIONS_H

#include "common/records/channel_name.h"
#include "relay/bridge/bridge.h"

struct rc_notification {
    struct rc_span data; /* as it stands in the message */
    uint32_t channel_bytes;
    char channel[RC_CHANNEL_NAME_MAX]; /* "*" or "user:{id}" */
    bool broadcast;
};

/* Reads a message. 0; an error of json_scan; -EINVAL with a static sentence in `*why`: not a notification. */
int rc_notification_read(struct rc_notification *out, struct rc_span message, const char **why);

struct rc_notifications {
    const struct rc_bridge *bridge; /* borrowed */
    struct rc_config_text event;    /* what they are called; "" = nothing */
    struct rc_redis_subscription subscription;
};

/* Subscribes for the life of the link. */
void rc_notifications_open(struct rc_notifications *notifications, const struct rc_bridge *bridge,
                           const struct rc_config_text *event);

#endif
