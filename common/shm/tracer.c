/* tracer: see tracer.h. */
#include "common/shm/tracer.h"

#include <string.h>

#include "common/base/clock.h"

void rc_trace_filter_write(struct rc_trace_filter *filter, const struct rc_trace_wanted *wanted)
{
    uint64_t words[RC_TRACE_WORDS];
    const uint32_t revision = atomic_load_explicit(&filter->revision, memory_order_relaxed);
    memcpy(words, wanted, sizeof(words));
    atomic_store_explicit(&filter->revision, revision + 1, memory_order_relaxed);
    /* TF1 pairs with TF2 in rc_tracer_adopt: who reads a new word sees the odd revision. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < RC_TRACE_WORDS; i++) {
        atomic_store_explicit(&filter->words[i], words[i], memory_order_relaxed);
    }
    /* TF3 pairs with TF4 in rc_tracer_adopt: who sees the revision sees the words. */
    atomic_store_explicit(&filter->revision, revision + 2, memory_order_release);
}

void rc_tracer_open(struct rc_tracer *tracer, const struct rc_core *core, struct rc_report *own)
{
    *tracer = (struct rc_tracer){.filter = &core->trace, .ring = &own->traced};
}

/* Lengths of another process's memory. */
static bool wanted_right(const struct rc_trace_wanted *wanted)
{
    return wanted->user_bytes <= sizeof(wanted->user) && wanted->channel_bytes <= sizeof(wanted->channel) &&
           wanted->event_bytes <= sizeof(wanted->event);
}

bool rc_tracer_adopt(struct rc_tracer *tracer)
{
    uint64_t words[RC_TRACE_WORDS];
    /* TF4 pairs with TF3 in rc_trace_filter_write. */
    const uint32_t revision = atomic_load_explicit(&tracer->filter->revision, memory_order_acquire);
    if ((revision & 1) != 0) {
        return false;
    }
    for (size_t i = 0; i < RC_TRACE_WORDS; i++) {
        words[i] = atomic_load_explicit(&tracer->filter->words[i], memory_order_relaxed);
    }
    /* TF2 pairs with TF1 in rc_trace_filter_write. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&tracer->filter->revision, memory_order_relaxed) != revision) {
        return false;
    }
    memcpy(&tracer->wanted, words, sizeof(words));
    if (!wanted_right(&tracer->wanted)) {
        tracer->wanted.by = 0;
    }
    tracer->revision = revision;
    return true;
}

bool rc_tracer_fits(const struct rc_tracer *tracer, struct rc_span channel, struct rc_span event)
{
    const struct rc_trace_wanted *wanted = &tracer->wanted;
    return (!(wanted->by & RC_TRACE_BY_CHANNEL) ||
            rc_span_equal(channel, rc_span_of(wanted->channel, wanted->channel_bytes))) &&
           (!(wanted->by & RC_TRACE_BY_EVENT) || rc_span_equal(event, rc_span_of(wanted->event, wanted->event_bytes)));
}

static uint8_t put_text(struct rc_traced *traced, size_t *at, struct rc_span text)
{
    const size_t room = sizeof(traced->text) - *at;
    const size_t bytes = text.count < room ? text.count : room;
    if (bytes > 0) {
        memcpy(traced->text + *at, text.bytes, bytes);
    }
    *at += bytes;
    return (uint8_t)bytes;
}

void rc_tracer_tell(struct rc_tracer *tracer, const struct rc_traced *stage, struct rc_span channel,
                    struct rc_span event, const char *why)
{
    struct rc_traced traced = *stage;
    size_t at = 0;
    traced.serial = tracer->wanted.serial;
    traced.time_ns = stage->time_ns != 0 ? stage->time_ns : rc_clock_ns();
    traced.why_bytes = put_text(&traced, &at, rc_span_text(why)); /* what matters most is not cut */
    traced.channel_bytes = put_text(&traced, &at, channel);
    traced.event_bytes = put_text(&traced, &at, event);
    rc_flight_put(&tracer->ring->head, tracer->ring->entries, RC_FLIGHT_TRACED, &traced, sizeof(traced));
}
