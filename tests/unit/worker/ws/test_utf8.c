/*
 * UTF-8 validation against a reference that decodes code points: every short sequence, every split, every alignment.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/ws/utf8.h"

/*
 * The reference: walks code points by arithmetic. Returns 0 = valid and complete, 1 = valid so far, -1 = invalid. What
 * a cut code point may still become is asked by trying the least and the greatest completion.
 */
static int reference(const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    while (at < n) {
        uint8_t lead = bytes[at];
        size_t length = lead < 0x80                   ? 1
                        : lead >= 0xC0 && lead < 0xE0 ? 2
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xF0 && lead < 0xF8 ? 4
                                                      : 0;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (length == 0) {
            return -1;
        }
        uint32_t low = length == 1 ? lead : lead & (0xFFu >> (length + 1)), high = low;
        size_t have = n - at < length ? n - at : length;
        for (size_t i = 1; i < length; i++) {
            uint8_t low_byte = i < have ? bytes[at + i] : 0x80, high_byte = i < have ? bytes[at + i] : 0xBF;
            if ((low_byte & 0xC0) != 0x80) {
                return -1;
            }
            low = low << 6 | (low_byte & 0x3F);
            high = high << 6 | (high_byte & 0x3F);
        }
        if (high < least[length] || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF)) {
            return -1;
        }
        if (have < length) {
            return 1;
        }
        at += length;
    }
    return 0;
}

static int validate(const uint8_t *bytes, size_t n)
{
    uint8_t state = 0;
    if (rc_utf8_feed(&state, bytes, n) < 0) {
        return -1;
    }
    return rc_utf8_complete(state) ? 0 : 1;
}

/* The same in two pieces. */
static int validate_split(const uint8_t *bytes, size_t n, size_t split)
{
    uint8_t state = 0;
    if (rc_utf8_feed(&state, bytes, split) < 0 || rc_utf8_feed(&state, bytes + split, n - split) < 0) {
        return -1;
    }
    return rc_utf8_complete(state) ? 0 : 1;
}

