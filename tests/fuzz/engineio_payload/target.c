/* engineio_payload: any bytes as the body of a POST: packets lie inside it, one behind the other, and text is UTF-8. */
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "common/text/base64.h"
#include "worker/proto/engineio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *body = malloc(size + 1);
    RC_ASSERT(body != NULL);
    memcpy(body, data, size);
    struct rc_eio_payload payload = rc_eio_payload_of(body, size);
    struct rc_eio_packet packet;
    const uint8_t *behind = body;
    int rc;
    while ((rc = rc_eio_payload_next(&payload, &packet)) == 1) {
        RC_ASSERT(packet.bytes >= behind && packet.bytes + packet.count <= body + size);
        behind = packet.bytes + packet.count;
        if (packet.kind == RC_PART_TEXT) {
            RC_ASSERT(packet.count > 0 && rc_json_utf8_valid(rc_span_of(packet.bytes, packet.count)));
        } else {
            uint8_t *text = malloc(RC_BASE64_BYTES(packet.count) + 1);
            RC_ASSERT(text != NULL);
            const size_t bytes = rc_base64_encode(text, packet.bytes, packet.count);
            RC_ASSERT(rc_base64_decode(text, text, bytes) == (int64_t)packet.count);
            RC_ASSERT(packet.count == 0 || memcmp(text, packet.bytes, packet.count) == 0);
            free(text);
        }
    }
    RC_ASSERT(rc < 0 || payload.ended);
    free(body);
    return 0;
}
