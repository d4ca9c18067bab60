/* Heartbeats, and the channel names they come on: input up to the first line feed is the channel, the rest the message. */
#include <string.h>

#include "common/base/check.h"
#include "relay/cluster/cleanup.h"
#include "relay/cluster/heartbeat.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const uint8_t *line = count > 0 ? memchr(bytes, '\n', count) : NULL;
    const size_t channel_bytes = line != NULL ? (size_t)(line - bytes) : count;
    const struct rc_span channel = rc_span_of(bytes, channel_bytes);
    const struct rc_span id = rc_heartbeat_instance(channel);
    RC_ASSERT(id.count == 0 || (id.bytes > bytes && id.bytes + id.count < bytes + channel_bytes));
    if (rc_cleanup_known(channel)) {
        RC_ASSERT(channel.count >= 2 && memchr(channel.bytes, '\0', channel.count) == NULL);
    }
    if (line != NULL) {
        uint64_t timestamp_ms = 0;
        uint64_t client_count = 0;
        (void)rc_heartbeat_read(rc_span_of(line + 1, count - channel_bytes - 1), &timestamp_ms, &client_count);
    }
    return 0;
}
