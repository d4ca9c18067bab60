/* White-box tests of worker/hub/turn.c and append.c: who gets what, in which order, over sockets that take little at a time. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/io/io_internal.h"
#include "worker/proto/operation.h"
#include "worker/ws/frame.h"

#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */

/* A JSON text `[number,"xxx…"]` of about `bytes` bytes; valid until the next call. */
static struct rc_span text_of(uint64_t number, uint32_t bytes)
{
    static char text[1 << 20];
    const int head = snprintf(text, sizeof(text), "[%llu,\"", (unsigned long long)number);
    const uint32_t fill = bytes > (uint32_t)head + 2 ? bytes - (uint32_t)head - 2 : 0;
    RC_ASSERT((size_t)head + fill + 3 < sizeof(text));
    memset(text + head, 'a' + (int)(number % 26), fill);
    memcpy(text + head + fill, "\"]", 2);
    return rc_span_of(text, (size_t)head + fill + 2);
}

/* The number of a message that text_of made, checked to its last byte; UINT64_MAX when the payload holds none. */
static uint64_t number_of(struct rc_span payload)
{
    const uint8_t *at = memmem(payload.bytes, payload.count, ",\"data\":[", 9);
    at = at != NULL ? at + 8 : memchr(payload.bytes, '[', payload.count);
    if (at == NULL) {
        return UINT64_MAX;
    }
    char *end;
    const uint64_t number = strtoull((const char *)at + 1, &end, 10);
    const uint8_t *last = payload.bytes + payload.count;
    const uint8_t *c = (const uint8_t *)end + 2;
    while (c < last && *c == 'a' + (int)(number % 26)) {
        c++;
    }
    cr_assert(c + 2 <= last && c[0] == '"' && c[1] == ']', "message %llu is damaged", (unsigned long long)number);
    return number;
}

static uint32_t frames_read(struct hub_rig *rig, uint32_t slot)
{
    uint8_t opcode;
    struct rc_span payload;
    uint32_t count = 0;
    while (hub_rig_frame(rig, slot, &opcode, &payload)) {
        count++;
    }
    cr_assert_eq(rig->peers[slot].count, 0, "the stream ends inside a frame");
    return count;
}

/* Found by a lost delivery in the end-to-end fan-out: 64 pieces filled the packet before every channel had its turn. */
Test(turn, channels_that_no_longer_fit_the_packet_are_kept_for_the_next)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        cr_assert(hub_rig_subscribe(&rig, slot, name) != 0);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        cr_assert_eq(hub_rig_publish(&rig, name, text_of((uint64_t)i, 20), NULL, 0), 0);
    }
    cr_assert_eq(hub_rig_publish(&rig, "*", text_of(100, 20), NULL, 0), 0);
    hub_rig_drain(&rig);
    uint8_t opcode;
    struct rc_span payload;
    for (uint64_t i = 0; i <= 100; i++) {
        cr_assert(hub_rig_frame(&rig, slot, &opcode, &payload), "message %llu is missing", (unsigned long long)i);
        cr_assert_eq(number_of(payload), i);
    }
    cr_assert_eq(frames_read(&rig, slot), 0);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* Cutting off the only one behind gave the log back, and the message that made the room necessary went with it. */
Test(append, message_that_cuts_the_only_laggard_off_reaches_the_others)
{
    struct hub_rig rig;
    hub_rig_open(
        &rig, &(struct hub_rig_options){.slots = 4, .channel_log_bytes = 65536, .slow_consumer = RC_SLOW_DISCONNECT});
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    const uint32_t fast = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_subscribe(&rig, slow, "c");
    hub_rig_subscribe(&rig, fast, "c");
    uint32_t got = 0;
    for (uint64_t i = 0; i < 300; i++) {
        while (hub_rig_publish(&rig, "c", text_of(i, 1000), NULL, 0) != 0) {
            hub_rig_run(&rig);
        }
        hub_rig_run(&rig);
        hub_rig_read(&rig, fast, 0);
        got += frames_read(&rig, fast);
        hub_rig_check(&rig);
    }
    cr_assert_eq(got, 300, "%u of 300", got);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED), 1);
    hub_rig_close(&rig);
}

