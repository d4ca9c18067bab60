/* api_serve: calls of any worker of this host, carried out on this one's connections. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/channel_name.h"
#include "common/base/log.h"
#include "common/records/survey.h"
#include "worker/api/survey.h"

#define SCAN_STEP 4096u /* channels looked at before the loop goes on with other things */

/* A call as it came. */
struct served {
    struct rc_envelope_view view; /* of the ring: request id, channel and data live during the call only */
    struct rc_call_head head;
    struct rc_span user;
    struct rc_span text;
};

void rc_api_serve_direct(struct rc_api *api, const struct rc_envelope_view *view)
{
    const struct rc_truth *truth = api->clients->truth;
    const struct rc_client_ref *target = &view->head.target;
    struct rc_call_tag tag;
    if (!rc_call_tag_read(view, &tag)) {
        rc_metric_add(api->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    const uint32_t client = rc_client_here(api->clients, target);
    const bool here = client != 0 && rc_truth_client(truth, client)->state == RC_CLIENT_OPEN;
    const uint32_t missing =
        view->head.code != 0 ? RC_REPLY_BUSY : 0; /* the relay has not heard from all workers yet */
    const struct rc_reply_head head = {.flags = here ? RC_REPLY_FOUND : missing, .count = here};
    if (rc_api_may_reply(api)) {
        rc_api_reply(api, view->head.origin.worker, view->request_id, view->head.sequence, &head, NULL, 0,
                     (struct rc_span){0});
    }
}

/* --- connections --- */

static bool is_open(const struct rc_clients *clients, uint32_t client)
{
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    return its->state == RC_CLIENT_OPEN && !(its->flags & RC_CLIENT_CLOSE_QUEUED) &&
           (rc_encoding_codec_of(its->encoding)->hears_channels || rc_encoding_is_pusher(its->encoding));
}

static bool serve_act(struct rc_clients *clients, uint32_t client, const struct served *served)
{
    const struct rc_span channel = rc_span_of(served->view.channel, served->view.head.channel_bytes);
    if (!is_open(clients, client)) {
        return false;
    }
    static const enum rc_operation_type types[] = {[RC_CALL_SUBSCRIBE] = RC_OPERATION_SUBSCRIBE,
                                                   [RC_CALL_UNSUBSCRIBE] = RC_OPERATION_UNSUBSCRIBE,
                                                   [RC_CALL_DISCONNECT] = RC_OPERATION_DISCONNECT};
    const struct rc_operation operation = {.type = types[served->head.operation],
                                           .channel = channel,
                                           .close_code = served->head.close_code,
                                           .reason = served->text};
    return rc_client_carry_out(clients, client, RC_AUTHOR_BACKEND, &operation) == RC_CARRIED_OUT;
}

static void serve_connections(struct rc_api *api, const struct served *served)
{
    struct rc_clients *clients = api->clients;
    const struct rc_client_ref *client = &served->view.head.target;
    struct rc_reply_head head = {0};
    struct rc_span channel = {0};
    if (served->head.operation == RC_CALL_SUBSCRIBE) {
        rc_interests_flush(clients->interests);
        if (clients->interests->blocked) { /* its interest would wait behind others, and the reply would not */
            head.flags = RC_REPLY_BUSY;
            rc_api_reply(api, served->view.head.origin.worker, served->view.request_id, 0, &head, NULL, 0, channel);
            return;
        }
    }
    if (client->random != 0) {
        const uint32_t here = rc_client_here(clients, client);
        if (here != 0 && is_open(clients, here)) {
            head.flags = RC_REPLY_FOUND;
            head.count = serve_act(clients, here, served);
        }
    } else if (served->user.count > 0) {
        struct rc_index_list found = {0};
        if (rc_clients_of_user(clients, served->user, &found) < 0) {
            head.flags = RC_REPLY_BUSY;
            found.count = 0;
        }
        for (uint32_t i = 0; i < found.count; i++) {
            head.count += serve_act(clients, found.items[i], served);
        }
        free(found.items);
    }
    if (served->head.operation == RC_CALL_SUBSCRIBE) {
        /* The interest goes up before the reply: whoever publishes after the answer is heard. */
        rc_interests_flush(clients->interests);
        if (head.count > 0) {
            channel = rc_span_of(served->view.channel, served->view.head.channel_bytes);
        }
    }
    rc_api_reply(api, served->view.head.origin.worker, served->view.request_id, 0, &head, NULL, 0, channel);
}

/* --- lists of channels --- */

struct scan_entry {
    uint32_t subscribers;
    uint8_t name_bytes;
    uint8_t name[RC_CHANNEL_NAME_MAX];
};

/* One list being made: the `limit` smallest names, in a heap with the greatest on top. */
struct rc_api_scan {
    struct rc_call_tag tag;
    uint32_t asker;
    uint32_t next; /* channel to look at */
    uint32_t limit;
    uint32_t count;
    bool more;
    uint8_t prefix_bytes;
    uint8_t after_bytes;
    uint8_t prefix[RC_CALL_TEXT_MAX];
    uint8_t after[RC_CHANNEL_NAME_MAX];
    struct scan_entry entries[];
};

static int name_compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int scan_compare(const void *left, const void *right)
{
    const struct scan_entry *a = left;
    const struct scan_entry *b = right;
    return name_compare(a->name, a->name_bytes, b->name, b->name_bytes);
}

static void scan_swap(struct rc_api_scan *scan, uint32_t a, uint32_t b)
{
    const struct scan_entry kept = scan->entries[a];
    scan->entries[a] = scan->entries[b];
    scan->entries[b] = kept;
}

static void scan_sink(struct rc_api_scan *scan, uint32_t at)
{
    for (;;) {
        uint32_t greatest = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < scan->count; child++) {
            if (scan_compare(&scan->entries[child], &scan->entries[greatest]) > 0) {
                greatest = child;
            }
        }
        if (greatest == at) {
            return;
        }
        scan_swap(scan, at, greatest);
        at = greatest;
    }
}

static void scan_take(struct rc_api_scan *scan, struct rc_span name, uint32_t subscribers)
{
    uint32_t at;
    if (scan->count < scan->limit) {
        at = scan->count++;
    } else {
        scan->more = true;
        if (name_compare(name.bytes, name.count, scan->entries[0].name, scan->entries[0].name_bytes) >= 0) {
            return;
        }
        at = 0;
    }
    struct scan_entry *entry = &scan->entries[at];
    entry->subscribers = subscribers;
    entry->name_bytes = (uint8_t)name.count;
    memcpy(entry->name, name.bytes, name.count);
    if (at == 0) {
        scan_sink(scan, 0);
        return;
    }
    while (at > 0 && scan_compare(&scan->entries[at], &scan->entries[(at - 1) / 2]) > 0) {
        scan_swap(scan, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

/* The list in order, as far as it fits a reply. */
static void scan_reply(struct rc_api *api, struct rc_api_scan *scan)
{
    struct rc_reply_head head = {.flags = scan->more ? RC_REPLY_MORE : 0};
    uint64_t room = rc_uplink_room_bytes(api->clients->uplink);
    const uint64_t around = sizeof(struct rc_envelope) + sizeof(struct rc_call_tag) + sizeof(head);
    room = room > around ? room - around : 0;
    room = room < RC_CALL_REPLY_BYTES_MAX - sizeof(head) ? room : RC_CALL_REPLY_BYTES_MAX - sizeof(head);
    uint8_t *bytes = malloc(room + 1);
    uint32_t used = 0;
    qsort(scan->entries, scan->count, sizeof(scan->entries[0]), scan_compare);
    for (uint32_t i = 0; bytes != NULL && i < scan->count; i++) {
        const struct scan_entry *entry = &scan->entries[i];
        if (i + 1 < scan->count && scan_compare(entry, entry + 1) == 0) {
            continue; /* gone and made again while the list was made */
        }
        if (used + 5u + entry->name_bytes > room) {
            head.flags |= RC_REPLY_MORE;
            break;
        }
        memcpy(bytes + used, &entry->subscribers, 4);
        bytes[used + 4] = entry->name_bytes;
        memcpy(bytes + used + 5, entry->name, entry->name_bytes);
        used += 5u + entry->name_bytes;
        head.count++;
    }
    if (bytes == NULL || (head.count == 0 && scan->count > 0)) {
        head = (struct rc_reply_head){.flags = RC_REPLY_BUSY};
        used = 0;
    }
    rc_api_reply(api, scan->asker, (const uint8_t *)&scan->tag, 0, &head, bytes, used, (struct rc_span){0});
    free(bytes);
}

static void serve_channels(struct rc_api *api, const struct served *served)
{
    const struct rc_envelope *its = &served->view.head;
    const uint32_t limit = served->head.limit < RC_API_CHANNELS_MAX ? served->head.limit : RC_API_CHANNELS_MAX;
    struct rc_api_scan *scan =
        api->scan_count == RC_API_SCANS_MAX ? NULL : malloc(sizeof(*scan) + (size_t)limit * sizeof(scan->entries[0]));
    if (scan == NULL || limit == 0) {
        const struct rc_reply_head head = {.flags = RC_REPLY_BUSY};
        free(scan);
        rc_api_reply(api, its->origin.worker, served->view.request_id, 0, &head, NULL, 0, (struct rc_span){0});
        return;
    }
    *scan = (struct rc_api_scan){.asker = its->origin.worker,
                                 .next = 1,
                                 .limit = limit,
                                 .prefix_bytes = (uint8_t)served->text.count,
                                 .after_bytes = its->channel_bytes};
    memcpy(&scan->tag, served->view.request_id, sizeof(scan->tag));
    memcpy(scan->prefix, served->text.bytes, served->text.count);
    memcpy(scan->after, served->view.channel, its->channel_bytes);
    api->scans[api->scan_count++] = scan;
}

static bool scan_work(struct rc_api *api)
{
    if (api->scan_count == 0) {
        return false;
    }
    struct rc_clients *clients = api->clients;
    const struct rc_truth *truth = clients->truth;
    struct rc_api_scan *scan = api->scans[0];
    const struct rc_span prefix = rc_span_of(scan->prefix, scan->prefix_bytes);
    const uint32_t high = truth->channels.high;
    const uint32_t end = high - scan->next > SCAN_STEP ? scan->next + SCAN_STEP : high;
    for (; scan->next < end; scan->next++) {
        const struct rc_channel *channel = rc_truth_channel(truth, scan->next);
        if (channel->name == 0 || channel->subscriber_count == 0 || scan->next == clients->hub->everybody) {
            continue;
        }
        const struct rc_span name = rc_hub_name(clients->hub, channel);
        if (rc_span_starts_with(name, prefix) &&
            name_compare(name.bytes, name.count, scan->after, scan->after_bytes) > 0) {
            scan_take(scan, name, channel->subscriber_count);
        }
    }
    if (scan->next == high) {
        scan_reply(api, scan);
        free(scan);
        api->scan_count--;
        memmove(&api->scans[0], &api->scans[1], api->scan_count * sizeof(api->scans[0]));
    }
    return api->scan_count > 0;
}

bool rc_api_work(struct rc_api *api)
{
    bool more = api->survey_count > 0 || api->scan_count > 0;
    if (!more) {
        return false;
    }
    rc_share_begin(&api->share, rc_clock_ns());
    do {
        const bool surveys = rc_survey_work(api);
        more = scan_work(api) || surveys;
    } while (more && rc_share_left(&api->share, rc_clock_ns()));
    if (!more) {
        rc_share_end(&api->share);
    }
    return more;
}

void rc_api_scans_free(struct rc_api *api)
{
    while (api->scan_count > 0) {
        free(api->scans[--api->scan_count]);
    }
    rc_surveys_free(api);
}

/* --- what comes --- */

static bool read_call(const struct rc_envelope_view *view, struct served *served)
{
    struct rc_call_tag tag;
    if (!rc_call_tag_read(view, &tag) || view->head.data_bytes < sizeof(served->head)) {
        return false;
    }
    served->view = *view;
    memcpy(&served->head, view->data, sizeof(served->head));
    const uint8_t *at = view->data + sizeof(served->head);
    if (sizeof(served->head) + (uint64_t)served->head.user_bytes + served->head.text_bytes +
            served->head.client_bytes !=
        view->head.data_bytes) {
        return false;
    }
    served->user = rc_span_of(at, served->head.user_bytes);
    served->text = rc_span_of(at + served->head.user_bytes, served->head.text_bytes);
    const bool of_channel =
        served->head.operation == RC_CALL_SUBSCRIBE || served->head.operation == RC_CALL_UNSUBSCRIBE;
    const bool surveys = rc_survey_is(served->head.operation);
    return served->head.operation >= RC_CALL_SUBSCRIBE && (served->head.operation <= RC_CALL_CHANNELS || surveys) &&
           (!of_channel || view->head.channel_bytes > 0);
}

void rc_api_serve(struct rc_api *api, const struct rc_envelope_view *view)
{
    struct served served;
    if (!read_call(view, &served)) {
        rc_metric_add(api->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    if (!rc_api_may_reply(api)) {
        return;
    }
    if (served.head.operation == RC_CALL_CHANNELS) {
        serve_channels(api, &served);
    } else if (rc_survey_is(served.head.operation)) {
        rc_survey_begin(api, view, &served.head, served.user, served.text);
    } else {
        serve_connections(api, &served);
    }
}
