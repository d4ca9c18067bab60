/* tls_record: see tls_record.h. */
#include "worker/io/tls_record.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/store/order.h"

#define PLAIN_MAX 16384u
#define INNER_MAX (PLAIN_MAX + 1u)            /* plaintext, its type, and padding (RFC 8446 5.4) */
#define RECORDS_A_KEY_MAX (UINT64_C(1) << 24) /* RFC 8446 5.5: 2^24.5 of full size */
#define KEY_UPDATE_BYTES 5u                   /* RFC 8446 4: type, three bytes of length, one of content */
#define KEY_UPDATE 24u
#define LABEL_MAX 64u

/* RFC 8446 B.4; those with CCM are left to OpenSSL: no client in use prefers them. */
struct suite {
    uint32_t number;
    uint8_t key_bytes;
    uint8_t secret_bytes;
    const EVP_CIPHER *(*cipher)(void);
    const EVP_MD *(*digest)(void);
};

static const struct suite suites[] = {
    {0x1301, 16, 32, EVP_aes_128_gcm, EVP_sha256},
    {0x1302, 32, 48, EVP_aes_256_gcm, EVP_sha384},
    {0x1303, 32, 32, EVP_chacha20_poly1305, EVP_sha256},
};

struct rc_tls_ciphers {
    EVP_CIPHER_CTX *seal[RC_ARRAY_COUNT(suites)]; /* owned */
    EVP_CIPHER_CTX *open[RC_ARRAY_COUNT(suites)]; /* owned */
};

static const struct suite *suite_of(uint32_t number)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(suites); i++) {
        if (suites[i].number == number) {
            return &suites[i];
        }
    }
    return NULL;
}

size_t rc_tls_secret_bytes(uint32_t suite_number)
{
    const struct suite *suite = suite_of(suite_number);
    return suite == NULL ? 0 : suite->secret_bytes;
}

void rc_tls_ciphers_close(struct rc_tls_ciphers *ciphers)
{
    for (size_t i = 0; ciphers != NULL && i < RC_ARRAY_COUNT(suites); i++) {
        EVP_CIPHER_CTX_free(ciphers->seal[i]);
        EVP_CIPHER_CTX_free(ciphers->open[i]);
    }
    free(ciphers);
}

struct rc_tls_ciphers *rc_tls_ciphers_open(void)
{
    struct rc_tls_ciphers *ciphers = calloc(1, sizeof(*ciphers));
    for (size_t i = 0; ciphers != NULL && i < RC_ARRAY_COUNT(suites); i++) {
        ciphers->seal[i] = EVP_CIPHER_CTX_new();
        ciphers->open[i] = EVP_CIPHER_CTX_new();
        if (ciphers->seal[i] == NULL || ciphers->open[i] == NULL ||
            EVP_EncryptInit_ex(ciphers->seal[i], suites[i].cipher(), NULL, NULL, NULL) != 1 ||
            EVP_DecryptInit_ex(ciphers->open[i], suites[i].cipher(), NULL, NULL, NULL) != 1) {
            ERR_clear_error();
            rc_tls_ciphers_close(ciphers);
            ciphers = NULL;
        }
    }
    return ciphers;
}

/* --- keys ------------------------------------------------------------------------------------------------------------ */

/* HKDF-Expand-Label (RFC 8446 7.1) without a context, for no more than one block of the digest: one HMAC (RFC 5869 2.3). */
static int expand_label(const struct suite *suite, const uint8_t *secret, const char *label, uint8_t *to, size_t bytes)
{
    uint8_t info[2 + 1 + LABEL_MAX + 1 + 1];
    uint8_t block[EVP_MAX_MD_SIZE];
    unsigned int block_bytes = 0;
    const size_t label_bytes = strlen(label);
    RC_ASSERT(label_bytes <= LABEL_MAX && bytes <= suite->secret_bytes);
    info[0] = 0;
    info[1] = (uint8_t)bytes;
    info[2] = (uint8_t)label_bytes;
    memcpy(info + 3, label, label_bytes);
    info[3 + label_bytes] = 0; /* no context */
    info[4 + label_bytes] = 1; /* the first block */
    const bool good =
        HMAC(suite->digest(), secret, suite->secret_bytes, info, label_bytes + 5, block, &block_bytes) != NULL &&
        block_bytes == suite->secret_bytes;
    if (good) {
        memcpy(to, block, bytes);
    }
    OPENSSL_cleanse(block, sizeof(block));
    ERR_clear_error();
    return good ? 0 : -EIO;
}

/* RFC 8446 7.3 */
static int direction_begin(struct rc_tls_direction *direction, const struct suite *suite)
{
    int rc = expand_label(suite, direction->secret, "tls13 key", direction->key, suite->key_bytes);
    if (rc == 0) {
        rc = expand_label(suite, direction->secret, "tls13 iv", direction->iv, sizeof(direction->iv));
    }
    if (rc == 0) {
        direction->sequence =
            0; /* not before: a number must never come twice under one key, also where an alert is all that follows */
    }
    return rc;
}

