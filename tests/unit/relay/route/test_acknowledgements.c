/* What a worker is still to be told of its interests: kept in order, bounded, and gone with the worker. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relay/route/acknowledgements.h"

static struct rc_acknowledgements queue;

static void close_all(void)
{
    rc_acknowledgements_close(&queue);
    cr_assert_null(queue.memory);
}

TestSuite(acknowledgements, .fini = close_all);

static int put(uint64_t token)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "channel-%llu", (unsigned long long)token);
    const struct rc_envelope_view view = {
        .head = {.token = token, .channel_bytes = (uint8_t)strlen(name), .flags = RC_ENVELOPE_SCOPE_LOCAL},
        .channel = name};
    return rc_acknowledgements_put(&queue, &view);
}

static void expect(uint64_t token)
{
    struct rc_envelope_view view;
    char name[32];
    (void)snprintf(name, sizeof(name), "channel-%llu", (unsigned long long)token);
    cr_assert(rc_acknowledgements_first(&queue, &view));
    cr_assert(view.head.token == token && view.head.flags == RC_ENVELOPE_SCOPE_LOCAL, "%llu instead of %llu",
              (unsigned long long)view.head.token, (unsigned long long)token);
    cr_assert(view.head.channel_bytes == strlen(name) && memcmp(view.channel, name, strlen(name)) == 0);
}

Test(acknowledgements, come_back_as_they_went_in)
{
    struct rc_envelope_view view;
    cr_assert(rc_acknowledgements_empty(&queue) && !rc_acknowledgements_first(&queue, &view));
    cr_assert_null(queue.memory, "a worker that keeps up costs nothing");
    cr_assert(put(1) == 0 && put(2) == 0);
    expect(1);
    expect(1); /* it stays */
    rc_acknowledgements_pop(&queue);
    cr_assert_eq(put(3), 0);
    expect(2);
    rc_acknowledgements_pop(&queue);
    expect(3);
    rc_acknowledgements_pop(&queue);
    cr_assert(rc_acknowledgements_empty(&queue) && !rc_acknowledgements_first(&queue, &view));
}

Test(acknowledgements, what_comes_on_top_is_refused)
{
    uint64_t count = 0;
    while (put(count) == 0) {
        count++;
    }
    cr_assert_eq(put(count), -ENOBUFS);
    cr_assert_geq(count, 8000);
    expect(0);
    rc_acknowledgements_pop(&queue);
    cr_assert_eq(put(count), 0, "there is room for one again");
    for (uint64_t i = 1; i <= count; i++) {
        expect(i);
        rc_acknowledgements_pop(&queue);
    }
    cr_assert(rc_acknowledgements_empty(&queue));
}

/* Several times round its memory. */
Test(acknowledgements, go_round)
{
    uint64_t in = 0;
    uint64_t out = 0;
    while (in < 50000) {
        for (int i = 0; i < 700; i++) {
            cr_assert_eq(put(in++), 0);
        }
        while (out + 300 < in) {
            expect(out++);
            rc_acknowledgements_pop(&queue);
        }
    }
    while (out < in) {
        expect(out++);
        rc_acknowledgements_pop(&queue);
    }
}

Test(acknowledgements, a_worker_that_dies_needs_none)
{
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(put(i), 0);
    }
    rc_acknowledgements_clear(&queue);
    cr_assert(rc_acknowledgements_empty(&queue));
    cr_assert_eq(put(7), 0);
    expect(7);
    struct rc_acknowledgements none = {0};
    rc_acknowledgements_clear(&none);
    rc_acknowledgements_close(&none);
}
