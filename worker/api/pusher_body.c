/* pusher_body: see pusher_body.h. */
#include "worker/api/pusher_body.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/pusher.h"
#include "common/records/channel_name.h"
#include "common/records/socket_id.h"
#include "common/text/json_scan.h"

/* Of each event for a channel: its name here, the event's, and the array of the id that is left out. */
#define EVENT_TEXT_MAX (RC_CHANNEL_NAME_MAX + RC_PUSHER_EVENT_MAX + RC_SOCKET_ID_MAX + 4u)

enum {
    MEMBER_NAME,
    MEMBER_CHANNEL,
    MEMBER_CHANNELS,
    MEMBER_DATA,
    MEMBER_SOCKET_ID,
    MEMBER_INFO,
    MEMBER_BATCH,
    MEMBERS
};
static const char *const members[MEMBERS] = {"name", "channel", "channels", "data", "socket_id", "info", "batch"};

struct reading {
    struct rc_pusher_post *post;
    const struct rc_config_pusher_app *app;
    char *why;
};

static uint16_t post_fail(const struct reading *reading, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static uint16_t post_fail(const struct reading *reading, uint16_t status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    (void)vsnprintf(reading->why, RC_PUSHER_WHY_MAX, format, list);
    va_end(list);
    return status;
}

uint32_t rc_pusher_info_read(struct rc_span text, uint32_t may)
{
    static const struct {
        const char *name;
        uint32_t info;
    } all[] = {{"user_count", RC_PUSHER_INFO_USERS},
               {"subscription_count", RC_PUSHER_INFO_SUBSCRIPTIONS},
               {"cache", RC_PUSHER_INFO_CACHE}};
    uint32_t info = 0;
    while (text.count > 0) {
        const uint8_t *comma = memchr(text.bytes, ',', text.count);
        const size_t bytes = comma == NULL ? text.count : (size_t)(comma - text.bytes);
        const struct rc_span one = rc_span_of(text.bytes, bytes);
        uint32_t found = 0;
        for (size_t i = 0; i < RC_ARRAY_COUNT(all); i++) {
            found |= rc_span_equal(one, rc_span_text(all[i].name)) ? all[i].info & may : 0;
        }
        if (found == 0) {
            return UINT32_MAX;
        }
        info |= found;
        const size_t taken = comma == NULL ? bytes : bytes + 1;
        text = rc_span_of(text.bytes + taken, text.count - taken);
    }
    return info;
}

/* --- members --------------------------------------------------------------------------------------------------------- */

static uint16_t post_members_read(const struct reading *reading, struct rc_span text,
                                  struct rc_json_value found[MEMBERS])
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        found[i].type = RC_JSON_NONE;
    }
    int got = rc_json_object_begin(&cursor, text, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            if (rc_json_string_is(&name, rc_span_text(members[i]))) {
                found[i] = value;
            }
        }
    }
    return got < 0 ? post_fail(reading, 400, "the body is not a JSON object (byte %zu)", rc_json_offset(&cursor)) : 0;
}

/* A string of 1 to `bytes_max` bytes, into the post's text. */
static uint16_t post_text_take(const struct reading *reading, const struct rc_json_value *value, const char *name,
                               size_t bytes_max, struct rc_span *out)
{
    struct rc_pusher_post *post = reading->post;
    uint8_t *room = post->text + post->text_used;
    if (value->type == RC_JSON_NONE) {
        return post_fail(reading, 400, "%s is missing", name);
    }
    RC_ASSERT(post->text_used + bytes_max <= post->text_room);
    const int rc = rc_json_string_decode(value, room, bytes_max, out);
    if (rc < 0 || out->count == 0) {
        return post_fail(reading, 400,
                         rc == -EMSGSIZE ? "%s is longer than %zu bytes" : "%s must be a string of 1 to %zu bytes",
                         name, bytes_max);
    }
    post->text_used += out->bytes == room ? out->count : 0;
    return 0;
}

/* --- events ---------------------------------------------------------------------------------------------------------- */

/* Bytes of a string once decoded (of an escaped code point three), of other values as they are written. */
static size_t data_bytes(const struct rc_json_value *data)
{
    const struct rc_span raw = data->raw;
    size_t bytes = raw.count;
    for (size_t i = 0; data->type == RC_JSON_STRING && i + 1 < raw.count; i++) {
        if (raw.bytes[i] == '\\') {
            bytes -= raw.bytes[i + 1] == 'u' ? 3 : 1;
            i++;
        }
    }
    return data->type == RC_JSON_STRING ? bytes - 2 : bytes;
}

