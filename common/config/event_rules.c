/* event_rules: see event_rules.h. */
#include "common/config/event_rules.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/config/schemas.h"
#include "common/config/socketio.h"

_Static_assert((RC_EVENT_BUCKETS & (RC_EVENT_BUCKETS - 1)) == 0 && RC_EVENT_BUCKETS >= 2 * RC_CONFIG_EVENTS_MAX,
               "probes end: at least half of the buckets are empty");

/* Operators choose the names that are in the table: clients, who only ask, cannot make it any longer. Nearly all are of "/", which costs
 * nothing. */
static uint32_t home_of(enum rc_event_from from, struct rc_span nsp, struct rc_span event)
{
    const uint64_t place = (nsp.count > 1 ? rc_hash_public(nsp.bytes, nsp.count) * 31 : 0) + (uint64_t)from;
    return (uint32_t)((rc_hash_public(event.bytes, event.count) ^ place) & (RC_EVENT_BUCKETS - 1));
}

static bool text_is(const struct rc_config_text *text, struct rc_span name)
{
    return name.count < sizeof(text->text) && text->text[name.count] == '\0' &&
           (name.count == 0 || memcmp(text->text, name.bytes, name.count) == 0);
}

static bool row_is_for(const struct rc_config_event *row, enum rc_event_from from, struct rc_span nsp,
                       struct rc_span event)
{
    return row->from == from && text_is(&row->on, event) && text_is(&row->nsp, nsp);
}

/* "beginning*" */
static bool text_is_pattern(const struct rc_config_text *text)
{
    const size_t bytes = strlen(text->text);
    return bytes > 0 && text->text[bytes - 1] == '*';
}

static bool row_is_pattern(const struct rc_config_event *row)
{
    return text_is_pattern(&row->nsp) || text_is_pattern(&row->on);
}

/* Is it the name, or does it begin as the pattern does? */
static bool text_fits(const struct rc_config_text *text, struct rc_span name)
{
    const size_t bytes = strlen(text->text);
    return text_is_pattern(text) ? rc_span_starts_with(name, rc_span_of(text->text, bytes - 1))
                                 : rc_span_equal(name, rc_span_of(text->text, bytes));
}

/* The first row with a pattern from `index` + 1 on that is for the event; NULL: none. */
static const struct rc_config_event *row_pattern(const struct rc_config *config, uint32_t from_index,
                                                 enum rc_event_from from, struct rc_span nsp, struct rc_span event)
{
    for (uint32_t at = config->event_rules.first_pattern; at != 0; at = config->events[at - 1].next) {
        const struct rc_config_event *const row = &config->events[at - 1];
        if (at > from_index && row->from == from && text_fits(&row->nsp, nsp) && text_fits(&row->on, event) &&
            !(text_is_pattern(&row->on) && rc_config_event_reserved(event))) {
            return row;
        }
    }
    return NULL;
}

/* The first row with just these names. */
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

/* Whichever stands before the other in the file. */
static const struct rc_config_event *row_earlier(const struct rc_config_event *a, const struct rc_config_event *b)
{
    return a == NULL || (b != NULL && b < a) ? b : a;
}

const struct rc_config_event *rc_event_first(const struct rc_config *config, enum rc_event_from from,
                                             struct rc_span nsp, struct rc_span event)
{
    const struct rc_config_event *const exact = row_exact(config, from, nsp, event);
    return config->event_rules.first_pattern == 0 ? exact
                                                  : row_earlier(exact, row_pattern(config, 0, from, nsp, event));
}

const struct rc_config_event *rc_event_next(const struct rc_config *config, const struct rc_config_event *row,
                                            struct rc_span nsp, struct rc_span event)
{
    const uint32_t index = (uint32_t)(row - config->events) + 1;
    const struct rc_config_event *exact = row_exact(config, row->from, nsp, event);
    while (exact != NULL && exact <= row) {
        exact = exact->next != 0 ? &config->events[exact->next - 1] : NULL;
    }
    return row_earlier(exact, row_pattern(config, index, row->from, nsp, event));
}

bool rc_event_life_cycle(const struct rc_config_event *row)
{
    const char *const on = row->on.text; /* its first character says of most that they are not */
    return row->from == RC_EVENT_FROM_CLIENT &&
           ((on[0] == 'c' && strcmp(on, "connect") == 0) || (on[0] == 'd' && strcmp(on, "disconnect") == 0));
}

bool rc_event_each_fits(const struct rc_config *config, const struct rc_config_event *row, struct rc_span room,
                        struct rc_span *part)
{
    const struct rc_span head = rc_event_text(config, row->each_head.at, row->each_head.bytes);
    const struct rc_span tail = rc_event_text(config, row->each_tail.at, row->each_tail.bytes);
    *part = (struct rc_span){0};
    if (row->each_name.bytes == 0) {
        return rc_span_equal(room, head);
    }
    if (room.count <= head.count + tail.count || !rc_span_starts_with(room, head) ||
        !rc_span_equal(rc_span_of(room.bytes + room.count - tail.count, tail.count), tail)) {
        return false;
    }
    *part = rc_span_of(room.bytes + head.count, room.count - head.count - tail.count);
    return true;
}

/* Behind the others of its kind, the first of which is `first` (index + 1; 0: it is the first itself). */
static void row_append(struct rc_config *config, uint32_t first, uint32_t *place, uint32_t index)
{
    if (first == 0) {
        *place = index + 1;
        return;
    }
    uint32_t at = first;
    while (config->events[at - 1].next != 0) {
        at = config->events[at - 1].next;
    }
    config->events[at - 1].next = index + 1;
}

void rc_event_index_last(struct rc_config *config)
{
    RC_ASSERT(config->event_count > 0);
    struct rc_event_rules *const rules = &config->event_rules;
    const uint32_t index = config->event_count - 1;
    const struct rc_config_event *const row = &config->events[index];
    rules->rows_bytes = rules->arena_bytes;
    const struct rc_span nsp = rc_span_text(row->nsp.text);
    const struct rc_span event = rc_span_text(row->on.text);
    if (row_is_pattern(row)) {
        row_append(config, rules->first_pattern, &rules->first_pattern, index);
        return;
    }
    const struct rc_config_event *const before = row_exact(config, row->from, nsp, event);
    uint32_t place = 0;
    row_append(config, before == NULL ? 0 : (uint32_t)(before - config->events) + 1, &place, index);
    if (place != 0) {
        uint32_t at = home_of(row->from, nsp, event);
        while (rules->buckets[at] != 0) {
            at = (at + 1) & (RC_EVENT_BUCKETS - 1);
        }
        rules->buckets[at] = (uint16_t)place;
    }
}

bool rc_event_rules_equal(const struct rc_config *a, const struct rc_config *b)
{
    /* The same rows compile to the same bytes: nothing in them depends on anything else. */
    return rc_config_schemas_equal(a, b) && a->event_count == b->event_count &&
           a->event_rules.rows_bytes == b->event_rules.rows_bytes &&
           memcmp(a->events, b->events, a->event_count * sizeof(a->events[0])) == 0 &&
           memcmp(a->event_rules.arena, b->event_rules.arena, a->event_rules.rows_bytes) == 0;
}
