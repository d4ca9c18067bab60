/* msgpack: see msgpack.h. */
#include "common/text/msgpack.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/check.h"

#define DATE_MAX_MS 8.64e15 /* ECMA-262, TimeClip */

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* What the head is being read from; moved to the reader only when all of it is there. */
struct head {
    const uint8_t *at;
    size_t left;
};

static bool head_take(struct head *head, size_t bytes, uint64_t *value)
{
    if (head->left < bytes) {
        return false;
    }
    *value = rc_be_get(head->at, bytes);
    head->at += bytes;
    head->left -= bytes;
    return true;
}

static bool head_take_bytes(struct head *head, uint64_t bytes, enum rc_msgpack_type type,
                            struct rc_msgpack_value *value)
{
    if (head->left < bytes) {
        return false;
    }
    value->type = type;
    value->bytes = rc_span_of(head->at, (size_t)bytes);
    head->at += bytes;
    head->left -= bytes;
    return true;
}

/* Length or count of `size_bytes`, then what has it. */
static bool head_take_sized(struct head *head, size_t size_bytes, enum rc_msgpack_type type,
                            struct rc_msgpack_value *value)
{
    uint64_t bytes;
    return head_take(head, size_bytes, &bytes) && head_take_bytes(head, bytes, type, value);
}

/* Every element is a byte at least, so that a count can be refused before anybody walks it. */
static bool head_container(const struct head *head, uint64_t count, enum rc_msgpack_type type,
                           struct rc_msgpack_value *value)
{
    value->type = type;
    value->count = (uint32_t)count;
    return count * (type == RC_MSGPACK_MAP ? 2u : 1u) <= head->left;
}

static bool head_take_container(struct head *head, size_t size_bytes, enum rc_msgpack_type type,
                                struct rc_msgpack_value *value)
{
    uint64_t count;
    return head_take(head, size_bytes, &count) && head_container(head, count, type, value);
}

static bool head_take_extension(struct head *head, uint64_t bytes, struct rc_msgpack_value *value)
{
    uint64_t type;
    if (!head_take(head, 1, &type)) {
        return false;
    }
    value->extension = (int8_t)type;
    return head_take_bytes(head, bytes, RC_MSGPACK_EXTENSION, value);
}

static bool head_take_extension_sized(struct head *head, size_t size_bytes, struct rc_msgpack_value *value)
{
    uint64_t bytes;
    return head_take(head, size_bytes, &bytes) && head_take_extension(head, bytes, value);
}

static bool head_take_unsigned(struct head *head, size_t bytes, struct rc_msgpack_value *value)
{
    value->type = RC_MSGPACK_UNSIGNED;
    return head_take(head, bytes, &value->whole);
}

static bool head_take_signed(struct head *head, size_t bytes, struct rc_msgpack_value *value)
{
    uint64_t bits;
    if (!head_take(head, bytes, &bits)) {
        return false;
    }
    const uint32_t unused = 64 - 8 * (uint32_t)bytes;
    const int64_t number = (int64_t)(bits << unused) >> unused;
    if (number < 0) {
        value->type = RC_MSGPACK_NEGATIVE;
        value->negative = number;
    } else {
        value->type = RC_MSGPACK_UNSIGNED;
        value->whole = (uint64_t)number;
    }
    return true;
}

static bool head_take_float(struct head *head, struct rc_msgpack_value *value)
{
    uint64_t bits;
    float number;
    if (!head_take(head, 4, &bits)) {
        return false;
    }
    const uint32_t half = (uint32_t)bits;
    memcpy(&number, &half, sizeof(number));
    value->type = RC_MSGPACK_FLOAT;
    value->number = (double)number;
    return true;
}

static bool head_take_double(struct head *head, struct rc_msgpack_value *value)
{
    uint64_t bits;
    if (!head_take(head, 8, &bits)) {
        return false;
    }
    value->type = RC_MSGPACK_FLOAT;
    memcpy(&value->number, &bits, sizeof(value->number));
    return true;
}

