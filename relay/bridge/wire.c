/* wire: see wire.h. */
#include "relay/bridge/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/args.h"
#include "common/records/socket_id.h"
#include "common/text/decimal.h"
#include "common/text/base64.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"

/* Every excluded client of a message with quotes and comma, what stands before and behind them (key and event too), and the binary head
 * with the sizes of attachments. */
#define TEXT_BYTES                                                                   \
    (RC_EXCLUDES_MAX * (RC_CLIENT_ID_MAX + 4) + 2 * RC_EXCLUDE_TEXT_MAX +            \
     RC_JSON_STRING_BYTES_MAX(RC_EVENT_NAME_MAX) +                                   \
     2 * RC_SELECT_NAMES_MAX * (RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX) + 1) + \
     RC_ARGS_ATTACHMENTS_MAX * sizeof(uint32_t) + 1024)
/* What a message may have around its payload before it is not even looked at. */
#define AROUND_BYTES_MAX (1u << 20)

int rc_wire_open(struct rc_wire *wire, const char *instance_id, uint32_t boot_nonce, uint64_t message_bytes_max,
                 struct rc_metrics *metrics)
{
    *wire = (struct rc_wire){.instance_id = instance_id,
                             .boot_nonce = boot_nonce,
                             .message_bytes_max = message_bytes_max,
                             .metrics = metrics};
    const int bytes = snprintf(wire->own_head, sizeof(wire->own_head), "{\"sourceInstance\":\"%s\",", instance_id);
    RC_ASSERT(bytes > 0 && (size_t)bytes < sizeof(wire->own_head)); /* an instance id has no character to escape */
    wire->own_head_bytes = (uint32_t)bytes;
    wire->text = malloc(TEXT_BYTES);
    return wire->text != NULL ? 0 : -ENOMEM;
}

void rc_wire_close(struct rc_wire *wire)
{
    rc_seen_free(&wire->seen);
    free(wire->text);
    free(wire->args);
    wire->text = NULL;
    wire->args = NULL;
    wire->args_room = 0;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* What both forms come down to. */
struct parsed {
    struct rc_span source;
    struct rc_span payload;
    struct rc_span key;   /* in wire->key, or in the message */
    struct rc_span event; /* in wire->event, or in the message */
    bool has_payload;
    bool binary;
    bool args; /* the payload is the JSON text, an array */
    bool is_volatile;
    uint64_t passed;
    uint64_t retain_ms; /* it is kept as a retained value, of this time; 0 = it is not */
    uint32_t attachment_count;
    struct rc_span sizes;       /* of the attachments, big endian */
    struct rc_span attachments; /* back to back */
    uint64_t boot;
    uint64_t sequence;
    uint32_t exclude_count;
    uint32_t excludes_cut;
    char source_text[RC_INSTANCE_ID_MAX];
};

static void wire_exclude(struct rc_wire *wire, struct parsed *parsed, struct rc_span id)
{
    struct rc_client_ref ref;
    if (rc_any_client_id_read((const char *)id.bytes, id.count, wire->instance_id, wire->boot_nonce, &ref) !=
        RC_CLIENT_ID_LOCAL) {
        return; /* another host's, or nobody's */
    }
    if (parsed->exclude_count == RC_EXCLUDES_MAX) {
        parsed->excludes_cut++;
        return;
    }
    wire->refs[parsed->exclude_count++] = ref;
}

static int json_excludes(struct rc_wire *wire, struct parsed *parsed, const struct rc_json_value *list)
{
    struct rc_json_cursor cursor;
    struct rc_json_value item;
    parsed->exclude_count = parsed->excludes_cut = 0;
    if (list->type == RC_JSON_NULL) {
        return 0;
    }
    int got = rc_json_array_begin(&cursor, list->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &item)) == 1) {
        uint8_t text[RC_CLIENT_ID_MAX];
        struct rc_span id;
        if (item.type != RC_JSON_STRING) {
            return -EBADMSG;
        }
        if (rc_json_string_decode(&item, text, sizeof(text), &id) == 0) {
            wire_exclude(wire, parsed, id); /* what does not decode or is longer is nobody's id */
        }
    }
    return got;
}

