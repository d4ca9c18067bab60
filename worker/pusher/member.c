/* member: who comes and goes, as the relay finds out: those who are in the channel are told, and the app's server. See pusher.h. */
#include "worker/pusher/pusher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/member.h"

#define TELLING_BYTES_MAX (4u << 20)
#define WORDS_BYTES 64u

/* An event that is to be published. */
struct telling {
    struct rc_client_ref except; /* random 0: it is for all */
    uint32_t data_bytes;
    uint8_t channel_bytes;
    uint8_t event_bytes;
    uint8_t pad[2];
    /* followed by channel, event and data */
};

static int member_publish(struct rc_pushers *pushers, const struct telling *head, const uint8_t *text)
{
    struct rc_clients *clients = pushers->clients;
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .origin = {.worker = (uint16_t)clients->worker},
                                             .channel_bytes = head->channel_bytes,
                                             .event_bytes = head->event_bytes,
                                             .data_bytes = head->data_bytes,
                                             .exclude_count = head->except.random != 0},
                                    .channel = (const char *)text,
                                    .event = (const char *)text + head->channel_bytes,
                                    .excludes = (const uint8_t *)&head->except,
                                    .data = text + head->channel_bytes + head->event_bytes};
    view.head.channel_hash = rc_channel_hash(view.channel, head->channel_bytes);
    return rc_uplink_queued(clients->uplink) ? -EAGAIN : rc_uplink_write(clients->uplink, RC_UP_PUBLISH, &view);
}

void rc_pusher_members_flush(struct rc_pushers *pushers)
{
    size_t at = 0;
    while (at < pushers->telling_bytes) {
        struct telling head;
        memcpy(&head, pushers->telling + at, sizeof(head));
        if (member_publish(pushers, &head, pushers->telling + at + sizeof(head)) == -EAGAIN) {
            break;
        }
        at += sizeof(head) + head.channel_bytes + head.event_bytes + head.data_bytes;
    }
    if (at > 0) {
        memmove(pushers->telling, pushers->telling + at, pushers->telling_bytes - at);
        pushers->telling_bytes -= at;
    }
}

/* Behind what waits. What finds no room is lost: who is there hears it when it subscribes again. */
void rc_pusher_member_tell(struct rc_pushers *pushers, struct rc_span channel, struct rc_span event,
                           struct rc_span data, const struct rc_client_ref *except)
{
    const struct telling head = {.except = *except,
                                 .data_bytes = (uint32_t)data.count,
                                 .channel_bytes = (uint8_t)channel.count,
                                 .event_bytes = (uint8_t)event.count};
    const size_t bytes = sizeof(head) + channel.count + event.count + data.count;
    const size_t need = pushers->telling_bytes + bytes;
    if (need > pushers->telling_room && need <= TELLING_BYTES_MAX) {
        uint8_t *larger = realloc(pushers->telling, 2 * need);
        if (larger != NULL) {
            pushers->telling = larger;
            pushers->telling_room = 2 * need;
        }
    }
    if (need > pushers->telling_room || need > TELLING_BYTES_MAX) {
        rc_metric_add(pushers->clients->metrics, RC_METRIC_PUSHER_MEMBERS_LOST, 1);
        rc_log_limited(RC_LOG_WARN, 1, "pusher_members_lost", "channel=\"%.*s\" reason=\"the ring is full\"",
                       (int)channel.count, (const char *)channel.bytes);
        return;
    }
    uint8_t *out = pushers->telling + pushers->telling_bytes;
    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), channel.bytes, channel.count);
    memcpy(out + sizeof(head) + channel.count, event.bytes, event.count);
    memcpy(out + sizeof(head) + channel.count + event.count, data.bytes, data.count);
    pushers->telling_bytes = need;
    rc_pusher_members_flush(pushers);
}

/* {"user_id":"1","user_info":{…}} as a JSON string. */
static void tell_member(struct rc_pushers *pushers, struct rc_span channel, bool added, struct rc_span user,
                        struct rc_span info, const struct rc_client_ref *except)
{
    const size_t inner = WORDS_BYTES + RC_JSON_STRING_BYTES_MAX(user.count) + info.count;
    uint8_t *text = rc_pusher_room(pushers, 3 * inner + 2);
    if (text == NULL) {
        rc_metric_add(pushers->clients->metrics, RC_METRIC_PUSHER_MEMBERS_LOST, 1);
        return;
    }
    uint8_t *out = text;
    out += sprintf((char *)out, "{\"user_id\":");
    out += rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(user.count), user);
    if (added && info.count > 0) {
        out += sprintf((char *)out, ",\"user_info\":");
        memcpy(out, info.bytes, info.count);
        out += info.count;
    }
    *out++ = '}';
    uint8_t *data = text + inner;
    const size_t bytes = rc_json_string_encode(data, 2 * inner + 2, rc_span_of(text, (size_t)(out - text)));
    rc_pusher_member_tell(pushers, channel,
                          added ? RC_SPAN("pusher_internal:member_added") : RC_SPAN("pusher_internal:member_removed"),
                          rc_span_of(data, bytes), except);
}

