/* jwt_cache: see jwt_cache.h. */
#include "common/identity/jwt_cache.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAYS 4u
#define DIGEST_BYTES 32u
#define ENTRIES_MAX (1u << 20)

struct entry {
    uint8_t digest[DIGEST_BYTES];
    uint64_t generation;
    int64_t kept_s;  /* when it was verified: a clock that was set back behind it says nothing about nbf */
    int64_t until_s; /* exp and leeway; RC_JWT_FOREVER */
    int64_t exp_s;
    int64_t iat_s;
    uint64_t used; /* a count, the larger the later; 0 = empty */
    uint32_t row;
    uint32_t alg; /* enum rc_jwt_alg */
    uint32_t claims_bytes;
    uint8_t *claims; /* owned */
};

struct rc_jwt_cache {
    uint8_t secret[DIGEST_BYTES]; /* of the digest: nobody outside can line tokens up */
    uint32_t set_mask;
    uint64_t uses;
    struct entry entries[]; /* sets of WAYS */
};

struct rc_jwt_cache *rc_jwt_cache_open(uint32_t entries)
{
    uint32_t sets = 1;
    while (sets * WAYS < entries && sets * WAYS < ENTRIES_MAX) {
        sets *= 2;
    }
    struct rc_jwt_cache *cache = calloc(1, sizeof(*cache) + (size_t)sets * WAYS * sizeof(cache->entries[0]));
    if (cache != NULL && getrandom(cache->secret, sizeof(cache->secret), 0) != (ssize_t)sizeof(cache->secret)) {
        free(cache);
        return NULL;
    }
    if (cache != NULL) {
        cache->set_mask = sets - 1;
    }
    return cache;
}

static void entry_drop(struct entry *entry)
{
    free(entry->claims);
    *entry = (struct entry){0};
}

void rc_jwt_cache_close(struct rc_jwt_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < ((size_t)cache->set_mask + 1) * WAYS; i++) {
        entry_drop(&cache->entries[i]);
    }
    free(cache);
}

static bool digest_of(const struct rc_jwt_cache *cache, struct rc_span token, uint8_t digest[DIGEST_BYTES])
{
    size_t bytes = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, cache->secret, sizeof(cache->secret), token.bytes, token.count,
                     digest, DIGEST_BYTES, &bytes) != NULL &&
           bytes == DIGEST_BYTES;
}

static struct entry *set_of(struct rc_jwt_cache *cache, const uint8_t digest[DIGEST_BYTES])
{
    uint32_t number;
    memcpy(&number, digest, sizeof(number));
    return &cache->entries[(size_t)(number & cache->set_mask) * WAYS];
}

static bool entry_alive(const struct entry *entry, uint64_t generation, int64_t now_s)
{
    return entry->used != 0 && entry->generation == generation && now_s < entry->until_s && now_s >= entry->kept_s;
}

bool rc_jwt_cache_find(struct rc_jwt_cache *cache, uint32_t row, uint64_t generation, struct rc_span token,
                       int64_t now_s, struct rc_jwt_result *result)
{
    uint8_t digest[DIGEST_BYTES];
    if (!digest_of(cache, token, digest)) {
        return false;
    }
    struct entry *set = set_of(cache, digest);
    for (uint32_t i = 0; i < WAYS; i++) {
        struct entry *entry = &set[i];
        if (entry->row != row || !entry_alive(entry, generation, now_s) ||
            CRYPTO_memcmp(entry->digest, digest, sizeof(digest)) != 0) {
            continue;
        }
        entry->used = ++cache->uses;
        result->refusal = RC_JWT_GOOD;
        result->kid_unknown = false;
        result->alg = (enum rc_jwt_alg)entry->alg;
        result->exp_s = entry->exp_s;
        result->iat_s = entry->iat_s;
        result->claims_bytes = entry->claims_bytes;
        memcpy(result->claims, entry->claims, entry->claims_bytes);
        return true;
    }
    return false;
}

/* Its place: its own, else one that is dead, else the one that was used longest ago. */
static struct entry *place_find(struct entry *set, uint32_t row, uint64_t generation, int64_t now_s,
                                const uint8_t digest[DIGEST_BYTES])
{
    struct entry *oldest = &set[0];
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].row == row && memcmp(set[i].digest, digest, DIGEST_BYTES) == 0) {
            return &set[i];
        }
    }
    for (uint32_t i = 0; i < WAYS; i++) {
        /* Of another row with another generation it may be alive still; it is looked for less than it is replaced. */
        if (!entry_alive(&set[i], generation, now_s)) {
            return &set[i];
        }
        oldest = set[i].used < oldest->used ? &set[i] : oldest;
    }
    return oldest;
}

void rc_jwt_cache_keep(struct rc_jwt_cache *cache, uint32_t row, uint64_t generation, struct rc_span token,
                       int64_t now_s, int64_t leeway_s, const struct rc_jwt_result *result)
{
    uint8_t digest[DIGEST_BYTES];
    if (result->refusal != RC_JWT_GOOD || result->kid_unknown || result->claims_bytes > RC_JWT_CACHE_CLAIMS_MAX ||
        rc_jwt_algs[result->alg].key == RC_JWT_KEY_SECRET || !digest_of(cache, token, digest)) {
        return;
    }
    uint8_t *claims = malloc(result->claims_bytes + 1);
    if (claims == NULL) {
        return;
    }
    struct entry *entry = place_find(set_of(cache, digest), row, generation, now_s, digest);
    entry_drop(entry);
    memcpy(entry->digest, digest, sizeof(digest));
    memcpy(claims, result->claims, result->claims_bytes);
    entry->claims = claims;
    entry->claims_bytes = result->claims_bytes;
    entry->row = row;
    entry->generation = generation;
    entry->alg = result->alg;
    entry->exp_s = result->exp_s;
    entry->iat_s = result->iat_s;
    entry->kept_s = now_s;
    entry->until_s = result->exp_s == RC_JWT_FOREVER ? RC_JWT_FOREVER : result->exp_s + leeway_s;
    entry->used = ++cache->uses;
}
