/* jwt_alg: names, and that no algorithm is of two types of key. */
#include <criterion/criterion.h>

#include "common/identity/jwt_alg.h"

Test(jwt_alg, by_exact_name)
{
    cr_assert_eq(rc_jwt_alg_find(RC_SPAN("PS384")), RC_JWT_PS384);
    cr_assert_eq(rc_jwt_alg_find(RC_SPAN("EdDSA")), RC_JWT_EDDSA);
    cr_assert_eq(rc_jwt_alg_find(RC_SPAN("eddsa")), RC_JWT_ALG_COUNT);
    cr_assert_eq(rc_jwt_alg_find(RC_SPAN("none")), RC_JWT_ALG_COUNT);
    cr_assert_eq(rc_jwt_alg_find(RC_SPAN("HS25")), RC_JWT_ALG_COUNT);
    cr_assert_eq(rc_jwt_alg_find(RC_SPAN("")), RC_JWT_ALG_COUNT);
}

Test(jwt_alg, types_share_nothing)
{
    uint32_t all = 0;
    for (uint32_t type = 0; type < RC_JWT_KEY_TYPE_COUNT; type++) {
        const uint32_t algs = rc_jwt_algs_of(type);
        cr_assert_neq(algs, 0);
        cr_assert_eq(algs & all, 0);
        all |= algs;
    }
    cr_assert_eq(all, (UINT32_C(1) << RC_JWT_ALG_COUNT) - 1);
    cr_assert_eq(rc_jwt_algs_of(RC_JWT_KEY_SECRET), 7);
}
