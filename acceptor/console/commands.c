/* commands: see commands.h. */
#include "acceptor/console/commands.h"

#include <string.h>

#include "acceptor/console/cli.h"
#include "common/base/check.h"
#include "common/config/print.h"
#include "version.h"

#define OPTION_CONFIG(text)                                                             \
    {                                                                                   \
        "--config", "-c", "FILE", text, RC_OPTION_TEXT, offsetof(struct rc_cli, config) \
    }
#define OPTION_SOCKET                                                                               \
    {                                                                                               \
        "--socket", NULL, "PATH", "the control socket of the broker that is meant", RC_OPTION_TEXT, \
            offsetof(struct rc_cli, socket)                                                         \
    }
#define OPTION_JSON                                                                                     \
    {                                                                                                   \
        "--json", NULL, NULL, "an answer for programs", RC_OPTION_SWITCH, offsetof(struct rc_cli, json) \
    }
#define OPTION_EXPLAIN(word, value, text)             \
    {                                                 \
        word, NULL, value, text, RC_OPTION_EXPLAIN, 0 \
    }

/* Of a program that goes on in the process of another one (acceptor/upgrade/resume.h). */
#define OPTION_HIDDEN(word, member)                                                         \
    {                                                                                       \
        word, NULL, "TEXT", "of an upgrade", RC_OPTION_OWN, offsetof(struct rc_cli, member) \
    }
#define OPTION_STATE OPTION_HIDDEN("--state-fd", state_fd)

#define WHICH_CONFIG "the configuration file"
#define WHICH_BROKER "the broker that runs with this file"
#define ASKS "Without --config and --socket the one broker of this machine is asked; if several run, they are listed."

