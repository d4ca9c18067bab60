/* api_clients: who is connected, and which channels are hot: this host's workers are asked, and what they found is put together. See
 * api.h and common/records/survey.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/survey.h"
#include "common/text/cidr.h"

/* --- asking --- */

/* A number of the query; 0 when it is not there. */
static int query_number(const struct rc_api_call *call, const char *name, uint64_t *value, bool *there,
                        struct rc_api_fault *fault)
{
    char text[24];
    struct rc_json_value token = {.type = RC_JSON_NUMBER};
    *value = 0;
    if (rc_api_query_text(call, name, text, sizeof(text), &token.raw, fault) < 0) {
        return -EINVAL;
    }
    *there = token.raw.count > 0;
    if (*there && rc_json_uint64(&token, value) < 0) {
        return rc_api_fault(fault, 400, "%s must be a number of bytes", name);
    }
    return 0;
}

/* "192.0.2.1" or "192.0.2.0/24". */
static int query_address(const struct rc_api_call *call, struct rc_survey_ask *ask, struct rc_api_fault *fault)
{
    char text[64];
    struct rc_span span;
    if (rc_api_query_text(call, "address", text, sizeof(text), &span, fault) < 0 || span.count == 0) {
        return span.count == 0 ? 0 : -EINVAL;
    }
    struct rc_config_list *list = calloc(1, sizeof(*list)); /* too large for the stack */
    struct rc_cidr_list *ranges = calloc(1, sizeof(*ranges));
    struct rc_err err = {0};
    int rc = -ENOMEM;
    if (list != NULL && ranges != NULL) {
        list->count = 1;
        memcpy(list->items[0].text, span.bytes, span.count);
        list->items[0].text[span.count] = '\0';
        rc = rc_cidr_list_compile(ranges, list, &err);
    }
    if (rc == 0) {
        ask->first = ranges->ranges[0].first;
        ask->last = ranges->ranges[0].last;
    }
    free(list);
    free(ranges);
    return rc == 0         ? 0
           : rc == -ENOMEM ? rc_api_fault(fault, 503, "no memory to look for addresses: try again")
                           : rc_api_fault(fault, 400, "address must be an address or a range such as 192.0.2.0/24");
}

static int query_protocol(const struct rc_api_call *call, struct rc_survey_ask *ask, struct rc_api_fault *fault)
{
    struct rc_span span;
    char text[RC_SURVEY_PROTOCOL_MAX];
    if (rc_api_query_text(call, "protocol", text, sizeof(text), &span, fault) < 0) {
        return -EINVAL;
    }
    if (span.count == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < RC_CODEC_COUNT; i++) {
        if (rc_span_equal(span, rc_span_text(rc_codecs[i]->name))) {
            memcpy(ask->protocol, span.bytes, span.count);
            return 0;
        }
    }
    return rc_api_fault(fault, 400, "there is no such protocol");
}

static int query_names(const struct rc_api_call *call, struct rc_survey_ask *ask, struct rc_api_fault *fault)
{
    struct rc_span span;
    char text[8];
    if (rc_api_query_text(call, "names", text, sizeof(text), &span, fault) < 0) {
        return -EINVAL;
    }
    if (span.count > 0 && !rc_span_equal(span, RC_SPAN("true")) && !rc_span_equal(span, RC_SPAN("false"))) {
        return rc_api_fault(fault, 400, "names must be true or false");
    }
    ask->flags |= rc_span_equal(span, RC_SPAN("true")) ? (uint32_t)RC_SURVEY_NAMES : 0u;
    return 0;
}

static bool query_is(const struct rc_api_call *call, const char *name, const char *wanted)
{
    struct rc_span span;
    struct rc_api_fault fault;
    char text[8];
    return rc_api_query_text(call, name, text, sizeof(text), &span, &fault) == 0 &&
           rc_span_equal(span, rc_span_text(wanted));
}

static int ask_survey(struct rc_api_call *call, enum rc_call_operation operation, struct rc_api_question *question,
                      const struct rc_survey_ask *ask, void (*finish)(struct rc_api_call *), struct rc_api_fault *fault)
{
    question->text = rc_span_of(ask, sizeof(*ask));
    call->listing = true;
    call->order = ask->order;
    call->finish = finish;
    call->late = rc_api_list_late;
    return rc_api_ask_workers(call, operation, question, fault);
}

