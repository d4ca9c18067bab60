/* Clients that change their sockets, over sockets that take little at a time: what a client is to get comes once and in order. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/io/io_internal.h"
#include "worker/ws/frame.h"

#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */

static struct hub_rig rig;

/* A JSON text `[number,"xxx…"]` of about `bytes` bytes; valid until the next call. */
static struct rc_span text_of(uint32_t number, uint32_t bytes)
{
    static char text[1 << 20];
    const int head = snprintf(text, sizeof(text), "[%u,\"", number);
    const uint32_t fill = bytes > (uint32_t)head + 2 ? bytes - (uint32_t)head - 2 : 0;
    RC_ASSERT((size_t)head + fill + 3 < sizeof(text));
    memset(text + head, 'a' + (int)(number % 26), fill);
    memcpy(text + head + fill, "\"]", 2);
    return rc_span_of(text, (size_t)head + fill + 2);
}

static uint32_t number_of(struct rc_span payload)
{
    const uint8_t *at = memmem(payload.bytes, payload.count, "[", 1);
    return at == NULL ? UINT32_MAX : (uint32_t)strtoul((const char *)at + 1, NULL, 10);
}

static void publish(const char *channel, uint32_t number, uint32_t bytes)
{
    cr_assert_eq(hub_rig_publish(&rig, channel, text_of(number, bytes), NULL, 0), 0);
}

/* The numbers of the whole frames that were read, with a space after each; valid until the next call. */
static const char *numbers(uint32_t client)
{
    static char text[8192];
    uint8_t opcode;
    struct rc_span payload;
    size_t at = 0;
    text[0] = '\0';
    while (hub_rig_frame(&rig, client, &opcode, &payload)) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%u ", number_of(payload));
    }
    return text;
}

/* The client's socket ends, and all that it took is read. */
static void detach(uint32_t client)
{
    hub_rig_detach(&rig, client);
    for (int i = 0; i < 100 && !rig.peers[client].ended; i++) {
        hub_rig_run(&rig);
        hub_rig_read(&rig, client, 0);
    }
    cr_assert(rig.peers[client].ended);
    cr_assert_eq(rc_truth_client(&rig.truth, client)->socket, RC_SOCKET_NONE);
    cr_assert_eq(rc_truth_client(&rig.truth, client)->state, RC_CLIENT_OPEN);
}

static void attach(uint32_t client, int send_bytes)
{
    int fd;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_UNIX, send_bytes, &fd);
    hub_rig_attach_to(&rig, client, socket, fd);
}

Test(attach, what_came_meanwhile_comes_once_and_in_order)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    const struct rc_client_ref ref = hub_rig_ref(&rig, client);
    hub_rig_subscribe(&rig, client, "c");
    hub_rig_subscribe(&rig, client, "d");
    publish("c", 1, 20);
    hub_rig_drain(&rig);
    for (uint32_t round = 0; round < 3; round++) {
        detach(client);
        cr_assert_str_eq(numbers(client), round == 0 ? "1 " : "2 3 4 5 6 7 ");
        const uint64_t sends = rc_metric_get(rig.metrics, RC_METRIC_SENDS);
        publish("c", 2, 20);
        hub_rig_run(&rig);
        publish("d", 3, 20);
        publish("*", 4, 20);
        cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(5, 20)), 0);
        hub_rig_run(&rig);
        publish("c", 6, 20);
        publish("*", 7, 20);
        for (int i = 0; i < 5; i++) {
            hub_rig_run(&rig);
            hub_rig_check(&rig);
        }
        cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_SENDS), sends, "nobody is there to be sent anything");
        attach(client, 0);
        hub_rig_drain(&rig);
        hub_rig_check(&rig);
        cr_assert_eq(rig.hub.log_bytes, 0, "nobody is behind any more");
    }
    cr_assert_str_eq(numbers(client), "2 3 4 5 6 7 ");
    hub_rig_close(&rig);
}

enum cut { CUT_CHANNEL, CUT_EVERYBODY, CUT_DIRECT, CUT_REPLY, CUT_LEFT, CUT_KINDS };

