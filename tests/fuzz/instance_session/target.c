/* What instances say of Socket.IO sockets that come back on another host, from Redis: what is accepted is within its bounds, and is the same when it is
 * written and read again. */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "relay/cluster/comeback_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_comeback_message message;
    if (rc_comeback_read(&message, rc_span_of(bytes, count)) < 0) {
        return 0;
    }
    RC_ASSERT(message.from.count > 0 && message.from.count <= RC_INSTANCE_ID_MAX);
    uint8_t *written = malloc(count + message.messages.count);
    RC_ASSERT(written != NULL);
    size_t used = rc_comeback_write(written, &message);
    struct rc_span rest = message.messages;
    struct rc_comeback_missed missed;
    for (uint32_t i = 0; i < message.count; i++) {
        const bool there = rc_comeback_next(&rest, &missed);
        RC_ASSERT(there);
        RC_ASSERT(used + rc_comeback_missed_bytes(&missed) <= count);
        used = (size_t)(rc_comeback_missed_write(written + used, &missed) - written);
    }
    RC_ASSERT(rest.count == 0 && used == count);
    RC_ASSERT(message.count > 0 ||
              memcmp(written, bytes, count) == 0); /* flags that are not read are not written either */
    free(written);
    return 0;
}
