/*
 * client: a connection's conversation: HTTP first, then a client's, whatever carries that (worker/carrier), until the end.
 *
 * Owned by the worker's main(), which wires it above io, hub and uplink. All state is in the truth: of the wire in struct rc_socket, of
 * who is behind it in struct rc_client.
 *
 *   clients.c  all of them: made, reconfigured, sent away      park.c       received and not handled yet
 *   life.c     accepted, attached, closing, ended              peer.c       who the client is behind its proxies
 *   input.c    bytes in                                        operation.c  what clients ask for, read by message.c
 *   heartbeat.c  what the timers find                          presence.c   who is in a channel: the relay is asked
 *   expiry.c   credentials' ends       refresh.c  a backend is asked to renew them
 *   http.c     while it speaks HTTP, as worker/http sees it    down.c       what comes down from the relay, to whom it is for
 *   arrival.c  from a request to a client                 rebuild.c  from another process's truth
 */
#ifndef RC_WORKER_CLIENT_CLIENT_H
#define RC_WORKER_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text/cidr.h"
#include "common/config/config.h"
#include "common/records/channel_name.h"
#include "common/records/sid.h"
#include "common/shm/control.h"
#include "common/text/json_scan.h"
#include "worker/backend/batch.h"
#include "worker/gate/address_limit.h"
#include "worker/gate/pressure.h"
#include "worker/gate/rate.h"
#include "worker/gate/rule_set.h"
#include "worker/http/exchange.h"
#include "worker/http/parse.h"
#include "worker/http/respond.h"
#include "worker/http/route.h"
#include "worker/hub/hub.h"
#include "worker/identity/identity.h"
#include "worker/io/io.h"
#include "worker/io/wheel.h"
#include "worker/limits/limits.h"
#include "worker/proto/codec.h"
#include "worker/store/truth.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/interests.h"
#include "worker/uplink/uplink.h"

/* Who reads what comes on sockets that carry a client: worker/carrier's. */
struct rc_carrier_ops {
    void *context; /* borrowed */
    void (*received)(void *context, uint32_t socket, uint8_t *bytes, uint32_t count);
};

/* What a protocol keeps of a client beside what all have, on its way to another worker (worker/move). */
struct rc_moving_ops {
    /* Why it cannot go now; NULL: it can. */
    const char *(*hindrance)(void *context, uint32_t client);
    /* How many bytes `goes` makes of it, but for what it has not got. NULL in tests. */
    uint64_t (*bytes)(void *context, uint32_t client);
    /* Into `out`, which has `room` bytes: how many; 0: it is too much. */
    uint32_t (*goes)(void *context, uint32_t client, uint8_t *out, uint32_t room);
    /* Of a client that has just come, and is in no channel yet. -EBADMSG, -ENOMEM: it is to end. */
    int (*came)(void *context, uint32_t client, struct rc_span bytes);
    /* It is with that worker now, and about to be freed here; what these bytes say of one that could not be taken is of nobody. NULL: nothing is to be
     * done then. */
    void (*went)(void *context, uint32_t client, uint32_t worker);
    void (*lost)(void *context, struct rc_span bytes);
};

/* Who knows what clients of Engine.IO codecs mean: worker/engine's. */
struct rc_engine_ops {
    void *context; /* borrowed */
    /* A message of the client; false: it waits, as rc_client_message. */
    bool (*message)(void *context, uint32_t client, enum rc_part_kind kind, uint8_t *bytes, size_t count,
                    uint32_t *done);
    /* What a client without a socket waited for has come. */
    void (*resumed)(void *context, uint32_t client);
    /* A client without a socket is to be closed. */
    void (*close)(void *context, uint32_t client, uint16_t code, const char *reason, bool now);
    /* A slow consumer that nothing carries: what it was to get is gone, and it hears nothing any more. It ends with its next request. */
    void (*cut_off)(void *context, uint32_t client);
    /* The client is about to be sent away: its last words. */
    void (*farewell)(void *context, uint32_t client);
    /* It is no more for others: rows of "disconnect" run, backends are told. */
    void (*gone)(void *context, uint32_t client);
    /* It is about to be freed. */
    void (*ended)(void *context, uint32_t client);
    /* A retain, or an emit with `to`, of POST /api/do, of nobody. `backend`: who hears what is answered. False: there is no room in the up ring; again with the
     * same *rooms. */
    bool (*post)(void *context, const struct rc_reply_operation *wanted, struct rc_span nsp, struct rc_span backend,
                 uint32_t *rooms);
    /* A backend has let it in, and wants these operations done: of a Socket.IO client as soon as it is in a namespace. The reply is copied. NULL
     * in tests. */
    void (*let_in)(void *context, uint32_t client, uint32_t backend, struct rc_span reply);
    /* Who it is, or what is set on it, is another now. NULL in tests. */
    void (*changed)(void *context, uint32_t client);
    struct rc_moving_ops moving; /* `hindrance` knows of all clients, whatever they speak. NULL in tests */
};

/* Who knows what clients of the Pusher Channels protocol mean: worker/pusher's. */
struct rc_pusher_ops {
    void *context; /* borrowed */
    /* A new client, of that app (index in config->pusher_apps, -1: none); `code`: why it is not let in (enum rc_pusher_code), 0: it is. It is greeted,
     * or told so and closed. */
    void (*begin)(void *context, uint32_t client, int app, uint32_t code);
    /* A message of the client; false: it waits, as rc_client_message. */
    bool (*message)(void *context, uint32_t client, enum rc_part_kind kind, uint8_t *bytes, size_t count);
    /* Its time to show that the app knows it is over, and it is closed; false: it is not. */
    bool (*late)(void *context, uint32_t client);
    /* It is in no channel any more, and about to be freed. */
    void (*ended)(void *context, uint32_t client);
    struct rc_moving_ops moving;
};

