/* survey: see survey.h. */
#include "worker/api/survey.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/survey.h"
#include "worker/api/api.h"
#include "worker/store/named.h"

#define SURVEY_STEP 4096u /* clients, subscriptions and channels looked at before the loop goes on with other things */
#define SURVEY_WRITES 32u /* of them written into the reply in one pass */
#define SURVEY_NAMES 100u /* channels of a client that are named */

/* What was found: it may be gone, or another's place, when it is written. */
struct survey_entry {
    uint64_t rank; /* what the survey is in the order of */
    uint64_t name; /* a client's random, a channel's hash */
    uint32_t index;
};

struct rc_api_survey {
    struct rc_call_tag tag;
    struct rc_survey_ask ask;
    uint32_t asker;
    bool of_clients;
    bool looked; /* all were looked at: what was found is being written */
    bool more;
    uint32_t next; /* to look at */
    uint32_t limit;
    uint32_t count;   /* found */
    uint32_t written; /* of them were dealt with, */
    uint32_t told;    /* and are in the reply */
    uint8_t user_bytes;
    uint8_t channel_bytes;
    uint8_t user[RC_CALL_TEXT_MAX];
    uint8_t channel[RC_CHANNEL_NAME_MAX];
    struct rc_text reply;
    struct survey_entry entries[];
};

/* --- the largest ones: a heap with the smallest of them on top --- */

static void survey_swap(struct survey_entry *a, struct survey_entry *b)
{
    const struct survey_entry kept = *a;
    *a = *b;
    *b = kept;
}

static void survey_sink(struct rc_api_survey *survey)
{
    uint32_t at = 0;
    for (;;) {
        uint32_t smallest = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < survey->count; child++) {
            if (survey->entries[child].rank < survey->entries[smallest].rank) {
                smallest = child;
            }
        }
        if (smallest == at) {
            return;
        }
        survey_swap(&survey->entries[at], &survey->entries[smallest]);
        at = smallest;
    }
}

