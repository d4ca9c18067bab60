/* node: see node.h. */
#include "relay/redis/node.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/metrics/redis_health.h"
#include "relay/redis/error_reply.h"
#include "relay/redis/pubsub_fixed.h"
#include "relay/redis/script.h"
#include "relay/redis/stream.h"
#include "relay/redis/topology/topology.h"

#define HOME_MS 300u
#define GRACE_MS 100u
#define GRACE_FROM_MS 25u         /* a shorter loss was nobody else's */
#define GRACE_FIRST_FROM_MS 1000u /* before the first connection there was nothing to lose */

/* --- state ----------------------------------------------------------------------------------------------------------- */

/* Every connection that messages come over. */
static bool hears_all(const struct rc_redis_link *link)
{
    const struct rc_redis_node *home = rc_redis_link_home(link);
    if (home == NULL || link->refused || !rc_redis_conn_up(&home->subscriber) ||
        (link->stream != NULL && !rc_redis_conn_up(&link->stream->conn))) {
        return false;
    }
    for (uint16_t i = 0; link->by_shard && i < link->node_count; i++) {
        if (link->nodes[i] != NULL && link->nodes[i]->known && !rc_redis_conn_up(&link->nodes[i]->subscriber)) {
            return false;
        }
    }
    return true;
}

static enum rc_redis_state health_of(const struct rc_redis_link *link)
{
    return (enum rc_redis_state)atomic_load_explicit(&link->health->state, memory_order_relaxed);
}

/* Something went wrong: while all is well, that is the reason why it is not any more, and stays it; what follows comes of it. */
static void node_note(struct rc_redis_link *link, const char *why)
{
    if (health_of(link) == RC_REDIS_CONNECTED || link->error[0] == '\0') {
        (void)snprintf(link->error, sizeof(link->error), "%s", why);
        link->latest[0] = '\0';
    } else {
        (void)snprintf(link->latest, sizeof(link->latest), "%s", why);
    }
}

static void set_health(struct rc_redis_link *link)
{
    const enum rc_redis_state before = health_of(link);
    const bool good = rc_redis_link_up(link) && hears_all(link);
    if (!good && before == RC_REDIS_CONNECTED && link->error[0] == '\0') {
        node_note(
            link,
            "on the way to another server"); /* nothing went wrong: the connections were given up for better ones */
    }
    const enum rc_redis_state state = good                                                      ? RC_REDIS_CONNECTED
                                      : before == RC_REDIS_CONNECTING && link->error[0] == '\0' ? RC_REDIS_CONNECTING
                                                                                                : RC_REDIS_AWAY;
    rc_redis_health_set(link->health, state, state == RC_REDIS_AWAY ? link->error : NULL,
                        state == RC_REDIS_AWAY ? link->latest : NULL);
    rc_metric_set(link->wire.metrics, RC_METRIC_REDIS_CONNECTED, good);
    if (good) {
        link->error[0] = link->latest[0] = '\0';
    }
    if (state == before) {
        return;
    }
    if (good) {
        rc_log_info("redis_up", "outbox=%u subscriptions=%u", link->outbox.count, link->pubsub.entry_count);
    } else if (before == RC_REDIS_CONNECTED) {
        rc_log_warn("redis_away", "reason=\"%s\" mode=local-only", link->error);
    } else {
        rc_log_warn("redis_unreachable", "reason=\"%s\" mode=local-only", link->error);
    }
}

static uint64_t square_root(uint64_t value)
{
    uint64_t root = 0;
    while ((root + 1) * (root + 1) <= value) {
        root++;
    }
    return root;
}

/*
 * Redis is back, and the other instances come back too, each after its own back-off: what is published before they have
 * subscribed again is lost to them. Back-off grows by 50 ms a try, so after an outage of D ms it has come to about √(100 D).
 */
static void wait_for_others(struct rc_redis_link *link)
{
    const uint64_t now_ms = rc_clock_ms();
    const uint64_t away_ms = now_ms - link->lost_ms;
    if (away_ms < GRACE_FROM_MS || (!link->was_up && away_ms < GRACE_FIRST_FROM_MS)) {
        return;
    }
    const uint64_t backoff_ms = square_root(100 * (away_ms < 60000 ? away_ms : 60000));
    const uint64_t grace_ms = GRACE_MS + (backoff_ms < RC_REDIS_BACKOFF_MAX_MS ? backoff_ms : RC_REDIS_BACKOFF_MAX_MS);
    link->outbox.hold_until_ms = now_ms + grace_ms;
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            link->nodes[i]->outbox.hold_until_ms = now_ms + grace_ms;
        }
    }
}

