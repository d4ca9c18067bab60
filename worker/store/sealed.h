/*
 * sealed: what the truth says of a TLS connection. Part of truth.h, and of RC_TRUTH_ABI. Keys lie in the heap, which no core dump has.
 *
 * Written by worker/io alone.
 */
#ifndef RC_WORKER_STORE_SEALED_H
#define RC_WORKER_STORE_SEALED_H

#include <stdint.h>

/* So many bytes, the whole of a heap block. */
struct rc_truth_block {
    uint32_t count;
    uint8_t bytes[];
};

#define RC_TRUTH_TLS_KEYS_BYTES 216u

/* A TLS 1.3 connection behind its handshake (worker/io/tls_left.h), a heap block of truth->tls. Written by worker/io. */
struct rc_truth_tls {
    uint32_t generation; /* of the socket */
    uint32_t identity;  /* heap block: struct rc_truth_block, as the next three; 0 = none. Whom its certificate names */
    uint32_t part;      /* what has come of a record of which not all has */
    uint32_t unread;    /* what a killed process had received of it, and not looked at */
    uint32_t out;       /* records that leave */
    uint32_t out_sent;  /* of them */
    uint32_t out_asked; /* `out_sent` when the send in flight was asked for */
    uint8_t failed;     /* it ends when its alert has left */
    uint8_t
        changing; /* 1: a record is being made, or taken apart: of a killed worker nobody seals with these keys again */
    uint8_t pad[2];
    _Alignas(8) uint8_t keys[RC_TRUTH_TLS_KEYS_BYTES]; /* struct rc_tls_keys */
};

/*
 * How far the TLS input that is being handled is read (worker/io/tls_opening.h): what the socket's `part` had when it began, and behind that what the
 * completion has brought, or (`of_unread`) its `unread`. One for the worker: only one is read at a time.
 */
#define RC_OPENING_HANDED 2u /* of `state`: the record behind the place was opened, and what it says is being handled */
struct rc_truth_opening {
    uint32_t socket;    /* and 1; 0 = none is read, or nothing is known of it */
    uint32_t state;     /* which place counts; the other one is behind the record that was HANDED */
    uint32_t part;      /* the block when it began; another one stands there now: all of it is read */
    uint32_t of_unread; /* the block; 0 = it is of the completion. Another one stands there now: likewise */
    struct rc_truth_opening_place {
        uint64_t sequence; /* of the next record */
        uint32_t from;     /* where it begins */
        uint32_t pad;
    } places[2];
};

#endif
