/* traffic: see traffic.h. */
#include "bench/traffic.h"

#include "bench/payload.h"
#include "bench/ws_client.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUBLISHES_PER_TURN 4096u
#define STALL_NS UINT64_C(2000000000)
#define STALL_NS_EACH 100000u /* more for each subscriber: the last of a million is served a minute after the first */
#define STALLS_MAX 3u
#define RETURN_NS 100000000u

static struct rc_bench_traffic *traffic_of(const struct rc_bench_client *client)
{
    return client->state;
}

int rc_bench_traffic_start(struct rc_bench_client *client)
{
    const struct rc_bench_plan *const plan = client->plan;
    struct rc_bench_traffic *const traffic = calloc(1, sizeof(*traffic));
    if (traffic == NULL) {
        return -ENOMEM;
    }
    client->state = traffic;
    const size_t tracks = (size_t)client->subscribers * plan->streams_per_channel;
    traffic->tracks = calloc(tracks + 1, sizeof(*traffic->tracks));
    traffic->here = calloc(plan->channels, sizeof(*traffic->here));
    traffic->processes_on = calloc(plan->channels, sizeof(*traffic->processes_on));
    const size_t numbers = (size_t)plan->streams * plan->window_slots;
    bool whole = traffic->tracks != NULL && traffic->here != NULL && traffic->processes_on != NULL;
    if (plan->window_slots > 0) {
        traffic->counts = calloc(numbers, sizeof(*traffic->counts));
        whole = whole && traffic->counts != NULL;
    }
    if (plan->window_slots > 0 && client->process == 0) {
        traffic->talkers = calloc(numbers, sizeof(*traffic->talkers));
        traffic->turns = calloc(plan->options->window, sizeof(*traffic->turns));
        whole = whole && traffic->talkers != NULL && traffic->turns != NULL;
    }
    if (!whole) {
        rc_bench_client_note(client, "no memory to check %zu streams", tracks);
        return -ENOMEM;
    }
    for (uint32_t process = 0; process < plan->processes; process++) {
        const uint32_t first = rc_bench_plan_first(plan, process);
        const uint32_t count = rc_bench_plan_count(plan, process);
        for (uint32_t channel = 0; channel < plan->channels; channel++) {
            const uint32_t on = rc_bench_plan_on_channel(plan, first, count, channel);
            traffic->processes_on[channel] += on > 0 ? 1 : 0;
            if (process == client->process) {
                traffic->here[channel] = on;
            }
        }
    }
    return 0;
}

void rc_bench_traffic_ready(struct rc_bench_client *client, uint32_t slot, uint64_t now_ns)
{
    (void)now_ns;
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const struct rc_bench_plan *const plan = client->plan;
    const bool running = atomic_load_explicit(&client->shared->phase, memory_order_relaxed) >= RC_BENCH_RUN;
    for (uint32_t i = 0; i < plan->streams_per_channel; i++) {
        struct rc_bench_track *const track = &traffic->tracks[(size_t)slot * plan->streams_per_channel + i];
        const uint32_t stream = client->conns[slot].channel + i * plan->channels;
        if (stream >= plan->streams) {
            break;
        }
        if (running) {
            /* BM7 pairs with BM6 in stream_publish(): what has a number from here on was published after our subscription. */
            const uint32_t bound = atomic_load_explicit(&client->shared->sequences[stream], memory_order_acquire);
            if (plan->options->reconnect && bound > track->expected) {
                rc_bench_count(&client->tally->excused, bound - track->expected); /* published while it was away */
            }
            rc_bench_track_join(track, bound);
        } else {
            rc_bench_track_start(track, 0);
        }
    }
}

void rc_bench_traffic_excuse(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    if (traffic->excused == NULL) {
        traffic->excused = calloc(client->subscribers, 1);
        RC_ASSERT(traffic->excused != NULL);
    }
    traffic->excused[slot] = 1;
}

/* --- the closed loop's accounting ---------------------------------------------------------------------------------- */