/* --- putting together --- */

struct entry {
    struct rc_survey_head head;
    struct rc_span bytes; /* borrowed from a list */
};

static int compare_place(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    return (a->head.key > b->head.key) - (a->head.key < b->head.key);
}

static int compare_largest(const void *left, const void *right)
{
    return compare_place(right, left);
}

/* All entries of all lists, NULL without memory; `*end`: the last key that every worker has told everything up to, when they are in
 * the order of their keys, 0 = all was told. */
static struct entry *clients_gather(const struct rc_api_call *call, uint32_t *count, uint64_t *end, bool *more)
{
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < call->list_count; i++) {
        capacity += call->lists[i].count;
    }
    struct entry *entries = malloc((capacity + 1) * sizeof(*entries));
    *count = 0;
    *end = 0;
    *more = false;
    for (uint32_t i = 0; entries != NULL && i < call->list_count; i++) {
        const struct rc_api_list *list = &call->lists[i];
        struct entry entry = {0};
        size_t at = 0;
        while (*count < capacity &&
               rc_survey_next(rc_span_of(list->bytes, list->size), &at, &entry.head, &entry.bytes)) {
            entries[(*count)++] = entry;
        }
        *more |= list->more;
        if (list->more && (*end == 0 || entry.head.key < *end)) {
            *end = entry.head.key;
        }
    }
    return entries;
}

/* In the order of the survey; as many as were asked for. */
static void finish_clients(struct rc_api_call *call)
{
    struct rc_text text = {0};
    uint32_t count;
    uint32_t written = 0;
    uint64_t end;
    bool more;
    struct entry *entries = clients_gather(call, &count, &end, &more);
    const bool by_place = call->order == RC_SURVEY_BY_PLACE;
    text.failed = entries == NULL;
    if (entries != NULL) {
        qsort(entries, count, sizeof(*entries), by_place ? compare_place : compare_largest);
    }
    rc_text_put(&text, "{\"clients\":[");
    for (; entries != NULL && written < count && written < call->limit &&
           (!by_place || end == 0 || entries[written].head.key <= end);
         written++) {
        rc_text_put(&text, written == 0 ? "" : ",");
        rc_text_put_bytes(&text, entries[written].bytes.bytes, entries[written].bytes.count);
    }
    more |= written < count;
    if (by_place && more && written > 0) {
        rc_text_put(&text, "],\"next\":\"%" PRIx64 "\",\"more\":true", entries[written - 1].head.key);
    } else {
        rc_text_put(&text, "],\"next\":null,\"more\":%s", more ? "true" : "false");
    }
    rc_api_put_incomplete(&text, call);
    rc_text_put(&text, "}\n");
    free(entries);
    rc_api_finish(call, &text);
}

struct channel {
    struct rc_survey_channel measured;
    double out_bytes;
    struct rc_span name;
};

static int compare_name(const void *left, const void *right)
{
    const struct channel *a = left;
    const struct channel *b = right;
    const size_t common = a->name.count < b->name.count ? a->name.count : b->name.count;
    const int order = memcmp(a->name.bytes, b->name.bytes, common);
    return order != 0 ? order : (a->name.count > b->name.count) - (a->name.count < b->name.count);
}

static double channel_rank(const struct channel *channel, uint32_t order)
{
    return order == RC_SURVEY_BY_RATE          ? channel->measured.rate
           : order == RC_SURVEY_BY_SUBSCRIBERS ? (double)channel->measured.subscribers
           : order == RC_SURVEY_BY_BYTES       ? channel->out_bytes
                                               : (double)channel->measured.log_bytes;
}

#define COMPARE_BY(name, order)                                                           \
    static int name(const void *left, const void *right)                                  \
    {                                                                                     \
        const double a = channel_rank(left, order);                                       \
        const double b = channel_rank(right, order);                                      \
        return a != b ? (a < b ? 1 : -1) : compare_name(left, right); /* largest first */ \
    }
