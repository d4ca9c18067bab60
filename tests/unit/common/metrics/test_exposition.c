/* The text format: bounds and escapes. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/metrics/exposition.h"

Test(exposition, what_does_not_fit_is_counted)
{
    char out[16];
    for (size_t capacity = 0; capacity <= sizeof(out); capacity++) {
        struct rc_exposition to = {.out = out, .capacity = capacity};
        memset(out, '#', sizeof(out));
        rc_exposition_put(&to, "%s", "name ");
        rc_exposition_put(&to, "%d\n", 12345);
        cr_expect_eq(to.bytes, 11);
        const size_t kept = capacity < 11 ? capacity : 11;
        cr_expect_eq(memcmp(out, "name 12345\n", kept), 0);
        for (size_t i = kept; i < sizeof(out); i++) {
            cr_expect_eq(out[i], '#');
        }
    }
}

Test(exposition, a_family_has_help_and_type)
{
    char out[128];
    struct rc_exposition to = {.out = out, .capacity = sizeof(out)};
    rc_exposition_family(&to, "a_total", "What it is", "counter");
    cr_expect_eq(memcmp(out, "# HELP a_total What it is\n# TYPE a_total counter\n", to.bytes), 0);
}

Test(exposition, labels_are_escaped_and_cut)
{
    char out[8];
    cr_expect_str_eq(rc_exposition_label(out, sizeof(out), "a\"\\\n"), "a\\\"\\\\\\n");
    cr_expect_str_eq(rc_exposition_label(out, sizeof(out), "123456789"), "123456");
    cr_expect_str_eq(rc_exposition_label(out, sizeof(out), "12345\"x"), "12345\\\"", "no half escape");
    cr_expect_str_eq(rc_exposition_label(out, 2, "abc"), "");
}

Test(exposition, a_series_has_its_labels_and_the_instance_where_it_is_wanted)
{
    char out[256];
    struct rc_exposition to = {.out = out, .capacity = sizeof(out), .instance = "a\"b"};
    rc_exposition_series(&to, "x", "%s", "");
    rc_exposition_series(&to, "x", "n=\"%d\"", 5);
    rc_exposition_series(&to, "ws_x", "%s", "");
    to.labelled = true;
    rc_exposition_series(&to, "x", "%s", "");
    rc_exposition_series(&to, "x", "n=\"%d\"", 5);
    static const char wanted[] =
        "x x{n=\"5\"} ws_x{instance=\"a\\\"b\"} x{instance=\"a\\\"b\"} x{instance=\"a\\\"b\",n=\"5\"} ";
    cr_expect_eq(to.bytes, sizeof(wanted) - 1);
    cr_expect_eq(memcmp(out, wanted, sizeof(wanted) - 1), 0, "%.*s", (int)to.bytes, out);
}
