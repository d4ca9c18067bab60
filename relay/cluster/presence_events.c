/* presence_events: see presence_events.h. */
#include "relay/cluster/presence_events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "common/text/json_scan.h"
#include "relay/bridge/channel.h"
#include "relay/cluster/presence.h"

#define NONE UINT32_MAX
#define CHANNELS_MAX (1u << 24)

/* KEYS: a channel's members. ARGV: how many users may be named. How many users, 1 if there are anonymous ones, then all their ids if they may be. */
static const char users_script[] = "local some=redis.call('HEXISTS',KEYS[1],'')\n"
                                   "local users=redis.call('HLEN',KEYS[1])-some\n"
                                   "local out={users,some}\n"
                                   "if users<=tonumber(ARGV[1]) then\n"
                                   "  for _,user in ipairs(redis.call('HKEYS',KEYS[1])) do out[#out+1]=user end\n"
                                   "end\n"
                                   "return out";

/* A worker that waits for the first reading. */
struct waiter {
    uint64_t token;
    uint32_t worker;
    bool everywhere;
};

/*
 * IDLE ── its time has come ──▶ (without Redis: told) IDLE
 *   └── with Redis ──▶ READING: two commands are out ── both answered ──▶ told, IDLE
 */
struct rc_presence_channel {
    TAILQ_ENTRY(rc_presence_channel) in_active;
    TAILQ_ENTRY(rc_presence_channel) in_looked;
    struct rc_presence_events *events; /* borrowed */
    uint64_t hash;                     /* of the name */
    uint64_t worked_ms;                /* when something was told, or others were, last */
    uint64_t looked_ms;
    uint32_t place;
    uint32_t flying;  /* commands without an answer */
    bool watched;     /* a worker wanted its presence channel, and was not seen to want it no more */
    bool active;      /* in the list */
    bool dirty;       /* it may be otherwise than it was told */
    bool tells;       /* others are to be told to look */
    bool fresh;       /* a predecessor told something: everything is to be told anew */
    bool failed;      /* one of the commands was no answer */
    uint64_t clients; /* as read */
    uint64_t users;
    bool named;
    uint32_t waiter_count;
    struct waiter *waiters; /* owner: one a worker at most */
    struct rc_presence_view view;
    uint8_t name_bytes;
    char name[1 + RC_CHANNEL_NAME_MAX]; /* of the presence channel; the channel's begins behind its first byte */
};

struct rc_presence_place {
    struct rc_presence_channel *channel; /* owner; NULL = free */
    uint32_t next_free;
};

static struct rc_span presence_name(const struct rc_presence_channel *channel)
{
    return rc_span_of(channel->name, channel->name_bytes);
}

static struct rc_span channel_name(const struct rc_presence_channel *channel)
{
    return rc_span_of(channel->name + 1, channel->name_bytes - 1u);
}

static const struct rc_config_namespace *policy_of(const struct rc_presence_events *events, struct rc_span channel)
{
    const struct rc_config *config = rc_control_config(events->control, rc_control_config_generation(events->control));
    return rc_config_namespace_of(config, (const char *)channel.bytes, channel.count);
}

/* Does what is in Redis count for this host? */
static bool events_connected(const struct rc_presence_events *events)
{
    return events->link != NULL && rc_redis_up(events->link) && rc_registry_owned(events->registry);
}