/* Clients of server-sent events before anything carries them, while what they asked for is being registered: worker/carrier/stream.c's. */
struct rc_stream_ops {
    void *context; /* borrowed */
    const struct rc_route *route;
    /* What such a client waited for has come. */
    void (*resumed)(void *context, uint32_t client);
    /* It does not get what it asks for (struct rc_hub_handlers). */
    void (*refused)(void *context, uint32_t client, uint32_t code, struct rc_span message);
    /* It is about to be freed. */
    void (*ended)(void *context, uint32_t client);
};

/* What becomes of sockets that are another process's: worker/carrier/handover.c's. */
struct rc_passage_ops {
    void *context; /* borrowed */
    /* LEAVING: what was not handled is parked, or all answers have left; its deadline has come. */
    void (*leaves)(void *context, uint32_t socket);
    void (*late)(void *context, uint32_t socket);
    /* PIPED: bytes came; of its output some has left while the other end waited for that (RC_SOCKET_WAITS_REPLIES), or all; its end of
     * file or an error came. */
    void (*received)(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count);
    void (*drained)(void *context, uint32_t socket);
    void (*answered)(void *context, uint32_t socket);
    void (*ended)(void *context, uint32_t socket, int error);
    /* With RC_SOCKET_PIPE: it terminates. */
    void (*terminated)(void *context, uint32_t socket);
};

/* Who moves clients from worker to worker: worker/move. */
struct rc_move_ops {
    void *context; /* borrowed */
    /* A client whose id names another place, or a socket of it, is here from now on, or has ended here (`gone`). */
    void (*guest)(void *context, const struct rc_client_ref *client, bool gone);
    /* Is the client about to go, so that what changes something of it is to wait until it has gone, or stays? 0: are some just coming, of whom nobody knows
     * here yet? */
    bool (*holds)(void *context, uint32_t client);
};

/* A client of another worker that is to be one here. */
struct rc_client_coming {
    struct rc_client_ref home; /* as its id names it */
    uint32_t opened_ds;
    uint32_t active_ds;
    uint32_t ping_ds;
    uint16_t flags; /* enum rc_client_flags, those that say something elsewhere, too */
    uint8_t endpoint;
    uint8_t encoding;
};

struct rc_clients {
    const struct rc_control *control; /* borrowed */
    const struct rc_config *config;   /* borrowed: the one in force */
    struct rc_truth *truth;           /* borrowed */
    struct rc_io *io;                 /* borrowed */
    struct rc_hub *hub;               /* borrowed */
    struct rc_uplink *uplink;         /* borrowed */
    struct rc_interests *interests;   /* borrowed */
    struct rc_backends *backends;     /* borrowed: main() sets it */
    struct rc_batches *batches;       /* borrowed: likewise; NULL in tests: nobody is told */
    struct rc_decision **decisions;   /* owned, by client: decision.c; NULL until there is one */
    struct rc_refresh **refreshes;    /* owned, by client: refresh.c; NULL until there is one */
    /* rc_client_answered, for the files below it: main() sets it. */
    void (*answered)(struct rc_clients *clients, uint32_t client);
    struct rc_asks *asks;       /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    struct rc_exchanges exchanges;
    struct rc_routes routes; /* of all rooms that answer requests */
    uint32_t worker;
    bool draining;
    uint32_t connections;        /* open WebSockets */
    uint32_t streams;            /* of them those that only listen, once something carries them */
    uint32_t users;              /* of them with a user */
    uint32_t handshakes;         /* connections without their first request yet */
    struct rc_pressure overload; /* as worker/overload says */
    struct rc_cidr_list trusted; /* http.trusted_proxies */
    uint32_t forwarded_sources;  /* http.forwarded_headers: enum rc_forwarded_source, or-ed */
    uint64_t randoms[32];        /* from getrandom, for client ids */
    uint32_t random_count;
    struct rc_operation_scratch scratch;
    uint8_t *room; /* owned: for what codecs convert; rc_client_room */
    size_t room_capacity;
    struct rc_address_limit addresses;
    struct rc_rate *rates; /* in the truth, per client; NULL until a rate is configured */
    struct rc_rate_limits rate_limits;
    struct rc_carrier_ops carrier;
    struct rc_engine_ops engine;
    struct rc_stream_ops stream;
    struct rc_pusher_ops pusher;
    struct rc_passage_ops passage;
    struct rc_move_ops move;
    struct rc_identities *identities; /* borrowed; NULL until main() has opened them */
    struct rc_limits *limits;         /* borrowed; likewise */
    struct rc_wheel expiry;           /* by client, when its credential ends; open from the first one on */
    uint64_t wall_ahead_ms; /* by how much CLOCK_REALTIME was before CLOCK_MONOTONIC when these times were reckoned */
    struct rc_flight_closed
        *closed; /* borrowed: of the report, who has ended; NULL: nobody is told (tests, or not its own yet) */
    const struct rc_route *polling; /* borrowed: the resource of end points that speak Engine.IO */
    void *polling_context;          /* borrowed */
    /* A request of who came through a listener of [link]. */
    void (*dialled)(void *context, struct rc_exchange *exchange);
    void *dialled_context; /* borrowed */
    /* What of a connection that speaks HTTP is looked at just now (input.c). */
    struct rc_clients_fed {
        uint32_t socket;      /* and 1; 0 = none is */
        const uint8_t *bytes; /* borrowed: as they came */
        uint32_t count;
        bool parked; /* they stand in its input, */
        bool kept;   /* behind a request in progress, */
        bool before; /* which is still the one */
        bool fresh;  /* nothing was there of the connection before them */
    } fed;
    uint32_t
        answers; /* connection that is just being answered, and named for that alone (conn_works), and 1; 0 = none */
};

