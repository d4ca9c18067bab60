/*
 * linked: objects of the truth (truth.h) for clients of an application behind links (docs/link.md): what of a link outlives its stream, and what
 * of a connection outlives the application's process. Written by worker/link.
 */
#ifndef RC_WORKER_STORE_LINKED_H
#define RC_WORKER_STORE_LINKED_H

#include <stdint.h>

#include "worker/store/chunks.h"

#define RC_LINK_LINES 257u /* indexes of struct rc_link_line: 0 is none */
#define RC_LINK_PROCESS_MAX 64u
#define RC_LINK_NSP_MAX 255u /* bytes of a namespace */
#define RC_LINK_SID_MAX 128u
#define RC_LINK_HEAD_BYTES 16u /* of a frame: u32 bytes behind it, and more */
#define RC_LINK_SLOT_BITS 20u  /* of a connection's id: the client */

/* What this worker and one process of the application have said to each other, whatever stream it goes over. */
struct rc_link_line {
    uint64_t taken;   /* numbered frames of the process that were carried out */
    uint64_t handed;  /* of ours, those that it has handed on: they are kept no more */
    uint64_t partial; /* rc_hub_append_here of the frame that is being tried again */
    struct rc_chunks
        kept; /* of ours, the others: whole frames. Their number is handed + 1 and so on, its low 32 bits */
    char process[RC_LINK_PROCESS_MAX + 1]; /* empty: not in use */
    uint8_t draining;                      /* DETACH with HOLD: what clients say is for the next process */
    uint8_t pad[6];
};
_Static_assert(sizeof(struct rc_link_line) == 112, "line layout");

enum rc_link_bond_flags {
    RC_LINK_BOND_OPENING = 1u << 0, /* another process was told of it, and has not said RESUMED */
    RC_LINK_BOND_FULL = 1u << 1,    /* its process was told WRITABLE 0 */
    RC_LINK_BOND_AGAIN = 1u << 2,   /* that, once or more often since a process had it last */
};

/* A client's connection at the application, which outlives its process. */
struct rc_link_bond {
    uint64_t id;           /* that it has on links */
    uint64_t away_ms;      /* CLOCK_MONOTONIC: since then no process has it; 0 = one has */
    struct rc_chunks held; /* what the client says meanwhile: whole frames */
    struct rc_chunks rest; /* of `held`, while older ones are put before it */
    uint32_t client;       /* 0 = not in use */
    uint32_t line;         /* struct rc_link_line; 0 = of no process now */
    uint32_t request;      /* heap block: what OPEN says of its request */
    uint32_t request_bytes;
    uint8_t flags; /* enum rc_link_bond_flags */
    uint8_t pad[7];
};
_Static_assert(sizeof(struct rc_link_bond) == 72, "bond layout");

/* A connection's socket in a namespace. */
struct rc_link_member {
    uint32_t next;    /* of the connection; 0 = end. Index: made anew by a successor. Free: the pool's */
    uint32_t client;  /* 0 = not in use */
    uint32_t text;    /* heap block: nsp, sid */
    uint32_t session; /* heap block: struct rc_link_session and what it counts; 0 = nothing was said */
    uint32_t rooms;   /* heap block: u16 bytes and the name of each room whose channel has another one; 0 = none */
    uint32_t rooms_bytes;
    uint16_t nsp_bytes;
    uint16_t sid_bytes;
    uint8_t joined; /* the process that has it now has said JOIN */
    uint8_t pad[3];
};
_Static_assert(sizeof(struct rc_link_member) == 32, "member layout");

/* What SESSION has said last, one behind the other. */
struct rc_link_session {
    uint32_t pid_bytes;
    uint32_t auth_bytes;
    uint32_t data_bytes;
    uint32_t pad;
};

#endif
