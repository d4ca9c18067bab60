/*
 * move: clients that go from one worker to another, while both run, and notice nothing.
 *
 *   giving worker                      taking worker                            relay
 *   ASKING: these channels? ─────────▶ makes them wanted (RC_CHANNEL_HELD) ────▶ acknowledges
 *   STOPPING ◀──────────────── ready ─ when all are active
 *     nothing is read from the clients any more; their descriptors are made
 *   ORDERED: RC_UP_BARRIER ─────────────────────────────────────────────────────▶ at one place of the order:
 *   GIVING ◀───────────────────────────────────────────────── RC_DOWN_BARRIER ── both; what is for the clients
 *     the down ring stands still; a turn ends    TAKING: the down ring stands    goes to the taking one from here on
 *     who has got all goes  ◀─────────── holds ─ still
 *     one message each, with the connection ──▶ they are made
 *   ENDING: end ────────────────────────────▶ goes on
 *
 * Both stand at the same place of the order of all messages, so that each of them comes to each client once, in order, and no client has a
 * position but in histories, which are all workers'. Answers to what the clients have sent came down before the barrier, which went up behind
 * it; those that Redis is waited for go where the client is. Who cannot go (it has not read all, something of it waits) stays: the relay is
 * told (RC_UP_GUEST), and what went to the other worker for it meanwhile comes back by the relay (rc_moves_stray).
 *
 * A client that polls (Socket.IO) has no connection that could go: it comes as a word, and whoever reads a request of it finds it by its sid
 * (common/shm/sid_places.h). What changes something of it, a POST, waits from STOPPING on at the giving worker until it has gone or stays, and so does at
 * the taking one what is for a client that is still to come (rc_moves_held, worker/carrier/handover.h); a GET that waits there goes on until it has gone.
 *
 * A client keeps its id, which names the place where it was opened: truth->homes, and relay/route/guests.h. A worker that dies: enum rc_move_role
 * says what its successor has to end; a message that lies in the inbox is the successor's. Words go by the inbox, too (struct rc_move_word). Of the one
 * client that a killed worker was just sending the successor asks the other one, who has seen what came before that word; until it has answered, the
 * client is neither read nor sent anything, and both still stand at the barrier.
 *
 * Owned by the worker's main(), one thread, above client. One batch goes at a time, and one comes.
 */
#ifndef RC_WORKER_MOVE_MOVE_H
#define RC_WORKER_MOVE_MOVE_H

#include "common/shm/handover.h"
#include "worker/client/client.h"
#include "worker/uplink/memberships.h"

/* Of words and of struct rc_move_state: a worker of another build, as there is one during an upgrade, knows no word of another layout. */
#define RC_MOVE_LAYOUT 4u

enum rc_move_word_kind {
    RC_MOVE_ASKS = RC_MOVE_LAYOUT << 8, /* to the taking worker: the names of channels follow */
    RC_MOVE_READY,                      /* to the giving one */
    RC_MOVE_REFUSES,                    /* likewise: not now */
    RC_MOVE_HOLDS,                      /* likewise: it stands at the barrier */
    RC_MOVE_END,                        /* to the taking one: there is no more, or it was given up */
    RC_MOVE_CLIENT,   /* likewise: a client that no socket carries, as in an RC_HANDOVER_CLIENT message, follows */
    RC_MOVE_WHERE,    /* likewise: has the client whose reference follows come? Of who was killed while it sent it */
    RC_MOVE_CAME,     /* to the giving one: it has, */
    RC_MOVE_CAME_NOT, /* or has not, and will not */
};

/* The bytes of an RC_HANDOVER_WORD message. */
struct rc_move_word {
    uint64_t token;
    uint32_t kind;              /* enum rc_move_word_kind */
    uint32_t config_generation; /* RC_MOVE_ASKS: both must have the same one in force */
};

enum rc_give_phase {
    RC_GIVE_IDLE,
    RC_GIVE_ASKING, /* the word is to be sent */
    RC_GIVE_ASKED,
    RC_GIVE_STOPPING,
    RC_GIVE_ORDERING, /* the barrier is to be written */
    RC_GIVE_ORDERED,
    RC_GIVE_GIVING,
    RC_GIVE_WHERE,  /* a successor: whether the client that its predecessor was just sending has come */
    RC_GIVE_ENDING, /* the word is to be sent */
};

