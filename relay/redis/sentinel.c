/*
 * sentinel: asks the sentinels which server is the master, and follows a failover.
 *
 *   ask one sentinel ─ address ─▶ node 0 (re)opens its connections there (ROLE must say master)
 *        ▲ every second; at once on +switch-master or when the master is lost; another sentinel when this one is lost
 *
 * The URL's user and password are the master's; sentinels have redis.sentinel_user and redis.sentinel_password. A sentinel
 * that still names the old master does no harm: that one answers ROLE with "slave", or not at all.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/link_state.h"

#define ASK_MS 1000u
#define ASK_SOON_MS 250u /* while there is no master */

void rc_redis_sentinel_follow(struct rc_redis_link *link, const redisReply *reply)
{
    struct rc_redis_address address;
    struct rc_redis_node *node = link->nodes[0];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING) {
        rc_log_limited(RC_LOG_WARN, 1, "redis_sentinel_no_master", "master=\"%s\" sentinel=\"%s:%u\"", link->url.master,
                       link->sentinel.conn.address.host, link->sentinel.conn.address.port);
        return;
    }
    const long port = strtol(reply->element[1]->str, NULL, 10);
    if (reply->element[0]->len == 0 || reply->element[0]->len >= sizeof(address.host) || port <= 0 || port > 65535) {
        return;
    }
    memset(&address, 0, sizeof(address));
    memcpy(address.host, reply->element[0]->str, reply->element[0]->len);
    address.port = (uint16_t)port;
    if (link->sentinel.found && strcmp(address.host, node->address.host) == 0 && address.port == node->address.port) {
        rc_redis_node_open(node, true); /* nothing happens to what is open */
        return;
    }
    rc_log_info("redis_master", "master=\"%s\" address=\"%s:%u\"", link->url.master, address.host, address.port);
    link->sentinel.found = true;
    rc_redis_node_close(node);
    node->address = address;
    rc_redis_node_open(node, true);
}

static void answered(void *context, const redisReply *reply)
{
    struct rc_redis_link *link = context;
    link->sentinel.asking = false;
    if (reply != NULL) {
        rc_redis_sentinel_follow(link, reply);
    }
}

static void ask_due(void *context, uint64_t now_ms)
{
    struct rc_redis_link *link = context;
    struct rc_redis_sentinel *sentinel = &link->sentinel;
    const struct rc_span argv[] = {RC_SPAN("SENTINEL"), RC_SPAN("GET-MASTER-ADDR-BY-NAME"),
                                   rc_span_text(link->url.master)};
    if (!sentinel->asking && rc_redis_conn_command(&sentinel->conn, answered, link, 3, argv) == 0) {
        sentinel->asking = true;
    }
    const bool settled = link->nodes[0]->command.state == RC_REDIS_CONN_READY;
    rc_timer_set(link->wire.timers, &sentinel->timer, now_ms + (settled ? ASK_MS : ASK_SOON_MS), ask_due, link);
}

void rc_redis_sentinel_ask(struct rc_redis_link *link)
{
    rc_timer_set(link->wire.timers, &link->sentinel.timer, rc_clock_ms(), ask_due, link);
}

static void sentinel_ready(void *context, struct rc_redis_conn *conn)
{
    static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$14\r\n+switch-master\r\n";
    struct rc_redis_link *link = context;
    link->sentinel.asking = false;
    if (conn->resp3) { /* with RESP2 a connection that subscribes can ask nothing more: then it is asked every second */
        (void)rc_redis_conn_send_quiet(conn, subscribe, sizeof(subscribe) - 1);
    }
    rc_redis_sentinel_ask(link);
}

/* Round the sentinels; the back-off is the connection's. */
static void sentinel_lost(void *context, struct rc_redis_conn *conn, const char *why)
{
    struct rc_redis_link *link = context;
    (void)why;
    link->sentinel.asking = false;
    link->sentinel.host = (link->sentinel.host + 1) % link->url.host_count;
    conn->address = link->url.hosts[link->sentinel.host];
}

static void sentinel_late(void *context, struct rc_redis_conn *conn, bool late)
{
    (void)context;
    if (late && conn->wire != NULL) {
        rc_redis_conn_fail(conn, "the sentinel does not answer");
    }
}

static void sentinel_push(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    (void)conn;
    if (reply->elements > 0 && rc_redis_reply_is(reply->element[0], "message")) {
        rc_redis_sentinel_ask(context);
    }
}

static const struct rc_redis_conn_ops sentinel_ops = {
    .ready = sentinel_ready, .lost = sentinel_lost, .late = sentinel_late, .push = sentinel_push};

void rc_redis_sentinel_open(struct rc_redis_link *link)
{
    struct rc_redis_conn *conn = &link->sentinel.conn;
    rc_redis_conn_init(conn, &link->wire, &sentinel_ops, link, "sentinel");
    conn->login = (struct rc_redis_login){.user = link->config.sentinel_user.text,
                                          .password = link->config.sentinel_password.text};
    rc_redis_conn_open(conn, &link->url.hosts[0], NULL);
    rc_redis_sentinel_ask(link);
}

void rc_redis_sentinel_close(struct rc_redis_link *link)
{
    rc_timer_cancel(link->wire.timers, &link->sentinel.timer);
    if (link->sentinel.conn.wire != NULL) {
        rc_redis_conn_free(&link->sentinel.conn);
    }
}