/* -ENOMEM. */
int rc_clients_open(struct rc_clients *clients, const struct rc_control *control, const struct rc_config *config,
                    struct rc_truth *truth, struct rc_io *io, struct rc_hub *hub, struct rc_uplink *uplink,
                    struct rc_interests *interests, struct rc_asks *asks, struct rc_metrics *metrics, uint32_t worker);
void rc_clients_close(struct rc_clients *clients);
/* Of a truth that another process has written, once the hub is rebuilt and io is open: counters, addresses, sessions, timers. -ENOMEM,
 * -EBADMSG: they may only be closed. */
int rc_clients_rebuild(struct rc_clients *clients, struct rc_err *err);
/* The truth and its sockets are this process's own from here on: requests that were in progress in another one are begun anew. */
void rc_clients_taken(struct rc_clients *clients);
/* True while requests wait for their answers: API calls for 2 s at the most, since a draining worker takes no new ones. */
bool rc_clients_answering(const struct rc_clients *clients);
/* Likewise, of those that a successor cannot begin anew. */
bool rc_clients_answering_once(const struct rc_clients *clients);
/* A new configuration is in force. */
void rc_clients_reconfigure(struct rc_clients *clients, const struct rc_config *config);
/* Sends an open client away politely (1012), to come back within `spread_ms`. */
void rc_client_goodbye(struct rc_clients *clients, uint32_t client, uint64_t spread_ms);
/* All of them; nobody is accepted any more. */
void rc_clients_drain(struct rc_clients *clients);

/* trace.c: a stage of what a client wants done, and `why` of what it is told; of RC_TRACE_UP the flags that its record is to have: the relay
 * and other workers do not know whose it is. */
struct rc_operation;
uint16_t rc_client_traced(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation,
                          enum rc_trace_stage stage, uint32_t code, struct rc_span why);
static inline uint16_t rc_client_trace(struct rc_clients *clients, uint32_t client,
                                       const struct rc_operation *operation, enum rc_trace_stage stage, uint32_t code,
                                       struct rc_span why)
{
    return RC_UNLIKELY(clients->hub->tracing) ? rc_client_traced(clients, client, operation, stage, code, why) : 0;
}
/* trace.c: looks for what is traced now, and whom it is about: every pass of the loop. */
void rc_clients_trace(struct rc_clients *clients);
/* Room for `bytes` until the next call. NULL: no memory. */
uint8_t *rc_client_room(struct rc_clients *clients, size_t bytes);
/* Lends a reader what its codec needs for a message of so many bytes. -ENOMEM. */
int rc_client_lend_room(struct rc_clients *clients, struct rc_reader *reader, size_t message_bytes);

/* Handlers of io and hub (context = struct rc_clients). */
bool rc_socket_accepted(void *context, uint32_t socket, uint32_t listener);
int rc_socket_preface(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count, bool *done);
void rc_socket_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count);
void rc_socket_ended(void *context, uint32_t socket, int error);
void rc_socket_timer(void *context, uint32_t socket);
void rc_socket_plain_on_tls(void *context, uint32_t socket);
void rc_socket_terminated(void *context, uint32_t socket);
void rc_client_flushed(void *context, uint32_t client);
/* It is about to be in no channel any more: who wants to know of its end is told, once. */
void rc_client_leaving(void *context, uint32_t client);
void rc_socket_answered(void *context, uint32_t socket);
/* Ends a client at once, and the socket that carries it. */
void rc_client_end(void *context, uint32_t client);
void rc_client_cut_off(void *context, uint32_t client);
void rc_socket_replies_drained(void *context, uint32_t socket);
void rc_client_joined(void *context, uint32_t client);
void rc_client_subscribed(void *context, uint32_t client);
void rc_client_refused(void *context, uint32_t client, uint32_t code, struct rc_span message);
/* There is room in the up ring again: the connections that waited for it are read on. */
void rc_clients_uplink_room(struct rc_clients *clients);

/* --- shared by the files of worker/client --- */

/* Somebody who was found to be who they say. Spans are borrowed. */
struct rc_identity {
    struct rc_span user;                   /* the id; empty: nobody, whose end alone is known */
    struct rc_span attributes;             /* JSON object with `id`; empty: there is nothing beside it */
    uint64_t expires_ms;                   /* CLOCK_REALTIME; 0 = never */
    uint64_t bound_ms;                     /* likewise: rc_client_bound */
    uint32_t session;                      /* struct rc_judgement; 0 = none */
    const struct rc_identity_token *token; /* that it came with; NULL: none that may be revoked */
    uint8_t row;                           /* index of the [[identity]], and 1; 0 = none */
    bool counted; /* among its user's connections: who opens a client with it takes that over */
};

#define RC_SOCKET_LINGER_MS 300u

