/* presence: who is in a presence channel: the relay is asked when a client has come in, and the client told. See pusher.h. */
#include "worker/pusher/pusher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/query.h"
#include "worker/client/question.h"

#define ASK_AGAIN_NS 100000000u /* while the relay has no place for more questions: 100 ms */
#define WORDS_BYTES 160u        /* what stands around names and numbers */

void rc_pusher_member_changed(struct rc_pushers *pushers, uint32_t client, uint32_t channel, bool joined)
{
    const struct rc_truth *truth = pushers->clients->truth;
    struct rc_pusher_member member;
    const struct rc_span name = rc_truth_channel_name(truth, rc_truth_channel(truth, channel));
    if (rc_truth_pusher(truth, client)->members == 0 || !rc_pusher_member_find(truth, client, name, &member)) {
        return;
    }
    if (!joined) {
        rc_pusher_member_drop(pushers, client, name);
    } else if (rc_index_list_push(&pushers->asking, client) < 0) {
        rc_hub_break(pushers->clients->hub, client);
    }
}

/* --- the text -------------------------------------------------------------------------------------------------------- */

static uint8_t *presence_put(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count > 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

/* Its id, in the hash with what else is known of it. */
static uint8_t *presence_put_member(uint8_t *out, bool first, bool hash, struct rc_span user, struct rc_span info)
{
    out = presence_put(out, first ? rc_span_of(NULL, 0) : RC_SPAN(","));
    out += rc_json_string_encode(out, SIZE_MAX, user);
    return hash ? presence_put(presence_put(out, RC_SPAN(":")), info.count > 0 ? info : RC_SPAN("null")) : out;
}

static uint8_t *put_members(uint8_t *out, bool hash, struct rc_span entries, const struct rc_pusher_member *own)
{
    struct rc_query_entry entry;
    bool first = true;
    while (rc_query_entry_next(&entries, &entry)) {
        if (entry.user.count > 0) { /* who a backend has put there is nobody here */
            out = presence_put_member(out, first, hash, entry.user, entry.info);
            first = false;
        }
    }
    return own == NULL ? out : presence_put_member(out, first, hash, own->user, own->info);
}

/* What is there of the users, as `entries`, and whether one of them is `own`. */
static size_t members_bytes_max(struct rc_span entries, const struct rc_pusher_member *own, bool *found,
                                uint32_t *count)
{
    size_t bytes = 2 * rc_json_string_encoded_bytes(own->user) + own->info.count + WORDS_BYTES;
    struct rc_query_entry entry;
    *found = false;
    *count = 0;
    while (rc_query_entry_next(&entries, &entry)) {
        *found |= rc_span_equal(entry.user, own->user);
        *count += entry.user.count > 0;
        bytes += 2 * rc_json_string_encoded_bytes(entry.user) + entry.info.count + 16;
    }
    return bytes;
}

static void presence_tell(struct rc_pushers *pushers, uint32_t client, const struct rc_pusher_member *own,
                          struct rc_span entries)
{
    bool found;
    bool user;
    uint32_t count;
    char number[16];
    const size_t inner_max = members_bytes_max(entries, own, &found, &count);
    uint8_t *inner =
        rc_pusher_room(pushers, 3 * inner_max + RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX) + WORDS_BYTES);
    if (inner == NULL) {
        rc_client_failed_memory(pushers->clients, client);
        return;
    }
    const int digits = snprintf(number, sizeof(number), "%u", count + (found ? 0 : 1));
    uint8_t *out =
        presence_put(presence_put(inner, RC_SPAN("{\"presence\":{\"count\":")), rc_span_of(number, (size_t)digits));
    out = put_members(presence_put(out, RC_SPAN(",\"ids\":[")), false, entries, found ? NULL : own);
    out = put_members(presence_put(out, RC_SPAN("],\"hash\":{")), true, entries, found ? NULL : own);
    out = presence_put(out, RC_SPAN("}}}"));
    RC_ASSERT((size_t)(out - inner) <= inner_max);
    uint8_t *text = inner + inner_max;
    uint8_t *end = presence_put(text, RC_SPAN("{\"event\":\"pusher_internal:subscription_succeeded\",\"channel\":"));
    end += rc_json_string_encode(end, SIZE_MAX, rc_pusher_name_of(own->channel, &user));
    end = presence_put(end, RC_SPAN(",\"data\":"));
    end += rc_json_string_encode(end, 2 * inner_max, rc_span_of(inner, (size_t)(out - inner)));
    end = presence_put(end, RC_SPAN("}"));
    rc_pusher_reply(pushers, client, text, (size_t)(end - text));
}

/* --- the question ---------------------------------------------------------------------------------------------------- */

/* More than there may be: it goes out again. */
static void turn_out(struct rc_pushers *pushers, uint32_t client, struct rc_span name)
{
    struct rc_hub *hub = pushers->clients->hub;
    const uint32_t channel = rc_hub_find(hub, rc_channel_hash((const char *)name.bytes, name.count), name);
    const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscription(hub, client, channel);
    char text[RC_CHANNEL_NAME_MAX]; /* the member's own goes with it */
    memcpy(text, name.bytes, name.count);
    if (subscription != 0) {
        rc_hub_unsubscribe(hub, client, subscription);
    }
    rc_pusher_subscription_error(pushers, client, rc_span_of(text, name.count), RC_CODE_LIMITED,
                                 "there are as many members in this channel as there may be");
}

