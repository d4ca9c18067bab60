/* presence: see presence.h. */
#include "relay/cluster/presence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/member.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"
#include "relay/bridge/foreign.h"
#include "relay/bridge/notifications.h"

#define EVENTS "ws:presence"
#define NONE UINT32_MAX

/* A user who was here when a predecessor of this relay died has at least this long to be told of again. */
#define ADOPTED_MS 2000u

/* KEYS: users. ARGV: user, instance, channel, message. 1: it was the first connection of the cluster. */
static const char join_script[] = "local v=redis.call('HGET',KEYS[1],ARGV[1])\n"
                                  "if v then\n"
                                  "  if not string.find(','..v..',',','..ARGV[2]..',',1,true) then\n"
                                  "    redis.call('HSET',KEYS[1],ARGV[1],v..','..ARGV[2])\n"
                                  "  end\n"
                                  "  return 0\n"
                                  "end\n"
                                  "redis.call('HSET',KEYS[1],ARGV[1],ARGV[2])\n"
                                  "redis.call('PUBLISH',ARGV[3],ARGV[4])\n"
                                  "return 1";
/* The same; 1: it was the last. */
static const char leave_script[] = "local v=redis.call('HGET',KEYS[1],ARGV[1])\n"
                                   "if not v then return 0 end\n"
                                   "local rest={}\n"
                                   "local found=false\n"
                                   "for id in string.gmatch(v,'[^,]+') do\n"
                                   "  if id==ARGV[2] then found=true else rest[#rest+1]=id end\n"
                                   "end\n"
                                   "if not found then return 0 end\n"
                                   "if #rest>0 then\n"
                                   "  redis.call('HSET',KEYS[1],ARGV[1],table.concat(rest,','))\n"
                                   "  return 0\n"
                                   "end\n"
                                   "redis.call('HDEL',KEYS[1],ARGV[1])\n"
                                   "redis.call('PUBLISH',ARGV[3],ARGV[4])\n"
                                   "return 1";

/* KEYS: a channel's members. ARGV: user, instance, clients there (0 = none), what is known of the user. What changed by that (enum
 * rc_member_change), and how many clients the user has there: which instance was the first or the last is decided in the same step. */
static const char count_script[] = "local v=redis.call('HGET',KEYS[1],ARGV[1])\n"
                                   "local there=redis.call('EXISTS',KEYS[1])\n"
                                   "local places,info=string.match(v or '','^([^\\n]*)\\n?(.*)$')\n"
                                   "local out={}\n"
                                   "local total=0\n"
                                   "for id,n in string.gmatch(places,'([^,:]+):(%d+)') do\n"
                                   "  if id~=ARGV[2] then out[#out+1]=id..':'..n total=total+tonumber(n) end\n"
                                   "end\n"
                                   "if ARGV[3]~='0' then\n"
                                   "  out[#out+1]=ARGV[2]..':'..ARGV[3]\n"
                                   "  total=total+tonumber(ARGV[3])\n"
                                   "end\n"
                                   "if #out==0 then\n"
                                   "  if not v then return {0,0} end\n"
                                   "  redis.call('HDEL',KEYS[1],ARGV[1])\n"
                                   "  return {redis.call('EXISTS',KEYS[1])==0 and 2+8 or 2,0}\n"
                                   "end\n"
                                   "if info=='' then info=ARGV[4] end\n"
                                   "local value=table.concat(out,',')\n"
                                   "if info~='' then value=value..'\\n'..info end\n"
                                   "redis.call('HSET',KEYS[1],ARGV[1],value)\n"
                                   "return {(v and 0 or 1)+(there==0 and 4 or 0),total}";

struct rc_presence_leaving {
    char *user; /* owner; NULL = free */
    uint64_t hash;
    uint64_t due_ms;
    uint32_t bytes;
    uint32_t next; /* of the queue, or of the free list */
    uint32_t previous;
};

static const struct rc_client_ref nobody;

