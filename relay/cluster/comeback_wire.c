/* comeback_wire: see comeback_wire.h. */
#include "relay/cluster/comeback_wire.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/records/args.h"
#include "common/records/envelope.h"
#include "common/text/json_scan.h"

#define VERSION 0x01u
#define THROUGH_BYTES 18u
#define MISSED_FLAGS ((unsigned)RC_ENVELOPE_BINARY | (unsigned)RC_ENVELOPE_ARGS)

/* --- writing --------------------------------------------------------------------------------------------------------- */

static uint8_t *put_through(uint8_t *at, const struct rc_comeback_through *through)
{
    at = rc_be_put(at, through->map, 8);
    at = rc_be_put(at, through->place, 8);
    return rc_be_put(at, through->count, 2);
}

size_t rc_comeback_write(uint8_t *out, const struct rc_comeback_message *message)
{
    uint8_t *at = out;
    *at++ = VERSION;
    *at++ = (uint8_t)message->kind;
    at = rc_bytes_put_counted(at, message->from, 1);
    at = rc_be_put(at, message->token, 8);
    switch (message->kind) {
    case RC_COMEBACK_ASK:
    case RC_COMEBACK_TAKE:
        at = rc_bytes_put_counted(at, message->channel, 1);
        at = rc_bytes_put(at, rc_span_of(message->pid, RC_PID_BYTES));
        at = rc_bytes_put_counted(at, message->user, 1);
        at = rc_bytes_put_counted(at, message->offset, 1);
        if (message->kind == RC_COMEBACK_TAKE && (message->through.map != 0 || message->read.count > 0)) {
            at = put_through(at, &message->through);
        }
        if (message->kind == RC_COMEBACK_TAKE && message->read.count > 0) {
            at = rc_bytes_put_counted(at, message->read, 1);
        }
        break;
    case RC_COMEBACK_GIVEN:
        at = put_through(at, &message->through);
        break;
    case RC_COMEBACK_NONE:
        at = rc_be_put(at, message->code, 2);
        break;
    case RC_COMEBACK_HAVE:
        at = rc_bytes_put(at, rc_span_of(message->sid, RC_SID_BYTES));
        at = rc_bytes_put_counted(at, message->user, 1);
        at = rc_bytes_put_counted(at, message->set, 2);
        at = rc_bytes_put_counted(at, message->rooms, 2);
        if (message->read.count > 0) {
            at = rc_bytes_put_counted(at, message->read, 1);
        }
        break;
    case RC_COMEBACK_MISSED:
        *at++ = message->last ? 1 : 0;
        at = rc_be_put(at, message->total, 2);
        at = rc_be_put(at, message->count, 2);
        break;
    }
    return (size_t)(at - out);
}

size_t rc_comeback_missed_bytes(const struct rc_comeback_missed *missed)
{
    return 4 + 2 + 1 + missed->event.count + 4 + missed->data.count;
}

