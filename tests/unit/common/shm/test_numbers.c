/* common/shm/numbers: what programs say of their builds, and how it is read. */
#include "common/shm/numbers.h"

#include <stdlib.h>

#include <criterion/criterion.h>

#include "common/shm/layout.h"

Test(numbers, what_is_written_is_found)
{
    static const struct rc_number more[] = {{"truth", 7}, {"io", 9}};
    char *text = NULL;
    size_t bytes;
    uint32_t value = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_not_null(out);
    rc_numbers_write(out, more, 2);
    cr_assert_eq(fclose(out), 0);
    cr_assert(rc_numbers_find(text, "core", &value) && value == RC_CORE_ABI);
    cr_assert(rc_numbers_find(text, "build", &value) && value == RC_BUILD_ID);
    cr_assert(rc_numbers_find(text, "truth", &value) && value == 7);
    cr_assert(rc_numbers_find(text, "io", &value) && value == 9);
    free(text);
}

Test(numbers, what_is_none_is_not_found)
{
    static const char *const texts[] = {"",         "core",    "core ",        "core x",     "core -1",
                                        "core 1 2", "cores 1", "core 1x\n",    "xcore 1",    "core 4294967296",
                                        "\n\n",     "a\nb\n",  "core 0x1\n\n", "score 1\n\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint32_t value = 0;
        cr_expect_not(rc_numbers_find(texts[i], "core", &value), "%s", texts[i]);
    }
    uint32_t value = 0;
    cr_assert(rc_numbers_find("a 1\ncore 4294967295", "core", &value) && value == UINT32_MAX);
}

Test(numbers, only_the_one_argument_asks_for_them)
{
    char program[] = "x";
    char wanted[] = "--numbers";
    char other[] = "--number";
    char *argv[] = {program, wanted, other, NULL};
    char *wrong[] = {program, other, NULL};
    cr_assert(rc_numbers_wanted(2, argv));
    cr_assert_not(rc_numbers_wanted(3, argv));
    cr_assert_not(rc_numbers_wanted(1, argv));
    cr_assert_not(rc_numbers_wanted(2, wrong));
}
