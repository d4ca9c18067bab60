/* application: see application.h. */
#include "relay/bridge/application.h"

#include <errno.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"
#include "relay/bridge/foreign.h"

/* The name of a member must be shorter than this to be found (rc_json_string_is). */
#define MEMBER_BYTES_MAX 63u

/* --- templates ------------------------------------------------------------------------------------------------------- */

/* The last member of that name. -ENOENT. */
static int member_of(struct rc_span object, struct rc_span name, struct rc_json_value *out)
{
    struct rc_json_cursor cursor;
    struct rc_json_value member;
    struct rc_json_value value;
    bool found = false;
    if (name.count > MEMBER_BYTES_MAX || rc_json_peek(object) != RC_JSON_OBJECT) {
        return -ENOENT;
    }
    int got = rc_json_object_begin(&cursor, object, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &member, &value)) == 1) {
        if (rc_json_string_is(&member, name)) {
            *out = value;
            found = true;
        }
    }
    return found ? 0 : -ENOENT;
}

static int application_text_of(const struct rc_json_value *value, char *out, size_t room)
{
    struct rc_span text = value->raw;
    if (value->type == RC_JSON_STRING) {
        const int rc = rc_json_string_decode(value, (uint8_t *)out, room, &text);
        if (rc < 0) {
            return rc == -EMSGSIZE ? rc : -ENOENT;
        }
    } else if (value->type != RC_JSON_NUMBER && value->type != RC_JSON_TRUE && value->type != RC_JSON_FALSE) {
        return -ENOENT;
    }
    if (text.count > room) {
        return -EMSGSIZE;
    }
    memmove(out, text.bytes, text.count);
    return (int)text.count;
}

/* `field` is "json.name.name": rc_template_known_json. */
static int application_field_value(void *context, struct rc_span field, char *out, size_t room)
{
    struct rc_json_value value = {.raw = *(const struct rc_span *)context};
    const uint8_t *at = field.bytes + strlen("json.");
    const uint8_t *end = field.bytes + field.count;
    while (at < end) {
        const uint8_t *dot = memchr(at, '.', (size_t)(end - at));
        const uint8_t *name_end = dot != NULL ? dot : end;
        if (member_of(value.raw, rc_span_of(at, (size_t)(name_end - at)), &value) < 0) {
            return -ENOENT;
        }
        at = name_end + (dot != NULL ? 1 : 0);
    }
    return application_text_of(&value, out, room);
}

int rc_application_fill(const struct rc_template *template, struct rc_span json, char *out, size_t room)
{
    return rc_template_fill(template, application_field_value, &json, out, room);
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

static void application_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* Why the message is nothing for this bridge; NULL when it was handed to the workers that want it. */
static const char *application_pass(const struct rc_application_bridge *one, struct rc_span json)
{
    const struct rc_application *application = one->application;
    char room[RC_CHANNEL_NAME_MAX];
    char event[RC_EVENT_NAME_MAX];
    const int room_bytes = rc_application_fill(&one->room, json, room, sizeof(room));
    if (room_bytes < 0) {
        return room_bytes == -EMSGSIZE ? "the room's name is too long" : "a field of the room is missing";
    }
    if (rc_channel_name_check(room, (size_t)room_bytes, application->name_bytes_max) < 0) {
        return "the room is no channel name";
    }
    /* Protocols without events do not show it; a message that lacks it is refused all the same: all clients get the same. */
    const int event_bytes = rc_application_fill(&one->event, json, event, sizeof(event));
    if (event_bytes < 0) {
        return event_bytes == -EMSGSIZE ? "the event's name is too long" : "a field of the event is missing";
    }
    const struct rc_span channel = rc_span_of(room, (size_t)room_bytes);
    const bool everybody = rc_span_equal(channel, RC_SPAN("*"));
    const int rc = rc_foreign_deliver(application->bridge, channel, rc_span_of(event, (size_t)event_bytes), json,
                                      (everybody ? RC_ENVELOPE_BROADCAST : 0u) |
                                          (one->config->retain && !everybody ? RC_ENVELOPE_RETAIN : 0u));
    return rc == -EMSGSIZE ? "larger than limits.max_message_size" : NULL;
}

static void application_received(void *context, struct rc_span channel, struct rc_span message)
{
    const struct rc_application_bridge *first = context;
    const struct rc_bridge *bridge = first->application->bridge;
    const char *what = first->config->redis.text;
    struct rc_json_value value = {.type = RC_JSON_NONE};
    (void)channel;
    int rc = -EMSGSIZE;
    if (rc_foreign_received(bridge, what, message)) {
        rc = rc_json_scan(message, RC_JSON_CHECK_UTF8, &value, NULL);
        if (rc < 0) {
            rc_foreign_refused(bridge, what, message, rc, "not JSON");
        }
    }
    for (const struct rc_application_bridge *one = first; one != NULL; one = one->same) {
        const char *why = rc < 0 ? "refused" : application_pass(one, value.raw);
        application_count(why == NULL ? &one->counters->messages : &one->counters->errors);
        if (rc == 0 && why != NULL) {
            rc_log_limited(RC_LOG_WARN, 1, "bridge_message_dropped",
                           "channel=\"%s\" room=\"%s\" bytes=%zu reason=\"%s\"", what, one->config->room.text,
                           message.count, why);
        }
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static struct rc_application_bridge *application_find(struct rc_application *application, const char *redis)
{
    for (uint32_t i = 0; i < application->bridge_count; i++) {
        if (strcmp(application->configs[i].redis.text, redis) == 0) {
            return &application->bridges[i];
        }
    }
    return NULL;
}

static void application_add(struct rc_application *application, const struct rc_config_bridge *config,
                            struct rc_bridge_counters *counters)
{
    struct rc_application_bridge *same = application_find(application, config->redis.text);
    const uint32_t index = application->bridge_count;
    struct rc_application_bridge *one = &application->bridges[index];
    struct rc_err err;
    application->configs[index] = *config;
    config = &application->configs[index];
    *one = (struct rc_application_bridge){.config = config, .counters = counters, .application = application};
    /* Both were compiled when the file was read. */
    if (rc_template_compile(&one->room, config->room.text, rc_template_known_json, &err) < 0 ||
        rc_template_compile(&one->event, config->event.text, rc_template_known_json, &err) < 0) {
        rc_log_error("bridge_refused", "redis=\"%s\" reason=\"%s\"", config->redis.text, err.text);
        return;
    }
    application->bridge_count++;
    if (same != NULL) {
        one->same = same->same;
        same->same = one;
        return;
    }
    one->subscription =
        (struct rc_redis_subscription){.name = config->redis.text, .message = application_received, .context = one};
    rc_redis_subscribe(application->bridge->link, &one->subscription);
}

void rc_application_open(struct rc_application *application, const struct rc_bridge *bridge,
                         const struct rc_config *config, struct rc_bridge_counters *counters)
{
    application->bridge = bridge;
    application->bridge_count = 0;
    rc_application_configure(application, config);
    for (uint32_t i = 0; i < config->bridge_count; i++) {
        application_add(application, &config->bridges[i], &counters[i]);
    }
}

void rc_application_configure(struct rc_application *application, const struct rc_config *config)
{
    application->name_bytes_max = config->limits.max_channel_name;
}
