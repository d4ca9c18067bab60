/* emits: see emits.h. */
#include "relay/cluster/emits.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/channel_name.h"
#include "common/records/emit.h"
#include "relay/bridge/emit_wire.h"
#include "relay/bridge/foreign.h"

#define CHANNEL "ws:instances:emit"

static void emits_count(const struct rc_emits *emits, enum rc_metric_id metric)
{
    rc_metric_add(emits->bridge->wire->metrics, metric, 1);
}

bool rc_emits_is(const struct rc_envelope_view *view)
{
    return view->head.data_bytes >= sizeof(struct rc_call_head) && view->data[0] == RC_CALL_SOCKETS_EMIT;
}

/* --- of this host's workers ------------------------------------------------------------------------------------------ */

static int emits_message(const struct rc_emits *emits, const struct rc_envelope_view *view,
                         struct rc_emit_message *message)
{
    struct rc_emit_head head;
    struct rc_span args;
    struct rc_span room;
    const struct rc_span data =
        rc_span_of(view->data + sizeof(struct rc_call_head), view->head.data_bytes - sizeof(struct rc_call_head));
    if (rc_emit_read(data, &head, &message->asker, &args) < 0 || rc_args_read(args, &message->args) < 0 ||
        (head.flags & RC_EMIT_HOOK) == 0) {
        return -EINVAL;
    }
    (void)rc_channel_split(rc_span_of(view->channel, view->head.channel_bytes), &message->nsp, &room);
    message->is_volatile = (head.flags & RC_EMIT_VOLATILE) != 0;
    message->timeout_ms = head.timeout_ms;
    message->from = rc_span_text(emits->bridge->wire->instance_id);
    message->event = rc_span_of(view->event, view->head.event_bytes);
    message->names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    return message->nsp.count > 0 ? 0 : -EINVAL;
}

static int emits_publish(struct rc_emits *emits, const struct rc_envelope_view *view)
{
    struct rc_emit_message message;
    const int rc = emits_message(emits, view, &message);
    if (rc < 0) {
        return rc;
    }
    if (!rc_redis_up(emits->bridge->link) || rc_registry_refused(emits->registry)) {
        return -ENOTCONN;
    }
    const size_t bytes = rc_emit_message_bytes(&message);
    if (!rc_scratch_room(&emits->out, bytes)) {
        return -ENOMEM;
    }
    rc_emit_message_write(&message, emits->out.bytes);
    const struct rc_span part = rc_span_of(emits->out.bytes, bytes);
    /* Later nobody would wait for the answers. */
    const int sent = rc_redis_publish(emits->bridge->link, RC_SPAN(CHANNEL), &part, 1, RC_REDIS_PUBLISH_FLEETING);
    return sent < 0 ? sent : 0;
}

int rc_emits_send(struct rc_emits *emits, const struct rc_envelope_view *view)
{
    if (emits->registry->instance_count == 0 && rc_redis_up(emits->bridge->link)) {
        return -ENOSYS;
    }
    const int rc = emits_publish(emits, view);
    emits_count(emits, rc == 0 ? RC_METRIC_EMITS_SENT : RC_METRIC_EMITS_LOCAL);
    return rc == 0 ? 0 : -ENOTCONN;
}

/* --- of other instances ---------------------------------------------------------------------------------------------- */

static void emits_serve(struct rc_emits *emits, const struct rc_emit_message *message)
{
    static const struct rc_call_tag nobody;
    char everybody[RC_CHANNEL_NAME_MAX];
    struct rc_call_asked asked;
    const struct rc_emit_head head = {
        .timeout_ms = message->timeout_ms,
        .asker_bytes = (uint16_t)message->asker.count,
        .flags = (uint16_t)(RC_EMIT_HOOK | (message->is_volatile ? (uint32_t)RC_EMIT_VOLATILE : 0u))};
    const size_t args_bytes = rc_emit_message_args_bytes(message);
    if (!rc_scratch_room(&emits->in, RC_EMIT_BEFORE_MAX + args_bytes)) {
        emits_count(emits, RC_METRIC_EMITS_DROPPED);
        return;
    }
    uint8_t *args = emits->in.bytes + RC_EMIT_BEFORE_MAX;
    rc_emit_message_args(message, args);
    const uint8_t *data = rc_emit_put(args, &head, message->asker);
    const size_t channel_bytes = rc_channel_of_room(everybody, sizeof(everybody), message->nsp, (struct rc_span){0});
    const struct rc_envelope_view view = {.head = {.time_ns = rc_clock_ns(),
                                                   .channel_hash = rc_channel_hash(everybody, channel_bytes),
                                                   .data_bytes = (uint32_t)(args + args_bytes - data),
                                                   .exclude_text_bytes = (uint32_t)message->names.count,
                                                   .channel_bytes = (uint8_t)channel_bytes,
                                                   .event_bytes = (uint8_t)message->event.count,
                                                   .request_id_bytes = sizeof(nobody)},
                                          .channel = everybody,
                                          .request_id = (const uint8_t *)&nobody,
                                          .event = (const char *)message->event.bytes,
                                          .exclude_text = (const char *)message->names.bytes,
                                          .data = data};
    const struct rc_bridge_host *host = &emits->bridge->host;
    const bool served = host->call(host->context, &view, &asked);
    emits_count(emits, served ? RC_METRIC_EMITS_SERVED : RC_METRIC_EMITS_DROPPED);
}

static void emits_received(void *context, struct rc_span channel, struct rc_span bytes)
{
    struct rc_emits *emits = context;
    const struct rc_bridge *bridge = emits->bridge;
    struct rc_emit_message message;
    (void)channel;
    if (!rc_foreign_received(bridge, CHANNEL, bytes)) {
        return;
    }
    const int rc = rc_emit_message_read(&message, bytes);
    if (rc < 0) {
        rc_foreign_refused(bridge, CHANNEL, bytes, rc, "not an event that clients are to answer");
        return;
    }
    if (message.args.json.count + message.args.attachments.count > bridge->wire->message_bytes_max) {
        rc_foreign_refused(bridge, CHANNEL, bytes, -EMSGSIZE, NULL);
        return;
    }
    if (rc_span_equal(message.from, rc_span_text(bridge->wire->instance_id)) || rc_registry_refused(emits->registry)) {
        return; /* its own, whose clients have it; or of a cluster that this one is not in */
    }
    emits_serve(emits, &message);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_emits_open(struct rc_emits *emits, const struct rc_bridge *bridge, const struct rc_registry *registry)
{
    *emits = (struct rc_emits){.bridge = bridge,
                               .registry = registry,
                               .subscription = {.name = CHANNEL, .message = emits_received, .context = emits}};
    rc_redis_subscribe(bridge->link, &emits->subscription);
}

void rc_emits_close(struct rc_emits *emits)
{
    free(emits->out.bytes);
    free(emits->in.bytes);
    *emits = (struct rc_emits){.bridge = NULL};
}
