/*
 * answering: objects of the truth (truth.h) for Socket.IO sockets: events that they are to answer, and what of a socket is kept so that it may
 * come back. Written by worker/engine.
 */
#ifndef RC_WORKER_STORE_ANSWERING_H
#define RC_WORKER_STORE_ANSWERING_H

#include <stdint.h>

#include "common/records/emit.h"
#include "common/records/recovery.h"

/* An event that some clients are to answer: who wants to hear of it (common/records/emit.h). */
struct rc_emit {
    struct rc_call_tag tag;
    uint32_t id;          /* of the acknowledgement that its packets ask for; 0 = free */
    uint32_t deadline_ds; /* in 1/100 s since boot: until then answers are waited for */
    uint32_t first;       /* struct rc_ack; 0 = nobody is waited for */
    uint32_t waiting;     /* how many */
    uint32_t unanswered;  /* clients that got it and are not waited for any more, or never were */
    uint16_t worker;      /* that asks, or RC_WORKER_FOREIGN: the relay does */
    uint16_t flags;       /* enum rc_emit_flags */
    uint16_t asker_bytes;
    uint8_t pad[6];
    uint8_t asker[RC_EMIT_ASKER_MAX];
};
_Static_assert(sizeof(struct rc_emit) == 584, "emit layout");

/* A client whose answer is waited for. */
struct rc_ack {
    uint64_t token; /* of its sid in the namespace: who has left it and come back is another */
    uint32_t emit;
    uint32_t client;
    uint32_t next_of_client; /* in no order; 0 = end */
    uint32_t previous_of_client;
    uint32_t next_of_emit; /* likewise */
    uint32_t previous_of_emit;
};
_Static_assert(sizeof(struct rc_ack) == 32, "ack layout");

/* The answer that is just going up. When the ring has more than it had, it has gone, and is not waited for any more. */
struct rc_truth_acking {
    uint64_t up_position;
    uint32_t ack; /* 0 = none */
    uint32_t pad;
};

enum rc_recoverable_flags {
    RC_RECOVERABLE_MOVED = 1u << 0, /* its sid is not what its place makes it */
    RC_RECOVERABLE_DIRTY = 1u << 1, /* the relay is to be told how it stands */
    RC_RECOVERABLE_GONE = 1u << 2,  /* its client is: the relay is to be told so, then it goes */
    RC_RECOVERABLE_QUIET = 1u << 3, /* it is coming back, or lost: the relay is told with its end */
    RC_RECOVERABLE_TOLD = 1u << 4,  /* it is lost, and the relay was told */
};

/* A socket in a namespace that may come back (worker/engine/recoverable.h). */
struct rc_recoverable {
    uint64_t since_ms; /* CLOCK_MONOTONIC when it connected */
    uint64_t random;   /* of its client; 0 = free */
    uint32_t client;   /* GONE: index it had */
    uint32_t next;     /* of the client; 0 = end. Index: made anew by a successor */
    uint32_t nsp;      /* heap block of its namespace's name; 0 = "/" */
    uint32_t record;   /* GONE: heap block of what the relay is to be told; 0 = that it cannot come back */
    uint32_t record_bytes;
    uint8_t nsp_bytes;
    uint8_t flags; /* enum rc_recoverable_flags */
    uint8_t again; /* 1: the relay was told of it before, or may have been */
    uint8_t pad[1];
    char pid[RC_PID_BYTES];
    char sid[RC_SID_BYTES];
};
_Static_assert(sizeof(struct rc_recoverable) == 80, "recoverable layout");

#endif
