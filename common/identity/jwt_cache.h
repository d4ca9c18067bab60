/*
 * jwt_cache: tokens that were verified, so that a client that comes again with the same one costs no public-key operation.
 *
 * One for each worker, owned by it, one thread, private memory. A bounded table of sets: when one is full its oldest entry goes.
 * Found by a keyed 256-bit digest of the whole token, which is compared in full, so that nobody can make two that meet. Entries of
 * another generation of keys or policy, or past their `exp`, are never found. Tokens under secrets (HS…) are not kept: checking them
 * again costs no more than looking.
 */
#ifndef RC_COMMON_IDENTITY_JWT_CACHE_H
#define RC_COMMON_IDENTITY_JWT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/identity/jwt.h"

#define RC_JWT_CACHE_CLAIMS_MAX 2048u /* larger ones are not kept */

struct rc_jwt_cache;

/* Room for `entries` (rounded up to a power of two, at least 4). Claims are allocated as they come: at most 2 KiB for each. NULL: no
 * memory, or no randomness. */
struct rc_jwt_cache *rc_jwt_cache_open(uint32_t entries);
void rc_jwt_cache_close(struct rc_jwt_cache *cache); /* NULL is fine */

/* Fills `result` as rc_jwt_verify did when it found the token good for `row` under `generation`, if that is remembered and its time has
 * not come (now_s < exp + leeway_s). */
bool rc_jwt_cache_find(struct rc_jwt_cache *cache, uint32_t row, uint64_t generation, struct rc_span token,
                       int64_t now_s, struct rc_jwt_result *result);

/* Remembers a good result. `leeway_s` of the policy. Never fails: what cannot be kept is verified again. */
void rc_jwt_cache_keep(struct rc_jwt_cache *cache, uint32_t row, uint64_t generation, struct rc_span token,
                       int64_t now_s, int64_t leeway_s, const struct rc_jwt_result *result);

#endif
