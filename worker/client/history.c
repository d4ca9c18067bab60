/* history: clients ask for messages that the relay has kept of a channel. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/query.h"
#include "common/shm/history.h"
#include "common/text/base64.h"
#include "common/text/json_scan.h"
#include "worker/proto/native_content.h"

#define HISTORY_ANSWER_MS 3000u
#define HISTORY_UNSENT_MAX 65536u /* private bytes of a client beyond which it gets no more of them */
#define MEMBERS_MAX 160u          /* of the answer, and of a message, but for texts */

/* --- as JSON --------------------------------------------------------------------------------------------------------- */

struct text {
    uint8_t *bytes; /* owned */
    size_t count;
    size_t room;
};

static bool text_room(struct text *text, size_t bytes)
{
    if (text->room - text->count < bytes) {
        const size_t room = 2 * (text->count + bytes);
        uint8_t *more = realloc(text->bytes, room);
        if (more == NULL) {
            return false;
        }
        text->bytes = more;
        text->room = room;
    }
    return true;
}

static void text_copy(struct text *text, struct rc_span bytes)
{
    if (bytes.count > 0) {
        memcpy(text->bytes + text->count, bytes.bytes, bytes.count);
        text->count += bytes.count;
    }
}

/* What was published: as a delivery has it, but that bytes are in base64. */
static bool put_content(struct text *text, const struct rc_history_message *message)
{
    const struct rc_event event = {.data_kind = (message->entry.flags & RC_HISTORY_ARGS) ? RC_DATA_ARGS : RC_DATA_JSON,
                                   .event = message->event,
                                   .data = message->data};
    const bool binary = (message->entry.flags & RC_HISTORY_BINARY) != 0;
    struct rc_json_value value;
    if (!text_room(text, rc_native_content_bytes_max(&event) + message->data.count / 3 * 4 + MEMBERS_MAX)) {
        return false;
    }
    if (!binary && event.data_kind == RC_DATA_JSON &&
        rc_json_scan(message->data, RC_JSON_CHECK_UTF8, &value, NULL) != 0) {
        return true; /* another process's: no data is no broken answer */
    }
    if (!binary) {
        text->count = (size_t)(rc_native_content_put(text->bytes + text->count, &event) - text->bytes);
        return true;
    }
    if (message->event.count > 0) {
        text_copy(text, RC_SPAN(",\"event\":"));
        text->count += rc_json_string_encode(text->bytes + text->count, RC_JSON_STRING_BYTES_MAX(message->event.count),
                                             message->event);
    }
    text_copy(text, RC_SPAN(",\"data_base64\":\""));
    text->count += rc_base64_encode(text->bytes + text->count, message->data.bytes, message->data.count);
    text_copy(text, RC_SPAN("\""));
    return true;
}

static bool put_message(struct text *text, const struct rc_history_message *message, uint64_t offset, uint64_t time_ms)
{
    if (!text_room(text, MEMBERS_MAX + RC_JSON_STRING_BYTES_MAX(message->key.count))) {
        return false;
    }
    text->count += (size_t)snprintf((char *)text->bytes + text->count, MEMBERS_MAX, "{\"offset\":%llu,\"time\":%llu",
                                    (unsigned long long)offset, (unsigned long long)time_ms);
    if (message->key.count > 0 && rc_json_utf8_valid(message->key)) {
        text_copy(text, RC_SPAN(",\"key\":"));
        text->count += rc_json_string_encode(text->bytes + text->count, RC_JSON_STRING_BYTES_MAX(message->key.count),
                                             message->key);
    }
    if (!put_content(text, message) || !text_room(text, 2)) {
        return false;
    }
    text_copy(text, RC_SPAN("}"));
    return true;
}

static bool put_messages(struct text *text, const struct rc_query_kept *kept, struct rc_span entries)
{
    const uint64_t since_1970_ms = rc_clock_wall_ms() - rc_clock_ms(); /* of what the relay's clock counts from */
    struct rc_history_message message;
    uint64_t at = 0;
    for (uint32_t i = 0; i < kept->count; i++) {
        if (at > entries.count || !rc_history_message_of(entries.bytes + at, entries.count - at, &message) ||
            !text_room(text, 1)) {
            return false;
        }
        at += rc_history_entry_bytes(&message.entry);
        if (i > 0) {
            text_copy(text, RC_SPAN(","));
        }
        if (!put_message(text, &message, kept->from + i, since_1970_ms + message.entry.time_ms)) {
            return false;
        }
    }
    return true;
}

