/* key: the table and what can be done with any key. */
#include "common/config/key.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/text/utf8_char.h"

#define FOUND_MAX 80 /* characters of a wrong value that a message shows */

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
static const struct rc_config_word slow_policies[] = {
    {"disconnect", RC_SLOW_DISCONNECT}, {"skip", RC_SLOW_SKIP}, {"latest", RC_SLOW_LATEST}, {NULL, 0}};
static const struct rc_config_word rate_policies[] = {{"delay", RC_RATE_DELAY}, {"close", RC_RATE_CLOSE}, {NULL, 0}};
static const struct rc_config_word priorities[] = {
    {"normal", RC_PRIORITY_NORMAL}, {"critical", RC_PRIORITY_CRITICAL}, {NULL, 0}};
static const struct rc_config_word endpoint_protocols[] = {{"native", RC_ENDPOINT_NATIVE},
                                                           {"raw", RC_ENDPOINT_RAW},
                                                           {"engineio", RC_ENDPOINT_ENGINEIO},
                                                           {"socketio", RC_ENDPOINT_SOCKETIO},
                                                           {NULL, 0}};
static const struct rc_config_word event_froms[] = {
    {"client", RC_EVENT_FROM_CLIENT}, {"server", RC_EVENT_FROM_SERVER}, {NULL, 0}};
static const struct rc_config_word identity_kinds[] = {
    {"jwt", RC_IDENTITY_JWT},     {"session", RC_IDENTITY_SESSION},         {"backend", RC_IDENTITY_BACKEND},
    {"proxy", RC_IDENTITY_PROXY}, {"certificate", RC_IDENTITY_CERTIFICATE}, {NULL, 0}};
static const struct rc_config_word identity_ats[] = {
    {"connect", RC_IDENTITY_AT_CONNECT}, {"handshake", RC_IDENTITY_AT_HANDSHAKE}, {NULL, 0}};
static const struct rc_config_word revocations[] = {
    {"off", RC_REVOCATION_OFF}, {"strict", RC_REVOCATION_STRICT}, {"lenient", RC_REVOCATION_LENIENT}, {NULL, 0}};
static const struct rc_config_word adapters[] = {{"", RC_ADAPTER_NONE},
                                                 {"classic", RC_ADAPTER_CLASSIC},
                                                 {"sharded", RC_ADAPTER_SHARDED},
                                                 {"streams", RC_ADAPTER_STREAMS},
                                                 {NULL, 0}};
static const struct rc_config_word backend_failures[] = {
    {"deny", RC_BACKEND_FAILURE_DENY}, {"allow", RC_BACKEND_FAILURE_ALLOW}, {NULL, 0}};
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
                   sizeof(enum rc_backend_failure) == 4 && sizeof(enum rc_identity_kind) == 4 &&
                   sizeof(enum rc_identity_at) == 4,
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

void rc_config_item_defaults(const struct rc_config_section *section, void *item)
{
    memset(item, 0, section->item_bytes);
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *const key = &rc_config_keys[i];
        if (&rc_config_sections[key->section] != section || (key->kind == RC_CONFIG_TEXT && key->initial[0] == '\0') ||
            key->kind == RC_CONFIG_RULE) {
            continue;
        }
        struct rc_err err;
        const int rc = rc_config_key_set_text(key, item, key->initial, &err);
        RC_ASSERT(rc == 0);
    }
}

/* --- members ----------------------------------------------------------------------------------------------------- */

static void *member_of(const struct rc_config_key *key, void *item)
{
    return (char *)item + key->offset;
}

static const void *member_of_const(const struct rc_config_key *key, const void *item)
{
    return (const char *)item + key->offset;
}

static void number_store(const struct rc_config_key *key, void *item, uint64_t number)
{
    if (key->bytes == sizeof(uint32_t)) {
        const uint32_t narrow = (uint32_t)number;
        memcpy(member_of(key, item), &narrow, sizeof(narrow));
    } else if (key->bytes == sizeof(bool)) {
        const bool flag = number != 0;
        memcpy(member_of(key, item), &flag, sizeof(flag));
    } else {
        RC_ASSERT(key->bytes == sizeof(uint64_t));
        memcpy(member_of(key, item), &number, sizeof(number));
    }
}

