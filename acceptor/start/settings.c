/*
 * settings: see settings.h.
 */
#include "acceptor/start/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "acceptor/config/toml.h"
#include "common/identity/jwt.h"
#include "common/identity/sources.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/client_files.h"
#include "common/config/key.h"
#include "common/config/socketio.h"
#include "common/config/policies.h"
#include "common/config/redis_url.h"
#include "common/config/variable.h"
#include "common/tls/context.h"

#define HOUR_SECONDS 3600
#define DAY_SECONDS (24 * HOUR_SECONDS)

/* 32 hexadecimal digits. */
static int make_key(char key[RC_SETTINGS_KEY_BYTES])
{
    unsigned char bytes[(RC_SETTINGS_KEY_BYTES - 1) / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return -EIO;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        snprintf(key + 2 * i, 3, "%02x", bytes[i]);
    }
    return 0;
}

struct rc_settings *rc_settings_new(const char *path, bool quickstart)
{
    struct rc_settings *settings = calloc(1, sizeof(*settings));
    if (settings == NULL) {
        return NULL;
    }
    settings->path = path;
    settings->real_path = path != NULL ? realpath(path, NULL) : NULL;
    settings->quickstart = quickstart;
    if (quickstart && make_key(settings->quickstart_key) != 0) {
        rc_settings_free(settings);
        return NULL;
    }
    return settings;
}

void rc_settings_free(struct rc_settings *settings)
{
    if (settings != NULL) {
        rc_source_free(&settings->source);
        rc_source_free(&settings->base);
        rc_source_free(&settings->next);
        rc_source_free(&settings->former_rows);
        free(settings->real_path);
        free(settings);
    }
}

typedef int load_text(struct rc_config *config, const char *text, size_t bytes, const char *name,
                      struct rc_config_errors *errors);

/* Everything before rc_config_finish. */
static int settings_gather(const struct rc_settings *settings, const struct rc_source *source, load_text *load,
                           struct rc_config *config, struct rc_config_errors *errors)
{
    struct rc_err err;
    rc_config_defaults(config);
    int rc =
        load(config, source->text, source->bytes, settings->path != NULL ? settings->path : "configuration", errors);
    if (rc == 0) {
        rc = rc_config_environment(config, &err);
        if (rc != 0) {
            rc_config_errors_add(errors, "%s", err.text);
        }
    }
    if (rc == 0 && settings->quickstart && config->http.api_keys.count == 0) {
        memcpy(config->http.api_keys.items[0].text, settings->quickstart_key, sizeof(settings->quickstart_key));
        config->http.api_keys.count = 1;
    }
    return rc;
}

int rc_settings_finish(const struct rc_settings *settings, struct rc_config *config, struct rc_config_errors *errors)
{
    struct rc_err err;
    const int rc = rc_config_finish(config, &err);
    if (rc != 0) {
        rc_config_errors_add(errors, "%s%s%s", settings->path != NULL ? settings->path : "",
                             settings->path != NULL ? ": " : "", err.text);
    }
    return rc;
}

int rc_settings_former(const struct rc_settings *settings, const struct rc_source *source, struct rc_config *config,
                       struct rc_config_errors *errors)
{
    return settings_gather(settings, source, rc_config_load_former, config, errors);
}

/* With the file in front, as errors in it have it. */
static void add_error(const struct rc_settings *settings, struct rc_config_errors *errors, const char *text)
{
    rc_config_errors_add(errors, "%s%s%s", settings->path != NULL ? settings->path : "",
                         settings->path != NULL ? ": " : "", text);
}

/* The user database may be far away (LDAP): it is asked again only for another user than the one in force. */
static int settings_identify(struct rc_settings *settings, const struct rc_config *config, struct rc_identity *identity,
                             struct rc_err *err)
{
    const char *user = config->server.user.text;
    const bool in_force = config == &settings->config || strcmp(user, settings->config.server.user.text) == 0;
    if (in_force && settings->identity_known) {
        *identity = settings->identity;
        return 0;
    }
    const int rc = rc_identity_resolve(identity, user, err);
    if (in_force && rc == 0) {
        settings->identity = *identity;
        settings->identity_known = true;
    }
    return rc;
}

