/* outbox: see outbox.h. */
#include "relay/redis/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/redis/error_reply.h"

void rc_redis_outbox_init(struct rc_redis_outbox *outbox, uint64_t bytes_max, uint64_t age_ms_max,
                          struct rc_metrics *metrics, const struct rc_redis_outbox_ops *ops)
{
    *outbox =
        (struct rc_redis_outbox){.bytes_max = bytes_max, .age_ms_max = age_ms_max, .metrics = metrics, .ops = *ops};
}

static uint64_t cost_of(const struct rc_redis_entry *entry)
{
    return sizeof(*entry) + entry->bytes;
}

static void count_in(struct rc_redis_outbox *outbox, const struct rc_redis_entry *entry)
{
    outbox->count++;
    outbox->bytes += cost_of(entry);
    if (outbox->waiting != NULL) {
        outbox->waiting[entry->slot]++;
    }
    rc_metric_add(outbox->metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES, 1);
    rc_metric_add(outbox->metrics, RC_METRIC_REDIS_OUTBOX_BYTES, cost_of(entry));
}

static void count_out(struct rc_redis_outbox *outbox, const struct rc_redis_entry *entry)
{
    outbox->count--;
    outbox->bytes -= cost_of(entry);
    if (outbox->waiting != NULL) {
        outbox->waiting[entry->slot]--;
    }
    rc_metric_sub(outbox->metrics, RC_METRIC_REDIS_OUTBOX_MESSAGES, 1);
    rc_metric_sub(outbox->metrics, RC_METRIC_REDIS_OUTBOX_BYTES, cost_of(entry));
}

static void free_list(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry)
{
    while (entry != NULL) {
        struct rc_redis_entry *next = entry->next;
        count_out(outbox, entry);
        free(entry);
        entry = next;
    }
}

void rc_redis_outbox_free(struct rc_redis_outbox *outbox)
{
    struct rc_redis_entry *last;
    free_list(outbox, outbox->head);
    free_list(outbox, rc_redis_refusals_take(&outbox->refusals, &last));
    outbox->head = outbox->tail = outbox->unsent = NULL;
    outbox->in_flight = outbox->announcements = 0;
    outbox->in_flight_bytes = 0;
}

static void outbox_ended(struct rc_redis_outbox *outbox, const struct rc_redis_entry *entry, const redisReply *reply)
{
    if (entry->token != 0 && outbox->ops.ended != NULL) {
        outbox->ops.ended(outbox->ops.context, rc_span_of(entry->command + entry->name_at, entry->name_bytes),
                          entry->token, reply);
    }
}

/* Frees an entry that is in no list any more and will never be sent (again). `reply`: why, if Redis says so. */
static void outbox_lose(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry, const redisReply *reply)
{
    outbox_ended(outbox, entry, reply);
    if (entry->told && outbox->ops.lost != NULL) {
        outbox->ops.lost(outbox->ops.context, rc_span_of(entry->command + entry->name_at, entry->name_bytes),
                         entry->token != 0);
    }
    free(entry);
}

static void count_dropped(struct rc_redis_outbox *outbox, uint32_t count, const char *why)
{
    rc_metric_add(outbox->metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, count);
    rc_log_limited(RC_LOG_WARN, 1, "redis_outbox_dropped", "messages=%u reason=\"%s\" bytes=%llu", count, why,
                   (unsigned long long)outbox->bytes);
}

struct rc_redis_entry *rc_redis_entry_new(size_t bytes, uint16_t slot, uint64_t now_ms)
{
    struct rc_redis_entry *entry = malloc(sizeof(*entry) + bytes);
    if (entry != NULL) {
        *entry = (struct rc_redis_entry){.time_ms = now_ms, .bytes = (uint32_t)bytes, .slot = slot};
    }
    return entry;
}

/* The last one before `entry`, NULL when it is the first: at most RC_REDIS_IN_FLIGHT_MAX and the announcements are before it. */
static struct rc_redis_entry *outbox_before(const struct rc_redis_outbox *outbox, const struct rc_redis_entry *entry)
{
    struct rc_redis_entry *one = outbox->head == entry ? NULL : outbox->head;
    while (one != NULL && one->next != entry) {
        one = one->next;
    }
    return one;
}

/* The oldest that may be dropped. */
static struct rc_redis_entry *outbox_oldest(const struct rc_redis_outbox *outbox)
{
    struct rc_redis_entry *entry = outbox->unsent;
    while (entry != NULL && entry->announcement) {
        entry = entry->next;
    }
    return entry;
}

struct rc_redis_entry *rc_redis_outbox_take(struct rc_redis_outbox *outbox)
{
    struct rc_redis_entry *entry = outbox_oldest(outbox);
    if (entry == NULL) {
        return NULL;
    }
    struct rc_redis_entry *previous = outbox_before(outbox, entry);
    if (previous == NULL) {
        outbox->head = entry->next;
    } else {
        previous->next = entry->next;
    }
    outbox->tail = outbox->tail != entry ? outbox->tail : previous;
    outbox->unsent = outbox->unsent != entry ? outbox->unsent : entry->next;
    entry->next = NULL;
    count_out(outbox, entry);
    return entry;
}

