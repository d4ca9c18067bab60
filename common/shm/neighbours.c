/* neighbours: see neighbours.h. */
#include "common/shm/neighbours.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define READ_TRIES_MAX 100 /* a relay that died in the middle leaves the revision odd */

void rc_neighbours_write(struct rc_neighbours *neighbours, const struct rc_neighbour *all, uint32_t count)
{
    const uint32_t used = count < RC_NEIGHBOURS_MAX ? count : RC_NEIGHBOURS_MAX;
    const uint32_t odd = atomic_load_explicit(&neighbours->revision, memory_order_relaxed) | 1u;
    atomic_store_explicit(&neighbours->revision, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* Q1 pairs with Q2: who reads a new word sees the odd revision */
    for (uint32_t i = 0; i < used; i++) {
        uint64_t words[RC_NEIGHBOUR_WORDS];
        memcpy(words, &all[i], sizeof(words));
        for (uint32_t word = 0; word < RC_NEIGHBOUR_WORDS; word++) {
            atomic_store_explicit(&neighbours->entries[i][word], words[word], memory_order_relaxed);
        }
    }
    atomic_store_explicit(&neighbours->count, used, memory_order_relaxed);
    atomic_store_explicit(&neighbours->revision, odd + 1, memory_order_release); /* Q3 pairs with Q4 */
}

/* The entry of that instance, from a table that may be changing. */
static bool neighbour_take(const struct rc_neighbours *neighbours, uint64_t sids, struct rc_neighbour *out)
{
    uint32_t count = atomic_load_explicit(&neighbours->count, memory_order_relaxed);
    count = count < RC_NEIGHBOURS_MAX ? count : RC_NEIGHBOURS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t words[RC_NEIGHBOUR_WORDS];
        words[0] = atomic_load_explicit(&neighbours->entries[i][0], memory_order_relaxed);
        if (words[0] == sids) {
            for (uint32_t word = 1; word < RC_NEIGHBOUR_WORDS; word++) {
                words[word] = atomic_load_explicit(&neighbours->entries[i][word], memory_order_relaxed);
            }
            memcpy(out, words, sizeof(*out));
            return true;
        }
    }
    return false;
}

int rc_neighbours_find(const struct rc_neighbours *neighbours, const char instance[RC_NEIGHBOUR_SIDS_BYTES],
                       char address[RC_NEIGHBOUR_ADDRESS_MAX])
{
    struct rc_neighbour found = {0};
    uint64_t sids = 0;
    memcpy(&sids, instance, RC_NEIGHBOUR_SIDS_BYTES);
    for (int tries = 0; tries < READ_TRIES_MAX; tries++) {
        const uint32_t before =
            atomic_load_explicit(&neighbours->revision, memory_order_acquire); /* Q4 pairs with Q3 */
        const bool known = neighbour_take(neighbours, sids, &found);
        atomic_thread_fence(memory_order_acquire); /* Q2 pairs with Q1 */
        if ((before & 1) != 0 || atomic_load_explicit(&neighbours->revision, memory_order_relaxed) != before) {
            continue;
        }
        if (!known) {
            return -ENOENT;
        }
        memcpy(address, found.address, sizeof(found.address));
        return address[0] != '\0' && memchr(address, '\0', sizeof(found.address)) != NULL ? 0 : -EBADMSG;
    }
    return -EAGAIN;
}
