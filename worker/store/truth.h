/*
 * truth: a worker's own shared segment: everything that a successor process could not rebuild.
 *
 * Written by one worker only, on its one thread; mapped by another process only to take the connections over. Objects are
 * linked by index or block number, never by pointer. What can be computed from here (hash tables, member vectors, timers,
 * free lists) is index: private memory of the worker.
 *
 *   | header | sockets[] | peers[] | engines[] | opened[] | tls[] | rates[] | pools: RC_TRUTH_POOLS | sizes of heap blocks | heap | io |
 *
 * A socket and the client that it carries name each other. Each of their fields says which room of the worker writes it.
 *
 * Whoever changes something here may die before the next store. So: an object is whole before it is linked, and is not linked any more
 * when it is given back; what several words say is made anew beside them and taken over with one; counts say nothing that links do not.
 * docs/outlive.md has what lives where, and truth_check.h looks at all of it.
 *
 * The memfd is sparse: a pool's full extent is reserved at start and costs memory only where it was touched. Core dumps hold what was used
 * of the pools, and neither heap nor io (common/shm/segment.h says why).
 */
#ifndef RC_WORKER_STORE_TRUTH_H
#define RC_WORKER_STORE_TRUTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/records/envelope.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/shm/handover.h"
#include "common/shm/history.h"
#include "common/shm/layout.h"
#include "common/text/address.h"
#include "worker/store/answering.h"
#include "worker/store/beside.h"
#include "worker/store/encoding.h"
#include "worker/store/heap.h"
#include "worker/store/hook.h"
#include "worker/store/linked.h"
#include "worker/store/logs.h"
#include "worker/store/moving.h"
#include "worker/store/pool.h"
#include "worker/store/sealed.h"
#include "worker/store/socket.h"
#include "worker/store/took.h"
#include "worker/ws/receive.h"

#define RC_TRUTH_READY 0x52435452u /* "RCTR" */
/* Raised when anything that lies here changes its place, its size or its meaning: a worker of another number starts with an empty one. */
#define RC_TRUTH_ABI 13u

/*
 * Life of a client:
 *
 *   FREE ─opened─▶ OPEN ─close frame queued "now", or sent─▶ CLOSING ─▶ FREE
 *                   └──────────────ended by its socket's end─────────────▲
 */
enum rc_client_state {
    RC_CLIENT_FREE,
    RC_CLIENT_OPEN,
    RC_CLIENT_CLOSING, /* hears no channel any more; what is left is its close frame */
};

enum rc_client_flags {
    /* hub */
    RC_CLIENT_EVERYBODY = 1u << 0,    /* hears channel "*" */
    RC_CLIENT_CLOSE_QUEUED = 1u << 1, /* its close frame goes out after everything else */
    RC_CLIENT_CLOSE_SENT = 1u << 2,   /* our close frame has left; nothing may follow */
    RC_CLIENT_DIRTY = 1u << 3,        /* in the turn's list of clients with output of their own */
    RC_CLIENT_EXCLUDED = 1u << 4,     /* is excluded from some frame that is before it */
    RC_CLIENT_CUT_OFF = 1u << 10,     /* a slow consumer: gets nothing more, the turn's next step says good-bye to it */
    RC_CLIENT_BROKEN = 1u << 5,       /* what it was to get next was lost for want of memory: must end */
    RC_CLIENT_READY = 1u << 12,       /* in the list of those that are POLLED and have something to get */
    RC_CLIENT_LATE = 1u << 15,        /* could not take what there was for it: what is volatile of that, it misses */
    RC_CLIENT_SELECTED = 1u << 13,    /* the message that is being looked at is for it */
    RC_CLIENT_WAITS_JOIN = 1u << 6,   /* neither read nor written until the relay knows what the server joined for it */
    /* client */
    RC_CLIENT_WAITS_SUBSCRIBE = 1u << 7, /* not read until none of its subscribe requests waits (pending_count) */
    RC_CLIENT_CLOSE_RECEIVED = 1u << 8,  /* the peer's close frame has come */
    RC_CLIENT_PING_DUE = 1u << 9,        /* a ping was sent and its pong has not come */
    RC_CLIENT_WAITS_ANSWER =
        1u << 14,                /* not read until a question that was asked for it is answered: rc_client_answered */
    RC_CLIENT_POLLED = 1u << 11, /* nothing carries it, and a request waits for what there is to get */
};

