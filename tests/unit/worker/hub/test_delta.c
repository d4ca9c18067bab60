/* Messages as deltas: what each subscriber gets makes what was published, whoever comes, is left out or falls off; and how small it is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/fossil_delta.h"
#include "tests/support/hub_rig.h"
#include "worker/hub/hub_internal.h"

#define CLIENTS 8u
#define KEYS 3u
#define DATA_MAX 4096u

static struct hub_rig rig;

/* What a client has, by key. */
struct has {
    uint32_t version;
    size_t count;
    uint8_t bytes[DATA_MAX];
};
static struct has has[CLIENTS + 1][KEYS + 1];
static size_t received[CLIENTS + 1]; /* bytes of payload */
static uint32_t wholes;
static uint32_t deltas;
static uint32_t gaps;

static void open_rig(void)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = CLIENTS,
                                                 .slow_consumer = RC_SLOW_SKIP,
                                                 .channel_log_bytes = 8192,
                                                 .channel_log_messages = 16});
    rig.config->namespaces[0].delta = RC_DELTA_FOSSIL;
    rc_hub_reconfigure(&rig.hub, rig.config);
    memset(has, 0, sizeof(has));
    memset(received, 0, sizeof(received));
    wholes = deltas = gaps = 0;
}

static void close_rig(void)
{
    hub_rig_close(&rig);
}

TestSuite(hub_delta, .init = open_rig, .fini = close_rig);

static uint32_t connect_binary(void)
{
    return hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_BINARY, false, 0);
}

/* As a subscribe request that asks for deltas. */
static uint32_t subscribe(uint32_t client)
{
    const uint32_t subscription = hub_rig_subscribe(&rig, client, "c");
    cr_assert_eq(rc_hub_regroup(&rig.hub, subscription, rc_encoding_delta(RC_CODEC_BINARY * RC_ENCODING_WINDOWS)), 0);
    rc_delta_join(&rig.hub, subscription);
    return subscription;
}

static uint64_t number_take(struct rc_span *rest)
{
    uint64_t number = 0;
    for (unsigned shift = 0;; shift += 7) {
        cr_assert_gt(rest->count, 0);
        const uint8_t byte = *rest->bytes;
        *rest = rc_span_of(rest->bytes + 1, rest->count - 1);
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return number;
        }
    }
}

static struct rc_span text_take(struct rc_span *rest)
{
    const size_t count = (size_t)number_take(rest);
    const struct rc_span text = rc_span_of(rest->bytes, count);
    cr_assert_leq(count, rest->count);
    *rest = rc_span_of(rest->bytes + count, rest->count - count);
    return text;
}

/* One message as docs/protocol.md has it; what it is is remembered as the client's. */
static struct has *take_message(uint32_t client, struct rc_span payload)
{
    const uint8_t flags = payload.bytes[1];
    struct rc_span rest = rc_span_of(payload.bytes + 2, payload.count - 2);
    cr_assert_eq(payload.bytes[0], 0x85);
    const uint32_t version = (uint32_t)number_take(&rest);
    (void)text_take(&rest);
    const struct rc_span key = (flags & 0x10) != 0 ? text_take(&rest) : (struct rc_span){0};
    struct has *its = &has[client][key.count == 0 ? 0 : key.bytes[0] - 'a' + 1];
    if ((flags & 0x02) == 0) {
        wholes++;
        its->version = version;
        its->count = rest.count;
        memcpy(its->bytes, rest.bytes, rest.count);
        return its;
    }
    static uint8_t made[DATA_MAX];
    const size_t count = rc_fossil_target_bytes(rest);
    deltas++;
    cr_assert_eq(its->version, version, "client %u has version %u, the delta is against %u", client, its->version,
                 version);
    cr_assert_leq(count, sizeof(made));
    cr_assert_eq(rc_fossil_apply(rc_span_of(its->bytes, its->count), rest, made, count), 0);
    memcpy(its->bytes, made, count);
    its->count = count;
    its->version = version + 1;
    return its;
}

