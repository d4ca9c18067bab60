/* retained: see retained.h. */
#include "relay/cluster/retained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "common/text/json_scan.h"
#include "relay/bridge/foreign.h"

#define KEY "retained"
#define CHANNEL "ws:retained"
#define HEAD_MAX (2 + 20 + 1 + RC_INSTANCE_ID_MAX + 1 + 1 + 1 + 3 + 1)

/* KEYS: the hash. ARGV: field, ms, instance, value, channel ("": nobody is told), milliseconds that a stamp may be ahead. Not when what is there is
 * newer, or the same; what is too far ahead of Redis's clock is not written, and written over. */
static const char write_script[] = "local v=redis.call('HGET',KEYS[1],ARGV[1])\n"
                                   "local b=tonumber(ARGV[2])\n"
                                   "local most=tonumber(redis.call('TIME')[1])*1000+tonumber(ARGV[6])\n"
                                   "if b>most then return 0 end\n"
                                   "if v then\n"
                                   "  local ms,instance=string.match(v,'^1 (%d+) (%S+) ')\n"
                                   "  local a=tonumber(ms or '0')\n"
                                   "  if a<=most and (a>b or (a==b and instance>=ARGV[3])) then return 0 end\n"
                                   "end\n"
                                   "redis.call('HSET',KEYS[1],ARGV[1],ARGV[4])\n"
                                   "if ARGV[5]~='' then redis.call('PUBLISH',ARGV[5],ARGV[1]..'\\n'..ARGV[4]) end\n"
                                   "return 1";

/* KEYS: the hash. ARGV: field, how its value begins. Only if it still does. */
static const char drop_script[] = "local v=redis.call('HGET',KEYS[1],ARGV[1])\n"
                                  "if v and string.sub(v,1,#ARGV[2])==ARGV[2] then\n"
                                  "  return redis.call('HDEL',KEYS[1],ARGV[1])\n"
                                  "end\n"
                                  "return 0";

static void step_due(void *context, uint64_t now_ms);

/* --- as bytes -------------------------------------------------------------------------------------------------------- */

static bool take_digits(struct rc_span *rest, char end, uint64_t most, uint64_t *number)
{
    size_t digits = 0;
    *number = 0;
    while (digits < rest->count && rest->bytes[digits] >= '0' && rest->bytes[digits] <= '9' && *number <= most) {
        *number = *number * 10 + (uint64_t)(rest->bytes[digits++] - '0');
    }
    if (digits == 0 || digits == rest->count || rest->bytes[digits] != (uint8_t)end || *number > most) {
        return false;
    }
    *rest = rc_span_of(rest->bytes + digits + 1, rest->count - digits - 1);
    return true;
}

static bool take_until(struct rc_span *rest, char end, size_t most, struct rc_span *part)
{
    const uint8_t *at = rest->count == 0 ? NULL : memchr(rest->bytes, end, rest->count);
    if (at == NULL || (size_t)(at - rest->bytes) > most) {
        return false;
    }
    *part = rc_span_of(rest->bytes, (size_t)(at - rest->bytes));
    *rest = rc_span_of(at + 1, rest->count - part->count - 1);
    return true;
}

/* Is the data what its flags say? */
static bool data_right(struct rc_span data, uint8_t flag)
{
    struct rc_json_value value;
    struct rc_args_view args;
    return data.count == 0 || flag == 'b' || (flag == 'a' && rc_args_read(data, &args) == 0) ||
           (flag == '0' && rc_json_scan(data, RC_JSON_CHECK_UTF8, &value, NULL) == 0);
}

