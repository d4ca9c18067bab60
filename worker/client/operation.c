/* operation: what clients ask for, checked and carried out. See client.h and docs/protocol.md. */
#include "worker/client/client.h"
#include "worker/client/question.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/records/select.h"
#include "common/base/check.h"
#include "common/records/socket_id.h"
#include "worker/gate/permission.h"
#include "worker/limits/limits.h"
#include "worker/ws/frame.h"

/* One request being carried out. */
struct request {
    struct rc_clients *clients;
    uint32_t client;
    enum rc_author author;
    const struct rc_operation *operation;
};

static void request_reply(const struct request *request, const struct rc_event *event)
{
    if (rc_hub_reply_event(request->clients->hub, request->client, event) < 0) {
        rc_client_failed_memory(request->clients, request->client);
    }
}

static void request_error(const struct request *request, enum rc_code code, struct rc_span message)
{
    if (request->author != RC_AUTHOR_CLIENT) {
        return; /* it learns by the result */
    }
    rc_client_trace(request->clients, request->client, request->operation, RC_TRACE_REFUSED, code, message);
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
    return rc_config_namespace_of(request->clients->config, (const char *)channel.bytes, channel.count);
}

/* Not allowed by a rule: 401 to the anonymous whom being a user would help, else 403. */
static void request_refuse(const struct request *request, enum rc_who who, struct rc_span message)
{
    const struct rc_span user = rc_client_user(request->clients, request->client);
    const bool unknown = rc_permission_refusal(who, user) == RC_CODE_UNAUTHORIZED;
    request_error(request, unknown ? RC_CODE_UNAUTHORIZED : RC_CODE_FORBIDDEN,
                  unknown ? RC_SPAN("only users may do this, and you are anonymous") : message);
}

/* Answers done, if the client asked for an answer. */
static void request_done(const struct request *request, enum rc_event_type type)
{
    if (request->author == RC_AUTHOR_CLIENT && request->operation->id.count > 0) {
        const struct rc_event event = {
            .type = type, .id = request->operation->id, .channel = request->operation->channel};
        request_reply(request, &event);
    }
}

bool rc_client_is_in(struct rc_clients *clients, uint32_t client, struct rc_span name)
{
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    return channel != 0 && rc_hub_subscription(clients->hub, client, channel) != 0;
}

/* --- what each kind of author may ------------------------------------------------------------------------------------ */

static enum rc_who who_subscribes(const struct request *request)
{
    return request_namespace(request)->subscribe;
}

static enum rc_who who_publishes(const struct request *request)
{
    return request_namespace(request)->publish;
}

static enum rc_who who_sees_presence(const struct request *request)
{
    return request_namespace(request)->presence_who;
}

static enum rc_who who_reads_history(const struct request *request)
{
    return request_namespace(request)->history_who;
}

static enum rc_who who_broadcasts(const struct request *request)
{
    return request->clients->config->permissions.broadcast;
}

static enum rc_who who_sends_directs(const struct request *request)
{
    return request->clients->config->permissions.direct;
}

static enum rc_who who_is_nobody(const struct request *request)
{
    (void)request;
    return RC_WHO_NONE;
}

