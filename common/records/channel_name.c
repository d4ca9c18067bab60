/* channel_name: validation of channel names. */
#include "common/records/channel_name.h"

#include <errno.h>

#include "common/text/utf8_char.h"

int rc_channel_name_check(const char *name, size_t bytes, size_t max)
{
    if (bytes == 0) {
        return -EINVAL;
    }
    if (bytes > max) {
        return -ENAMETOOLONG;
    }
    const uint8_t *rest = (const uint8_t *)name;
    while (bytes > 0) {
        uint32_t code = 0;
        const size_t length = rc_utf8_char(rest, bytes, &code);
        if (length == 0 || code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
            return -EINVAL;
        }
        rest += length;
        bytes -= length;
    }
    return 0;
}