/* --- commands -------------------------------------------------------------------------------------------------------- */

static int run_script(const struct rc_presence *presence, struct rc_span user, const char *instance, bool join,
                      rc_redis_replied *replied, void *context)
{
    const struct rc_config_presence *config = &presence->config->presence;
    char key[RC_REDIS_NAME_MAX];
    char channel[RC_REDIS_NAME_MAX];
    char event[RC_JSON_STRING_BYTES_MAX(RC_CONFIG_TEXT_MAX)];
    char id[RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX)];
    char message[sizeof(event) + sizeof(id) + 96];
    const struct rc_span name = rc_span_text(join ? config->online_event.text : config->offline_event.text);
    const int event_bytes = (int)rc_json_string_encode((uint8_t *)event, sizeof(event), name);
    const int id_bytes = (int)rc_json_string_encode((uint8_t *)id, sizeof(id), user);
    const int bytes = snprintf(message, sizeof(message), "{\"event\":%.*s,\"userId\":%.*s,\"timestamp\":%llu}",
                               event_bytes, event, id_bytes, id, (unsigned long long)rc_clock_wall_ms());
    struct rc_redis_link *link = presence->bridge->link;
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(join ? join_script : leave_script),
                                   RC_SPAN("1"),
                                   rc_redis_key(link, key, RC_PRESENCE_USERS),
                                   user,
                                   rc_span_text(instance),
                                   rc_redis_key(link, channel, EVENTS),
                                   rc_span_of(message, (size_t)bytes)};
    return rc_redis_command(link, replied, context, 3, RC_ARRAY_COUNT(argv), argv);
}

static int write_client(const struct rc_presence *presence, const struct rc_entry *entry, bool add,
                        rc_redis_replied *replied, void *context)
{
    char key[RC_REDIS_NAME_MAX];
    char id[RC_CLIENT_ID_MAX];
    const size_t id_bytes = rc_client_id_write(id, presence->instance_id, presence->boot_nonce, &entry->ref);
    const struct rc_span argv[] = {add ? RC_SPAN("HSET") : RC_SPAN("HDEL"),
                                   rc_redis_key(presence->bridge->link, key, "%.*s", (int)entry->name.count - 1,
                                                (const char *)entry->name.bytes + 1),
                                   rc_span_of(id, id_bytes), entry->value};
    return rc_redis_command(presence->bridge->link, replied, context, 1, add ? 4 : 3, argv);
}

/* The command of a count that is out: what came of it others are told. */
struct rc_presence_counted {
    struct rc_presence_counted *next;
    struct rc_presence_counted *previous;
    struct rc_presence *presence; /* borrowed */
    rc_redis_replied *replied;    /* the entry's own */
    void *context;
    uint32_t channel_bytes;
    uint32_t user_bytes;
    char text[]; /* channel, user */
};

static void counted_free(struct rc_presence_counted *counted)
{
    *(counted->previous != NULL ? &counted->previous->next : &counted->presence->counted) = counted->next;
    if (counted->next != NULL) {
        counted->next->previous = counted->previous;
    }
    free(counted);
}

static struct rc_presence_counted *counted_make(struct rc_presence *presence, struct rc_span channel,
                                                struct rc_span user, rc_redis_replied *replied, void *context)
{
    struct rc_presence_counted *counted = malloc(sizeof(*counted) + channel.count + user.count);
    if (counted == NULL) {
        return NULL;
    }
    *counted = (struct rc_presence_counted){.next = presence->counted,
                                            .presence = presence,
                                            .replied = replied,
                                            .context = context,
                                            .channel_bytes = (uint32_t)channel.count,
                                            .user_bytes = (uint32_t)user.count};
    memcpy(counted->text, channel.bytes, channel.count);
    if (user.count > 0) {
        memcpy(counted->text + channel.count, user.bytes, user.count);
    }
    if (presence->counted != NULL) {
        presence->counted->previous = counted;
    }
    presence->counted = counted;
    return counted;
}

