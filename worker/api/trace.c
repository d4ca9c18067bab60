/*
 * api_trace: GET /api/trace: what `ringcast trace` shows, for who has HTTP alone: the dashboard. See api.h.
 *
 * A call begins the trace that it names, where none runs, and reads what has been told of it; it is made again and again, of any worker: how
 * far its caller has read is in what it is told, `next`. The acceptor begins and ends traces: it finds what this worker asks in its report
 * (struct rc_trace_ask), once a second.
 */
#include "worker/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/shm/trace_reader.h"
#include "common/shm/tracer.h"

#define TRACE_STAGES_MAX 500u /* of one answer; others stay until the next */
#define TRACE_NEXT_BYTES ((RC_WORKERS_MAX + 2u) * 17u)

static void source_open(struct rc_trace_source *source, const struct rc_control *control)
{
    *source = (struct rc_trace_source){.instance_id = control->instance_id,
                                       .boot_nonce = control->boot_nonce,
                                       .wall_ahead_ms = rc_clock_wall_ms() - rc_clock_ms(),
                                       .worker_count = control->worker_count};
    for (uint32_t i = 0; i < control->worker_count; i++) {
        source->reports[i] = control->workers[i];
    }
    source->reports[control->worker_count] = &control->relay->report;
}

/* --- what is wanted --- */

/* A filter of the query into its place; how many bytes it has. */
static int wanted_text(const struct rc_api_call *call, const char *name, uint32_t by, struct rc_trace_wanted *wanted,
                       char *out, uint16_t *bytes, struct rc_api_fault *fault)
{
    struct rc_span span;
    if (rc_api_query_text(call, name, out, 255, &span, fault) < 0) {
        return -EINVAL;
    }
    *bytes = (uint16_t)span.count;
    wanted->by |= span.count > 0 ? by : 0;
    return 0;
}

static int wanted_read(const struct rc_api_call *call, struct rc_trace_wanted *wanted, struct rc_api_fault *fault)
{
    const struct rc_control *control = call->api->clients->control;
    char id[256] = "";
    uint16_t id_bytes = 0;
    *wanted = (struct rc_trace_wanted){.by = 0};
    if (wanted_text(call, "client", RC_TRACE_BY_CLIENT, wanted, id, &id_bytes, fault) < 0 ||
        wanted_text(call, "user", RC_TRACE_BY_USER, wanted, wanted->user, &wanted->user_bytes, fault) < 0 ||
        wanted_text(call, "channel", RC_TRACE_BY_CHANNEL, wanted, wanted->channel, &wanted->channel_bytes, fault) < 0 ||
        wanted_text(call, "event", RC_TRACE_BY_EVENT, wanted, wanted->event, &wanted->event_bytes, fault) < 0) {
        return -EINVAL;
    }
    if (id_bytes > 0 && rc_client_id_read(id, id_bytes, control->instance_id, control->boot_nonce, &wanted->client) !=
                            RC_CLIENT_ID_LOCAL) {
        return rc_api_fault(fault, 404, "client is no client of this instance since its start");
    }
    return wanted->by != 0 ? 0 : rc_api_fault(fault, 400, "one of client, user, channel and event is needed");
}

static bool text_same(const char *a, uint16_t a_bytes, const char *b, uint16_t b_bytes)
{
    return a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0;
}

static bool wanted_same(const struct rc_trace_wanted *a, const struct rc_trace_wanted *b)
{
    return a->by == b->by && memcmp(&a->client, &b->client, sizeof(a->client)) == 0 &&
           text_same(a->user, a->user_bytes, b->user, b->user_bytes) &&
           text_same(a->channel, a->channel_bytes, b->channel, b->channel_bytes) &&
           text_same(a->event, a->event_bytes, b->event, b->event_bytes);
}

/* --- how far it was read --- */

