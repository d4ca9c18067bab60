/* trace: see trace.h. */
#include "worker/hub/trace.h"

#include "worker/hub/hub.h"
#include "worker/hub/turn.h"

static struct rc_client_ref trace_ref(const struct rc_hub *hub, uint32_t client)
{
    const struct rc_client_ref nobody = {.worker = (uint16_t)hub->worker};
    return client == 0 ? nobody : rc_truth_ref(hub->truth, hub->worker, client);
}

bool rc_hub_traces_client(const struct rc_hub *hub, uint32_t client)
{
    const struct rc_hub_traces *traces = &hub->traces;
    for (uint32_t i = 0; i < traces->client_count; i++) {
        if (traces->clients[i] == client && rc_truth_named(hub->truth, client, traces->randoms[i]) != NULL) {
            return true;
        }
    }
    return false;
}

void rc_hub_trace_client(struct rc_hub *hub, uint32_t client, enum rc_trace_stage stage, struct rc_span channel,
                         struct rc_span event, uint32_t bytes, uint16_t code, const char *why)
{
    struct rc_tracer *tracer = &hub->traces.tracer;
    const bool by_what = (tracer->wanted.by & RC_TRACE_BY_WHAT) != 0;
    if (!rc_tracer_fits(tracer, channel, event) || (!by_what && !rc_hub_traces_client(hub, client))) {
        return;
    }
    const struct rc_traced traced = {
        .client = trace_ref(hub, client), .stage = (uint32_t)stage, .bytes = bytes, .code = code};
    rc_tracer_tell(tracer, &traced, channel, event, why);
}

/* Why this member of the channel is not to get the message; NULL: it is. */
static const char *trace_excluded(const struct rc_envelope_view *view, const struct rc_client_ref *client)
{
    if ((view->head.flags & RC_ENVELOPE_NO_ECHO) && view->head.origin.random == client->random) {
        return "it published it itself, and without echo";
    }
    for (uint32_t i = 0; i < view->head.exclude_count; i++) {
        if (rc_envelope_exclude(view, i).random == client->random) {
            return "the publisher excluded it";
        }
    }
    return NULL;
}

/* What the client keeps it from, at this moment. */
static const char *trace_unable(const struct rc_hub *hub, uint32_t client, uint32_t channel,
                                const struct rc_envelope_view *view)
{
    const struct rc_client *its = rc_truth_client(hub->truth, client);
    const bool everybody = channel == hub->everybody;
    if (its->state != RC_CLIENT_OPEN || (its->flags & RC_CLIENT_CLOSE_QUEUED)) {
        return "its connection is being closed";
    }
    if (everybody ? !(its->flags & RC_CLIENT_EVERYBODY) : rc_hub_subscription(hub, client, channel) == 0) {
        return its->pending_count > 0 ? "its subscription is not confirmed yet" : "it is not subscribed to the channel";
    }
    if (rc_turn_mute(its)) {
        return "it was too slow, and is being disconnected";
    }
    if ((view->head.flags & RC_ENVELOPE_VOLATILE) && (its->flags & RC_CLIENT_LATE)) {
        return "the message is volatile, and the client cannot take it now";
    }
    const struct rc_client_ref ref = trace_ref(hub, client);
    return trace_excluded(view, &ref);
}

/* Bytes before the message in the client's log; 0: it has read what came before. */
static uint64_t trace_behind(const struct rc_hub *hub, uint32_t client, uint32_t channel)
{
    const uint32_t index = channel == hub->everybody ? rc_truth_client(hub->truth, client)->everybody
                                                     : rc_hub_subscription(hub, client, channel);
    if (index == 0) {
        return 0;
    }
    const struct rc_subscription *subscription = rc_truth_subscription(hub->truth, index);
    const uint32_t log = rc_truth_group(hub->truth, subscription->group)->log;
    if (!(subscription->flags & RC_SUBSCRIPTION_CURSOR) || log == 0) {
        return 0;
    }
    return subscription->cursor == RC_CURSOR_IN_HISTORY ? 1
                                                        : rc_truth_log(hub->truth, log)->head - subscription->cursor;
}

