/* fanout: see fanout.h. */
#include "relay/route/fanout.h"

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "common/records/select.h"
#include "common/records/sid.h"

/* An answer alone has no data, so no arguments either. */
#define ANSWER_FLAGS ((RC_FANOUT_FLAGS & ~RC_ENVELOPE_ARGS) | RC_ENVELOPE_API)

int rc_fanout_open(struct rc_fanout *fanout, struct rc_relay_port *ports, uint32_t port_count,
                   struct rc_metrics *metrics, uint64_t interest_count_max)
{
    *fanout = (struct rc_fanout){.ports = ports, .port_count = port_count, .metrics = metrics};
    const int rc = rc_guests_open(&fanout->guests);
    return rc < 0 ? rc : rc_interest_open(&fanout->interest, interest_count_max);
}

void rc_fanout_close(struct rc_fanout *fanout)
{
    rc_guests_close(&fanout->guests);
    rc_interest_close(&fanout->interest);
}

/* Of "*", which nobody has to want: all that live. */
static inline struct rc_worker_set fanout_targets(const struct rc_fanout *fanout, uint64_t hash, const char *name,
                                                  uint32_t name_bytes)
{
    struct rc_worker_set targets = fanout->live;
    if (name_bytes != 1 || name[0] != '*') {
        const struct rc_worker_set wanted = rc_interest_find(&fanout->interest, hash, name, name_bytes);
        targets.bits[0] &= wanted.bits[0] | fanout->unknown.bits[0];
        targets.bits[1] &= wanted.bits[1] | fanout->unknown.bits[1];
    }
    return targets;
}

static inline int fanout_put(struct rc_fanout *fanout, struct rc_relay_port *port, enum rc_record_type type,
                             const struct rc_envelope_view *view)
{
    rc_worker_set_put(&fanout->touched, port->index, true);
    return rc_port_send(port, type, view);
}

int rc_fanout_send(struct rc_fanout *fanout, struct rc_relay_port *port, enum rc_record_type type,
                   const struct rc_envelope_view *view)
{
    return fanout_put(fanout, port, type, view);
}

struct rc_relay_port *rc_fanout_answered(struct rc_fanout *fanout, struct rc_relay_port *port,
                                         const struct rc_client_ref *origin)
{
    if (RC_LIKELY(fanout->guests.map.count == 0) || origin->random == 0) {
        return port;
    }
    const uint32_t worker = rc_guests_place(&fanout->guests, origin);
    /* The record is of who had the client then; without an entry it is at home, and has always been or is again. */
    return worker < fanout->port_count && rc_worker_set_has(&fanout->live, worker) ? &fanout->ports[worker] : port;
}

void rc_fanout_answer(struct rc_fanout *fanout, struct rc_relay_port *port, const struct rc_fanout_message *message,
                      uint16_t code)
{
    const struct rc_envelope_view *up = message->up;
    const struct rc_envelope_view answer = {
        .head = {.sequence = message->copy.head.sequence,
                 .epoch = message->copy.head.epoch,
                 .position = message->copy.head.position,
                 .time_ns = up->head.time_ns,
                 .channel_hash = up->head.channel_hash,
                 .origin = up->head.origin,
                 .target = message->copy.head.target,
                 .flags = (uint16_t)((up->head.flags & ANSWER_FLAGS) | RC_ENVELOPE_ANSWER),
                 .code = code,
                 .channel_bytes = up->head.channel_bytes,
                 .request_id_bytes = up->head.request_id_bytes},
        .channel = up->channel,
        .request_id = up->request_id,
    };
    if (fanout_put(fanout, rc_fanout_answered(fanout, port, &up->head.origin), RC_DOWN_ANSWER, &answer) != 0) {
        /* Only when this very record was written by a predecessor already: see rc_port_stalled. */
        rc_metric_add(fanout->metrics, RC_METRIC_DOWN_DROPPED, 1);
    }
}

