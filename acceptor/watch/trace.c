/* trace: see trace.h. */
#include "acceptor/watch/trace.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/shm/tracer.h"

static const char *const stages[] = {
#define STAGE(name, word, help) [RC_TRACE_##name] = word,
    RC_TRACE_STAGES(STAGE)
#undef STAGE
};

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

static const struct rc_report *report_at(const struct rc_broker *broker, uint32_t number)
{
    return number < broker->worker_count ? broker->segments.workers[number] : &broker->segments.relay->report;
}

int rc_trace_begin(struct rc_trace *trace, struct rc_broker *broker, const char *words, uint64_t now_ms,
                   uint32_t *serial, struct rc_err *err)
{
    struct rc_core *core = rc_broker_core(broker);
    struct rc_trace_wanted wanted = {.serial = trace->serial + 1};
    if (trace->runs) {
        return rc_err_set(err, -EBUSY, "another trace runs: one at a time");
    }
    const int rc = wanted_read(&wanted, core, words, err);
    if (rc < 0) {
        return rc;
    }
    trace->serial++;
    trace->runs = true;
    trace->dropped = 0;
    trace->deadline_ms = now_ms + RC_TRACE_IDLE_MS;
    for (uint32_t i = 0; i <= broker->worker_count; i++) {
        trace->next[i] = rc_flight_last(&report_at(broker, i)->traced.head) + 1;
    }
    rc_trace_filter_write(&core->trace, &wanted);
    rc_broker_ring_all(broker);
    *serial = trace->serial;
    rc_log_info("trace_started", "serial=%u", trace->serial);
    return 0;
}

static void trace_stop(struct rc_trace *trace, struct rc_broker *broker, const char *why)
{
    const struct rc_trace_wanted nothing = {.serial = trace->serial};
    rc_trace_filter_write(&rc_broker_core(broker)->trace, &nothing);
    rc_broker_ring_all(broker);
    trace->runs = false;
    rc_log_info("trace_ended", "serial=%u dropped=%llu why=\"%s\"", trace->serial, (unsigned long long)trace->dropped,
                why);
}

void rc_trace_end(struct rc_trace *trace, struct rc_broker *broker, uint32_t serial)
{
    if (trace->runs && trace->serial == serial) {
        trace_stop(trace, broker, "its reader ended it");
    }
}

void rc_trace_tick(struct rc_trace *trace, struct rc_broker *broker, uint64_t now_ms)
{
    if (trace->runs && now_ms >= trace->deadline_ms) {
        trace_stop(trace, broker, "nobody reads it");
    }
}

/* --- what was told --- */

struct told {
    struct rc_traced traced;
    uint32_t process;
};

static int told_compare(const void *left, const void *right)
{
    const struct told *a = left;
    const struct told *b = right;
    return (a->traced.time_ns > b->traced.time_ns) - (a->traced.time_ns < b->traced.time_ns);
}

/* Of one process, behind `count` others; how many there are then. */
static uint32_t told_take(struct rc_trace *trace, const struct rc_report *report, uint32_t process, struct told *all,
                          uint32_t count)
{
    uint8_t record[RC_FLIGHT_BYTES];
    const uint64_t last = rc_flight_last(&report->traced.head);
    uint64_t *next = &trace->next[process];
    if (last >= *next && last - *next >= RC_FLIGHT_TRACED) {
        trace->dropped += last - *next + 1 - RC_FLIGHT_TRACED;
        *next = last - RC_FLIGHT_TRACED + 1;
    }
    for (; *next <= last && count < RC_TRACE_READ_MAX; ++*next) {
        if (!rc_flight_get(report->traced.entries, RC_FLIGHT_TRACED, *next, record)) {
            trace->dropped++;
            continue;
        }
        memcpy(&all[count].traced, record, sizeof(all[count].traced));
        all[count].process = process;
        count += all[count].traced.serial == trace->serial && all[count].traced.stage < RC_TRACE_STAGE_COUNT ? 1u : 0u;
    }
    return count;
}

/* A text of it, whose lengths another process wrote; "" when it is none, or was cut in the middle of a character. */
static json_t *told_text(const struct rc_traced *traced, size_t from, size_t bytes)
{
    while (from + bytes <= sizeof(traced->text)) {
        json_t *text = json_stringn(traced->text + from, bytes);
        if (text != NULL || bytes == 0) {
            return text;
        }
        bytes--;
    }
    return json_string("");
}

static void told_print(FILE *out, const struct rc_core *core, const struct rc_broker *broker, const struct told *told)
{
    const struct rc_traced *its = &told->traced;
    char client[RC_CLIENT_ID_MAX + 1] = "";
    char process[24];
    if (told->process == broker->worker_count) {
        (void)snprintf(process, sizeof(process), "relay");
    } else {
        (void)snprintf(process, sizeof(process), "worker/%u", told->process);
    }
    if (its->client.random != 0) {
        client[rc_client_id_write(client, core->instance_id, core->boot_nonce, &its->client)] = '\0';
    }
    const double wall_ms = (double)core->boot_wall_ms + ((double)its->time_ns / 1e6 - (double)core->boot_ms);
    json_t *line =
        json_pack("{s:f, s:I, s:s, s:s, s:I, s:o, s:s, s:o, s:i, s:i, s:i, s:i, s:o}", "time_ms", wall_ms, "time_ns",
                  (json_int_t)its->time_ns, "process", process, "stage", stages[its->stage], "sequence",
                  (json_int_t)its->sequence, "channel", told_text(its, its->why_bytes, its->channel_bytes), "client",
                  client, "event", told_text(its, (size_t)its->why_bytes + its->channel_bytes, its->event_bytes),
                  "bytes", (int)its->bytes, "count", (int)its->count, "behind", (int)its->behind, "code",
                  (int)its->code, "why", told_text(its, 0, its->why_bytes));
    if (line != NULL && json_dumpf(line, out, JSON_COMPACT) == 0) {
        (void)fputc('\n', out);
    }
    json_decref(line);
}

int rc_trace_read(struct rc_trace *trace, const struct rc_broker *broker, uint32_t serial, uint64_t now_ms, FILE *out)
{
    if (!trace->runs || trace->serial != serial) {
        return -ENOENT;
    }
    struct told *all = malloc((RC_TRACE_READ_MAX + 1) * sizeof(*all));
    if (all == NULL) {
        return -ENOMEM;
    }
    const uint64_t before = trace->dropped;
    uint32_t count = 0;
    trace->deadline_ms = now_ms + RC_TRACE_IDLE_MS;
    for (uint32_t i = 0; i <= broker->worker_count; i++) {
        count = told_take(trace, report_at(broker, i), i, all, count);
    }
    qsort(all, count, sizeof(*all), told_compare);
    for (uint32_t i = 0; i < count; i++) {
        told_print(out, rc_broker_core(broker), broker, &all[i]);
    }
    if (trace->dropped > before) {
        (void)fprintf(out, "{\"stage\":\"dropped\",\"count\":%llu}\n", (unsigned long long)(trace->dropped - before));
    }
    free(all);
    return 0;
}
