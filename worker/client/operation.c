/* operation: what clients ask for, checked and carried out. See client.h and docs/protocol.md. */
#include "worker/client/client.h"

#include <errno.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "worker/gate/permission.h"
#include "worker/ws/frame.h"

/* One request being carried out. */
struct request {
    struct rc_sessions *sessions;
    uint32_t client;
    const struct rc_operation *operation;
};

static void request_reply(const struct request *request, const struct rc_event *event)
{
    if (rc_hub_reply_event(request->sessions->hub, request->client, event) < 0) {
        rc_client_failed_memory(request->sessions, request->client);
    }
}

static void request_error(const struct request *request, enum rc_code code, struct rc_span message)
{
    const struct rc_event event = {.type = RC_EVENT_ERROR,
                                   .code = code,
                                   .id = request->operation->id,
                                   .channel = request->operation->channel,
                                   .message = message};
    request_reply(request, &event);
}

static const struct rc_config_namespace *request_namespace(const struct request *request)
{
    const struct rc_span channel = request->operation->channel;
    return rc_config_namespace_of(request->sessions->config, (const char *)channel.bytes, channel.count);
}

/* Not allowed by a rule: 401 to the anonymous whom being a user would help, else 403. */
static void request_refuse(const struct request *request, enum rc_who who, struct rc_span message)
{
    const struct rc_span user = rc_session_user(request->sessions, request->client);
    const bool unknown = rc_permission_refusal(who, user) == RC_CODE_UNAUTHORIZED;
    request_error(request, unknown ? RC_CODE_UNAUTHORIZED : RC_CODE_FORBIDDEN,
                  unknown ? RC_SPAN("only users may do this, and you are anonymous") : message);
}

/* Answers done, if the client asked for an answer. */
static void request_done(const struct request *request, enum rc_event_type type)
{
    if (request->operation->id.count > 0) {
        const struct rc_event event = {
            .type = type, .id = request->operation->id, .channel = request->operation->channel};
        request_reply(request, &event);
    }
}

/* Is the name one that a client may use? Answers if not. */
static bool request_channel_ok(const struct request *request)
{
    const struct rc_span channel = request->operation->channel;
    const int rc = rc_channel_name_check((const char *)channel.bytes, channel.count,
                                         request->sessions->config->limits.max_channel_name);
    if (rc < 0) {
        request_error(request, RC_CODE_BAD_REQUEST,
                      rc == -ENAMETOOLONG ? RC_SPAN("the channel's name is too long")
                                          : RC_SPAN("the channel's name has characters that are not allowed"));
        return false;
    }
    return true;
}

static void request_subscribe(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    const struct rc_span name = request->operation->channel;
    if (!request_channel_ok(request)) {
        return;
    }
    if (rc_permission_reserved(name)) {
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("this channel is joined by the server only"));
        return;
    }
    if (!rc_permission_subscribe(sessions->config, rc_session_user(sessions, request->client), name)) {
        request_refuse(request, request_namespace(request)->subscribe,
                       RC_SPAN("you may not subscribe to this channel"));
        return;
    }
    switch (rc_hub_subscribe_name(sessions->hub, request->client, name, RC_SUBSCRIBER_CLIENT, request->operation->id)) {
    case RC_SUBSCRIBED:
        request_done(request, RC_EVENT_SUBSCRIBED);
        return;
    case RC_SUBSCRIBE_WAITS:
        return;
    case RC_SUBSCRIBE_LIMITED:
        request_error(request, RC_CODE_LIMITED, RC_SPAN("too many channels on this connection"));
        return;
    case RC_SUBSCRIBE_NO_ROOM:
        request_error(request, RC_CODE_UNAVAILABLE,
                      RC_SPAN("no room for more channels or subscriptions on this server"));
        return;
    }
}

/*
 * Does the operation come behind a subscribe request of the same connection to its channel that the relay has not answered yet? Then
 * it waits: who subscribes and publishes expects to get the message, and who unsubscribes expects to be out. The connection goes on
 * when none of its requests waits any more, which the relay bounds (Redis gets 2 s to confirm). The channel's list may be long, so
 * it is not searched: another connection's request to it and one of this connection to another channel are waited for as well.
 */
