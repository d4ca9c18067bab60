/* python: see python.h. */
#include "relay/bridge/python.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/select.h"
#include "common/records/sockets.h"
#include "relay/bridge/asking.h"
#include "relay/bridge/foreign.h"
#include "relay/bridge/python_wire.h"

static struct rc_metrics *python_metrics(const struct rc_python_bridge *python)
{
    return python->emission.bridge->wire->metrics;
}

static void python_refused(const struct rc_python_bridge *python, struct rc_span text, int rc, const char *why)
{
    rc_foreign_refused(python->emission.bridge, python->channel, text, rc, why);
}

/* --- emit ------------------------------------------------------------------------------------------------------------ */

static enum rc_record_type emit_targets(const struct rc_python_message *message, struct rc_targets *targets,
                                        struct rc_envelope_view *view)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_span name;
    struct rc_python_names names = rc_python_names_of(&message->room);
    bool everybody = false;
    int got;
    while ((got = rc_python_name_next(&names, scratch, &name)) != 0) {
        if (got > 0 && name.count > 0) {
            rc_targets_room(targets, name);
        }
        everybody = everybody || got == -ENOENT; /* null is the room that everybody is in, also in a list */
    }
    if (everybody) {
        rc_targets_everybody(targets);
    } else if (targets->room_count == 0) {
        targets->room_count = 1; /* an empty list, or rooms that no client can be in: they are not everybody */
    }
    rc_targets_except(targets);
    names = rc_python_names_of(&message->skip_sid);
    while ((got = rc_python_name_next(&names, scratch, &name)) != 0) {
        if (got > 0 && name.count > 0) {
            rc_targets_excepted(targets, name);
        }
    }
    return rc_targets_view(targets, view);
}

static void python_emit(struct rc_python_bridge *python, const struct rc_python_message *message, struct rc_span text)
{
    struct rc_emission *emission = &python->emission;
    const size_t data_bytes_max = emission->bridge->wire->message_bytes_max;
    struct rc_targets targets = rc_emission_targets(emission, message->nsp);
    struct rc_envelope_view view = rc_emission_view();
    struct rc_span args;
    uint8_t asker[RC_EMIT_ASKER_MAX];
    const int64_t asker_bytes = rc_python_callback(message, asker, sizeof(asker));
    const enum rc_record_type type = emit_targets(message, &targets, &view);
    if (type == 0) {
        return;
    }
    if (rc_targets_cut(&targets, type)) {
        python_refused(python, text, -EINVAL, "too many rooms");
        return;
    }
    if (!rc_scratch_room(&emission->buffer, RC_EMIT_BEFORE_MAX + rc_python_args_room(text.count, data_bytes_max))) {
        python_refused(python, text, -ENOMEM, "no memory");
        return;
    }
    const int rc = rc_python_args(message, emission->buffer.bytes + RC_EMIT_BEFORE_MAX, data_bytes_max, &args);
    if (rc < 0) {
        python_refused(python, text, rc, "not the arguments of an event");
        return;
    }
    if (asker_bytes < 0) { /* the event is as good without */
        rc_metric_add(python_metrics(python), RC_METRIC_PYTHON_ANSWERS_DROPPED, 1);
    }
    if (asker_bytes <= 0) {
        rc_emission_deliver(emission, type, &view, message->event, args, RC_METRIC_PYTHON_RECEIVED);
        return;
    }
    rc_emission_fill(emission, &view, message->event, args, RC_METRIC_PYTHON_RECEIVED);
    struct rc_call_asked asked;
    const struct rc_asking asking = {.tag = {.nonce = python->nonce, .index = UINT32_MAX, .serial = ++python->serial},
                                     .asker = rc_span_of(asker, (size_t)asker_bytes)};
    rc_asking_call(&emission->bridge->host, &targets, type, &view, &asking, &asked);
}

/* What a client answers to an emit with a callback. */
static void python_answered(const struct rc_python_bridge *python, const struct rc_envelope_view *view)
{
    struct rc_span asker;
    struct rc_args_view args;
    int rc = rc_asking_answer(view, &asker, &args);
    if (rc == -ENOENT) {
        return;
    }
    if (rc == 0 && args.attachment_count > 0) {
        rc = -ENOTSUP; /* json.dumps of bytes fails in python-socketio, too */
    }
    if (rc == 0) {
        const struct rc_span parts[] = {asker, args.json, RC_SPAN("}")};
        rc = rc_redis_publish(python->emission.bridge->link, rc_span_text(python->channel), parts,
                              RC_ARRAY_COUNT(parts), 0);
    }
    if (rc < 0) {
        rc_metric_add(python_metrics(python), RC_METRIC_PYTHON_ANSWERS_DROPPED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "python_answer_dropped", "bytes=%u reason=\"%s\"", view->head.data_bytes,
                       rc == -ENOTSUP ? "it has binary arguments" : "it could not be published");
        return;
    }
    rc_metric_add(python_metrics(python), RC_METRIC_PYTHON_ANSWERS, 1);
}

/* --- sockets --------------------------------------------------------------------------------------------------------- */

/* Appends the rooms that clients can be in. */
static void put_rooms(struct rc_select *select, const struct rc_python_message *message)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_span name;
    struct rc_python_names names = rc_python_names_of(&message->room);
    int got;
    while ((got = rc_python_name_next(&names, scratch, &name)) != 0) {
        if (got > 0 && name.count > 0) {
            rc_select_put(select, message->nsp, name);
        }
    }
}

