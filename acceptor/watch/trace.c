/* trace: see trace.h. */
#include "acceptor/watch/trace.h"

#include <errno.h>
#include <string.h>

#include "acceptor/watch/trace_words.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/tracer.h"

#define TRACE_NOBODY                                                                                        \
    "no worker of this instance has such a client, so nothing is sent to it here: it is not connected, or " \
    "to another instance, or is not who it is taken for. `ringcast clients` says who is here, "             \
    "`ringcast clients --closed` who has ended lately"

static struct rc_trace_source trace_source(const struct rc_broker *broker)
{
    const struct rc_core *core = rc_broker_core(broker);
    struct rc_trace_source source = {.instance_id = core->instance_id,
                                     .boot_nonce = core->boot_nonce,
                                     .wall_ahead_ms = rc_clock_wall_ms() - rc_clock_ms(),
                                     .worker_count = broker->worker_count};
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        source.reports[i] = broker->segments.workers[i];
    }
    source.reports[broker->worker_count] = &broker->segments.relay->report;
    return source;
}

/* `wanted` is right but for its serial. */
static void trace_start(struct rc_trace *trace, struct rc_broker *broker, struct rc_trace_wanted *wanted,
                        uint64_t now_ms)
{
    const struct rc_trace_source source = trace_source(broker);
    wanted->serial = ++trace->serial;
    trace->runs = true;
    trace->of_somebody = (wanted->by & RC_TRACE_BY_WHO) != 0;
    trace->of_silent = true;
    trace->begun_ms = now_ms;
    trace->deadline_ms = now_ms + RC_TRACE_IDLE_MS;
    rc_trace_place_begin(&trace->place, &source);
    rc_trace_filter_write(&rc_broker_core(broker)->trace, wanted);
    rc_broker_ring_all(broker);
    rc_log_info("trace_started", "serial=%u", trace->serial);
}

int rc_trace_begin(struct rc_trace *trace, struct rc_broker *broker, const char *words, uint64_t now_ms,
                   uint32_t *serial, struct rc_err *err)
{
    const struct rc_core *core = rc_broker_core(broker);
    struct rc_trace_wanted wanted = {.by = 0};
    if (trace->runs) {
        return rc_err_set(err, -EBUSY,
                          "another trace runs, and one is the most: it ends when its reader does, or %u s later",
                          RC_TRACE_IDLE_MS / 1000);
    }
    const int rc = rc_trace_words_read(&wanted, core->instance_id, core->boot_nonce, words, err);
    if (rc < 0) {
        return rc;
    }
    trace_start(trace, broker, &wanted, now_ms);
    *serial = trace->serial;
    return 0;
}

static void trace_stop(struct rc_trace *trace, struct rc_broker *broker, const char *why)
{
    const struct rc_trace_wanted nothing = {.serial = trace->serial};
    rc_trace_filter_write(&rc_broker_core(broker)->trace, &nothing);
    rc_broker_ring_all(broker);
    trace->runs = false;
    rc_log_info("trace_ended", "serial=%u dropped=%llu why=\"%s\"", trace->serial,
                (unsigned long long)trace->place.lost, why);
}

void rc_trace_end(struct rc_trace *trace, struct rc_broker *broker, uint32_t serial)
{
    if (trace->runs && trace->serial == serial) {
        trace_stop(trace, broker, "its reader ended it");
    }
}

/* What a worker asks for its callers: a trace, where none runs, or the end of one; and whether they read it. It is its memory: `by` and the
 * lengths are bounded here and in rc_tracer_adopt. */
static void trace_asked(struct rc_trace *trace, struct rc_broker *broker, uint32_t worker, uint64_t now_ms)
{
    const struct rc_trace_ask *ask = &broker->segments.workers[worker]->trace_ask;
    const uint64_t read_ms = atomic_load_explicit(&ask->read_ms, memory_order_relaxed);
    const bool lately = read_ms <= now_ms && now_ms - read_ms < RC_TRACE_IDLE_MS;
    struct rc_tracer asks = {.filter = &ask->wanted, .revision = trace->asked[worker]};
    if (rc_tracer_changed(&asks) && rc_tracer_adopt(&asks)) {
        struct rc_trace_wanted *wanted = &asks.wanted;
        trace->asked[worker] = asks.revision;
        wanted->by &= RC_TRACE_BY_WHO | RC_TRACE_BY_WHAT;
        if (wanted->by == 0 && trace->runs && wanted->serial == trace->serial) {
            trace_stop(trace, broker, "its reader ended it");
        } else if (wanted->by != 0 && !trace->runs && lately) {
            trace_start(trace, broker, wanted, now_ms);
        }
    }
    if (trace->runs && lately && atomic_load_explicit(&ask->read_serial, memory_order_relaxed) == trace->serial &&
        read_ms + RC_TRACE_IDLE_MS > trace->deadline_ms) {
        trace->deadline_ms = read_ms + RC_TRACE_IDLE_MS;
    }
}

void rc_trace_tick(struct rc_trace *trace, struct rc_broker *broker, uint64_t now_ms)
{
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        trace_asked(trace, broker, i, now_ms);
    }
    if (trace->runs && now_ms >= trace->deadline_ms) {
        trace_stop(trace, broker, "nobody reads it");
    }
}

/* What happens in a worker that hangs is not shown: who reads would take it for nothing. */
static void trace_silent(const struct rc_trace *trace, const struct rc_broker *broker, FILE *out)
{
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        if (!trace->place.said[i] && rc_broker_use(broker, &broker->workers[i]) == RC_WORKER_USED) {
            (void)fprintf(
                out,
                "{\"stage\":\"silent\",\"process\":\"worker/%u\",\"count\":0,\"why\":\"it has not begun to look: it "
                "hangs, or was just started (`ringcast status`); what happens there is not shown until it "
                "does\"}\n",
                i);
        }
    }
}

int rc_trace_read(struct rc_trace *trace, const struct rc_broker *broker, uint32_t serial, uint64_t now_ms, FILE *out)
{
    if (!trace->runs || trace->serial != serial) {
        return -ENOENT;
    }
    const struct rc_trace_source source = trace_source(broker);
    const uint64_t before = trace->place.lost;
    trace->deadline_ms = now_ms + RC_TRACE_IDLE_MS;
    const int count = rc_trace_stages(&trace->place, &source, serial, RC_TRACE_READ_MAX, "\n", out);
    if (count > 0) {
        (void)fputc('\n', out);
    }
    if (trace->place.lost > before) {
        (void)fprintf(out, "{\"stage\":\"dropped\",\"count\":%llu}\n",
                      (unsigned long long)(trace->place.lost - before));
    }
    if (trace->of_somebody && rc_trace_nobody(&trace->place, &source)) {
        trace->of_somebody = false;
        (void)fprintf(out, "{\"stage\":\"nobody\",\"count\":0,\"why\":\"%s\"}\n", TRACE_NOBODY);
    }
    if (trace->of_silent && now_ms - trace->begun_ms >= RC_TRACE_SILENT_MS) {
        trace->of_silent = false;
        trace_silent(trace, broker, out);
    }
    return count < 0 ? count : 0;
}
