/* Commands that go on while the broker does not answer, and for how long. */
#include "acceptor/console/live.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

#define BEGAN_MS UINT64_C(5000000)
#define WHY "cannot reach a broker at /run/x.sock: Connection refused"

/* What was written to a stream of the test. */
static void read_all(FILE *from, char *text, size_t capacity)
{
    size_t bytes = 0;
    size_t got;
    while (bytes + 1 < capacity && (got = fread(text + bytes, 1, capacity - 1 - bytes, from)) > 0) {
        bytes += got;
    }
    text[bytes] = '\0';
}

static void redirect(void)
{
    cr_redirect_stdout();
    cr_redirect_stderr();
}

Test(live, who_does_not_answer_is_asked_for_a_minute_and_an_answer_begins_it_anew, .init = redirect)
{
    struct rc_live live = {.screen = false};
    rc_live_answered(&live, BEGAN_MS);
    cr_expect(rc_live_unanswered(&live, BEGAN_MS + 1000, WHY));
    cr_expect(rc_live_unanswered(&live, BEGAN_MS + RC_LIVE_PATIENCE_MS - 1, WHY));
    rc_live_answered(&live, BEGAN_MS + RC_LIVE_PATIENCE_MS);
    cr_expect(rc_live_unanswered(&live, BEGAN_MS + 2 * RC_LIVE_PATIENCE_MS - 1, WHY));
    cr_expect_not(rc_live_unanswered(&live, BEGAN_MS + 2 * RC_LIVE_PATIENCE_MS, WHY));
    fflush(stderr);
    cr_expect_stderr_eq_str("ringcast: no answer for 1 s: " WHY "; asked again, for 59 s more\n"
                            "ringcast: no answer for 59 s: " WHY "; asked again, for 1 s more\n"
                            "ringcast: no answer for 59 s: " WHY "; asked again, for 1 s more\n"
                            "ringcast: no answer for 60 s: " WHY "\n");
}

Test(live, standard_error_is_told_once_a_second, .init = redirect)
{
    struct rc_live live = {.screen = false};
    char text[4096];
    unsigned lines = 0;
    rc_live_answered(&live, BEGAN_MS);
    for (uint64_t ms = 100; ms <= 3000; ms += 100) {
        cr_expect(rc_live_unanswered(&live, BEGAN_MS + ms, WHY));
    }
    fflush(stderr);
    read_all(cr_get_redirected_stderr(), text, sizeof(text));
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    cr_expect_eq(lines, 3, "%s", text);
}

Test(live, the_screen_keeps_its_picture_but_for_the_first_line, .init = redirect)
{
    struct rc_live live = {.screen = true};
    char text[4096];
    rc_live_answered(&live, BEGAN_MS);
    cr_expect(rc_live_unanswered(&live, BEGAN_MS + 4000, WHY));
    fflush(stderr);
    fflush(stdout);
    cr_expect_stderr_eq_str("");
    read_all(cr_get_redirected_stdout(), text, sizeof(text));
    cr_expect_null(strstr(text, RC_LIVE_REDRAW), "nothing is erased");
    cr_expect_not_null(strstr(text, "ringcast: no answer for 4 s: " WHY "; asked again, for 56 s more"), "%s", text);
    cr_expect_str_eq(text + strlen(text) - 2, "\0338", "what is written next comes behind the picture");
}
