/* pace: see pace.h. */
#include "bench/pace.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdlib.h>

/* xorshift64*: good enough for pauses, and the same on every run of a test. */
static uint64_t random_of(struct rc_bench_pace *pace)
{
    pace->seed ^= pace->seed >> 12;
    pace->seed ^= pace->seed << 25;
    pace->seed ^= pace->seed >> 27;
    return pace->seed * UINT64_C(2685821657736338717);
}

static void heap_swap(struct rc_bench_pace_due *a, struct rc_bench_pace_due *b)
{
    const struct rc_bench_pace_due kept = *a;
    *a = *b;
    *b = kept;
}

void rc_bench_pace_done(struct rc_bench_pace *pace, uint32_t talker, uint64_t now_ns)
{
    RC_ASSERT(talker < pace->count && pace->waiting_count < pace->count);
    const uint64_t pause_ns = pace->think_ns == 0 ? 0 : random_of(pace) % (2 * pace->think_ns + 1);
    struct rc_bench_pace_due *const heap = pace->waiting;
    uint32_t at = pace->waiting_count++;
    heap[at] = (struct rc_bench_pace_due){.at_ns = now_ns + pause_ns, .talker = talker};
    while (at > 0 && heap[at].at_ns < heap[(at - 1) / 2].at_ns) {
        heap_swap(&heap[at], &heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

int rc_bench_pace_start(struct rc_bench_pace *pace, uint32_t count, uint64_t think_ns, uint64_t seed, uint64_t now_ns)
{
    *pace = (struct rc_bench_pace){.count = count, .think_ns = think_ns, .seed = seed | 1};
    pace->waiting = calloc(count, sizeof(*pace->waiting));
    if (pace->waiting == NULL) {
        return -ENOMEM;
    }
    for (uint32_t talker = 0; talker < count; talker++) {
        rc_bench_pace_done(pace, talker, now_ns);
    }
    return 0;
}

void rc_bench_pace_free(struct rc_bench_pace *pace)
{
    free(pace->waiting);
    pace->waiting = NULL;
}

uint64_t rc_bench_pace_due(const struct rc_bench_pace *pace)
{
    return pace->waiting_count > 0 ? pace->waiting[0].at_ns : UINT64_MAX;
}

uint32_t rc_bench_pace_next(const struct rc_bench_pace *pace)
{
    RC_ASSERT(pace->waiting_count > 0);
    return pace->waiting[0].talker;
}

uint32_t rc_bench_pace_take(struct rc_bench_pace *pace)
{
    const uint32_t talker = rc_bench_pace_next(pace);
    struct rc_bench_pace_due *const heap = pace->waiting;
    heap[0] = heap[--pace->waiting_count];
    for (uint32_t at = 0, child = 1; child < pace->waiting_count; child = 2 * at + 1) {
        child += child + 1 < pace->waiting_count && heap[child + 1].at_ns < heap[child].at_ns ? 1 : 0;
        if (heap[at].at_ns <= heap[child].at_ns) {
            break;
        }
        heap_swap(&heap[at], &heap[child]);
        at = child;
    }
    return talker;
}

uint32_t rc_bench_pace_stream(uint32_t talker, uint32_t talkers, uint32_t streams, uint64_t turn)
{
    if (streams <= talkers) {
        return talker % streams;
    }
    const uint32_t own = (streams - talker + talkers - 1) / talkers;
    return talker + (uint32_t)(turn % own) * talkers;
}