/* life.c */
/* As many random bits as a sid has; never 0. */
uint64_t rc_clients_random(struct rc_clients *clients);
struct rc_client_ref rc_client_ref(const struct rc_clients *clients, uint32_t client);
/* The client of that name, if it is still here; 0: it is not. */
static inline uint32_t rc_client_here(const struct rc_clients *clients, const struct rc_client_ref *client)
{
    return rc_hub_here(clients->hub, client);
}
/* Is the client still who it was? */
bool rc_client_is_here(const struct rc_clients *clients, const struct rc_client_ref *client);
/* Ends the conversation with a close frame: `now` drops what else is unsent. */
void rc_client_close(struct rc_clients *clients, uint32_t client, uint16_t code, const char *reason, bool now);
/* Answers were given up to here: the connection ends once they have left. */
void rc_socket_linger(struct rc_clients *clients, uint32_t socket);
/* Sets the timer to the earliest of the connection's deadlines. */
void rc_socket_schedule(struct rc_clients *clients, uint32_t socket);
/* When its client, which is open, has taken nothing for limits.write_timeout; 0: it takes what there is, or may take as long as it wants. */
uint32_t rc_socket_stalled_ds(const struct rc_clients *clients, const struct rc_socket *socket);
/* A request has `in_ms` from now on; 0: whenever. */
void rc_socket_deadline(struct rc_clients *clients, uint32_t socket, uint64_t in_ms);
/* When the next ping is due, `in_ms` from now (0: never), on the step that fits limits.ping_interval and the number of
 * connections: half a step sooner or later. */
uint32_t rc_client_next_ping(const struct rc_clients *clients, uint64_t in_ms);
/* A new client that nothing carries yet, as somebody (NULL: anonymous); 0: no memory. */
uint32_t rc_client_open(struct rc_clients *clients, uint8_t endpoint, uint8_t encoding,
                        const struct rc_identity *identity);
/* The socket, an HTTP connection until now, carries the client: what it still has to send leaves first. -ENOMEM. */
int rc_client_attach(struct rc_clients *clients, uint32_t client, uint32_t socket);
/* The socket of one client carries another one from here on, which had none and has nothing left to send; the first has none. */
void rc_client_move(struct rc_clients *clients, uint32_t from, uint32_t to);
/* The client (moving) is another worker's: it ends here, and nobody is told; its connection goes on there. */
void rc_client_went(struct rc_clients *clients, uint32_t client);
/* It came, and the socket, which was placed just now, carries it; in no channel yet. It is half here: worked for (rc_hub_works) until the caller says
 * rc_hub_worked. 0: no memory. */
uint32_t rc_client_came(struct rc_clients *clients, uint32_t socket, const struct rc_client_coming *coming);
/* How it comes, as backends are told: "websocket", "polling", "sse". */
const char *rc_client_transport(const struct rc_client *client);
/* The client stays without a socket and keeps its places in its channels; the socket lingers. */
void rc_client_detach(struct rc_clients *clients, uint32_t client);
/* The upgrade is done: the socket carries a new WebSocket client, the result. 0: no memory. */
uint32_t rc_client_open_on(struct rc_clients *clients, uint32_t socket, uint8_t endpoint, uint8_t encoding,
                           const struct rc_identity *identity);
/* Does it carry a client that is open? Is it not read for now, for its own sake or its client's? */
bool rc_socket_is_open(const struct rc_clients *clients, const struct rc_socket *socket);
bool rc_socket_waits(const struct rc_clients *clients, const struct rc_socket *socket);
/* What is to be sent or kept found no memory: the client, or the socket without one, ends. */
void rc_client_failed_memory(struct rc_clients *clients, uint32_t client);
void rc_socket_failed_memory(struct rc_clients *clients, uint32_t socket);
/* 503 in place of everything else, and its end. */
void rc_socket_refuse(struct rc_clients *clients, uint32_t socket, const char *why);
/* Notes what its listener tells of it. Are there more connections than there may be (counts the refusal)? */
void rc_socket_came_in(struct rc_clients *clients, uint32_t socket);
bool rc_socket_too_many(struct rc_clients *clients, uint32_t socket);
/* So many connections may be here: what the other workers leave of server.max_connections, and no more than there is room for. */
uint32_t rc_clients_slots(const struct rc_clients *clients);
/* The first request has come, or none will. */
void rc_socket_handshake_over(struct rc_clients *clients, uint32_t socket);
/* Are new clients to be refused (503)? Counts the refusal. */
bool rc_socket_sheds(struct rc_clients *clients, uint32_t socket);

/* Counts a WebSocket in the address limits; false: there are too many from there (429). */
bool rc_socket_admit(struct rc_clients *clients, uint32_t socket);
/* The same for a client that no connection stands for: `*counted`, and it is to be taken off again (rc_address_limit_remove). */
bool rc_clients_admit(struct rc_clients *clients, const struct rc_address *address, bool *counted);
/* A message of `bytes` came: how long the client is to be put off until the next one, 0: it is within the limits. Not with
 * limits.rate_policy = "close": then it was closed, and *closed tells so. */
uint32_t rc_client_rate(struct rc_clients *clients, uint32_t client, uint64_t bytes, bool *closed);
/* The same for a socket, which is not read for so long; false: its client was closed. */
bool rc_socket_within_rate(struct rc_clients *clients, uint32_t socket, uint64_t bytes);

