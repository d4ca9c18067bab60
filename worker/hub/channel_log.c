/* channel_log: see channel_log.h. */
#include "worker/hub/channel_log.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"

uint32_t rc_channel_log_find(const struct rc_channel_log *log, const struct rc_heap *heap, uint64_t position)
{
    RC_ASSERT_HOT(position >= log->origin && position <= log->head);
    if (position == log->head) {
        return log->frames;
    }
    const uint64_t offset = position - log->origin;
    uint32_t low = 0;
    uint32_t high = log->frames;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (rc_channel_log_frame(log, heap, middle)->offset <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Of frames before `position`. */
static uint32_t channel_log_exclusions_before(const struct rc_channel_log *log, const struct rc_heap *heap,
                                              uint64_t position)
{
    const struct rc_exclusion *list = log->exclusion_count == 0 ? NULL : rc_heap_at(heap, log->exclusions);
    uint32_t gone = 0;
    while (gone < log->exclusion_count && list[gone].position < position) {
        gone++;
    }
    return gone;
}

/* Copies bytes and index from that frame on into `to`, a block of `to_bytes`, which may be the log's own. */
static void channel_log_copy(const struct rc_channel_log *log, struct rc_heap *heap, uint32_t first, uint8_t *to,
                             uint64_t to_bytes)
{
    const uint64_t position = rc_channel_log_frame_position(log, heap, first);
    const uint32_t delta = (uint32_t)(position - log->origin);
    struct rc_frame *index = (struct rc_frame *)(to + to_bytes);
    uint8_t *from = rc_heap_at(heap, log->block);
    if (to == from) {
        memmove(to, from + delta, log->head - position);
    } else {
        memcpy(to, from + delta, log->head - position);
    }
    for (uint32_t i = 0; i < log->frames - first; i++) {
        struct rc_frame frame = *rc_channel_log_frame(log, heap, first + i);
        frame.offset -= delta;
        index[-1 - (int64_t)i] = frame;
    }
    /* What lay there may be newer than the last one: who is killed now must not have left an entry that looks as if it were to be counted. */
    if ((uint64_t)(log->frames - first + 1) * sizeof(struct rc_frame) <= to_bytes - (log->head - position)) {
        index[-1 - (int64_t)(log->frames - first)] = (struct rc_frame){0};
    }
}

void rc_channel_log_compact(struct rc_channel_log *log, struct rc_heap *heap, uint64_t position)
{
    RC_ASSERT(position <= log->head);
    const uint32_t first = rc_channel_log_find(log, heap, position);
    const uint64_t origin = rc_channel_log_frame_position(log, heap, first);
    const uint32_t gone = channel_log_exclusions_before(log, heap, origin);
    channel_log_copy(log, heap, first, rc_heap_at(heap, log->block), log->block_bytes);
    log->frames -= first;
    log->origin = origin;
    log->base = log->base > origin ? log->base : origin;
    log->exclusion_count -= gone;
    if (gone > 0 && log->exclusion_count > 0) {
        struct rc_exclusion *list = rc_heap_at(heap, log->exclusions);
        memmove(list, list + gone, log->exclusion_count * sizeof(*list));
    }
}

/* Into a list of their own. Without memory for it those that nobody needs stay there, too. */
static void moving_exclusions(const struct rc_channel_log *log, struct rc_heap *heap, struct rc_log_moving *moving)
{
    const uint32_t gone = channel_log_exclusions_before(log, heap, moving->origin);
    const uint32_t kept = log->exclusion_count - gone;
    moving->exclusions = log->exclusions;
    moving->exclusion_count = log->exclusion_count;
    moving->exclusion_capacity = log->exclusion_capacity;
    if (kept == 0) {
        moving->exclusion_count = 0;
    } else if (gone > 0) {
        const uint32_t block = rc_heap_alloc(heap, (uint64_t)(kept + 4) * sizeof(struct rc_exclusion));
        if (block != 0) {
            const struct rc_exclusion *list = rc_heap_at(heap, log->exclusions);
            memcpy(rc_heap_at(heap, block), list + gone, kept * sizeof(*list));
            moving->exclusions = block;
            moving->exclusion_count = kept;
            moving->exclusion_capacity = (uint32_t)(rc_heap_block_bytes(heap, block) / sizeof(*list));
        }
    }
}

int rc_channel_log_move(struct rc_channel_log *log, struct rc_heap *heap, struct rc_log_moving *moving, uint32_t index,
                        uint64_t position, uint64_t block_bytes)
{
    RC_ASSERT(position <= log->head && moving->log == 0);
    const uint32_t first = rc_channel_log_find(log, heap, position);
    const uint64_t origin = rc_channel_log_frame_position(log, heap, first);
    const uint32_t old = log->block;
    const uint32_t old_exclusions = log->exclusions;
    if (old != 0 && first == 0 && block_bytes == log->block_bytes) {
        return 0; /* nothing is to be forgotten, and the copy would be the same */
    }
    const bool stays = old != 0 && origin == log->head && block_bytes == log->block_bytes; /* nothing is kept */
    const uint32_t block = stays ? old : rc_heap_alloc(heap, block_bytes);
    if (block == 0) {
        return -ENOMEM;
    }
    moving->origin = origin;
    moving->block = block;
    moving->block_bytes = (uint32_t)rc_heap_block_bytes(heap, block);
    moving->frames = log->frames - first;
    moving_exclusions(log, heap, moving);
    if (old != 0 && !stays) { /* until `moving` says otherwise the old block counts */
        channel_log_copy(log, heap, first, rc_heap_at(heap, block), moving->block_bytes);
    }
    RC_STORE_ORDER();
    moving->log = index;
    RC_STORE_ORDER();
    rc_log_moved(log, moving);
    RC_STORE_ORDER();
    moving->log = 0;
    RC_STORE_ORDER();
    if (old != 0 && old != block) {
        rc_heap_free(heap, old);
    }
    if (old_exclusions != 0 && old_exclusions != moving->exclusions) {
        rc_heap_free(heap, old_exclusions);
    }
    return 0;
}

void rc_channel_log_append(struct rc_channel_log *log, const struct rc_heap *heap, uint32_t frame_bytes, uint64_t order,
                           uint64_t key, uint32_t flags)
{
    RC_ASSERT(rc_channel_log_room(log) >= rc_channel_log_need(frame_bytes));
    *rc_channel_log_frame(log, heap, log->frames) =
        (struct rc_frame){.order = order, .key = key, .offset = (uint32_t)(log->head - log->origin), .flags = flags};
    log->has_volatile |= (flags & RC_FRAME_VOLATILE) != 0;
    RC_STORE_ORDER();
    log->head +=
        frame_bytes; /* an entry beyond `frames` that begins before the head: that one is missing in the count */
    RC_STORE_ORDER();
    log->frames++;
}

int rc_channel_log_exclude(struct rc_channel_log *log, struct rc_heap *heap, uint64_t position, uint64_t random)
{
    if (log->exclusion_count == log->exclusion_capacity) {
        const uint32_t block =
            rc_heap_alloc(heap, (uint64_t)(log->exclusion_capacity + 4) * 2 * sizeof(struct rc_exclusion));
        if (block == 0) {
            return -ENOMEM;
        }
        uint32_t old = log->exclusions;
        if (old != 0) {
            memcpy(rc_heap_at(heap, block), rc_heap_at(heap, old), log->exclusion_count * sizeof(struct rc_exclusion));
        }
        RC_STORE_ORDER();
        log->exclusions = block; /* the larger one first: what it has room for is never less than what is said */
        RC_STORE_ORDER();
        if (old != 0) {
            rc_heap_free(heap, old);
        }
        log->exclusion_capacity = (uint32_t)(rc_heap_block_bytes(heap, block) / sizeof(struct rc_exclusion));
    }
    struct rc_exclusion *list = rc_heap_at(heap, log->exclusions);
    list[log->exclusion_count] = (struct rc_exclusion){.position = position, .random = random};
    RC_STORE_ORDER();
    log->exclusion_count++;
    return 0;
}

bool rc_channel_log_excluded(const struct rc_channel_log *log, const struct rc_heap *heap, uint64_t position,
                             uint64_t random)
{
    if (log->exclusion_count == 0) {
        return false;
    }
    const struct rc_exclusion *list = rc_heap_at(heap, log->exclusions);
    uint32_t low = 0;
    uint32_t high = log->exclusion_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (list[middle].position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < log->exclusion_count && list[low].position == position; low++) {
        if (list[low].random == random) {
            return true;
        }
    }
    return false;
}

void rc_channel_log_clear(struct rc_channel_log *log, struct rc_heap *heap)
{
    if (log->block != 0) {
        rc_heap_free(heap, log->block);
    }
    if (log->exclusions != 0) {
        rc_heap_free(heap, log->exclusions);
    }
    *log = (struct rc_channel_log){.origin = log->head,
                                   .base = log->head,
                                   .served = log->head,
                                   .target = log->head,
                                   .head = log->head,
                                   .marked = log->head};
}
