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
#include "common/tls/context.h"
#include "relay/redis/link_state.h"
#include "relay/redis/node.h"
#include "relay/redis/pubsub_entry.h"
#include "relay/redis/pubsub_fixed.h"
#include "relay/redis/stream.h"
#include "relay/redis/tls.h"
#include "relay/redis/topology/topology.h"

#define AGING_MS 250u
#define REDIRECTS_MAX 8u /* of one command */

static const struct rc_redis_topology *const topologies[] = {[RC_REDIS_SINGLE] = &rc_redis_topology_single,
                                                             [RC_REDIS_UNIX] = &rc_redis_topology_single,
                                                             [RC_REDIS_SENTINEL] = &rc_redis_topology_sentinel,
                                                             [RC_REDIS_CLUSTER] = &rc_redis_topology_cluster};

/* --- state ----------------------------------------------------------------------------------------------------------- */

bool rc_redis_up(const struct rc_redis_link *link)
{
    return rc_redis_link_up(link);
}

void rc_redis_observe(struct rc_redis_link *link, struct rc_redis_observer *observer)
{
    observer->next = link->observers;
    link->observers = observer;
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

/* A command whose answer may send it elsewhere: kept until then. */
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
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR && request->redirects < REDIRECTS_MAX) {
        bool ask = false;
        struct rc_redis_node *node = link->topology->redirect(link, request->node, reply, &ask);
        if (node != NULL) {
            request->redirects++;
            rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_REDIRECTS, 1);
            if (!ask && link->topology->stale != NULL) {
                link->topology->stale(link);
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

static int command_kept(struct rc_redis_link *link, rc_redis_replied *replied, void *context,
                        struct rc_redis_node *node, uint32_t argc, const struct rc_span *argv)
{
    const size_t bytes = rc_redis_format_bytes(argc, argv);
    struct request *request = malloc(sizeof(*request) + bytes);
    if (request == NULL) {
        return -ENOMEM;
    }
    *request = (struct request){.link = link, .node = node, .replied = replied, .context = context, .bytes = bytes};
    rc_redis_format(request->command, argc, argv);
    const int rc = rc_redis_conn_send(&node->command, request_replied, request, request->command, bytes);
    if (rc != 0) {
        free(request);
    }
    return rc;
}

bool rc_redis_clustered(const struct rc_redis_link *link)
{
    return !link->topology->one_master;
}

int rc_redis_command(struct rc_redis_link *link, rc_redis_replied *replied, void *context, uint32_t key, uint32_t argc,
                     const struct rc_span *argv)
{
    RC_ASSERT(argc > 0 && argc <= RC_REDIS_ARGS_MAX && key < argc);
    const struct rc_redis_topology *topology = link->topology;
    struct rc_redis_node *node =
        key > 0 && topology->owner != NULL ? topology->owner(link, argv[key]) : rc_redis_link_home(link);
    if (node == NULL || !rc_redis_conn_up(&node->command)) {
        return -ENOTCONN;
    }
    return topology->redirect != NULL ? command_kept(link, replied, context, node, argc, argv)
                                      : rc_redis_conn_command(&node->command, replied, context, argc, argv);
}

/* --- subscriptions --------------------------------------------------------------------------------------------------- */

void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    rc_redis_fixed_add(&link->pubsub, subscription);
}

static uint16_t node_of(void *context, struct rc_span redis_name, bool sharded)
{
    const struct rc_redis_link *link = context;
    if (!sharded || link->topology->owner == NULL) {
        return link->home; /* one server has all shards */
    }
    const struct rc_redis_node *owner = link->topology->owner(link, redis_name);
    return owner != NULL ? owner->index : RC_REDIS_NODE_NONE;
}

static uint64_t place_of(void *context, uint16_t node)
{
    const struct rc_redis_link *link = context;
    return link->topology->one_master || link->nodes[node] == NULL ? 0 : link->nodes[node]->id;
}

void rc_redis_channels(struct rc_redis_link *link, const struct rc_redis_channel_ops *ops)
{
    const struct rc_redis_pubsub_ops all = {.channel = *ops, .node_of = node_of, .place_of = place_of, .context = link};
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

void rc_redis_foreign(struct rc_redis_link *link, const struct rc_redis_foreign_ops *ops)
{
    link->by_shard |= ops->sharded && link->topology->outbox != NULL;
    rc_redis_pubsub_set_foreign(&link->pubsub, ops);
}

void rc_redis_foreign_want(struct rc_redis_link *link, struct rc_span name)
{
    rc_redis_pubsub_want_foreign(&link->pubsub, name);
}

bool rc_redis_foreign_heard(const struct rc_redis_link *link, struct rc_span name)
{
    const struct rc_redis_pubsub_key key = rc_redis_pubsub_foreign_key(name);
    const uint32_t index = rc_redis_pubsub_entry_find(&link->pubsub, &key);
    return index != 0 && link->pubsub.entries[index].state == RC_REDIS_ENTRY_CONFIRMED;
}

void rc_redis_foreign_unwant(struct rc_redis_link *link, struct rc_span name)
{
    rc_redis_pubsub_unwant_foreign(&link->pubsub, name);
}

/* --- turns ----------------------------------------------------------------------------------------------------------- */

static void aging_due(void *context, uint64_t now_ms)
{
    struct rc_redis_link *link = context;
    rc_redis_outboxes_expire(link, now_ms);
    rc_timer_set(link->wire.timers, &link->aging, now_ms + AGING_MS, aging_due, link);
}

void rc_redis_link_follow(struct rc_redis_link *link, int fd, const char *mark_channel)
{
    if (link->topology->one_master && !link->by_shard) {
        link->mark_channel = mark_channel;
        rc_redis_pubsub_follow(&link->pubsub, fd);
    }
}

bool rc_redis_link_quiet(const struct rc_redis_link *link)
{
    const struct rc_redis_node *home = rc_redis_link_home(link);
    return home == NULL || (rc_redis_link_drained(link) && home->command.waiting_count == 0);
}

/* Of a relay that only forwards, whose pings are over: a connection that has died silently ends with the overlap's time. */
static void forward_lost(void *context, struct rc_redis_conn *conn, const char *why)
{
    (void)why;
    rc_redis_conn_close(conn); /* it does not come back */
    rc_redis_link_forward_end(context);
}

static void forward_late(void *context, struct rc_redis_conn *conn, bool late)
{
    (void)context;
    (void)conn;
    (void)late;
}

static void forward_push(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    struct rc_redis_link *link = context;
    struct rc_redis_heard heard;
    (void)conn;
    if (rc_redis_heard_of(&heard, reply)) { /* all else is the other one's */
        (void)rc_redis_overlap_take(&link->pubsub.overlap, &heard);
    }
}

/* Of a SUBSCRIBE that was under way: the other one asks for the same. */
static void forward_error(void *context, struct rc_redis_conn *conn, const redisReply *reply)
{
    (void)context;
    (void)conn;
    (void)reply;
}

/* Without `ready`: there is no other connection. */
static const struct rc_redis_conn_ops forward_ops = {
    .lost = forward_lost, .late = forward_late, .push = forward_push, .error = forward_error};

bool rc_redis_link_forward(struct rc_redis_link *link, int fd, int bell_fd)
{
    struct rc_redis_node *home = rc_redis_link_home(link);
    struct rc_err err;
    if (home == NULL || !link->topology->one_master || link->by_shard || link->stream != NULL || link->refused ||
        !rc_redis_conn_up(&home->subscriber) || !rc_redis_pubsub_settled(&link->pubsub)) {
        return false;
    }
    if (rc_redis_overlap_forward(&link->pubsub.overlap, fd, bell_fd, &err) != 0) {
        rc_log_warn("redis_overlap_lost", "reason=\"%s\"", err.text);
        return false;
    }
    if (home->command.handle >= 0) {
        link->wire.host.unwatch(link->wire.host.context, home->command.handle); /* nobody would know what to answer */
        home->command.handle = -1;
    }
    if (link->topology->close != NULL) {
        link->topology->close(link); /* wherever the master goes */
    }
    home->subscriber.ops = &forward_ops;
    home->subscriber.context = link;
    return true;
}

bool rc_redis_link_forward_turn(struct rc_redis_link *link)
{
    struct rc_redis_node *home = rc_redis_link_home(link);
    if (home != NULL) {
        rc_redis_conn_flush(&home->subscriber);
    }
    return home == NULL || rc_redis_overlap_ended(&link->pubsub.overlap);
}

void rc_redis_link_forward_end(struct rc_redis_link *link)
{
    if (!rc_redis_overlap_ended(&link->pubsub.overlap)) {
        rc_redis_overlap_give_up(&link->pubsub.overlap, NULL, NULL); /* it has kept nothing to handle */
    }
}

/* Everything is confirmed: what comes from here on is this relay's. */
static void link_mark(struct rc_redis_link *link, const char *mark)
{
    char name[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("PUBLISH"), rc_redis_key(link, name, "%s", link->mark_channel),
                                   rc_span_text(mark)};
    if (rc_redis_command(link, NULL, NULL, 0, RC_ARRAY_COUNT(argv), argv) == 0) {
        rc_redis_overlap_marked(&link->pubsub.overlap);
    }
}

void rc_redis_link_turn(struct rc_redis_link *link)
{
    const uint64_t now_ms = rc_clock_ms();
    rc_redis_outboxes_pump(link, now_ms);
    rc_redis_pubsub_flush(&link->pubsub);
    if (link->mark_channel != NULL) {
        const char *mark = rc_redis_pubsub_mark(&link->pubsub);
        if (mark != NULL) {
            link_mark(link, mark);
        }
    }
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            rc_redis_conn_flush(&link->nodes[i]->command);
            rc_redis_conn_flush(&link->nodes[i]->subscriber);
        }
    }
    if (link->stream != NULL) {
        rc_redis_stream_turn(link->stream);
    }
    if (link->topology->flush != NULL) {
        link->topology->flush(link);
    }
}