void rc_redis_outbox_announce(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry)
{
    struct rc_redis_entry *previous = outbox->unsent != NULL ? outbox_before(outbox, outbox->unsent) : outbox->tail;
    entry->announcement = true;
    entry->next = outbox->unsent;
    outbox->unsent = entry;
    outbox->tail = entry->next != NULL ? outbox->tail : entry;
    if (previous == NULL) {
        outbox->head = entry;
    } else {
        previous->next = entry;
    }
    outbox->announcements++;
    count_in(outbox, entry);
}

bool rc_redis_outbox_has_room(const struct rc_redis_outbox *outbox, const struct rc_redis_entry *entry)
{
    return outbox->bytes + cost_of(entry) <= outbox->bytes_max;
}

bool rc_redis_outbox_never(const struct rc_redis_outbox *outbox, size_t bytes)
{
    return sizeof(struct rc_redis_entry) + bytes > outbox->bytes_max;
}

bool rc_redis_outbox_put(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry)
{
    const uint64_t cost = cost_of(entry);
    const uint64_t flying = outbox->in_flight_bytes + (uint64_t)outbox->in_flight * sizeof(*entry);
    const bool possible = flying + cost <= outbox->bytes_max; /* else nobody makes room for it in vain */
    uint32_t dropped = 0;
    while (possible && outbox->bytes + cost > outbox->bytes_max && outbox_oldest(outbox) != NULL) {
        outbox_lose(outbox, rc_redis_outbox_take(outbox), NULL);
        dropped++;
    }
    const bool fits = outbox->bytes + cost <= outbox->bytes_max;
    if (dropped > 0 || !fits) {
        count_dropped(outbox, dropped + (fits ? 0 : 1),
                      cost > outbox->bytes_max ? "larger than redis.outbox" : "redis.outbox is full");
    }
    if (!fits) {
        outbox_lose(outbox, entry, NULL);
        return false;
    }
    if (outbox->tail != NULL) {
        outbox->tail->next = entry;
    } else {
        outbox->head = entry;
    }
    outbox->tail = entry;
    outbox->unsent = outbox->unsent != NULL ? outbox->unsent : entry;
    count_in(outbox, entry);
    return true;
}

bool rc_redis_outbox_insert(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry, struct rc_redis_entry **hint)
{
    if (outbox->unsent == NULL || outbox->tail->order < entry->order) {
        const bool kept = rc_redis_outbox_put(outbox, entry);
        *hint = kept ? entry : NULL;
        return kept;
    }
    if (outbox->bytes + cost_of(entry) > outbox->bytes_max) {
        count_dropped(outbox, 1, "redis.outbox is full"); /* it is older than what is there */
        outbox_lose(outbox, entry, NULL);
        return false;
    }
    struct rc_redis_entry **place = &outbox->head;
    if (*hint != NULL) {
        place = &(*hint)->next;
    } else {
        while (*place != outbox->unsent) {
            place = &(*place)->next;
        }
    }
    while (*place != NULL && (*place)->order < entry->order) {
        place = &(*place)->next;
    }
    entry->next = *place;
    if (*place == outbox->unsent) {
        outbox->unsent = entry;
    }
    *place = entry;
    *hint = entry;
    count_in(outbox, entry);
    return true;
}

