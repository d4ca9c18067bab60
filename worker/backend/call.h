/*
 * call: the frames that backends are sent, one for all calls, and what the replies to `connect`, `subscribe`, `publish` and `refresh` say.
 *
 *   {"call":"event","id":"web1~0-…","instance":"web1","nsp":"/","sid":"…","user":{"id":"42",…}|null,"client":{…}, …its own}
 *
 * A frame is written member by member into memory of its own and given to rc_backend_call, which copies it. Owned by who writes it, for
 * the time of a call; one thread. What fails is memory, told once at the end.
 */
#ifndef RC_WORKER_BACKEND_CALL_H
#define RC_WORKER_BACKEND_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "worker/backend/backend.h"
#include "worker/backend/reply.h"

struct rc_backend_frame {
    uint8_t *bytes; /* owned */
    size_t count;
    size_t capacity;
    bool failed; /* no memory */
    struct rc_backend_request request;
};

/* Of whom a call is. JSON texts; empty: null, or an object without members. */
struct rc_backend_caller {
    struct rc_span nsp;    /* text: the Socket.IO namespace; empty: a client that speaks no Socket.IO */
    struct rc_span sid;    /* text: of its socket, or the client's id; empty: it has none yet */
    struct rc_span user;   /* JSON (rc_client_user_json) */
    struct rc_span client; /* JSON (rc_client_set) */
};

void rc_backend_frame_begin(struct rc_backend_frame *frame, struct rc_backends *backends,
                            enum rc_backend_call_kind kind, const struct rc_backend_caller *caller);
/* Members: a text; JSON (empty: null); a boolean; an array of base64 texts, none where count is 0. */
void rc_backend_frame_text(struct rc_backend_frame *frame, const char *name, struct rc_span text);
void rc_backend_frame_json(struct rc_backend_frame *frame, const char *name, struct rc_span json);
void rc_backend_frame_bool(struct rc_backend_frame *frame, const char *name, bool value);
void rc_backend_frame_base64(struct rc_backend_frame *frame, const char *name, const struct rc_span *bytes,
                             uint32_t count);
/* "args", and the "attachments" of which they have placeholders: an event's arguments (common/records/args.h), as this process wrote them. */
void rc_backend_frame_args(struct rc_backend_frame *frame, struct rc_span args);
/* An array of texts, one after the other. */
void rc_backend_frame_list_begin(struct rc_backend_frame *frame, const char *name);
void rc_backend_frame_list_text(struct rc_backend_frame *frame, struct rc_span text);
void rc_backend_frame_list_end(struct rc_backend_frame *frame);
/* Its last byte is written: frame->request is what is asked. False: there was no memory. */
bool rc_backend_frame_end(struct rc_backend_frame *frame);
/* Ends the frame, asks, and gives its memory back. As rc_backend_call. */
int rc_backend_frame_call(struct rc_backend_frame *frame, struct rc_backends *backends, uint32_t backend,
                          struct rc_backend_waiter waiter);
/* The frame is not sent. */
void rc_backend_frame_drop(struct rc_backend_frame *frame);

/* SHA-256 of the parts, each with its length before it: the key of calls whose answers are the same. */
void rc_backend_key(uint8_t key[RC_BACKEND_KEY_BYTES], const struct rc_span *parts, uint32_t count);

/* --- connect --- */

struct rc_backend_connect {
    struct rc_backend_caller caller;
    struct rc_span auth;      /* JSON: what it said who it is */
    struct rc_span query;     /* JSON object */
    struct rc_span headers;   /* JSON object of the forwarded headers */
    struct rc_span forwarded; /* the same as lines (rc_backend_forward) */
    struct rc_span address;   /* text */
    const char *transport;    /* "websocket", "polling" */
    bool recovered;
    const struct rc_span *credentials; /* what makes the answer what it is; none: it is not shared */
    uint32_t credential_count;
};

/* Begins, writes and ends the frame of a connect; then rc_backend_frame_call. */
void rc_backend_connect_request_write(struct rc_backend_frame *frame, struct rc_backends *backends,
                                      const struct rc_backend_connect *connect);

enum rc_backend_verdict {
    RC_BACKEND_ACCEPTED,  /* `user` may be empty: anonymous */
    RC_BACKEND_DENIED,    /* it said no: `message`, `data` */
    RC_BACKEND_NO_ANSWER, /* none that counts: the backend's on_failure decides */
};

#define RC_BACKEND_MESSAGE_MAX 255u

struct rc_backend_connect_reply {
    enum rc_backend_verdict verdict;
    struct rc_json_value user_id; /* ACCEPTED: a string of 1 to 250 bytes, or NONE: anonymous (rc_reply_text) */
    struct rc_span user;          /* ACCEPTED: the JSON object with `id` and attributes; empty: anonymous */
    struct rc_span client;        /* ACCEPTED: JSON object to be set on the connection; empty: nothing */
    uint64_t expire_at_s;         /* Unix time; 0: never */
    bool expired;                 /* refresh: it is not renewed */
    struct rc_span message;       /* DENIED: text, in `text` or static; empty: none was given */
    struct rc_span data;          /* DENIED: JSON; empty: none */
    uint8_t text[RC_BACKEND_MESSAGE_MAX];
    const char
        *why;     /* NO_ANSWER: for logs. Also of a reply that was refused: rc_backend_reply_refused was not told yet */
    bool refused; /* NO_ANSWER: it was an answer 200, but no reply */
};

/* Points into the answer. `operations` gets what else is to be done (not `user` and `set`, which are above); NULL: nothing is. */
void rc_backend_connect_reply_read(struct rc_backend_connect_reply *reply, struct rc_reply *operations,
                                   const struct rc_backend_answer *answer);
/* The same of `refresh`: 200 {"expire_at":…}, with `user` and `client` where they have changed, or {"expired":true}. What says neither is no
 * reply: nothing is renewed by mistake. */
void rc_backend_refresh_reply_read(struct rc_backend_connect_reply *reply, const struct rc_backend_answer *answer);

/* --- subscribe, publish --- */

struct rc_backend_allow_reply {
    enum rc_backend_verdict verdict;
    struct rc_span data; /* publish: JSON to be published in place of what came; empty: that */
    const char *why;     /* NO_ANSWER */
    bool refused;
};
/* 200 {"allow":true,…}; 204 and an empty 200 allow; 401, 403 and every other 4xx deny. `operations` may be NULL. */
void rc_backend_allow_reply_read(struct rc_backend_allow_reply *reply, struct rc_reply *operations,
                                 const struct rc_backend_answer *answer);

#endif
