/* Messages that are made of the one before them. */
#include "bench/delta.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct rc_bench_delta own;

static int take(uint32_t slot, const char *string, bool whole, struct rc_span *text)
{
    return rc_bench_delta_take(&own, slot, 2, rc_span_text(string), whole, text);
}

/* The example of docs/protocol.md, "Deltas". */
#define FULL "\"{\\\"p\\\":1,\\\"n\\\":2}\""
#define DELTA "\"D\\nB@0,2:3}2WTTPs;\""

Test(bench_delta, a_delta_makes_the_next_text_of_the_one_before)
{
    struct rc_span text;
    cr_assert_eq(take(0, FULL, true, &text), 0);
    cr_assert(rc_span_equal(text, RC_SPAN("{\"p\":1,\"n\":2}")));
    cr_assert_eq(take(0, DELTA, false, &text), 0);
    cr_assert(rc_span_equal(text, RC_SPAN("{\"p\":1,\"n\":3}")), "%.*s", (int)text.count, (const char *)text.bytes);
    rc_bench_delta_free(&own, 2);
}

Test(bench_delta, each_connection_has_its_own_base_until_it_is_forgotten)
{
    struct rc_span text;
    cr_assert_eq(take(1, DELTA, false, &text), -EBADMSG, "nothing came before it");
    cr_assert_eq(take(0, FULL, true, &text), 0);
    cr_assert_eq(take(1, DELTA, false, &text), -EBADMSG, "it is another's");
    rc_bench_delta_forget(&own, 0);
    cr_assert_eq(take(0, DELTA, false, &text), -EBADMSG, "the connection is a new one");
    rc_bench_delta_free(&own, 2);
}

Test(bench_delta, what_does_not_fit_its_base_is_told)
{
    struct rc_span text;
    cr_assert_eq(take(0, "\"another text\"", true, &text), 0);
    cr_assert_eq(take(0, DELTA, false, &text), -EBADMSG, "its checksum is wrong");
    cr_assert_eq(take(0, "\"no delta\"", false, &text), -EBADMSG);
    cr_assert_eq(take(0, "{}", true, &text), -EBADMSG, "no string");
    rc_bench_delta_free(&own, 2);
}
