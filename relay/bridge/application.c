/* application: see application.h. */
#include "relay/bridge/application.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/bridge.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/channel_name.h"
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

/* The value at "json.name.name", or the whole at "json". -ENOENT: there is none. */
static int application_value_of(struct rc_span json, struct rc_span field, struct rc_json_value *value)
{
    const struct rc_span head = RC_SPAN("json.");
    if (field.count < head.count) {
        return rc_json_scan(json, 0, value, NULL) < 0 ? -ENOENT : 0;
    }
    *value = (struct rc_json_value){.raw = json};
    const uint8_t *at = field.bytes + head.count;
    const uint8_t *end = field.bytes + field.count;
    while (at < end) {
        const uint8_t *dot = memchr(at, '.', (size_t)(end - at));
        const uint8_t *name_end = dot != NULL ? dot : end;
        if (member_of(value->raw, rc_span_of(at, (size_t)(name_end - at)), value) < 0) {
            return -ENOENT;
        }
        at = name_end + (dot != NULL ? 1 : 0);
    }
    return 0;
}

/* What the star stood for, as text that JSON can have. */
static int application_star(const struct rc_application_message *message, uint32_t star, struct rc_span *text)
{
    if (star > message->match.count) {
        return -ENOENT;
    }
    *text = message->match.stars[star - 1];
    return rc_json_utf8_valid(*text) ? 0 : -ENOENT;
}

/* `field` is one of rc_config_bridge_field. */
static int application_field_value(void *context, struct rc_span field, char *out, size_t room)
{
    const struct rc_application_message *message = context;
    const uint32_t star = rc_config_bridge_star(field);
    struct rc_json_value value;
    struct rc_span text;
    if (star == 0) {
        const int rc = application_value_of(message->json, field, &value);
        return rc < 0 ? rc : application_text_of(&value, out, room);
    }
    if (application_star(message, star, &text) < 0) {
        return -ENOENT;
    }
    if (text.count > room) {
        return -EMSGSIZE;
    }
    if (text.count > 0) {
        memcpy(out, text.bytes, text.count);
    }
    return (int)text.count;
}

int rc_application_fill(const struct rc_template *template, const struct rc_application_message *message, char *out,
                        size_t room)
{
    struct rc_application_message copy = *message;
    return rc_template_fill(template, application_field_value, &copy, out, room);
}

static int json_put(uint8_t *out, size_t room, struct rc_span json)
{
    if (json.count > room) {
        return -EMSGSIZE;
    }
    memcpy(out, json.bytes, json.count);
    return (int)json.count;
}

int rc_application_argument(const struct rc_template *template, const struct rc_application_message *message,
                            uint8_t *out, uint8_t *scratch, size_t room)
{
    if (template->part_count == 1 && template->parts[0].field && rc_config_bridge_star(template->parts[0].text) == 0) {
        struct rc_json_value value;
        const bool there = application_value_of(message->json, template->parts[0].text, &value) == 0;
        return json_put(out, room, there ? value.raw : RC_SPAN("null"));
    }
    const int bytes = rc_application_fill(template, message, (char *)scratch, room);
    if (bytes < 0) {
        return bytes;
    }
    const size_t encoded = rc_json_string_encode(out, room, rc_span_of(scratch, (size_t)bytes));
    return encoded == 0 ? -EMSGSIZE : (int)encoded;
}

/* --- messages -------------------------------------------------------------------------------------------------------- */

static void application_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

const char *rc_application_room(const struct rc_application_bridge *one, const struct rc_application_message *message,
                                struct rc_application_destination *to)
{
    char room[RC_CHANNEL_NAME_MAX];
    char nsp[RC_NSP_MAX];
    const int nsp_bytes = rc_application_fill(&one->nsp, message, nsp, sizeof(nsp));
    if (nsp_bytes < 0 || !rc_config_nsp_valid(rc_span_of(nsp, (size_t)nsp_bytes))) {
        return nsp_bytes == -ENOENT ? "a field of nsp is missing" : "nsp is no namespace's name";
    }
    const int room_bytes = rc_application_fill(&one->room, message, room, sizeof(room));
    if (room_bytes < 0) {
        return room_bytes == -EMSGSIZE ? "the room's name is too long" : "a field of the room is missing";
    }
    const struct rc_span name = rc_span_of(room, (size_t)room_bytes);
    const bool everybody = rc_span_equal(name, RC_SPAN("*"));
    if (rc_channel_name_check(room, name.count, one->application->name_bytes_max) < 0) {
        return "the room is no channel name";
    }
    to->everywhere = everybody && nsp_bytes == 1;
    if (to->everywhere) {
        to->channel_bytes = 1;
        to->channel[0] = '*';
        return NULL;
    }
    to->channel_bytes = (uint32_t)rc_channel_of_room(
        to->channel, sizeof(to->channel), rc_span_of(nsp, (size_t)nsp_bytes), everybody ? rc_span_of(NULL, 0) : name);
    return to->channel_bytes == 0 ? "the room's name is too long" : NULL;
}

