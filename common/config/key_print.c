/* key_print: see key_print.h. */
#include "common/config/key_print.h"

#include <inttypes.h>
#include <string.h>

#include "common/config/key_member.h"

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
