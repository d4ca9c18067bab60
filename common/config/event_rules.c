/* event_rules: see event_rules.h. */
#include "common/config/event_rules.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/config/schemas.h"

_Static_assert((RC_EVENT_BUCKETS & (RC_EVENT_BUCKETS - 1)) == 0 && RC_EVENT_BUCKETS >= 2 * RC_CONFIG_EVENTS_MAX,
               "probes end: at least half of the buckets are empty");

/* Operators choose the names that are in the table: clients, who only ask, cannot make it any longer. */
static uint32_t home_of(enum rc_event_from from, struct rc_span nsp, struct rc_span event)
{
    const uint64_t place = rc_hash_public(nsp.bytes, nsp.count) * 31 + (uint64_t)from;
    return (uint32_t)((rc_hash_public(event.bytes, event.count) ^ place) & (RC_EVENT_BUCKETS - 1));
}

static bool row_is_for(const struct rc_config_event *row, enum rc_event_from from, struct rc_span nsp,
                       struct rc_span event)
{
    return row->from == from && rc_span_equal(rc_span_text(row->on.text), event) &&
           rc_span_equal(rc_span_text(row->nsp.text), nsp);
}

/* "beginning*" */
static bool row_is_pattern(const struct rc_config_event *row)
{
    const size_t bytes = strlen(row->nsp.text);
    return bytes > 0 && row->nsp.text[bytes - 1] == '*';
}

/* The first row from `index` on that is for the event, by its own namespace or by a pattern; NULL: none. */
static const struct rc_config_event *row_scan(const struct rc_config *config, uint32_t index, enum rc_event_from from,
                                              struct rc_span nsp, struct rc_span event)
{
    for (; index < config->event_count; index++) {
        const struct rc_config_event *const row = &config->events[index];
        const size_t beginning = strlen(row->nsp.text) - row_is_pattern(row);
        if (row_is_for(row, from, nsp, event) ||
            (row_is_pattern(row) && row->from == from && rc_span_equal(rc_span_text(row->on.text), event) &&
             nsp.count >= beginning && memcmp(nsp.bytes, row->nsp.text, beginning) == 0)) {
            return row;
        }
    }
    return NULL;
}

static const struct rc_config_event *row_exact(const struct rc_config *config, enum rc_event_from from,
                                               struct rc_span nsp, struct rc_span event)
{
    const uint16_t *const buckets = config->event_rules.buckets;
    for (uint32_t at = home_of(from, nsp, event); buckets[at] != 0; at = (at + 1) & (RC_EVENT_BUCKETS - 1)) {
        const struct rc_config_event *const row = &config->events[buckets[at] - 1];
        if (row_is_for(row, from, nsp, event)) {
            return row;
        }
    }
    return NULL;
}

const struct rc_config_event *rc_event_first(const struct rc_config *config, enum rc_event_from from,
                                             struct rc_span nsp, struct rc_span event)
{
    return config->event_rules.patterns ? row_scan(config, 0, from, nsp, event) : row_exact(config, from, nsp, event);
}

const struct rc_config_event *rc_event_next(const struct rc_config *config, const struct rc_config_event *row,
                                            struct rc_span nsp)
{
    if (config->event_rules.patterns) {
        return row_scan(config, (uint32_t)(row - config->events) + 1, row->from, nsp, rc_span_text(row->on.text));
    }
    return row->next != 0 ? &config->events[row->next - 1] : NULL;
}

bool rc_event_life_cycle(const struct rc_config_event *row)
{
    return row->from == RC_EVENT_FROM_CLIENT &&
           (strcmp(row->on.text, "connect") == 0 || strcmp(row->on.text, "disconnect") == 0);
}

const struct rc_event_operation *rc_event_operations(const struct rc_config *config, const struct rc_config_event *row)
{
    return (const struct rc_event_operation *)(const void *)(config->event_rules.arena + row->operations);
}

const struct rc_event_template *rc_event_rooms(const struct rc_config *config,
                                               const struct rc_event_operation *operation)
{
    return (const struct rc_event_template *)(const void *)(config->event_rules.arena + operation->rooms);
}

const struct rc_event_piece *rc_event_pieces(const struct rc_config *config, const struct rc_event_template *template)
{
    return (const struct rc_event_piece *)(const void *)(config->event_rules.arena + template->pieces);
}

struct rc_span rc_event_text(const struct rc_config *config, uint32_t at, uint32_t bytes)
{
    return rc_span_of(config->event_rules.arena + at, bytes);
}

void rc_event_index_last(struct rc_config *config)
{
    RC_ASSERT(config->event_count > 0);
    const uint32_t index = config->event_count - 1;
    const struct rc_config_event *const row = &config->events[index];
    const struct rc_span nsp = rc_span_text(row->nsp.text);
    const struct rc_span event = rc_span_text(row->on.text);
    const struct rc_config_event *before = row_exact(config, row->from, nsp, event);
    config->event_rules.patterns |= row_is_pattern(row);
    if (before == NULL) {
        uint32_t at = home_of(row->from, nsp, event);
        while (config->event_rules.buckets[at] != 0) {
            at = (at + 1) & (RC_EVENT_BUCKETS - 1);
        }
        config->event_rules.buckets[at] = (uint16_t)(index + 1);
        return;
    }
    while (before->next != 0) {
        before = &config->events[before->next - 1];
    }
    config->events[before - config->events].next = index + 1;
}

bool rc_event_rules_equal(const struct rc_config *a, const struct rc_config *b)
{
    /* The same rows compile to the same bytes: nothing in them depends on anything else. */
    return rc_config_schemas_equal(a, b) && a->event_count == b->event_count &&
           a->event_rules.arena_bytes == b->event_rules.arena_bytes &&
           memcmp(a->events, b->events, a->event_count * sizeof(a->events[0])) == 0 &&
           memcmp(a->event_rules.arena, b->event_rules.arena, a->event_rules.arena_bytes) == 0;
}
