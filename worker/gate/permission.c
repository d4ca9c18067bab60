/* permission: see permission.h. */
#include "worker/gate/permission.h"

#include <string.h>

#include "common/config/pusher.h"
#include "common/records/channel_name.h"

bool rc_permission_reserved(struct rc_span channel)
{
    return rc_span_equal(channel, RC_SPAN("*")) || rc_span_starts_with(channel, RC_SPAN(RC_USER_CHANNEL_HEAD));
}

const char *rc_permission_user(const struct rc_config *config, struct rc_span user)
{
    if (user.count == 0) {
        return "there is none";
    }
    if (rc_channel_name_check((const char *)user.bytes, user.count, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES) <
        0) {
        return "too long, control characters, or no UTF-8";
    }
    return rc_pusher_user_is(config, user) ? "a user of a Pusher app, which says itself who that is" : NULL;
}

static bool all_hexadecimal(struct rc_span text)
{
    size_t i = 0;
    while (i < text.count &&
           ((text.bytes[i] >= '0' && text.bytes[i] <= '9') || (text.bytes[i] >= 'a' && text.bytes[i] <= 'f'))) {
        i++;
    }
    return i == text.count;
}

bool rc_permission_socket(struct rc_span room, const char instance[RC_SID_INSTANCE_BYTES], bool others)
{
    struct rc_sid sid;
    return rc_sid_read(&sid, room) && (rc_sid_is_of(&sid, instance) || (others && !all_hexadecimal(room)));
}

bool rc_permission_allows(enum rc_who who, struct rc_span user, struct rc_span channel, bool member)
{
    switch (who) {
    case RC_WHO_ANYONE:
        return true;
    case RC_WHO_USER:
        return user.count > 0;
    case RC_WHO_OWNER: {
        const uint8_t *colon = channel.count == 0 ? NULL : memchr(channel.bytes, ':', channel.count);
        if (colon == NULL || user.count == 0) {
            return false;
        }
        return rc_span_equal(user, rc_span_of(colon + 1, channel.count - (size_t)(colon + 1 - channel.bytes)));
    }
    case RC_WHO_MEMBER:
        return member;
    case RC_WHO_RULES:   /* a row or a backend does not ask */
    case RC_WHO_DEFAULT: /* resolved when the configuration was loaded */
    case RC_WHO_NONE:
        return false;
    }
    return false;
}

int rc_permission_refusal(enum rc_who who, struct rc_span user)
{
    return user.count == 0 && (who == RC_WHO_USER || who == RC_WHO_OWNER) ? 401 : 403;
}
