/*
 * subscribe: channels of the Pusher Channels protocol: who may be in them, who is there, and what was said last. See pusher.h.
 *
 *   public, private   hub ── SUBSCRIBED ─▶ subscription_succeeded
 *   cache             the same, then rc_pusher_values: the last event, or cache_miss
 *   presence          hub ── member_changed ─▶ asking ── the relay ─▶ subscription_succeeded with who is there [─▶ the last event]
 */
#include "worker/pusher/pusher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/policies.h"
#include "common/records/socket_id.h"
#include "common/shm/history.h"
#include "worker/pusher/sign.h"

/* --- may it? --------------------------------------------------------------------------------------------------------- */

/* Who the client is in a presence channel, as its authorisation says. */
struct claim {
    struct rc_span user;
    struct rc_span info; /* JSON; empty = none */
    uint8_t scratch[RC_PUSHER_USER_MAX];
};

static const char *claim_read(struct claim *claim, struct rc_span channel_data)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    claim->user = claim->info = (struct rc_span){0};
    int got = rc_json_object_begin(&cursor, channel_data, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("user_info")) && value.type != RC_JSON_NULL) {
            claim->info = value.raw;
        } else if (rc_json_string_is(&name, RC_SPAN("user_id")) && value.type == RC_JSON_NUMBER &&
                   value.raw.count <= RC_PUSHER_USER_MAX) {
            claim->user = value.raw; /* a number means its text */
        } else if (rc_json_string_is(&name, RC_SPAN("user_id")) &&
                   rc_json_string_decode(&value, claim->scratch, sizeof(claim->scratch), &claim->user) < 0) {
            return "user_id in channel_data must be a string of at most 128 bytes";
        }
    }
    return got < 0                  ? "channel_data must be a JSON object with a user_id"
           : claim->user.count == 0 ? "channel_data has no user_id"
           : memchr(claim->user.bytes, 0, claim->user.count) != NULL ? "user_id has characters that are not allowed"
           : claim->info.count > RC_PUSHER_INFO_MAX ? "user_info in channel_data is larger than 2048 bytes"
                                                    : NULL;
}

/* Is it signed by who has the app's secret? */
static bool claim_authorised(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    const struct rc_clients *clients = pushers->clients;
    const struct rc_config_pusher_app *app = rc_pusher_app(pushers, client);
    const struct rc_client_ref ref = rc_client_ref(clients, client);
    const struct rc_span key = rc_span_text(app->key.text);
    const struct rc_span auth = operation->to;
    char id[RC_SOCKET_ID_MAX];
    if (auth.count <= key.count || auth.bytes[key.count] != ':' || memcmp(auth.bytes, key.bytes, key.count) != 0) {
        return false;
    }
    const struct rc_span parts[] = {rc_span_of(id, rc_socket_id_write(id, clients->control->boot_nonce, &ref)),
                                    operation->channel, operation->data};
    return rc_pusher_signed(rc_span_text(app->secret.text), parts, operation->data.count > 0 ? 3 : 2,
                            rc_span_of(auth.bytes + key.count + 1, auth.count - key.count - 1));
}

/* A channel that a signed in user hears anyway. */
static bool is_own_user(struct rc_pushers *pushers, uint32_t client, struct rc_span channel)
{
    char user[RC_CHANNEL_NAME_MAX];
    const size_t head = sizeof(RC_PUSHER_USER_CHANNEL) - 1;
    const size_t bytes = rc_pusher_user_write(rc_pusher_app(pushers, client),
                                              rc_span_of(channel.bytes + head, channel.count - head), user);
    return bytes > 0 && rc_span_equal(rc_client_user(pushers->clients, client), rc_span_of(user, bytes));
}

/* --- subscribing ----------------------------------------------------------------------------------------------------- */

/* What it fails with is told of the channel's name as the client has it: that of the broker's begins before a colon that it has not. */
static bool subscription_refuse(struct rc_pushers *pushers, uint32_t client, struct rc_span channel, enum rc_code code,
                                const char *message)
{
    rc_pusher_subscription_error(pushers, client, channel, code, message);
    return true;
}

