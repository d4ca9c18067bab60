/* Encodings: every codec, framing and window that there is has a number of its own, and is found by it. */
#include "worker/store/encoding.h"

#include <criterion/criterion.h>

Test(encoding, numbers_are_taken_apart_as_they_were_made)
{
    static const uint8_t windows[RC_ENCODING_WINDOWS] = {0, 8, 9, 12, 15};
    bool seen[RC_ENCODING_COUNT] = {false};
    uint32_t count = 0;
    for (uint32_t codec = 0; codec < RC_CODEC_COUNT; codec++) {
        const bool stream = codec >= RC_CODEC_SSE;
        const bool engine = codec >= RC_CODEC_ENGINEIO && !stream;
        for (uint32_t i = 0; i < (stream ? 1u : RC_ENCODING_WINDOWS + (engine ? 1u : 0u)); i++) {
            if (codec == RC_CODEC_LINK_3 && i > 0 && i < RC_ENCODING_WINDOWS) {
                continue; /* it has no windows */
            }
            const enum rc_framing_id framing = stream                     ? RC_FRAMING_STREAM
                                               : i == RC_ENCODING_WINDOWS ? RC_FRAMING_POLLING
                                                                          : RC_FRAMING_WEBSOCKET;
            const uint8_t window = i == RC_ENCODING_WINDOWS ? 0 : windows[i];
            const uint8_t encoding = rc_encoding_of((enum rc_codec_id)codec, framing, window);
            cr_assert_lt(encoding, RC_ENCODING_COUNT);
            cr_assert(!seen[encoding], "%u", encoding);
            seen[encoding] = true;
            count++;
            cr_assert_eq(rc_encoding_codec(encoding), codec);
            cr_assert_eq(rc_encoding_framing(encoding), framing);
            cr_assert_eq(rc_encoding_window_bits(encoding), window);
            cr_assert_eq(rc_encoding_is_engine(encoding), engine);
            cr_assert_eq(rc_encoding_is_stream(encoding), stream);
        }
    }
    cr_assert_eq(count, RC_ENCODING_COUNT);
}
