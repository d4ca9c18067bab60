/* adapter_requests: see adapter_requests.h. */
#include "relay/bridge/adapter_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/channel_name.h"
#include "common/records/select.h"
#include "common/records/sockets.h"
#include "common/text/decimal.h"
#include "common/text/json_scan.h"
#include "relay/bridge/adapter_ack.h"
#include "relay/bridge/adapter_answer.h"
#include "relay/bridge/adapter_interest.h"

#define OF_NOBODY UINT32_MAX /* index of a call whose replies nobody waits for */
#define TEXT_FIRST 1024u

static struct rc_metrics *requests_metrics(const struct rc_adapter_requests *requests)
{
    return requests->adapter->bridge->wire->metrics;
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static void answer_none(struct rc_adapter_requests *requests, const struct rc_adapter_request *request,
                        struct rc_span nsp)
{
    const struct rc_adapter_asker asker = {.nsp = nsp, .uid = request->uid, .id = request->id};
    if (request->id.count > 0) {
        rc_adapter_answer(requests->adapter, &asker, request->type, (struct rc_span){0});
    }
}

static void served_finish(struct rc_adapter_requests *requests, struct rc_adapter_served *served)
{
    const struct rc_adapter_asker asker = {.nsp = rc_span_of(served->nsp, served->nsp_bytes),
                                           .uid = rc_span_of(served->uid, served->uid_bytes),
                                           .id = rc_span_of(served->id, served->id_bytes)};
    char digits[RC_DECIMAL_BYTES_MAX];
    struct rc_span values = rc_span_of(served->text, served->text_bytes);
    if (served->type == RC_ADAPTER_BROADCAST) {
        values = rc_span_of(digits, (size_t)(rc_decimal_write(digits, served->clients) - digits));
    }
    rc_adapter_answer(requests->adapter, &asker, served->type, values);
    free(served->text);
    *served = (struct rc_adapter_served){.next = requests->served_free};
    requests->served_free = (uint32_t)(served - requests->served) + 1;
}

/* False: it would be too large, or there is no memory. */
static bool served_append(struct rc_adapter_served *served, struct rc_span entry)
{
    const size_t need = served->text_bytes + 1 + entry.count;
    if (need > RC_ADAPTER_ANSWER_MAX) {
        return false;
    }
    if (need > served->text_room) {
        const size_t room = need > 2 * served->text_room ? need + TEXT_FIRST : 2 * served->text_room;
        uint8_t *more = realloc(served->text, room);
        if (more == NULL) {
            return false;
        }
        served->text = more;
        served->text_room = room;
    }
    if (served->entries++ > 0) {
        served->text[served->text_bytes++] = ',';
    }
    memcpy(served->text + served->text_bytes, entry.bytes, entry.count);
    served->text_bytes += entry.count;
    return true;
}

static bool served_complete(const struct rc_adapter_served *served)
{
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(served->asked.bits); i++) {
        if ((served->asked.bits[i] & ~served->replied.bits[i]) != 0) {
            return false;
        }
    }
    return true;
}

static void requests_due(void *context, uint64_t now_ms)
{
    struct rc_adapter_requests *requests = context;
    uint64_t next_ms = RC_TIMER_NEVER;
    for (uint32_t i = 0; i < requests->served_high; i++) {
        struct rc_adapter_served *served = &requests->served[i];
        if (served->used && served->due_ms <= now_ms) {
            rc_metric_add(requests_metrics(requests), RC_METRIC_ADAPTER_INCOMPLETE, 1);
            served_finish(requests, served);
        } else if (served->used && served->due_ms < next_ms) {
            next_ms = served->due_ms;
        }
    }
    if (next_ms != RC_TIMER_NEVER) {
        rc_timer_set(requests->adapter->bridge->timers, &requests->timer, next_ms, requests_due, requests);
    }
}