static uint64_t number_load(const struct rc_config_key *key, const void *item)
{
    const void *const member = member_of_const(key, item);
    uint64_t number = 0;
    if (key->bytes == sizeof(uint32_t)) {
        uint32_t narrow;
        memcpy(&narrow, member, sizeof(narrow));
        number = narrow;
    } else if (key->bytes == sizeof(bool)) {
        bool flag;
        memcpy(&flag, member, sizeof(flag));
        number = flag;
    } else {
        memcpy(&number, member, sizeof(number));
    }
    return number;
}

static uint32_t list_count(const struct rc_config_key *key, const void *item)
{
    uint32_t count;
    memcpy(&count, member_of_const(key, item), sizeof(count));
    return count;
}

static const char *list_text(const struct rc_config_key *key, const void *item, uint32_t index)
{
    return (const char *)member_of_const(key, item) + sizeof(uint32_t) + (size_t)index * RC_CONFIG_TEXT_MAX;
}

/* --- wrong values ------------------------------------------------------------------------------------------------ */

/* The value as a message shows it: short, without control characters, secrets not at all. */
static void value_describe(char *out, size_t capacity, const struct rc_config_key *key,
                           const struct rc_config_value *value)
{
    switch (value->type) {
    case RC_VALUE_BOOL:
        (void)snprintf(out, capacity, "%s", value->boolean ? "true" : "false");
        return;
    case RC_VALUE_INTEGER:
        (void)snprintf(out, capacity, "%" PRId64, value->integer);
        return;
    case RC_VALUE_LIST:
        (void)snprintf(out, capacity, "a list");
        return;
    case RC_VALUE_OTHER:
        (void)snprintf(out, capacity, "%s", value->text);
        return;
    case RC_VALUE_TEXT:
        break;
    }
    const bool text_like = key->kind == RC_CONFIG_TEXT || key->kind == RC_CONFIG_LIST;
    if (text_like && (key->form == RC_FORM_SECRET || key->form == RC_FORM_REDIS_URL)) {
        (void)snprintf(out, capacity, "a text of %zu bytes", value->bytes);
        return;
    }
    size_t at = 0;
    size_t written = 0;
    out[written++] = '"';
    for (size_t shown = 0; at < value->bytes && shown < FOUND_MAX && written + 12 < capacity; shown++) {
        uint32_t code = 0;
        const size_t count = rc_utf8_char((const uint8_t *)value->text + at, value->bytes - at, &code);
        if (count == 0 || code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
            written += (size_t)snprintf(out + written, capacity - written, "\\x%02x", (unsigned char)value->text[at]);
        } else {
            memcpy(out + written, value->text + at, count);
            written += count;
        }
        at += count == 0 ? 1 : count;
    }
    (void)snprintf(out + written, capacity - written, at < value->bytes ? "…\"" : "\"");
}

