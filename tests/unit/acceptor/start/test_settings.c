/* acceptor/settings: a configuration from all its sources, and a reload of it. */
#include <errno.h>
#include <string.h>

#include "acceptor/start/settings.h"
#include "tests/support/config_file.h"

static struct rc_config_errors errors;
static struct rc_config_errors needs_restart;
static struct rc_files files;

TestSuite(settings, .init = config_file_open, .fini = config_file_close);

static struct rc_settings *loaded(const char *text, bool quickstart)
{
    write_file(text);
    struct rc_settings *settings = rc_settings_new(path, quickstart);
    cr_assert(settings != NULL);
    cr_assert_eq(rc_settings_load(settings, &errors), 0, "%s", errors.lines[0].text);
    return settings;
}

Test(settings, no_file_is_all_defaults)
{
    struct rc_settings *settings = rc_settings_new(NULL, false);
    cr_assert_eq(rc_settings_load(settings, &errors), 0);
    cr_assert_str_eq(settings->config.server.listen.items[0].text, "127.0.0.1:8080");
    cr_assert_neq(settings->config.server.instance_id.text[0], '\0');
    cr_assert_eq(settings->config.http.api_keys.count, 0);
    rc_settings_free(settings);
}

Test(settings, quickstart_makes_up_a_key_unless_one_is_configured)
{
    struct rc_settings *settings = loaded("", true);
    cr_assert_eq(settings->config.http.api_keys.count, 1);
    cr_assert_eq(strlen(settings->config.http.api_keys.items[0].text), RC_SETTINGS_KEY_BYTES - 1);
    rc_settings_free(settings);
    settings = loaded("[http]\napi_keys = [\"0123456789\"]\n", true);
    cr_assert_eq(settings->config.http.api_keys.count, 1);
    cr_assert_str_eq(settings->config.http.api_keys.items[0].text, "0123456789");
    rc_settings_free(settings);
}

Test(settings, every_error_has_its_line)
{
    write_file("[server]\nworkers = 0\nlissten = []\n[limits]\nping_interval = 25\n");
    struct rc_settings *settings = rc_settings_new(path, false);
    cr_assert_eq(rc_settings_load(settings, &errors), -EINVAL);
    cr_assert_eq(errors.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(strncmp(errors.lines[i].text, path, strlen(path)), 0, "%s", errors.lines[i].text);
    }
    rc_settings_free(settings);
}

Test(settings, missing_file_is_an_error)
{
    struct rc_settings *settings = rc_settings_new("/nonexistent.toml", false);
    cr_assert_lt(rc_settings_load(settings, &errors), 0);
    cr_assert_eq(errors.count, 1);
    rc_settings_free(settings);
}

Test(settings, reload_takes_what_may_change_and_names_what_may_not)
{
    struct rc_settings *settings = loaded("[limits]\nping_interval = \"25s\"\n", true);
    struct rc_config *next = malloc(sizeof(*next));
    char names[512];
    write_file("[server]\nworkers = 3\n[limits]\nping_interval = \"10s\"\n[[namespace]]\nname = \"a\"\n");
    cr_assert_eq(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0, "%s", errors.lines[0].text);
    cr_assert_eq(next->limits.ping_interval_ms, 10000);
    cr_assert_eq(next->server.workers, settings->config.server.workers);
    cr_assert_eq(needs_restart.count, 1);
    cr_assert(strstr(needs_restart.lines[0].text, "server.workers") != NULL, "%s", needs_restart.lines[0].text);
    cr_assert_eq(rc_settings_changed(&settings->config, next, names, sizeof(names)), 2, "%s", names);
    cr_assert_str_eq(names, "[[namespace]], limits.ping_interval");
    /* What was made up at start stays. */
    cr_assert_str_eq(next->server.instance_id.text, settings->config.server.instance_id.text);
    cr_assert_str_eq(next->http.api_keys.items[0].text, settings->quickstart_key);
    free(next);
    rc_settings_free(settings);
}

