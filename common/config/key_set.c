/* key_set: see key_set.h. */
#include "common/config/key_set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/key_member.h"
#include "common/records/channel_name.h"
#include "common/text/utf8_char.h"

#define FOUND_MAX 80 /* characters of a wrong value that a message shows */

/* --- wrong values ------------------------------------------------------------------------------------------------ */

/* The value as a message shows it: short, without control characters, secrets not at all. */
static void value_describe(char *out, size_t capacity, const struct rc_config_key *key,
                           const struct rc_config_value *value)
{
    const bool text_like = key->kind == RC_CONFIG_TEXT || key->kind == RC_CONFIG_LIST;
    const bool hidden = text_like && (rc_config_form_is_secret(key->form) || key->form == RC_FORM_REDIS_URL);
    switch (value->type) {
    case RC_VALUE_BOOL:
        (void)snprintf(out, capacity, "%s", value->boolean ? "true" : "false");
        return;
    case RC_VALUE_INTEGER:
        if (hidden) { /* one that is all digits, without its quotes */
            (void)snprintf(out, capacity, "a number");
            return;
        }
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
    if (hidden) {
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

static int out_of_range(struct rc_err *err, const struct rc_config_key *key, const struct rc_config_value *value)
{
    char min[64];
    char max[64];
    rc_config_member_format(min, sizeof(min), key, key->min);
    rc_config_member_format(max, sizeof(max), key, key->max);
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
    rc_config_member_number_set(key, item, number);
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
        memset(rc_config_member(key, item), 0, key->bytes);
        memcpy(rc_config_member(key, item), text, strlen(text));
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
    const uint32_t count = rc_config_member_count(key, item);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(rc_config_member_text(key, item, i), text) == 0) {
            return rc_config_form_is_secret(key->form) ? rc_err_set(err, -EINVAL, "an item stands there twice")
                                                       : rc_err_set(err, -EINVAL, "\"%s\" stands there twice", text);
        }
    }
    if (count >= key->max) {
        return rc_err_set(err, -EINVAL, "expected at most %" PRIu64 " items", key->max);
    }
    char *const member = rc_config_member(key, item);
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
    rc_config_member_number_set(key, item, number);
    return 0;
}

static int rate_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                    struct rc_err *err)
{
    struct rc_config_rate rate = {0};
    struct rc_err scratch;
    const char *const text = value->type == RC_VALUE_TEXT ? value->text : "no rate";
    const size_t bytes = value->type == RC_VALUE_TEXT ? value->bytes : strlen(text);
    if (bytes > 0 && (key->kind == RC_CONFIG_RATE ? rc_config_rate_parse(text, bytes, &rate, &scratch)
                                                  : rc_config_rate_bytes_parse(text, bytes, &rate, &scratch)) != 0) {
        return wrong_value(err, key, value, "%s", scratch.text);
    }
    memcpy(rc_config_member(key, item), &rate, sizeof(rate));
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
        rc_config_member_number_set(key, item, value->boolean);
        return 0;
    case RC_CONFIG_UINT:
        return value->type == RC_VALUE_INTEGER ? integer_set(key, item, value, err) : out_of_range(err, key, value);
    case RC_CONFIG_WORKERS:
        if (value->type == RC_VALUE_TEXT && value->bytes == 4 && memcmp(value->text, "auto", 4) == 0) {
            rc_config_member_number_set(key, item, 0);
            return 0;
        }
        return value->type == RC_VALUE_INTEGER ? integer_set(key, item, value, err) : out_of_range(err, key, value);
    case RC_CONFIG_SIZE:
    case RC_CONFIG_DURATION:
        return quantity_set(key, item, value, err);
    case RC_CONFIG_RATE:
    case RC_CONFIG_RATE_BYTES:
        return rate_set(key, item, value, err);
    case RC_CONFIG_WORD:
        return word_set(key, item, value, err);
    case RC_CONFIG_TEXT:
        return text_set(key, item, value, err);
    case RC_CONFIG_LIST:
        if (value->type != RC_VALUE_LIST) {
            return wrong_value(err, key, value, "expected a list of texts, as in [\"…\", \"…\"]");
        }
        memset(rc_config_member(key, item), 0, sizeof(uint32_t) + key->max * RC_CONFIG_TEXT_MAX);
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