static void expect_number(struct hub_rig *rig, uint32_t slot, uint64_t number)
{
    uint8_t opcode;
    struct rc_span payload;
    cr_assert(hub_rig_frame(rig, slot, &opcode, &payload), "%llu is missing", (unsigned long long)number);
    cr_assert_eq(number_of(payload), number);
}

static void expect_gap(struct hub_rig *rig, uint32_t slot, const char *channel)
{
    char text[64];
    uint8_t opcode;
    struct rc_span payload;
    snprintf(text, sizeof(text), "{\"type\":\"gap\",\"channel\":\"%s\"}", channel);
    cr_assert(hub_rig_frame(rig, slot, &opcode, &payload), "the gap is not told");
    cr_assert(rc_span_equal(payload, rc_span_text(text)), "%.*s", (int)payload.count, (const char *)payload.bytes);
}

static void reply_number(struct hub_rig *rig, uint32_t slot, uint64_t number)
{
    const struct rc_span text = text_of(number, 30);
    cr_assert_eq(rc_hub_reply_frame(&rig->hub, slot, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
}

/* Woken too early, the socket takes nothing: the rest of the cut frame still is what comes next. */
Test(turn, cut_frame_stays_first_when_nothing_could_be_sent)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
    for (int kind = 0; kind < 3; kind++) {
        const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
        hub_rig_subscribe(&rig, slot, "c");
        cr_assert_eq(kind == 0   ? hub_rig_publish(&rig, "c", text_of(1, 20000), NULL, 0)
                     : kind == 1 ? hub_rig_publish(&rig, "*", text_of(1, 20000), NULL, 0)
                                 : hub_rig_direct(&rig, &ref, text_of(1, 20000)),
                     0);
        hub_rig_run(&rig);
        cr_assert(rc_truth_client(&rig.truth, slot)->cut != 0 &&
                  (hub_rig_its_socket(&rig, slot)->flags & RC_SOCKET_BLOCKED));
        for (int i = 0; i < 3; i++) {
            rc_hub_writable(&rig.hub, hub_rig_socket_of(&rig, slot));
            reply_number(&rig, slot, (uint64_t)(2 + i));
            rc_hub_turn(&rig.hub);
        }
        hub_rig_drain(&rig);
        for (uint64_t i = 1; i <= 4; i++) {
            expect_number(&rig, slot, i);
        }
        cr_assert_eq(frames_read(&rig, slot), 0);
        hub_rig_check(&rig);
    }
    hub_rig_close(&rig);
}

/* Moving a log must not move the place where the wire stands in it. */
Test(turn, direct_messages_behind_a_cut_one_follow_it)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    for (uint32_t first = 9000; first < 14000; first += 711) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
        const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
        for (uint64_t i = 0; i < 40; i++) {
            cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(i, i == 0 ? first : 700)), 0);
            hub_rig_run(&rig);
            if (i % 8 == 7) {
                hub_rig_read(&rig, slot, 2500);
                hub_rig_run(&rig);
            }
        }
        hub_rig_drain(&rig);
        for (uint64_t i = 0; i < 40; i++) {
            expect_number(&rig, slot, i);
        }
        cr_assert_eq(frames_read(&rig, slot), 0);
        hub_rig_check(&rig);
        hub_rig_hang_up(&rig, slot);
        hub_rig_run(&rig);
        hub_rig_run(&rig);
    }
    hub_rig_close(&rig);
}

