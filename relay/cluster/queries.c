/* queries: see queries.h. */
#include "relay/cluster/queries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"
#include "relay/bridge/notifications.h"
#include "relay/cluster/presence.h"

#define CODE_UNAVAILABLE 503
#define CODE_BAD_REQUEST 400
#define USER_BYTES_MAX (RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES)

/* KEYS: a channel's members. ARGV: how many. How many users, then users and their values one after the other. A scan may show one twice;
 * it is not begun again, so that one that is always there is shown. */
static const char members_script[] = "local users=redis.call('HLEN',KEYS[1])\n"
                                     "local some=redis.call('HEXISTS',KEYS[1],'')\n"
                                     "local max=tonumber(ARGV[1])\n"
                                     "local out={users-some,users>max and 1 or 0}\n"
                                     "local seen={}\n"
                                     "local cursor='0'\n"
                                     "repeat\n"
                                     "  local page=redis.call('HSCAN',KEYS[1],cursor,'COUNT',max)\n"
                                     "  cursor=page[1]\n"
                                     "  for i=1,#page[2],2 do\n"
                                     "    if not seen[page[2][i]] and max>0 then\n"
                                     "      seen[page[2][i]]=true\n"
                                     "      max=max-1\n"
                                     "      out[#out+1]=page[2][i]\n"
                                     "      out[#out+1]=page[2][i+1]\n"
                                     "    end\n"
                                     "  end\n"
                                     "until cursor=='0' or max==0\n"
                                     "return out";

/*
 * FREE ──taken──▶ NEW ──its commands were sent──▶ ASKED ──all answered──▶ FREE
 *                  └──Redis is away──▶ FREE         └──deadline──▶ LATE ──all answered──▶ FREE
 */
enum state { FREE, NEW, ASKED, LATE };

struct rc_query {
    struct rc_queries *owner;
    enum state state;
    uint64_t number;
    uint64_t due_ms;
    uint32_t worker;
    uint32_t flying; /* commands without an answer */
    bool failed;     /* one of them was no answer */
    bool has_members;
    struct rc_query_head head;
    struct rc_envelope asked; /* the record's head */
    uint8_t request_id[RC_REQUEST_ID_MAX];
    char channel[RC_CHANNEL_NAME_MAX];
    struct rc_query_answer answer;
    uint8_t *entries; /* owner: what was found, or NULL */
    uint32_t entries_bytes;
};

static struct rc_span queries_channel_of(const struct rc_query *query)
{
    return rc_span_of(query->channel, query->asked.channel_bytes);
}

/* Of a channel `user:{id}`. */
static struct rc_span queries_user_of(const struct rc_query *query)
{
    return rc_span_of(query->channel + RC_USER_CHANNEL_HEAD_BYTES,
                      query->asked.channel_bytes - RC_USER_CHANNEL_HEAD_BYTES);
}

static uint32_t limit_of(const struct rc_query *query)
{
    const uint32_t limit = query->head.limit == 0 ? RC_QUERY_LIMIT_DEFAULT : query->head.limit;
    return limit < RC_QUERY_LIMIT_MAX ? limit : RC_QUERY_LIMIT_MAX;
}

static bool queries_clustered(const struct rc_queries *queries)
{
    return queries->link != NULL;
}

