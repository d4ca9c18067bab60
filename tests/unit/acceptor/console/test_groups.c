/* Rows of a list, counted by one of their members: what they are called, their order, sums, the bound. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "acceptor/console/groups.h"

static void add(struct rc_groups *groups, const char *row)
{
    json_t *json = json_loads(row, 0, NULL);
    cr_assert_not_null(json, "%s", row);
    cr_assert(rc_groups_add(groups, json));
    json_decref(json);
}

static void expect(struct rc_groups *groups, size_t limit, bool more, const char *wanted)
{
    bool others = !more;
    json_t *rows = rc_groups_json(groups, limit, &others);
    char *text = json_dumps(rows, JSON_COMPACT);
    cr_expect_str_eq(text, wanted);
    cr_expect_eq(others, more);
    free(text);
    json_decref(rows);
}

Test(groups, the_largest_come_first_with_their_sums)
{
    struct rc_groups groups = {.by = "user"};
    expect(&groups, 10, false, "[]");
    add(&groups, "{\"user\":\"b\",\"behind_bytes\":1,\"sent_bytes\":2,\"received_bytes\":3}");
    add(&groups, "{\"user\":\"c\",\"sent_bytes\":null}");
    add(&groups, "{\"user\":\"a\"}");
    add(&groups, "{\"user\":\"b\",\"behind_bytes\":10,\"sent_bytes\":20,\"received_bytes\":30}");
    expect(&groups, 10, false,
           "[{\"user\":\"b\",\"clients\":2,\"behind_bytes\":11,\"sent_bytes\":22,\"received_bytes\":33},"
           "{\"user\":\"a\",\"clients\":1,\"behind_bytes\":0,\"sent_bytes\":0,\"received_bytes\":0},"
           "{\"user\":\"c\",\"clients\":1,\"behind_bytes\":0,\"sent_bytes\":0,\"received_bytes\":0}]");
    expect(&groups, 1, true,
           "[{\"user\":\"b\",\"clients\":2,\"behind_bytes\":11,\"sent_bytes\":22,\"received_bytes\":33}]");
    rc_groups_free(&groups);
}

/* Nobody is not the user "null", and a number is not its text. */
Test(groups, what_has_no_name_is_a_group_of_its_own)
{
    struct rc_groups groups = {.by = "user"};
    add(&groups, "{\"user\":null}");
    add(&groups, "{}");
    add(&groups, "{\"user\":\"null\"}");
    add(&groups, "{\"user\":1}");
    add(&groups, "{\"user\":\"1\"}");
    cr_expect_eq(groups.count, 4);
    rc_groups_free(&groups);
}

Test(groups, there_may_be_very_many)
{
    struct rc_groups groups = {.by = "user"};
    char row[64];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(row, sizeof(row), "{\"user\":\"u%d\"}", i % 1000);
        add(&groups, row);
    }
    cr_expect_eq(groups.count, 1000);
    bool more;
    json_t *rows = rc_groups_json(&groups, 3, &more);
    cr_expect_eq(json_array_size(rows), 3);
    cr_expect(more);
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(rows, 0), "clients")), 5);
    json_decref(rows);
    rc_groups_free(&groups);
}
