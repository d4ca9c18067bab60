/* consumers: see consumers.h. */
#include "relay/cluster/consumers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/bridge.h"
#include "common/records/channel_name.h"
#include "common/text/decimal.h"
#include "common/text/json_scan.h"
#include "relay/redis/stream.h"

#define READER "reader" /* the one consumer of the group */
#define VALUES_MAX 128u /* fields and values of an entry; one with more is no message */

/* KEYS: the lock. ARGV: who, for how long. */
static const char lock_text[] = "local v=redis.call('GET',KEYS[1])\n"
                                "if v and v~=ARGV[1] then return 0 end\n"
                                "redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2])\n"
                                "return 1";
static const char unlock_text[] = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end\n"
                                  "return 0";

static struct rc_redis_link *link_of(const struct rc_consumer *one)
{
    return one->all->bridge->link;
}

static struct rc_span key_of(const struct rc_consumer *one, char out[RC_REDIS_NAME_MAX])
{
    return rc_redis_key(link_of(one), out, "%s", one->config.stream.text);
}

static void consumer_gauges(const struct rc_consumers *consumers)
{
    struct rc_metrics *metrics = consumers->bridge->wire->metrics;
    uint64_t led = 0;
    uint64_t lag = 0;
    for (uint32_t i = 0; i < consumers->count; i++) {
        const struct rc_consumer *one = &consumers->consumers[i];
        led += one->state != RC_CONSUMER_FOLLOWS;
        lag += one->state != RC_CONSUMER_FOLLOWS ? one->lag : 0;
    }
    rc_metric_set(metrics, RC_METRIC_CONSUMERS_LED, led);
    rc_metric_set(metrics, RC_METRIC_CONSUMERS_LAG, lag);
}

/* Whatever was under way is nobody's: it is among what is left. */
static void consumer_follow(struct rc_consumer *one)
{
    if (one->state != RC_CONSUMER_FOLLOWS) {
        rc_log_info("consumer_follows", "stream=\"%s\"", one->config.stream.text);
    }
    one->state = RC_CONSUMER_FOLLOWS;
    one->until_ms = 0;
    one->count = one->waiting = 0;
    consumer_gauges(one->all);
}

/* --- entries become messages ----------------------------------------------------------------------------------------- */

static bool json_put(uint8_t *out, size_t room, size_t *used, struct rc_span text)
{
    if (text.count > room - *used) {
        return false;
    }
    if (text.count > 0) {
        memcpy(out + *used, text.bytes, text.count);
    }
    *used += text.count;
    return true;
}

static bool put_string(uint8_t *out, size_t room, size_t *used, struct rc_span text)
{
    const size_t bytes = rc_json_string_encode(out + *used, room - *used, text);
    *used += bytes;
    return bytes > 0;
}

int rc_consumer_json(const struct rc_span *values, uint32_t count, uint8_t *out, size_t room, size_t *bytes)
{
    size_t used = 0;
    bool fits = json_put(out, room, &used, RC_SPAN("{"));
    for (uint32_t i = 0; i + 1 < count && fits; i += 2) {
        struct rc_json_value value;
        if (!rc_json_utf8_valid(values[i]) || !rc_json_utf8_valid(values[i + 1])) {
            return -EBADMSG;
        }
        const bool json = rc_json_scan(values[i + 1], RC_JSON_CHECK_UTF8, &value, NULL) == 0;
        fits = (i == 0 || json_put(out, room, &used, RC_SPAN(","))) && put_string(out, room, &used, values[i]) &&
               json_put(out, room, &used, RC_SPAN(":")) &&
               (json ? json_put(out, room, &used, value.raw) : put_string(out, room, &used, values[i + 1]));
    }
    if (!fits || !json_put(out, room, &used, RC_SPAN("}"))) {
        return -EMSGSIZE;
    }
    *bytes = used;
    return 0;
}

static const char *read_json(const struct rc_consumer *one, const redisReply *list, struct rc_span *json)
{
    struct rc_consumers *all = one->all;
    const size_t room = all->bridge->wire->message_bytes_max;
    struct rc_span values[VALUES_MAX];
    size_t bytes = 0;
    if (list->type != REDIS_REPLY_ARRAY || list->elements > VALUES_MAX) {
        return "too many fields";
    }
    for (size_t i = 0; i < list->elements; i++) {
        if (list->element[i]->type != REDIS_REPLY_STRING) {
            return "not fields and values";
        }
        values[i] = rc_span_of(list->element[i]->str, list->element[i]->len);
    }
    const int rc = rc_consumer_json(values, (uint32_t)list->elements, all->json.bytes, room, &bytes);
    *json = rc_span_of(all->json.bytes, bytes);
    return rc == 0 ? NULL : rc == -EBADMSG ? "not UTF-8" : "larger than limits.max_message_size";
}

