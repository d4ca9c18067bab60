/* jwt_cache: what is found again, and when no more. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/identity/jwt_cache.h"

#define NOW 1000
#define GENERATION 7

static struct rc_jwt_cache *cache;
static struct rc_jwt_result good;
static struct rc_jwt_result found;

static void set_up(void)
{
    cache = rc_jwt_cache_open(16);
    cr_assert(cache != NULL);
    good = (struct rc_jwt_result){.refusal = RC_JWT_GOOD, .alg = RC_JWT_ES256, .exp_s = 2000, .claims_bytes = 12};
    memcpy(good.claims, "{\"sub\":\"42\"}", 12);
}

static void tear_down(void)
{
    rc_jwt_cache_close(cache);
}

TestSuite(jwt_cache, .init = set_up, .fini = tear_down);

static void keep(const char *token)
{
    rc_jwt_cache_keep(cache, 1, GENERATION, rc_span_text(token), NOW, 0, &good);
}

static bool find(const char *token, int64_t now_s)
{
    return rc_jwt_cache_find(cache, 1, GENERATION, rc_span_text(token), now_s, &found);
}

Test(jwt_cache, found_again_as_it_was)
{
    cr_assert(!find("a", NOW));
    keep("a");
    cr_assert(find("a", NOW));
    cr_assert_eq(found.refusal, RC_JWT_GOOD);
    cr_assert_eq(found.alg, RC_JWT_ES256);
    cr_assert_eq(found.exp_s, 2000);
    cr_assert_eq(found.claims_bytes, 12);
    cr_assert_arr_eq(found.claims, good.claims, 12);
    cr_assert(!find("b", NOW));
    cr_assert(!find("", NOW));
}

Test(jwt_cache, never_behind_exp)
{
    keep("a");
    cr_assert(find("a", 1999));
    cr_assert(!find("a", 2000));
    rc_jwt_cache_keep(cache, 1, GENERATION, RC_SPAN("b"), NOW, 60, &good);
    cr_assert(find("b", 2059));
    cr_assert(!find("b", 2060));
    good.exp_s = RC_JWT_FOREVER;
    rc_jwt_cache_keep(cache, 1, GENERATION, RC_SPAN("c"), NOW, 60, &good);
    cr_assert(find("c", INT64_C(1) << 60));
    cr_assert_eq(found.exp_s, RC_JWT_FOREVER);
}

/* Its nbf was looked at then, and not before. */
Test(jwt_cache, not_before_it_was_verified)
{
    keep("a");
    cr_assert(!find("a", NOW - 1));
}

Test(jwt_cache, only_under_its_keys_and_for_its_row)
{
    keep("a");
    cr_assert(!rc_jwt_cache_find(cache, 1, GENERATION + 1, RC_SPAN("a"), NOW, &found));
    cr_assert(!rc_jwt_cache_find(cache, 2, GENERATION, RC_SPAN("a"), NOW, &found));
    cr_assert(find("a", NOW));
}

Test(jwt_cache, what_is_not_kept)
{
    good.refusal = RC_JWT_SIGNATURE_WRONG;
    keep("refused");
    cr_assert(!find("refused", NOW));
    good.refusal = RC_JWT_GOOD;
    good.alg = RC_JWT_HS512;
    keep("secret");
    cr_assert(!find("secret", NOW));
    good.alg = RC_JWT_RS256;
    good.kid_unknown = true; /* who asks for newer keys is to be told each time */
    keep("unknown");
    cr_assert(!find("unknown", NOW));
    good.kid_unknown = false;
    good.claims_bytes = RC_JWT_CACHE_CLAIMS_MAX + 1;
    keep("large");
    cr_assert(!find("large", NOW));
    good.claims_bytes--;
    keep("large");
    cr_assert(find("large", NOW));
}

Test(jwt_cache, bounded_and_the_last_used_stay)
{
    char token[16];
    rc_jwt_cache_close(cache);
    cache = rc_jwt_cache_open(4); /* one set */
    for (int i = 0; i < 4; i++) {
        (void)snprintf(token, sizeof(token), "%d", i);
        keep(token);
    }
    cr_assert(find("0", NOW));
    keep("new");
    cr_assert(find("0", NOW) && find("2", NOW) && find("3", NOW) && find("new", NOW));
    cr_assert(!find("1", NOW));
    /* The same again takes no second place. */
    keep("new");
    keep("new");
    cr_assert(find("0", NOW) && find("2", NOW) && find("3", NOW));
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(token, sizeof(token), "%d", i);
        keep(token);
    }
    int count = 0;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(token, sizeof(token), "%d", i);
        count += find(token, NOW) ? 1 : 0;
    }
    cr_assert_eq(count, 4);
}

Test(jwt_cache, the_dead_go_first)
{
    rc_jwt_cache_close(cache);
    cache = rc_jwt_cache_open(4);
    keep("0");
    keep("1");
    keep("2");
    good.exp_s = NOW; /* expired already */
    keep("dead");
    good.exp_s = 2000;
    keep("new");
    cr_assert(find("0", NOW) && find("1", NOW) && find("2", NOW) && find("new", NOW));
}

Test(jwt_cache, closing_none_is_fine)
{
    rc_jwt_cache_close(NULL);
}
