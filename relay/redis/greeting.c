/* greeting: see greeting.h. */
#include "relay/redis/greeting.h"

#include <stdio.h>
#include <string.h>

#include "relay/redis/error_reply.h"
#include "relay/redis/resp.h"

/* HELLO ─ok─▶ SELECT ─▶ ROLE ─▶ PING ─▶ done;  HELLO ─unknown─▶ AUTH ─▶ SETNAME ─▶ SELECT …; steps that nothing asks for are skipped. */
enum step { STEP_HELLO, STEP_AUTH, STEP_SETNAME, STEP_SELECT, STEP_ROLE, STEP_PING, STEP_DONE };

static uint32_t greeting_hello(struct rc_redis_conn *conn, struct rc_span *argv)
{
    uint32_t argc = 0;
    argv[argc++] = RC_SPAN("HELLO");
    argv[argc++] = RC_SPAN("3");
    if (conn->login.password[0] != '\0') {
        argv[argc++] = RC_SPAN("AUTH");
        argv[argc++] = rc_span_text(conn->login.user[0] != '\0' ? conn->login.user : "default");
        argv[argc++] = rc_span_text(conn->login.password);
    }
    argv[argc++] = RC_SPAN("SETNAME");
    argv[argc++] = rc_span_text(conn->wire->client_name);
    return argc;
}

static uint32_t greeting_auth(struct rc_redis_conn *conn, struct rc_span *argv)
{
    uint32_t argc = 0;
    argv[argc++] = RC_SPAN("AUTH");
    if (conn->login.user[0] != '\0') {
        argv[argc++] = rc_span_text(conn->login.user);
    }
    argv[argc++] = rc_span_text(conn->login.password);
    return argc;
}

void rc_redis_greeting_begin(struct rc_redis_conn *conn)
{
    const bool without = conn->hello == RC_REDIS_HELLO_CLOSED || conn->hello == RC_REDIS_HELLO_NEVER;
    conn->greeting = without ? STEP_AUTH : STEP_HELLO;
    conn->refusal[0] = '\0';
}

bool rc_redis_greeting_proves(struct rc_redis_conn *conn)
{
    if (conn->hello != RC_REDIS_HELLO_CLOSED) {
        return true;
    }
    conn->hello = RC_REDIS_HELLO_AGAIN;
    return false;
}

const char *rc_redis_greeting_cut(struct rc_redis_conn *conn, const char *why)
{
    if (conn->state != RC_REDIS_CONN_GREETING) {
        return why;
    }
    if (conn->greeting == STEP_HELLO) {
        conn->hello = conn->hello == RC_REDIS_HELLO_AGAIN ? RC_REDIS_HELLO_NEVER : RC_REDIS_HELLO_CLOSED;
    } else if (conn->hello == RC_REDIS_HELLO_CLOSED) {
        conn->hello = RC_REDIS_HELLO_FIRST; /* it is not HELLO that it minds */
    }
    return conn->refusal[0] != '\0' ? conn->refusal
                                    : why; /* "max number of clients", "protected mode": said, then closed */
}

uint32_t rc_redis_greeting_next(struct rc_redis_conn *conn, struct rc_span argv[RC_REDIS_GREETING_ARGS_MAX])
{
    if (conn->greeting == STEP_AUTH && conn->login.password[0] == '\0') {
        conn->greeting++;
    }
    if (conn->greeting == STEP_SELECT && conn->login.database == 0) {
        conn->greeting++;
    }
    if (conn->greeting == STEP_ROLE && (!conn->login.master || conn->role_by != RC_REDIS_ROLE_UNKNOWN)) {
        conn->greeting++;
    }
    switch ((enum step)conn->greeting) {
    case STEP_HELLO:
        return greeting_hello(conn, argv);
    case STEP_AUTH:
        return greeting_auth(conn, argv);
    case STEP_SETNAME:
        argv[0] = RC_SPAN("CLIENT");
        argv[1] = RC_SPAN("SETNAME");
        argv[2] = rc_span_text(conn->wire->client_name);
        return 3;
    case STEP_SELECT:
        (void)snprintf(conn->database, sizeof(conn->database), "%u", conn->login.database);
        argv[0] = RC_SPAN("SELECT");
        argv[1] = rc_span_text(conn->database);
        return 2;
    case STEP_ROLE:
        argv[0] = RC_SPAN("ROLE");
        return 1;
    case STEP_PING:
        argv[0] = RC_SPAN("PING");
        return 1;
    case STEP_DONE:
        break;
    }
    return 0;
}

