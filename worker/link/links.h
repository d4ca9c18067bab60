/*
 * links: streams between this worker and the processes of an existing Socket.IO application, whose clients the worker holds (docs/link.md).
 * Private to worker/link; others use link_io.h and opening.h.
 *
 *   dial.c     made or taken, watched, ended, made anew (link_io.h) ─▶ stream.c  bytes to frames ─▶ carry.c  what they ask for
 *      ─▶ ending.c  connections end ─▶ opening.c  handshakes ─▶ conn.c  a client here, a `conn` there ─▶ rooms.c  namespaces, rooms,
 *      broadcasts ─▶ waits.c  who waits for whom ─▶ link.c  what one link is sent, that it ends
 *   beside them: options.c  what READY says otherwise than [socketio]; hello.c  who the other end is; frame.c  frames, to the byte
 *
 *   FREE ─▶ CONNECTING ─▶ ASKING (HTTP) ─▶ GREETING (HELLO sent) ─▶ READY ─▶ FREE, and after a while anew by who had dialled
 *              └───────────────┴──────────────────┴─ failed ──────────▲
 *
 * Owned by the worker's main(), one thread. Frames are carried out between turns (rc_links_work), and whatever ends a link is only noted
 * until then. All of it is private memory: a link ends with its process, and with it, as long as nobody takes them over, its connections.
 */
#ifndef RC_WORKER_LINK_LINKS_H
#define RC_WORKER_LINK_LINKS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/hashmap.h"
#include "common/config/backend.h"
#include "worker/engine/session.h"
#include "worker/link/frame.h"
#include "worker/link/hello.h"

#define RC_LINK_TARGETS_MAX 64u /* processes of an application */
#define RC_LINKS_MAX (2u * RC_LINK_TARGETS_MAX)
#define RC_LINKS_DIALLED_MAX RC_LINK_TARGETS_MAX /* by applications, of RC_LINKS_MAX */
#define RC_LINKS_STRANGE_MAX 16u                 /* of them, those that have not proved who they are yet */
#define RC_LINK_NO_TARGET UINT32_MAX
#define RC_LINK_WAIT_MIN_MS 100u   /* before it is dialled again; doubled each time */
#define RC_LINK_FULL_BYTES 262144u /* for one client: its application is told that it is not writable */
#define RC_LINK_SLOT_BITS 20u      /* of a connection's id: the client */
_Static_assert(RC_SID_SLOT_MAX < 1u << RC_LINK_SLOT_BITS, "a client with a sid fits");

enum rc_link_state { RC_LINK_FREE, RC_LINK_CONNECTING, RC_LINK_ASKING, RC_LINK_GREETING, RC_LINK_IS_READY };

/* An address of the application. */
struct rc_link_target {
    struct sockaddr_storage name;
    socklen_t name_bytes;
    uint32_t url;
    uint32_t link;    /* index + 1 of its link; 0: none now */
    uint64_t next_ms; /* not dialled before */
    uint32_t wait_ms; /* how long the next failure waits */
    bool gone;        /* its name has other addresses now */
    bool failing;     /* that was logged */
};

/* The [[backend]] as it was configured; a reload that changes it makes another one, and this one ends with its links. */
struct rc_link_table {
    struct rc_link_table *next;
    struct rc_config_backend config; /* a copy */
    struct rc_backend_url urls[RC_CONFIG_BACKEND_URLS_MAX];
    struct rc_link_target targets[RC_LINK_TARGETS_MAX];
    uint32_t target_count;
    uint32_t index; /* in the configuration: of its health and counters */
    uint32_t links;
    SSL_CTX *tls; /* owned; NULL when no URL is https */
    bool retired;
};

struct rc_link {
    enum rc_link_state state;
    uint32_t generation;
    struct rc_link_table *table;        /* borrowed */
    uint32_t target;                    /* RC_LINK_NO_TARGET: the application has dialled */
    char from[RC_ADDRESS_TEXT_MAX + 8]; /* then: "from 192.0.2.1" */
    uint32_t socket;                    /* RC_SOCKET_NONE before it has its place, and once it is gone */
    const char *why;                    /* static: it is to end, or has ended, for this; NULL: it goes on */
    const char *eof_why;                /* static: nothing more comes, for this: it ends behind what has come */
    bool told;                          /* its last frame says why: it is to leave */
    bool logged;                        /* that it has ended */
    struct rc_link_nonces nonces;
    struct rc_link_ready ready;
    uint8_t *input; /* owned: what has come and was not carried out */
    size_t input_count;
    size_t input_capacity;
    size_t input_at; /* of it, carried out */
    bool stalled;    /* a turn has to come before the next frame */
    bool paused;     /* it is not read */
    bool pinged;     /* and nothing came since */
    uint64_t heard_ms;
    uint64_t deadline_ms; /* ASKING, GREETING */
    uint64_t frames_in;
    uint64_t frames_out;
    uint64_t partial; /* rc_hub_append_here of the frame that is being tried again */
    uint32_t first;   /* client of its first connection; 0: none */
    uint32_t conns;
    struct rc_index_list waiting; /* clients that are not read before there is room */
};