/* Can tokens of every [[identity]] be verified with what it names? */
static int check_identities(const struct rc_config *config, struct rc_err *err)
{
    struct rc_jwt_material *material = malloc(sizeof(*material));
    struct rc_err why = {{0}};
    int rc = material != NULL ? 0 : rc_err_set(err, -ENOMEM, "no memory for keys");
    for (uint32_t i = 0; rc == 0 && i < config->identity_count; i++) {
        const struct rc_config_identity *row = &config->identities[i];
        if (row->kind != RC_IDENTITY_JWT) {
            continue;
        }
        rc = rc_jwt_policy_check(&row->jwt, &why);
        if (rc == 0) {
            rc = rc_jwt_sources_load(material, &row->jwt, &why);
        }
        if (rc < 0) {
            (void)rc_err_set(err, rc, "[[identity]] %s%s%.400s", row->name.text, row->name.text[0] != '\0' ? ": " : "",
                             why.text);
        }
        rc_jwt_material_clear(material);
    }
    free(material);
    return rc;
}

int rc_settings_check_files(struct rc_settings *settings, const struct rc_config *config, struct rc_files *files,
                            struct rc_config_errors *errors)
{
    struct rc_identity identity;
    struct rc_identity own;
    struct rc_err err = {{0}};
    int rc = settings_identify(settings, config, &identity, &err);
    if (rc == -ENOENT) {
        add_error(settings, errors, err.text);
        return rc;
    }
    /* Who may not become that user (`check` by somebody else) looks with own rights. */
    const bool borrowed = rc == 0 && rc_identity_borrow(&identity, &own) == 0;
    rc = rc_config_serves_tls(config) ? rc_tls_context_check(&config->tls, &err) : 0;
    if (rc == 0) {
        rc = rc_tls_backends_check(config, &err);
    }
    if (rc == 0 && config->socketio.client_files.text[0] != '\0') {
        rc = rc_client_files_check(config->socketio.client_files.text, &err);
    }
    rc_files_read(files, config);
    if (borrowed) {
        rc_identity_return(&own);
    }
    if (rc == 0) {
        rc = check_identities(config, &err); /* with the acceptor's own rights: nobody else reads these */
    }
    if (rc != 0) {
        add_error(settings, errors, err.text);
    }
    return rc;
}

/* Redis is never required to start: what keeps it from being used is told, and the broker goes on alone. */
static void warn_redis_files(const struct rc_config *config, struct rc_config_errors *warnings)
{
    const struct rc_config_redis *redis = &config->redis;
    struct rc_redis_url url;
    if (redis->url.text[0] == '\0' || rc_redis_url_parse(&url, redis->url.text, NULL) != 0 || !url.tls) {
        return;
    }
    const struct {
        const char *key;
        const char *file;
    } files[] = {{"redis.tls_ca", redis->tls_ca.text},
                 {"redis.tls_certificate", redis->tls_certificate.text},
                 {"redis.tls_key", redis->tls_key.text}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(files); i++) {
        struct rc_err err = {{0}};
        if (files[i].file[0] != '\0' && rc_tls_file_readable(files[i].key, files[i].file, &err) != 0) {
            rc_config_errors_add(
                warnings,
                "%s: Redis cannot be used with it (local-only mode; after a reload what was read before is used)",
                err.text);
        }
    }
}

/* What deploy/examples and docs write where a secret stands. */
#define EXAMPLE_SECRET "change-me"

static void warn_example_secret(const char *key, const struct rc_config_text *texts, uint32_t count,
                                struct rc_config_errors *warnings)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(texts[i].text, EXAMPLE_SECRET, strlen(EXAMPLE_SECRET)) == 0) {
            rc_config_errors_add(warnings, "%s: \"" EXAMPLE_SECRET "…\" is what examples have: everybody knows it",
                                 key);
        }
    }
}