/* What each operation of a client needs. */
static const struct {
    enum rc_who (*who)(const struct request *request); /* whose word; NULL: anybody's */
    const char *refusal;                               /* why not */
    const char *reserved; /* why not in the server's own channels; NULL: the operation has no channel */
    bool depends;         /* on a subscribe request before it to the same channel: request_waits */
} permitted[] = {
    [RC_OPERATION_SUBSCRIBE] = {who_subscribes, "you may not subscribe to this channel",
                                "this channel is joined by the server only", false},
    [RC_OPERATION_UNSUBSCRIBE] = {NULL, "", "this channel is joined by the server only", true},
    [RC_OPERATION_PUBLISH] = {who_publishes, "you may not publish to this channel",
                              "only the server publishes to this channel", true},
    [RC_OPERATION_BROADCAST] = {who_broadcasts, "you may not broadcast", NULL, false},
    [RC_OPERATION_DIRECT] = {who_sends_directs, "you may not send direct messages", NULL, false},
    [RC_OPERATION_PRESENCE] = {who_sees_presence, "you may not see who is in this channel",
                               "only the server knows who is in this channel", true},
    [RC_OPERATION_HISTORY] = {who_reads_history, "you may not read the history of this channel",
                              "the history of this channel is the server's", true},
    [RC_OPERATION_PING] = {NULL, "", NULL, false},
    [RC_OPERATION_ECHO] = {NULL, "", NULL, false},
    [RC_OPERATION_DISCONNECT] = {who_is_nobody, "only the server sends clients away", NULL, false},
    [RC_OPERATION_RETAIN] = {who_is_nobody, "", NULL, false},
    [RC_OPERATION_AUTH] = {NULL, "", NULL, false},
    [RC_OPERATION_REFRESH] = {NULL, "", NULL, false},
    [RC_OPERATION_CONNECT] = {who_is_nobody, "", NULL, false},
    [RC_OPERATION_LEAVE] = {who_is_nobody, "", NULL, false},
    [RC_OPERATION_EVENT] = {who_is_nobody, "", NULL, false},
    [RC_OPERATION_ACK] = {who_is_nobody, "", NULL, false},
};

/* Is the name one that a client may use? Answers if not. */
static bool request_channel_ok(const struct request *request)
{
    const struct rc_span channel = request->operation->channel;
    const int rc = rc_channel_name_check((const char *)channel.bytes, channel.count,
                                         request->clients->config->limits.max_channel_name);
    if (rc < 0) {
        request_error(request, RC_CODE_BAD_REQUEST,
                      rc == -ENAMETOOLONG ? RC_SPAN("the channel's name is too long")
                                          : RC_SPAN("the channel's name has characters that are not allowed"));
        return false;
    }
    return true;
}

/* May the author have it done? Who may not is answered. What a backend's call may was judged with the call. */
static bool request_may(const struct request *request)
{
    const struct rc_operation *operation = request->operation;
    if (request->author == RC_AUTHOR_BACKEND) {
        return true;
    }
    const char *reserved = permitted[operation->type].reserved;
    if (rc_truth_client(request->clients->truth, request->client)->must_say && operation->type != RC_OPERATION_AUTH &&
        operation->type != RC_OPERATION_PING) {
        request_error(request, RC_CODE_UNAUTHORIZED, RC_SPAN("say who you are first: {\"type\":\"auth\",...}"));
        return false;
    }
    if (reserved != NULL && !request_channel_ok(request)) {
        return false;
    }
    if (operation->type == RC_OPERATION_PRESENCE && !request_namespace(request)->presence) {
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("presence is off for this channel's namespace"));
        return false;
    }
    if (operation->type == RC_OPERATION_HISTORY &&
        (request_namespace(request)->history == 0 || request->clients->config->limits.history_memory_bytes == 0)) {
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("history is off for this channel's namespace"));
        return false;
    }
    if (reserved != NULL && rc_client_channel_reserved(request->clients, operation->channel)) {
        request_error(request, RC_CODE_FORBIDDEN, rc_span_text(reserved));
        return false;
    }
    return true;
}

/* May it say what those who come later get first? Nobody's granting a publish says so. */
static bool request_may_retain(const struct request *request)
{
    const struct rc_span channel = request->operation->channel;
    const enum rc_who who = request_namespace(request)->retain;
    if (request->clients->config->limits.history_memory_bytes == 0) {
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("nothing is kept here: limits.history_memory is 0"));
        return false;
    }
    if (!rc_permission_allows(who, rc_client_user(request->clients, request->client), channel,
                              who == RC_WHO_MEMBER && rc_client_is_in(request->clients, request->client, channel))) {
        request_refuse(request, who, RC_SPAN("you may not set the retained value of this channel"));
        return false;
    }
    return true;
}

