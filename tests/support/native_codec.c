/*
 * native_codec: see native_codec.h. Straightforward rather than fast, and with nothing shared with worker/proto but the
 * structs, so that a mistake there is not repeated here.
 */
#include "tests/support/native_codec.h"

#include "common/base/check.h"
#include "common/records/args.h"

#include <stdio.h>
#include <string.h>

static uint8_t *text(uint8_t *out, const char *literal)
{
    size_t count = strlen(literal);

    memcpy(out, literal, count);
    return out + count;
}

static uint8_t *span(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count != 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

/* Every character that may be escaped is, so that unescaping is exercised. */
static uint8_t *escaped(uint8_t *out, struct rc_span bytes)
{
    *out++ = '"';
    for (size_t index = 0; index < bytes.count; index++) {
        if (bytes.bytes[index] < 0x80) {
            out += sprintf((char *)out, "\\u%04x", bytes.bytes[index]);
        } else {
            *out++ = bytes.bytes[index];
        }
    }
    *out++ = '"';
    return out;
}

static const char *type_name(enum rc_operation_type type)
{
    switch (type) {
    case RC_OPERATION_SUBSCRIBE:
        return "subscribe";
    case RC_OPERATION_UNSUBSCRIBE:
        return "unsubscribe";
    case RC_OPERATION_PUBLISH:
        return "publish";
    case RC_OPERATION_BROADCAST:
        return "broadcast";
    case RC_OPERATION_DIRECT:
        return "direct";
    case RC_OPERATION_PRESENCE:
        return "presence";
    case RC_OPERATION_HISTORY:
        return "history";
    case RC_OPERATION_PING:
        return "ping";
    case RC_OPERATION_AUTH: /* its data is the whole message */
    case RC_OPERATION_REFRESH:
    case RC_OPERATION_ECHO: /* not of this protocol */
    case RC_OPERATION_CONNECT:
    case RC_OPERATION_LEAVE:
    case RC_OPERATION_EVENT:
    case RC_OPERATION_ACK:
    case RC_OPERATION_DISCONNECT:
    case RC_OPERATION_RETAIN:
        break;
    }
    return "";
}

size_t rc_test_operation_json(const struct rc_operation *operation, uint8_t *out)
{
    uint8_t *begin = out;

    out += sprintf((char *)out, "{\"type\":\"%s\"", type_name(operation->type));
    if (operation->id.count != 0) {
        out = span(text(out, ",\"id\":"), operation->id);
    }
    if (operation->channel.count != 0) {
        out = escaped(text(out, ",\"channel\":"), operation->channel);
    }
    if (operation->to.count != 0) {
        out = escaped(text(out, ",\"to\":"), operation->to);
    }
    if (!operation->echo) {
        out = text(out, ",\"echo\":false");
    }
    if (operation->retain) {
        out = text(out, ",\"retain\":true");
    }
    if (operation->retained) {
        out = text(out, ",\"retained\":true");
    }
    if (operation->recovers) {
        out = escaped(text(out, ",\"recover\":{\"epoch\":"), operation->epoch);
        out += sprintf((char *)out, ",\"offset\":%llu", (unsigned long long)operation->since);
        if (operation->former.count != 0) {
            out = escaped(text(out, ",\"client\":"), operation->former);
        }
        out = text(out, "}");
    }
    if (operation->limit != 0) {
        out +=
            sprintf((char *)out, operation->type == RC_OPERATION_SUBSCRIBE ? ",\"since\":\"last %u\"" : ",\"limit\":%u",
                    operation->limit);
    }
    if (operation->has_since) {
        out += sprintf((char *)out, ",\"since\":%llu", (unsigned long long)operation->since);
    }
    if (operation->exclude_count != 0) {
        out = text(out, ",\"exclude\":[");
        for (uint32_t index = 0; index < operation->exclude_count; index++) {
            out = escaped(index != 0 ? text(out, ",") : out, operation->exclude[index]);
        }
        out = text(out, "]");
    }
    if (operation->key.count != 0) {
        out = escaped(text(out, ",\"key\":"), operation->key);
    }
    if (operation->event.count != 0) {
        out = escaped(text(out, ",\"event\":"), operation->event);
    }
    if (operation->data_kind == RC_DATA_ARGS) {
        struct rc_args_view view;

        RC_ASSERT(rc_args_read(operation->data, &view) == 0);
        out = span(text(out, ",\"args\":"), view.json);
    } else if (operation->data.count != 0) {
        out = span(text(out, ",\"data\":"), operation->data);
    }
    out = text(out, "}");
    return (size_t)(out - begin);
}

static uint8_t *varint(uint8_t *out, uint64_t number)
{
    for (; number > 127; number /= 128) {
        *out++ = (uint8_t)(128 + number % 128);
    }
    *out++ = (uint8_t)number;
    return out;
}

static uint8_t *counted(uint8_t *out, struct rc_span bytes)
{
    return span(varint(out, bytes.count), bytes);
}

/* 1 a number below 10^19, 2 a string without escapes, 3 anything else. */
static uint8_t *put_id(uint8_t *out, uint8_t *flags, struct rc_span id)
{
    uint64_t number = 0;
    bool digits = id.count < 20;

    if (id.count == 0) {
        return out;
    }
    if (id.bytes[0] == '"') {
        bool plain = memchr(id.bytes, '\\', id.count) == NULL;

        *flags |= plain ? 2 : 3;
        return counted(out, plain ? rc_span_of(id.bytes + 1, id.count - 2) : id);
    }
    for (size_t index = 0; digits && index < id.count; index++) {
        digits = id.bytes[index] >= '0' && id.bytes[index] <= '9';
        number = number * 10 + (uint64_t)(id.bytes[index] - '0');
    }
    *flags |= digits ? 1 : 3;
    return digits ? varint(out, number) : counted(out, id);
}

size_t rc_test_operation_binary(const struct rc_operation *operation, uint8_t *out)
{
    uint8_t *begin = out;
    uint8_t *flags = out + 1;

    *out = (uint8_t)operation->type; /* the protocol's numbers are those of the enum */
    *flags = 0;
    out = put_id(out + 2, flags, operation->id);
    if (operation->channel.count != 0) {
        out = counted(out, operation->channel);
    }
    if (operation->to.count != 0) {
        out = counted(out, operation->to);
    }
    if (!operation->echo) {
        *flags |= 0x08;
    }
    if (operation->recovers) {
        *flags |= 0x10;
        out = varint(counted(out, operation->epoch), operation->since);
    }
    if (operation->former.count != 0) {
        *flags |= 0x40;
        out = counted(out, operation->former);
    }
    if (operation->key.count != 0) {
        *flags |= 0x40;
        out = counted(out, operation->key);
    }
    if (operation->exclude_count != 0) {
        *flags |= 0x10;
        out = varint(out, operation->exclude_count);
        for (uint32_t index = 0; index < operation->exclude_count; index++) {
            out = counted(out, operation->exclude[index]);
        }
    }
    if (operation->limit != 0) {
        *flags |= 0x20;
        out = varint(out, operation->limit);
    }
    if (operation->has_since) {
        *flags |= 0x08;
        out = varint(out, operation->since);
    }
    if (operation->event.count != 0) {
        *flags |= 0x80;
        out = counted(out, operation->event);
    }
    if (operation->data_kind == RC_DATA_ARGS) {
        struct rc_args_view view;

        RC_ASSERT(rc_args_read(operation->data, &view) == 0);
        *flags |= 0x20;
        out = varint(out, view.attachment_count);
        for (uint32_t index = 0; index < view.attachment_count; index++) {
            out = counted(out, rc_args_attachment(&view, index));
        }
        return (size_t)(span(out, view.json) - begin);
    }
    if (operation->data_kind == RC_DATA_BINARY) {
        *flags |= 0x04;
    }
    out = span(out, operation->data);
    return (size_t)(out - begin);
}

bool rc_test_operation_equal(const struct rc_operation *a, const struct rc_operation *b)
{
    if (a->type != b->type || a->data_kind != b->data_kind || a->echo != b->echo || a->limit != b->limit ||
        a->exclude_count != b->exclude_count || a->has_since != b->has_since || a->since != b->since ||
        a->recovers != b->recovers || !rc_span_equal(a->epoch, b->epoch) || !rc_span_equal(a->former, b->former) ||
        !rc_span_equal(a->id, b->id) || !rc_span_equal(a->channel, b->channel) || !rc_span_equal(a->event, b->event) ||
        !rc_span_equal(a->key, b->key) || !rc_span_equal(a->to, b->to) || !rc_span_equal(a->data, b->data)) {
        return false;
    }
    for (uint32_t index = 0; index < a->exclude_count; index++) {
        if (!rc_span_equal(a->exclude[index], b->exclude[index])) {
            return false;
        }
    }
    return true;
}

static bool varint_read(struct rc_span *rest, uint64_t *number)
{
    unsigned shift = 0;

    for (*number = 0; rest->count != 0 && shift < 64; shift += 7) {
        uint8_t byte = *rest->bytes++;

        rest->count--;
        *number |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return true;
        }
    }
    return false;
}