static void trace_down(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, const char *why)
{
    const struct rc_truth *truth = hub->truth;
    const struct rc_channel *its = rc_truth_channel(truth, channel);
    struct rc_traced traced = {.sequence = view->head.sequence,
                               .client = view->head.origin,
                               .stage = RC_TRACE_DOWN,
                               .bytes = view->head.data_bytes,
                               .count = its->subscriber_count};
    for (uint32_t i = its->groups; i != 0; i = rc_truth_group(truth, i)->next) {
        traced.behind += rc_truth_group(truth, i)->behind;
    }
    if (channel == hub->everybody) {
        traced.count = 0;
        for (uint32_t i = 0; i < RC_ENCODING_COUNT; i++) {
            traced.count += hub->everybody_counts[i];
        }
    }
    rc_tracer_tell(&hub->traces.tracer, &traced, rc_hub_name(hub, its), rc_span_of(view->event, view->head.event_bytes),
                   why);
}

static void trace_kept(struct rc_hub *hub, struct rc_traced *traced, uint64_t behind, struct rc_span name,
                       struct rc_span event)
{
    traced->stage = RC_TRACE_KEPT;
    traced->behind = behind < UINT32_MAX ? (uint32_t)behind : UINT32_MAX;
    rc_tracer_tell(&hub->traces.tracer, traced, name, event,
                   "it is behind: its socket takes no more, and the message waits in the log");
}

/* What becomes of it for each of those whom the trace is about, as far as it is known before the turn; of whom that was told, as bits. */
static uint32_t trace_each(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, bool by_what)
{
    struct rc_hub_traces *traces = &hub->traces;
    const struct rc_span name = rc_hub_name(hub, rc_truth_channel(hub->truth, channel));
    const struct rc_span event = rc_span_of(view->event, view->head.event_bytes);
    uint32_t told = 0;
    for (uint32_t i = 0; i < traces->client_count; i++) {
        const uint32_t client = traces->clients[i];
        if (rc_truth_named(hub->truth, client, traces->randoms[i]) == NULL) {
            continue;
        }
        struct rc_traced traced = {.sequence = view->head.sequence,
                                   .client = trace_ref(hub, client),
                                   .bytes = view->head.data_bytes,
                                   .stage = RC_TRACE_SKIPPED};
        const char *why = trace_unable(hub, client, channel, view);
        const bool others = why != NULL && rc_hub_subscription(hub, client, channel) == 0 && !by_what;
        const uint64_t behind = why == NULL ? trace_behind(hub, client, channel) : 0;
        if (others || (why == NULL && behind == 0)) {
            continue; /* a channel that the client has nothing to do with; or the turn tells */
        }
        told |= UINT32_C(1) << i;
        if (why == NULL) {
            trace_kept(hub, &traced, behind, name, event);
        } else {
            rc_tracer_tell(&traces->tracer, &traced, name, event, why);
        }
    }
    return told;
}

/* Is somebody whom the trace is about in the channel? */
static bool trace_heard(const struct rc_hub *hub, uint32_t channel)
{
    for (uint32_t i = 0; i < hub->traces.client_count; i++) {
        const uint32_t client = hub->traces.clients[i];
        if (rc_truth_named(hub->truth, client, hub->traces.randoms[i]) != NULL &&
            (channel == hub->everybody || rc_hub_subscription(hub, client, channel) != 0)) {
            return true;
        }
    }
    return false;
}

