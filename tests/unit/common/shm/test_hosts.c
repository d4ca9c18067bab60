/* The table of names and addresses, and what a reader believes of it. */
#include "common/shm/hosts.h"

#include <criterion/criterion.h>
#include <string.h>

static struct rc_hosts hosts;

static struct rc_host host(const char *name, uint32_t count)
{
    struct rc_host made = {.count = count};
    strcpy(made.name, name);
    for (uint32_t i = 0; i < count && i < RC_HOST_ADDRESSES_MAX; i++) {
        made.addresses[i].bytes[15] = (uint8_t)(i + 1);
    }
    return made;
}

Test(hosts, names_have_their_addresses)
{
    struct rc_address out[RC_HOST_ADDRESSES_MAX];
    const struct rc_host all[] = {host("app", 2), host("app.example", 1), host("gone", 0)};
    const uint32_t before = rc_hosts_revision(&hosts);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app"), out), 0);
    rc_hosts_write(&hosts, all, 3);
    cr_expect_neq(rc_hosts_revision(&hosts), before);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app"), out), 2);
    cr_expect_eq(out[1].bytes[15], 2);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app.example"), out), 1);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("ap"), out), 0);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("gone"), out), 0);
    rc_hosts_write(&hosts, all + 1, 1);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app"), out), 0);
}

Test(hosts, a_table_that_is_being_written_or_damaged_says_nothing_wrong)
{
    struct rc_address out[RC_HOST_ADDRESSES_MAX];
    const struct rc_host one = host("app", 1);
    rc_hosts_write(&hosts, &one, 1);
    atomic_store(&hosts.revision, 7);
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app"), out), 0);
    rc_hosts_write(&hosts, &one, 1); /* whoever left it so, it is whole again */
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app"), out), 1);
    atomic_store(&hosts.count, UINT32_MAX);
    atomic_store(&hosts.entries[0][RC_HOST_NAME_MAX / 8], UINT64_MAX); /* its count */
    cr_expect_eq(rc_hosts_find(&hosts, RC_SPAN("app"), out), (int)RC_HOST_ADDRESSES_MAX);
}
