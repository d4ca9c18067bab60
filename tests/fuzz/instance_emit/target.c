/* Events that clients are to answer, of other instances, from Redis: what is accepted is within its bounds, makes arguments that a record may have,
 * and is the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/emit.h"
#include "relay/bridge/emit_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_emit_message message;
    struct rc_emit_message again;
    if (rc_emit_message_read(&message, rc_span_of(bytes, count)) < 0) {
        return 0;
    }
    RC_ASSERT(message.asker.count <= RC_EMIT_ASKER_MAX && message.names.count <= RC_EXCLUDE_TEXT_MAX);
    const size_t args_bytes = rc_emit_message_args_bytes(&message);
    uint8_t *args = malloc(args_bytes);
    RC_ASSERT(args != NULL);
    rc_emit_message_args(&message, args);
    struct rc_emit_message out = message;
    RC_ASSERT(rc_args_read(rc_span_of(args, args_bytes), &out.args) == 0);
    RC_ASSERT(rc_emit_message_bytes(&out) == count);
    uint8_t *written = malloc(count);
    RC_ASSERT(written != NULL);
    rc_emit_message_write(&out, written);
    RC_ASSERT(memcmp(written, bytes, count) == 0);
    RC_ASSERT(rc_emit_message_read(&again, rc_span_of(written, count)) == 0);
    free(written);
    free(args);
    return 0;
}