/* Does what is in Redis count for this host? */
static bool queries_connected(const struct rc_queries *queries)
{
    return queries_clustered(queries) && rc_redis_up(queries->link) && rc_registry_owned(queries->registry);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static int queries_send(const struct rc_query *query, uint16_t code, const void *data, uint32_t bytes)
{
    const struct rc_queries *queries = query->owner;
    const struct rc_envelope_view view = {.head = {.origin = query->asked.origin,
                                                   .token = query->asked.token,
                                                   .flags = (uint16_t)(query->asked.flags & RC_ENVELOPE_API),
                                                   .code = code,
                                                   .data_bytes = bytes,
                                                   .channel_bytes = query->asked.channel_bytes,
                                                   .request_id_bytes = query->asked.request_id_bytes},
                                          .channel = query->channel,
                                          .request_id = query->request_id,
                                          .data = data};
    return rc_router_send(queries->router, query->worker, RC_DOWN_QUERY, &view);
}

static void queries_refuse(const struct rc_query *query, uint16_t code)
{
    rc_metric_add(query->owner->router->setup.metrics, RC_METRIC_QUERIES_REFUSED, 1);
    (void)queries_send(query, code, NULL, 0);
}

/* Room for entries in the owner's bytes, which begin with the answer itself. A record must fit half of the worker's ring. */
static uint32_t room_of(const struct rc_query *query)
{
    const struct rc_queries *queries = query->owner;
    const uint64_t ring = rc_router_record_max(queries->router, query->worker) / 2;
    return (uint32_t)(ring < RC_QUERY_BYTES_MAX ? ring : RC_QUERY_BYTES_MAX);
}

static void queries_finish(struct rc_query *query, struct rc_query_answer *answer, uint32_t used)
{
    struct rc_queries *queries = query->owner;
    if ((answer->flags & RC_QUERY_LOCAL) != 0) {
        rc_metric_add(queries->router->setup.metrics, RC_METRIC_QUERIES_LOCAL, 1);
    }
    memcpy(queries->bytes, answer, sizeof(*answer));
    if (queries_send(query, 0, queries->bytes, used) != 0) {
        queries_refuse(query, CODE_UNAVAILABLE);
    }
}

/* --- this host ------------------------------------------------------------------------------------------------------- */

/* An entry stands behind the others, if it found room (`after` != 0). False: it has not, and the answer says that there are more. */
static bool put_one(struct rc_query_answer *answer, uint32_t after, uint32_t *used)
{
    if (after == 0) {
        answer->flags |= RC_QUERY_MORE;
        return false;
    }
    *used = after;
    answer->count++;
    return true;
}

static uint32_t put_members(struct rc_query *query, struct rc_query_answer *answer, uint32_t used)
{
    struct rc_queries *queries = query->owner;
    struct rc_roster_counts counts;
    struct rc_query_entry entry = {.instances = rc_span_text(queries->control->instance_id)};
    uint32_t cursor = UINT32_MAX;
    if (!rc_roster_find(queries->roster, queries_channel_of(query), &counts)) {
        return used;
    }
    answer->clients = counts.clients;
    answer->users = counts.users;
    while (rc_roster_next(queries->roster, &counts, &cursor, &entry.user, &entry.clients)) {
        entry.info = rc_roster_info(queries->roster, cursor);
        const uint32_t after =
            answer->count == limit_of(query) ? 0 : rc_query_entry_put(queries->bytes, used, room_of(query), &entry);
        if (!put_one(answer, after, &used)) {
            break;
        }
    }
    return used;
}

static uint32_t put_user(struct rc_query *query, struct rc_query_answer *answer, uint32_t used,
                         struct rc_span instances)
{
    const struct rc_query_entry entry = {.user = queries_user_of(query), .instances = instances};
    const uint32_t after = rc_query_entry_put(query->owner->bytes, used, room_of(query), &entry);
    answer->count = after != 0;
    return after != 0 ? after : used;
}

static uint64_t own_clients(const struct rc_queries *queries)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < queries->control->worker_count; i++) {
        total += rc_report_value(queries->control->workers[i], RC_METRIC_CONNECTIONS);
    }
    return total;
}

