/*
 * trace: the one trace that a broker makes at a time, for `ringcast trace` and, by what workers ask in their reports, for GET /api/trace: what is
 * looked for, and what the processes have told of it (common/shm/trace_reader.h).
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
#include "common/shm/trace_reader.h"

#define RC_TRACE_IDLE_MS 5000u
#define RC_TRACE_SILENT_MS 2000u /* a worker that has not begun to look by then is told of */
/* Stages of one read, which fit RC_CONSOLE_OUTPUT_MAX however long they are; others stay until the next. */
#define RC_TRACE_READ_MAX 700u

struct rc_trace {
    uint32_t serial;  /* of the last one */
    bool runs;        /* it is looked for something */
    bool of_somebody; /* for a client or a user, of whom it has not been said that there is none */
    bool of_silent;   /* it has not been said yet which workers do not look */
    uint64_t begun_ms;
    uint64_t deadline_ms;           /* of who reads */
    struct rc_trace_place place;    /* how far `ringcast trace` has read */
    uint32_t asked[RC_WORKERS_MAX]; /* revision of what each worker asked for last (struct rc_trace_ask) */
};

/* `words`: as acceptor/watch/trace_words.h has them. The serial of the trace; -EINVAL, or -EBUSY: another
 * one runs; with `err`. */
int rc_trace_begin(struct rc_trace *trace, struct rc_broker *broker, const char *words, uint64_t now_ms,
                   uint32_t *serial, struct rc_err *err);
/* What has been told since the last time, a JSON object a line, in the order of time; and once, when every worker has said that it has none
 * of those who are looked for, a stage `nobody`; and once a stage `silent` of each worker that has not begun to look in time. -ENOENT: that trace does not run. */
int rc_trace_read(struct rc_trace *trace, const struct rc_broker *broker, uint32_t serial, uint64_t now_ms, FILE *out);
void rc_trace_end(struct rc_trace *trace, struct rc_broker *broker, uint32_t serial);
/* Begins and ends what workers ask for, and ends one that nobody reads. */
void rc_trace_tick(struct rc_trace *trace, struct rc_broker *broker, uint64_t now_ms);

#endif
