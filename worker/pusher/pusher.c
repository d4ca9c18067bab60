/* pusher: a client's life, and its messages. See pusher.h. */
#include "worker/pusher/pusher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/args.h"
#include "common/records/socket_id.h"
#include "worker/pusher/sign.h"
#include "worker/store/named.h"
#include "worker/store/receiving.h"

/* --- a client's life ------------------------------------------------------------------------------------------------- */

static void pusher_begin(void *context, uint32_t client, int app, uint32_t code)
{
    struct rc_pushers *pushers = context;
    struct rc_clients *clients = pushers->clients;
    static const struct {
        uint32_t code;
        const char *text;
    } refusals[] = {
        {RC_PUSHER_NO_APP, "there is no app with this key"},
        {RC_PUSHER_BAD_VERSION, "protocol must be a number"},
        {RC_PUSHER_UNSUPPORTED_VERSION, "this protocol version is not supported: use 7"},
        {RC_PUSHER_NO_VERSION, "say which protocol version you speak: ?protocol=7"},
    };
    struct rc_pusher *its = rc_truth_pusher(clients->truth, client);
    *its = (struct rc_pusher){.app = app < 0 ? 0 : (uint8_t)app, .ended = code != 0};
    for (size_t i = 0; code != 0 && i < RC_ARRAY_COUNT(refusals); i++) {
        if (refusals[i].code == code) {
            rc_pusher_error(pushers, client, code, refusals[i].text);
            rc_client_close(clients, client, (uint16_t)(RC_PUSHER_CLOSE + code), refusals[i].text, false);
            return;
        }
    }
    const uint64_t within_ms = rc_pusher_app(pushers, client)->authorize_within_ms;
    if (within_ms > 0) {
        its->authorize_ds = rc_io_deadline(clients->io, within_ms);
        if (rc_client_expires(clients, client, rc_client_expiry_due(clients, client)) < 0) {
            rc_client_failed_memory(clients, client);
            return;
        }
    }
    const struct rc_client_ref ref = rc_client_ref(clients, client);
    char id[RC_SOCKET_ID_MAX];
    const struct rc_welcome welcome = {
        .client = rc_span_of(id, rc_socket_id_write(id, clients->control->boot_nonce, &ref)),
        .ping_interval_ms = (uint32_t)rc_pusher_app(pushers, client)->activity_timeout_ms,
    };
    const struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &welcome};
    rc_metric_add(clients->metrics, RC_METRIC_PUSHER_CONNECTED, 1);
    if (rc_hub_reply_event(clients->hub, client, &event) < 0) {
        rc_client_failed_memory(clients, client);
    }
}

static void pusher_ended(void *context, uint32_t client)
{
    rc_pusher_members_free(context, client);
}

/* --- who has to show that the app knows it --------------------------------------------------------------------------- */

static bool pusher_late(void *context, uint32_t client)
{
    struct rc_pushers *pushers = context;
    struct rc_clients *clients = pushers->clients;
    const struct rc_pusher *its = rc_truth_pusher(clients->truth, client);
    if (its->authorize_ds == 0 || (int32_t)(its->authorize_ds - clients->io->now_ds) > 0) {
        return false;
    }
    rc_metric_add(clients->metrics, RC_METRIC_PUSHER_UNAUTHORIZED, 1);
    rc_named_log_client("pusher_unauthorized", clients->truth, client,
                        "it has neither signed in nor joined a private channel", "");
    rc_pusher_error(pushers, client, RC_PUSHER_UNAUTHORIZED, "connection not authorized within timeout");
    rc_client_close(clients, client, RC_PUSHER_CLOSE + RC_PUSHER_UNAUTHORIZED, "unauthorized", false);
    return true;
}

/* --- signing in ------------------------------------------------------------------------------------------------------ */