/* Somebody else's answer, whose coming tells it to go on. */
#define RC_CLIENT_WAITS_OTHERS (RC_CLIENT_WAITS_SUBSCRIBE | RC_CLIENT_WAITS_ANSWER)
#define RC_CLIENT_WAITS (RC_CLIENT_WAITS_JOIN | RC_CLIENT_WAITS_OTHERS)
/* Their exclusive or is all of them only when no two share a bit. */
#define RC_CLIENT_FLAGS(of)                                                                                            \
    (RC_CLIENT_EVERYBODY of RC_CLIENT_CLOSE_QUEUED of RC_CLIENT_CLOSE_SENT of RC_CLIENT_DIRTY of RC_CLIENT_EXCLUDED of \
         RC_CLIENT_CUT_OFF of RC_CLIENT_BROKEN of RC_CLIENT_READY of RC_CLIENT_LATE of RC_CLIENT_SELECTED of           \
             RC_CLIENT_WAITS_JOIN of RC_CLIENT_WAITS_SUBSCRIBE of RC_CLIENT_CLOSE_RECEIVED of RC_CLIENT_PING_DUE of    \
                 RC_CLIENT_WAITS_ANSWER of RC_CLIENT_POLLED)
_Static_assert(RC_CLIENT_FLAGS(^) == RC_CLIENT_FLAGS(|) && RC_CLIENT_FLAGS(|) == UINT16_MAX, "a bit each");
#define RC_CUT_DIRECT UINT32_MAX /* client.cut: the wire is in the middle of a direct message */
#define RC_ENDPOINT_PATH 255u    /* client.endpoint: server.path (native), not an [[endpoint]] table */

/*
 * One client: whom ids name, who subscribes, for whom messages wait. What carries it is a socket, one after another or for a while
 * none. `random` names it among all that there ever were; the index is where it stands. An idle anonymous WebSocket connection is
 * this and its socket, and has nothing beside them.
 */
struct rc_client {
    uint32_t socket;        /* client: what carries it; RC_SOCKET_NONE = nothing does now. Free: the pool's */
    uint32_t turn;          /* hub: the turn in which it was served last */
    uint64_t random;        /* client: of the client id; 0 = free */
    uint32_t subscriptions; /* hub: first of its list; 0 = none */
    uint32_t everybody;     /* hub: subscription that holds the cursor into "*" while behind; 0 = none */
    uint32_t cut;           /* hub: subscription in the middle of whose frame the wire is; 0 = none, RC_CUT_DIRECT */
    uint32_t output;        /* hub: struct rc_output; 0 = nothing of its own to send */
    uint32_t direct_log;    /* hub: log of direct messages; 0 = none pending */
    uint32_t excluded_turn; /* hub: with EXCLUDED: the turn counted last when it was excluded last */
    uint32_t user;          /* client: struct rc_user; 0 = anonymous, and nothing is known of it */
    uint32_t active_ds;     /* client: its last message, for the idle timeout; what a stream not carried yet waits on */
    uint32_t ping_ds;       /* client: next ping, or the pong's deadline when RC_CLIENT_PING_DUE; 1/10 s since boot */
    uint16_t flags;         /* enum rc_client_flags */
    uint16_t cursor_count;  /* hub: its subscriptions with a cursor, "*" included */
    uint16_t pending_count; /* hub: subscribe requests that wait for the relay */
    uint16_t subscription_count; /* hub */
    uint8_t state;               /* client: enum rc_client_state */
    uint8_t encoding;            /* client: encoding.h */
    uint8_t endpoint;            /* client: index of [[endpoint]], or RC_ENDPOINT_PATH */
    bool must_say : 1;           /* client: who it is, before it may do anything, and before it hears anything */
    bool told_gone : 1;          /* client: rows and backends were told of its end, when it was in its channels still */
    bool guest : 1;              /* client: it came from another worker: its id names truth->homes */
    bool moving : 1;             /* move: it goes to another worker, and its end here is nobody's */
    bool in_history : 1;         /* hub: some of its subscriptions are */
    bool replay_due : 1;         /* hub: in the list of those that are to get the next piece of it */
};
_Static_assert(sizeof(struct rc_client) == 64, "a client is one cache line");

enum rc_subscription_flags {
    RC_SUBSCRIPTION_CURSOR = 1u << 0, /* `cursor` is meaningful: the subscription is not at group.served */
    RC_SUBSCRIPTION_LATEST =
        1u << 1, /* fell off under policy `latest`: passes superseded frames over until it has caught up */
    RC_SUBSCRIPTION_EVERYBODY = 1u << 2, /* stands for "*", exists only while behind */
    RC_SUBSCRIPTION_LEAVING = 1u << 3,   /* has left, and gets what was said before (worker/link/rooms.c) */
};

/* subscription.cursor of one that is in its channel's history: beyond every log, so that nobody has to ask for it. */
#define RC_CURSOR_IN_HISTORY UINT64_MAX

struct rc_subscription {
    uint64_t cursor; /* absolute byte position in the group's log, maybe inside a frame */
    uint32_t client;
    uint32_t group;
    uint32_t next;   /* of the client; 0 = end */
    uint32_t member; /* position in the group's member vector */
    uint32_t flags;  /* enum rc_subscription_flags */
    uint32_t replay; /* struct rc_replay: it gets what it lacks from the channel's history first; 0 = it does not */
};
_Static_assert(sizeof(struct rc_subscription) == 32, "subscription layout");

