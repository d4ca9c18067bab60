/*
 * ring: white-box tests of positions, padding, bounds and what a corrupt peer may do.
 *
 * Long loops count what is wrong and assert once: Criterion reports every single assertion to its parent process.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/shm/ring.h"

#define CAPACITY 4096u
#define HEADER ((uint32_t)sizeof(struct rc_ring_record_header))

/* A ring with both sides attached; the area is malloc'd in exactly its size, so that ASan sees a step outside. */
struct pair {
    struct rc_ring_shared shared;
    uint8_t *data;
    struct rc_ring producer;
    struct rc_ring consumer;
};

static void pair_open(struct pair *p, uint64_t start)
{
    memset(&p->shared, 0, sizeof(p->shared));
    atomic_store(&p->shared.tail, start);
    atomic_store(&p->shared.head, start);
    p->data = aligned_alloc(64, CAPACITY);
    memset(p->data, 0xa5, CAPACITY);
    cr_assert_eq(rc_ring_attach_producer(&p->producer, &p->shared, p->data, CAPACITY), 0);
    cr_assert_eq(rc_ring_attach_consumer(&p->consumer, &p->shared, p->data, CAPACITY), 0);
}

static void pair_close(struct pair *p)
{
    free(p->data);
}

static bool write_record(struct pair *p, uint32_t type, uint32_t bytes)
{
    uint8_t *payload = rc_ring_claim(&p->producer, type, bytes);
    if (payload == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = (uint8_t)(type + i);
    }
    rc_ring_commit(&p->producer, bytes);
    return true;
}

/* Whether the next record is of this type and size, with the content that write_record gave it. */
static bool read_record(struct pair *p, uint32_t type, uint32_t bytes)
{
    uint32_t got_type = 0;
    uint32_t got_bytes = 0;
    const void *payload = NULL;
    bool right = rc_ring_next(&p->consumer, &got_type, &payload, &got_bytes) == 1;
    right = right && got_type == type && got_bytes == bytes;
    for (uint32_t i = 0; i < bytes && right; i++) {
        right = ((const uint8_t *)payload)[i] == (uint8_t)(type + i);
    }
    return right;
}

#define expect_record(p, type, bytes) cr_assert(read_record(p, type, bytes))

static int next_code(struct pair *p)
{
    uint32_t type;
    uint32_t bytes;
    const void *payload;
    return rc_ring_next(&p->consumer, &type, &payload, &bytes);
}

/* Puts a raw header at a position of the area and makes `bytes` from there visible. */
static void forge(struct pair *p, uint64_t position, uint32_t type, uint32_t bytes)
{
    const struct rc_ring_record_header header = {.bytes = bytes, .type = type};
    memcpy(p->data + (position & (CAPACITY - 1)), &header, sizeof(header));
}

Test(ring, attach_refuses_bad_capacities)
{
    struct rc_ring_shared shared = {0};
    struct rc_ring ring;
    static uint8_t data[8192];
    const uint64_t bad[] = {0, 8, 2048, 4095, 4097, 6144, UINT64_C(1) << 34, UINT64_MAX};
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        cr_expect_eq(rc_ring_attach_producer(&ring, &shared, data, bad[i]), -EINVAL);
        cr_expect_eq(rc_ring_attach_consumer(&ring, &shared, data, bad[i]), -EINVAL);
    }
    cr_expect_eq(rc_ring_attach_producer(&ring, &shared, data, 4096), 0);
    cr_expect_eq(rc_ring_attach_producer(&ring, &shared, data, 8192), 0);
}

Test(ring, attach_refuses_impossible_positions)
{
    const uint64_t cases[][2] = {{0, 8},
                                 {4104, 0},
                                 {4, 0},
                                 {16, 12},
                                 {8, UINT64_MAX - 7 - CAPACITY},
                                 {0, UINT64_MAX},
                                 {16, UINT64_MAX - 15},
                                 {UINT64_MAX - 7, UINT64_MAX - 7}};
    uint8_t *data = calloc(1, CAPACITY);
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct rc_ring_shared shared = {.tail = cases[i][0], .head = cases[i][1]};
        struct rc_ring ring;
        cr_expect_eq(rc_ring_attach_producer(&ring, &shared, data, CAPACITY), -EBADMSG, "case %zu", i);
        cr_expect_eq(rc_ring_attach_consumer(&ring, &shared, data, CAPACITY), -EBADMSG, "case %zu", i);
    }
    free(data);
}

