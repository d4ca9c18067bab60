/*
 * engine: Engine.IO sessions (protocol revision 4) and what Socket.IO (revision 5) makes of them.
 *
 *   engine.c ─▶ upgrade.c   a WebSocket takes a polling session over ─────────────────────────────┐
 *      │                                                                                           ▼
 *      └──────▶ socketio.c  namespaces, events, acknowledgements ─▶ rules.c  [[event]] rows ─▶ session.c  ids, clock, the end
 *   packets, timers, wiring       ├──▶ auth.c  what clients said who they are
 *                                 └──▶ acks.c  what clients are asked, and answer ◀── requests.c  servers beside this instance
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

#include "worker/engine/session.h"

/* Wires itself to `clients`, which are open. */
void rc_engines_open(struct rc_engines *engines, struct rc_clients *clients);
/* io is open: time begins. -ENOMEM. */
int rc_engines_start(struct rc_engines *engines);
/* After the clients' requests have ended (rc_clients_close), which end sessions. */
void rc_engines_close(struct rc_engines *engines);
/* Of a truth that another process has written, once the clients are rebuilt: sessions' timers, who is to acknowledge what. */
struct rc_truth_found;
void rc_engines_rebuild(struct rc_engines *engines, const struct rc_truth_found *found);
/* The truth is this process's own from here on, and what its sessions' requests were in another one is over. Before anything is served. */
void rc_engines_taken(struct rc_engines *engines);
void rc_engines_set_polls(struct rc_engines *engines, const struct rc_poll_ops *ops);
/* Another configuration will be in force; clients->config is still the former one. */
void rc_engines_reconfigure(struct rc_engines *engines, const struct rc_config *config);
/* Fires what is due; how long the loop may sleep until then, at most `most_ms`. */
void rc_engines_timers(struct rc_engines *engines);
uint32_t rc_engines_sleep_ms(const struct rc_engines *engines, uint32_t most_ms);
/* Handler of the hub (context = struct rc_engines): there may be something for a session whose GET waits, or that is being upgraded. */
void rc_engine_ready(void *context, uint32_t client);

/* One packet of a session or probe; its bytes may be changed. `*done` of its steps were carried out before. */
enum rc_engine_result rc_engine_packet(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                       uint8_t *bytes, size_t count, uint32_t *done);

#endif
