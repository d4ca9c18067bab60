/*
 * socket: one connection in the truth (truth.h): what it is, how far it is in its life, and what is in flight. Each field says which room of the worker
 * writes it. Changes of the layout raise RC_TRUTH_ABI.
 */
#ifndef RC_WORKER_STORE_SOCKET_H
#define RC_WORKER_STORE_SOCKET_H

#include <stdint.h>

/* Nobody: client.socket of a client without one. */
#define RC_SOCKET_NONE UINT32_MAX

/*
 * Life of a socket (terminate, join, close). It knows no channel: what a client is stands in struct rc_client.
 *
 *   FREE ─accept─▶ HTTP ─────attached─────▶ CARRYING ─────────────────┐
 *          placed   │  └──answered, draining──▶ LINGER ◀─nothing of it─┤ terminate
 *                   │                            ▲ │      counts any   │
 *                   │ another worker's         no│ │      more         ▼
 *                   └──────────────────▶ LEAVING─┴─┼──── given ──▶ TERMINATING ─join: nothing in flight─▶ CLOSED ─▶ FREE
 *                                           └─▶ PIPED ──one end ended──▶┘
 */
enum rc_socket_state {
    RC_SOCKET_FREE,
    RC_SOCKET_HTTP,     /* carries no client; its output is answers to requests. From here... */
    RC_SOCKET_CARRYING, /* `client` is attached */
    RC_SOCKET_LEAVING, /* HTTP, and its next request is another worker's, or instance's: its answers leave, then it does */
    RC_SOCKET_PIPED,  /* what it receives is output of the socket `pipe` */
    RC_SOCKET_LINGER, /* ...to here it has output. What still comes is thrown away; ends when its output has left */
    RC_SOCKET_TERMINATING,
    RC_SOCKET_CLOSED,
};

enum rc_socket_flags {
    /* io */
    RC_SOCKET_PEER_ENDED = 1u << 0, /* end of file was received */
    RC_SOCKET_PREFACE = 1u << 1,    /* the next bytes are handlers.preface's */
    RC_SOCKET_PAUSED = 1u << 2,     /* the upper layers do not want to read now */
    /* hub */
    RC_SOCKET_BLOCKED = 1u << 3, /* it took no more; waiting until it is writable */
    RC_SOCKET_DIRTY = 1u << 4,   /* in the turn's list of sockets with answers */
    /* client */
    RC_SOCKET_LOOPBACK = 1u << 5, /* came in through a loopback or Unix listener */
    RC_SOCKET_ADMIN = 1u << 6,    /* came in through http.admin_listen */
    RC_SOCKET_UNIX = 1u << 7,
    RC_SOCKET_COUNTED = 1u << 8,        /* counted in the address limits */
    RC_SOCKET_HANDSHAKE = 1u << 9,      /* counted as without a request yet */
    RC_SOCKET_WAITS_UPLINK = 1u << 10,  /* not read until the up ring has room */
    RC_SOCKET_WAITS_REPLIES = 1u << 11, /* not read until its replies have drained */
    RC_SOCKET_WAITS_RATE = 1u << 12,    /* not read until resume_ds: it sends too fast */
    RC_SOCKET_TAKEOVER = 1u << 13,      /* the client's compression window goes on from message to message */
    RC_SOCKET_PIPE = 1u << 14,          /* `pipe` is meaningful */
    RC_SOCKET_HERE = 1u << 15,          /* its request is answered here, then it ends: no other instance is asked */
};

#define RC_SOCKET_MADE_HERE \
    0xffu /* socket.listener: a connection to a backend. HTTP, and never anything else; all else of it is worker/backend's */
#define RC_PIPE_NEAR 0x80000000u   /* in socket.pipe */
#define RC_LEAVING_TRY 65536u      /* in socket.leaving, for each time that it was tried */
#define RC_LEAVING_CROSSES 0xffffu /* in socket.leaving: another instance is being connected to */
#define RC_LEAVING_LINKS 0xfffeu   /* in socket.leaving: it becomes a link of this worker (worker/link) */
#define RC_LEAVING_WAITS \
    0xfffdu /* in socket.leaving: its session is being moved: its request begins again when it is known where that is */

/* Reading is put off for any of these. */
#define RC_SOCKET_WAITS (RC_SOCKET_WAITS_UPLINK | RC_SOCKET_WAITS_REPLIES | RC_SOCKET_WAITS_RATE)

/*
 * One socket; its index is also its direct descriptor. The peer's address stands beside it (truth->peers): it is seldom looked at.
 * A turn writes blocked_ds, flags and sent_bytes, and reads these, client and generation. All arrays here begin at a page: with its
 * subscription (half a line) and its client, what is written for one delivery lies in three lines.
 */
struct rc_socket {
    uint64_t sent_bytes;     /* io: handed to the socket since accept */
    uint64_t received_bytes; /* io */
    uint32_t generation;     /* io: counts the index's uses; completions of earlier ones are recognised by it */
    uint32_t client;         /* client: struct rc_client that it carries; 0 = none */
    uint32_t output;         /* hub: struct rc_output of a socket without a client: answers; 0 = none */
    uint32_t input;          /* client: struct rc_input; 0 = nothing undecoded */
    uint32_t deadline_ds;    /* client: state-dependent deadline in 1/10 s since boot; 0 = none */
    union {                  /* client */
        uint32_t resume_ds;  /* with WAITS_RATE: when it is read on; with WAITS_JOIN: when it is given up */
        uint32_t
            leaving; /* LEAVING: the worker it goes to (RC_LEAVING_CROSSES, RC_LEAVING_WAITS: none), and RC_LEAVING_TRY for each time it was tried */
        uint32_t pipe; /* with PIPE: the socket at the other end; RC_PIPE_NEAR: this is the end that was made here */
    };
    uint32_t received_ds; /* io: when the last bytes came, 1/10 s since boot */
    uint32_t blocked_ds;  /* hub: with RC_SOCKET_BLOCKED: since when it takes nothing */
    union {               /* client */
        uint32_t
            exchange; /* HTTP: the request in progress (http/exchange.h), private to this process; 0 = none. Of a socket that
                              was made here: its connection to a backend (worker/backend), likewise */
        uint32_t history; /* CARRYING: heap block: what the client's compression refers back to; 0 = nothing */
    };
    uint16_t history_bytes; /* client: in it */
    uint16_t flags;         /* enum rc_socket_flags */
    uint16_t port;          /* io: of the peer, host order */
    uint8_t inflate_bits;   /* client: 0 = no compression agreed, else the client's window */
    uint8_t state;          /* enum rc_socket_state; those from HTTP to LINGER are client's, the others io's */
    uint8_t listener;       /* io: index in control->listeners, or RC_SOCKET_MADE_HERE */
    uint8_t mode : 7;       /* io: enum rc_io_mode */
    uint8_t
        tls : 1; /* io: it speaks TLS itself. What came in through a TLS listener and does not is an end of a pipe, */
                 /* or of who spoke plain HTTP there */
    uint8_t inflight;  /* io: enum rc_io_inflight */
    uint8_t cancelled; /* io: enum rc_io_inflight, of those in flight that are to be cancelled */
};
_Static_assert(sizeof(struct rc_socket) == 64, "a socket is one cache line");

#endif
