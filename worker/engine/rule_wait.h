/*
 * rule_wait: a row that waits: what was known of its client when its event came, which may change meanwhile, and what it has asked about
 * rooms (rule_room.h).
 *
 * A client has one packet at a time, and so one row that waits; a client that is no more may have several (rows of "disconnect"). Private
 * memory of the worker, as what waits for is: whoever succeeds it begins the row's questions anew. Owned by engines; one thread.
 */
#ifndef RC_WORKER_ENGINE_RULE_WAIT_H
#define RC_WORKER_ENGINE_RULE_WAIT_H

#include "common/records/call.h"
#include "worker/engine/rule_state.h"

#define RC_RULE_DEPARTED_MAX 4096u /* rows of clients that are no more, of a worker */

/* What is asked about one room. */
struct rc_rule_question {
    uint64_t token; /* of worker/uplink/ask.h; 0 = not asked, or answered */
    uint32_t kind;  /* enum rc_event_question_kind */
    uint32_t count; /* of those who have answered */
    bool asked_known;
    bool came;             /* RETAINED: `json` is there, with the registration of its channel */
    uint64_t channel_hash; /* RETAINED: of the channel that the row joins; 0 = it does not */
    struct rc_call_asked asked;
    struct rc_call_asked replied;
    bool others_done; /* other instances: no more comes of them */
    bool local;       /* not all of them have said what they have: what is known has to do */
    uint8_t *json;    /* owned: a list of the entries, as it grows; then the answer */
    size_t bytes;
    size_t room;
};

struct rc_rule_wait {
    struct rc_engines *engines;
    struct rc_rule_wait *next;  /* of its bucket, or of engines->departed */
    uint32_t client;            /* 0: it is no more */
    uint64_t random;            /* its, of the client's name */
    uint32_t row;               /* its index: a reload may bring another configuration with the same rows */
    uint8_t rules;              /* engines->rules when it began */
    struct rc_rule_input input; /* its spans are of `memory` */
    struct rc_span args;        /* as rc_args has them; of the departed */
    uint8_t *memory;            /* owned */
    bool asked;                 /* its questions were asked; `open` of them are not answered yet */
    bool failed;
    uint32_t open;
    void (*goes_on)(struct rc_rule_wait *wait); /* of the departed: all are answered, or it has failed */
    uint32_t question_count;
    struct rc_rule_question questions[RC_EVENT_QUESTIONS_MAX];
    struct rc_span answers[RC_EVENT_QUESTIONS_MAX];
};

/* The client's row that waits; NULL: none does, or it has kept nothing. */
struct rc_rule_wait *rc_rule_wait_of(const struct rc_engines *engines, uint32_t client);
/* Does the row need what is kept here when it goes on? */
bool rc_rule_wait_needed(const struct rc_config_event *row);
/* Keeps what the run knows, in place of what was kept before. NULL: no memory. */
struct rc_rule_wait *rc_rule_wait_keep(struct rc_rule_run *run);
/* The same of a row of a client that is about to be no more: all that it will need. NULL: no memory, or too many wait. */
struct rc_rule_wait *rc_rule_wait_depart(struct rc_rule_run *run, void (*goes_on)(struct rc_rule_wait *wait));
/* The run goes on with what was kept: into run->input. */
void rc_rule_wait_apply(const struct rc_rule_wait *wait, struct rc_rule_run *run);
/* It is over: questions are not waited for. NULL is no mistake. */
void rc_rule_wait_end(struct rc_rule_wait *wait);
/* All of them are. */
void rc_rule_waits_close(struct rc_engines *engines);

#endif