void rc_redis_outbox_expire(struct rc_redis_outbox *outbox, uint64_t now_ms)
{
    uint32_t dropped = 0;
    for (const struct rc_redis_entry *entry = outbox_oldest(outbox);
         entry != NULL && now_ms > entry->time_ms + outbox->age_ms_max; entry = outbox_oldest(outbox)) {
        outbox_lose(outbox, rc_redis_outbox_take(outbox), NULL);
        dropped++;
    }
    if (dropped > 0) {
        count_dropped(outbox, dropped, "redis.outbox_max_age");
    }
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* What was refused goes before all that was not sent, oldest first. */
static void take_back(struct rc_redis_outbox *outbox)
{
    struct rc_redis_entry *last;
    struct rc_redis_entry *first = rc_redis_refusals_take(&outbox->refusals, &last);
    if (first != NULL) {
        last->next = outbox->head;
        outbox->tail = outbox->tail != NULL ? outbox->tail : last;
        outbox->head = first;
    }
    outbox->unsent = outbox->head;
}

static void outbox_refuse(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry, enum rc_redis_error error)
{
    if (!rc_redis_refusals_add(&outbox->refusals, entry)) {
        outbox->announcements -= entry->announcement;
        if (entry->announcement && outbox->ops.lost != NULL) {
            outbox->ops.lost(outbox->ops.context, (struct rc_span){0}, true);
        }
        count_out(outbox, entry);
        count_dropped(outbox, 1, "no memory");
        outbox_lose(outbox, entry, NULL);
    }
    outbox->probing = true;
    outbox->hold_until_ms = rc_clock_ms() + RC_REDIS_HOLD_MS;
    if (error == RC_REDIS_ERROR_SCRIPT && outbox->ops.unscripted != NULL) {
        outbox->ops.unscripted(outbox->ops.context, outbox);
    }
    if (error == RC_REDIS_ERROR_MOVED || error == RC_REDIS_ERROR_ASK) {
        rc_metric_add(outbox->metrics, RC_METRIC_REDIS_REDIRECTS, 1);
        outbox->ops.moved(outbox->ops.context, outbox);
    }
}

/* `by` was taken, or may have been: what was refused before it of the same channel comes too late. */
static void outbox_overtake(struct rc_redis_outbox *outbox, const struct rc_redis_entry *by)
{
    uint32_t dropped = 0;
    struct rc_redis_entry *late = rc_redis_refusals_overtaken(&outbox->refusals, by);
    while (late != NULL) {
        count_out(outbox, late);
        outbox_lose(outbox, late, NULL);
        dropped++;
        late = rc_redis_refusals_overtaken(&outbox->refusals, by);
    }
    if (dropped > 0) {
        count_dropped(outbox, dropped, "Redis refused it for a moment and took a later one of its channel");
    }
}

/* The oldest one in flight has an answer that is no "not now". */
static void outbox_settled(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry, const redisReply *reply)
{
    outbox->announcements -= entry->announcement;
    outbox->probing = false;
    count_out(outbox, entry);
    if (reply->type == REDIS_REPLY_ERROR) { /* it stays so: no rights */
        count_dropped(outbox, 1, reply->str);
        outbox_lose(outbox, entry, reply); /* that is its answer, which tells why */
        return;
    }
    if (entry->to_one && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        rc_metric_add(outbox->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    }
    outbox->unsure |= entry->told;
    outbox_ended(outbox, entry, reply);
    if (outbox->refusals.left > 0) {
        outbox_overtake(outbox, entry);
    }
    free(entry);
}

static void outbox_answered(void *context, const redisReply *reply)
{
    struct rc_redis_outbox *outbox = context;
    if (reply == NULL) {
        return; /* rc_redis_outbox_rewind follows, for all of them */
    }
    struct rc_redis_entry *entry = outbox->head;
    RC_ASSERT(entry != NULL && outbox->in_flight > 0);
    outbox->head = entry->next;
    outbox->tail = outbox->head != NULL ? outbox->tail : NULL;
    outbox->in_flight--;
    outbox->in_flight_bytes -= entry->bytes;
    const enum rc_redis_error error = rc_redis_error_of(reply);
    if (rc_redis_error_passes(error)) {
        outbox_refuse(outbox, entry, error);
    } else {
        outbox_settled(outbox, entry, reply);
    }
    if (outbox->in_flight == 0 && outbox->refusals.left > 0) {
        take_back(outbox);
    }
}

void rc_redis_outbox_rewind(struct rc_redis_outbox *outbox)
{
    const struct rc_redis_entry *entry = outbox->head;
    for (; outbox->refusals.left > 0 && entry != outbox->unsent; entry = entry->next) {
        outbox_overtake(outbox, entry);
    }
    outbox->in_flight = 0;
    outbox->in_flight_bytes = 0;
    take_back(outbox);
    outbox->probing = false;
    outbox->hold_until_ms = 0;
}

static bool may_send(const struct rc_redis_outbox *outbox)
{
    const uint32_t max = outbox->probing ? 1 : RC_REDIS_IN_FLIGHT_MAX;
    return outbox->unsent != NULL && outbox->in_flight < max &&
           outbox->in_flight_bytes < RC_REDIS_IN_FLIGHT_BYTES_MAX &&
           (outbox->announcements == 0 || outbox->unsent->announcement);
}

void rc_redis_outbox_pump(struct rc_redis_outbox *outbox, struct rc_redis_conn *conn, uint64_t now_ms)
{
    if (outbox->unsent == NULL || !rc_redis_conn_up(conn) || now_ms < outbox->hold_until_ms ||
        outbox->refusals.left > 0) {
        return;
    }
    rc_redis_outbox_expire(outbox, now_ms);
    while (may_send(outbox)) {
        struct rc_redis_entry *entry = outbox->unsent;
        if (rc_redis_conn_send(conn, outbox_answered, outbox, entry->command, entry->bytes) != 0) {
            return;
        }
        rc_metric_add(outbox->metrics, entry->sent_before ? RC_METRIC_REDIS_RESENT : RC_METRIC_REDIS_PUBLISHED, 1);
        rc_metric_add(outbox->metrics, RC_METRIC_REDIS_PUBLISHED_BYTES, entry->bytes);
        entry->sent_before = true;
        outbox->in_flight++;
        outbox->in_flight_bytes += entry->bytes;
        outbox->unsent = entry->next;
    }
}