Test(ws_utf8, every_sequence_of_up_to_three_bytes_is_judged_as_the_reference_does)
{
    /* ASCII leads only repeat what shorter sequences show. */
    for (uint32_t code = 0x7F0000; code < 1u << 24; code++) {
        uint8_t bytes[3] = {(uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code};
        if (validate(bytes, 3) != reference(bytes, 3)) {
            cr_assert_eq(validate(bytes, 3), reference(bytes, 3), "%06x", code);
        }
    }
}

Test(ws_utf8, every_four_byte_lead_is_judged_as_the_reference_does)
{
    static const uint8_t interesting[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (unsigned lead = 0xE0; lead <= 0xFF; lead++) {
        for (unsigned second = 0; second < 256; second++) {
            for (size_t i = 0; i < sizeof(interesting); i++) {
                for (size_t j = 0; j < sizeof(interesting); j++) {
                    uint8_t bytes[4] = {(uint8_t)lead, (uint8_t)second, interesting[i], interesting[j]};
                    for (size_t n = 1; n <= 4; n++) {
                        cr_assert_eq(validate(bytes, n), reference(bytes, n), "%02x %02x %02x %02x, first %zu", lead,
                                     second, interesting[i], interesting[j], n);
                    }
                }
            }
        }
    }
}

Test(ws_utf8, known_texts)
{
    static const struct {
        const char *text;
        bool valid;
    } vectors[] = {
        {"", true},
        {"Hello-\xC2\xB5@\xC3\x9F\xC3\xB6\xC3\xA4\xC3\xBC\xC3\xA0\xC3\xA1-UTF-8!!", true},
        {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5", true},
        {"\xF4\x8F\xBF\xBF", true},
        {"\xEF\xBF\xBF\xEF\xBF\xBE", true}, /* non-characters are code points */
        {"\xED\x9F\xBF\xEE\x80\x80", true},
        {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80\x65\x64\x69\x74\x65\x64", false},
        {"\xF4\x90\x80\x80", false},
        {"\xC0\xAF", false},
        {"\xE0\x80\xAF", false},
        {"\xF0\x80\x80\xAF", false},
        {"\xED\xBF\xBF", false},
        {"\xF8\x88\x80\x80\x80", false},
        {"\xFE", false},
        {"\x80", false},
        {"\xE2\x82", false}, /* incomplete */
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        cr_expect_eq(rc_utf8_valid((const uint8_t *)vectors[i].text, strlen(vectors[i].text)), vectors[i].valid,
                     "vector %zu", i);
    }
}

/* Autobahn 6.4: a text must fail at the first byte that nothing could make good. */
Test(ws_utf8, fails_at_the_first_impossible_byte)
{
    static const uint8_t text[] = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80\x65";
    uint8_t state = 0;
    for (size_t i = 0; i < 12; i++) {
        cr_assert_eq(rc_utf8_feed(&state, text + i, 1), 0);
    }
    cr_assert_not(rc_utf8_complete(state));
    cr_assert_eq(rc_utf8_feed(&state, text + 12, 1), -EILSEQ);
}

static size_t random_text(uint8_t *out, size_t n, unsigned *seed)
{
    size_t at = 0;
    int ascii_share = rand_r(seed) % 4;
    while (at + 4 <= n) {
        uint32_t code = (uint32_t)rand_r(seed);
        switch (rand_r(seed) % 4 < ascii_share ? 0 : rand_r(seed) % 4) {
        case 0:
            out[at++] = (uint8_t)(code % 0x80);
            break;
        case 1:
            code = 0x80 + code % 0x780;
            out[at++] = (uint8_t)(0xC0 | code >> 6);
            out[at++] = (uint8_t)(0x80 | (code & 0x3F));
            break;
        case 2:
            code = 0x800 + code % 0xF800;
            if (code >= 0xD800 && code < 0xE000) {
                code -= 0x800;
            }
            out[at++] = (uint8_t)(0xE0 | code >> 12);
            out[at++] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
            out[at++] = (uint8_t)(0x80 | (code & 0x3F));
            break;
        default:
            code = 0x10000 + code % 0x100000;
            out[at++] = (uint8_t)(0xF0 | code >> 18);
            out[at++] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
            out[at++] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
            out[at++] = (uint8_t)(0x80 | (code & 0x3F));
        }
    }
    return at;
}

Test(ws_utf8, long_texts_at_every_split_and_with_every_byte_spoilt)
{
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        size_t room = 4 + (size_t)rand_r(&seed) % 200;
        uint8_t *text = malloc(room);
        size_t n = random_text(text, room, &seed);
        cr_assert_eq(validate(text, n), 0);
        for (size_t split = 0; split <= n; split++) {
            cr_assert_eq(validate_split(text, n, split), 0, "round %d split %zu", round, split);
        }
        for (size_t i = 0; i < n; i++) {
            uint8_t kept = text[i];
            text[i] = (uint8_t)rand_r(&seed);
            size_t start = (size_t)rand_r(&seed) % 20 < n ? (size_t)rand_r(&seed) % (n < 20 ? n : 20) : 0;
            int expected = reference(text + start, n - start);
            cr_assert_eq(validate(text + start, n - start), expected, "round %d byte %zu start %zu", round, i, start);
            size_t split = (size_t)rand_r(&seed) % (n - start + 1);
            cr_assert_eq(validate_split(text + start, n - start, split), expected, "round %d byte %zu split %zu", round,
                         i, split);
            text[i] = kept;
        }
        free(text);
    }
}

/* A piece that ends inside a code point, whatever the block structure around it. */
Test(ws_utf8, a_cut_at_every_place_of_a_block_is_remembered)
{
    static const char *const points[] = {"\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t p = 0; p < 3; p++) {
        for (size_t before = 0; before < 140; before++) {
            for (size_t cut = 1; cut < strlen(points[p]); cut++) {
                uint8_t bytes[160];
                memset(bytes, 'x', sizeof(bytes));
                memcpy(bytes, "\xC3\xA4", 2); /* not ASCII from the start, so that the blocks are checked */
                size_t n = 2 + before + strlen(points[p]);
                memcpy(bytes + 2 + before, points[p], strlen(points[p]));
                cr_assert_eq(validate(bytes, 2 + before + cut), 1);
                cr_assert_eq(validate_split(bytes, n, 2 + before + cut), 0);
                bytes[2 + before + cut] = 'x';
                cr_assert_eq(validate(bytes, n), -1);
                cr_assert_eq(validate_split(bytes, n, 2 + before + cut), -1);
            }
        }
    }
}
