/* sources: see sources.h. */
#include "common/identity/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/identity/jwk.h"
#include "common/identity/members.h"
#include "common/identity/pkey.h"

/* ------------------------------------------------------------------------------------------------------------ PEM */

/* The key of one block; NULL with `err`. */
static EVP_PKEY *block_read(const char *label, struct rc_span der, struct rc_err *err)
{
    const unsigned char *at = der.bytes;
    EVP_PKEY *key = NULL;
    if (strstr(label, "PRIVATE KEY") != NULL) {
        (void)rc_err_set(
            err, -EINVAL,
            "a private key, which nobody needs who verifies: give the public one, made by `openssl pkey -pubout`");
        return NULL;
    }
    if (strcmp(label, "CERTIFICATE") == 0) {
        X509 *certificate = d2i_X509(NULL, &at, (long)der.count);
        key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    } else if (strcmp(label, "PUBLIC KEY") == 0) {
        key = d2i_PUBKEY(NULL, &at, (long)der.count);
    } else if (strcmp(label, "RSA PUBLIC KEY") == 0) {
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)der.count);
    } else {
        (void)rc_err_set(err, -EINVAL, "a PEM block \"%.40s\": PUBLIC KEY and CERTIFICATE are known", label);
        return NULL;
    }
    if (key == NULL || at != der.bytes + der.count) {
        (void)rc_err_set(err, -EINVAL, "a PEM block \"%.40s\" that is none", label);
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static int block_add(struct rc_jwt_material *material, const char *label, struct rc_span der, struct rc_err *err)
{
    struct rc_jwt_key key = {0};
    uint8_t *bytes = NULL;
    EVP_PKEY *pkey = block_read(label, der, err);
    int rc = pkey == NULL ? -EINVAL : rc_pkey_type(pkey, &key.type, err);
    if (rc == 0) {
        key.algs = rc_jwt_algs_of(key.type);
        rc = rc_pkey_write(pkey, &bytes, &key.key, err);
    }
    if (rc == 0) {
        rc = rc_jwt_material_append(material, &key, err);
    }
    OPENSSL_free(bytes);
    EVP_PKEY_free(pkey);
    return rc;
}

int rc_jwt_sources_pem(struct rc_jwt_material *material, struct rc_span text, struct rc_err *err)
{
    int rc = 0;
    unsigned blocks = 0;
    BIO *bio = BIO_new_mem_buf(text.bytes, (int)text.count);
    if (bio == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for keys");
    }
    while (rc == 0) {
        char *label = NULL;
        char *header = NULL;
        unsigned char *der = NULL;
        long bytes = 0;
        if (PEM_read_bio(bio, &label, &header, &der, &bytes) != 1) {
            /* Nothing more to begin with is the end; a block that began and is none is not. */
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
                rc = rc_err_set(err, -EINVAL, "a PEM block that does not end, or is not base64");
            } else if (blocks == 0) {
                rc = rc_err_set(err, -EINVAL, "no PEM block: PUBLIC KEY or CERTIFICATE is expected");
            }
            break;
        }
        blocks++;
        rc = block_add(material, label, rc_span_of(der, (size_t)bytes), err);
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)bytes);
    }
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

/* ----------------------------------------------------------------------------------------------------------- JWKs */

/* The `keys` of a set. */
static int list_add(struct rc_jwt_material *material, const struct rc_json_value *list, bool foreign,
                    struct rc_err *err)
{
    struct rc_json_cursor cursor;
    struct rc_json_value item;
    struct rc_err why = {{0}};
    unsigned index = 0;
    int got = rc_json_array_begin(&cursor, list->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &item)) == 1) {
        const enum rc_jwk_fate fate = rc_jwk_add(material, item.raw, foreign, &why);
        if (fate == RC_JWK_NO_ROOM || (fate == RC_JWK_WRONG && !foreign)) {
            return rc_err_set(err, fate == RC_JWK_WRONG ? -EINVAL : -ENOSPC, "keys[%u]: %s", index, why.text);
        }
        index++;
    }
    return got < 0 ? rc_err_set(err, -EINVAL, "keys is not a list") : 0;
}

