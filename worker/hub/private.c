/* private: output of one connection alone: the rest of a cut frame, replies, direct messages, the close frame. See hub.h. */
#include "worker/hub/hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/proto/codec.h"
#include "worker/store/named.h"
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
    const size_t bytes = header + count;
    rc_truth_private(hub->truth, slot->private)->replies_bytes += (uint32_t)bytes;
    rc_hub_touch(hub, slot_index);
    return 0;
}

/* Room for a unit of at most `bytes_max`; NULL: there is nobody to tell, or no memory (*rc). */
static uint8_t *private_unit(struct rc_hub *hub, uint32_t slot_index, size_t bytes_max, int *rc)
{
    *rc = 0;
    if (private_silent(hub, &hub->truth->slots[slot_index])) {
        return NULL;
    }
    uint8_t *to = private_reserve(hub, slot_index, (uint32_t)bytes_max);
    if (to == NULL) {
        *rc = private_refused(hub, slot_index);
    }
    return to;
}

static void private_unit_done(struct rc_hub *hub, uint32_t slot_index, size_t bytes)
{
    rc_truth_private(hub->truth, hub->truth->slots[slot_index].private)->replies_bytes += (uint32_t)bytes;
    rc_hub_touch(hub, slot_index);
}

int rc_hub_reply_event(struct rc_hub *hub, uint32_t slot_index, const struct rc_event *event)
{
    const uint8_t encoding = hub->truth->slots[slot_index].encoding;
    if (event->type == RC_EVENT_ERROR) {
        rc_metric_add(hub->metrics, RC_METRIC_REQUEST_ERRORS, 1); /* also of who has no words for it */
    }
    if (!rc_codec_says(encoding, event->type)) {
        return 0;
    }
    int rc;
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    uint8_t *to = private_unit(hub, slot_index, bytes_max, &rc);
    if (to != NULL) {
        /* What is for one client alone is compressed for it alone, if it agreed to compression. */
        private_unit_done(hub, slot_index, rc_event_unit_write(encoding, &hub->compressor, event, bytes_max, to));
    }
    return rc;
}

int rc_hub_heartbeat(struct rc_hub *hub, uint32_t slot_index)
{
    const uint8_t encoding = hub->truth->slots[slot_index].encoding;
    int rc;
    uint8_t *to = private_unit(hub, slot_index, rc_unit_bytes_max(encoding, 1, RC_HEARTBEAT_BYTES_MAX), &rc);
    if (to != NULL) {
        struct rc_unit unit = rc_unit_of(encoding, NULL, to);
        rc_encoding_codec_of(encoding)->heartbeat(&unit);
        private_unit_done(hub, slot_index, unit.bytes);
    }
    return rc;
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
