/*
 * rule_state: the state of a row that is being carried out, as the files of worker/engine share it. See rule_run.h.
 *
 * Owned by the run's caller, on its stack; one thread.
 */
#ifndef RC_WORKER_ENGINE_RULE_STATE_H
#define RC_WORKER_ENGINE_RULE_STATE_H

#include "common/records/args.h"
#include "worker/engine/session.h"
#include "worker/gate/rule_values.h"
#include "worker/limits/limits.h"

/* Who wants what the row of a server's event acknowledges: a JSON array, valid within the call. */
struct rc_rules_answer {
    void *context;
    void (*put)(void *context, struct rc_span values);
};

/* What a guard says (rule_guard.h). */
enum rc_rule_guarded {
    RC_RULE_PASSES,
    RC_RULE_REFUSED, /* run->code, run->why and run->guard say why */
    RC_RULE_WAITS,   /* it cannot be told yet: call again when the client goes on */
};

struct rc_rule_run {
    struct rc_engines *engines;
    struct rc_clients *clients;
    uint32_t client; /* 0: a server said it */
    uint64_t random; /* the client's: it may end by what is done */
    struct rc_span nsp;
    struct rc_span event;
    struct rc_span id;          /* of the acknowledgement that is asked for; empty = none */
    struct rc_span args;        /* as rc_args has them; empty = none */
    struct rc_args_view its;    /* of them */
    struct rc_args_index index; /* in `its.json`, where input.index is it */
    const struct rc_span *auth; /* what it says just now that it connects; NULL: what was kept of that counts */
    const struct rc_config_event *row;
    struct rc_rule_input input; /* as it was when the event came: a row that sets attributes has others in `values` */
    struct rc_rule_values values;
    struct rc_span rooms;                /* of the emit that is sent: as of struct rc_operation */
    struct rc_span except;               /* likewise */
    uint32_t step;                       /* the next one */
    bool asked;                          /* true exactly when `input` may hold what a row has asked for */
    const struct rc_config_event *taken; /* the row that `values` are of; NULL = none */
    uint32_t *done;
    /* What *done of the packet is behind so many steps, of one that may be known (worker/store/receiving.h); NULL: it is not */
    uint32_t (*stepped)(const struct rc_rule_run *run, uint32_t steps);
    uint32_t before; /* of a socket's beginning: steps of what came before the row: its CONNECT, other rows */
    bool ends;       /* it is the client's end that is being told of */
    bool dry;        /* only looks whether everything could be worked out */
    int code;        /* why not: 0 = it could */
    const char *why;
    struct rc_rule_wait *departs;         /* of a client that is about to be no more: where it waits (rule_wait.h) */
    const struct rc_rules_answer *answer; /* of a server that wants one; NULL = none */
    enum rc_event_guard guard;            /* the one that refused; RC_GUARDS = none did */
    char rate_text[RC_BACKEND_MESSAGE_MAX + 1]; /* why, where that is made up */
    char sid[RC_SID_BYTES];
    uint8_t user[RC_CLIENT_USER_JSON_MAX];
    uint8_t set[RC_RULE_SET_MAX];
};

static inline struct rc_client *rc_rule_state_client(const struct rc_rule_run *run)
{
    return rc_truth_client(run->clients->truth, run->client);
}

/* `code`, once it is noted. */
static inline int rc_rule_state_fail(struct rc_rule_run *run, int code, const char *why)
{
    run->code = code;
    run->why = why;
    return code;
}

#endif
