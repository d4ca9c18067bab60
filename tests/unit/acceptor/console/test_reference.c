#include "acceptor/console/reference.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/config/key.h"

Test(reference, every_key_of_the_table_is_told_once_with_its_default)
{
    json_t *root = rc_reference_config();
    json_t *section;
    size_t i;
    size_t count = 0;
    cr_assert_not_null(root);
    json_array_foreach(json_object_get(root, "sections"), i, section)
    {
        json_t *key;
        size_t j;
        cr_assert_eq(json_string_value(json_object_get(section, "section"))[0], '[');
        json_array_foreach(json_object_get(section, "keys"), j, key)
        {
            const char *change = json_string_value(json_object_get(key, "change"));
            cr_assert_not_null(json_object_get(key, "default"), "%s", json_string_value(json_object_get(key, "key")));
            cr_assert(strlen(json_string_value(json_object_get(key, "help"))) > 0);
            cr_assert(strcmp(change, "reload") == 0 || strcmp(change, "restart") == 0);
            count++;
        }
    }
    cr_assert_eq(count, rc_config_key_count);
    json_decref(root);
}

Test(reference, hidden_commands_and_options_are_not_told)
{
    json_t *root = rc_reference_commands(NULL);
    json_t *command;
    size_t i;
    cr_assert_not_null(root);
    json_array_foreach(json_object_get(root, "commands"), i, command)
    {
        json_t *option;
        size_t j;
        cr_assert_str_neq(json_string_value(json_object_get(command, "name")), "upgrade-check");
        json_array_foreach(json_object_get(command, "options"), j, option)
        {
            const char *word = json_string_value(json_object_get(option, "option"));
            cr_assert(word == NULL || strcmp(word, "--state-fd") != 0);
        }
    }
    json_decref(root);
    root = rc_reference_commands(&rc_commands[RC_CLI_PUB]);
    cr_assert_eq(json_array_size(json_object_get(root, "commands")), 1);
    json_decref(root);
}
