/* What the console's callers may ask, and when they are answered: at once, or when what they asked for is done. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/request.h"
#include "tests/support/supervisor_rig.h"
#include "version.h"

static struct supervisor_rig rig;
static struct rc_supervisor *const supervisor = &rig.supervisor;

static void open_all(void)
{
    supervisor_rig_open(&rig, "[server]\ninstance_id = \"here\"\ndrain_timeout = \"7s\"\n");
}

static void close_all(void)
{
    supervisor_rig_close(&rig);
}

TestSuite(request, .init = open_all, .fini = close_all);

/* The whole answer to a request that is answered at once. */
static const char *answer_at_once(const char *line)
{
    bool ended;
    const int fd = supervisor_rig_call(&rig, line);
    const char *text = supervisor_rig_answer(&rig, fd, &ended);
    cr_assert(ended, "%s is not answered: %s", line, text);
    (void)close(fd);
    return text;
}

Test(request, version_and_what_is_not_known)
{
    cr_assert_str_eq(answer_at_once("version\n"), "ok\n" RC_VERSION "\n");
    const char *text = answer_at_once("versions\n");
    cr_assert(strncmp(text, "error\n", 6) == 0 && strstr(text, RC_VERSION) != NULL, "%s", text);
    cr_assert_eq(strncmp(answer_at_once("\n"), "error\n", 6), 0);
}

Test(request, status_for_people_and_for_programs)
{
    const char *text = answer_at_once("status\n");
    cr_assert_eq(strncmp(text, "ok\n", 3), 0);
    cr_assert(strstr(text, "here") != NULL && strstr(text, "worker 1") != NULL && strstr(text, "relay") != NULL, "%s",
              text);
    text = answer_at_once("status json\n");
    cr_assert_eq(strncmp(text, "ok\n", 3), 0);
    json_t *status = json_loads(text + 3, 0, NULL);
    cr_assert(status != NULL, "%s", text);
    cr_assert_str_eq(json_string_value(json_object_get(status, "instance")), "here");
    cr_assert_eq(json_array_size(json_object_get(status, "processes")), 4);
    json_decref(status);
}

Test(request, who_stops_the_broker_is_told_of_its_end)
{
    bool ended;
    const int fd = supervisor_rig_call(&rig, "stop\n");
    cr_assert_str_eq(supervisor_rig_answer(&rig, fd, &ended), "ok\nclients are sent away, for 7 s at most\n");
    cr_assert_not(ended);
    cr_assert_eq(rc_supervisor_state(supervisor), RC_BROKER_DRAINING);
    cr_assert_eq(atomic_load(&rc_broker_core(&supervisor->broker)->drain_deadline_ms), supervisor->now_ms + 7000);
    const int second = supervisor_rig_call(&rig, "stop\n");
    cr_assert_eq(strncmp(supervisor_rig_answer(&rig, second, &ended), "ok\n", 3), 0);
    cr_assert_not(ended);
    rc_request_ended(supervisor);
    cr_assert_str_eq(supervisor_rig_answer(&rig, fd, &ended), "ended\n");
    cr_assert(ended);
    cr_assert_str_eq(supervisor_rig_answer(&rig, second, &ended), "ended\n");
    cr_assert(ended);
    cr_assert_eq(supervisor->stop_waiter_count, 0);
    (void)close(fd);
    (void)close(second);
}

Test(request, stop_now_does_not_wait_for_clients)
{
    bool ended;
    const int fd = supervisor_rig_call(&rig, "stop now\n");
    cr_assert_str_eq(supervisor_rig_answer(&rig, fd, &ended), "ok\nstopping\n");
    cr_assert_not(ended);
    cr_assert_eq(rc_supervisor_state(supervisor), RC_BROKER_STOPPING);
    (void)close(fd);
}

/* Whoever has gone meanwhile is no reason not to tell the others. */
Test(request, a_caller_that_has_gone_is_not_told)
{
    bool ended;
    const int gone = supervisor_rig_call(&rig, "stop\n");
    (void)supervisor_rig_answer(&rig, gone, &ended);
    (void)close(gone);
    const int fd = supervisor_rig_call(&rig, "stop\n");
    (void)supervisor_rig_answer(&rig, fd, &ended);
    rc_request_ended(supervisor);
    cr_assert_str_eq(supervisor_rig_answer(&rig, fd, &ended), "ended\n");
    cr_assert(ended);
    (void)close(fd);
}

Test(request, a_reload_is_only_asked_for)
{
    bool ended;
    const int fd = supervisor_rig_call(&rig, "reload\n");
    cr_assert_str_eq(supervisor_rig_answer(&rig, fd, &ended), "");
    cr_assert(!ended && supervisor->reload.wanted && supervisor->reload.waiter_count == 1);
    (void)close(fd);
}
