/* scenario_connect: connections for their own sake: made and dropped at once (connect), or held (idle). */
#include "bench/scenario.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdlib.h>

struct cycle {
    uint32_t *free; /* slots to open, a stack */
    uint32_t free_count;
    uint64_t opened;
};

static int connect_start(struct rc_bench_client *client)
{
    struct cycle *const cycle = calloc(1, sizeof(*cycle));
    if (cycle == NULL) {
        return -ENOMEM;
    }
    client->state = cycle;
    cycle->free = calloc(client->subscribers + 1, sizeof(*cycle->free));
    if (cycle->free == NULL) {
        return -ENOMEM;
    }
    for (uint32_t slot = client->subscribers; slot-- > 0;) {
        cycle->free[cycle->free_count++] = slot;
    }
    return 0;
}

static void connect_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns)
{
    (void)now_ns;
    rc_bench_count(&client->tally->deliveries, 1); /* what is counted here is connections */
    rc_bench_client_close(client, slot);
}

static void connect_closed(struct rc_bench_client *client, uint32_t slot)
{
    struct cycle *const cycle = client->state;
    cycle->free[cycle->free_count++] = slot;
}

static uint64_t connect_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    struct cycle *const cycle = client->state;
    if (phase != RC_BENCH_RUN) {
        return UINT64_MAX;
    }
    const double rate = client->plan->options->rate;
    const double interval_ns = rate > 0 ? 1e9 * client->plan->subscribers / rate / client->subscribers : 0;
    const uint64_t began = rc_bench_counted(&client->shared->run_start_ns);
    /* One round of the stack: what fails at once comes back to it. */
    for (uint32_t i = cycle->free_count; i > 0; i--) {
        if (rate > 0) {
            const uint64_t due = began + (uint64_t)((double)cycle->opened * interval_ns);
            if (due > now_ns) {
                return due;
            }
        }
        cycle->opened++;
        rc_bench_client_open(client, cycle->free[--cycle->free_count]);
    }
    return UINT64_MAX;
}

const struct rc_bench_scenario rc_bench_scenario_connect = {
    .name = "connect",
    .help = "connect, upgrade, drop, again; --connections at a time, --rate a second (default: as many as go)",
    .default_protocol = "ringcast",
    .role = RC_BENCH_TARGET,
    .opens_itself = true,
    .start = connect_start,
    .ready = connect_ready,
    .closed = connect_closed,
    .turn = connect_turn,
};

const struct rc_bench_scenario rc_bench_scenario_idle = {
    .name = "idle",
    .help =
        "hold connections: memory for each, of the server and of the kernel, and CPU while nothing but pings happens",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .idle = true,
    .holds_steady = true,
};
