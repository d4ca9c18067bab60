/* chunks: see chunks.h. */
#include "worker/store/chunks.h"

#include <string.h>

#include "common/base/check.h"
#include "worker/store/order.h"

#define CHUNK_BYTES_MIN 256u
#define CHUNK_BYTES_MAX 16384u /* but for an entry that is larger */

static struct rc_chunk *chunk_at(const struct rc_heap *heap, uint32_t block)
{
    return rc_heap_at(heap, block);
}

/* The chunk in which so many bytes more find room; 0: no memory. */
static uint32_t chunk_with_room(struct rc_heap *heap, struct rc_chunks *chunks, uint64_t need)
{
    uint64_t bytes = CHUNK_BYTES_MIN;
    if (chunks->last != 0) {
        const uint64_t size = rc_heap_block_bytes(heap, chunks->last);
        if (size - chunk_at(heap, chunks->last)->end >= need) {
            return chunks->last;
        }
        bytes = size * 2 < CHUNK_BYTES_MAX ? size * 2 : CHUNK_BYTES_MAX;
    }
    need += sizeof(struct rc_chunk);
    const uint32_t block = rc_heap_alloc(heap, need > bytes ? need : bytes);
    if (block == 0) {
        return 0;
    }
    RC_ASSERT_HOT(chunks->last == 0 || chunk_at(heap, chunks->last)->next == 0);
    *chunk_at(heap, block) = (struct rc_chunk){.begin = sizeof(struct rc_chunk), .end = sizeof(struct rc_chunk)};
    RC_STORE_ORDER();
    *(chunks->last == 0 ? &chunks->first : &chunk_at(heap, chunks->last)->next) = block;
    RC_STORE_ORDER();
    chunks->last = block;
    return block;
}

bool rc_chunks_put(struct rc_heap *heap, struct rc_chunks *chunks, uint32_t number, const struct rc_span *parts,
                   size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += parts[i].count;
    }
    if (bytes > UINT32_MAX / 2 - RC_CHUNKS_ENTRY_HEAD - chunks->bytes) {
        return false;
    }
    const uint32_t head[2] = {(uint32_t)bytes, number};
    const uint32_t block = chunk_with_room(heap, chunks, RC_CHUNKS_ENTRY_HEAD + bytes);
    if (block == 0) {
        return false;
    }
    struct rc_chunk *chunk = chunk_at(heap, block);
    uint8_t *out = (uint8_t *)chunk + chunk->end;
    memcpy(out, head, RC_CHUNKS_ENTRY_HEAD);
    out += RC_CHUNKS_ENTRY_HEAD;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].count > 0) {
            memcpy(out, parts[i].bytes, parts[i].count);
            out += parts[i].count;
        }
    }
    RC_STORE_ORDER();
    chunk->end += RC_CHUNKS_ENTRY_HEAD + (uint32_t)bytes;
    RC_STORE_ORDER();
    chunks->count++;
    chunks->bytes += RC_CHUNKS_ENTRY_HEAD + (uint32_t)bytes;
    return true;
}

/* The entry at `at` of the chunk. */
static void entry_read(const struct rc_heap *heap, uint32_t block, uint32_t at, struct rc_chunks_entry *entry)
{
    const struct rc_chunk *chunk = chunk_at(heap, block);
    uint32_t head[2];
    memcpy(head, (const uint8_t *)chunk + at, RC_CHUNKS_ENTRY_HEAD);
    RC_ASSERT(head[0] <= chunk->end - at - RC_CHUNKS_ENTRY_HEAD);
    *entry = (struct rc_chunks_entry){.bytes = rc_span_of((const uint8_t *)chunk + at + RC_CHUNKS_ENTRY_HEAD, head[0]),
                                      .number = head[1],
                                      .chunk = block,
                                      .at = at};
}

/* The first entry from there on; a chunk may be empty. */
static bool entry_from(const struct rc_heap *heap, uint32_t block, uint32_t at, struct rc_chunks_entry *entry)
{
    while (block != 0 && at == chunk_at(heap, block)->end) {
        block = chunk_at(heap, block)->next;
        at = block == 0 ? 0 : chunk_at(heap, block)->begin;
    }
    if (block == 0) {
        return false;
    }
    entry_read(heap, block, at, entry);
    return true;
}