void rc_hub_trace_message(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, bool held)
{
    struct rc_hub_traces *traces = &hub->traces;
    const uint32_t by = traces->tracer.wanted.by;
    const struct rc_span name = rc_hub_name(hub, rc_truth_channel(hub->truth, channel));
    const bool by_what = (by & RC_TRACE_BY_WHAT) != 0;
    if (!rc_tracer_fits(&traces->tracer, name, rc_span_of(view->event, view->head.event_bytes)) ||
        (!by_what && !trace_heard(hub, channel) && !(view->head.flags & RC_ENVELOPE_TRACED))) {
        return;
    }
    const bool full = !held && traces->send_count == RC_HUB_TRACED_SENDS;
    trace_down(hub, channel, view,
               held   ? "min_interval holds it back, or a newer one takes its place"
               : full ? "whether it is sent is not told: too many came at once"
                      : "");
    if (held) {
        return;
    }
    const uint32_t told = trace_each(hub, channel, view, by_what);
    if (!full) {
        traces->sends[traces->send_count++] = (struct rc_hub_traced_send){
            .sequence = view->head.sequence, .channel = channel, .bytes = view->head.data_bytes, .told = told};
    }
}

void rc_hub_trace_direct(struct rc_hub *hub, uint32_t client, const struct rc_envelope_view *view)
{
    struct rc_hub_traces *traces = &hub->traces;
    const bool by_what = (traces->tracer.wanted.by & RC_TRACE_BY_WHAT) != 0;
    if (by_what || !(rc_hub_traces_client(hub, client) || (view->head.flags & RC_ENVELOPE_TRACED))) {
        return; /* a direct message is in no channel */
    }
    const struct rc_traced traced = {.sequence = view->head.sequence,
                                     .client = client != 0 ? trace_ref(hub, client) : view->head.target,
                                     .stage = client != 0 ? RC_TRACE_DOWN : RC_TRACE_SKIPPED,
                                     .bytes = view->head.data_bytes,
                                     .count = client != 0};
    rc_tracer_tell(&traces->tracer, &traced, (struct rc_span){0}, rc_span_of(view->event, view->head.event_bytes),
                   client != 0 ? "direct" : "the client is not there any more, or is being closed");
}

/* Whom the turn has not left behind, and who was to get it, it has sent all that there was. */
static void trace_sent_each(struct rc_hub *hub, const struct rc_hub_traced_send *send, struct rc_span name)
{
    const struct rc_hub_traces *traces = &hub->traces;
    for (uint32_t i = 0; i < traces->client_count; i++) {
        const uint32_t client = traces->clients[i];
        if ((send->told & UINT32_C(1) << i) != 0 || rc_truth_named(hub->truth, client, traces->randoms[i]) == NULL ||
            (send->channel != hub->everybody && rc_hub_subscription(hub, client, send->channel) == 0)) {
            continue;
        }
        struct rc_traced traced = {
            .sequence = send->sequence, .client = trace_ref(hub, client), .stage = RC_TRACE_SENT, .bytes = send->bytes};
        const uint64_t behind = trace_behind(hub, client, send->channel);
        if (behind > 0) {
            trace_kept(hub, &traced, behind, name, (struct rc_span){0});
        } else {
            traced.count = 1;
            rc_tracer_tell(&hub->traces.tracer, &traced, name, (struct rc_span){0}, "");
        }
    }
}

void rc_hub_trace_sent(struct rc_hub *hub)
{
    struct rc_hub_traces *traces = &hub->traces;
    for (uint32_t i = 0; i < traces->send_count; i++) {
        const struct rc_hub_traced_send *send = &traces->sends[i];
        const struct rc_channel *channel = rc_truth_channel(hub->truth, send->channel);
        if (channel->name == 0) {
            continue; /* released since */
        }
        const struct rc_span name = rc_hub_name(hub, channel);
        trace_sent_each(hub, send, name);
        if (traces->tracer.wanted.by & RC_TRACE_BY_WHO) {
            continue;
        }
        struct rc_traced traced = {.sequence = send->sequence,
                                   .stage = RC_TRACE_SENT,
                                   .bytes = send->bytes,
                                   .count = channel->subscriber_count};
        for (uint32_t group = channel->groups; group != 0; group = rc_truth_group(hub->truth, group)->next) {
            traced.behind += rc_truth_group(hub->truth, group)->behind;
        }
        rc_tracer_tell(&traces->tracer, &traced, name, (struct rc_span){0}, "");
    }
    traces->send_count = 0;
}
