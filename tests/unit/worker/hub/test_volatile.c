/* Volatile messages: for who can take them when they come, and for nobody later; whoever misses one is counted, once. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/ws/frame.h"

#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */
#define MESSAGES_MAX 8000u
#define CLIENTS 6u

static struct hub_rig rig;
static struct rc_hub_taken taken;
static uint64_t state = 1;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % n);
}

static uint64_t missed(void)
{
    return rc_metric_get(rig.metrics, RC_METRIC_VOLATILE_DROPPED);
}

static struct rc_span body_of(uint32_t id, uint32_t fill)
{
    static char body[1 << 17];
    const int head = snprintf(body, sizeof(body), "\"~%u~", id);
    RC_ASSERT((size_t)head + fill + 1 < sizeof(body));
    memset(body + head, 'x', fill);
    body[(uint32_t)head + fill] = '"';
    return rc_span_of(body, (size_t)head + fill + 1);
}

static int publish(const char *channel, uint32_t id, uint32_t fill, bool is_volatile,
                   const struct rc_client_ref *excluded)
{
    rig.message_flags = is_volatile ? RC_ENVELOPE_VOLATILE : 0;
    const int rc = hub_rig_publish(&rig, channel, body_of(id, fill), excluded, excluded == NULL ? 0 : 1);
    rig.message_flags = 0;
    return rc;
}

/* The message in a payload; 0: none. */
static uint32_t id_of(struct rc_span payload)
{
    const uint8_t *at = memmem(payload.bytes, payload.count, "\"~", 2);
    return at == NULL ? 0 : (uint32_t)strtoul((const char *)at + 2, NULL, 10);
}

/* The messages that came, each behind a blank; valid until the next call. */
static const char *got(uint32_t client)
{
    static char text[4096];
    uint8_t opcode;
    struct rc_span payload;
    text[0] = '\0';
    hub_rig_drain(&rig);
    while (hub_rig_frame(&rig, client, &opcode, &payload)) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u", id_of(payload));
    }
    return text;
}

static void run(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        hub_rig_run(&rig);
    }
}

Test(volatile_messages, who_can_take_it_gets_it_and_who_is_behind_misses_it)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t reads = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
    hub_rig_subscribe(&rig, reads, "c");
    hub_rig_subscribe(&rig, slow, "c");
    cr_assert_eq(publish("c", 1, 10, true, NULL), 0);
    run(2);
    cr_assert_eq(publish("c", 2, 100000, false, NULL), 0); /* more than the slow one's socket takes */
    run(4);
    cr_assert_eq(publish("c", 3, 10, true, NULL), 0);
    run(2);
    cr_assert_eq(publish("c", 4, 10, false, NULL), 0);
    cr_assert_eq(publish("c", 5, 10, true, NULL), 0);
    run(2);
    hub_rig_check(&rig);
    cr_assert_str_eq(got(slow), " 1 2 4");
    cr_assert_str_eq(got(reads), " 1 2 3 4 5");
    cr_assert_eq(missed(), 2);
    cr_assert_eq(publish("c", 6, 10, true, NULL), 0);
    cr_assert_str_eq(got(slow), " 6");
    cr_assert_str_eq(got(reads), " 6");
    cr_assert_eq(missed(), 2);
    cr_assert_eq(rig.hub.log_bytes, 0);
    hub_rig_close(&rig);
}

/* Else a stream of positions would send away whoever is a moment late. */
Test(volatile_messages, what_is_missed_is_not_kept_for_anybody)
{
    hub_rig_open(
        &rig, &(struct hub_rig_options){.slots = 4, .channel_log_messages = 16, .slow_consumer = RC_SLOW_DISCONNECT});
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
    hub_rig_subscribe(&rig, slow, "big");
    hub_rig_subscribe(&rig, slow, "c");
    cr_assert_eq(publish("big", 1, 100000, false, NULL), 0);
    run(4);
    const uint64_t before = rig.hub.log_bytes;
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(publish("c", 2 + i, 100, true, NULL), 0);
        run(1);
        cr_assert_eq(rig.hub.log_bytes, before);
    }
    cr_assert_eq(missed(), 1000);
    cr_assert_str_eq(got(slow), " 1");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED), 0);
    hub_rig_close(&rig);
}

Test(volatile_messages, a_direct_message_too)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
    const struct rc_client_ref ref = hub_rig_ref(&rig, slow);
    rig.message_flags = RC_ENVELOPE_VOLATILE;
    cr_assert_eq(hub_rig_direct(&rig, &ref, body_of(1, 10)), 0);
    run(2);
    rig.message_flags = 0;
    cr_assert_eq(hub_rig_direct(&rig, &ref, body_of(2, 100000)), 0);
    run(4);
    rig.message_flags = RC_ENVELOPE_VOLATILE;
    cr_assert_eq(hub_rig_direct(&rig, &ref, body_of(3, 10)), 0);
    cr_assert_eq(missed(), 1);
    cr_assert_str_eq(got(slow), " 1 2");
    cr_assert_eq(hub_rig_direct(&rig, &ref, body_of(4, 10)), 0);
    cr_assert_str_eq(got(slow), " 4");
    hub_rig_close(&rig);
}

/* What a client that polls has got, as got(). */
static const char *took(uint32_t client)
{
    static char text[1024];
    text[0] = '\0';
    hub_rig_run(&rig);
    rc_hub_tell_ready(&rig.hub);
    (void)rc_hub_take(&rig.hub, client, &taken);
    rc_hub_got(&rig.hub);
    for (const uint8_t *at = taken.bytes; (at = memmem(at, (size_t)(taken.bytes + taken.count - at), "\"~", 2)) != NULL;
         at += 2) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %lu",
                       strtoul((const char *)at + 2, NULL, 10));
    }
    return text;
}

