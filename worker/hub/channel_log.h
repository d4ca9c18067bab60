/*
 * channel_log: encoded frames of one channel and encoding as one contiguous run of bytes, with an index of the frames.
 *
 * The log is truth (worker/store/truth.h has its picture); these functions are its arithmetic. Positions are absolute bytes and only
 * grow. Nothing here knows subscribers: who may be cut off is the hub's decision. No pointer into a log survives a call that
 * makes room, so nothing may be queued for sending then.
 */
#ifndef RC_WORKER_HUB_CHANNEL_LOG_H
#define RC_WORKER_HUB_CHANNEL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/store/heap.h"
#include "worker/store/order.h"
#include "worker/store/truth.h"

/* Bytes that one more frame of `frame_bytes` needs. */
static inline uint64_t rc_channel_log_need(uint64_t frame_bytes)
{
    return frame_bytes + sizeof(struct rc_frame);
}

/* Bytes free for frames and their index entries without moving anything. */
static inline uint64_t rc_channel_log_room(const struct rc_channel_log *log)
{
    return log->block_bytes - (log->head - log->origin) - (uint64_t)log->frames * sizeof(struct rc_frame);
}

/* Heap bytes that the log holds. */
static inline uint64_t rc_channel_log_bytes(const struct rc_channel_log *log, const struct rc_heap *heap)
{
    return log->block_bytes + (log->exclusions == 0 ? 0 : rc_heap_block_bytes(heap, log->exclusions));
}

static inline uint8_t *rc_channel_log_at(const struct rc_channel_log *log, const struct rc_heap *heap,
                                         uint64_t position)
{
    return (uint8_t *)rc_heap_at(heap, log->block) + (position - log->origin);
}

/* Index entry `i` of the frames in the block. */
static inline struct rc_frame *rc_channel_log_frame(const struct rc_channel_log *log, const struct rc_heap *heap,
                                                    uint32_t i)
{
    return (struct rc_frame *)((uint8_t *)rc_heap_at(heap, log->block) + log->block_bytes) - 1 - i;
}

static inline uint64_t rc_channel_log_frame_position(const struct rc_channel_log *log, const struct rc_heap *heap,
                                                     uint32_t i)
{
    return i < log->frames ? log->origin + rc_channel_log_frame(log, heap, i)->offset : log->head;
}

/* Index of the frame that holds `position`; log->frames for the head. */
uint32_t rc_channel_log_find(const struct rc_channel_log *log, const struct rc_heap *heap, uint64_t position);

/* Forgets what is before `position` (rounded down to a frame) and moves the rest to the block's start. Killed in it, nothing of the log can be used. */
void rc_channel_log_compact(struct rc_channel_log *log, struct rc_heap *heap, uint64_t position);

/*
 * The same into a block of `block_bytes`, and whoever is killed leaves it as it was or as it is then: what is kept is copied, and `moving`, the
 * truth's, says what the log, of that index, is to be. Nothing happens where nothing is to be forgotten and the
 * block is of that size already. -ENOMEM: unchanged.
 */
int rc_channel_log_move(struct rc_channel_log *log, struct rc_heap *heap, struct rc_log_moving *moving, uint32_t index,
                        uint64_t position, uint64_t block_bytes);

/* Where the next frame's bytes go (room was made). */
static inline uint8_t *rc_channel_log_tail(const struct rc_channel_log *log, const struct rc_heap *heap)
{
    return rc_channel_log_at(log, heap, log->head);
}

/* Adds the frame that was written at the tail. */
void rc_channel_log_append(struct rc_channel_log *log, const struct rc_heap *heap, uint32_t frame_bytes, uint64_t order,
                           uint64_t key, uint32_t flags);

/* Excludes a client from the frame at `position`, which is the newest. -ENOMEM: not excluded. */
int rc_channel_log_exclude(struct rc_channel_log *log, struct rc_heap *heap, uint64_t position, uint64_t random);

bool rc_channel_log_excluded(const struct rc_channel_log *log, const struct rc_heap *heap, uint64_t position,
                             uint64_t random);

/* Gives the log's blocks back; the log is as new but keeps its positions. */
void rc_channel_log_clear(struct rc_channel_log *log, struct rc_heap *heap);

#endif
