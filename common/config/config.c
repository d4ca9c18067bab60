/* config: defaults, environment, reload and the checks that concern several keys. */
#include "common/config/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/config/backend.h"
#include "common/config/event_rules.h"
#include "common/config/schemas.h"
#include "common/config/identity.h"
#include "common/config/pusher.h"
#include "common/config/key.h"
#include "common/config/key_set.h"
#include "common/config/policies.h"
#include "common/config/socketio.h"
#include "common/config/text.h"
#include "common/text/template.h"

/* What a ring record needs beside its data: envelope, channel, request id, record header. Excludes are bounded by the
 * message that carries them. */
#define RECORD_OVERHEAD_BYTES 4096u

void rc_config_errors_add(struct rc_config_errors *errors, const char *format, ...)
{
    if (errors->count < RC_CONFIG_ERRORS_MAX) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(errors->lines[errors->count].text, sizeof(errors->lines[0].text), format, args);
        va_end(args);
    }
    errors->count++;
}

void rc_config_defaults(struct rc_config *config)
{
    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i < rc_config_section_count; i++) {
        const struct rc_config_section *const section = &rc_config_sections[i];
        if (!section->repeated) {
            rc_config_item_defaults(section, rc_config_item(config, section, 0));
        }
    }
    memset(&config->socketio.path, 0,
           sizeof(config->socketio.path)); /* the one section that is off unless it is there */
    const struct rc_config_section *const section = rc_config_section_find("namespace", 9);
    rc_config_item_defaults(section, &config->namespaces[0]);
    memcpy(config->namespaces[0].name, "default", sizeof("default"));
    config->namespaces[0].name_bytes = sizeof("default") - 1;
    config->namespace_count = 1;
}

/* --- environment ------------------------------------------------------------------------------------------------- */

