/*
 * links: streams between this worker and the processes of an existing Socket.IO application, whose clients the worker holds (docs/link.md).
 * Private to worker/link; others use link_io.h and opening.h.
 *
 *   dial.c     made or taken, watched, ended, made anew (link_io.h) ─▶ stream.c  bytes to frames ─▶ carry.c  what they ask for
 *      ─▶ ending.c  connections end ─▶ resume.c  or go to the next process ─▶ line.c  or on with the same one ─▶ opening.c  handshakes
 *      ─▶ conn.c  a client here, a `conn` there ─▶ rooms.c  namespaces, rooms, broadcasts ─▶ member.c  sockets in namespaces
 *      ─▶ recovery.c  who was lost and comes back ─▶ waits.c  who waits for whom ─▶ bond.c  what of a connection outlives its process
 *      ─▶ link.c  what one link is sent, that it ends ─▶ tally.c  what is counted by the address of the application
 *   beside them: share.c  how many rooms each process may have; options.c  what READY says otherwise than [socketio]; hello.c  who the other end is; frame.c  frames, to the byte
 *
 *   FREE ─▶ CONNECTING ─▶ ASKING (HTTP) ─▶ GREETING (HELLO sent) ─▶ READY ─▶ FREE, and after a while anew by who had dialled
 *              └───────────────┴──────────────────┴─ failed ──────────▲
 *
 * Owned by the worker's main(), one thread. Frames are carried out between turns (rc_links_work), and whatever ends a link is only noted
 * until then.
 *
 * A link ends with its stream, and with it its connections, unless the application resumes them (READY `resume`): then the truth has a line
 * for each process of the application (what was said and not acknowledged, both ways) and a bond for each connection
 * (worker/store/linked.h), from which this process or its successor goes on:
 *
 *   a connection:  of a link ─stream ends─▶ apart (its line has no link) ─the same process is back─▶ of its new link, nobody noticed
 *                     ▲                        └─it is not, or DETACH─▶ away (of no line) ─a process is ready─▶ opening (OPEN with `resume`)
 *                     └────────────────RESUMED──────────────────────────────┼─grace is over─▶ closed                  │
 *                     └─────────────────────────────────────────────────────┴─────────────────────────────────────────┘
 */
#ifndef RC_WORKER_LINK_LINKS_H
#define RC_WORKER_LINK_LINKS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/base/hashmap.h"
#include "common/config/backend.h"
#include "common/metrics/link_rows.h"
#include "worker/engine/session.h"
#include "worker/http/text.h"
#include "worker/link/frame.h"
#include "worker/link/hello.h"

#define RC_LINK_TARGETS_MAX 64u /* processes of an application */
#define RC_LINKS_MAX (2u * RC_LINK_TARGETS_MAX)
#define RC_LINK_NONE RC_LINKS_MAX                /* conn.link: no link has it */
#define RC_LINKS_DIALLED_MAX RC_LINK_TARGETS_MAX /* by applications, of RC_LINKS_MAX */
#define RC_LINKS_STRANGE_MAX 16u                 /* of them, those that have not proved who they are yet */
#define RC_LINK_ADAPTERS_MAX 4096u               /* of one process: as many namespaces hear of the other processes */
#define RC_LINK_NO_TARGET UINT32_MAX
#define RC_LINK_REPLY_MAX (64u * 1024 * 1024) /* bytes of one */
#define RC_LINK_WAIT_MIN_MS 100u              /* before it is dialled again; doubled each time */
#define RC_LINE_TELL_MS 20u /* what was carried out may be told so much later, so that it goes with something else */
#define RC_LINK_FULL_BYTES 262144u /* for one client: its application is told that it is not writable */
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
    bool told;                          /* one end has broken the protocol, the last frame says how: it is to leave */
    bool logged;                        /* that it has ended */
    struct rc_link_nonces nonces;
    struct rc_link_ready ready;
    uint8_t *input; /* owned: what has come and was not carried out */
    size_t input_count;
    size_t input_capacity;
    size_t input_at;       /* of it, carried out */
    bool stalled;          /* a turn has to come before the next frame */
    bool paused;           /* it is not read */
    bool pinged;           /* and nothing came since */
    uint32_t workers_told; /* how many this instance has */
    uint64_t heard_ms;
    uint64_t deadline_ms; /* ASKING, GREETING */
    uint64_t frames_in;
    uint64_t frames_out;
    uint64_t partial;      /* rc_hub_append_here of the frame that is being tried again, of one without a line */
    uint32_t line;         /* struct rc_link_line; 0: its connections end with it */
    uint32_t line_untaken; /* frames of a packet whose last one is still to come: not taken before that */
    uint64_t line_told;    /* what RECEIPT has told of line->taken */
    uint64_t line_bytes;   /* of frames taken since */
    uint64_t line_due_ms;  /* when the first of them was; 0: all is told */
    bool
        carrying; /* a frame of its is being carried out: it may have to be taken once more, so nothing is told of it */
    bool detached;     /* DETACH: it is to have no connections */
    uint32_t adapters; /* of rc_links.adapters */
    uint32_t first;    /* client of its first connection; 0: none */
    uint32_t conns;
    struct rc_index_list waiting; /* clients that are not read before there is room */
    uint64_t units;               /* bytes of packets for its connections whose last frames are still to come */
    uint64_t
        said[RC_LINKS_MAX];  /* bytes of CLUSTER that it was told of each other link's, since it last took nearly all */
    uint32_t peers_due;      /* namespaces of which it is to be told who is there, when it takes more */
    uint64_t cluster_frames; /* CLUSTER that it has said, and their bytes */
    uint64_t cluster_bytes;
    uint64_t cluster_looked;              /* cluster_bytes when it was last looked whom it is to be told of (TAKEN) */
    uint64_t cluster_taken[RC_LINKS_MAX]; /* cluster_bytes when it was last told so of that other link */
    bool taken_due;                       /* there may be somebody to be told of */
};

