/* link_kept: see link_kept.h. */
#include "common/records/link_kept.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"

bool rc_link_kept_list_take(struct rc_span *rest, struct rc_span *list)
{
    struct rc_span behind = *rest;
    struct rc_span text;
    uint64_t count;
    uint64_t bytes;
    if (!rc_bytes_take_le(&behind, 2, &count)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!rc_bytes_take_le(&behind, 2, &bytes) || !rc_bytes_take(&behind, bytes, &text)) {
            return false;
        }
    }
    return rc_bytes_take(rest, rest->count - behind.count, list);
}

uint32_t rc_link_kept_list_begin(struct rc_span *rest)
{
    uint64_t count;
    return rc_bytes_take_le(rest, 2, &count) ? (uint32_t)count : 0;
}

bool rc_link_kept_list_next(struct rc_span *rest, struct rc_span *text)
{
    uint64_t bytes;
    return rc_bytes_take_le(rest, 2, &bytes) && rc_bytes_take(rest, bytes, text);
}

int rc_link_kept_session_read(struct rc_span data, struct rc_link_kept_session *head, struct rc_span *sid,
                              struct rc_span *pid, struct rc_span *rest)
{
    struct rc_span part;
    if (!rc_bytes_take(&data, sizeof(*head), &part)) {
        return -EBADMSG;
    }
    memcpy(head, part.bytes, sizeof(*head));
    *rest = (struct rc_span){0};
    if (!rc_bytes_take(&data, head->sid_bytes, sid) || !rc_bytes_take(&data, head->pid_bytes, pid) || pid->count == 0) {
        return -EBADMSG;
    }
    struct rc_span rooms;
    *rest = data;
    return rc_link_kept_rest_read(data, &part, &rooms);
}

int rc_link_kept_said_read(struct rc_span data, struct rc_span *rooms, struct rc_span *except, struct rc_span *messages)
{
    const bool whole = rc_link_kept_list_take(&data, rooms) && rc_link_kept_list_take(&data, except);
    *messages = data;
    return whole ? 0 : -EBADMSG;
}

int rc_link_kept_rest_read(struct rc_span rest, struct rc_span *data, struct rc_span *rooms)
{
    uint64_t bytes;
    return rc_bytes_take_le(&rest, 4, &bytes) && rc_bytes_take(&rest, bytes, data) &&
                   rc_link_kept_list_take(&rest, rooms) && rest.count == 0
               ? 0
               : -EBADMSG;
}

int rc_link_kept_question_read(struct rc_span data, struct rc_span *pid, struct rc_span *offset)
{
    uint64_t bytes;
    return rc_bytes_take_le(&data, 1, &bytes) && bytes > 0 && rc_bytes_take(&data, bytes, pid) &&
                   rc_bytes_take_le(&data, 1, &bytes) && rc_bytes_take(&data, bytes, offset) && data.count == 0
               ? 0
               : -EBADMSG;
}
