/*
 * kill -9 of the real relay at random moments under load, from workers that are only rings.
 *
 * Checked for every message: it has one sequence, and no other message has it; every worker that wants its channel gets it
 * exactly once, in sequence order, and so in each publisher's order; a message that asked for an answer gets exactly one.
 * Workers pause at times, so that overflow is in play when the relay dies, and die themselves now and then.
 * Environment: STRESS_SECONDS (20), RINGCAST_BIN_DIR, STRESS_SEED.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/shm/doorbell.h"
#include "tests/support/relay_host.h"

#define WORKERS 4u
#define CHANNELS 50u
#define WINDOW (1u << 16) /* messages on the way at most */
#define RING_BYTES (256u * 1024)
#define OVERFLOW_BYTES (8u * 1024 * 1024) /* more than all messages on the way: nothing is ever dropped */

/* A message from its publish to its last record. */
struct sent {
    uint64_t number;
    uint64_t sequence; /* 0 = not seen yet */
    uint8_t publisher;
    uint8_t wanted; /* bit per worker that must get it */
    uint8_t got;    /* bit per worker that got it */
    bool asked;
    bool answered;
};

struct player {
    bool wants[CHANNELS];
    uint32_t relay_generation;     /* that has the snapshot */
    uint32_t pause;                /* turns for which it does not read, so that overflow comes into play */
    uint64_t last_number[WORKERS]; /* by publisher: the last message of each */
};

static struct relay_host host;
static struct sent window[WINDOW];
static struct player players[WORKERS];
static uint64_t next_number = 1; /* also: how many were sent */
static uint64_t oldest = 1;      /* not complete yet */
static uint64_t duplicates, answers, deliveries;
static unsigned seed;

#define REQUIRE(condition, ...)                            \
    do {                                                   \
        if (!(condition)) {                                \
            (void)fprintf(stderr, "FAILED: " __VA_ARGS__); \
            (void)fprintf(stderr, "\n");                   \
            exit(1);                                       \
        }                                                  \
    } while (0)

static uint32_t random_below(uint32_t bound)
{
    return (uint32_t)rand_r(&seed) % bound;
}

static bool done(const struct sent *sent)
{
    return sent->got == sent->wanted && sent->asked == sent->answered;
}

static void publish(uint32_t worker)
{
    if (next_number - oldest >= WINDOW / 2) {
        return;
    }
    char name[16], id[24];
    const uint32_t channel = random_below(CHANNELS);
    const uint64_t number = next_number;
    struct sent *sent = &window[number % WINDOW];
    *sent = (struct sent){.number = number, .publisher = (uint8_t)worker, .asked = random_below(2) == 0};
    for (uint32_t w = 0; w < WORKERS; w++) {
        sent->wanted = (uint8_t)(sent->wanted | (players[w].wants[channel] ? 1u << w : 0));
    }
    struct rc_envelope_view view = {
        .head = {.origin = {.random = 1, .worker = (uint16_t)worker}, .data_bytes = sizeof(number)},
        .channel = name,
        .data = (const uint8_t *)&number,
        .request_id = (const uint8_t *)id};
    view.head.channel_bytes = (uint8_t)snprintf(name, sizeof(name), "c:%u", channel);
    if (sent->asked) {
        view.head.flags = RC_ENVELOPE_WANT_ANSWER;
        view.head.request_id_bytes = (uint8_t)snprintf(id, sizeof(id), "%" PRIu64, number);
    }
    if (relay_host_up(&host, worker, RC_UP_PUBLISH, &view)) {
        next_number++;
    } else {
        *sent = (struct sent){0};
    }
}

static void take_answer(uint32_t worker, const struct rc_envelope_view *view)
{
    char text[32] = "";
    memcpy(text, view->request_id, view->head.request_id_bytes < 31 ? view->head.request_id_bytes : 31);
    const uint64_t number = strtoull(text, NULL, 10);
    struct sent *sent = &window[number % WINDOW];
    REQUIRE(sent->number == number && sent->asked && sent->publisher == worker, "answer %s is nobody's", text);
    REQUIRE(!sent->answered, "second answer to %" PRIu64, number);
    REQUIRE(sent->sequence == 0 || sent->sequence == view->head.sequence,
            "answer to %" PRIu64 " has sequence %" PRIu64 " instead of %" PRIu64, number, view->head.sequence,
            sent->sequence);
    sent->sequence = view->head.sequence;
    sent->answered = true;
    answers++;
}

