/* comeback_say: see comeback_say.h. */
#include "relay/cluster/comeback_say.h"

#include <stdio.h>

void rc_comeback_own_name(char *out, size_t room, struct rc_span instance)
{
    (void)snprintf(out, room, "ws:instance:%.*s:session", (int)instance.count, (const char *)instance.bytes);
}

void rc_comeback_mark_name(char *out, size_t room, struct rc_span instance)
{
    (void)snprintf(out, room, "ws:instance:%.*s:session:mark", (int)instance.count, (const char *)instance.bytes);
}

bool rc_comeback_say(const struct rc_bridge *bridge, struct rc_span to, struct rc_comeback_message *message,
                     struct rc_span messages)
{
    char channel[RC_COMEBACK_NAME_BYTES];
    uint8_t head[RC_COMEBACK_BYTES_MAX];
    message->from = rc_span_text(bridge->wire->instance_id);
    if (to.count > 0) {
        rc_comeback_own_name(channel, sizeof(channel), to);
    }
    const struct rc_span parts[] = {rc_span_of(head, rc_comeback_write(head, message)), messages};
    return rc_redis_publish(bridge->link, to.count > 0 ? rc_span_text(channel) : RC_SPAN(RC_COMEBACK_EVERYBODY), parts,
                            messages.count > 0 ? 2 : 1, RC_REDIS_PUBLISH_FLEETING) >= 0;
}

/* To an instance through another server than home, past all that waits for it here. */
static bool comeback_mark(const struct rc_bridge *bridge, const char *to, struct rc_comeback_message *message)
{
    char channel[RC_COMEBACK_NAME_BYTES];
    uint8_t bytes[RC_COMEBACK_BYTES_MAX];
    message->from = rc_span_text(bridge->wire->instance_id);
    rc_comeback_mark_name(channel, sizeof(channel), rc_span_text(to));
    return rc_redis_publish_at(bridge->link, message->through.place, rc_span_text(channel),
                               rc_span_of(bytes, rc_comeback_write(bytes, message))) == 0;
}

bool rc_comeback_mark_all(const struct rc_bridge *bridge, const char *to, struct rc_comeback_message *message,
                          const struct rc_redis_places *places)
{
    bool all = true;
    message->through = (struct rc_comeback_through){.map = places->map, .count = places->count};
    for (uint32_t i = 1; all && i < places->count; i++) {
        message->through.place = places->ids[i];
        all = comeback_mark(bridge, to, message);
    }
    message->through.place = places->ids[0];
    return all;
}
