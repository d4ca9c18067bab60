/* White-box tests of worker/hub/channel_log.c against a list of frames. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/hub/channel_log.h"

#define FRAMES_MAX 4000

static uint64_t state = 99;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

struct expected {
    uint64_t position;
    uint64_t sequence;
    uint32_t bytes;
    uint32_t excluded; /* slot; 0 = nobody */
};

static void check(const struct rc_channel_log *log, const struct rc_heap *heap, const struct expected *frames,
                  uint32_t first, uint32_t count)
{
    const uint32_t gone = count - log->frames;
    cr_assert(gone <= first);
    for (uint32_t i = first; i < count; i++) {
        const struct expected *frame = &frames[i];
        const uint32_t index = rc_channel_log_find(log, heap, frame->position);
        cr_assert_eq(index, i - gone);
        cr_assert_eq(rc_channel_log_find(log, heap, frame->position + frame->bytes - 1), index);
        cr_assert_eq(rc_channel_log_frame_position(log, heap, index), frame->position);
        cr_assert_eq(rc_channel_log_frame(log, heap, index)->order, frame->sequence);
        const uint8_t *bytes = rc_channel_log_at(log, heap, frame->position);
        cr_assert(bytes[0] == (uint8_t)frame->sequence && bytes[frame->bytes - 1] == (uint8_t)frame->sequence);
        cr_assert_eq(rc_channel_log_excluded(log, heap, frame->position, 5), frame->excluded == 5);
        cr_assert_eq(rc_channel_log_excluded(log, heap, frame->position, 6), frame->excluded == 6);
    }
    cr_assert_eq(rc_channel_log_find(log, heap, log->head), log->frames);
    cr_assert_eq(rc_channel_log_frame_position(log, heap, log->frames), log->head);
}

Test(channel_log, keeps_frames_and_index_through_compacting_and_moving)
{
    static uint8_t memory[1 << 20] __attribute__((aligned(64)));
    static struct expected frames[FRAMES_MAX];
    struct rc_err err;
    struct rc_heap heap;
    cr_assert_eq(rc_heap_open(&heap, memory, sizeof(memory), NULL, &err), 0);
    struct rc_channel_log log = {0};
    struct rc_log_moving moving = {0};
    uint32_t first = 0;
    uint32_t count = 0;
    cr_assert_eq(rc_channel_log_move(&log, &heap, &moving, 1, log.head, 1024), 0);
    while (count < FRAMES_MAX) {
        const uint32_t bytes = 2 + below(below(8) == 0 ? 900 : 60);
        if (rc_channel_log_room(&log) < rc_channel_log_need(bytes)) {
            first += below(count - first + 1);
            log.base = first < count ? frames[first].position : log.head;
            if (below(2) == 0) {
                /* Somewhere inside the frame: rounded down. */
                rc_channel_log_compact(&log, &heap, first < count ? log.base + below(frames[first].bytes) : log.head);
            } else {
                const uint64_t kept = log.head - log.base + (count - first) * sizeof(struct rc_frame);
                const int rc = rc_channel_log_move(&log, &heap, &moving, 1, log.base, kept + (512u << below(8)));
                cr_assert(rc == 0 || rc == -ENOMEM);
            }
            cr_assert(log.origin == log.base || log.frames > 0);
            check(&log, &heap, frames, first, count);
            continue;
        }
        struct expected *frame = &frames[count++];
        *frame = (struct expected){.position = log.head, .sequence = count, .bytes = bytes};
        memset(rc_channel_log_tail(&log, &heap), (uint8_t)count, bytes);
        if (below(4) == 0) {
            frame->excluded = 5 + below(2);
            cr_assert_eq(rc_channel_log_exclude(&log, &heap, log.head, 9), 0);
            cr_assert_eq(rc_channel_log_exclude(&log, &heap, log.head, frame->excluded), 0);
        }
        rc_channel_log_append(&log, &heap, bytes, count, 0, 0);
        if (count % 50 == 0) {
            check(&log, &heap, frames, first, count);
        }
    }
    const uint64_t head = log.head;
    rc_channel_log_clear(&log, &heap);
    cr_assert(log.head == head && log.origin == head && log.served == head);
    cr_assert_eq(heap.used, 0);
    rc_heap_close(&heap);
}

/* A full log whose reader is in its first frame: there is no room to be had by moving it, and a copy of all that it holds would be made for nothing. */
Test(channel_log, is_not_copied_into_a_block_of_its_size_when_nothing_is_to_be_forgotten)
{
    static uint8_t memory[1 << 20] __attribute__((aligned(64)));
    struct rc_err err;
    struct rc_heap heap;
    cr_assert_eq(rc_heap_open(&heap, memory, sizeof(memory), NULL, &err), 0);
    struct rc_channel_log log = {0};
    struct rc_log_moving moving = {0};
    cr_assert_eq(rc_channel_log_move(&log, &heap, &moving, 1, 0, 1024), 0);
    for (uint32_t count = 1; count <= 3; count++) {
        memset(rc_channel_log_tail(&log, &heap), (uint8_t)count, 100);
        rc_channel_log_append(&log, &heap, 100, count, 0, 0);
    }
    log.base = 50; /* inside the first one */
    const uint32_t block = log.block;
    cr_assert_eq(rc_channel_log_move(&log, &heap, &moving, 1, log.base, log.block_bytes), 0);
    cr_assert_eq(log.block, block);
    cr_assert(log.origin == 0 && log.base == 50 && log.frames == 3 && log.head == 300);
    cr_assert_eq(rc_channel_log_move(&log, &heap, &moving, 1, 100, log.block_bytes), 0);
    cr_assert_neq(log.block, block, "a frame is forgotten: whoever is killed in it leaves the old block");
    cr_assert(log.origin == 100 && log.frames == 2);
    rc_channel_log_clear(&log, &heap);
    rc_heap_close(&heap);
}
