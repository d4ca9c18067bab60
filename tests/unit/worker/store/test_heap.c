/* White-box tests of worker/store/heap.c: random blocks against a map of who owns each unit. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/store/heap.h"

#define BYTES (1u << 20)
#define UNITS (BYTES / RC_HEAP_UNIT)

static uint64_t state = 42;

static uint32_t below(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static void *shared(uint64_t bytes)
{
    const int fd = memfd_create("heap", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    cr_assert(memory != MAP_FAILED);
    return memory;
}

Test(heap, blocks_never_overlap_and_merge_again)
{
    struct rc_err err;
    struct rc_heap heap;
    void *memory = shared(BYTES);
    cr_assert_eq(rc_heap_open(&heap, memory, BYTES, NULL, &err), 0);
    static uint8_t owner[UNITS];
    struct {
        uint32_t block;
        uint8_t tag;
        uint64_t bytes;
    } held[200] = {0};
    uint64_t used = 0;
    for (uint32_t step = 0; step < 60000; step++) {
        const uint32_t i = below(200);
        if (held[i].block != 0) {
            const uint8_t *at = rc_heap_at(&heap, held[i].block);
            for (uint64_t b = 0; b < held[i].bytes; b += 61) {
                cr_assert_eq(at[b], held[i].tag);
            }
            memset(owner + held[i].block, 0, held[i].bytes / RC_HEAP_UNIT);
            rc_heap_free(&heap, held[i].block);
            used -= held[i].bytes;
            held[i].block = 0;
        } else {
            const uint32_t bytes = 1 + below(1u << below(17));
            held[i].block = rc_heap_alloc(&heap, bytes);
            if (held[i].block == 0) {
                continue;
            }
            held[i].bytes = rc_heap_block_bytes(&heap, held[i].block);
            held[i].tag = (uint8_t)(1 + below(255));
            cr_assert(held[i].bytes >= bytes && (bytes <= RC_HEAP_UNIT || held[i].bytes < 2ull * bytes));
            for (uint64_t u = 0; u < held[i].bytes / RC_HEAP_UNIT; u++) {
                cr_assert_eq(owner[held[i].block + u], 0, "unit %llu is in two blocks",
                             (unsigned long long)(held[i].block + u));
                owner[held[i].block + u] = 1;
            }
            memset(rc_heap_at(&heap, held[i].block), held[i].tag, held[i].bytes);
            used += held[i].bytes;
        }
        cr_assert_eq(heap.used, used);
        if (step % 1000 == 0) {
            rc_heap_trim(&heap);
        }
    }
    for (uint32_t i = 0; i < 200; i++) {
        if (held[i].block != 0) {
            rc_heap_free(&heap, held[i].block);
        }
    }
    cr_assert_eq(heap.used, 0);
    const uint32_t half = rc_heap_alloc(&heap, BYTES / 2);
    cr_assert_eq(half, UNITS / 2, "the halves did not merge");
    cr_assert_eq(rc_heap_alloc(&heap, BYTES / 2), 0);
    cr_assert_eq(rc_heap_alloc(&heap, BYTES / 4), UNITS / 4);
    rc_heap_close(&heap);
    munmap(memory, BYTES);
}

Test(heap, sizes_at_the_edges)
{
    struct rc_err err;
    struct rc_heap heap;
    void *memory = shared(BYTES);
    cr_assert_eq(rc_heap_open(&heap, memory, BYTES + 4096, NULL, &err), 0);
    cr_assert_eq(heap.bytes, BYTES, "rounded down");
    cr_assert_eq(rc_heap_alloc(&heap, BYTES), 0);
    cr_assert_eq(rc_heap_alloc(&heap, UINT64_MAX - RC_HEAP_UNIT), 0);
    cr_assert_eq(rc_heap_alloc(&heap, BYTES / 2 + 1), 0);
    const uint32_t none = rc_heap_alloc(&heap, 0);
    cr_assert(none != 0 && rc_heap_block_bytes(&heap, none) == RC_HEAP_UNIT);
    const uint32_t one = rc_heap_alloc(&heap, RC_HEAP_UNIT);
    const uint32_t two = rc_heap_alloc(&heap, RC_HEAP_UNIT + 1);
    cr_assert_eq(rc_heap_block_bytes(&heap, one), RC_HEAP_UNIT);
    cr_assert_eq(rc_heap_block_bytes(&heap, two), 2 * RC_HEAP_UNIT);
    rc_heap_free(&heap, none);
    rc_heap_free(&heap, one);
    rc_heap_free(&heap, two);
    uint32_t count = 0;
    while (rc_heap_alloc(&heap, 1) != 0) {
        count++;
    }
    cr_assert_eq(count, UNITS - 1, "all but the first unit");
    rc_heap_close(&heap);
    munmap(memory, BYTES);
}

Test(heap, trim_gives_pages_of_free_blocks_back_and_keeps_the_others)
{
    struct rc_err err;
    struct rc_heap heap;
    uint8_t *memory = shared(BYTES);
    cr_assert_eq(rc_heap_open(&heap, memory, BYTES, NULL, &err), 0);
    const uint32_t kept = rc_heap_alloc(&heap, 65536);
    const uint32_t gone = rc_heap_alloc(&heap, 65536);
    memset(rc_heap_at(&heap, kept), 7, 65536);
    memset(rc_heap_at(&heap, gone), 8, 65536);
    rc_heap_free(&heap, gone);
    rc_heap_trim(&heap);
    cr_assert_eq(((uint8_t *)rc_heap_at(&heap, kept))[65535], 7);
    cr_assert_eq(((uint8_t *)rc_heap_at(&heap, gone))[100], 0, "its pages are new");
    cr_assert_eq(heap.touched, 0);
    rc_heap_close(&heap);
    munmap(memory, BYTES);
}

Test(heap, freeing_twice_is_noticed, .signal = SIGABRT)
{
    struct rc_err err;
    struct rc_heap heap;
    void *memory = shared(BYTES);
    cr_assert_eq(rc_heap_open(&heap, memory, BYTES, NULL, &err), 0);
    const uint32_t block = rc_heap_alloc(&heap, 100);
    rc_heap_free(&heap, block);
    rc_heap_free(&heap, block);
}
