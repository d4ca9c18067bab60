/* acceptor/upgrade/image: what one acceptor writes, the next one reads. */
#include "acceptor/upgrade/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/supervisor_rig.h"
#include "version.h"

static struct supervisor_rig *rig;
static struct rc_state state;

static void open_all(void)
{
    rig = calloc(1, sizeof(*rig));
    cr_assert_not_null(rig);
    supervisor_rig_open(rig, "[limits]\nmax_channels = 77\n[[namespace]]\nname = \"news\"\n");
    for (uint32_t i = 0; i < rc_broker_child_count(&rig->supervisor.broker); i++) {
        rc_broker_child(&rig->supervisor.broker, i)->pidfd = eventfd(0, EFD_CLOEXEC);
    }
    rc_state_open(&state);
}

static void close_all(void)
{
    rc_state_close(&state);
    for (uint32_t i = 0; i < rc_broker_child_count(&rig->supervisor.broker); i++) {
        close(rc_broker_child(&rig->supervisor.broker, i)->pidfd);
    }
    supervisor_rig_close(rig);
    free(rig);
}

TestSuite(image, .init = open_all, .fini = close_all);

static struct rc_supervisor *empty(void)
{
    struct rc_supervisor *supervisor = calloc(1, sizeof(*supervisor));
    cr_assert_not_null(supervisor);
    supervisor->settings = rc_settings_new(NULL, false);
    cr_assert_not_null(supervisor->settings);
    return supervisor;
}

static void empty_free(struct rc_supervisor *supervisor)
{
    rc_image_forget(supervisor);
    rc_settings_free(supervisor->settings);
    free(supervisor);
}

Test(image, children_sizes_and_configuration_come_back)
{
    struct rc_supervisor *next = empty();
    struct rc_err err = {{0}};
    rig->supervisor.broker.workers[1].restarts = 7;
    rig->supervisor.broker.workers[1].restart.crashes_ms[0] = 123;
    rig->supervisor.upgrade.handle = 42;
    rc_image_write(&rig->supervisor, &state);
    cr_assert_eq(state.rc, 0);
    cr_assert_eq(rc_image_read(next, &state, &err), 0, "%s", err.text);
    cr_assert_eq(next->broker.worker_count, 2u);
    cr_assert_eq(next->broker.segments.ring_bytes, rig->supervisor.broker.segments.ring_bytes);
    cr_assert_eq(next->broker.workers[1].restarts, 7u);
    cr_assert_eq(next->broker.workers[1].restart.crashes_ms[0], 123u);
    cr_assert_eq(next->broker.workers[1].bell_fd, rig->supervisor.broker.workers[1].bell_fd);
    cr_assert_eq(next->upgrade.handle, 42u);
    cr_assert_str_eq(next->settings->source.text, rig->supervisor.settings->source.text);
    cr_assert_null(next->settings->base.text);
    cr_assert_not_null(strstr(next->settings->former_rows.text, "namespace 2 default news\n"));
    char version[64];
    char numbers[1024];
    rc_image_origin(&state, version, numbers);
    cr_assert_str_eq(version, RC_VERSION);
    cr_assert_not_null(strstr(numbers, "report "));
    empty_free(next);
}

static bool ends_with(struct rc_span text, struct rc_span end)
{
    return text.count >= end.count && memcmp(text.bytes + text.count - end.count, end.bytes, end.count) == 0;
}

/* Of a build that does not say it, this one, and one that says more. */
Test(image, what_a_process_died_of_comes_back_as_far_as_it_is_said)
{
    static const char words[] = "signal 11 (SEGV), core dumped";
    static const char more[] = "signal 11 (SEGV), core dumped in one of the places that are well known";
    const struct rc_span said = rc_span_of(words, sizeof(words) - 1);
    strcpy(rig->supervisor.broker.workers[1].ended, words);
    rc_image_write(&rig->supervisor, &state);
    for (size_t round = 0; round < 3; round++) {
        struct rc_supervisor *next = empty();
        struct rc_err err = {{0}};
        struct rc_state other;
        uint32_t tag;
        struct rc_span payload;
        size_t at = 0;
        rc_state_open(&other);
        while (rc_state_next(&state, &at, &tag, &payload) == 1) {
            const bool its = ends_with(payload, said);
            const struct rc_span end = !its || round == 0 ? (struct rc_span){0}
                                       : round == 1       ? said
                                                          : rc_span_of(more, sizeof(more) - 1);
            rc_state_put_with(&other, tag, payload.bytes, payload.count - (its ? said.count : 0), end.bytes, end.count);
        }
        cr_assert_eq(other.rc, 0);
        cr_assert_eq(rc_image_read(next, &other, &err), 0, "%s", err.text);
        const char *ended = next->broker.workers[1].ended;
        if (round < 2) {
            cr_assert_str_eq(ended, round == 0 ? "" : words);
        } else {
            cr_assert_eq(strlen(ended), RC_CHILD_ENDED_BYTES - 1u);
            cr_assert_eq(memcmp(ended, more, RC_CHILD_ENDED_BYTES - 1), 0);
        }
        cr_assert_str_eq(next->broker.workers[0].ended, "");
        rc_state_close(&other);
        empty_free(next);
    }
}

Test(image, what_must_be_understood_and_is_not_is_refused_and_the_rest_passed_over)
{
    struct rc_supervisor *next = empty();
    struct rc_err err = {{0}};
    rc_image_write(&rig->supervisor, &state);
    rc_state_put(&state, 4000, "x", 1);
    cr_assert_eq(rc_image_read(next, &state, &err), 0, "%s", err.text);
    empty_free(next);
    next = empty();
    rc_state_put(&state, 4001 | RC_STATE_MUST, "x", 1);
    cr_assert_eq(rc_image_read(next, &state, &err), -ENOTSUP);
    cr_assert_not_null(strstr(err.text, "tag 4001"), "%s", err.text);
    empty_free(next);
}

/* Each record without its last bytes, and with a descriptor that is none. */
Test(image, every_record_that_is_cut_is_refused)
{
    struct rc_err err;
    rc_image_write(&rig->supervisor, &state);
    uint32_t tag;
    struct rc_span payload;
    size_t at = 0;
    while (rc_state_next(&state, &at, &tag, &payload) == 1) {
        if ((tag & RC_STATE_MUST) == 0 || payload.count < 8) {
            continue;
        }
        struct rc_state cut;
        uint32_t other;
        struct rc_span rest;
        size_t from = 0;
        struct rc_supervisor *next = empty();
        rc_state_open(&cut);
        while (rc_state_next(&state, &from, &other, &rest) == 1) {
            rc_state_put(&cut, other, rest.bytes, from == at ? 7 : rest.count);
        }
        const bool text =
            payload.count == rig->supervisor.settings->source.bytes; /* every beginning of one is a text */
        cr_expect(text || rc_image_read(next, &cut, &err) == -EBADMSG, "tag %u", tag & ~RC_STATE_MUST);
        rc_state_close(&cut);
        empty_free(next);
    }
}
