/*
 * settings: see settings.h.
 */
#include "acceptor/start/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "acceptor/config/toml.h"
#include "acceptor/start/identity.h"
#include "common/config/key.h"
#include "common/tls/context.h"

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
        free(settings->real_path);
        free(settings);
    }
}

/* Everything before rc_config_finish. */
static int gather(const struct rc_settings *settings, struct rc_config *config, struct rc_config_errors *errors)
{
    struct rc_err err;
    rc_config_defaults(config);
    int code = settings->path != NULL ? rc_config_load_file(config, settings->path, errors) : 0;
    if (code == 0) {
        code = rc_config_environment(config, &err);
        if (code != 0) {
            rc_config_errors_add(errors, "%s", err.text);
        }
    }
    if (code == 0 && settings->quickstart && config->http.api_keys.count == 0) {
        memcpy(config->http.api_keys.items[0].text, settings->quickstart_key, sizeof(settings->quickstart_key));
        config->http.api_keys.count = 1;
    }
    return code;
}

static int finish(const struct rc_settings *settings, struct rc_config *config, struct rc_config_errors *errors)
{
    struct rc_err err;
    const int code = rc_config_finish(config, &err);
    if (code != 0) {
        rc_config_errors_add(errors, "%s%s%s", settings->path != NULL ? settings->path : "",
                             settings->path != NULL ? ": " : "", err.text);
    }
    return code;
}

int rc_settings_check_files(const struct rc_settings *settings, const struct rc_config *config,
                            struct rc_config_errors *errors)
{
    struct rc_identity identity;
    struct rc_identity own;
    struct rc_err err = {{0}};
    /* Who may not become that user (`check` by somebody else) looks with own rights. */
    const bool borrowed =
        rc_identity_resolve(&identity, config->server.user.text, NULL) == 0 && rc_identity_borrow(&identity, &own) == 0;
    const int code = rc_tls_context_check(&config->tls, &err);
    if (borrowed) {
        rc_identity_return(&own);
    }
    if (code != 0) {
        rc_config_errors_add(errors, "%s%s%s", settings->path != NULL ? settings->path : "",
                             settings->path != NULL ? ": " : "", err.text);
    }
    return code;
}

int rc_settings_load(struct rc_settings *settings, struct rc_config_errors *errors)
{
    errors->count = 0;
    const int code = gather(settings, &settings->config, errors);
    return code == 0 ? finish(settings, &settings->config, errors) : code;
}

int rc_settings_reload(const struct rc_settings *settings, struct rc_config *next,
                       struct rc_config_errors *needs_restart, struct rc_config_errors *errors)
{
    errors->count = 0;
    needs_restart->count = 0;
    int code = gather(settings, next, errors);
    if (code != 0) {
        return code;
    }
    /* The file must be right as it stands, also in what only a restart would apply. */
    struct rc_config *whole = malloc(sizeof(*whole));
    if (whole == NULL) {
        rc_config_errors_add(errors, "no memory to check the configuration");
        return -ENOMEM;
    }
    *whole = *next;
    code = finish(settings, whole, errors);
    free(whole);
    if (code != 0) {
        return code;
    }
    (void)rc_config_reload_diff(&settings->config, next, needs_restart);
    code = finish(settings, next, errors);
    return code == 0 ? rc_settings_check_files(settings, next, errors) : code;
}

static bool sections_differ(const struct rc_config *old, const struct rc_config *next, uint32_t index)
{
    const struct rc_config_section *section = &rc_config_sections[index];
    const uint32_t count = rc_config_item_count(old, section);
    if (count != rc_config_item_count(next, section)) {
        return true;
    }
    for (uint32_t item = 0; item < count; item++) {
        const size_t offset = section->offset + item * section->item_bytes;
        for (size_t i = 0; i < rc_config_key_count; i++) {
            if (rc_config_keys[i].section == index &&
                !rc_config_key_equal(&rc_config_keys[i], (const char *)old + offset, (const char *)next + offset)) {
                return true;
            }
        }
    }
    return false;
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
        if (rc_config_sections[i].repeated && sections_differ(old, next, i)) {
            add_name(&names, "[[", rc_config_sections[i].name, "]]", "");
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
