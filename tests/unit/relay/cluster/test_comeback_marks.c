/* When a question has come through all servers, whatever is lost, doubled or late of it. */
#include "relay/cluster/comeback_marks.h"

#include <criterion/criterion.h>

static struct rc_comeback_marks marks;
static struct rc_redis_places places = {.map = 1, .count = 2, .ids = {10, 20}};

static void open_marks(void)
{
    cr_assert_eq(rc_comeback_marks_open(&marks), 0);
}

static void close_marks(void)
{
    rc_comeback_marks_close(&marks);
}

TestSuite(comeback_marks, .init = open_marks, .fini = close_marks);

static enum rc_comeback_marked came(uint64_t token, uint64_t place, uint64_t heard)
{
    const struct rc_comeback_mark mark = {.token = token, .place = place, .heard = heard, .count = 2};
    return rc_comeback_marks_came(&marks, &mark, &places);
}

Test(comeback_marks, it_is_whole_once_when_each_was_heard_there_and_at_home)
{
    cr_assert_eq(came(7, 20, 20), RC_COMEBACK_PARTLY);
    cr_assert_eq(came(7, 20, 20), RC_COMEBACK_PARTLY);
    cr_assert_eq(came(7, 10, 10), RC_COMEBACK_PARTLY);
    cr_assert_eq(came(7, 20, 10), RC_COMEBACK_WHOLE);
    cr_assert_eq(came(7, 20, 10), RC_COMEBACK_SPENT);
    cr_assert_eq(came(7, 10, 10), RC_COMEBACK_SPENT);
}

Test(comeback_marks, each_question_counts_for_itself)
{
    cr_assert_eq(came(7, 20, 20), RC_COMEBACK_PARTLY);
    cr_assert_eq(came(7, 20, 10), RC_COMEBACK_PARTLY);
    cr_assert_eq(came(8, 10, 10), RC_COMEBACK_PARTLY);
    cr_assert_eq(came(7, 10, 10), RC_COMEBACK_WHOLE);
    cr_assert_eq(came(8, 20, 20), RC_COMEBACK_PARTLY);
}

Test(comeback_marks, what_is_heard_elsewhere_or_of_another_cluster_does_not_count)
{
    const struct rc_comeback_mark three = {.token = 7, .place = 20, .heard = 20, .count = 3};
    cr_assert_eq(came(7, 20, 30), RC_COMEBACK_STRAY);
    cr_assert_eq(came(7, 10, 20), RC_COMEBACK_STRAY);
    cr_assert_eq(came(7, 30, 30), RC_COMEBACK_STRAY);
    cr_assert_eq(rc_comeback_marks_came(&marks, &three, &places), RC_COMEBACK_STRAY);
}

Test(comeback_marks, another_map_begins_anew)
{
    struct rc_redis_places moved = {.map = 2, .count = 2, .ids = {20, 10}};
    const struct rc_comeback_mark last = {.token = 7, .place = 10, .heard = 20, .count = 2};
    (void)came(7, 10, 10);
    (void)came(7, 20, 20);
    cr_assert_eq(rc_comeback_marks_came(&marks, &last, &moved), RC_COMEBACK_PARTLY);
}

Test(comeback_marks, what_was_answered_is_spent)
{
    cr_assert(rc_comeback_marks_spend(&marks, 7));
    cr_assert(!rc_comeback_marks_spend(&marks, 7));
    cr_assert_eq(came(7, 10, 10), RC_COMEBACK_SPENT);
}

Test(comeback_marks, beyond_the_bound_the_oldest_goes)
{
    for (uint64_t token = 1; token <= RC_COMEBACK_MARKS_MAX; token++) {
        (void)came(token, 20, 20);
    }
    (void)came(1, 20, 10); /* used again */
    (void)came(RC_COMEBACK_MARKS_MAX + 1, 20, 20);
    cr_assert_eq(came(1, 10, 10), RC_COMEBACK_WHOLE);
    (void)came(2, 20, 10);
    cr_assert_eq(came(2, 10, 10), RC_COMEBACK_PARTLY, "the first part of it is forgotten");
}
