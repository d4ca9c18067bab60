/*
 * The order in which a connection gets what it gets, against a random host: channels, critical ones, throttled ones, "*", direct
 * messages and replies, between turns and between their rounds, with exclusions, on sockets that take little at a time, with and
 * without logs so small that who is behind gets the latest only.
 *
 * What is promised (docs/protocol.md): one connection's messages come in the order in which the host took them; a throttled one is
 * taken when it is released. Only critical ones may overtake, and never those of their own channel; nothing overtakes them.
 *
 * Seeded: ORDER_SEED=n repeats a run.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/ws/frame.h"

enum channel { A, B, C, ALARM_1, ALARM_2, TICK_1, TICK_2, EVERYBODY, CHANNELS };
#define DIRECT CHANNELS
#define MESSAGES_MAX 20000u
#define CLIENTS (RC_IO_BATCH_MAX + 60) /* a turn has two rounds */
#define INTERVAL_MS 20u
#define NOBODY UINT32_MAX

static const char *const names[CHANNELS] = {"a", "b", "c", "alarm:1", "alarm:2", "tick:1", "tick:2", "*"};

struct message {
    uint64_t taken; /* the host's order; 0 = held, or never released */
    uint32_t channel;
    uint32_t target;   /* of a direct */
    uint32_t excluded; /* client */
    bool superseded;   /* by another one of its channel, while it was held */
};

struct client {
    uint32_t slot;
    bool hears[CHANNELS];
    uint64_t last;            /* taken: of the normal message read last */
    uint64_t lasts[CHANNELS]; /* of each critical channel's */
    uint32_t replies_sent;
    uint32_t replies_read;
    bool closed;
    uint8_t *read; /* owned: by message */
};

struct tick {
    uint64_t opened_ms; /* 0 = it is quiet */
    uint32_t held;      /* message; 0 = none */
};

static struct hub_rig rig;
static struct client clients[CLIENTS];
static struct message messages[MESSAGES_MAX];
static struct tick ticks[CHANNELS];
static uint32_t message_count; /* the first one is 1 */
static uint64_t taken;
static uint32_t in_flight; /* message that found no room and has to be tried first; 0 = none */
static uint64_t seed;
static uint64_t state;
static bool complete; /* nobody is cut off: everything comes */

#define MUST(condition, ...)                                                \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "ORDER_SEED=%llu: ", (unsigned long long)seed); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fprintf(stderr, "\n");                                          \
            abort();                                                        \
        }                                                                   \
    } while (0)

static uint32_t below(uint32_t n)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

static bool critical(uint32_t channel)
{
    return channel == ALARM_1 || channel == ALARM_2;
}

static bool throttled(uint32_t channel)
{
    return channel == TICK_1 || channel == TICK_2;
}

/* --- the host --- */

static uint64_t now_ms(void)
{
    return rig.now_ns / 1000000u;
}

/* The body names its message; its length depends on it alone, so that it can be tried again. */
static struct rc_span body_of(uint32_t id)
{
    static char body[3200];
    const uint32_t fill = id % 11 == 0 ? 3000 : id * 7 % 400;
    const int head = snprintf(body, sizeof(body), "\"~%u~", id);
    memset(body + head, 'x', fill);
    body[(uint32_t)head + fill] = '"';
    return rc_span_of(body, (size_t)head + fill + 1);
}

/* A message that the throttle lets through at once is taken now; of those that it holds the newest is, later. */
static void note_taken(uint32_t id)
{
    struct message *message = &messages[id];
    struct tick *tick = &ticks[message->channel == DIRECT ? A : message->channel];
    if (message->channel == DIRECT || !throttled(message->channel)) {
        message->taken = ++taken;
    } else if (tick->opened_ms == 0) {
        message->taken = ++taken;
        tick->opened_ms = now_ms();
    } else {
        if (tick->held != 0) {
            messages[tick->held].superseded = true;
        }
        tick->held = id;
    }
}

