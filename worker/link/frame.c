/* frame: see frame.h. */
#include "worker/link/frame.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"

/*
 * What a payload is made of, a letter for each field:
 *
 *   n  text, a namespace       s  text, a socket's id, or empty   u  text, a uid            U  text, a uid or empty
 *   l  list of rooms           p  list of uids                    b  bytes                  B  a byte, 0 or 1
 *   4  u32                     8  u64                             m  messages               j  the rest: a signature and JSON
 *   t  the rest: UTF-8         r  the rest                        J  the rest: JSON         e  (u8 1, s, b, l, u16 and messages) or u8 0
 */
struct type_row {
    const char *name;
    const char *from_broker; /* fields; NULL: it does not send it */
    const char *from_application;
    uint8_t broker_flags;
    uint8_t application_flags;
    bool of_connection;
    uint32_t length_max; /* 0: what the link allows */
};

static const struct type_row rows[RC_LINK_TYPE_COUNT] = {
    [RC_LINK_HELLO] = {"HELLO", "j", NULL, 0, 0, false, RC_LINK_JSON_MAX},
    [RC_LINK_READY] = {"READY", NULL, "j", 0, 0, false, RC_LINK_JSON_MAX},
    [RC_LINK_PING] = {"PING", "r", NULL, 0, 0, false, RC_LINK_PING_MAX},
    [RC_LINK_PONG] = {"PONG", NULL, "r", 0, 0, false, RC_LINK_PING_MAX},
    [RC_LINK_ERROR] = {"ERROR", "t", "t", 0, 0, false, RC_LINK_ROOM_MAX},
    [RC_LINK_ASKS] = {"ASKS", NULL, "B", 0, 0, false, 1},
    [RC_LINK_TAKEN] = {"TAKEN", "8p", NULL, 0, 0, false, 0},
    [RC_LINK_OPEN] = {"OPEN", "J", NULL, RC_LINK_HELD, 0, true, 0},
    [RC_LINK_ACCEPT] = {"ACCEPT", NULL, "J", 0, 0, true, RC_LINK_JSON_MAX},
    [RC_LINK_REJECT] = {"REJECT", NULL, "J", 0, 0, true, RC_LINK_JSON_MAX},
    [RC_LINK_TEXT] = {"TEXT", "t", "t", 0, RC_LINK_VOLATILE | RC_LINK_PLAIN | RC_LINK_MORE, true, 0},
    [RC_LINK_BINARY] = {"BINARY", "r", "r", 0, RC_LINK_VOLATILE | RC_LINK_PLAIN | RC_LINK_MORE, true, 0},
    [RC_LINK_CLOSE] = {"CLOSE", NULL, "", 0, RC_LINK_DISCARD, true, 0},
    [RC_LINK_CLOSED] = {"CLOSED", "t", NULL, 0, 0, true, RC_LINK_ROOM_MAX},
    [RC_LINK_UPGRADED] = {"UPGRADED", "t", NULL, 0, 0, true, RC_LINK_ROOM_MAX},
    [RC_LINK_WRITABLE] = {"WRITABLE", "B", NULL, 0, 0, true, 1},
    [RC_LINK_FAILED] = {"FAILED", "J", NULL, 0, 0, false, 0},
    [RC_LINK_JOIN] = {"JOIN", NULL, "nsl", 0, 0, true, 0},
    [RC_LINK_LEAVE] = {"LEAVE", NULL, "nsl", 0, RC_LINK_ALL, true, 0},
    [RC_LINK_PEERS] = {"PEERS", "np", NULL, 0, 0, false, 0},
    [RC_LINK_CLUSTER] = {"CLUSTER", "nuUr", "nuUr", 0, 0, false, 0},
    [RC_LINK_BROADCAST] = {"BROADCAST", NULL, "nllsm", 0,
                           RC_LINK_VOLATILE | RC_LINK_PLAIN | RC_LINK_LOCAL | RC_LINK_PRIMARY, false, 0},
    [RC_LINK_ENTER] = {"ENTER", NULL, "nu", 0, 0, false, 0},
    [RC_LINK_EXIT] = {"EXIT", NULL, "nu", 0, 0, false, 0},
    [RC_LINK_SESSION] = {"SESSION", NULL, "nssbb", 0, 0, true, 0},
    [RC_LINK_RESUMED] = {"RESUMED", NULL, "", 0, 0, true, 0},
    [RC_LINK_DETACH] = {"DETACH", NULL, "", 0, RC_LINK_HOLD, false, 0},
    [RC_LINK_RECEIPT] = {"RECEIPT", "8", "8", RC_LINK_CONTINUES, 0, false, 8},
    [RC_LINK_REPLY] = {"REPLY", "4e", NULL, 0, 0, false, 0},
    [RC_LINK_REQUEST] = {"REQUEST", NULL, "4nss", 0, 0, false, 0},
    [RC_LINK_KEEP] = {"KEEP", NULL, "nssbbl", 0, 0, false, 0},
};

