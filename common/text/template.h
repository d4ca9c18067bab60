/*
 * template: text with fields in braces, as in "match:{json.matchId}" or "subs:{name}".
 *
 * Compiled once from a configuration value, filled in per message. The caller says which fields there are and what they are
 * worth; a brace that begins no known field is an error, so that a misspelt one is found when the file is read. Owned by whoever
 * declares it; the text is borrowed. Pure; any process may call; nothing allocates.
 */
#ifndef RC_COMMON_TEXT_TEMPLATE_H
#define RC_COMMON_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

#define RC_TEMPLATE_PARTS_MAX 16u

struct rc_template_part {
    struct rc_span text; /* literal text, or a field's name without braces */
    bool field;
};

struct rc_template {
    uint32_t part_count;
    struct rc_template_part parts[RC_TEMPLATE_PARTS_MAX];
};

/* Is there a field of that name? */
typedef bool rc_template_known(struct rc_span field);

/* `text` is borrowed for the life of the template. -EINVAL with what is wrong in `err`. */
int rc_template_compile(struct rc_template *template, const char *text, rc_template_known *known, struct rc_err *err);

/* Writes a field's value to `out` (at most `room` bytes). The bytes written, -ENOENT: it has none, -EMSGSIZE: too long. */
typedef int rc_template_value(void *context, struct rc_span field, char *out, size_t room);

/* Fills `out`, without NUL. The bytes written, -EMSGSIZE, or what `value` returned. */
int rc_template_fill(const struct rc_template *template, rc_template_value *value, void *context, char *out,
                     size_t room);

/* Fields of [[bridge]] room and event: json.name, json.name.name … */
rc_template_known rc_template_known_json;
/* Fields of [[namespace]] subscription_set: channel, name. */
rc_template_known rc_template_known_channel;

#endif
