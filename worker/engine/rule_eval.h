/*
 * rule_eval: what the templates of a row are for the event that it is carried out for: arguments as they are sent, rooms as channels that
 * the client may use. Values themselves are the matter of worker/gate/rule_values.h.
 *
 * The functions return 0, or the code that run->code has then, with run->why.
 */
#ifndef RC_WORKER_ENGINE_RULE_EVAL_H
#define RC_WORKER_ENGINE_RULE_EVAL_H

#include "worker/engine/rule_state.h"

/* Arguments of an acknowledgement or emit, with the attachments that they have: just what came, or in engines->result until the next call. */
int rc_rule_eval_args(struct rc_rule_run *run, const struct rc_event_template *template, struct rc_span *out);

/* A room and its channel. */
struct rc_rule_target {
    char name[RC_CHANNEL_NAME_MAX];
    size_t bytes;
    char channel[RC_CHANNEL_NAME_MAX];
    size_t channel_bytes;
};

static inline struct rc_span rc_rule_target_channel(const struct rc_rule_target *target)
{
    return rc_span_of(target->channel, target->channel_bytes);
}

/* What an operation of the type is done to. Where the client names the room's channel namespace itself, it must be allowed to use it so. */
int rc_rule_eval_target(struct rc_rule_run *run, const struct rc_event_template *template,
                        enum rc_event_operation_type type, struct rc_rule_target *room);

#endif
