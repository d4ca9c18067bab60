/* Who is in a channel as it was told, and what is told next: exactly what changed, all anew, or how many. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "relay/cluster/presence_view.h"

static struct rc_presence_view view;
static struct rc_presence_text text;

static void open_view(void)
{
    cr_assert_eq(rc_presence_view_open(&view), 0);
}

static void close_view(void)
{
    rc_presence_view_close(&view);
    rc_presence_text_free(&text);
}

TestSuite(presence_view, .init = open_view, .fini = close_view);

static void add(const char *users)
{
    char copy[256];
    (void)snprintf(copy, sizeof(copy), "%s", users);
    for (char *user = strtok(copy, " "); user != NULL; user = strtok(NULL, " ")) {
        cr_assert_eq(rc_presence_view_add(&view, strcmp(user, "-") == 0 ? rc_span_of(NULL, 0) : rc_span_text(user)), 0);
    }
}

static enum rc_presence_news round_of(const char *users, struct rc_presence_totals totals, bool state)
{
    rc_presence_view_begin(&view);
    add(users);
    return rc_presence_view_end(&view, RC_SPAN("c\"1"), &totals, state, &text);
}

static void cr_assert_text(const char *expected)
{
    cr_assert_eq(text.count, strlen(expected), "%.*s", (int)text.count, text.bytes);
    cr_assert_eq(memcmp(text.bytes, expected, text.count), 0, "%.*s", (int)text.count, text.bytes);
}

#define NAMED(count) ((struct rc_presence_totals){.clients = (count), .named = true, .leaving = true})

Test(presence_view, begins_with_all_and_goes_on_with_differences)
{
    cr_assert_eq(round_of("a -", NAMED(3), false), RC_PRESENCE_STATE);
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":3,\"users\":1,\"members\":[{\"user\":\"a\"},{\"user\":null}],"
                   "\"more\":false}");
    cr_assert_eq(round_of("a -", NAMED(3), false), RC_PRESENCE_NOTHING);
    cr_assert_eq(round_of("b a", NAMED(2), false), RC_PRESENCE_DIFF);
    cr_assert_text(
        "{\"channel\":\"c\\\"1\",\"clients\":2,\"users\":2,\"joined\":[{\"user\":\"b\"}],\"left\":[{\"user\":"
        "null}]}");
    cr_assert_eq(round_of("b a", NAMED(5), false), RC_PRESENCE_DIFF, "a connection more");
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":5,\"users\":2,\"joined\":[],\"left\":[]}");
    cr_assert_eq(round_of("", NAMED(0), false), RC_PRESENCE_DIFF);
    rc_presence_view_state(&view, RC_SPAN("x"), &text);
    cr_assert_text("{\"channel\":\"x\",\"clients\":0,\"users\":0,\"members\":[],\"more\":false}");
}

Test(presence_view, tells_anew_what_is_asked_for_anew)
{
    (void)round_of("a b", NAMED(2), false);
    cr_assert_eq(round_of("b", NAMED(1), true), RC_PRESENCE_STATE);
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":1,\"users\":1,\"members\":[{\"user\":\"b\"}],\"more\":false}");
}

Test(presence_view, of_many_it_says_how_many)
{
    const struct rc_presence_totals many = {.clients = 9, .users = 8};
    (void)round_of("a b", NAMED(2), false);
    cr_assert_eq(round_of("", many, false), RC_PRESENCE_STATE);
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":9,\"users\":8,\"members\":[],\"more\":true}");
    cr_assert_eq(round_of("", many, false), RC_PRESENCE_NOTHING);
    cr_assert_eq(view.count, 0);
    cr_assert_eq(round_of("a c", NAMED(2), false), RC_PRESENCE_STATE, "names again, all of them");
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":2,\"users\":2,\"members\":[{\"user\":\"a\"},{\"user\":\"c\"}],"
                   "\"more\":false}");
}

/* Who was found by a reading that came to nothing is neither told nor thought to have been told. */
Test(presence_view, a_round_without_an_end_leaves_nothing)
{
    (void)round_of("a", NAMED(1), false);
    rc_presence_view_begin(&view);
    add("a b");
    rc_presence_view_state(&view, RC_SPAN("x"), &text);
    cr_assert_text("{\"channel\":\"x\",\"clients\":1,\"users\":1,\"members\":[{\"user\":\"a\"}],\"more\":false}");
    cr_assert_eq(round_of("a", NAMED(1), false), RC_PRESENCE_NOTHING);
    cr_assert_eq(round_of("a b", NAMED(2), false), RC_PRESENCE_DIFF);
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":2,\"users\":2,\"joined\":[{\"user\":\"b\"}],\"left\":[]}");
}

