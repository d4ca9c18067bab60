/*
 * engine_rig: Engine.IO sessions in the test's own process: a client rig whose hub and io tell the worker's own rooms, WebSockets and
 * polling on top. The test is every client, by the bytes of its connections, and the relay, whose answers engine_rig_settle gives.
 *
 * One rig per test; single thread. Everything that fails here fails the test (RC_ASSERT).
 */
#ifndef RC_TESTS_SUPPORT_ENGINE_RIG_H
#define RC_TESTS_SUPPORT_ENGINE_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/client_rig.h"
#include "worker/carrier/handover.h"
#include "worker/carrier/polling.h"
#include "worker/carrier/websocket.h"
#include "worker/engine/engine.h"

#define ENGINE_RIG_SLOTS 32u

/* A client's connection. */
struct engine_rig_wire {
    uint32_t socket;
    int fd;            /* owned: the far end */
    char text[131072]; /* what came on it since it was looked at, NUL-terminated */
    size_t count;
};

struct engine_rig {
    struct client_rig c;
    struct rc_engines engines;
    struct rc_websockets websockets;
    struct rc_handovers handovers;
    struct rc_polling polling;
    struct engine_rig_wire wires[ENGINE_RIG_SLOTS];
    uint32_t wire_count;
    char sid[RC_SID_BYTES + 1]; /* of the session that was begun last */
    uint32_t session;           /* its client */
};

void engine_rig_open(struct engine_rig *r);
/* Goes on with copies of another one's truth and rings, as a successor of the worker does: the same sessions, wires of the same numbers whose
 * far ends are new. */
void engine_rig_adopt(struct engine_rig *r, const struct engine_rig *from);
/* Ends every session and connection, and checks that nothing is left of them. */
void engine_rig_close(struct engine_rig *r);

/* The [[event]] rows of this configuration file are in force from here on, as after a reload. */
void engine_rig_rows(struct engine_rig *r, const char *text);

/* A connection that speaks HTTP. */
struct engine_rig_wire *engine_rig_wire(struct engine_rig *r);
void engine_rig_bytes(struct engine_rig *r, struct engine_rig_wire *wire, const void *bytes, size_t count);
/* A request of the session `sid` (NULL: of none). `body` NULL: a GET. */
void engine_rig_request(struct engine_rig *r, struct engine_rig_wire *wire, const char *sid, const char *body);
/* A GET of the session `sid` with further header lines. */
void engine_rig_poll(struct engine_rig *r, struct engine_rig_wire *wire, const char *sid, const char *headers);
/* Lets the worker's loop run; the status of the one answer that has come, its body in wire->text. 0: none has. */
int engine_rig_answer(struct engine_rig *r, struct engine_rig_wire *wire);
/* A new session by polling: r->sid and r->session. With `connected`: it has joined "/". */
void engine_rig_begin(struct engine_rig *r, bool connected);
/* A WebSocket of the session `sid`, or (NULL) of a new one. */
void engine_rig_upgrade(struct engine_rig *r, struct engine_rig_wire *wire, const char *sid);
void engine_rig_frame(struct engine_rig *r, struct engine_rig_wire *wire, const char *text);
/* All text frames that came, with a blank between them; "close" stands for a close frame. */
const char *engine_rig_frames(struct engine_rig *r, struct engine_rig_wire *wire);

/* Everybody in the namespace is asked "q" with 1, on behalf of "who" at worker 9 with the tag 5, 6, 7 (common/records/emit.h); its first reply has
 * gone up. */
void engine_rig_ask(struct engine_rig *r, const char *nsp, uint32_t timeout_ms, uint32_t flags);

/* One pass of the loop without the clock's: what is due now, room in the up ring, a turn, who is ready. */
void engine_rig_pass(struct engine_rig *r);
/* So many milliseconds pass, and what is due happens. */
void engine_rig_wait(struct engine_rig *r, uint64_t ms);
/* The relay registers all that it was asked for. */
void engine_rig_settle(struct engine_rig *r);
bool engine_rig_lives(const struct engine_rig *r, uint32_t session);

#endif