/* A file that was copied from an example, and whose secrets still are the example's. */
static void warn_example_secrets(const struct rc_config *config, struct rc_config_errors *warnings)
{
    warn_example_secret("http.api_keys", config->http.api_keys.items, config->http.api_keys.count, warnings);
    for (uint32_t i = 0; i < config->identity_count; i++) {
        const struct rc_config_identity *identity = &config->identities[i];
        warn_example_secret("[[identity]] secret", &identity->jwt.secret, 1, warnings);
        warn_example_secret("[[identity]] secrets", identity->secrets.items, identity->secrets.count, warnings);
    }
    for (uint32_t i = 0; i < config->backend_count; i++) {
        const struct rc_config_backend *backend = &config->backends[i];
        warn_example_secret("[[backend]] secrets", backend->secrets, backend->secret_count, warnings);
    }
}

bool rc_settings_expiry_format(char *text, size_t capacity, int64_t not_after_s, int64_t now_s)
{
    const int64_t left_s = not_after_s > now_s ? not_after_s - now_s : now_s - not_after_s;
    const bool days = left_s >= 2 * DAY_SECONDS;
    (void)snprintf(text, capacity, not_after_s > now_s ? "expires in %" PRId64 " %s" : "expired %" PRId64 " %s ago",
                   left_s / (days ? DAY_SECONDS : HOUR_SECONDS), days ? "days" : "hours");
    return not_after_s - now_s < RC_SETTINGS_EXPIRY_DAYS * DAY_SECONDS;
}

/* Clients refuse a certificate that has expired; one that nobody renews is seen here before that. */
static void warn_certificates(const struct rc_files *files, struct rc_config_errors *warnings)
{
    const int64_t now_s = (int64_t)(rc_clock_wall_ms() / 1000u);
    for (uint32_t i = 0; i < files->count; i++) {
        const struct rc_file *file = &files->items[i];
        char when[64];
        if (file->not_after_s != 0 && rc_settings_expiry_format(when, sizeof(when), file->not_after_s, now_s)) {
            rc_config_errors_add(warnings, "%s: %s %s: renew it, then `ringcast reload`", file->key, file->path, when);
        }
    }
}

/* Rows that do less than they seem to. */
static void warn_rows(const struct rc_config *config, struct rc_config_errors *warnings)
{
    static const char *const said[] = {
        [RC_ROW_JOINS_OPEN] =
            "[[namespace]] default lets others in where it joins: begin the room's name with a constant and a "
            "colon (\"room:{…}\"), or set subscribe there",
        [RC_ROW_JOINS_DECIDED] =
            "clients name where it joins, which is refused as a [[backend]] decides who subscribes: let it "
            "ask, and the reply join",
        [RC_ROW_SENDS_DECIDED] =
            "clients name where it sends, which is refused as a [[backend]] decides who publishes: let it "
            "ask, and the reply emit",
    };
    for (uint32_t i = 0; i < config->event_count; i++) {
        const enum rc_config_row_flaw flaw = rc_config_row_flaw(config, &config->events[i]);
        if (flaw != RC_ROW_FLAWLESS) {
            rc_config_errors_add(warnings, "line %u: [[event]] on = \"%s\": %s", config->event_lines[i],
                                 config->events[i].on.text, said[flaw]);
        }
    }
}

void rc_settings_warnings(const struct rc_config *config, const struct rc_files *files,
                          struct rc_config_errors *warnings)
{
    rc_config_variables_unknown(environ, warnings);
    warn_example_secrets(config, warnings);
    warn_redis_files(config, warnings);
    warn_certificates(files, warnings);
    warn_rows(config, warnings);
    if (config->socketio.adapter != RC_ADAPTER_NONE && config->redis.url.text[0] == '\0') {
        rc_config_errors_add(warnings, "socketio.adapter has no effect without redis.url");
    }
    if (config->event_count > 0 && !rc_config_engineio_on(config)) {
        rc_config_errors_add(warnings, "[[event]] tables have no effect without [socketio]: nobody speaks Socket.IO");
    }
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        const struct rc_config_namespace *space = &config->namespaces[i];
        if (space->history > 0 && config->limits.history_memory_bytes == 0) {
            rc_config_errors_add(warnings, "[[namespace]] %s: history has no effect with limits.history_memory = \"0\"",
                                 space->name_bytes > 0 ? space->name : "default");
        }
    }
}

