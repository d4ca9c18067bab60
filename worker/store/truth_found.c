/* truth_found: see truth_found.h. */
#include "worker/store/truth_found.h"

#include <errno.h>
#include <sys/mman.h>

#define FOUND_ALIGNMENT 64u

static const char *const pool_names[RC_TRUTH_POOL_COUNT] = {
#define POOL(name, type) [RC_TRUTH_POOL_##name] = #name,
    RC_TRUTH_POOLS(POOL)
#undef POOL
};

/* An array of so many bytes in the memory of all of them, which does not exist yet (NULL) while it is being measured. */
static void *found_part(struct rc_truth_found *found, uint8_t *memory, uint64_t bytes)
{
    void *part = memory != NULL ? memory + found->memory_bytes : NULL;
    found->memory_bytes += (bytes + FOUND_ALIGNMENT - 1) & ~(uint64_t)(FOUND_ALIGNMENT - 1);
    return part;
}

static uint64_t bits_bytes(uint32_t count)
{
    return (uint64_t)count / 8 + 1;
}

static void found_lay_out(struct rc_truth_found *found, uint8_t *memory)
{
    const uint32_t *highs = found->highs;
    found->memory_bytes = 0;
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        found->used[i] = found_part(found, memory, bits_bytes(highs[i]));
    }
    found->groups = found_part(found, memory, highs[RC_TRUTH_POOL_groups] * sizeof(*found->groups));
    found->pending = found_part(found, memory, highs[RC_TRUTH_POOL_clients] * sizeof(*found->pending));
    found->places = found_part(found, memory, bits_bytes(highs[RC_TRUTH_POOL_subscriptions]));
    found->named = found_part(found, memory, bits_bytes(highs[RC_TRUTH_POOL_replays]));
}

int rc_truth_found_open(struct rc_truth_found *found, const struct rc_truth *truth, struct rc_err *err)
{
    *found = (struct rc_truth_found){.truth = truth, .err = err};
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        found->highs[i] = truth->layout->pools[i].high;
    }
    found_lay_out(found, NULL);
    /* Zeroed pages that cost nothing where nothing is found. */
    void *memory =
        mmap(NULL, found->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        *found = (struct rc_truth_found){0};
        return rc_err_set(err, -ENOMEM, "no memory to look at the connections of a worker");
    }
    found->memory = memory;
    found_lay_out(found, memory);
    const int rc = rc_heap_open(&found->heap, truth->heap.base, truth->heap.bytes, truth->heap.sizes, err);
    if (rc < 0) {
        rc_truth_found_close(found);
    }
    return rc;
}

void rc_truth_found_close(struct rc_truth_found *found)
{
    if (found->memory != NULL) {
        (void)munmap(found->memory, found->memory_bytes);
    }
    rc_heap_close(&found->heap);
    *found = (struct rc_truth_found){0};
}

int rc_truth_found_object(struct rc_truth_found *found, enum rc_truth_pool_id pool, uint32_t index, const char *by,
                          uint32_t number)
{
    RC_FOUND_MUST(found, index > 0 && index < found->highs[pool], "%s %u names %s %u, of %u", by, number,
                  pool_names[pool], index, found->highs[pool]);
    uint8_t *byte = &found->used[pool][index / 8];
    const uint8_t bit = (uint8_t)(1u << (index % 8));
    RC_FOUND_MUST(found, (*byte & bit) == 0, "%s %u names %s %u, which another one has", by, number, pool_names[pool],
                  index);
    *byte |= bit;
    found->counts[pool]++;
    return 0;
}

int rc_truth_found_block(struct rc_truth_found *found, uint32_t block, uint64_t bytes, enum rc_truth_bytes kind,
                         const char *by, uint32_t number)
{
    if (block == 0) {
        RC_FOUND_MUST(found, bytes == 0, "%s %u has %llu bytes in no block", by, number, (unsigned long long)bytes);
        return 0;
    }
    const int rc = rc_heap_claim(&found->heap, block);
    RC_FOUND_MUST(found, rc != -EBADMSG, "%s %u names block %u, and there is none", by, number, block);
    RC_FOUND_MUST(found, rc != -EEXIST, "%s %u names block %u, which another one has", by, number, block);
    const uint64_t room = rc_heap_block_bytes(&found->heap, block);
    RC_FOUND_MUST(found, bytes <= room, "%s %u has %llu bytes in block %u of %llu", by, number,
                  (unsigned long long)bytes, block, (unsigned long long)room);
    found->bytes[kind] += room;
    return 0;
}