enum rc_channel_flags {
    RC_CHANNEL_ACTIVE = 1u << 0,   /* the relay has acknowledged our interest */
    RC_CHANNEL_WANTED = 1u << 1,   /* we want it: there is a subscriber or a pending one */
    RC_CHANNEL_TOLD = 1u << 2,     /* what the relay was told last: 1 = interest added */
    RC_CHANNEL_DIRTY = 1u << 3,    /* WANTED differs from TOLD, or a snapshot has to name it: in the interest list */
    RC_CHANNEL_SETTLING = 1u << 4, /* those who waited are being answered: it is not released meanwhile */
    RC_CHANNEL_LOCAL = 1u << 5,    /* ACTIVE on this host only: the acknowledgement said that Redis had not confirmed */
    RC_CHANNEL_ASKED = 1u << 6,    /* the relay was told and has not answered yet: in a list of the uplink */
    RC_CHANNEL_REFUSED =
        1u << 7,                /* it has subscribers, but the relay had no room to register it: nothing of it comes */
    RC_CHANNEL_DELTA = 1u << 9, /* some of its groups get deltas (worker/hub/delta.h) */
    RC_CHANNEL_HERE = 1u << 10, /* of this worker alone: the relay knows nothing of it (worker/hub/here.c) */
    RC_CHANNEL_HELD = 1u << 11, /* clients who hear it are about to come from another worker: it is wanted */
    RC_CHANNEL_WANTS_RETAINED = 1u << 8, /* some of those who wait are to get its retained values first */
    RC_CHANNEL_AWAITED = 1u << 12,       /* somebody has all of its history, and waits for more (rc_recover_waits) */
    RC_CHANNEL_WANTS_FULL = 1u << 13,    /* some of those who wait lack what is not in the copy of its shared history */
};

struct rc_channel {
    uint64_t hash;
    uint64_t
        token; /* of the last RC_UP_INTEREST_ADD; its acknowledgement carries it back. With HERE: who has made it (worker/link/share.c) */
    uint32_t name;    /* heap block of the name */
    uint32_t groups;  /* first of its groups; 0 = none */
    uint32_t pending; /* first of the subscribe requests that wait for the relay; 0 = none */
    uint32_t pending_last;
    uint32_t subscriber_count;
    uint32_t next_dirty; /* interest list of the uplink */
    uint16_t flags;      /* enum rc_channel_flags */
    uint8_t name_bytes;
    uint8_t namespace;   /* index in config.namespaces, refreshed on reload */
    uint16_t json_bytes; /* the name as a JSON string with quotes, behind the name in its block */
    uint16_t throttle_count;
    uint32_t throttles;  /* first of its throttles; 0 = none */
    uint32_t place;      /* struct rc_place; 0 = it has no history, or nothing is known of it */
    uint32_t next_asked; /* with ASKED: of a list of the uplink; 0 = end */
    uint32_t previous_asked;
};
_Static_assert(sizeof(struct rc_channel) == 64, "a channel is one cache line");

/* Where the heads of a channel's logs are in its history (common/shm/history.h). */
struct rc_place {
    uint64_t epoch;
    uint64_t position; /* offset of the message that went into the logs last */
    uint64_t order;    /* all frames with a greater rc_frame.order are of this epoch, or gaps */
    uint32_t slot;     /* of the history segment */
    uint32_t channel;  /* 0 = not in use */
};
_Static_assert(sizeof(struct rc_place) == 32, "place layout");

/*
 * A channel and key whose last message is younger than the namespace's min_interval, and the newest of those that came since.
 * It goes when the time is up and nothing came.
 */
struct rc_throttle {
    uint64_t opened_ms;    /* CLOCK_MONOTONIC when the last message went into the logs */
    uint64_t key;          /* rc_hub_key of the messages; 0 = of those without one, and of those beyond max_keys */
    uint64_t held_key;     /* of the one that is held */
    uint64_t partial_mask; /* encodings whose log has got the held message already (-ENOSPC of another) */
    uint32_t channel;      /* 0 = not in use */
    uint32_t next;         /* of all in the namespace, in the order of opened_ms; 0 = end */
    uint32_t previous;
    uint32_t next_of_channel;
    uint32_t previous_of_channel;
    uint32_t held;       /* heap block of a record (common/records/envelope.h) without names; 0 = nothing came */
    uint32_t held_bytes; /* of the record */
    uint32_t pad;
};
_Static_assert(sizeof(struct rc_throttle) == 64, "throttle layout");

/* The subscribers of one channel that share one encoding, and their log. */
struct rc_group {
    uint32_t channel;
    uint32_t next;   /* of the channel; 0 = end */
    uint32_t log;    /* struct rc_channel_log; 0 = nobody is behind and nothing was appended */
    uint32_t behind; /* members with a cursor */
    uint8_t encoding;
    uint8_t owes_gap; /* a message was lost for want of memory: its members are told before the next one */
    uint8_t pad[14];
};
_Static_assert(sizeof(struct rc_group) == 32, "group layout");

