/* key: the table and what can be done with any key. */
#include "common/config/key.h"

#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/key_member.h"

/* --- words ------------------------------------------------------------------------------------------------------- */

static const struct rc_config_word who_subscribes[] = {{"auto", RC_WHO_DEFAULT},
                                                       {"anyone", RC_WHO_ANYONE},
                                                       {"user", RC_WHO_USER},
                                                       {"owner", RC_WHO_OWNER},
                                                       {"rules", RC_WHO_RULES},
                                                       {"none", RC_WHO_NONE},
                                                       {NULL, 0}};
static const struct rc_config_word who_publishes[] = {
    {"auto", RC_WHO_DEFAULT},  {"anyone", RC_WHO_ANYONE}, {"user", RC_WHO_USER}, {"owner", RC_WHO_OWNER},
    {"member", RC_WHO_MEMBER}, {"rules", RC_WHO_RULES},   {"none", RC_WHO_NONE}, {NULL, 0}};
static const struct rc_config_word who_sees[] = {{"auto", RC_WHO_DEFAULT},
                                                 {"anyone", RC_WHO_ANYONE},
                                                 {"user", RC_WHO_USER},
                                                 {"owner", RC_WHO_OWNER},
                                                 {"member", RC_WHO_MEMBER},
                                                 {"none", RC_WHO_NONE},
                                                 {NULL, 0}};
/* Outside of channels nothing has an owner. */
static const struct rc_config_word who_client[] = {
    {"auto", RC_WHO_DEFAULT}, {"anyone", RC_WHO_ANYONE}, {"user", RC_WHO_USER}, {"none", RC_WHO_NONE}, {NULL, 0}};
static const struct rc_config_word deltas[] = {{"none", RC_DELTA_NONE}, {"fossil", RC_DELTA_FOSSIL}, {NULL, 0}};
static const struct rc_config_word history_scopes[] = {
    {"cluster", RC_HISTORY_SCOPE_CLUSTER}, {"host", RC_HISTORY_SCOPE_HOST}, {NULL, 0}};
static const struct rc_config_word slow_policies[] = {
    {"disconnect", RC_SLOW_DISCONNECT}, {"skip", RC_SLOW_SKIP}, {"latest", RC_SLOW_LATEST}, {NULL, 0}};
static const struct rc_config_word rate_policies[] = {{"delay", RC_RATE_DELAY}, {"close", RC_RATE_CLOSE}, {NULL, 0}};
static const struct rc_config_word priorities[] = {
    {"normal", RC_PRIORITY_NORMAL}, {"critical", RC_PRIORITY_CRITICAL}, {NULL, 0}};
static const struct rc_config_word endpoint_protocols[] = {{"native", RC_ENDPOINT_NATIVE},
                                                           {"raw", RC_ENDPOINT_RAW},
                                                           {"engineio", RC_ENDPOINT_ENGINEIO},
                                                           {"socketio", RC_ENDPOINT_SOCKETIO},
                                                           {"sse", RC_ENDPOINT_SSE},
                                                           {"pusher", RC_ENDPOINT_PUSHER},
                                                           {NULL, 0}};
static const struct rc_config_word pusher_channels[] = {
    {"own", RC_PUSHER_CHANNELS_OWN}, {"plain", RC_PUSHER_CHANNELS_PLAIN}, {NULL, 0}};
static const struct rc_config_word event_froms[] = {
    {"client", RC_EVENT_FROM_CLIENT}, {"server", RC_EVENT_FROM_SERVER}, {NULL, 0}};
static const struct rc_config_word identity_kinds[] = {
    {"jwt", RC_IDENTITY_JWT},     {"session", RC_IDENTITY_SESSION},         {"backend", RC_IDENTITY_BACKEND},
    {"proxy", RC_IDENTITY_PROXY}, {"certificate", RC_IDENTITY_CERTIFICATE}, {NULL, 0}};
static const struct rc_config_word identity_ats[] = {
    {"connect", RC_IDENTITY_AT_CONNECT}, {"handshake", RC_IDENTITY_AT_HANDSHAKE}, {NULL, 0}};