/* A name that is too long, or one too many, is nobody's: then the message is not for somebody whom we do not know, and goes to nobody. */
static int wire_name(struct rc_span name, char names[RC_SELECT_NAMES_BYTES], uint32_t *bytes)
{
    const bool good = name.count <= RC_CHANNEL_NAME_MAX && memchr(name.bytes, 0, name.count) == NULL &&
                      rc_select_name_put(names, RC_SELECT_NAMES_BYTES, bytes, name);
    return good ? 0 : -EBADMSG;
}

static int json_names(const struct rc_json_value *list, char names[RC_SELECT_NAMES_BYTES], uint32_t *bytes)
{
    struct rc_json_cursor cursor;
    struct rc_json_value item;
    *bytes = 0;
    if (list->type == RC_JSON_NULL) {
        return 0;
    }
    int got = rc_json_array_begin(&cursor, list->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &item)) == 1) {
        uint8_t text[RC_CHANNEL_NAME_MAX];
        struct rc_span name;
        if (item.type != RC_JSON_STRING || rc_json_string_decode(&item, text, sizeof(text), &name) != 0 ||
            wire_name(name, names, bytes) < 0) {
            return -EBADMSG;
        }
    }
    return got;
}

static int json_member(struct rc_wire *wire, struct parsed *parsed, const struct rc_json_value *name,
                       const struct rc_json_value *value)
{
    if (rc_json_string_is(name, RC_SPAN("payload"))) {
        parsed->payload = value->raw;
        parsed->has_payload = true;
    } else if (rc_json_string_is(name, RC_SPAN("sourceInstance"))) {
        parsed->source = (struct rc_span){0};
        if (value->type == RC_JSON_STRING) {
            /* A longer one is not an instance of ours: as good as none. */
            (void)rc_json_string_decode(value, (uint8_t *)parsed->source_text, sizeof(parsed->source_text),
                                        &parsed->source);
        } else if (value->type != RC_JSON_NULL) {
            return -EBADMSG;
        }
    } else if (rc_json_string_is(name, RC_SPAN("excludeIds"))) {
        return json_excludes(wire, parsed, value);
    } else if (rc_json_string_is(name, RC_SPAN("except"))) {
        return json_names(value, wire->except, &wire->except_bytes);
    } else if (rc_json_string_is(name, RC_SPAN("rooms"))) {
        return json_names(value, wire->rooms, &wire->rooms_bytes);
    } else if (rc_json_string_is(name, RC_SPAN("key"))) {
        parsed->key = (struct rc_span){0};
        return value->type == RC_JSON_NULL ? 0
                                           : rc_json_string_decode(value, wire->key, sizeof(wire->key), &parsed->key);
    } else if (rc_json_string_is(name, RC_SPAN("event"))) {
        parsed->event = (struct rc_span){0};
        /* What is no name was ignored before messages had any, and is. */
        (void)rc_json_string_decode(value, wire->event, sizeof(wire->event), &parsed->event);
    } else if (rc_json_string_is(name, RC_SPAN("args"))) {
        parsed->args = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("volatile"))) {
        parsed->is_volatile = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("retain"))) {
        parsed->retain_ms = 0;
        (void)rc_json_uint64(value, &parsed->retain_ms);
    } else if (rc_json_string_is(name, RC_SPAN("passed"))) {
        (void)rc_json_uint64(value, &parsed->passed);
    } else if (rc_json_string_is(name, RC_SPAN("boot"))) {
        (void)rc_json_uint64(value, &parsed->boot);
    } else if (rc_json_string_is(name, RC_SPAN("seq")) || rc_json_string_is(name, RC_SPAN("once"))) {
        (void)rc_json_uint64(value, &parsed->sequence);
    }
    return 0;
}

static int read_json(struct rc_wire *wire, struct parsed *parsed, struct rc_span message)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int got = rc_json_object_begin(&cursor, message, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        got = json_member(wire, parsed, &name, &value);
    }
    if (got >= 0 && parsed->args && parsed->has_payload && rc_json_peek(parsed->payload) != RC_JSON_ARRAY) {
        return -EBADMSG;
    }
    return got < 0 ? got : 0;
}