bool rc_adapter_requests_replied(struct rc_adapter_requests *requests, uint32_t worker,
                                 const struct rc_envelope_view *view)
{
    struct rc_call_tag tag;
    struct rc_reply_head head;
    if (requests->served == NULL || !rc_call_tag_read(view, &tag) || tag.nonce != requests->nonce) {
        return false;
    }
    if (rc_asking_is_answer(view)) {
        rc_adapter_ack_answered(requests->adapter, view);
        return true;
    }
    if (tag.index >= RC_ADAPTER_REQUESTS_MAX || worker >= RC_WORKERS_MAX || view->head.data_bytes < sizeof(head)) {
        return true; /* nobody waits for it */
    }
    struct rc_adapter_served *served = &requests->served[tag.index];
    const uint64_t bit = UINT64_C(1) << (worker % 64);
    if (!served->used || served->serial != tag.serial || (served->replied.bits[worker / 64] & bit) != 0) {
        rc_metric_add(requests_metrics(requests), RC_METRIC_ADAPTER_LATE, 1);
        return true; /* too late, or told twice */
    }
    memcpy(&head, view->data, sizeof(head));
    served->clients += head.count;
    struct rc_span rest = rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head));
    struct rc_span entry;
    while (rc_sockets_entry_next(&rest, &entry) && (served->type != RC_ADAPTER_SERVER_EVENT || served->entries == 0)) {
        if (!served_append(served, entry)) {
            rc_metric_add(requests_metrics(requests), RC_METRIC_ADAPTER_DROPPED, 1);
            break;
        }
    }
    if ((head.flags & RC_REPLY_PART) == 0) {
        served->replied.bits[worker / 64] |= bit;
    }
    if (served_complete(served)) {
        served_finish(requests, served);
    }
    return true;
}

/* --- the call -------------------------------------------------------------------------------------------------------- */

static const enum rc_sockets_operation operations[] = {
    [RC_ADAPTER_SOCKETS] = RC_CALL_SOCKET_IDS,        [RC_ADAPTER_ALL_ROOMS] = RC_CALL_SOCKET_ROOMS,
    [RC_ADAPTER_JOIN] = RC_CALL_SOCKETS_JOIN,         [RC_ADAPTER_LEAVE] = RC_CALL_SOCKETS_LEAVE,
    [RC_ADAPTER_DISCONNECT] = RC_CALL_SOCKETS_CLOSE,  [RC_ADAPTER_FETCH] = RC_CALL_SOCKETS,
    [RC_ADAPTER_SERVER_EVENT] = RC_CALL_SERVER_EVENT,
};

/* Appends each room of a JSON array. */
static void select_rooms(struct rc_select *select, struct rc_span nsp, struct rc_span list)
{
    struct rc_adapter_rooms rooms = rc_adapter_rooms_of(list);
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
    struct rc_span room;
    while (rc_adapter_room_next(&rooms, scratch, &room) == 1) {
        rc_select_put(select, nsp, room);
    }
}

/* Which sockets are meant. An array that names rooms, none of which can be here, must not become all sockets: its placeholder is a
 * name that no room has. */
static bool select_sockets(const struct rc_adapter_request *request, struct rc_span nsp, struct rc_select *select)
{
    struct rc_span rooms = request->rooms;
    struct rc_json_value value;
    struct rc_json_cursor cursor;
    if (request->sid.count > 0) {
        uint8_t text[RC_CHANNEL_NAME_MAX];
        struct rc_span sid;
        if (rc_json_scan(request->sid, 0, &value, NULL) < 0 ||
            rc_json_string_decode(&value, text, sizeof(text), &sid) < 0 || sid.count != RC_SID_BYTES) {
            return false;
        }
        rc_select_put(select, nsp, sid);
    } else {
        select_rooms(select, nsp, rooms);
        const bool named =
            rooms.count > 0 && rc_json_array_begin(&cursor, rooms, 0) == 0 && rc_json_array_next(&cursor, &value) == 1;
        if (named && select->bytes == 0) {
            return false;
        }
    }
    rc_select_except(select);
    select_rooms(select, nsp, request->except);
    return !select->full;
}

/* What follows the head: rooms to join or leave, or the arguments of an event, whose name goes to `name`. The bytes; 0: it cannot be
 * made. */