static void survey_take(struct rc_api_survey *survey, uint64_t rank, uint32_t index, uint64_t name)
{
    const struct survey_entry entry = {.rank = rank, .name = name, .index = index};
    if (survey->count == survey->limit) {
        survey->more = true;
        if (rank > survey->entries[0].rank) {
            survey->entries[0] = entry;
            survey_sink(survey);
        }
        return;
    }
    uint32_t at = survey->count++;
    survey->entries[at] = entry;
    while (at > 0 && survey->entries[at].rank < survey->entries[(at - 1) / 2].rank) {
        survey_swap(&survey->entries[at], &survey->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static int survey_compare(const void *left, const void *right)
{
    const struct survey_entry *a = left;
    const struct survey_entry *b = right;
    return (a->rank < b->rank) - (a->rank > b->rank); /* the largest first */
}

/* --- clients --- */

/* Bytes that the broker keeps for the client because it has not taken them. `*looked` grows by the subscriptions that were seen. */
static uint64_t client_behind(const struct rc_truth *truth, const struct rc_client *client, uint32_t *looked)
{
    uint64_t bytes = 0;
    if (client->output != 0) {
        const struct rc_output *output = rc_truth_output(truth, client->output);
        bytes += output->cut_bytes - output->cut_sent + output->replies_bytes - output->replies_sent;
    }
    if (client->direct_log != 0) {
        const struct rc_channel_log *log = rc_truth_log(truth, client->direct_log);
        bytes += log->head - log->base;
    }
    uint32_t cursors = client->cursor_count;
    for (uint32_t i = client->everybody != 0 ? client->everybody : client->subscriptions; i != 0 && cursors > 0;) {
        const struct rc_subscription *subscription = rc_truth_subscription(truth, i);
        const uint32_t log = rc_truth_group(truth, subscription->group)->log;
        ++*looked;
        if (subscription->flags & RC_SUBSCRIPTION_CURSOR) {
            cursors--;
            if (log != 0 && subscription->cursor != RC_CURSOR_IN_HISTORY) {
                bytes += rc_truth_log(truth, log)->head - subscription->cursor;
            }
        }
        i = i == client->everybody ? client->subscriptions : subscription->next;
    }
    return bytes;
}

static const struct rc_address *client_address(const struct rc_truth *truth, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(truth, index);
    return client->socket != RC_SOCKET_NONE ? &truth->peers[client->socket] : &rc_truth_engine(truth, index)->address;
}

static bool in_range(const struct rc_survey_ask *ask, const struct rc_address *address)
{
    static const struct rc_address none = {{0}};
    return rc_address_equal(&ask->last, &none) ||
           (memcmp(address->bytes, ask->first.bytes, sizeof(address->bytes)) >= 0 &&
            memcmp(address->bytes, ask->last.bytes, sizeof(address->bytes)) <= 0);
}

/* Is it one of those that are asked for? `channel`: the one that it must be in; 0 = any. */
static bool client_wanted(const struct rc_api *api, const struct rc_api_survey *survey, uint32_t index,
                          uint32_t channel, uint32_t *looked)
{
    const struct rc_truth *truth = api->clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const char *protocol = rc_encoding_codec_of(client->encoding)->name;
    if (client->random == 0 || client->state == RC_CLIENT_FREE) {
        return false;
    }
    if (survey->user_bytes > 0) {
        const struct rc_user *user = client->user == 0 ? NULL : rc_truth_user(truth, client->user);
        if (user == NULL ||
            !rc_span_equal(rc_span_of(user->id, user->id_bytes), rc_span_of(survey->user, survey->user_bytes))) {
            return false;
        }
    }
    if ((survey->ask.protocol[0] != '\0' &&
         strncmp(protocol, survey->ask.protocol, sizeof(survey->ask.protocol)) != 0) ||
        !in_range(&survey->ask, client_address(truth, index))) {
        return false;
    }
    if (channel == 0) {
        return true;
    }
    *looked += client->subscription_count;
    return rc_hub_subscription(api->clients->hub, index, channel) != 0;
}

/* The step is over, or all clients were looked at. */
static void look_at_clients(const struct rc_api *api, struct rc_api_survey *survey)
{
    const struct rc_truth *truth = api->clients->truth;
    const struct rc_span name = rc_span_of(survey->channel, survey->channel_bytes);
    const uint32_t channel =
        name.count == 0 ? 0
                        : rc_hub_find(api->clients->hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const uint32_t high = truth->clients.high;
    const bool by_place = survey->ask.order == RC_SURVEY_BY_PLACE;
    uint32_t looked = 0;
    survey->looked = name.count > 0 && channel == 0; /* nobody is in it here */
    while (!survey->looked && looked < SURVEY_STEP) {
        if (survey->next >= high || (by_place && survey->count == survey->limit)) {
            survey->more = survey->next < high;
            survey->looked = true;
            break;
        }
        const uint32_t index = survey->next++;
        looked++;
        if (!client_wanted(api, survey, index, channel, &looked)) {
            continue;
        }
        const struct rc_client *client = rc_truth_client(truth, index);
        if (by_place) {
            survey->entries[survey->count++] = (struct survey_entry){
                .rank = rc_survey_key(api->clients->worker, index), .name = client->random, .index = index};
            continue;
        }
        const uint64_t behind = client_behind(truth, client, &looked);
        if (behind >= survey->ask.behind_min) {
            survey_take(survey, behind, index, client->random);
        }
    }
}

static void put_names(const struct rc_api *api, struct rc_text *text, const struct rc_client *client)
{
    const struct rc_truth *truth = api->clients->truth;
    uint32_t named = 0;
    rc_text_put(text, ",\"names\":[");
    for (uint32_t i = client->subscriptions; i != 0 && named < SURVEY_NAMES;
         i = rc_truth_subscription(truth, i)->next) {
        const uint32_t channel = rc_truth_group(truth, rc_truth_subscription(truth, i)->group)->channel;
        rc_text_put(text, named++ == 0 ? "" : ",");
        rc_text_put_json(text, rc_hub_name(api->clients->hub, rc_truth_channel(truth, channel)));
    }
    rc_text_put(text, "]");
}

static void put_client(const struct rc_api *api, struct rc_text *text, const struct rc_api_survey *survey,
                       uint32_t index)
{
    const struct rc_clients *clients = api->clients;
    const struct rc_truth *truth = clients->truth;
    const struct rc_client *client = rc_truth_client(truth, index);
    const struct rc_client_ref ref = rc_client_ref(clients, index);
    const struct rc_socket *socket = rc_truth_socket_of(truth, client);
    const uint64_t age_ms = (uint64_t)(clients->io->now_ds - truth->opened_ds[index]) * 100u;
    struct rc_named who;
    char id[RC_CLIENT_ID_BYTES_MAX];
    char address[RC_ADDRESS_TEXT_MAX];
    uint32_t looked = 0;
    const size_t id_bytes = rc_client_id_write(id, clients->control->instance_id, clients->control->boot_nonce, &ref);
    rc_text_put(text, "{\"client\":");
    rc_text_put_json(text, rc_span_of(id, id_bytes));
    rc_text_put(text, ",\"user\":");
    const char *user = rc_named_user(truth, index, &who);
    if (user[0] != '\0') {
        rc_text_put_json(text, rc_span_text(user));
    } else {
        rc_text_put(text, "null");
    }
    if (socket != NULL) {
        (void)rc_named_address(truth, client->socket, &who);
    } else {
        (void)rc_address_format(address, client_address(truth, index));
        memcpy(who.address, address, sizeof(address));
    }
    rc_text_put(text, ",\"address\":\"%s\",\"protocol\":\"%s\",\"transport\":\"%s\",\"worker\":%u,\"age_ms\":%llu",
                who.address, rc_encoding_codec_of(client->encoding)->name, rc_client_transport(client), clients->worker,
                (unsigned long long)age_ms);
    rc_text_put(text, ",\"channels\":%u,\"behind_bytes\":%llu,\"behind_channels\":%u", client->subscription_count,
                (unsigned long long)client_behind(truth, client, &looked), client->cursor_count);
    if (socket != NULL) {
        rc_text_put(text, ",\"sent_bytes\":%llu,\"received_bytes\":%llu,\"blocked_ms\":%llu",
                    (unsigned long long)socket->sent_bytes, (unsigned long long)socket->received_bytes,
                    (socket->flags & RC_SOCKET_BLOCKED)
                        ? (unsigned long long)(clients->io->now_ds - socket->blocked_ds) * 100u
                        : 0ull);
    } else {
        rc_text_put(text, ",\"sent_bytes\":null,\"received_bytes\":null,\"blocked_ms\":0");
    }
    if (survey->ask.flags & RC_SURVEY_NAMES) {
        put_names(api, text, client);
    }
    rc_text_put(text, "%s}",
                client->state == RC_CLIENT_OPEN && !(client->flags & RC_CLIENT_CLOSE_QUEUED) ? ""
                                                                                             : ",\"closing\":true");
}

/* --- channels --- */

static struct rc_survey_channel measure_channel(const struct rc_api *api, uint32_t index)
{
    const struct rc_truth *truth = api->clients->truth;
    const struct rc_channel *channel = rc_truth_channel(truth, index);
    struct rc_heat heat = api->clients->hub->heats[index];
    rc_heat_fade(&heat, api->clients->io->now_ds);
    struct rc_survey_channel measured = {.rate = rc_heat_rate(heat.messages),
                                         .bytes = rc_heat_rate(heat.bytes),
                                         .subscribers = channel->subscriber_count};
    for (uint32_t i = channel->groups; i != 0; i = rc_truth_group(truth, i)->next) {
        const struct rc_group *group = rc_truth_group(truth, i);
        measured.behind += group->behind;
        if (group->log != 0) {
            measured.log_bytes += rc_channel_log_bytes(rc_truth_log(truth, group->log), &truth->heap);
        }
    }
    return measured;
}

static uint64_t rank_channel(const struct rc_api_survey *survey, const struct rc_survey_channel *measured)
{
    switch (survey->ask.order) {
    case RC_SURVEY_BY_SUBSCRIBERS:
        return measured->subscribers;
    case RC_SURVEY_BY_BYTES:
        return (uint64_t)(measured->bytes * 1000.0) * measured->subscribers;
    case RC_SURVEY_BY_MEMORY:
        return measured->log_bytes;
    default:
        return (uint64_t)(measured->rate * 1000.0);
    }
}

static void look_at_channels(const struct rc_api *api, struct rc_api_survey *survey)
{
    const struct rc_truth *truth = api->clients->truth;
    const struct rc_span prefix = rc_span_of(survey->channel, survey->channel_bytes);
    const uint32_t high = truth->channels.high;
    const uint32_t end = high - survey->next > SURVEY_STEP ? survey->next + SURVEY_STEP : high;
    for (; survey->next < end; survey->next++) {
        const struct rc_channel *channel = rc_truth_channel(truth, survey->next);
        if (channel->name == 0 || channel->subscriber_count == 0 || survey->next == api->clients->hub->everybody ||
            !rc_span_starts_with(rc_hub_name(api->clients->hub, channel), prefix)) {
            continue;
        }
        const struct rc_survey_channel measured = measure_channel(api, survey->next);
        survey_take(survey, rank_channel(survey, &measured), survey->next, channel->hash);
    }
    survey->looked = survey->next == high;
}

/* --- the reply --- */

static uint64_t reply_room(const struct rc_api *api)
{
    const uint64_t around = sizeof(struct rc_envelope) + sizeof(struct rc_call_tag) + sizeof(struct rc_reply_head);
    const uint64_t room = rc_uplink_room_bytes(api->clients->uplink);
    const uint64_t most = RC_CALL_REPLY_BYTES_MAX - sizeof(struct rc_reply_head);
    return room <= around ? 0 : room - around < most ? room - around : most;
}

/* Behind the head, whose bytes are filled in. False: it is gone. */
static bool put_entry(const struct rc_api *api, struct rc_api_survey *survey, const struct survey_entry *entry)
{
    const struct rc_truth *truth = api->clients->truth;
    if (survey->of_clients) {
        if (rc_truth_named(truth, entry->index, entry->name) == NULL) {
            return false;
        }
        put_client(api, &survey->reply, survey, entry->index);
        return true;
    }
    const struct rc_channel *channel = rc_truth_channel(truth, entry->index);
    if (channel->name == 0 || channel->hash != entry->name) {
        return false;
    }
    const struct rc_survey_channel measured = measure_channel(api, entry->index);
    rc_text_put_bytes(&survey->reply, &measured, sizeof(measured));
    const struct rc_span name = rc_hub_name(api->clients->hub, channel);
    rc_text_put_bytes(&survey->reply, name.bytes, name.count);
    return true;
}

/* Writes some of what was found; true when all is written that fits. */
static bool write_some(const struct rc_api *api, struct rc_api_survey *survey)
{
    struct rc_text *reply = &survey->reply;
    for (uint32_t i = 0; i < SURVEY_WRITES && survey->written < survey->count; i++) {
        const struct survey_entry *entry = &survey->entries[survey->written];
        const size_t before = reply->count;
        struct rc_survey_head head = {.key = entry->rank};
        rc_text_put_bytes(reply, &head, sizeof(head));
        const bool there = put_entry(api, survey, entry);
        if (reply->failed) {
            return true;
        }
        if (reply->count > reply_room(api)) {
            reply->count = before;
            survey->more = true;
            return true;
        }
        survey->written++;
        if (!there) {
            reply->count = before;
            continue;
        }
        head.bytes = (uint32_t)(reply->count - before - sizeof(head));
        memcpy(reply->bytes + before, &head, sizeof(head));
        survey->told++;
    }
    return survey->written == survey->count;
}

static void survey_answer(struct rc_api *api, const struct rc_api_survey *survey)
{
    struct rc_reply_head head = {.flags = survey->more ? RC_REPLY_MORE : 0, .count = survey->told};
    uint32_t bytes = (uint32_t)survey->reply.count;
    if (survey->reply.failed ||
        (survey->told == 0 && (survey->written < survey->count || (survey->more && survey->count > 0))) ||
        bytes > reply_room(api)) {
        head = (struct rc_reply_head){.flags = RC_REPLY_BUSY};
        bytes = 0;
    }
    rc_api_reply(api, survey->asker, (const uint8_t *)&survey->tag, 0, &head, survey->reply.bytes, bytes,
                 (struct rc_span){0});
}

static void survey_free(struct rc_api_survey *survey)
{
    rc_text_free(&survey->reply);
    free(survey);
}

bool rc_survey_work(struct rc_api *api)
{
    if (api->survey_count == 0) {
        return false;
    }
    struct rc_api_survey *survey = api->surveys[0];
    if (!survey->looked) {
        (survey->of_clients ? look_at_clients : look_at_channels)(api, survey);
        if (survey->looked && survey->ask.order != RC_SURVEY_BY_PLACE) {
            qsort(survey->entries, survey->count, sizeof(survey->entries[0]), survey_compare);
        }
    } else if (write_some(api, survey)) {
        survey_answer(api, survey);
        survey_free(survey);
        api->survey_count--;
        memmove(&api->surveys[0], &api->surveys[1], api->survey_count * sizeof(api->surveys[0]));
    }
    return api->survey_count > 0;
}

void rc_surveys_free(struct rc_api *api)
{
    while (api->survey_count > 0) {
        survey_free(api->surveys[--api->survey_count]);
    }
}

/* --- what comes --- */

static bool read_ask(const struct rc_call_head *head, struct rc_span text, struct rc_survey_ask *ask)
{
    if (text.count != sizeof(*ask)) {
        return false;
    }
    memcpy(ask, text.bytes, sizeof(*ask));
    const bool of_clients = head->operation == RC_CALL_CLIENTS;
    return of_clients ? ask->order <= RC_SURVEY_BY_BEHIND
                      : ask->order >= RC_SURVEY_BY_RATE && ask->order <= RC_SURVEY_BY_MEMORY;
}

/* The first client whose key is greater than `after`. */
static uint32_t first_client(const struct rc_api *api, uint64_t after)
{
    const uint64_t index = after >> 8;
    const uint64_t first = rc_survey_key(api->clients->worker, (uint32_t)index) > after ? index : index + 1;
    return first == 0 ? 1 : first < UINT32_MAX ? (uint32_t)first : UINT32_MAX;
}

void rc_survey_begin(struct rc_api *api, const struct rc_envelope_view *view, const struct rc_call_head *head,
                     struct rc_span user, struct rc_span text)
{
    const uint32_t limit = head->limit < RC_API_CHANNELS_MAX ? head->limit : RC_API_CHANNELS_MAX;
    struct rc_survey_ask ask;
    struct rc_api_survey *survey = api->survey_count == RC_API_SURVEYS_MAX || limit == 0 || !read_ask(head, text, &ask)
                                       ? NULL
                                       : malloc(sizeof(*survey) + (size_t)limit * sizeof(survey->entries[0]));
    if (survey == NULL) {
        const struct rc_reply_head busy = {.flags = RC_REPLY_BUSY};
        rc_api_reply(api, view->head.origin.worker, view->request_id, 0, &busy, NULL, 0, (struct rc_span){0});
        return;
    }
    *survey = (struct rc_api_survey){.ask = ask,
                                     .asker = view->head.origin.worker,
                                     .of_clients = head->operation == RC_CALL_CLIENTS,
                                     .next = 1,
                                     .limit = limit,
                                     .user_bytes = (uint8_t)user.count,
                                     .channel_bytes = view->head.channel_bytes};
    if (survey->of_clients && ask.order == RC_SURVEY_BY_PLACE) {
        survey->next = first_client(api, ask.after);
    }
    memcpy(&survey->tag, view->request_id, sizeof(survey->tag));
    if (user.count > 0) {
        memcpy(survey->user, user.bytes, user.count);
    }
    if (view->head.channel_bytes > 0) {
        memcpy(survey->channel, view->channel, view->head.channel_bytes);
    }
    api->surveys[api->survey_count++] = survey;
}