/* All that has come; the last one's data, or nothing. */
static struct rc_span take_all(uint32_t client)
{
    uint8_t opcode;
    struct rc_span payload;
    struct has *last = NULL;
    (void)hub_rig_read(&rig, client, 0);
    while (hub_rig_frame(&rig, client, &opcode, &payload)) {
        received[client] += payload.count;
        if (payload.bytes[0] == 0x83) {
            gaps++;
            continue;
        }
        last = take_message(client, payload);
    }
    return last == NULL ? (struct rc_span){0} : rc_span_of(last->bytes, last->count);
}

/* A book of `levels` prices of which each message changes a few. */
static uint32_t sizes[80];
static struct rc_span book(uint32_t levels, uint32_t changes)
{
    static char text[DATA_MAX];
    size_t used = (size_t)snprintf(text, sizeof(text), "{\"symbol\":\"BTC-USD\",\"bids\":[");
    for (uint32_t i = 0; i < changes; i++) {
        sizes[(uint32_t)rand() % levels] = (uint32_t)rand() % 1000000;
    }
    for (uint32_t i = 0; i < levels; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s[\"%u.%02u\",\"%u.%05u\"]", i == 0 ? "" : ",",
                                 97000 - i * 3, i * 37 % 100, sizes[i] / 100000, sizes[i] % 100000);
    }
    used += (size_t)snprintf(text + used, sizeof(text) - used, "]}");
    return rc_span_of(text, used);
}

Test(hub_delta, a_2_kb_book_takes_a_fifth_of_its_bytes)
{
    const uint32_t client = connect_binary();
    (void)subscribe(client);
    size_t published = 0;
    srand(1);
    for (uint32_t n = 0; n < 300; n++) {
        const struct rc_span data = book(80, 4);
        published += data.count;
        cr_assert_eq(hub_rig_publish(&rig, "c", data, NULL, 0), 0);
        hub_rig_drain(&rig);
        cr_assert(rc_span_equal(take_all(client), data));
    }
    cr_assert_gt(published / 300, 1700);
    cr_assert_eq(wholes, 1);
    cr_assert_lt(received[client] * 5, published, "%zu of %zu", received[client], published);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_DELTAS), 299);
    cr_assert_gt(rc_metric_get(rig.metrics, RC_METRIC_DELTA_SAVED), published / 2);
}

Test(hub_delta, who_comes_gets_it_whole_and_the_others_go_on)
{
    const uint32_t first = connect_binary();
    const uint32_t second = connect_binary();
    (void)subscribe(first);
    cr_assert_eq(hub_rig_publish(&rig, "c", book(20, 1), NULL, 0), 0);
    hub_rig_drain(&rig);
    (void)take_all(first);
    (void)subscribe(second);
    for (uint32_t n = 0; n < 3; n++) {
        const struct rc_span data = book(20, 1);
        cr_assert_eq(hub_rig_publish(&rig, "c", data, NULL, 0), 0);
        hub_rig_drain(&rig);
        cr_assert(rc_span_equal(take_all(first), data));
        cr_assert(rc_span_equal(take_all(second), data));
    }
    cr_assert_eq(wholes, 2, "the first one of each");
    cr_assert_eq(deltas, 5);
}

Test(hub_delta, a_group_without_the_wish_gets_messages_as_ever)
{
    const uint32_t plain = connect_binary();
    const uint32_t client = connect_binary();
    uint8_t opcode;
    struct rc_span payload;
    (void)hub_rig_subscribe(&rig, plain, "c");
    (void)subscribe(client);
    for (uint32_t n = 0; n < 2; n++) {
        const struct rc_span data = book(20, 1);
        cr_assert_eq(hub_rig_publish(&rig, "c", data, NULL, 0), 0);
        hub_rig_drain(&rig);
        (void)hub_rig_read(&rig, plain, 0);
        cr_assert(hub_rig_frame(&rig, plain, &opcode, &payload));
        cr_assert_eq(payload.bytes[0], 0x81);
        cr_assert_eq(payload.count, 4 + data.count);
        cr_assert(rc_span_equal(take_all(client), data));
    }
    cr_assert_eq(deltas, 1);
}