bool rc_chunks_first(const struct rc_heap *heap, const struct rc_chunks *chunks, struct rc_chunks_entry *entry)
{
    return chunks->first != 0 && entry_from(heap, chunks->first, chunk_at(heap, chunks->first)->begin, entry);
}

bool rc_chunks_next(const struct rc_heap *heap, struct rc_chunks_entry *entry)
{
    return entry_from(heap, entry->chunk, entry->at + RC_CHUNKS_ENTRY_HEAD + (uint32_t)entry->bytes.count, entry);
}

/* The first chunk goes. */
static void chunk_give(struct rc_heap *heap, struct rc_chunks *chunks)
{
    const uint32_t block = chunks->first;
    chunks->first = chunk_at(heap, block)->next;
    RC_STORE_ORDER();
    chunks->last = chunks->first == 0 ? 0 : chunks->last;
    rc_heap_free(heap, block);
}

void rc_chunks_drop(struct rc_heap *heap, struct rc_chunks *chunks)
{
    struct rc_chunks_entry entry;
    const bool found = rc_chunks_first(heap, chunks, &entry);
    RC_ASSERT(found);
    while (chunks->first != entry.chunk) {
        chunk_give(heap, chunks);
    }
    struct rc_chunk *chunk = chunk_at(heap, entry.chunk);
    const uint32_t bytes = RC_CHUNKS_ENTRY_HEAD + (uint32_t)entry.bytes.count;
    chunk->begin = entry.at + bytes;
    RC_STORE_ORDER();
    chunks->count--;
    chunks->bytes -= bytes;
    if (chunk->begin < chunk->end) {
        return;
    }
    if (chunk->next != 0 || rc_heap_block_bytes(heap, entry.chunk) > CHUNK_BYTES_MAX) {
        chunk_give(heap, chunks);
    } else { /* the next entry goes there: a queue that empties all the time allocates nothing */
        chunk->end = sizeof(*chunk);
        RC_STORE_ORDER();
        chunk->begin = sizeof(*chunk);
    }
}

void rc_chunks_clear(struct rc_heap *heap, struct rc_chunks *chunks)
{
    while (chunks->first != 0) {
        chunk_give(heap, chunks);
    }
    *chunks = (struct rc_chunks){0};
}

void rc_chunks_join(struct rc_heap *heap, struct rc_chunks *to, struct rc_chunks *from)
{
    const struct rc_chunks more = *from;
    if (more.first == 0) {
        return;
    }
    *from = (struct rc_chunks){0}; /* who dies here loses them: two names of one block would be none */
    RC_STORE_ORDER();
    *(to->last == 0 ? &to->first : &chunk_at(heap, to->last)->next) = more.first;
    RC_STORE_ORDER();
    to->last = more.last;
    to->count += more.count;
    to->bytes += more.bytes;
}

/* The bytes and entries of a chunk whose words may be anything; false: it is none. */
static bool chunk_count(const struct rc_heap *heap, uint32_t block, struct rc_chunks *sum)
{
    const int order = rc_heap_order(heap, block);
    if (order < 0) {
        return false;
    }
    const uint64_t size = (uint64_t)RC_HEAP_UNIT << order;
    const struct rc_chunk *chunk = chunk_at(heap, block);
    if (chunk->begin < sizeof(*chunk) || chunk->begin > chunk->end || chunk->end > size) {
        return false;
    }
    for (uint32_t at = chunk->begin; at < chunk->end;) {
        uint32_t bytes = UINT32_MAX;
        if (chunk->end - at >= RC_CHUNKS_ENTRY_HEAD) {
            memcpy(&bytes, (const uint8_t *)chunk + at, sizeof(bytes));
        }
        if (bytes > chunk->end - at - RC_CHUNKS_ENTRY_HEAD) {
            return false;
        }
        at += RC_CHUNKS_ENTRY_HEAD + bytes;
        sum->count++;
        sum->bytes += RC_CHUNKS_ENTRY_HEAD + bytes;
    }
    return true;
}

void rc_chunks_repair(const struct rc_heap *heap, struct rc_chunks *chunks)
{
    struct rc_chunks sum = {.first = chunks->first};
    uint32_t *link = &sum.first;
    uint32_t steps = 0;
    while (*link != 0) {
        if (steps++ == heap->units || !chunk_count(heap, *link, &sum)) {
            *link = 0;
            break;
        }
        sum.last = *link;
        link = &chunk_at(heap, *link)->next;
    }
    *chunks = sum;
}
