/*
 * event_template: templates of [[event]] tables, as they are read: literals, and the values between braces. See event_build.h, whose
 * files share this.
 *
 * All fail with -EINVAL and what was expected in `err`.
 */
#ifndef RC_COMMON_CONFIG_EVENT_TEMPLATE_H
#define RC_COMMON_CONFIG_EVENT_TEMPLATE_H

#include "common/base/span.h"
#include "common/config/event_build.h"

/* Everything in the arena is aligned to 4, as its structs are; *at is where it is. */
int rc_event_arena_put(struct rc_event_build *build, const void *bytes, size_t count, uint32_t *at, struct rc_err *err);

void rc_event_template_begin(struct rc_event_build *build);
/* A text with placeholders, whole. */
int rc_event_template_text(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* Moves the template that was read to the arena. */
int rc_event_template_end(struct rc_event_build *build, struct rc_event_template *out, struct rc_err *err);
/* A template that is one value, as what is not given means. */
int rc_event_template_value(struct rc_event_build *build, struct rc_event_template *out, enum rc_event_piece_type type,
                            enum rc_event_source source, struct rc_err *err);
/* The index of a question of the row, which is made where there is none like it. */
int rc_event_question_add(struct rc_event_build *build, enum rc_event_question_kind kind, struct rc_span room,
                          uint16_t *index, struct rc_err *err);
/* A value by its name without braces, as a VALUE whose path is in the arena: an argument, or a part of a document. */
int rc_event_piece_named(struct rc_event_build *build, struct rc_span name, struct rc_event_piece *out,
                         struct rc_err *err);

#endif
