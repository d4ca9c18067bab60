/* requests: see requests.h. */
#include "worker/engine/requests.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "common/records/select.h"
#include "common/records/sockets.h"
#include "common/text/json_scan.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked.h"
#include "worker/engine/auth.h"
#include "worker/engine/room.h"
#include "worker/engine/rules.h"
#include "worker/engine/socketio.h"
#include "worker/hub/hub.h"

#define PART_BYTES 32768u             /* entries of one reply */
#define SOCKET_BYTES_MAX (24u * 1024) /* of one socket with its rooms: rooms beyond are left out */
#define SOCKET_REST_BYTES 1024u       /* of them, what comes behind an object of the client's own */

/* Which sockets are meant: members of some channels, or single clients. */
struct choice {
    struct rc_index_list channels;
    struct rc_index_list clients;
    bool everybody; /* no rooms were named */
};

struct request {
    struct rc_engines *engines;
    const struct rc_envelope_view *view;
    struct rc_call_head head;
    struct rc_span nsp;
    struct rc_span data; /* behind the head */
    struct choice rooms;
    struct choice except;
    struct rc_reply_head reply;
    uint32_t used; /* bytes of `part` */
    size_t at;     /* bytes of `socket` */
    bool cut;      /* the up ring took no more */
    uint8_t part[PART_BYTES];
    uint8_t socket[SOCKET_BYTES_MAX];
};

/* --- who is meant ---------------------------------------------------------------------------------------------------- */

/* A name of a room: the channel, if somebody here is in it, and the client that it may stand for. */
static void choice_add(struct request *request, struct choice *choice, struct rc_span name)
{
    struct rc_clients *clients = request->engines->clients;
    const struct rc_truth *truth = clients->truth;
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    if (channel != 0 && rc_index_list_push(&choice->channels, channel) < 0) {
        rc_log_limited(RC_LOG_ERROR, 1, "socketio_request_cut", "reason=\"no memory\"");
    }
    (void)rc_channel_split(name, &nsp, &room);
    const uint32_t socket = rc_sid_read(&sid, room) ? rc_hub_socket(clients->hub, &sid.client, request->nsp) : 0;
    if (socket != 0 && rc_truth_client(truth, socket)->state == RC_CLIENT_OPEN &&
        rc_index_list_push(&choice->clients, socket) < 0) {
        rc_log_limited(RC_LOG_ERROR, 1, "socketio_request_cut", "reason=\"no memory\"");
    }
}

static void request_choose(struct request *request)
{
    struct rc_span names = rc_span_of(request->view->exclude_text, request->view->head.exclude_text_bytes);
    struct rc_span name;
    request->rooms.everybody = true;
    while (rc_select_next(&names, &name)) {
        request->rooms.everybody = false;
        choice_add(request, &request->rooms, name);
    }
    while (rc_select_next(&names, &name)) {
        choice_add(request, &request->except, name);
    }
}

static void choice_free(struct choice *choice)
{
    free(choice->channels.items);
    free(choice->clients.items);
}

static bool choice_has(const struct request *request, const struct choice *choice, uint32_t client)
{
    if (choice->everybody) {
        return true;
    }
    for (uint32_t i = 0; i < choice->clients.count; i++) {
        if (choice->clients.items[i] == client) {
            return true;
        }
    }
    for (uint32_t i = 0; i < choice->channels.count; i++) {
        if (rc_hub_subscription(request->engines->clients->hub, client, choice->channels.items[i]) != 0) {
            return true;
        }
    }
    return false;
}

static bool is_chosen(const struct request *request, uint32_t client)
{
    const struct rc_truth *truth = request->engines->clients->truth;
    const struct rc_engine *engine = rc_truth_engine(truth, client);
    if (rc_truth_client(truth, client)->state != RC_CLIENT_OPEN || (engine->flags & RC_ENGINE_SESSION) == 0) {
        return false;
    }
    const bool joined = request->nsp.count == 1
                            ? (engine->flags & RC_ENGINE_ROOT) != 0
                            : rc_truth_find_nsp(truth, engine, request->nsp) < engine->namespaces_bytes;
    return joined && choice_has(request, &request->rooms, client) && !choice_has(request, &request->except, client);
}

