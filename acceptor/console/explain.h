/*
 * explain: `ringcast check FILE --explain-event NAME`: which [[event]] row would take an event, and what would come of it, without a client.
 *
 * Rows are found, guards looked at and templates filled in by the code of the workers (common/config/event_rules.h, worker/gate/). What only
 * connections know is said by whoever asks: who it is, which rooms it is in, what rows have set. Not asked: rates, who else is in a room
 * ({count:ROOM} is 0, {members:ROOM} empty), and backends.
 *
 * Called by `ringcast check`; allocates, and gives all back.
 */
#ifndef RC_ACCEPTOR_CONSOLE_EXPLAIN_H
#define RC_ACCEPTOR_CONSOLE_EXPLAIN_H

#include <stdbool.h>
#include <stdio.h>

#include "common/config/values.h"

#define RC_EXPLAIN_ROOMS_MAX 16u

/* What was asked, as it was typed; all borrowed, NULL: not given. */
struct rc_explain {
    const char *event; /* --explain-event */
    const char *nsp;   /* --nsp: "/" */
    const char *as;    /* --as: "anonymous", "user:42", or "user:42 {"tier":"premium"}" */
    const char *args;  /* --args: a JSON array */
    const char *documents
        [RC_EVENT_DOCUMENTS]; /* --auth, --client, --query, --header, --cookie: JSON objects, by rc_rule_document */
    const char *rooms[RC_EXPLAIN_ROOMS_MAX]; /* --in: those that it is in */
    uint32_t room_count;
    bool server; /* --from server: serverSideEmit */
    bool json;
};

/* The option's place in `explain`, by its name ("--as"), or NULL: it is none of those with a value. For --in there is no more room: `*full`. */
const char **rc_explain_option(struct rc_explain *explain, const char *name, bool *full);

enum rc_explained {
    RC_EXPLAINED_DONE,    /* a row takes it, and it is carried out */
    RC_EXPLAINED_REFUSED, /* nothing is done: a guard, a value that is missing, no row, no such namespace */
    RC_EXPLAINED_WRONG,   /* what was asked makes no sense: a line on standard error says why */
};

/* `file`: how lines name the configuration. */
enum rc_explained rc_explain_run(const struct rc_explain *explain, const char *file, const struct rc_config *config,
                                 FILE *out);

#endif
