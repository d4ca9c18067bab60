/* Checking deliveries: each subscriber's stream, over one and several processes. */
#include "bench/payload.h"
#include "bench/scenario.h"
#include "bench/traffic.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Two client processes' worth of state in this one; nothing is connected. */
struct world {
    struct rc_bench_options options;
    struct rc_bench_plan plan;
    struct rc_bench_shared shared;
    struct rc_bench_client clients[2];
};

static struct world *make(uint32_t subscribers, uint32_t channels, uint32_t publishers, uint32_t window,
                          uint32_t processes)
{
    struct world *const world = calloc(1, sizeof(*world));
    world->options =
        (struct rc_bench_options){.payload_bytes = 64, .prefix = "c", .window = window, .subscriptions = 1};
    struct rc_bench_plan *const plan = &world->plan;
    *plan = (struct rc_bench_plan){
        .options = &world->options,
        .protocol = rc_bench_protocol_find("broadcast"),
        .scenario = rc_bench_scenario_find("fanout"),
        .processes = processes,
        .subscribers = subscribers,
        .publishers = publishers,
        .channels = channels,
        .streams = channels > publishers ? channels : publishers,
        .window_slots = window > 0 ? 8 : 0,
    };
    plan->streams_per_channel = (plan->streams + channels - 1) / channels;
    world->shared.tallies = calloc(processes, sizeof(struct rc_bench_tally));
    world->shared.sequences = calloc(plan->streams, sizeof(*world->shared.sequences));
    world->shared.left = calloc((size_t)plan->streams * 8, sizeof(*world->shared.left));
    world->shared.finished_slots = 8;
    world->shared.finished = calloc(8, sizeof(*world->shared.finished));
    world->shared.publisher_wake = eventfd(0, EFD_NONBLOCK);
    atomic_init(&world->shared.measure_end_ns, UINT64_MAX);
    for (uint32_t p = 0; p < processes; p++) {
        struct rc_bench_client *const client = &world->clients[p];
        client->plan = plan;
        client->protocol = plan->protocol;
        client->scenario = plan->scenario;
        client->shared = &world->shared;
        client->tally = &world->shared.tallies[p];
        client->process = p;
        client->subscribers = client->slots = rc_bench_plan_count(plan, p);
        client->conns = calloc(client->slots + 1, sizeof(*client->conns));
        cr_assert_eq(rc_bench_traffic_start(client), 0);
        for (uint32_t slot = 0; slot < client->slots; slot++) {
            client->conns[slot].number = rc_bench_plan_first(plan, p) + slot;
            client->conns[slot].channel = client->conns[slot].number % channels;
            client->conns[slot].state = RC_BENCH_CONN_READY;
            rc_bench_traffic_ready(client, slot, 0);
        }
    }
    return world;
}

static void destroy(struct world *world)
{
    for (uint32_t p = 0; p < world->plan.processes; p++) {
        struct rc_bench_traffic *const traffic = world->clients[p].state;
        free(traffic->tracks);
        free(traffic->excused);
        free(traffic->counts);
        free(traffic->talkers);
        free(traffic->turns);
        rc_bench_pace_free(&traffic->pace);
        free(traffic->here);
        free(traffic->processes_on);
        free(traffic);
        free(world->clients[p].conns);
    }
    close(world->shared.publisher_wake);
    free(world->shared.tallies);
    free((void *)world->shared.sequences);
    free((void *)world->shared.left);
    free((void *)world->shared.finished);
    free(world);
}

static void deliver(struct world *world, uint32_t process, uint32_t slot, uint32_t stream, uint32_t sequence)
{
    char text[64];
    rc_bench_payload_write(text, sizeof(text), &(struct rc_bench_payload){.stream = stream, .sequence = sequence});
    rc_bench_traffic_payload(&world->clients[process], slot, rc_span_of(text, sizeof(text)), 1000);
}

Test(bench_traffic, plan_spreads_subscribers_and_counts_channels)
{
    for (uint32_t processes = 1; processes < 8; processes++) {
        for (uint32_t channels = 1; channels < 9; channels++) {
            const struct rc_bench_plan plan = {.processes = processes, .subscribers = 23, .channels = channels};
            uint32_t total = 0, on = 0;
            for (uint32_t p = 0; p < processes; p++) {
                const uint32_t first = rc_bench_plan_first(&plan, p), count = rc_bench_plan_count(&plan, p);
                total += count;
                for (uint32_t channel = 0; channel < channels; channel++) {
                    uint32_t wanted = 0;
                    for (uint32_t i = first; i < first + count; i++) {
                        wanted += i % channels == channel;
                    }
                    cr_assert_eq(rc_bench_plan_on_channel(&plan, first, count, channel), wanted);
                    on += wanted;
                }
            }
            cr_assert_eq(total, 23);
            cr_assert_eq(on, 23);
        }
    }
}

