/* What Redis publishes of a shared history: its place, and the message behind it. What is accepted is within its bounds. */
#include "common/base/check.h"
#include "relay/bridge/placed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct rc_metrics metrics;
    static struct rc_wire wire;
    struct rc_placed placed;
    struct rc_envelope_view view;
    uint64_t sequence;
    if (wire.text == NULL && rc_wire_open(&wire, "here", 77, 1 << 20, &metrics) != 0) {
        return 0;
    }
    if (!rc_placed_read(rc_span_of(bytes, count), &placed)) {
        return 0;
    }
    RC_ASSERT(placed.epoch != 0 && placed.offset != 0 && placed.offset <= RC_PLACED_OFFSET_MAX);
    RC_ASSERT(placed.message.bytes >= bytes && placed.message.bytes + placed.message.count == bytes + count);
    RC_ASSERT(placed.inner.bytes + placed.inner.count == bytes + count);
    (void)rc_placed_own(&wire, &placed, &sequence);
    if (rc_wire_read_kept(&wire, placed.message, "fuzz", &view) == RC_WIRE_GOOD) {
        RC_ASSERT(wire.from_bytes <= sizeof(wire.from));
        RC_ASSERT(view.head.key_bytes <= RC_MESSAGE_KEY_MAX);
    }
    return 0;
}
