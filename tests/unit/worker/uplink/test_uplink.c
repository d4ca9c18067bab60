/* White-box tests of worker/uplink: real rings with the test as the relay at their other ends, and what worker/client makes of their
 * records in a real hub. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/client/client.h"
#include "worker/uplink/interests.h"
#include "worker/uplink/uplink.h"

#define RING_BYTES 65536u

struct bench {
    struct hub_rig rig;
    struct rc_uplink uplink;
    struct rc_interests interests;
    struct rc_asks asks;
    struct rc_clients clients; /* nothing of it but whom it knows */
    struct rc_port *port;
    struct rc_port_view view;
    struct rc_ring up;   /* consumer */
    struct rc_ring down; /* producer */
    int bell_fd;
};

static struct bench b; /* for the hub's handler, whose context is the rig's */

static void interest_changed(void *context, uint32_t channel)
{
    (void)context;
    rc_interests_changed(&b.interests, channel);
}

static void bench_open(uint64_t channel_log_bytes)
{
    struct rc_err err = {0};
    hub_rig_open(&b.rig, &(struct hub_rig_options){.slots = 8});
    if (channel_log_bytes > 0) {
        b.rig.config->limits.channel_log_bytes = channel_log_bytes;
    }
    b.rig.hub.handlers.interest_changed = interest_changed;
    RC_ASSERT(posix_memalign((void **)&b.port, 4096, rc_port_bytes(RING_BYTES, RING_BYTES)) == 0);
    memset(b.port, 0, rc_port_bytes(RING_BYTES, RING_BYTES));
    b.view = (struct rc_port_view){.shared = b.port, .ring_bytes = RING_BYTES, .overflow_bytes = RING_BYTES};
    atomic_store(&b.rig.shared->core.workers[0].generation, 1);
    atomic_store(&b.rig.shared->core.relay.generation, 1);
    b.bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    b.clients = (struct rc_clients){.truth = &b.rig.truth,
                                    .io = &b.rig.io,
                                    .hub = &b.rig.hub,
                                    .uplink = &b.uplink,
                                    .interests = &b.interests,
                                    .asks = &b.asks,
                                    .metrics = b.rig.metrics};
    const struct rc_uplink_handlers handlers = rc_clients_uplink_handlers(&b.clients);
    const struct rc_interests_handlers interest_handlers = rc_clients_interests_handlers(&b.clients);
    RC_ASSERT(rc_uplink_open(&b.uplink, b.rig.control, &b.view, &b.rig.truth, b.rig.metrics, 0, b.bell_fd, &handlers,
                             &err) == 0);
    rc_interests_open(&b.interests, b.rig.control, &b.rig.truth, &b.uplink, b.rig.metrics, &b.rig.io.now_ns,
                      &interest_handlers);
    rc_asks_open(&b.asks, b.rig.control, b.rig.metrics, &b.rig.io.now_ns);
    RC_ASSERT(rc_ring_attach_consumer(&b.up, &b.port->pairs[1].up, rc_port_data(&b.view, 1, RC_PORT_UP), RING_BYTES) ==
              0);
    RC_ASSERT(rc_ring_attach_producer(&b.down, &b.port->pairs[1].down, rc_port_data(&b.view, 1, RC_PORT_DOWN),
                                      RING_BYTES) == 0);
}

static void bench_close(void)
{
    for (uint32_t i = 1; i <= b.rig.slots; i++) {
        hub_rig_hang_up(&b.rig, i);
    }
    for (int i = 0; i < 20; i++) {
        hub_rig_run(&b.rig);
        rc_interests_flush(&b.interests);
        uint32_t type;
        uint32_t bytes;
        const void *record;
        while (rc_ring_next(&b.up, &type, &record, &bytes) == 1) {}
        rc_ring_release(&b.up);
    }
    rc_uplink_close(&b.uplink);
    rc_asks_close(&b.asks);
    hub_rig_close(&b.rig);
    free(b.port);
    close(b.bell_fd);
}

/* The next record that went up, or 0. */
static uint32_t went_up(struct rc_envelope_view *view)
{
    uint32_t type;
    uint32_t bytes;
    const void *record;
    const int rc = rc_ring_next(&b.up, &type, &record, &bytes);
    cr_assert(rc >= 0);
    if (rc == 0) {
        rc_ring_release(&b.up);
        return 0;
    }
    cr_assert_eq(rc_envelope_read(view, record, bytes), 0);
    return type;
}

