/* Tallies of a host: a bound over all workers, what a dead one had is taken out, and a full set counts nothing. */
#include "common/shm/tallies.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 4u

static struct rc_limits_segment *segment;
static struct rc_tallies *tallies;

static void setup(void)
{
    struct rc_err err;
    segment = mmap(NULL, sizeof(*segment), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)segment, MAP_FAILED);
    cr_assert_eq(rc_limits_segment_open(segment, &err), 0);
    cr_assert(rc_windows_right(&segment->windows));
    tallies = &segment->tallies;
}

static void teardown(void)
{
    munmap(segment, sizeof(*segment));
}

TestSuite(tallies, .init = setup, .fini = teardown);

Test(tallies, the_bound_is_over_all_workers)
{
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_eq(rc_tallies_add(tallies, 5, i % 3, 6), 0);
    }
    cr_assert_eq(rc_tallies_add(tallies, 5, 0, 6), -EDQUOT);
    cr_assert_eq(rc_tallies_add(tallies, 5 + RC_TALLY_SETS, 0, 6), 0, "another key of the same set");
    cr_assert_eq(rc_tallies_add(tallies, 5, 0, 0), 0, "without a bound it is counted all the same");
    rc_tallies_remove(tallies, 5, 0);
    rc_tallies_remove(tallies, 5, 1);
    cr_assert_eq(rc_tallies_add(tallies, 5, 2, 6), 0);
    cr_assert_eq(rc_tallies_add(tallies, 5, 2, 6), -EDQUOT);
}

Test(tallies, what_a_worker_had_goes_with_it)
{
    for (uint64_t key = 1; key <= 100; key++) {
        cr_assert_eq(rc_tallies_add(tallies, key * 41, 1, 2), 0);
        cr_assert_eq(rc_tallies_add(tallies, key * 41, 2, 2), 0);
    }
    rc_tallies_clear(tallies, 1);
    for (uint64_t key = 1; key <= 100; key++) {
        cr_assert_eq(rc_tallies_add(tallies, key * 41, 3, 2), 0);
        cr_assert_eq(rc_tallies_add(tallies, key * 41, 3, 2), -EDQUOT);
    }
}

Test(tallies, places_come_back_and_a_full_set_counts_nothing)
{
    for (uint32_t round = 0; round < 3; round++) {
        for (uint64_t i = 1; i <= RC_TALLY_WAYS; i++) {
            cr_assert_eq(rc_tallies_add(tallies, i * RC_TALLY_SETS, 0, 1), 0);
        }
        cr_assert_eq(rc_tallies_add(tallies, 1000u * RC_TALLY_SETS, 0, 1), -EAGAIN);
        cr_assert_eq(rc_tallies_add(tallies, RC_TALLY_SETS, 0, 1), -EDQUOT);
        for (uint64_t i = 1; i <= RC_TALLY_WAYS; i++) {
            rc_tallies_remove(tallies, i * RC_TALLY_SETS, 0);
        }
    }
}

Test(tallies, exact_over_processes)
{
    pid_t pids[PROCESSES];
    uint32_t sum = 0;
    for (uint32_t p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        cr_assert_geq(pids[p], 0);
        if (pids[p] == 0) {
            uint32_t mine = 0;
            for (uint32_t i = 0; i < 20000; i++) { /* some come and go, at last as many stay as may */
                mine += rc_tallies_add(tallies, 7, p, 100) == 0;
                if (i < 19000 && mine > 0 && i % 3 == 0) {
                    rc_tallies_remove(tallies, 7, p);
                    mine--;
                }
            }
            _exit((int)mine);
        }
    }
    for (uint32_t p = 0; p < PROCESSES; p++) {
        int status;
        cr_assert_eq(waitpid(pids[p], &status, 0), pids[p]);
        cr_assert(WIFEXITED(status));
        sum += (uint32_t)WEXITSTATUS(status);
    }
    cr_assert_eq(sum, 100);
    cr_assert_eq(rc_tallies_add(tallies, 7, 9, 100), -EDQUOT);
}
