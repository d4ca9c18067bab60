/*
 * cli: see cli.h.
 */
#include "acceptor/console/cli.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/client.h"
#include "acceptor/console/hear.h"
#include "acceptor/console/list.h"
#include "acceptor/console/live.h"
#include "acceptor/console/memory.h"
#include "acceptor/console/option.h"
#include "acceptor/console/print_json.h"
#include "acceptor/console/publish.h"
#include "acceptor/console/reference.h"
#include "acceptor/console/token.h"
#include "acceptor/console/top.h"
#include "acceptor/console/trace.h"
#include "acceptor/console/which.h"
#include "acceptor/start/broker.h"
#include "acceptor/start/settings.h"
#include "acceptor/upgrade/check.h"
#include "acceptor/watch/loop.h"
#include "acceptor/watch/supervisor.h"
#include "acceptor/tune/tune.h"
#include "common/config/print.h"
#include "common/config/log_settings.h"
#include "common/base/clock.h"
#include "common/base/inherited.h"
#include "common/base/log.h"
#include "version.h"

#define STATUS_INTERVAL 1.0 /* seconds, of --watch */

/* Was it `make run`? */
static bool is_quickstart(void)
{
    const char *value = getenv("RINGCAST_QUICKSTART");
    return value != NULL && strcmp(value, "1") == 0;
}

static int usage_wrong(const struct rc_cli *cli, const char *what, const char *word)
{
    (void)rc_option_misused(cli, what, word);
    return -EINVAL;
}

/* Options of check --explain-event: "--as WHO" or "--as=WHO". */
static int parse_explain(struct rc_cli *cli, const char *name, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const char *from = NULL;
    bool full = false;
    const char **place = strcmp(name, "--from") == 0 ? &from : rc_explain_option(&cli->explain, name, &full);
    if (place == NULL) {
        return usage_wrong(cli, full ? "too many rooms" : "unknown argument", word);
    }
    const char *equals = strchr(word, '=');
    *place = equals != NULL ? equals + 1 : ++*at < argc ? argv[*at] : NULL;
    if (*place == NULL) {
        return usage_wrong(cli, "a value is missing after", word);
    }
    cli->explain.server |= from != NULL && strcmp(from, "server") == 0;
    return from == NULL || strcmp(from, "server") == 0 || strcmp(from, "client") == 0
               ? 0
               : usage_wrong(cli, "--from is client or server", from);
}

/* Is the word this option, or its value for one that is a word alone? */
static bool option_is(const struct rc_cli *cli, const struct rc_command_option *option, const char *word)
{
    if (option->word == NULL) {
        const char *taken;
        memcpy(&taken, (const char *)cli + option->offset, sizeof(taken));
        return word[0] != '-' && taken == NULL;
    }
    const size_t bytes = strlen(option->word);
    return (option->alias != NULL && strcmp(word, option->alias) == 0) ||
           (strncmp(word, option->word, bytes) == 0 &&
            (word[bytes] == '\0' || (word[bytes] == '=' && option->value != NULL)));
}

static int parse_option(struct rc_cli *cli, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const struct rc_command *command = &rc_commands[cli->command];
    const struct rc_command_option *option = NULL;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli->help = true;
        return 0;
    }
    for (size_t i = 0; option == NULL && i < RC_COMMAND_OPTIONS_MAX && command->options[i].help != NULL; i++) {
        option = option_is(cli, &command->options[i], word) ? &command->options[i] : NULL;
    }
    if (option == NULL) {
        return usage_wrong(cli, cli->named || word[0] == '-' ? "unknown argument" : "there is no command", word);
    }
    if (option->kind == RC_OPTION_EXPLAIN) {
        return parse_explain(cli, option->word, argc, argv, at);
    }
    if (option->kind == RC_OPTION_SWITCH) {
        *(bool *)((char *)cli + option->offset) = true;
        return 0;
    }
    const char *value = option->word == NULL ? word : NULL;
    if (value == NULL && option->alias != NULL) {
        value = rc_option_value(word, option->alias, argc, argv, at);
    }
    if (value == NULL) {
        value = rc_option_value(word, option->word, argc, argv, at);
    }
    memcpy((char *)cli + option->offset, &value, sizeof(value));
    return value[0] != '\0'       ? 0
           : option->word == NULL ? usage_wrong(cli, "it may not be empty", option->value)
                                  : usage_wrong(cli, "a value is missing after", word);
}

