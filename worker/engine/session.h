/*
 * session: an Engine.IO session as the files of worker/engine share it: how it is found and named, what it is sent, how it ends.
 *
 * Owned by the worker's main() by way of engine.h, one thread. What is kept of a session is in the truth (struct rc_engine). A function
 * that sends or ends may end the session, and a request that is answered by it may bring the next ones: whoever goes on
 * afterwards asks rc_engine_lives.
 */
#ifndef RC_WORKER_ENGINE_SESSION_H
#define RC_WORKER_ENGINE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/span.h"
#include "common/records/sid.h"
#include "worker/client/client.h"
#include "worker/io/wheel.h"
#include "worker/proto/engineio.h"

#define RC_ENGINE_TICK_MS 10u

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

/* Who has what clients of a link say: worker/link. */
struct rc_engine_link {
    void *context; /* borrowed */
    /* One message. False: not now; it is RC_CLIENT_WAITS_ANSWER, and told to go on. */
    bool (*message)(void *context, uint32_t client, enum rc_part_kind kind, const uint8_t *bytes, size_t count);
    /* The session is about to end: it hears nothing any more. Once. */
    void (*gone)(void *context, uint32_t client, enum rc_engine_why why);
    /* A WebSocket has taken it over. */
    void (*upgraded)(void *context, uint32_t client);
};

struct rc_rule_wait;
struct rc_returning;
TAILQ_HEAD(rc_returnings, rc_returning);
struct rc_unjoined;
#define RC_RULE_WAIT_BUCKETS 256u

struct rc_engines {
    struct rc_clients *clients;   /* borrowed */
    struct rc_wheel wheel;        /* by client */
    struct rc_unjoined *unjoined; /* owned: unjoined.h */
    struct rc_poll_ops polls;
    struct rc_engine_link link;
    struct rc_hub_taken taken; /* of the session that is told of being ready */
    char instance[RC_SID_INSTANCE_BYTES];
    uint8_t *result; /* owned: arguments that a row has worked out */
    size_t result_capacity;
    char names[RC_EXCLUDE_TEXT_MAX]; /* of rooms, while an emit is put together */
    uint8_t *decoded;                /* owned: a binary message that came as base64 in text */
    size_t decoded_capacity;
    struct rc_wheel emits; /* by struct rc_emit: until when its clients' answers are waited for */
    uint32_t *acks;        /* owned: first struct rc_ack of each client; 0 = none of whom something is waited for */
    uint8_t *answer;       /* owned: an answer that is handed on */
    size_t answer_capacity;
    struct rc_asked *asked;      /* owned: events that backends are asked about (asked.h); the newest first */
    struct rc_asked **asked_of;  /* owned: the same by client, 0: of clients of other servers */
    uint32_t asked_waiting;      /* of them, those whose reply waits to be carried out */
    uint32_t asked_early;        /* likewise, until their client is in a namespace */
    struct rc_asked *asked_next; /* borrowed: where rc_asked_work goes on */
    uint32_t asked_untaken;      /* of a former process, for which there was no memory: their clients are to be ended */
    struct rc_reply *reply;      /* owned: the one that is being carried out */
    struct rc_doing *doing;      /* owned: calls whose operations are not all done (doing.h); the newest first */
    uint32_t doing_count;
    /* rc_socketio_dismiss, rc_asked_told, for the files below them. */
    void (*dismiss)(struct rc_engines *engines, uint32_t client, struct rc_span nsp);
    void (*told)(struct rc_engines *engines, uint32_t client, struct rc_span asker, struct rc_span args, uint32_t ack);
    /* rc_socketio_came_back. */
    void (*came_back)(struct rc_engines *engines, uint32_t client, struct rc_returning *returning);
    struct rc_index_list recoverables;   /* those of which the relay is to be told (recoverable.h) */
    uint64_t recoverables_since;         /* sequence that had come down before any of them changed */
    uint8_t *session;                    /* owned: what it is told; NULL: nobody comes back */
    struct rc_returning **returning;     /* owned: one a client; NULL = it is not coming back (returning.h) */
    struct rc_returnings returnings_due; /* of them those that do not wait for the relay's answer */
    uint8_t rules;                       /* counts the reloads that changed [[event]] rows */
    bool keeps_auth;                     /* some row but those of "connect" says {auth} */
    struct rc_rule_wait *waits[RC_RULE_WAIT_BUCKETS]; /* owned: rows that wait, by client (rule_wait.h) */
    struct rc_rule_wait *departed;                    /* owned: rows of clients that are no more */
};

/* What became of a packet. */
enum rc_engine_result {
    RC_ENGINE_DONE,  /* the session may have ended by it */
    RC_ENGINE_LATER, /* it waits: call again with the same packet and `*done` when the client is told to go on */
};

