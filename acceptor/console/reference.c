/* reference: see reference.h. */
#include "acceptor/console/reference.h"

#include <stdlib.h>
#include <string.h>

#include "acceptor/watch/supervisor.h"
#include "common/config/key.h"
#include "common/config/key_print.h"
#include "common/config/variable.h"
#include "version.h"

static json_t *options_make(const struct rc_command *command)
{
    json_t *options = json_array();
    for (size_t i = 0; i < RC_COMMAND_OPTIONS_MAX && command->options[i].help != NULL; i++) {
        const struct rc_command_option *const option = &command->options[i];
        if (option->kind != RC_OPTION_OWN) {
            (void)json_array_append_new(options, json_pack("{s:s?, s:s?, s:s?, s:s, s:b}", "option", option->word,
                                                           "alias", option->alias, "value", option->value, "help",
                                                           option->help, "required", option->kind == RC_OPTION_NEEDED));
        }
    }
    return options;
}

json_t *rc_reference_commands(const struct rc_command *topic)
{
    json_t *commands = json_array();
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        const struct rc_command *const command = &rc_commands[i];
        if (!command->hidden && (topic == NULL || topic == command)) {
            (void)json_array_append_new(commands, json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:o}", "name", command->name,
                                                            "summary", command->summary, "details", command->details,
                                                            "example", command->example, "failed", command->failed,
                                                            "options", options_make(command)));
        }
    }
    return json_pack("{s:s, s:{s:i, s:i, s:i}, s:o}", "version", RC_VERSION, "exit_codes", "well", RC_EXIT_OK, "failed",
                     RC_EXIT_FAILED, "wrong", RC_EXIT_CONFIG, "commands", commands);
}

/* The default of a list: texts with commas between them. */
static json_t *list_make(const char *initial)
{
    json_t *list = json_array();
    while (*initial != '\0') {
        const size_t bytes = strcspn(initial, ",");
        (void)json_array_append_new(list, json_stringn(initial, bytes));
        initial += bytes + (initial[bytes] == ',' ? 1 : 0);
    }
    return list;
}

static json_t *default_make(const struct rc_config_key *key)
{
    switch (key->kind) {
    case RC_CONFIG_BOOL:
        return json_boolean(strcmp(key->initial, "true") == 0);
    case RC_CONFIG_UINT:
        return json_integer((json_int_t)strtoull(key->initial, NULL, 10));
    case RC_CONFIG_LIST:
        return list_make(key->initial);
    case RC_CONFIG_WORKERS:
    case RC_CONFIG_SIZE:
    case RC_CONFIG_DURATION:
    case RC_CONFIG_RATE:
    case RC_CONFIG_RATE_BYTES:
    case RC_CONFIG_WORD:
    case RC_CONFIG_TEXT:
    case RC_CONFIG_INCOMING:
    case RC_CONFIG_RULE:
        break;
    }
    return json_string(key->initial);
}

static json_t *key_make(const struct rc_config_key *key)
{
    char type[320];
    rc_config_key_type_format(type, sizeof(type), key);
    return json_pack("{s:s, s:s, s:o, s:s, s:b, s:s}", "key", key->name, "type", type, "default", default_make(key),
                     "change", key->reloadable ? "reload" : "restart", "required", rc_config_key_must_be_given(key),
                     "help", key->help);
}

json_t *rc_reference_config(void)
{
    json_t *sections = json_array();
    json_t *environment = json_array();
    for (size_t i = 0; i < rc_config_section_count; i++) {
        char heading[80];
        json_t *keys = json_array();
        rc_config_section_heading(heading, sizeof(heading), &rc_config_sections[i]);
        for (size_t j = 0; j < rc_config_key_count; j++) {
            if (rc_config_keys[j].section == i) {
                (void)json_array_append_new(keys, key_make(&rc_config_keys[j]));
            }
        }
        (void)json_array_append_new(sections, json_pack("{s:s, s:s, s:o}", "section", heading, "help",
                                                        rc_config_sections[i].help, "keys", keys));
    }
    for (size_t i = 0; i < rc_config_variable_count; i++) {
        if (rc_config_variables[i].help != NULL) {
            (void)json_array_append_new(environment, json_pack("{s:s, s:s}", "name", rc_config_variables[i].name,
                                                               "help", rc_config_variables[i].help));
        }
    }
    return json_pack("{s:s, s:o, s:o}", "version", RC_VERSION, "sections", sections, "environment", environment);
}