/* NULL when the variable is not set or empty: `REDIS_URL=` is how compose files leave one out. */
static const char *apply_variable(const char *name)
{
    const char *const value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Sets one key from a variable's text. `name` NULL or unset: nothing. */
static int environment_set(struct rc_config *config, const char *name, const char *text, const char *section_name,
                           const char *key_name, struct rc_err *err)
{
    if (text == NULL) {
        return 0;
    }
    const struct rc_config_section *const section = rc_config_section_find(section_name, strlen(section_name));
    const struct rc_config_key *const key = rc_config_key_find(section, key_name, strlen(key_name));
    struct rc_err problem;
    if (rc_config_key_set_text(key, rc_config_item(config, section, 0), text, &problem) != 0) {
        return rc_err_set(err, -EINVAL, "environment variable %s: %s", name, problem.text);
    }
    return 0;
}

/* Milliseconds without a unit, as the sources have them. */
static int environment_ms(struct rc_config *config, const char *name, const char *key_name, struct rc_err *err)
{
    const char *const text = apply_variable(name);
    if (text == NULL) {
        return 0;
    }
    uint64_t number = 0;
    if (rc_config_uint_parse(text, strlen(text), &number, NULL) != 0) {
        return rc_err_set(err, -EINVAL, "environment variable %s: expected a number of milliseconds, found \"%.40s\"",
                          name, text);
    }
    char duration[32];
    (void)snprintf(duration, sizeof(duration), "%" PRIu64 "ms", number);
    return environment_set(config, name, duration, "cluster", key_name, err);
}

/* Adds each item of a comma-separated list to http.allowed_origins. A URL's path is no part of its origin and is left
 * away. */
static int environment_origins(struct rc_config *config, const char *name, struct rc_err *err)
{
    struct rc_config_list *const origins = &config->http.allowed_origins;
    const char *text = apply_variable(name);
    while (text != NULL && *text != '\0') {
        const size_t bytes = strcspn(text, ",");
        const char *item = text;
        size_t count = bytes;
        for (; count > 0 && *item == ' '; item++) {
            count--;
        }
        while (count > 0 && item[count - 1] == ' ') {
            count--;
        }
        text += bytes + (text[bytes] == ',' ? 1 : 0);
        if (count == 0) {
            continue;
        }
        const char *const mark = memmem(item, count, "://", 3);
        const char *const path = mark != NULL ? memchr(mark + 3, '/', count - (size_t)(mark + 3 - item)) : NULL;
        struct rc_config_text origin;
        struct rc_err problem;
        if (rc_origin_normalize(origin.text, sizeof(origin.text), item, path != NULL ? (size_t)(path - item) : count,
                                &problem) != 0) {
            return rc_err_set(err, -EINVAL, "environment variable %s: %s, found \"%.*s\"", name, problem.text,
                              (int)(count < 80 ? count : 80), item);
        }
        bool known = false;
        for (uint32_t i = 0; i < origins->count; i++) {
            known = known || strcmp(origins->items[i].text, origin.text) == 0;
        }
        if (!known && origins->count == RC_CONFIG_LIST_MAX) {
            return rc_err_set(err, -EINVAL, "environment variable %s: more than %d allowed origins together", name,
                              RC_CONFIG_LIST_MAX);
        }
        if (!known) {
            origins->items[origins->count++] = origin;
        }
    }
    return 0;
}

/* PORT replaces the port of the first TCP listener; where all are Unix sockets it adds one on loopback. */
static int environment_port(struct rc_config *config, struct rc_err *err)
{
    const char *const text = apply_variable("PORT");
    if (text == NULL) {
        return 0;
    }
    uint64_t port = 0;
    if (rc_config_uint_parse(text, strlen(text), &port, NULL) != 0 || port == 0 || port > UINT16_MAX) {
        return rc_err_set(err, -EINVAL, "environment variable PORT: expected a number from 1 to 65535, found \"%.40s\"",
                          text);
    }
    struct rc_config_list *const listen = &config->server.listen;
    for (uint32_t i = 0; i < listen->count; i++) {
        struct rc_listen_address address;
        char *const item = listen->items[i].text;
        if (rc_listen_address_parse(&address, item, strlen(item), NULL) == 0 && !address.unix_socket) {
            const char *const colon = strrchr(item, ':');
            const size_t host_bytes = colon != NULL ? (size_t)(colon + 1 - item) : 0;
            (void)snprintf(item + host_bytes, RC_CONFIG_TEXT_MAX - host_bytes, "%u", (unsigned)port);
            return 0;
        }
    }
    if (listen->count == RC_CONFIG_LIST_MAX) {
        return rc_err_set(err, -EINVAL,
                          "environment variable PORT: server.listen has no TCP address and no room for one");
    }
    (void)snprintf(listen->items[listen->count++].text, RC_CONFIG_TEXT_MAX, "127.0.0.1:%u", (unsigned)port);
    return 0;
}

/* ENABLE_WEBSOCKET_CLUSTERING: off removes the URL; on asks for one; unset means on exactly when there is a URL. */
static int environment_clustering(struct rc_config *config, struct rc_err *err)
{
    const char *const text = apply_variable("ENABLE_WEBSOCKET_CLUSTERING");
    if (text == NULL) {
        return 0;
    }
    static const struct rc_config_word words[] = {{"true", 1}, {"false", 0}, {"1", 1},   {"0", 0}, {"yes", 1},
                                                  {"no", 0},   {"on", 1},    {"off", 0}, {NULL, 0}};
    uint32_t on = 0;
    struct rc_err problem;
    if (rc_config_word_parse(words, text, strlen(text), &on, &problem) != 0) {
        return rc_err_set(err, -EINVAL, "environment variable ENABLE_WEBSOCKET_CLUSTERING: %s, found \"%.40s\"",
                          problem.text, text);
    }
    if (on == 0) {
        memset(&config->redis.url, 0, sizeof(config->redis.url));
    } else if (config->redis.url.text[0] == '\0') {
        return rc_err_set(
            err, -EINVAL,
            "environment variable ENABLE_WEBSOCKET_CLUSTERING is on, but there is no Redis: set REDIS_URL "
            "or redis.url, or set ENABLE_WEBSOCKET_CLUSTERING=false");
    }
    return 0;
}

static int environment_api_key(struct rc_config *config, struct rc_err *err)
{
    const char *const text = apply_variable("RINGCAST_API_KEY");
    struct rc_config_list *const keys = &config->http.api_keys;
    for (uint32_t i = 0; text != NULL && i < keys->count; i++) {
        if (strcmp(keys->items[i].text, text) == 0) {
            return 0;
        }
    }
    if (text == NULL) {
        return 0;
    }
    const struct rc_config_section *const section = rc_config_section_find("http", 4);
    const struct rc_config_value value = {.type = RC_VALUE_TEXT, .text = text, .bytes = strlen(text)};
    struct rc_err problem;
    if (rc_config_key_add(rc_config_key_find(section, "api_keys", 8), &config->http, &value, &problem) != 0) {
        return rc_err_set(err, -EINVAL, "environment variable RINGCAST_API_KEY: %s", problem.text);
    }
    return 0;
}

int rc_config_environment(struct rc_config *config, struct rc_err *err)
{
    const char *const instance = apply_variable("INSTANCE_ID") != NULL ? "INSTANCE_ID" : "SERVER_ID";
    int rc = environment_set(config, "REDIS_URL", apply_variable("REDIS_URL"), "redis", "url", err);
    if (rc == 0) {
        rc = environment_set(config, instance, apply_variable(instance), "server", "instance_id", err);
    }
    if (rc == 0) {
        rc = environment_ms(config, "WS_HEARTBEAT_INTERVAL", "heartbeat_interval", err);
    }
    if (rc == 0) {
        rc = environment_ms(config, "WS_DEAD_INSTANCE_THRESHOLD", "dead_instance_threshold", err);
    }
    if (rc == 0) {
        rc = environment_origins(config, "CORS_ORIGIN", err);
    }
    if (rc == 0) {
        rc = environment_origins(config, "CLIENT_URL", err);
    }
    if (rc == 0) {
        rc = environment_set(config, "LOG_LEVEL", apply_variable("LOG_LEVEL"), "log", "level", err);
    }
    if (rc == 0) {
        rc = environment_port(config, err);
    }
    if (rc == 0) {
        rc = environment_clustering(config, err);
    }
    return rc == 0 ? environment_api_key(config, err) : rc;
}

/* --- reload ------------------------------------------------------------------------------------------------------ */

static bool items_equal(uint32_t section, const void *a, const void *b)
{
    for (size_t i = 0; i < rc_config_key_count; i++) {
        if (rc_config_keys[i].section == section && !rc_config_key_equal(&rc_config_keys[i], a, b)) {
            return false;
        }
    }
    return true;
}

/* A repeated section changes at run time as a whole or not at all: where some keys do not, its rows are the same by them. */
static bool section_reloadable(uint32_t section)
{
    for (size_t i = 0; i < rc_config_key_count; i++) {
        if (rc_config_keys[i].section == section && !rc_config_keys[i].reloadable) {
            return false;
        }
    }
    return true;
}

static bool row_stays(uint32_t section, const void *a, const void *b)
{
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *const key = &rc_config_keys[i];
        if (key->section == section && !key->reloadable && !rc_config_key_equal(key, a, b)) {
            return false;
        }
    }
    return true;
}

