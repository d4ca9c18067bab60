/* state: see state.h. */
#include "worker/move/state.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "common/records/sid.h"

#define STATE_PARTS 10u

/* What lies before the parts: fixed, and without pointers. */
struct state_head {
    uint64_t token;
    uint64_t expires_ms;
    uint64_t bound_ms;
    struct rc_client_ref home;
    uint32_t opened_ds;
    uint32_t active_ds;
    uint32_t ping_ds;
    uint32_t config_generation;
    uint32_t parts[STATE_PARTS]; /* bytes of each */
    uint16_t flags;
    uint8_t endpoint;
    uint8_t encoding;
    uint8_t inflate_bits;
    uint8_t takeover;
    uint8_t everybody;
    uint8_t user_there;
    uint8_t user_identity;
    uint8_t user_counted;
    uint16_t user_identity_mark; /* 0: of an older version */
};

_Static_assert(sizeof(struct state_head) <= RC_MOVE_STATE_BYTES_MIN,
               "what a client is at least is more than may.c thinks");

static void state_parts(struct rc_move_state *state, struct rc_span *parts[STATE_PARTS])
{
    struct rc_span *const all[STATE_PARTS] = {&state->user.id,      &state->user.attributes, &state->user.set,
                                              &state->user.request, &state->user.token,      &state->own,
                                              &state->tls,          &state->history,         &state->names,
                                              &state->replays};
    memcpy(parts, all, sizeof(all));
}

uint32_t rc_move_state_write(uint8_t *out, const struct rc_move_state *given)
{
    struct rc_move_state state = *given;
    struct rc_span *parts[STATE_PARTS];
    struct state_head head = {.token = state.token,
                              .expires_ms = state.user.expires_ms,
                              .bound_ms = state.user.bound_ms,
                              .home = state.client.home,
                              .opened_ds = state.client.opened_ds,
                              .active_ds = state.client.active_ds,
                              .ping_ds = state.client.ping_ds,
                              .config_generation = state.config_generation,
                              .flags = state.client.flags,
                              .endpoint = state.client.endpoint,
                              .encoding = state.client.encoding,
                              .inflate_bits = state.inflate_bits,
                              .takeover = state.takeover,
                              .everybody = state.everybody,
                              .user_there = state.user.there,
                              .user_identity = state.user.identity,
                              .user_identity_mark = state.user.identity_mark,
                              .user_counted = state.user.counted};
    uint64_t bytes = sizeof(head);
    state_parts(&state, parts);
    for (uint32_t i = 0; i < STATE_PARTS; i++) {
        if (bytes + parts[i]->count > RC_HANDOVER_BYTES_MAX) {
            return 0;
        }
        head.parts[i] = (uint32_t)parts[i]->count;
        if (parts[i]->count > 0) {
            memcpy(out + bytes, parts[i]->bytes, parts[i]->count);
        }
        bytes += parts[i]->count;
    }
    memcpy(out, &head, sizeof(head));
    return (uint32_t)bytes;
}

/* Can it be where a client's id says that it was opened, and be one that goes? Another worker's bytes must not end this one. */
static bool state_client_right(const struct rc_client_coming *client)
{
    return client->home.random != 0 && client->home.random >> RC_SID_TOKEN_BITS == 0 &&
           client->home.worker < RC_WORKERS_MAX && client->encoding < RC_ENCODING_COUNT &&
           !rc_encoding_is_delta(client->encoding) &&
           (rc_encoding_framing(client->encoding) != RC_FRAMING_POLLING || rc_encoding_is_engine(client->encoding)) &&
           !rc_codec_is_link(rc_encoding_codec(client->encoding)) &&
           (!rc_encoding_is_engine(client->encoding) || client->home.slot <= RC_SID_SLOT_MAX) &&
           (client->flags & (uint16_t)~RC_CLIENT_PING_DUE) == 0;
}

static bool state_replays_right(struct rc_span replays)
{
    bool right = replays.count % sizeof(struct rc_replay) == 0;
    for (size_t at = 0; right && at < replays.count; at += sizeof(struct rc_replay)) {
        struct rc_replay replay;
        memcpy(&replay, replays.bytes + at, sizeof(replay));
        right =
            replay.cursor.epoch != 0 && replay.cursor.offset != 0 && (replay.flags & ~(uint32_t)RC_REPLAY_BEGINS) == 0;
    }
    return right;
}

int rc_move_state_read(struct rc_move_state *state, const uint8_t *bytes, uint32_t count)
{
    struct state_head head;
    struct rc_span *parts[STATE_PARTS];
    if (count < sizeof(head)) {
        return -EBADMSG;
    }
    memcpy(&head, bytes, sizeof(head));
    *state = (struct rc_move_state){.token = head.token,
                                    .client = {.home = head.home,
                                               .opened_ds = head.opened_ds,
                                               .active_ds = head.active_ds,
                                               .ping_ds = head.ping_ds,
                                               .flags = head.flags,
                                               .endpoint = head.endpoint,
                                               .encoding = head.encoding},
                                    .user = {.expires_ms = head.expires_ms,
                                             .bound_ms = head.bound_ms,
                                             .identity = head.user_identity,
                                             .identity_mark = head.user_identity_mark,
                                             .counted = head.user_counted != 0,
                                             .there = head.user_there != 0},
                                    .config_generation = head.config_generation,
                                    .inflate_bits = head.inflate_bits,
                                    .takeover = head.takeover != 0,
                                    .everybody = head.everybody != 0};
    uint64_t at = sizeof(head);
    state_parts(state, parts);
    for (uint32_t i = 0; i < STATE_PARTS; i++) {
        if (head.parts[i] > count - at) {
            return -EBADMSG;
        }
        *parts[i] = rc_span_of(head.parts[i] == 0 ? NULL : bytes + at, head.parts[i]);
        at += head.parts[i];
    }
    const bool right = at == count && state_client_right(&state->client) && head.inflate_bits <= 15 &&
                       state->user.id.count <= RC_CHANNEL_NAME_MAX - RC_USER_CHANNEL_HEAD_BYTES &&
                       state->user.attributes.count <= UINT16_MAX && state->user.set.count <= UINT16_MAX &&
                       state->user.request.count <= UINT16_MAX && state->user.token.count <= UINT16_MAX &&
                       state->history.count <= UINT16_MAX && state_replays_right(state->replays);
    return right ? 0 : -EBADMSG;
}

bool rc_move_name_next(struct rc_span *rest, struct rc_span *name)
{
    if (rest->count == 0 || rest->bytes[0] == 0 || rest->bytes[0] > rest->count - 1) {
        return false;
    }
    *name = rc_span_of(rest->bytes + 1, rest->bytes[0]);
    *rest = rc_span_of(rest->bytes + 1 + name->count, rest->count - 1 - name->count);
    return true;
}

bool rc_move_replay_next(struct rc_span *rest, uint32_t number, struct rc_replay *replay)
{
    if (rest->count < sizeof(*replay)) {
        return false;
    }
    memcpy(replay, rest->bytes, sizeof(*replay));
    if (replay->subscription != number) {
        return false;
    }
    *rest = rc_span_of(rest->bytes + sizeof(*replay), rest->count - sizeof(*replay));
    return true;
}
