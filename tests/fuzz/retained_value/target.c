/* What stands in Redis as a retained value: field, a line's end and one more, value. What is accepted is within its bounds. */
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "common/text/json_scan.h"
#include "relay/cluster/retained.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const uint8_t *end = count == 0 ? NULL : memchr(bytes, 0x1e, count); /* between the two */
    const size_t field = end == NULL ? count : (size_t)(end - bytes);
    const struct rc_span text = end == NULL ? rc_span_of(NULL, 0) : rc_span_of(end + 1, count - field - 1);
    struct rc_envelope_view view;
    struct rc_history_stamp stamp;
    if (!rc_retained_read(rc_span_of(bytes, field), text, &view, &stamp)) {
        return 0;
    }
    RC_ASSERT(rc_channel_name_check(view.channel, view.head.channel_bytes, RC_CHANNEL_NAME_MAX) == 0);
    RC_ASSERT(view.head.key_bytes <= RC_MESSAGE_KEY_MAX && !stamp.own && stamp.ms <= UINT64_C(1) << 53);
    RC_ASSERT(stamp.instance.count > 0 && stamp.instance.count <= RC_INSTANCE_ID_MAX);
    RC_ASSERT(view.data + view.head.data_bytes == text.bytes + text.count);
    RC_ASSERT((const uint8_t *)view.event + view.head.event_bytes == view.data);
    if (view.head.data_bytes > 0 && (view.head.flags & RC_ENVELOPE_ARGS)) {
        struct rc_args_view args;
        RC_ASSERT(rc_args_read(rc_span_of(view.data, view.head.data_bytes), &args) == 0);
    } else if (view.head.data_bytes > 0 && !(view.head.flags & RC_ENVELOPE_BINARY)) {
        struct rc_json_value value;
        RC_ASSERT(rc_json_scan(rc_span_of(view.data, view.head.data_bytes), RC_JSON_CHECK_UTF8, &value, NULL) == 0);
    }
    return 0;
}
