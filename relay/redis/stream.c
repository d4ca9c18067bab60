/* stream: see stream.h. */
#include "relay/redis/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/error_reply.h"
#include "relay/redis/link_state.h"
#include "relay/redis/node.h"
#include "relay/redis/topology/topology.h"

#define NOTHING_YET "0-0" /* before every id */

static void stream_next(struct rc_redis_stream *stream);

/* --- ids ------------------------------------------------------------------------------------------------------------- */

/* An entry's id: its NUL included it fits RC_REDIS_STREAM_ID_MAX. NULL: the reply is no entry. */
static const redisReply *entry_id(const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) {
        return NULL;
    }
    const redisReply *id = entry->element[0];
    return id->type == REDIS_REPLY_STRING && id->len > 0 && id->len < RC_REDIS_STREAM_ID_MAX ? id : NULL;
}

static bool id_before(const char *one, const char *other)
{
    char *rest;
    char *other_rest;
    const unsigned long long milliseconds = strtoull(one, &rest, 10);
    const unsigned long long other_milliseconds = strtoull(other, &other_rest, 10);
    if (milliseconds != other_milliseconds) {
        return milliseconds < other_milliseconds;
    }
    return strtoull(rest + (*rest == '-'), NULL, 10) < strtoull(other_rest + (*other_rest == '-'), NULL, 10);
}

bool rc_redis_stream_has(const struct rc_redis_stream *stream, struct rc_span id)
{
    char text[RC_REDIS_STREAM_ID_MAX];
    (void)snprintf(text, sizeof(text), "%.*s", (int)id.count, (const char *)id.bytes);
    return stream->last[0] != '\0' && !id_before(stream->last, text);
}