/* A subscribe request that waits for the relay's acknowledgement, or for the end of its client. */
enum rc_pending_wants {
    RC_PENDING_RETAINED = 1u << 0, /* to be told the channel's retained values, as messages */
    RC_PENDING_VALUES = 1u << 1,   /* they are for who asked on the client's behalf: handlers.values */
    RC_PENDING_PLACE = 1u << 2,    /* where it begins in the channel's history */
    RC_PENDING_SNAPSHOT = 1u << 3, /* to be told the newest message of each key */
    RC_PENDING_FULL = 1u << 4,     /* the relay looks whether the stream of its shared history has what it lacks */
    RC_PENDING_DELTA = 1u << 7,    /* it is to get deltas, where the channel's namespace has them */
};
#define RC_PENDING_WANTS_VALUES (RC_PENDING_RETAINED | RC_PENDING_VALUES)

struct rc_pending {
    uint32_t next; /* of the channel, oldest first; 0 = end */
    uint32_t previous;
    uint32_t next_of_client; /* of the client, in no order; 0 = end */
    uint32_t previous_of_client;
    uint32_t channel;
    uint32_t client;
    uint8_t id_bytes;
    uint8_t id[RC_REQUEST_ID_MAX];
    uint8_t joins; /* the server's own: the connection stands still until it is settled */
    uint8_t wants; /* enum rc_pending_wants */
    uint8_t pad[3];
    uint32_t replay; /* struct rc_replay: what it wants of the history; 0 = nothing */
};
_Static_assert(sizeof(struct rc_pending) == 100, "pending layout");

enum rc_replay_flags {
    RC_REPLAY_RECOVERS =
        1u << 0, /* asked for: what comes behind cursor.offset of cursor.epoch, if nothing of it is missing */
    RC_REPLAY_BEGINS = 1u << 1, /* its next message is the first of an epoch that the client has not heard of */
    RC_REPLAY_TIMED = 1u << 2,  /* it gets all that the client missed, which is to be known by how long that took */
    RC_REPLAY_REWINDS =
        1u << 3, /* it was asked for what there is, and has got nothing yet: what goes meanwhile is no gap */
};
#define RC_REPLAY_SINCE_SHIFT \
    8u /* from this bit of the flags on stands when it was asked for, in ms: the low bits of CLOCK_MONOTONIC */

/* A subscription that gets messages of its channel's history before those of the log, or a request for one. */
struct rc_replay {
    struct rc_history_cursor cursor; /* in the history: the message that comes next */
    struct rc_client_ref former;     /* which client it was before: who was excluded still is; random 0 = none */
    uint32_t subscription;           /* 0 = still a request */
    uint32_t next_of_client;         /* of those in the history; 0 = end */
    uint32_t
        last; /* asked for: so many of the newest when it does not recover; RC_REPLAY_REWINDS: so many from the cursor on were there then */
    uint32_t flags; /* enum rc_replay_flags */
};
_Static_assert(sizeof(struct rc_replay) == 72, "replay layout");

/* Output that belongs to one client alone, in the order in which it leaves: cut, replies, (channels), close; or the answers of a
 * socket without a client, as `replies`. */
struct rc_output {
    uint32_t cut_block; /* rest of a frame whose log is gone */
    uint32_t cut_bytes;
    uint32_t cut_sent;
    uint32_t replies; /* heap block of whole frames */
    uint32_t replies_capacity;
    uint32_t replies_bytes;  /* end of the frames */
    uint32_t replies_sent;   /* start of what is unsent */
    uint32_t replies_frames; /* where a client's frames begin, behind what was answered before it came */
    uint8_t close_bytes;     /* the queued close frame */
    uint8_t close_frame[127];
    uint8_t close_sent; /* of it; once it has begun nothing else goes out */
    uint8_t pad[3];
    uint32_t unit;         /* the one that has added to the replies last... */
    uint32_t replies_mark; /* ...and replies_bytes before that */
};

/* What a successor does with the request in progress that it finds in the input of a socket that speaks HTTP. */
enum rc_request {
    RC_REQUEST_NONE,  /* nothing of it is kept, or it is over: what is there of it goes */
    RC_REQUEST_AGAIN, /* it begins it anew */
    RC_REQUEST_ONCE,  /* it ends the connection: what was done of it is not known */
};

/* Undecoded input. */
struct rc_input {
    struct rc_ws_receiver receiver;
    uint32_t message; /* heap block in which a message is put together */
    uint32_t message_capacity;
    uint32_t
        parked; /* heap block of raw bytes not yet looked at: an incomplete HTTP head, or input while reading is paused */
    uint32_t parked_capacity;
    uint32_t parked_bytes;
    uint32_t
        parked_scanned; /* HTTP: twice the offset at which the search for the head's end goes on, and 1 in a line (http/parse.h) */
    /* A message that waits for room in the up ring stands whole in `message`; what came behind it is parked. */
    uint32_t waiting_bytes;
    uint32_t
        waiting_done; /* its operations that were carried out already; where none waits, those of the first that is parked */
    uint8_t waiting_opcode; /* 0 = none waits */
    uint8_t request;        /* enum rc_request */
    uint8_t pad[2];
    /* HTTP: so many bytes of `parked` are the request in progress, head and all, as far as it has come. */
    uint32_t request_bytes;
    uint64_t request_done; /* how much of it was carried out, as who does it counts that (worker/http/exchange.h) */
};

