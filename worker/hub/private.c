/* private: output of one connection alone: the rest of a cut frame, replies, direct messages, the close frame. See hub.h. */
#include "worker/hub/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/store/named.h"
#include "worker/proto/native.h"
#include "worker/ws/frame.h"

static struct rc_private *private_of(struct rc_hub *hub, uint32_t slot_index)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (slot->private == 0) {
        slot->private = rc_pool_alloc(&hub->truth->privates);
        if (slot->private == 0) {
            return NULL;
        }
    }
    return rc_truth_private(hub->truth, slot->private);
}

/* A heap block for private output within its budget, or 0. */
static uint32_t private_alloc(struct rc_hub *hub, uint64_t bytes)
{
    if (hub->private_bytes + bytes > hub->config->limits.worker_log_bytes) {
        return 0;
    }
    const uint32_t block = rc_heap_alloc(&hub->truth->heap, bytes);
    if (block != 0) {
        hub->private_bytes += rc_heap_block_bytes(&hub->truth->heap, block);
        rc_metric_set(hub->metrics, RC_METRIC_REPLY_BYTES, hub->private_bytes);
    }
    return block;
}

static void private_free(struct rc_hub *hub, uint32_t *block)
{
    if (*block != 0) {
        hub->private_bytes -= rc_heap_block_bytes(&hub->truth->heap, *block);
        rc_metric_set(hub->metrics, RC_METRIC_REPLY_BYTES, hub->private_bytes);
        rc_heap_free(&hub->truth->heap, *block);
        *block = 0;
    }
}

void rc_hub_touch(struct rc_hub *hub, uint32_t slot_index)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (!(slot->flags & (RC_SLOT_DIRTY | RC_SLOT_BLOCKED)) && rc_index_list_push(&hub->dirty_slots, slot_index) == 0) {
        slot->flags |= RC_SLOT_DIRTY;
    }
}

/* Room for `count` more bytes of replies. NULL when the budget is used up. */
static uint8_t *private_reserve(struct rc_hub *hub, uint32_t slot_index, uint32_t count)
{
    struct rc_private *private = private_of(hub, slot_index);
    if (private == NULL) {
        return NULL;
    }
    if (private->replies_sent == private->replies_bytes) {
        private->replies_sent = private->replies_bytes = 0;
    }
    const uint64_t need = (uint64_t) private->replies_bytes + count;
    if (need > private->replies_capacity) {
        const uint32_t unsent = private->replies_bytes - private->replies_sent;
        uint64_t bytes = RC_HUB_PRIVATE_MIN;
        while (bytes < (uint64_t)unsent + count) {
            bytes *= 2;
        }
        const uint32_t block = private_alloc(hub, bytes);
        if (block == 0) {
            return NULL;
        }
        if (private->replies != 0) {
            memcpy(rc_heap_at(&hub->truth->heap, block),
                   (uint8_t *)rc_heap_at(&hub->truth->heap, private->replies) + private->replies_sent, unsent);
            private_free(hub, &private->replies);
        }
        private->replies = block;
        private->replies_capacity = (uint32_t)rc_heap_block_bytes(&hub->truth->heap, block);
        private->replies_bytes = unsent;
        private->replies_sent = 0;
    }
    return (uint8_t *)rc_heap_at(&hub->truth->heap, private->replies) + private->replies_bytes;
}

static int private_refused(struct rc_hub *hub, uint32_t slot_index)
{
    rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    struct rc_named who; /* its caller ends it */
    rc_log_limited(RC_LOG_WARN, 1, "reply_memory_full", "slot=%u address=%s user=\"%s\" bytes=%llu budget=%llu",
                   slot_index, rc_named_address(hub->truth, slot_index, &who),
                   rc_named_user(hub->truth, slot_index, &who), (unsigned long long)hub->private_bytes,
                   (unsigned long long)hub->config->limits.worker_log_bytes);
    return -ENOMEM;
}

static bool private_silent(const struct rc_hub *hub, const struct rc_slot *slot)
{
    return slot->state == RC_SLOT_FREE || slot->state == RC_SLOT_TERMINATING || slot->state == RC_SLOT_CLOSED ||
           (slot->flags & RC_SLOT_CLOSE_SENT) != 0 ||
           (slot->private != 0 && rc_truth_private(hub->truth, slot->private)->close_sent > 0);
}

int rc_hub_reply(struct rc_hub *hub, uint32_t slot_index, const void *bytes, uint32_t count)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (private_silent(hub, slot)) {
        return 0;
    }
    uint8_t *to = private_reserve(hub, slot_index, count);
    if (to == NULL) {
        return private_refused(hub, slot_index);
    }
    memcpy(to, bytes, count);
    rc_truth_private(hub->truth, slot->private)->replies_bytes += count;
    rc_hub_touch(hub, slot_index);
    return 0;
}

/* A frame for one client alone is compressed for it alone, if it agreed to compression. */
static size_t private_compressed(struct rc_hub *hub, uint8_t encoding, uint8_t *frame, size_t bytes)
{
    const uint8_t window_bits = rc_encoding_window_bits(encoding);
    return window_bits == 0 ? bytes : rc_hub_frame_deflate(hub, window_bits, frame, bytes);
}

