/* Answers of Socket.IO servers (relay/bridge/adapter_response): whatever the bytes, they are refused, or yield views inside of them and of the
 * buffer, which has as much room as it asks for, and its sockets' ids are JSON strings. */
#include <stdlib.h>

#include "common/base/check.h"
#include "relay/bridge/adapter_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static uint64_t seen;

/* Every byte is there. */
static void look(struct rc_span span)
{
    for (size_t i = 0; i < span.count; i++) {
        seen += span.bytes[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_adapter_response response;
    struct rc_json_cursor cursor;
    struct rc_span id;
    const size_t room = rc_adapter_response_room(count);
    uint8_t *buffer = malloc(room);
    RC_ASSERT(buffer != NULL);
    if (rc_adapter_response_read(&response, rc_span_of(bytes, count), buffer, room) == 0) {
        look(response.id);
        look(response.packet);
        for (uint32_t i = 0; i < response.attachment_count; i++) {
            look(response.attachments[i]);
        }
        int got = response.type == RC_ADAPTER_RESPONSE_SOCKETS ? rc_json_array_begin(&cursor, response.sockets, 0) : -1;
        while (got >= 0 && (got = rc_adapter_response_socket(&cursor, &id)) == 1) {
            RC_ASSERT(id.count >= 2 && id.bytes[0] == '"' && id.bytes[id.count - 1] == '"');
        }
    }
    free(buffer);
    return 0;
}