bool rc_client_history_text(const struct rc_envelope_view *view, uint8_t **bytes, size_t *count)
{
    struct rc_query_kept kept;
    struct text text = {0};
    if (view->head.code != 0 || view->head.data_bytes < sizeof(kept)) {
        return false;
    }
    memcpy(&kept, view->data, sizeof(kept));
    const struct rc_span entries = rc_span_of(view->data + sizeof(kept), view->head.data_bytes - sizeof(kept));
    bool good = text_room(&text, MEMBERS_MAX);
    if (good) {
        text.count = (size_t)snprintf(
            (char *)text.bytes, MEMBERS_MAX, ",\"epoch\":\"%llx\",\"first\":%llu,\"offset\":%llu,\"messages\":[",
            (unsigned long long)kept.epoch, (unsigned long long)kept.first, (unsigned long long)kept.last);
        good = put_messages(&text, &kept, entries) && text_room(&text, MEMBERS_MAX);
    }
    if (!good) {
        free(text.bytes);
        return false;
    }
    text_copy(&text, (kept.flags & RC_QUERY_MORE) != 0 ? RC_SPAN("],\"more\":true") : RC_SPAN("],\"more\":false"));
    *bytes = text.bytes;
    *count = text.count;
    return true;
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static void history_tell(struct rc_clients *clients, const struct rc_ask *ask, struct rc_event *event)
{
    event->id = rc_span_of(ask->id, ask->id_bytes);
    if (rc_client_is_here(clients, &ask->client) && rc_hub_reply_event(clients->hub, ask->client.slot, event) < 0) {
        rc_hub_close_client(clients->hub, ask->client.slot, RC_CLOSE_TRY_AGAIN_LATER, NULL, 0, true);
    }
}

static void history_fail(struct rc_clients *clients, const struct rc_ask *ask, enum rc_code code,
                         struct rc_span message)
{
    struct rc_event event = {.type = RC_EVENT_ERROR, .code = code, .message = message};
    history_tell(clients, ask, &event);
}

static void history_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_clients *clients = ask->context;
    uint8_t *text;
    size_t bytes;
    if (rc_client_is_here(clients, &ask->client) &&
        rc_hub_unsent(clients->hub, ask->client.slot) > HISTORY_UNSENT_MAX) {
        history_fail(clients, ask, RC_CODE_LIMITED, RC_SPAN("read the answers that you have before you ask again"));
        return;
    }
    if (type != RC_DOWN_QUERY || !rc_client_history_text(view, &text, &bytes)) {
        history_fail(clients, ask, RC_CODE_UNAVAILABLE, RC_SPAN("too many such questions at once: ask again later"));
        return;
    }
    struct rc_event event = {.type = RC_EVENT_HISTORY,
                             .channel = rc_span_of(view->channel, view->head.channel_bytes),
                             .data = rc_span_of(text, bytes)};
    history_tell(clients, ask, &event);
    free(text);
}

static void history_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    (void)why;
    history_fail(ask->context, ask, RC_CODE_UNAVAILABLE, RC_SPAN("there was no answer: ask again"));
}

static bool history_wanted(const struct rc_ask *ask)
{
    return rc_client_is_here(ask->context, &ask->client);
}

static const struct rc_asker history_asker = {.kind = RC_ASK_CLIENT,
                                              .in_ms = HISTORY_ANSWER_MS,
                                              .once = true,
                                              .of_relay = true,
                                              .answered = history_answered,
                                              .unanswered = history_unanswered,
                                              .wanted = history_wanted};

int rc_client_ask_history(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation)
{
    const struct rc_client_ref origin = rc_client_ref(clients, client);
    const struct rc_span channel = operation->channel;
    struct {
        struct rc_query_head head;
        uint8_t which[sizeof(struct rc_query_history)];
    } question = {
        .head = {.kind = RC_QUERY_HISTORY,
                 .limit = (uint16_t)(operation->limit < RC_QUERY_LIMIT_MAX ? operation->limit : RC_QUERY_LIMIT_MAX)}};
    const struct rc_query_history which = {.since = operation->since,
                                           .flags = operation->has_since ? RC_QUERY_SINCE : 0};
    uint64_t token;
    memcpy(question.which, &which, sizeof(which));
    int rc = rc_asks_begin(clients->asks, &history_asker, clients, &origin, operation->id, &token);
    if (rc < 0) {
        return rc;
    }
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .channel_hash = rc_channel_hash((const char *)channel.bytes, channel.count),
                 .origin = origin,
                 .token = token,
                 .data_bytes = sizeof(question),
                 .channel_bytes = (uint8_t)channel.count},
        .channel = (const char *)channel.bytes,
        .data = (const uint8_t *)&question};
    rc = rc_uplink_write(clients->uplink, RC_UP_QUERY, &view);
    if (rc < 0) {
        rc_asks_end(clients->asks, token);
    }
    return rc;
}
