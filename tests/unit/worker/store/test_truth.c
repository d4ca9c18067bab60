/* The truth as it is laid out: its parts one behind the other, and which of them core dumps hold. */
#include <criterion/criterion.h>

#include <sys/mman.h>
#include <unistd.h>

#include "common/config/config.h"
#include "tests/support/smaps.h"
#include "worker/store/truth.h"

#define SOCKETS 100000u
#define IO_BYTES (UINT64_C(1) << 20)

static struct rc_config config;
static struct rc_truth truth;
static int fd;

static void set_up(void)
{
    struct rc_err err = {0};
    rc_config_defaults(&config);
    cr_assert_eq(rc_config_finish(&config, &err), 0, "%s", err.text);
    fd = memfd_create("truth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_geq(fd, 0);
    cr_assert_eq(rc_truth_create(&truth, fd, SOCKETS, &config, IO_BYTES, 7, &err), 0, "%s", err.text);
}

static void tear_down(void)
{
    rc_truth_detach(&truth);
    (void)close(fd);
}

TestSuite(truth, .init = set_up, .fini = tear_down);

static struct rc_pool *const pools[] = {&truth.clients, &truth.subscriptions, &truth.channels, &truth.groups,
                                        &truth.logs,    &truth.throttles,     &truth.pending,  &truth.outputs,
                                        &truth.inputs,  &truth.users};
#define POOLS (sizeof(pools) / sizeof(pools[0]))

static const uint8_t *pool_end(const struct rc_pool *pool)
{
    return pool->base + (size_t)pool->count_max * pool->object_bytes;
}

Test(truth, parts_follow_each_other_and_fill_the_segment)
{
    const struct rc_truth_layout *layout = truth.layout;
    const uint8_t *memory = (const uint8_t *)layout;
    cr_assert_eq(atomic_load(&layout->ready), RC_TRUTH_READY);
    cr_assert(layout->boot_ms == 7 && layout->socket_count == SOCKETS && truth.socket_count == SOCKETS);
    const uint8_t *end = memory + sizeof(*layout);
    cr_assert((const uint8_t *)truth.sockets >= end && layout->sockets_offset % 4096 == 0);
    end = (const uint8_t *)(truth.sockets + SOCKETS);
    cr_assert((const uint8_t *)truth.peers >= end);
    end = (const uint8_t *)(truth.peers + SOCKETS);
    cr_assert_eq(pools[0]->base, memory + layout->pools[0].offset);
    for (size_t i = 0; i < POOLS; i++) {
        cr_assert(pools[i]->base >= end, "pool %zu", i);
        end = pool_end(pools[i]);
    }
    cr_assert(memory + layout->sizes_offset >= end);
    cr_assert_eq(truth.heap.sizes, memory + layout->sizes_offset);
    cr_assert(layout->heap_offset >= layout->sizes_offset + rc_heap_sizes_bytes(layout->heap_bytes));
    cr_assert_eq(truth.io, memory + layout->io_offset);
    cr_assert_eq(layout->io_offset + IO_BYTES, layout->bytes);
}

/* A dump writes each page of what is reserved, and the kernel makes it for that: gigabytes for a worker of ten clients. */
Test(truth, core_dumps_hold_what_is_used_and_no_messages)
{
    cr_assert(smaps_dumped(truth.layout) && smaps_dumped(truth.sockets) && smaps_dumped(truth.peers + SOCKETS - 1));
    cr_assert_not(smaps_dumped((const uint8_t *)truth.layout + truth.layout->heap_offset));
    cr_assert_not(smaps_dumped(truth.io));
    cr_assert_not(smaps_dumped(truth.io + IO_BYTES - 1));
    for (size_t i = 0; i < POOLS; i++) {
        struct rc_pool *pool = pools[i];
        cr_assert_not(smaps_dumped(pool->base), "pool %zu", i);
        for (uint32_t count = 0; count < 30000 && rc_pool_alloc(pool) != 0; count++) {
            const uint8_t *object = rc_pool_at(pool, pool->high - 1);
            if (pool->high % 1000 == 0) {
                cr_assert(smaps_dumped(object) && smaps_dumped(object + pool->object_bytes - 1), "pool %zu", i);
            }
        }
        cr_assert(smaps_dumped(pool->base));
        const uint8_t *beyond = pool->base + (size_t)pool->high * pool->object_bytes + (1u << 20);
        cr_assert(beyond >= pool_end(pool) || !smaps_dumped(beyond), "pool %zu", i);
    }
}

Test(truth, a_pool_is_used_up_to_its_end)
{
    while (rc_pool_alloc(&truth.clients) != 0) {}
    cr_assert_eq(truth.clients.used, SOCKETS);
    cr_assert(smaps_dumped(pool_end(&truth.clients) - 1));
    cr_assert_not(smaps_dumped(truth.subscriptions.base));
}
