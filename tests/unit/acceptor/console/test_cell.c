/* acceptor/cell: what clients chose, in the columns of a table. */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "acceptor/console/cell.h"

static const char *cell(const char *text, unsigned columns, unsigned most)
{
    static struct rc_cell cell;
    return rc_cell(&cell, text, columns, most);
}

Test(cell, is_filled_up_and_cut_by_columns)
{
    cr_expect_str_eq(cell("ada", 6, 0), "ada   ");
    cr_expect_str_eq(cell("ada", 0, 0), "ada");
    cr_expect_str_eq(cell("", 2, 2), "  ");
    cr_expect_str_eq(cell("adalovelace", 3, 3), "ada");
    cr_expect_str_eq(cell("adalovelace", 3, 0), "adalovelace");
    cr_expect_str_eq(cell("Zoë", 5, 5), "Zoë  ");
    cr_expect_str_eq(cell("e\u0301a", 3, 3), "e\u0301a ", "a mark stands on what is before it");
    cr_expect_str_eq(cell("李明", 5, 5), "李明 ", "two columns each");
}

Test(cell, no_character_is_cut)
{
    cr_expect_str_eq(cell("李明", 3, 3), "李 ");
    cr_expect_str_eq(cell("a😀😀", 4, 4), "a😀 ");
    char text[4 * RC_CELL_BYTES];
    for (size_t i = 0; i + 4 < sizeof(text); i += 4) {
        memcpy(text + i, "😀", 5);
    }
    const char *long_one = cell(text, 0, 0);
    cr_expect_eq(strlen(long_one) % 4, 0);
    cr_expect_geq(strlen(long_one), RC_CELL_BYTES - 5);
    cr_expect_lt(strlen(cell("a", RC_CELL_BYTES * 2, 0)), RC_CELL_BYTES);
}

Test(cell, what_is_sent_to_a_terminal_is_text)
{
    cr_expect_str_eq(cell("\033[31mred", 0, 0), "\ufffd[31mred");
    cr_expect_str_eq(cell("a\xc2\x9b"
                          "2Jb\x7f",
                          0, 0),
                     "a\ufffd2Jb\ufffd", "a control of one character, too");
    cr_expect_str_eq(cell("a\nb\tc", 0, 0), "a\ufffd"
                                            "b\ufffd"
                                            "c");
    cr_expect_str_eq(cell("\u202egnp.exe\u2066", 0, 0), "\ufffdgnp.exe\ufffd", "nor is what follows turned around");
    cr_expect_str_eq(cell("a\xff\xc0\xaf\xe2\x82", 8, 8), "a\ufffd\ufffd\ufffd\ufffd\ufffd  ");
}

Test(cell, what_is_not_a_column_is_written_whole)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    for (int i = 0; i < 1000; i++) {
        rc_cell_write(out, "\"\xc2\x9b\"é");
    }
    cr_assert_eq(fclose(out), 0);
    cr_expect_eq(bytes, 1000 * strlen("\"\ufffd\"é"));
    cr_expect_eq(strncmp(text, "\"\ufffd\"é\"", 8), 0);
    free(text);
}