int rc_settings_load(struct rc_settings *settings, struct rc_config_errors *errors)
{
    errors->count = 0;
    rc_source_free(&settings->source);
    int rc = rc_source_read(&settings->source, settings->path, errors);
    if (rc == 0) {
        rc = settings_gather(settings, &settings->source, rc_config_load_text, &settings->config, errors);
    }
    return rc == 0 ? rc_settings_finish(settings, &settings->config, errors) : rc;
}

/* What a restart would find: `config` as the file has it, before what needs a restart is taken back. */
static int check_whole(struct rc_settings *settings, struct rc_config *whole, struct rc_config_errors *errors)
{
    struct rc_identity identity;
    struct rc_err err = {{0}};
    int rc = rc_settings_finish(settings, whole, errors);
    if (rc == 0 && settings_identify(settings, whole, &identity, &err) == -ENOENT) {
        add_error(settings, errors, err.text);
        rc = -ENOENT;
    }
    return rc;
}

int rc_settings_reload(struct rc_settings *settings, struct rc_config *next, struct rc_files *files,
                       struct rc_config_errors *needs_restart, struct rc_config_errors *errors)
{
    errors->count = 0;
    needs_restart->count = 0;
    rc_source_free(&settings->next);
    int rc = rc_source_read(&settings->next, settings->path, errors);
    if (rc == 0) {
        rc = settings_gather(settings, &settings->next, rc_config_load_text, next, errors);
    }
    if (rc != 0) {
        return rc;
    }
    /* The file must be right as it stands, also in what only a restart would apply. */
    struct rc_config *whole = malloc(sizeof(*whole));
    if (whole == NULL) {
        rc_config_errors_add(errors, "no memory to check the configuration");
        return -ENOMEM;
    }
    *whole = *next;
    rc = check_whole(settings, whole, errors);
    free(whole);
    if (rc != 0) {
        return rc;
    }
    (void)rc_config_reload_diff(&settings->config, next, needs_restart);
    rc = rc_settings_finish(settings, next, errors);
    return rc == 0 ? rc_settings_check_files(settings, next, files, errors) : rc;
}

void rc_settings_accept(struct rc_settings *settings, const struct rc_config *next, bool whole)
{
    settings->config = *next;
    if (whole) {
        rc_source_free(&settings->base);
    } else if (settings->base.text == NULL) {
        settings->base = settings->source;
        settings->source = (struct rc_source){0};
    }
    rc_source_free(&settings->source);
    settings->source = settings->next;
    settings->next = (struct rc_source){0};
}

struct names {
    char *text;
    size_t capacity;
    size_t bytes;
    unsigned count;
};

static void add_name(struct names *names, const char *before, const char *section, const char *dot, const char *key)
{
    if (names->bytes < names->capacity) {
        const int added = snprintf(names->text + names->bytes, names->capacity - names->bytes, "%s%s%s%s%s",
                                   names->count > 0 ? ", " : "", before, section, dot, key);
        names->bytes += added > 0 ? (size_t)added : 0;
    }
    names->count++;
}

unsigned rc_settings_changed(const struct rc_config *old, const struct rc_config *next, char *text, size_t capacity)
{
    struct names names = {.text = text, .capacity = capacity};
    text[0] = '\0';
    for (uint32_t i = 0; i < rc_config_section_count; i++) {
        if (rc_config_sections[i].repeated && !rc_config_section_equal(old, next, i)) {
            const bool named = rc_config_sections[i].named;
            add_name(&names, named ? "[" : "[[", rc_config_sections[i].name, named ? "]" : "]]", "");
        }
    }
    for (size_t i = 0; i < rc_config_key_count; i++) {
        const struct rc_config_key *key = &rc_config_keys[i];
        const struct rc_config_section *section = &rc_config_sections[key->section];
        if (!section->repeated &&
            !rc_config_key_equal(key, (const char *)old + section->offset, (const char *)next + section->offset)) {
            add_name(&names, "", section->name, ".", key->name);
        }
    }
    return names.count;
}