/* Bytes that a socket of SMALL takes at once. */
static uint32_t bytes_taken(struct hub_rig *rig)
{
    const uint32_t slot = hub_rig_connect(rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    const struct rc_span text = text_of(0, 100000);
    cr_assert_eq(rc_hub_reply_frame(&rig->hub, slot, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
    hub_rig_run(rig);
    const uint32_t taken = (uint32_t)hub_rig_read(rig, slot, 0);
    hub_rig_hang_up(rig, slot);
    hub_rig_run(rig);
    hub_rig_run(rig);
    return taken;
}

Test(turn, nothing_goes_between_the_parts_of_a_cut_close_frame)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t taken = bytes_taken(&rig);
    for (uint32_t part = 1; part < 10; part++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
        hub_rig_subscribe(&rig, slot, "c");
        const struct rc_span text = text_of(1, taken - part - 4);
        cr_assert_eq(rc_hub_reply_frame(&rig.hub, slot, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
        rc_hub_close_client(&rig.hub, slot, 4000, "good-bye", 8, false);
        hub_rig_run(&rig);
        (void)rc_hub_reply_frame(&rig.hub, slot, RC_WS_PONG, NULL, 0);
        cr_assert_eq(hub_rig_publish(&rig, "c", text_of(2, 20), NULL, 0), 0);
        cr_assert_eq(hub_rig_publish(&rig, "*", text_of(3, 20), NULL, 0), 0);
        const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
        cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(4, 20)), 0);
        hub_rig_drain(&rig);
        expect_number(&rig, slot, 1);
        uint8_t opcode;
        struct rc_span payload;
        cr_assert(hub_rig_frame(&rig, slot, &opcode, &payload));
        cr_assert(opcode == RC_WS_CLOSE && payload.count == 10 && memcmp(payload.bytes + 2, "good-bye", 8) == 0);
        cr_assert_eq(rig.peers[slot].count, 0, "something follows the close frame");
        hub_rig_check(&rig);
        hub_rig_hang_up(&rig, slot);
        hub_rig_run(&rig);
        hub_rig_run(&rig);
    }
    hub_rig_close(&rig);
}

/* A drained connection stays subscribed until its close frame has left, and not longer. */
Test(turn, nothing_follows_the_close_frame)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
    hub_rig_subscribe(&rig, slot, "c");
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 20), NULL, 0), 0);
    rc_hub_close_client(&rig.hub, slot, 1012, NULL, 0, false);
    hub_rig_run(&rig);
    cr_assert_eq(rig.flushed, 1);
    for (uint64_t i = 2; i < 5; i++) {
        cr_assert_eq(hub_rig_publish(&rig, "c", text_of(i, 20), NULL, 0), 0);
        cr_assert_eq(hub_rig_publish(&rig, "*", text_of(i, 20), NULL, 0), 0);
        cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(i, 20)), 0);
        cr_assert_eq(rc_hub_reply_frame(&rig.hub, slot, RC_WS_PING, NULL, 0), 0);
        hub_rig_run(&rig);
    }
    hub_rig_drain(&rig);
    expect_number(&rig, slot, 1);
    uint8_t opcode;
    struct rc_span payload;
    cr_assert(hub_rig_frame(&rig, slot, &opcode, &payload) && opcode == RC_WS_CLOSE);
    cr_assert_eq(rig.peers[slot].count, 0, "something follows the close frame");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

static void unsubscribe_at_once(void *context, uint32_t slot, const uint8_t *bytes, uint32_t count)
{
    (void)bytes;
    (void)count;
    hub_rig_unsubscribe(context, slot, "c");
}

/* The batch is full just before a member is served, and in that flush the member leaves. */
Test(turn, member_that_leaves_between_two_batches_gets_nothing)
{
    struct hub_rig rig;
    const uint32_t members = RC_IO_BATCH_MAX + 44;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = members});
    for (uint32_t i = 0; i < members; i++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        cr_assert_eq(slot, i + 1);
        hub_rig_subscribe(&rig, slot, "c");
        hub_rig_its_socket(&rig, slot)->mode = RC_IO_TALKING;
        hub_rig_run(&rig);
    }
    /* Standing receives, so that the bytes come up with the flush. */
    for (uint32_t i = 0; i < members; i++) {
        cr_assert_eq(write(rig.peers[i + 1].fd, "x", 1), 1);
    }
    for (int i = 0; i < 4; i++) {
        hub_rig_run(&rig);
    }
    rig.received = unsubscribe_at_once;
    rig.context = &rig;
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 20), NULL, 0), 0);
    const uint32_t leaver = members - RC_IO_BATCH_MAX; /* client numbers begin with 1 */
    cr_assert_eq(write(rig.peers[leaver].fd, "x", 1), 1);
    rc_hub_turn(&rig.hub);
    cr_assert_eq(rc_truth_client(&rig.truth, leaver)->subscription_count, 0, "the test's bytes came too late");
    hub_rig_drain(&rig);
    for (uint32_t i = 0; i < members; i++) {
        cr_assert_eq(frames_read(&rig, i + 1), i + 1 == leaver ? 0 : 1, "client %u", i + 1);
    }
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

