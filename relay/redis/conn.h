/*
 * conn: one connection to one Redis server, kept up.
 *
 *   CLOSED ─open─▶ WAITING ─▶ RESOLVING ─▶ CONNECTING ─▶ GREETING ─▶ READY
 *                     ▲            └────────────┴────────────┴─────────┘ lost: back-off in 50 ms steps to 2 s, with jitter
 *
 * The adapter between hiredis and the relay's loop. It uses hiredis's contexts over a descriptor of ours (reader, writer, TLS)
 * and not its redisAsyncContext, for three reasons: that asserts on what the server sends, resolves names with a blocking call,
 * and knows no sharded subscriptions. What a redisAsyncContext adds is here: a queue of who waits for which reply.
 *
 * GREETING: HELLO 3 with AUTH and SETNAME (for servers before 6: AUTH, CLIENT SETNAME and RESP2), SELECT, ROLE where a master is
 * wanted and HELLO did not say, PING, so that READY means "answers". From then on its own ping goes out every RC_REDIS_PING_MS: a server
 * that takes longer than RC_REDIS_LATE_MS is `late` (told by ops.late, and taken back when it answers), one that is silent for
 * RC_REDIS_DEAD_MS is lost. Where a master is wanted its role is asked with every ping: a failover may leave connections open, and a
 * replica takes a PUBLISH without an error, for its own subscribers alone. One that is a replica by now is lost, with `demoted`.
 *
 * Replies are read when they come, also those to PUBLISH that nobody waits for. Letting these lie (SO_RCVLOWAT, read in later
 * turns) was measured: it spares a publishing relay its second wake-up for a message and 15 % of its CPU, but the brokers together
 * and the message's way 3 to 5 %, which is not worth a second mode. A timer that bounds the delay by 2 ms costs more than it saves:
 * it is the next event of its CPU at every sleep, and setting the clock for it is dearer than the wake-up.
 *
 * Owned by the link's nodes; one thread. Everything that comes from Redis is taken as data: what makes no sense as RESP ends the
 * connection, what makes no sense otherwise is the handlers' to count.
 */
#ifndef RC_RELAY_REDIS_CONN_H
#define RC_RELAY_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>
#include <openssl/ssl.h>

#include "common/config/redis_url.h"
#include "relay/redis/link.h"
#include "relay/redis/resolve.h"
#include "relay/redis/resp.h"

#define RC_REDIS_PING_MS 400u
#define RC_REDIS_LATE_MS 1000u
#define RC_REDIS_DEAD_MS 5000u
#define RC_REDIS_CONNECT_MS 2000u /* from the name to READY */
#define RC_REDIS_BACKOFF_STEP_MS 50u
#define RC_REDIS_BACKOFF_MAX_MS 2000u
#define RC_REDIS_OUTSTANDING_MAX 65536u    /* commands of one connection without a reply */
#define RC_REDIS_UNSENT_MAX (64u << 20)    /* bytes that the socket has not taken */
#define RC_REDIS_READ_BYTES_MAX (1u << 20) /* taken in one go, then it is others' turn */
#define RC_REDIS_ELEMENTS_MAX (1 << 24)    /* of one reply: hiredis makes room for as many as it is told will come */

/* What all connections of a link share. */
struct rc_redis_wire {
    struct rc_redis_host host;
    struct rc_timers *timers;   /* borrowed: the loop's */
    struct rc_metrics *metrics; /* borrowed */
    SSL_CTX *tls;               /* owner; NULL = plain */
    const char *tls_name;       /* borrowed; "" = the address's host */
    const char *client_name;    /* borrowed: CLIENT SETNAME */
    uint64_t random;            /* state of the jitter */
};

enum rc_redis_conn_state {
    RC_REDIS_CONN_CLOSED,
    RC_REDIS_CONN_WAITING,
    RC_REDIS_CONN_RESOLVING,
    RC_REDIS_CONN_CONNECTING,
    RC_REDIS_CONN_GREETING,
    RC_REDIS_CONN_READY,
};

struct rc_redis_conn;

struct rc_redis_conn_ops {
    void (*ready)(void *context, struct rc_redis_conn *conn);
    /* It was not closed by its owner; it will try again by itself, or the owner closes it or opens it elsewhere. */
    void (*lost)(void *context, struct rc_redis_conn *conn, const char *why);
    void (*late)(void *context, struct rc_redis_conn *conn, bool late);
    /* A message or confirmation of pub/sub, RESP3 push or (a subscriber's) RESP2 array. Elements are of any type and number.
     * NULL: ignored. */
    void (*push)(void *context, struct rc_redis_conn *conn, const redisReply *reply);
    /* Of a subscriber: an error, of SUBSCRIBE and its kind or (BUSY …) of a ping. */
    void (*error)(void *context, struct rc_redis_conn *conn, const redisReply *reply);
    /* The server said once more that it is the master: what it answered so far, it answered as one. NULL: ignored. */
    void (*confirmed)(void *context, struct rc_redis_conn *conn);
};