bool rc_retained_read(struct rc_span field, struct rc_span text, struct rc_envelope_view *view,
                      struct rc_history_stamp *stamp)
{
    struct rc_span channel;
    struct rc_span instance;
    struct rc_span flags;
    struct rc_span key = field;
    uint64_t version;
    uint64_t event_bytes;
    if (!take_until(&key, '\n', RC_CHANNEL_NAME_MAX, &channel) || key.count > RC_MESSAGE_KEY_MAX ||
        rc_channel_name_check((const char *)channel.bytes, channel.count, RC_CHANNEL_NAME_MAX) != 0 ||
        !take_digits(&text, ' ', 1, &version) || version != 1 ||
        !take_digits(&text, ' ', RC_HISTORY_STAMP_MAX, &stamp->ms) ||
        !take_until(&text, ' ', RC_INSTANCE_ID_MAX, &instance) || instance.count == 0 ||
        !rc_foreign_is_instance(instance) || !take_until(&text, ' ', 1, &flags) || flags.count != 1 ||
        !take_digits(&text, '\n', RC_EVENT_NAME_MAX, &event_bytes) || event_bytes > text.count) {
        return false;
    }
    const struct rc_span data = rc_span_of(text.bytes + event_bytes, text.count - (size_t)event_bytes);
    if (data.count > UINT32_MAX || !data_right(data, flags.bytes[0])) {
        return false;
    }
    stamp->instance = instance;
    stamp->own = false;
    *view = (struct rc_envelope_view){
        .head = {.channel_hash = rc_channel_hash((const char *)channel.bytes, channel.count),
                 .data_bytes = (uint32_t)data.count,
                 .flags = (uint16_t)(RC_ENVELOPE_REMOTE | (flags.bytes[0] == 'b'   ? RC_ENVELOPE_BINARY
                                                           : flags.bytes[0] == 'a' ? RC_ENVELOPE_ARGS
                                                                                   : 0u)),
                 .channel_bytes = (uint8_t)channel.count,
                 .key_bytes = (uint8_t)key.count,
                 .event_bytes = (uint8_t)event_bytes},
        .channel = (const char *)channel.bytes,
        .key = key.bytes,
        .event = (const char *)text.bytes,
        .data = data.bytes,
    };
    return true;
}

static size_t head_write(char out[HEAD_MAX + 1], const struct rc_envelope *head, uint64_t ms, struct rc_span instance)
{
    const int bytes = snprintf(out, HEAD_MAX + 1, "1 %llu %.*s %c %u\n", (unsigned long long)ms, (int)instance.count,
                               (const char *)instance.bytes,
                               (head->flags & RC_ENVELOPE_BINARY) ? 'b'
                               : (head->flags & RC_ENVELOPE_ARGS) ? 'a'
                                                                  : '0',
                               head->event_bytes);
    RC_ASSERT(bytes > 0 && bytes <= HEAD_MAX);
    return (size_t)bytes;
}

static struct rc_span field_write(char out[RC_CHANNEL_NAME_MAX + 1 + RC_MESSAGE_KEY_MAX],
                                  const struct rc_envelope_view *view)
{
    memcpy(out, view->channel, view->head.channel_bytes);
    out[view->head.channel_bytes] = '\n';
    if (view->head.key_bytes > 0) {
        memcpy(out + view->head.channel_bytes + 1, view->key, view->head.key_bytes);
    }
    return rc_span_of(out, view->head.channel_bytes + 1u + view->head.key_bytes);
}

/* A kept value as the message that it was. */
static struct rc_envelope_view value_view(const struct rc_history *history, uint32_t slot,
                                          const struct rc_history_message *message)
{
    const struct rc_history_slot *its = &history->view.slots[slot];
    return (struct rc_envelope_view){
        .head = {.data_bytes = message->entry.data_bytes,
                 .flags = (uint16_t)((message->entry.flags & RC_HISTORY_BINARY) ? RC_ENVELOPE_BINARY
                                     : (message->entry.flags & RC_HISTORY_ARGS) ? RC_ENVELOPE_ARGS
                                                                                : 0u),
                 .channel_bytes = its->name_bytes,
                 .key_bytes = message->entry.key_bytes,
                 .event_bytes = message->entry.event_bytes},
        .channel = its->name,
        .key = message->key.bytes,
        .event = (const char *)message->event.bytes,
        .data = message->data.bytes,
    };
}

/* --- to Redis -------------------------------------------------------------------------------------------------------- */

static bool room_for(struct rc_cluster_retained *retained, size_t bytes)
{
    if (bytes > retained->room) {
        uint8_t *more = realloc(retained->bytes, bytes);
        if (more == NULL) {
            return false;
        }
        retained->bytes = more;
        retained->room = bytes;
    }
    return true;
}

