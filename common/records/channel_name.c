/* channel_name: validation of channel names. */
#include "common/records/channel_name.h"

#include <errno.h>
#include <string.h>

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

bool rc_channel_split(struct rc_span channel, struct rc_span *nsp, struct rc_span *room)
{
    const uint8_t *mark =
        channel.count > 0 && channel.bytes[0] == '/' ? memchr(channel.bytes, '#', channel.count) : NULL;
    if (mark == NULL) {
        *nsp = RC_SPAN("/");
        *room = channel;
        return false;
    }
    const size_t nsp_bytes = (size_t)(mark - channel.bytes);
    *nsp = rc_span_of(channel.bytes, nsp_bytes);
    *room = rc_span_of(mark + 1, channel.count - nsp_bytes - 1);
    return true;
}

size_t rc_channel_of_room(char *out, size_t capacity, struct rc_span nsp, struct rc_span room)
{
    const bool plain = nsp.count == 1 && room.count > 0;
    const size_t head = plain ? 0 : nsp.count + 1;
    if (head + room.count > capacity) {
        return 0;
    }
    if (!plain) {
        memcpy(out, nsp.bytes, nsp.count);
        out[nsp.count] = '#';
    }
    if (room.count > 0) {
        memcpy(out + head, room.bytes, room.count);
    }
    return head + room.count;
}
