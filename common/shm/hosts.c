/* hosts: see hosts.h. */
#include "common/shm/hosts.h"

#include <stdbool.h>
#include <string.h>

#define READ_TRIES_MAX 100

void rc_hosts_write(struct rc_hosts *hosts, const struct rc_host *all, uint32_t count)
{
    const uint32_t used = count < RC_HOSTS_MAX ? count : RC_HOSTS_MAX;
    const uint32_t odd = atomic_load_explicit(&hosts->revision, memory_order_relaxed) | 1u;
    atomic_store_explicit(&hosts->revision, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* J1 pairs with J2: who reads a new word sees the odd revision */
    for (uint32_t i = 0; i < used; i++) {
        uint64_t words[RC_HOST_WORDS] = {0};
        memcpy(words, &all[i], sizeof(all[i]));
        for (uint32_t word = 0; word < RC_HOST_WORDS; word++) {
            atomic_store_explicit(&hosts->entries[i][word], words[word], memory_order_relaxed);
        }
    }
    atomic_store_explicit(&hosts->count, used, memory_order_relaxed);
    atomic_store_explicit(&hosts->revision, odd + 1, memory_order_release); /* J3 pairs with J4 */
}

uint32_t rc_hosts_revision(const struct rc_hosts *hosts)
{
    /* J5: relaxed, since whoever sees a new number reads the table by rc_hosts_find. */
    return atomic_load_explicit(&hosts->revision, memory_order_relaxed);
}

/* The entry of that name, from a table that may be changing. */
static bool host_take(const struct rc_hosts *hosts, struct rc_span name, struct rc_host *out)
{
    uint64_t words[RC_HOST_WORDS];
    uint32_t count = atomic_load_explicit(&hosts->count, memory_order_relaxed);
    count = count < RC_HOSTS_MAX ? count : RC_HOSTS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t word = 0; word < RC_HOST_WORDS; word++) {
            words[word] = atomic_load_explicit(&hosts->entries[i][word], memory_order_relaxed);
        }
        memcpy(out, words, sizeof(*out));
        if (name.count < RC_HOST_NAME_MAX && memcmp(out->name, name.bytes, name.count) == 0 &&
            out->name[name.count] == '\0') {
            return true;
        }
    }
    return false;
}

int rc_hosts_find(const struct rc_hosts *hosts, struct rc_span name, struct rc_address out[RC_HOST_ADDRESSES_MAX])
{
    struct rc_host found;
    for (int tries = 0; tries < READ_TRIES_MAX; tries++) {
        const uint32_t before = atomic_load_explicit(&hosts->revision, memory_order_acquire); /* J4 pairs with J3 */
        const bool known = host_take(hosts, name, &found);
        atomic_thread_fence(memory_order_acquire); /* J2 pairs with J1 */
        if ((before & 1) != 0 || atomic_load_explicit(&hosts->revision, memory_order_relaxed) != before) {
            continue;
        }
        const uint64_t count = !known ? 0 : found.count < RC_HOST_ADDRESSES_MAX ? found.count : RC_HOST_ADDRESSES_MAX;
        memcpy(out, found.addresses, count * sizeof(out[0]));
        return (int)count;
    }
    return 0;
}