/* What is behind the head: arguments with attachments. */
static int read_binary_args(struct parsed *parsed, struct rc_span rest)
{
    uint64_t json_bytes;
    uint64_t count;
    uint64_t total = 0;
    if (!rc_bytes_take_be(&rest, 4, &json_bytes) || !rc_bytes_take_be(&rest, 2, &count) ||
        count > RC_ARGS_ATTACHMENTS_MAX || !rc_bytes_take(&rest, (size_t)count * 4, &parsed->sizes) ||
        !rc_bytes_take(&rest, (size_t)json_bytes, &parsed->payload)) {
        return -EBADMSG;
    }
    struct rc_span sizes = parsed->sizes;
    uint64_t size;
    while (rc_bytes_take_be(&sizes, 4, &size)) {
        total += size;
    }
    if (total != rest.count) {
        return -EBADMSG;
    }
    parsed->attachment_count = (uint32_t)count;
    parsed->attachments = rest;
    parsed->args = true;
    return 0;
}

static int read_binary_payload(struct parsed *parsed, struct rc_span rest, uint64_t flags)
{
    struct rc_json_value value;
    parsed->has_payload = true;
    parsed->payload = rest;
    if ((flags & RC_WIRE_FLAG_ARGS) != 0) {
        const int rc = read_binary_args(parsed, rest);
        if (rc < 0) {
            return rc;
        }
    } else if ((flags & RC_WIRE_FLAG_TEXT) == 0) {
        parsed->binary = true;
        return 0;
    }
    const int rc = rc_json_scan(parsed->payload, RC_JSON_CHECK_UTF8, &value, NULL);
    parsed->payload = value.raw;
    return rc == 0 && parsed->args && value.type != RC_JSON_ARRAY ? -EBADMSG : rc;
}

static int binary_names(struct rc_span *rest, char names[RC_SELECT_NAMES_BYTES], uint32_t *bytes)
{
    uint64_t count;
    struct rc_span name;
    if (!rc_bytes_take_be(rest, 2, &count)) {
        return -EBADMSG;
    }
    for (; count > 0; count--) {
        if (!rc_bytes_take_counted(rest, 1, &name) || !rc_json_utf8_valid(name) || wire_name(name, names, bytes) < 0) {
            return -EBADMSG;
        }
    }
    return 0;
}

static int read_binary(struct rc_wire *wire, struct parsed *parsed, struct rc_span rest)
{
    const uint64_t known = RC_WIRE_FLAG_TEXT | RC_WIRE_FLAG_KEY | RC_WIRE_FLAG_EVENT | RC_WIRE_FLAG_ARGS |
                           RC_WIRE_FLAG_VOLATILE | RC_WIRE_FLAG_EXCEPT | RC_WIRE_FLAG_RETAIN | RC_WIRE_FLAG_PASSED;
    uint64_t mark;
    uint64_t flags;
    uint64_t count;
    if (!rc_bytes_take_be(&rest, 1, &mark) || !rc_bytes_take_be(&rest, 1, &flags) || (flags & ~known) != 0 ||
        (mark == RC_WIRE_BINARY_ROOMS && binary_names(&rest, wire->rooms, &wire->rooms_bytes) < 0) ||
        !rc_bytes_take_counted(&rest, 1, &parsed->source) || !rc_bytes_take_be(&rest, 4, &parsed->boot) ||
        !rc_bytes_take_be(&rest, 8, &parsed->sequence) || !rc_bytes_take_be(&rest, 2, &count)) {
        return -EBADMSG;
    }
    for (; count > 0; count--) {
        struct rc_span id;
        if (!rc_bytes_take_counted(&rest, 1, &id)) {
            return -EBADMSG;
        }
        wire_exclude(wire, parsed, id);
    }
    if ((flags & RC_WIRE_FLAG_KEY) != 0 &&
        (!rc_bytes_take_counted(&rest, 1, &parsed->key) || parsed->key.count > RC_MESSAGE_KEY_MAX)) {
        return -EBADMSG;
    }
    if ((flags & RC_WIRE_FLAG_EVENT) != 0 &&
        (!rc_bytes_take_counted(&rest, 1, &parsed->event) || !rc_json_utf8_valid(parsed->event))) {
        return -EBADMSG;
    }
    if ((flags & RC_WIRE_FLAG_EXCEPT) != 0 && binary_names(&rest, wire->except, &wire->except_bytes) < 0) {
        return -EBADMSG;
    }
    if ((flags & RC_WIRE_FLAG_RETAIN) != 0 && !rc_bytes_take_be(&rest, 8, &parsed->retain_ms)) {
        return -EBADMSG;
    }
    if ((flags & RC_WIRE_FLAG_PASSED) != 0 && !rc_bytes_take_be(&rest, 1, &parsed->passed)) {
        return -EBADMSG;
    }
    parsed->is_volatile = (flags & RC_WIRE_FLAG_VOLATILE) != 0;
    return read_binary_payload(parsed, rest, flags);
}

