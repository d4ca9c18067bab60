/*
 * api_pusher: what server SDKs of the Pusher Channels protocol ask for, below /apps/ (pusher.com/docs/channels, "HTTP API"). See api.h.
 *
 *   POST events, batch_events   published, then (with `info`) COUNTING        GET channels            LISTING, page by page, then COUNTING
 *   GET channels/{name}         COUNTING                                      GET channels/{name}/users   MEMBERS
 *   POST users/{id}/terminate_connections   ENDING
 *
 * COUNTING goes from channel to channel: how many are subscribed (all workers of all instances are asked), then how many users are there, then the
 * last event of a cache channel (the relay is).
 */
#include "worker/api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/pusher.h"
#include "common/shm/history.h"
#include "worker/api/pusher_auth.h"
#include "worker/api/pusher_body.h"
#include "worker/proto/pusher.h"

#define BELOW "/apps/"
#define ITEMS_MAX 100000u /* channels of one answer */

enum stage { PUBLISHING, LISTING, SUBSCRIPTIONS, USERS, CACHE, MEMBERS, ENDING };

/* A channel that is told of. */
struct item {
    uint64_t subscriptions;
    uint64_t users;
    uint32_t kind;
    uint32_t info;
    uint8_t name_bytes;
    char name[RC_CHANNEL_NAME_MAX]; /* as the broker has it */
};

struct rc_api_pusher {
    uint32_t app;
    enum stage stage;
    bool has_md5;
    bool one;     /* GET of a channel: the answer is about it alone */
    bool named;   /* the answer is an object of channels by their names */
    bool listed;  /* who is subscribed is known already, from a list */
    bool batched; /* a list of events, which is an array */
    bool sent;    /* all that was to be published is: whoever asks again publishes it twice */
    uint32_t info;
    char md5[RC_PUSHER_MD5_DIGITS];
    char prefix[RC_CHANNEL_NAME_MAX];
    size_t prefix_bytes;
    struct rc_pusher_post post;
    struct rc_text
        cache; /* owned: the last event of the one cache channel, as a member of the answer; empty: it has none */
    struct item *items; /* owned */
    uint32_t item_count;
    uint32_t item_room;
    uint32_t at;      /* the one that is asked about */
    uint32_t counted; /* so many have their counts */
};

static void pusher_free(void *own)
{
    struct rc_api_pusher *pusher = own;
    if (pusher != NULL) {
        rc_pusher_post_free(&pusher->post);
        rc_text_free(&pusher->cache);
        free(pusher->items);
        free(pusher);
    }
}

static struct rc_api_pusher *pusher_of(const struct rc_api_call *call)
{
    return call->own;
}

static const struct rc_config_pusher_app *app_of(const struct rc_api_call *call)
{
    return &call->api->clients->config->pusher_apps[pusher_of(call)->app];
}