/* Heads whose first byte is 0xc0 to 0xdf. */
static bool head_take_marked(struct head *head, uint8_t mark, struct rc_msgpack_value *value)
{
    switch (mark) {
    case 0xc0:
        value->type = RC_MSGPACK_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        value->type = RC_MSGPACK_BOOLEAN;
        value->boolean = mark == 0xc3;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return head_take_sized(head, (size_t)1 << (mark - 0xc4), RC_MSGPACK_BINARY, value);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return head_take_extension_sized(head, (size_t)1 << (mark - 0xc7), value);
    case 0xca:
        return head_take_float(head, value);
    case 0xcb:
        return head_take_double(head, value);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return head_take_unsigned(head, (size_t)1 << (mark - 0xcc), value);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return head_take_signed(head, (size_t)1 << (mark - 0xd0), value);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        value->fixed = true;
        return head_take_extension(head, (uint64_t)1 << (mark - 0xd4), value);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return head_take_sized(head, (size_t)1 << (mark - 0xd9), RC_MSGPACK_STRING, value);
    case 0xdc:
    case 0xdd:
        return head_take_container(head, (size_t)2 << (mark - 0xdc), RC_MSGPACK_ARRAY, value);
    case 0xde:
    case 0xdf:
        return head_take_container(head, (size_t)2 << (mark - 0xde), RC_MSGPACK_MAP, value);
    default: /* 0xc1 is never used */
        return false;
    }
}

static bool head_read(struct head *head, struct rc_msgpack_value *value)
{
    uint64_t first;
    *value = (struct rc_msgpack_value){.type = RC_MSGPACK_NIL};
    if (!head_take(head, 1, &first)) {
        return false;
    }
    if (first < 0x80) {
        value->type = RC_MSGPACK_UNSIGNED;
        value->whole = first;
        return true;
    }
    if (first < 0x90) {
        return head_container(head, first & 0x0f, RC_MSGPACK_MAP, value);
    }
    if (first < 0xa0) {
        return head_container(head, first & 0x0f, RC_MSGPACK_ARRAY, value);
    }
    if (first < 0xc0) {
        return head_take_bytes(head, first & 0x1f, RC_MSGPACK_STRING, value);
    }
    if (first >= 0xe0) {
        value->type = RC_MSGPACK_NEGATIVE;
        value->negative = (int64_t)first - 0x100;
        return true;
    }
    return head_take_marked(head, (uint8_t)first, value);
}

int rc_msgpack_next(struct rc_msgpack_reader *reader, struct rc_msgpack_value *value)
{
    struct head head = {.at = reader->at, .left = rc_msgpack_left(reader)};
    if (!head_read(&head, value)) {
        return -EBADMSG;
    }
    reader->at = head.at;
    return 0;
}

int rc_msgpack_peek(const struct rc_msgpack_reader *reader, struct rc_msgpack_value *value)
{
    struct rc_msgpack_reader ahead = *reader;
    return rc_msgpack_next(&ahead, value);
}

int rc_msgpack_skip(struct rc_msgpack_reader *reader, struct rc_span *raw)
{
    struct rc_msgpack_reader ahead = *reader;
    uint64_t open[RC_MSGPACK_DEPTH_MAX]; /* values still to come in each container around */
    uint32_t depth = 0;
    do {
        struct rc_msgpack_value value;
        const int rc = rc_msgpack_next(&ahead, &value);
        if (rc < 0) {
            return rc;
        }
        if (depth > 0) {
            open[depth - 1]--;
        }
        if (value.type == RC_MSGPACK_ARRAY || value.type == RC_MSGPACK_MAP) {
            if (depth == RC_MSGPACK_DEPTH_MAX) {
                return -EOVERFLOW;
            }
            open[depth++] = (uint64_t)value.count * (value.type == RC_MSGPACK_MAP ? 2u : 1u);
        }
        while (depth > 0 && open[depth - 1] == 0) {
            depth--;
        }
    } while (depth > 0);
    if (raw != NULL) {
        *raw = rc_span_of(reader->at, (size_t)(ahead.at - reader->at));
    }
    reader->at = ahead.at;
    return 0;
}

static int reader_expect(struct rc_msgpack_reader *reader, enum rc_msgpack_type type, struct rc_msgpack_value *value)
{
    const int rc = rc_msgpack_peek(reader, value);
    if (rc < 0 || value->type != type) {
        return -EBADMSG;
    }
    return rc_msgpack_next(reader, value);
}

int rc_msgpack_array(struct rc_msgpack_reader *reader, uint32_t *count)
{
    struct rc_msgpack_value value;
    const int rc = reader_expect(reader, RC_MSGPACK_ARRAY, &value);
    *count = rc == 0 ? value.count : 0;
    return rc;
}