static bool signed_in(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    const struct rc_clients *clients = pushers->clients;
    const struct rc_config_pusher_app *app = rc_pusher_app(pushers, client);
    const struct rc_client_ref ref = rc_client_ref(clients, client);
    const struct rc_span key = rc_span_text(app->key.text);
    char id[RC_SOCKET_ID_MAX];
    /* "{socket_id}::user::{user_data}": with the colons between parts, the one in the middle begins and ends with one. */
    const struct rc_span parts[] = {rc_span_of(id, rc_socket_id_write(id, clients->control->boot_nonce, &ref)),
                                    RC_SPAN(":user:"), operation->data};
    const struct rc_span auth = operation->to;
    return operation->data.count > 0 && auth.count > key.count && auth.bytes[key.count] == ':' &&
           memcmp(auth.bytes, key.bytes, key.count) == 0 &&
           rc_pusher_signed(rc_span_text(app->secret.text), parts, 3,
                            rc_span_of(auth.bytes + key.count + 1, auth.count - key.count - 1));
}

static void answer_signin(struct rc_pushers *pushers, uint32_t client, struct rc_span user_data)
{
    static const char head[] = "{\"event\":\"pusher:signin_success\",\"data\":";
    const size_t inner = sizeof("{\"user_data\":}") + rc_json_string_encoded_bytes(user_data);
    uint8_t *data = rc_pusher_room(pushers, 3 * inner + sizeof(head) + 8);
    if (data == NULL) {
        rc_client_failed_memory(pushers->clients, client);
        return;
    }
    uint8_t *out = data;
    memcpy(out, "{\"user_data\":", 13);
    out += 13;
    out += rc_json_string_encode(out, inner, user_data);
    *out++ = '}';
    uint8_t *text = data + inner;
    uint8_t *end = text + sizeof(head) - 1;
    memcpy(text, head, sizeof(head) - 1);
    end += rc_json_string_encode(end, 2 * inner + 2, rc_span_of(data, (size_t)(out - data)));
    *end++ = '}';
    rc_pusher_reply(pushers, client, text, (size_t)(end - text));
}

static void sign_in(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    struct rc_clients *clients = pushers->clients;
    uint8_t scratch[RC_PUSHER_USER_MAX];
    char user[RC_CHANNEL_NAME_MAX];
    if (!signed_in(pushers, client, operation)) {
        rc_metric_add(clients->metrics, RC_METRIC_PUSHER_UNAUTHORIZED, 1);
        rc_pusher_error(pushers, client, RC_PUSHER_UNAUTHORIZED,
                        "the signature in auth is not that of this socket and user_data");
        rc_client_close(clients, client, RC_PUSHER_CLOSE + RC_PUSHER_UNAUTHORIZED, "unauthorized", false);
        return;
    }
    rc_pusher_authorized(pushers, client);
    const struct rc_span id = rc_pusher_user_id(operation->data, scratch);
    const size_t bytes = rc_pusher_user_write(rc_pusher_app(pushers, client), id, user);
    if (bytes == 0 || rc_channel_name_check(user, bytes, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES) < 0) {
        rc_pusher_error(pushers, client, 0, "user_data needs an id of 1 to 128 bytes without control characters");
        return;
    }
    const struct rc_identity identity = {.user = rc_span_of(user, bytes)};
    switch (rc_client_identify(clients, client, &identity)) {
    case 0:
        rc_client_hears_user(clients, client);
        rc_client_await_join(clients, client); /* the answer leaves when it is registered */
        answer_signin(pushers, client, operation->data);
        if (rc_pusher_app(pushers, client)->watchlists) {
            rc_pusher_watch(pushers, client, operation->data);
        }
        return;
    case -EEXIST:
        rc_pusher_error(pushers, client, 0, "this connection is another user's already");
        return;
    case -EDQUOT:
        rc_pusher_error(pushers, client, 0, "this user has too many connections");
        return;
    default:
        rc_client_failed_memory(clients, client);
        return;
    }
}

/* --- events of clients ----------------------------------------------------------------------------------------------- */

/* So many in the running time; false: that was one too many. */
static bool within_rate(struct rc_pushers *pushers, uint32_t client)
{
    const struct rc_config_rate *rate = &rc_pusher_app(pushers, client)->client_event_rate;
    struct rc_pusher *its = rc_truth_pusher(pushers->clients->truth, client);
    const uint32_t now_ds = pushers->clients->io->now_ds;
    if (rate->count == 0) {
        return true;
    }
    if (its->rate_count == 0 || now_ds - its->rate_ds >= rate->window_ms / 100) {
        its->rate_ds = now_ds;
        its->rate_count = 0;
    }
    return its->rate_count < rate->count;
}