static enum rc_wire_result wire_refuse(struct rc_wire *wire, enum rc_wire_result result, const char *what, size_t bytes,
                                       const char *why)
{
    rc_metric_add(wire->metrics, result == RC_WIRE_TOO_LARGE ? RC_METRIC_REDIS_TOO_LARGE : RC_METRIC_REDIS_MALFORMED,
                  1);
    rc_log_limited(RC_LOG_WARN, 1, "redis_message_dropped", "channel=\"%s\" bytes=%zu reason=\"%s\"", what, bytes, why);
    return result;
}

static enum rc_wire_result wire_own(struct rc_wire *wire)
{
    rc_metric_add(wire->metrics, RC_METRIC_REDIS_ECHOES, 1);
    return RC_WIRE_OWN;
}

/* Arguments as a record has them; empty: no memory. */
static struct rc_span wire_args(struct rc_wire *wire, const struct parsed *parsed)
{
    struct rc_span list[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_span sizes = parsed->sizes;
    struct rc_span rest = parsed->attachments;
    uint64_t size;
    for (uint32_t i = 0; i < parsed->attachment_count; i++) {
        if (!rc_bytes_take_be(&sizes, 4, &size) || !rc_bytes_take(&rest, (size_t)size, &list[i])) {
            return (struct rc_span){0}; /* read_binary_args has looked */
        }
    }
    const size_t bytes =
        rc_args_bytes(parsed->payload.count, 0, NULL) + parsed->sizes.count + parsed->attachments.count;
    if (bytes > wire->args_room) {
        uint8_t *more = realloc(wire->args, bytes);
        if (more == NULL) {
            return (struct rc_span){0};
        }
        wire->args = more;
        wire->args_room = bytes;
    }
    rc_args_write(wire->args, parsed->payload, list, parsed->attachment_count);
    return rc_span_of(wire->args, bytes);
}

uint32_t rc_wire_identity(struct rc_span instance, uint64_t boot, uint64_t sequence)
{
    uint8_t text[RC_INSTANCE_ID_MAX + sizeof(boot) + sizeof(sequence)] = {0};
    memcpy(text, &boot, sizeof(boot));
    memcpy(text + sizeof(boot), &sequence, sizeof(sequence));
    memcpy(text + sizeof(boot) + sizeof(sequence), instance.bytes,
           instance.count <= RC_INSTANCE_ID_MAX ? instance.count : RC_INSTANCE_ID_MAX);
    return (uint32_t)rc_hash_public(text, sizeof(text)) | 1u;
}

/* An instance says that it has kept the message: so is it here, of the same time. */
static void fill_retain(struct rc_wire *wire, const struct parsed *parsed, struct rc_envelope_view *view)
{
    if (parsed->retain_ms == 0 || parsed->retain_ms > RC_WIRE_RETAIN_MS_MAX || parsed->source.count == 0 ||
        parsed->source.count > sizeof(wire->source)) {
        return;
    }
    for (size_t i = 0; i < parsed->source.count; i++) {
        const uint8_t byte = parsed->source.bytes[i];
        if (rc_base64url_value(byte) < 0 && byte != '.') {
            return; /* no instance's name */
        }
    }
    memcpy(wire->source, parsed->source.bytes, parsed->source.count);
    view->head.flags = (uint16_t)(view->head.flags | RC_ENVELOPE_RETAIN);
    view->head.token = parsed->retain_ms;
    view->request_id = (const uint8_t *)wire->source;
    view->head.request_id_bytes = (uint8_t)parsed->source.count;
}

static void wire_fill(struct rc_wire *wire, const struct parsed *parsed, struct rc_span data,
                      struct rc_envelope_view *view)
{
    const uint32_t kind = (parsed->args     ? RC_ENVELOPE_ARGS
                           : parsed->binary ? RC_ENVELOPE_BINARY
                                            : 0u) |
                          (parsed->is_volatile ? RC_ENVELOPE_VOLATILE : 0u);
    *view = (struct rc_envelope_view){
        .head = {.time_ns = rc_clock_ns(),
                 .data_bytes = (uint32_t)data.count,
                 .flags = (uint16_t)(RC_ENVELOPE_REMOTE | kind),
                 .exclude_count = (uint16_t)parsed->exclude_count,
                 .key_bytes = (uint8_t)parsed->key.count,
                 .event_bytes = (uint8_t)parsed->event.count,
                 .passed = (uint8_t)(parsed->passed < UINT8_MAX ? parsed->passed : UINT8_MAX)},
        .key = parsed->key.bytes,
        .event = (const char *)parsed->event.bytes,
        .excludes = (const uint8_t *)wire->refs,
        .data = data.bytes,
    };
    if (parsed->source.count > 0 && parsed->sequence != 0) {
        view->head.token = rc_wire_identity(parsed->source, parsed->boot, parsed->sequence);
    }
    fill_retain(wire, parsed, view);
}

/* Who sent it, for those whom it concerns beyond the message. */
static void keep_sender(struct rc_wire *wire, const struct parsed *parsed)
{
    wire->from_bytes = (uint8_t)(parsed->source.count <= sizeof(wire->from) ? parsed->source.count : 0);
    if (wire->from_bytes > 0) {
        memcpy(wire->from, parsed->source.bytes, wire->from_bytes);
    }
    wire->boot = parsed->boot;
    wire->sequence = parsed->sequence;
}

/* 0, or RC_WIRE_MALFORMED, RC_WIRE_TOO_LARGE. */
static enum rc_wire_result wire_parse(struct rc_wire *wire, struct rc_span message, const char *what,
                                      struct parsed *parsed)
{
    wire->rooms_bytes = wire->except_bytes = 0;
    if (message.count > wire->message_bytes_max + AROUND_BYTES_MAX) {
        return wire_refuse(wire, RC_WIRE_TOO_LARGE, what, message.count, "larger than limits.max_message_size");
    }
    const bool binary =
        message.count > 0 && (message.bytes[0] == RC_WIRE_BINARY || message.bytes[0] == RC_WIRE_BINARY_ROOMS);
    const int rc = binary ? read_binary(wire, parsed, message) : read_json(wire, parsed, message);
    if (rc < 0) {
        return wire_refuse(wire, RC_WIRE_MALFORMED, what, message.count,
                           rc == -EILSEQ      ? "not UTF-8"
                           : rc == -EOVERFLOW ? "nested too deeply"
                                              : "not a message of this channel");
    }
    if (!parsed->has_payload) {
        return wire_refuse(wire, RC_WIRE_MALFORMED, what, message.count, "no payload");
    }
    return RC_WIRE_GOOD;
}

/* What was parsed as a record has it. */
static enum rc_wire_result wire_finish(struct rc_wire *wire, const struct parsed *parsed, size_t bytes,
                                       const char *what, bool crossed, struct rc_envelope_view *view)
{
    const struct rc_span data = parsed->args ? wire_args(wire, parsed) : parsed->payload;
    if (parsed->args && data.count == 0) {
        return wire_refuse(wire, RC_WIRE_MALFORMED, what, bytes, "no memory for its arguments");
    }
    wire_fill(wire, parsed, data, view);
    if (crossed) {
        rc_metric_add(wire->metrics, RC_METRIC_CROSS_INSTANCE, 1);
        rc_metric_add(wire->metrics, RC_METRIC_CROSS_INSTANCE_BYTES, data.count);
        rc_metric_add(wire->metrics, RC_METRIC_REDIS_EXCLUDES_CUT, parsed->excludes_cut);
    }
    return RC_WIRE_GOOD;
}

static bool wire_payload_large(const struct rc_wire *wire, const struct parsed *parsed)
{
    return parsed->payload.count + parsed->attachments.count > wire->message_bytes_max;
}

enum rc_wire_result rc_wire_read(struct rc_wire *wire, struct rc_span message, const char *what,
                                 struct rc_envelope_view *view)
{
    struct parsed parsed = {.has_payload = false};
    wire->rooms_bytes = wire->except_bytes = 0;
    rc_metric_add(wire->metrics, RC_METRIC_REDIS_RECEIVED, 1);
    rc_metric_add(wire->metrics, RC_METRIC_REDIS_RECEIVED_BYTES, message.count);
    if (rc_span_starts_with(message, rc_span_of(wire->own_head, wire->own_head_bytes))) {
        return wire_own(wire);
    }
    const enum rc_wire_result result = wire_parse(wire, message, what, &parsed);
    if (result != RC_WIRE_GOOD) {
        return result;
    }
    if (rc_span_equal(parsed.source, rc_span_text(wire->instance_id))) {
        return wire_own(wire);
    }
    if (wire_payload_large(wire, &parsed)) {
        return wire_refuse(wire, RC_WIRE_TOO_LARGE, what, message.count, "larger than limits.max_message_size");
    }
    if (parsed.source.count > 0 && parsed.boot <= UINT32_MAX &&
        !rc_seen_first(&wire->seen, parsed.source, (uint32_t)parsed.boot, parsed.sequence)) {
        rc_metric_add(wire->metrics, RC_METRIC_REDIS_DUPLICATES, 1);
        return RC_WIRE_DUPLICATE;
    }
    return wire_finish(wire, &parsed, message.count, what, true, view);
}

static enum rc_wire_result read_kept(struct rc_wire *wire, struct rc_span message, const char *what, bool crossed,
                                     struct rc_envelope_view *view)
{
    struct parsed parsed = {.has_payload = false};
    const enum rc_wire_result result = wire_parse(wire, message, what, &parsed);
    if (result != RC_WIRE_GOOD) {
        return result;
    }
    if (wire_payload_large(wire, &parsed)) {
        return wire_refuse(wire, RC_WIRE_TOO_LARGE, what, message.count, "larger than limits.max_message_size");
    }
    keep_sender(wire, &parsed);
    return wire_finish(wire, &parsed, message.count, what, crossed, view);
}

enum rc_wire_result rc_wire_read_kept(struct rc_wire *wire, struct rc_span message, const char *what,
                                      struct rc_envelope_view *view)
{
    return read_kept(wire, message, what, true, view);
}

enum rc_wire_result rc_wire_read_again(struct rc_wire *wire, struct rc_span message, const char *what,
                                       struct rc_envelope_view *view)
{
    return read_kept(wire, message, what, false, view);
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

/* Calls `put` with each excluded client's id: this host's, then those given as text. */
static char *each_exclude(const struct rc_wire *wire, const struct rc_envelope_view *view, bool with_text, char *out,
                          char *(*put)(char *out, const char *id, size_t bytes))
{
    for (uint32_t i = 0; i < view->head.exclude_count; i++) {
        char id[RC_CLIENT_ID_MAX];
        const struct rc_client_ref ref = rc_envelope_exclude(view, i);
        out = put(out, id, rc_client_id_write(id, wire->instance_id, wire->boot_nonce, &ref));
    }
    for (uint32_t at = 0; with_text && at < view->head.exclude_text_bytes;) {
        const char *id = view->exclude_text + at;
        const size_t bytes = strlen(id); /* its NUL is inside: rc_envelope_read */
        if (bytes > 0 && bytes <= RC_CLIENT_ID_MAX) {
            out = put(out, id, bytes);
        }
        at += (uint32_t)bytes + 1;
    }
    return out;
}

/* Once for each message: by hand, not by printf. */
static char *put_text(char *out, const char *text)
{
    const size_t bytes = strlen(text);
    memcpy(out, text, bytes);
    return out + bytes;
}

static char *wire_put_json(char *out, const char *id, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (id[i] == '"' || id[i] == '\\' || (uint8_t)id[i] < 0x20) {
            return out; /* no client id: those need no escapes */
        }
    }
    *out++ = '"';
    memcpy(out, id, bytes);
    out += bytes;
    *out++ = '"';
    *out++ = ',';
    return out;
}

static char *put_binary(char *out, const char *id, size_t bytes)
{
    *out++ = (char)bytes;
    memcpy(out, id, bytes);
    return out + bytes;
}

static char *put_number(char *out, uint64_t value, uint32_t bytes)
{
    return (char *)rc_be_put((uint8_t *)out, value, bytes);
}

/* The kind of what is written: plain data, or arguments in `args`. */
struct writing {
    enum rc_wire_form form;
    bool is_args;
    struct rc_args_view args;
};

/* Whom a message that selects is for: names of its rooms, if they are to be written, and of those that do not get it. */
struct selected {
    struct rc_span rooms;
    struct rc_span except;
};

static struct selected selected_of(enum rc_wire_form form, const struct rc_envelope_view *view)
{
    const struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct selected selected = {.except = names};
    struct rc_span name;
    uint32_t count = 0;
    while (rc_select_next(&selected.except, &name)) {
        count++;
    }
    if (count > 1 || (count == 1 && form == RC_WIRE_ROOMS)) {
        selected.rooms = names;
    }
    return selected;
}

/* Calls `put` with each of such names. How many. */
static uint32_t each_name(struct rc_span names, char **out, char *(*put)(char *out, const char *name, size_t bytes))
{
    struct rc_span name;
    uint32_t count = 0;
    while (count < RC_SELECT_NAMES_MAX && rc_select_next(&names, &name)) {
        *out = put(*out, (const char *)name.bytes, name.count);
        count++;
    }
    return count;
}

static char *put_name(char *out, const char *name, size_t bytes)
{
    out +=
        rc_json_string_encode((uint8_t *)out, RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX), rc_span_of(name, bytes));
    *out++ = ',';
    return out;
}