static bool all_rows_stay(const struct rc_config *old, const struct rc_config *next, uint32_t index)
{
    const struct rc_config_section *const section = &rc_config_sections[index];
    const uint32_t count = rc_config_item_count(old, section);
    for (uint32_t i = 0; i < count; i++) {
        const size_t offset = section->offset + i * section->item_bytes;
        if (!row_stays(index, (const char *)old + offset, (const char *)next + offset)) {
            return false;
        }
    }
    return count == rc_config_item_count(next, section);
}

bool rc_config_section_equal(const struct rc_config *a, const struct rc_config *b, uint32_t index)
{
    const struct rc_config_section *const section = &rc_config_sections[index];
    const uint32_t count = rc_config_item_count(a, section);
    bool equal = count == rc_config_item_count(b, section);
    for (uint32_t i = 0; equal && i < count; i++) {
        const size_t offset = section->offset + i * section->item_bytes;
        equal = items_equal(index, (const char *)a + offset, (const char *)b + offset);
    }
    if (section->named) {
        return equal && rc_config_schemas_equal(a, b);
    }
    if (equal && strcmp(section->name, "identity") == 0) {
        return rc_config_identities_equal(a, b);
    }
    return equal && (strcmp(section->name, "event") != 0 || rc_event_rules_equal(a, b));
}

