/* White-box tests of worker/hub/conflate.c: who fell behind gets the newest message of each key, and everything is counted. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"

#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */

static struct hub_rig rig;

static void open_rig(void)
{
    hub_rig_open(&rig,
                 &(struct hub_rig_options){.slots = 8, .channel_log_bytes = 65536, .slow_consumer = RC_SLOW_LATEST});
}

static void close_rig(void)
{
    hub_rig_close(&rig);
}

TestSuite(conflate, .init = open_rig, .fini = close_rig);

static uint32_t subscriber(const char *channel, bool slow)
{
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, channel[0] == '*', slow ? SMALL : 0);
    if (channel[0] != '*') {
        hub_rig_subscribe(&rig, slot, channel);
    }
    return slot;
}

/* A message "key number fill…" of so many bytes, to all but `excluded`. */
static void publish(const char *channel, const char *key, uint32_t number, uint32_t bytes, uint32_t excluded)
{
    static char text[65536];
    const int head = snprintf(text, sizeof(text), "%s %u ", key == NULL ? "-" : key, number);
    memset(text + head, 'x', bytes);
    const struct rc_span data = rc_span_of(text, (size_t)head + bytes);
    const struct rc_client_ref ref = excluded == UINT32_MAX ? (struct rc_client_ref){0} : hub_rig_ref(&rig, excluded);
    uint32_t tries = 0;
    while (hub_rig_publish_key(&rig, channel, key, data, &ref, excluded == UINT32_MAX ? 0 : 1) != 0) {
        cr_assert(tries++ < 100, "no room for ever");
        hub_rig_run(&rig);
    }
    hub_rig_run(&rig);
    hub_rig_check(&rig);
}

/* What a client read: the last number of each key a to z and of none ('-'), and how many frames. */
struct seen {
    uint32_t count;
    uint32_t last[128];
};

static struct seen read_all(uint32_t slot)
{
    struct seen seen = {0};
    uint8_t opcode;
    struct rc_span payload;
    hub_rig_drain(&rig);
    while (hub_rig_frame(&rig, slot, &opcode, &payload)) {
        char text[64] = {0};
        memcpy(text, payload.bytes, payload.count < 63 ? payload.count : 63);
        uint8_t key = (uint8_t)text[0];
        const uint32_t number = (uint32_t)strtoul(strchr(text, ' '), NULL, 10);
        cr_assert(number > seen.last[key], "%c: %u after %u", key, number, seen.last[key]);
        seen.last[key] = number;
        seen.count++;
    }
    hub_rig_check(&rig);
    return seen;
}

static uint64_t metric(enum rc_metric_id id)
{
    return rc_metric_get(rig.metrics, id);
}

Test(conflate, newest_of_each_key_also_of_one_that_changed_long_ago)
{
    const uint32_t slow = subscriber("c", true);
    const uint32_t fast = subscriber("c", false);
    uint32_t number = 0;
    publish("c", "h", ++number, 30000, UINT32_MAX); /* from here on the slow one takes nothing */
    publish("c", "r", ++number, 1000, UINT32_MAX);
    const uint32_t rare = number;
    for (uint32_t i = 0; i < 1500; i++) {
        static const char *const keys[] = {"a", "b", NULL};
        publish("c", keys[i % 3], ++number, 700, UINT32_MAX);
        hub_rig_read(&rig, fast, 0);
    }
    const struct seen all = read_all(fast);
    cr_assert_eq(all.count, number, "the others get everything");
    const struct seen got = read_all(slow);
    cr_assert_eq(got.last['r'], rare);
    cr_assert_eq(got.last['a'], number - 2);
    cr_assert_eq(got.last['b'], number - 1);
    cr_assert_eq(got.last['-'], number);
    cr_assert(got.count < 200, "%u", got.count);
}

Test(conflate, what_is_not_delivered_is_counted_exactly)
{
    const uint32_t slow = subscriber("c", true);
    uint32_t number = 0;
    uint64_t got = 0;
    srand(7);
    for (uint32_t i = 0; i < 4000; i++) {
        char key[2] = {(char)('A' + rand() % 40), '\0'};
        publish("c", key, ++number, (uint32_t)(rand() % 900), UINT32_MAX);
        if (i % 97 == 0) {
            hub_rig_read(&rig, slow, (size_t)(rand() % 9000));
            hub_rig_run(&rig);
        }
    }
    got = read_all(slow).count;
    cr_assert(metric(RC_METRIC_SLOW_CONFLATED) > 1000, "the test needs somebody behind");
    cr_assert_eq(got + metric(RC_METRIC_SLOW_CONFLATED), number, "%llu + %llu", (unsigned long long)got,
                 (unsigned long long)metric(RC_METRIC_SLOW_CONFLATED));
    cr_assert_eq(metric(RC_METRIC_SLOW_CONFLATED), metric(RC_METRIC_FAILED_DELIVERIES));
}

