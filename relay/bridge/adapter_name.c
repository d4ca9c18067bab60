/* adapter_name: see adapter_name.h. */
#include "relay/bridge/adapter_name.h"

#include <string.h>

#include "common/records/channel_name.h"

struct rc_span rc_adapter_head(const struct rc_adapter_bridge *adapter)
{
    return rc_span_of(adapter->head, adapter->head_bytes);
}

size_t rc_adapter_name_put(char *out, size_t at, struct rc_span text)
{
    if (text.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(out + at, text.bytes, text.count);
    }
    return at + text.count;
}

struct rc_span rc_adapter_channel(const struct rc_adapter_bridge *adapter, const char *mark, struct rc_span nsp,
                                  char *out)
{
    size_t bytes = rc_adapter_name_put(out, 0, rc_span_of(adapter->head, adapter->head_bytes - 1));
    bytes = rc_adapter_name_put(out, bytes, rc_span_text(mark));
    bytes = rc_adapter_name_put(out, bytes, nsp);
    out[bytes++] = '#';
    return rc_span_of(out, bytes);
}

struct rc_span rc_adapter_name(const struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span room,
                               char out[RC_ADAPTER_NAME_MAX])
{
    size_t bytes = rc_adapter_name_put(out, 0, rc_adapter_head(adapter));
    bytes = rc_adapter_name_put(out, bytes, nsp);
    out[bytes++] = '#';
    if (room.count > 0) {
        bytes = rc_adapter_name_put(out, bytes, room);
        out[bytes++] = '#';
    }
    return rc_span_of(out, bytes);
}

bool rc_adapter_split(struct rc_span head, struct rc_span channel, struct rc_span *nsp, struct rc_span *room)
{
    if (!rc_span_starts_with(channel, head) || channel.count < head.count + 2 ||
        channel.bytes[channel.count - 1] != '#') {
        return false;
    }
    const uint8_t *at = channel.bytes + head.count;
    const uint8_t *end = channel.bytes + channel.count - 1;
    const uint8_t *mark = memchr(at, '#', (size_t)(end + 1 - at));
    *nsp = rc_span_of(at, (size_t)(mark - at));
    *room = mark < end ? rc_span_of(mark + 1, (size_t)(end - mark - 1)) : (struct rc_span){0};
    return nsp->count > 0 && nsp->count <= RC_NSP_MAX;
}
