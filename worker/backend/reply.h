/*
 * reply: what a backend's answer wants to be done: the operation list of docs/hook.md, which POST /api/do takes as well.
 *
 *   {"user":…,"set":…,"leave":[…],"join":[…],"retain":[…],"ack":[…],"emit":[…],"error":…,"disconnect":…,"do":[{…},…]}
 *
 * Read once and checked as a whole before anything of it is done: a member of a wrong type refuses all of it, one that is not known is passed over.
 * Everything points into the text, which is the caller's and stays. At most RC_REPLY_OPERATIONS_MAX operations, each room that is
 * joined or left among them. Pure; what fails is what somebody sent: a sentence in `err`.
 */
#ifndef RC_WORKER_BACKEND_REPLY_H
#define RC_WORKER_BACKEND_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"
#include "common/text/json_scan.h"
#include "worker/backend/question.h"

#define RC_REPLY_OPERATIONS_MAX 256u
#define RC_REPLY_TOKEN_MAX 128u   /* bytes of what answers of an emit are called, decoded */
#define RC_REPLY_MESSAGE_MAX 256u /* bytes of an error's message, decoded */

enum rc_reply_type {
    RC_REPLY_USER,       /* value: an object with `id` */
    RC_REPLY_SET,        /* value: an object */
    RC_REPLY_LEAVE,      /* name: a room */
    RC_REPLY_JOIN,       /* name: a room */
    RC_REPLY_RETAIN,     /* name: a room; value: JSON, null takes its retained value away; key */
    RC_REPLY_ACK,        /* value: an array */
    RC_REPLY_EMIT,       /* name: the event, and the members below */
    RC_REPLY_ERROR,      /* code; name: the message */
    RC_REPLY_DISCONNECT, /* from the namespace, or `closes` the connection */
};

struct rc_reply_operation {
    uint8_t type;     /* enum rc_reply_type */
    bool others;      /* EMIT: not to who sent the event */
    bool is_volatile; /* EMIT: not for who cannot take it when it comes */
    bool closes;      /* DISCONNECT */
    uint32_t code;
    struct rc_json_value name;   /* a string */
    struct rc_span value;        /* JSON: ACK, EMIT: an array of arguments; empty: none */
    struct rc_json_value key;    /* RETAIN: a string; NONE: none */
    struct rc_json_value to;     /* EMIT: a room or an array of rooms; NONE: who sent the event */
    struct rc_json_value except; /* EMIT: likewise; NONE: nobody */
    struct rc_json_value nsp;    /* EMIT: a string; NONE: the namespace of the call */
    struct rc_span attachments;  /* ACK, EMIT: an array of base64 texts; empty: none */
    struct rc_json_value ack;    /* EMIT: a string, what answers are to be called; NONE: none are wanted */
    uint32_t timeout_ms;         /* EMIT: of them; 0: as the server says */
};

struct rc_reply {
    uint32_t count;
    struct rc_reply_operation operations[RC_REPLY_OPERATIONS_MAX]; /* in the order in which they are to be done */
};

/* 0, or -EBADMSG. An empty text is no operation. */
int rc_reply_read(struct rc_reply *reply, struct rc_span text, struct rc_err *err);

/* Whom operations are for, beside them in the body of POST /api/do: JSON as it stands there, NONE where it is not. `user` is a text or a number; an
 * object of that name is the operation. */
struct rc_reply_aim {
    struct rc_json_value client;
    struct rc_json_value user;
    struct rc_json_value room;
    struct rc_json_value nsp;
    struct rc_json_value backend;
};
int rc_reply_read_aimed(struct rc_reply *reply, struct rc_reply_aim *aim, struct rc_span text, struct rc_err *err);

/* A room's name, an event, a message: at most `max` bytes without control characters (which rc_reply_read has seen to). */
struct rc_span rc_reply_text(const struct rc_json_value *value, uint8_t *scratch, size_t max);

/* The rooms of `to` or `except`, one after the other: *at begins at 0. False at the end. */
struct rc_reply_rooms {
    struct rc_json_cursor cursor;
    const struct rc_json_value *of;
    uint32_t given;
};
void rc_reply_rooms_begin(struct rc_reply_rooms *rooms, const struct rc_json_value *of);
bool rc_reply_rooms_next(struct rc_reply_rooms *rooms, uint8_t scratch[RC_CHANNEL_NAME_MAX], struct rc_span *room);

/* Decodes the attachments into `out`, which has room for three quarters of their text; the spans point there. How many, at most `max`. */
uint32_t rc_reply_attachments(struct rc_span attachments, uint8_t *out, struct rc_span *spans, uint32_t max);

#endif