/* Every subscriber has the message whose place in `left` is `at`. */
static void message_completed(struct rc_bench_client *client, size_t at)
{
    struct rc_bench_shared *const shared = client->shared;
    /* BM0 pairs with nothing: the fence BM1 orders it. */
    const uint64_t number = atomic_fetch_add_explicit(&shared->completed, 1, memory_order_seq_cst);
    /* F1 pairs with F2 in take_finished(). The place is free: fewer are in flight than there are. */
    atomic_store_explicit(&shared->finished[number & (shared->finished_slots - 1)], (uint32_t)at + 1,
                          memory_order_release);
    if (client->process == 0) {
        return;
    }
    /* BM1 pairs with BM2 in wait_for() of client.c: the count was added before the flag is looked at. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&client->shared->publisher_sleeps, memory_order_relaxed) != 0) {
        const uint64_t one = 1;
        if (write(client->shared->publisher_wake, &one, sizeof(one)) < 0) {
            rc_bench_client_note(client, "cannot wake the publishers");
        }
    }
}

/* One subscriber of this process has (or will never have) this number. */
static void message_credit(struct rc_bench_client *client, uint32_t stream, uint32_t sequence)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const uint32_t channel = stream % client->plan->channels;
    const size_t at = (size_t)stream * client->plan->window_slots + (sequence & (client->plan->window_slots - 1));
    if (++traffic->counts[at] < traffic->here[channel]) {
        return;
    }
    traffic->counts[at] = 0;
    /* BM8 pairs with BM8 of the other processes: the last one continues what they did. */
    if (atomic_fetch_add_explicit(&client->shared->left[at], 1, memory_order_acq_rel) + 1 ==
        traffic->processes_on[channel]) {
        atomic_store_explicit(&client->shared->left[at], 0, memory_order_relaxed);
        message_completed(client, at);
    }
}

/* --- checking ---------------------------------------------------------------------------------------------------------- */

void rc_bench_traffic_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span text, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const struct rc_bench_plan *const plan = client->plan;
    struct rc_bench_tally *const tally = client->tally;
    const struct rc_bench_conn *const conn = &client->conns[slot];
    struct rc_bench_payload payload;
    if (!rc_bench_payload_read((const char *)text.bytes, text.count, plan->options->payload_bytes, &payload) ||
        payload.stream >= plan->streams || payload.stream % plan->channels != conn->channel) {
        rc_bench_count(&tally->corrupted, 1);
        rc_bench_client_note(client, "a delivery is not what was sent: %.*s",
                             (int)(text.count < 100 ? text.count : 100), (const char *)text.bytes);
        return;
    }
    if (conn->state != RC_BENCH_CONN_READY) {
        return; /* before its subscription was confirmed */
    }
    struct rc_bench_track *const track =
        &traffic->tracks[(size_t)slot * plan->streams_per_channel + payload.stream / plan->channels];
    uint32_t skipped;
    const enum rc_bench_track_result result = rc_bench_track_take(track, payload.sequence, &skipped);
    if (RC_UNLIKELY(result != RC_BENCH_TRACK_NEXT)) {
        const bool excused = traffic->excused != NULL && traffic->excused[slot] != 0;
        _Atomic uint64_t *const missing = excused ? &tally->excused : &tally->skipped;
        if (result == RC_BENCH_TRACK_DUPLICATED) {
            rc_bench_count(&tally->duplicated, 1);
            return;
        }
        if (result == RC_BENCH_TRACK_GAP && !excused) {
            rc_bench_client_note(client, "subscriber %u missed %u before %u of stream %u", conn->number, skipped,
                                 payload.sequence, payload.stream);
        }
        if (result == RC_BENCH_TRACK_LATE) {
            rc_bench_count(&tally->late, 1);
            rc_bench_count(missing, (uint64_t)-1);
        }
        rc_bench_count(missing, skipped);
    }
    rc_bench_count(&tally->deliveries, 1);
    if (payload.scheduled_ns >= rc_bench_counted(&client->shared->measure_start_ns) &&
        payload.scheduled_ns < rc_bench_counted(&client->shared->measure_end_ns) &&
        (traffic->excused == NULL || traffic->excused[slot] == 0)) {
        const uint64_t since = now_ns - plan->base_ns;
        rc_bench_latency_add(&tally->latency, since > payload.scheduled_ns ? since - payload.scheduled_ns : 0);
    }
    if (plan->window_slots > 0 && result != RC_BENCH_TRACK_LATE) {
        for (uint32_t i = skipped; i > 0; i--) {
            message_credit(client, payload.stream, payload.sequence - i);
        }
        message_credit(client, payload.stream, payload.sequence);
    }
}