static uint32_t reload_repeated(uint32_t index, const struct rc_config *old, struct rc_config *next,
                                struct rc_config_errors *needs_restart)
{
    const struct rc_config_section *const section = &rc_config_sections[index];
    const uint32_t count = rc_config_item_count(old, section);
    if (rc_config_section_equal(old, next, index) || section_reloadable(index) || all_rows_stay(old, next, index)) {
        return 0;
    }
    rc_config_errors_add(needs_restart, "[[%s]] tables changed: restart to apply", section->name);
    memcpy((char *)next + section->offset, (const char *)old + section->offset,
           section->items_max * section->item_bytes);
    memcpy((char *)next + section->count_offset, &count, sizeof(count));
    return 1;
}

uint32_t rc_config_reload_diff(const struct rc_config *old, struct rc_config *next,
                               struct rc_config_errors *needs_restart)
{
    uint32_t changed = 0;
    for (uint32_t i = 0; i < rc_config_section_count; i++) {
        if (rc_config_sections[i].repeated) {
            changed += reload_repeated(i, old, next, needs_restart);
        }
    }
    /* An id that was made up stays. */
    if (next->server.instance_id.text[0] == '\0') {
        next->server.instance_id = old->server.instance_id;
    }
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *const key = &rc_config_keys[i];
        const struct rc_config_section *const section = &rc_config_sections[key->section];
        const void *const was = (const char *)old + section->offset;
        void *const is = (char *)next + section->offset;
        if (!section->repeated && !key->reloadable && !rc_config_key_equal(key, was, is)) {
            rc_config_errors_add(needs_restart, "%s.%s changed: restart to apply", section->name, key->name);
            rc_config_key_copy(key, is, was);
            changed++;
        }
    }
    return changed;
}

/* --- finish ------------------------------------------------------------------------------------------------------ */

/* Letters of the host's name that an id may have, then 8 random hexadecimal digits. */
static int instance_id_make(struct rc_config *config, struct rc_err *err)
{
    char host[128] = "";
    (void)gethostname(host, sizeof(host) - 1);
    char id[RC_INSTANCE_ID_MAX + 1];
    size_t bytes = 0;
    for (const char *from = host; *from != '\0' && *from != '.' && bytes < 40; from++) {
        const char c = *from;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
            id[bytes++] = c;
        }
    }
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return rc_err_set(err, -EINVAL, "no random bytes for an instance id: set server.instance_id");
    }
    (void)snprintf(id + bytes, sizeof(id) - bytes, "%s%08" PRIx32, bytes > 0 ? "-" : "", random);
    memcpy(config->server.instance_id.text, id, strlen(id) + 1);
    return 0;
}