static bool request_waits(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    struct rc_client *client = rc_truth_client(sessions->truth, request->client);
    const struct rc_span name = request->operation->channel;
    if (client->pending_count == 0) {
        return false;
    }
    const uint32_t channel = rc_hub_find(sessions->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel == 0 || rc_truth_channel(sessions->truth, channel)->pending == 0) {
        return false;
    }
    if (request->operation->type != RC_OPERATION_UNSUBSCRIBE &&
        rc_hub_subscription(sessions->hub, request->client, channel) != 0) {
        return false; /* it only asks again how far the promise reaches */
    }
    client->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    return true;
}

/* False as below. */
static bool request_unsubscribe(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    const struct rc_span name = request->operation->channel;
    if (!request_channel_ok(request)) {
        return true;
    }
    if (rc_permission_reserved(name)) {
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("this channel is joined by the server only"));
        return true;
    }
    if (request_waits(request)) {
        return false;
    }
    const uint32_t channel = rc_hub_find(sessions->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscription(sessions->hub, request->client, channel);
    if (subscription != 0) {
        rc_hub_unsubscribe(sessions->hub, request->client, subscription);
    }
    request_done(request, RC_EVENT_UNSUBSCRIBED);
    return true;
}

/* The excluded clients of this host as refs; those of other hosts as text. */
static void request_excludes(const struct request *request, struct rc_client_ref *refs, char *text,
                             struct rc_envelope_view *view)
{
    const struct rc_sessions *sessions = request->sessions;
    const struct rc_operation *operation = request->operation;
    for (uint32_t i = 0; i < operation->exclude_count; i++) {
        const struct rc_span id = operation->exclude[i];
        struct rc_client_ref ref;
        switch (rc_client_id_read((const char *)id.bytes, id.count, sessions->control->instance_id,
                                  sessions->control->boot_nonce, &ref)) {
        case RC_CLIENT_ID_LOCAL:
            refs[view->head.exclude_count++] = ref;
            break;
        case RC_CLIENT_ID_FOREIGN:
            memcpy(text + view->head.exclude_text_bytes, id.bytes, id.count);
            text[view->head.exclude_text_bytes + id.count] = 0;
            view->head.exclude_text_bytes += (uint32_t)id.count + 1;
            break;
        case RC_CLIENT_ID_INVALID:
        case RC_CLIENT_ID_STALE:
            break; /* nobody */
        }
    }
    view->excludes = (const uint8_t *)refs;
    view->exclude_text = text;
}

/* False: there is no room for it now. */
static bool request_send_up(const struct request *request, enum rc_record_type type, struct rc_envelope_view *view,
                            enum rc_metric_id metric)
{
    struct rc_sessions *sessions = request->sessions;
    const struct rc_operation *operation = request->operation;
    view->head.time_ns = sessions->io->now_ns;
    view->head.origin = rc_session_ref(sessions, request->client);
    view->head.data_bytes = (uint32_t)operation->data.count;
    view->head.event_bytes = (uint8_t)operation->event.count;
    view->event = (const char *)operation->event.bytes;
    view->head.request_id_bytes = (uint8_t)operation->id.count;
    view->head.flags |= (uint16_t)((operation->id.count > 0 ? RC_ENVELOPE_WANT_ANSWER : 0u) |
                                   (operation->data_kind == RC_DATA_BINARY ? RC_ENVELOPE_BINARY : 0u));
    view->request_id = operation->id.bytes;
    view->data = operation->data.bytes;
    const int rc = rc_uplink_queued(sessions->uplink) ? -EAGAIN : rc_uplink_write(sessions->uplink, type, view);
    if (rc == -EAGAIN) {
        return false;
    }
    if (rc < 0) {
        request_error(request, RC_CODE_TOO_LARGE, RC_SPAN("the message does not fit the server's rings"));
    } else {
        rc_metric_add(sessions->metrics, metric, 1);
    }
    return true;
}