/* Were options given that say something of an event, but no event? */
static bool explains_nothing(const struct rc_cli *cli)
{
    const struct rc_explain none = {.event = cli->explain.event};
    return cli->explain.event == NULL && memcmp(&cli->explain, &none, sizeof(none)) != 0;
}

/* The configuration file where none is named; NULL: there is none. What `make run` starts has its defaults. */
static const char *default_config(void)
{
    const char *named = getenv("RINGCAST_CONFIG");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    return !is_quickstart() && (access(RC_DEFAULT_CONFIG, F_OK) == 0 || errno != ENOENT) ? RC_DEFAULT_CONFIG : NULL;
}

int rc_cli_parse(struct rc_cli *cli, int argc, char **argv)
{
    memset(cli, 0, sizeof(*cli));
    const struct rc_command *command = argc > 1 ? rc_command_find(argv[1]) : NULL;
    int at = command != NULL ? 2 : 1;
    cli->named = command != NULL;
    cli->command = command != NULL ? (enum rc_cli_command)(command - rc_commands) : RC_CLI_RUN;
    if (cli->command == RC_CLI_TOKEN) {
        cli->argc = argc - at;
        cli->argv = argv + at;
        return 0;
    }
    for (; at < argc; at++) {
        const int rc = parse_option(cli, argc, argv, &at);
        if (rc != 0) {
            return rc;
        }
    }
    const bool reads = cli->command == RC_CLI_RUN || cli->command == RC_CLI_UPGRADE_CHECK ||
                       cli->command == RC_CLI_CHECK || cli->command == RC_CLI_TUNE;
    if (cli->config == NULL && reads && !cli->help) {
        cli->config = default_config();
    }
    if (cli->topic != NULL && rc_command_find(cli->topic) == NULL) {
        rc_option_wrong("ringcast", "ringcast help", "there is no command", cli->topic);
        return -EINVAL;
    }
    if (cli->command != RC_CLI_CHECK || cli->help) {
        return 0;
    }
    return cli->config == NULL ? usage_wrong(cli, "check needs a FILE", NULL)
           : explains_nothing(cli)
               ? usage_wrong(cli, "--explain-event NAME is missing: the other options are about it", NULL)
               : 0;
}

/* A descriptor that another program of ours has named; -1 = none. */
static int descriptor_of(const char *text)
{
    char *end;
    const long number = text != NULL && *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
    return number >= 0 && number <= INT_MAX && *end == '\0' ? (int)number : -1;
}

static int command_run(const struct rc_cli *cli)
{
    struct rc_resume resume = {.state_fd = descriptor_of(cli->state_fd),
                               .fallback_fd = descriptor_of(cli->fallback_fd),
                               .refused = cli->refused,
                               .old_programs = {-1, -1}};
    /* Who goes back has the configuration that is in force: the file may be of the other build by now. */
    struct rc_settings *settings = resume.refused != NULL ? rc_which_settings_none(cli->config, is_quickstart())
                                                          : rc_which_settings(cli->config, is_quickstart(), true);
    if (settings == NULL) {
        if (resume.state_fd >= 0) {
            rc_log_open("acceptor", -1, RC_LOG_INFO, RC_LOG_TEXT);
            rc_resume_back(&resume, cli->config, "the configuration is wrong: the lines above say where");
        }
        return RC_EXIT_CONFIG;
    }
    rc_log_never_wait();
    rc_log_open("acceptor", -1, (enum rc_log_level)settings->config.log.level,
                (enum rc_log_format)settings->config.log.format);
    rc_log_settings_apply(&settings->config.log);
    const int exit_code = rc_acceptor_run(settings, &resume);
    rc_settings_free(settings);
    return exit_code;
}

static int command_explain(const struct rc_cli *cli, const struct rc_settings *settings)
{
    struct rc_explain explain = cli->explain;
    explain.json = cli->json;
    switch (rc_explain_run(&explain, cli->config, &settings->config, stdout)) {
    case RC_EXPLAINED_DONE:
        return RC_EXIT_OK;
    case RC_EXPLAINED_REFUSED:
        return RC_EXIT_FAILED;
    case RC_EXPLAINED_WRONG:
        break;
    }
    return RC_EXIT_CONFIG;
}