/* -ENOMEM. */
static int item_add(struct rc_api_pusher *pusher, struct rc_span name, uint32_t info, uint64_t subscriptions)
{
    bool user;
    if (pusher->item_count == pusher->item_room) {
        const uint32_t room = pusher->item_room == 0 ? 16 : 2 * pusher->item_room;
        struct item *larger = room > ITEMS_MAX ? NULL : realloc(pusher->items, room * sizeof(*larger));
        if (larger == NULL) {
            return -ENOMEM;
        }
        pusher->items = larger;
        pusher->item_room = room;
    }
    struct item *item = &pusher->items[pusher->item_count++];
    *item = (struct item){.subscriptions = subscriptions,
                          .kind = rc_pusher_kind_of(rc_pusher_name_of(name, &user)),
                          .info = info,
                          .name_bytes = (uint8_t)name.count};
    memcpy(item->name, name.bytes, name.count);
    return 0;
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static void put_counts(struct rc_text *text, const struct rc_api_pusher *pusher, uint32_t index, const char *before)
{
    const struct item *item = &pusher->items[index];
    if (index >= pusher->counted) {
        return; /* left out */
    }
    if (item->info & RC_PUSHER_INFO_USERS && item->kind & RC_PUSHER_PRESENCE) {
        rc_text_put(text, "%s\"user_count\":%llu", before, (unsigned long long)item->users);
        before = ",";
    }
    if (item->info & RC_PUSHER_INFO_SUBSCRIPTIONS) {
        rc_text_put(text, "%s\"subscription_count\":%llu", before, (unsigned long long)item->subscriptions);
    }
}

static void pusher_finish(struct rc_api_call *call)
{
    const struct rc_api_pusher *pusher = pusher_of(call);
    struct rc_text text = {0};
    bool user;
    if (pusher->one) {
        rc_text_put(&text, "{\"occupied\":%s", pusher->items[0].subscriptions > 0 ? "true" : "false");
        put_counts(&text, pusher, 0, ",");
        rc_text_put_bytes(&text, pusher->cache.bytes, pusher->cache.count);
        rc_text_put(&text, "}");
    } else if (pusher->batched) {
        rc_text_put(&text, "{\"batch\":[");
        for (uint32_t i = 0; i < pusher->item_count; i++) {
            rc_text_put(&text, i == 0 ? "{" : ",{");
            put_counts(&text, pusher, i, "");
            rc_text_put(&text, "}");
        }
        rc_text_put(&text, "]}");
    } else if (pusher->named) {
        rc_text_put(&text, "{\"channels\":{");
        for (uint32_t i = 0; i < pusher->item_count; i++) {
            const struct item *item = &pusher->items[i];
            rc_text_put(&text, i == 0 ? "" : ",");
            rc_text_put_json(&text, rc_pusher_name_of(rc_span_of(item->name, item->name_bytes), &user));
            rc_text_put(&text, ":{");
            put_counts(&text, pusher, i, "");
            rc_text_put(&text, "}");
        }
        rc_text_put(&text, "}}");
    } else {
        rc_text_put(&text, "{}");
    }
    rc_api_finish(call, &text);
}

/* --- counting -------------------------------------------------------------------------------------------------------- */

/* rc_api_call.late: what was asked for is done, and what could not be counted is left out. */
static void pusher_uncounted(struct rc_api_call *call)
{
    pusher_of(call)->counted = pusher_of(call)->at;
    pusher_finish(call);
}

static void pusher_fail(struct rc_api_call *call, const struct rc_api_fault *fault)
{
    if (pusher_of(call)->sent) {
        pusher_uncounted(call);
    } else {
        rc_api_fail(call, fault);
    }
}

/* The next question about the channel, or about the next one that there is a question about; after the last: the answer. */
static void count_on(struct rc_api_call *call)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    struct rc_api_fault fault;
    rc_api_forget_replies(call);
    for (; pusher->at < pusher->item_count; pusher->at++) {
        const struct item *item = &pusher->items[pusher->at];
        const struct rc_span name = rc_span_of(item->name, item->name_bytes);
        if (pusher->stage < SUBSCRIPTIONS) {
            pusher->stage = SUBSCRIPTIONS;
            if (!pusher->listed && (pusher->one || (item->info & RC_PUSHER_INFO_SUBSCRIPTIONS))) {
                const struct rc_api_question question = {.text = name};
                call->limit = 1;
                call->listing = true;
                if (rc_api_ask_workers(call, RC_CALL_CHANNELS, &question, &fault) < 0) {
                    pusher_fail(call, &fault);
                }
                return;
            }
        }
        if (pusher->stage == SUBSCRIPTIONS) {
            pusher->stage = USERS;
            if ((item->info & RC_PUSHER_INFO_USERS) && (item->kind & RC_PUSHER_PRESENCE)) {
                call->limit = 1;
                if (rc_api_ask_members(call, name, &fault) < 0) {
                    pusher_fail(call, &fault);
                }
                return;
            }
        }
        if (pusher->stage == USERS) {
            pusher->stage = CACHE;
            if (item->info & RC_PUSHER_INFO_CACHE) { /* of one channel alone */
                if (rc_api_ask_retained(call, name, &fault) < 0) {
                    pusher_fail(call, &fault);
                }
                return;
            }
        }
        pusher->stage = PUBLISHING; /* of the next one */
    }
    pusher->counted = pusher->item_count;
    pusher_finish(call);
}

