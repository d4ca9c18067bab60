/* client_trace: whom a trace (worker/hub/trace.h) is about on this worker. See client.h. */
#include "worker/client/client.h"

#include <stdio.h>
#include <stdlib.h>

#define TRACE_REFRESH_MS 500u

static bool is_known(const struct rc_hub_traces *traces, uint32_t client, uint64_t random)
{
    for (uint32_t i = 0; i < traces->client_count; i++) {
        if (traces->clients[i] == client && traces->randoms[i] == random) {
            return true;
        }
    }
    return false;
}

static bool is_in(struct rc_clients *clients, uint32_t client, struct rc_span name)
{
    const uint32_t channel = rc_hub_find(clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    return channel != 0 && rc_hub_subscription(clients->hub, client, channel) != 0;
}

/* Says what it is that is traced. */
static void trace_state(struct rc_clients *clients, uint32_t client)
{
    struct rc_hub *hub = clients->hub;
    struct rc_tracer *tracer = &hub->traces.tracer;
    const struct rc_trace_wanted *wanted = &tracer->wanted;
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    const struct rc_span channel = rc_span_of(wanted->channel, wanted->channel_bytes);
    struct rc_traced traced = {.client = rc_client_ref(clients, client),
                               .stage = RC_TRACE_STATE,
                               .count = its->subscription_count,
                               .behind = its->cursor_count};
    const char *why = "connected";
    if (wanted->by & RC_TRACE_BY_CHANNEL) {
        why = is_in(clients, client, channel) ? "connected, and subscribed to the channel"
                                              : "connected, but not subscribed to the channel";
    }
    rc_tracer_tell(tracer, &traced, channel, (struct rc_span){0}, why);
}

static void trace_take(struct rc_clients *clients, uint32_t client)
{
    struct rc_hub_traces *traces = &clients->hub->traces;
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    if (traces->client_count < RC_HUB_TRACED_MAX && random != 0 && !is_known(traces, client, random)) {
        traces->clients[traces->client_count] = client;
        traces->randoms[traces->client_count++] = random;
        trace_state(clients, client);
    }
}

/* Those who have gone make room. */
static void trace_forget(struct rc_clients *clients)
{
    struct rc_hub_traces *traces = &clients->hub->traces;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < traces->client_count; i++) {
        if (rc_truth_named(clients->truth, traces->clients[i], traces->randoms[i]) != NULL) {
            traces->clients[kept] = traces->clients[i];
            traces->randoms[kept++] = traces->randoms[i];
        }
    }
    traces->client_count = kept;
}

static void trace_find(struct rc_clients *clients)
{
    struct rc_hub_traces *traces = &clients->hub->traces;
    const struct rc_trace_wanted *wanted = &traces->tracer.wanted;
    rc_hub_trace_sent(clients->hub); /* what no turn had to be for: it knows clients by their places */
    trace_forget(clients);
    const uint32_t client = (wanted->by & RC_TRACE_BY_CLIENT) ? rc_client_here(clients, &wanted->client) : 0;
    if (client != 0) {
        trace_take(clients, client);
    }
    struct rc_index_list found = {0};
    if ((wanted->by & RC_TRACE_BY_USER) &&
        rc_clients_of_user(clients, rc_span_of(wanted->user, wanted->user_bytes), &found) == 0) {
        for (uint32_t i = 0; i < found.count; i++) {
            trace_take(clients, found.items[i]);
        }
    }
    free(found.items);
    traces->refresh_ms = clients->io->now_ns / 1000000u + TRACE_REFRESH_MS;
}

void rc_clients_trace(struct rc_clients *clients)
{
    struct rc_hub *hub = clients->hub;
    struct rc_hub_traces *traces = &hub->traces;
    if (rc_tracer_changed(&traces->tracer)) {
        if (!rc_tracer_adopt(&traces->tracer)) {
            return; /* in the next pass */
        }
        traces->client_count = traces->send_count = 0;
        hub->tracing = traces->tracer.wanted.by != 0;
        if (hub->tracing) {
            trace_find(clients);
            const struct rc_traced traced = {.stage = RC_TRACE_STATE,
                                             .client = {.worker = (uint16_t)clients->worker},
                                             .count = traces->client_count};
            rc_tracer_tell(&traces->tracer, &traced, (struct rc_span){0}, (struct rc_span){0},
                           "clients on this worker");
        }
    } else if (hub->tracing && clients->io->now_ns / 1000000u >= traces->refresh_ms) {
        trace_find(clients);
    }
}

uint16_t rc_client_traced(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation,
                          enum rc_trace_stage stage, uint32_t code, struct rc_span why)
{
    static const char *const names[] = {
        [RC_OPERATION_SUBSCRIBE] = "subscribe", [RC_OPERATION_UNSUBSCRIBE] = "unsubscribe",
        [RC_OPERATION_PUBLISH] = "publish",     [RC_OPERATION_BROADCAST] = "broadcast",
        [RC_OPERATION_DIRECT] = "direct",       [RC_OPERATION_PRESENCE] = "presence",
        [RC_OPERATION_HISTORY] = "history",     [RC_OPERATION_EVENT] = "event"};
    char text[RC_TRACED_TEXT_MAX];
    const char *name = operation->type < RC_ARRAY_COUNT(names) && names[operation->type] != NULL
                           ? names[operation->type]
                           : "another operation";
    (void)snprintf(text, sizeof(text), "%s%s%.*s", stage == RC_TRACE_UP ? "" : name, why.count > 0 ? ": " : "",
                   (int)why.count, (const char *)why.bytes);
    rc_hub_trace_client(clients->hub, client, stage, operation->channel, operation->event,
                        (uint32_t)operation->data.count, (uint16_t)code, text);
    return stage == RC_TRACE_UP && rc_hub_traces_client(clients->hub, client) ? RC_ENVELOPE_TRACED : 0;
}