int rc_hub_reply_frame(struct rc_hub *hub, uint32_t slot_index, uint8_t opcode, const uint8_t *payload, uint32_t count)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (private_silent(hub, slot)) {
        return 0;
    }
    uint8_t *to = private_reserve(hub, slot_index, count + RC_WS_SERVER_HEADER_BYTES_MAX);
    if (to == NULL) {
        return private_refused(hub, slot_index);
    }
    const size_t header = rc_ws_header_write(to, true, opcode, 0, count);
    if (count > 0) {
        memcpy(to + header, payload, count);
    }
    const size_t bytes = opcode == RC_WS_TEXT || opcode == RC_WS_BINARY
                             ? private_compressed(hub, slot->encoding, to, header + count)
                             : header + count;
    rc_truth_private(hub->truth, slot->private)->replies_bytes += (uint32_t)bytes;
    rc_hub_touch(hub, slot_index);
    return 0;
}

static enum rc_native_form private_form(enum rc_codec codec)
{
    return codec == RC_CODEC_BINARY ? RC_NATIVE_BINARY : RC_NATIVE_JSON;
}

size_t rc_hub_frame_bytes_max(uint8_t encoding, const struct rc_event *event)
{
    const enum rc_codec codec = rc_encoding_codec(encoding);
    if (codec == RC_CODEC_RAW) {
        return RC_WS_SERVER_HEADER_BYTES_MAX + event->data.count;
    }
    return RC_WS_SERVER_HEADER_BYTES_MAX + rc_native_event_bytes_max(private_form(codec), event);
}

size_t rc_hub_frame_encode(uint8_t encoding, const struct rc_event *event, uint8_t *out)
{
    const enum rc_codec codec = rc_encoding_codec(encoding);
    if (codec == RC_CODEC_RAW) {
        const uint8_t opcode = event->data_kind == RC_DATA_BINARY ? RC_WS_BINARY : RC_WS_TEXT;
        const size_t header = rc_ws_header_write(out, true, opcode, 0, event->data.count);
        memcpy(out + header, event->data.bytes, event->data.count);
        return header + event->data.count;
    }
    const enum rc_native_form form = private_form(codec);
    const uint8_t opcode = rc_native_event_form(form, event) == RC_NATIVE_BINARY ? RC_WS_BINARY : RC_WS_TEXT;
    /* The header's size depends on the payload's: guess from the bound, and move in the rare case that it was wrong. */
    const size_t guess = rc_ws_header_bytes(rc_native_event_bytes_max(form, event));
    const size_t payload = rc_native_event_encode(form, event, out + guess);
    const size_t header = rc_ws_header_bytes(payload);
    if (header != guess) {
        memmove(out + header, out + guess, payload);
    }
    (void)rc_ws_header_write(out, true, opcode, 0, payload);
    return header + payload;
}

int rc_hub_reply_event(struct rc_hub *hub, uint32_t slot_index, const struct rc_event *event)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (private_silent(hub, slot) || rc_encoding_codec(slot->encoding) >= RC_CODEC_RAW) {
        return 0;
    }
    uint8_t *to = private_reserve(hub, slot_index, (uint32_t)rc_hub_frame_bytes_max(slot->encoding, event));
    if (to == NULL) {
        return private_refused(hub, slot_index);
    }
    const size_t count = private_compressed(hub, slot->encoding, to, rc_hub_frame_encode(slot->encoding, event, to));
    rc_truth_private(hub->truth, slot->private)->replies_bytes += (uint32_t)count;
    if (event->type == RC_EVENT_ERROR) {
        rc_metric_add(hub->metrics, RC_METRIC_REQUEST_ERRORS, 1);
    }
    rc_hub_touch(hub, slot_index);
    return 0;
}

size_t rc_hub_frame_deflate(struct rc_hub *hub, uint8_t window_bits, uint8_t *frame, size_t bytes)
{
    struct rc_ws_header header;
    const char *why;
    const int header_bytes = rc_ws_header_read(frame, bytes, &header, &why);
    RC_ASSERT(header_bytes > 0 && (size_t)header_bytes + header.payload_bytes == bytes);
    if (!rc_deflate_wanted(header.payload_bytes, hub->config->compression.threshold_bytes)) {
        return bytes;
    }
    const size_t room = rc_deflate_bound(header.payload_bytes);
    if (room > hub->deflated_capacity) {
        uint8_t *larger = realloc(hub->deflated, room * 2);
        if (larger == NULL) {
            return bytes; /* uncompressed is always right */
        }
        hub->deflated = larger;
        hub->deflated_capacity = room * 2;
    }
    const int64_t count =
        rc_deflate(&hub->deflater, window_bits, frame + header_bytes, header.payload_bytes, hub->deflated, room);
    if (count <= 0) {
        return bytes;
    }
    const size_t written = rc_ws_header_write(frame, true, header.opcode, RC_WS_RSV1, (uint64_t)count);
    memcpy(frame + written, hub->deflated, (size_t)count);
    rc_metric_add(hub->metrics, RC_METRIC_DEFLATED, 1);
    rc_metric_add(hub->metrics, RC_METRIC_DEFLATE_SAVED, bytes - written - (size_t)count);
    return written + (size_t)count;
}

