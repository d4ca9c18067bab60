/*
 * event_guards: compiles what selects an [[event]] row and what guards it: match, rate, who, inside, and how a refusal is told.
 *
 * Called by the reader of the file between rc_event_build_begin and rc_event_build_end, in any order. All fail with -EINVAL and what
 * was expected in `err`.
 */
#ifndef RC_COMMON_CONFIG_EVENT_GUARDS_H
#define RC_COMMON_CONFIG_EVENT_GUARDS_H

#include "common/config/event_build.h"

/* A value, walked by rc_event_value_begin and so on, is what `key` of `match` has to be, or one of it. */
int rc_event_match_add(struct rc_event_build *build, const char *key, size_t bytes, struct rc_err *err);
/* The same for an attribute of `who`. */
int rc_event_who_add(struct rc_event_build *build, const char *attribute, size_t bytes, struct rc_err *err);
/* All members of `match`, or of `who`, were added. */
int rc_event_match_end(struct rc_event_build *build, struct rc_err *err);
int rc_event_who_end(struct rc_event_build *build, struct rc_err *err);
/* who = "anyone", "user" */
int rc_event_who_word(struct rc_event_build *build, const char *word, size_t bytes, struct rc_err *err);

int rc_event_build_inside(struct rc_event_build *build, const char *room, size_t bytes, struct rc_err *err);
/* "100/1m" */
int rc_event_build_rate(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
/* Behind the rate. Rows of one group have one rate. */
int rc_event_build_rate_bytes(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err);
int rc_event_build_rate_group(struct rc_event_build *build, const char *name, size_t bytes, struct rc_err *err);

/* Before a member of `refuse` is walked, and when it was. */
void rc_event_refuse_begin(struct rc_event_build *build);
int rc_event_refuse_end(struct rc_event_build *build, const char *key, size_t bytes, struct rc_err *err);

/* What guards have to do with each other and with the row: once all was read. */
int rc_event_guards_check(struct rc_event_build *build, struct rc_err *err);

/* What `refuse` calls the text of a guard. */
const char *rc_event_guard_name(enum rc_event_guard guard);

#endif
