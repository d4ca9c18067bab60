/* Who gets a record: those that want the channel, those of whom nothing is known, everybody; and who is rung for it. */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/support/relay_host.h"

static struct relay_host host;
static struct rc_fanout *fanout;

/* Workers 0 and 1 want `a`, 2 wants `b`; of 3 the relay knows nothing yet. */
static void open_all(void)
{
    static const char *const a[] = {"a"};
    static const char *const b[] = {"b"};
    relay_host_open(&host, 4, 65536, 262144);
    for (uint32_t i = 0; i < 4; i++) {
        relay_host_start_worker(&host, i);
    }
    relay_host_start_relay(&host);
    cr_assert(relay_host_snapshot(&host, 0, a, 1) && relay_host_snapshot(&host, 1, a, 1) &&
              relay_host_snapshot(&host, 2, b, 1));
    relay_host_run(&host);
    fanout = &host.router.fanout;
    for (uint32_t i = 0; i < 4; i++) {
        (void)relay_host_read(&host, i);
        (void)relay_host_rung(&host, i);
    }
    rc_worker_set_put(&fanout->unknown, 3, true);
    cr_assert_not(rc_worker_set_has(&fanout->unknown, 0));
}

static void close_all(void)
{
    relay_host_close(&host);
}

TestSuite(fanout, .init = open_all, .fini = close_all);

static struct rc_envelope_view up_view(const char *channel, const char *id)
{
    return (struct rc_envelope_view){
        .head = {.channel_hash = channel[0] == '\0' ? 0 : rc_channel_hash(channel, strlen(channel)),
                 .channel_bytes = (uint8_t)strlen(channel),
                 .request_id_bytes = (uint8_t)(id == NULL ? 0 : strlen(id)),
                 .data_bytes = 1,
                 .origin = {.random = 9, .slot = 1, .worker = 0}},
        .channel = channel,
        .request_id = (const uint8_t *)id,
        .data = (const uint8_t *)"x"};
}

static void expect(const char *at0, const char *at1, const char *at2, const char *at3)
{
    const char *const wanted[] = {at0, at1, at2, at3};
    for (uint32_t i = 0; i < 4; i++) {
        const char *got = relay_host_read(&host, i);
        cr_assert_str_eq(got, wanted[i], "worker %u: %s instead of %s", i, got, wanted[i]);
    }
}

static bool send_to_all(const char *channel, uint64_t sequence, struct rc_relay_port *asker)
{
    const struct rc_envelope_view up = up_view(channel, asker == NULL ? NULL : "7");
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, RC_DOWN_MESSAGE, &up, sequence, RC_FANOUT_FLAGS, asker);
    return rc_fanout_to_all(fanout, &message);
}

Test(fanout, goes_to_those_that_want_it_and_to_those_of_whom_nothing_is_known)
{
    cr_assert(send_to_all("a", 1, NULL));
    expect("message(a,#1):x", "message(a,#1):x", "", "message(a,#1):x");
    cr_assert(send_to_all("b", 2, NULL));
    expect("", "", "message(b,#2):x", "message(b,#2):x");
    cr_assert(send_to_all("*", 3, NULL));
    expect("message(*,#3):x", "message(*,#3):x", "message(*,#3):x", "message(*,#3):x");
}

Test(fanout, the_publisher_s_worker_gets_message_and_answer_in_one_record)
{
    cr_assert(send_to_all("a", 1, &host.ports[0]));
    expect("message(a,#1,answer=7):x", "message(a,#1):x", "", "message(a,#1):x");
    /* One that does not want it gets the answer alone, which is the caller's to send. */
    cr_assert(send_to_all("b", 2, &host.ports[0]));
    const struct rc_envelope_view up = up_view("b", "7");
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, RC_DOWN_MESSAGE, &up, 2, RC_FANOUT_FLAGS, &host.ports[0]);
    rc_fanout_answer(fanout, &host.ports[0], &message, 0);
    expect("answer(b,#2,answer=7)", "", "message(b,#2):x", "message(b,#2):x");
}

Test(fanout, what_nobody_wants_is_counted)
{
    const uint64_t before = relay_host_metric(&host, RC_METRIC_UNROUTED);
    rc_worker_set_put(&fanout->unknown, 3, false);
    cr_assert_not(send_to_all("nobody", 1, NULL));
    expect("", "", "", "");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_UNROUTED), before + 1);
    cr_assert(rc_fanout_wanted(fanout, RC_SPAN("a")) && !rc_fanout_wanted(fanout, RC_SPAN("nobody")));
}

Test(fanout, a_worker_that_does_not_live_gets_nothing)
{
    rc_worker_set_put(&fanout->live, 1, false);
    cr_assert(send_to_all("a", 1, NULL));
    expect("message(a,#1):x", "", "", "message(a,#1):x");
    const struct rc_client_ref there = {.random = 5, .slot = 2, .worker = 2};
    const struct rc_client_ref dead = {.random = 5, .slot = 2, .worker = 1};
    const struct rc_client_ref nobody = {.random = 0, .slot = 2, .worker = 2};
    const struct rc_client_ref beyond = {.random = 5, .slot = 2, .worker = 4};
    const struct rc_client_ref foreign = {.random = 5, .slot = 2, .worker = RC_WORKER_FOREIGN};
    cr_assert_eq(rc_fanout_target(fanout, &there), &host.ports[2]);
    cr_assert_null(rc_fanout_target(fanout, &dead));
    cr_assert_null(rc_fanout_target(fanout, &nobody));
    cr_assert_null(rc_fanout_target(fanout, &beyond));
    cr_assert_null(rc_fanout_target(fanout, &foreign));
}

Test(fanout, gaps_go_to_those_in_the_channel)
{
    rc_fanout_gap(fanout, "b", 1, (struct rc_gap_behind){0});
    expect("", "", "gap(b)", "gap(b)");
    rc_fanout_gap(fanout, "*", 1, (struct rc_gap_behind){0});
    expect("gap(*)", "gap(*)", "gap(*)", "gap(*)");
    rc_fanout_gap(fanout, "", 0, (struct rc_gap_behind){0});
    expect("gap()", "gap()", "gap()", "gap()");
}

/* One system call for a batch, and only for those that sleep. */
Test(fanout, whoever_was_written_to_is_rung_once)
{
    cr_assert(send_to_all("b", 1, NULL) && send_to_all("b", 2, NULL));
    cr_assert(rc_worker_set_has(&fanout->touched, 2) && !rc_worker_set_has(&fanout->touched, 0));
    rc_fanout_ring(fanout);
    cr_assert(rc_worker_set_empty(&fanout->touched));
    rc_fanout_ring(fanout);
    expect("", "", "message(b,#1):x message(b,#2):x", "message(b,#1):x message(b,#2):x");
}