static int count_subscriptions(void *context, struct rc_span name, uint64_t subscribers)
{
    struct item *item = context;
    if (rc_span_equal(name, rc_span_of(item->name, item->name_bytes))) {
        item->subscriptions = subscribers;
    }
    return 0;
}

/* --- lists ----------------------------------------------------------------------------------------------------------- */

static int list_page(struct rc_api_call *call, struct rc_span behind, struct rc_api_fault *fault)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    const struct rc_api_question question = {.text = rc_span_of(pusher->prefix, pusher->prefix_bytes),
                                             .channel = behind};
    pusher->stage = LISTING;
    call->limit = RC_API_CHANNELS_MAX;
    call->listing = true;
    return rc_api_ask_workers(call, RC_CALL_CHANNELS, &question, fault);
}

static int list_one(void *context, struct rc_span name, uint64_t subscribers)
{
    struct rc_api_pusher *pusher = context;
    bool user;
    /* Of an app whose channels are plain ones others' are among them. */
    return !rc_pusher_channel_valid(rc_pusher_name_of(name, &user)) || user ||
                   (pusher->prefix_bytes == 0 && memchr(name.bytes, ':', name.count) != NULL)
               ? 0
               : item_add(pusher, name, pusher->info, subscribers);
}

static void list_came(struct rc_api_call *call)
{
    struct rc_api_fault fault;
    char next[RC_CHANNEL_NAME_MAX];
    const int bytes = rc_api_each_channel(call, list_one, pusher_of(call), next);
    if (bytes < 0) {
        rc_api_fault(&fault, 503, "no memory for so many channels: ask with filter_by_prefix");
        pusher_fail(call, &fault);
        return;
    }
    rc_api_forget_replies(call);
    if (bytes > 0) {
        if (list_page(call, rc_span_of(next, (size_t)bytes), &fault) < 0) {
            pusher_fail(call, &fault);
        }
        return;
    }
    pusher_of(call)->at = 0;
    count_on(call);
}

/* rc_api_call.finish: all messages have their places, or all who were asked have replied. */
static void pusher_done(struct rc_api_call *call)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    char next[RC_CHANNEL_NAME_MAX];
    switch (pusher->stage) {
    case LISTING:
        list_came(call);
        return;
    case SUBSCRIPTIONS:
        (void)rc_api_each_channel(call, count_subscriptions, &pusher->items[pusher->at], next);
        count_on(call);
        return;
    case PUBLISHING:
        pusher->sent = true;
        call->late = pusher_uncounted;
        count_on(call);
        return;
    case USERS:
    case CACHE:
    case MEMBERS:
    case ENDING:
        pusher_finish(call);
        return;
    }
}

/* --- who is there ---------------------------------------------------------------------------------------------------- */

static void put_users(struct rc_api_call *call, struct rc_span entries)
{
    struct rc_query_entry entry;
    struct rc_text text = {0};
    const char *before = "";
    rc_text_put(&text, "{\"users\":[");
    while (rc_query_entry_next(&entries, &entry)) {
        if (entry.user.count > 0) {
            rc_text_put(&text, "%s{\"id\":", before);
            rc_text_put_json(&text, entry.user);
            rc_text_put(&text, "}");
            before = ",";
        }
    }
    rc_text_put(&text, "]}");
    rc_api_finish(call, &text);
}