static bool subscribe_user(struct rc_pushers *pushers, uint32_t client, struct rc_span channel)
{
    char name[RC_USER_CHANNEL_HEAD_BYTES + RC_CHANNEL_NAME_MAX];
    const struct rc_span user = rc_client_user(pushers->clients, client);
    if (!is_own_user(pushers, client, channel)) {
        return subscription_refuse(pushers, client, channel, RC_CODE_UNAUTHORIZED, "sign in as this user first");
    }
    memcpy(name, RC_USER_CHANNEL_HEAD, RC_USER_CHANNEL_HEAD_BYTES);
    memcpy(name + RC_USER_CHANNEL_HEAD_BYTES, user.bytes, user.count);
    const struct rc_event event = {.type = RC_EVENT_SUBSCRIBED,
                                   .channel = rc_span_of(name, RC_USER_CHANNEL_HEAD_BYTES + user.count)};
    if (rc_hub_reply_event(pushers->clients->hub, client, &event) < 0) {
        rc_client_failed_memory(pushers->clients, client);
    }
    return true;
}

/* Does a row of [[event]], or a backend, let clients in? A "plain" public channel is everybody's room of that name. */
static bool is_guarded(const struct rc_pushers *pushers, const struct rc_config_pusher_app *app, struct rc_span name,
                       uint32_t kind)
{
    return app->channels == RC_PUSHER_CHANNELS_PLAIN && (kind & RC_PUSHER_PRIVATE) == 0 &&
           rc_config_namespace_of(pushers->clients->config, (const char *)name.bytes, name.count)->subscribe ==
               RC_WHO_RULES;
}

static bool subscribe_channel(struct rc_pushers *pushers, uint32_t client, struct rc_span name, uint32_t kind)
{
    struct rc_clients *clients = pushers->clients;
    const bool presence = (kind & RC_PUSHER_PRESENCE) != 0;
    const uint8_t wants = !presence && (kind & RC_PUSHER_CACHE) ? RC_PENDING_VALUES : 0;
    switch (rc_hub_subscribe_from(clients->hub, client, name, RC_SUBSCRIBER_BACKEND,
                                  presence ? rc_span_of(NULL, 0) : RC_SPAN("0"), wants, NULL)) {
    case RC_SUBSCRIBED:
    case RC_SUBSCRIBE_WAITS:
        return true;
    case RC_SUBSCRIBE_LIMITED:
        rc_pusher_member_drop(pushers, client, name);
        return subscription_refuse(pushers, client, name, RC_CODE_LIMITED, "too many channels on this connection");
    case RC_SUBSCRIBE_NO_ROOM:
        rc_pusher_member_drop(pushers, client, name);
        return subscription_refuse(pushers, client, name, RC_CODE_UNAVAILABLE,
                                   "no room for more channels on this server");
    }
    return true;
}

/* Does a subscription of it to the channel wait for the relay? Then what comes next waits, too. */
static bool still_pending(struct rc_pushers *pushers, uint32_t client, struct rc_span name)
{
    struct rc_clients *clients = pushers->clients;
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel == 0 || !rc_pusher_waits(pushers, client, channel)) {
        return false;
    }
    rc_truth_client(clients->truth, client)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    return true;
}

