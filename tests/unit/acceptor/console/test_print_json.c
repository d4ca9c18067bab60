/* What commands print for programs. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "acceptor/console/print_json.h"

static char *printed(const json_t *root, bool *good)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    *good = rc_json_print(out, root);
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(print_json, figures_are_printed_as_they_were_written)
{
    json_t *root = json_pack("{s:f, s:f, s:f, s:I}", "seconds", 0.06, "long", 12345678.25, "share", 1.0 / 3.0, "bytes",
                             (json_int_t)INT64_MAX);
    bool good = false;
    char *text = printed(root, &good);
    cr_assert(good);
    cr_assert_str_eq(text, "{\n  \"seconds\": 0.06,\n  \"long\": 12345678.25,\n  \"share\": 0.333333333333333,\n"
                           "  \"bytes\": 9223372036854775807\n}\n");
    free(text);
    json_decref(root);
}

Test(print_json, nothing_is_printed_of_nothing)
{
    bool good = true;
    char *text = printed(NULL, &good);
    cr_assert_not(good);
    cr_assert_str_eq(text, "");
    free(text);
}

Test(print_json, what_cannot_be_written_is_said)
{
    FILE *full = fopen("/dev/full", "w");
    cr_assert_not_null(full);
    (void)setvbuf(full, NULL, _IONBF, 0);
    json_t *root = json_object();
    cr_assert_not(rc_json_print(full, root));
    json_decref(root);
    (void)fclose(full);
}
