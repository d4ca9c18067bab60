/*
 * conn_queue: commands of a connection that are to be sent, and who waits for which reply to them: replies come in the order of the commands.
 * Nothing here touches the socket: rc_redis_conn_flush does.
 *
 * Owned as conn.h says, which everybody else includes.
 */
#ifndef RC_RELAY_REDIS_CONN_QUEUE_H
#define RC_RELAY_REDIS_CONN_QUEUE_H

#include "common/base/span.h"
#include "relay/redis/conn_state.h"

#define RC_REDIS_OUTSTANDING_MAX 65536u /* commands of one connection without a reply */
#define RC_REDIS_UNSENT_MAX (64u << 20) /* bytes that the socket has not taken */

/* Appends one command in RESP (rc_redis_format). READY only (others: -ENOTCONN). -ENOBUFS at the bounds, -ENOMEM. */
int rc_redis_conn_send(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, const void *command,
                       size_t bytes);
/* The same for commands that are answered by pushes: nobody waits for a reply. */
int rc_redis_conn_send_quiet(struct rc_redis_conn *conn, const void *command, size_t bytes);
/* Formats and sends. */
int rc_redis_conn_command(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, uint32_t argc,
                          const struct rc_span *argv);

/* The same in any state in which there is a context: for the greeting and pings. */
int rc_redis_queue_command(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, uint32_t argc,
                           const struct rc_span *argv);
/* Who waits for the reply that has come. Somebody does (waiting_count). */
struct rc_redis_waiting rc_redis_queue_take(struct rc_redis_conn *conn);
/* Bytes that the socket has not taken. */
size_t rc_redis_queue_unsent(const struct rc_redis_conn *conn);

#endif
