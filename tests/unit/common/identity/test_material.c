/* material: what goes in comes out; what is none is found out. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/identity/material.h"

static struct rc_jwt_material material;
static struct rc_err err;

static void set_up(void)
{
    rc_jwt_material_clear(&material);
}

TestSuite(material, .init = set_up);

static int add(const char *kid, size_t bytes)
{
    static uint8_t secret[RC_JWT_SECRET_BYTES_MAX + 1];
    memset(secret, (int)bytes, sizeof(secret));
    const struct rc_jwt_key key = {.type = RC_JWT_KEY_SECRET,
                                   .algs = rc_jwt_algs_of(RC_JWT_KEY_SECRET),
                                   .kid = rc_span_text(kid),
                                   .key = rc_span_of(secret, bytes)};
    return rc_jwt_material_append(&material, &key, &err);
}

Test(material, walked_in_order)
{
    struct rc_jwt_key key;
    uint32_t at = 0;
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), 0);
    cr_assert_eq(add("one", 33), 0);
    cr_assert_eq(add(NULL, 34), 0);
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), 1);
    cr_assert(rc_span_equal(key.kid, RC_SPAN("one")));
    cr_assert_eq(key.key.count, 33);
    cr_assert_eq(key.key.bytes[32], 33);
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), 1);
    cr_assert_eq(key.kid.count, 0);
    cr_assert_eq(key.key.bytes[33], 34);
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), 0);
}

Test(material, full)
{
    for (uint32_t i = 0; i < RC_JWT_KEYS_MAX; i++) {
        cr_assert_eq(add(NULL, 32), 0);
    }
    cr_assert_eq(add(NULL, 32), -ENOSPC);
    cr_assert_eq(material.count, RC_JWT_KEYS_MAX);
    rc_jwt_material_clear(&material);
    const struct rc_jwt_key large = {.type = RC_JWT_KEY_RSA,
                                     .algs = rc_jwt_algs_of(RC_JWT_KEY_RSA),
                                     .key = rc_span_of(material.data, sizeof(material.data) - 15)};
    cr_assert_eq(rc_jwt_material_append(&material, &large, &err), -ENOSPC);
}

Test(material, every_cut_and_every_wrong_number_is_found)
{
    cr_assert_eq(add("kid", 40), 0);
    const struct rc_jwt_material good = material;
    struct rc_jwt_key key;
    for (uint32_t bytes = 1; bytes < good.bytes; bytes++) {
        uint32_t at = 0;
        material.bytes = bytes;
        cr_assert_eq(rc_jwt_material_next(&material, &at, &key), -EBADMSG, "%u", bytes);
    }
    for (uint32_t member = 0; member < 4; member++) {
        uint32_t at = 0;
        material = good;
        memset(material.data + 4 * (size_t)member, 0xff, 4);
        cr_assert_eq(rc_jwt_material_next(&material, &at, &key), -EBADMSG, "%u", member);
        if (member % 2 == 1) { /* no algorithms, no key */
            memset(material.data + 4 * (size_t)member, 0, 4);
            cr_assert_eq(rc_jwt_material_next(&material, &at, &key), -EBADMSG, "%u", member);
        }
    }
    uint32_t at = good.bytes + 4;
    cr_assert_eq(rc_jwt_material_next(&good, &at, &key), -EBADMSG);
    at = 0;
    material.bytes = sizeof(material.data) + 1;
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), -EBADMSG);
}

/* CVE-2016-10555 and its kind: an algorithm is of the key's type. */
Test(material, algorithms_of_another_type_are_found)
{
    struct rc_jwt_key key;
    uint32_t at = 0;
    cr_assert_eq(add(NULL, 32), 0);
    material.data[4] |= 1u << RC_JWT_RS256;
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), -EBADMSG);
}

Test(material, secrets_have_a_size)
{
    char secret[RC_JWT_SECRET_BYTES_MAX + 1];
    memset(secret, 'x', sizeof(secret));
    cr_assert_eq(rc_jwt_material_add_secret(&material, rc_span_of(secret, 31), &err), -EINVAL);
    cr_assert(strstr(err.text, "31 bytes") != NULL && strstr(err.text, "openssl rand") != NULL, "%s", err.text);
    cr_assert_eq(rc_jwt_material_add_secret(&material, rc_span_of(secret, 32), &err), 0);
    cr_assert_eq(rc_jwt_material_add_secret(&material, rc_span_of(secret, 1024), &err), 0);
    cr_assert_eq(rc_jwt_material_add_secret(&material, rc_span_of(secret, 1025), &err), -EINVAL);
    memcpy(secret, "-----BEGIN PUBLIC KEY-----", 26);
    cr_assert_eq(rc_jwt_material_add_secret(&material, rc_span_of(secret, 500), &err), -EINVAL);
    cr_assert(strstr(err.text, "key_file") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "xxx") == NULL);
    cr_assert_eq(material.count, 2);
}

Test(material, equal)
{
    cr_assert_eq(add("kid", 40), 0);
    struct rc_jwt_material other = material;
    cr_assert(rc_jwt_material_equal(&material, &other));
    other.data[other.bytes - 1] ^= 1;
    cr_assert(!rc_jwt_material_equal(&material, &other));
    cr_assert_eq(add("kid", 40), 0);
    cr_assert(!rc_jwt_material_equal(&material, &other));
}
