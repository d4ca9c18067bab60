/* policies: see policies.h. */
#include "common/config/policies.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/backend.h"
#include "common/config/event_rules.h"
#include "common/config/text.h"
#include "common/records/channel_name.h"

#define PRESENCE_NAME "presence events" /* as metrics call it */

static bool listener_private(const char *text)
{
    struct rc_listen_address address;
    return rc_listen_address_parse(&address, text, strlen(text), NULL) == 0 && address.loopback;
}

bool rc_config_listeners_private(const struct rc_config *config)
{
    const struct rc_config_list *const lists[] = {&config->server.listen, &config->tls.listen};
    for (size_t i = 0; i < RC_ARRAY_COUNT(lists); i++) {
        for (uint32_t j = 0; j < lists[i]->count; j++) {
            if (!listener_private(lists[i]->items[j].text)) {
                return false;
            }
        }
    }
    return config->http.admin_listen.text[0] == '\0' || listener_private(config->http.admin_listen.text);
}

bool rc_config_serves_tls(const struct rc_config *config)
{
    return config->tls.listen.count + config->link.tls_listen.count > 0;
}

const char *rc_config_outsiders(const struct rc_config *config)
{
    if (!rc_config_listeners_private(config)) {
        return "other hosts can reach a listener (server.listen, tls.listen or http.admin_listen)";
    }
    if (config->http.trusted_proxies.count > 0) {
        return "http.trusted_proxies is set: who comes through a proxy may be anybody";
    }
    return config->server.proxy_protocol ? "server.proxy_protocol is set: who comes through a proxy may be anybody"
                                         : NULL;
}

const char *rc_config_who_name(enum rc_who who)
{
    static const char *const names[] = {
        [RC_WHO_DEFAULT] = "auto",  [RC_WHO_ANYONE] = "anyone", [RC_WHO_USER] = "user", [RC_WHO_OWNER] = "owner",
        [RC_WHO_MEMBER] = "member", [RC_WHO_RULES] = "rules",   [RC_WHO_NONE] = "none"};
    return (size_t)who < RC_ARRAY_COUNT(names) ? names[who] : "?";
}

const struct rc_config_namespace *rc_config_namespace_of(const struct rc_config *config, const char *name, size_t bytes)
{
    struct rc_span nsp;
    struct rc_span room = rc_span_of(name, bytes);
    if (bytes > 0 && name[0] == RC_CHANNEL_PRESENCE_BYTE) {
        return &config->namespaces[config->presence_namespace];
    }
    if (bytes > 0 && name[0] == '/') {
        (void)rc_channel_split(rc_span_of(name, bytes), &nsp, &room);
    }
    const uint8_t *const colon = room.count == 0 ? NULL : memchr(room.bytes, ':', room.count);
    const bool whole = colon == NULL;
    const size_t prefix = whole ? room.count : (size_t)(colon - room.bytes);
    for (uint32_t i = 1; prefix > 0 && (!whole || config->whole_count > 0) && i < config->namespace_count; i++) {
        const struct rc_config_namespace *const space = &config->namespaces[i];
        if (space->name_bytes == prefix && space->whole == whole && memcmp(space->name, room.bytes, prefix) == 0) {
            return space;
        }
    }
    return &config->namespaces[0];
}

/* --- what rows guard ------------------------------------------------------------------------------------------------- */

static void who_resolve(enum rc_who *who, enum rc_who otherwise)
{
    if (*who == RC_WHO_DEFAULT) {
        *who = otherwise;
    }
}

/* The constant part of a room's name that says where it is: what stands before its first colon, or, `*whole`, all of it. Empty: it comes
 * from a value. */
