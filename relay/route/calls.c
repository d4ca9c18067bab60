/* calls: see calls.h. */
#include "relay/route/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/sockets.h"
#include "common/records/survey.h"

/* Answers the asking worker without a sequence: nothing was sent, or there is nothing to send. */
static void answer_call(struct rc_route_calls *calls, struct rc_relay_port *port, const struct rc_envelope_view *up,
                        const struct rc_envelope *head, const void *data)
{
    struct rc_envelope_view answer = {.head = *head, .request_id = up->request_id, .data = data};
    answer.head.origin = up->head.origin;
    answer.head.target = up->head.target;
    answer.head.flags = (uint16_t)(head->flags | RC_ENVELOPE_API | RC_ENVELOPE_ANSWER);
    answer.head.request_id_bytes = up->head.request_id_bytes;
    if (rc_fanout_send(calls->fanout, port, RC_DOWN_ANSWER, &answer) != 0) {
        rc_metric_add(calls->fanout->metrics, RC_METRIC_API_CALLS_DROPPED, 1);
    }
}

bool rc_route_calls_is_duplicate(struct rc_route_calls *calls, struct rc_relay_port *port,
                                 const struct rc_port_record *record, uint64_t sequence)
{
    struct rc_call_tag tag;
    if (calls->idempotency == NULL || !rc_call_tag_read(&record->view, &tag) || !rc_call_tag_keyed(&tag)) {
        return false;
    }
    const uint64_t first = rc_idempotency_find(calls->idempotency, tag.key, rc_clock_ms());
    if (first == 0 || first == sequence) {
        return false; /* with its own sequence: a predecessor died in the middle of this very message */
    }
    rc_metric_add(calls->fanout->metrics, RC_METRIC_API_DUPLICATES, 1);
    if (rc_fanout_asker(calls->fanout, port, record) != NULL) {
        const struct rc_envelope head = {.position = first, .flags = RC_ENVELOPE_DUPLICATE};
        answer_call(calls, port, &record->view, &head, NULL);
    }
    return true;
}

void rc_route_calls_remember_key(struct rc_route_calls *calls, const struct rc_envelope_view *view, uint64_t sequence)
{
    struct rc_call_tag tag;
    if (calls->idempotency != NULL && rc_call_tag_read(view, &tag) && rc_call_tag_keyed(&tag) &&
        rc_idempotency_put(calls->idempotency, tag.key, sequence, rc_clock_ms())) {
        rc_metric_add(calls->fanout->metrics, RC_METRIC_API_KEYS_EVICTED, 1);
    }
}

static int pass_on(struct rc_route_calls *calls, struct rc_relay_port *to, enum rc_record_type type,
                   const struct rc_envelope_view *view)
{
    const int rc = rc_fanout_send(calls->fanout, to, type, view);
    if (rc != 0) {
        rc_metric_add(calls->fanout->metrics, RC_METRIC_API_CALLS_DROPPED, 1);
    }
    return rc;
}

/* To these workers; false when one of them did not get it. `asker` as its replies name it. */
static bool pass_call_to(struct rc_route_calls *calls, struct rc_envelope_view view, uint32_t asker,
                         struct rc_worker_set targets, struct rc_call_asked *asked)
{
    bool all = true;
    view.head.sequence = 0;
    view.head.origin = (struct rc_client_ref){.worker = (uint16_t)asker};
    view.head.flags = RC_ENVELOPE_API;
    for (uint32_t i = 0; i < calls->fanout->port_count; i++) {
        if (!rc_worker_set_has(&targets, i)) {
            continue;
        }
        if (pass_on(calls, &calls->fanout->ports[i], RC_DOWN_CALL, &view) == 0) {
            asked->bits[i / 64] |= UINT64_C(1) << (i % 64);
        } else {
            all = false;
        }
    }
    return all;
}

/* To the workers that it is for. */
static bool pass_call(struct rc_route_calls *calls, struct rc_envelope_view view, uint32_t asker,
                      struct rc_call_asked *asked)
{
    struct rc_worker_set targets = calls->fanout->live;
    if (view.head.target.random != 0) {
        const struct rc_relay_port *only = rc_fanout_target(calls->fanout, &view.head.target);
        targets = (struct rc_worker_set){0};
        if (only != NULL) {
            rc_worker_set_put(&targets, only->index, true);
        }
        if (view.head.target.worker != RC_WORKER_FOREIGN) { /* who has not said yet whom it has may have this one */
            targets.bits[0] |= calls->fanout->unknown.bits[0] & calls->fanout->live.bits[0];
            targets.bits[1] |= calls->fanout->unknown.bits[1] & calls->fanout->live.bits[1];
        }
    }
    return pass_call_to(calls, view, asker, targets, asked);
}

