/*
 * greeting: what is said on a new connection before it is used, step by step (conn.h has the list).
 *
 * Used by conn alone; keeps its step in conn->greeting.
 */
#ifndef RC_RELAY_REDIS_GREETING_H
#define RC_RELAY_REDIS_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "relay/redis/conn_state.h"

#define RC_REDIS_GREETING_ARGS_MAX 8u

/* Before the first one. */
void rc_redis_greeting_begin(struct rc_redis_conn *conn);

/* The next command: its arguments (they live until the next call), or 0 when all is said. */
uint32_t rc_redis_greeting_next(struct rc_redis_conn *conn, struct rc_span argv[RC_REDIS_GREETING_ARGS_MAX]);

/* The answer to it. False: the connection is of no use, `why` says the reason. */
bool rc_redis_greeting_replied(struct rc_redis_conn *conn, const redisReply *reply, char *why, size_t why_bytes);

/* All is said. False: only to find out whether HELLO is what ends connections here; the next attempt tells. */
bool rc_redis_greeting_proves(struct rc_redis_conn *conn);

/* The connection ended, perhaps in the middle of the greeting: the reason for people, `why` when there is no better one. */
const char *rc_redis_greeting_cut(struct rc_redis_conn *conn, const char *why);

enum rc_redis_role { RC_REDIS_ROLE_NONE, RC_REDIS_ROLE_MASTER, RC_REDIS_ROLE_REPLICA };

/* What the answer to HELLO (RESP3) or ROLE says; NONE: nothing, or something else (a sentinel). */
enum rc_redis_role rc_redis_greeting_role(const redisReply *reply);

#endif
