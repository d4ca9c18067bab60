/* A client on its way to another worker: what is written is read, and nothing else is believed. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/span.h"
#include "common/records/channel_name.h"
#include "common/records/sid.h"
#include "worker/move/state.h"

static uint8_t bytes[RC_HANDOVER_BYTES_MAX];

static struct rc_replay replays[2];

static struct rc_move_state whole(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        replays[i] = (struct rc_replay){.cursor = {.slot = 4, .epoch = 8, .offset = 100 + i},
                                        .former = {.random = 3},
                                        .subscription = 2 * i,
                                        .flags = RC_REPLAY_BEGINS};
    }
    return (struct rc_move_state){.token = 99,
                                  .client = {.home = {.random = 5, .slot = 6, .worker = 7},
                                             .opened_ds = 10,
                                             .active_ds = 20,
                                             .ping_ds = 30,
                                             .flags = RC_CLIENT_PING_DUE,
                                             .endpoint = RC_ENDPOINT_PATH,
                                             .encoding = 1},
                                  .user = {.id = RC_SPAN("ada"),
                                           .attributes = RC_SPAN("{\"id\":\"ada\"}"),
                                           .token = RC_SPAN("12345678jti"),
                                           .expires_ms = 1000,
                                           .bound_ms = 2000,
                                           .identity = 2,
                                           .identity_mark = 54321,
                                           .counted = true,
                                           .there = true},
                                  .own = RC_SPAN("of its protocol"),
                                  .tls = RC_SPAN("keys"),
                                  .history = RC_SPAN("what it has said"),
                                  .names = RC_SPAN("\004news\001x\001y"),
                                  .replays = rc_span_of(replays, sizeof(replays)),
                                  .config_generation = 3,
                                  .inflate_bits = 15,
                                  .takeover = true,
                                  .everybody = true};
}

static bool same(struct rc_span a, struct rc_span b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.bytes, b.bytes, a.count) == 0);
}

Test(move_state, what_is_written_is_read)
{
    const struct rc_move_state given = whole();
    const uint32_t count = rc_move_state_write(bytes, &given);
    struct rc_move_state back;
    struct rc_span name;
    cr_assert_gt(count, 0);
    cr_assert_eq(rc_move_state_read(&back, bytes, count), 0);
    cr_assert_eq(back.token, given.token);
    cr_assert_eq(memcmp(&back.client.home, &given.client.home, sizeof(given.client.home)), 0);
    cr_assert_eq(back.client.opened_ds, 10);
    cr_assert_eq(back.client.active_ds, 20);
    cr_assert_eq(back.client.ping_ds, 30);
    cr_assert_eq(back.client.flags, RC_CLIENT_PING_DUE);
    cr_assert_eq(back.client.endpoint, RC_ENDPOINT_PATH);
    cr_assert_eq(back.client.encoding, 1);
    cr_assert(same(back.user.id, given.user.id) && same(back.user.attributes, given.user.attributes));
    cr_assert(same(back.user.token, given.user.token) && back.user.set.count == 0 && back.user.request.count == 0);
    cr_assert(back.user.expires_ms == 1000 && back.user.bound_ms == 2000 && back.user.identity == 2 &&
              back.user.identity_mark == 54321);
    cr_assert(back.user.counted && back.user.there && back.takeover && back.everybody);
    cr_assert(back.inflate_bits == 15 && back.config_generation == 3);
    cr_assert(same(back.history, given.history) && same(back.own, given.own) && same(back.tls, given.tls));
    cr_assert(rc_move_name_next(&back.names, &name) && same(name, RC_SPAN("news")));
    cr_assert(rc_move_name_next(&back.names, &name) && same(name, RC_SPAN("x")));
    cr_assert(rc_move_name_next(&back.names, &name) && same(name, RC_SPAN("y")));
    cr_assert_not(rc_move_name_next(&back.names, &name));
    struct rc_replay replay;
    cr_assert(rc_move_replay_next(&back.replays, 0, &replay) && replay.cursor.offset == 100);
    cr_assert_not(rc_move_replay_next(&back.replays, 1, &replay), "that one is not read in a history");
    cr_assert(rc_move_replay_next(&back.replays, 2, &replay) && replay.cursor.offset == 101);
    cr_assert(replay.cursor.epoch == 8 && replay.former.random == 3 && replay.flags == RC_REPLAY_BEGINS);
    cr_assert(back.replays.count == 0 && !rc_move_replay_next(&back.replays, 3, &replay));
}

Test(move_state, what_is_cut_or_longer_or_of_no_client_is_refused)
{
    const struct rc_move_state given = whole();
    const uint32_t count = rc_move_state_write(bytes, &given);
    struct rc_move_state back;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *cut = malloc(i + 1); /* for a sanitizer to see what is read beyond it */
        memcpy(cut, bytes, i);
        cr_assert_eq(rc_move_state_read(&back, cut, i), -EBADMSG, "%u", i);
        free(cut);
    }
    cr_assert_eq(rc_move_state_read(&back, bytes, count + 1), -EBADMSG);
    struct rc_move_state nobody = whole();
    nobody.client.home.random = 0;
    cr_assert_eq(rc_move_state_read(&back, bytes, rc_move_state_write(bytes, &nobody)), -EBADMSG);
    struct rc_move_state session = whole();
    session.client.encoding = rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, 0);
    cr_assert_eq(rc_move_state_read(&back, bytes, rc_move_state_write(bytes, &session)), 0);
    session.client.encoding = rc_encoding_delta(1); /* of a group, not of a client */
    cr_assert_eq(rc_move_state_read(&back, bytes, rc_move_state_write(bytes, &session)), -EBADMSG);
    struct rc_move_state flags = whole();
    flags.client.flags = RC_CLIENT_DIRTY;
    cr_assert_eq(rc_move_state_read(&back, bytes, rc_move_state_write(bytes, &flags)), -EBADMSG);
}