bool rc_redis_link_pending(const struct rc_redis_link *link)
{
    for (uint16_t i = 0; i < link->node_count; i++) {
        const struct rc_redis_node *node = link->nodes[i];
        if (node != NULL && (rc_redis_conn_pending(&node->command) || rc_redis_conn_pending(&node->subscriber))) {
            return true;
        }
    }
    return link->stream != NULL && rc_redis_conn_pending(&link->stream->conn);
}

bool rc_redis_link_drained(const struct rc_redis_link *link)
{
    return rc_redis_outboxes_drained(link);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static void tell_expiry(_Atomic uint64_t *to, int64_t not_after_s)
{
    atomic_store_explicit(to, not_after_s > 0 ? (uint64_t)not_after_s : 0, memory_order_relaxed);
}

/* When the certificate of this broker, and the authorities that it trusts, expire, for those who are to be told before. */
static void link_tell_certificates(const struct rc_redis_link *link)
{
    if (link->health != NULL) {
        tell_expiry(&link->health->certificate_not_after_s,
                    rc_tls_not_after_of(SSL_CTX_get0_certificate(link->wire.tls)));
        tell_expiry(&link->health->authorities_not_after_s, rc_tls_authorities_not_after_of(link->wire.tls));
    }
}

/* The next connections are made with what the files hold now. Where that is nothing, the former settings stay in use, all of them. */
static void link_renew_tls(struct rc_redis_link *link, const struct rc_config_redis *config)
{
    struct rc_err err;
    SSL_CTX *tls = rc_redis_tls_open(config, &err);
    if (tls == NULL) {
        rc_log_error("redis_tls_refused",
                     "reason=\"%s\" remedy=\"correct the file and reload: the former one is in use\"", err.text);
        return;
    }
    SSL_CTX_free(link->wire.tls); /* connections that have it hold it */
    link->wire.tls = tls;
    link->config.tls_server_name = config->tls_server_name; /* where wire.tls_name is */
    link_tell_certificates(link);
}

void rc_redis_link_configure(struct rc_redis_link *link, const struct rc_config_redis *config)
{
    if (link->wire.tls != NULL) {
        link_renew_tls(link, config);
    }
    link->config.outbox_max_age_ms = config->outbox_max_age_ms;
    link->outbox.age_ms_max = config->outbox_max_age_ms;
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            link->nodes[i]->outbox.age_ms_max = config->outbox_max_age_ms;
        }
    }
}