void rc_bench_traffic_finish(struct rc_bench_client *client)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const struct rc_bench_plan *const plan = client->plan;
    struct rc_bench_tally *const tally = client->tally;
    for (uint32_t slot = 0; slot < client->subscribers; slot++) {
        const struct rc_bench_conn *const conn = &client->conns[slot];
        if (conn->state != RC_BENCH_CONN_READY) {
            continue;
        }
        const bool excused = traffic->excused != NULL && traffic->excused[slot] != 0;
        for (uint32_t stream = conn->channel, i = 0; stream < plan->streams; stream += plan->channels, i++) {
            const uint32_t total = rc_bench_sequence(client->shared, stream);
            const uint32_t expected = traffic->tracks[(size_t)slot * plan->streams_per_channel + i].expected;
            if (total > expected) {
                if (!excused) {
                    rc_bench_client_note(client, "subscriber %u never got %u to %u of stream %u", conn->number,
                                         expected, total - 1, stream);
                }
                rc_bench_count(excused ? &tally->excused : &tally->skipped, total - expected);
            }
        }
    }
    rc_bench_count(&tally->lost, rc_bench_counted(&tally->skipped));
}

/* --- publishing -------------------------------------------------------------------------------------------------------- */

/* Publishes one message on a stream; false while its publisher's server does not read. */
static bool stream_publish(struct rc_bench_client *client, uint32_t stream, uint64_t scheduled_ns)
{
    const struct rc_bench_plan *const plan = client->plan;
    const struct rc_bench_protocol *const protocol = client->protocol;
    const uint32_t slot = plan->members ? stream : client->subscribers + stream % plan->publishers;
    const uint32_t payload_bytes = plan->options->payload_bytes;
    const bool direct = client->role == RC_BENCH_TARGET;
    char name[RC_BENCH_NAME_MAX];
    if (direct && client->shared->names != NULL) {
        memcpy(name, client->shared->names[stream % plan->channels], sizeof(name));
    } else {
        rc_bench_client_channel_name(client, stream % plan->channels, name);
    }
    char before[RC_BENCH_ENVELOPE_BYTES_MAX], after[16];
    const size_t before_bytes = protocol->before(before, direct, name, payload_bytes, plan->publish_at.host);
    const size_t after_bytes = protocol->after(after);
    const size_t text_bytes = before_bytes + payload_bytes + after_bytes;
    const bool framed = protocol->framing[RC_BENCH_PUBLISHER] == RC_BENCH_FRAMING_WS;
    const size_t bytes = text_bytes + (framed ? rc_bench_ws_header_bytes(text_bytes) : 0);
    uint8_t *at = rc_bench_client_outbox(client, slot, (uint32_t)bytes);
    if (at == NULL) {
        return false;
    }
    const uint32_t key = framed ? rc_bench_client_mask_key(client) : 0;
    if (framed) {
        at += rc_bench_ws_header(at, RC_BENCH_WS_TEXT, text_bytes, key);
    }
    const uint32_t sequence = rc_bench_sequence(client->shared, stream);
    const struct rc_bench_payload payload = {
        .stream = stream, .sequence = sequence, .scheduled_ns = scheduled_ns, .book = plan->options->book};
    memcpy(at, before, before_bytes);
    rc_bench_payload_write((char *)at + before_bytes, payload_bytes, &payload);
    memcpy(at + before_bytes + payload_bytes, after, after_bytes);
    rc_bench_ws_mask(at, text_bytes, key);
    rc_bench_client_commit(client, slot, (uint32_t)bytes);
    /* BM6 pairs with BM7 in rc_bench_traffic_ready(): the message is on its way before its number. */
    atomic_store_explicit(&client->shared->sequences[stream], sequence + 1, memory_order_release);
    rc_bench_count(&client->tally->published, 1);
    return true;
}

