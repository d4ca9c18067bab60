/* settle: what became of a turn's sends: positions are put back where they left short, and go on when there is room. See hub.h. */
#include "worker/hub/turn.h"

#include <errno.h>

#include "common/base/log.h"
#include "worker/store/named.h"

/* True when the position is inside a frame. */
static bool settle_inside(const struct rc_hub *hub, const struct rc_channel_log *log, uint64_t position)
{
    return rc_channel_log_frame_position(log, &hub->truth->heap,
                                         rc_channel_log_find(log, &hub->truth->heap, position)) != position;
}

/* Where the connection stands in a log since its packet was put together; `index` 0 is "*". */
static uint64_t settle_position(const struct rc_hub *hub, const struct rc_slot *slot, uint32_t index)
{
    const struct rc_truth *truth = hub->truth;
    const uint32_t its = index == 0 ? slot->everybody : index;
    const struct rc_subscription *subscription = its == 0 ? NULL : rc_truth_subscription(truth, its);
    if (subscription != NULL && (subscription->flags & RC_SUBSCRIPTION_CURSOR)) {
        return subscription->cursor;
    }
    const uint32_t group = index == 0 ? hub->everybody_groups[slot->encoding] : subscription->group;
    return rc_turn_end(hub, rc_truth_log(truth, rc_truth_group(truth, group)->log));
}

/* Frames of [from, to) that were passed over will be looked at once more: they do not count yet. */
static void settle_unconflate(struct rc_hub *hub, const struct rc_channel_log *log, uint64_t from, uint64_t to)
{
    const struct rc_heap *heap = &hub->truth->heap;
    const uint32_t end = rc_channel_log_find(log, heap, to);
    for (uint32_t i = rc_channel_log_find(log, heap, from) + 1; i < end; i++) {
        hub->conflated -= (rc_channel_log_frame(log, heap, i)->flags & RC_FRAME_SUPERSEDED) != 0;
    }
}

/* Puts one piece back of which only `sent` bytes left. */
static int settle_put_back(struct rc_hub *hub, uint32_t slot_index, const struct rc_piece *piece, uint32_t sent)
{
    struct rc_truth *truth = hub->truth;
    struct rc_slot *slot = &truth->slots[slot_index];
    struct rc_private *private = slot->private != 0 ? rc_truth_private(truth, slot->private) : NULL;
    const uint64_t position = piece->position + sent;
    switch ((enum rc_piece_kind)piece->kind) {
    case RC_PIECE_CUT:
        private
        ->cut_sent = (uint32_t)position;
        return 0;
    case RC_PIECE_REPLIES:
        private
        ->replies_sent = (uint32_t)position;
        return 0;
    case RC_PIECE_CLOSE:
        private
        ->close_sent = (uint8_t)position;
        slot->flags &= ~(uint32_t)RC_SLOT_CLOSE_SENT;
        return 0;
    case RC_PIECE_DIRECT: {
        struct rc_channel_log *log = rc_truth_log(truth, slot->direct_log);
        if (position < log->base) {
            log->base = position;
            if (settle_inside(hub, log, position)) {
                slot->cut = RC_CUT_DIRECT;
            }
        }
        return 0;
    }
    case RC_PIECE_LATEST:
    case RC_PIECE_LOG: {
        uint32_t index = piece->source;
        const uint64_t before = piece->kind == RC_PIECE_LATEST ? settle_position(hub, slot, index) : 0;
        if (index == 0) {
            if (slot->everybody != 0 && rc_truth_subscription(truth, slot->everybody)->cursor <= position) {
                return 0; /* an earlier piece was put back already */
            }
            if (rc_hub_everybody_behind(hub, slot_index, position) < 0) {
                return -ENOMEM;
            }
            index = slot->everybody;
        } else {
            const struct rc_subscription *subscription = rc_truth_subscription(truth, index);
            if ((subscription->flags & RC_SUBSCRIPTION_CURSOR) && subscription->cursor <= position) {
                return 0;
            }
            rc_hub_set_cursor(hub, index, position);
        }
        const struct rc_group *group = rc_truth_group(truth, rc_truth_subscription(truth, index)->group);
        if (piece->kind == RC_PIECE_LATEST) {
            settle_unconflate(hub, rc_truth_log(truth, group->log), position, before);
            rc_truth_subscription(truth, index)->flags |= RC_SUBSCRIPTION_LATEST;
        }
        /* Also when nothing left: the wire may have stood inside this frame before. */
        if (settle_inside(hub, rc_truth_log(truth, group->log), position)) {
            slot->cut = index;
        }
        return 0;
    }
    case RC_PIECE_BARE:
        return 0;
    }
    return 0;
}

void rc_hub_short_send(struct rc_hub *hub, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                       int error)
{
    struct rc_slot *slot = &hub->truth->slots[packet->slot];
    if (slot->generation != packet->generation || rc_turn_mute(slot)) {
        return;
    }
    if (error < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_RESETS, 1);
        rc_io_terminate(hub->io, packet->slot);
        return;
    }
    int rc = 0;
    for (uint32_t i = 0; i < packet->count && rc == 0; i++) {
        if (sent >= pieces[i].count) {
            sent -= pieces[i].count;
            continue;
        }
        rc = settle_put_back(hub, packet->slot, &pieces[i], sent);
        sent = 0;
    }
    if (rc < 0) {
        rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        rc_named_log_ended("memory_disconnected", hub->truth, packet->slot, "no memory for its place in a channel", "");
        rc_io_terminate(hub->io, packet->slot);
        return;
    }
    rc_turn_block(hub, slot);
    rc_io_want_writable(hub->io, packet->slot);
}

void rc_hub_writable(struct rc_hub *hub, uint32_t slot_index)
{
    hub->truth->slots[slot_index].flags &= ~(uint32_t)RC_SLOT_BLOCKED;
    rc_hub_touch(hub, slot_index);
    rc_hub_private_settle(hub, slot_index);
}