const struct rc_command rc_commands[RC_CLI_COMMANDS] = {
    [RC_CLI_RUN] =
        {.name = "run",
         .summary = "start the broker in the foreground",
         .details =
             "SIGTERM and SIGINT send the clients away and end it, SIGHUP reads the file again. Without a file every key has its "
             "default. `run` may be left out.",
         .failed = "the broker could not be started, or gave up",
         .options = {OPTION_CONFIG(WHICH_CONFIG), OPTION_STATE, OPTION_HIDDEN("--fallback-fd", fallback_fd),
                     OPTION_HIDDEN("--refused", refused)}},
    [RC_CLI_CHECK] =
        {.name = "check",
         .summary = "check a configuration file, or explain what it does with an event",
         .details =
             "Every error is told with its line and column, then what is allowed but probably not meant. With --explain-event: "
             "which [[event]] row would take the event, and what would come of it.",
         .example = "ringcast check chat.toml\n"
                    "ringcast check chat.toml --explain-event say --as user:42 --args '[{\"text\":\"hello\"}]'\n",
         .failed = "with --explain-event: nothing would be done with it",
         .options = {{NULL, NULL, "FILE", WHICH_CONFIG, RC_OPTION_TEXT, offsetof(struct rc_cli, config)},
                     OPTION_CONFIG("the same"),
                     OPTION_EXPLAIN("--explain-event", "NAME", "the event"),
                     OPTION_EXPLAIN("--as", "WHO",
                                    "who sends it: anonymous, user:42 or 'user:42 {\"tier\":\"premium\"}'"),
                     OPTION_EXPLAIN("--args", "JSON", "its arguments, an array"),
                     OPTION_EXPLAIN("--nsp", "NAME", "its namespace"),
                     OPTION_EXPLAIN("--in", "ROOM", "a room that the client is in; up to 16 times"),
                     OPTION_EXPLAIN("--from", "SIDE", "client, or server for a server's event"),
                     OPTION_EXPLAIN("--auth", "JSON", "the payload of its connection, an object"),
                     OPTION_EXPLAIN("--client", "JSON", "what rows have set, an object"),
                     OPTION_EXPLAIN("--query", "JSON", "its query, an object"),
                     OPTION_EXPLAIN("--header", "JSON", "its headers, an object"),
                     OPTION_EXPLAIN("--cookie", "JSON", "its cookies, an object"),
                     OPTION_JSON}},
    [RC_CLI_STATUS] =
        {.name = "status",
         .summary = "processes, listeners and connections of the running broker",
         .details = "With --watch a broker that does not answer is asked again for a minute, as `top` does. " ASKS,
         .failed = "there is no broker to ask, or it does not answer",
         .options = {{"--watch", NULL, NULL, "again every second, until it is interrupted", RC_OPTION_SWITCH,
                      offsetof(struct rc_cli, watch)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_RELOAD] = {.name = "reload",
                       .summary = "read the configuration file again (as SIGHUP does)",
                       .details = "A file that is wrong changes nothing. " ASKS,
                       .failed = "the file is wrong, or there is no broker to ask",
                       .options = {OPTION_JSON, OPTION_CONFIG(WHICH_BROKER), OPTION_SOCKET}},
    [RC_CLI_HANDOVER] =
        {.name = "handover",
         .summary = "hand workers over to new processes of the same build; their clients stay",
         .details =
             "WORKER is a number, or all: one after the other. Who cannot go on in another process ends: clients of TLS "
             "1.2 are told to come again. A worker that cannot be handed over goes on. " ASKS,
         .failed = "a worker was not handed over, and goes on; or there is no broker to ask",
         .options = {{NULL, NULL, "WORKER", "which one; all if it is left out", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, worker)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_WORKERS] =
        {.name = "workers",
         .summary = "show the workers, or change how many there are; clients stay",
         .details =
             "With N: workers are started, or those with the highest numbers move their connections to the others and end, "
             "server.max_workers at the most. What cannot be moved keeps its worker until it ends, which the answer tells; "
             "--drain sends it away instead. " ASKS,
         .failed =
             "there are not so many places, or it is not done yet, as the answer says; or there is no broker to ask",
         .options = {{NULL, NULL, "N", "how many there are to be; without it they are shown", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, worker)},
                     {"--drain", NULL, NULL, "send away who cannot be moved (code 1012)", RC_OPTION_SWITCH,
                      offsetof(struct rc_cli, drain)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_UPGRADE] =
        {.name = "upgrade",
         .summary = "go over to other programs, acceptor, relay and workers; clients stay",
         .details =
             "First the new program says, part by part, whether it can go on from here: what it refuses changes nothing. Then acceptor, relay "
             "and workers are changed, one after the other; the broker keeps its pid. A part that fails goes on as it is, and "
             "the command can be repeated. The other way round it is the same. " ASKS,
         .failed = "it was refused, or is not complete; or there is no broker to ask",
         .options = {{"--binary-dir", NULL, "DIR", "where the new programs are; without it: where this one is",
                      RC_OPTION_TEXT, offsetof(struct rc_cli, binary_dir)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_UPGRADE_CHECK] = {.name = "upgrade-check",
                              .summary = "say whether this program can go on from a running one",
                              .hidden = true,
                              .options = {OPTION_CONFIG(WHICH_CONFIG), OPTION_STATE}},
    [RC_CLI_STOP] = {.name = "stop",
                     .summary = "send the clients away and end (as SIGTERM does)",
                     .details = "It waits until the broker has ended. " ASKS,
                     .failed = "there is no broker to ask, or it does not answer",
                     .options = {{"--now", NULL, NULL, "without waiting for the clients", RC_OPTION_SWITCH,
                                  offsetof(struct rc_cli, now)},
                                 OPTION_JSON,
                                 OPTION_CONFIG(WHICH_BROKER),
                                 OPTION_SOCKET}},
    [RC_CLI_CLIENTS] = {.name = "clients",
                        .summary = "who is connected",
                        .details = "Each filter that is given must fit. " ASKS,
                        .example = "ringcast clients --user 42 --channels\n"
                                   "ringcast clients --by user --limit 10\n"
                                   "ringcast clients --behind 100000\n"
                                   "ringcast clients --closed --user 42\n",
                        .failed = "there is no broker to ask, or it refuses",
                        .options = {{"--user", NULL, "ID", "connections of this user", RC_OPTION_TEXT,
                                     offsetof(struct rc_cli, user)},
                                    {"--channel", NULL, "NAME", "who is in this channel",
                                     RC_OPTION_TEXT, offsetof(struct rc_cli, channel)},
                                    {"--address", NULL, "ADDRESS", "an address, or a range such as 192.0.2.0/24",
                                     RC_OPTION_TEXT, offsetof(struct rc_cli, address)},
                                    {"--protocol", NULL, "NAME", "json, binary, raw, engineio, socketio, sse, ...",
                                     RC_OPTION_TEXT, offsetof(struct rc_cli, protocol)},
                                    {"--behind", NULL, "BYTES", "who is so many bytes behind, the furthest first",
                                     RC_OPTION_TEXT, offsetof(struct rc_cli, behind)},
                                    {"--by", NULL, "WHAT",
                                     "how many of each user, address, protocol, worker or transport, the most first; "
                                     "with --closed also code or reason",
                                     RC_OPTION_TEXT, offsetof(struct rc_cli, by)},
                                    {"--closed", NULL, NULL, "who has ended lately, and why", RC_OPTION_SWITCH,
                                     offsetof(struct rc_cli, closed)},
                                    {"--channels", NULL, NULL, "with the names of their channels", RC_OPTION_SWITCH,
                                     offsetof(struct rc_cli, names)},
                                    {"--limit", NULL, "N", "so many at the most; 100 unless given", RC_OPTION_TEXT,
                                     offsetof(struct rc_cli, limit)},
                                    OPTION_JSON,
                                    OPTION_CONFIG(WHICH_BROKER),
                                    OPTION_SOCKET}},
    [RC_CLI_CHANNELS] =
        {.name = "channels",
         .summary = "the channels that have subscribers, or the hottest of them",
         .details = "Without --sort: by name, of all instances. Rates are those of the last ten seconds or so. " ASKS,
         .example = "ringcast channels --sort rate --limit 10\n",
         .failed = "there is no broker to ask, or it refuses",
         .options = {{"--sort", NULL, "WHAT",
                      "name, rate, subscribers, bytes (that go out) or memory; the largest first", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, sort)},
                     {"--prefix", NULL, "TEXT", "whose names begin so", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, prefix)},
                     {"--limit", NULL, "N", "so many at the most; 100 unless given", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, limit)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_TOP] =
        {.name = "top",
         .summary = "the broker live: processes, rates, latencies, hottest channels, clients furthest behind, closes",
         .details =
             "It fills the terminal and goes on until it is interrupted, also over a restart of the broker: while that does not answer, "
             "for a minute at the most, the last picture stays and its first line says why. With --json that is on standard error. " ASKS,
         .failed = "there is no broker to ask, or it has not answered for a minute",
         .options = {{"--interval", NULL, "SECONDS", "between two pictures; 2 unless given", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, interval)},
                     {"--once", NULL, NULL, "one picture, without clearing the terminal", RC_OPTION_SWITCH,
                      offsetof(struct rc_cli, once)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_MEMORY] =
        {.name = "memory",
         .summary = "why memory grows: who holds it, what grows, and the clients and channels behind it",
         .details =
             "It looks twice, --interval apart: what grows most comes first, with the command that names who it is. Connections by whose "
             "they are: `ringcast clients --by user`. " ASKS,
         .failed = "there is no broker to ask, or it refuses",
         .options = {{"--interval", NULL, "SECONDS", "between the two looks; 2 unless given", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, interval)},
                     {"--limit", NULL, "N", "so many clients and channels; 5 unless given", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, limit)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_TRACE] =
        {.name = "trace",
         .summary = "follow messages from socket to socket, live, and see why somebody does not get them",
         .details =
             "By --channel and --event: what is published there. By --client or --user: what they send and are to get. By "
             "both: what becomes of each message of the channel for this client. One trace runs at a time; without one "
             "nothing is measured. " ASKS,
         .example = "ringcast trace --user 42 --channel room:1\n"
                    "ringcast trace --channel room:1 --seconds 10\n",
         .failed = "there is no broker to ask, another trace runs, or the client is not there",
         .options = {{"--client", NULL, "ID", "this client", RC_OPTION_TEXT, offsetof(struct rc_cli, client)},
                     {"--user", NULL, "ID", "connections of this user", RC_OPTION_TEXT, offsetof(struct rc_cli, user)},
                     {"--channel", NULL, "NAME", "messages of this channel", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, channel)},
                     {"--event", NULL, "NAME", "messages that are called so", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, event)},
                     {"--seconds", NULL, "N", "end after so many; until it is interrupted unless given", RC_OPTION_TEXT,
                      offsetof(struct rc_cli, seconds)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_POSTMORTEM] =
        {.name = "postmortem",
         .summary = "the last log lines and ended clients of every process, also of those that died",
         .details =
             "They lie in shared memory, which outlives a worker or the relay, and are there also when the log has lost "
             "lines. " ASKS,
         .failed = "there is no broker to ask, or it does not answer",
         .options = {OPTION_JSON, OPTION_CONFIG(WHICH_BROKER), OPTION_SOCKET}},
    [RC_CLI_PUB] = {.name = "pub",
                    .summary = "publish a message",
                    .details = "CHANNEL '*' is everybody who is connected. Rules for clients do not hold. " ASKS,
                    .example = "ringcast pub room:1 '{\"text\":\"hello\"}'\n"
                               "ringcast pub '*' 'back in five minutes' --event notice\n"
                               "ringcast pub room:1 --lines <messages.ndjson\n",
                    .failed = "there is no broker to ask, or it refuses",
                    .options = {{NULL, NULL, "CHANNEL", "where to", RC_OPTION_NEEDED, offsetof(struct rc_cli, whom)},
                                {NULL, NULL, "DATA", "the message: JSON, or text; standard input if it is left out",
                                 RC_OPTION_TEXT, offsetof(struct rc_cli, data)},
                                {"--lines", NULL, NULL, "each line of standard input is a message", RC_OPTION_SWITCH,
                                 offsetof(struct rc_cli, lines)},
                                {"--event", NULL, "NAME", "what it is called", RC_OPTION_TEXT,
                                 offsetof(struct rc_cli, event)},
                                {"--key", NULL, "KEY", "its key, where the namespace throttles or conflates",
                                 RC_OPTION_TEXT, offsetof(struct rc_cli, key)},
                                {"--retain", NULL, NULL, "it is the channel's retained value from then on",
                                 RC_OPTION_SWITCH, offsetof(struct rc_cli, retain)},
                                OPTION_JSON,
                                OPTION_CONFIG(WHICH_BROKER),
                                OPTION_SOCKET}},
    [RC_CLI_SUB] = {.name = "sub",
                    .summary = "show what is published in a channel, until it is interrupted",
                    .details = "Broadcasts are shown as well. Rules for clients do not hold. " ASKS,
                    .example = "ringcast sub room:1\n"
                               "ringcast sub room:1 --retained --count 1 --json\n",
                    .failed = "there is no broker to ask, it refuses, or it has ended the stream",
                    .options = {{NULL, NULL, "CHANNEL", "which one", RC_OPTION_NEEDED, offsetof(struct rc_cli, whom)},
                                {"--count", NULL, "N", "end after so many messages", RC_OPTION_TEXT,
                                 offsetof(struct rc_cli, count)},
                                {"--retained", NULL, NULL, "the retained values first", RC_OPTION_SWITCH,
                                 offsetof(struct rc_cli, retained)},
                                {"--path", NULL, "PATH", "the path of server-sent events; /sse unless given",
                                 RC_OPTION_TEXT, offsetof(struct rc_cli, path)},
                                OPTION_JSON,
                                OPTION_CONFIG(WHICH_BROKER),
                                OPTION_SOCKET}},
    [RC_CLI_DIRECT] = {.name = "direct",
                       .summary = "send a message to one client",
                       .details = ASKS,
                       .example = "ringcast direct \"$CLIENT\" '{\"text\":\"for you alone\"}'\n",
                       .failed = "the client is not there, or there is no broker to ask",
                       .options = {{NULL, NULL, "CLIENT", "its id", RC_OPTION_NEEDED, offsetof(struct rc_cli, whom)},
                                   {NULL, NULL, "DATA", "the message: JSON, or text; standard input if it is left out",
                                    RC_OPTION_TEXT, offsetof(struct rc_cli, data)},
                                   {"--lines", NULL, NULL, "each line of standard input is a message", RC_OPTION_SWITCH,
                                    offsetof(struct rc_cli, lines)},
                                   {"--event", NULL, "NAME", "what it is called", RC_OPTION_TEXT,
                                    offsetof(struct rc_cli, event)},
                                   OPTION_JSON,
                                   OPTION_CONFIG(WHICH_BROKER),
                                   OPTION_SOCKET}},
    [RC_CLI_RETAIN] =
        {.name = "retain",
         .summary = "set or remove the retained value of a channel; nothing is sent",
         .details = ASKS,
         .example = "ringcast retain prices:BTC '{\"price\":97000}'\n"
                    "ringcast retain prices:BTC --delete\n",
         .failed = "there is no broker to ask, or it refuses",
         .options = {{NULL, NULL, "CHANNEL", "whose", RC_OPTION_NEEDED, offsetof(struct rc_cli, whom)},
                     {NULL, NULL, "DATA", "the message: JSON, or text; standard input if it is left out",
                      RC_OPTION_TEXT, offsetof(struct rc_cli, data)},
                     {"--delete", NULL, NULL, "remove it", RC_OPTION_SWITCH, offsetof(struct rc_cli, remove)},
                     {"--event", NULL, "NAME", "what it is called", RC_OPTION_TEXT, offsetof(struct rc_cli, event)},
                     {"--key", NULL, "KEY", "its key", RC_OPTION_TEXT, offsetof(struct rc_cli, key)},
                     OPTION_JSON,
                     OPTION_CONFIG(WHICH_BROKER),
                     OPTION_SOCKET}},
    [RC_CLI_KICK] = {.name = "kick",
                     .summary = "send a client, or all connections of a user, away",
                     .details = "That a user has no connections is no failure: `disconnected 0`. " ASKS,
                     .example = "ringcast kick --user 42 --reason 'signed out'\n"
                                "ringcast kick \"$CLIENT\"\n",
                     .failed = "the client is not there, or there is no broker to ask",
                     .options = {{NULL, NULL, "CLIENT", "its id", RC_OPTION_TEXT, offsetof(struct rc_cli, whom)},
                                 {"--user", NULL, "ID", "all connections of this user", RC_OPTION_TEXT,
                                  offsetof(struct rc_cli, user)},
                                 {"--code", NULL, "N", "the close code: 1000, or 3000 to 4999; 4501 unless given",
                                  RC_OPTION_TEXT, offsetof(struct rc_cli, code)},
                                 {"--reason", NULL, "TEXT", "what they are told", RC_OPTION_TEXT,
                                  offsetof(struct rc_cli, reason)},
                                 OPTION_JSON,
                                 OPTION_CONFIG(WHICH_BROKER),
                                 OPTION_SOCKET}},
    [RC_CLI_TUNE] = {.name = "tune",
                     .summary = "compare this machine with what many connections need; changes nothing",
                     .failed = "something is short",
                     .options = {OPTION_JSON, OPTION_CONFIG("whose workers are looked at")}},
    [RC_CLI_TOKEN] =
        {.name = "token",
         .summary = "make JSON Web Tokens, or see why one is refused",
         .words = "make verify keys --config= --identity= --secret-file= --key= --jwks= --jwks-url= --jwks-ca= "
                  "--jwks-insecure --user= --claim= --ttl= --alg= --kid= --issuer= --audience= --leeway= --json",
         .own_help = true},
    [RC_CLI_VERSION] = {.name = "version",
                        .alias = "--version",
                        .summary = "the version of this program",
                        .options = {OPTION_JSON}},
    [RC_CLI_HELP] = {.name = "help",
                     .alias = "--help",
                     .summary = "what there is, or the page of a command",
                     .options = {{NULL, NULL, "COMMAND", "the command; ringcast COMMAND --help does the same",
                                  RC_OPTION_TEXT, offsetof(struct rc_cli, topic)},
                                 {"--man", NULL, NULL, "write the manual page ringcast(1)", RC_OPTION_SWITCH,
                                  offsetof(struct rc_cli, manual)},
                                 {"--words", NULL, NULL, "write what a shell may complete", RC_OPTION_SWITCH,
                                  offsetof(struct rc_cli, words)},
                                 OPTION_JSON}},
    [RC_CLI_HELP_CONFIG] = {.name = "help-config",
                            .alias = "--help-config",
                            .summary = "every configuration key with its default and meaning",
                            .options = {{"--man", NULL, NULL, "write the manual page ringcast.toml(5)",
                                         RC_OPTION_SWITCH, offsetof(struct rc_cli, manual)},
                                        OPTION_JSON}},
};

static const char exit_codes[] = "Exit codes: 0 well, 1 failed, 2 wrong configuration or wrong usage.";

const struct rc_command *rc_command_find(const char *word)
{
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        if (strcmp(word, rc_commands[i].name) == 0 ||
            (rc_commands[i].alias != NULL && strcmp(word, rc_commands[i].alias) == 0)) {
            return &rc_commands[i];
        }
    }
    return strcmp(word, "-h") == 0   ? &rc_commands[RC_CLI_HELP]
           : strcmp(word, "-V") == 0 ? &rc_commands[RC_CLI_VERSION]
                                     : NULL;
}

/* "--config FILE", as `form` has word and value: bytes written. */
static int option_print(FILE *out, const struct rc_command_option *option)
{
    const int alias = option->alias != NULL ? fprintf(out, "%s, ", option->alias) : 0;
    return alias + fprintf(out, "%s%s%s", option->word != NULL ? option->word : "",
                           option->word != NULL && option->value != NULL ? " " : "",
                           option->value != NULL ? option->value : "");
}

/* Hidden ones are the last. */
static const struct rc_command_option *option_at(const struct rc_command *command, size_t at)
{
    return at < RC_COMMAND_OPTIONS_MAX && command->options[at].help != NULL &&
                   command->options[at].kind != RC_OPTION_OWN
               ? &command->options[at]
               : NULL;
}

/* "ringcast pub CHANNEL [DATA] [OPTION]..." */
static void synopsis_print(FILE *out, const struct rc_command *command)
{
    const struct rc_command_option *option;
    size_t at = 0;
    (void)fprintf(out, "ringcast %s", command->name);
    if (command->words != NULL) {
        (void)fprintf(out, " WORD");
    }
    for (; (option = option_at(command, at)) != NULL && option->word == NULL; at++) {
        (void)fprintf(out, option->kind == RC_OPTION_NEEDED ? " %s" : " [%s]", option->value);
    }
    if (command->own_help || option != NULL) {
        (void)fprintf(out, " [OPTION]...");
    }
}

void rc_commands_list(FILE *out)
{
    (void)fprintf(out, "ringcast: a WebSocket broker\n\n");
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        if (!rc_commands[i].hidden) {
            (void)fprintf(out, "  ringcast %-12s %s\n", rc_commands[i].name, rc_commands[i].summary);
        }
    }
    (void)fprintf(out, "\n`ringcast COMMAND --help` says more of each. Without a command it is `run`.\n");
    (void)fprintf(out, "Without -c FILE run, check and tune use $RINGCAST_CONFIG, or else %s if it is there.\n%s\n",
                  RC_DEFAULT_CONFIG, exit_codes);
}

void rc_command_page(FILE *out, const struct rc_command *command)
{
    const struct rc_command_option *option;
    synopsis_print(out, command);
    (void)fprintf(out, "\n\n");
    rc_config_print_wrapped(out, "", command->summary);
    if (command->details != NULL) {
        (void)fputc('\n', out);
        rc_config_print_wrapped(out, "", command->details);
    }
    for (size_t i = 0; (option = option_at(command, i)) != NULL; i++) {
        (void)fprintf(out, "%s  ", i == 0 ? "\n" : "");
        const int bytes = option_print(out, option);
        (void)fprintf(out, "%*s %s\n", bytes < 24 ? 24 - bytes : 0, "", option->help);
    }
    for (const char *line = command->example; line != NULL && *line != '\0'; line = strchr(line, '\n') + 1) {
        (void)fprintf(out, "%s  %.*s\n", line == command->example ? "\nFor example\n" : "", (int)strcspn(line, "\n"),
                      line);
    }
    (void)fprintf(out, "\nExit codes\n  0  well\n");
    if (command->failed != NULL) {
        (void)fprintf(out, "  1  %s\n", command->failed);
    }
    (void)fprintf(out, "  2  wrong configuration or wrong usage\n");
}

/* ---------------------------------------------------------------------------------------------------------- manual */

static void manual_option(FILE *out, const struct rc_command_option *option)
{
    (void)fprintf(out, ".TP\n");
    if (option->alias != NULL) {
        (void)fprintf(out, "\\fB");
        rc_config_print_troff(out, option->alias);
        (void)fprintf(out, "\\fR, ");
    }
    if (option->word != NULL) {
        (void)fprintf(out, "\\fB");
        rc_config_print_troff(out, option->word);
        (void)fprintf(out, "\\fR%s", option->value != NULL ? " " : "");
    }
    (void)fprintf(out, "\\fI%s\\fR\n", option->value != NULL ? option->value : "");
    rc_config_print_troff(out, option->help);
    (void)fputc('\n', out);
}

static void manual_command(FILE *out, const struct rc_command *command, const char *token)
{
    const struct rc_command_option *option;
    (void)fprintf(out, ".SS \"");
    synopsis_print(out, command);
    (void)fprintf(out, "\"\n");
    rc_config_print_troff(out, command->summary);
    (void)fprintf(out, ".\n");
    if (command->details != NULL) {
        (void)fprintf(out, ".PP\n");
        rc_config_print_troff(out, command->details);
        (void)fputc('\n', out);
    }
    for (size_t i = 0; (option = option_at(command, i)) != NULL; i++) {
        manual_option(out, option);
    }
    if (command->example != NULL) {
        (void)fprintf(out, ".PP\nFor example:\n.PP\n.nf\n");
        rc_config_print_troff(out, command->example);
        (void)fprintf(out, ".fi\n");
    }
    if (command->failed != NULL) {
        (void)fprintf(out, ".PP\nExit code 1: ");
        rc_config_print_troff(out, command->failed);
        (void)fprintf(out, ".\n");
    }
    if (command->own_help) {
        (void)fprintf(out, ".PP\n.nf\n");
        rc_config_print_troff(out, token);
        (void)fprintf(out, ".fi\n");
    }
}

void rc_commands_manual(FILE *out, const char *token)
{
    (void)fprintf(out,
                  ".TH RINGCAST 1 \"\" \"ringcast %s\" \"ringcast\"\n.SH NAME\nringcast \\- a WebSocket broker\n"
                  ".SH SYNOPSIS\n.B ringcast\n[\\fIcommand\\fR] [\\fIoption\\fR]...\n.SH DESCRIPTION\n",
                  RC_VERSION);
    rc_config_print_troff(
        out, "Broadcasts what backends and clients publish to very many clients with WebSockets or Socket.IO. One "
             "supervising process starts the workers, each of which serves a share of the connections, and the relay "
             "between them.");
    (void)fprintf(out, "\n.PP\nWithout a command it is \\fBrun\\fR.\n.SH COMMANDS\n");
    for (size_t i = 0; i < RC_CLI_COMMANDS; i++) {
        if (!rc_commands[i].hidden) {
            manual_command(out, &rc_commands[i], token);
        }
    }
    (void)fprintf(out, ".SH \"EXIT STATUS\"\n");
    rc_config_print_troff(out, exit_codes);
    (void)fprintf(out, "\n.SH ENVIRONMENT\n.TP\n.B RINGCAST_CONFIG\n");
    rc_config_print_troff(out, "The configuration file of run, check and tune, where none is named. ");
    rc_config_print_troff(out, "Variables that win over keys of the file are in ringcast.toml(5).");
    (void)fprintf(out, "\n.SH FILES\n.TP\n.I ");
    rc_config_print_troff(out, RC_DEFAULT_CONFIG);
    (void)fprintf(out, "\nThe configuration file, where none is named.\n.SH \"SEE ALSO\"\n.BR ringcast.toml (5)\n");
}

void rc_command_words(FILE *out, const struct rc_command *command)
{
    const struct rc_command_option *option;
    for (size_t i = 0; command == NULL && i < RC_CLI_COMMANDS; i++) {
        if (!rc_commands[i].hidden) {
            (void)fprintf(out, "%s\n", rc_commands[i].name);
        }
    }
    for (const char *word = command != NULL ? command->words : NULL; word != NULL && *word != '\0';) {
        const size_t bytes = strcspn(word, " ");
        (void)fprintf(out, "%.*s\n", (int)bytes, word);
        word += bytes + strspn(word + bytes, " ");
    }
    for (size_t i = 0; command != NULL && (option = option_at(command, i)) != NULL; i++) {
        if (option->word != NULL) {
            (void)fprintf(out, "%s%s\n", option->word, option->value != NULL ? "=" : "");
        }
    }
    if (command != NULL) {
        (void)fprintf(out, "--help\n");
    }
}
