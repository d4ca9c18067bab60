/* What [log] says reaches the logger, kind by kind. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/config/log_settings.h"

/* A line with a user and an address, as it arrives on stderr. */
static void expect_line(const struct rc_config_log *settings, const char *expected)
{
    char line[512];
    int fds[2];
    const int saved = dup(STDERR_FILENO);
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    rc_log_open("w", -1, RC_LOG_ERROR, RC_LOG_TEXT);
    rc_log_settings_apply(settings);
    dup2(fds[1], STDERR_FILENO);
    rc_log_info("event", "user=%s address=%s email=%s user_name=%s", "u", "a", "e", "n");
    dup2(saved, STDERR_FILENO);
    const ssize_t bytes = read(fds[0], line, sizeof(line) - 1);
    line[bytes > 0 ? bytes : 0] = '\0';
    close(fds[0]);
    close(fds[1]);
    close(saved);
    if (expected == NULL) {
        cr_expect_eq(bytes, -1, "%s", line);
        return;
    }
    const char *at = strstr(line, " event");
    cr_assert_not_null(at, "%s", line);
    cr_expect_str_eq(at, expected);
}

Test(log_settings, the_level_and_each_kinds_redaction_are_applied)
{
    struct rc_config_log settings = {.level = RC_LOG_INFO,
                                     .redact = RC_LOG_KEEP,
                                     .redact_users = RC_LOG_REDACT_DEFAULT,
                                     .redact_names = RC_LOG_REDACT_DEFAULT,
                                     .redact_emails = RC_LOG_REDACT_DEFAULT,
                                     .redact_addresses = RC_LOG_REDACT_DEFAULT};
    expect_line(&settings, " event user=u address=a email=e user_name=n\n");
    settings.redact = RC_LOG_REMOVE;
    expect_line(&settings, " event\n");
    settings.redact_users = RC_LOG_KEEP;
    expect_line(&settings, " event user=u\n");
    settings.redact_emails = RC_LOG_KEEP;
    expect_line(&settings, " event user=u email=e\n");
    settings.redact_names = RC_LOG_KEEP;
    settings.redact_users = RC_LOG_REMOVE;
    expect_line(&settings, " event email=e user_name=n\n");
    settings.redact_addresses = RC_LOG_KEEP;
    expect_line(&settings, " event address=a email=e user_name=n\n");
    settings.level = RC_LOG_WARN;
    expect_line(&settings, NULL);
}