static bool counted_read(struct rc_span *rest, struct rc_span *out)
{
    uint64_t count;

    if (!varint_read(rest, &count) || count > rest->count) {
        return false;
    }
    *out = rc_span_of(rest->bytes, (size_t)count);
    rest->bytes += count;
    rest->count -= (size_t)count;
    return true;
}

/* The counts, then the members: user, clients, instances. */
static bool presence_read(struct rc_test_event *event)
{
    uint64_t count, clients, instances;
    struct rc_span text;

    if (!varint_read(&event->rest, &event->clients) || !varint_read(&event->rest, &event->users) ||
        !varint_read(&event->rest, &count)) {
        return false;
    }
    for (event->members = 0; event->members < count; event->members++) {
        if (!counted_read(&event->rest, &text) || !varint_read(&event->rest, &clients) ||
            !varint_read(&event->rest, &instances)) {
            return false;
        }
        for (; instances > 0; instances--) {
            if (!counted_read(&event->rest, &text)) {
                return false;
            }
        }
    }
    return true;
}

bool rc_test_event_read(struct rc_span bytes, struct rc_test_event *event)
{
    uint64_t ping_interval_ms = 0;
    bool good = true;

    memset(event, 0, sizeof(*event));
    if (bytes.count < 2) {
        return false;
    }
    event->type = bytes.bytes[0];
    event->flags = bytes.bytes[1];
    event->rest = rc_span_of(bytes.bytes + 2, bytes.count - 2);
    if ((event->type & 0xc0) == 0x40 && event->type != 0x50) {
        if ((event->flags & 3) == 1) {
            good = varint_read(&event->rest, &event->id_number);
        } else if ((event->flags & 3) != 0) {
            good = counted_read(&event->rest, &event->id);
        }
    }
    switch (event->type) {
    case 0x41:
        return good && counted_read(&event->rest, &event->channel) &&
               ((event->flags & 0x10) == 0 ||
                (counted_read(&event->rest, &event->epoch) && varint_read(&event->rest, &event->offset))) &&
               event->rest.count == 0;
    case 0x42:
    case 0x83:
        return good && counted_read(&event->rest, &event->channel) && event->rest.count == 0;
    case 0x43:
        return good &&
               ((event->flags & 0x10) == 0 ||
                (counted_read(&event->rest, &event->epoch) && varint_read(&event->rest, &event->offset))) &&
               event->rest.count == 0;
    case 0x44:
    case 0x45:
    case 0x48:
        return good && event->rest.count == 0;
    case 0x46:
        return good && counted_read(&event->rest, &event->channel) && presence_read(event) && event->rest.count == 0;
    case 0x50:
        good = varint_read(&event->rest, &event->version) && counted_read(&event->rest, &event->welcome.client) &&
               counted_read(&event->rest, &event->welcome.instance) && varint_read(&event->rest, &ping_interval_ms) &&
               varint_read(&event->rest, &event->welcome.message_size_max);
        event->welcome.ping_interval_ms = (uint32_t)ping_interval_ms;
        if (good && (event->flags & 0x40) != 0) {
            good = counted_read(&event->rest, &event->welcome.user);
        }
        return good && event->rest.count == 0;
    case 0x51:
        return good && varint_read(&event->rest, &event->code) && counted_read(&event->rest, &event->reason) &&
               ((event->flags & 0x10) == 0 || counted_read(&event->rest, &event->channel));
    case 0x84:
        good = varint_read(&event->rest, &event->offset) &&
               ((event->flags & 0x10) == 0 || counted_read(&event->rest, &event->epoch)) &&
               counted_read(&event->rest, &event->channel);
        break;
    case 0x81:
        good = counted_read(&event->rest, &event->channel);
        break;
    case 0x82:
        break;
    default:
        return false;
    }
    good = good && ((event->flags & 0x20) == 0 || counted_read(&event->rest, &event->from)) &&
           ((event->flags & 0x80) == 0 || counted_read(&event->rest, &event->event));
    if (good && (event->flags & 0x40) != 0) {
        struct rc_span attachment;

        good = varint_read(&event->rest, &event->attachments);
        for (uint64_t index = 0; good && index < event->attachments; index++) {
            good = counted_read(&event->rest, &attachment);
        }
    }
    return good;
}
