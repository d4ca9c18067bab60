/* scenario_churn: subscribers that do not behave while messages flow: that come and go, all come back at once, or do not
 * read. All need an open loop: a closed one waits for every subscriber. */
#include "bench/scenario.h"

#include "bench/traffic.h"

#include "common/base/check.h"
#include "common/base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define STORM_AFTER_NS 1000000000u /* of measured time, so that the time before is in the figures too */

struct comings {
    uint32_t *queue; /* slots in the order in which they come (churn: free ones; storm: those to reopen) */
    uint32_t queue_room;
    uint32_t queue_head; /* counted without wrapping */
    uint32_t queue_tail;
    uint32_t *leaving; /* churn: slots in the order in which they became ready, the same room */
    uint32_t leaving_head;
    uint32_t leaving_tail;
    uint64_t came;
    uint64_t began_ns;     /* of the storm; 0: not yet */
    uint64_t next_read_ns; /* slow */
    uint32_t slow_count;
    bool resumed;
};

static struct comings *comings_of(const struct rc_bench_client *client)
{
    return ((struct rc_bench_traffic *)client->state)->own;
}

static int comings_start(struct rc_bench_client *client)
{
    int rc = rc_bench_traffic_start(client);
    struct comings *const comings = calloc(1, sizeof(*comings));
    if (rc != 0 || comings == NULL) {
        return rc != 0 ? rc : -ENOMEM;
    }
    ((struct rc_bench_traffic *)client->state)->own = comings;
    comings->queue_room = client->subscribers + 1;
    comings->queue = calloc(comings->queue_room, sizeof(*comings->queue));
    comings->leaving = calloc(comings->queue_room, sizeof(*comings->leaving));
    return comings->queue == NULL || comings->leaving == NULL ? -ENOMEM : 0;
}

static void coming_push(struct comings *comings, uint32_t slot)
{
    comings->queue[comings->queue_tail++ % comings->queue_room] = slot;
}

/* --- churn ------------------------------------------------------------------------------------------------------------ */

static double share_of_rate(const struct rc_bench_client *client)
{
    return client->plan->options->churn_rate * client->subscribers / client->plan->subscribers;
}

static int churn_start(struct rc_bench_client *client)
{
    const int rc = comings_start(client);
    if (rc != 0) {
        return rc;
    }
    /* This process's part of those that come and go, its last subscribers. */
    const struct rc_bench_plan *const plan = client->plan;
    const uint32_t restless =
        (uint32_t)(((uint64_t)plan->restless * client->subscribers + plan->subscribers - 1) / plan->subscribers);
    client->held_back = restless;
    for (uint32_t i = 0; i < restless; i++) {
        coming_push(comings_of(client), client->subscribers - restless + i);
    }
    return 0;
}

static void churn_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns)
{
    struct comings *const comings = comings_of(client);
    rc_bench_traffic_ready(client, slot, now_ns);
    if (slot >= client->subscribers - client->held_back) {
        comings->leaving[comings->leaving_tail++ % comings->queue_room] = slot;
        client->conns[slot].started_ns = now_ns;
    }
}

static void churn_closed(struct rc_bench_client *client, uint32_t slot)
{
    if (slot >= client->subscribers - client->held_back && slot < client->subscribers) {
        coming_push(comings_of(client), slot);
    }
}

static uint64_t churn_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    struct comings *const comings = comings_of(client);
    uint64_t until_ns = rc_bench_traffic_turn(client, now_ns, phase);
    if (phase != RC_BENCH_RUN || client->held_back == 0) {
        return until_ns;
    }
    const uint64_t stay_ns = (uint64_t)(client->plan->options->churn_stay_s * 1e9);
    while (comings->leaving_head != comings->leaving_tail) {
        const uint32_t slot = comings->leaving[comings->leaving_head % comings->queue_room];
        const uint64_t until = client->conns[slot].started_ns + stay_ns;
        if (client->conns[slot].state == RC_BENCH_CONN_READY && until > now_ns) {
            until_ns = until < until_ns ? until : until_ns;
            break;
        }
        comings->leaving_head++;
        rc_bench_client_close(client, slot);
    }
    const uint64_t began = rc_bench_counted(&client->shared->run_start_ns);
    while (comings->queue_head != comings->queue_tail) {
        const uint64_t due = began + (uint64_t)((double)comings->came * 1e9 / share_of_rate(client));
        if (due > now_ns) {
            return due < until_ns ? due : until_ns;
        }
        comings->came++;
        rc_bench_client_open(client, comings->queue[comings->queue_head++ % comings->queue_room]);
    }
    return until_ns;
}

const struct rc_bench_scenario rc_bench_scenario_churn = {
    .name = "churn",
    .help = "fanout in which --churn-rate connections a second come, stay --churn-stay and go",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .churns = true,
    .open_loop_only = true,
    .start = churn_start,
    .ready = churn_ready,
    .payload = rc_bench_traffic_payload,
    .closed = churn_closed,
    .turn = churn_turn,
    .finish = rc_bench_traffic_finish,
};

/* --- storm ------------------------------------------------------------------------------------------------------------ */

