/* scenario_echo: each connection sends to itself, `window` at a time, or all in turn at a rate. */
#include "bench/scenario.h"

#include "bench/payload.h"
#include "bench/track.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdlib.h>

struct echo {
    struct rc_bench_track *tracks; /* [subscribers] */
    char *text;                    /* one message: a payload, and what its protocol puts around it */
    uint64_t sent;
    uint32_t next; /* open loop: whose turn it is */
    bool running;
};

static int echo_start(struct rc_bench_client *client)
{
    struct echo *const echo = calloc(1, sizeof(*echo));
    if (echo == NULL) {
        return -ENOMEM;
    }
    client->state = echo;
    echo->tracks = calloc(client->subscribers + 1, sizeof(*echo->tracks));
    echo->text = malloc(client->plan->options->payload_bytes + RC_BENCH_ENVELOPE_BYTES_MAX);
    return echo->tracks == NULL || echo->text == NULL ? -ENOMEM : 0;
}

static void echo_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns)
{
    (void)now_ns;
    const struct echo *const echo = client->state;
    rc_bench_track_start(&echo->tracks[slot], client->conns[slot].sequence);
}

static void send_one(struct rc_bench_client *client, uint32_t slot, uint64_t scheduled_ns)
{
    struct echo *const echo = client->state;
    struct rc_bench_conn *const conn = &client->conns[slot];
    const struct rc_bench_payload payload = {
        .stream = conn->number,
        .sequence = conn->sequence++,
        .scheduled_ns = scheduled_ns - client->plan->base_ns,
    };
    const uint32_t bytes = client->plan->options->payload_bytes;
    const size_t before = client->protocol->before(echo->text, false, "", bytes, client->plan->publish_at.host);
    rc_bench_payload_write(echo->text + before, bytes, &payload);
    const size_t after = client->protocol->after(echo->text + before + bytes);
    rc_bench_client_send(client, slot, rc_span_of(echo->text, before + bytes + after));
    rc_bench_count(&client->tally->published, 1);
    echo->sent++;
}

static void echo_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span text, uint64_t now_ns)
{
    struct echo *const echo = client->state;
    struct rc_bench_tally *const tally = client->tally;
    struct rc_bench_payload got;
    if (!rc_bench_payload_read((const char *)text.bytes, text.count, client->plan->options->payload_bytes, &got) ||
        got.stream != client->conns[slot].number) {
        rc_bench_count(&tally->corrupted, 1);
        rc_bench_client_note(client, "an echo is not what was sent: %.*s", (int)(text.count < 100 ? text.count : 100),
                             (const char *)text.bytes);
        return;
    }
    uint32_t skipped;
    switch (rc_bench_track_take(&echo->tracks[slot], got.sequence, &skipped)) {
    case RC_BENCH_TRACK_DUPLICATED:
        rc_bench_count(&tally->duplicated, 1);
        return;
    case RC_BENCH_TRACK_LATE:
        rc_bench_count(&tally->late, 1);
        rc_bench_count(&tally->skipped, (uint64_t)-1);
        break;
    case RC_BENCH_TRACK_GAP:
        rc_bench_count(&tally->skipped, skipped);
        break;
    case RC_BENCH_TRACK_NEXT:
        break;
    }
    rc_bench_count(&tally->deliveries, 1);
    if (got.scheduled_ns >= rc_bench_counted(&client->shared->measure_start_ns) &&
        got.scheduled_ns < rc_bench_counted(&client->shared->measure_end_ns)) {
        const uint64_t since = now_ns - client->plan->base_ns;
        rc_bench_latency_add(&tally->latency, since > got.scheduled_ns ? since - got.scheduled_ns : 0);
    }
    if (client->plan->options->rate <= 0 &&
        atomic_load_explicit(&client->shared->phase, memory_order_relaxed) == RC_BENCH_RUN) {
        send_one(client, slot, now_ns);
    }
}

static uint64_t echo_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    struct echo *const echo = client->state;
    if (phase != RC_BENCH_RUN || client->subscribers == 0) {
        return UINT64_MAX;
    }
    if (client->plan->options->rate <= 0) {
        for (uint32_t i = 0; !echo->running && i < client->subscribers * client->plan->options->window; i++) {
            const uint32_t slot = i % client->subscribers;
            if (client->conns[slot].state == RC_BENCH_CONN_READY) {
                send_one(client, slot, now_ns);
            }
        }
        echo->running = true;
        return UINT64_MAX;
    }
    /* This process's share of the rate. */
    const double interval_ns = 1e9 * client->plan->subscribers / client->plan->options->rate / client->subscribers;
    const uint64_t began = rc_bench_counted(&client->shared->run_start_ns);
    for (;;) {
        const uint64_t due = began + (uint64_t)((double)echo->sent * interval_ns);
        if (due > now_ns) {
            return due;
        }
        if (client->conns[echo->next].state == RC_BENCH_CONN_READY) {
            send_one(client, echo->next, due);
        } else {
            echo->sent++;
        }
        echo->next = echo->next + 1 == client->subscribers ? 0 : echo->next + 1;
    }
}

static void echo_finish(struct rc_bench_client *client)
{
    const struct echo *const echo = client->state;
    for (uint32_t slot = 0; slot < client->subscribers; slot++) {
        const struct rc_bench_conn *const conn = &client->conns[slot];
        if (conn->state == RC_BENCH_CONN_READY && conn->sequence > echo->tracks[slot].expected) {
            rc_bench_count(&client->tally->skipped, conn->sequence - echo->tracks[slot].expected);
        }
    }
    rc_bench_count(&client->tally->lost, rc_bench_counted(&client->tally->skipped));
}

const struct rc_bench_scenario rc_bench_scenario_echo = {
    .name = "echo",
    .help = "each connection gets its own messages back; --window in flight on each, or --rate over all",
    .default_protocol = "echo",
    .role = RC_BENCH_SUBSCRIBER,
    .holds_steady = true,
    .start = echo_start,
    .ready = echo_ready,
    .payload = echo_payload,
    .turn = echo_turn,
    .finish = echo_finish,
};
