/*
 * A client on its way to another worker: what that one finds in its inbox (worker/move/state.h). What is taken for a client has all its parts within
 * the message, and is as many bytes when it is written again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/move/state.h"

static void within(struct rc_span part, const uint8_t *bytes, size_t count)
{
    RC_ASSERT(part.count == 0 || (part.bytes >= bytes && part.count <= (size_t)(bytes + count - part.bytes)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t again[RC_HANDOVER_BYTES_MAX];
    struct rc_move_state state;
    struct rc_span name;
    if (bytes > RC_HANDOVER_BYTES_MAX) {
        return 0;
    }
    uint8_t *copy = malloc(bytes + (bytes == 0));
    RC_ASSERT(copy != NULL);
    memcpy(copy, data, bytes);
    if (rc_move_state_read(&state, copy, (uint32_t)bytes) == 0) {
        const struct rc_span parts[] = {state.user.id,    state.user.attributes, state.user.set,
                                        state.user.token, state.user.request,    state.own,
                                        state.tls,        state.history,         state.names};
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            within(parts[i], copy, bytes);
        }
        RC_ASSERT(rc_move_state_write(again, &state) == bytes);
        struct rc_move_state back;
        RC_ASSERT(rc_move_state_read(&back, again, (uint32_t)bytes) == 0 &&
                  back.client.encoding == state.client.encoding);
        while (rc_move_name_next(&state.names, &name)) {
            within(name, copy, bytes);
        }
    }
    free(copy);
    return 0;
}
