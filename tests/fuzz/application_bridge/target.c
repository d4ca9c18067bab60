/* A template (up to the first line feed) filled from a message (the rest), which a channel "a.b" brought: never beyond its room, the same
 * every time; as an argument it is JSON. */
#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/bridge.h"
#include "common/text/json_scan.h"
#include "relay/bridge/application.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char text[RC_CONFIG_TEXT_MAX];
    const uint8_t *line = memchr(bytes, '\n', count);
    if (line == NULL || (size_t)(line - bytes) >= sizeof(text)) {
        return 0;
    }
    const size_t text_bytes = (size_t)(line - bytes);
    memcpy(text, bytes, text_bytes);
    text[text_bytes] = '\0';
    struct rc_template template;
    struct rc_err err;
    struct rc_json_value value;
    const struct rc_span json = rc_span_of(line + 1, count - text_bytes - 1);
    if (rc_template_compile(&template, text, rc_config_bridge_field, &err) < 0 ||
        rc_json_scan(json, RC_JSON_CHECK_UTF8, &value, NULL) < 0) {
        return 0;
    }
    char out[RC_CHANNEL_NAME_MAX];
    char smaller[RC_CHANNEL_NAME_MAX];
    struct rc_application_message message = {.json = value.raw};
    (void)rc_glob_match(RC_SPAN("*.*"), RC_SPAN("a.b"), &message.match);
    const int filled = rc_application_fill(&template, &message, out, sizeof(out));
    RC_ASSERT(filled <= (int)sizeof(out) && (filled >= 0 || filled == -ENOENT || filled == -EMSGSIZE));
    if (filled > 0) {
        RC_ASSERT(rc_application_fill(&template, &message, smaller, (size_t)filled) == filled);
        RC_ASSERT(memcmp(out, smaller, (size_t)filled) == 0);
        RC_ASSERT(rc_application_fill(&template, &message, smaller, (size_t)filled - 1) == -EMSGSIZE);
    }
    uint8_t argument[RC_CHANNEL_NAME_MAX];
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    const int written = rc_application_argument(&template, &message, argument, scratch, sizeof(argument));
    RC_ASSERT(written <= (int)sizeof(argument) && (written > 0 || written == -ENOENT || written == -EMSGSIZE));
    if (written > 0) {
        RC_ASSERT(rc_json_scan(rc_span_of(argument, (size_t)written), RC_JSON_CHECK_UTF8, &value, NULL) == 0);
    }
    return 0;
}
