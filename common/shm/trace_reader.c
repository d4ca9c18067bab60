/* trace_reader: see trace_reader.h. */
#include "common/shm/trace_reader.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/shm/tracer.h"

static const char *const stages[] = {
#define STAGE(name, word, help) [RC_TRACE_##name] = word,
    RC_TRACE_STAGES(STAGE)
#undef STAGE
};

struct told {
    struct rc_traced traced;
    uint32_t process;
};

void rc_trace_place_begin(struct rc_trace_place *place, const struct rc_trace_source *source)
{
    *place = (struct rc_trace_place){.lost = 0};
    for (uint32_t i = 0; i <= source->worker_count; i++) {
        place->next[i] = rc_flight_last(&source->reports[i]->traced.head) + 1;
    }
}

/* A worker tells of each whom the trace is about, and, without a client, that these are all. */
static void told_state(struct rc_trace_place *place, const struct rc_trace_source *source, const struct told *told)
{
    if (told->traced.stage != RC_TRACE_STATE || told->process >= source->worker_count) {
        return;
    }
    if (told->traced.client.random != 0) {
        place->found++;
    } else {
        place->said[told->process] = true;
    }
}

bool rc_trace_nobody(const struct rc_trace_place *place, const struct rc_trace_source *source)
{
    for (uint32_t i = 0; i < source->worker_count; i++) {
        if (!place->said[i]) {
            return false;
        }
    }
    return place->found == 0;
}

/* The next one of a process into `told`; false: there is none. What was overwritten meanwhile is counted. */
static bool told_next(struct rc_trace_place *place, const struct rc_report *report, uint32_t process, uint32_t serial,
                      struct told *told)
{
    uint8_t record[RC_FLIGHT_BYTES];
    const uint64_t last = rc_flight_last(&report->traced.head);
    const uint64_t oldest = last < RC_FLIGHT_TRACED ? 1 : last - RC_FLIGHT_TRACED + 1;
    uint64_t *next = &place->next[process];
    if (*next > last + 1) {
        *next = oldest; /* the head was written over, and has begun anew */
    }
    if (*next < oldest) {
        place->lost += *next == 0 ? 0 : oldest - *next;
        *next = oldest;
    }
    for (; *next <= last; ++*next) {
        if (!rc_flight_get(report->traced.entries, RC_FLIGHT_TRACED, *next, record)) {
            place->lost++;
            continue;
        }
        memcpy(&told->traced, record, sizeof(told->traced));
        told->process = process;
        if (told->traced.serial == serial && told->traced.stage < RC_TRACE_STAGE_COUNT) {
            return true;
        }
    }
    return false;
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

static int told_print(FILE *out, const struct rc_trace_source *source, const struct told *told)
{
    const struct rc_traced *its = &told->traced;
    char client[RC_CLIENT_ID_MAX + 1] = "";
    char process[24];
    if (told->process == source->worker_count) {
        (void)snprintf(process, sizeof(process), "relay");
    } else {
        (void)snprintf(process, sizeof(process), "worker/%u", told->process);
    }
    if (its->client.random != 0) {
        client[rc_client_id_write(client, source->instance_id, source->boot_nonce, &its->client)] = '\0';
    }
    const double wall_ms = (double)source->wall_ahead_ms + (double)its->time_ns / 1e6;
    json_t *line =
        json_pack("{s:f, s:I, s:s, s:s, s:I, s:o, s:s, s:o, s:i, s:i, s:i, s:i, s:o}", "time_ms", wall_ms, "time_ns",
                  (json_int_t)its->time_ns, "process", process, "stage", stages[its->stage], "sequence",
                  (json_int_t)its->sequence, "channel", told_text(its, its->why_bytes, its->channel_bytes), "client",
                  client, "event", told_text(its, (size_t)its->why_bytes + its->channel_bytes, its->event_bytes),
                  "bytes", (int)its->bytes, "count", (int)its->count, "behind", (int)its->behind, "code",
                  (int)its->code, "why", told_text(its, 0, its->why_bytes));
    const bool written = line != NULL && json_dumpf(line, out, JSON_COMPACT) == 0;
    json_decref(line);
    return written ? 0 : -ENOMEM;
}

/* The process whose next one is the earliest; `count`: none has one. A process tells in the order of time. */
static uint32_t told_earliest(const struct told *heads, uint32_t count)
{
    uint32_t earliest = count;
    for (uint32_t i = 0; i < count; i++) {
        if (heads[i].process != UINT32_MAX &&
            (earliest == count || heads[i].traced.time_ns < heads[earliest].traced.time_ns)) {
            earliest = i;
        }
    }
    return earliest;
}

int rc_trace_stages(struct rc_trace_place *place, const struct rc_trace_source *source, uint32_t serial, uint32_t most,
                    const char *between, FILE *out)
{
    const uint32_t processes = source->worker_count + 1;
    struct told *heads = calloc(processes, sizeof(*heads));
    uint32_t count = 0;
    int rc = heads == NULL ? -ENOMEM : 0;
    for (uint32_t i = 0; rc == 0 && i < processes; i++) {
        if (!told_next(place, source->reports[i], i, serial, &heads[i])) {
            heads[i].process = UINT32_MAX;
        }
    }
    while (rc == 0 && count < most) {
        const uint32_t i = told_earliest(heads, processes);
        if (i == processes) {
            break;
        }
        (void)fputs(count++ > 0 ? between : "", out);
        rc = told_print(out, source, &heads[i]);
        told_state(place, source, &heads[i]);
        place->next[i]++;
        if (!told_next(place, source->reports[i], i, serial, &heads[i])) {
            heads[i].process = UINT32_MAX;
        }
    }
    free(heads);
    return rc < 0 ? rc : (int)count;
}