Test(volatile_messages, who_polls_gets_it_while_a_request_waits)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    const struct rc_client_ref ref = hub_rig_ref(&rig, client);
    hub_rig_subscribe(&rig, client, "c");
    hub_rig_detach(&rig, client);
    for (int i = 0; i < 100 && !rig.peers[client].ended; i++) {
        hub_rig_run(&rig);
        hub_rig_read(&rig, client, 0);
    }
    struct rc_client *its = rc_truth_client(&rig.truth, client);
    cr_assert_eq(its->socket, RC_SOCKET_NONE);
    its->flags |= RC_CLIENT_POLLED;
    cr_assert_eq(publish("c", 1, 5, true, NULL), 0);
    cr_assert_eq(publish("*", 2, 5, true, NULL), 0);
    rig.message_flags = RC_ENVELOPE_VOLATILE;
    cr_assert_eq(hub_rig_direct(&rig, &ref, body_of(3, 5)), 0);
    cr_assert_str_eq(took(client), " 1 2 3");
    cr_assert_eq(missed(), 0);
    its->flags &= (uint16_t)~RC_CLIENT_POLLED;
    cr_assert_eq(publish("c", 4, 5, true, NULL), 0);
    cr_assert_eq(publish("*", 5, 5, true, NULL), 0);
    rig.message_flags = RC_ENVELOPE_VOLATILE;
    cr_assert_eq(hub_rig_direct(&rig, &ref, body_of(6, 5)), 0);
    run(2);
    cr_assert_eq(rig.hub.log_bytes, 0, "nothing is kept for it");
    cr_assert_eq(publish("c", 7, 5, false, NULL), 0);
    cr_assert_eq(publish("c", 8, 5, true, NULL), 0);
    run(2);
    its->flags |= RC_CLIENT_POLLED;
    rc_hub_touch(&rig.hub, client);
    cr_assert_str_eq(took(client), " 7");
    cr_assert_eq(missed(), 4);
    cr_assert_eq(publish("c", 9, 5, true, NULL), 0);
    cr_assert_str_eq(took(client), " 9");
    free(taken.bytes);
    hub_rig_close(&rig);
}

/* Everything that is not volatile comes, once and in order; what is volatile comes in order or is counted as missed, once. */
Test(volatile_messages, a_storm_over_small_sockets, .timeout = 60)
{
    static const char *const channels[] = {"a", "b", "*"};
    static struct {
        uint8_t channel;
        uint8_t excluded;
        bool is_volatile;
    } messages[MESSAGES_MAX];
    uint32_t slots[CLIENTS];
    uint32_t lasts[CLIENTS] = {0};
    static uint8_t seen[CLIENTS][MESSAGES_MAX];
    uint32_t count = 1;
    uint64_t partial = 0;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = CLIENTS + 1, .channel_log_bytes = 64 << 20});
    for (uint32_t i = 0; i < CLIENTS; i++) {
        slots[i] = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, i == 0 ? 0 : SMALL);
        hub_rig_subscribe(&rig, slots[i], "a");
        hub_rig_subscribe(&rig, slots[i], "b");
    }
    for (uint32_t step = 0; step < 60000 && (count < MESSAGES_MAX || step % 1000 != 0); step++) {
        const uint32_t kind = below(10);
        if (kind < 4 && count < MESSAGES_MAX) {
            const uint32_t excluded = below(4) == 0 ? below(CLIENTS) : CLIENTS;
            const struct rc_client_ref ref =
                excluded < CLIENTS ? hub_rig_ref(&rig, slots[excluded]) : (struct rc_client_ref){0};
            messages[count].channel = (uint8_t)below(3);
            messages[count].is_volatile = below(3) != 0;
            messages[count].excluded = (uint8_t)excluded;
            const uint32_t fill = below(8) == 0 ? below(9000) : below(200);
            const int rc = publish(channels[messages[count].channel], count, fill, messages[count].is_volatile,
                                   excluded < CLIENTS ? &ref : NULL);
            cr_assert_eq(rc, 0);
            count++;
        } else if (kind < 7) {
            hub_rig_run(&rig);
        } else {
            partial += hub_rig_read(&rig, slots[below(CLIENTS)], 1 + below(6000)) > 0;
        }
        for (uint32_t i = 0; i < CLIENTS; i++) {
            uint8_t opcode;
            struct rc_span payload;
            while (hub_rig_frame(&rig, slots[i], &opcode, &payload)) {
                const uint32_t id = id_of(payload);
                cr_assert_gt(id, lasts[i]);
                seen[i][id]++;
                lasts[i] = id;
            }
        }
    }
    hub_rig_drain(&rig);
    uint64_t absent = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        uint8_t opcode;
        struct rc_span payload;
        while (hub_rig_frame(&rig, slots[i], &opcode, &payload)) {
            const uint32_t id = id_of(payload);
            cr_assert_gt(id, lasts[i]);
            seen[i][id]++;
            lasts[i] = id;
        }
        for (uint32_t id = 1; id < count; id++) {
            const bool is_for = messages[id].excluded != i;
            cr_assert(messages[id].is_volatile || seen[i][id] == is_for, "message %u of client %u: %u", id, i,
                      seen[i][id]);
            cr_assert(is_for || seen[i][id] == 0);
            absent += is_for && seen[i][id] == 0;
        }
    }
    cr_assert_eq(missed(), absent);
    cr_assert(absent > 1000 && partial > 1000, "%llu missed", (unsigned long long)absent);
    hub_rig_check(&rig);
    cr_assert_eq(rig.hub.log_bytes, 0);
    hub_rig_close(&rig);
}
