/* sentinel: see sentinel.h. */
#include "relay/redis/topology/sentinel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/node.h"
#include "relay/redis/topology/single.h"
#include "relay/timer.h"

#define ASK_MS 1000u
#define ASK_SOON_MS 250u /* while there is no master */

struct rc_redis_sentinel {
    struct rc_redis_conn conn;
    uint32_t host; /* index of the one that is asked */
    bool asking;   /* true exactly while a question is out */
    bool found;    /* the master's address is known */
    struct rc_timer timer;
};

static struct rc_redis_sentinel *sentinel_of(const struct rc_redis_link *link)
{
    return link->topology_state;
}

void rc_redis_sentinel_follow(struct rc_redis_link *link, const redisReply *reply)
{
    struct rc_redis_address address;
    struct rc_redis_node *node = link->nodes[0];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING) {
        rc_log_limited(RC_LOG_WARN, 1, "redis_sentinel_no_master", "master=\"%s\" sentinel=\"%s:%u\"", link->url.master,
                       sentinel_of(link)->conn.address.host, sentinel_of(link)->conn.address.port);
        return;
    }
    const long port = strtol(reply->element[1]->str, NULL, 10);
    if (reply->element[0]->len == 0 || reply->element[0]->len >= sizeof(address.host) || port <= 0 || port > 65535) {
        return;
    }
    memset(&address, 0, sizeof(address));
    memcpy(address.host, reply->element[0]->str, reply->element[0]->len);
    address.port = (uint16_t)port;
    if (sentinel_of(link)->found && strcmp(address.host, node->address.host) == 0 &&
        address.port == node->address.port) {
        rc_redis_node_open(node, true); /* nothing happens to what is open */
        return;
    }
    rc_log_info("redis_master", "master=\"%s\" address!=\"%s:%u\"", link->url.master, address.host, address.port);
    sentinel_of(link)->found = true;
    rc_redis_node_close(node);
    node->address = address;
    rc_redis_node_open(node, true);
}

static void sentinel_answered(void *context, const redisReply *reply)
{
    struct rc_redis_link *link = context;
    sentinel_of(link)->asking = false;
    if (reply != NULL) {
        rc_redis_sentinel_follow(link, reply);
    }
}

static void sentinel_ask_due(void *context, uint64_t now_ms)
{
    struct rc_redis_link *link = context;
    struct rc_redis_sentinel *sentinel = sentinel_of(link);
    const struct rc_span argv[] = {RC_SPAN("SENTINEL"), RC_SPAN("GET-MASTER-ADDR-BY-NAME"),
                                   rc_span_text(link->url.master)};
    if (!sentinel->asking && rc_redis_conn_command(&sentinel->conn, sentinel_answered, link, 3, argv) == 0) {
        sentinel->asking = true;
    }
    const bool settled = link->nodes[0]->command.state == RC_REDIS_CONN_READY;
    rc_timer_set(link->wire.timers, &sentinel->timer, now_ms + (settled ? ASK_MS : ASK_SOON_MS), sentinel_ask_due,
                 link);
}

static void sentinel_ask(struct rc_redis_link *link)
{
    rc_timer_set(link->wire.timers, &sentinel_of(link)->timer, rc_clock_ms(), sentinel_ask_due, link);
}

static void sentinel_ready(void *context, struct rc_redis_conn *conn)
{
    static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$14\r\n+switch-master\r\n";
    struct rc_redis_link *link = context;
    sentinel_of(link)->asking = false;
    if (conn->resp3) { /* with RESP2 a connection that subscribes can ask nothing more: then it is asked every second */
        (void)rc_redis_conn_send_quiet(conn, subscribe, sizeof(subscribe) - 1);
    }
    sentinel_ask(link);
}

/* Round the sentinels; the back-off is the connection's. */
static void sentinel_lost(void *context, struct rc_redis_conn *conn, const char *why)
{
    struct rc_redis_link *link = context;
    (void)why;
    sentinel_of(link)->asking = false;
    sentinel_of(link)->host = (sentinel_of(link)->host + 1) % link->url.host_count;
    conn->address = link->url.hosts[sentinel_of(link)->host];
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
        sentinel_ask(context);
    }
}

static const struct rc_redis_conn_ops sentinel_conn_ops = {
    .ready = sentinel_ready, .lost = sentinel_lost, .late = sentinel_late, .push = sentinel_push};

static int sentinel_open(struct rc_redis_link *link)
{
    struct rc_redis_sentinel *sentinel = calloc(1, sizeof(*sentinel));
    if (sentinel == NULL) {
        return -ENOMEM;
    }
    link->topology_state = sentinel;
    struct rc_redis_conn *conn = &sentinel->conn;
    rc_redis_conn_init(conn, &link->wire, &sentinel_conn_ops, link, "sentinel");
    if (rc_redis_single_add(link) == NULL) {
        return -ENOMEM;
    }
    conn->login = (struct rc_redis_login){.user = link->config.sentinel_user.text,
                                          .password = link->config.sentinel_password.text};
    rc_redis_conn_open(conn, &link->url.hosts[0], NULL);
    sentinel_ask(link);
    return 0;
}

static void sentinel_close(struct rc_redis_link *link)
{
    struct rc_redis_sentinel *sentinel = sentinel_of(link);
    if (sentinel != NULL) {
        rc_timer_cancel(link->wire.timers, &sentinel->timer);
        rc_redis_conn_free(&sentinel->conn);
        free(sentinel);
        link->topology_state = NULL;
    }
}

static void sentinel_node_lost(struct rc_redis_link *link, struct rc_redis_node *node)
{
    (void)node;
    sentinel_ask(link);
}

static void sentinel_flush(struct rc_redis_link *link)
{
    rc_redis_conn_flush(&sentinel_of(link)->conn);
}

const struct rc_redis_topology rc_redis_topology_sentinel = {.one_master = true,
                                                             .strict = true,
                                                             .open = sentinel_open,
                                                             .close = sentinel_close,
                                                             .lost = sentinel_node_lost,
                                                             .flush = sentinel_flush};