Test(ring, records_of_every_size_pass_in_order)
{
    struct pair p;
    pair_open(&p, 0);
    cr_assert_eq(next_code(&p), 0);
    cr_assert_not(rc_ring_readable(&p.consumer));
    for (uint32_t bytes = 0; bytes <= rc_ring_payload_max(&p.producer); bytes++) {
        cr_assert(write_record(&p, bytes + 1, bytes), "%u bytes", bytes);
        cr_assert(rc_ring_readable(&p.consumer));
        expect_record(&p, bytes + 1, bytes);
        rc_ring_release(&p.consumer);
        cr_assert_eq(rc_ring_used(&p.producer), 0);
    }
    cr_assert_eq(next_code(&p), 0);
    pair_close(&p);
}

Test(ring, payload_above_the_maximum_is_refused)
{
    struct pair p;
    pair_open(&p, 0);
    const uint32_t max = (uint32_t)rc_ring_payload_max(&p.producer);
    cr_assert_eq(max, CAPACITY / 2 - 8);
    cr_assert_null(rc_ring_claim(&p.producer, 1, max + 1));
    cr_assert_null(rc_ring_claim(&p.producer, 1, UINT32_MAX));
    cr_assert_not(rc_ring_want_room(&p.producer, max + 1));
    cr_assert_eq(atomic_load(&p.shared.wants_room), 0);
    cr_assert_not_null(rc_ring_claim(&p.producer, 1, max));
    pair_close(&p);
}

Test(ring, largest_record_fits_an_empty_ring_at_every_position)
{
    for (uint64_t start = 0; start < CAPACITY; start += RC_RING_ALIGN) {
        struct pair p;
        pair_open(&p, start);
        cr_assert(write_record(&p, 7, (uint32_t)rc_ring_payload_max(&p.producer)), "at %lu", (unsigned long)start);
        expect_record(&p, 7, (uint32_t)rc_ring_payload_max(&p.producer));
        pair_close(&p);
    }
}

Test(ring, full_ring_gives_null_and_takes_exactly_its_capacity)
{
    struct pair p;
    pair_open(&p, 0);
    for (int i = 0; i < 32; i++) {
        cr_assert(write_record(&p, 1, 120));
    }
    cr_assert_eq(rc_ring_used(&p.producer), CAPACITY);
    cr_assert_null(rc_ring_claim(&p.producer, 1, 0));
    expect_record(&p, 1, 120);
    cr_assert_null(rc_ring_claim(&p.producer, 1, 0), "read is not released");
    rc_ring_release(&p.consumer);
    cr_assert_null(rc_ring_claim(&p.producer, 1, 121), "the room is 128 bytes");
    cr_assert(write_record(&p, 2, 120));
    for (int i = 0; i < 31; i++) {
        expect_record(&p, 1, 120);
    }
    expect_record(&p, 2, 120);
    pair_close(&p);
}

Test(ring, commit_at_wrap_inserts_padding)
{
    struct pair p;
    pair_open(&p, CAPACITY - 64);
    cr_assert(write_record(&p, 3, 100));
    struct rc_ring_record_header padding;
    memcpy(&padding, p.data + CAPACITY - 64, sizeof(padding));
    cr_assert_eq(padding.type, RC_RING_PADDING);
    cr_assert_eq(padding.bytes, 64 - HEADER);
    cr_assert_eq(rc_ring_used(&p.producer), 64 + rc_ring_record_bytes(100));
    expect_record(&p, 3, 100);
    rc_ring_release(&p.consumer);
    cr_assert_eq(rc_ring_used(&p.consumer), 0);
    pair_close(&p);
}

Test(ring, record_that_ends_at_the_wrap_needs_no_padding)
{
    for (uint32_t bytes = 57; bytes <= 64; bytes++) { /* all of them fill 72 bytes */
        struct pair p;
        pair_open(&p, CAPACITY - 72);
        cr_assert(write_record(&p, 3, bytes));
        cr_assert_eq(atomic_load(&p.shared.tail), CAPACITY);
        cr_assert(write_record(&p, 4, 8));
        expect_record(&p, 3, bytes);
        expect_record(&p, 4, 8);
        pair_close(&p);
    }
}