Test(hub_delta, not_where_messages_may_be_left_out)
{
    const uint32_t client = connect_binary();
    (void)subscribe(client);
    cr_assert_eq(hub_rig_publish(&rig, "c", book(20, 1), NULL, 0), 0);
    rig.config->namespaces[0].min_interval_ms = 1;
    rc_hub_reconfigure(&rig.hub, rig.config);
    cr_assert_not(rc_delta_wanted(&rig.hub, rc_hub_find(&rig.hub, rc_channel_hash("c", 1), RC_SPAN("c"))));
    rig.config->namespaces[0].min_interval_ms = 0;
    rig.config->namespaces[0].slow_consumer = RC_SLOW_LATEST;
    rc_hub_reconfigure(&rig.hub, rig.config);
    cr_assert_not(rc_delta_wanted(&rig.hub, rc_hub_find(&rig.hub, rc_channel_hash("c", 1), RC_SPAN("c"))));
    hub_rig_drain(&rig);
    (void)take_all(client);
}

/* Everybody's stream is what was published, but for what a gap was told of or it was left out of: clients come and go, are left out, do
 * not read for a while, some keys are many, memory is short. */
Test(hub_delta, random_work_makes_what_was_published, .timeout = 120)
{
    static uint8_t current[KEYS + 1][DATA_MAX];
    static size_t count[KEYS + 1];
    bool in[CLIENTS + 1] = {false};
    bool asleep[CLIENTS + 1] = {false};
    srand(7);
    for (uint32_t i = 1; i <= CLIENTS; i++) {
        cr_assert_eq(hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_BINARY, false, 4096), i);
    }
    for (uint32_t n = 0; n < 20000; n++) {
        const uint32_t client = 1 + (uint32_t)rand() % CLIENTS;
        const uint32_t key = (uint32_t)rand() % (KEYS + 1);
        struct rc_client_ref excludes[2];
        uint32_t exclude_count = 0;
        if (rand() % 50 == 0) {
            if (in[client]) {
                hub_rig_unsubscribe(&rig, client, "c");
            } else {
                hub_rig_drain(&rig);
                (void)take_all(client);
                memset(has[client], 0, sizeof(has[client]));
                (void)subscribe(client);
            }
            in[client] = !in[client];
        }
        asleep[client] = rand() % 40 == 0 ? !asleep[client] : asleep[client];
        const struct rc_span data = book(10 + (uint32_t)rand() % 3, 1 + (uint32_t)rand() % 3);
        memcpy(current[key], data.bytes, data.count);
        count[key] = data.count;
        uint32_t left_out = 0;
        if (rand() % 10 == 0) {
            left_out = 1 + (uint32_t)rand() % CLIENTS;
            excludes[exclude_count++] = hub_rig_ref(&rig, left_out);
        }
        const char name[2] = {(char)('a' + key - 1), '\0'};
        int rc;
        while ((rc = hub_rig_publish_key(&rig, "c", key == 0 ? NULL : name, data, excludes, exclude_count)) != 0) {
            hub_rig_run(&rig); /* a turn has to send first */
        }
        hub_rig_run(&rig);
        for (uint32_t i = 1; i <= CLIENTS; i++) {
            if (!asleep[i]) {
                (void)take_all(i);
            }
        }
    }
    hub_rig_drain(&rig);
    for (uint32_t i = 1; i <= CLIENTS; i++) {
        (void)take_all(i);
    }
    for (uint32_t key = 0; key <= KEYS; key++) { /* and the last of each key is what all have */
        const char name[2] = {(char)('a' + key - 1), '\0'};
        cr_assert_eq(
            hub_rig_publish_key(&rig, "c", key == 0 ? NULL : name, rc_span_of(current[key], count[key]), NULL, 0), 0);
        hub_rig_drain(&rig);
        for (uint32_t i = 1; i <= CLIENTS; i++) {
            (void)take_all(i);
            cr_assert(!in[i] || rc_span_equal(rc_span_of(has[i][key].bytes, has[i][key].count),
                                              rc_span_of(current[key], count[key])));
        }
    }
    cr_assert_gt(deltas, 10000);
    cr_assert_gt(gaps, 0, "somebody fell off");
}
