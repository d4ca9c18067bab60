/*
 * msgpack_json: the same value as msgpack and as JSON text with binary attachments, each as JavaScript would have made it.
 *
 * JSON has no binary: a bin is an attachment, and {"_placeholder":true,"num":n} in its place (socket.io-protocol 5). One pass, no
 * recursion, no allocation, nesting bounded (RC_MSGPACK_DEPTH_MAX). Any process may use it, on any thread.
 *
 * Errors are negative errnos: -EBADMSG malformed; -EILSEQ a string that is not UTF-8; -EOVERFLOW nested too deeply; -EMSGSIZE does not
 * fit the buffer; -E2BIG more attachments than there is room for.
 */
#ifndef RC_COMMON_TEXT_MSGPACK_JSON_H
#define RC_COMMON_TEXT_MSGPACK_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/text/msgpack.h"

/* --- msgpack to JSON --- */

/* Upper bound of the text of so many bytes of msgpack. */
#define RC_MSGPACK_JSON_BYTES_MAX(bytes, attachments) (6 * (size_t)(bytes) + 40 * (size_t)(attachments) + 2)

struct rc_msgpack_json {
    uint8_t *text; /* borrowed: where the JSON text goes */
    size_t room;
    size_t count;                /* bytes of text so far */
    struct rc_span *attachments; /* borrowed: spans into the msgpack; may be NULL when attachment_max is 0 */
    uint32_t attachment_max;
    uint32_t attachment_count;
};

/*
 * Takes one value off the reader and appends its text. Integers are exact; floats as JSON.stringify writes them (NaN and infinite: null);
 * timestamps as toISOString does (null when they are no date); undefined (rc_msgpack_undefined) is null, and in a map its pair is
 * left out; extension 0 otherwise is binary; other extensions are [type, binary]. Keys that are numbers, booleans or nil are their text. A
 * pair whose key occurs twice is written twice. After an error reader and text are where they happened to be.
 */
int rc_msgpack_to_json(struct rc_msgpack_reader *reader, struct rc_msgpack_json *json);
/* The same for `count` values, as one array. */
int rc_msgpack_to_json_array(struct rc_msgpack_reader *reader, uint32_t count, struct rc_msgpack_json *json);

/* --- JSON to msgpack --- */

/* Upper bound of the msgpack of so many bytes of text. `attachment_bytes`: of all together. */
#define RC_JSON_MSGPACK_BYTES_MAX(bytes, attachment_bytes, attachments) \
    (3 * (size_t)(bytes) + (size_t)(attachment_bytes) + 5 * (size_t)(attachments) + 9)

/*
 * Appends the msgpack of a JSON text, as notepack encodes what JSON.parse makes of it; but integers written as such are exact up to 64
 * bits, numbers beyond are floats (notepack writes them wrongly), and an escaped lone surrogate is U+FFFD. With attachments an object with
 * "_placeholder":true is the attachment of its "num" (-EBADMSG: there is none). The text is not checked for UTF-8. 0 also when
 * the writer is full: it says so itself. After an error what was written is unspecified.
 */
int rc_json_to_msgpack(struct rc_msgpack_writer *writer, struct rc_span json, const struct rc_span *attachments,
                       uint32_t attachment_count);
/* The same of an array, with a string put before its elements, and one behind them (`last`, if it is not empty): [event, ...args]. -EBADMSG also when the JSON is no array. */
int rc_json_to_msgpack_event(struct rc_msgpack_writer *writer, struct rc_span event, struct rc_span array,
                             const struct rc_span *attachments, uint32_t attachment_count, struct rc_span last);

#endif