static const char *row_fields(const struct type_row *row, enum rc_link_side from)
{
    return from == RC_LINK_BROKER ? row->from_broker : row->from_application;
}

const char *rc_link_type_name(uint8_t type)
{
    return type < RC_LINK_TYPE_COUNT && rows[type].name != NULL ? rows[type].name : "?";
}

void rc_link_head_write(uint8_t out[RC_LINK_HEAD_BYTES], const struct rc_link_head *head)
{
    rc_link_put_u32(out, head->length);
    out[4] = head->type;
    out[5] = head->flags;
    rc_link_put_u16(out + 6, 0);
    rc_link_put_u64(out + 8, head->connection);
}

int rc_link_head_read(const uint8_t bytes[RC_LINK_HEAD_BYTES], enum rc_link_side from, uint32_t length_max,
                      struct rc_link_head *head, const char **why)
{
    *head = (struct rc_link_head){
        .length = rc_link_u32(bytes), .type = bytes[4], .flags = bytes[5], .connection = rc_link_u64(bytes + 8)};
    const struct type_row *row = head->type < RC_LINK_TYPE_COUNT ? &rows[head->type] : NULL;
    *why = NULL;
    if (row == NULL || row_fields(row, from) == NULL) {
        *why = "a frame of an unknown type";
    } else if ((head->flags & ~(from == RC_LINK_BROKER ? row->broker_flags : row->application_flags)) != 0) {
        *why = "a flag that its type does not have";
    } else if (rc_link_u16(bytes + 6) != 0) {
        *why = "a frame's head with bytes that are to be 0";
    } else if ((head->connection != 0) != row->of_connection || head->connection > RC_LINK_CONNECTION_MAX) {
        *why = row->of_connection ? "a frame without its connection" : "a connection in a frame of none";
    } else if (head->length > length_max || (row->length_max != 0 && head->length > row->length_max)) {
        *why = "a frame that is too large";
    }
    return *why == NULL ? 0 : -EBADMSG;
}

/* --- checking -------------------------------------------------------------------------------------------------------- */

static bool field_take(struct rc_link_reader *reader, size_t count, struct rc_span *out)
{
    if ((size_t)(reader->end - reader->at) < count) {
        return false;
    }
    *out = rc_span_of(reader->at, count);
    reader->at += count;
    return true;
}

static bool take_text(struct rc_link_reader *reader, size_t least, size_t most)
{
    struct rc_span bytes;
    return field_take(reader, 2, &bytes) && field_take(reader, rc_link_u16(bytes.bytes), &bytes) &&
           bytes.count >= least && bytes.count <= most && rc_json_utf8_valid(bytes);
}

static bool take_list(struct rc_link_reader *reader, size_t most)
{
    struct rc_span bytes;
    if (!field_take(reader, 2, &bytes) || rc_link_u16(bytes.bytes) > RC_LINK_ROOMS_MAX) {
        return false;
    }
    for (uint32_t left = rc_link_u16(bytes.bytes); left > 0; left--) {
        if (!take_text(reader, 1, most)) {
            return false;
        }
    }
    return true;
}

static bool take_messages(struct rc_link_reader *reader)
{
    struct rc_span bytes;
    const size_t count = rc_link_messages_check(rc_span_of(reader->at, (size_t)(reader->end - reader->at)));
    return count > 0 && field_take(reader, count, &bytes);
}

static bool take_bytes(struct rc_link_reader *reader)
{
    struct rc_span bytes;
    return field_take(reader, 4, &bytes) && field_take(reader, rc_link_u32(bytes.bytes), &bytes);
}