static bool send_down(enum rc_record_type type, const struct rc_envelope_view *view)
{
    void *record = rc_ring_claim(&b.down, (uint32_t)type, (uint32_t)rc_envelope_bytes(&view->head));
    if (record == NULL) {
        return false;
    }
    rc_envelope_write(record, view);
    rc_ring_commit(&b.down, (uint32_t)rc_envelope_bytes(&view->head));
    return true;
}

static bool send_message(const char *channel, uint64_t sequence, uint32_t fill)
{
    char data[4096];
    const int head = snprintf(data, sizeof(data), "%llu", (unsigned long long)sequence);
    memset(data + head, ' ', fill);
    const struct rc_envelope_view view = {
        .head = {.sequence = sequence, .channel_bytes = (uint8_t)strlen(channel), .data_bytes = (uint32_t)head + fill},
        .channel = channel,
        .data = (uint8_t *)data};
    return send_down(RC_DOWN_MESSAGE, &view);
}

static void acknowledge(const char *channel, uint64_t token, uint16_t code)
{
    const struct rc_envelope_view view = {
        .head = {.token = token, .channel_bytes = (uint8_t)strlen(channel), .code = code}, .channel = channel};
    cr_assert(send_down(RC_DOWN_INTEREST, &view));
}

/* One pass of the worker's loop. */
static bool loop(void)
{
    const bool more = rc_uplink_drain(&b.uplink);
    rc_interests_flush(&b.interests);
    rc_hub_tell_gaps(&b.rig.hub);
    hub_rig_run(&b.rig);
    rc_uplink_release(&b.uplink, b.uplink.down.position);
    return more;
}

static void wait_for(uint32_t slot, const char *name, const char *id)
{
    const uint32_t channel = rc_hub_channel(&b.rig.hub, rc_span_text(name));
    cr_assert(channel != 0 && rc_hub_wait(&b.rig.hub, slot, channel, rc_span_text(id)) == 0);
}

static void expect(uint32_t slot, const char *part)
{
    uint8_t opcode;
    struct rc_span payload;
    hub_rig_drain(&b.rig);
    cr_assert(hub_rig_frame(&b.rig, slot, &opcode, &payload), "no %s", part);
    cr_assert(memmem(payload.bytes, payload.count, part, strlen(part)) != NULL, "%.*s instead of %s",
              (int)payload.count, (const char *)payload.bytes, part);
}

static void expect_nothing(uint32_t slot)
{
    hub_rig_drain(&b.rig);
    cr_assert_eq(b.rig.peers[slot].count, 0);
}

static void count_subscribed(void *context, uint32_t slot)
{
    struct hub_rig *rig = context;
    rc_truth_client(&rig->truth, slot)->flags &= (uint16_t)~RC_CLIENT_WAITS_SUBSCRIBE;
    rig->joined++;
}

/* Who waits for its subscribe requests goes on after the last of them, also when the API takes them back. */
Test(uplink, waiting_ends_with_the_last_request)
{
    bench_open(0);
    b.rig.hub.handlers.context = &b.rig;
    b.rig.hub.handlers.subscribed = count_subscribed;
    uint8_t id[RC_REQUEST_ID_MAX];
    uint8_t id_bytes;
    const uint32_t slot = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    wait_for(slot, "c", "1");
    wait_for(slot, "c", "2");
    rc_truth_client(&b.rig.truth, slot)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    const uint32_t channel = rc_hub_channel(&b.rig.hub, RC_SPAN("c"));
    cr_assert(rc_hub_wait_cancel(&b.rig.hub, slot, channel, id, &id_bytes));
    cr_assert_eq(b.rig.joined, 0);
    cr_assert(rc_hub_wait_cancel(&b.rig.hub, slot, channel, id, &id_bytes));
    cr_assert_eq(b.rig.joined, 1);
    wait_for(slot, "d", "3");
    rc_truth_client(&b.rig.truth, slot)->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    rc_hub_acknowledged(&b.rig.hub, rc_hub_channel(&b.rig.hub, RC_SPAN("d")), &(struct rc_hub_acknowledgement){0});
    cr_assert_eq(b.rig.joined, 2);
    bench_close();
}

