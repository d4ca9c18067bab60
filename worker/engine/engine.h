/*
 * engine: Engine.IO sessions (protocol revision 4) and what Socket.IO (revision 5) makes of them.
 *
 *   engine.c    sessions: ids, packets, heartbeat, the end        upgrade.c   a WebSocket takes a polling session over
 *   socketio.c  namespaces, events, acknowledgements
 *
 * A session is a client (worker/client) whose struct rc_engine is in use. Whatever brings its packets (worker/carrier: WebSocket
 * messages, POST bodies) hands them to rc_engine_packet; what leaves, leaves through the hub in the encoding of the client: as frames
 * of its WebSocket, or as the payload that a GET takes. Owned by the worker's main(), one thread. Its timers are its own: a session
 * may be without a socket for a while.
 *
 * Sources: engine.io-protocol v4, socket.io-protocol v5, and where they leave something open what engine.io 6 and socket.io 4 do.
 */
#ifndef RC_WORKER_ENGINE_ENGINE_H
#define RC_WORKER_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/sid.h"
#include "worker/client/client.h"
#include "worker/io/wheel.h"
#include "worker/proto/engineio.h"

/* Who answers a session's requests: worker/carrier/polling.c. */
struct rc_poll_ops {
    void *context; /* borrowed */
    /* Answers the GET that waits (engine->poll) with this payload; the session goes on. */
    void (*answer)(void *context, uint32_t client, const uint8_t *payload, size_t count);
    /* The session ended: its GET is answered with the packet `last`, its POST refused. */
    void (*ended)(void *context, uint32_t client, char last);
    /* What its POST waited for has come. */
    void (*resumed)(void *context, uint32_t client);
};

struct rc_engines {
    struct rc_clients *clients; /* borrowed */
    struct rc_wheel wheel;      /* by client */
    struct rc_poll_ops polls;
    struct rc_hub_taken taken; /* of the session that is told of being ready */
    char instance[RC_SID_INSTANCE_BYTES];
    uint8_t *result; /* owned: arguments that a row has worked out */
    size_t result_capacity;
};

/* Wires itself to `clients`, which are open. */
void rc_engines_open(struct rc_engines *engines, struct rc_clients *clients);
/* io is open: time begins. -ENOMEM. */
int rc_engines_start(struct rc_engines *engines);
void rc_engines_close(struct rc_engines *engines);
void rc_engines_set_polls(struct rc_engines *engines, const struct rc_poll_ops *ops);
/* Fires what is due; how long the loop may sleep until then, at most `most_ms`. */
void rc_engines_timers(struct rc_engines *engines);
uint32_t rc_engines_sleep_ms(const struct rc_engines *engines, uint32_t most_ms);
/* Handler of the hub (context = struct rc_engines): there may be something for a session whose GET waits, or that is being upgraded. */
void rc_engine_ready(void *context, uint32_t client);

/* --- sessions: engine.c --- */

/* Does the client speak Engine.IO: as a session, or as the probe of one? */
static inline bool rc_engine_is(const struct rc_engines *engines, uint32_t client)
{
    return (rc_truth_engine(engines->clients->truth, client)->flags & (RC_ENGINE_SESSION | RC_ENGINE_PROBE)) != 0;
}

/* Makes a new, open client a session. False: it cannot be named, and is to end. */
bool rc_engine_begin(struct rc_engines *engines, uint32_t client);
/* The handshake's packet, "0{…}"; its bytes, no NUL. */
#define RC_ENGINE_OPEN_BYTES_MAX 256u
size_t rc_engine_open_packet(const struct rc_engines *engines, uint32_t client, char out[RC_ENGINE_OPEN_BYTES_MAX]);
/* A session of this worker by its id; 0: there is none. `*sid` is filled in, and *known tells that it is one at all. */
uint32_t rc_engine_find(const struct rc_engines *engines, struct rc_span text, struct rc_sid *sid, bool *known);

/* What became of a packet. */
enum rc_engine_result {
    RC_ENGINE_DONE,  /* the session may have ended by it */
    RC_ENGINE_LATER, /* it waits: call again with the same packet and `*done` when the client is told to go on */
};
/* One packet of a session or probe; its bytes may be changed. `*done` of its steps were carried out before. */
enum rc_engine_result rc_engine_packet(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                       uint8_t *bytes, size_t count, uint32_t *done);
/* The session ends: after what it was sent before, or `now`. Its carrier is told, and who waits for an answer gets one. */
void rc_engine_end(struct rc_engines *engines, uint32_t client, uint16_t code, const char *reason, bool now);
/* The peer did what the protocol does not know. */
void rc_engine_broken(struct rc_engines *engines, uint32_t client, const char *why);
/* One packet for the client alone. Without memory it ends. */
void rc_engine_reply(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind, const void *bytes,
                     size_t count);
/* Sets the timer to the earliest of the session's deadlines. */
void rc_engine_schedule(struct rc_engines *engines, uint32_t client);
/* So many milliseconds from now, but not a tick later: clients wait exactly so long. */
uint32_t rc_engine_deadline(const struct rc_engines *engines, uint64_t in_ms);

/* --- upgrade.c --- */

/* A WebSocket client that names a session: it probes. False: the session cannot be taken over, the WebSocket is to be closed. */
bool rc_engine_probe(struct rc_engines *engines, uint32_t probe, uint32_t session);
enum rc_engine_result rc_engine_probe_packet(struct rc_engines *engines, uint32_t probe, const uint8_t *bytes,
                                             size_t count);
/* The session is ready and its probe has said "5": true when it has changed over, or goes on to try. */
bool rc_engine_upgrade(struct rc_engines *engines, uint32_t session);

/* --- socketio.c --- */

enum rc_engine_result rc_socketio_message(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                          uint8_t *bytes, size_t count, uint32_t *done);
/* The sid of the client's socket in a namespace. */
void rc_socketio_sid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, char out[RC_SID_BYTES]);
/* The client is sent away: tells all its namespaces. */
void rc_socketio_farewell(struct rc_engines *engines, uint32_t client);
/* It is no more: what `disconnect` means, and what it holds. */
void rc_socketio_ended(struct rc_engines *engines, uint32_t client);

#endif