/* What is to be said of a file, for programs: warnings of a correct one, errors of another. */
static int check_dump(const char *config, bool correct, const struct rc_config_errors *said)
{
    json_t *lines = json_array();
    for (uint32_t i = 0; i < said->count && i < RC_CONFIG_ERRORS_MAX; i++) {
        (void)json_array_append_new(lines, json_string(said->lines[i].text));
    }
    json_t *root =
        json_pack("{s:s, s:b, s:o}", "file", config, "correct", correct, correct ? "warnings" : "errors", lines);
    const bool written = rc_json_print(stdout, root);
    json_decref(root);
    return !written ? RC_EXIT_FAILED : correct ? RC_EXIT_OK : RC_EXIT_CONFIG;
}

static int command_check(const struct rc_cli *cli)
{
    struct rc_config_errors errors = {0};
    struct rc_settings *settings = cli->json ? rc_which_settings_told(cli->config, false, true, &errors)
                                             : rc_which_settings(cli->config, false, true);
    if (settings == NULL) {
        return cli->json ? check_dump(cli->config, false, &errors) : RC_EXIT_CONFIG;
    }
    if (cli->explain.event != NULL) {
        const int exit_code = command_explain(cli, settings);
        rc_settings_free(settings);
        return exit_code;
    }
    struct rc_config_errors warnings = {0};
    struct rc_err err = {{0}};
    rc_settings_warnings(&settings->config, &settings->files, &warnings);
    if (rc_broker_foresee(&settings->config, &err) != 0) {
        rc_config_errors_add(&warnings, "it would not start here, now and by this user: %s", err.text);
    }
    if (cli->json) {
        rc_settings_free(settings);
        return check_dump(cli->config, true, &warnings);
    }
    for (uint32_t i = 0; i < warnings.count && i < RC_CONFIG_ERRORS_MAX; i++) {
        fprintf(stderr, "%s: warning: %s\n", cli->config, warnings.lines[i].text);
    }
    if (warnings.count > RC_CONFIG_ERRORS_MAX) {
        fprintf(stderr, "%s: and %u more warnings\n", cli->config, warnings.count - RC_CONFIG_ERRORS_MAX);
    }
    printf("%s: correct\n", cli->config);
    rc_config_print_permissions(stdout, &settings->config);
    rc_settings_free(settings);
    return RC_EXIT_OK;
}

static int command_tune(const struct rc_cli *cli)
{
    struct rc_settings *settings = rc_which_settings(cli->config, false, false);
    if (settings == NULL) {
        return RC_EXIT_CONFIG;
    }
    const bool fine = rc_tune_run(&settings->config, cli->json, stdout);
    rc_settings_free(settings);
    return fine ? RC_EXIT_OK : RC_EXIT_FAILED;
}

static int command_ask(const struct rc_cli *cli, const char *request)
{
    struct rc_err err = {{0}};
    struct rc_which which;
    const int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    const int rc = rc_client_ask(which.socket, request, stdout, &err);
    if (rc < 0 && rc != -EBADMSG) {
        fprintf(stderr, "ringcast: %s\n", err.text);
    }
    return rc < 0 ? RC_EXIT_FAILED : RC_EXIT_OK;
}

/* A report, on standard output alone when it is one: who reads it there does not take a refusal for it. */
static int command_report(const struct rc_cli *cli, const char *request)
{
    struct rc_err err = {{0}};
    struct rc_which which;
    const int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    char *text = rc_client_text(which.socket, request, &err);
    if (text == NULL) {
        fprintf(stderr, "ringcast: %s\n", err.text);
        return RC_EXIT_FAILED;
    }
    (void)fputs(text, stdout);
    free(text);
    return RC_EXIT_OK;
}

/* Of what a command has done, or would not: {"ok":true,"lines":["…"]}. */
static int answer_dump(bool ok, const char *text)
{
    json_t *lines = json_array();
    while (*text != '\0') {
        const size_t bytes = strcspn(text, "\n");
        (void)json_array_append_new(lines, json_stringn(text, bytes));
        text += bytes + (text[bytes] == '\n');
    }
    json_t *root = json_pack("{s:b, s:o}", "ok", ok, "lines", lines);
    const bool written = rc_json_print(stdout, root);
    json_decref(root);
    return ok && written ? RC_EXIT_OK : RC_EXIT_FAILED;
}