static void storm_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns)
{
    const struct comings *const comings = comings_of(client);
    rc_bench_traffic_ready(client, slot, now_ns);
    if (comings->began_ns != 0) {
        rc_bench_count(&client->tally->returned, 1);
        atomic_store_explicit(&client->tally->storm_ns, now_ns - comings->began_ns, memory_order_relaxed);
    }
}

static void storm_closed(struct rc_bench_client *client, uint32_t slot)
{
    if (slot < client->subscribers && comings_of(client)->began_ns != 0) {
        coming_push(comings_of(client), slot);
    }
}

static uint64_t storm_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    struct comings *const comings = comings_of(client);
    const uint64_t until_ns = rc_bench_traffic_turn(client, now_ns, phase);
    if (phase < RC_BENCH_RUN) {
        return until_ns;
    }
    const uint64_t measured = rc_bench_counted(&client->shared->measure_start_ns);
    const uint64_t due = measured == UINT64_MAX ? UINT64_MAX : client->plan->base_ns + measured + STORM_AFTER_NS;
    if (comings->began_ns == 0 && now_ns >= due) {
        comings->began_ns = now_ns;
        for (uint32_t slot = 0; slot < client->subscribers; slot++) {
            rc_bench_client_close(client, slot);
        }
    }
    while (comings->queue_head != comings->queue_tail && client->opening < client->plan->options->connect_window) {
        const uint32_t slot = comings->queue[comings->queue_head++ % comings->queue_room];
        rc_bench_client_open(client, slot);
        /* Everybody wanted to be back at once: what waits for its turn here waits all the same. */
        client->conns[slot].started_ns = comings->began_ns;
    }
    return comings->began_ns == 0 && due < until_ns ? due : until_ns;
}

const struct rc_bench_scenario rc_bench_scenario_storm = {
    .name = "storm",
    .help = "hold connections (with --rate: under traffic), drop all, and see how long until everybody is back",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .open_loop_only = true,
    .start = comings_start,
    .ready = storm_ready,
    .payload = rc_bench_traffic_payload,
    .closed = storm_closed,
    .turn = storm_turn,
    .finish = rc_bench_traffic_finish,
};

/* --- slow ------------------------------------------------------------------------------------------------------------- */

/* Spread evenly: of the first n subscribers, floor(n * share) are slow. */
static bool is_slow(const struct rc_bench_client *client, uint32_t slot)
{
    const double share = client->plan->options->slow_share;
    const double number = client->conns[slot].number;
    return floor((number + 1) * share) > floor(number * share);
}

static void slow_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns)
{
    rc_bench_traffic_ready(client, slot, now_ns);
    if (is_slow(client, slot)) {
        rc_bench_traffic_excuse(client, slot);
        rc_bench_client_pause(client, slot, true);
        comings_of(client)->slow_count++;
    }
}

static uint64_t slow_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    struct comings *const comings = comings_of(client);
    uint64_t until_ns = rc_bench_traffic_turn(client, now_ns, phase);
    const double interval_s = client->plan->options->slow_interval_s;
    const bool resume = phase == RC_BENCH_DRAIN && !comings->resumed;
    const bool read_once = phase == RC_BENCH_RUN && interval_s > 0 && now_ns >= comings->next_read_ns;
    for (uint32_t slot = 0; (resume || read_once) && slot < client->subscribers; slot++) {
        if (client->conns[slot].state != RC_BENCH_CONN_READY || !is_slow(client, slot)) {
            continue;
        }
        if (resume) {
            rc_bench_client_pause(client, slot, false);
        } else {
            rc_bench_client_read_once(client, slot);
        }
    }
    comings->resumed = comings->resumed || resume;
    if (read_once) {
        comings->next_read_ns = now_ns + (uint64_t)(interval_s * 1e9);
    }
    return interval_s > 0 && comings->next_read_ns < until_ns ? comings->next_read_ns : until_ns;
}

/* A slow client that is still connected and has the newest message of its channel has caught up. */
static void slow_finish(struct rc_bench_client *client)
{
    const struct rc_bench_traffic *const traffic = client->state;
    const struct rc_bench_plan *const plan = client->plan;
    rc_bench_count(&client->tally->slow, comings_of(client)->slow_count);
    for (uint32_t slot = 0; slot < client->subscribers; slot++) {
        const struct rc_bench_conn *const conn = &client->conns[slot];
        if (conn->state == RC_BENCH_CONN_READY && is_slow(client, slot) &&
            traffic->tracks[(size_t)slot * plan->streams_per_channel].expected ==
                rc_bench_sequence(client->shared, conn->channel)) {
            rc_bench_count(&client->tally->caught_up, 1);
        }
    }
    rc_bench_traffic_finish(client);
}

const struct rc_bench_scenario rc_bench_scenario_slow = {
    .name = "slow",
    .help = "fanout in which a share of the subscribers (--slow-share) reads nothing, or a little (--slow-interval)",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .open_loop_only = true,
    .start = comings_start,
    .ready = slow_ready,
    .payload = rc_bench_traffic_payload,
    .closed = rc_bench_traffic_closed,
    .turn = slow_turn,
    .finish = slow_finish,
};
