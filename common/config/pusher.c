/* pusher: see pusher.h. */
#include "common/config/pusher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/backend.h"
#include "common/config/config.h"
#include "common/records/channel_name.h"

/* --- channels -------------------------------------------------------------------------------------------------------- */

/* Longest first, where one is the beginning of another. */
static const struct {
    const char *head;
    uint32_t kind;
} kinds[] = {
    {"private-encrypted-cache-", RC_PUSHER_PRIVATE | RC_PUSHER_ENCRYPTED | RC_PUSHER_CACHE},
    {"private-encrypted-", RC_PUSHER_PRIVATE | RC_PUSHER_ENCRYPTED},
    {"private-cache-", RC_PUSHER_PRIVATE | RC_PUSHER_CACHE},
    {"private-", RC_PUSHER_PRIVATE},
    {"presence-cache-", RC_PUSHER_PRIVATE | RC_PUSHER_PRESENCE | RC_PUSHER_CACHE},
    {"presence-", RC_PUSHER_PRIVATE | RC_PUSHER_PRESENCE},
    {"cache-", RC_PUSHER_CACHE},
    {RC_PUSHER_USER_CHANNEL, RC_PUSHER_USER},
    {RC_PUSHER_WATCH_CHANNEL, RC_PUSHER_WATCH},
};

uint32_t rc_pusher_kind_of(struct rc_span channel)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(kinds); i++) {
        if (rc_span_starts_with(channel, rc_span_text(kinds[i].head))) {
            return kinds[i].kind;
        }
    }
    return 0;
}

static bool name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("_-=@,.;", byte) != NULL);
}

bool rc_pusher_channel_valid(struct rc_span channel)
{
    const struct rc_span user = RC_SPAN(RC_PUSHER_USER_CHANNEL);
    if (rc_span_starts_with(channel, user)) {
        return channel.count > user.count && channel.count <= user.count + RC_PUSHER_USER_MAX;
    }
    for (size_t i = 0; i < channel.count; i++) {
        if (!name_byte(channel.bytes[i])) {
            return false;
        }
    }
    return channel.count > 0 && channel.count <= RC_PUSHER_NAME_MAX;
}

size_t rc_pusher_watch_write(struct rc_span user, char out[RC_PUSHER_NAME_MAX])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t at = sizeof(RC_PUSHER_WATCH_CHANNEL) - 1;
    memcpy(out, RC_PUSHER_WATCH_CHANNEL, at);
    for (size_t i = 0; i < user.count; i++) {
        const uint8_t byte = user.bytes[i];
        const bool plain = name_byte(byte) && byte != '=';
        if (at + (plain ? 1 : 3) > RC_PUSHER_NAME_MAX) {
            return 0;
        }
        if (plain) {
            out[at++] = (char)byte;
        } else {
            out[at++] = '=';
            out[at++] = digits[byte >> 4];
            out[at++] = digits[byte & 15];
        }
    }
    return user.count == 0 || user.count > RC_PUSHER_USER_MAX ? 0 : at;
}

/* Of a digit that rc_pusher_watch_write has written; 16: it is none. */
static unsigned watch_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - (unsigned)'0'
           : byte >= 'A' && byte <= 'F' ? byte - (unsigned)'A' + 10u
                                        : 16u;
}