/* Who asks about a room knows itself what it has. */
static void take_room_call(struct rc_route_calls *calls, struct rc_relay_port *port,
                           const struct rc_envelope_view *view)
{
    struct rc_envelope answer = {.data_bytes = sizeof(struct rc_call_asked)};
    struct rc_call_asked asked = {0};
    struct rc_worker_set targets = rc_fanout_interested(calls->fanout, view->head.channel_hash,
                                                        rc_span_of(view->channel, view->head.channel_bytes));
    rc_worker_set_put(&targets, port->index, false);
    /* What others cannot be asked for is left out: the row goes on with what is known. */
    const struct rc_remote_ops *remote = calls->remote->ops;
    const int rc =
        remote == NULL || remote->call == NULL ? -ENOSYS : remote->call(calls->remote->context, port->index, view);
    asked.scope = rc == 0 ? RC_CALL_SCOPE_ALL : rc == -ENOSYS ? RC_CALL_SCOPE_HOST : RC_CALL_SCOPE_LOCAL;
    answer.code = pass_call_to(calls, *view, port->index, targets, &asked) ? 0 : RC_ROUTE_UNAVAILABLE;
    answer_call(calls, port, view, &answer, &asked);
}

/* Other instances first: when they cannot be asked for want of room, nothing is done here either. */
static uint16_t ask_others(struct rc_route_calls *calls, const struct rc_relay_port *port,
                           const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    const struct rc_remote_ops *remote = calls->remote->ops;
    const bool theirs = view->head.target.random != 0;
    const int rc =
        remote == NULL || remote->call == NULL ? -ENOSYS : remote->call(calls->remote->context, port->index, view);
    switch (rc) {
    case 0:
        asked->scope = RC_CALL_SCOPE_ALL;
        return 0;
    case -ENOSYS:
        return theirs ? RC_ROUTE_NOT_FOUND : 0;
    case -EINVAL:
        return RC_ROUTE_NOT_FOUND;
    case -ENOTCONN:
        asked->scope = RC_CALL_SCOPE_LOCAL;
        return theirs ? RC_ROUTE_UNAVAILABLE : 0;
    default:
        return RC_ROUTE_UNAVAILABLE;
    }
}

/* Of this host alone. */
static bool is_survey(const struct rc_envelope_view *view)
{
    return view->head.data_bytes >= sizeof(struct rc_call_head) && rc_survey_is(view->data[0]);
}

void rc_route_calls_take(struct rc_route_calls *calls, struct rc_relay_port *port, const struct rc_port_record *record)
{
    if (rc_sockets_of_room(&record->view)) {
        take_room_call(calls, port, &record->view);
        return;
    }
    const struct rc_client_ref *target = &record->view.head.target;
    const bool theirs = target->random != 0 && target->worker == RC_WORKER_FOREIGN;
    struct rc_envelope answer = {.data_bytes = sizeof(struct rc_call_asked)};
    struct rc_call_asked asked = {0};
    if ((target->random == 0 && !is_survey(&record->view)) || theirs) {
        answer.code = ask_others(calls, port, &record->view, &asked);
    }
    if (answer.code == 0 && !theirs) {
        if (!pass_call(calls, record->view, port->index, &asked)) {
            answer.code = RC_ROUTE_UNAVAILABLE;
        } else if (target->random != 0 && (asked.bits[0] | asked.bits[1]) == 0) {
            answer.code = RC_ROUTE_NOT_FOUND;
        }
    }
    answer_call(calls, port, &record->view, &answer, &asked);
}

/* --- replies --- */

/* The reply to a subscribe, until Redis has confirmed the channel. */
struct rc_route_held {
    bool used;
    uint32_t serial;
    uint32_t worker; /* that replied */
    struct rc_envelope head;
    struct rc_call_tag tag;
    struct rc_reply_head reply;
};

static void pass_reply(struct rc_route_calls *calls, uint32_t worker, struct rc_envelope_view view)
{
    const uint32_t asker = view.head.target.worker;
    const struct rc_remote_ops *remote = calls->remote->ops;
    if (asker == RC_WORKER_FOREIGN && remote != NULL && remote->replied != NULL) {
        remote->replied(calls->remote->context, worker, &view);
    }
    if (asker >= calls->fanout->port_count || !rc_worker_set_has(&calls->fanout->live, asker)) {
        rc_metric_add(calls->fanout->metrics, RC_METRIC_API_REPLIES_UNWANTED, asker != RC_WORKER_FOREIGN);
        return; /* it died meanwhile */
    }
    view.head.sequence = 0;
    view.head.origin = (struct rc_client_ref){.worker = (uint16_t)worker};
    view.head.flags = RC_ENVELOPE_API;
    (void)pass_on(calls, &calls->fanout->ports[asker], RC_DOWN_REPLY, &view);
}

static void pass_held(struct rc_route_calls *calls, struct rc_route_held *held, uint32_t flags)
{
    held->used = false;
    held->reply.flags |= flags;
    const struct rc_envelope_view view = {
        .head = held->head, .request_id = (const uint8_t *)&held->tag, .data = (const uint8_t *)&held->reply};
    pass_reply(calls, held->worker, view);
}

