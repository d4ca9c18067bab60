/* scenario_recover: many come back to a broker at once, each with a place in its channel's history, and get what they have missed,
 * while others who are there listen on. Process 0 publishes, and has those others; all other processes have those who come back. */
#include "bench/scenario.h"

#include "bench/payload.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALM_CHANNEL "calm" /* of the others; without a history */
#define CALM_STREAM RC_BENCH_STREAM_MAX
#define PUBLISHES_MAX 256u /* to the histories: sent, not answered yet */

struct recover {
    char *text;        /* one publish: a payload, and what is around it */
    uint64_t asked;    /* process 0: messages for the histories that were sent */
    uint64_t answered; /* and that the broker has */
    uint32_t kept;     /* channels whose messages are all there */
    uint64_t calm;     /* process 0: messages to the others */
    uint64_t back_ns;  /* since base_ns; when all were back, 0: not yet */
    uint32_t next;     /* other processes: who is opened next */
};

static int recover_start(struct rc_bench_client *client)
{
    struct recover *const recover = calloc(1, sizeof(*recover));
    if (recover == NULL) {
        return -ENOMEM;
    }
    client->state = recover;
    recover->text = malloc(client->plan->options->payload_bytes + RC_BENCH_ENVELOPE_BYTES_MAX + 32);
    if (recover->text == NULL) {
        return -ENOMEM;
    }
    if (client->process == 0) {
        rc_bench_count(&client->tally->wanted, 1); /* all channels: see recover_answer() */
    } else {
        client->held_back = client->subscribers;
    }
    return 0;
}

static bool is_calm(const struct rc_bench_client *client)
{
    return client->process == 0;
}

static size_t recover_join(struct rc_bench_client *client, uint32_t slot, char *out)
{
    if (client->conns[slot].role == RC_BENCH_PUBLISHER) {
        return 0;
    }
    const int bytes = is_calm(client)
                          ? snprintf(out, RC_BENCH_JOIN_BYTES_MAX,
                                     "{\"type\":\"subscribe\",\"channel\":\"" CALM_CHANNEL "\",\"id\":1}")
                          : snprintf(out, RC_BENCH_JOIN_BYTES_MAX,
                                     "{\"type\":\"subscribe\",\"channel\":\"%s%u\",\"id\":1,\"recover\":{%s}}",
                                     client->plan->options->prefix, client->conns[slot].channel,
                                     client->shared->names[client->conns[slot].channel]);
    RC_ASSERT(bytes > 0 && bytes < (int)RC_BENCH_JOIN_BYTES_MAX);
    return (size_t)bytes;
}

/* --- publishing ------------------------------------------------------------------------------------------------------- */

static void message_publish(struct rc_bench_client *client, const char *channel, uint64_t id,
                            const struct rc_bench_payload *payload)
{
    const struct recover *const recover = client->state;
    const uint32_t payload_bytes = client->plan->options->payload_bytes;
    char numbered[32] = "";
    if (id != 0) {
        snprintf(numbered, sizeof(numbered), "\"id\":%llu,", (unsigned long long)id);
    }
    const int before = snprintf(recover->text, RC_BENCH_ENVELOPE_BYTES_MAX,
                                "{\"type\":\"publish\",%s\"channel\":\"%s\",\"data\":\"", numbered, channel);
    RC_ASSERT(before > 0 && before < (int)RC_BENCH_ENVELOPE_BYTES_MAX);
    rc_bench_payload_write(recover->text + before, payload_bytes, payload);
    memcpy(recover->text + before + payload_bytes, "\"}", 2);
    rc_bench_client_send(client, client->subscribers, rc_span_of(recover->text, (size_t)before + payload_bytes + 2));
    rc_bench_count(&client->tally->published, 1);
}

/* What is missed: message after message to all channels in turn, so that they are spread as in a busy broker. */
static void fill_histories(struct rc_bench_client *client)
{
    struct recover *const recover = client->state;
    const struct rc_bench_plan *const plan = client->plan;
    const uint64_t all = (uint64_t)plan->channels * plan->options->missed;
    while (recover->asked < all && recover->asked - recover->answered < PUBLISHES_MAX &&
           client->conns[client->subscribers].state == RC_BENCH_CONN_READY) {
        const struct rc_bench_payload payload = {
            .stream = (uint32_t)(recover->asked % plan->channels),
            .sequence = (uint32_t)(recover->asked / plan->channels),
        };
        char name[RC_BENCH_NAME_MAX];
        rc_bench_client_channel_name(client, payload.stream, name);
        message_publish(client, name, ++recover->asked, &payload);
    }
}