static void counted_replied(void *context, const redisReply *reply)
{
    struct rc_presence_counted *counted = context;
    const struct rc_presence *presence = counted->presence;
    counted->replied(counted->context, reply);
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[1]->type == REDIS_REPLY_INTEGER &&
        presence->ops.counted != NULL) {
        presence->ops.counted(presence->ops.context, rc_span_of(counted->text, counted->channel_bytes),
                              rc_span_of(counted->text + counted->channel_bytes, counted->user_bytes),
                              (uint32_t)reply->element[0]->integer, (uint32_t)reply->element[1]->integer);
    }
    counted_free(counted);
}

/* The value of an entry of a count: how many clients (4 bytes), then user and info (common/records/member.h). */
static int write_count(struct rc_presence *presence, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                       void *context)
{
    const size_t head_bytes = strlen("m" RC_PRESENCE_MEMBERS);
    char key[RC_REDIS_NAME_MAX];
    char count[16];
    uint32_t clients;
    struct rc_span user;
    struct rc_span info;
    RC_ASSERT(entry->value.count > sizeof(clients) && entry->name.count >= head_bytes);
    memcpy(&clients, entry->value.bytes, sizeof(clients));
    const bool whole = rc_member_read(
        rc_span_of(entry->value.bytes + sizeof(clients), entry->value.count - sizeof(clients)), &user, &info);
    RC_ASSERT(whole);
    (void)snprintf(count, sizeof(count), "%u", add ? clients : 0);
    struct rc_presence_counted *counted = counted_make(
        presence, rc_span_of(entry->name.bytes + head_bytes, entry->name.count - head_bytes), user, replied, context);
    if (counted == NULL) {
        return -ENOMEM;
    }
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(count_script),
                                   RC_SPAN("1"),
                                   rc_redis_key(presence->bridge->link, key, "%.*s", (int)entry->name.count - 1,
                                                (const char *)entry->name.bytes + 1),
                                   user,
                                   rc_span_text(presence->instance_id),
                                   rc_span_text(count),
                                   info};
    const int rc = rc_redis_command(presence->bridge->link, counted_replied, counted, 3, RC_ARRAY_COUNT(argv), argv);
    if (rc < 0) {
        counted_free(counted);
    }
    return rc;
}

int rc_presence_write(struct rc_presence *presence, const struct rc_entry *entry, bool add, rc_redis_replied *replied,
                      void *context)
{
    if (entry->name.bytes[0] == 'm') {
        return write_count(presence, entry, add, replied, context);
    }
    if (entry->name.bytes[0] == 'p') {
        return write_client(presence, entry, add, replied, context);
    }
    const struct rc_span user = rc_span_of(entry->name.bytes + 1, entry->name.count - 1);
    return run_script(presence, user, presence->instance_id, add, replied, context);
}

/* --- users ----------------------------------------------------------------------------------------------------------- */

static struct rc_span presence_entry_name(struct rc_span user, char out[RC_ENTRY_NAME_MAX])
{
    out[0] = 'u';
    memcpy(out + 1, user.bytes, user.count);
    return rc_span_of(out, user.count + 1);
}

struct leaving_key {
    const struct rc_presence *presence;
    struct rc_span user;
};

static bool leaving_equal(const void *context, uint32_t index)
{
    const struct leaving_key *key = context;
    const struct rc_presence_leaving *one = &key->presence->leaving[index];
    return rc_span_equal(rc_span_of(one->user, one->bytes), key->user);
}

static uint32_t leaving_place(struct rc_presence *presence)
{
    if (presence->leaving_free != NONE) {
        const uint32_t index = presence->leaving_free;
        presence->leaving_free = presence->leaving[index].next;
        return index;
    }
    if (presence->leaving_used == presence->leaving_max) {
        const uint32_t max = presence->leaving_max == 0 ? 64 : presence->leaving_max * 2;
        struct rc_presence_leaving *more = realloc(presence->leaving, max * sizeof(*more));
        if (more == NULL) {
            return NONE;
        }
        presence->leaving = more;
        presence->leaving_max = max;
    }
    return presence->leaving_used++;
}