/* False: there is no room before a turn. */
static bool try_again(uint32_t id)
{
    const struct message *message = &messages[id];
    int rc;
    if (message->channel == DIRECT) {
        const struct rc_client_ref ref = hub_rig_ref(&rig, clients[message->target].slot);
        rc = hub_rig_direct(&rig, &ref, body_of(id));
    } else {
        const struct rc_client_ref ref = message->excluded == NOBODY
                                             ? (struct rc_client_ref){0}
                                             : hub_rig_ref(&rig, clients[message->excluded].slot);
        rc = hub_rig_publish(&rig, names[message->channel], body_of(id), &ref, message->excluded == NOBODY ? 0 : 1);
    }
    MUST(rc == 0 || rc == -ENOSPC, "message %u: %d", id, rc);
    in_flight = rc == 0 ? 0 : id;
    if (rc == 0) {
        note_taken(id);
    }
    return rc == 0;
}

/* One random message from the down ring. False: the ring has to wait for a turn. */
static bool take_one(void)
{
    if (in_flight != 0) {
        return try_again(in_flight);
    }
    if (message_count + 1 == MESSAGES_MAX) {
        return false;
    }
    messages[++message_count] = (struct message){
        .channel = below(CHANNELS + 2), .target = below(CLIENTS), .excluded = below(3) == 0 ? below(CLIENTS) : NOBODY};
    struct message *message = &messages[message_count];
    message->channel = message->channel > DIRECT ? DIRECT : message->channel;
    message->target = message->channel == DIRECT && below(2) == 0 ? below(4) : message->target; /* some get many */
    return try_again(message_count);
}

static void reply(void)
{
    const uint32_t index = below(CLIENTS);
    char text[16];
    const int bytes = snprintf(text, sizeof(text), "R%u.", ++clients[index].replies_sent);
    MUST(rc_hub_reply_frame(&rig.hub, clients[index].slot, RC_WS_TEXT, (uint8_t *)text, (uint32_t)bytes) == 0, "reply");
}

/* Between two rounds of a turn, as when the down ring has something. */
static void on_round(void *context)
{
    (void)context;
    while (below(4) > 0 && take_one()) {}
    if (below(3) == 0) {
        reply();
    }
}

/* What is due is taken now; which of several comes first is the hub's choice. */
static void timers(uint32_t ms)
{
    if (in_flight != 0) {
        return; /* the rest of the worker stands still until it has its place */
    }
    rig.now_ns += ms * UINT64_C(1000000);
    bool any = false;
    for (uint32_t c = 0; c < CHANNELS; c++) {
        struct tick *tick = &ticks[c];
        if (tick->opened_ms != 0 && tick->opened_ms + INTERVAL_MS <= now_ms()) {
            if (tick->held != 0) {
                messages[tick->held].taken = any ? taken : ++taken;
                any = true;
            }
            tick->opened_ms = tick->held != 0 ? now_ms() : 0;
            tick->held = 0;
        }
    }
    for (uint32_t tries = 0; !rc_hub_timers(&rig.hub); tries++) {
        MUST(tries < 1000, "the timers do not come through");
        rig.round = NULL; /* the ring is behind them */
        hub_rig_run(&rig);
        rig.round = on_round;
    }
}

/* --- the clients --- */

static bool meant_for(const struct message *message, uint32_t index)
{
    return message->channel == DIRECT ? message->target == index
                                      : clients[index].hears[message->channel] && message->excluded != index;
}

static void take_message(uint32_t index, uint32_t id)
{
    struct client *client = &clients[index];
    const struct message *message = &messages[id];
    MUST(id > 0 && id <= message_count && !client->read[id], "client %u: message %u again, or never sent", index, id);
    MUST(meant_for(message, index), "client %u: message %u on %u is not for it", index, id, message->channel);
    const uint64_t its = id == in_flight ? taken + 1 : message->taken; /* some encodings have it already */
    MUST(its != 0, "client %u: message %u is held back", index, id);
    client->read[id] = 1;
    if (message->channel != DIRECT && critical(message->channel)) {
        MUST(its > client->lasts[message->channel], "client %u: critical %u comes after a later one", index, id);
        MUST(its > client->last, "client %u: critical %u was overtaken", index, id);
        client->lasts[message->channel] = its;
    } else {
        MUST(its >= client->last, "client %u: message %u on %u, taken as number %llu, comes after number %llu", index,
             id, message->channel, (unsigned long long)its, (unsigned long long)client->last);
        client->last = its;
    }
}

