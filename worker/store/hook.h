/*
 * hook: objects of the truth (truth.h) for calls of backends: those whose reply has not been carried out yet (worker/engine/asked.h), so that a
 * successor can ask again, go on with the reply, or tell the client that there is none; and what nobody waits for (worker/backend/telling.h).
 */
#ifndef RC_WORKER_STORE_HOOK_H
#define RC_WORKER_STORE_HOOK_H

#include <stdint.h>

#include "common/config/values.h"
#include "common/records/envelope.h"
#include "common/records/sid.h"

#define RC_HOOK_CALL_BYTES 96u /* of the call's identifier, with its NUL */

enum rc_hook_flags {
    RC_HOOK_CONNECTED = 1u << 0, /* the reply is that to `connect` */
    RC_HOOK_QUIET = 1u << 1,     /* the client asked for nothing: it is not told what went wrong */
    RC_HOOK_ELSEWHERE = 1u << 2, /* it is another server's: there is no client */
    RC_HOOK_EARLY = 1u << 3,     /* its client is in no namespace yet: it waits for the first */
    RC_HOOK_UNTAKEN = 1u << 4,   /* there was no memory to take it over: its client is to be ended */
    RC_HOOK_LEFT = 1u << 5,      /* who asked stands still, and leaves it to a successor: nobody has died with it */
    RC_HOOK_UNASKED = 1u << 6,   /* its worker died in the packet, an ack, which asks again if it is still waited for */
};

/* In use from `attempt` on, which is said when all else is; `reply` is linked when it is whole. */
struct rc_hook {
    uint64_t random;  /* of the client: another one of its index is none of this */
    uint32_t client;  /* 0 = ELSEWHERE */
    uint32_t request; /* heap block: the JSON that was asked; 0 = it is not kept, and not asked again */
    uint32_t request_bytes;
    uint32_t reply; /* heap block: the reply, which waits to be carried out; 0 = there is none yet */
    uint32_t reply_bytes;
    uint32_t step;   /* of the reply: where it goes on (rc_does) */
    uint8_t attempt; /* how often it was asked; 0 = free */
    uint8_t deaths;  /* of processes that were asking it */
    uint8_t kind;    /* enum rc_backend_call_kind */
    uint8_t flags;   /* enum rc_hook_flags */
    uint8_t nsp_bytes;
    uint8_t id_bytes;
    uint8_t id[RC_REQUEST_ID_MAX]; /* of the acknowledgement that the client waits for */
    char nsp[RC_NSP_MAX];
    char sid[RC_SID_BYTES]; /* of its socket there */
    char call[RC_HOOK_CALL_BYTES];
    uint32_t backend_name; /* rc_backend_mark */
    uint32_t ack;          /* struct rc_ack whose end this tells, while that is still linked; 0 = none */
    uint32_t ack_emit;     /* id of its emit: another one of its index is none of this */
};
_Static_assert(sizeof(struct rc_hook) == 360, "hook layout");

enum rc_telling_kind {
    RC_TELLING_WEBHOOK = 1, /* an event of a Pusher app; to: index in config.pusher_apps */
    RC_TELLING_DISCONNECT,  /* a call `disconnect`; to: index in config.backends */
};

/* Written by worker/backend/telling.c. */
struct rc_telling {
    uint64_t added_ms; /* CLOCK_MONOTONIC */
    uint64_t number;   /* those that were added later have a greater one; 0 = free */
    uint32_t text;     /* heap block */
    uint32_t bytes;
    uint32_t next; /* in its queue; 0 = end. Index: made anew by a successor */
    uint8_t kind;  /* enum rc_telling_kind */
    uint8_t to;
    uint16_t
        mark; /* of the destination's name, where a reload may change numbers; 0 = it does not, or an older version wrote this */
};
_Static_assert(sizeof(struct rc_telling) == 32, "telling layout");

#endif
