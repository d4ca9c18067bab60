/* Names of the channels of Socket.IO servers with an adapter: put together, and taken apart again. */
#include "relay/bridge/adapter_name.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct rc_adapter_bridge adapter = {.head = "socket.io#", .head_bytes = 10};

static void expect(struct rc_span name, const char *expected)
{
    cr_assert(rc_span_equal(name, rc_span_text(expected)), "%.*s", (int)name.count, (const char *)name.bytes);
}

Test(adapter_name, a_namespace_has_a_channel_and_so_has_each_room)
{
    char text[RC_ADAPTER_NAME_MAX];
    expect(rc_adapter_head(&adapter), "socket.io#");
    expect(rc_adapter_name(&adapter, RC_SPAN("/"), (struct rc_span){0}, text), "socket.io#/#");
    expect(rc_adapter_name(&adapter, RC_SPAN("/admin"), RC_SPAN("a#b"), text), "socket.io#/admin#a#b#");
    expect(rc_adapter_channel(&adapter, "-response#", RC_SPAN("/"), text), "socket.io-response#/#");
    expect(rc_adapter_channel(&adapter, "#", RC_SPAN("/x"), text), "socket.io#/x#");
}

static void splits(const char *channel, bool splits, const char *nsp, const char *room)
{
    struct rc_span its_nsp = {0};
    struct rc_span its_room = {0};
    cr_assert_eq(rc_adapter_split(rc_adapter_head(&adapter), rc_span_text(channel), &its_nsp, &its_room), splits, "%s",
                 channel);
    if (splits) {
        expect(its_nsp, nsp);
        expect(its_room, room);
    }
}

Test(adapter_name, a_channel_is_taken_apart)
{
    char text[64 + RC_NSP_MAX];
    splits("socket.io#/#", true, "/", "");
    splits("socket.io#/admin#red#", true, "/admin", "red");
    splits("socket.io#/#a#b#", true, "/", "a#b");
    splits("socket.io#", false, "", "");
    splits("socket.io##", false, "", "");
    splits("socket.io#/", false, "", "");
    splits("socket.io-request#/#", false, "", "");
    /* A namespace that no client can be in. */
    const int bytes = snprintf(text, sizeof(text), "socket.io#/%0*u#", (int)RC_NSP_MAX, 0u);
    cr_assert_gt(bytes, 0);
    splits(text, false, "", "");
    text[strlen(text) - 2] = '#';
    text[strlen(text) - 1] = '\0';
    cr_assert(
        rc_adapter_split(rc_adapter_head(&adapter), rc_span_text(text), &(struct rc_span){0}, &(struct rc_span){0}));
}

Test(adapter_name, what_is_published_goes_to_a_shard_where_the_adapter_does)
{
    static const struct rc_adapter_kind plain = {.rooms = true};
    static const struct rc_adapter_kind sharded = {.sharded = true};
    cr_assert_eq(rc_adapter_flags(&(struct rc_adapter_bridge){.kind = &plain}, RC_REDIS_PUBLISH_TO_ONE),
                 RC_REDIS_PUBLISH_TO_ONE);
    cr_assert_eq(rc_adapter_flags(&(struct rc_adapter_bridge){.kind = &sharded}, RC_REDIS_PUBLISH_TO_ONE),
                 RC_REDIS_PUBLISH_TO_ONE | RC_REDIS_PUBLISH_SHARD);
}