static bool form_selects(enum rc_wire_form form)
{
    return form == RC_WIRE_SELECT || form == RC_WIRE_ROOMS;
}

/* Their count and each of them. */
static char *put_names(char *out, struct rc_span names)
{
    char *count = out;
    out += 2;
    (void)put_number(count, each_name(names, &out, put_binary), 2);
    return out;
}

/* ,"member":["name",…] */
static char *put_list(char *out, const char *member, struct rc_span names)
{
    out = put_text(out, member);
    out -= each_name(names, &out, put_name) > 0; /* the last comma */
    *out++ = ']';
    return out;
}

static void write_binary(const struct rc_wire *wire, const struct writing *writing, const struct rc_envelope_view *view,
                         struct rc_span *parts)
{
    char *out = wire->text;
    const size_t source_bytes = strlen(wire->instance_id);
    const bool selects = form_selects(writing->form);
    const struct selected selected = selects ? selected_of(writing->form, view) : (struct selected){0};
    const bool has_key = writing->form == RC_WIRE_CHANNEL && view->head.key_bytes > 0;
    const bool has_event = view->head.event_bytes > 0;
    const bool retains = writing->form == RC_WIRE_CHANNEL && (view->head.flags & RC_ENVELOPE_RETAIN) != 0;
    const bool passed = writing->form == RC_WIRE_DIRECT && view->head.passed > 0;
    *out++ = selected.rooms.count > 0 ? RC_WIRE_BINARY_ROOMS : RC_WIRE_BINARY;
    *out++ = (char)((has_key ? RC_WIRE_FLAG_KEY : 0) | (has_event ? RC_WIRE_FLAG_EVENT : 0) |
                    (writing->is_args ? RC_WIRE_FLAG_ARGS : 0) | (selects ? RC_WIRE_FLAG_EXCEPT : 0) |
                    (retains ? RC_WIRE_FLAG_RETAIN : 0) | (passed ? RC_WIRE_FLAG_PASSED : 0) |
                    ((view->head.flags & RC_ENVELOPE_VOLATILE) != 0 ? RC_WIRE_FLAG_VOLATILE : 0));
    if (selected.rooms.count > 0) {
        out = put_names(out, selected.rooms);
    }
    out = put_binary(out, wire->instance_id, source_bytes);
    out = put_number(out, wire->boot_nonce, 4);
    out = put_number(out, view->head.sequence, 8);
    char *count_at = out;
    out = each_exclude(wire, view, !selects, out + 2, put_binary);
    uint32_t count = 0;
    for (const char *at = count_at + 2; at < out; at += 1 + (uint8_t)*at) {
        count++;
    }
    (void)put_number(count_at, count, 2);
    if (has_key) {
        out = put_binary(out, (const char *)view->key, view->head.key_bytes);
    }
    if (has_event) {
        out = put_binary(out, view->event, view->head.event_bytes);
    }
    if (selects) {
        out = put_names(out, selected.except);
    }
    if (retains) {
        out = put_number(out, view->head.token, 8);
    }
    if (passed) {
        out = put_number(out, view->head.passed, 1);
    }
    parts[1] = rc_span_of(view->data, view->head.data_bytes);
    parts[2] = (struct rc_span){0};
    if (writing->is_args) {
        const struct rc_args_view *args = &writing->args;
        struct rc_span attachment;
        uint32_t index = 0;
        size_t offset = 0;
        out = put_number(out, args->json.count, 4);
        out = put_number(out, args->attachment_count, 2);
        while (rc_args_next(args, &index, &offset, &attachment)) {
            out = put_number(out, attachment.count, 4);
        }
        parts[1] = args->json;
        parts[2] = rc_span_of(args->attachments.bytes, offset);
    }
    parts[0] = rc_span_of(wire->text, (size_t)(out - wire->text));
}