void rc_route_calls_confirmed(struct rc_route_calls *calls, uint64_t token, bool everywhere)
{
    RC_ASSERT(calls->held != NULL && (uint32_t)token < RC_ROUTE_HELD_MAX);
    struct rc_route_held *held = &calls->held[(uint32_t)token];
    if (held->used && held->serial == token >> 32) {
        pass_held(calls, held, everywhere ? 0 : RC_REPLY_UNCONFIRMED);
    }
}

static struct rc_route_held *held_place(struct rc_route_calls *calls)
{
    if (calls->held == NULL) {
        calls->held = calloc(RC_ROUTE_HELD_MAX, sizeof(*calls->held));
    }
    if (calls->held == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < RC_ROUTE_HELD_MAX; i++) {
        struct rc_route_held *held = &calls->held[(calls->held_serial + i) % RC_ROUTE_HELD_MAX];
        if (!held->used) {
            return held;
        }
    }
    return NULL;
}

/* A worker has subscribed connections to this channel; its interest came up before. */
static void route_subscribed(struct rc_route_calls *calls, const struct rc_relay_port *port, struct rc_route_held *held,
                             struct rc_span channel, uint64_t hash)
{
    const struct rc_remote_ops *remote = calls->remote->ops;
    const struct rc_worker_set wanted =
        rc_interest_find(&calls->fanout->interest, hash, (const char *)channel.bytes, (uint32_t)channel.count);
    if (rc_worker_set_has(&calls->fanout->unknown, port->index)) {
        pass_held(calls, held, RC_REPLY_UNCONFIRMED); /* a new relay: it gets all messages of this host */
        return;
    }
    if (!rc_worker_set_has(&wanted, port->index)) {
        held->reply.count = 0; /* refused (add_interest): the connections will not be in it */
        pass_held(calls, held, RC_REPLY_BUSY);
        return;
    }
    struct rc_route_held *place = NULL;
    enum rc_confirmation result = RC_CONFIRMED;
    if (remote != NULL && remote->confirm != NULL) {
        place = held_place(calls);
        result = RC_CONFIRMED_HERE;
    }
    if (place != NULL) {
        held->serial = ++calls->held_serial;
        *place = *held;
        place->used = true;
        result = remote->confirm(calls->remote->context, hash, channel,
                                 (uint64_t)held->serial << 32 | (uint32_t)(place - calls->held));
        if (result == RC_CONFIRMATION_LATER) {
            return;
        }
        place->used = false;
    }
    pass_held(calls, held, result == RC_CONFIRMED ? 0 : RC_REPLY_UNCONFIRMED);
}

void rc_route_calls_take_reply(struct rc_route_calls *calls, const struct rc_relay_port *port,
                               const struct rc_port_record *record)
{
    struct rc_envelope_view view = record->view;
    const struct rc_span channel = rc_span_of(view.channel, view.head.channel_bytes);
    const uint64_t hash = view.head.channel_hash;
    struct rc_route_held held = {.worker = port->index};
    view.head.channel_bytes = 0;
    view.head.channel_hash = 0;
    if (channel.count > 0 && view.head.data_bytes == sizeof(held.reply) && rc_call_tag_read(&view, &held.tag)) {
        held.head = view.head;
        memcpy(&held.reply, view.data, sizeof(held.reply));
        route_subscribed(calls, port, &held, channel, hash);
    } else {
        pass_reply(calls, port->index, view);
    }
}

/* --- for other instances, and queries --- */

int rc_route_calls_pass(struct rc_route_calls *calls, uint32_t worker, enum rc_record_type type,
                        const struct rc_envelope_view *view)
{
    return worker < calls->fanout->port_count ? pass_on(calls, &calls->fanout->ports[worker], type, view) : -ENOTCONN;
}

bool rc_route_calls_serve(struct rc_route_calls *calls, const struct rc_envelope_view *view,
                          struct rc_call_asked *asked)
{
    *asked = (struct rc_call_asked){0};
    if (rc_sockets_of_room(view)) { /* of those who have somebody there */
        const struct rc_worker_set targets = rc_fanout_interested(calls->fanout, view->head.channel_hash,
                                                                  rc_span_of(view->channel, view->head.channel_bytes));
        return pass_call_to(calls, *view, RC_WORKER_FOREIGN, targets, asked);
    }
    return pass_call(calls, *view, RC_WORKER_FOREIGN, asked);
}

/* --- life --- */

void rc_route_calls_open(struct rc_route_calls *calls, struct rc_fanout *fanout, const struct rc_remote_way *remote,
                         struct rc_idempotency *idempotency)
{
    *calls = (struct rc_route_calls){.fanout = fanout, .remote = remote, .idempotency = idempotency};
}

void rc_route_calls_close(struct rc_route_calls *calls)
{
    free(calls->held);
    calls->held = NULL;
}