Test(uplink, interest_is_told_acknowledged_and_withdrawn)
{
    struct rc_envelope_view view;
    bench_open(0);
    const uint32_t slot = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    rc_interests_flush(&b.interests);
    cr_assert(went_up(&view) == RC_UP_SNAPSHOT_BEGIN && view.head.token == 1);
    cr_assert(went_up(&view) == RC_UP_SNAPSHOT_END && view.head.token == 1);
    wait_for(slot, "c", "1");
    wait_for(slot, "c", "2");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    const uint64_t first = view.head.token;
    cr_assert_eq(went_up(&view), 0);
    expect_nothing(slot);
    /* Withdrawn and wanted again: the first acknowledgement says nothing any more. */
    uint8_t id[RC_REQUEST_ID_MAX];
    uint8_t id_bytes;
    const uint32_t channel = rc_hub_channel(&b.rig.hub, RC_SPAN("c"));
    cr_assert(rc_hub_wait_cancel(&b.rig.hub, slot, channel, id, &id_bytes) && id[0] == '1');
    cr_assert(rc_hub_wait_cancel(&b.rig.hub, slot, channel, id, &id_bytes) && id[0] == '2');
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_REMOVE);
    wait_for(slot, "c", "3");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    cr_assert_neq(view.head.token, first);
    acknowledge("c", first, 0);
    cr_assert(send_message("c", 1, 0));
    loop();
    expect_nothing(slot);
    acknowledge("c", view.head.token, 0);
    cr_assert(send_message("c", 2, 0));
    loop();
    expect(slot, "\"id\":3");
    expect(slot, "\"data\":2");
    hub_rig_unsubscribe(&b.rig, slot, "c");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_REMOVE);
    cr_assert_eq(rc_hub_find(&b.rig.hub, rc_channel_hash("c", 1), RC_SPAN("c")), 0, "the channel is gone");
    bench_close();
}

Test(uplink, refused_interest_is_answered_as_an_error)
{
    struct rc_envelope_view view;
    bench_open(0);
    const uint32_t slot = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    rc_interests_flush(&b.interests);
    while (went_up(&view) != RC_UP_SNAPSHOT_END) {}
    wait_for(slot, "c", "9");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    acknowledge("c", view.head.token, 503);
    loop();
    expect(slot, "\"code\":503");
    rc_interests_flush(&b.interests);
    bench_close();
}

/* A new relay hears of every channel that is wanted, of no other, however often the ring is full in between. */
Test(uplink, snapshot_goes_on_where_the_ring_was_full)
{
    enum { COUNT = 900, EACH = 120 };
    uint32_t slots[COUNT / EACH + 1];
    struct rc_envelope_view view;
    bench_open(0);
    char name[16];
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i % EACH == 0) {
            slots[i / EACH] = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        }
        snprintf(name, sizeof(name), "c%u", i);
        cr_assert(hub_rig_subscribe(&b.rig, slots[i / EACH], name) != 0);
    }
    for (uint32_t generation = 1; generation <= 3; generation++) {
        static bool told[COUNT];
        memset(told, 0, sizeof(told));
        uint32_t count = 0;
        bool ended = false;
        bool began = false;
        atomic_store(&b.rig.shared->core.relay.generation, generation);
        for (int pass = 0; pass < 200 && !ended; pass++) {
            rc_interests_flush(&b.interests);
            if (pass == 1) {
                for (uint32_t i = 0; i < 20; i++) { /* some go while the snapshot is on its way */
                    const uint32_t channel = i * 43 + generation;
                    snprintf(name, sizeof(name), "c%u", channel);
                    hub_rig_unsubscribe(&b.rig, slots[channel / EACH], name);
                }
            }
            uint32_t type;
            while ((type = went_up(&view)) != 0) {
                cr_assert(!ended || type == RC_UP_INTEREST_REMOVE);
                ended |= type == RC_UP_SNAPSHOT_END;
                began |= type == RC_UP_SNAPSHOT_BEGIN;
                if (type == RC_UP_INTEREST_ADD || type == RC_UP_INTEREST_REMOVE) {
                    cr_assert(began);
                    memcpy(name, view.channel, view.head.channel_bytes);
                    name[view.head.channel_bytes] = 0;
                    bool *its = &told[atoi(name + 1)];
                    cr_assert_neq(*its, type == RC_UP_INTEREST_ADD);
                    *its = type == RC_UP_INTEREST_ADD;
                    count += type == RC_UP_INTEREST_ADD ? 1u : UINT32_MAX;
                }
            }
        }
        for (int pass = 0; pass < 5; pass++) {
            rc_interests_flush(&b.interests);
            while (went_up(&view) != 0) {
                if (view.head.token == 0) {
                    count--;
                }
            }
        }
        cr_assert(ended);
        cr_assert_eq(count, COUNT - 20 * generation);
        cr_assert_eq(b.rig.truth.channels.used, 1 + COUNT - 20 * generation);
    }
    bench_close();
}