/* A client's connection at the application; by the client's index. */
struct rc_link_conn {
    uint64_t id;   /* 0: none */
    uint32_t link; /* index */
    uint32_t next; /* of the link: clients */
    uint32_t previous;
    uint32_t member;   /* first of its sockets in namespaces: index + 1 in rc_links.members; 0: none */
    uint32_t exchange; /* connection + 1 of the handshake that waits for ACCEPT; 0: none does */
    uint8_t *unit;     /* owned: frames of a packet whose last one is still to come (MORE) */
    uint32_t unit_count;
    uint32_t unit_capacity;
    bool in_packet;   /* MORE was said */
    bool dropped;     /* that packet is volatile, and it cannot be given it */
    bool full;        /* WRITABLE 0 was said; it is in rc_links.full */
    uint32_t leaving; /* entries of rc_links.leaving */
};

/* A connection's socket in a namespace. */
struct rc_link_member {
    uint64_t hash; /* of nsp and sid */
    uint32_t client;
    uint32_t next; /* of the connection, or free: index + 1 */
    uint16_t nsp_bytes;
    uint16_t sid_bytes;
    uint8_t *text; /* owned: nsp, sid */
};

/* An adapter of a process: one that ENTERed. */
struct rc_link_adapter {
    uint32_t link; /* index */
    uint16_t nsp_bytes;
    uint16_t uid_bytes;
    uint8_t nsp[RC_LINK_NSP_MAX];
    uint8_t uid[RC_LINK_UID_MAX];
};

/* Somebody who has left a room, and gets what was said there before, first. */
struct rc_link_leaving {
    uint64_t id; /* of its connection */
    uint32_t client;
    uint32_t channel;
};

struct rc_links {
    struct rc_clients *clients; /* borrowed, as the others */
    struct rc_engines *engines;
    const struct rc_control *control;
    const struct rc_config *config;
    struct rc_link_table *table; /* in force; NULL: none */
    struct rc_link_table *all;   /* owned */
    struct rc_link links[RC_LINKS_MAX];
    uint32_t ready; /* links that are */
    uint32_t hosts_revision;
    bool due;                   /* something was noted for rc_links_work */
    bool ending;                /* somebody's last frame is leaving */
    struct rc_link_conn *conns; /* owned, by client */
    uint32_t conn_count;
    uint64_t serial;                /* of connections */
    struct rc_link_member *members; /* owned */
    uint32_t member_count;          /* of it, those that were ever used */
    uint32_t member_capacity;
    uint32_t member_free; /* index + 1 */
    struct rc_hashmap sids;
    struct rc_link_adapter *adapters; /* owned */
    uint32_t adapter_count;
    uint32_t adapter_capacity;
    struct rc_link_leaving *leaving; /* owned */
    uint32_t leaving_count;
    uint32_t leaving_capacity;
    uint64_t failed_second; /* in which `failed` refused requests were told */
    uint32_t failed;
    uint32_t waiting;            /* entries of `waiting` of all links */
    struct rc_index_list full;   /* clients whose application is told when they take more */
    struct rc_index_list chosen; /* scratch: whom a broadcast is for */
    uint8_t *marks;              /* owned, by client: scratch */
};

static inline uint64_t rc_links_now_ms(const struct rc_links *links)
{
    return links->clients->io->now_ns / 1000000u;
}

/* --- link.c --- */

/* NULL: the application has dialled. */
struct rc_link_target *rc_link_target_of(const struct rc_link *link);
/* Where its other end is, for people. */
const char *rc_link_url(const struct rc_link *link);
/* How it stands with the backend, for /health/database. */
void rc_link_note(const struct rc_links *links, const struct rc_link_table *table, bool answered);
void rc_links_gauge(const struct rc_links *links);
/* It is to end, with its connections; `why` is static. Nothing happens before rc_links_work. */
void rc_link_end(struct rc_links *links, struct rc_link *link, const char *why);
/* The same for what the other end did that the protocol does not know: it is told. */
void rc_link_broken(struct rc_links *links, struct rc_link *link, const char *why);
/* A frame, whose payload is in two parts. False: no memory, the link ends. */
bool rc_link_send(struct rc_links *links, struct rc_link *link, enum rc_link_type type, uint8_t flags,
                  uint64_t connection, struct rc_span first, struct rc_span second);
