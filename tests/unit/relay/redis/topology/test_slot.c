/* Slots of keys, with the values of the Redis Cluster specification and of CLUSTER KEYSLOT. */
#include <criterion/criterion.h>

#include "relay/redis/topology/slot.h"

static uint16_t slot_of(const char *key)
{
    return rc_redis_slot(rc_span_text(key));
}

Test(redis_slot, the_specifications_vector)
{
    cr_assert_eq(slot_of("123456789"), 0x31c3);
    cr_assert_eq(slot_of("foo"), 12182);
    cr_assert_eq(slot_of(""), 0);
}

Test(redis_slot, what_stands_in_the_first_braces_decides)
{
    cr_assert_eq(slot_of("{user1000}.following"), slot_of("user1000"));
    cr_assert_eq(slot_of("{user1000}.followers"), slot_of("user1000"));
    cr_assert_eq(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    cr_assert_eq(slot_of("foo{bar}{zap}"), slot_of("bar"));
    cr_assert_neq(slot_of("foo{}{bar}"), slot_of("bar"), "empty braces are part of the key");
    cr_assert_neq(slot_of("foo{bar"), slot_of("bar"));
}
