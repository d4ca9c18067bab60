/*
 * cell: names and texts of clients as part of what a terminal shows.
 *
 * What a client chose is neither to move the cursor nor to turn the line around, and a column stays one whatever is written in it: widths are
 * counted in columns of a terminal and not in bytes, and no character is cut. Controls, line and paragraph separators, what changes the
 * direction of the characters behind it (UAX #9: also that of the columns that follow), and what is no UTF-8 are shown as U+FFFD.
 *
 * Pure but for rc_cell_write, which writes to `out` and leaves its errors there. With --json nothing goes this way.
 */
#ifndef RC_ACCEPTOR_CONSOLE_CELL_H
#define RC_ACCEPTOR_CONSOLE_CELL_H

#include <stdio.h>

#define RC_CELL_BYTES 1024u /* the longest name, each of its bytes shown as U+FFFD */

struct rc_cell {
    char text[RC_CELL_BYTES];
};

/* `text` in `columns` at the least, filled up with spaces, and in `most` at the most (0: as far as there is room). Returns cell->text. */
const char *rc_cell(struct rc_cell *cell, const char *text, unsigned columns, unsigned most);

/* All of `text`, however long. */
void rc_cell_write(FILE *out, const char *text);

#endif