/* Which sockets are meant: one, or those in the rooms. False: none of this instance. */
static bool put_sockets(const struct rc_python_bridge *python, const struct rc_python_message *message,
                        struct rc_select *select)
{
    struct rc_sid sid;
    if (message->method == RC_PYTHON_CLOSE_ROOM) {
        put_rooms(select, message);
    } else if (rc_targets_is_own(python->emission.instance, message->sid, &sid)) {
        rc_select_put(select, message->nsp, message->sid);
    }
    if (select->bytes == 0) {
        return false; /* without rooms it would be for everybody */
    }
    rc_select_except(select);
    return true;
}

static void python_call(struct rc_python_bridge *python, const struct rc_python_message *message, struct rc_span text)
{
    static const uint8_t operations[] = {[RC_PYTHON_DISCONNECT] = RC_CALL_SOCKETS_CLOSE, /* the namespace alone */
                                         [RC_PYTHON_ENTER_ROOM] = RC_CALL_SOCKETS_JOIN,
                                         [RC_PYTHON_LEAVE_ROOM] = RC_CALL_SOCKETS_LEAVE,
                                         [RC_PYTHON_CLOSE_ROOM] = RC_CALL_SOCKETS_LEAVE};
    struct rc_emission *emission = &python->emission;
    const struct rc_bridge_host *host = &emission->bridge->host;
    const struct rc_call_head head = {.operation = operations[message->method]};
    const struct rc_call_tag tag = {.nonce = python->nonce, .index = UINT32_MAX, .serial = ++python->serial};
    struct rc_select sockets = {.text = emission->names};
    struct rc_call_asked asked = {0};
    char everybody[RC_NSP_MAX + 1];
    if (!put_sockets(python, message, &sockets)) {
        return;
    }
    if (!rc_scratch_room(&emission->buffer, sizeof(head) + RC_EXCLUDE_TEXT_MAX)) {
        python_refused(python, text, -ENOMEM, "no memory");
        return;
    }
    memcpy(emission->buffer.bytes, &head, sizeof(head));
    struct rc_select rooms = {.text = (char *)emission->buffer.bytes + sizeof(head)};
    if (message->method != RC_PYTHON_DISCONNECT) {
        put_rooms(&rooms, message);
        if (rooms.bytes == 0) {
            return; /* no client can be in it */
        }
    }
    if (sockets.full || rooms.full) {
        python_refused(python, text, -EINVAL, "too many rooms");
        return;
    }
    const struct rc_envelope_view view = {.head = {.time_ns = rc_clock_ns(),
                                                   .request_id_bytes = sizeof(tag),
                                                   .exclude_text_bytes = sockets.bytes,
                                                   .channel_bytes = (uint8_t)rc_channel_of_room(
                                                       everybody, sizeof(everybody), message->nsp, (struct rc_span){0}),
                                                   .data_bytes = (uint32_t)sizeof(head) + rooms.bytes},
                                          .channel = everybody,
                                          .request_id = (const uint8_t *)&tag,
                                          .exclude_text = emission->names,
                                          .data = emission->buffer.bytes};
    rc_metric_add(python_metrics(python), RC_METRIC_PYTHON_RECEIVED, 1);
    (void)host->call(host->context, &view, &asked);
}

bool rc_python_replied(const struct rc_python_bridge *python, const struct rc_envelope_view *view)
{
    struct rc_call_tag tag;
    if (python->emission.bridge == NULL || !rc_call_tag_read(view, &tag) || tag.nonce != python->nonce) {
        return false;
    }
    if (rc_asking_is_answer(view)) {
        python_answered(python, view);
    }
    return true;
}

/* --- what comes in --------------------------------------------------------------------------------------------------- */

static void python_received(void *context, struct rc_span channel, struct rc_span text)
{
    struct rc_python_bridge *python = context;
    struct rc_python_message message;
    (void)channel;
    if (!rc_foreign_received_base64(python->emission.bridge, python->channel, text)) {
        return;
    }
    if (rc_json_peek(text) != RC_JSON_OBJECT) {
        python_refused(python, text, -EBADMSG,
                       text.count > 0 && text.bytes[0] == 0x80 ? "a pickle: python-socketio 5.14 and later publish JSON"
                                                               : "not a JSON object");
        return;
    }
    const int rc = rc_python_read(&message, text);
    if (rc < 0) {
        python_refused(python, text, rc, "not a message of python-socketio");
        return;
    }
    switch (message.method) {
    case RC_PYTHON_OTHER:
        break;
    case RC_PYTHON_EMIT:
        python_emit(python, &message, text);
        break;
    case RC_PYTHON_DISCONNECT:
    case RC_PYTHON_ENTER_ROOM:
    case RC_PYTHON_LEAVE_ROOM:
    case RC_PYTHON_CLOSE_ROOM:
        python_call(python, &message, text);
        break;
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_python_open(struct rc_python_bridge *python, const struct rc_bridge *bridge,
                   const struct rc_config_socketio *config)
{
    *python = (struct rc_python_bridge){.serial = 0};
    if (config->python_channel.text[0] == '\0') {
        return 0;
    }
    const int rc = rc_emission_open(&python->emission, bridge);
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(python->channel, sizeof(python->channel), "%s", config->python_channel.text);
    /* Calls of other instances have their boot nonce alone, those of adapter_requests the next bit. */
    python->nonce = UINT64_C(2) << 32 | bridge->wire->boot_nonce;
    python->subscription =
        (struct rc_redis_subscription){.name = python->channel, .message = python_received, .context = python};
    rc_redis_subscribe(bridge->link, &python->subscription);
    return 0;
}

void rc_python_close(struct rc_python_bridge *python)
{
    rc_emission_close(&python->emission);
}