static void leaving_give_back(struct rc_presence *presence, uint32_t index)
{
    free(presence->leaving[index].user);
    presence->leaving[index] = (struct rc_presence_leaving){.next = presence->leaving_free};
    presence->leaving_free = index;
}

static void leaving_remove(struct rc_presence *presence, uint32_t index)
{
    struct rc_presence_leaving *one = &presence->leaving[index];
    if (one->previous != NONE) {
        presence->leaving[one->previous].next = one->next;
    } else {
        presence->leaving_first = one->next;
    }
    if (one->next != NONE) {
        presence->leaving[one->next].previous = one->previous;
    } else {
        presence->leaving_last = one->previous;
    }
    (void)rc_hashmap_remove(&presence->leaving_names, one->hash, index);
    leaving_give_back(presence, index);
}

static void presence_gone(struct rc_presence *presence, struct rc_span user)
{
    char name[RC_ENTRY_NAME_MAX];
    rc_entries_remove(presence->entries, presence_entry_name(user, name), 0, &nobody);
}

static void leaving_due(void *context, uint64_t now_ms);

static void leaving_schedule(struct rc_presence *presence)
{
    if (presence->leaving_first != NONE) {
        rc_timer_set(presence->bridge->timers, &presence->timer, presence->leaving[presence->leaving_first].due_ms,
                     leaving_due, presence);
    }
}

static void leaving_due(void *context, uint64_t now_ms)
{
    struct rc_presence *presence = context;
    while (presence->leaving_first != NONE && presence->leaving[presence->leaving_first].due_ms <= now_ms) {
        const struct rc_presence_leaving *one = &presence->leaving[presence->leaving_first];
        presence_gone(presence, rc_span_of(one->user, one->bytes));
        leaving_remove(presence, presence->leaving_first);
    }
    leaving_schedule(presence);
}

static uint32_t leaving_find(const struct rc_presence *presence, struct rc_span user)
{
    const struct leaving_key key = {.presence = presence, .user = user};
    return rc_hashmap_find(&presence->leaving_names, rc_channel_hash((const char *)user.bytes, user.count),
                           leaving_equal, &key);
}

/* The queue is in order of entering: who entered with a longer delay (a reload) makes those behind wait as long. */
static void leave_later(struct rc_presence *presence, struct rc_span user, uint64_t in_ms)
{
    const uint32_t index = leaving_find(presence, user) == RC_HASHMAP_NONE ? leaving_place(presence) : NONE;
    if (index == NONE) {
        return;
    }
    struct rc_presence_leaving *one = &presence->leaving[index];
    *one = (struct rc_presence_leaving){.user = strndup((const char *)user.bytes, user.count),
                                        .hash = rc_channel_hash((const char *)user.bytes, user.count),
                                        .due_ms = rc_clock_ms() + in_ms,
                                        .bytes = (uint32_t)user.count,
                                        .next = NONE,
                                        .previous = presence->leaving_last};
    if (one->user == NULL || rc_hashmap_insert(&presence->leaving_names, one->hash, index) < 0) {
        leaving_give_back(presence, index);
        presence_gone(presence, user); /* without memory: at once */
        return;
    }
    if (presence->leaving_last != NONE) {
        presence->leaving[presence->leaving_last].next = index;
    } else {
        presence->leaving_first = index;
    }
    presence->leaving_last = index;
    leaving_schedule(presence);
}