/* This one first. */
static uint32_t put_instances(struct rc_query *query, struct rc_query_answer *answer, uint32_t used)
{
    struct rc_queries *queries = query->owner;
    const uint64_t now_ms = rc_clock_ms();
    const struct rc_query_instance self = {.started_ms = queries->control->boot_wall_ms,
                                           .clients = own_clients(queries),
                                           .id = rc_span_text(queries->control->instance_id)};
    used = rc_query_instance_put(queries->bytes, used, room_of(query), &self);
    answer->count = 1;
    for (uint32_t i = 0; queries->registry != NULL && i < queries->registry->instance_count; i++) {
        const struct rc_registry_instance *its = &queries->registry->instances[i];
        const struct rc_query_instance one = {.started_ms = its->started_ms,
                                              .heard_ms = now_ms - its->heard_ms,
                                              .clients = its->client_count,
                                              .id = rc_span_text(its->id)};
        if (!put_one(answer, rc_query_instance_put(queries->bytes, used, room_of(query), &one), &used)) {
            break;
        }
    }
    return used;
}

static void answer_here(struct rc_query *query)
{
    struct rc_queries *queries = query->owner;
    struct rc_query_answer answer = {
        .flags = queries_clustered(queries) && !(query->head.kind == RC_QUERY_INSTANCES && queries_connected(queries))
                     ? RC_QUERY_LOCAL
                     : 0};
    uint32_t used = sizeof(answer);
    switch ((enum rc_query_kind)query->head.kind) {
    case RC_QUERY_CHANNEL:
        used = put_members(query, &answer, used);
        break;
    case RC_QUERY_USER:
        if (rc_router_wanted(queries->router, queries_channel_of(query))) {
            used = put_user(query, &answer, used, rc_span_text(queries->control->instance_id));
        }
        break;
    case RC_QUERY_USERS:
        answer.users = queries->router->user_channels;
        break;
    case RC_QUERY_INSTANCES:
        used = put_instances(query, &answer, used);
        break;
    case RC_QUERY_VALUE:
    case RC_QUERY_KEYS:
    case RC_QUERY_SESSION:
    case RC_QUERY_MISSED:
    case RC_QUERY_LINK:
    case RC_QUERY_RETAINED:
    case RC_QUERY_HISTORY:
    case RC_QUERY_FORGET:
    case RC_QUERY_MARKS:
    case RC_QUERY_SET:
        break; /* are not taken here */
    }
    queries_finish(query, &answer, used);
}

/* --- Redis ----------------------------------------------------------------------------------------------------------- */

static void queries_release(struct rc_query *query)
{
    struct rc_queries *queries = query->owner;
    free(query->entries);
    *query = (struct rc_query){.owner = queries};
    queries->used--;
    rc_metric_set(queries->router->setup.metrics, RC_METRIC_QUERIES, queries->used);
}

static void answer_found(struct rc_query *query)
{
    struct rc_queries *queries = query->owner;
    uint32_t used = sizeof(query->answer);
    if (query->entries_bytes > 0) {
        memcpy(queries->bytes + used, query->entries, query->entries_bytes);
        used += query->entries_bytes;
    }
    queries_finish(query, &query->answer, used);
}

/* A command of it was answered. */
static void queries_answered(struct rc_query *query, bool good)
{
    query->failed |= !good;
    if (--query->flying > 0) {
        return;
    }
    if (query->state == ASKED && query->failed) {
        answer_here(query);
    } else if (query->state == ASKED) {
        answer_found(query);
    }
    queries_release(query);
}