static bool retained_send(struct rc_cluster_retained *retained, const struct rc_envelope_view *view, uint64_t ms,
                          struct rc_span instance, bool tells, rc_redis_replied *replied)
{
    char key[RC_REDIS_NAME_MAX];
    char channel[RC_REDIS_NAME_MAX];
    char field[RC_CHANNEL_NAME_MAX + 1 + RC_MESSAGE_KEY_MAX];
    char stamp[24];
    char ahead[12];
    char head[HEAD_MAX + 1];
    const size_t head_bytes = head_write(head, &view->head, ms, instance);
    const size_t bytes = head_bytes + view->head.event_bytes + view->head.data_bytes;
    if (!room_for(retained, bytes)) {
        return false;
    }
    memcpy(retained->bytes, head, head_bytes);
    if (view->head.event_bytes > 0) {
        memcpy(retained->bytes + head_bytes, view->event, view->head.event_bytes);
    }
    if (view->head.data_bytes > 0) {
        memcpy(retained->bytes + head_bytes + view->head.event_bytes, view->data, view->head.data_bytes);
    }
    (void)snprintf(stamp, sizeof(stamp), "%llu", (unsigned long long)ms);
    (void)snprintf(ahead, sizeof(ahead), "%u", RC_HISTORY_AHEAD_MS);
    const struct rc_span argv[] = {RC_SPAN("EVAL"),
                                   rc_span_text(write_script),
                                   RC_SPAN("1"),
                                   rc_redis_key(retained->link, key, KEY),
                                   field_write(field, view),
                                   rc_span_text(stamp),
                                   instance,
                                   rc_span_of(retained->bytes, bytes),
                                   tells ? rc_redis_key(retained->link, channel, CHANNEL) : RC_SPAN(""),
                                   rc_span_text(ahead)};
    return rc_redis_command(retained->link, replied, retained, 3, RC_ARRAY_COUNT(argv), argv) == 0;
}

static void catch_up_later(struct rc_cluster_retained *retained)
{
    retained->again = true;
    if (retained->state == RC_RETAINED_IDLE && rc_redis_up(retained->link) && !retained->timer.set) {
        rc_timer_set(retained->timers, &retained->timer, rc_clock_ms() + RC_RETAINED_AGAIN_MS, step_due, retained);
    }
}

static void retained_refused(const redisReply *reply)
{
    rc_log_limited(RC_LOG_WARN, 1, "retained_not_written", "reason=\"%s\"", reply->str);
}

static void retained_told(void *context, const redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        retained_refused(reply);
        catch_up_later(context);
    }
    /* Nobody answered: the connection is lost, and all is looked at when it is back. */
}

void rc_cluster_retained_tell(struct rc_cluster_retained *retained, const struct rc_envelope_view *view)
{
    const uint32_t slot = rc_history_find(retained->history, view->head.channel_hash,
                                          rc_span_of(view->channel, view->head.channel_bytes));
    if (!rc_redis_up(retained->link) || slot == RC_HISTORY_NO_SLOT) {
        return; /* when it is back all is looked at */
    }
    if (retained->dirty_count == RC_RETAINED_DIRTY_MAX) {
        catch_up_later(retained);
        return;
    }
    const uint32_t reference = rc_history_dirty(retained->history, slot, rc_span_of(view->key, view->head.key_bytes));
    if (reference != RC_HASHMAP_NONE) {
        retained->dirty[retained->dirty_count++] = reference;
    }
}

void rc_cluster_retained_turn(struct rc_cluster_retained *retained)
{
    const struct rc_history_value *value;
    struct rc_history_message message;
    for (uint32_t i = 0; i < retained->dirty_count; i++) {
        if (!rc_history_clean(retained->history, retained->dirty[i], &value, &message)) {
            continue;
        }
        const struct rc_envelope_view view = value_view(retained->history, value->slot, &message);
        /* What a bridge keeps the others have heard as well, and know by their own time. */
        if (rc_redis_up(retained->link) &&
            !retained_send(retained, &view, value->stamp_ms, rc_span_of(value->instance, value->instance_bytes),
                           (message.entry.flags & RC_HISTORY_REMOTE) == 0, retained_told)) {
            catch_up_later(retained);
        }
    }
    retained->dirty_count = 0;
}

/* A value is gone here for want of room, or was a grave long enough: from Redis, too, unless there is a newer one. */
static void value_dropped(void *context, uint32_t slot, const struct rc_history_value *value,
                          const struct rc_history_message *message)
{
    struct rc_cluster_retained *retained = context;
    const struct rc_envelope_view view = value_view(retained->history, slot, message);
    char key[RC_REDIS_NAME_MAX];
    char field[RC_CHANNEL_NAME_MAX + 1 + RC_MESSAGE_KEY_MAX];
    char head[HEAD_MAX + 1];
    const size_t bytes =
        head_write(head, &view.head, value->stamp_ms, rc_span_of(value->instance, value->instance_bytes));
    const struct rc_span argv[] = {
        RC_SPAN("EVAL"),           rc_span_text(drop_script), RC_SPAN("1"), rc_redis_key(retained->link, key, KEY),
        field_write(field, &view), rc_span_of(head, bytes)};
    (void)rc_redis_command(retained->link, NULL, NULL, 3, RC_ARRAY_COUNT(argv),
                           argv); /* it is dropped again some day */
}

