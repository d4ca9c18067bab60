/* Where sessions are that were moved while they polled: found, moved on, ended; a full set takes nobody; what a worker that lost its clients had is over. */
#include "common/shm/sid_places.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/shm/tallies.h"

#define SECRET(i) ((uint64_t)(i)*RC_SID_PLACE_SETS + 7u) /* of one set */

static struct rc_limits_segment *segment;
static struct rc_sid_places *places;
static struct rc_core *core;

static void setup(void)
{
    struct rc_err err;
    segment = mmap(NULL, sizeof(*segment), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)segment, MAP_FAILED);
    cr_assert_eq(rc_limits_segment_open(segment, &err), 0);
    places = &segment->sid_places;
    core = calloc(1, sizeof(*core));
    for (uint32_t i = 0; i < RC_WORKERS_MAX; i++) {
        core->workers[i].generation = 1;
    }
}

static void teardown(void)
{
    munmap(segment, sizeof(*segment));
    free(core);
}

TestSuite(sid_places, .init = setup, .fini = teardown);

Test(sid_places, a_session_is_where_it_went_last)
{
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), UINT32_MAX);
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1), 0), 0);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), 0);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(2)), UINT32_MAX, "another one of the same set");
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1), RC_WORKERS_MAX - 1), 0);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), RC_WORKERS_MAX - 1);
    rc_sid_places_remove(places, SECRET(1));
    rc_sid_places_remove(places, SECRET(1));
    rc_sid_places_remove(places, 0);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), UINT32_MAX);
    cr_assert_eq(rc_sid_places_find(places, core, 0), UINT32_MAX, "no secret is that of what is free");
}

Test(sid_places, a_full_set_takes_nobody_but_says_where_those_went_who_are_in_it)
{
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(i), 1), 0);
    }
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1000), 1), -ENOSPC);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1000)), UINT32_MAX);
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1000) + 1, 1), 0, "another set has room");
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(5), 2), 0);
    rc_sid_places_remove(places, SECRET(9));
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1000), 3), 0);
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS; i++) {
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(i)), i == 9 ? UINT32_MAX : i == 5 ? 2 : 1);
    }
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1000)), 3);
}

Test(sid_places, what_a_worker_had_that_lost_its_clients_is_nowhere_and_makes_room)
{
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(i), i % 2), 0);
    }
    core->workers[1].generation++;
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS; i++) {
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(i)), i % 2 == 1 ? UINT32_MAX : 0);
    }
    for (uint64_t i = 0; i < RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(1000 + i), 1), 0);
    }
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(2000), 1), -ENOSPC);
    for (uint64_t i = 0; i < RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(1000 + i)), 1);
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(2 + 2 * i)), 0);
    }
}

Test(sid_places, who_gave_it_says_where_it_went_unless_somebody_knows_better)
{
    rc_sid_places_went(places, core, SECRET(1), 0, 1);
    rc_sid_places_went(places, core, 0, 0, 1);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), UINT32_MAX, "it has ended where it went");
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1), 0), 0);
    rc_sid_places_went(places, core, SECRET(1), 0, 1);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), 1);
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1), 2), 0);
    rc_sid_places_went(places, core, SECRET(1), 0, 1);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), 2, "it has gone on already");
    rc_sid_places_remove(places, SECRET(1));
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), UINT32_MAX, "there was one entry");
}

Test(sid_places, what_may_have_gone_is_nowhere_until_who_got_it_says_so_and_makes_room)
{
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(i), 0), 0);
        rc_sid_places_went(places, core, SECRET(i), 0, RC_SID_PLACE_NOWHERE);
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(i)), UINT32_MAX);
    }
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(i), 1), 0);
    }
    for (uint64_t i = 0; i < RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(1000 + i), 2), 0);
    }
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(RC_SID_PLACE_WAYS), 1), -ENOSPC);
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(i)), 1);
        rc_sid_places_remove(places, SECRET(i));
        cr_assert_eq(rc_sid_places_find(places, core, SECRET(i)), UINT32_MAX);
    }
}

/* Both say where it is, at once: there is one entry, which one of them takes out. */
Test(sid_places, two_that_say_it_for_the_first_time_make_one_entry, .timeout = 60)
{
    enum { ROUNDS = 2000 };
    _Atomic uint32_t *turns = mmap(NULL, 2 * sizeof(*turns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)turns, MAP_FAILED);
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    const uint32_t me = child == 0 ? 1 : 0;
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        atomic_store(&turns[me], 2 * round - 1);
        while (atomic_load(&turns[1 - me]) < 2 * round - 1) {
            sched_yield();
        }
        (void)rc_sid_places_put(places, core, SECRET(round), 1 + me);
        atomic_store(&turns[me], 2 * round);
        while (atomic_load(&turns[1 - me]) < 2 * round) {
            sched_yield();
        }
        if (me == 0) {
            cr_assert_neq(rc_sid_places_find(places, core, SECRET(round)), UINT32_MAX);
            rc_sid_places_remove(places, SECRET(round));
            cr_assert_eq(rc_sid_places_find(places, core, SECRET(round)), UINT32_MAX, "round %u", round);
        }
    }
    if (child == 0) {
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    munmap((void *)turns, 2 * sizeof(*turns));
}

Test(sid_places, a_place_that_is_none_is_nobodys)
{
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1), 1), 0);
    struct rc_sid_place_set *set = &places->sets[SECRET(1) % RC_SID_PLACE_SETS];
    for (uint32_t i = 0; i < RC_SID_PLACE_WAYS; i++) {
        set->places[i] = UINT64_MAX;
    }
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), UINT32_MAX);
    cr_assert_eq(rc_sid_places_put(places, core, SECRET(1), 1), 0);
    cr_assert_eq(rc_sid_places_find(places, core, SECRET(1)), 1);
}

/* One that puts and takes out what is its own, and is killed at any moment: what others have stays right, nobody waits for its locks, and it leaves no more than
 * the entries that it had. */
Test(sid_places, one_that_is_killed_in_the_middle_leaves_every_set_sound, .timeout = 60)
{
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(i), 1), 0);
    }
    for (uint32_t round = 0; round < 50; round++) {
        int ready[2];
        cr_assert_eq(pipe(ready), 0);
        const pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            for (uint64_t i = 0;; i++) {
                if (i == 1000) {
                    (void)!write(ready[1], "x", 1);
                }
                (void)rc_sid_places_put(places, core, SECRET(5000 + i % 40), 2);
                rc_sid_places_remove(places, SECRET(5000 + (i + 20) % 40));
            }
        }
        char byte;
        cr_assert_eq(read(ready[0], &byte, 1), 1);
        for (uint32_t n = 0; n < 2000; n++) {
            const uint32_t its = rc_sid_places_find(places, core, SECRET(5000 + n % 40));
            cr_assert(its == 2 || its == UINT32_MAX);
        }
        kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, NULL, 0), child);
        close(ready[0]);
        close(ready[1]);
        for (uint64_t i = 0; i < 40; i++) {
            rc_sid_places_remove(places, SECRET(5000 + i));
        }
        for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS / 2; i++) {
            cr_assert_eq(rc_sid_places_find(places, core, SECRET(i)), 1);
        }
    }
    for (uint64_t i = 0; i < RC_SID_PLACE_WAYS / 2; i++) {
        cr_assert_eq(rc_sid_places_put(places, core, SECRET(9000 + i), 3), 0);
    }
}