static struct rc_span room_namespace(const struct rc_config *config, const struct rc_config_event *row,
                                     const struct rc_event_template *room, bool *whole)
{
    const struct rc_event_piece *const piece = rc_event_pieces(config, room);
    struct rc_span text = {0};
    bool all = room->piece_count == 1;
    if (room->piece_count > 0 && piece->type == RC_EVENT_PIECE_LITERAL) {
        text = rc_event_text(config, piece->at, piece->bytes);
    } else if (room->piece_count > 0 && piece->source == RC_EVENT_SOURCE_EVENT) {
        text = rc_span_text(row->on.text);
        all = all && text.bytes[text.count - 1] != '*'; /* "chat:*": its beginning is the file's */
    }
    const uint8_t *const colon = text.count == 0 ? NULL : memchr(text.bytes, ':', text.count);
    *whole = colon == NULL;
    if (colon != NULL) {
        return rc_span_of(text.bytes, (size_t)(colon - text.bytes));
    }
    return all ? text : (struct rc_span){0};
}

/* The one of that name, made where there is none. NULL: there are too many. */
static struct rc_config_namespace *namespace_need(struct rc_config *config, struct rc_span name, bool whole)
{
    for (uint32_t i = 1; i < config->namespace_count; i++) {
        struct rc_config_namespace *const space = &config->namespaces[i];
        if (space->whole == whole && rc_span_equal(rc_span_of(space->name, space->name_bytes), name)) {
            return space;
        }
    }
    if (config->namespace_count == RC_CONFIG_NAMESPACES_MAX) {
        return NULL;
    }
    struct rc_config_namespace *const made = &config->namespaces[config->namespace_count++];
    *made = config->namespaces[0];
    made->made = true;
    made->subscribe = made->publish = made->presence_who = made->history_who = RC_WHO_DEFAULT;
    made->whole = whole;
    made->name_bytes = (uint32_t)name.count;
    memset(made->name, 0, sizeof(made->name));
    memcpy(made->name, name.bytes, name.count);
    config->whole_count += whole ? 1 : 0;
    return made;
}

/* Channels that carry presence events have a namespace of their own: nobody may anything there, nothing is kept or held back, and who reads too
 * slowly is told that it missed something. */
static int presence_namespace_make(struct rc_config *config, struct rc_err *err)
{
    bool any = false;
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        struct rc_config_namespace *const space = &config->namespaces[i];
        space->presence |= space->presence_events;
        any |= space->presence_events;
    }
    if (!any) {
        return 0;
    }
    if (config->namespace_count == RC_CONFIG_NAMESPACES_MAX) {
        return rc_err_set(err, -EINVAL,
                          "presence_events needs a place among the channel namespaces, of which there are at most %d",
                          RC_CONFIG_NAMESPACES_MAX);
    }
    config->presence_namespace = config->namespace_count++;
    struct rc_config_namespace *const made = &config->namespaces[config->presence_namespace];
    *made = config->namespaces[0];
    made->made = true;
    memset(made->name, 0, sizeof(made->name));
    memcpy(made->name, PRESENCE_NAME, sizeof(PRESENCE_NAME));
    made->name_bytes = 0; /* what stands before a colon never means it */
    made->subscribe = made->publish = made->presence_who = made->history_who = made->retain = RC_WHO_NONE;
    made->publish_rate = made->publish_rate_bytes = made->subscribe_rate = made->unsubscribe_rate =
        (struct rc_config_rate){0};
    made->history = 0;
    made->slow_consumer = RC_SLOW_SKIP;
    made->min_interval_ms = 0;
    made->delta = RC_DELTA_NONE;
    made->priority = RC_PRIORITY_NORMAL;
    made->presence = made->presence_events = made->reveal_publisher = made->outbox = false;
    made->subscription_set.text[0] = '\0';
    return 0;
}

static int room_guard(struct rc_config *config, const struct rc_config_event *row, const struct rc_event_template *room,
                      struct rc_err *err)
{
    const struct rc_event_guards *const guards = &row->guards;
    const bool guarded = guards->who != RC_EVENT_WHO_ANYONE || guards->inside_count > 0 || row->schema_at != 0 ||
                         row->identify.text[0] != '\0' || row->ask.text[0] != '\0';
    bool whole = false;
    const struct rc_span name = room_namespace(config, row, room, &whole);
    if (name.count == 0 || (!guarded && room->piece_count == 1)) {
        return 0;
    }
    struct rc_config_namespace *const space = namespace_need(config, name, whole);
    if (space == NULL) {
        return rc_err_set(err, -EINVAL,
                          "[[event]] on = \"%s\": there are more than %d channel namespaces, with those that tables "
                          "guard by joining their rooms",
                          row->on.text, RC_CONFIG_NAMESPACES_MAX);
    }
    if (space->subscribe == RC_WHO_DEFAULT) {
        space->subscribe = RC_WHO_RULES;
    }
    return 0;
}

