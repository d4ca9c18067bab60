/* truth_found: see truth_found.h. */
#include "worker/store/truth_found.h"

#include <errno.h>
#include <sys/mman.h>

static const char *const pool_names[RC_TRUTH_POOL_COUNT] = {
#define POOL(name, type) [RC_TRUTH_POOL_##name] = #name,
    RC_TRUTH_POOLS(POOL)
#undef POOL
};

/* Zeroed pages that cost nothing where nothing is found. */
static void *found_pages(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void found_give(void *memory, uint64_t bytes)
{
    if (memory != NULL) {
        (void)munmap(memory, bytes);
    }
}

static uint64_t bits_bytes(uint32_t count)
{
    return (uint64_t)count / 8 + 1;
}

static uint64_t groups_bytes(const struct rc_truth_found *found)
{
    return found->highs[RC_TRUTH_POOL_groups] * sizeof(*found->groups);
}

static uint64_t pending_bytes(const struct rc_truth_found *found)
{
    return found->highs[RC_TRUTH_POOL_clients] * sizeof(*found->pending);
}

int rc_truth_found_open(struct rc_truth_found *found, const struct rc_truth *truth, struct rc_err *err)
{
    *found = (struct rc_truth_found){.truth = truth, .err = err};
    bool there = true;
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        found->highs[i] = truth->layout->pools[i].high;
        found->used[i] = found_pages(bits_bytes(found->highs[i]));
        there = there && found->used[i] != NULL;
    }
    found->groups = found_pages(groups_bytes(found));
    found->pending = found_pages(pending_bytes(found));
    found->places = found_pages(bits_bytes(found->highs[RC_TRUTH_POOL_subscriptions]));
    found->named = found_pages(bits_bytes(found->highs[RC_TRUTH_POOL_replays]));
    there = there && found->named != NULL && found->groups != NULL && found->pending != NULL && found->places != NULL;
    const int rc = there ? rc_heap_open(&found->heap, truth->heap.base, truth->heap.bytes, truth->heap.sizes, err)
                         : rc_err_set(err, -ENOMEM, "no memory to look at the connections of a worker");
    if (rc < 0) {
        rc_truth_found_close(found);
    }
    return rc;
}

void rc_truth_found_close(struct rc_truth_found *found)
{
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        found_give(found->used[i], bits_bytes(found->highs[i]));
    }
    found_give(found->groups, groups_bytes(found));
    found_give(found->pending, pending_bytes(found));
    found_give(found->places, bits_bytes(found->highs[RC_TRUTH_POOL_subscriptions]));
    found_give(found->named, bits_bytes(found->highs[RC_TRUTH_POOL_replays]));
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