uint8_t *rc_comeback_missed_write(uint8_t *out, const struct rc_comeback_missed *missed)
{
    out = rc_be_put(out, missed->identity, 4);
    out = rc_be_put(out, missed->flags, 2);
    out = rc_bytes_put_counted(out, missed->event, 1);
    return rc_bytes_put_counted(out, missed->data, 4);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static bool read_question(struct rc_span *rest, struct rc_comeback_message *message)
{
    struct rc_span pid;
    if (!rc_bytes_take_counted(rest, 1, &message->channel) || message->channel.count == 0 ||
        !rc_bytes_take(rest, RC_PID_BYTES, &pid) || !rc_bytes_take_counted(rest, 1, &message->user) ||
        !rc_bytes_take_counted(rest, 1, &message->offset)) {
        return false;
    }
    message->pid = pid.bytes;
    return true;
}

static bool read_through(struct rc_span *rest, struct rc_comeback_through *through)
{
    uint64_t count;
    if (!rc_bytes_take_be(rest, 8, &through->map) || !rc_bytes_take_be(rest, 8, &through->place) ||
        !rc_bytes_take_be(rest, 2, &count)) {
        return false;
    }
    through->count = (uint32_t)count;
    return through->map != 0 && count > 0;
}

/* How far a stream was read: an entry's id. */
static bool read_place(struct rc_span *rest, struct rc_span *read)
{
    if (!rc_bytes_take_counted(rest, 1, read) || read->count == 0 || read->count >= RC_COMEBACK_READ_MAX) {
        return false;
    }
    bool dash = false;
    for (size_t i = 0; i < read->count; i++) {
        const uint8_t byte = read->bytes[i];
        if ((byte < '0' || byte > '9') && (byte != '-' || dash)) {
            return false;
        }
        dash |= byte == '-';
    }
    return true;
}

/* Through which server, and how far a stream was read; either may be all. */
static bool read_take(struct rc_span *rest, struct rc_comeback_message *message)
{
    if (rest->count < THROUGH_BYTES) {
        return false;
    }
    if (!read_through(rest, &message->through)) {
        const bool one = message->through.map == 0 && message->through.count == 1 && rest->count > 0;
        message->through = (struct rc_comeback_through){.count = 1};
        if (!one) {
            return false;
        }
    }
    return rest->count == 0 || read_place(rest, &message->read);
}

static bool read_have(struct rc_span *rest, struct rc_comeback_message *message)
{
    struct rc_span sid;
    if (!rc_bytes_take(rest, RC_SID_BYTES, &sid) || !rc_bytes_take_counted(rest, 1, &message->user) ||
        !rc_bytes_take_counted(rest, 2, &message->set) || !rc_bytes_take_counted(rest, 2, &message->rooms)) {
        return false;
    }
    message->sid = sid.bytes;
    return rest->count == 0 || read_place(rest, &message->read);
}

static bool read_missed(struct rc_span *rest, struct rc_comeback_message *message)
{
    uint64_t last;
    uint64_t total;
    uint64_t count;
    struct rc_comeback_missed missed;
    if (!rc_bytes_take_be(rest, 1, &last) || last > 1 || !rc_bytes_take_be(rest, 2, &total) ||
        !rc_bytes_take_be(rest, 2, &count) || count > total) {
        return false;
    }
    message->last = last == 1;
    message->total = (uint32_t)total;
    message->count = (uint32_t)count;
    message->messages = *rest;
    for (uint64_t i = 0; i < count; i++) {
        if (!rc_comeback_next(rest, &missed)) {
            return false;
        }
    }
    return true;
}

bool rc_comeback_next(struct rc_span *messages, struct rc_comeback_missed *missed)
{
    struct rc_span rest = *messages;
    uint64_t identity;
    uint64_t flags;
    if (!rc_bytes_take_be(&rest, 4, &identity) || !rc_bytes_take_be(&rest, 2, &flags) ||
        !rc_bytes_take_counted(&rest, 1, &missed->event) || !rc_bytes_take_counted(&rest, 4, &missed->data)) {
        return false;
    }
    missed->identity = (uint32_t)identity;
    missed->flags = (uint16_t)(flags & MISSED_FLAGS);
    *messages = rest;
    return true;
}

bool rc_comeback_missed_sound(const struct rc_comeback_missed *missed)
{
    struct rc_span text = missed->data;
    struct rc_args_view args;
    struct rc_json_value value;
    const bool is_args = (missed->flags & RC_ENVELOPE_ARGS) != 0;
    const bool binary = (missed->flags & RC_ENVELOPE_BINARY) != 0;
    if (!rc_json_utf8_valid(missed->event) || (is_args && (binary || rc_args_read(missed->data, &args) < 0))) {
        return false;
    }
    text = is_args ? args.json : text;
    return binary ||
           (rc_json_scan(text, RC_JSON_CHECK_UTF8, &value, NULL) == 0 && (!is_args || value.type == RC_JSON_ARRAY));
}

int rc_comeback_read(struct rc_comeback_message *message, struct rc_span bytes)
{
    struct rc_span rest = bytes;
    uint64_t version;
    uint64_t kind;
    uint64_t code = 0;
    bool good = false;
    *message = (struct rc_comeback_message){.last = false};
    if (!rc_bytes_take_be(&rest, 1, &version) || version != VERSION || !rc_bytes_take_be(&rest, 1, &kind) ||
        !rc_bytes_take_counted(&rest, 1, &message->from) || message->from.count == 0 ||
        message->from.count > RC_INSTANCE_ID_MAX || !rc_bytes_take_be(&rest, 8, &message->token)) {
        return -EBADMSG;
    }
    message->kind = (enum rc_comeback_kind)kind;
    switch (message->kind) {
    case RC_COMEBACK_ASK:
        good = read_question(&rest, message);
        break;
    case RC_COMEBACK_TAKE:
        message->through.count = 1;
        good = read_question(&rest, message) && (rest.count == 0 || read_take(&rest, message));
        break;
    case RC_COMEBACK_GIVEN:
        good = read_through(&rest, &message->through);
        break;
    case RC_COMEBACK_NONE:
        good = rc_bytes_take_be(&rest, 2, &code) && code != 0;
        message->code = (uint16_t)code;
        break;
    case RC_COMEBACK_HAVE:
        good = read_have(&rest, message);
        break;
    case RC_COMEBACK_MISSED:
        good = read_missed(&rest, message);
        break;
    }
    return good && rest.count == 0 ? 0 : -EBADMSG;
}
