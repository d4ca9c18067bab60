/*
 * explain_say: what `ringcast check --explain-event` has found out, for people or as JSON. See explain.h.
 *
 * As JSON: {"event","nsp","user","rows":[{"file","line","on","result","room","guards":[…],"does":[…],"told":{…}}],"outcome"}; `does` has one member
 * of an [[event]] row each. Owned by the caller, on its stack; errors of the stream are the caller's to ask for.
 */
#ifndef RC_ACCEPTOR_CONSOLE_EXPLAIN_SAY_H
#define RC_ACCEPTOR_CONSOLE_EXPLAIN_SAY_H

#include <stdbool.h>
#include <stdio.h>

#include "common/base/span.h"
#include "common/config/values.h"

struct rc_say {
    FILE *out;                      /* borrowed */
    const struct rc_config *config; /* borrowed */
    const char *file;               /* borrowed: the configuration's name */
    bool json;
    bool in_rows;     /* a row was said */
    const char *list; /* JSON: the member of the row that is open, "guards" or "does"; NULL: none is */
    FILE *held;       /* what `out` was before rc_say_hold */
    char *text;       /* owned while it is held */
    size_t bytes;
};

/* What an emit does. */
struct rc_say_emit {
    struct rc_span event;
    struct rc_span args;          /* a JSON array */
    const struct rc_span *to;     /* rooms */
    const struct rc_span *except; /* rooms whose members do not get it */
    uint32_t except_count;
    uint32_t to_count; /* 0: by the flags */
    uint32_t flags;    /* RC_EVENT_TO_SENDER and so on */
    enum rc_event_when when;
    struct rc_span when_room;
};

/* A text as a JSON string. */
void rc_say_string(FILE *out, struct rc_span text);

void rc_say_begin(struct rc_say *say, struct rc_span event, struct rc_span nsp, const char *user_json, bool server);
/* "done", "refused", or why nobody takes it. */
void rc_say_end(struct rc_say *say, const char *outcome, const char *why);

/* `result`: "takes it", "passed over"; `room`: of `each`, else empty. */
void rc_say_row(struct rc_say *say, const struct rc_config_event *row, struct rc_span room, const char *result);
void rc_say_row_end(struct rc_say *say);

bool rc_say_guard_is_there(const struct rc_config_event *row, enum rc_event_guard guard);
void rc_say_guard(struct rc_say *say, const struct rc_config_event *row, enum rc_event_guard guard, const char *result);

/* What is said from here on may be taken back (not when there is no memory for it). */
void rc_say_hold(struct rc_say *say);
void rc_say_release(struct rc_say *say, bool taken_back);

/* One thing that is done: `key` of the row, and its value as text or as JSON. */
void rc_say_text(struct rc_say *say, const char *key, struct rc_span text);
void rc_say_json(struct rc_say *say, const char *key, struct rc_span json);
void rc_say_emit(struct rc_say *say, const struct rc_say_emit *emit);
/* A refusal: by an event, or in place of the acknowledgement. */
void rc_say_told(struct rc_say *say, struct rc_span event, struct rc_span error, struct rc_span ack);

#endif