static bool greeting_refused(char *why, size_t why_bytes, const char *command, const redisReply *reply)
{
    (void)snprintf(why, why_bytes, "%s: %.120s", command, reply->type == REDIS_REPLY_ERROR ? reply->str : "odd answer");
    return false;
}

static enum rc_redis_role role_of(const redisReply *name)
{
    return rc_redis_reply_is(name, "master")                                        ? RC_REDIS_ROLE_MASTER
           : rc_redis_reply_is(name, "slave") || rc_redis_reply_is(name, "replica") ? RC_REDIS_ROLE_REPLICA
                                                                                    : RC_REDIS_ROLE_NONE;
}

/* ROLE: an array that begins with it. HELLO: pairs, one of them "role". */
enum rc_redis_role rc_redis_greeting_role(const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0) {
        return role_of(reply->element[0]);
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_MAP && i + 1 < reply->elements; i += 2) {
        if (rc_redis_reply_is(reply->element[i], "role")) {
            return role_of(reply->element[i + 1]);
        }
    }
    return RC_REDIS_ROLE_NONE;
}

/* False: this server is not what is wanted. */
static bool check_role(struct rc_redis_conn *conn, const redisReply *reply, enum rc_redis_role_by by, char *why,
                       size_t why_bytes)
{
    const enum rc_redis_role role = rc_redis_greeting_role(reply);
    if (!conn->login.master) {
        return true;
    }
    if (role == RC_REDIS_ROLE_REPLICA ||
        (role == RC_REDIS_ROLE_NONE && by == RC_REDIS_ROLE_BY_ROLE && conn->login.strict)) {
        (void)snprintf(why, why_bytes, "this server is not the master");
        return false;
    }
    if (role == RC_REDIS_ROLE_MASTER) {
        conn->role_by = (uint8_t)by;
    }
    return true;
}

/* Before Redis 6 there is no HELLO, a proxy may know only RESP2, a user may not have the right: whatever the error's words, the rest is
 * said in RESP2, unless it is no matter of HELLO. */
static bool hello_replied(struct rc_redis_conn *conn, const redisReply *reply, char *why, size_t why_bytes)
{
    const enum rc_redis_error error = rc_redis_error_of(reply);
    conn->hello = RC_REDIS_HELLO_FIRST;
    if (error == RC_REDIS_ERROR_NONE) {
        conn->resp3 = true;
        conn->greeting = STEP_SELECT;
        return check_role(conn, reply, RC_REDIS_ROLE_BY_HELLO, why, why_bytes);
    }
    if (error == RC_REDIS_ERROR_FINAL ||
        error == RC_REDIS_ERROR_LOGIN) { /* also of a proxy that knows no command but AUTH before it */
        (void)snprintf(conn->refusal, sizeof(conn->refusal), "HELLO: %.120s", reply->str);
        conn->greeting = STEP_AUTH;
        return true;
    }
    return greeting_refused(why, why_bytes, "HELLO", reply);
}

bool rc_redis_greeting_replied(struct rc_redis_conn *conn, const redisReply *reply, char *why, size_t why_bytes)
{
    const bool error = reply->type == REDIS_REPLY_ERROR;
    switch ((enum step)conn->greeting) {
    case STEP_HELLO:
        return hello_replied(conn, reply, why, why_bytes);
    case STEP_AUTH:
        if (error) {
            return greeting_refused(why, why_bytes, "AUTH", reply);
        }
        break;
    case STEP_SETNAME:
        break; /* only for people's eyes: an error does no harm */
    case STEP_SELECT:
        if (error) {
            return greeting_refused(why, why_bytes, "SELECT", reply);
        }
        break;
    case STEP_ROLE:
        if (rc_redis_error_passes(rc_redis_error_of(reply))) {
            return greeting_refused(why, why_bytes, "ROLE", reply);
        }
        if (!check_role(conn, reply, RC_REDIS_ROLE_BY_ROLE, why, why_bytes)) {
            return false;
        }
        break;
    case STEP_PING:
        /* A server that cannot save says so to PING (and to whoever writes), and carries messages all the same. */
        if (error && rc_redis_error_of(reply) != RC_REDIS_ERROR_UNSAVED) {
            return greeting_refused(why, why_bytes, "PING", reply);
        }
        break;
    case STEP_DONE:
        break;
    }
    conn->greeting++;
    return true;
}