/* What a REPLY has found. */
static bool take_found(struct rc_link_reader *reader)
{
    struct rc_span bytes;
    if (!field_take(reader, 1, &bytes) || bytes.bytes[0] > 1) {
        return false;
    }
    if (bytes.bytes[0] == 0) {
        return true;
    }
    if (!take_text(reader, 0, RC_LINK_SID_MAX) || !take_bytes(reader) || !take_list(reader, RC_LINK_ROOM_MAX) ||
        !field_take(reader, 2, &bytes)) {
        return false;
    }
    for (uint32_t left = rc_link_u16(bytes.bytes); left > 0; left--) {
        if (!take_messages(reader)) {
            return false;
        }
    }
    return true;
}

static bool take_rest(struct rc_link_reader *reader, char kind)
{
    const struct rc_span rest = rc_link_read_rest(reader);
    return kind == 'r' || (kind == 'j' ? rest.count > RC_LINK_SIGNATURE_BYTES : rc_json_utf8_valid(rest));
}

static bool payload_take(struct rc_link_reader *reader, char kind)
{
    struct rc_span bytes;
    switch (kind) {
    case 'n':
        return take_text(reader, 1, RC_LINK_NSP_MAX);
    case 's':
        return take_text(reader, 0, RC_LINK_SID_MAX);
    case 'u':
        return take_text(reader, 1, RC_LINK_UID_MAX);
    case 'U':
        return take_text(reader, 0, RC_LINK_UID_MAX);
    case 'l':
        return take_list(reader, RC_LINK_ROOM_MAX);
    case 'p':
        return take_list(reader, RC_LINK_UID_MAX);
    case 'b':
        return take_bytes(reader);
    case 'B':
        return field_take(reader, 1, &bytes) && bytes.bytes[0] <= 1;
    case '4':
        return field_take(reader, 4, &bytes);
    case '8':
        return field_take(reader, 8, &bytes);
    case 'm':
        return take_messages(reader);
    case 'e':
        return take_found(reader);
    default:
        return take_rest(reader, kind);
    }
}

int rc_link_frame_check(const struct rc_link_head *head, enum rc_link_side from, struct rc_span payload,
                        const char **why)
{
    RC_ASSERT(head->length == payload.count);
    struct rc_link_reader reader = rc_link_reader_of(payload);
    for (const char *field = row_fields(&rows[head->type], from); *field != '\0'; field++) {
        if (!payload_take(&reader, *field)) {
            *why = "a payload that is not of its type";
            return -EBADMSG;
        }
    }
    *why = reader.at == reader.end ? NULL : "a payload that is longer than its fields";
    return *why == NULL ? 0 : -EBADMSG;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static const uint8_t *reader_take(struct rc_link_reader *reader, size_t count)
{
    RC_ASSERT((size_t)(reader->end - reader->at) >= count);
    const uint8_t *bytes = reader->at;
    reader->at += count;
    return bytes;
}

struct rc_span rc_link_read_text(struct rc_link_reader *reader)
{
    const uint16_t count = rc_link_u16(reader_take(reader, 2));
    return rc_span_of(reader_take(reader, count), count);
}

struct rc_span rc_link_read_bytes(struct rc_link_reader *reader)
{
    const uint32_t count = rc_link_u32(reader_take(reader, 4));
    return rc_span_of(reader_take(reader, count), count);
}

struct rc_span rc_link_read_rest(struct rc_link_reader *reader)
{
    const size_t count = (size_t)(reader->end - reader->at);
    return rc_span_of(reader_take(reader, count), count);
}

uint8_t rc_link_read_u8(struct rc_link_reader *reader)
{
    return *reader_take(reader, 1);
}

uint32_t rc_link_read_u32(struct rc_link_reader *reader)
{
    return rc_link_u32(reader_take(reader, 4));
}

uint64_t rc_link_read_u64(struct rc_link_reader *reader)
{
    return rc_link_u64(reader_take(reader, 8));
}

uint32_t rc_link_read_list(struct rc_link_reader *reader)
{
    return rc_link_u16(reader_take(reader, 2));
}

struct rc_link_reader rc_link_skip_list(struct rc_link_reader *reader)
{
    const uint8_t *begin = reader->at;
    for (uint32_t left = rc_link_read_list(reader); left > 0; left--) {
        (void)rc_link_read_text(reader);
    }
    return (struct rc_link_reader){.at = begin, .end = reader->at};
}