COMPARE_BY(compare_rate, RC_SURVEY_BY_RATE)
COMPARE_BY(compare_subscribers, RC_SURVEY_BY_SUBSCRIBERS)
COMPARE_BY(compare_bytes, RC_SURVEY_BY_BYTES)
COMPARE_BY(compare_memory, RC_SURVEY_BY_MEMORY)

/* Each worker with a subscriber has heard every message of the channel: the rate is that of the one that has heard it longest. What goes
 * out, and what is kept, is theirs together. */
static uint32_t merge_channels(struct channel *channels, uint32_t count)
{
    uint32_t merged = 0;
    qsort(channels, count, sizeof(*channels), compare_name);
    for (uint32_t i = 0; i < count; i++) {
        if (merged == 0 || compare_name(&channels[merged - 1], &channels[i]) != 0) {
            channels[merged++] = channels[i];
            continue;
        }
        struct rc_survey_channel *into = &channels[merged - 1].measured;
        const struct rc_survey_channel *one = &channels[i].measured;
        into->rate = one->rate > into->rate ? one->rate : into->rate;
        into->bytes = one->bytes > into->bytes ? one->bytes : into->bytes;
        into->log_bytes += one->log_bytes;
        into->subscribers += one->subscribers;
        into->behind += one->behind;
        channels[merged - 1].out_bytes += channels[i].out_bytes;
    }
    return merged;
}

static void finish_hot(struct rc_api_call *call)
{
    static int (*const orders[])(const void *, const void *) = {[RC_SURVEY_BY_RATE] = compare_rate,
                                                                [RC_SURVEY_BY_SUBSCRIBERS] = compare_subscribers,
                                                                [RC_SURVEY_BY_BYTES] = compare_bytes,
                                                                [RC_SURVEY_BY_MEMORY] = compare_memory};
    struct rc_text text = {0};
    uint32_t count;
    uint64_t end;
    bool more;
    struct entry *entries = clients_gather(call, &count, &end, &more);
    struct channel *channels = entries == NULL ? NULL : calloc(count + 1, sizeof(*channels));
    uint32_t used = 0;
    text.failed = channels == NULL;
    for (uint32_t i = 0; channels != NULL && i < count; i++) {
        struct channel *channel = &channels[used];
        const struct rc_span bytes = entries[i].bytes;
        if (bytes.count > sizeof(channel->measured) && bytes.count <= sizeof(channel->measured) + RC_CHANNEL_NAME_MAX) {
            memcpy(&channel->measured, bytes.bytes, sizeof(channel->measured));
            channel->name =
                rc_span_of(bytes.bytes + sizeof(channel->measured), bytes.count - sizeof(channel->measured));
            channel->out_bytes = channel->measured.bytes * channel->measured.subscribers;
            used++;
        }
    }
    if (channels != NULL) {
        used = merge_channels(channels, used);
        qsort(channels, used, sizeof(*channels), orders[call->order]);
    }
    const uint32_t shown = used < call->limit ? used : call->limit;
    rc_text_put(&text, "{\"channels\":[");
    for (uint32_t i = 0; i < shown; i++) {
        rc_text_put(&text, "%s{\"channel\":", i == 0 ? "" : ",");
        rc_text_put_json(&text, channels[i].name);
        rc_text_put(&text,
                    ",\"subscribers\":%u,\"rate\":%.1f,\"bytes\":%.0f,\"out_bytes\":%.0f,\"log_bytes\":%" PRIu64
                    ",\"behind\":%u}",
                    channels[i].measured.subscribers, channels[i].measured.rate, channels[i].measured.bytes,
                    channels[i].out_bytes, channels[i].measured.log_bytes, channels[i].measured.behind);
    }
    rc_text_put(&text, "],\"next\":null,\"more\":%s", more || used > shown ? "true" : "false");
    rc_api_put_incomplete(&text, call);
    rc_text_put(&text, "}\n");
    free(entries);
    free(channels);
    rc_api_finish(call, &text);
}

/* --- calls --- */