static int rows_guard(struct rc_config *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_config_event *const row = &config->events[i];
        const struct rc_event_operation *const operations = rc_event_operations(config, row);
        for (uint32_t j = 0; j < row->operation_count; j++) {
            const struct rc_event_template *const rooms = rc_event_rooms(config, &operations[j]);
            for (uint32_t k = 0; operations[j].type == RC_RULE_JOIN && k < operations[j].room_count; k++) {
                const int rc = room_guard(config, row, &rooms[k], err);
                if (rc != 0) {
                    return rc;
                }
            }
        }
    }
    return 0;
}

static enum rc_config_row_flaw room_flaw(const struct rc_config *config, const struct rc_config_event *row,
                                         enum rc_event_operation_type type, const struct rc_event_template *room)
{
    const bool decided = rc_backend_of_call(config, RC_BACKEND_SUBSCRIBE) >= 0;
    const enum rc_who others = config->namespaces[0].subscribe;
    bool whole = false;
    if ((room->flags & RC_EVENT_CLIENT_CHOOSES) == 0) {
        const bool open = !decided && (others == RC_WHO_ANYONE || others == RC_WHO_USER);
        return type == RC_RULE_JOIN && open && room_namespace(config, row, room, &whole).count == 0 ? RC_ROW_JOINS_OPEN
                                                                                                    : RC_ROW_FLAWLESS;
    }
    if (type == RC_RULE_JOIN) {
        return decided ? RC_ROW_JOINS_DECIDED : RC_ROW_FLAWLESS;
    }
    return (type == RC_RULE_EMIT || type == RC_RULE_RETAIN) && rc_backend_of_call(config, RC_BACKEND_PUBLISH) >= 0
               ? RC_ROW_SENDS_DECIDED
               : RC_ROW_FLAWLESS;
}

enum rc_config_row_flaw rc_config_row_flaw(const struct rc_config *config, const struct rc_config_event *row)
{
    const struct rc_event_operation *const operations = rc_event_operations(config, row);
    enum rc_config_row_flaw flaw = RC_ROW_FLAWLESS;
    for (uint32_t i = 0; i < row->operation_count; i++) {
        const struct rc_event_template *const rooms = rc_event_rooms(config, &operations[i]);
        for (uint32_t j = 0; j < operations[i].room_count && flaw == RC_ROW_FLAWLESS; j++) {
            flaw = room_flaw(config, row, operations[i].type, &rooms[j]);
        }
    }
    return flaw;
}

/* --- the client's word, by way of what is known of it ------------------------------------------------------------------ */

/* Do attributes of clients repeat what they say? What a proxy writes is its own. */
static bool attributes_said(const struct rc_config *config)
{
    for (uint32_t i = 0; i < config->identity_count; i++) {
        const struct rc_event_template *const attributes = &config->identities[i].attributes;
        const struct rc_event_piece *const pieces = rc_event_pieces(config, attributes);
        for (uint32_t j = 0; config->identities[i].kind != RC_IDENTITY_PROXY && j < attributes->piece_count; j++) {
            if (pieces[j].type != RC_EVENT_PIECE_LITERAL &&
                (pieces[j].source == RC_EVENT_SOURCE_AUTH || pieces[j].source == RC_EVENT_SOURCE_QUERY ||
                 pieces[j].source == RC_EVENT_SOURCE_HEADER || pieces[j].source == RC_EVENT_SOURCE_COOKIE)) {
                return true;
            }
        }
    }
    return false;
}