Test(ring, padding_of_a_bare_header_works)
{
    struct pair p;
    pair_open(&p, CAPACITY - 8);
    cr_assert(write_record(&p, 3, 1));
    cr_assert_eq(atomic_load(&p.shared.tail), CAPACITY + 16);
    expect_record(&p, 3, 1);
    pair_close(&p);
    pair_open(&p, CAPACITY - 8);
    cr_assert(write_record(&p, 3, 0), "an empty record takes the last 8 bytes");
    cr_assert_eq(atomic_load(&p.shared.tail), CAPACITY);
    expect_record(&p, 3, 0);
    pair_close(&p);
}

Test(ring, padding_counts_as_room_that_is_needed)
{
    struct pair p;
    pair_open(&p, 0);
    cr_assert(write_record(&p, 1, 2040));
    cr_assert(write_record(&p, 1, 1016)); /* 3072 used, 1024 left */
    expect_record(&p, 1, 2040);
    rc_ring_release(&p.consumer); /* 2048 free in front, 1024 behind */
    cr_assert_null(rc_ring_claim(&p.producer, 1, 2041), "3 KiB are free but 1 KiB of it is padding");
    cr_assert(write_record(&p, 2, 2040));
    cr_assert_eq(rc_ring_used(&p.producer), CAPACITY);
    expect_record(&p, 1, 1016);
    expect_record(&p, 2, 2040);
    pair_close(&p);
}

Test(ring, positions_pass_powers_of_two_without_notice)
{
    const uint64_t starts[] = {(UINT64_C(1) << 32) - 4096 - 8, (UINT64_C(1) << 32) - 8, (UINT64_C(1) << 31) - 64,
                               (UINT64_C(1) << 63) - 72, (UINT64_C(1) << 63) - 8 * 4096};
    for (size_t i = 0; i < RC_ARRAY_COUNT(starts); i++) {
        struct pair p;
        pair_open(&p, starts[i]);
        uint32_t wrong = 0;
        for (uint32_t n = 0; n < 2000; n++) {
            wrong += !write_record(&p, n + 1, n * 7 % 300);
            wrong += !write_record(&p, n + 2, n * 13 % 700);
            wrong += !read_record(&p, n + 1, n * 7 % 300);
            wrong += !read_record(&p, n + 2, n * 13 % 700);
            rc_ring_release(&p.consumer);
        }
        cr_assert_eq(wrong, 0);
        cr_assert_gt(atomic_load(&p.shared.head), starts[i] + 50000);
        pair_close(&p);
    }
}

Test(ring, commit_may_be_smaller_than_the_claim)
{
    for (uint64_t start = 0; start < CAPACITY; start += 8) {
        struct pair p;
        pair_open(&p, start);
        uint8_t *payload = rc_ring_claim(&p.producer, 9, 1000);
        cr_assert_not_null(payload);
        memset(payload, 1, 1000);
        payload[0] = 9;
        rc_ring_commit(&p.producer, 1);
        cr_assert(write_record(&p, 4, 40));
        expect_record(&p, 9, 1);
        expect_record(&p, 4, 40);
        cr_assert_eq(next_code(&p), 0);
        pair_close(&p);
    }
}

Test(ring, commit_of_an_empty_record_after_a_large_claim)
{
    struct pair p;
    pair_open(&p, CAPACITY - 16);
    cr_assert_not_null(rc_ring_claim(&p.producer, 9, 1000));
    rc_ring_commit(&p.producer, 0);
    expect_record(&p, 9, 0);
    cr_assert_eq(next_code(&p), 0);
    pair_close(&p);
}

Test(ring, forgotten_claim_leaves_no_trace)
{
    struct pair p;
    pair_open(&p, CAPACITY - 64);
    uint8_t *payload = rc_ring_claim(&p.producer, 5, 1500); /* padding and header are written */
    cr_assert_not_null(payload);
    memset(payload, 0xff, 1500);
    cr_assert_eq(next_code(&p), 0);
    cr_assert_eq(rc_ring_used(&p.producer), 0);
    cr_assert(write_record(&p, 6, 48));
    cr_assert_eq(atomic_load(&p.shared.tail), CAPACITY - 64 + 56, "no padding remains of the claim");
    expect_record(&p, 6, 48);
    pair_close(&p);
}

