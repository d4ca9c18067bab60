/* link: see link.h. */
#include "relay/redis/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/metrics/redis_health.h"
#include "relay/redis/error_reply.h"
#include "relay/redis/link_state.h"
#include "relay/redis/tls.h"

#define AGING_MS 250u
#define HOME_MS 300u
#define GRACE_MS 100u
#define GRACE_FROM_MS 25u         /* a shorter loss was nobody else's */
#define GRACE_FIRST_FROM_MS 1000u /* before the first connection there was nothing to lose */

/* --- state ----------------------------------------------------------------------------------------------------------- */

bool rc_redis_up(const struct rc_redis_link *link)
{
    return rc_redis_link_up(link);
}

/* Every connection that messages come over. */
static bool hears_all(const struct rc_redis_link *link)
{
    const struct rc_redis_node *home = rc_redis_link_home(link);
    if (home == NULL || link->refused || !rc_redis_conn_up(&home->subscriber)) {
        return false;
    }
    for (uint16_t i = 0; link->sharded && i < link->node_count; i++) {
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
static void note(struct rc_redis_link *link, const char *why)
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
    const bool good = rc_redis_up(link) && hears_all(link);
    if (!good && before == RC_REDIS_CONNECTED && link->error[0] == '\0') {
        note(link,
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
static void look(struct rc_redis_link *link)
{
    const bool up = rc_redis_up(link);
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

void rc_redis_observe(struct rc_redis_link *link, struct rc_redis_observer *observer)
{
    observer->next = link->observers;
    link->observers = observer;
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
    } else if (link->cluster != NULL) {
        rc_redis_cluster_ready(link, node);
    }
    look(link);
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
static void demoted(struct rc_redis_node *node, const char *why)
{
    struct rc_redis_link *link = node->link;
    if (link->outbox.unsure) {
        link->outbox.unsure = false;
        rc_redis_losses_add_all(&link->losses);
    }
    node->command.demoted = node->subscriber.demoted = false; /* once */
    rc_redis_conn_fail(&node->command, why);
    rc_redis_conn_fail(&node->subscriber, why);
}

static void conn_lost(void *context, struct rc_redis_conn *conn, const char *why)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    note(link, why);
    if (conn->demoted && link->cluster == NULL) {
        demoted(node, why);
    }
    if (!is_command(node, conn)) {
        rc_redis_pubsub_lost(&link->pubsub, node->index);
    } else {
        rc_redis_outbox_rewind(&node->outbox);
        if (node->index == link->home) {
            rc_redis_outbox_rewind(&link->outbox);
        }
    }
    if (link->url.kind == RC_REDIS_SENTINEL) {
        rc_redis_sentinel_ask(link);
    } else if (link->cluster != NULL) {
        rc_redis_cluster_lost(link, node);
    }
    look(link);
}

static void conn_late(void *context, struct rc_redis_conn *conn, bool late)
{
    struct rc_redis_node *node = context;
    if (late) {
        note(node->link, conn->error);
    }
    look(node->link);
}

static void conn_push(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    (void)conn;
    if (!rc_redis_pubsub_push(&link->pubsub, node->index, reply) && link->cluster != NULL) {
        rc_redis_cluster_stale(link);
    }
    if (link->refused && rc_redis_pubsub_settled(&link->pubsub)) {
        link->refused = false;
        look(link);
    }
}

static void conn_error(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    struct rc_redis_node *node = context;
    struct rc_redis_link *link = node->link;
    (void)conn;
    if (!rc_redis_pubsub_asking(&link->pubsub, node->index)) {
        return; /* of a ping: the log has it */
    }
    rc_redis_pubsub_refused(&link->pubsub, node->index);
    const enum rc_redis_error error = rc_redis_error_of(reply);
    if (link->cluster != NULL && (error == RC_REDIS_ERROR_MOVED || error == RC_REDIS_ERROR_DOWN)) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_REDIRECTS, 1);
        rc_redis_cluster_stale(link);
        return;
    }
    /* Messages of others do not arrive: that is not "connected", whatever the connection says. */
    note(link, reply->str);
    link->refused = true;
    look(link);
}

static const struct rc_redis_conn_ops command_ops = {
    .ready = conn_ready, .lost = conn_lost, .late = conn_late, .confirmed = conn_confirmed};
static const struct rc_redis_conn_ops subscriber_ops = {
    .ready = conn_ready, .lost = conn_lost, .late = conn_late, .push = conn_push, .error = conn_error};

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

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
    const struct rc_redis_outbox_ops ops = rc_redis_outbox_ops_of(link);
    const struct rc_redis_login login = {.user = link->url.user,
                                         .password = link->url.password,
                                         .database = link->url.database,
                                         .master = link->url.kind != RC_REDIS_CLUSTER, /* there the map tells */
                                         .strict = link->url.kind == RC_REDIS_SENTINEL};
    node->link = link;
    node->index = index;
    node->address = *address;
    rc_redis_conn_init(&node->command, &link->wire, &command_ops, node, "commands");
    rc_redis_conn_init(&node->subscriber, &link->wire, &subscriber_ops, node, "subscriptions");
    node->command.login = login;
    node->subscriber.login = login;
    node->subscriber.subscriber = true;
    rc_redis_outbox_init(&node->outbox, link->config.outbox_bytes, link->config.outbox_max_age_ms, link->wire.metrics,
                         &ops);
    node->outbox.waiting = link->cluster != NULL ? link->cluster->waiting : NULL;
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
    const char *path = node->link->url.kind == RC_REDIS_UNIX ? node->link->url.path : NULL;
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
        look(node->link);
    }
}

