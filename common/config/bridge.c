/* bridge: see bridge.h. */
#include "common/config/bridge.h"

#include <errno.h>

#include "common/base/check.h"
#include "common/base/span.h"
#include "common/text/glob.h"
#include "common/text/template.h"

uint32_t rc_config_bridge_star(struct rc_span field)
{
    const struct rc_span head = RC_SPAN("match.");
    uint32_t number = 0;
    if (!rc_span_starts_with(field, head) || field.count > head.count + 2) {
        return 0;
    }
    for (size_t i = head.count; i < field.count; i++) {
        if (field.bytes[i] < '0' || field.bytes[i] > '9') {
            return 0;
        }
        number = number * 10 + (uint32_t)(field.bytes[i] - '0');
    }
    return number <= RC_GLOB_STARS_MAX ? number : 0;
}

bool rc_config_bridge_field(struct rc_span field)
{
    return rc_template_known_json(field) || rc_span_equal(field, RC_SPAN("json")) || rc_config_bridge_star(field) > 0;
}

/* The highest star that a text names. */
static uint32_t stars_named(const char *text)
{
    struct rc_template template;
    struct rc_err err;
    uint32_t most = 0;
    if (rc_template_compile(&template, text, rc_config_bridge_field, &err) < 0) {
        return 0; /* its form told */
    }
    for (uint32_t i = 0; i < template.part_count; i++) {
        const uint32_t star = template.parts[i].field ? rc_config_bridge_star(template.parts[i].text) : 0;
        most = star > most ? star : most;
    }
    return most;
}

int rc_config_bridge_check(const struct rc_config_bridge *bridge, struct rc_err *err)
{
    const char *const texts[] = {bridge->room.text, bridge->event.text, bridge->nsp.text, bridge->except.text};
    const uint32_t stars = rc_glob_stars(rc_span_text(bridge->pattern.text));
    uint32_t most = 0;
    if ((bridge->redis.text[0] == '\0') == (bridge->pattern.text[0] == '\0')) {
        return rc_err_set(err, -EINVAL,
                          bridge->redis.text[0] == '\0' ? "this [[bridge]] needs a redis or a pattern"
                                                        : "this [[bridge]] has redis and pattern: "
                                                          "make two of it");
    }
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(texts) + bridge->args_count; i++) {
        const char *const text = i < RC_ARRAY_COUNT(texts) ? texts[i] : bridge->args[i - RC_ARRAY_COUNT(texts)].text;
        const uint32_t named = stars_named(text);
        most = named > most ? named : most;
    }
    return most <= stars ? 0
                         : rc_err_set(err, -EINVAL, "{match.%u} of this [[bridge]]: its pattern has %u star%s", most,
                                      stars, stars == 1 ? "" : "s");
}

int rc_config_consumer_check(const struct rc_config_consumer *consumer, struct rc_err *err)
{
    const char *const texts[] = {consumer->room.text, consumer->event.text, consumer->nsp.text, consumer->key.text,
                                 consumer->data.text};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(texts); i++) {
        if (stars_named(texts[i]) > 0) {
            return rc_err_set(err, -EINVAL, "{match.%u} of this [[consumer]]: a stream has no pattern",
                              stars_named(texts[i]));
        }
    }
    return 0;
}
