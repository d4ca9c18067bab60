/* event_guards: see event_guards.h. */
#include "common/config/event_guards.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/span.h"
#include "common/config/event_rules.h"
#include "common/config/socketio.h"
#include "common/config/text.h"
#include "common/text/json_scan.h"

#define RATE_GROUP_MAX 64u

/* --- conditions -------------------------------------------------------------------------------------------------- */

/* The value that was walked is a constant: its JSON. */
static int constant_read(const struct rc_event_build *build, struct rc_json_value *value, struct rc_err *err)
{
    const struct rc_event_piece *const piece = &build->pieces[0];
    if (build->piece_count != 1 || piece->type != RC_EVENT_PIECE_LITERAL ||
        rc_json_scan(rc_span_of(build->text + piece->at, piece->bytes), 0, value, NULL) != 0) {
        return rc_err_set(err, -EINVAL, "expected a constant, without {values}; \"{{\" is a brace");
    }
    return 0;
}

static bool scalar_valid(const struct rc_json_value *value)
{
    uint8_t scratch[RC_EVENT_WANTED_MAX];
    struct rc_span text;
    return value->type == RC_JSON_NUMBER || value->type == RC_JSON_TRUE || value->type == RC_JSON_FALSE ||
           (value->type == RC_JSON_STRING && rc_json_string_decode(value, scratch, sizeof(scratch), &text) == 0);
}

/* A string, number or boolean, or a list of them. */
static bool wanted_valid(const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    bool any = false;
    if (value->type != RC_JSON_ARRAY) {
        return scalar_valid(value);
    }
    for (int rc = rc_json_array_begin(&cursor, value->raw, 0); rc == 0 && rc_json_array_next(&cursor, &element) == 1;
         any = true) {
        if (!scalar_valid(&element)) {
            return false;
        }
    }
    return any;
}

static int condition_add(struct rc_event_build *build, struct rc_span key, struct rc_span name, struct rc_err *err)
{
    struct rc_event_condition *const condition = &build->conditions[build->condition_count];
    struct rc_json_value value;
    if (build->condition_count == RC_EVENT_CONDITIONS_MAX) {
        return rc_err_set(err, -EINVAL, "expected at most %d values", RC_EVENT_CONDITIONS_MAX);
    }
    int rc = constant_read(build, &value, err);
    if (rc == 0 && !wanted_valid(&value)) {
        rc = rc_err_set(err, -EINVAL, "expected a text of at most %d bytes, a number, true, false, or a list of them",
                        RC_EVENT_WANTED_MAX);
    }
    if (rc == 0) {
        rc = rc_event_template_end(build, &condition->wanted, err);
    }
    if (rc == 0) {
        rc = rc_event_piece_named(build, name, &condition->value, err);
    }
    if (rc == 0) {
        condition->key.bytes = (uint32_t)key.count;
        rc = rc_event_arena_put(build, key.bytes, key.count, &condition->key.at, err);
    }
    build->condition_count += rc == 0 ? 1 : 0;
    return rc;
}

static int conditions_end(struct rc_event_build *build, uint32_t *at, uint32_t *count, struct rc_err *err)
{
    *count = build->condition_count;
    build->condition_count = 0;
    return *count == 0 ? 0
                       : rc_event_arena_put(build, build->conditions, *count * sizeof(build->conditions[0]), at, err);
}

int rc_event_match_add(struct rc_event_build *build, const char *key, size_t bytes, struct rc_err *err)
{
    const struct rc_span name = rc_span_of(key, bytes);
    return condition_add(build, name, name, err);
}

int rc_event_match_end(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_event_guards *const guards = &build->row->guards;
    return conditions_end(build, &guards->match, &guards->match_count, err);
}

int rc_event_who_add(struct rc_event_build *build, const char *attribute, size_t bytes, struct rc_err *err)
{
    char name[sizeof("user.") + RC_EVENT_STEP_MAX];
    if (bytes == 0 || bytes > RC_EVENT_STEP_MAX) {
        return rc_err_set(err, -EINVAL, "the name of an attribute has 1 to %d bytes", RC_EVENT_STEP_MAX);
    }
    memcpy(name, "user.", 5);
    memcpy(name + 5, attribute, bytes);
    return condition_add(build, rc_span_of(attribute, bytes), rc_span_of(name, 5 + bytes), err);
}

