/*
 * logs: what the truth says of channel logs. Part of truth.h, and of RC_TRUTH_ABI; their arithmetic is in worker/hub/channel_log.h. Written by worker/hub.
 */
#ifndef RC_WORKER_STORE_LOGS_H
#define RC_WORKER_STORE_LOGS_H

#include <stdint.h>

/*
 * Encoded frames, contiguous, and their index. Positions are absolute bytes since the log was made.
 *
 *   block:  | frame frame frame ...        free        ... index[2] index[1] index[0] |
 *             ^base     ^served   ^head                     (one entry per frame, growing downwards)
 */
struct rc_channel_log {
    uint64_t origin; /* absolute position of the block's first byte */
    uint64_t base;   /* oldest byte kept */
    uint64_t served; /* where every subscription without a cursor stands */
    uint64_t target; /* head when the running turn began */
    uint64_t head;   /* where the next frame goes */
    uint64_t marked; /* the head when RC_FRAME_SUPERSEDED was found out last */
    uint32_t block;  /* heap */
    uint32_t block_bytes;
    uint32_t frames;     /* entries in the index; entry 0 is the frame at `origin` */
    uint32_t exclusions; /* heap block of struct rc_exclusion[]; 0 = none */
    uint32_t exclusion_count;
    uint32_t exclusion_capacity;
    uint32_t turn;         /* the turn in which it is in the list of dirty groups */
    uint32_t has_volatile; /* since it was made, some frame was RC_FRAME_VOLATILE */
};
_Static_assert(sizeof(struct rc_channel_log) == 80, "log layout");

enum rc_frame_flags {
    RC_FRAME_GAP = 1u << 0,        /* a gap notice */
    RC_FRAME_EXCLUDES = 1u << 1,   /* somebody is excluded from it */
    RC_FRAME_SUPERSEDED = 1u << 2, /* a newer one has its key: not for who gets the latest only */
    RC_FRAME_VOLATILE = 1u << 3,   /* not for who could not take it when it came */
};
#define RC_FRAME_OFFSET_SHIFT 8u /* above it the low bits of the message's offset in its channel's history */

struct rc_frame {
    uint64_t order;  /* counts what this worker's logs took: the order on a connection that hears several */
    uint64_t key;    /* rc_hub_key of the message; 0 = it has none */
    uint32_t offset; /* from the log's origin */
    uint32_t flags;
};
_Static_assert(sizeof(struct rc_frame) == 24, "frame index layout");

struct rc_exclusion {
    uint64_t position; /* absolute position of the frame */
    uint64_t random;   /* of the client */
};

/* What a log is to be, while its words are changed (rc_channel_log_move): all that it keeps lies there already. */
struct rc_log_moving {
    uint64_t origin;
    uint32_t log; /* 0 = none; before, nothing of it has changed */
    uint32_t block;
    uint32_t block_bytes;
    uint32_t frames;
    uint32_t exclusions;
    uint32_t exclusion_count;
    uint32_t exclusion_capacity;
    uint32_t pad;
};

/* Done again, it comes to the same. */
static inline void rc_log_moved(struct rc_channel_log *log, const struct rc_log_moving *moving)
{
    log->origin = moving->origin;
    log->base = log->base > moving->origin ? log->base : moving->origin;
    log->block = moving->block;
    log->block_bytes = moving->block_bytes;
    log->frames = moving->frames;
    log->exclusions = moving->exclusions;
    log->exclusion_count = moving->exclusion_count;
    log->exclusion_capacity = moving->exclusion_capacity;
}

#endif
