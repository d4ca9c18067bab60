/*
 * client: one client's conversation: HTTP until the upgrade, then WebSocket and its protocol, until the end.
 *
 * Owned by the worker's main(), which wires it above io, hub and uplink. All state is in the truth: of the wire in struct rc_socket, of
 * who is behind it in struct rc_client.
 *
 *   clients.c  all of them: made, reconfigured, sent away      park.c       received and not handled yet
 *   life.c     accepted, attached, closing, ended              peer.c       who the client is behind its proxies
 *   input.c    bytes in                                        operation.c  what clients ask for
 *   heartbeat.c  what the timers find                          presence.c   who is in a channel: the relay is asked
 *   http.c     while it speaks HTTP, as worker/http sees it    down.c       what comes down from the relay, to whom it is for
 *   upgrade.c  from a request to a client
 */
#ifndef RC_WORKER_CLIENT_CLIENT_H
#define RC_WORKER_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text/cidr.h"
#include "common/config/config.h"
#include "common/shm/control.h"
#include "worker/gate/address_limit.h"
#include "worker/gate/pressure.h"
#include "worker/gate/rate.h"
#include "worker/http/exchange.h"
#include "worker/http/parse.h"
#include "worker/http/respond.h"
#include "worker/http/route.h"
#include "worker/hub/hub.h"
#include "worker/io/io.h"
#include "worker/proto/codec.h"
#include "worker/store/truth.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/interests.h"
#include "worker/uplink/uplink.h"
#include "worker/ws/inflate.h"

struct rc_sessions {
    const struct rc_control *control; /* borrowed */
    const struct rc_config *config;   /* borrowed: the one in force */
    struct rc_truth *truth;           /* borrowed */
    struct rc_io *io;                 /* borrowed */
    struct rc_hub *hub;               /* borrowed */
    struct rc_uplink *uplink;         /* borrowed */
    struct rc_interests *interests;   /* borrowed */
    struct rc_asks *asks;             /* borrowed */
    struct rc_metrics *metrics;       /* borrowed */
    struct rc_exchanges exchanges;
    struct rc_routes routes; /* of all rooms that answer requests */
    uint32_t worker;
    bool draining;
    uint32_t connections;        /* open WebSockets */
    uint32_t users;              /* of them with a user */
    uint32_t handshakes;         /* connections without their first request yet */
    struct rc_pressure overload; /* as worker/overload says */
    struct rc_cidr_list trusted; /* http.trusted_proxies */
    uint32_t forwarded_sources;  /* http.forwarded_headers: enum rc_forwarded_source, or-ed */
    uint64_t randoms[32];        /* from getrandom, for client ids */
    uint32_t random_count;
    struct rc_operation_scratch scratch;
    struct rc_address_limit addresses;
    struct rc_rate *rates; /* owned, per client; NULL until a rate is configured */
    struct rc_rate_limits rate_limits;
    struct rc_inflater inflater;
    uint8_t *inflated; /* owned: the message being inflated */
    size_t inflated_capacity;
    bool deflate_serves_256;
};

/* -ENOMEM. */
int rc_sessions_open(struct rc_sessions *sessions, const struct rc_control *control, const struct rc_config *config,
                     struct rc_truth *truth, struct rc_io *io, struct rc_hub *hub, struct rc_uplink *uplink,
                     struct rc_interests *interests, struct rc_asks *asks, struct rc_metrics *metrics, uint32_t worker);
void rc_sessions_close(struct rc_sessions *sessions);
/* True while requests wait for their answers: API calls for 2 s at the most, since a draining worker takes no new ones. */
bool rc_sessions_answering(const struct rc_sessions *sessions);
/* A new configuration is in force. */
void rc_sessions_reconfigure(struct rc_sessions *sessions, const struct rc_config *config);
/* Sends every client away politely (1012); nobody is accepted any more. */
void rc_sessions_drain(struct rc_sessions *sessions);