/* A client's connection at the application; by the client's index. */
struct rc_link_conn {
    uint64_t id;   /* 0: none */
    uint32_t link; /* index; RC_LINK_NONE: it is apart or away */
    uint32_t next; /* of the link, or of its line: clients */
    uint32_t previous;
    uint32_t bond;       /* struct rc_link_bond; 0: it ends with its link */
    uint32_t member;     /* struct rc_link_member: first of its sockets in namespaces; 0: none */
    uint32_t sockets;    /* of them */
    uint64_t kept_bytes; /* of what is known of them: sessions, rooms */
    uint32_t exchange;   /* connection + 1 of the handshake that waits for ACCEPT; 0: none does */
    uint8_t *unit;       /* owned: frames of a packet whose last one is still to come (MORE) */
    uint32_t unit_count;
    uint32_t unit_capacity;
    bool holding;       /* what it says is held: no process has it, or what was held is still to be sent first */
    bool in_packet;     /* MORE was said */
    bool dropped;       /* that packet is volatile, and it cannot be given it */
    bool closing;       /* CLOSE was said */
    bool full;          /* WRITABLE 0 was said; it is in rc_links.full */
    uint32_t leaving;   /* entries of rc_links.leaving */
    uint64_t opened_ms; /* a process was told of it that is to say RESUMED */
};

/* What this process knows of a struct rc_link_line. */
struct rc_link_line_own {
    uint32_t link;     /* index + 1; 0: its stream has ended */
    uint32_t first;    /* then: client of its first connection */
    uint32_t conns;    /* then */
    uint64_t since_ms; /* then */
    uint64_t handed;   /* as the truth had it when it was looked at last */
    uint64_t moved_ms; /* since then that, or nothing is left to hand on */
    uint64_t lag_ms;   /* how long that was when it was looked at last */
    uint32_t row;      /* rc_link_row of its last link; 0: not known */
    bool slow;         /* that was logged */
};

/* An adapter of a process: one that ENTERed. */
struct rc_link_adapter {
    uint32_t link; /* index; RC_LINK_NONE: the place is free */
    uint32_t
        next; /* index of the next one of the namespace, UINT32_MAX: the last; of a free place index + 1 of another one, 0: the last */
    bool peers_due; /* its link is to be told who else is there */
    uint16_t nsp_bytes;
    uint16_t uid_bytes;
    uint8_t nsp[RC_LINK_NSP_MAX];
    uint8_t uid[RC_LINK_UID_MAX];
};