static void stream_keep(struct rc_redis_stream *stream, const redisReply *id)
{
    memcpy(stream->last, id->str, id->len);
    stream->last[id->len] = '\0';
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static void again_due(void *context, uint64_t now_ms)
{
    struct rc_redis_stream *stream = context;
    (void)now_ms;
    stream_next(stream);
}

static void stream_again(struct rc_redis_stream *stream, uint64_t in_ms)
{
    rc_timer_set(stream->link->wire.timers, &stream->again, rc_clock_ms() + in_ms, again_due, stream);
}

/* Not what was asked for: refused (rights, another type, another node's slot), or no answer to it at all. It is asked for ever more seldom: what an ACL
 * or a key of another type refuses stays so until somebody has seen it. */
static bool stream_refused(struct rc_redis_stream *stream, const redisReply *reply, bool understood)
{
    if (reply->type != REDIS_REPLY_ERROR && understood) {
        stream->refusals = 0;
        return false;
    }
    const uint64_t in_ms = rc_redis_error_again_ms(reply, &stream->refusals);
    rc_log_limited(RC_LOG_WARN, 1, "redis_stream_refused", "stream=\"%s\" reason=\"%s\" again_in_ms=%llu remedy=\"%s\"",
                   stream->key, reply->type == REDIS_REPLY_ERROR ? reply->str : "not an answer",
                   (unsigned long long)in_ms, rc_redis_error_remedy(reply));
    if (stream->link->topology->stale != NULL) {
        stream->link->topology->stale(stream->link);
    }
    stream_again(stream, in_ms);
    return true;
}

static void stream_missed(struct rc_redis_stream *stream)
{
    rc_log_warn("redis_stream_missed", "stream=\"%s\" after=\"%s\" reason=\"%s\"", stream->key, stream->last,
                stream->last[0] != '\0' ? "the stream was cut, or lost its data"
                                        : "a relay before this one read it, as far as nobody knows");
    rc_metric_add(stream->link->wire.metrics, RC_METRIC_REDIS_MISSED, 1);
    stream->ops.missed(stream->ops.context);
}

/* Are there perhaps entries that were not read, and will not be? A predecessor's last one is not known; while the notice for all is
 * owed, it will cover them. */
static bool leaves_entries(const struct rc_redis_stream *stream)
{
    return stream->last[0] != '\0' || (stream->link->successor && !stream->link->pubsub.missed_all);
}

/* To XREVRANGE: the newest entry, or none. */
static void newest_replied(void *context, const redisReply *reply)
{
    struct rc_redis_stream *stream = context;
    const redisReply *id = NULL;
    if (reply == NULL) {
        return; /* asked again by the next connection */
    }
    const bool is_list = reply->type == REDIS_REPLY_ARRAY;
    if (is_list && reply->elements > 0) {
        id = entry_id(reply->element[0]);
    }
    if (stream_refused(stream, reply, is_list && (id != NULL || reply->elements == 0))) {
        return;
    }
    if (leaves_entries(stream)) {
        stream_missed(stream);
    }
    if (stream->last[0] == '\0' && id != NULL) {
        stream_keep(stream, id);
    } else if (stream->last[0] == '\0' || id == NULL || id_before(id->str, stream->last)) {
        (void)snprintf(stream->last, sizeof(stream->last), NOTHING_YET); /* nothing of what is there was read */
    }
    stream->unsure = false;
    stream_next(stream);
}

/* To XRANGE of the last one. */
static void last_replied(void *context, const redisReply *reply)
{
    struct rc_redis_stream *stream = context;
    const struct rc_span argv[] = {RC_SPAN("XREVRANGE"), rc_span_of(stream->key, stream->key_bytes),
                                   RC_SPAN("+"),         RC_SPAN("-"),
                                   RC_SPAN("COUNT"),     RC_SPAN("1")};
    if (reply == NULL || stream_refused(stream, reply, reply->type == REDIS_REPLY_ARRAY)) {
        return;
    }
    if (reply->elements > 0) {
        stream->unsure = false;
        stream_next(stream);
    } else if (rc_redis_conn_command(&stream->conn, newest_replied, stream, 6, argv) != 0) {
        stream_again(stream, RC_REDIS_AGAIN_MS);
    }
}

/* Takes an entry and hands it on. False: it is none. */
static bool stream_entry(struct rc_redis_stream *stream, const redisReply *entry)
{
    const redisReply *id = entry_id(entry);
    struct rc_span values[RC_REDIS_STREAM_VALUES_MAX];
    if (id == NULL) {
        return false;
    }
    stream_keep(stream, id);
    const redisReply *list = entry->element[1];
    if (list->type != REDIS_REPLY_ARRAY || list->elements > RC_REDIS_STREAM_VALUES_MAX) {
        rc_metric_add(stream->link->wire.metrics, RC_METRIC_REDIS_MALFORMED, 1);
        return true; /* deleted meanwhile (nil), or nobody's of this format */
    }
    for (size_t i = 0; i < list->elements; i++) {
        const redisReply *value = list->element[i];
        values[i] =
            value->type == REDIS_REPLY_STRING ? rc_span_of(value->str, value->len) : (struct rc_span){.count = 0};
    }
    stream->ops.entry(stream->ops.context, values, (uint32_t)list->elements);
    return true;
}

const redisReply *rc_redis_stream_entries(const redisReply *reply)
{
    const redisReply *pair = reply;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1) {
        pair = reply->element[0];
    } else if (reply->type != REDIS_REPLY_MAP) {
        return NULL;
    }
    const bool is_pair = (pair->type == REDIS_REPLY_ARRAY || pair->type == REDIS_REPLY_MAP) && pair->elements == 2;
    return is_pair && pair->element[1]->type == REDIS_REPLY_ARRAY ? pair->element[1] : NULL;
}