static void subscribe_last(void *context)
{
    struct hub_rig *rig = context;
    hub_rig_subscribe(rig, rig->slots, "c");
}

/* Whoever subscribes in the middle of a turn has a cursor at the head; nothing else may be needed to make it go away. */
Test(turn, subscription_in_the_middle_of_a_turn_does_not_keep_the_log)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = RC_IO_BATCH_MAX + 44});
    for (uint32_t i = 0; i < rig.slots; i++) {
        const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        if (i < rig.slots - 1) {
            hub_rig_subscribe(&rig, slot, "c");
        }
    }
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 20), NULL, 0), 0);
    rig.round = subscribe_last;
    rig.context = &rig;
    hub_rig_run(&rig);
    rig.round = NULL;
    hub_rig_drain(&rig);
    cr_assert_eq(rc_truth_client(&rig.truth, rig.slots)->subscription_count, 1);
    cr_assert_eq(rig.hub.log_bytes, 0);
    cr_assert_eq(frames_read(&rig, rig.slots), 0);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(2, 20), NULL, 0), 0);
    hub_rig_drain(&rig);
    expect_number(&rig, rig.slots, 2);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* A message that one encoding has got is tried again for the other, and meanwhile nobody wants it any more. */
Test(append, half_delivered_message_does_not_mute_an_encoding)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .channel_log_bytes = 65536});
    const uint32_t json = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    const uint32_t binary = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_BINARY, false, 0);
    hub_rig_subscribe(&rig, json, "c");
    hub_rig_subscribe(&rig, binary, "c");
    hub_rig_subscribe(&rig, binary, "d");
    int rc = 0;
    for (uint64_t i = 0; i < 1000 && rc == 0; i++) {
        rc = hub_rig_publish(&rig, "c", text_of(i, 200), NULL, 0);
    }
    cr_assert_eq(rc, -ENOSPC);
    cr_assert(rig.hub.kept->partial_mask != 0, "the test needs the binary group first");
    hub_rig_unsubscribe(&rig, json, "c");
    hub_rig_unsubscribe(&rig, binary, "c");
    hub_rig_drain(&rig);
    (void)frames_read(&rig, binary);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 200), NULL, 0), 0);
    cr_assert_eq(hub_rig_publish(&rig, "d", text_of(2, 200), NULL, 0), 0);
    hub_rig_drain(&rig);
    expect_number(&rig, binary, 2);
    hub_rig_close(&rig);
}

/* Only what a turn can send may make the ring wait: a client that is slow for ever must not stop everybody. */
Test(append, message_too_large_for_the_budget_is_given_up_not_waited_for)
{
    for (int policy = RC_SLOW_DISCONNECT; policy <= RC_SLOW_LATEST; policy++) {
        struct hub_rig rig;
        hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .slow_consumer = (enum rc_slow_policy)policy});
        const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
        const uint32_t fast = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        hub_rig_subscribe(&rig, slow, "c");
        hub_rig_subscribe(&rig, fast, "c");
        for (uint64_t i = 0; i < 12; i++) {
            cr_assert_eq(hub_rig_publish(&rig, "c", text_of(i, 500), NULL, 0), 0);
            hub_rig_run(&rig);
        }
        cr_assert(rig.hub.log_bytes > 0, "the test needs a slow client");
        const uint64_t budget = rig.config->limits.worker_log_bytes;
        rig.config->limits.worker_log_bytes = rig.hub.log_bytes;
        int rc = -ENOSPC;
        for (int tries = 0; tries < 3 && rc == -ENOSPC; tries++) {
            rc = hub_rig_publish(&rig, "c", text_of(12, 100000), NULL, 0);
            hub_rig_run(&rig);
        }
        cr_assert_eq(rc, 0, "policy %d: the down ring would wait for ever", policy);
        cr_assert(rc_metric_get(rig.metrics, RC_METRIC_FAILED_DELIVERIES) > 0);
        rig.config->limits.worker_log_bytes = budget;
        cr_assert_eq(hub_rig_publish(&rig, "c", text_of(13, 500), NULL, 0), 0);
        hub_rig_drain(&rig);
        for (uint64_t i = 0; i < 12; i++) {
            expect_number(&rig, fast, i);
        }
        expect_gap(&rig, fast, "c");
        expect_number(&rig, fast, 13);
        hub_rig_check(&rig);
        hub_rig_close(&rig);
    }
}