int rc_jwt_sources_jwks(struct rc_jwt_material *material, struct rc_span text, bool foreign, struct rc_err *err)
{
    struct rc_member keys[] = {{.name = RC_SPAN("keys")}};
    const uint32_t before = material->count;
    if (text.count > RC_JWKS_BYTES_MAX) {
        return rc_err_set(err, -EINVAL, "longer than %u KiB", RC_JWKS_BYTES_MAX / 1024);
    }
    int rc = rc_members_take(text, keys, 1);
    if (rc < 0) {
        return rc_err_set(err, -EINVAL, "%s",
                          rc == -EEXIST ? "a member occurs twice" : "not a JSON object, as a JWK Set is (RFC 7517)");
    }
    if (keys[0].value.type != RC_JSON_NONE) {
        rc = list_add(material, &keys[0].value, foreign, err);
    } else {
        const enum rc_jwk_fate fate = rc_jwk_add(material, text, foreign, err);
        rc = fate == RC_JWK_WRONG ? -EINVAL : fate == RC_JWK_NO_ROOM ? -ENOSPC : 0;
    }
    if (rc == 0 && material->count == before) {
        rc = rc_err_set(err, -EINVAL, "no key in it can verify tokens (RSA, EC, OKP%s, for signatures)",
                        foreign ? "" : ", oct");
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------------------- files */

/* The whole of a file, which is the caller's to wipe and free. */
static int file_read(const char *path, size_t bytes_max, uint8_t **bytes, size_t *count, struct rc_err *err)
{
    struct stat its;
    /* O_NONBLOCK: a named pipe in the place of a file must not stop anybody. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        const int error = errno;
        return rc_err_set(err, -error, "%s: cannot be read: %s", path, strerror(error));
    }
    uint8_t *to = malloc(bytes_max + 1);
    size_t got = 0;
    ssize_t part = -1;
    int error = ENOMEM;
    if (fstat(fd, &its) == 0 && !S_ISREG(its.st_mode)) {
        error = EINVAL; /* a folder, a device */
    } else if (to != NULL) {
        do {
            part = read(fd, to + got, bytes_max + 1 - got);
            error = errno;
            got += part > 0 ? (size_t)part : 0;
        } while ((part > 0 && got <= bytes_max) || (part < 0 && error == EINTR));
    }
    (void)close(fd);
    if (part < 0 || got > bytes_max) {
        if (to != NULL) {
            OPENSSL_cleanse(to, bytes_max + 1);
        }
        free(to);
        return part < 0 ? rc_err_set(err, -error, "%s: cannot be read: %s", path, strerror(error))
                        : rc_err_set(err, -EFBIG, "%s: longer than %zu bytes", path, bytes_max);
    }
    *bytes = to;
    *count = got;
    return 0;
}

enum file_kind { SECRET_FILE, KEY_FILE, JWKS_FILE };

static int file_add(struct rc_jwt_material *material, enum file_kind kind, const char *path, struct rc_err *err)
{
    static const char *const names[] = {"secret_file", "key_file", "jwks_file"};
    struct rc_err why = {{0}};
    uint8_t *bytes = NULL;
    size_t count = 0;
    int rc = file_read(path, RC_JWKS_BYTES_MAX, &bytes, &count, &why);
    if (rc < 0) {
        return rc_err_set(err, rc, "%s: %.440s", names[kind], why.text);
    }
    const size_t whole = count;
    if (kind == SECRET_FILE) {
        while (count > 0 && (bytes[count - 1] == '\n' || bytes[count - 1] == '\r')) {
            count--;
        }
        rc = rc_jwt_material_add_secret(material, rc_span_of(bytes, count), &why);
    } else if (kind == KEY_FILE) {
        rc = rc_jwt_sources_pem(material, rc_span_of(bytes, count), &why);
    } else {
        rc = rc_jwt_sources_jwks(material, rc_span_of(bytes, count), false, &why);
    }
    OPENSSL_cleanse(bytes, whole);
    free(bytes);
    return rc < 0 ? rc_err_set(err, rc, "%s: %.200s: %.220s", names[kind], path, why.text) : 0;
}

int rc_jwt_sources_load(struct rc_jwt_material *material, const struct rc_identity_jwt *jwt, struct rc_err *err)
{
    struct rc_err why = {{0}};
    int rc = 0;
    rc_jwt_material_clear(material);
    if (jwt->secret.text[0] != '\0') {
        rc = rc_jwt_material_add_secret(material, rc_span_text(jwt->secret.text), &why);
        if (rc < 0) {
            return rc_err_set(err, rc, "secret: %.440s", why.text);
        }
    }
    if (jwt->secret_file.text[0] != '\0') {
        rc = file_add(material, SECRET_FILE, jwt->secret_file.text, err);
    }
    for (uint32_t i = 0; rc == 0 && i < jwt->key_file.count; i++) {
        rc = file_add(material, KEY_FILE, jwt->key_file.items[i].text, err);
    }
    if (rc == 0 && jwt->jwks_file.text[0] != '\0') {
        rc = file_add(material, JWKS_FILE, jwt->jwks_file.text, err);
    }
    return rc;
}