Test(ring, successor_of_a_producer_overwrites_the_half_written_record)
{
    struct pair p;
    pair_open(&p, CAPACITY - 200);
    cr_assert(write_record(&p, 1, 20));
    uint8_t *payload = rc_ring_claim(&p.producer, 2, 900);
    memset(payload, 0xee, 900);
    cr_assert_eq(rc_ring_attach_producer(&p.producer, &p.shared, p.data, CAPACITY), 0);
    cr_assert(write_record(&p, 3, 30));
    expect_record(&p, 1, 20);
    expect_record(&p, 3, 30);
    cr_assert_eq(next_code(&p), 0);
    pair_close(&p);
}

Test(ring, successor_of_a_consumer_reads_again_what_was_not_released)
{
    struct pair p;
    pair_open(&p, 8);
    for (uint32_t i = 1; i <= 5; i++) {
        cr_assert(write_record(&p, i, i * 10));
    }
    expect_record(&p, 1, 10);
    expect_record(&p, 2, 20);
    rc_ring_release(&p.consumer);
    expect_record(&p, 3, 30);
    cr_assert_eq(rc_ring_attach_consumer(&p.consumer, &p.shared, p.data, CAPACITY), 0);
    for (uint32_t i = 3; i <= 5; i++) {
        expect_record(&p, i, i * 10);
    }
    pair_close(&p);
}

Test(ring, release_to_gives_back_a_part)
{
    struct pair p;
    uint64_t positions[4];
    pair_open(&p, CAPACITY - 40);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(write_record(&p, i + 1, 24));
    }
    for (uint32_t i = 0; i < 4; i++) {
        expect_record(&p, i + 1, 24);
        positions[i] = p.consumer.position;
    }
    cr_assert_eq(rc_ring_used(&p.consumer), 4 * 32 + 8, "8 bytes of padding");
    rc_ring_release_to(&p.consumer, positions[1]);
    cr_assert_eq(atomic_load(&p.shared.head), positions[1]);
    rc_ring_release_to(&p.consumer, positions[0]);
    cr_assert_eq(atomic_load(&p.shared.head), positions[1], "never backwards");
    rc_ring_release_to(&p.consumer, positions[3]);
    cr_assert_eq(rc_ring_used(&p.consumer), 0);
    pair_close(&p);
}

Test(ring, room_is_due_only_when_asked_for_and_half_free)
{
    struct pair p;
    pair_open(&p, 0);
    for (int i = 0; i < 32; i++) {
        cr_assert(write_record(&p, 1, 120));
    }
    expect_record(&p, 1, 120);
    rc_ring_release(&p.consumer);
    cr_assert_not(rc_ring_room_due(&p.consumer), "nobody asked");

    cr_assert(write_record(&p, 1, 120));
    cr_assert_not(rc_ring_want_room(&p.producer, 120));
    for (int i = 0; i < 15; i++) {
        expect_record(&p, 1, 120);
        rc_ring_release(&p.consumer);
        cr_assert_not(rc_ring_room_due(&p.consumer), "less than half free");
    }
    expect_record(&p, 1, 120);
    cr_assert_not(rc_ring_room_due(&p.consumer), "read, but not released");
    rc_ring_release(&p.consumer);
    cr_assert(rc_ring_room_due(&p.consumer));
    cr_assert_not(rc_ring_room_due(&p.consumer), "answered once");
    cr_assert(write_record(&p, 1, 120));
    pair_close(&p);
}

Test(ring, want_room_sees_room_that_came_meanwhile_and_withdraws)
{
    struct pair p;
    pair_open(&p, 0);
    for (int i = 0; i < 32; i++) {
        cr_assert(write_record(&p, 1, 120));
    }
    cr_assert_null(rc_ring_claim(&p.producer, 1, 120));
    expect_record(&p, 1, 120);
    rc_ring_release(&p.consumer);
    cr_assert(rc_ring_want_room(&p.producer, 120));
    cr_assert_eq(atomic_load(&p.shared.wants_room), 0);
    cr_assert_not_null(rc_ring_claim(&p.producer, 1, 120));
    pair_close(&p);
}

