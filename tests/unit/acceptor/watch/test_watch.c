/* Children that run and end: what the supervisor does where the kernel refuses it something. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acceptor/watch/watch.h"
#include "tests/support/supervisor_rig.h"

static struct supervisor_rig rig;
static struct rc_supervisor *const supervisor = &rig.supervisor;

static void open_all(void)
{
    supervisor_rig_open(&rig, "");
}

static void close_all(void)
{
    supervisor_rig_close(&rig);
}

TestSuite(watch, .init = open_all, .fini = close_all, .timeout = 20);

Test(watch, a_child_that_epoll_does_not_take_runs_and_its_end_is_noticed)
{
    struct rc_broker *broker = &supervisor->broker;
    struct rc_child *child = &broker->relay;
    struct rc_err err;
    cr_assert_eq(rc_identity_resolve(&broker->identity, "", &err), 0);
    broker->relay_program.fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(broker->relay_program.fd, 0);
    supervisor->epoll_fd = -1;
    child->pid = 0;
    child->ready = false;
    rc_watch_start(supervisor, rc_broker_child_count(broker) - 1);
    cr_assert_eq(rc_supervisor_state(supervisor), RC_BROKER_RUNNING);
    cr_assert_neq(child->pid, 0);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
    broker->workers[0].ready = broker->workers[1].ready = false; /* nobody is judged here */
    rc_watch_tick(supervisor, true);
    cr_assert_eq(child->pid, 0);
    cr_assert_gt(child->restart_due_ms, 0, "the next one comes");
}

/* Somebody makes it crash, time and again: everybody else is waiting for its successor. */
Test(watch, the_clients_of_a_worker_that_crashes_again_do_not_wait_longer)
{
    struct rc_broker *broker = &supervisor->broker;
    struct rc_child *child = &broker->workers[0];
    broker->adopts = true;
    broker->vault_fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    broker->truth_fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    broker->io_fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (uint32_t crash = 1; crash < RC_RESTART_CRASHES_MAX; crash++) {
        siginfo_t info;
        child->started_ms = supervisor->now_ms;
        supervisor->now_ms += 10500; /* long enough not to have crashed of what it adopted */
        child->ready = true;
        child->pid = fork();
        cr_assert_geq(child->pid, 0);
        if (child->pid == 0) {
            (void)signal(SIGILL, SIG_DFL);
            (void)raise(SIGILL);
        }
        cr_assert_eq(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
        rc_watch_reap(supervisor, 0);
        cr_assert_eq(child->pid, 0);
        cr_assert_eq(child->orphan, RC_ADOPT_CRASHED);
        cr_assert_eq(child->restart_due_ms, supervisor->now_ms, "crash %u: after %lu ms", crash,
                     (unsigned long)(child->restart_due_ms - supervisor->now_ms));
        rc_broker_adopted(broker, child);
    }
    rc_broker_bury(broker, child);
}

/* However long its predecessor ran: as with crashes the tries are further and further apart, or ten of them were over in a moment. */
Test(watch, a_child_that_cannot_be_prepared_is_tried_again_later_and_later)
{
    struct rc_child *child = &supervisor->broker.relay;
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 3, .rlim_max = before.rlim_max};
    supervisor->now_ms = 1000000;
    child->pid = 0;
    child->ready = false;
    child->started_ms = supervisor->now_ms - 10 * RC_RESTART_WINDOW_MS;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t delay_ms = 0;
    for (uint32_t i = 0; i < 40; i++) { /* more often than a child may crash */
        rc_watch_start(supervisor, rc_broker_child_count(&supervisor->broker) - 1);
        cr_assert_eq(child->pid, 0);
        cr_assert_geq(child->restart_due_ms, supervisor->now_ms);
        cr_assert(i == 0 || delay_ms == RC_RESTART_DELAY_MAX_MS ||
                      child->restart_due_ms - supervisor->now_ms > delay_ms,
                  "try %u", i);
        delay_ms = child->restart_due_ms - supervisor->now_ms;
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(rc_supervisor_state(supervisor), RC_BROKER_RUNNING);
}