/* "expected …, found …". */
static int wrong_value(struct rc_err *err, const struct rc_config_key *key, const struct rc_config_value *value,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
static int wrong_value(struct rc_err *err, const struct rc_config_key *key, const struct rc_config_value *value,
                       const char *format, ...)
{
    char expected[320];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(expected, sizeof(expected), format, args);
    va_end(args);
    char found[180];
    value_describe(found, sizeof(found), key, value);
    return rc_err_set(err, -EINVAL, "%s, found %s", expected, found);
}

static void number_format(char *out, size_t capacity, const struct rc_config_key *key, uint64_t number)
{
    if (key->kind == RC_CONFIG_SIZE) {
        rc_config_size_format(out, capacity, number);
    } else if (key->kind == RC_CONFIG_DURATION) {
        rc_config_duration_format(out, capacity, number);
    } else {
        (void)snprintf(out, capacity, "%" PRIu64, number);
    }
}

static int out_of_range(struct rc_err *err, const struct rc_config_key *key, const struct rc_config_value *value)
{
    char min[64];
    char max[64];
    number_format(min, sizeof(min), key, key->min);
    number_format(max, sizeof(max), key, key->max);
    const char *const what = key->kind == RC_CONFIG_SIZE       ? "size"
                             : key->kind == RC_CONFIG_DURATION ? "duration"
                                                               : "number";
    return wrong_value(err, key, value, "expected a %s from %s to %s%s", what, min, max,
                       key->kind == RC_CONFIG_WORKERS ? " or \"auto\"" : "");
}

static int number_set(const struct rc_config_key *key, void *item, uint64_t number, const struct rc_config_value *value,
                      struct rc_err *err)
{
    if (number < key->min || number > key->max) {
        return out_of_range(err, key, value);
    }
    number_store(key, item, number);
    return 0;
}

/* --- texts ------------------------------------------------------------------------------------------------------- */

/* Checks a text and writes it, NUL-terminated, to `out` of RC_CONFIG_TEXT_MAX bytes. */
static int text_take(const struct rc_config_key *key, char *out, size_t max, const struct rc_config_value *value,
                     struct rc_err *err)
{
    char copy[RC_CONFIG_TEXT_MAX];
    const int rc = value->bytes == 0 ? 0 : rc_channel_name_check(value->text, value->bytes, max);
    if (rc == -ENAMETOOLONG) {
        return wrong_value(err, key, value, "expected at most %zu bytes", max);
    }
    if (rc != 0) {
        return wrong_value(err, key, value, "expected text without control characters");
    }
    if (value->bytes == 0) {
        out[0] = '\0';
        return 0;
    }
    memcpy(copy, value->text, value->bytes);
    copy[value->bytes] = '\0';
    struct rc_err scratch;
    const char *const problem = rc_config_form_problem(key->form, copy, value->bytes, &scratch);
    if (problem != NULL) {
        return wrong_value(err, key, value, "%s", problem);
    }
    if (key->form == RC_FORM_ORIGIN) {
        return rc_origin_normalize(out, RC_CONFIG_TEXT_MAX, copy, value->bytes, &scratch) == 0
                   ? 0
                   : wrong_value(err, key, value, "%s", scratch.text);
    }
    memcpy(out, copy, value->bytes + 1);
    return 0;
}

static int text_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                    struct rc_err *err)
{
    if (value->type != RC_VALUE_TEXT) {
        return wrong_value(err, key, value, "expected a text in quotes");
    }
    if (value->bytes < key->min) {
        return rc_err_set(err, -EINVAL, "must not be empty");
    }
    char text[RC_CONFIG_TEXT_MAX];
    const int rc = text_take(key, text, key->max, value, err);
    if (rc == 0) {
        memset(member_of(key, item), 0, key->bytes);
        memcpy(member_of(key, item), text, strlen(text));
    }
    return rc;
}

int rc_config_key_add(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                      struct rc_err *err)
{
    RC_ASSERT(key->kind == RC_CONFIG_LIST);
    struct rc_config_value shown = *value;
    char port[24];
    if (value->type == RC_VALUE_INTEGER && key->form == RC_FORM_LISTEN) {
        shown.type = RC_VALUE_TEXT;
        shown.text = port;
        shown.bytes = (size_t)snprintf(port, sizeof(port), "%" PRId64, value->integer);
    }
    if (shown.type != RC_VALUE_TEXT) {
        return wrong_value(err, key, value, "expected texts in quotes");
    }
    if (shown.bytes == 0) {
        return rc_err_set(err, -EINVAL, "an item must not be empty");
    }
    char text[RC_CONFIG_TEXT_MAX];
    const int rc = text_take(key, text, RC_CONFIG_TEXT_MAX - 1, &shown, err);
    if (rc != 0) {
        return rc;
    }
    const uint32_t count = list_count(key, item);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list_text(key, item, i), text) == 0) {
            return key->form == RC_FORM_SECRET ? rc_err_set(err, -EINVAL, "an item stands there twice")
                                               : rc_err_set(err, -EINVAL, "\"%s\" stands there twice", text);
        }
    }
    if (count >= key->max) {
        return rc_err_set(err, -EINVAL, "expected at most %" PRIu64 " items", key->max);
    }
    char *const member = member_of(key, item);
    memset(member + sizeof(uint32_t) + (size_t)count * RC_CONFIG_TEXT_MAX, 0, RC_CONFIG_TEXT_MAX);
    memcpy(member + sizeof(uint32_t) + (size_t)count * RC_CONFIG_TEXT_MAX, text, strlen(text));
    const uint32_t grown = count + 1;
    memcpy(member, &grown, sizeof(grown));
    return 0;
}

