/* jwt_sign: what it makes is what RFC 7515 has, and what it refuses to make. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "acceptor/console/jwt_sign.h"
#include "common/text/base64.h"
#include "tests/support/jwt_maker.h"

static char out[4096];

Test(jwt_sign, rfc7515_a1)
{
    uint8_t secret[96];
    static const char k[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const int64_t bytes = rc_base64url_decode(secret, (const uint8_t *)k, sizeof(k) - 1);
    const struct rc_jwt_signer signer = {.secret = rc_span_of(secret, (size_t)bytes)};
    static const char wanted[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    cr_assert_eq(
        rc_jwt_sign(RC_JWT_HS256, &signer, RC_SPAN("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"),
                    RC_SPAN("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"), out,
                    sizeof(out)),
        (int64_t)sizeof(wanted) - 1);
    cr_assert_str_eq(out, wanted);
}

Test(jwt_sign, refuses)
{
    const struct rc_jwt_signer secret = {.secret = RC_SPAN("x")};
    const struct rc_jwt_signer ec = {.pkey = jwt_maker_key(RC_JWT_KEY_P256)};
    cr_assert_eq(rc_jwt_sign(RC_JWT_RS256, &secret, RC_SPAN("{}"), RC_SPAN("{}"), out, sizeof(out)), -EINVAL);
    cr_assert_eq(rc_jwt_sign(RC_JWT_HS256, &ec, RC_SPAN("{}"), RC_SPAN("{}"), out, sizeof(out)), -EINVAL);
    cr_assert_eq(rc_jwt_sign(RC_JWT_ES384, &ec, RC_SPAN("{}"), RC_SPAN("{}"), out, sizeof(out)), -EINVAL);
    cr_assert_eq(rc_jwt_sign(RC_JWT_HS256, &secret, RC_SPAN("{}"), RC_SPAN("{}"), out, 100), -EMSGSIZE);
}