/* --- the reply ------------------------------------------------------------------------------------------------------- */

/* Sends `bytes` of `part`, which begins with room for the head. */
static void request_write(struct request *request, uint8_t *part, uint32_t bytes, uint32_t flags)
{
    struct rc_clients *clients = request->engines->clients;
    const struct rc_envelope_view *view = request->view;
    request->reply.flags = flags;
    memcpy(part, &request->reply, sizeof(request->reply));
    struct rc_envelope_view up = {.head = {.target = {.worker = view->head.origin.worker},
                                           .flags = RC_ENVELOPE_API,
                                           .data_bytes = bytes,
                                           .request_id_bytes = sizeof(struct rc_call_tag)},
                                  .request_id = view->request_id,
                                  .data = part};
    if (request->cut || rc_uplink_write(clients->uplink, RC_UP_REPLY, &up) < 0) {
        rc_metric_add(clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
        request->cut = true;
    }
    request->used = sizeof(request->reply);
    request->reply.count = 0;
}

static void request_send(struct request *request, uint32_t flags)
{
    request_write(request, request->part, request->used, flags);
}

/* An answer to a server's event that is larger than a part: a reply of its own. */
static void request_put_alone(struct request *request, struct rc_span json)
{
    const size_t bytes = sizeof(request->reply) + 4 + json.count;
    uint8_t *part = bytes < UINT32_MAX ? malloc(bytes) : NULL;
    if (part == NULL) {
        rc_metric_add(request->engines->clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
        return;
    }
    const uint32_t used = rc_sockets_entry_put(part, sizeof(request->reply), (uint32_t)bytes, json);
    request->reply.count = 1;
    request_write(request, part, used, RC_REPLY_PART);
    free(part);
}

static void request_put(struct request *request, struct rc_span json)
{
    uint32_t used = rc_sockets_entry_put(request->part, request->used, PART_BYTES, json);
    if (used == 0) {
        request_send(request, RC_REPLY_PART);
        used = rc_sockets_entry_put(request->part, request->used, PART_BYTES, json);
    }
    if (used == 0) { /* SOCKET_BYTES_MAX fits an empty part: it is an answer to a server's event */
        request_put_alone(request, json);
        return;
    }
    request->used = used;
    request->reply.count++;
}

/* --- what is asked --------------------------------------------------------------------------------------------------- */

static size_t put_text(struct request *request, size_t at, struct rc_span text)
{
    if (text.count > SOCKET_BYTES_MAX - at) {
        return at;
    }
    memcpy(request->socket + at, text.bytes, text.count);
    return at + text.count;
}

/* Calls `what` with each room of the client in the namespace, its own first. */
static void each_room(struct request *request, uint32_t client,
                      void (*what)(struct request *request, struct rc_span room))
{
    const struct rc_clients *clients = request->engines->clients;
    const struct rc_truth *truth = clients->truth;
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(request->engines, client, request->nsp, sid);
    what(request, rc_span_of(sid, sizeof(sid)));
    for (uint32_t i = rc_truth_client(truth, client)->subscriptions; i != 0;) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, i);
        const uint32_t channel = rc_truth_group(truth, subscription->group)->channel;
        struct rc_span nsp;
        struct rc_span room;
        i = subscription->next;
        (void)rc_channel_split(rc_hub_name(clients->hub, rc_truth_channel(truth, channel)), &nsp, &room);
        if (rc_span_equal(nsp, request->nsp) && room.count > 0 && !rc_span_equal(room, RC_SPAN("*"))) {
            what(request, room);
        }
    }
}

static void room_entry(struct request *request, struct rc_span room)
{
    uint8_t json[RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX)];
    request_put(request, rc_span_of(json, rc_json_string_encode(json, sizeof(json), room)));
}

