/*
 * together: the rooms of one emit that are one message, which whoever is in several of them gets once (common/records/select.h).
 *
 * Rooms whose channel namespace keeps a history, or holds messages back (`min_interval`), are not among them: a message has its place in each
 * such channel, by which it is told. On the stack of who sends; one thread.
 */
#ifndef RC_WORKER_ENGINE_TOGETHER_H
#define RC_WORKER_ENGINE_TOGETHER_H

#include "common/config/policies.h"
#include "common/records/select.h"

struct rc_together {
    uint32_t count; /* rooms that were put in */
    uint32_t bytes;
    char names[RC_SELECT_NAMES_BYTES];
};

static inline void rc_together_begin(struct rc_together *together)
{
    together->count = together->bytes = 0;
}

/* Has the channel no places of its own? */
static inline bool rc_together_may(const struct rc_config *config, struct rc_span channel)
{
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(config, (const char *)channel.bytes, (uint32_t)channel.count);
    return policy->history == 0 && policy->min_interval_ms == 0;
}

/* Puts it in, if it may be: RC_SELECT_NAMES_MAX of them always fit. */
static inline void rc_together_put(struct rc_together *together, const struct rc_config *config, struct rc_span channel)
{
    if (rc_together_may(config, channel) &&
        rc_select_name_put(together->names, sizeof(together->names), &together->bytes, channel)) {
        together->count++;
    }
}

/* As of struct rc_operation. One room is a message for its channel. */
static inline struct rc_span rc_together_names(const struct rc_together *together)
{
    return rc_span_of(together->names, together->count > 1 ? together->bytes : 0);
}

#endif
