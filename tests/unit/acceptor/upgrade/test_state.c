/* acceptor/upgrade/state: what is written is read again; what is cut or of another form is refused. */
#include "acceptor/upgrade/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

static void fill(struct rc_state *state)
{
    static const char text[] = "twelve bytes";
    rc_state_open(state);
    rc_state_put(state, 1, NULL, 0);
    rc_state_put(state, 2 | RC_STATE_MUST, text, 12);
    rc_state_put_with(state, 3, text, 3, text + 3, 9);
}

Test(state, records_come_back_in_order)
{
    struct rc_state state;
    struct rc_state back;
    struct rc_err err = {{0}};
    uint32_t tag = 0;
    struct rc_span payload;
    size_t at = 0;
    fill(&state);
    const int fd = rc_state_save(&state, &err);
    cr_assert_geq(fd, 0, "%s", err.text);
    cr_assert_eq(rc_state_load(&back, fd, &err), 0, "%s", err.text);
    cr_assert_eq(rc_state_next(&back, &at, &tag, &payload), 1);
    cr_assert(tag == 1 && payload.count == 0);
    for (uint32_t expected = 2; expected <= 3; expected++) {
        cr_assert_eq(rc_state_next(&back, &at, &tag, &payload), 1);
        cr_assert_eq(tag & ~RC_STATE_MUST, expected);
        cr_assert(rc_span_equal(payload, RC_SPAN("twelve bytes")));
    }
    cr_assert_eq(rc_state_next(&back, &at, &tag, &payload), 0);
    close(fd);
    rc_state_close(&state);
    rc_state_close(&back);
}

Test(state, every_cut_and_every_wrong_length_is_refused)
{
    struct rc_state state;
    struct rc_err err;
    fill(&state);
    cr_assert_eq(rc_state_check(&state, &err), 0);
    const size_t whole = state.count;
    for (state.count = 0; state.count < whole; state.count++) {
        cr_assert_eq(rc_state_check(&state, &err), -EBADMSG, "%zu of %zu bytes", state.count, whole);
    }
    /* A record longer than what there is, with a head that agrees with the whole. */
    const uint32_t wrong = 4096;
    memcpy(state.bytes + 16 + 4, &wrong, sizeof(wrong));
    cr_assert_eq(rc_state_check(&state, &err), -EBADMSG);
    state.bytes[0] ^= 1;
    cr_assert_eq(rc_state_check(&state, &err), -EBADMSG, "another form");
    rc_state_close(&state);
}

Test(state, what_is_no_state_is_refused)
{
    struct rc_state state;
    struct rc_err err;
    int pipe_fds[2];
    cr_assert_eq(rc_state_load(&state, -1, &err), -EBADF);
    cr_assert_eq(pipe(pipe_fds), 0);
    cr_assert_eq(rc_state_load(&state, pipe_fds[0], &err), -EBADMSG);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

Test(state, it_grows_up_to_its_bound)
{
    struct rc_state state;
    const size_t bytes = 1u << 20;
    char *zeros = calloc(1, bytes);
    cr_assert_not_null(zeros);
    rc_state_open(&state);
    for (int i = 0; i < 60; i++) {
        rc_state_put(&state, 9, zeros, bytes);
    }
    cr_assert_eq(state.rc, 0);
    for (int i = 0; i < 10; i++) {
        rc_state_put(&state, 9, zeros, bytes);
    }
    cr_assert_eq(state.rc, -E2BIG);
    cr_assert_leq(state.count, RC_STATE_BYTES_MAX);
    struct rc_err err = {{0}};
    cr_assert_eq(rc_state_save(&state, &err), -E2BIG, "what is not whole is not written");
    free(zeros);
    rc_state_close(&state);
}