static bool power_of_two(uint64_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

static int sizes_check(const struct rc_config *config, struct rc_err *err)
{
    const struct rc_config_server *const server = &config->server;
    const uint64_t need = 2 * (config->limits.max_message_size_bytes + RECORD_OVERHEAD_BYTES);
    uint64_t enough = 65536;
    while (enough < need) {
        enough *= 2;
    }
    char suggestion[64];
    rc_config_size_format(suggestion, sizeof(suggestion), enough);
    if (!power_of_two(server->ring_bytes) || server->ring_bytes < need) {
        return rc_err_set(err, -EINVAL,
                          "server.ring_size must be a power of two and at least twice limits.max_message_size and a "
                          "little more: set it to \"%s\" or above, or lower limits.max_message_size",
                          suggestion);
    }
    rc_config_size_format(suggestion, sizeof(suggestion), server->ring_bytes);
    if (!power_of_two(server->overflow_bytes) || server->overflow_bytes < server->ring_bytes) {
        return rc_err_set(err, -EINVAL,
                          "server.overflow_size must be a power of two and not below server.ring_size: set it to "
                          "\"%s\" or above",
                          suggestion);
    }
    if (config->limits.worker_log_bytes < config->limits.channel_log_bytes) {
        return rc_err_set(err, -EINVAL, "limits.worker_log is below limits.channel_log: raise it or lower the other");
    }
    return 0;
}

static int times_check(const struct rc_config *config, struct rc_err *err)
{
    if (config->cluster.dead_instance_threshold_ms <= config->cluster.heartbeat_interval_ms) {
        return rc_err_set(err, -EINVAL,
                          "cluster.dead_instance_threshold (or WS_DEAD_INSTANCE_THRESHOLD) must be longer than "
                          "cluster.heartbeat_interval (or WS_HEARTBEAT_INTERVAL), or live instances count as dead");
    }
    if (config->server.stuck_kill_timeout_ms != 0 &&
        config->server.stuck_kill_timeout_ms < config->server.stuck_timeout_ms) {
        return rc_err_set(
            err, -EINVAL,
            "server.stuck_kill_timeout is shorter than server.stuck_timeout: raise it, or \"0s\" for never");
    }
    return 0;
}

/* Fields in braces that nothing would ever fill. */
static int templates_check(const struct rc_config *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        struct rc_template template;
        struct rc_err why;
        const int rc = rc_template_compile(&template, config->namespaces[i].subscription_set.text,
                                           rc_template_known_channel, &why);
        if (rc < 0) {
            return rc_err_set(err, rc, "namespace \"%s\": subscription_set: %s; write {channel} or {name}",
                              config->namespaces[i].name, why.text);
        }
    }
    const char *events = config->presence.events_channel.text;
    if (events[0] != '\0' && rc_channel_name_check(events, strlen(events), config->limits.max_channel_name) < 0) {
        return rc_err_set(err, -EINVAL, "presence.events_channel is no channel name");
    }
    return 0;
}

/* What asks for something to be kept where nothing is. */
static int kept_check(const struct rc_config *config, struct rc_err *err)
{
    if (config->limits.history_memory_bytes > 0) {
        return 0;
    }
    if (config->limits.history_file.text[0] != '\0') {
        return rc_err_set(err, -EINVAL, "limits.history_file: nothing is kept with limits.history_memory = \"0\"");
    }
    for (uint32_t i = 0; i < config->bridge_count; i++) {
        if (config->bridges[i].retain) {
            return rc_err_set(err, -EINVAL, "bridge \"%s\": retain: nothing is kept with limits.history_memory = \"0\"",
                              config->bridges[i].redis.text);
        }
    }
    for (uint32_t i = 0; i < config->consumer_count; i++) {
        if (config->consumers[i].retain) {
            return rc_err_set(err, -EINVAL,
                              "consumer \"%s\": retain: nothing is kept with limits.history_memory = \"0\"",
                              config->consumers[i].stream.text);
        }
    }
    for (uint32_t i = 0; i < config->event_count; i++) {
        if (config->events[i].retain_count > 0) {
            return rc_err_set(err, -EINVAL,
                              "[[event]] on = \"%s\": retain: nothing is kept with limits.history_memory = \"0\"",
                              config->events[i].on.text);
        }
    }
    return 0;
}