static const struct rc_config_word consumer_from[] = {
    {"newest", RC_CONSUMER_NEWEST},
    {"oldest", RC_CONSUMER_OLDEST},
    {NULL, 0},
};

static const struct rc_config_word revocations[] = {
    {"off", RC_REVOCATION_OFF}, {"strict", RC_REVOCATION_STRICT}, {"lenient", RC_REVOCATION_LENIENT}, {NULL, 0}};
static const struct rc_config_word adapters[] = {{"", RC_ADAPTER_NONE},
                                                 {"classic", RC_ADAPTER_CLASSIC},
                                                 {"sharded", RC_ADAPTER_SHARDED},
                                                 {"streams", RC_ADAPTER_STREAMS},
                                                 {NULL, 0}};
static const struct rc_config_word backend_kinds[] = {
    {"http", RC_BACKEND_KIND_HTTP}, {"link", RC_BACKEND_KIND_LINK}, {NULL, 0}};
static const struct rc_config_word backend_balances[] = {
    {"least", RC_BACKEND_BALANCE_LEAST}, {"user", RC_BACKEND_BALANCE_USER}, {NULL, 0}};
static const struct rc_config_word backend_failures[] = {
    {"deny", RC_BACKEND_FAILURE_DENY}, {"allow", RC_BACKEND_FAILURE_ALLOW}, {NULL, 0}};
static const struct rc_config_word keeps[] = {
    {"all", RC_KEEP_ALL}, {"websocket", RC_KEEP_WEBSOCKET}, {"none", RC_KEEP_NONE}, {NULL, 0}};
static const struct rc_config_word log_formats[] = {{"text", RC_LOG_TEXT}, {"json", RC_LOG_JSON}, {NULL, 0}};
static const struct rc_config_word log_redactions[] = {
    {"none", RC_LOG_KEEP}, {"hash", RC_LOG_HASH}, {"remove", RC_LOG_REMOVE}, {NULL, 0}};
static const struct rc_config_word log_redactions_of[] = {{"default", RC_LOG_REDACT_DEFAULT},
                                                          {"none", RC_LOG_KEEP},
                                                          {"hash", RC_LOG_HASH},
                                                          {"remove", RC_LOG_REMOVE},
                                                          {NULL, 0}};
static const struct rc_config_word subscription_sets[] = {
    {"clients", RC_SUBSCRIPTION_SETS_CLIENTS}, {"instances", RC_SUBSCRIPTION_SETS_INSTANCES}, {NULL, 0}};
static const struct rc_config_word tls_versions[] = {{"1.2", RC_TLS_12}, {"1.3", RC_TLS_13}, {NULL, 0}};
#define log_levels rc_config_log_levels

/* Words and kinds are written as four bytes. */
_Static_assert(sizeof(enum rc_who) == 4 && sizeof(enum rc_slow_policy) == 4 && sizeof(enum rc_priority) == 4 &&
                   sizeof(enum rc_endpoint_protocol) == 4 && sizeof(enum rc_endpoint_incoming) == 4 &&
                   sizeof(enum rc_adapter) == 4 && sizeof(enum rc_event_from) == 4 &&
                   sizeof(enum rc_backend_failure) == 4 && sizeof(enum rc_backend_kind) == 4 &&
                   sizeof(enum rc_backend_balance) == 4 && sizeof(enum rc_identity_kind) == 4 &&
                   sizeof(enum rc_identity_at) == 4 && sizeof(enum rc_keep) == 4,
               "enum size");

/* --- the table --------------------------------------------------------------------------------------------------- */

enum section_index {
#define RC_CONFIG_SECTION(section, repeated, place, help) SECTION_##section,
#define RC_CONFIG_KEY(section, key, kind, member, initial, min, max, reload, help)
#include "common/config/config.def"
};

#define PLACE_COUNT_0(section) 0
#define PLACE_COUNT_2(section) 0
#define PLACE_COUNT_3(section) 0
#define PLACE_WITHIN_0 NULL
#define PLACE_WITHIN_1 NULL
#define PLACE_WITHIN_2 NULL
#define PLACE_WITHIN_3 "event"
#define PLACE_WITHIN_4 NULL
#define PLACE_COUNT_1(section) offsetof(struct rc_config, section##_count)
#define PLACE_COUNT_4(section) PLACE_COUNT_1(section)
#define PLACE_MAX(place) (sizeof(((struct rc_config *)0)->place))