/* After anything that may have changed it. */
static void node_look(struct rc_redis_link *link)
{
    const bool up = rc_redis_link_up(link);
    set_health(link);
    if (up == link->up) {
        return;
    }
    link->up = up;
    if (up) {
        wait_for_others(link);
        link->was_up = true;
    } else {
        link->lost_ms = rc_clock_ms();
    }
    for (struct rc_redis_observer *one = link->observers; one != NULL; one = one->next) {
        one->changed(one->context, up);
    }
}

void rc_redis_node_changed(struct rc_redis_link *link, const char *why)
{
    if (why != NULL) {
        node_note(link, why);
    }
    node_look(link);
}

/* --- what connections tell ------------------------------------------------------------------------------------------- */

static bool is_command(const struct rc_redis_node *node, const struct rc_redis_conn *conn)
{
    return conn == &node->command;
}

static void conn_ready(void *context, struct rc_redis_conn *conn)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    if (!is_command(node, conn)) {
        rc_redis_pubsub_ready(&link->pubsub, node->index, conn);
    } else {
        rc_redis_scripts_load(link, conn); /* before anything that runs them */
        if (link->topology->ready != NULL) {
            link->topology->ready(link, node);
        }
    }
    node_look(link);
}

static void conn_confirmed(void *context, struct rc_redis_conn *conn)
{
    struct rc_redis_node *node = context;
    (void)conn;
    node->link->outbox.unsure = false;
}

/*
 * A server that is no master any more reaches its own subscribers alone, and hears of the others' messages late or never: both
 * connections are of no use. Which of the messages since its role was confirmed last went to all, nobody knows.
 */
static void node_demoted(struct rc_redis_node *node, const char *why)
{
    struct rc_redis_link *link = node->link;
    if (link->outbox.unsure) {
        link->outbox.unsure = false;
        rc_redis_losses_add_all(&link->losses, false); /* of what has a place the streams tell */
    }
    node->command.demoted = node->subscriber.demoted = false; /* once */
    rc_redis_conn_fail(&node->command, why);
    rc_redis_conn_fail(&node->subscriber, why);
}

static void conn_lost(void *context, struct rc_redis_conn *conn, const char *why)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    node_note(link, why);
    if (conn->demoted && link->topology->one_master) {
        node_demoted(node, why);
    }
    if (!is_command(node, conn)) {
        rc_redis_pubsub_lost(&link->pubsub, node->index);
    } else {
        rc_redis_outbox_rewind(&node->outbox);
        if (node->index == link->home) {
            rc_redis_outbox_rewind(&link->outbox);
        }
    }
    if (link->topology->lost != NULL) {
        link->topology->lost(link, node);
    }
    node_look(link);
}

static void conn_late(void *context, struct rc_redis_conn *conn, bool late)
{
    struct rc_redis_node *node = context;
    if (late) {
        node_note(node->link, conn->error);
    }
    node_look(node->link);
}

static void conn_push(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    (void)conn;
    if (!rc_redis_pubsub_push(&link->pubsub, node->index, reply) && link->topology->stale != NULL) {
        link->topology->stale(link);
    }
    if (link->refused && rc_redis_pubsub_settled(&link->pubsub)) {
        link->refused = false;
        node_look(link);
    }
}

static void conn_error(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    const enum rc_redis_error error = rc_redis_error_of(reply);
    (void)conn;
    /* What is everywhere has no slot. Without it home is as connected as it was: what it is for does not work. */
    if (error != RC_REDIS_ERROR_MOVED && rc_redis_fixed_refused_at(&link->pubsub, node->index)) {
        node_note(link, reply->str);
        node_look(link);
        return;
    }
    if (!rc_redis_pubsub_asking(&link->pubsub, node->index)) {
        return; /* of a ping: the log has it */
    }
    rc_redis_pubsub_refused(&link->pubsub, node->index);
    if (link->topology->stale != NULL && (error == RC_REDIS_ERROR_MOVED || error == RC_REDIS_ERROR_DOWN)) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_REDIRECTS, 1);
        link->topology->stale(link);
        return;
    }
    /* Messages of others do not arrive: that is not "connected", whatever the connection says. */
    node_note(link, reply->str);
    link->refused = true;
    node_look(link);
}