const char *rc_application_event(const struct rc_application_bridge *one, const struct rc_application_message *message,
                                 struct rc_application_destination *to)
{
    const int bytes = rc_application_fill(&one->event, message, to->event, sizeof(to->event));
    if (bytes < 0) {
        return bytes == -EMSGSIZE ? "the event's name is too long" : "a field of the event is missing";
    }
    to->event_bytes = (uint32_t)bytes;
    return NULL;
}

/* Whom it came from is only somebody here: other instances' sockets are excepted there. */
static void destination_except(const struct rc_application_bridge *one, const struct rc_application_message *message,
                               struct rc_application_destination *to)
{
    char text[RC_CHANNEL_NAME_MAX];
    struct rc_sid sid;
    const int bytes = rc_application_fill(&one->except, message, text, sizeof(text));
    to->excepts = bytes > 0 && rc_sid_read(&sid, rc_span_of(text, (size_t)bytes)) &&
                  rc_sid_is_of(&sid, one->application->instance);
    to->except = to->excepts ? sid.client : (struct rc_client_ref){0};
}

/* The arguments as data of a record. */
static const char *application_args(const struct rc_application_bridge *one,
                                    const struct rc_application_message *message, struct rc_span *data)
{
    struct rc_application *application = one->application;
    const size_t room = application->bridge->wire->message_bytes_max;
    if (!rc_scratch_room(&application->args, RC_ARGS_BEFORE_MAX + room) || !rc_scratch_room(&application->text, room)) {
        return "no memory";
    }
    uint8_t *const json = application->args.bytes + RC_ARGS_BEFORE_MAX;
    size_t used = 0;
    for (uint32_t i = 0; i < one->config->args_count; i++) {
        if (room - used < 2) {
            return "larger than limits.max_message_size";
        }
        json[used++] = i == 0 ? '[' : ',';
        const int bytes =
            rc_application_argument(&one->args[i], message, json + used, application->text.bytes, room - used - 1);
        if (bytes < 0) {
            return bytes == -ENOENT ? "a field of args is missing" : "larger than limits.max_message_size";
        }
        used += (size_t)bytes;
    }
    json[used++] = ']';
    *data = rc_args_wrap(json, used, room - used, NULL, 0);
    return NULL;
}

/* Why the message is nothing for this bridge; NULL when it was handed to the workers that want it. */
static const char *application_pass(const struct rc_application_bridge *one,
                                    const struct rc_application_message *message)
{
    const struct rc_bridge *bridge = one->application->bridge;
    struct rc_application_destination to;
    struct rc_span data = message->json;
    const char *why = rc_application_room(one, message, &to);
    if (why != NULL) {
        return why;
    }
    /* Protocols without events do not show it; a message that lacks it is refused all the same: all clients get the same. */
    why = rc_application_event(one, message, &to);
    if (why != NULL) {
        return why;
    }
    destination_except(one, message, &to);
    if (one->config->args_count > 0 && (why = application_args(one, message, &data)) != NULL) {
        return why;
    }
    const struct rc_foreign_message out = {.channel = rc_span_of(to.channel, to.channel_bytes),
                                           .event = rc_span_of(to.event, to.event_bytes),
                                           .data = data,
                                           .flags = (to.everywhere ? RC_ENVELOPE_BROADCAST : 0u) |
                                                    (one->config->retain && !to.everywhere ? RC_ENVELOPE_RETAIN : 0u) |
                                                    (one->config->args_count > 0 ? RC_ENVELOPE_ARGS : 0u),
                                           .except = to.excepts ? &to.except : NULL};
    return rc_foreign_deliver(bridge, &out) == -EMSGSIZE ? "larger than limits.max_message_size" : NULL;
}

static const char *application_redis(const struct rc_config_bridge *config)
{
    return config->redis.text[0] != '\0' ? config->redis.text : config->pattern.text;
}

static void application_take(const struct rc_application_bridge *first, struct rc_span channel, struct rc_span message)
{
    const struct rc_bridge *bridge = first->application->bridge;
    const char *what = application_redis(first->config);
    struct rc_application_message its = {.json = rc_span_of(NULL, 0)};
    struct rc_json_value value = {.type = RC_JSON_NONE};
    int rc = -EMSGSIZE;
    if (rc_foreign_received(bridge, what, message)) {
        rc = rc_json_scan(message, RC_JSON_CHECK_UTF8, &value, NULL);
        if (rc < 0) {
            rc_foreign_refused(bridge, what, message, rc, "not JSON");
        }
    }
    its.json = value.raw;
    if (first->config->pattern.text[0] != '\0') {
        (void)rc_glob_match(rc_span_text(first->config->pattern.text), channel, &its.match); /* as Redis has found */
    }
    for (const struct rc_application_bridge *one = first; one != NULL; one = one->same) {
        const char *why = rc < 0 ? "refused" : application_pass(one, &its);
        application_count(why == NULL ? &one->counters->messages : &one->counters->errors);
        if (rc == 0 && why != NULL) {
            rc_log_limited(RC_LOG_WARN, 1, "bridge_message_dropped",
                           "channel=\"%s\" room=\"%s\" bytes=%zu reason=\"%s\"", what, one->config->room.text,
                           message.count, why);
        }
    }
}