static void read_frames(uint32_t index, size_t most)
{
    struct client *client = &clients[index];
    uint8_t opcode;
    struct rc_span payload;
    hub_rig_read(&rig, client->slot, most);
    while (hub_rig_frame(&rig, client->slot, &opcode, &payload)) {
        MUST(!client->closed, "client %u: a frame behind the close frame", index);
        if (opcode == RC_WS_CLOSE) {
            MUST(!complete, "client %u was closed", index);
            client->closed = true; /* its direct messages found no room */
            continue;
        }
        if (payload.bytes[0] == 'R') {
            const uint32_t number = (uint32_t)strtoul((const char *)payload.bytes + 1, NULL, 10);
            MUST(number == ++client->replies_read, "client %u: reply %u", index, number);
            continue;
        }
        const uint8_t *at = memmem(payload.bytes, payload.count, "\"~", 2);
        if (at != NULL) { /* else a gap notice */
            take_message(index, (uint32_t)strtoul((const char *)at + 2, NULL, 10));
        }
    }
}

static void judge(void)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (clients[i].closed) {
            continue;
        }
        MUST(clients[i].replies_read == clients[i].replies_sent, "client %u: %u of %u replies", i,
             clients[i].replies_read, clients[i].replies_sent);
        for (uint32_t id = 1; id <= message_count; id++) {
            const struct message *message = &messages[id];
            if ((complete || message->channel == DIRECT) && meant_for(message, i) && !message->superseded) {
                MUST(clients[i].read[id], "client %u: message %u on %u never came", i, id, message->channel);
            }
        }
    }
}

static void connect_all(void)
{
    static const int buffers[] = {4608, 4608, 30000, 0};
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        const bool everybody = below(2) == 0;
        *client = (struct client){.read = calloc(MESSAGES_MAX, 1)};
        RC_ASSERT(client->read != NULL);
        client->slot = hub_rig_connect(&rig, HUB_RIG_UNIX, below(2) == 0 ? RC_CODEC_RAW : RC_CODEC_JSON, everybody,
                                       buffers[below(RC_ARRAY_COUNT(buffers))]);
        client->hears[EVERYBODY] = everybody;
        for (uint32_t c = 0; c < EVERYBODY; c++) {
            if (i == 0 || below(3) == 0) { /* the first hears everything: throttles live while somebody listens */
                client->hears[c] = true;
                (void)hub_rig_subscribe(&rig, client->slot, names[c]);
            }
        }
    }
}

static void configure(void)
{
    struct rc_config *config = rig.config;
    static const char *const prefixes[] = {"alarm", "tick"};
    for (uint32_t i = 1; i <= 2; i++) {
        config->namespaces[i] = config->namespaces[0];
        (void)strcpy(config->namespaces[i].name, prefixes[i - 1]);
        config->namespaces[i].name_bytes = (uint8_t)strlen(prefixes[i - 1]);
    }
    config->namespaces[1].priority = RC_PRIORITY_CRITICAL;
    config->namespaces[2].min_interval_ms = INTERVAL_MS;
    config->namespace_count = 3;
    rc_hub_reconfigure(&rig.hub, config);
}

