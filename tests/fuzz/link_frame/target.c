/*
 * Frames of a link, in both directions: whatever comes, a frame that is taken can be taken apart field by field, and says the same when it is
 * written again.
 *
 * Input: a byte that says from which side, then a head and its payload, again and again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/link/frame.h"

#define FRAME_MAX 65536u

static void walk_list(struct rc_link_reader list)
{
    for (uint32_t left = rc_link_read_list(&list); left > 0; left--) {
        const struct rc_span text = rc_link_read_text(&list);
        RC_ASSERT(text.count > 0 && text.count <= RC_LINK_ROOM_MAX);
    }
    RC_ASSERT(list.at == list.end);
}

static void walk_messages(struct rc_span bytes)
{
    struct rc_link_messages messages = rc_link_messages_of(bytes);
    enum rc_part_kind kind;
    struct rc_span message;
    while (rc_link_messages_next(&messages, &kind, &message)) {
        RC_ASSERT(message.bytes + message.count <= bytes.bytes + bytes.count);
    }
}

static void walk_reply(struct rc_link_reader *reader)
{
    if (rc_link_read_u8(reader) == 0) {
        return;
    }
    (void)rc_link_read_text(reader);
    (void)rc_link_read_bytes(reader);
    walk_list(rc_link_skip_list(reader));
    for (uint32_t left = rc_link_read_list(reader); left > 0; left--) {
        const struct rc_span rest = rc_span_of(reader->at, (size_t)(reader->end - reader->at));
        const size_t count = rc_link_messages_check(rest);
        RC_ASSERT(count > 0 && count <= rest.count);
        walk_messages(rc_span_of(rest.bytes, count));
        reader->at += count;
    }
}

static void walk(const struct rc_link_head *head, struct rc_span payload)
{
    struct rc_link_reader reader = rc_link_reader_of(payload);
    switch ((enum rc_link_type)head->type) {
    case RC_LINK_JOIN:
    case RC_LINK_LEAVE:
        RC_ASSERT(rc_link_read_text(&reader).count > 0);
        (void)rc_link_read_text(&reader);
        walk_list(rc_link_skip_list(&reader));
        break;
    case RC_LINK_BROADCAST:
        RC_ASSERT(rc_link_read_text(&reader).count > 0);
        walk_list(rc_link_skip_list(&reader));
        walk_list(rc_link_skip_list(&reader));
        (void)rc_link_read_text(&reader);
        walk_messages(rc_link_read_rest(&reader));
        break;
    case RC_LINK_CLUSTER:
        RC_ASSERT(rc_link_read_text(&reader).count > 0 && rc_link_read_text(&reader).count > 0);
        (void)rc_link_read_text(&reader);
        (void)rc_link_read_rest(&reader);
        break;
    case RC_LINK_SESSION:
    case RC_LINK_KEEP:
        for (int i = 0; i < 3; i++) {
            (void)rc_link_read_text(&reader);
        }
        (void)rc_link_read_bytes(&reader);
        (void)rc_link_read_bytes(&reader);
        if (head->type == RC_LINK_KEEP) {
            walk_list(rc_link_skip_list(&reader));
        }
        break;
    case RC_LINK_RECEIPT:
        (void)rc_link_read_u64(&reader);
        break;
    case RC_LINK_RESUMED:
    case RC_LINK_DETACH:
        break;
    case RC_LINK_REQUEST:
        (void)rc_link_read_u32(&reader);
        RC_ASSERT(rc_link_read_text(&reader).count > 0);
        (void)rc_link_read_text(&reader);
        (void)rc_link_read_text(&reader);
        break;
    case RC_LINK_REPLY:
        (void)rc_link_read_u32(&reader);
        walk_reply(&reader);
        break;
    default:
        (void)rc_link_read_rest(&reader);
        break;
    }
    RC_ASSERT(reader.at == reader.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) {
        return 0;
    }
    const enum rc_link_side from = data[0] & 1 ? RC_LINK_APPLICATION : RC_LINK_BROKER;
    size_t at = 1;
    while (bytes - at >= RC_LINK_HEAD_BYTES) {
        struct rc_link_head head;
        const char *why = NULL;
        uint8_t again[RC_LINK_HEAD_BYTES];
        if (rc_link_head_read(data + at, from, FRAME_MAX, &head, &why) < 0) {
            RC_ASSERT(why != NULL);
            return 0;
        }
        rc_link_head_write(again, &head);
        RC_ASSERT(memcmp(again, data + at, sizeof(again)) == 0);
        at += RC_LINK_HEAD_BYTES;
        if (bytes - at < head.length) {
            return 0;
        }
        uint8_t *copy = malloc(head.length + 1u); /* what is read beyond is noticed */
        RC_ASSERT(copy != NULL);
        if (head.length > 0) {
            memcpy(copy, data + at, head.length);
        }
        const int rc = rc_link_frame_check(&head, from, rc_span_of(copy, head.length), &why);
        RC_ASSERT((rc == 0) == (why == NULL));
        if (rc == 0) {
            walk(&head, rc_span_of(copy, head.length));
        }
        free(copy);
        if (rc < 0) {
            return 0;
        }
        at += head.length;
    }
    return 0;
}
