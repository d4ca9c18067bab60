/* A new configuration: checked as a whole, put in force, and over when every child has it. The test plays the children. */
#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "acceptor/watch/reload.h"
#include "tests/support/supervisor_rig.h"

static struct supervisor_rig rig;
static struct rc_supervisor *const supervisor = &rig.supervisor;

static void open_all(void)
{
    supervisor_rig_open(&rig, "[limits]\nmax_channels = 10\n");
}

static void close_all(void)
{
    supervisor_rig_close(&rig);
}

TestSuite(reload, .init = open_all, .fini = close_all);

static int ask(void)
{
    const int fd = supervisor_rig_call(&rig, "reload\n");
    bool ended;
    cr_assert_str_eq(supervisor_rig_answer(&rig, fd, &ended), "");
    cr_assert_not(ended);
    return fd;
}

static uint32_t generation(void)
{
    return atomic_load(&supervisor->broker.segments.configs->generation);
}

static uint32_t max_channels(void)
{
    return rc_segments_config(&supervisor->broker.segments)->limits.max_channels;
}

/* What has come for a caller begins with this, and (`over`) it was the last. */
static void expect(int fd, const char *text, bool over)
{
    bool ended;
    const char *got = supervisor_rig_answer(&rig, fd, &ended);
    cr_assert(strncmp(got, text, strlen(text)) == 0 && (text[0] != '\0' || got[0] == '\0'), "%s instead of %s", got,
              text);
    cr_assert_eq(ended, over, "%s", got);
    if (over) {
        (void)close(fd);
    }
}

Test(reload, is_over_when_every_child_has_it)
{
    const uint32_t before = generation();
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\n");
    const int fd = ask();
    cr_assert_eq(rc_reload_due_ms(supervisor), supervisor->now_ms);
    rc_reload_progress(supervisor);
    cr_assert(generation() == before + 1 && max_channels() == 20);
    cr_assert(supervisor->settings->config.limits.max_channels == 20);
    cr_assert_eq(rc_metric_get(rc_supervisor_metrics(supervisor), RC_METRIC_RELOADS), 1);
    expect(fd, "ok\nconfiguration 1 is in force; changed: limits.max_channels\n", false);
    supervisor_rig_acknowledge(&rig, 0);
    rc_reload_progress(supervisor);
    expect(fd, "", false);
    cr_assert_gt(rc_reload_due_ms(supervisor), supervisor->now_ms + 1000, "children ring: nobody looks before");
    supervisor_rig_acknowledge(&rig, SUPERVISOR_RIG_NOBODY);
    rc_reload_progress(supervisor);
    expect(fd, "", true);
    cr_assert_eq(rc_reload_due_ms(supervisor), UINT64_MAX);
}

Test(reload, a_wrong_file_changes_nothing)
{
    const uint32_t before = generation();
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\nno_such_key = 1\n");
    const int fd = ask();
    rc_reload_progress(supervisor);
    bool ended;
    const char *got = supervisor_rig_answer(&rig, fd, &ended);
    cr_assert(strncmp(got, "error\n", 6) == 0 && strstr(got, "no_such_key") != NULL &&
                  strstr(got, "the configuration in force stays\n") != NULL,
              "%s", got);
    cr_assert(ended);
    (void)close(fd);
    cr_assert(generation() == before && max_channels() == 10);
    cr_assert_eq(rc_metric_get(rc_supervisor_metrics(supervisor), RC_METRIC_RELOADS_REFUSED), 1);
    cr_assert(!supervisor->reload.pending && !supervisor->reload.wanted);
}

Test(reload, what_needs_a_restart_is_named_and_stays)
{
    const uint64_t ring_bytes = supervisor->settings->config.server.ring_bytes;
    supervisor_rig_write(&rig, "[server]\nring_size = \"8MiB\"\n[limits]\nmax_channels = 10\n");
    const int fd = ask();
    rc_reload_progress(supervisor);
    bool ended;
    const char *got = supervisor_rig_answer(&rig, fd, &ended);
    cr_assert(strstr(got, "changed: nothing\n") != NULL && strstr(got, "server.ring_size") != NULL, "%s", got);
    cr_assert_eq(rc_segments_config(&supervisor->broker.segments)->server.ring_bytes, ring_bytes);
    (void)close(fd);
}

/* Those that ask while one is pending get one more, of the file as it is then. */
Test(reload, reloads_asked_for_meanwhile_become_one)
{
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\n");
    const int first = ask();
    rc_reload_progress(supervisor);
    expect(first, "ok\nconfiguration 1 ", false);
    const int second = ask();
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 30\n");
    const int third = ask();
    rc_reload_ask(supervisor, RC_RELOAD_NOBODY);
    rc_reload_progress(supervisor);
    expect(second, "", false);
    cr_assert_eq(max_channels(), 20, "the other copy is still being read");
    supervisor_rig_acknowledge(&rig, SUPERVISOR_RIG_NOBODY);
    rc_reload_progress(supervisor);
    expect(first, "", true);
    cr_assert_eq(max_channels(), 30);
    expect(second, "ok\nconfiguration 2 ", false);
    expect(third, "ok\nconfiguration 2 ", false);
    supervisor_rig_acknowledge(&rig, SUPERVISOR_RIG_NOBODY);
    rc_reload_progress(supervisor);
    expect(second, "", true);
    expect(third, "", true);
    cr_assert_eq(rc_metric_get(rc_supervisor_metrics(supervisor), RC_METRIC_RELOADS), 2);
}