struct rc_give_item {
    uint64_t random;
    uint64_t channels; /* of its channels: whether they are others by now */
    uint32_t client;   /* 0: it stays */
    uint32_t socket;   /* RC_SOCKET_NONE: it polls */
    int fd;            /* owned; -1 = none yet */
    bool stays;        /* it is read again when the relay was told so */
};

struct rc_give {
    enum rc_give_phase phase;
    uint64_t token;
    uint64_t since_ms; /* CLOCK_MONOTONIC: of the phase */
    uint32_t peer;
    uint32_t count;
    uint32_t next;   /* client at which the search goes on */
    uint32_t stayed; /* of the last whole search: clients that cannot go */
    const char *why; /* one of them */
    uint32_t names_bytes;
    uint32_t config_generation;
    bool held;         /* the other one stands at the barrier, too, */
    uint64_t held_ms;  /* since then by what it says: CLOCK_MONOTONIC */
    bool ordered;      /* the barrier was asked for */
    bool refused;      /* the other one does not stand at it */
    uint32_t moved;    /* of the batch */
    uint64_t where_ms; /* when that was asked last; 0 = not yet */
    uint64_t moved_ms; /* when somebody went last, of any batch: CLOCK_MONOTONIC; 0 = nobody yet */
    uint8_t *
        names; /* owned: RC_HANDOVER_BYTES_MAX, from the first batch on: a word with the names behind it, or a client */
    uint8_t *own; /* owned, likewise: what the protocol of one client keeps of it */
    struct rc_give_item items[RC_MOVE_CLIENTS_MAX];
};

enum rc_take_phase { RC_TAKE_IDLE, RC_TAKE_HOLDING, RC_TAKE_READY, RC_TAKE_TAKING };

struct rc_take {
    enum rc_take_phase phase;
    uint64_t token;
    uint64_t since_ms;
    uint64_t ended_ms; /* when the last one ended, or stood at its barrier */
    uint32_t from;     /* worker, */
    uint32_t from_pid; /* its process, */
    uint32_t from_generation;
    uint32_t config_generation;
    bool said;    /* that it holds */
    bool ended;   /* its word has come */
    bool late;    /* it has not, for too long */
    bool settled; /* of the last one the relay was told who did not come: what is for them comes back once at most */
    uint32_t taken;
    struct rc_index_list held; /* channels */
};

/* What the relay is to be told of a client. */
struct rc_move_told {
    struct rc_client_ref client;
    bool gone;
};

struct rc_moves {
    struct rc_clients *clients;         /* borrowed, as all */
    struct rc_memberships *memberships; /* what it has not told yet must not be told later */
    const int *outbox_fds;
    struct rc_give give;
    struct rc_take take;
    struct rc_move_told *told; /* owned */
    uint32_t told_count;
    uint32_t told_capacity;
    uint32_t snapshot_next;       /* client at which the relay is told on who came from elsewhere */
    uint32_t snapshot_generation; /* of the relay */
};

/* Wires itself to `clients`, which are open. */
void rc_moves_open(struct rc_moves *moves, struct rc_clients *clients, struct rc_memberships *memberships,
                   const int *outbox_fds);
void rc_moves_close(struct rc_moves *moves);
/* Of a truth that another process has written: what was moving. Before the sockets are adopted. */
void rc_moves_rebuild(struct rc_moves *moves);

/* Begins to give up to `count` clients to another worker; without `polling` only those that sockets carry. False: a batch is on its way, or there is
 * nobody who can go: give.stayed and give.why tell of who cannot. */
bool rc_moves_begin(struct rc_moves *moves, uint32_t peer, uint32_t count, bool polling);
/* Goes on with what is moving, at the end of a pass. True: at once again. */
bool rc_moves_pass(struct rc_moves *moves);
/* Must the configuration stay as it is for a moment? What is on its way is by it. */
static inline bool rc_moves_fixed(const struct rc_moves *moves)
{
    return (moves->give.phase >= RC_GIVE_ORDERED && moves->give.phase < RC_GIVE_ENDING) ||
           moves->take.phase == RC_TAKE_TAKING;
}

