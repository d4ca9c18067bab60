/* webhook: see webhook.h. */
#include "worker/pusher/webhook.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/backend/backend.h"
#include "worker/pusher/sign.h"

#define WORDS_BYTES 192u /* what stands around the names of an event at most */

static uint64_t webhooks_now_ms(const struct rc_webhooks *webhooks)
{
    return webhooks->clients->io->now_ns / 1000000u;
}

static const struct rc_config_pusher_app *app_of(const struct rc_webhooks *webhooks, uint32_t app)
{
    return &webhooks->clients->config->pusher_apps[app];
}

/* --- the queue ------------------------------------------------------------------------------------------------------- */

static void webhook_remove(struct rc_webhook_queue *queue, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rc_telling_remove_first(queue->all->clients->hub, &queue->told);
    }
}

static void webhook_dropped(struct rc_webhook_queue *queue, uint32_t count, const char *why)
{
    const struct rc_webhooks *webhooks = queue->all;
    if (count > 0) {
        rc_metric_add(webhooks->clients->metrics, RC_METRIC_PUSHER_WEBHOOKS_DROPPED, count);
        rc_log_limited(RC_LOG_WARN, 1, "webhooks_dropped", "app=\"%s\" count=%u reason=\"%s\"",
                       app_of(webhooks, (uint32_t)(queue - webhooks->of))->id.text, count, why);
    }
}

/* An event without its channel's place: `more` are further members, each with a comma before it. */
static void webhook_add(struct rc_webhooks *webhooks, uint32_t app, enum rc_pusher_webhook what, struct rc_span channel,
                        struct rc_span more)
{
    struct rc_webhook_queue *queue = &webhooks->of[app];
    bool user;
    const struct rc_span name = rc_pusher_name_of(channel, &user);
    const size_t room = WORDS_BYTES + RC_JSON_STRING_BYTES_MAX(name.count) + more.count;
    uint8_t *text = queue->told.bytes + room > RC_WEBHOOK_BYTES_MAX ? NULL : malloc(room);
    uint8_t *out = text;
    if (text != NULL) {
        out += snprintf((char *)out, WORDS_BYTES, "{\"name\":\"%s\",\"channel\":", rc_pusher_webhook_name(what));
        out += rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(name.count), name);
        if (more.count > 0) {
            memcpy(out, more.bytes, more.count);
            out += more.count;
        }
        *out++ = '}';
    }
    if (text == NULL || rc_telling_add(webhooks->clients->hub, &queue->told, RC_TELLING_WEBHOOK,
                                       (struct rc_telling_to){.number = (uint8_t)app},
                                       rc_span_of(text, (size_t)(out - text)), webhooks_now_ms(webhooks)) < 0) {
        webhook_dropped(queue, 1, "too many wait, or no memory");
    }
    free(text);
}

/* --- what is told ---------------------------------------------------------------------------------------------------- */

static bool told_of(const struct rc_webhooks *webhooks, uint32_t app, enum rc_pusher_webhook what)
{
    return app < webhooks->clients->config->pusher_app_count && rc_pusher_tells(app_of(webhooks, app), what);
}

void rc_webhook_channel(struct rc_webhooks *webhooks, uint32_t app, enum rc_pusher_webhook what, struct rc_span channel)
{
    if (told_of(webhooks, app, what)) {
        webhook_add(webhooks, app, what, channel, (struct rc_span){0});
    }
}

void rc_webhook_cache_miss(struct rc_webhooks *webhooks, uint32_t app, struct rc_span channel)
{
    rc_webhook_channel(webhooks, app, RC_PUSHER_CACHE_MISS, channel);
}

void rc_webhook_member(struct rc_webhooks *webhooks, uint32_t app, enum rc_pusher_webhook what, struct rc_span channel,
                       struct rc_span user)
{
    static const char head[] = ",\"user_id\":";
    uint8_t more[sizeof(head) + RC_JSON_STRING_BYTES_MAX(UINT8_MAX)];
    if (told_of(webhooks, app, what)) {
        memcpy(more, head, sizeof(head) - 1);
        const size_t bytes = rc_json_string_encode(more + sizeof(head) - 1, sizeof(more) - sizeof(head), user);
        webhook_add(webhooks, app, what, channel, rc_span_of(more, sizeof(head) - 1 + bytes));
    }
}

void rc_webhook_count(struct rc_webhooks *webhooks, uint32_t app, struct rc_span channel, uint64_t count)
{
    char more[64];
    const int bytes = snprintf(more, sizeof(more), ",\"subscription_count\":%" PRIu64, count);
    if (told_of(webhooks, app, RC_PUSHER_COUNT)) {
        webhook_add(webhooks, app, RC_PUSHER_COUNT, channel, rc_span_of(more, (size_t)bytes));
    }
}

static uint8_t *webhook_put_member(uint8_t *out, const char *name, struct rc_span text)
{
    out += sprintf((char *)out, ",\"%s\":", name);
    return out + rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(text.count), text);
}