/* More comes down than logs hold: the ring waits for the turn, and every encoding gets every message once. */
Test(uplink, full_logs_make_the_ring_wait_and_lose_nothing)
{
    bench_open(4096);
    const uint32_t json = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    const uint32_t binary = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_BINARY, false, 0);
    hub_rig_subscribe(&b.rig, json, "c");
    hub_rig_subscribe(&b.rig, binary, "c");
    hub_rig_subscribe(&b.rig, binary, "d");
    uint64_t sequence = 0;
    uint64_t waits = 0;
    uint32_t got[2] = {0};
    for (int pass = 0; pass < 100; pass++) {
        while (send_message(sequence % 5 == 4 ? "d" : "c", sequence + 1, (uint32_t)(sequence * 31 % 700))) {
            sequence++;
        }
        const struct rc_envelope_view again = {.head = {.sequence = sequence, .channel_bytes = 1, .data_bytes = 1},
                                               .channel = "c",
                                               .data = (const uint8_t *)"0"};
        (void)send_down(RC_DOWN_MESSAGE, &again); /* a duplicate, as a relay's successor sends it */
        for (bool more = true; more;) {
            more = loop();
            waits += more;
            hub_rig_drain(&b.rig);
        }
        for (uint32_t i = 0; i < 2; i++) {
            uint8_t opcode;
            struct rc_span payload;
            while (hub_rig_frame(&b.rig, i == 0 ? json : binary, &opcode, &payload)) {
                got[i]++;
            }
        }
        hub_rig_check(&b.rig);
    }
    cr_assert(waits > 100, "the test needs full logs");
    cr_assert_eq(got[1], sequence);
    cr_assert_eq(got[0], sequence - sequence / 5);
    bench_close();
}

/* What another process writes is counted when it makes no sense, and never believed. */
Test(uplink, nonsense_from_the_ring_is_counted)
{
    bench_open(0);
    const uint32_t slot = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    hub_rig_subscribe(&b.rig, slot, "c");
    void *record = rc_ring_claim(&b.down, RC_DOWN_MESSAGE, 10);
    memset(record, 0xff, 10);
    rc_ring_commit(&b.down, 10);
    struct rc_envelope_view view = {.head = {.sequence = 1, .target = {.random = 1, .slot = 1u << 30}}};
    cr_assert(send_down((enum rc_record_type)99, &view));
    cr_assert(send_down(RC_DOWN_DIRECT, &view));
    view.head.sequence = 2;
    view.head.origin = (struct rc_client_ref){.random = 7, .slot = UINT32_MAX};
    view.head.flags = RC_ENVELOPE_ANSWER;
    cr_assert(send_down(RC_DOWN_ANSWER, &view));
    acknowledge("unknown", 5, 0);
    cr_assert(send_message("c", 3, 0));
    loop();
    expect(slot, "\"data\":3");
    expect_nothing(slot);
    cr_assert_eq(rc_metric_get(b.rig.metrics, RC_METRIC_RING_CORRUPT), 2);
    bench_close();
}

Test(uplink, publisher_waits_when_the_ring_is_full_and_is_told_when_there_is_room)
{
    bench_open(0);
    static const uint8_t data[3000];
    struct rc_envelope_view view = {.head = {.data_bytes = sizeof(data)}, .data = data};
    int rc = 0;
    uint32_t written = 0;
    rc_interests_flush(&b.interests);
    while ((rc = rc_uplink_write(&b.uplink, RC_UP_PUBLISH, &view)) == 0) {
        written++;
    }
    cr_assert_eq(rc, -EAGAIN);
    cr_assert_not(rc_uplink_room(&b.uplink));
    uint32_t read = 0;
    struct rc_envelope_view got;
    while (went_up(&got) != 0) {
        read += got.head.data_bytes == sizeof(data);
    }
    cr_assert_eq(read, written);
    cr_assert(rc_ring_room_due(&b.up));
    cr_assert(rc_uplink_room(&b.uplink));
    cr_assert_eq(rc_uplink_write(&b.uplink, RC_UP_PUBLISH, &view), 0);
    view.head.data_bytes = RING_BYTES;
    cr_assert_eq(rc_uplink_write(&b.uplink, RC_UP_PUBLISH, &view), -EMSGSIZE);
    bench_close();
}