static void write_json(const struct rc_wire *wire, const struct writing *writing, const struct rc_envelope_view *view,
                       struct rc_span *parts)
{
    const enum rc_wire_form form = writing->form;
    const struct selected selected = form_selects(form) ? selected_of(form, view) : (struct selected){0};
    char *out = wire->text;
    if (form == RC_WIRE_DIRECT) {
        parts[0] = RC_SPAN("{\"payload\":");
        out = put_text(out, ",\"sourceInstance\":\"");
        out = put_text(out, wire->instance_id);
        *out++ = '"';
    } else {
        memcpy(out, wire->own_head, wire->own_head_bytes);
        out = put_text(out + wire->own_head_bytes, "\"payload\":");
        parts[0] = rc_span_of(wire->text, (size_t)(out - wire->text));
    }
    char *tail = form == RC_WIRE_DIRECT ? wire->text : out;
    if (selected.rooms.count > 0) {
        out = put_list(out, ",\"rooms\":[", selected.rooms);
    }
    if (form_selects(form)) {
        out = put_list(out, ",\"except\":[", selected.except);
    }
    if (form == RC_WIRE_BROADCAST ||
        (form == RC_WIRE_CHANNEL && view->head.exclude_count + view->head.exclude_text_bytes > 0) ||
        (form_selects(form) && view->head.exclude_count > 0)) {
        char *list = put_text(out, ",\"excludeIds\":[");
        out = each_exclude(wire, view, !form_selects(form), list, wire_put_json);
        out -= out > list; /* the last comma */
        *out++ = ']';
    }
    if (form == RC_WIRE_CHANNEL && view->head.key_bytes > 0) {
        out = put_text(out, ",\"key\":");
        out += rc_json_string_encode((uint8_t *)out, RC_JSON_STRING_BYTES_MAX(RC_MESSAGE_KEY_MAX),
                                     rc_span_of(view->key, view->head.key_bytes));
    }
    if (view->head.event_bytes > 0) {
        out = put_text(out, ",\"event\":");
        out += rc_json_string_encode((uint8_t *)out, RC_JSON_STRING_BYTES_MAX(RC_EVENT_NAME_MAX),
                                     rc_span_of(view->event, view->head.event_bytes));
    }
    if (writing->is_args) {
        out = put_text(out, ",\"args\":true");
    }
    if ((view->head.flags & RC_ENVELOPE_VOLATILE) != 0) {
        out = put_text(out, ",\"volatile\":true");
    }
    if (form == RC_WIRE_CHANNEL && (view->head.flags & RC_ENVELOPE_RETAIN) != 0) {
        out = rc_decimal_write(put_text(out, ",\"retain\":"), view->head.token);
    }
    if (form == RC_WIRE_DIRECT && view->head.passed > 0) {
        out = rc_decimal_write(put_text(out, ",\"passed\":"), view->head.passed);
    }
    out = rc_decimal_write(put_text(out, ",\"boot\":"), wire->boot_nonce);
    out = rc_decimal_write(put_text(out, selected.rooms.count > 0 ? ",\"once\":" : ",\"seq\":"), view->head.sequence);
    *out++ = '}';
    parts[1] = writing->is_args ? writing->args.json : rc_span_of(view->data, view->head.data_bytes);
    parts[2] = rc_span_of(tail, (size_t)(out - tail));
}

bool rc_wire_write(struct rc_wire *wire, enum rc_wire_form form, const struct rc_envelope_view *view,
                   struct rc_span parts[RC_WIRE_PARTS])
{
    struct writing writing = {.form = form, .is_args = (view->head.flags & RC_ENVELOPE_ARGS) != 0};
    if (writing.is_args && rc_args_read(rc_span_of(view->data, view->head.data_bytes), &writing.args) < 0) {
        return false;
    }
    if ((view->head.flags & RC_ENVELOPE_BINARY) != 0 || writing.args.attachment_count > 0) {
        write_binary(wire, &writing, view, parts);
    } else {
        write_json(wire, &writing, view, parts);
    }
    return true;
}

bool rc_wire_select(const struct rc_wire *wire, struct rc_span channel, struct rc_envelope_view *view,
                    char text[RC_SELECT_BYTES])
{
    rc_select_write(view, channel, rc_span_of(wire->rooms, wire->rooms_bytes),
                    rc_span_of(wire->except, wire->except_bytes), text);
    return view->head.channel_bytes > 0;
}