/* park.c: what was received and not handled yet; NULL: no memory */
struct rc_input *rc_socket_input(struct rc_clients *clients, uint32_t socket);
void rc_socket_input_release(struct rc_clients *clients, uint32_t socket);
/* Forgets what the client's compression refers back to. */
void rc_socket_history_release(struct rc_clients *clients, uint32_t socket);
/* Appends to the parked bytes. -ENOMEM when the budget is used up. */
int rc_socket_park(struct rc_clients *clients, uint32_t socket, const uint8_t *bytes, uint32_t count);
/* Takes `count` bytes from the front of the parked ones. */
void rc_socket_unpark(struct rc_clients *clients, uint32_t socket, uint32_t count);
/* A larger block with the first `used` bytes of the old one. -ENOMEM: unchanged. Gives one back; *block becomes 0. */
int rc_socket_input_grow(struct rc_clients *clients, uint32_t *block, uint32_t *capacity, uint64_t bytes,
                         uint64_t used);
void rc_socket_input_free(struct rc_clients *clients, uint32_t *block);
/* The input object goes as soon as nothing of it is needed: an idle connection has none. */
void rc_socket_input_settle(struct rc_clients *clients, uint32_t socket);

/* input.c: does it carry a client, open or closing? */
static inline bool rc_socket_carries(const struct rc_socket *socket)
{
    return socket->state == RC_SOCKET_CARRYING;
}
/* Replies pile up: true, and its client is not read until they have left. */
bool rc_socket_must_wait(struct rc_clients *clients, uint32_t socket);
/* Carries a message out, but for its first `done` operations. False: it needs room in the up ring, or a subscription before it to be
 * registered, and waits for it; the client is not read meanwhile. */
bool rc_socket_message(struct rc_clients *clients, uint32_t socket, uint8_t opcode, uint8_t *bytes, size_t count,
                       uint32_t done);
/* Reads on after a pause. */
void rc_socket_resume(void *context, uint32_t socket);

/* The question that was asked for a client is answered: who is RC_CLIENT_WAITS_ANSWER goes on. */
void rc_client_answered(struct rc_clients *clients, uint32_t client);

/* user.c: who a client is, and what is known of it */
#define RC_CLIENT_USER_JSON_MAX (sizeof("{\"id\":}") + RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX))
/* Its user's id, empty: it is anonymous. */
struct rc_span rc_client_user(const struct rc_clients *clients, uint32_t client);
/* The user as a JSON object: `id`, and its attributes; empty: it is anonymous. In `scratch`, or valid until it changes. */
struct rc_span rc_client_user_json(const struct rc_clients *clients, uint32_t client,
                                   uint8_t scratch[RC_CLIENT_USER_JSON_MAX]);
/* The connections of a user: all are in `user:{id}` from the start, or wait to be. 0 or -ENOMEM. */
int rc_clients_of_user(struct rc_clients *clients, struct rc_span user, struct rc_index_list *found);
/* What rows have set on its connection, a JSON object; empty: nothing. Valid until it changes. */
struct rc_span rc_client_set(const struct rc_clients *clients, uint32_t client);
/* What is kept of its first request: QUERY, HEADER or COOKIE, a JSON object; empty: nothing. Valid until the client changes. */
struct rc_span rc_client_request(const struct rc_clients *clients, uint32_t client, enum rc_event_source source);
/* All of it, as it is kept; keeps it. -ENOMEM. */
struct rc_span rc_client_request_kept(const struct rc_clients *clients, uint32_t client);
int rc_client_keep_request(struct rc_clients *clients, uint32_t client, struct rc_span credentials);
/* One more connection of the user. False: there are limits.max_connections_per_user already. What was `*counted` is given back once. */
bool rc_clients_user_add(struct rc_clients *clients, struct rc_span user, bool *counted);
void rc_clients_user_remove(struct rc_clients *clients, struct rc_span user, bool counted);
/* After a reload: who was not counted until now is. */
void rc_clients_count_users(struct rc_clients *clients);
/* The user of a client that is just being made. -ENOMEM. */
int rc_client_set_user(struct rc_clients *clients, uint32_t client, struct rc_span user);
/* Who it is, or what was set on it, has changed: of a Socket.IO client that may come back others are to know. */
static inline void rc_client_changed(struct rc_clients *clients, uint32_t client)
{
    if (clients->engine.changed != NULL) {
        clients->engine.changed(clients->engine.context, client);
    }
}
/* Takes members over into what was set, as rc_rule_set_merged; -ENOMEM. Nothing is changed then. */
int rc_client_set_merge(struct rc_clients *clients, uint32_t client, struct rc_span members);
/* The client is no more. */
void rc_client_forget_user(struct rc_clients *clients, uint32_t client);

/* A client that is just being made is this user; nobody is told. -ENOMEM. */
int rc_client_begin_as(struct rc_clients *clients, uint32_t client, const struct rc_identity *identity);
/* What is known of a client beside it, for another worker; spans into the heap. False: it cannot be known there. */
struct rc_client_user_state {
    struct rc_span id; /* empty: nobody in particular */
    struct rc_span attributes;
    struct rc_span set;
    struct rc_span request;
    struct rc_span token;
    uint64_t expires_ms;
    uint64_t bound_ms;
    uint8_t identity;
    uint16_t identity_mark;
    bool counted;
    bool there; /* false: nothing is known */
};
bool rc_client_user_moves(const struct rc_clients *clients, uint32_t client, struct rc_client_user_state *state);
/* The same there. -ENOMEM. */
int rc_client_user_came(struct rc_clients *clients, uint32_t client, const struct rc_client_user_state *state);
/* An open client is from here on this user, or the same one with new attributes: it hears user:{id}, and is present as it in its
 * channels. -ENOMEM; -EEXIST: it is another user already; -EDQUOT: who has too many connections. */
int rc_client_identify(struct rc_clients *clients, uint32_t client, const struct rc_identity *identity);

