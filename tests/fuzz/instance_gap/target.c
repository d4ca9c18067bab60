/* What other instances say they dropped, from Redis: what is accepted is within its bounds, and is the same when it is written and read
 * again. */
#include <stdlib.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "relay/bridge/gap_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static char texts[RC_GAP_CHANNELS_MAX][RC_CHANNEL_NAME_MAX];
    struct rc_span names[RC_GAP_CHANNELS_MAX];
    struct rc_gap_message gap;
    struct rc_gap_message again;
    struct rc_json_cursor cursor;
    const char *why = "";
    uint32_t name_count = 0;
    if (rc_gap_message_read(&gap, rc_span_of(bytes, count), &why) < 0) {
        RC_ASSERT(why != NULL && why[0] != '\0');
        return 0;
    }
    RC_ASSERT(gap.from_bytes > 0 && gap.from_bytes <= RC_INSTANCE_ID_MAX && gap.seq > 0);
    int got = gap.all ? 0 : rc_gap_message_begin(&cursor, &gap);
    while (!gap.all && (got = rc_gap_message_next(&cursor, texts[name_count], &names[name_count])) == 1) {
        RC_ASSERT(rc_channel_name_check((const char *)names[name_count].bytes, names[name_count].count,
                                        RC_CHANNEL_NAME_MAX) == 0);
        RC_ASSERT(++name_count <= RC_GAP_CHANNELS_MAX);
        if (name_count == RC_GAP_CHANNELS_MAX) {
            break;
        }
    }
    RC_ASSERT(got >= 0 && gap.all == (name_count == 0));
    char from[RC_INSTANCE_ID_MAX + 1] = {0};
    memcpy(from, gap.from, gap.from_bytes);
    size_t text_bytes;
    char *text = rc_gap_message_write(from, gap.boot, gap.seq, names, name_count, gap.placed, &text_bytes);
    RC_ASSERT(text != NULL && rc_gap_message_read(&again, rc_span_of(text, text_bytes), &why) == 0);
    RC_ASSERT(again.all == gap.all && again.placed == gap.placed && again.boot == gap.boot && again.seq == gap.seq);
    RC_ASSERT(rc_span_equal(rc_span_of(again.from, again.from_bytes), rc_span_of(gap.from, gap.from_bytes)));
    RC_ASSERT(gap.all || rc_gap_message_begin(&cursor, &again) == 0);
    for (uint32_t i = 0; i < name_count; i++) {
        char other[RC_CHANNEL_NAME_MAX];
        struct rc_span name;
        RC_ASSERT(rc_gap_message_next(&cursor, other, &name) == 1 && rc_span_equal(name, names[i]));
    }
    free(text);
    return 0;
}
