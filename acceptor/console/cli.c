/*
 * cli: see cli.h.
 */
#include "acceptor/console/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/client.h"
#include "acceptor/console/option.h"
#include "acceptor/console/token.h"
#include "acceptor/start/broker.h"
#include "acceptor/start/settings.h"
#include "acceptor/watch/loop.h"
#include "acceptor/watch/supervisor.h"
#include "acceptor/tune/tune.h"
#include "common/config/print.h"
#include "common/config/log_settings.h"
#include "common/base/log.h"

static const char usage[] =
    "ringcast: a WebSocket broker\n"
    "\n"
    "  ringcast [run] [-c FILE]     start it in the foreground; without FILE every key has its default\n"
    "  ringcast check FILE          check a configuration file: exit code 0 (with warnings perhaps), or 2 with every error\n"
    "  ringcast check FILE --explain-event NAME [--as WHO] [--args JSON] [--nsp NAME] [--in ROOM]... [--json]\n"
    "                               which [[event]] row would take it, and what would come of it; exit code 1: nothing\n"
    "  ringcast status [--json]     processes, listeners and connections of the running broker\n"
    "  ringcast reload              read the configuration file again (as SIGHUP does)\n"
    "  ringcast stop [--now]        send the clients away and end (as SIGTERM does); --now: without waiting\n"
    "  ringcast tune [--json]       compare this machine with what many connections need; changes nothing\n"
    "  ringcast token make|verify|keys   JSON Web Tokens, for tests and to see why one is refused: `ringcast token --help`\n"
    "  ringcast version             the version of this program\n"
    "  ringcast --help-config       every configuration key with its default and meaning\n"
    "\n"
    "status, reload and stop ask the broker that runs with -c FILE, or listens on --socket PATH; without either the one\n"
    "that is running, if it is the only one.\n"
    "tune looks at what the workers of -c FILE need: exit code 1 when something is short.\n"
    "--explain-event: WHO is anonymous, user:42 or 'user:42 {\"tier\":\"premium\"}', JSON the array of arguments; --in names\n"
    "rooms that it is in, --auth, --client, --query, --header and --cookie take objects, --from server is a server's event.\n"
    "Exit codes: 0 well, 1 failed, 2 wrong configuration or wrong usage.\n";

static const struct {
    const char *word;
    enum rc_cli_command command;
} commands[] = {
    {"run", RC_CLI_RUN},
    {"check", RC_CLI_CHECK},
    {"status", RC_CLI_STATUS},
    {"reload", RC_CLI_RELOAD},
    {"stop", RC_CLI_STOP},
    {"tune", RC_CLI_TUNE},
    {"token", RC_CLI_TOKEN},
    {"version", RC_CLI_VERSION},
    {"--version", RC_CLI_VERSION},
    {"-V", RC_CLI_VERSION},
    {"help", RC_CLI_HELP},
    {"--help", RC_CLI_HELP},
    {"-h", RC_CLI_HELP},
    {"--help-config", RC_CLI_HELP_CONFIG},
    {"help-config", RC_CLI_HELP_CONFIG},
};

static int usage_wrong(const char *what, const char *word)
{
    rc_option_wrong("ringcast", "ringcast help", what, word);
    return -EINVAL;
}

/* Options of check --explain-event: "--as WHO" or "--as=WHO". */
static int parse_explain(struct rc_cli *cli, int argc, char **argv, int *at)
{
    char name[32];
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    bool full = false;
    if (strcmp(word, "--json") == 0) {
        cli->explain.json = true;
        return 0;
    }
    const size_t bytes = equals == NULL ? strlen(word) : (size_t)(equals - word);
    if (bytes >= sizeof(name)) {
        return usage_wrong("unknown argument", word);
    }
    memcpy(name, word, bytes);
    name[bytes] = '\0';
    const char *from = NULL;
    const char **place = strcmp(name, "--from") == 0 ? &from : rc_explain_option(&cli->explain, name, &full);
    if (place == NULL) {
        return usage_wrong(full ? "too many rooms" : "unknown argument", word);
    }
    *place = equals != NULL ? equals + 1 : ++*at < argc ? argv[*at] : NULL;
    if (*place == NULL) {
        return usage_wrong("a value is missing after", word);
    }
    cli->explain.server |= from != NULL && strcmp(from, "server") == 0;
    return from == NULL || strcmp(from, "server") == 0 || strcmp(from, "client") == 0
               ? 0
               : usage_wrong("--from is client or server", from);
}