static int incoming_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                        struct rc_err *err)
{
    static const char expected[] = "expected \"ignore\", \"broadcast\" or \"publish:<channel>\"";
    struct rc_config_endpoint *const endpoint = item;
    if (value->type != RC_VALUE_TEXT) {
        return wrong_value(err, key, value, "%s", expected);
    }
    char channel[RC_CHANNEL_NAME_MAX + 1] = "";
    enum rc_endpoint_incoming incoming = RC_INCOMING_IGNORE;
    if (value->bytes == 9 && memcmp(value->text, "broadcast", 9) == 0) {
        incoming = RC_INCOMING_BROADCAST;
    } else if (value->bytes >= 8 && memcmp(value->text, "publish:", 8) == 0) {
        const char *const name = value->text + 8;
        const size_t bytes = value->bytes - 8;
        if (rc_channel_name_check(name, bytes, RC_CHANNEL_NAME_MAX) != 0) {
            return wrong_value(err, key, value, "expected a channel's name of 1 to %d bytes after \"publish:\"",
                               RC_CHANNEL_NAME_MAX);
        }
        if (bytes == 1 && name[0] == '*') {
            return wrong_value(err, key, value, "expected \"broadcast\" to send to everybody");
        }
        incoming = RC_INCOMING_PUBLISH;
        memcpy(channel, name, bytes);
    } else if (!(value->bytes == 6 && memcmp(value->text, "ignore", 6) == 0)) {
        return wrong_value(err, key, value, "%s", expected);
    }
    endpoint->incoming = incoming;
    memcpy(endpoint->incoming_channel, channel, sizeof(channel));
    return 0;
}

/* --- setting ----------------------------------------------------------------------------------------------------- */

static int integer_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                       struct rc_err *err)
{
    return value->integer < 0 ? out_of_range(err, key, value)
                              : number_set(key, item, (uint64_t)value->integer, value, err);
}

static int quantity_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                        struct rc_err *err)
{
    const bool size = key->kind == RC_CONFIG_SIZE;
    struct rc_err scratch;
    uint64_t number = 0;
    if (size && value->type == RC_VALUE_INTEGER) {
        return integer_set(key, item, value, err);
    }
    if (value->type == RC_VALUE_INTEGER) {
        return wrong_value(err, key, value,
                           "expected a duration with its unit, in quotes, such as \"25s\" or \"100ms\"");
    }
    if (value->type != RC_VALUE_TEXT) {
        return wrong_value(err, key, value,
                           size ? "expected a size such as \"64KiB\"" : "expected a duration such as \"25s\"");
    }
    const int rc = size ? rc_config_size_parse(value->text, value->bytes, &number, &scratch)
                        : rc_config_duration_parse(value->text, value->bytes, &number, &scratch);
    return rc == 0 ? number_set(key, item, number, value, err) : wrong_value(err, key, value, "%s", scratch.text);
}

static int word_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                    struct rc_err *err)
{
    uint32_t number = 0;
    struct rc_err scratch;
    /* A value that is no text is as wrong as a text that is no word (the empty one may be a word). */
    const char *const text = value->type == RC_VALUE_TEXT ? value->text : "\n";
    const size_t bytes = value->type == RC_VALUE_TEXT ? value->bytes : 1;
    if (rc_config_word_parse(key->words, text, bytes, &number, &scratch) != 0) {
        return wrong_value(err, key, value, "%s", scratch.text);
    }
    number_store(key, item, number);
    return 0;
}

static int rate_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                    struct rc_err *err)
{
    struct rc_config_rate rate = {0};
    struct rc_err scratch;
    const char *const text = value->type == RC_VALUE_TEXT ? value->text : "no rate";
    const size_t bytes = value->type == RC_VALUE_TEXT ? value->bytes : strlen(text);
    if (bytes > 0 && rc_config_rate_parse(text, bytes, &rate, &scratch) != 0) {
        return wrong_value(err, key, value, "%s", scratch.text);
    }
    memcpy(member_of(key, item), &rate, sizeof(rate));
    return 0;
}