bool rc_pusher_subscribe(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    const struct rc_config_pusher_app *app = rc_pusher_app(pushers, client);
    const struct rc_span channel = operation->channel;
    const uint32_t kind = rc_pusher_kind_of(channel);
    char text[1 + RC_CHANNEL_BYTES_MAX];
    struct claim claim;
    if (!rc_pusher_channel_valid(channel)) {
        /* It may have a colon, or look like a user's: behind one of ours it is told as the client has it. */
        text[0] = ':';
        memcpy(text + 1, channel.bytes, channel.count);
        return subscription_refuse(pushers, client, rc_span_of(text, 1 + channel.count), RC_CODE_BAD_REQUEST,
                                   "a channel's name has 1 to 164 letters, digits and _-=@,.;");
    }
    if (kind & RC_PUSHER_USER) {
        return subscribe_user(pushers, client, channel);
    }
    const struct rc_span name = rc_span_of(text, rc_pusher_channel_write(app, channel, text));
    if (app->channels == RC_PUSHER_CHANNELS_PLAIN && rc_client_channel_reserved(pushers->clients, name) &&
        !(kind & RC_PUSHER_PRIVATE)) {
        return subscription_refuse(pushers, client, name, RC_CODE_FORBIDDEN, "a socket's own room");
    }
    if (is_guarded(pushers, app, name, kind)) {
        return subscription_refuse(pushers, client, name, RC_CODE_FORBIDDEN, "[[event]] tables say who comes in here");
    }
    if (name.count == 0 || name.count > pushers->clients->config->limits.max_channel_name) {
        return subscription_refuse(pushers, client, channel, RC_CODE_BAD_REQUEST, "the channel's name is too long");
    }
    if (still_pending(pushers, client, name)) {
        return false;
    }
    if (rc_client_is_in(pushers->clients, client, name)) {
        char message[RC_PUSHER_NAME_MAX + 64];
        (void)snprintf(message, sizeof(message), "Existing subscription to channel %.*s", (int)channel.count,
                       (const char *)channel.bytes);
        rc_pusher_error(pushers, client, 0, message);
        return true;
    }
    if ((kind & RC_PUSHER_PRIVATE) && !claim_authorised(pushers, client, operation)) {
        rc_metric_add(pushers->clients->metrics, RC_METRIC_PUSHER_UNAUTHORIZED, 1);
        return subscription_refuse(pushers, client, name, RC_CODE_UNAUTHORIZED,
                                   "the signature in auth is not that of this socket, channel and channel_data");
    }
    if (kind & RC_PUSHER_PRIVATE) {
        rc_pusher_authorized(pushers, client);
    }
    if (kind & RC_PUSHER_PRESENCE) {
        const char *why = claim_read(&claim, operation->data);
        if (why != NULL) {
            return subscription_refuse(pushers, client, name, RC_CODE_BAD_REQUEST, why);
        }
        if (rc_pusher_member_put(pushers, client, name, claim.user, claim.info) < 0) {
            return subscription_refuse(pushers, client, name, RC_CODE_UNAVAILABLE, "no memory: try again later");
        }
    }
    return subscribe_channel(pushers, client, name, kind);
}

bool rc_pusher_unsubscribe(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    struct rc_clients *clients = pushers->clients;
    char text[RC_CHANNEL_NAME_MAX];
    if (!rc_pusher_channel_valid(operation->channel) || (rc_pusher_kind_of(operation->channel) & RC_PUSHER_USER)) {
        return true; /* it is in no such channel */
    }
    const struct rc_span name =
        rc_span_of(text, rc_pusher_channel_write(rc_pusher_app(pushers, client), operation->channel, text));
    if (name.count == 0) {
        return true;
    }
    if (still_pending(pushers, client, name)) {
        return false;
    }
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash(text, name.count), name);
    const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscription(clients->hub, client, channel);
    if (subscription != 0) {
        rc_hub_unsubscribe(clients->hub, client, subscription);
    }
    return true;
}

/* --- the last event -------------------------------------------------------------------------------------------------- */

void rc_pusher_values(struct rc_pushers *pushers, uint32_t client, uint32_t channel, struct rc_span values)
{
    struct rc_hub *hub = pushers->clients->hub;
    const struct rc_channel *its = rc_truth_channel(hub->truth, channel);
    struct rc_history_message message;
    const bool some = values.count > 0 && rc_history_message_of(values.bytes, values.count, &message);
    const struct rc_event event = {
        .type = RC_EVENT_MESSAGE,
        .channel = rc_hub_name(hub, its),
        .event = some ? message.event : RC_SPAN("pusher:cache_miss"),
        .data_kind = !some                                       ? RC_DATA_JSON
                     : (message.entry.flags & RC_HISTORY_ARGS)   ? RC_DATA_ARGS
                     : (message.entry.flags & RC_HISTORY_BINARY) ? RC_DATA_BINARY
                                                                 : RC_DATA_JSON,
        .data = some ? message.data : RC_SPAN("\"\""),
    };
    if (rc_hub_reply_event(hub, client, &event) < 0) {
        rc_hub_break(hub, client);
    } else if (!some) {
        rc_webhook_cache_miss(&pushers->webhooks, rc_truth_pusher(hub->truth, client)->app, rc_hub_name(hub, its));
    }
}