/* As command_ask, and with --json as an object: the whole answer at its end. */
static int command_tell(const struct rc_cli *cli, const char *request)
{
    struct rc_err err = {{0}};
    struct rc_which which;
    char *text = NULL;
    size_t bytes = 0;
    if (!cli->json) {
        return command_ask(cli, request);
    }
    int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    FILE *out = open_memstream(&text, &bytes);
    const int rc = out == NULL ? -ENOMEM : rc_client_ask(which.socket, request, out, &err);
    if (out == NULL || fclose(out) != 0 || (rc < 0 && rc != -EBADMSG)) {
        fprintf(stderr, "ringcast: %s\n", out == NULL ? "no memory for the answer" : err.text);
        exit_code = RC_EXIT_FAILED;
    } else {
        exit_code = answer_dump(rc == 0, text);
    }
    free(text);
    return exit_code;
}

/* Again and again. Of a broker that did not answer once it is told at once. */
static int status_watch(const struct rc_cli *cli, const char *request)
{
    struct rc_live live = {.screen = !cli->json};
    struct rc_err err = {{0}};
    struct rc_which which;
    int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    bool goes_on = exit_code == RC_EXIT_OK;
    while (goes_on) {
        char *text = rc_client_text(which.socket, request, &err);
        if (text != NULL) {
            rc_live_answered(&live, rc_clock_ms());
            printf("%s%s", live.screen ? RC_LIVE_REDRAW : "", text);
            goes_on = fflush(stdout) == 0;
        } else if (live.answered_ms == 0) {
            fprintf(stderr, "ringcast: %s\n", err.text);
            exit_code = RC_EXIT_FAILED;
        } else if (!rc_live_unanswered(&live, rc_clock_ms(), err.text)) {
            exit_code = RC_EXIT_FAILED;
        }
        free(text);
        goes_on = goes_on && exit_code == RC_EXIT_OK && rc_live_wait(STATUS_INTERVAL);
    }
    return exit_code;
}

static int command_status(const struct rc_cli *cli)
{
    const char *request = cli->json ? "status json" : "status";
    return cli->watch ? status_watch(cli, request) : command_report(cli, request);
}

/* Prints a reference for programs, and lets go of it. */
static int reference_dump(json_t *reference)
{
    const bool written = rc_json_print(stdout, reference);
    json_decref(reference);
    return written ? RC_EXIT_OK : RC_EXIT_FAILED;
}

static int command_help(const struct rc_cli *cli)
{
    const struct rc_command *topic = cli->topic != NULL ? rc_command_find(cli->topic) : NULL;
    if (cli->json) {
        return reference_dump(rc_reference_commands(topic));
    }
    if (cli->words) {
        rc_command_words(stdout, topic);
    } else if (cli->manual) {
        rc_commands_manual(stdout, rc_token_help);
    } else if (topic == NULL) {
        rc_commands_list(stdout);
    } else if (topic->own_help) {
        (void)fputs(rc_token_help, stdout);
    } else {
        rc_command_page(stdout, topic);
    }
    return RC_EXIT_OK;
}

static int command_help_config(const struct rc_cli *cli)
{
    if (cli->json) {
        return reference_dump(rc_reference_config());
    }
    if (cli->manual) {
        rc_config_print_manual(stdout);
    } else {
        rc_config_print_help(stdout);
    }
    return RC_EXIT_OK;
}

static int command_handover(const struct rc_cli *cli)
{
    char request[32];
    const char *worker = cli->worker != NULL ? cli->worker : "all";
    if (strcmp(worker, "all") != 0 && (strspn(worker, "0123456789") != strlen(worker) || strlen(worker) > 4)) {
        return rc_option_misused(cli, "a worker is a number, or all, and not", worker);
    }
    (void)snprintf(request, sizeof(request), "handover %s", worker);
    return command_tell(cli, request);
}