/* The number behind `marker`; false where there is none. */
static bool number_after(struct rc_span text, const char *marker, uint64_t *number)
{
    const uint8_t *const at = memmem(text.bytes, text.count, marker, strlen(marker));
    char *end;
    char copy[24] = "";
    if (at == NULL) {
        return false;
    }
    const char *digits = (const char *)at + strlen(marker);
    const size_t left = text.count - (size_t)(digits - (const char *)text.bytes);
    memcpy(copy, digits, left < sizeof(copy) - 1 ? left : sizeof(copy) - 1);
    *number = strtoull(copy, &end, 10);
    return end != copy;
}

/* {"type":"published","id":8,"epoch":"5f3a1c9e22d0b417","offset":151}: who comes back has all before the first of them. */
static void publish_answered(struct rc_bench_client *client, struct rc_span text)
{
    struct recover *const recover = client->state;
    const struct rc_bench_plan *const plan = client->plan;
    uint64_t id = 0, offset = 0;
    const uint8_t *const epoch = memmem(text.bytes, text.count, "\"epoch\":\"", 9);
    if (!number_after(text, "\"id\":", &id) || epoch == NULL || !number_after(text, "\"offset\":", &offset) ||
        id == 0 || id > recover->asked) {
        rc_bench_client_note(client, "the channels have no history: %.*s", (int)(text.count < 120 ? text.count : 120),
                             (const char *)text.bytes);
        rc_bench_count(&client->tally->failed, 1);
        return;
    }
    recover->answered++;
    const uint32_t channel = (uint32_t)((id - 1) % plan->channels);
    if ((id - 1) / plan->channels + 1 < plan->options->missed) {
        return;
    }
    const uint8_t *const quote = memchr(epoch + 9, '"', text.count - (size_t)(epoch + 9 - text.bytes));
    RC_ASSERT(quote != NULL && quote - epoch < 64);
    snprintf(client->shared->names[channel], RC_BENCH_NAME_MAX, "%.*s\",\"offset\":%llu", (int)(quote - epoch),
             (const char *)epoch, (unsigned long long)(offset - plan->options->missed));
    if (++recover->kept == plan->channels) {
        rc_bench_count(&client->tally->ready, 1); /* only now does the run go on */
    }
}

/* To the others, at the rate. When the next one is due. */
static uint64_t publish_calm(struct rc_bench_client *client, uint64_t now_ns)
{
    struct recover *const recover = client->state;
    const uint64_t began = rc_bench_counted(&client->shared->run_start_ns);
    for (;;) {
        const uint64_t due = began + (uint64_t)((double)recover->calm * 1e9 / client->plan->options->rate);
        if (due > now_ns) {
            return due;
        }
        if (client->conns[client->subscribers].state != RC_BENCH_CONN_READY) {
            return UINT64_MAX;
        }
        message_publish(client, CALM_CHANNEL, 0,
                        &(struct rc_bench_payload){.stream = CALM_STREAM,
                                                   .sequence = (uint32_t)recover->calm++,
                                                   .scheduled_ns = due - client->plan->base_ns});
    }
}

/* --- what comes ------------------------------------------------------------------------------------------------------- */

static void recover_answer(struct rc_bench_client *client, uint32_t slot, struct rc_span text)
{
    if (client->conns[slot].role == RC_BENCH_PUBLISHER) {
        if (rc_span_starts_with(text, RC_SPAN("{\"type\":\"published\""))) {
            publish_answered(client, text);
        }
    } else if (!is_calm(client) && memmem(text.bytes, text.count, "\"recovered\":true", 16) == NULL) {
        rc_bench_count(&client->tally->refused, 1);
        rc_bench_client_note(client, "not recovered: %.*s", (int)(text.count < 180 ? text.count : 180),
                             (const char *)text.bytes);
    }
}

static void calm_take(struct rc_bench_client *client, const struct rc_bench_payload *payload, uint64_t now_ns)
{
    const struct recover *const recover = client->state;
    struct rc_bench_tally *const tally = client->tally;
    const uint64_t since = now_ns - client->plan->base_ns;
    const uint64_t took = since > payload->scheduled_ns ? since - payload->scheduled_ns : 0;
    const bool before = payload->scheduled_ns < rc_bench_counted(&client->shared->measure_start_ns);
    if (before) {
        rc_bench_latency_add(&tally->before, took);
    } else if (recover->back_ns == 0 || payload->scheduled_ns < recover->back_ns) {
        rc_bench_latency_add(&tally->latency, took);
    }
}