/* Do the rules of the configuration let the client have it done? */
static bool request_permitted(const struct request *request)
{
    const struct rc_operation *operation = request->operation;
    if (request->author == RC_AUTHOR_BACKEND || permitted[operation->type].who == NULL) {
        return true;
    }
    const enum rc_who who = permitted[operation->type].who(request);
    const struct rc_span user = rc_client_user(request->clients, request->client);
    if (!rc_permission_allows(who, user, operation->channel,
                              who == RC_WHO_MEMBER &&
                                  rc_client_is_in(request->clients, request->client, operation->channel))) {
        request_refuse(request, who, rc_span_text(permitted[operation->type].refusal));
        return false;
    }
    return true;
}

/* --- carrying out ---------------------------------------------------------------------------------------------------- */

/* May who subscribes read the channel's history? Who a backend let in, if it is for all who are in. */
static bool request_may_read_history(const struct request *request, bool granted)
{
    const struct rc_config_namespace *policy = request_namespace(request);
    const struct rc_span user = rc_client_user(request->clients, request->client);
    return (granted && policy->history_who == policy->subscribe) ||
           rc_permission_allows(policy->history_who, user, request->operation->channel,
                                policy->history_who == RC_WHO_MEMBER);
}

/* Where it begins. False: it wants of the history what it may not have, and is answered. */
static bool request_from(const struct request *request, bool granted, struct rc_hub_from *from)
{
    const struct rc_operation *operation = request->operation;
    const bool may = request_may_read_history(request, granted);
    const bool reads = operation->limit > 0 || operation->snapshot;
    *from = (struct rc_hub_from){
        .recovers = operation->recovers, .last = operation->limit, .snapshot = operation->snapshot};
    if (operation->limit > 0 && operation->snapshot) {
        request_error(request, RC_CODE_BAD_REQUEST, RC_SPAN("there can be only one of since and snapshot"));
        return false;
    }
    if (reads && request_namespace(request)->history == 0) {
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("history is off for this channel's namespace"));
        return false;
    }
    if (reads && !may) {
        request_refuse(request, request_namespace(request)->history_who,
                       RC_SPAN("you may not read the history of this channel"));
        return false;
    }
    if (operation->recovers && may) { /* else it is none of ours: not recovered */
        from->epoch = rc_epoch_read(operation->epoch);
        from->offset = operation->since;
    }
    from->former = rc_client_former(request->clients, operation);
    return true;
}

/* May who subscribes follow who comes and goes? It is in the channel then. */
static bool request_may_follow(const struct request *request)
{
    const struct rc_config_namespace *policy = request_namespace(request);
    const struct rc_span user = rc_client_user(request->clients, request->client);
    if (!policy->presence_events || request->operation->channel.count >= RC_CHANNEL_NAME_MAX) {
        request_error(request, RC_CODE_NOT_ENABLED, RC_SPAN("presence events are off for this channel's namespace"));
        return false;
    }
    if (!rc_permission_allows(policy->presence_who, user, request->operation->channel,
                              policy->presence_who == RC_WHO_MEMBER)) {
        request_refuse(request, policy->presence_who, RC_SPAN("you may not see who is in this channel"));
        return false;
    }
    return true;
}

