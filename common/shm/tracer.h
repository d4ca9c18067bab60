/*
 * tracer: what `ringcast trace` looks for, as the acceptor writes it into the core segment, and the end of it in a worker or the relay.
 *
 * Off, a process compares one word in each pass of its loop, and each stage is one branch on a word of its own. On, stages are written
 * into the process's report (common/records/traced.h), whose ring forgets the oldest: nobody waits for who reads. The acceptor alone
 * writes the filter; each process owns its tracer.
 */
#ifndef RC_COMMON_SHM_TRACER_H
#define RC_COMMON_SHM_TRACER_H

#include <stdbool.h>

#include "common/base/span.h"
#include "common/shm/layout.h"

/* Acceptor: from now on this is looked for; `wanted->by` 0: nothing. */
void rc_trace_filter_write(struct rc_trace_filter *filter, const struct rc_trace_wanted *wanted);

struct rc_tracer {
    const struct rc_trace_filter *filter; /* borrowed: mapped; NULL = it was not opened, and nothing is traced */
    struct rc_flight_traced *ring;        /* borrowed: of this process's report */
    uint32_t revision;                    /* of the filter, as `wanted` has it */
    struct rc_trace_wanted wanted;
};

void rc_tracer_open(struct rc_tracer *tracer, const struct rc_core *core, struct rc_report *own);
/* Something else than before is looked for: `wanted` has it. Every pass of the loop. */
static inline bool rc_tracer_changed(const struct rc_tracer *tracer)
{
    return tracer->filter != NULL &&
           atomic_load_explicit(&tracer->filter->revision, memory_order_relaxed) != tracer->revision;
}
/* Takes it over; false: it is just being written. */
bool rc_tracer_adopt(struct rc_tracer *tracer);

/* Does a message of this channel and event fit what is said of them? Also when nothing is. */
bool rc_tracer_fits(const struct rc_tracer *tracer, struct rc_span channel, struct rc_span event);

/* Writes a stage. `stage` has all but serial, texts, and time_ns, which is now if it is 0. */
void rc_tracer_tell(struct rc_tracer *tracer, const struct rc_traced *stage, struct rc_span channel,
                    struct rc_span event, const char *why);

#endif
