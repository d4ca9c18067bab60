/*
 * rule_values: what the templates of an [[event]] row are for one event: names of rooms, of events, and arguments.
 *
 * What the client wrote goes through byte for byte: no value is built, numbers, escapes and the order of members stay; only the numbers
 * of binary attachments change where others are left out. Owned by the caller, usually on its stack; everything is borrowed and only
 * read. Pure; nothing allocates. The functions return 0 or an RC_CODE_* for the client, with `values->err` saying why: nothing of the
 * row is to be done then.
 */
#ifndef RC_WORKER_GATE_RULE_VALUES_H
#define RC_WORKER_GATE_RULE_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/gate/rule_find.h"

/* Arguments of a message. */
struct rc_rule_args {
    struct rc_span json; /* an array: in the caller's buffer, or the input's where they are just these */
    uint32_t attachment_count;
    uint8_t attachments[RC_CONFIG_ATTACHMENTS_MAX]; /* which of the input's, in the order of their new numbers */
};

void rc_rule_values_begin(struct rc_rule_values *values, const struct rc_config *config,
                          const struct rc_rule_input *input);

/* A room's name, without NUL. BAD_REQUEST: a value that is missing or no string, number or boolean; no name. FORBIDDEN: everybody,
 * another namespace's, or, where the client chooses the channel namespace, a user's own. What else RC_EVENT_CLIENT_CHOOSES asks for
 * (policy of the channel namespace, direct to a sid) is the caller's. */
int rc_rule_room(struct rc_rule_values *values, const struct rc_event_template *template, char out[RC_CHANNEL_NAME_MAX],
                 size_t *bytes);

/* An event's name, in `scratch` or the input's. BAD_REQUEST as above, or a reserved name. */
int rc_rule_event(struct rc_rule_values *values, const struct rc_event_template *template,
                  char scratch[RC_EVENT_NAME_MAX], struct rc_span *event);

/* Any other text of at most RC_EVENT_NAME_MAX bytes, likewise. */
int rc_rule_text(struct rc_rule_values *values, const struct rc_event_template *template,
                 char scratch[RC_EVENT_NAME_MAX], struct rc_span *text);

/* The arguments of an ack or an emit, or what is set. BAD_REQUEST: a value within a text that is missing or no string, number or boolean; the
 * arguments are no JSON. TOO_LARGE: more than `room` bytes. */
int rc_rule_args(struct rc_rule_values *values, const struct rc_event_template *template, uint8_t *out, size_t room,
                 struct rc_rule_args *args);

#endif
