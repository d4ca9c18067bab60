/* cell: see cell.h. */
#include "acceptor/console/cell.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/utf8_char.h"

#define CELL_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct range {
    uint32_t first;
    uint32_t last;
};

static bool ranges_have(const struct range *ranges, size_t count, uint32_t code)
{
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        found = code >= ranges[i].first && code <= ranges[i].last;
    }
    return found;
}

/* Not to be sent to a terminal. */
static bool is_hidden(uint32_t code)
{
    static const struct range hidden[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},
                                          {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
    return ranges_have(hidden, RC_ARRAY_COUNT(hidden), code);
}

/* Columns of a character: those of East Asia and pictures take two (UAX #11), marks that stand on the one before none. */
static unsigned width_of(uint32_t code)
{
    static const struct range none[] = {{0x300, 0x36f},   {0x200b, 0x200d}, {0x20d0, 0x20ff},
                                        {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}};
    static const struct range wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
                                        {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                                        {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    return ranges_have(none, RC_ARRAY_COUNT(none), code) ? 0 : ranges_have(wide, RC_ARRAY_COUNT(wide), code) ? 2 : 1;
}

/* A character as it is shown. */
struct shown {
    const char *bytes; /* of the text, or a constant */
    size_t count;
    unsigned columns;
};

/* The next one of `*text`, which is moved behind it. */
static struct shown next_shown(const char **text)
{
    uint32_t code = 0;
    const size_t bytes = rc_utf8_char((const uint8_t *)*text, strnlen(*text, 4), &code);
    struct shown shown = {.bytes = *text, .count = bytes};
    if (bytes == 0 || is_hidden(code)) {
        shown = (struct shown){.bytes = CELL_REPLACEMENT, .count = strlen(CELL_REPLACEMENT), .columns = 1};
    } else {
        shown.columns = width_of(code);
    }
    *text += bytes > 0 ? bytes : 1;
    return shown;
}

const char *rc_cell(struct rc_cell *cell, const char *text, unsigned columns, unsigned most)
{
    size_t at = 0;
    unsigned used = 0;
    while (*text != '\0') {
        const struct shown shown = next_shown(&text);
        if ((most != 0 && used + shown.columns > most) || at + shown.count >= sizeof(cell->text)) {
            break;
        }
        memcpy(cell->text + at, shown.bytes, shown.count);
        at += shown.count;
        used += shown.columns;
    }
    while (used < columns && at + 1 < sizeof(cell->text)) {
        cell->text[at++] = ' ';
        used++;
    }
    cell->text[at] = '\0';
    return cell->text;
}

void rc_cell_write(FILE *out, const char *text)
{
    while (*text != '\0') {
        const struct shown shown = next_shown(&text);
        (void)fwrite(shown.bytes, 1, shown.count, out);
    }
}
