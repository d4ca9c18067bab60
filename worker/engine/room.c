/* room: see room.h. */
#include "worker/engine/room.h"

#include "common/text/json_scan.h"
#include "worker/hub/hub.h"

struct telling {
    struct rc_engines *engines;
    enum rc_sockets_operation what;
    struct rc_span nsp;
    const struct rc_room_listener *listener;
};

static void tell_text(const struct telling *telling, struct rc_span text)
{
    uint8_t json[RC_JSON_STRING_BYTES_MAX(RC_CHANNEL_NAME_MAX)];
    telling->listener->entry(telling->listener->context,
                             rc_span_of(json, rc_json_string_encode(json, sizeof(json), text)));
}

static void tell_client(const struct telling *telling, uint32_t client)
{
    const struct rc_clients *clients = telling->engines->clients;
    char sid[RC_SID_BYTES];
    if (telling->what == RC_CALL_ROOM_USERS) {
        const struct rc_span user = rc_client_user(clients, client);
        if (user.count > 0) {
            tell_text(telling, user);
        }
        return;
    }
    if ((rc_engine_of(telling->engines, client)->flags & RC_ENGINE_SESSION) != 0 &&
        rc_truth_sid_token(clients->truth, client, telling->nsp) != 0) {
        rc_engine_nsp_sid(telling->engines, client, telling->nsp, sid);
        tell_text(telling, rc_span_of(sid, sizeof(sid)));
    }
}

uint32_t rc_room_tell(struct rc_engines *engines, enum rc_sockets_operation what, struct rc_span channel,
                      uint32_t except, const struct rc_room_listener *listener)
{
    struct rc_hub *hub = engines->clients->hub;
    const struct rc_truth *truth = hub->truth;
    const uint32_t index = rc_hub_find(hub, rc_channel_hash((const char *)channel.bytes, channel.count), channel);
    struct telling telling = {.engines = engines, .what = what, .listener = listener};
    struct rc_span room;
    if (index == 0) {
        return 0;
    }
    const bool among = except != 0 && rc_hub_subscription(hub, except, index) != 0;
    const uint32_t count = rc_truth_channel(truth, index)->subscriber_count - (among ? 1 : 0);
    (void)rc_channel_split(channel, &telling.nsp, &room);
    for (uint32_t group = what == RC_CALL_ROOM_COUNT ? 0 : rc_truth_channel(truth, index)->groups; group != 0;
         group = rc_truth_group(truth, group)->next) {
        struct rc_members *members = &hub->members[group];
        for (uint32_t i = 0; i < members->count; i++) {
            const uint32_t client = rc_truth_subscription(truth, rc_members_items(members)[i])->client;
            if (client != except) {
                tell_client(&telling, client);
            }
        }
    }
    return count;
}