uint32_t rc_hub_unsent(const struct rc_hub *hub, uint32_t slot_index)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (slot->private == 0) {
        return 0;
    }
    const struct rc_private *private = rc_truth_private(hub->truth, slot->private);
    return private->replies_bytes - private->replies_sent + private->cut_bytes - private->cut_sent;
}

int rc_hub_detach_cut(struct rc_hub *hub, uint32_t slot_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_slot *slot = &truth->slots[slot_index];
    if (slot->cut == 0 || slot->cut == RC_CUT_DIRECT) {
        return 0;
    }
    const uint32_t index = slot->cut;
    const struct rc_subscription *subscription = rc_truth_subscription(truth, index);
    const struct rc_group *group = rc_truth_group(truth, subscription->group);
    const struct rc_channel_log *log = rc_truth_log(truth, group->log);
    const uint32_t frame = rc_channel_log_find(log, &truth->heap, subscription->cursor);
    const uint64_t end = rc_channel_log_frame_position(log, &truth->heap, frame + 1);
    const uint32_t bytes = (uint32_t)(end - subscription->cursor);
    struct rc_private *private = private_of(hub, slot_index);
    const uint32_t block = private == NULL ? 0 : private_alloc(hub, bytes);
    if (block == 0) {
        return -ENOMEM;
    }
    if (private->cut_block != 0) {
        RC_ASSERT(private->cut_sent == private->cut_bytes); /* an earlier one, not settled yet */
        private_free(hub, &private->cut_block);
    }
    memcpy(rc_heap_at(&truth->heap, block), rc_channel_log_at(log, &truth->heap, subscription->cursor), bytes);
    private->cut_block = block;
    private->cut_bytes = bytes;
    private->cut_sent = 0;
    slot->cut = 0;
    rc_hub_set_cursor(hub, index, end);
    return 0;
}

/* No channel sends to the connection any more. */
static void private_leave(struct rc_hub *hub, uint32_t slot_index)
{
    const struct rc_slot *slot = &hub->truth->slots[slot_index];
    while (slot->subscriptions != 0) {
        rc_hub_unsubscribe(hub, slot_index, slot->subscriptions);
    }
    rc_hub_everybody_leave(hub, slot_index);
}

void rc_hub_close_connection(struct rc_hub *hub, uint32_t slot_index, uint16_t code, const char *reason,
                             size_t reason_bytes, bool now)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (private_silent(hub, slot)) {
        return;
    }
    struct rc_private *private = private_of(hub, slot_index);
    if (private == NULL || (now && rc_hub_detach_cut(hub, slot_index) < 0)) {
        rc_named_log_ended("memory_disconnected", hub->truth, slot_index, "no memory for the close frame", " code=%u",
                           code);
        rc_io_terminate(hub->io, slot_index);
        return;
    }
    if (private->close_bytes == 0) {
        private->close_bytes = (uint8_t)rc_ws_close_write(private->close_frame, code, reason, reason_bytes);
        slot->flags |= RC_SLOT_CLOSE_QUEUED;
    }
    if (now) {
        private_leave(hub, slot_index);
    }
    rc_hub_touch(hub, slot_index);
}

void rc_hub_private_settle(struct rc_hub *hub, uint32_t slot_index)
{
    struct rc_slot *slot = &hub->truth->slots[slot_index];
    if (slot->private == 0) {
        return;
    }
    struct rc_private *private = rc_truth_private(hub->truth, slot->private);
    if (private->cut_block != 0 && private->cut_sent == private->cut_bytes) {
        private_free(hub, &private->cut_block);
        private->cut_bytes = private->cut_sent = 0;
    }
    if (private->replies != 0 && private->replies_sent == private->replies_bytes) {
        private_free(hub, &private->replies);
        private->replies_capacity = private->replies_bytes = private->replies_sent = 0;
    }
    const bool closed = (slot->flags & RC_SLOT_CLOSE_SENT) != 0;
    if (private->cut_block == 0 && private->replies == 0 && (private->close_bytes == 0 || closed)) {
        rc_pool_free(&hub->truth->privates, slot->private);
        slot->private = 0;
        if (closed) {
            private_leave(hub, slot_index);
        }
        hub->handlers.flushed(hub->handlers.context, slot_index);
    }
}

void rc_hub_private_release(struct rc_hub *hub, uint32_t slot_index)
{
    struct rc_truth *truth = hub->truth;
    struct rc_slot *slot = &truth->slots[slot_index];
    if (slot->private != 0) {
        struct rc_private *private = rc_truth_private(truth, slot->private);
        private_free(hub, &private->cut_block);
        private_free(hub, &private->replies);
        rc_pool_free(&truth->privates, slot->private);
        slot->private = 0;
    }
    if (slot->direct_log != 0) {
        rc_hub_log_free(hub, &slot->direct_log);
    }
}