static int command_workers(const struct rc_cli *cli)
{
    char request[32];
    if (cli->worker == NULL) {
        return command_tell(cli, "workers");
    }
    if (strspn(cli->worker, "0123456789") != strlen(cli->worker) || strlen(cli->worker) > 4) {
        return rc_option_misused(cli, "how many workers is a number, and not", cli->worker);
    }
    (void)snprintf(request, sizeof(request), "workers %s%s", cli->worker, cli->drain ? " drain" : "");
    return command_tell(cli, request);
}

static int command_upgrade(const struct rc_cli *cli)
{
    char folder[PATH_MAX];
    char request[PATH_MAX + 16];
    if (cli->binary_dir != NULL) {
        if (realpath(cli->binary_dir, folder) == NULL) {
            fprintf(stderr, "ringcast: %s: %s\n", cli->binary_dir, strerror(errno));
            return RC_EXIT_CONFIG;
        }
    } else {
        const ssize_t bytes = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
        if (bytes <= 0) {
            fprintf(stderr, "ringcast: /proc/self/exe: %s (is /proc mounted?)\n", strerror(errno));
            return RC_EXIT_FAILED;
        }
        folder[bytes] = '\0';
        *strrchr(folder, '/') = '\0';
    }
    (void)snprintf(request, sizeof(request), "upgrade %s", folder);
    return command_tell(cli, request);
}

static int command_upgrade_check(const struct rc_cli *cli)
{
    rc_inherited_signals(NULL, NULL);
    struct rc_settings *settings = rc_which_settings(cli->config, is_quickstart(), true);
    if (settings == NULL) {
        printf("configuration   refused   the file is wrong: the log of the broker says where\n");
        return RC_EXIT_FAILED;
    }
    rc_log_open("upgrade-check", -1, RC_LOG_WARN, (enum rc_log_format)settings->config.log.format);
    const bool can = rc_upgrade_check(settings, descriptor_of(cli->state_fd), stdout);
    rc_settings_free(settings);
    return can ? RC_EXIT_OK : RC_EXIT_FAILED;
}

bool rc_cli_written(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return true;
    }
    fprintf(stderr, "ringcast: standard output could not be written (is the disk full?)\n");
    return false;
}

int rc_cli_run(const struct rc_cli *cli)
{
    if (cli->help) {
        rc_command_page(stdout, &rc_commands[cli->command]);
        return RC_EXIT_OK;
    }
    switch (cli->command) {
    case RC_CLI_RUN:
        return command_run(cli);
    case RC_CLI_CHECK:
        return command_check(cli);
    case RC_CLI_STATUS:
        return command_status(cli);
    case RC_CLI_TOP:
        return rc_top_run(cli);
    case RC_CLI_MEMORY:
        return rc_console_memory_run(cli);
    case RC_CLI_RELOAD:
        return command_tell(cli, "reload");
    case RC_CLI_HANDOVER:
        return command_handover(cli);
    case RC_CLI_WORKERS:
        return command_workers(cli);
    case RC_CLI_UPGRADE:
        return command_upgrade(cli);
    case RC_CLI_UPGRADE_CHECK:
        return command_upgrade_check(cli);
    case RC_CLI_STOP:
        return command_tell(cli, cli->now ? "stop now" : "stop");
    case RC_CLI_TRACE:
        return rc_console_trace_run(cli);
    case RC_CLI_POSTMORTEM:
        return command_report(cli, cli->json ? "postmortem json" : "postmortem");
    case RC_CLI_CLIENTS:
        return rc_list_clients(cli);
    case RC_CLI_CHANNELS:
        return rc_list_channels(cli);
    case RC_CLI_SUB:
        return rc_hear_run(cli);
    case RC_CLI_PUB:
    case RC_CLI_DIRECT:
    case RC_CLI_RETAIN:
    case RC_CLI_KICK:
        return rc_publish_run(cli);
    case RC_CLI_TOKEN:
        return rc_token_run(cli->argc, cli->argv);
    case RC_CLI_TUNE:
        return command_tune(cli);
    case RC_CLI_VERSION:
        printf(cli->json ? "{\"version\":\"%s\"}\n" : "ringcast %s\n", RC_VERSION);
        return RC_EXIT_OK;
    case RC_CLI_HELP:
        return command_help(cli);
    case RC_CLI_HELP_CONFIG:
        return command_help_config(cli);
    }
    return RC_EXIT_FAILED;
}