/* `next` of an answer, given back. */
static int query_cursor(const struct rc_api_call *call, struct rc_survey_ask *ask, struct rc_api_fault *fault)
{
    char text[20];
    struct rc_span span;
    if (rc_api_query_text(call, "cursor", text, sizeof(text) - 1, &span, fault) < 0) {
        return -EINVAL;
    }
    if (span.count == 0) {
        return 0;
    }
    char *end;
    text[span.count] = '\0';
    errno = 0;
    ask->after = strtoull(text, &end, 16);
    return errno == 0 && *end == '\0' && span.count <= 16
               ? 0
               : rc_api_fault(fault, 400, "cursor is not one that an answer had as next");
}

int rc_api_clients(struct rc_api_call *call, struct rc_api_fault *fault)
{
    char user[RC_CHANNEL_NAME_MAX];
    char channel[RC_CHANNEL_NAME_MAX];
    bool behind;
    struct rc_api_question question = {0};
    struct rc_survey_ask ask = {.order = RC_SURVEY_BY_PLACE};
    if (rc_api_query_text(call, "user", user, sizeof(user), &question.user, fault) < 0 ||
        rc_api_query_text(call, "channel", channel, sizeof(channel), &question.channel, fault) < 0 ||
        query_address(call, &ask, fault) < 0 || query_protocol(call, &ask, fault) < 0 ||
        query_names(call, &ask, fault) < 0 || query_cursor(call, &ask, fault) < 0 ||
        query_number(call, "behind", &ask.behind_min, &behind, fault) < 0 ||
        rc_api_query_limit(call, RC_API_CHANNELS_DEFAULT, RC_API_CHANNELS_MAX, fault) < 0) {
        return -EINVAL;
    }
    if (behind && ask.after != 0) {
        return rc_api_fault(fault, 400, "behind gives the furthest behind first, and has no cursor");
    }
    if (query_is(call, "closed", "true")) {
        return rc_api_closed(call, fault);
    }
    ask.order = behind ? RC_SURVEY_BY_BEHIND : RC_SURVEY_BY_PLACE;
    return ask_survey(call, RC_CALL_CLIENTS, &question, &ask, finish_clients, fault);
}

int rc_api_channels_of(struct rc_api_call *call, struct rc_api_fault *fault)
{
    static const struct {
        const char *name;
        uint32_t order;
    } sorts[] = {{"rate", RC_SURVEY_BY_RATE},
                 {"subscribers", RC_SURVEY_BY_SUBSCRIBERS},
                 {"bytes", RC_SURVEY_BY_BYTES},
                 {"memory", RC_SURVEY_BY_MEMORY}};
    char sort[16];
    char prefix[RC_CHANNEL_NAME_MAX];
    struct rc_span wanted;
    struct rc_api_question question = {0};
    struct rc_survey_ask ask = {.order = RC_SURVEY_BY_PLACE};
    if (rc_api_query_text(call, "sort", sort, sizeof(sort), &wanted, fault) < 0) {
        return -EINVAL;
    }
    if (wanted.count == 0 || rc_span_equal(wanted, RC_SPAN("name"))) {
        return rc_api_channels(call, fault);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(sorts); i++) {
        ask.order = rc_span_equal(wanted, rc_span_text(sorts[i].name)) ? sorts[i].order : ask.order;
    }
    if (ask.order == RC_SURVEY_BY_PLACE) {
        return rc_api_fault(fault, 400, "sort is one of name, rate, subscribers, bytes, memory");
    }
    if (rc_api_query_text(call, "prefix", prefix, sizeof(prefix), &question.channel, fault) < 0 ||
        rc_api_query_limit(call, RC_API_CHANNELS_DEFAULT, RC_API_CHANNELS_MAX, fault) < 0) {
        return -EINVAL;
    }
    /* A channel may be among the largest of all without being it on each worker: they name more than are shown. */
    const uint32_t limit = call->limit;
    call->limit = limit * 4 + 100 < RC_API_CHANNELS_MAX ? limit * 4 + 100 : RC_API_CHANNELS_MAX;
    const int rc = ask_survey(call, RC_CALL_HOT, &question, &ask, finish_hot, fault);
    if (rc == 0) {
        call->limit = limit;
    }
    return rc;
}
