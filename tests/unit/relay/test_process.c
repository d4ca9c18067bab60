/* The relay program itself: start, sleep and wake, reload, end by signal and by the acceptor's death. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/shm/doorbell.h"
#include "tests/support/relay_host.h"

#define PATIENCE_MS 20000u

static struct relay_host host;

static void open_two(void)
{
    if (!relay_host_has_relay()) {
        cr_skip_test("ringcast-relay is not built");
    }
    relay_host_open(&host, 2, 65536, 65536);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
}

static void close_host(void)
{
    if (host.core != NULL) {
        relay_host_close(&host);
    }
}

TestSuite(relay_process, .init = open_two, .fini = close_host, .timeout = 120);

/* Tries until it is so. */
#define EVENTUALLY(condition)                                                   \
    do {                                                                        \
        const uint64_t eventually_end = rc_clock_ms() + PATIENCE_MS;            \
        while (!(condition)) {                                                  \
            cr_assert(rc_clock_ms() < eventually_end, "never: %s", #condition); \
            (void)usleep(200);                                                  \
        }                                                                       \
    } while (0)

static void start(void)
{
    relay_host_spawn_relay(&host);
    EVENTUALLY(atomic_load(&host.relay->report.process.state) == RC_PROCESS_READY);
}

static void ring(void)
{
    relay_host_ring(&host);
}

static bool got(uint32_t worker, uint32_t wanted)
{
    uint32_t type = 0;
    struct rc_envelope_view view;
    return relay_host_down_fresh(&host, worker, &type, &view) && type == wanted;
}

Test(relay_process, sleeps_and_is_woken_by_its_bell)
{
    start();
    EVENTUALLY(atomic_load(&host.relay->report.process.bell.sleeping) != 0);
    relay_host_interest(&host, 1, true, "a");
    ring();
    EVENTUALLY(got(1, RC_DOWN_INTEREST));
    /* A machine that stands still for a moment is late, but not each time. */
    uint64_t took_ms = UINT64_MAX;
    for (int tries = 0; tries < 5 && took_ms >= 900; tries++) {
        EVENTUALLY(atomic_load(&host.relay->report.process.bell.sleeping) != 0);
        relay_host_publish(&host, 0, "a", "x", "1");
        const uint64_t before = rc_clock_ms();
        ring();
        EVENTUALLY(got(1, RC_DOWN_MESSAGE));
        took_ms = rc_clock_ms() - before;
        EVENTUALLY(got(0, RC_DOWN_ANSWER));
    }
    cr_assert_lt(took_ms, 900, "by the bell, not by the heartbeat's timeout");
    const uint64_t heartbeat = atomic_load(&host.relay->report.process.heartbeat_ms);
    EVENTUALLY(atomic_load(&host.relay->report.process.heartbeat_ms) > heartbeat);
}

Test(relay_process, wakes_all_workers_at_its_start)
{
    rc_doorbell_sleep(&host.workers[0].report->process.bell);
    rc_doorbell_sleep(&host.workers[1].report->process.bell);
    start();
    EVENTUALLY(relay_host_rung(&host, 0));
    EVENTUALLY(relay_host_rung(&host, 1));
}

Test(relay_process, takes_a_reload_over)
{
    start();
    host.configs->copies[1].limits.max_channels_per_worker = 1;
    host.configs->copies[1].log.level = host.configs->copies[0].log.level;
    atomic_store(&host.configs->generation, 1);
    ring();
    EVENTUALLY(atomic_load(&host.relay->report.process.config_generation) == 1);
    relay_host_interest(&host, 1, true, "a");
    relay_host_interest(&host, 1, true, "b");
    relay_host_interest(&host, 1, true, "c");
    ring();
    EVENTUALLY(relay_host_metric(&host, RC_METRIC_ROUTED) == 3);
    cr_assert_str_eq(relay_host_read(&host, 1), "interest(a) interest(b) interest(c,code=503)");
}

Test(relay_process, sigterm_drains_what_is_in_the_rings)
{
    start();
    relay_host_interest(&host, 1, true, "a");
    ring();
    EVENTUALLY(got(1, RC_DOWN_INTEREST));
    relay_host_done(&host, 1);
    (void)kill(host.relay_pid, SIGSTOP);
    for (int i = 0; i < 300; i++) {
        cr_assert(relay_host_publish(&host, 0, "a", "x", NULL));
    }
    (void)kill(host.relay_pid, SIGTERM);
    (void)kill(host.relay_pid, SIGCONT);
    cr_assert_eq(relay_host_stop_relay(&host), 0);
    cr_assert_eq(atomic_load(&host.keep->truth.next_sequence), 301);
    int messages = 0;
    while (got(1, RC_DOWN_MESSAGE)) {
        messages++;
    }
    cr_assert_eq(messages, 300);
}

Test(relay_process, stuck_worker_does_not_hold_up_the_end)
{
    start();
    char id[16];
    int written = 0;
    for (int i = 0; i < 2000; i++) { /* answers that nobody reads fill both rings of worker 0 */
        (void)snprintf(id, sizeof(id), "%d", i);
        written += relay_host_publish(&host, 0, "a", "x", id);
        if (i % 50 == 0) {
            ring();
            (void)usleep(1000);
        }
    }
    cr_assert_lt(written, 2000);
    const uint64_t before = rc_clock_ms();
    cr_assert_eq(relay_host_stop_relay(&host), 0);
    cr_assert_lt(rc_clock_ms() - before, 8000);
    /* Nothing is lost: a successor goes on. */
    start();
    int answers = 0;
    const uint64_t end = rc_clock_ms() + PATIENCE_MS;
    while (answers < written && rc_clock_ms() < end) {
        uint32_t type;
        struct rc_envelope_view view;
        while (relay_host_down_fresh(&host, 0, &type, &view)) {
            answers += (view.head.flags & RC_ENVELOPE_ANSWER) != 0;
        }
        relay_host_done(&host, 0);
    }
    cr_assert_eq(answers, written);
}

Test(relay_process, ends_when_the_acceptor_is_gone)
{
    int status;
    start();
    relay_host_publish(&host, 0, "a", "x", "1");
    close(host.life_fds[1]);
    host.life_fds[1] = -1;
    cr_assert_eq(waitpid(host.relay_pid, &status, 0), host.relay_pid);
    host.relay_pid = 0;
    cr_assert_eq(status, 0);
    cr_assert(got(0, RC_DOWN_ANSWER), "drained before the end");
}

Test(relay_process, wrong_segments_end_it_with_an_error)
{
    int status;
    atomic_store(&host.core->ready, 1);
    relay_host_spawn_relay(&host);
    cr_assert_eq(waitpid(host.relay_pid, &status, 0), host.relay_pid);
    host.relay_pid = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    atomic_store(&host.core->ready, RC_CORE_READY);
    atomic_store(&host.workers[1].port->ready, 1);
    relay_host_spawn_relay(&host);
    cr_assert_eq(waitpid(host.relay_pid, &status, 0), host.relay_pid);
    host.relay_pid = 0;
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

Test(relay_process, killed_relay_has_a_successor_that_goes_on)
{
    start();
    relay_host_interest(&host, 1, true, "a");
    ring();
    EVENTUALLY(got(1, RC_DOWN_INTEREST));
    relay_host_done(&host, 1);
    relay_host_kill_relay(&host);
    relay_host_publish(&host, 0, "a", "x", "1");
    start();
    EVENTUALLY(got(1, RC_DOWN_MESSAGE));
    EVENTUALLY(got(0, RC_DOWN_MESSAGE)); /* with the answer: its interest is unknown */
}
