/* post: see post.h. */
#include "worker/engine/post.h"

#include <errno.h>

#include "common/base/check.h"
#include "common/records/select.h"

/* The excluded clients of this host; those of others hear of it by their own instances alone. */
static void post_excludes(const struct rc_clients *clients, const struct rc_operation *operation,
                          struct rc_client_ref *refs, struct rc_envelope_view *view)
{
    for (uint32_t i = 0; i < operation->exclude_count; i++) {
        const struct rc_span id = operation->exclude[i];
        if (rc_client_id_read((const char *)id.bytes, id.count, clients->control->instance_id,
                              clients->control->boot_nonce, &refs[view->head.exclude_count]) == RC_CLIENT_ID_LOCAL) {
            view->head.exclude_count++;
        }
    }
    view->excludes = (const uint8_t *)refs;
}

enum rc_carried rc_engine_post(struct rc_engines *engines, struct rc_span nsp, const struct rc_operation *operation)
{
    struct rc_clients *clients = engines->clients;
    const bool direct = operation->type == RC_OPERATION_DIRECT;
    const bool selects =
        operation->type == RC_OPERATION_PUBLISH && operation->rooms.count + operation->except.count > 0;
    char everybody[RC_CHANNEL_NAME_MAX];
    char select[RC_SELECT_BYTES];
    struct rc_client_ref refs[RC_EXCLUDE_MAX];
    struct rc_sid sid;
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .origin = {.worker = (uint16_t)clients->worker},
                 .data_bytes = (uint32_t)operation->data.count,
                 .event_bytes = (uint8_t)operation->event.count,
                 .key_bytes = (uint8_t)operation->key.count,
                 .flags = (uint16_t)((operation->data_kind == RC_DATA_ARGS ? RC_ENVELOPE_ARGS : 0u) |
                                     (operation->is_volatile ? RC_ENVELOPE_VOLATILE : 0u))},
        .key = operation->key.bytes,
        .event = (const char *)operation->event.bytes,
        .data = operation->data.bytes};
    const size_t bytes = rc_channel_of_room(everybody, sizeof(everybody), nsp, (struct rc_span){0});
    RC_ASSERT(bytes > 0); /* RC_NSP_MAX leaves room */
    const struct rc_span channel = direct ? rc_span_of(everybody, bytes) : operation->channel;
    view.channel = (const char *)channel.bytes;
    view.head.channel_bytes = (uint8_t)channel.count;
    view.head.channel_hash = rc_channel_hash(view.channel, channel.count);
    if (direct && rc_sid_read(&sid, operation->to)) {
        view.head.target = sid.client;
    }
    if (!direct) {
        post_excludes(clients, operation, refs, &view);
    }
    if (selects) {
        rc_select_write(&view, channel, operation->rooms, operation->except, select);
    }
    const bool keeps = operation->type == RC_OPERATION_RETAIN;
    const enum rc_record_type type = direct    ? RC_UP_DIRECT
                                     : keeps   ? RC_UP_RETAIN
                                     : selects ? RC_UP_SELECT
                                               : RC_UP_PUBLISH;
    const int rc = rc_uplink_queued(clients->uplink) ? -EAGAIN : rc_uplink_write(clients->uplink, type, &view);
    if (rc == -EAGAIN) {
        return RC_CARRIED_LATER; /* whoever gives it up counts it */
    }
    rc_metric_add(clients->metrics,
                  rc != 0  ? RC_METRIC_FAILED_DELIVERIES
                  : direct ? RC_METRIC_DIRECTS
                  : keeps  ? RC_METRIC_RETAINED
                           : RC_METRIC_PUBLISHES,
                  1);
    return rc == 0 ? RC_CARRIED_OUT : RC_CARRIED_REFUSED;
}