/* Handlers of io and hub (context = struct rc_sessions). */
bool rc_session_accepted(void *context, uint32_t socket, uint32_t listener);
int rc_session_preface(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count, bool *done);
void rc_session_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count);
void rc_session_ended(void *context, uint32_t socket, int error);
void rc_session_timer(void *context, uint32_t socket);
void rc_session_plain_on_tls(void *context, uint32_t socket);
void rc_session_terminated(void *context, uint32_t socket);
void rc_session_flushed(void *context, uint32_t client);
void rc_session_answered(void *context, uint32_t socket);
/* Ends a client at once, and the socket that carries it. */
void rc_client_end(void *context, uint32_t client);
void rc_session_replies_drained(void *context, uint32_t socket);
void rc_session_joined(void *context, uint32_t client);
void rc_session_subscribed(void *context, uint32_t client);
/* There is room in the up ring again: the connections that waited for it are read on. */
void rc_sessions_uplink_room(struct rc_sessions *sessions);

/* --- shared by the files of worker/client --- */

#define RC_SESSION_LINGER_MS 300u

/* life.c */
struct rc_span rc_session_user(const struct rc_sessions *sessions, uint32_t client);
struct rc_client_ref rc_session_ref(const struct rc_sessions *sessions, uint32_t client);
/* Is the client still who it was? */
bool rc_session_is_here(const struct rc_sessions *sessions, const struct rc_client_ref *client);
/* Ends the conversation with a close frame: `now` drops what else is unsent. */
void rc_session_close(struct rc_sessions *sessions, uint32_t client, uint16_t code, const char *reason, bool now);
/* Answers were given up to here: the connection ends once they have left. */
void rc_session_linger(struct rc_sessions *sessions, uint32_t socket);
/* Sets the timer to the earliest of the connection's deadlines. */
void rc_session_schedule(struct rc_sessions *sessions, uint32_t socket);
/* A request has `in_ms` from now on; 0: whenever. */
void rc_session_deadline(struct rc_sessions *sessions, uint32_t socket, uint64_t in_ms);
/* When the next ping is due, `in_ms` from now (0: never), on the step that fits limits.ping_interval and the number of
 * connections: half a step sooner or later. */
uint32_t rc_session_next_ping(const struct rc_sessions *sessions, uint64_t in_ms);
/* A new client that nothing carries yet; 0: no memory. */
uint32_t rc_client_open(struct rc_sessions *sessions, uint8_t endpoint, uint8_t encoding, struct rc_span user);
/* The socket, an HTTP connection until now, carries the client: what it still has to send leaves first. -ENOMEM. */
int rc_client_attach(struct rc_sessions *sessions, uint32_t client, uint32_t socket);
/* The client stays without a socket and keeps its places in its channels; the socket lingers. */
void rc_client_detach(struct rc_sessions *sessions, uint32_t client);
/* The upgrade is done: the socket carries a new WebSocket client, the result. 0: no memory. */
uint32_t rc_session_open(struct rc_sessions *sessions, uint32_t socket, uint8_t endpoint, uint8_t encoding,
                         struct rc_span user);
/* Does it carry a client that is open? Is it not read for now, for its own sake or its client's? */
bool rc_session_is_open(const struct rc_sessions *sessions, const struct rc_socket *socket);
bool rc_session_waits(const struct rc_sessions *sessions, const struct rc_socket *socket);
/* What is to be sent or kept found no memory: the client, or the socket without one, ends. */
void rc_client_failed_memory(struct rc_sessions *sessions, uint32_t client);
void rc_session_failed_memory(struct rc_sessions *sessions, uint32_t socket);
/* The first request has come, or none will. */
void rc_session_handshake_over(struct rc_sessions *sessions, uint32_t socket);
/* Are new clients to be refused (503)? Counts the refusal. */
bool rc_session_sheds(struct rc_sessions *sessions, uint32_t socket);

/* Counts a WebSocket in the address limits; false: there are too many from there (429). */
bool rc_session_admit(struct rc_sessions *sessions, uint32_t socket);
/* A message of `bytes` came; false: the client sends too fast and was put off or closed. */
bool rc_session_within_rate(struct rc_sessions *sessions, uint32_t socket, uint64_t bytes);

