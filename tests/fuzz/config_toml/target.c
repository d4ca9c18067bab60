/*
 * The configuration file's reader over any bytes: no crash, no exception out of the C++ file, no recursion without
 * bound. What is accepted must be within the bounds of config.def, survive printing and reading back, and be
 * reloadable onto itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/config/toml.h"
#include "common/base/check.h"
#include "common/config/key.h"
#include "common/config/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rc_config config;
static struct rc_config again;
static struct rc_config_errors errors;

/* Every text ends within its member; every number lies within its bounds. */
static void check_members(void)
{
    RC_ASSERT(config.namespace_count >= 1 && config.namespace_count <= RC_CONFIG_NAMESPACES_MAX);
    RC_ASSERT(config.endpoint_count <= RC_CONFIG_ENDPOINTS_MAX && config.bridge_count <= RC_CONFIG_BRIDGES_MAX);
    for (uint32_t i = 0; i < config.namespace_count; i++) {
        RC_ASSERT(strnlen(config.namespaces[i].name, sizeof(config.namespaces[i].name)) ==
                  config.namespaces[i].name_bytes);
    }
    for (uint32_t i = 0; i < config.endpoint_count; i++) {
        RC_ASSERT(config.endpoints[i].join_count <= RC_CONFIG_JOIN_MAX);
        RC_ASSERT(config.endpoints[i].path.text[0] == '/');
    }
    RC_ASSERT(config.event_count <= RC_CONFIG_EVENTS_MAX);
    RC_ASSERT(config.event_rules.arena_bytes <= RC_EVENT_ARENA_BYTES);
    for (uint32_t i = 0; i < config.event_count; i++) {
        RC_ASSERT(config.events[i].operation_count <= RC_EVENT_OPERATIONS_MAX);
        RC_ASSERT(config.events[i].next == 0 || config.events[i].next > i + 1);
    }
    RC_ASSERT(config.server.listen.count <= RC_CONFIG_LIST_MAX);
    RC_ASSERT(config.server.workers <= RC_WORKERS_MAX);
    RC_ASSERT(config.limits.max_channel_name >= 1 && config.limits.max_channel_name <= RC_CHANNEL_NAME_MAX);
}

static bool secrets(void)
{
    return config.http.api_keys.count > 0 || strchr(config.redis.url.text, '@') != NULL;
}

static void check_printed(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const out = open_memstream(&text, &bytes);
    RC_ASSERT(out != NULL);
    rc_config_print_toml(out, &config);
    RC_ASSERT(fclose(out) == 0);
    rc_config_defaults(&again);
    const int rc = rc_config_load_text(&again, text, bytes, "printed", &errors);
    if (!secrets()) {
        RC_ASSERT(rc == 0);
        memcpy(again.event_lines, config.event_lines, sizeof(again.event_lines)); /* of the other text */
        RC_ASSERT(memcmp(&again, &config, sizeof(config)) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_config_defaults(&config);
    errors.count = 0;
    const int rc = rc_config_load_text(&config, (const char *)data, size, "fuzz", &errors);
    RC_ASSERT((rc == 0) == (errors.count == 0));
    for (uint32_t i = 0; i < errors.count && i < RC_CONFIG_ERRORS_MAX; i++) {
        RC_ASSERT(strnlen(errors.lines[i].text, sizeof(errors.lines[i].text)) < sizeof(errors.lines[i].text));
    }
    if (rc == 0) {
        check_members();
        check_printed();
        struct rc_err err;
        if (rc_config_finish(&config, &err) == 0) {
            RC_ASSERT(rc_config_reload_diff(&config, &config, &errors) == 0);
        }
    }
    return 0;
}