/* decision.c: a subscribe or publish of a client, where a backend's `calls` say that it decides. */
enum rc_decided {
    RC_DECIDED_BY_RULES, /* no backend does, or one gave no answer whose on_failure is "allow" */
    RC_DECIDED_LATER,    /* it is asked: RC_CLIENT_WAITS_ANSWER is set, the operation is to come again */
    RC_DECIDED_GRANTED,  /* whatever the [[namespace]] says; *data, if it was set, is to be published instead */
    RC_DECIDED_DENIED,
    RC_DECIDED_FAILED, /* it gave no answer */
};
enum rc_decided rc_client_decide(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation,
                                 struct rc_span *data);
/* The operation is over with, or its client is. */
void rc_client_decision_forget(struct rc_clients *clients, uint32_t client);
void rc_client_decisions_close(struct rc_clients *clients);

/* gone.c: the backends whose `calls` say so are told that it is no more, while all of it is still there: a socket of a namespace, or
 * (nsp and sid empty) the client. */
void rc_client_tell_gone(struct rc_clients *clients, uint32_t client, struct rc_span nsp, struct rc_span sid,
                         const char *reason);

/* peer.c: whom the socket is connected to: the client, or the nearest proxy; after a PROXY header its source. */
struct rc_address rc_socket_peer(const struct rc_clients *clients, uint32_t socket);
/* Does the client speak TLS with this server, with this worker or with one that pipes it here? (No proxy is asked.) */
bool rc_socket_is_secure(const struct rc_clients *clients, uint32_t socket);
/* The client behind trusted proxies, as this request's headers tell it. */
struct rc_address rc_socket_client_address(const struct rc_clients *clients, uint32_t socket,
                                           const struct rc_http_request *request);
void rc_clients_trust(struct rc_clients *clients);

void rc_socket_set_peer(const struct rc_clients *clients, uint32_t socket, const struct rc_address *client);

/* http.c: requests of connections. -ENOMEM. */
int rc_clients_http_open(struct rc_clients *clients, void (*resume)(void *context, uint32_t socket));
/* Those in `bytes`; the bytes consumed (the rest is incomplete, or belongs to the WebSocket). The last *held of them, and with `before` all those
 * that were held before them, are of a request in progress, which waits for its answer or for more of it. */
uint32_t rc_socket_requests(struct rc_clients *clients, uint32_t socket, const uint8_t *bytes, uint32_t count,
                            uint32_t *held, bool *before);
/* The request in the input is worked on: no successor may begin it anew. */
void rc_socket_request_once(struct rc_clients *clients, uint32_t socket);
/* The request in progress, if there is one, is kept in the first `held` parked bytes, for a successor to begin it anew where that may be. */
void rc_socket_keep_request(struct rc_clients *clients, uint32_t socket, uint32_t held);
/* For tests (RINGCAST_DIES_FILE): a packet or message with that text has this process killed so many steps (worker/store/order.h) later as the file says. */
#define RC_DIES_HERE "dies here"
#define RC_DIES_AS_IT_COMES "dies-as-it-comes" /* the same of what HTTP receives, from the moment on in which it does */
void rc_socket_dies(const uint8_t *bytes, size_t count);
/* The same at a place that the file names. */
void rc_socket_dies_at(const char *place);
/* The request, whole, is carried out from here on so that a successor of a worker that is killed can begin it anew (worker/store/receiving.h); where
 * it lies as it came, else nothing is known of it. */
void rc_socket_request_known(struct rc_clients *clients, const struct rc_exchange *exchange);
/* Is it kept so that a successor begins it anew? */
bool rc_socket_request_kept(const struct rc_clients *clients, uint32_t socket);

/* arrival.c: somebody who asks to become a client, as far as it has been judged; no pointers into the request. Texts come last: who
 * waits keeps what is used of them. */
struct rc_arrival {
    int endpoint; /* index of [[endpoint]], or RC_ENDPOINT_PATH */
    enum rc_codec_id codec;
    uint64_t token;       /* names the judgement while somebody else is asked who it is */
    bool must_say;        /* it has to say who it is */
    int16_t pusher_app;   /* of a client of the Pusher Channels protocol, -1: none */
    uint16_t pusher_code; /* why it is not let in; 0: it is */
    uint8_t user_bytes;   /* 0: anonymous */
    bool websocket;       /* how it comes; else by polling */
    uint32_t rewind;      /* so many of the newest messages of what its end point joins first; 0 = none */
    uint16_t set_bytes;   /* JSON that is to be set on the connection */
    uint8_t row;          /* that told; 0 = none of [[identity]] */
    bool counted; /* among its user's connections, from rc_arrival_identify on until a client is opened with it */
    uint64_t expires_ms;  /* CLOCK_REALTIME; 0 = never */
    uint64_t bound_ms;    /* likewise: rc_client_bound */
    uint32_t session;     /* until the loop goes on; 0 = none */
    uint32_t backend;     /* whose `reply` it is */
    struct rc_span reply; /* with operations that it wants done; until the loop goes on; empty = none */
    struct rc_identity_token identity_token;
    uint32_t attributes_bytes;
    uint32_t request_bytes;
    char user[RC_IDENTITY_USER_MAX];
    uint8_t attributes[RC_IDENTITY_ATTRIBUTES_MAX];
    uint8_t request[RC_CREDENTIALS_BYTES_MAX]; /* rc_credentials_of */
    uint8_t set[RC_RULE_SET_MAX];
};
enum rc_arrived {
    RC_ARRIVED,
    RC_ARRIVED_NOT,   /* the request was answered instead */
    RC_ARRIVED_LATER, /* somebody is asked: rc_arrival_wait */
};
/* Which end point has this path? RC_ENDPOINT_PATH for server.path, -1 for none; *codec is what it speaks. */
int rc_socket_endpoint(const struct rc_config *config, const char *path, enum rc_codec_id *codec);
/* In this order, each false when the request was answered instead: may anybody become a client there now; from that origin (of who
 * sent one); from that address, which counts from here on unless it
 * is `counted` already, and as whom. */
