/*
 * answer: an HTTP/1.x answer (RFC 9112) as it comes in, in pieces of any size: what another server says to a request of ours.
 *
 * Owned by whoever reads the connection; libhttp-parser does the splitting. Answers 1xx are passed over, a body is as long as
 * Content-Length, the chunks or the connection's end say. Bounded: the heads (those of 1xx and the trailer included) to
 * RC_HTTP_ANSWER_HEAD_MAX, the body to what the reader says. What fails is what the peer sent.
 */
#ifndef RC_WORKER_HTTP_ANSWER_H
#define RC_WORKER_HTTP_ANSWER_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_HTTP_ANSWER_HEAD_MAX 16384u

enum rc_http_answer_state {
    RC_HTTP_ANSWER_READING,
    RC_HTTP_ANSWER_WHOLE,
    RC_HTTP_ANSWER_GARBAGE,   /* it is none */
    RC_HTTP_ANSWER_TOO_LARGE, /* head or body */
    RC_HTTP_ANSWER_NO_MEMORY,
};

struct rc_http_answer {
    http_parser parser;
    uint8_t *body; /* owned until rc_http_answer_free, or taken over by who sets it to NULL */
    size_t body_bytes;
    size_t body_capacity;
    size_t body_max;
    uint32_t head_bytes;   /* so far, of all that is not body */
    uint32_t keep_alive_s; /* what the header Keep-Alive says it is kept for; 0: nothing */
    uint16_t status;
    uint8_t state;   /* enum rc_http_answer_state */
    bool begun;      /* a byte of it has come */
    bool keep_alive; /* WHOLE: the connection may be used again */
    uint8_t name;    /* of the header that is being read: how much of "keep-alive" it was; 255: another one */
    bool in_value;
    uint8_t value_bytes;
    char value[64]; /* of Keep-Alive */
};

/* `body_max`: largest body, bytes. Nothing is allocated before a body comes. */
void rc_http_answer_begin(struct rc_http_answer *answer, size_t body_max);
void rc_http_answer_free(struct rc_http_answer *answer);

/* Takes bytes in and returns how many were the answer's: fewer than `count` when it ended before (look at `state`). */
size_t rc_http_answer_feed(struct rc_http_answer *answer, const uint8_t *bytes, size_t count);
/* The connection has ended: WHOLE if that is how the answer ends. */
void rc_http_answer_end(struct rc_http_answer *answer);

#endif
