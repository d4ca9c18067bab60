/* rule_send: see rule_send.h. */
#include "worker/engine/rule_send.h"

#include <errno.h>

#include "common/base/check.h"

/* Name of the channel of everybody in the namespace. */
struct rc_span rc_rule_everybody(const struct rc_rule_run *run, char out[RC_CHANNEL_NAME_MAX])
{
    const size_t bytes = rc_channel_of_room(out, RC_CHANNEL_NAME_MAX, run->nsp, (struct rc_span){0});
    RC_ASSERT(bytes > 0);
    return rc_span_of(out, bytes);
}

void rc_rule_send_reply(struct rc_rule_run *run, const struct rc_event *event)
{
    if (rc_hub_reply_event(run->clients->hub, run->client, event) < 0) {
        rc_client_failed_memory(run->clients, run->client);
    }
}

/* A server's message: it has no origin, and nobody is to wait for room in the up ring. */
static enum rc_carried send_post(const struct rc_rule_run *run, const struct rc_operation *operation)
{
    struct rc_clients *clients = run->clients;
    const bool direct = operation->type == RC_OPERATION_DIRECT;
    char everybody[RC_CHANNEL_NAME_MAX];
    struct rc_sid sid;
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .origin = {.worker = (uint16_t)clients->worker},
                 .data_bytes = (uint32_t)operation->data.count,
                 .event_bytes = (uint8_t)operation->event.count,
                 .flags = (uint16_t)(RC_ENVELOPE_ARGS | (operation->is_volatile ? RC_ENVELOPE_VOLATILE : 0u))},
        .event = (const char *)operation->event.bytes,
        .data = operation->data.bytes};
    const struct rc_span channel = direct ? rc_rule_everybody(run, everybody) : operation->channel;
    view.channel = (const char *)channel.bytes;
    view.head.channel_bytes = (uint8_t)channel.count;
    view.head.channel_hash = rc_channel_hash(view.channel, channel.count);
    if (direct && rc_sid_read(&sid, operation->to)) {
        view.head.target = sid.client;
    }
    const int rc = rc_uplink_queued(clients->uplink)
                       ? -EAGAIN
                       : rc_uplink_write(clients->uplink, direct ? RC_UP_DIRECT : RC_UP_PUBLISH, &view);
    rc_metric_add(clients->metrics,
                  rc != 0  ? RC_METRIC_FAILED_DELIVERIES
                  : direct ? RC_METRIC_DIRECTS
                           : RC_METRIC_PUBLISHES,
                  1);
    return rc == 0 ? RC_CARRIED_OUT : rc == -EAGAIN ? RC_CARRIED_LATER : RC_CARRIED_REFUSED;
}

enum rc_carried rc_rule_send_operation(struct rc_rule_run *run, const struct rc_operation *operation)
{
    return run->client == 0 ? send_post(run, operation)
                            : rc_client_carry_out(run->clients, run->client, RC_AUTHOR_BACKEND, operation);
}

/* A message for a room, a socket or everybody. */
enum rc_carried rc_rule_send_message(struct rc_rule_run *run, struct rc_span channel, struct rc_span name,
                                     struct rc_span event, struct rc_span args, uint32_t flags)
{
    const bool others = (flags & RC_EVENT_OTHERS) != 0;
    struct rc_operation operation;
    struct rc_sid sid;
    rc_operation_reset(&operation);
    operation.event = event;
    operation.data = args;
    operation.data_kind = RC_DATA_ARGS;
    operation.echo = !others;
    operation.is_volatile = (flags & RC_EVENT_VOLATILE) != 0;
    operation.channel = channel;
    operation.type = RC_OPERATION_PUBLISH;
    if (rc_sid_read(&sid, name) && rc_sid_is_of(&sid, run->engines->instance)) {
        operation.type = RC_OPERATION_DIRECT;
        operation.to = name;
        operation.nsp = run->nsp;
        if (others && sid.client.worker == run->clients->worker && sid.client.slot == run->client) {
            return RC_CARRIED_OUT; /* to nobody */
        }
    }
    const enum rc_carried carried = rc_rule_send_operation(run, &operation);
    if (carried == RC_CARRIED_REFUSED && operation.type == RC_OPERATION_PUBLISH) {
        rc_rule_state_fail(run, RC_CODE_TOO_LARGE, "the message does not fit the server's rings");
    }
    return carried; /* a socket that is not there any more is an empty room */
}
