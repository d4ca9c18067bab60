/* Messages of a closed loop that do not move in step. */
#include "bench/pace.h"

#include <criterion/criterion.h>

/*
 * A server with one send for all that has reached it, as brokers work: what arrives while it sends waits, and leaves together. All
 * subscribers have a message `send_ns` after its send began. Returns the messages per send.
 */
static double messages_per_send(uint32_t talkers, uint64_t think_ns, uint64_t send_ns, uint32_t rounds)
{
    struct rc_bench_pace pace;
    uint32_t in_send[64], in_send_count, waiting[64], waiting_count = 0, messages = 0;
    uint64_t now = 1000;
    cr_assert_eq(rc_bench_pace_start(&pace, talkers, think_ns, 7, now), 0);
    for (uint32_t round = 0; round < rounds; round++) {
        if (waiting_count == 0) {
            now = rc_bench_pace_due(&pace);
        }
        while (rc_bench_pace_due(&pace) <= now) {
            waiting[waiting_count++] = rc_bench_pace_take(&pace);
        }
        in_send_count = waiting_count;
        for (uint32_t i = 0; i < waiting_count; i++) {
            in_send[i] = waiting[i];
        }
        waiting_count = 0;
        now += send_ns;
        while (rc_bench_pace_due(&pace) <= now) {
            waiting[waiting_count++] = rc_bench_pace_take(&pace);
        }
        for (uint32_t i = 0; i < in_send_count; i++) {
            rc_bench_pace_done(&pace, in_send[i], now);
        }
        messages += in_send_count;
    }
    rc_bench_pace_free(&pace);
    return (double)messages / rounds;
}

Test(bench_pace, without_pauses_messages_move_in_step_and_with_them_not)
{
    cr_assert_float_eq(messages_per_send(2, 0, 4000000, 1000), 2.0, 1e-9, "what this is here to prevent");
    const double apart = messages_per_send(2, 1000000, 4000000, 1000);
    cr_assert(apart < 1.05, "%.3f messages per send", apart);
    cr_assert_float_eq(messages_per_send(1, 1000000, 4000000, 1000), 1.0, 1e-9);
}

Test(bench_pace, each_is_due_within_twice_the_mean_and_all_are_taken_in_order)
{
    struct rc_bench_pace pace;
    cr_assert_eq(rc_bench_pace_start(&pace, 100, 500, 3, 10000), 0);
    uint64_t before = 10000, sum = 0;
    bool seen[100] = {false};
    for (uint32_t i = 0; i < 100; i++) {
        const uint64_t due = rc_bench_pace_due(&pace);
        cr_assert(due >= before && due <= 11000, "%llu", (unsigned long long)due);
        const uint32_t next = rc_bench_pace_next(&pace), talker = rc_bench_pace_take(&pace);
        cr_assert_eq(next, talker);
        cr_assert_not(seen[talker]);
        seen[talker] = true;
        sum += due - 10000;
        before = due;
    }
    cr_assert_eq(rc_bench_pace_due(&pace), UINT64_MAX, "all are in flight");
    cr_assert(sum > 100 * 400 && sum < 100 * 600, "the mean is %llu", (unsigned long long)(sum / 100));
    rc_bench_pace_done(&pace, 42, 20000);
    cr_assert(rc_bench_pace_due(&pace) >= 20000 && rc_bench_pace_due(&pace) <= 21000);
    cr_assert_eq(rc_bench_pace_take(&pace), 42);
    rc_bench_pace_free(&pace);
}

Test(bench_pace, streams_are_covered_and_shared_by_as_few_as_can_be)
{
    static const uint32_t talkers[] = {1, 2, 3, 7, 32, 200};
    static const uint32_t streams[] = {1, 2, 7, 32, 1000};
    for (size_t t = 0; t < sizeof(talkers) / sizeof(talkers[0]); t++) {
        for (size_t s = 0; s < sizeof(streams) / sizeof(streams[0]); s++) {
            uint32_t on[1000] = {0};
            for (uint32_t talker = 0; talker < talkers[t]; talker++) {
                bool mine[1000] = {false};
                for (uint64_t turn = 0; turn < 2000; turn++) {
                    const uint32_t stream = rc_bench_pace_stream(talker, talkers[t], streams[s], turn);
                    cr_assert(stream < streams[s]);
                    on[stream] += mine[stream] ? 0 : 1;
                    mine[stream] = true;
                }
            }
            for (uint32_t stream = 0; stream < streams[s]; stream++) {
                cr_assert(on[stream] >= 1 && on[stream] <= (talkers[t] + streams[s] - 1) / streams[s],
                          "%u talkers, %u streams: %u on stream %u", talkers[t], streams[s], on[stream], stream);
            }
        }
    }
}