static void recover_payload(struct rc_bench_client *client, uint32_t slot, struct rc_span text, uint64_t now_ns)
{
    struct rc_bench_tally *const tally = client->tally;
    const struct rc_bench_plan *const plan = client->plan;
    struct rc_bench_conn *const conn = &client->conns[slot];
    struct rc_bench_payload payload;
    if (!rc_bench_payload_read((const char *)text.bytes, text.count, plan->options->payload_bytes, &payload) ||
        payload.stream != (is_calm(client) ? CALM_STREAM : conn->channel)) {
        rc_bench_count(&tally->corrupted, 1);
        rc_bench_client_note(client, "a delivery is not what was sent: %.*s",
                             (int)(text.count < 100 ? text.count : 100), (const char *)text.bytes);
        return;
    }
    if (payload.sequence < conn->sequence) {
        rc_bench_count(&tally->duplicated, 1);
        return;
    }
    if (payload.sequence > conn->sequence) {
        rc_bench_client_note(client, "subscriber %u missed %u before %u", conn->number,
                             payload.sequence - conn->sequence, payload.sequence);
        rc_bench_count(&tally->skipped, payload.sequence - conn->sequence);
    }
    conn->sequence = payload.sequence + 1;
    rc_bench_count(&tally->deliveries, 1);
    if (is_calm(client)) {
        calm_take(client, &payload, now_ns);
    } else if (conn->sequence == plan->options->missed) {
        const uint64_t began = plan->base_ns + rc_bench_counted(&client->shared->measure_start_ns);
        atomic_store_explicit(&tally->storm_ns, now_ns - began, memory_order_relaxed);
        rc_bench_count(&tally->returned, 1);
    }
}

/* --- the run ---------------------------------------------------------------------------------------------------------- */

/* When all are back, what the others get is no longer of interest. */
static void look_for_end(struct rc_bench_client *client, uint64_t now_ns)
{
    struct recover *const recover = client->state;
    uint64_t returned = 0;
    for (uint32_t i = 0; i < client->plan->processes; i++) {
        returned += rc_bench_counted(&client->shared->tallies[i].returned);
    }
    if (recover->back_ns == 0 && returned == client->plan->subscribers - client->plan->calm) {
        recover->back_ns = now_ns - client->plan->base_ns;
    }
}

static uint64_t recover_turn(struct rc_bench_client *client, uint64_t now_ns, enum rc_bench_phase phase)
{
    struct recover *const recover = client->state;
    if (client->process == 0) {
        if (phase == RC_BENCH_CONNECT) {
            fill_histories(client);
        }
        look_for_end(client, now_ns);
        return phase == RC_BENCH_RUN ? publish_calm(client, now_ns) : UINT64_MAX;
    }
    const uint64_t measured = rc_bench_counted(&client->shared->measure_start_ns);
    if (phase < RC_BENCH_RUN || measured == UINT64_MAX) {
        return phase == RC_BENCH_RUN ? now_ns + 1000000u : UINT64_MAX; /* the coordinator does not wake us for it */
    }
    while (recover->next < client->subscribers && client->opening < client->plan->options->connect_window) {
        const uint32_t slot = recover->next++;
        rc_bench_client_open(client, slot);
        client->conns[slot].started_ns = client->plan->base_ns + measured; /* all wanted to be back at once */
    }
    return UINT64_MAX;
}

static void recover_finish(struct rc_bench_client *client)
{
    const struct recover *const recover = client->state;
    for (uint32_t slot = 0; slot < client->subscribers; slot++) {
        const uint32_t got = client->conns[slot].sequence;
        const uint32_t due = is_calm(client) ? (uint32_t)recover->calm : client->plan->options->missed;
        if (got < due) {
            rc_bench_count(&client->tally->skipped, due - got);
            rc_bench_client_note(client, "subscriber %u never got %u to %u", client->conns[slot].number, got, due - 1);
        }
    }
    rc_bench_count(&client->tally->lost, rc_bench_counted(&client->tally->skipped));
}

const struct rc_bench_scenario rc_bench_scenario_recover = {
    .name = "recover",
    .help =
        "all connect at once and recover --missed messages each of a history that was published at --url; --calm others "
        "get --rate messages a second meanwhile",
    .default_protocol = "ringcast",
    .role = RC_BENCH_SUBSCRIBER,
    .publishes = true,
    .returns = true,
    .open_loop_only = true,
    .holds_steady = true,
    .start = recover_start,
    .join = recover_join,
    .answer = recover_answer,
    .payload = recover_payload,
    .turn = recover_turn,
    .finish = recover_finish,
};