int rc_config_key_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                      struct rc_err *err)
{
    switch (key->kind) {
    case RC_CONFIG_BOOL:
        if (value->type != RC_VALUE_BOOL) {
            return wrong_value(err, key, value, "expected true or false");
        }
        number_store(key, item, value->boolean);
        return 0;
    case RC_CONFIG_UINT:
        return value->type == RC_VALUE_INTEGER ? integer_set(key, item, value, err) : out_of_range(err, key, value);
    case RC_CONFIG_WORKERS:
        if (value->type == RC_VALUE_TEXT && value->bytes == 4 && memcmp(value->text, "auto", 4) == 0) {
            number_store(key, item, 0);
            return 0;
        }
        return value->type == RC_VALUE_INTEGER ? integer_set(key, item, value, err) : out_of_range(err, key, value);
    case RC_CONFIG_SIZE:
    case RC_CONFIG_DURATION:
        return quantity_set(key, item, value, err);
    case RC_CONFIG_RATE:
        return rate_set(key, item, value, err);
    case RC_CONFIG_WORD:
        return word_set(key, item, value, err);
    case RC_CONFIG_TEXT:
        return text_set(key, item, value, err);
    case RC_CONFIG_LIST:
        if (value->type != RC_VALUE_LIST) {
            return wrong_value(err, key, value, "expected a list of texts, as in [\"…\", \"…\"]");
        }
        memset(member_of(key, item), 0, sizeof(uint32_t) + key->max * RC_CONFIG_TEXT_MAX);
        return 0;
    case RC_CONFIG_INCOMING:
        return incoming_set(key, item, value, err);
    case RC_CONFIG_RULE:
        break; /* the matter of event_build.h */
    }
    return rc_err_set(err, -EINVAL, "is set by the file alone");
}

/* Adds the items of "a, b,c". */
static int list_set_text(const struct rc_config_key *key, void *item, const char *text, struct rc_err *err)
{
    const struct rc_config_value empty = {.type = RC_VALUE_LIST};
    int rc = rc_config_key_set(key, item, &empty, err);
    while (rc == 0 && *text != '\0') {
        const size_t bytes = strcspn(text, ",");
        size_t from = 0;
        size_t to = bytes;
        while (from < to && text[from] == ' ') {
            from++;
        }
        while (to > from && text[to - 1] == ' ') {
            to--;
        }
        if (to > from) {
            const struct rc_config_value part = {.type = RC_VALUE_TEXT, .text = text + from, .bytes = to - from};
            rc = rc_config_key_add(key, item, &part, err);
        }
        text += bytes + (text[bytes] == ',' ? 1 : 0);
    }
    return rc;
}

int rc_config_key_set_text(const struct rc_config_key *key, void *item, const char *text, struct rc_err *err)
{
    if (key->kind == RC_CONFIG_LIST) {
        return list_set_text(key, item, text, err);
    }
    struct rc_config_value value = {.type = RC_VALUE_TEXT, .text = text, .bytes = strlen(text)};
    uint64_t number = 0;
    if (key->kind == RC_CONFIG_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        value.type = RC_VALUE_BOOL;
        value.boolean = text[0] == 't';
    } else if ((key->kind == RC_CONFIG_UINT || key->kind == RC_CONFIG_WORKERS) &&
               rc_config_uint_parse(text, value.bytes, &number, NULL) == 0 && number <= INT64_MAX) {
        value.type = RC_VALUE_INTEGER;
        value.integer = (int64_t)number;
    }
    return rc_config_key_set(key, item, &value, err);
}

