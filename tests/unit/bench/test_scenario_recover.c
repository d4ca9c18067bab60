/* Who comes back and recovers: what it gets is looked at message by message. */
#include "bench/payload.h"
#include "bench/scenario.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MISSED 3u

static struct rc_bench_options options = {
    .payload_bytes = 64, .prefix = "c", .subscriptions = 1, .missed = MISSED, .calm = 1, .rate = 10};
static struct rc_bench_plan plan;
static struct rc_bench_shared shared;
static struct rc_bench_conn conns[2];
static struct rc_bench_client client;

/* Process 1 of two, with one who comes back; process 0 has the other one. */
static void begin(uint32_t process)
{
    plan = (struct rc_bench_plan){.options = &options,
                                  .protocol = rc_bench_protocol_find("ringcast"),
                                  .scenario = &rc_bench_scenario_recover,
                                  .processes = 2,
                                  .subscribers = 2,
                                  .calm = 1,
                                  .returns = true,
                                  .publishers = 1,
                                  .channels = 1};
    shared.tallies = calloc(2, sizeof(*shared.tallies));
    shared.names = calloc(2, sizeof(*shared.names));
    atomic_init(&shared.measure_start_ns, 1000);
    client = (struct rc_bench_client){.plan = &plan,
                                      .protocol = plan.protocol,
                                      .scenario = plan.scenario,
                                      .shared = &shared,
                                      .tally = &shared.tallies[process],
                                      .process = process,
                                      .subscribers = rc_bench_plan_count(&plan, process),
                                      .conns = conns};
    memset(conns, 0, sizeof(conns));
    conns[0].state = RC_BENCH_CONN_READY;
    cr_assert_eq(client.subscribers, 1);
    cr_assert_eq(plan.scenario->start(&client), 0);
}

static void get(uint32_t stream, uint32_t sequence, uint64_t scheduled_ns, uint64_t now_ns)
{
    char text[64];
    rc_bench_payload_write(
        text, sizeof(text),
        &(struct rc_bench_payload){.stream = stream, .sequence = sequence, .scheduled_ns = scheduled_ns});
    plan.scenario->payload(&client, 0, rc_span_of(text, sizeof(text)), now_ns);
}

static void answer(uint32_t role, const char *text)
{
    conns[0].role = (uint8_t)role;
    plan.scenario->answer(&client, 0, rc_span_text(text));
}

#define TOLD(member) ((unsigned)rc_bench_counted(&client.tally->member))

Test(bench_recover, what_was_missed_comes_once_and_in_order)
{
    begin(1);
    for (uint32_t i = 0; i < MISSED; i++) {
        cr_assert_eq(TOLD(returned), 0);
        get(0, i, 0, 5000 + i);
    }
    cr_assert(TOLD(returned) == 1 && TOLD(deliveries) == MISSED);
    cr_assert_eq(TOLD(storm_ns), 4002, "since they began to come");
    plan.scenario->finish(&client);
    cr_assert(TOLD(lost) == 0 && TOLD(duplicated) == 0 && TOLD(corrupted) == 0);
}

Test(bench_recover, what_lacks_what_comes_twice_and_what_is_another_channels_is_told)
{
    begin(1);
    get(0, 1, 0, 0);
    cr_assert_eq(TOLD(skipped), 1);
    get(0, 0, 0, 0);
    get(0, 1, 0, 0);
    cr_assert_eq(TOLD(duplicated), 2);
    get(1, 2, 0, 0);
    cr_assert_eq(TOLD(corrupted), 1);
    plan.scenario->finish(&client);
    cr_assert(TOLD(lost) == 2 && TOLD(returned) == 0, "the first and the last");
}

Test(bench_recover, who_is_not_recovered_is_told)
{
    begin(1);
    answer(RC_BENCH_SUBSCRIBER, "{\"type\":\"subscribed\",\"recovered\":true}");
    cr_assert_eq(TOLD(refused), 0);
    answer(RC_BENCH_SUBSCRIBER, "{\"type\":\"subscribed\",\"scope\":\"local\",\"recovered\":false}");
    cr_assert_eq(TOLD(refused), 1);
}

/* The place that others come back with is the one before the first message that they miss. */
Test(bench_recover, a_publish_without_a_place_in_a_history_ends_the_run)
{
    begin(0);
    answer(RC_BENCH_PUBLISHER, "{\"type\":\"published\",\"id\":1}");
    cr_assert_eq(TOLD(failed), 1);
    answer(RC_BENCH_PUBLISHER, "{\"type\":\"published\",\"id\":1,\"epoch\":\"5f\",\"offset\":8}");
    cr_assert_eq(TOLD(failed), 2, "nothing was published");
}

Test(bench_recover, the_latency_of_others_is_told_for_before_and_meanwhile)
{
    begin(0);
    get(RC_BENCH_STREAM_MAX, 0, 500, 900);
    cr_assert(client.tally->before.count == 1 && client.tally->latency.count == 0);
    get(RC_BENCH_STREAM_MAX, 1, 1500, 1900);
    cr_assert(client.tally->before.count == 1 && client.tally->latency.count == 1);
}