void rc_presence_interest(struct rc_presence *presence, struct rc_span channel, bool wanted)
{
    if (!presence->users || channel.count <= RC_USER_CHANNEL_HEAD_BYTES ||
        !rc_span_starts_with(channel, RC_SPAN(RC_USER_CHANNEL_HEAD))) {
        return;
    }
    const struct rc_span user =
        rc_span_of(channel.bytes + RC_USER_CHANNEL_HEAD_BYTES, channel.count - RC_USER_CHANNEL_HEAD_BYTES);
    presence->user_count = wanted ? presence->user_count + 1 : presence->user_count - 1;
    rc_metric_set(presence->bridge->wire->metrics, RC_METRIC_PRESENCE_USERS, presence->user_count);
    if (!wanted) {
        leave_later(presence, user, presence->config->presence.offline_delay_ms);
        return;
    }
    char name[RC_ENTRY_NAME_MAX];
    const uint32_t leaving = leaving_find(presence, user);
    if (leaving != RC_HASHMAP_NONE) {
        leaving_remove(presence, leaving);
    }
    (void)rc_entries_add(presence->entries, presence_entry_name(user, name), 0, &nobody, (struct rc_span){0});
}

int rc_presence_clean_user(struct rc_presence *presence, struct rc_span user, const char *instance,
                           rc_redis_replied *replied, void *context)
{
    char name[RC_ENTRY_NAME_MAX];
    if (user.count > RC_CHANNEL_NAME_MAX) {
        return -EINVAL;
    }
    if (replied != NULL) {
        return run_script(presence, user, instance, false, replied, context);
    }
    /* A predecessor's: here already, or it has its time to come back. */
    const uint64_t delay_ms = presence->config->presence.offline_delay_ms;
    const struct rc_span entry = presence_entry_name(user, name);
    if (!rc_entries_has(presence->entries, entry)) {
        (void)rc_entries_adopt(presence->entries, entry);
        leave_later(presence, user, delay_ms > ADOPTED_MS ? delay_ms : ADOPTED_MS);
    }
    return 0;
}

static void missed_looked(void *context, const redisReply *reply)
{
    const struct rc_presence *presence = context;
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        rc_metric_add(presence->bridge->wire->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    }
}

void rc_presence_missed(struct rc_presence *presence, struct rc_span user)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("HEXISTS"), rc_redis_key(presence->bridge->link, key, RC_PRESENCE_USERS),
                                   user};
    if (presence->users) { /* else nobody knows where users are */
        (void)rc_redis_command(presence->bridge->link, missed_looked, presence, 1, RC_ARRAY_COUNT(argv), argv);
    }
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

void rc_presence_member(struct rc_presence *presence, struct rc_span channel, const struct rc_client_ref *ref,
                        struct rc_span user, bool subscribed)
{
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(presence->config, (const char *)channel.bytes, channel.count);
    char name[RC_ENTRY_NAME_MAX];
    const size_t head_bytes = strlen("p" RC_PRESENCE_CHANNEL);
    memcpy(name, "p" RC_PRESENCE_CHANNEL, head_bytes);
    memcpy(name + head_bytes, channel.bytes, channel.count);
    const struct rc_span span = rc_span_of(name, head_bytes + channel.count);
    if (!subscribed) {
        rc_entries_remove(presence->entries, span, 0, ref); /* also when a reload has switched it off since */
    } else if (policy->presence) {
        (void)rc_entries_add(presence->entries, span, 0, ref, user);
    }
}

void rc_presence_count(struct rc_presence *presence, struct rc_span channel, struct rc_span user, struct rc_span info,
                       uint32_t clients)
{
    char name[RC_ENTRY_NAME_MAX];
    uint8_t value[sizeof(clients) + RC_MEMBER_BYTES_MAX];
    const size_t head_bytes = strlen("m" RC_PRESENCE_MEMBERS);
    /* Of the instance, not of one client, so no worker's; told apart by the hash of the user's id. */
    const struct rc_client_ref ref = {.random =
                                          user.count == 0 ? 1 : rc_channel_hash((const char *)user.bytes, user.count),
                                      .worker = RC_WORKER_FOREIGN};
    if (user.count > RC_CHANNEL_NAME_MAX) {
        return; /* no user's id is that long: `user:{id}` is a channel */
    }
    memcpy(name, "m" RC_PRESENCE_MEMBERS, head_bytes);
    memcpy(name + head_bytes, channel.bytes, channel.count);
    memcpy(value, &clients, sizeof(clients));
    const size_t bytes = sizeof(clients) + rc_member_write(value + sizeof(clients), user, info);
    const struct rc_span span = rc_span_of(name, head_bytes + channel.count);
    if (clients == 0) {
        rc_entries_remove(presence->entries, span, 0, &ref);
    } else {
        (void)rc_entries_add(presence->entries, span, 0, &ref, rc_span_of(value, bytes));
    }
}

