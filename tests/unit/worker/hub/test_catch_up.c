/* worker/hub/catch_up: what was published while nobody served comes all at once: who takes it as it comes is waited for, who takes nothing is slow. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/hub_rig.h"

enum { MESSAGES = 300, DATA = 1000, LOG = 16384 };

static struct hub_rig rig;
static uint32_t waited;

static void open_with(enum rc_slow_policy policy)
{
    const struct hub_rig_options options = {.slots = 4, .channel_log_bytes = LOG, .slow_consumer = policy};
    hub_rig_open(&rig, &options);
    rig.config->limits.channel_log_messages = 0;
    rig.hub.took_over_ns = rig.now_ns;
    rig.time_ns = rig.now_ns - 1;
}

static void close_all(void)
{
    hub_rig_close(&rig);
}

TestSuite(hub_catch_up, .fini = close_all, .timeout = 30);

static uint32_t reader(void)
{
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 8192);
    (void)hub_rig_subscribe(&rig, client, "news");
    hub_rig_drain(&rig);
    return client;
}

static uint64_t slow(void)
{
    return rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED);
}

/* All that there is, in the order of the ring; `reads` takes a little whenever it is waited for. */
static void comes(uint32_t reads, uint32_t client)
{
    char data[DATA + 1];
    waited = 0;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        (void)snprintf(data, sizeof(data), "\"%0*u\"", DATA - 2, i);
        const struct rc_client_ref target = client == 0 ? (struct rc_client_ref){0} : hub_rig_ref(&rig, client);
        const struct rc_span text = rc_span_of(data, DATA);
        while ((client != 0 ? hub_rig_direct(&rig, &target, text) : hub_rig_publish(&rig, "news", text, NULL, 0)) ==
               -ENOSPC) {
            hub_rig_run(&rig);
            if (rc_hub_waited(&rig.hub)) {
                waited++;
                (void)hub_rig_read(&rig, reads, 4096);
            }
        }
        hub_rig_run(&rig);
    }
}

static uint32_t frames_of(uint32_t client)
{
    uint8_t opcode;
    struct rc_span payload;
    uint32_t count = 0;
    while (hub_rig_frame(&rig, client, &opcode, &payload) && opcode == 1) {
        char wanted[16];
        (void)snprintf(wanted, sizeof(wanted), "%08u\"", count);
        cr_assert_not_null(memmem(payload.bytes, payload.count, wanted, strlen(wanted)), "message %u", count);
        count++;
    }
    return count;
}

Test(hub_catch_up, who_reads_gets_all_of_a_channel)
{
    open_with(RC_SLOW_DISCONNECT);
    const uint32_t client = reader();
    comes(client, 0);
    hub_rig_drain(&rig);
    cr_assert_eq(slow(), 0);
    cr_assert_eq(frames_of(client), MESSAGES);
    cr_assert_gt(waited, 0);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_CATCH_UP_WAITS), waited);
}

Test(hub_catch_up, nor_is_it_told_a_gap_where_it_would_skip)
{
    open_with(RC_SLOW_SKIP);
    const uint32_t client = reader();
    comes(client, 0);
    hub_rig_drain(&rig);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_SLOW_SKIPPED), 0);
    cr_assert_eq(frames_of(client), MESSAGES);
}

Test(hub_catch_up, who_reads_gets_all_that_is_for_it_alone)
{
    open_with(RC_SLOW_DISCONNECT);
    const uint32_t client = reader();
    comes(client, client);
    hub_rig_drain(&rig);
    cr_assert_eq(slow(), 0);
    cr_assert_eq(frames_of(client), MESSAGES);
}

Test(hub_catch_up, nobody_waits_for_who_takes_nothing)
{
    open_with(RC_SLOW_DISCONNECT);
    const uint32_t client = reader();
    const uint32_t stands = reader();
    rig.io.now_ds += 100;
    while (!(hub_rig_its_socket(&rig, stands)->flags & RC_SOCKET_BLOCKED)) {
        cr_assert_eq(hub_rig_publish(&rig, "other", RC_SPAN("1"), NULL, 0), 0);
        cr_assert_eq(hub_rig_publish(&rig, "news", RC_SPAN("1"), NULL, 0), 0);
        hub_rig_run(&rig);
        (void)hub_rig_read(&rig, client, 0);
    }
    hub_rig_its_socket(&rig, stands)->blocked_ds -= 50;
    rig.sequence++;
    comes(client, 0);
    cr_assert_eq(slow(), 1, "it alone");
    hub_rig_drain(&rig);
    cr_assert_neq(hub_rig_its_socket(&rig, client)->state, RC_SOCKET_FREE);
}

Test(hub_catch_up, nobody_waits_for_longer_than_some_seconds)
{
    open_with(RC_SLOW_DISCONNECT);
    const uint32_t client = reader();
    rig.now_ns += UINT64_C(6000000000);
    comes(client, 0);
    cr_assert_eq(waited, 0);
    cr_assert_eq(slow(), 1);
}

Test(hub_catch_up, nor_with_what_is_published_now)
{
    open_with(RC_SLOW_DISCONNECT);
    const uint32_t client = reader();
    rig.time_ns = rig.hub.took_over_ns + 1;
    comes(client, 0);
    cr_assert_eq(waited, 0);
    cr_assert_eq(slow(), 1);
}
