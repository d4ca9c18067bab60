/*
 * hash: of strings that others choose, under a secret of this boot.
 *
 * Channels, users, keys and whatever else clients name are found in tables by this hash. Under one that everybody can compute, a
 * client picks names that collide by the million, and each look-up walks all of them. So it is XXH3 with a random secret: of the full
 * 192 bytes (XXH3_64bits_withSecret), not of a 64-bit seed, because with a seed the secret of short input is the public one plus or
 * minus a number, and because a secret's lanes are independent: input that takes one lane out of the sum (x ^ lane == 0) has to guess
 * 64 bits of it. Hashes never leave the host, so that there is nothing to learn the secret from.
 *
 * All processes that exchange hashes have to have the same secret: the acceptor's, in the control segment (hash_secret), which its
 * children adopt before they hash anything. It lives as long as the control segment and what is kept there by hash. A process that
 * adopts none draws its own. One per process, as the log is; one thread.
 */
#ifndef RC_COMMON_BASE_HASH_H
#define RC_COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define RC_HASH_SECRET_BYTES 192u

/* Takes another process's secret over. Programmer errors: a secret of zeros is none, and a process that has hashed already would not
 * find again what it has. */
void rc_hash_adopt(const uint8_t secret[RC_HASH_SECRET_BYTES]);

/* This process's secret, for others to adopt. */
const uint8_t *rc_hash_secret(void);

/* Never 0. */
uint64_t rc_hash(const void *bytes, size_t count);

/* XXH3 without a secret: the same everywhere and always, for names that operators choose and other hosts compute as well. Not for a
 * table whose keys a client can name. */
uint64_t rc_hash_public(const void *bytes, size_t count);

#endif
