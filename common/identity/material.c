/* material: see material.h. */
#include "common/identity/material.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

/* One key of `data`; kid and key follow, and up to three bytes of nothing. */
struct record {
    uint32_t type;
    uint32_t algs;
    uint32_t kid_bytes;
    uint32_t key_bytes;
};

_Static_assert(sizeof(struct rc_jwt_material) % 8 == 0, "the board copies it in words");

void rc_jwt_material_clear(struct rc_jwt_material *material)
{
    OPENSSL_cleanse(material, sizeof(*material));
}

int rc_jwt_material_append(struct rc_jwt_material *material, const struct rc_jwt_key *key, struct rc_err *err)
{
    const struct record record = {.type = key->type,
                                  .algs = key->algs,
                                  .kid_bytes = (uint32_t)key->kid.count,
                                  .key_bytes = (uint32_t)key->key.count};
    const size_t bytes = sizeof(record) + ((key->kid.count + key->key.count + 3) & ~(size_t)3);
    if (material->count == RC_JWT_KEYS_MAX || bytes > sizeof(material->data) - material->bytes) {
        return rc_err_set(err, -ENOSPC, "too many keys: %u are taken, %u KiB together", RC_JWT_KEYS_MAX,
                          RC_JWT_MATERIAL_BYTES / 1024);
    }
    uint8_t *at = material->data + material->bytes;
    memset(at, 0, bytes);
    memcpy(at, &record, sizeof(record));
    at += sizeof(record);
    if (key->kid.count > 0) {
        memcpy(at, key->kid.bytes, key->kid.count);
    }
    memcpy(at + key->kid.count, key->key.bytes, key->key.count);
    material->bytes += (uint32_t)bytes;
    material->count++;
    return 0;
}

int rc_jwt_material_next(const struct rc_jwt_material *material, uint32_t *at, struct rc_jwt_key *key)
{
    struct record record;
    const uint32_t end = material->bytes;
    if (end > sizeof(material->data) || *at > end) {
        return -EBADMSG;
    }
    if (*at == end) {
        return 0;
    }
    if (end - *at < sizeof(record)) {
        return -EBADMSG;
    }
    memcpy(&record, material->data + *at, sizeof(record));
    const uint64_t bytes = ((uint64_t)record.kid_bytes + record.key_bytes + 3) & ~UINT64_C(3);
    if (bytes > end - *at - sizeof(record) || record.type >= RC_JWT_KEY_TYPE_COUNT || record.key_bytes == 0 ||
        record.algs == 0 || (record.algs & ~rc_jwt_algs_of((enum rc_jwt_key_type)record.type)) != 0) {
        return -EBADMSG;
    }
    const uint8_t *kid = material->data + *at + sizeof(record);
    key->type = (enum rc_jwt_key_type)record.type;
    key->algs = record.algs;
    key->kid = rc_span_of(kid, record.kid_bytes);
    key->key = rc_span_of(kid + record.kid_bytes, record.key_bytes);
    *at += (uint32_t)(sizeof(record) + bytes);
    return 1;
}

bool rc_jwt_material_equal(const struct rc_jwt_material *a, const struct rc_jwt_material *b)
{
    return a->count == b->count && a->bytes == b->bytes && a->bytes <= sizeof(a->data) &&
           CRYPTO_memcmp(a->data, b->data, a->bytes) == 0;
}

/* -------------------------------------------------------------------------------------------------------- secrets */

int rc_jwt_secret_check(struct rc_span secret, struct rc_err *err)
{
    if (rc_span_starts_with(secret, RC_SPAN("-----BEGIN "))) {
        return rc_err_set(err, -EINVAL, "the secret is a PEM text: public keys belong into key_file");
    }
    if (secret.count < RC_JWT_SECRET_BYTES_MIN || secret.count > RC_JWT_SECRET_BYTES_MAX) {
        return rc_err_set(
            err, -EINVAL,
            "the secret has %zu bytes: %u to %u are taken, as in `openssl rand -base64 48` (RFC 7518 3.2)",
            secret.count, RC_JWT_SECRET_BYTES_MIN, RC_JWT_SECRET_BYTES_MAX);
    }
    return 0;
}

int rc_jwt_material_add_secret(struct rc_jwt_material *material, struct rc_span secret, struct rc_err *err)
{
    const struct rc_jwt_key key = {.type = RC_JWT_KEY_SECRET, .algs = rc_jwt_algs_of(RC_JWT_KEY_SECRET), .key = secret};
    const int rc = rc_jwt_secret_check(secret, err);
    return rc < 0 ? rc : rc_jwt_material_append(material, &key, err);
}