static bool request_publish(const struct request *request, struct rc_span channel, uint32_t flags)
{
    struct rc_client_ref refs[RC_EXCLUDE_MAX];
    char text[RC_EXCLUDE_MAX * (RC_CLIENT_ID_BYTES_MAX + 1)];
    struct rc_envelope_view view = {.channel = (const char *)channel.bytes};
    view.head.channel_hash = rc_channel_hash(view.channel, channel.count);
    view.head.channel_bytes = (uint8_t)channel.count;
    view.head.key_bytes = (uint8_t)request->operation->key.count;
    view.key = request->operation->key.bytes;
    view.head.flags = (uint16_t)(flags | (request->operation->echo ? 0u : RC_ENVELOPE_NO_ECHO));
    request_excludes(request, refs, text, &view);
    return request_send_up(request, RC_UP_PUBLISH, &view,
                           (flags & RC_ENVELOPE_BROADCAST) ? RC_METRIC_BROADCASTS : RC_METRIC_PUBLISHES);
}

static bool request_channel_publish(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    const struct rc_span channel = request->operation->channel;
    if (!request_channel_ok(request)) {
        return true;
    }
    if (rc_permission_reserved(channel)) {
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("only the server publishes to this channel"));
    } else if (!rc_permission_publish(sessions->config, rc_session_user(sessions, request->client), channel)) {
        request_refuse(request, request_namespace(request)->publish, RC_SPAN("you may not publish to this channel"));
    } else {
        return !request_waits(request) && request_publish(request, channel, 0);
    }
    return true;
}

static bool request_broadcast(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    if (!rc_permission_allows(sessions->config->permissions.broadcast, rc_session_user(sessions, request->client),
                              (struct rc_span){0})) {
        request_refuse(request, sessions->config->permissions.broadcast, RC_SPAN("you may not broadcast"));
        return true;
    }
    return request_publish(request, RC_SPAN("*"), RC_ENVELOPE_BROADCAST);
}

static bool request_direct(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    if (!rc_permission_allows(sessions->config->permissions.direct, rc_session_user(sessions, request->client),
                              (struct rc_span){0})) {
        request_refuse(request, sessions->config->permissions.direct, RC_SPAN("you may not send direct messages"));
        return true;
    }
    struct rc_envelope_view view = {0};
    const struct rc_span to = request->operation->to;
    switch (rc_client_id_read((const char *)to.bytes, to.count, sessions->control->instance_id,
                              sessions->control->boot_nonce, &view.head.target)) {
    case RC_CLIENT_ID_LOCAL:
        return request_send_up(request, RC_UP_DIRECT, &view, RC_METRIC_DIRECTS);
    case RC_CLIENT_ID_FOREIGN:
        if (sessions->config->redis.url.text[0] != '\0') {
            /* Whether that client is there, only its own instance knows: `sent` says that it was handed on. */
            view.head.target = (struct rc_client_ref){.random = 1, .worker = RC_WORKER_FOREIGN};
            view.channel = (const char *)to.bytes;
            view.head.channel_bytes = (uint8_t)to.count;
            return request_send_up(request, RC_UP_DIRECT, &view, RC_METRIC_DIRECTS);
        }
        break;
    case RC_CLIENT_ID_STALE:
    case RC_CLIENT_ID_INVALID:
        break;
    }
    rc_metric_add(sessions->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    request_error(request, RC_CODE_NOT_FOUND, RC_SPAN("no such client"));
    return true;
}

/* Who may, then it is the relay's to know: presence.c tells the client. False as below. */
static bool request_presence(const struct request *request)
{
    struct rc_sessions *sessions = request->sessions;
    const struct rc_operation *operation = request->operation;
    const struct rc_span name = operation->channel;
    if (!request_channel_ok(request)) {
        return true;
    }
    if (request_waits(request)) {
        return false;
    }
    const struct rc_config_namespace *space = request_namespace(request);
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    const uint32_t channel = rc_hub_find(sessions->hub, hash, name);
    if (!space->presence) {
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("presence is off for this channel's namespace"));
    } else if (rc_permission_reserved(name)) {
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("only the server knows who is in this channel"));
    } else if (!rc_permission_allows(space->presence_who, rc_session_user(sessions, request->client), name)) {
        request_refuse(request, space->presence_who, RC_SPAN("you may not see who is in this channel"));
    } else if (channel == 0 || rc_hub_subscription(sessions->hub, request->client, channel) == 0) {
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("subscribe to this channel to see who is in it"));
    } else {
        const int rc = rc_uplink_queued(sessions->uplink)
                           ? -EAGAIN
                           : rc_session_ask_presence(sessions, request->client, name, operation->limit, operation->id);
        if (rc == -EAGAIN) {
            return false;
        }
        if (rc < 0) {
            request_error(request, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
        }
    }
    return true;
}