/* A frame of a client's connection. */
bool rc_link_tell(struct rc_links *links, uint32_t client, enum rc_link_type type, struct rc_span text);
/* May frames of clients be sent now? */
bool rc_link_has_room(const struct rc_links *links, const struct rc_link *link);

/* --- stream.c --- */

/* Carries out what has come, frame by frame, until a turn has to come first. */
void rc_link_receive(struct rc_links *links, struct rc_link *link);

/* --- carry.c --- */

/* A frame of the application, which is ready; checked. False: a turn has to come first, then it once more. */
bool rc_link_carry_out(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head,
                       struct rc_span payload);

/* --- options.c --- */

/* Logs what READY's options say otherwise than [socketio]. */
void rc_link_options_look(const struct rc_links *links, const struct rc_link *link);

/* --- bus.c --- */

void rc_link_bus_enter(struct rc_links *links, struct rc_link *link, struct rc_span payload);
void rc_link_bus_exit(struct rc_links *links, const struct rc_link *link, struct rc_span payload);
/* The link is over: its adapters are gone. */
void rc_link_bus_left(struct rc_links *links, const struct rc_link *link);
void rc_link_bus_say(struct rc_links *links, const struct rc_link *link, struct rc_span payload);

/* --- conn.c --- */

static inline struct rc_link_conn *rc_link_conn_of(const struct rc_links *links, uint32_t client)
{
    return &links->conns[client];
}
/* The client of a connection of that link; 0: it is no more. */
uint32_t rc_link_client(const struct rc_links *links, const struct rc_link *link, uint64_t connection);
/* The link with the fewest connections; NULL: none is ready. */
struct rc_link *rc_links_choose(struct rc_links *links);
/* The link that `balance` gives the client: of whom it is known who he is; else as above. */
struct rc_link *rc_links_choose_for(struct rc_links *links, uint32_t client);
/* The client is the application's from here on; its id is new. */
void rc_link_conn_begin(struct rc_links *links, struct rc_link *link, uint32_t client);
/* It is not any more; nobody is told. */
void rc_link_conn_forget(struct rc_links *links, uint32_t client);
/* Of the engine (struct rc_engine_link). */
bool rc_link_conn_message(void *context, uint32_t client, enum rc_part_kind kind, const uint8_t *bytes, size_t count);
void rc_link_conn_gone(void *context, uint32_t client, enum rc_engine_why why);
void rc_link_conn_upgraded(void *context, uint32_t client);
/* Frames of the application for one connection. */
void rc_link_conn_say(struct rc_links *links, uint32_t client, const struct rc_link_head *head, struct rc_span payload);

/* --- waits.c --- */

/* Those that waited for the link are read again. */
void rc_link_conns_go_on(struct rc_links *links, struct rc_link *link);
/* May the client be given something volatile: nothing waits for it? */
bool rc_link_conn_takes_volatile(struct rc_links *links, uint32_t client);
/* Something was put there for the client: its application is told when that is much. */
void rc_link_conn_look(struct rc_links *links, uint32_t client);
/* Tells the application of clients that take more again. */
void rc_link_conns_writable(struct rc_links *links);
/* Has the last turn made room: for those that wait for a link, or at clients that were full? */
bool rc_link_conns_ready(const struct rc_links *links);

/* --- ending.c --- */

/* The application wants it closed: behind what was sent to it, or now. */
void rc_link_conn_close(struct rc_links *links, uint32_t client, bool now);
/* All of a link that is gone: their clients are closed. */
void rc_link_conns_lost(struct rc_links *links, struct rc_link *link);

/* --- opening.c --- */

void rc_link_opening_accepted(struct rc_links *links, uint32_t client, struct rc_span json);
void rc_link_opening_rejected(struct rc_links *links, uint32_t client, struct rc_span json);
/* The link that its handshake waits for is gone. */
void rc_link_opening_lost(struct rc_links *links, uint32_t client);

/* --- rooms.c --- */

void rc_link_join(struct rc_links *links, uint32_t client, struct rc_span payload);
void rc_link_leave(struct rc_links *links, uint32_t client, bool all, struct rc_span payload);
/* Who has left rooms and got all that was said there until then leaves their channels. Right behind a turn. */
void rc_link_rooms_settle(struct rc_links *links);
/* The connection is no more: its sockets are not found any longer. Its rooms go with the client. */
void rc_link_members_forget(struct rc_links *links, uint32_t client);
/* 0; -ENOSPC: once more, behind a turn. */
int rc_link_broadcast(struct rc_links *links, struct rc_link *link, uint8_t flags, struct rc_span payload);

#endif