/* The last event of a presence channel comes behind who is there. */
static void want_last_event(struct rc_pushers *pushers, uint32_t client, struct rc_span name)
{
    bool user;
    if ((rc_pusher_kind_of(rc_pusher_name_of(name, &user)) & RC_PUSHER_CACHE) != 0) {
        const enum rc_subscribed rc = rc_hub_subscribe_from(pushers->clients->hub, client, name, RC_SUBSCRIBER_BACKEND,
                                                            (struct rc_span){0}, RC_PENDING_VALUES, NULL);
        if (rc == RC_SUBSCRIBE_NO_ROOM || rc == RC_SUBSCRIBE_LIMITED) {
            rc_hub_break(pushers->clients->hub, client);
        }
    }
}

static void tell_or_turn_out(struct rc_pushers *pushers, uint32_t client, struct rc_span channel,
                             const struct rc_query_answer *answer, struct rc_span entries)
{
    struct rc_truth *truth = pushers->clients->truth;
    struct rc_pusher_member own;
    if (!rc_pusher_member_find(truth, client, channel, &own) || own.told == RC_PUSHER_TOLD ||
        !rc_client_is_in(pushers->clients, client, channel)) {
        return; /* it has left meanwhile, or was told by another answer */
    }
    bool is_user;
    const struct rc_span name = rc_pusher_name_of(channel, &is_user);
    if (rc_pusher_kind_of(name) & RC_PUSHER_WATCH) {
        rc_pusher_member_mark(pushers, client, &own, RC_PUSHER_TOLD);
        rc_pusher_watch_answer(pushers, client, name, answer->users > 0);
        return;
    }
    if (answer->users > rc_pusher_app(pushers, client)->max_members) {
        turn_out(pushers, client, own.channel);
        return;
    }
    rc_pusher_member_mark(pushers, client, &own, RC_PUSHER_TOLD);
    presence_tell(pushers, client, &own, entries);
    want_last_event(pushers, client, channel);
}

static bool entries_whole(struct rc_span entries, uint32_t count)
{
    struct rc_query_entry entry;
    uint32_t found = 0;
    while (rc_query_entry_next(&entries, &entry)) {
        found++;
    }
    return entries.count == 0 && found == count;
}

/* Questions of clients have them as their context. */
static struct rc_pushers *pushers_of(const struct rc_ask *ask)
{
    const struct rc_clients *clients = ask->context;
    return clients->pusher.context;
}

void rc_pusher_ask_again(struct rc_pushers *pushers, uint32_t client)
{
    const struct rc_truth *truth = pushers->clients->truth;
    struct rc_pusher_member member;
    uint32_t at = 0;
    bool any = false;
    while (rc_pusher_member_next(truth, client, &at, &member)) {
        if (member.told != RC_PUSHER_TOLD) {
            rc_pusher_member_mark(pushers, client, &member, RC_PUSHER_TO_ASK);
            any = true;
        }
    }
    if (any && rc_index_list_push(&pushers->asking, client) < 0) {
        rc_hub_break(pushers->clients->hub, client);
    }
}

/* Another try: it is to be told, and the relay may be another one now. */
static void ask_again(const struct rc_ask *ask)
{
    struct rc_pushers *pushers = pushers_of(ask);
    pushers->asking_ns = pushers->clients->io->now_ns + ASK_AGAIN_NS;
    const uint32_t client = rc_client_here(pushers->clients, &ask->client);
    if (client != 0) {
        rc_pusher_ask_again(pushers, client);
    }
}

static void presence_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_pushers *pushers = pushers_of(ask);
    struct rc_query_answer answer;
    const uint32_t client = rc_client_here(pushers->clients, &ask->client);
    if (client == 0) {
        return;
    }
    if (type != RC_DOWN_QUERY || view->head.code != 0 || view->head.data_bytes < sizeof(answer)) {
        ask_again(ask);
        return;
    }
    memcpy(&answer, view->data, sizeof(answer));
    const struct rc_span entries =
        rc_span_of(view->data + sizeof(answer), view->head.data_bytes - (uint32_t)sizeof(answer));
    if (!entries_whole(entries, answer.count)) {
        ask_again(ask);
        return;
    }
    tell_or_turn_out(pushers, client, rc_span_of(view->channel, view->head.channel_bytes), &answer, entries);
}

static void presence_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why;
    ask_again(ask);
}

static bool presence_wanted(const struct rc_ask *ask)
{
    const struct rc_pushers *pushers = pushers_of(ask);
    return rc_client_is_here(pushers->clients, &ask->client);
}

static int ask_one(struct rc_pushers *pushers, uint32_t client, struct rc_span channel)
{
    static const struct rc_asker asker = {.kind = RC_ASK_CLIENT,
                                          .in_ms = RC_CLIENT_QUESTION_MS,
                                          .once = true,
                                          .of_relay = true,
                                          .answered = presence_answered,
                                          .unanswered = presence_unanswered,
                                          .wanted = presence_wanted};
    const struct rc_query_head head = {.kind = RC_QUERY_CHANNEL, .limit = RC_QUERY_LIMIT_MAX};
    return rc_client_question(pushers->clients, client, &asker, channel, (struct rc_span){0},
                              rc_span_of(&head, sizeof(head)), (struct rc_client_ref){0});
}

bool rc_pusher_ask(struct rc_pushers *pushers, uint32_t client)
{
    const struct rc_truth *truth = pushers->clients->truth;
    struct rc_pusher_member member;
    uint32_t at = 0;
    if (!rc_encoding_is_pusher(rc_truth_client(truth, client)->encoding) ||
        rc_truth_client(truth, client)->state != RC_CLIENT_OPEN) {
        return true;
    }
    while (rc_pusher_member_next(truth, client, &at, &member)) {
        if (member.told != RC_PUSHER_TO_ASK || !rc_client_is_in(pushers->clients, client, member.channel)) {
            continue;
        }
        if (ask_one(pushers, client, member.channel) < 0) {
            return false;
        }
        rc_pusher_member_mark(pushers, client, &member, RC_PUSHER_ASKED);
    }
    return true;
}