/* What the event says, for whichever channel. */
static uint16_t event_read(const struct reading *reading, const struct rc_json_value *found,
                           struct rc_pusher_post_event *event)
{
    struct rc_pusher_post *post = reading->post;
    struct rc_span id;
    struct rc_span info = {0};
    struct rc_client_ref ref;
    uint8_t scratch[64];
    *event = (struct rc_pusher_post_event){.data = found[MEMBER_DATA].raw};
    const uint16_t status = post_text_take(reading, &found[MEMBER_NAME], "name", RC_PUSHER_EVENT_MAX, &event->event);
    if (status != 0) {
        return status;
    }
    if (found[MEMBER_DATA].type == RC_JSON_NONE) {
        return post_fail(reading, 400, "data is missing");
    }
    if (data_bytes(&found[MEMBER_DATA]) > reading->app->max_event_bytes) {
        return post_fail(reading, 413, "the data of this event is larger than the %llu bytes that it may have",
                         (unsigned long long)reading->app->max_event_bytes);
    }
    if (found[MEMBER_INFO].type == RC_JSON_STRING &&
        rc_json_string_decode(&found[MEMBER_INFO], scratch, sizeof(scratch), &info) == 0) {
        event->info = rc_pusher_info_read(info, RC_PUSHER_INFO_COUNTS);
    }
    if (event->info == UINT32_MAX) {
        return post_fail(reading, 400,
                         "info must be \"user_count\", \"subscription_count\" or both with a comma between");
    }
    if (found[MEMBER_SOCKET_ID].type == RC_JSON_NONE || found[MEMBER_SOCKET_ID].type == RC_JSON_NULL) {
        return 0;
    }
    if (rc_json_string_decode(&found[MEMBER_SOCKET_ID], scratch, sizeof(scratch), &id) < 0 ||
        rc_socket_id_read((const char *)id.bytes, id.count, 0, &ref) == RC_CLIENT_ID_INVALID) {
        return post_fail(reading, 400, "socket_id is none: it has digits, a dot and digits");
    }
    uint8_t *out = post->text + post->text_used;
    RC_ASSERT(post->text_used + id.count + 4 <= post->text_room);
    memcpy(out, "[\"", 2);
    memcpy(out + 2, id.bytes, id.count);
    memcpy(out + 2 + id.count, "\"]", 2);
    event->socket_id = rc_span_of(out, id.count + 4);
    post->text_used += id.count + 4;
    return 0;
}

/* The same event for that channel. */
static uint16_t event_for(const struct reading *reading, const struct rc_json_value *channel,
                          const struct rc_pusher_post_event *event)
{
    struct rc_pusher_post *post = reading->post;
    struct rc_pusher_post_event *its = &post->events[post->count];
    struct rc_span name;
    uint8_t scratch[sizeof(RC_PUSHER_USER_CHANNEL) + RC_PUSHER_NAME_MAX + RC_PUSHER_USER_MAX];
    if (channel->type == RC_JSON_NONE) {
        return post_fail(reading, 400, "channel is missing");
    }
    if (rc_json_string_decode(channel, scratch, sizeof(scratch), &name) < 0 || !rc_pusher_channel_valid(name)) {
        return post_fail(reading, 400, "a channel's name has 1 to %u letters, digits and _-=@,.;", RC_PUSHER_NAME_MAX);
    }
    *its = *event;
    its->kind = rc_pusher_kind_of(name);
    char *out = (char *)post->text + post->text_used;
    RC_ASSERT(post->text_used + RC_CHANNEL_NAME_MAX <= post->text_room);
    size_t bytes;
    if (its->kind & RC_PUSHER_USER) {
        const size_t head = sizeof(RC_PUSHER_USER_CHANNEL) - 1;
        char user[RC_CHANNEL_NAME_MAX];
        bytes = rc_pusher_user_write(reading->app, rc_span_of(name.bytes + head, name.count - head), user);
        if (bytes == 0 || rc_channel_name_check(user, bytes, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES) < 0) {
            return post_fail(reading, 400, "the user's id is too long or has characters that are not allowed");
        }
        memcpy(out, RC_USER_CHANNEL_HEAD, RC_USER_CHANNEL_HEAD_BYTES);
        memcpy(out + RC_USER_CHANNEL_HEAD_BYTES, user, bytes);
        bytes += RC_USER_CHANNEL_HEAD_BYTES;
    } else {
        bytes = rc_pusher_channel_write(reading->app, name, out);
        if (bytes == 0) {
            return post_fail(reading, 400, "the channel's name is too long");
        }
    }
    its->channel = rc_span_of(out, bytes);
    post->text_used += bytes;
    post->count++;
    return 0;
}