/* --- acknowledgements that do not come ------------------------------------------------------------------------------- */

/* A worker without channels that has told a relay so, and a client. */
static uint32_t start_quiet(void)
{
    struct rc_envelope_view view;
    bench_open(0);
    const uint32_t slot = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    rc_interests_flush(&b.interests);
    while (went_up(&view) != 0) {}
    return slot;
}

/* A period passes. */
static void period(void)
{
    b.rig.io.now_ns += (RC_INTERESTS_ASK_AGAIN_MS + 1) * UINT64_C(1000000);
    rc_interests_ask_again(&b.interests);
    rc_interests_flush(&b.interests);
}

Test(uplink, what_the_relay_does_not_acknowledge_is_told_again)
{
    struct rc_envelope_view view;
    const uint32_t slot = start_quiet();
    rc_interests_ask_again(&b.interests);
    wait_for(slot, "c", "1");
    rc_interests_flush(&b.interests);
    period();
    period();
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    const uint64_t token = view.head.token;
    cr_assert_eq(went_up(&view), 0, "what the relay has not even read is not told twice");
    period();
    cr_assert(went_up(&view) == RC_UP_INTEREST_ADD && view.channel[0] == 'c');
    cr_assert_eq(view.head.token, token, "it is the same registration: an acknowledgement on its way is good");
    cr_assert_eq(went_up(&view), 0);
    acknowledge("c", token, 0);
    loop();
    expect(slot, "\"id\":1");
    for (int i = 0; i < 4; i++) {
        period();
        cr_assert_eq(went_up(&view), 0);
    }
    cr_assert_eq(rc_metric_get(b.rig.metrics, RC_METRIC_INTERESTS_ASKED_AGAIN), 1);
    bench_close();
}

Test(uplink, only_those_that_still_wait_are_told_again)
{
    enum { CHANNELS = 120, SLOTS = 8 };
    struct rc_envelope_view view;
    uint32_t slots[SLOTS];
    char name[16];
    uint32_t again = 0;
    slots[0] = start_quiet();
    for (uint32_t i = 1; i < SLOTS; i++) {
        slots[i] = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    }
    for (uint32_t i = 0; i < CHANNELS * SLOTS; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        wait_for(slots[i / CHANNELS], name, "1");
        rc_interests_flush(&b.interests);
        while (went_up(&view) != 0) {}
    }
    /* Half of them end, one way or the other, before a period is over. */
    for (uint32_t i = 0; i < CHANNELS * SLOTS; i += 4) {
        uint8_t id[RC_REQUEST_ID_MAX];
        uint8_t id_bytes;
        snprintf(name, sizeof(name), "c%u", i);
        const uint32_t channel = rc_hub_channel(&b.rig.hub, rc_span_text(name));
        cr_assert(rc_hub_wait_cancel(&b.rig.hub, slots[i / CHANNELS], channel, id, &id_bytes));
        snprintf(name, sizeof(name), "c%u", i + 1);
        acknowledge(name, i + 2, 0);
        loop();
        while (went_up(&view) != 0) {}
    }
    for (int i = 0; i < 6; i++) {
        period();
        for (uint32_t type; (type = went_up(&view)) != 0; again++) {
            cr_assert_eq(type, RC_UP_INTEREST_ADD);
            memcpy(name, view.channel, view.head.channel_bytes);
            name[view.head.channel_bytes] = 0;
            cr_assert_eq(view.head.token, (uint64_t)atoi(name + 1) + 1);
            cr_assert_geq(atoi(name + 1) % 4, 2);
        }
    }
    cr_assert(again > CHANNELS * SLOTS / 2, "%u", again);
    cr_assert_eq(b.rig.truth.pending.used, CHANNELS * SLOTS / 2);
    bench_close();
}

