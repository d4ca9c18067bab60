/* rule_tell: see rule_tell.h. */
#include "worker/engine/rule_tell.h"

#include <stdio.h>

#include "worker/engine/rule_eval.h"
#include "worker/engine/rule_send.h"
#include "worker/engine/rule_trace.h"
#include "worker/gate/rule_policy.h"

/* In place of the acknowledgement that was asked for. */
static void tell_ack(struct rc_rule_run *run, struct rc_span error)
{
    const struct rc_event_template *template = run->row == NULL ? NULL : &run->row->guards.ack;
    char everybody[RC_CHANNEL_NAME_MAX];
    char text[RC_RULE_ERROR_MAX + sizeof("{\"error\":}")];
    struct rc_span args;
    struct rc_event event = {.type = RC_EVENT_ACK, .channel = rc_rule_everybody(run, everybody), .id = run->id};
    if (template != NULL && template->piece_count > 0) {
        run->values.input.documents[rc_rule_document(RC_EVENT_SOURCE_ERROR)] = error;
        if (rc_rule_eval_args(run, template, &args) == 0) {
            event.data = args;
            event.data_kind = RC_DATA_ARGS;
            rc_rule_send_reply(run, &event);
            return;
        }
    }
    const int count = snprintf(text, sizeof(text), "{\"error\":%.*s}", (int)error.count, (const char *)error.bytes);
    event.data = rc_span_of(text, (size_t)count);
    rc_rule_send_reply(run, &event);
}

void rc_rule_tell(struct rc_rule_run *run)
{
    char error[RC_RULE_ERROR_MAX];
    char everybody[RC_CHANNEL_NAME_MAX];
    uint8_t name[RC_EVENT_NAME_MAX];
    const struct rc_config *config = run->clients->config;
    const struct rc_event_guards *guards = run->row == NULL ? NULL : &run->row->guards;
    const struct rc_span json = rc_rule_error(config, guards, run->guard, run->code, run->why, error);
    rc_metric_add(run->clients->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    rc_client_repeats(run->clients, 0); /* it is none of the steps that were done */
    if (rc_rule_traces(run->clients)) {
        rc_rule_trace_refused(run);
    }
    if (run->id.count > 0) {
        tell_ack(run, json);
        return;
    }
    rc_rule_send_reply(run, &(struct rc_event){.type = RC_EVENT_DIRECT,
                                               .channel = rc_rule_everybody(run, everybody),
                                               .event = rc_rule_error_event(config, guards, name),
                                               .data = json});
}