/* False: it needs room in the up ring, or waits as request_waits says. */
static bool request_run(const struct request *request)
{
    switch (request->operation->type) {
    case RC_OPERATION_SUBSCRIBE:
        request_subscribe(request);
        return true;
    case RC_OPERATION_UNSUBSCRIBE:
        return request_unsubscribe(request);
    case RC_OPERATION_PUBLISH:
        return request_channel_publish(request);
    case RC_OPERATION_BROADCAST:
        return request_broadcast(request);
    case RC_OPERATION_DIRECT:
        return request_direct(request);
    case RC_OPERATION_PRESENCE:
        return request_presence(request);
    case RC_OPERATION_HISTORY:
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("history is off for this channel's namespace"));
        return true;
    case RC_OPERATION_PING:
        /* A ping is a question by itself: it is answered with or without an id. */
        request_reply(request, &(struct rc_event){.type = RC_EVENT_PONG, .id = request->operation->id});
        return true;
    case RC_OPERATION_ECHO:
        request_reply(request, &(struct rc_event){.type = RC_EVENT_ECHO,
                                                  .data = request->operation->data,
                                                  .data_kind = request->operation->data_kind});
        return true;
    }
    return true;
}

bool rc_session_message(struct rc_sessions *sessions, uint32_t client, uint8_t opcode, const uint8_t *bytes,
                        size_t count, uint32_t *done)
{
    const struct rc_client *its = rc_truth_client(sessions->truth, client);
    const struct rc_config_endpoint *endpoint =
        its->endpoint == RC_ENDPOINT_PATH ? NULL : &sessions->config->endpoints[its->endpoint];
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    uint32_t seen = 0;
    rc_reader_begin(&reader, rc_encoding_codec_of(its->encoding),
                    opcode == RC_WS_BINARY ? RC_PART_BINARY : RC_PART_TEXT, rc_span_of(bytes, count),
                    &sessions->scratch, endpoint);
    int rc;
    while (its->state == RC_CLIENT_OPEN && (rc = rc_reader_next(&reader, &operation, &error)) != 0) {
        if (seen++ < *done) {
            continue;
        }
        const struct request request = {.sessions = sessions, .client = client, .operation = &operation};
        if (rc < 0) {
            const struct rc_event event = {
                .type = RC_EVENT_ERROR, .code = error.code, .id = error.id, .message = rc_span_text(error.message)};
            request_reply(&request, &event);
        } else if (!request_run(&request)) {
            return false;
        }
        *done = seen;
    }
    return true;
}

void rc_session_join(struct rc_sessions *sessions, uint32_t client, struct rc_span name)
{
    if (rc_span_equal(name, RC_SPAN("*"))) {
        rc_truth_client(sessions->truth, client)->flags |= RC_CLIENT_EVERYBODY;
        return;
    }
    switch (rc_hub_subscribe_name(sessions->hub, client, name, RC_SUBSCRIBER_SERVER, (struct rc_span){0})) {
    case RC_SUBSCRIBED:
    case RC_SUBSCRIBE_WAITS:
        return;
    case RC_SUBSCRIBE_LIMITED:
    case RC_SUBSCRIBE_NO_ROOM:
        rc_hub_break(sessions->hub, client); /* it would never hear what it relies on, without a word */
        return;
    }
}