struct rc_span rc_pusher_watch_user(struct rc_span name, uint8_t scratch[RC_PUSHER_USER_MAX])
{
    const size_t head = sizeof(RC_PUSHER_WATCH_CHANNEL) - 1;
    size_t bytes = 0;
    if (!rc_span_starts_with(name, RC_SPAN(RC_PUSHER_WATCH_CHANNEL))) {
        return (struct rc_span){0};
    }
    for (size_t i = head; i < name.count; i++, bytes++) {
        uint8_t byte = name.bytes[i];
        if (byte == '=') {
            const unsigned high = i + 2 < name.count ? watch_digit(name.bytes[i + 1]) : 16;
            const unsigned low = i + 2 < name.count ? watch_digit(name.bytes[i + 2]) : 16;
            if (high > 15 || low > 15) {
                return (struct rc_span){0};
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (bytes == RC_PUSHER_USER_MAX) {
            return (struct rc_span){0};
        }
        scratch[bytes] = byte;
    }
    return rc_span_of(scratch, bytes);
}

size_t rc_pusher_channel_write(const struct rc_config_pusher_app *app, struct rc_span name,
                               char out[RC_CHANNEL_NAME_MAX])
{
    const bool own = app->channels == RC_PUSHER_CHANNELS_OWN;
    const size_t id = own ? strlen(app->id.text) : 0;
    const size_t head = own ? sizeof(RC_PUSHER_NAMESPACE) - 1 + id + 1 : 0;
    if (head + name.count > RC_CHANNEL_NAME_MAX) {
        return 0;
    }
    if (own) {
        memcpy(out, RC_PUSHER_NAMESPACE, sizeof(RC_PUSHER_NAMESPACE) - 1);
        memcpy(out + sizeof(RC_PUSHER_NAMESPACE) - 1, app->id.text, id);
        out[head - 1] = ':';
    }
    if (name.count > 0) {
        memcpy(out + head, name.bytes, name.count);
    }
    return head + name.count;
}

/* The id's place behind "pusher-{app}/"; 0: it does not begin so. */
static size_t user_head(struct rc_span user)
{
    const struct rc_span head = RC_SPAN(RC_PUSHER_NAMESPACE);
    const uint8_t *slash = rc_span_starts_with(user, head) ? memchr(user.bytes, '/', user.count) : NULL;
    return slash == NULL ? 0 : (size_t)(slash - user.bytes) + 1;
}

size_t rc_pusher_user_write(const struct rc_config_pusher_app *app, struct rc_span user, char out[RC_CHANNEL_NAME_MAX])
{
    const size_t room = RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES;
    if (user.count == 0 || user.count > RC_PUSHER_USER_MAX || user_head(user) > 0) {
        return 0;
    }
    if (app->channels == RC_PUSHER_CHANNELS_PLAIN) {
        memcpy(out, user.bytes, user.count);
        return user.count;
    }
    const int bytes = snprintf(out, RC_CHANNEL_NAME_MAX, RC_PUSHER_NAMESPACE "%s/%.*s", app->id.text, (int)user.count,
                               (const char *)user.bytes);
    return bytes > 0 && (size_t)bytes <= room ? (size_t)bytes : 0;
}

struct rc_span rc_pusher_name_of(struct rc_span channel, bool *user)
{
    *user = rc_span_starts_with(channel, RC_SPAN(RC_USER_CHANNEL_HEAD));
    if (*user) {
        const struct rc_span id =
            rc_span_of(channel.bytes + RC_USER_CHANNEL_HEAD_BYTES, channel.count - RC_USER_CHANNEL_HEAD_BYTES);
        const size_t head = user_head(id);
        return rc_span_of(id.bytes + head, id.count - head);
    }
    const uint8_t *colon = channel.count == 0 ? NULL : memchr(channel.bytes, ':', channel.count);
    const size_t head = colon == NULL ? 0 : (size_t)(colon - channel.bytes) + 1;
    return rc_span_of(channel.bytes + head, channel.count - head);
}

/* --- apps ------------------------------------------------------------------------------------------------------------ */

int rc_pusher_app_of_key(const struct rc_config *config, struct rc_span key)
{
    for (uint32_t i = 0; i < config->pusher_app_count; i++) {
        if (rc_span_equal(rc_span_text(config->pusher_apps[i].key.text), key)) {
            return (int)i;
        }
    }
    return -1;
}

int rc_pusher_app_of_id(const struct rc_config *config, struct rc_span id)
{
    for (uint32_t i = 0; i < config->pusher_app_count; i++) {
        if (rc_span_equal(rc_span_text(config->pusher_apps[i].id.text), id)) {
            return (int)i;
        }
    }
    return -1;
}

int rc_pusher_app_of_channel(const struct rc_config *config, struct rc_span channel, struct rc_span *name)
{
    if (RC_LIKELY(config->pusher_app_count == 0) || channel.count == 0) {
        return -1;
    }
    const uint8_t *colon = memchr(channel.bytes, ':', channel.count);
    if (colon == NULL) {
        for (uint32_t i = 0; i < config->pusher_app_count; i++) {
            if (config->pusher_apps[i].channels == RC_PUSHER_CHANNELS_PLAIN) {
                *name = channel;
                return rc_pusher_channel_valid(channel) || (rc_pusher_kind_of(channel) & RC_PUSHER_WATCH) ? (int)i : -1;
            }
        }
        return -1;
    }
    const size_t head = sizeof(RC_PUSHER_NAMESPACE) - 1;
    if (!rc_span_starts_with(channel, RC_SPAN(RC_PUSHER_NAMESPACE)) || (size_t)(colon - channel.bytes) < head) {
        return -1;
    }
    const int app =
        rc_pusher_app_of_id(config, rc_span_of(channel.bytes + head, (size_t)(colon - channel.bytes) - head));
    if (app < 0 || config->pusher_apps[app].channels != RC_PUSHER_CHANNELS_OWN) {
        return -1;
    }
    *name = rc_span_of(colon + 1, channel.count - (size_t)(colon + 1 - channel.bytes));
    return app;
}

bool rc_pusher_user_is(const struct rc_config *config, struct rc_span user)
{
    const size_t begin = sizeof(RC_PUSHER_NAMESPACE) - 1;
    const size_t head = RC_LIKELY(config->pusher_app_count == 0) || user.count == 0 ? 0 : user_head(user);
    const int app = head == 0 ? -1 : rc_pusher_app_of_id(config, rc_span_of(user.bytes + begin, head - 1 - begin));
    return app >= 0 && config->pusher_apps[app].channels == RC_PUSHER_CHANNELS_OWN;
}

bool rc_pusher_guards(const struct rc_config *config, struct rc_span channel)
{
    struct rc_span name;
    const int app = rc_pusher_app_of_channel(config, channel, &name);
    return app >= 0 && (config->pusher_apps[app].channels == RC_PUSHER_CHANNELS_OWN ||
                        (rc_pusher_kind_of(name) & (RC_PUSHER_PRIVATE | RC_PUSHER_WATCH)) != 0);
}

bool rc_pusher_roster(const struct rc_config *config, struct rc_span channel)
{
    struct rc_span name;
    const int index = rc_pusher_app_of_channel(config, channel, &name);
    if (index < 0) {
        return false;
    }
    const struct rc_config_pusher_app *app = &config->pusher_apps[index];
    return (rc_pusher_kind_of(name) & (RC_PUSHER_PRESENCE | RC_PUSHER_WATCH)) != 0 || app->subscription_count ||
           rc_pusher_tells(app, RC_PUSHER_OCCUPIED) || rc_pusher_tells(app, RC_PUSHER_VACATED) ||
           rc_pusher_tells(app, RC_PUSHER_COUNT);
}

bool rc_pusher_or_presence(const struct rc_config *config, struct rc_span channel)
{
    return rc_config_namespace_of(config, (const char *)channel.bytes, channel.count)->presence ||
           rc_pusher_roster(config, channel);
}

/* --- webhooks -------------------------------------------------------------------------------------------------------- */

static const char *const webhooks[] = {"channel_occupied", "channel_vacated", "member_added",      "member_removed",
                                       "client_event",     "cache_miss",      "subscription_count"};

uint32_t rc_pusher_webhook_of(struct rc_span name)
{
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(webhooks); i++) {
        if (rc_span_equal(name, rc_span_text(webhooks[i]))) {
            return 1u << i;
        }
    }
    return 0;
}

const char *rc_pusher_webhook_name(enum rc_pusher_webhook webhook)
{
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(webhooks); i++) {
        if (webhook == 1u << i) {
            return webhooks[i];
        }
    }
    return "";
}