Test(ring, large_record_behind_padding_asks_until_the_ring_is_empty_enough)
{
    struct pair p;
    const uint32_t max = CAPACITY / 2 - HEADER;
    pair_open(&p, CAPACITY / 2 - 16);
    for (int i = 0; i < 3; i++) {
        cr_assert(write_record(&p, 1, 0));
    }
    /* The largest record needs 2040 of padding and 2048: all but 8 bytes of the ring. 24 are used. */
    cr_assert_null(rc_ring_claim(&p.producer, 2, max));
    cr_assert_not(rc_ring_want_room(&p.producer, max));
    expect_record(&p, 1, 0);
    rc_ring_release(&p.consumer);
    cr_assert(rc_ring_room_due(&p.consumer), "half is free, though that is not enough");
    cr_assert_null(rc_ring_claim(&p.producer, 2, max));
    cr_assert_not(rc_ring_want_room(&p.producer, max));
    expect_record(&p, 1, 0);
    rc_ring_release(&p.consumer);
    cr_assert(rc_ring_room_due(&p.consumer));
    cr_assert(write_record(&p, 2, max));
    cr_assert_eq(rc_ring_used(&p.producer), CAPACITY);
    expect_record(&p, 1, 0);
    expect_record(&p, 2, max);
    pair_close(&p);
}

Test(ring, successor_of_a_consumer_wakes_a_producer_that_may_wait)
{
    struct pair p;
    pair_open(&p, 0);
    cr_assert_not(rc_ring_room_due(&p.consumer), "a new ring has no predecessor");
    for (int i = 0; i < 32; i++) {
        cr_assert(write_record(&p, 1, 120));
    }
    cr_assert_not(rc_ring_want_room(&p.producer, 120));
    for (int i = 0; i < 32; i++) {
        expect_record(&p, 1, 120);
    }
    rc_ring_release(&p.consumer);
    cr_assert(rc_ring_room_due(&p.consumer)); /* and here it is killed, before the wake */
    cr_assert_eq(rc_ring_attach_consumer(&p.consumer, &p.shared, p.data, CAPACITY), 0);
    cr_assert(rc_ring_room_due(&p.consumer));
    cr_assert_not(rc_ring_room_due(&p.consumer));
    pair_close(&p);
}

Test(ring, corrupt_lengths_are_refused)
{
    const uint32_t lengths[] = {33, 40, 2040, 2041, 4088, 4096, 1u << 31, UINT32_MAX - 15, UINT32_MAX - 7, UINT32_MAX};
    for (size_t i = 0; i < RC_ARRAY_COUNT(lengths); i++) {
        struct pair p;
        pair_open(&p, 64);
        cr_assert(write_record(&p, 1, 32));
        forge(&p, 64, 1, lengths[i]);
        cr_expect_eq(next_code(&p), -EBADMSG, "length %u", lengths[i]);
        cr_expect_eq(next_code(&p), -EBADMSG, "it stays so");
        cr_expect_eq(p.consumer.position, 64);
        pair_close(&p);
    }
}

Test(ring, record_across_the_end_of_the_area_is_refused)
{
    struct pair p;
    pair_open(&p, CAPACITY - 64);
    cr_assert(write_record(&p, 1, 56));
    cr_assert(write_record(&p, 2, 56));
    forge(&p, CAPACITY - 64, 1, 57);
    cr_assert_eq(next_code(&p), -EBADMSG);
    pair_close(&p);
}

Test(ring, corrupt_padding_is_refused)
{
    const struct {
        uint64_t at;
        uint32_t bytes;
    } cases[] = {
        {CAPACITY - 64, 48},                   /* ends before the area does */
        {CAPACITY - 64, 64},                   /* beyond it */
        {CAPACITY - 64, UINT32_MAX},           /* far beyond */
        {CAPACITY - 64, 0},                    /* would not move */
        {0, CAPACITY - HEADER},                /* a whole lap */
        {CAPACITY / 2, CAPACITY / 2 - HEADER}, /* as long as the longest record: it would have fitted */
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        struct pair p;
        pair_open(&p, cases[i].at);
        forge(&p, cases[i].at, RC_RING_PADDING, cases[i].bytes);
        if (cases[i].at != 0) {
            forge(&p, CAPACITY, 1, 0);
        }
        atomic_store(&p.shared.tail, cases[i].at + CAPACITY);
        cr_expect_eq(next_code(&p), -EBADMSG, "case %zu", i);
        pair_close(&p);
    }
}

Test(ring, padding_without_its_record_is_refused)
{
    struct pair p;
    pair_open(&p, CAPACITY - 64);
    forge(&p, CAPACITY - 64, RC_RING_PADDING, 64 - HEADER);
    atomic_store(&p.shared.tail, CAPACITY);
    cr_assert_eq(next_code(&p), -EBADMSG);
    pair_close(&p);
    pair_open(&p, CAPACITY - 64);
    forge(&p, CAPACITY - 64, RC_RING_PADDING, 64 - HEADER);
    forge(&p, 0, RC_RING_PADDING, CAPACITY - HEADER);
    atomic_store(&p.shared.tail, CAPACITY - 64 + CAPACITY);
    cr_assert_eq(next_code(&p), -EBADMSG, "two paddings in a row");
    pair_close(&p);
}