/* park.c: what was received and not handled yet; NULL: no memory */
struct rc_input *rc_session_input(struct rc_sessions *sessions, uint32_t socket);
void rc_session_input_release(struct rc_sessions *sessions, uint32_t socket);
/* Forgets what the client's compression refers back to. */
void rc_session_history_release(struct rc_sessions *sessions, uint32_t socket);
/* Appends to the parked bytes. -ENOMEM when the budget is used up. */
int rc_session_park(struct rc_sessions *sessions, uint32_t socket, const uint8_t *bytes, uint32_t count);
/* Takes `count` bytes from the front of the parked ones. */
void rc_session_unpark(struct rc_sessions *sessions, uint32_t socket, uint32_t count);
/* A larger block with the first `used` bytes of the old one. -ENOMEM: unchanged. Gives one back; *block becomes 0. */
int rc_session_input_grow(struct rc_sessions *sessions, uint32_t *block, uint32_t *capacity, uint64_t bytes,
                          uint64_t used);
void rc_session_input_free(struct rc_sessions *sessions, uint32_t *block);
/* The input object goes as soon as nothing of it is needed: an idle connection has none. */
void rc_session_input_settle(struct rc_sessions *sessions, uint32_t socket);

/* input.c: WebSocket bytes. */
void rc_session_frames(struct rc_sessions *sessions, uint32_t socket, uint8_t *bytes, uint32_t count);
/* Reads on after a pause. */
void rc_session_resume(void *context, uint32_t socket);

/* peer.c: whom the socket is connected to: the client, or the nearest proxy; after a PROXY header its source. */
struct rc_address rc_session_peer(const struct rc_sessions *sessions, uint32_t socket);
/* The client behind trusted proxies, as this request's headers tell it. */
struct rc_address rc_session_client(const struct rc_sessions *sessions, uint32_t socket,
                                    const struct rc_http_request *request);
void rc_session_trust(struct rc_sessions *sessions);

void rc_session_set_peer(const struct rc_sessions *sessions, uint32_t socket, const struct rc_address *client);

/* http.c: requests in `bytes`; the bytes consumed (the rest is incomplete, or belongs to the WebSocket). -ENOMEM. */
int rc_session_http_open(struct rc_sessions *sessions, void (*resume)(void *context, uint32_t socket));
uint32_t rc_session_requests(struct rc_sessions *sessions, uint32_t socket, const uint8_t *bytes, uint32_t count);

/* upgrade.c: which end point has this path? RC_ENDPOINT_PATH for server.path, -1 for none; *codec is what it speaks. */
int rc_session_endpoint(const struct rc_config *config, const char *path, enum rc_codec_id *codec);
/* Handler of the routes: the request is answered, or the connection is a client's. */
void rc_session_upgrade(void *context, struct rc_exchange *exchange, const char *path);

/* presence.c: asks the relay for a client. 0; -EAGAIN: no room in the up ring; else too many such questions wait. */
int rc_session_ask_presence(struct rc_sessions *sessions, uint32_t client, struct rc_span channel, uint32_t limit,
                            struct rc_span id);

/* down.c: what the uplink tells, but for calls of the API, which main() adds. */
struct rc_uplink_handlers rc_session_uplink_handlers(struct rc_sessions *sessions);
struct rc_interests_handlers rc_session_interests_handlers(struct rc_sessions *sessions);

/* operation.c: a complete message of a native or raw client. `*done` of its operations were carried out before; false: the next
 * one needs room in the up ring, or (RC_CLIENT_WAITS_SUBSCRIBE is set) a subscription that is not registered yet; call again with the
 * same message and `*done` when it is there. */
bool rc_session_message(struct rc_sessions *sessions, uint32_t client, uint8_t opcode, const uint8_t *bytes,
                        size_t count, uint32_t *done);
/* Carries one operation out for a client that is open: the one place for all authors, with one permission check for each kind. */
enum rc_carried {
    RC_CARRIED_OUT,
    RC_CARRIED_REFUSED, /* by a rule or a bound, or there was nothing to do; a client was told why */
    RC_CARRIED_LATER, /* there is no room in the up ring, or (RC_CLIENT_WAITS_SUBSCRIBE is set) it waits for a subscription */
};
enum rc_carried rc_session_carry_out(struct rc_sessions *sessions, uint32_t client, enum rc_author author,
                                     const struct rc_operation *operation);
/* Joins a channel on the server's behalf (end point's `join`, `user:{id}`). */
void rc_session_join(struct rc_sessions *sessions, uint32_t client, struct rc_span channel);

#endif
