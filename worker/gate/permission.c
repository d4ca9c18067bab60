/* permission: see permission.h. */
#include "worker/gate/permission.h"

#include <string.h>
#include <strings.h>

bool rc_permission_reserved(struct rc_span channel)
{
    return rc_span_equal(channel, RC_SPAN("*")) || rc_span_starts_with(channel, RC_SPAN("user:"));
}

bool rc_permission_allows(enum rc_who who, struct rc_span user, struct rc_span channel)
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
    case RC_WHO_DEFAULT: /* resolved when the configuration was loaded */
    case RC_WHO_NONE:
        return false;
    }
    return false;
}

bool rc_permission_subscribe(const struct rc_config *config, struct rc_span user, struct rc_span channel)
{
    const struct rc_config_namespace *space =
        rc_config_namespace_of(config, (const char *)channel.bytes, channel.count);
    return !rc_permission_reserved(channel) && rc_permission_allows(space->subscribe, user, channel);
}

bool rc_permission_publish(const struct rc_config *config, struct rc_span user, struct rc_span channel)
{
    const struct rc_config_namespace *space =
        rc_config_namespace_of(config, (const char *)channel.bytes, channel.count);
    return !rc_permission_reserved(channel) && rc_permission_allows(space->publish, user, channel);
}

static bool permission_equal_nocase(struct rc_span a, struct rc_span b)
{
    return a.count == b.count && strncasecmp((const char *)a.bytes, (const char *)b.bytes, a.count) == 0;
}

/* The star stands for one or more leading labels. */
static bool permission_wildcard(struct rc_span pattern, struct rc_span origin)
{
    const uint8_t *star = memchr(pattern.bytes, '*', pattern.count);
    if (star == NULL) {
        return false;
    }
    const size_t before = (size_t)(star - pattern.bytes);
    const size_t after = pattern.count - before - 1;
    return origin.count > before + after &&
           permission_equal_nocase(rc_span_of(pattern.bytes, before), rc_span_of(origin.bytes, before)) &&
           permission_equal_nocase(rc_span_of(star + 1, after), rc_span_of(origin.bytes + origin.count - after, after));
}

bool rc_permission_origin(const struct rc_config_list *allowed, struct rc_span origin, struct rc_span host)
{
    if (origin.count == 0) {
        return true;
    }
    if (allowed->count == 0) {
        const char *authority = memmem(origin.bytes, origin.count, "://", 3);
        if (authority == NULL) {
            return false;
        }
        const size_t scheme = (size_t)(authority + 3 - (const char *)origin.bytes);
        return permission_equal_nocase(rc_span_of(authority + 3, origin.count - scheme), host);
    }
    for (uint32_t i = 0; i < allowed->count; i++) {
        const struct rc_span entry = rc_span_text(allowed->items[i].text);
        if (rc_span_equal(entry, RC_SPAN("*")) || permission_equal_nocase(entry, origin) ||
            permission_wildcard(entry, origin)) {
            return true;
        }
    }
    return false;
}