/* Where the client's session comes from, whether or not a socket carries it now. */
static inline struct rc_address rc_engine_address(const struct rc_engines *engines, uint32_t client)
{
    const struct rc_truth *truth = engines->clients->truth;
    const uint32_t socket = rc_truth_client(truth, client)->socket;
    return socket == RC_SOCKET_NONE ? rc_truth_engine(truth, client)->address : truth->peers[socket];
}

static inline struct rc_engine *rc_engine_of(const struct rc_engines *engines, uint32_t client)
{
    return rc_truth_engine(engines->clients->truth, client);
}

static inline const struct rc_config_socketio *rc_engine_settings(const struct rc_engines *engines)
{
    return &engines->clients->config->socketio;
}

/* Does the client speak Engine.IO: as a session, or as the probe of one? */
static inline bool rc_engine_is(const struct rc_engines *engines, uint32_t client)
{
    return (rc_engine_of(engines, client)->flags & (RC_ENGINE_SESSION | RC_ENGINE_PROBE)) != 0;
}

/* Is what the client says the application's own business? */
static inline bool rc_engine_is_linked(const struct rc_engines *engines, uint32_t client)
{
    return rc_codec_is_link(rc_encoding_codec(rc_truth_client(engines->clients->truth, client)->encoding));
}

/* Does it speak Engine.IO 3, where the client is who pings? */
static inline bool rc_engine_is_3(const struct rc_engines *engines, uint32_t client)
{
    return rc_encoding_codec(rc_truth_client(engines->clients->truth, client)->encoding) == RC_CODEC_LINK_3;
}

/* Is the client still the one of that name, and open? */
static inline bool rc_engine_lives(const struct rc_engines *engines, uint32_t client, uint64_t random)
{
    const struct rc_client *its = rc_truth_named(engines->clients->truth, client, random);
    return its != NULL && its->state == RC_CLIENT_OPEN;
}

/* The clock of the sessions' timers, and so many milliseconds from now, but not a tick later: clients wait exactly so long. */
uint32_t rc_engine_now(const struct rc_engines *engines);
uint32_t rc_engine_deadline(const struct rc_engines *engines, uint64_t in_ms);
/* Sets the timer to the earliest of the session's deadlines. */
void rc_engine_schedule(struct rc_engines *engines, uint32_t client);

/* The heartbeat begins anew: of Engine.IO 4 with a ping of ours after a while, of 3 with waiting for the client's. */
void rc_engine_beat(struct rc_engines *engines, uint32_t client);
/* Makes a new, open client a session, whose handshake came on that socket. False: it cannot be named, and is to end. */
bool rc_engine_begin(struct rc_engines *engines, uint32_t client, uint32_t socket);
/* The session's id; that of the client's socket in a Socket.IO namespace. */
void rc_engine_sid(const struct rc_engines *engines, uint32_t client, char out[RC_SID_BYTES]);
void rc_engine_nsp_sid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, char out[RC_SID_BYTES]);
/* The same as its place has it: what is sent to it finds it by that, too, wherever it was first. */
void rc_engine_place_sid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, char out[RC_SID_BYTES]);
/* Is the client in the namespace; and still with this socket? */
bool rc_engine_has_joined(const struct rc_engines *engines, uint32_t client, struct rc_span nsp);
bool rc_engine_is_joined_as(const struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                            const char sid[RC_SID_BYTES]);
/* Who it is, is known: it hears its user's channel, if it is in "/". */
void rc_engine_join_user(struct rc_engines *engines, uint32_t client);
/* The handshake's packet, "0{…}"; its bytes, no NUL. */
#define RC_ENGINE_OPEN_BYTES_MAX 256u
size_t rc_engine_open_packet(const struct rc_engines *engines, uint32_t client, char out[RC_ENGINE_OPEN_BYTES_MAX]);
/* A session of this worker by its id; 0: there is none. `*sid` is filled in, and *known tells that it is one at all. */
uint32_t rc_engine_find(const struct rc_engines *engines, struct rc_span text, struct rc_sid *sid, bool *known);
/* It is found no more: it is about to end. */
void rc_engine_retire(struct rc_engines *engines, uint32_t client);

/* One packet for the client alone. Without memory it ends. */
void rc_engine_reply(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind, const void *bytes,
                     size_t count);
/* The session ends: after what it was sent before, or `now`. Its carrier is told, and who waits for an answer gets one. */
void rc_engine_end(struct rc_engines *engines, uint32_t client, uint16_t code, const char *reason, bool now);
/* The peer did what the protocol does not know. */
void rc_engine_broken(struct rc_engines *engines, uint32_t client, const char *why);
/* Why it is going to end, as its rows of "disconnect" are told; what was said first counts. */
void rc_engine_note_end(struct rc_engines *engines, uint32_t client, enum rc_engine_why why);

#endif