/* RFC 8446 7.2 */
static int direction_next(struct rc_tls_direction *direction, const struct suite *suite)
{
    uint8_t next[RC_TLS_SECRET_MAX];
    int rc = expand_label(suite, direction->secret, "tls13 traffic upd", next, suite->secret_bytes);
    if (rc == 0) {
        memcpy(direction->secret, next, suite->secret_bytes);
        rc = direction_begin(direction, suite);
    }
    OPENSSL_cleanse(next, sizeof(next));
    return rc;
}

int rc_tls_keys_set(struct rc_tls_keys *keys, uint32_t suite_number, const uint8_t *client, const uint8_t *server,
                    uint64_t sealed)
{
    const struct suite *suite = suite_of(suite_number);
    if (suite == NULL) {
        return -EINVAL;
    }
    *keys = (struct rc_tls_keys){.suite = (uint32_t)(suite - suites) + 1};
    memcpy(keys->in.secret, client, suite->secret_bytes);
    memcpy(keys->out.secret, server, suite->secret_bytes);
    int rc = direction_begin(&keys->in, suite);
    if (rc == 0) {
        rc = direction_begin(&keys->out, suite);
    }
    keys->out.sequence = sealed;
    if (rc < 0) {
        OPENSSL_cleanse(keys, sizeof(*keys));
    }
    return rc;
}

bool rc_tls_keys_valid(const struct rc_tls_keys *keys)
{
    return keys->suite > 0 && keys->suite <= RC_ARRAY_COUNT(suites);
}

/* RFC 8446 5.3 */
static void nonce_of(const struct rc_tls_direction *direction, uint8_t nonce[12])
{
    memcpy(nonce, direction->iv, sizeof(direction->iv));
    for (uint32_t i = 0; i < 8; i++) {
        nonce[11 - i] ^= (uint8_t)(direction->sequence >> (8 * i));
    }
}

/* --- out ------------------------------------------------------------------------------------------------------------- */

int rc_tls_seal(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, enum rc_tls_content type,
                const uint8_t *plain, size_t count, uint8_t *out)
{
    RC_ASSERT_HOT(keys->suite != 0 && count <= PLAIN_MAX);
    EVP_CIPHER_CTX *context = ciphers->seal[keys->suite - 1];
    const size_t body = count + 1 + RC_TLS_TAG_BYTES;
    const uint8_t inner_type = (uint8_t)type;
    uint8_t nonce[12];
    int some = 0;
    uint8_t *to = out + RC_TLS_HEADER_BYTES;
    out[0] = RC_TLS_APPLICATION;
    out[1] = 3;
    out[2] = 3;
    out[3] = (uint8_t)(body >> 8);
    out[4] = (uint8_t)body;
    nonce_of(&keys->out, nonce);
    const bool good = EVP_EncryptInit_ex(context, NULL, NULL, keys->out.key, nonce) == 1 &&
                      EVP_EncryptUpdate(context, NULL, &some, out, (int)RC_TLS_HEADER_BYTES) == 1 &&
                      (count == 0 || EVP_EncryptUpdate(context, to, &some, plain, (int)count) == 1) &&
                      EVP_EncryptUpdate(context, to + count, &some, &inner_type, 1) == 1 &&
                      EVP_EncryptFinal_ex(context, to + count + 1, &some) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, (int)RC_TLS_TAG_BYTES, to + count + 1) == 1;
    if (!good) {
        ERR_clear_error();
        return -EIO;
    }
    keys->out.sequence++;
    return 0;
}

int rc_tls_update(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, uint8_t *out)
{
    static const uint8_t message[KEY_UPDATE_BYTES] = {KEY_UPDATE, 0, 0, 1, 0}; /* update_not_requested */
    const int rc = rc_tls_seal(ciphers, keys, RC_TLS_HANDSHAKE, message, sizeof(message), out);
    return rc < 0 ? rc : direction_next(&keys->out, &suites[keys->suite - 1]);
}

bool rc_tls_update_due(const struct rc_tls_keys *keys)
{
    return keys->out.sequence >= RECORDS_A_KEY_MAX;
}

/* --- in -------------------------------------------------------------------------------------------------------------- */

int rc_tls_record_bytes(const uint8_t *bytes, size_t count, size_t *record_bytes)
{
    *record_bytes = 0;
    if (count > 0 && bytes[0] != RC_TLS_APPLICATION) {
        return -EPROTO; /* after the handshake nothing comes in the clear */
    }
    if (count < RC_TLS_HEADER_BYTES) {
        return 0;
    }
    const size_t body = (size_t)bytes[3] << 8 | bytes[4];
    if (body > RC_TLS_SEALED_MAX - RC_TLS_HEADER_BYTES) {
        return -EMSGSIZE;
    }
    *record_bytes = RC_TLS_HEADER_BYTES + body;
    return 0;
}