void rc_webhook_client_event(struct rc_webhooks *webhooks, const struct rc_webhook_event *event)
{
    if (!told_of(webhooks, event->app, RC_PUSHER_CLIENT_EVENT)) {
        return;
    }
    const size_t room = WORDS_BYTES + RC_JSON_STRING_BYTES_MAX(event->event.count) +
                        RC_JSON_STRING_BYTES_MAX(event->data.count) + event->socket_id.count +
                        RC_JSON_STRING_BYTES_MAX(event->user.count);
    uint8_t *more = malloc(room);
    if (more == NULL) {
        webhook_dropped(&webhooks->of[event->app], 1, "no memory");
        return;
    }
    uint8_t *out = webhook_put_member(more, "event", event->event);
    out = webhook_put_member(out, "data", event->data); /* a string that holds it */
    out = webhook_put_member(out, "socket_id", event->socket_id);
    out = event->user.count > 0 ? webhook_put_member(out, "user_id", event->user) : out;
    webhook_add(webhooks, event->app, RC_PUSHER_CLIENT_EVENT, event->channel, rc_span_of(more, (size_t)(out - more)));
    free(more);
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

static void webhook_answered(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_webhook_queue *queue = context;
    const struct rc_webhooks *webhooks = queue->all;
    const bool good = rc_backend_answered(RC_BACKEND_WEBHOOK, answer);
    const uint32_t sent = queue->sent;
    if (token != queue->serial) {
        return;
    }
    queue->sent = 0;
    if (!good) {
        queue->again_ms = queue->again_ms == 0 ? RC_WEBHOOK_AGAIN_MS : 2 * queue->again_ms;
        queue->again_ms = queue->again_ms > RC_WEBHOOK_AGAIN_MAX_MS ? RC_WEBHOOK_AGAIN_MAX_MS : queue->again_ms;
        queue->due_ms = webhooks_now_ms(webhooks) + queue->again_ms;
        return;
    }
    webhook_remove(queue, sent);
    rc_metric_add(webhooks->clients->metrics, RC_METRIC_PUSHER_WEBHOOKS, sent);
    queue->due_ms = 0;
    queue->again_ms = 0;
}

/* The body of the first `count`; NULL: no memory. The caller frees it. */
static uint8_t *webhook_body(const struct rc_webhook_queue *queue, uint32_t count, size_t *bytes)
{
    const struct rc_hub *hub = queue->all->clients->hub;
    uint32_t told = queue->told.first;
    size_t room = 64;
    for (uint32_t i = 0; i < count; i++, told = rc_telling_next(hub, told)) {
        room += rc_telling_text(hub, told).count + 1;
    }
    uint8_t *body = malloc(room);
    if (body == NULL) {
        return NULL;
    }
    size_t at = (size_t)snprintf((char *)body, room, "{\"time_ms\":%" PRIu64 ",\"events\":[", rc_clock_wall_ms());
    told = queue->told.first;
    for (uint32_t i = 0; i < count; i++, told = rc_telling_next(hub, told)) {
        const struct rc_span text = rc_telling_text(hub, told);
        if (i > 0) {
            body[at++] = ',';
        }
        memcpy(body + at, text.bytes, text.count);
        at += text.count;
    }
    memcpy(body + at, "]}", 2);
    *bytes = at + 2;
    RC_ASSERT(*bytes <= room);
    return body;
}

static void webhook_send(struct rc_webhooks *webhooks, uint32_t app, int backend)
{
    struct rc_webhook_queue *queue = &webhooks->of[app];
    const struct rc_config_pusher_app *its = app_of(webhooks, app);
    const uint32_t count = queue->told.count < RC_WEBHOOK_EVENTS_MAX ? queue->told.count : RC_WEBHOOK_EVENTS_MAX;
    char signature[RC_PUSHER_SIGNATURE_BYTES];
    char headers[RC_CONFIG_TEXT_MAX + 128];
    size_t bytes = 0;
    uint8_t *body = webhook_body(queue, count, &bytes);
    const struct rc_span text = rc_span_of(body, bytes);
    queue->due_ms = webhooks_now_ms(webhooks) + RC_WEBHOOK_AGAIN_MS; /* unless it is sent, and answered */
    if (body != NULL && rc_pusher_sign(rc_span_text(its->secret.text), &text, 1, signature)) {
        const int head = snprintf(headers, sizeof(headers), "x-pusher-key: %s\r\nx-pusher-signature: %.*s\r\n",
                                  its->key.text, (int)sizeof(signature), signature);
        struct rc_backend_request request = {
            .kind = RC_BACKEND_WEBHOOK, .leaves = true, .body = text, .headers = rc_span_of(headers, (size_t)head)};
        rc_backend_next_id(webhooks->clients->backends, request.id);
        if (rc_backend_call(webhooks->clients->backends, (uint32_t)backend, &request,
                            (struct rc_backend_waiter){
                                .context = queue, .answered = webhook_answered, .token = queue->serial}) == 0) {
            queue->sent = count;
        }
    }
    free(body);
}

/* What is too old is not told any more. */
static void webhook_expire(struct rc_webhook_queue *queue, uint64_t now_ms)
{
    uint32_t old = 0;
    const struct rc_hub *hub = queue->all->clients->hub;
    while (queue->told.count > 0 && rc_telling_since_ms(hub, &queue->told) + RC_WEBHOOK_KEEP_MS <= now_ms) {
        webhook_remove(queue, 1);
        old++;
    }
    webhook_dropped(queue, old, "the app's server took none for five minutes");
}

static uint64_t webhook_due_ms(const struct rc_webhook_queue *queue)
{
    const uint64_t since_ms = rc_telling_since_ms(queue->all->clients->hub, &queue->told);
    const uint64_t due_ms = queue->told.count >= RC_WEBHOOK_EVENTS_MAX ? since_ms : since_ms + RC_WEBHOOK_WAIT_MS;
    return due_ms < queue->due_ms ? queue->due_ms : due_ms;
}

void rc_webhooks_work(struct rc_webhooks *webhooks)
{
    const struct rc_config *config = webhooks->clients->config;
    const uint64_t now_ms = webhooks_now_ms(webhooks);
    for (uint32_t i = 0; i < config->pusher_app_count; i++) {
        struct rc_webhook_queue *queue = &webhooks->of[i];
        if (queue->told.count == 0 || queue->sent > 0) {
            continue;
        }
        webhook_expire(queue, now_ms);
        if (queue->told.count > 0 && webhook_due_ms(queue) <= now_ms) {
            webhook_send(webhooks, i,
                         rc_backend_find(config, rc_span_text(config->pusher_apps[i].webhook_backend.text)));
        }
    }
}

uint32_t rc_webhooks_sleep_ms(const struct rc_webhooks *webhooks, uint32_t most_ms)
{
    const uint64_t now_ms = webhooks_now_ms(webhooks);
    for (uint32_t i = 0; i < webhooks->clients->config->pusher_app_count; i++) {
        const struct rc_webhook_queue *queue = &webhooks->of[i];
        if (queue->told.count == 0 || queue->sent > 0) {
            continue;
        }
        const uint64_t due_ms = webhook_due_ms(queue);
        const uint64_t left = due_ms > now_ms ? due_ms - now_ms : 0;
        most_ms = left < most_ms ? (uint32_t)left : most_ms;
    }
    return most_ms;
}

bool rc_webhooks_busy(const struct rc_webhooks *webhooks)
{
    for (uint32_t i = 0; i < RC_CONFIG_PUSHER_APPS_MAX; i++) {
        const struct rc_webhook_queue *queue = &webhooks->of[i];
        if (queue->sent > 0 || (queue->told.count > 0 && queue->due_ms == 0)) {
            return true;
        }
    }
    return false;
}

void rc_webhooks_leave(struct rc_webhooks *webhooks)
{
    for (uint32_t i = 0; i < RC_CONFIG_PUSHER_APPS_MAX; i++) {
        webhooks->of[i].serial++;
        webhooks->of[i].sent = 0;
        webhooks->of[i].due_ms = 0;
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_webhooks_open(struct rc_webhooks *webhooks, struct rc_clients *clients)
{
    *webhooks = (struct rc_webhooks){.clients = clients};
    for (uint32_t i = 0; i < RC_CONFIG_PUSHER_APPS_MAX; i++) {
        webhooks->of[i].all = webhooks;
    }
}

static struct rc_telling_queue *webhook_queue_of(void *context, struct rc_telling_to to)
{
    struct rc_webhooks *webhooks = context;
    return to.number < webhooks->clients->config->pusher_app_count ? &webhooks->of[to.number].told : NULL;
}

void rc_webhooks_taken(struct rc_webhooks *webhooks)
{
    const uint32_t dropped = rc_tellings_take(webhooks->clients->hub, RC_TELLING_WEBHOOK, webhooks, webhook_queue_of);
    rc_metric_add(webhooks->clients->metrics, RC_METRIC_PUSHER_WEBHOOKS_DROPPED, dropped);
    rc_webhooks_reconfigure(webhooks);
}

void rc_webhooks_reconfigure(struct rc_webhooks *webhooks)
{
    const struct rc_config *config = webhooks->clients->config;
    for (uint32_t i = 0; i < RC_CONFIG_PUSHER_APPS_MAX; i++) {
        struct rc_webhook_queue *queue = &webhooks->of[i];
        if (i < config->pusher_app_count && config->pusher_apps[i].webhook_backend.text[0] != '\0') {
            continue;
        }
        webhook_dropped(queue, queue->told.count, "the app has no webhook_backend any more");
        webhook_remove(queue, queue->told.count);
        queue->serial++; /* an answer that is still to come is not about those that are added from here on */
        queue->sent = 0;
        queue->due_ms = 0;
        queue->again_ms = 0;
    }
}