int rc_event_who_end(struct rc_event_build *build, struct rc_err *err)
{
    struct rc_event_guards *const guards = &build->row->guards;
    guards->who = RC_EVENT_WHO_ATTRIBUTES;
    if (build->condition_count == 0) {
        return rc_err_set(err, -EINVAL, "expected \"anyone\", \"user\" or attributes, as in { tier = [\"premium\"] }");
    }
    return conditions_end(build, &guards->attributes, &guards->attribute_count, err);
}

int rc_event_who_word(struct rc_event_build *build, const char *word, size_t bytes, struct rc_err *err)
{
    const struct rc_span text = rc_span_of(word, bytes);
    build->row->guards.who = rc_span_equal(text, RC_SPAN("user")) ? RC_EVENT_WHO_USER : RC_EVENT_WHO_ANYONE;
    return build->row->guards.who == RC_EVENT_WHO_USER || rc_span_equal(text, RC_SPAN("anyone"))
               ? 0
               : rc_err_set(err, -EINVAL,
                            "expected \"anyone\", \"user\" or attributes, as in { tier = [\"premium\"] }");
}

/* --- rate -------------------------------------------------------------------------------------------------------- */

static int rate_keep(struct rc_event_build *build, struct rc_event_rate *kept, const struct rc_config_rate *rate,
                     struct rc_span text, struct rc_err *err)
{
    kept->count = rate->count;
    kept->window_ms = rate->window_ms;
    kept->text.bytes = (uint32_t)text.count;
    build->row->guards.rated++;
    return rc_event_arena_put(build, (const char *)text.bytes, text.count, &kept->text.at, err);
}

int rc_event_build_rate(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    struct rc_config_rate rate;
    const int rc = rc_config_rate_parse(text, bytes, &rate, err);
    return rc == 0 ? rate_keep(build, &build->row->guards.rate, &rate, rc_span_of(text, bytes), err) : rc;
}

int rc_event_build_rate_bytes(struct rc_event_build *build, const char *text, size_t bytes, struct rc_err *err)
{
    struct rc_config_rate rate;
    const int rc = rc_config_rate_bytes_parse(text, bytes, &rate, err);
    return rc == 0 ? rate_keep(build, &build->row->guards.rate_bytes, &rate, rc_span_of(text, bytes), err) : rc;
}

static bool rate_equal(const struct rc_event_rate *one, const struct rc_event_rate *other)
{
    return one->count == other->count && one->window_ms == other->window_ms;
}

int rc_event_build_rate_group(struct rc_event_build *build, const char *name, size_t bytes, struct rc_err *err)
{
    struct rc_config *const config = build->config;
    struct rc_event_guards *const guards = &build->row->guards;
    if (bytes == 0 || bytes > RATE_GROUP_MAX) {
        return rc_err_set(err, -EINVAL, "expected a name of 1 to %u bytes", RATE_GROUP_MAX);
    }
    if (guards->rated == 0) {
        return rc_err_set(err, -EINVAL, "the row has no rate that it could share");
    }
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_event_guards *const others = &config->events[i].guards;
        if (others->rate_group == 0 ||
            !rc_span_equal(rc_event_text(config, others->rate_group_name.at, others->rate_group_name.bytes),
                           rc_span_of(name, bytes))) {
            continue;
        }
        if (!rate_equal(&others->rate, &guards->rate) || !rate_equal(&others->rate_bytes, &guards->rate_bytes)) {
            return rc_err_set(err, -EINVAL, "the group \"%.*s\" has another rate for \"%s\": a group has one",
                              (int)bytes, name, config->events[i].on.text);
        }
        guards->rate_group = others->rate_group;
        guards->rate_group_name = others->rate_group_name;
        return 0;
    }
    guards->rate_group = ++config->event_rules.rate_group_count;
    guards->rate_group_name.bytes = (uint32_t)bytes;
    return rc_event_arena_put(build, name, bytes, &guards->rate_group_name.at, err);
}

/* --- refusals ---------------------------------------------------------------------------------------------------- */