/* "web1:2,web2:1" as its ids and the sum of the numbers; behind a line's end, what else is known. False when it is something else. */
static bool read_places(const redisReply *value, char *ids, size_t room, struct rc_query_entry *entry)
{
    const char *end = memchr(value->str, '\n', value->len);
    const size_t bytes = end == NULL ? value->len : (size_t)(end - value->str);
    struct rc_span rest = rc_span_of(value->str, bytes);
    struct rc_span place;
    size_t used = 0;
    uint64_t clients = 0;
    while (rc_query_instance_of(&rest, &place)) {
        const uint8_t *colon = memchr(place.bytes, ':', place.count);
        const size_t id_bytes = colon == NULL ? 0 : (size_t)(colon - place.bytes);
        if (id_bytes == 0 || id_bytes > RC_INSTANCE_ID_MAX || used + id_bytes + 1 > room) {
            return false;
        }
        uint64_t count = 0;
        for (size_t i = id_bytes + 1; i < place.count; i++) {
            if (place.bytes[i] < '0' || place.bytes[i] > '9' || count > UINT32_MAX) {
                return false;
            }
            count = count * 10 + (uint64_t)(place.bytes[i] - '0');
        }
        clients += count;
        if (used > 0) {
            ids[used++] = ',';
        }
        memcpy(ids + used, place.bytes, id_bytes);
        used += id_bytes;
    }
    entry->clients = clients > UINT32_MAX ? UINT32_MAX : (uint32_t)clients;
    entry->instances = rc_span_of(ids, used);
    entry->info = end == NULL ? rc_span_of(NULL, 0) : rc_span_of(end + 1, value->len - bytes - 1);
    return true;
}

static bool info_valid(struct rc_span info)
{
    struct rc_json_value value;
    return info.count == 0 || rc_json_scan(info, RC_JSON_CHECK_UTF8, &value, NULL) == 0;
}

/* What stands in Redis may be anybody's: what makes no sense is left out. */
static void take_members(struct rc_query *query, const redisReply *reply)
{
    struct rc_query_answer *answer = &query->answer;
    char ids[16384];
    const uint32_t room = room_of(query) - (uint32_t)sizeof(*answer);
    answer->users = reply->element[0]->integer > 0 ? (uint64_t)reply->element[0]->integer : 0;
    answer->flags |= reply->element[1]->integer != 0 ? RC_QUERY_MORE : 0;
    query->entries = malloc(room);
    for (size_t i = 2; query->entries != NULL && i + 1 < reply->elements; i += 2) {
        const redisReply *user = reply->element[i];
        struct rc_query_entry entry;
        if (user->type != REDIS_REPLY_STRING || user->len > USER_BYTES_MAX ||
            reply->element[i + 1]->type != REDIS_REPLY_STRING ||
            !rc_json_utf8_valid(rc_span_of(user->str, user->len)) ||
            !read_places(reply->element[i + 1], ids, sizeof(ids), &entry) || !rc_json_utf8_valid(entry.instances) ||
            !info_valid(entry.info)) {
            rc_metric_add(query->owner->router->setup.metrics, RC_METRIC_REDIS_MALFORMED, 1);
            continue;
        }
        entry.user = rc_span_of(user->str, user->len);
        if (!put_one(answer, rc_query_entry_put(query->entries, query->entries_bytes, room, &entry),
                     &query->entries_bytes)) {
            break;
        }
    }
    if (query->entries == NULL) {
        answer->flags |= RC_QUERY_MORE;
    }
}

static void members_came(void *context, const redisReply *reply)
{
    struct rc_query *query = context;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2 &&
                      reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[1]->type == REDIS_REPLY_INTEGER;
    if (good && query->state == ASKED) {
        take_members(query, reply);
    }
    queries_answered(query, good);
}

static void count_came(struct rc_query *query, const redisReply *reply, uint64_t *count)
{
    const bool good = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
    if (good) {
        *count = (uint64_t)reply->integer;
    }
    queries_answered(query, good);
}

static void clients_came(void *context, const redisReply *reply)
{
    struct rc_query *query = context;
    count_came(query, reply, &query->answer.clients);
}

static void users_came(void *context, const redisReply *reply)
{
    struct rc_query *query = context;
    count_came(query, reply, &query->answer.users);
}

static void user_came(void *context, const redisReply *reply)
{
    struct rc_query *query = context;
    struct rc_queries *queries = query->owner;
    const bool good = reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_NIL);
    if (good && reply->type == REDIS_REPLY_STRING && query->state == ASKED) {
        const uint32_t used = put_user(query, &query->answer, 0, rc_span_of(reply->str, reply->len));
        query->entries = used > 0 && rc_json_utf8_valid(rc_span_of(reply->str, reply->len)) ? malloc(used) : NULL;
        if (query->entries != NULL) {
            memcpy(query->entries, queries->bytes, used);
            query->entries_bytes = used;
        } else {
            query->answer.count = 0;
        }
    }
    queries_answered(query, good);
}