/* What only the arena shows, and no key. */
Test(settings, a_reload_takes_what_an_event_says)
{
    struct rc_settings *settings = loaded("[socketio]\n[[event]]\non = \"a\"\nack = [1]\n", true);
    struct rc_config *next = malloc(sizeof(*next));
    char names[512];
    write_file("[socketio]\n[[event]]\non = \"a\"\nack = [2]\n");
    cr_assert_eq(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0, "%s", errors.lines[0].text);
    cr_assert_eq(rc_settings_changed(&settings->config, next, names, sizeof(names)), 1, "%s", names);
    cr_expect_str_eq(names, "[[event]]");
    free(next);
    rc_settings_free(settings);
}

Test(settings, reload_of_the_same_file_changes_nothing)
{
    struct rc_settings *settings = loaded("[server]\nlisten = [\"0.0.0.0:9000\"]\n", false);
    struct rc_config *next = malloc(sizeof(*next));
    char names[512];
    cr_assert_eq(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0);
    cr_assert_eq(needs_restart.count, 0);
    cr_assert_eq(rc_settings_changed(&settings->config, next, names, sizeof(names)), 0, "%s", names);
    cr_assert_str_eq(names, "");
    free(next);
    rc_settings_free(settings);
}

Test(settings, permissions_follow_the_listeners_that_stay)
{
    struct rc_settings *settings = loaded("[server]\nlisten = [\"0.0.0.0:9000\"]\n", false);
    struct rc_config *next = malloc(sizeof(*next));
    cr_assert_eq(settings->config.permissions.broadcast, RC_WHO_NONE);
    /* Private only after a restart: until then other hosts can still reach the old listener. */
    write_file("[server]\nlisten = [\"127.0.0.1:9000\"]\n");
    cr_assert_eq(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0);
    cr_assert_eq(needs_restart.count, 1);
    cr_assert_eq(next->permissions.broadcast, RC_WHO_NONE);
    free(next);
    rc_settings_free(settings);
}

Test(settings, wrong_file_is_refused_also_in_what_needs_a_restart)
{
    struct rc_settings *settings = loaded("", false);
    struct rc_config *next = malloc(sizeof(*next));
    write_file("[server]\nring_size = \"64KiB\"\n"); /* too small for limits.max_message_size */
    cr_assert_lt(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0);
    cr_assert_eq(errors.count, 1);
    free(next);
    rc_settings_free(settings);
}

Test(settings, names_are_cut_not_overrun)
{
    struct rc_settings *settings = loaded("", false);
    struct rc_config *next = malloc(sizeof(*next));
    char names[16];
    write_file("[limits]\nping_interval = \"10s\"\npong_timeout = \"11s\"\nidle_timeout = \"12s\"\n");
    cr_assert_eq(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0);
    cr_assert_eq(rc_settings_changed(&settings->config, next, names, sizeof(names)), 3);
    cr_assert_eq(strlen(names), sizeof(names) - 1);
    free(next);
    rc_settings_free(settings);
}

Test(settings, a_user_that_does_not_exist_is_refused_at_the_start_and_at_a_reload)
{
    struct rc_settings *settings = loaded("", false);
    cr_assert_eq(rc_settings_check_files(settings, &settings->config, &settings->files, &errors), 0);
    struct rc_config *next = malloc(sizeof(*next));
    write_file("[server]\nuser = \"no-such-user\"\n");
    cr_assert_lt(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0);
    cr_assert_eq(errors.count, 1);
    cr_expect(strstr(errors.lines[0].text, "there is no user \"no-such-user\"") != NULL, "%s", errors.lines[0].text);
    free(next);
    rc_settings_free(settings);
    settings = loaded("[server]\nuser = \"no-such-user\"\n", false);
    cr_assert_eq(rc_settings_check_files(settings, &settings->config, &settings->files, &errors), -ENOENT);
    cr_assert_eq(errors.count, 1);
    rc_settings_free(settings);
}

