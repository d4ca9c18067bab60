/*
 * Masking, 32 bytes at a time. The key's period of 4 divides every step, so the rotated key serves the whole payload
 * and unaligned starts need nothing special.
 */
#include "worker/ws/mask.h"

#include <string.h>

/* The key as it applies to a payload that starts at `phase`: byte 0 in memory is key byte `phase`. */
static uint32_t mask_rotated(uint32_t key, size_t phase)
{
    unsigned bits = (unsigned)(phase & 3) * 8;
    if (bits == 0) {
        return key;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return key >> bits | key << (32 - bits);
#else
    return key << bits | key >> (32 - bits);
#endif
}

void rc_ws_mask(uint8_t *bytes, size_t n, uint32_t key, size_t phase)
{
    uint32_t key4 = mask_rotated(key, phase);
    uint64_t key8 = (uint64_t)key4 << 32 | key4;

    /* memcpy is the load and store that may be unaligned; four words a round become vector instructions. */
    for (; n >= 32; n -= 32, bytes += 32) {
        uint64_t words[4];
        memcpy(words, bytes, sizeof(words));
        for (int i = 0; i < 4; i++) {
            words[i] ^= key8;
        }
        memcpy(bytes, words, sizeof(words));
    }
    for (; n >= 8; n -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof(word));
        word ^= key8;
        memcpy(bytes, &word, sizeof(word));
    }
    if (n >= 4) {
        uint32_t word;
        memcpy(&word, bytes, sizeof(word));
        word ^= key4;
        memcpy(bytes, &word, sizeof(word));
        n -= 4;
        bytes += 4;
    }
    uint8_t key_bytes[4];
    memcpy(key_bytes, &key4, sizeof(key_bytes));
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= key_bytes[i];
    }
}
