/*
 * args: the data of an event that has arguments, of a record with RC_ENVELOPE_ARGS.
 *
 *   struct rc_args_head | sizes (4 bytes for each attachment) | JSON text | attachments, back to back
 *
 * The JSON text is the array of the arguments, without the event's name, as the sender wrote it; where an attachment belongs stands
 * {"_placeholder":true,"num":n}. Nothing is aligned and integers are the host's: it travels on rings, and between instances only
 * in a form of its own (relay/bridge/wire.h).
 *
 * Pure; any process may call. What is read comes out of another process's memory: checked, then believed. That the JSON text is
 * JSON, and that its placeholders name attachments that exist, was checked by who wrote it: a reader must survive that it is not so.
 */
#ifndef RC_COMMON_RECORDS_ARGS_H
#define RC_COMMON_RECORDS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/span.h"

#define RC_ARGS_ATTACHMENTS_MAX 256u

struct rc_args_head {
    uint32_t json_bytes;
    uint32_t attachment_count; /* 0 to RC_ARGS_ATTACHMENTS_MAX */
};
_Static_assert(sizeof(struct rc_args_head) == 8, "args head layout");

/* Writes the head to `out`, and gives it back. */
static inline uint8_t *rc_args_put_head(uint8_t *out, size_t json_bytes, uint32_t attachment_count)
{
    const struct rc_args_head head = {.json_bytes = (uint32_t)json_bytes, .attachment_count = attachment_count};
    RC_ASSERT(json_bytes <= UINT32_MAX && attachment_count <= RC_ARGS_ATTACHMENTS_MAX);
    memcpy(out, &head, sizeof(head));
    return out;
}

/* What stands before the JSON text at most. */
#define RC_ARGS_BEFORE_MAX (sizeof(struct rc_args_head) + RC_ARGS_ATTACHMENTS_MAX * sizeof(uint32_t))

struct rc_args_view {
    struct rc_span json;
    uint32_t attachment_count;
    struct rc_span sizes;       /* unaligned: rc_args_attachment reads them */
    struct rc_span attachments; /* all of them */
};

/* The parts of a record's data; they live as long as it. 0; -EBADMSG when the sizes do not add up exactly. */
int rc_args_read(struct rc_span data, struct rc_args_view *view);

/* `index` is below view->attachment_count. Walks the sizes before it: loops over all take rc_args_next. */
struct rc_span rc_args_attachment(const struct rc_args_view *view, uint32_t index);

/* Attachments in order: *index and *offset begin at 0. False at the end. */
bool rc_args_next(const struct rc_args_view *view, uint32_t *index, size_t *offset, struct rc_span *attachment);

/* Bytes of the data. `sizes` may be NULL: without the attachments' own. */
size_t rc_args_bytes(size_t json_bytes, uint32_t attachment_count, const uint32_t *sizes);

/* Writes rc_args_bytes of these parts. Each at most UINT32_MAX bytes. */
void rc_args_write(uint8_t *out, struct rc_span json, const struct rc_span *attachments, uint32_t attachment_count);

/*
 * The same around JSON text that lies in a buffer already: before it RC_ARGS_BEFORE_MAX bytes are free, behind it are `room` bytes, in
 * which the attachments have to fit; they may not lie in the buffer. The data then; count 0: they do not fit.
 */
struct rc_span rc_args_wrap_attachments(uint8_t *json, size_t json_bytes, size_t room,
                                        const struct rc_span *attachments, uint32_t attachment_count);
static inline struct rc_span rc_args_wrap(uint8_t *json, size_t json_bytes, size_t room,
                                          const struct rc_span *attachments, uint32_t attachment_count)
{
    if (attachment_count > 0) {
        return rc_args_wrap_attachments(json, json_bytes, room, attachments, attachment_count);
    }
    return rc_span_of(rc_args_put_head(json - sizeof(struct rc_args_head), json_bytes, 0),
                      sizeof(struct rc_args_head) + json_bytes);
}

#endif
