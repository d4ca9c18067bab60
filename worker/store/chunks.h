/*
 * chunks: a queue of entries of any size in heap blocks of the truth: put at one end, dropped at the other, never moved.
 *
 *   chunks.first ─▶ | next begin end | entry entry entry … | ─▶ | next begin end | entry … |   ◀─ chunks.last
 *   entry: u32 bytes, u32 number, the bytes
 *
 * The worker owns it; one thread. An entry is there when `end` of its chunk is behind it, so that a successor of a killed worker finds whole
 * ones only (rc_chunks_repair counts them anew). Fails only when the heap is full; bounds are the callers'.
 */
#ifndef RC_WORKER_STORE_CHUNKS_H
#define RC_WORKER_STORE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "worker/store/heap.h"

#define RC_CHUNKS_ENTRY_HEAD 8u

struct rc_chunks {
    uint32_t first; /* heap block; 0 = empty */
    uint32_t last;
    uint32_t count; /* entries */
    uint32_t bytes; /* of them, heads included */
};

/* The beginning of a chunk's block. */
struct rc_chunk {
    uint32_t next;
    uint32_t begin; /* of what was not dropped; from the block's beginning */
    uint32_t end;
    uint32_t pad;
};

/* Where a walk is. */
struct rc_chunks_entry {
    struct rc_span bytes; /* in the heap: until it is dropped */
    uint32_t number;
    uint32_t chunk;
    uint32_t at;
};

/* An entry of these parts, one behind the other. False: no memory, nothing was put. */
bool rc_chunks_put(struct rc_heap *heap, struct rc_chunks *chunks, uint32_t number, const struct rc_span *parts,
                   size_t count);
/* The oldest entry; false: there is none. */
bool rc_chunks_first(const struct rc_heap *heap, const struct rc_chunks *chunks, struct rc_chunks_entry *entry);
/* The one behind it. */
bool rc_chunks_next(const struct rc_heap *heap, struct rc_chunks_entry *entry);
/* The oldest entry goes. */
void rc_chunks_drop(struct rc_heap *heap, struct rc_chunks *chunks);
/* All go. */
void rc_chunks_clear(struct rc_heap *heap, struct rc_chunks *chunks);
/* What `from` has is behind what `to` has; `from` is empty then. */
void rc_chunks_join(struct rc_heap *heap, struct rc_chunks *to, struct rc_chunks *from);
/* Of a worker that died between two stores: `last` and counts made anew from the links, which end where one cannot be. */
void rc_chunks_repair(const struct rc_heap *heap, struct rc_chunks *chunks);

#endif
