/*
 * event_template: templates of [[event]] tables, as they are read: literals, and the values between braces. See event_build.h, whose
 * files share this.
 *
 * All fail with -EINVAL and what was expected in `err`.
 */
#ifndef RC_COMMON_CONFIG_EVENT_TEMPLATE_H
#define RC_COMMON_CONFIG_EVENT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/values.h"

struct rc_span; /* common/base/span.h, which is not for C++ */

#define RC_EVENT_PIECES_MAX 1024 /* of one template */
#define RC_EVENT_DEPTH_MAX 16    /* lists and tables in each other */
#define RC_EVENT_CONDITIONS_MAX 16
#define RC_EVENT_CLOSE_REASON_MAX 123 /* bytes: of a close frame (RFC 6455 5.5) */

/* Owned by the caller; about 40 KiB. */
struct rc_event_build {
    struct rc_config *config; /* borrowed */
    struct rc_config_event
        *row;         /* borrowed: `on`, `nsp` and `from` are set; NULL: the templates are of something else */
    uint32_t sources; /* which values there are: bits by enum rc_event_source */
    struct rc_config_emit emit; /* that is being read */
    uint32_t operation_count;
    uint32_t weight; /* rooms, ack and emits: what RC_EVENT_OPERATIONS_MAX is about */
    struct rc_event_operation operations[RC_EVENT_OPERATIONS_MAX];
    bool everybody; /* "*" was among the rooms */
    uint32_t room_count;
    struct rc_event_template rooms[RC_EVENT_ROOMS_MAX];
    uint32_t condition_count;
    struct rc_event_condition conditions[RC_EVENT_CONDITIONS_MAX];
    uint32_t question_count;
    struct {
        uint32_t kind;
        struct rc_event_text room; /* as it was written; compiled at the end */
    } questions[RC_EVENT_QUESTIONS_MAX];
    /* the template that is being read */
    uint32_t piece_count;
    uint32_t text_bytes;
    uint32_t source_bytes;
    uint32_t depth;
    struct {
        char closer;
        bool spliced; /* what stands before may be nothing */
        bool empty;
    } levels[RC_EVENT_DEPTH_MAX];
    struct rc_event_piece pieces[RC_EVENT_PIECES_MAX];
    uint8_t text[RC_EVENT_TEMPLATE_MAX + 64];   /* literals and paths, as the pieces name them by place */
    uint8_t source[RC_EVENT_TEMPLATE_MAX + 64]; /* in TOML */
};

/* --- as the file is walked --- */

void rc_event_value_begin(struct rc_event_build *build);
/* The same of an acknowledgement's or an emit's arguments, where rooms may be asked about. */
void rc_event_args_begin(struct rc_event_build *build);
/* '[' or '{' */
int rc_event_value_open(struct rc_event_build *build, char opener, struct rc_err *err);
int rc_event_value_key(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* A text, which may hold placeholders. */
int rc_event_value_text(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* A number or a boolean, as JSON and TOML both have it. */
int rc_event_value_constant(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
int rc_event_value_close(struct rc_event_build *build, struct rc_err *err);

/* --- for the compiler --- */

/* Everything in the arena is aligned to 4, as its structs are; *at is where it is. */
int rc_event_arena_put(struct rc_event_build *build, const void *bytes, size_t count, uint32_t *at, struct rc_err *err);

void rc_event_template_begin(struct rc_event_build *build);
/* A text with placeholders, whole. */
int rc_event_template_text(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* How it stands in the file, where that is not as it was handed over. */
int rc_event_template_shown(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
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
