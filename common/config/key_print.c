/* key_print: see key_print.h. */
#include "common/config/key_print.h"

#include <inttypes.h>
#include <string.h>

#include "common/config/key_member.h"
#include "common/config/text.h"

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

/* A text; of one that is a URL the password replaced, whichever key it is of. */
static void shown_print(FILE *out, const char *url)
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

static void rate_print(FILE *out, const struct rc_config_rate *rate, bool of_bytes)
{
    char text[2 * RC_CONFIG_VALUE_MAX] = "";
    if (rate->count > 0 && of_bytes) {
        rc_config_rate_bytes_format(text, sizeof(text), rate);
    } else if (rate->count > 0) {
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
        (void)fputs(rc_config_member_number(key, item) != 0 ? "true" : "false", out);
        return;
    case RC_CONFIG_UINT:
        (void)fprintf(out, "%" PRIu64, rc_config_member_number(key, item));
        return;
    case RC_CONFIG_WORKERS:
        if (rc_config_member_number(key, item) == 0) {
            text_print(out, "auto");
        } else {
            (void)fprintf(out, "%" PRIu64, rc_config_member_number(key, item));
        }
        return;
    case RC_CONFIG_SIZE:
    case RC_CONFIG_DURATION:
        rc_config_member_format(text, sizeof(text), key, rc_config_member_number(key, item));
        text_print(out, text);
        return;
    case RC_CONFIG_RATE:
    case RC_CONFIG_RATE_BYTES:
        rate_print(out, rc_config_member_const(key, item), key->kind == RC_CONFIG_RATE_BYTES);
        return;
    case RC_CONFIG_WORD:
        text_print(out, rc_config_word_of(key->words, (uint32_t)rc_config_member_number(key, item)));
        return;
    case RC_CONFIG_TEXT:
        if (rc_config_form_is_secret(key->form)) {
            text_print(out, *(const char *)rc_config_member_const(key, item) != '\0' ? "***" : "");
        } else {
            shown_print(out, rc_config_member_const(key, item));
        }
        return;
    case RC_CONFIG_LIST:
        (void)fputc('[', out);
        for (uint32_t i = 0; i < rc_config_member_count(key, item); i++) {
            (void)fputs(i == 0 ? "" : ", ", out);
            shown_print(out, rc_config_form_is_secret(key->form) ? "***" : rc_config_member_text(key, item, i));
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

/* What a key of an [[event]] takes. */
static const char *rule_type(enum rc_config_form form)
{
    switch (form) {
    case RC_FORM_ROOMS:
        return "list of rooms";
    case RC_FORM_TO:
        return "room, or list of at most 16";
    case RC_FORM_EVENT_NAME:
    case RC_FORM_VALUE:
        return "text";
    case RC_FORM_RATE:
        return "number and duration, as \"100/1m\"";
    case RC_FORM_RATE_BYTES:
        return "size and duration, as \"1MiB/1m\"";
    case RC_FORM_WHO:
        return "\"anyone\", \"user\", or table of attributes";
    case RC_FORM_MATCH:
    case RC_FORM_REFUSE:
    case RC_FORM_SET:
        return "table";
    case RC_FORM_MEMBERS:
        return "table of values";
    case RC_FORM_CLOSE:
        return "true, false or text of at most 123 bytes";
    default:
        return "list of values";
    }
}

void rc_config_key_type_format(char *out, size_t capacity, const struct rc_config_key *key)
{
    char min[64];
    char max[64];
    char words[256];
    switch (key->kind) {
    case RC_CONFIG_BOOL:
        (void)snprintf(out, capacity, "true or false");
        return;
    case RC_CONFIG_UINT:
    case RC_CONFIG_WORKERS:
        (void)snprintf(out, capacity, "number from %" PRIu64 " to %" PRIu64 "%s", key->min, key->max,
                       key->kind == RC_CONFIG_WORKERS ? ", or \"auto\"" : "");
        return;
    case RC_CONFIG_SIZE:
        rc_config_size_format(min, sizeof(min), key->min);
        rc_config_size_format(max, sizeof(max), key->max);
        (void)snprintf(out, capacity, "size from %s to %s", min, max);
        return;
    case RC_CONFIG_DURATION:
        rc_config_duration_format(min, sizeof(min), key->min);
        rc_config_duration_format(max, sizeof(max), key->max);
        (void)snprintf(out, capacity, "duration from %s to %s", min, max);
        return;
    case RC_CONFIG_RATE:
        (void)snprintf(out, capacity, "rate such as \"100/1m\"");
        return;
    case RC_CONFIG_RATE_BYTES:
        (void)snprintf(out, capacity, "rate such as \"1MiB/1m\"");
        return;
    case RC_CONFIG_WORD:
        rc_config_words_format(words, sizeof(words), key->words);
        (void)snprintf(out, capacity, "one of %s", words);
        return;
    case RC_CONFIG_TEXT:
        (void)snprintf(out, capacity, "text of at most %" PRIu64 " bytes", key->max);
        return;
    case RC_CONFIG_LIST:
        (void)snprintf(out, capacity, "list of at most %" PRIu64 " texts", key->max);
        return;
    case RC_CONFIG_INCOMING:
        (void)snprintf(out, capacity, "\"ignore\", \"broadcast\" or \"publish:<channel>\"");
        return;
    case RC_CONFIG_RULE:
        (void)snprintf(out, capacity, "%s", rule_type(key->form));
        return;
    }
}

bool rc_config_key_must_be_given(const struct rc_config_key *key)
{
    return (key->kind == RC_CONFIG_TEXT || key->kind == RC_CONFIG_LIST) && key->min > 0 && key->initial[0] == '\0';
}

void rc_config_section_heading(char *out, size_t capacity, const struct rc_config_section *section)
{
    (void)snprintf(out, capacity, section->repeated && !section->named ? "[[%s%s%s]]" : "[%s%s%s]",
                   section->within != NULL ? section->within : "", section->within != NULL ? "." : "", section->name);
}
