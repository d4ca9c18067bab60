/*
 * event_rules: the compiled [[event]] tables of a configuration, for reading: which row is for an event, and what is in it.
 *
 * Any process may call. Everything points into the configuration and lives as long: who waits for an answer in the middle of a row has
 * worked out beforehand what the rest of it says, as a reload may replace the row meanwhile.
 */
#ifndef RC_COMMON_CONFIG_EVENT_RULES_H
#define RC_COMMON_CONFIG_EVENT_RULES_H

#include <stdbool.h>

#include "common/base/span.h"
#include "common/config/values.h"

/* The first row for an event in the order of the file, NULL: none. "connect" and "disconnect" from clients: their life cycle. */
const struct rc_config_event *rc_event_first(const struct rc_config *config, enum rc_event_from from,
                                             struct rc_span nsp, struct rc_span event);
/* The next row behind `row` for the same event, NULL: none. */
const struct rc_config_event *rc_event_next(const struct rc_config *config, const struct rc_config_event *row,
                                            struct rc_span nsp, struct rc_span event);

/* "connect" or "disconnect" of clients? */
bool rc_event_life_cycle(const struct rc_config_event *row);

/* A row's operations (row->operation_count, in the order in which they are carried out), an operation's rooms (room_count), a
 * template's pieces (piece_count), and bytes of the arena. */
static inline const struct rc_event_operation *rc_event_operations(const struct rc_config *config,
                                                                   const struct rc_config_event *row)
{
    return (const struct rc_event_operation *)(const void *)(config->event_rules.arena + row->operations);
}

static inline const struct rc_event_template *rc_event_rooms(const struct rc_config *config,
                                                             const struct rc_event_operation *operation)
{
    return (const struct rc_event_template *)(const void *)(config->event_rules.arena + operation->rooms);
}

/* Rooms of an emit whose members do not get it (except_count). */
static inline const struct rc_event_template *rc_event_excepts(const struct rc_config *config,
                                                               const struct rc_event_operation *operation)
{
    return (const struct rc_event_template *)(const void *)(config->event_rules.arena + operation->excepts);
}

static inline const struct rc_event_piece *rc_event_pieces(const struct rc_config *config,
                                                           const struct rc_event_template *template)
{
    return (const struct rc_event_piece *)(const void *)(config->event_rules.arena + template->pieces);
}

static inline struct rc_span rc_event_text(const struct rc_config *config, uint32_t at, uint32_t bytes)
{
    return rc_span_of(config->event_rules.arena + at, bytes);
}

/* What a row asks about rooms (question_count). */
static inline const struct rc_event_question *rc_event_questions(const struct rc_config *config,
                                                                 const struct rc_config_event *row)
{
    return (const struct rc_event_question *)(const void *)(config->event_rules.arena + row->questions);
}

/* Conditions of `match` (match_count) or `who` (attribute_count), by where they are. */
static inline const struct rc_event_condition *rc_event_conditions(const struct rc_config *config, uint32_t at)
{
    return (const struct rc_event_condition *)(const void *)(config->event_rules.arena + at);
}

/* Does a row's `each` go through this room? *part is what stands in the place of its name. */
bool rc_event_each_fits(const struct rc_config *config, const struct rc_config_event *row, struct rc_span room,
                        struct rc_span *part);
/* Makes the last row (events[event_count - 1]) one that is found. All that it says is in the arena, and nothing else than rows so far. */
void rc_event_index_last(struct rc_config *config);

/* Do the rows of both say the same, byte for byte? */
bool rc_event_rules_equal(const struct rc_config *a, const struct rc_config *b);

#endif