/* stream_publish(), and how long the server did not let it. */
static bool publish_or_block(struct rc_bench_client *client, uint32_t stream, uint64_t scheduled_ns, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    if (!stream_publish(client, stream, scheduled_ns)) {
        if (traffic->blocked_since_ns == 0) {
            traffic->blocked_since_ns = now_ns;
        }
        return false;
    }
    if (traffic->blocked_since_ns != 0) {
        rc_bench_count(&client->tally->blocked_ns, now_ns - traffic->blocked_since_ns);
        traffic->blocked_since_ns = 0;
    }
    return true;
}

/* Closed loop: one message of `talker` (UINT32_MAX: of nobody). */
static bool publish_of(struct rc_bench_client *client, uint32_t talker, uint32_t stream, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const struct rc_bench_plan *const plan = client->plan;
    const uint32_t sequence = rc_bench_sequence(client->shared, stream);
    const size_t at = (size_t)stream * plan->window_slots + (sequence & (plan->window_slots - 1));
    if (!publish_or_block(client, stream, now_ns - plan->base_ns, now_ns)) {
        return false;
    }
    traffic->talkers[at] = talker + 1;
    if (traffic->processes_on[stream % plan->channels] == 0) {
        message_completed(client, at); /* nobody is there to have it */
    }
    return true;
}

/* Nothing was completed for a while although the window is full: the last messages may be lost. One more shows which. */
static void look_for_stall(struct rc_bench_client *client, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const uint32_t window = client->plan->options->window;
    const uint64_t patience_ns = STALL_NS + (uint64_t)client->plan->subscribers * STALL_NS_EACH;
    if (now_ns - traffic->moved_ns < patience_ns || traffic->stalls_in_a_row >= STALLS_MAX) {
        return;
    }
    traffic->moved_ns = now_ns;
    traffic->stalls_in_a_row++;
    rc_bench_count(&client->tally->stalls, 1);
    rc_bench_client_note(client, "nothing was delivered for %u s with the window full",
                         (uint32_t)(patience_ns / 1000000000u));
    const uint32_t streams = client->plan->streams < window ? client->plan->streams : window;
    for (uint32_t i = 0; i < streams && traffic->extra < window; i++) {
        const uint32_t stream = rc_bench_pace_stream(i, window, client->plan->streams, traffic->turns[i] - 1);
        traffic->extra += publish_of(client, UINT32_MAX, stream, now_ns) ? 1 : 0;
    }
}

/* Lets the talkers whose messages are complete go on. */
static void take_finished(struct rc_bench_client *client, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    struct rc_bench_shared *const shared = client->shared;
    for (;;) {
        _Atomic uint32_t *const next = &shared->finished[traffic->completed_before & (shared->finished_slots - 1)];
        /* F2 pairs with F1 in message_completed(): all its subscribers have the message. */
        const uint32_t place = atomic_load_explicit(next, memory_order_acquire);
        if (place == 0) {
            break;
        }
        atomic_store_explicit(next, 0, memory_order_relaxed); /* written again only for a message that we send later */
        const uint32_t talker = traffic->talkers[place - 1];
        traffic->talkers[place - 1] = 0;
        traffic->completed_before++;
        traffic->moved_ns = now_ns;
        traffic->stalls_in_a_row = 0;
        if (talker > 0) {
            rc_bench_pace_done(&traffic->pace, talker - 1, now_ns);
        }
    }
    client->completed_seen = traffic->completed_before;
}

static uint64_t publish_closed(struct rc_bench_client *client, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const struct rc_bench_options *const options = client->plan->options;
    if (traffic->pace.count == 0) {
        const uint64_t think_ns = (uint64_t)(options->think_s * 1e9);
        const int rc = rc_bench_pace_start(&traffic->pace, options->window, think_ns, now_ns, now_ns);
        RC_ASSERT(rc == 0);
        traffic->moved_ns = now_ns;
    }
    take_finished(client, now_ns);
    for (uint32_t i = 0; i < PUBLISHES_PER_TURN && rc_bench_pace_due(&traffic->pace) <= now_ns; i++) {
        const uint32_t talker = rc_bench_pace_next(&traffic->pace);
        const uint32_t stream =
            rc_bench_pace_stream(talker, options->window, client->plan->streams, traffic->turns[talker]);
        if (!publish_of(client, talker, stream, now_ns)) {
            return UINT64_MAX; /* woken when the server reads again */
        }
        traffic->turns[talker]++;
        rc_bench_pace_take(&traffic->pace);
        traffic->moved_ns = now_ns;
    }
    look_for_stall(client, now_ns);
    return rc_bench_pace_due(&traffic->pace);
}