/* While Redis is slow every newcomer of the channel asks how far it goes: that must not void the answers of those before. */
Test(uplink, an_acknowledgement_is_good_for_those_who_asked_meanwhile)
{
    struct rc_envelope_view view;
    const uint32_t slot = start_quiet();
    const uint32_t other = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    wait_for(slot, "c", "1");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    const uint64_t token = view.head.token;
    const struct rc_envelope_view local = {
        .head = {.token = token, .flags = RC_ENVELOPE_SCOPE_LOCAL, .channel_bytes = 1}, .channel = "c"};
    cr_assert(send_down(RC_DOWN_INTEREST, &local));
    loop();
    expect(slot, "\"scope\":\"local\"");
    wait_for(other, "c", "2");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    const uint64_t first = view.head.token;
    wait_for(other, "c", "3");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    acknowledge("c", first, 0);
    loop();
    expect(other, "\"id\":2");
    expect(other, "\"id\":3");
    bench_close();
}

/* A relay that says nothing must not keep what the clients of many hours ago asked for. */
Test(uplink, what_a_connection_waits_for_ends_with_it)
{
    struct rc_envelope_view view;
    const uint32_t slot = start_quiet();
    const uint32_t stays = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    wait_for(slot, "c", "1");
    wait_for(slot, "d", "2");
    wait_for(stays, "d", "3");
    wait_for(slot, "d", "4");
    wait_for(slot, "e", "5");
    rc_interests_flush(&b.interests);
    while (went_up(&view) != 0) {}
    cr_assert_eq(b.rig.truth.pending.used, 5);
    hub_rig_hang_up(&b.rig, slot);
    for (int i = 0; i < 100 && rc_truth_client(&b.rig.truth, slot)->random != 0; i++) {
        rc_io_terminate(&b.rig.io, hub_rig_socket_of(&b.rig, slot));
        hub_rig_run(&b.rig);
    }
    cr_assert_eq(b.rig.truth.pending.used, 1);
    cr_assert_eq(rc_truth_client(&b.rig.truth, slot)->pending_count, 0);
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_REMOVE);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_REMOVE);
    cr_assert_eq(went_up(&view), 0);
    cr_assert_eq(b.rig.truth.channels.used, 2, "\"*\" and d");
    acknowledge("d", 2, 0);
    loop();
    expect(stays, "\"id\":3");
    expect_nothing(stays);
    bench_close();
}

/* A new relay that has no room for a channel: who is subscribed must not believe that everything comes. */
Test(uplink, subscribers_of_a_channel_that_a_new_relay_refuses_are_told)
{
    struct rc_envelope_view view;
    const uint32_t slot = start_quiet();
    const uint32_t late = hub_rig_connect(&b.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    wait_for(slot, "c", "1");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    acknowledge("c", view.head.token, 0);
    loop();
    expect(slot, "subscribed");
    atomic_fetch_add(&b.rig.shared->core.relay.generation, 1);
    rc_interests_flush(&b.interests);
    while (went_up(&view) != RC_UP_INTEREST_ADD) {}
    cr_assert_eq(went_up(&(struct rc_envelope_view){0}), RC_UP_SNAPSHOT_END);
    cr_assert_eq(went_up(&(struct rc_envelope_view){0}), 0);
    acknowledge("c", view.head.token, 503);
    loop();
    expect(slot, "{\"type\":\"gap\",\"channel\":\"c\"}");
    expect_nothing(slot);
    /* Nobody else is told subscribed, and who is already hears of it only once a period. */
    wait_for(late, "c", "2");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    acknowledge("c", view.head.token, 503);
    loop();
    expect(late, "\"code\":503");
    expect_nothing(slot);
    cr_assert_eq(went_up(&(struct rc_envelope_view){0}), 0);
    period();
    period();
    loop();
    expect(slot, "\"gap\"");
    expect_nothing(slot);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    acknowledge("c", view.head.token, 0);
    cr_assert(send_message("c", 1, 0));
    loop();
    expect(slot, "\"gap\"");
    expect(slot, "\"data\":1");
    expect_nothing(slot);
    expect_nothing(late);
    cr_assert_eq(rc_metric_get(b.rig.metrics, RC_METRIC_INTERESTS_REFUSED), 1);
    period();
    period();
    cr_assert_eq(went_up(&view), 0);
    bench_close();
}

Test(uplink, a_refused_channel_that_everybody_leaves_is_gone)
{
    struct rc_envelope_view view;
    const uint32_t slot = start_quiet();
    cr_assert_neq(hub_rig_subscribe(&b.rig, slot, "c"), 0);
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), RC_UP_INTEREST_ADD);
    acknowledge("c", view.head.token, 503);
    loop();
    expect(slot, "\"gap\"");
    hub_rig_unsubscribe(&b.rig, slot, "c");
    rc_interests_flush(&b.interests);
    cr_assert_eq(went_up(&view), 0, "the relay knows nothing of it");
    cr_assert_eq(b.rig.truth.channels.used, 1);
    period();
    period();
    cr_assert_eq(went_up(&view), 0);
    bench_close();
}