static uint16_t room_for(const struct reading *reading, uint32_t events)
{
    struct rc_pusher_post *post = reading->post;
    post->text_room = (size_t)events * EVENT_TEXT_MAX + EVENT_TEXT_MAX;
    post->events = calloc(events, sizeof(*post->events));
    post->text = malloc(post->text_room);
    return post->events == NULL || post->text == NULL ? post_fail(reading, 503, "no memory for the events: try again")
                                                      : 0;
}

/* How many elements; *count is 0 when there is none, or it is no array. */
static uint32_t elements_of(const struct rc_json_value *array)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    uint32_t count = 0;
    if (array->type != RC_JSON_ARRAY || rc_json_array_begin(&cursor, array->raw, 0) < 0) {
        return 0;
    }
    while (rc_json_array_next(&cursor, &element) == 1) {
        count++;
    }
    return count;
}

static uint16_t post_event_read(const struct reading *reading, const struct rc_json_value *found)
{
    struct rc_pusher_post_event event;
    struct rc_json_cursor cursor;
    struct rc_json_value channel;
    const bool one = found[MEMBER_CHANNELS].type == RC_JSON_NONE && found[MEMBER_CHANNEL].type != RC_JSON_NONE;
    const uint32_t count = one ? 1 : elements_of(&found[MEMBER_CHANNELS]);
    if (count == 0) {
        return post_fail(reading, 400, "channels must be an array of at least one name");
    }
    if (count > reading->app->max_event_channels) {
        return post_fail(reading, 400, "an event may be for %u channels at most", reading->app->max_event_channels);
    }
    uint16_t status = room_for(reading, count);
    status = status == 0 ? event_read(reading, found, &event) : status;
    if (status != 0 || one) {
        return status != 0 ? status : event_for(reading, &found[MEMBER_CHANNEL], &event);
    }
    (void)rc_json_array_begin(&cursor, found[MEMBER_CHANNELS].raw, 0);
    while (status == 0 && rc_json_array_next(&cursor, &channel) == 1) {
        status = event_for(reading, &channel, &event);
    }
    return status;
}

static uint16_t post_batch_read(const struct reading *reading, const struct rc_json_value *batch)
{
    struct rc_pusher_post_event event;
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    struct rc_json_value found[MEMBERS];
    const uint32_t count = elements_of(batch);
    if (count == 0) {
        return post_fail(reading, 400, "batch must be an array of at least one event");
    }
    if (count > reading->app->max_batch) {
        return post_fail(reading, 400, "a batch may have %u events at most", reading->app->max_batch);
    }
    uint16_t status = room_for(reading, count);
    (void)rc_json_array_begin(&cursor, batch->raw, 0);
    while (status == 0 && rc_json_array_next(&cursor, &element) == 1) {
        status = element.type == RC_JSON_OBJECT ? post_members_read(reading, element.raw, found)
                                                : post_fail(reading, 400, "an event of a batch must be an object");
        status = status == 0 ? event_read(reading, found, &event) : status;
        status = status == 0 ? event_for(reading, &found[MEMBER_CHANNEL], &event) : status;
    }
    return status;
}

uint16_t rc_pusher_post_read(struct rc_pusher_post *post, struct rc_span body, bool batch,
                             const struct rc_config_pusher_app *app, char why[RC_PUSHER_WHY_MAX])
{
    const struct reading reading = {.post = post, .app = app, .why = why};
    struct rc_json_value found[MEMBERS];
    *post = (struct rc_pusher_post){0};
    const uint16_t status = post_members_read(&reading, body, found);
    return status != 0 ? status
           : batch     ? post_batch_read(&reading, &found[MEMBER_BATCH])
                       : post_event_read(&reading, found);
}

void rc_pusher_post_free(struct rc_pusher_post *post)
{
    free(post->events);
    free(post->text);
    *post = (struct rc_pusher_post){0};
}
