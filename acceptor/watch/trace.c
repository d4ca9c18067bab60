/* trace: see trace.h. */
#include "acceptor/watch/trace.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/shm/tracer.h"

/* --- what is looked for --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* A value up to its space; its bytes, -EINVAL when it is too long or not rightly encoded. */
static int value_read(const char *value, char *out, size_t capacity)
{
    size_t bytes = 0;
    while (*value != '\0' && *value != ' ') {
        int c = (unsigned char)*value++;
        if (c == '%') {
            const int high = hex_digit(value[0]);
            const int low = high < 0 ? -1 : hex_digit(value[1]);
            if (low < 0) {
                return -EINVAL;
            }
            c = high * 16 + low;
            value += 2;
        }
        if (bytes == capacity) {
            return -EINVAL;
        }
        out[bytes++] = (char)c;
    }
    return (int)bytes;
}

static int wanted_client(struct rc_trace_wanted *wanted, const struct rc_core *core, const char *id, size_t bytes,
                         struct rc_err *err)
{
    if (rc_client_id_read(id, bytes, core->instance_id, core->boot_nonce, &wanted->client) != RC_CLIENT_ID_LOCAL) {
        return rc_err_set(err, -EINVAL, "this is no client of this instance since its start");
    }
    return 0;
}

static int wanted_read(struct rc_trace_wanted *wanted, const struct rc_core *core, const char *words,
                       struct rc_err *err)
{
    static const struct {
        const char *word;
        uint32_t by;
    } kinds[] = {{"client=", RC_TRACE_BY_CLIENT},
                 {"user=", RC_TRACE_BY_USER},
                 {"channel=", RC_TRACE_BY_CHANNEL},
                 {"event=", RC_TRACE_BY_EVENT}};
    while (*words != '\0') {
        size_t kind = 0;
        while (kind < RC_ARRAY_COUNT(kinds) && strncmp(words, kinds[kind].word, strlen(kinds[kind].word)) != 0) {
            kind++;
        }
        if (kind == RC_ARRAY_COUNT(kinds)) {
            return rc_err_set(err, -EINVAL, "it can be looked for client, user, channel and event");
        }
        char id[RC_CLIENT_ID_MAX];
        const char *value = words + strlen(kinds[kind].word);
        char *const places[] = {id, wanted->user, wanted->channel, wanted->event};
        const size_t sizes[] = {sizeof(id), 255, 255, 255};
        const int bytes = value_read(value, places[kind], sizes[kind]);
        if (bytes <= 0) {
            return rc_err_set(err, -EINVAL, "the value of %s is empty, too long or not rightly encoded",
                              kinds[kind].word);
        }
        uint16_t *const lengths[] = {NULL, &wanted->user_bytes, &wanted->channel_bytes, &wanted->event_bytes};
        if (lengths[kind] != NULL) {
            *lengths[kind] = (uint16_t)bytes;
        } else if (wanted_client(wanted, core, id, (size_t)bytes, err) < 0) {
            return -EINVAL;
        }
        wanted->by |= kinds[kind].by;
        words = value + strcspn(value, " ");
        words += strspn(words, " ");
    }
    return wanted->by != 0 ? 0 : rc_err_set(err, -EINVAL, "what is to be looked for is missing");
}

static struct rc_trace_source trace_source(const struct rc_broker *broker)
{
    const struct rc_core *core = rc_broker_core(broker);
    struct rc_trace_source source = {.instance_id = core->instance_id,
                                     .boot_nonce = core->boot_nonce,
                                     .boot_wall_ms = core->boot_wall_ms,
                                     .boot_ms = core->boot_ms,
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
    trace->deadline_ms = now_ms + RC_TRACE_IDLE_MS;
    rc_trace_place_begin(&trace->place, &source);
    rc_trace_filter_write(&rc_broker_core(broker)->trace, wanted);
    rc_broker_ring_all(broker);
    rc_log_info("trace_started", "serial=%u", trace->serial);
}

int rc_trace_begin(struct rc_trace *trace, struct rc_broker *broker, const char *words, uint64_t now_ms,
                   uint32_t *serial, struct rc_err *err)
{
    struct rc_trace_wanted wanted = {.by = 0};
    if (trace->runs) {
        return rc_err_set(err, -EBUSY, "another trace runs: one at a time");
    }
    const int rc = wanted_read(&wanted, rc_broker_core(broker), words, err);
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
    return count < 0 ? count : 0;
}
