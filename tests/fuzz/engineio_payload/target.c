/* engineio_payload: any bytes as the body of a POST, of Engine.IO 4 and of 3: packets lie inside it, one behind the other, and text is UTF-8.
 * What there is of 3 is found again in what is written. */
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "common/text/base64.h"
#include "worker/proto/engineio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text packets and messages in bytes, as the broker keeps them, become the same packets of Engine.IO 3. */
static void rewritten(const struct rc_eio_packet *packet, bool base64)
{
    const bool binary = packet->kind == RC_PART_BINARY;
    uint8_t *ours = malloc(1 + RC_BASE64_BYTES(packet->count) + packet->count);
    RC_ASSERT(ours != NULL);
    size_t count = packet->count;
    if (binary) {
        ours[0] = 'b';
        count = 1 + rc_base64_encode(ours + 1, packet->bytes, packet->count);
    } else {
        memcpy(ours, packet->bytes, count);
    }
    const struct rc_span payload = rc_span_of(ours, count);
    uint8_t *out = malloc(rc_eio_payload_3_bytes_max(payload));
    RC_ASSERT(out != NULL);
    bool octets;
    const size_t written = rc_eio_payload_3_write(out, payload, base64, &octets);
    RC_ASSERT(written <= rc_eio_payload_3_bytes_max(payload) && octets == (binary && !base64));
    struct rc_eio_payload again = rc_eio_payload_of(out, written);
    struct rc_eio_packet found;
    again.revision_3 = true;
    RC_ASSERT(rc_eio_payload_next(&again, &found) == 1 && again.ended);
    if (!binary || !base64) {
        RC_ASSERT(found.kind == packet->kind && found.count == packet->count &&
                  memcmp(found.bytes, packet->bytes, found.count) == 0);
    } else {
        RC_ASSERT(found.kind == RC_PART_TEXT && memcmp(found.bytes, "b4", 2) == 0);
        RC_ASSERT(rc_base64_decode(found.bytes, found.bytes + 2, found.count - 2) == (int64_t)packet->count - 1);
        RC_ASSERT(memcmp(found.bytes, packet->bytes + 1, packet->count - 1) == 0);
    }
    free(out);
    free(ours);
}

static void packet_of_4(const struct rc_eio_packet *packet)
{
    if (packet->kind == RC_PART_TEXT) {
        RC_ASSERT(packet->count > 0);
        return;
    }
    uint8_t *text = malloc(RC_BASE64_BYTES(packet->count) + 1);
    RC_ASSERT(text != NULL);
    const size_t bytes = rc_base64_encode(text, packet->bytes, packet->count);
    RC_ASSERT(rc_base64_decode(text, text, bytes) == (int64_t)packet->count);
    RC_ASSERT(packet->count == 0 || memcmp(text, packet->bytes, packet->count) == 0);
    free(text);
}

static void packet_of_3(const struct rc_eio_packet *packet)
{
    RC_ASSERT(packet->count > 0);
    if (memchr(packet->bytes, RC_EIO_SEPARATOR, packet->kind == RC_PART_TEXT ? packet->count : 0) == NULL &&
        (packet->kind == RC_PART_BINARY || packet->bytes[0] != 'b')) {
        rewritten(packet, false);
        rewritten(packet, true);
    }
}

static void read_as(bool revision_3, const uint8_t *data, size_t size)
{
    uint8_t *body = malloc(size + 1);
    RC_ASSERT(body != NULL);
    memcpy(body, data, size);
    struct rc_eio_payload payload = rc_eio_payload_of(body, size);
    struct rc_eio_packet packet;
    const uint8_t *behind = body;
    int rc;
    payload.revision_3 = revision_3;
    while ((rc = rc_eio_payload_next(&payload, &packet)) == 1) {
        RC_ASSERT(packet.bytes >= behind + revision_3 && packet.bytes + packet.count <= body + size);
        behind = packet.bytes + packet.count;
        RC_ASSERT(packet.kind == RC_PART_BINARY || rc_json_utf8_valid(rc_span_of(packet.bytes, packet.count)));
        (revision_3 ? packet_of_3 : packet_of_4)(&packet);
    }
    RC_ASSERT(rc < 0 || payload.ended);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as(true, data, size);
    read_as(false, data, size);
    return 0;
}
