/*
 * api: the HTTP API of a running broker, asked over its control socket: no key, no listener and no TLS is needed.
 *
 *   connect ─▶ "api" ─▶ "ok" ─▶ the connection is a worker's: one HTTP request and its answer (docs/api.md)
 *
 * Used by the sub-commands of `ringcast`, in a process of their own. What is wrong is written to standard error by those
 * functions alone that say so.
 */
#ifndef RC_ACCEPTOR_CONSOLE_API_H
#define RC_ACCEPTOR_CONSOLE_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

#define RC_CONSOLE_API_MS 10000u /* until an answer */
#define RC_CONSOLE_API_BYTES_MAX (16u << 20)
#define RC_CONSOLE_API_TARGET_MAX 4096u

struct rc_console_answer {
    int status; /* of HTTP */
    char *body; /* owned: NUL-terminated; NULL = none */
    size_t bytes;
};

/* The target of a request as it grows. */
struct rc_console_target {
    char text[RC_CONSOLE_API_TARGET_MAX];
    size_t bytes;
    bool failed; /* it is too long */
};
void rc_console_target_begin(struct rc_console_target *target, const char *path);
/* "?name=value", percent-encoded (RFC 3986); nothing when `value` is NULL. */
void rc_console_target_add(struct rc_console_target *target, const char *name, const char *value);

/* " name=value" in place of a query, for requests to the acceptor. */
void rc_console_target_word(struct rc_console_target *target, const char *name, const char *value);

/* A connection on which the request has been sent and is being answered; `body` NULL = a GET. Negative errno with `err`. */
int rc_console_api_open(const char *socket, const char *target, const char *body, size_t body_bytes,
                        struct rc_err *err);
/* The whole answer to a request; what is in it is to be freed. 0, or negative errno with `err`. */
int rc_console_api_ask(const char *socket, const char *target, const char *body, size_t body_bytes,
                       struct rc_console_answer *answer, struct rc_err *err);
void rc_console_answer_free(struct rc_console_answer *answer);
/* Why there is no answer, by errno of a recv or 0 when the connection has ended: a negative errno. */
int rc_console_api_silent(struct rc_err *err, int error);
/* What an answer other than 200 says, as a line on standard error. */
void rc_console_answer_say(const struct rc_console_answer *answer);
/* The answer to a GET, parsed and owned; NULL with `err`. */
json_t *rc_console_api_get(const char *socket, const struct rc_console_target *target, struct rc_err *err);
/* The same; NULL after a line on standard error. */
json_t *rc_console_api_json(const char *socket, const struct rc_console_target *target);
/* `before` and who has not answered, without a line's end, when an answer says that it is not all; has it said so? */
bool rc_console_incomplete_say(FILE *out, const char *before, const json_t *answer);
/* The members that say so, into what is made of it. */
void rc_console_incomplete_copy(json_t *to, const json_t *answer);

#endif
