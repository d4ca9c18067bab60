/* rule_send: see rule_send.h. */
#include "worker/engine/rule_send.h"

#include "common/base/check.h"
#include "worker/engine/post.h"

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

enum rc_carried rc_rule_send_operation(struct rc_rule_run *run, const struct rc_operation *operation)
{
    return run->client == 0 ? rc_engine_post(run->engines, run->nsp, operation)
                            : rc_client_carry_out(run->clients, run->client, RC_AUTHOR_BACKEND, operation);
}

static enum rc_carried send_or_fail(struct rc_rule_run *run, const struct rc_operation *operation)
{
    const enum rc_carried carried = rc_rule_send_operation(run, operation);
    if (carried == RC_CARRIED_REFUSED && operation->type != RC_OPERATION_DIRECT) {
        rc_rule_state_fail(run, RC_CODE_TOO_LARGE, "the message does not fit the server's rings");
    }
    return carried;
}

enum rc_carried rc_rule_send_kept(struct rc_rule_run *run, struct rc_span channel)
{
    struct rc_operation operation;
    rc_operation_reset(&operation);
    operation.type = RC_OPERATION_RETAIN;
    operation.channel = channel;
    operation.event = run->event;
    operation.data = run->args;
    operation.data_kind = RC_DATA_ARGS;
    return send_or_fail(run, &operation);
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
    operation.rooms = run->rooms;
    operation.except = run->except;
    operation.type = RC_OPERATION_PUBLISH;
    /* With exceptions its worker has to look whether it is one of them: it is a room, then. */
    if (run->except.count == 0 && rc_sid_read(&sid, name) && rc_sid_is_of(&sid, run->engines->instance)) {
        operation.type = RC_OPERATION_DIRECT;
        operation.to = name;
        operation.nsp = run->nsp;
        if (others && run->client != 0 && rc_hub_socket(run->clients->hub, &sid.client, run->nsp) == run->client) {
            return RC_CARRIED_OUT; /* to nobody */
        }
    }
    return send_or_fail(run, &operation); /* a socket that is not there any more is an empty room */
}