/* Do requests of clients that go, or come, have to wait? */
static inline bool rc_moves_held(const struct rc_moves *moves)
{
    return (moves->give.phase >= RC_GIVE_STOPPING && moves->give.phase <= RC_GIVE_ENDING) ||
           moves->take.phase == RC_TAKE_TAKING;
}

/* Is anything on its way? */
static inline bool rc_moves_busy(const struct rc_moves *moves)
{
    return moves->give.phase != RC_GIVE_IDLE || moves->take.phase != RC_TAKE_IDLE || moves->told_count > 0;
}

/* Has a batch just come to nothing at its barrier? The next one would, too: a worker is behind. */
static inline bool rc_moves_pause(const struct rc_moves *moves, uint64_t now_ms)
{
    const struct rc_give *give = &moves->give;
    return give->phase == RC_GIVE_IDLE && give->ordered && give->moved == 0 && now_ms - give->since_ms < 1000u;
}

/* Handlers: of io (a socket that carries a client; a message with one; a word), the uplink, the hub, the interests. */
void rc_moves_given(struct rc_moves *moves, uint32_t socket, int fd);
void rc_moves_placed(struct rc_moves *moves, const struct rc_io_place *place, uint32_t socket);
void rc_moves_word(struct rc_moves *moves, const struct rc_handover *from, const uint8_t *bytes);
void rc_moves_barrier(struct rc_moves *moves, const struct rc_envelope_view *view);
int rc_moves_stray(struct rc_moves *moves, const struct rc_envelope_view *view);
int rc_moves_tell_guests(struct rc_moves *moves);

/* --- between the files of the room --- */

/* Sends a word, with `count` bytes behind it. 0, -EAGAIN: again later; another error: the other one is not there. */
int rc_move_say(const struct rc_moves *moves, uint32_t peer, enum rc_move_word_kind kind, uint64_t token,
                const uint8_t *bytes, uint32_t count);
/* The relay is told, as soon as there is room, that the client is here, or not any more. */
void rc_move_tell(struct rc_moves *moves, const struct rc_client_ref *client, bool gone);
/* The same of one that is here, and of each of its sockets that has a name of its own. */
void rc_move_tell_here(struct rc_moves *moves, uint32_t client);
/* How the relay knows it and its sockets, into `refs` (unless it is NULL): how many. */
uint32_t rc_move_refs(const struct rc_moves *moves, uint32_t client, struct rc_client_ref *refs);
/* What the relay was not told for lack of room. */
void rc_move_tell_waiting(struct rc_moves *moves);
/* give.c */
void rc_give_heard(struct rc_moves *moves, const struct rc_handover *from, const struct rc_move_word *word);
void rc_give_barrier(struct rc_moves *moves, const struct rc_envelope_view *view);
bool rc_give_pass(struct rc_moves *moves);
void rc_give_rebuild(struct rc_moves *moves);
/* may.c: why the client cannot go now, NULL: it can; what its channels are, as a sum. */
const char *rc_move_hindrance(const struct rc_moves *moves, uint32_t client);
uint64_t rc_move_channels(const struct rc_moves *moves, uint32_t client);
/* What its protocol knows of it; NULL: nothing beside what all have. */
const struct rc_moving_ops *rc_move_protocol(const struct rc_moves *moves, uint8_t encoding, void **context);
/* take.c */
void rc_take_heard(struct rc_moves *moves, const struct rc_handover *from, const struct rc_move_word *word,
                   struct rc_span rest);
/* One that no socket carries. */
void rc_take_polling(struct rc_moves *moves, const struct rc_handover *from, struct rc_span bytes);
void rc_take_barrier(struct rc_moves *moves, const struct rc_envelope_view *view);
bool rc_take_pass(struct rc_moves *moves);
void rc_take_rebuild(struct rc_moves *moves);
/* What a killed predecessor has begun to take, and is in the inbox still, goes from here. */
void rc_take_back(struct rc_moves *moves);

#endif