/* --- events ---------------------------------------------------------------------------------------------------------- */

/* What the event is called, for clients whose protocol has events; empty: it has no name. */
static struct rc_span event_name(struct rc_span message, char scratch[RC_EVENT_NAME_MAX])
{
    struct rc_json_cursor cursor;
    struct rc_json_value member;
    struct rc_json_value value;
    struct rc_span name = {0};
    int rc = rc_json_object_begin(&cursor, message, 0);
    while (rc >= 0 && (rc = rc_json_object_next(&cursor, &member, &value)) == 1) {
        if (rc_json_string_is(&member, RC_SPAN("event")) && value.type == RC_JSON_STRING &&
            rc_json_string_decode(&value, (uint8_t *)scratch, RC_EVENT_NAME_MAX, &name) < 0) {
            name = (struct rc_span){0};
        }
    }
    return name;
}

static void event_received(void *context, struct rc_span channel, struct rc_span message)
{
    const struct rc_presence *presence = context;
    const char *name = presence->config->presence.events_channel.text;
    struct rc_json_value value;
    (void)channel;
    if (!rc_foreign_received(presence->bridge, EVENTS, message)) {
        return;
    }
    const int rc = rc_json_scan(message, RC_JSON_CHECK_UTF8, &value, NULL);
    if (rc < 0) {
        rc_foreign_refused(presence->bridge, EVENTS, message, rc, "not JSON");
        return;
    }
    rc_metric_add(presence->bridge->wire->metrics, RC_METRIC_PRESENCE_EVENTS, 1);
    if (name[0] != '\0') {
        char scratch[RC_EVENT_NAME_MAX];
        const struct rc_foreign_message out = {
            .channel = rc_span_text(name), .event = event_name(value.raw, scratch), .data = value.raw};
        (void)rc_foreign_deliver(presence->bridge, &out);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_presence_open(struct rc_presence *presence, const struct rc_bridge *bridge, struct rc_entries *entries,
                     const struct rc_config *config, const char *instance_id, uint32_t boot_nonce)
{
    *presence = (struct rc_presence){.bridge = bridge,
                                     .entries = entries,
                                     .instance_id = instance_id,
                                     .boot_nonce = boot_nonce,
                                     .config = config,
                                     .users = config->presence.users,
                                     .leaving_free = NONE,
                                     .leaving_first = NONE,
                                     .leaving_last = NONE};
    if (rc_hashmap_init(&presence->leaving_names, 64, RC_ENTRIES_MAX) < 0) {
        return -ENOMEM;
    }
    presence->events = (struct rc_redis_subscription){.name = EVENTS, .message = event_received, .context = presence};
    rc_redis_subscribe(bridge->link, &presence->events);
    return 0;
}

void rc_presence_close(struct rc_presence *presence)
{
    rc_timer_cancel(presence->bridge->timers, &presence->timer);
    for (uint32_t i = 0; i < presence->leaving_used; i++) {
        free(presence->leaving[i].user);
    }
    free(presence->leaving);
    while (presence->counted != NULL) { /* no answer comes any more */
        counted_free(presence->counted);
    }
    rc_hashmap_free(&presence->leaving_names);
}

void rc_presence_configure(struct rc_presence *presence, const struct rc_config *config)
{
    presence->config = config;
}
