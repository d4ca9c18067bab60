/* The table of commands, and what is made from it. */
#include "acceptor/console/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

#include <criterion/criterion.h>

#include "acceptor/console/cli.h"
#include "acceptor/console/token.h"

/* What `print` writes; the caller frees it. */
#define WRITTEN(print)                                          \
    __extension__({                                             \
        char *written_ = NULL;                                  \
        size_t written_bytes_;                                  \
        FILE *out = open_memstream(&written_, &written_bytes_); \
        cr_assert_not_null(out);                                \
        print;                                                  \
        cr_assert_eq(fclose(out), 0);                           \
        written_;                                               \
    })

Test(commands, each_has_a_name_and_says_what_it_does)
{
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        const struct rc_command *command = &rc_commands[i];
        cr_assert_not_null(command->name);
        cr_assert_not_null(command->summary, "%s", command->name);
        cr_assert_eq(rc_command_find(command->name), command, "%s", command->name);
        cr_assert(command->alias == NULL || rc_command_find(command->alias) == command, "%s", command->name);
        for (size_t j = i + 1; j < RC_CLI_COMMANDS; j++) {
            cr_assert_str_neq(command->name, rc_commands[j].name);
        }
    }
    cr_assert_null(rc_command_find("frobnicate"));
    cr_assert_eq(rc_command_find("-h"), &rc_commands[RC_CLI_HELP]);
    cr_assert_eq(rc_command_find("-V"), &rc_commands[RC_CLI_VERSION]);
}

Test(commands, each_page_names_every_option_and_the_exit_codes)
{
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        const struct rc_command *command = &rc_commands[i];
        char *page = WRITTEN(rc_command_page(out, command));
        cr_assert_not_null(strstr(page, command->summary), "%s", command->name);
        for (size_t at = 0; at < RC_COMMAND_OPTIONS_MAX && command->options[at].help != NULL; at++) {
            const struct rc_command_option *option = &command->options[at];
            if (option->kind == RC_OPTION_OWN) {
                cr_expect_null(strstr(page, option->word), "%s", option->word);
                continue;
            }
            cr_expect(option->word == NULL || strstr(page, option->word) != NULL, "%s %s", command->name, option->word);
            cr_expect(option->value == NULL || strstr(page, option->value) != NULL, "%s %s", command->name,
                      option->word);
            cr_expect_not_null(strstr(page, option->help), "%s", option->help);
        }
        cr_expect_not_null(strstr(page, "\nExit codes\n  0  well\n"));
        free(page);
    }
}

/* Whoever copies a line from a page has typed what the page means. */
Test(commands, each_example_is_understood_as_its_command)
{
    unsigned lines = 0;
    (void)setenv("CLIENT", "host~AAAAAAAAAAAAAAAAAAAAAAAA", 1);
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        char *page = WRITTEN(rc_command_page(out, &rc_commands[i]));
        char *examples = strdup(rc_commands[i].example != NULL ? rc_commands[i].example : "");
        char *rest = examples;
        cr_assert_not_null(examples);
        cr_expect(examples[0] == '\0' || examples[strlen(examples) - 1] == '\n', "%s", rc_commands[i].name);
        for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
            struct rc_cli cli;
            wordexp_t words;
            cr_expect_not_null(strstr(page, line), "%s", line);
            line[strcspn(line, "<")] = '\0';
            cr_assert_eq(wordexp(line, &words, WRDE_UNDEF | WRDE_NOCMD), 0, "%s", line);
            cr_expect_str_eq(words.we_wordv[0], "ringcast");
            cr_expect_eq(rc_cli_parse(&cli, (int)words.we_wordc, words.we_wordv), 0, "%s", line);
            cr_expect_eq((size_t)cli.command, i, "%s", line);
            wordfree(&words);
        }
        free(examples);
        free(page);
    }
    cr_expect_geq(lines, 10);
}

Test(commands, the_list_and_the_manual_name_all_of_them)
{
    char *list = WRITTEN(rc_commands_list(out));
    char *manual = WRITTEN(rc_commands_manual(out, rc_token_help));
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        const bool hidden = rc_commands[i].hidden;
        cr_expect_eq(strstr(list, rc_commands[i].summary) == NULL, hidden, "%s", rc_commands[i].name);
        char heading[64];
        (void)snprintf(heading, sizeof(heading), "\n.SS \"ringcast %s", rc_commands[i].name);
        cr_expect_eq(strstr(manual, heading) == NULL, hidden, "%s", heading);
    }
    cr_expect_not_null(strstr(manual, ".TH RINGCAST 1 "));
    cr_expect_not_null(strstr(manual, "\\-\\-explain\\-event"), "hyphens are those that one types");
    cr_expect_not_null(strstr(manual, "verify reads TOKEN"), "the page of token");
    free(list);
    free(manual);
}

Test(commands, shells_are_told_what_may_follow)
{
    char *words = WRITTEN(rc_command_words(out, NULL));
    cr_expect_not_null(strstr(words, "status\n"));
    free(words);
    words = WRITTEN(rc_command_words(out, &rc_commands[RC_CLI_STOP]));
    cr_expect_str_eq(words, "--now\n--json\n--config=\n--socket=\n--help\n");
    free(words);
    words = WRITTEN(rc_command_words(out, &rc_commands[RC_CLI_TOKEN]));
    cr_expect_eq(strncmp(words, "make\nverify\nkeys\n--config=\n", 27), 0, "%s", words);
    for (const char *word = words; (word = strstr(word, "\n--")) != NULL; word++) {
        char option[32];
        (void)snprintf(option, sizeof(option), "%.*s", (int)strcspn(word + 1, "=\n"), word + 1);
        cr_expect(strcmp(option, "--help") == 0 || strstr(rc_token_help, option + 1) != NULL ||
                      strcmp(option, "--config") == 0,
                  "%s is no option of it", option);
    }
    free(words);
}