static void tell_count(struct rc_pushers *pushers, struct rc_span channel, uint32_t clients)
{
    const struct rc_client_ref nobody = {0};
    char data[64];
    const int bytes = snprintf(data, sizeof(data), "\"{\\\"subscription_count\\\":%u}\"", clients);
    rc_pusher_member_tell(pushers, channel, RC_SPAN("pusher_internal:subscription_count"),
                          rc_span_of(data, (size_t)bytes), &nobody);
}

static void count_told(struct rc_pushers *pushers, uint32_t app, struct rc_span channel, uint32_t clients)
{
    if (pushers->clients->config->pusher_apps[app].subscription_count && clients > 0) {
        tell_count(pushers, channel, clients);
    }
    rc_webhook_count(&pushers->webhooks, app, channel, clients);
}

void rc_pusher_counts_tell(struct rc_pushers *pushers, bool all)
{
    const uint64_t now_ms = pushers->clients->io->now_ns / 1000000u;
    struct rc_span channel;
    struct rc_span name;
    uint32_t clients;
    uint32_t at = 0;
    while (rc_pusher_counts_next(&pushers->counts, now_ms, all, &at, &channel, &clients)) {
        const int app = rc_pusher_app_of_channel(pushers->clients->config, channel, &name);
        if (app >= 0) { /* else it is not configured any more */
            count_told(pushers, (uint32_t)app, channel, clients);
        }
    }
}

static void told_member(struct rc_pushers *pushers, uint32_t app, struct rc_span channel,
                        const struct rc_member_told *told, struct rc_span user, struct rc_span info,
                        const struct rc_client_ref *ref)
{
    if (told->changes & RC_MEMBER_ADDED) {
        tell_member(pushers, channel, true, user, info, ref);
        rc_webhook_member(&pushers->webhooks, app, RC_PUSHER_MEMBER_ADDED, channel, user);
    } else if (told->changes & RC_MEMBER_REMOVED) {
        tell_member(pushers, channel, false, user, info, ref);
        rc_webhook_member(&pushers->webhooks, app, RC_PUSHER_MEMBER_REMOVED, channel, user);
    }
}

void rc_pusher_member_told(struct rc_pushers *pushers, const struct rc_envelope_view *view)
{
    const struct rc_config *config = pushers->clients->config;
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_member_told told;
    struct rc_span name;
    const int app = rc_pusher_app_of_channel(config, channel, &name);
    if (app < 0 || view->head.data_bytes < sizeof(told)) {
        return; /* it is not configured any more */
    }
    memcpy(&told, view->data, sizeof(told));
    const uint32_t rest = view->head.data_bytes - (uint32_t)sizeof(told);
    if (told.user_bytes > rest || told.user_bytes > UINT8_MAX || rest - told.user_bytes > RC_MEMBER_INFO_MAX) {
        rc_metric_add(pushers->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    const struct rc_span user = rc_span_of(view->data + sizeof(told), told.user_bytes);
    const struct rc_span info = rc_span_of(user.bytes + user.count, rest - told.user_bytes);
    const uint32_t kind = rc_pusher_kind_of(name);
    const bool presence = (kind & RC_PUSHER_PRESENCE) != 0;
    if (kind & RC_PUSHER_WATCH) {
        uint8_t news[RC_PUSHER_WATCH_NEWS_MAX];
        const size_t bytes = rc_pusher_watch_news(name, told.changes, news);
        if (bytes > 0) { /* who it is, if it is one of this host's, is told by an answer if at all */
            rc_pusher_member_tell(pushers, channel, RC_SPAN(RC_PUSHER_WATCH_EVENT), rc_span_of(news, bytes),
                                  &view->head.origin);
        }
        return;
    }
    if (told.changes & RC_MEMBER_OCCUPIED) {
        rc_webhook_channel(&pushers->webhooks, (uint32_t)app, RC_PUSHER_OCCUPIED, channel);
    }
    if (presence && user.count > 0) {
        told_member(pushers, (uint32_t)app, channel, &told, user, info, &view->head.origin);
    } else if (!presence && user.count == 0 && (told.changes & RC_MEMBER_COUNTED)) {
        if (rc_pusher_counts_put(&pushers->counts, view->head.channel_hash, channel, told.clients,
                                 pushers->clients->io->now_ns / 1000000u)) {
            count_told(pushers, (uint32_t)app, channel, told.clients);
        }
    }
    if (told.changes & RC_MEMBER_VACATED) {
        rc_webhook_channel(&pushers->webhooks, (uint32_t)app, RC_PUSHER_VACATED, channel);
    }
}