/* Who logs in, as what, and what the server must be. */
struct rc_redis_login {
    const char *user;     /* borrowed; "" = default */
    const char *password; /* borrowed; "" = none */
    uint32_t database;
    bool master; /* must be a master, as far as it can be known: not every user may ask, not every proxy answers */
    bool strict; /* must say that it is one (behind Sentinel) */
};

/*
 * Does the server bear HELLO? One that answers it with an error is told the rest in RESP2 at once. One that closes the connection on it
 * may also be one that goes down: it is asked without, and when that works once more with HELLO, which proves it.
 *
 *   HELLO ─closed─▶ CLOSED (without) ─greeted─▶ AGAIN (with) ─closed─▶ NEVER
 *     ▲──────────────────┴─ lost ───────────────────┴─ answered
 */
enum rc_redis_hello { RC_REDIS_HELLO_FIRST, RC_REDIS_HELLO_CLOSED, RC_REDIS_HELLO_AGAIN, RC_REDIS_HELLO_NEVER };

/* How a server is asked for its role. */
enum rc_redis_role_by {
    RC_REDIS_ROLE_UNKNOWN, /* it does not say */
    RC_REDIS_ROLE_BY_HELLO,
    RC_REDIS_ROLE_BY_ROLE,
};

struct rc_redis_waiting {
    rc_redis_replied *replied; /* NULL: nobody wants to know */
    void *context;
    uint64_t sent_ns;
};

struct rc_redis_conn {
    struct rc_redis_wire *wire; /* borrowed */
    const struct rc_redis_conn_ops *ops;
    void *context; /* borrowed: of ops */
    struct rc_redis_login login;
    const char *role; /* static, for the log: "commands", "subscriptions", "sentinel" */
    struct rc_redis_address address;
    char path[RC_REDIS_PATH_MAX]; /* of a Unix socket, "" = none */
    enum rc_redis_conn_state state;
    bool subscriber; /* RESP2: arrays are pushes */
    bool late;
    bool resp3;
    bool unread;  /* true exactly when it stopped reading at its bound */
    bool reading; /* true exactly while replies are handled: the context must not be freed under hiredis */
    bool ping_sent;
    bool demoted;       /* why it was lost: the server is no master any more. Until the next connection */
    uint8_t role_by;    /* enum rc_redis_role_by */
    uint8_t hello;      /* enum rc_redis_hello, of the server at this address */
    uint8_t greeting;   /* step */
    char database[12];  /* argument of SELECT */
    uint32_t epoch;     /* counts connections: handlers that close or reopen are noticed by it */
    uint32_t failures;  /* in a row */
    uint32_t connected; /* times READY */
    int fd;             /* owner until `redis` has it */
    int handle;         /* of the watch, -1 = none */
    struct rc_resolve *resolve;
    struct rc_resolved addresses;
    uint32_t address_next;
    redisContext *redis;   /* owner */
    redisContext *dying;   /* owner: freed when `reading` ends */
    struct rc_timer timer; /* back-off, or the deadline of connecting */
    struct rc_timer ping_timer;
    uint64_t ping_ms;
    uint64_t heard_ms;
    uint64_t ready_ms;
    struct rc_redis_waiting *waiting; /* owner: ring of waiting_max */
    uint32_t waiting_max;
    uint32_t waiting_first;
    uint32_t waiting_count;
    char refusal[160]; /* what HELLO was answered with, when that was an error */
    char error[160];   /* of the last loss */
    char logged[160];  /* the last one that was logged: a story is told once */
};

/* `conn` must not move afterwards. */
void rc_redis_conn_init(struct rc_redis_conn *conn, struct rc_redis_wire *wire, const struct rc_redis_conn_ops *ops,
                        void *context, const char *role);
/* Connects at once and keeps it up. On an open one: gives up what it has and starts over. */
void rc_redis_conn_open(struct rc_redis_conn *conn, const struct rc_redis_address *address, const char *path);
/* Ends it; who waits for a reply gets NULL. Also inside of handlers. ops.lost is not called. */
void rc_redis_conn_close(struct rc_redis_conn *conn);
/* The same, and frees what it owns. Not inside of handlers. */
void rc_redis_conn_free(struct rc_redis_conn *conn);
/* Gives the connection up as lost, with ops.lost and back-off. */
void rc_redis_conn_fail(struct rc_redis_conn *conn, const char *why);

static inline bool rc_redis_conn_up(const struct rc_redis_conn *conn)
{
    return conn->state == RC_REDIS_CONN_READY && !conn->late;
}

/* Appends one command in RESP (rc_redis_format). READY only (others: -ENOTCONN). -ENOBUFS at the bounds, -ENOMEM. */
int rc_redis_conn_send(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, const void *command,
                       size_t bytes);
/* The same for commands that are answered by pushes: nobody waits for a reply. */
int rc_redis_conn_send_quiet(struct rc_redis_conn *conn, const void *command, size_t bytes);
/* Formats and sends. */
int rc_redis_conn_command(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, uint32_t argc,
                          const struct rc_span *argv);

/* Sends what was appended, reads on where reading stopped. Once a turn. */
void rc_redis_conn_flush(struct rc_redis_conn *conn);
bool rc_redis_conn_pending(const struct rc_redis_conn *conn);

#endif
