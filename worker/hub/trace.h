/*
 * trace: the stages of messages on this worker for `ringcast trace` (common/shm/tracer.h), and why a client does not get one.
 *
 * Part of the hub, which has the tracer; everything here is called only while hub->tracing. Whom a trace is about is worker/client/trace's
 * to find: hub->traced. Bounded: RC_HUB_TRACED_MAX clients, RC_HUB_TRACED_SENDS messages between two turns.
 */
#ifndef RC_WORKER_HUB_TRACE_H
#define RC_WORKER_HUB_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/shm/tracer.h"

#define RC_HUB_TRACED_MAX 16u   /* clients of one trace in a worker; of others nothing is told */
#define RC_HUB_TRACED_SENDS 64u /* what became of the others is not told, and that is */

/* A message that the turn is to send. */
struct rc_hub_traced_send {
    uint64_t sequence;
    uint32_t channel;
    uint32_t bytes;
    uint32_t
        told; /* a bit for each of `clients` of which it is told already: it does not get it, or was behind when it came */
};
_Static_assert(RC_HUB_TRACED_MAX <= 32, "bits of rc_hub_traced_send.told");

struct rc_hub_traces {
    struct rc_tracer tracer;
    uint32_t clients[RC_HUB_TRACED_MAX]; /* who it is about */
    uint64_t randoms[RC_HUB_TRACED_MAX];
    uint32_t client_count;
    struct rc_hub_traced_send sends[RC_HUB_TRACED_SENDS];
    uint32_t send_count;
    uint64_t refresh_ms; /* when it is looked for new ones */
};

struct rc_hub;

/* Is the trace about this client? */
bool rc_hub_traces_client(const struct rc_hub *hub, uint32_t client);
/* A stage before the relay, about what the client does. */
void rc_hub_trace_client(struct rc_hub *hub, uint32_t client, enum rc_trace_stage stage, struct rc_span channel,
                         struct rc_span event, uint32_t bytes, uint16_t code, const char *why);
/* A message has gone into the logs of the channel, is held back by min_interval (`held`), or nobody of this worker hears it. */
void rc_hub_trace_message(struct rc_hub *hub, uint32_t channel, const struct rc_envelope_view *view, bool held);
/* A direct message for the client, 0: it is not here. */
void rc_hub_trace_direct(struct rc_hub *hub, uint32_t client, const struct rc_envelope_view *view);
/* The turn is over: each of them was sent, or waits for its client. */
void rc_hub_trace_sent(struct rc_hub *hub);

#endif