const char *rc_event_guard_name(enum rc_event_guard guard)
{
    static const char *const names[] = {[RC_GUARD_RATE] = "rate",
                                        [RC_GUARD_WHO] = "who",
                                        [RC_GUARD_SCHEMA] = "schema",
                                        [RC_GUARD_INSIDE] = "inside",
                                        [RC_GUARD_IDENTIFY] = "identify"};
    return names[guard];
}

void rc_event_refuse_begin(struct rc_event_build *build)
{
    build->sources |= RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ERROR);
    rc_event_template_begin(build);
}

/* Where a key's constant goes; NULL: there is no such key. */
static struct rc_event_text *refuse_member(struct rc_event_guards *guards, struct rc_span key)
{
    if (rc_span_equal(key, RC_SPAN("code"))) {
        return &guards->code;
    }
    if (rc_span_equal(key, RC_SPAN("event"))) {
        return &guards->event;
    }
    for (uint32_t i = 0; i < RC_GUARDS; i++) {
        if (rc_span_equal(key, rc_span_text(rc_event_guard_name((enum rc_event_guard)i)))) {
            return &guards->texts[i];
        }
    }
    return NULL;
}

int rc_event_refuse_end(struct rc_event_build *build, const char *key, size_t bytes, struct rc_err *err)
{
    struct rc_event_guards *const guards = &build->row->guards;
    struct rc_event_text *const member = refuse_member(guards, rc_span_of(key, bytes));
    struct rc_json_value value;
    uint8_t scratch[RC_EVENT_WANTED_MAX];
    struct rc_span text;
    build->sources &= ~RC_EVENT_SOURCE_BIT(RC_EVENT_SOURCE_ERROR);
    guards->refuse_count++;
    if (rc_span_equal(rc_span_of(key, bytes), RC_SPAN("ack"))) {
        return rc_event_template_end(build, &guards->ack, err);
    }
    if (member == NULL) {
        return rc_err_set(err, -EINVAL, "expected code, rate, who, schema, inside, identify, event or ack");
    }
    const int rc = constant_read(build, &value, err);
    if (rc != 0) {
        return rc;
    }
    if (!(member == &guards->code && value.type == RC_JSON_NUMBER) &&
        (value.type != RC_JSON_STRING || rc_json_string_decode(&value, scratch, sizeof(scratch), &text) != 0)) {
        return rc_err_set(err, -EINVAL, "expected a text of at most %d bytes%s", RC_EVENT_WANTED_MAX,
                          member == &guards->code ? ", or a number" : "");
    }
    if (member == &guards->event && (text.count == 0 || rc_config_event_reserved(text))) {
        return rc_err_set(err, -EINVAL, "expected the name of an event that Socket.IO does not reserve");
    }
    member->bytes = (uint32_t)value.raw.count;
    return rc_event_arena_put(build, value.raw.bytes, value.raw.count, &member->at, err);
}

/* --- the row ----------------------------------------------------------------------------------------------------- */

int rc_event_build_inside(struct rc_event_build *build, const char *room, size_t bytes, struct rc_err *err)
{
    struct rc_event_guards *const guards = &build->row->guards;
    build->room_count = 0;
    const int rc = rc_event_build_room(build, RC_RULE_JOIN, room, bytes, err);
    if (rc == 0) {
        guards->inside = build->rooms[0];
        guards->inside_count = 1;
    }
    build->room_count = 0;
    return rc;
}

int rc_event_guards_check(struct rc_event_build *build, struct rc_err *err)
{
    const struct rc_config_event *const row = build->row;
    const struct rc_event_guards *const guards = &row->guards;
    if (row->from == RC_EVENT_FROM_SERVER &&
        (guards->who != RC_EVENT_WHO_ANYONE || guards->inside_count > 0 || guards->rated > 0)) {
        return rc_err_set(err, -EINVAL, "a server's event comes from no client: who, rate and inside say nothing");
    }
    if (rc_event_life_cycle(row) && (guards->rated > 0 || guards->refuse_count > 0)) {
        return rc_err_set(
            err, -EINVAL,
            "\"%s\" is nothing that a client asks for: rate and refuse say nothing, and a row whose other "
            "guards do not hold is passed over",
            row->on.text);
    }
    return 0;
}