static enum rc_carried request_subscribe(const struct request *request, bool granted)
{
    struct rc_clients *clients = request->clients;
    struct rc_hub_from from;
    const bool begins = request->operation->recovers || request->operation->limit > 0 || request->operation->snapshot;
    if (begins && !request_from(request, granted, &from)) {
        return RC_CARRIED_REFUSED;
    }
    if (request->operation->presence && !request_may_follow(request)) {
        return RC_CARRIED_REFUSED;
    }
    const enum rc_subscriber by = request->author == RC_AUTHOR_BACKEND ? RC_SUBSCRIBER_BACKEND : RC_SUBSCRIBER_CLIENT;
    const uint8_t values = !request->operation->retained ? 0
                           : by == RC_SUBSCRIBER_BACKEND ? RC_PENDING_VALUES
                                                         : RC_PENDING_RETAINED;
    const bool delta = request->operation->delta && request_namespace(request)->delta == RC_DELTA_FOSSIL;
    const uint8_t wants = (uint8_t)(values | (delta ? RC_PENDING_DELTA : 0));
    const struct rc_span id = request->author == RC_AUTHOR_CLIENT ? request->operation->id : (struct rc_span){0};
    enum rc_subscribed subscribed = rc_hub_subscribe_from(clients->hub, request->client, request->operation->channel,
                                                          by, id, wants, begins ? &from : NULL);
    if (request->operation->presence && (subscribed == RC_SUBSCRIBED || subscribed == RC_SUBSCRIBE_WAITS)) {
        subscribed = rc_client_presence_begin(clients, request->client, request->operation->channel);
    }
    switch (subscribed) {
    case RC_SUBSCRIBED:
    case RC_SUBSCRIBE_WAITS:
        return RC_CARRIED_OUT;
    case RC_SUBSCRIBE_LIMITED:
        request_error(request, RC_CODE_LIMITED, RC_SPAN("too many channels on this connection"));
        return RC_CARRIED_REFUSED;
    case RC_SUBSCRIBE_NO_ROOM:
        request_error(request, RC_CODE_UNAVAILABLE,
                      RC_SPAN("no room for more channels or subscriptions on this server"));
        return RC_CARRIED_REFUSED;
    }
    return RC_CARRIED_REFUSED;
}

/*
 * Does the operation come behind a subscribe request of the same connection to its channel that the relay has not answered yet? Then
 * it waits: who subscribes and publishes expects to get the message, and who unsubscribes expects to be out. The connection goes on
 * when none of its requests waits any more, which the relay bounds (Redis gets 2 s to confirm). The channel's list may be long, so
 * it is not searched: another connection's request to it and one of this connection to another channel are waited for as well.
 */
static bool request_waits(const struct request *request)
{
    struct rc_clients *clients = request->clients;
    struct rc_client *client = rc_truth_client(clients->truth, request->client);
    const struct rc_span name = request->operation->channel;
    if (client->pending_count == 0) {
        return false;
    }
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel == 0 || rc_truth_channel(clients->truth, channel)->pending == 0) {
        return false;
    }
    if (request->operation->type != RC_OPERATION_UNSUBSCRIBE &&
        rc_hub_subscription(clients->hub, request->client, channel) != 0) {
        return false; /* it only asks again how far the promise reaches */
    }
    client->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    return true;
}

/* Subscribe requests of the client to the channel that still wait for the relay get their one answer now. True: there were some. */
static bool request_cancel(const struct request *request, uint32_t channel)
{
    struct rc_hub *hub = request->clients->hub;
    const struct rc_span name = request->operation->channel;
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    uint8_t id[RC_REQUEST_ID_MAX];
    uint8_t id_bytes = 0;
    bool any = false;
    while (rc_hub_find(hub, hash, name) == channel &&
           rc_hub_wait_cancel(hub, request->client, channel, id, &id_bytes)) {
        any = true;
        const struct rc_event event = {.type = RC_EVENT_ERROR,
                                       .code = RC_CODE_CONFLICT,
                                       .id = rc_span_of(id, id_bytes),
                                       .channel = name,
                                       .message = RC_SPAN("unsubscribed before it was registered")};
        if (id_bytes > 0 && rc_hub_reply_event(hub, request->client, &event) < 0) {
            rc_client_failed_memory(request->clients, request->client);
            break;
        }
    }
    return any;
}

static enum rc_carried request_unsubscribe(const struct request *request)
{
    struct rc_clients *clients = request->clients;
    const struct rc_span name = request->operation->channel;
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscription(clients->hub, request->client, channel);
    bool was = subscription != 0;
    rc_client_presence_end(clients, request->client, name);
    if (was) {
        rc_hub_unsubscribe(clients->hub, request->client, subscription);
    } else if (channel != 0) {
        was = request_cancel(request, channel);
    }
    request_done(request, RC_EVENT_UNSUBSCRIBED);
    return was ? RC_CARRIED_OUT : RC_CARRIED_REFUSED;
}

