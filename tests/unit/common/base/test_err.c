/* The message that goes with a negative errno. */
#include "common/base/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(err, says_what_failed_and_returns_the_code)
{
    struct rc_err err;
    cr_expect_eq(rc_err_set(&err, -EINVAL, "%s is %d", "port", 70000), -EINVAL);
    cr_expect_str_eq(err.text, "port is 70000");
    cr_expect_eq(rc_err_set(NULL, -ENOMEM, "nobody listens"), -ENOMEM);
}

Test(err, cuts_what_is_too_long)
{
    struct {
        struct rc_err err;
        char behind;
    } guarded = {.behind = 'x'};
    char text[2 * RC_ERR_TEXT_MAX];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rc_err_set(&guarded.err, -EIO, "%s", text);
    cr_expect_eq(strlen(guarded.err.text), RC_ERR_TEXT_MAX - 1u);
    cr_expect_eq(guarded.behind, 'x');
}

Test(err, tells_what_may_be_there_a_moment_later)
{
    cr_expect(rc_err_is_short(-ENOMEM) && rc_err_is_short(-EMFILE) && rc_err_is_short(-ENFILE) &&
              rc_err_is_short(-EAGAIN));
    cr_expect_not(rc_err_is_short(0) || rc_err_is_short(-EINVAL) || rc_err_is_short(-EBADMSG));
}