static int read_of(const struct rc_move_state *state)
{
    struct rc_move_state back;
    return rc_move_state_read(&back, bytes, rc_move_state_write(bytes, state));
}

/* Ids, sids and names of channels are made of it, and whoever makes them takes it for right. */
Test(move_state, what_no_client_can_have_is_refused)
{
    static char id[RC_CHANNEL_NAME_MAX];
    const uint8_t socketio = rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_WEBSOCKET, 0);
    struct rc_move_state state = whole();
    state.client.home.worker = RC_WORKERS_MAX;
    cr_assert_eq(read_of(&state), -EBADMSG);
    state.client.home.worker = RC_WORKERS_MAX - 1;
    cr_assert_eq(read_of(&state), 0);
    state.client.home.random = UINT64_C(1) << RC_SID_TOKEN_BITS;
    cr_assert_eq(read_of(&state), -EBADMSG);
    state.client.home.random--;
    cr_assert_eq(read_of(&state), 0);
    state.client.home.slot = RC_SID_SLOT_MAX + 1;
    cr_assert_eq(read_of(&state), 0, "its id is no sid");
    state.client.encoding = socketio;
    cr_assert_eq(read_of(&state), -EBADMSG);
    state.client.home.slot--;
    cr_assert_eq(read_of(&state), 0);
    state.client.encoding = rc_encoding_of(RC_CODEC_LINK, RC_FRAMING_WEBSOCKET, 0);
    cr_assert_eq(read_of(&state), -EBADMSG, "its application is behind a link of its worker");
    state = whole();
    state.user.id = rc_span_of(id, RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES);
    cr_assert_eq(read_of(&state), 0);
    state.user.id.count++;
    cr_assert_eq(read_of(&state), -EBADMSG, "its channel has no name");
    state = whole();
    state.replays.count--;
    cr_assert_eq(read_of(&state), -EBADMSG);
    state = whole();
    replays[1].cursor.offset = 0;
    cr_assert_eq(read_of(&state), -EBADMSG, "no message has this offset");
    state = whole();
    replays[1].flags = RC_REPLAY_RECOVERS;
    cr_assert_eq(read_of(&state), -EBADMSG, "that is a request");
}

Test(move_state, bytes_changed_at_random_read_nothing_beyond_their_end)
{
    const struct rc_move_state given = whole();
    const uint32_t count = rc_move_state_write(bytes, &given);
    uint8_t *copy = malloc(count);
    unsigned seed = 1;
    for (uint32_t round = 0; round < 20000; round++) {
        struct rc_move_state back;
        struct rc_span name;
        memcpy(copy, bytes, count);
        for (uint32_t i = 0; i < 1 + round % 3; i++) {
            copy[(uint32_t)rand_r(&seed) % count] = (uint8_t)rand_r(&seed);
        }
        if (rc_move_state_read(&back, copy, count) == 0) {
            while (rc_move_name_next(&back.names, &name)) {
                cr_assert(name.bytes >= copy && name.bytes + name.count <= copy + count);
            }
        }
    }
    free(copy);
}

Test(move_state, too_much_is_not_written)
{
    static uint8_t much[RC_HANDOVER_BYTES_MAX];
    struct rc_move_state given = whole();
    given.names = rc_span_of(much, sizeof(much));
    cr_assert_eq(rc_move_state_write(bytes, &given), 0);
}