/* NULL, or why the entry is no message. */
static const char *entry_publish(struct rc_consumer *one, struct rc_consumer_entry *entry, const redisReply *list,
                                 enum rc_consumed *how)
{
    struct rc_consumers *all = one->all;
    struct rc_application_destination to;
    struct rc_application_message message = {.json = {0}};
    char key[RC_MESSAGE_KEY_MAX];
    const size_t room = all->bridge->wire->message_bytes_max;
    if (!rc_scratch_room(&all->json, room) || !rc_scratch_room(&all->data, room) ||
        !rc_scratch_room(&all->text, room)) {
        *how = RC_CONSUMED_AGAIN;
        return NULL;
    }
    const char *why = read_json(one, list, &message.json);
    why = why == NULL ? rc_application_room(&one->texts, &message, &to) : why;
    why = why == NULL && to.everywhere ? "the room is everybody" : why;
    why = why == NULL ? rc_application_event(&one->texts, &message, &to) : why;
    if (why != NULL) {
        return why;
    }
    const int key_bytes = rc_application_fill(&one->key, &message, key, sizeof(key));
    if (key_bytes < 0) {
        return key_bytes == -EMSGSIZE ? "the key is too long" : "a field of the key is missing";
    }
    const int data_bytes = rc_application_argument(&one->data, &message, all->data.bytes, all->text.bytes,
                                                   all->bridge->wire->message_bytes_max);
    if (data_bytes < 0) {
        return data_bytes == -EMSGSIZE ? "larger than limits.max_message_size" : "a field of the data is missing";
    }
    entry->channel = rc_channel_hash(to.channel, to.channel_bytes);
    const struct rc_envelope_view view = {
        .head = {.time_ns = rc_clock_ns(),
                 .channel_hash = entry->channel,
                 .data_bytes = (uint32_t)data_bytes,
                 .flags = one->config.retain ? RC_ENVELOPE_RETAIN : 0,
                 .channel_bytes = (uint8_t)to.channel_bytes,
                 .key_bytes = (uint8_t)key_bytes,
                 .event_bytes = (uint8_t)to.event_bytes},
        .channel = to.channel,
        .key = (const uint8_t *)key,
        .event = to.event,
        .data = all->data.bytes,
    };
    struct rc_shared_source source = {.field = rc_span_text(one->field), .id = rc_span_of(entry->id, entry->id_bytes)};
    for (const struct rc_consumer_entry *before = entry; before-- > one->entries && source.before.count == 0;) {
        if (before->channel == entry->channel) {
            source.before = rc_span_of(before->id, before->id_bytes);
        }
    }
    *how = all->ops.publish(all->ops.context, &view, &source, &entry->sequence);
    if (*how == RC_CONSUMED_NEVER) {
        entry->channel = 0; /* as of all that are refused: Redis never has what comes before the next one by it */
        return "larger than redis.outbox";
    }
    return NULL;
}

/* --- a batch --------------------------------------------------------------------------------------------------------- */

static void batch_acknowledge(const struct rc_consumer *one)
{
    struct rc_span argv[RC_CONSUMER_BATCH + 3] = {RC_SPAN("XACK")};
    char key[RC_REDIS_NAME_MAX];
    uint32_t argc = 3;
    argv[1] = key_of(one, key);
    argv[2] = rc_span_text(one->config.group.text);
    for (uint32_t i = 0; i < one->count; i++) {
        if (!one->entries[i].failed) {
            argv[argc++] = rc_span_of(one->entries[i].id, one->entries[i].id_bytes);
        }
    }
    if (argc > 3) { /* what is not told now is read again, and told then */
        (void)rc_redis_command(link_of(one), NULL, NULL, 1, argc, argv);
    }
}

/* All of the batch is with Redis, or is to be read again. */
static void batch_over(struct rc_consumer *one)
{
    struct rc_metrics *metrics = one->all->bridge->wire->metrics;
    uint32_t failed = 0;
    for (uint32_t i = 0; i < one->count; i++) {
        failed += one->entries[i].failed;
    }
    batch_acknowledge(one);
    rc_metric_add(metrics, RC_METRIC_CONSUMED, one->count - failed);
    if (failed > 0) {
        rc_metric_add(metrics, RC_METRIC_CONSUMED_AGAIN, 1);
        one->state = RC_CONSUMER_LEFT;
        one->next_ms = rc_clock_ms() + RC_CONSUMER_AGAIN_MS;
    }
    one->count = 0;
}

