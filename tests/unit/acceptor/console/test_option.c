/* Words of a command line. */
#include "acceptor/console/option.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>

static char *const words[] = {"-c", "one", "--config=two", "--config", "three", "--configs", "--config"};
#define COUNT ((int)(sizeof(words) / sizeof(words[0])))

static void reads(int begin, const char *name, const char *expected, int end)
{
    int at = begin;
    const char *value = rc_option_value(words[at], name, COUNT, (char **)words, &at);
    if (expected == NULL) {
        cr_assert_null(value);
    } else {
        cr_assert_str_eq(value, expected);
    }
    cr_assert_eq(at, end);
}

Test(option, a_value_is_the_next_word_or_behind_an_equals_sign)
{
    reads(0, "-c", "one", 1);
    reads(0, "--config", NULL, 0);
    reads(2, "--config", "two", 2);
    reads(2, "-c", NULL, 2);
    reads(3, "--config", "three", 4);
    reads(5, "--config", NULL, 5);
    reads(6, "--config", "", 7);
}

Test(option, what_is_wrong_is_told_with_a_way_on, .init = cr_redirect_stderr)
{
    rc_option_wrong("ringcast", "ringcast help", "unknown argument", "--what");
    rc_option_wrong("ringcast", "ringcast help", "check needs a FILE", NULL);
    cr_assert_stderr_eq_str("ringcast: unknown argument: --what; `ringcast help` lists what there is\n"
                            "ringcast: check needs a FILE; `ringcast help` lists what there is\n");
}