void rc_redis_link_set_home(struct rc_redis_link *link, uint16_t home)
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
    if (before != NULL && !link->sharded) {
        close_subscriber(before); /* one subscription connection is what classic messages need */
    }
    rc_redis_pubsub_place(&link->pubsub, home);
    look(link);
}

void rc_redis_node_free(struct rc_redis_node *node)
{
    rc_redis_conn_free(&node->subscriber);
    rc_redis_conn_free(&node->command);
    rc_redis_outbox_free(&node->outbox);
    node->link->nodes[node->index] = NULL;
    free(node);
}

/* --- commands -------------------------------------------------------------------------------------------------------- */

struct rc_span rc_redis_key(const struct rc_redis_link *link, char out[RC_REDIS_NAME_MAX], const char *format, ...)
{
    const size_t prefix = strlen(link->config.prefix.text);
    memcpy(out, link->config.prefix.text, prefix);
    va_list list;
    va_start(list, format);
    const int bytes = vsnprintf(out + prefix, RC_REDIS_NAME_MAX - prefix, format, list);
    va_end(list);
    if (bytes < 0 || (size_t)bytes >= RC_REDIS_NAME_MAX - prefix) {
        return (struct rc_span){0};
    }
    return rc_span_of(out, prefix + (size_t)bytes);
}

/* A command for a Cluster: kept until its answer, because it may have to go elsewhere. */
struct request {
    struct rc_redis_link *link;
    struct rc_redis_node *node; /* that has it now */
    rc_redis_replied *replied;
    void *context;
    uint32_t redirects;
    size_t bytes;
    char command[];
};

static void request_replied(void *context, const redisReply *reply);

static bool send_on(struct request *request, struct rc_redis_node *node, bool ask)
{
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    request->node = node;
    return (!ask || rc_redis_conn_send(&node->command, NULL, NULL, asking, sizeof(asking) - 1) == 0) &&
           rc_redis_conn_send(&node->command, request_replied, request, request->command, request->bytes) == 0;
}

static void request_replied(void *context, const redisReply *reply)
{
    struct request *request = context;
    struct rc_redis_link *link = request->link;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR && request->redirects < RC_REDIS_REDIRECTS_MAX) {
        bool ask = false;
        struct rc_redis_node *node = rc_redis_cluster_redirect(link, request->node, reply, &ask);
        if (node != NULL) {
            request->redirects++;
            rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_REDIRECTS, 1);
            if (!ask) {
                rc_redis_cluster_stale(link);
            }
            if (send_on(request, node, ask)) {
                return;
            }
        }
    }
    if (request->replied != NULL) {
        request->replied(request->context, reply);
    }
    free(request);
}