void rc_consumers_ended(struct rc_consumers *consumers, uint64_t sequence, bool taken)
{
    for (uint32_t i = 0; i < consumers->count; i++) {
        struct rc_consumer *one = &consumers->consumers[i];
        for (uint32_t j = 0; one->waiting > 0 && j < one->count; j++) {
            struct rc_consumer_entry *entry = &one->entries[j];
            if (entry->waits && entry->sequence == sequence) {
                entry->waits = false;
                entry->failed = !taken;
                one->waiting--;
                if (one->waiting == 0) {
                    batch_over(one);
                }
                return;
            }
        }
    }
}

static bool entry_id(const redisReply *reply, struct rc_consumer_entry *entry)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len == 0 || reply->element[0]->len > sizeof(entry->id)) {
        return false;
    }
    *entry = (struct rc_consumer_entry){.id_bytes = (uint8_t)reply->element[0]->len};
    memcpy(entry->id, reply->element[0]->str, entry->id_bytes);
    return true;
}

static void batch_take(struct rc_consumer *one, const redisReply *entries)
{
    struct rc_metrics *metrics = one->all->bridge->wire->metrics;
    bool again = false;
    one->waiting = 1; /* until all are published */
    for (size_t i = 0; i < entries->elements && one->count < RC_CONSUMER_BATCH; i++) {
        struct rc_consumer_entry *entry = &one->entries[one->count];
        enum rc_consumed how = RC_CONSUMED;
        if (!entry_id(entries->element[i], entry)) {
            continue;
        }
        one->count++;
        const redisReply *list = entries->element[i]->element[1];
        if (again) {
            entry->failed = true; /* not before those that come again */
            continue;
        }
        const char *why = list->type == REDIS_REPLY_NIL ? "deleted" : entry_publish(one, entry, list, &how);
        if (why != NULL) {
            rc_metric_add(metrics, RC_METRIC_CONSUMED_REFUSED, 1);
            rc_log_limited(RC_LOG_WARN, 1, "consumer_entry_dropped", "stream=\"%s\" id=\"%.*s\" reason=\"%s\"",
                           one->config.stream.text, (int)entry->id_bytes, entry->id, why);
        }
        again = how == RC_CONSUMED_AGAIN;
        entry->failed = again;
        entry->waits = how == RC_CONSUMED_LATER;
        one->waiting += entry->waits;
    }
    if (--one->waiting == 0) {
        batch_over(one);
    }
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static void group_replied(void *context, const redisReply *reply)
{
    struct rc_consumer *one = context;
    one->asking = false;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "BUSYGROUP", 9) != 0) {
        rc_log_limited(RC_LOG_WARN, 1, "consumer_refused", "stream=\"%s\" reason=\"%s\"", one->config.stream.text,
                       reply->str);
        one->next_ms = rc_clock_ms() + RC_CONSUMER_RENEW_MS;
    }
}

/* A group that was there and is not any more went with data: all that has come since is to be read. */
static void group_make(struct rc_consumer *one)
{
    char key[RC_REDIS_NAME_MAX];
    const bool oldest = one->had || one->config.from == RC_CONSUMER_OLDEST;
    const struct rc_span argv[] = {RC_SPAN("XGROUP"),
                                   RC_SPAN("CREATE"),
                                   key_of(one, key),
                                   rc_span_text(one->config.group.text),
                                   oldest ? RC_SPAN("0") : RC_SPAN("$"),
                                   RC_SPAN("MKSTREAM")};
    one->asking = rc_redis_command(link_of(one), group_replied, one, 2, RC_ARRAY_COUNT(argv), argv) == 0;
}

static void read_replied(void *context, const redisReply *reply)
{
    struct rc_consumer *one = context;
    const redisReply *entries = reply == NULL ? NULL : rc_redis_stream_entries(reply);
    one->asking = false;
    if (one->state == RC_CONSUMER_FOLLOWS || reply == NULL) {
        consumer_follow(one); /* what was read is left for whoever comes */
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOGROUP", 7) == 0) {
        group_make(one);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        rc_log_limited(RC_LOG_WARN, 1, "consumer_refused", "stream=\"%s\" reason=\"%s\"", one->config.stream.text,
                       reply->str);
        one->next_ms = rc_clock_ms() + RC_CONSUMER_RENEW_MS;
        return;
    }
    one->had = true;
    if (entries != NULL && entries->elements > 0) {
        batch_take(one, entries);
    } else if (one->state == RC_CONSUMER_LEFT) {
        one->state = RC_CONSUMER_READS;
    }
}

