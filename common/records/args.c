/* args: see args.h. */
#include "common/records/args.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

static uint32_t size_at(struct rc_span sizes, uint32_t index)
{
    uint32_t size;
    memcpy(&size, sizes.bytes + index * sizeof(size), sizeof(size));
    return size;
}

int rc_args_read(struct rc_span data, struct rc_args_view *view)
{
    struct rc_args_head head;
    if (data.count < sizeof(head)) {
        return -EBADMSG;
    }
    memcpy(&head, data.bytes, sizeof(head));
    const uint64_t sizes_bytes = (uint64_t)head.attachment_count * sizeof(uint32_t);
    if (head.attachment_count > RC_ARGS_ATTACHMENTS_MAX || sizeof(head) + sizes_bytes + head.json_bytes > data.count) {
        return -EBADMSG;
    }
    const uint8_t *at = data.bytes + sizeof(head);
    view->attachment_count = head.attachment_count;
    view->sizes = rc_span_of(at, (size_t)sizes_bytes);
    view->json = rc_span_of(at + sizes_bytes, head.json_bytes);
    at += sizes_bytes + head.json_bytes;
    view->attachments = rc_span_of(at, (size_t)(data.bytes + data.count - at));
    uint64_t total = 0;
    for (uint32_t i = 0; i < head.attachment_count; i++) {
        total += size_at(view->sizes, i);
    }
    return total == view->attachments.count ? 0 : -EBADMSG;
}

bool rc_args_next(const struct rc_args_view *view, uint32_t *index, size_t *offset, struct rc_span *attachment)
{
    if (*index >= view->attachment_count) {
        return false;
    }
    /* The sizes may change under a reader of another process's memory; the attachments' end does not. */
    const size_t left = view->attachments.count - *offset;
    const size_t size = size_at(view->sizes, *index);
    *attachment = rc_span_of(view->attachments.bytes + *offset, size < left ? size : left);
    *offset += attachment->count;
    (*index)++;
    return true;
}

struct rc_span rc_args_attachment(const struct rc_args_view *view, uint32_t index)
{
    struct rc_span attachment = {0};
    uint32_t at = 0;
    size_t offset = 0;
    RC_ASSERT(index < view->attachment_count);
    while (at <= index && rc_args_next(view, &at, &offset, &attachment)) {}
    return attachment;
}

size_t rc_args_bytes(size_t json_bytes, uint32_t attachment_count, const uint32_t *sizes)
{
    size_t bytes = sizeof(struct rc_args_head) + attachment_count * sizeof(uint32_t) + json_bytes;
    for (uint32_t i = 0; sizes != NULL && i < attachment_count; i++) {
        bytes += sizes[i];
    }
    return bytes;
}

/* Returns where the JSON text begins. */
static uint8_t *write_before(uint8_t *out, size_t json_bytes, const struct rc_span *attachments,
                             uint32_t attachment_count)
{
    out = rc_args_put_head(out, json_bytes, attachment_count) + sizeof(struct rc_args_head);
    for (uint32_t i = 0; i < attachment_count; i++) {
        const uint32_t size = (uint32_t)attachments[i].count;
        RC_ASSERT(attachments[i].count <= UINT32_MAX);
        memcpy(out, &size, sizeof(size));
        out += sizeof(size);
    }
    return out;
}

static uint8_t *write_span(uint8_t *out, struct rc_span span)
{
    if (span.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(out, span.bytes, span.count);
    }
    return out + span.count;
}

void rc_args_write(uint8_t *out, struct rc_span json, const struct rc_span *attachments, uint32_t attachment_count)
{
    out = write_span(write_before(out, json.count, attachments, attachment_count), json);
    for (uint32_t i = 0; i < attachment_count; i++) {
        out = write_span(out, attachments[i]);
    }
}

struct rc_span rc_args_wrap_attachments(uint8_t *json, size_t json_bytes, size_t room,
                                        const struct rc_span *attachments, uint32_t attachment_count)
{
    const size_t before = sizeof(struct rc_args_head) + attachment_count * sizeof(uint32_t);
    uint8_t *end = json + json_bytes;
    for (uint32_t i = 0; i < attachment_count; i++) {
        if (attachments[i].count > room) {
            return (struct rc_span){0};
        }
        room -= attachments[i].count;
        end = write_span(end, attachments[i]);
    }
    (void)write_before(json - before, json_bytes, attachments, attachment_count);
    return rc_span_of(json - before, (size_t)(end - json) + before);
}