/* What subscribers of the channel get first, as they get it: data that is no string is one that holds it. */
static void cache_came(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    struct rc_history_message message;
    struct rc_api_fault fault;
    if (view->head.code != 0) {
        rc_api_fault(&fault, 503, "the last event cannot be read now: try again");
        pusher_fail(call, &fault);
        return;
    }
    if (view->head.data_bytes > 0 && rc_history_message_of(view->data, view->head.data_bytes, &message) &&
        message.data.count > 0 && (message.entry.flags & (RC_HISTORY_ARGS | RC_HISTORY_BINARY)) == 0) {
        rc_text_put(&pusher->cache, ",\"cache\":{\"event\":");
        rc_text_put_json(&pusher->cache, message.event);
        rc_text_put(&pusher->cache, ",\"data\":");
        if (message.data.bytes[0] == '"') {
            rc_text_put_bytes(&pusher->cache, message.data.bytes, message.data.count);
        } else {
            rc_text_put_json(&pusher->cache, message.data);
        }
        rc_text_put(&pusher->cache, "}");
    }
    if (pusher->cache.failed) {
        rc_api_fault(&fault, 503, "no memory for the last event: try again");
        pusher_fail(call, &fault);
        return;
    }
    count_on(call);
}

static void users_came(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    struct rc_query_answer answer;
    struct rc_api_fault fault;
    if (view->head.code != 0 || view->head.data_bytes < sizeof(answer)) {
        rc_api_fault(&fault, 503, "too many such questions at once: try again");
        pusher_fail(call, &fault);
        return;
    }
    memcpy(&answer, view->data, sizeof(answer));
    if (pusher->stage == MEMBERS) {
        put_users(call, rc_span_of(view->data + sizeof(answer), view->head.data_bytes - sizeof(answer)));
        return;
    }
    if (pusher->stage == USERS && pusher->at < pusher->item_count) {
        pusher->items[pusher->at].users = answer.users;
        count_on(call);
    }
}

static void pusher_record(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view)
{
    if (type == RC_DOWN_QUERY && pusher_of(call)->stage == CACHE) {
        cache_came(call, view);
    } else if (type == RC_DOWN_QUERY) {
        users_came(call, view);
    } else if (pusher_of(call)->stage == PUBLISHING && call->message_count > call->answered) {
        rc_api_published(call, type, view);
    } else {
        rc_api_gathered(call, type, view);
    }
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

static int pusher_body_good(const struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_api_pusher *pusher = pusher_of(call);
    const struct rc_span body = rc_span_of(call->exchange->bytes, call->exchange->byte_count);
    if ((body.count > 0 && !pusher->has_md5) || (pusher->has_md5 && !rc_pusher_body_is(body, pusher->md5))) {
        rc_metric_add(call->api->clients->metrics, RC_METRIC_PUSHER_UNAUTHORIZED, 1);
        return rc_api_fault(fault, 401, "body_md5 is not that of the body");
    }
    return 0;
}

static int pusher_publish(struct rc_api_call *call, bool batch, struct rc_api_fault *fault)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    char why[RC_PUSHER_WHY_MAX];
    if (pusher_body_good(call, fault) < 0 || rc_api_arena(call, fault) < 0) {
        return -EINVAL;
    }
    const uint16_t status = rc_pusher_post_read(
        &pusher->post, rc_span_of(call->exchange->bytes, call->exchange->byte_count), batch, app_of(call), why);
    if (status != 0) {
        return rc_api_fault(fault, status, "%s", why);
    }
    const uint32_t count = pusher->post.count;
    bool wanted = false;
    call->messages = calloc(count, sizeof(*call->messages));
    call->places = calloc(count, sizeof(*call->places));
    if (call->messages == NULL || call->places == NULL) {
        return rc_api_fault(fault, 503, "no memory for the events: try again");
    }
    const bool keeps = call->api->clients->config->limits.history_memory_bytes > 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_pusher_post_event *event = &pusher->post.events[i];
        call->messages[i] = (struct rc_api_message){.channel = event->channel,
                                                    .data = event->data,
                                                    .exclude = event->socket_id,
                                                    .event = event->event,
                                                    .retain = keeps && (event->kind & RC_PUSHER_CACHE) != 0};
        wanted |= event->info != 0;
        if (rc_api_message_fits(call, &call->messages[i], fault) < 0) {
            return -EINVAL; /* nothing is sent: each of a batch fits, or none is */
        }
        if (item_add(pusher, event->channel, event->info, 0) < 0) {
            return rc_api_fault(fault, 503, "no memory for the events: try again");
        }
    }
    if (!wanted) {
        pusher->item_count = 0;
    }
    pusher->named = wanted && !batch;
    pusher->batched = wanted && batch;
    call->message_count = count;
    call->listed = true;
    call->finish = pusher_done;
    rc_api_send(call);
    return 0;
}

