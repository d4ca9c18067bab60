/*
 * adapter_name: names of the channels of Socket.IO servers with an adapter (adapter.h says what stands where). Pure.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_NAME_H
#define RC_RELAY_BRIDGE_ADAPTER_NAME_H

#include "common/records/channel_name.h"
#include "relay/bridge/adapter_state.h"

/* Bytes of any of them. */
#define RC_ADAPTER_NAME_MAX (RC_CONFIG_TEXT_MAX + 1 + RC_NSP_MAX + 1 + RC_CHANNEL_NAME_MAX + 1)

/* Appends a text at `at`; where it ends. */
size_t rc_adapter_name_put(char *out, size_t at, struct rc_span text);
/* KEY# */
struct rc_span rc_adapter_head(const struct rc_adapter_bridge *adapter);
/* KEY#NSP#, KEY#NSP#ROOM# (or a uid in place of the room). */
struct rc_span rc_adapter_name(const struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span room,
                               char out[RC_ADAPTER_NAME_MAX]);
/* KEY{mark}NSP#, mark "-response#" or "#". `out` has RC_REDIS_NAME_MAX bytes. */
struct rc_span rc_adapter_channel(const struct rc_adapter_bridge *adapter, const char *mark, struct rc_span nsp,
                                  char *out);
/* Namespace and room of a channel behind `head`, KEY#; false: it is none of these channels. */
bool rc_adapter_split(struct rc_span head, struct rc_span channel, struct rc_span *nsp, struct rc_span *room);

/* `flags` of what is published on one of them: enum rc_redis_publish_flags. */
static inline uint32_t rc_adapter_flags(const struct rc_adapter_bridge *adapter, uint32_t flags)
{
    return adapter->kind->sharded ? flags | RC_REDIS_PUBLISH_SHARD : flags;
}

#endif
