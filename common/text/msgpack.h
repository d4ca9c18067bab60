/*
 * msgpack: reads and writes MessagePack (msgpack spec, 2021) as notepack.io 3 does, which is what Socket.IO's adapters and its
 * msgpack parser speak. Nothing is built or allocated: a reader pulls one head after the other, a writer fills a bounded buffer.
 *
 *     struct rc_msgpack_reader reader = rc_msgpack_reader_of(bytes);
 *     struct rc_msgpack_value value;
 *     int rc = rc_msgpack_next(&reader, &value);            // RC_MSGPACK_ARRAY: value.count elements follow
 *
 * A head whose length or count is more than what is left of the bytes is refused when it is read: an array of 2^32 elements
 * costs nothing. Whole values are walked without recursion, RC_MSGPACK_DEPTH_MAX deep at most.
 *
 * The caller owns reader, writer and bytes; spans point into the bytes. Any process may use it, on any thread. Errors are negative
 * errnos: -EBADMSG not msgpack, or cut off; -EOVERFLOW nested too deeply; -EMSGSIZE the writer's buffer is full.
 */
#ifndef RC_COMMON_TEXT_MSGPACK_H
#define RC_COMMON_TEXT_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

/* Arrays and maps inside each other, the outermost counted. */
#define RC_MSGPACK_DEPTH_MAX 64u

/* Those up to STRING may be the key of a pair. */
enum rc_msgpack_type {
    RC_MSGPACK_NIL,
    RC_MSGPACK_BOOLEAN,
    RC_MSGPACK_UNSIGNED, /* >= 0, whatever form it has */
    RC_MSGPACK_NEGATIVE, /* < 0 */
    RC_MSGPACK_FLOAT,    /* 32 or 64 bits */
    RC_MSGPACK_STRING,   /* not checked for UTF-8 */
    RC_MSGPACK_BINARY,
    RC_MSGPACK_ARRAY, /* `count` values follow */
    RC_MSGPACK_MAP,   /* `count` times key and value follow */
    RC_MSGPACK_EXTENSION,
};

/* A scalar, or the head of a container. */
struct rc_msgpack_value {
    enum rc_msgpack_type type;
    int8_t extension; /* its type */
    bool fixed;       /* an extension in a form of a fixed size: notepack tells its older types apart by that */
    bool boolean;
    uint32_t count;       /* elements, pairs */
    struct rc_span bytes; /* string, binary, extension */
    union {
        uint64_t whole; /* unsigned */
        int64_t negative;
        double number; /* float */
    };
};

struct rc_msgpack_reader {
    const uint8_t *at;  /* borrowed */
    const uint8_t *end; /* borrowed */
};

static inline struct rc_msgpack_reader rc_msgpack_reader_of(struct rc_span bytes)
{
    /* The bytes of a zero count may be NULL. */
    return (struct rc_msgpack_reader){.at = bytes.bytes,
                                      .end = bytes.count > 0 ? bytes.bytes + bytes.count : bytes.bytes};
}

static inline size_t rc_msgpack_left(const struct rc_msgpack_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* Takes one scalar or one container's head. 0, -EBADMSG; after an error the reader stands where it stood. */
int rc_msgpack_next(struct rc_msgpack_reader *reader, struct rc_msgpack_value *value);
/* The same without taking it. */
int rc_msgpack_peek(const struct rc_msgpack_reader *reader, struct rc_msgpack_value *value);
/* Takes one whole value. `*raw`, unless raw is NULL, becomes its bytes. 0, -EBADMSG, -EOVERFLOW. */
int rc_msgpack_skip(struct rc_msgpack_reader *reader, struct rc_span *raw);

/* Takes a container's head, or a string. 0; -EBADMSG also when the next value is another. */
int rc_msgpack_array(struct rc_msgpack_reader *reader, uint32_t *count);
int rc_msgpack_map(struct rc_msgpack_reader *reader, uint32_t *count);
int rc_msgpack_string(struct rc_msgpack_reader *reader, struct rc_span *text);

/* What notepack before 3 makes of undefined: extension 0, fixed, of 1 byte. */
bool rc_msgpack_undefined(const struct rc_msgpack_value *value);
/* A timestamp (extension -1, or notepack's older 0, fixed, of 8 bytes) in milliseconds since 1970 as a JavaScript Date has it: whole, NAN when
 * it is beyond what a Date can hold. False: the value is none. */
bool rc_msgpack_timestamp(const struct rc_msgpack_value *value, double *milliseconds);

/* --- writing --- */

/* Whoever writes looks at `full` once, at the end: what does not fit is not written, and nothing after it. */
struct rc_msgpack_writer {
    uint8_t *bytes; /* borrowed */
    size_t room;
    size_t count; /* written */
    bool full;    /* true exactly when something did not fit */
};

static inline struct rc_msgpack_writer rc_msgpack_writer_of(uint8_t *bytes, size_t room)
{
    return (struct rc_msgpack_writer){.bytes = bytes, .room = room};
}

/* What was written; count 0 when something did not fit. */
static inline struct rc_span rc_msgpack_written(const struct rc_msgpack_writer *writer)
{
    return rc_span_of(writer->bytes, writer->full ? 0 : writer->count);
}

void rc_msgpack_put_nil(struct rc_msgpack_writer *writer);
void rc_msgpack_put_boolean(struct rc_msgpack_writer *writer, bool value);
void rc_msgpack_put_unsigned(struct rc_msgpack_writer *writer, uint64_t value);
void rc_msgpack_put_integer(struct rc_msgpack_writer *writer, int64_t value);
/* As notepack writes a JavaScript number: whole ones as integers while they fit 64 bits (-0 is 0), all others as 64-bit floats. */
void rc_msgpack_put_number(struct rc_msgpack_writer *writer, double value);
/* Strings and binary: at most UINT32_MAX bytes, which may lie in the writer's buffer, five or more bytes behind what is written. */
void rc_msgpack_put_string(struct rc_msgpack_writer *writer, struct rc_span text);
void rc_msgpack_put_binary(struct rc_msgpack_writer *writer, struct rc_span bytes);
/* Heads: as many values, or pairs, have to follow. */
void rc_msgpack_put_array(struct rc_msgpack_writer *writer, uint32_t count);
void rc_msgpack_put_map(struct rc_msgpack_writer *writer, uint32_t count);
/* Bytes that are msgpack already. */
void rc_msgpack_put_raw(struct rc_msgpack_writer *writer, struct rc_span bytes);

/* A container whose size is known only at its end: nothing is moved when it has at most 15 elements or pairs. */
size_t rc_msgpack_open(struct rc_msgpack_writer *writer);
void rc_msgpack_close_array(struct rc_msgpack_writer *writer, size_t opened, uint32_t count);
void rc_msgpack_close_map(struct rc_msgpack_writer *writer, size_t opened, uint32_t count);

#endif
