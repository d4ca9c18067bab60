/*
 * Deltas. The first byte says how the rest is cut in two: source and target, of which a delta must make the target again, also when both are
 * the UTF-8 that they may be; or source and a delta of somebody else's, which makes as much as it says or nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/fossil_delta.h"
#include "common/text/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void roundtrip(struct rc_span source, struct rc_span target)
{
    static struct rc_fossil_encoder encoder;
    const bool utf8 = rc_json_utf8_valid(source) && rc_json_utf8_valid(target);
    const size_t room = 2 * target.count + 64;
    uint8_t *delta = malloc(room);
    uint8_t *made = malloc(target.count + 1);
    RC_ASSERT(delta != NULL && made != NULL);
    const size_t used = rc_fossil_encode(&encoder, source, target, utf8, delta, room);
    RC_ASSERT(used > 0 && used <= room);
    const struct rc_span written = rc_span_of(delta, used);
    RC_ASSERT(!utf8 || rc_json_utf8_valid(written));
    RC_ASSERT(rc_fossil_target_bytes(written) == target.count);
    RC_ASSERT(rc_fossil_apply(source, written, made, target.count) == 0);
    RC_ASSERT(rc_span_equal(rc_span_of(made, target.count), target));
    RC_ASSERT(rc_fossil_encode(&encoder, source, target, utf8, delta, used / 2) == 0 || used <= 1);
    free(delta);
    free(made);
}

static void foreign(struct rc_span source, struct rc_span delta)
{
    const size_t bytes = rc_fossil_target_bytes(delta);
    if (bytes > 1u << 20) {
        return;
    }
    uint8_t *made = malloc(bytes + 1);
    RC_ASSERT(made != NULL);
    (void)rc_fossil_apply(source, delta, made, bytes);
    free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count < 2) {
        return 0;
    }
    const size_t cut = 1 + (size_t)(bytes[0] >> 1) * (count - 1) / 127;
    const struct rc_span first = rc_span_of(bytes + 1, cut - 1);
    const struct rc_span second = rc_span_of(bytes + cut, count - cut);
    if ((bytes[0] & 1) != 0) {
        foreign(first, second);
    } else {
        roundtrip(first, second);
    }
    return 0;
}
