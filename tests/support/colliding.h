/*
 * colliding: names that have one hash under XXH3 without a secret, as many as are wanted.
 *
 * XXH3 multiplies the two words of each half of a 32-byte name, each XORed with a word of a secret that everybody knows. A first word
 * that is that secret's makes the product zero, whatever the second one is. Needs nothing, cannot fail.
 */
#ifndef RC_TESTS_SUPPORT_COLLIDING_H
#define RC_TESTS_SUPPORT_COLLIDING_H

#include <stdint.h>
#include <string.h>

#define COLLIDING_BYTES 32u

static inline const char *colliding_name(char name[COLLIDING_BYTES], uint64_t number)
{
    static const uint8_t known[8] = {0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe};
    memset(name, 'x', COLLIDING_BYTES);
    memcpy(name, known, sizeof(known));
    memcpy(name + sizeof(known), &number, sizeof(number));
    return name;
}

#endif