/* NULL: it may be sent. */
static const char *event_refusal(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation,
                                 struct rc_span name)
{
    const struct rc_config_pusher_app *app = rc_pusher_app(pushers, client);
    const uint32_t kind = rc_pusher_kind_of(operation->channel);
    return !app->client_events ? "client events are off for this app"
           : !(kind & RC_PUSHER_PRIVATE) || (kind & RC_PUSHER_ENCRYPTED)
               ? "client events are for private and presence channels that are not encrypted"
           : operation->event.count > RC_PUSHER_EVENT_MAX ? "the event's name is longer than 200 bytes"
           : operation->data.count > app->max_event_bytes ? "the event's data is larger than it may be"
           : name.count == 0 || !rc_client_is_in(pushers->clients, client, name)
               ? "subscribe to the channel before you send events to it"
               : NULL;
}

/* Of a presence channel its receivers are told whose it is: the arguments are the data and the user's id. */
static bool event_with_user(struct rc_pushers *pushers, struct rc_operation *event, struct rc_span user)
{
    const size_t json = event->data.count + RC_JSON_STRING_BYTES_MAX(user.count) + 4;
    uint8_t *room = rc_pusher_room(pushers, RC_ARGS_BEFORE_MAX + json);
    if (room == NULL) {
        return false;
    }
    uint8_t *begin = room + RC_ARGS_BEFORE_MAX;
    uint8_t *out = begin;
    *out++ = '[';
    memcpy(out, event->data.bytes, event->data.count);
    out += event->data.count;
    *out++ = ',';
    out += rc_json_string_encode(out, RC_JSON_STRING_BYTES_MAX(user.count), user);
    *out++ = ']';
    event->data = rc_args_wrap(begin, (size_t)(out - begin), 0, NULL, 0);
    event->data_kind = RC_DATA_ARGS;
    return true;
}