/* Rooms that a process has made and that are there still, by share.c. */
struct rc_link_share {
    uint64_t process; /* rc_link_process */
    uint32_t rooms;   /* 0: the place is free */
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
    /* Of the backend that could not be opened, which is not in the report yet: its index + 1; 0: none. */
    uint32_t unopened;
    bool due;                   /* something was noted for rc_links_work */
    bool telling;               /* there is something that is told a little later (rc_line_tell) */
    bool bus_due;               /* somebody waits to be told who is there (PEERS), or who has taken what (TAKEN) */
    bool ending;                /* somebody's last frame is leaving */
    struct rc_link_conn *conns; /* owned, by client */
    uint32_t conn_count;
    uint64_t serial;        /* of connections */
    struct rc_hashmap sids; /* struct rc_link_member by nsp and sid */
    struct rc_link_line_own lines[RC_LINK_LINES];
    uint32_t apart;                   /* connections of no link: of lines without one, and of none */
    uint64_t held_bytes;              /* of all bonds */
    uint64_t kept_bytes;              /* of all connections */
    struct rc_index_list away;        /* clients that go to the next process, until RESUMED; some are gone or there */
    struct rc_index_list holding;     /* clients whose process is there, and is still to be sent what was held */
    struct rc_index_list unheld;      /* clients that are not read before there is room to hold what they say */
    struct rc_link_adapter *adapters; /* owned */
    uint32_t adapter_count;           /* of them, not free */
    uint32_t adapter_capacity;
    struct rc_link_share shares[RC_LINKS_MAX];
    uint32_t adapters_free;          /* index + 1 of a free one; 0: none is */
    struct rc_hashmap nsps;          /* the first of each namespace, by its name */
    struct rc_link_leaving *leaving; /* owned */
    uint32_t leaving_count;
    uint32_t leaving_capacity;
    uint32_t leaving_by[1024]; /* how many of them are of channels with that remainder */
    TAILQ_HEAD(rc_link_questions, rc_link_question) questions; /* of REQUESTs that were not answered yet */
    uint32_t question_count;
    uint64_t recovery_ms;   /* of the process that was there last; 0 = not known */
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
/* Bytes that its process has not taken. */
uint64_t rc_link_unsent(const struct rc_links *links, const struct rc_link *link);
/* May frames of clients be sent now? */
bool rc_link_has_room(const struct rc_links *links, const struct rc_link *link);

/* The link of a client's connection; NULL: none has it now. */
static inline struct rc_link *rc_link_of(struct rc_links *links, uint32_t client)
{
    const uint32_t link = links->conns[client].link;
    return link == RC_LINK_NONE ? NULL : &links->links[link];
}
/* Is it one of those that are counted, kept and told again? */
static inline bool rc_link_is_numbered(uint8_t type)
{
    return type >= RC_LINK_OPEN && type != RC_LINK_RECEIPT;
}
/* Bytes of a frame, which stand in the truth, are sent once more. */
bool rc_link_send_again(struct rc_links *links, struct rc_link *link, struct rc_span frame);
/* A frame of the line is kept until its process has handed it on. False: no memory. */
bool rc_line_keep(struct rc_links *links, uint32_t line, const struct rc_link_head *head, struct rc_span first,
                  struct rc_span second);
/* Where a broadcast of the link that is tried again goes on. */
uint64_t *rc_line_partial(struct rc_links *links, struct rc_link *link);
/* Is the process to be told of frames of its that were carried out, and does it take that? */
bool rc_line_tells(const struct rc_links *links, const struct rc_link *link);
/* Tells it at once (RECEIPT); rc_link_send does so before a frame that wakes it up anyway. */
void rc_line_told(struct rc_links *links, struct rc_link *link, uint8_t flags);

/* --- tally.c --- */

/* Index + 1 of its struct rc_link_row; 0: it has none (any more). */
uint32_t rc_link_row(const struct rc_links *links, const struct rc_link *link);
/* One of the counters; by a link (NULL: it is not counted) or by such an index. */
void rc_link_count(const struct rc_links *links, const struct rc_link *link, enum rc_link_number number, uint64_t n);
void rc_link_count_row(const struct rc_links *links, uint32_t row, enum rc_link_number number, uint64_t n);
/* The rows are those of links->table from here on. */
void rc_links_rows_adopt(struct rc_links *links);
/* Its gauges. Once in each pass. */
void rc_links_rows_gauge(const struct rc_links *links);

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
void rc_link_bus_say(struct rc_links *links, struct rc_link *link, struct rc_span payload);
/* Bytes that a process may say to another one before that has taken them, by TAKEN: however many there are, it is less than each one's part of what may
 * wait for it. */
uint64_t rc_link_bus_window(const struct rc_config_backend *backend);
/* Who takes more again is told who is there. Once in each pass. */
void rc_link_bus_work(struct rc_links *links);
/* Has the last turn made room for somebody to be told? */
bool rc_link_bus_ready(const struct rc_links *links);

/* --- line.c --- */

/* READY came: what the process and this worker have said to each other goes on, or begins anew. */
void rc_line_begin(struct rc_links *links, struct rc_link *link);
/* A frame of its is to be carried out; undone by rc_line_untake. */
void rc_line_take(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head);
void rc_line_untake(struct rc_links *links, struct rc_link *link);
/* RECEIPT came. */
void rc_line_receipt(struct rc_links *links, struct rc_link *link, struct rc_span payload);
/* Tells the process how many of its frames were carried out, if it was told less and reads: RC_LINE_TELL_MS later, or when that were many bytes. Once
 * in each pass, and behind what has come. */
void rc_line_tell(struct rc_links *links, struct rc_link *link);
/* The link's stream is over: its connections are the line's. */
void rc_line_cut(struct rc_links *links, struct rc_link *link);
/* The process is gone, or wants no connections: what it was sent and has not handed on is held for the next one, and its connections are away. */
void rc_line_lost(struct rc_links *links, uint32_t line);
/* Lines and their connections, of a truth that another process has written. */
void rc_lines_rebuild(struct rc_links *links);

/* --- resume.c --- */

/* Lines whose process does not come back, connections that go to another one or whose grace is over, and what was held. Once in each pass. */
void rc_resume_work(struct rc_links *links);
uint32_t rc_resume_sleep_ms(const struct rc_links *links, uint32_t wait_ms);
/* RESUMED came: what was held follows. */
void rc_resume_resumed(struct rc_links *links, uint32_t client);
/* A successor goes on with who waited, was full, or leaving a room. */
void rc_resume_rebuild(struct rc_links *links);
/* DETACH came; `hold`: what it has to say of its connections still counts. */
void rc_resume_detach(struct rc_links *links, struct rc_link *link, bool hold);

/* --- bond.c --- */

static inline struct rc_link_bond *rc_link_bond_of(const struct rc_links *links, uint32_t client)
{
    const uint32_t bond = links->conns[client].bond;
    return bond == 0 ? NULL : rc_truth_link_bond(links->clients->truth, bond);
}
/* The connection, which is the link's, outlives it from here on; `request`: of rc_link_opening_of. Not, and logged, without memory. */
void rc_bond_make(struct rc_links *links, uint32_t client, struct rc_span request);
/* It is no more. */
void rc_bond_break(struct rc_links *links, uint32_t client);
/* What the client says is held. False: no room, it has to wait; the client ends without memory. */
bool rc_bond_hold(struct rc_links *links, uint32_t client, enum rc_link_type type, struct rc_span message);
/* The same of what the truth has, whatever the bounds. */
bool rc_bond_hold_frame(struct rc_links *links, struct rc_link_bond *bond, struct rc_span frame);
/* The oldest of what is held goes. */
void rc_bond_drop(struct rc_links *links, struct rc_link_bond *bond);

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
/* All of a link are its line's, and the other way round. */
void rc_link_conns_move(struct rc_links *links, struct rc_link *link, struct rc_link_line_own *own, bool to_link);
/* The connection becomes a link's, or (NULL) nobody's. */
void rc_link_conn_give(struct rc_links *links, uint32_t client, struct rc_link *link);
/* The same of one of a bond that a predecessor has left. */
void rc_link_conn_adopt(struct rc_links *links, uint32_t client);
void rc_link_conns_gauge(const struct rc_links *links);
/* Of the engine (struct rc_engine_link). */
bool rc_link_conn_message(void *context, uint32_t client, enum rc_part_kind kind, const uint8_t *bytes, size_t count);
void rc_link_conn_gone(void *context, uint32_t client, enum rc_engine_why why);
void rc_link_conn_upgraded(void *context, uint32_t client);
/* Does the client get payloads, in which a text must not have what separates packets (rc_link_text_tears)? */
bool rc_link_conn_polls(const struct rc_links *links, uint32_t client);
/* What the application says to it cannot be carried to it: it is closed, and nobody else. */
void rc_link_conn_refuse(struct rc_links *links, uint32_t client, const char *why);
#define RC_LINK_TEARS "a text with U+001E, which separates packets of polling"
/* Frames of the application for one connection. */
void rc_link_conn_say(struct rc_links *links, uint32_t client, const struct rc_link_head *head, struct rc_span payload);

/* --- waits.c --- */

/* Those that waited for the link are read again. */
void rc_link_conns_go_on(struct rc_links *links, struct rc_link *link);
/* The client is not read before it is woken with the others of the list. */
void rc_link_conn_wait(struct rc_links *links, uint32_t client, struct rc_index_list *list);
/* Those of rc_links.unheld try again. */
void rc_link_conns_wake(struct rc_links *links);
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
/* All of a link that is gone: their clients are closed, or its line's from here on. */
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
/* LEAVE with ALL. */
void rc_link_leave_all(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid);
/* `resume` of OPEN: an array of all sockets, which have to JOIN anew. */
void rc_link_members_write(struct rc_links *links, uint32_t client, struct rc_text *text);
/* Those that have not are in no namespace any more; `all`: none is. */
void rc_link_members_leave(struct rc_links *links, uint32_t client, bool all);
/* A successor goes on with who was leaving. */
void rc_link_rooms_rebuild(struct rc_links *links, uint32_t client);
/* 0; -ENOSPC: once more, behind a turn. */
int rc_link_broadcast(struct rc_links *links, struct rc_link *link, uint8_t flags, struct rc_span payload);

/* The rooms of one of its sockets but its own one, as a list of the link's. */
void rc_link_member_rooms(struct rc_links *links, uint32_t client, const struct rc_link_member *member,
                          struct rc_text *list);

/* --- recovery.c --- */

/* A BROADCAST of the link's with these flags is about to be counted as carried out. Until it was said, which is next, the relay may lack it. */
void rc_link_recovery_counts(struct rc_links *links, uint8_t flags);
/* A BROADCAST of the link's, before it is carried out, once. */
void rc_link_recovery_said(struct rc_links *links, const struct rc_link *link, uint8_t flags, struct rc_span payload);
/* KEEP came. */
void rc_link_recovery_keep(struct rc_links *links, const struct rc_link *link, struct rc_span payload);
/* The client is about to be gone: if no process has it, what its sockets are is kept. */
void rc_link_recovery_gone(struct rc_links *links, uint32_t client);
/* REQUEST came: REPLY follows. */
void rc_link_recovery_asked(struct rc_links *links, const struct rc_link *link, struct rc_span payload);
/* Once in each pass. */
void rc_link_recovery_work(struct rc_links *links);
/* Is there something for which it has to look again soon? */
bool rc_link_recovery_waits(const struct rc_links *links);
void rc_link_recovery_close(struct rc_links *links);

/* --- share.c --- */

/* Which process it is, among those of this worker and of its predecessors. Never 0. */
uint64_t rc_link_process(const struct rc_link *link);
/* May its process make another room? */
bool rc_link_share_allows(struct rc_links *links, const struct rc_link *link);
/* It has made that channel. */
void rc_link_share_took(struct rc_links *links, const struct rc_link *link, uint32_t channel);
void rc_links_shares_rebuild(struct rc_links *links);

/* --- member.c --- */

struct rc_span rc_link_member_nsp(const struct rc_links *links, const struct rc_link_member *member);
struct rc_span rc_link_member_sid(const struct rc_links *links, const struct rc_link_member *member);
/* Index of the socket; 0: nobody here. */
uint32_t rc_link_member_find(const struct rc_links *links, struct rc_span nsp, struct rc_span sid);
/* The socket is found from here on. -ENOMEM; -EEXIST: another one has its id, of which nobody could tell which is meant; -EDQUOT: the connection
 * has too many. */
int rc_link_member_add(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid);
/* It is found no more. False: it was not there. */
bool rc_link_member_remove(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span sid);
/* Has the connection a socket in the namespace? */
bool rc_link_member_in(const struct rc_links *links, uint32_t client, struct rc_span nsp);
/* The connection is no more: its sockets are not found any longer. Its rooms go with the client. */
void rc_link_members_forget(struct rc_links *links, uint32_t client);
void rc_link_members_rebuild(struct rc_links *links);
/* SESSION: what is known of a socket now. */
void rc_link_session(struct rc_links *links, uint32_t client, struct rc_span payload);
/* A room whose channel has another name is noted beside the socket, or is not any more. False: there is no place for another one. */
bool rc_link_member_room(struct rc_links *links, uint32_t client, struct rc_span nsp, struct rc_span room, bool joined);

#endif
