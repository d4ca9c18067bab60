/*
 * trace: the one trace that a broker makes at a time, for `ringcast trace`: what is looked for, and what the processes have told of it.
 *
 *   begin ─▶ the filter, in the core segment ─▶ workers and relay write stages into their reports ─▶ read, again and again ─▶ end
 *
 * Who does not read for RC_TRACE_IDLE_MS has gone: the filter is taken away. Owned by the supervisor, called from its loop alone. What is
 * read is other processes' memory.
 */
#ifndef RC_ACCEPTOR_WATCH_TRACE_H
#define RC_ACCEPTOR_WATCH_TRACE_H

#include <stdio.h>

#include "acceptor/start/broker.h"
#include "common/base/err.h"

#define RC_TRACE_IDLE_MS 5000u
#define RC_TRACE_READ_MAX 2000u /* stages of one read; others stay until the next */

struct rc_trace {
    uint32_t serial;                   /* of the last one */
    bool runs;                         /* it is looked for something */
    uint64_t deadline_ms;              /* of who reads */
    uint64_t dropped;                  /* stages that were overwritten before they were read */
    uint64_t next[RC_WORKERS_MAX + 1]; /* number of the record to read next, of each worker and (last) the relay */
};

/* `words`: client=… user=… channel=… event=…, percent-encoded, with spaces between them. The serial of the trace; -EINVAL, or -EBUSY: another
 * one runs; with `err`. */
int rc_trace_begin(struct rc_trace *trace, struct rc_broker *broker, const char *words, uint64_t now_ms,
                   uint32_t *serial, struct rc_err *err);
/* What has been told since the last time, a JSON object a line, in the order of time. -ENOENT: that trace does not run. */
int rc_trace_read(struct rc_trace *trace, const struct rc_broker *broker, uint32_t serial, uint64_t now_ms, FILE *out);
void rc_trace_end(struct rc_trace *trace, struct rc_broker *broker, uint32_t serial);
/* Ends one that nobody reads. */
void rc_trace_tick(struct rc_trace *trace, struct rc_broker *broker, uint64_t now_ms);

#endif
