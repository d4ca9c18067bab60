/* recount: see recount.h. */
#include "relay/cluster/recount.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/envelope.h"
#include "relay/cluster/presence.h"
#include "relay/redis/error_reply.h"

struct rc_recount {
    struct rc_recount *chain;     /* the next one of its bucket */
    struct rc_recount *next;      /* of those that wait */
    struct rc_recount *previous;  /* likewise */
    struct rc_recounts *recounts; /* borrowed */
    uint64_t hash;
    uint64_t due_ms;
    uint64_t told; /* RC_RECOUNT_UNTOLD: nobody has taken it */
    uint32_t seen; /* what the last look found, if `looked` */
    uint32_t bytes;
    bool waits;   /* true exactly while it is among those that wait; else it is asked for */
    bool changed; /* something was told since it was asked for */
    bool looked;  /* it was looked at since something was told, and found to be another number */
    char channel[];
};

static void queue_remove(struct rc_recount *one)
{
    struct rc_recounts *recounts = one->recounts;
    *(one->previous != NULL ? &one->previous->next : &recounts->first) = one->next;
    *(one->next != NULL ? &one->next->previous : &recounts->last) = one->previous;
    one->waits = false;
}

static void recounts_due(void *context, uint64_t now_ms);

/* Behind all others: each waits as long. */
static void queue_add(struct rc_recount *one, uint64_t now_ms)
{
    struct rc_recounts *recounts = one->recounts;
    one->due_ms = now_ms + RC_RECOUNT_MS;
    one->waits = true;
    one->next = NULL;
    one->previous = recounts->last;
    *(recounts->last != NULL ? &recounts->last->next : &recounts->first) = one;
    recounts->last = one;
    rc_timer_set(recounts->timers, &recounts->timer, recounts->first->due_ms, recounts_due, recounts);
}

static void recount_free(struct rc_recount *one)
{
    struct rc_recounts *recounts = one->recounts;
    struct rc_recount **link = &recounts->buckets[one->hash % RC_RECOUNT_BUCKETS];
    while (*link != one) {
        link = &(*link)->chain;
    }
    *link = one->chain;
    if (one->waits) {
        queue_remove(one);
    }
    recounts->count--;
    free(one);
}

/* "web1:2,web2:1" as the sum of the numbers; behind a line's end is something else. UINT64_MAX: it makes no sense. */
static uint64_t sum_of(const char *text, size_t bytes)
{
    const char *end = memchr(text, '\n', bytes);
    uint64_t sum = 0;
    uint64_t number = 0;
    bool in_number = false;
    bytes = end == NULL ? bytes : (size_t)(end - text);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == ',') {
            sum += number;
            number = 0;
            in_number = false;
        } else if (text[i] == ':') {
            in_number = true;
        } else if (in_number && (text[i] < '0' || text[i] > '9' || number > UINT32_MAX)) {
            return UINT64_MAX;
        } else if (in_number) {
            number = number * 10 + (uint64_t)(text[i] - '0');
        }
    }
    sum += number;
    return sum > UINT32_MAX ? UINT64_MAX : sum;
}

static void recount_replied(void *context, const redisReply *reply)
{
    struct rc_recount *one = context;
    struct rc_recounts *recounts = one->recounts;
    uint64_t clients = UINT64_MAX; /* an error, or what stands there is somebody else's */
    if (reply != NULL && reply->type == REDIS_REPLY_NIL) {
        clients = 0;
    } else if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        clients = sum_of(reply->str, reply->len);
    }
    if (one->changed || reply == NULL || rc_redis_error_passes(rc_redis_error_of(reply))) {
        queue_add(one, rc_clock_ms()); /* of an error that passes nothing is known: LOADING, CLUSTERDOWN, BUSY … */
    } else if (clients == one->told || clients == UINT64_MAX) {
        recount_free(one);
    } else if (one->told != RC_RECOUNT_UNTOLD && (!one->looked || clients != one->seen)) {
        /* It moves: whoever moves it tells of it. Told by all who look it would be told by each of them again and again. */
        one->looked = true;
        one->seen = (uint32_t)clients;
        queue_add(one, rc_clock_ms());
    } else {
        const struct rc_span channel = rc_span_of(one->channel, one->bytes);
        one->looked = false;
        queue_add(one, rc_clock_ms());
        one->told =
            recounts->ops.found(recounts->ops.context, channel, (uint32_t)clients) ? clients : RC_RECOUNT_UNTOLD;
    }
}

static void recounts_due(void *context, uint64_t now_ms)
{
    struct rc_recounts *recounts = context;
    char key[RC_REDIS_NAME_MAX];
    while (recounts->first != NULL && recounts->first->due_ms <= now_ms) {
        struct rc_recount *one = recounts->first;
        const struct rc_span argv[] = {
            RC_SPAN("HGET"),
            rc_redis_key(recounts->link, key, RC_PRESENCE_MEMBERS "%.*s", (int)one->bytes, one->channel),
            RC_SPAN("")}; /* all of whom nothing is known, together */
        queue_remove(one);
        one->changed = false;
        if (rc_redis_command(recounts->link, recount_replied, one, 1, RC_ARRAY_COUNT(argv), argv) < 0) {
            queue_add(one, now_ms); /* Redis is away, or too much is on its way */
        }
    }
    if (recounts->first != NULL) {
        rc_timer_set(recounts->timers, &recounts->timer, recounts->first->due_ms, recounts_due, recounts);
    }
}

void rc_recounts_open(struct rc_recounts *recounts, struct rc_redis_link *link, struct rc_timers *timers,
                      const struct rc_recounts_ops *ops)
{
    *recounts = (struct rc_recounts){.link = link, .timers = timers, .ops = *ops};
}

void rc_recounts_close(struct rc_recounts *recounts)
{
    if (recounts->timers != NULL) {
        rc_timer_cancel(recounts->timers, &recounts->timer);
    }
    for (uint32_t i = 0; i < RC_RECOUNT_BUCKETS; i++) {
        while (recounts->buckets[i] != NULL) {
            recount_free(recounts->buckets[i]);
        }
    }
}

void rc_recounts_told(struct rc_recounts *recounts, struct rc_span channel, uint64_t clients)
{
    const uint64_t hash = rc_channel_hash((const char *)channel.bytes, channel.count);
    struct rc_recount **bucket = &recounts->buckets[hash % RC_RECOUNT_BUCKETS];
    struct rc_recount *one = recounts->link == NULL ? NULL : *bucket;
    while (one != NULL && (one->hash != hash || !rc_span_equal(rc_span_of(one->channel, one->bytes), channel))) {
        one = one->chain;
    }
    if (one == NULL) {
        one =
            recounts->link == NULL || recounts->count == RC_RECOUNTS_MAX ? NULL : malloc(sizeof(*one) + channel.count);
        if (one == NULL) {
            return;
        }
        *one =
            (struct rc_recount){.chain = *bucket, .recounts = recounts, .hash = hash, .bytes = (uint32_t)channel.count};
        memcpy(one->channel, channel.bytes, channel.count);
        *bucket = one;
        recounts->count++;
    } else if (one->waits) {
        queue_remove(one);
    } else {
        one->told = clients;
        one->changed = true; /* the answer that comes may be of before */
        one->looked = false;
        return;
    }
    one->told = clients;
    one->looked = false;
    queue_add(one, rc_clock_ms());
}