Test(bench_traffic, message_completes_when_the_last_subscriber_of_all_processes_has_it)
{
    struct world *const world = make(4, 1, 1, 2, 2);
    world->shared.sequences[0] = 2;
    deliver(world, 0, 0, 0, 0);
    deliver(world, 0, 1, 0, 0);
    deliver(world, 1, 0, 0, 0);
    cr_assert_eq(world->shared.completed, 0);
    deliver(world, 0, 0, 0, 1);
    atomic_store(&world->shared.publisher_sleeps, 1);
    deliver(world, 1, 1, 0, 0);
    cr_assert_eq(world->shared.completed, 1);
    uint64_t woken = 0;
    cr_assert_eq(read(world->shared.publisher_wake, &woken, 8), 8, "a sleeping publisher is woken");
    deliver(world, 0, 1, 0, 1);
    deliver(world, 1, 0, 0, 1);
    deliver(world, 1, 1, 0, 1);
    cr_assert_eq(world->shared.completed, 2);
    rc_bench_traffic_finish(&world->clients[0]);
    cr_assert_eq(world->clients[0].tally->lost, 0);
    cr_assert_eq(world->clients[0].tally->deliveries, 4);
    destroy(world);
}

Test(bench_traffic, gap_counts_as_lost_and_does_not_stop_the_loop)
{
    struct world *const world = make(2, 1, 1, 2, 1);
    world->shared.sequences[0] = 3;
    deliver(world, 0, 0, 0, 0);
    deliver(world, 0, 0, 0, 1);
    deliver(world, 0, 0, 0, 2);
    deliver(world, 0, 1, 0, 2); /* 0 and 1 never came */
    cr_assert_eq(world->shared.completed, 3);
    rc_bench_traffic_finish(&world->clients[0]);
    cr_assert_eq(world->clients[0].tally->lost, 2);
    cr_assert_eq(world->clients[0].tally->deliveries, 4);
    destroy(world);
}

Test(bench_traffic, end_of_a_stream_that_never_came_is_lost)
{
    struct world *const world = make(3, 1, 1, 0, 1);
    world->shared.sequences[0] = 5;
    deliver(world, 0, 0, 0, 0);
    rc_bench_traffic_finish(&world->clients[0]);
    cr_assert_eq(world->clients[0].tally->lost, 4 + 5 + 5);
    destroy(world);
}

Test(bench_traffic, late_and_repeated_are_told_apart)
{
    struct world *const world = make(1, 1, 1, 0, 1);
    world->shared.sequences[0] = 3;
    deliver(world, 0, 0, 0, 1);
    deliver(world, 0, 0, 0, 0);
    deliver(world, 0, 0, 0, 0);
    deliver(world, 0, 0, 0, 2);
    rc_bench_traffic_finish(&world->clients[0]);
    const struct rc_bench_tally *const tally = world->clients[0].tally;
    cr_assert_eq(tally->late, 1);
    cr_assert_eq(tally->duplicated, 1);
    cr_assert_eq(tally->lost, 0);
    cr_assert_eq(tally->deliveries, 3);
    destroy(world);
}

Test(bench_traffic, other_channel_or_unknown_stream_is_corruption)
{
    struct world *const world = make(2, 2, 1, 0, 1);
    deliver(world, 0, 0, 1, 0); /* subscriber 0 is on channel 0 */
    deliver(world, 0, 0, 2, 0);
    rc_bench_traffic_payload(&world->clients[0], 0, RC_SPAN("short"), 0);
    cr_assert_eq(world->clients[0].tally->corrupted, 3);
    cr_assert_eq(world->clients[0].tally->deliveries, 0);
    destroy(world);
}

Test(bench_traffic, several_publishers_on_a_channel_are_separate_streams)
{
    struct world *const world = make(1, 1, 3, 0, 1);
    deliver(world, 0, 0, 2, 0);
    deliver(world, 0, 0, 0, 0);
    deliver(world, 0, 0, 1, 0);
    deliver(world, 0, 0, 0, 1);
    for (uint32_t stream = 0; stream < 3; stream++) {
        world->shared.sequences[stream] = stream == 0 ? 2 : 1;
    }
    rc_bench_traffic_finish(&world->clients[0]);
    cr_assert_eq(world->clients[0].tally->lost, 0);
    cr_assert_eq(world->clients[0].tally->late, 0);
    destroy(world);
}

Test(bench_traffic, subscriber_that_joins_later_owes_nothing_for_before)
{
    struct world *const world = make(1, 1, 1, 0, 1);
    world->shared.sequences[0] = 50;
    atomic_store(&world->shared.phase, RC_BENCH_RUN);
    rc_bench_traffic_ready(&world->clients[0], 0, 0);
    deliver(world, 0, 0, 0, 49);
    deliver(world, 0, 0, 0, 50);
    world->shared.sequences[0] = 51;
    rc_bench_traffic_finish(&world->clients[0]);
    cr_assert_eq(world->clients[0].tally->lost, 0);
    destroy(world);
}

