/* history: clients ask for messages that the relay has kept of a channel. See client.h. */
#include "worker/client/question.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/records/query.h"
#include "common/shm/history.h"
#include "common/text/base64.h"
#include "common/text/json_scan.h"
#include "worker/proto/native_content.h"

#define MEMBERS_MAX 160u /* of the answer, and of a message, but for texts */

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

/* Who asks, by the id that it has and the one that it had. */
struct asker {
    struct rc_client_ref is;
    struct rc_client_ref was;
};

static bool is_same(const struct rc_client_ref *one, const struct rc_client_ref *other)
{
    return one->random != 0 && one->random == other->random && one->slot == other->slot && one->worker == other->worker;
}

/* Did whoever published it leave the asker out? */
static bool leaves_out(const struct rc_history_message *message, const struct asker *asker)
{
    for (size_t at = 0; at < message->excludes.count; at += sizeof(struct rc_client_ref)) {
        struct rc_client_ref ref;
        memcpy(&ref, message->excludes.bytes + at, sizeof(ref));
        if (is_same(&ref, &asker->is) || is_same(&ref, &asker->was)) {
            return true;
        }
    }
    return false;
}

static bool put_message(struct text *text, const struct rc_history_message *message, uint64_t offset, uint64_t time_ms,
                        const struct asker *asker)
{
    if (!text_room(text, MEMBERS_MAX + RC_JSON_STRING_BYTES_MAX(message->key.count))) {
        return false;
    }
    text->count += (size_t)snprintf((char *)text->bytes + text->count, MEMBERS_MAX, "{\"offset\":%llu,\"time\":%llu",
                                    (unsigned long long)offset, (unsigned long long)time_ms);
    if (message->excludes.count > 0 && leaves_out(message, asker)) { /* offsets stay contiguous */
        text_copy(text, RC_SPAN(",\"excluded\":true}"));
        return true;
    }
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

static bool put_messages(struct text *text, const struct rc_query_kept *kept, struct rc_span entries,
                         const struct asker *asker)
{
    const uint64_t since_1970_ms = kept->since_1970_ms; /* of what the relay's clock counts from */
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
        if (!put_message(text, &message, kept->from + i, since_1970_ms + message.entry.time_ms, asker)) {
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
        const struct asker asker = {.is = view->head.origin, .was = view->head.target};
        good = put_messages(&text, &kept, entries, &asker) && text_room(&text, MEMBERS_MAX);
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

static void history_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    uint8_t *text;
    size_t bytes;
    if (!rc_client_question_good(ask, type, view)) {
        return;
    }
    if (!rc_client_history_text(view, &text, &bytes)) {
        rc_client_question_fail(ask);
        return;
    }
    struct rc_event event = {.type = RC_EVENT_HISTORY,
                             .channel = rc_span_of(view->channel, view->head.channel_bytes),
                             .data = rc_span_of(text, bytes)};
    rc_client_question_tell(ask, &event);
    free(text);
}

int rc_client_ask_history(struct rc_clients *clients, uint32_t client, const struct rc_operation *operation)
{
    static const struct rc_asker asker = RC_CLIENT_ASKER(history_answered);
    const struct rc_query_head head = {
        .kind = RC_QUERY_HISTORY,
        .limit = (uint16_t)(operation->limit < RC_QUERY_LIMIT_MAX ? operation->limit : RC_QUERY_LIMIT_MAX)};
    const struct rc_query_history which = {.since = operation->since,
                                           .flags = operation->has_since ? RC_QUERY_SINCE : 0};
    uint8_t question[sizeof(head) + sizeof(which)];
    memcpy(question, &head, sizeof(head));
    memcpy(question + sizeof(head), &which, sizeof(which));
    return rc_client_question(clients, client, &asker, operation->channel, operation->id,
                              rc_span_of(question, sizeof(question)), rc_client_former(clients, operation));
}
