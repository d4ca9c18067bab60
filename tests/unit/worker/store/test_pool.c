/* White-box tests of worker/store/pool.c. */
#include <criterion/criterion.h>

#include <string.h>

#include "worker/store/pool.h"

struct object {
    uint64_t first;
    uint64_t second;
};

Test(pool, gives_zeroed_objects_up_to_its_bound_and_takes_them_back)
{
    static struct object memory[10];
    struct rc_pool pool;
    rc_pool_init(&pool, memory, sizeof(struct object), 10);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 1; i < 10; i++) {
            const uint32_t index = rc_pool_alloc(&pool);
            cr_assert(index >= 1 && index < 10);
            struct object *object = rc_pool_at(&pool, index);
            cr_assert(object->first == 0 && object->second == 0);
            memset(object, 0xff, sizeof(*object));
            cr_assert_eq(pool.used, i);
        }
        cr_assert_eq(rc_pool_alloc(&pool), 0);
        cr_assert_eq(pool.used, 9);
        for (uint32_t i = 1; i < 10; i++) {
            rc_pool_free(&pool, 10 - i);
        }
        cr_assert_eq(pool.used, 0);
    }
    cr_assert_eq(memory[0].first, 0, "index 0 is nobody's");
}

Test(pool, reuses_the_object_given_back_last)
{
    static struct object memory[100];
    struct rc_pool pool;
    rc_pool_init(&pool, memory, sizeof(struct object), 100);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(rc_pool_alloc(&pool), i + 1);
    }
    rc_pool_free(&pool, 2);
    rc_pool_free(&pool, 4);
    cr_assert_eq(rc_pool_alloc(&pool), 4);
    cr_assert_eq(rc_pool_alloc(&pool), 2);
    cr_assert_eq(rc_pool_alloc(&pool), 6);
    cr_assert_eq(pool.high, 7);
}