static int run_events(struct rc_api_call *call, struct rc_api_fault *fault)
{
    return pusher_publish(call, false, fault);
}

static int run_batch(struct rc_api_call *call, struct rc_api_fault *fault)
{
    return pusher_publish(call, true, fault);
}

/* `may`: what of enum rc_pusher_info is known there. */
static int info_of(struct rc_api_call *call, uint32_t may, struct rc_api_fault *fault)
{
    char info[64];
    struct rc_span text;
    if (rc_api_query_text(call, "info", info, sizeof(info), &text, fault) < 0) {
        return -EINVAL;
    }
    pusher_of(call)->info = rc_pusher_info_read(text, may);
    return pusher_of(call)->info != UINT32_MAX ? 0
           : may & RC_PUSHER_INFO_CACHE
               ? rc_api_fault(fault, 400,
                              "info must be of \"user_count\", \"subscription_count\" and \"cache\", with commas")
               : rc_api_fault(fault, 400, "info must be \"user_count\", \"subscription_count\" or both with a comma");
}

static int run_channels(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    call->finish = pusher_done;
    char filter[RC_PUSHER_NAME_MAX];
    struct rc_span prefix;
    if (info_of(call, RC_PUSHER_INFO_COUNTS, fault) < 0 ||
        rc_api_query_text(call, "filter_by_prefix", filter, sizeof(filter), &prefix, fault) < 0) {
        return -EINVAL;
    }
    if ((pusher->info & RC_PUSHER_INFO_USERS) && !(rc_pusher_kind_of(prefix) & RC_PUSHER_PRESENCE)) {
        return rc_api_fault(fault, 400, "user_count is of presence channels: ask with filter_by_prefix=presence-");
    }
    pusher->prefix_bytes = rc_pusher_channel_write(app_of(call), prefix, pusher->prefix);
    pusher->named = pusher->listed = true;
    return list_page(call, (struct rc_span){0}, fault);
}

static int run_channel(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_api_pusher *pusher = pusher_of(call);
    if (info_of(call, RC_PUSHER_INFO_COUNTS | RC_PUSHER_INFO_CACHE, fault) < 0) {
        return -EINVAL;
    }
    const struct item *item = &pusher->items[0];
    if ((pusher->info & RC_PUSHER_INFO_USERS) && !(item->kind & RC_PUSHER_PRESENCE)) {
        return rc_api_fault(fault, 400, "user_count is of presence channels");
    }
    if ((pusher->info & RC_PUSHER_INFO_CACHE) && !(item->kind & RC_PUSHER_CACHE)) {
        return rc_api_fault(fault, 400, "cache is of cache channels");
    }
    pusher->items[0].info = pusher->info;
    pusher->one = true;
    call->finish = pusher_done;
    count_on(call);
    return 0;
}

static int run_users(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct item *item = &pusher_of(call)->items[0];
    if (!(item->kind & RC_PUSHER_PRESENCE)) {
        return rc_api_fault(fault, 400, "users are of presence channels");
    }
    pusher_of(call)->stage = MEMBERS;
    call->limit = RC_QUERY_LIMIT_MAX;
    return rc_api_ask_members(call, rc_span_of(item->name, item->name_bytes), fault);
}