static int command_cluster(struct rc_redis_link *link, rc_redis_replied *replied, void *context,
                           struct rc_redis_node *node, uint32_t argc, const struct rc_span *argv)
{
    const size_t bytes = rc_redis_format_bytes(argc, argv);
    struct request *request = malloc(sizeof(*request) + bytes);
    if (request == NULL) {
        return -ENOMEM;
    }
    *request = (struct request){.link = link, .node = node, .replied = replied, .context = context, .bytes = bytes};
    rc_redis_format(request->command, argc, argv);
    const int result = rc_redis_conn_send(&node->command, request_replied, request, request->command, bytes);
    if (result != 0) {
        free(request);
    }
    return result;
}

bool rc_redis_clustered(const struct rc_redis_link *link)
{
    return link->cluster != NULL;
}

int rc_redis_command(struct rc_redis_link *link, rc_redis_replied *replied, void *context, uint32_t key, uint32_t argc,
                     const struct rc_span *argv)
{
    RC_ASSERT(argc > 0 && argc <= RC_REDIS_ARGS_MAX && key < argc);
    struct rc_redis_node *node = rc_redis_link_home(link);
    if (link->cluster != NULL && key > 0) {
        const uint16_t owner = link->cluster->owners[rc_redis_cluster_slot(argv[key])];
        node = owner != RC_REDIS_NODE_NONE ? link->nodes[owner] : NULL;
    }
    if (node == NULL || !rc_redis_conn_up(&node->command)) {
        return -ENOTCONN;
    }
    return link->cluster != NULL ? command_cluster(link, replied, context, node, argc, argv)
                                 : rc_redis_conn_command(&node->command, replied, context, argc, argv);
}

/* --- subscriptions --------------------------------------------------------------------------------------------------- */

void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    rc_redis_pubsub_add_fixed(&link->pubsub, subscription);
}

static uint16_t node_of(void *context, struct rc_span redis_name)
{
    const struct rc_redis_link *link = context;
    return link->sharded ? link->cluster->owners[rc_redis_cluster_slot(redis_name)] : link->home;
}

void rc_redis_channels(struct rc_redis_link *link, const struct rc_redis_channel_ops *ops)
{
    const struct rc_redis_pubsub_ops all = {.channel = *ops, .node_of = node_of, .context = link};
    rc_redis_pubsub_set_ops(&link->pubsub, &all);
}

enum rc_redis_want rc_redis_channel_want(struct rc_redis_link *link, uint64_t hash, struct rc_span name,
                                         uint32_t worker, uint64_t token)
{
    return rc_redis_pubsub_want(&link->pubsub, hash, name, worker, token);
}

void rc_redis_channel_unwant(struct rc_redis_link *link, uint64_t hash, struct rc_span name)
{
    rc_redis_pubsub_unwant(&link->pubsub, hash, name);
}

/* --- turns ----------------------------------------------------------------------------------------------------------- */

static void aging_due(void *context, uint64_t now_ms)
{
    struct rc_redis_link *link = context;
    rc_redis_outboxes_expire(link, now_ms);
    rc_timer_set(link->wire.timers, &link->aging, now_ms + AGING_MS, aging_due, link);
}

void rc_redis_link_turn(struct rc_redis_link *link)
{
    const uint64_t now_ms = rc_clock_ms();
    rc_redis_outboxes_pump(link, now_ms);
    rc_redis_pubsub_flush(&link->pubsub);
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            rc_redis_conn_flush(&link->nodes[i]->command);
            rc_redis_conn_flush(&link->nodes[i]->subscriber);
        }
    }
    rc_redis_conn_flush(&link->sentinel.conn);
}

bool rc_redis_link_pending(const struct rc_redis_link *link)
{
    for (uint16_t i = 0; i < link->node_count; i++) {
        const struct rc_redis_node *node = link->nodes[i];
        if (node != NULL && (rc_redis_conn_pending(&node->command) || rc_redis_conn_pending(&node->subscriber))) {
            return true;
        }
    }
    return false;
}

bool rc_redis_link_drained(const struct rc_redis_link *link)
{
    return rc_redis_outboxes_drained(link);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_redis_link_configure(struct rc_redis_link *link, const struct rc_config_redis *config)
{
    link->config.outbox_max_age_ms = config->outbox_max_age_ms;
    link->outbox.age_ms_max = config->outbox_max_age_ms;
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            link->nodes[i]->outbox.age_ms_max = config->outbox_max_age_ms;
        }
    }
}

