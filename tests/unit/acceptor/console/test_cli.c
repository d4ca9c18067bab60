/* acceptor/cli: what a person may type. */
#include <errno.h>
#include <stdlib.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "acceptor/console/cli.h"

#define PARSE(cli, ...)                                                                      \
    rc_cli_parse(cli, (int)(sizeof((char *[]){"ringcast", ##__VA_ARGS__}) / sizeof(char *)), \
                 (char *[]){"ringcast", ##__VA_ARGS__, NULL})

static void quiet(void)
{
    (void)unsetenv("RINGCAST_CONFIG");
    (void)setenv("RINGCAST_QUICKSTART", "1", 1); /* nothing of this machine's */
    cr_redirect_stderr();
}

TestSuite(cli, .init = quiet);

Test(cli, nothing_is_run_with_defaults)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli), 0);
    cr_assert_eq(cli.command, RC_CLI_RUN);
    cr_assert_null(cli.config);
}

Test(cli, run_takes_a_file_with_and_without_its_word)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "-c", "a.toml"), 0);
    cr_assert_eq(cli.command, RC_CLI_RUN);
    cr_assert_str_eq(cli.config, "a.toml");
    cr_assert_eq(PARSE(&cli, "run", "--config=b.toml"), 0);
    cr_assert_str_eq(cli.config, "b.toml");
    cr_assert_eq(PARSE(&cli, "run", "--config", "c.toml"), 0);
    cr_assert_str_eq(cli.config, "c.toml");
}

Test(cli, check_needs_one_file)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "check", "a.toml"), 0);
    cr_assert_eq(cli.command, RC_CLI_CHECK);
    cr_assert_str_eq(cli.config, "a.toml");
    cr_assert_eq(PARSE(&cli, "check"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "check", "a", "b"), -EINVAL);
}

Test(cli, check_takes_what_an_event_is_explained_by)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "check", "a.toml", "--explain-event", "say", "--as=user:1", "--in", "r1", "--in", "r2",
                       "--args", "[1]", "--nsp", "/x", "--auth", "{}", "--from", "server", "--json"),
                 0);
    cr_expect_str_eq(cli.config, "a.toml");
    cr_expect_str_eq(cli.explain.event, "say");
    cr_expect_str_eq(cli.explain.as, "user:1");
    cr_expect_str_eq(cli.explain.args, "[1]");
    cr_expect_str_eq(cli.explain.nsp, "/x");
    cr_assert_eq(cli.explain.room_count, 2);
    cr_expect_str_eq(cli.explain.rooms[1], "r2");
    cr_expect(cli.explain.server && cli.json);
    cr_assert_eq(PARSE(&cli, "check", "--explain-event", "say", "a.toml"), 0);
    cr_expect_str_eq(cli.config, "a.toml");
    cr_assert_eq(PARSE(&cli, "check", "--config=b.toml"), 0);
    cr_expect_null(cli.explain.event);
    cr_expect_eq(PARSE(&cli, "check", "a.toml", "--as", "user:1"), -EINVAL, "of no event");
    cr_expect_eq(PARSE(&cli, "check", "a.toml", "--json"), 0);
    cr_expect_eq(PARSE(&cli, "check", "a.toml", "--explain-event", "x", "--asp", "y"), -EINVAL);
    cr_expect_eq(PARSE(&cli, "check", "a.toml", "--explain-event"), -EINVAL);
    cr_expect_eq(PARSE(&cli, "check", "a.toml", "--explain-event", "x", "--from", "nobody"), -EINVAL);
    cr_expect_eq(PARSE(&cli, "check", "a.toml", "--explain-event", "x", "--frobnicate", "x"), -EINVAL);
    cr_expect_eq(PARSE(&cli, "status", "--explain-event", "x"), -EINVAL);
}

Test(cli, options_belong_to_their_commands)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "status", "--json", "--socket", "/x"), 0);
    cr_assert(cli.json);
    cr_assert_str_eq(cli.socket, "/x");
    cr_assert_eq(PARSE(&cli, "stop", "--now"), 0);
    cr_assert(cli.now);
    cr_assert_eq(PARSE(&cli, "tune", "--json", "-c", "a.toml"), 0);
    cr_assert(cli.command == RC_CLI_TUNE && cli.json);
    cr_assert_eq(PARSE(&cli, "stop", "--json"), 0);
    cr_assert_eq(PARSE(&cli, "run", "--json"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "status", "--now"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "reload", "extra"), -EINVAL);
}

Test(cli, missing_values_and_unknown_words_are_refused)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "-c"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "status", "--socket"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "status", "--socket="), -EINVAL);
    cr_assert_eq(PARSE(&cli, "strat"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "--frobnicate"), -EINVAL);
}

Test(cli, help_and_version_have_their_usual_names)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "--help"), 0);
    cr_assert_eq(cli.command, RC_CLI_HELP);
    cr_assert_eq(PARSE(&cli, "-h"), 0);
    cr_assert_eq(cli.command, RC_CLI_HELP);
    cr_assert_eq(PARSE(&cli, "--version"), 0);
    cr_assert_eq(cli.command, RC_CLI_VERSION);
    cr_assert_eq(PARSE(&cli, "--help-config"), 0);
    cr_assert_eq(cli.command, RC_CLI_HELP_CONFIG);
}

Test(cli, each_command_has_its_page)
{
    struct rc_cli cli;
    cr_assert_eq(PARSE(&cli, "stop", "--help"), 0);
    cr_assert(cli.command == RC_CLI_STOP && cli.help);
    cr_assert_eq(PARSE(&cli, "check", "-h"), 0, "without a FILE");
    cr_assert(cli.command == RC_CLI_CHECK && cli.help);
    cr_assert_eq(PARSE(&cli, "help", "tune"), 0);
    cr_assert_str_eq(cli.topic, "tune");
    cr_assert_eq(PARSE(&cli, "help", "--words", "stop"), 0);
    cr_assert(cli.words);
    cr_assert_eq(PARSE(&cli, "help", "frobnicate"), -EINVAL);
    cr_assert_eq(PARSE(&cli, "help", "stop", "tune"), -EINVAL);
}

Test(cli, the_file_may_be_named_by_the_environment)
{
    struct rc_cli cli;
    (void)setenv("RINGCAST_CONFIG", "/tmp/named.toml", 1);
    cr_assert_eq(PARSE(&cli), 0);
    cr_assert_str_eq(cli.config, "/tmp/named.toml");
    cr_assert_eq(PARSE(&cli, "check"), 0);
    cr_assert_str_eq(cli.config, "/tmp/named.toml");
    cr_assert_eq(PARSE(&cli, "tune", "-c", "other.toml"), 0);
    cr_assert_str_eq(cli.config, "other.toml");
    cr_assert_eq(PARSE(&cli, "status"), 0);
    cr_assert_null(cli.config, "the broker that runs is asked, whatever its file");
    (void)setenv("RINGCAST_CONFIG", "", 1);
    cr_assert_eq(PARSE(&cli), 0);
    cr_assert_null(cli.config);
}