/* Policy latest: the newest is what counts, whatever the log did meanwhile. */
Test(append, latest_follows_a_log_that_moves_on)
{
    struct hub_rig rig;
    hub_rig_open(&rig,
                 &(struct hub_rig_options){.slots = 4, .channel_log_bytes = 65536, .slow_consumer = RC_SLOW_LATEST});
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    const uint32_t slower = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    const uint32_t fast = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_subscribe(&rig, slow, "c");
    hub_rig_subscribe(&rig, slower, "c");
    hub_rig_subscribe(&rig, fast, "c");
    uint32_t got = 0;
    for (uint64_t i = 0; i < 600; i++) {
        while (hub_rig_publish(&rig, "c", text_of(i, 1000), NULL, 0) != 0) {
            hub_rig_run(&rig);
        }
        hub_rig_run(&rig);
        hub_rig_read(&rig, fast, 0);
        got += frames_read(&rig, fast);
        if (i % 50 == 49) {
            hub_rig_read(&rig, slow, 3000);
        }
        hub_rig_check(&rig);
    }
    hub_rig_drain(&rig);
    cr_assert_eq(got + frames_read(&rig, fast), 600);
    for (uint32_t slot = slow; slot <= slower; slot++) {
        uint8_t opcode;
        struct rc_span payload;
        uint64_t last = 0;
        while (hub_rig_frame(&rig, slot, &opcode, &payload)) {
            cr_assert(number_of(payload) >= last);
            last = number_of(payload);
        }
        cr_assert_eq(last, 599);
    }
    hub_rig_close(&rig);
}

static void fill_ring(struct hub_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = rc_io_sqe(&rig->io);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_IGNORE, 0, 0));
    }
}

/* A burst of new connections leaves the submission queue full of reads to be armed. */
Test(turn, begins_with_a_full_submission_queue)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 40});
    for (uint32_t i = 0; i < 40; i++) {
        hub_rig_subscribe(&rig, hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0), "c");
    }
    hub_rig_run(&rig);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 20), NULL, 0), 0);
    fill_ring(&rig, RC_IO_SQ_ENTRIES - io_uring_sq_ready(&rig.io.ring) - 7);
    rc_hub_turn(&rig.hub);
    hub_rig_drain(&rig);
    for (uint32_t i = 0; i < 40; i++) {
        expect_number(&rig, i + 1, 1);
    }
    hub_rig_close(&rig);
}

/* The completion of a short send stands behind more completions than the queue holds. */
Test(turn, short_send_is_seen_when_the_completion_queue_overflows)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    hub_rig_subscribe(&rig, slot, "c");
    hub_rig_run(&rig);
    fill_ring(&rig, RC_IO_CQ_ENTRIES + 3 * RC_IO_SQ_ENTRIES);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 50000), NULL, 0), 0);
    rc_hub_turn(&rig.hub);
    cr_assert(rc_metric_get(rig.metrics, RC_METRIC_CQ_OVERFLOWS) > 0);
    cr_assert(hub_rig_its_socket(&rig, slot)->flags & RC_SOCKET_BLOCKED);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(2, 20), NULL, 0), 0);
    hub_rig_drain(&rig);
    expect_number(&rig, slot, 1);
    expect_number(&rig, slot, 2);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* Found by churn: more completions than are handled at a time stood before it, and it was taken for one of the next batch. */
