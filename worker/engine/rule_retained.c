/* rule_retained: see rule_retained.h. */
#include "worker/engine/rule_retained.h"

#include <stdlib.h>
#include <string.h>

#include "common/config/event_rules.h"
#include "common/shm/history.h"
#include "common/text/json_scan.h"

/* --- values as JSON -------------------------------------------------------------------------------------------------- */

/* A growing text. */
struct text {
    uint8_t *bytes;
    size_t count;
    size_t room;
    size_t most;
    bool failed;
};

static void text_put(struct text *text, struct rc_span bytes)
{
    if (text->failed || bytes.count > text->most - text->count) {
        text->failed = true;
        return;
    }
    if (text->count + bytes.count > text->room) {
        const size_t room = 2 * (text->count + bytes.count) + 64;
        uint8_t *larger = realloc(text->bytes, room);
        if (larger == NULL) {
            text->failed = true;
            return;
        }
        text->bytes = larger;
        text->room = room;
    }
    if (bytes.count > 0) {
        memcpy(text->bytes + text->count, bytes.bytes, bytes.count);
        text->count += bytes.count;
    }
}

/* What a kept message is in a row's message. It comes from another process: what is no JSON is null. */
static struct rc_span value_json(const struct rc_history_message *message)
{
    struct rc_span json = message->data;
    struct rc_json_value value;
    if (message->entry.flags & RC_HISTORY_BINARY) {
        return RC_SPAN("null");
    }
    if (message->entry.flags & RC_HISTORY_ARGS) {
        struct rc_args_view args;
        struct rc_json_cursor cursor;
        if (rc_args_read(message->data, &args) < 0 || args.attachment_count > 0) {
            return RC_SPAN("null");
        }
        struct rc_json_value first = {.raw = args.json};
        struct rc_json_value second;
        if (rc_json_array_begin(&cursor, args.json, RC_JSON_CHECK_UTF8) < 0 ||
            rc_json_array_next(&cursor, &first) != 1) {
            return RC_SPAN("null");
        }
        json = rc_json_array_next(&cursor, &second) == 0 ? first.raw : args.json;
    }
    return rc_json_scan(json, RC_JSON_CHECK_UTF8, &value, NULL) == 0 ? value.raw : RC_SPAN("null");
}

/* The keyed ones as an object. */
static void object_put(struct text *text, struct rc_span values)
{
    uint8_t name[RC_JSON_STRING_BYTES_MAX(RC_MESSAGE_KEY_MAX)];
    struct rc_history_message message;
    uint64_t at = 0;
    const char *before = "{";
    while (at < values.count && rc_history_message_of(values.bytes + at, values.count - at, &message)) {
        at += rc_history_entry_bytes(&message.entry);
        if (message.key.count == 0 || message.key.count > RC_MESSAGE_KEY_MAX || !rc_json_utf8_valid(message.key)) {
            continue;
        }
        text_put(text, rc_span_text(before));
        text_put(text, rc_span_of(name, rc_json_string_encode(name, sizeof(name), message.key)));
        text_put(text, RC_SPAN(":"));
        text_put(text, value_json(&message));
        before = ",";
    }
    text_put(text, text->count > 0 ? RC_SPAN("}") : RC_SPAN("null"));
}

bool rc_rule_retained_answer(struct rc_rule_question *question, struct rc_span values, size_t most)
{
    struct text text = {.most = most};
    struct rc_history_message message;
    uint64_t at = 0;
    while (text.count == 0 && at < values.count &&
           rc_history_message_of(values.bytes + at, values.count - at, &message)) {
        at += rc_history_entry_bytes(&message.entry);
        if (message.key.count == 0) {
            text_put(&text, value_json(&message));
        }
    }
    if (text.count == 0 && !text.failed) {
        object_put(&text, values);
    }
    if (text.failed) {
        free(text.bytes);
        return false;
    }
    free(question->json);
    question->json = text.bytes;
    question->bytes = text.count;
    question->room = text.room;
    return true;
}

/* --- with the registration ------------------------------------------------------------------------------------------- */

bool rc_rule_retained_joins(struct rc_rule_run *run, struct rc_span channel)
{
    const struct rc_event_question *asked = rc_event_questions(run->clients->config, run->row);
    bool joins = false;
    for (uint32_t i = 0; i < run->row->question_count && run->client != 0 && !run->ends; i++) {
        char room[RC_CHANNEL_NAME_MAX];
        char name[RC_CHANNEL_NAME_MAX];
        size_t bytes;
        if (asked[i].kind != RC_QUESTION_RETAINED || rc_rule_room(&run->values, &asked[i].room, room, &bytes) != 0) {
            continue;
        }
        const size_t name_bytes = rc_channel_of_room(name, sizeof(name), run->nsp, rc_span_of(room, bytes));
        if (!rc_span_equal(rc_span_of(name, name_bytes), channel)) {
            continue;
        }
        struct rc_rule_wait *wait = rc_rule_wait_keep(run);
        if (wait == NULL) {
            rc_rule_state_fail(run, RC_CODE_UNAVAILABLE, "no memory");
            return false;
        }
        wait->questions[i].kind = RC_QUESTION_RETAINED;
        wait->questions[i].channel_hash = rc_channel_hash(name, name_bytes);
        joins = true;
    }
    return joins;
}

void rc_rule_retained_came(void *context, uint32_t client, uint32_t channel, struct rc_span values)
{
    const struct rc_engines *engines = context;
    struct rc_rule_wait *wait = rc_rule_wait_of(engines, client);
    const uint64_t hash = rc_truth_channel(engines->clients->truth, channel)->hash;
    for (uint32_t i = 0; wait != NULL && i < RC_EVENT_QUESTIONS_MAX; i++) {
        struct rc_rule_question *question = &wait->questions[i];
        if (question->kind == RC_QUESTION_RETAINED && question->channel_hash == hash) {
            wait->failed |= !rc_rule_retained_answer(question, values,
                                                     (size_t)engines->clients->config->limits.max_message_size_bytes);
            question->came = true;
        }
    }
}
