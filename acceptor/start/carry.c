/* carry: see carry.h. */
#include "acceptor/start/carry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/key.h"

/* Tables with rows in struct rc_config. */
static bool has_rows(const struct rc_config_section *section)
{
    return section->repeated && section->within == NULL;
}

static int stream_take(struct rc_source *source, FILE *out, char **text, size_t *bytes)
{
    int rc = out == NULL || ferror(out) != 0 ? -ENOMEM : 0;
    if (out != NULL && fclose(out) != 0) {
        rc = -ENOMEM;
    }
    rc = rc == 0 ? rc_source_set(source, *text, *bytes) : rc;
    free(*text);
    return rc;
}

static void row_print(FILE *out, const struct rc_config_section *section, const struct rc_config *config)
{
    const uint32_t count = rc_config_item_count(config, section);
    (void)fprintf(out, "%s %" PRIu32, section->name, count);
    for (uint32_t i = 0; strcmp(section->name, "namespace") == 0 && i < count; i++) {
        (void)fprintf(out, " %s", config->namespaces[i].name);
    }
    (void)fputc('\n', out);
}

int rc_settings_rows(struct rc_source *rows, const struct rc_config *config)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    for (size_t i = 0; out != NULL && i < rc_config_section_count; i++) {
        if (has_rows(&rc_config_sections[i])) {
            row_print(out, &rc_config_sections[i], config);
        }
    }
    return stream_take(rows, out, &text, &bytes);
}

/* The line that begins with these words, each followed by a blank or the end; NULL: there is none. */
static const char *line_find(const struct rc_source *lines, const char *word)
{
    const size_t bytes = strlen(word);
    const char *line = lines->text;
    while (line != NULL && *line != '\0') {
        if (strncmp(line, word, bytes) == 0 && (line[bytes] == ' ' || line[bytes] == '\n')) {
            return line;
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return NULL;
}

static size_t line_bytes(const char *line)
{
    return strcspn(line, "\n");
}

/* Truths of workers name rows by their index. */
static int rows_compare(const struct rc_settings *settings, const struct rc_config *config,
                        struct rc_config_errors *errors)
{
    struct rc_source own = {0};
    if (rc_settings_rows(&own, config) < 0) {
        rc_config_errors_add(errors, "no memory for a configuration");
        return -ENOMEM;
    }
    const uint32_t before = errors->count;
    const char *line = settings->former_rows.text;
    while (line != NULL && *line != '\0') {
        char name[64];
        const size_t bytes = line_bytes(line);
        const size_t name_bytes = strcspn(line, " \n");
        (void)snprintf(name, sizeof(name), "%.*s", (int)(name_bytes < 63 ? name_bytes : 63), line);
        const char *ours = line_find(&own, name);
        const bool none = bytes == name_bytes + 2 && line[bytes - 1] == '0';
        if (ours == NULL && !none) {
            rc_config_errors_add(errors,
                                 "[[%s]] is in force and unknown to the new version: remove it and reload first", name);
        } else if (ours != NULL && (line_bytes(ours) != bytes || strncmp(line, ours, bytes) != 0)) {
            rc_config_errors_add(errors, "[[%s]] rows in force would be others in the new version: \"%.*s\", \"%.*s\"",
                                 name, (int)(bytes < 80 ? bytes : 80), line,
                                 (int)(line_bytes(ours) < 80 ? line_bytes(ours) : 80), ours);
        }
        line += bytes + (line[bytes] == '\n' ? 1 : 0);
    }
    rc_source_free(&own);
    return errors->count == before ? 0 : -EINVAL;
}

/* A text that is in force, by this build; `base` (NULL = none): of what only a restart changes. */
static int carry_text(struct rc_settings *settings, const struct rc_source *source, const struct rc_config *base,
                      const char *instance_id, struct rc_config *config, struct rc_config_errors *errors)
{
    struct rc_config_errors unused = {0};
    int rc = rc_settings_former(settings, source, config, errors);
    if (rc != 0) {
        return rc;
    }
    if (config->server.instance_id.text[0] == '\0') {
        (void)snprintf(config->server.instance_id.text, sizeof(config->server.instance_id.text), "%s", instance_id);
    }
    if (base != NULL) {
        (void)rc_config_reload_diff(base, config, &unused);
    }
    return rc_settings_finish(settings, config, errors);
}

int rc_settings_carry(struct rc_settings *settings, const char *instance_id, struct rc_config_errors *errors)
{
    struct rc_config *base = malloc(sizeof(*base));
    struct rc_config *config = malloc(sizeof(*config));
    int rc = base != NULL && config != NULL && settings->source.text != NULL ? 0 : -ENOMEM;
    const bool two = settings->base.text != NULL;
    errors->count = 0;
    if (rc != 0) {
        rc_config_errors_add(errors, "no memory for a configuration");
    }
    if (rc == 0 && two) {
        rc = carry_text(settings, &settings->base, NULL, instance_id, base, errors);
    }
    if (rc == 0) {
        rc = carry_text(settings, &settings->source, two ? base : NULL, instance_id, config, errors);
    }
    if (rc == 0) {
        rc = rows_compare(settings, config, errors);
    }
    if (rc == 0) {
        settings->config = *config;
    }
    free(base);
    free(config);
    return rc;
}