/* The wire ends in the middle of a frame: on the next one it comes whole, before everything else. */
Test(attach, a_frame_that_was_cut_comes_whole)
{
    for (enum cut kind = 0; kind < CUT_KINDS; kind++) {
        hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
        const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
        const struct rc_client_ref ref = hub_rig_ref(&rig, client);
        hub_rig_subscribe(&rig, client, "c");
        for (uint32_t i = 1; i <= 3; i++) {
            const uint32_t bytes = i == 1 ? 20 : 30000;
            const struct rc_span text = text_of(i, bytes);
            if (kind == CUT_DIRECT) {
                cr_assert_eq(hub_rig_direct(&rig, &ref, text), 0);
            } else if (kind == CUT_REPLY) {
                cr_assert_eq(rc_hub_reply_frame(&rig.hub, client, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
            } else {
                publish(kind == CUT_EVERYBODY ? "*" : "c", i, bytes);
            }
        }
        hub_rig_run(&rig);
        const struct rc_client *its = rc_truth_client(&rig.truth, client);
        cr_assert(kind == CUT_REPLY ? rc_hub_unsent(&rig.hub, client) > 30000 : its->cut != 0, "kind %d", kind);
        if (kind == CUT_LEFT) { /* what is cut is kept although its channel was left */
            hub_rig_unsubscribe(&rig, client, "c");
            cr_assert(its->cut == 0 && its->output != 0);
        }
        if (kind == CUT_REPLY) { /* the block is too small: what is cut moves with its beginning */
            for (uint32_t i = 4; i < 10; i++) {
                const struct rc_span text = text_of(i, 30000);
                cr_assert_eq(rc_hub_reply_frame(&rig.hub, client, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
            }
        }
        detach(client);
        cr_assert_str_eq(numbers(client), "1 ", "kind %d", kind);
        cr_assert_gt(rig.peers[client].count, 0, "a part of the second, kind %d", kind);
        publish("*", 10, 20);
        hub_rig_run(&rig);
        attach(client, SMALL);
        hub_rig_drain(&rig);
        cr_assert_str_eq(numbers(client),
                         kind == CUT_LEFT    ? "2 10 "
                         : kind == CUT_REPLY ? "2 3 4 5 6 7 8 9 10 "
                                             : "2 3 10 ",
                         "kind %d", kind);
        cr_assert_eq(rig.peers[client].count, 0);
        hub_rig_check(&rig);
        hub_rig_close(&rig);
    }
}

/* What the socket still had to send leaves before the client's, also when a part of it has left. */
Test(attach, answers_of_the_socket_leave_first)
{
    static char answer[100000];
    memset(answer, 'A', sizeof(answer));
    for (uint32_t replies = 0; replies < 2; replies++) {
        hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
        const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
        hub_rig_subscribe(&rig, client, "c");
        hub_rig_detach(&rig, client);
        hub_rig_run(&rig);
        const uint32_t first = replies == 0 ? 3 : 2;
        for (uint32_t i = first; i < 3; i++) {
            const struct rc_span text = text_of(i, 20);
            cr_assert_eq(rc_hub_reply_frame(&rig.hub, client, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
        }
        publish("c", 3, 20);
        int fd;
        const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_UNIX, SMALL, &fd);
        cr_assert_eq(rc_hub_answer(&rig.hub, socket, answer, sizeof(answer)), 0);
        hub_rig_run(&rig);
        cr_assert(rig.truth.sockets[socket].flags & RC_SOCKET_BLOCKED, "a part of it has left");
        hub_rig_attach_to(&rig, client, socket, fd);
        cr_assert_eq(rig.truth.sockets[socket].output, 0);
        hub_rig_drain(&rig);
        cr_assert_gt(rig.peers[client].count, sizeof(answer));
        cr_assert(memcmp(rig.peers[client].bytes, answer, sizeof(answer)) == 0);
        rig.peers[client].count -= sizeof(answer);
        memmove(rig.peers[client].bytes, rig.peers[client].bytes + sizeof(answer), rig.peers[client].count);
        cr_assert_str_eq(numbers(client), replies == 0 ? "3 " : "2 3 ");
        hub_rig_check(&rig);
        hub_rig_close(&rig);
    }
}

/* Half an answer of one socket means nothing on another. */
Test(attach, the_rest_of_an_answer_does_not_go_to_another_socket)
{
    static char answer[100000];
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, SMALL);
    hub_rig_detach(&rig, client);
    hub_rig_run(&rig);
    int fd;
    const uint32_t socket = hub_rig_socket(&rig, HUB_RIG_UNIX, SMALL, &fd);
    cr_assert_eq(rc_hub_answer(&rig.hub, socket, answer, sizeof(answer)), 0);
    hub_rig_run(&rig);
    hub_rig_attach_to(&rig, client, socket, fd);
    for (uint32_t i = 1; i < 30; i++) {
        const struct rc_span text = text_of(i, 9000);
        cr_assert_eq(rc_hub_reply_frame(&rig.hub, client, RC_WS_TEXT, text.bytes, (uint32_t)text.count), 0);
    }
    hub_rig_run(&rig);
    hub_rig_detach(&rig, client);
    hub_rig_run(&rig);
    attach(client, 0);
    hub_rig_drain(&rig);
    cr_assert_str_eq(numbers(client), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 ");
    cr_assert_eq(rig.peers[client].count, 0);
    hub_rig_close(&rig);
}

static uint32_t told;

static void ready_again(void *context, uint32_t client)
{
    (void)context;
    told++;
    rc_hub_touch(&rig.hub, client);
}

/* Who waits for something that only the loop brings asks to be told once more: behind the next turn, or the loop would not come to it. */
Test(attach, a_client_that_is_ready_is_told_once_for_each_turn, .timeout = 20)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_detach(&rig, client);
    hub_rig_run(&rig);
    rig.hub.handlers.ready = ready_again;
    rc_truth_client(&rig.truth, client)->flags |= RC_CLIENT_POLLED;
    rc_hub_touch(&rig.hub, client);
    for (uint32_t i = 1; i <= 3; i++) {
        cr_assert(rc_hub_pending(&rig.hub));
        rc_hub_turn(&rig.hub);
        rc_hub_tell_ready(&rig.hub);
        cr_assert_eq(told, i);
    }
    rc_truth_client(&rig.truth, client)->flags &= (uint16_t)~RC_CLIENT_POLLED;
    hub_rig_close(&rig);
}

/* What is kept for a client without a socket is bounded by its channel's slow policy, and costs no send. */
Test(attach, a_client_without_a_socket_is_bounded_by_the_slow_policy)
{
    static const enum rc_slow_policy policies[] = {RC_SLOW_DISCONNECT, RC_SLOW_SKIP, RC_SLOW_LATEST};
    for (size_t p = 0; p < RC_ARRAY_COUNT(policies); p++) {
        hub_rig_open(&rig,
                     &(struct hub_rig_options){.slots = 4, .channel_log_bytes = 65536, .slow_consumer = policies[p]});
        const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
        const uint32_t other = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        const struct rc_client_ref ref = hub_rig_ref(&rig, client);
        hub_rig_subscribe(&rig, client, "c");
        hub_rig_subscribe(&rig, other, "c");
        detach(client);
        uint32_t number = 0;
        for (uint32_t i = 0; i < 100; i++) {
            publish("c", ++number, 3000);
            hub_rig_run(&rig);
            hub_rig_read(&rig, other, 0);
            cr_assert_leq(rig.hub.log_bytes, 65536u + 4096u);
            hub_rig_check(&rig);
        }
        const struct rc_client *its = rc_truth_named(&rig.truth, ref.slot, ref.random);
        if (policies[p] == RC_SLOW_DISCONNECT) {
            cr_assert_null(its, "it has ended");
            cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_SLOW_DISCONNECTED), 1);
            cr_assert_eq(rig.hub.log_bytes, 0);
        } else {
            cr_assert(its != NULL && its->state == RC_CLIENT_OPEN);
            attach(client, 0);
            hub_rig_drain(&rig);
            const char *text = numbers(client);
            const char *last = "100 "; /* all that policy `latest` keeps */
            cr_assert(strlen(text) >= strlen(last) && strcmp(text + strlen(text) - strlen(last), last) == 0, "%s",
                      text);
        }
        hub_rig_close(&rig);
    }
}

/* Directs are for the client alone: too many of them end it, wherever it is. */
Test(attach, directs_for_a_client_without_a_socket_are_bounded)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .channel_log_bytes = 65536});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    const struct rc_client_ref ref = hub_rig_ref(&rig, client);
    detach(client);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(i, 3000)), 0);
        hub_rig_run(&rig);
        cr_assert_leq(rig.hub.log_bytes, 65536u);
    }
    cr_assert_null(rc_truth_named(&rig.truth, ref.slot, ref.random));
    cr_assert_eq(rig.hub.log_bytes, 0);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* Any messages, sockets of any size that end at any moment: each message comes once and in order. */