static void run(uint64_t one_seed, uint64_t log_bytes)
{
    seed = state = one_seed;
    complete = log_bytes == 0;
    message_count = in_flight = 0;
    taken = 0;
    memset(ticks, 0, sizeof(ticks));
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = CLIENTS,
                                                 .channel_log_bytes = 16 << 20,
                                                 .worker_log_bytes = 256 << 20,
                                                 .slow_consumer = RC_SLOW_LATEST});
    configure();
    connect_all();
    if (log_bytes > 0) {
        rig.config->limits.channel_log_bytes = log_bytes;
    }
    rig.round = on_round;
    for (uint32_t step = 0; step < 400; step++) {
        const uint32_t kind = below(100);
        if (kind < 40) {
            (void)take_one();
        } else if (kind < 45) {
            reply();
        } else if (kind < 75) {
            for (uint32_t n = 0; n < 8; n++) {
                read_frames(below(CLIENTS), 1 + below(6000));
            }
        } else {
            timers(below(12));
            hub_rig_run(&rig);
        }
        if (step % 16 == 0) {
            hub_rig_check(&rig);
        }
    }
    rig.round = NULL;
    while (in_flight != 0 && !try_again(in_flight)) {
        hub_rig_run(&rig);
    }
    for (uint32_t quiet = 0; quiet < 3;) {
        hub_rig_drain(&rig);
        for (uint32_t i = 0; i < CLIENTS; i++) {
            read_frames(i, 0);
        }
        timers(INTERVAL_MS);
        quiet = rc_hub_pending(&rig.hub) || rig.truth.throttles.used > 0 ? 0 : quiet + 1;
    }
    judge();
    hub_rig_check(&rig);
    fprintf(stderr, "ORDER_SEED=%llu: %u messages, %llu deliveries, %llu short sends, %llu passed over\n",
            (unsigned long long)seed, message_count,
            (unsigned long long)rc_metric_get(rig.metrics, RC_METRIC_DELIVERIES),
            (unsigned long long)rc_metric_get(rig.metrics, RC_METRIC_SENDS_SHORT),
            (unsigned long long)rc_metric_get(rig.metrics, RC_METRIC_SLOW_CONFLATED));
    hub_rig_close(&rig);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        free(clients[i].read);
    }
}

static const uint64_t seeds[] = {1, 2, 3, 5};

static void run_seeds(uint64_t log_bytes)
{
    const char *one = getenv("ORDER_SEED");
    for (size_t i = 0; i < (one != NULL ? 1 : RC_ARRAY_COUNT(seeds)); i++) {
        run(one != NULL ? strtoull(one, NULL, 10) : seeds[i], log_bytes);
    }
}

Test(order, of_everything_that_a_connection_gets)
{
    run_seeds(0);
}

Test(order, of_what_is_left_for_who_is_behind)
{
    run_seeds(16384);
}

/* Told in a round, while the rest of the turn goes on, a direct message waits for the next turn like what was published before it. */
static void on_round_direct(void *context)
{
    const uint32_t slot = *(const uint32_t *)context;
    if (rig.rounds == 1) {
        const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
        cr_assert_eq(hub_rig_publish(&rig, "b", RC_SPAN("\"2\""), NULL, 0), 0);
        cr_assert_eq(hub_rig_direct(&rig, &ref, RC_SPAN("\"3\"")), 0);
    }
}

Test(order, a_direct_of_a_later_round_does_not_overtake)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = CLIENTS});
    uint32_t last = 0; /* is served first; the one connected first comes last */
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
        (void)hub_rig_subscribe(&rig, slot, "a");
        (void)hub_rig_subscribe(&rig, slot, "b");
        last = i == 0 ? slot : last;
    }
    rig.round = on_round_direct;
    rig.context = &last;
    cr_assert_eq(hub_rig_publish(&rig, "a", RC_SPAN("\"1\""), NULL, 0), 0);
    rc_hub_turn(&rig.hub);
    rig.round = NULL;
    hub_rig_drain(&rig);
    for (char expected = '1'; expected <= '3'; expected++) {
        uint8_t opcode;
        struct rc_span payload;
        cr_assert(hub_rig_frame(&rig, last, &opcode, &payload));
        cr_assert_eq(payload.bytes[1], expected, "%.3s", (const char *)payload.bytes);
    }
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}
