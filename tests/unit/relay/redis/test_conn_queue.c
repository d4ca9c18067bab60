/* Commands of a connection and who waits for their replies. The connection is a context without a socket: what would be sent is read from
 * its output buffer. */
#include "relay/redis/conn_queue.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/sds.h>

static struct rc_metrics metrics;
static struct rc_redis_wire wire = {.metrics = &metrics};
static struct rc_redis_conn conn;
static const struct rc_span ping[] = {RC_SPAN("PING")};

static void open_conn(void)
{
    const redisOptions options = {.type = REDIS_CONN_USERFD, .options = REDIS_OPT_NONBLOCK, .endpoint = {.fd = -1}};
    conn = (struct rc_redis_conn){.wire = &wire, .fd = -1, .handle = -1, .state = RC_REDIS_CONN_READY};
    conn.redis = redisConnectWithOptions(&options);
    cr_assert_not_null(conn.redis);
}

static void close_conn(void)
{
    redisFree(conn.redis);
    free(conn.waiting);
}

TestSuite(conn_queue, .init = open_conn, .fini = close_conn);

static void replied(void *context, const redisReply *reply)
{
    (void)context;
    (void)reply;
}

static char numbers[1000];

static void expect_next(int number)
{
    const struct rc_redis_waiting one = rc_redis_queue_take(&conn);
    cr_assert_eq(one.context, &numbers[number]);
    cr_assert_eq(one.replied, replied);
}

/* The ring of those who wait grows while its first one is somewhere in the middle. */
Test(conn_queue, replies_are_for_who_asked_first)
{
    int asked = 0;
    int taken = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 90; i++) {
            cr_assert_eq(rc_redis_conn_command(&conn, replied, &numbers[asked++], 1, ping), 0);
        }
        for (int i = 0; i < 50; i++) {
            expect_next(taken++);
        }
    }
    while (conn.waiting_count > 0) {
        expect_next(taken++);
    }
    cr_assert_eq(taken, asked);
    cr_assert_eq(rc_redis_queue_unsent(&conn), (size_t)asked * strlen("*1\r\n$4\r\nPING\r\n"));
}

Test(conn_queue, what_is_quiet_is_sent_and_waited_for_by_nobody)
{
    cr_assert_eq(rc_redis_conn_send_quiet(&conn, "abc", 3), 0);
    cr_assert_eq(conn.waiting_count, 0);
    cr_assert_str_eq(conn.redis->obuf, "abc");
}

Test(conn_queue, only_the_greeting_goes_out_before_it_is_ready)
{
    conn.state = RC_REDIS_CONN_GREETING;
    cr_assert_eq(rc_redis_conn_command(&conn, replied, NULL, 1, ping), -ENOTCONN);
    cr_assert_eq(rc_redis_conn_send(&conn, replied, NULL, "abc", 3), -ENOTCONN);
    cr_assert_eq(rc_redis_conn_send_quiet(&conn, "abc", 3), -ENOTCONN);
    cr_assert_eq(rc_redis_queue_command(&conn, replied, NULL, 1, ping), 0);
    cr_assert_eq(conn.waiting_count, 1);
}

Test(conn_queue, too_many_and_too_much_is_refused_and_counted)
{
    for (uint32_t i = 0; i < RC_REDIS_OUTSTANDING_MAX; i++) {
        cr_assert_eq(rc_redis_conn_send(&conn, replied, NULL, "a", 1), 0);
    }
    cr_assert_eq(rc_redis_conn_send(&conn, replied, NULL, "a", 1), -ENOBUFS);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_REFUSED), 1);
    (void)rc_redis_queue_take(&conn);
    conn.redis->obuf = sdsgrowzero(conn.redis->obuf, RC_REDIS_UNSENT_MAX);
    cr_assert_not_null(conn.redis->obuf);
    cr_assert_eq(rc_redis_conn_send(&conn, replied, NULL, "abc", 3), -ENOBUFS);
    cr_assert_eq(conn.waiting_count, RC_REDIS_OUTSTANDING_MAX - 1, "nobody waits for what is not sent");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_REFUSED), 2);
}