Test(reload, a_child_that_takes_long_is_named_and_further_reloads_wait)
{
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\n");
    const int fd = ask();
    rc_reload_progress(supervisor);
    supervisor_rig_acknowledge(&rig, 1);
    expect(fd, "ok\n", false);
    supervisor->now_ms += 4999;
    rc_reload_progress(supervisor);
    expect(fd, "", false);
    supervisor->now_ms += 1;
    rc_reload_progress(supervisor);
    expect(fd, "worker 1 has not taken it over yet; further reloads wait for it\n", true);
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 30\n");
    const int second = ask();
    rc_reload_progress(supervisor);
    expect(second, "", false);
    cr_assert_eq(max_channels(), 20);
    cr_assert_eq(rc_reload_due_ms(supervisor), UINT64_MAX, "children ring");
    /* It dies: its successor will read the configuration in force, and is not ready before it has. */
    struct rc_child *child = rc_broker_child(&supervisor->broker, 1);
    child->pid = 0;
    rc_reload_progress(supervisor);
    expect(second, "ok\nconfiguration 2 ", false);
    child->pid = 1;
    child->ready = false;
    supervisor_rig_acknowledge(&rig, SUPERVISOR_RIG_NOBODY);
    rc_reload_progress(supervisor);
    expect(second, "", false);
    child->ready = true;
    rc_reload_progress(supervisor);
    expect(second, "", true);
}

Test(reload, waits_until_the_broker_runs_and_is_refused_when_it_ends)
{
    rc_supervisor_enter(supervisor, RC_BROKER_STARTING);
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\n");
    const int fd = ask();
    rc_reload_progress(supervisor);
    expect(fd, "", false);
    cr_assert_eq(rc_reload_due_ms(supervisor), UINT64_MAX);
    rc_supervisor_enter(supervisor, RC_BROKER_DRAINING);
    rc_reload_progress(supervisor);
    expect(fd, "error\nthe broker is stopping\n", true);
    cr_assert_eq(max_channels(), 10);
    cr_assert_not(supervisor->reload.wanted);
}

Test(reload, warnings_of_the_new_file_are_told)
{
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 10\n[[event]]\non = \"a\"\nack = []\n");
    const int fd = ask();
    rc_reload_progress(supervisor);
    bool ended;
    const char *got = supervisor_rig_answer(&rig, fd, &ended);
    cr_assert(strstr(got, "warning: ") != NULL && strstr(got, "[socketio]") != NULL, "%s", got);
    (void)close(fd);
}

/* Its truth is by the configuration that its dead process had: a second one would be too many (open_config in worker/rooms.c). */
Test(reload, waits_for_whoever_is_to_be_adopted)
{
    struct rc_child *child = &supervisor->broker.workers[1];
    child->pid = 0;
    child->ready = false;
    child->orphan = RC_ADOPT_CRASHED;
    const uint32_t before = generation();
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\n");
    const int first = ask();
    rc_reload_progress(supervisor);
    cr_assert_eq(generation(), before + 1);
    expect(first, "ok\n", false);
    supervisor_rig_acknowledge(&rig, 1);
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 30\n");
    const int second = ask();
    rc_reload_progress(supervisor);
    cr_assert(generation() == before + 1 && max_channels() == 20, "the second waits");
    child->pid = 1; /* somebody adopts */
    rc_reload_progress(supervisor);
    cr_assert_eq(generation(), before + 1);
    child->ready = true;
    child->orphan = RC_ADOPT_NOBODY;
    supervisor_rig_acknowledge(&rig, SUPERVISOR_RIG_NOBODY);
    rc_reload_progress(supervisor);
    expect(first, "", true);
    rc_reload_progress(supervisor);
    cr_assert(generation() == before + 2 && max_channels() == 30);
    expect(second, "ok\n", false);
    (void)close(second);
}

Test(reload, does_not_wait_for_one_whose_clients_are_gone)
{
    struct rc_child *child = &supervisor->broker.workers[1];
    child->pid = 0;
    child->ready = false;
    supervisor_rig_write(&rig, "[limits]\nmax_channels = 20\n");
    const int fd = ask();
    rc_reload_progress(supervisor);
    expect(fd, "ok\n", false);
    supervisor_rig_acknowledge(&rig, 1);
    rc_reload_progress(supervisor);
    expect(fd, "", true);
}