static size_t call_data(struct rc_adapter_requests *requests, const struct rc_adapter_request *request,
                        struct rc_span nsp, uint8_t name[RC_EVENT_NAME_MAX], struct rc_envelope_view *view)
{
    const struct rc_call_head head = {.operation = (uint8_t)operations[request->type],
                                      .close_code = request->type == RC_ADAPTER_SERVER_EVENT ? request->id.count > 0
                                                                                             : request->close};
    if (!rc_scratch_room(&requests->data, sizeof(head) + RC_EXCLUDE_TEXT_MAX + request->data.count)) {
        return 0;
    }
    uint8_t *at = requests->data.bytes + sizeof(head);
    memcpy(requests->data.bytes, &head, sizeof(head));
    if (request->type == RC_ADAPTER_SERVER_EVENT && request->broadcast.attachment_count > 0) {
        return 0; /* rows have no place for binary */
    }
    if (request->type == RC_ADAPTER_SERVER_EVENT) {
        struct rc_span event;
        struct rc_span args;
        if (rc_adapter_event_split(request->data, name, &event, at, &args) < 0) {
            return 0;
        }
        view->event = (const char *)event.bytes;
        view->head.event_bytes = (uint8_t)event.count;
        return sizeof(head) + args.count;
    }
    struct rc_select targets = {.text = (char *)at};
    if (request->type == RC_ADAPTER_JOIN || request->type == RC_ADAPTER_LEAVE) {
        select_rooms(&targets, nsp, request->targets);
        if (request->room.count > 0) {
            char list[RC_ADAPTER_REQUEST_ID_MAX + RC_CHANNEL_NAME_MAX * 6];
            if (request->room.count + 2 <= sizeof(list)) {
                list[0] = '[';
                memcpy(list + 1, request->room.bytes, request->room.count);
                list[request->room.count + 1] = ']';
                select_rooms(&targets, nsp, rc_span_of(list, request->room.count + 2));
            }
        }
    }
    return targets.full ? 0 : sizeof(head) + targets.bytes;
}

/* Hands the request to the workers; `asked` says to which. False: nobody was asked. */
static bool requests_call(struct rc_adapter_requests *requests, const struct rc_adapter_request *request,
                          struct rc_span nsp, const struct rc_call_tag *tag, struct rc_call_asked *asked)
{
    struct rc_adapter_bridge *adapter = requests->adapter;
    const struct rc_bridge_host *host = &adapter->bridge->host;
    struct rc_select select = {.text = adapter->emission.names};
    uint8_t event[RC_EVENT_NAME_MAX];
    char everybody[RC_NSP_MAX + 1];
    struct rc_envelope_view view = {.head = {.time_ns = rc_clock_ns(), .request_id_bytes = sizeof(*tag)},
                                    .channel = everybody,
                                    .request_id = (const uint8_t *)tag};
    if (!select_sockets(request, nsp, &select)) {
        return false;
    }
    view.exclude_text = adapter->emission.names;
    view.head.exclude_text_bytes = select.bytes;
    view.head.channel_bytes = (uint8_t)rc_channel_of_room(everybody, sizeof(everybody), nsp, (struct rc_span){0});
    view.head.data_bytes = (uint32_t)call_data(requests, request, nsp, event, &view);
    view.data = requests->data.bytes;
    if (view.head.data_bytes == 0) {
        return false;
    }
    if (request->type != RC_ADAPTER_SERVER_EVENT) {
        (void)host->call(host->context, &view, asked);
        return (asked->bits[0] | asked->bits[1]) != 0;
    }
    view.head.target.random = 1; /* one worker, whichever there is */
    for (uint16_t i = 0; i < RC_WORKERS_MAX && (asked->bits[0] | asked->bits[1]) == 0; i++) {
        view.head.target.worker = i;
        (void)host->call(host->context, &view, asked);
    }
    return (asked->bits[0] | asked->bits[1]) != 0;
}

static struct rc_adapter_served *served_place(struct rc_adapter_requests *requests)
{
    if (requests->served_free != 0) {
        struct rc_adapter_served *served = &requests->served[requests->served_free - 1];
        requests->served_free = served->next;
        return served;
    }
    return requests->served_high < RC_ADAPTER_REQUESTS_MAX ? &requests->served[requests->served_high++] : NULL;
}

/* Gives a place back that was not used. */
static void served_spare(struct rc_adapter_requests *requests, struct rc_adapter_served *served)
{
    if (served != NULL) {
        served->next = requests->served_free;
        requests->served_free = (uint32_t)(served - requests->served) + 1;
    }
}

