/*
 * conn_state: what a connection is made of, for conn and what it says first (greeting).
 *
 * Everybody else includes conn.h.
 */
#ifndef RC_RELAY_REDIS_CONN_STATE_H
#define RC_RELAY_REDIS_CONN_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/config/redis_url.h"
#include "common/base/resolve.h"
#include "relay/redis/wire.h"
#include "relay/timer.h"

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

#endif