Test(bench_traffic, excused_subscribers_are_counted_apart)
{
    struct world *const world = make(2, 1, 1, 0, 1);
    world->shared.sequences[0] = 10;
    rc_bench_traffic_excuse(&world->clients[0], 1);
    deliver(world, 0, 1, 0, 9);
    for (uint32_t i = 0; i < 10; i++) {
        deliver(world, 0, 0, 0, i);
    }
    rc_bench_traffic_finish(&world->clients[0]);
    cr_assert_eq(world->clients[0].tally->lost, 0);
    cr_assert_eq(world->clients[0].tally->excused, 9);
    cr_assert_eq(world->clients[0].tally->latency.count, 10, "and not in the healthy ones' latency");
    destroy(world);
}

/* Publishers that are connected to nothing: what they publish stays in their outboxes. */
static void give_publishers(struct world *world, uint32_t publishers)
{
    struct rc_bench_client *const client = &world->clients[0];
    client->slots = client->subscribers + publishers;
    client->conns = realloc(client->conns, client->slots * sizeof(*client->conns));
    client->outboxes = calloc(publishers, sizeof(*client->outboxes));
    client->dirty = calloc(publishers, sizeof(*client->dirty));
    for (uint32_t i = 0; i < publishers; i++) {
        client->conns[client->subscribers + i] = (struct rc_bench_conn){
            .role = RC_BENCH_PUBLISHER, .state = RC_BENCH_CONN_READY, .number = i, .outbox = i + 1};
        client->outboxes[i] = (struct rc_bench_outbox){.bytes = malloc(65536), .room = 65536};
    }
}

static void take_publishers(struct world *world, uint32_t publishers)
{
    for (uint32_t i = 0; i < publishers; i++) {
        free(world->clients[0].outboxes[i].bytes);
    }
    free(world->clients[0].outboxes);
    free(world->clients[0].dirty);
}

/* The closed loop used to publish as many as were complete, at once and over one connection: two that had once met were never
 * apart again, and each server's figure was that of two messages in one send. */
Test(bench_traffic, messages_that_are_complete_together_are_not_followed_together)
{
    struct world *const world = make(2, 1, 2, 2, 1);
    struct rc_bench_client *const client = &world->clients[0];
    world->options.think_s = 0.001;
    world->options.publishers = 2;
    give_publishers(world, 2);
    uint64_t now = 1000000, due = rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
    uint32_t apart = 0;
    for (uint32_t round = 0; round < 20; round++) {
        cr_assert(due > now && due <= now + 2000000, "the first is due within twice the mean pause");
        now = due;
        due = rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
        apart += due != UINT64_MAX && due > now + 50000 ? 1 : 0;
        while (due != UINT64_MAX) {
            cr_assert(due <= now + 2000000);
            now = due;
            due = rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
        }
        cr_assert_eq(world->shared.sequences[0], round + 1, "each over its own connection");
        cr_assert_eq(world->shared.sequences[1], round + 1);
        now += 4000000;
        for (uint32_t slot = 0; slot < 2; slot++) { /* both in one go to all */
            deliver(world, 0, slot, 0, round);
            deliver(world, 0, slot, 1, round);
        }
        due = rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
    }
    cr_assert(apart >= 16, "%u of 20 pairs were taken apart", apart);
    cr_assert_eq(client->tally->published, 40);
    take_publishers(world, 2);
    destroy(world);
}

Test(bench_traffic, only_the_message_that_is_complete_is_followed)
{
    struct world *const world = make(2, 1, 2, 2, 1);
    struct rc_bench_client *const client = &world->clients[0];
    world->options.publishers = 2;
    give_publishers(world, 2);
    cr_assert_eq(rc_bench_traffic_turn(client, 1000, RC_BENCH_RUN), UINT64_MAX, "both are in flight");
    deliver(world, 0, 0, 0, 0);
    deliver(world, 0, 0, 1, 0);
    deliver(world, 0, 1, 1, 0);
    rc_bench_traffic_turn(client, 2000, RC_BENCH_RUN);
    cr_assert_eq(world->shared.sequences[0], 1, "one of its subscribers waits");
    cr_assert_eq(world->shared.sequences[1], 2);
    take_publishers(world, 2);
    destroy(world);
}

Test(bench_traffic, what_is_lost_does_not_end_the_loop)
{
    struct world *const world = make(1, 1, 2, 2, 1);
    struct rc_bench_client *const client = &world->clients[0];
    world->options.publishers = 2;
    give_publishers(world, 2);
    uint64_t now = 1000;
    rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
    for (uint32_t round = 0; round < 5; round++) {
        /* Nothing comes: after a while one more of each stream shows what is missing, and the talkers go on. */
        now += 3000000000;
        rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
        const uint32_t newest = world->shared.sequences[0] - 1;
        deliver(world, 0, 0, 0, newest);
        rc_bench_traffic_turn(client, now, RC_BENCH_RUN);
        if (round == 0) {
            cr_assert_eq(client->tally->stalls, 1);
            cr_assert_eq(newest, 1);
            cr_assert_eq(world->shared.sequences[0], 3, "the lost one's talker published again");
        }
    }
    take_publishers(world, 2);
    destroy(world);
}