static void take_message(uint32_t worker, const struct rc_envelope_view *view)
{
    uint64_t number;
    REQUIRE(view->head.data_bytes == sizeof(number), "torn message");
    memcpy(&number, view->data, sizeof(number));
    char name[16] = "";
    REQUIRE(view->head.channel_bytes < sizeof(name), "torn channel name");
    memcpy(name, view->channel, view->head.channel_bytes);
    const uint32_t channel = (uint32_t)atoi(name + 2);
    REQUIRE(channel < CHANNELS, "channel %s is nobody's", name);
    struct sent *sent = &window[number % WINDOW];
    if (!players[worker].wants[channel]) {
        return; /* interest unknown to a new relay */
    }
    REQUIRE(sent->number == number, "message %" PRIu64 " came after it was complete", number);
    REQUIRE(sent->sequence == 0 || sent->sequence == view->head.sequence,
            "message %" PRIu64 " has sequences %" PRIu64 " and %" PRIu64, number, sent->sequence, view->head.sequence);
    REQUIRE((sent->got & 1u << worker) == 0, "worker %u got %" PRIu64 " twice", worker, number);
    REQUIRE(number > players[worker].last_number[sent->publisher], "worker %u got %" PRIu64 " after %" PRIu64, worker,
            number, players[worker].last_number[sent->publisher]);
    players[worker].last_number[sent->publisher] = number;
    sent->sequence = view->head.sequence;
    sent->got = (uint8_t)(sent->got | 1u << worker);
    deliveries++;
}

static void read_down(uint32_t worker)
{
    uint32_t type;
    struct rc_envelope_view view;
    struct relay_host_worker *w = &host.workers[worker];
    while (relay_host_down(&host, worker, &type, &view)) {
        if (view.head.generation != w->generation) {
            continue;
        }
        if (view.head.sequence != 0 && view.head.sequence <= w->last_sequence) {
            duplicates++;
            continue;
        }
        w->last_sequence = view.head.sequence != 0 ? view.head.sequence : w->last_sequence;
        if (type == RC_DOWN_MESSAGE) {
            take_message(worker, &view);
        }
        REQUIRE(type != RC_DOWN_GAP, "worker %u was told a gap", worker);
        if ((view.head.flags & RC_ENVELOPE_ANSWER) != 0) {
            take_answer(worker, &view);
        }
    }
    relay_host_done(&host, worker);
}

/* What a worker does that sees a new relay. Its rings have room: it reads and the relay is fast. */
static void follow_relay(uint32_t worker)
{
    const uint32_t generation = atomic_load(&host.core->relay.generation);
    static char names[CHANNELS][16];
    const char *wanted[CHANNELS];
    size_t count = 0;
    if (players[worker].relay_generation == generation || rc_ring_used(&host.workers[worker].up) > RING_BYTES / 2) {
        return;
    }
    for (uint32_t c = 0; c < CHANNELS; c++) {
        (void)snprintf(names[c], sizeof(names[c]), "c:%u", c);
        if (players[worker].wants[c]) {
            wanted[count++] = names[c];
        }
    }
    RC_ASSERT(relay_host_snapshot(&host, worker, wanted, count));
    players[worker].relay_generation = generation;
}

/* One turn of all workers. */
static void play(bool publishing)
{
    for (uint32_t w = 0; w < WORKERS; w++) {
        follow_relay(w);
        for (uint32_t i = random_below(64); publishing && i > 0; i--) {
            publish(w);
        }
        relay_host_ring(&host);
        if (publishing && players[w].pause > 0) {
            players[w].pause--;
        } else {
            players[w].pause = random_below(500) == 0 ? random_below(1000) : 0;
            read_down(w);
        }
    }
    while (oldest < next_number && done(&window[oldest % WINDOW])) {
        window[oldest % WINDOW].number = 0;
        oldest++;
    }
}