Test(ring, impossible_tail_is_refused)
{
    const uint64_t tails[] = {1000 - 8, 1000 + 4, 1000 + CAPACITY + 8, 0, UINT64_MAX, UINT64_C(1) << 63};
    for (size_t i = 0; i < RC_ARRAY_COUNT(tails); i++) {
        struct pair p;
        pair_open(&p, 1000);
        atomic_store(&p.shared.tail, tails[i]);
        cr_expect(rc_ring_readable(&p.consumer), "the caller must come and see");
        cr_expect_eq(next_code(&p), -EBADMSG, "case %zu", i);
        cr_expect_leq(rc_ring_used(&p.consumer), CAPACITY);
        pair_close(&p);
    }
}

Test(ring, impossible_head_makes_the_ring_full_and_nothing_else)
{
    const uint64_t heads[] = {CAPACITY + 8, UINT64_MAX, UINT64_MAX - CAPACITY, UINT64_C(1) << 63};
    for (size_t i = 0; i < RC_ARRAY_COUNT(heads); i++) {
        struct pair p;
        pair_open(&p, 0);
        for (int n = 0; n < 32; n++) {
            cr_assert(write_record(&p, 1, 120));
        }
        atomic_store(&p.shared.head, heads[i]);
        cr_expect_null(rc_ring_claim(&p.producer, 1, 0), "case %zu", i);
        cr_expect_not(rc_ring_want_room(&p.producer, 0));
        cr_expect_leq(rc_ring_used(&p.producer), CAPACITY);
        pair_close(&p);
    }
}

Test(ring, consumer_goes_by_its_own_head)
{
    static const uint64_t wrong[] = {0, 64, UINT64_MAX, UINT64_C(1) << 63, 4000};
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct pair p;
        pair_open(&p, 8192);
        atomic_store(&p.shared.head, wrong[i]);
        size_t passed = 0;
        for (; passed < 500 && write_record(&p, 3, 100) && read_record(&p, 3, 100); passed++) {
            rc_ring_release(&p.consumer);
        }
        cr_expect_eq(passed, 500, "head %llu: stopped after %zu", (unsigned long long)wrong[i], passed);
        /* All is released, and the producer has not looked since: it asks, and the answer puts the head right. */
        while (write_record(&p, 3, 100)) {}
        while (read_record(&p, 3, 100) && rc_ring_used(&p.consumer) > 0 && p.consumer.position != p.consumer.peer) {}
        rc_ring_release(&p.consumer);
        atomic_store(&p.shared.head, wrong[i]);
        cr_expect_not(rc_ring_want_room(&p.producer, 100));
        cr_expect(rc_ring_room_due(&p.consumer));
        cr_expect(write_record(&p, 3, 100), "head %llu", (unsigned long long)wrong[i]);
        pair_close(&p);
    }
}

Test(ring, random_operations_agree_with_a_queue)
{
    struct pair p;
    uint32_t queue[1024];
    uint32_t written = 0;
    uint32_t read = 0;
    uint32_t random = 12345;
    uint32_t wrong = 0;
    pair_open(&p, (UINT64_C(1) << 32) - 16);
    for (uint32_t step = 0; step < 200000; step++) {
        random = random * 1664525u + 1013904223u;
        const uint32_t choice = random >> 28;
        if (choice < 8) {
            const uint32_t bytes = (random >> 8) % (choice == 0 ? 2041 : 90);
            if (write_record(&p, written % 1000 + 1, bytes)) {
                queue[written++ % 1024] = bytes;
            }
        } else if (choice < 15 && read < written) {
            wrong += !read_record(&p, read % 1000 + 1, queue[read % 1024]);
            read++;
            rc_ring_release(&p.consumer);
        } else if (read < written) {
            wrong += next_code(&p) != 1; /* read, not released; a successor comes */
            wrong += rc_ring_attach_consumer(&p.consumer, &p.shared, p.data, CAPACITY) != 0;
        } else {
            wrong += next_code(&p) != 0;
        }
        wrong += rc_ring_used(&p.producer) > CAPACITY;
    }
    cr_assert_eq(wrong, 0);
    cr_assert_gt(read, 10000);
    pair_close(&p);
}