/* The excluded clients of this host as refs; those of other hosts as text. */
static void request_excludes(const struct request *request, struct rc_client_ref *refs, char *text,
                             struct rc_envelope_view *view)
{
    const struct rc_clients *clients = request->clients;
    const struct rc_operation *operation = request->operation;
    for (uint32_t i = 0; i < operation->exclude_count; i++) {
        const struct rc_span id = operation->exclude[i];
        struct rc_client_ref ref;
        switch (rc_any_client_id_read((const char *)id.bytes, id.count, clients->control->instance_id,
                                      clients->control->boot_nonce, &ref)) {
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

static enum rc_carried request_send_up(const struct request *request, enum rc_record_type type,
                                       struct rc_envelope_view *view, enum rc_metric_id metric)
{
    struct rc_clients *clients = request->clients;
    const struct rc_operation *operation = request->operation;
    view->head.time_ns = clients->io->now_ns;
    view->head.origin = rc_client_ref(clients, request->client);
    view->head.data_bytes = (uint32_t)operation->data.count;
    view->head.event_bytes = (uint8_t)operation->event.count;
    view->event = (const char *)operation->event.bytes;
    view->head.request_id_bytes = (uint8_t)operation->id.count;
    view->head.flags |= (uint16_t)((operation->id.count > 0 ? RC_ENVELOPE_WANT_ANSWER : 0u) |
                                   (operation->data_kind == RC_DATA_BINARY ? RC_ENVELOPE_BINARY : 0u) |
                                   (operation->data_kind == RC_DATA_ARGS ? RC_ENVELOPE_ARGS : 0u) |
                                   (operation->is_volatile ? RC_ENVELOPE_VOLATILE : 0u));
    view->request_id = operation->id.bytes;
    view->data = operation->data.bytes;
    view->head.flags |= rc_client_trace(clients, request->client, operation, RC_TRACE_UP, 0, (struct rc_span){0});
    const int rc = rc_uplink_queued(clients->uplink) ? -EAGAIN : rc_uplink_write(clients->uplink, type, view);
    if (rc == -EAGAIN) {
        return RC_CARRIED_LATER;
    }
    if (rc < 0) {
        request_error(request, RC_CODE_TOO_LARGE, RC_SPAN("the message does not fit the server's rings"));
        return RC_CARRIED_REFUSED;
    }
    rc_metric_add(clients->metrics, metric, 1);
    return RC_CARRIED_OUT;
}

/* For several rooms, or with such whose members do not get it. */
static __attribute__((noinline)) enum rc_carried request_select(const struct request *request, struct rc_span channel,
                                                                struct rc_envelope_view *view)
{
    char text[RC_SELECT_BYTES];
    rc_select_write(view, channel, request->operation->rooms, request->operation->except, text);
    return request_send_up(request, RC_UP_SELECT, view, RC_METRIC_PUBLISHES);
}

static enum rc_carried request_publish(const struct request *request, struct rc_span channel, uint32_t flags)
{
    struct rc_client_ref refs[RC_EXCLUDE_MAX];
    char text[RC_EXCLUDE_MAX * (RC_CLIENT_ID_BYTES_MAX + 1)];
    struct rc_envelope_view view = {.channel = (const char *)channel.bytes};
    view.head.channel_hash = rc_channel_hash(view.channel, channel.count);
    view.head.channel_bytes = (uint8_t)channel.count;
    view.head.key_bytes = (uint8_t)request->operation->key.count;
    view.key = request->operation->key.bytes;
    view.head.flags = (uint16_t)(flags | (request->operation->echo ? 0u : RC_ENVELOPE_NO_ECHO) |
                                 (request->operation->retain ? RC_ENVELOPE_RETAIN : 0u));
    request_excludes(request, refs, text, &view);
    if (request->operation->type == RC_OPERATION_RETAIN) {
        return request_send_up(request, RC_UP_RETAIN, &view, RC_METRIC_RETAINED);
    }
    if (request->operation->rooms.count > 0 || request->operation->except.count > 0) {
        return request_select(request, channel, &view);
    }
    return request_send_up(request, RC_UP_PUBLISH, &view,
                           (flags & RC_ENVELOPE_BROADCAST) ? RC_METRIC_BROADCASTS : RC_METRIC_PUBLISHES);
}

static enum rc_carried request_direct(const struct request *request)
{
    struct rc_clients *clients = request->clients;
    struct rc_envelope_view view = {0};
    const struct rc_span to = request->operation->to;
    struct rc_sid sid;
    char nsp[RC_CHANNEL_NAME_MAX];
    if (request->operation->nsp.count > 0 && rc_sid_read(&sid, to)) { /* a socket of a namespace, on this host */
        view.head.target = sid.client;
        view.head.channel_bytes =
            (uint8_t)rc_channel_of_room(nsp, sizeof(nsp), request->operation->nsp, (struct rc_span){0});
        view.channel = nsp;
        return request_send_up(request, RC_UP_DIRECT, &view, RC_METRIC_DIRECTS);
    }
    switch (rc_client_id_read((const char *)to.bytes, to.count, clients->control->instance_id,
                              clients->control->boot_nonce, &view.head.target)) {
    case RC_CLIENT_ID_LOCAL:
        return request_send_up(request, RC_UP_DIRECT, &view, RC_METRIC_DIRECTS);
    case RC_CLIENT_ID_FOREIGN:
        if (clients->config->redis.url.text[0] != '\0') {
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
    rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    request_error(request, RC_CODE_NOT_FOUND, RC_SPAN("no such client"));
    return RC_CARRIED_REFUSED;
}

/* It is the relay's to know: presence.c tells the client. */
static enum rc_carried request_presence(const struct request *request)
{
    struct rc_clients *clients = request->clients;
    const struct rc_operation *operation = request->operation;
    const struct rc_span name = operation->channel;
    if (!rc_client_is_in(clients, request->client, name)) {
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("subscribe to this channel to see who is in it"));
        return RC_CARRIED_REFUSED;
    }
    const int rc = rc_uplink_queued(clients->uplink)
                       ? -EAGAIN
                       : rc_client_ask_presence(clients, request->client, name, operation->limit, operation->id);
    if (rc == -EAGAIN) {
        return RC_CARRIED_LATER;
    }
    if (rc < 0) {
        request_error(request, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
        return RC_CARRIED_REFUSED;
    }
    return RC_CARRIED_OUT;
}

/* Likewise history.c. */
static enum rc_carried request_history(const struct request *request)
{
    struct rc_clients *clients = request->clients;
    const int rc = rc_uplink_queued(clients->uplink)
                       ? -EAGAIN
                       : rc_client_ask_history(clients, request->client, request->operation);
    if (rc == -EAGAIN) {
        return RC_CARRIED_LATER;
    }
    if (rc < 0) {
        request_error(request, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
        return RC_CARRIED_REFUSED;
    }
    return RC_CARRIED_OUT;
}

static enum rc_carried request_disconnect(const struct request *request)
{
    char reason[RC_WS_CLOSE_REASON_BYTES_MAX + 1];
    const struct rc_span text = request->operation->reason;
    const size_t bytes = text.count < sizeof(reason) - 1 ? text.count : sizeof(reason) - 1;
    memcpy(reason, text.bytes, bytes);
    reason[bytes] = '\0';
    rc_client_send_away(request->clients, request->client, request->operation->close_code, reason);
    return RC_CARRIED_OUT;
}

/* --- rates ----------------------------------------------------------------------------------------------------------- */

/* Rates of a channel namespace. */
static const struct request_rate {
    enum rc_operation_type type;
    enum rc_limit_kind kind;
    size_t rate; /* in struct rc_config_namespace */
    const char *what;
    bool of_bytes;
} rates[] = {
    {RC_OPERATION_SUBSCRIBE, RC_LIMIT_SUBSCRIBE, offsetof(struct rc_config_namespace, subscribe_rate),
     "subscribe requests", false},
    {RC_OPERATION_UNSUBSCRIBE, RC_LIMIT_UNSUBSCRIBE, offsetof(struct rc_config_namespace, unsubscribe_rate),
     "unsubscribe requests", false},
    {RC_OPERATION_PUBLISH, RC_LIMIT_PUBLISH, offsetof(struct rc_config_namespace, publish_rate), "messages", false},
    {RC_OPERATION_PUBLISH, RC_LIMIT_PUBLISH_BYTES, offsetof(struct rc_config_namespace, publish_rate_bytes),
     "bytes of messages", true},
};

#define RATES_OF_REQUEST_MAX 2u

/* What of it is counted. */
struct request_rates {
    uint32_t count;
    const char *whats[RATES_OF_REQUEST_MAX]; /* static */
    struct rc_limit_question questions[RATES_OF_REQUEST_MAX];
};

static void request_rates(const struct request *request, struct request_rates *found)
{
    const struct rc_clients *clients = request->clients;
    const struct rc_config_namespace *policy = NULL;
    found->count = 0;
    if (request->author != RC_AUTHOR_CLIENT || clients->limits == NULL) {
        return;
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(rates); i++) {
        if (rates[i].type != request->operation->type) {
            continue;
        }
        struct rc_config_rate rate;
        policy = policy == NULL ? request_namespace(request) : policy;
        memcpy(&rate, (const uint8_t *)policy + rates[i].rate, sizeof(rate));
        if (rate.count == 0) {
            continue;
        }
        found->whats[found->count] = rates[i].what;
        found->questions[found->count++] =
            (struct rc_limit_question){.kind = rates[i].kind,
                                       .name = rc_span_of(policy->name, policy->name_bytes),
                                       .user = rc_client_user(clients, request->client),
                                       .client = rc_client_ref(clients, request->client),
                                       .limit = {.count = rate.count, .window_ms = rate.window_ms},
                                       .cost = rates[i].of_bytes ? rc_limit_cost(request->operation->data.count) : 1};
    }
}

static void rates_unused(const struct request *request, const struct request_rates *its, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rc_limits_unused(request->clients->limits, &its->questions[i]);
    }
}

static enum rc_limit_answer request_within_rates(const struct request *request, const struct request_rates *its)
{
    char text[RC_LIMIT_TEXT_MAX];
    uint32_t retry_ms;
    for (uint32_t i = 0; i < its->count; i++) {
        switch (rc_limits_ask(request->clients->limits, &its->questions[i], &retry_ms)) {
        case RC_LIMIT_ALLOWED:
            break;
        case RC_LIMIT_WAITS:
            rates_unused(request, its, i); /* it is asked again with the rest */
            rc_truth_client(request->clients->truth, request->client)->flags |= RC_CLIENT_WAITS_ANSWER;
            return RC_LIMIT_WAITS;
        case RC_LIMIT_EXCEEDED:
            request_error(request, RC_CODE_LIMITED, rc_limit_text(text, its->whats[i], retry_ms));
            return RC_LIMIT_EXCEEDED;
        }
    }
    return RC_LIMIT_ALLOWED;
}

static enum rc_carried carry_out(const struct request *asked, bool granted)
{
    const struct request request = *asked;
    struct rc_clients *clients = request.clients;
    const uint32_t client = request.client;
    const struct rc_operation *operation = request.operation;
    rc_client_trace(clients, client, operation, RC_TRACE_RECEIVED, 0, (struct rc_span){0});
    if (!granted && !request_permitted(&request)) {
        return RC_CARRIED_REFUSED;
    }
    if (operation->retain && request.author == RC_AUTHOR_CLIENT && !request_may_retain(&request)) {
        return RC_CARRIED_REFUSED;
    }
    if (request.author == RC_AUTHOR_CLIENT && permitted[operation->type].depends && request_waits(&request)) {
        return RC_CARRIED_LATER;
    }
    switch (operation->type) {
    case RC_OPERATION_SUBSCRIBE:
        return request_subscribe(&request, granted);
    case RC_OPERATION_UNSUBSCRIBE:
        return request_unsubscribe(&request);
    case RC_OPERATION_PUBLISH:
    case RC_OPERATION_RETAIN:
        return request_publish(&request, operation->channel, 0);
    case RC_OPERATION_BROADCAST:
        return request_publish(&request, RC_SPAN("*"), RC_ENVELOPE_BROADCAST);
    case RC_OPERATION_DIRECT:
        return request_direct(&request);
    case RC_OPERATION_PRESENCE:
        return request_presence(&request);
    case RC_OPERATION_HISTORY:
        return request_history(&request);
    case RC_OPERATION_PING:
        /* A ping is a question by itself: it is answered with or without an id. */
        request_reply(&request, &(struct rc_event){.type = RC_EVENT_PONG, .id = operation->id});
        return RC_CARRIED_OUT;
    case RC_OPERATION_ECHO:
        request_reply(&request, &(struct rc_event){
                                    .type = RC_EVENT_ECHO, .data = operation->data, .data_kind = operation->data_kind});
        return RC_CARRIED_OUT;
    case RC_OPERATION_DISCONNECT:
        return request_disconnect(&request);
    case RC_OPERATION_AUTH:
    case RC_OPERATION_REFRESH:
        return rc_client_auth(clients, client, operation);
    case RC_OPERATION_CONNECT: /* worker/engine's */
    case RC_OPERATION_LEAVE:
    case RC_OPERATION_EVENT:
    case RC_OPERATION_ACK:
        break;
    }
    return RC_CARRIED_REFUSED;
}

/* As a backend says, where one decides. */
static enum rc_carried carry_out_decided(const struct request *request)
{
    struct rc_span data = {0};
    enum rc_carried carried = RC_CARRIED_REFUSED;
    switch (rc_client_decide(request->clients, request->client, request->operation, &data)) {
    case RC_DECIDED_BY_RULES:
        carried = carry_out(request, false);
        break;
    case RC_DECIDED_LATER:
        return RC_CARRIED_LATER;
    case RC_DECIDED_GRANTED:
        if (data.count > 0) {
            struct rc_operation replaced = *request->operation;
            struct request its = *request;
            replaced.data = data;
            replaced.data_kind = RC_DATA_JSON;
            its.operation = &replaced;
            carried = carry_out(&its, true);
            break;
        }
        carried = carry_out(request, true);
        break;
    case RC_DECIDED_DENIED:
        request_error(request, RC_CODE_FORBIDDEN, RC_SPAN("you may not do this in this channel"));
        break;
    case RC_DECIDED_FAILED:
        request_error(request, RC_CODE_UNAVAILABLE, RC_SPAN("the server could not be asked: try again later"));
        break;
    }
    if (carried != RC_CARRIED_LATER) {
        rc_client_decision_forget(request->clients, request->client);
    }
    return carried;
}

enum rc_carried rc_client_carry_out(struct rc_clients *clients, uint32_t client, enum rc_author author,
                                    const struct rc_operation *operation)
{
    const struct request request = {.clients = clients, .client = client, .author = author, .operation = operation};
    struct request_rates its;
    if (!request_may(&request)) {
        return RC_CARRIED_REFUSED;
    }
    request_rates(&request, &its);
    const enum rc_limit_answer answer = request_within_rates(&request, &its);
    if (answer != RC_LIMIT_ALLOWED) {
        return answer == RC_LIMIT_WAITS ? RC_CARRIED_LATER : RC_CARRIED_REFUSED;
    }
    const bool decidable = author == RC_AUTHOR_CLIENT &&
                           (operation->type == RC_OPERATION_SUBSCRIBE || operation->type == RC_OPERATION_PUBLISH);
    const enum rc_carried carried = decidable ? carry_out_decided(&request) : carry_out(&request, false);
    if (carried == RC_CARRIED_LATER) {
        rates_unused(&request, &its, its.count);
    }
    return carried;
}