static int run_terminate(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_api_pusher *pusher = pusher_of(call);
    const struct rc_api_question question = {.user = rc_span_of(pusher->prefix, pusher->prefix_bytes),
                                             .text = RC_SPAN("terminated by app"),
                                             .close_code = RC_PUSHER_UNAUTHORIZED};
    if (pusher_body_good(call, fault) < 0) {
        return -EINVAL;
    }
    pusher_of(call)->stage = ENDING;
    call->finish = pusher_done;
    return rc_api_ask_workers(call, RC_CALL_DISCONNECT, &question, fault);
}

/* --- which request --------------------------------------------------------------------------------------------------- */

/* Numbers behind those of api.c. */
static const struct rc_api_route calls[] = {
    {101, true, run_events, rc_api_send, pusher_record, rc_api_put_published},
    {102, true, run_batch, rc_api_send, pusher_record, rc_api_put_published},
    {103, false, run_channels, NULL, pusher_record, NULL},
    {104, false, run_channel, NULL, pusher_record, NULL},
    {105, false, run_users, NULL, pusher_record, NULL},
    {106, true, run_terminate, NULL, pusher_record, NULL},
};
enum { EVENTS, BATCH, CHANNELS, CHANNEL, CHANNEL_USERS, TERMINATE };

/* Parts of a path, between slashes. */
#define PARTS_MAX 5u
struct parts {
    struct rc_span all[PARTS_MAX];
    uint32_t count; /* PARTS_MAX + 1: there are more */
};

/* Those behind BELOW, each decoded by itself (a user's id may have a slash, as "%2F"), into `room`. */
static struct parts parts_of(struct rc_http_view path, char room[RC_ROUTE_PATH_BYTES_MAX])
{
    struct parts parts = {0};
    size_t used = 0;
    for (uint32_t i = 0;; i++) { /* 0: what is before the first slash, nothing; 1: "apps" */
        const char *slash = path.bytes == 0 ? NULL : memchr(path.text, '/', path.bytes);
        const struct rc_http_view part = {.text = path.text,
                                          .bytes = slash == NULL ? path.bytes : (size_t)(slash - path.text)};
        if (i >= 2 && parts.count < PARTS_MAX) {
            const int bytes = rc_http_path_decode(part, room + used, RC_ROUTE_PATH_BYTES_MAX - used);
            RC_ASSERT(bytes >= 0); /* the router has decoded all of it */
            parts.all[parts.count] = rc_span_of(room + used, (size_t)bytes);
            used += (size_t)bytes;
        }
        parts.count += i >= 2 && parts.count <= PARTS_MAX;
        if (slash == NULL) {
            return parts;
        }
        path = (struct rc_http_view){.text = slash + 1, .bytes = path.bytes - part.bytes - 1};
    }
}

static bool part_is(const struct parts *parts, uint32_t index, const char *text)
{
    return index < parts->count && rc_span_equal(parts->all[index], rc_span_text(text));
}

/* NULL: there is no such resource. */
static const struct rc_api_route *route_of(const struct parts *parts, bool post)
{
    if (parts->count == 2 && post) {
        return part_is(parts, 1, "events") ? &calls[EVENTS] : part_is(parts, 1, "batch_events") ? &calls[BATCH] : NULL;
    }
    if (parts->count == 4 && post && part_is(parts, 1, "users") && part_is(parts, 3, "terminate_connections")) {
        return &calls[TERMINATE];
    }
    if (post || !part_is(parts, 1, "channels")) {
        return NULL;
    }
    return parts->count == 2                                 ? &calls[CHANNELS]
           : parts->count == 3                               ? &calls[CHANNEL]
           : parts->count == 4 && part_is(parts, 3, "users") ? &calls[CHANNEL_USERS]
                                                             : NULL;
}