Test(settings, warnings_name_what_has_no_effect_and_variables_that_set_nothing)
{
    struct rc_config_errors warnings = {0};
    struct rc_settings *settings = loaded(
        "[limits]\nhistory_memory = \"0B\"\n[[namespace]]\nname = \"a\"\nhistory = 5\n[[namespace]]\nname = \"b\"\n",
        false);
    rc_settings_warnings(&settings->config, &files, &warnings);
    cr_assert_eq(warnings.count, 1);
    cr_expect(strstr(warnings.lines[0].text, "a: history has no effect") != NULL, "%s", warnings.lines[0].text);
    setenv("RINGCAST_CONFUSED", "x", 1);
    rc_settings_warnings(&settings->config, &files, &warnings);
    cr_assert_eq(warnings.count, 3);
    cr_expect(strstr(warnings.lines[1].text, "RINGCAST_CONFUSED is not known") != NULL, "%s", warnings.lines[1].text);
    rc_settings_free(settings);
}

Test(settings, what_has_no_effect_is_named)
{
    static struct rc_config config;
    struct rc_config_errors warnings = {0};
    rc_config_defaults(&config);
    config.socketio.adapter = RC_ADAPTER_CLASSIC;
    rc_settings_warnings(&config, &files, &warnings);
    cr_assert_eq(warnings.count, 1);
    cr_expect_str_eq(warnings.lines[0].text, "socketio.adapter has no effect without redis.url");
    config.event_count = 1;
    rc_settings_warnings(&config, &files, &warnings);
    cr_assert_eq(warnings.count, 3);
    cr_expect_not_null(strstr(warnings.lines[2].text, "[[event]] tables have no effect without [socketio]"));
}

Test(settings, secrets_of_the_examples_are_named)
{
    struct rc_config_errors warnings = {0};
    struct rc_settings *settings = loaded(
        "[http]\napi_keys = [\"of-my-own\", \"change-me-key\"]\n[redis]\nurl = \"redis://127.0.0.1\"\n"
        "[[backend]]\nname = \"a\"\nurl = [\"http://127.0.0.1:1/\"]\nsecrets = [\"change-me-shared\"]\n"
        "[[identity]]\nfrom = [\"auth.token\"]\nsecret = \"change-me-at-least-32-bytes-of-randomness\"\n"
        "[[identity]]\nkind = \"session\"\nfrom = [\"cookie.sid\"]\nsecrets = [\"changed-already\", \"change-me-session\"]\n",
        false);
    rc_settings_warnings(&settings->config, &files, &warnings);
    cr_assert_eq(warnings.count, 4);
    const char *const keys[] = {
        "http.api_keys: ", "[[identity]] secret: ", "[[identity]] secrets: ", "[[backend]] secrets: "};
    for (uint32_t i = 0; i < warnings.count; i++) {
        cr_expect_eq(strncmp(warnings.lines[i].text, keys[i], strlen(keys[i])), 0, "%s", warnings.lines[i].text);
        cr_expect_null(strstr(warnings.lines[i].text, "of-randomness"), "a secret is not told");
    }
    rc_settings_free(settings);
}

Test(settings, a_certificate_is_warned_of_two_weeks_before)
{
    const struct {
        int64_t left_s;
        const char *text;
        bool soon;
    } cases[] = {
        {90 * 86400, "expires in 90 days", false},
        {14 * 86400, "expires in 14 days", false},
        {14 * 86400 - 1, "expires in 13 days", true},
        {2 * 86400 - 1, "expires in 47 hours", true},
        {1, "expires in 0 hours", true},
        {0, "expired 0 hours ago", true},
        {-3 * 86400, "expired 3 days ago", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        cr_assert_eq(rc_settings_expiry_format(text, sizeof(text), 1796000000 + cases[i].left_s, 1796000000),
                     cases[i].soon, "%s", cases[i].text);
        cr_assert_str_eq(text, cases[i].text);
    }
}