static void fanout_to_asker(struct rc_fanout *fanout, struct rc_relay_port *port, struct rc_fanout_message *message)
{
    struct rc_envelope_view view = message->copy;
    view.head.request_id_bytes = message->up->head.request_id_bytes;
    view.head.flags = (uint16_t)(view.head.flags | RC_ENVELOPE_ANSWER | (message->up->head.flags & RC_ENVELOPE_API));
    message->asker = NULL;
    if (fanout_put(fanout, port, message->type, &view) != 0) {
        rc_fanout_answer(fanout, port, message, 0);
    }
}

static inline void fanout_copy(struct rc_fanout *fanout, struct rc_relay_port *port, struct rc_fanout_message *message)
{
    if (port != message->asker) {
        (void)fanout_put(fanout, port, message->type, &message->copy); /* a drop is noted by the port */
    } else {
        fanout_to_asker(fanout, port, message);
    }
}

void rc_fanout_to_one(struct rc_fanout *fanout, struct rc_relay_port *port, struct rc_fanout_message *message)
{
    fanout_copy(fanout, port, message);
}

void rc_fanout_to_unknown(struct rc_fanout *fanout, struct rc_fanout_message *message)
{
    for (uint32_t i = 0; i < fanout->port_count; i++) {
        if (rc_worker_set_has(&fanout->unknown, i) && rc_worker_set_has(&fanout->live, i)) {
            fanout_copy(fanout, &fanout->ports[i], message); /* who had it already drops the second one */
        }
    }
}

/* False when the set is empty. */
static inline bool fanout_to_set(struct rc_fanout *fanout, struct rc_fanout_message *message,
                                 const struct rc_worker_set *targets)
{
    for (uint32_t word = 0; word < RC_ARRAY_COUNT(targets->bits); word++) {
        for (uint64_t bits = targets->bits[word]; bits != 0; bits &= bits - 1) {
            fanout_copy(fanout, &fanout->ports[word * 64 + (uint32_t)__builtin_ctzll(bits)], message);
        }
    }
    const bool wanted = !rc_worker_set_empty(targets);
    if (!wanted) {
        rc_metric_add(fanout->metrics, RC_METRIC_UNROUTED, 1);
    }
    return wanted;
}

void rc_fanout_trace(struct rc_fanout *fanout)
{
    if (RC_UNLIKELY(rc_tracer_changed(&fanout->tracer)) && rc_tracer_adopt(&fanout->tracer)) {
        fanout->tracing = fanout->tracer.wanted.by != 0;
        if (fanout->tracing) {
            const struct rc_traced traced = {.stage = RC_TRACE_STATE};
            rc_tracer_tell(&fanout->tracer, &traced, (struct rc_span){0}, (struct rc_span){0}, "the relay looks");
        }
    }
}

static __attribute__((noinline)) void fanout_traced(struct rc_fanout *fanout, const struct rc_fanout_message *message,
                                                    const struct rc_worker_set *targets)
{
    const struct rc_envelope_view *view = &message->copy;
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    const struct rc_span event = rc_span_of(view->event, view->head.event_bytes);
    const bool by_what = (fanout->tracer.wanted.by & RC_TRACE_BY_WHAT) != 0;
    if (!rc_tracer_fits(&fanout->tracer, channel, event) || (!by_what && !(view->head.flags & RC_ENVELOPE_TRACED))) {
        return;
    }
    const struct rc_traced traced = {
        .sequence = view->head.sequence,
        .client = view->head.origin,
        .stage = RC_TRACE_SEQUENCED,
        .bytes = view->head.data_bytes,
        .count = (uint32_t)(__builtin_popcountll(targets->bits[0]) + __builtin_popcountll(targets->bits[1]))};
    rc_tracer_tell(&fanout->tracer, &traced, channel, event,
                   traced.count > 0                          ? ""
                   : (view->head.flags & RC_ENVELOPE_REMOTE) ? "of another instance; nobody here is subscribed"
                                                             : "nobody on this instance is subscribed to the channel");
}

bool rc_fanout_to_all(struct rc_fanout *fanout, struct rc_fanout_message *message)
{
    const struct rc_envelope *head = &message->copy.head;
    const struct rc_worker_set targets =
        fanout_targets(fanout, head->channel_hash, message->copy.channel, head->channel_bytes);
    if (RC_UNLIKELY(fanout->tracing)) {
        fanout_traced(fanout, message, &targets);
    }
    return fanout_to_set(fanout, message, &targets);
}

