/* websocket:notifications: what is accepted names a channel of the right form and data inside the message that is JSON. */
#include <errno.h>
#include <string.h>

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "relay/bridge/notifications.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_notification got;
    const char *why = NULL;
    const int result = rc_notification_read(&got, rc_span_of(bytes, count), &why);
    if (result < 0) {
        RC_ASSERT(why != NULL);
        return 0;
    }
    struct rc_json_value value;
    RC_ASSERT(got.data.bytes >= bytes && got.data.bytes + got.data.count <= bytes + count);
    RC_ASSERT(rc_json_scan(got.data, RC_JSON_CHECK_UTF8, &value, NULL) == 0 && value.raw.count == got.data.count);
    RC_ASSERT(rc_channel_name_check(got.channel, got.channel_bytes, RC_CHANNEL_NAME_MAX) == 0);
    RC_ASSERT(got.broadcast ? got.channel_bytes == 1 && got.channel[0] == '*'
                            : got.channel_bytes > 5 && memcmp(got.channel, "user:", 5) == 0);
    return 0;
}