/* "SERIAL.N.N…" in hexadecimal, of each worker and the relay; of another trace, or none: from the beginning. */
static int place_read(const struct rc_api_call *call, uint32_t serial, uint32_t count, struct rc_trace_place *place,
                      struct rc_api_fault *fault)
{
    char next[TRACE_NEXT_BYTES + 1];
    struct rc_span span;
    char *at = next;
    *place = (struct rc_trace_place){.lost = 0};
    if (rc_api_query_text(call, "next", next, sizeof(next) - 1, &span, fault) < 0) {
        return -EINVAL;
    }
    next[span.count] = '\0';
    if (span.count == 0 || strtoull(next, &at, 16) != serial) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (*at != '.') {
            return rc_api_fault(fault, 400, "next is not what an answer before has said");
        }
        place->next[i] = strtoull(at + 1, &at, 16);
    }
    return *at == '\0' ? 0 : rc_api_fault(fault, 400, "next is not what an answer before has said");
}

static void place_put(struct rc_text *text, uint32_t serial, uint32_t count, const struct rc_trace_place *place)
{
    rc_text_put(text, "%" PRIx32, serial);
    for (uint32_t i = 0; i < count; i++) {
        rc_text_put(text, ".%" PRIx64, place->next[i]);
    }
}

/* --- answers --- */

static int trace_answer(struct rc_api_call *call, uint32_t serial, struct rc_api_fault *fault)
{
    struct rc_trace_source source;
    struct rc_trace_place place;
    struct rc_text text = {0};
    char *stages = NULL;
    size_t bytes = 0;
    source_open(&source, call->api->clients->control);
    const uint32_t count = source.worker_count + 1;
    if (place_read(call, serial, count, &place, fault) < 0) {
        return -EINVAL;
    }
    FILE *out = open_memstream(&stages, &bytes);
    const int told = out == NULL ? -ENOMEM : rc_trace_stages(&place, &source, serial, TRACE_STAGES_MAX, ",", out);
    if (out == NULL || fclose(out) != 0 || told < 0) {
        free(stages);
        return rc_api_fault(fault, 503, "no memory for the answer");
    }
    rc_text_put(&text, "{\"state\":\"running\",\"trace\":%" PRIu32 ",\"lost\":%" PRIu64 ",\"more\":%s,\"next\":\"",
                serial, place.lost, told == (int)TRACE_STAGES_MAX ? "true" : "false");
    place_put(&text, serial, count, &place);
    rc_text_put(&text, "\",\"stages\":[");
    rc_text_put_bytes(&text, stages, bytes);
    rc_text_put(&text, "]}\n");
    free(stages);
    rc_api_finish(call, &text);
    return 0;
}

static void trace_ask(struct rc_api_call *call, const struct rc_trace_wanted *wanted, const char *state)
{
    struct rc_text text = {0};
    rc_trace_filter_write(&call->api->clients->control->own->trace_ask.wanted, wanted);
    rc_text_put(&text, "{\"state\":\"%s\",\"trace\":0,\"lost\":0,\"more\":false,\"next\":\"\",\"stages\":[]}\n", state);
    rc_api_finish(call, &text);
}

int rc_api_trace(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_clients *clients = call->api->clients;
    const struct rc_trace_wanted *runs = &clients->hub->traces.tracer.wanted;
    struct rc_trace_ask *ask = &clients->control->own->trace_ask;
    struct rc_trace_wanted wanted;
    if (wanted_read(call, &wanted, fault) < 0) {
        return -EINVAL;
    }
    if (runs->by != 0 && !wanted_same(runs, &wanted)) {
        return rc_api_fault(fault, 409, "another trace runs: one at a time. It ends when nobody reads it");
    }
    if (call->exchange->request->method == RC_HTTP_DELETE) {
        trace_ask(call, &(struct rc_trace_wanted){.serial = runs->serial}, "ended");
        return 0;
    }
    atomic_store_explicit(&ask->read_ms, rc_clock_ms(), memory_order_relaxed);
    if (runs->by == 0) {
        trace_ask(call, &wanted, "asked");
        return 0;
    }
    atomic_store_explicit(&ask->read_serial, runs->serial, memory_order_relaxed);
    return trace_answer(call, runs->serial, fault);
}