Test(conflate, beyond_max_keys_those_that_changed_last_are_kept)
{
    rig.config->namespaces[0].max_keys = 3;
    const uint32_t slow = subscriber("c", true);
    uint32_t number = 0;
    publish("c", "z", ++number, 30000, UINT32_MAX);
    for (char key[2] = "a"; key[0] <= 'f'; key[0]++) {
        publish("c", key, ++number, 700, UINT32_MAX);
    }
    for (uint32_t i = 0; i < 300; i++) {
        publish("c", "f", ++number, 700, UINT32_MAX);
    }
    const struct seen got = read_all(slow);
    cr_assert_eq(got.last['f'], number);
    cr_assert_eq(got.last['e'], 6);
    cr_assert_eq(got.last['d'], 5);
    cr_assert_eq(got.last['c'], 0);
}

/* Who is left out of a key's newest message gets nothing of that key: the others' older ones are not true any more. */
Test(conflate, exclusions_move_with_their_messages)
{
    const uint32_t slow = subscriber("c", true);
    const uint32_t other = subscriber("c", true);
    uint32_t number = 0;
    publish("c", "h", ++number, 30000, UINT32_MAX);
    publish("c", "a", ++number, 700, UINT32_MAX);
    publish("c", "a", ++number, 700, slow);
    publish("c", "b", ++number, 700, other);
    publish("c", "d", ++number, 700, UINT32_MAX);
    for (uint32_t i = 0; i < 300; i++) {
        publish("c", "h", ++number, 700, i % 2 == 0 ? slow : other);
    }
    const struct seen first = read_all(slow);
    const struct seen second = read_all(other);
    cr_assert(first.last['a'] == 0 && second.last['a'] == 3);
    cr_assert(first.last['b'] == 4 && second.last['b'] == 0);
    cr_assert(first.last['d'] == 5 && second.last['d'] == 5);
    cr_assert(second.last['h'] < number && first.last['h'] == number);
}

Test(conflate, everybody_has_keys_too)
{
    const uint32_t slow = subscriber("*", true);
    uint32_t number = 0;
    publish("*", "h", ++number, 30000, UINT32_MAX);
    publish("*", "r", ++number, 700, UINT32_MAX);
    for (uint32_t i = 0; i < 300; i++) {
        publish("*", "h", ++number, 700, UINT32_MAX);
    }
    const struct seen got = read_all(slow);
    cr_assert_eq(got.last['r'], 2);
    cr_assert_eq(got.last['h'], number);
}

/* Keys whose newest messages together are larger than the log: the newest are kept, and the ring does not wait for ever. */
Test(conflate, more_than_the_log_holds)
{
    const uint32_t slow = subscriber("c", true);
    uint32_t number = 0;
    for (uint32_t i = 0; i < 200; i++) {
        char key[2] = {(char)('A' + i % 50), '\0'};
        publish("c", key, ++number, 5000, UINT32_MAX);
    }
    const struct seen got = read_all(slow);
    cr_assert_eq(got.last['A' + 49], number);
    cr_assert_eq(got.last['A' + 48], number - 1);
    cr_assert_eq(got.count + metric(RC_METRIC_SLOW_CONFLATED), number);
}

/* A gap notice is no message: neither takes the other's place. */
Test(conflate, gap_notice_does_not_take_the_place_of_the_newest)
{
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    hub_rig_subscribe(&rig, slow, "c");
    char text[800];
    memset(text, '1', sizeof(text));
    for (uint32_t i = 0; i < 300; i++) {
        text[0] = i == 299 ? '9' : '1';
        cr_assert_eq(hub_rig_publish(&rig, "c", rc_span_of(text, sizeof(text)), NULL, 0), 0);
        hub_rig_run(&rig);
    }
    cr_assert_eq(rc_hub_gap(&rig.hub, RC_SPAN("c")), 0);
    cr_assert_eq(rc_hub_gap(&rig.hub, RC_SPAN("c")), 0);
    hub_rig_drain(&rig);
    uint32_t gaps = 0;
    bool newest = false;
    uint8_t opcode;
    struct rc_span payload;
    while (hub_rig_frame(&rig, slow, &opcode, &payload)) {
        gaps += memmem(payload.bytes, payload.count, "\"gap\"", 5) != NULL;
        newest |= memmem(payload.bytes, payload.count, "\"data\":9", 8) != NULL;
    }
    cr_assert_eq(gaps, 1);
    cr_assert(newest);
}
