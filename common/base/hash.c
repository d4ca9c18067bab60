/* hash: see hash.h. */
#include "common/base/hash.h"

#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/base/check.h"

_Static_assert(RC_HASH_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN && RC_HASH_SECRET_BYTES <= 256,
               "long enough for XXH3, and never cut short by getrandom");

static struct {
    uint8_t bytes[RC_HASH_SECRET_BYTES] __attribute__((aligned(64)));
    bool known;
} secret;

static void secret_draw(void)
{
    RC_ASSERT(getrandom(secret.bytes, sizeof(secret.bytes), 0) == (ssize_t)sizeof(secret.bytes));
    secret.known = true;
}

void rc_hash_adopt(const uint8_t bytes[RC_HASH_SECRET_BYTES])
{
    static const uint8_t none[RC_HASH_SECRET_BYTES];
    RC_ASSERT(memcmp(bytes, none, sizeof(none)) != 0);
    RC_ASSERT(!secret.known || memcmp(bytes, secret.bytes, sizeof(secret.bytes)) == 0);
    memcpy(secret.bytes, bytes, sizeof(secret.bytes));
    secret.known = true;
}

const uint8_t *rc_hash_secret(void)
{
    if (!secret.known) {
        secret_draw();
    }
    return secret.bytes;
}

uint64_t rc_hash(const void *bytes, size_t count)
{
    if (RC_UNLIKELY(!secret.known)) {
        secret_draw();
    }
    const uint64_t hash = XXH3_64bits_withSecret(bytes, count, secret.bytes, sizeof(secret.bytes));
    return hash != 0 ? hash : 1;
}

uint64_t rc_hash_public(const void *bytes, size_t count)
{
    return XXH3_64bits(bytes, count);
}
