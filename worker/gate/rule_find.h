/*
 * rule_find: what a value of an [[event]] row is for one event, and whether it is what the row wants. See rule_values.h, whose templates
 * are filled in with it.
 *
 * Pure; nothing allocates. What returns an int: 0 or an RC_CODE_* with `values->err` saying why.
 */
#ifndef RC_WORKER_GATE_RULE_FIND_H
#define RC_WORKER_GATE_RULE_FIND_H

#include "worker/gate/rule_values.h"

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