/* --- from Redis ------------------------------------------------------------------------------------------------------ */

/* Keeps a value if it is newer. True: Redis has what is here. */
static bool value_take(struct rc_cluster_retained *retained, struct rc_span field, struct rc_span text)
{
    struct rc_envelope_view view;
    struct rc_history_stamp stamp;
    if (!rc_retained_read(field, text, &view, &stamp)) {
        rc_metric_add(retained->metrics, RC_METRIC_REDIS_MALFORMED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "retained_malformed", "bytes=%zu", text.count);
        return true;
    }
    const enum rc_history_kept kept =
        rc_history_keep(retained->history, &view, &stamp, true, rc_history_now(&retained->history->view));
    const uint32_t slot =
        rc_history_find(retained->history, view.head.channel_hash, rc_span_of(view.channel, view.head.channel_bytes));
    if (kept == RC_HISTORY_KEPT && slot != RC_HISTORY_NO_SLOT) {
        rc_history_mark(retained->history, slot, rc_span_of(view.key, view.head.key_bytes), retained->mark);
    }
    return kept != RC_HISTORY_OLDER;
}

static void retained_message(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_span rest = message;
    struct rc_span name;
    struct rc_span key;
    (void)channel;
    /* Field and value: neither name nor key has a line's end. */
    if (take_until(&rest, '\n', RC_CHANNEL_NAME_MAX, &name) && take_until(&rest, '\n', RC_MESSAGE_KEY_MAX, &key)) {
        (void)value_take(context, rc_span_of(message.bytes, name.count + 1 + key.count), rest);
    } else {
        const struct rc_cluster_retained *retained = context;
        rc_metric_add(retained->metrics, RC_METRIC_REDIS_MALFORMED, 1);
    }
}

/* --- catching up ----------------------------------------------------------------------------------------------------- */

static void step_next(struct rc_cluster_retained *retained, uint64_t in_ms)
{
    rc_timer_set(retained->timers, &retained->timer, rc_clock_ms() + in_ms, step_due, retained);
}

static void catch_up_end(struct rc_cluster_retained *retained)
{
    retained->state = RC_RETAINED_IDLE;
    rc_timer_cancel(retained->timers, &retained->timer);
    if (retained->again && rc_redis_up(retained->link)) {
        step_next(retained, RC_RETAINED_AGAIN_MS);
    }
}

static void values_scanned(void *context, const redisReply *reply)
{
    struct rc_cluster_retained *retained = context;
    retained->flying--;
    if (retained->state != RC_RETAINED_READING || reply == NULL) {
        return; /* it begins again when Redis is back */
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len >= RC_RETAINED_CURSOR_MAX || reply->element[1]->type != REDIS_REPLY_ARRAY) {
        if (reply->type == REDIS_REPLY_ERROR) {
            retained_refused(reply);
        }
        retained->again = true;
        catch_up_end(retained);
        return;
    }
    const redisReply *all = reply->element[1];
    for (size_t i = 0; i + 1 < all->elements; i += 2) {
        const redisReply *field = all->element[i];
        const redisReply *value = all->element[i + 1];
        if (field->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING) {
            (void)value_take(retained, rc_span_of(field->str, field->len), rc_span_of(value->str, value->len));
        }
    }
    (void)snprintf(retained->cursor, sizeof(retained->cursor), "%s", reply->element[0]->str);
    if (strcmp(retained->cursor, "0") == 0) {
        retained->state = RC_RETAINED_WRITING;
        retained->reference = 0;
    }
    step_next(retained, RC_RETAINED_STEP_MS);
}