/* Have all workers said whom they have, and what they want? */
static bool events_known(const struct rc_presence_events *events)
{
    const struct rc_fanout *fanout = &events->router->fanout;
    for (uint32_t i = 0; i < events->router->setup.port_count; i++) {
        if (rc_worker_set_has(&fanout->live, i) && !rc_roster_told(events->roster, i)) {
            return false;
        }
    }
    return rc_worker_set_empty(&fanout->unknown);
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

struct channel_key {
    const struct rc_presence_events *events;
    struct rc_span name;
};

static bool presence_channel_equal(const void *context, uint32_t index)
{
    const struct channel_key *key = context;
    return rc_span_equal(channel_name(key->events->places[index].channel), key->name);
}

static struct rc_presence_channel *events_find(const struct rc_presence_events *events, struct rc_span name)
{
    const struct channel_key key = {.events = events, .name = name};
    const uint32_t index = rc_hashmap_find(&events->names, rc_channel_hash((const char *)name.bytes, name.count),
                                           presence_channel_equal, &key);
    return index == RC_HASHMAP_NONE ? NULL : events->places[index].channel;
}

static void set_gauge(const struct rc_presence_events *events)
{
    rc_metric_set(events->metrics, RC_METRIC_PRESENCE_CHANNELS, events->names.count);
}

static bool events_place(struct rc_presence_events *events, struct rc_presence_channel *channel)
{
    if (events->free == NONE && events->used == events->max) {
        const uint32_t max = events->max == 0 ? 64 : events->max * 2;
        struct rc_presence_place *more = realloc(events->places, max * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        events->places = more;
        events->max = max;
    }
    channel->place = events->free != NONE ? events->free : events->used;
    if (rc_hashmap_insert(&events->names, channel->hash, channel->place) < 0) {
        return false;
    }
    if (channel->place == events->free) {
        events->free = events->places[channel->place].next_free;
    } else {
        events->used++;
    }
    events->places[channel->place] = (struct rc_presence_place){.channel = channel, .next_free = NONE};
    return true;
}

/* NULL: no memory. */
static struct rc_presence_channel *events_make(struct rc_presence_events *events, struct rc_span name)
{
    struct rc_presence_channel *channel = events_find(events, name);
    if (channel != NULL || name.count == 0 || name.count >= RC_CHANNEL_NAME_MAX) {
        return channel;
    }
    channel = calloc(1, sizeof(*channel));
    if (channel == NULL || rc_presence_view_open(&channel->view) < 0) {
        free(channel);
        return NULL;
    }
    channel->events = events;
    channel->hash = rc_channel_hash((const char *)name.bytes, name.count);
    channel->name_bytes = (uint8_t)(1 + name.count);
    channel->name[0] = RC_CHANNEL_PRESENCE_BYTE;
    memcpy(channel->name + 1, name.bytes, name.count);
    if (!events_place(events, channel)) {
        rc_presence_view_close(&channel->view);
        free(channel);
        return NULL;
    }
    set_gauge(events);
    return channel;
}

static void events_free(struct rc_presence_channel *channel)
{
    struct rc_presence_events *events = channel->events;
    if (channel->active) {
        TAILQ_REMOVE(&events->active, channel, in_active);
    }
    if (channel->watched) {
        TAILQ_REMOVE(&events->looked, channel, in_looked);
    }
    const bool removed = rc_hashmap_remove(&events->names, channel->hash, channel->place);
    RC_ASSERT(removed);
    events->places[channel->place] = (struct rc_presence_place){.next_free = events->free};
    events->free = channel->place;
    rc_presence_view_close(&channel->view);
    free(channel->waiters);
    free(channel);
    set_gauge(events);
}

static void events_due(void *context, uint64_t now_ms);

/* When the channel's turn is. */
static uint64_t channel_due(const struct rc_presence_channel *channel)
{
    return channel->fresh
               ? channel->worked_ms + RC_PRESENCE_KNOWN_MS
               : channel->worked_ms + policy_of(channel->events, channel_name(channel))->presence_interval_ms;
}

static void channel_activate(struct rc_presence_channel *channel)
{
    struct rc_presence_events *events = channel->events;
    const uint64_t due_ms = channel_due(channel);
    if (!channel->active) {
        channel->active = true;
        TAILQ_INSERT_TAIL(&events->active, channel, in_active);
    }
    if (!events->timer.set || due_ms < events->timer.due_ms) {
        rc_timer_set(events->timers, &events->timer, due_ms, events_due, events);
    }
}

static void channel_dirty(struct rc_presence_channel *channel)
{
    channel->dirty = true;
    channel_activate(channel);
}

/* Somebody here looks at it from now on. */
static void channel_watch(struct rc_presence_channel *channel)
{
    struct rc_presence_events *events = channel->events;
    if (!channel->watched) {
        channel->watched = true;
        channel->looked_ms = rc_clock_ms();
        TAILQ_INSERT_TAIL(&events->looked, channel, in_looked);
        channel->fresh = events->router->setup.relay_generation > 1 && !events_known(events);
        channel_activate(channel);
    }
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

static void channel_deliver(struct rc_presence_channel *channel, enum rc_presence_news news)
{
    struct rc_presence_events *events = channel->events;
    const struct rc_span event = news == RC_PRESENCE_STATE ? RC_SPAN("presence_state") : RC_SPAN("presence_diff");
    const struct rc_envelope_view view = {.head = {.time_ns = rc_clock_ns(),
                                                   .flags = RC_ENVELOPE_REMOTE,
                                                   .channel_bytes = channel->name_bytes,
                                                   .event_bytes = (uint8_t)event.count,
                                                   .data_bytes = (uint32_t)events->text.count},
                                          .channel = channel->name,
                                          .event = (const char *)event.bytes,
                                          .data = events->text.bytes};
    if (news != RC_PRESENCE_NOTHING) {
        rc_metric_add(events->metrics, RC_METRIC_PRESENCE_TOLD, 1);
        (void)rc_router_deliver(events->router, RC_DOWN_MESSAGE, &view);
    }
}

static void waiters_answer(struct rc_presence_channel *channel)
{
    const struct rc_span name = presence_name(channel);
    const uint32_t count = channel->waiter_count;
    channel->waiter_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct rc_interest_request request = {.worker = channel->waiters[i].worker,
                                                    .token = channel->waiters[i].token,
                                                    .hash = rc_channel_hash(channel->name, channel->name_bytes),
                                                    .name = (const char *)name.bytes,
                                                    .name_bytes = (uint32_t)name.count};
        rc_router_interest_done(channel->events->router, &request,
                                channel->waiters[i].everywhere && !channel->view.local ? 0 : RC_ENVELOPE_SCOPE_LOCAL,
                                0);
    }
}

/* All of this host, if they are few enough to be named. */
static bool add_own(struct rc_presence_channel *channel, uint64_t most, struct rc_roster_counts *counts)
{
    const struct rc_presence_events *events = channel->events;
    uint32_t cursor = UINT32_MAX;
    struct rc_span user;
    uint32_t clients;
    bool whole = rc_roster_find(events->roster, channel_name(channel), counts) || counts->clients == 0;
    if (counts->users > most) {
        return false;
    }
    while (rc_roster_next(events->roster, counts, &cursor, &user, &clients)) {
        whole = rc_presence_view_add(&channel->view, user) == 0 && whole;
    }
    return whole;
}

/* Up to how many users are named now: where they were too many, it takes some fewer for names to be told again. */
static uint64_t named_max(const struct rc_presence_channel *channel)
{
    const uint64_t max = policy_of(channel->events, channel_name(channel))->presence_members;
    return channel->view.many ? max - max / 8 : max;
}

static void channel_tell(struct rc_presence_channel *channel, struct rc_presence_totals *totals, bool silent)
{
    struct rc_presence_events *events = channel->events;
    const bool state = channel->fresh && !silent;
    const enum rc_presence_news news =
        rc_presence_view_end(&channel->view, channel_name(channel), totals, state, &events->text);
    if (!silent) {
        channel->fresh = false;
        channel_deliver(channel, news);
    }
}

/* As this host knows it. With Redis that is not all: nobody leaves. */
static void tell_own(struct rc_presence_channel *channel, bool silent)
{
    const bool alone = channel->events->link == NULL;
    struct rc_roster_counts counts = {0};
    rc_presence_view_begin(&channel->view);
    const bool named = add_own(channel, named_max(channel), &counts);
    struct rc_presence_totals totals = {.clients = counts.clients,
                                        .users = named ? 0 : counts.users,
                                        .named = named,
                                        .leaving = alone,
                                        .local = !alone};
    if (!alone && channel->view.clients > totals.clients) {
        totals.clients = channel->view.clients;
    }
    channel_tell(channel, &totals, silent);
}

/* --- Redis ----------------------------------------------------------------------------------------------------------- */

/* Both have answered. */
static void channel_read(struct rc_presence_channel *channel)
{
    struct rc_presence_events *events = channel->events;
    const bool silent = !channel->view.begun && !channel->fresh;
    channel->worked_ms = channel->looked_ms = rc_clock_ms();
    if (channel->failed || !events_connected(events)) {
        tell_own(channel, silent);
        channel->dirty |= channel->failed && events_connected(events);
    } else {
        struct rc_roster_counts counts = {0};
        channel->named = add_own(channel, named_max(channel), &counts) && channel->named;
        const bool trusted = channel->looked_ms >= events->trusted_ms;
        struct rc_presence_totals totals = {.clients =
                                                channel->clients > counts.clients ? channel->clients : counts.clients,
                                            .users = channel->named ? 0 : channel->users,
                                            .named = channel->named,
                                            .leaving = trusted};
        channel_tell(channel, &totals, silent);
    }
    waiters_answer(channel);
    if (channel->dirty || channel->tells) { /* it has become so meanwhile */
        channel_activate(channel);
    }
}

static void channel_answered(struct rc_presence_channel *channel, bool good)
{
    channel->failed |= !good;
    if (--channel->flying == 0) {
        channel_read(channel);
    }
}

static void presence_clients_came(void *context, const redisReply *reply)
{
    struct rc_presence_channel *channel = context;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
    channel->clients = good ? (uint64_t)reply->integer : 0;
    channel_answered(channel, good);
}

/* What stands in Redis may be anybody's: what is no user's id is left out. */
static void presence_users_came(void *context, const redisReply *reply)
{
    struct rc_presence_channel *channel = context;
    const bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2 &&
                      reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer >= 0;
    if (good) {
        channel->users = (uint64_t)reply->element[0]->integer;
        channel->named = reply->elements > 2 || channel->users == 0;
        rc_presence_view_begin(&channel->view);
        for (size_t i = 2; i < reply->elements; i++) {
            const redisReply *user = reply->element[i];
            const struct rc_span id = rc_span_of(user->str, user->type == REDIS_REPLY_STRING ? user->len : 0);
            if (user->type != REDIS_REPLY_STRING || !rc_json_utf8_valid(id)) {
                rc_metric_add(channel->events->metrics, RC_METRIC_REDIS_MALFORMED, 1);
            } else if (rc_presence_view_add(&channel->view, id) < 0) {
                channel->named = false;
            }
        }
    }
    channel_answered(channel, good);
}

/* False: nothing was sent. */
static bool channel_ask(struct rc_presence_channel *channel)
{
    const struct rc_presence_events *events = channel->events;
    const struct rc_span name = channel_name(channel);
    char key[RC_REDIS_NAME_MAX];
    char max[24];
    (void)snprintf(max, sizeof(max), "%llu", (unsigned long long)named_max(channel));
    const struct rc_span count[] = {RC_SPAN("HLEN"), rc_redis_key(events->link, key, RC_PRESENCE_CHANNEL "%.*s",
                                                                  (int)name.count, (const char *)name.bytes)};
    channel->failed = false;
    if (rc_redis_command(events->link, presence_clients_came, channel, 1, RC_ARRAY_COUNT(count), count) == 0) {
        channel->flying++;
    }
    const struct rc_span list[] = {
        RC_SPAN("EVAL"), rc_span_text(users_script), RC_SPAN("1"),
        rc_redis_key(events->link, key, RC_PRESENCE_MEMBERS "%.*s", (int)name.count, (const char *)name.bytes),
        rc_span_text(max)};
    if (rc_redis_command(events->link, presence_users_came, channel, 3, RC_ARRAY_COUNT(list), list) == 0) {
        channel->flying++;
    }
    channel->failed = channel->flying < 2;
    rc_metric_add(events->metrics, RC_METRIC_PRESENCE_READS, 1);
    return channel->flying > 0;
}

static void tell_others(struct rc_presence_channel *channel)
{
    const struct rc_span head = RC_SPAN(RC_CHANNEL_BRIDGE_HEAD);
    const struct rc_span mark = RC_SPAN("1");
    char name[sizeof(RC_CHANNEL_BRIDGE_HEAD) + 1 + RC_CHANNEL_NAME_MAX];
    memcpy(name, head.bytes, head.count);
    memcpy(name + head.count, channel->name, channel->name_bytes);
    channel->tells = false;
    (void)rc_redis_publish(channel->events->link, rc_span_of(name, head.count + channel->name_bytes), &mark, 1,
                           RC_REDIS_PUBLISH_FLEETING | RC_REDIS_PUBLISH_SHARDED);
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

/* The channel's turn. It may be gone afterwards. */
static void channel_work(struct rc_presence_channel *channel, uint64_t now_ms)
{
    struct rc_presence_events *events = channel->events;
    channel->active = false;
    TAILQ_REMOVE(&events->active, channel, in_active);
    if (channel->tells && events->link != NULL) {
        tell_others(channel);
        channel->worked_ms = now_ms;
    }
    if (channel->flying > 0) {
        return; /* what was dirty meanwhile stays so, and is looked at behind the answer */
    }
    if (!channel->watched || !rc_router_wanted(events->router, presence_name(channel))) {
        events_free(channel);
        return;
    }
    if ((!channel->dirty && !channel->fresh) || !policy_of(events, channel_name(channel))->presence_events) {
        return;
    }
    channel->worked_ms = now_ms;
    if (channel->fresh && !events_known(events)) {
        channel_activate(channel);
        return;
    }
    channel->dirty = false;
    if (events_connected(events) && channel_ask(channel)) {
        return;
    }
    channel->looked_ms = now_ms;
    tell_own(channel, !channel->view.begun && !channel->fresh);
}

static void look_again(struct rc_presence_events *events, uint64_t now_ms)
{
    struct rc_presence_channel *channel = NULL;
    if (events->doubts && events->trusted_ms <= now_ms) {
        events->doubts = false;
        TAILQ_FOREACH(channel, &events->looked, in_looked)
        {
            channel_dirty(channel);
        }
    }
    while ((channel = TAILQ_FIRST(&events->looked)) != NULL && channel->looked_ms + RC_PRESENCE_AGAIN_MS <= now_ms) {
        channel->looked_ms = now_ms;
        TAILQ_REMOVE(&events->looked, channel, in_looked);
        TAILQ_INSERT_TAIL(&events->looked, channel, in_looked);
        channel_dirty(channel);
    }
}

static void events_due(void *context, uint64_t now_ms)
{
    struct rc_presence_events *events = context;
    uint64_t next_ms = RC_TIMER_NEVER;
    struct rc_presence_channel *channel;
    struct rc_presence_channel *following;
    look_again(events, now_ms);
    struct rc_presence_channels due = TAILQ_HEAD_INITIALIZER(due);
    TAILQ_CONCAT(&due, &events->active, in_active);
    for (channel = TAILQ_FIRST(&due); channel != NULL; channel = following) {
        following = TAILQ_NEXT(channel, in_active);
        TAILQ_REMOVE(&due, channel, in_active);
        TAILQ_INSERT_TAIL(&events->active, channel, in_active);
        if (channel_due(channel) <= now_ms) {
            channel_work(channel, now_ms);
        }
    }
    TAILQ_FOREACH(channel, &events->active, in_active)
    {
        const uint64_t due_ms = channel_due(channel);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    if (!TAILQ_EMPTY(&events->looked)) {
        const uint64_t again_ms = TAILQ_FIRST(&events->looked)->looked_ms + RC_PRESENCE_AGAIN_MS;
        next_ms = again_ms < next_ms ? again_ms : next_ms;
        next_ms = events->doubts && events->trusted_ms < next_ms ? events->trusted_ms : next_ms;
    }
    if (next_ms != RC_TIMER_NEVER) {
        rc_timer_set(events->timers, &events->timer, next_ms > now_ms ? next_ms : now_ms + 1, events_due, events);
    }
    rc_router_ring(events->router);
}

static void redis_changed(void *context, bool up)
{
    struct rc_presence_events *events = context;
    struct rc_presence_channel *channel = NULL;
    const struct rc_config *config = rc_control_config(events->control, rc_control_config_generation(events->control));
    if (up && events->lost) {
        events->doubts = true;
        events->trusted_ms = rc_clock_ms() + config->cluster.dead_instance_threshold_ms;
    }
    events->lost = !up;
    TAILQ_FOREACH(channel, &events->looked, in_looked)
    {
        if (up) {
            channel_dirty(channel);
        }
    }
}

/* --- what happens ---------------------------------------------------------------------------------------------------- */

void rc_presence_events_changed(struct rc_presence_events *events, struct rc_span name)
{
    struct rc_presence_channel *channel = events->names.count == 0 ? NULL : events_find(events, name);
    if (channel != NULL && channel->watched) {
        channel_dirty(channel);
    }
}

void rc_presence_events_counted(struct rc_presence_events *events, struct rc_span name)
{
    if (!policy_of(events, name)->presence_events) {
        return;
    }
    struct rc_presence_channel *channel = events_make(events, name);
    if (channel != NULL) { /* without memory they find it when they look the next time */
        channel->tells = true;
        channel_dirty(channel);
    }
}

void rc_presence_events_heard(struct rc_presence_events *events, struct rc_span name)
{
    rc_presence_events_changed(events, rc_span_of(name.bytes + 1, name.count - 1));
}

bool rc_presence_events_wait(struct rc_presence_events *events, const struct rc_interest_request *request,
                             bool everywhere)
{
    const struct rc_span name = rc_span_of(request->name + 1, request->name_bytes - 1);
    struct rc_presence_channel *channel = events_make(events, name);
    if (channel == NULL) {
        return false;
    }
    channel_watch(channel);
    if (channel->view.begun || !events_connected(events)) {
        return false;
    }
    uint32_t at = 0;
    while (at < channel->waiter_count && channel->waiters[at].worker != request->worker) {
        at++;
    }
    if (at == channel->waiter_count) {
        struct waiter *more = realloc(channel->waiters, (at + 1) * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        channel->waiters = more;
        channel->waiter_count++;
    }
    channel->waiters[at] =
        (struct waiter){.token = request->token, .worker = request->worker, .everywhere = everywhere};
    if (channel->flying == 0 && !channel_ask(channel)) {
        channel->waiter_count = 0;
        return false;
    }
    return true;
}

uint32_t rc_presence_events_list(void *context, struct rc_span name, uint8_t *out, uint64_t room)
{
    struct rc_presence_events *events = context;
    const struct rc_span event = RC_SPAN("presence_state");
    struct rc_presence_channel *channel = events_make(events, rc_span_of(name.bytes + 1, name.count - 1));
    if (channel == NULL) {
        return 0;
    }
    channel_watch(channel);
    if (!channel->view.begun) {
        channel->failed |=
            channel->flying > 0; /* what is being read is told as what has changed since this list, or read again */
        tell_own(channel, true);
        channel_dirty(channel);
    }
    if (out == NULL) {
        return 0;
    }
    rc_presence_view_state(&channel->view, channel_name(channel), &events->text);
    const struct rc_envelope_view view = {
        .head = {.event_bytes = (uint8_t)event.count, .data_bytes = (uint32_t)events->text.count},
        .event = (const char *)event.bytes,
        .data = events->text.bytes};
    const uint64_t bytes = rc_history_entry_need(&view);
    if (events->text.failed || bytes > room) {
        return 0;
    }
    rc_metric_add(events->metrics, RC_METRIC_PRESENCE_LISTS, 1);
    rc_history_entry_write(out, &view, 0);
    return (uint32_t)bytes;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_presence_events_open(struct rc_presence_events *events, const struct rc_control *control,
                            struct rc_router *router, struct rc_roster *roster, struct rc_timers *timers,
                            struct rc_metrics *metrics, struct rc_redis_link *link, const struct rc_registry *registry)
{
    *events = (struct rc_presence_events){.control = control,
                                          .router = router,
                                          .roster = roster,
                                          .timers = timers,
                                          .metrics = metrics,
                                          .link = link,
                                          .registry = registry,
                                          .free = NONE};
    TAILQ_INIT(&events->active);
    TAILQ_INIT(&events->looked);
    if (rc_hashmap_init(&events->names, 64, CHANNELS_MAX) < 0) {
        return -ENOMEM;
    }
    set_gauge(events); /* a predecessor's is not true any more */
    if (link != NULL) {
        events->observer = (struct rc_redis_observer){.changed = redis_changed, .context = events};
        rc_redis_observe(link, &events->observer);
    }
    return 0;
}

void rc_presence_events_close(struct rc_presence_events *events)
{
    rc_timer_cancel(events->timers, &events->timer);
    for (uint32_t i = 0; i < events->used; i++) {
        if (events->places[i].channel != NULL) {
            events_free(events->places[i].channel);
        }
    }
    free(events->places);
    rc_hashmap_free(&events->names);
    rc_presence_text_free(&events->text);
}