/* The time between two messages at a moment of the run: shorter during a surge. */
static double interval_at(const struct rc_bench_client *client, double at_ns)
{
    const struct rc_bench_options *const options = client->plan->options;
    const uint64_t measured = rc_bench_counted(&client->shared->measure_start_ns);
    const double interval_ns = 1e9 / options->rate;
    if (options->surge <= 1 || measured == UINT64_MAX) {
        return interval_ns;
    }
    const double into_s = (at_ns - (double)(client->plan->base_ns + measured)) / 1e9;
    const bool surging = into_s >= options->surge_at_s && into_s < options->surge_at_s + options->surge_for_s;
    return surging ? interval_ns / options->surge : interval_ns;
}

static uint64_t publish_open(struct rc_bench_client *client, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    if (traffic->due_ns <= 0) {
        traffic->due_ns = (double)rc_bench_counted(&client->shared->run_start_ns);
    }
    for (uint32_t i = 0; i < PUBLISHES_PER_TURN; i++) {
        const uint64_t due = (uint64_t)traffic->due_ns;
        if (due > now_ns) {
            return due;
        }
        const uint32_t stream = traffic->next_stream;
        if (!publish_or_block(client, stream, due - client->plan->base_ns, now_ns)) {
            return UINT64_MAX; /* woken when the server reads again */
        }
        traffic->next_stream = stream + 1 == client->plan->streams ? 0 : stream + 1;
        traffic->due_ns += interval_at(client, traffic->due_ns);
    }
    return now_ns;
}

/* What was due by the end and never left. */
static void count_unsent(struct rc_bench_client *client)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    const double end_ns = (double)client->plan->base_ns + (double)rc_bench_counted(&client->shared->measure_end_ns);
    uint64_t unsent = 0;
    while (traffic->blocked_since_ns != 0 && traffic->due_ns < end_ns) {
        traffic->due_ns += interval_at(client, traffic->due_ns);
        unsent++;
    }
    rc_bench_count(&client->tally->unsent, unsent);
    traffic->blocked_since_ns = 0;
}

void rc_bench_traffic_closed(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    if (!client->plan->options->reconnect || slot >= client->subscribers) {
        return;
    }
    if (traffic->returning == NULL) {
        traffic->returning = calloc(client->subscribers, sizeof(*traffic->returning));
        RC_ASSERT(traffic->returning != NULL);
    }
    traffic->returning[traffic->returning_count++] = slot;
}

static void bring_back(struct rc_bench_client *client, uint64_t now_ns)
{
    struct rc_bench_traffic *const traffic = traffic_of(client);
    if (now_ns < traffic->return_ns) {
        return;
    }
    traffic->return_ns = now_ns + RETURN_NS; /* a server that refuses is not asked in a tight loop */
    for (uint32_t i = traffic->returning_count; i > 0; i--) {
        rc_bench_count(&client->tally->returned, 1);
        rc_bench_client_open(client, traffic->returning[--traffic->returning_count]);
    }
}

uint64_t rc_bench_traffic_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    const struct rc_bench_traffic *const traffic = traffic_of(client);
    uint64_t until_ns = UINT64_MAX;
    if (traffic->returning_count > 0 && phase == RC_BENCH_RUN) {
        bring_back(client, now_ns);
        until_ns = traffic->returning_count > 0 ? traffic->return_ns : UINT64_MAX;
    }
    if (client->process != 0 || (client->plan->publishers == 0 && !client->plan->members)) {
        return until_ns;
    }
    if (phase == RC_BENCH_DRAIN && traffic->blocked_since_ns != 0) {
        count_unsent(client);
    }
    if (phase != RC_BENCH_RUN) {
        return until_ns;
    }
    const uint64_t due = client->plan->window_slots > 0 ? publish_closed(client, now_ns) : publish_open(client, now_ns);
    return due < until_ns ? due : until_ns;
}