Test(presence_view, nobody_leaves_while_not_all_are_asked)
{
    struct rc_presence_totals some = {.clients = 2, .named = true};
    (void)round_of("a b", NAMED(2), false);
    cr_assert_eq(round_of("c", some, false), RC_PRESENCE_DIFF);
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":2,\"users\":3,\"joined\":[{\"user\":\"c\"}],\"left\":[]}");
    some.local = true;
    cr_assert_eq(round_of("c", some, false), RC_PRESENCE_STATE, "of this host only, which is said");
    cr_assert_eq(round_of("a", NAMED(1), false), RC_PRESENCE_STATE);
    cr_assert_text("{\"channel\":\"c\\\"1\",\"clients\":1,\"users\":1,\"members\":[{\"user\":\"a\"}],\"more\":false}");
}

Test(presence_view, what_is_too_long_is_said_shorter)
{
    char name[RC_PRESENCE_TEXT_MAX];
    (void)round_of("a", NAMED(1), false);
    rc_presence_view_begin(&view);
    for (uint32_t i = 0; i < 400; i++) {
        const int bytes = snprintf(name, sizeof(name), "%0200u", i);
        cr_assert_eq(rc_presence_view_add(&view, rc_span_of(name, (size_t)bytes)), 0);
    }
    const struct rc_presence_totals totals = {.clients = 400, .users = 400, .named = true, .leaving = true};
    cr_assert_eq(rc_presence_view_end(&view, RC_SPAN("x"), &totals, false, &text), RC_PRESENCE_STATE);
    cr_assert_text("{\"channel\":\"x\",\"clients\":400,\"users\":400,\"members\":[],\"more\":true}");
    cr_assert(view.many);
}

Test(presence_view, a_list_that_grew_too_long_for_a_newcomer_becomes_how_many)
{
    enum rc_presence_news news = RC_PRESENCE_NOTHING;
    char user[256];
    uint32_t count = 0;
    memset(user, 'x', sizeof(user));
    while (!view.many) {
        rc_presence_view_begin(&view);
        cr_assert_lt(count, 1000);
        for (uint32_t end = count + 20; count < end; count++) {
            (void)snprintf(user, 6, "%05u", count);
            user[5] = 'x';
            cr_assert_eq(rc_presence_view_add(&view, rc_span_of(user, 200)), 0);
        }
        const struct rc_presence_totals totals = {.clients = count, .named = true};
        news = rc_presence_view_end(&view, RC_SPAN("c"), &totals, false, &text);
        cr_assert_eq(news, count == 20 || view.many ? RC_PRESENCE_STATE : RC_PRESENCE_DIFF);
        rc_presence_view_state(&view, RC_SPAN("c"), &text);
        cr_assert(!text.failed);
    }
    cr_assert_gt(count, 280);
    cr_assert_text("{\"channel\":\"c\",\"clients\":320,\"users\":320,\"members\":[],\"more\":true}");
}

/* `count` users of 200 bytes each are there. */
static enum rc_presence_news long_round(uint32_t count, bool state)
{
    char user[201];
    rc_presence_view_begin(&view);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(user, sizeof(user), "%0200u", i);
        cr_assert_eq(rc_presence_view_add(&view, rc_span_of(user, 200)), 0);
    }
    const struct rc_presence_totals totals = NAMED(count);
    return rc_presence_view_end(&view, RC_SPAN("c"), &totals, state, &text);
}

/* One who comes and goes at the bound costs one text of many, not each time the names of all. */
Test(presence_view, who_were_too_many_are_named_again_when_they_are_well_below)
{
    uint32_t count = 250;
    (void)long_round(count, false);
    while (!view.many) {
        (void)long_round(++count, false);
    }
    cr_assert_eq(long_round(count - 1, false), RC_PRESENCE_STATE, "there are others");
    cr_assert(view.many && text.count < 200);
    cr_assert_eq(long_round(count - 1, false), RC_PRESENCE_NOTHING);
    cr_assert_eq(long_round(count - 1, true), RC_PRESENCE_STATE);
    cr_assert(view.many && text.count < 200);
    uint32_t below = count - 1;
    while (view.many) {
        cr_assert_eq(long_round(--below, false), RC_PRESENCE_STATE);
    }
    cr_assert(text.count > 200 && text.count <= RC_PRESENCE_TEXT_MAX / 8 * 7 && below < count / 8 * 7 + 8);
    cr_assert_eq(long_round(below + 1, false), RC_PRESENCE_DIFF);
}
