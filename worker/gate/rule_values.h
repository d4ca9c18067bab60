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

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/event_rules.h"
#include "common/config/values.h"
#include "common/text/address.h"
#include "common/text/json_scan.h"

#define RC_RULE_INDEXED_MAX 16u /* arguments that are found at once; those behind are looked for */

struct rc_rule_input {
    struct rc_span args;       /* JSON array, with {"_placeholder":true,"num":n} for attachments; empty: no arguments */
    uint32_t attachment_count; /* n is below it; at most RC_CONFIG_ATTACHMENTS_MAX */
    struct rc_span documents[RC_EVENT_DOCUMENTS]; /* JSON, by rc_rule_document; empty: there is none */
    struct rc_span sid;
    struct rc_span nsp;
    struct rc_span event; /* decoded, as these three are */
    struct rc_address address;
};

/* Where a document stands in `documents`. */
static inline uint32_t rc_rule_document(enum rc_event_source source)
{
    return (uint32_t)source - RC_EVENT_SOURCE_AUTH;
}

struct rc_rule_values {
    const struct rc_config *config;
    struct rc_rule_input input;
    bool
        indexed; /* true exactly when the four members below hold: not before somebody asks for a part of the arguments */
    uint32_t arg_count;
    struct rc_json_value args[RC_RULE_INDEXED_MAX];
    struct rc_span last;               /* the last argument */
    char address[RC_ADDRESS_TEXT_MAX]; /* once it was asked for */
    struct rc_err err;
};

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

/* The arguments of an ack or an emit. BAD_REQUEST: a value within a text that is missing or no string, number or boolean; the
 * arguments are no JSON. TOO_LARGE: more than `room` bytes. */
int rc_rule_args(struct rc_rule_values *values, const struct rc_event_template *template, uint8_t *out, size_t room,
                 struct rc_rule_args *args);

#endif