/* --- connections that wait for room ---------------------------------------------------------------------------------- */

/* Takes everything that went up, as a relay does. */
static void relay_reads(void)
{
    struct rc_envelope_view view;
    while (went_up(&view) != 0) {}
}

/* Records of 1,000 bytes and a little more, until the ring is full. */
static void fill_up(uint32_t count)
{
    static const uint8_t data[1000];
    struct rc_envelope_view view = {.head = {.data_bytes = sizeof(data)}, .data = data};
    for (uint32_t i = 0; i < count && rc_uplink_write(&b.uplink, RC_UP_PUBLISH, &view) == 0; i++) {}
}

Test(uplink, who_waits_for_room_is_served_first_come_first)
{
    (void)start_quiet();
    static const uint32_t order[] = {3, 1, 4, 0, 2};
    fill_up(UINT32_MAX);
    for (uint32_t i = 0; i < 5; i++) {
        rc_waiters_add(&b.uplink.waiters, order[i]);
        rc_waiters_add(&b.uplink.waiters, order[0]); /* again: it keeps its place */
    }
    cr_assert_eq(rc_uplink_serve(&b.uplink), RC_WAITERS_NOBODY, "there is no room");
    cr_assert(rc_uplink_queued(&b.uplink));
    relay_reads();
    cr_assert(rc_uplink_queued(&b.uplink), "who comes now does not overtake them");
    rc_uplink_leave(&b.uplink, 4);
    rc_uplink_leave(&b.uplink, 5); /* does not wait */
    static const uint32_t expected[] = {3, 1, 0, 2};
    for (uint32_t i = 0; i < 4; i++) {
        const uint64_t position = b.uplink.up.position;
        cr_assert_eq(rc_uplink_serve(&b.uplink), expected[i]);
        cr_assert_not(rc_uplink_queued(&b.uplink));
        cr_assert(rc_uplink_served(&b.uplink, expected[i], position));
        cr_assert_eq(b.rig.truth.sockets[expected[i]].flags & RC_SOCKET_WAITS_UPLINK, 0);
    }
    cr_assert_eq(rc_uplink_serve(&b.uplink), RC_WAITERS_NOBODY);
    cr_assert_not(rc_uplink_queued(&b.uplink));
    bench_close();
}

/* A large message does not lose its place to small ones, and is not tried over and over either. */
Test(uplink, who_finds_too_little_room_stays_the_first)
{
    static const uint8_t data[RING_BYTES];
    (void)start_quiet();
    fill_up(20);
    relay_reads();
    fill_up(20); /* not yet half of the ring, but what is left of it in one piece is less than that */
    cr_assert_lt(rc_ring_used(&b.up), RING_BYTES / 2);
    rc_waiters_add(&b.uplink.waiters, 0);
    rc_waiters_add(&b.uplink.waiters, 1);
    const uint64_t position = b.uplink.up.position;
    struct rc_envelope_view view = {.head = {.data_bytes = RING_BYTES / 2 - 200}, .data = data};
    cr_assert_eq(rc_uplink_serve(&b.uplink), 0);
    cr_assert_eq(rc_uplink_write(&b.uplink, RC_UP_PUBLISH, &view), -EAGAIN);
    rc_waiters_add(&b.uplink.waiters, 0);
    cr_assert_not(rc_uplink_served(&b.uplink, 0, position));
    cr_assert_eq(b.uplink.waiters.first, 0);
    cr_assert_not(rc_uplink_due(&b.uplink), "until the relay has read more there is nothing to do");
    relay_reads();
    cr_assert(rc_uplink_due(&b.uplink));
    cr_assert_eq(rc_uplink_serve(&b.uplink), 0);
    cr_assert_eq(rc_uplink_write(&b.uplink, RC_UP_PUBLISH, &view), 0);
    cr_assert(rc_uplink_served(&b.uplink, 0, position));
    cr_assert_eq(b.uplink.waiters.first, 1);
    relay_reads();
    rc_uplink_leave(&b.uplink, 1);
    bench_close();
}