static const struct rc_redis_conn_ops command_ops = {
    .ready = conn_ready, .lost = conn_lost, .late = conn_late, .confirmed = conn_confirmed};
static const struct rc_redis_conn_ops subscriber_ops = {
    .ready = conn_ready, .lost = conn_lost, .late = conn_late, .push = conn_push, .error = conn_error};

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

struct rc_redis_login rc_redis_node_login(const struct rc_redis_link *link)
{
    return (struct rc_redis_login){.user = link->url.user,
                                   .password = link->url.password,
                                   .database = link->url.database,
                                   .master = link->topology->one_master,
                                   .strict = link->topology->strict};
}

struct rc_redis_node *rc_redis_node_add(struct rc_redis_link *link, const struct rc_redis_address *address)
{
    uint16_t index = 0;
    while (index < RC_REDIS_NODES_MAX && link->nodes[index] != NULL) {
        index++;
    }
    struct rc_redis_node *node = index < RC_REDIS_NODES_MAX ? calloc(1, sizeof(*node)) : NULL;
    if (node == NULL) {
        return NULL;
    }
    const struct rc_redis_login login = rc_redis_node_login(link);
    node->link = link;
    node->index = index;
    node->address = *address;
    rc_redis_conn_init(&node->command, &link->wire, &command_ops, node, "commands");
    rc_redis_conn_init(&node->subscriber, &link->wire, &subscriber_ops, node, "subscriptions");
    node->command.login = login;
    node->subscriber.login = login;
    node->subscriber.subscriber = true;
    rc_redis_outbox_init(&node->outbox, link->config.outbox_bytes, link->config.outbox_max_age_ms, link->wire.metrics,
                         &link->outbox_ops);
    node->outbox.waiting = link->slot_waiting;
    link->nodes[index] = node;
    link->node_count = link->node_count > index ? link->node_count : (uint16_t)(index + 1);
    return node;
}

static void close_subscriber(struct rc_redis_node *node)
{
    if (node->subscriber.state == RC_REDIS_CONN_READY) {
        rc_redis_pubsub_lost(&node->link->pubsub, node->index);
    }
    rc_redis_conn_close(&node->subscriber);
}

static void close_command(struct rc_redis_node *node)
{
    rc_redis_conn_close(&node->command);
    rc_redis_outbox_rewind(&node->outbox);
    if (node->index == node->link->home) {
        rc_redis_outbox_rewind(&node->link->outbox);
    }
}

void rc_redis_node_open(struct rc_redis_node *node, bool subscriber)
{
    const char *path = node->link->url.path; /* "" when it is reached by TCP */
    if (node->command.state == RC_REDIS_CONN_CLOSED) {
        rc_redis_conn_open(&node->command, &node->address, path);
    }
    if (subscriber && node->subscriber.state == RC_REDIS_CONN_CLOSED) {
        rc_redis_conn_open(&node->subscriber, &node->address, path);
    }
}

void rc_redis_node_close(struct rc_redis_node *node)
{
    close_subscriber(node);
    close_command(node);
    if (node->link->active) {
        node_look(node->link);
    }
}

void rc_redis_node_set_home(struct rc_redis_link *link, uint16_t home)
{
    if (home == link->home) {
        return;
    }
    struct rc_redis_node *before = rc_redis_link_home(link);
    if (before != NULL && before->command.state == RC_REDIS_CONN_READY) {
        close_command(before); /* what it has not answered is sent again by the new one */
        rc_redis_node_open(before, false);
    }
    link->home = home;
    if (before != NULL) {
        /* Others may have had the same home, and have to subscribe elsewhere before they hear anything. */
        link->outbox.hold_until_ms = rc_clock_ms() + HOME_MS;
    }
    if (before != NULL && !link->by_shard) {
        close_subscriber(before); /* one subscription connection is what classic messages need */
    }
    rc_redis_pubsub_place(&link->pubsub, home);
    node_look(link);
}

void rc_redis_node_free(struct rc_redis_node *node)
{
    rc_redis_conn_free(&node->subscriber);
    rc_redis_conn_free(&node->command);
    rc_redis_outbox_free(&node->outbox);
    node->link->nodes[node->index] = NULL;
    free(node);
}