static void application_received(void *context, struct rc_span channel, struct rc_span message)
{
    application_take(context, channel, message);
}

/* Does ringcast itself, or a Socket.IO server, speak on that channel? */
static bool application_is_own(const struct rc_application *application, struct rc_span channel)
{
    const struct rc_span key = rc_span_text(application->adapter_key.text);
    const size_t head = key.count > 0 && rc_span_starts_with(channel, key) ? key.count : channel.count;
    const struct rc_span behind = rc_span_of(channel.bytes + head, channel.count - head);
    return rc_span_starts_with(channel, RC_SPAN("ws:")) || rc_span_equal(channel, RC_SPAN("websocket:notifications")) ||
           (application->python_channel.text[0] != '\0' &&
            rc_span_equal(channel, rc_span_text(application->python_channel.text))) ||
           rc_span_starts_with(behind, RC_SPAN("#")) || rc_span_starts_with(behind, RC_SPAN("-request#")) ||
           rc_span_starts_with(behind, RC_SPAN("-response#"));
}

static void application_matched(void *context, struct rc_span channel, struct rc_span message)
{
    const struct rc_application_bridge *first = context;
    if (!application_is_own(first->application, channel)) {
        application_take(first, channel, message);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static struct rc_application_bridge *application_find(struct rc_application *application,
                                                      const struct rc_config_bridge *config)
{
    for (uint32_t i = 0; i < application->bridge_count; i++) {
        if (strcmp(application->configs[i].redis.text, config->redis.text) == 0 &&
            strcmp(application->configs[i].pattern.text, config->pattern.text) == 0) {
            return &application->bridges[i];
        }
    }
    return NULL;
}

/* They were compiled when the file was read. */
static int application_compile(struct rc_application_bridge *one, struct rc_err *err)
{
    const struct rc_config_bridge *config = one->config;
    const struct {
        struct rc_template *template;
        const char *text;
    } texts[] = {{&one->room, config->room.text},
                 {&one->event, config->event.text},
                 {&one->nsp, config->nsp.text},
                 {&one->except, config->except.text}};
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < RC_ARRAY_COUNT(texts); i++) {
        rc = rc_template_compile(texts[i].template, texts[i].text, rc_config_bridge_field, err);
    }
    for (uint32_t i = 0; rc == 0 && i < config->args_count; i++) {
        rc = rc_template_compile(&one->args[i], config->args[i].text, rc_config_bridge_field, err);
    }
    return rc;
}

static void application_add(struct rc_application *application, const struct rc_config_bridge *config,
                            struct rc_bridge_counters *counters)
{
    struct rc_application_bridge *same = application_find(application, config);
    const uint32_t index = application->bridge_count;
    struct rc_application_bridge *one = &application->bridges[index];
    struct rc_err err;
    application->configs[index] = *config;
    config = &application->configs[index];
    *one = (struct rc_application_bridge){.config = config, .counters = counters, .application = application};
    if (application_compile(one, &err) < 0) {
        rc_log_error("bridge_refused", "redis=\"%s\" reason=\"%s\"", application_redis(config), err.text);
        return;
    }
    application->bridge_count++;
    if (same != NULL) {
        one->same = same->same;
        same->same = one;
        return;
    }
    const bool pattern = config->pattern.text[0] != '\0';
    one->subscription = (struct rc_redis_subscription){.name = pattern ? config->pattern.text : config->redis.text,
                                                       .pattern = pattern,
                                                       .message = pattern ? application_matched : application_received,
                                                       .context = one};
    rc_redis_subscribe(application->bridge->link, &one->subscription);
}

void rc_application_open(struct rc_application *application, const struct rc_bridge *bridge,
                         const struct rc_config *config, struct rc_bridge_counters *counters)
{
    application->bridge = bridge;
    application->bridge_count = 0;
    application->python_channel = config->socketio.python_channel;
    application->adapter_key = config->socketio.adapter_key;
    if (config->socketio.adapter == RC_ADAPTER_NONE) {
        application->adapter_key.text[0] = '\0';
    }
    application->args = (struct rc_scratch){0};
    application->text = (struct rc_scratch){0};
    rc_sid_instance(application->instance, bridge->wire->instance_id);
    rc_application_configure(application, config);
    for (uint32_t i = 0; i < config->bridge_count; i++) {
        application_add(application, &config->bridges[i], &counters[i]);
    }
}

void rc_application_configure(struct rc_application *application, const struct rc_config *config)
{
    application->name_bytes_max = config->limits.max_channel_name;
}

void rc_application_close(struct rc_application *application)
{
    free(application->args.bytes);
    free(application->text.bytes);
    application->args = (struct rc_scratch){0};
    application->text = (struct rc_scratch){0};
}
