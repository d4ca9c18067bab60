/*
 * beside: objects of the truth (truth.h) that a client has beside it, by its index, because of what it speaks: as an Engine.IO session, or as a client
 * of the Pusher Channels protocol.
 */
#ifndef RC_WORKER_STORE_BESIDE_H
#define RC_WORKER_STORE_BESIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text/address.h"

enum rc_engine_flags {
    RC_ENGINE_SESSION = 1u << 0,  /* the client is an Engine.IO session */
    RC_ENGINE_PROBE = 1u << 1,    /* it is none: a WebSocket that wants to take the session `other` over */
    RC_ENGINE_PROBED = 1u << 2,   /* of a probe: it was answered "3probe" */
    RC_ENGINE_COUNTED = 1u << 3,  /* `address` is counted in the address limits */
    RC_ENGINE_GOODBYE = 1u << 4,  /* it ends with the first request that finds nothing more for it */
    RC_ENGINE_ROOT = 1u << 5,     /* it has joined the Socket.IO namespace "/" */
    RC_ENGINE_UPGRADED = 1u << 6, /* it began with polling, and a WebSocket has taken it over */
    RC_ENGINE_PONG_DUE = 1u << 7, /* its ping was not answered yet: `ping_ds` is when it is given up */
    RC_ENGINE_CUT =
        1u << 8, /* with GOODBYE: it was too slow, and ends with its next request whatever there is for it */
    RC_ENGINE_MOVED =
        1u << 9, /* some of its sockets came back: their sids are not of this place (struct rc_recoverable) */
    RC_ENGINE_FAREWELL = 1u << 10, /* with GOODBYE: its last packets say that it was sent away */
    RC_ENGINE_DEAF = 1u << 11,   /* with GOODBYE: what was said to it before is among its replies, and no more comes */
    RC_ENGINE_BASE64 = 1u << 12, /* of Engine.IO 3: it takes text alone when it polls */
    RC_ENGINE_SECURE = 1u << 14, /* its handshake came over TLS */
    RC_ENGINE_PLACED = 1u << 13, /* it went, or is to go, to another worker while it polls: common/shm/sid_places.h */
};

/* Why a session ends, as [[event]] rows of "disconnect" are told. */
enum rc_engine_why {
    RC_ENGINE_WHY_CLOSED,   /* nothing was noted: the client went, or the hub sent it away */
    RC_ENGINE_WHY_SILENT,   /* it did not answer a ping */
    RC_ENGINE_WHY_BROKEN,   /* it did what the protocol does not know */
    RC_ENGINE_WHY_OVERLAP,  /* it sent a request while another one of its kind waited */
    RC_ENGINE_WHY_SENT_OFF, /* a backend sent it away */
    RC_ENGINE_WHY_SERVER,   /* something of ours: no memory, too slow, the server is shutting down */
};

/*
 * What a client has beside as an Engine.IO session: truth->engines, by the client's index. Others never touch theirs.
 * Written by worker/engine.
 */
struct rc_engine {
    uint64_t secret;           /* of the session id; 0 = none */
    struct rc_address address; /* whose session it is, while no socket carries it */
    uint32_t poll;             /* socket + 1 whose GET waits; 0 = none. Private to this process */
    uint32_t post;             /* socket + 1 whose POST is being carried out; 0 = none. Private to this process */
    uint32_t other;            /* probe: the session; session: its probe; 0 = none */
    uint32_t
        deadline_ds; /* in 1/100 s since boot: until then it has joined a namespace, or a probe has upgraded; 0 = none */
    uint32_t ping_ds;    /* likewise: next ping, or the pong's deadline when RC_ENGINE_PONG_DUE */
    uint32_t namespaces; /* heap block of the joined namespaces but "/": times, bytes and name of each; 0 = none */
    uint32_t packet;     /* heap block: an event whose attachments are still to come; 0 = none */
    uint16_t namespaces_bytes; /* in it */
    uint16_t flags;            /* enum rc_engine_flags */
    uint32_t auth;      /* heap block: what it said who it is when it connected to its namespaces; 0 = nothing kept */
    uint8_t left;       /* how many namespaces it has left: what makes the next sids others */
    uint8_t root_times; /* `left` when it joined "/" */
    uint8_t why;        /* enum rc_engine_why */
    uint8_t returning;  /* 1: a socket of it is coming back: it stays RC_CLIENT_WAITS_JOIN until that is there */
};
_Static_assert(sizeof(struct rc_engine) == 64, "an Engine.IO session is one cache line");

/*
 * The same of a client of the Pusher Channels protocol, in the same place: it is no session of Engine.IO. Written by worker/pusher.
 */
struct rc_pusher {
    uint32_t members;    /* heap block: who it is in its presence channels (pusher_members.h); 0 = it is in none */
    uint32_t rate_ds;    /* when the running time of its client events began, in 1/10 s since boot */
    uint32_t rate_count; /* so many in it */
    uint8_t app;         /* index in config.pusher_apps; they do not change their places while the broker runs */
    bool ended;          /* it was told an error that ends it: what it still says means nothing */
    uint8_t pad[2];
    uint32_t
        authorize_ds; /* until when it has to show that the app knows it, in 1/10 s since boot; 0 = it has, or need not */
    uint8_t spare[44];
};
_Static_assert(sizeof(struct rc_pusher) == sizeof(struct rc_engine), "they share their places");

#endif