const struct rc_config_section rc_config_sections[] = {
#define RC_CONFIG_SECTION(section, repeats, place, text) \
    {.name = #section,                                   \
     .help = (text),                                     \
     .repeated = (repeats) == 1 || (repeats) >= 3,       \
     .named = (repeats) == 4,                            \
     .optional = (repeats) == 2,                         \
     .within = PLACE_WITHIN_##repeats,                   \
     .offset = offsetof(struct rc_config, place),        \
     .item_bytes = sizeof(struct rc_config_##section),   \
     .count_offset = PLACE_COUNT_##repeats(section),     \
     .items_max = (uint32_t)(PLACE_MAX(place) / sizeof(struct rc_config_##section))},
#define RC_CONFIG_KEY(section, key, kind, member, initial, min, max, reload, help)
#include "common/config/config.def"
};
const size_t rc_config_section_count = RC_ARRAY_COUNT(rc_config_sections);

#define KIND_BOOL .kind = RC_CONFIG_BOOL
#define KIND_UINT .kind = RC_CONFIG_UINT
#define KIND_WORKERS .kind = RC_CONFIG_WORKERS
#define KIND_SIZE .kind = RC_CONFIG_SIZE
#define KIND_DURATION .kind = RC_CONFIG_DURATION
#define KIND_RATE .kind = RC_CONFIG_RATE
#define KIND_RATE_BYTES .kind = RC_CONFIG_RATE_BYTES
#define KIND_INCOMING .kind = RC_CONFIG_INCOMING
#define KIND_RULE(text_form) .kind = RC_CONFIG_RULE, .form = RC_FORM_##text_form
#define KIND_WORD(table) .kind = RC_CONFIG_WORD, .words = table
#define KIND_TEXT(text_form) .kind = RC_CONFIG_TEXT, .form = RC_FORM_##text_form
#define KIND_LIST(text_form) .kind = RC_CONFIG_LIST, .form = RC_FORM_##text_form
#define RELOAD true
#define RESTART false

const struct rc_config_key rc_config_keys[] = {
#define RC_CONFIG_SECTION(section, repeated, place, help)
#define RC_CONFIG_KEY(table, key, key_kind, member, value, least, most, reload, text) \
    {.section = SECTION_##table,                                                      \
     .name = #key,                                                                    \
     KIND_##key_kind,                                                                 \
     .offset = offsetof(struct rc_config_##table, member),                            \
     .bytes = sizeof(((struct rc_config_##table *)0)->member),                        \
     .initial = (value),                                                              \
     .min = (least),                                                                  \
     .max = (most),                                                                   \
     .reloadable = (reload),                                                          \
     .help = (text)},
#include "common/config/config.def"
};
const size_t rc_config_key_count = RC_ARRAY_COUNT(rc_config_keys);

/* A list is a count and, right behind it, its items; members that are lists of another length have that shape, too. */
_Static_assert(offsetof(struct rc_config_list, items) == sizeof(uint32_t), "list layout");
_Static_assert(offsetof(struct rc_config_endpoint, join) ==
                   offsetof(struct rc_config_endpoint, join_count) + sizeof(uint32_t),
               "join layout");
_Static_assert(offsetof(struct rc_config_socketio, namespaces) ==
                       offsetof(struct rc_config_socketio, namespace_count) + sizeof(uint32_t) &&
                   offsetof(struct rc_config_socketio, transports) ==
                       offsetof(struct rc_config_socketio, transport_count) + sizeof(uint32_t),
               "socketio layout");
#define LIST_BEHIND(list, count)                                                     \
    _Static_assert(offsetof(struct rc_config_backend, list) ==                       \
                       offsetof(struct rc_config_backend, count) + sizeof(uint32_t), \
                   "backend layout")
LIST_BEHIND(urls, url_count);
LIST_BEHIND(secrets, secret_count);
LIST_BEHIND(forward, forward_count);
LIST_BEHIND(calls, call_count);
_Static_assert(RC_CHANNEL_NAME_MAX + 1 == RC_CONFIG_TEXT_MAX, "channel names are kept like texts");

const struct rc_config_section *rc_config_section_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < rc_config_section_count; i++) {
        if (strlen(rc_config_sections[i].name) == bytes && memcmp(rc_config_sections[i].name, name, bytes) == 0) {
            return &rc_config_sections[i];
        }
    }
    return NULL;
}

const struct rc_config_key *rc_config_key_find(const struct rc_config_section *section, const char *name, size_t bytes)
{
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *const key = &rc_config_keys[i];
        if (&rc_config_sections[key->section] == section && strlen(key->name) == bytes &&
            memcmp(key->name, name, bytes) == 0) {
            return key;
        }
    }
    return NULL;
}

const char *rc_config_name_nearest(const struct rc_config_section *section, const char *name, size_t bytes)
{
    const char *nearest = NULL;
    size_t distance = 1 + bytes / 3; /* further away it is no typing mistake */
    const size_t count = section == NULL ? rc_config_section_count : rc_config_key_count;
    for (size_t i = 0; i < count; i++) {
        if (section != NULL ? &rc_config_sections[rc_config_keys[i].section] != section
                            : rc_config_sections[i].within != NULL) {
            continue;
        }
        const char *const known = section == NULL ? rc_config_sections[i].name : rc_config_keys[i].name;
        const size_t edits = rc_config_word_distance(name, bytes, known, strlen(known));
        if (edits < distance || (edits == distance && nearest == NULL)) {
            distance = edits;
            nearest = known;
        }
    }
    return nearest;
}

void *rc_config_item(struct rc_config *config, const struct rc_config_section *section, uint32_t index)
{
    RC_ASSERT(index < section->items_max);
    return (char *)config + section->offset + index * section->item_bytes;
}

uint32_t rc_config_item_count(const struct rc_config *config, const struct rc_config_section *section)
{
    uint32_t count = 1;
    if (section->within != NULL) {
        return 0;
    }
    if (section->repeated) {
        memcpy(&count, (const char *)config + section->count_offset, sizeof(count));
    }
    return count;
}

/* Bytes of the member, with those that belong to it under another name. */
static size_t member_bytes(const struct rc_config_key *key)
{
    return key->kind == RC_CONFIG_LIST ? sizeof(uint32_t) + key->max * RC_CONFIG_TEXT_MAX : key->bytes;
}

bool rc_config_key_equal(const struct rc_config_key *key, const void *item_a, const void *item_b)
{
    if (key->kind == RC_CONFIG_INCOMING) {
        const struct rc_config_endpoint *const a = item_a;
        const struct rc_config_endpoint *const b = item_b;
        return a->incoming == b->incoming && strcmp(a->incoming_channel, b->incoming_channel) == 0;
    }
    if (key->kind == RC_CONFIG_LIST) {
        const uint32_t count = rc_config_member_count(key, item_a);
        bool equal = count == rc_config_member_count(key, item_b);
        for (uint32_t i = 0; i < count && equal; i++) {
            equal = strcmp(rc_config_member_text(key, item_a, i), rc_config_member_text(key, item_b, i)) == 0;
        }
        return equal;
    }
    if (key->kind == RC_CONFIG_TEXT) {
        return strcmp(rc_config_member_const(key, item_a), rc_config_member_const(key, item_b)) == 0;
    }
    if (key->kind == RC_CONFIG_RULE) {
        return true; /* rc_event_rules_equal */
    }
    return rc_config_member_number(key, item_a) == rc_config_member_number(key, item_b);
}

void rc_config_key_copy(const struct rc_config_key *key, void *item, const void *from_item)
{
    memcpy(rc_config_member(key, item), rc_config_member_const(key, from_item), member_bytes(key));
    if (key->kind == RC_CONFIG_INCOMING) {
        const struct rc_config_endpoint *const from = from_item;
        memcpy(((struct rc_config_endpoint *)item)->incoming_channel, from->incoming_channel,
               sizeof(from->incoming_channel));
    }
}
