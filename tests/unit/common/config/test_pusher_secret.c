/* Where an app's secret comes from. */
#include "common/config/pusher_secret.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rc_config_pusher_app app;
static struct rc_err err;

static void begin(void)
{
    memset(&app, 0, sizeof(app));
    (void)unsetenv("PUSHER_APP_SECRET");
}

TestSuite(pusher_secret, .init = begin);

static void put(struct rc_config_text *to, const char *text)
{
    (void)snprintf(to->text, sizeof(to->text), "%s", text);
}

Test(pusher_secret, table_environment_or_none)
{
    put(&app.secret, "of-the-table");
    cr_assert_eq(rc_pusher_secret_load(&app, &err), 0);
    cr_assert_str_eq(app.secret.text, "of-the-table");
    begin();
    cr_assert_lt(rc_pusher_secret_load(&app, &err), 0);
    cr_assert(strstr(err.text, "PUSHER_APP_SECRET") != NULL, "%s", err.text);
    cr_assert_eq(setenv("PUSHER_APP_SECRET", "of-the-environment", 1), 0);
    cr_assert_eq(rc_pusher_secret_load(&app, &err), 0);
    cr_assert_str_eq(app.secret.text, "of-the-environment");
}

Test(pusher_secret, a_file_without_its_last_line_breaks)
{
    char path[] = "/tmp/rc-pusher-XXXXXX";
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "of-the-file\r\n\n", 14), 14);
    (void)close(fd);
    put(&app.secret_file, path);
    cr_assert_eq(rc_pusher_secret_load(&app, &err), 0);
    cr_assert_str_eq(app.secret.text, "of-the-file");
    cr_assert_lt(rc_pusher_secret_load(&app, &err), 0, "both are given now");
    (void)unlink(path);
    begin();
    put(&app.secret_file, path);
    cr_assert_lt(rc_pusher_secret_load(&app, &err), 0);
    cr_assert(strstr(err.text, path) != NULL, "%s", err.text);
}

static int load_file(const char *text, size_t bytes)
{
    char path[] = "/tmp/rc-pusher-XXXXXX";
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, bytes), (ssize_t)bytes);
    (void)close(fd);
    begin();
    put(&app.secret_file, path);
    const int rc = rc_pusher_secret_load(&app, &err);
    (void)unlink(path);
    return rc;
}

Test(pusher_secret, what_would_be_cut_is_refused)
{
    char text[RC_CONFIG_TEXT_MAX + 100];
    memset(text, 'k', sizeof(text));
    text[RC_CONFIG_TEXT_MAX - 1] = '\n';
    cr_assert_eq(load_file(text, RC_CONFIG_TEXT_MAX), 0, "%s", err.text);
    cr_assert_eq(strlen(app.secret.text), RC_CONFIG_TEXT_MAX - 1);
    text[RC_CONFIG_TEXT_MAX - 1] = 'k';
    cr_assert_lt(load_file(text, RC_CONFIG_TEXT_MAX), 0);
    cr_assert(strstr(err.text, "at most 255 bytes") != NULL, "%s", err.text);
    cr_assert_lt(load_file(text, sizeof(text)), 0);
    cr_assert_lt(load_file("a secret with\0a zero byte", 26), 0);
    text[RC_CONFIG_TEXT_MAX] = '\0';
    begin();
    cr_assert_eq(setenv("PUSHER_APP_SECRET", text, 1), 0);
    cr_assert_lt(rc_pusher_secret_load(&app, &err), 0);
    cr_assert(strstr(err.text, "PUSHER_APP_SECRET") != NULL, "%s", err.text);
}

Test(pusher_secret, too_short)
{
    put(&app.secret, "short");
    cr_assert_lt(rc_pusher_secret_load(&app, &err), 0);
}