static bool client_event(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    struct rc_clients *clients = pushers->clients;
    struct rc_operation event = *operation;
    struct rc_pusher_member member = {0};
    char text[RC_CHANNEL_NAME_MAX];
    const struct rc_span name =
        rc_span_of(text, rc_pusher_channel_write(rc_pusher_app(pushers, client), operation->channel, text));
    const char *why = event_refusal(pushers, client, operation, name);
    if (why != NULL) {
        rc_pusher_error(pushers, client, 0, why);
        return true;
    }
    if (!within_rate(pushers, client)) {
        rc_metric_add(clients->metrics, RC_METRIC_PUSHER_RATE_REFUSED, 1);
        rc_pusher_error(pushers, client, RC_PUSHER_TOO_FAST, "client events come too fast: this one was not sent");
        return true;
    }
    event.channel = name;
    const bool presence = rc_pusher_member_find(clients->truth, client, name, &member);
    if (presence && !event_with_user(pushers, &event, member.user)) {
        rc_client_failed_memory(clients, client);
        return true;
    }
    const enum rc_carried carried = rc_client_carry_out(clients, client, RC_AUTHOR_BACKEND, &event);
    if (carried == RC_CARRIED_LATER) {
        return false;
    }
    rc_truth_pusher(clients->truth, client)->rate_count++;
    if (carried == RC_CARRIED_OUT) {
        const struct rc_client_ref ref = rc_client_ref(clients, client);
        char id[RC_SOCKET_ID_MAX];
        const struct rc_webhook_event told = {
            .app = rc_truth_pusher(clients->truth, client)->app,
            .channel = name,
            .event = operation->event,
            .data = operation->data,
            .socket_id = rc_span_of(id, rc_socket_id_write(id, clients->control->boot_nonce, &ref)),
            .user = presence ? member.user : (struct rc_span){0}};
        rc_webhook_client_event(&pushers->webhooks, &told);
    }
    return true;
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

static bool carry_out(struct rc_pushers *pushers, uint32_t client, const struct rc_operation *operation)
{
    const struct rc_event pong = {.type = RC_EVENT_PONG};
    switch (operation->type) {
    case RC_OPERATION_SUBSCRIBE:
        return rc_pusher_subscribe(pushers, client, operation);
    case RC_OPERATION_UNSUBSCRIBE:
        return rc_pusher_unsubscribe(pushers, client, operation);
    case RC_OPERATION_PUBLISH:
        return client_event(pushers, client, operation);
    case RC_OPERATION_AUTH:
        sign_in(pushers, client, operation);
        return true;
    default: /* PING: the codec knows no others */
        if (rc_hub_reply_event(pushers->clients->hub, client, &pong) < 0) {
            rc_client_failed_memory(pushers->clients, client);
        }
        return true;
    }
}

static bool pusher_message(void *context, uint32_t client, enum rc_part_kind kind, uint8_t *bytes, size_t count)
{
    struct rc_pushers *pushers = context;
    struct rc_clients *clients = pushers->clients;
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    if (rc_truth_pusher(clients->truth, client)->ended) {
        return true;
    }
    rc_reader_begin(&reader, &rc_codec_pusher, kind, rc_span_of(bytes, count), &clients->scratch, NULL);
    if (rc_client_lend_room(clients, &reader, count) < 0) {
        rc_client_failed_memory(clients, client);
        return true;
    }
    const int rc = rc_reader_next(&reader, &operation, &error);
    if (rc < 0) {
        rc_pusher_error(pushers, client, 0, error.message);
        return true;
    }
    /* The others change what is here, in more than one step. */
    rc_receiving_operation(clients->truth, operation.type == RC_OPERATION_PING);
    return rc == 0 || carry_out(pushers, client, &operation);
}

/* --- all of them ----------------------------------------------------------------------------------------------------- */

void rc_pushers_open(struct rc_pushers *pushers, struct rc_clients *clients)
{
    *pushers = (struct rc_pushers){.clients = clients};
    clients->pusher = (struct rc_pusher_ops){.context = pushers,
                                             .begin = pusher_begin,
                                             .message = pusher_message,
                                             .late = pusher_late,
                                             .ended = pusher_ended,
                                             .moving = {.hindrance = rc_pusher_hindrance,
                                                        .bytes = rc_pusher_moving_bytes,
                                                        .goes = rc_pusher_goes,
                                                        .came = rc_pusher_came}};
    rc_webhooks_open(&pushers->webhooks, clients);
}

void rc_pushers_close(struct rc_pushers *pushers)
{
    rc_pusher_counts_close(&pushers->counts);
    free(pushers->asking.items);
    free(pushers->telling);
    free(pushers->room);
    pushers->room = NULL;
}

void rc_pushers_reconfigure(struct rc_pushers *pushers)
{
    rc_webhooks_reconfigure(&pushers->webhooks);
}

void rc_pushers_rebuild(struct rc_pushers *pushers)
{
    const struct rc_clients *clients = pushers->clients;
    for (uint32_t i = 1; i <= clients->hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(clients->truth, i);
        if (client->random != 0 && rc_encoding_is_pusher(client->encoding)) {
            rc_pusher_ask_again(pushers, i);
        }
    }
    rc_webhooks_taken(&pushers->webhooks);
}

uint32_t rc_pushers_sleep_ms(const struct rc_pushers *pushers, uint32_t most_ms)
{
    const uint64_t now_ns = pushers->clients->io->now_ns;
    const uint32_t counts_ms = rc_pusher_counts_sleep_ms(&pushers->counts, now_ns / 1000000u, most_ms);
    if (pushers->asking.count == 0 || pushers->asking_ns <= now_ns) {
        return counts_ms; /* what waits for room in the ring is told of that */
    }
    const uint64_t asking_ms = (pushers->asking_ns - now_ns) / 1000000u + 1;
    return asking_ms < counts_ms ? (uint32_t)asking_ms : counts_ms;
}

void rc_pushers_work(struct rc_pushers *pushers, bool leaves)
{
    const uint32_t count = pushers->asking.count;
    rc_pusher_counts_tell(pushers, leaves);
    rc_pusher_members_flush(pushers);
    if (pushers->clients->io->now_ns < pushers->asking_ns) {
        return; /* who could not be answered now is not asked again at once */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!rc_pusher_ask(pushers, pushers->asking.items[i])) {
            memmove(pushers->asking.items, pushers->asking.items + i,
                    (size_t)(pushers->asking.count - i) * sizeof(*pushers->asking.items));
            pushers->asking.count -= i;
            return; /* the rest waits for room in the ring */
        }
    }
    pushers->asking.count = 0;
}
