/* A text that grows: what is put comes out, strings are JSON, and what does not fit fails the whole, once. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "worker/http/text.h"

static struct rc_text text;

static void free_text(void)
{
    rc_text_free(&text);
    cr_assert(text.bytes == NULL && text.count == 0 && text.capacity == 0 && !text.failed);
}

TestSuite(api_text, .fini = free_text);

static void expect(const char *wanted)
{
    cr_assert_not(text.failed);
    cr_assert(text.count == strlen(wanted) && memcmp(text.bytes, wanted, text.count) == 0, "%.*s instead of %s",
              (int)text.count, text.bytes, wanted);
}

Test(api_text, pieces_one_behind_the_other)
{
    rc_text_put(&text, "{\"n\":%d,", 7);
    rc_text_put(&text, "%s", "");
    rc_text_put_json(&text, RC_SPAN("a\"b\\\n\x01\xc3\xa4"));
    rc_text_put(&text, ":%.1f}", 1.25);
    expect("{\"n\":7,\"a\\\"b\\\\\\n\\u0001\xc3\xa4\":1.2}");
    rc_text_free(&text);
    rc_text_put_json(&text, (struct rc_span){0});
    expect("\"\"");
}

/* Whatever its length is beside the block's. */
Test(api_text, every_length_around_a_block)
{
    char piece[2100];
    for (size_t count = 1000; count < sizeof(piece); count++) {
        memset(piece, 'x', count);
        piece[count] = '\0';
        rc_text_put(&text, "%s", piece);
        expect(piece);
        rc_text_put(&text, "y");
        cr_assert(text.count == count + 1 && text.bytes[count] == 'y');
        rc_text_free(&text);
    }
}

Test(api_text, too_much_fails_and_stays_failed)
{
    char *piece = malloc((1u << 20) + 1);
    cr_assert(piece != NULL);
    memset(piece, 'x', 1u << 20);
    piece[1u << 20] = '\0';
    for (int i = 0; i < 7; i++) {
        rc_text_put(&text, "%s", piece);
    }
    cr_assert(!text.failed && text.count == 7u << 20);
    rc_text_put_json(&text, rc_span_of(piece, 1u << 20)); /* two bytes too many */
    cr_assert(text.failed && text.count == 7u << 20);
    rc_text_put(&text, "x");
    rc_text_put_json(&text, RC_SPAN("x"));
    cr_assert(text.failed && text.count == 7u << 20, "nothing is put behind a hole");
    free(piece);
}

Test(api_text, bytes_stand_as_they_are_and_count_against_the_bound)
{
    static const uint8_t bytes[] = {0, 1, '%', 's', 255};
    rc_text_put(&text, "a");
    rc_text_put_bytes(&text, bytes, sizeof(bytes));
    rc_text_put_bytes(&text, NULL, 0);
    cr_assert(!text.failed && text.count == 1 + sizeof(bytes));
    cr_assert_eq(memcmp(text.bytes + 1, bytes, sizeof(bytes)), 0);
    rc_text_put_bytes(&text, bytes, RC_TEXT_BYTES_MAX);
    cr_assert(text.failed && text.count == 1 + sizeof(bytes));
}