static void read_replied(void *context, const redisReply *reply)
{
    struct rc_redis_stream *stream = context;
    if (reply == NULL) {
        return;
    }
    if (reply->type == REDIS_REPLY_NIL) { /* its time is over */
        stream->refusals = 0;
        stream_next(stream);
        return;
    }
    const redisReply *entries = rc_redis_stream_entries(reply);
    bool understood = entries != NULL && entries->elements > 0;
    for (size_t i = 0; understood && i < entries->elements; i++) {
        understood = stream_entry(stream, entries->element[i]);
    }
    if (stream_refused(stream, reply, understood)) {
        return;
    }
    stream->unsure = entries->elements >= RC_REDIS_STREAM_BATCH; /* who is so far behind may be overrun */
    stream_next(stream);
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

/* Asks for what comes next. One question is out at a time. */
static void stream_next(struct rc_redis_stream *stream)
{
    const struct rc_span key = rc_span_of(stream->key, stream->key_bytes);
    const struct rc_span last = rc_span_text(stream->last);
    char block[16];
    char batch[16];
    int rc;
    if (stream->conn.state != RC_REDIS_CONN_READY) {
        return;
    }
    if (last.count == 0) {
        const struct rc_span argv[] = {RC_SPAN("XREVRANGE"), key,         RC_SPAN("+"), RC_SPAN("-"),
                                       RC_SPAN("COUNT"),     RC_SPAN("1")};
        rc = rc_redis_conn_command(&stream->conn, newest_replied, stream, 6, argv);
    } else if (stream->unsure && !rc_span_equal(last, RC_SPAN(NOTHING_YET))) {
        const struct rc_span argv[] = {RC_SPAN("XRANGE"), key, last, last, RC_SPAN("COUNT"), RC_SPAN("1")};
        rc = rc_redis_conn_command(&stream->conn, last_replied, stream, 6, argv);
    } else {
        (void)snprintf(block, sizeof(block), "%u", RC_REDIS_STREAM_BLOCK_MS);
        (void)snprintf(batch, sizeof(batch), "%u", RC_REDIS_STREAM_BATCH);
        const struct rc_span argv[] = {RC_SPAN("XREAD"),
                                       RC_SPAN("COUNT"),
                                       rc_span_text(batch),
                                       RC_SPAN("BLOCK"),
                                       rc_span_text(block),
                                       RC_SPAN("STREAMS"),
                                       key,
                                       last};
        rc = rc_redis_conn_command(&stream->conn, read_replied, stream, 8, argv);
    }
    if (rc != 0) {
        stream_again(stream, RC_REDIS_AGAIN_MS);
    }
}

static void stream_ready(void *context, struct rc_redis_conn *conn)
{
    struct rc_redis_stream *stream = context;
    (void)conn;
    rc_timer_cancel(stream->link->wire.timers, &stream->again);
    stream->unsure = true;
    stream->refusals = 0; /* it may be another server */
    stream_next(stream);
    rc_redis_node_changed(stream->link, NULL);
}

static void stream_lost(void *context, struct rc_redis_conn *conn, const char *why)
{
    const struct rc_redis_stream *stream = context;
    (void)conn;
    if (stream->link->topology->stale != NULL) {
        stream->link->topology->stale(stream->link);
    }
    rc_redis_node_changed(stream->link, why);
}

static void stream_late(void *context, struct rc_redis_conn *conn, bool late)
{
    const struct rc_redis_stream *stream = context;
    rc_redis_node_changed(stream->link, late ? conn->error : NULL);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static const struct rc_redis_conn_ops stream_conn_ops = {
    .ready = stream_ready, .lost = stream_lost, .late = stream_late};

void rc_redis_stream_open(struct rc_redis_stream *stream, struct rc_redis_link *link, struct rc_span name,
                          const struct rc_redis_stream_ops *ops)
{
    *stream = (struct rc_redis_stream){.link = link, .ops = *ops};
    const int bytes = snprintf(stream->key, sizeof(stream->key), "%s%.*s", link->config.prefix.text, (int)name.count,
                               (const char *)name.bytes);
    RC_ASSERT(bytes > 0 && (size_t)bytes < sizeof(stream->key));
    stream->key_bytes = (uint32_t)bytes;
    rc_redis_conn_init(&stream->conn, &link->wire, &stream_conn_ops, stream, "stream");
    stream->conn.login = rc_redis_node_login(link);
    link->by_shard |= link->topology->outbox != NULL;
    link->stream = stream;
}

void rc_redis_stream_turn(struct rc_redis_stream *stream)
{
    const struct rc_redis_link *link = stream->link;
    const struct rc_span key = rc_span_of(stream->key, stream->key_bytes);
    const struct rc_redis_node *node =
        link->topology->owner != NULL ? link->topology->owner(link, key) : rc_redis_link_home(link);
    if (node != NULL && node->command.state != RC_REDIS_CONN_CLOSED &&
        (stream->conn.state == RC_REDIS_CONN_CLOSED || stream->conn.address.port != node->address.port ||
         strcmp(stream->conn.address.host, node->address.host) != 0)) {
        rc_redis_conn_open(&stream->conn, &node->address, link->url.path);
    }
    rc_redis_conn_flush(&stream->conn);
}

void rc_redis_stream_close(struct rc_redis_stream *stream)
{
    rc_timer_cancel(stream->link->wire.timers, &stream->again);
    rc_redis_conn_free(&stream->conn);
}