/* Who a client is, and what is known of it. Written by worker/client. */
struct rc_user {
    uint64_t expires_ms; /* CLOCK_REALTIME: until then it is who it says; 0 = for ever */
    uint64_t bound_ms;   /* CLOCK_REALTIME: longer a backend does not want it here, whoever it is; 0 = for ever */
    uint32_t
        attributes;   /* heap block: a JSON object with `id` and what its identity tells; 0 = nothing beside the id */
    uint32_t set;     /* heap block: a JSON object of what rows have set; 0 = nothing */
    uint32_t request; /* heap block: what is kept of its first request (rc_credentials_of); 0 = nothing */
    uint32_t token;   /* heap block: `iat` in eight bytes, then `jti`, of a token that may be revoked; 0 = none */
    uint32_t session; /* in Redis, that it is connected with (worker/identity/sessions.h); 0 = none */
    uint32_t session_next; /* client (+ 1) with the same one; 0 = none */
    uint32_t session_previous;
    uint32_t session_key; /* heap block: its key, by which a successor goes on asking about it; 0 = none */
    uint16_t attributes_bytes;
    uint16_t set_bytes;
    uint16_t request_bytes;
    uint16_t token_bytes;
    uint16_t session_key_bytes;
    uint8_t identity; /* index of the [[identity]] that told, and 1; 0 = none did */
    uint8_t id_bytes; /* 0 = nobody in particular: it is here for `set`, or for its end */
    char id[RC_CHANNEL_NAME_MAX];
    bool counted; /* in limits.max_connections_per_user */
    uint16_t
        identity_mark; /* of that [[identity]], where a reload may change indices; 0 = none did, or an older version wrote this */
};

/* The pools: name in struct rc_truth, type of an object. In this order they lie in the segment. */
#define RC_TRUTH_POOLS(POOL)                    \
    POOL(clients, struct rc_client)             \
    POOL(subscriptions, struct rc_subscription) \
    POOL(channels, struct rc_channel)           \
    POOL(places, struct rc_place)               \
    POOL(groups, struct rc_group)               \
    POOL(logs, struct rc_channel_log)           \
    POOL(throttles, struct rc_throttle)         \
    POOL(pending, struct rc_pending)            \
    POOL(replays, struct rc_replay)             \
    POOL(outputs, struct rc_output)             \
    POOL(inputs, struct rc_input)               \
    POOL(users, struct rc_user)                 \
    POOL(emits, struct rc_emit)                 \
    POOL(acks, struct rc_ack)                   \
    POOL(recoverables, struct rc_recoverable)   \
    POOL(hooks, struct rc_hook)                 \
    POOL(tellings, struct rc_telling)           \
    POOL(link_lines, struct rc_link_line)       \
    POOL(link_bonds, struct rc_link_bond)       \
    POOL(link_members, struct rc_link_member)

enum rc_truth_pool_id {
#define POOL(name, type) RC_TRUTH_POOL_##name,
    RC_TRUTH_POOLS(POOL)
#undef POOL
        RC_TRUTH_POOL_COUNT,
};

/* Where a pool is. How large it is depends on configuration that a reload may change: a successor reads it here. */
struct rc_truth_pool {
    uint64_t offset;
    uint32_t object_bytes;
    uint32_t count_max;
    uint32_t high; /* first index never used, which is the only one of these words that changes */
    uint32_t pad;
};

/* Where the hub is in what it does. Written by it alone. */
struct rc_truth_hub {
    uint64_t
        partial_mask;  /* encodings that have got the message which is being tried again, the next in the down ring */
    uint64_t order;    /* of the newest frame when the record that is handled now came; see struct rc_frame */
    uint32_t turn;     /* counts turns; what logs and clients say of a turn is by this count. 0 is never one */
    uint32_t in_turn;  /* 1: it is running, and who of its groups' members has not its number was not served */
    uint32_t critical; /* the group that is served now, between two rounds; 0 = none */
    uint32_t unserved; /* of its members the first ones, who have not had their turn */
    uint32_t fragile_log; /* whose bytes and words are just being moved: of a killed worker nothing in it can be used */
    uint32_t fragile_output; /* the same of a struct rc_output */
    uint32_t partial_place; /* the channel of the message that is being tried again, if it has a place in its history */
    uint32_t
        unit; /* counts what is done as a whole: replies of one that a killed worker has not ended are taken back */
    uint64_t order_of; /* the sequence of the record that `order` is of; 0: of none that has one */
    uint32_t
        settling; /* request that is just being answered: it waits no more, whatever its lists say, when its unit is over; 0 = none */
    uint32_t settling_unit;
    struct rc_log_moving moving;
};