/* --- comparing, copying, printing -------------------------------------------------------------------------------- */

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
        const uint32_t count = list_count(key, item_a);
        bool equal = count == list_count(key, item_b);
        for (uint32_t i = 0; i < count && equal; i++) {
            equal = strcmp(list_text(key, item_a, i), list_text(key, item_b, i)) == 0;
        }
        return equal;
    }
    if (key->kind == RC_CONFIG_TEXT) {
        return strcmp(member_of_const(key, item_a), member_of_const(key, item_b)) == 0;
    }
    if (key->kind == RC_CONFIG_RULE) {
        return true; /* rc_event_rules_equal */
    }
    return number_load(key, item_a) == number_load(key, item_b);
}

void rc_config_key_copy(const struct rc_config_key *key, void *item, const void *from_item)
{
    memcpy(member_of(key, item), member_of_const(key, from_item), member_bytes(key));
    if (key->kind == RC_CONFIG_INCOMING) {
        const struct rc_config_endpoint *const from = from_item;
        memcpy(((struct rc_config_endpoint *)item)->incoming_channel, from->incoming_channel,
               sizeof(from->incoming_channel));
    }
}

/* A TOML basic string. */
static void text_print(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            (void)fputc('\\', out);
        }
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

/* A URL with its password replaced. */
static void url_print(FILE *out, const char *url)
{
    char shown[RC_CONFIG_TEXT_MAX + 8];
    const char *const mark = strstr(url, "://");
    const char *const at = strrchr(url, '@');
    const char *const colon = mark != NULL && at != NULL ? memchr(mark + 3, ':', (size_t)(at - mark)) : NULL;
    if (colon != NULL && colon < at) {
        (void)snprintf(shown, sizeof(shown), "%.*s***%s", (int)(colon + 1 - url), url, at);
    } else {
        (void)snprintf(shown, sizeof(shown), "%s", url);
    }
    text_print(out, shown);
}

static void rate_print(FILE *out, const struct rc_config_rate *rate)
{
    char text[RC_CONFIG_VALUE_MAX] = "";
    if (rate->count > 0) {
        rc_config_rate_format(text, sizeof(text), rate);
    }
    text_print(out, text);
}

void rc_config_key_print(FILE *out, const struct rc_config_key *key, const void *item)
{
    char text[RC_CONFIG_VALUE_MAX];
    const struct rc_config_endpoint *const endpoint = item;
    switch (key->kind) {
    case RC_CONFIG_BOOL:
        (void)fputs(number_load(key, item) != 0 ? "true" : "false", out);
        return;
    case RC_CONFIG_UINT:
        (void)fprintf(out, "%" PRIu64, number_load(key, item));
        return;
    case RC_CONFIG_WORKERS:
        if (number_load(key, item) == 0) {
            text_print(out, "auto");
        } else {
            (void)fprintf(out, "%" PRIu64, number_load(key, item));
        }
        return;
    case RC_CONFIG_SIZE:
    case RC_CONFIG_DURATION:
        number_format(text, sizeof(text), key, number_load(key, item));
        text_print(out, text);
        return;
    case RC_CONFIG_RATE:
        rate_print(out, member_of_const(key, item));
        return;
    case RC_CONFIG_WORD:
        text_print(out, rc_config_word_of(key->words, (uint32_t)number_load(key, item)));
        return;
    case RC_CONFIG_TEXT:
        if (key->form == RC_FORM_SECRET) {
            text_print(out, *(const char *)member_of_const(key, item) != '\0' ? "***" : "");
        } else {
            (key->form == RC_FORM_REDIS_URL ? url_print : text_print)(out, member_of_const(key, item));
        }
        return;
    case RC_CONFIG_LIST:
        (void)fputc('[', out);
        for (uint32_t i = 0; i < list_count(key, item); i++) {
            (void)fputs(i == 0 ? "" : ", ", out);
            text_print(out, key->form == RC_FORM_SECRET ? "***" : list_text(key, item, i));
        }
        (void)fputc(']', out);
        return;
    case RC_CONFIG_INCOMING:
        (void)snprintf(text, sizeof(text), "publish:%s", endpoint->incoming_channel);
        text_print(out, endpoint->incoming == RC_INCOMING_PUBLISH     ? text
                        : endpoint->incoming == RC_INCOMING_BROADCAST ? "broadcast"
                                                                      : "ignore");
        return;
    case RC_CONFIG_RULE:
        return; /* rc_event_rules_print */
    }
}
