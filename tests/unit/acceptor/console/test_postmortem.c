/* postmortem: lines and ended clients of all processes in their order; and reports that a stray write went over. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "acceptor/console/postmortem.h"
#include "common/records/closed.h"
#include "tests/support/supervisor_rig.h"

static struct supervisor_rig *rig;
static char *text;

static void open_all(void)
{
    rig = calloc(1, sizeof(*rig));
    cr_assert_not_null(rig);
    supervisor_rig_open(rig, "");
}

static void close_all(void)
{
    free(text);
    supervisor_rig_close(rig);
    free(rig);
}

TestSuite(postmortem, .init = open_all, .fini = close_all, .timeout = 10);

static const char *shown(bool json)
{
    size_t bytes = 0;
    free(text);
    text = NULL;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    rc_postmortem_print(out, &rig->supervisor.broker.segments, 2, json);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static void say(struct rc_report *report, const char *line)
{
    rc_flight_put(&report->lines.head, report->lines.entries, RC_FLIGHT_LINES, line, strlen(line));
}

static void close_one(struct rc_report *report, const char *user, int64_t wall_ms)
{
    struct rc_closed closed = {.wall_ms = wall_ms, .code = 1001};
    (void)snprintf(closed.user, sizeof(closed.user), "%s", user);
    rc_flight_put(&report->closed.head, report->closed.entries, RC_FLIGHT_CLOSED, &closed, sizeof(closed));
}

Test(postmortem, what_all_processes_said_is_in_the_order_of_time)
{
    const struct rc_segments *segments = &rig->supervisor.broker.segments;
    say(segments->workers[1], "2026-01-01T00:00:02 second");
    say(segments->workers[0], "2026-01-01T00:00:01 first");
    say(&segments->relay->report, "2026-01-01T00:00:03 third");
    close_one(segments->workers[0], "bob", 2000);
    close_one(segments->workers[1], "ann", 1000);
    const char *got = shown(false);
    const char *first = strstr(got, "first");
    const char *third = strstr(got, "third");
    const char *ann = strstr(got, "user=\"ann\"");
    cr_assert(first != NULL && third != NULL && ann != NULL, "%s", got);
    cr_assert(first < strstr(got, "second") && strstr(got, "second") < third && third < ann &&
                  ann < strstr(got, "user=\"bob\""),
              "%s", got);
    cr_assert_not_null(strstr(got, " client="), "%s", got);
    cr_assert_not_null(strstr(shown(true), "\"client\": \""), "%s", text);
    cr_assert(strstr(shown(true), "\"process\": \"worker 1\"") != NULL ||
                  strstr(text, "\"process\":\"worker 1\"") != NULL,
              "%s", text);
}

Test(postmortem, wild_heads_hold_nobody_up_and_the_others_are_shown)
{
    const struct rc_segments *segments = &rig->supervisor.broker.segments;
    const uint64_t wild[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2, 1000000};
    say(segments->workers[1], "2026-01-01T00:00:02 second");
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        atomic_store(&segments->workers[0]->lines.head.written, wild[i]);
        atomic_store(&segments->workers[0]->closed.head.written, wild[i]);
        cr_assert(strstr(shown(false), "second") != NULL);
    }
}

/* Whatever is in the memory of another process, what is shown has no control characters, and is JSON. */
Test(postmortem, what_is_no_text_is_shown_as_one)
{
    const struct rc_segments *segments = &rig->supervisor.broker.segments;
    close_one(segments->workers[0], "\x1b[2J\xff\xc2\x9bK", 1000);
    say(segments->workers[0], "line \xff end");
    const char *got = shown(false);
    cr_assert(strstr(got, "user=\"?[2J???K\"") != NULL, "%s", got);
    got = shown(true);
    cr_assert(strstr(got, "?[2J???K") != NULL && strstr(got, "line ? end") != NULL, "%s", got);
}