/* How far the down ring was handled. */
struct rc_truth_down {
    _Atomic uint64_t last_sequence; /* what is not greater was seen */
    uint64_t done;  /* position behind the last record that was handled: also of those without a sequence */
    uint64_t begun; /* position of the record that was begun last, and 1: with `done` before it, it is in the middle */
    uint64_t begun_sequence; /* of that one: when it is the last one seen, the record was handled to its end */
};

/* What the relay was told of the channels that are wanted (worker/uplink/interests.h). */
struct rc_truth_interests {
    uint64_t asked_position;   /* of the up ring, behind what asked_before was told */
    uint64_t ask_again_ms;     /* when the period ends; CLOCK_MONOTONIC */
    uint64_t token;            /* of the last registration */
    uint32_t relay_generation; /* to which the last snapshot was begun */
    uint32_t snapshot_next;    /* channel at which the running snapshot goes on; 0 = none is running */
    uint32_t dirty;            /* first channel of those whose interest is to be told; 0 = none */
    uint32_t asked;            /* first channel that was told in this period and not acknowledged; 0 = none */
    uint32_t asked_before;     /* the same, of periods before */
    uint32_t pad;
};

/* Slots that connections are just being accepted into, while nothing else is said of them (worker/io/arrive.c). */
#define RC_ARRIVALS_MAX 64u
struct rc_truth_arrivals {
    uint32_t socket[RC_ARRIVALS_MAX]; /* and 1; 0 = none */
    uint8_t listener[RC_ARRIVALS_MAX];
};

/*
 * The message of the inbox that is just being taken (worker/io/place.c). It stays in the inbox until all that it brings is here:
 *
 *   NONE ─▶ BEGUN: a killed worker's successor takes back what is here of it, and tells nobody ─▶ DONE: it is here, and goes out of the inbox ─▶ NONE
 */
enum rc_coming_phase { RC_COMING_NONE, RC_COMING_BEGUN, RC_COMING_DONE };
struct rc_truth_coming {
    struct rc_handover head; /* by which the message is known */
    uint64_t random;         /* move: of the client that it brings, before that is here; 0 = none */
    uint32_t socket;         /* and 1: the slot it goes into; 0 = none is known yet */
    uint32_t phase;          /* enum rc_coming_phase */
};

/* See worker/store/taking.h. */
struct rc_truth_taking {
    uint32_t socket;         /* and 1; 0 = none, or something may have been made of it */
    uint32_t input;          /* as it was before: its socket's; 0 = it had none, and the rest says nothing */
    uint64_t received_bytes; /* its socket's */
    uint64_t request_done;   /* of struct rc_input */
    uint32_t request_bytes;
    uint32_t parked_bytes;
    uint32_t exchange; /* its socket's, too */
    uint8_t request;   /* enum rc_request */
    uint8_t pad[3];
};

/* See worker/store/receiving.h. */
enum rc_receiving_kind { RC_RECEIVING_FRAMES, RC_RECEIVING_MESSAGE, RC_RECEIVING_REQUEST };
struct rc_truth_receiving {
    uint32_t socket; /* and 1; 0 = nobody's input, or nothing is known of it */
    uint32_t count;
    uint32_t offset;
    uint32_t next;
    uint64_t up_position; /* of the up ring, when `step` was begun */
    uint64_t
        done; /* of the message that begins at `done_at` (another one: nothing is), or of the request, as rc_input.request_done */
    uint64_t from; /* `done` when what is answered now was begun; else it is over, and its answers stay */
    uint64_t step; /* `done` behind the step that is carried out, which is a record in the up ring; 0 = none is */
    uint32_t done_at;
    uint32_t kind; /* enum rc_receiving_kind */
    uint64_t
        again; /* `done` behind the step that is carried out, which is done once more unless one of the next two says that it is; 0 = none is */
    uint32_t pending;    /* struct rc_pending that it makes, and links; 0 = none */
    uint32_t set;        /* heap block of attributes that it sets, whole; 0 = none */
    uint32_t set_client; /* on that client... */
    uint32_t set_bytes;  /* ...so many */
    uint32_t serial;     /* counts what `bytes` has held */
    uint32_t hook;       /* struct rc_hook that is being made by it, and asked by nobody yet; 0 = none */
    uint8_t bytes[4096];
};

/* Of struct rc_rate (worker/gate/rate.h). */
struct rc_truth_rate {
    uint64_t levels[2];
};

