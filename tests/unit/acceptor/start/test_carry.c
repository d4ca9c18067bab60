/* acceptor/start/carry: the configuration in force, made again from its texts by a program of another build. */
#include <errno.h>
#include <string.h>

#include "acceptor/start/carry.h"
#include "tests/support/config_file.h"

static struct rc_config_errors errors;
static struct rc_config_errors needs_restart;
static struct rc_files files;

TestSuite(carry, .init = config_file_open, .fini = config_file_close);

static struct rc_settings *loaded(const char *text)
{
    write_file(text);
    struct rc_settings *settings = rc_settings_new(path, false);
    cr_assert(settings != NULL);
    cr_assert_eq(rc_settings_load(settings, &errors), 0, "%s", errors.lines[0].text);
    return settings;
}

static void reload(struct rc_settings *settings, const char *text)
{
    struct rc_config *next = malloc(sizeof(*next));
    write_file(text);
    cr_assert_eq(rc_settings_reload(settings, next, &files, &needs_restart, &errors), 0, "%s", errors.lines[0].text);
    rc_settings_accept(settings, next, needs_restart.count == 0);
    free(next);
}

static void source_copy(struct rc_source *to, const struct rc_source *from)
{
    if (from->text != NULL) {
        cr_assert_eq(rc_source_set(to, from->text, from->bytes), 0);
    }
}

/* Another program, whose file says something else by now, and which is handed what the first one has. */
static struct rc_settings *successor_of(const struct rc_settings *settings, const char *file)
{
    struct rc_settings *next = loaded(file);
    source_copy(&next->source, &settings->source);
    source_copy(&next->base, &settings->base);
    cr_assert_eq(rc_settings_rows(&next->former_rows, &settings->config), 0);
    return next;
}

static void expect_same(struct rc_settings *settings)
{
    struct rc_settings *next = successor_of(settings, "[limits]\nmax_channels = 1234\n");
    cr_assert_eq(rc_settings_carry(next, settings->config.server.instance_id.text, &errors), 0, "%s",
                 errors.lines[0].text);
    cr_expect_eq(memcmp(&next->config, &settings->config, sizeof(next->config)), 0, "to the byte");
    rc_settings_free(next);
}

#define ROWS                                                                              \
    "[[namespace]]\nname = \"news\"\npublish = \"none\"\n[[endpoint]]\npath = \"/raw\"\n" \
    "protocol = \"raw\"\njoin = [\"news:1\"]\n"

Test(carry, what_is_in_force_is_as_the_former_program_had_it)
{
    struct rc_settings *settings = loaded("[limits]\nmax_channels = 7\n" ROWS);
    expect_same(settings);
    reload(settings, "[limits]\nmax_channels = 8\n[log]\nlevel = \"warn\"\n" ROWS);
    cr_expect_null(settings->base.text, "one text says all");
    expect_same(settings);
    rc_settings_free(settings);
}

Test(carry, what_waits_for_a_restart_waits_on)
{
    struct rc_settings *settings = loaded("[server]\nworkers = 2\nring_size = \"8MiB\"\n" ROWS);
    reload(settings, "[server]\nworkers = 3\n[limits]\nmax_channels = 9\n" ROWS);
    cr_assert_eq(needs_restart.count, 2u);
    cr_expect_eq(settings->config.server.workers, 2u);
    expect_same(settings);
    /* And once more: what only a restart changes is still that of the beginning. */
    reload(settings, "[server]\nworkers = 5\n[limits]\nmax_channels = 11\n" ROWS);
    cr_expect_eq(settings->config.server.workers, 2u);
    cr_expect_eq(settings->config.limits.max_channels, 11u);
    expect_same(settings);
    reload(settings, "[server]\nworkers = 2\nring_size = \"8MiB\"\n[limits]\nmax_channels = 12\n" ROWS);
    cr_expect_null(settings->base.text, "the file says what is in force again");
    expect_same(settings);
    rc_settings_free(settings);
}

Test(carry, names_of_another_build_are_passed_over_and_wrong_values_refused)
{
    struct rc_settings *settings = loaded("");
    struct rc_settings *next = successor_of(settings, "");
    static const char more[] = "[server]\nunheard_of = 3\n[limits]\nmax_channels = 5\n";
    cr_assert_eq(rc_source_set(&next->source, more, sizeof(more) - 1), 0);
    cr_assert_eq(rc_settings_carry(next, "a", &errors), 0, "%s", errors.lines[0].text);
    cr_expect_eq(next->config.limits.max_channels, 5u);
    cr_expect_str_eq(next->config.server.instance_id.text, "a", "no other one is made up");
    static const char wrong[] = "[limits]\nmax_channels = \"many\"\n";
    cr_assert_eq(rc_source_set(&next->source, wrong, sizeof(wrong) - 1), 0);
    cr_assert_eq(rc_settings_carry(next, "a", &errors), -EINVAL);
    cr_expect_not_null(strstr(errors.lines[0].text, "limits.max_channels"), "%s", errors.lines[0].text);
    rc_settings_free(next);
    rc_settings_free(settings);
}

Test(carry, rows_that_would_be_others_are_refused)
{
    struct rc_settings *settings = loaded(ROWS);
    static const struct {
        const char *rows;
        const char *says; /* NULL: it is well */
    } cases[] = {{"namespace 2 default news\nendpoint 1\n", NULL},
                 {"namespace 2 default news\nendpoint 1\nnever_heard 0\n", NULL},
                 {"namespace 2 news default\nendpoint 1\n", "[[namespace]] rows in force would be others"},
                 {"endpoint 2\n", "[[endpoint]] rows in force would be others"},
                 {"never_heard 1\n", "[[never_heard]] is in force and unknown to the new version"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rc_settings *next = successor_of(settings, "");
        cr_assert_eq(rc_source_set(&next->former_rows, cases[i].rows, strlen(cases[i].rows)), 0);
        const int rc = rc_settings_carry(next, "a", &errors);
        cr_expect_eq(rc, cases[i].says == NULL ? 0 : -EINVAL, "%s", cases[i].rows);
        cr_expect(cases[i].says == NULL || strstr(errors.lines[0].text, cases[i].says) != NULL, "%s",
                  errors.lines[0].text);
        rc_settings_free(next);
    }
    rc_settings_free(settings);
}