bool rc_arrival_begin(struct rc_exchange *exchange, const char *path, struct rc_arrival *arrival);
bool rc_arrival_from(struct rc_exchange *exchange, struct rc_span origin);
bool rc_arrival_admit(struct rc_exchange *exchange, bool counted);
/* What of the request is kept. False: answered. */
bool rc_arrival_take_request(struct rc_exchange *exchange, struct rc_arrival *arrival);
/* As whom. */
enum rc_arrived rc_arrival_identify(struct rc_exchange *exchange, struct rc_arrival *arrival);
/* A carrier whose request waits, with `own` bytes that it needs then. Static. */
struct rc_arrival_waiter {
    /* It is known who it is: the exchange is to be answered. */
    void (*arrived)(struct rc_exchange *exchange, const struct rc_arrival *arrival, const void *own);
    /* It was answered otherwise, or its client is gone. NULL: of no interest. */
    void (*gone)(struct rc_exchange *exchange, const void *own);
};
/* After RC_ARRIVED_LATER: waits until the answer is there, 15 s at most, and goes on then. Without memory it is answered with 503. */
void rc_arrival_wait(struct rc_exchange *exchange, const struct rc_arrival *arrival,
                     const struct rc_arrival_waiter *waiter, const void *own, size_t own_bytes);
/* The same as the new client is opened with; NULL: anonymous, and for ever. In `identity`, borrowed from the arrival. */
const struct rc_identity *rc_arrival_identity(const struct rc_arrival *arrival, struct rc_identity *identity);
/* What the new client is told, and what it hears from the start: everybody, its user's channel, and what its end point joins; of who has to
 * say who it is that comes later (rc_client_hears). */
void rc_arrival_greet(struct rc_clients *clients, uint32_t client, const struct rc_arrival *arrival);
void rc_client_hears(struct rc_clients *clients, uint32_t client, uint32_t rewind);
/* Its user's channel alone. */
void rc_client_hears_user(struct rc_clients *clients, uint32_t client);

/* auth.c: what a client says who it is. Judged again when it goes on (WAITS: it is RC_CLIENT_WAITS_ANSWER). */
struct rc_client_claim {
    enum rc_identity_moment moment;
    uint32_t row;        /* ROW: its index */
    bool connects;       /* as of struct rc_identity_question */
    struct rc_span nsp;  /* empty: of no Socket.IO namespace */
    struct rc_span auth; /* JSON */
};
void rc_client_judge(struct rc_clients *clients, uint32_t client, const struct rc_client_claim *claim,
                     struct rc_judgement *judgement);
/* What a backend's reply to `connect` wants done, if there is anything. */
static inline void rc_client_let_in(struct rc_clients *clients, uint32_t client, uint32_t backend, struct rc_span reply)
{
    if (reply.count > 0 && clients->engine.let_in != NULL) {
        clients->engine.let_in(clients->engine.context, client, backend, reply);
    }
}
/* What a backend's answer to `connect` sets on it; more than there is room for is logged, and not kept. */
void rc_client_set_by_backend(struct rc_clients *clients, uint32_t client, struct rc_span members);
/* What it was found to be, a KNOWN one. As rc_client_identify. */
int rc_client_become(struct rc_clients *clients, uint32_t client, const struct rc_judgement *judgement);

/* Something is to be done about the client's end then (CLOCK_REALTIME ms; 0 = never). -ENOMEM. */
int rc_client_expires(struct rc_clients *clients, uint32_t client, uint64_t at_ms);
/* A backend that did not tell who it is wants it here until then, and no longer (CLOCK_REALTIME ms; 0: it says nothing of it): of several
 * times the earliest counts. `row`: struct rc_judgement. -ENOMEM. */
int rc_client_bound(struct rc_clients *clients, uint32_t client, uint64_t at_ms, uint8_t row);
/* When it ends: its credential, or what a backend said; 0 = never. CLOCK_REALTIME ms. */
uint64_t rc_client_end_ms(const struct rc_user *user);
#define RC_REFRESH_BEFORE_MS 30000u /* its end; of a shorter life half of it */
/* Who told its end (`expire_at`) and renews it by the call `refresh`, as an index of config->backends; -1: nobody. In `*end`, which of the
 * user's it told. */
int rc_client_refreshed_by(const struct rc_clients *clients, uint32_t client, uint64_t **end);
/* Its end was changed, and these are its attributes now (empty: those of before). -ENOMEM. */
int rc_client_renew(struct rc_clients *clients, uint32_t client, struct rc_span attributes);
/* When something is to be done about its end: it, or before it that call; 0 = never. CLOCK_REALTIME ms. */
uint64_t rc_client_expiry_due(const struct rc_clients *clients, uint32_t client);
/* refresh.c: that has come, and its end has not: asks, if there is somebody to ask. When it is due next. */
uint64_t rc_client_refresh(struct rc_clients *clients, uint32_t client);
void rc_client_refreshes_close(struct rc_clients *clients);