Test(attach, changing_sockets_at_any_moment_loses_and_repeats_nothing)
{
    static const int buffers[] = {SMALL, SMALL, 20000, 0};
    uint64_t seed = 88172645463325252u;
    hub_rig_open(&rig,
                 &(struct hub_rig_options){.slots = 8, .channel_log_bytes = 8 << 20, .worker_log_bytes = 64 << 20});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, SMALL);
    const struct rc_client_ref ref = hub_rig_ref(&rig, client);
    static const char *const channels[] = {"c", "d", "*"};
    hub_rig_subscribe(&rig, client, "c");
    hub_rig_subscribe(&rig, client, "d");
    uint32_t published = 0;
    uint32_t got = 0;
    uint32_t changes = 0;
    for (uint32_t step = 0; step < 6000 || got < published; step++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        const uint32_t kind = (uint32_t)(seed >> 40) % 16;
        const uint32_t bytes = 20 + (uint32_t)(seed >> 20) % ((seed & 64) != 0 ? 12000 : 200);
        const bool carried = rc_truth_client(&rig.truth, client)->socket != RC_SOCKET_NONE;
        if (step >= 6000 || kind >= 8) {
            hub_rig_run(&rig);
            hub_rig_read(&rig, client, 1 + bytes);
        } else if (kind < 4) {
            publish(channels[kind % 3], ++published, bytes);
        } else if (kind == 4) {
            cr_assert_eq(hub_rig_direct(&rig, &ref, text_of(++published, bytes)), 0);
        } else if (kind < 7 && carried) {
            detach(client);
            changes++;
        }
        uint8_t opcode;
        struct rc_span payload;
        while (hub_rig_frame(&rig, client, &opcode, &payload)) {
            cr_assert_eq(number_of(payload), ++got, "step %u: %u in place of %u", step, number_of(payload), got);
        }
        if (rc_truth_client(&rig.truth, client)->socket == RC_SOCKET_NONE && (step >= 6000 || kind == 7)) {
            attach(client, buffers[(seed >> 8) % RC_ARRAY_COUNT(buffers)]);
        }
        cr_assert(step < 200000, "it does not come to rest: %u of %u", got, published);
    }
    cr_assert(changes > 100 && published > 1000, "%u %u", changes, published);
    hub_rig_drain(&rig);
    cr_assert_eq(rig.hub.log_bytes, 0);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

/* A send that fails has sent nothing: it is not lost with the socket. */
Test(attach, what_a_failed_send_held_comes_on_the_next_socket)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    hub_rig_subscribe(&rig, client, "c");
    rig.peers[client].stays = true;
    hub_rig_hang_up(&rig, client);
    for (uint32_t i = 1; i <= 3; i++) {
        publish(i == 2 ? "*" : "c", i, 20);
    }
    rc_hub_turn(&rig.hub);
    cr_assert_eq(rc_truth_client(&rig.truth, client)->socket, RC_SOCKET_NONE);
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_RESETS), 1);
    hub_rig_run(&rig);
    attach(client, 0);
    hub_rig_drain(&rig);
    cr_assert_str_eq(numbers(client), "1 2 3 ");
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}