/* Asks the workers; false: nobody was asked. */
static bool requests_ask(struct rc_adapter_requests *requests, struct rc_adapter_request *request, struct rc_span nsp,
                         struct rc_span message, const struct rc_call_tag *tag, struct rc_call_asked *asked)
{
    if (request->type != RC_ADAPTER_BROADCAST) {
        return requests_call(requests, request, nsp, tag, asked);
    }
    rc_adapter_ack_call(requests->adapter, request, nsp, message, tag, asked);
    return (asked->bits[0] | asked->bits[1]) != 0;
}

static void requests_serve(struct rc_adapter_requests *requests, struct rc_adapter_request *request, struct rc_span nsp,
                           struct rc_span message)
{
    struct rc_adapter_served *served = request->id.count > 0 ? served_place(requests) : NULL;
    struct rc_call_tag tag = {.nonce = requests->nonce, .index = OF_NOBODY, .serial = ++requests->serial};
    struct rc_call_asked asked = {0};
    if (request->id.count > 0 && served == NULL) {
        rc_metric_add(requests_metrics(requests), RC_METRIC_ADAPTER_DROPPED, 1);
        if (request->type != RC_ADAPTER_BROADCAST) {
            answer_none(requests, request, nsp);
        }
        return;
    }
    tag.index = served != NULL ? (uint32_t)(served - requests->served) : OF_NOBODY;
    if (!requests_ask(requests, request, nsp, message, &tag, &asked)) {
        served_spare(requests, served);
        answer_none(requests, request, nsp);
        return;
    }
    if (served == NULL) {
        return;
    }
    *served = (struct rc_adapter_served){.used = true,
                                         .type = request->type,
                                         .serial = tag.serial,
                                         .due_ms = rc_clock_ms() + RC_ADAPTER_REQUEST_MS,
                                         .asked = asked,
                                         .id_bytes = (uint8_t)request->id.count,
                                         .uid_bytes = (uint8_t)request->uid.count,
                                         .nsp_bytes = (uint8_t)nsp.count};
    memcpy(served->id, request->id.bytes, request->id.count);
    if (request->uid.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(served->uid, request->uid.bytes, request->uid.count);
    }
    memcpy(served->nsp, nsp.bytes, nsp.count);
    if (!requests->timer.set) {
        rc_timer_set(requests->adapter->bridge->timers, &requests->timer, served->due_ms, requests_due, requests);
    }
}

/* One socket by its id, as older servers ask: its owner alone does it and says so. */
static bool requests_is_for_other(const struct rc_adapter_requests *requests, const struct rc_adapter_request *request)
{
    struct rc_sid sid;
    return request->sid.count > 0 && !(rc_sid_read(&sid, rc_span_of(request->sid.bytes + 1, request->sid.count - 2)) &&
                                       rc_sid_is_of(&sid, requests->adapter->emission.instance));
}

static void request_received(void *context, struct rc_span nsp, struct rc_adapter_request *request,
                             struct rc_span message)
{
    struct rc_adapter_requests *requests = context;
    if (requests_is_for_other(requests, request)) {
        return;
    }
    rc_metric_add(requests_metrics(requests), RC_METRIC_ADAPTER_REQUESTS, 1);
    requests_serve(requests, request, nsp, message);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_adapter_requests_open(struct rc_adapter_requests *requests, struct rc_adapter_bridge *adapter)
{
    *requests = (struct rc_adapter_requests){.adapter = adapter};
    if (adapter->bridge == NULL) {
        return 0;
    }
    requests->served = calloc(RC_ADAPTER_REQUESTS_MAX, sizeof(*requests->served));
    if (requests->served == NULL) {
        return -ENOMEM;
    }
    /* Calls of other instances have their boot nonce alone. */
    requests->nonce = UINT64_C(1) << 32 | adapter->bridge->wire->boot_nonce;
    requests->serial = (uint32_t)rc_clock_ns(); /* a predecessor's replies may still come */
    rc_adapter_set_requests(adapter, request_received, requests);
    return 0;
}

void rc_adapter_requests_close(struct rc_adapter_requests *requests)
{
    for (uint32_t i = 0; i < requests->served_high; i++) {
        free(requests->served[i].text);
    }
    if (requests->served != NULL) {
        rc_timer_cancel(requests->adapter->bridge->timers, &requests->timer);
    }
    free(requests->served);
    free(requests->data.bytes);
    *requests = (struct rc_adapter_requests){.served = NULL};
}
