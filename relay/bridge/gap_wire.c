/* gap_wire: see gap_wire.h. */
#include "relay/bridge/gap_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "relay/bridge/foreign.h"

/* --- reading --------------------------------------------------------------------------------------------------------- */

struct members {
    struct rc_json_value from;
    struct rc_json_value boot;
    struct rc_json_value seq;
    struct rc_json_value channels;
    struct rc_json_value all;
    struct rc_json_value placed;
};

static int gap_wire_members_read(struct rc_span message, struct members *members)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    *members = (struct members){0};
    int got = rc_json_object_begin(&cursor, message, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("from"))) {
            members->from = value;
        } else if (rc_json_string_is(&name, RC_SPAN("boot"))) {
            members->boot = value;
        } else if (rc_json_string_is(&name, RC_SPAN("seq"))) {
            members->seq = value;
        } else if (rc_json_string_is(&name, RC_SPAN("channels"))) {
            members->channels = value;
        } else if (rc_json_string_is(&name, RC_SPAN("all"))) {
            members->all = value;
        } else if (rc_json_string_is(&name, RC_SPAN("placed"))) {
            members->placed = value;
        }
    }
    return got;
}

static bool gap_wire_sender_read(struct rc_gap_message *out, const struct members *members)
{
    struct rc_span id;
    uint64_t boot;
    if (rc_json_string_decode(&members->from, (uint8_t *)out->from, sizeof(out->from), &id) < 0 ||
        !rc_foreign_is_instance(id) || members->boot.type != RC_JSON_NUMBER ||
        rc_json_uint64(&members->boot, &boot) < 0 || boot > UINT32_MAX || members->seq.type != RC_JSON_NUMBER ||
        rc_json_uint64(&members->seq, &out->seq) < 0 || out->seq == 0) {
        return false;
    }
    memmove(out->from, id.bytes, id.count);
    out->from_bytes = (uint8_t)id.count;
    out->boot = (uint32_t)boot;
    return true;
}

int rc_gap_message_begin(struct rc_json_cursor *cursor, const struct rc_gap_message *message)
{
    return rc_json_array_begin(cursor, message->channels, 0);
}

/* -EINVAL: it is no channel's name. */
int rc_gap_message_next(struct rc_json_cursor *cursor, char out[RC_CHANNEL_NAME_MAX], struct rc_span *name)
{
    struct rc_json_value value;
    const int got = rc_json_array_next(cursor, &value);
    if (got != 1) {
        return got;
    }
    if (rc_json_string_decode(&value, (uint8_t *)out, RC_CHANNEL_NAME_MAX, name) < 0 ||
        rc_channel_name_check((const char *)name->bytes, name->count, RC_CHANNEL_NAME_MAX) < 0) {
        return -EINVAL;
    }
    return 1;
}

static bool channels_valid(const struct rc_gap_message *message)
{
    struct rc_json_cursor cursor;
    struct rc_span name;
    char text[RC_CHANNEL_NAME_MAX];
    uint32_t count = 0;
    int got = rc_gap_message_begin(&cursor, message);
    while (got >= 0 && (got = rc_gap_message_next(&cursor, text, &name)) == 1) {
        count++;
    }
    return got == 0 && count > 0 && count <= RC_GAP_CHANNELS_MAX;
}

int rc_gap_message_read(struct rc_gap_message *out, struct rc_span message, const char **why)
{
    struct members members;
    *out = (struct rc_gap_message){0};
    *why = "not a JSON object";
    const int got = gap_wire_members_read(message, &members);
    if (got < 0) {
        return got;
    }
    *why = "from, boot and seq do not say who tells it";
    if (!gap_wire_sender_read(out, &members)) {
        return -EINVAL;
    }
    *why = "one of channels and all must be there";
    out->all = members.all.type == RC_JSON_TRUE;
    if ((members.all.type != RC_JSON_NONE && !out->all) || out->all == (members.channels.type != RC_JSON_NONE)) {
        return -EINVAL;
    }
    out->placed = out->all && members.placed.type == RC_JSON_TRUE;
    if (out->all) {
        return 0;
    }
    *why = "channels is no list of names";
    out->channels = members.channels.raw;
    return members.channels.type == RC_JSON_ARRAY && channels_valid(out) ? 0 : -EINVAL;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

char *rc_gap_message_write(const char *from, uint32_t boot, uint64_t seq, const struct rc_span *names, uint32_t count,
                           bool placed, size_t *bytes)
{
    size_t capacity = 128 + RC_INSTANCE_ID_MAX;
    for (uint32_t i = 0; i < count; i++) {
        capacity += rc_json_string_encoded_bytes(names[i]) + 1;
    }
    char *text = malloc(capacity);
    if (text == NULL) {
        return NULL;
    }
    const int head =
        snprintf(text, capacity, "{\"from\":\"%s\",\"boot\":%u,\"seq\":%llu,%s", from, boot, (unsigned long long)seq,
                 count > 0 ? "\"channels\":"
                 : placed  ? "\"all\":true,\"placed\":true}"
                           : "\"all\":true}");
    RC_ASSERT(head > 0 && (size_t)head < capacity);
    size_t used = (size_t)head;
    for (uint32_t i = 0; i < count; i++) {
        text[used++] = i == 0 ? '[' : ',';
        const size_t encoded = rc_json_string_encode((uint8_t *)text + used, capacity - used, names[i]);
        RC_ASSERT(encoded > 0);
        used += encoded;
    }
    if (count > 0) {
        text[used++] = ']';
        text[used++] = '}';
    }
    RC_ASSERT(used <= capacity);
    *bytes = used;
    return text;
}