/* One command of it; false: it could not be sent. */
static bool queries_command(struct rc_query *query, rc_redis_replied *replied, uint32_t key, uint32_t argc,
                            const struct rc_span *argv)
{
    if (rc_redis_command(query->owner->link, replied, query, key, argc, argv) < 0) {
        return false;
    }
    query->flying++;
    return true;
}

static bool queries_ask(struct rc_query *query)
{
    const struct rc_queries *queries = query->owner;
    char key[RC_REDIS_NAME_MAX];
    if (query->head.kind == RC_QUERY_USERS) {
        const struct rc_span argv[] = {RC_SPAN("HLEN"), rc_redis_key(queries->link, key, RC_PRESENCE_USERS)};
        return queries_command(query, users_came, 1, RC_ARRAY_COUNT(argv), argv);
    }
    if (query->head.kind == RC_QUERY_USER) {
        const struct rc_span argv[] = {RC_SPAN("HGET"), rc_redis_key(queries->link, key, RC_PRESENCE_USERS),
                                       queries_user_of(query)};
        return queries_command(query, user_came, 1, RC_ARRAY_COUNT(argv), argv);
    }
    char limit[16];
    (void)snprintf(limit, sizeof(limit), "%u", limit_of(query));
    const struct rc_span count[] = {RC_SPAN("HLEN"), rc_redis_key(queries->link, key, RC_PRESENCE_CHANNEL "%.*s",
                                                                  (int)query->asked.channel_bytes, query->channel)};
    const bool counted = queries_command(query, clients_came, 1, RC_ARRAY_COUNT(count), count);
    const struct rc_span list[] = {
        RC_SPAN("EVAL"), rc_span_text(members_script), RC_SPAN("1"),
        rc_redis_key(queries->link, key, RC_PRESENCE_MEMBERS "%.*s", (int)query->asked.channel_bytes, query->channel),
        rc_span_text(limit)};
    return counted && queries_command(query, members_came, 3, RC_ARRAY_COUNT(list), list);
}

static void queries_start(struct rc_query *query)
{
    query->state = ASKED;
    if (queries_connected(query->owner) && queries_ask(query)) {
        return;
    }
    answer_here(query);
    if (query->flying > 0) {
        query->state = LATE; /* one of two was sent */
    } else {
        queries_release(query);
    }
}