static void settle(const char *when)
{
    const uint64_t deadline = rc_clock_ms() + 10000;
    while (oldest < next_number && rc_clock_ms() < deadline) {
        play(false);
    }
    const struct sent *sent = &window[oldest % WINDOW];
    REQUIRE(oldest == next_number, "%s: message %" PRIu64 " of worker %u: wanted %x got %x asked %d answered %d", when,
            oldest, sent->publisher, sent->wanted, sent->got, sent->asked, sent->answered);
}

/* Only when everything has arrived: what a dead worker should have got cannot be told from what is lost. */
static void restart_worker(uint32_t worker)
{
    settle("before a worker's death");
    relay_host_kill_worker(&host, worker);
    relay_host_start_worker(&host, worker);
    players[worker].relay_generation = 0;
    memset(players[worker].last_number, 0, sizeof(players[worker].last_number));
    relay_host_ring(&host);
    follow_relay(worker);
    uint32_t type = 0;
    struct rc_envelope_view view;
    uint32_t registered = 0, wanted = 0;
    for (uint32_t c = 0; c < CHANNELS; c++) {
        wanted += players[worker].wants[c];
    }
    const uint64_t deadline = rc_clock_ms() + 10000;
    while (registered < wanted && rc_clock_ms() < deadline) {
        relay_host_ring(&host);
        while (relay_host_down(&host, worker, &type, &view)) {
            registered += type == RC_DOWN_INTEREST && view.head.generation == host.workers[worker].generation;
        }
    }
    relay_host_done(&host, worker);
    REQUIRE(registered >= wanted, "interest of a new worker was not registered");
}

int main(void)
{
    const char *seconds = getenv("STRESS_SECONDS");
    const char *seed_text = getenv("STRESS_SEED");
    const uint64_t end_ms = rc_clock_ms() + (seconds != NULL ? strtoull(seconds, NULL, 10) : 20) * 1000;
    uint32_t kills = 0, worker_deaths = 0;
    seed = seed_text != NULL ? (unsigned)atol(seed_text) : (unsigned)getpid();
    (void)printf("seed %u\n", seed);
    relay_host_open(&host, WORKERS, RING_BYTES, OVERFLOW_BYTES);
    for (uint32_t w = 0; w < WORKERS; w++) {
        relay_host_start_worker(&host, w);
        for (uint32_t c = 0; c < CHANNELS; c++) {
            players[w].wants[c] = random_below(2) == 0;
        }
    }
    relay_host_spawn_relay(&host);
    for (uint32_t w = 0; w < WORKERS; w++) {
        restart_worker(w);
    }
    while (rc_clock_ms() < end_ms) {
        const uint64_t kill_ns = rc_clock_ns() + (uint64_t)random_below(30000) * 1000;
        while (rc_clock_ns() < kill_ns) {
            play(true);
        }
        relay_host_kill_relay(&host);
        kills++;
        for (uint32_t i = random_below(20); i > 0; i--) {
            play(true); /* publishing goes on without a relay */
        }
        relay_host_spawn_relay(&host);
        if (random_below(20) == 0) {
            restart_worker(random_below(WORKERS));
            worker_deaths++;
        }
    }
    settle("at the end");
    const int status = relay_host_stop_relay(&host);
    REQUIRE(status == 0, "the relay ended with status %x", (unsigned)status);
    const uint64_t sequences = atomic_load(&host.keep->truth.next_sequence) - 1;
    REQUIRE(sequences == next_number - 1, "%" PRIu64 " sequences for %" PRIu64 " messages", sequences, next_number - 1);
    REQUIRE(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED) == 0, "records were dropped");
    (void)printf("relay killed %u times, workers %u times: %" PRIu64 " messages, %" PRIu64 " deliveries, %" PRIu64
                 " answers, all once and in order; rerouted %" PRIu64 ", overflowed %" PRIu64
                 ", duplicates dropped by workers %" PRIu64 "\n",
                 kills, worker_deaths, next_number - 1, deliveries, answers,
                 relay_host_metric(&host, RC_METRIC_REROUTED), relay_host_metric(&host, RC_METRIC_OVERFLOWED),
                 duplicates);
    relay_host_close(&host);
    return 0;
}
