/* Other instances in shared memory: found by the beginning of a sid, from a table that may be damaged or half written. */
#include "common/shm/neighbours.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/sid.h"

static struct rc_neighbours table;

static struct rc_neighbour neighbour(const char *instance, const char *address)
{
    struct rc_neighbour one = {0};
    rc_sid_instance(one.sids, instance);
    memcpy(one.address, address, strlen(address));
    return one;
}

static int find(const char *instance, char address[RC_NEIGHBOUR_ADDRESS_MAX])
{
    char sids[RC_SID_INSTANCE_BYTES];
    rc_sid_instance(sids, instance);
    return rc_neighbours_find(&table, sids, address);
}

static void write_two(void)
{
    const struct rc_neighbour all[] = {neighbour("b", "10.0.0.2:8080"), neighbour("c", "unix:/run/c.sock")};
    rc_neighbours_write(&table, all, RC_ARRAY_COUNT(all));
}

Test(neighbours, found_by_the_beginning_of_a_sid)
{
    char address[RC_NEIGHBOUR_ADDRESS_MAX];
    cr_assert_eq(find("b", address), -ENOENT);
    write_two();
    cr_assert_eq(find("b", address), 0);
    cr_assert_str_eq(address, "10.0.0.2:8080");
    cr_assert_eq(find("c", address), 0);
    cr_assert_str_eq(address, "unix:/run/c.sock");
    cr_assert_eq(find("a", address), -ENOENT);
    rc_neighbours_write(&table, NULL, 0);
    cr_assert_eq(find("b", address), -ENOENT, "gone");
}

Test(neighbours, more_than_there_is_room_for)
{
    static struct rc_neighbour all[RC_NEIGHBOURS_MAX + 2];
    char address[RC_NEIGHBOUR_ADDRESS_MAX];
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(all); i++) {
        const char id[] = {(char)('0' + i / 10), (char)('0' + i % 10), '\0'};
        all[i] = neighbour(id, "10.0.0.2:8080");
    }
    rc_neighbours_write(&table, all, RC_ARRAY_COUNT(all));
    cr_assert_eq(find("63", address), 0);
    cr_assert_eq(find("64", address), -ENOENT);
}

Test(neighbours, a_damaged_table_is_no_address)
{
    char address[RC_NEIGHBOUR_ADDRESS_MAX];
    write_two();
    atomic_store(&table.count, UINT32_MAX);
    cr_assert_eq(find("b", address), 0);
    cr_assert_eq(find("a", address), -ENOENT);
    for (uint32_t word = 1; word < RC_NEIGHBOUR_WORDS; word++) {
        atomic_store(&table.entries[0][word], UINT64_C(0x3131313131313131)); /* and no NUL */
    }
    cr_assert_eq(find("b", address), -EBADMSG);
    atomic_store(&table.entries[0][1], 0);
    cr_assert_eq(find("b", address), -EBADMSG);
}

Test(neighbours, half_written_by_one_that_died)
{
    char address[RC_NEIGHBOUR_ADDRESS_MAX];
    write_two();
    atomic_fetch_add(&table.revision, 1);
    cr_assert_eq(find("b", address), -EAGAIN);
    write_two();
    cr_assert_eq(find("b", address), 0, "a successor makes it whole");
}
