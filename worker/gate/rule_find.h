/*
 * rule_find: what a value of an [[event]] row is for one event, and whether it is what the row wants. See rule_values.h, whose templates
 * are filled in with it.
 *
 * Pure; nothing allocates. What returns an int: 0 or an RC_CODE_* with `values->err` saying why.
 */
#ifndef RC_WORKER_GATE_RULE_FIND_H
#define RC_WORKER_GATE_RULE_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/event_rules.h"
#include "common/config/values.h"
#include "common/text/address.h"
#include "common/text/json_scan.h"
#include "worker/proto/operation.h"

#define RC_RULE_TEXT_MAX 64u

struct rc_rule_input {
    struct rc_span args; /* JSON array, with {"_placeholder":true,"num":n} for attachments; empty: no arguments */
    const struct rc_args_index *index;            /* of them; NULL: nobody has looked */
    uint32_t attachment_count;                    /* n is below it; at most RC_CONFIG_ATTACHMENTS_MAX */
    struct rc_span documents[RC_EVENT_DOCUMENTS]; /* JSON, by rc_rule_document; empty: there is none */
    struct rc_span sid;
    struct rc_span nsp;
    struct rc_span event; /* decoded, as these three are */
    struct rc_address address;
    struct rc_span instance;
    struct rc_span room; /* of `each` */
    struct rc_span room_part;
    const struct rc_span
        *answers; /* JSON, of each question of the row; NULL: they are not known yet, and numbers are 0, lists empty */
    uint64_t now_ms;    /* since 1970: when the event came */
    uint64_t random[2]; /* of {uuid}: RC_SID_TOKEN_BITS of each */
};

/* Where a document stands in `documents`. */
static inline uint32_t rc_rule_document(enum rc_event_source source)
{
    return (uint32_t)source - RC_EVENT_SOURCE_AUTH;
}

struct rc_rule_values {
    const struct rc_config *config;
    struct rc_rule_input input;
    const struct rc_args_index *index; /* of the arguments; NULL: nobody has asked for a part of them yet */
    struct rc_args_index found;        /* for it, where the input has none */
    char text[RC_RULE_TEXT_MAX];       /* of the name or number that was asked for last */
    struct rc_err err;
};

/* `code`, once `why` is noted. */
int rc_rule_refuse(struct rc_rule_values *values, int code, const char *why);
/* The same of a value: "args.0.name is missing". BAD_REQUEST. */
int rc_rule_refuse_piece(struct rc_rule_values *values, const struct rc_event_piece *piece, const char *why);

/* Is the piece's value JSON? Else it is a name: rc_rule_name. */
bool rc_rule_piece_is_json(const struct rc_event_piece *piece);
/* The JSON value of an argument, a document or a number; its type is NONE when it is missing. */
int rc_rule_find(struct rc_rule_values *values, const struct rc_event_piece *piece, struct rc_json_value *value);
/* One that may stand within a text. */
int rc_rule_find_scalar(struct rc_rule_values *values, const struct rc_event_piece *piece, struct rc_json_value *value);
/* The arguments from the `first`th on, as the client wrote them, commas between included; empty when there are none. */
int rc_rule_find_rest(struct rc_rule_values *values, uint32_t first, struct rc_span *rest);
/* Of what is no JSON: text, until the next call. */
struct rc_span rc_rule_name(struct rc_rule_values *values, const struct rc_event_piece *piece);

/* Do all these conditions hold (rc_event_conditions)? A value that is missing is never what is wanted. */
bool rc_rule_holds(struct rc_rule_values *values, uint32_t conditions, uint32_t count);

#endif