static void queries_due(void *context, uint64_t now_ms)
{
    struct rc_queries *queries = context;
    uint64_t next_ms = RC_TIMER_NEVER;
    for (;;) { /* new ones in the order in which they came */
        struct rc_query *first = NULL;
        for (uint32_t i = 0; i < RC_QUERIES_MAX && queries->used > 0; i++) {
            struct rc_query *one = &queries->all[i];
            if (one->state == NEW && (first == NULL || one->number < first->number)) {
                first = one;
            }
        }
        if (first == NULL) {
            break;
        }
        queries_start(first);
    }
    for (uint32_t i = 0; i < RC_QUERIES_MAX && queries->used > 0; i++) {
        struct rc_query *one = &queries->all[i];
        if (one->state == ASKED && one->due_ms <= now_ms) {
            answer_here(one);
            one->state = LATE;
        } else if (one->state == ASKED && one->due_ms < next_ms) {
            next_ms = one->due_ms;
        }
    }
    if (next_ms != RC_TIMER_NEVER) {
        rc_timer_set(queries->timers, &queries->timer, next_ms, queries_due, queries);
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

/* 0, or the code of the refusal. */
static uint16_t queries_read(struct rc_query *query, const struct rc_envelope_view *view)
{
    query->asked = view->head;
    memcpy(query->request_id, view->request_id, view->head.request_id_bytes);
    memcpy(query->channel, view->channel, view->head.channel_bytes);
    if (view->head.data_bytes != sizeof(query->head)) {
        return CODE_BAD_REQUEST;
    }
    memcpy(&query->head, view->data, sizeof(query->head));
    switch (query->head.kind) {
    case RC_QUERY_CHANNEL:
        return view->head.channel_bytes > 0 ? 0 : CODE_BAD_REQUEST;
    case RC_QUERY_USER:
        return view->head.channel_bytes > RC_USER_CHANNEL_HEAD_BYTES &&
                       rc_span_starts_with(queries_channel_of(query), RC_SPAN(RC_USER_CHANNEL_HEAD))
                   ? 0
                   : CODE_BAD_REQUEST;
    case RC_QUERY_USERS:
    case RC_QUERY_INSTANCES:
        return 0;
    default:
        return CODE_BAD_REQUEST;
    }
}

static struct rc_query *queries_place(struct rc_queries *queries)
{
    for (uint32_t i = 0; i < RC_QUERIES_MAX && queries->used < RC_QUERIES_MAX; i++) {
        if (queries->all[i].state == FREE) {
            return &queries->all[i];
        }
    }
    return NULL;
}

void rc_queries_take(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_queries *queries = context;
    struct rc_query query = {.owner = queries, .worker = worker};
    rc_metric_add(queries->router->setup.metrics, RC_METRIC_QUERIES_TAKEN, 1);
    if (rc_keys_mine(view)) {
        rc_keys_take(&queries->keys, worker, view);
        return;
    }
    const uint16_t code = queries_read(&query, view);
    if (code != 0) {
        queries_refuse(&query, code);
        return;
    }
    const bool users_unknown = query.head.kind != RC_QUERY_CHANNEL && !queries->config->presence.users;
    if (query.head.kind == RC_QUERY_INSTANCES || users_unknown || !queries_connected(queries)) {
        answer_here(&query);
        return;
    }
    struct rc_query *kept = queries_place(queries);
    if (kept == NULL) {
        rc_log_limited(RC_LOG_WARN, 1, "queries_too_many", "max=%u", RC_QUERIES_MAX);
        queries_refuse(&query, CODE_UNAVAILABLE);
        return;
    }
    *kept = query;
    kept->state = NEW;
    kept->number = queries->next_number++;
    kept->due_ms = rc_clock_ms() + RC_QUERY_MS;
    queries->used++;
    rc_metric_set(queries->router->setup.metrics, RC_METRIC_QUERIES, queries->used);
    /* Not at once: what the client itself has just done goes to Redis first (entries.flush, whose timer was set before). */
    rc_timer_set(queries->timers, &queries->timer, rc_clock_ms(), queries_due, queries);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_queries_open(struct rc_queries *queries, struct rc_control *control, const struct rc_config *config,
                    struct rc_router *router, const struct rc_roster *roster, struct rc_timers *timers,
                    struct rc_redis_link *link, const struct rc_registry *registry)
{
    *queries = (struct rc_queries){.control = control,
                                   .config = config,
                                   .router = router,
                                   .roster = roster,
                                   .timers = timers,
                                   .link = link,
                                   .registry = registry,
                                   .keys = {.router = router, .link = link},
                                   .all = calloc(RC_QUERIES_MAX, sizeof(struct rc_query))};
    if (queries->all == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RC_QUERIES_MAX; i++) {
        queries->all[i].owner = queries;
    }
    return 0;
}

void rc_queries_close(struct rc_queries *queries)
{
    rc_timer_cancel(queries->timers, &queries->timer);
    for (uint32_t i = 0; queries->all != NULL && i < RC_QUERIES_MAX; i++) {
        free(queries->all[i].entries);
    }
    free(queries->all);
    queries->all = NULL;
}

void rc_queries_configure(struct rc_queries *queries, const struct rc_config *config)
{
    queries->config = config;
}
