/*
 * event_build: compiles one [[event]] table into the configuration.
 *
 * Called by the reader of the file (acceptor/config/toml.cpp), which walks the table and names the places of what is wrong:
 *
 *   rc_event_build_begin
 *   schema        rc_event_build_schema
 *   leave, join   rc_event_build_room for each, then rc_event_build_rooms
 *   ack           a value that is a list, then rc_event_build_ack
 *   emit          for each: rc_event_emit_begin; rc_event_build_room for each of `to`; rc_event_emit_event;
 *                 a value that is a list, then rc_event_emit_args; rc_event_emit_end
 *   rc_event_build_end
 *
 * in this order, which is that of the operations. A value is handed over as it is walked: rc_event_value_begin, then open, key,
 * text, constant and close as they come. All fail with -EINVAL and what was expected in `err`; after a failure the rest may be
 * called all the same, to find more that is wrong, but for rc_event_build_end. The configuration has what was written to its arena
 * once rc_event_build_end has returned 0, and is to be thrown away after a failure.
 */
#ifndef RC_COMMON_CONFIG_EVENT_BUILD_H
#define RC_COMMON_CONFIG_EVENT_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/config/values.h"

#define RC_EVENT_PIECES_MAX 1024 /* of one template */
#define RC_EVENT_DEPTH_MAX 16    /* lists and tables in each other */

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

/* Templates of something else than a row: afterwards rc_event_value_begin and so on, and rc_event_build_value, for each. */
void rc_event_build_begin_values(struct rc_event_build *build, struct rc_config *config, uint32_t sources);
/* How the value that was walked stands in the file, where that is not as it was handed over. */
int rc_event_build_shown(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* The value that was walked. */
int rc_event_build_value(struct rc_event_build *build, struct rc_event_template *out, struct rc_err *err);

void rc_event_build_begin(struct rc_event_build *build, struct rc_config *config, struct rc_config_event *row);
/* Finds the schema that the row names, after [schemas] has been read. */
int rc_event_build_schema(struct rc_event_build *build, struct rc_err *err);
/* `type`: what the room is for, LEAVE, JOIN or EMIT. */
int rc_event_build_room(struct rc_event_build *build, enum rc_event_operation_type type, const char *text, size_t bytes,
                        struct rc_err *err);
int rc_event_build_rooms(struct rc_event_build *build, enum rc_event_operation_type type, struct rc_err *err);
int rc_event_build_ack(struct rc_event_build *build, struct rc_err *err);
int rc_event_build_end(struct rc_event_build *build, struct rc_err *err);

/* build->emit.others may be set in between. */
void rc_event_emit_begin(struct rc_event_build *build);
int rc_event_emit_event(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
int rc_event_emit_args(struct rc_event_build *build, struct rc_err *err);
int rc_event_emit_end(struct rc_event_build *build, struct rc_err *err);

void rc_event_value_begin(struct rc_event_build *build);
/* '[' or '{' */
int rc_event_value_open(struct rc_event_build *build, char opener, struct rc_err *err);
int rc_event_value_key(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* A text, which may hold placeholders. */
int rc_event_value_text(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* A number or a boolean, as JSON and TOML both have it. */
int rc_event_value_constant(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
int rc_event_value_close(struct rc_event_build *build, struct rc_err *err);

#endif
