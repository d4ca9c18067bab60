/* Where sockets went: found by the token of their ids, forgotten in the order in which they went. */
#include "relay/cluster/comeback_moves.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/records/sid.h"

static struct rc_comeback_moves moves;

static void open_moves(void)
{
    cr_assert_eq(rc_comeback_moves_open(&moves), 0);
}

static void close_moves(void)
{
    rc_comeback_moves_close(&moves);
}

TestSuite(comeback_moves, .init = open_moves, .fini = close_moves);

static const char *sid_of(uint32_t number)
{
    static char text[RC_SID_BYTES + 1];
    (void)snprintf(text, sizeof(text), "aaaaaaaaaaaaaa%06u", number);
    return text;
}

static uint64_t token_of(uint32_t number)
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, rc_span_of(sid_of(number), RC_SID_BYTES)));
    return sid.client.random;
}

Test(comeback_moves, the_last_place_counts)
{
    rc_comeback_moves_add(&moves, sid_of(1), RC_SPAN("b"));
    rc_comeback_moves_add(&moves, sid_of(1), RC_SPAN("c"));
    rc_comeback_moves_add(&moves, "not a session's id.!", RC_SPAN("d"));
    cr_assert_str_eq(rc_comeback_moves_find(&moves, token_of(1))->instance, "c");
    cr_assert_null(rc_comeback_moves_find(&moves, token_of(2)));
    cr_assert_null(rc_comeback_moves_find(&moves, 0));
    rc_comeback_moves_drop(&moves, token_of(1));
    cr_assert_null(rc_comeback_moves_find(&moves, token_of(1)));
}

Test(comeback_moves, the_one_that_went_longest_ago_is_forgotten)
{
    for (uint32_t i = 0; i < RC_COMEBACK_MOVES_MAX; i++) {
        rc_comeback_moves_add(&moves, sid_of(i), RC_SPAN("b"));
    }
    cr_assert_not_null(rc_comeback_moves_find(&moves, token_of(0)));
    rc_comeback_moves_add(&moves, sid_of(RC_COMEBACK_MOVES_MAX), RC_SPAN("b"));
    cr_assert_null(rc_comeback_moves_find(&moves, token_of(0)));
    cr_assert_not_null(rc_comeback_moves_find(&moves, token_of(1)));
}