Test(turn, short_send_is_settled_once)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    const uint32_t fast = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_subscribe(&rig, slow, "c");
    hub_rig_subscribe(&rig, fast, "d");
    hub_rig_run(&rig);
    fill_ring(&rig, RC_IO_COLLECT_MAX + RC_IO_COLLECT_MAX / 2);
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(1, 50000), NULL, 0), 0);
    rc_hub_turn(&rig.hub);
    cr_assert(hub_rig_its_socket(&rig, slow)->flags & RC_SOCKET_BLOCKED);
    cr_assert_eq(hub_rig_publish(&rig, "d", text_of(2, 9000), NULL, 0), 0);
    rc_hub_turn(&rig.hub);
    cr_assert_not(hub_rig_its_socket(&rig, fast)->flags & RC_SOCKET_BLOCKED);
    hub_rig_drain(&rig);
    expect_number(&rig, slow, 1);
    expect_number(&rig, fast, 2);
    cr_assert_eq(frames_read(&rig, fast), 0);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* The rest of one cut frame has just left, the next frame is cut in the same send, and the client leaves that channel, too. */
Test(turn, leaving_the_channel_of_a_second_cut_frame)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t taken = bytes_taken(&rig);
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    hub_rig_its_socket(&rig, slot)->mode = RC_IO_TALKING;
    cr_assert_eq(write(rig.peers[slot].fd, "x", 1), 1);
    hub_rig_run(&rig);
    hub_rig_run(&rig);
    hub_rig_subscribe(&rig, slot, "d");
    cr_assert_eq(hub_rig_publish(&rig, "d", text_of(1, taken + 300), NULL, 0), 0);
    hub_rig_run(&rig);
    cr_assert_neq(rc_truth_client(&rig.truth, slot)->cut, 0);
    hub_rig_unsubscribe(&rig, slot, "d");
    hub_rig_subscribe(&rig, slot, "c");
    cr_assert_eq(hub_rig_publish(&rig, "c", text_of(2, 50000), NULL, 0), 0);
    rc_hub_turn(&rig.hub);
    hub_rig_read(&rig, slot, 0);
    rc_io_run(&rig.io, 0);
    cr_assert_not(hub_rig_its_socket(&rig, slot)->flags & RC_SOCKET_BLOCKED);
    rig.received = unsubscribe_at_once;
    rig.context = &rig;
    cr_assert_eq(write(rig.peers[slot].fd, "x", 1), 1);
    rc_hub_turn(&rig.hub);
    cr_assert_eq(rc_truth_client(&rig.truth, slot)->subscription_count, 0, "the test's byte came too late");
    hub_rig_drain(&rig);
    expect_number(&rig, slot, 1);
    expect_number(&rig, slot, 2);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* Left out of one message, a connection is asked for each frame whether it is for it: not for ever. */