static enum rc_tls_opened opened_bad(enum rc_tls_alert *alert, enum rc_tls_alert why)
{
    *alert = why;
    return RC_TLS_OPENED_BAD;
}

static bool record_decrypt(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, const uint8_t *record,
                           size_t inner, uint8_t *plain)
{
    EVP_CIPHER_CTX *context = ciphers->open[keys->suite - 1];
    const uint8_t *body = record + RC_TLS_HEADER_BYTES;
    uint8_t tag[RC_TLS_TAG_BYTES];
    uint8_t nonce[12];
    int some = 0;
    memcpy(tag, body + inner, sizeof(tag));
    nonce_of(&keys->in, nonce);
    const bool good = EVP_DecryptInit_ex(context, NULL, NULL, keys->in.key, nonce) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, (int)sizeof(tag), tag) == 1 &&
                      EVP_DecryptUpdate(context, NULL, &some, record, (int)RC_TLS_HEADER_BYTES) == 1 &&
                      (inner == 0 || EVP_DecryptUpdate(context, plain, &some, body, (int)inner) == 1) &&
                      EVP_DecryptFinal_ex(context, plain + inner, &some) == 1;
    ERR_clear_error();
    return good;
}

/* RFC 8446 6 */
static enum rc_tls_opened alert_opened(const uint8_t *plain, size_t count, enum rc_tls_alert *alert)
{
    if (count != 2) {
        return opened_bad(alert, RC_TLS_DECODE_ERROR);
    }
    return plain[1] == RC_TLS_CLOSE_NOTIFY    ? RC_TLS_OPENED_END
           : plain[1] == RC_TLS_USER_CANCELED ? RC_TLS_OPENED_NOTHING /* close_notify follows */
                                              : RC_TLS_OPENED_ENDED;
}

/* RFC 8446 4.6.3: alone in its record, because a key changes behind it (5.1). */
static enum rc_tls_opened handshake_opened(struct rc_tls_keys *keys, const uint8_t *plain, size_t count,
                                           uint8_t *changing, enum rc_tls_alert *alert)
{
    static const uint8_t head[] = {KEY_UPDATE, 0, 0, 1};
    if (count != KEY_UPDATE_BYTES || memcmp(plain, head, sizeof(head)) != 0) {
        return opened_bad(alert, RC_TLS_UNEXPECTED_MESSAGE);
    }
    if (plain[4] > 1) {
        return opened_bad(alert, RC_TLS_DECODE_ERROR);
    }
    if (changing != NULL) {
        *changing = 1;
        RC_STORE_ORDER();
    }
    if (direction_next(&keys->in, &suites[keys->suite - 1]) < 0) {
        return opened_bad(alert, RC_TLS_INTERNAL_ERROR);
    }
    return plain[4] == 1 ? RC_TLS_OPENED_UPDATE : RC_TLS_OPENED_NOTHING;
}

enum rc_tls_opened rc_tls_open_record(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, const uint8_t *record,
                                      size_t record_bytes, uint8_t *plain, size_t *count, uint8_t *changing,
                                      enum rc_tls_alert *alert)
{
    RC_ASSERT(keys->suite != 0 && record_bytes <= RC_TLS_SEALED_MAX);
    *count = 0;
    if (record_bytes < RC_TLS_SEALED_MORE) {
        return opened_bad(alert, RC_TLS_BAD_RECORD_MAC); /* no room for a type and a tag */
    }
    size_t inner = record_bytes - RC_TLS_HEADER_BYTES - RC_TLS_TAG_BYTES;
    if (keys->in.sequence == UINT64_MAX || !record_decrypt(ciphers, keys, record, inner, plain)) {
        return opened_bad(alert, RC_TLS_BAD_RECORD_MAC);
    }
    keys->in.sequence++;
    if (inner > INNER_MAX) {
        return opened_bad(alert, RC_TLS_RECORD_OVERFLOW);
    }
    while (inner > 0 && plain[inner - 1] == 0) {
        inner--; /* RFC 8446 5.4 */
    }
    if (inner == 0) {
        return opened_bad(alert, RC_TLS_UNEXPECTED_MESSAGE);
    }
    switch (plain[--inner]) {
    case RC_TLS_APPLICATION:
        *count = inner;
        return RC_TLS_OPENED_DATA;
    case RC_TLS_ALERT:
        return alert_opened(plain, inner, alert);
    case RC_TLS_HANDSHAKE:
        return handshake_opened(keys, plain, inner, changing, alert);
    default:
        return opened_bad(alert, RC_TLS_UNEXPECTED_MESSAGE);
    }
}