static int parse_option(struct rc_cli *cli, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    const char *value;
    if (strcmp(word, "--json") == 0 && (cli->command == RC_CLI_STATUS || cli->command == RC_CLI_TUNE)) {
        cli->json = true;
        return 0;
    }
    if (cli->command == RC_CLI_CHECK && strncmp(word, "--", 2) == 0 && strncmp(word, "--config", 8) != 0) {
        return parse_explain(cli, argc, argv, at);
    }
    if (strcmp(word, "--now") == 0 && cli->command == RC_CLI_STOP) {
        cli->now = true;
        return 0;
    }
    if ((value = rc_option_value(word, "-c", argc, argv, at)) != NULL ||
        (value = rc_option_value(word, "--config", argc, argv, at)) != NULL) {
        cli->config = value;
    } else if ((value = rc_option_value(word, "--socket", argc, argv, at)) != NULL) {
        cli->socket = value;
    } else if (cli->command == RC_CLI_CHECK && word[0] != '-' && cli->config == NULL) {
        cli->config = value = word;
    } else {
        return usage_wrong("unknown argument", word);
    }
    return value[0] != '\0' ? 0 : usage_wrong("a value is missing after", word);
}

/* Were options given that say something of an event, but no event? */
static bool explains_nothing(const struct rc_explain *explain)
{
    const struct rc_explain none = {.event = explain->event};
    return explain->event == NULL && memcmp(explain, &none, sizeof(none)) != 0;
}

int rc_cli_parse(struct rc_cli *cli, int argc, char **argv)
{
    memset(cli, 0, sizeof(*cli));
    cli->command = RC_CLI_RUN;
    int at = 1;
    if (argc > 1) {
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
            if (strcmp(argv[1], commands[i].word) == 0) {
                cli->command = commands[i].command;
                at = 2;
            }
        }
    }
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
    if (cli->command != RC_CLI_CHECK) {
        return 0;
    }
    return cli->config == NULL ? usage_wrong("check needs a FILE", NULL)
           : explains_nothing(&cli->explain)
               ? usage_wrong("--explain-event NAME is missing: the other options are about it", NULL)
               : 0;
}

static void print_errors(const struct rc_config_errors *errors)
{
    for (uint32_t i = 0; i < errors->count && i < RC_CONFIG_ERRORS_MAX; i++) {
        fprintf(stderr, "%s\n", errors->lines[i].text);
    }
    if (errors->count > RC_CONFIG_ERRORS_MAX) {
        fprintf(stderr, "and %u more\n", errors->count - RC_CONFIG_ERRORS_MAX);
    }
}

/* NULL after every error was written to standard error. `files`: those that it names must be usable too. */
static struct rc_settings *settings_load(const char *path, bool quickstart, bool files)
{
    struct rc_config_errors errors = {0};
    struct rc_settings *settings = rc_settings_new(path, quickstart);
    if (settings == NULL) {
        fprintf(stderr, "ringcast: no memory for the configuration\n");
        return NULL;
    }
    if (rc_settings_load(settings, &errors) != 0 ||
        (files && rc_settings_check_files(settings, &settings->config, &settings->files, &errors) != 0)) {
        print_errors(&errors);
        rc_settings_free(settings);
        return NULL;
    }
    return settings;
}

static int command_run(const struct rc_cli *cli)
{
    const char *quickstart = getenv("RINGCAST_QUICKSTART");
    struct rc_settings *settings = settings_load(cli->config, quickstart != NULL && strcmp(quickstart, "1") == 0, true);
    if (settings == NULL) {
        return RC_EXIT_CONFIG;
    }
    rc_log_never_wait();
    rc_log_open("acceptor", -1, (enum rc_log_level)settings->config.log.level,
                (enum rc_log_format)settings->config.log.format);
    rc_log_settings_apply(&settings->config.log);
    const int exit_code = rc_acceptor_run(settings);
    rc_settings_free(settings);
    return exit_code;
}

static int command_explain(const struct rc_cli *cli, const struct rc_settings *settings)
{
    switch (rc_explain_run(&cli->explain, cli->config, &settings->config, stdout)) {
    case RC_EXPLAINED_DONE:
        return RC_EXIT_OK;
    case RC_EXPLAINED_REFUSED:
        return RC_EXIT_FAILED;
    case RC_EXPLAINED_WRONG:
        break;
    }
    return RC_EXIT_CONFIG;
}