Test(turn, exclusions_are_forgotten_when_they_have_been_passed)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, SMALL);
    const uint32_t other = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
    hub_rig_subscribe(&rig, slot, "a");
    hub_rig_subscribe(&rig, slot, "b");
    hub_rig_subscribe(&rig, other, "a");
    const struct rc_client_ref ref = hub_rig_ref(&rig, slot);
    static char large[20000];
    memset(large, 'x', sizeof(large));
    cr_assert_eq(hub_rig_publish(&rig, "b", rc_span_of(large, sizeof(large)), NULL, 0), 0);
    hub_rig_run(&rig); /* blocked */
    cr_assert_eq(hub_rig_publish(&rig, "a", RC_SPAN("not for it"), &ref, 1), 0);
    for (uint32_t turn = 0; turn < 8; turn++) {
        cr_assert_eq(hub_rig_publish(&rig, "a", RC_SPAN("more"), NULL, 0), 0);
        hub_rig_run(&rig);
        cr_assert(rc_truth_client(&rig.truth, slot)->flags & RC_CLIENT_EXCLUDED, "it has not come so far");
    }
    hub_rig_drain(&rig);
    for (uint32_t turn = 0; turn < 4; turn++) {
        cr_assert_eq(hub_rig_publish(&rig, "a", RC_SPAN("more"), NULL, 0), 0);
        hub_rig_drain(&rig);
    }
    cr_assert(!(rc_truth_client(&rig.truth, slot)->flags & RC_CLIENT_EXCLUDED),
              "it is behind everything that it was left out of");
    uint8_t opcode;
    struct rc_span payload;
    cr_assert(hub_rig_frame(&rig, slot, &opcode, &payload) && payload.count == sizeof(large));
    for (uint32_t i = 0; i < 12; i++) {
        cr_assert(hub_rig_frame(&rig, slot, &opcode, &payload));
        cr_assert(rc_span_equal(payload, RC_SPAN("more")));
    }
    cr_assert(!hub_rig_frame(&rig, slot, &opcode, &payload));
    /* And again, over the end of the count of turns. */
    for (uint32_t before = 0; before < 4; before++) {
        rig.hub.turn = UINT32_MAX - before;
        cr_assert_eq(hub_rig_publish(&rig, "a", RC_SPAN("not for it"), &ref, 1), 0);
        for (uint32_t turn = 0; turn < 5; turn++) {
            cr_assert_eq(hub_rig_publish(&rig, "a", RC_SPAN("more"), NULL, 0), 0);
            hub_rig_drain(&rig);
            cr_assert(hub_rig_frame(&rig, slot, &opcode, &payload) && rc_span_equal(payload, RC_SPAN("more")));
        }
        cr_assert(!(rc_truth_client(&rig.truth, slot)->flags & RC_CLIENT_EXCLUDED));
    }
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* Making room for a message ends nobody: who is cut off gets nothing more, and is told so in the turn's next step. */
Test(turn, who_is_cut_off_ends_in_the_next_step)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 3, .channel_log_bytes = 65536});
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    const uint32_t channel = rc_hub_channel(&rig.hub, RC_SPAN("c"));
    hub_rig_subscribe(&rig, slow, "c");
    hub_rig_subscribe(&rig, slow, "d");
    const struct rc_client *client = rc_truth_client(&rig.truth, slow);
    uint32_t count = 0;
    while (rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED) == 0) {
        cr_assert_lt(count, 100);
        cr_assert_eq(hub_rig_publish(&rig, "c", text_of(count++, 8000), NULL, 0), 0);
        if (rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED) == 0) {
            rc_hub_turn(&rig.hub);
        }
    }
    cr_assert_eq(client->state, RC_CLIENT_OPEN);
    cr_assert_eq(client->subscription_count, 2, "it is still where it was");
    cr_assert_eq(rc_truth_channel(&rig.truth, channel)->subscriber_count, 1);
    cr_assert(rc_hub_pending(&rig.hub));
    hub_rig_check(&rig);
    while (hub_rig_publish(&rig, "c", text_of(count++, 8000), NULL, 0) == 0) { /* until the turn has to come first */
        hub_rig_check(&rig);
    }
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED), 1);
    rc_hub_turn(&rig.hub);
    cr_assert_eq(client->state, RC_CLIENT_CLOSING);
    cr_assert_eq(client->subscription_count, 0);
    cr_assert_eq(rig.hub.log_bytes, 0);
    hub_rig_drain(&rig);
    uint8_t opcode;
    struct rc_span payload;
    uint8_t last = 0;
    while (hub_rig_frame(&rig, slow, &opcode, &payload)) {
        last = opcode;
    }
    cr_assert_eq(last, RC_WS_CLOSE);
    cr_assert(payload.count > 2 && payload.bytes[0] == RC_CLOSE_SLOW_CONSUMER >> 8 &&
              payload.bytes[1] == (uint8_t)RC_CLOSE_SLOW_CONSUMER);
    hub_rig_close(&rig);
}