/* A room whose channel namespace has an attribute in it is the client's choice then. The id is what was vouched for. */
static void room_distrust(struct rc_config *config, struct rc_event_template *room)
{
    const struct rc_event_piece *const pieces = rc_event_pieces(config, room);
    for (uint32_t i = 0; i < room->piece_count; i++) {
        const struct rc_span text = rc_event_text(config, pieces[i].at, pieces[i].bytes);
        if (pieces[i].type == RC_EVENT_PIECE_LITERAL && memchr(text.bytes, ':', text.count) != NULL) {
            return;
        }
        if (pieces[i].type != RC_EVENT_PIECE_LITERAL && pieces[i].source == RC_EVENT_SOURCE_USER &&
            !rc_span_equal(text, RC_SPAN("id"))) {
            room->flags |= RC_EVENT_CLIENT_CHOOSES;
        }
    }
}

static void rows_distrust(struct rc_config *config)
{
    uint8_t *const arena = config->event_rules.arena;
    for (uint32_t i = 0; i < config->event_count; i++) {
        const struct rc_config_event *const row = &config->events[i];
        const struct rc_event_operation *const operations = rc_event_operations(config, row);
        struct rc_event_question *const questions = (struct rc_event_question *)(void *)(arena + row->questions);
        for (uint32_t j = 0; j < row->operation_count; j++) {
            struct rc_event_template *const rooms = (struct rc_event_template *)(void *)(arena + operations[j].rooms);
            for (uint32_t k = 0; k < operations[j].room_count; k++) {
                room_distrust(config, &rooms[k]);
            }
        }
        for (uint32_t j = 0; j < row->question_count; j++) {
            room_distrust(config, &questions[j].room);
        }
    }
}

/* So that events whose rows name all of their rooms themselves need not look at each (worker/engine/rule_rate.c). */
static void rows_choices(struct rc_config *config)
{
    for (uint32_t i = 0; i < config->event_count; i++) {
        struct rc_config_event *const row = &config->events[i];
        const struct rc_event_operation *const operations = rc_event_operations(config, row);
        row->chosen_count = 0;
        for (uint32_t j = 0; j < row->operation_count; j++) {
            const struct rc_event_template *const rooms = rc_event_rooms(config, &operations[j]);
            for (uint32_t k = 0; k < operations[j].room_count; k++) {
                row->chosen_count += (rooms[k].flags & RC_EVENT_CLIENT_CHOOSES) != 0;
            }
        }
    }
}

static int endpoints_check(const struct rc_config *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        const struct rc_config_endpoint *const endpoint = &config->endpoints[i];
        for (uint32_t j = 0; j < endpoint->join_count; j++) {
            const char *const channel = endpoint->join[j];
            if (rc_config_namespace_of(config, channel, strlen(channel))->subscribe == RC_WHO_RULES) {
                return rc_err_set(err, -EINVAL,
                                  "[[endpoint]] \"%s\": join = \"%s\" would let everybody in where [[event]] tables "
                                  "guard who is: give its [[namespace]] another subscribe than \"rules\" or \"auto\"",
                                  endpoint->path.text, channel);
            }
        }
    }
    return 0;
}

int rc_config_policies_resolve(struct rc_config *config, struct rc_err *err)
{
    const enum rc_who writer = rc_config_outsiders(config) == NULL ? RC_WHO_ANYONE : RC_WHO_NONE;
    who_resolve(&config->permissions.broadcast, writer);
    who_resolve(&config->permissions.direct, writer);
    int rc = rows_guard(config, err);
    if (rc == 0) {
        rc = presence_namespace_make(config, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (attributes_said(config)) {
        rows_distrust(config);
    }
    rows_choices(config);
    const bool decided = rc_backend_of_call(config, RC_BACKEND_SUBSCRIBE) >= 0; /* whom it lets in, no key here says */
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        struct rc_config_namespace *const space = &config->namespaces[i];
        who_resolve(&space->subscribe, RC_WHO_ANYONE);
        const bool rules = space->subscribe == RC_WHO_RULES;
        who_resolve(&space->publish, rules ? RC_WHO_NONE : writer);
        who_resolve(&space->retain, space->publish);
        who_resolve(&space->presence_who, rules || decided ? RC_WHO_MEMBER : space->subscribe);
        who_resolve(&space->history_who, rules || decided ? RC_WHO_MEMBER : space->subscribe);
    }
    return endpoints_check(config, err);
}