static void consumer_read(struct rc_consumer *one)
{
    char key[RC_REDIS_NAME_MAX];
    char batch[12];
    const struct rc_span argv[] = {RC_SPAN("XREADGROUP"),
                                   RC_SPAN("GROUP"),
                                   rc_span_text(one->config.group.text),
                                   RC_SPAN(READER),
                                   RC_SPAN("COUNT"),
                                   rc_span_of(batch, (size_t)(rc_decimal_write(batch, RC_CONSUMER_BATCH) - batch)),
                                   RC_SPAN("STREAMS"),
                                   key_of(one, key),
                                   one->state == RC_CONSUMER_READS ? RC_SPAN(">") : RC_SPAN("0")};
    one->asking = rc_redis_command(link_of(one), read_replied, one, 7, RC_ARRAY_COUNT(argv), argv) == 0;
}

/* --- the lock -------------------------------------------------------------------------------------------------------- */

/* XINFO GROUPS: pairs of names and values for each group. */
static void lag_replied(void *context, const redisReply *reply)
{
    struct rc_consumer *one = context;
    const size_t groups = reply != NULL && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    for (size_t i = 0; i < groups; i++) {
        const redisReply *group = reply->element[i];
        const bool pairs = group->type == REDIS_REPLY_MAP || group->type == REDIS_REPLY_ARRAY;
        uint64_t lag = 0;
        bool ours = false;
        for (size_t j = 0; pairs && j + 1 < group->elements; j += 2) {
            const redisReply *value = group->element[j + 1];
            const char *name = group->element[j]->type == REDIS_REPLY_STRING ? group->element[j]->str : "";
            ours |= strcmp(name, "name") == 0 && value->type == REDIS_REPLY_STRING &&
                    strcmp(value->str, one->config.group.text) == 0;
            lag += (strcmp(name, "lag") == 0 || strcmp(name, "pending") == 0) && value->type == REDIS_REPLY_INTEGER &&
                           value->integer > 0
                       ? (uint64_t)value->integer
                       : 0;
        }
        one->lag = ours ? lag : one->lag;
    }
    consumer_gauges(one->all);
}

static void lag_ask(struct rc_consumer *one)
{
    char key[RC_REDIS_NAME_MAX];
    const struct rc_span argv[] = {RC_SPAN("XINFO"), RC_SPAN("GROUPS"), key_of(one, key)};
    (void)rc_redis_command(link_of(one), lag_replied, one, 2, RC_ARRAY_COUNT(argv), argv);
}

static void lock_replied(void *context, const redisReply *reply)
{
    struct rc_consumer *one = context;
    one->renewing = false;
    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
        if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
            rc_log_limited(RC_LOG_WARN, 1, "consumer_refused", "stream=\"%s\" reason=\"%s\"", one->config.stream.text,
                           reply->str);
        }
        consumer_follow(one);
        return;
    }
    one->until_ms = one->asked_ms + RC_CONSUMER_LOCK_MS - RC_CONSUMER_RENEW_MS;
    if (one->state == RC_CONSUMER_FOLLOWS) {
        rc_log_info("consumer_reads", "stream=\"%s\"", one->config.stream.text);
        one->state = RC_CONSUMER_LEFT;
        consumer_gauges(one->all);
    }
    if (one->had) {
        lag_ask(one);
    }
}