struct rc_truth_layout {
    _Atomic uint32_t ready;
    uint32_t abi; /* RC_TRUTH_ABI */
    uint64_t bytes;
    uint64_t boot_ms;
    uint32_t socket_count;
    uint32_t pad;
    uint64_t sockets_offset;
    uint64_t peers_offset;
    uint64_t engines_offset;
    uint64_t opened_offset;
    uint64_t tls_offset;
    uint64_t rates_offset;
    uint64_t sizes_offset;
    uint64_t heap_offset;
    uint64_t heap_bytes;
    uint64_t io_offset;
    uint64_t io_bytes;
    /* Which copies of the configuration the indices of namespaces, end points and [[identity]] rows here are of. */
    uint32_t config_generation;
    /* Whose input, timer or answer is being handled, and 1; 0: nobody's. What a killed worker did for it may be half done. */
    uint32_t working_socket;
    uint32_t working_client; /* the same; 0: nobody's */
    uint32_t emit_count;     /* counts what clients were asked to answer: the next one's id */
    struct rc_truth_hub hub;
    struct rc_truth_down down;
    struct rc_truth_interests interests;
    struct rc_truth_receiving receiving;
    struct rc_truth_pool pools[RC_TRUTH_POOL_COUNT];
    uint64_t homes_offset;
    struct rc_truth_move move;
    uint64_t telling_count; /* counts what servers of applications are told: the newest one's number */
    struct rc_truth_arrivals arrivals;
    struct rc_truth_coming coming;
    struct rc_truth_acking acking;
    uint32_t
        recovery_hole; /* the relay may lack something that linked applications have said, and was not told that it does (worker/link/recovery.c) */
    uint32_t
        event_rules; /* counts the reloads that changed [[event]] rows: what is done of a packet is by this (worker/engine/rules.c) */
    uint32_t
        working_rests;     /* 1: nothing is half done for working_socket: all that is known of it stands in its input */
    uint32_t client_rests; /* 1: the same of working_client: all that is done for it is said in `receiving` */
    struct rc_truth_taking taking;
    struct rc_truth_took took;
    struct rc_truth_opening opening;
};

struct rc_truth {
    struct rc_truth_layout *layout; /* borrowed: mapped for the life of the process */
    struct rc_socket *sockets;
    struct rc_address *peers;  /* of each socket: IPv6 or v4-mapped; zero for Unix sockets */
    struct rc_engine *engines; /* by client */
    struct rc_home *homes;     /* by client: of those that are guests */
    uint32_t *opened_ds; /* by client: when it was opened, 1/10 s since boot. Written once, read by who lists clients */
    uint32_t *tls;       /* by socket: heap block of its struct rc_truth_tls; 0 = none */
    struct rc_truth_rate *rates; /* by client: how much it sends; not looked at where there is no limit */
    uint32_t socket_count;
    const char
        *instance_id; /* borrowed: of which its clients' ids are made, in log lines; NULL: they are not named (tests) */
    uint32_t boot_nonce;          /* likewise */
    uint32_t worker;              /* likewise */
    bool adopted;                 /* another process has written it: rc_truth_attach */
    bool cut;                     /* and was killed: a turn may be running */
    struct rc_pool clients;       /* struct rc_client, as many as sockets */
    struct rc_pool subscriptions; /* struct rc_subscription */
    struct rc_pool channels;
    struct rc_pool places;
    struct rc_pool groups;
    struct rc_pool logs;
    struct rc_pool throttles;
    struct rc_pool pending;
    struct rc_pool replays;
    struct rc_pool outputs;
    struct rc_pool inputs;
    struct rc_pool users;
    struct rc_pool emits;
    struct rc_pool acks;
    struct rc_pool recoverables;
    struct rc_pool hooks;
    struct rc_pool tellings;
    struct rc_pool link_lines;
    struct rc_pool link_bonds;
    struct rc_pool link_members;
    uint32_t *recoverable; /* owned, by client: its first struct rc_recoverable; 0 = none. NULL: nobody comes back */
    struct rc_heap heap;
    uint8_t *io; /* receive buffers and ring memory */
    uint64_t io_bytes;
};

/* Lays the segment out for `socket_count` sockets and as many clients in the empty memfd `fd` and maps it. -errno with the remedy in `err`. */
int rc_truth_create(struct rc_truth *truth, int fd, uint32_t socket_count, const struct rc_config *config,
                    uint64_t io_bytes, uint64_t boot_ms, struct rc_err *err);
/* Maps a segment that a predecessor of this worker has laid out. Nothing is written to it; pools and heap have no index yet, so that nothing may
 * be made or given back before rc_truth_account. -EBADMSG: it is none of this ABI, or its places are impossible. */
int rc_truth_attach(struct rc_truth *truth, int fd, struct rc_err *err);
/* Unmaps it; what is in it stays. */
void rc_truth_detach(struct rc_truth *truth);
/* The pool of that number. */
struct rc_pool *rc_truth_pool(struct rc_truth *truth, enum rc_truth_pool_id id);

static inline struct rc_client *rc_truth_client(const struct rc_truth *truth, uint32_t index)
{
    RC_ASSERT_HOT(index > 0 && index < truth->clients.high);
    return (struct rc_client *)(void *)truth->clients.base +
           index; /* on the way of every delivery: no multiplication */
}

/* The socket that carries the client; NULL: none does. */
static inline struct rc_socket *rc_truth_socket_of(const struct rc_truth *truth, const struct rc_client *client)
{
    return client->socket == RC_SOCKET_NONE ? NULL : &truth->sockets[client->socket];
}

