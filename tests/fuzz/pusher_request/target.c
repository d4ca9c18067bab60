/*
 * pusher_request: arbitrary bytes as body and as query of a server SDK of the Pusher Channels protocol. What is read is within its bounds and of the app; nothing
 * is signed by who does not have the secret.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/pusher.h"
#include "common/records/socket_id.h"
#include "worker/api/pusher_auth.h"
#include "worker/api/pusher_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static void body(const struct rc_config_pusher_app *app, struct rc_span text, bool batch)
{
    struct rc_pusher_post post;
    char why[RC_PUSHER_WHY_MAX] = "";
    const uint16_t status = rc_pusher_post_read(&post, text, batch, app, why);
    RC_ASSERT(status == 0 || status == 400 || status == 413);
    RC_ASSERT((status == 0) == (why[0] == '\0'));
    for (uint32_t i = 0; status == 0 && i < post.count; i++) {
        const struct rc_pusher_post_event *event = &post.events[i];
        RC_ASSERT(event->channel.count > 0 && event->channel.count <= RC_CHANNEL_NAME_MAX);
        RC_ASSERT(rc_span_starts_with(event->channel, RC_SPAN("pusher-7:")) ||
                  rc_span_starts_with(event->channel, RC_SPAN("user:pusher-7/")));
        RC_ASSERT(event->event.count > 0 && event->event.count <= RC_PUSHER_EVENT_MAX);
    }
    RC_ASSERT(status != 0 || (post.count > 0 && post.count <= (batch ? app->max_batch : app->max_event_channels)));
    rc_pusher_post_free(&post);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    struct rc_config_pusher_app app = {.max_event_channels = 5, .max_batch = 3, .max_event_bytes = 64};
    struct rc_client_ref ref;
    char md5[RC_PUSHER_MD5_DIGITS];
    bool has_md5;
    (void)snprintf(app.id.text, sizeof(app.id.text), "7");
    (void)snprintf(app.key.text, sizeof(app.key.text), "key");
    (void)snprintf(app.secret.text, sizeof(app.secret.text), "nobody has this");
    body(&app, rc_span_of(input, bytes), false);
    body(&app, rc_span_of(input, bytes), true);
    const struct rc_pusher_signed_request request = {
        .method = {"GET", 3}, .path = {"/apps/7/channels", 16}, .query = {(const char *)input, bytes}};
    RC_ASSERT(rc_pusher_request_refusal(&request, &app, 1, md5, &has_md5) != NULL);
    (void)rc_pusher_info_read(rc_span_of(input, bytes), bytes % 2 == 0 ? RC_PUSHER_INFO_COUNTS : UINT32_MAX);
    (void)rc_socket_id_read((const char *)input, bytes, 1, &ref);
    return 0;
}
