/*
 * emit: an event that Socket.IO clients are asked to answer, and their answers, as they travel on the rings: a call of sockets.h
 * (RC_CALL_SOCKETS_EMIT).
 *
 *   RC_DOWN_CALL   event: its name; exclude refs: sockets that do not get it; data behind struct rc_call_head:
 *                  struct rc_emit_head | asker | arguments (args.h)
 *   RC_UP_REPLY    at once, without entries: `count` sockets got it
 *   RC_UP_REPLY    for each answer one, its reply head with RC_REPLY_CLIENT; data behind struct rc_reply_head:
 *                  struct rc_answer_head | asker | arguments of the answer (args.h)
 *
 * `asker` is whatever who asks wants back with each answer: the worker does not look at it, and who asks need not remember anything.
 * With RC_EMIT_TELL_END the last reply has RC_REPLY_LAST: the last answer, or, when no more come, a reply with `count` 0; and
 * RC_REPLY_INCOMPLETE when some socket has not answered. A `count` of 0 in the first reply is the end.
 *
 * A worker may ask as well, by an RC_UP_CALL with a tag of its own: of this host's sockets, other instances are not asked. With RC_EMIT_HOOK they
 * are, and Socket.IO servers beside them, whose clients' answers the relay hands to a worker:
 *
 *   RC_DOWN_CALL   RC_CALL_ASKED, data behind struct rc_call_head: struct rc_answer_head (of no sid) | asker | arguments (args.h); without arguments
 *                  `limit` clients have not answered
 *
 * Everything here comes out of another process's memory when it is read: checked, then believed. Pure; any process may call.
 */
#ifndef RC_COMMON_RECORDS_EMIT_H
#define RC_COMMON_RECORDS_EMIT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/span.h"
#include "common/records/args.h"
#include "common/records/call.h"
#include "common/records/sid.h"
#include "common/records/sockets.h"

#define RC_EMIT_ASKER_MAX 512u /* bytes */

enum rc_emit_flags {
    RC_EMIT_TELL_END = 1u << 0,
    RC_EMIT_VOLATILE = 1u << 1, /* who could not take it now counts, and does not get it */
    RC_EMIT_HOOK =
        1u << 2, /* answers are a backend's, whom the socket's worker tells (worker/engine/asking.h): none goes up */
};

struct rc_emit_head {
    uint32_t timeout_ms; /* answers are waited for so long; 0: socketio.ack_timeout, which is also the most */
    uint16_t asker_bytes;
    uint16_t flags; /* enum rc_emit_flags */
};
_Static_assert(sizeof(struct rc_emit_head) == 8, "emit head layout");

struct rc_answer_head {
    char sid[RC_SID_BYTES]; /* of who answers; zeros in a reply that only tells the end */
    uint16_t asker_bytes;
    uint16_t reserved;
};
_Static_assert(sizeof(struct rc_answer_head) == 24, "answer head layout");

/* What stands before the arguments at most, in either. */
#define RC_EMIT_BEFORE_MAX (sizeof(struct rc_call_head) + sizeof(struct rc_answer_head) + RC_EMIT_ASKER_MAX)
_Static_assert(sizeof(struct rc_answer_head) >= sizeof(struct rc_emit_head), "either head fits");
#define RC_ANSWER_BEFORE_MAX (sizeof(struct rc_reply_head) + sizeof(struct rc_answer_head) + RC_EMIT_ASKER_MAX)

/* Writes what stands before the arguments of a call, right before them: RC_EMIT_BEFORE_MAX bytes are free there. Where the call's data begins.
 * head->asker_bytes is the asker's count. */
static inline uint8_t *rc_emit_put(uint8_t *args, const struct rc_emit_head *head, struct rc_span asker)
{
    const struct rc_call_head call = {.operation = RC_CALL_SOCKETS_EMIT};
    uint8_t *at = args - asker.count;
    if (asker.count > 0) {
        memcpy(at, asker.bytes, asker.count);
    }
    at -= sizeof(*head);
    memcpy(at, head, sizeof(*head));
    at -= sizeof(call);
    memcpy(at, &call, sizeof(call));
    return at;
}

/* The same of RC_CALL_ASKED. */
static inline uint8_t *rc_emit_put_asked(uint8_t *args, struct rc_span asker, uint16_t missing)
{
    const struct rc_call_head call = {.operation = RC_CALL_ASKED, .limit = missing};
    const struct rc_answer_head head = {.asker_bytes = (uint16_t)asker.count};
    uint8_t *at = args - asker.count;
    if (asker.count > 0) {
        memcpy(at, asker.bytes, asker.count);
    }
    at -= sizeof(head);
    memcpy(at, &head, sizeof(head));
    at -= sizeof(call);
    memcpy(at, &call, sizeof(call));
    return at;
}

/* What stands behind struct rc_call_head of RC_CALL_ASKED; `args` empty: there are none. -EBADMSG. */
static inline int rc_emit_asked_read(struct rc_span data, struct rc_span *asker, struct rc_span *args)
{
    struct rc_answer_head head;
    struct rc_span part;
    struct rc_args_view view;
    if (!rc_bytes_take(&data, sizeof(head), &part)) {
        return -EBADMSG;
    }
    memcpy(&head, part.bytes, sizeof(head));
    if (head.asker_bytes > RC_EMIT_ASKER_MAX || !rc_bytes_take(&data, head.asker_bytes, asker)) {
        return -EBADMSG;
    }
    *args = data;
    return data.count == 0 ? 0 : rc_args_read(data, &view);
}

/* What stands behind struct rc_call_head. -EBADMSG. */
static inline int rc_emit_read(struct rc_span data, struct rc_emit_head *head, struct rc_span *asker,
                               struct rc_span *args)
{
    struct rc_span part;
    struct rc_args_view view;
    if (!rc_bytes_take(&data, sizeof(*head), &part)) {
        return -EBADMSG;
    }
    memcpy(head, part.bytes, sizeof(*head));
    if (head->asker_bytes > RC_EMIT_ASKER_MAX || !rc_bytes_take(&data, head->asker_bytes, asker)) {
        return -EBADMSG;
    }
    *args = data;
    return rc_args_read(data, &view);
}

/* The data of a reply with RC_REPLY_CLIENT and a `count` of 1. -EBADMSG. */
static inline int rc_answer_read(struct rc_span data, struct rc_answer_head *head, struct rc_span *asker,
                                 struct rc_args_view *args)
{
    struct rc_span part;
    if (!rc_bytes_take(&data, sizeof(struct rc_reply_head), &part) || !rc_bytes_take(&data, sizeof(*head), &part)) {
        return -EBADMSG;
    }
    memcpy(head, part.bytes, sizeof(*head));
    if (head->asker_bytes > RC_EMIT_ASKER_MAX || !rc_bytes_take(&data, head->asker_bytes, asker)) {
        return -EBADMSG;
    }
    return rc_args_read(data, args);
}

#endif