static inline struct rc_pusher *rc_truth_pusher(const struct rc_truth *truth, uint32_t client)
{
    return (struct rc_pusher *)(void *)&truth->engines[client];
}

/* The client of that name, or NULL: it is gone, or was never here. */
static inline struct rc_client *rc_truth_named(const struct rc_truth *truth, uint32_t index, uint64_t random)
{
    struct rc_client *client = index > 0 && index < truth->clients.high ? rc_truth_client(truth, index) : NULL;
    return client != NULL && random != 0 && client->random == random ? client : NULL;
}

/* The client as ids and records name it; `worker` is this one. */
static inline struct rc_client_ref rc_truth_ref(const struct rc_truth *truth, uint32_t worker, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(truth, index);
    struct rc_client_ref ref = {.random = client->random, .slot = index, .worker = (uint16_t)worker};
    if (RC_UNLIKELY(client->guest)) {
        ref.slot = truth->homes[index].slot;
        ref.worker = truth->homes[index].worker;
    }
    return ref;
}

static inline struct rc_subscription *rc_truth_subscription(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_subscription *)rc_pool_at(&truth->subscriptions, index);
}

static inline struct rc_channel *rc_truth_channel(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_channel *)rc_pool_at(&truth->channels, index);
}

static inline struct rc_place *rc_truth_place(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_place *)rc_pool_at(&truth->places, index);
}

static inline struct rc_span rc_truth_channel_name(const struct rc_truth *truth, const struct rc_channel *channel)
{
    return rc_span_of(rc_heap_at(&truth->heap, channel->name), channel->name_bytes);
}

static inline struct rc_group *rc_truth_group(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_group *)rc_pool_at(&truth->groups, index);
}

static inline struct rc_channel_log *rc_truth_log(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_channel_log *)rc_pool_at(&truth->logs, index);
}

static inline struct rc_throttle *rc_truth_throttle(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_throttle *)rc_pool_at(&truth->throttles, index);
}

static inline struct rc_pending *rc_truth_pending(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_pending *)rc_pool_at(&truth->pending, index);
}

static inline struct rc_replay *rc_truth_replay(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_replay *)rc_pool_at(&truth->replays, index);
}

static inline struct rc_output *rc_truth_output(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_output *)rc_pool_at(&truth->outputs, index);
}

static inline struct rc_input *rc_truth_input(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_input *)rc_pool_at(&truth->inputs, index);
}

static inline struct rc_engine *rc_truth_engine(const struct rc_truth *truth, uint32_t client)
{
    RC_ASSERT_HOT(client > 0 && client < truth->clients.high);
    return &truth->engines[client];
}

static inline struct rc_emit *rc_truth_emit(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_emit *)rc_pool_at(&truth->emits, index);
}

static inline struct rc_ack *rc_truth_ack(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_ack *)rc_pool_at(&truth->acks, index);
}

static inline struct rc_recoverable *rc_truth_recoverable(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_recoverable *)rc_pool_at(&truth->recoverables, index);
}

static inline struct rc_hook *rc_truth_hook(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_hook *)rc_pool_at(&truth->hooks, index);
}

static inline struct rc_telling *rc_truth_telling(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_telling *)rc_pool_at(&truth->tellings, index);
}

static inline struct rc_link_line *rc_truth_link_line(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_link_line *)rc_pool_at(&truth->link_lines, index);
}

static inline struct rc_link_bond *rc_truth_link_bond(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_link_bond *)rc_pool_at(&truth->link_bonds, index);
}

static inline struct rc_link_member *rc_truth_link_member(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_link_member *)rc_pool_at(&truth->link_members, index);
}

/* The client's socket in the namespace; 0: none that may come back. */
uint32_t rc_truth_recoverable_of(const struct rc_truth *truth, uint32_t client, struct rc_span nsp);
struct rc_span rc_truth_recoverable_nsp(const struct rc_truth *truth, const struct rc_recoverable *recoverable);

/* Token of the sid that the client has in a Socket.IO namespace; 0: it has not joined it. */
uint64_t rc_truth_sid_token(const struct rc_truth *truth, uint32_t client, struct rc_span nsp);
/* The tokens by which a session's sids name it, but for its client's own random and those of sockets that came back, one after another; *at
 * begins at 0. False: there are no more. */
bool rc_truth_token_next(const struct rc_truth *truth, uint32_t client, uint32_t *at, uint64_t *token);
/* Where a namespace but "/" stands in engine->namespaces, and its entry's bytes; at the end of the list when it does not. */
uint32_t rc_truth_find_nsp(const struct rc_truth *truth, const struct rc_engine *engine, struct rc_span nsp);
#define RC_NSP_ENTRY_HEAD 2u /* times, bytes */

static inline struct rc_user *rc_truth_user(const struct rc_truth *truth, uint32_t index)
{
    return (struct rc_user *)rc_pool_at(&truth->users, index);
}

#endif