static int command_check(const struct rc_cli *cli)
{
    struct rc_settings *settings = settings_load(cli->config, false, true);
    if (settings == NULL) {
        return RC_EXIT_CONFIG;
    }
    if (cli->explain.event != NULL) {
        const int exit_code = command_explain(cli, settings);
        rc_settings_free(settings);
        return exit_code;
    }
    struct rc_config_errors warnings = {0};
    struct rc_err err = {{0}};
    rc_settings_warnings(&settings->config, &warnings);
    if (rc_broker_foresee(&settings->config, &err) != 0) {
        rc_config_errors_add(&warnings, "it would not start here, now and by this user: %s", err.text);
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
    struct rc_settings *settings = settings_load(cli->config, false, false);
    if (settings == NULL) {
        return RC_EXIT_CONFIG;
    }
    const bool fine = rc_tune_run(&settings->config, cli->json, stdout);
    rc_settings_free(settings);
    return fine ? RC_EXIT_OK : RC_EXIT_FAILED;
}

static void print_brokers(const struct rc_client_brokers *brokers)
{
    for (unsigned i = 0; i < brokers->count; i++) {
        const struct rc_client_broker *broker = &brokers->items[i];
        if (broker->silent) {
            fprintf(stderr, "  pid %d, which does not answer: --socket %s\n", (int)broker->pid, broker->socket);
        } else {
            fprintf(stderr, "  pid %d, instance %s, %s%s: --socket %s\n", (int)broker->pid, broker->instance,
                    broker->config[0] != '\0' ? "configuration " : "no configuration file", broker->config,
                    broker->socket);
        }
    }
}

/* Why there is not exactly one broker to ask. */
static void print_not_one(const struct rc_client_brokers *brokers, const char *config, unsigned silent)
{
    if (brokers->count > 1) {
        fprintf(stderr, "ringcast: %u brokers are running%s%s; name one with %s--socket PATH:\n", brokers->count,
                config != NULL ? " with " : "", config != NULL ? config : "", config != NULL ? "" : "-c FILE or ");
        print_brokers(brokers);
        return;
    }
    fprintf(stderr, "ringcast: no running broker found%s%s: start one, or name its socket with --socket PATH\n",
            config != NULL ? " that runs with " : "", config != NULL ? config : "");
    if (silent > 0) {
        fprintf(stderr, "ringcast: %u that may be it did not answer\n", silent);
    }
    if (brokers->foreign > 0) {
        fprintf(stderr, "ringcast: a broker of another user is running: ask as that user or as root\n");
    }
}

/* The one broker that is meant: that of `file` (NULL = whichever runs). Never another one instead. False after lines on standard
 * error. */
static bool find_socket(const char *file, char socket[sizeof(((struct sockaddr_un *)0)->sun_path)])
{
    char real[PATH_MAX];
    unsigned silent = 0;
    const char *config = file == NULL ? NULL : realpath(file, real);
    if (file != NULL && config == NULL) {
        fprintf(stderr, "ringcast: %s: %s\n", file, strerror(errno));
        return false;
    }
    struct rc_client_brokers *brokers = malloc(sizeof(*brokers));
    if (brokers == NULL) {
        fprintf(stderr, "ringcast: no memory to look for brokers\n");
        return false;
    }
    rc_client_find(brokers, config, &silent);
    const bool one = brokers->count == 1;
    if (one) {
        memcpy(socket, brokers->items[0].socket, sizeof(brokers->items[0].socket));
    } else {
        print_not_one(brokers, file, silent);
    }
    free(brokers);
    return one;
}

static int command_ask(const struct rc_cli *cli, const char *request)
{
    struct rc_err err = {{0}};
    char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *path = cli->socket;
    if (path == NULL && cli->config != NULL) {
        struct rc_settings *settings = settings_load(cli->config, false, false);
        if (settings == NULL) {
            return RC_EXIT_CONFIG;
        }
        const char *named = settings->config.server.control_socket.text;
        if (named[0] != '\0' && (size_t)snprintf(socket, sizeof(socket), "%s", named) < sizeof(socket)) {
            path = socket;
        }
        rc_settings_free(settings);
    }
    if (path == NULL) {
        if (!find_socket(cli->config, socket)) {
            return RC_EXIT_FAILED;
        }
        path = socket;
    }
    const int rc = rc_client_ask(path, request, stdout, &err);
    if (rc < 0 && rc != -EBADMSG) {
        fprintf(stderr, "ringcast: %s\n", err.text);
    }
    return rc < 0 ? RC_EXIT_FAILED : RC_EXIT_OK;
}

int rc_cli_run(const struct rc_cli *cli)
{
    switch (cli->command) {
    case RC_CLI_RUN:
        return command_run(cli);
    case RC_CLI_CHECK:
        return command_check(cli);
    case RC_CLI_STATUS:
        return command_ask(cli, cli->json ? "status json" : "status");
    case RC_CLI_RELOAD:
        return command_ask(cli, "reload");
    case RC_CLI_STOP:
        return command_ask(cli, cli->now ? "stop now" : "stop");
    case RC_CLI_TOKEN:
        return rc_token_run(cli->argc, cli->argv);
    case RC_CLI_TUNE:
        return command_tune(cli);
    case RC_CLI_VERSION:
        printf("ringcast %s\n", RC_VERSION);
        return RC_EXIT_OK;
    case RC_CLI_HELP:
        fputs(usage, stdout);
        return RC_EXIT_OK;
    case RC_CLI_HELP_CONFIG:
        rc_config_print_help(stdout);
        return RC_EXIT_OK;
    }
    return RC_EXIT_FAILED;
}