/* A room and a comma in `socket`. */
static void room_append(struct request *request, struct rc_span room)
{
    const size_t at = request->at;
    const size_t tail = 32; /* what closes the text */
    const size_t bytes = at + tail < SOCKET_BYTES_MAX
                             ? rc_json_string_encode(request->socket + at, SOCKET_BYTES_MAX - at - tail, room)
                             : 0;
    if (bytes > 0) {
        request->socket[at + bytes] = ',';
        request->at += bytes + 1;
    }
}

/* An object, or {} where there is none, or it does not fit. */
static size_t put_object(struct request *request, size_t at, struct rc_span object)
{
    const bool fits = object.count > 0 && at + object.count + SOCKET_REST_BYTES <= SOCKET_BYTES_MAX;
    return put_text(request, at, fits ? object : RC_SPAN("{}"));
}

/* As RemoteSocket has it. Of the handshake there is what is kept: where it came from, and of query, headers and auth what rows ask for;
 * `data` is what rows have set on the connection. */
static void socket_entry(struct request *request, uint32_t client)
{
    const struct rc_clients *clients = request->engines->clients;
    const struct rc_address address = rc_engine_address(request->engines, client);
    const bool secure = (rc_engine_of(request->engines, client)->flags & RC_ENGINE_SECURE) != 0;
    char text[RC_ADDRESS_TEXT_MAX];
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(request->engines, client, request->nsp, sid);
    size_t at = put_text(request, 0, RC_SPAN("{\"id\":\""));
    at = put_text(request, at, rc_span_of(sid, sizeof(sid)));
    at = put_text(request, at, RC_SPAN("\",\"handshake\":{\"headers\":"));
    at = put_object(request, at, rc_client_request(clients, client, RC_EVENT_SOURCE_HEADER));
    at = put_text(request, at, RC_SPAN(",\"time\":\"\",\"address\":\""));
    at = put_text(request, at, rc_span_of(text, rc_address_format(text, &address)));
    at = put_text(request, at, RC_SPAN("\",\"xdomain\":false,\"secure\":"));
    at = put_text(request, at, secure ? RC_SPAN("true") : RC_SPAN("false"));
    at = put_text(request, at, RC_SPAN(",\"issued\":0,\"url\":\"\",\"query\":"));
    at = put_object(request, at, rc_client_request(clients, client, RC_EVENT_SOURCE_QUERY));
    at = put_text(request, at, RC_SPAN(",\"auth\":"));
    at = put_object(request, at, rc_engine_auth(request->engines, client, request->nsp));
    at = put_text(request, at, RC_SPAN("},\"data\":"));
    at = put_object(request, at, rc_client_set(clients, client));
    request->at = put_text(request, at, RC_SPAN(",\"rooms\":["));
    each_room(request, client, room_append);
    at = put_text(request, request->at - 1, RC_SPAN("]}")); /* the last comma: there is one room at least */
    request_put(request, rc_span_of(request->socket, at));
}

static void sid_entry(struct request *request, uint32_t client)
{
    char sid[RC_SID_BYTES];
    rc_engine_nsp_sid(request->engines, client, request->nsp, sid);
    room_entry(request, rc_span_of(sid, sizeof(sid)));
}

static void socket_rooms(struct request *request, uint32_t client)
{
    each_room(request, client, room_entry);
}

static void socket_change(struct request *request, uint32_t client)
{
    struct rc_clients *clients = request->engines->clients;
    struct rc_span names = request->data;
    struct rc_span name;
    while (rc_select_next(&names, &name)) {
        if (name.count > RC_CHANNEL_NAME_MAX) {
            continue;
        }
        if (request->head.operation == RC_CALL_SOCKETS_JOIN) {
            rc_client_join(clients, client, name);
            continue;
        }
        const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
        const uint32_t subscription = channel != 0 ? rc_hub_subscription(clients->hub, client, channel) : 0;
        if (subscription != 0) {
            rc_hub_unsubscribe(clients->hub, client, subscription);
        }
    }
    request->reply.count++;
}

