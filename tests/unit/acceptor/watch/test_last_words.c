/* last_words: the last lines of a process, made printable; and a report that a stray write went over, which must not hold the acceptor up. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "acceptor/watch/last_words.h"

static struct rc_report *report;
static char line[RC_FLIGHT_BYTES + 1];

static void open_all(void)
{
    report = calloc(1, sizeof(*report));
    cr_assert_not_null(report);
}

static void close_all(void)
{
    free(report);
}

TestSuite(last_words, .init = open_all, .fini = close_all, .timeout = 10);

static void say(const char *text)
{
    rc_flight_put(&report->lines.head, report->lines.entries, RC_FLIGHT_LINES, text, strlen(text));
}

Test(last_words, lines_are_printable)
{
    say("one\ntwo\x1b[0m");
    cr_assert(rc_last_words_line(report, 1, line));
    cr_assert_str_eq(line, "one two [0m");
    cr_assert_not(rc_last_words_line(report, 2, line));
}

Test(last_words, a_wild_head_is_come_to_an_end_of)
{
    say("one");
    const uint64_t wild[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2, 1000000};
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        atomic_store(&report->lines.head.written, wild[i]);
        rc_last_words_log(report, "worker 0");
    }
    memset((void *)report, 0xff, sizeof(*report));
    rc_last_words_log(report, "worker 0");
}
