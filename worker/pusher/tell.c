/* tell: what clients of the Pusher Channels protocol are told by the server itself, and whose they are. See pusher.h. */
#include "worker/pusher/pusher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define ERROR_BYTES_MAX (RC_JSON_STRING_BYTES_MAX(256) + 96u)

const struct rc_config_pusher_app *rc_pusher_app(const struct rc_pushers *pushers, uint32_t client)
{
    const struct rc_clients *clients = pushers->clients;
    return &clients->config->pusher_apps[rc_truth_pusher(clients->truth, client)->app];
}

void rc_pusher_authorized(struct rc_pushers *pushers, uint32_t client)
{
    struct rc_clients *clients = pushers->clients;
    struct rc_pusher *its = rc_truth_pusher(clients->truth, client);
    if (its->authorize_ds != 0) {
        its->authorize_ds = 0;
        (void)rc_client_expires(clients, client, rc_client_expiry_due(clients, client)); /* its wheel is open */
    }
}

uint8_t *rc_pusher_room(struct rc_pushers *pushers, size_t bytes)
{
    if (bytes > pushers->room_bytes) {
        uint8_t *larger = realloc(pushers->room, bytes);
        if (larger == NULL) {
            return NULL;
        }
        pushers->room = larger;
        pushers->room_bytes = bytes;
    }
    return pushers->room;
}

void rc_pusher_reply(struct rc_pushers *pushers, uint32_t client, const void *text, size_t bytes)
{
    if (rc_hub_reply_part(pushers->clients->hub, client, RC_PART_TEXT, text, (uint32_t)bytes) < 0) {
        rc_client_failed_memory(pushers->clients, client);
    }
}

void rc_pusher_error(struct rc_pushers *pushers, uint32_t client, uint32_t code, const char *message)
{
    char text[ERROR_BYTES_MAX];
    char number[16];
    uint8_t json[RC_JSON_STRING_BYTES_MAX(256)];
    const size_t count = strnlen(message, 256);
    const size_t bytes = rc_json_string_encode(json, sizeof(json), rc_span_of(message, count));
    (void)snprintf(number, sizeof(number), "%u", code);
    const int all = snprintf(text, sizeof(text), "{\"event\":\"pusher:error\",\"data\":{\"code\":%s,\"message\":%.*s}}",
                             code == 0 ? "null" : number, (int)bytes, (const char *)json);
    RC_ASSERT(all > 0 && (size_t)all < sizeof(text));
    rc_metric_add(pushers->clients->metrics, RC_METRIC_PUSHER_ERRORS, 1);
    rc_pusher_reply(pushers, client, text, (size_t)all);
}

void rc_pusher_subscription_error(struct rc_pushers *pushers, uint32_t client, struct rc_span channel,
                                  enum rc_code code, const char *message)
{
    const struct rc_event event = {
        .type = RC_EVENT_ERROR, .channel = channel, .code = code, .message = rc_span_text(message)};
    rc_metric_add(pushers->clients->metrics, RC_METRIC_PUSHER_ERRORS, 1);
    if (rc_hub_reply_event(pushers->clients->hub, client, &event) < 0) {
        rc_client_failed_memory(pushers->clients, client);
    }
}