static void socket_close(struct request *request, uint32_t client)
{
    const struct rc_operation operation = {
        .type = RC_OPERATION_DISCONNECT, .close_code = RC_WS_CLOSE_NORMAL, .reason = RC_SPAN("")};
    if (request->head.close_code != 0) {
        (void)rc_client_carry_out(request->engines->clients, client, RC_AUTHOR_BACKEND, &operation);
    } else {
        rc_socketio_dismiss(request->engines, client, request->nsp);
    }
    request->reply.count++;
}

static void request_run(struct request *request, void (*what)(struct request *request, uint32_t client))
{
    const uint32_t last = request->engines->clients->hub->clients_high;
    for (uint32_t client = 1; client <= last; client++) {
        if (is_chosen(request, client)) {
            what(request, client);
        }
    }
}

/* The one answer that a server hears is the first value, as of a callback. */
static void answer_put(void *context, struct rc_span values)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    if (rc_json_array_begin(&cursor, values, 0) == 0 && rc_json_array_next(&cursor, &value) == 1) {
        request_put(context, value.raw);
    }
}

static void server_event(struct request *request)
{
    const struct rc_envelope_view *view = request->view;
    const struct rc_rules_answer answer = {.context = request, .put = answer_put};
    rc_rules_server_event(request->engines, request->nsp, rc_span_of(view->event, view->head.event_bytes),
                          request->data, request->head.close_code != 0 ? &answer : NULL);
}

static void room_told(void *context, struct rc_span json)
{
    request_put(context, json);
}

/* A row on another worker asks about a room. */
static void room_tell(struct request *request)
{
    const struct rc_span channel = rc_span_of(request->view->channel, request->view->head.channel_bytes);
    const struct rc_room_listener listener = {.context = request, .entry = room_told};
    const uint32_t count =
        rc_room_tell(request->engines, (enum rc_sockets_operation)request->head.operation, channel, 0, &listener);
    if (request->head.operation == RC_CALL_ROOM_COUNT) {
        request->reply.count = count;
    }
}

bool rc_requests_mine(const struct rc_envelope_view *view)
{
    return view->head.data_bytes >= sizeof(struct rc_call_head) && view->data[0] >= RC_CALL_SOCKETS;
}

void rc_requests_serve(struct rc_engines *engines, const struct rc_envelope_view *view)
{
    static void (*const what[])(struct request * request, uint32_t client) = {
        [RC_CALL_SOCKETS] = socket_entry,        [RC_CALL_SOCKET_IDS] = sid_entry,
        [RC_CALL_SOCKET_ROOMS] = socket_rooms,   [RC_CALL_SOCKETS_JOIN] = socket_change,
        [RC_CALL_SOCKETS_LEAVE] = socket_change, [RC_CALL_SOCKETS_CLOSE] = socket_close,
    };
    struct rc_call_tag tag;
    struct rc_span room;
    struct request *request = calloc(1, sizeof(*request));
    if (request == NULL || !rc_call_tag_read(view, &tag)) {
        rc_metric_add(engines->clients->metrics, RC_METRIC_API_REPLIES_DROPPED, 1);
        free(request);
        return;
    }
    request->engines = engines;
    request->view = view;
    request->used = sizeof(request->reply);
    memcpy(&request->head, view->data, sizeof(request->head));
    request->data = rc_span_of(view->data + sizeof(request->head), view->head.data_bytes - sizeof(request->head));
    (void)rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &request->nsp, &room);
    if (request->head.operation == RC_CALL_SERVER_EVENT && request->nsp.count > 0) {
        server_event(request);
    } else if (request->head.operation == RC_CALL_SOCKETS_EMIT && request->nsp.count > 0) {
        request->reply.count = rc_acks_emit(engines, view, request->data);
    } else if (request->head.operation == RC_CALL_ASKED) {
        rc_asked_elsewhere(engines, request->data, request->head.limit);
    } else if (rc_sockets_of_room(view)) {
        room_tell(request);
    } else if (request->head.operation < RC_ARRAY_COUNT(what) && what[request->head.operation] != NULL &&
               request->nsp.count > 0) {
        request_choose(request);
        request_run(request, what[request->head.operation]);
    }
    request_send(request, 0);
    choice_free(&request->rooms);
    choice_free(&request->except);
    free(request);
}
