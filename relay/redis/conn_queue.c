/* conn_queue: see conn_queue.h. */
#include "relay/redis/conn_queue.h"

#include <errno.h>
#include <stdlib.h>

#include <hiredis/sds.h>

#include "common/base/clock.h"
#include "relay/redis/resp.h"

#define WAITING_FIRST 64u

static int queue_push(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context)
{
    if (conn->waiting_count == conn->waiting_max) {
        const uint32_t max = conn->waiting_max == 0 ? WAITING_FIRST : conn->waiting_max * 2;
        struct rc_redis_waiting *grown = calloc(max, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        for (uint32_t i = 0; i < conn->waiting_count; i++) {
            grown[i] = conn->waiting[(conn->waiting_first + i) & (conn->waiting_max - 1)];
        }
        free(conn->waiting);
        conn->waiting = grown;
        conn->waiting_max = max;
        conn->waiting_first = 0;
    }
    conn->waiting[(conn->waiting_first + conn->waiting_count++) & (conn->waiting_max - 1)] =
        (struct rc_redis_waiting){.replied = replied, .context = context, .sent_ns = rc_clock_ns()};
    return 0;
}

size_t rc_redis_queue_unsent(const struct rc_redis_conn *conn)
{
    return conn->redis != NULL ? sdslen(conn->redis->obuf) : 0;
}

static int queue_append(struct rc_redis_conn *conn, const void *command, size_t bytes)
{
    if (rc_redis_queue_unsent(conn) + bytes > RC_REDIS_UNSENT_MAX + bytes / 2 && rc_redis_queue_unsent(conn) > 0) {
        rc_metric_add(conn->wire->metrics, RC_METRIC_REDIS_REFUSED, 1);
        return -ENOBUFS;
    }
    if (redisAppendFormattedCommand(conn->redis, command, bytes) != REDIS_OK) {
        return -ENOMEM;
    }
    return 0;
}

static int queue_send(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, const void *command,
                      size_t bytes)
{
    if (conn->waiting_count >= RC_REDIS_OUTSTANDING_MAX) {
        rc_metric_add(conn->wire->metrics, RC_METRIC_REDIS_REFUSED, 1);
        return -ENOBUFS;
    }
    int rc = queue_push(conn, replied, context);
    if (rc == 0) {
        rc = queue_append(conn, command, bytes);
        if (rc != 0) {
            conn->waiting_count--;
        }
    }
    return rc;
}

int rc_redis_conn_send(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, const void *command,
                       size_t bytes)
{
    return conn->state == RC_REDIS_CONN_READY ? queue_send(conn, replied, context, command, bytes) : -ENOTCONN;
}

int rc_redis_conn_send_quiet(struct rc_redis_conn *conn, const void *command, size_t bytes)
{
    return conn->state == RC_REDIS_CONN_READY ? queue_append(conn, command, bytes) : -ENOTCONN;
}

int rc_redis_queue_command(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, uint32_t argc,
                           const struct rc_span *argv)
{
    char small[1024];
    const size_t bytes = rc_redis_format_bytes(argc, argv);
    char *text = bytes <= sizeof(small) ? small : malloc(bytes);
    if (text == NULL) {
        return -ENOMEM;
    }
    rc_redis_format(text, argc, argv);
    const int rc = queue_send(conn, replied, context, text, bytes);
    if (text != small) {
        free(text);
    }
    return rc;
}

int rc_redis_conn_command(struct rc_redis_conn *conn, rc_redis_replied *replied, void *context, uint32_t argc,
                          const struct rc_span *argv)
{
    return conn->state == RC_REDIS_CONN_READY ? rc_redis_queue_command(conn, replied, context, argc, argv) : -ENOTCONN;
}

struct rc_redis_waiting rc_redis_queue_take(struct rc_redis_conn *conn)
{
    const struct rc_redis_waiting one = conn->waiting[conn->waiting_first];
    conn->waiting_first = (conn->waiting_first + 1) & (conn->waiting_max - 1);
    conn->waiting_count--;
    return one;
}