static int lock_say(const struct rc_consumer *one, const char *text, rc_redis_replied *replied, void *context)
{
    char name[RC_REDIS_NAME_MAX];
    char who[RC_INSTANCE_ID_MAX + 16];
    char lock_ms[12];
    const int who_bytes = snprintf(who, sizeof(who), "%s:%u", one->all->instance_id, one->all->boot);
    const struct rc_span argv[] = {
        RC_SPAN("EVAL"),
        rc_span_text(text),
        RC_SPAN("1"),
        rc_redis_key(link_of(one), name, "ws:consumer:{%s}", one->config.stream.text),
        rc_span_of(who, (size_t)who_bytes),
        rc_span_of(lock_ms, (size_t)(rc_decimal_write(lock_ms, RC_CONSUMER_LOCK_MS) - lock_ms))};
    return rc_redis_command(link_of(one), replied, context, 3, RC_ARRAY_COUNT(argv), argv);
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

static void consumer_tick(struct rc_consumer *one, uint64_t now_ms)
{
    if (!rc_redis_up(link_of(one)) || (one->state != RC_CONSUMER_FOLLOWS && now_ms >= one->until_ms)) {
        consumer_follow(one);
    }
    if (!rc_redis_up(link_of(one))) {
        one->renew_ms = now_ms;
        return;
    }
    if (!one->renewing && now_ms >= one->renew_ms) {
        one->renew_ms = now_ms + RC_CONSUMER_RENEW_MS;
        one->asked_ms = now_ms;
        one->renewing = lock_say(one, lock_text, lock_replied, one) == 0;
    }
    if (one->state != RC_CONSUMER_FOLLOWS && !one->asking && one->waiting == 0 && now_ms >= one->next_ms) {
        consumer_read(one);
    }
}

static void consumers_tick(void *context, uint64_t now_ms)
{
    struct rc_consumers *consumers = context;
    for (uint32_t i = 0; i < consumers->count; i++) {
        consumer_tick(&consumers->consumers[i], now_ms);
    }
    rc_timer_set(consumers->bridge->timers, &consumers->timer, now_ms + RC_CONSUMER_TICK_MS, consumers_tick, consumers);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* Its texts were compiled when the file was read. */
static void consumer_open(struct rc_consumer *one, struct rc_consumers *consumers,
                          const struct rc_config_consumer *config)
{
    struct rc_err err;
    *one = (struct rc_consumer){.all = consumers, .config = *config};
    one->bridge.room = config->room;
    one->bridge.event = config->event;
    one->bridge.nsp = config->nsp;
    one->texts = (struct rc_application_bridge){.config = &one->bridge, .application = consumers->names};
    int rc = rc_template_compile(&one->texts.room, one->config.room.text, rc_config_bridge_field, &err);
    rc = rc == 0 ? rc_template_compile(&one->texts.event, one->config.event.text, rc_config_bridge_field, &err) : rc;
    rc = rc == 0 ? rc_template_compile(&one->texts.nsp, one->config.nsp.text, rc_config_bridge_field, &err) : rc;
    rc = rc == 0 ? rc_template_compile(&one->key, one->config.key.text, rc_config_bridge_field, &err) : rc;
    rc = rc == 0 ? rc_template_compile(&one->data, one->config.data.text, rc_config_bridge_field, &err) : rc;
    RC_ASSERT(rc == 0);
    (void)snprintf(one->field, sizeof(one->field), "s:%s", one->config.stream.text);
}

void rc_consumers_open(struct rc_consumers *consumers, const struct rc_bridge *bridge, struct rc_application *names,
                       const struct rc_config *config, const char *instance_id, uint32_t boot,
                       const struct rc_consumers_ops *ops)
{
    *consumers = (struct rc_consumers){.bridge = bridge,
                                       .names = names,
                                       .instance_id = instance_id,
                                       .boot = boot,
                                       .ops = *ops,
                                       .count = config->consumer_count};
    for (uint32_t i = 0; i < consumers->count; i++) {
        consumer_open(&consumers->consumers[i], consumers, &config->consumers[i]);
    }
    consumer_gauges(consumers);
    if (consumers->count > 0) {
        rc_timer_set(bridge->timers, &consumers->timer, rc_clock_ms() + RC_CONSUMER_TICK_MS, consumers_tick, consumers);
    }
}

void rc_consumers_leave(struct rc_consumers *consumers)
{
    for (uint32_t i = 0; i < consumers->count; i++) {
        if (consumers->consumers[i].state != RC_CONSUMER_FOLLOWS) {
            (void)lock_say(&consumers->consumers[i], unlock_text, NULL, NULL);
            consumer_follow(&consumers->consumers[i]);
        }
    }
    rc_timer_cancel(consumers->bridge->timers, &consumers->timer);
}

void rc_consumers_close(struct rc_consumers *consumers)
{
    if (consumers->bridge == NULL) {
        return;
    }
    rc_timer_cancel(consumers->bridge->timers, &consumers->timer);
    free(consumers->json.bytes);
    free(consumers->data.bytes);
    free(consumers->text.bytes);
    *consumers = (struct rc_consumers){0};
}