/* Two listeners for one address would share its connections at random. */
static int listeners_check(const struct rc_config *config, struct rc_err *err)
{
    const struct rc_config_list *const lists[] = {&config->server.listen, &config->tls.listen, &config->link.listen,
                                                  &config->link.tls_listen};
    const char *texts[RC_ARRAY_COUNT(lists) * RC_CONFIG_LIST_MAX + 1];
    size_t count = 0;
    if (config->server.listen.count + config->tls.listen.count == 0) {
        return rc_err_set(err, -EINVAL, "nothing to listen on: server.listen and tls.listen are both empty");
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(lists); i++) {
        for (uint32_t j = 0; j < lists[i]->count; j++) {
            texts[count++] = lists[i]->items[j].text;
        }
    }
    if (config->http.admin_listen.text[0] != '\0') {
        texts[count++] = config->http.admin_listen.text;
    }
    char shown[RC_ARRAY_COUNT(texts)][128];
    for (size_t i = 0; i < count; i++) {
        struct rc_listen_address address;
        const int rc = rc_listen_address_parse(&address, texts[i], strlen(texts[i]), err);
        if (rc != 0) {
            return rc;
        }
        rc_listen_address_format(shown[i], sizeof(shown[i]), &address);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(shown[i], shown[j]) == 0) {
                return rc_err_set(err, -EINVAL,
                                  "%s is to be listened on twice (server.listen, tls.listen, http.admin_listen, "
                                  "link.listen, link.tls_listen)",
                                  shown[i]);
            }
        }
    }
    if (rc_config_serves_tls(config) && config->tls.certificates.count == 0) {
        return rc_err_set(err, -EINVAL, "%s needs tls.certificates",
                          config->tls.listen.count > 0 ? "tls.listen" : "link.tls_listen");
    }
    if (config->tls.client_required && config->tls.client_ca.text[0] == '\0') {
        return rc_err_set(err, -EINVAL,
                          "tls.client_required needs tls.client_ca: nobody could have a valid certificate");
    }
    if (config->debug.user_query.text[0] != '\0' && !rc_config_listeners_private(config)) {
        return rc_err_set(
            err, -EINVAL,
            "debug.user_query lets everybody be any user and works only while every listener is loopback or "
            "a Unix socket: remove it, or listen on 127.0.0.1 only");
    }
    return 0;
}

static bool path_reserved(const struct rc_config *config, const char *path)
{
    static const char *const reserved[] = {"/health", "/metrics", "/api", "/ringcast.js", "/apps"};
    const size_t count = RC_ARRAY_COUNT(reserved) - (config->pusher_app_count > 0 ? 0 : 1);
    for (size_t i = 0; i < count; i++) {
        const size_t bytes = strlen(reserved[i]);
        if (strncmp(path, reserved[i], bytes) == 0 && (path[bytes] == '\0' || path[bytes] == '/')) {
            return true;
        }
    }
    return false;
}

static int paths_check(const struct rc_config *config, struct rc_err *err)
{
    const char *paths[RC_CONFIG_ENDPOINTS_MAX + 6];
    size_t count = 0;
    paths[count++] = config->server.path.text;
    if (config->debug.echo.text[0] != '\0') {
        paths[count++] = config->debug.echo.text;
    }
    if (config->debug.handover.text[0] != '\0') {
        paths[count++] = config->debug.handover.text;
    }
    if (config->debug.engineio_echo.text[0] != '\0') {
        paths[count++] = config->debug.engineio_echo.text;
    }
    if (config->socketio.path.text[0] != '\0') {
        paths[count++] = config->socketio.path.text;
    }
    if (config->sse.path.text[0] != '\0') {
        paths[count++] = config->sse.path.text;
    }
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        const struct rc_config_endpoint *const endpoint = &config->endpoints[i];
        if (endpoint->protocol == RC_ENDPOINT_SSE && endpoint->incoming != RC_INCOMING_IGNORE) {
            return rc_err_set(err, -EINVAL,
                              "[[endpoint]] %s: incoming is for protocol = \"raw\"; clients of \"sse\" only listen",
                              endpoint->path.text);
        }
        if (endpoint->protocol == RC_ENDPOINT_NATIVE && endpoint->incoming != RC_INCOMING_IGNORE) {
            return rc_err_set(
                err, -EINVAL,
                "[[endpoint]] %s: incoming is for protocol = \"raw\"; native clients publish by themselves",
                endpoint->path.text);
        }
        if (endpoint->protocol == RC_ENDPOINT_PUSHER &&
            (endpoint->incoming != RC_INCOMING_IGNORE ||
             !(endpoint->join_count == 1 && strcmp(endpoint->join[0], "*") == 0))) {
            return rc_err_set(err, -EINVAL, "[[endpoint]] %s: incoming and join are not for protocol = \"pusher\"",
                              endpoint->path.text);
        }
        paths[count++] = endpoint->path.text;
    }
    for (size_t i = 0; i < count; i++) {
        if (paths[i][0] != '/') {
            return rc_err_set(err, -EINVAL, "the path \"%s\" does not begin with /", paths[i]);
        }
        if (path_reserved(config, paths[i])) {
            return rc_err_set(
                err, -EINVAL,
                "the path %s is the broker's own (/health, /metrics, /api, /ringcast.js, with a [[pusher_app]] /apps): choose another",
                paths[i]);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(paths[i], paths[j]) == 0) {
                return rc_err_set(
                    err, -EINVAL,
                    "the path %s is used twice (server.path, sse.path, socketio.path, [debug], [[endpoint]])",
                    paths[i]);
            }
        }
    }
    return 0;
}