/* What the path names: a channel, or a user. Its status otherwise. */
static uint16_t take_name(struct rc_api_pusher *pusher, const struct rc_config_pusher_app *app,
                          const struct rc_api_route *route, const struct parts *parts)
{
    char name[RC_CHANNEL_NAME_MAX];
    if (route == &calls[TERMINATE]) {
        pusher->prefix_bytes = rc_pusher_user_write(app, parts->all[2], pusher->prefix);
        return pusher->prefix_bytes == 0 || !rc_json_utf8_valid(parts->all[2]) ? 400 : 0;
    }
    if (route != &calls[CHANNEL] && route != &calls[CHANNEL_USERS]) {
        return 0;
    }
    if (!rc_pusher_channel_valid(parts->all[2]) || (rc_pusher_kind_of(parts->all[2]) & RC_PUSHER_USER)) {
        return 400;
    }
    const size_t bytes = rc_pusher_channel_write(app, parts->all[2], name);
    return bytes == 0 ? 400 : item_add(pusher, rc_span_of(name, bytes), 0, 0) < 0 ? 503 : 0;
}

/* 0: the call is to begin. Else the status and *why. */
static uint16_t pusher_judge(struct rc_api *api, const struct rc_exchange *exchange, struct rc_api_pusher *pusher,
                             const struct rc_api_route **route, const char **why)
{
    const struct rc_http_request *request = exchange->request;
    const struct rc_config *config = api->clients->config;
    char path[RC_ROUTE_PATH_BYTES_MAX];
    const struct parts parts = parts_of(request->path, path);
    const int app = rc_pusher_app_of_id(config, parts.all[0]);
    const struct rc_pusher_signed_request signed_one = {
        .method = request->method_text, .path = request->path, .query = request->query};
    if (app < 0) {
        *why = "there is no app with this id";
        return 404;
    }
    *why = rc_pusher_request_refusal(&signed_one, &config->pusher_apps[app], rc_clock_wall_ms() / 1000, pusher->md5,
                                     &pusher->has_md5);
    if (*why != NULL) {
        rc_metric_add(api->clients->metrics, RC_METRIC_PUSHER_UNAUTHORIZED, 1);
        return 401;
    }
    *route = route_of(&parts, request->method == RC_HTTP_POST);
    if (*route == NULL) {
        *why = "there is no such resource: events, batch_events, channels, channels/NAME, channels/NAME/users, "
               "users/ID/terminate_connections";
        return 404;
    }
    pusher->app = (uint32_t)app;
    *why = "the name in the path is too long or has characters that are not allowed";
    return take_name(pusher, &config->pusher_apps[app], *route, &parts);
}

static void pusher_begin(void *context, struct rc_exchange *exchange, const struct rc_route *unused)
{
    struct rc_api *api = context;
    struct rc_api_pusher *pusher = calloc(1, sizeof(*pusher));
    const struct rc_api_route *route = NULL;
    const char *why = "no memory: try again";
    const uint16_t status = pusher == NULL ? 503 : pusher_judge(api, exchange, pusher, &route, &why);
    (void)unused;
    if (status != 0) {
        pusher_free(pusher);
        rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = status, .message = why});
        return;
    }
    memset(api->caller, 0, sizeof(api->caller)); /* whose idempotency keys they are */
    memcpy(api->caller, &pusher->app, sizeof(pusher->app));
    rc_api_begin(api, exchange, route, pusher, pusher_free);
}

void rc_api_pusher_open(struct rc_api *api)
{
    static const struct rc_route routes[] = {{.path = RC_ROUTE_ANY,
                                              .methods = "GET, HEAD, POST",
                                              .allow = "GET, HEAD, POST",
                                              .wrong = "this call is a GET or a POST",
                                              .takes_body = true,
                                              .run = pusher_begin}};
    const struct rc_route_set set = {.below = BELOW,
                                     .routes = routes,
                                     .count = RC_ARRAY_COUNT(routes),
                                     .context = api,
                                     .missing = "no such app",
                                     .user = &rc_api_user};
    if (api->clients->config->pusher_app_count > 0) { /* else an end point may have such a path */
        rc_routes_add(&api->clients->routes, &set);
    }
}