static void scan_step(struct rc_cluster_retained *retained)
{
    char key[RC_REDIS_NAME_MAX];
    char count[12];
    (void)snprintf(count, sizeof(count), "%u", RC_RETAINED_STEP);
    const struct rc_span argv[] = {RC_SPAN("HSCAN"), rc_redis_key(retained->link, key, KEY),
                                   rc_span_text(retained->cursor), RC_SPAN("COUNT"), rc_span_text(count)};
    if (rc_redis_command(retained->link, values_scanned, retained, 1, RC_ARRAY_COUNT(argv), argv) == 0) {
        retained->flying++;
    } else {
        retained->again = true;
        catch_up_end(retained);
    }
}

static void value_written(void *context, const redisReply *reply)
{
    struct rc_cluster_retained *retained = context;
    retained->flying--;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        retained_refused(reply);
        retained->again = true;
    }
    if (retained->state == RC_RETAINED_WRITING && reply != NULL && retained->flying == 0) {
        step_next(retained, RC_RETAINED_STEP_MS);
    }
}

static void write_step(struct rc_cluster_retained *retained)
{
    struct rc_history *history = retained->history;
    struct rc_history_message message;
    const struct rc_history_value *value;
    uint32_t looked = 0;
    while (retained->flying < RC_RETAINED_STEP && looked++ < 64 * RC_RETAINED_STEP &&
           rc_history_value_at(history, &retained->reference, retained->mark, &value, &message)) {
        const struct rc_envelope_view view = value_view(history, value->slot, &message);
        if (!retained_send(retained, &view, value->stamp_ms, rc_span_of(value->instance, value->instance_bytes), true,
                           value_written)) {
            retained->again = true;
            break;
        }
        retained->flying++;
    }
    if (retained->flying > 0) {
        return;
    }
    if (retained->again || retained->reference >= history->references_high) {
        catch_up_end(retained);
    } else {
        step_next(retained, RC_RETAINED_STEP_MS);
    }
}

static void catch_up_begin(struct rc_cluster_retained *retained)
{
    retained->again = false;
    retained->mark++;
    retained->state = RC_RETAINED_READING;
    (void)snprintf(retained->cursor, sizeof(retained->cursor), "0");
    scan_step(retained);
}

static void step_due(void *context, uint64_t now_ms)
{
    struct rc_cluster_retained *retained = context;
    (void)now_ms;
    if (!rc_redis_up(retained->link) || retained->flying > 0) {
        return;
    }
    switch (retained->state) {
    case RC_RETAINED_IDLE:
        /* What is told while it is read must arrive. */
        if (retained->subscription.confirmed) {
            catch_up_begin(retained);
        } else {
            step_next(retained, RC_RETAINED_UNCONFIRMED_MS);
        }
        break;
    case RC_RETAINED_READING:
        scan_step(retained);
        break;
    case RC_RETAINED_WRITING:
        write_step(retained);
        break;
    }
}

static void retained_redis_changed(void *context, bool up)
{
    struct rc_cluster_retained *retained = context;
    retained->state = RC_RETAINED_IDLE;
    rc_timer_cancel(retained->timers, &retained->timer);
    if (up) {
        step_next(retained, RC_RETAINED_STEP_MS);
    }
}

void rc_cluster_retained_missed(struct rc_cluster_retained *retained)
{
    retained->again = true;
    if (retained->state == RC_RETAINED_IDLE && retained->history->view.slot_count > 0) {
        step_next(retained, RC_RETAINED_STEP_MS);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_cluster_retained_open(struct rc_cluster_retained *retained, struct rc_redis_link *link,
                              struct rc_timers *timers, struct rc_history *history, const char *instance_id)
{
    *retained = (struct rc_cluster_retained){
        .link = link, .timers = timers, .history = history, .metrics = history->metrics, .instance_id = instance_id};
    if (history->view.slot_count == 0) {
        return; /* nothing is kept here */
    }
    retained->subscription =
        (struct rc_redis_subscription){.name = CHANNEL, .message = retained_message, .context = retained};
    retained->observer = (struct rc_redis_observer){.changed = retained_redis_changed, .context = retained};
    history->dropped = value_dropped;
    history->dropped_context = retained;
    rc_redis_subscribe(link, &retained->subscription);
    rc_redis_observe(link, &retained->observer);
}

void rc_cluster_retained_close(struct rc_cluster_retained *retained)
{
    if (retained->timers != NULL) {
        rc_timer_cancel(retained->timers, &retained->timer);
    }
    if (retained->history != NULL) {
        retained->history->dropped = NULL;
    }
    free(retained->bytes);
    retained->bytes = NULL;
}