bool rc_pusher_tells(const struct rc_config_pusher_app *app, enum rc_pusher_webhook webhook)
{
    const char *name = rc_pusher_webhook_name(webhook);
    for (uint32_t i = 0; app->webhook_backend.text[0] != '\0' && i < app->webhooks.count; i++) {
        if (strcmp(app->webhooks.items[i].text, name) == 0) {
            return true;
        }
    }
    return false;
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

static int app_check(const struct rc_config *config, uint32_t index, struct rc_err *err)
{
    const struct rc_config_pusher_app *app = &config->pusher_apps[index];
    for (uint32_t i = 0; i < index; i++) {
        const struct rc_config_pusher_app *other = &config->pusher_apps[i];
        if (strcmp(app->id.text, other->id.text) == 0 || strcmp(app->key.text, other->key.text) == 0) {
            return rc_err_set(err, -EINVAL, "there are two [[pusher_app]] tables with the id \"%s\" or the key \"%s\"",
                              app->id.text, app->key.text);
        }
        if (app->channels == RC_PUSHER_CHANNELS_PLAIN && other->channels == RC_PUSHER_CHANNELS_PLAIN) {
            return rc_err_set(err, -EINVAL,
                              "[[pusher_app]] \"%s\" and \"%s\" have channels = \"plain\": their channels would be one",
                              other->id.text, app->id.text);
        }
    }
    if (app->webhook_backend.text[0] != '\0' && rc_backend_find(config, rc_span_text(app->webhook_backend.text)) < 0) {
        return rc_err_set(err, -EINVAL, "[[pusher_app]] \"%s\": webhook_backend: there is no [[backend]] named \"%s\"",
                          app->id.text, app->webhook_backend.text);
    }
    if (app->max_event_bytes > config->limits.max_message_size_bytes) {
        return rc_err_set(err, -EINVAL,
                          "[[pusher_app]] \"%s\": max_event_size is above limits.max_message_size, which no event "
                          "passes: lower it, or raise the other",
                          app->id.text);
    }
    return 0;
}

int rc_config_pusher_check(const struct rc_config *config, struct rc_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < config->pusher_app_count; i++) {
        rc = app_check(config, i, err);
    }
    for (uint32_t i = 0; rc == 0 && i < config->endpoint_count; i++) {
        if (config->endpoints[i].protocol == RC_ENDPOINT_PUSHER && config->pusher_app_count == 0) {
            rc = rc_err_set(err, -EINVAL, "[[endpoint]] %s: protocol = \"pusher\" needs a [[pusher_app]]",
                            config->endpoints[i].path.text);
        }
    }
    return rc;
}
