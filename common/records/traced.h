/*
 * traced: what `ringcast trace` asks of the processes, and a stage of a message as they tell of it.
 *
 * The acceptor writes struct rc_trace_wanted into the core segment (common/shm/tracer.h); a process that sees it writes struct rc_traced into
 * its report, a ring whose oldest records go first: nobody waits for who reads them. Comes out of another process's memory: texts
 * have their lengths, which the reader bounds.
 */
#ifndef RC_COMMON_RECORDS_TRACED_H
#define RC_COMMON_RECORDS_TRACED_H

#include <stdint.h>

#include "common/base/flight.h"
#include "common/records/envelope.h"

/* What must fit, where it is there. A message is looked at by its channel and event; by its client or user alone: what that one sends and
 * is to get. With both: what others send there as well, and what becomes of it for this client. */
enum rc_trace_by {
    RC_TRACE_BY_CLIENT = 1u << 0,
    RC_TRACE_BY_USER = 1u << 1,
    RC_TRACE_BY_CHANNEL = 1u << 2,
    RC_TRACE_BY_EVENT = 1u << 3,
};
#define RC_TRACE_BY_WHO (RC_TRACE_BY_CLIENT | RC_TRACE_BY_USER)
#define RC_TRACE_BY_WHAT (RC_TRACE_BY_CHANNEL | RC_TRACE_BY_EVENT)

struct rc_trace_wanted {
    uint32_t by; /* enum rc_trace_by; 0 = nothing is traced */
    uint32_t serial;
    struct rc_client_ref client;
    uint16_t user_bytes;
    uint16_t channel_bytes;
    uint16_t event_bytes;
    uint16_t reserved;
    char user[256];
    char channel[256];
    char event[256];
};
_Static_assert(sizeof(struct rc_trace_wanted) == 800, "wanted layout: whole words, no padding");

/* TRACE(NAME, word, help): the way of a message, in its order. */
#define RC_TRACE_STAGES(STAGE)                                                                               \
    STAGE(STATE, "state", "who is traced is here, when the trace begins or it comes")                        \
    STAGE(RECEIVED, "received", "the operation of a client was read from its socket")                        \
    STAGE(RULE, "rule", "which [[event]] row takes the event, and what it does")                             \
    STAGE(ASKED, "asked", "the application is asked, by which backend and call")                             \
    STAGE(ANSWERED, "answered", "it has answered, with which status, or has not")                            \
    STAGE(REFUSED, "refused", "a rule or a bound refused it; the code and the text that the client is told") \
    STAGE(UP, "up", "it was written for the relay")                                                          \
    STAGE(SEQUENCED, "sequenced", "the relay gave it its number; how many workers get it")                   \
    STAGE(DOWN, "down", "a worker took it into the logs of its channel; how many hear it there")             \
    STAGE(KEPT, "kept", "the client is behind: it stands in the log until it reads")                         \
    STAGE(SKIPPED, "skipped", "the client does not get it, and why")                                         \
    STAGE(SENT, "sent", "the turn has handed it to the sockets of those who are not behind")

enum rc_trace_stage {
#define STAGE(name, word, help) RC_TRACE_##name,
    RC_TRACE_STAGES(STAGE)
#undef STAGE
        RC_TRACE_STAGE_COUNT,
};

#define RC_TRACED_TEXT_MAX 160u
struct rc_traced {
    uint64_t time_ns;            /* CLOCK_MONOTONIC */
    uint64_t sequence;           /* 0 = it has none yet */
    struct rc_client_ref client; /* whom the stage is about; random 0 = nobody in particular */
    uint32_t stage;              /* enum rc_trace_stage */
    uint32_t serial;             /* of the rc_trace_wanted that it answers */
    uint32_t bytes;              /* of data */
    uint32_t count;              /* workers, or clients */
    uint32_t behind;             /* of them are behind */
    uint16_t code;               /* of a refusal */
    uint8_t channel_bytes;       /* in text, then */
    uint8_t event_bytes;
    uint8_t why_bytes;
    uint8_t reserved[7];
    char text[RC_TRACED_TEXT_MAX]; /* why, channel, event: each cut */
};
_Static_assert(sizeof(struct rc_traced) <= RC_FLIGHT_BYTES, "a record of the ring");

#endif
