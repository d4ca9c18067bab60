/* What a caller of the console wants traced, and what is said of what makes no sense. */
#include "acceptor/watch/trace_words.h"

#include <criterion/criterion.h>
#include <string.h>

static struct rc_trace_wanted wanted;
static struct rc_err err;

static int read_words(const char *words)
{
    wanted = (struct rc_trace_wanted){.by = 0};
    return rc_trace_words_read(&wanted, "i", 1, words, &err);
}

Test(trace_words, each_kind_is_decoded)
{
    cr_assert_eq(read_words("user=a%20b channel=room%3A1 event=%c3%a9"), 0);
    cr_assert_eq(wanted.by, (uint32_t)(RC_TRACE_BY_USER | RC_TRACE_BY_CHANNEL | RC_TRACE_BY_EVENT));
    cr_assert_str_eq(wanted.user, "a b");
    cr_assert_str_eq(wanted.channel, "room:1");
    cr_assert_str_eq(wanted.event, "\xc3\xa9");
    cr_assert(wanted.user_bytes == 3 && wanted.channel_bytes == 6 && wanted.event_bytes == 2);
}

Test(trace_words, what_makes_no_sense_is_refused)
{
    static const char *const wrong[] = {"",
                                        "room=1",
                                        "user=",
                                        "user=%4",
                                        "user=%zz",
                                        "channel",
                                        "user= x=1",
                                        "client=none",
                                        "channel=a x event=b",
                                        "user=a user=b"};
    char longest[300] = "channel=";
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        err.text[0] = '\0';
        cr_assert_lt(read_words(wrong[i]), 0, "%s", wrong[i]);
        cr_assert_neq(err.text[0], '\0', "%s", wrong[i]);
    }
    memset(longest + 8, 'x', 255);
    cr_assert_eq(read_words(longest), 0);
    memset(longest + 8, 'x', 256);
    cr_assert_lt(read_words(longest), 0);
}
