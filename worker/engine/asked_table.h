/*
 * asked_table: what backends are asked, as asked has it: each in the truth (worker/store/hook.h), for a successor, and beside that what this process
 * alone knows. Found by client, the newest first.
 *
 * Used by asked alone. One thread.
 */
#ifndef RC_WORKER_ENGINE_ASKED_TABLE_H
#define RC_WORKER_ENGINE_ASKED_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/backend/call.h"
#include "worker/engine/session.h"

/* What there is beside a struct rc_hook. */
struct rc_asked {
    struct rc_asked *previous;
    struct rc_asked *next;
    struct rc_asked *previous_of_client;
    struct rc_asked *next_of_client;
    struct rc_engines *engines;
    struct rc_hook *its; /* in the truth: also the reply, while it waits */
    uint32_t index;      /* of that */
    bool lost;           /* the process that asked is no more, and nobody waits for the reply */
    uint8_t rules;       /* engines->rules when it was asked */
    uint32_t row;        /* whose event it is, from 1; 0 = none's, or it is not known */
    char *event;         /* owned, while something is traced: its name; NULL = it is not known */
};

static inline bool rc_asked_flag(const struct rc_asked *asked, enum rc_hook_flags flag)
{
    return (asked->its->flags & flag) != 0;
}

static inline struct rc_span rc_asked_nsp(const struct rc_asked *asked)
{
    return rc_span_of(asked->its->nsp, asked->its->nsp_bytes);
}

/* Not there yet (rc_asked_begin). `client` 0: of another server's. NULL: no memory. */
struct rc_asked *rc_asked_new(struct rc_engines *engines, uint32_t client, uint32_t backend,
                              enum rc_backend_call_kind kind, const struct rc_operation *operation, uint8_t flags);
/* One of a former process, of which the truth has `index`: this one's from now on. NULL: no memory. */
struct rc_asked *rc_asked_take(struct rc_engines *engines, uint32_t index);
/* All that a successor needs is there. */
void rc_asked_begin(struct rc_asked *asked);
/* A reply waits, and its client is in a namespace; or nobody waits for one any more. */
bool rc_asked_waits(const struct rc_asked *asked);
/* Index of its backend, as the configuration is now: never of another one. RC_CONFIG_BACKENDS_MAX: a reload has taken it away. */
uint32_t rc_asked_index(const struct rc_asked *asked);
/* Of the backend; NULL: a reload has taken it away. */
const struct rc_config_backend *rc_asked_settings(const struct rc_asked *asked);
/* Its name; empty: a reload has taken it away. */
struct rc_span rc_asked_backend(const struct rc_asked *asked);
/* How many are asked, or are to be carried out, for the client. */
uint32_t rc_asked_count_of(const struct rc_engines *engines, uint32_t client, uint64_t random);
/* What is asked stays for a successor that may ask it again, in what input leaves free; else it will be answered as one that is not. */
void rc_asked_keep_request(struct rc_asked *asked, struct rc_span body);
/* The reply waits. False: there is no memory. */
bool rc_asked_keep_reply(struct rc_asked *asked, struct rc_span body);
/* Empty: there is none. */
struct rc_span rc_asked_reply(const struct rc_asked *asked);
/* It is over with: nobody finds it any more. */
void rc_asked_free(struct rc_asked *asked);
/* Private memory of it alone: a successor may need the rest. */
void rc_asked_drop(struct rc_asked *asked);
/* Of one in the truth that this process has not taken, or no more. */
void rc_asked_hook_free(struct rc_clients *clients, uint32_t index);

#endif