static int start(struct rc_redis_link *link, struct rc_err *err)
{
    if (link->url.kind == RC_REDIS_CLUSTER) {
        return rc_redis_cluster_open(link) == 0 ? 0 : rc_err_set(err, -ENOMEM, "no memory for the Cluster's map");
    }
    struct rc_redis_node *node = rc_redis_node_add(link, &link->url.hosts[0]);
    if (node == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the connection to Redis");
    }
    node->known = true;
    rc_redis_link_set_home(link, node->index);
    if (link->url.kind == RC_REDIS_SENTINEL) {
        rc_redis_sentinel_open(link);
    } else {
        rc_redis_node_open(node, true);
    }
    return 0;
}

static int prepare(struct rc_redis_link *link, const struct rc_redis_setup *setup, struct rc_err *err)
{
    link->config = *setup->config;
    link->health = setup->health;
    link->home = RC_REDIS_NODE_NONE;
    link->wire = (struct rc_redis_wire){.host = setup->host,
                                        .timers = setup->timers,
                                        .metrics = setup->metrics,
                                        .tls_name = link->config.tls_server_name.text,
                                        .client_name = link->client_name};
    (void)snprintf(link->client_name, sizeof(link->client_name), "ringcast:%s", setup->instance_id);
    if (getrandom(&link->wire.random, sizeof(link->wire.random), 0) != (ssize_t)sizeof(link->wire.random) ||
        link->wire.random == 0) {
        link->wire.random = rc_clock_ns() | 1;
    }
    int result = rc_redis_url_parse(&link->url, link->config.url.text, err);
    if (result == 0 && link->url.tls) {
        link->wire.tls = rc_redis_tls_open(&link->config, err);
        result = link->wire.tls != NULL ? 0 : -EINVAL;
    }
    if (result != 0) {
        return result;
    }
    const struct rc_redis_outbox_ops ops = rc_redis_outbox_ops_of(link);
    link->sharded = link->config.sharded && link->url.kind == RC_REDIS_CLUSTER;
    rc_redis_outbox_init(&link->outbox, link->config.outbox_bytes, link->config.outbox_max_age_ms, setup->metrics,
                         &ops);
    if (link->config.sharded && !link->sharded) {
        rc_log_warn("redis_not_sharded", "remedy=\"redis.sharded needs a redis+cluster:// URL\"");
    }
    result = rc_redis_pubsub_init(&link->pubsub, &link->wire, link->config.prefix.text, link->sharded);
    if (result == 0 && setup->successor) {
        rc_redis_pubsub_succeed(&link->pubsub);
        rc_redis_outboxes_inherit(link);
    }
    return result == 0 ? 0 : rc_err_set(err, result, "no memory for the table of subscriptions");
}

int rc_redis_link_open(struct rc_redis_link **out, const struct rc_redis_setup *setup, struct rc_err *err)
{
    struct rc_redis_link *link = calloc(1, sizeof(*link));
    *out = NULL;
    if (link == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the connection to Redis");
    }
    int result = prepare(link, setup, err);
    if (result != 0) {
        SSL_CTX_free(link->wire.tls);
        free(link);
        return result;
    }
    rc_redis_health_set(link->health, RC_REDIS_CONNECTING, "", "");
    result = start(link, err);
    if (result != 0) {
        rc_redis_link_close(link);
        return result;
    }
    link->active = true;
    link->lost_ms = rc_clock_ms();
    rc_timer_set(link->wire.timers, &link->aging, rc_clock_ms() + AGING_MS, aging_due, link);
    *out = link;
    return 0;
}

void rc_redis_link_close(struct rc_redis_link *link)
{
    const uint64_t left = rc_metric_get(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES);
    if (left > 0 && link->active) {
        rc_log_warn("redis_outbox_lost", "messages=%llu reason=\"the relay ends and Redis has not taken them\"",
                    (unsigned long long)left);
    }
    link->active = false;
    rc_redis_sentinel_close(link);
    rc_redis_cluster_close(link);
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            rc_redis_node_free(link->nodes[i]);
        }
    }
    rc_timer_cancel(link->wire.timers, &link->aging);
    rc_redis_outbox_free(&link->outbox);
    rc_redis_losses_free(&link->losses);
    rc_redis_pubsub_free(&link->pubsub);
    free(link->cluster);
    SSL_CTX_free(link->wire.tls);
    free(link);
}
