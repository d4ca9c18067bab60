/*
 * Masking against the RFC's own formula, over lengths, phases and alignments.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "worker/ws/mask.h"

static const uint8_t key_bytes[4] = {0x37, 0xFA, 0x21, 0x3D};

static uint32_t key(void)
{
    uint32_t value;
    memcpy(&value, key_bytes, sizeof(value));
    return value;
}

Test(ws_mask, example_of_rfc_6455_5_7)
{
    uint8_t bytes[] = {0x7F, 0x9F, 0x4D, 0x51, 0x58};
    rc_ws_mask(bytes, sizeof(bytes), key(), 0);
    cr_assert_arr_eq(bytes, "Hello", 5);
}

Test(ws_mask, every_length_phase_and_alignment_follows_the_formula)
{
    uint8_t bytes[256];
    for (size_t n = 0; n <= 130; n++) {
        for (size_t phase = 0; phase < 9; phase++) {
            for (size_t start = 0; start < 17; start++) {
                memset(bytes, 0x5A, sizeof(bytes));
                for (size_t i = 0; i < n; i++) {
                    bytes[start + i] = (uint8_t)i;
                }
                rc_ws_mask(bytes + start, n, key(), phase);
                for (size_t i = 0; i < sizeof(bytes); i++) {
                    bool inside = i >= start && i < start + n;
                    uint8_t expected =
                        inside ? (uint8_t)((i - start) ^ key_bytes[(i - start + phase) % 4]) : (uint8_t)0x5A;
                    if (bytes[i] != expected) {
                        cr_assert_eq(bytes[i], expected, "n %zu phase %zu start %zu at %zu", n, phase, start, i);
                    }
                }
            }
        }
    }
}

Test(ws_mask, pieces_with_their_phase_equal_the_whole)
{
    uint8_t whole[100], pieces[100];
    for (size_t i = 0; i < sizeof(whole); i++) {
        whole[i] = pieces[i] = (uint8_t)(i * 7);
    }
    rc_ws_mask(whole, sizeof(whole), key(), 0);
    for (size_t split = 0; split <= sizeof(whole); split++) {
        for (size_t i = 0; i < sizeof(whole); i++) {
            pieces[i] = (uint8_t)(i * 7);
        }
        rc_ws_mask(pieces, split, key(), 0);
        rc_ws_mask(pieces + split, sizeof(pieces) - split, key(), split);
        cr_assert_arr_eq(pieces, whole, sizeof(whole), "split %zu", split);
    }
}

Test(ws_mask, twice_is_the_original)
{
    uint8_t *bytes = malloc(1001);
    for (size_t i = 0; i < 1001; i++) {
        bytes[i] = (uint8_t)(i * 31);
    }
    rc_ws_mask(bytes, 1001, key(), 3);
    rc_ws_mask(bytes, 1001, key(), 3);
    for (size_t i = 0; i < 1001; i++) {
        cr_assert_eq(bytes[i], (uint8_t)(i * 31));
    }
    free(bytes);
}