/* The session that it was connected with in a former process is asked about from here on. -ENOMEM, -EBADMSG. */
int rc_client_session_rebuild(struct rc_clients *clients, uint32_t client);
/* It is connected with a session no more; nothing else changes. */
void rc_client_session_left(struct rc_clients *clients, uint32_t client);
/* Whoever is connected with that session (struct rc_judgement) is sent away: it is no more. */
void rc_clients_logged_out(struct rc_clients *clients, uint32_t session);
/* Whose token may be revoked: the client's `random`, and what names the token, until the heap is touched. 0: nobody's. */
uint64_t rc_client_token(const struct rc_clients *clients, uint32_t client, struct rc_revocable *token);
/* Its token is revoked: it is sent away, if it is still that client. */
void rc_clients_revoked(struct rc_clients *clients, uint32_t client, uint64_t random);
/* Who has to say who it is has so long for it. -ENOMEM. */
int rc_client_must_say(struct rc_clients *clients, uint32_t client);
/* The same time from now on, of who has to already. -ENOMEM. */
int rc_client_must_say_within(struct rc_clients *clients, uint32_t client);
/* expiry.c: closes those whose time has come; how long the loop may sleep until then, at most `most_ms`. */
void rc_clients_expire(struct rc_clients *clients);
uint32_t rc_clients_sleep_ms(const struct rc_clients *clients, uint32_t most_ms);
/* Nothing leaves before the relay knows what the server joined for a client: it is not read until then, nor longer than a handshake
 * may take. */
void rc_client_await_join(struct rc_clients *clients, uint32_t client);

/* --- history.c --- */

/* Asks the relay for messages of the operation's channel: the client is answered. As rc_client_ask_presence. */
int rc_client_ask_history(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation);
/* The relay's answer as members of a JSON object, each behind a comma: epoch, first, offset, messages, more. False: no memory, or it makes no
 * sense. *bytes is owned by the caller. */
bool rc_client_history_text(const struct rc_envelope_view *view, uint8_t **bytes, size_t *count);

/* presence.c: asks the relay for a client. 0; -EAGAIN: no room in the up ring; else too many such questions wait. */
int rc_client_ask_presence(struct rc_clients *clients, uint32_t client, struct rc_span channel, uint32_t limit,
                           struct rc_span id);

/* A client that subscribes, or is subscribed, to the channel, a byte shorter than the longest, follows who comes and goes there : first who is
 * there, which it gets anew when it does so again. Not any more; nothing happens where it does not. */
enum rc_subscribed rc_client_presence_begin(struct rc_clients *clients, uint32_t client, struct rc_span channel);
void rc_client_presence_end(struct rc_clients *clients, uint32_t client, struct rc_span channel);

/* down.c: what the uplink tells, but for calls of the API, which main() adds. */
struct rc_uplink_handlers rc_clients_uplink_handlers(struct rc_clients *clients);
struct rc_interests_handlers rc_clients_interests_handlers(struct rc_clients *clients);

/* operation.c: a complete message. `*done` of its operations were carried out before; false: the next one needs room in the up ring,
 * or (RC_CLIENT_WAITS_SUBSCRIBE is set) a subscription that is not registered yet; call again with the same message and `*done` when
 * it is there. */
bool rc_client_message(struct rc_clients *clients, uint32_t client, uint8_t opcode, uint8_t *bytes, size_t count,
                       uint32_t *done);
/* The same as its codec reads it, whatever wraps it. */
bool rc_client_operations(struct rc_clients *clients, uint32_t client, enum rc_part_kind kind, const uint8_t *bytes,
                          size_t count, uint32_t *done);
/* Of who goes through a message or packet that is known (worker/store/receiving.h): its next step begins, which is a record in the up ring or an
 * answer, or (0: no step) may be done again; and is done. */
void rc_client_step(const struct rc_clients *clients, uint32_t step);
void rc_client_repeats(const struct rc_clients *clients, uint32_t step);
void rc_client_stepped(const struct rc_clients *clients, uint32_t step);
/* Carries one operation out for a client that is open: the one place for all authors, with one permission check for each kind. */
enum rc_carried {
    RC_CARRIED_OUT,
    RC_CARRIED_REFUSED, /* by a rule or a bound, or there was nothing to do; a client was told why */
    RC_CARRIED_LATER, /* there is no room in the up ring, or (RC_CLIENT_WAITS_SUBSCRIBE is set) it waits for a subscription */
};
enum rc_carried rc_client_carry_out(struct rc_clients *clients, uint32_t client, enum rc_author author,
                                    const struct rc_operation *operation);
/* Is the client subscribed to the channel? Not while the relay has not registered it. */
bool rc_client_is_in(struct rc_clients *clients, uint32_t client, struct rc_span channel);
/* Is it a socket's own room (rc_permission_socket)? */
bool rc_client_room_is_socket(const struct rc_clients *clients, struct rc_span room);
/* reserved.c: may clients that speak no protocol of rooms not use that channel by its name? */
bool rc_client_channel_reserved(const struct rc_clients *clients, struct rc_span channel);
/* Sends a client away: tells the namespaces of a session, then closes, behind what was sent before. */
void rc_client_send_away(struct rc_clients *clients, uint32_t client, uint16_t code, const char *reason);
/* auth.c: {"type":"auth"}, the one operation of who has to say who it is, and {"type":"refresh"}, of who is somebody. */
enum rc_carried rc_client_auth(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation);
/* Joins a channel on the server's behalf (end point's `join`, `user:{id}`). */
void rc_client_join(struct rc_clients *clients, uint32_t client, struct rc_span channel);

#endif
