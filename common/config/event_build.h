/*
 * event_build: compiles one [[event]] table into the configuration.
 *
 * Called by the reader of the file (acceptor/config/toml.cpp), which walks the table and names the places of what is wrong:
 *
 *   rc_event_build_begin
 *   schema        rc_event_build_schema
 *   each          rc_event_build_each
 *   leave         rc_event_build_room for each, then rc_event_build_rooms
 *   set           a value that is a table, then rc_event_build_set
 *   join          as leave
 *   retain        rc_event_build_retain
 *   ack           a value that is a list, then rc_event_build_ack
 *   emit          for each: rc_event_emit_begin; rc_event_build_room for each of `except`, then rc_event_emit_except; rc_event_build_room
 *                 for each of `to`; rc_event_emit_event;
 *                 a value that is a list, then rc_event_emit_args; rc_event_emit_end
 *   close         rc_event_build_close
 *   guards        event_guards.h, anywhere between
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

#include "common/config/event_template.h"

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
/* Of a row of "disconnect": before what its templates say of the room. */
int rc_event_build_each(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
int rc_event_build_rooms(struct rc_event_build *build, enum rc_event_operation_type type, struct rc_err *err);
/* `count`: attributes. */
int rc_event_build_set(struct rc_event_build *build, uint32_t count, struct rc_err *err);
int rc_event_build_retain(struct rc_event_build *build, const char *room, size_t bytes, struct rc_err *err);
int rc_event_build_ack(struct rc_event_build *build, struct rc_err *err);
int rc_event_build_close(struct rc_event_build *build, const char *reason, size_t bytes, struct rc_err *err);
int rc_event_build_end(struct rc_event_build *build, struct rc_err *err);

/* build->emit.others may be set in between. */
void rc_event_emit_begin(struct rc_event_build *build);
int rc_event_emit_event(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* The rooms so far are those whose members do not get it. */
int rc_event_emit_except(struct rc_event_build *build, struct rc_err *err);
/* "alone:ROOM", "company:ROOM" */
int rc_event_emit_when(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
int rc_event_emit_args(struct rc_event_build *build, struct rc_err *err);
int rc_event_emit_end(struct rc_event_build *build, struct rc_err *err);

#endif
