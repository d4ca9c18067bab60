/* Channels that lost messages: each once, in order, bounded. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "relay/redis/losses.h"

static struct rc_redis_losses losses;

static void free_losses(void)
{
    rc_redis_losses_free(&losses);
}

TestSuite(relay_redis_losses, .fini = free_losses);

static void add(const char *name)
{
    rc_redis_losses_add(&losses, rc_span_text(name), false);
}

static const char *all(void)
{
    static char text[256];
    uint32_t at = 0;
    struct rc_span name;
    size_t used = 0;
    text[0] = '\0';
    while (rc_redis_losses_next(&losses, &at, &name)) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s ", (int)name.count, (const char *)name.bytes);
    }
    return text;
}

Test(relay_redis_losses, each_once_in_the_order_of_its_first)
{
    cr_assert(rc_redis_losses_empty(&losses));
    cr_assert_str_eq(all(), "");
    add("b");
    add("a");
    add("b");
    add("bb");
    add("a");
    cr_assert_str_eq(all(), "b a bb ");
    cr_assert_not(rc_redis_losses_empty(&losses));
    rc_redis_losses_clear(&losses);
    cr_assert(rc_redis_losses_empty(&losses));
    add("a");
    cr_assert_str_eq(all(), "a ");
}

Test(relay_redis_losses, beyond_the_bound_it_is_all)
{
    char name[300];
    for (uint32_t i = 0; i < RC_REDIS_LOSSES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%0266u", i);
        add(name);
        add(name);
    }
    cr_assert_eq(losses.count, RC_REDIS_LOSSES_MAX);
    cr_assert_not(losses.all);
    add(name);
    cr_assert_not(losses.all, "it was there");
    add("one more");
    cr_assert(losses.all);
    cr_assert_str_eq(all(), "");
    cr_assert_not(rc_redis_losses_empty(&losses));
    add("another");
    cr_assert_str_eq(all(), "", "all is all");
    rc_redis_losses_clear(&losses);
    cr_assert(rc_redis_losses_empty(&losses));
    add("a");
    cr_assert_str_eq(all(), "a ");
    rc_redis_losses_add_all(&losses, false);
    cr_assert(losses.all);
    cr_assert_eq(losses.count, 0);
}

Test(relay_redis_losses, it_is_known_whether_some_were_of_shared_histories)
{
    char name[32];
    add("a");
    cr_assert_not(losses.placed);
    rc_redis_losses_add(&losses, RC_SPAN("b"), true);
    rc_redis_losses_add(&losses, RC_SPAN("a"), true);
    cr_assert(losses.placed);
    for (uint32_t i = 0; i < RC_REDIS_LOSSES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        add(name);
    }
    cr_assert(losses.all && losses.placed, "all is said of what was named, too");
    rc_redis_losses_add_all(&losses, false);
    cr_assert(losses.placed);
    rc_redis_losses_clear(&losses);
    rc_redis_losses_add_all(&losses, false);
    cr_assert_not(losses.placed);
    rc_redis_losses_add(&losses, RC_SPAN("b"), true);
    cr_assert(losses.placed);
}
