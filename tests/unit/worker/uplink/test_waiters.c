/* Who waits for room in the up ring: first come, first served; whoever leaves, leaves from anywhere. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "worker/uplink/waiters.h"

#define SOCKETS 64u

static struct rc_truth truth;
static struct rc_waiters waiters;

static void open_all(void)
{
    truth.socket_count = SOCKETS;
    truth.sockets = calloc(SOCKETS, sizeof(*truth.sockets));
    cr_assert(truth.sockets != NULL);
    cr_assert_eq(rc_waiters_open(&waiters, &truth), 0);
}

static void close_all(void)
{
    rc_waiters_close(&waiters);
    free(truth.sockets);
}

TestSuite(waiters, .init = open_all, .fini = close_all);

/* Takes all in their turn, and compares. */
static void expect(uint32_t count, const uint32_t *order)
{
    cr_assert_eq(waiters.count, count);
    for (uint32_t i = 0; i < SOCKETS; i++) {
        bool waits = false;
        for (uint32_t k = 0; k < count; k++) {
            waits |= order[k] == i;
        }
        cr_assert_eq((truth.sockets[i].flags & RC_SOCKET_WAITS_UPLINK) != 0, waits, "socket %u", i);
    }
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(waiters.first, order[i]);
        rc_waiters_remove(&waiters, waiters.first);
    }
    cr_assert(waiters.first == RC_WAITERS_NOBODY && waiters.last == RC_WAITERS_NOBODY && waiters.count == 0);
}
#define EXPECT(...) expect(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]){__VA_ARGS__})

Test(waiters, first_come_first_served)
{
    cr_assert_eq(waiters.first, RC_WAITERS_NOBODY);
    rc_waiters_add(&waiters, 5);
    rc_waiters_add(&waiters, 0);
    rc_waiters_add(&waiters, 63);
    rc_waiters_add(&waiters, 0); /* it keeps its place */
    EXPECT(5, 0, 63);
}

Test(waiters, who_found_no_room_is_the_first_again)
{
    rc_waiters_add(&waiters, 1);
    rc_waiters_add(&waiters, 2);
    rc_waiters_add(&waiters, 3);
    rc_waiters_add_first(&waiters, 3); /* from behind */
    rc_waiters_add_first(&waiters, 9); /* from outside */
    rc_waiters_add_first(&waiters, 9);
    EXPECT(9, 3, 1, 2);
    rc_waiters_add_first(&waiters, 4);
    EXPECT(4);
}

Test(waiters, leave_from_the_front_the_middle_and_the_end)
{
    for (uint32_t i = 0; i < 6; i++) {
        rc_waiters_add(&waiters, i);
    }
    rc_waiters_remove(&waiters, 0);
    rc_waiters_remove(&waiters, 3);
    rc_waiters_remove(&waiters, 5);
    rc_waiters_remove(&waiters, 5); /* nothing to leave */
    rc_waiters_remove(&waiters, 40);
    rc_waiters_add(&waiters, 3);
    EXPECT(1, 2, 4, 3);
}

/* Against a list that is searched, whatever the order of coming and going. */
Test(waiters, any_order)
{
    uint32_t list[SOCKETS];
    uint32_t count = 0;
    uint32_t seed = 1;
    for (uint32_t step = 0; step < 20000; step++) {
        seed = seed * 1664525u + 1013904223u;
        const uint32_t socket = (seed >> 16) % SOCKETS;
        const uint32_t act = (seed >> 8) % 4;
        uint32_t at = 0;
        while (at < count && list[at] != socket) {
            at++;
        }
        const bool there = at < count;
        if (act < 2 && !there) {
            list[count++] = socket;
        } else if (act >= 2 && there) {
            for (count--; at < count; at++) {
                list[at] = list[at + 1];
            }
        }
        if (act == 3) {
            for (uint32_t i = count++; i > 0; i--) {
                list[i] = list[i - 1];
            }
            list[0] = socket;
        }
        (act < 2 ? rc_waiters_add : act == 2 ? rc_waiters_remove : rc_waiters_add_first)(&waiters, socket);
        cr_assert(waiters.count == count && waiters.first == (count == 0 ? RC_WAITERS_NOBODY : list[0]) &&
                      waiters.last == (count == 0 ? RC_WAITERS_NOBODY : list[count - 1]),
                  "step %u", step);
    }
    expect(count, list);
}
