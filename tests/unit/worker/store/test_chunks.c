/* White-box tests of worker/store/chunks.c: entries against a list of them, and what a worker leaves that died between two stores. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/store/chunks.h"

#define BYTES (1u << 20)
#define ENTRIES 4000u

static uint8_t sizes[BYTES / RC_HEAP_UNIT];
static uint64_t state = 7;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static void heap_open(struct rc_heap *heap)
{
    struct rc_err err;
    const int fd = memfd_create("heap", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(fd, (off_t)BYTES), 0);
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    cr_assert(memory != MAP_FAILED);
    memset(sizes, 0, sizeof(sizes));
    cr_assert_eq(rc_heap_open(heap, memory, BYTES, sizes, &err), 0);
}

static bool put(struct rc_heap *heap, struct rc_chunks *chunks, uint32_t number, uint32_t bytes)
{
    static uint8_t text[70000];
    memset(text, (int)number, bytes);
    const struct rc_span parts[] = {rc_span_of(text, bytes / 3), rc_span_of(NULL, 0),
                                    rc_span_of(text, bytes - bytes / 3)};
    return rc_chunks_put(heap, chunks, number, parts, 3);
}

static void expect_entry(const struct rc_chunks_entry *entry, uint32_t number, uint32_t bytes)
{
    cr_assert_eq(entry->number, number);
    cr_assert_eq(entry->bytes.count, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        cr_assert_eq(entry->bytes.bytes[i], (uint8_t)number);
    }
}

Test(chunks, entries_come_out_as_they_went_in)
{
    struct rc_heap heap;
    struct rc_chunks chunks = {0};
    struct rc_chunks_entry entry;
    static uint32_t bytes[ENTRIES];
    uint32_t first = 0;
    uint32_t next = 0;
    heap_open(&heap);
    while (first < ENTRIES) {
        if (next < ENTRIES && below(5) < 3) {
            bytes[next] = below(10) == 0 ? below(40000) : below(60);
            if (put(&heap, &chunks, next, bytes[next])) {
                next++;
            }
        } else if (first < next) {
            cr_assert(rc_chunks_first(&heap, &chunks, &entry));
            expect_entry(&entry, first, bytes[first]);
            rc_chunks_drop(&heap, &chunks);
            first++;
        }
        cr_assert_eq(chunks.count, next - first);
        struct rc_chunks again = chunks;
        again.count = again.bytes = again.last = 0;
        rc_chunks_repair(&heap, &again);
        cr_assert_eq(memcmp(&again, &chunks, sizeof(chunks)), 0, "what is counted anew is what was counted");
    }
    cr_assert_not(rc_chunks_first(&heap, &chunks, &entry));
    rc_chunks_clear(&heap, &chunks);
    cr_assert_eq(heap.used, 0);
    rc_heap_close(&heap);
}

Test(chunks, a_walk_sees_all_in_order)
{
    struct rc_heap heap;
    struct rc_chunks chunks = {0};
    struct rc_chunks_entry entry;
    heap_open(&heap);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert(put(&heap, &chunks, i, i * 7));
    }
    uint32_t seen = 0;
    for (bool more = rc_chunks_first(&heap, &chunks, &entry); more; more = rc_chunks_next(&heap, &entry)) {
        expect_entry(&entry, seen, seen * 7);
        seen++;
    }
    cr_assert_eq(seen, 100);
    rc_chunks_clear(&heap, &chunks);
    rc_heap_close(&heap);
}

Test(chunks, joined_queues_are_one)
{
    struct rc_heap heap;
    struct rc_chunks older = {0};
    struct rc_chunks newer = {0};
    struct rc_chunks_entry entry;
    heap_open(&heap);
    rc_chunks_join(&heap, &older, &newer);
    cr_assert_eq(older.first, 0);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert(put(&heap, &older, i, 300));
        cr_assert(put(&heap, &newer, 10 + i, 300));
    }
    rc_chunks_join(&heap, &older, &newer);
    cr_assert_eq(newer.count, 0);
    cr_assert_eq(older.count, 20);
    cr_assert(put(&heap, &older, 20, 300));
    for (uint32_t i = 0; i < 21; i++) {
        cr_assert(rc_chunks_first(&heap, &older, &entry));
        expect_entry(&entry, i, 300);
        rc_chunks_drop(&heap, &older);
    }
    rc_chunks_clear(&heap, &older);
    cr_assert_eq(heap.used, 0);
    rc_heap_close(&heap);
}

Test(chunks, a_full_heap_refuses_and_keeps_what_it_has)
{
    struct rc_heap heap;
    struct rc_chunks chunks = {0};
    struct rc_chunks_entry entry;
    uint32_t count = 0;
    heap_open(&heap);
    while (put(&heap, &chunks, count, 60000)) {
        count++;
    }
    cr_assert_gt(count, 3);
    cr_assert_eq(chunks.count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(rc_chunks_first(&heap, &chunks, &entry));
        expect_entry(&entry, i, 60000);
        rc_chunks_drop(&heap, &chunks);
    }
    rc_chunks_clear(&heap, &chunks);
    rc_heap_close(&heap);
}

Test(chunks, a_dead_worker_leaves_whole_entries)
{
    struct rc_heap heap;
    struct rc_chunks chunks = {0};
    struct rc_chunks_entry entry;
    heap_open(&heap);
    for (uint32_t i = 0; i < 40; i++) {
        cr_assert(put(&heap, &chunks, i, 30));
    }
    /* Dropped, and not counted. */
    struct rc_chunk *chunk = rc_heap_at(&heap, chunks.first);
    cr_assert(rc_chunks_first(&heap, &chunks, &entry));
    chunk->begin += RC_CHUNKS_ENTRY_HEAD + 30;
    rc_chunks_repair(&heap, &chunks);
    cr_assert_eq(chunks.count, 39);
    cr_assert(rc_chunks_first(&heap, &chunks, &entry));
    expect_entry(&entry, 1, 30);
    /* A link that leads nowhere ends the queue. */
    chunk->next = UINT32_MAX / 2;
    rc_chunks_repair(&heap, &chunks);
    cr_assert_eq(chunks.first, chunks.last);
    /* An entry that is longer than its chunk is none, and neither is its chunk. */
    const uint32_t wrong = UINT32_MAX;
    memcpy((uint8_t *)chunk + chunk->begin, &wrong, sizeof(wrong));
    rc_chunks_repair(&heap, &chunks);
    cr_assert_eq(chunks.first, 0);
    cr_assert_eq(chunks.count, 0);
    rc_heap_close(&heap);
}