int rc_msgpack_map(struct rc_msgpack_reader *reader, uint32_t *count)
{
    struct rc_msgpack_value value;
    const int rc = reader_expect(reader, RC_MSGPACK_MAP, &value);
    *count = rc == 0 ? value.count : 0;
    return rc;
}

int rc_msgpack_string(struct rc_msgpack_reader *reader, struct rc_span *text)
{
    struct rc_msgpack_value value;
    const int rc = reader_expect(reader, RC_MSGPACK_STRING, &value);
    *text = rc == 0 ? value.bytes : (struct rc_span){0};
    return rc;
}

bool rc_msgpack_undefined(const struct rc_msgpack_value *value)
{
    return value->type == RC_MSGPACK_EXTENSION && value->extension == 0 && value->fixed && value->bytes.count == 1;
}

bool rc_msgpack_timestamp(const struct rc_msgpack_value *value, double *milliseconds)
{
    const uint8_t *at = value->bytes.bytes;
    double ms;
    if (value->type != RC_MSGPACK_EXTENSION) {
        return false;
    }
    if (value->extension == -1 && value->bytes.count == 4) {
        ms = (double)rc_be_get(at, 4) * 1e3;
    } else if (value->extension == -1 && value->bytes.count == 8) {
        const uint64_t bits = rc_be_get(at, 8);
        ms = (double)(bits & 0x3ffffffff) * 1e3 + (double)(bits >> 34) / 1e6;
    } else if (value->extension == -1 && value->bytes.count == 12) {
        ms = (double)(int64_t)rc_be_get(at + 4, 8) * 1e3 + (double)rc_be_get(at, 4) / 1e6;
    } else if (value->extension == 0 && value->fixed && value->bytes.count == 8) {
        ms = (double)(int64_t)rc_be_get(at, 8);
    } else {
        return false;
    }
    *milliseconds = fabs(ms) <= DATE_MAX_MS ? trunc(ms) : (double)NAN;
    return true;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

/* Where `count` bytes are to be written; NULL when they do not fit. */
static uint8_t *writer_claim(struct rc_msgpack_writer *writer, size_t count)
{
    if (writer->full || count > writer->room - writer->count) {
        writer->full = true;
        return NULL;
    }
    uint8_t *at = writer->bytes + writer->count;
    writer->count += count;
    return at;
}

/* A first byte and a number of so many bytes. */
static void writer_put_marked(struct rc_msgpack_writer *writer, uint8_t mark, uint64_t number, size_t bytes)
{
    uint8_t *at = writer_claim(writer, 1 + bytes);
    if (at == NULL) {
        return;
    }
    at[0] = mark;
    rc_be_put(at + 1, number, bytes);
}

void rc_msgpack_put_raw(struct rc_msgpack_writer *writer, struct rc_span bytes)
{
    uint8_t *at = writer_claim(writer, bytes.count);
    if (at != NULL && bytes.count > 0) { /* the bytes of a zero count may be NULL */
        memmove(at, bytes.bytes, bytes.count);
    }
}

void rc_msgpack_put_nil(struct rc_msgpack_writer *writer)
{
    writer_put_marked(writer, 0xc0, 0, 0);
}

void rc_msgpack_put_boolean(struct rc_msgpack_writer *writer, bool value)
{
    writer_put_marked(writer, value ? 0xc3 : 0xc2, 0, 0);
}

void rc_msgpack_put_unsigned(struct rc_msgpack_writer *writer, uint64_t value)
{
    if (value < 0x80) {
        writer_put_marked(writer, (uint8_t)value, 0, 0);
    } else if (value <= UINT8_MAX) {
        writer_put_marked(writer, 0xcc, value, 1);
    } else if (value <= UINT16_MAX) {
        writer_put_marked(writer, 0xcd, value, 2);
    } else if (value <= UINT32_MAX) {
        writer_put_marked(writer, 0xce, value, 4);
    } else {
        writer_put_marked(writer, 0xcf, value, 8);
    }
}

void rc_msgpack_put_integer(struct rc_msgpack_writer *writer, int64_t value)
{
    const uint64_t bits = (uint64_t)value;
    if (value >= 0) {
        rc_msgpack_put_unsigned(writer, bits);
    } else if (value >= -0x20) {
        writer_put_marked(writer, (uint8_t)bits, 0, 0);
    } else if (value >= INT8_MIN) {
        writer_put_marked(writer, 0xd0, bits, 1);
    } else if (value >= INT16_MIN) {
        writer_put_marked(writer, 0xd1, bits, 2);
    } else if (value >= INT32_MIN) {
        writer_put_marked(writer, 0xd2, bits, 4);
    } else {
        writer_put_marked(writer, 0xd3, bits, 8);
    }
}

void rc_msgpack_put_number(struct rc_msgpack_writer *writer, double value)
{
    const double two_63 = 9223372036854775808.0;
    uint64_t bits;
    if (floor(value) == value && value >= 0 && value < 2 * two_63) {
        rc_msgpack_put_unsigned(writer, (uint64_t)value);
    } else if (floor(value) == value && value < 0 && value >= -two_63) {
        rc_msgpack_put_integer(writer, (int64_t)value);
    } else {
        memcpy(&bits, &value, sizeof(bits));
        writer_put_marked(writer, 0xcb, bits, 8);
    }
}

void rc_msgpack_put_string(struct rc_msgpack_writer *writer, struct rc_span text)
{
    RC_ASSERT(text.count <= UINT32_MAX);
    if (text.count < 0x20) {
        writer_put_marked(writer, (uint8_t)(0xa0 | text.count), 0, 0);
    } else if (text.count <= UINT8_MAX) {
        writer_put_marked(writer, 0xd9, text.count, 1);
    } else if (text.count <= UINT16_MAX) {
        writer_put_marked(writer, 0xda, text.count, 2);
    } else {
        writer_put_marked(writer, 0xdb, text.count, 4);
    }
    rc_msgpack_put_raw(writer, text);
}

void rc_msgpack_put_binary(struct rc_msgpack_writer *writer, struct rc_span bytes)
{
    RC_ASSERT(bytes.count <= UINT32_MAX);
    if (bytes.count <= UINT8_MAX) {
        writer_put_marked(writer, 0xc4, bytes.count, 1);
    } else if (bytes.count <= UINT16_MAX) {
        writer_put_marked(writer, 0xc5, bytes.count, 2);
    } else {
        writer_put_marked(writer, 0xc6, bytes.count, 4);
    }
    rc_msgpack_put_raw(writer, bytes);
}

static void writer_put_container(struct rc_msgpack_writer *writer, uint32_t count, uint8_t small, uint8_t large)
{
    if (count < 0x10) {
        writer_put_marked(writer, (uint8_t)(small | count), 0, 0);
    } else if (count <= UINT16_MAX) {
        writer_put_marked(writer, large, count, 2);
    } else {
        writer_put_marked(writer, (uint8_t)(large + 1), count, 4);
    }
}

void rc_msgpack_put_array(struct rc_msgpack_writer *writer, uint32_t count)
{
    writer_put_container(writer, count, 0x90, 0xdc);
}

void rc_msgpack_put_map(struct rc_msgpack_writer *writer, uint32_t count)
{
    writer_put_container(writer, count, 0x80, 0xde);
}

size_t rc_msgpack_open(struct rc_msgpack_writer *writer)
{
    const size_t opened = writer->count;
    (void)writer_claim(writer, 1);
    return opened;
}

/* Writes the head where it was left out, and makes room for it when it is longer than the byte that was left. */
static void writer_close(struct rc_msgpack_writer *writer, size_t opened, uint32_t count, uint8_t small, uint8_t large)
{
    const size_t more = count < 0x10 ? 0 : count <= UINT16_MAX ? 2 : 4;
    const size_t inside = writer->count - opened - 1;
    if (writer_claim(writer, more) == NULL) {
        return;
    }
    uint8_t *head = writer->bytes + opened;
    memmove(head + 1 + more, head + 1, inside);
    struct rc_msgpack_writer at = rc_msgpack_writer_of(head, 1 + more);
    writer_put_container(&at, count, small, large);
}

void rc_msgpack_close_array(struct rc_msgpack_writer *writer, size_t opened, uint32_t count)
{
    writer_close(writer, opened, count, 0x90, 0xdc);
}

void rc_msgpack_close_map(struct rc_msgpack_writer *writer, size_t opened, uint32_t count)
{
    writer_close(writer, opened, count, 0x80, 0xde);
}
