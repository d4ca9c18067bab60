/*
 * options: what an application has set for its engine, and this broker has otherwise: [socketio] decides, and nobody is to wonder why. See links.h.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/socketio.h"
#include "common/text/json_scan.h"
#include "worker/link/links.h"

#define OPTIONS_TEXT_MAX 512u

struct differing {
    char text[OPTIONS_TEXT_MAX];
    size_t at;
};

static void differing_add(struct differing *found, const char *name, const char *theirs, const char *ours)
{
    const int bytes = snprintf(found->text + found->at, sizeof(found->text) - found->at, "%s%s=%s (here %s)",
                               found->at == 0 ? "" : ", ", name, theirs, ours);
    const size_t left = sizeof(found->text) - found->at - 1;
    found->at += bytes < 0 ? 0 : (size_t)bytes < left ? (size_t)bytes : left;
}

/* Numbers of engine.io's, and keys of [socketio] in the same unit. */
static void look_number(struct differing *found, const struct rc_config_socketio *settings,
                        const struct rc_json_value *name, const struct rc_json_value *value)
{
    const struct {
        const char *name;
        uint64_t ours;
    } numbers[] = {{"pingInterval", settings->ping_interval_ms},
                   {"pingTimeout", settings->ping_timeout_ms},
                   {"upgradeTimeout", settings->upgrade_timeout_ms},
                   {"maxHttpBufferSize", settings->max_payload_bytes}};
    uint64_t theirs;
    for (size_t i = 0; i < RC_ARRAY_COUNT(numbers); i++) {
        if (rc_json_string_is(name, rc_span_text(numbers[i].name)) && rc_json_uint64(value, &theirs) == 0 &&
            theirs != numbers[i].ours) {
            char texts[2][24];
            (void)snprintf(texts[0], sizeof(texts[0]), "%llu", (unsigned long long)theirs);
            (void)snprintf(texts[1], sizeof(texts[1]), "%llu", (unsigned long long)numbers[i].ours);
            differing_add(found, numbers[i].name, texts[0], texts[1]);
        }
    }
}

/* Which of the two transports the list has; in any order, which means nothing to clients. */
static void look_transports(struct differing *found, const struct rc_config_socketio *settings,
                            const struct rc_json_value *list)
{
    static const char *const names[] = {RC_CONFIG_POLLING, RC_CONFIG_WEBSOCKET};
    struct rc_json_cursor cursor;
    struct rc_json_value one;
    for (size_t i = 0; i < RC_ARRAY_COUNT(names); i++) {
        bool theirs = false;
        if (rc_json_array_begin(&cursor, list->raw, 0) < 0) {
            return;
        }
        while (rc_json_array_next(&cursor, &one) == 1) {
            theirs |= one.type == RC_JSON_STRING && rc_json_string_is(&one, rc_span_text(names[i]));
        }
        const bool ours = rc_config_transport_allowed(settings, names[i]);
        if (theirs != ours) {
            differing_add(found, names[i], theirs ? "on" : "off", ours ? "on" : "off");
        }
    }
}

void rc_link_options_look(const struct rc_links *links, const struct rc_link *link)
{
    const struct rc_config_socketio *settings = &links->config->socketio;
    struct differing found = {.at = 0};
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    if (link->ready.options.count == 0 || rc_json_object_begin(&cursor, link->ready.options, 0) < 0) {
        return;
    }
    while (rc_json_object_next(&cursor, &name, &value) == 1) {
        if (value.type == RC_JSON_NUMBER) {
            look_number(&found, settings, &name, &value);
        } else if (value.type == RC_JSON_ARRAY && rc_json_string_is(&name, RC_SPAN("transports"))) {
            look_transports(&found, settings, &value);
        } else if ((value.type == RC_JSON_TRUE || value.type == RC_JSON_FALSE) &&
                   rc_json_string_is(&name, RC_SPAN("allowEIO3")) &&
                   (value.type == RC_JSON_TRUE) != settings->allow_eio3) {
            differing_add(&found, "allowEIO3", settings->allow_eio3 ? "false" : "true",
                          settings->allow_eio3 ? "true" : "false");
        }
    }
    if (found.at > 0) {
        rc_log_warn("link_options",
                    "backend=\"%s\" url=\"%s\" process=\"%s\" differ=\"%s\" effect=\"[socketio] counts\"",
                    link->table->config.name.text, rc_link_url(link), link->ready.process, found.text);
    }
}