static int namespaces_check(struct rc_config *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        struct rc_config_namespace *const space = &config->namespaces[i];
        space->name_bytes = (uint32_t)strlen(space->name);
        if (strchr(space->name, ':') != NULL ||
            rc_channel_name_check(space->name, space->name_bytes, RC_CHANNEL_NAME_MAX) != 0) {
            return rc_err_set(err, -EINVAL,
                              "[[namespace]] \"%.80s\": a name has 1 to %d bytes, no control characters and no \":\"",
                              space->name, RC_CHANNEL_NAME_MAX);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(space->name, config->namespaces[j].name) == 0) {
                return rc_err_set(err, -EINVAL, "there are two [[namespace]] tables named \"%s\"", space->name);
            }
        }
    }
    return 0;
}

static int forwarded_check(const struct rc_config_list *headers, struct rc_err *err)
{
    static const char *const known[] = {RC_CONFIG_X_FORWARDED_FOR, RC_CONFIG_FORWARDED, RC_CONFIG_X_REAL_IP};
    for (uint32_t i = 0; i < headers->count; i++) {
        bool is_known = false;
        for (size_t n = 0; n < RC_ARRAY_COUNT(known); n++) {
            is_known |= strcasecmp(headers->items[i].text, known[n]) == 0;
        }
        if (!is_known) {
            return rc_err_set(
                err, -EINVAL,
                "http.forwarded_headers: \"%.80s\" is none of \"x-forwarded-for\", \"forwarded\" and \"x-real-ip\"",
                headers->items[i].text);
        }
    }
    return 0;
}

static int cors_check(const struct rc_config_http *http, struct rc_err *err)
{
    for (uint32_t i = 0; http->cors_credentials && i < http->allowed_origins.count; i++) {
        if (strcmp(http->allowed_origins.items[i].text, "*") == 0) {
            return rc_err_set(err, -EINVAL,
                              "\"*\" in http.allowed_origins together with http.cors_credentials would let every page "
                              "act as its user: list the origins, or turn credentials off");
        }
    }
    size_t bytes = 1;
    for (uint32_t i = 0; i < http->cors_headers.count; i++) {
        bytes += strlen(http->cors_headers.items[i].text) + 2;
    }
    if (bytes > RC_CONFIG_CORS_HEADERS_MAX) {
        return rc_err_set(err, -EINVAL, "http.cors_headers has more than 500 bytes: name fewer headers");
    }
    return 0;
}

int rc_config_finish(struct rc_config *config, struct rc_err *err)
{
    int rc = sizes_check(config, err);
    if (rc == 0) {
        rc = times_check(config, err);
    }
    if (rc == 0) {
        rc = listeners_check(config, err);
    }
    if (rc == 0) {
        rc = paths_check(config, err);
    }
    if (rc == 0) {
        rc = rc_config_socketio_check(config, err);
    }
    if (rc == 0) {
        rc = rc_config_backends_check(config, err);
    }
    if (rc == 0) {
        rc = rc_config_pusher_check(config, err);
    }
    if (rc == 0) {
        rc = namespaces_check(config, err);
    }
    if (rc == 0) {
        rc = templates_check(config, err);
    }
    if (rc == 0) {
        rc = kept_check(config, err);
    }
    if (rc == 0) {
        rc = rc_config_identity_finish(config, err);
    }
    if (rc == 0) {
        rc = cors_check(&config->http, err);
    }
    if (rc == 0) {
        rc = forwarded_check(&config->http.forwarded_headers, err);
    }
    if (rc == 0 && config->server.instance_id.text[0] == '\0') {
        rc = instance_id_make(config, err);
    }
    return rc == 0 ? rc_config_policies_resolve(config, err) : rc;
}

/* At most RC_CONFIG_NAMESPACES_MAX short comparisons, most of them of one number. */