static int link_prepare(struct rc_redis_link *link, const struct rc_redis_setup *setup, struct rc_err *err)
{
    link->config = *setup->config;
    link->health = setup->health;
    link->successor = setup->successor;
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
    int rc = rc_redis_url_parse(&link->url, link->config.url.text, err);
    if (rc == 0 && link->url.tls) {
        link->wire.tls = rc_redis_tls_open(&link->config, err);
        rc = link->wire.tls != NULL ? 0 : -EINVAL;
    }
    if (rc != 0) {
        return rc;
    }
    if (link->wire.tls != NULL) {
        link_tell_certificates(link);
    }
    link->topology = topologies[link->url.kind];
    link->outbox_ops = rc_redis_outbox_ops_of(link);
    link->sharded = link->by_shard = link->config.sharded && link->topology->outbox != NULL;
    rc_redis_outbox_init(&link->outbox, link->config.outbox_bytes, link->config.outbox_max_age_ms, setup->metrics,
                         &link->outbox_ops);
    if (link->config.sharded && !link->sharded) {
        rc_log_warn("redis_not_sharded", "remedy=\"redis.sharded needs a redis+cluster:// URL\"");
    }
    rc = rc_redis_pubsub_init(&link->pubsub, &link->wire, link->config.prefix.text, link->sharded);
    if (rc == 0 && setup->successor) {
        rc_redis_pubsub_succeed(&link->pubsub);
        rc_redis_outboxes_inherit(link);
    }
    return rc == 0 ? 0 : rc_err_set(err, rc, "no memory for the table of subscriptions");
}

int rc_redis_link_open(struct rc_redis_link **out, const struct rc_redis_setup *setup, struct rc_err *err)
{
    struct rc_redis_link *link = calloc(1, sizeof(*link));
    *out = NULL;
    if (link == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for the connection to Redis");
    }
    int rc = link_prepare(link, setup, err);
    if (rc != 0) {
        SSL_CTX_free(link->wire.tls);
        free(link);
        return rc;
    }
    rc_redis_health_set(link->health, RC_REDIS_CONNECTING, "", "");
    rc = link->topology->open(link);
    if (rc != 0) {
        rc_redis_link_close(link);
        return rc_err_set(err, rc, "no memory for the connection to Redis");
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
    for (uint16_t i = 0; i < link->node_count; i++) {
        if (link->nodes[i] != NULL) {
            rc_redis_node_free(link->nodes[i]);
        }
    }
    if (link->stream != NULL) {
        rc_redis_stream_close(link->stream);
    }
    rc_timer_cancel(link->wire.timers, &link->aging);
    rc_redis_outbox_free(&link->outbox);
    rc_redis_losses_free(&link->losses);
    rc_redis_pubsub_free(&link->pubsub);
    if (link->topology->close != NULL) {
        link->topology->close(link);
    }
    SSL_CTX_free(link->wire.tls);
    free(link);
}