/* A room may be one client, which nobody has to want: its worker finds out whether it has it. */
static void fanout_add_sid(const struct rc_fanout *fanout, struct rc_span name, struct rc_worker_set *targets)
{
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    (void)rc_channel_split(name, &nsp, &room);
    const bool socket = rc_sid_read(&sid, room);
    if (socket && RC_UNLIKELY(fanout->guests.map.count > 0) &&
        rc_guests_place(&fanout->guests, &sid.client) != sid.client.worker) {
        *targets = fanout->live; /* it moves, and may stay after all: whoever has it then takes it */
        return;
    }
    if (socket && fanout->recovery != NULL) {
        rc_recovery_place(fanout->recovery, &sid.client);
    }
    if (socket && sid.client.worker < fanout->port_count && rc_worker_set_has(&fanout->live, sid.client.worker)) {
        rc_worker_set_put(targets, sid.client.worker, true);
    }
}

bool rc_fanout_to_rooms(struct rc_fanout *fanout, struct rc_fanout_message *message)
{
    const struct rc_envelope_view *view = &message->copy;
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct rc_span name;
    struct rc_worker_set targets = {0};
    if (names.count == 0 || names.bytes[0] == '\0') {
        targets = fanout_targets(fanout, view->head.channel_hash, view->channel, view->head.channel_bytes);
    }
    while (rc_select_next(&names, &name)) {
        const char *text = (const char *)name.bytes;
        const struct rc_worker_set some =
            fanout_targets(fanout, rc_channel_hash(text, name.count), text, (uint32_t)name.count);
        targets.bits[0] |= some.bits[0];
        targets.bits[1] |= some.bits[1];
        fanout_add_sid(fanout, name, &targets);
    }
    return fanout_to_set(fanout, message, &targets);
}

struct rc_relay_port *rc_fanout_target(struct rc_fanout *fanout, const struct rc_client_ref *target)
{
    const bool moved = RC_UNLIKELY(fanout->guests.map.count > 0) && target->worker != RC_WORKER_FOREIGN;
    const uint32_t worker = moved ? rc_guests_place(&fanout->guests, target) : target->worker;
    if (target->random == 0 || worker >= fanout->port_count || !rc_worker_set_has(&fanout->live, worker)) {
        return NULL;
    }
    return &fanout->ports[worker];
}

void rc_fanout_ring(struct rc_fanout *fanout)
{
    for (uint32_t word = 0; word < RC_ARRAY_COUNT(fanout->touched.bits); word++) {
        for (uint64_t bits = fanout->touched.bits[word]; bits != 0; bits &= bits - 1) {
            rc_port_ring(&fanout->ports[word * 64 + (uint32_t)__builtin_ctzll(bits)]);
        }
        fanout->touched.bits[word] = 0;
    }
}

void rc_fanout_gap(struct rc_fanout *fanout, const char *name, uint32_t name_bytes, struct rc_gap_behind behind)
{
    const uint64_t hash = name_bytes > 0 ? rc_channel_hash(name, name_bytes) : 0;
    const struct rc_worker_set targets = name_bytes > 0 ? fanout_targets(fanout, hash, name, name_bytes) : fanout->live;
    for (uint32_t i = 0; i < fanout->port_count; i++) {
        if (rc_worker_set_has(&targets, i)) {
            rc_worker_set_put(&fanout->touched, i, true);
            rc_port_gap(&fanout->ports[i], hash, name, name_bytes, behind);
        }
    }
}

struct rc_worker_set rc_fanout_interested(const struct rc_fanout *fanout, uint64_t hash, struct rc_span channel)
{
    return fanout_targets(fanout, hash, (const char *)channel.bytes, (uint32_t)channel.count);
}

bool rc_fanout_wanted(const struct rc_fanout *fanout, struct rc_span channel)
{
    const struct rc_worker_set wanted =
        rc_interest_find(&fanout->interest, rc_channel_hash((const char *)channel.bytes, channel.count),
                         (const char *)channel.bytes, (uint32_t)channel.count);
    return !rc_worker_set_empty(&wanted);
}
